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

from dgm_studio.core.cards import Capability, Modality
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


class Noising(Protocol):
    """The path from data to noise, x_t = alpha(t) x_0 + sigma(t) eps. All in float64."""

    kind: str
    """"discrete" (t is an index), "variance-exploding" (alpha = 1, t = sigma) or "flow" (alpha = 1 - t, sigma = t)."""
    clean: float
    """The time of the data, where alpha = 1 and sigma = 0: -1 of a discrete model, else 0."""
    cleanest: float
    """The smallest time at which the model can be asked."""
    noisiest: float
    """The largest."""

    def alpha(self, t: Tensor) -> Tensor:
        """Factor of the data, of any shape; between two indices of a discrete model by linear log-SNR."""

    def sigma(self, t: Tensor) -> Tensor:
        """Factor of the noise."""

    def log_snr(self, t: Tensor) -> Tensor:
        """lambda = log(alpha / sigma), half the log of the signal-to-noise ratio; infinite at `clean`."""

    def time(self, log_snr: Tensor) -> Tensor:
        """The inverse of `log_snr` on [cleanest, noisiest]; clamped to it."""


@dataclass(frozen=True)
class Estimate:
    """What a model makes of noisy data: x = alpha clean + sigma noise, exactly, by construction.

    Args:
        clean: E[x_0 | x_t], [N, *S], in the type of x.
        noise: E[eps | x_t], [N, *S].
        fraction: Of a learnt variance: v in [0, 1] between the small (0) and the large (1) log variance (Nichol and
            Dhariwal 2021, equation 15), [N, *S]; else None.
    """

    clean: Tensor
    noise: Tensor
    fraction: Tensor | None = None


@runtime_checkable
class Denoises(Protocol):
    """Takes noise off data: everything that a sampler needs.

    It works in its own space: pictures, [0, 1] elsewhere, are mapped linearly to `support`; points are as they are.
    """

    def noising(self) -> Noising:
        """The path that it was trained on."""

    def support(self) -> tuple[float, float] | None:
        """The range that data have in the model's space, (-1, 1) for pictures; None where there is none."""

    def conditions(self) -> tuple[Modality, ...]:
        """What can be given beside x: labels, attributes, texts; () for an unconditional model."""

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """Clean data and noise behind x [N, *S] (float64 or float32) at time t, 0-d or [N], float64.

        Args:
            x: Noisy data in the model's space; the estimate has their type, whatever the network computes in.
            t: In [cleanest, noisiest].
            given: Values of the conditions, N rows each; what is missing there is unknown, None means all of it.
        """


@runtime_checkable
class Classifies(Protocol):
    """Says which class a picture belongs to, by one classifier or several."""

    def class_log_probs(self, x: Tensor, generator: torch.Generator, samples: int = 10) -> dict[str, Tensor]:
        """log p(y | x) of pictures x [N, *S] by the name of the classifier ("Bayes' rule", "q(y|x)"): [N, C] each.

        Differentiable in x. The classes are the `categories` of the model's label modality.
        """


@runtime_checkable
class Counts(Protocol):
    """Takes from the training data, before the first step, what need not be learnt but counted."""

    def count(self, values: Mapping[str, Tensor]) -> None:
        """Count; `values` are the modalities of the whole training part besides its first (`Part.others`)."""


PROTOCOLS: dict[Capability, type] = {
    Capability.ENCODES: Encodes,
    Capability.DECODES: Decodes,
    Capability.SAMPLES: Samples,
    Capability.SCORES: Scores,
    Capability.CROSSES: Crosses,
    Capability.DENOISES: Denoises,
    Capability.CLASSIFIES: Classifies,
}


def capabilities_of(cls: type) -> frozenset[Capability]:
    """The capabilities whose methods the class has."""
    return frozenset(c for c, protocol in PROTOCOLS.items() if issubclass(cls, protocol))
