"""A plane that can be flown over: decoded tiles, data points, curves, ellipses and handles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import Picture, between, draw_text, focus_ring, follow_theme
from dgm_studio.gui.widgets.planeparts import Curve, Ellipse, Handle, Tiles, stamp_points
from dgm_studio.gui.widgets.planeview import PlaneWindow

_GRAB = 12.0
_CLICK = 4.0
_PAN = 40.0
_ZOOM = 1.25


class PlaneView(QWidget):
    """Shows a plane with one scale for both axes, y upwards.

    Drag the ground to move, turn the wheel to zoom at the mouse, drag a ring to move it. Keys: arrows move the ground,
    plus and minus zoom, 0 shows everything; space chooses the next ring, then arrows move that ring, Escape lets it go.

    Signals:
        view_changed(QRectF): The part of the world that is shown; `top` is the smaller y.
        cursor_at(float, float): The mouse is over this point of the world.
        cursor_left(): The mouse is gone.
        clicked(float, float): A click on the ground.
        handle_moved(str, float, float): A ring was moved by hand, on every mouse move.
        handle_pressed(str), handle_released(str): Around a move of a ring.
    """

    view_changed = Signal(QRectF)
    cursor_at = Signal(float, float)
    cursor_left = Signal()
    clicked = Signal(float, float)
    handle_moved = Signal(str, float, float)
    handle_pressed = Signal(str)
    handle_released = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None, *, home: float = 3.5) -> None:
        super().__init__(parent)
        self._home = QRectF(-home, -home, 2 * home, 2 * home)
        self._window = PlaneWindow().resized(400, 400).fitted(self._home)
        self._tiles = Tiles()
        self._points = np.zeros((0, 2))
        self._labels = np.zeros(0, dtype=np.int64)
        self._radius, self._show_points = 2.5, True
        self._ellipses: tuple[Ellipse, ...] = ()
        self._curves: tuple[Curve, ...] = ()
        self._handles: dict[str, Handle] = {}
        self._axes = ("", "")
        self._chosen = ""
        self._held = ""
        self._from: QPointF | None = None
        self._travelled = 0.0
        self._ground: QPixmap | None = None
        self._cursor: QPointF | None = None
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._reprint)

    # what is shown

    def window_shown(self) -> PlaneWindow:
        """The transform in use."""
        return self._window

    def shown(self) -> QRectF:
        """The part of the world in sight; `top` is the smaller y."""
        return self._window.shown()

    def set_home(self, rect: QRectF) -> None:
        """What 0 and `fit` show."""
        self._home = rect

    def fit(self) -> None:
        """Show everything."""
        self._see(self._window.fitted(self._home))

    def show_rect(self, rect: QRectF) -> None:
        """Show this part of the world (session, undo)."""
        self._see(self._window.fitted(rect))

    def set_axes(self, x: str, y: str) -> None:
        """Names of the two directions, written at the edges."""
        self._axes = (x, y)
        self.update()

    def add_tile(self, rect: QRectF, picture: Picture) -> None:
        """Pin a decoded picture to the world; a coarser one stays beneath until this one covers it.

        Args:
            rect: In the world; `top` is the smaller y. The picture's first row lies at the larger y.
            picture: uint8 [H, W] or [H, W, 3].

        Raises:
            ValueError: An empty rectangle, or not a picture.
        """
        self._tiles.add(rect, picture)
        self._tiles.forget_far(self.shown())
        self._redraw()

    def clear_tiles(self) -> None:
        """Another model or other axes: the old tiles are wrong."""
        self._tiles.clear()
        self._redraw()

    def tile_count(self) -> int:
        """How many tiles are kept."""
        return len(self._tiles)

    def set_points(
        self, points: npt.NDArray[np.floating], labels: npt.NDArray[np.integer] | None = None, radius: float = 2.5
    ) -> None:
        """Show data points.

        Args:
            points: World coordinates, [N, 2].
            labels: Class of each point for its colour, [N]; without labels all are grey.
            radius: In logical pixels.
        """
        self._points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        self._labels = np.full(len(self._points), -1) if labels is None else np.asarray(labels, dtype=np.int64)
        self._radius = radius
        self._redraw()

    def show_points(self, show: bool) -> None:
        """Show or hide the data points."""
        self._show_points = show
        self._redraw()

    def set_ellipses(self, ellipses: Sequence[Ellipse]) -> None:
        """Posterior ellipses, circles of the prior."""
        self._ellipses = tuple(ellipses)
        self.update()

    def set_curves(self, curves: Sequence[Curve]) -> None:
        """Contours and interpolation paths."""
        self._curves = tuple(curves)
        self.update()

    def set_handles(self, handles: Mapping[str, Handle]) -> None:
        """The rings, by name; a ring under the hand stays where the hand is."""
        kept = self._handles.get(self._held)
        self._handles = dict(handles)
        if kept is not None and self._held in self._handles:
            self._handles[self._held] = kept
        self._chosen = self._chosen if self._chosen in self._handles else ""
        self.update()

    def handles(self) -> dict[str, Handle]:
        """The rings as they are now."""
        return dict(self._handles)

    # by hand

    def sizeHint(self) -> QSize:
        """A large canvas."""
        return QSize(560, 560)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(160, 160)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the middle in the middle."""
        self._see(self._window.resized(self.width(), self.height()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the mouse."""
        notches = event.angleDelta().y() / 120
        self._see(self._window.zoomed(_ZOOM**notches, event.position()))
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a ring or the ground."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._from, self._travelled = event.position(), 0.0
        self._held = self._handle_at(event.position())
        self._chosen = self._held
        if self._held:
            self.handle_pressed.emit(self._held)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move what is held, else tell where the mouse is."""
        here = event.position()
        if self._from is None:
            self._cursor = here
            self.setCursor(Qt.CursorShape.PointingHandCursor if self._handle_at(here) else Qt.CursorShape.CrossCursor)
            self.cursor_at.emit(*self._window.to_world(here))
            self.update()
            return
        self._travelled += between(here, self._from)
        if self._held:
            self._move_handle(self._held, *self._window.to_world(here))
        elif self._travelled > _CLICK:
            self._see(self._window.panned(here.x() - self._from.x(), here.y() - self._from.y()))
        self._from = here

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go, or click."""
        if self._from is None or event.button() != Qt.MouseButton.LeftButton:
            return
        held, self._held, self._from = self._held, "", None
        if held:
            self.handle_released.emit(held)
        elif self._travelled <= _CLICK:
            self.clicked.emit(*self._window.to_world(event.position()))
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone."""
        self._cursor = None
        self.cursor_left.emit()
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move, zoom, choose a ring and move it."""
        key = Qt.Key(event.key())
        arrows = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, 1), Qt.Key.Key_Down: (0, -1)}
        middle = QPointF(self.width() / 2, self.height() / 2)
        if key in arrows:
            self._arrow(*arrows[key], fine=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self._see(self._window.zoomed(_ZOOM, middle))
        elif key == Qt.Key.Key_Minus:
            self._see(self._window.zoomed(1 / _ZOOM, middle))
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key == Qt.Key.Key_Space and self._handles:
            names = list(self._handles)
            self._chosen = names[(names.index(self._chosen) + 1) % len(names)] if self._chosen else names[0]
            self.update()
        elif key == Qt.Key.Key_Escape and self._chosen:
            self._chosen = ""
            self.update()
        else:
            super().keyPressEvent(event)

    # painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """The ground from memory, what moves on top of it."""
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._ground_picture())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for curve in self._curves:
            self._paint_curve(painter, curve)
        for ellipse in self._ellipses:
            self._paint_ellipse(painter, ellipse)
        for name, handle in self._handles.items():
            self._paint_handle(painter, name, handle)
        self._paint_words(painter)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()), 2)

    def _ground_picture(self) -> QPixmap:
        if self._ground is None:
            ratio = self.devicePixelRatioF()
            self._ground = QPixmap(max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))
            self._ground.setDevicePixelRatio(ratio)
            self._ground.fill(theme.current().colour("paper"))
            painter = QPainter(self._ground)
            self._tiles.paint(painter, self._window)
            if self._show_points and len(self._points):
                painter.drawImage(QRectF(self.rect()), self._points_picture(ratio))
            painter.end()
        return self._ground

    def _points_picture(self, ratio: float) -> QImage:
        window = self._window
        places = np.empty_like(self._points)
        places[:, 0] = (window.width / 2 + (self._points[:, 0] - window.x) * window.scale) * ratio
        places[:, 1] = (window.height / 2 - (self._points[:, 1] - window.y) * window.scale) * ratio
        look = theme.current()
        grey = look.colour("text2").rgb() & 0xFFFFFF
        table = np.array([QColor(c).rgb() & 0xFFFFFF for c in theme.CATEGORIES] + [grey], dtype=np.uint32)
        inks = table[np.where(self._labels < 0, len(table) - 1, self._labels % (len(table) - 1))]
        size = (max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))
        return stamp_points(size, places, inks, self._radius * ratio, look.colour("paper"))

    def _paint_curve(self, painter: QPainter, curve: Curve) -> None:
        painter.setPen(_pen(curve.token, curve.width, dashed=curve.dashed))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        line = self._window.transform().map(curve.polygon())
        if curve.closed:
            painter.drawPolygon(line)
        else:
            painter.drawPolyline(line)

    def _paint_ellipse(self, painter: QPainter, ellipse: Ellipse) -> None:
        painter.save()
        painter.translate(self._window.to_pixels(ellipse.x, ellipse.y))
        painter.rotate(-math.degrees(ellipse.angle))
        painter.setPen(_pen(ellipse.token, 1.25, dashed=ellipse.dashed))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(0, 0), ellipse.rx * self._window.scale, ellipse.ry * self._window.scale)
        painter.restore()

    def _paint_handle(self, painter: QPainter, name: str, handle: Handle) -> None:
        look = theme.current()
        place = self._window.to_pixels(handle.x, handle.y)
        active = name in (self._held, self._chosen)
        painter.setBrush(look.colour("bg1"))
        painter.setPen(QPen(look.colour("paper"), 5))
        painter.drawEllipse(place, 7, 7)
        painter.setPen(QPen(look.colour("accent"), 3 if active else 2))
        painter.drawEllipse(place, 7, 7)
        if active:
            painter.setPen(QPen(look.colour("accent", 0.5), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(place, 12, 12)
        if handle.label:
            self._write(painter, place + QPointF(12, -9), handle.label, strong=True)

    def _paint_words(self, painter: QPainter) -> None:
        low = self.height() - theme.current().px(18) - 4
        if self._axes[0]:
            self._write(
                painter, QPointF(self.width() - self._text_width(self._axes[0] + " →") - 14, low), self._axes[0] + " →"
            )
        if self._axes[1]:
            self._write(painter, QPointF(8, 6), self._axes[1] + " ↑")
        if self._cursor is not None and not self._held:
            x, y = self._window.to_world(self._cursor)
            words = f"{x:+.2f}  {y:+.2f}".replace("-", "\N{MINUS SIGN}")
            width = QFontMetrics(theme.current().figures("caption")).horizontalAdvance(words)
            self._write(painter, QPointF(self.width() - width - 14, 6), words, figures=True)

    def _write(
        self, painter: QPainter, at: QPointF, words: str, *, strong: bool = False, figures: bool = False
    ) -> None:
        look = theme.current()
        font = look.figures("caption") if figures else look.font("caption", strong=strong)
        painter.setFont(font)
        box = QRectF(at.x(), at.y(), painter.fontMetrics().horizontalAdvance(words) + 9, look.px(18))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("bg1", 0.85))
        painter.drawRoundedRect(box, 4, 4)
        draw_text(painter, box.adjusted(4, 0, 0, 0), words, font, look.colour("text"))

    # state

    def _text_width(self, words: str) -> float:
        return float(QFontMetrics(theme.current().font("caption")).horizontalAdvance(words))

    def _arrow(self, dx: int, dy: int, *, fine: bool) -> None:
        if not self._chosen:
            self._see(self._window.panned(-dx * _PAN, dy * _PAN))
            return
        step = (1.0 if fine else 8.0) / self._window.scale
        handle = self._handles[self._chosen]
        self.handle_pressed.emit(self._chosen)
        self._move_handle(self._chosen, handle.x + dx * step, handle.y + dy * step)
        self.handle_released.emit(self._chosen)

    def _move_handle(self, name: str, x: float, y: float) -> None:
        handle = self._handles[name]
        if handle.limit is not None:
            x, y = handle.limit.clamp(x, y)
        self._handles[name] = Handle(x, y, handle.label, handle.movable, handle.limit)
        self.update()
        self.handle_moved.emit(name, x, y)

    def _handle_at(self, point: QPointF) -> str:
        near = {
            name: between(point, self._window.to_pixels(h.x, h.y)) for name, h in self._handles.items() if h.movable
        }
        best = min(near, key=near.__getitem__, default="")
        return best if best and near[best] <= _GRAB else ""

    def _see(self, window: PlaneWindow) -> None:
        if window != self._window:
            self._window = window
            self._redraw()
            self.view_changed.emit(window.shown())

    def _redraw(self) -> None:
        self._ground = None
        self.update()

    def _reprint(self) -> None:
        self._tiles.reprint()
        self._redraw()


def _pen(token: str, width: float, *, dashed: bool) -> QPen:
    pen = QPen(theme.current().colour(token), width)
    if dashed:
        pen.setDashPattern([4, 3])
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen
