"""Samples of a model that denoises, where only the samples are wanted: a short film that nobody watches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dgm_studio.core.requests import Sampling
from dgm_studio.core.updates import Progress
from dgm_studio.explore.denoising_values import Denoiser
from dgm_studio.explore.loaded import GROWTH, LoadedModel
from dgm_studio.training.drawing import drawing
from dgm_studio.training.order import derived_seed

POINTS_AT_ONCE = 1024  # fixed, as the seed of every slice is its own
QUICK = {
    "discrete": Sampling("dpmpp-2m", 20),
    "variance-exploding": Sampling("heun", 18),
    "flow": Sampling("heun-flow", 12),
}


def quick_sampling(denoiser: Denoiser) -> Sampling:
    """What gives good samples with at most 35 evaluations."""
    found = QUICK[denoiser.path.kind]
    if denoiser.path.kind == "discrete" and found.steps > denoiser.path.noisiest + 1:
        return Sampling("ddim", round(denoiser.path.noisiest) + 1)
    return found


def growing_draws(model: LoadedModel, count: int, seed: int) -> Iterator[tuple[Tensor, bool] | Progress]:
    """Samples [n, *S], pictures in [0, 1]: all so far and whether they are enough to be shown again; Progress between.

    Slices are of a fixed size with seeds of their own, so that the first samples do not hang on how many are drawn.
    """
    denoiser = model.noted("denoiser", lambda: Denoiser(model))
    sampling = quick_sampling(denoiser)
    size = min(model.slice, denoiser.at_once()) if denoiser.pictures else POINTS_AT_ONCE
    waiting: list[Tensor] = []
    done = shown = 0
    while done < count:
        steps = drawing(
            denoiser.module, sampling, min(size, count - done), derived_seed(seed, "slice", done), None, size
        )
        while True:
            try:
                share = next(steps)
            except StopIteration as finished:
                waiting.append(finished.value)
                break
            yield Progress(done + share * min(size, count - done), count, "Drawing samples")
        done += len(waiting[-1])
        worth = done >= GROWTH * shown or done == count
        if worth:
            waiting, shown = [torch.cat(waiting)], done
        yield waiting[0], worth
