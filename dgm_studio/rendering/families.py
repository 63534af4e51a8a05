"""Families of everyday solids with continuous parameters, whose signed distance is known at every point.

What a model has learnt of them can be held against the truth: shapes, distances, and the parameters themselves. Unions
make the distance a lower bound inside; outside it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.rendering.profiles import board, turned
from dgm_studio.rendering.solids import Solid, box, capsule, cylinder, moved, torus, union, without

FLOOR = -0.85  # height that things stand on


@dataclass(frozen=True)
class Parameter:
    """A continuous property.

    Args:
        name: For people.
        low: Least value.
        high: Largest.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Family:
    """Solids of one kind, all within the cube from -1 to 1.

    Args:
        name: For people.
        parameters: What varies.
        build: From one value for each parameter, in order, to the solid.
    """

    name: str
    parameters: tuple[Parameter, ...]
    build: Callable[..., Solid]

    def solid(self, values: Sequence[float] | Tensor) -> Solid:
        """The member with these parameters: a distance, exact outside; see `field.EXACT`.

        Raises:
            ValueError: Not one value for each parameter.
        """
        if len(values) != len(self.parameters):
            raise ValueError(f"a {self.name} has {len(self.parameters)} parameters, not {len(values)}")
        return self.build(*(float(v) for v in values))

    def drawn(self, count: int, generator: torch.Generator) -> Float[Tensor, "count p"]:
        """Parameters drawn uniformly, [count, P]."""
        low, high = (torch.tensor([getattr(p, end) for p in self.parameters]) for end in ("low", "high"))
        return low + (high - low) * torch.rand(count, len(low), generator=generator)


def rotation(axis: int, angle: float) -> Tensor:
    """Rows to multiply points with, so that a solid is turned by an angle (radians) around an axis, [3, 3]."""
    c, s = math.cos(angle), math.sin(angle)
    first, second = [k for k in range(3) if k != axis]
    found = torch.eye(3)
    found[first, first], found[second, second] = c, c
    found[first, second], found[second, first] = -s, s
    return found


def _legs(width: float, depth: float, top: float, radius: float, splay: float) -> list[Solid]:
    """Four round legs from under a corner each to the floor."""
    out = 1 + splay
    low = FLOOR + radius
    return [
        capsule((sx * width, sy * depth, top), (sx * width * out, sy * depth * out, low), radius)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]


def chair(
    width: float,
    depth: float,
    height: float,
    seat: float,
    back: float,
    lean: float,
    board_: float,
    leg: float,
    splay: float,
    arm: float,
) -> Solid:
    """Four legs, a seat, a leaning back and arms."""
    top = FLOOR + height
    rest = moved(
        box((width, board_, back / 2), (0, 0, back / 2), 0.4 * board_), (0, depth - board_, top), rotation(0, lean)
    )
    reach = top + arm
    arms = [
        part
        for side in (-1, 1)
        for part in (
            capsule((side * width, -0.7 * depth, top), (side * width, -0.7 * depth, reach), 0.8 * leg),
            capsule(
                (side * width, -0.8 * depth, reach), (side * width, depth + math.tan(lean) * arm, reach), 0.8 * leg
            ),
        )
    ]
    return union(
        box((width, depth, seat), (0, 0, top), 0.6 * seat),
        rest,
        *arms,
        *_legs(width - leg, depth - leg, top, leg, splay),
    )


def table(
    width: float,
    depth: float,
    height: float,
    top: float,
    corner: float,
    leg: float,
    splay: float,
    inset: float,
    shelf: float,
) -> Solid:
    """A board with rounded corners on four legs, a smaller board below."""
    high = FLOOR + height
    c = corner * min(width, depth)
    rounded = [
        (sx * (width - c) + c * math.cos(a), sy * (depth - c) + c * math.sin(a))
        for sx, sy, begin in ((1, 1, 0.0), (-1, 1, 0.5), (-1, -1, 1.0), (1, -1, 1.5))
        for a in (math.pi * (begin + k / 12) for k in range(7))
    ]
    flat = moved(board(rounded, top), (0, 0, high), rotation(0, -math.pi / 2))
    under = (1 - inset) * (1 + splay * (1 - shelf))  # where the legs are at that height
    below = box((width * under, depth * under, 0.7 * top), (0, 0, FLOOR + shelf * height), 0.4 * top)
    return union(flat, below, *_legs(width * (1 - inset), depth * (1 - inset), high, leg, splay))


def mug(
    radius: float, height: float, wall: float, bottom: float, flare: float, ring: float, tube: float, at: float
) -> Solid:
    """A cup with a handle; hollow."""
    low, high = -height / 2, height / 2
    wide = radius * flare
    body = turned([(0, low), (radius, low), (wide, high), (0, high)])
    hollow = turned([(0, low + bottom), (radius - wall, low + bottom), (wide - wall, high + 0.2), (0, high + 0.2)])
    middle = 0.5 * (radius + wide)
    handle = moved(torus(ring, tube), (middle, 0, at * (height / 2 - ring)), rotation(0, math.pi / 2))
    return without(union(body, handle), hollow)


