"""Pictures, figures and recipes from a terminal: the same requests as in the window."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgm_studio.cli import main
from dgm_studio.core.recipes import read_recipe
from dgm_studio.core.requests import FollowPath, SamplePrior, TraverseLatents


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that was trained for a moment."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    small = ["--set", "network=mlp", "--set", "hidden=16", "--set", "latent=3", "--set", "batch=32"]
    assert main(["train", "vae", "--data", "digits8", *small, "--steps", "20", "--out", str(folder)]) == 0
    return folder


def test_samples_are_written_with_a_recipe_that_makes_them_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "samples.png"
    assert main(["sample", str(run), "--count", "12", "--seed", "4", "--scale", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    found = read_recipe(out)
    assert found is not None
    asked = found.asked()
    assert isinstance(asked, SamplePrior)
    assert (asked.count, asked.seed, found.scale) == (12, 4, 3)
    assert main(["recipe", str(out), "--python"]) == 0
    script, again = tmp_path / "again.py", tmp_path / "again.png"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(script), str(again)])
    runpy.run_path(str(script))
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(again)))


def test_a_recipe_is_told_in_words_and_as_json(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "some.webp"
    assert main(["reconstruct", str(run), "--count", "4", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(out)
    assert main(["recipe", str(out)]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (told["ask"], told["count"]) == ("Reconstruct", "4")
    assert main(["recipe", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["request"]["split"] == "test"
    bare = tmp_path / "bare.png"
    Image.new("L", (4, 4)).save(bare)
    assert main(["recipe", str(bare)]) == 1
    assert "carries no recipe" in capsys.readouterr().err


def test_film_strips_show_the_latents_that_were_named_and_else_those_that_are_used_most(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "strips.gif"
    assert main(["traverse", str(run), "--latents", "2,0", "--count", "5", "--reach", "2", "--out", str(out)]) == 0
    found = read_recipe(out)
    assert found is not None
    asked = found.asked()
    assert isinstance(asked, TraverseLatents)
    assert (asked.names, asked.directions) == (("z02", "z00"), ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)))
    assert getattr(Image.open(out), "n_frames", 1) == 8  # there and back, the ends once
    assert main(["traverse", str(run), "--out", str(tmp_path / "all.npz")]) == 0
    with np.load(tmp_path / "all.npz") as file:
        assert len(file["traversals/pictures" if "traversals/pictures" in file else "pictures"]) == 3
    assert main(["traverse", str(run), "--latents", "7", "--out", str(out)]) == 1
    assert main(["traverse", str(run), "--latents", "a", "--out", str(out)]) == 1
    assert "0 to 2" in (said := capsys.readouterr().err) and "whole numbers" in said


@pytest.mark.parametrize("anchors", [["--seeds", "3,1"], ["--examples", "0,7"]])
def test_a_path_runs_from_its_first_anchor_to_its_last(run: Path, tmp_path: Path, anchors: list[str]) -> None:
    out = tmp_path / "path.gif"
    assert main(["interpolate", str(run), *anchors, "--count", "6", "--kind", "spherical", "--out", str(out)]) == 0
    found = read_recipe(out)
    assert found is not None
    asked = found.asked()
    assert isinstance(asked, FollowPath)
    assert (len(asked.anchors), asked.kind, asked.count) == (2, "spherical", 6)
    assert asked.anchors[0] != asked.anchors[1]


def test_a_file_of_no_known_kind_is_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(run), "--out", str(tmp_path / "samples.tiff"), "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and ".png" in said.err
    assert not (tmp_path / "samples.tiff").exists()


def test_figures_repeat_and_stand_beside_those_in_the_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["eval", str(run), "--split", "valid", "--samples", "5", "--count", "40", "--json"]
    assert main(ask) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(ask) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["request"]["samples"] == 5
    bound, elbo = first["metrics"]["iwae"]["value"], first["metrics"]["nelbo"]["value"]
    assert bound < elbo + 3 * first["metrics"]["nelbo"]["error"]
    assert first["stored"]["nelbo"]["split"] == "valid"
    assert main(ask[:-1]) == 0
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split() == ["figure", "computed", "stored"]
    assert {line.split()[0] for line in lines} == set(first["metrics"])


def test_curves_are_written_for_spreadsheets_and_for_tensorboard(run: Path, tmp_path: Path) -> None:
    table, folder = tmp_path / "curves.csv", tmp_path / "events"
    assert main(["export-metrics", str(run), "--out", str(table)]) == 0
    heads = table.read_text("utf-8").splitlines()[0]
    assert "step" in heads and "train/elbo" in heads
    assert main(["export-metrics", str(run), "--out", str(folder)]) == 0
    (events,) = folder.iterdir()
    assert events.name.startswith("events.out.tfevents.") and b"train/elbo" in events.read_bytes()
