"""How well a model crosses its modalities, in figures with a baseline each; and the importance weights of one datum."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.requests import ScoreCross, WeighSamples
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.crossing import as_mixture, datum_of, known_rows, readers_of
from dgm_studio.explore.crossing_values import modalities_of
from dgm_studio.explore.loaded import as_floats
from dgm_studio.models import cross_bounds
from dgm_studio.models.fusion import Mixture
from dgm_studio.training import coherence, criteria
from dgm_studio.training.coherence import JointDraws, Setting, Table
from dgm_studio.training.criteria import Criterion

if TYPE_CHECKING:
    from dgm_studio.data.dataset import Part
    from dgm_studio.explore.workbench import Workbench

MOST_SAMPLES = 100
MOST_K, MOST_REPEATS = 20_000, 100
STEPS_OF_K = (1, 2, 5)  # times powers of ten


@dataclass
class Board:
    """The scoreboard while it fills.

    Args:
        setting: What is measured.
        part: On what.
        count: How many examples.
        table: Coherence and diversity.
        draws: What the prior gives.
        lines: Criteria that are finished, apart from those that the table tells.
    """

    setting: Setting
    part: Part
    count: int
    table: Table = field(default_factory=Table)
    draws: JointDraws = field(default_factory=JointDraws)
    lines: list[Criterion] = field(default_factory=list)
    done: bool = False

    def frame(self) -> Frame:
        """All that is known so far."""
        cells = {"+".join(row) + f"/{column}": (row, column) for row, column in self.table.coherence}
        lines = [*self.lines, *criteria.cross_generation(self.setting, self.table, self.part, self.count)]
        spreads = {key: self.table.diversity(*cell) for key, cell in cells.items() if cell in self.table.spread}
        return Frame(
            "criteria",
            {
                "coherence": {key: self.table.coherence[cell].mean for key, cell in cells.items()},
                "errors": {key: self.table.coherence[cell].error for key, cell in cells.items()},
                "diversity": spreads,
                "criteria": [line.to_json() for line in lines],
                "count": max((t.count for t in self.table.coherence.values()), default=0),
                "readers": {n: {"name": r.name, "accuracy": r.accuracy} for n, r in self.setting.readers.items()},
                "done": self.done,
            },
        )


@answers(ScoreCross)
def score_cross(bench: Workbench, asked: ScoreCross) -> Iterator[Update]:
    """The four criteria, the quick ones first, then coherence and diversity of every cell."""
    model = bench.model(asked.model)
    modalities = modalities_of(model)
    if asked.count < 2 or not 1 <= asked.samples <= MOST_SAMPLES or not 1 <= asked.k <= MOST_K:
        raise Problem("That cannot be scored.", f"Ask for 2 examples or more and 1 to {MOST_SAMPLES} samples.")
    readers = yield from readers_of(bench, model)
    dataset = yield from bench.dataset(model.card.data)
    part, train = dataset.split(asked.split), dataset.split("train")
    count = min(asked.count, len(part))
    setting = Setting(model.module, modalities, readers, asked.samples, asked.seed, asked.fusing)
    board = Board(setting, part, count)
    size = len(modalities)
    total = 3.0 + 3.0 * size + len(coherence.rows_of(tuple(modalities)))
    if readers:
        yield from _during(coherence.drawing(setting, count, board.draws), 0.0, 1.0, total, "Drawing from the prior")
        yield from _written(board, criteria.joint_generation(board.draws))
    for place, name in enumerate(modalities):
        at = 1.0 + place
        probe = criteria.probing(setting, name, train, part, count)
        yield from _written(board, (yield from _during(probe, at, 1.0, total, f"Probing the latents of {name}")))
    for place, name in enumerate(modalities):
        at = 1.0 + size + 2.0 * place
        steps = criteria.synergy(setting, name, part, count, asked.k)
        yield from _written(board, (yield from _during(steps, at, 2.0, total, f"Bounding log p of {name}")))
    shown = 0.0
    for done in coherence.measuring(setting, part, count, board.table):
        yield Progress(1.0 + 3.0 * size + done * (total - 1.0 - 3.0 * size), total, "Generating every cell")
        if done - shown > 0.05 and board.table.coherence:
            shown = done
            yield board.frame()
    board.done = True
    yield board.frame()


def _during(
    steps: Generator[float, None, Any], base: float, width: float, total: float, text: str
) -> Generator[Progress, None, Any]:
    """Progress of one part of the work; its value."""
    while True:
        try:
            done = next(steps)
        except StopIteration as finished:
            return finished.value
        yield Progress(base + width * done, total, text)


def _written(board: Board, line: Criterion | None) -> Iterator[Update]:
    if line is not None:
        board.lines.append(line)
        yield board.frame()


# -- importance weights ------------------------------------------------------------------------------------------------


@answers(WeighSamples)
def weigh_samples(bench: Workbench, asked: WeighSamples) -> Iterator[Update]:
    """The bound on log p of a part of a datum, and how many draws really count, as K grows."""
    model = bench.model(asked.model)
    if not 1 <= asked.k <= MOST_K or not 1 <= asked.repeats <= MOST_REPEATS:
        raise Problem(f"{asked.repeats} times {asked.k} samples cannot be weighed.", f"Take at most {MOST_K}.")
    known_rows(modalities_of(model), (asked.on,))
    datum = yield from datum_of(bench, model, asked.given)
    on = tuple(name for name in datum.names if not asked.on or name in asked.on)
    if not on:
        raise Problem("Nothing is known of this datum, so there is nothing to weigh.", "Fill in a modality.")
    setting = Setting(model.module, modalities_of(model), {}, seed=asked.seed)
    views = criteria.prepared(setting, dict(datum.views), setting.generator("weights"))
    q = as_mixture(model.module.infer({name: views[name] for name in on}, None))
    strata = len(q.components)
    sizes, shown = sizes_to(max(1, asked.k // strata)), 0
    repeats = [setting.generator("weights", r) for r in range(asked.repeats)]
    logs: list[Tensor] = [torch.zeros(len(q.components), 0, device=model.device) for _ in repeats]
    for index, k in enumerate(sizes):
        for number, generator in enumerate(repeats):
            steps = weighing(setting, views, on, q, k - logs[number].shape[1], generator)
            found = yield from _during(steps, index + number / len(repeats), 0.0, len(sizes), "Weighing samples")
            logs[number] = torch.cat([logs[number], found], 1)
        shown = index + 1
        yield Frame("weights", {**_by_size(q, logs, sizes[:shown]), **_strata(q, logs[0])})


def sizes_to(k: int) -> tuple[int, ...]:
    """1, 2, 5, 10 ... and k itself.

    >>> sizes_to(12)
    (1, 2, 5, 10, 12)
    """
    powers = range(len(str(k)))
    return (*(s * 10**p for p in powers for s in STEPS_OF_K if s * 10**p < k), k)


def weighing(
    setting: Setting, views: dict[str, Tensor], on: tuple[str, ...], q: Mixture, k: int, generator: torch.Generator
) -> Generator[float, None, Tensor]:
    """log w of k draws from every component, [C, k], a few between two yields."""
    prior, target = setting.model.latent_prior(), {name: views[name] for name in on}
    step = max(1, setting.slice // len(q.components))
    parts = []
    for start in range(0, k, step):
        z = cross_bounds.stratified(q, generator, min(step, k - start))
        parts.append(cross_bounds.log_weights(setting.model, target, q, z, prior)[..., 0])
        yield start / k
    return torch.cat(parts, 1)


def _by_size(q: Mixture, logs: list[Tensor], sizes: tuple[int, ...]) -> dict[str, Any]:
    """Bound, its error and the effective sample size of every K, which counts the draws of all components."""
    own = q.log_weights[0].unsqueeze(1)
    bounds, effective = [], []
    for k in sizes:
        w = torch.stack([(log[:, :k] + own).flatten() for log in logs])
        first = torch.logsumexp(w, 1)
        bounds.append(first - math.log(k))
        effective.append(torch.exp(2.0 * first - torch.logsumexp(2.0 * w, 1)).mean())
    found = torch.stack(bounds)
    errors = found.std(1) / math.sqrt(len(logs)) if len(logs) > 1 else torch.full((len(sizes),), math.nan)
    return {
        "k": np.array(sizes, np.int64) * len(q.components),
        "bound": as_floats(found.mean(1)),
        "error": as_floats(errors),
        "effective": as_floats(torch.stack(effective)),
    }


def _strata(q: Mixture, log: Tensor) -> dict[str, Any]:
    """Log weights of one repeat relative to the largest, all of them and by component."""
    weighted = log + q.log_weights[0].unsqueeze(1)
    relative = weighted - weighted.max()
    named = {"+".join(names): as_floats(row) for names, row in zip(q.names, relative, strict=True)}
    return {"log_weights": as_floats(relative.flatten()), "strata": named if len(named) > 1 else {}}
