"""What every system that denoises has in common: its data's space, its network, its conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Modality
from dgm_studio.core.forms import option
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Estimate, Views
from dgm_studio.models.conditioning import CONDITIONS, Conditioning, dropped
from dgm_studio.models.denoisers import PictureDenoiser, PointDenoiser, noise_level
from dgm_studio.models.noising import parted

KINDS = ("image", "points")
CLIPS = ("auto", "static", "dynamic", "none")


@dataclass(frozen=True)
class DenoisingConfig:
    """Settings of every system that denoises."""

    width: int = option(
        32,
        "Channels of the finest grid (pictures); coarser grids have twice as many.",
        low=8,
        high=256,
        group="Model",
        log=True,
        title="Channels",
    )
    depth: int = option(
        1, "Residual blocks a grid, down and up (pictures).", low=1, high=4, group="Model", title="Blocks a grid"
    )
    patch: int = option(
        0,
        "Side of the squares of pixels that are folded into channels; 0 fits it to the pictures.",
        low=0,
        high=8,
        group="More",
        title="Folded pixels",
    )
    hidden: int = option(
        128, "Units of every layer (points).", low=8, high=1024, group="Model", log=True, title="Hidden units"
    )
    layers: int = option(3, "Residual layers (points).", low=1, high=12, group="More", title="Layers")
    dropout: float = option(
        0.0, "Probability of dropping hidden units of the network.", low=0.0, high=0.9, group="More", title="Dropout"
    )
    conditional: str = option(
        "auto",
        "auto: labels, attributes or texts that come with the data can steer it; none: it sees the data alone.",
        choices=("auto", "none"),
        group="Model",
        title="Conditions",
    )
    drop: float = option(
        0.15,
        "Share of examples that are trained without their condition, which guidance needs.",
        low=0.0,
        high=1.0,
        group="Objective",
        title="Condition dropped",
    )
    parts: float = option(
        0.3,
        "Share of the others that are trained with a random part of several conditions or attributes.",
        low=0.0,
        high=1.0,
        group="Objective",
        title="Parts given",
    )
    clipping: str = option(
        "auto",
        "What samplers do to the clean estimate; auto cuts pictures to the range that pixels have.",
        choices=CLIPS,
        group="Sampling",
        title="Clipping",
    )


ConfigT = TypeVar("ConfigT", bound=DenoisingConfig)


@dataclass(frozen=True)
class Examples:
    """A batch as a loss needs it, in the model's space.

    Args:
        x: Clean data [N, *S], 0 where unknown.
        known: Share of the whole that every number counts for, [N, *S]: 1 / numbers, and 0 where unknown.
        given: Conditions, some of them dropped.
    """

    x: Tensor
    known: Tensor
    given: dict[str, Tensor]

    def mean(self, errors: Tensor) -> Tensor:
        """Of numbers [N, *S] over each example: [N]."""
        return (errors * self.known).flatten(1).sum(1)


class DenoisingModel(nn.Module, Generic[ConfigT]):
    """A network on noisy data that is told the noise level and, where there are any, conditions.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture or points are modelled, the rest may steer.
        outputs: How many times as many numbers come out as go in.

    Raises:
        Problem: Nothing that it can model, or pictures that are too small.
    """

    def __init__(self, config: ConfigT, modalities: tuple[Modality, ...], outputs: int = 1) -> None:
        super().__init__()
        self.config = config
        self.modality = _modality(modalities)
        beside = tuple(m for m in modalities if m.kind in CONDITIONS and m != self.modality)
        self._conditions = beside if config.conditional == "auto" else ()
        self.modalities = (self.modality, *self._conditions)
        self.shape: tuple[int, ...] = tuple(self.modality.shape)
        if self.modality.kind == "image":
            sizes = (outputs * self.shape[0], config.width, config.depth, config.dropout, config.patch)
            self.network: PictureDenoiser | PointDenoiser = PictureDenoiser(self.shape, *sizes)
        else:
            about = (outputs * self.shape[0], config.hidden, config.layers, config.dropout)
            self.network = PointDenoiser(self.shape[0], *about)
        self.conditioning = Conditioning(self._conditions, self.network.embedding) if self._conditions else None

    def support(self) -> tuple[float, float] | None:
        """The range of pixels in the model's space; None for points."""
        return (-1.0, 1.0) if self.modality.kind == "image" else None

    def conditions(self) -> tuple[Modality, ...]:
        """What it can be given beside x."""
        return self._conditions

    def clip(self) -> str:
        """What samplers do to its clean estimates where nothing else is asked: "static", "dynamic" or "none"."""
        if self.support() is None:
            return "none"
        return "static" if self.config.clipping == "auto" else self.config.clipping

    def output(self, x: Tensor, log_snr: Tensor, given: Views | None) -> Tensor:
        """The network's answer in its own type and place.

        Args:
            x: Noisy data [N, *S], scaled as the network wants them.
            log_snr: Half the log-SNR, 0-d or [N], float64.
            given: Conditions.
        """
        weight = self.network.last.weight
        level = noise_level(log_snr).to(weight).expand(len(x))
        condition = None if self.conditioning is None else self.conditioning(given, len(x))
        found: Tensor = self.network(x.to(weight), level, condition)
        return found

    def examples(self, batch: Any, generator: torch.Generator) -> Examples:
        """A batch, as `Views` or the data alone, in the model's space; conditions are dropped here.

        Args:
            batch: Pictures in [0, 1] or points; NaN where unknown.
            generator: For dropping.

        Raises:
            Problem: The data have another shape.
        """
        views = batch if isinstance(batch, dict) else {self.modality.name: batch}
        x = views[self.modality.name]
        if tuple(x.shape[1:]) != self.shape:
            raise Problem(
                f"This model takes data of shape {self.shape}, not {tuple(x.shape[1:])}.",
                "Give it data as it was trained on, or choose another model.",
            )
        given: dict[str, Tensor] = {}
        if self._conditions:
            shares = (self.config.drop, self.config.parts)
            given = dropped(self._conditions, views, *shares, generator, len(x))
        known = torch.isfinite(x)
        x = torch.where(known, x, torch.zeros_like(x))
        return Examples(self.into(x), known.to(x.dtype) / math.prod(self.shape), given)

    def into(self, x: Tensor) -> Tensor:
        """Data into the model's space: pictures from [0, 1] to [-1, 1]."""
        return 2.0 * x - 1.0 if self.modality.kind == "image" else x


def estimate_of(prediction: str, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
    """The estimate that a prediction amounts to, in the type and place of x."""
    clean, noise = parted(prediction, output.to(x), x, alpha, sigma)
    return Estimate(clean, noise)


def _modality(modalities: tuple[Modality, ...]) -> Modality:
    found = next((m for m in modalities if m.kind in KINDS), None)
    if found is None:
        raise Problem(
            "This system needs pictures or points, and these data have neither.",
            "Choose other data or another system.",
        )
    return found
