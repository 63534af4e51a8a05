"""Sparse surfaces are the dense ones, bit for bit, and nothing small is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgm_studio.rendering import solids
from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.extraction import Surface, canonical, dense, extract
from dgm_studio.rendering.field import EXACT, Certainty, Field, sampled_lipschitz

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
    steps = extract(field, certainty, grid, coarser)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            surface: Surface = finished.value
            return surface


def assert_same(one: Surface, other: Surface) -> None:
    assert np.array_equal(one.vertices, other.vertices)
    assert np.array_equal(canonical(one.faces), canonical(other.faces))


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
