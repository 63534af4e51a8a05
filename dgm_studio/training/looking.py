"""Looking at a model in short slices: terms over examples, samples, reconstructions."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dgm_studio.core.pictures import to_uint8
from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.core.updates import Frame
from dgm_studio.data.dataset import Part
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Decodes, Denoises, Encodes, Samples, Trains
from dgm_studio.models.noising import along
from dgm_studio.training.drawing import drawing, shown_range
from dgm_studio.training.order import derived_seed

SAMPLES = 36
RECONSTRUCTIONS = 18
SLICE = 8  # data decoded between two yields
GLANCE = Sampling("dpmpp-2m", 12)  # of every path: how a model that denoises is looked at while it trains
LEVELS = (1.0, 0.0, -1.0)  # half-log-SNR behind which examples are looked for


@dataclass
class Sums:
    """Means and standard errors of figures per example, added up slice by slice."""

    count: int = 0
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Take the terms [N] or [N, Z] of some examples."""
        self.count += len(next(iter(terms.values())))
        for name, term in terms.items():
            wide = term.double() if term.device.type != "mps" else term.float()
            for sums, values in ((self.first, wide.sum(0)), (self.second, wide.square().sum(0))):
                sums[name] = sums[name] + values if name in sums else values

    def mean(self, name: str) -> Tensor:
        """Mean over the examples."""
        return self.first[name] / self.count

    def error(self, name: str) -> float:
        """Standard error of the mean of a figure."""
        variance = (self.second[name] / self.count - self.mean(name).square()).clamp(min=0.0)
        return math.sqrt(float(variance) / max(1, self.count - 1))

    def means(self) -> dict[str, float]:
        """Of all figures that are one number an example."""
        return {name: float(self.mean(name)) for name, total in self.first.items() if total.ndim == 0}


def loss_terms(model: nn.Module, batch: Any, generator: torch.Generator, step: int) -> dict[str, Tensor]:
    """The terms of the model's loss per example: the one thing that every system can do."""
    return cast(Trains, model).loss(batch, generator, step)


def validating(
    model: nn.Module, part: Part, count: int, size: int, seed: int, step: int
) -> Generator[None, None, Sums]:
    """The loss terms over the first `count` examples, with the same draws every time, in slices of `size`."""
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(derived_seed(seed, "validation"))
    sums = Sums()
    for indices in torch.arange(min(count, len(part))).split(size):
        with torch.no_grad():
            sums.add(loss_terms(model, fetch_for(model, part, indices, device), generator, step))
        yield
    return sums


def fetch(part: Part, indices: Tensor, device: torch.device) -> Tensor:
    """The first modality of items [n] of a part as a model on `device` sees it, wherever the part is kept."""
    return part.batch(indices.to(part.x.device)).to(device)


def fetch_for(model: nn.Module, part: Part, indices: Tensor, device: torch.device) -> Any:
    """Items [n] as the model is trained on them: `Views`, or the first modality."""
    if not registry.takes_views(model):
        return fetch(part, indices, device)
    return {name: values.to(device) for name, values in part.views(indices.to(part.x.device)).items()}


def shown(x: Tensor) -> dict[str, Any]:
    """Data [N, *S] as a frame carries them: pictures in bytes, or points."""
    plain = x.detach().float().cpu().numpy()
    return {"pictures": to_uint8(plain)} if x.ndim == 4 else {"points": np.array(plain, np.float32)}


def sampling(model: nn.Module, seed: int, step: int) -> Iterator[Frame | None]:
    """A fixed draw from the prior, decoded, or made from fixed noise: None between slices, at last Frame "samples"."""
    if isinstance(model, Samples) and isinstance(model, Decodes):
        made = yield from _decoding(model, seed)
    elif isinstance(model, Denoises):
        made = yield from _made_from_noise(model, derived_seed(seed, "samples"))
    else:
        return
    yield Frame("samples", {**shown(made), "step": step})


def _decoding(model: Any, seed: int) -> Generator[None, None, Tensor]:
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(derived_seed(seed, "samples"))
    with torch.no_grad():
        z = model.sample_latent(SAMPLES if _pictures(model) else 1000, generator)
    parts = []
    for part in z.split(SLICE if _pictures(model) else 1000):
        with torch.no_grad():
            parts.append(model.decode(part).mean)
        yield None
    return torch.cat(parts)


def _made_from_noise(model: Any, seed: int) -> Generator[None, None, Tensor]:
    """Without any condition, in few steps: it is looked at again and again."""
    pictures = _pictures(model)
    steps = drawing(model, GLANCE, SAMPLES if pictures else 1000, seed, chunk=SLICE if pictures else 1000)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            made: Tensor = finished.value
            return made
        yield None


def reconstructing(model: nn.Module, part: Part, step: int) -> Iterator[Frame | None]:
    """The first examples and what is rebuilt from their posterior means, or from behind noise: None, at last the Frame.

    A model that denoises gets a third of them with little noise, a third with as much as there is picture, a third with
    more; the noise is always the same.
    """
    decodes = isinstance(model, Encodes) and isinstance(model, Decodes)
    if not (decodes or isinstance(model, Denoises)):
        return
    asked: Any = model
    device = next(model.parameters()).device
    count = RECONSTRUCTIONS if _pictures(model) else 500
    x = fetch(part, torch.arange(min(count, len(part))), device)
    parts = []
    for rows in torch.arange(len(x)).split(SLICE if _pictures(model) else 500):
        with torch.no_grad():
            rebuilt = asked.decode(asked.encode(x[rows]).mean).mean if decodes else _denoised(asked, x[rows], rows)
        parts.append(rebuilt)
        yield None
    originals = {name.replace("pictures", "originals"): value for name, value in shown(x).items()}
    if "points" in originals:
        originals["originals"] = originals.pop("points")
    yield Frame("reconstructions", {**originals, **shown(torch.cat(parts)), "step": step})


def _denoised(model: Any, x: Tensor, rows: Tensor) -> Tensor:
    """Clean estimates of x [n, *S] behind noise; which rows [n] of all examples they are says how much."""
    noising, support = model.noising(), model.support()
    third = -(-RECONSTRUCTIONS // len(LEVELS))
    log_snr = torch.tensor(LEVELS, dtype=torch.float64)[rows // third % len(LEVELS)]
    t = noising.time(log_snr)
    generator = torch.Generator().manual_seed(derived_seed(0, "denoised", int(rows[0])))
    noise = torch.randn(x.shape, generator=generator).to(x)
    inside = x if support is None else support[0] + (support[1] - support[0]) * x
    noised = along(noising.alpha(t), x) * inside + along(noising.sigma(t), x) * noise
    clean: Tensor = model.estimate(noised, t).clean
    return shown_range(clean, support)


def _pictures(model: nn.Module) -> bool:
    return len(getattr(model, "shape", ())) == 3
