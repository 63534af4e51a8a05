"""The VAE's training objective: weights, floors and what they must leave alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.models import capabilities, registry
from dgm_studio.models.vae import VAE

PICTURE = (Modality("image", "image", (1, 8, 8)),)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _vae(**change: object) -> VAE:
    return registry.build("vae", registry.tiny("vae") | change, PICTURE)


def _pictures(n: int = 8) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=_seeded(1))


def _spread(model: VAE) -> VAE:
    """Widen the posterior's means, so that some dimensions are above and some below a floor."""
    with torch.no_grad():
        model.encoder.out[-1].weight *= 8.0
    return model


def test_the_weight_of_the_kl_rises_on_a_straight_line_and_stays() -> None:
    model = _vae(beta=4.0, kl_warmup=100)
    assert [model.kl_weight(s) for s in (0, 25, 50, 100, 10_000)] == [0.0, 1.0, 2.0, 4.0, 4.0]
    assert _vae(beta=4.0).kl_weight(0) == 4.0
    terms = model.loss(_pictures(), _seeded(0), step=25)
    torch.testing.assert_close(terms["loss"], 1.0 * terms["kl"] - terms["reconstruction"])


def test_free_bits_charge_every_dimension_at_least_their_floor() -> None:
    free = 0.05
    model = _spread(_vae(free_bits=free))
    terms = model.loss(_pictures(), _seeded(0))
    below = terms["kl_per_dim"] < free
    assert below.any() and not below.all()
    charged = torch.where(below, torch.full_like(terms["kl_per_dim"], free), terms["kl_per_dim"]).sum(1)
    torch.testing.assert_close(terms["loss"], charged - terms["reconstruction"])
    torch.testing.assert_close(terms["kl"], terms["kl_per_dim"].sum(1))


def test_beta_warmup_and_free_bits_never_reach_the_elbo() -> None:
    plain, changed = _vae(), _vae(beta=7.0, kl_warmup=1000, free_bits=1.0)
    x = _pictures()
    one, two = plain.loss(x, _seeded(0), step=3), changed.loss(x, _seeded(0), step=3)
    assert torch.equal(one["elbo"], two["elbo"]) and not torch.equal(one["loss"], two["loss"])
    torch.testing.assert_close(one["elbo"], one["reconstruction"] - one["kl"])
    assert torch.equal(plain.elbo(x, _seeded(0)), changed.elbo(x, _seeded(0)))
    assert torch.equal(plain.log_prob_bound(x, 3, _seeded(0)), changed.log_prob_bound(x, 3, _seeded(0)))


def test_beta_can_be_changed_while_training_runs() -> None:
    model = _vae()
    model.config = dataclasses.replace(model.config, beta=2.5)
    terms = model.loss(_pictures(), _seeded(0))
    torch.testing.assert_close(terms["loss"], 2.5 * terms["kl"] - terms["reconstruction"])


def test_terms_are_sums_over_the_datum_so_twice_the_pixels_cost_twice_the_nats() -> None:
    small, large = (
        registry.build("vae", registry.tiny("vae") | {"network": "mlp"}, (Modality("i", "image", (1, 8, w)),))
        for w in (8, 16)
    )
    for model in (small, large):
        torch.nn.init.zeros_(model.decoder.layers[-1].weight)
        torch.nn.init.zeros_(model.decoder.layers[-1].bias)
    nats = [
        float(m.loss(torch.rand(2, *m.shape), _seeded(0))["reconstruction"].mean().detach()) for m in (small, large)
    ]
    assert nats == pytest.approx([-64 * 0.6931472, -128 * 0.6931472], rel=1e-5)


@pytest.mark.parametrize("change", [{}, {"prior": "vamp"}, {"prior": "mixture", "free_bits": 0.1}, {"network": "mlp"}])
def test_micro_batches_add_up_to_the_batch(change, monkeypatch) -> None:
    monkeypatch.setattr(
        capabilities, "draw_normal", lambda shape, like, generator: torch.zeros(shape, dtype=like.dtype)
    )
    model = _vae(likelihood="gaussian", **change).double()
    x = _pictures().double()
    model.loss(x, _seeded(0))["loss"].mean().backward()
    whole = {k: p.grad.clone() for k, p in model.named_parameters()}
    model.zero_grad()
    for part in x.split([1, 3, 4]):
        (model.loss(part, _seeded(0))["loss"].sum() / len(x)).backward()
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[key], rtol=1e-9, atol=1e-11)


def test_a_bernoulli_model_binarises_anew_with_the_generator_given() -> None:
    model, x = _vae(), _pictures()
    one, two = model.prepare(x, _seeded(0)), model.prepare(x, _seeded(1))
    assert set(one.unique().tolist()) == {0.0, 1.0} and not torch.equal(one, two)
    assert torch.equal(one, model.prepare(x, _seeded(0)))
    many = model.prepare(x[:1].expand(4000, 1, 8, 8), _seeded(2)).mean(0)
    assert (many - x[0]).abs().max() < 4.5 * 0.5 / 4000**0.5
    assert torch.equal(_vae(likelihood="gaussian").prepare(x, _seeded(0)), x)


def test_decoders_can_be_differentiated_twice_along_a_direction() -> None:
    """Geodesics need d2 mean / dz2; compared with finite differences in double precision."""
    for change in ({}, {"network": "mlp"}, {"likelihood": "logistic-mixture"}):
        model = _vae(**change).double().eval()
        g = _seeded(4)
        z, v = (torch.randn(2, 3, generator=g, dtype=torch.float64) for _ in range(2))

        def mean(a: Tensor, model: VAE = model) -> Tensor:
            return model.decode(a).mean

        def velocity(a: Tensor, v: Tensor = v) -> Tensor:
            return torch.func.jvp(mean, (a,), (v,))[1]

        acceleration = torch.func.jvp(velocity, (z,), (v,))[1]
        h = 1e-4
        numeric = (mean(z + h * v) - 2 * mean(z) + mean(z - h * v)) / h**2
        torch.testing.assert_close(acceleration, numeric, rtol=1e-3, atol=1e-6)
        assert acceleration.abs().max() > 1e-4
