"""How far generated data are from real ones: between clouds of features, of pixels, of points in the plane.

A Frechet distance depends on the features and on how many there are of each side; here the features are a small judge's
and the counts are small. It is never comparable to the Inception distance of the literature: what tells is its share of
the distance of as many held-out examples, its floor.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

BLOCK = 2048  # rows of distances at once


def frechet(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> float:
    """Squared Frechet distance of the Gaussians fitted to two clouds (Dowson and Landau 1982).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), A and B the covariances (with N - 1), in float64.

    Args:
        a: At least 2 rows.
        b: Likewise.
    """
    a, b = a.cpu().double(), b.cpu().double()
    first, second = torch.cov(a.T), torch.cov(b.T)
    root = _root(first)
    middle = root @ second @ root
    crossed = torch.linalg.eigvalsh(0.5 * (middle + middle.T)).clamp(min=0.0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, float(means + first.trace() + second.trace() - 2.0 * crossed))


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T


def precision_recall(real: Float[Tensor, "n f"], made: Float[Tensor, "m f"], k: int = 3) -> tuple[float, float]:
    """Share of the made that lie among the real, and of the real among the made (Kynkaanniemi et al. 2019).

    A point lies among a cloud when it is no farther from one of its points than that one's k-th neighbour in the cloud.
    Give as many of both.
    """
    return float(among(made, real, k).double().mean()), float(among(real, made, k).double().mean())


def among(points: Float[Tensor, "n f"], cloud: Float[Tensor, "m f"], k: int = 3) -> Bool[Tensor, " n"]:
    """Which points lie within the radius of any point of the cloud.

    Args:
        points: Tested.
        cloud: More than k points.
        k: Which neighbour gives the radius.
    """
    points, cloud = points.cpu().double(), cloud.cpu().double()
    # column 0 is the point itself
    radii = torch.cat([torch.cdist(some, cloud).topk(k + 1, largest=False).values[:, k] for some in cloud.split(BLOCK)])
    return torch.cat([(torch.cdist(some, cloud) <= radii).any(1) for some in points.split(BLOCK)])


def energy_distance(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'|, without bias (Szekely and Rizzo 2013), averages over different pairs.

    It may fall below 0 when both clouds come from one distribution.
    """
    a, b = a.cpu().double(), b.cpu().double()
    return 2.0 * _apart(a, b) - _apart(a, a) * len(a) / (len(a) - 1) - _apart(b, b) * len(b) / (len(b) - 1)


def _apart(a: Tensor, b: Tensor) -> float:
    total = sum(float(torch.cdist(some, b).sum()) for some in a.split(BLOCK))
    return total / (len(a) * len(b))


def rarest_share(read: Int64[Tensor, " n"], due: Int64[Tensor, " m"], classes: int) -> tuple[float, float]:
    """Of the class that falls shortest: how often it is read, over how often the data have it.

    Args:
        read: Classes of what was made, 0 to C - 1.
        due: Those of the data.
        classes: C; a class that the data lack is left out.

    Returns:
        The share and its binomial standard error.
    """
    found = torch.bincount(read.cpu(), minlength=classes).double() / len(read)
    wanted = torch.bincount(due.cpu(), minlength=classes).double() / len(due)
    there = wanted > 0
    shares, errors = found[there] / wanted[there], (found * (1.0 - found) / len(read)).sqrt()[there] / wanted[there]
    place = int(shares.argmin())
    return float(shares[place]), float(errors[place])
