"""A folder of the user's pictures, at any depth. What cannot be used is named and skipped, never a crash."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset
from dgm_studio.data.own_files import (
    LARGEST_SIDE,
    Items,
    Report,
    Step,
    checked_size,
    encoded,
    finish,
    fit,
    require_memory,
)

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # nothing that starts another program, like EPS
MOST_PIXELS = 40_000_000  # of one picture: a decompression bomb declares far more
TOO_MANY_PIXELS = f"more than {MOST_PIXELS // 10**6} million pixels"
DAMAGED = "damaged or truncated"
MOST_FILE_BYTES = 200_000_000
SMALLEST_PICTURE = 2


@dataclass(frozen=True)
class Found:
    """A picture that can be opened."""

    path: str
    name: str  # relative to the folder
    size: tuple[int, int]


def open_folder(path: str, size: int | None = None) -> Generator[Step, None, Dataset]:
    """Reads every picture under a folder; each is cut to the square in its middle and averaged to size x size.

    One picture is decoded between two yields. When all are grey the set has one channel, else three; what is
    transparent becomes white. Where pictures lie in at least two subfolders, the subfolder is a factor.

    Args:
        path: The folder.
        size: Side in pixels; by default the shorter side of the most common size, at most 64, in steps of four.

    Yields:
        (done, total, what is being done).

    Returns:
        The data set; its report says what was skipped and why.

    Raises:
        Problem: No folder, too few pictures, or more than memory should hold.
    """
    folder, size = Path(path).expanduser().absolute(), checked_size(size)
    if not folder.is_dir():
        raise Problem(f"There is no folder {folder}.", "Choose a folder that holds pictures.")
    report = Report()
    found = yield from survey(folder, (yield from _walk(folder, report)), report)
    side = size or common_side(found)
    title = f"Pictures in {folder.name or folder}"
    require_memory(len(found), 3, side, title)
    pixels, read = yield from read_pictures(found, side, report)
    note_sizes([found[i] for i in read], side, report)
    labels = _folders([found[i].name for i in read], report)
    factors = {} if labels is None else {"folder": labels}
    items = Items(
        f"folder:{folder}@{side}",
        title,
        str(folder),
        pixels,
        {name: values for name, (values, _) in factors.items()},
        {name: words for name, (_, words) in factors.items()},
        report,
    )
    return (yield from finish(items))


def _walk(folder: Path, report: Report) -> Generator[Step, None, list[str]]:
    """Every file with a picture's ending, sorted; links to folders are not followed, so that no circle is."""
    paths: list[str] = []
    waiting, seen = [str(folder)], 0
    while waiting:
        where = waiting.pop()
        try:
            with os.scandir(where) as entries:
                for entry in entries:
                    if seen % 500 == 0:
                        yield 0, 0, f"Found {len(paths):,} pictures"
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif os.path.splitext(entry.name)[1].lower() in ENDINGS:
                        paths.append(entry.path)
        except OSError as error:
            report.skip(where, f"folder cannot be read, {error.strerror}")
    return sorted(paths)


def survey(folder: Path, paths: list[str], report: Report) -> Generator[Step, None, list[Found]]:
    """Opens and verifies each file without decoding it."""
    found = []
    for i, path in enumerate(paths):
        yield i, len(paths), "Checking pictures"
        name = path.removeprefix(f"{folder}{os.sep}")
        try:
            reason, size = _check(path)
        except Image.DecompressionBombError:
            reason, size = TOO_MANY_PIXELS, (0, 0)
        except UnidentifiedImageError:
            reason, size = "not a picture that can be read", (0, 0)
        except Exception:  # on hostile bytes a decoder raises nearly anything; each is reported
            reason, size = DAMAGED, (0, 0)
        if reason:
            report.skip(name, reason)
        else:
            found.append(Found(path, name, size))
    return found


