"""How well every noise level is denoised, and which levels matter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.requests import MeasureLevels, Sampling
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_truth import truth_of
from dgm_studio.explore.denoising_values import Denoiser, denoiser_of, time_at
from dgm_studio.explore.samples import rows_of
from dgm_studio.models.diffusion_bound import prior_terms, step_terms
from dgm_studio.models.exact_denoiser import ExactDenoiser
from dgm_studio.models.noising import along
from dgm_studio.models.sampling import Noise, sample, start_of

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_BINS, MOST_EXAMPLES = 100, 4096
FOLLOWED = 16  # trajectories along which the clean estimate's change is measured
FIGURES = ("loss", "error", "clean", "bound", "change", "exact")


@dataclass(frozen=True)
class Bin:
    """Some neighbouring levels.

    Args:
        low: The cleanest share of the time that belongs to it.
        high: The noisiest.
        first: First index of a discrete model; 0 for others.
        count: Indices of a discrete model; 0 for others.
    """

    low: float
    high: float
    first: int = 0
    count: int = 0


@answers(MeasureLevels)
def measure_levels(bench: Workbench, asked: MeasureLevels) -> Iterator[Update]:
    """One bin after the other, the cleanest first; what trajectories say of them at the end."""
    denoiser = denoiser_of(bench, asked.model)
    bins = bins_of(denoiser, asked.bins)
    if not 1 <= asked.count <= MOST_EXAMPLES:
        raise Problem(f"{asked.count} examples cannot be measured.", f"Ask for 1 to {MOST_EXAMPLES:,}.")
    part = (yield from bench.dataset(denoiser.model.card.data)).seen().split(asked.split)
    x = denoiser.into(part.batch(rows_of(part, 0, asked.count, asked.split)).to(denoiser.model.device))
    truth = yield from truth_of(bench, denoiser)
    exact = None if truth is None else truth.denoiser(denoiser.path)
    middles = [time_at(denoiser.path, 0.5 * (b.low + b.high)) for b in bins]
    found = {name: np.full(len(bins), math.nan, np.float32) for name in FIGURES}
    data = {
        "times": np.array(middles, np.float32),
        "log_snr": np.array(denoiser.log_snrs(middles), np.float32),
        "count": len(x),
        "total": math.nan,
    }
    for number, one in enumerate(bins):
        measured = yield from _measure(denoiser, exact, x, one, asked.seed + number, (number, len(bins)))
        for name, value in measured.items():
            found[name][number] = value
        yield Frame("levels", {**data, **_copies(found), "done": False})
    found["change"][:] = yield from _changes(denoiser, bins, asked)
    if denoiser.path.kind == "discrete" and hasattr(denoiser.module, "tables"):
        data["total"] = float(found["bound"].sum()) + _prior(denoiser, x)
    yield Frame("levels", {**data, **_copies(found), "done": True})


def _copies(found: dict[str, Any]) -> dict[str, Any]:
    return {name: values.copy() for name, values in found.items()}


def bins_of(denoiser: Denoiser, count: int) -> list[Bin]:
    """The levels in bins, evenly in the model's time (in log-SNR where the variance explodes), the cleanest first.

    Raises:
        Problem: None or too many.
    """
    path = denoiser.path
    if not 1 <= count <= MOST_BINS:
        raise Problem(f"Levels cannot be put into {count} bins.", f"Choose 1 to {MOST_BINS}.")
    if path.kind != "discrete":
        return [Bin(k / count, (k + 1) / count) for k in range(count)]
    steps = round(path.noisiest) + 1
    count = min(count, steps)
    edges = [k * steps // count for k in range(count + 1)]
    last = max(1, steps - 1)
    return [Bin(a / last, (b - 1) / last, a, b - a) for a, b in itertools.pairwise(edges)]


def _measure(
    denoiser: Denoiser, exact: ExactDenoiser | None, x: Tensor, one: Bin, seed: int, place: tuple[int, int]
) -> Generator[Progress, None, dict[str, float]]:
    """Every example at a level of the bin, drawn anew for each."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    times = _times(denoiser, one, len(x), generator)
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    rows, parts = denoiser.at_once(), []
    for start in range(0, len(x), rows):
        some = slice(start, start + rows)
        parts.append(_errors(denoiser, exact, x[some], noise[some], times[some], one))
        yield Progress(place[0] + start / len(x), place[1], "Taking noise off the data")
    errors = {name: torch.cat([part[name] for part in parts]).double() for name in parts[0]}
    found = {name: float(values.mean()) for name, values in errors.items()}
    found["error"] = float(errors["loss"].std() / math.sqrt(len(x))) if len(x) > 1 else math.nan
    if "bound" in found and one.first == 0:
        yield Progress(place[0] + 1, place[1], "Bounding the likelihood")
        found["bound"] = yield from _first_bound(denoiser, x, noise, one, found["bound"])
    return found


