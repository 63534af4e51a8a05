"""Many points in the plane on their way from noise to data, under the learnt score and under the exact one."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgm_studio.core.requests import FlowParticles
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_truth import Truth, truth_of
from dgm_studio.explore.denoising_values import Denoiser, denoiser_of
from dgm_studio.explore.loaded import as_floats
from dgm_studio.models.capabilities import Denoises
from dgm_studio.models.exact_denoiser import ExactDenoiser
from dgm_studio.models.sampling import Noise, Step, sample, start_of, times_of
from dgm_studio.training.frechet import energy_distance

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

Floats = npt.NDArray[np.float32]

MOST_PARTICLES, MOST_STEPS_HERE = 200_000, 500
LARGEST_GRID, MOST_ARROWS = 256, 64
LEARNT_AT_ONCE = 2048  # points in one call of the network
MARGIN = 1.25  # of the square around the data
HELD_OUT = 2000
MOST_KEPT = 400_000  # points of the exact cloud at all steps together: more than that is not kept
COMPARED = 1500  # points of either cloud in an energy distance: their pairs are counted between two yields


@dataclass(frozen=True)
class Square:
    """Where densities and arrows are asked for.

    Args:
        reach: Half its side.
    """

    reach: float

    def points(self, side: int) -> Tensor:
        """Middles of a grid's cells, [side^2, 2] float64; the first row has the largest y."""
        middles = (torch.arange(side, dtype=torch.float64) + 0.5) * (2.0 * self.reach / side) - self.reach
        y, x = torch.meshgrid(middles.flip(0), middles, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], 1)

    def density(self, points: Floats, side: int) -> Floats:
        """Of a cloud [N, 2], counted in cells: [side, side]."""
        edges = np.linspace(-self.reach, self.reach, side + 1)
        counts, _, _ = np.histogram2d(-points[:, 1], points[:, 0], bins=(edges, edges))
        area = (2.0 * self.reach / side) ** 2
        return np.asarray(counts / (max(1, len(points)) * area), np.float32)


@answers(FlowParticles)
def flow_particles(bench: Workbench, asked: FlowParticles) -> Iterator[Update]:
    """Every step of both clouds as soon as it is there; at the end, how good the learnt one is."""
    denoiser = denoiser_of(bench, asked.model)
    _check(denoiser, asked)
    truth = yield from truth_of(bench, denoiser)
    part = (yield from bench.dataset(denoiser.model.card.data)).seen().split("test")
    held_out = part.batch(torch.arange(min(HELD_OUT, len(part))))
    square = Square(MARGIN * float(held_out.abs().max()))
    flow = Flow(denoiser, truth, asked, square)
    about = flow.about(held_out)
    if truth is not None:
        about["density"] = yield from flow.density(float(flow.times[-1]))
    yield Frame("flow", about)
    yield from flow.steps()
    scores = yield from flow.scores(held_out)
    yield Frame("flow", {**about, **scores, "done": True})


def _check(denoiser: Denoiser, asked: FlowParticles) -> None:
    if denoiser.pictures:
        raise Problem("Particles flow in the plane, and this model makes pictures.", "Play a film of it instead.")
    if not 1 <= asked.count <= MOST_PARTICLES:
        raise Problem(f"{asked.count:,} particles cannot be followed.", f"Ask for 1 to {MOST_PARTICLES:,}.")
    if not 1 <= asked.sampling.steps <= MOST_STEPS_HERE:
        raise Problem(f"A flow of {asked.sampling.steps} steps cannot be shown.", f"Ask for 1 to {MOST_STEPS_HERE}.")
    if not (2 <= asked.grid <= LARGEST_GRID and 2 <= asked.arrows <= MOST_ARROWS):
        raise Problem("The grids of the plane are too fine.", f"Up to {LARGEST_GRID} cells and {MOST_ARROWS} arrows.")


