"""From strokes and files to a picture as models know them: area averages, and digits centred as in MNIST."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QImage

from dgm_studio.gui.widgets.painting import Picture

Plane = npt.NDArray[np.float64]
_MNIST_BOX = 20 / 28


def area_weights(before: int, after: int) -> Plane:
    """The matrix [after, before] that averages over areas: each new pixel is the mean of what lies under it.

    Fractions of pixels count as fractions, so rows sum to one at any ratio.
    """
    edges = np.linspace(0, before, after + 1)
    cells = np.arange(before)
    low = np.maximum(edges[:-1, None], cells[None, :])
    high = np.minimum(edges[1:, None], cells[None, :] + 1)
    overlap = np.clip(high - low, 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), dtype=np.float64)


def resample(picture: npt.NDArray[np.generic], height: int, width: int) -> Plane:
    """A grey picture [h, w] or colour picture [h, w, 3] at another size, by area averages."""
    rows = area_weights(picture.shape[0], height)
    columns = area_weights(picture.shape[1], width)
    return np.asarray(np.einsum("ai,bj,ij...->ab...", rows, columns, picture.astype(np.float64), optimize=True))


def centred(ink: Plane, height: int, width: int) -> Plane:
    """Ink as MNIST's digits lie: its box scaled into 20 of 28 pixels, its centre of mass in the middle.

    LeCun, Bottou, Bengio and Haffner (1998), section III.A.

    Args:
        ink: [h, w], 0 where there is none.
        height: Of the result.
        width: Of the result.

    Returns:
        [height, width]; an empty drawing stays empty.
    """
    rows, columns = np.flatnonzero(ink.max(axis=1) > 8), np.flatnonzero(ink.max(axis=0) > 8)
    if not len(rows) or not len(columns):
        return np.zeros((height, width))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(_MNIST_BOX * height / box.shape[0], _MNIST_BOX * width / box.shape[1])
    small = resample(box, max(1, round(box.shape[0] * scale)), max(1, round(box.shape[1] * scale)))
    mass = small.sum()
    down = height / 2 - (small.sum(axis=1) @ (np.arange(small.shape[0]) + 0.5)) / mass
    right = width / 2 - (small.sum(axis=0) @ (np.arange(small.shape[1]) + 0.5)) / mass
    top = min(max(math.floor(down + 0.5), 0), height - small.shape[0])
    left = min(max(math.floor(right + 0.5), 0), width - small.shape[1])
    page = np.zeros((height, width))
    page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return page


def layer(sheet: QImage) -> Picture:
    """The bytes of a sheet without a copy: [H, W] of Grayscale8, [H, W, 4] (red, green, blue, opacity) of ARGB32."""
    rows = np.frombuffer(sheet.constBits(), dtype=np.uint8).reshape(sheet.height(), sheet.bytesPerLine())
    if sheet.format() == QImage.Format.Format_Grayscale8:
        return rows[:, : sheet.width()]
    words = rows[:, : 4 * sheet.width()].view(np.uint32).reshape(sheet.height(), sheet.width())
    return np.stack([(words >> shift & 255).astype(np.uint8) for shift in (16, 8, 0, 24)], axis=-1)


def shrunk(sheet: Picture, times: int) -> Plane:
    """The mean of every square of times x times pixels: [H, W] of [H times, W times], or the same of [..., C]."""
    starts = (np.arange(0, sheet.shape[0], times), np.arange(0, sheet.shape[1], times))
    sums = np.add.reduceat(np.add.reduceat(sheet, starts[0], axis=0, dtype=np.int64), starts[1], axis=1)
    return np.asarray(sums / (times * times), np.float64)


def laid_over(under: Plane, over: Plane) -> Plane:
    """Premultiplied colours over a picture (Porter and Duff 1984): [H, W, 4] over [H, W, 3], all from 0 to 255."""
    return over[..., :3] + under * (1.0 - over[..., 3:] / 255.0)


def main_colours(picture: Picture, count: int) -> list[tuple[int, int, int]]:
    """The colours that most of a picture [H, W, 3] has, the commonest first: means of cells of 32 levels a side."""
    flat = picture.reshape(-1, 3)
    cells = (flat.astype(np.int64) >> 5) @ np.array([64, 8, 1])
    sizes = np.bincount(cells, minlength=512)
    found = [flat[cells == cell].mean(0) for cell in np.argsort(-sizes)[:count] if sizes[cell]]
    return [(round(float(r)), round(float(g)), round(float(b))) for r, g, b in found]


def to_bytes(picture: Plane) -> Picture:
    """Rounded and clipped to uint8."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def grey_array(image: QImage) -> Picture:
    """Luminance of an image file as ink: uint8 [H, W], turned over when the paper is lighter than the ink.

    Raises:
        ValueError: The image is empty.
    """
    if image.isNull():
        raise ValueError("the picture is empty")
    grey = image.convertToFormat(QImage.Format.Format_Grayscale8)
    rows = np.frombuffer(grey.constBits(), dtype=np.uint8).reshape(grey.height(), grey.bytesPerLine())
    picture = rows[:, : grey.width()].copy()
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return 255 - picture if np.median(border) > 127 else picture


def colour_array(image: QImage) -> Picture:
    """An image file as uint8 [H, W, 3].

    Raises:
        ValueError: The image is empty.
    """
    if image.isNull():
        raise ValueError("the picture is empty")
    rgb = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(rgb.constBits(), dtype=np.uint8).reshape(rgb.height(), rgb.bytesPerLine())
    return rows[:, : 3 * rgb.width()].reshape(rgb.height(), rgb.width(), 3).copy()
