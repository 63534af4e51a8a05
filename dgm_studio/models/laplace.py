"""The Laplace distribution, as posterior, prior and likelihood (the choice of Shi et al. 2019 for all three)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgm_studio.models.capabilities import Likelihood, Posterior, draw_normal, gaussian_log_prob
from dgm_studio.models.priors import Encode, Prior

ROOT_TWO = math.sqrt(2.0)
PICTURE_SCALE = 0.75  # of the likelihood of pictures (Shi et al. 2019; the authors' answer on reproducing their table)
MEAN_MARGIN = 1e-6  # a picture's mean stays this far from 0 and 1, as in the authors' experiments


def draw_laplace(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from the Laplace distribution of mean 0 and scale 1, by inverting its distribution function."""
    u = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device) - 0.5
    least = torch.finfo(like.dtype).tiny  # u = -0.5 occurs and would be sent to infinity
    return -u.sign() * torch.log((1.0 - 2.0 * u.abs()).clamp(min=least))


def laplace_log_prob(x: Tensor, mean: Tensor | float, scale: Tensor) -> Tensor:
    """Log density of independent Laplace variables, element by element, in nats."""
    return -((x - mean) / scale).abs() - torch.log(2.0 * scale)


def laplace_kl(mean: Tensor, scale: Tensor, prior_scale: Tensor) -> Tensor:
    """KL(Laplace(mean, scale) || Laplace(0, prior_scale)), element by element, in nats.

    E|z| = |mean| + scale exp(-|mean| / scale) under the first, and the rest is the difference of the two entropies.
    """
    distance = mean.abs()
    expected = distance + scale * torch.exp(-distance / scale)
    return torch.log(prior_scale / scale) + expected / prior_scale - 1.0


def gaussian_kl(mean: Tensor, std: Tensor, prior_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, prior_std^2)), element by element, in nats."""
    ratio = std / prior_std
    return 0.5 * ((mean / prior_std).square() + ratio.square() - 1.0) - ratio.log()


@dataclass(frozen=True)
class LaplacePosterior(Posterior):
    """A Laplace q(z | x) with independent dimensions, for each of N data.

    Args:
        mean: [N, Z].
        std: [N, Z], positive: its standard deviation, which is the square root of 2 times its scale b.
    """

    @property
    def scale(self) -> Float[Tensor, "n z"]:
        """b in exp(-|z - mean| / b) / (2 b)."""
        return self.std / ROOT_TWO

    def sample(self, generator: torch.Generator, k: int = 1) -> Float[Tensor, "k n z"]:
        """Draw k latents for each datum; mean and scale take part as in the Gaussian's reparametrisation."""
        return self.mean + self.scale * draw_laplace((k, *self.mean.shape), self.mean, generator)

    def log_prob_per_dim(self, z: Float[Tensor, "*k n z"]) -> Float[Tensor, "*k n z"]:
        """log q(z_d | x) for every dimension d, in nats."""
        return laplace_log_prob(z, self.mean, self.scale)

    def kl_per_dim(self) -> Float[Tensor, "n z"]:
        """KL(q(z_d | x) || Laplace(0, 1)) in nats, in closed form."""
        return laplace_kl(self.mean, self.scale, torch.ones_like(self.std))


