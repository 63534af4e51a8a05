"""The bare track of a slider: what the hand drags."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import focus_ring, follow_theme, plain_rounded

_SETTLE_MS = 500
_STEPS = 10_000


class SliderTrack(QAbstractSlider):
    """A slider over real numbers whose filled part grows from `origin`.

    Dragging is continuous; the wheel and the arrows step, Shift makes both ten times finer, double-click resets.
    `gesture_began` and `gesture_ended` enclose every change by hand (one drag, or one run of wheel and key steps), so
    that the owner can make one undo step of it.

    Signals:
        moved(float): The hand changed the value.
        gesture_began(), gesture_ended(): Around `moved`.
    """

    moved = Signal(float)
    gesture_began = Signal()
    gesture_ended = Signal()

    def __init__(self, name: str, low: float, high: float, parent: QWidget | None = None, *, log: bool = False) -> None:
        super().__init__(parent)
        self._log = log
        self._low, self._high, self._value = low, high, low
        self._origin, self._reset, self._step = low, low, 0.0
        self._grab: float | None = None
        self._last_x = 0.0
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settle.timeout.connect(self._end)
        self._in_gesture = False
        self.setRange(0, _STEPS)
        self.setOrientation(Qt.Orientation.Horizontal)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def configure(
        self, low: float, high: float, *, origin: float | None = None, reset: float | None = None, step: float = 0.0
    ) -> None:
        """Set range, where the filled part starts, where a double-click goes and how far a key steps.

        Raises:
            ValueError: An empty range, or a logarithmic one that touches zero.
        """
        if not low < high or (self._log and low <= 0):
            raise ValueError(f"a slider cannot go from {low:g} to {high:g}")
        self._low, self._high = low, high
        self._origin = low if origin is None else origin
        self._reset = self._origin if reset is None else reset
        self._step = step
        self.set_value(min(max(self._value, low), high))

    def real(self) -> float:
        """The value, exactly as it was set."""
        return self._value

    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self._low, self._high

    def set_value(self, value: float) -> None:
        """Set without a signal; values outside the range are clamped."""
        self._value = min(max(float(value), self._low), self._high)
        self.blockSignals(True)
        self.setValue(round(self.share(self._value) * _STEPS))
        self.blockSignals(False)
        self.update()

    def share(self, value: float) -> float:
        """Where a value is on the track, 0 at the left end and 1 at the right."""
        if self._log:
            return math.log(value / self._low) / math.log(self._high / self._low)
        return (value - self._low) / (self._high - self._low)

    def at_share(self, share: float) -> float:
        """The inverse of `share`."""
        share = min(max(share, 0.0), 1.0)
        if self._log:
            return self._low * math.exp(share * math.log(self._high / self._low))
        return self._low + share * (self._high - self._low)

    def put(self, value: float) -> None:
        """Change by hand from elsewhere (typing): one whole gesture."""
        self._end()
        self._begin()
        self._move(value)
        self._end()

    def reset(self) -> None:
        """Go back to the value a double-click gives."""
        self.put(self._reset)

    def sizeHint(self) -> QSize:
        """Room for the handle."""
        return QSize(120, theme.current().px(20))

    def minimumSizeHint(self) -> QSize:
        """Still draggable."""
        return QSize(48, theme.current().px(20))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Grab the handle, or bring it under the mouse and grab it."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._end()
        self._begin()
        x = event.position().x()
        on_handle = abs(x - self._x_of(self._value)) <= self._radius() + 2
        if not on_handle:
            self._move(self.at_share(self._share_at(x)))
        self._grab = self._x_of(self._value) - x if on_handle else 0.0
        self._last_x = x

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse; with Shift at a tenth of its speed."""
        if self._grab is None:
            return
        x = event.position().x()
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._move(self.at_share(self.share(self._value) + (x - self._last_x) / (10 * self._span())))
            self._grab = self._x_of(self._value) - x
        else:
            self._move(self.at_share(self._share_at(x + self._grab)))
        self._last_x = x

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._grab is not None and event.button() == Qt.MouseButton.LeftButton:
            self._grab = None
            self._end()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Back to the reset value."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.reset()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """One step for each notch."""
        notches = (event.angleDelta().y() or event.angleDelta().x()) / 120
        self._nudge(notches, fine=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows step, Page Up and Down step ten times, Home and End go to the ends, Delete resets."""
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Down: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: 1,
            Qt.Key.Key_PageDown: -10,
            Qt.Key.Key_PageUp: 10,
        }
        key = Qt.Key(event.key())
        if key in steps:
            self._nudge(steps[key], fine=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif key == Qt.Key.Key_Home:
            self.put(self._low)
        elif key == Qt.Key.Key_End:
            self.put(self._high)
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.reset()
        else:
            event.ignore()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Whatever was going on is over."""
        self._end()
        super().focusOutEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Groove, filled part from the origin, a mark at the origin, handle."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, thick = self.height() / 2, look.px(4)
        top = middle - thick / 2
        plain_rounded(painter, QRectF(0, top, self.width(), thick), look.colour("bg3"), thick / 2)
        zero, x = self._x_of(min(max(self._origin, self._low), self._high)), self._x_of(self._value)
        if self._low < self._origin < self._high:
            painter.fillRect(QRectF(zero - 0.5, middle - thick, 1, 2 * thick), look.colour("text2", 0.7))
        start, end = (0.0, x) if self._origin <= self._low else (min(zero, x), max(zero, x))
        fill = look.colour("accent") if self.isEnabled() else look.colour("text2", 0.5)
        plain_rounded(painter, QRectF(start, top, end - start, thick), fill, thick / 2)
        self._paint_handle(painter, QPointF(x, middle))

    def _paint_handle(self, painter: QPainter, centre: QPointF) -> None:
        look = theme.current()
        half = QPointF(self._radius(), self._radius() * 0.8)
        body = QRectF(centre - half, centre + half)
        plain_rounded(painter, body, look.colour("text" if self.isEnabled() else "text2"), body.height() / 2)
        painter.setPen(QPen(look.colour("bg1"), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(body, body.height() / 2, body.height() / 2)
        if self.hasFocus():
            focus_ring(painter, body.adjusted(-3, -3, 3, 3), body.height() / 2 + 2)

    def _radius(self) -> float:
        return float(theme.current().px(7))

    def _margin(self) -> float:
        return self._radius() + 3

    def _span(self) -> float:
        return max(1.0, self.width() - 2 * self._margin())

    def _x_of(self, value: float) -> float:
        return self._margin() + self.share(value) * self._span()

    def _share_at(self, x: float) -> float:
        return (x - self._margin()) / self._span()

    def _nudge(self, steps: float, *, fine: bool) -> None:
        self._begin()
        scale = 0.1 if fine else 1.0
        if self._log or not self._step:
            self._move(self.at_share(self.share(self._value) + steps * scale * 0.01))
        else:
            self._move(self._value + steps * scale * self._step)
        self._settle.start()

    def _move(self, value: float) -> None:
        before = self._value
        self.set_value(value)
        if self._value != before:
            self.moved.emit(self._value)

    def _begin(self) -> None:
        if not self._in_gesture:
            self._in_gesture = True
            self.gesture_began.emit()

    def _end(self) -> None:
        self._settle.stop()
        if self._in_gesture:
            self._in_gesture = False
            self.gesture_ended.emit()
