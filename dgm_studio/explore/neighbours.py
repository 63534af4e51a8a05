"""Training examples nearest to what a model makes, so that memorising shows."""

from __future__ import annotations

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
    from dgm_studio.data.dataset import Dataset, Part
    from dgm_studio.explore.workbench import Workbench

MOST_NEIGHBOURS = 64
VALUES_AT_ONCE = 4_000_000  # numbers compared with one picture between two yields
LARGEST_INDEX = 150_000_000  # numbers held ready as floats; of larger sets every block is converted anew
INDICES_KEPT = 2
BASELINE_COUNT = 64  # test examples whose distance to the training data is the yardstick


class NeighbourIndex:
    """The training examples as rows of floats with their squared lengths.

    Args:
        part: The examples.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.size = math.prod(part.x.shape[1:])
        self.held_out = torch.empty(0)
        self._blocks: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def baseline(self) -> float:
        """Median root mean square distance of held-out examples to their nearest one here; NaN until measured."""
        return float(self.held_out.median()) if len(self.held_out) else math.nan

    def nearest(self, x: Tensor, k: int) -> Generator[Progress, None, tuple[Tensor, Tensor]]:
        """The k nearest examples.

        Ranked by |a|^2 - 2 ab, one matrix product a block; the distances of those chosen are then computed anew from
        differences, so that an exact copy has distance 0 and not the rounding error of two large sums.

        Args:
            x: Items, [n, *S].
            k: How many.

        Returns:
            Euclidean distances [n, k], nearest first, and positions in the part [n, k].
        """
        queries = x.flatten(1).cpu()
        n, total = len(queries), len(self.part)
        best, chosen = torch.full((n, 0), torch.inf), torch.zeros((n, 0), dtype=torch.int64)
        for start in range(0, total, self._step):
            rows, squares = self._block(start)
            scores = squares - 2.0 * queries @ rows.T
            near, at = scores.topk(min(k, len(rows)), largest=False)
            both, candidates = torch.cat([best, near], 1), torch.cat([chosen, at + start], 1)
            best, order = both.topk(min(k, both.shape[1]), largest=False)
            chosen = candidates.gather(1, order)
            yield Progress(min(start + self._step, total), total, "Comparing with the training data")
        found = self.part.batch(chosen.flatten()).reshape(n, chosen.shape[1], self.size)
        distances, order = (found - queries[:, None]).square().sum(-1).sqrt().sort(dim=1, stable=True)
        return distances, chosen.gather(1, order)

    @property
    def _step(self) -> int:
        return max(1, VALUES_AT_ONCE // self.size)

    def _block(self, start: int) -> tuple[Tensor, Tensor]:
        known = self._blocks.get(start)
        if known is not None:
            return known
        rows = self.part.batch(torch.arange(start, min(start + self._step, len(self.part)))).flatten(1)
        made = (rows, rows.square().sum(1))
        if len(self.part) * self.size <= LARGEST_INDEX:
            self._blocks[start] = made
        return made


@answers(FindNeighbours)
def find_neighbours(bench: Workbench, asked: FindNeighbours) -> Iterator[Update]:
    """The training examples nearest to decode(z), beside how near fresh data come to them."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    if not 1 <= asked.k <= MOST_NEIGHBOURS:
        raise Problem(f"{asked.k} neighbours cannot be shown.", f"Ask for 1 to {MOST_NEIGHBOURS}.")
    z = model.vectors((asked.z,), "The latent vector")
    dataset = (yield from bench.dataset(model.card.data)).seen()
    part = dataset.split("train")
    if tuple(part.x.shape[1:]) != tuple(model.modality.shape):
        raise Problem("The data have another shape than the model's pictures.", "They were changed since training.")
    scale = math.sqrt(math.prod(model.modality.shape))
    index = index_of(bench, dataset)
    distances, rows = yield from index.nearest(model.decode(z), asked.k)
    chosen = rows[0]
    shown = {"pictures": part.picture(chosen)} if part.pictures else {"points": as_floats(part.batch(chosen))}
    data = {
        **shown,
        "distances": as_floats(distances[0] / scale),
        "indices": chosen.numpy().copy(),
        "labels": labels_of(dataset.card, part, chosen),
        "baseline": index.baseline,
    }
    yield Frame("neighbours", dict(data))
    if math.isnan(index.baseline):
        yield from measure_held_out(index, dataset.split("test"))
        yield Frame("neighbours", {**data, "baseline": index.baseline})


def index_of(bench: Workbench, dataset: Dataset) -> NeighbourIndex:
    """The training examples of some data, made ready once."""
    name = dataset.card.name
    found = bench.indices.get(name)
    if found is None or found.part is not dataset.split("train"):
        found = bench.indices[name] = NeighbourIndex(dataset.split("train"))
        while len(bench.indices) > INDICES_KEPT:
            bench.indices.popitem(last=False)
    return found


def measure_held_out(index: NeighbourIndex, test: Part) -> Generator[Progress, None, None]:
    """Root mean square distances of test examples to their nearest training example, a few examples at a time."""
    distances = []
    for rows in torch.split(torch.arange(min(BASELINE_COUNT, len(test))), 8):
        near, _ = yield from index.nearest(test.batch(rows), 1)
        distances.append(near[:, 0])
    index.held_out = torch.cat(distances) / math.sqrt(index.size)
