"""Runs that were deleted: kept in a folder of their own until they are brought back or deleted for good."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dgm_studio.core.resources import home, runs_dir
from dgm_studio.core.runs import new_run_folder
from dgm_studio.core.updates import Problem


@dataclass(frozen=True)
class Discarded:
    """A run in the trash.

    Args:
        path: Where it lies, NAME.NANOSECONDS.
        name: Of the folder that it was.
        size: Bytes of all its files.
    """

    path: Path
    name: str
    size: int


def trash_dir() -> Path:
    """The folder of deleted runs; it may not be there."""
    return home() / "trash"


def contents() -> tuple[Discarded, ...]:
    """What is in the trash, what was deleted last first."""
    try:
        found = [path for path in trash_dir().iterdir() if path.is_dir() and path.suffix[1:].isdecimal()]
    except FileNotFoundError:
        return ()
    found.sort(key=lambda path: int(path.suffix[1:]), reverse=True)
    return tuple(Discarded(path, path.stem, _size(path)) for path in found)


@lru_cache(maxsize=1024)
def _size(path: Path) -> int:
    """Bytes below a folder; what lies in the trash does not change."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # deleted meanwhile
                continue
    return total


def size_words(size: int) -> str:
    """Bytes as people read them.

    >>> size_words(812), size_words(4_210_000), size_words(1_300_000_000)
    ('1 kB', '4.2 MB', '1.3 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{max(1, round(size / 1e3)):,} kB" if size else "0 kB"


def throw_away(folder: Path) -> Discarded:
    """Move a run into the trash.

    Raises:
        OSError: It cannot be moved; it is where it was.
    """
    trash_dir().mkdir(parents=True, exist_ok=True)
    target = trash_dir() / f"{folder.name}.{time.time_ns()}"
    _move(folder, target)
    return Discarded(target, folder.name, _size(target))


def bring_back(discarded: Discarded, folder: Path | None = None) -> Path:
    """Move a run out of the trash; returns where it is now.

    Args:
        discarded: What to bring back.
        folder: Where it was; None is the user's folder of runs. When another run has taken the name: beside it.

    Raises:
        Problem: It is no longer in the trash, or cannot be moved.
    """
    target = folder or runs_dir() / discarded.name
    if target.exists():
        target = new_run_folder(target.name)
    if not discarded.path.is_dir():
        raise Problem(f"{discarded.name} is no longer in the trash.", "The trash was emptied.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(discarded.path, target)
    except OSError as error:
        sentence = f"{discarded.name} could not be brought back: {error.strerror or error}."
        raise Problem(sentence, f"It is in {discarded.path}.") from error
    return target


def delete_for_good(discarded: Discarded) -> None:
    """Delete a run in the trash.

    Raises:
        Problem: Something of it cannot be deleted.
    """
    try:
        shutil.rmtree(discarded.path)
    except FileNotFoundError:  # brought back, or deleted by another window
        return
    except OSError as error:
        sentence = f"{discarded.name} could not be deleted: {error.strerror or error}."
        raise Problem(sentence, f"It is in {discarded.path}.") from error


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError:  # another file system
        shutil.move(source, target)
