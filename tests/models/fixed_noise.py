"""Noise and data that are the same on every machine and in every version of torch, for figures that are kept."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgm_studio.models.capabilities import Noising
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture
from dgm_studio.models.noising import TableNoising
from dgm_studio.models.sampling import Noise
from dgm_studio.models.schedules import alpha_bar

RING_STD = 0.14


class FixedNoise(Noise):
    """Numbers of about unit variance from a formula instead of a generator."""

    def _draw(self, *key: int) -> Tensor:
        count = math.prod(self.shape)
        where = torch.arange(1, count + 1, dtype=torch.float64) * math.sqrt(2.0)
        phase = sum((k + 1) * math.sqrt(p) for k, p in zip((self.seed, *key), (3, 5, 7, 11), strict=True))
        first, second = torch.frac(where + phase), torch.frac(where * math.sqrt(3.0) + 2.0 * phase)
        return ((-2.0 * (1.0 - first).log()).sqrt() * (2.0 * math.pi * second).cos()).reshape(self.shape)


def ring(path: Noising) -> ExactDenoiser:
    """Eight Gaussians on a circle."""
    angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4.0)
    centres = math.sqrt(2.0) * torch.stack([angles.cos(), angles.sin()], 1)
    return ExactDenoiser(path, GaussianMixture(centres, torch.tensor(RING_STD, dtype=torch.float64)))


def gaussian(path: Noising, std: float = 0.5) -> ExactDenoiser:
    """N(0, std^2) in the plane."""
    centre = torch.zeros(1, 2, dtype=torch.float64)
    return ExactDenoiser(path, GaussianMixture(centre, torch.tensor(std, dtype=torch.float64)))


def table(schedule: str) -> TableNoising:
    """A discrete path of 1,000 levels."""
    return TableNoising(alpha_bar(schedule, 1000))
