"""Each line of health, in both directions."""

from __future__ import annotations

import math
import random

from dgm_studio.training import health


def noisy(values: list[float], seed: int = 0) -> list[float]:
    draws = random.Random(seed)
    return [v + draws.gauss(0.0, 2.0) for v in values]


def test_ignored_latents_are_a_collapse_and_used_ones_are_not() -> None:
    assert health.collapse([0.001] * 16).level == "bad"
    few = health.collapse([3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert (few.level, few.sentence[:31]) == ("warn", "Only 1 of 8 latent dimensions a")
    assert health.collapse([1.0, 1.0]).level == "good"
    assert health.collapse([1.0] * 8 + [0.0] * 8).sentence == "8 of 16 latent dimensions are in use, 8.0 nats together."


def test_a_loss_that_leaves_its_best_stretch_diverges_and_noise_does_not() -> None:
    falling = noisy([100.0 + 200.0 * math.exp(-i / 50) for i in range(400)])
    assert health.divergence(falling).level == "good"
    assert health.divergence(falling + noisy([300.0] * 60)).level == "bad"
    assert health.divergence(falling + noisy([104.0] * 60)).level == "good"
    assert health.divergence([1e9] * 10).level == "good"
    assert health.divergence(noisy([-50.0] * 200) + noisy([50.0] * 60)).level == "bad"


def test_a_validation_that_rises_while_training_falls_is_overfitting_and_a_rise_of_both_is_not() -> None:
    train = [120.0, 110.0, 105.0, 100.0, 95.0, 90.0, 85.0]
    valid = [125.0, 115.0, 110.0, 111.0, 113.0, 115.0, 118.0]
    line = health.overfitting(train, valid)
    assert line.level == "warn"
    assert "best 4 validations ago and has risen by 8 since" in line.sentence
    assert health.overfitting(train, [v - 3 for v in train]).level == "good"
    assert health.overfitting([*train[:3], 130, 140, 150, 160], valid).level == "good"
    assert health.overfitting(train[:3], valid[:3]).level == "good"


def test_gradients_that_vanish_everywhere_or_in_a_layer_are_named() -> None:
    assert health.dead_gradients([1e-12] * 60, {}).level == "bad"
    line = health.dead_gradients([1.0] * 60, {"encoder.weight": 1.0, "decoder.weight": 0.0, "decoder.bias": 0.0})
    assert (line.level, line.sentence) == ("warn", "No gradient reaches decoder.weight and 1 more.")
    assert health.dead_gradients([1.0] * 60, {"encoder.weight": 1.0}).level == "good"
    assert health.dead_gradients([1e-12] * 10 + [1.0] * 60, {}).level == "good"


def test_a_failed_save_is_bad_and_none_is_good() -> None:
    assert health.disk("The disk is full.").level == "bad"
    assert health.disk("").level == "good"
