"""Cards and requests survive JSON; pictures survive bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dgm_studio.core import cards, pictures, requests
from dgm_studio.core.cards import Capability, Factor, Metric, Modality, ModelCard
from dgm_studio.core.updates import Problem


def test_a_model_card_comes_back_from_json_equal_to_itself() -> None:
    card = ModelCard(
        key="zoo:a",
        name="a",
        system="vae",
        title="A",
        capabilities=frozenset({Capability.ENCODES, Capability.DECODES}),
        modalities=(Modality("image", "image", (1, 28, 28)),),
        factors=(Factor("digit", ("0", "1")),),
        latent=2,
        config={"beta": 4.0, "hidden": (1, 2)},
        metrics={"iwae": Metric(97, "nats", "IWAE-100", 0.4, "test")},
        snapshots=(1, 2, 4),
    )
    again = cards.from_json(ModelCard, json.loads(json.dumps(card.to_json())))
    assert again == card
    assert isinstance(again.metrics["iwae"].value, float) and again.image() == card.modalities[0]


def test_fields_of_a_newer_version_are_passed_over() -> None:
    assert cards.from_json(Metric, {"value": 1.0, "colour": "red"}) == Metric(1.0)


def test_requests_come_back_from_json_equal_to_themselves() -> None:
    asked = [
        requests.DecodeLatent("zoo:a", (0.1, -2.0)),
        requests.DecodeTiles("zoo:a", (0.0,), (1.0,), (0.5,), 2, ((0, 1), (-3, 2))),
        requests.Train("/runs/1", "vae", "mnist5k", {"beta": 4.0}, {"steps": 10}, 3),
        requests.FollowPath("a", ((0.0, 1.0), (1.0, 0.0)), "geodesic"),
    ]
    for one in asked:
        assert requests.from_json(json.loads(json.dumps(requests.to_json(one)))) == one


@pytest.mark.parametrize(
    "data", [{}, {"ask": "Explode"}, {"ask": "DecodeLatent"}, {"ask": "DecodeLatent", "model": "a", "z": 3}]
)
def test_a_foreign_request_is_refused_in_words(data: dict[str, object]) -> None:
    with pytest.raises(Problem):
        requests.from_json(data)


def test_intensities_become_bytes_by_rounding_and_survive_the_way_back() -> None:
    x = (np.arange(256, dtype=np.float32) / 255).reshape(1, 1, 16, 16)
    assert np.array_equal(pictures.to_uint8(x)[0].ravel(), np.arange(256))
    colour = np.random.default_rng(0).random((2, 3, 5, 4)).astype(np.float32)
    assert np.array_equal(pictures.to_uint8(colour)[1, 2, 3], np.rint(colour[1, :, 2, 3] * 255))
    odd = pictures.to_uint8(np.array([np.nan, -1, 2, np.inf], np.float32).reshape(1, 1, 2, 2))
    assert odd.ravel().tolist() == [0, 0, 255, 255] and odd.flags.owndata


def test_tiles_stand_where_they_should() -> None:
    sheet = pictures.tile(
        np.arange(1, 6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8), columns=3, gap=1
    )
    assert sheet[0].tolist() == [1, 1, 0, 2, 2, 0, 3, 3] and sheet[3].tolist() == [4, 4, 0, 5, 5, 0, 0, 0]


def test_ink_is_dark_on_light_paper_and_light_on_dark_paper() -> None:
    ends = np.array([[[0, 255]]], np.uint8)
    assert pictures.on_paper(ends, "light")[0, 0].tolist() == [
        list(pictures.PAPER["light"]),
        list(pictures.INK["light"]),
    ]
    assert pictures.on_paper(ends, "dark")[0, 0].mean(axis=1).argmax() == 1
