"""Our samplers beside the schedulers of diffusers: single steps, whole trajectories, and the same with float32 tables.

diffusers builds its tables in float32 and casts to it on the way. Here its modules are shown a torch whose float32 is
float64, and its tables are overwritten with ours, so that what is compared are the equations. How far its own tables
lead it away is a figure of its own.

diffusers is no dependency of the project:

    python -m venv --system-site-packages peer && peer/bin/pip install "diffusers==0.42.1"
    PYTHONPATH=. peer/bin/python packaging/peers/diffusers_samplers.py --out packaging/peers/diffusers_samplers.json \
        --golden tests/models/golden_samplers.json
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.schedulers import (
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_dpmsolver_multistep,
    scheduling_edm_euler,
    scheduling_flow_match_euler_discrete,
)
from torch import Tensor

from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.models.capabilities import Denoises, Estimate, Noising, Views
from dgm_studio.models.noising import FlowNoising, TableNoising, VarianceExploding
from dgm_studio.models.sampling import Step, sample, start_of, times_of
from tests.models.fixed_noise import FixedNoise, ring, table

STEP_BAR, TRAJECTORY_BAR = 1e-10, 1e-8
SCHEDULES = ("scaled-linear", "linear", "cosine")
MODULES = (
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_dpmsolver_multistep,
    scheduling_edm_euler,
    scheduling_flow_match_euler_discrete,
)
Advance = Callable[[int, Tensor, Estimate, Tensor], Tensor]
"""(index of the step, x, what the model says of it, noise) -> the next x, by diffusers."""


class Doubled:
    """torch, but for one name."""

    def __getattr__(self, name: str) -> Any:
        return torch.float64 if name == "float32" else getattr(torch, name)


@contextmanager
def doubled(yes: bool) -> Iterator[None]:
    """Let diffusers compute in float64 throughout."""
    for module in MODULES:
        module.torch = Doubled() if yes else torch
    try:
        yield
    finally:
        for module in MODULES:
            module.torch = torch


@contextmanager
def drawn(noise: Tensor) -> Iterator[None]:
    """Let diffusers draw this noise."""
    kept = {module: module.randn_tensor for module in MODULES if hasattr(module, "randn_tensor")}
    for module in kept:
        module.randn_tensor = lambda *_, **__: noise
    try:
        yield
    finally:
        for module, function in kept.items():
            module.randn_tensor = function


@dataclass(frozen=True)
class Case:
    """One way of sampling on both sides.

    Args:
        name: For the table.
        path: Of the noise.
        sampling: Ours.
        theirs: From the times to a function that makes one step with diffusers; True keeps its own tables.
        support: Of the data, for clipping.
        fraction: Of a learnt variance.
    """

    name: str
    path: Noising
    sampling: Sampling
    theirs: Callable[[Tensor, bool], Advance]
    support: tuple[float, float] | None = None
    fraction: float | None = None


@dataclass(frozen=True)
class Told:
    """A model that says what it was told of the noise, whatever it is asked."""

    path: Noising
    noise: Tensor
    support_: tuple[float, float] | None
    fraction: float | None

    def noising(self) -> Noising:
        """The path."""
        return self.path

    def support(self) -> tuple[float, float] | None:
        """As told."""
        return self.support_

    def conditions(self) -> tuple[()]:
        """None."""
        return ()

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """As told."""
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        if float(alpha) == 0.0:  # a flow's beginning, where the noise is x itself: what is told is the clean estimate
            return Estimate(self.noise, x / sigma, None)
        fraction = None if self.fraction is None else torch.full_like(x, self.fraction)
        return Estimate((x - sigma * self.noise) / alpha, self.noise, fraction)


class Shown:
    """A model with a range and a learnt variance that it does not have by itself."""

    def __init__(self, model: Denoises, case: Case) -> None:
        self.model, self.case = model, case

    def noising(self) -> Noising:
        """The path."""
        return self.model.noising()

    def support(self) -> tuple[float, float] | None:
        """Of the case."""
        return self.case.support

    def conditions(self) -> tuple[()]:
        """None."""
        return ()

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        """The model's, with the fraction of the case."""
        found = self.model.estimate(x, t)
        fraction = None if self.case.fraction is None else torch.full_like(x, self.case.fraction)
        return Estimate(found.clean, found.noise, fraction)


