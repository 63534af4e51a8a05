"""Predicted numbers beside the true ones, and one eye as it would look were its patient otherwise.

Agreement after Bland and Altman (1986), Lancet 327:307: the difference of two measurements against their mean, its mean
(the bias) and the limits of agreement, bias +- 1.96 standard deviations; their standard errors are those of Bland and
Altman (1999), section 2.2. A prediction that shrinks towards the mean, as every good one does, shows as a falling line:
its slope is told, so that it is not taken for a fault of the old or of the young.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgm_studio.core.requests import ChangeRecord, CompareNumbers
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.data import fundus
from dgm_studio.data.kept import split_name
from dgm_studio.explore.answers import answers
from dgm_studio.explore.crossing import Datum, datum_of, joints, known_rows
from dgm_studio.explore.crossing_values import NUMBERS, modalities_of
from dgm_studio.explore.loaded import LoadedModel, as_bytes, as_floats
from dgm_studio.explore.samples import rows_of
from dgm_studio.training.order import derived_seed
from dgm_studio.training.predictions import BLOCK, answered

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

SHOWN_EVERY = 5  # blocks
MOST_COUNT, MOST_DRAWS = 20_000, 500
WITHIN = 1.96  # standard deviations that hold 95 % of a Gaussian
REDRAWN = ("age", "sbp", "hba1c", "sex", "smoking")
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How two measurements of the same agree; NaN while there are too few.

    Args:
        bias: Mean of first minus second.
        low: Lower limit of agreement.
        high: Upper limit.
        bias_error: Standard error of the bias.
        limit_error: Of either limit.
        slope: Of the difference over the mean of the two, by least squares.
        absolute: Mean absolute difference.
        absolute_error: Its standard error.
    """

    bias: float
    low: float
    high: float
    bias_error: float
    limit_error: float
    slope: float
    absolute: float
    absolute_error: float


def agreement(first: Numbers, second: Numbers) -> Agreement:
    """Bland and Altman's figures of N pairs; pairs of which one is unknown are left out.

    >>> agreement(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 3.0])).bias
    1.0
    """
    known = np.isfinite(first) & np.isfinite(second)
    difference, middle = (first - second)[known], 0.5 * (first + second)[known]
    n = len(difference)
    if n < 2:
        return Agreement(*[math.nan] * 8)
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    limit_error = spread * math.sqrt(1.0 / n + WITHIN**2 / (2.0 * (n - 1)))
    centred = middle - middle.mean()
    slope = float(centred @ difference / (centred @ centred)) if centred.any() else math.nan
    size = np.abs(difference)
    return Agreement(
        bias,
        bias - WITHIN * spread,
        bias + WITHIN * spread,
        spread / math.sqrt(n),
        limit_error,
        slope,
        float(size.mean()),
        float(size.std(ddof=1)) / math.sqrt(n),
    )


@answers(CompareNumbers)
def compare_numbers(bench: Workbench, asked: CompareNumbers) -> Iterator[Update]:
    """Block by block; the figures are of what has been predicted so far."""
    model = bench.model(asked.model)
    modalities = modalities_of(model)
    sources = _sources(asked, tuple(modalities))
    known_rows(modalities, (sources, (asked.modality,)))
    if modalities[asked.modality].kind not in NUMBERS:
        raise Problem(f"{asked.modality} is no number.", "Choose a modality that is one.")
    if not 1 <= asked.count <= MOST_COUNT or not 1 <= asked.draws <= MOST_DRAWS:
        raise Problem(f"{asked.count} examples of {asked.draws} draws cannot be predicted.", "Ask for fewer.")
    dataset = yield from bench.dataset(model.card.data)
    part, train = dataset.split(asked.split), dataset.split("train")
    rows = rows_of(part, 0, asked.count, asked.split)
    truth = part.others[asked.modality][rows][:, 0].double().cpu().numpy()
    guess = float(train.others[asked.modality][:, 0].double().nanmedian())
    optimum = fundus.optimum().get(asked.modality) if _is_fundus(model) and asked.split == "test" else None
    about: dict[str, Any] = {"modality": asked.modality, "unit": modalities[asked.modality].unit, "sources": sources}
    about["guess"] = agreement(np.full(len(truth), guess), truth).absolute
    about["optimum"] = float(optimum["value"]) if optimum and sources == (next(iter(modalities)),) else math.nan
    predicted = np.full(len(truth), math.nan)
    blocks = torch.split(rows, BLOCK)
    for number, block in enumerate(blocks):
        views = {n: v.to(model.device) for n, v in part.views(block).items() if n in sources}
        generator = model.generator(derived_seed(asked.seed, "comparing", number))
        found = answered(model.module, modalities, views, (asked.modality,), generator, asked.draws, len(block))
        start = number * BLOCK
        predicted[start : start + len(block)] = found[asked.modality].double().numpy()
        done = start + len(block)
        yield Progress(done, len(rows), f"Predicting {asked.modality}")
        if number % SHOWN_EVERY == SHOWN_EVERY - 1 or number == len(blocks) - 1:
            yield Frame("numbers", about | _compared(predicted[:done], truth[:done]))


