"""The program's own line icons: 16 px grid, 1.5 px strokes, tinted from the tokens when they are asked for."""

from __future__ import annotations

import tempfile
from functools import cache, lru_cache
from pathlib import Path

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from dgm_studio.core.resources import resource
from dgm_studio.gui import theme

_SIZES = (16, 24, 32, 48, 64)


def names() -> list[str]:
    """Every icon there is."""
    return sorted(path.stem for path in resource("icons").glob("*.svg"))


@cache
def _drawing(name: str) -> str:
    return resource("icons", f"{name}.svg").read_text(encoding="utf-8")


def _svg(name: str, colour: str) -> bytes:
    return _drawing(name).replace("currentColor", colour).encode()


def pixmap(name: str, colour: str, pixels: int) -> QPixmap:
    """An icon as a square picture.

    Args:
        name: File stem in `resources/icons`.
        colour: `#RRGGBB`.
        pixels: Side in device pixels.

    Raises:
        FileNotFoundError: There is no such icon.
    """
    picture = QPixmap(pixels, pixels)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    QSvgRenderer(QByteArray(_svg(name, colour))).render(painter, QRectF(0, 0, pixels, pixels))
    painter.end()
    return picture


@lru_cache(maxsize=256)
def _icon(name: str, normal: str, disabled: str, on: str) -> QIcon:
    icon = QIcon()
    for size in _SIZES:
        icon.addPixmap(pixmap(name, normal, size), QIcon.Mode.Normal, QIcon.State.Off)
        icon.addPixmap(pixmap(name, disabled, size), QIcon.Mode.Disabled, QIcon.State.Off)
        icon.addPixmap(pixmap(name, on, size), QIcon.Mode.Normal, QIcon.State.On)
    return icon


def icon(name: str, token: str = "text") -> QIcon:
    """An icon in the theme's colours: `token` normally, the accent when switched on, pale when disabled."""
    palette = theme.current().palette
    return _icon(
        name, getattr(palette, token), palette.bg3, palette.accent if token != "onaccent" else palette.onaccent
    )


def size() -> QSize:
    """The side of an icon beside body text."""
    side = theme.current().px(16)
    return QSize(side, side)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dgm-studio-icons-", ignore_cleanup_errors=True)


@lru_cache(maxsize=64)
def tinted_file(name: str, colour: str) -> str:
    """Path of a tinted SVG, for the style sheet, which takes pictures only from files. Swept at exit."""
    path = Path(_folder().name) / f"{name}-{colour.lstrip('#')}.svg"
    path.write_bytes(_svg(name, colour))
    return path.as_posix()
