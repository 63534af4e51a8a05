"""Figures of what a model that denoises makes: beside those of held-out data, and of noise, which anyone can make.

A model that can be steered is given the conditions of the held-out pictures, and "free" is what it makes without any.
Every figure's name ends in who made the pictures: a sampler ("DDPM-100": 100 steps of it), "held-out" (data not trained
on: what cannot be beaten honestly), "training" (training pictures themselves: what a model that learnt them by heart
would make) or "noise".

"frechet S"          Frechet distance to the training part in the judge's features. Comparable only to that of the
                     held-out pictures, as many of them and to the same pictures; never to an Inception distance.
"frechet ratio S"    over that of the held-out pictures, the floor.
"precision S", "recall S"   against the held-out pictures, 3 neighbours, in those features.
"rarest S"           of the class that falls shortest: its share of its due, as the judge reads them.
"nearest S"          mean distance to the nearest training picture, over that of held-out pictures; far below 1 is
                     learnt by heart.
"copied S"           the distance to n training pictures drawn at random from all N, over that to n held-out ones: 1 of
                     what is only more typical than real pictures are, 1 - n / N of what is copied altogether.
"read back W"        share of the attributes asked for that the judge reads in what was made with guidance W;
                     "read back all W" when they are also said in words.
"within S"           of points: share within 3 standard deviations of a mode; 0.989 of the truth.
"energy S"           of points: energy distance to held-out ones; that of training points is the noise of the figure.
"bits/dim"           variational bound on minus log p of held-out pictures, per number; "bits/dim histogram" that of
                     pixels that know nothing of one another.
"""

from __future__ import annotations

import math
from collections.abc import Container, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dgm_studio.core.cards import Metric
from dgm_studio.core.requests import Evaluate
from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.data import toys
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.neighbours import nearest
from dgm_studio.data.splits import SPLITS
from dgm_studio.models.capabilities import Noising, Views
from dgm_studio.models.diffusion_bound import bounding
from dgm_studio.models.exact_denoiser import ExactDenoiser, GaussianMixture
from dgm_studio.models.judge import Judge, judge_for
from dgm_studio.training.criteria import within
from dgm_studio.training.drawing import device_of, drawing, given_of
from dgm_studio.training.frechet import energy_distance, frechet, precision_recall, rarest_share
from dgm_studio.training.order import derived_seed

MOST_SETS = 4  # drawn by every sampler; their differences say how exact a figure is
CLASSED = 2000  # pictures wanted in all sets to say which class is rare: of ten classes then 200 each
READ = 250  # pictures that a judge reads at once
NEIGHBOURS_OF = 64  # pictures whose neighbours are looked for at once
LEAST = 16  # held-out pictures below which no distance is worth its name
POINTS = 5000
PAIRED = 1500  # points of which every pair is measured at once
BOUNDED = 32  # pictures whose bound is worked out: T evaluations of the network on all of them
SMOOTHING = 0.1  # added to every count of a histogram of 256 levels
ASKED = 256  # pictures drawn to see whether they are what was asked for
OF_FREE = ("frechet ratio", "rarest")  # told of what was made without the conditions that the model knows
GUIDANCE = (1.0, 2.0, 3.0, 4.0, 6.0)
TELLING = ("label", "categorical", "attributes")  # conditions that are the factors themselves

RUNS = {
    "discrete": {"DDPM-100": Sampling("ddpm", 100), "DPM++2M-20": Sampling("dpmpp-2m", 20)},
    "variance-exploding": {"Heun-18": Sampling("heun", 18), "DPM++2M-20": Sampling("dpmpp-2m", 20)},
    "flow": {"Heun-18": Sampling("heun-flow", 18), "Euler-20": Sampling("euler-flow", 20)},
}
SHORT = {"discrete": "DPM++2M-20", "variance-exploding": "DPM++2M-20", "flow": "Euler-20"}
PLANAR = {
    "discrete": {"DPM++2M-35": Sampling("dpmpp-2m", 35)},
    "variance-exploding": {"Heun-18": Sampling("heun", 18)},
    "flow": {"Heun-18": Sampling("heun-flow", 18)},
}
HEADLINES = ("frechet ratio DDPM-100", "frechet ratio Heun-18", "within DPM++2M-35", "within Heun-18")
Figures = Generator[float, None, dict[str, Metric]]


