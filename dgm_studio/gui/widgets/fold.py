"""Things seldom needed, behind a line that unfolds them."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.iconbutton import Button


class Fold(QWidget):
    """A heading that shows and hides its content; put widgets into `body`.

    Signals:
        unfolded(bool): Open or closed by hand.
    """

    unfolded = Signal(bool)

    def __init__(self, words: str = "More", parent: QWidget | None = None, *, open: bool = False) -> None:
        super().__init__(parent)
        self._button = Button(words, self, icon="chevron-right", link=True)
        self._inner = QWidget(self)
        self.body = QVBoxLayout(self._inner)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(theme.SPACE[1])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self._button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._inner)
        self._button.clicked.connect(self._on_click)
        self.set_open(open)

    def is_open(self) -> bool:
        """Whether the content is shown."""
        return not self._inner.isHidden()

    def set_open(self, open: bool) -> None:
        """Show or hide the content without a signal."""
        self._inner.setVisible(open)
        self._button.set_icon("chevron-down" if open else "chevron-right")
        self._button.setAccessibleDescription("open" if open else "closed")

    def _on_click(self) -> None:
        self.set_open(not self.is_open())
        self.unfolded.emit(self.is_open())
