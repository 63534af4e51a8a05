"""What the systems that classify by generating have in common: a picture, a style and a class in one model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from dgm_studio.core.cards import Modality
from dgm_studio.models import class_conditional as conditional
from dgm_studio.models.capabilities import Likelihood, Posterior, Views, draw_normal
from dgm_studio.models.class_conditional import BAYES, PairConfig, PairNetworks
from dgm_studio.models.priors import StandardNormal

ConfigT = TypeVar("ConfigT", bound=PairConfig)
Terms = dict[str, Tensor]


class GenerativeClassifier(nn.Module, ABC, Generic[ConfigT]):
    """p(x | y, z) p(z) p(y) with z standard normal, trained on its bounds; classifies by Bayes' rule.

    A subclass says with `_unlabelled` what a picture without a label teaches.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture and the first label are modelled.

    Raises:
        Problem: Pictures or labels are missing, or a network does not fit.
    """

    def __init__(self, config: ConfigT, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.config = config
        self.modalities = conditional.modalities_for(modalities)
        self.modality, self.label = self.modalities
        self.shape: tuple[int, ...] = tuple(self.modality.shape)
        self.latent = config.latent
        self.pair = PairNetworks(config, *self.modalities)

    def count(self, values: Mapping[str, Tensor]) -> None:
        """Take p(y) from the labels of the training data."""
        if self.label.name in values:
            self.pair.count(values[self.label.name])

    def encode_class(self, x: Float[Tensor, "n *shape"], y: Int64[Tensor, " n"]) -> Posterior:
        """q(z | x, y) of pictures [N, *S] and classes [N]."""
        return self.pair.posterior(self.pair.features(x), y)

    def decode_class(self, z: Float[Tensor, "n {self.latent}"], y: Int64[Tensor, " n"]) -> Likelihood:
        """p(x | y, z) of styles [N, Z] and classes [N]."""
        return self.pair.decode_class(z, y)

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Float[Tensor, "n z"]:
        """n styles from the prior, its standard deviations times temperature."""
        like = self.pair.frequencies.new_zeros(self.latent)
        return StandardNormal(like).sample(n, generator, temperature)

    def class_log_probs(
        self, x: Float[Tensor, "n *shape"], generator: torch.Generator, samples: int = 10
    ) -> dict[str, Tensor]:
        """log p(y | x) by Bayes' rule over bounds with `samples` draws: [N, C]. Differentiable in x."""
        bounds = conditional.class_bounds(self.pair, x, samples, generator)
        return {BAYES: conditional.bayes_rule(bounds, self.pair.log_class_prior())[0]}

    def log_prob_bound(self, x: Views | Tensor, k: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """The importance-weighted bound on log p(x, y), or on log p(x) where the label is missing: [N], nats.

        y is enumerated with its prior. Differentiable in the picture.
        """
        picture, y = self.pair.read(x)
        return conditional.score(self.pair, picture, y, k, generator)

    def elbo(self, x: Views | Tensor, generator: torch.Generator, samples: int = 1) -> Float[Tensor, " n"]:
        """The bound that is trained on, with weight 1 on the KL, averaged over `samples` draws: [N], nats."""
        picture, y = self.pair.read(x)
        drawn = [self._terms(picture, y, generator, 1.0)["elbo"] for _ in range(samples)]
        return torch.stack(drawn).mean(0)

    def loss(self, batch: Views, generator: torch.Generator, step: int = 0) -> Terms:
        """What is minimised, and its parts, for every example.

        Returns:
            [N] each, nats: "loss"; "elbo" (weight 1) = "reconstruction" - "kl" + "label", where "label" is log p(y),
            or its mean plus the entropy of the class where the label is missing. Also "kl_per_dim" [N, Z].
        """
        return self._terms(*self.pair.read(batch), generator, self.kl_weight(step))

    def kl_weight(self, step: int) -> float:
        """Weight of the KL in training after `step` steps: a straight line from 0 to beta over `kl_warmup` steps."""
        warmup = self.config.kl_warmup
        return self.config.beta * (min(1.0, step / warmup) if warmup else 1.0)

    def _terms(self, x: Tensor, y: Tensor, generator: torch.Generator, weight: float) -> Terms:
        noise = draw_normal((1, len(x), self.latent), x, generator)  # before anything depends on who has a label
        one, other, back = conditional.split_rows(y >= 0)
        parts = []
        if len(one):
            parts.append(self._labelled(x[one], y[one], noise[:, one], weight))
        if len(other):
            parts.append(self._unlabelled(x[other], noise[:, other], weight))
        return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}

    def _labelled(self, x: Tensor, y: Tensor, noise: Tensor, weight: float) -> Terms:
        drawn = conditional.draw(self.pair, x, self.pair.features(x), y, noise)
        reconstruction, kl_per_dim = drawn.log_likelihood[0], drawn.posterior.kl_per_dim()
        kl, label = kl_per_dim.sum(-1), self.pair.log_class_prior()[y]
        return {
            "loss": weight * kl - reconstruction - label,
            "elbo": reconstruction - kl + label,
            "reconstruction": reconstruction,
            "kl": kl,
            "label": label,
            "kl_per_dim": kl_per_dim,
        }

    @abstractmethod
    def _unlabelled(self, x: Tensor, noise: Tensor, weight: float) -> Terms:
        """The terms of pictures whose label is missing; of the same names as `_labelled`.

        Args:
            x: [U, *S].
            noise: Standard normal, [1, U, Z].
            weight: Of the KL.
        """
