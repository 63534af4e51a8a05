"""A noise schedule as numbers: its curve, its knots, levels to sample at, what its end means in words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SETTING = "noise_schedule"  # the name of a schedule among the settings of training
LARGEST = 12.0  # of half-log-SNRs: beyond, nothing can be told from data or from noise
NEAR_TIME, NEAR_SNR = 0.01, 0.02  # between two knots
LEAST_KNOTS, MOST_KNOTS = 2, 16
Curve = npt.NDArray[np.float64]
Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Shape:
    """A schedule over the share of the time: 0 is the data, 1 the most noise.

    Args:
        share: [L], rising.
        log_snr: Half, [L], finite.
        alpha: [L].
        sigma: [L].
        beta: [L], or empty.
    """

    share: Curve
    log_snr: Curve
    alpha: Curve
    sigma: Curve
    beta: Curve

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Shape:
        """From a Frame "schedule", whichever way its levels run: they lie evenly over the time."""
        log_snr = np.asarray(data["log_snr"], float)
        log_snr = np.clip(np.nan_to_num(log_snr, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)
        order = np.argsort(-log_snr, kind="stable")
        share = np.linspace(0.0, 1.0, len(order))
        beta = np.asarray(data.get("beta", ()), float)
        alpha, sigma = (np.asarray(data[name], float)[order] for name in ("alpha", "sigma"))
        return cls(share, log_snr[order], alpha, sigma, beta[order] if len(beta) == len(order) else np.zeros(0))

    def seen(self, view: str) -> Curve:
        """What a view shows of it."""
        if view == "beta":
            return self.beta
        return power_of(self.log_snr) if view == "alpha-bar" else self.log_snr

    def at(self, share: float) -> float:
        """Half-log-SNR at a share of the time."""
        return float(np.interp(share, self.share, self.log_snr))


def checked_knots(value: Any) -> Knots:
    """Knots from a stored state: times rising from 0 to 1, log-SNR falling; () for anything else.

    >>> checked_knots([[0, 4], [0.5, 0.1], [1, -5]])
    ((0.0, 4.0), (0.5, 0.1), (1.0, -5.0))
    >>> checked_knots([[0, 4], [0.5, 5]]), checked_knots("x")
    ((), ())
    """
    try:
        knots = tuple((float(x), float(y)) for x, y in value)
    except (TypeError, ValueError):
        return ()
    if len(knots) < LEAST_KNOTS or len(knots) > MOST_KNOTS or not all(map(math.isfinite, sum(knots, ()))):
        return ()
    times, heights = [x for x, _ in knots], [y for _, y in knots]
    rising = all(a < b for a, b in itertools.pairwise(times))
    falling = all(a > b for a, b in itertools.pairwise(heights))
    return knots if rising and falling and times[0] == 0.0 and times[-1] == 1.0 else ()


def held(knots: Sequence[tuple[float, float]], place: int) -> Knots:
    """Knots with one of them brought back between its neighbours; the ends keep their times.

    >>> held([(0.0, 4.0), (0.7, 9.0), (0.5, 0.0), (1.0, -5.0)], 1)
    ((0.0, 4.0), (0.49, 3.98), (0.5, 0.0), (1.0, -5.0))
    """
    x, y = knots[place]
    last = len(knots) - 1
    before, after = knots[max(place - 1, 0)], knots[min(place + 1, last)]
    low = 0.0 if place == 0 else before[0] + NEAR_TIME
    high = 1.0 if place == last else after[0] - NEAR_TIME
    x = 0.0 if place == 0 else 1.0 if place == last else min(max(x, low), high)
    top = LARGEST if place == 0 else before[1] - NEAR_SNR
    bottom = -LARGEST if place == last else after[1] + NEAR_SNR
    y = min(max(y, bottom), top)
    return tuple((round(x, 6), round(y, 6)) if k == place else knot for k, knot in enumerate(knots))


def levels_of(shape: Shape, steps: int, trained: tuple[float, float]) -> tuple[float, ...]:
    """Half-log-SNRs of `steps` levels, rising, evenly over the time of a schedule, within what a model has seen.

    >>> line = np.linspace(0.0, 1.0, 11)
    >>> levels_of(Shape(line, 5 - 10 * line, line, line, line), 4, (-4.0, 5.0))
    (-4.0, -2.5, 0.0, 2.5)
    """
    shares = np.linspace(1.0, 1.0 / steps, steps) if steps > 1 else np.array([1.0])
    levels = np.clip(np.interp(shares, shape.share, shape.log_snr), *trained)
    return tuple(float(round(v, 6)) for v in dict.fromkeys(np.round(np.maximum.accumulate(levels), 6)))


def span_of(view: str, *shapes: Shape | None) -> tuple[float, float]:
    """Ends of the y axis for a view of some schedules."""
    known = [shape.seen(view) for shape in shapes if shape is not None and len(shape.seen(view))]
    if view == "alpha-bar":
        return 0.0, 1.0
    if view == "beta":
        most = max((float(row.max()) for row in known), default=1.0)
        return 0.0, min(1.0, 1.08 * most) or 1.0
    low, high = min(float(row.min()) for row in known), max(float(row.max()) for row in known)
    return max(math.floor(low) - 1.0, -LARGEST), min(math.ceil(high) + 1.0, LARGEST)


def end_words(terminal: Mapping[str, Any], warnings: Sequence[str]) -> str:
    """What is left of the data at the noisiest level, and what follows from it.

    >>> end_words({"log_snr": -9.94}, [])
    'Good: next to nothing of the data is left at the end (half-log-SNR −9.9).'
    >>> end_words({"log_snr": -2.0}, ["Samples cannot become very dark."])
    'Warning: Samples cannot become very dark.'
    """
    if warnings:
        return "\n".join(f"Warning: {sentence}" for sentence in warnings)
    log_snr = float(terminal.get("log_snr", -math.inf))
    if not math.isfinite(log_snr):
        return "Good: nothing of the data is left at the end."
    return f"Good: next to nothing of the data is left at the end (half-log-SNR {signed(log_snr)})."


def signed(value: float) -> str:
    """A half-log-SNR in one decimal.

    >>> signed(-0.04), signed(1.26), signed(-3.0)
    ('0.0', '+1.3', '−3.0')
    """
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}") if round(value, 1) else "0.0"


def settings_of(config: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The schedule of a Frame as settings of a system that knows these; {} where it has no schedule to set.

    >>> settings_of({"schedule": "own", "knots": "0:5, 1:-6"}, ["noise_schedule", "knots", "width"])
    {'noise_schedule': 'own', 'knots': '0:5, 1:-6'}
    >>> settings_of({"schedule": "cosine"}, ["width"])
    {}
    """
    named = {SETTING if name == "schedule" and SETTING in known else name: value for name, value in config.items()}
    return named if named and set(named) <= set(known) else {}


def power_of(log_snr: Curve) -> Curve:
    """alpha^2 / (alpha^2 + sigma^2)."""
    return np.asarray(1.0 / (1.0 + np.exp(-2.0 * log_snr)))


def log_snr_of(power: float) -> float:
    """The inverse of `power_of`, finite everywhere."""
    share = min(max(power, 1e-9), 1.0 - 1e-9)
    return 0.5 * math.log(share / (1.0 - share))


def plain_knots(knots: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Knots as a session keeps them."""
    return [[x, y] for x, y in knots]


def whole(value: Any) -> int:
    """A whole number from a stored state; 0 for anything else."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0
