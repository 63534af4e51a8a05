"""Products, mixtures and mixtures of products against closed forms and brute force, in double precision."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import fusion
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.laplace import LaplacePosterior

N, Z = 7, 5


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _expert(seed: int, reach: float = 20.0, kind: type[Posterior] = Posterior) -> Posterior:
    """Log-variances all over [-reach, reach]."""
    g = _seeded(seed)
    log_variance = reach * (2.0 * torch.rand(N, Z, generator=g, dtype=torch.float64) - 1.0)
    return kind(torch.randn(N, Z, generator=g, dtype=torch.float64), (0.5 * log_variance).exp())


def _experts(count: int, reach: float = 20.0, kind: type[Posterior] = Posterior) -> dict[str, Posterior]:
    return {f"m{i}": _expert(i, reach, kind) for i in range(count)}


def _gone(rows: str) -> Tensor:
    return torch.tensor([c == "x" for c in rows])


@pytest.mark.parametrize("prior", [True, False])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_product_is_the_closed_form_for_log_variances_from_minus_20_to_20(prior: bool, count: int) -> None:
    """Against sums of precisions in 60 decimals, which no cancellation can touch."""
    import decimal

    decimal.getcontext().prec = 60
    experts, factors = _experts(count), {"m0": 0.25, "m1": 3.0}
    found = fusion.product(experts, factors, prior)
    for n, d in itertools.product(range(N), range(Z)):
        total, weighted = decimal.Decimal(int(prior)), decimal.Decimal(0)
        for name, e in experts.items():
            precision = decimal.Decimal(factors.get(name, 1.0)) / decimal.Decimal(float(e.std[n, d])) ** 2
            total, weighted = total + precision, weighted + precision * decimal.Decimal(float(e.mean[n, d]))
        assert float(found.std[n, d]) == pytest.approx(float(1 / total.sqrt()), rel=1e-12)
        assert float(found.mean[n, d]) == pytest.approx(float(weighted / total), rel=1e-12, abs=1e-12)


def test_a_product_is_the_normalised_product_of_densities() -> None:
    experts = _experts(3, 2.0)
    q = fusion.product(experts)
    z = torch.randn(4, N, Z, generator=_seeded(9), dtype=torch.float64)
    sums = sum(e.log_prob(z) for e in experts.values()) - 0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    constant = sums - q.log_prob(z)  # the same for every z
    torch.testing.assert_close(constant, constant[:1].expand(4, N), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", fusion.RULES)
def test_an_expert_that_is_missing_is_absent_to_the_last_bit(rule: str) -> None:
    experts, gone = _experts(3, 6.0), _gone("x.x.x.x")
    experts["m1"] = fusion.absent_where(experts["m1"], gone)
    whole = fusion.fuse(experts, Fusing(rule), "poe")
    without = fusion.fuse({n: e for n, e in experts.items() if n != "m1"}, Fusing(rule), "poe")
    rows = [i for i in range(N) if gone[i]]
    z = torch.randn(N, Z, generator=_seeded(3), dtype=torch.float64)
    takes_part = whole.log_weights[rows[0]] > -math.inf
    assert [n for n, on in zip(whole.names, takes_part, strict=True) if on] == list(without.names) or rule == "poe"
    kept = [c for c, on in zip(whole.components, takes_part, strict=True) if on]
    for one, other in zip(kept, without.components, strict=True):
        assert torch.equal(one.mean[rows], other.mean[rows]) and torch.equal(one.std[rows], other.std[rows])
    torch.testing.assert_close(whole.log_prob(z)[rows], without.log_prob(z)[rows], rtol=1e-13, atol=0)
    there = [i for i in range(N) if not gone[i]]
    assert not torch.allclose(whole.log_prob(z)[there], without.log_prob(z)[there])


@pytest.mark.parametrize("rule", fusion.RULES)
def test_the_order_of_the_experts_does_not_count(rule: str) -> None:
    experts = _experts(3, 6.0)
    z = torch.randn(N, Z, generator=_seeded(3), dtype=torch.float64)
    wanted = fusion.fuse(experts, Fusing(rule), "poe").log_prob(z)
    for order in itertools.permutations(experts):
        found = fusion.fuse({n: experts[n] for n in order}, Fusing(rule), "poe").log_prob(z)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", fusion.RULES)
@pytest.mark.parametrize("prior", [True, False])
def test_where_nothing_is_given_the_posterior_is_the_prior_by_every_rule(rule: str, prior: bool) -> None:
    gone = _gone("xxxxxxx")
    experts = {n: fusion.absent_where(e, gone) for n, e in _experts(2, 2.0).items()}
    q = fusion.fuse(experts, Fusing(rule, prior_expert=prior), "poe")
    z = torch.randn(3, N, Z, generator=_seeded(3), dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1))
    assert torch.equal(q.mean, torch.zeros(N, Z, dtype=torch.float64))


def test_mixtures_of_products_are_a_mean_of_densities_over_the_subsets_of_what_is_given() -> None:
    experts = _experts(3, 2.0)
    experts["m2"] = fusion.absent_where(experts["m2"], _gone("x......"))
    q = fusion.mixture_of_products(experts)
    assert len(q.components) == 7
    z = torch.randn(N, Z, generator=_seeded(3), dtype=torch.float64)
    for row, names in ((0, ("m0", "m1")), (1, ("m0", "m1", "m2"))):
        parts = [fusion.product({n: experts[n] for n in subset}).log_prob(z)[row] for subset in fusion.subsets(names)]
        wanted = torch.logsumexp(torch.stack(parts), 0) - math.log(len(parts))
        torch.testing.assert_close(q.log_prob(z)[row], wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [Posterior, LaplacePosterior])
def test_a_mixture_has_the_mean_spread_and_shares_of_its_own_draws(kind: type[Posterior]) -> None:
    experts = {"m0": _expert(0, 1.0, kind), "m1": fusion.absent_where(_expert(1, 1.0, kind), _gone("x......"))}
    q = fusion.mixture(experts, {"m1": 3.0})
    assert all(type(c) is kind for c in q.components)
    torch.testing.assert_close(q.log_weights[1].exp(), torch.tensor([0.25, 0.75], dtype=torch.float64))
    assert q.log_weights[0].tolist() == [0.0, -math.inf]
    k = 40_000
    drawn = q.sample(_seeded(1), k)
    error = q.std / math.sqrt(k)
    assert ((drawn.mean(0) - q.mean).abs() < 5 * error).all()
    torch.testing.assert_close(drawn.std(0), q.std, rtol=0.05, atol=0)
    strata = q.stratified(_seeded(2), k)
    assert strata.shape == (2, k, N, Z) and torch.isfinite(strata).all()
    torch.testing.assert_close(strata[1, :, 1].mean(0), experts["m1"].mean[1], rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", [Posterior, LaplacePosterior])
def test_a_mixtures_density_integrates_to_one(kind: type[Posterior]) -> None:
    q = fusion.mixture(
        {f"m{i}": kind(torch.tensor([[m]]), torch.tensor([[s]])) for i, (m, s) in enumerate([(-1.0, 0.5), (2.0, 1.5)])}
    )
    grid = torch.linspace(-30, 30, 60_001).double().view(-1, 1, 1)
    assert float(torch.trapezoid(q.log_prob(grid)[:, 0].exp(), grid[:, 0, 0])) == pytest.approx(1.0, abs=1e-5)


def test_gradients_of_missing_experts_are_zero_and_all_are_finite() -> None:
    mean, log_std = (torch.zeros(2, N, Z, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gone = _gone("x..x...")
    for rule in fusion.RULES:
        experts = {
            "m0": fusion.absent_where(Posterior(mean[0], log_std[0].exp()), gone),
            "m1": Posterior(mean[1] + 1.0, log_std[1].exp()),
        }
        q = fusion.fuse(experts, Fusing(rule), "poe")
        loss = q.log_prob(q.sample(_seeded(0), 3)).sum() + q.mean.sum() + q.std.sum()
        for gradient in torch.autograd.grad(loss, (mean, log_std)):
            assert torch.isfinite(gradient).all() and (gradient[0][gone] == 0).all() and (gradient[1] != 0).any()


def test_a_rule_that_means_nothing_on_some_encoders_is_refused_with_its_reason() -> None:
    experts = _experts(2, 1.0, LaplacePosterior)
    for kind, trained, refused in (("laplace", "moe", ("poe", "mopoe")), ("gaussian", "moe", ("poe", "mopoe"))):
        for rule in refused:
            why = fusion.rules(kind, trained)[rule]
            assert why.endswith(".") and len(why) > 40
            with pytest.raises(Problem, match=why[:20]):
                fusion.fuse(experts, Fusing(rule), trained, kind=kind)
    assert set(fusion.rules("gaussian", "poe").values()) == {""}
    with pytest.raises(Problem, match="no rule"):
        fusion.fuse(experts, Fusing("sum"), "poe")


def test_the_mixture_on_the_encoders_of_a_product_is_of_the_posteriors_of_single_modalities() -> None:
    experts = _experts(2, 1.0)
    q = fusion.fuse(experts, Fusing("moe"), "poe")
    for component, (name, expert) in zip(q.components, experts.items(), strict=True):
        alone = fusion.product({name: expert})
        assert torch.equal(component.mean, alone.mean) and torch.equal(component.std, alone.std)
