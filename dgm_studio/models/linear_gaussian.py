"""The linear-Gaussian model of several views, of which everything is known: an oracle for fusion and bounds.

z ~ N(0, I) and x_m = W_m z + b_m + s_m noise, in double precision. The columns of every W_m are orthogonal, so the
posterior of every subset S is a diagonal Gaussian of precision 1 + sum over m in S of |w_md|^2 / s_m^2: the product of
the prior and one expert for each m. With it the bound is log p(x_S) at every single draw of z; any mistake in the
fusion, the prior expert, the sign of a term or the choice of what is scored opens a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import cross_bounds, fusion
from dgm_studio.models.capabilities import Likelihood, Posterior, Views
from dgm_studio.models.distributions import Gaussian
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.priors import Prior, StandardNormal

VIEW = 2  # values of a view beyond the number of latents
DRAWS = 64  # of every bound; any number gives the same where it is exact
WRONG_DRAWS = 4_000  # a row of the table then takes less than 50 ms
STRATA_DRAWS = 5_000
MOST_MODALITIES, MOST_LATENTS = 4, 16


@dataclass(frozen=True)
class LinearGaussian:
    """p(z) prod_m N(x_m; W_m z + b_m, s_m^2 I); a `cross_bounds.SharedLatent` without anything to learn.

    Args:
        weight: W_m [D, Z] by name, with orthogonal columns.
        offset: b_m [D].
        noise: s_m.
    """

    weight: dict[str, Tensor]
    offset: dict[str, Tensor]
    noise: dict[str, float]

    def experts(self, given: Views) -> dict[str, Posterior]:
        """p(x_m | z) as a function of z: N(z; (W^T W)^-1 W^T (x - b), s^2 (W^T W)^-1), without the prior."""
        found = {}
        for name, x in given.items():
            weight = self.weight[name]
            squares = weight.square().sum(0)
            mean = (x - self.offset[name]) @ weight / squares
            found[name] = Posterior(mean, (self.noise[name] / squares.sqrt()).expand(mean.shape))
        return found

    def infer(self, given: Views, fusing: Fusing | None = None) -> Mixture:
        """q(z | given); with the product rule and the prior expert the exact posterior."""
        return fusion.fuse(self.experts(given), fusing, "poe")

    def generate(self, z: Float[Tensor, "n z"], names: tuple[str, ...] = ()) -> dict[str, Likelihood]:
        """p(x_m | z) of the views named, of all by default."""
        return {n: _noisy(z @ self.weight[n].t() + self.offset[n], self.noise[n]) for n in names or self.weight}

    def latent_prior(self) -> Prior:
        """N(0, I)."""
        return StandardNormal(next(iter(self.weight.values()))[0])

    def log_prob(self, given: Views) -> Float[Tensor, " n"]:
        """log N(x_S; b_S, W_S W_S^T + noise) by one Cholesky factor of the whole covariance: nothing of the above."""
        names = tuple(given)
        weight = torch.cat([self.weight[n] for n in names])
        noise = torch.cat([self.weight[n].new_full((len(self.weight[n]),), self.noise[n] ** 2) for n in names])
        offset, x = torch.cat([self.offset[n] for n in names]), torch.cat([given[n] for n in names], 1)
        covariance = weight @ weight.t() + torch.diag(noise)
        return torch.distributions.MultivariateNormal(offset, covariance).log_prob(x)

    def sample(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """n data."""
        z = self.latent_prior().sample(n, generator)
        return {name: p.sample(generator) for name, p in self.generate(z).items()}


def _noisy(mean: Tensor, noise: float) -> Likelihood:
    return Gaussian(mean, mean.new_tensor(math.log(noise)))


def linear_gaussian(seed: int, modalities: int = 2, latent: int = 2) -> LinearGaussian:
    """A model with random weights.

    Args:
        seed: Of the weights.
        modalities: Views, called "x1", "x2" ...
        latent: Z.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    names = [f"x{m + 1}" for m in range(modalities)]
    size = latent + VIEW
    turned = {n: torch.linalg.qr(draw(size, latent)).Q for n in names}
    return LinearGaussian(
        weight={n: turned[n] * torch.exp(0.5 * draw(latent)) for n in names},
        offset={n: draw(size) for n in names},
        noise={n: math.exp(0.3 * float(draw(1))) for n in names},
    )


def exactness(seed: int = 0, modalities: int = 2, latent: int = 2) -> list[dict[str, Any]]:
    """Bound and exact log-likelihood of every subset of one datum: `core.requests.ProveExactness`, "rows".

    Raises:
        Problem: Too many or too few modalities or latents.
    """
    return list(exact_rows(seed, modalities, latent))


def exact_rows(seed: int = 0, modalities: int = 2, latent: int = 2) -> Iterator[dict[str, Any]]:
    """The rows of `exactness`, one by one.

    Raises:
        Problem: Too many or too few modalities or latents.
    """
    model, x, generator = _asked(seed, modalities, latent)
    for names in fusion.subsets(tuple(x)):
        given = {n: x[n] for n in names}
        exact = float(model.log_prob(given))
        bound = _bound(model, given, DRAWS, generator, Fusing())
        wrong = _bound(model, given, WRONG_DRAWS, generator, Fusing(prior_expert=False))
        yield {
            "given": names,
            "elbo": bound,
            "exact": exact,
            "gap": exact - bound,
            "elbo without the prior expert": wrong,
            "gap without the prior expert": exact - wrong,
        }


def mixture_estimate(seed: int = 0, modalities: int = 2, latent: int = 2) -> dict[str, float]:
    """log p(x) by strata of the mixture of the views' posteriors: `core.requests.ProveExactness`, "mixture".

    Its standard error is that of the mean of the weights over its strata, by the delta method.
    """
    model, x, generator = _asked(seed, modalities, latent)
    q, logs = cross_bounds.stratified_log_weights(model, x, STRATA_DRAWS, generator, fusing=Fusing("moe"))
    top = float(logs.max())
    weights, shares = (logs[:, :, 0] - top).exp(), q.log_weights[0].exp()
    estimate = float((shares * weights.mean(1)).sum())
    variance = float((shares.square() * weights.var(1)).sum()) / STRATA_DRAWS
    error = math.sqrt(variance) / estimate
    return {"estimate": top + math.log(estimate), "exact": float(model.log_prob(x)), "error": error}


def _asked(seed: int, modalities: int, latent: int) -> tuple[LinearGaussian, dict[str, Tensor], torch.Generator]:
    if not (1 <= modalities <= MOST_MODALITIES and 1 <= latent <= MOST_LATENTS):
        action = f"Ask for 1 to {MOST_MODALITIES} modalities and 1 to {MOST_LATENTS} latents."
        raise Problem("There is no such linear-Gaussian model.", action)
    model = linear_gaussian(seed, modalities, latent)
    generator = torch.Generator().manual_seed(seed + 1)
    return model, model.sample(1, generator), generator


def _bound(model: LinearGaussian, given: Views, k: int, generator: torch.Generator, fusing: Fusing) -> float:
    """E_q[log w] by draws, the KL's two densities taken at the same z: exact, not on average, when q is."""
    _, logs = cross_bounds.stratified_log_weights(model, given, k, generator, fusing=fusing)
    return float(logs.mean())
