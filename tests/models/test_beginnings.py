"""Where trajectories begin: noised data, the noise behind data, the arc between two noises."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from dgm_studio.core.requests.denoising import Beginning, Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Noising
from dgm_studio.models.exact_denoiser import ExactDenoiser
from dgm_studio.models.noising import FlowNoising, VarianceExploding
from dgm_studio.models.sampler_beginnings import Start, begin, between, index_at, inverted
from dgm_studio.models.sampling import Noise, sample, times_of
from tests.models.fixed_noise import ring, table

ResultT = TypeVar("ResultT")
PATHS: dict[str, Noising] = {"linear": table("linear"), "exploding": VarianceExploding(), "flow": FlowNoising()}


def ended(steps: Generator[None, None, ResultT]) -> ResultT:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _data(model: ExactDenoiser, count: int) -> Tensor:
    means = model.mixture.means[torch.arange(count) % 8]  # type: ignore[attr-defined]
    return means + 0.14 * torch.randn(count, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _led_back(model: ExactDenoiser, start: Start, sampling: Sampling, times: Tensor) -> Tensor:
    noise = Noise(0, tuple(start.x.shape))
    last = list(sample(model, start.x, sampling, times, noise, first_index=start.index))[-1]
    assert last is not None
    return last.x


@pytest.mark.parametrize("path", PATHS)
def test_the_noise_behind_data_leads_back_to_them(path: str) -> None:
    """And each further round of solving for it leads back more exactly."""
    model, sampling = ring(PATHS[path]), Sampling("ddim", 50)
    times, x = times_of(model.path, sampling), _data(model, 64)
    missed = {}
    for rounds in (1, 3, 8):
        start = ended(inverted(model, x, sampling, times, corrections=rounds))
        assert start.index == 0 and start.evaluations == 50 * rounds
        # the median: a point between two modes may be led to either
        missed[rounds] = float((_led_back(model, start, sampling, times) - x).norm(dim=1).median())
    assert missed[1] < 0.02
    assert missed[3] < min(1e-3, 0.1 * missed[1])
    assert missed[8] < 2e-4


def test_a_part_of_the_way_back_leads_there_too() -> None:
    model, sampling = ring(PATHS["linear"]), Sampling("ddim", 50)
    times, noise, x = times_of(model.path, sampling), Noise(0, (8, 2)), _data(ring(PATHS["linear"]), 8)
    start = ended(begin(model, Beginning("inverted", depth=0.4), sampling, times, noise, x))
    assert start.index == 30
    torch.testing.assert_close(_led_back(model, start, sampling, times), x, atol=0.01, rtol=0)


def test_noised_data_are_kept_the_more_the_less_they_are_noised() -> None:
    """SDEdit: at a small depth every point stays with its mode, at full depth none does more than by chance."""
    model, sampling = ring(PATHS["flow"]), Sampling("euler-flow", 40)
    times, noise, x = times_of(model.path, sampling), Noise(0, (400, 2)), _data(ring(PATHS["flow"]), 400)
    stayed = {}
    for depth in (0.1, 0.6, 1.0):
        start = ended(begin(model, Beginning("picture", depth=depth), sampling, times, noise, x))
        t = times[start.index]
        torch.testing.assert_close(start.x, (1.0 - t) * x + t * noise.start())
        end = _led_back(model, start, sampling, times)
        stayed[depth] = float(((end - x).norm(dim=1) < 0.7).double().mean())
    assert stayed[0.1] > 0.99 > stayed[0.6] > stayed[1.0]
    assert stayed[1.0] == pytest.approx(1 / 8, abs=0.06)


def test_one_source_serves_all_samples() -> None:
    model, sampling = ring(PATHS["linear"]), Sampling("ddim", 10)
    times, noise = times_of(model.path, sampling), Noise(0, (5, 2))
    start = ended(begin(model, Beginning("picture", depth=0.5), sampling, times, noise, torch.ones(2)))
    assert start.x.shape == (5, 2) and start.x.dtype == torch.float64 and start.index == 5


def test_noise_on_the_arc_is_as_long_as_noise_and_ends_at_both_ends() -> None:
    one, two = Noise(0, (30, 3, 16, 16)).start(), Noise(1, (30, 3, 16, 16)).start()
    assert torch.equal(between(one, two, 0.0), one) and torch.equal(between(one, two, 1.0), two)
    for weight in (0.25, 0.5, 0.9):
        found = between(one, two, weight)
        torch.testing.assert_close(found.square().mean((1, 2, 3)), torch.ones(30).double(), atol=0.15, rtol=0)
        assert torch.equal(found[:1], between(one[:1], two[:1], weight))  # each example by itself
    torch.testing.assert_close(between(one, one, 0.3), one)
    noise, times = Noise(0, (4, 2)), times_of(PATHS["exploding"], Sampling("heun", 5))
    start = ended(begin(ring(PATHS["exploding"]), Beginning("between", other=9, weight=1.0), Sampling(), times, noise))
    torch.testing.assert_close(start.x, 80.0 * Noise(9, (4, 2)).start())


def test_wrong_beginnings_are_told() -> None:
    model, times, noise = ring(PATHS["flow"]), torch.linspace(1.0, 0.0, 11).double(), Noise(0, (4, 2))
    assert index_at(times, 1.0) == 0 and index_at(times, 0.01) == 9
    with pytest.raises(Problem, match="depth of 0"):
        index_at(times, 0.0)
    for kind, words in (("picture", "no picture"), ("magic", "no beginning called magic")):
        with pytest.raises(Problem, match=words):
            ended(begin(model, Beginning(kind), Sampling(), times, noise))
