"""Frames that stay: a strip of them under the film, to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_views import tiled
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, fitted, focus_ring, follow_theme, plain_rounded

SIDE = 68
_CENTRE = Qt.AlignmentFlag.AlignCenter


@dataclass(frozen=True)
class Pinned:
    """One frame as it is drawn.

    Args:
        words: Under it.
        values: Its samples, as a `FilmView` takes them; None while it is being recorded.
    """

    words: str
    values: npt.NDArray[Any] | None


class PinStrip(QWidget):
    """Shows pinned frames in a row.

    Signals:
        chosen(int): Go to this one.
        removed(int): Take this one away.
    """

    chosen = Signal(int)
    removed = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._pins: tuple[Pinned, ...] = ()
        self._images: list[QImage | None] = []
        self._place, self._hover = 0, -1
        self.setAccessibleName("Pinned frames")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_pins(self, pins: Sequence[Pinned]) -> None:
        """Show others."""
        same = len(pins) == len(self._pins) and all(
            a.words == b.words and a.values is b.values for a, b in zip(pins, self._pins, strict=True)
        )
        self._pins = tuple(pins)
        self.setAccessibleDescription("; ".join(pin.words for pin in pins))
        if not same:
            self._print()

    def count(self) -> int:
        """How many there are."""
        return len(self._pins)

    def sizeHint(self) -> QSize:
        """Pictures with their words."""
        look = theme.current()
        return QSize(len(self._pins) * look.px(SIDE + 20), look.px(SIDE + 18))

    def minimumSizeHint(self) -> QSize:
        """One."""
        return QSize(theme.current().px(SIDE), self.sizeHint().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to a frame, or take it away by its cross."""
        place = self._at(event.position())
        if event.button() != Qt.MouseButton.LeftButton or place < 0:
            return
        if self._cross(place).contains(event.position()):
            self.removed.emit(place)
        else:
            self._place = place
            self.chosen.emit(place)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the cross."""
        self._set_hover(self._at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Hide it."""
        self._set_hover(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go through them, Return goes to one, Delete takes it away."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if not self._pins:
            super().keyPressEvent(event)
        elif step is not None:
            self._place = (self._place + step) % len(self._pins)
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit(min(self._place, len(self._pins) - 1))
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removed.emit(min(self._place, len(self._pins) - 1))
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Pictures, words, the cross of the one under the mouse."""
        look = theme.current()
        painter = QPainter(self)
        for place, pin in enumerate(self._pins):
            box = self._box(place)
            if box.right() > self.width() + 1:
                break
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            image = self._images[place]
            if image is not None:
                target = fitted(image.size(), box, self.devicePixelRatioF(), whole=False)
                draw_picture(painter, target, image, smooth=True)
            else:
                plain_rounded(painter, box, look.colour("bg2"), 4)
                draw_text(painter, box, "\N{HORIZONTAL ELLIPSIS}", look.font(), look.colour("text2"), _CENTRE)
            under = QRectF(box.left() - 8, box.bottom() + 1, box.width() + 16, look.px(15))
            draw_text(painter, under, pin.words, look.font("caption"), look.colour("text2"), _CENTRE)
            if place == self._hover or (self.hasFocus() and place == self._place):
                self._paint_hover(painter, place)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_hover(self, painter: QPainter, place: int) -> None:
        look, cross = theme.current(), self._cross(place)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.colour("text2"), 1))
        painter.drawRect(self._box(place))
        plain_rounded(painter, cross, look.colour("bg1", 0.9), cross.height() / 2)
        painter.setPen(QPen(look.colour("text"), 1.5))
        centre, arm = cross.center(), look.px(3.5)
        painter.drawLine(centre + QPointF(-arm, -arm), centre + QPointF(arm, arm))
        painter.drawLine(centre + QPointF(-arm, arm), centre + QPointF(arm, -arm))

    def _box(self, place: int) -> QRectF:
        look = theme.current()
        return QRectF(10 + place * look.px(SIDE + 20), 1, look.px(SIDE), look.px(SIDE))

    def _cross(self, place: int) -> QRectF:
        side = theme.current().px(18)
        box = self._box(place)
        return QRectF(box.right() - side - 2, box.top() + 2, side, side)

    def _at(self, point: QPointF) -> int:
        return next((n for n in range(len(self._pins)) if self._box(n).contains(point)), -1)

    def _set_hover(self, place: int) -> None:
        if place != self._hover:
            self._hover = place
            self.update()

    def _print(self) -> None:
        self._images = [_image(pin.values) for pin in self._pins]
        self.updateGeometry()
        self.update()


def _image(values: npt.NDArray[Any] | None) -> QImage | None:
    if values is None or values.ndim < 3 or not len(values):
        return None
    words = tiled(values, int(np.ceil(np.sqrt(len(values)))))
    high, wide = words.shape
    return QImage(words.data, wide, high, 4 * wide, QImage.Format.Format_ARGB32_Premultiplied).copy()
