"""Sets that ship with the program: NAME.npz (arrays), NAME.json (card) and NAME.md (licence and changes).

Arrays of an npz: `pixels` uint8 [N, H, W] of a grey set; or `pixels` uint8 or uint16 [N, h, w] with `palette` uint8
[K, 3] and `scale` (how often each drawn pixel is repeated in either direction). `factor_NAME` uint8 [N]. `value_NAME`
float32 [N], a real or positive number, NaN where it is unknown. `texts`, sentences in UTF-8 joined by line feeds.
`train`, `valid`, `test`, the index sets.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dgm_studio.core.cards import DataCard, Modality
from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.splits import SPLITS
from dgm_studio.data.texts import tokens

BLOCK = 1000
Arrays = dict[str, NDArray[np.generic]]


def load_packed(card: DataCard, path: Path) -> Generator[tuple[int, int, str], None, Dataset]:
    """A set in the box, in steps of a thousand items.

    Args:
        card: Read from NAME.json.
        path: Of NAME.npz.

    Yields:
        Progress.

    Raises:
        Problem: The file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays: Arrays = {name: stored[name] for name in stored.files}
        parts = {}
        for split in SPLITS:
            parts[split] = yield from _part(card, arrays, split)
        return Dataset(card, parts)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        sentence = f"The data set {card.name} in the box is damaged ({error})."
        raise Problem(sentence, "Install DGM Studio again.") from error


def _pictures(arrays: Arrays, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images of the whole set, uint8 [n, C, H, W], palette and scale undone."""
    pixels = arrays["pixels"][chosen]
    if "palette" not in arrays:
        return np.asarray(pixels, dtype=np.uint8)[:, None]
    scale = int(arrays["scale"])
    colours = np.ascontiguousarray(arrays["palette"][pixels].transpose(0, 3, 1, 2)).astype(np.uint8)
    return colours.repeat(scale, axis=2).repeat(scale, axis=3)


def _part(card: DataCard, arrays: Arrays, split: str) -> Generator[tuple[int, int, str], None, Part]:
    chosen = arrays[split].astype(np.int64)
    x = np.empty((len(chosen), *card.modalities[0].shape), np.uint8)
    for start in range(0, len(chosen), BLOCK):
        yield start, len(chosen), f"Reading {card.title}, {split}"
        x[start : start + BLOCK] = _pictures(arrays, chosen[start : start + BLOCK])
    texts = bytes(arrays["texts"]).decode().split("\n") if "texts" in arrays else []
    chosen_texts = [texts[i] for i in chosen] if texts else []
    factors = {f.name: torch.from_numpy(arrays[f"factor_{f.name}"][chosen].astype(np.int64)) for f in card.factors}
    numbers = {name: torch.from_numpy(arrays[f"value_{name}"][chosen].astype(np.float32)) for name in _numbers(card)}
    return Part(
        x=torch.from_numpy(x),
        indices=torch.from_numpy(chosen),
        factors=factors,
        texts=chosen_texts,
        name=card.modalities[0].name,
        others={m.name: _other(m, factors | numbers, chosen_texts) for m in card.modalities[1:]},
    )


def _numbers(card: DataCard) -> list[str]:
    return [modality.name for modality in card.modalities[1:] if modality.kind in ("real", "positive")]


def _other(modality: Modality, known: dict[str, torch.Tensor], texts: list[str]) -> torch.Tensor:
    """A modality beside the picture: annotations or numbers of the same items, or their sentences."""
    if modality.kind == "attributes":
        return torch.stack([known[column.name] for column in modality.columns], 1)
    if modality.kind == "text":
        return tokens(texts, modality.categories, modality.shape[0])
    if modality.kind in ("real", "positive"):
        return known[modality.name][:, None]
    return known[modality.about or modality.name]
