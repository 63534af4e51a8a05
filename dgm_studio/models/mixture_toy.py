"""Two numbers that share one latent, where p(x_1, x_2) is known: the mixture's estimators can be held against it.

z ~ N(0, 1), x_m = a_m z + s_m noise; the experts q_m are Gaussians of any mean and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.models import strata
from dgm_studio.models.capabilities import Posterior, gaussian_log_prob
from dgm_studio.models.fusion import Mixture


@dataclass(frozen=True)
class MixtureToy:
    """p(z) N(x_1; a_1 z, s_1^2) N(x_2; a_2 z, s_2^2) ... with an expert for each x_m, in double precision.

    Args:
        x: One datum.
        loading: a, one for each number of the datum.
        noise: s likewise.
        mean: Of the experts.
        std: Of the experts.
    """

    x: tuple[float, ...] = (1.2, -0.5)
    loading: tuple[float, ...] = (1.0, 0.7)
    noise: tuple[float, ...] = (0.6, 0.9)
    mean: tuple[float, ...] = (0.7, -0.4)
    std: tuple[float, ...] = (0.5, 0.8)

    def exact(self) -> float:
        """log p(x), nats: x is Gaussian with covariance a a' + diag(s^2)."""
        x, a, s = (_double(v) for v in (self.x, self.loading, self.noise))
        covariance = torch.outer(a, a) + torch.diag(s.square())
        return float(torch.distributions.MultivariateNormal(torch.zeros_like(x), covariance).log_prob(x))

    def log_joint(self, z: Float[Tensor, "*n 1"]) -> Float[Tensor, "*n"]:
        """log p(x, z)."""
        zero = torch.zeros((), dtype=z.dtype)
        total = gaussian_log_prob(z, zero, zero)
        for x, a, s in zip(self.x, self.loading, self.noise, strict=True):
            total = total + gaussian_log_prob(torch.full_like(z, x), a * z, zero + math.log(s))
        return total.squeeze(-1)

    def parameters(self, repeats: int) -> Float[Tensor, "r p"]:
        """Means, then log standard deviations of the experts, once for every repeat."""
        one = torch.cat([_double(self.mean), _double(self.std).log()])
        return one.repeat(repeats, 1)

    def posterior(self, parameters: Float[Tensor, "r p"]) -> Mixture:
        """The experts in equal shares; every repeat is a row."""
        m = len(self.mean)
        experts = tuple(Posterior(parameters[:, i : i + 1], parameters[:, m + i : m + i + 1].exp()) for i in range(m))
        shares = parameters.new_full((len(parameters), m), -math.log(m))
        return Mixture(experts, shares, tuple((f"x{i + 1}",) for i in range(m)))

    @torch.no_grad()
    def log_weights(self, k: int, repeats: int, generator: torch.Generator) -> Float[Tensor, "c k r"]:
        """log p(x, z) - log q(z) of k draws from every expert, `repeats` times over."""
        q = self.posterior(self.parameters(repeats))
        z = q.stratified(generator, k)
        return self.log_joint(z) - strata.log_density(q, z)

    def gradient_of(
        self,
        gradient: str,
        k: int,
        repeats: int,
        generator: torch.Generator,
        which: str = "looser",
        hook: str = "same",
    ) -> Float[Tensor, "r p"]:
        """The bound's gradient with respect to the experts, independently estimated `repeats` times.

        Args:
            gradient: "iwae", "dreg" or "dreg-mixture", see `strata.objective`.
            k: Draws from every expert.
            repeats: How many estimates.
            generator: Of the draws.
            which: "looser" or "tight".
            hook: "same", or "copy" for the known mistake.

        Returns:
            [repeats, 2 M]: by the means, then by the log standard deviations.
        """
        parameters = self.parameters(repeats).requires_grad_()
        q = self.posterior(parameters)
        z = q.stratified(generator, k)
        used = strata.handle(z, gradient)
        log_weights = self.log_joint(used) - strata.log_density(q, used, gradient)
        value = strata.objective(q, z, used, log_weights, which, gradient, hook)
        (found,) = torch.autograd.grad(value.sum(), parameters)
        return found


def _double(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
