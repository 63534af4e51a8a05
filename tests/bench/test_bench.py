"""Each measurement at a tiny size: its figures are there and what must always hold does. No times are asserted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dgm_studio.bench import figures, running, screen
from dgm_studio.bench.figures import Figure, Options, quantile
from dgm_studio.bench.latency import answer_times
from dgm_studio.bench.worker import Worker
from dgm_studio.cli import bench as command
from dgm_studio.cli import main
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import Train
from dgm_studio.core.updates import Done, Problem, Result
from dgm_studio.doctor import has_display
from dgm_studio.training.loop import Session

SMALL: dict[str, Any] = {"network": "mlp", "hidden": 16, "latent": 3}
TINY = Options(seconds=0.4, count=2, data="digits8", config=SMALL)


def measured(name: str, options: Options, environment: dict[str, str] | None = None) -> dict[str, Figure]:
    found = running.measure(name, options, environment or {})
    assert found["bench"] == name
    return {
        each["what"]: Figure(each["what"], each["value"], each["unit"], each["bar"], each["rule"] == "at least")
        for each in found["figures"]
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The key of a small model that was trained for a moment."""
    run = tmp_path_factory.mktemp("trained") / "run"
    for _ in Session(Train(str(run), "vae", "digits8", SMALL, {"steps": 20})).updates():
        pass
    return f"run:{run}"


