"""The controls that belong to curves: x axis, smoothing, logarithm."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curves import AXES, Curves
from dgm_studio.gui.widgets.flow import FlowLayout
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

_MOST_SMOOTH = 0.999


class CurveControls(QWidget):
    """One row that sets several `Curves` at once.

    Signals:
        changed(): A setting was changed by hand.
    """

    changed = Signal()

    def __init__(self, *curves: Curves, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curves = curves
        self._axis = SegmentedControl(("Step", "Time", "Examples"), "Horizontal axis", self)
        self._smooth = ValueSlider("Smoothing", 0.0, _MOST_SMOOTH, 0.0, self)
        self._smooth.set_name_width(70)
        self._log = QCheckBox("Log scale", self)
        self._log.setAccessibleName("Logarithmic vertical axis")
        self._axis.chosen.connect(self._on_axis)
        self._smooth.moved.connect(self._on_smooth)
        self._log.toggled.connect(self._on_log)
        row = FlowLayout(self, gap=theme.SPACE[2])
        for widget in (self._axis, self._smooth, self._log):
            row.addWidget(widget)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._fit)
        self._fit()

    def hasHeightForWidth(self) -> bool:
        """The height is a plain number: else everything around would be as high as it likes to be."""
        return False

    def sizeHint(self) -> QSize:
        """As many lines as the width asks for."""
        return QSize(super().sizeHint().width(), self._height())

    def minimumSizeHint(self) -> QSize:
        """The widest control."""
        return QSize(super().minimumSizeHint().width(), self._height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Narrower is higher."""
        super().resizeEvent(event)
        self.updateGeometry()

    def _height(self) -> int:
        layout = self.layout()
        return layout.heightForWidth(max(self.width(), 1)) if layout is not None else 0

    def _fit(self) -> None:
        self._smooth.setFixedWidth(theme.current().px(260))
        self.updateGeometry()

    def axis(self) -> str:
        """The horizontal axis: "step", "time" or "examples"."""
        return list(AXES)[self._axis.index()]

    def settings(self) -> dict[str, Any]:
        """Axis, smoothing and scale, JSON-able."""
        return {"axis": self.axis(), "smoothing": self._smooth.value(), "log": self._log.isChecked()}

    def set_settings(self, axis: str, smoothing: float, log: bool) -> None:
        """Take on settings without a signal.

        Raises:
            ValueError: An axis that does not exist.
        """
        self.blockSignals(True)
        self._axis.set_index(list(AXES).index(axis))
        self._on_axis(self._axis.index())
        self._smooth.set_value(min(max(smoothing, 0.0), _MOST_SMOOTH))
        self._on_smooth(self._smooth.value())
        self._log.setChecked(log)
        self.blockSignals(False)

    def _on_axis(self, index: int) -> None:
        for curves in self._curves:
            curves.set_axis(list(AXES)[index])
        self.changed.emit()

    def _on_smooth(self, beta: float) -> None:
        for curves in self._curves:
            curves.set_smoothing(beta)
        self.changed.emit()

    def _on_log(self, log: bool) -> None:
        for curves in self._curves:
            curves.set_log(log)
        self.changed.emit()
