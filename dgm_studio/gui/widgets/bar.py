"""A small horizontal bar: a share of something, with its number in the tooltip."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import follow_theme, plain_rounded


class Bar(QWidget):
    """A groove whose left part is filled.

    Args:
        width: Natural width in logical pixels; 0 takes what there is.
        token: Colour of the filled part.
    """

    def __init__(self, parent: QWidget | None = None, *, width: int = 34, token: str = "accent") -> None:
        super().__init__(parent)
        self._share, self._width, self._token = 0.0, width, token
        wide = QSizePolicy.Policy.Fixed if width else QSizePolicy.Policy.Expanding
        self.setSizePolicy(wide, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def share(self) -> float:
        """Filled part in [0, 1]."""
        return self._share

    def set_share(self, share: float, hint: str = "") -> None:
        """Fill a part in [0, 1]; the hint says what it stands for."""
        self._share = min(max(share, 0.0), 1.0)
        self.setToolTip(hint)
        self.setAccessibleDescription(hint)
        self.update()

    def sizeHint(self) -> QSize:
        """Thin."""
        return QSize(self._width or 80, theme.current().px(6))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Groove and filled part."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect())
        radius = rect.height() / 2
        plain_rounded(painter, rect, look.colour("bg3"), radius)
        if self._share > 0:
            filled = QRectF(rect.left(), rect.top(), max(self._share * rect.width(), 1.5), rect.height())
            plain_rounded(painter, filled, look.colour(self._token), min(radius, filled.width() / 2))
