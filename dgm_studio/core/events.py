"""A run's curves for other tools: CSV, and TensorBoard event files written without TensorBoard.

An event file is a row of records: length (8 bytes), its masked CRC-32C, the record, its masked CRC-32C; a record is a
protocol-buffer message Event {1: wall time, double; 2: step, int64; 5: Summary {1: Value {1: tag, 2: float}}}, the
first one Event {1: wall time; 3: "brain.Event:2"}.
"""

from __future__ import annotations

import csv
import io
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dgm_studio.core import atomic
from dgm_studio.core.history import History

Bytes = npt.NDArray[np.uint8]
FILE_VERSION = b"brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected
_MASK = 0xA282EAD8


def _table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & np.uint32(1), np.uint32(_POLYNOMIAL), np.uint32(0))
    return table.astype(np.uint32)


_TABLE = _table()


def masked_crc32c(rows: Bytes) -> npt.NDArray[np.uint32]:
    """The masked CRC-32C of each row of bytes [N, L]: [N]. All rows at once, or a million points would take minutes."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = _TABLE[(crc ^ column) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    crc = crc ^ np.uint32(0xFFFFFFFF)
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    with np.errstate(over="ignore"):
        return (rotated + np.uint32(_MASK)).astype(np.uint32)


def write_events(path: Path, history: History, created: float) -> None:
    """Write all curves as one TensorBoard event file; its name must hold "tfevents" for TensorBoard to find it.

    Args:
        path: The file.
        history: The run's.
        created: When the run began, seconds since the epoch; training seconds are added to it.

    Raises:
        OSError: The disk is full or not writable.
    """
    head = np.frombuffer(_double(1, created) + _bytes(3, FILE_VERSION), np.uint8)[None]
    parts = [_framed(head)]
    for name, curve in history.series().items():
        parts += _records(name, curve, created)
    atomic.write_atomic(path, b"".join(parts))


def _records(tag: str, curve: dict[str, npt.NDArray[Any]], created: float) -> list[bytes]:
    """All points of a curve, in stretches whose steps take equally many bytes."""
    steps, values = curve["step"], curve["value"].astype("<f4")
    lengths = np.maximum(1, np.ceil(np.log2(steps + 1.0) / 7)).astype(int)
    times = (curve["time"] + created).astype("<f8")
    name = _bytes(1, tag.encode())
    parts = []
    for length in np.unique(lengths):
        here = lengths == length
        count = int(here.sum())
        value_length = len(name) + 5
        columns = [
            _same(b"\x09", count),
            times[here].view(np.uint8).reshape(count, 8),
            _same(b"\x10", count),
            _varints(steps[here], int(length)),
            _same(b"\x2a" + _varint(1 + len(_varint(value_length)) + value_length), count),
            _same(b"\x0a" + _varint(value_length) + name + b"\x15", count),
            values[here].view(np.uint8).reshape(count, 4),
        ]
        parts.append(_framed(np.concatenate(columns, axis=1)))
    return parts


def _framed(rows: Bytes) -> bytes:
    """Records of equal length [N, L], each with its length and check sums."""
    count, length = rows.shape
    size = np.frombuffer(struct.pack("<Q", length), np.uint8)[None].repeat(count, 0)
    sums = [masked_crc32c(each).astype("<u4").view(np.uint8).reshape(count, 4) for each in (size, rows)]
    return np.concatenate([size, sums[0], rows, sums[1]], axis=1).tobytes()


def _same(data: bytes, count: int) -> Bytes:
    return np.frombuffer(data, np.uint8)[None].repeat(count, 0)


def _varints(numbers: npt.NDArray[np.int64], length: int) -> Bytes:
    groups = np.stack([(numbers >> (7 * i)) & 0x7F for i in range(length)], axis=1)
    groups[:, :-1] |= 0x80
    return groups.astype(np.uint8)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _double(field: int, value: float) -> bytes:
    return bytes([field << 3 | 1]) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def write_csv(path: Path, history: History) -> None:
    """Write all curves as one table: step, seconds, then a column for each figure; empty where it was not measured.

    Raises:
        OSError: The disk is full or not writable.
    """
    names = sorted(history.curves)
    rows: dict[int, dict[str, float]] = {}
    times: dict[int, float] = {}
    for name in names:
        curve = history.curves[name]
        for step, value, time in zip(curve.step, curve.value, curve.time, strict=True):
            rows.setdefault(step, {})[name] = value
            times[step] = time
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["step", "seconds", *names])
    for step in sorted(rows):
        found = rows[step]
        cells = [repr(v) if (v := found.get(name, math.nan)) == v else "" for name in names]
        table.writerow([step, times[step], *cells])
    atomic.write_atomic(path, text.getvalue().encode())
