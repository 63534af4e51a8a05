"""Whether what a model makes of a part of a datum agrees with the rest: coherence, diversity, joint coherence.

coherence     share of the values generated from drawn z that are read as the truth; of several factors the mean
diversity     mean distance of two samples of a cell in the judge's features, over that of two examples of one class
joint         share of draws from the prior in which all that is generated is read as the same

z is always drawn, never a posterior's mean. What is read, and by whom, is said by `training.readings`. Everything here
is a generator that yields the share that is done, at least every 50 ms on a small model.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.cards import DataCard, Modality, ModelCard
from dgm_studio.core.requests import Fusing
from dgm_studio.data.dataset import Part
from dgm_studio.models import fusion, modal
from dgm_studio.training.order import derived_seed
from dgm_studio.training.readings import PictureReader, Reader, likeliest, readers_for, reading, truths

LARGEST_SLICE = 32  # values generated between two yields; fixed, never timed, so that figures repeat
SLICE_NUMBERS = 32 * 32 * 32  # the same in numbers, for large pictures
Row = tuple[str, ...]
Share = Generator[float, None, None]


@dataclass
class Tally:
    """Mean and standard error of one figure per example."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: Float[Tensor, " n"]) -> None:
        """Take the figures of some examples; NaN counts as no example."""
        known = values[~values.isnan()].cpu().double()
        self.count += len(known)
        self.total += float(known.sum())
        self.squares += float(known.square().sum())

    @property
    def mean(self) -> float:
        """NaN while there is none."""
        return self.total / self.count if self.count else math.nan

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        if self.count < 2:
            return math.nan
        variance = max(0.0, self.squares / self.count - self.mean**2) * self.count / (self.count - 1)
        return math.sqrt(variance / self.count)


