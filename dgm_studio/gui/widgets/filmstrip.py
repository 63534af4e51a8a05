"""A strip of frames from A to B that can be scrubbed."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

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


class FilmStrip(QWidget):
    """Frames side by side; where they do not all fit, evenly spaced ones stand for the rest.

    Args:
        name: What the frames are ("Interpolation").
        ends: Letters at the two ends, or ("", "").

    Signals:
        scrubbed(int): The hand moved to this frame.
        pressed(), released(): Around a drag.
        key(int): A key the strip has no use for (hand it to a `Transport`).
    """

    scrubbed = Signal(int)
    pressed = Signal()
    released = Signal()
    key = Signal(int)

    def __init__(
        self, name: str, parent: QWidget | None = None, *, ends: tuple[str, str] = ("A", "B"), gap: int = 4
    ) -> None:
        super().__init__(parent)
        self._sheet: QImage | None = None
        self._count, self._cell, self._index = 0, QSize(1, 1), 0
        self._ends, self._gap = ends, gap
        self._dragging = False
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_frames(self, frames: Picture | None) -> None:
        """Show other frames: uint8 [N, H, W] or [N, H, W, 3], or none.

        Raises:
            ValueError: Another type or shape.
        """
        self._count = 0 if frames is None else len(frames)
        self._sheet = None
        if frames is not None and self._count:
            self._cell = QSize(frames.shape[2], frames.shape[1])
            self._sheet = to_image(frames.reshape(self._count * frames.shape[1], *frames.shape[2:]))
        self.set_index(self._index)

    def set_ends(self, first: str, last: str) -> None:
        """Change the letters at the two ends."""
        self._ends = (first, last)
        self.update()

    def count(self) -> int:
        """How many frames there are."""
        return self._count

    def index(self) -> int:
        """The frame under the mark."""
        return self._index

    def set_index(self, index: int) -> None:
        """Move the mark without a signal."""
        self._index = min(max(index, 0), max(0, self._count - 1))
        self.setAccessibleDescription(f"frame {self._index + 1} of {self._count}")
        self.update()

    def shown(self) -> list[int]:
        """Which frames have a picture on the strip."""
        room = self._room()
        fits = max(1, math.floor((room.width() + self._gap) / (self._frame_width() + self._gap)))
        if self._count <= fits:
            return list(range(self._count))
        return [int(i) for i in np.rint(np.linspace(0, self._count - 1, fits))]

    def frame_at(self, x: float) -> int:
        """Which frame a horizontal position stands for."""
        strip = self._strip()
        share = (x - strip.left()) / max(1.0, strip.width())
        return min(max(math.floor(share * self._count), 0), max(0, self._count - 1))

    def sizeHint(self) -> QSize:
        """One frame high."""
        return QSize(480, theme.current().px(48))

    def minimumSizeHint(self) -> QSize:
        """Two frames and the letters."""
        return QSize(theme.current().px(140), theme.current().px(48))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start to scrub."""
        if event.button() == Qt.MouseButton.LeftButton and self._count:
            self._dragging = True
            self.pressed.emit()
            self._scrub(self.frame_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        if self._dragging:
            self._scrub(self.frame_at(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._dragging:
            self._dragging = False
            self.released.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """One frame for each notch."""
        self._scrub(self._index + (1 if event.angleDelta().y() < 0 else -1))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Everything goes to whoever listens, Tab excepted."""
        if event.key() in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab):
            super().keyPressEvent(event)
        else:
            self.key.emit(event.key())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Frames, letters, mark."""
        look = theme.current()
        painter = QPainter(self)
        if self._sheet is not None:
            self._paint_frames(painter, self._sheet)
        room = self._room()
        for words, left in ((self._ends[0], 0.0), (self._ends[1], self._strip().right() + 6)):
            if words:
                box = QRectF(left, 0, room.left(), self.height())
                draw_text(painter, box, words, look.figures(), look.colour("text2"))
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_frames(self, painter: QPainter, sheet: QImage) -> None:
        strip, shown = self._strip(), self.shown()
        width, height = self._frame_width(), self._frame_height()
        top = (self.height() - height) / 2
        for place, index in enumerate(shown):
            target = QRectF(strip.left() + place * (width + self._gap), top, width, height)
            source = QRect(0, index * self._cell.height(), self._cell.width(), self._cell.height())
            draw_picture(painter, target, sheet, source, smooth=True)
        share = (self._index + 0.5) / self._count if len(shown) < self._count else None
        x = strip.left() + share * strip.width() if share is not None else 0.0
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.current().colour("accent"), 2))
        if share is None:
            at = strip.left() + self._index * (width + self._gap)
            painter.drawRoundedRect(QRectF(at - 1, top - 1, width + 2, height + 2), 3, 3)
        else:
            painter.drawLine(QPointF(x, top - 2), QPointF(x, top + height + 2))

    def _print(self) -> None:
        if self._sheet is not None:
            print_in_theme(self._sheet)
        self.update()

    def _frame_height(self) -> float:
        return max(8.0, self.height() - 8.0)

    def _frame_width(self) -> float:
        return self._frame_height() * self._cell.width() / self._cell.height()

    def _room(self) -> QRectF:
        side = theme.current().px(20) if any(self._ends) else 2
        return QRectF(side, 0, max(1, self.width() - 2 * side), self.height())

    def _strip(self) -> QRectF:
        room, shown = self._room(), len(self.shown())
        width = shown * self._frame_width() + max(0, shown - 1) * self._gap
        return QRectF(room.left(), 0, min(max(width, 1.0), room.width()), self.height())

    def _scrub(self, index: int) -> None:
        target = min(max(index, 0), max(0, self._count - 1))
        if target != self._index:
            self.set_index(target)
            self.scrubbed.emit(target)
