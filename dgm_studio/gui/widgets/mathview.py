"""An objective in mathematics, each symbol named, with its live value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.cards import Symbol
from dgm_studio.gui import theme
from dgm_studio.gui.widgets.labels import label


class MathView(QWidget):
    """A formula in HTML and a table of its symbols."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._formula = _rich("", self)
        self._formula.setProperty("role", "formula")
        self._formula.setAccessibleName("Objective")
        self._table = QGridLayout()
        self._table.setHorizontalSpacing(theme.SPACE[2])
        self._table.setVerticalSpacing(theme.SPACE[0])
        self._table.setColumnStretch(1, 1)
        self._values: dict[str, list[QLabel]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        column.addWidget(self._formula)
        column.addLayout(self._table)

    def set_objective(self, html: str, symbols: Sequence[Symbol]) -> None:
        """Show a formula.

        Args:
            html: With `<sub>`, `<sup>` and entities.
            symbols: Named in the table, in order.
        """
        self._formula.setText(html)
        while (item := self._table.takeAt(0)) is not None:
            old = item.widget()
            if old is not None:
                old.setParent(None)
                old.deleteLater()
        self._values = {}
        for row, symbol in enumerate(symbols):
            self._add(row, symbol)

    def set_values(self, values: Mapping[str, str]) -> None:
        """Show live values.

        Args:
            values: From a symbol's `source` ("metric:kl") to its value in words, with the unit.
        """
        for source, words in values.items():
            for shown in self._values.get(source, ()):
                shown.setText(words)

    def _add(self, row: int, symbol: Symbol) -> None:
        top = Qt.AlignmentFlag.AlignTop
        self._table.addWidget(_rich(symbol.html, self), row, 0, top)
        self._table.addWidget(label(symbol.meaning, "secondary", self, wrap=True), row, 1, top)
        value = label("", "figures", self)
        value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        self._table.addWidget(value, row, 2, top)
        if symbol.source:
            self._values.setdefault(symbol.source, []).append(value)


def _rich(html: str, parent: QWidget) -> QLabel:
    made = QLabel(html, parent)
    made.setTextFormat(Qt.TextFormat.RichText)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
    made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    return made
