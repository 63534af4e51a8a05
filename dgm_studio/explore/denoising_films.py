"""Films of a denoising: trajectories that are followed once, kept, and taken up again at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.requests import PlayDenoising
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_beginnings import keep_of, start_of_film
from dgm_studio.explore.denoising_shelf import Film, whole
from dgm_studio.explore.denoising_troubles import about_results, about_sampling, about_schedule, about_step
from dgm_studio.explore.denoising_values import MOST_SAMPLES, MOST_STEPS, Denoiser, denoiser_of, judged
from dgm_studio.models.sampling import Noise, Step, sample, times_of

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_NUMBERS = 2_000_000  # of x: samples times pixels


# -- answering ---------------------------------------------------------------------------------------------------------


@answers(PlayDenoising)
def play(bench: Workbench, asked: PlayDenoising) -> Iterator[Update]:
    """The film, every step as soon as it is there; what was followed before is shown at once."""
    denoiser = denoiser_of(bench, asked.model)
    if asked.half < 1:
        raise Problem(f"Every {asked.half}th step cannot be sent.", "Choose 1 to send all.")
    film = yield from opened(bench, denoiser, asked)
    yield Frame("film", about(denoiser, film, asked))
    sent = {index for index in sorted(film.steps) if _sent(film, asked, index)}
    for index in sorted(sent):
        yield Frame(f"step/{index}", film.steps[index])
    if not film.steps:
        yield Frame(f"step/{film.first}", _before_all(denoiser, film))
    for update in followed(bench, denoiser, film):
        if isinstance(update, Frame) and update.topic == "film":
            yield Frame("film", about(denoiser, film, asked))
        elif isinstance(update, Frame) and _sent(film, asked, index := int(update.data["index"])):
            sent.add(index)
            yield update
        elif not isinstance(update, Frame):
            yield update
    for index in sorted(set(film.steps) - sent):  # another question followed the same film, and was faster
        if _sent(film, asked, index):
            yield Frame(f"step/{index}", film.steps[index])
    yield from _finished(denoiser, film)
    yield Frame("film", {**about(denoiser, film, asked), "done": True})


def _sent(film: Film, asked: PlayDenoising, index: int) -> bool:
    return (index - film.first) % asked.half == 0 or index == film.last


def opened(bench: Workbench, denoiser: Denoiser, asked: PlayDenoising) -> Generator[Progress, None, Film]:
    """The film of a question as far as it is known, with x of its first step at least.

    Raises:
        Problem: The question makes no sense for this model.
    """
    asked = whole(asked)
    known = bench.films.get(denoiser.model, asked)
    if known is not None:
        return known
    _check(denoiser, asked)
    if asked.parent is None:
        film = yield from _own(bench, denoiser, asked)
    else:
        film = yield from _branched(bench, denoiser, asked, asked.parent)
    film.keep = yield from keep_of(bench, denoiser, asked.beginning)
    film.warn(about_schedule(denoiser.terminal()) + about_sampling(asked.sampling))
    if asked.sampling.guidance not in (0.0, 1.0) and denoiser.given(asked.condition, 1) is None:
        film.warn(["Guidance has nothing to follow: choose a condition first."])
    bench.films.put(denoiser.model, film)
    return film


def _check(denoiser: Denoiser, asked: PlayDenoising) -> None:
    numbers = math.prod(denoiser.shape)
    most = max(1, min(MOST_SAMPLES if denoiser.pictures else MOST_NUMBERS, MOST_NUMBERS // numbers))
    if not 1 <= asked.count <= most:
        raise Problem(f"{asked.count:,} samples cannot be followed at once.", f"Ask for 1 to {most:,}.")
    if not 1 <= asked.sampling.steps <= MOST_STEPS:
        raise Problem(f"A film of {asked.sampling.steps} steps cannot be made.", f"Ask for 1 to {MOST_STEPS:,}.")
    denoiser.given(asked.condition, 1)


def _own(bench: Workbench, denoiser: Denoiser, asked: PlayDenoising) -> Generator[Progress, None, Film]:
    """A film from its beginning."""
    times = times_of(denoiser.path, asked.sampling)
    start = yield from start_of_film(bench, denoiser, asked, times)
    return Film(asked, times[start.index :], 0, xs=[start.x.cpu()], evaluations=start.evaluations)


def _branched(
    bench: Workbench, denoiser: Denoiser, asked: PlayDenoising, parent: PlayDenoising
) -> Generator[Progress, None, Film]:
    """A film from a step of another; that one is followed again as far as it is not kept."""
    if parent.model != asked.model:
        raise Problem("A branch grows from a film of the same model.", "Play the film with this model first.")
    trunk = yield from opened(bench, denoiser, parent)
    if asked.at < trunk.first and parent.parent is not None:
        return (yield from _branched(bench, denoiser, asked, parent.parent))
    if not trunk.first <= asked.at < trunk.last:
        raise Problem(
            f"The film has steps {trunk.first} to {trunk.last}; it cannot branch at {asked.at}.",
            f"Choose {trunk.first} to {trunk.last - 1}.",
        )
    while trunk.reached < asked.at:
        for update in followed(bench, denoiser, trunk, asked.at):
            if isinstance(update, Progress):
                yield update
    x = trunk.x_at(asked.at)
    rows = torch.arange(asked.count) % len(x)
    own = times_of(denoiser.path, asked.sampling)
    times = torch.cat([trunk.times[: asked.at + 1], own[own < trunk.times[asked.at]]])
    film = Film(asked, times, asked.at, xs=[x[rows]])
    if film.looks_back:
        before = yield from _step_before(denoiser, trunk, asked.at)
        film.before = before and replace(before, clean=before.clean[rows.to(before.clean.device)])
    return film


def _step_before(denoiser: Denoiser, film: Film, index: int) -> Generator[Progress, None, Step | None]:
    """The step before one of a film; asked of the model again, as estimates are not kept."""
    if index <= film.first:
        return film.before
    steps = _steps(denoiser, film, index - 1, None)
    while (step := next(steps)) is None:
        yield Progress(index - 1 - film.first, film.last - film.first, "Taking the film up")
    steps.close()
    return step


def followed(bench: Workbench, denoiser: Denoiser, film: Film, until: int = -1) -> Iterator[Update]:
    """Follow a film on from where it stands; Progress between calls of the network.

    Args:
        bench: The worker's.
        denoiser: Of the film.
        film: Grows.
        until: The last step whose x is wanted; -1 goes to the data.
    """
    if film.done:
        return
    start, before = film.reached, film.before
    if film.looks_back and start > film.first:
        if film.keep is not None and film.keep.repeats > 1:
            # What the last of several repeats saw is kept nowhere: such a film is followed anew.
            start = film.first
            del film.xs[1:]
        else:
            before = yield from _step_before(denoiser, film, start)
    earlier, steps = film.evaluations, _steps(denoiser, film, start, before)
    try:
        while not film.done and film.reached != until:
            yield from _next(denoiser, film, steps, earlier)
    finally:
        steps.close()
        bench.films.put(denoiser.model, film)


def _next(denoiser: Denoiser, film: Film, steps: Iterator[Step | None], earlier: int) -> Iterator[Update]:
    """Work up to the next yield of a trajectory."""
    started = time.perf_counter()
    step = next(steps)
    film.seconds += time.perf_counter() - started
    if step is None:
        yield Progress(film.reached - film.first, film.last - film.first, "Denoising")
        return
    film.evaluations = earlier + step.evaluations
    if step.index == film.reached + 1:
        film.xs.append(step.x.cpu())
    news = film.warn(about_step(denoiser, step.x, step.index))
    yield Frame(f"step/{step.index}", _shot(denoiser, film, step))
    if news:
        yield Frame("film", {})


def _steps(denoiser: Denoiser, film: Film, start: int, before: Step | None) -> Generator[Step | None, None, None]:
    """A film's trajectory from one of its steps on."""
    asked, device = film.asked, denoiser.model.device
    x = film.x_at(start).to(device)
    noise, given = Noise(asked.seed, tuple(x.shape), device), denoiser.given(asked.condition, len(x))
    rows = denoiser.at_once()
    return sample(denoiser.module, x, asked.sampling, film.times, noise, given, start, film.keep, before, rows)


