"""What values say of factors, and what a linear classifier can read."""

from __future__ import annotations

import torch

from dgm_studio.core.cards import Factor, Modality
from dgm_studio.data import registry
from dgm_studio.models.modal_likelihoods import Choice, Choices, Tokens
from dgm_studio.training import probe, readings
from dgm_studio.training.coherence import Tally

SKIN = Factor("skin", ("light", "dark"))
GLASSES = Factor("glasses", ("no", "dark"))


def drained(steps: object) -> object:
    while True:
        try:
            next(steps)  # type: ignore[call-overload]
        except StopIteration as finished:
            return finished.value


def test_the_words_of_a_face_say_its_attributes() -> None:
    faces = registry.load("pixelfaces")
    part, rows = faces.split("test"), torch.arange(400)
    readers = readings.readers_for(faces.card, faces.card.modalities, faces.split("train"))
    views = part.views(rows)
    for name in ("sentence", "attributes"):
        read = readings.reading(readers[name], views[name])
        assert set(read) == {f.name for f in faces.card.factors}
        assert all(torch.equal(read[factor], part.factors[factor][rows]) for factor in read)
    seen = readings.reading(readers["image"], views["image"])
    right = torch.stack([(seen[f] == part.factors[f][rows]).double().mean() for f in seen])
    assert right.mean() > 0.95 and readers["image"].accuracy > 0.95


def test_a_word_of_two_factors_belongs_to_the_one_named_beside_it() -> None:
    plans = {f.name: readings.Plan.of(f, (SKIN, GLASSES)) for f in (SKIN, GLASSES)}
    said = readings.phrases("a person with dark glasses and light skin")
    assert plans["skin"].category(said) == 0 and plans["glasses"].category(said) == 1
    said = readings.phrases("a person with dark skin")
    assert plans["skin"].category(said) == 1 and plans["glasses"].category(said) == 0
    assert plans["skin"].category(readings.phrases("a person")) == -1
    assert plans["glasses"].category(readings.phrases("")) == -1


def test_a_missing_label_is_read_as_nothing() -> None:
    reader = readings.LabelReader(SKIN, torch.tensor([1, 0]))
    assert readings.reading(reader, torch.tensor([0, 1, -1]))["skin"].tolist() == [1, 0, -1]


def test_the_likeliest_value_ends_a_text_at_its_end() -> None:
    logits = torch.zeros(1, 4, 3)
    logits[0, [0, 1, 2, 3], [2, 1, 0, 2]] = 5.0
    text = Modality("text", "text", (4,), ("", "?", "word"))
    assert readings.likeliest(Tokens(logits), text).tolist() == [[2, 1, 0, 0]]
    bag = Tokens(torch.tensor([[[0.0, -9.0, 3.0]]]).expand(-1, 4, -1))
    assert readings.likeliest(bag, text).tolist() == [[2, 0, 0, 0]]
    two = Modality("two", "attributes", (2,), columns=(SKIN, GLASSES))
    both = Choices((Choice(torch.tensor([[0.0, 1.0]])), Choice(torch.tensor([[2.0, 1.0]]))))
    assert readings.likeliest(both, two).tolist() == [[1, 0]]


def test_the_linear_classifier_is_at_its_optimum_where_autograd_finds_no_slope() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 1.0, 1.0]) + 3.0
    labels = {
        "a": (x[:, 0] + torch.randn(300, generator=generator) > 3.0).long(),
        "b": torch.randint(-1, 3, (300,), generator=generator),
    }
    found = drained(probe.fitting(x, labels, {"a": 2, "b": 3}))
    assert isinstance(found, probe.Linear)
    weight = found.weight.clone().requires_grad_()
    rows = torch.nn.functional.pad((x - x.mean(0)) / x.std(0, correction=0), (0, 1), value=1.0)
    parts = dict(zip("ab", (rows @ weight).split([2, 3], 1), strict=True))
    losses = [
        torch.nn.functional.cross_entropy(parts[n], v, ignore_index=-1, reduction="sum") / 300
        for n, v in labels.items()
    ]
    (slope,) = torch.autograd.grad(sum(losses) + 0.5 * probe.RIDGE * weight[:-1].square().sum(), weight)
    assert slope.abs().max() < 2 * probe.TOLERANCE
    assert (found.read(x)["a"] == labels["a"]).float().mean() > 0.65


def test_a_tally_is_mean_and_standard_error_and_leaves_out_what_is_unknown() -> None:
    values = torch.tensor([1.0, 0.0, torch.nan, 1.0, 1.0])
    tally = Tally()
    tally.add(values[:2])
    tally.add(values[2:])
    known = values[~values.isnan()]
    assert tally.count == 4 and abs(tally.mean - 0.75) < 1e-9
    assert abs(tally.error - float(known.std() / 2)) < 1e-6