@dataclass(frozen=True)
class Setting:
    """What is measured, and how.

    Args:
        model: Crosses its modalities; in evaluation mode.
        modalities: Its own, by name.
        readers: Who reads which modality.
        samples: Draws an example and row.
        seed: Of all draws.
        fusing: A rule of fusion; the model's own by default.
    """

    model: Any
    modalities: Mapping[str, Modality]
    readers: Mapping[str, Reader]
    samples: int = 10
    seed: int = 0
    fusing: Fusing | None = None

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device

    @property
    def slice(self) -> int:
        """How many latents to generate from between two yields."""
        numbers = sum(math.prod(m.shape) for m in self.modalities.values())
        return max(1, min(LARGEST_SLICE, SLICE_NUMBERS // max(1, numbers)))

    def generator(self, purpose: str, number: int = 0) -> torch.Generator:
        """Of one purpose, on the model's device."""
        return torch.Generator(self.device).manual_seed(derived_seed(self.seed, purpose, number))

    def views(self, part: Part, rows: Tensor) -> dict[str, Tensor]:
        """Examples as the model sees them."""
        found = part.views(rows.to(part.x.device))
        return {name: found[name].to(self.device) for name in self.modalities if name in found}


@dataclass
class Table:
    """Coherence and diversity by row (what was given) and column; fills while it is measured.

    Args:
        coherence: A tally for each (row, column).
        spread: Distances of two samples in the judge's features, likewise.
        natural: Distance of two examples of one class, by column.
    """

    coherence: dict[tuple[Row, str], Tally] = field(default_factory=dict)
    spread: dict[tuple[Row, str], Tally] = field(default_factory=dict)
    natural: dict[str, Tally] = field(default_factory=dict)

    def diversity(self, row: Row, column: str) -> float:
        """1 where samples differ as much as examples of one class do; NaN where nobody knows."""
        natural = self.natural[column].mean if column in self.natural else math.nan
        return self.spread[row, column].mean / natural if natural > 0 else math.nan


def rows_of(names: Sequence[str], largest: int = 4) -> tuple[Row, ...]:
    """Every subset, the largest first; of more than `largest` modalities all, all but one, and singles."""
    found = fusion.subsets(tuple(names))
    kept = [row for row in found if len(names) <= largest or len(row) in (1, len(names) - 1, len(names))]
    return tuple(sorted(kept, key=lambda row: -len(row)))


def measuring(setting: Setting, part: Part, count: int, table: Table, rows: Sequence[Row] = ()) -> Share:
    """Fill a table of coherence and diversity over the first `count` examples of a part.

    Args:
        setting: What is measured.
        part: The examples and what is true of them.
        count: How many.
        table: Added to.
        rows: What to condition on; every subset by default.
    """
    rows = rows or rows_of(tuple(setting.modalities))
    blocks = torch.arange(min(count, len(part))).split(setting.slice)
    yield from _natural(setting, part, count, table)
    for number, block in enumerate(blocks):
        views = setting.views(part, block)
        truth = {name: values.to(setting.device) for name, values in truths(part, setting.readers, block).items()}
        generator = setting.generator("coherence", number)
        for place, row in enumerate(rows):
            here = _known(setting, views, row)
            if not bool(here.any()):
                continue
            given = {name: views[name][here] for name in row}
            z = setting.model.infer(given, setting.fusing).sample(generator, setting.samples)
            steps = _row(setting, row, z, {name: values[here] for name, values in truth.items()}, table)
            for done in steps:
                yield (number + (place + done) / len(rows)) / len(blocks)


def _known(setting: Setting, views: Mapping[str, Tensor], row: Row) -> Tensor:
    """Examples [N] of which all that a row needs is known."""
    absent = torch.zeros(len(next(iter(views.values()))), dtype=torch.bool, device=setting.device)
    told = [modal.present(setting.modalities[n], views[n]) if n in views else absent for n in row]
    return torch.stack(told).all(0)


def _row(setting: Setting, row: Row, z: Tensor, truth: Mapping[str, Tensor], table: Table) -> Share:
    """Generate from z [K, n, Z] and add what is read; the share of K that is done."""
    right: dict[str, list[Tensor]] = {name: [] for name in setting.readers}
    apart: dict[str, list[Tensor]] = {name: [] for name in setting.readers}
    before: dict[str, Tensor] = {}
    for done, draw in enumerate(z):
        generated = setting.model.generate(draw)
        for name, reader in setting.readers.items():
            values = likeliest(generated[name], setting.modalities[name])
            if isinstance(reader, PictureReader):
                features = reader.judge.features(values)
                read = reader.read_features(features)
                if name in before:
                    apart[name].append((features - before[name]).norm(dim=1))
                before[name] = features
            else:
                read = reading(reader, values)
            right[name].append(agreement(read, truth, len(draw), draw))
        yield (done + 1) / len(z)
    for name in setting.readers:
        table.coherence.setdefault((row, name), Tally()).add(torch.stack(right[name]).mean(0))
        if apart[name]:
            table.spread.setdefault((row, name), Tally()).add(torch.stack(apart[name]).mean(0))


def agreement(read: Mapping[str, Tensor], truth: Mapping[str, Tensor], count: int, like: Tensor) -> Tensor:
    """Share of the factors that are read as the truth, [count]; NaN where no truth is known."""
    right, known = like.new_zeros(count), like.new_zeros(count)
    for name in set(read) & set(truth):
        told = truth[name] >= 0
        right += (read[name] == truth[name]) & told
        known += told
    return right / known


def _natural(setting: Setting, part: Part, count: int, table: Table) -> Share:
    """How far two examples of one class are apart in a judge's features, by column; of several factors any two."""
    for name, reader in setting.readers.items():
        if not isinstance(reader, PictureReader):
            continue
        rows = torch.arange(min(count, len(part)))
        parts = []
        for block in rows.split(setting.slice):
            views = setting.views(part, block)
            parts.append(reader.judge.features(views[name].nan_to_num(0.0)))
            yield 0.0
        features = torch.cat(parts)
        classes = part.factors.get(reader.judge.factor, torch.zeros(len(part), dtype=torch.int64))[rows]
        tally = table.natural.setdefault(name, Tally())
        for label in classes.unique():
            same = features[(classes == label).to(features.device)]
            order = torch.randperm(len(same), generator=setting.generator(f"natural {name}"), device=same.device)
            shuffled = same[order]
            tally.add((shuffled - shuffled.roll(1, 0)).norm(dim=1) if len(same) > 1 else same.new_zeros(0))


@dataclass
class JointDraws:
    """What is read from draws of the prior, by factor and modality: [n] each."""

    read: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)

    def figures(self) -> tuple[Tally, float]:
        """The share of draws in which all modalities agree, and what it would be if they did not know of each other.

        The second is the sum over categories of the product of the modalities' own shares. Both are means over the
        factors that two modalities or more are read for.
        """
        agreed: list[Tensor] = []
        chance: list[float] = []
        for by_modality in self.read.values():
            if len(by_modality) < 2:
                continue
            all_read = torch.stack([torch.cat(some) for some in by_modality.values()])
            same = (all_read == all_read[:1]).all(0) & (all_read >= 0).all(0)
            agreed.append(same.cpu().double())
            size = int(all_read.max()) + 1
            shares = [torch.bincount(row[row >= 0], minlength=size) / len(row) for row in all_read]
            chance.append(float(torch.stack(shares).prod(0).sum()))
        tally = Tally()
        if agreed:
            tally.add(torch.stack(agreed).mean(0))
        return tally, sum(chance) / len(chance) if chance else math.nan


def drawing(setting: Setting, count: int, draws: JointDraws) -> Share:
    """Generate everything from `count` draws of the prior, one latent for all modalities of a draw."""
    z = setting.model.sample_latent(count, setting.generator("joint"))
    done = 0
    for some in z.split(setting.slice):
        generated = setting.model.generate(some)
        for name, reader in setting.readers.items():
            values = likeliest(generated[name], setting.modalities[name])
            for factor, read in reading(reader, values).items():
                draws.read.setdefault(factor, {}).setdefault(name, []).append(read)
        done += len(some)
        yield done / count


def majority(part: Part, readers: Mapping[str, Reader], names: Sequence[str], count: int) -> float:
    """Share of the commonest category among the first examples, mean over factors: right without looking."""
    truth = truths(part, readers, torch.arange(min(count, len(part))))
    shares = []
    for name in names:
        known = truth[name][truth[name] >= 0] if name in truth else torch.zeros(0, dtype=torch.int64)
        if len(known):
            shares.append(float(torch.bincount(known).max()) / len(known))
    return sum(shares) / len(shares) if shares else math.nan


def setting_for(model: Any, card: DataCard | ModelCard, train: Part, samples: int = 10, seed: int = 0) -> Setting:
    """A setting with the judges in the box, for a model that crosses the data's modalities.

    Args:
        model: In evaluation mode.
        card: Of the data, or of the model.
        train: Examples by which sentences prove that they can be read.
        samples: Draws an example and row.
        seed: Of all draws.
    """
    modalities = {m.name: m for m in getattr(model, "modalities", card.modalities)}
    device = str(next(model.parameters()).device)
    readers = readers_for(card, tuple(modalities.values()), train, device)
    return Setting(model, modalities, readers, samples, seed)
