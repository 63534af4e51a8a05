"""Exported files: their pixels, their recipes, and the script that makes them again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from dgm_studio.core import pictures, recipes
from dgm_studio.core.requests import (
    DecodeLatent,
    DecodeTiles,
    DescribeLatents,
    DrawMap,
    Export,
    FollowPath,
    ListSystems,
    Reconstruct,
    SamplePrior,
    TraverseLatents,
    to_json,
)
from dgm_studio.core.updates import Problem
from dgm_studio.explore import exports
from dgm_studio.explore.workbench import Workbench

from .conftest import frame, result
from .test_workbench import save_tiny

STRIPS = TraverseLatents("linear", (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)), ("a", "b"), count=5)
LOOP = FollowPath("linear", ((0.0, 0.0), (1.0, 1.0), (2.0, 0.0)), count=9, closed=True)
OPEN = FollowPath("linear", ((0.0, 0.0), (2.0, 1.0)), count=9)


def exported(bench: Workbench, asked: Any, path: Path, **settings: Any) -> Path:
    return Path(result(bench.answer(Export(to_json(asked), str(path), **settings))))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_exported_picture_is_ink_on_the_themes_paper(bench: Workbench, tmp_path: Path, theme: str) -> None:
    asked = DecodeLatent("linear", (0.5, -1.0))
    path = exported(bench, asked, tmp_path / "one.png", scale=3, theme=theme)
    grey = frame(bench.answer(asked), "decoded")["picture"]
    wanted = pictures.on_paper(pictures.enlarge(grey[None], 3), theme)[0]
    assert np.array_equal(np.asarray(Image.open(path)), wanted)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (SamplePrior("vae", 9), (3 * 10 - 2, 3 * 10 - 2)),
        (STRIPS, (5 * 10 - 2, 2 * 10 - 2)),
        (Reconstruct("vae", count=11), (8 * 10 - 2, 4 * 10 - 2)),
        (OPEN, (9 * 10 - 2, 8)),
        (DecodeTiles("linear", (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), 0, ((0, 0), (2, 1))), (48, 32)),
        (DrawMap("linear", (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), 0, 4, 0, 2, columns=4), (32, 16)),
    ],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.parametrize("ending", [".png", ".gif", ".webp", ".mp4", ".npz"])
def test_every_format_carries_the_recipe(
    bench: Workbench, tmp_path: Path, asked: Any, size: tuple[int, int], ending: str
) -> None:
    path = exported(bench, asked, tmp_path / f"x{ending}", panel="latent", state={"z": [1, 2]}, theme="dark")
    found = recipes.read_recipe(path)
    assert found is not None and found.asked() == asked
    assert (found.panel, found.state, found.theme, found.model) == ("latent", {"z": [1, 2]}, "dark", asked.model)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending == ".png":
        assert Image.open(path).size == size


def test_a_film_of_an_open_path_runs_there_and_back_and_a_closed_one_round(bench: Workbench, tmp_path: Path) -> None:
    for asked, count in ((OPEN, 16), (LOOP, 8)):
        cells = frame(bench.answer(asked), "path")["pictures"]
        for ending in (".gif", ".webp"):
            path = exported(bench, asked, tmp_path / f"film{ending}", seconds=1.6, theme="light")
            with Image.open(path) as film:
                shots = [np.asarray(shot.convert("RGB")) for shot in ImageSequence.Iterator(film)]
                assert film.info["loop"] == 0
            assert len(shots) == count
            wanted = pictures.on_paper(cells, "light")
            for at, shot in enumerate(shots):
                assert np.array_equal(shot, wanted[at if at < 9 else 16 - at]), (ending, at)


def test_a_film_as_mp4_has_the_length_and_nearly_the_pixels_asked_for(bench: Workbench, tmp_path: Path) -> None:
    path = exported(bench, OPEN, tmp_path / "film.mp4", scale=5, seconds=2.0)
    with av.open(str(path)) as container:
        shots = [shot.to_ndarray(format="rgb24") for shot in container.decode(video=0)]
        assert float(container.duration) / av.time_base == pytest.approx(2.0, abs=0.1)
    wanted = pictures.on_paper(pictures.enlarge(frame(bench.answer(OPEN), "path")["pictures"], 5), "light")
    assert len(shots) == 16 and shots[0].shape == (40, 40, 3)
    assert np.abs(shots[4].astype(int) - wanted[4]).mean() < 6


def test_without_the_video_extra_a_film_names_it(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Problem, match=r"extra.*dgm-studio\[video\]"):
        exported(bench, OPEN, tmp_path / "film.mp4")


def test_arrays_come_back_as_they_were_shown(bench: Workbench, tmp_path: Path) -> None:
    asked = DescribeLatents("linear", count=40)
    path = exported(bench, asked, tmp_path / "latents.npz")
    shown = frame(bench.answer(asked), "latents")
    with np.load(path, allow_pickle=False) as found:
        assert np.array_equal(found["points"], shown["points"])
        assert np.array_equal(found["factors/digit"], shown["factors"]["digit"])
        assert b'"split": "valid"' in found["plain"].item()


def test_a_stopped_export_leaves_nothing_and_a_finished_one_replaces(bench: Workbench, tmp_path: Path) -> None:
    path = exported(bench, OPEN, tmp_path / "film.mp4")
    before = path.read_bytes()
    steps = bench.answer(Export(to_json(OPEN), str(path), scale=4))
    for update in steps:
        if getattr(update, "text", "") == "Writing the film":
            steps.close()  # type: ignore[attr-defined]
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(
    ("asked", "name", "settings"),
    [
        (OPEN, "x.exe", {}),
        (OPEN, "x.png", {"theme": "sepia"}),
        (OPEN, "x.png", {"scale": 0}),
        (OPEN, "x.gif", {"seconds": 0.0}),
        (ListSystems(), "x.png", {}),
        (DescribeLatents("linear"), "x.png", {}),
        (Export({}, ""), "x.png", {}),
        (DecodeLatent("linear", (1.0,)), "x.png", {}),
        (SamplePrior("linear", 2000), "x.png", {"scale": 64}),
    ],
)
def test_what_cannot_be_exported_is_a_problem_and_leaves_no_file(
    bench: Workbench, tmp_path: Path, asked: Any, name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(Problem):
        exported(bench, asked, tmp_path / name, **settings)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_problem(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="cannot be written"):
        exported(bench, OPEN, tmp_path / "file" / "x.png")


def test_a_film_of_many_colours_still_fits_a_gif() -> None:
    shots = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    data = exports.gif(shots, 1.0, recipes.recipe_of(None, None))
    assert data[:4] == b"GIF8"


def test_the_script_of_a_recipe_makes_the_same_pixels(bench: Workbench, tmp_path: Path) -> None:
    key = str(save_tiny(tmp_path / "tiny.safetensors"))
    first = exported(bench, SamplePrior(key, 20, seed=4), tmp_path / "a.png", scale=2, theme="dark")
    found = recipes.read_recipe(first)
    assert found is not None and len(found.sha256) == 64
    (tmp_path / "again.py").write_text(recipes.as_python(found))
    command = [sys.executable, "-W", "error::UserWarning", str(tmp_path / "again.py"), str(tmp_path / "b.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(tmp_path / "b.png")))
    assert recipes.read_recipe(tmp_path / "b.png") == recipes.Recipe(**{**vars(found), "panel": "", "state": {}})


def test_a_script_says_when_the_weights_are_others(tmp_path: Path) -> None:
    from dgm_studio import draw, save

    key = str(save_tiny(tmp_path / "tiny.safetensors"))
    with pytest.warns(UserWarning, match="not those"):
        save(SamplePrior(key, 2), tmp_path / "x.png", sha256="0" * 64)
    assert np.array_equal(draw(SamplePrior(key, 2)), np.asarray(Image.open(tmp_path / "x.png")))
