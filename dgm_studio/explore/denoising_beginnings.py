"""Where a film begins and what it holds on to, read from a request."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dgm_studio.core.requests import Beginning, PlayDenoising
from dgm_studio.core.updates import Problem, Progress
from dgm_studio.explore.denoising_values import Denoiser, source_of
from dgm_studio.models.sampler_beginnings import Start, begin
from dgm_studio.models.sampling import Keep, Noise

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

NEEDS_SOURCE = ("picture", "inverted")
MOST_REPEATS = 50


def start_of_film(
    bench: Workbench, denoiser: Denoiser, asked: PlayDenoising, times: Tensor
) -> Generator[Progress, None, Start]:
    """x of the first step, and which step of `times` that is.

    Raises:
        Problem: The beginning makes no sense, or has no source.
    """
    device = denoiser.model.device
    noise = Noise(asked.seed, (asked.count, *denoiser.shape), device)
    source = None
    if asked.beginning.kind in NEEDS_SOURCE:
        source = yield from source_of(bench, denoiser, asked.beginning.source)
    if asked.beginning.kind == "between" and not 0.0 <= asked.beginning.weight <= 1.0:
        raise Problem("Between two noises lie the weights from 0 to 1.", "Choose one of those.")
    given = denoiser.given(asked.condition, asked.count)
    steps = begin(
        denoiser.module, asked.beginning, asked.sampling, times, noise, source, given, rows=denoiser.at_once()
    )
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            found: Start = finished.value
            return found
        yield Progress(0, 0, "Finding the noise behind the picture")


def keep_of(bench: Workbench, denoiser: Denoiser, beginning: Beginning) -> Generator[Progress, None, Keep | None]:
    """What inpainting holds on to; None where nothing is kept.

    Raises:
        Problem: The mask has another size than the data, or the repeats are too many.
    """
    if not any(any(row) for row in beginning.mask):
        return None
    if not 1 <= beginning.resample <= MOST_REPEATS:
        raise Problem(f"Steps cannot be repeated {beginning.resample} times.", f"Choose 1 to {MOST_REPEATS}.")
    wanted = denoiser.shape[1:] if denoiser.pictures else (1, *denoiser.shape)
    if {len(row) for row in beginning.mask} != {wanted[1]} or len(beginning.mask) != wanted[0]:
        raise Problem(
            f"The mask has another size than the data: {wanted[0]} rows of {wanted[1]} are needed.", "Draw it again."
        )
    mask = torch.tensor(beginning.mask, dtype=torch.bool, device=denoiser.model.device)
    known = yield from source_of(bench, denoiser, beginning.source)
    return Keep(mask if denoiser.pictures else mask[0], known, beginning.resample)
