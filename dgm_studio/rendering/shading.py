"""Pictures of fields without OpenGL: light, shadow and the shade of hollows, or what a field is like at its surface.

Tiles of rays are traced and coloured one after the other; the picture so far can be shown after each.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgm_studio.rendering.field import BATCH, Certainty, Field, asked
from dgm_studio.rendering.tracing import Camera, Hits, trace

LOOKS = ("clay", "matcap", "normals", "curvature", "eikonal")
TILE = 4_096  # rays
LIFT = 1e-3  # towards the eye, where gradients are taken: on the surface itself a distance has only rounding left
SHADOW_STEPS = 40
SHADOW_LENGTH = 1.6
SHADOW_START = 0.02
SHARPNESS = 9.0  # of shadows: the tangent of the lamp's half angle is one over this
HOLLOW_STEPS = (0.02, 0.05, 0.1, 0.18, 0.3)
TANGENT = 4e-3  # step of the differences that curvature is taken from
CLAY = (0.80, 0.77, 0.73)
LAMP = (0.45, 0.75, 0.62)  # right, up, towards the eye
GAMMA = 2.2
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """How a picture is made.

    Args:
        kind: One of `LOOKS`.
        colour: Of the clay, linear, 0 to 1.
        background: Behind, 0 to 255.
        shadow: Whether the lamp throws one.
        samples: Along each side of a pixel.
        full: Value at the end of the colours of curvature (per unit) and of eikonal error.
    """

    kind: str = "clay"
    colour: tuple[float, float, float] = CLAY
    background: tuple[int, int, int] = (255, 255, 255)
    shadow: bool = True
    samples: int = 1
    full: float = 8.0


@dataclass(frozen=True)
class Picture:
    """A picture, or as much as there is of it.

    Args:
        pixels: [H, W, 3].
        rows: Rows that are done, from the top.
        evaluations: Points asked for the surface; colours come on top.
    """

    pixels: Bytes
    rows: int
    evaluations: int


def pictured(
    field: Field,
    certainty: Certainty,
    camera: Camera,
    width: int,
    height: int,
    look: Look | None = None,
    reach: float = 1.0,
    longest: float = math.inf,
    level: float = 0.0,
) -> Generator[Picture | float, None, Picture]:
    """A picture of a field's surface.

    Args:
        field: Negative inside, differentiable.
        certainty: Gives the safe step.
        camera: From where.
        width: Pixels.
        height: Pixels.
        look: How; clay by default.
        reach: Of the cube around the origin.
        longest: Step, where values saturate.
        level: The surface is where the field has this value.

    Yields:
        The share that is done, often; after each band of rows the picture so far.

    Raises:
        ValueError: No such look.
    """
    look = look or Look()
    if look.kind not in LOOKS:
        raise ValueError(f"no look is called {look.kind!r}")
    fine = look.samples
    origins, directions = camera.rays(width * fine, height * fine)
    band = max(1, TILE // (width * fine * fine))
    behind = np.array(look.background, np.float64) / 255
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = look.background
    count = 0
    for top in range(0, height, band):
        rows = min(band, height - top)
        tile = slice(top * fine * width * fine, (top + rows) * fine * width * fine)
        o, d = origins[tile], directions[tile]
        hits = yield from _scaled(trace(field, certainty, o, d, reach, longest, level), top / height, rows / height)
        count += hits.evaluations
        colours = np.tile(behind**GAMMA, (len(o), 1))
        x, seen = (o + hits.depth[:, None] * d)[hits.hit].float(), -d[hits.hit].float()
        if len(x):
            shaded = yield from _quiet(_coloured(field, certainty, camera, look, x, seen, level), top / height)
            colours[hits.hit.numpy()] = shaded.double().numpy()
        mean = colours.reshape(rows, fine, width, fine, 3).mean((1, 3))
        pixels[top : top + rows] = np.rint(255 * mean.clip(0, 1) ** (1 / GAMMA)).astype(np.uint8)
        yield Picture(pixels.copy(), top + rows, count)
    return Picture(pixels, height, count)


def _scaled(steps: Generator[float, None, Hits], start: float, share: float) -> Generator[Picture | float, None, Hits]:
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            hits: Hits = end.value
            return hits
        yield start + 0.5 * share * done


def _quiet(steps: Generator[None, None, Tensor], done: float) -> Generator[Picture | float, None, Tensor]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: Tensor = end.value
            return value
        yield done


def gradients(field: Field, x: Tensor) -> Generator[None, None, Tensor]:
    """Of the field at points [N, 3], by automatic differentiation: [N, 3]."""
    found = [torch.zeros(0, 3)]
    for some in x.split(getattr(field, "batch", BATCH)):
        with torch.enable_grad():
            points = some.detach().clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(field(points).sum(), points)
        found.append(gradient.float())
        yield
    return torch.cat(found)


def _coloured(
    field: Field, certainty: Certainty, camera: Camera, look: Look, x: Tensor, seen: Tensor, level: float
) -> Generator[None, None, Tensor]:
    """Linear colours [N, 3] of points on the surface; `seen` is the way to the eye."""
    gradient = yield from gradients(field, x + LIFT * seen)
    normal = torch.nn.functional.normalize(gradient, dim=1)
    if look.kind == "eikonal":
        return diverging((gradient.norm(dim=1) - 1) / look.full, seen, normal)
    if look.kind == "curvature":
        bent = yield from curvature(field, x, gradient)
        return diverging(bent / look.full, seen, normal)
    axes = camera.axes().float()
    local = normal @ axes.T
    if look.kind == "normals":
        return (0.5 + 0.5 * local).clamp(0, 1) ** GAMMA
    if look.kind == "matcap":
        return matcap(local)
    lamp = torch.nn.functional.normalize(torch.tensor(LAMP) @ axes, dim=0)
    open_ = yield from openness(field, certainty, x, normal, level)
    light = torch.ones(len(x))
    if look.shadow:
        light = yield from lit(field, certainty, x, normal, lamp, level)
    return clay(torch.tensor(look.colour), normal, lamp, seen, light, open_, axes[1])


def clay(
    colour: Tensor, normal: Tensor, lamp: Tensor, seen: Tensor, light: Tensor, open_: Tensor, up: Tensor
) -> Tensor:
    """A lamp (Lambert, with a weak highlight), the sky above and a little from below."""
    lambert = (normal @ lamp).clamp(min=0) * light
    sky = 0.5 + 0.5 * (normal @ up)
    halfway = torch.nn.functional.normalize(lamp + seen, dim=1)
    shine = 0.10 * (normal * halfway).sum(1).clamp(min=0).pow(40) * light
    amount = 0.78 * lambert + open_ * (0.12 + 0.30 * sky)
    return amount[:, None] * colour + shine[:, None]


def matcap(local: Tensor) -> Tensor:
    """Colours that depend on how a surface is turned to the eye alone: a ball of grey porcelain, warm from the left."""
    warm = (local @ torch.nn.functional.normalize(torch.tensor([-0.5, 0.6, 0.62]), dim=0)).clamp(min=0)
    cool = (local @ torch.nn.functional.normalize(torch.tensor([0.8, -0.3, 0.3]), dim=0)).clamp(min=0)
    rim = (1 - local[:, 2].clamp(0, 1)).pow(3)
    base = 0.06 + 0.62 * warm[:, None] * torch.tensor([1.0, 0.94, 0.86])
    return (
        base + 0.16 * cool[:, None] * torch.tensor([0.6, 0.8, 1.0]) + 0.10 * rim[:, None] + 0.35 * warm[:, None].pow(60)
    )


def diverging(value: Tensor, seen: Tensor, normal: Tensor) -> Tensor:
    """Blue below, light grey at, red above zero; a little darker where the surface turns away."""
    ends = torch.tensor([[0.02, 0.16, 0.55], [0.72, 0.72, 0.72], [0.60, 0.04, 0.05]])
    share = value.nan_to_num(0.0).clamp(-1, 1)[:, None]
    colour = torch.where(share < 0, ends[1] + share.abs() * (ends[0] - ends[1]), ends[1] + share * (ends[2] - ends[1]))
    return colour * (0.55 + 0.45 * (seen * normal).sum(1).abs()[:, None])


def curvature(field: Field, x: Tensor, gradient: Tensor) -> Generator[None, None, Tensor]:
    """Mean curvature of the level set, the mean of both principal ones, positive on a ball: [N] per unit.

    Second differences along two tangents over the gradient's length, which is the divergence of the unit normal halved.
    """
    normal = torch.nn.functional.normalize(gradient, dim=1)
    helper = torch.eye(3)[normal.abs().argmin(1)]
    one = torch.nn.functional.normalize(torch.linalg.cross(normal, helper), dim=1)
    other = torch.linalg.cross(normal, one)
    around = torch.cat([x + TANGENT * t for t in (one, -one, other, -other)] + [x])
    told = (yield from asked(field, around)).double().reshape(5, -1)
    second = (told[:4].sum(0) - 4 * told[4]) / TANGENT**2
    return (0.5 * second / gradient.norm(dim=1).double().clamp(min=1e-12)).float()


def openness(
    field: Field, certainty: Certainty, x: Tensor, normal: Tensor, level: float
) -> Generator[None, None, Tensor]:
    """How much of the sky a point sees, [N]: a distance smaller than the step along the normal is a wall near by.

    Evans (2006), "Fast approximations for global illumination on dynamic scenes": weights halve with each step.
    """
    dark, total = torch.zeros(len(x)), 0.0
    for turn, step in enumerate(HOLLOW_STEPS):
        told = (yield from asked(field, x + step * normal)) - level
        weight = 0.5**turn
        dark += weight * (1 - told / (certainty.lipschitz * step)).clamp(0, 1)
        total += weight
    return 1 - dark / total


def lit(
    field: Field, certainty: Certainty, x: Tensor, normal: Tensor, lamp: Tensor, level: float
) -> Generator[None, None, Tensor]:
    """How much of the lamp's disc a point sees, [N]: from how closely its ray passes by what is in the way."""
    light = torch.ones(len(x))
    active = ((normal @ lamp) > 0).nonzero()[:, 0]
    start = x + 2e-3 * normal
    along = torch.full((len(x),), SHADOW_START)
    for _ in range(SHADOW_STEPS):
        if not len(active):
            break
        told = (yield from asked(field, start[active] + along[active, None] * lamp)) - level
        safe = told / certainty.lipschitz
        light[active] = torch.minimum(light[active], (SHARPNESS * safe / along[active]).clamp(0, 1))
        along[active] += safe.clamp(min=0.008, max=0.2)
        active = active[(safe > 1e-4) & (along[active] < SHADOW_LENGTH)]
    return light * light * (3 - 2 * light)
