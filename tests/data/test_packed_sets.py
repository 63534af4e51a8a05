"""The sets in the box hold what their cards say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dgm_studio.core.resources import resource
from dgm_studio.core.updates import Problem
from dgm_studio.data.packed import load_packed
from dgm_studio.data.registry import card, cards, load
from dgm_studio.data.splits import SPLITS, fingerprint

BOXED = sorted(path.stem for path in resource("data").glob("*.json"))


@pytest.mark.parametrize("name", BOXED)
def test_a_boxed_set_is_what_its_card_says(name: str) -> None:
    dataset = load(name)
    described = dataset.card
    assert described.licence and described.credit and described.source
    shape = described.modalities[0].shape
    for split in SPLITS:
        part = dataset.split(split)
        assert part.x.dtype == torch.uint8 and tuple(part.x.shape) == (described.counts[split], *shape)
        assert len(part) == len(part.indices) == described.counts[split]
        assert not part.texts or len(part.texts) == len(part)
        for factor in described.factors:
            values = part.factors[factor.name]
            assert values.dtype == torch.int64 and set(values.tolist()) == set(range(len(factor.categories)))
    assert (not described.made) == resource("data", f"{name}.npz").exists()
    if not described.made:
        with np.load(resource("data", f"{name}.npz"), allow_pickle=False) as stored:
            assert fingerprint({key: stored[key] for key in stored.files}) == dataset.sha256
    note = resource("data", f"{name}.md").read_text("utf-8")
    assert dataset.sha256 in note and "## Licence" in note and "## Changes" in note


@pytest.mark.parametrize("name", BOXED)
def test_no_sample_stands_in_two_splits_not_even_as_an_exact_copy(name: str) -> None:
    dataset = load(name)
    indices = torch.cat([dataset.split(split).indices for split in SPLITS])
    assert sorted(indices.tolist()) == list(range(sum(dataset.card.counts.values())))
    pixels = [{x.numpy().tobytes() for x in dataset.split(split).x} for split in SPLITS]
    assert not (pixels[0] & pixels[1] or pixels[0] & pixels[2] or pixels[1] & pixels[2])


def test_mnist_is_split_by_digit_in_equal_shares() -> None:
    dataset = load("mnist5k")
    for split, each in (("train", 400), ("valid", 50), ("test", 50)):
        assert torch.bincount(dataset.split(split).factors["digit"]).tolist() == [each] * 10


def test_a_batch_is_ink_between_zero_and_one_and_its_picture_the_same_in_bytes() -> None:
    part = load("mnist5k").split("train")
    chosen = torch.tensor([5, 0, 5])
    batch, picture = part.batch(chosen), part.picture(chosen)
    assert batch.shape == (3, 1, 28, 28) and batch.dtype == torch.float32
    assert batch.min() == 0.0 and batch.max() == 1.0
    assert picture.shape == (3, 28, 28) and picture.flags.owndata
    assert np.array_equal(np.rint(batch[:, 0].numpy() * 255), picture)
    picture[:] = 7
    assert not (part.x[5] == 7).all()


def test_cards_are_read_without_torch() -> None:
    code = "import sys; from dgm_studio.data.registry import cards; print(len(cards()), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(cards())), "False"]


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(Problem, match="mnist5k"):
        load("mnist-5k")


def test_a_damaged_box_is_a_problem_in_words(tmp_path: Path) -> None:
    path = resource("data", "digits8.npz")
    damaged = tmp_path / "digits8.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    with pytest.raises(Problem, match="damaged"):
        list(load_packed(card("digits8"), damaged))
    assert json.loads(resource("data", "digits8.json").read_text("utf-8"))["name"] == "digits8"


def test_every_face_has_a_sentence_that_says_its_eight_attributes() -> None:
    dataset = load("pixelfaces")
    words = {factor.name: factor.categories for factor in dataset.card.factors}
    part = dataset.split("test")
    for i, text in enumerate(part.texts):
        is_ = {name: categories[int(part.factors[name][i])] for name, categories in words.items()}
        assert f"{is_['mouth']} person with {is_['skin']} skin, {is_['hair']} {is_['hair colour']} hair" in text
        assert text.endswith(f"{is_['shirt']} shirt")
        assert ("beard" in text) == (is_["beard"] == "full")
        assert (f" {is_['glasses']} glasses" in text) == ("glasses" in text) == (is_["glasses"] != "no")
        assert ("beanie" in text, "cap" in text) == (is_["hat"] == "beanie", is_["hat"] == "cap")


def test_the_attributes_of_the_faces_can_be_read_off_their_pixels() -> None:
    """The nearest class mean beats guessing (at most 0.6) by far: the labels belong to these faces."""
    dataset = load("pixelfaces")
    train, test = dataset.split("train"), dataset.split("test")
    x, y = (part.batch(torch.arange(len(part))).flatten(1) for part in (train, test))
    for name in ("shirt", "skin", "hat", "glasses"):
        labels = train.factors[name]
        means = torch.stack([x[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
        right = (torch.cdist(y, means).argmin(1) == test.factors[name]).float().mean()
        assert right > 0.7, name


def test_a_set_is_written_the_same_byte_for_byte_on_another_day(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("pack", Path(__file__).parents[2] / "packaging" / "data" / "pack.py")
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    with np.load(resource("data", "digits8.npz"), allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    pack.write_npz(tmp_path / "a.npz", arrays)
    pack.write_npz(tmp_path / "b.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with pytest.raises(SystemExit, match="stands in"):
        pack.refuse_shared_items(np.zeros((4, 2)), {"train": np.array([0, 1]), "test": np.array([2, 3])})
