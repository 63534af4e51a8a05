"""Ends of trajectories that diffusers 0.42.1 made with tables in float64, met without diffusers.

They were written by packaging/peers/diffusers_samplers.py, which also holds the single steps to 1e-10.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.models.capabilities import Estimate, Noising, Views
from dgm_studio.models.exact_denoiser import ExactDenoiser
from dgm_studio.models.noising import FlowNoising, VarianceExploding
from dgm_studio.models.sampling import sample, start_of, times_of
from tests.models.fixed_noise import FixedNoise, ring, table

CASES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("golden_samplers.json").read_text())["cases"]


class Shown:
    """The exact denoiser of a ring with a range and a learnt variance that it does not have by itself."""

    def __init__(self, model: ExactDenoiser, case: dict[str, Any]) -> None:
        self.model, self.case = model, case

    def noising(self) -> Noising:
        return self.model.noising()

    def support(self) -> tuple[float, float] | None:
        return None if self.case["support"] is None else tuple(self.case["support"])

    def conditions(self) -> tuple[()]:
        return ()

    def estimate(self, x: torch.Tensor, t: torch.Tensor, given: Views | None = None) -> Estimate:
        found = self.model.estimate(x, t)
        fraction = None if self.case["fraction"] is None else torch.full_like(x, self.case["fraction"])
        return Estimate(found.clean, found.noise, fraction)


def _path(name: str) -> Noising:
    continuous: dict[str, Noising] = {"variance-exploding": VarianceExploding(), "flow": FlowNoising()}
    return continuous[name] if name in continuous else table(name)


@pytest.mark.parametrize("name", CASES)
def test_a_trajectory_ends_where_that_of_diffusers_does(name: str) -> None:
    case = CASES[name]
    sampling = Sampling(**(case["sampling"] | {"levels": ()}))
    path, noise = _path(case["path"]), FixedNoise(2, (16, 2))
    times = times_of(path, sampling)
    steps = list(sample(Shown(ring(path), case), start_of(path, times, noise.start()), sampling, times, noise))
    assert steps[-1] is not None
    theirs = torch.tensor(case["x"], dtype=torch.float64)
    torch.testing.assert_close(steps[-1].x[: len(theirs)], theirs, atol=1e-8, rtol=0)
