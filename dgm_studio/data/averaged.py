"""A set in the box made smaller: every pixel the mean of the area that it covers of the larger picture.

Such a set has a card but no arrays. `DataCard.made` says how it is built: "from", the name of a set of pictures whose
splits, annotations and sentences it keeps, and "side", the pixels of a row and of a column.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dgm_studio.core.cards import DataCard
from dgm_studio.data.dataset import Dataset
from dgm_studio.data.splits import SPLITS, fingerprint

BLOCK = 1000  # pictures between two yields


def load_averaged(card: DataCard, larger: Dataset) -> Generator[tuple[int, int, str], None, Dataset]:
    """The pictures of a set, smaller.

    Args:
        card: Of the smaller set.
        larger: The set that it is made from.

    Yields:
        Progress, once for each thousand pictures.
    """
    side, parts = int(card.made["side"]), {}
    for split in SPLITS:
        part = larger.split(split)
        blocks = []
        for start in range(0, len(part), BLOCK):
            yield start, len(part), f"Making {card.title}, {split}"
            blocks.append(averaged(part.x[start : start + BLOCK].numpy(), side))
        parts[split] = replace(part, x=torch.from_numpy(np.concatenate(blocks)), name=card.modalities[0].name)
    return Dataset(card, parts)


def averaged(x: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Area averages, rounded to the nearest byte, halves up; in integers, so the same on every machine.

    Args:
        x: Pictures [N, C, H, W].
        side: Of the result, at most H and W.

    Returns:
        [N, C, side, side].

    Raises:
        ValueError: The pictures are smaller than what is asked for.
    """
    height, width = x.shape[2:]
    if side < 1 or side > min(height, width):
        raise ValueError(f"{height} x {width} pixels cannot be averaged to {side} x {side}")
    sums = np.einsum(
        "ah,nchw,bw->ncab", overlaps(height, side), x.astype(np.int64), overlaps(width, side), optimize=True
    )
    whole = height * width
    return np.asarray((2 * sums + whole) // (2 * whole), dtype=np.uint8)


def overlaps(length: int, side: int) -> NDArray[np.int64]:
    """How much of pixel j of a row of `length` lies in pixel i of a row of `side`, in 1/side: rows sum to `length`.

    >>> overlaps(3, 2)
    array([[2, 1, 0],
           [0, 1, 2]])
    """
    begin, i = np.arange(length) * side, np.arange(side)[:, None] * length
    return np.maximum(0, np.minimum(begin + side, i + length) - np.maximum(begin, i))


def content(dataset: Dataset) -> str:
    """SHA-256 of the pictures, of where each stands in the whole set and of the annotations, split by split."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for split in SPLITS:
        part = dataset.split(split)
        arrays[f"{split} pictures"], arrays[f"{split} indices"] = part.x.numpy(), part.indices.numpy()
        arrays |= {f"{split} {name}": values.numpy() for name, values in part.factors.items()}
    return fingerprint(arrays)
