"""The case in which a generative classifier is known exactly: Gaussian classes, which are LDA and QDA.

p(x | y, z) = N(mean_y + W_y z, s_y I) with z standard normal makes p(x | y) = N(mean_y, W_y W_y' + s_y I). Given a
covariance, W_y and s_y follow from its eigenvectors (Tipping and Bishop 1999, section 3.2, with no direction left
out), and in these coordinates q(z | x, y) is a diagonal Gaussian and exact: any draw then weighs p(x | y), and the
same Bayes' rule over the same bounds as for networks gives linear (one covariance for all) or quadratic discriminant
analysis without an error of sampling.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dgm_studio.models import class_conditional as conditional
from dgm_studio.models.capabilities import Likelihood, Posterior
from dgm_studio.models.class_conditional import BAYES
from dgm_studio.models.distributions import Gaussian

NOISE_SHARE = 0.5  # of the least variance that is noise; the rest of every direction comes from z


class GaussianClasses:
    """p(x | y) = N(mean_y, covariance_y), written with a latent variable.

    Args:
        means: [C, D].
        covariances: [C, D, D], positive definite.
        prior: p(y), [C].

    Raises:
        ValueError: A covariance is singular.
    """

    def __init__(
        self, means: Float[Tensor, "c d"], covariances: Float[Tensor, "c d d"], prior: Float[Tensor, " c"]
    ) -> None:
        self.classes, self.latent = means.shape
        self.means, self.prior = means, prior
        variances, self.axes = torch.linalg.eigh(covariances)  # [C, D] and [C, D, D], columns
        if not bool((variances[:, 0] > 0).all()):
            raise ValueError("a covariance is singular: there are fewer examples than dimensions, or copies of one")
        self.noise = NOISE_SHARE * variances[:, 0]  # s_y
        self.loadings = (variances - self.noise.unsqueeze(1)).sqrt()  # of every axis: W_y = axes diag(loadings)
        self.variances = variances

    def features(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The vectors themselves."""
        return x

    def posterior(self, features: Float[Tensor, "n d"], y: Int64[Tensor, " n"]) -> Posterior:
        """q(z | x, y) = p(z | x, y): mean W_y' (x - mean_y) / variance and variance s_y / variance, by axis."""
        along = torch.einsum("nd,ndz->nz", features - self.means[y], self.axes[y])
        mean = along * self.loadings[y] / self.variances[y]
        return Posterior(mean, (self.noise[y].unsqueeze(1) / self.variances[y]).sqrt())

    def decode_class(self, z: Float[Tensor, "n z"], y: Int64[Tensor, " n"]) -> Likelihood:
        """p(x | y, z)."""
        mean = self.means[y] + torch.einsum("nz,ndz->nd", z * self.loadings[y], self.axes[y])
        return Gaussian(mean, 0.5 * self.noise[y].log().unsqueeze(1))

    def log_class_prior(self) -> Float[Tensor, " c"]:
        """log p(y)."""
        return self.prior.log()

    def class_log_probs(
        self, x: Float[Tensor, "n d"], generator: torch.Generator, samples: int = 1
    ) -> dict[str, Tensor]:
        """log p(y | x), [N, C]; exact for any number of samples."""
        bounds = conditional.class_bounds(self, x, samples, generator)
        return {BAYES: conditional.bayes_rule(bounds, self.log_class_prior())[0]}

    def log_prob_bound(self, x: Float[Tensor, "n d"], k: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """log p(x), [N] nats; exact."""
        return conditional.score(self, x, torch.full((len(x),), -1), k, generator)


def fit_gaussian_classes(
    x: Float[Tensor, "n d"], y: Int64[Tensor, " n"], classes: int, *, shared: bool
) -> GaussianClasses:
    """The most likely means, covariances and class frequencies, given labelled vectors.

    Args:
        x: Vectors; double precision keeps what the covariances say.
        y: Their classes.
        classes: How many there are.
        shared: One covariance within all classes (linear discriminant analysis), or one for each (quadratic).
    """
    counts = torch.bincount(y, minlength=classes).to(x.dtype)
    means = torch.stack([x[y == c].mean(0) for c in range(classes)])
    rest = x - means[y]
    scatters = torch.stack([rest[y == c].T @ rest[y == c] for c in range(classes)])
    within = (scatters.sum(0) / len(x)).expand(classes, -1, -1)
    covariances = within if shared else scatters / counts.view(-1, 1, 1)
    return GaussianClasses(means, covariances, counts / counts.sum())