def overwritten(scheduler: Any, path: TableNoising) -> Any:
    """With our table of alpha-bar, in float64."""
    alpha_bar = path.alpha_bar
    before = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
    scheduler.alphas_cumprod, scheduler.alphas = alpha_bar, alpha_bar / before
    scheduler.betas = 1.0 - scheduler.alphas
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


def of_ddpm(path: TableNoising, schedule: str, variance: str, **options: Any) -> Callable[[Tensor, bool], Advance]:
    """DDPMScheduler; its variances are called fixed_small, fixed_large and learned_range."""

    def build(times: Tensor, own: bool) -> Advance:
        scheduler = DDPMScheduler(**_betas(schedule), variance_type=variance, clip_sample=False, **options)
        if not own:
            overwritten(scheduler, path)
        scheduler.set_timesteps(timesteps=times[:-1].long().tolist())

        def advance(index: int, x: Tensor, found: Estimate, noise: Tensor) -> Tensor:
            said = found.noise if found.fraction is None else torch.cat([found.noise, 2.0 * found.fraction - 1.0], 1)
            with drawn(noise):
                step = scheduler.step(said, int(times[index]), x)
            return step.prev_sample

        return advance

    return build


def of_ddim(path: TableNoising, schedule: str, eta: float, **options: Any) -> Callable[[Tensor, bool], Advance]:
    """DDIMScheduler with trailing spacing, whose stride must divide T; it makes eps anew after clipping as we do."""

    def build(times: Tensor, own: bool) -> Advance:
        options.setdefault("clip_sample", False)
        scheduler = DDIMScheduler(**_betas(schedule), timestep_spacing="trailing", **options)
        if not own:
            overwritten(scheduler, path)
        scheduler.set_timesteps(len(times) - 1)
        assert scheduler.timesteps.tolist() == times[:-1].long().tolist()

        def advance(index: int, x: Tensor, found: Estimate, noise: Tensor) -> Tensor:
            said, x, noise = (v[..., None] for v in (found.noise, x, noise))  # its thresholding wants pictures
            step = scheduler.step(
                said, int(times[index]), x, eta=eta, use_clipped_model_output=True, variance_noise=noise
            )
            return step.prev_sample[..., 0]

        return advance

    return build


def of_dpmpp(path: TableNoising, schedule: str) -> Callable[[Tensor, bool], Advance]:
    """DPMSolverMultistepScheduler of order 2 by the midpoint rule, with our levels."""

    def build(times: Tensor, own: bool) -> Advance:
        scheduler = DPMSolverMultistepScheduler(**_betas(schedule), timestep_spacing="trailing")
        scheduler.set_timesteps(len(times) - 1)
        if not own:
            levels = times[:-1]
            ratio = torch.cat([(path.sigma(levels) / path.alpha(levels)), levels.new_zeros(1)])
            scheduler.sigmas = ratio
        scheduler._step_index = None

        def advance(index: int, x: Tensor, found: Estimate, noise: Tensor) -> Tensor:
            if scheduler._step_index is None:
                scheduler._step_index = index
            return scheduler.step(found.noise, scheduler.timesteps[index], x).prev_sample

        return advance

    return build


