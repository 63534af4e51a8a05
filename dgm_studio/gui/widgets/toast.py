"""A notice that goes away by itself, with one thing to do about it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel


class Toast(QFrame):
    """Lies over the lower edge of `host`; a new notice replaces the old one.

    Signals:
        acted(): The button of the notice that is shown ("Undo").
    """

    acted = Signal()

    def __init__(self, host: QWidget, *, seconds: float = 6.0) -> None:
        super().__init__(host)
        self.setProperty("surface", "toast")
        self._words = ElidedLabel("", "", self)
        self._button = Button("", self, link=True)
        self._close = IconButton("close", "Dismiss the notice", self, bare=True)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.SPACE[3], theme.SPACE[1], theme.SPACE[1], theme.SPACE[1])
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self._words, 1)
        row.addWidget(self._button)
        row.addWidget(self._close)
        self._timer = QTimer(self, singleShot=True, interval=round(seconds * 1000))
        self._timer.timeout.connect(self._fade)
        self._button.clicked.connect(self._on_act)
        self._close.clicked.connect(self.hide)
        self.setAccessibleName("Notice")
        host.installEventFilter(self)
        self.hide()

    def say(self, words: str, action: str = "") -> None:
        """Show a notice.

        Args:
            words: One sentence.
            action: The button ("Undo"), or none.
        """
        self._words.setText(words)
        self.setAccessibleDescription(words)
        self._button.setText(action)
        self._button.setVisible(bool(action))
        self._timer.start()
        self.show()
        self._place()
        self.raise_()

    def words(self) -> str:
        """What is said."""
        return self._words.text()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay at the lower edge when the host changes its size."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        host = self.parentWidget()
        if host is None:
            return
        width = min(self.sizeHint().width(), host.width() - 2 * theme.SPACE[4])
        height = self.sizeHint().height()
        self.setGeometry((host.width() - width) // 2, host.height() - height - theme.SPACE[4], width, height)

    def _on_act(self) -> None:
        self.hide()
        self.acted.emit()

    def _fade(self) -> None:
        # a notice under the hand waits
        if self.underMouse() or (self.focusWidget() is not None and self.focusWidget().hasFocus()):
            self._timer.start()
        else:
            self.hide()