def figures(model: Any, dataset: Dataset, request: Evaluate) -> Figures:
    """All of the above that the model and its data allow.

    Args:
        model: Denoises; in evaluation mode.
        dataset: What it was trained on; pictures or points.
        request: How many examples at most on either side (0: all that are held out) and the seed of every draw.

    Yields:
        The share that is done.
    """
    if dataset.card.modalities[0].kind == "image":
        return (yield from _pictures(model, dataset, request))
    return (yield from _points(model, dataset, request))


def headline_in(found: Container[str]) -> str:
    """The figure that says most of a model that denoises: of pictures, of points; "" where there is none."""
    return next((name for name in HEADLINES if name in found), "")


def runs_of(noising: Noising) -> dict[str, Sampling]:
    """The samplers of pictures by name; ancestral sampling has no more steps than the model."""
    found = dict(RUNS[noising.kind])
    steps = round(noising.noisiest) + 1
    if noising.kind == "discrete" and steps < found["DDPM-100"].steps:
        found = {f"DDPM-{steps}": replace(found.pop("DDPM-100"), steps=steps), **found}
    return found


# -- pictures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """What made pictures are held against.

    Args:
        train: The training part.
        held: Held-out pictures [n, C, H, W]; as many are made.
        given: Their conditions, n rows each, under which they are made; None where the model knows none. Drawn anew,
            the classes alone would be farther from the training part's: splits are stratified.
        judge: Reads them; None where the data have none.
        known: Features of the training pictures [N, F]; empty without a judge.
        wanted: Features of the held-out ones [n, F].
        due: Classes of the training pictures as the judge reads them, of its first factor [N].
        near: Mean distance of the held-out pictures to their nearest training picture.
        split: What the held-out part is called.
    """

    train: Part
    held: Tensor
    given: Views | None
    judge: Judge | None
    known: Tensor
    wanted: Tensor
    due: Tensor
    near: float
    split: str

    @property
    def counted(self) -> str:
        """How many are held against how many."""
        return f"{len(self.held):,} against {len(self.known):,}, features of {self.judge.name if self.judge else ''}"


def _pictures(model: Any, dataset: Dataset, request: Evaluate) -> Figures:
    ground = yield from _ground(model, dataset, request)
    if len(ground.held) < LEAST:
        return {}
    found = yield from _baselines(ground, request.seed)
    kind = model.noising().kind
    plans = [(name, sampling, True) for name, sampling in runs_of(model.noising()).items()]
    if ground.given is not None:
        plans.append((f"{SHORT[kind]} free", RUNS[kind][SHORT[kind]], False))
    several = min(MOST_SETS, max(2, math.ceil(CLASSED / len(ground.held))))
    for done, (name, sampling, steered) in enumerate(plans):
        sets = []
        for number in range(several):
            seed = derived_seed(request.seed, name, number)
            steps = drawing(model, sampling, len(ground.held), seed, ground.given if steered else None)
            sets.append((yield from within(steps, (done + number / several) / len(plans), 1 / several / len(plans))))
        told = yield from _measured(ground, sets, name)
        if ground.judge is not None:
            told[f"frechet ratio {name}"] = _over_floor(ground, told[f"frechet {name}"])
        found |= told if steered else {n: m for n, m in told.items() if n.startswith(OF_FREE)}
    if ground.given is not None and ground.judge is not None:
        found |= yield from _read_back(model, dataset, ground.judge, request)
    if hasattr(model, "tables"):
        found |= yield from _bits(model, ground, request)
    return found


def _ground(model: Any, dataset: Dataset, request: Evaluate) -> Generator[float, None, Ground]:
    """Held out are the part that is asked for, and all other parts but the training one."""
    first = request.split if request.split != "train" else SPLITS[-1]
    names = [first, *(split for split in SPLITS if split not in (first, "train"))]
    parts = [dataset.split(name) for name in names]
    train = dataset.split("train")
    n = min(request.count or len(train), sum(map(len, parts)), len(train))
    device = device_of(model)
    held = torch.cat([part.batch(torch.arange(len(part))) for part in parts])[:n].to(device)
    conditions = [given_of(model, part, torch.arange(len(part))) or {} for part in parts]
    given = {name: torch.cat([views[name] for views in conditions])[:n] for name in conditions[0]}
    judge = judge_for(dataset.card, dataset.card.modalities[0].name, str(device))
    known, wanted, due = torch.empty(0), torch.empty(0), torch.empty(0)
    if judge is not None:
        known = yield from _seen(judge, (train.batch(some) for some in torch.arange(len(train)).split(READ)))
        wanted = yield from _seen(judge, held.split(READ))
        due = _classes(judge, known)
    near = yield from _nearness(train, held)
    split = first if n <= len(parts[0]) else " + ".join(names)
    return Ground(train, held, given or None, judge, known, wanted, due, near, split)


def _seen(judge: Judge, blocks: Iterable[Tensor]) -> Generator[float, None, Tensor]:
    """Features of pictures that come in blocks, [N, F]."""
    found = []
    for some in blocks:
        with torch.no_grad():
            found.append(judge.features(some.to(judge.heads.weight.device)))
        yield 0.0
    return torch.cat(found)


def _classes(judge: Judge, features: Tensor) -> Tensor:
    """Of the judge's first factor, [N]."""
    with torch.no_grad():
        return judge.heads(features)[:, : len(judge.factors[0].categories)].argmax(1)


