"""Families of solids: within the cube, continuous, bounded by distance, and exact outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.distances import Nearest
from dgm_studio.rendering.families import FAMILIES
from dgm_studio.rendering.field import EXACT
from dgm_studio.rendering.measures import measured
from dgm_studio.rendering.meshes import checked
from dgm_studio.rendering.profiles import turned
from dgm_studio.rendering.solids import cylinder, sphere
from tests.rendering.test_extraction import assert_same, dense, extracted


@pytest.mark.parametrize("name", FAMILIES)
def test_no_two_points_differ_by_more_than_their_distance(name: str) -> None:
    family, generator = FAMILIES[name], torch.Generator().manual_seed(0)
    assert 6 <= len(family.parameters) <= 12
    for values in family.drawn(8, generator):
        solid = family.solid(values)
        x = torch.rand(3000, 3, generator=generator) * 2 - 1
        y = x + 10 ** (-3 * torch.rand(3000, 1, generator=generator)) * torch.randn(3000, 3, generator=generator)
        apart = (x - y).norm(dim=1)
        assert ((solid(x) - solid(y)).abs() <= apart + 1e-5).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_members_are_closed_and_know_their_distance_outside(name: str) -> None:
    family, generator = FAMILIES[name], torch.Generator().manual_seed(1)
    solid = family.solid(family.drawn(1, generator)[0])
    surface = extracted(solid, EXACT, Grid(64))
    shape = measured(surface.vertices, surface.faces)
    assert shape.closed and shape.volume > 0.01
    assert_same(surface, dense(solid, EXACT, Grid(64)))
    x = torch.rand(400, 3, generator=generator) * 2 - 1
    x = x[solid(x) > 0.05]
    gap = np.abs(Nearest(checked(name, surface.vertices, surface.faces))(x.double().numpy()) - solid(x).numpy())
    # polygons cut off sharp edges by less than a cell; the distance in a hollow is a lower bound near its rim
    assert gap.max() < (0.12 if name == "mug" else Grid(64).step) and np.median(gap) < 6e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_every_corner_of_the_parameters_is_still_one_piece_in_the_cube(name: str) -> None:
    family, generator = FAMILIES[name], torch.Generator().manual_seed(2)
    for _ in range(6):
        ends = [(p.low, p.high)[int(torch.randint(2, (), generator=generator))] for p in family.parameters]
        # no face on a plane of the grid: rounding leaves specks there
        surface = extracted(family.solid(ends), EXACT, Grid(96, -1.003, 1.001))
        shape = measured(surface.vertices, surface.faces)
        assert shape.closed and shape.pieces == 1 and np.abs(surface.vertices).max() < 1 - 1e-6, ends


def test_a_lathe_turns_what_is_known_in_closed_form() -> None:
    x = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(turned([(0, -0.5), (0.4, -0.5), (0.4, 0.5), (0, 0.5)])(x), cylinder(0.4, 0.5)(x), atol=1e-6)
    steps = torch.linspace(-torch.pi / 2, torch.pi / 2, 400)
    ball = turned([(0.6 * float(s.cos().clamp(min=0)), 0.6 * float(s.sin())) for s in steps])
    assert torch.allclose(ball(x), sphere(0.6)(x), atol=1e-4)


def test_the_same_seed_draws_the_same_members_and_a_wrong_number_is_refused() -> None:
    chairs = FAMILIES["chair"]
    one, other = (chairs.drawn(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, other)
    with pytest.raises(ValueError, match="10 parameters, not 3"):
        chairs.solid([0.1, 0.2, 0.3])
