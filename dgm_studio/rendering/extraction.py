"""Surfaces from fields on fine grids, as a dense evaluation would give them to the last bit, with far fewer points.

Blocks that certainly hold no surface are left out (`culling`); the vertices of the others are asked once, what was left
out is filled with its sign, and each brick of 64 cells goes through marching cubes (Lewiner et al. 2003, scikit-image).
A sign changes only along edges both of whose ends were asked, so nothing depends on what was filled in. Bricks are
joined where they share an edge of the grid, by the edge's number and not by coordinates.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgm_studio.rendering.culling import LEAF, Blocks, Culling, Grid, cull, roots, values_at
from dgm_studio.rendering.field import BATCH, Certainty, Field

BRICK = 64  # cells; a multiple of LEAF
TOGETHER = 32  # bricks whose vertices are asked in one go
NEAR, FAR = (
    1e-3,
    4.0,
)  # of a step along the gradient: values for marching cubes are moved into this range, see `_steady`

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """A part of a surface.

    Args:
        keys: Number of the grid's edge that each vertex lies on, [V]; the same in every piece.
        vertices: [V, 3] float64.
        faces: [F, 3] into the vertices; their right-handed normals point outwards.
    """

    keys: Ints
    vertices: Floats
    faces: Ints


@dataclass(frozen=True)
class Surface:
    """A welded surface and how it was found.

    Args:
        vertices: [V, 3] float64.
        faces: [F, 3] int64, outward.
        cells: Of the grid, along a side.
        evaluations: Points asked in all.
        boxes: Boxes enclosed.
        certified: Whether it is proved that nothing is missing on this grid; else it was audited.
        lipschitz: The constant that was used, and passed the audit where there was one.
        culling: For the next finer grid.
    """

    vertices: Floats
    faces: Ints
    cells: int
    evaluations: int
    boxes: int
    certified: bool
    lipschitz: float
    culling: Culling | None = None


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
    """
    from dgm_studio.rendering.field import Bounds

    certified = certainty.certified or isinstance(field, Bounds)
    audit = None if certified else generator or torch.Generator().manual_seed(0)
    start: Culling | Blocks = roots(grid)
    if coarser is not None and coarser.culling is not None and 2 * coarser.cells == grid.cells:
        start = coarser.culling.refined()
    steps = cull(field, certainty, grid, start, LEAF, audit)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            culling: Culling = finished.value
            break
        yield 0, 0
    pieces: list[Piece] = []
    asked = 0
    for piece, count, done, total in bricks(field, certainty, culling):
        asked += count
        if piece is not None:
            pieces.append(piece)
        yield done, total
    vertices, faces = weld(pieces)
    kept = replace(culling, evaluations=0, boxes=0)
    evaluations = culling.evaluations + asked
    yield 1, 1
    return Surface(vertices, faces, grid.cells, evaluations, culling.boxes, certified, culling.lipschitz, kept)


def bricks(field: Field, certainty: Certainty, culling: Culling) -> Iterator[tuple[Piece | None, int, int, int]]:
    """The surface brick by brick.

    Yields:
        (the piece or None where there is none, points asked for it, bricks done, bricks in all).
    """
    grid = culling.grid
    leaves = _by_brick(culling.leaves)
    filled = [(_by_brick(b), s, b.size) for b, s in culling.left_out]
    names = sorted(leaves.rows)
    for first in range(0, len(names), TOGETHER):
        group = names[first : first + TOGETHER]
        index = [_vertices(leaves, name, grid) for name in group]
        counts = [len(some) for some in index]
        together = torch.cat(index)
        told: list[Tensor] = []
        for some in together.split(8 * BATCH):
            told.append(values_at(field, grid, grid.at(some).float()))
            yield None, len(some), first, len(names)
        for place, (name, values) in enumerate(zip(group, torch.cat(told).split(counts), strict=True), first + 1):
            volume = _filled(filled, name, grid)
            local = index[place - first - 1] - torch.tensor(name, dtype=torch.int32) * BRICK
            volume[tuple(local.long().T.numpy())] = values.numpy()
            yield polygons(volume, name, grid, certainty), 0, place, len(names)


def dense(field: Field, certainty: Certainty, grid: Grid) -> Surface:
    """The same surface from every vertex of the grid: what the sparse one is tested against. Memory n^3."""
    line = torch.arange(grid.cells + 1, dtype=torch.int32)
    volume = np.empty((len(line),) * 3, np.float32)
    for x in line:
        index = torch.cartesian_prod(x[None], line, line)
        volume[int(x)] = values_at(field, grid, grid.at(index).float()).reshape(len(line), len(line)).numpy()
    piece = polygons(volume, (0, 0, 0), grid, certainty)
    vertices, faces = weld([piece] if piece is not None else [])
    return Surface(vertices, faces, grid.cells, volume.size, 0, True, certainty.lipschitz)


# -- one brick ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Blocks sorted by the brick they are in: the rows of each."""

    origins: Tensor
    rows: dict[tuple[int, int, int], Tensor]
    size: int


def _by_brick(blocks: Blocks) -> _Rows:
    """Blocks larger than a brick are in every brick they cover."""
    origins, size = blocks.origins, blocks.size
    row = torch.arange(len(origins))
    brick = torch.div(origins, BRICK, rounding_mode="floor")
    if size > BRICK:
        times = size // BRICK
        line = torch.arange(times, dtype=torch.int32)
        corners = torch.cartesian_prod(line, line, line)
        brick = (brick[:, None] + corners).reshape(-1, 3)
        row = row.repeat_interleave(times**3)
    names, which = brick.unique(dim=0, return_inverse=True)
    order = which.argsort()
    parts = row[order].split(which.bincount(minlength=len(names)).tolist()) if len(names) else ()
    found = {(int(a), int(b), int(c)): part for (a, b, c), part in zip(names.tolist(), parts, strict=True)}
    return _Rows(origins, found, size)


