"""Points in the plane as one pre-rendered picture: thousands of them cost one blit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import follow_theme

Points = npt.NDArray[np.floating]


class PointCloud(QWidget):
    """Points on a square ground; a second set lies beneath in a quieter colour.

    Args:
        name: What they are.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: Points = np.zeros((0, 2), np.float32)
        self._beneath: Points | None = None
        self._cache: QPixmap | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._forget)

    def set_points(self, points: Points, beneath: Points | None = None) -> None:
        """Show points [N, 2]; y is up. `beneath` [M, 2] is drawn under them."""
        self._points, self._beneath = np.asarray(points), beneath
        self._forget()

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(280, 280)

    def paintEvent(self, event: QPaintEvent) -> None:
        """One blit."""
        if self._cache is None or self._cache.size() != self.size() * self.devicePixelRatioF():
            self._cache = self._rendered()
        QPainter(self).drawPixmap(0, 0, self._cache)

    def _forget(self) -> None:
        self._cache = None
        self.update()

    def _rendered(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QPixmap(self.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        look = theme.current()
        picture.fill(look.colour("bg1"))
        sets = [s for s in (self._beneath, self._points) if s is not None and len(s)]
        if not sets:
            return picture
        low, high = np.min([s.min(0) for s in sets], axis=0), np.max([s.max(0) for s in sets], axis=0)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._beneath is not None:
            self._draw(painter, self._beneath, low, high, look.colour("text2", 0.35))
        self._draw(painter, self._points, low, high, look.colour("accent", 0.7))
        painter.end()
        return picture

    def _draw(self, painter: QPainter, points: Points, low: Points, high: Points, colour: QColor) -> None:
        middle, span = (low + high) / 2, float(max((high - low).max(), 1e-6))
        side = min(self.width(), self.height()) - 16
        x = self.width() / 2 + (points[:, 0] - middle[0]) / span * side
        y = self.height() / 2 - (points[:, 1] - middle[1]) / span * side
        pen = QPen(colour, 3.0)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        painter.drawPoints(QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]))
