"""What can be played of a model that denoises, what is nearest to its results, and what its schedule does."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.cards import as_json
from dgm_studio.core.requests import DescribeDenoiser, FindNearest, Sampling, ShowSchedule
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_films import results_of
from dgm_studio.explore.denoising_troubles import about_schedule
from dgm_studio.explore.denoising_truth import truth_of
from dgm_studio.explore.denoising_values import Denoiser, denoiser_of, reader_of, source_of, terminal, time_at
from dgm_studio.explore.loaded import as_floats
from dgm_studio.explore.neighbours import MOST_NEIGHBOURS, index_of, measure_held_out
from dgm_studio.explore.samples import labels_of, rows_of
from dgm_studio.models import schedules
from dgm_studio.models.capabilities import Noising
from dgm_studio.models.noising import TableNoising
from dgm_studio.models.sampler_beginnings import noised
from dgm_studio.models.sampling import Noise, refusals, sampling_for

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

LEVELS = 200
DISCRETE_STEPS = 1000  # T of a new schedule where the model has none
MOST_SHOWN = 64
CLOUD = 200  # points of a cloud that is noised
LOW = 0.05  # quantile of held-out examples' distances below which a result is unusually near to the training data
PREDICTIONS = {"variance-exploding": "x0", "flow": "flow"}


@answers(DescribeDenoiser)
def describe_denoiser(bench: Workbench, asked: DescribeDenoiser) -> Iterator[Update]:
    """What can be played."""
    denoiser = denoiser_of(bench, asked.model)
    model, path = denoiser.model, denoiser.path
    dataset = (yield from bench.dataset(model.card.data)).seen()
    part = dataset.split("test")
    truth = yield from truth_of(bench, denoiser)
    reader = reader_of(denoiser)
    ends = denoiser.terminal()
    yield Frame(
        "denoiser",
        {
            "kind": path.kind,
            "last": len(betas_of(path)),
            **curves(path, denoiser.levels(LEVELS)),
            "beta": betas_of(path),
            "conditions": [as_json(m) for m in denoiser.conditions],
            "samplers": refusals(path),
            "sampling": as_json(own_sampling(path)),
            "variances": ["model", "small", "large", *(["learnt"] if _learns_variance(denoiser) else [])],
            "exact": truth is not None,
            "truth": "" if truth is None else truth.name,
            "terminal": ends,
            "warnings": about_schedule(ends),
            "prediction": str(model.card.config.get("prediction", PREDICTIONS.get(path.kind, ""))),
            "pictures": denoiser.pictures,
            "shape": denoiser.shape,
            "labels": labels_of(dataset.card, part, rows_of(part, 0, max(1, asked.count), "test")),
            "judge": None if reader is None else {"name": reader.name, "accuracy": reader.accuracy},
        },
    )


def own_sampling(path: Noising) -> Sampling:
    """What suits a path when nothing is asked for; never more steps than a discrete model has."""
    found = sampling_for(path)
    most = round(path.noisiest) + 1 if path.kind == "discrete" else found.steps
    return replace(found, steps=min(found.steps, most))


def curves(path: Noising, times: Sequence[float]) -> dict[str, Any]:
    """The Frame's "times", "log_snr", "alpha" and "sigma" of some levels, float32 [L] each."""
    t = torch.tensor(times, dtype=torch.float64)
    found = {"times": t, "log_snr": path.log_snr(t), "alpha": path.alpha(t), "sigma": path.sigma(t)}
    return {name: as_floats(values) for name, values in found.items()}


def betas_of(path: Noising) -> Any:
    """beta of every step of a discrete path, float32 [T]; empty for others."""
    if path.kind != "discrete":
        return np.zeros(0, np.float32)
    kept = path.alpha(torch.arange(round(path.noisiest) + 1, dtype=torch.float64)).square()
    return as_floats(1.0 - kept / torch.cat([kept.new_ones(1), kept[:-1]]))


def _learns_variance(denoiser: Denoiser) -> bool:
    x = torch.zeros(1, *denoiser.shape, device=denoiser.model.device)
    at = torch.tensor(denoiser.path.cleanest, dtype=torch.float64)
    return denoiser.module.estimate(x, at).fraction is not None


# -- the nearest training examples -------------------------------------------------------------------------------------


