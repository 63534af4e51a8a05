"""What the columns of a table are: by the ending of their name ("age:real"), else by a guess at their cells."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.core.updates import Problem
from dgm_studio.data.folder import ENDINGS
from dgm_studio.data.own_files import MOST_CATEGORIES, NAMED, Report, Step
from dgm_studio.data.table_file import Table
from dgm_studio.data.texts import WORD, ranked, tokens, words

KINDS = ("image", "label", "categorical", "real", "positive", "text", "group", "split", "skip")
LABEL_NAMES = {"label", "class", "target", "y", "diagnosis", "category"}
GROUP_NAMES = {"group", "patient", "patient_id", "patient id", "subject", "subject_id", "subject id", "person"}
SPLIT_NAMES = {"split", "part", "fold"}
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
FEW = 10  # different whole numbers are a code, not a measurement
MOST_TOKENS = 64
LARGEST = 1e15  # squares of larger numbers overflow in float32
BLOCK = 5000  # cells between two yields
SAMPLE = 5000  # cells that a guess looks at
CLASSES = ("label", "categorical")
NUMBERS = ("real", "positive")


@dataclass(frozen=True)
class Column:
    """A column that is used.

    Args:
        name: Without the kind.
        kind: One of `KINDS`.
        cells: Of every row, "" where missing.
        unit: Of a number.
    """

    name: str
    kind: str
    cells: list[str]
    unit: str = ""


@dataclass(frozen=True)
class Values:
    """The cells of a column as a model sees them, and what is needed to say what they are.

    Args:
        column: Whose.
        rows: float32 [N, 1] with NaN; int64 [N] with -1; of a text only whether there is one, bool [N].
        categories: Of a label or categorical.
    """

    column: Column
    rows: NDArray[Any]
    categories: tuple[str, ...] = ()

    def known(self) -> NDArray[np.bool_]:
        """Rows that are not missing, bool [N]."""
        if self.column.kind in NUMBERS:
            return np.asarray(~np.isnan(self.rows[:, 0]))
        return np.asarray(self.rows if self.column.kind == "text" else self.rows >= 0)


def columns_of(table: Table, report: Report) -> Generator[Step, None, list[Column]]:
    """Every column that is used, in order.

    A name may end in ":KIND" or ":KIND:UNIT". Without one the kind is guessed: names of picture files are images; few
    different whole numbers or words are categorical, the only such column a label; other numbers are positive when all
    are above zero and the largest is more than ten times the smallest, else real; sentences are text.

    Yields:
        Progress, once for each column.

    Raises:
        Problem: An unknown kind, a name twice, or two columns that say the split or the group.
    """
    found: list[Column] = []
    for i, title in enumerate(table.header):
        yield i, len(table.header), "Looking at columns"
        name, kind, unit = _split_title(title)
        cells = [row[i] for row in table.rows]
        if not name or not any(cells):
            why = "has no name" if not name else "is empty"
            report.notes.append(f"column {name or i + 1} {why} and is left out")
            continue
        guessed = kind or _guess(name, cells, table.delimiter)
        if guessed not in KINDS:
            report.notes.append(f"column {name} is left out: {guessed}")
        elif guessed != "skip":
            if not kind and guessed in {"group", "split"}:
                report.notes.append(f"column {name} is taken as the {guessed}")
            found.append(Column(name, guessed, cells, unit))
    _require_order(found)
    return _with_label(found, {_split_title(title)[0] for title in table.header if ":" in title})


def _split_title(title: str) -> tuple[str, str, str]:
    """Name, kind and unit of "sbp:positive:mmHg"."""
    name, *rest = (part.strip() for part in title.split(":"))
    if not rest:
        return name, "", ""
    if rest[0].lower() not in KINDS or len(rest) > 2:
        raise Problem(f"The column {title} is of no known kind.", f"After the colon write {', '.join(KINDS)}.")
    return name, rest[0].lower(), rest[1] if len(rest) > 1 else ""


def _require_order(columns: list[Column]) -> None:
    twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
    if twice:
        raise Problem(f"Two columns are called {twice[0]}.", "Give each a name of its own.")
    for kind in ("group", "split"):
        if sum(column.kind == kind for column in columns) > 1:
            raise Problem(f"Two columns say the {kind}.", "Keep one, and end the other's name in :skip or its kind.")
    if not any(column.kind == "image" for column in columns):
        raise Problem(
            "No column holds names of picture files.",
            "Add one, its name ending in :image, with paths beside the table.",
        )


def _with_label(columns: list[Column], told: set[str]) -> list[Column]:
    """The only column with classes is the label, unless its kind was told."""
    classes = [column for column in columns if column.kind in CLASSES]
    if len(classes) == 1 and classes[0].name not in told:
        only = classes[0]
        return [Column(c.name, "label", c.cells, c.unit) if c is only else c for c in columns]
    return columns


def _guess(name: str, cells: list[str], delimiter: str) -> str:
    """A kind, or why the column is of no use."""
    known = [cell for cell in cells if cell]
    different = set(known)
    some = known[:: max(1, len(known) // SAMPLE)]
    low = name.lower()
    if sum(os.path.splitext(cell)[1].lower() in ENDINGS for cell in some) * 2 >= len(some):
        return "image"
    if low in SPLIT_NAMES and all(cell.lower() in PARTS for cell in different):
        return "split"
    if low in GROUP_NAMES:
        return "group"
    if len(different) < 2:
        return "every cell is the same"
    few = len(different) <= MOST_CATEGORIES and 2 * len(different) <= len(known)
    if low in LABEL_NAMES and few:
        return "label"
    finite = [value for cell in some if (value := number(cell, delimiter)) is not None]
    if 20 * len(finite) >= 19 * len(some):
        if len(different) == len(known) and _counts_rows(known[:SAMPLE], delimiter):
            return "its cells only number the rows; end its name in :real if they are measurements"
        return _guess_number(finite, few and len(different) <= FEW)
    if few:
        return "categorical"
    if sum(len(words(cell)) > 1 for cell in some) * 2 >= len(some):
        return "text"
    return "nearly every cell is another word; end its name in :text or :group"


def _guess_number(values: list[float], few: bool) -> str:
    if few and all(value == int(value) for value in values):
        return "categorical"
    return "positive" if min(values) > 0 and max(values) > 10 * min(values) else "real"


def _counts_rows(known: list[str], delimiter: str) -> bool:
    """Whether different cells are one whole number after another."""
    values = [number(cell, delimiter) for cell in known]
    numbers = [value for value in values if value is not None]
    steps = {b - a for a, b in pairwise(numbers)}
    return len(numbers) == len(values) > FEW and steps == {1.0}


def number(cell: str, delimiter: str = ",") -> float | None:
    """The number a cell holds, None where it is none or too large; "3,5" is one where cells are parted by semicolons.

    >>> number("3.5"), number("3,5", ";"), number("1e400"), number("1_000")
    (3.5, 3.5, None, None)
    """
    plain = cell.replace(",", ".") if delimiter != "," else cell
    if not NUMBER.fullmatch(plain):
        return None
    value = float(plain)
    return value if abs(value) < LARGEST else None


NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)


def values_of(column: Column, table: Table, report: Report) -> Generator[Step, None, Values]:
    """A column's cells as numbers; what is none is missing and reported.

    Yields:
        Progress, every few thousand cells.

    Raises:
        Problem: Too many or too few classes.
    """
    if column.kind in CLASSES:
        yield 0, 1, f"Reading column {column.name}"
        return _classes(column)
    if column.kind == "text":
        return (yield from _texts(column))
    return (yield from _numbers(column, table, report))


def _texts(column: Column) -> Generator[Step, None, Values]:
    there = np.zeros(len(column.cells), bool)
    for i, cell in enumerate(column.cells):
        if i % BLOCK == 0:
            yield i, len(there), f"Reading column {column.name}"
        there[i] = WORD.search(cell) is not None
    return Values(column, there)


def _numbers(column: Column, table: Table, report: Report) -> Generator[Step, None, Values]:
    rows = np.full((len(column.cells), 1), np.nan, np.float32)
    odd = []
    for i, cell in enumerate(column.cells):
        if i % BLOCK == 0:
            yield i, len(rows), f"Reading column {column.name}"
        value = number(cell, table.delimiter)
        if value is not None and (column.kind == "real" or np.float32(value) > 0):
            rows[i] = value
        elif cell:
            odd.append(f"line {table.lines[i]}: {cell[:20]}")
    if odd:
        more = f" and {len(odd) - NAMED:,} more" if len(odd) > NAMED else ""
        what = "number" if column.kind == "real" else "positive number"
        report.notes.append(f"{len(odd):,} of {column.name} missing: not a {what} ({', '.join(odd[:NAMED])}{more})")
    return Values(column, rows)


def _classes(column: Column) -> Values:
    different = {cell for cell in column.cells if cell}
    if not 2 <= len(different) <= MOST_CATEGORIES:
        raise Problem(
            f"The column {column.name} has {len(different):,} different values; classes are 2 to {MOST_CATEGORIES}.",
            "End its name in another kind, or in :skip.",
        )
    names = sorted(different, key=lambda cell: (math.inf, cell) if (n := number(cell)) is None else (n, cell))
    place = {name: i for i, name in enumerate(names)}
    return Values(column, np.array([place.get(cell, -1) for cell in column.cells], np.int64), tuple(names))


def described(values: Values, train: NDArray[np.int64], about: str) -> Generator[Step, None, Modality]:
    """What a column is, its figures taken over the training rows alone.

    Args:
        values: All of its rows.
        train: Which rows are trained on.
        about: Its factor, "" for none.

    Yields:
        Progress.

    Raises:
        Problem: Nothing in the training part.
    """
    column = values.column
    yield 0, 1, f"Looking at {column.name}"
    if not values.known()[train].any():
        raise Problem(
            f"In the training part every cell of {column.name} is missing.", "Fill some, or end its name in :skip."
        )
    if column.kind in CLASSES:
        return Modality(column.name, column.kind, (), categories=values.categories, about=about)
    if column.kind == "text":
        return (yield from _vocabulary(column, train))
    seen = values.rows[train, 0].astype(np.float64)
    seen = seen[~np.isnan(seen)]
    seen = np.log(seen) if column.kind == "positive" else seen
    spread = float(seen.std()) or 1.0
    return Modality(column.name, column.kind, (1,), centre=(float(seen.mean()),), spread=(spread,), unit=column.unit)


def _vocabulary(column: Column, train: NDArray[np.int64]) -> Generator[Step, None, Modality]:
    counts: Counter[str] = Counter()
    longest = 1
    for i, row in enumerate(train):
        if i % 250 == 0:
            yield i, len(train), f"Reading words of {column.name}"
        found = words(column.cells[row])
        counts.update(found)
        longest = max(longest, len(found))
    return Modality(column.name, "text", (min(longest, MOST_TOKENS),), categories=ranked(counts))


def chosen_rows(
    values: Values, modality: Modality, rows: Sequence[int] | NDArray[np.int64]
) -> Generator[Step, None, Tensor]:
    """Some rows of a column as `models.capabilities.Views` has them.

    Yields:
        Progress.
    """
    if modality.kind != "text":
        return torch.from_numpy(np.array(values.rows[rows]))
    blocks = []
    for start in range(0, len(rows), 250):
        yield start, len(rows), f"Reading words of {modality.name}"
        some = [values.column.cells[i] for i in rows[start : start + 250]]
        blocks.append(tokens(some, modality.categories, modality.shape[0]))
    return torch.cat(blocks) if blocks else torch.zeros(0, *modality.shape, dtype=torch.int64)
