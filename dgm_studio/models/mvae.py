"""The multimodal variational autoencoder with a product of experts (Wu and Goodman 2018), and mixtures of products."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import nearest, option
from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import cross_bounds, fusion, modal
from dgm_studio.models.capabilities import Likelihood, Posterior, Views
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.modal import Sizes
from dgm_studio.models.modal_likelihoods import Choice, dimensions
from dgm_studio.models.priors import NormalPrior, Prior
from dgm_studio.models.registry import system
from dgm_studio.models.subsets import Parts, every_part, joint_and_parts

LOG_STD_RANGE = (-10.0, 10.0)  # of an expert: what its product with the prior can still tell from certainty and nothing
LEARNT_WEIGHTS = (0.01, 100.0)  # a label that is known for certain would ask for an infinite weight
LEARNT_SPEED = 10.0  # the logarithm of a loss moves by some units, an optimiser by thousandths a step
LEAST_LOSS = 0.01  # nats a value: what a density of numbers falls below has no size to learn
BALANCES = ("fixed", "sizes", "learnt")
FAMILIES = {
    "image": "image_weight",
    "label": "label_weight",
    "categorical": "label_weight",
    "attributes": "label_weight",
    "real": "number_weight",
    "positive": "number_weight",
    "vector": "number_weight",
    "text": "text_weight",
}


def _weight(of: str) -> Any:
    return option(
        1.0,
        f"Lambda of {of}: weight of its log-likelihood in training; evaluation always uses 1.",
        low=0.0,
        high=10_000.0,
        group="Objective",
        title=f"Lambda, {of}",
    )


@dataclass(frozen=True)
class MVAEConfig:
    """Settings of an MVAE."""

    latent: int = option(
        32, "Size of z, shared by all modalities.", low=1, high=512, group="Model", log=True, title="Latent dimensions"
    )
    use: str = option(
        "",
        'Modalities of the data to model, joined by "+" ("image+digit"); empty takes all.',
        group="Model",
        title="Modalities",
    )
    fusion: str = option(
        "poe",
        "Joint posterior: product of experts, or a mixture of the products of all subsets (Sutter 2021).",
        choices=("poe", "mopoe"),
        group="Model",
        title="Fusion",
    )
    network: str = option(
        "auto", "Image networks; auto takes mlp for grey and conv for colour.", choices=modal.NETWORKS, group="Model"
    )
    hidden: int = option(
        512, "Units of the hidden layers.", low=1, high=4096, group="Model", log=True, title="Hidden units"
    )
    encoder_layers: int = option(2, "Hidden layers of each encoder.", low=1, high=8, group="More")
    decoder_layers: int = option(3, "Hidden layers of each decoder.", low=1, high=8, group="More")
    width: int = option(
        16, "Channels of the first convolution.", low=4, high=256, group="More", log=True, title="Convolution channels"
    )
    dense: int = option(256, "Dense layer behind convolutions; 0 for none.", low=0, high=4096, group="More")
    dropout: float = option(
        0.0, "Probability of dropping hidden units in training.", low=0.0, high=0.9, group="More", title="Dropout"
    )
    likelihood: str = option(
        "auto", "Of images; auto takes bernoulli for grey, else gaussian.", choices=modal.LIKELIHOODS, group="More"
    )
    binarise: bool = option(
        False, "Draw grey pixels as bits anew at every use, rather than score grey values.", group="More"
    )
    text: str = option(
        "sequence", "One word distribution for each position, or one for all.", choices=modal.TEXTS, group="More"
    )
    prior_expert: bool = option(
        True,
        "The prior takes part in every product. Off is a known mistake, to be looked at.",
        group="More",
        title="Prior is an expert",
    )
    subsampling: bool = option(
        True,
        "Also train each modality alone and random subsets, in complete rows. A mixture of products always does.",
        group="Objective",
        title="Sub-sampling",
    )
    subsets: int = option(
        1, "Random subsets a datum and step, where there are 3 modalities or more.", low=0, high=16, group="Objective"
    )
    subset_draw: str = option(
        "size first",
        "How a random subset is drawn: its size first, as in the paper, or uniformly over all.",
        choices=("size first", "uniform"),
        group="More",
    )
    rebuild: str = option(
        "given",
        "What a part is to rebuild: what it was given, as in the paper, or all that is known, as mixtures do.",
        choices=("given", "all"),
        group="Objective",
        title="Parts rebuild",
    )
    balance: str = option(
        "fixed",
        "Weights of the modalities: as given, times the ratio of sizes, or learnt (Kendall 2018).",
        choices=BALANCES,
        group="Objective",
        title="Balance",
    )
    image_weight: float = _weight("images")
    label_weight: float = _weight("labels and attributes")
    number_weight: float = _weight("numbers")
    text_weight: float = _weight("texts")
    weights: str = option(
        "", 'Lambdas of single modalities, before those of their kind: "digit=5, age=2".', group="Objective"
    )
    beta: float = option(
        1.0, "Weight of the KL in training; evaluation uses 1.", low=0.0, high=100.0, group="Objective", title="Beta"
    )
    # None by default: with one, z fills with style while nothing is charged for it. Measured on digits with labels
    # after 640 steps: bounds 7 to 15 nats better, but label to image 0.32 rather than 0.78 (lambda 5).
    kl_warmup: int = option(
        0,
        "Steps over which the weight of the KL rises from 0 to beta.",
        low=0,
        high=1_000_000,
        group="Objective",
        title="KL warm-up",
    )


@system(
    name="mvae",
    title="Multimodal VAE (product of experts)",
    summary="Several modalities share one z; any part of a datum gives a posterior, by a product of experts.",
    paper=Paper(
        "M. Wu, N. Goodman", 2018, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", "NeurIPS"
    ),
    config=MVAEConfig,
    tiny={"latent": 3, "hidden": 16, "encoder_layers": 1, "decoder_layers": 1, "width": 8, "dense": 8},
    objective=(
        "&sum;<sub><i>S</i></sub> <i>ELBO</i>(<i>x<sub>S</sub></i>), <i>ELBO</i>(<i>x<sub>S</sub></i>) = "
        "E<sub><i>q</i>(<i>z</i>|<i>x<sub>S</sub></i>)</sub>[&sum;<sub><i>m</i>&isin;<i>S</i></sub> "
        "<i>&lambda;<sub>m</sub></i> log <i>p</i>(<i>x<sub>m</sub></i>|<i>z</i>)] &minus; <i>&beta;</i>&nbsp;KL("
        "<i>q</i>(<i>z</i>|<i>x<sub>S</sub></i>)&nbsp;&Vert;&nbsp;<i>p</i>(<i>z</i>))"
    ),
    symbols=(
        Symbol("<i>ELBO</i>", "bound on log p of everything that is known, nats, lambda = beta = 1", "metric:elbo"),
        Symbol("<i>S</i>", "subsets: everything, each modality alone, and random ones"),
        Symbol(
            "E[log <i>p</i>(<i>x</i>|<i>z</i>)]", "how well all modalities are rebuilt, nats", "metric:reconstruction"
        ),
        Symbol("KL", "what the latents tell of the datum, nats", "metric:kl"),
        Symbol("<i>&lambda;</i>", "weight of labels and attributes in training", "config:label_weight"),
        Symbol("<i>&beta;</i>", "weight of the KL in training", "config:beta"),
        Symbol("<i>z</i>", "latent variables; their number is", "config:latent"),
        Symbol("<i>q</i>(<i>z</i>|<i>x<sub>S</sub></i>)", "product of the prior and one expert for each of S"),
    ),
    modality_kinds=modal.KINDS,
    views=True,
    least=2,
)
class MVAE(nn.Module):
    """max sum_S { E_q(z | x_S)[sum_{m in S} lambda_m log p(x_m | z)] - beta KL(q(z | x_S) || p(z)) }.

    q(z | x_S) = p(z) prod_{m in S} q(z | x_m) / constant (Wu and Goodman 2018, equations 3 to 5). With "mopoe" the
    joint posterior is the mixture of the products of all subsets, and the objective is that of Sutter et al. 2021
    (equation 9): every subset rebuilds everything, and the KL is bounded by its mean over the subsets.

    A row with missing values trains what it has: by the product of all that is known, and by no smaller subset.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have.

    Raises:
        Problem: Nothing here that it can model, a modality that does not exist, or a network that does not fit.
    """

    def __init__(self, config: MVAEConfig, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.config = config
        self.modalities = used(config.use, modalities)
        named_weights(config.weights, self.modalities)
        why = self.rules()[config.fusion]
        if why:
            raise Problem(why, "Choose poe, or use fewer of the modalities.")
        self.modality = next((m for m in self.modalities if m.kind == "image"), self.modalities[0])
        self.shape: tuple[int, ...] = tuple(self.modality.shape)
        self.latent = config.latent
        self.named = {m.name: m for m in self.modalities}
        # A number behind the name: names of columns may hold dots, or be those of a module's own attributes.
        self.keys = {m.name: f"{re.sub(r'[^0-9A-Za-z]', '_', m.name)}_{i}" for i, m in enumerate(self.modalities)}
        sizes, out = sizes_of(config), 2 * config.latent
        self.encoders = nn.ModuleDict({self.keys[m.name]: modal.encoder_for(m, out, sizes) for m in self.modalities})
        self.decoders = nn.ModuleDict(
            {self.keys[m.name]: modal.decoder_for(m, config.latent, sizes) for m in self.modalities}
        )
        self.prior = NormalPrior(config.latent)
        learns = config.balance == "learnt"
        self.log_noise = nn.Parameter(torch.zeros(len(self.modalities))) if learns else None

    # -- crossing ----------------------------------------------------------------------------------------------------

    def experts(self, given: Views) -> dict[str, Posterior]:
        """The raw expert of every modality that is given, without the prior; of infinite std where it is missing."""
        found = {}
        for name, values in given.items():
            if name in self.named:
                mean, log_std = self.encoders[self.keys[name]](values).chunk(2, 1)
                raw = Posterior(mean, log_std.clamp(*LOG_STD_RANGE).exp())
                found[name] = fusion.absent_where(raw, ~modal.present(self.named[name], values))
        return found

    def infer(self, given: Views, fusing: Fusing | None = None) -> Mixture:
        """q(z | given), by the rule it was trained with or as asked; the prior of one datum where nothing is given.

        Raises:
            Problem: There is no such rule.
        """
        experts = self.experts(given)
        if not experts:
            like = self.prior.like.unsqueeze(0)
            return fusion.one(Posterior(torch.zeros_like(like), torch.ones_like(like)), ())
        return self.combine(experts, fusing)

    def combine(self, experts: Mapping[str, Posterior], fusing: Fusing | None = None) -> Mixture:
        """`infer` for experts that are in hand already: what is fused otherwise need not be encoded again."""
        return fusion.fuse(experts, fusing, self.config.fusion, self.config.prior_expert)

    @property
    def rule(self) -> str:
        """The rule of fusion that it is trained with."""
        return self.config.fusion

    def rules(self) -> dict[str, str]:
        """Every rule of fusion: "" where these experts can be combined by it, else why not."""
        return fusion.rules("gaussian", self.config.fusion, len(self.modalities))

    def generate(self, z: Float[Tensor, "n z"], names: tuple[str, ...] = ()) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named, of all by default."""
        return {name: self.decoders[self.keys[name]](z) for name in names or self.named if name in self.named}

    # -- one picture, as every panel sees a model --------------------------------------------------------------------

    def encode(self, x: Float[Tensor, "n *shape"]) -> Posterior:
        """q(z | picture): its expert times the prior.

        Raises:
            ValueError: The data have another shape.
        """
        return fusion.product(self.experts({self.modality.name: x}), None, self.config.prior_expert)

    def decode(self, z: Float[Tensor, "n {self.latent}"]) -> Likelihood:
        """p(picture | z)."""
        found: Likelihood = self.decoders[self.keys[self.modality.name]](z)
        return found

    def latent_prior(self) -> Prior:
        """p(z) as a value."""
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

    def class_log_probs(self, x: Tensor, generator: torch.Generator, samples: int = 10) -> dict[str, Tensor]:
        """log E_q(z | picture)[p(label | z)], [N, C], by draws of z: what the label decoder makes of a picture.

        Raises:
            Problem: There is no label among the modalities.
        """
        label = next((m for m in self.modalities if m.kind == "label"), None)
        if label is None:
            raise Problem("This model has no label, so it cannot classify.", "Train one on data with a label.")
        z = self.encode(x).sample(generator, samples)
        found: Choice = self.decoders[self.keys[label.name]](z.flatten(0, 1))
        logs = torch.log_softmax(found.logits, -1).unflatten(0, z.shape[:2])
        return {"p(y|z)": torch.logsumexp(logs, 0) - torch.tensor(float(samples)).log()}

    # -- bounds ------------------------------------------------------------------------------------------------------

    def prepare(self, x: Any, generator: torch.Generator) -> Any:
        """The data as the likelihoods see them: grey pictures as fresh bits if so configured, else unchanged."""
        if not self.config.binarise:
            return x
        if not isinstance(x, Mapping):
            return modal.bits(self.modality, x, generator)
        return {n: modal.bits(self.named[n], v, generator) for n, v in self._views(x).items()}

    def elbo(self, x: Any, generator: torch.Generator, samples: int = 1) -> Float[Tensor, " n"]:
        """Evidence lower bound of `Views`, or of pictures alone, with lambda = beta = 1: [N], nats."""
        views = self._views(self.prepare(x, generator))
        return cross_bounds.elbo(self, views, generator, samples=samples)

    def log_prob_bound(self, x: Any, k: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """Importance-weighted bound on log p of `Views`, or of pictures alone: [N], nats."""
        views = self._views(self.prepare(x, generator))
        return cross_bounds.importance_bound(self, views, k, generator).log_prob

    # -- training ----------------------------------------------------------------------------------------------------

    def loss(self, batch: Views, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """What is minimised, and its parts, for every example.

        Args:
            batch: `Views` of N data; at least one of the modalities.
            generator: For subsets, bits and z.
            step: Optimiser steps done, for the warm-up.

        Returns:
            [N] each, nats: "loss"; "elbo" of all that is known, with lambda = beta = 1; "reconstruction", its
            likelihoods; "reconstruction:NAME" of each modality; "kl". Also "kl_per_dim" [N, Z]. With a mixture of
            products they are means over its components, which makes "elbo" a bound by the convexity of the KL.
        """
        views = self._views(self.prepare(batch, generator))
        parts = self._parts(views, generator)
        q = self._products(self.experts(views), parts)
        kl_per_dim = q.kl_per_dim().unflatten(0, parts.weight.shape)
        logs = self._scores(views, parts, q.sample(generator)[0].unflatten(0, parts.weight.shape))
        lambdas = self.lambdas().to(logs)
        loss = parts.weight * (self.kl_weight(step) * kl_per_dim.sum(-1) - (lambdas * logs).sum(-1))
        own = (parts.report.unsqueeze(-1) * logs).sum(0)
        reported = (parts.report.unsqueeze(-1) * kl_per_dim).sum(0)
        reconstruction, kl = own.sum(-1), reported.sum(-1)
        return {
            "loss": loss.sum(0) + self._noise_loss(own, parts.scored[0]),
            "elbo": reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "kl_per_dim": reported,
            **{f"reconstruction:{m.name}": own[:, i] for i, m in enumerate(self.modalities)},
        }

    def kl_weight(self, step: int) -> float:
        """Weight of the KL in training after `step` steps: a straight line from 0 to beta over `kl_warmup` steps."""
        warmup = self.config.kl_warmup
        return self.config.beta * (min(1.0, step / warmup) if warmup else 1.0)

    def lambdas(self) -> Float[Tensor, " m"]:
        """Weight of every modality's log-likelihood in training, in the order of `modalities`."""
        own = named_weights(self.config.weights, self.modalities)
        given = [own.get(m.name, float(getattr(self.config, FAMILIES[m.kind]))) for m in self.modalities]
        sizes = [dimensions(m) for m in self.modalities]
        if self.config.balance == "sizes":
            given = [weight * max(sizes) / size for weight, size in zip(given, sizes, strict=True)]
        found = torch.tensor(given, device=self.prior.like.device)
        if self.log_noise is None or self.config.balance != "learnt":
            return found
        noise = LEARNT_SPEED * self.log_noise.detach()
        return found * torch.exp(noise[sizes.index(max(sizes))] - noise).clamp(*LEARNT_WEIGHTS)

    def _noise_loss(self, own: Float[Tensor, "n m"], present: Tensor) -> Tensor | float:
        """Learns the size of every modality's loss l: l / s + log s is least at s = l (Kendall et al. 2018, eq. 7).

        Weights 1 / s, relative to the largest modality, then make all losses count alike. Only s learns from this.
        """
        if self.log_noise is None:
            return 0.0
        noise = LEARNT_SPEED * self.log_noise
        floor = torch.tensor([LEAST_LOSS * dimensions(m) for m in self.modalities]).to(own)
        return (present * (torch.exp(-noise) * torch.maximum(-own.detach(), floor) + noise)).sum(-1)

    def _parts(self, views: Views, generator: torch.Generator) -> Parts:
        first = next(iter(views.values()))
        nowhere = torch.zeros(len(first), dtype=torch.bool, device=first.device)
        columns = [modal.present(m, views[m.name]) if m.name in views else nowhere for m in self.modalities]
        present = torch.stack(columns, 1)
        if self.config.fusion == "mopoe":
            return every_part(present)
        c = self.config
        size, cross = c.subset_draw == "size first", c.rebuild == "all"
        return joint_and_parts(present, generator, alone=c.subsampling, count=c.subsets, size_first=size, cross=cross)

    def _products(self, experts: dict[str, Posterior], parts: Parts) -> Posterior:
        """q(z | part) of every part of every datum, [S N, Z]."""
        shape = (*parts.weight.shape, self.latent)
        found = {}
        for i, m in enumerate(self.modalities):
            if m.name in experts:
                expert = experts[m.name]
                every = Posterior(expert.mean.expand(shape).flatten(0, 1), expert.std.expand(shape).flatten(0, 1))
                found[m.name] = fusion.absent_where(every, ~parts.given[:, :, i].flatten())
        return fusion.product(found, None, self.config.prior_expert)

    def _scores(self, views: Views, parts: Parts, z: Float[Tensor, "s n z"]) -> Float[Tensor, "s n m"]:
        """log p(x_m | z) of every part, 0 where it is not scored. Each decoder runs once, on all it is needed for."""
        found = []
        for i, m in enumerate(self.modalities):
            total = z.new_zeros(z.shape[:2])
            rows = torch.tensor([s for s, may in enumerate(parts.may) if i in may], device=z.device)
            if m.name in views:
                logs = cross_bounds.log_likelihoods(self, {m.name: views[m.name]}, z[rows])[m.name]
                total = total.index_copy(0, rows, torch.where(parts.scored[rows, :, i], logs, torch.zeros_like(logs)))
            found.append(total)
        return torch.stack(found, -1)

    def _views(self, x: Any) -> Views:
        """Those of the views that are modelled; a tensor is the picture alone.

        Raises:
            ValueError: None of them is.
        """
        views = x if isinstance(x, Mapping) else {self.modality.name: x}
        found = {name: values for name, values in views.items() if name in self.named}
        if not found:
            raise ValueError(f"none of {', '.join(views)} is modelled here")
        return found


def used(use: str, offered: tuple[Modality, ...]) -> tuple[Modality, ...]:
    """The modalities that a setting like "image+digit" names; all that can be modelled when it is empty.

    Raises:
        Problem: A name that the data do not have, a kind that cannot be modelled, or not the data's first modality.
    """
    fit = tuple(m for m in offered if m.kind in modal.KINDS)
    if not fit or fit[0] is not offered[0]:
        raise Problem(
            "A multimodal VAE cannot model these data.", "Choose data with pictures, labels, numbers or texts."
        )
    names = [name.strip() for name in use.split("+") if name.strip()]
    for name in names:
        if name not in [m.name for m in fit]:
            near = nearest(name, [m.name for m in fit])
            action = f"Did you mean {near}?" if near else f"Modalities: {', '.join(m.name for m in fit)}."
            raise Problem(f"The data have no modality called {name}.", action)
    found = tuple(m for m in fit if not names or m.name in names)
    if found[0] is not fit[0]:
        raise Problem(f"The first modality of the data, {fit[0].name}, is left out.", "Name it among those to use.")
    return found


def named_weights(text: str, modalities: tuple[Modality, ...]) -> dict[str, float]:
    """Read "digit=5, age=2".

    Raises:
        Problem: Not of that form, or a name that is not modelled.
    """
    found = {}
    for word in filter(None, (w.strip() for w in text.split(","))):
        name, equals, value = (w.strip() for w in word.rpartition("="))
        try:
            found[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or name not in [m.name for m in modalities] or not 0.0 <= found[name] < math.inf:
            names = ", ".join(m.name for m in modalities)
            raise Problem(f"{word} is not the weight of a modality.", f"Write NAME=NUMBER with one of {names}.")
    return found


def sizes_of(config: MVAEConfig) -> Sizes:
    """The networks' sizes."""
    return Sizes(
        hidden=config.hidden,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        network=config.network,
        width=config.width,
        dense=config.dense,
        likelihood=config.likelihood,
        text=config.text,
        dropout=config.dropout,
    )
