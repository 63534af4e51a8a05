"""A curve over [0, 1] that is bent by its knots: drag them, step them with the keys, add and remove them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import between, draw_text, focus_ring, follow_theme, plain_rounded
from dgm_studio.gui.widgets.ticks import linear_ticks, tick_words

GRIP = 14.0  # pixels within which a knot is grabbed
SETTLE_MS = 500  # a run of key steps is one gesture
STEP, FINE = 0.02, 0.2  # share of an axis that a key moves a knot; with Shift, of that
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter


class KnotPlot(QWidget):
    """See the module. It draws what it is given: the owner decides what a drag makes of the knots and the curve.

    Args:
        name: What is plotted.
        ends: Words at the left and the right end of the x axis.

    Signals:
        moved(int, float, float): The hand drags this knot to (x, y).
        added(float, float): A double-click on free ground.
        removed(int): Delete, or a double-click on a knot.
        pressed(), released(): Around a gesture.
        pointed(float): x under the mouse in [0, 1], NaN for none.
    """

    moved = Signal(int, float, float)
    added = Signal(float, float)
    removed = Signal(int)
    pressed = Signal()
    released = Signal()
    pointed = Signal(float)

    def __init__(self, name: str, parent: QWidget | None = None, *, ends: tuple[str, str] = ("", "")) -> None:
        super().__init__(parent)
        self._x, self._y = np.zeros(0), np.zeros(0)
        self._other: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
        self._knots: list[tuple[float, float]] = []
        self._span, self._titles, self._ends = (0.0, 1.0), ("", ""), ends
        self._names = ("", "")
        self._ground: tuple[float, str] | None = None
        self._read: Callable[[float], str] | None = None
        self._selected, self._hover, self._dragged = 0, -1, -1
        self._pointer = math.nan
        self._mark = math.nan
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self._end_keys)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)

    # -- what is shown -------------------------------------------------------------------------------------------------

    def set_curve(self, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
        """The curve, [L] each; x rising in [0, 1]."""
        self._x, self._y = np.asarray(x, float), np.asarray(y, float)
        self.update()

    def set_other(self, x: npt.ArrayLike | None, y: npt.ArrayLike | None, names: tuple[str, str] = ("", "")) -> None:
        """A dashed curve to compare with, or none; names of the curve and of that one."""
        known = x is not None and y is not None
        self._other = (np.asarray(x, float), np.asarray(y, float)) if known else None
        self._names = names
        self.update()

    def set_knots(self, knots: Sequence[tuple[float, float]]) -> None:
        """Where the knots are; () for a curve that cannot be bent here."""
        self._knots = [(float(x), float(y)) for x, y in knots]
        self._selected = min(self._selected, max(0, len(self._knots) - 1))
        self._describe()
        self.update()

    def set_axis(self, low: float, high: float, x_title: str, y_title: str) -> None:
        """Ends of the y axis, and what the axes are.

        Raises:
            ValueError: An empty range.
        """
        if not high > low:
            raise ValueError(f"an axis cannot go from {low:g} to {high:g}")
        self._span, self._titles = (low, high), (x_title, y_title)
        self.update()

    def set_ground(self, y: float | None, words: str = "") -> None:
        """A height that means something, drawn behind the curve; None for none."""
        self._ground = None if y is None else (y, words)
        self.update()

    def set_reader(self, read: Callable[[float], str] | None) -> None:
        """What is told of an x under the mouse."""
        self._read = read

    def set_mark(self, x: float) -> None:
        """An upright line at x; NaN for none."""
        self._mark = x
        self.update()

    def knots(self) -> list[tuple[float, float]]:
        """Where they are."""
        return list(self._knots)

    def selected(self) -> int:
        """The knot that the keys move."""
        return self._selected

    def dragging(self) -> bool:
        """Whether the hand holds a knot."""
        return self._dragged >= 0

    # -- geometry ------------------------------------------------------------------------------------------------------

    def area(self) -> QRectF:
        """Where the curve is."""
        look = theme.current()
        return QRectF(self.rect()).adjusted(look.px(52), look.px(24), -look.px(46), -look.px(36))

    def x_of(self, x: float) -> float:
        """Where a place is, in pixels."""
        return self.area().left() + x * self.area().width()

    def y_of(self, y: float) -> float:
        """Where a height is, in pixels."""
        low, high = self._span
        return self.area().bottom() - (y - low) / (high - low) * self.area().height()

    def at(self, point: QPointF) -> tuple[float, float]:
        """Place and height of a point, within the axes."""
        area, (low, high) = self.area(), self._span
        x = (point.x() - area.left()) / max(1.0, area.width())
        y = (area.bottom() - point.y()) / max(1.0, area.height())
        return min(max(x, 0.0), 1.0), low + min(max(y, 0.0), 1.0) * (high - low)

    def knot_at(self, point: QPointF) -> int:
        """The knot under a point, -1 for none."""
        far = [between(QPointF(self.x_of(x), self.y_of(y)), point) for x, y in self._knots]
        nearest = int(np.argmin(far)) if far else -1
        return nearest if far and far[nearest] <= theme.current().px(GRIP) else -1

    def sizeHint(self) -> QSize:
        """Large enough to aim."""
        return QSize(560, self.minimumSizeHint().height() + 30)

    def minimumSizeHint(self) -> QSize:
        """Still possible to aim."""
        look = theme.current()
        return QSize(look.px(260), look.px(270))

    # -- by hand -------------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Grab a knot."""
        place = self.knot_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and place >= 0:
            self._end_keys()
            self._dragged = self._selected = place
            self.pressed.emit()
            self._describe()
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the knot, or tell what is under the mouse."""
        self._pointer = self.at(event.position())[0]
        if self._dragged >= 0:
            self.moved.emit(self._dragged, *self.at(event.position()))
        else:
            self._hover = self.knot_at(event.position())
            shape = Qt.CursorShape.SizeAllCursor if self._hover >= 0 else Qt.CursorShape.ArrowCursor
            self.setCursor(shape)
        self.pointed.emit(self._pointer)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._dragged >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self._dragged = -1
            self.released.emit()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Take a knot away, or put one here."""
        place = self.knot_at(event.position())
        if event.button() != Qt.MouseButton.LeftButton or not self._knots:
            return
        if place >= 0:
            self.removed.emit(place)
        elif self.area().contains(event.position()):
            self.added.emit(*self.at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._hover, self._pointer = -1, math.nan
        self.pointed.emit(math.nan)
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the selected knot, Shift finely; Page Up and Down select, Insert adds, Delete removes."""
        arrows = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, 1), Qt.Key.Key_Down: (0, -1)}
        turns = {Qt.Key.Key_PageUp: -1, Qt.Key.Key_PageDown: 1}
        key = Qt.Key(event.key())
        if not self._knots:
            super().keyPressEvent(event)
        elif key in arrows:
            self._step(*arrows[key], fine=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif key in turns:
            self._selected = min(max(self._selected + turns[key], 0), len(self._knots) - 1)
            self._describe()
            self.update()
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removed.emit(self._selected)
        elif key in (Qt.Key.Key_Insert, Qt.Key.Key_Plus):
            self._add_beside()
        else:
            super().keyPressEvent(event)

    def _step(self, right: int, up: int, *, fine: bool) -> None:
        share = STEP * (FINE if fine else 1.0)
        x, y = self._knots[self._selected]
        if not self._settle.isActive():
            self.pressed.emit()
        self._settle.start()
        self.moved.emit(self._selected, x + right * share, y + up * share * (self._span[1] - self._span[0]))

    def _end_keys(self) -> None:
        if self._settle.isActive() or self.sender() is self._settle:
            self._settle.stop()
            self.released.emit()

    def _add_beside(self) -> None:
        """Half way to the next knot, on the curve."""
        first = min(self._selected, len(self._knots) - 2)
        x = (self._knots[first][0] + self._knots[first + 1][0]) / 2
        self.added.emit(x, float(np.interp(x, self._x, self._y)))

    # -- painting ------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, ground, curves, knots, read-out."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_axes(painter)
        painter.save()
        painter.setClipRect(self.area().adjusted(-8, -8, 8, 8))
        look = theme.current()
        if self._other is not None:
            pen = QPen(look.colour("text2"), 1.25)
            pen.setDashPattern([5, 4])
            painter.setPen(pen)
            painter.drawPolyline(self._polygon(*self._other))
        painter.setPen(QPen(look.colour("accent"), 2))
        painter.drawPolyline(self._polygon(self._x, self._y))
        self._paint_mark(painter)
        painter.restore()
        self._paint_knots(painter)
        self._paint_names(painter)
        self._paint_readout(painter)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_axes(self, painter: QPainter) -> None:
        look, area = theme.current(), self.area()
        font, ink = look.figures("caption"), look.colour("text2")
        for value in linear_ticks(*self._span, max(2, int(area.height() / look.px(24)))):
            y = self.y_of(value)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            box = QRectF(0, y - look.px(8), area.left() - 6, look.px(16))
            draw_text(painter, box, tick_words(value), font, ink, _RIGHT)
        for value in linear_ticks(0.0, 1.0, 5):
            x = self.x_of(value)
            box = QRectF(x - look.px(30), area.bottom() + 3, look.px(60), look.px(15))
            draw_text(painter, box, tick_words(value), font, ink, _CENTRE)
        draw_text(painter, QRectF(0, 0, area.width() * 0.6, look.px(18)), self._titles[1], look.font("caption"), ink)
        under = QRectF(area.left(), area.bottom() + look.px(18), area.width(), look.px(16))
        draw_text(painter, under, self._titles[0], look.font("caption"), ink, _CENTRE)
        draw_text(painter, under, self._ends[0], look.font("caption"), ink)
        draw_text(painter, under, self._ends[1], look.font("caption"), ink, _RIGHT)
        self._paint_ground(painter)

    def _paint_ground(self, painter: QPainter) -> None:
        if self._ground is None or not self._span[0] < self._ground[0] < self._span[1]:
            return
        look, area = theme.current(), self.area()
        y = self.y_of(self._ground[0])
        painter.setPen(QPen(look.colour("text2", 0.6), 1))
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        box = QRectF(area.left() + 6, y + 2, area.width() - 12, look.px(15))
        draw_text(painter, box, self._ground[1], look.font("caption"), look.colour("text2"))

    def _paint_knots(self, painter: QPainter) -> None:
        look = theme.current()
        for place, (x, y) in enumerate(self._knots):
            at, r = QPointF(self.x_of(x), self.y_of(y)), look.px(5)
            held = place == self._dragged or (self.hasFocus() and place == self._selected)
            if held or place == self._hover:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(look.colour("accent", 0.25))
                painter.drawEllipse(at, r + look.px(6), r + look.px(6))
            painter.setPen(QPen(look.colour("accent"), 2))
            painter.setBrush(look.colour("accent" if held else "bg1"))
            painter.drawEllipse(at, r, r)

    def _paint_names(self, painter: QPainter) -> None:
        """Which line is which, at the upper right."""
        look, area = theme.current(), self.area()
        right = area.right()
        for dashed, words in ((True, self._names[1]), (False, self._names[0])):
            if not words or (dashed and self._other is None):
                continue
            font = look.font("caption")
            wide = QFontMetrics(font).horizontalAdvance(words) + 2
            box = QRectF(right - wide, 0, wide, look.px(18))
            draw_text(painter, box, words, font, look.colour("text2" if dashed else "text"))
            pen = QPen(look.colour("text2" if dashed else "accent"), 1.25 if dashed else 2)
            if dashed:
                pen.setDashPattern([4, 3])
            painter.setPen(pen)
            middle = box.center().y()
            painter.drawLine(QPointF(box.left() - look.px(24), middle), QPointF(box.left() - look.px(6), middle))
            right = box.left() - look.px(38)

    def _paint_mark(self, painter: QPainter) -> None:
        x = self._mark if math.isfinite(self._mark) else self._pointer
        if math.isfinite(x):
            area = self.area()
            painter.setPen(QPen(theme.current().colour("text2", 0.7), 1))
            painter.drawLine(QPointF(self.x_of(x), area.top()), QPointF(self.x_of(x), area.bottom()))

    def _paint_readout(self, painter: QPainter) -> None:
        x = self._mark if math.isfinite(self._mark) else self._pointer
        if self._dragged >= 0:
            x = self._knots[self._dragged][0]
        words = self._read(x) if self._read is not None and math.isfinite(x) and len(self._x) else ""
        if not words:
            return
        look, area = theme.current(), self.area()
        font = look.figures("caption")
        box = QRectF(0, area.top() + 6, QFontMetrics(font).horizontalAdvance(words) + 14, look.px(20))
        beside = self.x_of(x) + 10
        box.moveLeft(beside if beside + box.width() < area.right() else self.x_of(x) - 10 - box.width())
        box.moveLeft(max(box.left(), 0.0))
        plain_rounded(painter, box, look.colour("bg2", 0.95), 4)
        draw_text(painter, box.adjusted(7, 0, -4, 0), words, font, look.colour("text"))

    def _polygon(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> QPolygonF:
        good = np.isfinite(x) & np.isfinite(y)
        return QPolygonF([QPointF(self.x_of(a), self.y_of(b)) for a, b in zip(x[good], y[good], strict=True)])

    def _describe(self) -> None:
        if not self._knots:
            self.setAccessibleDescription("")
            return
        x, y = self._knots[self._selected]
        self.setAccessibleDescription(
            f"knot {self._selected + 1} of {len(self._knots)} at {x:.2f}, {y:.2f}; arrows move it, Page Up and Down "
            "select another, Insert adds, Delete removes"
        )
