"""The judges in the box: who gets which, and that they are as good as they say."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from dgm_studio.core.cards import DataCard, ModelCard
from dgm_studio.core.updates import Problem
from dgm_studio.data import registry as data
from dgm_studio.models import judge as judges
from dgm_studio.models.judge import Judge, judge_for

BOXED = ("mnist5k", "digits8", "pixelfaces", "mnist16", "pixelfaces16")


def _judge(name: str) -> Judge:
    found = judge_for(data.card(name), "image")
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "least"), [(name, 0.96 if name == "mnist5k" else 0.97) for name in BOXED])
def test_a_judge_reads_test_pictures_as_well_as_it_says(name: str, least: float) -> None:
    found, part = _judge(name), data.load(name).split("test")
    some = torch.arange(min(250, len(part)))
    logits = found.logits(part.batch(some))
    for factor in found.factors:
        assert logits[factor.name].shape == (len(some), len(factor.categories))
        said = found.accuracies[factor.name]
        right = float((logits[factor.name].argmax(1) == part.factors[factor.name][some]).double().mean())
        spread = math.sqrt(max(said.value * (1 - said.value), 1e-4) / len(some))
        # A hat hides hair: without one both are read in 99 % of the pictures.
        assert (
            said.value >= (0.9 if factor.name.startswith("hair") else least) and abs(right - said.value) < 4 * spread
        ), factor.name
        assert said.split == "test"
    assert found.accuracy == pytest.approx(sum(m.value for m in found.accuracies.values()) / len(found.factors))


def test_a_judge_was_made_for_the_data_that_are_in_the_box_and_is_small() -> None:
    for path, manifest in judges._shipped():
        assert manifest.data_sha256 == data.card(manifest.data).sha256
        assert path.stat().st_size < 300_000
    assert {manifest.data for _, manifest in judges._shipped()} >= set(BOXED)


def test_gradients_reach_the_picture_and_never_the_judge() -> None:
    judges._loaded.cache_clear()
    with torch.inference_mode():  # as the worker answers most questions
        found = _judge("digits8")
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found.logits(x)["digit"].logsumexp(1).sum().backward()
    assert x.grad is not None and (x.grad.flatten(1).abs().sum(1) > 0).all()
    assert not any(p.requires_grad for p in found.parameters())
    alone = found.features(x[:1])
    torch.testing.assert_close(alone, found.features(x)[:1], rtol=1e-4, atol=1e-5)
    assert alone.shape == (1, judges.FEATURES)


def test_the_halves_of_pairs_have_the_judges_of_their_sources() -> None:
    pairs = data.card("mnist-digits8")
    assert judge_for(pairs, "mnist") is _judge("mnist5k")
    assert judge_for(pairs, "digits8") is _judge("digits8")


def test_a_model_has_the_judge_of_its_data_also_when_few_labels_are_kept() -> None:
    card = data.card("mnist5k")
    for name in ("mnist5k", "mnist5k~digit=10"):
        model = ModelCard("k", "n", "s", "t", frozenset(), card.modalities, card.factors, data=name)
        assert judge_for(model, "image") is _judge("mnist5k")


def test_what_no_judge_has_learnt_has_none() -> None:
    card = data.card("mnist5k")
    label = next(m.name for m in card.modalities if m.kind == "label")
    assert judge_for(card, label) is None and judge_for(card, "no such thing") is None
    assert judge_for(dataclasses.replace(card, name="folder:/pictures"), "image") is None
    letters = tuple(dataclasses.replace(f, categories=("a", "b")) for f in card.factors)
    assert judge_for(dataclasses.replace(card, name="letters", factors=letters), "image") is None
    unlabelled: DataCard = dataclasses.replace(data.card("pixelfaces"), name="other faces")
    assert judge_for(unlabelled, "image") is None


def test_a_damaged_judge_is_refused_in_words(tmp_path, monkeypatch) -> None:
    original = judges._shipped()[0][0].read_bytes()
    (tmp_path / "judges").mkdir()
    broken = tmp_path / "judges" / "digits8.image.safetensors"
    broken.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    with pytest.raises(Problem, match="damaged"):
        judges._loaded(broken, "cpu")
