"""What a sampler asks a model at one level: guided, clipped, and always x = alpha clean + sigma noise."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dgm_studio.core.requests.denoising import CLIPS, Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Denoises, Estimate, Views
from dgm_studio.models.sampler_levels import Level

Range = tuple[float, float]
Clip = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Guess:
    """What is taken for the truth behind x at one level.

    Args:
        clean: Of x_0, [N, *S].
        noise: Of eps; x = alpha clean + sigma noise.
        difference: Clean estimate with the condition minus the one without, before clipping; None when only one of
            them was asked for.
        fraction: Of a learnt variance, as in `Estimate`.
    """

    clean: Tensor
    noise: Tensor
    difference: Tensor | None
    fraction: Tensor | None


class Guide:
    """Asks a model, with classifier-free guidance (Ho and Salimans 2022) and clipping of the clean estimate.

    eps_free + w (eps_given - eps_free) and the same mixture of clean estimates are one and the same, because both pairs
    satisfy x = alpha clean + sigma eps; mixing both keeps that so in pure noise too, where alpha = 0.

    Args:
        model: Asked in slices of `rows` examples, which changes nothing but round-off.
        sampling: Guidance and clipping.
        given: Conditions of all N examples, or None.
        rows: Most examples in one call; 0 takes all.
    """

    def __init__(self, model: Denoises, sampling: Sampling, given: Views | None, rows: int = 0) -> None:
        self.model = model
        self.given = given if given else None
        self.weight = sampling.guidance if self.given else 0.0
        self.rows = rows
        chosen = own_clip(model) if sampling.clip == "model" else sampling.clip
        self.clip = clipping(chosen, sampling.percentile, model.support())
        self.evaluations = 0

    def ask(self, x: Tensor, level: Level) -> Generator[None, None, Guess]:
        """The guess for x [N, *S] at a level; yields between two calls of the network."""
        free: Estimate | None = None
        difference: Tensor | None = None
        if self.weight != 1.0:
            free = yield from self._estimate(x, level, None)
        if self.weight == 0.0:
            assert free is not None
            mixed = free
        else:
            if free is not None:
                yield None
            mixed = yield from self._estimate(x, level, self.given)
        if free is not None and self.weight != 0.0:
            difference = mixed.clean - free.clean
            mixed = _guided(free, mixed, self.weight)
        clean, noise = mixed.clean, mixed.noise
        if self.clip is not None:
            clean = self.clip(clean)
            # in place: x is held in float64, and memory fresh from the system cost more than the arithmetic
            noise = torch.sub(x, clean, alpha=level.alpha).div_(level.sigma)
        return Guess(clean, noise, difference, mixed.fraction)

    def _estimate(self, x: Tensor, level: Level, given: Views | None) -> Generator[None, None, Estimate]:
        t = torch.tensor(level.time, dtype=torch.float64)
        self.evaluations += 1
        size = self.rows or len(x)
        if len(x) <= size:
            return self.model.estimate(x, t, given)
        parts: list[Estimate] = []
        for start in range(0, len(x), size):
            if start:
                yield None
            some = slice(start, start + size)
            views = None if given is None else {name: values[some] for name, values in given.items()}
            parts.append(self.model.estimate(x[some], t, views))
        fractions = [part.fraction for part in parts if part.fraction is not None]
        return Estimate(
            torch.cat([part.clean for part in parts]),
            torch.cat([part.noise for part in parts]),
            torch.cat(fractions) if fractions else None,
        )


def _guided(free: Estimate, given: Estimate, weight: float) -> Estimate:
    clean = free.clean + weight * (given.clean - free.clean)
    return replace(given, clean=clean, noise=free.noise + weight * (given.noise - free.noise))


@runtime_checkable
class Clips(Protocol):
    """Says what is to be done to its clean estimates where nothing else is asked for."""

    def clip(self) -> str:
        """One of `CLIPS` but "model"."""


def own_clip(model: Denoises) -> str:
    """A model's own way of clipping; of one that has none, to the range of its data if there is one."""
    if isinstance(model, Clips):
        return model.clip()
    return "none" if model.support() is None else "static"


def clipping(chosen: str, percentile: float, support: Range | None) -> Clip | None:
    """What is done to clean estimates, or None.

    Args:
        chosen: One of `CLIPS` but "model".
        percentile: Of dynamic thresholding.
        support: The range of the data, or None.

    Raises:
        Problem: No such way of clipping, or the data have no range.
    """
    if chosen not in CLIPS:
        raise Problem(f"There is no way of clipping called {chosen}.", f"Choose one of {', '.join(CLIPS)}.")
    if chosen == "none":
        return None
    if support is None:
        raise Problem("These data have no range that their estimates could be clipped to.", "Choose no clipping.")
    low, high = support
    if chosen == "static":
        return lambda clean: clean.clamp(low, high)
    return lambda clean: dynamically_clipped(clean, support, percentile)


def dynamically_clipped(clean: Tensor, support: Range, percentile: float) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, section 2.3), each example by itself.

    With s the given quantile of the distances from the middle of the range, in units of half the range, and at least 1:
    clipped to s times the range, then shrunk by s.
    """
    middle, half = (support[0] + support[1]) / 2.0, (support[1] - support[0]) / 2.0
    unit = (clean - middle) / half
    s = torch.quantile(unit.abs().flatten(1), percentile, dim=1).clamp(min=1.0)
    s = s.reshape(-1, *[1] * (clean.dim() - 1))
    return middle + half * unit.clamp(-s, s) / s
