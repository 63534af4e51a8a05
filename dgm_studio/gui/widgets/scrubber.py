"""The time machine's strip: snapshots of a run as ticks under one handle."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import focus_ring, follow_theme, plain_rounded

_SETTLE_MS = 500


class Scrubber(QWidget):
    """Chooses one of a run's snapshots.

    Signals:
        step_changed(int): The hand moved to the snapshot of this step.
        pressed(), released(): Around a gesture.
    """

    step_changed = Signal(int)
    pressed = Signal()
    released = Signal()

    def __init__(self, name: str = "Time machine", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._track = _Ticks(name, self)
        self._words = label("", "figures", self)
        self._title = label(name, "heading", self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self._title)
        row.addWidget(self._track, 1)
        row.addWidget(self._words)
        self.setFocusProxy(self._track)
        self._track.moved.connect(self._on_moved)
        self._track.pressed.connect(self.pressed)
        self._track.released.connect(self.released)
        self._tell()

    def set_steps(self, steps: Sequence[int], total: int = 0) -> None:
        """Show these snapshots; the last is chosen when the chosen one is gone or was the last before.

        Args:
            steps: Of the snapshots, rising.
            total: Steps of the whole run, where more are to come.
        """
        before, was = self._track.steps, self.step()
        self._track.steps = tuple(sorted(steps))
        self._track.total = max(total, *steps) if steps else total
        follow = not before or was == before[-1] or was not in self._track.steps
        self._track.index = len(self._track.steps) - 1 if follow else self._track.steps.index(was or 0)
        self._tell()

    def step(self) -> int | None:
        """Step of the chosen snapshot, None while there is none."""
        steps = self._track.steps
        return steps[self._track.index] if steps else None

    def set_step(self, step: int) -> None:
        """Choose the snapshot nearest to a step, without a signal."""
        self._track.index = self._track.nearest(step)
        self._tell()

    def at_end(self) -> bool:
        """Whether the newest snapshot is chosen."""
        return self._track.index == len(self._track.steps) - 1

    def _on_moved(self, step: int) -> None:
        self._tell()
        self.step_changed.emit(step)

    def _tell(self) -> None:
        step = self.step()
        words = "no snapshots yet" if step is None else f"step {step:,} of {self._track.total:,}"
        self._words.setText(words)
        self._track.setAccessibleDescription(words)
        self._track.update()


class _Ticks(QWidget):
    moved = Signal(int)
    pressed = Signal()
    released = Signal()

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.steps: tuple[int, ...] = ()
        self.total, self.index = 0, 0
        self._held = False
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settle.timeout.connect(self.released)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def nearest(self, step: float) -> int:
        """Index of the snapshot nearest to a step."""
        right = min(bisect.bisect_left(self.steps, step), len(self.steps) - 1)
        left = max(0, right - 1)
        return left if self.steps and step - self.steps[left] <= self.steps[right] - step else max(0, right)

    def sizeHint(self) -> QSize:
        """Room for the handle and ticks."""
        return QSize(320, theme.current().px(26))

    def minimumSizeHint(self) -> QSize:
        """Still draggable."""
        return QSize(100, theme.current().px(26))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Jump to the nearest snapshot and hold it."""
        if event.button() == Qt.MouseButton.LeftButton and self.steps:
            self._held = True
            self.pressed.emit()
            self._go(self.nearest(self._step_at(event.position().x())))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """From snapshot to snapshot."""
        if self._held:
            self._go(self.nearest(self._step_at(event.position().x())))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._held:
            self._held = False
            self.released.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """One snapshot for each notch."""
        self._nudge(1 if event.angleDelta().y() > 0 else -1)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows go to the next snapshot, Home and End to the first and last."""
        moves = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Home: -len(self.steps),
            Qt.Key.Key_End: len(self.steps),
        }
        move = moves.get(Qt.Key(event.key()))
        if move is None:
            super().keyPressEvent(event)
        else:
            self._nudge(move)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Groove, what has passed, a tick for each snapshot, handle."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, thick = self.height() / 2, look.px(4)
        top = middle - thick / 2
        plain_rounded(painter, QRectF(0, top, self.width(), thick), look.colour("bg3"), thick / 2)
        if self.steps:
            x = self._x(self.steps[self.index])
            plain_rounded(painter, QRectF(0, top, x, thick), look.colour("accent"), thick / 2)
            for step in self.steps:
                painter.fillRect(QRectF(self._x(step) - 0.5, middle + thick, 1, look.px(4)), look.colour("text2"))
            half = QPointF(look.px(7), look.px(6))
            body = QRectF(QPointF(x, middle) - half, QPointF(x, middle) + half)
            plain_rounded(painter, body, look.colour("text"), half.y())
            painter.setPen(QPen(look.colour("bg1"), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(body, half.y(), half.y())
            if self.hasFocus():
                focus_ring(painter, body.adjusted(-3, -3, 3, 3), half.y() + 2)
        elif self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _x(self, step: float) -> float:
        margin = theme.current().px(9)
        return margin + (self.width() - 2 * margin) * step / max(1, self.total)

    def _step_at(self, x: float) -> float:
        margin = theme.current().px(9)
        return (x - margin) / max(1.0, self.width() - 2 * margin) * self.total

    def _nudge(self, by: int) -> None:
        target = min(max(self.index + by, 0), len(self.steps) - 1)
        if self.steps and target != self.index:
            if not self._settle.isActive():
                self.pressed.emit()
            self._settle.start()
            self._go(target)

    def _go(self, index: int) -> None:
        if index != self.index:
            self.index = index
            self.update()
            self.moved.emit(self.steps[index])
