"""Surfaces from fields on fine grids, as a dense evaluation would give them to the last bit, with far fewer points.

Blocks that hold no surface are left out (`culling`); the vertices of the others are asked once and go through marching
cubes brick by brick (`bricks`), cells that were left out unseen. The bricks are sewn together by the numbers of the
grid's edges and not by coordinates (`welding`); where the seam stays open, the surface goes on in a block that was left
out, and is followed there.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from dgm_studio.core.updates import Problem
from dgm_studio.rendering.bricks import Floats, Ints, Piece, meshed, missing, polygons
from dgm_studio.rendering.culling import LEAF, Blocks, Grid, Tally, by_brick, halved, rooted, values_at
from dgm_studio.rendering.field import Certainty, Field, T, finished
from dgm_studio.rendering.welding import Seam, welded

BRICK = 64  # cells; a multiple of LEAF
TOGETHER = 16  # bricks whose blocks are halved together, so that few batches are half empty
KEPT = 512  # cells of the finest grid whose leaves are kept for the next one
MOST_ROUNDS = 8


@dataclass(frozen=True)
class Surface:
    """A welded surface and how it was found.

    Args:
        vertices: [V, 3] float64.
        faces: [F, 3] int64, outward.
        keys: Numbers of the grid's edges that the vertices lie on, [V].
        cells: Of the grid, along a side.
        evaluations: Points asked in all.
        boxes: Boxes enclosed.
        certified: Whether it is proved that nothing is missing on this grid; else it was audited.
        lipschitz: The constant that was used, and passed the audit where there was one.
        leaves: For the next finer grid.
        followed: Blocks that had been left out and were found by following the surface.
    """

    vertices: Floats
    faces: Ints
    keys: Ints
    cells: int
    evaluations: int
    boxes: int
    certified: bool
    lipschitz: float
    leaves: Blocks | None = None
    followed: int = 0


@dataclass(frozen=True)
class Part:
    """Something new of a surface, or only a sign of life.

    Args:
        done: Bricks that are done.
        total: Bricks in all; 0 before they are known.
        piece: None where there is nothing new.
        leaves: The blocks it came from.
        restart: Everything that came so far was wrong: the audit failed, and it begins again.
    """

    done: int
    total: int
    piece: Piece | None = None
    leaves: Blocks | None = None
    restart: bool = False


def extract(
    field: Field,
    certainty: Certainty,
    grid: Grid,
    coarser: Surface | None = None,
    generator: torch.Generator | None = None,
) -> Generator[tuple[int, int], None, Surface]:
    """The surface of a field.

    Args:
        field: Negative inside.
        certainty: Why blocks may be left out.
        grid: Where, and how fine.
        coarser: The same field's surface on a grid half as fine: what was left out there stays left out.
        generator: For the audit of what is not certified; its default has seed 0.

    Yields:
        (bricks done, bricks in all); (0, 0) before they are known. Often enough to stop within 50 ms.

    Raises:
        Problem: The field changes too fast to leave anything out.
    """
    tally = Tally(audit=None if certainty.proved else generator or torch.Generator().manual_seed(0))
    start = None
    if coarser is not None and coarser.leaves is not None and 2 * coarser.cells == grid.cells:
        start = coarser.leaves.refined()
    seam, built, leaves = Seam(), _Built(), list[Blocks]()
    steps = parts(field, certainty, grid, seam, tally, start)
    while True:
        try:
            part = next(steps)
        except StopIteration as end:
            used, followed = end.value
            break
        if part.restart:
            built, leaves = _Built(), []
        if part.piece is not None:
            built.add(seam, part.piece)
        if part.leaves is not None and grid.cells <= KEPT:
            leaves.append(part.leaves)
        yield part.done, part.total
    vertices, faces, keys = yield from built.arrays()
    kept = Blocks.joined(leaves) if leaves else None
    proved, asked = certainty.proved, tally.evaluations
    return Surface(vertices, faces, keys, grid.cells, asked, tally.boxes, proved, used.lipschitz, kept, followed)


class _Built:
    """Arrays that grow piece by piece; faces in half the memory until the end."""

    def __init__(self) -> None:
        self.vertices, self.keys, self.faces = list[Floats](), list[Ints](), list[npt.NDArray[np.int32]]()

    def add(self, seam: Seam, piece: Piece) -> None:
        faces, keys, new = seam.sew(piece)
        self.vertices.append(piece.vertices[new])
        self.keys.append(keys)
        self.faces.append(faces.astype(np.int32))

    def arrays(self) -> Generator[tuple[int, int], None, tuple[Floats, Ints, Ints]]:
        if not self.vertices:
            return np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
        vertices, self.vertices = np.concatenate(self.vertices), []
        yield 1, 1
        faces, self.faces = np.concatenate(self.faces, dtype=np.int64), []
        yield 1, 1
        keys, self.keys = np.concatenate(self.keys), []
        yield 1, 1
        return vertices, faces, keys


def parts(
    field: Field, certainty: Certainty, grid: Grid, seam: Seam, tally: Tally, start: Blocks | None = None
) -> Generator[Part, None, tuple[Certainty, int]]:
    """A surface piece by piece, in bounded memory.

    Args:
        field: Negative inside.
        certainty: Why blocks may be left out.
        grid: Where, and how fine.
        seam: The caller sews every piece with it before it asks for the next; it is emptied at a restart.
        tally: What it has cost.
        start: Blocks no larger than `BRICK` to begin with.

    Returns:
        The certainty that held, and how many blocks were found only by following the surface.

    Raises:
        Problem: No constant passes the audit.
    """
    for round_ in range(MOST_ROUNDS):
        used = replace(certainty, lipschitz=certainty.lipschitz * 2.0**round_)
        blocks = start if round_ == 0 else None
        if (yield from _attempt(field, used, grid, tally, blocks)):
            followed = yield from _followed(field, used, grid, seam, tally)
            return used, followed
        seam.clear()
        yield Part(0, 0, restart=True)
    raise Problem(
        "The surface could not be found: the field changes too fast to leave anything out.",
        "Extract it densely, or at a lower resolution.",
    )


def _attempt(
    field: Field, certainty: Certainty, grid: Grid, tally: Tally, start: Blocks | None
) -> Generator[Part, None, bool]:
    """All bricks; False as soon as the audit fails."""
    if start is None:
        start = yield from _quiet(rooted(field, certainty, grid, tally))
        start = yield from _quiet(halved(field, certainty, grid, start, min(BRICK, start.size), tally))
    groups = list(by_brick(start, BRICK, TOGETHER))
    total, done = sum(len(group) for group in groups), 0
    for group in groups:
        blocks = Blocks.joined(group)
        leaves = yield from _quiet(halved(field, certainty, grid, blocks, LEAF, tally), done, total)
        if (yield from _quiet(tally.betrayed(field, grid), done, total)):
            return False
        for brick in (one for some in by_brick(leaves, BRICK, 1) for one in some):
            piece = yield from _quiet(meshed(field, certainty, grid, brick, tally), done, total)
            yield Part(done, total, piece, brick)
        done += len(group)
    yield Part(total, total)
    return True


def _followed(field: Field, certainty: Certainty, grid: Grid, seam: Seam, tally: Tally) -> Generator[Part, None, int]:
    """Blocks that had been left out and into which the surface goes on, until it goes on nowhere."""
    followed = 0
    while len(seam):
        origins = torch.from_numpy(missing(*seam.torn(), grid)).to(torch.int32)
        followed += len(origins)
        values = yield from _quiet(values_at(field, grid, origins.double() + LEAF / 2), 1, 1)
        tally.evaluations += len(origins)
        blocks = Blocks(origins, LEAF, torch.full((len(origins),), certainty.lipschitz), values)
        for brick in (one for some in by_brick(blocks, BRICK, 1) for one in some):
            piece = yield from _quiet(meshed(field, certainty, grid, brick, tally), 1, 1)
            yield Part(1, 1, piece, brick)
    return followed


def _quiet(steps: Generator[None, None, T], done: int = 0, total: int = 0) -> Generator[Part, None, T]:
    """The same work, its yields as signs of life."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        yield Part(done, total)


