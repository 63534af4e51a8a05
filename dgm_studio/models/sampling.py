"""Sampling from anything that denoises: a generator of steps from noise to data.

The model is asked in float64 (float32 where a device has no better), whatever its network computes in: a trajectory is
a long sum of small differences. The noise of step K depends on the seed and K alone, so that a trajectory can be taken
up again at any step and repeats itself bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dgm_studio.core.requests.denoising import SAMPLERS, Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Denoises, Noising, Views
from dgm_studio.models.sampler_guiding import Guess, Guide
from dgm_studio.models.sampler_levels import Level, level_at, levels_of, refusals, sampling_for, spacing_of, times_of
from dgm_studio.models.sampler_steps import STEPS, Stride, churned, fresh_share

__all__ = [
    "Keep",
    "Noise",
    "Step",
    "refusals",
    "sample",
    "sampling_for",
    "spacing_of",
    "start_of",
    "state_type",
    "times_of",
]

CHUNK = 16  # torch draws normal numbers by sixteen: a draw of whole chunks begins like any longer one
START, STEP, KEPT, AGAIN = range(4)  # what a draw is for


@dataclass
class Step:
    """Where a trajectory stands.

    Args:
        index: Steps made, counted along the whole trajectory; the last one is S.
        time: The level's time; of the last step `Noising.clean`.
        x: x_t, [N, *S].
        clean: Estimate of x_0; of the last step x itself.
        noise: Estimate of eps; of the last step the one that led there. With churn both are made of x with the churn's
            noise added, thus at a level a little noisier than `time`.
        difference: Clean estimate with the condition minus the one without; None without guidance.
        evaluations: Network evaluations of one example since this trajectory was begun or taken up.
    """

    index: int
    time: float
    x: Tensor
    clean: Tensor
    noise: Tensor
    difference: Tensor | None
    evaluations: int


@dataclass(frozen=True)
class Keep:
    """What inpainting holds on to (Lugmayr et al. 2022).

    Args:
        mask: True where data are kept; broadcast against them.
        known: The data, in the model's space, [N, *S] or [*S].
        repeats: Times that each step is made (their U), with noise added back in between; at least 1.
    """

    mask: Bool[Tensor, "*s"]
    known: Float[Tensor, "*n"]
    repeats: int = 1


class Noise:
    """Standard normal numbers by what they are for: the same seed and purpose give the same numbers on any device.

    The first rows do not depend on how many are drawn.

    Args:
        seed: Any whole number from 0.
        shape: [N, *S].
        device: Where they are wanted; they are drawn on the CPU in float64.
    """

    def __init__(self, seed: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> None:
        self.seed, self.shape, self.device = seed, shape, torch.device(device)

    def start(self) -> Tensor:
        """The noise that a trajectory begins with, [N, *S]."""
        return self._draw(0, START, 0)

    def at(self, index: int, purpose: int = STEP, turn: int = 0) -> Tensor:
        """The noise of a step, [N, *S]; `turn` counts the repeats of inpainting."""
        return self._draw(index, purpose, turn)

    def _draw(self, *key: int) -> Tensor:
        seed = int(np.random.SeedSequence((self.seed, *key)).generate_state(1, np.uint64)[0])
        generator = torch.Generator().manual_seed(seed)
        count = math.prod(self.shape)
        whole = torch.randn(-(-count // CHUNK) * CHUNK, generator=generator, dtype=torch.float64)
        return whole[:count].reshape(self.shape).to(self.device, state_type(self.device))


def state_type(device: torch.device) -> torch.dtype:
    """What x is held in: float64, or float32 on Apple's GPUs, which have nothing finer."""
    return torch.float32 if device.type == "mps" else torch.float64


def start_of(noising: Noising, times: Float[Tensor, " s"], noise: Tensor) -> Tensor:
    """x at the first level: N(0, 1) of a discrete model (Ho et al. 2020, algorithm 2), N(0, sigma^2) of the others."""
    return noise if noising.kind == "discrete" else level_at(noising, float(times[0])).sigma * noise


