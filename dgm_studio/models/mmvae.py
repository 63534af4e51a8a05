"""The multimodal variational autoencoder with a mixture of experts (Shi et al. 2019)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import option
from dgm_studio.core.requests import Fusing
from dgm_studio.models import cross_bounds, fusion, modal, strata
from dgm_studio.models.capabilities import Joint, Likelihood, Posterior, Views
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.laplace import PICTURE_SCALE, ROOT_TWO, LaplacePosterior, ScaledPrior
from dgm_studio.models.modal import Sizes
from dgm_studio.models.modal_likelihoods import dimensions
from dgm_studio.models.mvae import used
from dgm_studio.models.priors import Prior
from dgm_studio.models.registry import system

LEAST_SCALE = 1e-6  # of a posterior, as in the authors' experiments
# Numbers generated at once in training, over all modalities: beyond that the decoders run slice by slice and once more
# on the way back, so that memory does not grow with K.
VALUES = 4_000_000


@dataclass(frozen=True)
class MMVAEConfig:
    """Settings of an MMVAE."""

    latent: int = option(
        16, "Size of z, shared by all modalities.", low=1, high=512, group="Model", log=True, title="Latent dimensions"
    )
    use: str = option(
        "",
        'Modalities of the data to model, joined by "+" ("mnist+digits8"); empty takes all.',
        group="Model",
        title="Modalities",
    )
    posterior: str = option(
        "laplace",
        "Family of the posteriors and of the prior.",
        choices=("laplace", "gaussian"),
        group="Model",
        title="Posterior and prior",
    )
    prior: str = option(
        "learnt",
        "Scales of the prior: learnt, in sum Z, or all 1.",
        choices=("learnt", "fixed"),
        group="Model",
        title="Prior scales",
    )
    network: str = option(
        "auto", "Image networks; auto takes mlp for grey and conv for colour.", choices=modal.NETWORKS, group="Model"
    )
    hidden: int = option(
        256, "Units of the hidden layers.", low=1, high=4096, group="Model", log=True, title="Hidden units"
    )
    encoder_layers: int = option(2, "Hidden layers of each encoder.", low=1, high=8, group="More")
    decoder_layers: int = option(2, "Hidden layers of each decoder.", low=1, high=8, group="More")
    width: int = option(
        16, "Channels of the first convolution.", low=4, high=256, group="More", log=True, title="Convolution channels"
    )
    dense: int = option(256, "Dense layer behind convolutions; 0 for none.", low=0, high=4096, group="More")
    dropout: float = option(
        0.1, "Probability of dropping hidden units in training.", low=0.0, high=0.9, group="More", title="Dropout"
    )
    likelihood: str = option(
        "laplace", "Of images; auto takes bernoulli for grey, else gaussian.", choices=modal.LIKELIHOODS, group="More"
    )
    scale: float = option(
        PICTURE_SCALE,
        "Fixed scale of the Laplace likelihood of images (0.75 in the paper).",
        low=0.01,
        high=10.0,
        group="More",
        log=True,
        title="Likelihood scale",
    )
    text: str = option(
        "sequence",
        "Texts have a word distribution for each position, or one for all.",
        choices=modal.TEXTS,
        group="More",
    )
    samples: int = option(
        1,
        "K: draws from every expert in training. At equal time more updates with few draws win.",
        low=1,
        high=200,
        group="Objective",
        log=True,
        title="Draws K",
    )
    bound: str = option(
        "looser",
        "Mean of the experts' bounds, as in the paper, or the tight one, in which the better modality dominates.",
        choices=strata.BOUNDS,
        group="Objective",
        title="Bound",
    )
    gradient: str = option(
        "dreg",
        "Doubly reparametrised as in the paper (biased for K above 1), the same for a mixture (unbiased), or plain.",
        choices=strata.GRADIENTS,
        group="Objective",
        title="Gradient",
    )
    scaling: bool = option(
        True,
        "Log-likelihoods count in training as if all modalities were as large as the largest.",
        group="Objective",
        title="Likelihood scaling",
    )


@system(
    name="mmvae",
    title="Multimodal VAE (mixture of experts)",
    summary="Several modalities share one z; each gives a whole posterior, and together they are a mixture.",
    paper=Paper(
        "Y. Shi, N. Siddharth, B. Paige, P. H. S. Torr",
        2019,
        "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models",
        "NeurIPS",
    ),
    config=MMVAEConfig,
    tiny={
        "latent": 3,
        "hidden": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "width": 8,
        "dense": 8,
        "dropout": 0.0,
        "samples": 2,
        "scaling": False,
    },
    objective=(
        "1/<i>M</i> &sum;<sub><i>m</i></sub> E<sub><i>z</i><sub>1..<i>K</i></sub> ~ <i>q</i>(<i>z</i>|"
        "<i>x<sub>m</sub></i>)</sub>[log 1/<i>K</i> &sum;<sub><i>k</i></sub> <i>p</i>(<i>z<sub>k</sub></i>) "
        "&prod;<sub><i>d</i></sub> <i>p</i>(<i>x<sub>d</sub></i>|<i>z<sub>k</sub></i>) / "
        "<i>q</i>(<i>z<sub>k</sub></i>|<i>x</i>)]"
    ),
    symbols=(
        Symbol("<i>ELBO</i>", "the same for K = 1 and without scaling: a bound on log p, nats", "metric:elbo"),
        Symbol("<i>K</i>", "draws from every expert", "config:samples"),
        Symbol("<i>M</i>", "modalities that are known"),
        Symbol("<i>q</i>(<i>z</i>|<i>x</i>)", "mixture of the experts of what is known, in equal shares"),
        Symbol("<i>q</i>(<i>z</i>|<i>x<sub>m</sub></i>)", "expert of one modality", "config:posterior"),
        Symbol("<i>p</i>(<i>x<sub>d</sub></i>|<i>z</i>)", "each modality, also from another's latents: nats", ""),
        Symbol("log <i>p</i>(<i>x</i>|<i>z</i>)", "how well all are rebuilt, nats", "metric:reconstruction"),
        Symbol("<i>p</i>(<i>z</i>)", "prior over latents", "config:prior"),
        Symbol("<i>z</i>", "latent variables; their number is", "config:latent"),
    ),
    modality_kinds=modal.KINDS,
    views=True,
    least=2,
)
class MMVAE(nn.Module):
    """max 1/M sum_m E_{z_1..K ~ q_m}[log 1/K sum_k p(z_k) prod_d p(x_d | z_k)^s_d / q(z_k | x)], q = 1/M sum_m q_m.

    Shi et al. 2019, section 3.3. Posteriors and prior are Laplace (or Gaussian) with scales softmax(logits) Z, so
    that they sum to Z. The factors s_d (size of the largest modality over the size of d) belong to the training
    objective alone; whatever is reported or scored has none. In a row with missing modalities M counts what is there.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have.

    Raises:
        Problem: Nothing here that it can model, a modality that does not exist, or a network that does not fit.
    """

    def __init__(self, config: MMVAEConfig, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.config = config
        self.modalities = used(config.use, modalities)
        self.modality = next((m for m in self.modalities if m.kind == "image"), self.modalities[0])
        self.shape: tuple[int, ...] = tuple(self.modality.shape)
        self.latent = config.latent
        self.named = {m.name: m for m in self.modalities}
        self.keys = {m.name: f"{re.sub(r'[^0-9A-Za-z]', '_', m.name)}_{i}" for i, m in enumerate(self.modalities)}
        sizes, out = sizes_of(config), 2 * config.latent
        self.encoders = nn.ModuleDict({self.keys[m.name]: modal.encoder_for(m, out, sizes) for m in self.modalities})
        self.decoders = nn.ModuleDict(
            {self.keys[m.name]: modal.decoder_for(m, config.latent, sizes) for m in self.modalities}
        )
        self.prior = ScaledPrior(config.latent, config.posterior, learnt=config.prior == "learnt")

    # -- crossing ----------------------------------------------------------------------------------------------------

    def experts(self, given: Views) -> dict[str, Posterior]:
        """q(z | x_m) of every modality that is given; of infinite std where it is missing."""
        found = {}
        for name, values in given.items():
            if name in self.named:
                raw = self._posterior(self.encoders[self.keys[name]](values))
                found[name] = fusion.absent_where(raw, ~modal.present(self.named[name], values))
        return found

    def _posterior(self, features: Float[Tensor, "n two_z"]) -> Posterior:
        mean, logits = features.chunk(2, 1)
        scale = torch.softmax(logits, 1) * self.latent + LEAST_SCALE
        return (
            LaplacePosterior(mean, ROOT_TWO * scale) if self.config.posterior == "laplace" else Posterior(mean, scale)
        )

    def _empty(self) -> Posterior:
        """The prior of one datum as a posterior."""
        std = self.latent_prior().std().unsqueeze(0)
        kind = LaplacePosterior if self.config.posterior == "laplace" else Posterior
        return kind(torch.zeros_like(std), std)

    def infer(self, given: Views, fusing: Fusing | None = None) -> Mixture:
        """q(z | given): the mixture of the experts of what is given; the prior of one datum where nothing is.

        Raises:
            Problem: The rule asked for means nothing on these encoders.
        """
        experts = self.experts(given)
        if not experts:
            return fusion.one(self._empty(), ())
        return self.combine(experts, fusing)

    def combine(self, experts: Mapping[str, Posterior], fusing: Fusing | None = None) -> Mixture:
        """`infer` for experts that are in hand already: what is fused otherwise need not be encoded again."""
        return fusion.fuse(experts, fusing, self.rule, empty=self._empty(), kind=self.config.posterior)

    @property
    def rule(self) -> str:
        """The rule of fusion that it is trained with."""
        return "moe"

    def rules(self) -> dict[str, str]:
        """Every rule of fusion: "" where these experts can be combined by it, else why not."""
        return fusion.rules(self.config.posterior, self.rule, len(self.modalities))

    def generate(self, z: Float[Tensor, "n z"], names: tuple[str, ...] = ()) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named, of all by default."""
        return {name: self.decoders[self.keys[name]](z) for name in names or self.named if name in self.named}

    # -- one picture, as every panel sees a model --------------------------------------------------------------------

    def encode(self, x: Float[Tensor, "n *shape"]) -> Posterior:
        """q(z | picture): its expert alone; the prior where nothing of the picture is known.

        Raises:
            ValueError: The data have another shape.
        """
        return self.infer({self.modality.name: x}).components[0]

    def decode(self, z: Float[Tensor, "n {self.latent}"]) -> Likelihood:
        """p(picture | z)."""
        found: Likelihood = self.decoders[self.keys[self.modality.name]](z)
        return found

    def latent_prior(self) -> Prior:
        """p(z) as a value, which holds until the weights change."""
        found: Prior = self.prior()
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

    def kl_per_dim(self, q: Posterior | Joint, generator: torch.Generator, samples: int = 64) -> Float[Tensor, "n z"]:
        """KL(q(z | x) || p(z)) cut into dimensions, nats.

        In closed form for one expert; for a mixture from draws, by the chain rule, so that it sums to the whole.
        """
        prior = self.latent_prior()
        joint: Joint = fusion.one(q, ()) if isinstance(q, Posterior) else q
        if len(joint.components) == 1:
            closed = cross_bounds.closed_kl(prior, joint.components[0])
            if closed is not None:
                return closed
        return _kl_by_draws(prior, joint, cross_bounds.stratified(joint, generator, samples))

    # -- bounds ------------------------------------------------------------------------------------------------------

    def elbo(self, x: Any, generator: torch.Generator, samples: int = 1) -> Float[Tensor, " n"]:
        """Evidence lower bound of `Views`, or of pictures alone, without scaling: [N], nats."""
        return cross_bounds.elbo(self, self._views(x), generator, samples=samples)

    def log_prob_bound(self, x: Any, k: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """log p of `Views`, or of pictures alone, by k draws from every expert, pooled: [N], nats.

        Every draw is weighed with the whole mixture below, so that the exponential is unbiased.
        """
        return cross_bounds.importance_bound(self, self._views(x), k, generator).log_prob

    # -- training ----------------------------------------------------------------------------------------------------

    def loss(self, batch: Views, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """What is minimised, and its parts, for every example.

        Args:
            batch: `Views` of N data; at least one of the modalities.
            generator: For z.
            step: Not used.

        Returns:
            [N] each, nats: "loss", with scaled likelihoods; the others without: "elbo" of all that is known,
            "reconstruction", its likelihoods, "reconstruction:NAME" of each modality, "kl", both parts estimated by
            the same draws. Also "kl_per_dim" [N, Z].
        """
        views, about = self._views(batch), self.config
        q, prior = self.infer(views), self.latent_prior()
        z = q.stratified(generator, about.samples)
        through = strata.handle(z, about.gradient)
        logs = self._log_likelihoods(views, through)
        factors = self.factors()
        scaled = torch.stack([factors[name] * log for name, log in logs.items()]).sum(0)
        weights = prior.log_prob(through) + scaled - strata.log_density(q, through, about.gradient)
        value = strata.objective(q, z, through, weights, about.bound, about.gradient)
        return {"loss": -value, **self._report(q, prior, z, logs)}

    @torch.no_grad()
    def _report(
        self, q: Mixture, prior: Prior, z: Float[Tensor, "c k n z"], logs: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The terms that are looked at; each the mean over the mixture."""
        parts = {name: strata.weighed(log.mean(1), q.log_weights) for name, log in logs.items()}
        reconstruction = torch.stack(list(parts.values())).sum(0)
        kl_per_dim = _kl_by_draws(prior, q, z)
        kl = kl_per_dim.sum(-1)
        zeros = torch.zeros_like(reconstruction)
        return {
            "elbo": reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "kl_per_dim": kl_per_dim,
            **{f"reconstruction:{m.name}": parts.get(m.name, zeros) for m in self.modalities},
        }

    def factors(self) -> dict[str, float]:
        """By what the log-likelihood of each modality is multiplied in training (Shi et al. 2019, appendix)."""
        sizes = {m.name: dimensions(m) for m in self.modalities}
        return {name: max(sizes.values()) / size if self.config.scaling else 1.0 for name, size in sizes.items()}

    def _log_likelihoods(self, views: Views, z: Float[Tensor, "c k n z"]) -> dict[str, Float[Tensor, "c k n"]]:
        """log p(x_m | z) of all draws, over slices of K where they are many."""
        wide = sum(math.prod(m.shape) for m in self.modalities)
        size = max(1, VALUES // (wide * z.shape[0] * z.shape[2]))
        if size >= z.shape[1]:
            return cross_bounds.log_likelihoods(self, views, z)
        parts: list[dict[str, Tensor]] = [
            checkpoint(cross_bounds.log_likelihoods, self, views, some, use_reentrant=False)
            if torch.is_grad_enabled()
            else cross_bounds.log_likelihoods(self, views, some)
            for some in z.split(size, 1)
        ]
        return {name: torch.cat([part[name] for part in parts], 1) for name in views}

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


def _kl_by_draws(prior: Prior, q: Joint, z: Float[Tensor, "c k n z"]) -> Float[Tensor, "n z"]:
    """E_q[log q(z_d | z_1 ... z_{d-1}) - log p(z_d | z_1 ... z_{d-1})] from draws of every component."""
    each = strata.log_density_per_dim(q, z) - prior.log_prob_per_dim(z)
    return strata.weighed(each.mean(1), q.log_weights)


def sizes_of(config: MMVAEConfig) -> Sizes:
    """The networks' sizes."""
    return Sizes(
        hidden=config.hidden,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        network=config.network,
        width=config.width,
        dense=config.dense,
        likelihood=config.likelihood,
        scale=config.scale,
        text=config.text,
        dropout=config.dropout,
    )
