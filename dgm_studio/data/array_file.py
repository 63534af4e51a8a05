"""An npz or npy file of the user's: pictures, flat or not, or points in the plane, with labels if there are any."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset
from dgm_studio.data.npy import Stored, read_arrays
from dgm_studio.data.own_files import (
    LARGEST_SIDE,
    NAMED,
    SMALLEST_SIDE,
    Items,
    Report,
    Step,
    checked_size,
    encoded,
    finish,
    fit,
    require_memory,
    rows_of,
)

ITEM_NAMES = ("x", "images", "data", "image", "pictures", "points", "x_train", "arr_0")
LABEL_NAMES = ("y", "labels", "label", "target", "targets", "y_train", "arr_1")
CHANNELS = (1, 3, 4)

Array = NDArray[np.generic]


@dataclass(frozen=True)
class _Scale:
    """Values to bytes: round(255 (x - low) / (high - low))."""

    low: float
    high: float
    note: str = ""

    def __call__(self, x: Array) -> NDArray[np.uint8]:
        if x.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return x.astype(np.uint8)
        # halves, so that the range of the largest numbers there are is still a number
        unit = (x.astype(np.float64) / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        return np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)


def open_file(path: str, size: int | None = None) -> Generator[Step, None, Dataset]:
    """Reads the items of an npz or npy file.

    The items are the array called x, images or data (else the only one with two or more axes), the labels the one
    called y or labels. [N, 2] of real numbers are points; [N, D] with a square D are grey pictures, row by row;
    [N, H, W] are grey pictures; [N, H, W, C] when the last axis is 1, 3 or 4, else [N, C, H, W] when the second is.
    Real values are in [0, 1], [-1, 1] or [0, 255], or are stretched, which the report says. Pictures larger than 64
    are cut to the square in their middle and averaged to 64 x 64, unless a size is given.

    Args:
        path: The file.
        size: Side in pixels, or None.

    Yields:
        (done, total, what is being done).

    Returns:
        The data set; its report says what was dropped or changed and why.

    Raises:
        Problem: No such file, a damaged one, one with Python objects, or no array that can be understood.
    """
    file, size = Path(path).expanduser().absolute(), checked_size(size)
    if not file.is_file():
        raise Problem(f"There is no file {file}.", "Choose an npz or npy file.")
    arrays = yield from read_arrays(file)
    name, x = _items_of(arrays, file.name)
    if x.dtype.kind == "f" and x.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            x = x.astype(np.float64)
    report = Report()
    labels = _labels_of(arrays, name, len(x), report)
    canonical = f"file:{file}"
    values: Array
    if x.ndim == 2 and x.shape[1] == 2 and x.dtype.kind == "f":
        values, kept = yield from _points(x, report)
    else:
        pictures = _layout(x, file.name)
        kept, scale = yield from _finite(pictures, report)
        side = size or (LARGEST_SIDE if max(pictures.shape[1:3]) > LARGEST_SIDE else None)
        canonical += f"@{side}" if side else ""
        values = yield from _pixels(pictures, kept, scale, side, report)
    factors = {} if labels is None else {"label": labels}
    items = Items(
        canonical,
        file.name,
        str(file),
        values,
        {key: numbers[kept] for key, (numbers, _) in factors.items()},
        {key: words for key, (_, words) in factors.items()},
        report,
    )
    return (yield from finish(items))


def _items_of(arrays: dict[str, Stored], title: str) -> tuple[str, Array]:
    """The array with the items, refused with the list of what there is."""
    by_name = {name.lower(): name for name in arrays}
    name = next((by_name[known] for known in ITEM_NAMES if known in by_name), None)
    if name is None:
        wide = [key for key, stored in arrays.items() if len(stored.shape) >= 2]
        name = wide[0] if len(wide) == 1 else None
    if name is None:
        found = ", ".join(f"{key} {list(stored.shape)}" for key, stored in list(arrays.items())[:NAMED]) or "nothing"
        raise Problem(f"{title} holds no array called x, images or data (it holds {found}).", "Rename the array.")
    stored = arrays[name]
    if stored.array is None:
        raise Problem(f"The array {name} in {title} holds {stored.why}.", "Save it as plain numbers.")
    x = stored.array
    if x.dtype.kind not in "buif" or x.ndim < 2:
        kind = f"shape {list(x.shape)}" if x.dtype.kind in "buif" else f"type {x.dtype}"
        raise Problem(f"The array {name} in {title} has {kind}.", "Expected are numbers with one row per item.")
    return name, x


def _labels_of(
    arrays: dict[str, Stored], items: str, count: int, report: Report
) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
    name = next((key for known in LABEL_NAMES for key in arrays if key.lower() == known and key != items), None)
    if name is None:
        return None
    y = arrays[name].array
    if y is None:
        report.notes.append(f"labels {name} ignored: they hold {arrays[name].why}")
        return None
    if y.size != count or y.shape[0] != count:
        report.notes.append(f"labels {name} ignored: shape {list(y.shape)} for {count:,} items")
        return None
    if y.dtype.kind == "f" and np.isfinite(y).all() and np.abs(y).max(initial=0.0) < 2**53 and (y == np.rint(y)).all():
        y = y.astype(np.int64)
    try:
        labels = encoded(y.reshape(-1)) if y.dtype.kind in "buiU" else None
    except ValueError:  # text with numbers in it that are no characters
        labels = None
    if labels is None:
        report.notes.append(f"labels {name} ignored: not 2 to 200 different whole numbers or words")
    return labels


def _layout(x: Array, title: str) -> Array:
    """Any accepted layout as [N, H, W, C], a view."""
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        if side * side != x.shape[1]:
            raise Problem(
                f"{title} holds rows of {x.shape[1]:,} numbers, which is no square picture.",
                "Store pictures as [N, H, W], or points in the plane as real numbers [N, 2].",
            )
        x = x.reshape(len(x), side, side, 1)
    elif x.ndim == 3:
        x = x[..., None]
    elif x.ndim == 4 and x.shape[3] not in CHANNELS and x.shape[1] in CHANNELS:
        x = x.transpose(0, 2, 3, 1)
    if x.ndim != 4 or x.shape[3] not in CHANNELS:
        raise Problem(
            f"The shape {list(x.shape)} in {title} is not understood.", "Store pictures as [N, H, W] or [N, H, W, 3]."
        )
    if not all(SMALLEST_SIDE <= side <= 8192 for side in x.shape[1:3]):
        raise Problem(f"Pictures of {x.shape[2]} x {x.shape[1]} in {title} cannot be used.", "The smallest is 4 x 4.")
    return x


def _finite(x: Array, report: Report) -> Generator[Step, None, tuple[NDArray[np.int64], _Scale]]:
    """Which items hold neither NaN nor Inf, and how the values of those become bytes."""
    good = np.ones(len(x), dtype=bool)
    low, high, whole = math.inf, -math.inf, x.dtype.kind != "f"
    rows = rows_of(x)
    for start in range(0, len(x), rows):
        yield start, len(x), "Checking values"
        block = x[start : start + rows]
        if not whole:
            good[start : start + rows] = np.isfinite(block).all(axis=(1, 2, 3))
            block = block[good[start : start + rows]]
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    _note_dropped(good, report)
    scale = _scale_for(low, high, whole)
    if scale.note:
        report.notes.append(scale.note)
    return np.flatnonzero(good), scale


def _scale_for(low: float, high: float, whole: bool) -> _Scale:
    """From the range of all values to what they must have meant."""
    if not low <= high:  # no item is left; `finish` refuses
        return _Scale(0.0, 255.0)
    if low >= 0 and high <= 1:
        return _Scale(0.0, 1.0)
    if low >= -1 and high <= 1:
        return _Scale(-1.0, 1.0, "values from -1 to 1 were moved to 0 to 255")
    if low >= 0 and 64 <= high <= 255:
        return _Scale(0.0, 255.0)
    if whole and low >= 0 and 256 <= high <= 65535:
        return _Scale(0.0, 65535.0, "16-bit values were divided by 257")
    start = 0.0 if low >= 0 else low
    high = high if high > start else start + max(1.0, abs(start))
    return _Scale(start, high, f"values from {start:g} to {high:g} were stretched to 0 to 255")


def _note_dropped(good: NDArray[np.bool_], report: Report) -> None:
    for row in np.flatnonzero(~good):
        report.skip(f"row {row}", "NaN or Inf")


def _pixels(
    x: Array, kept: NDArray[np.int64], scale: _Scale, side: int | None, report: Report
) -> Generator[Step, None, NDArray[np.uint8]]:
    """The kept items as uint8 [N, C, H, W]."""
    channels = 3 if x.shape[3] == 4 else x.shape[3]
    height, width = (side, side) if side else x.shape[1:3]
    require_memory(len(kept), channels, max(height, width), "The file")
    pixels = np.empty((len(kept), channels, height, width), np.uint8)
    convert: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = _on_white if x.shape[3] == 4 else lambda block: block
    rows = rows_of(x)
    for start in range(0, len(kept), rows):
        yield start, len(kept), "Reading pictures"
        block = convert(scale(x[kept[start : start + rows]]))
        if side:
            block = np.stack([_fitted(picture, side) for picture in block])
        pixels[start : start + rows] = block.transpose(0, 3, 1, 2)
    if x.shape[3] == 4:
        report.notes.append("what was transparent became white")
    if side and (x.shape[1], x.shape[2]) != (side, side):
        report.notes.append(
            f"{x.shape[2]} x {x.shape[1]} cut to the middle square and resized to {side} x {side} by area"
        )
    return pixels


def _on_white(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA [n, H, W, 4] to RGB [n, H, W, 3] on white."""
    alpha = block[..., 3:].astype(np.float64) / 255.0
    return np.rint(block[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)


def _fitted(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """[H, W, C] to [side, side, C]."""
    grey = picture.shape[2] == 1
    image = Image.fromarray(np.ascontiguousarray(picture[..., 0] if grey else picture))
    return np.asarray(fit(image, side)).reshape(side, side, picture.shape[2])


def _points(x: Array, report: Report) -> Generator[Step, None, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Finite points as float32 [N, 2], and which rows they were."""
    yield 0, 1, "Reading points"
    with np.errstate(over="ignore"):
        values = x.astype(np.float32)
    # squares of larger numbers overflow in float32, and with them every variance
    good = np.asarray((np.abs(values) < 1e15).all(axis=1))  # false for NaN and Inf, too
    _note_dropped(good, report)
    return values[good], np.flatnonzero(good)
