"""What a model can be asked: small Protocols of methods, and the values they exchange.

Classes are tested with `issubclass`, methods only; numbers such as the latent size belong to the model's card.
Every draw takes a `torch.Generator` that lives on the model's device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.cards import Capability
from dgm_studio.core.requests import Fusing

LOG_TWO_PI = math.log(2.0 * math.pi)

Views = Mapping[str, Tensor]
"""One batch of data of several modalities, by name; N rows each. Missing is marked in the values themselves:

image, real, positive, vector   float32 [N, *S]; NaN where unknown: single pixels or numbers, or a whole row
label, categorical              int64 [N]; -1
attributes                      int64 [N, A]; -1, one by one
text                            int64 [N, L], tokens, 0 after the end; a row of -1

A modality that is not in the mapping is missing in every row.
"""


def gaussian_log_prob(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density of independent Gaussians, element by element, in nats."""
    return -0.5 * ((x - mean) * torch.exp(-log_std)).square() - log_std - 0.5 * LOG_TWO_PI


def draw_normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal draws with the dtype and device of `like`."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Posterior:
    """A diagonal Gaussian q(z | x) for each of N data.

    Args:
        mean: [N, Z].
        std: [N, Z], positive.
    """

    mean: Float[Tensor, "n z"]
    std: Float[Tensor, "n z"]

    def sample(self, generator: torch.Generator, k: int = 1) -> Float[Tensor, "k n z"]:
        """Draw k latents for each datum by the reparametrisation trick (Kingma and Welling 2014, section 2.4)."""
        return self.mean + self.std * draw_normal((k, *self.mean.shape), self.mean, generator)

    def log_prob_per_dim(self, z: Float[Tensor, "*k n z"]) -> Float[Tensor, "*k n z"]:
        """log q(z_d | x) for every dimension d, in nats."""
        return gaussian_log_prob(z, self.mean, self.std.log())

    def log_prob(self, z: Float[Tensor, "*k n z"]) -> Float[Tensor, "*k n"]:
        """log q(z | x), in nats."""
        return self.log_prob_per_dim(z).sum(-1)

    def kl_per_dim(self) -> Float[Tensor, "n z"]:
        """KL(q(z_d | x) || N(0, 1)) in nats, in closed form (Kingma and Welling 2014, appendix B).

        A model whose prior is something else has its own `kl_per_dim`.
        """
        return 0.5 * (self.mean.square() + self.std.square() - 1.0) - self.std.log()


class Joint(Protocol):
    """q(z | what is given): a mixture of diagonal posteriors, of one component for a product of experts."""

    @property
    def components(self) -> tuple[Posterior, ...]:
        """Of [N, Z] each."""

    @property
    def log_weights(self) -> Float[Tensor, "n c"]:
        """Log weight of every component for every datum; minus infinity where it does not take part."""

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The modalities behind every component."""

    @property
    def mean(self) -> Float[Tensor, "n z"]:
        """Of the mixture."""

    def sample(self, generator: torch.Generator, k: int = 1) -> Float[Tensor, "k n z"]:
        """k draws of z for each datum, a component drawn first."""

    def log_prob(self, z: Float[Tensor, "*k n z"]) -> Float[Tensor, "*k n"]:
        """log q(z | given), nats."""


class Likelihood(Protocol):
    """p(x | z) for each of N latents, as a value; its event is one datum of shape S."""

    @property
    def mean(self) -> Tensor:
        """E[x | z], [N, *S]; in [0, 1] for pictures."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x | z) of x [N, *S], summed over the datum: [N], nats."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """One x for each latent, [N, *S]."""


@runtime_checkable
class Encodes(Protocol):
    """Finds latents that explain data."""

    def encode(self, x: Tensor) -> Posterior:
        """q(z | x) of x [N, *S]."""


@runtime_checkable
class Decodes(Protocol):
    """Turns latents into data; differentiable twice, functional, safe under `torch.func`."""

    def decode(self, z: Tensor) -> Likelihood:
        """p(x | z) of z [N, Z]."""


@runtime_checkable
class Samples(Protocol):
    """Has a prior over latents."""

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """n latents [n, Z]; temperature scales every standard deviation of the prior."""

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of z [..., Z]: [...], nats."""

    def prior_std(self) -> Tensor:
        """Standard deviation of every latent under the prior, [Z]."""


@runtime_checkable
class Scores(Protocol):
    """Says how probable data are, by bounds from below."""

    # A model of views takes `Views`, or its first picture alone as a tensor: then the bound is on log p(picture).

    def log_prob_bound(self, x: Any, k: int, generator: torch.Generator) -> Tensor:
        """The importance-weighted bound on log p(x) with k samples (Burda et al. 2016): [N], nats."""

    def elbo(self, x: Any, generator: torch.Generator, samples: int = 1) -> Tensor:
        """The evidence lower bound with weight 1 on the KL, averaged over `samples` draws: [N], nats."""


@runtime_checkable
class Trains(Protocol):
    """What every system must do. One that is registered with `views=True` is given `Views`, others a tensor."""

    def loss(self, batch: Any, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """Terms per example, [N] each; "loss" is what is minimised. Examples never influence one another."""


@runtime_checkable
class Crosses(Protocol):
    """Several modalities share one z: any part of a datum gives a posterior, any z gives every modality.

    A datum is a `Views`. What is unknown is left out of the dictionary, or marked as `Views` says.
    """

    def experts(self, given: Views) -> dict[str, Posterior]:
        """The unimodal posterior of every modality that is given.

        For a product of experts the raw expert, without the prior (Wu and Goodman 2018, equation 3); its rows are of
        infinite std where the modality is missing.
        """

    def infer(self, given: Views, fusing: Fusing | None = None) -> Joint:
        """q(z | given) by the model's own rule, or as asked.

        Raises:
            Problem: The rule means nothing for this model; in words.
        """

    def rules(self) -> dict[str, str]:
        """Every rule of fusion ("poe", "moe", "mopoe"): "" where these encoders can be combined by it, else why not."""

    def generate(self, z: Tensor) -> dict[str, Likelihood]:
        """p(x_m | z) of every modality for z [N, Z]."""


@runtime_checkable
class Classifies(Protocol):
    """Says which class a picture belongs to, by one classifier or several."""

    def class_log_probs(self, x: Tensor, generator: torch.Generator, samples: int = 10) -> dict[str, Tensor]:
        """log p(y | x) of pictures x [N, *S] by the name of the classifier ("Bayes' rule", "q(y|x)"): [N, C] each.

        Differentiable in x. The classes are the `categories` of the model's label modality.
        """


PROTOCOLS: dict[Capability, type] = {
    Capability.ENCODES: Encodes,
    Capability.DECODES: Decodes,
    Capability.SAMPLES: Samples,
    Capability.SCORES: Scores,
    Capability.CROSSES: Crosses,
    Capability.CLASSIFIES: Classifies,
}


def capabilities_of(cls: type) -> frozenset[Capability]:
    """The capabilities whose methods the class has."""
    return frozenset(c for c, protocol in PROTOCOLS.items() if issubclass(cls, protocol))