def _times(denoiser: Denoiser, one: Bin, count: int, generator: torch.Generator) -> Tensor:
    """A time for each example, float64 [N], spread evenly over the bin.

    Index 0 of a discrete model has a term of its own and is left out where there are others.
    """
    places = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
    if one.count:
        first = max(1, one.first) if one.count > 1 else one.first
        return first + (places * (one.first + one.count - first)).floor()
    shares = one.low + (one.high - one.low) * places
    return torch.tensor([time_at(denoiser.path, share) for share in shares.tolist()], dtype=torch.float64)


def _errors(
    denoiser: Denoiser, exact: ExactDenoiser | None, x0: Tensor, noise: Tensor, t: Tensor, one: Bin
) -> dict[str, Tensor]:
    """Of each example [N]: mean square errors per number, and the bound of all the bin's levels in bits per number."""
    path = denoiser.path
    x = along(path.alpha(t), x0) * x0 + along(path.sigma(t), x0) * noise
    guess = denoiser.module.estimate(x, t)
    found = {"loss": _mean(guess.noise - noise), "clean": _mean(guess.clean - x0)}
    if exact is not None:
        found["exact"] = _mean(exact.estimate(x, t).noise - noise)
    if one.count and hasattr(denoiser.module, "tables"):
        found["bound"] = one.count * _terms(denoiser, x0, x, guess, t)
    return found


def _terms(denoiser: Denoiser, x0: Tensor, x: Tensor, guess: Any, t: Tensor) -> Tensor:
    """The bound's term at indices t [N], bits per number: [N]."""
    module, index = denoiser.module, t.long().cpu()
    cut = None if module.clip() == "none" else denoiser.support
    clean = guess.clean if cut is None else guess.clean.clamp(*cut)
    log_variance = module.log_variance(index, x, guess.fraction)
    nats = step_terms(module.tables, x0, x, clean, log_variance, index, denoiser.pictures)
    return nats.flatten(1).mean(1) / math.log(2.0)


def _first_bound(
    denoiser: Denoiser, x0: Tensor, noise: Tensor, one: Bin, others: float
) -> Generator[Progress, None, float]:
    """The bound of the first bin: the decoder's term at index 0, and the others as often as there are others."""
    t = torch.zeros(len(x0), dtype=torch.float64)
    path, rows, total = denoiser.path, denoiser.at_once(), 0.0
    for start in range(0, len(x0), rows):
        some = slice(start, start + rows)
        x = along(path.alpha(t[some]), x0) * x0[some] + along(path.sigma(t[some]), x0) * noise[some]
        guess = denoiser.module.estimate(x, t[some])
        total += float(_terms(denoiser, x0[some], x, guess, t[some]).sum())
        yield Progress(0, 0, "Bounding the likelihood")
    return total / len(x0) + others * (one.count - 1) / one.count


def _prior(denoiser: Denoiser, x: Tensor) -> float:
    """What the noisiest level still tells, bits per number."""
    return float(prior_terms(denoiser.module.tables, x).mean()) / math.log(2.0)


def _mean(apart: Tensor) -> Tensor:
    return apart.flatten(1).square().mean(1)


def _changes(denoiser: Denoiser, bins: list[Bin], asked: MeasureLevels) -> Generator[Progress, None, Any]:
    """Root mean square change of the clean estimate over every bin, along the model's own trajectories."""
    path = denoiser.path
    edges = [time_at(path, share) for share in (*(b.low for b in bins), bins[-1].high)]
    if bins[0].count:
        edges = [float(b.first) for b in bins] + [path.noisiest]
    falling = sorted(set(edges), reverse=True)
    times = torch.tensor([*falling, path.clean], dtype=torch.float64)
    noise = Noise(asked.seed, (min(FOLLOWED, asked.count), *denoiser.shape), denoiser.model.device)
    steps = sample(
        denoiser.module,
        start_of(path, times, noise.start()),
        Sampling("heun"),
        times,
        noise,
        rows=denoiser.at_once(),
    )
    cleans: list[Tensor] = []
    for step in steps:
        if step is not None and step.index < len(falling):
            cleans.append(step.clean)
        yield Progress(len(cleans), len(times), "Following trajectories")
    moved = [float(_mean(b - a).sqrt().mean()) for a, b in itertools.pairwise(cleans)]
    found = np.full(len(bins), math.nan, np.float32)
    found[: len(moved)] = moved[::-1]
    return found
