"""Sparse surfaces are the dense ones, bit for bit, and nothing small is lost."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from dgm_studio.rendering import solids
from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.extraction import Surface, dense, extract, ordered
from dgm_studio.rendering.field import BATCH, EXACT, Certainty, Field, finished, sampled_lipschitz
from dgm_studio.rendering.measures import measured

CARVED = solids.without(
    solids.intersection(solids.sphere(0.8), solids.box((0.6, 0.6, 0.6))),
    *(solids.cylinder(0.35, 2.0, axis) for axis in range(3)),
)
SHAPES = {
    "sphere": solids.sphere(0.7),
    "torus": solids.torus(0.6, 0.2),
    "carved": CARVED,
    "sheet thinner than a cell": solids.box((0.7, 0.7, 0.002)),
    "box whose faces lie on the grid": solids.box((0.5, 0.5, 0.5)),
    "reaching out of the cube": solids.sphere(1.2),
}


def extracted(field: Field, certainty: Certainty, grid: Grid, coarser: Surface | None = None) -> Surface:
    return finished(extract(field, certainty, grid, coarser))


def assert_same(one: Surface, other: Surface) -> None:
    (here, faces), (there, others) = ordered(one), ordered(other)
    assert np.array_equal(here, there)
    assert np.array_equal(faces, others)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("cells", [16, 50, 64, 96])
def test_a_sparse_surface_is_the_dense_one(name: str, cells: int) -> None:
    field, grid = SHAPES[name], Grid(cells)
    sparse = extracted(field, EXACT, grid)
    assert_same(sparse, dense(field, EXACT, grid))
    assert len(sparse.faces) > 100 and sparse.certified


def test_a_finer_grid_that_begins_with_a_coarser_ones_blocks_finds_the_same() -> None:
    surface = None
    for cells in (16, 32, 64, 128):
        surface = extracted(CARVED, EXACT, Grid(cells), surface)
    alone = extracted(CARVED, EXACT, Grid(128))
    assert surface is not None
    assert_same(surface, alone)
    assert surface.evaluations < alone.evaluations


def test_a_small_satellite_is_found_with_a_few_evaluations() -> None:
    both = solids.union(solids.sphere(0.4), solids.sphere(0.02, (0.7, 0.6, 0.5)))
    surface = extracted(both, EXACT, Grid(128))
    near = np.linalg.norm(surface.vertices - (0.7, 0.6, 0.5), axis=1) < 0.03
    assert near.sum() > 20
    assert surface.evaluations < 16 * 128**2


def test_surfaces_of_networks_are_the_dense_ones_whatever_a_point_shares_its_batch_with() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(a, b, generator=generator) * (2 / a) ** 0.5 for a, b in ((3, 48), (48, 48), (48, 1))]

    def relu(x: torch.Tensor) -> torch.Tensor:
        h = (x @ weights[0]).relu()
        return ((h @ weights[1]).relu() @ weights[2])[:, 0] + x.norm(dim=1) - 0.8

    certainty = sampled_lipschitz(relu, -1, 1, generator)
    assert not certainty.certified
    surface = extracted(relu, certainty, Grid(48))
    assert len(surface.faces) > 1000 and not surface.certified
    assert_same(surface, dense(relu, certainty, Grid(48)))


def test_volume_and_area_of_a_sphere_converge_at_order_two() -> None:
    errors = []
    for cells in (24, 48, 96):
        surface = extracted(solids.sphere(0.7), EXACT, Grid(cells))
        a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        volume = np.einsum("ij,ij->", a, cross) / 6
        area = 0.5 * np.linalg.norm(cross, axis=1).sum()
        errors.append((abs(volume / (4 / 3 * np.pi * 0.7**3) - 1), abs(area / (4 * np.pi * 0.49) - 1)))
        assert volume > 0, "faces look outwards"
    orders = np.log2(np.array(errors)[:-1] / np.array(errors)[1:])
    assert orders.min() > 1.8


def test_an_audit_notices_a_guess_that_was_too_small() -> None:
    hidden = solids.union(solids.sphere(0.3, (-0.5, -0.5, -0.5)), solids.sphere(0.25, (0.5, 0.5, 0.5)))
    steep = lambda x: 4 * hidden(x)  # noqa: E731 - four times as steep as the guess says
    surface = extracted(steep, Certainty(1.0, False), Grid(64))
    assert surface.lipschitz >= 4 and not surface.certified
    assert_same(surface, dense(steep, Certainty(1.0, False), Grid(64)))


def test_nothing_inside_is_an_empty_surface() -> None:
    surface = extracted(lambda x: x.norm(dim=1) + 1, EXACT, Grid(32))
    assert surface.vertices.shape == (0, 3) and surface.faces.shape == (0, 3)


def test_a_surface_with_every_ambiguous_cell_is_closed_and_the_dense_one() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(33, 33, 33, generator=generator) * 2 - 1
    table[[0, -1]] = table[:, [0, -1]] = table[:, :, [0, -1]] = 1.0

    def noise(x: torch.Tensor) -> torch.Tensor:
        index = ((x + 1) * 16).round().long().clamp(0, 32)
        return table[index[:, 0], index[:, 1], index[:, 2]]

    grid, certainty = Grid(32), Certainty(40.0, True)
    surface = extracted(noise, certainty, grid)
    assert_same(surface, dense(noise, certainty, grid))
    shape = measured(surface.vertices, surface.faces)
    assert shape.closed and np.abs(surface.vertices).max() <= 1 and shape.volume > 0
    assert (surface.keys % 4 == 3).any(), "some cells need a vertex in their middle"


def test_what_was_left_out_wrongly_is_found_by_following_the_surface() -> None:
    def bumpy(x: torch.Tensor) -> torch.Tensor:
        return x.norm(dim=1) - 0.6 - 0.05 * torch.sin(20 * x).prod(1)

    guess = Certainty(0.9, False)
    surface = extracted(bumpy, guess, Grid(64))
    assert surface.followed > 0 and not surface.certified
    assert_same(surface, dense(bumpy, guess, Grid(64)))


def test_work_stops_for_a_breath_every_few_batches() -> None:
    seen: list[int] = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        time.sleep(0.004)
        return SHAPES["torus"](x)

    most = last = 0
    for _ in extract(counted, EXACT, Grid(48)):
        most, last = max(most, len(seen) - last), len(seen)
    assert len(seen) > 12 and most <= 4 and set(seen) == {BATCH}
