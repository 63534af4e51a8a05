"""Schedules against closed forms, paths against their inverses, conversions of predictions against one another."""

from __future__ import annotations

import math

import pytest
import torch

from dgm_studio.core.updates import Problem
from dgm_studio.models import schedules
from dgm_studio.models.noising import FlowNoising, TableNoising, VarianceExploding, parted, predicted

KNOTS = ((0.0, 5.0), (0.3, 1.0), (1.0, -6.0))
EVERY = [
    *((name, 50, False) for name in schedules.SCHEDULES),
    *((name, 1000, True) for name in schedules.SCHEDULES),
    ("linear", 2, False),
]


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_the_linear_schedule_of_a_thousand_steps_is_that_of_ho() -> None:
    found = schedules.tables(schedules.alpha_bar("linear", 1000))
    close(found.betas, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    close(found.alpha_bar, (1.0 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0))
    assert float(found.alpha_bar[-1]) == pytest.approx(4.0358e-5, rel=1e-4)


def test_the_cosine_schedule_is_the_squared_cosine_until_beta_is_capped() -> None:
    found = schedules.tables(schedules.alpha_bar("cosine", 1000))
    share = torch.arange(1001, dtype=torch.float64) / 1000
    kept = ((share + 0.008) / 1.008 * (math.pi / 2)).cos() ** 2
    close(found.alpha_bar[:990], (kept[1:] / kept[0])[:990])
    assert float(found.betas.max()) <= 0.999 + 1e-12


def test_the_scaled_linear_schedule_is_linear_in_the_root_of_beta() -> None:
    found = schedules.tables(schedules.alpha_bar("scaled-linear", 1000))
    close(found.betas.sqrt(), torch.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000, dtype=torch.float64))
    assert float(found.alpha_bar[-1]) == pytest.approx(0.00466, abs=1e-5)  # as known of Stable Diffusion


@pytest.mark.parametrize("schedule, steps, zero", EVERY)
def test_posteriors_are_those_of_bayes_rule(schedule: str, steps: int, zero: bool) -> None:
    found = schedules.tables(schedules.alpha_bar(schedule, steps, KNOTS, zero))
    alpha, before = 1.0 - found.betas[1:], found.alpha_bar[:-1]
    precision = alpha / found.betas[1:] + 1.0 / (1.0 - before)  # of the likelihood of x_t and of q(x_{t-1} | x_0)
    close(found.posterior_variance[1:], 1.0 / precision, 1e-10)
    close(found.clean_factor[1:], before.sqrt() / (1.0 - before) / precision, 1e-10)
    close(found.noisy_factor[1:], alpha.sqrt() / found.betas[1:] / precision, 1e-10)
    assert float(found.posterior_variance[0]) == 0.0
    assert float(found.clean_factor[0]) == pytest.approx(1.0) and float(found.noisy_factor[0]) == 0.0
    assert all(torch.isfinite(t).all() and t.dtype == torch.float64 for t in vars(found).values())
    assert found.posterior_log_variance[0] == found.posterior_log_variance[1] == found.large_log_variance[0]


def test_a_zero_terminal_leaves_the_first_step_and_nothing_at_the_last() -> None:
    plain, zero = (schedules.alpha_bar("scaled-linear", 100, zero_terminal=z) for z in (False, True))
    assert float(zero[-1]) == 0.0
    close(zero[0], plain[0])
    stretch = plain[0].sqrt() / (plain[0].sqrt() - plain[-1].sqrt())
    close(zero.sqrt().diff() / plain.sqrt().diff(), stretch.expand(99), 1e-9)


def test_an_own_schedule_runs_through_its_knots_and_falls_between_them() -> None:
    noising = TableNoising(schedules.alpha_bar("own", 101, KNOTS))
    close(noising.log_snr(torch.tensor([0.0, 30.0, 100.0])), torch.tensor([5.0, 1.0, -6.0]).double(), 1e-10)
    assert (noising.log_snr(torch.arange(101)).diff() < 0).all()
    straight = TableNoising(schedules.alpha_bar("own", 11, ((0.0, 5.0), (0.2, 3.0), (1.0, -5.0))))
    close(straight.log_snr(torch.arange(11)), torch.linspace(5, -5, 11).double(), 1e-10)
    assert schedules.knots_of(schedules.text_of(KNOTS)) == KNOTS


