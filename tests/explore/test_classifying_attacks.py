"""Attacks: the cube is never left, the optimum of a linear classifier is found, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dgm_studio.core.requests import AttackPicture, Given, ScoreAttacks
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry as data
from dgm_studio.explore.attacks import Attack, cross_entropy, cube, log_odds, pgd
from dgm_studio.explore.workbench import Workbench

from .classes import BLOBS, blob_bench
from .conftest import frame


@pytest.fixture(scope="module")
def blobs() -> Workbench:
    return blob_bench()


def drained(attack: Generator[Attack | None, None, Attack]) -> Attack:
    """The end of an attack."""
    state: Attack | None = None
    for each in attack:
        state = each or state
    assert state is not None
    return state


def linear(weight: Tensor) -> Any:
    """Two classes of log-odds w x against the truth."""

    def climb(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1) @ weight.flatten(), weight.expand_as(x)

    return climb


@pytest.mark.parametrize("epsilon", [0.1, 0.3, 1 / 255, 0.007, 1.0])
def test_no_pixel_is_ever_carried_further_than_epsilon(epsilon: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(50, 1, 8, 8, generator=generator)
    found = drained(pgd(linear(torch.randn(1, 8, 8, generator=generator)), x, epsilon, epsilon, 3, 2, generator))
    assert float((found.x.double() - x.double()).abs().max()) <= epsilon
    assert float(found.x.min()) >= 0.0 and float(found.x.max()) <= 1.0
    low, high = cube(x, epsilon)
    assert torch.allclose(high - x, torch.minimum(torch.tensor(epsilon), 1 - x), atol=1e-6)
    assert torch.allclose(x - low, torch.minimum(torch.tensor(epsilon), x), atol=1e-6)


@pytest.mark.parametrize("method", ["pgd", "fgsm"])
def test_the_optimum_of_a_linear_classifier_is_found(method: str) -> None:
    generator = torch.Generator().manual_seed(2)
    x, weight = torch.rand(20, 1, 8, 8, generator=generator), torch.randn(1, 8, 8, generator=generator)
    steps, size = (1, 0.1) if method == "fgsm" else (10, 0.025)
    attack = pgd(linear(weight), x, 0.1, size, steps, 3, generator, random_start=method == "pgd", at_once=7)
    found = drained(attack)
    wanted = (x + 0.1 * weight.sign()).clamp(0, 1)
    assert torch.allclose(found.x, wanted, atol=1e-6)
    assert torch.allclose(found.loss[-1], wanted.flatten(1) @ weight.flatten(), atol=1e-4)
    assert found.step == steps and bool((found.loss.diff(dim=0) > -1e-5).all())


def test_the_gradient_is_averaged_over_draws() -> None:
    """One draw's sign is wrong two times in five; the mean of 400 is right."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.Generator().manual_seed(4)
    x, weight = torch.full((4, 1, 4, 4), 0.5), torch.ones(1, 4, 4)

    def climb(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        slope = weight + 4.0 * torch.randn(x.shape, generator=noise)
        return (x * slope).flatten(1).sum(1), slope

    once = drained(pgd(climb, x, 0.1, 0.1, 1, 1, generator, random_start=False))
    often = drained(pgd(climb, x, 0.1, 0.1, 1, 1, generator, draws=400, random_start=False, at_once=64))
    assert (often.x > x).all() and not (once.x > x).all()


def test_the_worst_restart_counts_picture_by_picture() -> None:
    """A loss with two hills: the higher one is only reached from starts on its side."""

    def climb(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        slope = torch.where(x > 0.52, 2.0, -1.0)
        return torch.where(flat > 0.52, 2.0 * (flat - 0.52), 0.52 - flat).sum(1), slope

    x = torch.full((6, 1, 1, 1), 0.5)
    found = drained(pgd(climb, x, 0.2, 0.02, 30, 20, torch.Generator().manual_seed(0)))
    assert torch.allclose(found.x, torch.full_like(x, 0.7), atol=1e-6)


def test_log_odds_keep_their_gradient_where_the_cross_entropy_has_none() -> None:
    scores = torch.tensor([[200.0, 0.0, -50.0], [1.0, 2.0, 0.5]], requires_grad=True)
    truth = torch.tensor([0, 1])
    odds = log_odds(scores.log_softmax(1), truth)
    assert torch.allclose(cross_entropy(odds), F.cross_entropy(scores, truth, reduction="none"), atol=1e-6)
    (slope,) = torch.autograd.grad(odds.sum(), scores)
    assert torch.allclose(slope[0], torch.tensor([-1.0, 1.0, 0.0]), atol=1e-6)
    (flat,) = torch.autograd.grad(F.cross_entropy(scores, truth, reduction="none").sum(), scores)
    assert not flat[0].any()


def test_an_attack_on_both_classifiers_grows_with_its_steps(blobs: Workbench) -> None:
    asked = AttackPicture(BLOBS, Given(2), epsilon=0.2, steps=5, restarts=2, draws=1)
    frames = [u.data for u in blobs.answer(asked) if isinstance(u, Frame)]
    assert [f["step"] for f in frames][:6] == [0, 1, 2, 3, 4, 5] and {f["steps"] for f in frames} == {5}
    last = frames[-1]
    assert set(last["adversarial"]) == set(last["after"]) == set(last["crossed"]) == {"exact", "judge"}
    truth = int(data.load("digits8").split("test").factors["digit"][2])
    for name in ("exact", "judge"):
        assert len(last["loss"][name]) == 5 and last["loss"][name][-1] > frames[1]["loss"][name][0] - 1e-3
        assert 0.1 < last["norm"][name] <= 0.2
        assert last["difference"][name].shape == (8, 8) and np.abs(last["difference"][name]).max() <= 0.2 + 1e-6
        assert last["after"][name][truth] < last["before"][name][truth]
    assert np.isfinite(last["threshold"]) and set(last["log_prob"]) == {"original", "exact", "judge"}


def test_the_generative_classifier_is_carried_to_its_closed_form_optimum() -> None:
    """Between two Gaussian classes of one variance the log-odds are linear, so the best attack is known."""
    bench = blob_bench()
    module = bench.model(BLOBS).module
    with torch.no_grad():
        module.means[2:] += 100.0  # out of the way: two classes are left
    part = data.load("digits8").split("test")
    index = int((part.factors["digit"] == 0).nonzero()[0])
    asked = AttackPicture(BLOBS, Given(index), epsilon=0.05, steps=8, restarts=3, draws=1)
    found = frame(bench.answer(asked), "attack")
    x = part.batch(torch.tensor([index]))
    with torch.no_grad():
        best = (x + 0.05 * (module.means[1] - module.means[0]).sign()).clamp(0, 1)
        wanted = float(
            cross_entropy(log_odds(module.class_log_probs(best, torch.Generator())["exact"], torch.tensor([0])))
        )
    assert found["loss"]["exact"][-1] == pytest.approx(wanted, rel=1e-5)


def test_robustness_falls_with_epsilon_and_starts_at_the_accuracy(blobs: Workbench) -> None:
    asked = ScoreAttacks(BLOBS, epsilons=(0.0, 0.1, 0.3), count=25, steps=4, restarts=1, draws=1)
    frames = [u.data for u in blobs.answer(asked) if isinstance(u, Frame)]
    assert [f["count"] for f in frames] == [10, 20, 25]
    last, part = frames[-1], data.load("digits8").split("test")
    with torch.no_grad():
        guesses = blobs.model(BLOBS).module.joint(part.batch(torch.arange(25))).argmax(1)
    assert last["accuracy"]["exact"][0] == pytest.approx(float((guesses == part.factors["digit"][:25]).float().mean()))
    for name in ("exact", "judge"):
        assert (np.diff(last["accuracy"][name]) <= 0).all() and last["accuracy"][name][2] < 0.5
        assert np.isnan(last["detected"][name][0]) and 0.0 <= last["detected"][name][2] <= 1.0


def test_attacks_repeat_with_their_seed_and_leave_no_gradients(blobs: Workbench) -> None:
    asked = AttackPicture(BLOBS, Given(5), steps=3, seed=7)
    one, two = (frame(blobs.answer(asked), "attack") for _ in range(2))
    assert np.array_equal(one["adversarial"]["exact"], two["adversarial"]["exact"])
    assert np.array_equal(one["loss"]["judge"], two["loss"]["judge"])
    assert all(p.grad is None for p in blobs.model(BLOBS).module.parameters())


@pytest.mark.parametrize("wrong", [{"method": "luck"}, {"epsilon": 1.5}, {"steps": 0}, {"restarts": 0}, {"samples": 0}])
def test_an_attack_that_makes_no_sense_is_a_problem(blobs: Workbench, wrong: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        list(blobs.answer(AttackPicture(BLOBS, **wrong)))