@dataclass(frozen=True)
class ScaledLaplace:
    """p(z) = prod_d Laplace(z_d; 0, scale_d).

    Args:
        scale: [Z], positive; the standard deviation is the square root of 2 times that.
    """

    scale: Float[Tensor, " z"]

    def log_prob_per_dim(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n z"]:
        """Independent dimensions."""
        return laplace_log_prob(z, 0.0, self.scale)

    def log_prob(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n"]:
        """Log density."""
        return self.log_prob_per_dim(z).sum(-1)

    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Float[Tensor, "n z"]:
        """Scaled draws."""
        return temperature * self.scale * draw_laplace((n, *self.scale.shape), self.scale, generator)

    def std(self) -> Float[Tensor, " z"]:
        """Of every dimension."""
        return ROOT_TWO * self.scale

    def kl_per_dim(self, q: Posterior) -> Float[Tensor, "n z"] | None:
        """KL(q(z_d | x) || p(z_d)), nats; nothing where there is no closed form (q is no Laplace)."""
        return laplace_kl(q.mean, q.scale, self.scale) if isinstance(q, LaplacePosterior) else None


@dataclass(frozen=True)
class ScaledNormal:
    """p(z) = prod_d N(z_d; 0, scale_d^2).

    Args:
        scale: [Z], positive: standard deviations.
    """

    scale: Float[Tensor, " z"]

    def log_prob_per_dim(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n z"]:
        """Independent dimensions."""
        return gaussian_log_prob(z, torch.zeros_like(self.scale), self.scale.log())

    def log_prob(self, z: Float[Tensor, "*n z"]) -> Float[Tensor, "*n"]:
        """Log density."""
        return self.log_prob_per_dim(z).sum(-1)

    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Float[Tensor, "n z"]:
        """Scaled draws."""
        return temperature * self.scale * draw_normal((n, *self.scale.shape), self.scale, generator)

    def std(self) -> Float[Tensor, " z"]:
        """Of every dimension."""
        return self.scale

    def kl_per_dim(self, q: Posterior) -> Float[Tensor, "n z"] | None:
        """KL(q(z_d | x) || p(z_d)), nats; nothing where there is no closed form (q is no Gaussian)."""
        return gaussian_kl(q.mean, q.std, self.scale) if type(q) is Posterior else None


class ScaledPrior(nn.Module):
    """Laplace or Gaussian of mean 0 whose scales are softmax(logits) Z, so that they sum to Z (Shi et al. 2019).

    The sum holds the whole prior's width: without it a learnt prior could grow or shrink together with the posteriors
    for nothing. Where nothing is learnt every scale is 1.

    Args:
        latent: Z.
        kind: "laplace" or "gaussian".
        learnt: Whether the scales are.

    Raises:
        ValueError: There is no such kind.
    """

    def __init__(self, latent: int, kind: str = "laplace", *, learnt: bool = True) -> None:
        super().__init__()
        if kind not in ("laplace", "gaussian"):
            raise ValueError(f"no prior is called {kind}")
        self.kind = kind
        if learnt:
            self.logits: Tensor = nn.Parameter(torch.zeros(latent))
        else:
            self.register_buffer("logits", torch.zeros(latent), persistent=False)

    def scale(self) -> Float[Tensor, " z"]:
        """[Z], in sum Z."""
        return torch.softmax(self.logits, 0) * len(self.logits)

    def forward(self, encode: Encode | None = None) -> Prior:
        """The value, until the weights change; `encode` is not used."""
        return ScaledLaplace(self.scale()) if self.kind == "laplace" else ScaledNormal(self.scale())


@dataclass(frozen=True)
class Laplace:
    """p(x | z): independent Laplace variables of one scale.

    Args:
        mean: [N, *S].
        scale: b, above 0.
    """

    mean: Float[Tensor, "n *shape"]
    scale: float = PICTURE_SCALE

    def log_prob(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """Log density, summed."""
        every = -(x - self.mean).abs() / self.scale - math.log(2.0 * self.scale)
        return every.flatten(1).sum(1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "n *shape"]:
        """The mean with noise."""
        return self.mean + self.scale * draw_laplace(tuple(self.mean.shape), self.mean, generator)


class LaplaceHead(nn.Module):
    """A Laplace likelihood of fixed scale for pictures, whose means are inside (0, 1).

    Args:
        shape: Shape of a datum.
        scale: b; Shi et al. 2019 use 0.75.
    """

    def __init__(self, shape: tuple[int, ...], scale: float = PICTURE_SCALE) -> None:
        super().__init__()
        self.shape = self.raw_shape = shape
        self.fixed = scale

    def forward(self, raw: Float[Tensor, "n *raw"]) -> Likelihood:
        """Logits of the means [N, *S] to a distribution."""
        return Laplace(torch.sigmoid(raw).clamp(MEAN_MARGIN, 1.0 - MEAN_MARGIN), self.fixed)
