"""Lines of equal height through a grid of values, and heights that enclose a part of a density's mass. numpy only."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

# Edges of a cell: 0 bottom, 1 right, 2 top, 3 left; corners counted from bottom left against the clock, bit k set when
# corner k is inside. A saddle is cut by the value in its middle.
SEGMENTS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((3, 0),),
    2: ((0, 1),),
    3: ((3, 1),),
    4: ((1, 2),),
    6: ((0, 2),),
    7: ((3, 2),),
    8: ((2, 3),),
    9: ((2, 0),),
    11: ((2, 1),),
    12: ((1, 3),),
    13: ((1, 0),),
    14: ((0, 3),),
}
SADDLES = {5: (((3, 2), (1, 0)), ((3, 0), (1, 2))), 10: (((0, 3), (2, 1)), ((0, 1), (2, 3)))}  # middle inside, outside
QUADRATIC = 1e-4  # nats; a log density that deviates less from a parabola is a Gaussian's


@dataclass(frozen=True)
class Grid:
    """Values on a rectangle: `values[b, a]` at (x[a], y[b]), both axes rising."""

    x: Doubles
    y: Doubles
    values: Doubles


def contour(grid: Grid, level: float) -> list[Floats]:
    """Where the values, interpolated along the cells' edges, equal a level (marching squares).

    Args:
        grid: Values on a rectangle; those that are not finite count as far below.
        level: The height.

    Returns:
        Lines, [n, 2] each; a closed one ends where it begins. Higher ground lies on one side throughout.
    """
    floor = level - 1e3
    values = np.where(np.isfinite(grid.values), grid.values, floor)
    links = _links(values, level)
    lines = [_points(grid, values, level, chain) for chain in _chains(links)]
    return [line for line in lines if len(line) > 1]


Edge = tuple[int, int, int]  # 0 = horizontal from (b, a) to (b, a + 1), 1 = vertical from (b, a) to (b + 1, a)


def _links(values: Doubles, level: float) -> list[tuple[Edge, Edge]]:
    inside = values > level
    corners = (inside[:-1, :-1], inside[:-1, 1:], inside[1:, 1:], inside[1:, :-1])
    case = np.zeros(inside[1:, 1:].shape, np.int64)
    for k, corner in enumerate(corners):
        case |= corner.astype(np.int64) << k
    links: list[tuple[Edge, Edge]] = []
    for b, a in np.argwhere((case != 0) & (case != 15)):
        kind = int(case[b, a])
        if kind in SADDLES:
            middle = values[b : b + 2, a : a + 2].mean() > level
            cuts: tuple[tuple[int, int], ...] = SADDLES[kind][0 if middle else 1]
        else:
            cuts = SEGMENTS[kind]
        edges: tuple[Edge, ...] = (
            (0, int(b), int(a)),
            (1, int(b), int(a) + 1),
            (0, int(b) + 1, int(a)),
            (1, int(b), int(a)),
        )
        links += [(edges[start], edges[end]) for start, end in cuts]
    return links


def _chains(links: list[tuple[Edge, Edge]]) -> list[list[Edge]]:
    """Join segments at shared edges; an edge is in at most two."""
    at: dict[Edge, list[int]] = defaultdict(list)
    for index, (start, end) in enumerate(links):
        at[start].append(index)
        at[end].append(index)
    used = [False] * len(links)
    open_ends = [edge for edge, found in at.items() if len(found) == 1]
    chains = []
    for first in [*open_ends, *at]:
        chain = [first]
        while True:
            free = next((k for k in at[chain[-1]] if not used[k]), None)
            if free is None:
                break
            used[free] = True
            start, end = links[free]
            chain.append(end if start == chain[-1] else start)
        if len(chain) > 1:
            chains.append(chain)
    return chains


def _points(grid: Grid, values: Doubles, level: float, chain: list[Edge]) -> Floats:
    axis, b, a = np.array(chain).T
    b2, a2 = b + axis, a + 1 - axis
    low, high = values[b, a], values[b2, a2]
    t = (level - low) / np.where(high == low, 1.0, high - low)
    x = grid.x[a] + t * (grid.x[a2] - grid.x[a])
    y = grid.y[b] + t * (grid.y[b2] - grid.y[b])
    return np.stack([x, y], 1).astype(np.float32)


def mass_level(grid: Grid, fraction: float) -> float:
    """The height of log density above which the points hold a fraction of the mass on the plane.

    A Gaussian is recognised (its log density is a parabola) and answered exactly: in two dimensions the squared
    Mahalanobis radius is exponential, so the height is that of the peak plus log(1 - fraction). Other densities are
    summed over the grid, which must hold their mass.

    Args:
        grid: Log density in nats, up to a constant.
        fraction: In (0, 1).
    """
    peak = gaussian_peak(grid)
    if peak is not None:
        return peak + math.log1p(-fraction)
    values = np.sort(grid.values[np.isfinite(grid.values)])[::-1]
    if not len(values):
        return 0.0
    mass = np.cumsum(np.exp(values - values[0]))
    # Half of a cell's mass lies before its own height in the ranking.
    middle = mass - 0.5 * np.exp(values - values[0])
    return float(np.interp(fraction * mass[-1], middle, values))


def gaussian_peak(grid: Grid) -> float | None:
    """The height of the peak when the values are a downward parabola of two variables, else None."""
    x, y = np.meshgrid(grid.x, grid.y)
    if not np.isfinite(grid.values).all():
        return None
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1).reshape(-1, 6)
    found, *_ = np.linalg.lstsq(terms, grid.values.ravel(), rcond=None)
    scale = max(1.0, float(np.abs(grid.values).max()))
    if np.abs(terms @ found - grid.values.ravel()).max() > QUADRATIC * scale:
        return None
    hessian = np.array([[2 * found[3], found[4]], [found[4], 2 * found[5]]])
    if np.linalg.eigvalsh(hessian).max() >= 0:
        return None
    at = -np.linalg.solve(hessian, found[1:3])
    return float(found[0] + found[1:3] @ at + 0.5 * at @ hessian @ at)
