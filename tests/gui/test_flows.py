"""Whole flows as people do them, on the real worker: look, export, drop, go back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtGui import QGuiApplication

from dgm_studio.core import recipes
from dgm_studio.core.requests import FollowPath
from dgm_studio.gui import choosing, places, session, writing
from dgm_studio.gui.panels.latent import LatentPanel
from dgm_studio.gui.shots import pass_time
from dgm_studio.gui.window import StudioWindow
from tests.gui.flows import (
    apart,
    drop,
    export_to,
    finish_jobs,
    latent_panel,
    rest,
)


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
    assert apart(again.scene.map.view.grab().toImage(), sheet) < 0.02, "but for the rounding of contours"
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

    monkeypatch.setattr(choosing, "ask_yes", lambda *arguments: asked.append(arguments[2]))  # and nobody says yes
    png = writing.FORMATS[".png"]
    monkeypatch.setattr(choosing, "save_file", lambda *arguments: arguments[-1](str(tmp_path / "mine"), png))
    writing.export_current(window)
    assert asked == ["mine.png is there already. Replace it?"] and kept.read_bytes() == b"mine"
    monkeypatch.setattr(choosing, "save_file", lambda *arguments: arguments[-1]("/dev/full/mine.png", ""))
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
