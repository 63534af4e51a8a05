"""The surface everything stands on: a title at the left, a slot at the right, the content under them."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.labels import ElidedLabel


class Card(QFrame):
    """A rounded frame with a title row; add content to `body`, figures and buttons with `add_right`."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "card")
        self._title = ElidedLabel(title, "heading", self)
        self._header = QHBoxLayout()
        self._header.setSpacing(theme.SPACE[1])
        self._header.addWidget(self._title, 1, Qt.AlignmentFlag.AlignVCenter)
        self.body = QVBoxLayout()
        self.body.setSpacing(theme.SPACE[1])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(theme.SPACE[3], theme.SPACE[2], theme.SPACE[3], theme.SPACE[2])
        whole.setSpacing(theme.SPACE[1])
        whole.addLayout(self._header)
        whole.addLayout(self.body, 1)
        self._title.setVisible(bool(title))

    def title(self) -> str:
        """The words at the top."""
        return self._title.text()

    def set_title(self, words: str) -> None:
        """Change the words at the top."""
        self._title.setText(words)
        self._title.setVisible(bool(words))

    def add_right(self, widget: QWidget) -> None:
        """Put a widget at the right of the title row."""
        self._header.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)

    def add_left(self, widget: QWidget) -> None:
        """Put a widget right of the title, before all that stands at the right."""
        self._header.insertWidget(1, widget, 0, Qt.AlignmentFlag.AlignVCenter)

    def add(self, widget: QWidget, stretch: int = 0) -> None:
        """Put a widget under what is there."""
        self.body.addWidget(widget, stretch)
