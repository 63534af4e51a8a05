"""A drawing becomes data whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest

from dgm_studio.core.updates import Problem
from dgm_studio.data import registry
from dgm_studio.data.drawn import SPAN, draw, drawn_mixture, keep_drawing, mixture_of


def test_points_follow_the_ink() -> None:
    ink = np.zeros((16, 16))
    ink[0, 0], ink[15, 15] = 1.0, 3.0  # a quarter top left, three quarters bottom right
    points = draw(mixture_of(ink), 20_000, np.random.default_rng(0))
    top_left = (points[:, 0] < 0) & (points[:, 1] > 0)
    assert abs(top_left.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20_000)
    middle = SPAN - SPAN / 16
    corner = points[~top_left]
    assert np.allclose(corner.mean(0), (middle, -middle), atol=4 * mixture_of(ink).std / np.sqrt(len(corner)))


def test_a_kept_drawing_trains_like_any_file_of_points_and_its_mixture_is_read_back() -> None:
    ink = np.zeros((32, 32))
    ink[8:12, :] = 255
    name, again = keep_drawing(ink, "bar / of ink"), keep_drawing(ink, "bar / of ink")
    assert name != again, "an older drawing is never overwritten"
    dataset = registry.load(name)
    assert dataset.card.modalities[0].kind == "points" and sum(dataset.card.counts.values()) == 10_000
    mixture = drawn_mixture(name)
    assert mixture is not None and len(mixture.weights) == 4 * 32
    part = dataset.split("train")
    total = np.array([part.x[:, k].double().var() for k in (0, 1)])
    spread = mixture.weights @ (mixture.centres - mixture.weights @ mixture.centres) ** 2 + mixture.std**2
    assert np.allclose(total, spread, rtol=0.05)


def test_other_data_have_no_drawing_behind_them(tmp_path: object) -> None:
    assert drawn_mixture("moons") is None
    assert drawn_mixture(f"file:{tmp_path}/nothing.npz") is None
    np.savez(f"{tmp_path}/plain.npz", points=np.zeros((5, 2)))
    assert drawn_mixture(f"file:{tmp_path}/plain.npz") is None


def test_an_empty_sheet_is_refused_in_words() -> None:
    with pytest.raises(Problem, match="Nothing is drawn"):
        mixture_of(np.zeros((8, 8)))
    with pytest.raises(Problem, match="square"):
        mixture_of(np.ones((8, 9)))