@pytest.fixture(scope="module")
def display() -> Any:
    try:
        with screen.screen() as environment:
            yield environment
    except Problem as problem:
        pytest.skip(str(problem))


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert [quantile(range(1, 101), share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert quantile([7.0], 0.95) == 7.0


def test_a_bar_is_a_ceiling_or_a_floor_and_a_figure_without_one_is_neither_kept_nor_broken() -> None:
    assert Figure("late", 4.0, "ms", 4.0).good and not Figure("late", 4.1, "ms", 4.0).good
    assert Figure("speed", 0.97, "", 0.97, at_least=True).good and not Figure("speed", 0.9, "", 0.97, True).good
    assert Figure("speed", 3.0).good is None
    lines = figures.rows([figures.document("x", [Figure("late", 4.1, "ms", 4.0), Figure("speed", 3.0)])])
    assert lines == [("x: late", "4.1 ms", "at most 4", "NO"), ("x: speed", "3", "", "")]


def test_a_move_is_answered_by_the_first_paint_of_a_picture_asked_for_after_it_and_by_no_older_one() -> None:
    asked = [(0.00, 5), (0.03, 6), (0.06, 7)]
    painted = [(0.02, 5), (0.08, 7)]  # the picture of ticket 6 was overtaken
    assert answer_times([0.0, 0.03, 0.06, 0.09], asked, painted) == pytest.approx([0.02, 0.05, 0.02, None])


def test_training_is_compared_with_a_bare_loop_turn_by_turn() -> None:
    found = measured("training", TINY)
    assert set(found) >= {"mlp, against a bare loop", "mlp, with 20 pictures a second", "mlp, ours", "mlp, bare"}
    assert all(figure.value > 0 for figure in found.values())
    assert found["mlp, with 20 pictures a second"].bar == 0.80


def test_stopping_pausing_and_cancelling_are_timed_while_a_run_trains() -> None:
    found = measured("stop", TINY)
    for name in ("stop, saving included", "pause", "cancel"):
        assert 0 <= found[f"{name}, p95"].value <= found[f"{name}, longest"].value


def test_a_film_is_timed_to_its_first_picture_to_its_end_and_beside_a_slider(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in Session(Train(str(run), "ddpm", "digits8", {"width": 8, "noise_steps": 40}, {"steps": 3})).updates():
        pass
    found = measured("film", Options(0.7, 2, checkpoint=f"run:{run}"))
    assert 0 < found["to the first picture"].value <= found["to the first whole step"].value
    assert found["samples/s, 64 at once, 20 steps of DPM-Solver++"].value > 0
    assert found["slider to picture p50 while sampling"].value <= found["slider to picture p95 while sampling"].value
    assert found["steps sent meanwhile"].value > 0 and found["stop p95"].value <= found["stop, longest"].value


def test_what_came_in_one_batch_with_the_update_that_was_waited_for_is_not_lost() -> None:
    worker = Worker(Options(device="cpu"))
    try:
        ticket = Ticket(0, "test", None, "", "interactive", 0.0)
        for update in (Result(1), Result(2), Done()):
            worker.outbox.put(ticket, update)
        assert worker.until(lambda each: each.update == Result(1)).update == Result(1)
        assert worker.until(lambda each: isinstance(each.update, Done)).update == Done()
    finally:
        worker.close()


def test_killed_saves_leave_only_checkpoints_that_load() -> None:
    found = measured("saves", Options(count=6))
    assert found["unreadable checkpoints"].good and found["saves that were reported and lost"].good
    assert found["unreadable checkpoints"].unit == "of 6 kills"


def test_a_start_is_timed_to_the_window_and_to_the_warm_worker(display: dict[str, str]) -> None:
    found = measured("startup", Options(count=1), display)
    assert 0 < found["window shown"].value < found["worker warm"].value


def test_a_dragged_slider_shows_no_stale_picture_and_in_the_end_the_last_one(
    model: str, display: dict[str, str]
) -> None:
    found = measured("latency", Options(seconds=1.0, checkpoint=model, data="digits8", config=SMALL), display)
    for name in ("idle", "training"):
        assert found[f"stale pictures, {name}"].value == 0
        assert found[f"moves without a picture, {name}"].value == 0
        assert found[f"last picture is that of the last value, {name}"].value == 1
        assert 0 < found[f"slider to pixels p50, {name}"].value <= found[f"slider to pixels p95, {name}"].value


def test_the_windows_heart_beats_while_a_run_trains_and_is_looked_at(display: dict[str, str]) -> None:
    found = running.measure("heartbeat", Options(seconds=1.0, data="digits8", config=SMALL), display)
    assert found["details"]["panel"] == "training", found
    assert found["details"]["beats"] > 0 and found["details"]["steps"] > 0, found


@pytest.mark.slow
def test_random_hands_neither_crash_the_window_nor_leave_an_error_unhandled(
    model: str, display: dict[str, str]
) -> None:
    options = Options(count=150, seed=1, checkpoint=model, data="digits8", config=SMALL)
    found = running.measure("events", options, display)
    assert [figure["good"] for figure in found["figures"] if figure["rule"]] == [True] * 4, found
    assert found["details"]["steps"] > 0 and len(found["details"]["kinds"]) > 8


def test_an_error_that_nobody_handles_and_a_crash_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dgm_studio.bench import events

    told = json.dumps({"sent": 3, "errors": ["Traceback ..."], "critical": [], "alive": True})
    for status, output, expected in ((0, told, (0, 1)), (-11, "", (1, 0))):
        ran = subprocess.CompletedProcess([], status, output, "")
        monkeypatch.setattr(events.subprocess, "run", lambda *a, ran=ran, **k: ran)
        found = {each["what"]: each for each in events.measure(Options(count=3))["figures"]}
        counts = (found["crashes and hangs"]["value"], found["unhandled exceptions"]["value"])
        assert counts == expected
        assert not all(found[what]["good"] for what in ("crashes and hangs", "unhandled exceptions"))


def test_the_command_names_the_nearest_measurement_and_knows_all_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "latncy"]) == 1
    assert "Did you mean latency?" in capsys.readouterr().err
    assert command.NAMES == running.NAMES


def test_the_command_prints_one_document_and_its_status_says_whether_all_bars_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, status in ((1.0, 0), (9.0, 1)):
        document = figures.document("stop", [Figure("pause, p95", value, "ms", 5.0)])
        monkeypatch.setattr(running, "measure", lambda *a, document=document: document)
        assert main(["bench", "stop", "--json"]) == status
        found = json.loads(capsys.readouterr().out)
        assert found["measurements"] == [document] and found["machine"]["cores"] >= 1
        assert main(["bench", "stop"]) == status
        assert "pause, p95" in capsys.readouterr().out


@pytest.mark.skipif(not has_display(), reason="nothing to compare with")
def test_a_display_that_is_there_is_used_as_it_is() -> None:
    with screen.screen() as environment:
        assert environment == {}
