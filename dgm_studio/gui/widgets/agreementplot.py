"""Differences of two measurements over their mean, with bias and limits of agreement (Bland and Altman 1986)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme
from dgm_studio.gui.widgets.ticks import linear_ticks

NEAR = 14.0  # pixels within which the mouse finds a point
DOT = 2.5
Numbers = npt.NDArray[np.float64]
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter


class AgreementPlot(QWidget):
    """A dot for every pair; the mouse finds the nearest, a click chooses it.

    Signals:
        chosen(int): A pair was clicked.
    """

    chosen = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._first, self._second = np.zeros(0), np.zeros(0)
        self._levels: tuple[tuple[str, float, float], ...] = ()
        self._words, self._unit, self._marked, self._at = ("", ""), "", -1, -1
        self._x_span, self._y_span = (0.0, 1.0), (-1.0, 1.0)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)

    def set_pairs(
        self,
        first: npt.NDArray[Any],
        second: npt.NDArray[Any],
        levels: tuple[tuple[str, float, float], ...],
        words: tuple[str, str],
        unit: str,
    ) -> None:
        """Show N pairs.

        Args:
            first: [N]; NaN is left out.
            second: [N], what is taken away from it.
            levels: Heights that stand for something: a name, the height, its standard error.
            words: What the two measurements are called.
            unit: Of both.
        """
        self._first, self._second = np.asarray(first, float), np.asarray(second, float)
        self._levels, self._words, self._unit = levels, words, unit
        x, y = self._places()
        heights = np.concatenate([y, [v for _, v, _ in levels]])
        self._x_span, self._y_span = _span(x), _span(heights)
        self._at = self._at if self._at < len(self._first) else -1
        told = ", ".join(f"{n} {number(_short(v))} {unit}" for n, v, _ in levels)
        self.setAccessibleDescription(f"{int(np.isfinite(y).sum())} pairs; {told}")
        self.update()

    def set_marked(self, place: int) -> None:
        """Ring one pair; -1 for none."""
        if place != self._marked:
            self._marked = place
            self.update()

    def readout(self) -> str:
        """The pair under the mouse in words."""
        place = self._at if self._at >= 0 else self._marked
        if not 0 <= place < len(self._first) or not np.isfinite(self._first[place] + self._second[place]):
            return ""
        values = zip(self._words, (self._first[place], self._second[place]), strict=True)
        return f"Example {place}: " + ", ".join(f"{w} {number(_short(v))}" for w, v in values) + f" {self._unit}"

    def place_of(self, place: int) -> QPointF:
        """Where a pair is painted."""
        x, y = self._places()
        return QPointF(self._x_of(float(x[place])), self._y_of(float(y[place])))

    def sizeHint(self) -> QSize:
        """Wide."""
        return QSize(560, 320)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(theme.current().px(300), theme.current().px(170))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Find the nearest pair."""
        place = self._nearest(event.position())
        if place != self._at:
            self._at = place
            self.setCursor(Qt.CursorShape.PointingHandCursor if place >= 0 else Qt.CursorShape.ArrowCursor)
            self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._at = -1
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the nearest pair."""
        place = self._nearest(event.position())
        if place >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(place)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, levels with what is uncertain of them, dots, the one that is meant."""
        look, area = theme.current(), self._area()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_axes(painter, area)
        for name, height, error in self._levels:
            self._paint_level(painter, area, name, height, error)
        x, y = self._places()
        known = np.isfinite(x + y)
        dots = [
            QPointF(self._x_of(a), self._y_of(b)) for a, b in zip(x[known].tolist(), y[known].tolist(), strict=True)
        ]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("accent", 0.65))
        radius = look.px(DOT)
        for dot in dots:
            painter.drawEllipse(dot, radius, radius)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for place, token in ((self._marked, "live"), (self._at, "text")):
            if 0 <= place < len(x) and known[place]:
                painter.setPen(QPen(look.colour(token), 2))
                painter.drawEllipse(self.place_of(place), radius + 3, radius + 3)
        head = QRectF(area.left(), 0, area.width(), look.px(20))
        draw_text(painter, head, self.readout(), look.figures("caption"), look.colour("text"), _RIGHT)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_axes(self, painter: QPainter, area: QRectF) -> None:
        look = theme.current()
        font, ink = look.figures("caption"), look.colour("text2")
        for value in linear_ticks(*self._y_span, max(2, int(area.height() / look.px(40)))):
            y = self._y_of(value)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            box = QRectF(0, y - look.px(8), area.left() - 6, look.px(16))
            draw_text(painter, box, number(_short(value)), font, ink, _RIGHT)
        for value in linear_ticks(*self._x_span, max(2, int(area.width() / look.px(70)))):
            box = QRectF(self._x_of(value) - look.px(30), area.bottom() + 4, look.px(60), look.px(15))
            draw_text(painter, box, number(_short(value)), font, ink, _CENTRE)
        caption = look.font("caption")
        under = QRectF(area.left(), area.bottom() + look.px(19), area.width(), look.px(16))
        first, second = self._words
        unit = f", {self._unit}" if self._unit else ""
        draw_text(painter, under, f"Mean of {first} and {second}{unit}", caption, ink, _CENTRE)
        over = QRectF(4, 0, area.right() - 4, look.px(20))
        draw_text(painter, over, f"{first.capitalize()} less {second}{unit}", caption, ink, _LEFT)

    def _paint_level(self, painter: QPainter, area: QRectF, name: str, height: float, error: float) -> None:
        if not math.isfinite(height):
            return
        look, y = theme.current(), self._y_of(height)
        if math.isfinite(error):  # 95 % of what is uncertain
            high = self._y_of(height + 1.96 * error)
            band = QRectF(area.left(), high, area.width(), 2 * (y - high))
            painter.fillRect(band, look.colour("live", 0.12))
        pen = QPen(look.colour("live"), 1.5)
        pen.setDashPattern([5, 3])
        painter.setPen(pen)
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        box = QRectF(area.right() + 6, y - look.px(15), self.width() - area.right() - 6, look.px(15))
        draw_text(painter, box, name, look.font("caption"), look.colour("text2"), _LEFT)
        draw_text(
            painter,
            box.translated(0, look.px(15)),
            number(_short(height)),
            look.figures("caption"),
            look.colour("text"),
        )

    def _area(self) -> QRectF:
        look = theme.current()
        return QRectF(self.rect()).adjusted(look.px(44), look.px(24), -look.px(92), -look.px(40))

    def _places(self) -> tuple[Numbers, Numbers]:
        return 0.5 * (self._first + self._second), self._first - self._second

    def _x_of(self, value: float) -> float:
        area, (low, high) = self._area(), self._x_span
        return area.left() + (value - low) / (high - low) * area.width()

    def _y_of(self, value: float) -> float:
        area, (low, high) = self._area(), self._y_span
        return area.bottom() - (value - low) / (high - low) * area.height()

    def _nearest(self, point: QPointF) -> int:
        x, y = self._places()
        known = np.flatnonzero(np.isfinite(x + y))
        if not len(known):
            return -1
        area = self._area()
        across = area.left() + (x[known] - self._x_span[0]) / (self._x_span[1] - self._x_span[0]) * area.width()
        down = area.bottom() - (y[known] - self._y_span[0]) / (self._y_span[1] - self._y_span[0]) * area.height()
        distance = np.hypot(across - point.x(), down - point.y())
        best = int(distance.argmin())
        return int(known[best]) if distance[best] <= theme.current().px(NEAR) else -1


def _span(values: npt.NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.06 * (high - low) or max(1e-3, 0.1 * abs(high))
    return low - margin, high + margin


def _short(value: float) -> float:
    return float(f"{value:.3g}")
