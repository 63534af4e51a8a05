"""An objective in mathematics, each symbol named, with its live value."""

from __future__ import annotations

import html
import re
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
        self._table.setColumnStretch(0, 1)
        self._values: dict[str, list[QLabel]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        column.addWidget(self._formula)
        column.addLayout(self._table)

    def set_objective(self, markup: str, symbols: Sequence[Symbol]) -> None:
        """Show a formula.

        Args:
            markup: With `<sub>`, `<sup>` and entities.
            symbols: Named in the table, in order.
        """
        self._formula.setText(known_entities(markup))
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
        """Symbol and value in a line, the meaning under them over the whole width."""
        shown = _rich(known_entities(symbol.html), self)
        shown.setProperty("role", "symbol")
        value = label("", "figures", self)
        meaning = label(symbol.meaning, "secondary", self, wrap=True)
        meaning.setContentsMargins(0, 0, 0, theme.SPACE[0])
        self._table.addWidget(shown, 2 * row, 0)
        self._table.addWidget(value, 2 * row, 1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._table.addWidget(meaning, 2 * row + 1, 0, 1, 2)
        if symbol.source:
            self._values.setdefault(symbol.source, []).append(value)


def known_entities(markup: str) -> str:
    """HTML whose named entities are letters where Qt would not know them; those of the markup itself stay.

    >>> known_entities("KL(q &Vert; p) &lt; 1")
    'KL(q ‖ p) &lt; 1'
    """
    return re.sub(r"&(?!lt;|gt;|amp;|quot;)\w+;", lambda found: html.unescape(found.group()), markup)


def _rich(markup: str, parent: QWidget) -> QLabel:
    made = QLabel(markup, parent)
    made.setTextFormat(Qt.TextFormat.RichText)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
    made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    return made
