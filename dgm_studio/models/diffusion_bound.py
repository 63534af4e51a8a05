"""The variational bound of discrete diffusion, term by term (Ho et al. 2020, equation 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgm_studio.models.capabilities import gaussian_log_prob
from dgm_studio.models.noising import along
from dgm_studio.models.schedules import Tables

HALF_STEP = 1.0 / 255.0  # half a grey level, where pixels are in [-1, 1]
LEAST_PROBABILITY = 1e-12


def step_terms(
    tables: Tables, x0: Tensor, x: Tensor, clean: Tensor, log_variance: Tensor, t: Tensor, pixels: bool
) -> Tensor:
    """L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of every number, and at t = 0 -log p(x_0 | x_1).

    Args:
        tables: Of the schedule.
        x0: Clean data [N, *S] in the model's space.
        x: x_t, likewise.
        clean: The model's estimate of x_0 (clipped, where it is).
        log_variance: Of p, broadcastable.
        t: Index of every example, int64 [N] on the CPU, or 0-d.
        pixels: The data are 256 levels in [-1, 1], whose probability is that of their bin (equation 13).

    Returns:
        Nats, [N, *S].
    """
    noisy, factor = along(tables.noisy_factor[t], x) * x, along(tables.clean_factor[t], x)
    mean = factor * clean + noisy
    true_log_variance = along(tables.posterior_log_variance[t], x)
    distance = (factor * (x0 - clean)).square() * torch.exp(-log_variance)
    ratio = true_log_variance - log_variance
    kl = 0.5 * (ratio.exp() - 1.0 - ratio + distance)
    decoder = -(bin_log_prob if pixels else gaussian_log_prob)(x0, mean, 0.5 * log_variance.expand_as(x))
    return torch.where(along((t == 0).to(x.dtype), x) > 0.5, decoder, kl)


def bin_log_prob(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log probability of the grey level x under a Gaussian that is cut into 256 bins; the outer two reach to infinity.

    Args:
        x: Levels in [-1, 1], [N, *S].
        mean: Likewise.
        log_std: Likewise.
    """
    scale = torch.exp(-log_std)
    above, below = (x - mean + HALF_STEP) * scale, (x - mean - HALF_STEP) * scale
    # The smaller tail is taken, or the difference of two ones would say nothing of bins above the mean.
    turned = below > 0.0
    high, low = torch.where(turned, -below, above), torch.where(turned, -above, below)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    inside = upper + torch.log1p(-(lower - upper).exp().clamp(max=1.0 - LEAST_PROBABILITY))
    first, last = torch.special.log_ndtr(above), torch.special.log_ndtr(-below)
    return torch.where(x < -1.0 + HALF_STEP, first, torch.where(x > 1.0 - HALF_STEP, last, inside))


def prior_terms(tables: Tables, x0: Tensor) -> Tensor:
    """L_T = KL(q(x_T | x_0) || N(0, 1)) of every number, nats [N, *S]."""
    kept = float(tables.alpha_bar[-1])
    return 0.5 * (kept * x0.square() + (1.0 - kept) - 1.0 - math.log1p(-kept))
