"""Pictures as bytes: conversion, tiling, ink on paper. numpy only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

# as in `gui.theme`, which a test compares
INK = {"light": (27, 31, 36), "dark": (232, 234, 238)}
PAPER = {"light": (255, 255, 255), "dark": (20, 22, 26)}


def to_uint8(x: npt.NDArray[Any]) -> Bytes:
    """Intensities to bytes, rounded to the nearest.

    Args:
        x: [N, C, H, W] in [0, 1] with C = 1 or 3; values outside are clipped, NaN becomes 0.

    Returns:
        [N, H, W] for C = 1 (0 = paper, 255 = ink), [N, H, W, 3] for C = 3; contiguous, with memory of its own.

    Raises:
        ValueError: Another number of axes or channels.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"expected [N, 1 or 3, H, W], got {x.shape}")
    scaled = np.nan_to_num(np.clip(x, 0.0, 1.0), nan=0.0) * 255.0 + 0.5
    pictures = scaled.astype(np.uint8)
    if x.shape[1] == 1:
        return np.array(pictures[:, 0], order="C")
    return np.array(pictures.transpose(0, 2, 3, 1), order="C")


def tile(pictures: Bytes, columns: int = 0, gap: int = 0, fill: int = 0) -> Bytes:
    """Lay pictures out in rows.

    Args:
        pictures: [N, H, W] or [N, H, W, 3].
        columns: Pictures in a row; 0 makes the sheet about square.
        gap: Pixels between neighbours.
        fill: Value of gaps and of places that stay empty.

    Returns:
        [R (H + gap) - gap, K (W + gap) - gap(, 3)].

    >>> tile(np.ones((3, 2, 2), np.uint8), columns=2, gap=1).shape
    (5, 5)
    """
    n, h, w = pictures.shape[:3]
    columns = columns or max(1, math.ceil(math.sqrt(n)))
    rows = max(1, math.ceil(n / columns))
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *pictures.shape[3:]), fill, np.uint8)
    for index in range(n):
        top, left = (index // columns) * (h + gap), (index % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = pictures[index]
    return sheet


def on_paper(pictures: Bytes, theme: str) -> Bytes:
    """Grey ink amounts as colours of a theme; colour pictures pass through.

    Args:
        pictures: [..., H, W] grey with 0 = paper, or [..., H, W, 3] colours.
        theme: "light" or "dark".

    Returns:
        [..., H, W, 3].
    """
    if pictures.ndim >= 3 and pictures.shape[-1] == 3:
        return pictures
    return np.asarray(ink_table(theme)[pictures], np.uint8)


def ink_table(theme: str) -> Bytes:
    """The 256 colours from paper to ink, [256, 3]."""
    amount = np.linspace(0.0, 1.0, 256)[:, None]
    paper, ink = np.asarray(PAPER[theme], float), np.asarray(INK[theme], float)
    return np.asarray(np.rint(paper + amount * (ink - paper)), np.uint8)


def enlarge(pictures: Bytes, scale: int) -> Bytes:
    """Each pixel as a square of scale x scale pixels. pictures: [N, H, W(, 3)]."""
    return np.asarray(np.repeat(np.repeat(pictures, scale, axis=1), scale, axis=2), np.uint8)
