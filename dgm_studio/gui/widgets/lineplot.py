"""A small plot of a few lines over one axis: markers, error bars, a name at each line's end, a read-out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme, plain_rounded

MARKERS = ("disc", "square", "triangle", "diamond")
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter


@dataclass(frozen=True)
class PlotLine:
    """One line.

    Args:
        name: Written at its end.
        y: Heights, [N]; NaN is a gap.
        colour: As `#RRGGBB`; a line's shape of marker tells it apart as well.
        error: Half lengths of the error bars, [N], or none.
        dashed: A line that stands for a reference.
    """

    name: str
    y: npt.NDArray[np.float64]
    colour: str
    error: npt.NDArray[np.float64] | None = None
    dashed: bool = False


class LinePlot(QWidget):
    """See the module.

    Args:
        name: What is plotted.
        x_title: Under the axis.
        y_title: Over it.
        log: A logarithmic x axis.

    Signals:
        pointed(int): The place under the mouse or the keyboard's mark, -1 for none.
        clicked(int): A place was clicked, or Return was pressed on it.
    """

    pointed = Signal(int)
    clicked = Signal(int)

    def __init__(
        self, name: str, parent: QWidget | None = None, *, x_title: str = "", y_title: str = "", log: bool = False
    ) -> None:
        super().__init__(parent)
        self._x = np.zeros(0)
        self._lines: tuple[PlotLine, ...] = ()
        self._low, self._high = 0.0, 1.0
        self._titles, self._log = (x_title, y_title), log
        self._percent = False
        self._place = -1
        self._mark: float | None = None
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)

    def set_lines(
        self,
        x: npt.ArrayLike,
        lines: Sequence[PlotLine],
        low: float | None = None,
        high: float | None = None,
        *,
        percent: bool = False,
    ) -> None:
        """Show lines.

        Args:
            x: Where, [N], growing.
            lines: What.
            low: Of the y axis; the smallest number by default.
            high: Likewise.
            percent: Heights are shares.
        """
        self._x, self._lines, self._percent = np.asarray(x, float), tuple(lines), percent
        heights = np.concatenate([line.y for line in lines]) if lines else np.zeros(0)
        finite = heights[np.isfinite(heights)]
        smallest, largest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        room = 0.08 * ((largest - smallest) or 1.0)
        self._low = smallest - room if low is None else low
        self._high = largest + room if high is None else high
        self._place = min(self._place, len(self._x) - 1)
        self._describe()
        self.update()

    def set_mark(self, x: float | None) -> None:
        """A dashed upright line at what is set elsewhere; None for none."""
        self._mark = x
        self.update()

    def area(self) -> QRectF:
        """Where the lines are."""
        look = theme.current()
        right = max((self._width(line.name) for line in self._lines), default=0) + look.px(14)
        top = look.px(28) if self._titles[1] else look.px(6)
        return QRectF(self.rect()).adjusted(look.px(46), top, -right, -look.px(36))

    def x_of(self, x: float) -> float:
        """Where a value of the axis is, in pixels."""
        area = self.area()
        if not len(self._x):
            return area.left()
        low, high, at = self._scaled(self._x[0]), self._scaled(self._x[-1]), self._scaled(x)
        return area.left() + (at - low) / ((high - low) or 1.0) * area.width()

    def readout(self) -> str:
        """The place under the mouse in words."""
        if not 0 <= self._place < len(self._x):
            return ""
        parts = [f"{line.name} {self._figure(float(line.y[self._place]))}" for line in self._lines]
        return f"{number(float(f'{self._x[self._place]:.3g}'))}: " + ", ".join(parts)

    def sizeHint(self) -> QSize:
        """A flat band."""
        return QSize(420, 200)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(220, 130)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Read out."""
        self._point(self._nearest(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing to read out."""
        self._point(-1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Click a place."""
        place = self._nearest(event.position().x())
        if place >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the mark, Return clicks it."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is not None and len(self._x):
            self._point(min(max(self._place + step, 0), len(self._x) - 1))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._place >= 0:
            self.clicked.emit(self._place)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, lines, names, read-out."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_axes(painter)
        for place, line in enumerate(self._lines):
            self._paint_line(painter, line, MARKERS[place % len(MARKERS)])
        self._paint_names(painter)
        self._paint_place(painter)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_axes(self, painter: QPainter) -> None:
        look, area = theme.current(), self.area()
        font, ink = look.figures("caption"), look.colour("text2")
        for share in (0.0, 0.5, 1.0):
            y = area.bottom() - share * area.height()
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            box = QRectF(0, y - look.px(8), area.left() - 6, look.px(16))
            draw_text(painter, box, self._figure(self._low + share * (self._high - self._low)), font, ink, _RIGHT)
        if self._titles[1]:
            top = QRectF(0, 0, self.width(), look.px(18))
            draw_text(painter, top, self._titles[1], look.font("caption"), ink)
        right = -math.inf
        for value in self._x:
            words = number(float(f"{value:.3g}"))
            wide = QFontMetrics(font).horizontalAdvance(words) + 8
            x = self.x_of(float(value))
            if x - wide / 2 > right:
                box = QRectF(x - wide / 2, area.bottom() + 3, wide, look.px(15))
                draw_text(painter, box, words, font, ink, _CENTRE)
                right = x + wide / 2
        if self._titles[0]:
            under = QRectF(area.left(), area.bottom() + look.px(18), area.width(), look.px(16))
            draw_text(painter, under, self._titles[0], look.font("caption"), ink, _CENTRE)

    def _paint_line(self, painter: QPainter, line: PlotLine, marker: str) -> None:
        colour = theme.line_colour(line.colour)
        pen = QPen(colour, 1.5)
        if line.dashed:
            pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        points = [QPointF(self.x_of(float(x)), self._y_of(float(y))) for x, y in zip(self._x, line.y, strict=False)]
        seen = [p for p, y in zip(points, line.y, strict=False) if math.isfinite(y)]
        painter.drawPolyline(QPolygonF(seen))
        if line.error is not None:
            for x, y, error in zip(self._x, line.y, line.error, strict=False):
                if math.isfinite(y) and math.isfinite(error):
                    at = self.x_of(float(x))
                    painter.drawLine(QPointF(at, self._y_of(y - error)), QPointF(at, self._y_of(y + error)))
        if not line.dashed:
            painter.setBrush(colour)
            for point in seen:
                stamp(painter, point, marker)

    def _paint_names(self, painter: QPainter) -> None:
        """At the ends of the lines, pushed apart where they would overlap."""
        look, area = theme.current(), self.area()
        high = look.px(15)
        ends = []
        for line in self._lines:
            seen = line.y[np.isfinite(line.y)]
            if seen.size:
                ends.append((self._y_of(float(seen[-1])), line))
        ends.sort(key=lambda end: end[0])
        top = -math.inf
        for place, (y, line) in enumerate(ends):
            lowest = area.bottom() + high / 2 - (len(ends) - place) * high
            top = min(max(y - high / 2, top), lowest)
            box = QRectF(area.right() + look.px(10), top, self.width() - area.right() - look.px(10), high)
            draw_text(painter, box, line.name, look.font("caption"), theme.line_colour(line.colour, 4.5))
            top += high

    def _paint_place(self, painter: QPainter) -> None:
        look, area = theme.current(), self.area()
        if self._mark is not None and len(self._x):
            pen = QPen(look.colour("accent"), 1)
            pen.setDashPattern([4, 3])
            painter.setPen(pen)
            x = self.x_of(self._mark)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        if not 0 <= self._place < len(self._x):
            return
        x = self.x_of(float(self._x[self._place]))
        painter.setPen(QPen(look.colour("text2"), 1))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        words = self.readout()
        box = QRectF(0, 0, QFontMetrics(look.figures("caption")).horizontalAdvance(words) + 12, look.px(20))
        box.moveTopLeft(QPointF(min(max(x + 6, 0.0), max(0.0, self.width() - box.width())), area.top() + 2))
        plain_rounded(painter, box, look.colour("bg2", 0.95), 4)
        draw_text(painter, box.adjusted(6, 0, -4, 0), words, look.figures("caption"), look.colour("text"))

    def _nearest(self, x: float) -> int:
        if not len(self._x):
            return -1
        return int(np.argmin([abs(self.x_of(float(value)) - x) for value in self._x]))

    def _point(self, place: int) -> None:
        if place != self._place:
            self._place = place
            self._describe()
            self.update()
            self.pointed.emit(place)

    def _describe(self) -> None:
        self.setAccessibleDescription(self.readout())

    def _scaled(self, x: float) -> float:
        return math.log(x) if self._log and x > 0 else float(x)

    def _y_of(self, y: float) -> float:
        area = self.area()
        share = (y - self._low) / ((self._high - self._low) or 1.0)
        return area.bottom() - min(max(share, -0.02), 1.02) * area.height()

    def _figure(self, value: float) -> str:
        if self._percent:
            return f"{value:.0%}".replace("%", " %").replace("-", "\N{MINUS SIGN}")
        return number(float(f"{value:.4g}"))

    def _width(self, words: str) -> int:
        return QFontMetrics(theme.current().font("caption")).horizontalAdvance(words)


def stamp(painter: QPainter, at: QPointF, marker: str) -> None:
    """A small filled mark around a point, in the painter's pen and brush; `marker` is one of `MARKERS`."""
    r = 3.0
    if marker == "disc":
        painter.drawEllipse(at, r, r)
    elif marker == "square":
        painter.drawRect(QRectF(at.x() - r, at.y() - r, 2 * r, 2 * r))
    elif marker == "triangle":
        painter.drawPolygon(QPolygonF([at + QPointF(0, -r - 1), at + QPointF(r + 1, r), at + QPointF(-r - 1, r)]))
    else:
        corners = [QPointF(0, -r - 1), QPointF(r + 1, 0), QPointF(0, r + 1), QPointF(-r - 1, 0)]
        painter.drawPolygon(QPolygonF([at + corner for corner in corners]))
