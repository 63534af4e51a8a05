"""A table of the user's beside pictures: every row is a datum, one column names its picture, the others are modalities.

Columns are told apart in `table_columns`. The cut into train, valid and test is the user's where a column says it;
else no group (a patient's two eyes) and no copies of a picture stand in two parts, and without a group the classes of
the label are held in proportion. Figures and vocabularies come from the training part alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dgm_studio.core.cards import DataCard, Factor, Modality, as_json
from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.folder import common_side, note_sizes, read_pictures, survey
from dgm_studio.data.own_files import FEWEST, Report, Step, checked_size, require_memory, rows_of
from dgm_studio.data.splits import SPLITS, Indices, fingerprint, in_clusters
from dgm_studio.data.table_columns import (
    CLASSES,
    PARTS,
    Column,
    Values,
    chosen_rows,
    columns_of,
    described,
    values_of,
)
from dgm_studio.data.table_file import Table, read_table

SPLIT_SEED = 1
BLOCK = 2000  # rows between two yields
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class _Pictures:
    """What the picture columns hold.

    Args:
        pixels: Every picture once, uint8 [U, C, H, W].
        digests: Of each, 32 bytes, [U].
        places: By column, which picture each row has, -1 for none: [N].
    """

    pixels: NDArray[np.uint8]
    digests: list[bytes]
    places: dict[str, Indices]


def open_table(path: str, size: int | None = None) -> Generator[Step, None, Dataset]:
    """Reads a CSV file and the pictures that it names, relative to the file; see `columns_of` for the columns.

    Pictures are cut to the square in their middle and averaged to size x size; by default to the shorter side of the
    most common size, at most 64. A row without its picture is kept when anything else of it is known.

    Args:
        path: The CSV file.
        size: Side in pixels, or None.

    Yields:
        (done, total, what is being done).

    Returns:
        The data set; its report says what was skipped, missing or changed and why.

    Raises:
        Problem: The file cannot be used, or too little of it.
    """
    file, size, report = Path(path).expanduser().absolute(), checked_size(size), Report()
    table = yield from read_table(file, report)
    columns = yield from columns_of(table, report)
    pictures = yield from _pictures(file, columns, table, size, report)
    values = {}
    for column in columns:
        if column.kind not in {"image", "group", "split"}:
            values[column.name] = yield from values_of(column, table, report)
    rows = yield from _usable(table, columns, pictures, values, report)
    if len(rows) < FEWEST:
        lines = " ".join(f"{line}." for line in report.lines()[:3])
        raise Problem(f"{file.name} holds {len(rows)} rows that can be used; at least {FEWEST} are needed.", lines)
    splits = yield from _splits(rows, columns, pictures, values, report)
    return (yield from _dataset(file, rows, splits, pictures, values, report))


# -- pictures ------------------------------------------------------------------------------------------------------


def _pictures(
    file: Path, columns: list[Column], table: Table, size: int | None, report: Report
) -> Generator[Step, None, _Pictures]:
    """Every picture that is named, once, and where each row finds its own."""
    images = [column for column in columns if column.kind == "image"]
    paths = yield from _paths(file, images, table, report)
    folder = file.parent
    found = yield from survey(folder, sorted(set(paths.values())), report)
    side = size or common_side(found)
    require_memory(max(len(found), len(table.rows) * len(images)), 3, side, file.name)
    pixels, read = yield from read_pictures(found, side, report)
    if not read:
        raise Problem(
            f"None of the pictures that {file.name} names can be read.",
            " ".join(f"{line}." for line in report.lines()[:2]) or "Write their paths relative to the table.",
        )
    note_sizes([found[i] for i in read], side, report)
    place = {found[i].path: number for number, i in enumerate(read)}
    digests = []
    for i, one in enumerate(pixels):
        if i % rows_of(pixels) == 0:
            yield i, len(pixels), "Looking for copies"
        digests.append(hashlib.sha256(one.tobytes()).digest())
    places = {}
    for column in images:
        yield 0, 1, f"Reading column {column.name}"
        places[column.name] = np.array([place.get(paths.get(cell, ""), -1) for cell in column.cells], np.int64)
    return _Pictures(pixels, digests, places)


def _paths(file: Path, images: list[Column], table: Table, report: Report) -> Generator[Step, None, dict[str, str]]:
    """The path of every cell that names a file that is there."""
    paths: dict[str, str] = {}
    gone: set[str] = set()
    for column in images:
        for i, cell in enumerate(column.cells):
            if i % 500 == 0:
                yield i, len(column.cells), "Looking for pictures"
            if not cell or cell in paths or cell in gone:
                continue
            path = os.path.normpath(os.path.join(file.parent, cell.replace("\\", "/")))
            if os.path.exists(path):
                paths[cell] = path
            else:
                gone.add(cell)
                report.skip(f"line {table.lines[i]}: {cell[:40]}", "no such picture")
    return paths


# -- rows ----------------------------------------------------------------------------------------------------------


def _usable(
    table: Table, columns: list[Column], pictures: _Pictures, values: dict[str, Values], report: Report
) -> Generator[Step, None, Indices]:
    """Rows of which anything is known and whose split, where a column says it, is one."""
    known = np.zeros(len(table.rows), bool)
    for place in pictures.places.values():
        known |= place >= 0
    for one in values.values():
        yield 0, 1, "Looking for empty rows"
        known |= one.known()
    for i in np.flatnonzero(~known):
        report.skip(f"line {table.lines[i]}", "nothing of the row can be used")
    told = _told(columns)
    if told is not None:
        for i in np.flatnonzero(known & ~np.isin([cell.lower() for cell in told.cells], list(PARTS))):
            known[i] = False
            report.skip(f"line {table.lines[i]}", f"{told.name} is none of train, valid, test")
    for name, place in pictures.places.items():
        without = int((place[known] < 0).sum())
        if without:
            report.notes.append(f"{name} is missing in {without:,} of {known.sum():,} rows")
    return np.flatnonzero(known)


def _told(columns: list[Column]) -> Column | None:
    return next((column for column in columns if column.kind == "split"), None)


def _splits(
    rows: Indices, columns: list[Column], pictures: _Pictures, values: dict[str, Values], report: Report
) -> Generator[Step, None, dict[str, Indices]]:
    """Rows of each part, by the column that says it or so that nothing leaks."""
    group = next((column for column in columns if column.kind == "group"), None)
    told = _told(columns)
    clusters, keys = yield from _clusters(rows, group, pictures, values)
    if told is not None:
        parts = np.array([PARTS[told.cells[i].lower()] for i in rows])
        _require_told(told, parts)
        _note_shared(clusters, parts, group, report)
        return {name: rows[parts == name] for name in SPLITS}
    if len(keys) < len(SPLITS):
        raise _too_entangled(len(keys), rows, group, pictures)
    strata = np.zeros(len(keys), np.int64)
    label = next((one for one in values.values() if one.column.kind == "label"), None)
    if group is None and label is not None:
        strata[clusters] = np.asarray(label.rows[rows], np.int64)
    found = in_clusters(clusters, keys, strata, f"table {SPLIT_SEED}")
    if group is not None:
        joined = len({group.cells[i] for i in rows if group.cells[i]}) > len(keys)
        why = " (some of them joined, as they share pictures)" if joined else ""
        report.notes.append(f"{len(keys):,} groups by {group.name}{why}, none of them in two parts")
    elif len(keys) < len(rows):
        report.notes.append(f"{len(rows) - len(keys):,} rows share a picture with others; they stand in the same part")
    return {name: rows[some] for name, some in found.items()}


def _too_entangled(count: int, rows: Indices, group: Column | None, pictures: _Pictures) -> Problem:
    """Why the rows cannot be cut into three parts."""
    shown = (pictures.digests[k] for place in pictures.places.values() for k in place[rows] if k >= 0)
    often = max(Counter(shown).values(), default=1)
    by = f"a {group.name} or a picture" if group else "a picture"
    return Problem(
        f"Rows that share {by} hang together, which leaves {count} for train, valid and test.",
        f"Empty the cells of pictures that repeat (one is in {often:,} rows), add rows, or add a column split.",
    )


def _require_told(told: Column, parts: NDArray[np.str_]) -> None:
    for name in SPLITS:
        if not (parts == name).any():
            raise Problem(
                f"The column {told.name} gives no row to {name}.", f"Use {', '.join(SPLITS)}, each at least once."
            )


def _note_shared(clusters: Indices, parts: NDArray[np.str_], group: Column | None, report: Report) -> None:
    """A leak that the user's own split has."""
    first = parts == "train"
    shared = np.intersect1d(clusters[first], clusters[~first])
    if len(shared):
        what = f"groups of {group.name} (or copies of pictures)" if group else "pictures"
        report.notes.append(f"a leak: {len(shared):,} {what} stand in train and in valid or test, as the table says")


