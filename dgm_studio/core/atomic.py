"""Files that are either the old one or the new one, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = ".tmp"  # the ending of a file that is being written; whatever carries it may be swept away


def temporary_for(path: Path) -> Path:
    """Where the next `path` is written before it takes the name; on the same file system, one for each process."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a small file in one go.

    Args:
        path: The file; its folder exists.
        data: Its new content.
        durable: Wait until the disk has it.

    Raises:
        OSError: The disk is full or not writable; the old file is untouched and no temporary stays behind.
    """
    temporary = temporary_for(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        settle(temporary, path, durable=durable)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def settle(temporary: Path, path: Path, *, durable: bool = True) -> None:
    """Give a finished temporary its name, and make the folder remember it."""
    os.replace(temporary, path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Delete temporaries that a killed process left; returns what was deleted. Call it while holding the run's lock."""
    found = [path for folder in folders if folder.is_dir() for path in folder.glob(f".*{TEMPORARY}")]
    for path in found:
        path.unlink(missing_ok=True)
    return tuple(found)
