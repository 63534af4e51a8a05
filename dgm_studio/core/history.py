"""metrics.jsonl: how a run went, appended line by line, read back in columns.

Three kinds of line, each with "step" and "time" (seconds of training so far):
figures   {"step": 7, "time": 0.31, "train/loss": 512.3, ...}     a figure that is not finite is null
flag      {"step": 7, "time": 0.31, "flag": "edit", "changes": {...}, "sentence": "..."}
KL row    {"step": 7, "time": 0.31, "kl": [...]}                   nats in each latent dimension
A flag "resume" at step s takes back what stands above it about later steps: they were lost, and are trained again.
"""

from __future__ import annotations

import itertools
import json
import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CHUNK = 4 * 2**20  # bytes parsed at once: one call of the parser for thousands of lines
LONGEST_WAIT = 1000  # lines kept in memory at most before they are handed to the system


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


_ENCODE = json.JSONEncoder(allow_nan=False).encode  # json.dumps would make a new encoder for every line


class Journal:
    """Appends to a metrics file; when the disk is full, keeps the lines and tries again later.

    Args:
        path: The file; a torn last line of a killed process is closed off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[str] = []

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line; on disk after the next `flush`, at the latest after `LONGEST_WAIT` lines."""
        try:
            text = _ENCODE(line)
        except ValueError:
            text = _ENCODE({k: _finite(v) for k, v in line.items()})
        self._waiting.append(text)
        if len(self._waiting) % LONGEST_WAIT == 0:
            self.flush()

    def flush(self) -> OSError | None:
        """Hand all waiting lines to the system; the error when it does not take them (they are kept)."""
        if not self._waiting:
            return None
        try:
            with self.path.open("ab+") as file:
                end = file.seek(0, 2)
                torn = b""
                if end:
                    file.seek(end - 1)
                    torn = b"" if file.read(1) == b"\n" else b"\n"
                try:
                    file.write(torn + "\n".join([*self._waiting, ""]).encode())
                    file.flush()
                except OSError:
                    file.truncate(end)  # half a batch would come twice
                    raise
        except OSError as error:
            return error
        self._waiting.clear()
        return None


@dataclass
class Curve:
    """One figure over the steps: parallel columns, steps rising; NaN where it was not finite.

    Plain arrays rather than lists: a million points then are nothing that the garbage collector has to walk through.
    """

    step: array[int] = field(default_factory=lambda: array("q"))
    value: array[float] = field(default_factory=lambda: array("d"))
    time: array[float] = field(default_factory=lambda: array("d"))

    def cut(self, step: int) -> None:
        """Forget everything after a step."""
        keep = bisect_right(self.step, step)
        del self.step[keep:], self.value[keep:], self.time[keep:]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As {"step": int64 [N], "value": float64 [N] (NaN where it was not finite), "time": float64 [N]}."""
        return {
            "step": np.array(self.step, np.int64),
            "value": np.array(self.value, np.float64),
            "time": np.array(self.time, np.float64),
        }


@dataclass
class History:
    """A whole metrics file.

    Args:
        curves: Figures by name.
        flags: What was changed or happened, in order.
        kl_step: Steps of the KL rows.
        kl_rows: KL of each latent dimension, nats.
        damaged: Lines that could not be read.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    flags: list[dict[str, Any]] = field(default_factory=list)
    kl_step: list[int] = field(default_factory=list)
    kl_rows: list[list[float]] = field(default_factory=list)
    damaged: int = 0

    def series(self) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """All curves as arrays."""
        return {name: curve.arrays() for name, curve in self.curves.items()}

    def values(self, name: str) -> list[float]:
        """The values of one figure, those that were not finite as NaN."""
        return self.curves.get(name, Curve()).value.tolist()

    def kl(self) -> dict[str, Any]:
        """The heat map: {"step": int64 [N], "rows": float32 [N, Z]}; of the last row's length."""
        size = len(self.kl_rows[-1]) if self.kl_rows else 0
        kept = [i for i, row in enumerate(self.kl_rows) if len(row) == size]
        rows = np.asarray([self.kl_rows[i] for i in kept], np.float32).reshape(len(kept), size)
        return {"step": np.asarray([self.kl_step[i] for i in kept], np.int64), "rows": rows}

    def last_time(self) -> float:
        """Seconds of training so far."""
        return max((curve.time[-1] for curve in self.curves.values() if curve.time), default=0.0)

    def cut(self, step: int) -> None:
        """Forget everything after a step."""
        for curve in self.curves.values():
            curve.cut(step)
        keep = bisect_right(self.kl_step, step)
        del self.kl_step[keep:], self.kl_rows[keep:]
        self.flags = [flag for flag in self.flags if flag.get("step", 0) <= step]


def read_history(path: Path) -> History:
    """Read a metrics file; lines that a killed process left torn are skipped and counted."""
    history = History()
    for rows in _parsed(path, history):
        for names, group in itertools.groupby(rows, key=tuple):
            _take(history, names, list(group))
    return history


def _take(history: History, names: Sequence[str], rows: list[dict[str, Any]]) -> None:
    if "step" not in names or "time" not in names:
        history.damaged += len(rows)
    elif "flag" in names:
        for row in rows:
            if row["flag"] == "resume":
                history.cut(row["step"])
            history.flags.append(row)
    elif "kl" in names:
        history.kl_step += [row["step"] for row in rows]
        history.kl_rows += [row["kl"] for row in rows]
    else:
        columns = dict(zip(names, zip(*(row.values() for row in rows), strict=True), strict=True))
        steps, times = columns.pop("step"), columns.pop("time")
        for name, values in columns.items():
            curve = history.curves.setdefault(name, Curve())
            curve.step.extend(steps)
            curve.value.extend(math.nan if v is None else v for v in values)
            curve.time.extend(times)


def _parsed(path: Path, history: History) -> Iterator[list[dict[str, Any]]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while block := file.read(CHUNK):
            lines = [line for line in (block + file.readline()).split(b"\n") if line.strip()]
            yield [row for row in _rows(lines, history) if isinstance(row, dict)]


def _rows(lines: list[bytes], history: History) -> list[Any]:
    try:
        whole: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(whole) == len(lines):  # two damages may cancel out to valid JSON
            return whole
    except (ValueError, RecursionError):
        pass  # some line is damaged: read them one by one, and count those that are
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            history.damaged += 1
    return rows
