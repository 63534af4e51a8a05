"""Whole flows of runs on the real worker: train, fork, fail, go on, follow, rename, delete, close."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtWidgets import QWidget

from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder
from dgm_studio.gui import menus, newrun
from dgm_studio.gui.shots import wait_until
from dgm_studio.gui.window import StudioWindow
from tests.gui.flows import CONFIG, TRAINING, bytes_of, drop, finish_jobs, latent_panel, rest


def test_a_fork_is_trained_from_its_snapshot_and_stands_in_the_run_tree(window: StudioWindow, run: Path) -> None:
    window.open(f"run:{run}", "training")
    rest(window)
    window.centre.time_machine.scrubber.step_changed.emit(20)
    window.centre.time_machine.fork_wanted.emit(20)
    form = window.findChild(newrun.NewRun)
    assert form is not None and form._model is not None and form._model.values()["latent"] == 4
    form._model.set_values({"beta": 3.0})
    form._go()
    finish_jobs(window)
    rest(window)
    folder = RunFolder(Path(window.studio.selection.removeprefix("run:")))
    about = folder.read()
    assert about["state"] == "finished" and about["parent"].endswith("@20") and about["config"]["beta"] == 3.0
    assert min(folder.snapshots()) >= 20 and about["step"] == 40
    panel = window.centre.current()
    assert panel is not None and panel.name == "training"
    record, tree = panel._record, panel._tree.tree  # type: ignore[attr-defined]
    assert wait_until(lambda: any("beta" in str(flag) for flag in record.flags), 10, quiet=0.0), record.flags
    assert wait_until(lambda: {n.name for n in tree._nodes} == {"tiny", "tiny fork"}, 10, quiet=0.0), tree._nodes


def test_a_fork_of_the_end_of_a_run_gets_steps_to_train(window: StudioWindow, run: Path) -> None:
    window.open(f"run:{run}", "training")
    window.centre.time_machine.fork_wanted.emit(40)
    form = window.findChild(newrun.NewRun)
    assert form is not None and form._training is not None
    assert form._training.values()["steps"] == 80
    form.reject()


def test_a_run_that_failed_says_why_above_its_panels_and_goes_on_with_the_remedy(
    window: StudioWindow, studio_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dgm_studio.models.registry import system_class

    vae = system_class("vae")
    loss, spoilt = vae.loss, [27]

    def spoil(self: Any, batch: Any, generator: Any, step: int = 0) -> Any:
        terms = loss(self, batch, generator, step)
        if step in spoilt:
            spoilt.clear()
            terms["loss"] = terms["loss"] * float("nan")
        return terms

    monkeypatch.setattr(vae, "loss", spoil)
    folder = studio_home / "runs" / "wild"
    request = Train(str(folder), "vae", "digits8", CONFIG, TRAINING | {"learning_rate": 0.01}, name="wild")
    card = newrun.provisional_card(request, window.shelf.systems["vae"], window.shelf.data()["digits8"], 40)
    window.start_run(request, card)
    finish_jobs(window)
    about = RunFolder(folder).read()
    notice = window.centre.notice
    assert about["state"] == "failed" and notice.isVisible()
    assert "step 28" in notice.words.text() and notice.words.text().startswith(about["failure"]["sentence"])
    window.open("zoo:vae-digits", "samples")
    assert not notice.isVisible()
    window.open(f"run:{folder}")
    assert notice.isVisible() and notice.button.text() == "Go back with the rate 0.005"
    notice.button.click()
    assert not notice.isVisible()
    finish_jobs(window)
    about = RunFolder(folder).read()
    assert about["state"] == "finished" and about["training"]["learning_rate"] == 0.005 and about["failure"] is None
    assert not notice.isVisible()


def test_a_run_that_another_process_trains_is_opened_for_looking_only(window: StudioWindow, run: Path) -> None:
    holder = "import sys; from dgm_studio.core.runs import RunFolder\n"
    holder += "with RunFolder(__import__('pathlib').Path(sys.argv[1])).lock(): print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        panel = latent_panel(window, f"run:{run}")
        assert "trained by another process" in window.centre.notice.words.text() and window.centre.notice.isVisible()
        assert panel.scene.decoded.isVisible()
        menus.train_on(window, panel.card)
        finish_jobs(window)
        assert "being trained elsewhere" in window.toast.words()
        process.communicate("\n")
    window.home()
    window.open(f"run:{run}")
    assert not window.centre.notice.isVisible()


def test_a_renamed_run_keeps_its_name_and_a_deleted_one_comes_back(window: StudioWindow, run: Path) -> None:
    window.open(f"run:{run}", "training")
    rest(window)
    menus.set_name(window, window.studio.cards[f"run:{run}"], "my digits")
    card = window.studio.cards[f"run:{run}"]
    assert card.name == "my digits"
    window.start_run(Train(str(run), training={"steps": 45}, name=card.name), card)
    finish_jobs(window)
    assert RunFolder(run).read()["name"] == "my digits" and RunFolder(run).read()["step"] == 45
    assert window.studio.cards[f"run:{run}"].name == "my digits"
    rest(window)
    menus.delete(window, card)
    assert not run.exists()
    command = next(c for c in menus.commands(window) if c.title.startswith("Bring back"))
    command.act()
    assert RunFolder(run).read()["step"] == 45 and any(c.key == f"run:{run}" for c in window.runs)


def test_the_latent_panel_follows_a_run_that_trains_and_training_keeps_its_pace(
    window: StudioWindow, run: Path
) -> None:
    panel = latent_panel(window, f"run:{run}")
    card = window.studio.cards[f"run:{run}"]
    settings = {"steps": 100_000, "save_every": 1_000_000, "valid_every": 1_000_000}
    window.start_run(Train(str(run), training=settings, name="tiny"), card)
    window.centre.go_to(1)
    assert window.centre.current() is panel
    looks: dict[int, float] = {}
    pictures: set[bytes] = set()

    def looked() -> bool:
        looks.setdefault(panel.card.step, time.monotonic())
        pictures.add(bytes_of(panel.scene.decoded.view))
        return len(looks) >= 4 and len(pictures) >= 3

    assert wait_until(looked, 40, quiet=0.0), (looks, len(pictures))
    # however often the run keeps a snapshot (here every 10 steps), whole looks stay rare and light ones calm
    assert (max(looks.values()) - sorted(looks.values())[1]) / (len(looks) - 2) > 1.5, looks
    assert panel.card.key == f"run:{run}"
    window.bridge.engine.stop(window.bridge.engine.jobs()[0].ticket)
    finish_jobs(window)


def test_models_of_planar_data_train_and_are_looked_at_without_a_latent_panel(
    window: StudioWindow, studio_home: Path
) -> None:
    folder = studio_home / "runs" / "moons"
    request = Train(str(folder), "vae", "moons", {**CONFIG, "latent": 2}, TRAINING, name="moons")
    card = newrun.provisional_card(request, window.shelf.systems["vae"], window.shelf.data()["moons"], 40)
    window.start_run(request, card)
    finish_jobs(window)
    rest(window)
    training = window.centre.current()
    assert training is not None
    curve = training._record.columns("train/elbo")  # type: ignore[attr-defined]
    assert curve is not None and len(curve) == 40, "a new run is drawn from its first step"
    titles = [window.centre.tabs.tabText(n) for n in range(window.centre.tabs.count())]
    assert titles == ["Training", "Reconstruct", "Samples", "Compare"]
    for index in range(len(titles)):
        window.centre.go_to(index)
        rest(window)
        panel = window.centre.current()
        assert panel is not None
        words = [w.text() for w in panel.findChildren(QWidget) if hasattr(w, "text") and w.isVisible()]
        assert not any("cannot" in str(w) or "not pictures" in str(w) for w in words), (titles[index], words)
    window.studio.compare_toggle("zoo:vae-digits")
    assert len(panel._rows) == 1, "points are not compared with pictures"  # type: ignore[attr-defined]


def test_a_folder_with_bad_pictures_says_in_the_form_what_is_wrong_with_them(
    window: StudioWindow, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for n in range(24):
        Image.fromarray(np.full((16, 16), 10 * n, np.uint8)).save(folder / f"{n:02d}.png")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    drop(window, folder)
    assert window.toast.words() == "mine can be trained on."
    window.toast.acted.emit()
    form = window.findChild(newrun.NewRun)
    assert form is not None
    rest(window)
    assert "torn.png" in form._report.text() and form._start.isEnabled(), form._report.text()
    form.reject()


def test_settings_of_one_system_are_not_forced_upon_another_that_has_the_same_names(window: StudioWindow) -> None:
    newrun.open_form(window, {"system": "vae", "config": {"prior": "normal", "latent": 3}, "data": "digits8"})
    form = window.findChild(newrun.NewRun)
    assert form is not None and form._model is not None
    assert form._model.values()["latent"] == 3
    for place in range(form._system.count()):  # among them one whose prior is "learnt" or "fixed"
        form._system.setCurrentIndex(place)
        assert form._model.refusals() == {}, form._system.currentText()
    form._system.setCurrentIndex(form._system.findData("vae"))
    assert form._model.values()["latent"] == 3
    form.reject()


CLOSE_A_REAL_RUN = """
import sys
from PySide6.QtCore import QTimer
from dgm_studio import app
from dgm_studio.core.requests import Train
from dgm_studio.gui.newrun import provisional_card

