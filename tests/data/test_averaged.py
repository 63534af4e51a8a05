"""Sets made smaller: exact area averages, and everything else as it was."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from dgm_studio.core.resources import resource
from dgm_studio.data.averaged import averaged, content
from dgm_studio.data.registry import load
from dgm_studio.data.splits import SPLITS


def test_every_pixel_is_the_mean_of_the_area_that_it_covers() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 1, 7, 7), dtype=np.uint8)
    found = averaged(picture, 4)[0, 0]
    share = Fraction(7, 4)
    for row in range(4):
        for column in range(4):
            total = Fraction(0)
            for i in range(7):
                for j in range(7):
                    high = min(Fraction(i + 1), (row + 1) * share) - max(Fraction(i), row * share)
                    wide = min(Fraction(j + 1), (column + 1) * share) - max(Fraction(j), column * share)
                    total += max(high, Fraction(0)) * max(wide, Fraction(0)) * int(picture[0, 0, i, j])
            assert found[row, column] == math.floor(total / share**2 + Fraction(1, 2))


def test_the_small_faces_are_the_faces_as_they_were_drawn() -> None:
    small = load("pixelfaces16").split("test")
    with np.load(resource("data", "pixelfaces.npz"), allow_pickle=False) as stored:
        drawn = stored["palette"][stored["pixels"][stored["test"]]]
    assert np.array_equal(small.x.numpy(), drawn.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("name", "base"), [("mnist16", "mnist5k"), ("pixelfaces16", "pixelfaces")])
def test_a_smaller_set_keeps_splits_and_annotations_and_is_what_its_card_says(name: str, base: str) -> None:
    small, large = load(name), load(base)
    assert content(small) == small.sha256
    for split in SPLITS:
        one, other = small.split(split), large.split(split)
        assert torch.equal(one.indices, other.indices) and one.texts == other.texts
        assert all(torch.equal(one.factors[f], other.factors[f]) for f in other.factors)
        means = one.x.float().mean((2, 3)) - other.x.float().mean((2, 3))
        assert float(means.abs().max()) < 0.5  # rounding only
    others = small.split("test").views(torch.arange(3))
    assert {m.name for m in small.card.modalities} == set(others)


def test_pictures_are_never_made_larger() -> None:
    with pytest.raises(ValueError, match="cannot be averaged"):
        averaged(np.zeros((1, 1, 8, 8), np.uint8), 9)
