"""What the hand-painted widgets share: focus rings, elided text, and arrays turned into pictures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyleOption, QWidget

from dgm_studio.gui import theme

Picture = npt.NDArray[np.uint8]


def follow_theme(widget: QWidget) -> None:
    """Lay out and repaint `widget` whenever the theme changes."""
    theme.changed.connect(widget.updateGeometry)
    theme.changed.connect(widget.update)


def name(widget: QWidget, words: str, hint: str = "") -> None:
    """Give a widget the name screen readers say, and a tooltip (the name when no hint is given)."""
    widget.setAccessibleName(words)
    if hint:
        widget.setAccessibleDescription(hint)
    widget.setToolTip(hint or words)


def focus_ring(painter: QPainter, rect: QRectF, radius: float = theme.RADIUS_CONTROL) -> None:
    """A two-pixel accent ring just inside `rect`."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.current().colour("accent"), 2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), radius, radius)
    painter.restore()


def plain_rounded(painter: QPainter, rect: QRectF, colour: QColor, radius: float) -> None:
    """A filled rounded rectangle without an outline."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawRoundedRect(rect, radius, radius)


def draw_text(
    painter: QPainter,
    rect: QRectF,
    text: str,
    font: QFont,
    colour: QColor,
    flags: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
) -> bool:
    """Draw one line, elided where it does not fit; returns whether it had to be."""
    elided = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, max(0, math.floor(rect.width())))
    painter.setFont(font)
    painter.setPen(colour)
    painter.drawText(rect, int(flags), elided)
    return elided != text


def style_background(widget: QWidget, painter: QPainter) -> None:
    """Let the style sheet paint the background of a plain `QWidget` subclass."""
    option = QStyleOption()
    option.initFrom(widget)
    widget.style().drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option, painter, widget)


def to_image(picture: Picture) -> QImage:
    """A picture in memory of its own.

    Args:
        picture: uint8 [H, W] (0 = paper, 255 = ink; printed in the theme's colours) or uint8 [H, W, 3] RGB.

    Raises:
        ValueError: Another type or shape.
    """
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(f"a picture is uint8 [H, W] or [H, W, 3], not {picture.dtype} {picture.shape}")
    data = np.ascontiguousarray(picture)
    height, width = data.shape[:2]
    grey = data.ndim == 2
    kind = QImage.Format.Format_Indexed8 if grey else QImage.Format.Format_RGB888
    # copy() takes the pixels over, so that the array may die first
    image = QImage(data.data, width, height, data.strides[0], kind).copy()
    if grey:
        image.setColorTable(theme.current().ink_table())
    return image


def print_in_theme(image: QImage) -> QImage:
    """Give a grey picture the ink and paper of the theme in use; colour pictures stay as they are."""
    if image.format() == QImage.Format.Format_Indexed8:
        image.setColorTable(theme.current().ink_table())
    return image


def fitted(size: QSize, space: QRectF, ratio: float, *, whole: bool) -> QRectF:
    """The largest centred rectangle of a picture's shape, on device pixels.

    Args:
        size: Picture size in pixels.
        space: Where it may go, in logical pixels.
        ratio: Device pixels per logical pixel.
        whole: Keep every picture pixel a whole number of device pixels, where it is enlarged at all.
    """
    if size.isEmpty() or space.width() <= 0 or space.height() <= 0:
        return QRectF()
    scale = min(space.width() * ratio / size.width(), space.height() * ratio / size.height())
    if whole and scale >= 1:
        scale = math.floor(scale)
    width, height = max(1, round(size.width() * scale)), max(1, round(size.height() * scale))
    left = round(space.center().x() * ratio - width / 2)
    top = round(space.center().y() * ratio - height / 2)
    return QRectF(left / ratio, top / ratio, width / ratio, height / ratio)


def draw_picture(
    painter: QPainter, target: QRectF, image: QImage, source: QRect | None = None, *, smooth: bool
) -> None:
    """Draw an image or a part of it, sharp or smooth."""
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
    painter.drawImage(target, image, QRectF(source if source is not None else image.rect()))


def between(one: QPointF, other: QPointF) -> float:
    """Distance of two points."""
    return math.hypot(one.x() - other.x(), one.y() - other.y())


def alive(thing: QObject | None) -> bool:
    """Whether a Qt object is still there behind its Python name."""
    import shiboken6

    return thing is not None and shiboken6.isValid(thing)
