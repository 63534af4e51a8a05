"""A CSV file of the user's as a header and rows of cells, read in steps and refused in words."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dgm_studio.core.updates import Problem
from dgm_studio.data.own_files import Report, Step

MOST_FILE_BYTES = 256 << 20
MOST_LINE = 1 << 20  # characters
MOST_ROWS = 100_000
MOST_COLUMNS = 100
BLOCK = 1000  # rows between two yields
DELIMITERS = (",", ";", "\t")
MISSING = frozenset({"", "na", "n/a", "nan", "?"})


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Args:
        header: Names of the columns, as written.
        rows: Cells, stripped, "" where missing; each as long as the header.
        lines: In which line of the file each row ends, for the report.
        delimiter: Between cells.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    delimiter: str


def read_table(file: Path, report: Report) -> Generator[Step, None, Table]:
    """Reads a CSV file: UTF-8, a header, cells parted by commas (or semicolons or tabs, if the header is).

    Rows with too few or too many cells are left out and reported, empty lines without a word.

    Yields:
        Progress, every thousand rows.

    Raises:
        Problem: No file, too large a one, no UTF-8, quotes that do not end, no header or no rows.
    """
    _require_file(file)
    try:
        with file.open("r", encoding="utf-8-sig", newline="") as stream:
            return (yield from _read(stream, file, report))
    except UnicodeDecodeError as error:
        raise Problem(
            f"{file.name} is not text in UTF-8 ({error.reason} at byte {error.start:,}).",
            "Save it as CSV in UTF-8.",
        ) from error
    except OSError as error:
        raise Problem(f"{file.name} cannot be read ({error.strerror}).", "Choose another file.") from error


def _require_file(file: Path) -> None:
    if not file.is_file():
        raise Problem(f"There is no file {file}.", "Choose a CSV file beside a folder of pictures.")
    size = file.stat().st_size
    if size > MOST_FILE_BYTES:
        raise Problem(
            f"{file.name} holds {size / 2**20:,.0f} MB; a table may hold {MOST_FILE_BYTES >> 20} MB.",
            "Leave out columns or rows.",
        )


def _read(stream: IO[str], file: Path, report: Report) -> Generator[Step, None, Table]:
    yield 0, 0, f"Reading {file.name}"
    lines = _lines(stream, file)
    first = next(lines, "")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(_with(first, lines), delimiter=delimiter, strict=True)
    table = Table([], [], [], delimiter)
    while True:
        if reader.line_num % BLOCK == 0:
            yield 0, 0, f"Reading {file.name}, {len(table.rows):,} rows"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise Problem(
                f"Line {reader.line_num:,} of {file.name} cannot be read ({error}).",
                'Write a quote inside a quoted cell twice, as in "5"" wide".',
            ) from error
        if cells is None:
            break
        _take(table, [cell.strip() for cell in cells], reader.line_num, report)
        if len(table.rows) > MOST_ROWS:
            raise Problem(f"{file.name} holds more than {MOST_ROWS:,} rows.", "Keep a part of them.")
    _require_rows(table, file)
    return table


def _take(table: Table, cells: list[str], line: int, report: Report) -> None:
    """Puts one line where it belongs."""
    if not any(cells):
        return
    if not table.header:
        table.header.extend(cells)
        return
    wide = len(table.header)
    if len(cells) != wide and (len(cells) < wide or any(cells[wide:])):
        report.skip(f"line {line}", f"the header has {wide} cells, the row has another number")
        return
    table.rows.append(["" if cell.lower() in MISSING else cell for cell in cells[:wide]])
    table.lines.append(line)


def _require_rows(table: Table, file: Path) -> None:
    if not table.header:
        raise Problem(f"{file.name} is empty.", "Write a header and a row for each picture.")
    if len(table.header) > MOST_COLUMNS:
        raise Problem(
            f"{file.name} has {len(table.header):,} columns; {MOST_COLUMNS} are the most.", "Leave some of them out."
        )
    if not table.rows:
        raise Problem(
            f"{file.name} has a header but no row that can be used.", "Write a row for each picture under it."
        )


def _lines(stream: IO[str], file: Path) -> Iterator[str]:
    """Line by line, never more of one in memory than is allowed."""
    number = 0
    while line := stream.readline(MOST_LINE):
        number += 1
        if len(line) == MOST_LINE and not line.endswith("\n"):
            raise Problem(
                f"Line {number:,} of {file.name} is longer than a million characters.", "Check that it is a CSV file."
            )
        if "\0" in line:
            raise Problem(f"Line {number:,} of {file.name} holds bytes that are no text.", "Save it as CSV in UTF-8.")
        yield line


def _with(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others
