"""Tiny models of every system that denoises, untrained, and a few that are known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Modality, ModelCard
from dgm_studio.data import registry as data
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Estimate, Noising, Views, capabilities_of
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture

SYSTEMS = ("ddpm", "edm", "flow-matching")
PICTURES = tuple(f"{name}-pictures" for name in SYSTEMS)
POINTS = tuple(f"{name}-points" for name in SYSTEMS)


def card_of(module: nn.Module, key: str, name: str, system: str = "test") -> ModelCard:
    """A card of a model in memory that was trained on some data."""
    card = data.card(name)
    return ModelCard(
        key=key,
        name=key,
        system=system,
        title=f"Model {key}",
        capabilities=capabilities_of(type(module)),
        modalities=tuple(getattr(module, "modalities", card.modalities)),
        factors=card.factors,
        data=name,
        config=dict(getattr(getattr(module, "config", None), "__dict__", {})),
        source="memory",
    )


class Known(nn.Module):
    """An exact denoiser as a model: of planar data, on any path."""

    def __init__(self, path: Noising, mixture: GaussianMixture) -> None:
        super().__init__()
        self.exact = ExactDenoiser(path, mixture)

    def noising(self) -> Noising:
        return self.exact.path

    def support(self) -> tuple[float, float] | None:
        return None

    def conditions(self) -> tuple[Modality, ...]:
        return ()

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        return self.exact.estimate(x, t, given)


def woken(module: nn.Module, seed: int = 0) -> nn.Module:
    """An untrained network whose last layers, which begin at zero, say something; it shrinks what it sees a little."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if not bool(parameter.any()):
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
    return module


def denoising_bench() -> Workbench:
    """A bench with "SYSTEM-pictures" on digits8 and "SYSTEM-points" on eight-gaussians for each of the systems."""
    bench = Workbench(torch.device("cpu"))
    for name in SYSTEMS:
        for kind, source in (("pictures", "digits8"), ("points", "eight-gaussians")):
            module = woken(registry.build(name, registry.tiny(name), data.card(source).modalities, seed=3))
            bench.adopt(module, card_of(module, f"{name}-{kind}", source, name))
    return bench
