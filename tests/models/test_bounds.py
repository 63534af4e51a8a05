"""Bounds against an exact evidence: the linear Gaussian VAE is probabilistic PCA (Tipping and Bishop 1999)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, distributions

from dgm_studio.core.cards import Modality
from dgm_studio.models import bounds, registry
from dgm_studio.models.blocks import inverse_softened_floor
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.distributions import LEAST_LOG_STD
from dgm_studio.models.vae import VAE

PIXELS, LATENTS, STD = 6, 2, 0.4
PICTURE = (Modality("image", "image", (1, 2, 3)),)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _linear(shift: float = 0.0, seed: int = 0) -> tuple[VAE, distributions.Distribution]:
    """The real VAE with weights for which everything is known, and its exact p(x).

    Columns of the loading matrix are orthogonal, so that the true posterior is diagonal and the encoder can hold it.

    Args:
        shift: How far the encoder is moved away from the true posterior.
        seed: Of the weights.
    """
    config = {"network": "linear", "likelihood": "gaussian", "latent": LATENTS}
    model = registry.build("vae", config, PICTURE).double()
    g = _seeded(seed)
    basis, _ = torch.linalg.qr(torch.randn(PIXELS, LATENTS, generator=g, dtype=torch.float64))
    loading = basis * torch.tensor([1.5, 0.7], dtype=torch.float64)
    centre = torch.rand(PIXELS, generator=g, dtype=torch.float64)
    precision = loading.square().sum(0) + STD**2  # the diagonal of M = W'W + std^2 I
    back = loading.T / precision.unsqueeze(1)
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    with torch.no_grad():
        decoder.weight.copy_(loading)
        decoder.bias.copy_(centre)
        model.head.raw_log_std.fill_(inverse_softened_floor(math.log(STD), LEAST_LOG_STD))
        encoder.weight.copy_(torch.cat([back, torch.zeros_like(back)]))
        encoder.bias.copy_(torch.cat([-back @ centre, (STD / precision.sqrt()).log()]))
        for parameter in (encoder.weight, encoder.bias):
            parameter += shift * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    covariance = loading @ loading.T + STD**2 * torch.eye(PIXELS, dtype=torch.float64)
    return model, distributions.MultivariateNormal(centre, covariance)


def _data(exact: distributions.Distribution, n: int = 5) -> tuple[Tensor, Tensor]:
    """Data x and their exact log p(x)."""
    x = exact.mean + exact.covariance_matrix.diagonal().sqrt() * torch.randn(
        n, PIXELS, generator=_seeded(9), dtype=torch.float64
    )
    return x.view(n, 1, 2, 3), exact.log_prob(x)


@torch.no_grad()
def _check_equality_at_the_true_posterior() -> None:
    model, exact = _linear()
    x, evidence = _data(exact)
    q = model.encode(x)
    z = q.sample(_seeded(0), 200)
    w = bounds.log_weights(model, x, q, z, model.latent_prior())
    assert (w - evidence).abs().max() < 1e-10, "log p(x, z) - log q(z | x) is not the evidence"


@torch.no_grad()
def _check_elbo_and_gap(shift: float) -> None:
    """Below the evidence by exactly KL(q || true posterior), within 4 standard errors; loss and score alike."""
    (model, exact), (true, _) = _linear(shift), _linear()
    x, evidence = _data(exact)
    q, p = (distributions.Normal(m.encode(x).mean, m.encode(x).std) for m in (model, true))
    gap = distributions.kl_divergence(q, p).sum(-1)
    many = 4000
    repeated = x.repeat_interleave(many, 0)
    for draws in (model.loss(repeated, _seeded(1))["elbo"], model.elbo(repeated, _seeded(2))):
        draws = draws.view(len(x), many)
        error = draws.std(1) / many**0.5
        assert (draws.mean(1) <= evidence + 4 * error).all(), "above the evidence"
        assert ((draws.mean(1) - (evidence - gap)).abs() <= 4 * error).all(), "the gap is not KL(q || p(z | x))"


def test_at_the_true_posterior_every_sample_gives_the_evidence() -> None:
    _check_equality_at_the_true_posterior()


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.4])
def test_the_elbo_is_below_the_evidence_by_the_divergence_from_the_true_posterior(shift) -> None:
    _check_elbo_and_gap(shift)


def test_the_oracles_catch_a_missing_kl_a_wrong_sign_and_a_forgotten_density(monkeypatch) -> None:
    kl = bounds.kl_per_dim
    for wrong in (
        lambda p, q, z: torch.zeros_like(q.mean),
        lambda p, q, z: -kl(p, q, z),
        lambda p, q, z: 0.5 * kl(p, q, z),
    ):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(bounds, "kl_per_dim", wrong)
            _check_elbo_and_gap(0.1)
    for cls, name in ((Posterior, "log_prob"), (type(_linear()[0].latent_prior()), "log_prob")):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(cls, name, lambda self, z: torch.zeros_like(z[..., 0]))
            _check_equality_at_the_true_posterior()


@torch.no_grad()
def test_the_importance_weighted_bound_rises_with_its_samples_to_the_evidence() -> None:
    model, exact = _linear(0.06)
    x, evidence = _data(exact, 3)
    many = 300
    means, errors = [], []
    for k in (1, 5, 25, 400):
        draws = model.log_prob_bound(x.repeat_interleave(many, 0), k, _seeded(k)).view(3, many)
        means.append(draws.mean(1))
        errors.append(draws.std(1) / many**0.5)
        assert (means[-1] <= evidence + 4 * errors[-1]).all()
    for i in range(3):
        assert (means[i + 1] >= means[i] - 4 * (errors[i] ** 2 + errors[i + 1] ** 2).sqrt()).all()
    assert (means[0] < evidence - 4 * errors[0]).any()
    assert ((evidence - means[-1]) <= 4 * errors[-1] + 0.02 * (evidence - means[0])).all()


@torch.no_grad()
def test_streaming_changes_neither_the_bound_nor_the_effective_sample_size(monkeypatch) -> None:
    model, exact = _linear(0.3)
    x, _ = _data(exact, 4)
    monkeypatch.setattr(bounds, "ROWS", 1)  # one draw of z at a time
    found = bounds.importance_bound(model, x, 7, _seeded(3))
    g, q = _seeded(3), model.encode(x)
    w = torch.cat([bounds.log_weights(model, x, q, q.sample(g), model.latent_prior()) for _ in range(7)])
    torch.testing.assert_close(found.log_prob, w.logsumexp(0) - math.log(7), rtol=1e-12, atol=1e-12)
    share = w.softmax(0)
    torch.testing.assert_close(found.effective_samples, 1 / share.square().sum(0), rtol=1e-10, atol=1e-10)
    score = model.elbo(x, _seeded(3), 7)
    g = _seeded(3)
    by_hand = torch.stack([bounds.log_likelihoods(model, x, q.sample(g))[0] for _ in range(7)]).mean(0)
    torch.testing.assert_close(score, by_hand - q.kl_per_dim().sum(-1), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_effective_sample_size_is_all_of_them_at_the_true_posterior() -> None:
    model, exact = _linear()
    found = bounds.importance_bound(model, _data(exact)[0], 1000, _seeded(0))
    torch.testing.assert_close(found.effective_samples, torch.full((5,), 1000.0, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least one"):
        bounds.importance_bound(model, _data(exact)[0], 0, _seeded(0))


@pytest.mark.parametrize("prior", ["normal", "mixture", "vamp"])
def test_bounds_of_a_trained_convolutional_model_are_ordered(prior) -> None:
    """ELBO <= IWAE-10 <= IWAE-100 on the same binarisations."""
    model = registry.build("vae", registry.tiny("vae") | {"prior": prior}, (Modality("i", "image", (1, 8, 8)),))
    x = _blobs(48)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(80):
        optimiser.zero_grad()
        model.loss(x, _seeded(step))["loss"].mean().backward()
        optimiser.step()
    with torch.no_grad():
        model.encoder.out[-1].bias += 0.5  # a worse posterior, so that there is a gap to close
        x, again = model.prepare(x, _seeded(0)).repeat(6, 1, 1, 1), _seeded(1)
        one = bounds.elbo(model, x, again)
        ten, hundred = (bounds.importance_bound(model, x, k, again).log_prob for k in (10, 100))
    for lower, upper in ((one, ten), (ten, hundred)):
        difference = upper - lower
        assert difference.mean() > -4 * difference.std() / len(x) ** 0.5
    assert (ten - one).mean() > 0.05


def _blobs(n: int) -> Tensor:
    """Soft spots at random places on 8 by 8 pixels."""
    g = _seeded(5)
    at = 7 * torch.rand(n, 2, 1, 1, generator=g)
    axis = torch.arange(8.0)
    square = (axis.view(1, 8, 1) - at[:, 0]).square() + (axis.view(1, 1, 8) - at[:, 1]).square()
    return (0.98 * torch.exp(-square / 4.0)).unsqueeze(1)
