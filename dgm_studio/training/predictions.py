"""Numbers and choices predicted from other modalities, and how far off they are: what a clinical record asks for.

"error A → B"      mean absolute error of B predicted from A alone, in B's unit; "error rest → B" from everything else,
                   and "error nothing → B" of the training part's median, which knows nothing of the example.
"area A → B: c"    area under the ROC curve of p(B = c | A) against all other categories; 0.5 knows nothing.

A number is predicted by the median of its predictive distribution, which has the least expected absolute error. That
distribution, p(b | a) = E_q(z | a)[p(b | z)], is taken as the mixture of p(b | z) over drawn z, whose median is found
exactly; no b is drawn. Errors treat examples as independent: two pictures of one patient count as two.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dgm_studio.core.cards import Metric, Modality
from dgm_studio.core.requests import Fusing
from dgm_studio.data.dataset import Part
from dgm_studio.models import modal
from dgm_studio.models.capabilities import Joint, Likelihood, Views
from dgm_studio.models.modal_likelihoods import Choice, Numbers
from dgm_studio.training.coherence import Tally
from dgm_studio.training.criteria import ARROW
from dgm_studio.training.order import derived_seed

NUMBERS = ("real", "positive")
DRAWS = 50  # of z for each example
BLOCK = 10  # examples at once; fixed, never timed, so that figures repeat
BISECTIONS = 40  # halvings of the interval that the median lies in: more than single precision can tell
REACH = 8.0  # standard deviations beyond the outermost component that the interval begins with
Row = tuple[str, ...]


class Predicts(Protocol):
    """A model whose modalities share one z; see `models.capabilities.Crosses`."""

    def infer(self, given: Views, fusing: Fusing | None = None) -> Joint:
        """q(z | given)."""

    def generate(self, z: Tensor, names: tuple[str, ...] = ()) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named."""


@dataclass
class Predictions:
    """What is predicted for N examples, by (what was given, what is predicted).

    Args:
        medians: [N] of every number, in its unit; NaN where nothing that was asked for is known.
        chances: [N, C] of every categorical; NaN likewise.
    """

    medians: dict[tuple[Row, str], Tensor] = field(default_factory=dict)
    chances: dict[tuple[Row, str], Tensor] = field(default_factory=dict)


def predicts(modalities: tuple[Modality, ...]) -> bool:
    """Whether there is a number to predict, and something to predict it from."""
    return len(modalities) > 1 and any(m.kind in NUMBERS for m in modalities)


def predicting(
    model: Predicts,
    modalities: tuple[Modality, ...],
    part: Part,
    count: int,
    device: torch.device,
    seed: int = 0,
    draws: int = DRAWS,
) -> Generator[float, None, Predictions]:
    """Predict every number and categorical from the first modality alone and from all the others together.

    What is missing among the others is left out row by row.

    Args:
        model: In evaluation mode.
        modalities: Its own.
        part: The examples.
        count: How many of them.
        device: Of the model.
        seed: Of the draws.
        draws: Of z for each example.

    Yields:
        The share that is done.
    """
    named = {m.name: m for m in modalities}
    targets = [m.name for m in modalities[1:] if m.kind in (*NUMBERS, "categorical")]
    pieces: dict[tuple[Row, str], list[Tensor]] = {}
    blocks = torch.arange(min(count, len(part))).split(BLOCK)
    for number, rows in enumerate(blocks):
        found = part.views(rows.to(part.x.device))
        views = {name: found[name].to(device) for name in named if name in found}
        generator = torch.Generator(device).manual_seed(derived_seed(seed, "predicting", number))
        for given, wanted in _questions(tuple(named), targets):
            known = {n: views[n] for n in given if n in views}
            answers = answered(model, named, known, wanted, generator, draws, len(rows))
            for name, values in answers.items():
                pieces.setdefault((given, name), []).append(values)
        yield (number + 1) / len(blocks)
    whole = {key: torch.cat(values) for key, values in pieces.items()}
    return Predictions(
        {key: v for key, v in whole.items() if v.ndim == 1}, {key: v for key, v in whole.items() if v.ndim == 2}
    )


def _questions(names: Row, targets: list[str]) -> list[tuple[Row, Row]]:
    """(given, wanted): all targets from the first modality, and each from everything else, where that is more."""
    first = (names[:1], tuple(targets))
    rest = [(tuple(n for n in names if n != target), (target,)) for target in targets]
    return [first] + [question for question in rest if len(question[0]) > 1]


