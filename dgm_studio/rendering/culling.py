"""Where a surface can be: blocks of a grid that hold none of it are left out, the others are halved.

A block is a cube of `size` cells, `size` a power of two. It is left out when the field's value in its centre is larger
than the field can change on the way to its corners (Lipschitz), or when an enclosure of its values excludes zero.

Where the Lipschitz constant is a guess, small blocks are judged by the slopes around them instead of by the steepest
one anywhere: differences between the centres of eight siblings give the local slope for nothing. What that misses is
found again by following the surface (`welding`) and by an audit at random points.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from dataclasses import field as made

import torch
from torch import Tensor

from dgm_studio.rendering.field import Bounds, Certainty, Field, asked

LEAF = 2  # cells along the side of the smallest blocks: fewer evaluations than with 1 or 4
ROOTS = 8  # blocks along a side that are looked at first
LOCAL = 32  # blocks along a side from which on slopes are taken from the siblings
MARGIN = 1.25  # on local slopes
MEMORY = 0.7  # of the parent's slope that a block takes over at least
SLACK = 1e-6  # of single precision, beside distances of about one
AUDITED = 4096
BOXES = 512  # enclosed at once


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
        slopes: How fast the field is taken to change in each, [M] float32.
        values: The field's value less the level in each centre, [M] float32.
    """

    origins: Tensor
    size: int
    slopes: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, rows: Tensor) -> Blocks:
        return Blocks(self.origins[rows], self.size, self.slopes[rows], self.values[rows])

    def refined(self) -> Blocks:
        """The same cubes on a grid twice as fine."""
        return Blocks(self.origins * 2, self.size * 2, self.slopes, self.values)

    @staticmethod
    def joined(parts: list[Blocks]) -> Blocks:
        """One list out of several of one size, at least one."""
        origins, slopes, values = (
            torch.cat([getattr(p, name) for p in parts]) for name in ("origins", "slopes", "values")
        )
        return Blocks(origins, parts[0].size, slopes, values)


@dataclass
class Tally:
    """What culling has cost, and what of its omissions is to be checked.

    Args:
        evaluations: Points asked.
        boxes: Boxes enclosed.
        audit: Source of the random points; None where nothing is audited.
        points: Where something was left out, [K, 3] each.
        signs: Which sign it is said to have there, [K] each.
    """

    evaluations: int = 0
    boxes: int = 0
    audit: torch.Generator | None = None
    points: list[Tensor] = made(default_factory=list)
    signs: list[Tensor] = made(default_factory=list)

    def left_out(self, blocks: Blocks, grid: Grid) -> None:
        """Draw points in blocks that were left out, as many as their share of the volume asks for."""
        if self.audit is None or not len(blocks):
            return
        count = math.ceil(AUDITED * len(blocks) * (blocks.size / grid.cells) ** 3)
        rows = torch.randint(len(blocks), (count,), generator=self.audit)
        inside = torch.rand(count, 3, generator=self.audit) * blocks.size
        self.points.append((blocks.origins[rows] + inside).clamp(max=grid.cells))
        self.signs.append(blocks.values[rows] < 0)

    def betrayed(self, field: Field, grid: Grid) -> Generator[None, None, int]:
        """How many of the points drawn so far have the other sign; they are forgotten."""
        if not self.points:
            return 0
        points, signs = torch.cat(self.points), torch.cat(self.signs)
        self.points, self.signs = [], []
        told = yield from values_at(field, grid, points)
        return int(((told < 0) != signs).sum())


def values_at(field: Field, grid: Grid, index: Tensor) -> Generator[None, None, Tensor]:
    """Values less the level at (fractional) vertex indices [N, 3]: [N]."""
    found = yield from asked(field, grid.at(index).float())
    return found - grid.level if grid.level else found


