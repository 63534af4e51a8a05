"""Priors over latents: modules that give a value with log_prob, sample and std."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgm_studio.models.blocks import softened_floor
from dgm_studio.models.capabilities import Posterior, draw_normal, gaussian_log_prob

LEAST_LOG_STD = -5.0  # of a prior component: keeps a component from closing on one datum


class Prior(Protocol):
    """p(z), as a value."""

    def log_prob_per_dim(self, z: Tensor) -> Tensor:
        """log p(z_d | z_1 ... z_{d-1}) of z [..., Z], in nats; sums to `log_prob`."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of z [..., Z]: [...], nats."""

    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """n draws [n, Z]; temperature scales standard deviations."""

    def std(self) -> Tensor:
        """Standard deviation of every dimension, [Z]."""


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I).

    Args:
        like: Any tensor [Z] whose size, dtype and device count.
    """

    like: Float[Tensor, " z"]

    def log_prob_per_dim(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n z"]:
        """Independent dimensions."""
        return -0.5 * (z.square() + math.log(2.0 * math.pi))

    def log_prob(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n"]:
        """Log density."""
        return self.log_prob_per_dim(z).sum(-1)

    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Float[Tensor, "n z"]:
        """Scaled normal draws."""
        return temperature * draw_normal((n, *self.like.shape), self.like, generator)

    def std(self) -> Float[Tensor, " z"]:
        """Ones."""
        return torch.ones_like(self.like)


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of K diagonal Gaussians.

    Args:
        logits: [K], unnormalised log weights.
        mean: [K, Z].
        log_std: [K, Z].
    """

    logits: Float[Tensor, " k"]
    mean: Float[Tensor, "k z"]
    log_std: Float[Tensor, "k z"]

    def log_prob_per_dim(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n z"]:
        """The chain rule: the mixture's marginal over the first d dimensions, minus that over the first d - 1."""
        parts = gaussian_log_prob(z.unsqueeze(-2), self.mean, self.log_std).cumsum(-1)
        marginals = torch.logsumexp(torch.log_softmax(self.logits, 0).unsqueeze(-1) + parts, dim=-2)
        return torch.cat([marginals[..., :1], marginals[..., 1:] - marginals[..., :-1]], dim=-1)

    def log_prob(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n"]:
        """Log density."""
        parts = gaussian_log_prob(z.unsqueeze(-2), self.mean, self.log_std).sum(-1)
        return torch.logsumexp(torch.log_softmax(self.logits, 0) + parts, dim=-1)

    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Float[Tensor, "n z"]:
        """A component, then a draw from it; temperature narrows components and leaves their centres."""
        chosen = torch.multinomial(torch.softmax(self.logits, 0), n, replacement=True, generator=generator)
        noise = draw_normal((n, self.mean.shape[1]), self.mean, generator)
        return self.mean[chosen] + temperature * self.log_std[chosen].exp() * noise

    def std(self) -> Float[Tensor, " z"]:
        """By the law of total variance."""
        weights = torch.softmax(self.logits, 0).unsqueeze(-1)
        centre = (weights * self.mean).sum(0)
        return (weights * ((self.mean - centre).square() + (2.0 * self.log_std).exp())).sum(0).sqrt()


Encode = Callable[[Tensor], Posterior]


class NormalPrior(nn.Module):
    """The standard normal; nothing is learnt."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("like", torch.zeros(latent), persistent=False)
        self.like: Tensor

    def forward(self, encode: Encode) -> Prior:
        """The value; `encode` is not used."""
        return StandardNormal(self.like)


class MixturePrior(nn.Module):
    """Learnt mixture of diagonal Gaussians (Dilokthanakul et al. 2016), with the component summed out.

    Args:
        latent: Z.
        components: K.
    """

    def __init__(self, latent: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent))
        self.raw_log_std = nn.Parameter(torch.zeros(components, latent))

    def forward(self, encode: Encode) -> Prior:
        """The value; `encode` is not used."""
        return GaussianMixture(self.logits, self.mean, softened_floor(self.raw_log_std, LEAST_LOG_STD))


class VampPrior(nn.Module):
    """Mixture of the posteriors of K learnt pseudo-inputs (Tomczak and Welling 2018, equation 7), with equal weights.

    Args:
        shape: Shape of a datum.
        components: K.
        squash: Keep pseudo-inputs within [0, 1] by a sigmoid, for pictures.
    """

    def __init__(self, shape: tuple[int, ...], components: int, *, squash: bool) -> None:
        super().__init__()
        self.squash = squash
        self.raw = nn.Parameter(torch.randn(components, *shape))
        self.register_buffer("logits", torch.zeros(components), persistent=False)
        self.logits: Tensor

    def pseudo_inputs(self) -> Float[Tensor, "k *shape"]:
        """The learnt data, [K, *S]; they can be looked at."""
        return torch.sigmoid(self.raw) if self.squash else self.raw

    def forward(self, encode: Encode) -> Prior:
        """Encode the pseudo-inputs; the value holds until the encoder changes."""
        q = encode(self.pseudo_inputs())
        return GaussianMixture(self.logits, q.mean, q.std.log())
