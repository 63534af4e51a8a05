"""Paper to draw a digit on, or to drop a picture on; on a colour picture ink lies in a layer of its own."""

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
from dgm_studio.gui.widgets.drawing import (
    centred,
    colour_array,
    grey_array,
    laid_over,
    layer,
    resample,
    shrunk,
    to_bytes,
)
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
_NO_PAPER = QColor("black")  # what a colour picture is where nothing is
_HINT = QColor("#A3ABB8")  # read on black in both themes
_UNDO = 50
_LARGEST_FILE_SIDE = 20_000
_LARGEST_READ_SIDE = 1024


class DrawCanvas(QWidget):
    """Draw with the left button, erase with the right one (or with `set_erasing`); drop an image file.

    Args:
        name: What is drawn ("A digit of your own").
        height: Of the result in pixels.
        width: Of the result in pixels.
        colour: The model wants colour: files keep theirs and strokes lie over them, in the colour of `set_ink`; rubbing
            out takes strokes away and leaves the file. Alt and a click take up the colour under the mouse.

    Signals:
        changed(): The drawing is another one (after every stroke segment).
        finished(): A stroke, a drop, an undo or a clear is over: a good time to encode.
        refused(str): A dropped file cannot be used, and why.
        picked(object): A colour was taken up from the picture, a QColor.
    """

    changed = Signal()
    finished = Signal()
    refused = Signal(str)
    picked = Signal(object)

    def __init__(
        self, name: str, height: int = 28, width: int = 28, parent: QWidget | None = None, *, colour: bool = False
    ) -> None:
        super().__init__(parent)
        self._shape = (height, width)
        self._colour = colour
        self._brush, self._erasing, self._centre = 1.6, False, not colour
        kind = QImage.Format.Format_ARGB32_Premultiplied if colour else QImage.Format.Format_Grayscale8
        self._sheet = QImage(width * _FINE, height * _FINE, kind)
        self._sheet.fill(0)
        self._ink_colour = QColor("white")
        self._small: Picture | None = None  # the result, until something is drawn
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
        if self._small is None:
            self._small = self._in_colour() if self._colour else self._in_grey()
        return self._small.copy()

    def empty(self) -> bool:
        """Whether nothing has been drawn or dropped."""
        return self._file is None and not layer(self._sheet).any()

    def ink(self) -> QColor:
        """The colour of strokes on a colour picture."""
        return QColor(self._ink_colour)

    def set_ink(self, colour: QColor) -> None:
        """What strokes on a colour picture are drawn with."""
        self._ink_colour = QColor(colour)

    def set_brush(self, size: float) -> None:
        """Radius of the brush in pixels of the result."""
        self._brush = size
        self.update()

    def set_erasing(self, erasing: bool) -> None:
        """Whether the left button rubs out."""
        self._erasing = erasing

    def set_centring(self, centre: bool) -> None:
        """Whether the ink is scaled and centred as MNIST's digits are."""
        self._centre, self._small = centre, None
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
        if self._colour:
            self._sheet.fill(0)
            self._file = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
        else:
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
        if self._colour and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self._pick(event.position())
            return
        self._remember()
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
        if self._colour:
            self._paint_colours(painter, target)
        else:
            draw_picture(painter, target, self._printed(), smooth=True)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(target.adjusted(-0.5, -0.5, 0.5, 0.5), 4, 4)
        if self.empty() and self._last is None:
            centre = Qt.AlignmentFlag.AlignCenter
            hint = _HINT if self._colour else look.colour("text2")
            draw_text(painter, target, "Draw here, or drop a picture", look.font("secondary"), hint, centre)
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
        tone = QColor(self._ink_colour) if self._colour else QColor(*(3 * [0 if self._rubbing else 255]))
        if self._colour and self._rubbing:
            painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationOut)
        shades = []
        for alpha in (255, 235, 0):
            tone.setAlpha(alpha)
            shades.append(QColor(tone))
        painter.setPen(Qt.PenStyle.NoPen)
        stamps = max(1, round(between(start, end) / (radius * 0.25)))
        for i in range(stamps + 1):
            place = start + (end - start) * (i / stamps)
            soft = QRadialGradient(place, radius)
            for share, shade in zip((0.0, 0.6, 1.0), shades, strict=True):
                soft.setColorAt(share, shade)
            painter.setBrush(soft)
            painter.drawEllipse(place, radius, radius)
        painter.end()
        self._small = None
        self.update()
        self.changed.emit()

    def _in_grey(self) -> Picture:
        """The strokes at the model's size, [H, W]."""
        height, width = self._shape
        sheet = layer(self._sheet)
        return to_bytes(centred(sheet.astype(np.float64), height, width) if self._centre else shrunk(sheet, _FINE))

    def _in_colour(self) -> Picture:
        """The file at the model's size with the strokes over it, [H, W, 3]."""
        height, width = self._shape
        under = np.zeros((height, width, 3)) if self._file is None else resample(self._file, height, width)
        return to_bytes(laid_over(under, shrunk(layer(self._sheet), _FINE)))

    def _paint_colours(self, painter: QPainter, target: QRectF) -> None:
        painter.fillRect(target, _NO_PAPER)
        if self._file is not None:
            draw_picture(painter, target, to_image(self._file), smooth=True)
        draw_picture(painter, target, self._sheet, smooth=True)

    def _pick(self, point: QPointF) -> None:
        """Take up the colour under the mouse."""
        place = self._to_sheet(point) / _FINE
        height, width = self._shape
        row, column = (min(max(int(v), 0), most - 1) for v, most in ((place.y(), height), (place.x(), width)))
        self.set_ink(QColor(*self.picture()[row, column].tolist()))
        self.picked.emit(self.ink())

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
        self._small = None
        self.update()
        self.changed.emit()
        self.finished.emit()
