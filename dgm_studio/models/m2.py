"""M2: a class-conditional VAE and a classifier that learn from each other, with few labels (Kingma et al. 2014)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import option
from dgm_studio.models import class_conditional as conditional
from dgm_studio.models import modal
from dgm_studio.models.class_conditional import PairConfig
from dgm_studio.models.generative_classifier import GenerativeClassifier, Terms
from dgm_studio.models.registry import system

GUESS = "q(y|x)"
COUNTED = ("all", "labelled")


@dataclass(frozen=True)
class M2Config(PairConfig):
    """Settings of M2."""

    # Measured with 10 labels a class of 4,000 digits: with 0.1 N the bounds of a decoder that knows no classes yet
    # outvote the labels, and q(y|x) falls below what they alone teach (75 %); with 10 N it ended at 83 % (one seed).
    latent: int = option(
        3,
        "Size of z, the style; with many it can tell the class as well, and pictures without a label teach less.",
        low=1,
        high=512,
        group="Model",
        log=True,
        title="Latent dimensions",
    )
    hidden: int = option(
        256, "Width of the hidden layers.", low=1, high=4096, group="Model", log=True, title="Hidden units"
    )
    alpha: float = option(
        10.0,
        "Weight of the classifier's own loss, alpha = this times N (Kingma 2014 took 0.1 N, with more pictures).",
        low=0.0,
        high=1000.0,
        group="Objective",
        title="Alpha / N",
    )
    alpha_of: str = option(
        "all",
        "Which N: all training examples, or those with a label.",
        choices=COUNTED,
        group="Objective",
        title="N of alpha",
    )
    dropout: float = option(
        0.4,
        "Probability of dropping hidden units of the classifier.",
        low=0.0,
        high=0.9,
        group="More",
        title="Classifier dropout",
    )


@system(
    name="m2",
    title="M2, semi-supervised",
    summary="A class-conditional VAE with a classifier q(y|x) as part of its posterior: pictures without a label "
    "teach it too.",
    paper=Paper(
        "D. P. Kingma, D. J. Rezende, S. Mohamed, M. Welling",
        2014,
        "Semi-supervised Learning with Deep Generative Models",
        "NeurIPS",
    ),
    config=M2Config,
    tiny={"latent": 3, "hidden": 16, "width": 8, "dropout": 0.0},
    objective=(
        "<i>J</i> = &sum;<sub>labelled</sub>&nbsp;<i>L</i>(<i>x</i>,<i>y</i>)"
        " + &sum;<sub>unlabelled</sub>&nbsp;[&sum;<sub><i>y</i></sub>&nbsp;<i>q</i>(<i>y</i>|<i>x</i>)"
        " <i>L</i>(<i>x</i>,<i>y</i>) &minus; H(<i>q</i>(<i>y</i>|<i>x</i>))]"
        " + <i>&alpha;</i>&nbsp;E<sub>labelled</sub>[&minus;log <i>q</i>(<i>y</i>|<i>x</i>)]"
    ),
    symbols=(
        Symbol("&minus;<i>L</i>", "lower bound on log p(x, y); on log p(x) where the label is missing", "metric:elbo"),
        Symbol(
            "<i>q</i>(<i>y</i>|<i>x</i>)", "the classifier; its cross-entropy where a label is known", "metric:guess"
        ),
        Symbol("H", "entropy of q(y|x) where the label is missing, nats", "metric:entropy"),
        Symbol("<i>&alpha;</i>", "weight of the classifier's loss, divided by N", "config:alpha"),
        Symbol("<i>N</i>", "the examples that alpha counts", "config:alpha_of"),
        Symbol("KL", "what the style tells of the picture, nats", "metric:kl"),
        Symbol("<i>z</i>", "style; its dimensions are", "config:latent"),
    ),
    modality_kinds=("image", "label", "categorical"),
    views=True,
    requires=("image", "label"),
    least=2,
)
class M2(GenerativeClassifier[M2Config]):
    """min sum over labelled L(x, y) + sum over unlabelled U(x) + alpha E_labelled[-log q(y | x)].

    Kingma, Rezende, Mohamed and Welling 2014, equations 6 to 9: -L(x, y) = E_q(z|x,y)[log p(x | y, z)]
    - KL(q(z | x, y) || p(z)) + log p(y), and -U(x) = sum over y of q(y | x) (-L(x, y)) + H(q(y | x)), y enumerated and
    the entropy kept. alpha = 0.1 N in the paper, `config.alpha` times N here.

    The mean of "loss" over all N examples is the paper's objective divided by N: E_labelled is the mean over the N_l
    labelled examples, so each of those carries alpha / N_l times its -log q(y | x). With 0.1 N, N all examples, that is
    0.1 N / N_l each (4 with 100 labels among 4,000 pictures); with N the labelled ones, 0.1. N_l / N is taken by
    `count`, before the first step: every batch, whichever labels fall into it, is an unbiased estimate.

    Two classifiers: q(y | x), and Bayes' rule over bounds on log p(x | y). Grey pictures are scored by the
    cross-entropy and never binarised. Where the picture is missing log p(y) is left, and nothing classifies.
    "elbo" is -L(x, y) or -U(x) = "reconstruction" - "kl" + "label" + "entropy", with "label" log p(y) or its mean
    under q(y | x), "entropy" 0 where the label is known; "guess" is -log q(y | x), 0 where the label is missing.
    `log_prob_bound` enumerates y with p(y), not q(y | x), and hangs on the classifier in no way.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture and the first label are modelled.

    Raises:
        Problem: Pictures or labels are missing, or a network does not fit.
    """

    def __init__(self, config: M2Config, modalities: tuple[Modality, ...]) -> None:
        super().__init__(config, modalities)
        sizes = conditional.sizes_of(config)
        sizes = dataclasses.replace(sizes, encoder_layers=config.depth, dropout=config.dropout)
        self.classifier = modal.encoder_for(self.modality, self.pair.classes, sizes)

    def guess(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n c"]:
        """log q(y | x)."""
        return torch.log_softmax(self.classifier(x), 1)

    def class_log_probs(
        self, x: Float[Tensor, "n *shape"], generator: torch.Generator, samples: int = 10
    ) -> dict[str, Tensor]:
        """log q(y | x), and log p(y | x) by Bayes' rule over bounds with `samples` draws: [N, C] each.

        Differentiable in x.
        """
        return {GUESS: self.guess(x), **super().class_log_probs(x, generator, samples)}

    def alpha_each(self) -> Tensor:
        """alpha / N_l: what -log q(y | x) of one labelled example weighs."""
        share = self.pair.labelled_share
        return self.config.alpha / (share if self.config.alpha_of == "all" else torch.ones_like(share))

    def _labelled(self, x: Tensor, y: Tensor, noise: Tensor, weight: float) -> Terms:
        terms = super()._labelled(x, y, noise, weight)
        guess = -self.guess(x).gather(1, y.unsqueeze(1)).squeeze(1)
        guess = torch.where(conditional.shown(x), guess, torch.zeros_like(guess))
        loss = terms["loss"] + self.alpha_each() * guess
        return terms | {"loss": loss, "entropy": torch.zeros_like(guess), "guess": guess}

    def _unlabelled(self, x: Tensor, noise: Tensor, weight: float) -> Terms:
        drawn = conditional.draw_classes(self.pair, x, noise)
        kl_each = conditional.by_class(drawn.posterior.kl_per_dim().T, self.pair.classes)  # [Z, N, C]
        prior = self.pair.log_class_prior()
        log_q = torch.where(conditional.shown(x).unsqueeze(1), self.guess(x), prior)  # nobody guesses from no picture
        q = log_q.exp()
        reconstruction = (q * conditional.by_class(drawn.log_likelihood[0], self.pair.classes)).sum(1)
        kl_per_dim = (q * kl_each).sum(-1).T
        kl, label, entropy = kl_per_dim.sum(-1), (q * prior).sum(1), -(q * log_q).sum(1)
        return {
            "loss": weight * kl - reconstruction - label - entropy,
            "elbo": reconstruction - kl + label + entropy,
            "reconstruction": reconstruction,
            "kl": kl,
            "label": label,
            "entropy": entropy,
            "guess": torch.zeros_like(kl),
            "kl_per_dim": kl_per_dim,
        }