def _clusters(
    rows: Indices, group: Column | None, pictures: _Pictures, values: dict[str, Values]
) -> Generator[Step, None, tuple[Indices, list[bytes]]]:
    """Which rows must stay together: of one group, or with a picture of the same content. [N], and a key for each."""
    owner = list(range(len(rows)))
    seen: dict[bytes, int] = {}
    for n, row in enumerate(rows):
        if n % BLOCK == 0:
            yield n, len(rows), "Looking for groups and copies"
        marks = [pictures.digests[place[row]] for place in pictures.places.values() if place[row] >= 0]
        if group is not None and group.cells[row]:
            marks.append(b"group " + group.cells[row].encode())
        for mark in marks:
            _join(owner, n, seen.setdefault(mark, n))
    keys: dict[int, bytes] = {}
    found = np.empty(len(rows), np.int64)
    number: dict[int, int] = {}
    for n, row in enumerate(rows):
        if n % BLOCK == 0:
            yield n, len(rows), "Looking for groups and copies"
        root = _root(owner, n)
        found[n] = number.setdefault(root, len(number))
        key = _key(int(row), group, pictures, values)
        keys[found[n]] = min(keys.get(found[n], key), key)
    return found, [keys[k] for k in range(len(keys))]


def _root(owner: list[int], n: int) -> int:
    while owner[n] != n:
        owner[n] = owner[owner[n]]
        n = owner[n]
    return n


