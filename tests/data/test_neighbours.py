"""Nearest items agree with the definition."""

from __future__ import annotations

import pytest
import torch

from dgm_studio.data.neighbours import nearest
from dgm_studio.data.registry import load


def test_nearest_agrees_with_a_full_sort_of_all_distances() -> None:
    part = load("mnist5k").split("train")
    x = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * part.batch(torch.arange(7) * 500)
    distances, indices = nearest(part, x, 5)
    everything = part.batch(torch.arange(len(part))).flatten(1)
    oracle = (x.flatten(1)[:, None].double() - everything.double()).norm(dim=2)
    expected, order = oracle.sort(dim=1)
    assert torch.allclose(distances.double(), expected[:, :5], atol=1e-5)
    assert torch.equal(indices, order[:, :5])


def test_a_training_example_is_its_own_nearest_at_distance_zero_also_for_points() -> None:
    for name in ("digits8", "moons", "pixelfaces"):
        part = load(name).split("train")
        own = torch.tensor([0, 77, len(part) - 1])
        distances, indices = nearest(part, part.batch(own), 2)
        assert torch.equal(distances[:, 0], torch.zeros(3)) and torch.equal(indices[:, 0], own)


def test_more_neighbours_than_items_and_a_wrong_shape() -> None:
    part = load("digits8").split("test")
    distances, indices = nearest(part, part.batch(torch.tensor([3])), 10_000)
    assert distances.shape == (1, 250) and sorted(indices[0].tolist()) == list(range(250))
    with pytest.raises(ValueError, match="items"):
        nearest(part, torch.zeros(1, 28, 28), 1)
