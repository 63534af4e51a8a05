"""Tens of thousands of particles in the plane on the density they move through, with arrows that say where to."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import follow_theme

Floats = npt.NDArray[np.floating]
OPAQUE_AT = 5.0  # particles in one pixel at which it has the full colour
ARROW = 0.9  # length of the longest arrow in cells
SOFTEST = 0.25  # the least alpha of a pixel with a particle in it
MARGIN = 6


class Particles(QWidget):
    """One square of the plane; y is up.

    Args:
        name: What moves.
        token: Colour of the particles: a token of the theme, or a colour.
    """

    def __init__(self, name: str, parent: QWidget | None = None, *, token: str = "accent") -> None:
        super().__init__(parent)
        self._token = token
        self._points: Floats = np.zeros((0, 2), np.float32)
        self._field: Floats = np.zeros((0, 0, 2), np.float32)
        self._paths: Floats = np.zeros((0, 0, 2), np.float32)
        self._ground: QImage | None = None
        self._reach = 1.0
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_points(self, points: Floats, reach: float) -> None:
        """Show particles.

        Args:
            points: [N, 2].
            reach: Half side of the square.
        """
        self._points, self._reach = points, max(float(reach), 1e-9)
        self.update()

    def points(self) -> Floats:
        """What is shown, [N, 2]."""
        return self._points

    def set_density(self, density: Floats | None) -> None:
        """The ground: [G, G], row 0 the largest y; None for an empty one."""
        if density is None or not density.size:
            self._ground = None
        else:
            values = np.asarray(density, np.float64)
            # the root shows what is thin beside what is dense; the peak of every level uses the whole ramp
            share = np.sqrt(np.clip(values / max(float(values.max()), 1e-300), 0.0, 1.0))
            table = np.ascontiguousarray(np.rint(255 * share).astype(np.uint8))
            height, width = table.shape
            self._ground = QImage(table.data, width, height, width, QImage.Format.Format_Indexed8).copy()
            self._print()
        self.update()

    def set_field(self, field: Floats | None) -> None:
        """Arrows on a grid: directions [A, A, 2], row 0 the largest y; None for none."""
        self._field = np.zeros((0, 0, 2), np.float32) if field is None else np.asarray(field)
        self.update()

    def set_paths(self, paths: Floats | None) -> None:
        """Ways of single particles so far: [P, K, 2]; None for none."""
        self._paths = np.zeros((0, 0, 2), np.float32) if paths is None else np.asarray(paths)
        self.update()

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(420, 420)

    def minimumSizeHint(self) -> QSize:
        """Small, but seen."""
        return QSize(160, 160)

    def square(self) -> QRectF:
        """Where the square is, in logical pixels."""
        side = max(1.0, min(self.width(), self.height()) - 2.0 * MARGIN)
        return QRectF((self.width() - side) / 2, (self.height() - side) / 2, side, side)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, arrows, particles, paths."""
        look, square = theme.current(), self.square()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        outline = QPainterPath()
        outline.addRoundedRect(square, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        painter.fillPath(outline, look.colour("bg2"))
        painter.setClipPath(outline)
        if self._ground is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(square, self._ground, QRectF(self._ground.rect()))
        self._draw_particles(painter, square)
        self._draw_field(painter, square)
        self._draw_paths(painter, square)
        painter.setClipping(False)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawPath(outline)
        painter.end()

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _print(self) -> None:
        """The ground in the colours of the theme: from the control's ground to a quiet accent."""
        if self._ground is None:
            return
        look = theme.current()
        low, high = look.colour("bg2"), look.colour("text2")
        shares = np.linspace(0.0, 0.55, 256)
        ends = [(low.red(), high.red()), (low.green(), high.green()), (low.blue(), high.blue())]
        channels = [np.rint(a + (b - a) * shares).astype(np.uint8) for a, b in ends]
        self._ground.setColorTable(theme.colour_table(np.stack(channels, 1)))

    def _colour(self) -> QColor:
        return theme.line_colour(self._token) if self._token.startswith("#") else theme.current().colour(self._token)

    def _draw_particles(self, painter: QPainter, square: QRectF) -> None:
        """Counted into pixels and blitted once: as many as there are cost a few milliseconds."""
        if not len(self._points):
            return
        side = max(1, round(square.width() * self.devicePixelRatioF()))
        # A particle is as large as a dot can be seen: two device pixels and more on a fine screen.
        cells = max(1, round(side / max(1.0, 1.5 * self.devicePixelRatioF())))
        place = (np.asarray(self._points, np.float32) * (0.5 / self._reach) + 0.5) * cells
        x, y = place[:, 0], cells - place[:, 1]
        inside = (x >= 0) & (x < cells) & (y >= 0) & (y < cells)
        index = y[inside].astype(np.int64) * cells + x[inside].astype(np.int64)
        counts = np.minimum(np.bincount(index, minlength=cells * cells), 255).astype(np.uint8)
        image = QImage(_inks(self._colour())[counts].data, cells, cells, 4 * cells, _ARGB).copy()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(square, image, QRectF(image.rect()))

    def _draw_field(self, painter: QPainter, square: QRectF) -> None:
        count = self._field.shape[0]
        if not count:
            return
        cell = square.width() / count
        flow = np.asarray(self._field, np.float64).reshape(-1, 2) * (1.0, -1.0)  # y of the screen goes down
        size = np.linalg.norm(flow, axis=1)
        flow = flow * (ARROW * cell / max(float(np.quantile(size, 0.98)), 1e-12))
        length = np.linalg.norm(flow, axis=1)
        flow *= np.minimum(1.0, ARROW * cell / np.maximum(length, 1e-12))[:, None]
        middle = (np.arange(count) + 0.5) * cell
        x = square.left() + np.tile(middle, count)
        y = square.top() + np.repeat(middle, count)
        lines = [
            line
            for px, py, dx, dy in zip(x, y, flow[:, 0], flow[:, 1], strict=True)
            if math.hypot(dx, dy) > 1.5
            for line in _arrow(px - dx / 2, py - dy / 2, dx, dy)
        ]
        painter.setPen(QPen(theme.current().colour("text", 0.65), 1))
        painter.drawLines(lines)

    def _draw_paths(self, painter: QPainter, square: QRectF) -> None:
        if self._paths.shape[1] < 1:
            return
        painter.setPen(QPen(theme.current().colour("live"), 1.5))
        painter.setBrush(theme.current().colour("live"))
        for way in self._paths:
            pixels = [self._at(square, float(x), float(y)) for x, y in way]
            painter.drawPolyline(QPolygonF(pixels))
            painter.drawEllipse(pixels[-1], 2.5, 2.5)

    def _at(self, square: QRectF, x: float, y: float) -> QPointF:
        across, up = 0.5 + 0.5 * x / self._reach, 0.5 + 0.5 * y / self._reach
        return QPointF(square.left() + across * square.width(), square.bottom() - up * square.height())


_ARGB = QImage.Format.Format_ARGB32


def _inks(colour: QColor) -> npt.NDArray[np.uint32]:
    """A pixel's colour by how many particles are in it, [256] ARGB."""
    counts = np.arange(256)
    alpha = np.where(counts > 0, np.clip(SOFTEST + (1 - SOFTEST) * counts / OPAQUE_AT, 0.0, 1.0), 0.0)
    solid = (colour.red() << 16) | (colour.green() << 8) | colour.blue()
    return np.asarray((np.rint(255 * alpha).astype(np.uint32) << 24) | np.uint32(solid), np.uint32)


def _arrow(x: float, y: float, dx: float, dy: float) -> tuple[QLineF, QLineF, QLineF]:
    """A shaft and two barbs."""
    tip_x, tip_y = x + dx, y + dy
    barb = min(4.0, 0.4 * math.hypot(dx, dy))
    angle = math.atan2(dy, dx)
    left, right = (QPointF(tip_x - barb * math.cos(a), tip_y - barb * math.sin(a)) for a in (angle + 0.5, angle - 0.5))
    tip = QPointF(tip_x, tip_y)
    return QLineF(QPointF(x, y), tip), QLineF(tip, left), QLineF(tip, right)