@answers(FindNearest)
def find_nearest(bench: Workbench, asked: FindNearest) -> Iterator[Update]:
    """The training examples nearest to a result, beside how near held-out examples are to theirs."""
    denoiser = denoiser_of(bench, asked.film.model)
    if not 1 <= asked.k <= MOST_NEIGHBOURS:
        raise Problem(f"{asked.k} neighbours cannot be shown.", f"Ask for 1 to {MOST_NEIGHBOURS}.")
    results = yield from results_of(bench, denoiser, asked.film)
    if not 0 <= asked.index < len(results):
        raise Problem(f"The film has samples 0 to {len(results) - 1}, not {asked.index}.", "Choose one of those.")
    result = results[asked.index : asked.index + 1]
    dataset = (yield from bench.dataset(denoiser.model.card.data)).seen()
    part = dataset.split("train")
    if tuple(part.x.shape[1:]) != denoiser.shape:
        raise Problem("The data have another shape than what the model makes.", "They were changed since training.")
    index = index_of(bench, dataset)
    x = denoiser.out(result).nan_to_num(0.0)
    distances, rows = yield from index.nearest(x.clamp(0.0, 1.0) if denoiser.pictures else x, asked.k)
    chosen = rows[0]
    shown = {"pictures": part.picture(chosen)} if part.pictures else {"points": as_floats(part.batch(chosen))}
    data = {
        **shown,
        "picture" if denoiser.pictures else "point": denoiser.shown(result)[0],
        "distances": as_floats(distances[0] / math.sqrt(index.size)),
        "indices": chosen.numpy().copy(),
        "labels": labels_of(dataset.card, part, chosen),
    }
    yield Frame("nearest", {**data, "typical": _typical(index.held_out)})
    if not len(index.held_out):
        yield from measure_held_out(index, dataset.split("test"))
        yield Frame("nearest", {**data, "typical": _typical(index.held_out)})


def _typical(distances: Tensor) -> dict[str, float]:
    """Median and low quantile of the distances of held-out examples; NaN while they are not measured."""
    if not len(distances):
        return {"middle": math.nan, "low": math.nan}
    return {"middle": float(distances.median()), "low": float(distances.double().quantile(LOW))}


# -- schedules ---------------------------------------------------------------------------------------------------------


@answers(ShowSchedule)
def show_schedule(bench: Workbench, asked: ShowSchedule) -> Iterator[Update]:
    """A schedule's curves and what it does to a picture."""
    denoiser = denoiser_of(bench, asked.model)
    path, config = schedule_of(denoiser, asked)
    if not 1 <= len(asked.shown) <= MOST_SHOWN or not all(0.0 <= share <= 1.0 for share in asked.shown):
        raise Problem("A schedule is shown at shares of its time.", f"Ask for 1 to {MOST_SHOWN} from 0 to 1.")
    clean = yield from _shown_data(bench, denoiser, asked)
    noise = Noise(asked.seed, tuple(clean.shape), denoiser.model.device).start()
    times = [time_at(path, share) for share in asked.shown]
    canvas = Canvas(denoiser, path)
    noisy = np.stack([canvas.shown(noised(path, clean, t, noise), t) for t in times])
    ends, betas = terminal(path, math.prod(denoiser.shape)), betas_of(path)
    steps = len(betas)
    yield Frame(
        "schedule",
        {
            **curves(path, list(range(steps)) if steps else denoiser.levels(LEVELS)),
            "beta": betas,
            "terminal": ends,
            "warnings": about_schedule(ends),
            "pictures" if denoiser.pictures else "points": noisy[:, 0] if denoiser.pictures else noisy,
            "shown_log_snr": as_floats(path.log_snr(torch.tensor(times, dtype=torch.float64))),
            "config": config,
            "of": steps,
        },
    )


class Canvas:
    """Shows noisy data of a path that need not be the model's own.

    Args:
        denoiser: Whose space it is.
        path: Where the data are.
    """

    def __init__(self, denoiser: Denoiser, path: Noising) -> None:
        self.denoiser, self.path = denoiser, path

    def shown(self, x: Tensor, time: float) -> Any:
        """x_t brought to one scale, see `Denoiser.shown_noisy`."""
        t = torch.tensor(time, dtype=torch.float64)
        return self.denoiser.shown(x / math.hypot(float(self.path.alpha(t)), float(self.path.sigma(t))))


def schedule_of(denoiser: Denoiser, asked: ShowSchedule) -> tuple[Noising, dict[str, Any]]:
    """The path that is asked for, and the settings that train a new DDPM on it.

    Raises:
        Problem: There is no such schedule, or the knots are none.
    """
    own = denoiser.path
    if asked.schedule == "model":
        settings = getattr(denoiser.module, "config", None)
        known = {name: getattr(settings, name) for name in ("noise_schedule", "knots") if hasattr(settings, name)}
        return own, known if own.kind == "discrete" else {}
    if asked.schedule not in schedules.SCHEDULES:
        raise Problem(
            f"There is no schedule called {asked.schedule}.", f"Choose model or {', '.join(schedules.SCHEDULES)}."
        )
    steps = round(own.noisiest) + 1 if own.kind == "discrete" else DISCRETE_STEPS
    kept = schedules.alpha_bar(asked.schedule, steps, asked.knots)
    schedules.tables(kept)  # refuses what is no schedule
    config: dict[str, Any] = {"noise_schedule": asked.schedule}
    if asked.schedule == "own":
        config["knots"] = schedules.text_of(asked.knots)
    return TableNoising(kept), config


def _shown_data(bench: Workbench, denoiser: Denoiser, asked: ShowSchedule) -> Generator[Progress, None, Tensor]:
    """One picture [1, *S], or a cloud of points [200, 2]."""
    if denoiser.pictures or asked.source.picture:
        return (yield from source_of(bench, denoiser, asked.source))
    part = (yield from bench.dataset(denoiser.model.card.data)).seen().split(asked.source.split)
    return denoiser.into(part.batch(rows_of(part, asked.source.index, CLOUD, asked.source.split)))