_CORNERS = torch.cartesian_prod(*[torch.arange(LEAF + 1, dtype=torch.int32)] * 3)


def _vertices(leaves: _Rows, name: tuple[int, int, int], grid: Grid) -> Tensor:
    """Numbers [M, 3] of the grid's vertices on the leaves of one brick, each once."""
    side = BRICK + 1
    here = leaves.origins[leaves.rows[name]] - torch.tensor(name, dtype=torch.int32) * BRICK
    local = (here[:, None] + _CORNERS).reshape(-1, 3).long()
    marked = torch.zeros(side**3, dtype=torch.bool)
    marked[(local[:, 0] * side + local[:, 1]) * side + local[:, 2]] = True
    flat = marked.nonzero()[:, 0]
    found = torch.stack([flat // (side * side), flat // side % side, flat % side], 1)
    index = found.to(torch.int32) + torch.tensor(name, dtype=torch.int32) * BRICK
    return index[(index <= grid.cells).all(1)]


def _filled(parts: list[tuple[_Rows, Tensor, int]], name: tuple[int, int, int], grid: Grid) -> npt.NDArray[np.float32]:
    """The brick's vertices with the signs of what was left out, 1 elsewhere."""
    blocks = BRICK // LEAF
    signs = np.ones((blocks, blocks, blocks), np.int8)
    corner = torch.tensor(name, dtype=torch.int32) * BRICK
    for rows, told, size in parts:
        here = rows.rows.get(name)
        if here is None:
            continue
        if size >= BRICK:
            signs[:] = int(told[here[0]])
            continue
        width = size // LEAF
        line = torch.arange(width)
        inner = torch.cartesian_prod(line, line, line)
        origin = torch.div(rows.origins[here] - corner, LEAF, rounding_mode="floor").long()
        place = (origin[:, None] + inner).reshape(-1, 3).numpy()
        signs[tuple(place.T)] = told[here].repeat_interleave(width**3).numpy()
    wide, deep, high = (min(BRICK, grid.cells - int(c)) for c in corner)
    cells = signs.repeat(LEAF, 0).repeat(LEAF, 1).repeat(LEAF, 2)[:wide, :deep, :high]
    return np.pad(cells, (0, 1), mode="edge").astype(np.float32)


def polygons(
    volume: npt.NDArray[np.float32], name: tuple[int, int, int], grid: Grid, certainty: Certainty
) -> Piece | None:
    """The surface in a block of vertices.

    Args:
        volume: Values less the level, [A, B, C]; what was filled in has the right sign.
        name: Which brick it is.
        grid: The whole.
        certainty: Gives the scale of the values.

    Returns:
        None where all signs are the same.
    """
    from skimage.measure import marching_cubes  # a third of a second that nobody waits for who renders nothing

    if not (volume < 0).any() or (volume < 0).all() or min(volume.shape) < 2:
        return None
    raw, faces, _, _ = marching_cubes(_steady(volume, grid, certainty), 0.0)
    nearest = np.rint(raw)
    axis = np.abs(raw - nearest).argmax(1)
    row = np.arange(len(raw))
    base = nearest.astype(np.int64)
    base[row, axis] = np.floor(raw[row, axis]).astype(np.int64)
    beyond = base.copy()
    beyond[row, axis] += 1
    here, there = volume[tuple(base.T)].astype(np.float64), volume[tuple(beyond.T)].astype(np.float64)
    index = (base + np.array(name, np.int64) * BRICK).astype(np.float64)
    index[row, axis] += here / (here - there)
    whole = base + np.array(name, np.int64) * BRICK
    side = grid.cells + 1
    keys = ((whole[:, 0] * side + whole[:, 1]) * side + whole[:, 2]) * 3 + axis
    vertices = grid.low + (grid.high - grid.low) * (index / grid.cells)
    return Piece(keys, vertices, np.asarray(faces, np.int64))


def _steady(volume: npt.NDArray[np.float32], grid: Grid, certainty: Certainty) -> npt.NDArray[np.float32]:
    """Values whose sign is the field's and whose size keeps every vertex well inside its edge.

    Marching cubes then says which edge a vertex is on; where on the edge is worked out from the true values, in double
    precision. A field that is zero in a vertex counts as outside there.
    """
    scale = np.float32(max(certainty.lipschitz, 1e-12) * grid.step)
    size = np.clip(np.abs(volume), NEAR * scale, FAR * scale)
    return np.where(volume < 0, -size, size)


# -- all of them -------------------------------------------------------------------------------------------------------


def weld(pieces: list[Piece]) -> tuple[Floats, Ints]:
    """One surface out of pieces: vertices [V, 3] in the order of their keys, faces [F, 3]."""
    if not pieces:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    keys = np.concatenate([piece.keys for piece in pieces])
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    offsets = np.cumsum([0, *(len(piece.keys) for piece in pieces[:-1])])
    faces = np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=True)])
    return np.concatenate([piece.vertices for piece in pieces])[first], place[faces]


def canonical(faces: Ints) -> Ints:
    """Faces in an order that says nothing of how they were found: each begins with its least vertex, then sorted."""
    turn = faces.argmin(1)
    rolled = faces[np.arange(len(faces))[:, None], (turn[:, None] + np.arange(3)) % 3]
    return rolled[np.lexsort(rolled.T[::-1])]
