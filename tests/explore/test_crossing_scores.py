"""The four criteria on models of which they are known, importance weights, exactness and known mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.core import requests
from dgm_studio.core.cards import DataCard
from dgm_studio.core.requests import (
    CrossDatum,
    DescribeCross,
    Given,
    ProveExactness,
    ScoreCross,
    ShowExperts,
    ShowWrong,
    WeighConflict,
    WeighSamples,
)
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.explore import crossing_wrong
from dgm_studio.explore.workbench import Workbench
from dgm_studio.training import criteria

from .conftest import frame
from .crossing_toys import COUNT, SHAPE, SPLITS, Exact, Telling, adopt, build, exact_data

TWO = ("image", "label")


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Tiny "mvae" and "mmvae" of the toy; "telling", "shifted" and "deaf" of two labels; "exact"."""
    found = Workbench(torch.device("cpu"))
    build(found, "mvae", "mvae", TWO)
    build(found, "mmvae", "mmvae", TWO)
    build(found, "joint only", "mvae", TWO, subsampling=False)
    shapes = torch.arange(COUNT) % 3
    for key, module in (("telling", Telling()), ("shifted", Telling(1)), ("deaf", Telling(deaf=True))):
        part = Part(
            torch.zeros(COUNT, 1, 8, 8, dtype=torch.uint8),
            torch.arange(COUNT),
            {"shape": shapes},
            others={"label": shapes, "other": shapes},
        )
        card = DataCard("labels", "Labels", "", module.modalities, (SHAPE,), dict.fromkeys(SPLITS, COUNT))
        found._data["labels"] = Dataset(card, dict.fromkeys(SPLITS, part))
        adopt(found, key, module, "labels", module.modalities)
    exact = Exact()
    found._data["exact"] = exact_data(exact)
    adopt(found, "exact", exact, "exact", exact.modalities)
    return found


def scores(bench: Workbench, model: str, **named: Any) -> dict[str, Any]:
    return frame(bench.answer(ScoreCross(model, count=60, samples=2, k=5, **named)), "criteria")


