"""Who trains, who validates, who tests: permutations by a fixed seed, and cuts by content. numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "valid", "test")
SHARES = (0.8, 0.1, 0.1)
SMALL_SET = 1000  # a part of a tenth would have a standard deviation of a tenth of itself

Indices = NDArray[np.int64]


def permuted(count: int, sizes: Sequence[int], seed: int) -> dict[str, Indices]:
    """A permutation of `count` items by `seed`, cut into train, valid and test.

    Args:
        count: Items in all.
        sizes: Items of train, valid and test; they must add up to `count`.
        seed: Of the permutation.

    Raises:
        ValueError: The sizes do not add up.
    """
    if sum(sizes) != count or len(sizes) != len(SPLITS):
        raise ValueError(f"sizes {tuple(sizes)} do not cut {count} items into {len(SPLITS)} parts")
    order = np.random.default_rng(seed).permutation(count)
    return dict(zip(SPLITS, np.split(order, np.cumsum(sizes)[:-1]), strict=True))


def stratified(labels: NDArray[np.integer], sizes: Sequence[int], seed: int) -> dict[str, Indices]:
    """Like `permuted`, with every label held in its own proportion in every part.

    The items of a label are shuffled and spread evenly over [0, 1); sorting all items by that position
    interleaves the labels, so that any stretch of the order has each of them in proportion (to within one item
    at either end). Cutting the order gives the parts; each part is then shuffled again.

    Args:
        labels: Integers [N].
        sizes: Items of train, valid and test; they must add up to N.
        seed: Of every draw.

    Raises:
        ValueError: The sizes do not add up.
    """
    if sum(sizes) != len(labels) or len(sizes) != len(SPLITS):
        raise ValueError(f"sizes {tuple(sizes)} do not cut {len(labels)} items into {len(SPLITS)} parts")
    rng = np.random.default_rng(seed)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + rng.random()) / len(members)
    parts = np.split(np.argsort(position, kind="stable"), np.cumsum(sizes)[:-1])
    return {name: rng.permutation(part) for name, part in zip(SPLITS, parts, strict=True)}


def by_content(digests: Sequence[bytes]) -> dict[str, Indices]:
    """A cut that depends on what the items are and not on their names or order.

    Equal items land in the same part, and an item keeps its part when others are added. In a small set, where chance
    would leave a part too small or empty, the distinct items are cut by the rank of their digests instead.

    Args:
        digests: One of each item, at least 8 bytes, as from SHA-256.

    Raises:
        ValueError: Fewer distinct items than parts.
    """
    distinct = sorted(set(digests))
    if len(distinct) < len(SPLITS):
        raise ValueError(f"{len(distinct)} distinct items cannot fill {len(SPLITS)} parts")
    fractions = np.array([int.from_bytes(digest[:8], "big") / 2.0**64 for digest in distinct])
    bounds = np.cumsum(SHARES)[:-1]
    parts = np.searchsorted(bounds, fractions, side="right")
    if len(distinct) < SMALL_SET:
        last = [max(1, round(share * len(distinct))) for share in SHARES[1:]]
        parts = np.repeat(np.arange(len(SPLITS)), [len(distinct) - sum(last), *last])
    part_of = dict(zip(distinct, parts.tolist(), strict=True))
    member = np.array([part_of[digest] for digest in digests])
    return {name: np.flatnonzero(member == i) for i, name in enumerate(SPLITS)}


def hashed_order(names: NDArray[np.integer], seed: str) -> Indices:
    """A shuffle that is the same on every machine and in every version of numpy: by SHA-256 of the seed and the name.

    Of a part of the names it is the same order with the others left out.

    Args:
        names: Different integers [N].
        seed: Any words.

    Returns:
        Positions in `names`, [N].
    """
    digests = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in names.tolist()]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)


def fingerprint(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """SHA-256 of arrays by name, type, shape and content; the same on every machine and in every file format."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        digest.update(little.data)
    return digest.hexdigest()
