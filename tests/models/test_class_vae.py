"""The class-conditional VAE: its bounds against integrals, its classes against Bayes' rule, and what is missing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.models import registry
from dgm_studio.models.class_conditional import BAYES
from dgm_studio.models.class_vae import ClassVAE

PAIR = (Modality("image", "image", (1, 8, 8)), Modality("digit", "label", (), tuple("012")))
N, C = 5, 3


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _model(**change: Any) -> ClassVAE:
    """Counted on unbalanced labels, with weights that tell classes and styles apart."""
    model: Any = registry.build("class-vae", registry.tiny("class-vae") | change, PAIR, seed=1)
    with torch.no_grad():
        model.pair.decoder.network.layers[0].weight *= 6.0
    model.count({"digit": torch.tensor([0] * 6 + [1] * 3 + [2] * 1 + [-1] * 10)})
    return model.double().eval()


def _pictures(n: int = N) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=_seeded(2), dtype=torch.double).round(decimals=2)


def _views(x: Tensor, *labels: int) -> dict[str, Tensor]:
    return {"image": x, "digit": torch.tensor(labels)}


@torch.no_grad()
def _integral(model: ClassVAE, x: Tensor) -> Tensor:
    """log p(x, y) of every class, by the trapezium rule over a one-dimensional z: [N, C]."""
    z = torch.linspace(-8.0, 8.0, 4001, dtype=torch.double).unsqueeze(1)
    log_prior = -0.5 * (z.square().squeeze(1) + math.log(2.0 * math.pi)) + math.log(16.0 / 4000)
    found = []
    for c in range(C):
        p = model.decode_class(z, torch.full((len(z),), c))
        rows = [torch.logsumexp(p.log_prob(one.expand(len(z), *one.shape)) + log_prior, 0) for one in x]
        found.append(torch.stack(rows) + model.pair.frequencies[c].log())
    return torch.stack(found, 1)


@torch.no_grad()
def test_the_bounds_close_on_the_integral_over_styles_and_never_pass_it() -> None:
    model, x = _model(latent=1), _pictures()
    exact = _integral(model, x)
    for y in (-1, 0, 2):
        views, truth = _views(x, *[y] * N), exact.logsumexp(1) if y < 0 else exact[:, y]
        torch.testing.assert_close(model.log_prob_bound(views, 8000, _seeded(0)), truth, atol=0.1, rtol=0)
        for bound in (lambda g, v=views: model.elbo(v, g), lambda g, v=views: model.log_prob_bound(v, 2, g)):
            drawn = torch.stack([bound(_seeded(s)) for s in range(400)])
            assert (drawn.mean(0) < truth + 4 * drawn.std(0) / 20).all()
    torch.testing.assert_close(
        model.log_prob_bound(x, 3, _seeded(0)),
        model.log_prob_bound(views | {"digit": torch.full((N,), -1)}, 3, _seeded(0)),
    )


@torch.no_grad()
def test_the_classes_follow_from_the_joint_by_bayes_rule() -> None:
    model, x = _model(), _pictures()
    joint = torch.stack([model.log_prob_bound(_views(x, *[c] * N), 3, _seeded(4)) for c in range(C)], 1)
    found = model.class_log_probs(x, _seeded(4), 3)
    assert list(found) == [BAYES]
    torch.testing.assert_close(found[BAYES], joint - model.log_prob_bound(x, 3, _seeded(4)).unsqueeze(1))
    torch.testing.assert_close(found[BAYES].exp().sum(1), torch.ones(N, dtype=torch.double))


@torch.no_grad()
def test_how_often_a_class_was_seen_counts_unless_all_shall_be_alike() -> None:
    x = _pictures()
    counted, uniform = _model(), _model(class_prior="uniform")
    torch.testing.assert_close(counted.pair.frequencies, torch.tensor([7.0, 4.0, 2.0]).double() / 13.0)
    log_odds = [m.class_log_probs(x, _seeded(0))[BAYES].diff(dim=1) for m in (counted, uniform)]
    torch.testing.assert_close(log_odds[0] - log_odds[1], torch.tensor([4 / 7, 2 / 4]).double().log().expand(N, 2))


def test_log_probabilities_have_the_gradient_that_differences_show() -> None:
    model = _model()
    x = _pictures(2).clamp(0.1, 0.9).requires_grad_()

    def value(x: Tensor) -> Tensor:
        return model.class_log_probs(x, _seeded(3), 2)[BAYES][:, 1].sum() + model.log_prob_bound(x, 2, _seeded(3)).sum()

    (gradient,) = torch.autograd.grad(value(x), x)
    step = torch.randn(x.shape, generator=_seeded(5), dtype=torch.double)
    with torch.no_grad():
        slope = (value(x + 1e-5 * step) - value(x - 1e-5 * step)) / 2e-5
    assert float((gradient * step).sum()) == pytest.approx(float(slope), rel=1e-5)


@torch.no_grad()
def test_terms_add_up_with_and_without_a_label() -> None:
    model = _model(beta=3.0)
    terms = model.loss(_views(_pictures(), 0, -1, 2, -1, 1), _seeded(0))
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"] + terms["label"])
    known = torch.tensor([0, 2, 4])
    torch.testing.assert_close(terms["label"][known], model.pair.frequencies[torch.tensor([0, 2, 1])].log())
    loss = 3.0 * terms["kl"] - terms["reconstruction"] - terms["label"]
    torch.testing.assert_close(terms["loss"][known], loss[known])
    torch.testing.assert_close(terms["kl_per_dim"].sum(1)[known], terms["kl"][known])


def test_what_is_missing_teaches_nothing() -> None:
    model = _model()
    x, gone = _pictures(), torch.full((1, 1, 8, 8), torch.nan, dtype=torch.double)
    terms = model.loss(_views(torch.cat([x[:3], gone, gone]), 0, -1, 1, 2, -1), _seeded(0))
    torch.testing.assert_close(
        terms["elbo"][3:], torch.stack([model.pair.frequencies[2].log(), terms["elbo"].new_zeros(())])
    )
    terms["loss"][3:].sum().backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    terms["loss"].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    half = x.clone()
    half[..., 4:] = torch.nan
    other = torch.where(half.isnan(), torch.rand_like(half), half)
    assert torch.isfinite(model.log_prob_bound(half, 2, _seeded(0))).all()
    assert (model.log_prob_bound(half, 2, _seeded(0)) > model.log_prob_bound(other, 2, _seeded(0))).all()


def test_a_picture_of_another_shape_and_no_sample_are_refused() -> None:
    model = _model()
    with pytest.raises(ValueError, match=r"\(1, 8, 8\), not \(1, 8, 9\)"):
        model.log_prob_bound(torch.zeros(2, 1, 8, 9, dtype=torch.double), 1, _seeded(0))
    with pytest.raises(ValueError, match="at least one sample"):
        model.log_prob_bound(_pictures(), 0, _seeded(0))
