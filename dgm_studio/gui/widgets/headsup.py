"""What the machine is doing, in figures that do not jump."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_text, follow_theme


class HeadsUp(QWidget):
    """A row of figures: "input → pixel 8 ms · p95 17 ms   training −6 %   queue 0"."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._figures: dict[str, tuple[str, str]] = {}
        self.setAccessibleName("Heads-up display")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_figures(self, figures: Mapping[str, str], hints: Mapping[str, str] | None = None) -> None:
        """Show figures.

        Args:
            figures: Words to values with units, in order ({"input → pixel": "8 ms · p95 17 ms"}).
            hints: How a figure is measured, for the tooltip.
        """
        said = hints or {}
        changed_words = list(figures) != list(self._figures)
        self._figures = {words: (value, said.get(words, "")) for words, value in figures.items()}
        self.setToolTip("\n".join(f"{w}: {hint}" for w, (_, hint) in self._figures.items() if hint))
        self.setAccessibleDescription(", ".join(f"{w} {v}" for w, (v, _) in self._figures.items()))
        if changed_words or self.width() < self._width():
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All of it, on one line."""
        return QSize(self._width(), theme.current().px(20))

    def minimumSizeHint(self) -> QSize:
        """The first figure; the rest elides."""
        return QSize(min(self._width(), theme.current().px(150)), theme.current().px(20))

    def paintEvent(self, event: QPaintEvent) -> None:
        """From the right edge to the left, so that what matters least goes first when room is short."""
        look = theme.current()
        painter = QPainter(self)
        right = float(self.width())
        total = self._width()
        left = max(0.0, right - total)
        for words, (value, _) in self._figures.items():
            name_width = _advance(look.font("caption"), words + " ")
            value_width = _advance(look.figures("caption"), value)
            draw_text(
                painter,
                QRectF(left, 0, min(name_width, right - left), self.height()),
                words,
                look.font("caption"),
                look.colour("text2"),
            )
            left += name_width
            draw_text(
                painter,
                QRectF(left, 0, max(0.0, min(value_width, right - left)) + 1, self.height()),
                value,
                look.figures("caption"),
                look.colour("text"),
            )
            left += value_width + theme.SPACE[3]

    def _width(self) -> int:
        look = theme.current()
        parts = [
            _advance(look.font("caption"), w + " ") + _advance(look.figures("caption"), v)
            for w, (v, _) in self._figures.items()
        ]
        return round(sum(parts) + theme.SPACE[3] * max(0, len(parts) - 1)) + 2


def _advance(font: object, words: str) -> float:
    from PySide6.QtGui import QFont

    assert isinstance(font, QFont)
    return float(QFontMetrics(font).horizontalAdvance(words))
