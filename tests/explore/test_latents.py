"""Points of a latent space and what it is made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dgm_studio.core.requests import DecodeLatent, DecodeMany, DescribeLatents, TraverseLatents
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry
from dgm_studio.explore import directions
from dgm_studio.explore.workbench import Workbench

from .conftest import Linear, frame


def test_a_decoded_point_is_the_decoders_mean_in_bytes(bench: Workbench) -> None:
    data = frame(bench.answer(DecodeLatent("linear", (0.5, -1.0))), "decoded")
    wanted = 0.5 + Linear(2).weight.detach() @ torch.tensor([0.5, -1.0])
    expected = np.floor(wanted.clamp(0, 1).numpy() * 255 + 0.5).reshape(8, 8)
    assert np.abs(data["picture"].astype(int) - expected).max() <= 1
    assert data["picture"].dtype == np.uint8
    assert data["log_prior"] == pytest.approx(-0.5 * 1.25 - np.log(2 * np.pi), abs=1e-5)


def test_answers_leave_the_threads_grad_mode_alone_while_they_wait(bench: Workbench) -> None:
    steps = bench.answer(DecodeMany("vae", tuple((0.1 * k, 0.0, 0.0) for k in range(80))))
    next(steps)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    last = frame(steps, "decoded")
    assert last["pictures"].shape == (80, 8, 8) and last["z"].shape == (80, 3)


@pytest.mark.parametrize("z", [(1.0,), (1.0, 2.0, 3.0), (float("nan"), 0.0)])
def test_a_latent_of_the_wrong_size_is_a_problem_in_words(bench: Workbench, z: tuple[float, ...]) -> None:
    with pytest.raises(Problem, match="latent"):
        list(bench.answer(DecodeLatent("linear", z)))


def test_the_description_measures_the_posteriors(bench: Workbench) -> None:
    data = frame(bench.answer(DescribeLatents("linear5", "valid", 60)), "latents")
    part = registry.load("digits8").split("valid")
    posterior = Linear(5).encode(part.batch(torch.arange(60)))
    assert np.allclose(data["points"], posterior.mean.detach(), atol=1e-4)
    assert np.allclose(data["kl"], posterior.kl_per_dim().mean(0).detach(), rtol=1e-4)
    draws = posterior.sample(torch.Generator().manual_seed(0), 4000).flatten(0, 1)
    assert np.allclose(data["std"], draws.std(0).detach(), rtol=0.02)
    assert list(data["kl"][data["order"]]) == sorted(data["kl"], reverse=True)
    assert data["active"] == 5
    assert np.allclose(data["components"] @ data["components"].T, np.eye(5), atol=1e-5)
    assert data["explained"].sum() == pytest.approx(1.0, abs=1e-5)
    assert set(data["directions"]) == set(data["separation"])
    assert all(np.linalg.norm(d) == pytest.approx(1.0, abs=1e-5) for d in data["directions"].values())


def test_an_attribute_direction_points_at_its_category_and_its_auc_is_held_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 900)
    centres = np.array([[0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 3.0, 0]])
    points = (centres[labels] + rng.standard_normal((900, 4))).astype(np.float32)
    factors = {"kind": labels, "noise": rng.integers(0, 2, 900)}
    names = {"kind": ("a", "b", "c"), "noise": ("x", "y")}
    found = {a.name: a for a in directions.attributes(points, factors, names)}
    assert found["kind:b"].direction[1] > 0.8 and found["kind:c"].direction[2] > 0.8
    # The distance of two unit Gaussians' means fixes the AUC: Phi(d / sqrt 2); the others are at least that far.
    assert found["kind:b"].auc > 0.97
    assert abs(found["noise:x"].auc - 0.5) < 0.08


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    scores, inside = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if inside.all() or not inside.any():
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[inside] for b in scores[~inside]]
    assert directions.area_under_curve(scores, inside) == pytest.approx(float(np.mean(pairs)))


def test_more_than_fifty_categories_are_no_trouble(bench: Workbench) -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(1200) % 60
    points = (rng.standard_normal((60, 8))[labels] + 0.1 * rng.standard_normal((1200, 8))).astype(np.float32)
    found = directions.attributes(points, {"kind": labels}, {"kind": tuple(map(str, range(60)))})
    assert len(found) == 60
    assert np.median([a.auc for a in found]) > 0.9


def test_a_film_strip_runs_along_its_direction_through_the_point(bench: Workbench) -> None:
    asked = TraverseLatents("linear", (0.2, 0.1), ((1.0, 0.0), (0.0, 1.0)), ("z00", "z01"), reach=2.0, count=5)
    data = frame(bench.answer(asked), "traversals")
    assert data["pictures"].shape == (2, 5, 8, 8)
    middle = frame(bench.answer(DecodeLatent("linear", (0.2, 0.1))), "decoded")["picture"]
    end = frame(bench.answer(DecodeLatent("linear", (0.2, 2.1))), "decoded")["picture"]
    assert np.abs(data["pictures"][:, 2].astype(int) - middle).max() <= 1
    assert np.abs(data["pictures"][1, 4].astype(int) - end).max() <= 1
    assert list(data["values"]) == [-2.0, -1.0, 0.0, 1.0, 2.0]


def test_an_encoding_that_was_given_up_goes_on_where_it_stopped(bench: Workbench) -> None:
    asked, seen = DescribeLatents("vae", "train", 400), []
    bench.model("vae").module.encoder.register_forward_hook(lambda _m, args, _o: seen.append(len(args[0])))
    for _ in range(20):
        steps = bench.answer(asked)
        for update in (next(steps), next(steps, None)):
            if isinstance(update, Frame):
                assert sum(seen) == 400 and update.data["points"].shape == (400, 3)
                return
        steps.close()  # type: ignore[attr-defined]
    raise AssertionError("it never got to the end")
