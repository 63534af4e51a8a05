"""A config dataclass, described, checked and read from a command line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_studio.core.forms import FormError, build, check, fields_of, option, parse


@dataclass(frozen=True)
class Config:
    latent: int = option(16, "Size of z", low=1, high=512)
    beta: float = option(1.0, "Weight of the KL term", low=0.0, high=100.0, group="Objective", log=True)
    network: str = option("mlp", "Kind of network", choices=("mlp", "conv"))
    centred: bool = option(False, "Centre the data")
    hidden: tuple[int, ...] = option((64, 64), "Widths", low=1, high=4096)


def test_every_field_is_described_by_its_type_range_and_help() -> None:
    fields = {f.name: f for f in fields_of(Config)}
    assert [f.kind for f in fields.values()] == ["int", "float", "choice", "bool", "ints"]
    assert (fields["beta"].low, fields["beta"].high, fields["beta"].scale) == (0.0, 100.0, "log")
    assert fields["beta"].group == "Objective" and fields["latent"].help == "Size of z"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("latent=3", "latent", 3),
        ("latent=1e2", "latent", 100),
        ("beta=4", "beta", 4.0),
        ("hidden=8, 16", "hidden", (8, 16)),
        ("centred=yes", "centred", True),
        ("network=conv", "network", "conv"),
    ],
)
def test_an_assignment_is_read_as_the_type_of_its_field(text: str, name: str, value: object) -> None:
    read = parse(fields_of(Config), [text])
    assert read == {name: value} and type(read[name]) is type(value)
    assert getattr(build(Config, read), name) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("laten=3", "Did you mean latent?"),
        ("latent=0", "from 1 to 512"),
        ("latent=2.5", "whole number"),
        ("beta=nan", "number"),
        ("beta=inf", "number"),
        ("network=con", "Did you mean conv?"),
        ("hidden=8,0", "from 1 to 4096"),
        ("latent", "key=value"),
        ("centred=maybe", "true or false"),
        ("zzz=1", "Valid names"),
    ],
)
def test_what_is_refused_says_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(FormError) as refused:
        parse(fields_of(Config), [text])
    assert words in str(refused.value)


@given(st.text(max_size=12) | st.integers() | st.floats() | st.none() | st.lists(st.integers(), max_size=3))
def test_any_value_is_either_taken_as_the_right_type_or_refused_in_words(value: object) -> None:
    types = {"int": int, "float": float, "choice": str, "bool": bool, "ints": tuple}
    for field in fields_of(Config):
        try:
            taken = check(field, value)
        except FormError as refused:
            assert field.name in str(refused)
        else:
            assert type(taken) is types[field.kind]