def rooted(field: Field, certainty: Certainty, grid: Grid, tally: Tally) -> Generator[None, None, Blocks]:
    """The largest blocks that may hold a piece of the surface, of about `ROOTS` along a side."""
    size = max(LEAF, 2 ** math.ceil(math.log2(max(1.0, grid.cells / ROOTS))))
    line = torch.arange(0, grid.cells, size, dtype=torch.int32)
    origins = torch.cartesian_prod(line, line, line)
    return (yield from _kept(field, certainty, grid, origins, size, None, tally))


def halved(
    field: Field, certainty: Certainty, grid: Grid, blocks: Blocks, to: int, tally: Tally
) -> Generator[None, None, Blocks]:
    """Halve blocks that may hold a piece of the surface until they have `to` cells along a side."""
    while blocks.size > to:
        half = blocks.size // 2
        corners = torch.cartesian_prod(*[torch.tensor([0, half], dtype=torch.int32)] * 3)
        children = (blocks.origins[:, None] + corners).reshape(-1, 3)
        blocks = yield from _kept(field, certainty, grid, children, half, blocks.slopes, tally)
    return blocks


def _kept(
    field: Field,
    certainty: Certainty,
    grid: Grid,
    origins: Tensor,
    size: int,
    parents: Tensor | None,
    tally: Tally,
) -> Generator[None, None, Blocks]:
    """Those of some blocks, eight of each parent in order, that may hold a piece of the surface."""
    values = yield from values_at(field, grid, origins.double() + size / 2)
    tally.evaluations += len(origins)
    blocks = Blocks(origins, size, _slopes(values, certainty, grid, size, parents), values)
    half = 0.5 * size * grid.step
    far = values.abs() > blocks.slopes * (half * math.sqrt(3.0)) + SLACK
    if certainty.enclose and not certainty.certified:
        # the constant is a guess that proposes; the enclosure decides
        proposed = far.nonzero()[:, 0]
        far[proposed] = yield from _enclosed(field, grid, grid.at(origins[proposed].double() + size / 2).float(), half)
        tally.boxes += len(proposed)
    within = (origins < grid.cells).all(1)
    tally.left_out(blocks[far & within], grid)
    return blocks[~far & within]


def _slopes(values: Tensor, certainty: Certainty, grid: Grid, size: int, parents: Tensor | None) -> Tensor:
    """How fast the field is taken to change in each block."""
    everywhere = torch.full((len(values),), certainty.lipschitz)
    if certainty.certified or parents is None or size * LOCAL > grid.cells:
        return everywhere
    eight = values.reshape(-1, 2, 2, 2)
    steps = [(eight.select(axis, 1) - eight.select(axis, 0)).abs().amax((1, 2)) for axis in (1, 2, 3)]
    local = MARGIN * torch.stack(steps, 1).norm(dim=1) / (size * grid.step)
    return torch.maximum(local, MEMORY * parents).repeat_interleave(8).minimum(everywhere)


def _enclosed(field: Field, grid: Grid, centres: Tensor, half: float) -> Generator[None, None, Tensor]:
    """Which cubes certainly hold no surface, [M]."""
    if not isinstance(field, Bounds):
        raise TypeError("a field without enclosures cannot be asked to prove anything by them")
    found = [torch.zeros(0, dtype=torch.bool)]
    for some in centres.split(BOXES):
        with torch.no_grad():
            low, high = field.bounds(some, torch.full((len(some),), half))
        found.append((low - grid.level > SLACK) | (high - grid.level < -SLACK))
        yield
    return torch.cat(found)


def by_brick(blocks: Blocks, side: int, together: int) -> Iterator[list[Blocks]]:
    """Blocks sorted by the brick of `side` cells that they are in, so many bricks at a time."""
    brick = torch.div(blocks.origins, max(side, blocks.size), rounding_mode="floor").long()
    times = int(brick.max()) + 1 if len(brick) else 1
    number = (brick[:, 0] * times + brick[:, 1]) * times + brick[:, 2]
    order = number.argsort(stable=True)
    _, counts = number[order].unique_consecutive(return_counts=True)
    rows = order.split(counts.tolist())
    for first in range(0, len(rows), together):
        yield [blocks[some] for some in rows[first : first + together]]
