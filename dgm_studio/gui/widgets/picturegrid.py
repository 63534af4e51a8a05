"""Many pictures at once: one image in memory, drawn once for each size and theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import (
    Picture,
    draw_picture,
    draw_text,
    focus_ring,
    follow_theme,
    print_in_theme,
    to_image,
)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the pictures are, in logical pixels."""

    rows: int
    columns: int
    left: float
    top: float
    width: float
    height: float
    pitch_x: float
    pitch_y: float


class PictureGrid(QWidget):
    """A batch of pictures in rows and columns, scaled to fit.

    Args:
        name: What the pictures are ("Samples").
        columns: Fixed number of columns, or 0 to choose the one that makes pictures largest.
        gap: Space between pictures in logical pixels.
        smooth: Interpolate when enlarging.

    Signals:
        clicked(int): This picture was clicked, or chosen with Return.
        hovered(int): The mouse is over this picture, -1 for none.
        selected(int): Arrows or a click moved the selection.
    """

    clicked = Signal(int)
    hovered = Signal(int)
    selected = Signal(int)

    def __init__(
        self, name: str, parent: QWidget | None = None, *, columns: int = 0, gap: int = 4, smooth: bool = False
    ) -> None:
        super().__init__(parent)
        self._columns, self._gap, self._smooth = columns, gap, smooth
        self._sheet: QImage | None = None
        self._count, self._cell = 0, QSize(1, 1)
        self._captions: tuple[str, ...] = ()
        self._headings: tuple[str, ...] = ()
        self._layout: _Layout | None = None
        self._layout_key: tuple[object, ...] = ()
        self._cache: QPixmap | None = None
        self._cache_key: tuple[object, ...] = ()
        self._selection, self._hover = -1, -1
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_pictures(
        self, pictures: Picture | None, captions: Sequence[str] = (), headings: Sequence[str] = (), columns: int = -1
    ) -> None:
        """Show another batch.

        Args:
            pictures: uint8 [N, H, W] or [N, H, W, 3], or None.
            captions: A line under each picture, or nothing.
            headings: A word before each row, or nothing.
            columns: As in the constructor; -1 keeps it.

        Raises:
            ValueError: Another type or shape.
        """
        self._columns = self._columns if columns < 0 else columns
        self._captions, self._headings = tuple(captions), tuple(headings)
        self._count = 0 if pictures is None else len(pictures)
        self._sheet = None
        if pictures is not None and self._count:
            self._cell = QSize(pictures.shape[2], pictures.shape[1])
            # one column: the batch as it lies in memory is the sheet, nothing is copied twice
            self._sheet = to_image(pictures.reshape(self._count * pictures.shape[1], *pictures.shape[2:]))
        self._selection = min(self._selection, self._count - 1)
        self._cache, self._layout = None, None
        self.update()

    def count(self) -> int:
        """How many pictures there are."""
        return self._count

    def selection(self) -> int:
        """The selected picture, -1 for none."""
        return self._selection

    def set_selection(self, index: int) -> None:
        """Select without a signal; -1 selects none."""
        self._selection = index if 0 <= index < self._count else -1
        self.update()

    def shape(self) -> tuple[int, int]:
        """Rows and columns as they are laid out now."""
        if not self._count:
            return 0, 0
        layout = self._layout_now()
        return layout.rows, layout.columns

    def cell_rect(self, index: int) -> QRectF:
        """Where a picture is drawn, in logical pixels on whole device pixels."""
        if not 0 <= index < self._count:
            return QRectF()
        layout, ratio = self._layout_now(), self.devicePixelRatioF()
        row, column = divmod(index, layout.columns)
        x, y = layout.left + column * layout.pitch_x, layout.top + row * layout.pitch_y
        across, down = round(layout.width * ratio), round(layout.height * ratio)
        return QRectF(round(x * ratio) / ratio, round(y * ratio) / ratio, across / ratio, down / ratio)

    def index_at(self, point: QPointF) -> int:
        """Which picture is under a point, -1 for none."""
        if not self._count:
            return -1
        layout = self._layout_now()
        column = math.floor((point.x() - layout.left) / layout.pitch_x)
        row = math.floor((point.y() - layout.top) / layout.pitch_y)
        index = row * layout.columns + column
        inside = 0 <= column < layout.columns and row >= 0 and index < self._count
        return index if inside and self.cell_rect(index).contains(point) else -1

    def sizeHint(self) -> QSize:
        """A palm."""
        return QSize(320, 240)

    def minimumSizeHint(self) -> QSize:
        """Still useful."""
        return QSize(80, 60)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell what is under the mouse."""
        self._set_hover(self.index_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._set_hover(-1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select and click."""
        index = self.index_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and index >= 0:
            self._select(index)
            self.clicked.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the selection, Return clicks it, Home and End go to the ends."""
        columns = max(1, self.shape()[1])
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -columns,
            Qt.Key.Key_Down: columns,
            Qt.Key.Key_Home: -self._selection,
            Qt.Key.Key_End: self._count - 1 - self._selection,
        }
        key = Qt.Key(event.key())
        if key in steps and self._count:
            target = self._selection + steps[key] if self._selection >= 0 else 0
            if 0 <= target < self._count:
                self._select(target)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._selection >= 0:
            self.clicked.emit(self._selection)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """The tooltip is the caption of the picture under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.index_at(QPointF(event.pos()))
            words = self._captions[index] if 0 <= index < len(self._captions) else ""
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The cached sheet, then hover and selection."""
        painter = QPainter(self)
        if self._sheet is not None:
            painter.drawPixmap(0, 0, self._composed())
        look = theme.current()
        for index, token, width in ((self._hover, "text2", 1.0), (self._selection, "accent", 2.0)):
            if index >= 0:
                painter.setPen(QPen(look.colour(token), width))
                painter.drawRect(self.cell_rect(index).adjusted(-1, -1, 1, 1))
        if self.hasFocus() and self._selection < 0:
            focus_ring(painter, QRectF(self.rect()))

    def _composed(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        key = (self.width(), self.height(), ratio, theme.current())
        if self._cache is None or key != self._cache_key:
            self._cache = QPixmap(math.ceil(self.width() * ratio), math.ceil(self.height() * ratio))
            self._cache.setDevicePixelRatio(ratio)
            self._cache.fill(Qt.GlobalColor.transparent)
            self._cache_key = key
            painter = QPainter(self._cache)
            self._compose(painter)
            painter.end()
        return self._cache

    def _compose(self, painter: QPainter) -> None:
        assert self._sheet is not None
        look = theme.current()
        height = self._cell.height()
        for index in range(self._count):
            target = self.cell_rect(index)
            draw_picture(
                painter, target, self._sheet, QRect(0, index * height, self._cell.width(), height), smooth=self._smooth
            )
            if index < len(self._captions):
                under = QRectF(target.left(), target.bottom() + 1, target.width(), self._caption_height() - 1)
                draw_text(painter, under, self._captions[index], look.font("caption"), look.colour("text2"), _CENTRE)
        columns = self.shape()[1]
        for row, words in enumerate(self._headings):
            first = self.cell_rect(row * columns)
            beside = QRectF(0, first.top(), first.left() - 8, first.height())
            draw_text(painter, beside, words, look.font("secondary"), look.colour("text2"), _RIGHT)

    def _print(self) -> None:
        if self._sheet is not None:
            print_in_theme(self._sheet)
        self._cache = None
        self.update()

    def _layout_now(self) -> _Layout:
        """The layout of this batch at this size, worked out once."""
        look = theme.current()
        key = (self._count, self._cell, self.width(), self.height(), self.devicePixelRatioF(), look, self._columns)
        if self._layout is None or key != self._layout_key:
            self._layout, self._layout_key = self._lay_out(), key
        return self._layout

    def _lay_out(self) -> _Layout:
        columns = min(self._columns, self._count) or self._best_columns()
        rows = math.ceil(self._count / columns)
        scale = self._scale(rows, columns)
        width, height = self._cell.width() * scale, self._cell.height() * scale
        pitch_x, pitch_y = width + self._gap, height + self._caption_height() + self._gap
        heading = self._heading_width()
        left = heading + (self.width() - heading - (columns * pitch_x - self._gap)) / 2
        top = (self.height() - (rows * pitch_y - self._gap)) / 2
        return _Layout(rows, columns, left, top, width, height, pitch_x, pitch_y)

    def _best_columns(self) -> int:
        """What makes pictures largest; full rows are worth a tenth of the size."""
        every = range(1, self._count + 1)
        fits = [self._scale(math.ceil(self._count / c), c) * (1.0 if self._count % c == 0 else 0.9) for c in every]
        return int(np.argmax(fits)) + 1

    def _scale(self, rows: int, columns: int) -> float:
        """Logical pixels per picture pixel; whole device pixels when that costs less than a quarter of the size."""
        wide = self.width() - self._heading_width() - self._gap * (columns + 1)
        high = self.height() - self._gap * (rows + 1) - rows * self._caption_height()
        exact = max(min(wide / (columns * self._cell.width()), high / (rows * self._cell.height())), 1e-3)
        device = exact * self.devicePixelRatioF()
        whole = math.floor(device)
        snapped = whole if whole >= 1 and not self._smooth and whole >= 0.75 * device else device
        return snapped / self.devicePixelRatioF()

    def _caption_height(self) -> int:
        return theme.current().px(16) if self._captions else 0

    def _heading_width(self) -> int:
        return theme.current().px(84) if self._headings else 0

    def _set_hover(self, index: int) -> None:
        if index != self._hover:
            self._hover = index
            self.update()
            self.hovered.emit(index)

    def _select(self, index: int) -> None:
        if index != self._selection:
            self._selection = index
            self.setAccessibleDescription(f"picture {index + 1} of {self._count}")
            self.update()
            self.selected.emit(index)


_CENTRE = Qt.AlignmentFlag.AlignCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
