"""Samplers against one another from the same noise, and against the exact way."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.cards import as_json
from dgm_studio.core.requests import MeasureOrders, RaceSamplers, Sampling
from dgm_studio.core.requests.denoising import SAMPLERS
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_truth import truth_of
from dgm_studio.explore.denoising_values import MOST_STEPS, Denoiser, denoiser_of, judged
from dgm_studio.explore.loaded import as_bytes, as_floats
from dgm_studio.models.capabilities import Denoises, Views
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture
from dgm_studio.models.sampling import Noise, Step, sample, start_of, times_of

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_LANES, MOST_RACERS = 16, 256
TWICE = ("heun", "heun-flow")  # ask twice a step, but once at the last
PACE_ROUNDS = 3
REFERENCE = Sampling("heun", 120, "karras")
REFERENCE_NAME = "the same ODE in 120 steps of Heun"
GAUSSIAN_STD = 0.5
FINER = 4  # times the most steps: of the reference that orders are measured against
EXACT_STEPS = 1000  # where a step costs nothing
ORDER_SPACING = "log-snr"  # all levels end with the same last step to the data, whose error is then no sampler's
ROUND_OFF = 1e-7  # errors below it say nothing of the order


@dataclass(frozen=True)
class Course:
    """What a trajectory is followed under.

    Args:
        model: The model, or the exact denoiser of its data.
        noise: All of it.
        given: Conditions.
        rows: Examples between two yields.
    """

    model: Denoises
    noise: Noise
    given: Views | None
    rows: int

    def follow(self, sampling: Sampling) -> Generator[Step | None, None, None]:
        """A trajectory from the noise to the data."""
        path = self.model.noising()
        times = times_of(path, sampling)
        x = start_of(path, times, self.noise.start())
        return sample(self.model, x, sampling, times, self.noise, self.given, rows=self.rows)

    def end(self, sampling: Sampling, text: str) -> Generator[Progress, None, Step]:
        """The last step of a trajectory."""
        found: Step | None = None
        for step in self.follow(sampling):
            found = step or found
            yield Progress(0 if found is None else found.index, sampling.steps, text)
        if found is None:
            raise Problem("The trajectory has no steps.", "Ask for at least one.")
        return found


class Lane:
    """One sampler on its way.

    Args:
        sampling: With its steps.
        course: What it runs on.
        exact: Whether that is the exact denoiser.
    """

    def __init__(self, sampling: Sampling, course: Course, exact: bool) -> None:
        self.sampling, self.exact = sampling, exact
        self.name = name_of(sampling) + (" exact" if exact else "")
        self.seconds = 0.0
        self.step: Step | None = None
        self.done = False
        self.judged: list[str] = []
        self._steps = course.follow(sampling)

    @property
    def evaluations(self) -> int:
        """So far."""
        return 0 if self.step is None else self.step.evaluations

    def advance(self) -> bool:
        """Work up to the next yield; whether there is something new to show."""
        started = time.perf_counter()
        try:
            step = next(self._steps)
        except StopIteration:
            self.done = True
            return False
        finally:
            self.seconds += time.perf_counter() - started
        self.step = step or self.step
        return step is not None

    def result(self) -> Tensor:
        """The newest clean estimate, which is x at the end.

        Raises:
            RuntimeError: No step was made.
        """
        if self.step is None:
            raise RuntimeError(f"{self.name} has made no step")
        return self.step.clean

    def close(self) -> None:
        """Let the trajectory go."""
        self._steps.close()


def name_of(sampling: Sampling) -> str:
    """A sampler with what is unusual about it."""
    more = [f"{word} {value:g}" for word, value in (("eta", sampling.eta), ("churn", sampling.churn)) if value]
    return ", ".join([SAMPLERS.get(sampling.sampler, sampling.sampler), *more])


def draws_noise(sampling: Sampling) -> bool:
    """Whether noise is added on the way: then there is no single end to be compared with."""
    return sampling.sampler == "ddpm" or sampling.eta > 0.0 or sampling.churn > 0.0


def steps_for(sampling: Sampling, evaluations: int, guided: bool) -> int:
    """Steps of a sampler that make at most so many network evaluations, at least one step."""
    asks = evaluations // (2 if guided else 1)
    return max(1, (asks + 1) // 2 if sampling.sampler in TWICE else asks)


# -- the race ----------------------------------------------------------------------------------------------------------


@answers(RaceSamplers)
def race_samplers(bench: Workbench, asked: RaceSamplers) -> Iterator[Update]:
    """All lanes side by side, the one that has asked least first; then the reference, then the distances."""
    denoiser = denoiser_of(bench, asked.model)
    if not 1 <= len(asked.samplings) <= MOST_LANES or not 1 <= asked.count <= MOST_RACERS:
        raise Problem("A race has 1 to 16 samplers and 1 to 256 samples.", "Choose fewer.")
    course = course_of(denoiser, asked.seed, asked.count, asked.condition)
    courses = [course]
    if asked.with_exact:
        courses.append((yield from _exact_course(bench, denoiser, course)))
    guided = course.given is not None
    settled = []
    for sampling in asked.samplings:
        steps = yield from _steps(denoiser, course, asked, sampling, guided and sampling.guidance not in (0.0, 1.0))
        settled.append(replace(sampling, steps=steps))
    lanes = [Lane(sampling, one, one is not course) for one in courses for sampling in settled]
    try:
        yield from _run(denoiser, lanes, asked)
    finally:
        for lane in lanes:
            lane.close()
    ends = []
    for one in courses:
        like = replace(REFERENCE, guidance=settled[0].guidance, clip=settled[0].clip if one is course else "none")
        ends.append((yield from one.end(like, "Following the ODE very finely")).x)
    for done, lane in enumerate(lanes):
        lane.judged = judged(denoiser, lane.result())
        yield Progress(done, len(lanes), "Judging the results")
    yield Frame("race", _race(denoiser, lanes, asked, ends))


def course_of(denoiser: Denoiser, seed: int, count: int, condition: dict[str, Any]) -> Course:
    """A model's own course."""
    noise = Noise(seed, (count, *denoiser.shape), denoiser.model.device)
    return Course(denoiser.module, noise, denoiser.given(condition, count), denoiser.at_once())