def lamp(
    base: float,
    foot: float,
    pole: float,
    height: float,
    wide: float,
    narrow: float,
    shade: float,
    wall: float,
    bulb: float,
) -> Solid:
    """A foot, a pole, an open shade and a bulb in it."""
    top = FLOOR + height
    inner = max(narrow - wall, 0.02)
    cover = turned([(wide, top - shade), (narrow, top), (inner, top), (wide - wall, top - shade)])
    stand = turned(
        [(0, FLOOR), (base, FLOOR), (base, FLOOR + 0.3 * foot), (0.3 * base, FLOOR + foot), (0, FLOOR + foot)]
    )
    lit = moved(turned([(bulb * math.sin(a), -bulb * math.cos(a)) for a in _half_turn(12)]), (0, 0, top - 0.6 * shade))
    bar = box((narrow - 0.5 * wall, 0.5 * pole, 0.5 * pole), (0, 0, top - 0.5 * pole))
    return union(cover, stand, lit, bar, cylinder(pole, height / 2, 2, (0, 0, FLOOR + height / 2)))


def _half_turn(steps: int) -> list[float]:
    return [math.pi * k / steps for k in range(steps + 1)]


def rocket(
    radius: float,
    height: float,
    nose: float,
    blunt: float,
    belly: float,
    nozzle: float,
    span: float,
    root: float,
    sweep: float,
    thick: float,
) -> Solid:
    """A body of revolution with a nose, a nozzle and four swept fins."""
    low = -0.5 * (height + nose)
    high = low + height
    steps = [k / 8 for k in range(1, 9)]
    tip = [(radius * (1 - s**blunt) if s < 1 else 0.0, high + nose * s) for s in steps]
    sides = [(radius * (1 + belly * math.sin(math.pi * k / 6)), low + height * k / 6) for k in range(7)]
    hull = turned([(0, low), *sides, *tip])
    bell = turned([(0, low + 0.05), (0.4 * nozzle, low + 0.05), (nozzle, low - 0.12), (0, low - 0.12)])
    fin = board(
        [(0, low), (0, low + root), (radius + span, low + root - sweep), (radius + span, low - 0.5 * sweep)], thick
    )
    fins = [moved(fin, (0, 0, 0), rotation(2, math.pi / 4 + k * math.pi / 2)) for k in range(4)]
    return union(hull, bell, *fins)


def _family(name: str, build: Callable[..., Solid], **ranges: tuple[float, float]) -> Family:
    return Family(name, tuple(Parameter(k.replace("_", " "), *ends) for k, ends in ranges.items()), build)


FAMILIES = {
    f.name: f
    for f in (
        _family(
            "chair",
            chair,
            half_width=(0.26, 0.42),
            half_depth=(0.26, 0.4),
            seat_height=(0.5, 0.8),
            half_seat=(0.03, 0.07),
            back_height=(0.45, 0.85),
            lean=(0.0, 0.3),
            half_back=(0.025, 0.05),
            leg_radius=(0.025, 0.05),
            splay=(0.0, 0.25),
            arm_height=(0.12, 0.32),
        ),
        _family(
            "table",
            table,
            half_width=(0.45, 0.75),
            half_depth=(0.3, 0.6),
            height=(0.5, 1.1),
            half_top=(0.025, 0.06),
            corner=(0.05, 0.5),
            leg_radius=(0.025, 0.06),
            splay=(0.0, 0.2),
            inset=(0.15, 0.35),
            shelf=(0.15, 0.6),
        ),
        _family(
            "mug",
            mug,
            radius=(0.3, 0.5),
            height=(0.7, 1.2),
            wall=(0.04, 0.08),
            bottom=(0.06, 0.14),
            flare=(0.85, 1.2),
            handle_ring=(0.18, 0.28),
            handle_tube=(0.035, 0.065),
            handle_place=(-0.5, 0.6),
        ),
        _family(
            "lamp",
            lamp,
            base_radius=(0.25, 0.45),
            foot_height=(0.06, 0.2),
            pole_radius=(0.025, 0.05),
            height=(1.2, 1.7),
            shade_wide=(0.35, 0.65),
            shade_narrow=(0.15, 0.33),
            shade_height=(0.35, 0.65),
            shade_wall=(0.03, 0.06),
            bulb_radius=(0.07, 0.13),
        ),
        _family(
            "rocket",
            rocket,
            radius=(0.14, 0.26),
            height=(0.7, 1.1),
            nose_height=(0.3, 0.6),
            bluntness=(1.2, 3.0),
            belly=(0.0, 0.35),
            nozzle_radius=(0.08, 0.16),
            fin_span=(0.15, 0.4),
            fin_root=(0.3, 0.6),
            fin_sweep=(0.0, 0.3),
            half_fin=(0.015, 0.035),
        ),
    )
}
