"""Training examples nearest to what a model makes, so that memorising shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dgm_studio.core.cards import Capability
from dgm_studio.core.requests import FindNeighbours
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.loaded import as_floats
from dgm_studio.explore.samples import labels_of

if TYPE_CHECKING:
    from dgm_studio.data.dataset import Part
    from dgm_studio.explore.workbench import Workbench

MOST_NEIGHBOURS = 64
VALUES_AT_ONCE = 6_000_000  # numbers compared between two yields
BASELINE_COUNT = 128  # test examples whose distance to the training data is the yardstick


@answers(FindNeighbours)
def find_neighbours(bench: Workbench, asked: FindNeighbours) -> Iterator[Update]:
    """The training examples nearest to decode(z), beside how near fresh data come to them."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    if not 1 <= asked.k <= MOST_NEIGHBOURS:
        raise Problem(f"{asked.k} neighbours cannot be shown.", f"Ask for 1 to {MOST_NEIGHBOURS}.")
    z = model.vectors((asked.z,), "The latent vector")
    dataset = yield from bench.dataset(model.card.data)
    part = dataset.split("train")
    if tuple(part.x.shape[1:]) != tuple(model.modality.shape):
        raise Problem("The data have another shape than the model's pictures.", "They were changed since training.")
    scale = math.sqrt(math.prod(model.modality.shape))
    distances, rows = yield from nearest(part, model.decode(z), asked.k)
    chosen = rows[0]
    shown = {"pictures": part.picture(chosen)} if part.pictures else {"points": as_floats(part.batch(chosen))}
    data = {
        **shown,
        "distances": as_floats(distances[0] / scale),
        "indices": chosen.numpy().copy(),
        "labels": labels_of(dataset.card, part, chosen),
        "baseline": bench.yardsticks.get(model.card.data, float("nan")),
    }
    yield Frame("neighbours", dict(data))
    if model.card.data not in bench.yardsticks:
        bench.yardsticks[model.card.data] = yield from _yardstick(part, dataset.split("test"), scale)
        yield Frame("neighbours", {**data, "baseline": bench.yardsticks[model.card.data]})


def _yardstick(train: Part, test: Part, scale: float) -> Generator[Progress, None, float]:
    """Median distance of a test example to its nearest training example."""
    fresh = test.batch(torch.arange(min(BASELINE_COUNT, len(test))))
    distances, _ = yield from nearest(train, fresh, 1)
    return float(distances.median()) / scale


def nearest(part: Part, x: Tensor, k: int) -> Generator[Progress, None, tuple[Tensor, Tensor]]:
    """The k nearest items of a part, a block of it between two yields.

    Args:
        part: Where to look.
        x: Items, [n, *S].
        k: How many.

    Returns:
        Euclidean distances [n, k], nearest first, and positions in the part [n, k].
    """
    from dgm_studio.data import neighbours

    block = max(1, VALUES_AT_ONCE // math.prod(part.x.shape[1:]))
    distances, rows = torch.full((len(x), 0), torch.inf), torch.zeros((len(x), 0), dtype=torch.int64)
    for start in range(0, len(part), block):
        some = dataclasses.replace(part, x=part.x[start : start + block])
        near, at = neighbours.nearest(some, x, k)
        both, candidates = torch.cat([distances, near], 1), torch.cat([rows, at + start], 1)
        distances, order = both.topk(min(k, both.shape[1]), largest=False)
        rows = candidates.gather(1, order)
        yield Progress(min(start + block, len(part)), len(part), "Comparing with the training data")
    return distances, rows
