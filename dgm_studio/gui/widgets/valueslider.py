"""One setting under the hand: name, track, value with its unit."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.figurefield import FigureField, shortest
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.sliderrow import SliderRow
from dgm_studio.gui.widgets.slidertrack import SliderTrack


class ValueSlider(QWidget):
    """A row that edits one number of a range, linear or logarithmic, whole or real.

    Signals:
        moved(float): The value changed by hand, on every mouse move.
        pressed(), released(): Around a gesture.

    Raises:
        ValueError: An empty range, or a logarithmic one that touches zero.
    """

    moved = Signal(float)
    pressed = Signal()
    released = Signal()

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        value: float,
        parent: QWidget | None = None,
        *,
        unit: str = "",
        log: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__(parent)
        self._whole = whole
        self._track = SliderTrack(name, low, high, self, log=log)
        step = 1.0 if whole else 0.0
        self._track.configure(low, high, origin=0.0 if low < 0 < high else low, reset=value, step=step)
        self._value = FigureField(f"{name}, value", self, words=shortest, letters=7)
        self._name = ElidedLabel(name, "secondary", self)
        self._unit = label(unit, "secondary", self)
        self._lay_out()
        self._track.moved.connect(self._on_moved)
        self._track.gesture_began.connect(self.pressed)
        self._track.gesture_ended.connect(self.released)
        self._value.typed.connect(self._track.put)
        self.setFocusProxy(self._track)
        theme.changed.connect(self._fit)
        self.set_value(value)

    def _lay_out(self) -> None:
        row = SliderRow(self, self._track)
        for widget in (self._name, self._value, self._unit):
            row.add(widget)
        self._unit.setVisible(bool(self._unit.text()))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_name_width(96)

    def set_name_width(self, width: int) -> None:
        """Width of the name's column before scaling, so that rows under each other line up; the name elides."""
        self._name_width = width
        self._fit()

    def _fit(self) -> None:
        self._name.setFixedWidth(theme.current().px(self._name_width))

    def value(self) -> float:
        """The value; a whole number where that was asked for."""
        exact = self._track.real()
        return float(round(exact)) if self._whole else exact

    def set_value(self, value: float) -> None:
        """Show a value without a signal."""
        self._track.set_value(value)
        self._value.show_value(self.value())

    def _on_moved(self, value: float) -> None:
        self._value.show_value(self.value())
        self._track.setAccessibleDescription(f"{self.value():g} {self._unit.text()}".strip())
        self.moved.emit(self.value())
