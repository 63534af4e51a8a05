"""Denoising diffusion probabilistic models (Ho et al. 2020; Nichol and Dhariwal 2021)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgm_studio.core.cards import Modality, Paper, Symbol
from dgm_studio.core.forms import option
from dgm_studio.core.updates import Problem
from dgm_studio.models import schedules
from dgm_studio.models.capabilities import Estimate, Views, draw_normal
from dgm_studio.models.conditioning import CONDITIONS
from dgm_studio.models.denoising import KINDS, DenoisingConfig, DenoisingModel, Examples, estimate_of
from dgm_studio.models.diffusion_bound import step_terms
from dgm_studio.models.noising import PREDICTIONS, TableNoising, along, parted, predicted
from dgm_studio.models.registry import system

VARIANCES = ("small", "large", "learnt")
WEIGHTINGS = ("simple", "min-snr")
BOUND_WEIGHT = 1e-3  # lambda of Nichol and Dhariwal 2021, equation 16


@dataclass(frozen=True)
class DDPMConfig(DenoisingConfig):
    """Settings of a DDPM."""

    noise_steps: int = option(
        1000, "T: steps from the data to noise.", low=2, high=10_000, group="Noise", log=True, title="Noise steps"
    )
    noise_schedule: str = option(
        "cosine",
        "How the noise grows; own follows the knots.",
        choices=schedules.SCHEDULES,
        group="Noise",
        title="Schedule",
    )
    knots: str = option(
        "0:5, 0.5:0, 1:-6",
        "For the schedule own: share of the time and half-log-SNR, pair by pair.",
        group="Noise",
        title="Own knots",
    )
    zero_terminal: bool = option(
        False,
        "Leave nothing of the data at the last step (Lin 2024); not with the prediction eps.",
        group="Noise",
        title="Zero terminal SNR",
    )
    prediction: str = option(
        "v", "What the network predicts: the noise, the data, or v between them.", choices=PREDICTIONS, group="Model"
    )
    variance: str = option(
        "small",
        "Of a step back: that of the posterior (small), beta (large), or between them, learnt.",
        choices=VARIANCES,
        group="Model",
        title="Variance",
    )
    weighting: str = option(
        "simple",
        "Of noise levels in training: every prediction's error alike, or levels of little noise limited (min-snr).",
        choices=WEIGHTINGS,
        group="Objective",
        title="Loss weighting",
    )
    gamma: float = option(
        5.0,
        "SNR above which min-snr gives no more weight (Hang 2023).",
        low=0.1,
        high=1000.0,
        group="Objective",
        log=True,
        title="Gamma of min-snr",
    )


@system(
    name="ddpm",
    title="Denoising diffusion",
    summary="Learns to take a little noise off data, and makes data from pure noise in many small steps.",
    paper=Paper("J. Ho, A. Jain, P. Abbeel", 2020, "Denoising Diffusion Probabilistic Models", "NeurIPS"),
    config=DDPMConfig,
    tiny={"width": 8, "hidden": 16, "layers": 2, "noise_steps": 20},
    objective=(
        "<i>L</i> = E<sub><i>t</i>,<i>x</i><sub>0</sub>,<i>&epsilon;</i></sub>&Vert;<i>y</i> &minus;"
        " <i>y<sub>&theta;</sub></i>(&radic;<i>&alpha;&#772;<sub>t</sub></i>&nbsp;<i>x</i><sub>0</sub> +"
        " &radic;(1&minus;<i>&alpha;&#772;<sub>t</sub></i>)&nbsp;<i>&epsilon;</i>, <i>t</i>)&Vert;&sup2;"
    ),
    symbols=(
        Symbol("<i>L</i>", "weighted mean square error of the prediction", "metric:loss"),
        Symbol("<i>x</i><sub>0</sub>", "data; pixels between &minus;1 and 1"),
        Symbol("<i>&epsilon;</i>", "noise; the mean square error of its estimate is", "metric:mse"),
        Symbol("<i>t</i>", "how many steps of noise were added, of", "config:noise_steps"),
        Symbol("<i>&alpha;&#772;<sub>t</sub></i>", "share of the data's variance that is left, by the schedule"),
        Symbol("<i>y</i>", "what is predicted: the noise (eps), the data (x0) or v", "config:prediction"),
    ),
    modality_kinds=KINDS,
    views=True,
    conditions=CONDITIONS,
)
class DDPM(DenoisingModel[DDPMConfig]):
    """min E || y - y_theta(x_t, t) ||^2 with x_t = sqrt(alpha-bar_t) x_0 + sqrt(1 - alpha-bar_t) eps.

    Ho et al. 2020, equation 14; v: Salimans and Ho 2022; learnt variance with the hybrid objective: Nichol and Dhariwal
    2021, equations 15 and 16; min-SNR weighting: Hang et al. 2023. t is uniform on 0 ... T - 1, and t = 0 is one step
    of noise. The network is told half the log-SNR instead of t. The variational bound is in `diffusion_bound`: it takes
    T evaluations of the network, too many for `Scores`, whose answers come in a slice.

    Args:
        config: Settings. `self.config` may be replaced while training runs by one that differs in group "Objective".
        modalities: What the data have; the first picture or points are modelled, the rest may steer.

    Raises:
        Problem: Nothing that it can model, a schedule that is none, or a prediction that it does not allow.
    """

    def __init__(self, config: DDPMConfig, modalities: tuple[Modality, ...]) -> None:
        learnt = config.variance == "learnt"
        super().__init__(config, modalities, 2 if learnt else 1)
        if config.zero_terminal and config.prediction == "eps":
            raise Problem(
                "Where nothing of the data is left, an estimate of the noise says nothing of them.",
                "Predict v or x0, or leave something of the data at the last step.",
            )
        knots = schedules.knots_of(config.knots) if config.noise_schedule == "own" else ()
        found = schedules.alpha_bar(config.noise_schedule, config.noise_steps, knots, config.zero_terminal)
        # Not buffers: they follow from the settings, and single precision or another device would spoil them.
        self.tables = schedules.tables(found)
        self._noising = TableNoising(found)

    def noising(self) -> TableNoising:
        """The schedule as a path."""
        return self._noising

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """Clean data and noise behind x at (fractional) index t, and the fraction of a learnt variance."""
        output = self.output(x, self._noising.log_snr(t), given).to(x)
        alpha, sigma = self._noising.alpha(t), self._noising.sigma(t)
        if self.config.variance != "learnt":
            return estimate_of(self.config.prediction, output, x, alpha, sigma)
        output, raw = output.chunk(2, 1)
        found = estimate_of(self.config.prediction, output, x, alpha, sigma)
        return dataclasses.replace(found, fraction=torch.sigmoid(raw))

    def loss(self, batch: Any, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """What is minimised, and its parts, for every example.

        Args:
            batch: `Views`, or the data alone.
            generator: For t, eps and what is dropped of the conditions.
            step: Not used.

        Returns:
            [N] each: "loss"; "mse", mean square error of the noise estimate; "clean", of the clean estimate, both per
            number and whatever is predicted; with a learnt variance "bound", the term of the variational bound at t
            times T, nats per number.
        """
        found = self.examples(batch, generator)
        n, device = len(found.x), found.x.device
        t = torch.randint(self.config.noise_steps, (n,), generator=generator, device=device)
        eps = draw_normal(tuple(found.x.shape), found.x, generator)
        where = t.cpu()
        log_snr = self._noising.log_snr(where)
        alpha, sigma = self._noising.alpha(where), self._noising.sigma(where)
        x = along(alpha, found.x) * found.x + along(sigma, found.x) * eps
        output = self.output(x, log_snr, found.given)
        raw = None
        if self.config.variance == "learnt":
            output, raw = output.chunk(2, 1)
        target = predicted(self.config.prediction, found.x, eps, alpha, sigma)
        error = found.mean((output - target).square())
        to_noise, to_clean = _factors(self.config.prediction, alpha, sigma, error)
        terms = {"loss": self._weight(to_clean, log_snr) * error, "mse": to_noise * error, "clean": to_clean * error}
        if raw is not None:
            clean, _ = parted(self.config.prediction, output.detach(), x, alpha, sigma)
            terms["bound"] = self.config.noise_steps * self._bound_term(found, x, clean, raw, where)
            terms["loss"] = terms["loss"] + BOUND_WEIGHT * terms["bound"]
        return terms

    def _weight(self, to_clean: Tensor, log_snr: Tensor) -> Tensor | float:
        """Of every example's error, [N]."""
        if self.config.weighting == "simple":
            return 1.0
        snr = (2.0 * log_snr).exp().clamp(max=self.config.gamma).to(to_clean)
        return snr * to_clean

    def log_variance(self, t: Tensor, like: Tensor, fraction: Tensor | None = None) -> Tensor:
        """Of p(x_{t-1} | x_t) at indices t [N] or 0-d, as the settings have it; broadcastable to `like` [N, *S]."""
        small = along(self.tables.posterior_log_variance[t], like)
        large = along(self.tables.large_log_variance[t], like)
        if self.config.variance == "learnt":
            assert fraction is not None
            return fraction * large + (1.0 - fraction) * small
        return small if self.config.variance == "small" else large

    def _bound_term(self, found: Examples, x: Tensor, clean: Tensor, raw: Tensor, t: Tensor) -> Tensor:
        """KL of one step back, or the decoder's term at t = 0, in nats per number: [N]."""
        low_high = self.support()
        clean = clean if low_high is None else clean.clamp(*low_high)
        log_variance = self.log_variance(t, x, torch.sigmoid(raw))
        return found.mean(step_terms(self.tables, found.x, x, clean, log_variance, t, low_high is not None))


def _factors(prediction: str, alpha: Tensor, sigma: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """From the square error of a prediction to that of the noise estimate, and to that of the clean one: [N] each."""
    a, s = alpha.square(), sigma.square()
    ones = torch.ones_like(a)
    found = {"eps": (ones, s / a), "x0": (a / s, ones), "v": (a, s)}[prediction]
    return found[0].to(like), found[1].to(like)
