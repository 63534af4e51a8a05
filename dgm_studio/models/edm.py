"""Diffusion with the preconditioning of Karras et al. 2022 ("EDM")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import option
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Estimate, Views, draw_normal
from dgm_studio.models.conditioning import CONDITIONS
from dgm_studio.models.denoising import KINDS, DenoisingConfig, DenoisingModel
from dgm_studio.models.noising import VarianceExploding, along
from dgm_studio.models.registry import system

PICTURE_STD = 0.5  # sigma_data of Karras et al. 2022, table 1
POINT_STD = 1.0  # models see points standardised


@dataclass(frozen=True)
class EDMConfig(DenoisingConfig):
    """Settings of EDM."""

    sigma_min: float = option(
        0.002,
        "The least noise that a sampler asks for.",
        low=1e-5,
        high=1.0,
        group="Noise",
        log=True,
        title="Sigma min",
    )
    sigma_max: float = option(
        80.0, "The most, which drowns the data.", low=1.0, high=1000.0, group="Noise", log=True, title="Sigma max"
    )
    sigma_data: float = option(
        0.0,
        "Standard deviation of the data in the network's space; 0 takes 0.5 for pictures and 1 for points.",
        low=0.0,
        high=100.0,
        group="More",
        title="Sigma data",
    )
    level_mean: float = option(
        -1.2,
        "Mean of log sigma in training: which noise is practised most.",
        low=-10.0,
        high=10.0,
        group="Objective",
        title="Mean of log sigma",
    )
    level_std: float = option(
        1.2,
        "Standard deviation of log sigma in training.",
        low=0.01,
        high=10.0,
        group="Objective",
        title="Spread of log sigma",
    )


@system(
    name="edm",
    title="Preconditioned diffusion (EDM)",
    summary="Diffusion whose network sees inputs and targets of unit size at every noise level; good in few steps.",
    paper=Paper(
        "T. Karras, M. Aittala, T. Aila, S. Laine",
        2022,
        "Elucidating the Design Space of Diffusion-Based Generative Models",
        "NeurIPS",
    ),
    config=EDMConfig,
    tiny={"width": 8, "hidden": 16, "layers": 2},
    objective=(
        "<i>L</i> = E<sub><i>&sigma;</i>,<i>x</i><sub>0</sub>,<i>&epsilon;</i></sub>"
        "[<i>&lambda;</i>(<i>&sigma;</i>)&nbsp;&Vert;<i>D<sub>&theta;</sub></i>(<i>x</i><sub>0</sub> +"
        " <i>&sigma;&epsilon;</i>, <i>&sigma;</i>) &minus; <i>x</i><sub>0</sub>&Vert;&sup2;]"
    ),
    symbols=(
        Symbol("<i>L</i>", "weighted mean square error of the clean estimate", "metric:loss"),
        Symbol("<i>x</i><sub>0</sub>", "data; pixels between &minus;1 and 1"),
        Symbol("<i>&epsilon;</i>", "noise; the mean square error of its estimate is", "metric:mse"),
        Symbol("<i>D<sub>&theta;</sub></i>", "the denoiser; its mean square error is", "metric:clean"),
        Symbol("<i>&sigma;</i>", "noise level; the mean of its logarithm in training is", "config:level_mean"),
        Symbol("<i>&lambda;</i>(<i>&sigma;</i>)", "weight that makes all levels alike at the start"),
    ),
    modality_kinds=KINDS,
    views=True,
    conditions=CONDITIONS,
)
class EDM(DenoisingModel[EDMConfig]):
    """min E[lambda(sigma) || D(x_0 + sigma eps; sigma) - x_0 ||^2], D = c_skip x + c_out F(c_in x; c_noise).

    Karras et al. 2022, equations 7 and 8 and table 1, with ln sigma ~ N(P_mean, P_std^2).

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture or points are modelled, the rest may steer.

    Raises:
        Problem: Nothing that it can model, or noise levels in the wrong order.
    """

    def __init__(self, config: EDMConfig, modalities: tuple[Modality, ...]) -> None:
        super().__init__(config, modalities)
        if config.sigma_min >= config.sigma_max:
            raise Problem("The least noise is not below the most.", "Give a smaller sigma_min.")
        own = PICTURE_STD if self.modality.kind == "image" else POINT_STD
        self.data_std = config.sigma_data or own
        self._noising = VarianceExploding(config.sigma_min, config.sigma_max)

    def noising(self) -> VarianceExploding:
        """alpha = 1, sigma = t."""
        return self._noising

    def preconditioning(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in and the weight lambda (table 1) of noise levels of any shape."""
        total = sigma.square() + self.data_std**2
        skip, out = self.data_std**2 / total, sigma * self.data_std / total.sqrt()
        return skip, out, total.rsqrt(), total / (sigma * self.data_std).square()

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """Clean data and noise behind x at noise level t."""
        sigma = t.double()
        skip, out, into, _ = self.preconditioning(sigma)
        output = self.output(along(into, x) * x, self._noising.log_snr(sigma), given).to(x)
        clean = along(skip, x) * x + along(out, x) * output
        return Estimate(clean, (x - clean) / along(sigma, x))

    def loss(self, batch: Any, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """What is minimised, and its parts, for every example.

        Args:
            batch: `Views`, or the data alone.
            generator: For sigma, eps and what is dropped of the conditions.
            step: Not used.

        Returns:
            [N] each: "loss"; "mse", mean square error of the noise estimate; "clean", of the clean one; per number.
        """
        found = self.examples(batch, generator)
        level = torch.randn(len(found.x), generator=generator, device=found.x.device)
        sigma = (self.config.level_mean + self.config.level_std * level).exp()
        eps = draw_normal(tuple(found.x.shape), found.x, generator)
        x = found.x + along(sigma, found.x) * eps
        skip, out, into, weight = self.preconditioning(sigma)
        output = self.output(along(into, x) * x, -sigma.log(), found.given)
        clean = along(skip, x) * x + along(out, x) * output
        error = found.mean((clean - found.x).square())
        return {"loss": weight * error, "mse": error / sigma.square(), "clean": error}