def _exact_course(bench: Workbench, denoiser: Denoiser, course: Course) -> Generator[Progress, None, Course]:
    truth = yield from truth_of(bench, denoiser)
    if truth is None:
        raise Problem("The exact denoiser of these data is not known.", "Race without it.")
    return replace(course, model=truth.denoiser(denoiser.path), given=None, rows=truth.rows)


def _steps(
    denoiser: Denoiser, course: Course, asked: RaceSamplers, sampling: Sampling, guided: bool
) -> Generator[Progress, None, int]:
    """How many steps a lane has."""
    evaluations = asked.evaluations
    if asked.seconds > 0.0:
        pace = yield from _pace(course, sampling)
        evaluations = max(1, int(asked.seconds / pace))
    steps = steps_for(sampling, evaluations, guided) if evaluations > 0 else sampling.steps
    most = round(denoiser.path.noisiest) + 1 if denoiser.path.kind == "discrete" else MOST_STEPS
    return min(steps, most, MOST_STEPS)


def _pace(course: Course, sampling: Sampling) -> Generator[Progress, None, float]:
    """Seconds of one network evaluation of all samples."""
    spent, evaluations = 0.0, 1
    steps = course.follow(replace(sampling, steps=PACE_ROUNDS))
    while True:
        started = time.perf_counter()
        try:
            step = next(steps)
        except StopIteration:
            return max(spent, 1e-6) / max(1, evaluations)
        spent += time.perf_counter() - started
        evaluations = step.evaluations if step is not None else evaluations
        yield Progress(0, 0, "Measuring the pace")


def _run(denoiser: Denoiser, lanes: Sequence[Lane], asked: RaceSamplers) -> Iterator[Update]:
    total = sum(lane.sampling.steps for lane in lanes)
    while running := [lane for lane in lanes if not lane.done]:
        lane = min(running, key=lambda each: each.evaluations)
        fresh = lane.advance()
        while not fresh and not lane.done:
            yield Progress(_steps_made(lanes), total, "Racing")
            fresh = lane.advance()
        yield Frame("race", _race(denoiser, lanes, asked))


def _steps_made(lanes: Sequence[Lane]) -> int:
    return sum(0 if lane.step is None else lane.step.index for lane in lanes)


def _race(
    denoiser: Denoiser, lanes: Sequence[Lane], asked: RaceSamplers, ends: Sequence[Tensor] = ()
) -> dict[str, Any]:
    """Data of the Frame "race".

    Args:
        denoiser: Of the model.
        lanes: So far.
        asked: The question.
        ends: Of the model's own ODE and of the exact one; empty while they are not known.
    """
    word = f"{asked.evaluations} evaluations each" if asked.evaluations > 0 else "its own steps each"
    named = "pictures" if denoiser.pictures else "points"
    reference = denoiser.shown(ends[0] if ends else lanes[0].step.x[:0] if lanes[0].step else _nothing(denoiser))
    return {
        "lanes": [_lane(denoiser, lane, ends[-1 if lane.exact else 0] if ends else None) for lane in lanes],
        "reference": {"name": REFERENCE_NAME, named: reference},
        "equal": f"{asked.seconds:g} s each" if asked.seconds > 0.0 else word,
    }


def _nothing(denoiser: Denoiser) -> Tensor:
    return torch.zeros(0, *denoiser.shape)


def _lane(denoiser: Denoiser, lane: Lane, end: Tensor | None) -> dict[str, Any]:
    x = _nothing(denoiser) if lane.step is None else lane.step.clean
    apart = None if end is None else denoiser.out(x) - denoiser.out(end)
    single = apart is not None and not draws_noise(lane.sampling)
    return {
        "sampling": as_json(lane.sampling),
        "name": lane.name,
        "evaluations": lane.evaluations,
        "seconds": lane.seconds,
        "pictures" if denoiser.pictures else "points": denoiser.shown(x),
        "difference": _apart(denoiser, apart if apart is not None else _nothing(denoiser)),
        "error": _distance(apart) if single and apart is not None else math.nan,
        "judged": list(lane.judged),
        "done": lane.done and end is not None,
    }