def _join(owner: list[int], a: int, b: int) -> None:
    a, b = _root(owner, a), _root(owner, b)
    owner[max(a, b)] = min(a, b)


def _key(row: int, group: Column | None, pictures: _Pictures, values: dict[str, Values]) -> bytes:
    """What a row is by its content, so that its place in the file does not matter."""
    if group is not None and group.cells[row]:
        return group.cells[row].encode()
    shown = [pictures.digests[place[row]] for place in pictures.places.values() if place[row] >= 0]
    return b"".join(shown) or "\n".join(one.column.cells[row] for one in values.values()).encode()


# -- the data set --------------------------------------------------------------------------------------------------


def _dataset(
    file: Path,
    rows: Indices,
    splits: dict[str, Indices],
    pictures: _Pictures,
    values: dict[str, Values],
    report: Report,
) -> Generator[Step, None, Dataset]:
    labels = [one.column.name for one in values.values() if one.column.kind == "label"]
    about = labels[0] if len(labels) == 1 else ""
    shape = tuple(pictures.pixels.shape[1:])
    modalities = [Modality(name, "image", shape, about=about) for name in pictures.places]
    for one in values.values():
        factor = one.column.name if one.column.kind in CLASSES else ""
        modalities.append((yield from described(one, splits["train"], factor)))
    number = np.full(int(rows.max()) + 1, -1, np.int64)
    number[rows] = np.arange(len(rows))
    parts = {}
    for name in SPLITS:
        parts[name] = yield from _part(splits[name], number, pictures, values, modalities)
    yield 0, 1, "Adding up"
    card = _card(file, parts, modalities, _factors(values, rows), report)
    digest = yield from _content(card, parts)
    return Dataset(replace(card, sha256=digest), parts, report.lines())


