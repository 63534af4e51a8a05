"""Lanes of a race under each other: what each one cost, how far it is off, its results side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import (
    draw_picture,
    draw_text,
    fitted,
    focus_ring,
    follow_theme,
    plain_rounded,
    print_in_theme,
    to_image,
)

HEAD, LINE, NAME = 24, 16, 148
COLUMNS = (("Evaluations", 78), ("Seconds", 66), ("Error", 74))
SIDE, LEAST_SIDE, GAP = 76, 30, 4
PLANE = 112  # side of a lane's plane, for points
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter
Results = npt.NDArray[Any]


@dataclass(frozen=True)
class Lane:
    """One row.

    Args:
        name: Of the sampler.
        note: Its settings, in a few words.
        evaluations: Of the network for one sample; 0 is not told.
        seconds: It took; NaN is not told.
        error: Distance from the reference; NaN for a lane that has none.
        why: Instead of an error ("draws noise").
        results: uint8 [N, H, W(, 3)] or float32 [N, 2]; None while nothing is there.
        difference: uint8 [N, H, W], float32 [N] for points, or None.
        words: Under each result.
        colour: Of its points and its dot.
        done: Whether it has arrived.
        reference: Whether the others are held against it.
        best: Whether its error is the least.
    """

    name: str
    note: str = ""
    evaluations: int = 0
    seconds: float = math.nan
    error: float = math.nan
    why: str = ""
    results: Results | None = None
    difference: Results | None = None
    words: tuple[str, ...] = field(default=())
    colour: str = ""
    done: bool = True
    reference: bool = False
    best: bool = False


class LaneTable(QWidget):
    """See the module.

    Signals:
        clicked(int): A lane was clicked, or chosen with Return.
        removed(int): Delete on a lane.
    """

    clicked = Signal(int)
    removed = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lanes: tuple[Lane, ...] = ()
        self._sheets: list[QImage | None] = []
        self._maps: list[QImage | None] = []
        self._planar, self._differences = False, False
        self._count, self._shape = 1, QSize(1, 1)
        self._selected, self._hover = -1, -1
        self._reach, self._peak = 1.0, 0
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_lanes(self, lanes: Sequence[Lane]) -> None:
        """Show lanes; the pictures of all have one shape."""
        self._lanes = tuple(lanes)
        known = [lane.results for lane in lanes if lane.results is not None and len(lane.results)]
        self._planar = bool(known) and known[0].ndim == 2
        self._count = max((len(r) for r in known), default=1)
        self._sheets, self._maps = [], []
        if known and not self._planar:
            self._shape = QSize(known[0].shape[2], known[0].shape[1])
        if self._planar:
            every = np.concatenate([r[np.isfinite(r).all(1)] for r in known])
            self._reach = 1.08 * float(np.abs(every).max()) if every.size else 1.0
        far = [int(n.difference.max()) for n in lanes if n.difference is not None and n.difference.size]
        self._peak = max(far, default=0) if not self._planar else 0
        for lane in lanes if not self._planar else ():
            self._sheets.append(_sheet(lane.results))
            self._maps.append(_sheet(lane.difference, self._peak))
        self._selected = min(self._selected, len(self._lanes) - 1)
        self._describe()
        self.updateGeometry()
        self.update()

    def set_differences(self, on: bool) -> None:
        """Show under each picture how far it is from the reference."""
        self._differences = on
        self.updateGeometry()
        self.update()

    def lanes(self) -> tuple[Lane, ...]:
        """What is shown."""
        return self._lanes

    def selected(self) -> int:
        """The selected lane, -1 for none."""
        return self._selected

    def set_selected(self, lane: int) -> None:
        """Select without a signal."""
        self._selected = lane if 0 <= lane < len(self._lanes) else -1
        self._describe()
        self.update()

    # -- geometry ------------------------------------------------------------------------------------------------------

    def row(self, lane: int) -> QRectF:
        """Where a lane is."""
        top = theme.current().px(HEAD) + sum(self._height(n) for n in range(lane))
        return QRectF(0, top, self.width(), self._height(lane))

    def lane_at(self, point: QPointF) -> int:
        """The lane under a point, -1 for none."""
        return next((n for n in range(len(self._lanes)) if self.row(n).contains(point)), -1)

    def cell(self, lane: int, sample: int) -> QRectF:
        """Where a result is."""
        look, side = theme.current(), self._side()
        high = side * self._shape.height() / self._shape.width()
        top = self.row(lane).top() + look.px(6)
        return QRectF(self._left() + sample * (side + GAP), top, side, high)

    def sizeHint(self) -> QSize:
        """All lanes."""
        look = theme.current()
        return QSize(720, look.px(HEAD) + round(sum(self._height(n) for n in range(len(self._lanes)))) + 2)

    def minimumSizeHint(self) -> QSize:
        """Figures and small pictures."""
        look = theme.current()
        shown = min(self._count, 4)
        return QSize(round(self._left()) + shown * (look.px(LEAST_SIDE) + GAP), self.sizeHint().height())

    def resizeEvent(self, event: Any) -> None:
        """Narrower lanes are lower."""
        super().resizeEvent(event)
        self.updateGeometry()

    def _left(self) -> float:
        look = theme.current()
        return float(look.px(NAME) + sum(look.px(wide) for _, wide in COLUMNS) + look.px(20))

    def _side(self) -> float:
        look = theme.current()
        room = (self.width() - self._left()) / max(1, self._count) - GAP
        return float(min(max(room, look.px(LEAST_SIDE)), look.px(SIDE)))

    def _height(self, lane: int) -> float:
        look = theme.current()
        if self._planar:
            return float(look.px(PLANE) + look.px(12))
        high = self._side() * self._shape.height() / self._shape.width()
        far = self._lanes[lane].difference
        if self._differences and far is not None and len(far):
            high = 2 * high + GAP
        words = look.px(LINE) if self._lanes[lane].words else 0
        return float(max(high + words, 2 * look.px(LINE)) + look.px(12))

    # -- by hand -------------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show what a click would select."""
        self._hover = self.lane_at(event.position())
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._hover = -1
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select a lane."""
        lane = self.lane_at(event.position())
        if lane >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.set_selected(lane)
            self.clicked.emit(lane)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down select, Return clicks, Delete removes."""
        key = Qt.Key(event.key())
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(key)
        if step is not None and self._lanes:
            self.set_selected(min(max(self._selected + step, 0), len(self._lanes) - 1))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._selected >= 0:
            self.clicked.emit(self._selected)
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self._selected >= 0:
            self.removed.emit(self._selected)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """The tooltip tells a lane in full."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            lane = self.lane_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.told(lane) if lane >= 0 else "", self)
            return True
        return super().event(event)

    def told(self, lane: int) -> str:
        """A lane in words."""
        shown = self._lanes[lane]
        parts = [f"{shown.name}: {shown.note}" if shown.note else shown.name]
        if shown.evaluations:
            parts.append(f"{shown.evaluations} network evaluations a sample")
        if math.isfinite(shown.seconds):
            parts.append(f"{number(float(f'{shown.seconds:.3g}'))} s")
        if math.isfinite(shown.error):
            parts.append(f"root mean square distance from the reference {shown.error:.3g}")
        return ", ".join([*parts, *([shown.why] if shown.why else [])])

    # -- painting ------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Heads, then the lanes."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        font, ink = look.font("caption"), look.colour("text2")
        head = look.px(HEAD)
        draw_text(painter, QRectF(look.px(22), 0, look.px(NAME), head), "Sampler", font, ink)
        left = float(look.px(NAME))
        for words, wide in COLUMNS:
            draw_text(painter, QRectF(left, 0, look.px(wide), head), words, font, ink, _RIGHT)
            left += look.px(wide)
        words = "Results from the same noise"
        if self._differences and self._peak:
            words = f"Results, and differences up to {self._peak} of 255"
        draw_text(painter, QRectF(self._left(), 0, self.width() - self._left(), head), words, font, ink)
        for place, lane in enumerate(self._lanes):
            self._paint_lane(painter, place, lane)
        if self.hasFocus() and self._selected < 0:
            focus_ring(painter, QRectF(self.rect()))

    def _paint_lane(self, painter: QPainter, place: int, lane: Lane) -> None:
        look, row = theme.current(), self.row(place)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QPointF(0, row.top() + 0.5), QPointF(self.width(), row.top() + 0.5))
        if place in (self._selected, self._hover):
            shade = look.colour("accentbg" if place == self._selected else "bg2")
            plain_rounded(painter, row.adjusted(0, 2, 0, -1), shade, 4)
            if place == self._selected:
                painter.fillRect(QRectF(row.left(), row.top() + 2, 3, row.height() - 3), look.colour("accent"))
        self._paint_name(painter, row, lane)
        if self._planar:
            self._paint_points(painter, row, lane)
        else:
            self._paint_pictures(painter, place, lane)
        if self.hasFocus() and place == self._selected:
            focus_ring(painter, row.adjusted(0, 1, 0, 0), 4)

    def _paint_name(self, painter: QPainter, row: QRectF, lane: Lane) -> None:
        look, line = theme.current(), theme.current().px(LINE)
        middle = min(row.center().y(), row.top() + look.px(6) + self._result_height() / 2)
        if lane.colour:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.line_colour(lane.colour))
            painter.drawEllipse(QPointF(look.px(12), middle - line / 2), look.px(4), look.px(4))
        box = QRectF(look.px(22), middle - line, look.px(NAME) - look.px(22), line)
        draw_text(painter, box, lane.name, look.font("secondary", strong=True), look.colour("text"))
        draw_text(painter, box.translated(0, line), lane.note, look.font("caption"), look.colour("text2"))
        left = float(look.px(NAME))
        figures = (
            f"{lane.evaluations:,}" if lane.evaluations else "",
            _three(lane.seconds) if math.isfinite(lane.seconds) else "",
            _three(lane.error) if math.isfinite(lane.error) else "",
        )
        for (title, wide), words in zip(COLUMNS, figures, strict=True):
            box = QRectF(left, middle - line / 2, look.px(wide), line)
            font, ink = look.figures(), look.colour("text")
            if lane.best and title == "Error":  # a tick besides the colour
                ink = look.colour("good")
                words = f"\N{CHECK MARK} {words}"
            draw_text(painter, box, words, font, ink, _RIGHT)
            left += look.px(wide)
        if not figures[2] and lane.why:
            wide = look.px(COLUMNS[2][1])
            box = QRectF(left - wide, middle - line / 2, wide, line)
            draw_text(painter, box, lane.why, look.font("caption"), look.colour("text2"), _RIGHT)

    def _result_height(self) -> float:
        if self._planar:
            return float(theme.current().px(PLANE))
        return self._side() * self._shape.height() / self._shape.width()

    def _paint_pictures(self, painter: QPainter, place: int, lane: Lane) -> None:
        look = theme.current()
        sheet = self._sheets[place] if place < len(self._sheets) else None
        if sheet is None:
            box = QRectF(self._left(), self.row(place).top(), self.width() - self._left(), self.row(place).height())
            draw_text(
                painter,
                box,
                "Followed last" if lane.reference else "Waiting for its turn",
                look.font("caption"),
                look.colour("text2"),
            )
            return
        shaded = self._maps[place] if self._differences else None
        for sample in range(len(lane.results if lane.results is not None else ())):
            cell = self.cell(place, sample)
            if cell.right() > self.width() + 1:
                break
            source = QRect(0, sample * self._shape.height(), self._shape.width(), self._shape.height())
            target = fitted(self._shape, cell, self.devicePixelRatioF(), whole=False)
            draw_picture(painter, target, sheet, source, smooth=self._shape.width() > 12)
            below = cell.bottom()
            if shaded is not None:
                under = target.translated(0, cell.height() + GAP)
                draw_picture(painter, under, shaded, source, smooth=self._shape.width() > 12)
                below += cell.height() + GAP
            if sample < len(lane.words):
                box = QRectF(cell.left(), below + 1, cell.width(), look.px(LINE))
                draw_text(painter, box, lane.words[sample], look.font("caption"), look.colour("text2"), _CENTRE)

    def _paint_points(self, painter: QPainter, row: QRectF, lane: Lane) -> None:
        """A plane with the results, joined to the reference; beside it how far each is off, the farthest first."""
        look = theme.current()
        side = float(look.px(PLANE))
        plane = QRectF(self._left(), row.top() + look.px(6), side, side)
        plain_rounded(painter, plane, look.colour("bg2"), 4)
        if lane.results is None:
            return
        reference = next((n.results for n in self._lanes if n.reference and n.results is not None), None)
        points = [self._in_plane(plane, p) for p in lane.results]
        painter.save()
        painter.setClipRect(plane)
        if reference is not None and not lane.reference:
            painter.setPen(QPen(look.colour("text2", 0.6), 1))
            for at, true in zip(points, reference, strict=False):
                painter.drawLine(at, self._in_plane(plane, true))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.line_colour(lane.colour) if lane.colour else look.colour("text2"))
        for at in points:
            painter.drawEllipse(at, 2.0, 2.0)
        painter.restore()
        if lane.difference is not None and len(lane.difference) and not lane.reference:
            beside = QRectF(plane.right() + look.px(16), plane.top(), self.width() - plane.right() - look.px(24), side)
            self._paint_distances(painter, beside, np.sort(np.asarray(lane.difference, float))[::-1], lane)

    def _paint_distances(self, painter: QPainter, box: QRectF, far: npt.NDArray[np.float64], lane: Lane) -> None:
        look = theme.current()
        every = [np.asarray(n.difference, float) for n in self._lanes if n.difference is not None]
        most = max((float(np.nanmax(row)) for row in every if row.size), default=0.0) or 1.0
        if box.width() < look.px(60):
            return
        words = "Distances from the reference, sorted"
        head = QRectF(box.left(), box.top(), box.width(), look.px(LINE))
        draw_text(painter, head, words, look.font("caption"), look.colour("text2"))
        ground, high = box.bottom() - 1, box.height() - look.px(LINE) - 4
        at = np.linspace(box.left(), box.right(), len(far)) if len(far) > 1 else np.array([box.left()])
        outline = [
            QPointF(x, ground - high * value / most) for x, value in zip(at, far, strict=True) if math.isfinite(value)
        ]
        ends = [QPointF(outline[-1].x(), ground), QPointF(outline[0].x(), ground)] if outline else []
        colour = theme.line_colour(lane.colour) if lane.colour else look.colour("text2")
        painter.setPen(QPen(colour, 1.5))
        painter.drawPolyline(QPolygonF(outline))
        colour.setAlphaF(0.25)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([*outline, *ends]))

    def _in_plane(self, plane: QRectF, point: Results) -> QPointF:
        x, y = float(point[0]) / self._reach, float(point[1]) / self._reach
        return QPointF(plane.center().x() + x * plane.width() / 2, plane.center().y() - y * plane.height() / 2)

    def _print(self) -> None:
        for sheet in self._sheets:
            if sheet is not None:
                print_in_theme(sheet)
        self.update()

    def _describe(self) -> None:
        lane = self._selected
        every = "; ".join(self.told(n) for n in range(len(self._lanes)))
        self.setAccessibleDescription(self.told(lane) if lane >= 0 else every)


def _sheet(pictures: Results | None, peak: int = 0) -> QImage | None:
    """A batch as one image, a picture under the other; differences in colours, the brightest at `peak`."""
    if pictures is None or not len(pictures):
        return None
    if peak:
        pictures = np.asarray(np.minimum(pictures.astype(np.float32) * (255.0 / peak), 255.0), np.uint8)
    image = to_image(np.ascontiguousarray(pictures).reshape(len(pictures) * pictures.shape[1], *pictures.shape[2:]))
    if peak and image.format() == QImage.Format.Format_Indexed8:
        image.setColorTable(theme.colour_table(theme.sequential("magma")))
    return image


def _three(value: float) -> str:
    return number(float(f"{value:.3g}"))
