"""The window on a fake worker: opened, steered, torn apart, dropped on and closed as people do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit, QWidget

from dgm_studio.core import requests
from dgm_studio.core import trash as core_trash
from dgm_studio.core.engine import Job
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.updates import Problem
from dgm_studio.gui import choosing, drops, menus, newrun, session, shots, theme, trash
from dgm_studio.gui.library import ENTRY, Entry
from dgm_studio.gui.panels.samples import SamplesPanel
from dgm_studio.gui.shots import pass_time
from dgm_studio.gui.window import StudioWindow
from tests.gui.window_fakes import model, studio_window

RUN = model("run:/tmp/none/run 14", value=118.9, snapshots=(0, 64, 128, 256), step=256, steps=256)


@pytest.fixture
def window(qapp: QApplication, adopt: Callable[[QWidget], QWidget], tmp_path: Path) -> Iterator[StudioWindow]:
    theme.use("dark", 1.0)
    made = studio_window(tmp_path, runs=(RUN,))
    adopt(made)
    made.show()
    yield made
    made.close()
    theme.use("dark", 1.0)


def turn(window: StudioWindow) -> None:
    """The worker answers everything, and the window shows it."""
    pass_time(5)
    window.bridge.engine.pump()
    pass_time(30)


def rows(window: StudioWindow) -> list[Entry]:
    model_ = window.library.model
    return [model_.index(n).data(ENTRY) for n in range(model_.rowCount())]


def panel_of(window: StudioWindow) -> Any:
    shown = window.centre.current()
    assert shown is not None
    return shown


def test_the_library_shows_the_box_and_the_runs_with_their_figures(window: StudioWindow) -> None:
    shown = rows(window)
    assert [row.title for row in shown] == ["In the box", "vae-digits", "vae-digits-2d", "vae-faces", "Runs", "run 14"]
    assert shown[1].right == "102.4" and shown[1].second == "VAE · mnist5k"
    assert "102.4 ± 0.3 nats" in shown[1].hint and "ELBO, 1 sample" in shown[1].hint
    window.library.model.filter("faces")
    assert [row.title for row in rows(window)] == ["In the box", "vae-faces"]


def test_a_click_in_the_library_opens_the_model_in_the_panels_that_fit(window: StudioWindow) -> None:
    index = window.library.model.index(1)
    place = window.library.view.visualRect(index).center()
    QTest.mouseClick(window.library.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    tabs = [window.centre.tabs.tabText(n) for n in range(window.centre.tabs.count())]
    assert {"Latent space", "Reconstruct", "Samples"} <= set(tabs)
    assert window.centre.identity.text() == "VAE · 16 latents · step 20,000 · test −ELBO 102.4 ± 0.3 nats"
    assert window.studio.selection == "zoo:vae-digits"


def test_undo_goes_back_to_the_model_the_panel_and_the_state_of_the_gesture(window: StudioWindow) -> None:
    window.open("zoo:vae-digits", "samples")
    turn(window)
    panel = panel_of(window)
    assert isinstance(panel, SamplesPanel)
    seed = next(b for b in panel.findChildren(QAbstractButton) if b.text() == "New seed")
    seed.click()
    seed.click()
    window.open("zoo:vae-faces", "reconstruct")
    assert panel.state()["seed"] == 2
    window.undo()
    assert window.studio.selection == "zoo:vae-digits" and panel_of(window) is panel
    assert panel.state()["seed"] == 1
    window.undo()
    assert panel.state()["seed"] == 0
    window.redo()
    window.redo()
    assert panel.state()["seed"] == 2


def test_the_time_machine_moves_every_panel_of_the_model_and_lets_it_come_back(window: StudioWindow) -> None:
    window.open(RUN.key, "samples")
    window.open(RUN.key, "reconstruct")
    turn(window)
    assert window.centre.time_machine.isVisible()
    window.centre.time_machine.scrubber.step_changed.emit(64)
    hosts = window.centre.hosts.of_model(RUN.key)
    assert {host.panel.card.key for host in hosts} == {f"{RUN.key}@64"} and len(hosts) == 2
    assert "step 64" in window.centre.identity.text()
    assert panel_of(window).shown().model == f"{RUN.key}@64"
    newest = next(b for b in window.centre.time_machine.findChildren(QAbstractButton) if b.text() == "Newest")
    newest.click()
    assert {host.panel.card.key for host in hosts} == {RUN.key}
    window.open("zoo:vae-digits")
    assert not window.centre.time_machine.isVisible(), "no snapshots, no strip"


def test_fork_here_opens_the_form_with_the_parent_and_its_settings(window: StudioWindow) -> None:
    window.open(RUN.key, "samples")
    window.centre.time_machine.fork_wanted.emit(128)
    form = window.findChild(newrun.NewRun)
    assert form is not None and form.windowTitle() == "Fork a run"
    form._go()
    (job,) = window.bridge.engine.jobs()
    assert job.ticket.request.parent == f"{RUN.key}@128" and job.ticket.request.config["latent"] == 16
    assert window.studio.selection == f"run:{job.ticket.request.run}", "the new run is looked at from its first step"


def test_a_torn_off_panel_keeps_its_place_and_is_put_back_by_its_cross(window: StudioWindow) -> None:
    window.open("zoo:vae-digits", "samples")
    turn(window)
    panel = panel_of(window)
    panel.restore({"seed": 5})
    window.centre.tabs.tear_off_wanted.emit(window.centre.tabs.currentIndex())
    (dock,) = window.docks.all()
    assert dock.isFloating() and dock.widget() is panel and panel.isVisible()
    window.open("zoo:vae-faces")
    assert panel.isVisible(), "it stays with its model while another one is looked at"
    dock.close()
    assert window.docks.all() == []
    window.open("zoo:vae-digits", "samples")
    assert panel_of(window) is panel and panel.isVisible() and panel.state()["seed"] == 5


def test_what_runs_is_shown_with_progress_and_can_be_paused_and_stopped(window: StudioWindow, tmp_path: Path) -> None:
    request = requests.Train(str(tmp_path / "run 15"), "vae", "mnist5k", name="run 15")
    window.start_run(request, model(f"run:{request.run}", live=True, step=0))
    pass_time(5)
    window.bridge.engine.pump(60)
    window.status.refresh()
    window.refresh_library()
    running = next(row for row in rows(window) if row.title == "run 15")
    assert running.share is not None and running.card is not None and running.card.step > 0
    pause, stop = (b for b in window.status.findChildren(QAbstractButton) if b.text() in ("Pause", "Stop"))
    pause.click()
    assert window.bridge.engine.jobs()[0].state == "paused" and pause.text() == "Continue"
    stop.click()
    window.bridge.engine.pump(5)
    assert window.bridge.engine.jobs()[0].state == "stopped"
    window.status.refresh()
    assert not pause.isVisible()


def test_a_failed_job_says_so_and_can_be_started_again_from_the_list(window: StudioWindow) -> None:
    window.bridge.engine.submit(requests.OpenModel("/tmp/none.txt"), "Look at none.txt")
    window.bridge.engine.pump()
    window.show_queue()
    (line,) = window.queue._lines.values()
    again = next(b for b in line.findChildren(QAbstractButton) if b.accessibleName() == "Start again")
    assert not again.isHidden() and line._words.text() == "none.txt is not a checkpoint."
    again.click()
    window.queue.refresh()
    states: list[Job] = window.bridge.engine.jobs()
    assert [job.state for job in states] == ["waiting"]
    window.queue.hide()


def test_the_palette_finds_models_panels_data_and_actions_by_typing(window: StudioWindow) -> None:
    field = window.top.search
    field.setFocus(Qt.FocusReason.ShortcutFocusReason)
    if not window.palette_list.isVisible():  # no window manager, no focus
        window.palette_list.open()
    assert "New run" in window.palette_list.titles()
    QTest.keyClicks(field, "faces")
    assert window.palette_list.titles()[0] == "vae-faces"
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert window.studio.selection == "zoo:vae-faces" and window.palette_list.isHidden() and field.text() == ""


def test_a_dropped_file_is_opened_or_refused_in_one_sentence(window: StudioWindow, tmp_path: Path) -> None:
    def drop(path: Path) -> None:
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        none, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
        event = QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, left, none, QEvent.Type.Drop)
        window.dropEvent(event)
        turn(window)

    for name, said in (
        ("notes.txt", "neither a model"),
        ("weights.pt", "not opened yet, only .safetensors"),
        ("arrays.npz", "arrays.npz can be trained on."),
        ("seven.png", "seven.png is a picture"),
    ):
        (tmp_path / name).write_bytes(b"\x00\x01")
        drop(tmp_path / name)
        assert said in window.toast.words(), (name, window.toast.words())
    drop(tmp_path / "gone.safetensors")
    assert "gone.safetensors is not there any more." in window.toast.words()


def test_an_exported_picture_dropped_on_the_window_restores_the_state_it_shows(
    window: StudioWindow, tmp_path: Path
) -> None:
    from dgm_studio.core import recipes

    asked = requests.SamplePrior("zoo:vae-faces", 16, 42, 0.5)
    picture = tmp_path / "faces.png"
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
    png += b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
    kept = recipes.Recipe(request=requests.to_json(asked), model="zoo:vae-faces")
    picture.write_bytes(recipes.embed(png, ".png", kept))
    assert drops.kind_of(picture) is drops.Kind.RECIPE
    drops.open_paths(window, [str(picture)])
    panel = panel_of(window)
    assert panel.shown() == asked and window.studio.selection == "zoo:vae-faces"


def test_bookmarks_bring_back_the_place_and_carry_a_picture(window: StudioWindow) -> None:
    window.open("zoo:vae-digits", "samples")
    turn(window)
    panel_of(window).restore({"seed": 3})
    window.actions_by_name["Keep this place"].trigger()
    (kept,) = window.studio.bookmarks
    assert kept.picture.startswith(b"\x89PNG") and kept.state["seed"] == 3
    panel_of(window).restore({"seed": 8})
    window.home()
    window.open(kept.key, kept.panel, kept.state)
    assert panel_of(window).state()["seed"] == 3


def test_the_session_comes_back_with_models_tabs_states_and_docks(
    window: StudioWindow, adopt: Callable[[QWidget], QWidget], tmp_path: Path
) -> None:
    window.open("zoo:vae-faces", "samples")
    turn(window)
    window.open("zoo:vae-digits", "samples")
    turn(window)
    panel_of(window).restore({"seed": 11, "count": 16})
    window.centre.tabs.tear_off_wanted.emit(window.centre.tabs.currentIndex())
    session.write(window)
    data = json.loads((tmp_path / "session.json").read_text())
    assert data["clean"] is False
    again = studio_window(tmp_path, runs=(RUN,))
    adopt(again)
    again.show()
    again.studio.restore(data["studio"])
    session.restore(again, data)
    assert set(again.studio.cards) == {"zoo:vae-faces", "zoo:vae-digits"}
    assert again.studio.selection == "zoo:vae-digits"
    (dock,) = again.docks.all()
    assert dock.host.panel.state()["seed"] == 11 and dock.host.panel.isVisible()
    again.close()
    assert json.loads((tmp_path / "session.json").read_text())["clean"] is True


def test_deleting_a_run_moves_it_to_the_trash_and_undo_brings_it_back(window: StudioWindow, tmp_path: Path) -> None:
    folder = tmp_path / "run 9"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    card = model(f"run:{folder}")
    window.studio.add(card)
    menus.delete(window, card)
    assert not folder.exists() and card.key not in window.studio.cards
    window.toast.acted.emit()
    assert (folder / "run.json").read_text() == "{}"
    menus.delete(window, model("zoo:vae-digits"))
    assert "Only runs" in window.toast.words()


def test_the_trash_says_what_it_holds_and_is_emptied_only_after_a_question(
    window: StudioWindow, tmp_path: Path, studio_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(choosing, "ask_yes", lambda *arguments: asked.append(arguments))
    assert window.library.trash.isHidden()
    for number in range(3):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        (folder / "run.json").write_bytes(b" " * 1_000_000)
        window.studio.add(model(f"run:{folder}"))
        menus.delete(window, model(f"run:{folder}"))
    assert not window.library.trash.isHidden() and window.library.trash.text() == "3 deleted runs, 3.0 MB"
    titles = [command.title for command in menus.commands(window) if command.icon == "trash"]
    assert titles == ["Bring back run-2", "Bring back run-1", "Bring back run-0", "Empty the trash"]
    trash.bring_back(window, core_trash.contents()[1])
    assert window.library.trash.text() == "2 deleted runs, 2.0 MB"
    trash.ask_to_empty(window)
    assert len(core_trash.contents()) == 2 and "Delete 2 runs, 2.0\N{NO-BREAK SPACE}MB, for good?" in asked[0][2]
    asked[0][3]()
    assert shots.wait_until(window.library.trash.isHidden, 10, quiet=0.0) and core_trash.contents() == ()
    assert window.toast.words() == "The trash is empty: 2.0 MB are free again."


def test_a_run_that_another_process_trains_is_not_deleted_under_its_hands(window: StudioWindow, tmp_path: Path) -> None:
    folder = tmp_path / "far"
    window.studio.add(model(f"run:{folder}"))
    with RunFolder(folder).lock():
        menus.delete(window, model(f"run:{folder}"))
        assert folder.is_dir() and "trained by another process" in window.toast.words()


def test_the_theme_and_the_scale_change_while_everything_is_open_and_nothing_is_clipped(window: StudioWindow) -> None:
    window.open("zoo:vae-digits", "samples")
    turn(window)
    for name, scale in (("light", 1.0), ("light", 2.0), ("dark", 1.5), ("dark", 3.0)):
        theme.use(name, scale)
        pass_time(30)
        for part in (window.top, window.status):
            for child in part.findChildren(QWidget):
                if child.isVisible():
                    assert child.geometry().right() <= part.width(), (name, scale, child)


def test_every_focusable_widget_of_the_window_has_a_name(window: StudioWindow) -> None:
    window.open("zoo:vae-digits", "samples")
    window.toggle_inspector()
    window.new_run()
    pass_time(50)
    nameless = []
    for widget in window.findChildren(QWidget):
        if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or not widget.isVisible():
            continue
        own = isinstance(widget, QLineEdit) and widget.parentWidget() is not None
        inner = own and widget.parentWidget().metaObject().className() in ("QSpinBox", "QComboBox")
        if not widget.accessibleName() and not inner and not (isinstance(widget, QAbstractButton) and widget.text()):
            nameless.append(f"{type(widget).__name__} in {type(widget.parentWidget()).__name__}")
    assert nameless == []


CLOSE_WHILE_TRAINING = """
import sys, time
from pathlib import Path
from typing import Any
from PySide6.QtCore import QTimer
from dgm_studio import app
from dgm_studio.core import requests
from dgm_studio.core import trash as core_trash
from tests.gui import window_fakes as fakes

