"""A number in tabular figures that turns into a field when it is clicked."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QSizePolicy, QWidget

from dgm_studio.gui import theme


def signed(value: float) -> str:
    """Two decimals and always a sign, minus as a minus.

    >>> signed(-0.6)
    '−0.60'
    """
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def shortest(value: float) -> str:
    """Up to four significant figures.

    >>> shortest(0.00025)
    '0.00025'
    """
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


class FigureField(QLineEdit):
    """Shows a value; typing another and Return (or leaving) gives it.

    Signals:
        typed(float): The hand typed a number.
    """

    typed = Signal(float)

    def __init__(
        self, name: str, parent: QWidget | None = None, *, words: Callable[[float], str] = signed, letters: int = 6
    ) -> None:
        super().__init__(parent)
        self._words, self._letters, self._value = words, letters, 0.0
        self.setProperty("figures", True)
        self.setProperty("quiet", True)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.editingFinished.connect(self._take)
        theme.changed.connect(self.updateGeometry)
        self.show_value(0.0)

    def show_value(self, value: float) -> None:
        """Show a value without a signal; what is being typed is left alone."""
        self._value = value
        if not (self.hasFocus() and self.isModified()):
            self.setText(self._words(value))
            self.setCursorPosition(0)

    def sizeHint(self) -> QSize:
        """Room for the longest value, so that nothing jumps."""
        look = theme.current()
        width = QFontMetrics(look.figures()).horizontalAdvance("0" * self._letters)
        return QSize(width + 10, look.px(22))

    def minimumSizeHint(self) -> QSize:
        """The same: figures are not elided."""
        return self.sizeHint()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape gives up what was typed."""
        if event.key() == Qt.Key.Key_Escape:
            self.setModified(False)
            self.show_value(self._value)
            self.clearFocus()
            return
        super().keyPressEvent(event)

    def _take(self) -> None:
        typed = self.isModified()
        self.setModified(False)
        value = _number(self.text())
        self.setText(self._words(self._value))
        if typed and value is not None:
            self.typed.emit(value)


def _number(text: str) -> float | None:
    try:
        value = float(text.replace("\N{MINUS SIGN}", "-").replace(",", ".").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None
