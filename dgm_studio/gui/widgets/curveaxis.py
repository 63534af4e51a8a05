"""Axes of a plot in the theme's words: thousands with commas, seconds as time, powers of ten as numbers."""

from __future__ import annotations

import math
from typing import Any

import pyqtgraph as pg

from dgm_studio.gui import theme

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """A short readable number.

    >>> number(20000.0), number(0.00012), number(-2.09e-08)
    ('20,000', '0.00012', '−2.09 × 10⁻⁸')
    """
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"
    if size < 1e-4 or size >= 1e9:
        mantissa, _, power = f"{value:.3g}".partition("e")
        text = f"{mantissa} × 10{str(int(power)).translate(_RAISED)}" if power else mantissa
    return text.replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """Seconds as people read them.

    >>> duration(75), duration(3900)
    ('1 min 15 s', '1 h 05 min')
    """
    if not math.isfinite(seconds):
        return ""
    whole = round(abs(seconds))
    if whole < 60:
        return f"{seconds:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class ThemedAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """An axis whose colours, fonts and numbers follow the theme."""

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self._time = False
        self.enableAutoSIPrefix(False)
        self.dress()

    def dress(self) -> None:
        """Take the colours and fonts of the theme in use."""
        look = theme.current()
        self.setPen(look.colour("line"))
        self.setTextPen(look.colour("text2"))
        self.setStyle(tickFont=look.figures("caption"), tickTextOffset=6, tickLength=-4, hideOverlappingLabels=True)
        self.label.setFont(look.font("caption"))
        if self.orientation == "bottom":
            self.setHeight(look.px(TICKS) + (look.px(16) if self.labelText else 0))

    def name(self, words: str, *, time: bool = False) -> None:
        """What the numbers are; `time` reads them as seconds."""
        self._time = time
        look = theme.current()
        self.setLabel(words, color=look.palette.text2, **{"font-size": f"{look.px(11)}px"})
        self.dress()

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """The numbers at the ticks; nothing where a wheel that was turned too far has left all numbers."""
        if self.logMode:
            return [number(10.0**v) if abs(v) < LARGEST_POWER else "" for v in values]
        write: Any = duration if self._time else number
        return [write(v * scale) for v in values]


TICKS = 22
LARGEST_POWER = 300  # of ten that a float holds with room to spare