application = app.make_application()
program = app.Program(make_answer=lambda: fakes.answer)
program.show()

def train():
    request = requests.Train("/tmp/none/run", "vae", "mnist5k", name="run")
    program.window.start_run(request, fakes.model("run:/tmp/none/run", live=True))

def close():
    assert program.engine.jobs()[0].state == "running"
    print("closing", flush=True)
    program.window.close()

QTimer.singleShot(200, train)
QTimer.singleShot(900, {how})
application.exec()
print("left", flush=True)
sys.exit(program.end())
"""


@pytest.mark.parametrize("how", ["close", "lambda: print('closing', flush=True)"])
def test_closing_while_something_trains_ends_with_status_0_within_a_second(how: str, tmp_path: Path) -> None:
    script = CLOSE_WHILE_TRAINING.replace("{how}", how)
    by_signal = how != "close"
    if by_signal:
        script = script.replace("application.exec()", "with app._signals(program.window.close): application.exec()")
    home = tmp_path / "home"
    environment = {**os.environ, "DGM_STUDIO_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, cwd=Path.cwd()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "closing\n"
        since = time.monotonic()
        if by_signal:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        took = time.monotonic() - since
    assert took < 5, f"{took:.1f} s on a busy machine; the bench measures the one second"
    assert json.loads((home / "session" / "session.json").read_text())["clean"] is True


def test_the_compared_models_are_asked_the_same_and_stand_in_one_table(window: StudioWindow) -> None:
    window.studio.compare_toggle("zoo:vae-faces")
    window.open("zoo:vae-digits", "compare")
    turn(window)
    panel = panel_of(window)
    assert [card.key for card in panel.models()] == ["zoo:vae-digits", "zoo:vae-faces"]
    assert {(row.card.key, str(row.frame.state)) for row in panel._rows.values()} == {
        ("zoo:vae-digits", "ready"),
        ("zoo:vae-faces", "ready"),
    }
    window.top.chip_closed.emit("zoo:vae-faces")
    assert [card.key for card in panel.models()] == ["zoo:vae-digits"]


def test_a_shot_is_the_panel_alone_in_the_size_that_was_asked_for(window: StudioWindow, tmp_path: Path) -> None:
    window.bridge.engine.start()
    picture = tmp_path / "samples.png"
    shots.take(window, "samples", "zoo:vae-digits", picture, size=(900, 600), state={"seed": 4}, seconds=20)
    image = QImage(str(picture))
    ratio = window.devicePixelRatioF()
    assert (image.width(), image.height()) == (900 * ratio, 600 * ratio)
    assert panel_of(window).state()["seed"] == 4
    with pytest.raises(Problem, match="there is no panel nonsense"):
        shots.take(window, "nonsense", "zoo:vae-digits", picture, size=(900, 600), seconds=20)
    assert window.bridge.engine.close(2)
