"""The whole program: what it does at start after a crash, and with errors nobody foresaw."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio import app
from dgm_studio.gui import theme
from dgm_studio.gui.shots import pass_time, wait_until
from tests.gui.window_fakes import answer

Start = Callable[[], app.Program]


@pytest.fixture
def start(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> Iterator[Start]:
    theme.use("dark", 1.0)
    hook, programs = sys.excepthook, []

    def begin() -> app.Program:
        program = app.Program(make_answer=lambda: answer)
        programs.append(program)
        adopt(program.window)
        program.show()
        assert wait_until(program.engine.warm.is_set, 10, quiet=0.0)
        pass_time(100)
        return program

    yield begin
    for program in programs:
        program.window.close()
        program.end()
        program.deleteLater()
    sys.excepthook = hook
    theme.use("dark", 1.0)


def journal(home: Path, **values: Any) -> Path:
    path = home / "session" / "session.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"version": 1, "clean": True, "studio": {}} | values))
    return path


def test_after_a_crash_the_program_comes_back_dressed_as_it_was_and_names_what_is_gone(
    start: Start, studio_home: Path
) -> None:
    studio = {"keys": ["/gone/old.safetensors"], "recent": ["/gone/old.safetensors"], "states": {}}
    journal(studio_home, clean=False, theme="light", scale=1.5, library=False, studio=studio)
    program = start()
    assert (theme.current().name, theme.current().scale) == ("light", 1.5)
    assert program.window.library.isHidden()
    assert program.window.studio.recent == ["/gone/old.safetensors"]
    assert "ended unexpectedly" in program.window.toast.words()


def test_a_broken_session_starts_fresh_keeps_the_file_and_says_so(start: Start, studio_home: Path) -> None:
    path = journal(studio_home)
    path.write_bytes(b'{"version": 1, "stud')
    program = start()
    assert "session.bad-1.json" in program.window.toast.words()
    assert (path.parent / "session.bad-1.json").read_bytes() == b'{"version": 1, "stud'


def test_an_unforeseen_error_in_a_slot_is_told_and_logged_and_the_window_lives_on(
    start: Start, studio_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app.keep_log(studio_home / "dgm-studio.log")
    program = start()

    def broken() -> None:
        raise ZeroDivisionError("a slot that fails")

    QTimer.singleShot(0, broken)
    pass_time(50)
    assert "ZeroDivisionError: a slot that fails" in program.window.toast.words()
    assert "a slot that fails" in (studio_home / "dgm-studio.log").read_text()
    program.window.toggle_theme()
    assert program.window.isVisible()
    for handler in list(app.log.handlers):
        app.log.removeHandler(handler)
        handler.close()
