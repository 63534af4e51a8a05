"""Points of several traces, each with its own places, on linear or logarithmic axes; a legend, levels, a read-out."""

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
from dgm_studio.gui.widgets.lineplot import MARKERS, stamp
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme, plain_rounded
from dgm_studio.gui.widgets.ticks import linear_ticks, log_ticks, tick_words

REACH = 28.0  # pixels within which the mouse finds a point
Numbers = npt.NDArray[np.float64]
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter


@dataclass(frozen=True)
class Trace:
    """Some points.

    Args:
        name: In the legend.
        x: Places, [P].
        y: Heights, [P]; NaN is left out.
        colour: As `#RRGGBB`.
        error: Half lengths of the error bars, [P], or none.
        note: Under the name in the legend ("order 2.03").
        dashed: Stands for a reference; no markers.
        bars: Bars from the ground up instead of a line.
    """

    name: str
    x: Numbers
    y: Numbers
    colour: str
    error: Numbers | None = None
    note: str = ""
    dashed: bool = False
    bars: bool = False


@dataclass(frozen=True)
class Level:
    """A height that stands for something; its name is written over it."""

    name: str
    y: float


class ScalePlot(QWidget):
    """See the module.

    Args:
        name: What is plotted.
        x_title: Under the axis.
        y_title: Over it.
        log_x: Logarithmic places.
        log_y: Logarithmic heights.
        unit: After the read-out's height.
        guides: Slopes that are drawn faintly on a log-log plot: a guide of 2 falls as 1 / x^2.

    Signals:
        clicked(int, int): Trace and point that were clicked, or chosen with Return.
    """

    clicked = Signal(int, int)

    def __init__(
        self,
        name: str,
        parent: QWidget | None = None,
        *,
        x_title: str = "",
        y_title: str = "",
        log_x: bool = False,
        log_y: bool = False,
        unit: str = "",
        guides: Sequence[int] = (),
    ) -> None:
        super().__init__(parent)
        self._traces: tuple[Trace, ...] = ()
        self._levels: tuple[Level, ...] = ()
        self._titles, self._logs, self._unit, self._guides = (x_title, y_title), (log_x, log_y), unit, tuple(guides)
        self._x_span, self._y_span = (0.0, 1.0), (0.0, 1.0)
        self._at = (-1, -1)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)

    def set_traces(self, traces: Sequence[Trace], levels: Sequence[Level] = ()) -> None:
        """Show points, and heights that stand for something; those that are not finite are left out."""
        self._traces = tuple(traces)
        self._levels = tuple(v for v in levels if math.isfinite(v.y) and (v.y > 0 or not self._logs[1]))
        x = np.concatenate([t.x for t in traces]) if traces else np.zeros(0)
        grounds = [0.0] if any(t.bars for t in traces) and not self._logs[1] else []
        heights = [*(t.y for t in traces), np.array([*(v.y for v in self._levels), *grounds])]
        self._x_span = self._span(x, self._logs[0], 0.02)
        self._y_span = self._span(np.concatenate(heights), self._logs[1], 0.06)
        if grounds:
            self._y_span = (max(0.0, self._y_span[0]), self._y_span[1])
        if not 0 <= self._at[0] < len(self._traces) or self._at[1] >= len(self._traces[self._at[0]].x):
            self._at = (-1, -1)
        self._describe()
        self.update()

    def set_titles(self, x_title: str, y_title: str) -> None:
        """Change what is written along the axes."""
        self._titles = (x_title, y_title)
        self.update()

    def traces(self) -> tuple[Trace, ...]:
        """What is shown."""
        return self._traces

    def area(self) -> QRectF:
        """Where the points are."""
        look = theme.current()
        top = look.px(24) if self._titles[1] else look.px(8)
        legend = self._legend_width()
        right = legend + look.px(20) if legend else look.px(12)
        return QRectF(self.rect()).adjusted(look.px(52), top, -right, -look.px(38))

    def point(self, trace: int, place: int) -> QPointF:
        """Where a point is, in pixels."""
        found = self._traces[trace]
        return QPointF(self.x_of(float(found.x[place])), self.y_of(float(found.y[place])))

    def x_of(self, x: float) -> float:
        """Where a place is, in pixels."""
        area = self.area()
        return area.left() + self._share(x, self._x_span, self._logs[0]) * area.width()

    def y_of(self, y: float) -> float:
        """Where a height is, in pixels."""
        area = self.area()
        return area.bottom() - self._share(y, self._y_span, self._logs[1]) * area.height()

    def readout(self) -> str:
        """The point under the mouse or the keyboard's mark, in words."""
        trace, place = self._at
        if trace < 0:
            return ""
        found = self._traces[trace]
        x, y = float(found.x[place]), float(found.y[place])
        spread = f" ± {_three(float(found.error[place]))}" if found.error is not None else ""
        return f"{found.name} at {_three(x)}: {_three(y)}{spread} {self._unit}".rstrip()

    def sizeHint(self) -> QSize:
        """Wide enough for a legend."""
        return QSize(520, self.minimumSizeHint().height() + 60)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        look = theme.current()
        return QSize(look.px(260), look.px(200))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Read out the nearest point."""
        self._point_at(self._nearest(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing to read out."""
        self._point_at((-1, -1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Click a point."""
        found = self._nearest(event.position())
        if found[0] >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(*found)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go along a trace, up and down to another, Return clicks."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        step = steps.get(Qt.Key(event.key()))
        if step is not None and self._traces:
            trace = min(max(self._at[0], 0) + step[0], len(self._traces) - 1) if self._at[0] >= 0 else 0
            trace = max(trace, 0)
            place = self._at[1] + step[1] if self._at[0] >= 0 else 0
            self._point_at((trace, min(max(place, 0), len(self._traces[trace].x) - 1)))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._at[0] >= 0:
            self.clicked.emit(*self._at)
        else:
            super().keyPressEvent(event)

    # -- painting ------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, guides, levels, traces, legend, read-out."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_axes(painter)
        painter.save()
        painter.setClipRect(self.area().adjusted(-4, -4, 4, 4))
        self._paint_guides(painter)
        for place, trace in enumerate(self._traces):
            (self._paint_bars if trace.bars else self._paint_trace)(painter, trace, MARKERS[place % len(MARKERS)])
        painter.restore()
        self._paint_levels(painter)
        self._paint_legend(painter)
        self._paint_readout(painter)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_axes(self, painter: QPainter) -> None:
        look, area = theme.current(), self.area()
        font, ink = look.figures("caption"), look.colour("text2")
        most = max(2, int(area.height() / look.px(24)))
        for value in (log_ticks if self._logs[1] else linear_ticks)(*self._y_span, most):
            y = self.y_of(value)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            box = QRectF(0, y - look.px(8), area.left() - 6, look.px(16))
            draw_text(painter, box, tick_words(value), font, ink, _RIGHT)
        most = max(2, int(area.width() / look.px(64)))
        for value in (log_ticks if self._logs[0] else linear_ticks)(*self._x_span, most):
            x = self.x_of(value)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x, area.bottom() + 4))
            box = QRectF(x - look.px(36), area.bottom() + 4, look.px(72), look.px(15))
            draw_text(painter, box, tick_words(value), font, ink, _CENTRE)
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        title = QRectF(0, 0, area.right(), look.px(18))
        draw_text(painter, title, self._titles[1], look.font("caption"), ink)
        under = QRectF(area.left(), area.bottom() + look.px(20), area.width(), look.px(16))
        draw_text(painter, under, self._titles[0], look.font("caption"), ink, _CENTRE)

    def _paint_guides(self, painter: QPainter) -> None:
        """Slopes from the highest point of the left end, so that the eye has something to hold an order against."""
        seen = [t for t in self._traces if not t.dashed and len(t.x)]
        if not seen or not all(self._logs):
            return
        look = theme.current()
        x0 = min(float(t.x[0]) for t in seen)
        y0 = max(float(np.nanmax(t.y)) for t in seen)
        painter.setPen(QPen(look.colour("text2", 0.55), 1, Qt.PenStyle.DotLine))
        for slope in self._guides:
            x1 = self._x_span[1]
            y1 = y0 * (x0 / x1) ** slope
            if y1 < self._y_span[0]:
                y1 = self._y_span[0]
                x1 = x0 * (y0 / y1) ** (1 / slope)
            painter.drawLine(QPointF(self.x_of(x0), self.y_of(y0)), QPointF(self.x_of(x1), self.y_of(y1)))

    def _paint_trace(self, painter: QPainter, trace: Trace, marker: str) -> None:
        colour = theme.line_colour(trace.colour)
        pen = QPen(colour, 1.5)
        if trace.dashed:
            pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        seen = self._seen(trace)
        points = [QPointF(self.x_of(float(trace.x[k])), self.y_of(float(trace.y[k]))) for k in seen]
        painter.drawPolyline(QPolygonF(points))
        self._paint_errors(painter, trace, seen)
        if not trace.dashed:
            painter.setPen(QPen(colour, 1))
            painter.setBrush(colour)
            for at in points:
                stamp(painter, at, marker)

    def _paint_bars(self, painter: QPainter, trace: Trace, marker: str) -> None:
        seen, area = self._seen(trace), self.area()
        if not seen:
            return
        places = np.sort(np.array([self.x_of(float(trace.x[k])) for k in seen]))
        pitch = float(np.diff(places).min()) if len(places) > 1 else area.width() / 8
        wide = max(2.0, pitch * 0.7)
        for k in seen:
            x, y = self.x_of(float(trace.x[k])), self.y_of(float(trace.y[k]))
            bar = QRectF(x - wide / 2, y, wide, max(1.0, area.bottom() - y))
            plain_rounded(painter, bar, theme.line_colour(trace.colour), min(2.0, wide / 3))
        painter.setPen(QPen(theme.current().colour("text"), 1))
        self._paint_errors(painter, trace, seen)

    def _paint_errors(self, painter: QPainter, trace: Trace, seen: Sequence[int]) -> None:
        if trace.error is None:
            return
        for k in seen:
            error = float(trace.error[k])
            if math.isfinite(error):
                x, y = self.x_of(float(trace.x[k])), float(trace.y[k])
                painter.drawLine(QPointF(x, self.y_of(y - error)), QPointF(x, self.y_of(y + error)))

    def _paint_levels(self, painter: QPainter) -> None:
        look, area = theme.current(), self.area()
        for level in self._levels:
            y = self.y_of(level.y)
            pen = QPen(look.colour("live"), 1)
            pen.setDashPattern([5, 3])
            painter.setPen(pen)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            words = f"{level.name} {_three(level.y)}"
            wide = min(QFontMetrics(look.font("caption")).horizontalAdvance(words) + 10, area.width() - 12)
            box = QRectF(area.right() - wide - 6, y - look.px(17), wide, look.px(15))
            if box.top() < area.top():
                box.moveTop(y + 2)
            plain_rounded(painter, box, look.colour("bg1", 0.85), 3)
            draw_text(painter, box.adjusted(5, 0, 0, 0), words, look.font("caption"), look.colour("live"))

    def _paint_legend(self, painter: QPainter) -> None:
        look, area = theme.current(), self.area()
        if not self._legend_width():
            return
        left, top = area.right() + look.px(16), area.top()
        for place, trace in enumerate(self._traces):
            colour = theme.line_colour(trace.colour)
            pen = QPen(colour, 1.5)
            if trace.dashed:
                pen.setDashPattern([3, 2])
            middle = top + look.px(9)
            swatch = QRectF(left, middle - 4, look.px(16), 8)
            if trace.bars:
                plain_rounded(painter, swatch.adjusted(2, 0, -2, 0), colour, 2)
            else:
                painter.setPen(pen)
                painter.drawLine(QPointF(left, middle), QPointF(left + look.px(16), middle))
            if not trace.dashed and not trace.bars:
                painter.setPen(QPen(colour, 1))
                painter.setBrush(colour)
                stamp(painter, QPointF(left + look.px(8), middle), MARKERS[place % len(MARKERS)])
            words = QRectF(left + look.px(22), top, self.width() - left - look.px(22), look.px(18))
            draw_text(painter, words, trace.name, look.font("secondary"), look.colour("text"))
            top += look.px(18)
            if trace.note:
                under = words.translated(0, look.px(16))
                draw_text(painter, under, trace.note, look.font("caption"), look.colour("text2"))
                top += look.px(16)
            top += look.px(5)

    def _paint_readout(self, painter: QPainter) -> None:
        words = self.readout()
        if not words:
            return
        look, area, at = theme.current(), self.area(), self.point(*self._at)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.colour("text"), 1.5))
        painter.drawEllipse(at, 6, 6)
        font = look.figures("caption")
        box = QRectF(0, 0, QFontMetrics(font).horizontalAdvance(words) + 14, look.px(20))
        box.moveBottomLeft(at + QPointF(8, -8))
        box.moveLeft(min(box.left(), max(0.0, self.width() - box.width() - 2)))
        box.moveTop(max(box.top(), area.top()))
        painter.setPen(QPen(look.colour("line"), 1))
        painter.setBrush(look.colour("bg2"))
        painter.drawRoundedRect(box, 4, 4)
        draw_text(painter, box.adjusted(7, 0, -4, 0), words, font, look.colour("text"))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _span(self, values: Numbers, log: bool, room: float) -> tuple[float, float]:
        finite = values[np.isfinite(values) & ((values > 0) | (not log))]
        if not finite.size:
            return (1.0, 10.0) if log else (0.0, 1.0)
        low, high = float(finite.min()), float(finite.max())
        if log:
            wide = max(math.log(high / low), 0.2)
            return low * math.exp(-room * wide), high * math.exp(room * wide)
        wide = (high - low) or abs(high) or 1.0
        return low - room * wide, high + room * wide

    @staticmethod
    def _share(value: float, span: tuple[float, float], log: bool) -> float:
        low, high = span
        if log:
            value = max(value, low * 1e-3)
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    def _seen(self, trace: Trace) -> list[int]:
        good = np.isfinite(trace.x) & np.isfinite(trace.y)
        if self._logs[1]:
            good &= trace.y > 0
        return [int(k) for k in np.flatnonzero(good)]

    def _nearest(self, at: QPointF) -> tuple[int, int]:
        best, found = REACH, (-1, -1)
        for n, trace in enumerate(self._traces):
            for k in self._seen(trace):
                gap = self.point(n, k) - at
                far = abs(gap.x()) if trace.bars else math.hypot(gap.x(), gap.y())
                if far < best:
                    best, found = far, (n, k)
        return found

    def _point_at(self, at: tuple[int, int]) -> None:
        if at != self._at:
            self._at = at
            self._describe()
            self.update()

    def _describe(self) -> None:
        told = "; ".join(f"{t.name} {t.note}".strip() for t in self._traces)
        self.setAccessibleDescription(self.readout() or told)

    def _legend_width(self) -> int:
        if len(self._traces) < 2 and not any(t.note for t in self._traces):
            return 0
        look = theme.current()
        large, small = QFontMetrics(look.font("secondary")), QFontMetrics(look.font("caption"))
        widths = [max(large.horizontalAdvance(t.name), small.horizontalAdvance(t.note)) for t in self._traces]
        return min(max(widths) + look.px(26), round(self.width() * 0.34))


def _three(value: float) -> str:
    return number(float(f"{value:.3g}"))
