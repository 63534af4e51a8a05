"""Reading npy and npz from strangers: no pickles, nothing allocated before the declared size was checked, in steps."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dgm_studio.core.updates import Problem
from dgm_studio.data.own_files import Step

MOST_BYTES = 2 << 30  # of all arrays of a file
MOST_ARRAYS = 1000
CHUNK = 1 << 20


@dataclass(frozen=True)
class Stored:
    """An array of a file.

    Args:
        shape: As declared.
        array: Its values, or None when it holds something else than plain values.
        why: What it holds then.
    """

    shape: tuple[int, ...]
    array: NDArray[np.generic] | None
    why: str = ""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_arrays(path: Path) -> Generator[Step, None, dict[str, Stored]]:
    """Every array of an npz by name, or the one of an npy as "x".

    Yields:
        (bytes done, bytes in all, what is being done), every megabyte.

    Raises:
        Problem: The file is damaged, is neither npy nor npz, or declares more than two gibibytes.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            file.seek(0)
            if start == np.lib.format.MAGIC_PREFIX:
                return {"x": (yield from _read_array(file, path.stat().st_size, "x", path.name))}
            if start[:2] == b"PK":
                return (yield from _read_zip(file, path.name))
    except Problem:
        raise
    except Exception as error:  # a hostile header makes the parsers raise nearly anything
        raise Problem(
            f"{path.name} is damaged or truncated ({type(error).__name__}).", "Save the file again."
        ) from error
    raise Problem(f"{path.name} is neither an npz nor an npy file.", "Save it with numpy.savez or numpy.save.")


def _read_zip(file: IO[bytes], title: str) -> Generator[Step, None, dict[str, Stored]]:
    arrays: dict[str, Stored] = {}
    with zipfile.ZipFile(file) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        if len(entries) > MOST_ARRAYS:
            raise Problem(f"{title} holds {len(entries):,} arrays.", f"At most {MOST_ARRAYS:,} are read.")
        _refuse_size(sum(entry.file_size for entry in entries), title)
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as member:
                arrays[name] = yield from _read_array(member, entry.file_size, name, title)
    return arrays


def _read_array(file: IO[bytes], file_size: int, name: str, title: str) -> Generator[Step, None, Stored]:
    """Reads one array after checking that what its header declares is what there is."""
    header = _read_header(file)
    if header.dtype.hasobject:
        return Stored(header.shape, None, "Python objects, which are never opened")
    if header.dtype.names is not None or header.dtype.itemsize == 0:
        return Stored(header.shape, None, "records or empty values")
    _refuse_size(header.size, title)
    if header.size > file_size:
        declared = f"{name} {list(header.shape)} of {header.dtype}"
        raise Problem(f"{title} is truncated: it declares {declared} but ends before.", "Save the file again.")
    buffer = np.empty(header.size, np.uint8)  # pages are touched as they are filled; a bytearray is zeroed at once
    view, done = buffer.data, 0
    while done < header.size:
        yield done, header.size, f"Reading {name}"
        block = file.read(min(CHUNK, header.size - done))
        if not block:
            raise Problem(f"{title} is truncated in the array {name}.", "Save the file again.")
        view[done : done + len(block)] = block
        done += len(block)
    array = np.frombuffer(buffer, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
    return Stored(header.shape, array.astype(header.dtype.newbyteorder("="), copy=False))


def _read_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = read(file)
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"shape {shape}")
    return _Header(tuple(shape), bool(fortran), dtype)


def _refuse_size(size: int, title: str) -> None:
    if size > MOST_BYTES:
        raise Problem(
            f"{title} declares {size / 2**30:,.1f} GiB of values.",
            "At most 2 GiB are read; keep fewer or smaller items.",
        )
