"""Whole flows as people do them, on the real worker: train, look, export, drop, go back, fork, fail, go on."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox, QWidget

from dgm_studio import app
from dgm_studio.core import recipes
from dgm_studio.core.requests import FollowPath, Train
from dgm_studio.core.runs import RunFolder
from dgm_studio.gui import menus, newrun, places, session, shots, theme, writing
from dgm_studio.gui.panels.latent import LatentPanel
from dgm_studio.gui.shots import pass_time, wait_until
from dgm_studio.gui.widgets.pictureview import PictureView
from dgm_studio.gui.window import StudioWindow

CONFIG = {"latent": 4, "network": "mlp", "hidden": 16}
TRAINING = {"steps": 40, "batch": 32, "valid_every": 20, "save_every": 20, "snapshot_every": 10, "warmup": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tiny model."""
    from dgm_studio.training.loop import Session

    folder = tmp_path_factory.mktemp("trained") / "tiny"
    for _ in Session(Train(str(folder), "vae", "digits8", CONFIG, TRAINING, name="tiny")).updates():
        pass
    return folder


@pytest.fixture
def program(qapp: QApplication, adopt: Callable[[QWidget], QWidget], studio_home: Path) -> Iterator[app.Program]:
    theme.use("dark", 1.0)
    hook = sys.excepthook
    made = app.Program("cpu")
    adopt(made.window)
    made.show()
    assert wait_until(made.engine.warm.is_set, 60, quiet=0.0)
    pass_time(100)
    yield made
    made.window.close()
    made.end()
    made.deleteLater()
    sys.excepthook = hook
    theme.use("dark", 1.0)


@pytest.fixture
def window(program: app.Program) -> StudioWindow:
    return program.window


@pytest.fixture
def run(trained: Path, studio_home: Path) -> Path:
    """A run of one's own, in the user's folder."""
    folder = studio_home / "runs" / "tiny"
    shutil.copytree(trained, folder)
    return folder


def rest(window: StudioWindow, seconds: float = 30) -> None:
    """Until nothing is asked and nothing on its way."""
    assert wait_until(lambda: shots.idle(window), seconds, quiet=0.35), "still busy"


def finish_jobs(window: StudioWindow, seconds: float = 60) -> None:
    live = ("waiting", "running", "stopping")
    assert wait_until(lambda: not any(j.state in live for j in window.bridge.engine.jobs()), seconds, quiet=0.05)
    pass_time(50)


def drop(window: StudioWindow, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    none, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    window.dropEvent(QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, left, none, QEvent.Type.Drop))
    pass_time(50)


def latent_panel(window: StudioWindow, key: str) -> LatentPanel:
    window.open(key, "latent")
    rest(window)
    panel = window.centre.current()
    assert isinstance(panel, LatentPanel)
    return panel


def _bytes(view: PictureView) -> bytes:
    image = view.image()
    return bytes(image.constBits()) if image is not None else b""


def _apart(one: QImage, other: QImage) -> float:
    """The part of all pixels that differ."""
    assert one.size() == other.size()
    pixels = [np.frombuffer(bytes(image.constBits()), np.uint32) for image in (one, other)]
    return float(np.mean(pixels[0] != pixels[1]))