def _sources(asked: CompareNumbers, names: tuple[str, ...]) -> tuple[str, ...]:
    """What the number is predicted from.

    Raises:
        Problem: Nothing, or the number itself.
    """
    sources = tuple(asked.sources) or tuple(n for n in names if n != asked.modality)
    if asked.modality in sources:
        raise Problem(f"{asked.modality} cannot be predicted from itself.", "Take it out of what is given.")
    return sources


def _compared(predicted: Numbers, truth: Numbers) -> dict[str, Any]:
    figures = asdict(agreement(predicted, truth))
    return {"predicted": predicted.astype(np.float32), "truth": truth.astype(np.float32), **figures}


# -- the same eye, otherwise -------------------------------------------------------------------------------------------


def _is_fundus(model: LoadedModel) -> bool:
    return split_name(model.card.data)[0] == "fundus"


@answers(ChangeRecord)
def change_record(bench: Workbench, asked: ChangeRecord) -> Iterator[Update]:
    """What the renderer draws for the same eye, and what the model makes of the same change."""
    model = bench.model(asked.model)
    modalities = modalities_of(model)
    if not _is_fundus(model):
        raise Problem("Only invented eyes can be drawn again.", "Choose a model of the synthetic fundus data.")
    if asked.modality not in REDRAWN or asked.modality not in modalities:
        raise Problem(f"{asked.modality} does not change an eye here.", f"Choose from {', '.join(REDRAWN)}.")
    image = next(name for name, m in modalities.items() if m.kind == "image")
    if image in asked.given.values:
        raise Problem("An eye of your own cannot be drawn again.", "Go back to the example's picture.")
    part = (yield from bench.dataset(model.card.data)).split(asked.given.split)
    place = int(part.indices[rows_of(part, asked.given.index, 1, asked.given.split)][0])
    before, after = fundus.redraw(place), fundus.redraw(place, {asked.modality: asked.value})
    yield Progress(1, 3, "Drawing the eye again")
    rows: dict[str, dict[str, Any]] = {"renderer": _row(before / 255.0, after / 255.0)}
    for name, without in (("eye and record", ()), ("record alone", (image,))):
        given = replace(asked.given, missing=tuple({*asked.given.missing, *without}))
        first = yield from datum_of(bench, model, given)
        changed = replace(given, values={**given.values, asked.modality: asked.value})
        changed = replace(changed, missing=tuple(m for m in changed.missing if m != asked.modality))
        second = yield from datum_of(bench, model, changed)
        pictures = [_drawn(model, datum, image) for datum in (first, second)]
        rows[name] = _row(*pictures)
    real = rows["renderer"]["change"]
    for row in rows.values():
        row["cosine"], row["share"] = _likeness(row["change"], real)
    shown = {name: {**row, "change": row["change"].mean(-1).astype(np.float32)} for name, row in rows.items()}
    yield Frame(
        "otherwise", {"rows": shown, "modality": asked.modality, "value": asked.value, "was": _was(part, asked)}
    )


def _was(part: Any, asked: ChangeRecord) -> float:
    """The value before: the user's own, else the record's; NaN where nobody knows."""
    own = asked.given.values.get(asked.modality)
    if own is not None:
        return float(own)
    value = float(part.others[asked.modality][asked.given.index].flatten()[0])
    return math.nan if value < 0 else value


def _drawn(model: LoadedModel, datum: Datum, image: str) -> NDArray[np.float64]:
    """The picture that a model makes of the posterior's mean, [H, W, 3] in [0, 1]."""
    joint = joints(model, datum, (datum.names,))
    mean: Tensor = model.module.generate(joint.mean, (image,))[image].mean
    return np.asarray(as_floats(mean[0].permute(1, 2, 0)), np.float64)


def _row(before: Numbers, after: Numbers) -> dict[str, Any]:
    pictures = torch.from_numpy(np.stack([before, after])).permute(0, 3, 1, 2).float()
    first, second = as_bytes(pictures)
    return {"before": first, "after": second, "change": after - before}


def _likeness(change: Numbers, real: Numbers) -> tuple[float, float]:
    """Cosine of two changes, and the length of the first as a share of the second's; NaN where nothing changes."""
    lengths = float(np.linalg.norm(change)), float(np.linalg.norm(real))
    if min(lengths) < 1e-9:
        return math.nan, lengths[0] / lengths[1] if lengths[1] else math.nan
    return float((change * real).sum()) / (lengths[0] * lengths[1]), lengths[0] / lengths[1]
