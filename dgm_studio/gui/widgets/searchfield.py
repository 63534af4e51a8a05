"""A field to search in, with its icon, its shortcut and a cross that clears it."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QLineEdit, QWidget

from dgm_studio.gui import icons, theme

_SETTLE_MS = 80


class SearchField(QLineEdit):
    """Tells what is searched for when typing pauses.

    Signals:
        searched(str): The words, without blanks around them; "" when cleared.
    """

    searched = Signal(str)

    def __init__(self, placeholder: str, parent: QWidget | None = None, *, shortcut: str = "") -> None:
        super().__init__(parent)
        hint = f"{placeholder}   {shortcut}" if shortcut else placeholder
        self.setPlaceholderText(hint)
        self.setAccessibleName(placeholder.rstrip(" .\N{HORIZONTAL ELLIPSIS}"))
        self._glass = QAction(self)
        self._cross = QAction("Clear", self)
        self.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        self.addAction(self._cross, QLineEdit.ActionPosition.TrailingPosition)
        self._cross.triggered.connect(self.clear)
        self._timer = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._timer.timeout.connect(self._tell)
        self.textChanged.connect(self._on_text)
        if shortcut:
            self._shortcut = QShortcut(QKeySequence(shortcut), self, context=Qt.ShortcutContext.WindowShortcut)
            self._shortcut.activated.connect(self._take_focus)
        theme.changed.connect(self._tint)
        self._tint()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape clears, Return tells at once."""
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._timer.stop()
            self._tell()
        else:
            super().keyPressEvent(event)

    def _take_focus(self) -> None:
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.selectAll()

    def _on_text(self) -> None:
        self._cross.setVisible(bool(self.text()))
        self._timer.start()

    def _tell(self) -> None:
        self.searched.emit(self.text().strip())

    def _tint(self) -> None:
        self._glass.setIcon(icons.icon("search", "text2"))
        self._cross.setIcon(icons.icon("close", "text2"))
        self._cross.setVisible(bool(self.text()))
