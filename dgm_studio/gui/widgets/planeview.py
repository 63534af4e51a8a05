"""From a plane in the world to pixels and back: one scale for both axes, y upwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PySide6.QtCore import QPointF, QRectF, QSizeF
from PySide6.QtGui import QTransform

_CLOSEST, _FARTHEST = 1e6, 1e-3


@dataclass(frozen=True, slots=True)
class PlaneWindow:
    """What part of the plane a widget shows.

    Args:
        x: World coordinate in the middle.
        y: World coordinate in the middle, upwards.
        scale: Logical pixels per world unit.
        width: Of the widget, in logical pixels.
        height: Of the widget, in logical pixels.
    """

    x: float = 0.0
    y: float = 0.0
    scale: float = 60.0
    width: float = 1.0
    height: float = 1.0

    def to_pixels(self, x: float, y: float) -> QPointF:
        """Where a point of the world is in the widget."""
        return QPointF(self.width / 2 + (x - self.x) * self.scale, self.height / 2 - (y - self.y) * self.scale)

    def to_world(self, point: QPointF) -> tuple[float, float]:
        """The inverse of `to_pixels`."""
        return (
            self.x + (point.x() - self.width / 2) / self.scale,
            self.y - (point.y() - self.height / 2) / self.scale,
        )

    def rect_to_pixels(self, rect: QRectF) -> QRectF:
        """A rectangle of the world (its `top` is the smaller y) in the widget."""
        corner = self.to_pixels(rect.left(), rect.bottom())
        return QRectF(corner, QSizeF(rect.width() * self.scale, rect.height() * self.scale))

    def shown(self) -> QRectF:
        """The part of the world that is shown; `top` is the smaller y."""
        wide, high = self.width / self.scale, self.height / self.scale
        return QRectF(self.x - wide / 2, self.y - high / 2, wide, high)

    def transform(self) -> QTransform:
        """The same as `to_pixels`, for painters."""
        dx = self.width / 2 - self.x * self.scale
        dy = self.height / 2 + self.y * self.scale
        return QTransform(self.scale, 0, 0, -self.scale, dx, dy)

    def resized(self, width: float, height: float) -> PlaneWindow:
        """Keep the middle; the shorter side shows as much of the world as before."""
        before, now = min(self.width, self.height), max(1.0, min(width, height))
        scale = self.scale * now / before if before > 1 else self.scale
        return replace(self, width=max(1.0, width), height=max(1.0, height), scale=scale)

    def panned(self, dx: float, dy: float) -> PlaneWindow:
        """Move the picture by pixels."""
        return replace(self, x=self.x - dx / self.scale, y=self.y + dy / self.scale)

    def zoomed(self, factor: float, at: QPointF) -> PlaneWindow:
        """Enlarge by a factor; the world under `at` stays there."""
        scale = min(max(self.scale * factor, _FARTHEST), _CLOSEST)
        x, y = self.to_world(at)
        return replace(
            self,
            scale=scale,
            x=x - (at.x() - self.width / 2) / scale,
            y=y + (at.y() - self.height / 2) / scale,
        )

    def fitted(self, rect: QRectF) -> PlaneWindow:
        """Show all of a rectangle of the world, in the middle."""
        scale = min(self.width / max(rect.width(), 1e-9), self.height / max(rect.height(), 1e-9))
        return replace(self, x=rect.center().x(), y=rect.center().y(), scale=min(max(scale, _FARTHEST), _CLOSEST))