@pytest.mark.parametrize("knots", ["0:5", "0:5, 1:6", "0.1:5, 1:-5", "0:5, 0.5:0", "0:5, 1", "a:b, 1:-5", "0:inf, 1:0"])
def test_what_is_no_schedule_is_refused_in_words(knots: str) -> None:
    with pytest.raises(Problem):
        schedules.alpha_bar("own", 10, schedules.knots_of(knots))


@pytest.mark.parametrize("schedule, steps, zero", EVERY)
def test_a_table_is_a_path_whose_time_is_the_inverse_of_its_log_snr(schedule: str, steps: int, zero: bool) -> None:
    table = schedules.alpha_bar(schedule, steps, KNOTS, zero)
    path = TableNoising(table)
    whole = torch.arange(steps)
    close(path.alpha(whole), table.sqrt())
    close(path.sigma(whole), (1.0 - table).sqrt(), 1e-11)
    between = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * (steps - 1)
    close(path.time(path.log_snr(between)), between, 1e-8)
    close(path.alpha(between) ** 2 + path.sigma(between) ** 2, torch.ones(200).double())
    assert path.time(torch.tensor(99.0)) == path.cleanest and path.time(torch.tensor(-99.0)) == path.noisiest
    assert float(path.time(path.log_snr(torch.tensor(path.noisiest)))) == path.noisiest
    clean = torch.tensor(path.clean)
    assert path.alpha(clean) == 1.0 and path.sigma(clean) == 0.0 and path.log_snr(clean) == math.inf


def test_half_the_log_snr_is_linear_between_two_indices() -> None:
    path = TableNoising(schedules.alpha_bar("cosine", 20))
    ends = path.log_snr(torch.tensor([4.0, 5.0]))
    close(path.log_snr(torch.tensor(4.25)), 0.75 * ends[0] + 0.25 * ends[1])


@pytest.mark.parametrize("path", [VarianceExploding(), FlowNoising()])
def test_continuous_paths_are_inverses_and_begin_at_the_data(path: VarianceExploding | FlowNoising) -> None:
    t = torch.linspace(path.cleanest, path.noisiest, 50, dtype=torch.float64)
    close(path.time(path.log_snr(t)), t)
    close(path.log_snr(t)[:-1], (path.alpha(t) / path.sigma(t)).log()[:-1])
    clean = torch.tensor(path.clean)
    assert path.alpha(clean) == 1.0 and path.sigma(clean) == 0.0 and path.log_snr(clean) == math.inf
    assert path.time(torch.tensor(math.inf)) == path.cleanest and path.time(torch.tensor(-math.inf)) == path.noisiest


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "flow"])
def test_predictions_are_parted_exactly(prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 64, 3, generator=generator, dtype=torch.float64)
    angle = torch.linspace(0.05, 1.52, 64, dtype=torch.float64)
    for alpha, sigma in ((angle.cos(), angle.sin()), (1.0 - angle / 1.6, angle / 1.6), (torch.ones(64), 3 * angle)):
        x = alpha[:, None] * clean + sigma[:, None] * noise
        output = predicted(prediction, clean, noise, alpha, sigma)
        found = parted(prediction, output, x, alpha, sigma)
        scale = 1e-12 if prediction in ("v", "flow") else 4e-14 / float(torch.minimum(alpha, sigma).min())
        assert scale <= 2e-12
        close(found[0], clean, scale)
        close(found[1], noise, scale)


def test_v_is_what_its_definition_says() -> None:
    clean, noise = torch.tensor([[2.0]]), torch.tensor([[3.0]])
    assert float(predicted("v", clean, noise, torch.tensor(0.6), torch.tensor(0.8))) == pytest.approx(0.6 * 3 - 0.8 * 2)
