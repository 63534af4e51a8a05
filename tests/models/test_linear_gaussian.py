"""Where all is known: fusion and bounds together give the exact log-likelihood of every part of a datum."""

from __future__ import annotations

import math

import pytest
import torch

from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import cross_bounds, fusion
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.linear_gaussian import exactness, linear_gaussian, mixture_estimate


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("modalities", "latent"), [(1, 1), (2, 2), (3, 4)])
def test_the_bound_of_every_subset_is_its_exact_log_likelihood(modalities: int, latent: int) -> None:
    for seed in range(5):
        rows = exactness(seed, modalities, latent)
        assert len(rows) == 2**modalities - 1
        for row in rows:
            assert abs(row["elbo"] - row["exact"]) < 1e-10 and row["gap"] == row["exact"] - row["elbo"]


def test_without_the_prior_expert_the_gap_is_the_divergence_from_the_true_posterior() -> None:
    for seed in range(3):
        model = linear_gaussian(seed, 2, 2)
        x = model.sample(1, _seeded(seed + 1))  # as in `exactness`
        for row in exactness(seed, 2, 2):
            given = {n: x[n] for n in row["given"]}
            wrong, right = (fusion.product(model.experts(given), None, prior) for prior in (False, True))
            ratio = wrong.std / right.std
            kl = (0.5 * (((wrong.mean - right.mean) / right.std) ** 2 + ratio**2 - 1) - ratio.log()).sum()
            assert row["gap without the prior expert"] == pytest.approx(float(kl), rel=0.15)
            assert kl > 1e-3


def test_closed_form_and_drawn_kl_give_one_bound_and_wrong_posteriors_stay_below() -> None:
    model = linear_gaussian(4, 3, 2)
    x = model.sample(20, _seeded(0))
    for given, scored in ((("x1",), ("x1",)), (("x1", "x3"), ("x1", "x3"))):
        exact = model.log_prob({n: x[n] for n in scored})
        bound = cross_bounds.elbo(model, x, _seeded(1), given, scored, 2000)
        torch.testing.assert_close(bound, exact, rtol=0, atol=0.2)
    # scored need not be what is given: then it is a bound on log p(scored) by a posterior that does not know all of it
    exact = model.log_prob({n: x[n] for n in ("x1", "x2")})
    bound = cross_bounds.elbo(model, x, _seeded(1), ("x1",), ("x1", "x2"), 2000)
    assert (bound < exact + 0.2).all() and (exact - bound).mean() > 0.1


def test_the_stratified_estimate_by_the_mixture_is_the_exact_marginal_within_four_standard_errors() -> None:
    for seed in range(6):
        found = mixture_estimate(seed, 3, 2)
        assert abs(found["estimate"] - found["exact"]) < 4 * found["error"] and 0 < found["error"] < 0.1


@pytest.mark.parametrize("rule", fusion.RULES)
def test_bounds_rise_with_draws_to_the_exact_log_likelihood_by_every_rule(rule: str) -> None:
    model, fusing = linear_gaussian(2, 2, 2), Fusing(rule, {"x1": 0.5})
    x = model.sample(50, _seeded(0))
    exact = model.log_prob(x)
    one = [cross_bounds.importance_bound(model, x, 1, _seeded(s), fusing=fusing).log_prob - exact for s in range(100)]
    elbo = [cross_bounds.elbo(model, x, _seeded(s), fusing=fusing) - exact for s in range(100)]
    many = [
        torch.stack(
            [cross_bounds.importance_bound(model, x, k, _seeded(s), fusing=fusing).log_prob - exact for s in range(12)]
        ).mean()
        for k in (10, 100)
    ]
    first, second = (torch.stack(values).mean(1) for values in (one, elbo))
    error = ((first.var() + second.var()) / 100).sqrt()
    # Rules that draw component by component rise with the number of components too, at a single draw from each.
    assert second.mean() <= first.mean() + 4 * error
    assert first.mean() < many[0] < many[1] < 0.01
    found = cross_bounds.importance_bound(model, x, 300, _seeded(0), fusing=fusing)
    strata = len(model.infer(x, fusing).components)
    assert (found.effective_samples >= 1).all() and (found.effective_samples <= 300 * strata).all()
    q, logs = cross_bounds.stratified_log_weights(model, x, 300, _seeded(0), fusing=fusing)
    assert logs.shape == (strata, 300, 50)
    weighted = logs + q.log_weights.t().unsqueeze(1) - math.log(300)
    torch.testing.assert_close(torch.logsumexp(weighted.flatten(0, 1), 0), found.log_prob)


def test_a_conditional_log_likelihood_is_that_of_the_exact_model() -> None:
    model = linear_gaussian(1, 3, 2)
    x = model.sample(10, _seeded(0))
    exact = model.log_prob(x) - model.log_prob({n: x[n] for n in ("x1", "x3")})
    found = cross_bounds.conditional_bound(model, x, ("x2",), ("x1", "x3"), 3, _seeded(1))
    torch.testing.assert_close(found.log_prob, exact, rtol=0, atol=1e-10)


def test_the_model_is_what_it_says() -> None:
    """Its exact likelihood against brute force over a grid of z."""
    model = linear_gaussian(3, 2, 1)
    x = model.sample(1, _seeded(0))
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64).unsqueeze(1)
    each = sum(p.log_prob(x[n].expand(len(z), -1)) for n, p in model.generate(z).items())
    log_joint = each - 0.5 * (z[:, 0].square() + math.log(2 * math.pi))
    brute = torch.trapezoid(log_joint.exp(), z[:, 0]).log()
    assert float(model.log_prob(x)) == pytest.approx(float(brute), abs=1e-9)
    assert isinstance(model.infer(x).components[0], Posterior)


def test_sizes_that_nobody_can_draw_are_refused() -> None:
    with pytest.raises(Problem):
        exactness(0, 9, 2)
