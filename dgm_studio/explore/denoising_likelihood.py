"""How probable examples are to a model that denoises, by the ODE that leads them to noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.requests import FollowLikelihood
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_truth import truth_of
from dgm_studio.explore.denoising_values import MOST_STEPS, Denoiser, denoiser_of
from dgm_studio.explore.loaded import as_floats
from dgm_studio.explore.samples import labels_of, rows_of
from dgm_studio.models.probability_flow import follow_likelihood
from dgm_studio.training.order import derived_seed

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_EXAMPLES, MOST_PROBES = 2000, 64
BACKWARD = 3  # times the cost of an evaluation, with its gradient
GREYS = 256


@answers(FollowLikelihood, grad=True)
def follow(bench: Workbench, asked: FollowLikelihood) -> Iterator[Update]:
    """All that is known after every few examples; NaN where they are still to come."""
    denoiser = denoiser_of(bench, asked.model)
    _check(asked)
    dataset = (yield from bench.dataset(denoiser.model.card.data)).seen()
    part = dataset.split(asked.split)
    rows = rows_of(part, 0, asked.count, asked.split)
    truth = yield from truth_of(bench, denoiser)
    generator = torch.Generator().manual_seed(derived_seed(asked.seed, "dequantised", 0))
    x = _spread(denoiser, part.batch(rows), generator).to(denoiser.model.device)
    numbers = x[0].numel()
    found = np.full(len(x), math.nan, np.float32)
    estimator = _estimator(denoiser, asked, numbers)
    data = {
        "exact": np.full(len(x), math.nan, np.float32) if truth is None else as_floats(truth.log_prob(x.cpu())),
        "labels": labels_of(dataset.card, part, rows),
        "estimator": estimator,
    }
    probes = 1 if denoiser.pictures else numbers
    size = denoiser.at_once(BACKWARD * max(probes, asked.probes))
    for done in range(0, len(x), size):
        seed = torch.Generator().manual_seed(derived_seed(asked.seed, "probes", done))
        steps = follow_likelihood(denoiser.module, x[done : done + size], asked.steps, seed, asked.probes)
        evaluations = 0
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                found[done : done + size] = as_floats(finished.value.log_prob)
                break
            evaluations += 1
            share = evaluations / (2 * asked.steps)
            yield Progress(done + share * min(size, len(x) - done), len(x), "Following the data to noise")
        told = found[np.isfinite(found)]
        error = float(told.std(ddof=1) / math.sqrt(len(told))) if len(told) > 1 else math.nan
        bits = _bits(denoiser, found, numbers)
        yield Frame("likelihood", {**data, "log_prob": found.copy(), "bits": bits, "error": error})


def _check(asked: FollowLikelihood) -> None:
    if not 1 <= asked.count <= MOST_EXAMPLES or not 1 <= asked.probes <= MOST_PROBES:
        raise Problem(
            f"A likelihood is followed for 1 to {MOST_EXAMPLES:,} examples with 1 to {MOST_PROBES} probes.",
            "Ask for fewer.",
        )
    if not 2 <= asked.steps <= MOST_STEPS:
        raise Problem(f"{asked.steps} steps cannot be followed.", f"Choose 2 to {MOST_STEPS:,}.")


def _spread(denoiser: Denoiser, x: Tensor, generator: torch.Generator) -> Tensor:
    """Data in the model's space; grey levels are spread over their bins (Theis et al. 2016), as a density needs."""
    if not denoiser.pictures:
        return denoiser.into(x)
    noise = torch.rand(x.shape, generator=generator, dtype=torch.float64)
    return denoiser.into(((GREYS - 1) * x.double() + noise) / GREYS)


def _bits(denoiser: Denoiser, log_prob: np.ndarray[tuple[int, ...], np.dtype[np.float32]], numbers: int) -> object:
    """Bits per number: of a grey level among 256, of a point's coordinate as a density."""
    low, high = denoiser.support or (0.0, 1.0)
    bin_width = (high - low) / GREYS if denoiser.pictures else 1.0
    return np.asarray(-(log_prob / numbers + math.log(bin_width)) / math.log(2.0), np.float32)


def _estimator(denoiser: Denoiser, asked: FollowLikelihood, numbers: int) -> str:
    exact = not denoiser.pictures and numbers <= 8
    probes = "one Rademacher probe" if asked.probes == 1 else f"{asked.probes} Rademacher probes"
    spread = ", uniformly dequantised" if denoiser.pictures else ""
    return f"Heun, {asked.steps} steps, {'exact divergence' if exact else probes}{spread}"
