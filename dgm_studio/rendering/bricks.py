"""Polygons in a few blocks of a grid, each vertex with the number of the grid's edge that it lies on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dgm_studio.rendering.culling import LEAF, Blocks, Grid, Tally, values_at
from dgm_studio.rendering.field import Certainty, Field

NEAR, FAR = (
    1e-3,
    4.0,
)  # of a step along the gradient: values for marching cubes are moved into this range, see `_steady`
INSIDE = 1e-4  # of a cell; nearer than that to a plane of the grid a vertex lies in it
CENTRE = 3  # in place of an axis, for a vertex in the middle of a cell

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """A part of a surface.

    Args:
        keys: Number of the grid's edge (or cell) that each vertex lies on, [V]; the same in every piece.
        vertices: [V, 3] float64.
        faces: [F, 3] into the vertices; their right-handed normals point outwards.
        around: Which of the four cells around the edge this piece has seen, [V] uint8, a bit for each.
        needed: Which of them the grid has, [V] uint8.
    """

    keys: Ints
    vertices: Floats
    faces: Ints
    around: npt.NDArray[np.uint8]
    needed: npt.NDArray[np.uint8]


def meshed(
    field: Field, certainty: Certainty, grid: Grid, leaves: Blocks, tally: Tally
) -> Generator[None, None, Piece | None]:
    """The surface in blocks of `LEAF` cells that lie near each other.

    Every vertex of the blocks is asked once, but for the centres, whose values are known from culling.
    """
    if not len(leaves):
        return None
    origins = leaves.origins.numpy().astype(np.int64)
    corner = origins.min(0)
    blocks = np.zeros((origins.max(0) - corner) // LEAF + 1, np.bool_)
    place = (origins - corner) // LEAF
    blocks[tuple(place.T)] = True
    extent = np.minimum(np.array(blocks.shape) * LEAF, grid.cells - corner)
    cells = blocks.repeat(LEAF, 0).repeat(LEAF, 1).repeat(LEAF, 2)[: extent[0], : extent[1], : extent[2]]
    wanted = _corners(cells)
    volume = np.ones(wanted.shape, np.float32)
    centres = place * LEAF + LEAF // 2
    known = (centres <= extent).all(1)
    volume[tuple(centres[known].T)] = leaves.values.numpy()[known]
    wanted[tuple(centres[known].T)] = False
    index = np.argwhere(wanted)
    told = yield from values_at(field, grid, torch.from_numpy(index + corner))
    volume[tuple(index.T)] = told.numpy()
    tally.evaluations += len(index)
    return polygons(volume, cells, corner, grid, certainty)


def _corners(cells: Bools) -> Bools:
    """Vertices of cells."""
    found = np.zeros(np.array(cells.shape) + 1, np.bool_)
    a, b, c = cells.shape
    for i, j, k in np.ndindex(2, 2, 2):
        found[i : i + a, j : j + b, k : k + c] |= cells
    return found


def polygons(
    volume: npt.NDArray[np.float32], cells: Bools, corner: Ints, grid: Grid, certainty: Certainty
) -> Piece | None:
    """The surface in some cells of a box of vertices (marching cubes, Lewiner et al. 2003).

    Args:
        volume: Values less the level, [A, B, C]; anything where no cell asks for it.
        cells: Which cells, [A - 1, B - 1, C - 1].
        corner: The box's place in the grid, [3].
        grid: The whole.
        certainty: Gives the scale of the values.

    Returns:
        None where there is no surface.
    """
    from skimage.measure import marching_cubes  # a third of a second that nobody waits for who renders nothing

    inside = volume < 0
    if not inside.any() or inside.all():
        return None
    mask = np.zeros(volume.shape, np.bool_)
    mask[1:, 1:, 1:] = cells  # the library looks at the cell's far corner
    try:
        raw, faces, _, _ = marching_cubes(_steady(volume, inside, grid, certainty), 0.0, mask=mask)
    except RuntimeError:  # its word for no face at all
        return None
    edge, axis, base = _edges(raw)
    whole = base + corner
    at = whole.astype(np.float64)
    row = np.flatnonzero(edge)
    at[row, axis[row]] += _share(volume, base[row], axis[row])
    at[~edge] += _middles(volume, base[~edge])
    side = grid.cells + 1
    keys = ((whole[:, 0] * side + whole[:, 1]) * side + whole[:, 2]) * 4 + np.where(edge, axis, CENTRE)
    vertices = grid.low + (grid.high - grid.low) * (at / grid.cells)
    around, needed = _around(cells, base, axis, edge, whole, grid.cells)
    return Piece(keys, vertices, np.asarray(faces, np.int64), around, needed)


def _steady(
    volume: npt.NDArray[np.float32], inside: Bools, grid: Grid, certainty: Certainty
) -> npt.NDArray[np.float32]:
    """Values whose sign is the field's and whose size keeps every vertex well inside its edge.

    Marching cubes then says which edge a vertex is on; where on the edge is worked out from the true values, in double
    precision. A field that is zero in a vertex counts as outside there.
    """
    scale = np.float32(max(certainty.lipschitz, 1e-12) * grid.step)
    size = np.clip(np.abs(volume), NEAR * scale, FAR * scale)
    return np.negative(size, out=size, where=inside)


def _edges(raw: npt.NDArray[np.float32]) -> tuple[Bools, Ints, Ints]:
    """Which vertices lie on an edge [V] (the others in the middle of a cell), its axis [V], where it begins [V, 3]."""
    nearest = np.rint(raw)
    off = np.abs(raw - nearest)
    edge = (off > INSIDE).sum(1) == 1
    axis = off.argmax(1)
    base = nearest.astype(np.int64)
    row = np.arange(len(raw))
    base[row, axis] = np.floor(raw[row, axis]).astype(np.int64)
    base[~edge] = np.floor(raw[~edge]).astype(np.int64)
    return edge, axis, base


def _share(volume: npt.NDArray[np.float32], base: Ints, axis: Ints) -> Floats:
    """Where along an edge the value is zero, [V] in [0, 1]."""
    strides = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
    begin, flat = base @ strides, volume.reshape(-1)
    here, there = flat[begin].astype(np.float64), flat[begin + strides[axis]].astype(np.float64)
    return here / (here - there)


def _middles(volume: npt.NDArray[np.float32], cell: Ints) -> Floats:
    """Mean of the vertices on a cell's edges, where one in its middle is put: [V, 3] in [0, 1].

    Marching cubes needs one where opposite corners of a cell are joined through it.
    """
    total, count = np.zeros((len(cell), 3)), np.zeros(len(cell))
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for first, second in np.ndindex(2, 2):
            offset = np.zeros(3, np.int64)
            offset[others] = first, second
            begins = cell + offset
            beyond = begins.copy()
            beyond[:, axis] += 1
            crossing = (volume[tuple(begins.T)] < 0) != (volume[tuple(beyond.T)] < 0)
            at = np.tile(offset.astype(np.float64), (len(cell), 1))
            at[crossing, axis] += _share(volume, begins[crossing], np.full(int(crossing.sum()), axis))
            total += at * crossing[:, None]
            count += crossing
    return total / np.maximum(count, 1)[:, None]


def _around(
    cells: Bools, base: Ints, axis: Ints, edge: Bools, whole: Ints, count: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Of the four cells around each edge: which were looked at, and which there are; bits, [V] each."""
    seen = np.pad(cells, 1)
    strides = np.array([seen.shape[1] * seen.shape[2], seen.shape[2], 1])
    here, moves = (base + 1) @ strides, AROUND @ strides
    rim = np.flatnonzero(((whole == 0) | (whole == count)).any(1))  # only there the grid itself has fewer than four
    around, needed = np.zeros(len(base), np.uint8), np.full(len(base), 15, np.uint8)
    needed[rim] = 0
    for bit, offset in enumerate(AROUND):
        around |= seen.reshape(-1)[here - moves[bit][axis] * edge].astype(np.uint8) << bit
        cell = whole[rim] - offset[axis[rim]] * edge[rim, None]
        needed[rim] |= ((cell >= 0) & (cell < count)).all(1).astype(np.uint8) << bit
    return around, needed


def _offsets() -> Ints:
    """For each bit and axis what is taken from an edge's beginning to get at the cell, [4, 3, 3]."""
    found = np.zeros((4, 3, 3), np.int64)
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for bit, (first, second) in enumerate(np.ndindex(2, 2)):
            found[bit, axis, others] = first, second
    return found


AROUND = _offsets()


def missing(keys: Ints, open_bits: npt.NDArray[np.uint8], grid: Grid) -> Ints:
    """Origins [M, 3] of the blocks whose cells were not seen around some edges."""
    side = grid.cells + 1
    axis, vertex = keys % 4, keys // 4
    base = np.stack([vertex // (side * side), vertex // side % side, vertex % side], 1)
    found = [(base - AROUND[bit][axis])[(open_bits >> bit) & 1 == 1] for bit in range(4)]
    blocks: Ints = np.unique(np.concatenate(found) // LEAF * LEAF, axis=0)
    return blocks
