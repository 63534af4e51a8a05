"""The four criteria of Shi et al. (2019, section 2) for a multimodal generative model, each beside a trivial baseline.

latent factorisation   a linear classifier reads the factors from drawn z of one modality
joint generation       draws of the prior agree with themselves over all modalities
cross generation       what is generated from another modality agrees with the truth
synergy                log p of a modality is bounded more tightly when the posterior sees all of them
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dgm_studio.core.cards import DataCard, Metric, ModelCard
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.models import cross_bounds, modal
from dgm_studio.training import coherence
from dgm_studio.training.coherence import JointDraws, Setting, Table, Tally
from dgm_studio.training.probe import fitting
from dgm_studio.training.readings import truths

PROBE_EXAMPLES = 4_000  # of the training part
SYNERGY_EXAMPLES = 100  # of the split: every one is decoded 2 K times for each modality
MOST_PIXELS = 1024  # numbers of a picture that the baseline of pixels is fitted to
PIXEL_BLOCK = 250
ARROW = " → "
ValueT = TypeVar("ValueT")

DEFINITIONS = {
    "latent factorisation": "Share of test examples whose factors a linear classifier, fitted to z drawn for training "
    "examples, reads from z drawn given this modality alone.",
    "joint generation": "Share of draws from the prior in which everything that is generated is read as the same.",
    "cross generation": "Share of values generated from another modality alone that are read as the truth.",
    "synergy": "Importance-weighted bound on log p of this modality when the posterior that proposes z sees all "
    "modalities.",
}
UNITS = {"synergy": "nats"}


@dataclass(frozen=True)
class Criterion:
    """One line of the scoreboard.

    Args:
        name: One of the four.
        what: The modality, the pair, or all.
        value: The figure.
        error: Its standard error.
        baseline: What a trivial way reaches.
        baseline_name: Which.
        difference_error: Standard error of value - baseline where both were measured on the same examples, else NaN.
    """

    name: str
    what: str
    value: float
    error: float
    baseline: float
    baseline_name: str
    difference_error: float = math.nan

    def to_json(self) -> dict[str, object]:
        """As the Frame "criteria" has it."""
        found = asdict(self)
        found["baseline name"] = found.pop("baseline_name")
        found["difference error"] = found.pop("difference_error")
        return {**found, "unit": UNITS.get(self.name, ""), "definition": DEFINITIONS[self.name]}


# -- latent factorisation ----------------------------------------------------------------------------------------------


def probing(
    setting: Setting, name: str, train: Part, test: Part, count: int
) -> Generator[float, None, Criterion | None]:
    """How linearly the factors stand in z drawn given one modality alone; None where the data have no factors.

    The baseline of pictures is a linear classifier of the pixels themselves, else the commonest category.
    """
    sizes = {f.name: len(f.categories) for r in setting.readers.values() for f in r.factors}
    learnt = torch.arange(min(PROBE_EXAMPLES, len(train)))
    tried = torch.arange(min(count, len(test)))
    there, here = (truths(part, setting.readers, rows) for part, rows in ((train, learnt), (test, tried)))
    labels = {n: v for n, v in there.items() if n in sizes and n in here}
    if not labels:
        return None
    z, used = yield from within(_drawn(setting, name, train, learnt), 0.0, 0.4)
    fit = yield from within(fitting(z, {n: v.to(z.device)[used] for n, v in labels.items()}, sizes), 0.4, 0.0)
    tests, kept = yield from within(_drawn(setting, name, test, tried), 0.5, 0.2)
    right = _right(fit.read(tests), {n: v.to(z.device)[kept] for n, v in here.items()})
    if setting.modalities[name].kind != "image":
        floor = coherence.majority(test, setting.readers, tuple(labels), count)
        return Criterion("latent factorisation", name, right.mean, right.error, floor, "the commonest category")
    pixels = (yield from within(_pixels(setting, name, train, learnt), 0.7, 0.0))[used]
    plain = yield from within(fitting(pixels, {n: v.to(z.device)[used] for n, v in labels.items()}, sizes), 0.7, 0.0)
    shown = (yield from within(_pixels(setting, name, test, tried), 0.9, 0.0))[kept]
    seen = _right(plain.read(shown), {n: v.to(z.device)[kept] for n, v in here.items()})
    baseline = "a linear classifier of the pixels"
    return Criterion("latent factorisation", name, right.mean, right.error, seen.mean, baseline)


def within(steps: Generator[float | None, None, ValueT], base: float, width: float) -> Generator[float, None, ValueT]:
    """A part of a longer work: from `base` on, `width` of the whole; its value is that of the part."""
    while True:
        try:
            done = next(steps)
        except StopIteration as finished:
            found: ValueT = finished.value
            return found
        yield base + width * (done or 0.0)


def _drawn(setting: Setting, name: str, part: Part, rows: Tensor) -> Generator[float, None, tuple[Tensor, Tensor]]:
    """One z for each example given one modality alone [n, Z], and which of the rows they belong to, bool [N]."""
    generator = setting.generator(f"probe {name}", len(rows))
    found, known = [], []
    for number, block in enumerate(rows.split(setting.slice)):
        values = setting.views(part, block)[name]
        here = modal.present(setting.modalities[name], values)
        known.append(here)
        if bool(here.any()):
            found.append(setting.model.infer({name: values[here]}, setting.fusing).sample(generator)[0])
        yield number * setting.slice / len(rows)
    return torch.cat(found), torch.cat(known)


def _pixels(setting: Setting, name: str, part: Part, rows: Tensor) -> Generator[float, None, Tensor]:
    """Pictures as rows of numbers; large ones at a fraction of their size, or the fit would take a minute."""
    shape = setting.modalities[name].shape
    factor = math.ceil(math.sqrt(math.prod(shape) / MOST_PIXELS))
    found = []
    for block in rows.split(PIXEL_BLOCK):
        x = setting.views(part, block)[name].nan_to_num(0.0)
        found.append(F.avg_pool2d(x, factor, ceil_mode=True).flatten(1))
        yield 0.0
    return torch.cat(found)


def _right(read: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> Tally:
    first = next(iter(read.values()))
    tally = Tally()
    tally.add(coherence.agreement(read, truth, len(first), torch.zeros(1, device=first.device)))
    return tally


# -- synergy ---------------------------------------------------------------------------------------------------------


def synergy(setting: Setting, name: str, part: Part, count: int, k: int) -> Generator[float, None, Criterion | None]:
    """The bound on log p(x_m) with a posterior that sees everything, beside the one that sees x_m alone.

    Both are bounds on the same log p(x_m) by the same K draws of every component (Burda et al. 2016), so the higher
    one is nearer. None where no example has the modality and another one.
    """
    rows = torch.arange(min(count, SYNERGY_EXAMPLES, len(part)))
    with_all, alone, gain = Tally(), Tally(), Tally()
    size = max(1, setting.slice // len(setting.modalities))
    blocks = rows.split(size)
    for number, block in enumerate(blocks):
        generator = setting.generator(f"synergy {name}", number)
        views = prepared(setting, setting.views(part, block), generator)
        here = modal.present(setting.modalities[name], views[name])
        views = {n: v[here] for n, v in views.items()}
        if len(views) < 2 or not bool(here.any()):
            continue
        place = number / len(blocks)
        best = yield from within(bounding(setting, views, tuple(views), (name,), k, generator), place, 0.0)
        own = yield from within(bounding(setting, views, (name,), (name,), k, generator), place, 0.0)
        with_all.add(best)
        alone.add(own)
        gain.add(best - own)
    if not gain.count:
        return None
    baseline = "the posterior sees this modality alone"
    return Criterion("synergy", name, with_all.mean, with_all.error, alone.mean, baseline, gain.error)


def prepared(setting: Setting, views: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """The data as the likelihoods see them."""
    prepare = getattr(setting.model, "prepare", None)
    return views if prepare is None else prepare(views, generator)


def bounding(
    setting: Setting,
    views: Mapping[str, Tensor],
    given: tuple[str, ...],
    scored: tuple[str, ...],
    k: int,
    generator: torch.Generator,
) -> Generator[None, None, Tensor]:
    """`cross_bounds.importance_bound` in slices: [N], nats."""
    model = setting.model
    q, prior = model.infer(cross_bounds.chosen(views, given), setting.fusing), model.latent_prior()
    target = cross_bounds.chosen(views, scored)
    logs = q.log_weights.t().unsqueeze(1)
    step = max(1, setting.slice // (len(q.components) * logs.shape[2]))
    parts = []
    for start in range(0, k, step):
        z = cross_bounds.stratified(q, generator, min(step, k - start))
        w = cross_bounds.log_weights(model, target, q, z, prior) + logs
        parts.append(torch.logsumexp(w.flatten(0, 1), 0))
        yield
    return torch.logsumexp(torch.stack(parts), 0) - math.log(k)


# -- all of it -------------------------------------------------------------------------------------------------------


def joint_generation(draws: JointDraws) -> Criterion | None:
    """None where fewer than two modalities can be read."""
    tally, chance = draws.figures()
    if not tally.count:
        return None
    what = " + ".join(dict.fromkeys(name for by in draws.read.values() if len(by) > 1 for name in by))
    return Criterion(
        "joint generation", what, tally.mean, tally.error, chance, "modalities that do not know each other"
    )


def cross_generation(setting: Setting, table: Table, part: Part, count: int) -> list[Criterion]:
    """Every modality from every other one alone."""
    found = []
    for (row, column), tally in table.coherence.items():
        if len(row) == 1 and row[0] != column and tally.count:
            factors = tuple(f.name for f in setting.readers[column].factors)
            floor = coherence.majority(part, setting.readers, factors, count)
            what = f"{row[0]}{ARROW}{column}"
            found.append(Criterion("cross generation", what, tally.mean, tally.error, floor, "the commonest category"))
    return found


def figures(
    model: object, card: DataCard | ModelCard, dataset: Dataset, split: str = "test", count: int = 500, seed: int = 0
) -> Generator[float, None, dict[str, Metric]]:
    """What a checkpoint's card says of coherence: one metric for each pair, one for joint generation and each probe.

    Names: "coherence image → digit", "coherence joint", "probe image". One draw an example.

    Args:
        model: Crosses modalities; in evaluation mode.
        card: Of the data, or of the model.
        dataset: The data.
        split: Which part.
        count: How many examples, and how many draws of the prior.
        seed: Of all draws.

    Yields:
        The share that is done.
    """
    part, train = dataset.split(split), dataset.split("train")
    setting = coherence.setting_for(model, card, train, 1, seed)
    table, draws = Table(), JointDraws()
    singles = [(name,) for name in setting.modalities]
    yield from within(coherence.measuring(setting, part, count, table, singles), 0.0, 0.4)
    yield from within(coherence.drawing(setting, count, draws), 0.4, 0.1)
    found = {f"coherence {c.what}": _metric(c, split) for c in cross_generation(setting, table, part, count)}
    joint = joint_generation(draws)
    if joint is not None:
        found["coherence joint"] = _metric(joint, "")
    width = 0.5 / len(setting.modalities)
    for number, name in enumerate(setting.modalities):
        probe = yield from within(probing(setting, name, train, part, count), 0.5 + number * width, width)
        if probe is not None:
            found[f"probe {name}"] = _metric(probe, split)
    return found


def _metric(criterion: Criterion, split: str) -> Metric:
    estimator = "judge, drawn z" if criterion.name != "latent factorisation" else "linear classifier, drawn z"
    return Metric(criterion.value, "", estimator, criterion.error, split, lower_is_better=False)
