"""The user's own files: the limits, the report of what was skipped, and the way from items to a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dgm_studio.core.cards import DataCard, Factor, Modality
from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.splits import SPLITS, by_content, fingerprint

FEWEST = 10  # different items
LARGEST_SIDE = 64  # by default
SMALLEST_SIDE = 4
MOST_BYTES = 1 << 30  # of pixels in memory
MOST_CATEGORIES = 200
NAMED = 5  # in a line of the report, before "and 12 more"

Step = tuple[int, int, str]


@dataclass
class Report:
    """What was skipped or changed, gathered by reason."""

    skipped: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def skip(self, name: str, reason: str) -> None:
        """Notes that one item was left out."""
        # a file name may hold bytes that are no text
        self.skipped.setdefault(reason, []).append(name.encode("utf-8", "replace").decode())

    def lines(self) -> tuple[str, ...]:
        """One line per reason, with counts and the first names; then the notes."""
        lines = []
        for reason, names in self.skipped.items():
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            lines.append(f"{len(names):,} skipped: {reason} ({', '.join(names[:NAMED])}{more})")
        return (*lines, *self.notes)


@dataclass(frozen=True)
class Items:
    """Everything that was read, before the cut.

    Args:
        name: Of the data set, as the registry takes it.
        title: Short, for people.
        source: The path.
        x: Images uint8 [N, C, H, W] or points float32 [N, 2].
        labels: Category of each item by factor name.
        categories: The words, by factor name.
        report: What was skipped.
    """

    name: str
    title: str
    source: str
    x: NDArray[np.generic]
    labels: dict[str, NDArray[np.int64]]
    categories: dict[str, tuple[str, ...]]
    report: Report


def fit(picture: Image.Image, side: int) -> Image.Image:
    """The largest square in the middle, averaged over areas to side x side."""
    width, height = picture.size
    edge = min(width, height)
    left, top = (width - edge) / 2.0, (height - edge) / 2.0
    return picture.resize((side, side), Image.Resampling.BOX, box=(left, top, left + edge, top + edge))


def checked_size(size: int | None) -> int | None:
    """The size that was asked for, if it is one.

    Raises:
        Problem: It is too small or too large.
    """
    if size is not None and not SMALLEST_SIDE <= size <= 512:
        raise Problem(f"Pictures of {size} x {size} cannot be made.", f"Choose a size from {SMALLEST_SIDE} to 512.")
    return size


def finish(items: Items) -> Generator[Step, None, Dataset]:
    """Cuts items into splits by their content and hands over the data set.

    Yields:
        Progress.

    Raises:
        Problem: Fewer than ten different items.
    """
    digests = yield from _digests(items.x)
    distinct = len(set(digests))
    if distinct < FEWEST:
        raise Problem(
            f"{items.title} holds {distinct} different items that can be used; at least {FEWEST} are needed.",
            " ".join(f"{line}." for line in items.report.lines()[:3]),
        )
    if distinct < len(digests):
        items.report.notes.append(
            f"{len(digests) - distinct:,} are exact copies of others; copies always stand in the same split"
        )
    splits = by_content(digests)
    parts = {}
    for split in SPLITS:
        parts[split] = yield from _part(items, splits[split])
    if items.x.ndim == 2:
        parts = _standardised(parts)
    sha256 = fingerprint({"digests": np.frombuffer(b"".join(digests), np.uint8), **items.labels, **splits})
    return Dataset(_card(items, {s: len(splits[s]) for s in SPLITS}, sha256), parts, items.report.lines())


def _digests(x: NDArray[np.generic]) -> Generator[Step, None, list[bytes]]:
    digests, rows = [], rows_of(x)
    for i in range(len(x)):
        if i % rows == 0:
            yield i, len(x), "Looking for copies"
        digests.append(hashlib.sha256(x[i].tobytes()).digest())
    return digests


def _part(items: Items, indices: NDArray[np.int64]) -> Generator[Step, None, Part]:
    x = np.empty((len(indices), *items.x.shape[1:]), items.x.dtype)
    rows = rows_of(x)
    for start in range(0, len(indices), rows):
        yield start, len(indices), "Cutting into train, valid and test"
        x[start : start + rows] = items.x[indices[start : start + rows]]
    factors = {name: torch.from_numpy(labels[indices]) for name, labels in items.labels.items()}
    return Part(torch.from_numpy(x), torch.from_numpy(indices), factors)


def _standardised(parts: dict[str, Part]) -> dict[str, Part]:
    train = parts["train"].x.double()
    std = train.std(0, unbiased=False)
    mean, std = train.mean(0).float(), torch.where(std > 0, std, 1.0).float()
    return {name: Part(p.x, p.indices, p.factors, p.texts, mean, std) for name, p in parts.items()}


def _card(items: Items, counts: dict[str, int], sha256: str) -> DataCard:
    points = items.x.ndim == 2
    shape = tuple(items.x.shape[1:])
    what = "points in the plane" if points else f"{'grey' if shape[0] == 1 else 'colour'} pictures"
    by = "" if points else f", {shape[2]} x {shape[1]}"
    return DataCard(
        name=items.name,
        title=items.title,
        summary=f"{len(items.x):,} {what}{by}, from your own files.",
        modalities=(Modality("points" if points else "image", "points" if points else "image", shape),),
        factors=tuple(Factor(name, words) for name, words in items.categories.items()),
        counts=counts,
        licence="not stated: your own files",
        credit="",
        source=items.source,
        changes="; ".join(items.report.lines()),
        sha256=sha256,
    )


def rows_of(x: NDArray[np.generic]) -> int:
    """Items in a block of about two megabytes, so that no step takes long."""
    return max(1, min(1024, (2 << 20) // max(1, x[0].nbytes if len(x) else 1)))


def encoded(labels: list[str] | NDArray[np.generic]) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
    """Labels as integers and their words in order; None unless there are 2 to 200 different ones."""
    words, values = np.unique(np.asarray(labels), return_inverse=True)
    if not 2 <= len(words) <= MOST_CATEGORIES:
        return None
    return values.astype(np.int64).reshape(-1), tuple(
        str(w).encode("utf-8", "replace").decode() for w in words.tolist()
    )


def require_memory(count: int, channels: int, side: int, title: str) -> None:
    """Refuses what would not fit before any of it is read.

    Raises:
        Problem: More than a gibibyte of pixels.
    """
    size = count * channels * side * side
    if size > MOST_BYTES:
        raise Problem(
            f"{title} would take {size / 2**30:.1f} GiB of memory as {count:,} pictures of {side} x {side}.",
            f"Add a smaller size to the name, for example @{max(SMALLEST_SIDE, side // 2)}, or use fewer pictures.",
        )