def _nearness(train: Part, x: Tensor) -> Generator[float, None, float]:
    total = 0.0
    for some in x.split(NEIGHBOURS_OF):
        total += float(nearest(train, some, 1)[0].sum())
        yield 0.0
    return total / max(1, len(x))


def _copied(ground: Ground, made: Tensor) -> Generator[float, None, float]:
    """How much nearer to training pictures than to as many held-out ones; of the training pictures themselves 0."""
    held = ground.held.cpu().flatten(1)
    known = ground.train.batch(_some(len(ground.train), len(held))).flatten(1)
    near = torch.zeros(2)
    for some in made.cpu().flatten(1).split(NEIGHBOURS_OF):
        near += torch.stack([torch.cdist(some, cloud).amin(1).sum() for cloud in (known, held)])
        yield 0.0
    return float(near[0] / near[1].clamp(min=1e-12))


def _some(count: int, n: int) -> Tensor:
    """Positions of n of `count` training pictures, always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(derived_seed(0, "some")))[:n]


def _measured(ground: Ground, sets: list[Tensor], who: str) -> Figures:
    """The figures of sets of pictures: means, with the standard error that their spread gives."""
    rows: list[dict[str, float]] = []
    classes: list[Tensor] = []
    for made in sets:
        row = {"nearest": (yield from _nearness(ground.train, made)) / max(ground.near, 1e-12)}
        row["copied"] = yield from _copied(ground, made)
        if ground.judge is not None:
            features = yield from _seen(ground.judge, made.split(READ))
            row["frechet"] = frechet(features, ground.known)
            yield 0.0
            row["precision"], row["recall"] = precision_recall(ground.wanted, features)
            classes.append(_classes(ground.judge, features))
        rows.append(row)
        yield 0.0
    found = {}
    for name in rows[0]:
        values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else 0.0
        about = f"{len(sets[0]):,} pictures" if name in ("nearest", "copied") else ground.counted
        about += f", of {len(ground.train):,} for training" if name == "copied" else ""
        how = f"{who}, {about}" + (f", mean of {len(sets)} sets" if len(sets) > 1 else "")
        found[f"{name} {who}"] = Metric(float(values.mean()), "", how, error, ground.split, name == "frechet")
    if ground.judge is not None:
        found[f"rarest {who}"] = _rarest(ground, torch.cat(classes), who)
    return found


def _rarest(ground: Ground, read: Tensor, who: str) -> Metric:
    """Over all sets at once: of few pictures the rarest class of ten is rare by chance."""
    assert ground.judge is not None
    factor = ground.judge.factors[0]
    share, error = rarest_share(read, ground.due, len(factor.categories))
    how = f"{who}, {factor.name} of {len(read):,} pictures, read by {ground.judge.name}"
    return Metric(share, "", how, error, ground.split, False)


def _baselines(ground: Ground, seed: int) -> Figures:
    """What held-out pictures, training pictures and noise reach."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "baselines"))
    some = _some(len(ground.train), len(ground.held))
    noise = torch.randn(ground.held.shape, generator=generator).mul(0.5).add(0.5).clamp(0.0, 1.0)
    held = yield from _measured(ground, [ground.held], "held-out")
    found = {name: metric for name, metric in held.items() if name.startswith(("frechet", "rarest"))}
    found |= yield from _measured(ground, [ground.train.batch(some).to(ground.held)], "training")
    found |= yield from _measured(ground, [noise.to(ground.held)], "noise")
    return found


