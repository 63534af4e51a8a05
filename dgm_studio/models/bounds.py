"""Bounds on log p(x), for every model that encodes, decodes and has a prior.

All in nats, summed over the datum, with weight 1 on the KL: annealing and beta never reach this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.models.capabilities import Decodes, Encodes, Posterior
from dgm_studio.models.priors import Prior, StandardNormal

ROWS = 512  # data times samples decoded at once: bounds the memory of the importance-weighted estimate


class LatentVariable(Encodes, Decodes, Protocol):
    """p(x | z) p(z) and q(z | x)."""

    def latent_prior(self) -> Prior:
        """p(z), as a value that holds until the weights change."""


@dataclass(frozen=True)
class ImportanceBound:
    """What importance sampling says of each datum.

    Args:
        log_prob: log (1/K) sum_k w_k, [N], nats; a lower bound in expectation, rising with K (Burda et al. 2016,
            theorem 1).
        effective_samples: (sum w)^2 / sum w^2, [N], between 1 and K; near 1 the bound rests on a single draw.
    """

    log_prob: Float[Tensor, " n"]
    effective_samples: Float[Tensor, " n"]


def log_likelihoods(model: Decodes, x: Float[Tensor, "n *shape"], z: Float[Tensor, "k n z"]) -> Float[Tensor, "k n"]:
    """log p(x_n | z_kn) for k latents of every datum."""
    k, n = z.shape[:2]
    repeated = x.unsqueeze(0).expand(k, *x.shape).flatten(0, 1)
    return model.decode(z.flatten(0, 1)).log_prob(repeated).unflatten(0, (k, n))


def log_weights(
    model: LatentVariable, x: Float[Tensor, "n *shape"], q: Posterior, z: Float[Tensor, "k n z"], prior: Prior
) -> Float[Tensor, "k n"]:
    """log w = log p(x | z) + log p(z) - log q(z | x). At the true posterior it is log p(x), whatever z is."""
    return log_likelihoods(model, x, z) + prior.log_prob(z) - q.log_prob(z)


def kl_per_dim(prior: Prior, q: Posterior, z: Float[Tensor, "k n z"]) -> Float[Tensor, "n z"]:
    """KL(q(z | x) || p(z)) cut into dimensions.

    In closed form for a standard normal prior. Otherwise estimated from the draws z by the chain rule,
    log q(z_d | x) - log p(z_d | z_1 ... z_{d-1}): unbiased, sums to the whole KL's estimate; single
    values may be negative.
    """
    if isinstance(prior, StandardNormal):
        return q.kl_per_dim()
    return (q.log_prob_per_dim(z) - prior.log_prob_per_dim(z)).mean(0)


def elbo(
    model: LatentVariable, x: Float[Tensor, "n *shape"], generator: torch.Generator, samples: int = 1
) -> Float[Tensor, " n"]:
    """The evidence lower bound (Kingma and Welling 2014, equation 3), averaged over draws from the posterior."""
    q, prior = model.encode(x), model.latent_prior()
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for size in chunks(samples, len(x)):
        z = q.sample(generator, size)
        total = total + log_likelihoods(model, x, z).sum(0) - size * kl_per_dim(prior, q, z).sum(-1)
    return total / samples


def importance_bound(
    model: LatentVariable, x: Float[Tensor, "n *shape"], k: int, generator: torch.Generator
) -> ImportanceBound:
    """The importance-weighted bound with k draws, streamed: memory does not grow with k.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"an importance-weighted bound needs at least one sample, not {k}")
    q, prior = model.encode(x), model.latent_prior()
    first: Tensor | None = None
    second: Tensor | None = None
    for size in chunks(k, len(x)):
        w = log_weights(model, x, q, q.sample(generator, size), prior)
        one, two = torch.logsumexp(w, 0), torch.logsumexp(2.0 * w, 0)
        first = one if first is None else torch.logaddexp(first, one)
        second = two if second is None else torch.logaddexp(second, two)
    assert first is not None and second is not None  # k >= 1
    return ImportanceBound(
        first - torch.log(torch.tensor(float(k), dtype=first.dtype)), torch.exp(2.0 * first - second)
    )


def chunks(total: int, n: int) -> list[int]:
    """How many draws to take at a time so that at most `ROWS` data are decoded at once."""
    size = max(1, ROWS // max(1, n))
    return [min(size, total - start) for start in range(0, total, size)]