# -- frames ------------------------------------------------------------------------------------------------------------


def about(denoiser: Denoiser, film: Film, asked: PlayDenoising) -> dict[str, Any]:
    """Data of the Frame "film"; see `core.requests.PlayDenoising`."""
    return {
        "times": film.times.numpy().copy(),
        "log_snr": np.array(denoiser.log_snrs(film.times.tolist())),
        "count": film.asked.count,
        "bytes": _bytes(denoiser, film, asked),
        "evaluations": film.evaluations,
        "seconds": film.seconds,
        "done": False,
        "from": film.first,
        "warnings": list(film.warnings),
        "judged": list(film.judged),
        "names": ", ".join(denoiser.condition_in_words(film.asked.condition)),
    }


def _bytes(denoiser: Denoiser, film: Film, asked: PlayDenoising) -> int:
    """What the whole film takes when it is done: pictures of the steps that are sent, and every x."""
    numbers = math.prod(denoiser.shape) * film.asked.count
    guided = asked.sampling.guidance not in (0.0, 1.0) and bool(asked.condition)
    own = film.last - film.first + 1
    sent = sum(_sent(film, asked, index) for index in range(film.first, film.last + 1))
    each = (1 if denoiser.pictures else 4) * numbers * (4 if guided else 3)
    return sent * each + own * numbers * film.xs[0].element_size()


