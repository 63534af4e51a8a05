"""A generative classifier: a VAE conditioned on the class, turned round by Bayes' rule."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dgm_studio.core.cards import Paper, Symbol
from dgm_studio.models import class_conditional as conditional
from dgm_studio.models.class_conditional import PairConfig
from dgm_studio.models.generative_classifier import GenerativeClassifier, Terms
from dgm_studio.models.registry import system


@dataclass(frozen=True)
class ClassVAEConfig(PairConfig):
    """Settings of a class-conditional VAE."""


@system(
    name="class-vae",
    title="Generative classifier",
    summary="A VAE for every class that shares its networks with the others; it classifies by Bayes' rule, and knows "
    "how probable a picture is.",
    paper=Paper(
        "Y. Li, J. Bradshaw, Y. Sharma", 2019, "Are Generative Classifiers More Robust to Adversarial Attacks?"
    ),
    config=ClassVAEConfig,
    tiny={"latent": 3, "hidden": 16, "width": 8},
    objective=(
        "<i>ELBO</i> = E<sub><i>q</i>(<i>z</i>|<i>x</i>,<i>y</i>)</sub>[log <i>p</i>(<i>x</i>|<i>y</i>,<i>z</i>)]"
        " &minus; <i>&beta;</i>&nbsp;KL(<i>q</i>(<i>z</i>|<i>x</i>,<i>y</i>)&nbsp;&Vert;&nbsp;<i>p</i>(<i>z</i>))"
        " + log <i>p</i>(<i>y</i>)"
    ),
    symbols=(
        Symbol("<i>ELBO</i>", "lower bound on log p(x, y), on log p(x) where the label is missing", "metric:elbo"),
        Symbol(
            "E[log <i>p</i>(<i>x</i>|<i>y</i>,<i>z</i>)]",
            "how well a picture is rebuilt from its class and style, nats",
            "metric:reconstruction",
        ),
        Symbol("KL", "what the style tells of the picture, nats", "metric:kl"),
        Symbol("<i>&beta;</i>", "weight of the KL in training", "config:beta"),
        Symbol("<i>z</i>", "style; its dimensions are", "config:latent"),
        Symbol("log <i>p</i>(<i>y</i>)", "what the class costs, nats", "metric:label"),
        Symbol("<i>p</i>(<i>y</i>)", "how often each class is expected", "config:class_prior"),
    ),
    modality_kinds=("image", "label", "categorical"),
    views=True,
    requires=("image", "label"),
    least=2,
)
class ClassVAE(GenerativeClassifier[ClassVAEConfig]):
    """max E_q(z|x,y)[log p(x | y, z)] - beta KL(q(z | x, y) || p(z)) + log p(y).

    After the deep Bayes classifiers of Li, Bradshaw and Sharma 2019, with z and y independent a priori. A picture is
    classified by p(y | x) in proportion to p(y) p(x | y), with p(x | y) by the importance-weighted bound of K draws
    (Burda et al. 2016); log p(x) = log sum over y of p(y) p(x | y).

    Where a label is missing every class is decoded, and log sum over y of p(y) w_y is raised, with
    w_y = p(x | y, z_y) p(z_y) / q(z_y | x, y) from one draw: an importance-weighted bound on log p(x), stratified by
    class. Where the picture is missing log p(y) is left, and single erased pixels add nothing.

    Grey pictures are scored by the cross-entropy and never binarised (as by Wu and Goodman 2018), so the scores of a
    picture are differentiable in it. p(y) is counted by `count`, before the first step.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture and the first label are modelled.

    Raises:
        Problem: Pictures or labels are missing, or a network does not fit.
    """

    def _unlabelled(self, x: Tensor, noise: Tensor, weight: float) -> Terms:
        classes = self.pair.classes
        drawn = conditional.draw_classes(self.pair, x, noise)
        reconstruction, ratio = (conditional.by_class(v[0], classes) for v in (drawn.log_likelihood, drawn.log_ratio))
        prior = self.pair.log_class_prior()
        posterior, elbo = conditional.bayes_rule(reconstruction - ratio, prior)
        share = posterior.exp()  # of each class in what is told of z and of the picture
        each = conditional.by_class(drawn.posterior.kl_per_dim().T, classes)
        return {
            "loss": -conditional.bayes_rule(reconstruction - weight * ratio, prior)[1],
            "elbo": elbo,
            "reconstruction": (share * reconstruction).sum(1),
            "kl": (share * ratio).sum(1),
            "label": (share * (prior - posterior)).sum(1),
            "kl_per_dim": (share * each).sum(-1).T,
        }
