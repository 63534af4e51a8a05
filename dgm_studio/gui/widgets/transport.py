"""Play, step and loop through a row of frames, as in a video player."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.iconbutton import IconButton

_FASTEST = 8


class Transport(QWidget):
    """Owns an index into `count` frames and moves it.

    Space plays and pauses; J, K and L play back, stop and play on (pressed again: twice as fast); the arrows step;
    Home and End go to the ends. Hand `take_key` the keys of the canvas too.

    Signals:
        index_changed(int): By hand or by playing.
        playing_changed(bool): It plays, or it has stopped.
        loops_changed(bool): The hand wants it to go on at the other end, or to stop there.
    """

    index_changed = Signal(int)
    playing_changed = Signal(bool)
    loops_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None, *, rate: float = 12.0) -> None:
        super().__init__(parent)
        self._count, self._index, self._speed, self._rate = 0, 0, 0, rate
        self._timer = QTimer(self, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._back = IconButton("step-back", "Step back", self)
        self._play = IconButton("play", "Play", self)
        self._forward = IconButton("step-forward", "Step forward", self)
        self._loop = IconButton("loop", "Loop", self, on_icon="loop")
        self._back.clicked.connect(self.step_back)
        self._play.clicked.connect(self.toggle)
        self._forward.clicked.connect(self.step_forward)
        self._loop.clicked.connect(self.loops_changed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[0])
        for button in (self._back, self._play, self._forward, self._loop):
            row.addWidget(button)

    def count(self) -> int:
        """How many frames there are."""
        return self._count

    def set_count(self, count: int) -> None:
        """Set how many frames there are; the index stays where it can, and nothing plays when there is nothing to."""
        self._count = count
        if count < 2:
            self._set_speed(0)
        self._go(min(self._index, max(0, count - 1)))

    def index(self) -> int:
        """The frame that is shown."""
        return self._index

    def set_index(self, index: int) -> None:
        """Show a frame without a signal."""
        self._index = min(max(index, 0), max(0, self._count - 1))

    def set_rate(self, frames_per_second: float) -> None:
        """Speed of normal play."""
        self._rate = frames_per_second
        self._set_speed(self._speed)

    def playing(self) -> bool:
        """Whether it plays, in either direction."""
        return self._speed != 0

    def loops(self) -> bool:
        """Whether it goes on at the other end."""
        return self._loop.isChecked()

    def set_loops(self, loops: bool) -> None:
        """Go on at the other end, or stop there."""
        self._loop.setChecked(loops)

    def toggle(self) -> None:
        """Play or pause; from the last frame play starts again."""
        if not self.playing() and self._index >= self._count - 1:
            self._go(0)
        self._set_speed(0 if self.playing() else 1)

    def stop(self) -> None:
        """Stop where it is."""
        self._set_speed(0)

    def step_back(self) -> None:
        """One frame back."""
        self._step(-1)

    def step_forward(self) -> None:
        """One frame on."""
        self._step(1)

    def take_key(self, key: int) -> bool:
        """Act on a key; returns whether it was one of the transport's."""
        actions = {
            Qt.Key.Key_Space: self.toggle,
            Qt.Key.Key_K: self.stop,
            Qt.Key.Key_Left: self.step_back,
            Qt.Key.Key_Right: self.step_forward,
            Qt.Key.Key_J: self._faster_back,
            Qt.Key.Key_L: self._faster_on,
            Qt.Key.Key_Home: self._to_first,
            Qt.Key.Key_End: self._to_last,
        }
        action = actions.get(Qt.Key(key))
        if action is not None:
            action()
        return action is not None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The keys of a video player."""
        if not self.take_key(event.key()):
            super().keyPressEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nothing plays behind the curtain."""
        self.stop()
        super().hideEvent(event)

    def _faster_back(self) -> None:
        self._set_speed(max(-_FASTEST, self._speed * 2) if self._speed < 0 else -1)

    def _faster_on(self) -> None:
        self._set_speed(min(_FASTEST, self._speed * 2) if self._speed > 0 else 1)

    def _to_first(self) -> None:
        self._go(0)

    def _to_last(self) -> None:
        self._go(self._count - 1)

    def _step(self, by: int) -> None:
        self._set_speed(0)
        self._go(self._index + by)

    def _go(self, index: int) -> None:
        target = min(max(index, 0), max(0, self._count - 1))
        if target != self._index:
            self._index = target
            self.index_changed.emit(target)

    def _set_speed(self, speed: int) -> None:
        was = self.playing()
        self._speed = speed if self._count > 1 else 0
        if self.playing():
            self._timer.start(max(8, round(1000 / (self._rate * abs(self._speed)))))
        else:
            self._timer.stop()
        if was != self.playing():
            self._play.set_icon("pause" if self.playing() else "play", "Pause" if self.playing() else "Play")
            self.playing_changed.emit(self.playing())

    def _tick(self) -> None:
        target = self._index + (1 if self._speed > 0 else -1)
        if 0 <= target < self._count:
            self._go(target)
        elif self.loops():
            self._go(target % self._count)
        else:
            self._set_speed(0)
