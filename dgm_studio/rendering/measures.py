"""Figures of surfaces: volume, area, whether they are closed, and how far two are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CHAMFER = (
    "Chamfer distance: mean squared distance from each of {count:,} points drawn by area on one surface to the nearest"
    " of as many on the other, the sum of both directions"
)


@dataclass(frozen=True)
class Shape:
    """What is true of a surface.

    Args:
        volume: Inside, negative when the faces look inwards; NaN of an open surface.
        area: Of all faces.
        closed: Whether every edge belongs to two faces that run through it in opposite directions.
        pieces: Connected parts.
        open_edges: Edges with a hole beside them, or with more than two faces.
    """

    volume: float
    area: float
    closed: bool
    pieces: int
    open_edges: int


def measured(vertices: Floats, faces: Ints) -> Shape:
    """Volume by the divergence theorem, area, and the edges.

    Args:
        vertices: [V, 3].
        faces: [F, 3].
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(faces):
        return Shape(0.0, 0.0, True, 0, 0)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    one = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = len(vertices)
    there, back = one[:, 0] * count + one[:, 1], one[:, 1] * count + one[:, 0]
    ways, times = np.unique(there, return_counts=True)
    # a way through an edge is whole when it is gone once, and the way back once too
    whole = (times == 1) & np.isin(ways, back)
    links = coo_array((np.ones(len(one), np.int8), (one[:, 0], one[:, 1])), shape=(count, count))
    used = np.zeros(count, bool)
    used[faces.reshape(-1)] = True
    _, labels = connected_components(links, directed=False)
    closed = bool(whole.all())
    volume = float(np.einsum("ij,ij->", a, cross) / 6.0) if closed else float("nan")
    area = float(0.5 * np.linalg.norm(cross, axis=1).sum())
    return Shape(volume, area, closed, len(np.unique(labels[used])), int((~whole).sum()))


def drawn(vertices: Floats, faces: Ints, count: int, rng: np.random.Generator) -> Floats:
    """Points drawn uniformly by area, [count, 3].

    Raises:
        ValueError: The surface has no area.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    areas = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    total = float(areas.sum()) if len(areas) else 0.0
    if not total > 0:
        raise ValueError("no points can be drawn on a surface without area")
    which = rng.choice(len(faces), count, p=areas / total)
    u, v = rng.random(count), rng.random(count)
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    found: Floats = a[which] + u[:, None] * (b - a)[which] + v[:, None] * (c - a)[which]
    return found


def chamfer(one: Floats, other: Floats) -> float:
    """Both directions, squared, means added: see `CHAMFER` (the convention of Park et al. 2019).

    Args:
        one: Points [N, 3].
        other: Points [M, 3].
    """
    there, _ = cKDTree(other).query(one)
    back, _ = cKDTree(one).query(other)
    return float(np.square(there).mean() + np.square(back).mean())
