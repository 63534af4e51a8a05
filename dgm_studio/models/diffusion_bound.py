"""The variational bound of discrete diffusion, term by term (Ho et al. 2020, equation 5)."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dgm_studio.models.capabilities import Estimate, Views, draw_normal, gaussian_log_prob
from dgm_studio.models.noising import TableNoising, along
from dgm_studio.models.schedules import Tables

HALF_STEP = 1.0 / 255.0  # half a grey level, where pixels are in [-1, 1]


class Discrete(Protocol):
    """What the bound is worked out for: a model of T steps."""

    tables: Tables

    def noising(self) -> TableNoising:
        """Its schedule."""

    def support(self) -> tuple[float, float] | None:
        """The range of pixels, None for points."""

    def clip(self) -> str:
        """Whether its clean estimates are cut to that range."""

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """Clean data and noise behind x."""

    def log_variance(self, t: Tensor, like: Tensor, fraction: Tensor | None = None) -> Tensor:
        """Of a step back."""


@dataclass(frozen=True)
class Bound:
    """An upper bound on -log p(x_0) of every datum, term by term.

    Args:
        terms: Nats, float64 [N, T + 1]: column 0 is the decoder's, column t the divergence of the step back from t,
            column T that of the noisiest data from pure noise.
        numbers: Of a datum.
    """

    terms: Tensor
    numbers: int

    def nats(self) -> Tensor:
        """-log p(x_0) at most, [N]; of points a density in the model's space."""
        return self.terms.sum(1)

    def bits(self) -> Tensor:
        """The same in bits per number ("bits/dim"), [N]."""
        return self.nats() / (self.numbers * math.log(2.0))


def bounding(
    model: Discrete, x0: Tensor, generator: torch.Generator, given: Views | None = None
) -> Generator[None, None, Bound]:
    """The whole bound, one step after the other, one draw of noise each (Ho et al. 2020, equation 5).

    Args:
        model: Of T steps, in evaluation mode.
        x0: Data in the model's space [N, *S].
        generator: Of the noise, on the device of x0.
        given: Conditions; the bound is then on log p(x_0 | given).

    Yields:
        After each of T evaluations of the network.
    """
    x0 = _wide(x0)
    columns = []
    for t in range(len(model.tables)):
        noise = draw_normal(tuple(x0.shape), x0, generator)
        with torch.no_grad():
            columns.append(terms_at(model, x0, torch.full((len(x0),), t), noise, given))
        yield
    columns.append(prior_terms(model.tables, x0).flatten(1).sum(1))
    return Bound(torch.stack(columns, 1).double().cpu(), x0[0].numel())


def terms_at(model: Discrete, x0: Tensor, t: Tensor, noise: Tensor, given: Views | None = None) -> Tensor:
    """One term of the bound for every datum, each at an index of its own.

    Where t is drawn uniformly T times their mean estimates the whole bound but for the prior's term.

    Args:
        model: Of T steps.
        x0: Data in the model's space [N, *S].
        t: Index of each, int64 [N], on the CPU.
        noise: Standard normal draws [N, *S].
        given: Conditions.

    Returns:
        Nats, [N].
    """
    path = model.noising()
    x = along(path.alpha(t), x0) * x0 + along(path.sigma(t), x0) * noise
    found = model.estimate(x, t.double(), given)
    low_high = model.support()
    clean = found.clean if low_high is None or model.clip() == "none" else found.clean.clamp(*low_high)
    log_variance = model.log_variance(t, x, found.fraction)
    return step_terms(model.tables, x0, x, clean, log_variance, t, low_high is not None).flatten(1).sum(1)


def _wide(x: Tensor) -> Tensor:
    return x if x.device.type == "mps" else x.double()  # there is no double precision there


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
    inside = upper + torch.log1p(-(lower - upper).exp().clamp(max=1.0 - torch.finfo(x.dtype).eps))
    first, last = torch.special.log_ndtr(above), torch.special.log_ndtr(-below)
    return torch.where(x < -1.0 + HALF_STEP, first, torch.where(x > 1.0 - HALF_STEP, last, inside))


def prior_terms(tables: Tables, x0: Tensor) -> Tensor:
    """L_T = KL(q(x_T | x_0) || N(0, 1)) of every number, nats [N, *S]."""
    kept = float(tables.alpha_bar[-1])
    return 0.5 * (kept * x0.square() + (1.0 - kept) - 1.0 - math.log1p(-kept))
