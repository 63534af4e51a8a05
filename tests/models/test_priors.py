"""Posteriors and priors against torch.distributions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, distributions

from dgm_studio.core.cards import Modality
from dgm_studio.models import bounds, registry
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.priors import GaussianMixture, StandardNormal

PICTURE = (Modality("image", "image", (1, 8, 8)),)


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _torch_mixture(p: GaussianMixture) -> distributions.Distribution:
    parts = distributions.Independent(distributions.Normal(p.mean, p.log_std.exp()), 1)
    return distributions.MixtureSameFamily(distributions.Categorical(logits=p.logits), parts)


def _some_mixture() -> GaussianMixture:
    return GaussianMixture(_draw(5, seed=1), 2 * _draw(5, 3, seed=2), 0.4 * _draw(5, 3, seed=3) - 0.5)


def test_kl_per_dimension_and_log_density_of_a_posterior_equal_torchs() -> None:
    q = Posterior(_draw(4, 3), _draw(4, 3, seed=1).exp())
    normal = distributions.Normal(q.mean, q.std)
    exact = distributions.kl_divergence(normal, distributions.Normal(torch.zeros(()).double(), 1.0))
    torch.testing.assert_close(q.kl_per_dim(), exact, rtol=1e-12, atol=1e-12)
    z = q.sample(torch.Generator().manual_seed(0), 7)
    torch.testing.assert_close(q.log_prob(z), normal.log_prob(z).sum(-1), rtol=1e-12, atol=1e-12)


def test_the_standard_normal_equals_torchs() -> None:
    p, z = StandardNormal(_draw(3)), _draw(6, 3, seed=4)
    exact = distributions.Normal(torch.zeros(3).double(), 1.0).log_prob(z)
    torch.testing.assert_close(p.log_prob_per_dim(z), exact, rtol=1e-12, atol=1e-12)


def test_a_mixture_equals_torchs_and_its_dimensions_add_up_by_the_chain_rule() -> None:
    p, z = _some_mixture(), 2 * _draw(2, 6, 3, seed=4)
    torch.testing.assert_close(p.log_prob(z), _torch_mixture(p).log_prob(z), rtol=1e-12, atol=1e-12)
    per_dim = p.log_prob_per_dim(z)
    torch.testing.assert_close(per_dim.sum(-1), p.log_prob(z), rtol=1e-12, atol=1e-12)
    for dims in (1, 2):
        marginal = _torch_mixture(GaussianMixture(p.logits, p.mean[:, :dims], p.log_std[:, :dims]))
        torch.testing.assert_close(
            per_dim[..., :dims].sum(-1), marginal.log_prob(z[..., :dims]), rtol=1e-12, atol=1e-12
        )


def test_samples_of_a_mixture_have_its_moments_and_temperature_narrows_components_only() -> None:
    p, n = _some_mixture(), 40_000
    z, exact = p.sample(n, torch.Generator().manual_seed(0)), _torch_mixture(p)
    assert ((z.mean(0) - exact.mean).abs() < 4 * p.std() / n**0.5).all()
    torch.testing.assert_close(p.std(), exact.variance.sqrt(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(z.std(0), p.std(), rtol=0.03, atol=0.0)
    cold = p.sample(200, torch.Generator().manual_seed(0), temperature=0.0)
    assert ((cold.unsqueeze(1) - p.mean).abs().sum(2).min(1).values < 1e-12).all()
    assert len(cold.unique(dim=0)) == 5


def test_the_vampprior_is_the_equal_mixture_of_the_posteriors_of_its_pseudo_inputs() -> None:
    model = registry.build("vae", registry.tiny("vae") | {"prior": "vamp"}, PICTURE).double()
    pseudo = model.prior.pseudo_inputs()
    assert pseudo.shape == (4, 1, 8, 8) and pseudo.min() >= 0 and pseudo.max() <= 1
    q, z = model.encode(pseudo), _draw(6, 3)
    exact = torch.stack([distributions.Normal(q.mean[k], q.std[k]).log_prob(z).sum(-1) for k in range(4)])
    torch.testing.assert_close(model.prior_log_prob(z), exact.logsumexp(0) - torch.tensor(4.0).double().log())


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_a_monte_carlo_kl_is_unbiased(prior) -> None:
    """Against an independent estimate with other draws, and exactly against the sum over dimensions."""
    model = registry.build("vae", registry.tiny("vae") | {"prior": prior}, PICTURE).double()
    with torch.no_grad():
        q, p = model.encode(torch.rand(3, 1, 8, 8, dtype=torch.float64)), model.latent_prior()
        z = q.sample(torch.Generator().manual_seed(0), 4000)
        kl = q.log_prob(z) - p.log_prob(z)
        torch.testing.assert_close(bounds.kl_per_dim(p, q, z).sum(-1), kl.mean(0))
        other = bounds.kl_per_dim(p, q, q.sample(torch.Generator().manual_seed(1), 4000)).sum(-1)
        assert ((other - kl.mean(0)).abs() < 4 * 2**0.5 * kl.std(0) / 4000**0.5).all()
        own = model.kl_per_dim(q, torch.Generator().manual_seed(0), 4000)
        torch.testing.assert_close(own.sum(-1), kl.mean(0))
        assert (kl.mean(0) > -4 * kl.std(0) / 4000**0.5).all()


def test_a_one_component_mixture_at_the_origin_gives_the_closed_form_kl() -> None:
    q = Posterior(_draw(2, 3), _draw(2, 3, seed=1).exp())
    p = GaussianMixture(torch.zeros(1).double(), torch.zeros(1, 3).double(), torch.zeros(1, 3).double())
    n = 40_000
    z = q.sample(torch.Generator().manual_seed(0), n)
    terms = q.log_prob_per_dim(z) - p.log_prob_per_dim(z)
    assert ((bounds.kl_per_dim(p, q, z) - q.kl_per_dim()).abs() < 4.5 * terms.std(0) / n**0.5).all()
