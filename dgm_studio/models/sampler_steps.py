"""One step of every sampler, from one noise level to a cleaner one, for any path x = alpha x_0 + sigma eps.

What one sampler's paper says of variance-preserving or variance-exploding noise alone is written here with alpha and
sigma of both ends, so that one checkpoint can be sampled in every way. Each step is a generator: it yields None after a
call of the network and returns the new x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Denoises, Noising
from dgm_studio.models.sampler_guiding import Guess, Guide
from dgm_studio.models.sampler_levels import LEAST_LOG_SNR, Level, level_at

MOST_CHURN = math.sqrt(2.0) - 1.0  # Karras et al. 2022, algorithm 2: noise is at most doubled in variance
DRIFTS = {"flow": (-1.0, 1.0), "variance-exploding": (0.0, 1.0)}  # d alpha / dt and d sigma / dt
VARIANCES = ("model", "small", "large", "learnt")


@dataclass(frozen=True)
class Stride:
    """One step that is to be made.

    Args:
        guide: Asks the model.
        sampling: How.
        here: The level of x.
        there: The next one.
        x: Noisy data at `here`, [N, *S].
        guess: What is behind x.
        before: Level and clean estimate of the step before, of one that has no step before None.
        draw: Standard normal numbers of the shape of x, the same ones on every call.
    """

    guide: Guide
    sampling: Sampling
    here: Level
    there: Level
    x: Tensor
    guess: Guess
    before: tuple[Level, Tensor] | None
    draw: Callable[[], Tensor]

    @property
    def last(self) -> bool:
        """Whether it ends at the data, where no model can be asked."""
        return self.there.sigma == 0.0


Advance = Callable[[Stride], Generator[None, None, Tensor]]


def fresh_share(here: Level, there: Level) -> float:
    """Share of the noise at `here` that was added on the way from `there`: sigma_{s|t}^2 / sigma_s^2, in [0, 1].

    For variance-preserving noise and neighbouring indices beta_t / (1 - alpha-bar_t) (Ho et al. 2020, equation 7).
    """
    return -math.expm1(2.0 * (here.log_snr - there.log_snr))


def straight(here: Level, there: Level, x: Tensor, guess: Guess) -> Tensor:
    """To another level with the clean and the noise estimate as they are: DDIM without noise, and Euler's step."""
    return (there.alpha * guess.clean).add_(guess.noise, alpha=there.sigma)


def ddpm(stride: Stride) -> Generator[None, None, Tensor]:
    """Ancestral step (Ho et al. 2020, equation 7 and algorithm 2) of any stride (Nichol and Dhariwal 2021, section 4).

    No noise is added at the last step. Learnt variance lies between the logarithms of the small and the large one.
    """
    yield from ()
    here, there, guess = stride.here, stride.there, stride.guess
    fresh = fresh_share(here, there)
    kept = there.sigma**2 / here.sigma**2 * (here.alpha / there.alpha)
    mean = kept * stride.x + there.alpha * fresh * guess.clean
    if stride.last:
        return mean
    small, large = fresh * there.sigma**2, fresh * here.sigma**2
    return mean + _ancestral_std(stride, small, large) * stride.draw()


def _ancestral_std(stride: Stride, small: float, large: float) -> Tensor | float:
    name, fraction = stride.sampling.variance, stride.guess.fraction
    if name not in VARIANCES:
        raise Problem(f"There is no variance called {name}.", f"Choose one of {', '.join(VARIANCES)}.")
    if name == "model":
        name = own_variance(stride.guide.model)
    if name != "learnt":
        return math.sqrt(large if name == "large" else small)
    if fraction is None:
        raise Problem("This model has not learnt the variance of its steps.", "Choose the small or the large variance.")
    return (0.5 * (math.log(small) + fraction * (math.log(large) - math.log(small)))).exp()


def own_variance(model: Denoises) -> str:
    """The variance of DDPM's steps that a system was configured with; small of one that has no such choice."""
    chosen = getattr(getattr(model, "config", None), "variance", "small")
    return chosen if chosen in VARIANCES else "small"


