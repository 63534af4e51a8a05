"""Solvers against what is known: the trajectory of Gaussian data, and how much of a ring of Gaussians lies within."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.models.capabilities import Noising
from dgm_studio.models.noising import FlowNoising, VarianceExploding
from dgm_studio.models.sampling import Noise, sample, start_of, times_of
from tests.models.fixed_noise import gaussian, ring, table

STD = 0.5
ORDERS = {"ddim": 1, "euler": 1, "euler-flow": 1, "dpmpp-2m": 2, "heun": 2, "heun-flow": 2}
EXPLODING, FLOW = VarianceExploding(0.02, 20.0), FlowNoising(0.02)
CASES: list[tuple[str, Noising, str]] = [
    *((name, EXPLODING, "log-snr") for name in ("ddim", "euler", "dpmpp-2m", "heun")),
    *((name, EXPLODING, "karras") for name in ("euler-flow", "heun-flow", "heun")),
    *((name, FLOW, "time") for name in ("euler-flow", "heun-flow", "ddim", "dpmpp-2m")),
    *((name, table("linear"), "log-snr") for name in ("euler", "dpmpp-2m", "heun")),
]


def _error(path: Noising, sampler: str, spacing: str, steps: int) -> float:
    """Relative error of x at the last level before the data, from the second level on.

    Every x on the path of the probability-flow ODE of N(0, c^2) is proportional to sqrt(alpha^2 c^2 + sigma^2).
    """
    sampling = Sampling(sampler, steps, spacing)
    times = times_of(path, sampling)
    size = ((path.alpha(times[:-1]) * STD).square() + path.sigma(times[:-1]).square()).sqrt()
    begin = 1  # a flow begins where alpha = 0
    found = sample(gaussian(path, STD), torch.ones(1, 2).double(), sampling, times, Noise(0, (1, 2)), first_index=begin)
    last = [step for step in found if step is not None][-2]
    return abs(float(last.x[0, 0]) / float(size[-1] / size[begin]) - 1.0)


@pytest.mark.parametrize("sampler, path, spacing", CASES)
def test_solvers_have_the_order_of_their_papers(sampler: str, path: Noising, spacing: str) -> None:
    steps = np.array([50, 100, 200])
    errors = [_error(path, sampler, spacing, int(count)) for count in steps]
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert order == pytest.approx(ORDERS[sampler], abs=0.2)
    assert errors[-1] < {1: 0.03, 2: 4e-3}[ORDERS[sampler]]


def test_heun_with_the_exact_score_lands_within_three_sigma_of_the_ring() -> None:
    """The measured bar: 98.2 % at 35 evaluations where the truth is 98.9 %, and only about 18 % at nine."""
    model = ring(VarianceExploding())
    shares = {}
    for steps in (5, 18, 60):
        sampling = Sampling("heun", steps)
        times, noise = times_of(model.path, sampling), Noise(0, (20_000, 2))
        last = list(sample(model, start_of(model.path, times, noise.start()), sampling, times, noise))[-1]
        assert last is not None and last.evaluations == 2 * steps - 1
        away = torch.cdist(last.x, model.mixture.means).amin(1)  # type: ignore[attr-defined]
        shares[steps] = float((away < 3 * 0.14).double().mean())
    assert shares[18] == pytest.approx(0.982, abs=0.006)
    assert shares[60] == pytest.approx(1.0 - math.exp(-4.5), abs=0.003)
    assert shares[5] < 0.5
