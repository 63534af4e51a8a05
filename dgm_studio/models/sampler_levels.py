"""The noise levels that a trajectory visits, from the noisiest to the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.requests.denoising import SPACINGS, Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Noising

KARRAS_RHO = 7.0  # Karras et al. 2022, equation 5
# Below this x is noise for every purpose (alpha < 0.0056): spacings by lambda spend one step there, Heun's is Euler's.
# The linear schedule of Ho et al. ends at -5.06, within; the cosine schedule at -9.9 and some at minus infinity.
LEAST_LOG_SNR = -5.2
ON_INDICES = ("ddpm", "ddim")  # visit whole indices of a discrete model; the others may ask between two of them


@dataclass(frozen=True)
class Level:
    """One noise level: x = alpha x_0 + sigma eps.

    Args:
        time: The model's own time.
        alpha: Factor of the data.
        sigma: Factor of the noise.
        log_snr: lambda = log(alpha / sigma); infinite at the data, minus infinity in pure noise.
    """

    time: float
    alpha: float
    sigma: float
    log_snr: float

    @property
    def ratio(self) -> float:
        """sigma / alpha, the noise level of Karras et al. (2022); infinite in pure noise."""
        return self.sigma / self.alpha if self.alpha else math.inf


def level_at(noising: Noising, time: float) -> Level:
    """The level at a time of a path."""
    if time == noising.clean:
        return Level(time, 1.0, 0.0, math.inf)
    t = torch.tensor(time, dtype=torch.float64)
    return Level(time, float(noising.alpha(t)), float(noising.sigma(t)), float(noising.log_snr(t)))


class Levels(Sequence[Level]):
    """The level at every time, worked out when it is first asked for.

    A trajectory of a thousand steps begins a tenth of a second sooner so. One by one, as vectors of another length may
    differ in the last bit.

    Args:
        noising: The path.
        times: [S + 1].
    """

    def __init__(self, noising: Noising, times: Float[Tensor, " s"]) -> None:
        self._noising, self._times = noising, times.tolist()
        self._known: dict[int, Level] = {}

    def __len__(self) -> int:
        return len(self._times)

    @overload
    def __getitem__(self, index: int) -> Level: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Level]: ...
    def __getitem__(self, index: int | slice) -> Level | Sequence[Level]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        if place not in self._known:
            self._known[place] = level_at(self._noising, self._times[place])
        return self._known[place]


def levels_of(noising: Noising, times: Float[Tensor, " s"]) -> Levels:
    """The level at every time."""
    return Levels(noising, times)


def refusals(noising: Noising) -> dict[str, str]:
    """Every sampler by its name in `core.requests.denoising.SAMPLERS`: "" or why it cannot be used, in words."""
    needs_time = "it follows the model's own time, and the time of this model is an index, not continuous"
    why = needs_time if noising.kind == "discrete" else ""
    return {
        "ddpm": "",
        "ddim": "",
        "dpmpp-2m": "",
        "heun": "",
        "euler": "",
        "euler-flow": why,
        "heun-flow": why,
    }


def sampling_for(noising: Noising) -> Sampling:
    """What suits a path when nothing else is asked for."""
    if noising.kind == "discrete":
        return Sampling("ddim", 50)
    return Sampling("heun", 18) if noising.kind == "variance-exploding" else Sampling("heun-flow", 20)


def spacing_of(noising: Noising, sampling: Sampling) -> str:
    """The spacing that is asked for, or the one that suits the sampler and the path.

    Where the noise only grows (alpha = 1), times that are uniform in sigma leave nothing for small sigma: there the
    levels of Karras et al. Uniform in time otherwise.
    """
    if sampling.spacing:
        return sampling.spacing
    return "karras" if noising.kind == "variance-exploding" else "time"


def times_of(noising: Noising, sampling: Sampling) -> Float[Tensor, " s"]:
    """The times that a trajectory visits.

    Args:
        noising: The path.
        sampling: Steps, spacing and sampler count.

    Returns:
        float64 [S + 1], the noisiest first and `noising.clean` last. "time" is trailing spacing (Lin et al. 2024,
        table 2): it visits the noisiest level whatever the stride. "log-snr" and "karras" go from the noisiest to
        `noising.cleanest` in S levels, the others set as if that were no noisier than `LEAST_LOG_SNR`. DDPM and DDIM
        visit whole, distinct indices of a discrete model; for S = T those are all of them.

    Raises:
        Problem: No such spacing, no steps, more steps than levels, or own levels that do not rise.
    """
    spacing = spacing_of(noising, sampling)
    if spacing not in SPACINGS:
        raise Problem(f"There is no spacing of levels called {spacing}.", f"Choose one of {', '.join(SPACINGS)}.")
    if spacing == "own":
        times = _own(noising, sampling.levels)
    elif sampling.steps < 1:
        raise Problem(f"A trajectory of {sampling.steps} steps goes nowhere.", "Ask for one step or more.")
    elif spacing == "time":
        times = _uniform(noising, sampling.steps)
    else:
        times = noising.time(_log_snrs(noising, spacing, sampling.steps))
        times[0] = noising.noisiest
    if noising.kind == "discrete" and sampling.sampler in ON_INDICES:
        times = _distinct(times, round(noising.noisiest) + 1)
    return torch.cat([times, times.new_tensor([noising.clean])])


def _uniform(noising: Noising, steps: int) -> Tensor:
    """S times to `clean` by equal strides, or to `cleanest` where these would be shorter than the last one may be."""
    if (noising.noisiest - noising.clean) / steps >= noising.cleanest - noising.clean:
        return torch.linspace(noising.noisiest, noising.clean, steps + 1, dtype=torch.float64)[:-1]
    return torch.linspace(noising.noisiest, noising.cleanest, steps, dtype=torch.float64)


def _log_snrs(noising: Noising, spacing: str, steps: int) -> Tensor:
    """S values of lambda, rising."""
    ends = torch.tensor([noising.noisiest, noising.cleanest], dtype=torch.float64)
    low, high = noising.log_snr(ends).tolist()
    low = max(low, LEAST_LOG_SNR)
    if spacing == "log-snr":
        return torch.linspace(low, high, steps, dtype=torch.float64)
    first, last = math.exp(-low / KARRAS_RHO), math.exp(-high / KARRAS_RHO)
    return -KARRAS_RHO * torch.linspace(first, last, steps, dtype=torch.float64).log()


def _own(noising: Noising, levels: tuple[float, ...]) -> Tensor:
    if not levels or any(b <= a for a, b in pairwise(levels)):
        raise Problem("Own levels must rise in log-SNR, and there must be one.", "Drag them back into order.")
    times = noising.time(torch.tensor(levels, dtype=torch.float64))
    if bool((times.diff() >= 0).any()):
        raise Problem("Own levels lie beyond those that the model knows.", "Keep them within its range of log-SNR.")
    return times


def _distinct(times: Tensor, count: int) -> Tensor:
    """The nearest whole indices, falling strictly within 0 ... count - 1."""
    if len(times) > count:
        raise Problem(
            f"DDPM and DDIM have no more than {count} steps here, one for every level of the model.",
            f"Ask for {count} steps or fewer.",
        )
    indices = [round(t) for t in times.tolist()]
    for k in range(1, len(indices)):
        indices[k] = min(indices[k], indices[k - 1] - 1)
    least = 0
    for k in reversed(range(len(indices))):
        indices[k] = max(indices[k], least)
        least = indices[k] + 1
    return times.new_tensor(indices)
