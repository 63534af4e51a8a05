"""Classifiers that generate: probabilities, how probable a picture is, styles by classes, figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dgm_studio.core import requests
from dgm_studio.core.requests import ClassifyDatum, EvaluateClassifier, Given, from_json, to_json
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry as data
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


def test_a_drawn_picture_is_classified_and_what_is_erased_counts_as_paper(blobs: Workbench) -> None:
    part = data.load("digits8").split("test")
    rows = part.picture(torch.tensor([4]))[0].astype(int)
    shown = frame(blobs.answer(ClassifyDatum(BLOBS, Given(values={"image": rows.tolist()}))), "classes")
    assert np.array_equal(shown["picture"], rows) and shown["truth"] == -1
    rows[:4] = -1
    erased = frame(blobs.answer(ClassifyDatum(BLOBS, Given(values={"image": rows.tolist(), "digit": 3}))), "classes")
    assert not erased["picture"][:4].any() and erased["truth"] == 3


def test_a_missing_picture_cannot_be_classified(blobs: Workbench) -> None:
    with pytest.raises(Problem, match="missing"):
        list(blobs.answer(ClassifyDatum(BLOBS, Given(missing=("image",)))))


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
