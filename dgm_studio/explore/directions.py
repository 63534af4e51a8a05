"""Directions in a latent space that mean something: principal ones, and those along which an annotation changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

MOST_COMPONENTS = 32
FEWEST_OF_A_KIND = 4  # in either half; fewer say nothing about a direction
SHRINKAGE = 0.05  # of the within-class covariance towards a multiple of the identity


@dataclass(frozen=True)
class Principal:
    """Principal directions of points, by falling variance.

    Args:
        components: [K, Z], unit length; the largest entry of each is positive.
        std: Standard deviation of the points along each, [K].
        explained: Part of the total variance along each, [K].
    """

    components: Floats
    std: Floats
    explained: Floats


@dataclass(frozen=True)
class Attribute:
    """A direction along which an annotation changes.

    Args:
        name: "factor:category".
        direction: [Z], unit length: from the mean of all other points to the mean of the category's points.
        std: Standard deviation of all points along it.
        auc: Area under the ROC curve of a linear discriminant on points it was not fitted to: 0.5 chance, 1 sure.
    """

    name: str
    direction: Floats
    std: float
    auc: float


def principal(points: Floats) -> Principal:
    """Principal component analysis of points [N, Z]; K = min(Z, 32).

    >>> found = principal(np.array([[3.0, 0.1], [-3.0, 0.1], [0.0, -0.2]], np.float32))
    >>> found.components[0].round(3).tolist()
    [1.0, 0.0]
    """
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(points))
    order = np.argsort(-values)[:MOST_COMPONENTS]
    variance = np.maximum(values[order], 0.0)
    components = vectors[:, order].T
    largest = np.take_along_axis(components, np.abs(components).argmax(1, keepdims=True), 1)
    components = components * np.where(largest < 0, -1.0, 1.0)
    total = max(float(np.maximum(values, 0.0).sum()), 1e-12)
    return Principal(
        components.astype(np.float32), np.sqrt(variance).astype(np.float32), (variance / total).astype(np.float32)
    )


def attributes(
    points: Floats, factors: Mapping[str, npt.NDArray[np.int64]], categories: Mapping[str, tuple[str, ...]]
) -> list[Attribute]:
    """A direction for every category that has enough examples, of every factor.

    Every second point of a category fits the discriminant, the others measure it. The *direction* is the difference of
    means, which is where the category lies (Haufe et al. 2014 on patterns against filters); the *discriminant* is
    Fisher's.

    Args:
        points: [N, Z].
        factors: Category index of every point by factor, [N].
        categories: Names of the categories by factor.
    """
    found: list[Attribute] = []
    for factor, labels in factors.items():
        names = categories.get(factor, ())
        found += _of_factor(points.astype(np.float64), np.asarray(labels), factor, names)
    return found


def _of_factor(points: Doubles, labels: npt.NDArray[np.int64], factor: str, names: tuple[str, ...]) -> list[Attribute]:
    fit = _every_second(labels)
    held = ~fit
    members = labels[:, None] == np.arange(len(names))
    usable = [
        k for k in range(len(names)) if min(_fewest(members[fit, k]), _fewest(members[held, k])) >= FEWEST_OF_A_KIND
    ]
    if not usable:
        return []
    whitener = np.linalg.inv(_within(points[fit], labels[fit]))
    found = []
    for k in usable:
        inside = members[:, k]
        towards = points[inside].mean(0) - points[~inside].mean(0)
        fitted = points[fit][inside[fit]].mean(0) - points[fit][~inside[fit]].mean(0)
        auc = area_under_curve(points[held] @ (whitener @ fitted), inside[held])
        unit = towards / max(float(np.linalg.norm(towards)), 1e-12)
        found.append(Attribute(f"{factor}:{names[k]}", unit.astype(np.float32), float((points @ unit).std()), auc))
    return found


def _every_second(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Half of the points, spread evenly over each category, however the data are ordered."""
    order = np.argsort(labels, kind="stable")
    _, counts = np.unique(labels, return_counts=True)
    ranks = np.concatenate([np.arange(count) for count in counts])
    chosen = np.empty(len(labels), bool)
    chosen[order] = ranks % 2 == 0
    return chosen


def _fewest(inside: npt.NDArray[np.bool_]) -> int:
    return min(int(inside.sum()), int((~inside).sum()))


def _within(points: Doubles, labels: npt.NDArray[np.int64]) -> Doubles:
    """Covariance of points about the means of their categories, shrunk so that it can be inverted."""
    kinds, index = np.unique(labels, return_inverse=True)
    one_hot = (index[:, None] == np.arange(len(kinds))).astype(np.float64)
    means = (one_hot.T @ points) / one_hot.sum(0)[:, None]
    residual = points - means[index]
    covariance = residual.T @ residual / len(points)
    size = len(covariance)
    level = float(np.trace(covariance)) / size + 1e-9
    return np.asarray((1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(size))


def area_under_curve(scores: npt.NDArray[Any], inside: npt.NDArray[np.bool_]) -> float:
    """Probability that a member scores higher than a non-member, ties counted half (Mann and Whitney 1947).

    >>> area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[index]
    n, m = int(inside.sum()), int((~inside).sum())
    return float((ranks[inside].sum() - n * (n + 1) / 2.0) / (n * m))
