"""One datum under every conditioning, its experts, and their conflicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.core.requests import CrossDatum, DescribeCross, Fusing, Given, ShowExperts, WeighConflict
from dgm_studio.core.updates import Problem
from dgm_studio.explore.workbench import Workbench

from .conftest import frame
from .crossing_toys import MODALITIES, WORDS, build, toy_data

THREE = ("image", "label", "sentence")
ALL = tuple(m.name for m in MODALITIES)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """A product "mvae", a mixture of products "mopoe", a mixture "mmvae" of three modalities; "six" of all."""
    found = Workbench(torch.device("cpu"))
    build(found, "mvae", "mvae", THREE)
    build(found, "mopoe", "mvae", THREE, fusion="mopoe")
    build(found, "mmvae", "mmvae", THREE)
    build(found, "six", "mvae", ALL)
    build(found, "laplace six", "mmvae", ALL, posterior="laplace")
    return found


def matrix(bench: Workbench, *asked: Any, **named: Any) -> dict[str, Any]:
    return frame(bench.answer(CrossDatum(*asked, **named)), "matrix")


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b))


def cells_of(data: dict[str, Any], row: tuple[str, ...]) -> dict[str, Any]:
    """The cells of the row with these names, by column."""
    place = [tuple(r) for r in data["rows"]].index(row)
    return {c: data["cells"][f"{place}/{c}"] for c in data["columns"]}


def test_the_matrix_has_a_row_for_every_part_and_a_cell_for_every_modality(bench: Workbench) -> None:
    data = matrix(bench, "mvae", samples=3)
    assert data["rows"][0] == THREE and data["columns"] == THREE
    assert {frozenset(r) for r in data["rows"]} == {
        frozenset(s) for s in (THREE, *(THREE[:k] + THREE[k + 1 :] for k in range(3)), *((n,) for n in THREE))
    }
    assert all(len(cell) == 3 for cell in data["cells"].values()) and len(data["cells"]) == 21
    picture, label, text = (data["cells"][f"0/{name}"][0] for name in THREE)
    assert picture.shape == (8, 8) and picture.dtype == np.uint8 and isinstance(text, str)
    assert label.sum() == pytest.approx(1.0, abs=1e-5)
    assert data["mean"].shape == data["std"].shape == (7, 3) and data["kl"].shape == (7,)
    assert data["given"]["label"].tolist() == [1.0, 0.0, 0.0]
    assert data["words"]["0/label"].endswith("%)") and data["words"]["given/label"] == "round"


def test_every_kind_of_value_has_its_form(bench: Workbench) -> None:
    data = matrix(bench, "six", Given(index=1), samples=2, noise=True)
    assert [len(r) for r in data["rows"]] == [6] + [5] * 6 + [1] * 6
    attributes, age, dose = (data["cells"][f"0/{name}"][1] for name in ("attributes", "age", "dose"))
    assert [len(a) for a in attributes] == [3, 3]
    assert age["low"] < age["high"] and 0 < dose["low"] < dose["high"]
    assert "years" in data["words"]["0/age"]
    assert same(matrix(bench, "laplace six", Given(index=1))["given"], data["given"])


@pytest.mark.parametrize("model", ["mvae", "mopoe", "mmvae"])
def test_what_is_not_given_in_a_row_never_influences_it(bench: Workbench, model: str) -> None:
    without = (("label", "sentence"), ("label",), ("sentence",))
    ink = tuple((255, 0) * 4 for _ in range(8))
    plain, changed, gone = (
        matrix(bench, model, Given(4, "test", values, missing), (*without, ("image", "label")), samples=2)
        for values, missing in (({}, ()), ({"image": ink}, ()), ({}, ("image",)))
    )
    for row in without:
        assert same(cells_of(plain, row), cells_of(changed, row))
        assert same(cells_of(plain, row), cells_of(gone, row))
    assert not same(cells_of(plain, ("image", "label")), cells_of(changed, ("image", "label")))
    assert matrix(bench, model, Given(4, missing=("image",)))["rows"] == list(without) and "image" not in gone["given"]


@pytest.mark.parametrize("model", ["mvae", "mopoe", "mmvae"])
def test_the_rows_are_what_the_model_infers_from_those_modalities_alone(bench: Workbench, model: str) -> None:
    data = matrix(bench, model, Given(index=7))
    module, views = bench.model(model).module, toy_data().split("test").views(torch.tensor([7]))
    for place, row in enumerate(data["rows"]):
        with torch.no_grad():
            joint = module.infer({name: views[name] for name in row})
        assert np.allclose(data["mean"][place], joint.mean[0], atol=1e-5)
        assert np.allclose(data["std"][place], joint.std[0], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "rule"), [("mvae", ""), ("mvae", "moe"), ("mvae", "mopoe"), ("mopoe", ""), ("mmvae", "")]
)
def test_an_expert_of_precision_zero_is_absent(bench: Workbench, model: str, rule: str) -> None:
    plain = matrix(bench, model, samples=2, fusing=Fusing(rule))
    off = matrix(bench, model, samples=2, fusing=Fusing(rule, {"image": 0.0}))
    kept = cells_of(plain, ("label", "sentence"))
    assert same(cells_of(off, THREE), kept) and not same(cells_of(plain, THREE), kept)


def test_with_nothing_given_the_prior_speaks(bench: Workbench) -> None:
    for model in ("mvae", "mmvae", "laplace six"):
        known = tuple(m.name for m in bench.model(model).module.modalities)
        data = matrix(bench, model, Given(missing=known), samples=4)
        assert data["rows"] == [()] and np.allclose(data["mean"], 0.0) and np.allclose(data["kl"], 0.0, atol=1e-5)
        assert np.allclose(data["std"][0], bench.model(model).module.prior_std().detach(), rtol=1e-5)


def test_a_seed_repeats_its_draws_and_another_one_does_not(bench: Workbench) -> None:
    one, again, other = (matrix(bench, "mmvae", samples=3, seed=s, noise=True) for s in (1, 1, 2))
    assert same(one["cells"], again["cells"]) and not same(one["cells"], other["cells"])


def test_rows_are_as_asked_and_the_divergence_of_a_product_is_closed(bench: Workbench) -> None:
    data = matrix(bench, "mvae", rows=(("label",), ("sentence", "image")))
    assert data["rows"] == [("label",), ("image", "sentence")]
    mean, std = data["mean"].astype(float), data["std"].astype(float)
    assert np.allclose(data["kl"], (0.5 * (mean**2 + std**2 - 1) - np.log(std)).sum(1), rtol=1e-4)


def test_what_is_generated_agrees_with_the_truth_unless_the_datum_contradicts_itself(bench: Workbench) -> None:
    told = matrix(bench, "mvae", Given(index=2))["judged"]
    assert {v["agrees"] for v in told.values()} <= {True, False} and "0/image" not in told
    assert told["0/label"]["agrees"] == (told["0/label"]["word"] == "star")
    torn = Given(index=2, values={"label": 0, "sentence": "a square shape"})
    data = matrix(bench, "mvae", torn)
    assert data["judged"]["0/label"]["agrees"] is None
    one = matrix(bench, "mvae", Given(index=2, values={"label": 1}, missing=("sentence",)))["judged"]["0/label"]
    assert one["agrees"] == (one["word"] == "square")


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"image": ((0, 1), (1, 0))}, ()),
        ({"image": tuple((300,) * 8 for _ in range(8))}, ()),
        ({"image": "a cat"}, ()),
        ({"label": 3}, ()),
        ({"label": 1.5}, ()),
        ({"attributes": (0,)}, ()),
        ({"age": math.inf}, ()),
        ({"dose": -1.0}, ()),
        ({"sentence": 3}, ()),
        ({"sound": 3}, ()),
        ({}, ("sound",)),
    ],
)
def test_what_does_not_fit_is_a_problem_in_words(
    bench: Workbench, values: dict[str, Any], missing: tuple[str, ...]
) -> None:
    with pytest.raises(Problem) as caught:
        matrix(bench, "six", Given(values=values, missing=missing))
    assert caught.value.sentence and caught.value.action


def test_erased_pixels_and_cleared_fields_are_missing(bench: Workbench) -> None:
    nothing = {"image": tuple((-1,) * 8 for _ in range(8)), "label": -1, "sentence": "", "age": None}
    data = matrix(bench, "six", Given(index=1, values={**nothing, "attributes": (-1, 2)}))
    assert set(data["given"]) == {"attributes", "dose"}
    assert data["given"]["attributes"][0].sum() == 0 and data["given"]["attributes"][1].tolist() == [0, 0, 1]
    half = tuple((-1,) * 4 + (200,) * 4 for _ in range(8))
    assert matrix(bench, "six", Given(values={"image": half}))["given"]["image"][0].tolist() == [0] * 4 + [200] * 4


@pytest.mark.parametrize("rule", ["poe", "moe", "mopoe"])
def test_the_shares_of_the_experts_sum_to_one_and_the_density_has_the_joints_mean(bench: Workbench, rule: str) -> None:
    fusing = Fusing(rule, {"label": 3.0})
    data = frame(bench.answer(ShowExperts("mvae", fusing=fusing, axes=(0, 2), reach=8.0)), "experts")
    assert set(data["shares"]) == {*THREE, "prior"} and sum(data["shares"].values()) == pytest.approx(1.0, abs=1e-5)
    assert data["axes"] == ("z00", "z02") and data["rule"] == rule and data["why"] == ""
    assert sum(c["weight"] for c in data["joint"]) == pytest.approx(1.0, abs=1e-5)
    density, step = data["density"].astype(float), float(data["x"][1] - data["x"][0])
    assert density.sum() * step**2 == pytest.approx(1.0, abs=0.01)
    mean = sum(c["weight"] * c["mean"].astype(float) for c in data["joint"])
    assert (density * data["x"]).sum() * step**2 == pytest.approx(mean[0], abs=0.02)
    assert (density * data["y"][:, None]).sum() * step**2 == pytest.approx(mean[1], abs=0.02)
    assert data["points"].shape == (90, 2) and min(data["kl"].values()) > 0


def test_a_rule_that_means_nothing_is_explained_and_the_own_one_shown(bench: Workbench) -> None:
    data = frame(bench.answer(ShowExperts("mmvae", fusing=Fusing("poe"))), "experts")
    assert data["why"] and data["rule"] == "moe" and not data["prior"]["on"]
    assert data["shares"]["prior"] == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(Problem):
        matrix(bench, "mmvae", fusing=Fusing("poe"))


def test_the_axes_chosen_are_those_in_which_the_experts_differ_most(bench: Workbench) -> None:
    data = frame(bench.answer(ShowExperts("mvae", on=("image", "label"))), "experts")
    views = toy_data().split("test").views(torch.tensor([0]))
    with torch.no_grad():
        a, b = bench.model("mvae").module.experts({n: views[n] for n in ("image", "label")}).values()
    apart = ((a.mean - b.mean) ** 2 / (a.std**2 + b.std**2))[0]
    assert {int(axis[1:]) for axis in data["axes"]} == set(apart.argsort(descending=True)[:2].tolist())
    assert not data["experts"]["sentence"]["on"] and data["experts"]["label"]["on"]


@pytest.mark.parametrize("model", ["mvae", "mmvae"])
def test_a_conflict_ends_where_one_modality_is_all_but_alone(bench: Workbench, model: str) -> None:
    given = Given(index=1, values={"label": 2, "sentence": "a round shape"}, missing=("image",))
    data = frame(bench.answer(WeighConflict(model, given, "label", points=5, draws=64)), "conflict")
    assert (data["first"], data["second"]) == ("star", "round") and data["factors"][2] == pytest.approx(1.0)
    assert np.allclose(data["wins"].sum(1), 1.0, atol=1e-5) and data["label"].shape == (5, 3)
    alone = frame(bench.answer(ShowExperts(model, given, on=("sentence",), axes=(0, 1))), "experts")
    low, high = (
        frame(bench.answer(ShowExperts(model, given, fusing=Fusing("", {"label": float(f)}), axes=(0, 1))), "experts")
        for f in data["factors"][[0, -1]]
    )
    first, last = (max(end["joint"], key=lambda c: c["weight"]) for end in (low, high))
    assert np.allclose(first["mean"], alone["joint"][0]["mean"], atol=0.01) and first["weight"] > 0.99
    assert np.allclose(last["mean"], low["experts"]["label"]["mean"], atol=0.01) and last["weight"] > 0.99
    assert low["shares"]["label"] < 0.01 and high["shares"]["label"] > 0.99


def test_the_bench_describes_what_it_can_show(bench: Workbench) -> None:
    data = frame(bench.answer(DescribeCross("mvae", 3)), "cross")
    assert data["modalities"] == THREE and data["rule"] == "poe" and data["posterior"] == "gaussian"
    assert data["labels"][0].startswith("a round shape") and data["counts"]["test"] == 90 and data["judges"] == {}
    other = frame(bench.answer(DescribeCross("mmvae", 3)), "cross")
    assert other["rule"] == "moe" and other["posterior"] == "laplace" and other["rules"]["poe"]


def test_sentences_of_the_toy_use_its_vocabulary() -> None:
    assert {"round", "square", "star", "red", "blue"} <= set(WORDS)