def of_edm(churn: float) -> Callable[[Tensor, bool], Advance]:
    """EDMEulerScheduler, given the clean estimate."""

    def build(times: Tensor, own: bool) -> Advance:
        scheduler = EDMEulerScheduler()
        scheduler.set_timesteps(len(times) - 1)
        if not own:
            scheduler.sigmas = times
        scheduler.is_scale_input_called = True

        def advance(index: int, x: Tensor, found: Estimate, noise: Tensor) -> Tensor:
            scheduler._step_index = index
            with drawn(noise):
                time = scheduler.timesteps[index]
                step = scheduler.step(x, time, x, s_churn=churn, pred_original_sample=found.clean)
            return step.prev_sample

        return advance

    return build


def of_flow(times: Tensor, own: bool) -> Advance:
    """FlowMatchEulerDiscreteScheduler."""
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=times[:-1].tolist())
    if not own:
        scheduler.sigmas = times

    def advance(index: int, x: Tensor, found: Estimate, noise: Tensor) -> Tensor:
        scheduler._step_index = index
        return scheduler.step(found.noise - found.clean, scheduler.timesteps[index], x).prev_sample

    return advance


def _betas(schedule: str) -> dict[str, Any]:
    return {
        "linear": {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"},
        "cosine": {"beta_schedule": "squaredcos_cap_v2"},
        "scaled-linear": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    }[schedule]


def cases() -> list[Case]:
    """Everything that is compared."""
    found: list[Case] = []
    clip = {"clip_sample": True, "clip_sample_range": 1.0}
    threshold = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1e9}
    for name in SCHEDULES:
        path = table(name)
        for ours, theirs in (("small", "fixed_small"), ("large", "fixed_large"), ("learnt", "learned_range")):
            fraction = 0.3 if ours == "learnt" else None
            # diffusers adds noise at a last step that does not begin at index 0; ours is compared where that cannot be
            for steps, spacing in ((1000, "time"), (37, "log-snr")):
                sampling = Sampling("ddpm", steps, spacing, variance=ours, clip="none")
                title = f"DDPM, {name}, {ours} variance, {steps} steps"
                found.append(Case(title, path, sampling, of_ddpm(path, name, theirs), fraction=fraction))
        for eta in (0.0, 0.6, 1.0):
            sampling = Sampling("ddim", 50, eta=eta, clip="none")
            found.append(Case(f"DDIM, {name}, eta {eta:g}, 50 steps", path, sampling, of_ddim(path, name, eta)))
        sampling = Sampling("ddim", 50, clip="static")
        title = f"DDIM, {name}, clipped, 50 steps"
        found.append(Case(title, path, sampling, of_ddim(path, name, 0.0, **clip), (-1.0, 1.0)))
        sampling = Sampling("ddim", 50, clip="dynamic", percentile=0.9)
        title = f"DDIM, {name}, dynamic thresholding, 50 steps"
        found.append(Case(title, path, sampling, of_ddim(path, name, 0.0, **threshold), (-1.0, 1.0)))
        for steps in (10, 20):
            sampling = Sampling("dpmpp-2m", steps, clip="none")
            found.append(Case(f"DPM-Solver++ 2M, {name}, {steps} steps", path, sampling, of_dpmpp(path, name)))
    for churn in (0.0, 4.0):
        sampling = Sampling("euler", 18, churn=churn, clip="none")
        found.append(Case(f"Euler (EDM), churn {churn:g}, 18 steps", VarianceExploding(), sampling, of_edm(churn)))
    sampling = Sampling("euler-flow", 20, clip="none")
    return [*found, Case("Euler (flow), 20 steps", FlowNoising(), sampling, of_flow)]


