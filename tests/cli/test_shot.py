"""A panel as a picture, from a script, without a screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dgm_studio.core.requests import Train
from dgm_studio.training.loop import Session
from tests.cli.test_cli import start

BLIND = {name: "" for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("trained") / "run"
    small = {"network": "mlp", "hidden": 16, "latent": 3}
    for _ in Session(Train(str(run), "vae", "digits8", small, {"steps": 20})).updates():
        pass
    return f"run:{run}"


def test_a_panel_is_painted_at_the_size_and_scale_that_were_asked_for(model: str, tmp_path: Path) -> None:
    out = tmp_path / "latent.png"
    asked = ["--checkpoint", model, "--out", str(out), "--size", "900x620", "--scale", "2", "--theme", "light"]
    made = start("shot", "latent", *asked, "--json", **BLIND)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"path": str(out)}
    assert made.stderr == "", "nothing of what Qt says without a screen"
    picture = Image.open(out).convert("L")
    assert picture.size == (1800, 1240)
    darkest, lightest = picture.getextrema()
    assert lightest > 230 and darkest < 80  # a light ground with ink on it
    assert sum(picture.histogram()[200:]) > 0.5 * 1800 * 1240


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["latnt", "--checkpoint", "MODEL", "--out", "x.png"], "there is no panel latnt"),
        (["latent", "--checkpoint", "none.safetensors", "--out", "x.png"], "none.safetensors"),
        (["latent", "--checkpoint", "MODEL", "--out", "x.png", "--size", "large"], "large is not a size"),
        (["latent", "--checkpoint", "MODEL", "--out", "x.png", "--state", "x.json"], "x.json"),
    ],
)
def test_what_cannot_be_painted_is_one_line_and_status_one(
    arguments: list[str], words: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = start("shot", *(model if each == "MODEL" else each for each in arguments), **BLIND)
    assert said.returncode == 1
    assert words in said.stderr.splitlines()[-1]
    assert said.stdout == ""


def test_only_the_message_that_means_nothing_is_kept_from_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    from PySide6.QtCore import qWarning

    from dgm_studio.gui.shots import NOISE, without_noise

    with without_noise():
        qWarning(NOISE)
        qWarning("something that matters")
    assert capsys.readouterr().err == "something that matters\n"
