"""Flow matching along straight lines (Lipman et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import option
from dgm_studio.models.capabilities import Estimate, Views, draw_normal
from dgm_studio.models.conditioning import CONDITIONS
from dgm_studio.models.denoising import KINDS, DenoisingConfig, DenoisingModel, estimate_of
from dgm_studio.models.noising import FlowNoising, along
from dgm_studio.models.registry import system

TIMES = ("uniform", "logit-normal")


@dataclass(frozen=True)
class FlowMatchingConfig(DenoisingConfig):
    """Settings of flow matching."""

    times: str = option(
        "uniform",
        "How times are drawn in training; logit-normal practises the middle more (Esser 2024).",
        choices=TIMES,
        group="Objective",
        title="Times",
    )
    time_mean: float = option(
        0.0,
        "Mean of the logit of t; above 0 practises noise more.",
        low=-10.0,
        high=10.0,
        group="Objective",
        title="Mean of logit-normal",
    )
    time_std: float = option(
        1.0, "Its standard deviation.", low=0.01, high=10.0, group="Objective", title="Spread of logit-normal"
    )


@system(
    name="flow-matching",
    title="Flow matching",
    summary="Learns the velocity of a flow that carries noise to data along lines that are straight for every pair.",
    paper=Paper(
        "Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel, M. Le",
        2023,
        "Flow Matching for Generative Modeling",
        "ICLR",
    ),
    config=FlowMatchingConfig,
    tiny={"width": 8, "hidden": 16, "layers": 2},
    objective=(
        "<i>L</i> = E<sub><i>t</i>,<i>x</i><sub>0</sub>,<i>&epsilon;</i></sub>"
        "&Vert;<i>u<sub>&theta;</sub></i>((1&minus;<i>t</i>)&nbsp;<i>x</i><sub>0</sub> + <i>t&epsilon;</i>, <i>t</i>)"
        " &minus; (<i>&epsilon;</i> &minus; <i>x</i><sub>0</sub>)&Vert;&sup2;"
    ),
    symbols=(
        Symbol("<i>L</i>", "mean square error of the velocity", "metric:loss"),
        Symbol("<i>x</i><sub>0</sub>", "data; pixels between &minus;1 and 1; error of its estimate", "metric:clean"),
        Symbol("<i>&epsilon;</i>", "noise; the mean square error of its estimate is", "metric:mse"),
        Symbol("<i>t</i>", "time, from 0 at the data to 1 at the noise; drawn", "config:times"),
        Symbol("<i>u<sub>&theta;</sub></i>", "velocity of the flow, from data to noise"),
    ),
    modality_kinds=KINDS,
    views=True,
    conditions=CONDITIONS,
)
class FlowMatching(DenoisingModel[FlowMatchingConfig]):
    """min E || u((1 - t) x_0 + t eps, t) - (eps - x_0) ||^2.

    Lipman et al. 2023, equation 23 with sigma_min = 0 and time turned round (see `FlowNoising`); the same path as
    rectified flow (Liu et al. 2023). Logit-normal times: Esser et al. 2024, equation 19.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture or points are modelled, the rest may steer.

    Raises:
        Problem: Nothing that it can model.
    """

    def __init__(self, config: FlowMatchingConfig, modalities: tuple[Modality, ...]) -> None:
        super().__init__(config, modalities)
        self._noising = FlowNoising()

    def noising(self) -> FlowNoising:
        """alpha = 1 - t, sigma = t."""
        return self._noising

    def velocity(self, x: Tensor, t: Tensor, given: Views | None = None) -> Tensor:
        """dx/dt at x [N, *S] and times t, 0-d or [N], from data to noise; in the type of x."""
        return self.output(x, self._noising.log_snr(t), given).to(x)

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """Clean data x - t u and noise x + (1 - t) u behind x."""
        output = self.velocity(x, t, given)
        return estimate_of("flow", output, x, self._noising.alpha(t), self._noising.sigma(t))

    def loss(self, batch: Any, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """What is minimised, and its parts, for every example.

        Args:
            batch: `Views`, or the data alone.
            generator: For t, eps and what is dropped of the conditions.
            step: Not used.

        Returns:
            [N] each: "loss"; "mse", mean square error of the noise estimate; "clean", of the clean one; per number.
        """
        found = self.examples(batch, generator)
        n, device = len(found.x), found.x.device
        if self.config.times == "uniform":
            t = torch.rand(n, generator=generator, device=device)
        else:
            normal = torch.randn(n, generator=generator, device=device)
            t = torch.sigmoid(self.config.time_mean + self.config.time_std * normal)
        eps = draw_normal(tuple(found.x.shape), found.x, generator)
        share = along(t, found.x)
        x = (1.0 - share) * found.x + share * eps
        output = self.output(x, torch.log1p(-t) - t.log(), found.given)
        error = found.mean((output - (eps - found.x)).square())
        return {"loss": error, "mse": (1.0 - t).square() * error, "clean": t.square() * error}
