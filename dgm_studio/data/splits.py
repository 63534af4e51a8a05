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


def in_clusters(clusters: Indices, keys: Sequence[bytes], strata: NDArray[np.integer], seed: str) -> dict[str, Indices]:
    """A cut in which rows of one cluster (a patient's, a picture's copies) stay together.

    Clusters are ordered by SHA-256 of the seed and their key, so that the order of the rows does not matter, and each
    stratum is spread evenly over that order. The order is cut by `SHARES` of the rows; a cluster lies where its middle
    does. Clusters of more than a fortieth of all rows come first: they are trained on.

    Args:
        clusters: Of each row, 0 to K - 1, [N].
        keys: Of each cluster, [K].
        strata: Of each cluster, [K]; equal everywhere when nothing is held in proportion.
        seed: Any words.

    Raises:
        ValueError: Fewer clusters than parts.
    """
    if len(keys) < len(SPLITS):
        raise ValueError(f"{len(keys)} clusters cannot fill {len(SPLITS)} parts")
    hashes = [hashlib.sha256(seed.encode() + b" " + key).digest()[:8] for key in keys]
    draws = np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)
    sizes = np.bincount(clusters, minlength=len(keys))
    place = np.empty(len(keys))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        members = members[np.argsort(draws[members], kind="stable")]
        shift = float(int(draws[members[0]]) % 997) / 997.0
        place[members] = (np.arange(len(members)) + shift) / len(members)
    large = sizes > max(2, len(clusters) / 40)
    place[large] = -sizes[large]
    order = np.lexsort((draws, place))
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / len(clusters)
    part = np.searchsorted(np.cumsum(SHARES)[:-1], middle, side="right")
    part[-1] = 2
    if not (part == 1).any():
        part[-2] = 1
    of_cluster = np.empty(len(keys), np.int64)
    of_cluster[order] = part
    return {name: np.flatnonzero(of_cluster[clusters] == i) for i, name in enumerate(SPLITS)}


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
