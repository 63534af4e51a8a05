"""Points in the plane as one pre-rendered picture: thousands of them cost one blit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_text, follow_theme

MARGIN = 28  # px for the numbers
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
        self._lines = False
        self._cache: QPixmap | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._forget)

    def set_points(self, points: Points, beneath: Points | None = None, *, lines: bool = False) -> None:
        """Show points [N, 2]; y is up.

        Args:
            points: What is shown.
            beneath: [M, 2], drawn under them; None keeps what lies there.
            lines: Join each point to the one beneath it of the same number.
        """
        self._points, self._lines = np.asarray(points), lines
        self._beneath = self._beneath if beneath is None else np.asarray(beneath)
        self._forget()

    def set_beneath(self, points: Points | None) -> None:
        """What lies under the points, [M, 2]."""
        self._beneath = points
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
        place = _Place.of(np.concatenate(sets), self.width(), self.height(), look.px(MARGIN))
        points = place.of_points(self._points)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_axes(painter, place)
        if self._beneath is not None:
            beneath = place.of_points(self._beneath)
            self._draw(painter, beneath, look.colour("text2", 0.45))
            if self._lines and beneath.size() == points.size():
                self._join(painter, beneath, points)
        self._draw(painter, points, look.colour("accent", 0.8))
        painter.end()
        return picture

    def _draw_axes(self, painter: QPainter, place: _Place) -> None:
        """Lines at whole numbers, so that scale and centre can be read."""
        look = theme.current()
        figures = look.figures("caption")
        for number in range(math.ceil(place.low), math.floor(place.high) + 1, place.every):
            x, y = place.at(float(number), float(number))
            painter.setPen(QPen(look.colour("line", 0.6), 1))
            painter.drawLine(QPointF(x, place.top), QPointF(x, place.top + place.side))
            painter.drawLine(QPointF(place.left, y), QPointF(place.left + place.side, y))
            words = f"{number}".replace("-", "\N{MINUS SIGN}")
            below = QRectF(x - 30, place.top + place.side + 2, 60, look.px(14))
            draw_text(painter, below, words, figures, look.colour("text2"), Qt.AlignmentFlag.AlignCenter)
            beside = QRectF(place.left - 64, y - look.px(7), 60, look.px(14))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            draw_text(painter, beside, words, figures, look.colour("text2"), right)

    def _draw(self, painter: QPainter, points: QPolygonF, colour: QColor) -> None:
        size = 6.0 if points.size() <= 300 else 4.0 if points.size() <= 3000 else 3.0
        pen = QPen(colour, size)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        painter.drawPoints(points)

    def _join(self, painter: QPainter, ones: QPolygonF, others: QPolygonF) -> None:
        painter.setPen(QPen(theme.current().colour("text2", 0.5), 1))
        for one, other in zip(ones.toList(), others.toList(), strict=True):
            painter.drawLine(one, other)


@dataclass(frozen=True, slots=True)
class _Place:
    """A square of the plane on a square of the widget.

    Args:
        low: Least x and y that are labelled.
        high: Greatest such.
        span: Its side in the plane.
        left: Its corner on the widget, logical pixels.
        top: Likewise.
        side: Its side on the widget.
    """

    low: float
    high: float
    span: float
    left: float
    top: float
    side: float

    @classmethod
    def of(cls, points: Points, width: int, height: int, margin: int) -> _Place:
        """The square around the origin that holds these points [N, 2]."""
        reach = float(max(np.abs(points).max(), 1e-6)) * 1.04
        side = max(1.0, min(width, height) - 2.0 * margin)
        return cls(-reach, reach, 2 * reach, (width - side) / 2, (height - side) / 2, side)

    @property
    def every(self) -> int:
        """Distance of the labelled numbers."""
        return max(1, round((self.high - self.low) / 8))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the plane is on the widget."""
        across, up = x / self.span, y / self.span
        return self.left + (0.5 + across) * self.side, self.top + (0.5 - up) * self.side

    def of_points(self, points: Points) -> QPolygonF:
        """Many of them."""
        return QPolygonF([QPointF(*self.at(float(x), float(y))) for x, y in points])
