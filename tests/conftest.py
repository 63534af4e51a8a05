"""What every test stands on: a home of its own, one thread, shapes enforced, no network, no widget left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import jaxtyping
import pytest

from tests import shapes

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication, QWidget

# Before anything imports torch: results on two cores and on twenty are then the same, and tests do not fight for cores.
for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

SHAPED_ROOMS = [f"dgm_studio.{room}" for room in ("data", "models", "training", "checkpoints", "rendering", "explore")]
sys.modules["dgm_studio_shapes"] = shapes  # pytest makes `tests` anew while collecting; the hook needs a lasting name
jaxtyping.install_import_hook(SHAPED_ROOMS, "dgm_studio_shapes.checked")

# A busy machine is no bug, and a test that fails must fail again for whoever looks.
hypothesis.settings.register_profile("studio", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("studio")


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):  # a path is a local socket: X11, D-Bus
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        raise RuntimeError(f"a test tried to reach {host}: DGM Studio works offline, and so do its tests")


sys.addaudithook(_refuse_the_network)


@pytest.fixture(autouse=True)
def studio_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program keeps runs and sessions during this test: an empty folder of its own."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("DGM_STUDIO_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def qapp() -> Iterator[QApplication]:
    """The one QApplication of the session, set up as the program sets up its own."""
    from PySide6.QtCore import QCoreApplication, QStandardPaths, Qt
    from PySide6.QtWidgets import QApplication

    QStandardPaths.setTestModeEnabled(True)
    # without it a floated dock with a vispy canvas in it loses its contents
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    application = QApplication.instance() or QApplication(["dgm-studio-tests"])
    assert isinstance(application, QApplication)
    application.setQuitOnLastWindowClosed(False)
    yield application
    application.processEvents()


@pytest.fixture
def adopt(qapp: QApplication) -> Iterator[Callable[[QWidget], QWidget]]:
    """`adopt(widget)` closes and deletes a top-level widget at the end of the test."""
    children: list[QWidget] = []

    def take(widget: QWidget) -> QWidget:
        children.append(widget)
        return widget

    yield take
    for widget in children:
        widget.close()
        widget.deleteLater()


@pytest.fixture(autouse=True)
def nothing_left_alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test with a `qapp` after which more top-level widgets live than before."""
    if "qapp" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("qapp")
    before = {
        id(widget): widget for widget in _top_level()
    }  # kept alive here: an id is one object's only while it lives
    yield
    left = [widget for widget in _top_level() if id(widget) not in before]
    names = [f"{type(widget).__name__} {widget.objectName()!r}" for widget in left]
    for widget in left:  # so that one leak fails one test
        widget.hide()
        widget.deleteLater()
    assert not names, f"top-level widgets left alive: {', '.join(names)}; close and delete them (fixture adopt)"


def _top_level() -> list[QWidget]:
    import gc

    from PySide6.QtCore import QCoreApplication, QEvent
    from PySide6.QtWidgets import QApplication

    def alive() -> list[QWidget]:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        return [each for each in QApplication.topLevelWidgets() if each.metaObject().className() != "QTipLabel"]

    if alive():
        gc.collect()  # widgets in reference cycles; costs 0.2 s with torch loaded, so only when it may help
    return alive()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say below the tests, where eyes are, which of bootstrap's other checks failed above them."""
    failed = os.environ.get("DGM_STUDIO_FAILED_CHECKS")
    if failed:
        terminalreporter.section("failed before the tests")
        terminalreporter.write_line(f"{failed} (see above); the exit status is 1 even if every test passes", red=True)
