"""Races and orders against closed forms, and particles under the exact score."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dgm_studio.core.requests import FlowParticles, MeasureOrders, PlayDenoising, RaceSamplers, Sampling
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry as data
from dgm_studio.data import toys
from dgm_studio.explore.denoising_race import steps_for
from dgm_studio.explore.denoising_truth import _toy
from dgm_studio.explore.workbench import Workbench

from .conftest import frame
from .denoisers import PICTURES, POINTS, SYSTEMS, Known, card_of, denoising_bench

EVERY = [*PICTURES, *POINTS]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """With "SYSTEM-perfect": the exact denoiser of eight-gaussians as a model on that system's path."""
    found = denoising_bench()
    truth = _toy("eight-gaussians")
    assert truth is not None
    for name in SYSTEMS:
        module = Known(found.model(f"{name}-points").module.noising(), truth.mixture)  # type: ignore[arg-type]
        found.adopt(module, card_of(module, f"{name}-perfect", "eight-gaussians"))
    return found


# -- races -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", EVERY)
def test_lanes_run_from_one_noise_at_equal_evaluations_and_end_as_films_do(bench: Workbench, key: str) -> None:
    names = ("ddpm", "ddim", "dpmpp-2m", "heun")
    updates = list(bench.answer(RaceSamplers(key, tuple(map(Sampling, names)), 9, count=3, seed=4)))
    told = frame(updates, "race")
    assert [lane["sampling"]["sampler"] for lane in told["lanes"]] == list(names)
    assert all(lane["done"] and 7 <= lane["evaluations"] <= 9 and lane["seconds"] > 0 for lane in told["lanes"])
    assert math.isnan(told["lanes"][0]["error"]) and all(lane["error"] > 0 for lane in told["lanes"][1:])
    named = "pictures" if key in PICTURES else "points"
    assert told["lanes"][1]["difference"].shape[0] == 3 == len(told["reference"][named])
    film = PlayDenoising(key, Sampling("ddim", 9), count=3, seed=4)
    assert np.array_equal(told["lanes"][1][named], frame(bench.answer(film), "step/9")["x"])
    first = next(u for u in updates if isinstance(u, Frame)).data
    assert not any(lane["done"] for lane in first["lanes"])


def test_guidance_costs_two_evaluations_a_question_and_heun_two_questions_a_step() -> None:
    cases = {("ddim", False): 20, ("ddim", True): 10, ("heun", False): 10, ("heun", True): 5, ("dpmpp-2m", True): 10}
    assert {case: steps_for(Sampling(case[0]), 20, case[1]) for case in cases} == cases
    assert steps_for(Sampling("heun"), 1, True) == 1


def test_beside_the_exact_score_a_perfect_model_has_the_same_ends_and_an_untrained_one_has_not(
    bench: Workbench,
) -> None:
    lanes = (Sampling("dpmpp-2m"), Sampling("heun"))
    told = frame(bench.answer(RaceSamplers("edm-perfect", lanes, 25, count=6, with_exact=True)), "race")
    own, exact = told["lanes"][:2], told["lanes"][2:]
    assert [lane["name"] for lane in exact] == ["DPM-Solver++ 2M exact", "Heun (EDM) exact"]
    for mine, theirs in zip(own, exact, strict=True):
        assert np.allclose(mine["points"], theirs["points"], atol=1e-6) and mine["error"] == theirs["error"]
    other = frame(bench.answer(RaceSamplers("edm-points", lanes, 25, count=6, with_exact=True)), "race")["lanes"]
    assert np.abs(other[0]["points"] - other[2]["points"]).max() > 0.1


def test_races_that_cannot_be_run_are_refused_in_words(bench: Workbench) -> None:
    lane = (Sampling("ddim"),)
    for asked in (
        RaceSamplers("ddpm-points"),
        RaceSamplers("ddpm-points", lane, count=0),
        RaceSamplers("ddpm-points", (Sampling("euler-flow"),)),
        RaceSamplers("ddpm-pictures", lane, with_exact=True),
        MeasureOrders("ddpm-points", ("ddim",), (5,)),
        MeasureOrders("ddpm-points", ("ddpm",)),
        MeasureOrders("ddpm-pictures", truth="exact"),
        MeasureOrders("ddpm-points", truth="guess"),
    ):
        with pytest.raises(Problem):
            list(bench.answer(asked))


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
def test_orders_on_gaussian_data_are_those_of_the_books(bench: Workbench, system: str) -> None:
    books = {"ddim": 1, "euler": 1, "dpmpp-2m": 2, "heun": 2}
    if system == "flow-matching":
        books |= {"euler-flow": 1, "heun-flow": 2}
    steps = (5, 8, 12, 18) if system == "ddpm" else (5, 8, 12, 18, 27, 40, 60)
    if system == "ddpm":  # twenty levels are too few for more: whole indices for DDIM
        del books["ddim"]
        steps = (10, 14, 20, 28, 40, 56, 80)
    told = frame(bench.answer(MeasureOrders(f"{system}-points", tuple(books), steps, "gaussian", 8)), "orders")
    assert told["truth"] == "N(0, 1/4)" and math.isnan(told["gap"])
    for curve in told["curves"]:
        assert curve["slope"] == pytest.approx(books[curve["sampler"]], abs=0.2), curve
        assert len(curve["error"]) == len(steps) and curve["exact"]