def dense(field: Field, certainty: Certainty, grid: Grid) -> Surface:
    """The same surface from every vertex of the grid: what the sparse one is tested against. Memory n^3."""
    line = torch.arange(grid.cells + 1, dtype=torch.int32)
    volume = np.empty((len(line),) * 3, np.float32)
    for x in line:
        index = torch.cartesian_prod(x[None], line, line)
        volume[int(x)] = finished(values_at(field, grid, index)).reshape(len(line), len(line)).numpy()
    cells = np.ones((grid.cells,) * 3, np.bool_)
    piece = polygons(volume, cells, np.zeros(3, np.int64), grid, certainty)
    vertices, faces, keys = welded([piece] if piece is not None else [])
    return Surface(vertices, faces, keys, grid.cells, volume.size, 0, True, certainty.lipschitz)


def ordered(surface: Surface) -> tuple[Floats, Ints]:
    """Vertices and faces in an order that says nothing of how they were found."""
    order = surface.keys.argsort()
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return surface.vertices[order], canonical(place[surface.faces])


def canonical(faces: Ints) -> Ints:
    """Faces in an order of their own: each begins with its least vertex, then sorted."""
    turn = faces.argmin(1)
    rolled = faces[np.arange(len(faces))[:, None], (turn[:, None] + np.arange(3)) % 3]
    return rolled[np.lexsort(rolled.T[::-1])]
