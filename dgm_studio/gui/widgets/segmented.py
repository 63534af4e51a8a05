"""One choice out of a few, all of them visible."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme


class SegmentedControl(QWidget):
    """Adjoining segments of which one is chosen; arrows move the choice.

    Signals:
        chosen(int): The hand chose this segment (also when it was chosen already: no signal then).
    """

    chosen = Signal(int)

    def __init__(self, words: Sequence[str], name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words = tuple(words)
        self._index = 0
        self._hover = -1
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        self._describe()

    def index(self) -> int:
        """Which segment is chosen."""
        return self._index

    def text(self) -> str:
        """The words of the chosen segment."""
        return self._words[self._index] if self._words else ""

    def set_index(self, index: int) -> None:
        """Choose without a signal.

        Raises:
            IndexError: There is no such segment.
        """
        if not 0 <= index < len(self._words):
            raise IndexError(f"segment {index} of {len(self._words)}")
        if index != self._index:
            self._index = index
            self._describe()
            self.update()

    def set_words(self, words: Sequence[str]) -> None:
        """Offer other segments; the first is chosen when the old index is gone."""
        self._words = tuple(words)
        self._index = self._index if self._index < len(self._words) else 0
        self._describe()
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All words in full."""
        return QSize(round(sum(self._widths())) + 2, self._height())

    def minimumSizeHint(self) -> QSize:
        """Three letters each; words elide."""
        letters = QFontMetrics(theme.current().font("secondary")).averageCharWidth()
        return QSize((letters * 3 + 2 * theme.SPACE[1]) * max(1, len(self._words)), self._height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose what is under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose(self._at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up what is under the mouse."""
        self._set_hover(self._at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._set_hover(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right move the choice, Home and End go to the ends."""
        last = len(self._words) - 1
        key = event.key()
        target = {
            Qt.Key.Key_Left: self._index - 1,
            Qt.Key.Key_Up: self._index - 1,
            Qt.Key.Key_Right: self._index + 1,
            Qt.Key.Key_Down: self._index + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }.get(Qt.Key(key))
        if target is None:
            super().keyPressEvent(event)
        else:
            self._choose(min(max(target, 0), last))

    def event(self, event: QEvent) -> bool:
        """An elided word is told in full by the tooltip."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self._at(QPointF(event.pos()))
            if index >= 0 and self.width() < self.sizeHint().width():
                QToolTip.showText(event.globalPos(), self._words[index], self)
                return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """One frame, the chosen segment filled and outlined."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        outline = QPainterPath()
        outline.addRoundedRect(frame, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        painter.fillPath(outline, look.colour("bg2"))
        for index, cell in enumerate(self._cells()):
            self._paint_cell(painter, index, cell, outline)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawPath(outline)
        if self._words:
            self._paint_choice(painter, self._cells()[self._index])
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_cell(self, painter: QPainter, index: int, cell: QRectF, outline: QPainterPath) -> None:
        look = theme.current()
        on = index == self._index
        if on or index == self._hover:
            painter.save()
            painter.setClipPath(outline)
            painter.fillRect(cell, look.colour("accentbg" if on else "bg3"))
            painter.restore()
        if index and index not in (self._index, self._index + 1):
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(QPointF(cell.left(), cell.top() + 1), QPointF(cell.left(), cell.bottom() - 1))
        inner = cell.adjusted(4, 0, -4, 0)
        font = look.font("secondary", strong=on)
        draw_text(painter, inner, self._words[index], font, look.colour("accent" if on else "text"), _CENTRE)

    def _paint_choice(self, painter: QPainter, cell: QRectF) -> None:
        painter.setPen(QPen(theme.current().colour("accent"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(cell.adjusted(0.5, 0.5, -0.5, -0.5), theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)

    def _height(self) -> int:
        return theme.current().px(26)

    def _widths(self) -> list[float]:
        metrics = QFontMetrics(theme.current().font("secondary", strong=True))
        return [metrics.horizontalAdvance(word) + 2.0 * theme.SPACE[2] for word in self._words]

    def _cells(self) -> list[QRectF]:
        widths = self._widths()
        shrink = self.width() / sum(widths) if widths else 1.0
        cells, left = [], 0.0
        for width in widths:
            cells.append(QRectF(round(left), 0, round(left + width * shrink) - round(left), self.height()))
            left += width * shrink
        return cells

    def _at(self, point: QPointF) -> int:
        return next((i for i, cell in enumerate(self._cells()) if cell.contains(point)), -1)

    def _set_hover(self, index: int) -> None:
        if index != self._hover:
            self._hover = index
            self.update()

    def _choose(self, index: int) -> None:
        if 0 <= index != self._index:
            self.set_index(index)
            self.chosen.emit(index)

    def _describe(self) -> None:
        self.setAccessibleDescription(f"{self.text()}, {self._index + 1} of {len(self._words)}")


_CENTRE = Qt.AlignmentFlag.AlignCenter
