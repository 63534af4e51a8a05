"""The denoiser of data whose distribution is known: what a perfect network would answer.

With it the error of a sampler and the error of a model can be told apart: run the sampler under both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.models.capabilities import LOG_TWO_PI, Estimate, Noising, Views
from dgm_studio.models.noising import along

BLOCK = 1 << 22  # pairs of a point and a component that are held at once: 32 MB
NARROW = 0.1  # widths below which differences of normal distribution functions lose digits


class Mixture(Protocol):
    """A distribution of x_0 that stays known when it is scaled and blurred."""

    def posterior(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """E[x_0 | x] [N, D] and log p(x) [N] in nats for x = alpha x_0 + sigma eps; the factors are 0-d or [N, 1]."""


@dataclass(frozen=True)
class ExactDenoiser:
    """E[x_0 | x_t] and log p(x_t) at every level of a path, in closed form; does everything that a model does.

    Args:
        path: The noise.
        mixture: The data.
    """

    path: Noising
    mixture: Mixture

    def noising(self) -> Noising:
        """The path."""
        return self.path

    def support(self) -> tuple[float, float] | None:
        """None: nothing is to be clipped."""
        return None

    def conditions(self) -> tuple[Modality, ...]:
        """None."""
        return ()

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """The posterior means of x_0 and eps, computed in float64 where the device has it."""
        clean = self._posterior(x, t)[0]
        alpha, sigma = along(self.path.alpha(t), x), along(self.path.sigma(t), x)
        return Estimate(clean, (x - alpha * clean) / sigma)

    def log_prob(self, x: Float[Tensor, "n d"], t: Tensor) -> Float[Tensor, " n"]:
        """log p(x_t) at time t, 0-d or [N], in nats."""
        return self._posterior(x, t)[1]

    def _posterior(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        wide = x if x.device.type == "mps" else x.double()
        clean, log_prob = self.mixture.posterior(wide, along(self.path.alpha(t), wide), along(self.path.sigma(t), wide))
        return clean.to(x.dtype), log_prob.to(x.dtype)


@dataclass(frozen=True)
class GaussianMixture:
    """Gaussians of one common diagonal covariance.

    Args:
        means: [K, D], float64.
        std: [D] or 0-d; positive.
        log_weights: [K], normalised; None are equal ones.
    """

    means: Float[Tensor, "k d"]
    std: Float[Tensor, "*d"]
    log_weights: Float[Tensor, " k"] | None = None

    def posterior(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """In blocks of rows that bound the memory."""
        size = max(1, BLOCK // len(self.means))
        count = -(-len(x) // size)
        alphas, sigmas = (v.split(size) if v.ndim else (v,) * count for v in (alpha, sigma))
        blocks = zip(x.split(size), alphas, sigmas, strict=True)
        clean, log_prob = zip(*(self._block(*block) for block in blocks), strict=True)
        return torch.cat(clean), torch.cat(log_prob)

    def _block(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        means, std = self.means.to(x), self.std.to(x).expand(x.shape[1])
        variance = (alpha * std).square() + sigma.square()  # [D] or [N, D]
        # |x - alpha m|^2 / variance as three terms: one product of matrices instead of N K D differences
        shares = (alpha * x / variance) @ means.T - 0.5 * (alpha.square() / variance) @ means.square().T
        if self.log_weights is not None:
            shares = shares + self.log_weights.to(x)
        most = shares.amax(1, keepdim=True)
        shares = (shares - most).exp()
        mass = shares.sum(1, keepdim=True)
        gain = alpha * std.square() / variance
        clean = gain * x + (1.0 - alpha * gain) * (shares @ means / mass)
        log_prob = (most + mass.log())[:, 0] - 0.5 * (x.square() / variance + variance.log() + LOG_TWO_PI).sum(1)
        return clean, log_prob if self.log_weights is not None else log_prob - math.log(len(means))


@dataclass(frozen=True)
class BoxMixture:
    """Uniform distributions on boxes; behind noise each coordinate is a normal variable cut off at both sides.

    Args:
        low: Lower corners, [K, D], float64.
        high: Upper corners, [K, D].
    """

    low: Float[Tensor, "k d"]
    high: Float[Tensor, "k d"]

    def posterior(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The boxes share of x by their evidence, and in each the mean of the cut-off normal."""
        low, high, x = self.low.to(x), self.high.to(x), x[:, None, :]
        alpha, sigma = (v[:, None, :] if v.ndim else v for v in (alpha, sigma))
        middle, size = (low + high) / 2.0, high - low
        log_density, offset = _cut_normal((alpha * middle - x) / sigma, alpha * size / sigma)
        log_evidence = (log_density - sigma.log()).sum(2)  # [N, K]
        total = torch.logsumexp(log_evidence, 1)
        shares = (log_evidence - total[:, None]).exp()
        clean = (shares[:, :, None] * (middle + size * offset)).sum(1)
        return clean, total - math.log(len(low))


def _cut_normal(middle: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Of a standard normal variable on [middle - width / 2, middle + width / 2].

    Returns:
        The logarithm of its mean density there, and its mean there, as a share of the width from the middle, in
        [-1/2, 1/2].
    """
    width = width.expand_as(middle)
    side = torch.where(middle < 0.0, -1.0, 1.0).to(middle)
    middle = middle.abs()  # the density falls from left to right: both ends may be taken as tails to the right
    narrow = width < NARROW
    thin_log, thin_mean = _cut_thin(middle, torch.where(narrow, width, NARROW))
    wide_log, wide_mean = _cut_wide(middle, torch.where(narrow, NARROW, width))
    mean = torch.where(narrow, thin_mean, wide_mean).clamp(-0.5, 0.5)
    return torch.where(narrow, thin_log, wide_log), side * mean


def _cut_wide(middle: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    start, end = middle - width / 2.0, middle + width / 2.0
    right, far = torch.special.log_ndtr(-start), torch.special.log_ndtr(-end)
    log_mass = right + torch.log1p(-torch.exp(far - right))
    heights = [torch.exp(-0.5 * (at.square() + LOG_TWO_PI) - log_mass) for at in (start, end)]
    return log_mass - width.log(), (heights[0] - heights[1] - middle) / width


def _cut_thin(middle: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """By Gauss and Legendre's rule with 8 nodes, exact to the last digit while middle times width is below about 10."""
    nodes, weights = _rule(middle)
    relative = -(middle * width)[..., None] * nodes - 0.5 * width.square()[..., None] * nodes.square()
    density = relative.exp() * weights
    mass = density.sum(-1)
    log_density = mass.log() - 0.5 * (middle.square() + LOG_TWO_PI)
    return log_density, (density * nodes).sum(-1) / mass


def _rule(like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes in [-1/2, 1/2] and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    return torch.from_numpy(nodes).to(like) / 2.0, torch.from_numpy(weights).to(like) / 2.0