def _before_all(denoiser: Denoiser, film: Film) -> dict[str, Any]:
    """The first x before the model was asked: the earliest picture; the estimates are still the middle of the data."""
    x = film.xs[0]
    blank = Step(film.first, float(film.times[film.first]), x, torch.zeros_like(x), torch.zeros_like(x), None, 0)
    return {**_shown(denoiser, blank, None), "partial": True}


def _shot(denoiser: Denoiser, film: Film, step: Step) -> dict[str, Any]:
    """The Frame of a step, kept with the film."""
    known = film.steps.get(step.index)
    if known is None:
        known = film.steps[step.index] = _shown(denoiser, step, film.clean)
    film.clean = step.clean
    return known


def _shown(denoiser: Denoiser, step: Step, earlier: Tensor | None) -> dict[str, Any]:
    """A step as a Frame carries it."""
    change = torch.full_like(step.clean, torch.nan)
    if earlier is not None:
        change = step.clean - earlier
    elif step.index == 0:
        change = torch.zeros_like(step.clean)
    empty = denoiser.shown(step.x[:0])
    return {
        "index": step.index,
        "time": step.time,
        "log_snr": denoiser.log_snrs([step.time])[0],
        "x": denoiser.shown_noisy(step.x, step.time),
        "clean": denoiser.shown(step.clean),
        "noise": denoiser.shown_noise(step.noise),
        "difference": empty if step.difference is None else denoiser.shown_size(step.difference),
        "norms": {
            "x": _size(step.x),
            "clean": _size(step.clean),
            "noise": _size(step.noise),
            "difference": np.zeros(0, np.float32) if step.difference is None else _size(step.difference),
            "change": _size(change),
        },
    }


def _size(x: Tensor) -> Any:
    """Root mean square of each example, float32 [N]."""
    return x.flatten(1).square().mean(1).sqrt().float().cpu().numpy().copy()


def _finished(denoiser: Denoiser, film: Film) -> Iterator[Update]:
    """What is said of the results, once."""
    if film.judged or not film.done:
        return
    x, seen = film.xs[-1].to(denoiser.model.device), []
    film.warn(about_results(denoiser, x))
    for some in torch.split(x, denoiser.model.slice):
        seen += judged(denoiser, some)
        yield Progress(len(seen), len(x), "Judging the results")
    film.judged = seen


# -- for other answers -------------------------------------------------------------------------------------------------


def results_of(bench: Workbench, denoiser: Denoiser, asked: PlayDenoising) -> Generator[Progress, None, Tensor]:
    """The results of a film, [N, *S] of the model's space on its device; from the shelf where they are there."""
    film = yield from opened(bench, denoiser, asked)
    for update in followed(bench, denoiser, film):
        if isinstance(update, Progress):
            yield update
        elif update.topic != "film":  # type: ignore[union-attr]
            yield Progress(film.reached - film.first, film.last - film.first, "Denoising")
    return film.xs[-1].to(denoiser.model.device)
