"""log p(x) of anything that denoises, by the ordinary differential equation whose flow has the same marginals.

Song et al. 2021, section 4.3 and appendix D.2: data are led along the flow to noise, whose density is known, and the
change of the density on the way is the integral of the flow's divergence (Chen et al. 2018).

The equation is written in the angle phi between data and noise, tan(phi) = sigma / alpha, for z = x / sqrt(alpha^2 +
sigma^2) = cos(phi) x_0 + sin(phi) eps: there dz / dphi = cos(phi) eps - sin(phi) x_0 stays finite on every path, from
data to pure noise.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.models.capabilities import LOG_TWO_PI, Denoises, Views
from dgm_studio.models.sampler_levels import Level, levels_of, times_of
from dgm_studio.models.sampling import state_type

EXACT_UP_TO = 8  # numbers in a datum for which the divergence is summed over all of them


@dataclass(frozen=True)
class Likelihoods:
    """log p of N data.

    Args:
        log_prob: [N], nats, in the model's space, of data behind the least noise that the model knows.
        evaluations: Of the network, for one example.
        exact: Whether the divergence was exact; else it was estimated by random probes, without bias.
    """

    log_prob: Tensor
    evaluations: int
    exact: bool


def follow_likelihood(
    model: Denoises,
    x: Float[Tensor, "n *s"],
    steps: int,
    generator: torch.Generator,
    probes: int = 1,
    given: Views | None = None,
) -> Generator[None, None, Likelihoods]:
    """Lead data to noise by Heun's method over the levels of Karras et al. and add up what happens to the density.

    Examples never influence one another. At the noisy end z is taken for standard normal, which it is up to what is
    left of the data. Needs gradients: it must not run in inference mode.

    Args:
        model: Differentiable in x.
        x: Data in the model's space.
        steps: Of Heun's method; twice as many evaluations.
        generator: Of the probes; on the CPU.
        probes: Rademacher vectors for the divergence (Hutchinson 1989), the same ones all the way; not used for data of
            up to `EXACT_UP_TO` numbers.
        given: Conditions, N rows each.

    Yields:
        None after every evaluation.
    """
    noising, size = model.noising(), x[0].numel()
    times = times_of(noising, Sampling("heun", steps + 1, "karras"))[:-1].flip(0)
    levels = levels_of(noising, times)
    x = x.to(state_type(x.device))
    exact = size <= EXACT_UP_TO
    z, change = _Flow.cosine(levels[0]) * x, torch.zeros(len(x), dtype=x.dtype, device=x.device)
    flow = _Flow(model, given, _directions(x, exact, probes, generator))
    for here, there in pairwise(levels):
        length = _Flow.angle(there) - _Flow.angle(here)
        first, spread = flow.at(z, here)
        yield None
        second, spread_there = flow.at(z + length * first, there)
        yield None
        z = z + 0.5 * length * (first + second)
        change = change + 0.5 * length * (spread + spread_there)
    log_prior = -0.5 * (z.square() + LOG_TWO_PI).flatten(1).sum(1)
    log_prob = log_prior + change + size * math.log(_Flow.cosine(levels[0]))  # of x_0 = z / cos(phi)
    return Likelihoods(log_prob, 2 * (len(levels) - 1), exact)


def _directions(x: Tensor, exact: bool, probes: int, generator: torch.Generator) -> Tensor:
    """Vectors [K, N, *S] whose mean outer product, times their number's share, is the identity."""
    size = x[0].numel()
    if exact:
        units = torch.eye(size, dtype=x.dtype, device=x.device) * math.sqrt(size)
        return units.reshape(size, 1, *x.shape[1:]).expand(size, *x.shape)
    signs = torch.randint(0, 2, (max(probes, 1), *x.shape), generator=generator)
    return (2 * signs - 1).to(x)


@dataclass(frozen=True)
class _Flow:
    """dz / dphi and its divergence."""

    model: Denoises
    given: Views | None
    directions: Tensor

    @staticmethod
    def angle(level: Level) -> float:
        return math.atan2(level.sigma, level.alpha)

    @staticmethod
    def cosine(level: Level) -> float:
        return level.alpha / math.hypot(level.alpha, level.sigma)

    def at(self, z: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """The velocity [N, *S] and its divergence [N]."""
        length, angle = math.hypot(level.alpha, level.sigma), self.angle(level)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            found = self.model.estimate(length * z, torch.tensor(level.time, dtype=torch.float64), self.given)
            velocity = math.cos(angle) * found.noise - math.sin(angle) * found.clean
            divergence = torch.zeros(len(z), dtype=z.dtype, device=z.device)
            last = len(self.directions) - 1
            for k, direction in enumerate(self.directions):
                along = torch.autograd.grad((velocity * direction).sum(), z, retain_graph=k < last)[0]
                divergence = divergence + (along * direction).flatten(1).sum(1)
        return velocity.detach(), divergence.detach() / len(self.directions)
