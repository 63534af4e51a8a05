"""Attributions: they add up, a linear function gets its terms exactly, and what is not there speaks for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dgm_studio.core.packed import pack
from dgm_studio.core.requests import AttributeClass, Given
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.explore.attributions import integrated_gradients
from dgm_studio.explore.workbench import Workbench
from tests.explore.classes import BLOBS, blob_bench


def walked(function: Any, x: Tensor, baseline: Tensor, steps: int) -> tuple[Tensor, float, float]:
    walk = integrated_gradients(function, x, baseline, steps)
    while True:
        try:
            next(walk)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def last(bench: Workbench, asked: AttributeClass) -> dict[str, Any]:
    return [u for u in bench.answer(asked) if isinstance(u, Frame)][-1].data


def test_of_a_linear_function_the_attributions_are_its_terms_whatever_the_number_of_steps() -> None:
    weights = torch.linspace(-1, 1, 6, dtype=torch.float64)
    x, baseline = (
        torch.rand(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        torch.ones(1, 6) / 3,
    )
    found, here, there = walked(lambda v: v @ weights, x, baseline.double(), 1)
    torch.testing.assert_close(found, (x - baseline) * weights, rtol=1e-12, atol=1e-12)
    assert float(found.sum()) == pytest.approx(here - there, abs=1e-12)


def test_of_a_product_the_two_factors_share_alike() -> None:
    """F = x1 x2 from 0: half of it each (by hand: the integral of t x1 x2 over t is x1 x2 / 2)."""
    x = torch.tensor([[0.5, 0.8]], dtype=torch.float64)
    found, _, _ = walked(lambda v: v[:, 0] * v[:, 1], x, torch.zeros_like(x), 3)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.2]], dtype=torch.float64))


def test_attributions_of_an_exact_classifier_add_up_to_the_difference_of_the_log_odds() -> None:
    bench = blob_bench()
    gaps = []
    for steps in (8, 32, 128):
        one = last(bench, AttributeClass(BLOBS, Given(3), steps=steps))["classifiers"]["exact"]
        assert one["attribution"].shape == (8, 8)
        total = float(one["attribution"].astype(float).sum())
        assert one["gap"] == pytest.approx(total - (one["odds"] - one["baseline odds"]), abs=1e-3)
        assert one["class"] == one["decided"] and one["odds"] > 0
        gaps.append(abs(one["gap"]))
    assert gaps[2] < 0.02 * abs(one["odds"] - one["baseline odds"])
    assert gaps[2] < gaps[0]


def test_the_class_that_is_asked_about_is_told_and_erased_pixels_and_paper_get_nothing() -> None:
    bench = blob_bench()
    picture = np.asarray(last(bench, AttributeClass(BLOBS, Given(3), steps=2))["picture"]).astype(np.int16)
    picture[2:5, 2:5] = -1
    asked = AttributeClass(BLOBS, Given(3, values={"image": pack(picture)}), target=8, steps=4)
    one = last(bench, asked)["classifiers"]["exact"]
    assert one["class"] == 8
    assert not one["attribution"][picture <= 0].any()
    assert one["attribution"][picture > 0].any()
    for wrong in ({"target": 10}, {"steps": 0}, {"baseline": 2.0}, {"samples": 0}):
        with pytest.raises(Problem):
            last(bench, AttributeClass(BLOBS, Given(3), **wrong))


def test_a_classifier_that_draws_is_one_function_along_the_line() -> None:
    bench = Workbench(torch.device("cpu"))
    asked = AttributeClass("zoo:classifier-digits", Given(1), steps=24, samples=2)
    first, again = last(bench, asked)["classifiers"], last(bench, asked)["classifiers"]
    assert set(first) >= {"judge"} and len(first) >= 2
    for name, one in first.items():
        np.testing.assert_array_equal(one["attribution"], again[name]["attribution"])
        assert abs(one["gap"]) < 0.15 * abs(one["odds"] - one["baseline odds"]) + 0.5, name