class Flow:
    """Both clouds of one question.

    Args:
        denoiser: The model.
        truth: Of its data; None where it is not known.
        asked: The question.
        square: Where densities and arrows are asked for.
    """

    def __init__(self, denoiser: Denoiser, truth: Truth | None, asked: FlowParticles, square: Square) -> None:
        self.denoiser, self.truth, self.asked, self.square = denoiser, truth, asked, square
        self.times = times_of(denoiser.path, asked.sampling)
        self.exact: ExactDenoiser | None = None if truth is None else truth.denoiser(denoiser.path)
        self.learnt_end = torch.zeros(0, 2)
        self.exact_end = torch.zeros(0, 2)

    def about(self, held_out: Tensor) -> dict[str, Any]:
        """Data of the Frame "flow" before anything is known of the results."""
        data = as_floats(held_out)
        unknown = ("within", "within_exact", "energy", "energy_exact", "energy_data")
        return {
            "times": self.times.numpy().copy(),
            "log_snr": np.array(self.denoiser.log_snrs(self.times.tolist())),
            "truth": "" if self.truth is None else self.truth.name,
            "reach": self.square.reach,
            "exact": self.truth is not None,
            "data": data,
            "density": self.square.density(data, self.asked.grid),
            **dict.fromkeys(unknown, math.nan),
            "done": False,
        }

    def steps(self) -> Iterator[Update]:
        """Both clouds, one step after the other."""
        learnt = self._course(self.denoiser.module, LEARNT_AT_ONCE)
        exact = None if self.truth is None else self._exact_course(self.truth)
        try:
            for _ in range(len(self.times)):
                step = yield from _until_step(learnt, len(self.times))
                other = None if exact is None else (yield from _until_step(exact, len(self.times)))
                yield Progress(step.index, len(self.times), "Laying out the field")
                field = self._field(self.denoiser.module, step.time)
                density = None if self.truth is None else (yield from self.density(step.time))
                yield Progress(step.index, len(self.times), "Laying out the field")
                yield Frame(f"particles/{step.index}", self._shown(step, other, field, density))
                self.learnt_end, self.exact_end = step.x, self.exact_end if other is None else other.x
        finally:
            learnt.close()
            if exact is not None:
                exact.close()

    def scores(self, held_out: Tensor) -> Generator[Progress, None, dict[str, float]]:
        """How good the results are."""
        some = held_out[:COMPARED]
        half = len(some) // 2
        found = {"energy_data": energy_distance(some[:half], some[half : 2 * half]) if half > 1 else math.nan}
        for name, x in (("", self.learnt_end), ("_exact", self.exact_end)):
            yield Progress(len(self.times), len(self.times), "Comparing with held-out points")
            x = x[torch.isfinite(x).all(1)]
            known = len(x) > 1
            found[f"energy{name}"] = energy_distance(x[:COMPARED], some) if known else math.nan
            found[f"within{name}"] = self.truth.within(x) if known and self.truth is not None else math.nan
        return found

    def _course(self, model: Denoises, rows: int) -> Generator[Step | None, None, None]:
        noise = Noise(self.asked.seed, (self.asked.count, 2), self.denoiser.model.device)
        x = start_of(self.denoiser.path, self.times, noise.start())
        return sample(model, x, self.asked.sampling, self.times, noise, rows=rows)

    def _exact_course(self, truth: Truth) -> Generator[Step | None, None, None]:
        """The exact cloud, which no training changes: the last one that was whole is kept while a model learns."""
        assert self.exact is not None
        lasting, name = self.denoiser.model.lasting, (self.asked.sampling, self.asked.count, self.asked.seed)
        kept_name, kept = lasting.get("exact course", (None, []))
        if kept_name == name:
            yield from kept
            return
        steps = []
        for step in self._course(self.exact, truth.rows):
            if step is not None:
                steps.append(step)
            if len(steps) == len(self.times) and len(steps) * self.asked.count <= MOST_KEPT:
                lasting["exact course"] = (name, steps)
            yield step

    def _shown(self, step: Step, exact: Step | None, field: Floats, density: Floats | None) -> dict[str, Any]:
        learnt = self.denoiser.shown_noisy(step.x, step.time)
        nothing = np.zeros((0, 2), np.float32)
        side = self.asked.grid
        return {
            "index": step.index,
            "time": step.time,
            "log_snr": self.denoiser.log_snrs([step.time])[0],
            "learnt": learnt,
            "exact": nothing if exact is None else self.denoiser.shown_noisy(exact.x, exact.time),
            "density": self.square.density(learnt, side) if density is None else density,
            "field": field,
            "field_exact": nothing if self.exact is None else self._field(self.exact, step.time),
        }

    def density(self, time: float) -> Generator[Progress, None, Floats]:
        """The exact density at a level on the grid, in the coordinates that are shown; worked out once.

        Raises:
            RuntimeError: It is not known.
        """
        if self.exact is None or self.truth is None:
            raise RuntimeError("the density of these data is not known")
        path, side, model = self.denoiser.path, self.asked.grid, self.denoiser.model
        time = max(time, path.cleanest)  # at the data themselves nothing can be asked
        name = ("exact density", side, self.square.reach, time)
        if name not in model.lasting:
            alpha, sigma = self.denoiser.level(time)
            scale, at = math.hypot(alpha, sigma), torch.tensor(time, dtype=torch.float64)
            parts = []
            for points in torch.split(self.square.points(side) * scale, self.truth.rows):
                parts.append(self.exact.log_prob(points, at) + 2.0 * math.log(scale))
                yield Progress(0, len(self.times), "Working the density out")
            model.lasting[name] = as_floats(torch.cat(parts).exp().reshape(side, side))
        found: Floats = model.lasting[name]
        return found

    def _field(self, model: Any, time: float) -> Floats:
        """du / d(log-SNR / 2) of u = x_t / sqrt(alpha^2 + sigma^2) along the probability-flow ODE, on the arrows' grid.

        With u = cos(phi) x_0 + sin(phi) eps and half-log-SNR log cot(phi) that is
        sin(phi) cos(phi) (sin(phi) x_0 - cos(phi) eps).
        """
        time = max(time, self.denoiser.path.cleanest)
        alpha, sigma = self.denoiser.level(time)
        scale = math.hypot(alpha, sigma)
        cos, sin = alpha / scale, sigma / scale
        points = self.square.points(self.asked.arrows).to(self.denoiser.model.device) * scale
        found = model.estimate(points, torch.tensor(time, dtype=torch.float64))
        moved = sin * cos * (sin * found.clean - cos * found.noise)
        return as_floats(moved.reshape(self.asked.arrows, self.asked.arrows, 2))


def _until_step(steps: Iterator[Step | None], total: int) -> Generator[Progress, None, Step]:
    while (step := next(steps)) is None:
        yield Progress(0, total, "Moving the particles")
    return step
