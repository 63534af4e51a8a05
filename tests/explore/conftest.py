"""Tiny models whose answers are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Factor, Modality, ModelCard
from dgm_studio.core.updates import Frame, Result
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Posterior, capabilities_of

SHAPE = (1, 8, 8)


class Drawn:
    """A likelihood of which only the mean is asked."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean


class Linear(nn.Module):
    """decode(z) = 0.5 + W z on digits8, encode its pseudo-inverse, prior N(0, I)."""

    def __init__(self, latent: int = 2, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(0.05 * torch.randn(math.prod(SHAPE), latent, generator=generator))

    def decode(self, z: Tensor) -> Any:
        return Drawn(0.5 + (z @ self.weight.T).unflatten(1, SHAPE))

    def encode(self, x: Tensor) -> Posterior:
        mean = (x.flatten(1) - 0.5) @ torch.linalg.pinv(self.weight).T
        return Posterior(mean, torch.full_like(mean, 0.3))

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        return temperature * torch.randn(n, self.weight.shape[1], generator=generator)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

    def prior_std(self) -> Tensor:
        return torch.ones(self.weight.shape[1])


class Curved(Linear):
    """decode onto a sphere of radius 1 in the first three pixels; z = (longitude, latitude)."""

    def decode(self, z: Tensor) -> Any:
        lon, lat = z.unbind(1)
        on = torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], 1)
        return Drawn(torch.cat([on, on.new_zeros(len(z), math.prod(SHAPE) - 3)], 1).unflatten(1, SHAPE))


def card_of(module: nn.Module, key: str, latent: int) -> ModelCard:
    digit = Factor("digit", tuple(str(k) for k in range(10)))
    return ModelCard(
        key=key,
        name=key,
        system="test",
        title=f"Model {key}",
        capabilities=capabilities_of(type(module)),
        modalities=(Modality("image", "image", SHAPE),),
        factors=(digit,),
        latent=latent,
        data="digits8",
        source="memory",
    )


@pytest.fixture
def bench() -> Workbench:
    """A bench with "linear", "linear5", "curved" and an untrained VAE "vae" on digits8."""
    found = Workbench(torch.device("cpu"))
    modules = {"linear": (Linear(2), 2), "linear5": (Linear(5), 5), "curved": (Curved(2), 2)}
    for key, (module, latent) in modules.items():
        found.adopt(module, card_of(module, key, latent))
    vae = registry.build("vae", registry.tiny("vae"), (Modality("image", "image", SHAPE),), seed=3)
    found.adopt(vae, card_of(vae, "vae", registry.tiny("vae")["latent"]))
    return found


def frame(updates: Iterable[Any], topic: str) -> dict[str, Any]:
    """The data of the last Frame of a topic."""
    return [u.data for u in updates if isinstance(u, Frame) and u.topic == topic][-1]


def result(updates: Iterable[Any]) -> Any:
    """The value of the last Result."""
    return [u.value for u in updates if isinstance(u, Result)][-1]
