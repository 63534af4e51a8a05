"""Pairs of two sets agree in class and never leave their split."""

from __future__ import annotations

import numpy as np
import torch

from dgm_studio.data.pairs import content, pairing, partners
from dgm_studio.data.registry import card, load
from dgm_studio.data.splits import SPLITS, hashed_order

NAME = "mnist-digits8"


def rows(x: torch.Tensor) -> list[bytes]:
    return [one.numpy().tobytes() for one in x]


def test_both_pictures_of_a_pair_show_the_same_digit_and_come_from_the_same_split() -> None:
    pairs, second = load(NAME), load("digits8")
    # The class of a tiny digit by its bytes, learnt apart from the pairing.
    for split in SPLITS:
        part, source = pairs.split(split), second.split(split)
        known: dict[bytes, set[int]] = {}
        for pixels, digit in zip(rows(source.x), source.factors["digit"].tolist(), strict=True):
            known.setdefault(pixels, set()).add(digit)
        for pixels, digit in zip(rows(part.others["digits8"]), part.factors["digit"].tolist(), strict=True):
            assert digit in known[pixels]


def test_every_mnist_picture_comes_once_and_every_tiny_one_about_as_often_as_the_others_of_its_class() -> None:
    pairs, first, second = load(NAME), load("mnist5k"), load("digits8")
    for split in SPLITS:
        part, source = pairs.split(split), second.split(split)
        assert torch.equal(part.x, first.split(split).x)
        found = pairing(pairs.card, split, first.split(split), source)
        assert torch.equal(part.others["digits8"], source.x[torch.from_numpy(found)])
        times = np.bincount(found, minlength=len(source))
        for digit in range(10):
            of_class = times[source.factors["digit"].numpy() == digit]
            assert of_class.max() - of_class.min() <= 1


def test_within_a_class_the_matching_is_random_and_hangs_on_the_seed() -> None:
    first, second = np.repeat([0, 1], 300), np.repeat([1, 0], 300)
    one, other = partners(first, second, "a"), partners(first, second, "b")
    assert np.array_equal(one, partners(first, second, "a")) and not np.array_equal(one, other)
    assert sorted(one) == list(range(600)) and np.array_equal(second[one], first)
    assert (
        abs(np.corrcoef(one[:300], np.arange(300))[0, 1]) < 0.2 and abs(np.corrcoef(one[:300], other[:300])[0, 1]) < 0.2
    )


def test_the_views_of_a_pair_are_two_pictures_in_ink() -> None:
    part = load(NAME).split("test")
    views = part.views(torch.arange(7))
    assert {name: tuple(x.shape) for name, x in views.items()} == {"mnist": (7, 1, 28, 28), "digits8": (7, 1, 8, 8)}
    assert all(x.dtype == torch.float32 and x.min() == 0 and x.max() == 1 for x in views.values())
    assert [m.about for m in card(NAME).modalities] == ["digit", "digit"]


def test_the_sum_covers_both_sets_and_who_is_paired_with_whom() -> None:
    described, first, second = card(NAME), load("mnist5k"), load("digits8")
    pairs = {split: pairing(described, split, first.split(split), second.split(split)) for split in SPLITS}
    assert content(first, second, pairs) == described.sha256
    pairs["test"][:2] = pairs["test"][1::-1].copy()
    assert content(first, second, pairs) != described.sha256


def test_a_hashed_order_is_a_shuffle_that_does_not_change_when_others_are_left_out() -> None:
    names = np.arange(1000) * 3
    order = names[hashed_order(names, "seed")]
    assert sorted(order) == names.tolist() and abs(np.corrcoef(order, names)[0, 1]) < 0.1
    half = names[::2]
    assert half[hashed_order(half, "seed")].tolist() == [name for name in order if name % 6 == 0]
    assert order[:4].tolist() == [1074, 705, 2982, 489]  # the same on every machine, for ever
