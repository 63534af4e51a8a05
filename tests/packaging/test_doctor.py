"""The doctor names what is wrong, and what is known to crash is refused before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dgm_studio import doctor

GOOD = {"torch": "2.13.0+cpu", "PySide6-Essentials": "6.11.3", "shiboken6": "6.11.3"}


def test_the_versions_that_are_installed_here_are_good() -> None:
    assert doctor.known_bad() == []


@pytest.mark.parametrize(
    ("changed", "python", "named"),
    [
        ({"PySide6-Essentials": "6.12.0", "shiboken6": "6.12.0"}, (3, 11), "PySide6 6.12.0 aborts on Python 3.11"),
        ({"PySide6-Essentials": "6.11.0", "shiboken6": "6.11.0"}, (3, 12), "PySide6 6.11.0 is a faulty release"),
        ({"PySide6-Essentials": "6.11.1", "shiboken6": "6.11.1"}, (3, 13), "PySide6 6.11.1 is a faulty release"),
        ({"shiboken6": "6.11.2"}, (3, 12), "must be of one release"),
        ({"torch": "2.10.1"}, (3, 12), "torch 2.10.1"),
        ({}, (3, 14), "Python 3.14"),
        ({}, (3, 10), "Python 3.10"),
    ],
)
def test_a_bad_version_is_refused_by_name(changed: dict[str, str], python: tuple[int, int], named: str) -> None:
    (reason,) = doctor.known_bad({**GOOD, **changed}.get, python)
    assert named in reason


@pytest.mark.parametrize("versions", [GOOD, {}, {**GOOD, "PySide6-Essentials": "6.12.0", "shiboken6": "6.12.0"}])
def test_good_versions_a_server_without_qt_and_the_crash_that_python_3_12_is_spared_are_not_refused(
    versions: dict[str, str],
) -> None:
    assert doctor.known_bad(versions.get, (3, 12)) == []


def test_five_thousand_signals_leave_the_process_alive() -> None:
    code = """
from PySide6.QtCore import QObject, Signal
class Bell(QObject):
    rung = Signal(bool)
heard = []
bell = Bell()
bell.rung.connect(heard.append)
for _ in range(5000):
    assert bell.rung.emit(True)
print(len(heard))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, "5000"), ran.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux leaves libraries to the distribution")
def test_a_missing_library_a_missing_program_and_a_missing_module_are_told_from_present_ones() -> None:
    present = [doctor.Need(what, "", "", "", "") for what in ("libc.so.6", "sh", "python:json")]
    absent = [doctor.Need(what, "", "", "", "") for what in ("libnone.so.9", "no-such-program", "python:no_such")]
    absent += [doctor.Need("dri/no_such_dri.so", "", "", "", "")]
    assert doctor.missing([*present, *absent]) == absent


def test_every_need_has_a_package_for_every_package_manager() -> None:
    for need in (*doctor.WINDOW_NEEDS, *doctor.TEST_NEEDS, *doctor.VENV_NEEDS):
        assert all(need), need
    line = doctor.install_line(doctor.WINDOW_NEEDS, "pacman", root=True)
    assert line.startswith("pacman -S --needed libglvnd libxkbcommon ")
    assert line.split().count("libglvnd") == 1  # brings both libGL and libEGL


def test_a_child_that_aborts_or_hangs_becomes_a_line_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ASK_QT", "import os; os.abort()")
    monkeypatch.setattr(doctor, "_ASK_TORCH", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "missing", lambda needs: [doctor.WINDOW_NEEDS[0]])
    monkeypatch.setattr(doctor, "manager", lambda: "dnf")
    monkeypatch.setattr(doctor, "is_root", lambda: False)
    found = doctor.report(timeout=0.5)
    text = doctor.as_text(found)
    assert "Qt does not start: ended with status -6" in text or sys.platform == "win32"
    assert "torch does not start: gave no answer within 0.5 s" in text
    assert "(libGL.so.1): sudo dnf install -y libglvnd-glx" in text


def test_the_doctor_imports_nothing_but_the_standard_library() -> None:
    code = "import sys, dgm_studio.doctor; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=_checkout())
    foreign = set(ran.stdout.split()) - set(sys.stdlib_module_names) - {"dgm_studio", "__main__"}
    assert ran.returncode == 0, ran.stderr
    assert not foreign


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]
