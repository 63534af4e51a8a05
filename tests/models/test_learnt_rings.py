"""What is learnt, by what is made: samples of briefly trained models beside those of the exact denoiser.

A network that cannot tell noise levels apart has about the same loss and makes samples of which 15 % are near a mode.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.data import toys
from dgm_studio.models import registry, sampling
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture
from dgm_studio.models.sampler_levels import sampling_for, times_of

STEPS, BATCH, SAMPLES = 300, 256, 1000
RING = toys.mixture("eight-gaussians")


def trained(system: str) -> Any:
    """A few seconds of training on fresh draws."""
    model = registry.build(system, {"hidden": 64}, (Modality("points", "points", (2,)),))
    optimiser = torch.optim.Adam(model.parameters(), 1.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 8e-3 * min(1.0, (step + 1) / 40) * (1.0 - step / STEPS)
        modes = torch.randint(8, (BATCH,), generator=generator)
        x = (RING.centres[modes] + RING.std * torch.randn(BATCH, 2, generator=generator)).float()
        optimiser.zero_grad()
        model.loss(x, generator)["loss"].mean().backward()
        optimiser.step()
    return model.eval()


@torch.no_grad()
def drawn(model: Any, how: Sampling) -> Tensor:
    times, noise = times_of(model.noising(), how), sampling.Noise(0, (SAMPLES, 2))
    x = sampling.start_of(model.noising(), times, noise.start())
    last = None
    for step in sampling.sample(model, x, how, times, noise):
        last = step or last
    assert last is not None
    return last.x


@pytest.mark.parametrize("system", ["ddpm", "edm", "flow-matching"])
def test_samples_lie_at_the_modes_and_at_all_of_them_alike(system: str) -> None:
    model = trained(system)
    how = sampling_for(model.noising())
    exact = ExactDenoiser(model.noising(), GaussianMixture(RING.centres, RING.std))
    shares = []
    for found in (drawn(model, how), drawn(exact, how)):
        shares.append(float(RING.within(found, 3.0).double().mean()))
        counts = torch.cdist(found.double(), RING.centres).argmin(1).bincount(minlength=8) / SAMPLES
        assert counts.min() > 0.07 and counts.max() < 0.18
    assert shares[1] > 0.97 and shares[0] > 0.85 * shares[1], shares
