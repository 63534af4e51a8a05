"""Pictures of fields by sphere tracing (Hart 1996): every ray walks as far as nothing can be, until it is there.

Rays that have arrived or left are dropped: the work follows the picture. After the walk the last step is refined by
regula falsi between a point outside and one inside: the depth is then that of the surface, not of the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.rendering.field import Certainty, Field, values

CLOSE = 1e-4  # of a field's value over its Lipschitz constant, at which a ray has arrived
STEPS = 256
REFINED = 8  # steps of regula falsi
TILE = 65_536  # rays at once
OVERSHOOT = 4.0  # times CLOSE, that a ray goes on to find the inside


@dataclass(frozen=True)
class Camera:
    """Looks at the origin from a sphere around it.

    Args:
        azimuth: Radians around the z axis; 0 looks along -x.
        elevation: Radians above the plane z = 0.
        distance: From the origin.
        view: Angle of view across the height, radians; 0 is a parallel projection.
        pan: Shift of the picture, in units at the origin.
        turn: Radians about the line of sight.
    """

    azimuth: float = 0.7
    elevation: float = 0.4
    distance: float = 3.4
    view: float = 0.72
    pan: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0

    def axes(self) -> Tensor:
        """Right, up and back as rows, [3, 3]; float64."""
        ca, sa = math.cos(self.azimuth), math.sin(self.azimuth)
        ce, se = math.cos(self.elevation), math.sin(self.elevation)
        right = torch.tensor([-sa, ca, 0.0], dtype=torch.float64)
        up = torch.tensor([-se * ca, -se * sa, ce], dtype=torch.float64)
        back = torch.tensor([ce * ca, ce * sa, se], dtype=torch.float64)
        ct, st = math.cos(self.turn), math.sin(self.turn)
        return torch.stack([ct * right + st * up, ct * up - st * right, back])

    def rays(self, width: int, height: int) -> tuple[Tensor, Tensor]:
        """Origins and unit directions through the pixels' centres, rows from the top: [H * W, 3] each, float64."""
        right, up, back = self.axes()
        y = 1.0 - 2.0 * (torch.arange(height, dtype=torch.float64) + 0.5) / height
        x = (2.0 * (torch.arange(width, dtype=torch.float64) + 0.5) - width) / height
        v, u = torch.meshgrid(y, x, indexing="ij")
        eye = self.distance * back + self.pan[0] * right + self.pan[1] * up
        flat = u.reshape(-1, 1) * right + v.reshape(-1, 1) * up
        if self.view <= 0:
            half = 0.5 * self.distance * math.tan(0.36)
            return eye + 2 * half * flat, (-back).expand(len(flat), 3)
        directions = math.tan(0.5 * self.view) * flat - back
        return eye.expand(len(flat), 3), directions / directions.norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class Hits:
    """Where rays arrived.

    Args:
        depth: Along each ray, [R] float64; infinite where it missed.
        evaluations: Points asked in all.
    """

    depth: Tensor
    evaluations: int

    @property
    def hit(self) -> Tensor:
        """Which did, [R]."""
        return torch.isfinite(self.depth)


def trace(
    field: Field,
    certainty: Certainty,
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    reach: float = 1.0,
    longest: float = math.inf,
    level: float = 0.0,
) -> Generator[float, None, Hits]:
    """Walk along rays to the first surface within the cube of half side `reach`.

    Args:
        field: Negative inside.
        certainty: Gives the safe step |f| / Lipschitz.
        origins: [R, 3] float64.
        directions: Of length 1, [R, 3].
        reach: Of the cube around the origin.
        longest: Step, where values saturate (the clamp of a DeepSDF).
        level: The surface is where the field has this value.

    Yields:
        Share of the work that is done, every few steps.
    """
    depth = torch.full((len(origins),), math.inf, dtype=torch.float64)
    asked = 0
    for start in range(0, len(origins), TILE):
        tile = slice(start, start + TILE)
        steps = _walk(field, certainty, origins[tile], directions[tile], reach, longest, level)
        while True:
            try:
                share = next(steps)
            except StopIteration as finished:
                depth[tile], count = finished.value
                asked += count
                break
            yield (start + share * min(TILE, len(origins) - start)) / len(origins)
    return Hits(depth, asked)


def _walk(
    field: Field, certainty: Certainty, o: Tensor, d: Tensor, reach: float, longest: float, level: float
) -> Generator[float, None, tuple[Tensor, int]]:
    near, far = _slab(o, d, reach)
    depth = torch.full((len(o),), math.inf, dtype=torch.float64)
    active = (near < far).nonzero()[:, 0]
    at = near.clamp(min=0.0)
    asked = 0
    for turn in range(STEPS):
        if not len(active):
            break
        told = _told(field, o[active] + at[active, None] * d[active], level)
        asked += len(active)
        there = told <= CLOSE * certainty.lipschitz
        arrived = active[there]
        if len(arrived):
            found, more = _refined(field, certainty, o[arrived], d[arrived], at[arrived], level)
            depth[arrived] = found
            asked += more
        active, told = active[~there], told[~there]
        at[active] += (told / certainty.lipschitz).clamp(max=longest)
        active = active[at[active] < far[active]]
        if turn % 4 == 3:
            yield 1.0 - len(active) / len(o)
    return depth, asked


def _told(field: Field, x: Tensor, level: float) -> Tensor:
    return values(field, x.float()).double() - level


def _refined(field: Field, certainty: Certainty, o: Tensor, d: Tensor, at: Tensor, level: float) -> tuple[Tensor, int]:
    """The sign change nearest behind where the walk stopped; where there is none within reach, where it stopped."""
    low = (at - CLOSE).clamp(min=0.0)
    high = at.clone()
    low_value, high_value = _told(field, o + low[:, None] * d, level), _told(field, o + high[:, None] * d, level)
    asked = 2 * len(at)
    for _ in range(6):  # a grazing ray takes longer to get inside, if it ever does
        outside = high_value > 0
        if not bool(outside.any()):
            break
        low, low_value = torch.where(outside, high, low), torch.where(outside, high_value, low_value)
        high = torch.where(outside, high + OVERSHOOT * CLOSE, high)
        high_value = torch.where(outside, _told(field, o + high[:, None] * d, level), high_value)
        asked += len(at)
    inside = high_value <= 0
    for _ in range(REFINED):
        share = (low_value / (low_value - high_value)).clamp(0.05, 0.95)
        middle = torch.where(inside, low + share * (high - low), at)
        value = _told(field, o + middle[:, None] * d, level)
        asked += len(at)
        before = value > 0
        low, low_value = torch.where(before, middle, low), torch.where(before, value, low_value)
        high, high_value = torch.where(before, high, middle), torch.where(before, high_value, value)
    share = low_value / (low_value - high_value)
    exact = low + share.nan_to_num(0.5).clamp(0, 1) * (high - low)
    return torch.where(inside, exact, at), asked


def _slab(o: Tensor, d: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the cube; entering after leaving means that they miss it."""
    safe = torch.where(d.abs() < 1e-12, torch.full_like(d, 1e-12), d)
    one, other = (-reach - o) / safe, (reach - o) / safe
    return torch.minimum(one, other).amax(1), torch.maximum(one, other).amin(1)


def normals(field: Field, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Unit gradients by automatic differentiation; zero where the gradient is."""
    with torch.enable_grad():
        points = x.detach().clone().float().requires_grad_(True)
        (gradient,) = torch.autograd.grad(field(points).sum(), points)
    return torch.nn.functional.normalize(gradient, dim=1)
