"""Two sets in the box whose pictures of one class become pairs: one of the first with one of the second.

Such a set has a card but no arrays. `DataCard.made` says how it is built: "first" and "second", the names of two sets,
and "factor", in which both pictures of a pair agree.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from numpy.typing import NDArray

from dgm_studio.core.cards import DataCard
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.splits import SPLITS, fingerprint, hashed_order

Indices = NDArray[np.int64]


def load_pairs(card: DataCard, first: Dataset, second: Dataset) -> Generator[tuple[int, int, str], None, Dataset]:
    """Pairs every picture of the first set with one of the second of the same class and the same split.

    Args:
        card: Of the pairs.
        first: Every item of it comes once, in its own order.
        second: Its items come as often as they must, about equally often.

    Yields:
        Progress, once for each split.
    """
    factor = card.made["factor"]
    parts = {}
    for i, split in enumerate(SPLITS):
        yield i, len(SPLITS), f"Pairing {card.title}, {split}"
        one, other = first.split(split), second.split(split)
        partner = torch.from_numpy(pairing(card, split, one, other))
        parts[split] = Part(
            x=one.x,
            indices=one.indices,
            factors={factor: one.factors[factor]},
            name=card.modalities[0].name,
            others={card.modalities[1].name: other.x[partner]},
        )
    return Dataset(card, parts)


def pairing(card: DataCard, split: str, first: Part, second: Part) -> Indices:
    """For each item of the first set's part the position of its partner in the second's, [N]."""
    mine, theirs = (part.factors[card.made["factor"]].numpy() for part in (first, second))
    return partners(mine, theirs, f"{card.split_seed} {split}")


def partners(first: Indices, second: Indices, seed: str) -> Indices:
    """For each item of the first set the position of one of the second with the same class.

    As Shi et al. (2019, their pairs of MNIST and SVHN): within a class the items of both are
    shuffled and matched one to one, again and again. Here the rounds end when every item of the first set has been
    matched once; each round shuffles the second set's items of the class anew.

    Args:
        first: Class of each item [N].
        second: Class of each item [M]; every class of `first` is in it.
        seed: Of every shuffle.

    Returns:
        Positions in `second`, [N].
    """
    found = np.empty(len(first), np.int64)
    for label in np.unique(first):
        mine, theirs = np.flatnonzero(first == label), np.flatnonzero(second == label)
        rounds = -(-len(mine) // len(theirs))
        matched = np.concatenate([theirs[hashed_order(theirs, f"{seed} {label} round {k}")] for k in range(rounds)])
        found[mine[hashed_order(mine, f"{seed} {label}")]] = matched[: len(mine)]
    return found


def content(first: Dataset, second: Dataset, pairs: dict[str, Indices]) -> str:
    """SHA-256 of both sets and of who is paired with whom, split by split."""
    return fingerprint({**{each.card.name: _bytes(each) for each in (first, second)}, **pairs})


def _bytes(dataset: Dataset) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(dataset.sha256), np.uint8)