def _check(path: str) -> tuple[str, tuple[int, int]]:
    """Why a picture cannot be used, or "", and its size."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
        return "not a regular file", (0, 0)
    if status.st_size == 0:
        return "empty file", (0, 0)
    if status.st_size > MOST_FILE_BYTES:
        return f"file larger than {MOST_FILE_BYTES // 10**6} MB", (0, 0)
    with _opened(path) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS:
            return TOO_MANY_PIXELS, (0, 0)
        if min(width, height) < SMALLEST_PICTURE:
            return "only one pixel wide or high", (0, 0)
        picture.verify()
    return "", (width, height)


def _opened(path: str) -> Image.Image:
    return Image.open(path, formats=FORMATS)


def common_side(found: list[Found]) -> int:
    """The shorter side of the most common size, at most 64, in steps of four."""
    if not found:
        return LARGEST_SIDE
    # of equally common sizes the larger, so that the choice does not hang on the order of files
    (width, height), _ = max(Counter(f.size for f in found).items(), key=lambda item: (item[1], item[0]))
    side = min(width, height, LARGEST_SIDE)
    return max(8, side - side % 4)


def read_pictures(
    found: list[Found], side: int, report: Report
) -> Generator[Step, None, tuple[NDArray[np.uint8], list[int]]]:
    """Pixels uint8 [N, C, side, side] of what could be decoded, and which those are."""
    pixels = np.empty((len(found), 3, side, side), np.uint8)
    read: list[int] = []
    for i, one in enumerate(found):
        yield i, len(found), "Reading pictures"
        try:
            pixels[len(read)] = decode(one.path, side)
        except Exception:  # as above
            report.skip(one.name, DAMAGED)
        else:
            read.append(i)
    pixels = pixels[: len(read)]
    grey = True
    for start in range(0, len(pixels), 256):
        yield start, len(pixels), "Comparing channels"
        block = pixels[start : start + 256]
        grey = grey and bool((block == block[:, :1]).all())
    return (pixels[:, :1] if grey else pixels), read


def decode(path: str, side: int) -> NDArray[np.uint8]:
    """One picture as uint8 [3, side, side]: upright, on white, the middle square averaged over areas.

    Raises:
        Exception: Whatever Pillow raises for a damaged file.
    """
    with _opened(path) as picture:
        picture.draft("RGB", (2 * side, 2 * side))  # lets a JPEG be decoded at a fraction of its size
        return np.asarray(fit(to_rgb(ImageOps.exif_transpose(picture)), side)).transpose(2, 0, 1)


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB: 16-bit grey is scaled, not clipped, and what is transparent becomes white."""
    if picture.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(picture, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        top = max(float(values.max()), 1e-12)
        full = 65535.0 if picture.mode.startswith("I") and top > 255 else 255.0 if top > 1.0 else 1.0
        picture = Image.fromarray(np.rint(np.clip(values / max(full, top), 0.0, 1.0) * 255.0).astype(np.uint8))
    if picture.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return picture.convert("RGB")


def note_sizes(read: list[Found], side: int, report: Report) -> None:
    """Says how many pictures were cropped and resized."""
    cropped = sum(one.size[0] != one.size[1] for one in read)
    resized = sum(min(one.size) != side for one in read)
    if cropped:
        report.notes.append(f"{cropped:,} cut to the square in their middle")
    if resized:
        report.notes.append(f"{resized:,} resized to {side} x {side} by area")


def _folders(names: list[str], report: Report) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
    """The subfolder of each picture, at the first depth where there are at least two."""
    if not names:
        return None
    parents = [name.split(os.sep)[:-1] for name in names]
    depth = 0
    while all(len(parts) > depth and parts[depth] == parents[0][depth] for parts in parents):
        depth += 1
    words = [(parts[depth] if len(parts) > depth else "(top)").encode("utf-8", "replace").decode() for parts in parents]
    labels = encoded(words)
    if labels is None and len(set(words)) > 1:
        report.notes.append(f"{len(set(words)):,} subfolders are too many to be used as labels")
    return labels
