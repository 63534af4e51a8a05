"""log p(x) by the probability-flow ODE under exact denoisers, against the densities they were made from."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest
import torch

from dgm_studio.models.capabilities import Noising
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture
from dgm_studio.models.noising import FlowNoising, TableNoising, VarianceExploding
from dgm_studio.models.probability_flow import follow_likelihood
from dgm_studio.models.schedules import alpha_bar
from tests.models.fixed_noise import ring, table

ResultT = TypeVar("ResultT")
PATHS: dict[str, Noising] = {
    "linear": table("linear"),
    "terminal": TableNoising(alpha_bar("cosine", 1000, zero_terminal=True)),
    "exploding": VarianceExploding(),
    "flow": FlowNoising(),
}


def ended(steps: Generator[None, None, ResultT]) -> ResultT:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _behind_least_noise(model: ExactDenoiser, x: torch.Tensor) -> torch.Tensor:
    """log p of x as data, blurred by the least noise."""
    cleanest = torch.tensor(model.path.cleanest, dtype=torch.float64)
    alpha = model.path.alpha(cleanest)
    return model.log_prob(alpha * x, cleanest) + x.shape[1] * alpha.log()


@pytest.mark.parametrize("path", PATHS)
def test_the_density_of_a_ring_is_found(path: str) -> None:
    model = ring(PATHS[path])
    x = model.mixture.means + 0.14 * torch.randn(8, 2, generator=_seeded(), dtype=torch.float64)  # type: ignore[attr-defined]
    truth = _behind_least_noise(model, x)
    errors = []
    for steps in (60, 120):
        found = ended(follow_likelihood(model, x, steps, _seeded()))
        assert found.exact and found.evaluations == 2 * steps
        errors.append(float((found.log_prob - truth).abs().max()))
    assert errors[1] < 0.02
    assert errors[1] < 0.35 * errors[0]  # Heun is of second order


@pytest.mark.parametrize("path", PATHS)
def test_probes_estimate_the_density_of_many_numbers_without_bias(path: str) -> None:
    """N(mean, diag std^2) in 3 x 6 dimensions, as rows of pictures; its Jacobian is diagonal, so one probe is exact."""
    std = torch.linspace(0.2, 0.9, 18, dtype=torch.float64)
    means = torch.linspace(-1.0, 1.0, 18, dtype=torch.float64)[None]
    model = ExactDenoiser(PATHS[path], GaussianMixture(means, std))
    x = means + std * torch.randn(5, 18, generator=_seeded(), dtype=torch.float64)
    found = ended(follow_likelihood(model, x, 200, _seeded()))
    truth = _behind_least_noise(model, x)
    assert not found.exact
    # what is left of the data at the noisiest level, 0.006 and 0.012 of them, is left out of the prior
    close = 0.08 if path in ("linear", "exploding") else 0.01
    torch.testing.assert_close(found.log_prob, truth, atol=close, rtol=0)


def test_more_probes_scatter_less() -> None:
    """Two far modes in twelve dimensions couple the coordinates, so that a probe is a draw."""
    means = torch.stack([torch.full((12,), 0.3), torch.full((12,), -0.3)]).double()
    model = ExactDenoiser(VarianceExploding(), GaussianMixture(means, torch.tensor(0.3, dtype=torch.float64)))
    x = torch.zeros(1, 12, dtype=torch.float64).expand(40, 12)
    truth = float(model.log_prob(x[:1], torch.tensor(0.002, dtype=torch.float64)))
    spread = {}
    for probes in (1, 16):
        found = ended(follow_likelihood(model, x, 60, _seeded(), probes)).log_prob
        spread[probes] = float(found.std())
        assert float(found.mean()) == pytest.approx(truth, abs=4.0 * spread[probes] / 40**0.5 + 0.02)
    assert spread[16] == pytest.approx(spread[1] / 4.0, rel=0.5)
