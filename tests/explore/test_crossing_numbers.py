"""Predicted numbers beside true ones, and eyes drawn again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.core.requests import ChangeRecord, CompareNumbers, Given
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import fundus
from dgm_studio.data.registry import load
from dgm_studio.explore.crossing_numbers import agreement
from dgm_studio.explore.workbench import Workbench

EYES = "zoo:fundus"


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(torch.device("cpu"))


def last(bench: Workbench, asked: Any) -> dict[str, Any]:
    return [u for u in bench.answer(asked) if isinstance(u, Frame)][-1].data


def test_bias_and_limits_are_those_of_bland_and_altman_and_their_errors_hold_over_repeats() -> None:
    rng = np.random.default_rng(0)
    repeats = []
    for _ in range(400):
        truth = rng.normal(50, 10, 80)
        repeats.append(agreement(truth + rng.normal(2.0, 3.0, 80), truth))
    bias, high = (np.array([getattr(r, name) for r in repeats]) for name in ("bias", "high"))
    assert bias.mean() == pytest.approx(2.0, abs=0.07) and high.mean() == pytest.approx(2.0 + 1.96 * 3.0, abs=0.12)
    assert bias.std() == pytest.approx(np.mean([r.bias_error for r in repeats]), rel=0.12)
    assert high.std() == pytest.approx(np.mean([r.limit_error for r in repeats]), rel=0.12)
    truth = rng.normal(0, 1, 1000)
    assert agreement(0.5 * truth, truth).slope == pytest.approx(-2 / 3), "shrinking by half: -0.5 t over 0.75 t"
    with_gaps = agreement(np.array([1.0, np.nan, 3.0, 4.0]), np.array([0.0, 1.0, np.nan, 2.0]))
    assert with_gaps.bias == 1.5 and np.isnan(agreement(truth[:1], truth[:1]).bias)


def test_age_read_from_the_eye_agrees_better_than_a_guess_and_no_better_than_is_possible(bench: Workbench) -> None:
    asked = CompareNumbers(EYES, "age", ("image",), count=200)
    data = last(bench, asked)
    assert data["predicted"].shape == data["truth"].shape == (200,)
    np.testing.assert_allclose(data["truth"], load("fundus").split("test").others["age"][:200, 0].numpy())
    assert fundus.optimum()["age"]["value"] == pytest.approx(data["optimum"])
    assert data["optimum"] - 2 * data["absolute_error"] < data["absolute"] < 0.75 * data["guess"]
    assert data["low"] < data["bias"] < data["high"] and data["slope"] < 0
    again = last(bench, asked)
    np.testing.assert_array_equal(again["predicted"], data["predicted"])
    more = last(bench, CompareNumbers(EYES, "age", count=60))
    assert set(more["sources"]) == {"image", "sbp", "hba1c", "sex", "smoking"} and np.isnan(more["optimum"])


def test_an_eye_is_drawn_older_by_the_renderer_and_the_model_is_held_against_it(bench: Workbench) -> None:
    data = last(bench, ChangeRecord(EYES, Given(4), "age", 79.0))
    rows = data["rows"]
    assert list(rows) == ["renderer", "eye and record", "record alone"]
    part = load("fundus").split("test")
    index = int(part.indices[4])
    np.testing.assert_array_equal(rows["renderer"]["before"], fundus.redraw(index))
    np.testing.assert_array_equal(rows["renderer"]["after"], fundus.redraw(index, {"age": 79.0}))
    assert rows["renderer"]["cosine"] == pytest.approx(1.0) and rows["renderer"]["share"] == pytest.approx(1.0)
    assert data["was"] == pytest.approx(float(part.others["age"][4, 0]))
    cosines = []
    for place in range(12):
        age = float(part.others["age"][place, 0])
        other = 75.0 if age < 57 else 40.0
        cosines.append(last(bench, ChangeRecord(EYES, Given(place), "age", other))["rows"]["record alone"]["cosine"])
    assert np.mean(cosines) > 0.3, "what the model learnt of age points where the renderer's age points"


def test_nothing_changes_when_the_value_is_the_one_it_was(bench: Workbench) -> None:
    part = load("fundus").split("test")
    same = last(bench, ChangeRecord(EYES, Given(2), "age", float(part.others["age"][2, 0])))["rows"]
    assert np.abs(same["renderer"]["change"]).max() <= 1 / 255, "the record has the age rounded"
    assert np.abs(same["record alone"]["change"]).max() < 1e-5


def test_what_cannot_be_asked_is_refused_in_words(bench: Workbench) -> None:
    for asked in (
        CompareNumbers(EYES, "sex"),
        CompareNumbers(EYES, "age", ("age",)),
        CompareNumbers(EYES, "weight"),
        CompareNumbers(EYES, "age", count=0),
        ChangeRecord("zoo:mvae-faces"),
        ChangeRecord(EYES, modality="image"),
        ChangeRecord(EYES, Given(values={"image": "1x1x3:AAAA:"})),
    ):
        with pytest.raises(Problem):
            list(bench.answer(asked))
