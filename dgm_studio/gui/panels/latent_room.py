"""Text and rows that wrap without making everything around them as high as it would like to be.

Qt takes the preferred height of a layout for its minimum as soon as one thing in it wraps (height for width). These say
their height as a plain minimum instead, so that a card with a wrapped line can still give way.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from dgm_studio.gui.widgets.flow import FlowLayout


class WrappedLabel(QLabel):
    """Wrapped plain text that keeps room for some lines and takes more when it needs them.

    Args:
        role: Of the style sheet.
        lines: Room that is always there, so that nothing jumps.
    """

    def __init__(self, role: str, parent: QWidget, *, lines: int = 1) -> None:
        super().__init__("", parent)
        self._lines = lines
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def hasHeightForWidth(self) -> bool:
        """The height is a plain number, see above."""
        return False

    def setText(self, text: str) -> None:
        """Show another text; the layout is only bothered when it needs another height."""
        if text != self.text():
            super().setText(text)
            self._grow()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Narrower is higher."""
        super().resizeEvent(event)
        self._grow()

    def changeEvent(self, event: QEvent) -> None:
        """Another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._grow()

    def sizeHint(self) -> QSize:
        """The height of the text at this width."""
        return QSize(120, self._height())

    def minimumSizeHint(self) -> QSize:
        """The same height: text is not clipped."""
        return QSize(40, self._height())

    def _height(self) -> int:
        metrics = self.fontMetrics()
        edges = self.contentsMargins()
        wide = max(40, self.width() - edges.left() - edges.right())
        room = metrics.boundingRect(0, 0, wide, 10_000, int(Qt.TextFlag.TextWordWrap), self.text())
        return max(room.height(), self._lines * metrics.lineSpacing()) + 1 + edges.top() + edges.bottom()

    def _grow(self) -> None:
        height = self._height()
        if height != self.height() or height != self.minimumHeight():
            self.setFixedHeight(height)


class FlowBox(QWidget):
    """Widgets in lines that fill up from the left."""

    def __init__(self, parent: QWidget, *, gap: int) -> None:
        super().__init__(parent)
        self.flow = FlowLayout(self, gap=gap)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def add(self, widget: QWidget) -> None:
        """Put a widget at the end."""
        self.flow.addWidget(widget)

    def hasHeightForWidth(self) -> bool:
        """The height is a plain number, see above."""
        return False

    def one_line(self) -> int:
        """Width of everything in one line."""
        return self.flow.sizeHint().width()

    def sizeHint(self) -> QSize:
        """One line's width, the height at this width."""
        return QSize(self.one_line(), self.flow.heightForWidth(max(self.width(), 1)))

    def minimumSizeHint(self) -> QSize:
        """The widest widget, the height at this width."""
        return QSize(self.flow.minimumSize().width(), self.flow.heightForWidth(max(self.width(), 1)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Narrower is higher."""
        super().resizeEvent(event)
        self.updateGeometry()
