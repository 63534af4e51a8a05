"""Likelihoods of every kind are distributions, and what is missing has no influence at all."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Factor, Modality
from dgm_studio.core.updates import Problem
from dgm_studio.models import modal
from dgm_studio.models.modal import Sizes
from dgm_studio.models.modal_likelihoods import (
    BitPicture,
    Choice,
    Choices,
    ColourPicture,
    LaplacePicture,
    Numbers,
    Tokens,
)

AGE = Modality("age", "real", (1,), centre=(50.0,), spread=(12.0,))
PRESSURE = Modality("pressure", "positive", (1,), centre=(4.8,), spread=(0.2,))
LAB = Modality("lab", "vector", (3,), centre=(1.0, 2.0, 3.0), spread=(1.0, 10.0, 0.1))
DIGIT = Modality("digit", "label", (), tuple("0123"))
LOOKS = Modality("looks", "attributes", (2,), columns=(Factor("hat", ("no", "yes")), Factor("hair", ("a", "b", "c"))))
WORDS = Modality("words", "text", (3,), ("", "?", "a", "b"))
PICTURE = Modality("picture", "image", (1, 8, 8))
COLOUR = Modality("colour", "image", (3, 9, 9))
ALL = (AGE, PRESSURE, LAB, DIGIT, LOOKS, WORDS, PICTURE, COLOUR)
SMALL = Sizes(hidden=8, encoder_layers=1, decoder_layers=1, width=8, dense=0)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=_seeded(seed), dtype=torch.float64)


def _numbers(modality: Modality, seed: int = 0) -> Numbers:
    centre, spread = modal.standard(modality, torch.zeros(1, dtype=torch.float64))
    size = len(centre)
    return Numbers(
        centre, spread, _drawn(1, size, seed=seed), 0.5 * _drawn(1, size, seed=seed + 9), modality.kind == "positive"
    )


@pytest.mark.parametrize("modality", [AGE, PRESSURE])
def test_densities_of_numbers_integrate_to_one_in_natural_units_and_have_the_mean_and_interval_they_say(
    modality,
) -> None:
    for seed in range(3):
        p = _numbers(modality, seed)
        low, high = (float(end) for end in p.interval(1.0 - 1e-9))
        x = torch.linspace(low, high, 200_001, dtype=torch.float64).unsqueeze(1)
        many = Numbers(p.centre, p.spread, p.raw_mean.expand(len(x), 1), p.log_std.expand(len(x), 1), p.logarithmic)
        density = many.log_prob(x).exp()
        assert float(torch.trapezoid(density, x[:, 0])) == pytest.approx(1.0, abs=1e-6)
        assert float(torch.trapezoid(density * x[:, 0], x[:, 0])) == pytest.approx(float(p.mean), rel=1e-5)
        inside = (x[:, 0] >= float(p.interval(0.9)[0])) & (x[:, 0] <= float(p.interval(0.9)[1]))
        assert float(torch.trapezoid(density * inside, x[:, 0])) == pytest.approx(0.9, abs=1e-3)
        drawn = Numbers(p.centre, p.spread, p.raw_mean.expand(50_000, 1), p.log_std.expand(50_000, 1), p.logarithmic)
        sample = drawn.sample(_seeded(seed))
        assert float(((sample > p.interval(0.5)[0]) & (sample < p.interval(0.5)[1])).double().mean()) == pytest.approx(
            0.5, abs=0.01
        )


def test_numbers_that_cannot_be_have_density_zero() -> None:
    p = _numbers(PRESSURE)
    assert p.log_prob(torch.tensor([[-1.0]], dtype=torch.float64)).item() == -math.inf
    assert p.log_prob(torch.tensor([[0.0]], dtype=torch.float64)).item() == -math.inf


def test_probabilities_of_classes_bits_and_texts_sum_to_one_over_all_there_are() -> None:
    choice = Choice(_drawn(1, 4).expand(4, 4))
    assert float(choice.log_prob(torch.arange(4)).exp().sum()) == pytest.approx(1.0, abs=1e-12)
    looks = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    choices = Choices((Choice(_drawn(1, 2).expand(6, 2)), Choice(_drawn(1, 3).expand(6, 3))))
    assert float(choices.log_prob(looks).exp().sum()) == pytest.approx(1.0, abs=1e-12)
    assert [p.shape for p in choices.probabilities] == [(6, 2), (6, 3)]
    bits = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 6).view(64, 1, 2, 3)
    assert float(BitPicture(_drawn(1, 1, 2, 3).expand(64, -1, -1, -1)).log_prob(bits).exp().sum()) == pytest.approx(1.0)
    texts = [
        row
        for row in itertools.product(range(4), repeat=3)
        if all(later == 0 for i, token in enumerate(row) if token == 0 for later in row[i:])
    ]
    for logits in (_drawn(1, 3, 4), _drawn(1, 1, 4).expand(1, 3, 4)):
        found = Tokens(logits.expand(len(texts), -1, -1)).log_prob(torch.tensor(texts))
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_drawn_texts_end_once_and_come_as_often_as_their_probability_says() -> None:
    p = Tokens(_drawn(1, 3, 4).expand(20_000, -1, -1))
    drawn = p.sample(_seeded(1))
    kinds, counts = drawn.unique(dim=0, return_counts=True)
    likely = Tokens(_drawn(1, 3, 4).expand(len(kinds), -1, -1)).log_prob(kinds).exp()
    assert float((counts / len(drawn) - likely).abs().max()) < 0.015
    for row in kinds.tolist():
        assert 0 not in row or not any(row[row.index(0) :])


@pytest.mark.parametrize("kind", [ColourPicture, LaplacePicture])
def test_densities_of_pixels_integrate_to_one_and_their_draws_have_their_mean(kind) -> None:
    x = torch.linspace(-30, 30, 60_001, dtype=torch.float64).view(-1, 1, 1, 1)
    mean = torch.full_like(x, 0.3)
    p = kind(mean, 0.75 if kind is LaplacePicture else torch.tensor(-0.5, dtype=torch.float64))
    assert float(torch.trapezoid(p.log_prob(x).exp(), x.flatten())) == pytest.approx(1.0, abs=1e-5)
    assert float(p.sample(_seeded(0)).mean()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("modality", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("sizes", [SMALL, Sizes(hidden=8, decoder_layers=1, text="bag", likelihood="laplace", width=8)])
def test_what_stands_in_missing_cells_leaves_loss_and_gradients_bit_identical(modality: Modality, sizes: Sizes) -> None:
    encoder, decoder = modal.encoder_for(modality, 4, sizes), modal.decoder_for(modality, 3, sizes)
    z = torch.randn(6, 3, generator=_seeded(0))
    drawn = decoder(z).sample(_seeded(1)).detach()
    row = torch.tensor([False, True, False, False, True, False])
    cells = torch.rand(drawn.shape, generator=_seeded(2)) < 0.4  # single pixels, numbers, columns; of a text whole rows
    gone = row.view(-1, *[1] * (drawn.ndim - 1)).expand(drawn.shape)
    if modality.kind != "text":
        gone = gone | cells
    marks = (math.nan, math.inf, -math.inf) if drawn.is_floating_point() else (-1, -7, -(10**9))
    results = []
    for mark in marks:
        x = drawn.masked_fill(gone, mark)
        told = modal.present(modality, x)
        assert not told[row].any() and told[~row].float().mean() > (
            0.4 if drawn.ndim == 1 or drawn.shape[1] == 1 else 0.9
        )
        log_prob = decoder(z).log_prob(x)
        assert (log_prob[row] == 0).all() and (log_prob[told] != 0).all()
        features = encoder(x)
        total = log_prob.sum() + features[told].square().sum()
        parameters = [*encoder.parameters(), *decoder.parameters()]
        results.append([total, features[told], *torch.autograd.grad(total, parameters, allow_unused=True)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert (a is None and b is None) or (torch.equal(a, b) and torch.isfinite(a).all())


def test_what_is_known_in_a_datum_is_scored_as_if_the_rest_did_not_exist() -> None:
    p = _numbers(LAB)
    x = torch.tensor([[1.0, math.nan, 3.0]], dtype=torch.float64)
    kept = [0, 2]
    part = Numbers(p.centre[kept], p.spread[kept], p.raw_mean[:, kept], p.log_std[:, kept])
    assert torch.equal(p.log_prob(x), part.log_prob(x[:, kept]))
    looks = Choices((Choice(_drawn(1, 2)), Choice(_drawn(1, 3))))
    assert torch.equal(looks.log_prob(torch.tensor([[-1, 2]])), looks.each[1].log_prob(torch.tensor([2])))


def test_networks_take_values_in_natural_units_and_tell_missing_numbers_from_mean_ones() -> None:
    encoder = modal.encoder_for(LAB, 4, SMALL)
    mean = torch.tensor([[1.0, 2.0, 3.0]])
    missing = torch.tensor([[1.0, math.nan, 3.0]])
    assert not torch.equal(encoder(mean), encoder(missing))
    assert torch.equal(modal.filled(LAB, missing), mean)
    assert torch.equal(modal.filled(PRESSURE, torch.tensor([[math.nan]])), torch.tensor([[4.8]]).exp())
    with pytest.raises(ValueError, match="shape"):
        encoder(torch.zeros(2, 4))


def test_kinds_and_networks_that_do_not_fit_are_refused_in_words() -> None:
    with pytest.raises(Problem, match="points"):
        modal.encoder_for(Modality("p", "points", (2,)), 3)
    with pytest.raises(Problem, match="8 by 8"):
        modal.decoder_for(Modality("p", "image", (1, 4, 4)), 3, Sizes(network="conv"))
