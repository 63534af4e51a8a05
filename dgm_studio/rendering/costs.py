"""What a surface, a picture or a volume will take in time and memory, before the work is begun.

The number of points comes from a coarse extraction of the same field (a surface in space grows with the square of the
resolution), the time for each from a stopwatch on this field. What a session measures corrects what it predicts next.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass

import torch

from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.extraction import Surface, extract
from dgm_studio.rendering.field import BATCH, Certainty, Field, values
from dgm_studio.rendering.streaming import ply_bytes

PROBE = 64  # cells of the coarse extraction
PROBE_GUESSED = 128  # where local slopes decide, which do so only on small blocks
STOPWATCH = 0.02  # seconds of batches whose rate is taken
IN_MEMORY = 128  # bytes for a vertex: its key, two faces, a block, and some of it twice while arrays are joined
AT_HAND = 8_000_000  # bytes of the bricks in work
TO_DISK = 768  # cells from which on a mesh is better streamed


@dataclass(frozen=True)
class Rate:
    """How fast this machine is on this field now.

    Args:
        point: Seconds for one point.
        face: Seconds for polygons, welding and all else, for one face.
    """

    point: float
    face: float


@dataclass(frozen=True)
class Cost:
    """What is to be expected.

    Args:
        evaluations: Points asked.
        vertices: Of the mesh.
        faces: Of the mesh.
        seconds: Time.
        memory: Bytes at the peak, above what the program has now.
        disk: Bytes of a binary PLY file.
        streamed: Whether it goes to disk brick by brick.
    """

    evaluations: int
    vertices: int
    faces: int
    seconds: float
    memory: int
    disk: int
    streamed: bool


def point_seconds(field: Field) -> float:
    """Seconds for one point: the best of some batches, as what disturbs a stopwatch only ever adds."""
    size = getattr(field, "batch", BATCH)
    x = torch.rand(size, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    best, end = float("inf"), time.perf_counter() + STOPWATCH
    while True:
        begun = time.perf_counter()
        values(field, x)
        now = time.perf_counter()
        best = min(best, now - begun)
        if now > end:
            return best / size


def probed(
    field: Field, certainty: Certainty, grid: Grid
) -> Generator[tuple[int, int], None, tuple[Surface, Surface, Rate]]:
    """Coarse surfaces of half and full `PROBE` (`PROBE_GUESSED`) cells, and the rates met.

    The time for polygons is what the full one took beyond its points; yields are counted in, the pauses in them not.
    """
    cells = PROBE if certainty.certified else PROBE_GUESSED
    half = yield from extract(field, certainty, Grid(cells // 2, grid.low, grid.high, grid.level))
    point = point_seconds(field)
    steps = extract(field, certainty, Grid(cells, grid.low, grid.high, grid.level))
    spent = 0.0
    while True:
        begun = time.perf_counter()
        try:
            told = next(steps)
        except StopIteration as end:
            full: Surface = end.value
            spent += time.perf_counter() - begun
            break
        spent += time.perf_counter() - begun
        yield told
    rest = max(spent - point * full.evaluations, 0.0)
    return half, full, Rate(point, rest / max(len(full.faces), 1))


def predicted(half: Surface, full: Surface, rate: Rate, cells: int, streamed: bool | None = None) -> Cost:
    """The cost of a grid.

    Args:
        half: The field's surface on a grid of half as many cells as the next.
        full: The same, finer. What both have in common grows with the square of the cells (the surface), what they
            differ in with the first power (edges, thin parts, coarse blocks).
        rate: What this machine does.
        cells: Of the grid that is asked about.
        streamed: To disk or in memory; None takes what the size suggests.
    """
    points = _grown(half.evaluations, half.cells, full.evaluations, full.cells, cells)
    faces = _grown(len(half.faces), half.cells, len(full.faces), full.cells, cells)
    vertices = faces // 2
    to_disk = cells >= TO_DISK if streamed is None else streamed
    memory = AT_HAND + (0 if to_disk else IN_MEMORY * vertices)
    seconds = rate.point * points + rate.face * faces
    return Cost(points, vertices, faces, seconds, memory, ply_bytes(vertices, faces), to_disk)


def _grown(at_half: int, half: int, at_full: int, full: int, cells: int) -> int:
    """a n^2 + b n through two counts; where that has a part below nothing, the mean of what they say of n^2 alone.

    The latter is usual: how blocks lie to a surface changes from grid to grid, and counts with it, by a tenth or two.
    """
    square = (at_full / full - at_half / half) / (full - half)
    line = at_full / full - square * full
    if square <= 0 or line < 0:
        square, line = 0.5 * (at_full / full**2 + at_half / half**2), 0.0
    return round(square * cells**2 + line * cells)
