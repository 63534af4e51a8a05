"""What happens outside the window: another process trains, the disk fills, the user's data change, runs are deleted."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder
from dgm_studio.gui import choosing, newrun
from dgm_studio.gui.panels.training import TrainingPanel
from dgm_studio.gui.shots import wait_until
from dgm_studio.gui.window import StudioWindow
from dgm_studio.training.loop import Session
from tests.gui.flows import CONFIG, TRAINING, finish_jobs, rest

SETTINGS = [part for name, value in CONFIG.items() for part in ("--set", f"{name}={value}")]


def training_panel(window: StudioWindow, key: str) -> TrainingPanel:
    window.open(key, "training")
    rest(window)
    panel = window.centre.current()
    assert isinstance(panel, TrainingPanel)
    return panel


@pytest.fixture
def outside(studio_home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `dgm-studio train` in another process."""
    started: list[subprocess.Popen[bytes]] = []

    def train(*arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "DGM_STUDIO_HOME": str(studio_home), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "dgm_studio", "train", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    yield train
    for process in started:
        process.kill()
        process.wait()


def test_a_run_that_the_command_line_trains_comes_into_the_library_and_its_panel_follows_it_to_the_end(
    window: StudioWindow, studio_home: Path, outside: Callable[..., subprocess.Popen[bytes]]
) -> None:
    steps = ("--steps", "1000000", "--set", "valid_every=20", "--set", "save_every=20", "--set", "batch=32")
    process = outside("vae", "--data", "digits8", "--out", "far", *steps, *SETTINGS)
    key = f"run:{studio_home / 'runs' / 'far'}"
    assert wait_until(lambda: any(card.key == key for card in window.runs), 60, quiet=0.0)
    assert window.library.model.row_of(key) >= 0
    panel = training_panel(window, key)
    reached = panel._record.step
    assert reached > 0 and panel._run._state.text() == "Trains elsewhere" and not panel._run._on.isEnabled()
    assert "trained by another process" in window.centre.notice.words.text()
    assert wait_until(lambda: panel._record.step > reached + 50, 30, quiet=0.0), "the curves go on"
    first = panel.card.step
    assert wait_until(lambda: panel.card.step > first, 30, quiet=0.0), "and so do the weights that are looked at"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert wait_until(lambda: panel._run._state.text() == "Stopped" and panel._run._on.isEnabled(), 30, quiet=0.0)
    assert not window.centre.notice.isVisible()
    about = RunFolder(studio_home / "runs" / "far").read()
    assert wait_until(lambda: panel._record.step == panel.card.step == about["step"], 30, quiet=0.0)
    curve = panel._record.columns("train/elbo")
    assert curve is not None and len(curve) == about["step"], "every step is drawn once"


def test_a_full_disk_is_said_above_the_panels_and_stopping_asks_before_it_loses_anything(
    window: StudioWindow, studio_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, full = os.fsync, [False]

    def fsync(descriptor: int) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    folder = studio_home / "runs" / "big"
    request = Train(str(folder), "vae", "digits8", CONFIG, TRAINING | {"steps": 1_000_000}, name="big")
    card = newrun.provisional_card(request, window.shelf.systems["vae"], window.shelf.data()["digits8"], 1_000_000)
    window.start_run(request, card)
    notice = window.centre.notice
    assert wait_until(lambda: RunFolder(folder).described_at() > 0, 30, quiet=0.0)
    assert not notice.isVisible()
    full[0] = True
    assert wait_until(notice.isVisible, 30, quiet=0.0)
    assert "the disk is full" in notice.words.text() and "Make room" in notice.words.text()
    stands = RunFolder(folder).read()["step"]

    asked: list[Any] = []
    monkeypatch.setattr(choosing, "ask_yes", lambda *arguments: asked.append(arguments))
    job = window.bridge.engine.jobs()[-1]
    window.status.refresh()
    window.status._stop.click()
    assert f"loses everything after step {stands:,}" in asked[0][2]
    assert window.bridge.engine.jobs()[-1].state == "running", "not stopped unless that is wanted"

    full[0] = False
    assert wait_until(lambda: not notice.isVisible(), 30, quiet=0.0)
    assert RunFolder(folder).read()["step"] > stands, "nothing is lost when room is made"
    full[0] = True
    assert wait_until(notice.isVisible, 30, quiet=0.0)
    window.status._stop.click()
    asked[-1][3]()
    finish_jobs(window)
    assert not notice.isVisible() and "the disk is full; the run stands at step" in window.toast.words()
    full[0] = False
    panel = training_panel(window, f"run:{folder}")
    stands, reached = RunFolder(folder).read()["step"], panel._record.step
    assert job.ticket.name == "big" and reached > stands, "what was lost is still drawn"
    window.start_run(
        Train(str(folder), training={"steps": stands + 7}, name="big"), window.studio.cards[f"run:{folder}"]
    )
    finish_jobs(window)
    rest(window)
    curve = panel._record.columns("train/elbo")
    assert panel._record.step == stands + 7 and curve is not None and len(curve) == stands + 7


def squares(path: Path, seed: int, side: int = 8) -> Path:
    random = np.random.default_rng(seed)
    x = np.zeros((60, side, side), np.uint8)
    for picture, (top, left) in zip(x, random.integers(0, side - 3, (60, 2)), strict=True):
        picture[top : top + 3, left : left + 3] = random.integers(100, 255)
    np.savez(path, x=x)
    return path


def test_data_that_changed_or_vanished_after_training_are_spoken_of_wherever_their_model_is_looked_at(
    window: StudioWindow, studio_home: Path, tmp_path: Path
) -> None:
    path = squares(tmp_path / "squares.npz", 0)
    folder = studio_home / "runs" / "mine"
    for _ in Session(Train(str(folder), "vae", f"file:{path}", CONFIG, TRAINING, name="mine")).updates():
        pass
    notice, key = window.centre.notice, f"run:{folder}"

    def look(panel: str) -> Any:
        window.home()
        window.open(key, panel)
        rest(window)
        return window.centre.current()

    look("reconstruct")
    assert not notice.isVisible()
    row = window.library.model.entry(window.library.model.index(window.library.model.row_of(key)))
    assert row is not None and row.second == "VAE · squares.npz"
    squares(path, 7)
    look("reconstruct")
    assert notice.isVisible() and "squares.npz has changed since this model was trained on it" in notice.words.text()
    path.unlink()
    look("samples")
    assert "There is no file" in notice.words.text() and "sampled and steered" in notice.words.text()
    window.start_run(Train(str(folder), training={"steps": 60}, name="mine"), window.studio.cards[key])
    finish_jobs(window)
    assert "There is no file" in window.toast.words() and RunFolder(folder).read()["step"] == 40
    squares(path, 0)
    look("samples")
    assert not notice.isVisible(), "put back, all is well"
    window.start_run(Train(str(folder), training={"steps": 60}, name="mine"), window.studio.cards[key])
    finish_jobs(window)
    assert RunFolder(folder).read()["step"] == 60
