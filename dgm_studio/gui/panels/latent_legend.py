"""One line under the map: which colour is which class, and what the lines are."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_text, follow_theme

Line = tuple[str, bool]  # words, dashed


class Legend(QWidget):
    """Coloured dots with their words at the left, line samples with theirs at the right; all of it in the tooltip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[str, ...] = ()
        self._lines: tuple[Line, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def write(self, classes: Sequence[str], lines: Sequence[Line]) -> None:
        """Say other words."""
        self._classes, self._lines = tuple(classes), tuple(lines)
        told = [f"{words}: {'dashed' if dashed else 'solid'} line" for words, dashed in lines]
        self.setToolTip("\n".join([", ".join(classes)] * bool(classes) + told))
        self.setAccessibleDescription(self.toolTip())
        self.update()

    def shown_classes(self) -> int:
        """How many classes have room."""
        room, x = self.width() - self._lines_width(), 0.0
        for count, words in enumerate(self._classes):
            x += self._class_width(words)
            if x > room:
                return count
        return len(self._classes)

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(240, theme.current().px(18))

    def minimumSizeHint(self) -> QSize:
        """One short line."""
        return QSize(60, theme.current().px(18))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Dots, words, samples of lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x, fit = 0.0, self.shown_classes()
        for index, words in enumerate(self._classes[:fit]):
            self._paint_class(painter, x, theme.category(index).name(), words)
            x += self._class_width(words)
        left = self.width() - self._lines_width()
        if fit < len(self._classes) and left - x > self._gap() * 2:
            self._paint_words(painter, x, f"+{len(self._classes) - fit}", left - x)
        x = max(left, 0.0)
        for words, dashed in self._lines:
            self._paint_line(painter, x, dashed)
            x += self._sample() + self._gap() / 2
            self._paint_words(painter, x, words, self.width() - x)
            x += self._words_width(words) + self._gap()

    def _paint_class(self, painter: QPainter, x: float, colour: str, words: str) -> None:
        radius = theme.current().px(4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        painter.drawEllipse(QPointF(x + radius, self.height() / 2), radius, radius)
        self._paint_words(painter, x + 3 * radius, words, self.width() - x)

    def _paint_line(self, painter: QPainter, x: float, dashed: bool) -> None:
        pen = QPen(theme.current().colour("accent" if dashed else "text2"), 1.5)
        if dashed:
            pen.setDashPattern([3, 2])
        painter.setPen(pen)
        painter.drawLine(QPointF(x, self.height() / 2), QPointF(x + self._sample(), self.height() / 2))

    def _paint_words(self, painter: QPainter, x: float, words: str, width: float) -> None:
        look = theme.current()
        draw_text(painter, QRectF(x, 0, width, self.height()), words, look.font("caption"), look.colour("text2"))

    def _class_width(self, words: str) -> float:
        return theme.current().px(12) + self._words_width(words) + self._gap()

    def _lines_width(self) -> float:
        return sum(self._sample() + 1.5 * self._gap() + self._words_width(words) for words, _ in self._lines)

    def _words_width(self, words: str) -> float:
        return float(QFontMetrics(theme.current().font("caption")).horizontalAdvance(words)) + 1

    def _gap(self) -> float:
        return float(theme.current().px(10))

    def _sample(self) -> float:
        return float(theme.current().px(20))
