"""Long curves for short screens: numbers that grow, their minima and maxima, and a moving average."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

MOST_POINTS = 4000
_BLOCK = 64
Numbers = npt.NDArray[np.float64]


class Growing:
    """A column of float64 that can be appended to; the room doubles when it is used up."""

    def __init__(self) -> None:
        self._room = np.empty(256)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, values: Numbers) -> None:
        """Add values at the end."""
        wanted = self._used + len(values)
        if wanted > len(self._room):
            larger = np.empty(max(wanted, 2 * len(self._room)))
            larger[: self._used] = self._room[: self._used]
            self._room = larger
        self._room[self._used : wanted] = values
        self._used = wanted

    @property
    def values(self) -> Numbers:
        """What is there, as a view."""
        return self._room[: self._used]


class Pyramid:
    """A column with its minima and maxima over blocks of 64 and 4,096: a million values are looked up at once."""

    def __init__(self) -> None:
        self._raw = Growing()
        self._lows = (Growing(), Growing())
        self._highs = (Growing(), Growing())

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def values(self) -> Numbers:
        """The column itself."""
        return self._raw.values

    def append(self, values: npt.ArrayLike) -> None:
        """Add values at the end; NaN marks a gap."""
        self._raw.append(np.asarray(values, dtype=np.float64).ravel())
        low_source, high_source = self._raw, self._raw
        for low, high in zip(self._lows, self._highs, strict=True):
            done = len(low) * _BLOCK
            full = (len(low_source) - done) // _BLOCK
            if full:
                part = slice(done, done + full * _BLOCK)
                low.append(np.fmin.reduce(low_source.values[part].reshape(full, _BLOCK), axis=1))
                high.append(np.fmax.reduce(high_source.values[part].reshape(full, _BLOCK), axis=1))
            low_source, high_source = low, high

    def outline(self, start: int, stop: int, most: int = MOST_POINTS) -> tuple[npt.NDArray[np.int64], Numbers]:
        """Indices and values that draw the same picture as rows start to stop.

        Every stretch is replaced by its minimum and its maximum, in the order that follows its trend.

        Args:
            start: First row.
            stop: One past the last row.
            most: Greatest number of points to return, at least 8.

        Returns:
            Row numbers [M] and values [M], M <= most.
        """
        count = stop - start
        if count <= most:
            return np.arange(start, stop), self.values[start:stop]
        size = math.ceil(count / (most // 2 - 2))
        level = 0 if size < _BLOCK else 1 if size < _BLOCK**2 else 2
        block = _BLOCK**level
        lows, highs = (self.values, self.values) if level == 0 else self._level(level)
        first, last = start // block, min(stop // block, len(lows))
        group = math.ceil(size / block)
        cuts = np.arange(first, last, group)
        low = np.fmin.reduceat(lows[:last], cuts)
        high = np.fmax.reduceat(highs[:last], cuts)
        begin = np.maximum(cuts * block, start)
        end = np.minimum(np.append(cuts[1:], last) * block, stop) - 1
        if last * block < stop:  # the rest that fills no block yet
            rest = self.values[last * block : stop]
            low, high = np.append(low, np.fmin.reduce(rest)), np.append(high, np.fmax.reduce(rest))
            begin, end = np.append(begin, last * block), np.append(end, stop - 1)
        return _zigzag(self.values, begin, end, low, high)

    def _level(self, level: int) -> tuple[Numbers, Numbers]:
        return self._lows[level - 1].values, self._highs[level - 1].values


def _zigzag(
    values: Numbers, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], low: Numbers, high: Numbers
) -> tuple[npt.NDArray[np.int64], Numbers]:
    falling = values[end] < values[begin]
    rows = np.stack([begin, end], axis=1).ravel()
    heights = np.stack([np.where(falling, high, low), np.where(falling, low, high)], axis=1).ravel()
    return rows, heights


class Average:
    """Exponential moving average that starts without a bias and steps over gaps.

    s_t = sum_i beta^(t-i) y_i / sum_i beta^(t-i), both sums over the finite y_i up to t: the bias correction of
    Kingma and Ba (2015, algorithm 1), which holds for missing values too.

    Args:
        beta: Weight of the past, in [0, 1).
    """

    def __init__(self, beta: float) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"smoothing is at least 0 and below 1, not {beta:g}")
        self.beta = beta
        self._top, self._bottom = 0.0, 0.0
        power = np.arange(_BLOCK)
        gap = power[:, None] - power[None, :]
        self._past = np.where(gap >= 0, beta ** np.maximum(gap, 0), 0.0)
        self._decay = beta ** (power + 1)

    def push(self, values: npt.ArrayLike) -> Numbers:
        """The averages at the new values, [N]."""
        column = np.asarray(values, dtype=np.float64).ravel()
        seen = np.isfinite(column)
        top, self._top = self._filter(np.where(seen, column, 0.0), self._top)
        bottom, self._bottom = self._filter(seen.astype(np.float64), self._bottom)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(bottom > 0, top / bottom, np.nan)

    def _filter(self, column: Numbers, carry: float) -> tuple[Numbers, float]:
        """Run s_t = beta s_(t-1) + y_t; whole blocks by one matrix product, only the carry in a loop."""
        blocks = math.ceil(len(column) / _BLOCK)
        padded = np.zeros(blocks * _BLOCK)
        padded[: len(column)] = column
        inner = padded.reshape(blocks, _BLOCK) @ self._past.T
        carries = np.empty(blocks)
        for i, last in enumerate(inner[:, -1].tolist()):
            carries[i] = carry
            carry = carry * float(self._decay[-1]) + last
        out = (inner + carries[:, None] * self._decay).ravel()[: len(column)]
        return out, float(out[-1]) if len(out) else carry


class Series:
    """One curve: values over steps, seconds and examples.

    Args:
        name: What it is ("train ELBO").
        unit: Of the values ("nats").
    """

    def __init__(self, name: str, unit: str = "") -> None:
        self.name, self.unit = name, unit
        self._x = {axis: Growing() for axis in ("step", "time", "examples")}
        self._y = Pyramid()
        self._average: Average | None = None
        self._smooth: Pyramid | None = None

    def __len__(self) -> int:
        return len(self._y)

    def append(
        self,
        steps: npt.ArrayLike,
        values: npt.ArrayLike,
        seconds: npt.ArrayLike | None = None,
        examples: npt.ArrayLike | None = None,
    ) -> None:
        """Add points; steps never go down. Without seconds or examples those axes show steps.

        Raises:
            ValueError: Columns of different lengths.
        """
        columns = [
            np.atleast_1d(np.asarray(c if c is not None else steps, dtype=np.float64))
            for c in (steps, seconds, examples)
        ]
        heights = np.atleast_1d(np.asarray(values, dtype=np.float64))
        if any(len(c) != len(heights) for c in columns):
            raise ValueError("a series needs one x for each y")
        for growing, column in zip(self._x.values(), columns, strict=True):
            growing.append(column)
        self._y.append(heights)
        if self._average is not None and self._smooth is not None:
            self._smooth.append(self._average.push(heights))

    def x(self, axis: str = "step") -> Numbers:
        """All x on an axis ("step", "time", "examples")."""
        return self._x[axis].values

    @property
    def y(self) -> Numbers:
        """All values."""
        return self._y.values

    def set_smoothing(self, beta: float) -> None:
        """Average from now on and backwards; 0 turns it off."""
        self._average, self._smooth = None, None
        if beta > 0:
            self._average, self._smooth = Average(beta), Pyramid()
            self._smooth.append(self._average.push(self.y))

    @property
    def smoothed(self) -> Numbers | None:
        """The averages, None when smoothing is off."""
        return None if self._smooth is None else self._smooth.values

    def drawn(
        self, axis: str, low: float, high: float, *, smooth: bool, most: int = MOST_POINTS
    ) -> tuple[Numbers, Numbers]:
        """At most `most` points that draw the curve between two x, one point beyond each end included."""
        x = self.x(axis)
        start = max(0, int(np.searchsorted(x, low, "left")) - 1)
        stop = min(len(x), int(np.searchsorted(x, high, "right")) + 1)
        source = self._smooth if smooth and self._smooth is not None else self._y
        rows, heights = source.outline(start, stop, most)
        return x[rows], heights

    def at(self, axis: str, x: float, *, smooth: bool = False) -> tuple[float, float] | None:
        """The point nearest to an x, as (x, value); None while the series is empty."""
        column = self.x(axis)
        if not len(column):
            return None
        right = min(int(np.searchsorted(column, x)), len(column) - 1)
        left = max(0, right - 1)
        row = left if abs(column[left] - x) <= abs(column[right] - x) else right
        heights = self._smooth.values if smooth and self._smooth is not None else self.y
        return float(column[row]), float(heights[row])
