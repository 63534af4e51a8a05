"""A disk without room: training goes on in memory, says so, and nothing is lost that can be kept."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dgm_studio.checkpoints import store
from dgm_studio.core.history import read_history
from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.updates import Frame, Metrics, Problem, Progress, Result, Update
from dgm_studio.training import loop
from dgm_studio.training.loop import Session

CONFIG = {"latent": 2, "network": "mlp", "hidden": 8}
TRAINING = {"steps": 30, "batch": 16, "micro_batch": 16, "valid_every": 5, "save_every": 10, "snapshot_every": 10}


class Disk:
    """The disk of the test: takes what is written, or nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._sync = os.fsync
        monkeypatch.setattr("os.fsync", self.sync)
        monkeypatch.setattr(loop, "RETRY_EVERY", 0.05)

    def sync(self, descriptor: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._sync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def session(path: Path, **training: Any) -> Session:
    return Session(Train(str(path), "vae", "moons", CONFIG, TRAINING | training))


def until(updates: Iterator[Update], step: int) -> None:
    for update in updates:
        if isinstance(update, Metrics) and update.step == step:
            return


def test_while_the_disk_is_full_the_curves_get_one_flag_and_the_window_is_told_until_it_works_again(
    tmp_path: Path, disk: Disk
) -> None:
    told, levels = [], []
    for update in session(tmp_path / "run", steps=60).updates():
        if isinstance(update, Metrics):
            disk.full = 12 <= update.step < 33
        if isinstance(update, Frame) and update.topic == "saving":
            told.append((update.data["sentence"], update.data["saved"]))
        if isinstance(update, Frame) and update.topic == "health":
            levels.append({line["name"]: line["level"] for line in update.data["lines"]}["saving"])
    assert told[0][0].startswith("Step 20 could not be saved: the disk is full. The checkpoint of step 10 stays")
    assert [saved for _, saved in told[:-1]] == [10] * (len(told) - 1)
    assert told[-1] == ("", 35), "the first validation after there is room"
    assert "bad" in levels and levels[-1] == "good"
    flags = [flag for flag in read_history(tmp_path / "run" / "metrics.jsonl").flags if flag["flag"] == "disk"]
    assert [flag["step"] for flag in flags] == [20]


def test_a_run_that_ends_while_the_disk_is_full_waits_for_room_and_is_then_saved_as_finished(
    tmp_path: Path, disk: Disk
) -> None:
    waited = 0
    for update in session(tmp_path / "run").updates():
        if isinstance(update, Metrics) and update.step == 12:
            disk.full = True
        if isinstance(update, Progress) and "room on the disk" in update.text:
            waited += 1
            assert update.done == 30
            disk.full = waited < 12
    assert waited >= 12
    about = RunFolder(tmp_path / "run").read()
    assert (about["state"], about["step"]) == ("finished", 30)
    assert read_history(tmp_path / "run" / "metrics.jsonl").values("train/loss")[-1] is not None


def test_a_run_that_is_stopped_while_the_disk_is_full_says_what_is_lost_and_goes_on_from_what_stands(
    tmp_path: Path, disk: Disk
) -> None:
    updates = session(tmp_path / "run").updates()
    until(updates, 14)
    disk.full = True
    until(updates, 26)
    with pytest.raises(
        Problem, match=r"Step 26 could not be saved: the disk is full; the run stands at step 10"
    ) as lost:
        updates.close()  # type: ignore[attr-defined]
    assert lost.value.action == "Make room on the disk and train on."
    assert store.load(tmp_path / "run" / "resume.safetensors")[0].step == 10
    disk.full = False
    steps = [u.step for u in Session(Train(str(tmp_path / "run"))).updates() if isinstance(u, Metrics)]
    assert steps[0] == 11 and steps[-1] == 30
    curve = read_history(tmp_path / "run" / "metrics.jsonl").curves["train/loss"]
    assert list(curve.step) == list(range(1, 31)), "what was lost is trained again, not twice in the curves"


def test_a_disk_that_is_full_from_the_start_is_tried_again_at_every_validation_only(tmp_path: Path, disk: Disk) -> None:
    disk.full = True
    tried, saved = [], []
    for update in session(tmp_path / "run", steps=20).updates():
        if isinstance(update, Frame) and update.topic == "saving":
            tried.append(update.data["sentence"])
        if isinstance(update, Metrics) and update.step == 16:
            disk.full = False
        if isinstance(update, Result):
            saved.append(update.value.step)
    assert [words.split(" could")[0] for words in tried] == ["Step 0", "Step 5", "Step 10", "Step 15", ""]
    assert saved[-1] == 20


def test_a_folder_that_takes_nothing_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Problem, match=r"Nothing can be written into .*file/run: Not a directory"):
        next(u for u in session(tmp_path / "file" / "run").updates() if isinstance(u, Metrics))
