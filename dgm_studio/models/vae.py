"""The variational autoencoder (Kingma and Welling 2014) with the choices that matter in practice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import option
from dgm_studio.core.updates import Problem
from dgm_studio.models import blocks, bounds
from dgm_studio.models.capabilities import Likelihood, Posterior
from dgm_studio.models.distributions import likelihood_head
from dgm_studio.models.priors import MixturePrior, NormalPrior, Prior, VampPrior
from dgm_studio.models.registry import system

NETWORKS = ("auto", "conv", "mlp", "linear")
LIKELIHOODS = ("auto", "bernoulli", "gaussian", "logistic-mixture")
PRIORS = ("normal", "mixture", "vamp")
KINDS = ("image", "points")
LOG_STD_RANGE = (-8.0, 4.0)  # of the posterior; outside, exp under- or overflows single precision in the KL's gradient


@dataclass(frozen=True)
class VAEConfig:
    """Settings of a VAE."""

    latent: int = option(
        16,
        "Size of z: more keep more detail, two can be seen as a map.",
        low=1,
        high=512,
        group="Model",
        log=True,
        title="Latent dimensions",
    )
    network: str = option(
        "auto", "Encoder and decoder; auto takes conv for pictures and mlp for points.", choices=NETWORKS, group="Model"
    )
    width: int = option(
        16,
        "Channels of the first convolution; deeper stages have up to 4 times as many.",
        low=4,
        high=256,
        group="Model",
        log=True,
        title="Convolution channels",
    )
    hidden: int = option(
        512, "Width of the hidden layers of mlp.", low=1, high=4096, group="More", log=True, title="Hidden units (mlp)"
    )
    dense: int = option(
        0,
        "Width of a dense layer between convolutions and latents; 0 for none.",
        low=0,
        high=4096,
        group="More",
        title="Dense layer (conv)",
    )
    depth: int = option(
        1, "Residual blocks a stage (conv) or hidden layers (mlp).", low=1, high=8, group="More", title="Depth"
    )
    dropout: float = option(
        0.0,
        "Probability of dropping hidden units of the encoder and the decoder.",
        low=0.0,
        high=0.9,
        group="More",
        title="Dropout",
    )
    likelihood: str = option(
        "auto",
        "p(x | z); auto takes bernoulli for grey pictures, else gaussian; logistic-mixture is slower to learn.",
        choices=LIKELIHOODS,
        group="Likelihood",
    )
    variance: str = option(
        "global",
        "Gaussian: one learnt variance in all, or one for each value.",
        choices=("global", "each"),
        group="More",
        title="Gaussian variance",
    )
    logistics: int = option(
        5, "Components of the logistic mixture.", low=1, high=30, group="More", title="Mixture of logistics"
    )
    prior: str = option(
        "normal", "p(z): standard normal, learnt Gaussian mixture, or VampPrior.", choices=PRIORS, group="Prior"
    )
    components: int = option(
        32,
        "Components of the mixture prior, or pseudo-inputs of the VampPrior.",
        low=1,
        high=1000,
        group="More",
        log=True,
        title="Prior components",
    )
    beta: float = option(
        1.0,
        "Weight of the KL in training (Higgins 2017); evaluation always uses 1.",
        low=0.0,
        high=100.0,
        group="Objective",
        title="Beta",
    )
    kl_warmup: int = option(
        0,
        "Steps over which the weight of the KL rises from 0 to beta.",
        low=0,
        high=1_000_000,
        group="Objective",
        title="KL warm-up",
    )
    free_bits: float = option(
        0.0,
        "Nats of KL in each dimension that cost nothing more in training (Kingma 2016).",
        low=0.0,
        high=10.0,
        group="Objective",
        title="Free bits",
    )


@system(
    name="vae",
    title="Variational autoencoder",
    summary="A latent-variable model with an amortised Gaussian posterior, trained on the evidence lower bound.",
    paper=Paper("D. P. Kingma, M. Welling", 2014, "Auto-Encoding Variational Bayes", "ICLR"),
    config=VAEConfig,
    tiny={"latent": 3, "width": 8, "hidden": 16, "dense": 8, "components": 4, "logistics": 2},
    objective=(
        "<i>ELBO</i> = E<sub><i>q</i>(<i>z</i>|<i>x</i>)</sub>[log <i>p</i>(<i>x</i>|<i>z</i>)]"
        " &minus; <i>&beta;</i>&nbsp;KL(<i>q</i>(<i>z</i>|<i>x</i>)&nbsp;&Vert;&nbsp;<i>p</i>(<i>z</i>))"
    ),
    symbols=(
        Symbol("<i>ELBO</i>", "lower bound on log p(x), nats a datum, always with weight 1 on the KL", "metric:elbo"),
        Symbol(
            "E[log <i>p</i>(<i>x</i>|<i>z</i>)]",
            "how well a datum is rebuilt from its latents, nats",
            "metric:reconstruction",
        ),
        Symbol("KL", "what the latents tell of the datum, nats", "metric:kl"),
        Symbol("<i>&beta;</i>", "weight of the KL in training", "config:beta"),
        Symbol("<i>z</i>", "latent variables; their number is", "config:latent"),
        Symbol("<i>p</i>(<i>z</i>)", "prior over latents", "config:prior"),
        Symbol("<i>q</i>(<i>z</i>|<i>x</i>)", "the encoder's guess at z, a diagonal Gaussian"),
        Symbol("<i>p</i>(<i>x</i>|<i>z</i>)", "the decoder's distribution of data"),
    ),
    modality_kinds=KINDS,
)
class VAE(nn.Module):
    """max E_q(z|x)[log p(x | z)] - beta KL(q(z | x) || p(z)).

    Kingma and Welling 2014, equation 3; beta: Higgins et al. 2017, equation 4; free bits: Kingma et al. 2016,
    equation 15; VampPrior: Tomczak and Welling 2018.

    With a Bernoulli likelihood pictures are binarised anew at every use, by the given generator: in `loss` and in the
    scores alike (Salakhutdinov and Murray 2008), so a score is that of one seeded binarisation. `encode` takes what
    it is given. Sampling does not depend on `train()` and `eval()`.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture or point is modelled.

    Raises:
        Problem: Nothing here that a VAE can model, or a network that does not fit the data.
    """

    def __init__(self, config: VAEConfig, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.config = config
        self.modality = _modality(modalities)
        self.shape: tuple[int, ...] = tuple(self.modality.shape)
        self.latent = config.latent
        self.likelihood = _likelihood(config, self.modality)
        network = _network(config, self.modality)
        is_image = self.modality.kind == "image"
        self.head = likelihood_head(
            self.likelihood,
            self.shape,
            components=config.logistics,
            each=config.variance == "each",
            squash=is_image and network != "linear",
        )
        raw_shape: tuple[int, ...] = self.head.raw_shape  # type: ignore[assignment]
        self.encoder, self.decoder = _networks(network, config, self.shape, raw_shape)
        self.prior = _prior(config, self.shape, squash=is_image)

    def encode(self, x: Float[Tensor, "n *shape"]) -> Posterior:
        """q(z | x) of data x [N, *S].

        Raises:
            Problem: The data have another shape.
        """
        if tuple(x.shape[1:]) != self.shape:
            raise Problem(
                f"This model takes data of shape {self.shape}, not {tuple(x.shape[1:])}.",
                "Give it data as it was trained on, or choose another model.",
            )
        mean, log_std = self.encoder(x).chunk(2, dim=1)
        return Posterior(mean, log_std.clamp(*LOG_STD_RANGE).exp())

    def decode(self, z: Float[Tensor, "n {self.latent}"]) -> Likelihood:
        """p(x | z) of latents z [N, Z]."""
        found: Likelihood = self.head(self.decoder(z))
        return found

    def latent_prior(self) -> Prior:
        """p(z) as a value, which holds until the weights change."""
        found: Prior = self.prior(self.encode)
        return found

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Float[Tensor, "n z"]:
        """n latents from the prior, its standard deviations times temperature."""
        return self.latent_prior().sample(n, generator, temperature)

    def prior_log_prob(self, z: Float[Tensor, "*n {self.latent}"]) -> Float[Tensor, "*n"]:
        """log p(z), nats."""
        return self.latent_prior().log_prob(z)

    def prior_std(self) -> Float[Tensor, " z"]:
        """Standard deviation of every latent under the prior."""
        return self.latent_prior().std()

    def kl_per_dim(self, q: Posterior, generator: torch.Generator, samples: int = 64) -> Float[Tensor, "n z"]:
        """KL(q(z | x) || p(z)) of every dimension against this model's own prior, nats: see `bounds.kl_per_dim`."""
        return bounds.kl_per_dim(self.latent_prior(), q, q.sample(generator, samples))

    def prepare(self, x: Float[Tensor, "n *shape"], generator: torch.Generator) -> Float[Tensor, "n *shape"]:
        """The data as the likelihood sees them: freshly binarised for a Bernoulli, else unchanged."""
        return torch.bernoulli(x, generator=generator) if self.likelihood == "bernoulli" else x

    def loss(self, batch: Float[Tensor, "n *shape"], generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """What is minimised, and its parts, for every example.

        Args:
            batch: [N, *S].
            generator: For binarising and for z.
            step: Optimiser steps done, for the warm-up.

        Returns:
            [N] each, nats: "loss"; "elbo" (weight 1, no free bits); "reconstruction" = log p(x | z); "kl". Also
            "kl_per_dim" [N, Z].
        """
        x = self.prepare(batch, generator)
        q = self.encode(x)
        z = q.sample(generator)
        reconstruction = self.decode(z[0]).log_prob(x)
        kl_per_dim = bounds.kl_per_dim(self.latent_prior(), q, z)
        kl = kl_per_dim.sum(-1)
        # The floor is taken on every example, not on the batch's mean: micro-batches then add up to the batch exactly.
        charged = kl_per_dim.clamp(min=self.config.free_bits).sum(-1) if self.config.free_bits else kl
        return {
            "loss": self.kl_weight(step) * charged - reconstruction,
            "elbo": reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "kl_per_dim": kl_per_dim,
        }

    def kl_weight(self, step: int) -> float:
        """Weight of the KL in training after `step` steps: a straight line from 0 to beta over `kl_warmup` steps."""
        warmup = self.config.kl_warmup
        return self.config.beta * (min(1.0, step / warmup) if warmup else 1.0)

    def elbo(self, x: Float[Tensor, "n *shape"], generator: torch.Generator, samples: int = 1) -> Float[Tensor, " n"]:
        """Evidence lower bound with weight 1 on the KL, averaged over `samples` draws of z: [N], nats."""
        return bounds.elbo(self, self.prepare(x, generator), generator, samples)

    def log_prob_bound(self, x: Float[Tensor, "n *shape"], k: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """Importance-weighted bound with k samples (Burda et al. 2016): [N], nats."""
        return bounds.importance_bound(self, self.prepare(x, generator), k, generator).log_prob


def _modality(modalities: tuple[Modality, ...]) -> Modality:
    found = next((m for m in modalities if m.kind in KINDS), None)
    if found is None:
        raise Problem(
            "A VAE needs pictures or points, and these data have neither.", "Choose other data or another system."
        )
    return found


def _likelihood(config: VAEConfig, modality: Modality) -> str:
    if modality.kind == "points":
        if config.likelihood not in ("auto", "gaussian"):
            raise Problem(f"The likelihood {config.likelihood} does not fit points.", "Choose gaussian or auto.")
        return "gaussian"
    if config.likelihood != "auto":
        return config.likelihood
    # A logistic mixture ends at a higher likelihood but, measured on small faces, spends its first thousand steps on
    # the background and its scales, while a Gaussian of learnt variance shows faces after a few hundred.
    return "bernoulli" if modality.shape[0] == 1 else "gaussian"


def _network(config: VAEConfig, modality: Modality) -> str:
    large = modality.kind == "image" and min(modality.shape[1:]) >= 8
    if config.network == "conv" and not large:
        raise Problem("The conv network needs pictures of at least 8 by 8 pixels.", "Choose mlp or auto.")
    if config.network == "auto":
        return "conv" if large else "mlp"
    return config.network


def _networks(
    network: str, config: VAEConfig, shape: tuple[int, ...], raw_shape: tuple[int, ...]
) -> tuple[nn.Module, nn.Module]:
    out = 2 * config.latent
    if network == "conv":
        sizes = (config.width, config.depth, config.dense, config.dropout)
        return blocks.ConvEncoder(shape, out, *sizes), blocks.ConvDecoder(config.latent, raw_shape, *sizes)
    hidden = () if network == "linear" else (config.hidden,) * config.depth
    return (
        blocks.FlatEncoder(shape, out, hidden, config.dropout),
        blocks.FlatDecoder(config.latent, raw_shape, hidden, config.dropout),
    )


def _prior(config: VAEConfig, shape: tuple[int, ...], *, squash: bool) -> nn.Module:
    if config.prior == "mixture":
        return MixturePrior(config.latent, config.components)
    if config.prior == "vamp":
        return VampPrior(shape, config.components, squash=squash)
    return NormalPrior(config.latent)