application = app.make_application()
program = app.Program("cpu")
window = program.window
asked = Train(sys.argv[1], "vae", "digits8", {"latent": 4, "network": "mlp", "hidden": 16}, {"steps": 1000000})
timer = QTimer(interval=50)

def look():
    jobs = program.engine.jobs()
    if program.engine.warm.is_set() and not jobs:
        window.start_run(asked, provisional_card(asked, window.shelf.systems["vae"], None, 1000000))
    elif jobs and jobs[0].progress is not None and jobs[0].progress.done > 30:
        timer.stop()
        print("closing", flush=True)
        window.close()

timer.timeout.connect(look)
timer.start()
program.show()
application.exec()
sys.exit(program.end())
"""


def test_closing_the_window_while_a_real_run_trains_saves_it_and_ends_with_status_0(tmp_path: Path) -> None:
    from dgm_studio.training.loop import Session

    folder = tmp_path / "run"
    environment = {**os.environ, "DGM_STUDIO_HOME": str(tmp_path / "home"), "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", CLOSE_A_REAL_RUN, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, cwd=Path.cwd()) as process:
        assert process.stdout is not None and process.stdout.readline() == "closing\n"
        since = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - since < 5, "a busy machine may take longer than the second that bench measures"
    about = RunFolder(folder).read()
    assert about["state"] == "stopped" and about["step"] > 30
    session_ = Session(Train(str(folder), training={"steps": about["step"] + 2}))
    for _ in session_.updates():
        pass
    assert RunFolder(folder).read()["step"] == about["step"] + 2
