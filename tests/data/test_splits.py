"""Cuts are complete, disjoint, proportional and repeatable."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_studio.data.splits import SPLITS, by_content, fingerprint, permuted, stratified


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(3, 60), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_a_stratified_cut_holds_every_label_in_proportion(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    total = len(labels)
    sizes = (total - 2 * (total // 10), total // 10, total // 10)
    splits = stratified(labels, sizes, seed)
    assert [len(splits[s]) for s in SPLITS] == list(sizes)
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(total))
    for split, size in zip(SPLITS, sizes, strict=True):
        for label, count in enumerate(counts):
            # a stretch of the interleaved order misses its share by less than one item at either end, and the
            # stretches' own ends fall between items
            assert abs((labels[splits[split]] == label).sum() - count * size / total) <= 2 + len(counts) / 2


def test_a_cut_repeats_with_its_seed_and_changes_with_another() -> None:
    assert np.array_equal(permuted(100, (80, 10, 10), 1)["test"], permuted(100, (80, 10, 10), 1)["test"])
    assert not np.array_equal(permuted(100, (80, 10, 10), 1)["test"], permuted(100, (80, 10, 10), 2)["test"])
    with pytest.raises(ValueError, match="do not cut"):
        permuted(100, (80, 10, 11), 1)


def test_in_a_large_set_an_item_keeps_its_split_when_others_are_added() -> None:
    digests = [hashlib.sha256(str(i).encode()).digest() for i in range(3000)]
    few, all_of_them = by_content(digests[:2000]), by_content(digests)
    for split in SPLITS:
        assert set(few[split].tolist()) == {i for i in all_of_them[split].tolist() if i < 2000}
        assert len(all_of_them[split]) / 3000 == pytest.approx({"train": 0.8}.get(split, 0.1), abs=0.03)


def test_the_fingerprint_hangs_on_content_and_not_on_memory_layout() -> None:
    x = np.arange(24, dtype=np.int32).reshape(4, 6)
    same = fingerprint({"x": np.asfortranarray(x).astype(">i4"), "y": np.array(3)})
    assert fingerprint({"y": np.array(3), "x": x}) == same
    assert fingerprint({"y": np.array(3), "x": x.reshape(6, 4)}) != same
    assert fingerprint({"y": np.array(3), "x": x.astype(np.int64)}) != same
