"""Draws, reconstructions, encodings, neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_studio.core.manifest import zoo_names
from dgm_studio.core.requests import (
    DecodeLatent,
    EncodePicture,
    FindNeighbours,
    OpenData,
    Reconstruct,
    SamplePrior,
    ShowThumbnail,
)
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry
from dgm_studio.explore.workbench import Workbench

from .conftest import Linear, frame, result


def test_a_seed_fixes_the_samples_and_truncation_scales_them(bench: Workbench) -> None:
    first = frame(bench.answer(SamplePrior("vae", 40, seed=5)), "samples")
    again = frame(bench.answer(SamplePrior("vae", 40, seed=5)), "samples")
    narrow = frame(bench.answer(SamplePrior("vae", 40, seed=5, truncation=0.5)), "samples")
    other = frame(bench.answer(SamplePrior("vae", 40, seed=6)), "samples")
    assert np.array_equal(first["pictures"], again["pictures"]) and first["pictures"].shape == (40, 8, 8)
    assert np.allclose(narrow["z"], 0.5 * first["z"], atol=1e-6)
    assert not np.array_equal(first["z"], other["z"])


def test_samples_grow_slice_by_slice(bench: Workbench) -> None:
    sizes = [len(u.data["pictures"]) for u in bench.answer(SamplePrior("vae", 80)) if isinstance(u, Frame)]
    assert sizes == sorted(sizes) and sizes[-1] == 80 and len(sizes) > 1


def test_reconstructions_stand_beside_their_originals(bench: Workbench) -> None:
    data = frame(bench.answer(Reconstruct("vae", "test", count=40, start=3)), "reconstructions")
    part = registry.load("digits8").split("test")
    assert np.array_equal(data["originals"], part.picture(torch.arange(3, 43)))
    assert data["labels"] == [str(int(k)) for k in part.factors["digit"][3:43]]
    assert data["bound"].shape == (40,) and (data["bound"] < 0).all()
    assert list(data["indices"]) == list(range(3, 43))


def test_a_split_has_an_end_and_says_so(bench: Workbench) -> None:
    with pytest.raises(Problem, match="has examples 0 to"):
        list(bench.answer(Reconstruct("vae", "test", start=10**6)))
    with pytest.raises(Problem, match="no split"):
        list(bench.answer(Reconstruct("vae", "tests")))


def test_an_example_and_the_same_picture_drawn_have_one_posterior(bench: Workbench) -> None:
    part = registry.load("digits8").split("valid")
    drawn = tuple(tuple(int(v) for v in row) for row in part.picture(torch.tensor([4]))[0])
    example = frame(bench.answer(EncodePicture("vae", index=4)), "posterior")
    picture = frame(bench.answer(EncodePicture("vae", picture=drawn)), "posterior")
    assert np.allclose(example["mean"], picture["mean"], atol=1e-6)
    assert np.array_equal(example["picture"], np.array(drawn))
    assert example["kl"] == pytest.approx(float(example["kl_per_dim"].sum()), rel=1e-5)
    assert example["reconstruction"].shape == (8, 8)


def test_a_large_drawing_is_resized_by_area(bench: Workbench) -> None:
    drawn = np.zeros((32, 32), int)
    drawn[:16] = 255
    seen = frame(bench.answer(EncodePicture("vae", picture=tuple(map(tuple, drawn.tolist())))), "posterior")["picture"]
    assert (seen[:3] == 255).all() and (seen[5:] == 0).all()


@pytest.mark.parametrize("picture", [((1, 2), (3,)), ((float("inf"),),), (("a",),)])
def test_a_drawing_that_is_no_rectangle_of_bytes_is_a_problem(bench: Workbench, picture: tuple[object, ...]) -> None:
    with pytest.raises(Problem):
        list(bench.answer(EncodePicture("vae", picture=picture)))


def test_a_memorised_example_is_its_own_nearest_neighbour(bench: Workbench) -> None:
    part = registry.load("digits8").split("train")
    model = bench.model("linear").module
    with torch.no_grad():  # decode(z) at (1, 0) becomes training example 17
        model.weight[:, 0] = part.batch(torch.tensor([17])).flatten() - 0.5
    data = frame(bench.answer(FindNeighbours("linear", (1.0, 0.0), k=4)), "neighbours")
    assert data["indices"][0] == 17 and data["distances"][0] == pytest.approx(0.0, abs=1e-5)
    assert np.array_equal(data["pictures"][0], part.picture(torch.tensor([17]))[0])
    assert list(data["distances"]) == sorted(data["distances"])
    far = np.sqrt(
        np.mean(
            (part.batch(torch.tensor([int(data["indices"][1])])).numpy() - part.batch(torch.tensor([17])).numpy()) ** 2
        )
    )
    assert data["distances"][1] == pytest.approx(far, abs=1e-5)
    assert 0.05 < data["baseline"] < 0.5


def test_data_open_with_their_card_and_examples(bench: Workbench) -> None:
    updates = list(bench.answer(OpenData("digits8", 12)))
    assert frame(updates, "examples")["pictures"].shape == (12, 8, 8)
    assert result(updates) == registry.card("digits8")
    points = frame(bench.answer(OpenData("moons", 200)), "examples")["points"]
    assert points.shape == (200, 2) and abs(points.std() - 1) < 0.1


def test_a_thumbnail_is_one_fixed_picture(bench: Workbench) -> None:
    first, again = (frame(bench.answer(ShowThumbnail("vae")), "thumbnail")["picture"] for _ in range(2))
    assert first.shape == (8, 8) and np.array_equal(first, again)


def test_unknown_data_and_models_without_a_capability_are_problems(bench: Workbench) -> None:
    with pytest.raises(Problem, match="data set"):
        list(bench.answer(OpenData("mnist6k")))
    with pytest.raises(Problem, match="Nothing"):
        bench.answer(Linear())


def test_the_way_to_a_picture_adds_little_to_the_decoder(bench: Workbench) -> None:
    # Counts what the answer calls, not seconds: one decoder pass, nothing encoded, nothing read again.
    calls: list[str] = []
    model = bench.model("vae").module
    model.decoder.register_forward_hook(lambda *_: calls.append("decode"))
    model.encoder.register_forward_hook(lambda *_: calls.append("encode"))
    list(bench.answer(DecodeLatent("vae", (0.0, 0.0, 0.0))))
    assert calls == ["decode"]


@pytest.mark.parametrize("inverted", [False, True])
def test_a_dropped_file_is_read_with_ink_and_paper_as_the_data_have_them(
    bench: Workbench, tmp_path: Path, inverted: bool
) -> None:
    part = registry.load("digits8").split("valid")
    picture = part.picture(torch.tensor([4]))[0]
    large = np.repeat(np.repeat(255 - picture if inverted else picture, 16, 0), 16, 1)
    Image.fromarray(large).save(tmp_path / "digit.png")
    data = frame(bench.answer(EncodePicture("vae", file=str(tmp_path / "digit.png"))), "posterior")
    assert np.array_equal(data["picture"], picture)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"%!PS-Adobe"])
def test_a_dropped_file_that_is_no_picture_is_a_problem(bench: Workbench, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(Problem, match="picture"):
        list(bench.answer(EncodePicture("vae", file=str(tmp_path / "bad.png"))))
    with pytest.raises(Problem, match="no file"):
        list(bench.answer(EncodePicture("vae", file=str(tmp_path / "none.png"))))


@pytest.mark.parametrize("name", zoo_names())
def test_every_checkpoint_in_the_box_has_a_thumbnail_with_something_on_it(bench: Workbench, name: str) -> None:
    picture = frame(bench.answer(ShowThumbnail(f"zoo:{name}")), "thumbnail")["picture"]
    assert picture.dtype == np.uint8 and picture.ndim in (2, 3) and int(np.ptp(picture)) > 60
