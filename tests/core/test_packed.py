"""Pictures as text: what was packed comes back, and nothing else is taken for a picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dgm_studio.core.packed import drawn, pack, unpack

SIZES = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
)


@given(arrays.arrays(np.int16, SIZES, elements=st.integers(-1, 255)))
def test_what_is_packed_comes_back_and_a_pixel_is_erased_as_a_whole(picture: np.ndarray) -> None:
    expected = picture.copy()
    if picture.ndim == 3:
        expected[(picture < 0).any(2)] = -1
    text = pack(picture)
    assert json.loads(json.dumps(text)) == text
    np.testing.assert_array_equal(unpack(text), expected)
    np.testing.assert_array_equal(drawn(expected.tolist()), expected)
    assert pack(unpack(text)) == text, "equal pictures make equal requests"


@pytest.mark.parametrize(
    "text",
    [
        *("", "2x2", "2x2:AAAA:", "2x2:AAAAAA==:AAAAAAAA", "2x2:!!!!!!==:", "0x4::", "2x2x4:AAAA:"),
        *("-2x2:AAAAAA==:", "99999x99999::", "2\N{SUPERSCRIPT TWO}x2:AAAAAA==:"),
    ],
)
def test_what_is_no_packed_picture_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpack(text)
    with pytest.raises(ValueError):
        pack(np.full((2, 2), 300))
