"""One picture, as large as it fits, printed in the theme's ink."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import (
    Picture,
    draw_picture,
    fitted,
    focus_ring,
    follow_theme,
    print_in_theme,
    to_image,
)


class PictureView(QWidget):
    """Shows a uint8 [H, W] or [H, W, 3] array.

    Args:
        name: What the picture is, for screen readers ("Decoded picture").
        smooth: Interpolate when enlarging; otherwise every pixel is a whole number of device pixels.
        clickable: Can be focused and clicked (Return clicks too).

    Signals:
        clicked(float, float): Position in picture pixels, x to the right and y down.
    """

    clicked = Signal(float, float)

    def __init__(
        self, name: str, parent: QWidget | None = None, *, smooth: bool = False, clickable: bool = False
    ) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._smooth, self._clickable = smooth, clickable
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if clickable else Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_picture(self, picture: Picture | None) -> None:
        """Show another picture, or none.

        Raises:
            ValueError: Not a uint8 picture.
        """
        self._image = None if picture is None else to_image(picture)
        self.update()

    def image(self) -> QImage | None:
        """The picture as it is printed."""
        return self._image

    def set_smooth(self, smooth: bool) -> None:
        """Interpolate, or show the pixels as they are."""
        self._smooth = smooth
        self.update()

    def target(self) -> QRectF:
        """Where the picture is drawn, in logical pixels."""
        if self._image is None:
            return QRectF()
        return fitted(self._image.size(), QRectF(self.rect()), self.devicePixelRatioF(), whole=not self._smooth)

    def sizeHint(self) -> QSize:
        """A hand's width."""
        return QSize(196, 196)

    def minimumSizeHint(self) -> QSize:
        """Still recognisable."""
        return QSize(56, 56)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Tell which pixel was clicked."""
        place = self._to_pixels(event.position())
        if self._clickable and place is not None:
            self.clicked.emit(place.x(), place.y())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Return and space click the middle."""
        if self._clickable and self._image and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit(self._image.width() / 2, self._image.height() / 2)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture on paper."""
        painter = QPainter(self)
        if self._image is not None:
            draw_picture(painter, self.target(), self._image, smooth=self._smooth)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _print(self) -> None:
        if self._image is not None:
            print_in_theme(self._image)
        self.update()

    def _to_pixels(self, point: QPointF) -> QPointF | None:
        target = self.target()
        if self._image is None or not target.contains(point):
            return None
        scale = self._image.width() / target.width()
        return (point - target.topLeft()) * scale
