"""The films as a tree under the time axis: a branch hangs where it leaves its parent, its result at the right end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_views import tiled
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, focus_ring, follow_theme, plain_rounded

LANE = 34


@dataclass(frozen=True)
class Lane:
    """One film as it is drawn.

    Args:
        key: Of the film.
        parent: Key of the one it branches from, "".
        words: What is different.
        start: Where it begins, in steps of the selected film's axis.
        reached: Where its recording is, likewise.
        thumb: Its result, uint8 [H, W] or [H, W, 3], a point [2], or None.
    """

    key: str
    parent: str
    words: str
    start: float
    reached: float
    thumb: npt.NDArray[Any] | None = None


class BranchTree(QWidget):
    """Chooses a film.

    Signals:
        chosen(str): The film of this key.
        thrown(str): The film of this key is not wanted any more.
        key(int): A key for whoever plays.
    """

    chosen = Signal(str)
    thrown = Signal(str)
    key = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._lanes: tuple[Lane, ...] = ()
        self._selected = ""
        self._images: dict[str, QImage] = {}
        self._x_of: Callable[[float], float] = float
        self._right, self._last = 0.0, 1.0
        self._hover = -1
        self.setAccessibleName("Branches")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_lanes(self, lanes: Sequence[Lane], selected: str, x_of: Callable[[float], float], last: float) -> None:
        """Show other films.

        Args:
            lanes: What there is, parents before their branches.
            selected: Key of the one that is played.
            x_of: Where a step of the axis is, in pixels of this widget.
            last: Step of the data.
        """
        count = len(self._lanes)
        self._lanes, self._selected, self._x_of, self._last = _ordered(lanes), selected, x_of, last
        self._print()
        if count != len(self._lanes):
            self.updateGeometry()
        self.setAccessibleDescription("; ".join(lane.words for lane in self._lanes))

    def lanes(self) -> tuple[Lane, ...]:
        """As they stand under each other."""
        return self._lanes

    def sizeHint(self) -> QSize:
        """A lane for each film."""
        return QSize(320, max(1, len(self._lanes)) * self._high())

    def minimumSizeHint(self) -> QSize:
        """All lanes: the tree stands in a scroll area."""
        return QSize(160, self.sizeHint().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Play the film under the mouse."""
        row = self._row_at(event.position().y())
        if event.button() == Qt.MouseButton.LeftButton and row >= 0:
            self.chosen.emit(self._lanes[row].key)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up the film under the mouse."""
        self._set_hover(self._row_at(event.position().y()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._set_hover(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down choose, Delete throws away; the rest is the film's."""
        rows = [lane.key for lane in self._lanes]
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is not None and rows:
            place = rows.index(self._selected) + step if self._selected in rows else 0
            self.chosen.emit(rows[min(max(place, 0), len(rows) - 1)])
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.thrown.emit(self._selected)
        elif event.key() in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab):
            super().keyPressEvent(event)
        else:
            self.key.emit(event.key())

    def event(self, event: QEvent) -> bool:
        """The tooltip tells a lane's words in full."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = self._row_at(event.pos().y())
            QToolTip.showText(event.globalPos(), self._lanes[row].words if row >= 0 else "", self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Lanes, where they hang, their results."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rows = {lane.key: row for row, lane in enumerate(self._lanes)}
        for row, lane in enumerate(self._lanes):
            self._paint_ground(painter, row, lane)
        for row, lane in enumerate(self._lanes):
            if lane.parent in rows:
                self._paint_elbow(painter, rows[lane.parent], row, lane)
        for row, lane in enumerate(self._lanes):
            self._paint_lane(painter, row, lane)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    # -- painting ------------------------------------------------------------------------------------------------------

    def _paint_ground(self, painter: QPainter, row: int, lane: Lane) -> None:
        on = lane.key == self._selected
        if on or row == self._hover:
            rect = QRectF(0, row * self._high() + 1, self.width(), self._high() - 2)
            colour = theme.current().colour("accentbg" if on else "bg2")
            plain_rounded(painter, rect, colour, theme.RADIUS_CONTROL)

    def _paint_elbow(self, painter: QPainter, above: int, row: int, lane: Lane) -> None:
        x = self._x_of(lane.start)
        painter.setPen(QPen(theme.current().colour("text2", 0.7), 1.5, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, self._line(above)), QPointF(x, self._line(row)))

    def _paint_lane(self, painter: QPainter, row: int, lane: Lane) -> None:
        look = theme.current()
        on = lane.key == self._selected
        y, left, right = self._line(row), self._x_of(lane.start), self._x_of(self._last)
        ink = look.colour("accent" if on else "text2")
        painter.setPen(QPen(look.colour("bg3"), 2))
        painter.drawLine(QPointF(left, y), QPointF(right, y))
        painter.setPen(QPen(ink, 2))
        painter.drawLine(QPointF(left, y), QPointF(max(left, self._x_of(lane.reached)), y))
        plain_rounded(painter, QRectF(left - 4, y - 4, 8, 8), ink, 4)
        self._paint_words(painter, row, lane, left, right)
        image = self._images.get(lane.key)
        if image is not None:
            side = self._high() - look.px(6)
            box = QRectF(right + look.px(10), row * self._high() + look.px(3), side, side)
            draw_picture(painter, box, image, smooth=True)
            if on:
                painter.setPen(QPen(look.colour("accent"), 1.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(box.adjusted(-1, -1, 1, 1))

    def _paint_words(self, painter: QPainter, row: int, lane: Lane, left: float, right: float) -> None:
        """Over its line; to the left of it where a late branch leaves no room."""
        look = theme.current()
        font = look.font("secondary", strong=lane.key == self._selected)
        wide = QFontMetrics(font).horizontalAdvance(lane.words) + 4
        high, y = look.px(18), self._line(row)
        ink = look.colour("text")
        if wide <= right - left - 12 or right - left > left - 8:
            box = QRectF(left + look.px(10), y - high - 1, right - left - look.px(10), high)
            draw_text(painter, box, lane.words, font, ink)
        else:
            box = QRectF(8, y - high / 2, left - look.px(20), high)
            draw_text(painter, box, lane.words, font, ink, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def _high(self) -> int:
        return theme.current().px(LANE)

    def _line(self, row: int) -> float:
        return (row + 0.66) * self._high()

    def _row_at(self, y: float) -> int:
        row = int(y // self._high())
        return row if 0 <= row < len(self._lanes) else -1

    def _set_hover(self, row: int) -> None:
        if row != self._hover:
            self._hover = row
            self.update()

    def _print(self) -> None:
        self._images = {lane.key: _thumb(lane.thumb) for lane in self._lanes if _drawn(lane.thumb)}
        self.update()


def _drawn(thumb: npt.NDArray[Any] | None) -> bool:
    return thumb is not None and thumb.ndim >= 2


def _thumb(picture: npt.NDArray[Any] | None) -> QImage:
    assert picture is not None
    words = tiled(picture[None], 1)
    high, wide = words.shape
    return QImage(words.data, wide, high, 4 * wide, QImage.Format.Format_ARGB32_Premultiplied).copy()


def _ordered(lanes: Sequence[Lane]) -> tuple[Lane, ...]:
    """Every film followed by its branches, the later ones first so that lines do not cross."""
    ordered: list[Lane] = []
    waiting = [lane for lane in lanes if not lane.parent]
    while waiting:
        lane = waiting.pop()
        ordered.append(lane)
        waiting += sorted((c for c in lanes if c.parent == lane.key), key=lambda c: c.start)
    return tuple(ordered)


def result_of(values: npt.NDArray[Any] | None, sample: int) -> npt.NDArray[Any] | None:
    """The sample that stands for a film."""
    if values is None or not len(values):
        return None
    return np.asarray(values[min(max(sample, 0), len(values) - 1)])