def ddim(stride: Stride) -> Generator[None, None, Tensor]:
    """DDIM (Song et al. 2021, equations 12 and 16); eta scales the noise, 1 gives DDPM's small variance."""
    yield from ()
    here, there, eta = stride.here, stride.there, stride.sampling.eta
    if eta == 0.0 or stride.last:
        return straight(here, there, stride.x, stride.guess)
    std = eta * there.sigma * math.sqrt(fresh_share(here, there))
    kept = math.sqrt(max(there.sigma**2 - std**2, 0.0))
    return there.alpha * stride.guess.clean + kept * stride.guess.noise + std * stride.draw()


def dpmpp_2m(stride: Stride) -> Generator[None, None, Tensor]:
    """DPM-Solver++ 2M (Lu et al. 2022, algorithm 2); of first order without a step before and at the last step."""
    yield from ()
    here, there, clean = stride.here, stride.there, stride.guess.clean
    h = there.log_snr - here.log_snr
    if stride.before is not None and not stride.last and math.isfinite(h):
        earlier, clean_before = stride.before
        ratio = (here.log_snr - earlier.log_snr) / h
        clean = clean + (clean - clean_before) * (0.5 / ratio)
    return (there.sigma / here.sigma) * stride.x - there.alpha * math.expm1(-h) * clean


def euler(stride: Stride) -> Generator[None, None, Tensor]:
    """Euler's step of dx = eps d sigma in the frame of Karras et al. (2022): x / alpha, sigma / alpha."""
    yield from ()
    return straight(stride.here, stride.there, stride.x, stride.guess)


def heun(stride: Stride) -> Generator[None, None, Tensor]:
    """Heun's step in the same frame (Karras et al. 2022, algorithm 1); Euler's at the data and out of mere noise."""
    here, there, guess = stride.here, stride.there, stride.guess
    guessed = straight(here, there, stride.x, guess)
    if stride.last or here.log_snr < LEAST_LOG_SNR:
        return guessed
    yield None
    second = yield from stride.guide.ask(guessed, there)
    slope = 0.5 * (guess.noise + second.noise)
    return (there.alpha / here.alpha) * stride.x + (there.alpha * (there.ratio - here.ratio)) * slope


def euler_flow(stride: Stride) -> Generator[None, None, Tensor]:
    """Euler's step in the model's own time, dx/dt = alpha' x_0 + sigma' eps (Lipman et al. 2023, section 4)."""
    yield from ()
    return stride.x + (stride.there.time - stride.here.time) * _velocity(stride, stride.guess)


def heun_flow(stride: Stride) -> Generator[None, None, Tensor]:
    """Heun's step in the model's own time; Euler's at the data."""
    length, first = stride.there.time - stride.here.time, _velocity(stride, stride.guess)
    guessed = stride.x + length * first
    if stride.last:
        return guessed
    yield None
    second = yield from stride.guide.ask(guessed, stride.there)
    return stride.x + length * 0.5 * (first + _velocity(stride, second))


def _velocity(stride: Stride, guess: Guess) -> Tensor:
    alpha, sigma = DRIFTS[stride.guide.model.noising().kind]
    return alpha * guess.clean + sigma * guess.noise


def churned(noising: Noising, here: Level, churn: float, steps: int) -> tuple[Level, float]:
    """The noisier level that a step with churn begins at (Karras et al. 2022, algorithm 2, lines 4 to 6).

    It never goes beyond the noisiest level that the model knows.

    Args:
        noising: The path.
        here: The level.
        churn: S_churn; S_tmin = 0, S_tmax is infinite and S_noise = 1.
        steps: Of the whole trajectory.

    Returns:
        The level, and the standard deviation of the noise to add to alpha_there / alpha_here x.
    """
    gamma = min(churn / steps, MOST_CHURN)
    if gamma <= 0.0 or here.alpha == 0.0 or here.time == noising.noisiest:
        return here, 0.0
    log_snr = here.log_snr - math.log1p(gamma)
    time = float(noising.time(torch.tensor(log_snr, dtype=torch.float64)))
    there = level_at(noising, time)
    if there.ratio <= here.ratio:
        return here, 0.0
    return there, there.alpha * math.sqrt(there.ratio**2 - here.ratio**2)


STEPS: dict[str, Advance] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpmpp-2m": dpmpp_2m,
    "heun": heun,
    "euler": euler,
    "euler-flow": euler_flow,
    "heun-flow": heun_flow,
}