def _part(
    rows: Indices, number: Indices, pictures: _Pictures, values: dict[str, Values], modalities: list[Modality]
) -> Generator[Step, None, Part]:
    shown: dict[str, torch.Tensor] = {}
    erased: dict[str, torch.Tensor] = {}
    for name, place in pictures.places.items():
        shown[name] = yield from _pixels(pictures.pixels, place[rows])
        if (place[rows] < 0).any():
            erased[name] = torch.from_numpy(place[rows] < 0)
    first, *more = shown
    others = {name: shown[name] for name in more}
    factors = {}
    texts: list[str] = []
    for modality in modalities[len(shown) :]:
        one = values[modality.name]
        others[modality.name] = yield from chosen_rows(one, modality, rows)
        if modality.kind in CLASSES:
            codes = others[modality.name]
            factors[modality.name] = torch.where(codes < 0, len(modality.categories), codes)
        if modality.kind == "text" and not texts:
            texts = [one.column.cells[i] for i in rows]
    return Part(
        x=shown[first],
        indices=torch.from_numpy(number[rows]),
        factors=factors,
        texts=texts,
        name=first,
        others=others,
        erased=erased,
    )


def _pixels(pixels: NDArray[np.uint8], place: Indices) -> Generator[Step, None, torch.Tensor]:
    """Pictures [n, C, H, W]; black where there is none."""
    found = np.zeros((len(place), *pixels.shape[1:]), np.uint8)
    rows = rows_of(pixels)
    for start in range(0, len(place), rows):
        yield start, len(place), "Cutting into train, valid and test"
        some = place[start : start + rows]
        found[start : start + rows][some >= 0] = pixels[some[some >= 0]]
    return torch.from_numpy(found)


def _factors(values: dict[str, Values], rows: Indices) -> tuple[Factor, ...]:
    """Annotations for the window; where some are missing they have a category of their own, the last."""
    found = []
    for one in values.values():
        if one.column.kind in CLASSES:
            more = () if one.known()[rows].all() else (NOT_RECORDED,)
            found.append(Factor(one.column.name, (*one.categories, *more)))
    return tuple(found)


def _card(
    file: Path, parts: dict[str, Part], modalities: list[Modality], factors: tuple[Factor, ...], report: Report
) -> DataCard:
    shape = modalities[0].shape
    counts = {name: len(part) for name, part in parts.items()}
    names = ", ".join(modality.name for modality in modalities)
    return DataCard(
        name=f"table:{file}@{shape[2]}",
        title=file.stem,
        summary=f"{sum(counts.values()):,} rows of your own table: {names}; pictures {shape[2]} x {shape[1]}.",
        modalities=tuple(modalities),
        factors=factors,
        counts=counts,
        split_seed=SPLIT_SEED,
        licence="not stated: your own files",
        source=str(file),
        changes="; ".join(report.lines()),
    )


def _content(card: DataCard, parts: dict[str, Part]) -> Generator[Step, None, str]:
    """SHA-256 of what a model can see and of the cut."""
    digest = hashlib.sha256(json.dumps(as_json(card.modalities), ensure_ascii=False).encode())
    for split, part in parts.items():
        arrays = {"indices": part.indices, **part.others, **{f"{k} erased": v for k, v in part.erased.items()}}
        pictures = [name for name, values in arrays.items() if values.dtype == torch.uint8]
        for name, pixels in ((part.name, part.x), *((name, arrays.pop(name)) for name in pictures)):
            digest.update(f"{split} {name} {tuple(pixels.shape)}".encode())
            rows = rows_of(pixels.numpy())
            for start in range(0, len(pixels), rows):
                yield start, len(pixels), "Adding up"
                digest.update(pixels[start : start + rows].numpy().tobytes())
        digest.update(fingerprint({name: values.numpy() for name, values in arrays.items()}).encode())
    return digest.hexdigest()
