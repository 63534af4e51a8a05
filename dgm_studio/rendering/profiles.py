"""Exact distances of solids that have an outline: turned on a lathe, or cut from a board."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_studio.rendering.solids import Solid

Outline = Sequence[tuple[float, float]]
"""Corners of a polygon that does not cross itself, in order; the last one is joined to the first."""


AXIS = 1e-9  # nearer to it than that is on it


def outlined(p: Tensor, outline: Outline, hidden: Tensor | None = None) -> Tensor:
    """Signed distance in the plane.

    Args:
        p: Points [N, 2].
        outline: The polygon.
        hidden: Sides [M] that are no boundary, such as those on the axis of a lathe.

    Returns:
        [N], negative inside (an odd number of sides to the right).
    """
    a = p.new_tensor(outline)
    along = a.roll(-1, 0) - a
    away = p[:, None] - a
    share = ((away * along).sum(2) / along.square().sum(1).clamp(min=1e-20)).clamp(0, 1)
    distance = (away - share[..., None] * along).norm(dim=2)
    if hidden is not None:
        distance = distance.masked_fill(hidden, float("inf"))
    y, low, high = p[:, 1:2], a[:, 1], a.roll(-1, 0)[:, 1]
    spans = (low <= y) != (high <= y)
    rise = torch.where(along[:, 1] == 0, torch.ones_like(low), along[:, 1])
    right = a[:, 0] + (y - low) / rise * along[:, 0] > p[:, 0:1]
    inside = (spans & right).sum(1) % 2 == 1
    nearest = distance.amin(1)
    return torch.where(inside, -nearest, nearest)


def turned(outline: Outline) -> Solid:
    """Turned around the z axis.

    Args:
        outline: Corners (distance from the axis, z); sides on the axis are no surface.
    """
    corners = list(outline)
    hidden = torch.tensor(
        [max(a[0], b[0]) < AXIS for a, b in zip(corners, corners[1:] + corners[:1], strict=True)], dtype=torch.bool
    )

    def f(x: Tensor) -> Tensor:
        return outlined(torch.stack([x[:, :2].norm(dim=1), x[:, 2]], 1), corners, hidden.to(x.device))

    return f


def board(outline: Outline, half: float) -> Solid:
    """Cut from a board in the plane of x and z, `half` thick to each side along y."""

    def f(x: Tensor) -> Tensor:
        q = torch.stack([outlined(x[:, [0, 2]], outline), x[:, 1].abs() - half], 1)
        return q.clamp(min=0).norm(dim=1) + q.amax(1).clamp(max=0)

    return f
