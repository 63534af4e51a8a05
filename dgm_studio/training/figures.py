"""All figures of a trained model on a part of its data: bounds, and what its capabilities add to them.

Besides those of `evaluate`:

"accuracy NAME"       share of pictures that a classifier of the model gets right.
"coherence A → B"     share of values generated from A alone that the judge reads as the truth; "coherence joint" of
                      draws from the prior, whose modalities are to agree (Shi et al. 2019, section 4).
"probe A"             accuracy of a linear classifier on z drawn from q(z | A).
"error A → B"         of numbers predicted from other modalities, and "area A → B: c" of choices: see `predictions`.
"frechet ratio S" and more, of what a model makes from noise with the sampler S: see `generated`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Metric, Modality
from dgm_studio.core.requests import Evaluate
from dgm_studio.core.updates import Problem, Progress, Result, Update
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Classifies, Crosses, Denoises
from dgm_studio.training import criteria, generated, predictions
from dgm_studio.training.evaluate import evaluate
from dgm_studio.training.order import derived_seed

CLASSIFIED = 8  # pictures at once with DRAWS of each; fixed, never timed, so that figures repeat
DRAWS = 10  # of z for each classified picture
LARGEST_CROSSING = 500  # examples and draws that coherence is measured on


def figures_of(model: nn.Module, dataset: Dataset, request: Evaluate) -> Iterator[Update]:
    """Progress on the way, then Result: {name: Metric}.

    Args:
        model: In evaluation mode.
        dataset: What it was trained on.
        request: Which part, how many examples, how many draws, which seed.

    Raises:
        Problem: Fewer than one example or draw is asked for.
    """
    known = dataset if registry.takes_views(model) else dataset.seen()
    part = known.split(request.split)
    found: dict[str, Metric] = {}
    for update in evaluate(model, part, request):
        if isinstance(update, Result):
            found |= update.value
        else:
            yield update
    if classifies(model):
        shares = yield from accuracies(model, registry.modalities_of(model, ()), part, request, DRAWS)
        found |= {f"accuracy {name}": metric for name, metric in shares.items()}
    if isinstance(model, Crosses):
        count = min(request.count or len(part), len(part), LARGEST_CROSSING)
        found |= yield from _crossing(model, known, request, count)
        modalities = registry.modalities_of(model, known.card.modalities)
        if predictions.predicts(modalities):
            found |= yield from _predicting(model, modalities, known, request)
    if isinstance(model, Denoises):
        found |= yield from _told(generated.figures(model, known, request), "Making examples")
    yield Result(found)


def classifies(model: nn.Module) -> bool:
    """Whether it says of pictures which class they are; a model that crosses may have no label."""
    modalities = registry.modalities_of(model, ())
    return isinstance(model, Classifies) and any(m.kind == "label" for m in modalities)


def accuracies(
    model: nn.Module, modalities: tuple[Modality, ...], part: Part, request: Evaluate, samples: int
) -> Generator[Progress, None, dict[str, Metric]]:
    """The share of pictures that each classifier of a model gets right, with its binomial standard error.

    Args:
        model: Classifies; in evaluation mode.
        modalities: It has to do with; its picture and its label among them.
        part: The examples; those without a class are left out.
        request: What the part is called, how many examples of it (0 for all), the seed of the draws.
        samples: Draws of z for each.

    Returns:
        A metric for each classifier, by its name.

    Raises:
        Problem: No example has a known class.
    """
    label, picture = (next(m.name for m in modalities if m.kind == kind) for kind in ("label", "image"))
    rows = torch.arange(min(request.count or len(part), len(part)))
    truth = part.views(rows.to(part.x.device))[label].cpu()
    rows = rows[truth >= 0]
    if not len(rows):
        raise Problem(f"No example of the split {request.split} has a known class.", "Choose other data.")
    device = next(model.parameters()).device
    right: dict[str, int] = {}
    for number, some in enumerate(rows.split(max(1, CLASSIFIED * DRAWS // max(DRAWS, samples)))):
        generator = torch.Generator(device).manual_seed(derived_seed(request.seed, "classifying", number))
        x = part.views(some.to(part.x.device))[picture].to(device)  # as views have it: what is erased is unknown
        wanted = truth[some].to(device)
        with torch.no_grad():
            logs: dict[str, Tensor] = cast(Classifies, model).class_log_probs(x, generator, samples)
        for name, values in logs.items():
            right[name] = right.get(name, 0) + int((values.argmax(1) == wanted).sum())
        yield Progress(int(some[-1]) + 1, int(rows[-1]) + 1, "Classifying")
    return {name: _share(hits, len(rows), f"{name}, K={samples}", request.split) for name, hits in right.items()}


def _share(right: int, count: int, estimator: str, split: str) -> Metric:
    """A share with its binomial standard error."""
    share = right / count
    return Metric(share, "", estimator, math.sqrt(share * (1.0 - share) / count), split, lower_is_better=False)


def _crossing(
    model: nn.Module, dataset: Dataset, request: Evaluate, count: int
) -> Generator[Progress, None, dict[str, Metric]]:
    steps = criteria.figures(model, dataset.card, dataset, request.split, count, request.seed)
    return (yield from _told(steps, "Measuring coherence"))


def _predicting(
    model: Any, modalities: tuple[Modality, ...], dataset: Dataset, request: Evaluate
) -> Generator[Progress, None, dict[str, Metric]]:
    parts = (dataset.split(request.split), dataset.split("train"))
    count = request.count or len(parts[0])
    device = next(model.parameters()).device
    steps = predictions.figures(model, modalities, parts, request.split, count, device, request.seed)
    return (yield from _told(steps, "Predicting"))


def _told(steps: Generator[float, None, dict[str, Metric]], what: str) -> Generator[Progress, None, dict[str, Metric]]:
    """Shares of a work as progress."""
    while True:
        try:
            with torch.no_grad():
                share = next(steps)
        except StopIteration as finished:
            found: dict[str, Metric] = finished.value
            return found
        yield Progress(round(100 * share), 100, what)