def one_steps(case: Case, own: bool = False) -> float:
    """Greatest difference of a step from standard normal x and eps, over the levels, in units of its size.

    Of DPM-Solver++ 2M two steps, since its first one is of first order.
    """
    times, noise = times_of(case.path, case.sampling), FixedNoise(1, (16, 2))
    start, told = noise.at(0, 7), noise.at(1, 7)
    span = 2 if case.sampling.sampler == "dpmpp-2m" else 1
    model, worst = Told(case.path, told, case.support, case.fraction), 0.0
    for index in range(0, len(times) - span, max(1, len(times) // 60)):
        if index == 0 and case.sampling.churn:
            continue  # we do not go beyond the noisiest level that the model knows
        steps = (s for s in sample(model, start, case.sampling, times, noise, first_index=index) if s is not None)
        ours = [step for _, step in zip(range(span + 1), steps, strict=False)][-1].x
        x = start
        with doubled(not own):
            advance = case.theirs(times, own)
            for at in range(index, index + span):
                x = advance(at, x, _asked(model, x, times, at, case.sampling.churn, noise), noise.at(at))
        worst = max(worst, float((ours - x).abs().max() / ours.abs().max().clamp(min=1.0)))
    return worst


def _asked(model: Denoises, x: Tensor, times: Tensor, index: int, churn: float, noise: FixedNoise) -> Estimate:
    """The model's answer where diffusers wants it: with churn, at the noisier level that its step begins at."""
    if not churn:
        return model.estimate(x, times[index])
    gamma = min(churn / (len(times) - 1), 2.0**0.5 - 1.0)
    lifted = times[index] * (1.0 + gamma)
    return model.estimate(x + (lifted**2 - times[index] ** 2).sqrt() * noise.at(index), lifted)


def trajectories(case: Case, own: bool = False) -> tuple[float, Tensor, Tensor]:
    """Greatest difference of the ends on the ring of eight Gaussians, and both ends [16, 2]."""
    times, noise = times_of(case.path, case.sampling), FixedNoise(2, (16, 2))
    model = Shown(ring(case.path), case)
    x = start = start_of(case.path, times, noise.start())
    steps = list(sample(model, start, case.sampling, times, noise))
    last = steps[-1]
    assert isinstance(last, Step)
    with doubled(not own):
        advance = case.theirs(times, own)
        for index in range(len(times) - 1):
            churn = case.sampling.churn if index else 0.0
            x = advance(index, x, _asked(model, x, times, index, churn, noise), noise.at(index))
    return float((last.x - x).abs().max()), last.x, x


def compared(case: Case) -> dict[str, Any]:
    """One row of the report."""
    row: dict[str, Any] = {"case": case.name, "one step": one_steps(case)}
    if case.sampling.churn == 0.0:  # theirs would begin beyond the noisiest level
        row["trajectory"] = trajectories(case)[0]
        row["trajectory with its own float32 tables"] = trajectories(case, own=True)[0]
    return row


def golden() -> dict[str, Any]:
    """Ends of diffusers' trajectories, to be met without diffusers."""
    kept = {}
    for case in cases():
        if case.sampling.churn == 0.0 and "scaled" not in case.name and case.sampling.steps <= 100:
            sampling = case.sampling.__dict__ | {"levels": list(case.sampling.levels)}
            theirs = trajectories(case)[2]
            schedule = next((name for name in SCHEDULES if name in case.name), case.path.kind)
            kept[case.name] = {
                "path": schedule,
                "sampling": sampling,
                "support": case.support,
                "fraction": case.fraction,
                "x": theirs[:4].tolist(),
            }
    return kept


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--golden", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in cases():
        rows.append(compared(case))
        print(rows[-1], flush=True)
    versions = {name: version(name) for name in ("diffusers", "torch", "numpy")}
    bars = {"one step": STEP_BAR, "trajectory": TRAJECTORY_BAR}
    report = {"versions": versions, "python": platform.python_version(), "bars": bars, "rows": rows}
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if chosen.golden is not None:
        note = f"Ends of trajectories made by diffusers {versions['diffusers']} in float64: {Path(__file__).name}"
        chosen.golden.write_text(json.dumps({"about": note, "cases": golden()}, indent=1) + "\n", "utf-8")
    missed = [row["case"] for row in rows if any(row.get(name, 0.0) > bar for name, bar in bars.items())]
    if missed:
        raise SystemExit(f"they differ by more than the bar: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
