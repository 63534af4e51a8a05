"""A plane of the latent space: tiles and densities against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dgm_studio.core.requests import DecodeLatent, DecodeTiles, DrawDensity, DrawMap
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry
from dgm_studio.explore.contours import Grid, contour, mass_level
from dgm_studio.explore.workbench import Workbench

from .conftest import Linear, frame

PLANE = {"origin": (0.1, -0.2, 0.3, 0.0, 0.2), "u": (1.0, 0.2, 0.0, 0.0, 0.0), "v": (0.0, 0.0, 1.0, 0.5, 0.0)}


def test_a_tiles_cells_are_the_decoded_points_of_the_plane_with_v_upwards(bench: Workbench) -> None:
    asked = DecodeTiles("linear", (0.3, 0.1), (1.0, 0.0), (0.0, 1.0), level=1, tiles=((0, 0), (-2, 3)), per_tile=2)
    tiles = {u.topic: u.data for u in bench.answer(asked) if isinstance(u, Frame)}
    assert set(tiles) == {"tile/1/0/0", "tile/1/-2/3"}
    picture = tiles["tile/1/-2/3"]["picture"]
    assert picture.shape == (16, 16)
    # The top left cell of tile (-2, 3) at level 1: x = (-2 + 1/4) / 2, y = (3 + 3/4) / 2.
    top_left = frame(bench.answer(DecodeLatent("linear", (0.3 - 0.875, 0.1 + 1.875))), "decoded")["picture"]
    bottom_right = frame(bench.answer(DecodeLatent("linear", (0.3 - 0.625, 0.1 + 1.625))), "decoded")["picture"]
    assert np.abs(picture[:8, :8].astype(int) - top_left).max() <= 1
    assert np.abs(picture[8:, 8:].astype(int) - bottom_right).max() <= 1


def test_tiles_come_from_the_middle_outwards(bench: Workbench) -> None:
    wanted = tuple((i, j) for i in range(5) for j in range(5))
    asked = DecodeTiles("linear", (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), level=0, tiles=wanted, per_tile=1)
    order = [(u.data["i"], u.data["j"]) for u in bench.answer(asked) if isinstance(u, Frame)]
    distances = [(i - 2) ** 2 + (j - 2) ** 2 for i, j in order]
    assert order[0] == (2, 2) and distances == sorted(distances) and len(order) == 25


def test_two_directions_that_span_no_plane_are_refused(bench: Workbench) -> None:
    with pytest.raises(Problem, match="no plane"):
        list(bench.answer(DecodeTiles("linear", (0.0, 0.0), (1.0, 1.0), (2.0, 2.0), 0, ((0, 0),))))


def test_densities_on_a_plane_equal_brute_force(bench: Workbench) -> None:
    asked = DrawDensity("linear5", **PLANE, left=-2, right=2, bottom=-1, top=1, columns=9, count=40)
    data = frame(bench.answer(asked), "density")
    assert data["posterior"].shape == (5, 9)
    posterior = Linear(5).requires_grad_(False).encode(registry.load("digits8").split("valid").batch(torch.arange(40)))
    origin, u, v = (torch.tensor(PLANE[k], dtype=torch.float64) for k in ("origin", "u", "v"))
    for b, y in enumerate(data["y"]):
        for a, x in enumerate(data["x"]):
            z = origin + float(x) * u + float(y) * v
            normal = torch.distributions.Normal(posterior.mean.double(), posterior.std.double())
            each = normal.log_prob(z).sum(1)
            assert data["posterior"][b, a] == pytest.approx(float(each.logsumexp(0) - math.log(40)), rel=1e-4, abs=1e-4)
            prior = -0.5 * float(z @ z) - 2.5 * math.log(2 * math.pi)
            assert data["prior"][b, a] == pytest.approx(prior, abs=1e-4)


def test_the_normal_priors_contours_are_circles_of_the_exact_radius(bench: Workbench) -> None:
    asked = DrawDensity("linear", (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), -4, 4, -4, 4, columns=96, count=30)
    data = frame(bench.answer(asked), "density")
    for found in (c for c in data["contours"] if c["kind"] == "prior"):
        (line,) = found["lines"]
        radius = math.sqrt(-2 * math.log(1 - found["fraction"]))
        assert np.linalg.norm(line, axis=1) == pytest.approx(radius, rel=2e-3)
        assert np.array_equal(line[0], line[-1])


def test_the_posteriors_contours_enclose_the_mass_they_name(bench: Workbench) -> None:
    asked = DrawDensity("linear", (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), -40, 40, -40, 40, columns=32, count=50)
    levels = {
        c["fraction"]: c["level"] for c in frame(bench.answer(asked), "density")["contours"] if c["kind"] == "posterior"
    }
    posterior = Linear(2).encode(registry.load("digits8").split("valid").batch(torch.arange(50)))
    draws = posterior.sample(torch.Generator().manual_seed(5), 200).flatten(0, 1)
    heights = posterior.log_prob(draws[:, None].expand(-1, 50, -1)).logsumexp(1) - math.log(50)
    for fraction, level in levels.items():
        assert float((heights > level).float().mean()) == pytest.approx(fraction, abs=0.03)


def test_marching_squares_finds_a_circle_and_its_area() -> None:
    axis = np.linspace(-2, 2, 81)
    x, y = np.meshgrid(axis, axis)
    (line,) = contour(Grid(axis, axis, -(x**2 + y**2)), -1.0)
    assert np.linalg.norm(line, axis=1) == pytest.approx(1.0, abs=1e-3)
    area = 0.5 * abs(np.sum(line[:-1, 0] * line[1:, 1] - line[1:, 0] * line[:-1, 1]))
    assert area == pytest.approx(math.pi, rel=2e-3)


def test_marching_squares_leaves_no_loose_end_inside_the_grid() -> None:
    values = np.random.default_rng(0).standard_normal((20, 30))
    grid = Grid(np.arange(30.0), np.arange(20.0), values)
    lines = contour(grid, 0.1)
    assert len(lines) > 10
    for line in lines:
        for end in (line[0], line[-1]):
            on_edge = end[0] in (0.0, 29.0) or end[1] in (0.0, 19.0)
            assert on_edge or np.array_equal(line[0], line[-1])


def test_mass_levels_of_a_uniform_mixture_match_a_fine_sum() -> None:
    axis = np.linspace(-6, 6, 241)
    x, y = np.meshgrid(axis, axis)
    log_p = np.logaddexp(-0.5 * ((x - 2) ** 2 + y**2), -0.5 * ((x + 2) ** 2 + (y / 0.5) ** 2))
    level = mass_level(Grid(axis, axis, log_p), 0.5)
    inside = np.exp(log_p)[log_p > level].sum() / np.exp(log_p).sum()
    assert inside == pytest.approx(0.5, abs=0.005)


def test_the_exported_map_is_the_plane_cell_by_cell_with_v_upwards(bench: Workbench) -> None:
    asked = DrawMap("linear", (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), -2, 2, -1, 1, columns=8)
    frames = [u.data for u in bench.answer(asked) if isinstance(u, Frame)]
    data = frames[-1]
    assert (data["rows"], data["columns"], data["picture"].shape) == (4, 8, (32, 64))
    corner = frame(bench.answer(DecodeLatent("linear", (-1.75, 0.75))), "decoded")["picture"]
    assert np.abs(data["picture"][:8, :8].astype(int) - corner).max() <= 1
