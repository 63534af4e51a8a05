"""The mixture's bounds and gradients, where everything is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dgm_studio.models import strata
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.laplace import LaplacePosterior
from dgm_studio.models.mixture_toy import MixtureToy

TOY = MixtureToy()
ONE = MixtureToy((1.2,), (1.0,), (0.6,), (0.7,), (0.5,))
REPEATS = 200_000


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _deviations(one: Tensor, other: Tensor) -> Tensor:
    """How many standard errors two independent means lie apart, for every column."""
    error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
    return (one.mean(0) - other.mean(0)).abs() / error


def test_the_pooled_stratified_estimate_is_the_exact_marginal() -> None:
    lw = TOY.log_weights(2, REPEATS, _seeded())
    ratio = torch.exp(strata.bound(lw, TOY.posterior(TOY.parameters(REPEATS)).log_weights, "tight") - TOY.exact())
    assert abs(float(ratio.mean()) - 1.0) < 4.0 * float(ratio.std()) / math.sqrt(REPEATS)
    assert float(ratio.std()) / math.sqrt(REPEATS) < 3e-3  # or the line above would prove little


def test_looser_is_below_tight_is_below_the_truth_and_both_rise_with_k() -> None:
    logs = TOY.posterior(TOY.parameters(100_000)).log_weights
    found = {
        (which, k): float(strata.bound(TOY.log_weights(k, 100_000, _seeded(k)), logs, which).mean())
        for which in strata.BOUNDS
        for k in (1, 10)
    }
    for k in (1, 10):
        assert found["looser", k] < found["tight", k] < TOY.exact()
    assert found["looser", 1] < found["looser", 10] and found["tight", 1] < found["tight", 10]


@pytest.mark.parametrize(
    ("toy", "which", "k", "gradient"),
    [
        (ONE, "looser", 5, "dreg"),
        (ONE, "tight", 5, "dreg"),
        (TOY, "looser", 1, "dreg"),
        (TOY, "looser", 5, "dreg-mixture"),
        (TOY, "tight", 5, "dreg-mixture"),
        (TOY, "tight", 1, "dreg-mixture"),
    ],
)
def test_doubly_reparametrised_gradients_have_the_iwae_gradients_mean_and_less_variance(
    toy: MixtureToy, which: str, k: int, gradient: str
) -> None:
    plain = toy.gradient_of("iwae", k, REPEATS, _seeded(1), which)
    double = toy.gradient_of(gradient, k, REPEATS, _seeded(2), which)
    assert (_deviations(double, plain) < 4.0).all()
    assert double.var(0).sum() < plain.var(0).sum()


def test_the_published_gradient_of_a_mixture_is_biased_for_several_draws() -> None:
    plain = TOY.gradient_of("iwae", 5, REPEATS, _seeded(1))
    double = TOY.gradient_of("dreg", 5, REPEATS, _seeded(2))
    assert (_deviations(double, plain) > 20.0).all()


def test_a_hook_on_a_copy_never_runs_and_the_gradient_is_another() -> None:
    right = ONE.gradient_of("dreg", 5, REPEATS, _seeded(1))
    wrong = ONE.gradient_of("dreg", 5, REPEATS, _seeded(1), hook="copy")
    assert not torch.allclose(right, wrong)
    assert (_deviations(wrong, ONE.gradient_of("iwae", 5, REPEATS, _seeded(2))) > 20.0).all()


def test_every_gradient_goes_with_the_same_value() -> None:
    parameters = TOY.parameters(50).requires_grad_()
    q = TOY.posterior(parameters)
    z = q.stratified(_seeded(), 4)
    values = []
    for gradient in strata.GRADIENTS:
        used = strata.handle(z, gradient)
        lw = TOY.log_joint(used) - strata.log_density(q, used, gradient)
        values.append(strata.objective(q, z, used, lw, "looser", gradient).detach())
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(values[0], values[2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("gradient", strata.GRADIENTS)
@pytest.mark.parametrize("which", strata.BOUNDS)
def test_a_component_without_weight_takes_no_part_whatever_it_is(gradient: str, which: str) -> None:
    found = []
    for stand_in in (0.0, 30.0):
        mean = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
        own = LaplacePosterior(mean, torch.ones_like(mean))
        other = LaplacePosterior(torch.full_like(mean, stand_in), torch.ones_like(mean))
        q = Mixture((own, other), torch.tensor([[0.0, -math.inf]], dtype=torch.float64), (("a",), ("b",)))
        z = q.stratified(_seeded(), 3)
        used = strata.handle(z, gradient)
        lw = -used.square().sum(-1) - strata.log_density(q, used, gradient)
        value = strata.objective(q, z, used, lw, which, gradient).sum()
        (slope,) = torch.autograd.grad(value, mean)
        assert torch.isfinite(slope).all()
        found.append(torch.cat([value.detach().view(1), slope.flatten()]))
    assert torch.equal(*found)


def test_the_densitys_parts_by_dimension_add_up_to_it() -> None:
    mean, std = torch.randn(2, 4, 3, generator=_seeded()), torch.rand(2, 4, 3, generator=_seeded(1)) + 0.1
    logs = torch.log_softmax(torch.randn(4, 2, generator=_seeded(2)), 1)
    q = Mixture((LaplacePosterior(mean[0], std[0]), LaplacePosterior(mean[1], std[1])), logs, (("a",), ("b",)))
    z = q.stratified(_seeded(3), 5)
    torch.testing.assert_close(strata.log_density_per_dim(q, z).sum(-1), q.log_prob(z), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(strata.log_density(q, z), q.log_prob(z))
