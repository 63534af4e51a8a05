"""Runs on the bench: the model that trains answers with the weights it has now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgm_studio.core.requests import (
    DecodeLatent,
    EditRun,
    Evaluate,
    ExportMetrics,
    OpenModel,
    ReadRun,
    SamplePrior,
    Train,
)
from dgm_studio.core.updates import Metrics, Problem, Result
from dgm_studio.explore.workbench import Workbench, open_workbench
from dgm_studio.models import registry

from .conftest import frame, result


def asked_for(tmp_path: Path, steps: int = 30) -> Train:
    """A short run of the tiny VAE."""
    training = {"steps": steps, "batch": 16, "micro_batch": 16, "valid_every": 10, "valid_count": 32, "save_every": 10}
    return Train(str(tmp_path / "run"), "vae", "digits8", registry.tiny("vae"), {**training, "ema": 0.5, "warmup": 0})


def test_a_run_in_training_decodes_with_its_live_weights(bench: Workbench, tmp_path: Path) -> None:
    key = f"run:{tmp_path / 'run'}"
    steps = bench.answer(asked_for(tmp_path))
    pictures = []
    for update in steps:
        if isinstance(update, Metrics) and update.step in (5, 25) and "train/loss" in update.values:
            pictures.append(frame(bench.answer(SamplePrior(key, 4)), "samples")["pictures"])
            card = result(bench.answer(OpenModel(key)))
            assert card.live and card.step == update.step
    assert len(pictures) == 2 and not np.array_equal(*pictures)
    card = result(bench.answer(OpenModel(key)))
    assert not card.live and card.step == 30


def test_snapshots_of_a_run_open_while_it_trains_and_after(bench: Workbench, tmp_path: Path) -> None:
    asked = asked_for(tmp_path)
    seen = [u.value for u in bench.answer(asked) if isinstance(u, Result)]
    steps = seen[-1].snapshots
    assert len(steps) >= 2
    first, last = (
        frame(bench.answer(DecodeLatent(f"run:{asked.run}@{step}", (0.5, 0.5, 0.5))), "decoded")["picture"]
        for step in (steps[0], steps[-1])
    )
    assert not np.array_equal(first, last)


def test_an_edit_reaches_the_run_and_its_record(bench: Workbench, tmp_path: Path) -> None:
    asked, edited = asked_for(tmp_path), False
    for update in bench.answer(asked):
        if isinstance(update, Metrics) and update.step == 5 and not edited:
            edited = True
            assert result(bench.answer(EditRun(asked.run, {"beta": 2.5})))["beta"] == 2.5
            with pytest.raises(Problem):
                list(bench.answer(EditRun(asked.run, {"betta": 2.5})))
    found = result(bench.answer(ReadRun(asked.run)))
    assert any(flag.get("changes", {}) for flag in found["flags"])
    assert found["series"]["train/beta" if "train/beta" in found["series"] else "beta"]["value"][-1] == 2.5
    assert len(found["kl"]["step"]) == len(found["kl"]["rows"]) >= 3
    with pytest.raises(Problem, match="does not train"):
        list(bench.answer(EditRun(asked.run, {"beta": 1.0})))


def test_a_closed_job_leaves_the_bench_and_goes_on_later(bench: Workbench, tmp_path: Path) -> None:
    asked = asked_for(tmp_path)
    steps = bench.answer(asked)
    for update in steps:
        if isinstance(update, Metrics) and update.step == 12:
            steps.close()  # type: ignore[attr-defined]
    assert not bench.live
    assert result(bench.answer(OpenModel(f"run:{asked.run}"))).step == 12
    assert result(bench.answer(Train(asked.run))).step == 30


def test_a_second_job_on_one_run_is_refused_and_the_first_stays_live(bench: Workbench, tmp_path: Path) -> None:
    asked = asked_for(tmp_path)
    first = bench.answer(asked)
    while not (isinstance(update := next(first), Metrics) and update.step == 3):
        pass
    with pytest.raises(Problem, match="trained elsewhere"):
        list(bench.answer(asked))
    assert result(bench.answer(OpenModel(f"run:{asked.run}"))).live
    first.close()  # type: ignore[attr-defined]


def test_an_evaluation_gives_metrics_with_their_estimator(bench: Workbench) -> None:
    metrics = result(bench.answer(Evaluate("vae", "test", samples=5, count=64)))
    assert metrics and all(metric.estimator and metric.split == "test" for metric in metrics.values())


def test_a_run_that_is_not_there_is_a_problem(bench: Workbench) -> None:
    with pytest.raises(Problem):
        list(bench.answer(ReadRun("/no/such/run")))


def test_curves_are_written_as_a_table_and_as_events(bench: Workbench, tmp_path: Path) -> None:
    asked = asked_for(tmp_path, steps=10)
    list(bench.answer(asked))
    table = Path(result(bench.answer(ExportMetrics(asked.run, str(tmp_path / "curves.csv")))))
    header, *rows = table.read_text().splitlines()
    assert "train/loss" in header.split(",") and len(rows) >= 10
    events = Path(result(bench.answer(ExportMetrics(asked.run, str(tmp_path / "board"), "events"))))
    assert "tfevents" in events.name and b"brain.Event:2" in events.read_bytes()
    with pytest.raises(Problem, match="cannot be written"):
        list(bench.answer(ExportMetrics(asked.run, str(tmp_path / "pdf"), "pdf")))


def test_the_curves_of_a_checkpoint_in_the_box_are_read_from_beside_it() -> None:
    bench = open_workbench("cpu")
    *_, told = bench.answer(ReadRun("zoo:vae-digits"))
    assert isinstance(told, Result)
    series, kl = told.value["series"], told.value["kl"]
    assert series["valid/elbo"]["value"][-1] > -100.0 and len(series["train/elbo"]["step"]) > 500
    assert kl["rows"].shape[1] == 16 and told.value["run"]["name"] == "vae-digits"
    assert {line["level"] for line in told.value["health"]} <= {"good", "warn", "bad"}
