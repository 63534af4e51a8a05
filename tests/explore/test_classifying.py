"""Classifiers that generate: probabilities, how probable a picture is, styles by classes, figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dgm_studio.core import requests
from dgm_studio.core.requests import ClassifyDatum, DrawClassGrid, EvaluateClassifier, Given, from_json, to_json
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry as data
from dgm_studio.explore.loaded import as_bytes
from dgm_studio.explore.workbench import Workbench

from .classes import BLOBS, Blobs, blob_bench
from .conftest import frame, result


@pytest.fixture(scope="module")
def blobs() -> Workbench:
    """A bench with the exact classifier "blobs" on digits8."""
    return blob_bench()


def exact(x: np.ndarray, module: Blobs) -> np.ndarray:
    """p(y | x) of Gaussian classes of one variance, as linear discriminants have it (Fisher 1936), float64."""
    means = module.means.detach().double().numpy().reshape(10, -1)
    scores = (means @ x.reshape(-1).astype(float) - 0.5 * (means**2).sum(1)) / module.std**2
    odds = np.exp(scores - scores.max())
    return odds / odds.sum()


@pytest.mark.parametrize("index", [0, 7, 31])
def test_probabilities_are_those_of_linear_discriminants_and_sum_to_one(blobs: Workbench, index: int) -> None:
    shown = frame(blobs.answer(ClassifyDatum(BLOBS, Given(index))), "classes")
    part = data.load("digits8").split("test")
    wanted = exact(part.batch(torch.tensor([index]))[0].numpy(), blobs.model(BLOBS).module)
    assert np.abs(shown["probabilities"]["exact"] - wanted).max() < 1e-6
    assert all(abs(float(p.sum()) - 1.0) < 1e-5 for p in shown["probabilities"].values())
    assert set(shown["probabilities"]) == {"exact", "judge"}
    assert shown["truth"] == int(part.factors["digit"][index]) and len(shown["categories"]) == 10
    assert np.array_equal(shown["picture"], part.picture(torch.tensor([index]))[0])


def test_the_threshold_turns_away_a_twentieth_of_the_validation_pictures(blobs: Workbench) -> None:
    shown = frame(blobs.answer(ClassifyDatum(BLOBS, Given(3))), "classes")
    part = data.load("digits8").split("valid")
    with torch.no_grad():
        x = part.batch(torch.arange(len(part)))
        bounds = blobs.model(BLOBS).module.log_prob_bound(x, 1, torch.Generator()).numpy()
    assert (bounds < shown["threshold"]).mean() == pytest.approx(0.05, abs=1.0 / len(bounds))
    assert shown["percentile"] == pytest.approx((bounds < shown["log_prob"]).mean())


def test_the_first_answer_does_not_wait_for_the_validation_pictures() -> None:
    updates = list(blob_bench().answer(ClassifyDatum(BLOBS)))
    first = next(u.data for u in updates if isinstance(u, Frame))
    assert math.isnan(first["threshold"]) and math.isfinite(first["log_prob"])
    last = frame(updates, "classes")
    assert math.isfinite(last["threshold"]) and 0.0 <= last["percentile"] <= 1.0


def test_a_drawn_picture_is_classified(blobs: Workbench) -> None:
    rows = data.load("digits8").split("test").picture(torch.tensor([4]))[0].astype(int).tolist()
    shown = frame(blobs.answer(ClassifyDatum(BLOBS, Given(values={"image": rows}))), "classes")
    assert np.array_equal(shown["picture"], rows) and shown["truth"] == -1
    known = frame(blobs.answer(ClassifyDatum(BLOBS, Given(values={"image": rows, "digit": 3}))), "classes")
    assert known["truth"] == 3 and np.array_equal(known["probabilities"]["exact"], shown["probabilities"]["exact"])


def test_what_is_erased_is_integrated_out(blobs: Workbench) -> None:
    part = data.load("digits8").split("test")
    rows = part.picture(torch.tensor([4]))[0].astype(int)
    rows[:4] = -1
    erased = frame(blobs.answer(ClassifyDatum(BLOBS, Given(values={"image": rows.tolist()}))), "classes")
    module = blobs.model(BLOBS).module
    means = module.means.detach().double().numpy()[:, 0, 4:].reshape(10, -1)
    squares = ((part.batch(torch.tensor([4]))[0, 0, 4:].double().numpy().ravel() - means) ** 2).sum(1)
    wanted = np.exp(-0.5 * (squares - squares.min()) / module.std**2)
    assert np.abs(erased["probabilities"]["exact"] - wanted / wanted.sum()).max() < 1e-6
    assert not erased["picture"][:4].any() and math.isnan(erased["percentile"])


def test_a_missing_picture_cannot_be_classified(blobs: Workbench) -> None:
    with pytest.raises(Problem, match="missing"):
        list(blobs.answer(ClassifyDatum(BLOBS, Given(missing=("image",)))))


def test_a_grid_keeps_the_style_along_rows_and_the_class_along_columns(blobs: Workbench) -> None:
    asked = DrawClassGrid(BLOBS, 4, seed=5, given=Given(9), own=True)
    shown = frame(blobs.answer(asked), "class grid")
    assert shown["pictures"].shape == (4, 10, 8, 8) and shown["pictures"].dtype == np.uint8
    assert shown["z"].shape == (4, 1) and len(shown["categories"]) == 10
    module, part = blobs.model(BLOBS).module, data.load("digits8").split("test")
    truth = int(part.factors["digit"][9])
    with torch.no_grad():
        own = module.encode_class(part.batch(torch.tensor([9])), torch.tensor([truth])).mean
        wanted = module.decode_class(torch.from_numpy(shown["z"]).repeat_interleave(10, 0), torch.arange(10).repeat(4))
    assert shown["z"][0, 0] == pytest.approx(float(own))
    assert np.array_equal(shown["pictures"].reshape(40, 8, 8), as_bytes(wanted.mean))
    fresh = frame(blobs.answer(DrawClassGrid(BLOBS, 4, seed=5)), "class grid")
    assert np.array_equal(fresh["z"][1:], shown["z"][1:]) and fresh["z"][0, 0] != shown["z"][0, 0]


def test_accuracy_is_the_share_that_the_exact_rule_gets_right(blobs: Workbench) -> None:
    found = result(blobs.answer(EvaluateClassifier(BLOBS, "test", 100)))
    part = data.load("digits8").split("test")
    module = blobs.model(BLOBS).module
    pairs = zip(part.batch(torch.arange(100)), part.factors["digit"][:100], strict=True)
    right = [exact(x.numpy(), module).argmax() == int(y) for x, y in pairs]
    metric = found["exact"]
    assert metric.value == pytest.approx(np.mean(right)) and metric.value > 0.8
    assert metric.error == pytest.approx(math.sqrt(metric.value * (1 - metric.value) / 100))
    assert (metric.estimator, metric.split, metric.lower_is_better) == ("exact, K=10", "test", False)


@pytest.mark.parametrize("kind", [k for k in requests.kinds() if k.__module__.endswith("classifying")])
def test_every_question_survives_a_file(kind: type) -> None:
    asked = kind() if kind is requests.TraceLabels else kind("zoo:x")
    assert from_json(to_json(asked)) == asked
