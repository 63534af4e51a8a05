"""Exact signed distances of solids, and what keeps them bounded by distance: the truth that surfaces are tested on.

Primitives give the exact Euclidean distance. Union and intersection by minimum and maximum keep |f(x) - f(y)| no larger
than |x - y| (Hart 1996, section 2.3), though inside a union the value may only be a lower bound of the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Solid = Callable[[Tensor], Tensor]
"""Points [N, 3] -> [N]."""


def sphere(radius: float, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Solid:
    """A ball."""

    def f(x: Tensor) -> Tensor:
        return (x - x.new_tensor(centre)).norm(dim=1) - radius

    return f


def box(half: Sequence[float], centre: Sequence[float] = (0.0, 0.0, 0.0), rounding: float = 0.0) -> Solid:
    """A box with these half sides, its edges rounded."""

    def f(x: Tensor) -> Tensor:
        q = (x - x.new_tensor(centre)).abs() - (x.new_tensor(half) - rounding)
        return q.clamp(min=0).norm(dim=1) + q.amax(1).clamp(max=0) - rounding

    return f


def torus(ring: float, tube: float, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Solid:
    """Around the z axis: radius of the ring's middle, and of the tube."""

    def f(x: Tensor) -> Tensor:
        p = x - x.new_tensor(centre)
        across = p[:, :2].norm(dim=1) - ring
        return torch.hypot(across, p[:, 2]) - tube

    return f


def cylinder(radius: float, half: float, axis: int = 2, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Solid:
    """A capped cylinder along an axis."""
    others = [k for k in range(3) if k != axis]

    def f(x: Tensor) -> Tensor:
        p = x - x.new_tensor(centre)
        q = torch.stack([p[:, others].norm(dim=1) - radius, p[:, axis].abs() - half], 1)
        return q.clamp(min=0).norm(dim=1) + q.amax(1).clamp(max=0)

    return f


def capsule(one: Sequence[float], other: Sequence[float], radius: float) -> Solid:
    """All points within a radius of a segment."""

    def f(x: Tensor) -> Tensor:
        a, b = x.new_tensor(one), x.new_tensor(other)
        along = b - a
        share = (((x - a) @ along) / along.dot(along)).clamp(0, 1)
        return (x - a - share[:, None] * along).norm(dim=1) - radius

    return f


def union(*solids: Solid) -> Solid:
    """All of them."""
    return lambda x: torch.stack([s(x) for s in solids]).amin(0)


def intersection(*solids: Solid) -> Solid:
    """What they have in common."""
    return lambda x: torch.stack([s(x) for s in solids]).amax(0)


def without(solid: Solid, *holes: Solid) -> Solid:
    """A solid less others."""
    return lambda x: torch.stack([solid(x), *(-h(x) for h in holes)]).amax(0)


def smooth_union(one: Solid, other: Solid, width: float) -> Solid:
    """A union whose crease is filled where both distances differ by less than `width`.

    The quadratic polynomial minimum; its gradient is a convex combination of the two, so distances still bound it.
    """

    def f(x: Tensor) -> Tensor:
        a, b = one(x), other(x)
        h = (width - (a - b).abs()).clamp(min=0) / width
        return torch.minimum(a, b) - h * h * (width / 4)

    return f


def moved(solid: Solid, offset: Sequence[float], rotation: Tensor | None = None) -> Solid:
    """Turned by a rotation [3, 3], then moved."""

    def f(x: Tensor) -> Tensor:
        p = x - x.new_tensor(offset)
        return solid(p if rotation is None else p @ rotation.to(p))

    return f


def scaled(solid: Solid, factor: float) -> Solid:
    """Enlarged by a factor, still a distance."""
    return lambda x: factor * solid(x / factor)
