"""Denoising from a terminal: films, races and orders, as the window has them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgm_studio.cli import denoising, main
from dgm_studio.core.recipes import read_recipe
from dgm_studio.core.requests import PlayDenoising, Sampling
from dgm_studio.core.requests.denoising import CLIPS, SAMPLERS, SPACINGS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models that were trained for a moment: of pictures with labels, and of points."""
    folder, found = tmp_path_factory.mktemp("trained"), {}
    for system, data in (("ddpm", "digits8"), ("edm", "eight-gaussians")):
        out = found[data] = str(folder / data)
        small = ["--set", "width=8", "--set", "hidden=16", "--set", "batch=16"]
        assert main(["train", system, "--data", data, *small, "--steps", "10", "--out", out]) == 0
    return found


def test_the_choices_of_the_options_are_those_of_the_requests() -> None:
    assert tuple(SAMPLERS) == denoising.SAMPLERS and tuple(CLIPS) == denoising.CLIPS
    assert {*denoising.SPACINGS, "own"} == set(SPACINGS)


def test_a_film_is_written_with_a_recipe_that_makes_it_again(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "film.gif"
    ask = ["denoise", runs["digits8"], "--steps", "4", "--sampler", "dpmpp-2m", "--count", "3", "--seed", "2"]
    ask += ["--set", "digit=3", "--guidance", "2", "--keep", "left", "--index", "5", "--out", str(out)]
    assert main(ask) == 0 and capsys.readouterr().out == f"{out}\n"
    found = read_recipe(out)
    assert found is not None
    asked = found.asked()
    assert isinstance(asked, PlayDenoising)
    assert asked.sampling == Sampling("dpmpp-2m", 4, guidance=2.0)
    assert asked.condition == {"digit": 3} and asked.beginning.mask[0] == (1, 1, 1, 1, 0, 0, 0, 0)
    assert main(["recipe", str(out), "--python"]) == 0
    script, again = tmp_path / "again.py", tmp_path / "again.gif"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(script), str(again)])
    runpy.run_path(str(script))
    with Image.open(out) as one, Image.open(again) as other:
        assert np.array_equal(np.asarray(one.convert("RGB")), np.asarray(other.convert("RGB")))


def test_points_have_films_and_contact_sheets_too(runs: dict[str, str], tmp_path: Path) -> None:
    for ending in (".png", ".webp", ".npz"):
        out = tmp_path / f"points{ending}"
        assert main(["denoise", runs["eight-gaussians"], "--steps", "3", "--count", "40", "--out", str(out)]) == 0
    with np.load(tmp_path / "points.npz") as file:
        assert file["step/3/x"].shape == (40, 2) and read_recipe(tmp_path / "points.npz") is not None
    assert main(["sample", runs["eight-gaussians"], "--count", "50", "--out", str(tmp_path / "samples.png")]) == 0


def test_what_nobody_has_asked_for_is_enough_to_show_something(runs: dict[str, str], tmp_path: Path) -> None:
    found = {}
    for name, words in (("eight-gaussians", []), ("digits8", ["--from", "picture"])):
        out = tmp_path / f"{name}.npz"
        assert main(["denoise", runs[name], "--steps", "3", *words, "--out", str(out)]) == 0
        recipe = read_recipe(out)
        assert recipe is not None
        found[name] = recipe.asked()
    assert found["eight-gaussians"].count == 256 and found["eight-gaussians"].beginning.depth == 1.0
    assert found["digits8"].count == 8 and found["digits8"].beginning.depth == 0.6


def test_a_race_is_a_table_and_a_document(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["race", runs["eight-gaussians"], "--samplers", "ddpm,ddim,heun", "--evaluations", "5", "--count", "4"]
    assert main([*ask, "--exact", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [lane["evaluations"] for lane in told["lanes"]] == [5, 5, 5] * 2
    assert [lane["error"] is None for lane in told["lanes"]] == [True, False, False] * 2
    assert main(ask) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["sampler", "steps", "evaluations", "seconds", "error"] and "draws noise" in lines[1]
    assert main([*ask, "--orders", "--truth", "gaussian", "--json"]) == 0
    orders = {c["sampler"]: c["order"] for c in json.loads(capsys.readouterr().out)["curves"]}
    assert orders == {"ddim": pytest.approx(1, abs=0.2), "heun": pytest.approx(2, abs=0.2)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["race", "digits8", "--samplers", "euler-flow"], "cannot be used"),
        (["race", "digits8", "--exact"], "not known"),
        (["denoise", "digits8", "--out", "film.tiff"], ".gif"),
        (["denoise", "digits8", "--out", "film.gif", "--set", "digit=ten"], "digit cannot be ten"),
        (["denoise", "eight-gaussians", "--out", "film.gif", "--keep", "left"], "Only of a picture"),
        (["denoise", "eight-gaussians", "--out", "film.gif", "--set", "digit=3"], "no modality digit"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    asked = [runs.get(word, word) if word != "film.gif" else str(tmp_path / word) for word in words]
    assert main(asked) == 1
    told = capsys.readouterr()
    assert told.out == "" and said in told.err and len(told.err.splitlines()) == 1


def test_usage_errors_have_a_status_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["denoise", "x"],
        ["race", "x", "--truth", "guess"],
        ["denoise", "x", "--out", "y", "--sampler", "z"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    capsys.readouterr()
