"""Accuracy against labels: both models see what they should, the curve grows, and a stop leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.core.requests import TraceLabels
from dgm_studio.core.updates import Frame, Problem, Progress
from dgm_studio.data import registry as data
from dgm_studio.explore import labels
from dgm_studio.explore.labels import Supervised, labelled
from dgm_studio.explore.workbench import Workbench
from dgm_studio.training.config import TrainingConfig
from dgm_studio.training.optimising import Optimising
from dgm_studio.training.order import Order
from dgm_studio.training.randomness import Randomness

from .conftest import frame


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A bench, and small networks that learn fast."""
    monkeypatch.setattr(labels, "CONFIG", {"hidden": 16, "latent": 2, "dropout": 0.0})
    monkeypatch.setattr(labels, "TRAINING", {"batch": 32, "learning_rate": 0.02, "warmup": 0, "ema": 0.8})
    return Workbench(torch.device("cpu"))


def test_the_curve_grows_and_more_labels_help(empty: Workbench) -> None:
    asked = TraceLabels("digits8", labels=(1, 50), steps=40)
    updates = list(empty.answer(asked))
    frames = [u.data for u in updates if isinstance(u, Frame)]
    first, last = frames[0], frames[-1]
    assert all(np.isnan(v).all() for v in first["accuracy"].values())
    known = [int(sum(np.isfinite(v).sum() for v in f["accuracy"].values())) for f in frames]
    assert known == sorted(known) and set(known) == {0, 1, 2, 3, 4}
    for kind in ("generative", "supervised"):
        few, many = last["accuracy"][kind]
        assert many > few + 0.1 and last["finished"][kind].tolist() == [1, 1] and np.isnan(last["error"][kind]).all()
    assert (last["system"], last["steps"], last["seeds"], last["labels"].tolist()) == ("m2", 40, 1, [1, 50])
    done = [u.done / u.total for u in updates if isinstance(u, Progress) and "labels" in u.text]
    assert done == sorted(done) and done[-1] == 1.0


def test_repeats_have_other_labels_and_a_standard_error(empty: Workbench) -> None:
    asked = TraceLabels("digits8", labels=(2,), steps=10, seeds=2)
    last = frame(empty.answer(asked), "labels")
    singles = [frame(empty.answer(TraceLabels("digits8", (2,), 10, 1, seed)), "labels") for seed in (0, 1)]
    accuracy, error = (float(last[key]["supervised"][0]) for key in ("accuracy", "error"))
    assert last["finished"]["supervised"].tolist() == [2] and error > 0.0
    assert singles[0]["accuracy"]["supervised"][0] != singles[1]["accuracy"]["supervised"][0]
    assert abs(accuracy - float(singles[0]["accuracy"]["supervised"][0])) == pytest.approx(error, rel=1e-4)
    assert np.array_equal(last["accuracy"]["supervised"], np.mean([s["accuracy"]["supervised"] for s in singles], 0))


def test_the_supervised_network_sees_the_labelled_pictures_alone() -> None:
    whole = data.load("digits8~digit=3")
    part = labelled(whole.split("train"), whole.card.modalities[1])
    assert len(part) == 30 and part.others["digit"].bincount().tolist() == [3] * 10
    assert torch.equal(part.others["digit"], part.factors["digit"])
    train = whole.split("train")
    at = {int(i): k for k, i in enumerate(train.indices)}
    assert all(torch.equal(part.x[k], train.x[at[int(i)]]) for k, i in enumerate(part.indices))


def test_the_supervised_loss_learns_its_pictures_by_heart() -> None:
    whole = data.load("digits8~digit=2")
    part = labelled(whole.split("train"), whole.card.modalities[1])
    net: Any = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.SiLU(), torch.nn.Linear(32, 10)
    )
    config = TrainingConfig(steps=150, batch=20, learning_rate=1e-2, ema=0.9, micro_batch=20)
    model = Supervised(net, "image", "digit")
    working = Optimising(model, part, config, Order(20, 0), Randomness(model, torch.device("cpu"), 0))
    for _ in range(150):
        for _ in working.advance():
            pass
    with torch.no_grad():
        assert torch.equal(model.guess(part.batch(torch.arange(20))).argmax(1), part.others["digit"])


def test_a_stop_half_way_leaves_nothing_behind(empty: Workbench, studio_home: Path, tmp_path: Path) -> None:
    answer = empty.answer(TraceLabels("digits8", labels=(5,), steps=1000))
    for _ in range(30):
        next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert not list(studio_home.rglob("*")) and not list(tmp_path.iterdir()) and not empty.live


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"seeds": 0},
        {"labels": ()},
        {"labels": (1, 1)},
        {"labels": (-1,)},
        {"labels": (5000,)},
        {"data": "moons"},
    ],
)
def test_what_cannot_be_traced_is_a_problem_at_once(empty: Workbench, wrong: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        for update in empty.answer(TraceLabels(**{"data": "digits8", **wrong})):
            assert not isinstance(update, Frame)
