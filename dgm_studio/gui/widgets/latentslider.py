"""One latent dimension under the hand: name, track centred on zero, value, KL bar, lock."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.bar import Bar
from dgm_studio.gui.widgets.figurefield import FigureField
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.sliderrow import SliderRow
from dgm_studio.gui.widgets.slidertrack import SliderTrack


class LatentSlider(QWidget):
    """A row that edits one number around zero.

    Signals:
        moved(float): The value changed by hand, on every mouse move.
        pressed(), released(): Around a gesture; make one undo step of what lies between.
        lock_toggled(bool): The lock was opened or closed.
    """

    moved = Signal(float)
    pressed = Signal()
    released = Signal()
    lock_toggled = Signal(bool)

    def __init__(self, name: str, parent: QWidget | None = None, *, reach: float = 3.0, step: float = 0.1) -> None:
        super().__init__(parent)
        self._name = ElidedLabel(name, "figures", self)
        self._track = SliderTrack(name, -reach, reach, self)
        self._track.configure(-reach, reach, origin=0.0, reset=0.0, step=step)
        self._value = FigureField(f"{name}, value", self)
        self._kl = Bar(self)
        self._lock = IconButton("unlock", f"Lock {name}", self, on_icon="lock", bare=True)
        self._lay_out()
        self._track.moved.connect(self._on_moved)
        self._track.gesture_began.connect(self.pressed)
        self._track.gesture_ended.connect(self.released)
        self._value.typed.connect(self._track.put)
        self._lock.toggled.connect(self._on_lock)
        self.setFocusProxy(self._track)
        self.set_value(0.0)
        theme.changed.connect(self._fit_name)

    def _lay_out(self) -> None:
        row = SliderRow(self, self._track)
        for widget in (self._name, self._value, self._kl, self._lock):
            row.add(widget)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._fit_name()

    def _fit_name(self) -> None:
        self._name.setFixedWidth(theme.current().px(34))

    def set_name(self, words: str, width: int = 34) -> None:
        """Rename the row; direction names ("smile") want a wider column, in logical pixels before scaling."""
        self._name.setText(words)
        self._name.setFixedWidth(theme.current().px(width))
        self._track.setAccessibleName(words)
        self._value.setAccessibleName(f"{words}, value")
        self._lock.set_icon("unlock", f"Lock {words}")

    def name(self) -> str:
        """The words at the left."""
        return self._name.text()

    def value(self) -> float:
        """The value."""
        return self._track.real()

    def set_value(self, value: float) -> None:
        """Show a value without a signal (undo, randomise, another model)."""
        self._track.set_value(value)
        self._show(self._track.real())

    def set_range(self, low: float, high: float) -> None:
        """Lowest and highest value; zero stays where the filled part starts.

        Raises:
            ValueError: An empty range.
        """
        self._track.configure(low, high, origin=0.0, reset=0.0, step=(high - low) / 60)
        self._show(self._track.real())

    def set_kl(self, share: float, nats: float) -> None:
        """Fill the KL bar.

        Args:
            share: Of the largest dimension's KL, in [0, 1].
            nats: The KL of this dimension, averaged over the data.
        """
        used = "" if nats > 0.01 else " (not used by the model)"
        self._kl.set_share(share, f"KL {nats:.2f} nats{used}")

    def set_share(self, share: float, hint: str) -> None:
        """Fill the bar with something else than KL (explained variance, separation), in [0, 1]."""
        self._kl.set_share(share, hint)

    def set_lockable(self, lockable: bool) -> None:
        """Directions that mix dimensions have no lock."""
        self._lock.setVisible(lockable)

    def locked(self) -> bool:
        """Whether randomise and the like must leave this value alone."""
        return self._lock.isChecked()

    def set_locked(self, locked: bool) -> None:
        """Open or close the lock."""
        self._lock.setChecked(locked)

    def reset(self) -> None:
        """As a double-click does."""
        self._track.reset()

    def _on_moved(self, value: float) -> None:
        self._show(value)
        self.moved.emit(value)

    def _show(self, value: float) -> None:
        self._value.show_value(value)
        self._track.setAccessibleDescription(f"{value:+.2f}")

    def _on_lock(self, locked: bool) -> None:
        self._track.setEnabled(not locked)
        self._value.setEnabled(not locked)
        self.lock_toggled.emit(locked)
