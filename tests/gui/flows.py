"""The program on its real worker, a tiny trained run, and what a hand does with them."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio import app
from dgm_studio.core.requests import Train
from dgm_studio.gui import choosing, shots, theme, writing
from dgm_studio.gui.panels.latent import LatentPanel
from dgm_studio.gui.shots import pass_time, wait_until
from dgm_studio.gui.widgets.pictureview import PictureView
from dgm_studio.gui.window import StudioWindow

CONFIG = {"latent": 4, "network": "mlp", "hidden": 16}
TRAINING = {"steps": 40, "batch": 32, "valid_every": 20, "save_every": 20, "snapshot_every": 10, "warmup": 2}


@pytest.fixture(scope="session")
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


def bytes_of(view: PictureView) -> bytes:
    image = view.image()
    return bytes(image.constBits()) if image is not None else b""


def apart(one: QImage, other: QImage) -> float:
    """The part of all pixels that differ."""
    assert one.size() == other.size()
    pixels = [np.frombuffer(bytes(image.constBits()), np.uint32) for image in (one, other)]
    return float(np.mean(pixels[0] != pixels[1]))


def export_to(window: StudioWindow, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Export what is in front, as with the mouse; the dialog answers with this path."""
    monkeypatch.setattr(choosing, "save_file", lambda *asked: asked[-1](str(path), ""))
    writing.export_current(window)
    finish_jobs(window)
    assert path.exists(), window.toast.words()