def _over_floor(ground: Ground, mine: Metric) -> Metric:
    """A Frechet distance over that of the held-out pictures."""
    floor = frechet(ground.wanted, ground.known)
    about = f"{mine.estimator}, over that of {len(ground.held):,} held-out ones"
    return replace(mine, value=mine.value / floor, error=mine.error / floor, estimator=about)


# -- what was asked for ------------------------------------------------------------------------------------------------


def _read_back(model: Any, dataset: Dataset, judge: Judge, request: Evaluate) -> Figures:
    """Whether the judge reads what was asked for, for every guidance; beside what it reads in the real pictures."""
    part, kind = dataset.split(request.split), model.noising().kind
    rows = torch.arange(min(request.count or len(part), len(part), ASKED))
    asked = _asked(model, judge, part)
    if not asked:
        return {}
    real = part.batch(rows).to(device_of(model))
    found = {"read back held-out": _read(judge, real, part, rows, asked, "held-out", request.split)}
    alone, everything = given_of(model, part, rows, TELLING), given_of(model, part, rows)
    ways = {"read back": alone}
    if alone is not None and everything is not None and len(alone) < len(everything):
        ways["read back all"] = everything  # the same said in words besides
    plans = [(0.0, "read back", None), *((w, name, given) for name, given in ways.items() for w in GUIDANCE)]
    for number, (weight, name, given) in enumerate(plans):
        sampling = replace(RUNS[kind][SHORT[kind]], guidance=weight)
        steps = drawing(model, sampling, len(rows), derived_seed(request.seed, "asked"), given)
        made = yield from within(steps, number / len(plans), 1 / len(plans))
        who = f"{SHORT[kind]}, guidance {weight:g}"
        found[f"{name} {weight:g}"] = _read(judge, made, part, rows, asked, who, request.split)
    return found


def _asked(model: Any, judge: Judge, part: Part) -> list[str]:
    """The factors that the model can be asked for and the judge can read."""
    told = {name for m in model.conditions() for name in (m.about or m.name, *(c.name for c in m.columns))}
    return [f.name for f in judge.factors if f.name in told and f.name in part.factors]