def sample(
    model: Denoises,
    x: Tensor,
    sampling: Sampling,
    times: Float[Tensor, " s"],
    noise: Noise,
    given: Views | None = None,
    first_index: int = 0,
    keep: Keep | None = None,
    before: Step | None = None,
    rows: int = 0,
) -> Generator[Step | None, None, None]:
    """Follow a trajectory from a level to the data.

    With guidance w, w = 1 asks the model once, with the condition, and w = 0 once, without; any other w asks twice.

    Args:
        model: Asked once between two yields.
        x: Data at level `times[first_index]`, [N, *S]; see `start_of`, and `sampler_beginnings` for other beginnings.
        sampling: How.
        times: From `times_of`, [S + 1].
        noise: Of all steps.
        given: Conditions, N rows each; None or {} is free.
        first_index: Step at which the trajectory is begun or taken up.
        keep: For inpainting.
        before: The step before the first one, for DPM-Solver++ 2M to take up a trajectory as it was; without it its
            first step is of first order.
        rows: Most examples in one call of the network; 0 takes all. The same number repeats a trajectory bit for bit;
            another may differ by round-off.

    Yields:
        The step at `first_index`, at every level after it, and at the data; None between two calls of the network that
        belong to one step (guidance, Heun, slices, repeats).

    Raises:
        Problem: The sampler cannot be used with this model, or an option of it makes no sense here; in words.
    """
    noising = model.noising()
    why = refusals(noising).get(sampling.sampler)
    if why is None:
        raise Problem(f"There is no sampler called {sampling.sampler}.", f"Choose one of {', '.join(SAMPLERS)}.")
    if why:
        raise Problem(f"{SAMPLERS[sampling.sampler]} cannot be used: {why}.", "Choose another sampler.")
    walk = _Walk(Guide(model, sampling, given, rows), sampling, levels_of(noising, times), noise, keep)
    if before is not None and (keep is None or keep.repeats <= 1):
        walk.before = (level_at(noising, before.time), before.clean.to(x.device, state_type(x.device)))
    yield from walk.follow(x.to(state_type(x.device)), first_index)


@dataclass
class _Walk:
    guide: Guide
    sampling: Sampling
    levels: Sequence[Level]
    noise: Noise
    keep: Keep | None
    before: tuple[Level, Tensor] | None = None

    def follow(self, x: Tensor, first: int) -> Iterator[Step | None]:
        last = len(self.levels) - 1
        x = self._constrained(x, first)
        guess: Guess | None = None
        for index in range(first, last):
            for turn in range(self._turns(index)):
                if turn:
                    yield None
                    x = self._noised_again(x, index, turn)
                lifted, level = self._lifted(x, index, turn)
                guess = yield from self.guide.ask(lifted, level)
                if turn == 0:
                    yield self._step(index, x, guess.clean, guess)
                x = yield from self._advanced(lifted, level, index, turn, guess)
                x = self._constrained(x, index + 1, turn)
            assert guess is not None
            # after a repeat the step before was made from another x, and a branch would not know of it
            self.before = (self.levels[index], guess.clean) if turn == 0 else None
        yield self._step(last, x, x, guess)

    def _step(self, index: int, x: Tensor, clean: Tensor, guess: Guess | None) -> Step:
        noise = torch.zeros_like(x) if guess is None else guess.noise
        difference = None if guess is None else guess.difference
        return Step(index, self.levels[index].time, x, clean, noise, difference, self.guide.evaluations)

    def _advanced(self, x: Tensor, here: Level, index: int, turn: int, guess: Guess) -> Generator[None, None, Tensor]:
        def draw() -> Tensor:
            return self.noise.at(index, STEP, turn)

        stride = Stride(self.guide, self.sampling, here, self.levels[index + 1], x, guess, self.before, draw)
        return (yield from STEPS[self.sampling.sampler](stride))

    def _lifted(self, x: Tensor, index: int, turn: int) -> tuple[Tensor, Level]:
        """x with the noise of churn, and its level."""
        here = self.levels[index]
        if self.sampling.churn == 0.0 or self.sampling.sampler not in ("heun", "euler"):
            return x, here
        there, std = churned(self.guide.model.noising(), here, self.sampling.churn, len(self.levels) - 1)
        if std == 0.0:
            return x, here
        return (there.alpha / here.alpha) * x + std * self.noise.at(index, STEP, turn), there

    def _turns(self, index: int) -> int:
        """How often a step is made; once at the data, where nothing could be added back (Lugmayr et al. 2022)."""
        return 1 if self.keep is None or index == len(self.levels) - 2 else max(self.keep.repeats, 1)

    def _constrained(self, x: Tensor, index: int, turn: int | None = None) -> Tensor:
        """x with what is kept put in its place, noised to this level."""
        if self.keep is None:
            return x
        level = self.levels[index]
        known = self.keep.known.to(x).expand_as(x)
        if level.sigma > 0.0:
            # a branch begins with the noise that its parent arrived with
            turn = self._turns(index - 1) - 1 if turn is None else turn
            known = level.alpha * known + level.sigma * self.noise.at(index, KEPT, turn)
        return torch.where(self.keep.mask.to(x.device), known, x)

    def _noised_again(self, x: Tensor, index: int, turn: int) -> Tensor:
        """From the next level back to this one (Lugmayr et al. 2022, algorithm 1, line 9)."""
        here, there = self.levels[index], self.levels[index + 1]
        std = here.sigma * math.sqrt(fresh_share(here, there))
        return (here.alpha / there.alpha) * x + std * self.noise.at(index, AGAIN, turn)
