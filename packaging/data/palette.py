"""Reduces pictures to few colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reduced(rgb: NDArray[np.uint8], colours: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """Pictures by the colours of a palette, which is found by k-means over their distinct colours.

    Args:
        rgb: [N, H, W, 3].
        colours: At most 256.
        seed: Of the start.

    Returns:
        Pixels uint8 [N, H, W]; the palette uint8 [K, 3], dark to light; the root mean square error of a channel.
    """
    codes = (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
    distinct, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    points = np.stack([distinct >> 16 & 255, distinct >> 8 & 255, distinct & 255], 1).astype(np.float64)
    rng = np.random.default_rng(seed)
    # a rare colour must not be drowned by the frequent ones: the weight is the root of the count
    weight = np.sqrt(counts)
    some = rng.choice(len(points), min(len(points), 30_000), replace=False)
    palette = points[rng.choice(len(points), colours, replace=False, p=weight / weight.sum())]
    for _ in range(15):
        nearest = _nearest(points[some], palette)
        total = np.bincount(nearest, weight[some], colours)
        for channel in range(3):
            moved = np.bincount(nearest, weight[some] * points[some, channel], colours)
            palette[:, channel] = np.where(total > 0, moved / np.maximum(total, 1e-9), palette[:, channel])
    palette = np.unique(np.rint(palette), axis=0)
    palette = palette[np.argsort(palette.sum(1), kind="stable")]
    nearest = _nearest(points, palette)
    error = ((points - palette[nearest]) ** 2).mean(1) @ counts / counts.sum()
    pixels = nearest[inverse].reshape(codes.shape).astype(np.uint8)
    return pixels, palette.astype(np.uint8), float(np.sqrt(error))


def _nearest(points: NDArray[np.float64], palette: NDArray[np.float64]) -> NDArray[np.int64]:
    """The palette's colour nearest to each point."""
    found = [
        ((palette**2).sum(1) - 2.0 * points[start : start + 20_000] @ palette.T).argmin(1)
        for start in range(0, len(points), 20_000)
    ]
    return np.concatenate(found)
