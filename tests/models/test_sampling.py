"""Trajectories: levels they visit, noise they use, guidance, clipping, what is kept, and taking them up again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given as tried
from hypothesis import strategies as st
from torch import Tensor

from dgm_studio.core.requests.denoising import SAMPLERS, Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Estimate, Noising, Views
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture
from dgm_studio.models.noising import FlowNoising, TableNoising, VarianceExploding
from dgm_studio.models.sampler_guiding import dynamically_clipped
from dgm_studio.models.sampling import Keep, Noise, Step, refusals, sample, sampling_for, start_of, times_of
from dgm_studio.models.schedules import alpha_bar, tables
from tests.models.fixed_noise import ring, table

PATHS: dict[str, Noising] = {
    "linear": table("linear"),
    "cosine": table("cosine"),
    "terminal": TableNoising(alpha_bar("linear", 1000, zero_terminal=True)),
    "exploding": VarianceExploding(),
    "flow": FlowNoising(),
}
USABLE = [(path, name) for path, noising in PATHS.items() for name, why in refusals(noising).items() if not why]


@dataclasses.dataclass
class Two:
    """One network with two answers: a ring where nothing is given, and one of its modes where that is."""

    path: Noising
    asked: list[str] = dataclasses.field(default_factory=list)
    range: tuple[float, float] | None = None

    def noising(self) -> Noising:
        return self.path

    def support(self) -> tuple[float, float] | None:
        return self.range

    def conditions(self) -> tuple[()]:
        return ()

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        self.asked.append("free" if given is None else "given")
        free = ring(self.path)
        if given is None:
            return free.estimate(x, t)
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        clean = free.mixture.means[given["mode"]].to(x)  # type: ignore[attr-defined]
        return Estimate(clean, (x - alpha * clean) / sigma)


def only_steps(steps: Iterable[Step | None]) -> list[Step]:
    return [step for step in steps if step is not None]


def trajectory(
    model: ExactDenoiser | Two, sampling: Sampling, n: int = 12, views: Views | None = None, seed: int = 0
) -> list[Step]:
    times, noise = times_of(model.path, sampling), Noise(seed, (n, 2))
    x = start_of(model.path, times, noise.start())
    return only_steps(sample(model, x, sampling, times, noise, views))


@tried(
    st.sampled_from(sorted(PATHS)),
    st.sampled_from(sorted(SAMPLERS)),
    st.sampled_from(["time", "log-snr", "karras"]),
    st.integers(1, 200),
)
def test_levels_fall_from_the_noisiest_to_the_data(path: str, sampler: str, spacing: str, steps: int) -> None:
    noising = PATHS[path]
    times = times_of(noising, Sampling(sampler, steps, spacing))
    assert len(times) == steps + 1 and times.dtype == torch.float64
    assert times[0] == noising.noisiest and times[-1] == noising.clean
    assert bool((times.diff() < 0.0).all())
    assert float(times[-2]) >= noising.cleanest - 1e-12
    if noising.kind == "discrete" and sampler in ("ddpm", "ddim"):
        assert torch.equal(times, times.round())


def test_a_full_grid_is_every_index_and_more_is_refused() -> None:
    for spacing in ("time", "log-snr", "karras"):
        times = times_of(PATHS["cosine"], Sampling("ddpm", 1000, spacing))
        assert times.tolist() == list(range(999, -2, -1))
    with pytest.raises(Problem, match="no more than 1000 steps"):
        times_of(PATHS["cosine"], Sampling("ddim", 1001))


def test_karras_levels_are_those_of_the_paper() -> None:
    i = torch.arange(18, dtype=torch.float64) / 17
    paper = (80 ** (1 / 7) + i * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7  # equation 5
    torch.testing.assert_close(times_of(VarianceExploding(), Sampling("heun", 18))[:-1], paper, rtol=1e-12, atol=0)


def test_own_levels_are_visited_as_they_are() -> None:
    own = Sampling("dpmpp-2m", 99, "own", levels=(-4.0, -1.0, 0.5, 3.0))
    times = times_of(PATHS["flow"], own)
    torch.testing.assert_close(PATHS["flow"].log_snr(times[:-1]).tolist(), [-4.0, -1.0, 0.5, 3.0])
    with pytest.raises(Problem, match="must rise"):
        times_of(PATHS["flow"], dataclasses.replace(own, levels=(0.0, -1.0)))


def test_noise_depends_on_seed_step_and_purpose_and_not_on_how_many_are_drawn() -> None:
    few, many = Noise(5, (3, 2, 3)), Noise(5, (40, 2, 3))
    assert torch.equal(few.start(), many.start()[:3])
    assert torch.equal(few.at(7), many.at(7)[:3])
    others = [many.at(7), many.at(8), many.start(), Noise(6, (40, 2, 3)).at(7), many.at(7, 2), many.at(7, 1, 1)]
    for i, one in enumerate(others):
        assert abs(float(one.mean())) < 0.2 and abs(float(one.std()) - 1.0) < 0.2
        for other in others[i + 1 :]:
            assert abs(float((one * other).mean())) < 0.3


@pytest.mark.parametrize("path, sampler", USABLE)
def test_a_trajectory_taken_up_at_a_step_repeats_its_tail_bit_for_bit(path: str, sampler: str) -> None:
    model = ring(PATHS[path])
    sampling = Sampling(sampler, 14, eta=0.7, churn=6.0)
    times, noise = times_of(model.path, sampling), Noise(3, (12, 2))
    mask, known = torch.tensor([True, False]), torch.tensor([0.5, 0.0], dtype=torch.float64)
    for keep in (None, Keep(mask, known, 3)):
        whole = only_steps(sample(model, start_of(model.path, times, noise.start()), sampling, times, noise, keep=keep))
        assert [step.index for step in whole] == list(range(15))
        assert [step.time for step in whole] == times.tolist()
        for k in (1, 9, 13):
            again = sample(model, whole[k].x, sampling, times, noise, None, k, keep, before=whole[k - 1])
            tail = only_steps(again)
            assert len(tail) == 15 - k
            for one, other in zip(whole[k:], tail, strict=True):
                assert one.index == other.index
                assert all(torch.equal(a, b) for a, b in ((one.x, other.x), (one.clean, other.clean)))


@pytest.mark.parametrize("path, sampler", USABLE)
def test_every_sampler_leads_noise_to_the_data_and_tells_the_truth_of_every_step(path: str, sampler: str) -> None:
    model = ring(PATHS[path])
    steps = trajectory(model, Sampling(sampler, 60), 100)
    for step in steps[:-1]:
        t = torch.tensor(step.time, dtype=torch.float64)
        alpha, sigma = model.path.alpha(t), model.path.sigma(t)
        torch.testing.assert_close(alpha * step.clean + sigma * step.noise, step.x, rtol=1e-10, atol=1e-10)
        assert step.difference is None
    assert torch.equal(steps[-1].x, steps[-1].clean)
    away = torch.cdist(steps[-1].x, model.mixture.means).amin(1) / 0.14  # type: ignore[attr-defined]
    assert float((away < 3.5).double().mean()) >= 0.9
    assert steps[0].evaluations == 1
    noisiest = torch.tensor(model.path.noisiest, dtype=torch.float64)
    heun = 119 - sum(bool(level < -5.2) for level in model.path.log_snr(times_of(model.path, Sampling(sampler, 60))))
    assert math.isinf(model.path.log_snr(noisiest)) == (path in ("terminal", "flow"))
    assert steps[-1].evaluations == {"heun": heun, "heun-flow": 119}.get(sampler, 60)


def test_guidance_one_and_zero_are_the_branches_to_the_last_bit() -> None:
    views = {"mode": torch.arange(12) % 8}
    for sampler in ("ddim", "heun"):
        given = trajectory(model := Two(PATHS["linear"]), Sampling(sampler, 8, guidance=1.0), views=views)
        assert set(model.asked) == {"given"}
        free = trajectory(model := Two(PATHS["linear"]), Sampling(sampler, 8, guidance=0.0), views=views)
        assert set(model.asked) == {"free"}
        exact = trajectory(ring(PATHS["linear"]), Sampling(sampler, 8))
        assert torch.equal(free[-1].x, exact[-1].x)
        means = ring(PATHS["linear"]).mixture.means  # type: ignore[attr-defined]
        torch.testing.assert_close(given[-1].x, means[views["mode"]], rtol=0, atol=1e-12)
        assert given[3].difference is None and free[3].difference is None


def test_guidance_mixes_noise_estimates_and_records_the_difference() -> None:
    views = {"mode": torch.arange(12) % 8}
    model = Two(PATHS["cosine"])
    step = trajectory(model, Sampling("ddim", 8, guidance=3.0), views=views)[5]
    t = torch.tensor(step.time, dtype=torch.float64)
    free, given = model.estimate(step.x, t), model.estimate(step.x, t, views)
    torch.testing.assert_close(step.noise, free.noise + 3.0 * (given.noise - free.noise), rtol=1e-10, atol=1e-10)
    assert step.difference is not None and step.evaluations == 12
    torch.testing.assert_close(step.difference, given.clean - free.clean)


def test_the_noise_estimate_is_made_anew_from_what_was_clipped() -> None:
    model = Two(PATHS["linear"], range=(-1.0, 1.0))
    for clip in ("model", "static", "dynamic"):
        for step in trajectory(model, Sampling("ddim", 8, clip=clip))[:-1]:
            t = torch.tensor(step.time, dtype=torch.float64)
            assert float(step.clean.abs().max()) <= 1.0
            whole = model.path.alpha(t) * step.clean + model.path.sigma(t) * step.noise
            torch.testing.assert_close(whole, step.x, rtol=1e-12, atol=1e-12)
    assert float(trajectory(model, Sampling("ddim", 8, clip="none"))[7].clean.abs().max()) > 1.0
    with pytest.raises(Problem, match="no range"):
        trajectory(Two(PATHS["linear"]), Sampling("ddim", 8, clip="static"))


def test_dynamic_thresholding_shrinks_an_example_by_its_own_quantile() -> None:
    x = torch.tensor([[0.5, -0.25, 0.0, 0.9], [4.0, -2.0, 1.0, 0.0]], dtype=torch.float64)
    found = dynamically_clipped(x, (-1.0, 1.0), 2.0 / 3.0)
    torch.testing.assert_close(found[0], x[0])
    torch.testing.assert_close(found[1], torch.tensor([1.0, -1.0, 0.5, 0.0], dtype=torch.float64))
    shifted = dynamically_clipped((x + 1.0) / 2.0, (0.0, 1.0), 2.0 / 3.0)
    torch.testing.assert_close(shifted, (found + 1.0) / 2.0)


class Same(Noise):
    """The same number everywhere."""

    def _draw(self, *key: int) -> Tensor:
        return torch.full(self.shape, float(self.seed), dtype=torch.float64)


def test_ddim_with_eta_one_on_the_full_grid_has_the_small_variance() -> None:
    """A step's noise, between draws of 1 and 0, has DDPM's posterior variance (Ho et al. 2020, equation 7)."""
    found, model = tables(alpha_bar("cosine", 1000)), ring(PATHS["cosine"])
    x, times = torch.ones(1, 2, dtype=torch.float64), times_of(PATHS["cosine"], Sampling("ddim", 1000))
    for index in (0, 1, 400, 900, 998, 999):
        ends = {}
        for sampler in ("ddim", "ddpm"):
            for seed in (0, 1):
                sampling = Sampling(sampler, 2, eta=1.0)
                pair = times[[index, index + 1, 1000]] if index < 999 else times[999:]
                steps = only_steps(sample(model, x, sampling, pair, Same(seed, (1, 2))))
                ends[sampler, seed] = steps[1].x
        for sampler in ("ddim", "ddpm"):
            variance = (ends[sampler, 1] - ends[sampler, 0]).square()
            expected = torch.full_like(variance, float(found.posterior_variance[999 - index]))
            torch.testing.assert_close(variance, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(ends["ddim", 1], ends["ddpm", 1], rtol=1e-10, atol=1e-10)


def test_slices_change_nothing_but_round_off_and_let_others_in_between() -> None:
    model, sampling = ring(PATHS["flow"]), Sampling("heun-flow", 6)
    times, noise = times_of(model.path, sampling), Noise(0, (10, 2))
    whole = list(sample(model, noise.start(), sampling, times, noise))
    parts = list(sample(model, noise.start(), sampling, times, noise, rows=4))
    assert parts.count(None) == whole.count(None) + 2 * 11  # two more calls in each of eleven evaluations
    torch.testing.assert_close(only_steps(parts)[-1].x, only_steps(whole)[-1].x, rtol=1e-12, atol=1e-12)


def test_what_is_kept_is_there_in_the_end_and_the_rest_goes_with_it() -> None:
    """Both coordinates are 1 or both are -1: where one is kept at 1, the other must come out so."""
    means = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    model = ExactDenoiser(PATHS["linear"], GaussianMixture(means, torch.tensor(0.1, dtype=torch.float64)))
    sampling = Sampling("ddim", 50, eta=1.0)
    times, noise = times_of(model.path, sampling), Noise(0, (200, 2))
    mask, known = torch.tensor([True, False]), torch.tensor([1.0, 0.0], dtype=torch.float64)
    close = {}
    for repeats in (1, 5):
        keep = Keep(mask, known, repeats)
        last = only_steps(sample(model, noise.start(), sampling, times, noise, keep=keep))[-1]
        assert torch.equal(last.x[:, 0], known[:1].expand(200))
        close[repeats] = float(((last.x[:, 1] - 1.0).abs() < 0.3).double().mean())
        assert last.evaluations == 49 * repeats + 1
    assert close[5] >= 0.97 and close[5] > close[1]


def test_what_cannot_be_used_is_said_in_words() -> None:
    assert set(refusals(PATHS["flow"])) == set(SAMPLERS)
    assert not any(refusals(PATHS["flow"]).values()) and not any(refusals(PATHS["exploding"]).values())
    model = ring(PATHS["linear"])
    for wrong, words in (("euler-flow", "index, not continuous"), ("magic", "no sampler called magic")):
        with pytest.raises(Problem, match=words):
            trajectory(model, Sampling(wrong, 5))
    with pytest.raises(Problem, match="not learnt the variance"):
        trajectory(model, Sampling("ddpm", 5, variance="learnt"))
    for noising in PATHS.values():
        assert not refusals(noising)[sampling_for(noising).sampler]
