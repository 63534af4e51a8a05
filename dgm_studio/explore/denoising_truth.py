"""The distribution behind planar data, where it is known: the denoiser that a perfect model would be."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dgm_studio.core.updates import Progress
from dgm_studio.data import drawn, toys
from dgm_studio.data.kept import split_name
from dgm_studio.explore.denoising_values import Denoiser
from dgm_studio.models.capabilities import Noising
from dgm_studio.models.exact_denoiser import BoxMixture, ExactDenoiser, GaussianMixture

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

PAIRS = 600_000  # of a point and a Gaussian, between two yields
BOX_COST = 40  # times as much, what a box takes
EDGE = 1e-4  # width of the edges of boxes
WITHIN = 3.0  # standard deviations


@dataclass(frozen=True)
class Truth:
    """What planar data were drawn from, in the coordinates that models see.

    Args:
        name: Of the toy, or of the drawing.
        mixture: The density.
        modes: Centres that lie far apart, [K, 2]; empty where there are none.
        std: Of every mode, [2].
    """

    name: str
    mixture: GaussianMixture | BoxMixture
    modes: Tensor
    std: Tensor

    def denoiser(self, path: Noising) -> ExactDenoiser:
        """The exact denoiser on a path."""
        return ExactDenoiser(path, self.mixture)

    @property
    def rows(self) -> int:
        """How many points may be asked about between two yields."""
        if isinstance(self.mixture, GaussianMixture):
            return max(16, PAIRS // len(self.mixture.means))
        return max(16, PAIRS // (BOX_COST * len(self.mixture.low)))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p of points [N, 2] themselves, [N] nats; the edges of boxes are rounded a little."""
        sigma = 0.0 if isinstance(self.mixture, GaussianMixture) else EDGE
        one, little = torch.tensor(1.0, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64)
        return torch.cat([self.mixture.posterior(some, one, little)[1] for some in torch.split(x.double(), self.rows)])

    def within(self, x: Tensor) -> float:
        """Share of points [N, 2] within 3 standard deviations of a mode; NaN where there are no modes."""
        if not len(self.modes):
            return float("nan")
        away = (x.double()[:, None] - self.modes.to(x.device)) / self.std.to(x.device)
        return float((away.square().sum(2) <= WITHIN**2).any(1).double().mean())


def truth_of(bench: Workbench, denoiser: Denoiser) -> Generator[Progress, None, Truth | None]:
    """The distribution of a model's data; None where it is not known."""
    model = denoiser.model
    if denoiser.pictures:
        return None
    known: list[Truth] | None = model.lasting.get("truth")
    if known is None:
        found = _toy(split_name(model.card.data)[0])
        if found is None:
            found = yield from _drawing(bench, model.card.data)
        known = [] if found is None else [found]
        model.lasting["truth"] = known
    return known[0] if known else None


def _toy(name: str) -> Truth | None:
    if name not in toys.toys():
        return None
    mixture = toys.mixture(name)
    if mixture is not None:
        modes = mixture.centres if mixture.modes else mixture.centres[:0]
        return Truth(name, GaussianMixture(mixture.centres, mixture.std), modes, mixture.std)
    boxes = toys.boxes(name)
    if boxes is None:
        return None
    return Truth(name, BoxMixture(*boxes), torch.zeros(0, 2), torch.ones(2))


def _drawing(bench: Workbench, name: str) -> Generator[Progress, None, Truth | None]:
    """Of data that somebody drew."""
    mixture = drawn.drawn_mixture(name)
    if mixture is None:
        return None
    part = (yield from bench.dataset(name)).split("train")
    mean = torch.zeros(2) if part.mean is None else part.mean
    scale = torch.ones(2) if part.std is None else part.std
    centres = (torch.from_numpy(mixture.centres) - mean) / scale
    weights = torch.from_numpy(mixture.weights)
    std = mixture.std / scale.double()
    return Truth("drawing", GaussianMixture(centres, std, weights.log()), torch.zeros(0, 2), std)
