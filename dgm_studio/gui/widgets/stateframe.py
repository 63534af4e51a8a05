"""The designed states of every canvas: empty, waiting, error, stale, and ready."""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import QEvent, QObject, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QPlainTextEdit, QStackedLayout, QVBoxLayout, QWidget

from dgm_studio.gui import icons, theme
from dgm_studio.gui.widgets.chip import Mark
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.progressline import ProgressLine


class CanvasState(StrEnum):
    """What a canvas shows."""

    EMPTY = "empty"
    READY = "ready"
    WAITING = "waiting"
    ERROR = "error"


class StateFrame(QWidget):
    """Wraps a canvas and shows its state where the picture would be.

    Starts empty. `show_waiting` keeps the last picture, dims it after 150 ms and runs a thin line over it;
    `show_ready` undims; `show_error` puts a sentence and an action in its place; `set_stale` marks an old picture.

    Signals:
        filled(): The button of the empty state.
        acted(): The button of the error state.
    """

    filled = Signal()
    acted = Signal()

    def __init__(self, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = content
        self._state = CanvasState.EMPTY
        self._had_picture = False
        self._empty = _Message(self)
        self._error = _Message(self, icon="error", token="bad")
        self._empty.acted.connect(self.filled)
        self._error.acted.connect(self.acted)
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        for page in (content, self._empty, self._error):
            self._stack.addWidget(page)
        self._veil = _Veil(content)
        self._stale = Mark("Older settings", "clock", content)
        self._stale.setToolTip("This picture belongs to earlier settings.")
        self._stale.hide()
        content.installEventFilter(self)
        self._dim = QTimer(self, singleShot=True, interval=theme.WAITING_AFTER_MS)
        self._dim.timeout.connect(self._veil.lower_over)
        self._stack.setCurrentWidget(self._empty)

    @property
    def state(self) -> CanvasState:
        """What is shown now."""
        return self._state

    def set_empty(self, sentence: str, action: str = "", icon: str = "image") -> None:
        """Write what the empty state says; shows it when nothing else is shown yet."""
        self._empty.write(sentence, action, icon=icon)

    def show_empty(self) -> None:
        """Nothing to show yet."""
        self._had_picture = False
        self._go(CanvasState.EMPTY, self._empty)

    def show_ready(self) -> None:
        """The picture is there and belongs to the settings."""
        self._had_picture = True
        self.set_stale(False)
        self._go(CanvasState.READY, self.content)

    def show_waiting(self, share: float | None = None) -> None:
        """A new picture is being made.

        Args:
            share: How much is done in [0, 1], where that is known.
        """
        if self._state is not CanvasState.WAITING:
            self._state = CanvasState.WAITING
            self._stack.setCurrentWidget(self.content)
            self._dim.start()
        self._veil.line.set_share(share)

    def show_error(self, sentence: str, action: str = "", details: str = "") -> None:
        """It failed.

        Args:
            sentence: What happened, in one sentence.
            action: Words of the one button, or none.
            details: For those who want them; folded.
        """
        self._error.write(sentence, action, details)
        self._go(CanvasState.ERROR, self._error)

    def set_stale(self, stale: bool) -> None:
        """Mark the picture as belonging to older settings, or take the mark away."""
        if stale != self.stale():
            self._stale.setVisible(stale)
            self._place()

    def stale(self) -> bool:
        """Whether the mark is there."""
        return not self._stale.isHidden()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Veil and mark follow the size of the canvas."""
        if watched is self.content and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def _go(self, state: CanvasState, page: QWidget) -> None:
        self._state = state
        self._dim.stop()
        self._veil.hide()
        self._stack.setCurrentWidget(page)

    def _place(self) -> None:
        area = self.content.rect()
        self._veil.setGeometry(area)
        self._stale.adjustSize()
        gap = theme.SPACE[1]
        self._stale.move(max(0, area.right() - self._stale.width() - gap), gap)
        self._stale.raise_()


class _Veil(QWidget):
    """Dims the last picture; the mouse goes through it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.line = ProgressLine("Working", self, token="accent", height=2)
        self.hide()

    def lower_over(self) -> None:
        """Cover the picture."""
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect())
        self.raise_()
        self.show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The line runs along the top."""
        self.line.setGeometry(QRect(0, 0, self.width(), 2))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Half of the surface's colour."""
        QPainter(self).fillRect(self.rect(), theme.current().colour("bg1", 0.5))


class _Message(QWidget):
    """A centred icon, a sentence, one button, folded details."""

    acted = Signal()

    def __init__(self, parent: QWidget, *, icon: str = "image", token: str = "text2") -> None:
        super().__init__(parent)
        self._icon, self._token = icon, token
        self._picture = label("", parent=self)
        self._sentence = label("", parent=self, wrap=True)
        self._button = Button("", self)
        self._more = Button("Details", self, link=True)
        self._details = QPlainTextEdit(self)
        self._details.setReadOnly(True)
        self._details.setAccessibleName("Details of the error")
        self._details.setTabChangesFocus(True)
        self._button.clicked.connect(self.acted)
        self._more.clicked.connect(self._unfold)
        self._lay_out()
        self.write("")
        theme.changed.connect(self._tint)

    def _lay_out(self) -> None:
        centre = Qt.AlignmentFlag.AlignHCenter
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.SPACE[4], theme.SPACE[3], theme.SPACE[4], theme.SPACE[3])
        column.setSpacing(theme.SPACE[2])
        column.addStretch(1)
        column.addWidget(self._picture)
        column.addWidget(self._sentence)
        column.addWidget(self._button, 0, centre)
        column.addWidget(self._more, 0, centre)
        column.addWidget(self._details, 4)
        column.addStretch(1)

    def write(self, sentence: str, action: str = "", details: str = "", icon: str = "") -> None:
        """Set the words; empty parts are not shown."""
        self._icon = icon or self._icon
        self._sentence.setText(sentence)
        self._button.setText(action)
        self._button.setAccessibleName(action or "No action")
        self._details.setPlainText(details)
        self._button.setVisible(bool(action))
        self._more.setVisible(bool(details))
        self._details.setVisible(False)
        self._tint()

    def _unfold(self) -> None:
        self._details.setVisible(self._details.isHidden())

    def _tint(self) -> None:
        look = theme.current()
        ratio = self.devicePixelRatioF()
        side = look.px(32)
        picture = icons.pixmap(self._icon, getattr(look.palette, self._token), round(side * ratio))
        picture.setDevicePixelRatio(ratio)
        self._picture.setPixmap(picture)
