"""Outliers: the area under the curve by brute force, what is made strange, and the whole histogram."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dgm_studio.core.requests import ScoreOutliers
from dgm_studio.core.updates import Frame
from dgm_studio.data import registry as data
from dgm_studio.explore import outliers
from dgm_studio.explore.outliers import auroc, complexity, strange

from .classes import BLOBS, blob_bench

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(SCORES, SCORES)
def test_the_area_is_the_share_of_pairs_in_order_with_ties_counting_half(usual: list[int], other: list[int]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in usual for b in other]
    assert auroc(usual, other) == pytest.approx(np.mean(pairs))
    assert auroc(usual, other) == pytest.approx(1.0 - auroc(other, usual))


def test_strange_pictures_have_the_same_values_elsewhere_or_their_opposites() -> None:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = strange(x)
    assert torch.equal(found["rotated"].rot90(3, (2, 3)), x) and torch.allclose(1.0 - found["inverted"], x)
    order = found["shuffled"].flatten(1)
    assert torch.equal(order.sort(1).values, x.flatten(1).sort(1).values) and not torch.equal(order, x.flatten(1))
    first = strange(torch.arange(64.0).view(1, 1, 8, 8))["shuffled"].flatten().long()
    assert torch.equal(order, x.flatten(1)[:, first])
    assert set(strange(x[..., :6])) == {"inverted", "shuffled"}


def test_noise_takes_more_bytes_than_paper() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 28, 28)).astype(np.uint8)
    paper = np.zeros((2, 28, 28), np.uint8)
    assert complexity(noise).min() > 3 * complexity(paper).max()


def test_the_histogram_grows_kind_by_kind_and_knows_what_does_not_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers, "PLAIN_STEPS", 20)
    bench = blob_bench()
    frames = [u.data for u in bench.answer(ScoreOutliers(BLOBS, 60)) if isinstance(u, Frame)]
    last = frames[-1]
    kinds = list(last["scores"])
    assert kinds[:4] == ["test", "rotated", "inverted", "shuffled"] and kinds[4] == "mnist5k" and len(kinds) == 6
    assert [list(f["scores"]) for f in frames] == [kinds[:k] for k in range(1, 7)]
    assert set(last["softmax"]) == set(last["plain"]) == set(last["pictures"]) == set(kinds) and set(
        last["auroc"]
    ) == set(kinds[1:])
    for kind in kinds[1:]:
        areas = last["auroc"][kind]
        assert areas["log p(x)"] == pytest.approx(auroc(last["scores"]["test"], last["scores"][kind]))
        assert set(areas) == {"log p(x)", "softmax", "plain softmax", "complexity"}
        assert last["pictures"][kind].shape == (8, 8)
    assert last["auroc"]["inverted"]["log p(x)"] > 0.99 and last["auroc"]["shuffled"]["log p(x)"] > 0.95
    part = data.load("digits8").split("test")
    with torch.no_grad():
        bounds = bench.model(BLOBS).module.log_prob_bound(part.batch(torch.arange(60)), 1, torch.Generator())
    assert np.allclose(last["scores"]["test"], bounds.numpy(), atol=1e-4)
