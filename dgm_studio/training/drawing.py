"""Data made by models that denoise, in slices: for figures, and to be looked at while a model trains."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn

from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.data.dataset import Part
from dgm_studio.models.capabilities import Denoises, Views
from dgm_studio.models.sampling import Noise, Step, sample, start_of, times_of
from dgm_studio.training.order import derived_seed

CHUNK = 32  # pictures made at once; fixed, never timed, so that the same seed makes the same ones
CHUNK_OF_POINTS = 2048


def drawing(
    model: Any, sampling: Sampling, count: int, seed: int, given: Views | None = None, chunk: int = 0
) -> Generator[float, None, Tensor]:
    """Data made from noise, a fixed number at a time.

    Args:
        model: Denoises.
        sampling: How.
        count: How many.
        seed: Of all noise.
        given: Conditions, a row for each; None for none.
        chunk: How many at once; 0 takes what is usual.

    Yields:
        The share that is done, after every call of the network.

    Returns:
        [count, *S]: pictures in [0, 1], points as models see them.
    """
    support, times = model.support(), times_of(model.noising(), sampling)
    device, shape = device_of(model), shape_of(model)
    chunks = torch.arange(count).split(chunk or (CHUNK if support else CHUNK_OF_POINTS))
    made = []
    for number, rows in enumerate(chunks):
        noise = Noise(derived_seed(seed, "drawing", number), (len(rows), *shape), device)
        some = None if given is None else {name: values[rows].to(device) for name, values in given.items()}
        steps = sample(model, start_of(model.noising(), times, noise.start()), sampling, times, noise, some)
        x, index = torch.empty(0), 0
        while True:
            with torch.no_grad():  # never across a yield: it belongs to the thread
                try:
                    step = next(steps)
                except StopIteration:
                    break
            if isinstance(step, Step):
                x, index = step.x, step.index
            yield (number + index / len(times)) / len(chunks)
        made.append(x.float())
    return shown_range(torch.cat(made), support)


def shown_range(x: Tensor, support: tuple[float, float] | None) -> Tensor:
    """Pictures from a model's space to [0, 1]; points as they are."""
    return x if support is None else ((x - support[0]) / (support[1] - support[0])).clamp(0.0, 1.0)


def given_of(model: Denoises, part: Part, rows: Tensor, kinds: tuple[str, ...] = ()) -> Views | None:
    """The conditions of some examples of a part, of some kinds or of all; None where there are none."""
    wanted = [m.name for m in model.conditions() if not kinds or m.kind in kinds]
    views = part.views(rows) if wanted else {}
    return {name: views[name] for name in wanted if name in views} or None


def device_of(model: Any) -> torch.device:
    """Where a model computes; one without weights is exact, and on the CPU."""
    first = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def shape_of(model: Any) -> tuple[int, ...]:
    """Of one datum; exact denoisers are of the plane."""
    found: tuple[int, ...] = tuple(getattr(model, "shape", (2,)))
    return found
