"""Many samples at one step as one image, composed anew for every frame of a film."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, fitted, focus_ring, follow_theme

WORTH = 0.75  # of the possible size, for which sharp pixels are kept
GAP = 0.06  # between two pictures, as a share of one
LEAST_REACH = 3.0  # half side of the plane that points are shown in: x at every level comes at one scale
Values = npt.NDArray[Any]


class FilmView(QWidget):
    """Shows [N, H, W], [N, H, W, 3] (uint8) or points [N, 2]; one sample alone when it is enlarged.

    A frame costs one look-up by numpy and one scaled blit, however many samples there are.

    Args:
        name: For screen readers.

    Signals:
        chosen(int): This sample was clicked: enlarge it, or -1, show all again.
    """

    chosen = Signal(int)

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._values: Values | None = None
        self._captions: Sequence[str] = ()
        self._note = ""
        self._sample, self._marked, self._hover = -1, -1, -1
        self._image: QImage | None = None
        self._sheet: npt.NDArray[np.uint32] = np.zeros((1, 1), np.uint32)
        self._columns = 1
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._compose)

    def show_values(self, values: Values | None, sample: int = -1, note: str = "") -> None:
        """Show another frame.

        Args:
            values: Of all samples, or None for nothing.
            sample: The one that is enlarged, -1 for all.
            note: Says in words why there is nothing.
        """
        self._values, self._note = values, note
        self._sample = sample if values is not None and sample < len(values) else -1
        self._compose()

    def set_captions(self, captions: Sequence[str]) -> None:
        """What the tooltip says of each sample."""
        self._captions = captions

    def set_marked(self, sample: int) -> None:
        """Outline a sample, -1 for none."""
        if sample != self._marked:
            self._marked = sample
            self.update()

    def count(self) -> int:
        """How many samples there are."""
        return 0 if self._values is None else len(self._values)

    def image(self) -> QImage | None:
        """The composed frame, None for points and for nothing."""
        return self._image

    def sample_at(self, point: QPointF) -> int:
        """The sample under a point, -1 for none."""
        values = self._values
        if values is None or not len(values):
            return -1
        if values.ndim == 2:
            return self._nearest(point)
        target = self._target()
        if not target.contains(point):
            return -1
        if self._sample >= 0:
            return self._sample
        rows = -(-len(values) // self._columns)
        column = min(int((point.x() - target.left()) / target.width() * self._columns), self._columns - 1)
        row = min(int((point.y() - target.top()) / target.height() * rows), rows - 1)
        index = row * self._columns + column
        return index if index < len(values) else -1

    def sizeHint(self) -> QSize:
        """A hand's width."""
        return QSize(360, 360)

    def minimumSizeHint(self) -> QSize:
        """Still recognisable."""
        return QSize(120, 120)

    def resizeEvent(self, event: Any) -> None:
        """Another number of columns may fit better."""
        super().resizeEvent(event)
        self._compose()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Enlarge a sample, or show all again."""
        index = self.sample_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and index >= 0:
            self.chosen.emit(-1 if index == self._sample else index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up what is under the mouse."""
        self._set_hover(self.sample_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._set_hover(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down go through the samples, Escape shows all; the rest is the film's."""
        step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
        if step is not None and self.count():
            self.chosen.emit((self._sample + step) % self.count() if self._sample >= 0 else 0)
        elif event.key() == Qt.Key.Key_Escape and self._sample >= 0:
            self.chosen.emit(-1)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """The tooltip tells what is known of the sample under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.sample_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.told(index), self)
            return True
        return super().event(event)

    def told(self, sample: int) -> str:
        """A sample in words."""
        if sample < 0:
            return ""
        seen = self._captions[sample] if sample < len(self._captions) else ""
        return f"Sample {sample + 1}" + (f": {seen}" if seen else "")

    def paintEvent(self, event: QPaintEvent) -> None:
        """The frame, the sample under the mouse, the one that is marked."""
        painter = QPainter(self)
        look = theme.current()
        if self._image is not None:
            target = self._target()
            scale = target.width() * self.devicePixelRatioF() / self._image.width()
            draw_picture(painter, target, self._image, smooth=scale != round(scale))
            if self._sample < 0:
                self._outline(painter, self._hover, "text2", 1.0)
                self._outline(painter, self._marked, "accent", 2.0)
        elif self._values is not None and self._values.ndim == 2:
            self._paint_points(painter)
        elif self._note:
            centre = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.setFont(look.font("secondary"))
            painter.setPen(look.colour("text2"))
            painter.drawText(QRectF(self.rect()).adjusted(24, 24, -24, -24), int(centre), self._note)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    # -- pictures ------------------------------------------------------------------------------------------------------

    def _compose(self) -> None:
        """All samples as one image with a little room between them."""
        values = self._values
        self._image = None
        if values is not None and len(values) and values.ndim >= 3:
            shown = values[self._sample : self._sample + 1] if self._sample >= 0 else values
            self._columns = self._best_columns(len(shown), *shown.shape[1:3])
            self._sheet = tiled(shown, self._columns)
            high, wide = self._sheet.shape
            self._image = QImage(self._sheet.data, wide, high, 4 * wide, QImage.Format.Format_ARGB32_Premultiplied)
        self.setAccessibleDescription(f"{self.count()} samples" if self._sample < 0 else self.told(self._sample))
        self.update()

    def _best_columns(self, count: int, high: int, wide: int) -> int:
        """What makes pictures largest; full rows are worth a tenth of the size."""
        width, height = max(1, self.width()), max(1, self.height())

        def size(columns: int) -> float:
            rows = -(-count // columns)
            return min(width / (columns * wide), height / (rows * high)) * (1.0 if count % columns == 0 else 0.9)

        return max(range(1, count + 1), key=size)

    def _target(self) -> QRectF:
        if self._image is None:
            return QRectF()
        ratio = self.devicePixelRatioF()
        exact = fitted(self._image.size(), QRectF(self.rect()), ratio, whole=False)
        sharp = fitted(self._image.size(), QRectF(self.rect()), ratio, whole=True)
        return sharp if sharp.width() >= WORTH * exact.width() else exact

    def _cell(self, index: int) -> QRectF:
        assert self._values is not None and self._image is not None
        target = self._target()
        scale = target.width() / self._image.width()
        high, wide = self._values.shape[1:3]
        gap = gap_of(wide)
        row, column = divmod(index, self._columns)
        left, top = column * (wide + gap) * scale, row * (high + gap) * scale
        return QRectF(target.left() + left, target.top() + top, wide * scale, high * scale)

    def _outline(self, painter: QPainter, index: int, token: str, width: float) -> None:
        if 0 <= index < self.count():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.current().colour(token), width))
            painter.drawRect(self._cell(index).adjusted(-1, -1, 1, 1))

    # -- points --------------------------------------------------------------------------------------------------------

    def _plane(self) -> QRectF:
        side = min(self.width(), self.height()) - 2.0
        return QRectF((self.width() - side) / 2, (self.height() - side) / 2, side, side)

    def _reach(self) -> float:
        assert self._values is not None
        finite = np.abs(self._values[np.isfinite(self._values)])
        return max(LEAST_REACH, 1.1 * float(np.quantile(finite, 0.99))) if finite.size else LEAST_REACH

    def _places(self) -> npt.NDArray[np.float64]:
        assert self._values is not None
        plane = self._plane()
        scaled = np.nan_to_num(self._values.astype(float)) / self._reach() * plane.width() / 2
        return np.stack([plane.center().x() + scaled[:, 0], plane.center().y() - scaled[:, 1]], 1)

    def _nearest(self, point: QPointF) -> int:
        apart = np.hypot(*(self._places() - (point.x(), point.y())).T)
        nearest = int(apart.argmin())
        return nearest if apart[nearest] <= theme.current().px(12) else -1

    def _paint_points(self, painter: QPainter) -> None:
        look, plane = theme.current(), self._plane()
        painter.fillRect(plane, look.colour("bg0"))
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QPointF(plane.left(), plane.center().y()), QPointF(plane.right(), plane.center().y()))
        painter.drawLine(QPointF(plane.center().x(), plane.top()), QPointF(plane.center().x(), plane.bottom()))
        corner = plane.adjusted(8, 4, -8, -4)
        low = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
        draw_text(painter, corner, f"\N{PLUS-MINUS SIGN}{self._reach():.3g}", look.figures(), look.colour("text2"), low)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(plane)
        places = self._places()
        pen = QPen(look.colour("accent"), look.px(5))
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        painter.drawPoints(QPolygonF([QPointF(x, y) for x, y in places]))
        for index, token in ((self._hover, "text2"), (max(self._sample, self._marked), "live")):
            if 0 <= index < len(places):
                painter.setPen(QPen(look.colour(token), 2))
                painter.drawEllipse(QPointF(*places[index]), look.px(7), look.px(7))

    def _set_hover(self, index: int) -> None:
        if index != self._hover:
            self._hover = index
            self.update()


def gap_of(wide: int) -> int:
    """Pixels between two pictures."""
    return max(1, round(GAP * wide))


def tiled(values: npt.NDArray[np.uint8], columns: int) -> npt.NDArray[np.uint32]:
    """Pictures in rows and columns as premultiplied ARGB words; what lies between them is transparent.

    Args:
        values: [N, H, W], printed in the theme's ink, or [N, H, W, 3].
        columns: How many stand beside each other.
    """
    count, high, wide = values.shape[:3]
    rows, gap = math.ceil(count / columns), gap_of(wide)
    words = _ink()[values] if values.ndim == 3 else _packed(values)
    sheet = np.zeros((rows * (high + gap), columns * (wide + gap)), np.uint32)
    cells = sheet.reshape(rows, high + gap, columns, wide + gap)[:, :high, :, :wide].transpose(0, 2, 1, 3)
    full = count // columns
    cells[:full] = words[: full * columns].reshape(full, columns, high, wide)
    if count % columns:
        cells[full, : count % columns] = words[full * columns :]
    return np.ascontiguousarray(sheet[:-gap, :-gap])


def _ink() -> npt.NDArray[np.uint32]:
    return np.asarray(theme.current().ink_table(), np.uint32)


def _packed(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    words = np.empty((*values.shape[:3], 4), np.uint8)
    words[..., 0], words[..., 1], words[..., 2], words[..., 3] = values[..., 2], values[..., 1], values[..., 0], 255
    return words.view(np.uint32)[..., 0]
