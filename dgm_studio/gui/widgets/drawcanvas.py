"""Paper to draw a digit on, or to drop a picture on."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDropEvent,
    QImage,
    QImageReader,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QRadialGradient,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.drawing import centred, colour_array, grey_array, resample, to_bytes
from dgm_studio.gui.widgets.painting import (
    Picture,
    between,
    draw_picture,
    draw_text,
    fitted,
    focus_ring,
    follow_theme,
    print_in_theme,
    to_image,
)

_FINE = 10
_UNDO = 50
_LARGEST_FILE_SIDE = 20_000
_LARGEST_READ_SIDE = 1024


class DrawCanvas(QWidget):
    """Draw with the left button, erase with the right one (or with `set_erasing`); drop an image file.

    Args:
        name: What is drawn ("A digit of your own").
        height: Of the result in pixels.
        width: Of the result in pixels.
        colour: The model wants colour: dropped files keep theirs, strokes are grey.

    Signals:
        changed(): The drawing is another one (after every stroke segment).
        finished(): A stroke, a drop, an undo or a clear is over: a good time to encode.
        refused(str): A dropped file cannot be used, and why.
    """

    changed = Signal()
    finished = Signal()
    refused = Signal(str)

    def __init__(
        self, name: str, height: int = 28, width: int = 28, parent: QWidget | None = None, *, colour: bool = False
    ) -> None:
        super().__init__(parent)
        self._shape = (height, width)
        self._colour = colour
        self._brush, self._erasing, self._centre = 1.6, False, not colour
        self._sheet = QImage(width * _FINE, height * _FINE, QImage.Format.Format_Grayscale8)
        self._sheet.fill(0)
        self._file: Picture | None = None
        self._past: list[tuple[QImage, Picture | None]] = []
        self._last: QPointF | None = None
        self._rubbing = False
        self._hover: QPointF | None = None
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAcceptDrops(True)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)

    def picture(self) -> Picture:
        """The drawing at the model's size: uint8 [H, W] (ink 255), or [H, W, 3] where the model wants colour."""
        height, width = self._shape
        if self._file is not None and self._file.ndim == 3:
            return to_bytes(resample(self._file, height, width))
        ink = self._ink()
        small = centred(ink, height, width) if self._centre else resample(ink, height, width)
        grey = to_bytes(small)
        return np.repeat(grey[:, :, None], 3, axis=2) if self._colour else grey

    def empty(self) -> bool:
        """Whether nothing has been drawn or dropped."""
        return self._file is None and not self._ink().any()

    def set_brush(self, size: float) -> None:
        """Radius of the brush in pixels of the result."""
        self._brush = size
        self.update()

    def set_erasing(self, erasing: bool) -> None:
        """Whether the left button rubs out."""
        self._erasing = erasing

    def set_centring(self, centre: bool) -> None:
        """Whether the ink is scaled and centred as MNIST's digits are."""
        self._centre = centre
        self.finished.emit()

    def clear(self) -> None:
        """A fresh sheet; can be undone."""
        self._remember()
        self._sheet.fill(0)
        self._file = None
        self._tell()

    def undo(self) -> None:
        """Take the last stroke back."""
        if self._past:
            self._sheet, self._file = self._past.pop()
            self._tell()

    def load(self, path: str) -> None:
        """Take a picture from a file; a file that cannot be used is `refused`."""
        reader = QImageReader(path)
        reader.setAutoTransform(True)
        size = reader.size()
        if size.isValid() and max(size.width(), size.height()) > _LARGEST_FILE_SIDE:
            self.refused.emit(f"The picture is {size.width()} by {size.height()} pixels, too large to open here.")
            return
        if size.isValid() and max(size.width(), size.height()) > _LARGEST_READ_SIDE:
            reader.setScaledSize(
                size.scaled(_LARGEST_READ_SIDE, _LARGEST_READ_SIDE, Qt.AspectRatioMode.KeepAspectRatio)
            )
        image = reader.read()
        if image.isNull():
            self.refused.emit(f"The file is not a picture that can be read ({reader.errorString()}).")
            return
        self.set_picture(colour_array(image) if self._colour else grey_array(image))

    def set_picture(self, picture: Picture) -> None:
        """Put a picture on the sheet: uint8 [H, W] (ink 255) or [H, W, 3], of any size."""
        self._remember()
        self._file = picture if picture.ndim == 3 else None
        if picture.ndim == 2:
            fine = to_bytes(resample(picture, self._sheet.height(), self._sheet.width()))
            grey = QImage(fine.data, fine.shape[1], fine.shape[0], fine.shape[1], QImage.Format.Format_Grayscale8)
            self._sheet = grey.copy()
        self._tell()

    def sizeHint(self) -> QSize:
        """A palm."""
        return QSize(224, 224)

    def minimumSizeHint(self) -> QSize:
        """Room for a finger."""
        return QSize(112, 112)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a stroke."""
        if event.button() not in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton):
            return
        self._remember()
        self._file = None
        self._rubbing = self._erasing or event.button() == Qt.MouseButton.RightButton
        self._last = self._to_sheet(event.position())
        self._stroke(self._last, self._last)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with the stroke, and show the brush."""
        self._hover = event.position()
        here = self._to_sheet(event.position())
        if self._last is not None:
            self._stroke(self._last, here)
            self._last = here
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the stroke."""
        if self._last is not None:
            self._last = None
            self.finished.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete clears, Ctrl+Z takes back, E rubs out, brackets change the brush."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.clear()
        elif event.key() == Qt.Key.Key_Z and event.modifiers() & Qt.KeyboardModifier.ControlModifier and self._past:
            self.undo()
        elif event.key() == Qt.Key.Key_E:
            self.set_erasing(not self._erasing)
        elif event.key() == Qt.Key.Key_BracketLeft:
            self.set_brush(max(0.5, self._brush / 1.2))
        elif event.key() == Qt.Key.Key_BracketRight:
            self.set_brush(min(8.0, self._brush * 1.2))
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and pictures."""
        if event.mimeData().hasUrls() or event.mimeData().hasImage():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Read what was dropped."""
        local = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if local:
            event.acceptProposedAction()
            self.load(local[0])

    def paintEvent(self, event: QPaintEvent) -> None:
        """The sheet in the theme's ink, the brush, a hint while it is empty."""
        look = theme.current()
        painter = QPainter(self)
        target = self._target()
        image = to_image(self._file) if self._file is not None else self._printed()
        draw_picture(painter, target, image, smooth=True)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(target.adjusted(-0.5, -0.5, 0.5, 0.5), 4, 4)
        if self.empty() and self._last is None:
            centre = Qt.AlignmentFlag.AlignCenter
            draw_text(
                painter, target, "Draw here, or drop a picture", look.font("secondary"), look.colour("text2"), centre
            )
        if self._hover is not None and self.underMouse():
            radius = self._brush * target.width() / self._shape[1]
            painter.setPen(QPen(look.colour("accent"), 1))
            painter.drawEllipse(self._hover, radius, radius)
        if self.hasFocus():
            focus_ring(painter, target.adjusted(-3, -3, 3, 3))

    def _stroke(self, start: QPointF, end: QPointF) -> None:
        """Stamp soft discs close enough that they run into one line."""
        painter = QPainter(self._sheet)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        radius = self._brush * _FINE
        tone = 0 if self._rubbing else 255
        painter.setPen(Qt.PenStyle.NoPen)
        stamps = max(1, round(between(start, end) / (radius * 0.25)))
        for i in range(stamps + 1):
            place = start + (end - start) * (i / stamps)
            soft = QRadialGradient(place, radius)
            soft.setColorAt(0.0, QColor(tone, tone, tone, 255))
            soft.setColorAt(0.6, QColor(tone, tone, tone, 235))
            soft.setColorAt(1.0, QColor(tone, tone, tone, 0))
            painter.setBrush(soft)
            painter.drawEllipse(place, radius, radius)
        painter.end()
        self.update()
        self.changed.emit()

    def _ink(self) -> np.ndarray:
        rows = np.frombuffer(self._sheet.constBits(), dtype=np.uint8)
        return rows.reshape(self._sheet.height(), self._sheet.bytesPerLine())[:, : self._sheet.width()].astype(
            np.float64
        )

    def _printed(self) -> QImage:
        image = QImage(
            self._sheet.constBits(),
            self._sheet.width(),
            self._sheet.height(),
            self._sheet.bytesPerLine(),
            QImage.Format.Format_Indexed8,
        ).copy()
        return print_in_theme(image)

    def _target(self) -> QRectF:
        room = QRectF(self.rect()).adjusted(4, 4, -4, -4)
        return fitted(self._sheet.size(), room, self.devicePixelRatioF(), whole=False)

    def _to_sheet(self, point: QPointF) -> QPointF:
        target = self._target()
        return (point - target.topLeft()) * (self._sheet.width() / target.width())

    def _remember(self) -> None:
        self._past = [*self._past[-_UNDO + 1 :], (self._sheet.copy(), self._file)]

    def _tell(self) -> None:
        self.update()
        self.changed.emit()
        self.finished.emit()
