"""The toys' densities are exact: they integrate to one and agree with the points that are drawn."""

from __future__ import annotations

import math

import pytest
import torch

from dgm_studio.data.registry import load
from dgm_studio.data.splits import SPLITS
from dgm_studio.data.toys import log_density, mixture, toys


def grid(name: str, side: int = 180) -> tuple[torch.Tensor, float]:
    # the edges of the checkerboard's squares must fall between grid points
    reach = 3.0 / toys()[name].std[0] if name == "checkerboard" else 3.5
    axis = (torch.arange(side, dtype=torch.float64) + 0.5) / side * 2 * reach - reach
    return torch.cartesian_prod(axis, axis), (2 * reach / side) ** 2


@pytest.mark.parametrize("name", list(toys()))
def test_the_density_integrates_to_one_with_mean_zero_and_unit_variance(name: str) -> None:
    points, area = grid(name)
    mass = log_density(name, points).exp() * area
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-4)
    assert (mass @ points).abs().max() < 2e-4
    assert torch.allclose(mass @ points.square(), torch.ones(2, dtype=torch.float64), atol=2e-4)


@pytest.mark.parametrize("name", list(toys()))
def test_the_points_were_drawn_from_that_density(name: str) -> None:
    dataset = load(name)
    x = torch.cat([part.batch(torch.arange(len(part))) for part in map(dataset.split, SPLITS)])
    assert x.dtype == torch.float32 and x.shape == (10000, 2)
    # by the law of large numbers the mean of log p over the draws is minus the entropy, here from the grid
    drawn = log_density(name, x.double())
    points, area = grid(name)
    log_p = log_density(name, points)
    entropy = -(log_p.exp() * torch.nan_to_num(log_p, neginf=0.0)).sum() * area
    error = float(drawn.std()) / 100.0
    assert float(drawn.mean() + entropy) == pytest.approx(0.0, abs=5 * error + 1e-4)
    # and a quarter of the plane holds as many points as it has mass
    for quadrant in ((points > 0).all(1), (points < 0).all(1)):
        mass = float((log_p[quadrant].exp() * area).sum())
        sign = 1 if bool(points[quadrant][0, 0] > 0) else -1
        assert float((sign * x > 0).all(1).float().mean()) == pytest.approx(mass, abs=0.03)


def test_eight_gaussians_have_the_textbook_density_at_a_mode() -> None:
    toy = toys()["eight-gaussians"]
    at_mode = toy.log_density(torch.tensor([[2.0, 0.0]], dtype=torch.float64))
    # 1/8 of N(0; 0, 0.2^2 I); the nearest other mode is 7.6 standard deviations away
    assert at_mode.item() == pytest.approx(-torch.tensor(8 * 2 * torch.pi * 0.04).log().item(), abs=1e-6)


def test_the_same_points_every_time_and_no_index_in_two_splits() -> None:
    first, second = load("moons"), load("moons")
    indices = [first.split(split).indices for split in SPLITS]
    assert sorted(torch.cat(indices).tolist()) == list(range(10000))
    assert all(torch.equal(first.split(s).x, second.split(s).x) for s in SPLITS)
    assert set(first.split("train").factors["part"].tolist()) == {0, 1}


@pytest.mark.parametrize("name", ["eight-gaussians", "moons", "swiss-roll"])
def test_the_gaussians_of_a_toy_add_up_to_its_density(name: str) -> None:
    found = mixture(name)
    assert found is not None
    x = load(name).split("test").batch(torch.arange(50)).double()
    parts = torch.distributions.Independent(torch.distributions.Normal(found.centres, found.std), 1)
    density = torch.logsumexp(parts.log_prob(x[:, None]), 1) - math.log(len(found.centres))
    torch.testing.assert_close(density, log_density(name, x), rtol=1e-6, atol=1e-6)


def test_so_many_points_lie_within_three_sigma_of_a_mode_as_a_gaussian_says() -> None:
    found, part = mixture("eight-gaussians"), load("eight-gaussians").split("train")
    assert found is not None and found.modes and mixture("checkerboard") is None
    share = float(found.within(part.batch(torch.arange(len(part)))).double().mean())
    expected = 1.0 - math.exp(-4.5)
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / len(part))
