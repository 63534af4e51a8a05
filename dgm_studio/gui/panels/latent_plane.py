"""Directions and planes of a latent space, from what `DescribeLatents` tells. numpy only.

An axis is named by a key: "latent:3", "principal:0", "attribute:digit:8", or "anchors:1" and "anchors:2" for the plane
through the first three anchors of the path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Rect = tuple[float, float, float, float]
"""left, right, bottom, top in plane coordinates."""

REACH = 3.0  # how far a slider or an unknown map goes, in prior standard deviations
MARGIN = 1.15
PARALLEL = 1e-6
TILE_PIXELS = 64.0  # smallest side of a tile on the screen, in logical pixels
MOST_TILES = 400  # asked at once; a view that would need more gets a coarser level
FINEST, COARSEST = 12, -8


@dataclass(frozen=True)
class Space:
    """What is known of a latent space. Without a description: only its size.

    Args:
        latent: Z.
        mean: Of the aggregate posterior, [Z].
        std: Of the aggregate posterior, [Z].
        kl: Nats a dimension, [Z].
        order: Dimensions by falling KL.
        active: How many dimensions the model uses, -1 when unknown.
        components: Principal directions, [K, Z].
        explained: Share of the variance, [K].
        directions: Attribute directions by "factor:category".
        separation: How well each attribute is told apart (AUC).
        points: Posterior means, [N, Z].
        indices: Their places in the split, [N].
        factors: Their annotations, [N] each.
        split: Which part of the data they are.
        known: Whether a description has come.
    """

    latent: int
    mean: Doubles
    std: Doubles
    kl: Doubles
    order: tuple[int, ...]
    active: int = -1
    components: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    explained: Doubles = field(default_factory=lambda: np.zeros(0))
    directions: Mapping[str, Doubles] = field(default_factory=dict)
    separation: Mapping[str, float] = field(default_factory=dict)
    points: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    indices: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    factors: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    split: str = "valid"
    known: bool = False

    @classmethod
    def unknown(cls, latent: int) -> Space:
        """Nothing but the size."""
        zero = np.zeros(latent)
        return cls(latent, zero, np.ones(latent), zero, tuple(range(latent)), points=np.zeros((0, latent)))

    @classmethod
    def of(cls, data: Mapping[str, Any], before: Space | None = None) -> Space:
        """From the Frame "latents".

        Args:
            data: See `core.requests.DescribeLatents`.
            before: The space of a neighbouring snapshot: principal directions keep their sense, so that the map of a
                training model does not flip.
        """
        points = np.asarray(data["points"], float)
        components = np.asarray(data["components"], float)
        if before is not None and before.components.shape == components.shape and components.size:
            turned = (components * before.components).sum(1) < 0
            components = np.where(turned[:, None], -components, components)
        return cls(
            latent=len(data["kl"]),
            mean=np.asarray(data["mean"], float),
            std=np.asarray(data["std"], float),
            kl=np.asarray(data["kl"], float),
            order=tuple(int(i) for i in data["order"]),
            active=int(data["active"]),
            components=components,
            explained=np.asarray(data["explained"], float),
            directions={str(k): np.asarray(v, float) for k, v in data["directions"].items()},
            separation={str(k): float(v) for k, v in data["separation"].items()},
            points=points,
            indices=np.asarray(data["indices"], np.int64),
            factors={str(k): np.asarray(v, np.int64) for k, v in data["factors"].items()},
            split=str(data.get("split", "valid")),
            known=True,
        )

    def direction(self, key: str) -> Doubles | None:
        """The unit vector an axis key names, None when this space has none of that name."""
        kind, _, rest = key.partition(":")
        if kind == "latent" and rest.isdigit() and int(rest) < self.latent:
            return np.asarray(np.eye(self.latent)[int(rest)], float)
        if kind == "principal" and rest.isdigit() and int(rest) < len(self.components):
            return _unit(self.components[int(rest)])
        if kind == "attribute" and rest in self.directions:
            return _unit(self.directions[rest])
        return None

    def centre(self, key: str) -> Doubles:
        """Where a direction's value is zero: the origin for a latent, the data's mean for the others."""
        return np.zeros(self.latent) if key.startswith("latent:") else self.mean

    def value(self, key: str, z: Doubles) -> float:
        """How far z lies along a direction."""
        direction = self.direction(key)
        return 0.0 if direction is None else float(direction @ (z - self.centre(key)))

    def moved(self, key: str, z: Doubles, value: float, locked: frozenset[int]) -> Doubles:
        """z with another value along a direction; locked dimensions stay what they are.

        The step is taken along the unlocked part of the direction and lengthened, so that the value is reached exactly.
        """
        direction = self.direction(key)
        if direction is None:
            return z
        free = unlocked(direction, locked)
        square = float(free @ free)
        if square < PARALLEL:
            return z
        return np.asarray(z + (value - self.value(key, z)) / square * free)

    def keys(self, kind: str) -> tuple[str, ...]:
        """Axis keys of a kind ("latent", "principal", "attribute"), the most telling first."""
        if kind == "latent":
            return tuple(f"latent:{i}" for i in self.order)
        if kind == "principal":
            return tuple(f"principal:{i}" for i in range(len(self.components)))
        ranked = sorted(self.directions, key=lambda name: -self.separation.get(name, 0.0))
        return tuple(f"attribute:{name}" for name in ranked)

    def reach(self, key: str) -> float:
        """How far a slider along a direction goes to each side."""
        if not self.known or key.startswith("latent:"):
            return REACH
        direction = self.direction(key)
        spread = 1.0 if direction is None else float(np.sqrt((direction**2) @ (self.std**2)))
        return max(REACH, math.ceil(REACH * spread))


def title(key: str, *, short: bool = False) -> str:
    """An axis in words.

    >>> title("latent:3"), title("principal:0"), title("attribute:digit:8"), title("anchors:1")
    ('z03', 'PC 1', 'digit: 8', 'A to B')
    """
    kind, _, rest = key.partition(":")
    if kind == "latent":
        return f"z{int(rest):02d}"
    if kind == "principal":
        return f"PC {int(rest) + 1}"
    if kind == "anchors":
        return {"1": "A to B", "2": "towards C"}.get(rest, rest)
    factor, _, category = rest.partition(":")
    return category if short else f"{factor}: {category}"


def unlocked(direction: Doubles, locked: frozenset[int]) -> Doubles:
    """A direction without its locked dimensions."""
    free = direction.copy()
    free[list(locked)] = 0.0
    return free


def _unit(direction: Doubles) -> Doubles:
    return np.asarray(direction / max(float(np.linalg.norm(direction)), 1e-12))


@dataclass(frozen=True)
class Plane:
    """z(x, y) = origin + x u + y v, with u and v of unit length and at right angles.

    Args:
        origin: [Z].
        u: [Z].
        v: [Z].
        axes: What u and v stand for.
    """

    origin: Doubles
    u: Doubles
    v: Doubles
    axes: tuple[str, str]

    def lift(self, x: float, y: float) -> Doubles:
        """The latent vector at plane coordinates."""
        return np.asarray(self.origin + x * self.u + y * self.v)

    def project(self, z: Doubles) -> Doubles:
        """Plane coordinates [..., 2] of the nearest points of the plane to z [..., Z]."""
        return np.asarray((z - self.origin) @ np.stack([self.u, self.v], 1))

    def distance(self, z: Doubles) -> float:
        """How far z lies off the plane."""
        x, y = self.project(z)
        return float(np.linalg.norm(z - self.lift(float(x), float(y))))

    def spread(self, std: Doubles) -> Doubles:
        """Covariance [2, 2] of an axis-aligned Gaussian with these standard deviations, seen on the plane."""
        basis = np.stack([self.u, self.v])
        return np.asarray((basis * std**2) @ basis.T)

    def name(self) -> tuple[Any, ...]:
        """Equal for planes that are painted with the same pictures."""
        return tuple(tuple(np.round(part, 6).tolist()) for part in (self.origin, self.u, self.v))


def default_axes(space: Space, mode: str) -> tuple[str, str]:
    """The two axes of "kl", "pca" or "labels"; what the space lacks falls back to latents."""
    keys = space.keys({"pca": "principal", "labels": "attribute"}.get(mode, "latent"))
    for second in keys[1:]:
        one, other = space.direction(keys[0]), space.direction(second)
        # Two attributes may say almost the same; a plane needs two that differ.
        if one is not None and other is not None and abs(float(one @ other)) < 0.8:
            return keys[0], second
    latents = space.keys("latent")
    return latents[0], latents[1]


def plane_through(
    space: Space, axes: tuple[str, str], z: Doubles, locked: frozenset[int], anchors: Sequence[Doubles] = ()
) -> Plane:
    """The plane through z that two axes span; locked dimensions do not change on it.

    Coordinates are those of the axes themselves (a latent's value, a principal component's score), so the data points
    keep their places while z moves off the plane. The second axis is taken at right angles to the first. The plane of
    the anchors has the first of them at (0, 0) and passes through them, wherever z is.
    """
    if axes[0].startswith("anchors:") and len(anchors) >= 3:
        one, other = anchors[1] - anchors[0], anchors[2] - anchors[0]
        return _span(anchors[0], (anchors[0], anchors[0]), unlocked(one, locked), unlocked(other, locked), axes)
    first, second = (space.direction(key) for key in axes)
    if first is None or second is None:
        axes = default_axes(space, "kl")
        first, second = (space.direction(key) for key in axes)
    assert first is not None and second is not None  # latents are always there
    centres = (space.centre(axes[0]), space.centre(axes[1]))
    return _span(z, centres, unlocked(first, locked), unlocked(second, locked), axes)


def _span(
    through: Doubles, centres: tuple[Doubles, Doubles], one: Doubles, other: Doubles, axes: tuple[str, str]
) -> Plane:
    u = _unit(one) if float(one @ one) > PARALLEL else _any_unit(other)
    rest = other - (other @ u) * u
    v = _unit(rest) if float(rest @ rest) > PARALLEL else _any_unit(u)
    x, y = float((through - centres[0]) @ u), float((through - centres[1]) @ v)
    return Plane(through - x * u - y * v, u, v, axes)


def _any_unit(apart: Doubles) -> Doubles:
    """A unit vector at right angles to a given one: the coordinate axis that lies furthest from it, made so."""
    against = _unit(apart)
    axis = np.eye(len(against))[int(np.abs(against).argmin())]
    return _unit(axis - (axis @ against) * against)


def home(space: Space, plane: Plane) -> Rect:
    """The part of a plane where the data are, as a square."""
    if not len(space.points):
        return (-REACH, REACH, -REACH, REACH)
    low, high = np.quantile(plane.project(space.points), (0.005, 0.995), axis=0)
    half = max(MARGIN * float((high - low).max()) / 2, 0.5)
    x, y = (low + high) / 2
    return (float(x - half), float(x + half), float(y - half), float(y + half))


def tiles_in(rect: Rect, pixels_per_unit: float) -> tuple[int, tuple[tuple[int, int], ...]]:
    """The level that suits a scale, and its tiles that a rectangle touches.

    Tiles of the level are at least `TILE_PIXELS` and less than twice as wide, unless so many would be needed that
    coarser ones must do.

    Args:
        rect: What is in sight.
        pixels_per_unit: Logical pixels.

    >>> tiles_in((-0.5, 0.5, 0.0, 0.9), 100.0)
    (0, ((-1, 0), (0, 0)))
    >>> tiles_in((-0.5, 0.5, 0.0, 0.9), 20.0)[0]
    -2
    """
    level = math.floor(math.log2(max(pixels_per_unit, 1e-9) / TILE_PIXELS))
    level = min(max(level, COARSEST), FINEST)
    left, right, bottom, top = rect
    while True:
        side = 2.0**-level
        columns = range(math.floor(left / side), math.ceil(right / side))
        rows = range(math.floor(bottom / side), math.ceil(top / side))
        if len(columns) * len(rows) <= MOST_TILES or level == COARSEST:
            return level, tuple((i, j) for j in rows for i in columns)
        level -= 1
