"""Training from a terminal: settings, stopping, going on, forking."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dgm_studio.cli import main
from dgm_studio.cli.talk import ProgressLine
from dgm_studio.core.manifest import model_card
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.updates import Progress

SMALL = ["--data", "digits8", "--set", "network=mlp", "--set", "hidden=16", "--set", "batch=32"]


def test_a_run_is_trained_and_its_card_is_the_only_thing_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    settings = ["--set", "beta=2", "--set", "learning_rate=1e-4"]
    assert main(["train", "vae", *SMALL, *settings, "--steps", "12", "--seed", "5", "--out", str(out), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["step"], card["steps"], card["seed"]) == (12, 12, 5)
    assert (card["config"]["beta"], card["config"]["hidden"], card["training"]["learning_rate"]) == (2.0, 16, 1e-4)
    assert card["metrics"]["nelbo"]["split"] == "valid"
    assert card["key"] == f"run:{out}"
    assert RunFolder(out).read()["state"] == "finished"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vae", *SMALL, "--set", "laten=3"], "Did you mean latent?"),
        (["vae", *SMALL, "--set", "learning_rat=3"], "Did you mean learning_rate?"),
        (["vae", *SMALL, "--set", "beta=-1"], "from 0 to 100"),
        (["vae", *SMALL, "--steps", "0"], "steps = 0 is out of range"),
        (["vea", *SMALL], "Did you mean vae?"),
        (["vae", "--data", "mnist"], "mnist5k"),
        (SMALL, "Say which system"),
        (["--resume"], "Say which"),
    ],
)
def test_what_cannot_be_trained_is_one_line_that_says_what_to_do(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments, *([] if arguments == ["--resume"] else ["--out", str(tmp_path / "run")])]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert words in line
    assert said.out == ""
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_is_gone_on_with_only_when_asked_and_then_may_be_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", "vae", *SMALL, "--steps", "4", *out]) == 0
    assert main(["train", "vae", *SMALL, "--steps", "4", *out]) == 1
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--resume", "--steps", "9", *out]) == 0
    assert model_card(f"run:{tmp_path / 'run'}").step == 9
    assert main(["train", "--resume", "--seed", "3", *out]) == 1
    assert main(["train", "--resume", "--out", str(tmp_path / "none")]) == 1


def test_a_fork_begins_at_its_parents_step_with_changed_settings(tmp_path: Path) -> None:
    assert main(["train", "vae", *SMALL, "--steps", "6", "--out", str(tmp_path / "run")]) == 0
    fork = ["--fork", f"{tmp_path / 'run'}@6", "--steps", "10", "--set", "beta=4", "--out", str(tmp_path / "fork")]
    assert main(["train", *fork]) == 0
    card = model_card(f"run:{tmp_path / 'fork'}")
    assert (card.step, card.config["beta"], card.parent) == (10, 4.0, f"run:{tmp_path / 'run'}@6")


RECIPE = """
system = "vae"
data = "digits8"
seed = 3
title = "Small digits"
[config]
network = "mlp"
hidden = 16
[training]
steps = 40
batch = 32
[evaluate]
split = "test"
samples = 5
"""


def test_a_recipe_is_trained_with_what_is_said_on_top_and_published_with_its_test_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgm_studio.training.recipes.resource", lambda *parts: tmp_path / "box")
    monkeypatch.setattr("dgm_studio.core.manifest.resource", lambda *parts: tmp_path.joinpath("box", *parts[1:]))
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    made = ["train", "--recipe", str(recipe), "--steps", "8", "--set", "latent=2", "--out", str(tmp_path / "run")]
    assert main([*made, "--publish", "small", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["key"], card["seed"], card["step"], card["latent"]) == ("zoo:small", 3, 8, 2)
    assert card["metrics"]["iwae"]["split"] == "test"
    assert main(["eval", "zoo:small", "--json"]) == 0  # as it was published: nothing has to be said
    again = json.loads(capsys.readouterr().out)
    assert again["metrics"]["iwae"]["value"] == pytest.approx(card["metrics"]["iwae"]["value"], rel=1e-6)
    assert main(["train", "vae", "--recipe", str(recipe), "--out", str(tmp_path / "other")]) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.slow
def test_an_interrupt_stops_and_saves_and_the_run_goes_on_from_there(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "dgm_studio", "train", "vae", *SMALL, "--steps", "1000000", "--out", str(out)]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not RunFolder(out).checkpoints() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Traceback" not in said
    card = json.loads(told)
    assert f"Stopped at step {card['step']:,} and saved." in said.splitlines()[-1]
    steps = card["step"] + 3
    assert main(["train", "--resume", "--steps", str(steps), "--out", str(out)]) == 0
    assert model_card(f"run:{out}").step == steps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_with_the_time_left_and_it_is_taken_away() -> None:
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.show(Progress(1, 4, "Step 1 of 4", 75.0), "valid/elbo -90.12")
    written = terminal.getvalue()
    assert written == "\r 25%  Step 1 of 4  valid/elbo -90.12  1:15 left"
    line.clear()
    assert terminal.getvalue()[len(written) :] == "\r" + " " * (len(written) - 1) + "\r"