def _apart(denoiser: Denoiser, apart: Tensor) -> Any:
    """How far each pixel (each point) is from the reference."""
    if denoiser.pictures:
        return as_bytes(apart.square().mean(1, keepdim=True).sqrt())
    return as_floats(apart.square().mean(1).sqrt())


def _distance(apart: Tensor) -> float:
    """Root mean square of each example's numbers, mean over examples."""
    return float(apart.double().flatten(1).square().mean(1).sqrt().mean())


# -- orders ------------------------------------------------------------------------------------------------------------


@answers(MeasureOrders)
def measure_orders(bench: Workbench, asked: MeasureOrders) -> Iterator[Update]:
    """The curves, point by point, the samplers in turns from few steps to many."""
    denoiser = denoiser_of(bench, asked.model)
    if not asked.samplers or len(asked.steps) < 2 or min(asked.steps) < 1 or max(asked.steps) > MOST_STEPS:
        raise Problem("An order is measured over several numbers of steps.", f"Give two or more, up to {MOST_STEPS:,}.")
    if not 1 <= asked.count <= MOST_RACERS:
        raise Problem(f"{asked.count} samples cannot be followed.", f"Ask for 1 to {MOST_RACERS}.")
    if any(draws_noise(Sampling(sampler)) for sampler in asked.samplers):
        raise Problem("A sampler that draws noise on its way has no order.", "Leave DDPM out.")
    known = yield from truth_of(bench, denoiser)
    course = course_of(denoiser, asked.seed, asked.count, asked.condition)
    exact = None if known is None else replace(course, model=known.denoiser(denoiser.path), given=None, rows=known.rows)
    driven, truth = _driven(denoiser, asked, course, exact, "" if known is None else known.name)
    finest = FINER * max(asked.steps) if driven is course else EXACT_STEPS
    reference = replace(REFERENCE, steps=finest)
    if driven is not course:
        reference = replace(reference, clip="none")
    end = (yield from driven.end(reference, "Following the ODE very finely")).x
    gap = math.nan
    if exact is not None and asked.truth != "gaussian":
        other = exact if driven is course else course
        there = (yield from other.end(replace(reference, clip="model"), "Following the other score")).x
        gap = _distance(there - end)
    curves = [_curve(sampler, asked.truth != "model") for sampler in asked.samplers]
    data = {"curves": curves, "reference": f"the same ODE in {finest} steps of Heun", "truth": truth, "gap": gap}
    for steps in sorted(asked.steps):
        for curve in curves:
            plan = Sampling(curve["sampler"], steps, ORDER_SPACING)
            if driven is not course:
                plan = replace(plan, clip="none")
            last = yield from driven.end(plan, f"{curve['name']}, {steps} steps")
            _extend(curve, steps, last.evaluations, _distance(last.x - end))
            yield Frame("orders", {**data, "curves": [_copied(one) for one in curves]})


def _driven(
    denoiser: Denoiser, asked: MeasureOrders, course: Course, exact: Course | None, name: str
) -> tuple[Course, str]:
    """The score that drives the ODE, and the name of its distribution.

    Raises:
        Problem: It is not known.
    """
    if asked.truth == "model":
        return course, ""
    if asked.truth == "exact":
        if exact is None:
            raise Problem("The exact denoiser of these data is not known.", "Take the model's own, or the Gaussian.")
        return exact, name
    if asked.truth != "gaussian":
        raise Problem(f"There is no score called {asked.truth}.", "Choose model, exact or gaussian.")
    mixture = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), torch.tensor(GAUSSIAN_STD, dtype=torch.float64))
    noise = Noise(asked.seed, (asked.count, 2))
    return Course(ExactDenoiser(denoiser.path, mixture), noise, None, 0), "N(0, 1/4)"


def _curve(sampler: str, exact: bool) -> dict[str, Any]:
    name = SAMPLERS.get(sampler, sampler)
    return {"sampler": sampler, "name": name, "exact": exact, "evaluations": [], "error": [], "steps": []}


def _extend(curve: dict[str, Any], steps: int, evaluations: int, error: float) -> None:
    for name, value in (("steps", steps), ("evaluations", evaluations), ("error", error)):
        curve[name].append(value)


def _copied(curve: dict[str, Any]) -> dict[str, Any]:
    """A curve as a Frame carries it."""
    steps, error = np.array(curve["steps"], np.int64), np.array(curve["error"], np.float64)
    arrays = {"steps": steps, "evaluations": np.array(curve["evaluations"], np.int64), "error": error}
    return {**curve, **arrays, "slope": slope_of(steps, error)}


def slope_of(steps: Any, error: Any) -> float:
    """The order: minus the slope of log error over log steps, over the finer half of the points and above round-off.

    With few steps errors of either sign can cancel, and say nothing of the order.
    """
    used = np.isfinite(error) & (error > ROUND_OFF)
    used[: len(steps) // 2] = False
    if used.sum() < 2:
        return math.nan
    return -float(np.polyfit(np.log(steps[used]), np.log(error[used]), 1)[0])