def answered(
    model: Predicts,
    named: Mapping[str, Modality],
    given: Views,
    wanted: Row,
    generator: torch.Generator,
    k: int,
    n: int,
) -> dict[str, Tensor]:
    """Medians [N] of numbers and chances [N, C] of categoricals; NaN where nothing of what is given is known."""
    told = torch.stack([modal.present(named[name], values) for name, values in given.items()]).any(0)
    with torch.no_grad():
        z = model.infer(given).sample(generator, k)
        likelihoods = model.generate(z.flatten(0, 1), wanted)
    found: dict[str, Tensor] = {}
    for name in wanted:
        p = likelihoods[name]
        if isinstance(p, Numbers):
            values = mixture_median(p, k)[:, 0]
        elif isinstance(p, Choice):
            values = p.mean.unflatten(0, (k, n)).mean(0)
        else:
            continue
        found[name] = values.masked_fill(~told.view(-1, *[1] * (values.ndim - 1)), math.nan).cpu()
    return found


def mixture_median(p: Numbers, draws: int) -> Float[Tensor, "n d"]:
    """Median of the mixture of p(x | z_k) over K draws of z, of equal weights, by bisection of its distribution.

    Args:
        p: Of K N latents, all of the first draw first.
        draws: K.

    Returns:
        In natural units: the logarithm is monotonous, so the median of a positive number is the exponential of that of
        its logarithm.
    """
    mean = p.location.double().unflatten(0, (draws, -1))
    std = p.scale.double().unflatten(0, (draws, -1))
    low, high = (mean - REACH * std).amin(0), (mean + REACH * std).amax(0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = torch.special.ndtr((middle - mean) / std).mean(0) < 0.5
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    found = 0.5 * (low + high)
    return (found.exp() if p.logarithmic else found).to(p.raw_mean.dtype)


def area(score: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> tuple[float, float]:
    """Area under the ROC curve, ties counting half, and its standard error (DeLong et al. 1988, equations 2 to 5).

    Args:
        score: Higher speaks for positive.
        positive: The truth.

    Returns:
        NaN twice where there are fewer than two of either kind.
    """
    above, below = score[positive].double(), score[~positive].double()
    if min(len(above), len(below)) < 2:
        return math.nan, math.nan
    beaten, beating = _placements(above, below), 1.0 - _placements(below, above)
    variance = beaten.var() / len(above) + beating.var() / len(below)
    return float(beaten.mean()), math.sqrt(float(variance))


def _placements(score: Tensor, others: Tensor) -> Tensor:
    """Share of the others that each score beats, ties counting half."""
    ordered = others.sort().values
    ranks = torch.searchsorted(ordered, score) + torch.searchsorted(ordered, score, right=True)
    return ranks.double() / (2 * len(others))


def figures(
    model: Predicts,
    modalities: tuple[Modality, ...],
    parts: tuple[Part, Part],
    split: str,
    count: int,
    device: torch.device,
    seed: int = 0,
) -> Generator[float, None, dict[str, Metric]]:
    """The metrics named above. Only examples whose truth is known count.

    Args:
        model: In evaluation mode.
        modalities: Its own.
        parts: What is measured on, and the training part, whose median is the baseline.
        split: What the first of them is called.
        count: How many of its examples.
        device: Of the model.
        seed: Of the draws.

    Yields:
        The share that is done.
    """
    part, train = parts
    predictions = yield from predicting(model, modalities, part, count, device, seed)
    named = {m.name: m for m in modalities}
    found: dict[str, Metric] = {}
    for (given, name), medians in predictions.medians.items():
        truth, unit = part.others[name][: len(medians), 0].cpu(), named[name].unit
        guess = train.others[name][:, 0].cpu().nanmedian().expand(len(medians))
        found[f"error {spoken(given)}{ARROW}{name}"] = _error(medians, truth, unit, f"median of {DRAWS} draws", split)
        found[f"error nothing{ARROW}{name}"] = _error(guess, truth, unit, "median of the training part", split)
    for (given, name), chances in predictions.chances.items():
        truth = part.others[name][: len(chances)].cpu()
        found |= _areas(spoken(given), named[name], chances, truth, split)
    return {name: metric for name, metric in found.items() if math.isfinite(metric.value)}


def spoken(given: Row) -> str:
    """One modality by its name, more of them as "rest"."""
    return given[0] if len(given) == 1 else "rest"


def _error(predicted: Tensor, truth: Tensor, unit: str, estimator: str, split: str) -> Metric:
    tally = Tally()
    tally.add((predicted - truth).abs())  # NaN where the truth is unknown
    return Metric(tally.mean, unit, estimator, tally.error, split)


def _areas(given: str, modality: Modality, chances: Tensor, truth: Tensor, split: str) -> dict[str, Metric]:
    """Of every category against all others; of two only the second, for the first says the same."""
    known = (truth >= 0) & torch.isfinite(chances).all(1)
    found = {}
    for index in range(1 if len(modality.categories) == 2 else 0, len(modality.categories)):
        value, error = area(chances[known, index], truth[known] == index)
        name = f"area {given}{ARROW}{modality.name}: {modality.categories[index]}"
        found[name] = Metric(value, "", f"mean of {DRAWS} draws", error, split, lower_is_better=False)
    return found
