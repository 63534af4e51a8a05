"""The Laplace distribution against numerical integration and its own draws."""

from __future__ import annotations

import math

import pytest
import torch

from dgm_studio.models import laplace
from dgm_studio.models.capabilities import Posterior

GRID = torch.linspace(-60.0, 60.0, 240_001, dtype=torch.float64)
MEANS = torch.tensor([[0.0, 0.4, -2.5, 6.0]], dtype=torch.float64)
STDS = torch.tensor([[0.3, 1.0, 2.5, 1.7]], dtype=torch.float64)


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _integral(values: torch.Tensor) -> torch.Tensor:
    return torch.trapezoid(values, GRID, dim=0)


@pytest.mark.parametrize("kind", ["laplace", "gaussian"])
def test_the_closed_form_kl_is_the_integral(kind: str) -> None:
    q = (laplace.LaplacePosterior if kind == "laplace" else Posterior)(MEANS, STDS)
    scale = torch.tensor([1.0, 0.5, 2.0, 1.2], dtype=torch.float64)
    prior = (laplace.ScaledLaplace if kind == "laplace" else laplace.ScaledNormal)(scale)
    z = GRID[:, None, None].expand(-1, 1, 4)
    log_q = q.log_prob_per_dim(z)
    torch.testing.assert_close(_integral(log_q.exp()), torch.ones_like(MEANS), atol=1e-6, rtol=0)
    numerical = _integral(log_q.exp() * (log_q - prior.log_prob_per_dim(z)))
    exact = prior.kl_per_dim(q)
    assert exact is not None
    torch.testing.assert_close(exact, numerical, atol=2e-6, rtol=0)
    standard = type(prior)(torch.ones_like(scale))
    torch.testing.assert_close(q.kl_per_dim(), standard.kl_per_dim(q))


def test_a_kl_without_closed_form_says_so() -> None:
    one = torch.ones(4, dtype=torch.float64)
    assert laplace.ScaledLaplace(one).kl_per_dim(Posterior(MEANS, STDS)) is None
    assert laplace.ScaledNormal(one).kl_per_dim(laplace.LaplacePosterior(MEANS, STDS)) is None


def test_draws_have_the_mean_the_spread_and_the_entropy_of_the_density() -> None:
    q = laplace.LaplacePosterior(MEANS, STDS)
    k = 200_000
    z = q.sample(_seeded(), k)
    assert torch.isfinite(z).all()
    assert ((z.mean(0) - MEANS).abs() < 4.0 * STDS / math.sqrt(k)).all()
    # Var of (z - mean)^2 is 5 std^4 for a Laplace, whose fourth moment is 6 std^4.
    assert ((z.var(0) - STDS.square()).abs() < 4.0 * STDS.square() * math.sqrt(5.0 / k)).all()
    entropy = 1.0 + (2.0 * q.scale).log()  # and log q has variance 1
    assert ((-q.log_prob_per_dim(z).mean(0) - entropy).abs() < 4.0 / math.sqrt(k)).all()
    torch.testing.assert_close(q.log_prob(z[:3]), q.log_prob_per_dim(z[:3]).sum(-1))


def test_learnt_prior_scales_always_sum_to_the_number_of_latents() -> None:
    prior = laplace.ScaledPrior(7, "laplace")
    optimiser = torch.optim.Adam(prior.parameters(), 0.1)
    z = torch.randn(200, 7, generator=_seeded()) * torch.arange(1.0, 8.0)
    for _ in range(100):
        optimiser.zero_grad()
        (-prior().log_prob(z).mean()).backward()
        optimiser.step()
    scale = prior.scale().detach()
    assert abs(float(scale.sum()) - 7.0) < 1e-5
    assert (scale[1:] > scale[:-1]).all() and scale[6] > 2.0 * scale[0]
    torch.testing.assert_close(prior().std(), math.sqrt(2.0) * prior.scale())


def test_a_fixed_prior_is_standard_and_learns_nothing() -> None:
    for kind, std in (("laplace", math.sqrt(2.0)), ("gaussian", 1.0)):
        prior = laplace.ScaledPrior(3, kind, learnt=False)
        assert not list(prior.parameters()) and not prior.state_dict()
        torch.testing.assert_close(prior().std(), torch.full((3,), std))
        drawn = prior().sample(50_000, _seeded(), temperature=2.0)
        assert ((drawn.std(0) - 2.0 * std).abs() < 0.05 * std).all()


def test_the_picture_likelihood_integrates_to_one_and_keeps_means_inside() -> None:
    head = laplace.LaplaceHead((1, 1, 1))
    p = head(torch.tensor([[[[-80.0]]], [[[0.3]]]], dtype=torch.float64))
    assert (p.mean > 0).all() and (p.mean < 1).all()
    x = GRID.view(-1, 1, 1, 1)
    density = laplace.Laplace(p.mean[1:].expand(len(GRID), 1, 1, 1), 0.75).log_prob(x).exp()
    assert abs(float(_integral(density)) - 1.0) < 1e-6
    assert p.sample(_seeded()).shape == (2, 1, 1, 1)