def test_the_model_s_own_error_is_the_gap_to_the_exact_score(bench: Workbench) -> None:
    few = (4, 8, 16)
    perfect = frame(bench.answer(MeasureOrders("edm-perfect", ("heun",), few, count=4)), "orders")
    assert perfect["gap"] < 1e-9 and perfect["truth"] == ""
    untrained = frame(bench.answer(MeasureOrders("edm-points", ("heun",), few, "exact", count=4)), "orders")
    assert untrained["gap"] > 0.1 and untrained["truth"] == "eight-gaussians"
    assert math.isnan(frame(bench.answer(MeasureOrders("edm-pictures", ("ddim",), (2, 4), count=2)), "orders")["gap"])


# -- particles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_perfect_model_s_particles_go_where_those_of_the_exact_score_go(bench: Workbench, system: str) -> None:
    asked = FlowParticles(f"{system}-perfect", Sampling("heun", 16), count=1500, grid=24, arrows=5)
    updates = list(bench.answer(asked))
    told = frame(updates, "flow")
    steps = [u.data for u in updates if isinstance(u, Frame) and u.topic.startswith("particles/")]
    assert [s["index"] for s in steps] == list(range(17)) and told["done"] and told["truth"] == "eight-gaussians"
    assert all(np.allclose(s["learnt"], s["exact"], atol=1e-6) for s in steps)
    assert all(np.allclose(s["field"], s["field_exact"], atol=1e-6) for s in steps)
    assert 0.9 < told["within"] == told["within_exact"] <= 1.0
    assert abs(told["energy"]) < 0.03 and told["energy"] == told["energy_exact"]


@pytest.mark.parametrize("name", ["eight-gaussians", "moons", "checkerboard"])
def test_the_density_at_the_end_is_that_of_the_data_and_at_the_beginning_that_of_noise(
    bench: Workbench, name: str
) -> None:
    module = bench.model("flow-matching-points").module
    bench.adopt(module, card_of(module, "other", name))
    asked = FlowParticles("other", Sampling("heun-flow", 3), count=64, grid=40, arrows=4)
    updates = list(bench.answer(asked))
    told, first, last = (frame(updates, topic) for topic in ("flow", "particles/0", "particles/3"))
    reach = told["reach"]
    middles = (np.arange(40) + 0.5) * 2 * reach / 40 - reach
    x, y = np.meshgrid(middles, middles[::-1])
    normal = np.exp(-0.5 * (x**2 + y**2)) / (2 * math.pi)
    assert np.allclose(first["density"], normal, atol=1e-3)
    points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    true = toys.log_density(name, points).exp().reshape(40, 40).numpy()
    smooth = name != "checkerboard"  # whose edges the cleanest level still rounds
    assert (np.abs(last["density"] - true) < 0.02 * true.max()).mean() > (0.98 if smooth else 0.9)
    assert np.array_equal(told["density"], last["density"])


def test_data_without_a_known_density_have_that_of_the_learnt_particles(bench: Workbench) -> None:
    module = bench.model("edm-points").module
    bench.adopt(module, card_of(module, "twisted", "pinwheel"))
    updates = list(bench.answer(FlowParticles("twisted", Sampling("heun", 3), count=500, grid=20, arrows=4)))
    told, last = frame(updates, "flow"), frame(updates, "particles/3")
    assert not told["exact"] and told["truth"] == "" and math.isnan(told["within"]) and math.isnan(told["energy_exact"])
    assert not len(last["exact"]) and not len(last["field_exact"])
    cell = (2 * told["reach"] / 20) ** 2
    inside = (np.abs(last["learnt"]) < told["reach"]).all(1).mean()
    assert last["density"].sum() * cell == pytest.approx(inside, abs=0.01)
    held_out = data.load("pinwheel").split("test").batch(torch.arange(1000))
    assert np.array_equal(told["data"], held_out.numpy().astype(np.float32))


def test_the_field_points_where_the_particles_move(bench: Workbench) -> None:
    asked = FlowParticles("edm-perfect", Sampling("heun", 200), count=400, grid=8, arrows=33)
    updates = list(bench.answer(asked))
    reach = frame(updates, "flow")["reach"]
    steps = {u.data["index"]: u.data for u in updates if isinstance(u, Frame) and u.topic.startswith("particles/")}
    for index in (90, 130, 160):
        here, there = steps[index], steps[index + 1]
        moved = (there["learnt"] - here["learnt"]) / (there["log_snr"] - here["log_snr"])
        place = ((here["learnt"] + reach) / (2 * reach) * 33).astype(int)
        inside = ((place >= 0) & (place < 33)).all(1)
        told = here["field"][32 - place[inside, 1], place[inside, 0]]
        cosine = (told * moved[inside]).sum(1) / (
            np.linalg.norm(told, axis=1) * np.linalg.norm(moved[inside], axis=1) + 1e-9
        )
        assert np.median(cosine) > 0.9


def test_what_the_data_decide_is_worked_out_once_while_a_model_learns(bench: Workbench) -> None:
    asked = FlowParticles("edm-perfect", Sampling("heun", 6), count=200, grid=16, arrows=3)
    model = bench.model("edm-perfect")
    flows = []
    for _ in range(2):
        frames = {u.topic: u.data for u in bench.answer(asked) if isinstance(u, Frame)}
        flows.append([frames[f"particles/{k}"] for k in range(7)])
        kept = dict(model.lasting)
        model._notes.clear()  # as when training goes on
    (name, steps), times = kept["exact course"], len(flows[0])
    assert len(steps) == times and all(np.array_equal(a["exact"], b["exact"]) for a, b in zip(*flows, strict=True))
    list(bench.answer(replace(asked, seed=5)))
    assert model.lasting["exact course"][0] != name and model.lasting["truth"] is kept["truth"]
