"""Round numbers along an axis, linear or logarithmic."""

from __future__ import annotations

import math

from dgm_studio.gui.widgets.curveaxis import number

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LARGE = 10**4


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of a round step within [low, high].

    >>> linear_ticks(-5.2, 4.7)
    [-4.0, -2.0, 0.0, 2.0, 4.0]
    >>> linear_ticks(0.0, 1.0, 5)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not high > low or most < 2:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in _STEPS if power * s >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten within [low, high]; 1, 2 and 5 times them where there are few, every n-th where there are many.

    >>> log_ticks(4.0, 130.0)
    [5.0, 10.0, 20.0, 50.0, 100.0]
    >>> log_ticks(1e-7, 1.0, 4)
    [1e-06, 0.0001, 0.01, 1.0]
    """
    if not 0 < low < high:
        return []
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    ticks = [mark * 10.0**k for k in range(first, last + 1) for mark in marks]
    shown = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    every = max(1, math.ceil(len(shown) / most))
    return [float(f"{tick:.1g}") for tick in shown[::-1][::every][::-1]]


def tick_words(value: float) -> str:
    """A tick as it is written; powers of ten that are far from one as powers.

    >>> tick_words(0.25), tick_words(1e-05), tick_words(-4.0)
    ('0.25', '10⁻⁵', '−4')
    """
    size = abs(value)
    if value > 0 and (size < 1e-3 or size >= _LARGE) and math.isclose(math.log10(size) % 1, 0, abs_tol=1e-9):
        return "10" + str(round(math.log10(size))).translate(_RAISED)
    return number(float(f"{value:.4g}"))


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