def by_name(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [c for c in data["criteria"] if c["name"] == name]


@pytest.mark.parametrize(("model", "coherent", "joint"), [("telling", 1.0, 1.0), ("shifted", 0.0, 0.0)])
def test_a_model_that_tells_the_truth_or_always_the_next_class_is_found_out(
    bench: Workbench, model: str, coherent: float, joint: float
) -> None:
    data = scores(bench, model)
    assert data["coherence"]["label/other"] == coherent and data["coherence"]["label+other/label"] == 1.0
    (agreement,) = by_name(data, "joint generation")
    assert agreement["value"] == joint and agreement["baseline"] == pytest.approx(1 / 3, abs=0.08)
    cross = {c["what"]: c for c in by_name(data, "cross generation")}
    assert cross["label → other"]["value"] == coherent and cross["label → other"]["baseline"] == pytest.approx(1 / 3)
    assert [c["value"] for c in by_name(data, "latent factorisation")] == [1.0, 1.0]
    assert data["count"] == 60 and data["done"] and all(c["definition"].endswith(".") for c in data["criteria"])


def test_a_checkpoints_card_can_carry_what_was_measured(bench: Workbench) -> None:
    data = bench._data["labels"]
    steps = criteria.figures(bench.model("shifted").module, data.card, data, count=30)
    shares: list[float] = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as finished:
            found = finished.value
            break
    assert shares == sorted(shares) and shares[-1] <= 1.0
    values = {name: metric.value for name, metric in found.items()}
    assert values["coherence label → other"] == 0.0 and values["coherence joint"] == 0.0
    assert values["probe label"] == values["probe other"] == 1.0
    assert not any(metric.lower_is_better for metric in found.values())


def test_a_model_that_does_not_listen_reaches_the_baselines_and_no_more(bench: Workbench) -> None:
    data = scores(bench, "deaf")
    assert data["coherence"]["label/other"] == pytest.approx(1 / 3)
    (agreement,) = by_name(data, "joint generation")
    assert agreement["value"] == agreement["baseline"] == 1.0


def test_synergy_is_the_difference_of_two_bounds_on_the_same_probability(bench: Workbench) -> None:
    data = frame(bench.answer(ScoreCross("exact", count=24, samples=1, k=150)), "criteria")
    model, part = bench.model("exact").module, bench._data["exact"].split("test")
    views = part.views(torch.arange(24))
    for line in by_name(data, "synergy"):
        exact = float(model.toy.log_prob({line["what"]: views[line["what"]].double()}).mean())
        assert line["baseline"] == pytest.approx(exact, abs=1e-6)  # its own posterior is exact at every draw
        assert line["value"] <= exact + 4 * line["difference error"] + 1e-6
        assert line["value"] == pytest.approx(exact, abs=0.5)


def test_the_weights_of_an_exact_posterior_are_equal_and_say_log_p(bench: Workbench) -> None:
    data = frame(bench.answer(WeighSamples("exact", Given(3), k=100, repeats=3)), "weights")
    views = bench._data["exact"].split("test").views(torch.tensor([3]))
    exact = float(bench.model("exact").module.toy.log_prob({n: views[n].double() for n in ("x1", "x2")}))
    assert data["k"].tolist() == [1, 2, 5, 10, 20, 50, 100]
    assert np.allclose(data["bound"], exact, atol=1e-4) and np.allclose(data["error"], 0.0, atol=1e-6)
    assert np.allclose(data["effective"], data["k"], rtol=1e-5)
    assert np.allclose(data["log_weights"], 0.0, atol=1e-6)


def test_the_weights_of_a_mixture_come_by_stratum_and_repeat_with_the_seed(bench: Workbench) -> None:
    asked = WeighSamples("mmvae", k=40, repeats=2)
    data, again = (frame(bench.answer(asked), "weights") for _ in range(2))
    assert set(data["strata"]) == set(TWO) and len(data["log_weights"]) == 40 == data["k"][-1]
    assert max(v.max() for v in data["strata"].values()) == 0.0
    assert (data["effective"] <= data["k"] + 1e-4).all() and (data["effective"] >= 1.0 - 1e-5).all()
    assert all(np.array_equal(data[name], again[name]) for name in ("bound", "effective", "log_weights"))


def test_scores_repeat_with_the_seed_and_grow_on_the_way(bench: Workbench) -> None:
    updates = list(bench.answer(ScoreCross("mvae", count=40, samples=2, k=3)))
    frames = [u.data for u in updates if isinstance(u, Frame)]
    assert len(frames) > 3 and [f["done"] for f in frames] == [False] * (len(frames) - 1) + [True]
    again = frame(bench.answer(ScoreCross("mvae", count=40, samples=2, k=3)), "criteria")
    assert again["coherence"] == frames[-1]["coherence"]
    assert [c["value"] for c in again["criteria"]] == [c["value"] for c in frames[-1]["criteria"]]


def test_exactness_is_exact_and_the_missing_prior_opens_a_gap(bench: Workbench) -> None:
    data = frame(bench.answer(ProveExactness(3)), "exactness")
    assert len(data["rows"]) == 3
    assert all(abs(r["gap"]) < 1e-10 and r["gap without the prior expert"] > 0.05 for r in data["rows"])
    mixture = data["mixture"]
    assert abs(mixture["estimate"] - mixture["exact"]) < 4 * mixture["error"]
    wrong = frame(bench.answer(ShowWrong("", "no prior expert", 3)), "wrong")
    assert wrong["done"] and wrong["wrong"]["x1"] == data["rows"][0]["gap without the prior expert"]


def test_the_gradient_without_its_hook_is_not_the_bounds_gradient(bench: Workbench) -> None:
    data = frame(bench.answer(ShowWrong("", "hook on a copy")), "wrong")
    plain, errors = data["more"]["plain"], data["more"]["plain errors"]
    for name, value in data["right"].items():
        assert abs(value - plain[name]) < 4.5 * np.hypot(errors[name], data["errors"][name])
    assert abs(data["wrong"]["mean 2"] - plain["mean 2"]) > 20 * errors["mean 2"]


def test_a_model_without_sub_sampling_is_compared_on_single_modalities(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Problem, match="not there"):
        monkeypatch.setattr(crossing_wrong, "WITHOUT", "zoo:not there")
        list(bench.answer(ShowWrong("mvae", "no sub-sampling")))
    monkeypatch.setattr(crossing_wrong, "WITHOUT", "joint only")
    data = frame(bench.answer(ShowWrong("mvae", "no sub-sampling")), "wrong")
    assert set(data["right"]) == set(data["wrong"]) == {"image", "label", "image + label"}
    part = bench._data["toy"].split("test")
    with torch.no_grad():
        views = {"image": part.views(torch.arange(COUNT))["image"]}
        draws = [bench.model("mvae").module.elbo(views, torch.Generator().manual_seed(s)).mean() for s in range(20)]
    assert data["right"]["image"] == pytest.approx(-float(torch.stack(draws).mean()), abs=0.3)


def test_a_drowned_label_needs_a_judge_that_sees_it(bench: Workbench) -> None:
    with pytest.raises(Problem, match="judge"):
        list(bench.answer(ShowWrong("mvae", "label drowned")))


def test_a_mistake_nobody_knows_is_a_problem(bench: Workbench) -> None:
    with pytest.raises(Problem, match="no known mistake"):
        list(bench.answer(ShowWrong("mvae", "no coffee")))


@pytest.mark.parametrize("model", ["mvae", "mmvae"])
def test_every_question_survives_a_file_and_is_answered(bench: Workbench, model: str) -> None:
    torn = Given(1, "valid", {"label": 2})
    asked = (
        DescribeCross(model, 3),
        CrossDatum(model, torn, (("image",),), 2, 1, requests.Fusing("", {"label": 2.0}), True),
        ShowExperts(model, torn),
        WeighConflict(model, torn, "label", 3, 2),
        WeighSamples(model, torn, ("image",), 10, 2),
        ScoreCross(model, "valid", 8, 1, k=2),
        ProveExactness(1, 2, 1),
        ShowWrong(model, "no prior expert"),
    )
    for question in asked:
        read = requests.from_json(requests.to_json(question))
        assert read == question
        updates = [u for u in bench.answer(read) if isinstance(u, Frame)]
        assert updates, question


def test_a_model_of_one_modality_is_refused_in_words(bench: Workbench) -> None:
    build(bench, "plain", "vae", ("image",))
    with pytest.raises(Problem, match="does not cross"):
        list(bench.answer(CrossDatum("plain")))
