"""The safetensors format with the standard library: header in, header out, and nothing believed unchecked.

A file is 8 bytes (length of the header, little endian), the header (JSON: tensor name -> dtype, shape, byte range; and
"__metadata__", strings by name) and the tensors' bytes, which the ranges tile without gap or overlap.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgm_studio.core.updates import Problem

ITEM_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1
}  # fmt: skip
LARGEST_HEADER = 16 * 2**20  # bytes; a model of 100,000 tensors needs about 12 MB
LARGEST_COUNT = 100_000
LARGEST_RANK = 8
LARGEST_NAME = 256
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a file.

    Args:
        name: Its name: letters, digits, dots, dashes and underscores; nothing that could be a path.
        dtype: One of `ITEM_SIZES`.
        shape: Its shape.
        begin: First byte, counted from the end of the header.
        end: One past its last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the tensors' bytes.

    Args:
        tensors: In the order of their bytes.
        metadata: Strings by name.
        start: Where the tensors' bytes begin in the file.
        size: How many bytes they have.
    """

    tensors: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    start: int
    size: int


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; the tensors' bytes are not touched.

    Raises:
        Problem: There is no such file, or it is truncated, damaged or made to do harm.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            size = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or size > length - 8:
                raise _damaged(path, "it is cut off")
            if size > LARGEST_HEADER:
                raise _damaged(path, f"its header claims {size:,} bytes")
            text = file.read(size)
    except FileNotFoundError:
        raise Problem(f"There is no file {path}.", "Choose another one.") from None
    except OSError as error:
        raise Problem(f"{path.name} cannot be read ({error.strerror or error}).", "Choose another one.") from error
    return _checked(path, _parsed(path, text), 8 + size, length - 8 - size)


def _damaged(path: Path, why: str) -> Problem:
    return Problem(f"{path.name} is damaged: {why}.", "Use another copy of the file, or an earlier checkpoint.")


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name occurs twice")
        return found

    def finite(word: str) -> float:
        raise ValueError(f"it holds {word}")

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read ({str(error)[:120]})") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a table")
    return header


def _checked(path: Path, header: dict[str, Any], start: int, size: int) -> Header:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _damaged(path, "its metadata is not a table of texts")
    if len(header) > LARGEST_COUNT:
        raise _damaged(path, f"it claims {len(header):,} tensors")
    tensors = sorted((_tensor(path, name, entry) for name, entry in header.items()), key=lambda t: (t.begin, t.end))
    at = 0
    for tensor in tensors:
        if tensor.begin != at:
            raise _damaged(path, f"the bytes of {tensor.name} overlap others or leave a gap")
        at = tensor.end
    if at != size:
        raise _damaged(path, f"its tensors need {at:,} bytes and it has {size:,}")
    return Header(tuple(tensors), metadata, start, size)


def _tensor(path: Path, name: str, entry: Any) -> TensorSpec:
    shown = repr(name[:60])
    if len(name) > LARGEST_NAME or not _NAME.fullmatch(name) or ".." in name:
        raise _damaged(path, f"{shown} is no name for a tensor")
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _damaged(path, f"the entry of {shown} is incomplete") from None
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise _damaged(path, f"{shown} has the unknown type {str(dtype)[:20]}")
    if not isinstance(shape, list) or len(shape) > LARGEST_RANK or not _whole([*shape, begin, end]):
        raise _damaged(path, f"the shape or place of {shown} makes no sense")
    if end - begin != math.prod(shape) * ITEM_SIZES[dtype] or begin > end:
        raise _damaged(path, f"the shape {tuple(shape)} of {shown} does not fit its {end - begin:,} bytes")
    return TensorSpec(name, dtype, tuple(shape), begin, end)


def _whole(numbers: Iterable[Any]) -> bool:
    return all(type(n) is int and 0 <= n < 2**63 for n in numbers)


def lay_out(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[TensorSpec, ...]:
    """Give every tensor (name -> dtype, shape) its place: large items first, so that each is aligned; then by name.

    Raises:
        ValueError: A name or dtype that `read_header` would refuse.
    """
    at, placed = 0, []
    for name, (dtype, shape) in sorted(tensors.items(), key=lambda entry: (-ITEM_SIZES[entry[1][0]], entry[0])):
        if len(name) > LARGEST_NAME or not _NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"{name!r} is no name for a tensor")
        end = at + math.prod(shape) * ITEM_SIZES[dtype]
        placed.append(TensorSpec(name, dtype, tuple(shape), at, end))
        at = end
    return tuple(placed)


def header_bytes(tensors: Iterable[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    """The length and the header, padded with spaces so that the tensors' bytes begin at a multiple of 8."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    for t in tensors:
        header[t.name] = {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": [t.begin, t.end]}
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
