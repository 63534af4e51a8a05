"""What lies on a plane: tiles, points, ellipses, curves and handles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QImage, QPainter, QPixmap, QPolygonF

from dgm_studio.gui.widgets.painting import Picture, print_in_theme, to_image
from dgm_studio.gui.widgets.planeview import PlaneWindow

_MOST_TILE_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse in world units, `angle` in radians from the x axis."""

    x: float
    y: float
    rx: float
    ry: float
    angle: float = 0.0
    token: str = "accent"
    dashed: bool = True

    def clamp(self, x: float, y: float) -> tuple[float, float]:
        """The point itself inside the ellipse, else where its ray from the centre leaves it."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        dx, dy = x - self.x, y - self.y
        u, v = (cos * dx + sin * dy) / self.rx, (-sin * dx + cos * dy) / self.ry
        size = math.hypot(u, v)
        return (x, y) if size <= 1 else (self.x + dx / size, self.y + dy / size)


@dataclass(frozen=True, slots=True)
class Curve:
    """A polyline in world units, [K, 2]."""

    points: npt.NDArray[np.float64]
    token: str = "accent"
    dashed: bool = False
    width: float = 1.0
    closed: bool = False

    def polygon(self) -> QPolygonF:
        """The same for painters."""
        return polygon(self.points)


@dataclass(frozen=True, slots=True)
class Handle:
    """A ring that can be dragged.

    Args:
        x: World coordinate.
        y: World coordinate.
        label: Letter beside it.
        movable: Whether the hand may move it.
        limit: It stays inside this ellipse.
    """

    x: float
    y: float
    label: str = ""
    movable: bool = True
    limit: Ellipse | None = None


@dataclass(slots=True)
class _Tile:
    rect: QRectF
    image: QImage
    pixmap: QPixmap | None = field(default=None)

    @property
    def density(self) -> float:
        return self.image.width() / self.rect.width()

    @property
    def pixels(self) -> int:
        return self.image.width() * self.image.height()


class Tiles:
    """Pictures pinned to rectangles of the world; finer ones lie over coarser ones."""

    def __init__(self) -> None:
        self._tiles: list[_Tile] = []

    def __len__(self) -> int:
        return len(self._tiles)

    def add(self, rect: QRectF, picture: Picture) -> None:
        """Pin a picture; one on the same rectangle that is not finer is replaced.

        Raises:
            ValueError: An empty rectangle, or not a picture.
        """
        if rect.width() <= 0 or rect.height() <= 0:
            raise ValueError("a tile needs an area")
        tile = _Tile(rect, to_image(picture))
        self._tiles = [t for t in self._tiles if t.rect != rect or t.density > tile.density]
        self._tiles.append(tile)
        self._tiles.sort(key=lambda t: t.density)

    def clear(self) -> None:
        """Take all of them away."""
        self._tiles.clear()

    def forget_far(self, shown: QRectF) -> None:
        """Beyond 16 million pixels, drop tiles that are out of sight, finest first; the coarsest level stays."""
        total = sum(t.pixels for t in self._tiles)
        coarsest = self._tiles[0].density if self._tiles else 0.0
        for tile in reversed(self._tiles.copy()):
            if total <= _MOST_TILE_PIXELS:
                return
            if tile.density > coarsest and not tile.rect.intersects(shown):
                self._tiles.remove(tile)
                total -= tile.pixels

    def reprint(self) -> None:
        """The theme has changed."""
        for tile in self._tiles:
            print_in_theme(tile.image)
            tile.pixmap = None

    def paint(self, painter: QPainter, window: PlaneWindow) -> None:
        """Coarse ones first, only what is in sight, without seams between neighbours."""
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        shown = window.shown()
        for tile in self._tiles:
            if not tile.rect.intersects(shown):
                continue
            if tile.pixmap is None:
                tile.pixmap = QPixmap.fromImage(tile.image)
            exact = window.rect_to_pixels(tile.rect)
            left, top = math.floor(exact.left()), math.floor(exact.top())
            right, bottom = math.ceil(exact.right()), math.ceil(exact.bottom())
            snug = QRectF(left, top, right - left, bottom - top) if exact.width() > 64 else exact
            painter.drawPixmap(snug, tile.pixmap, QRectF(tile.pixmap.rect()))


def polygon(points: npt.NDArray[np.float64]) -> QPolygonF:
    """[K, 2] as a polygon."""
    made = QPolygonF()
    made.reserve(len(points))
    for x, y in points.tolist():
        made.append(QPointF(x, y))
    return made


def stamp_points(
    size: tuple[int, int],
    places: npt.NDArray[np.float64],
    colours: npt.NDArray[np.uint32],
    radius: float,
    halo: QColor,
) -> QImage:
    """Discs with a soft edge and a thin halo, on a transparent picture, without a painter call per point.

    Args:
        size: Width and height in device pixels.
        places: Centres in device pixels, [N, 2].
        colours: 0xRRGGBB for each point, [N].
        radius: Of the discs in device pixels.
        halo: Drawn around every disc, under all of them.

    Returns:
        A premultiplied ARGB image of that size.
    """
    width, height = size
    reach = math.ceil(radius + 2)
    # a margin all around: no offset of any disc can leave the canvas, so nothing is checked point by point
    stride = width + 2 * reach
    canvas = np.zeros((height + 2 * reach) * stride, dtype=np.uint32)
    near = (places > -0.5).all(axis=1) & (places[:, 0] < width - 0.5) & (places[:, 1] < height - 0.5)
    centres = np.rint(places[near]).astype(np.int64) + reach
    homes = centres[:, 1] * stride + centres[:, 0]
    halo_words = np.full(len(homes), halo.rgb() & 0xFFFFFF, dtype=np.uint32)
    for words, disc in ((halo_words, radius + 1.0), (colours[near], radius)):
        solid = _premultiplied(words, 1.0)
        for dx, dy, cover in _disc(disc):
            canvas[homes + (dy * stride + dx)] = solid if cover == 1 else _premultiplied(words, cover)
    inside = canvas.reshape(-1, stride)[reach : reach + height, reach : reach + width]
    data = np.ascontiguousarray(inside)
    return QImage(data.data, width, height, width * 4, QImage.Format.Format_ARGB32_Premultiplied).copy()


def _disc(radius: float) -> list[tuple[int, int, float]]:
    """Offsets and covers of a disc, least covered first so that solid pixels win where discs overlap."""
    reach = math.ceil(radius + 0.5)
    offsets = [
        (dx, dy, radius + 0.5 - math.hypot(dx, dy))
        for dy in range(-reach, reach + 1)
        for dx in range(-reach, reach + 1)
    ]
    return sorted(((dx, dy, min(c, 1.0)) for dx, dy, c in offsets if c > 0), key=lambda entry: entry[2])


def _premultiplied(words: npt.NDArray[np.uint32], cover: float) -> npt.NDArray[np.uint32]:
    alpha = round(255 * cover)
    red, green, blue = (((words >> shift) & 0xFF) * alpha // 255 for shift in (16, 8, 0))
    return np.asarray((alpha << 24) | (red << 16) | (green << 8) | blue, dtype=np.uint32)