def _read(judge: Judge, x: Tensor, part: Part, rows: Tensor, asked: list[str], who: str, split: str) -> Metric:
    """Share of the factors asked for that are read in pictures [n, C, H, W], mean over factors and pictures."""
    with torch.no_grad():
        logits = judge.logits(x)
    right = torch.stack([logits[f].argmax(1).cpu() == part.factors[f][rows] for f in asked], 1).double().mean(1)
    error = float(right.std() / math.sqrt(len(right)))
    how = f"{who}, {', '.join(asked)} of {len(rows)} pictures, read by {judge.name}"
    return Metric(float(right.mean()), "", how, error, split, False)


# -- how probable real pictures are ------------------------------------------------------------------------------------


def _bits(model: Any, ground: Ground, request: Evaluate) -> Figures:
    """The variational bound of a discrete model, without conditions, beside pixels that know nothing of one another."""
    held = ground.held[:BOUNDED]
    low, high = model.support()
    generator = torch.Generator(held.device).manual_seed(derived_seed(request.seed, "bound"))
    steps, done = bounding(model, low + (high - low) * held, generator), 0
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            bits: Tensor = finished.value.bits()
            break
        done += 1
        yield done / len(model.tables)
    alone = _histogram_bits(ground.train, held)
    found = {}
    for name, values, how in (
        ("bits/dim", bits, "variational bound, one draw a step, on"),
        ("bits/dim histogram", alone, "a histogram for every pixel, on"),
    ):
        error = float(values.std() / math.sqrt(len(values)))
        estimator = f"{how} {len(held)} pictures"
        found[name] = Metric(float(values.mean()), "bits/dim", estimator, error, request.split)
    return found


def _histogram_bits(train: Part, held: Tensor) -> Tensor:
    """Bits per number of pictures [n, *S] under independent pixels with the training part's frequencies: [n]."""
    levels, wanted = train.x.flatten(1).long().cpu(), held.mul(255.0).round().long().flatten(1).cpu()
    total, numbers = torch.zeros(len(held), dtype=torch.float64), wanted.shape[1]
    for pixel in range(numbers):
        counts = torch.bincount(levels[:, pixel], minlength=256).double() + SMOOTHING
        total -= (counts / counts.sum()).log2()[wanted[:, pixel]]
    return total / numbers


# -- points ------------------------------------------------------------------------------------------------------------


def _points(model: Any, dataset: Dataset, request: Evaluate) -> Figures:
    """Of points in the plane: energy distances, and how many lie where the truth would have them."""
    count, truth = min(request.count or POINTS, POINTS), _truth(dataset)
    train, held = dataset.split("train"), dataset.split(request.split)
    real = held.batch(torch.arange(len(held)))
    noise = torch.randn(count, real.shape[1], generator=torch.Generator().manual_seed(request.seed))
    clouds = {"training": train.batch(torch.arange(min(len(train), count))), "noise": noise}
    makers: dict[str, Any] = {"": model}
    if truth is not None:
        makers[" exact"] = ExactDenoiser(model.noising(), GaussianMixture(truth.centres, truth.std))
    for number, (suffix, maker) in enumerate(makers.items()):
        for name, sampling in PLANAR[model.noising().kind].items():
            steps = drawing(maker, sampling, count, derived_seed(request.seed, name))
            clouds[f"{name}{suffix}"] = yield from within(steps, number / len(makers), 1.0 / len(makers))
    found = {}
    for who, points in clouds.items():
        some = points[:PAIRED]
        how = f"{who}, {len(some):,} against {len(real):,} held-out points"
        found[f"energy {who}"] = Metric(energy_distance(some, real), "", how, 0.0, request.split)
        yield 1.0
        if truth is not None and truth.modes:
            share = float(truth.within(points.cpu()).double().mean())
            error = math.sqrt(share * (1.0 - share) / len(points))
            found[f"within {who}"] = Metric(share, "", f"{who}, {len(points):,} points", error, request.split, False)
    return found


def _truth(dataset: Dataset) -> toys.Mixture | None:
    """The Gaussians behind a toy."""
    return toys.mixture(dataset.card.name) if dataset.card.name in toys.toys() else None
