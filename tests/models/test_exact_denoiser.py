"""The exact denoiser against brute-force integration, on every toy and every kind of path."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

from dgm_studio.data import registry, toys
from dgm_studio.models.capabilities import Denoises
from dgm_studio.models.exact_denoiser import BoxMixture, ExactDenoiser, GaussianMixture, Mixture
from dgm_studio.models.noising import FlowNoising, TableNoising, VarianceExploding

TABLE = TableNoising(torch.cumprod(1.0 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0))
KNOWN = ("moons", "eight-gaussians", "checkerboard", "swiss-roll")
PATHS = {
    "discrete": (TABLE, (60.0, 400.5, 999.0)),
    "variance-exploding": (VarianceExploding(), (0.08, 0.7, 40.0)),
    "flow": (FlowNoising(), (0.07, 0.5, 1.0)),
}


def mixture_of(name: str) -> Mixture:
    boxes, gaussians = toys.boxes(name), toys.mixture(name)
    if boxes is not None:
        return BoxMixture(*boxes)
    assert gaussians is not None
    return GaussianMixture(gaussians.centres, gaussians.std)


def _drawn(name: str, count: int) -> torch.Tensor:
    return registry.load(name).split("train").batch(torch.arange(count)).double()


@cache
def _grid(name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Points x_0, log p(x_0) and the area of a cell; no cell crosses an edge of the checkerboard."""
    reach, count = (math.sqrt(3.0), 800) if name == "checkerboard" else (2.5, 220)
    step = 2.0 * reach / count
    side = (torch.arange(count, dtype=torch.float64) + 0.5) * step - reach
    grid = torch.cartesian_prod(side, side)
    log_p = toys.log_density(name, grid)
    return grid[log_p > -60.0], log_p[log_p > -60.0], step**2


def _brute(name: str, x: torch.Tensor, alpha: float, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """E[x_0 | x] and log p(x) by summing p(x_0) N(x; alpha x_0, sigma^2) over a fine grid of x_0."""
    grid, log_p, area = _grid(name)
    means, logs = [], []
    for point in x:
        log_joint = log_p - 0.5 * ((point - alpha * grid) / sigma).square().sum(1)
        logs.append(torch.logsumexp(log_joint, 0) + math.log(area / (2.0 * math.pi * sigma**2)))
        means.append(torch.softmax(log_joint, 0) @ grid)
    return torch.stack(means), torch.stack(logs)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("kind", PATHS)
def test_the_posterior_mean_and_the_density_are_the_integrals(name: str, kind: str) -> None:
    path, times = PATHS[kind]
    exact = ExactDenoiser(path, mixture_of(name))
    assert issubclass(ExactDenoiser, Denoises)
    generator = torch.Generator().manual_seed(3)
    for time in times:
        t = torch.tensor(time, dtype=torch.float64)
        alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
        x = alpha * _drawn(name, 6) + sigma * torch.randn(6, 2, generator=generator, dtype=torch.float64)
        clean, log_prob = _brute(name, x, alpha, sigma)
        found = exact.estimate(x, t)
        # the grid of the brute sum is coarse for jumps: a checkerboard's edge is known to half a node of 0.005
        close = 4e-3 if name == "checkerboard" else 1e-7
        torch.testing.assert_close(found.clean, clean, atol=close, rtol=0)
        torch.testing.assert_close(exact.log_prob(x, t), log_prob, atol=2 * close, rtol=0)
        torch.testing.assert_close(alpha * found.clean + sigma * found.noise, x, atol=1e-12, rtol=1e-12)
        each = exact.estimate(x, t.expand(6))
        torch.testing.assert_close(each.clean, found.clean, atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize("name", KNOWN)
def test_the_estimate_is_the_slope_of_the_density(name: str) -> None:
    """Tweedie: alpha E[x_0 | x] = x + sigma^2 d log p(x) / dx, at each level and for narrow cuts as for wide ones."""
    exact = ExactDenoiser(VarianceExploding(), mixture_of(name))
    x = _drawn(name, 40)
    for sigma in (0.02, 0.3, 3.0, 20.0, 80.0):
        t = torch.tensor(sigma, dtype=torch.float64)
        noisy = (x + sigma * x.flip(0)).requires_grad_()
        slope = torch.autograd.grad(exact.log_prob(noisy, t).sum(), noisy)[0]
        clean = exact.estimate(noisy.detach(), t).clean
        torch.testing.assert_close(clean, (noisy + sigma**2 * slope).detach(), atol=2e-9 * max(1.0, sigma**2), rtol=0)


def test_of_the_pinwheel_nothing_is_known_behind_noise() -> None:
    assert toys.mixture("pinwheel") is None
    assert toys.boxes("pinwheel") is None


def test_weights_count() -> None:
    means = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    weights = torch.tensor([0.9, 0.1], dtype=torch.float64)
    exact = ExactDenoiser(FlowNoising(), GaussianMixture(means, torch.tensor([0.2]), weights.log()))
    clean = exact.estimate(torch.zeros(1, 1, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)).clean
    torch.testing.assert_close(clean, torch.full((1, 1), -0.8, dtype=torch.float64))
