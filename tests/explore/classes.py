"""A classifier by generation of which everything is known: Gaussian classes of one variance on digits8."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Factor, ModelCard
from dgm_studio.data import registry as data
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models.capabilities import Posterior, capabilities_of

BLOBS = "blobs"


class Picture:
    """A likelihood of which only the mean is asked."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean


class Blobs(nn.Module):
    """x | y ~ N(mean_y, std^2 I), p(y) uniform; z moves a picture along one fixed direction, which is no part of p."""

    def __init__(self, std: float = 0.25) -> None:
        super().__init__()
        part = data.load("digits8").split("train")
        x, y = part.batch(torch.arange(len(part))), part.factors["digit"]
        self.means = nn.Parameter(torch.stack([x[y == c].mean(0) for c in range(10)]))
        self.std = std

    def joint(self, x: Tensor) -> Tensor:
        """log p(x, y) of the known pixels of pictures [N, 1, 8, 8]: [N, 10], nats."""
        squares = (x[:, None] - self.means).square().nan_to_num(0.0).flatten(2).sum(2)
        known = torch.isfinite(x).flatten(1).sum(1, keepdim=True)
        return -0.5 * squares / self.std**2 - known * math.log(self.std * math.sqrt(2 * math.pi)) - math.log(10)

    def class_log_probs(self, x: Tensor, generator: torch.Generator, samples: int = 10) -> dict[str, Tensor]:
        return {"exact": self.joint(x).log_softmax(1)}

    def log_prob_bound(self, x: Tensor, k: int, generator: torch.Generator) -> Tensor:
        return self.joint(x).logsumexp(1)

    def elbo(self, x: Tensor, generator: torch.Generator, samples: int = 1) -> Tensor:
        return self.joint(x).logsumexp(1)

    def decode(self, z: Tensor) -> Any:
        return self.decode_class(z, torch.zeros(len(z), dtype=torch.int64))

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        return temperature * torch.randn(n, 1, generator=generator)

    def encode_class(self, x: Tensor, y: Tensor) -> Posterior:
        mean = 10.0 * (x - self.means[y]).nanmean((1, 2, 3))[:, None]
        return Posterior(mean, torch.full_like(mean, 0.1))

    def decode_class(self, z: Tensor, y: Tensor) -> Any:
        return Picture(self.means[y] + 0.1 * z[:, :1, None, None])


def blob_bench() -> Workbench:
    """A bench with the exact classifier "blobs"."""
    module, card = Blobs(), data.card("digits8")
    bench = Workbench(torch.device("cpu"))
    bench.adopt(
        module,
        ModelCard(
            key=BLOBS,
            name=BLOBS,
            system="test",
            title="Blobs",
            capabilities=capabilities_of(Blobs),
            modalities=card.modalities,
            factors=(Factor("digit", tuple(str(k) for k in range(10))),),
            latent=1,
            data="digits8",
            source="memory",
        ),
    )
    return bench