def export_to(window: StudioWindow, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Export what is in front, as with the mouse; the dialog answers with this path."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    writing.export_current(window)
    finish_jobs(window)
    assert path.exists(), window.toast.words()


@pytest.mark.parametrize("ending", [".png", ".gif", ".webp", ".mp4", ".npz", ".svg"])
def test_dropping_an_exported_file_restores_exactly_the_state_that_it_shows(
    window: StudioWindow, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    if ending == ".mp4":
        pytest.importorskip("av")
    key = f"run:{run}"
    panel = latent_panel(window, key)
    window.centre.time_machine.scrubbed.emit(20)
    rest(window)
    panel.scene.move_to(np.array([0.5, -1.0, 0.25, 2.0]))
    panel.scene.bar.kind_chosen.emit("spherical")
    panel.scene.map.modes.chosen.emit(0)
    panel.scene.bar.frame_shown.emit(7)
    panel.scene.bar.figures_toggled.emit(True)
    rest(window)
    before, picture, sheet = panel.state(), panel.scene.decoded.view.image(), panel.scene.map.view.grab().toImage()
    assert before["frame"] == 7 and before["kind"] == "spherical" and panel.card.key.endswith("@20")
    path = tmp_path / f"seven{ending}"
    export_to(window, monkeypatch, path)

    panel.restore({"z": [0.0] * 4, "frame": -1, "mode": "pca", "kind": "linear", "figures": False, "anchors": []})
    window.centre.time_machine.scrubbed.emit(-1)
    rest(window)
    window.open("zoo:vae-digits", "samples")
    rest(window)
    drop(window, path)
    rest(window)

    again = window.centre.current()
    assert isinstance(again, LatentPanel) and again.card.key == f"{key}@20"
    assert again.state() == before
    assert again.scene.decoded.view.image() == picture
    assert _apart(again.scene.map.view.grab().toImage(), sheet) < 0.02, "but for the rounding of contours"
    window.undo()
    assert again.state()["kind"] == "linear", "a dropped file is one step of undo"


def test_the_training_curves_are_written_as_a_drawing_that_restores_them(
    window: StudioWindow, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.open(f"run:{run}", "training")
    rest(window)
    panel = window.centre.current()
    assert panel is not None
    panel.restore({"page": 1, "smoothing": 0.5})
    before = panel.state()
    path = tmp_path / "curves.svg"
    export_to(window, monkeypatch, path)
    text = path.read_text()
    assert "<svg" in text and text.count("<path") + text.count("<polyline") > 3
    panel.restore({"page": 0, "smoothing": 0.0})
    window.home()
    drop(window, path)
    rest(window)
    assert window.centre.current() is panel and panel.state() == before


def test_copy_as_python_puts_a_script_on_the_clipboard_that_makes_the_exported_pixels(
    window: StudioWindow, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, studio_home: Path
) -> None:
    panel = latent_panel(window, f"run:{run}")
    panel.scene.move_to(np.array([1.5, -0.5, 0.75, 0.0]))
    rest(window)
    export_to(window, monkeypatch, tmp_path / "window.png")
    places.copy_python(window)
    script = tmp_path / "again.py"
    script.write_text(QGuiApplication.clipboard().text())
    made = tmp_path / "script.png"
    environment = {**os.environ, "DGM_STUDIO_HOME": str(studio_home), "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, str(script), str(made)], check=True, env=environment, cwd=tmp_path, timeout=120)
    with Image.open(tmp_path / "window.png") as one, Image.open(made) as other:
        assert one.size == (64, 64)
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_an_export_never_replaces_a_file_unasked_and_says_why_it_cannot_be_written(
    window: StudioWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.open("zoo:vae-digits", "samples")
    rest(window)
    kept = tmp_path / "mine.png"
    kept.write_bytes(b"mine")
    asked: list[str] = []

    def no(*arguments: Any) -> QMessageBox.StandardButton:
        asked.append(arguments[2])
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", no)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), writing.FORMATS[".png"]))
    writing.export_current(window)
    assert asked == ["mine.png is there already. Replace it?"] and kept.read_bytes() == b"mine"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("/dev/full/mine.png", ""))
    writing.export_current(window)
    finish_jobs(window)
    assert "cannot be written" in window.toast.words()


def test_a_picture_dropped_on_the_latent_panel_is_encoded_and_undo_takes_it_back(
    window: StudioWindow, run: Path, tmp_path: Path
) -> None:
    panel = latent_panel(window, f"run:{run}")
    before = panel.state()
    picture = tmp_path / "ring.png"
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    Image.fromarray(np.uint8(255 * (abs(np.hypot(x, y) - 0.6) < 0.2))).save(picture)
    window.centre.go_to(0)  # from any panel of a model that encodes
    drop(window, picture)
    rest(window)
    assert window.centre.current() is panel
    after = panel.state()
    assert after["encoded"]["file"] == str(picture) and after["z"] != before["z"]
    assert panel.scene.encode.whose.text() == "ring.png"
    window.undo()
    rest(window)
    assert panel.state()["encoded"] == before["encoded"] and panel.state()["z"] == before["z"]


def test_a_picture_made_on_the_command_line_opens_in_the_latent_panel_as_it_was_asked_for(
    window: StudioWindow, run: Path, tmp_path: Path
) -> None:
    from dgm_studio.api import save

    asked = FollowPath(f"run:{run}", ((0.0, 1.0, 0.0, 0.0), (0.0, -1.0, 0.0, 1.0)), "linear", 24)
    save(asked, tmp_path / "path.gif")
    drop(window, tmp_path / "path.gif")
    rest(window)
    panel = window.centre.current()
    assert isinstance(panel, LatentPanel) and panel.shown() == asked


def test_bookmarks_come_back_from_their_menu_at_the_snapshot_they_were_kept_at(window: StudioWindow, run: Path) -> None:
    panel = latent_panel(window, f"run:{run}")
    window.centre.time_machine.scrubbed.emit(10)
    panel.scene.move_to(np.array([0.0, 0.0, 2.0, 0.0]))
    rest(window)
    panel.scene.sliders.bookmark_wanted.emit()
    kept = panel.state()
    window.centre.time_machine.scrubbed.emit(-1)
    panel.reset()
    rest(window)
    menu = places.bookmark_menu(window)
    entry = next(action for action in menu.actions() if action.text() == window.studio.bookmarks[0].name)
    assert not entry.icon().isNull()
    entry.trigger()
    rest(window)
    assert panel.state() == kept and panel.card.key.endswith("@10")
    menu.close()


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
    flags = panel._record.flags  # type: ignore[attr-defined]
    assert any("beta" in str(flag) for flag in flags), flags
    nodes = panel._tree.tree._nodes  # type: ignore[attr-defined]
    assert {node.name for node in nodes} == {"tiny", "tiny fork"}


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
    steps: set[int] = set()
    pictures: set[bytes] = set()

    def looked() -> bool:
        steps.add(panel.card.step)
        pictures.add(_bytes(panel.scene.decoded.view))
        return len(steps) >= 3 and len(pictures) >= 3

    assert wait_until(looked, 30, quiet=0.0), (steps, len(pictures))
    assert window.bridge.engine.load().batch > 0.5
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


def test_every_gesture_of_the_latent_panel_is_undone_and_done_again(window: StudioWindow, run: Path) -> None:
    panel = latent_panel(window, f"run:{run}")
    scene = panel.scene
    gestures: list[Callable[[], object]] = [
        lambda: (scene.sliders.moved.emit("latent:0", 1.5), scene.sliders.gesture_ended.emit("latent:0")),
        lambda: scene.map.modes.chosen.emit(0),
        lambda: scene.map.axes_chosen.emit("latent:2", "latent:3"),
        lambda: scene.sliders.lock_toggled.emit(1, True),
        lambda: scene.bar.kind_chosen.emit("linear"),
        lambda: scene.bar.anchor_wanted.emit("here"),
        lambda: scene.bar.anchor_wanted.emit("sample"),
        lambda: scene.bar.anchor_dropped.emit(0),
        lambda: scene.encode.example_wanted.emit(3),
        lambda: (scene.sliders.truncation_moved.emit(0.5), scene.sliders.truncation_settled.emit()),
        lambda: scene.sliders.seed_chosen.emit(17),
        lambda: scene.map.strips_toggled.emit(True),
        lambda: scene.sliders.tab_chosen.emit("principal"),
        lambda: scene.sliders.reset_wanted.emit(),
    ]
    states = [panel.state()]
    for gesture in gestures:
        gesture()
        rest(window)
        states.append(panel.state())
        assert states[-1] != states[-2], gestures.index(gesture)
    for state in reversed(states[:-1]):
        window.undo()
        pass_time(20)
        assert panel.state() == state
    for state in states[1:]:
        window.redo()
        pass_time(20)
        assert panel.state() == state


def test_the_time_machine_moves_cursor_pictures_and_map_together(window: StudioWindow, run: Path) -> None:
    panel = latent_panel(window, f"run:{run}")
    window.centre.go_to(0)
    rest(window)
    training = window.centre.current()
    newest = panel.scene.decoded.view.image()
    window.centre.time_machine.scrubber.step_changed.emit(10)
    rest(window)
    assert training is not None and training._curves._cursor_step == 10.0  # type: ignore[attr-defined]
    window.centre.go_to(1)
    rest(window)
    early = panel.scene.decoded.view.image()
    assert early != newest
    window.centre.time_machine._to_newest()
    rest(window)
    assert panel.scene.decoded.view.image() == newest
    assert training._curves._cursor_step is None  # type: ignore[attr-defined]


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


def test_a_damaged_recipe_and_a_model_that_is_gone_are_told_in_a_sentence(
    window: StudioWindow, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latent_panel(window, f"run:{run}")
    path = tmp_path / "picture.png"
    export_to(window, monkeypatch, path)
    window.home()
    shutil.rmtree(run)
    window.studio.remove(f"run:{run}")
    drop(window, path)
    rest(window)
    assert "tiny" in window.toast.words() and "There is no" in window.toast.words()
    newer = path.read_bytes().replace(b'"dgm-studio recipe": 1', b'"dgm-studio recipe": 9')
    path.write_bytes(newer)
    drop(window, path)
    assert "version 9" in window.toast.words()
    assert session.gather(window)["studio"]["keys"] == []
    assert recipes.RECIPE_VERSION == 1 and json.dumps(session.gather(window))


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
