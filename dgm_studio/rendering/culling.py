"""Where a surface can be: blocks of a grid that certainly hold none of it are left out, the others are halved.

A block is a cube of `size` cells, `size` a power of two. It is left out when the field's value in its centre is larger
than the field can change on the way to its corners (Lipschitz), or when an enclosure of its values excludes zero.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgm_studio.core.updates import Problem
from dgm_studio.rendering.field import Bounds, Certainty, Field, values

LEAF = 2  # cells along the side of the smallest blocks: fewer evaluations than with 1 or 4
ROOTS = 8  # blocks along a side that are looked at first
SLACK = 1e-6  # of single precision, beside distances of about one
AUDITED = 4096
MOST_ROUNDS = 8
BOXES = 16_384  # enclosed at once


@dataclass(frozen=True)
class Grid:
    """A cube of space cut into cells.

    Args:
        cells: Along a side.
        low: Smallest coordinate, the same for x, y and z.
        high: Largest.
        level: The surface is where the field has this value.
    """

    cells: int
    low: float = -1.0
    high: float = 1.0
    level: float = 0.0

    @property
    def step(self) -> float:
        """Side of a cell."""
        return (self.high - self.low) / self.cells

    def at(self, index: Tensor) -> Tensor:
        """Coordinates, float64, of (fractional) vertex indices of any shape."""
        return self.low + (self.high - self.low) * (index.double() / self.cells)


@dataclass(frozen=True)
class Blocks:
    """Cubes of one size.

    Args:
        origins: [M, 3] int32, in cells.
        size: In cells.
    """

    origins: Tensor
    size: int

    def children(self) -> Blocks:
        """Eight for each."""
        half = self.size // 2
        corners = torch.cartesian_prod(*[torch.tensor([0, half], dtype=torch.int32)] * 3)
        return Blocks((self.origins[:, None] + corners).reshape(-1, 3), half)


@dataclass(frozen=True)
class Culling:
    """What was found about a part of a grid.

    Args:
        grid: The grid.
        leaves: Blocks of `LEAF` cells that may hold a piece of the surface.
        left_out: Blocks that hold none, by size, each with the sign there: [M] int8.
        evaluations: Points asked.
        boxes: Boxes enclosed.
        lipschitz: The constant that passed the audit.
    """

    grid: Grid
    leaves: Blocks
    left_out: tuple[tuple[Blocks, Tensor], ...]
    evaluations: int = 0
    boxes: int = 0
    lipschitz: float = 0.0

    def refined(self) -> Culling:
        """The same of a grid twice as fine, whose blocks of 2 `LEAF` cells are the leaves of this one."""
        doubled = tuple((Blocks(b.origins * 2, b.size * 2), signs) for b, signs in self.left_out)
        leaves = Blocks(self.leaves.origins * 2, self.leaves.size * 2)
        return replace(self, grid=replace(self.grid, cells=2 * self.grid.cells), leaves=leaves, left_out=doubled)


def roots(grid: Grid) -> Blocks:
    """Blocks that cover a grid, about `ROOTS` along a side; the last ones may reach over its end."""
    size = max(LEAF, 2 ** math.ceil(math.log2(max(1.0, grid.cells / ROOTS))))
    line = torch.arange(0, grid.cells, size, dtype=torch.int32)
    return Blocks(torch.cartesian_prod(line, line, line), size)


def cull(
    field: Field,
    certainty: Certainty,
    grid: Grid,
    start: Culling | Blocks,
    to: int = LEAF,
    generator: torch.Generator | None = None,
) -> Generator[None, None, Culling]:
    """Halve blocks until they have `to` cells.

    Args:
        field: Whose surface.
        certainty: What is known of it.
        grid: On which.
        start: Blocks, or what a coarser grid has told (`Culling.refined`).
        to: Cells along the side of the last blocks.
        generator: For the audit of what was left out; None does none. Where random points contradict it, the constant
            is doubled and all is done again.

    Yields:
        Nothing, often.

    Raises:
        Problem: No constant passes the audit.
    """
    for round_ in range(MOST_ROUNDS):
        stricter = replace(certainty, lipschitz=certainty.lipschitz * 2.0**round_)
        found = yield from _culled(field, stricter, grid, start if round_ == 0 else roots(grid), to)
        if generator is None or not _betrayed(field, found, generator):
            return replace(found, lipschitz=stricter.lipschitz)
        yield
    raise Problem(
        "The surface could not be found: the field changes too fast to leave anything out.",
        "Extract it densely, or at a lower resolution.",
    )


def _culled(
    field: Field, certainty: Certainty, grid: Grid, start: Culling | Blocks, to: int
) -> Generator[None, None, Culling]:
    begun = start if isinstance(start, Culling) else Culling(grid, start, ())
    found, blocks = replace(begun, grid=grid), begun.leaves
    if isinstance(start, Culling) and blocks.size > to:
        blocks = _within(blocks.children(), grid)  # they themselves were looked at on the coarser grid
    kept, left = yield from _halved(field, certainty, grid, blocks, to)
    return replace(
        found,
        leaves=kept,
        left_out=_merged((*found.left_out, *left.left_out)),
        evaluations=found.evaluations + left.evaluations,
        boxes=found.boxes + left.boxes,
    )


def _halved(
    field: Field, certainty: Certainty, grid: Grid, blocks: Blocks, to: int
) -> Generator[None, None, tuple[Blocks, Culling]]:
    """From blocks to the small ones that are kept, and what was left out on the way."""
    left: list[tuple[Blocks, Tensor]] = []
    asked = enclosed = 0
    while True:
        far, boxes, signs = yield from _excluded(field, certainty, grid, blocks)
        asked, enclosed = asked + len(blocks.origins), enclosed + boxes
        if bool(far.any()):
            left.append((Blocks(blocks.origins[far], blocks.size), signs[far]))
        blocks = Blocks(blocks.origins[~far], blocks.size)
        if blocks.size <= to:
            return blocks, Culling(grid, blocks, tuple(left), asked, enclosed)
        blocks = _within(blocks.children(), grid)


def _within(blocks: Blocks, grid: Grid) -> Blocks:
    """Those that reach into the grid."""
    return Blocks(blocks.origins[(blocks.origins < grid.cells).all(1)], blocks.size)


def _excluded(
    field: Field, certainty: Certainty, grid: Grid, blocks: Blocks
) -> Generator[None, None, tuple[Tensor, int, Tensor]]:
    """Which blocks hold no surface [M], how many boxes were enclosed for that, and the sign in the centres [M]."""
    centres = grid.at(blocks.origins.double() + blocks.size / 2).float()
    found = values_at(field, grid, centres)
    yield
    half = 0.5 * blocks.size * grid.step
    far = found.abs() > certainty.lipschitz * (half * math.sqrt(3.0)) + SLACK
    boxes = 0
    if isinstance(field, Bounds) and not certainty.certified:
        # The constant is a guess that proposes; the enclosure decides.
        proposed = far.nonzero()[:, 0]
        for some in proposed.split(BOXES):
            low, high = field.bounds(centres[some], torch.full((len(some),), half))
            far[some] = (low - grid.level > SLACK) | (high - grid.level < -SLACK)
            boxes += len(some)
            yield
    return far, boxes, torch.where(found < 0, -1, 1).to(torch.int8)


def values_at(field: Field, grid: Grid, x: Tensor) -> Tensor:
    """Values less the level, [N]."""
    found = values(field, x)
    return found - grid.level if grid.level else found


def _betrayed(field: Field, found: Culling, generator: torch.Generator) -> int:
    """Random points in what was left out must have its sign; how many have not."""
    volumes = torch.tensor([len(b.origins) * float(b.size) ** 3 for b, _ in found.left_out])
    if not len(volumes) or not float(volumes.sum()):
        return 0
    wrong = 0
    shares = (AUDITED * volumes / volumes.sum()).ceil().long()
    for (blocks, signs), count in zip(found.left_out, shares.tolist(), strict=True):
        rows = torch.randint(len(blocks.origins), (count,), generator=generator)
        inside = torch.rand(count, 3, generator=generator) * blocks.size
        index = (blocks.origins[rows] + inside).clamp(max=found.grid.cells)
        told = values_at(field, found.grid, found.grid.at(index).float())
        wrong += int((torch.where(told < 0, -1, 1) != signs[rows]).sum())
    return wrong


def _merged(parts: tuple[tuple[Blocks, Tensor], ...]) -> tuple[tuple[Blocks, Tensor], ...]:
    """One entry for each size."""
    sizes = sorted({b.size for b, _ in parts}, reverse=True)
    return tuple(
        (
            Blocks(torch.cat([b.origins for b, _ in parts if b.size == size]), size),
            torch.cat([s for b, s in parts if b.size == size]),
        )
        for size in sizes
    )
