"""Accuracy against the number of labels: M2 beside the same classifier by supervision alone, trained while one looks.

Both have the same test pictures, the same labels, the same first weights of q(y | x), and the same number of steps;
M2 sees the pictures without a label too. Nothing is written anywhere, and a stop leaves nothing behind.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests import TraceLabels
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.kept import KEPT_SEED, Kept, keep, split_name
from dgm_studio.explore.answers import answers
from dgm_studio.explore.classifying import truths_of
from dgm_studio.explore.loaded import Floats
from dgm_studio.models import registry
from dgm_studio.models.class_conditional import modalities_for
from dgm_studio.models.m2 import GUESS
from dgm_studio.training.config import TrainingConfig
from dgm_studio.training.optimising import Optimising, measure_micro_batch
from dgm_studio.training.order import Order, derived_seed
from dgm_studio.training.randomness import Randomness

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

SYSTEM = "m2"
KINDS = ("generative", "supervised")
# Beside the defaults of M2 and of the loop. One seed, mnist5k, 10 labels a class, q(y | x): 0.81 after 1,500 steps with
# M2's own 256 hidden units; with 512, 0.86 after the first 1,500 of 3,000. The classifier alone: 0.77.
CONFIG: dict[str, Any] = {"hidden": 512}
TRAINING: dict[str, Any] = {"batch": 32, "learning_rate": 2e-3}
LOOKS = 10  # at the accuracy during a training
TEST_COUNT = 1000
TEST_SLICE = 250
MOST = {"steps": 1_000_000, "seeds": 100}


class Supervised(nn.Module):
    """A classifier alone, trained on cross-entropy.

    Args:
        classifier: Pictures to unnormalised log probabilities.
        picture: Name of its modality.
        label: Likewise.
    """

    takes_views = True

    def __init__(self, classifier: nn.Module, picture: str, label: str) -> None:
        super().__init__()
        self.classifier, self.picture, self.label = classifier, picture, label

    def guess(self, x: Tensor) -> Tensor:
        """log p(y | x), [N, C]."""
        return torch.log_softmax(self.classifier(x), 1)

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        """-log p(y | x) of every example, all of which have a label."""
        return {"loss": F.nll_loss(self.guess(batch[self.picture]), batch[self.label], reduction="none")}


@dataclass(frozen=True)
class _Task:
    """One model to train.

    Args:
        kind: "generative" or "supervised".
        model: Untrained.
        part: What it sees.
        steps: Optimiser steps.
        seed: Of everything random in its training.
    """

    kind: str
    model: nn.Module
    part: Part
    steps: int
    seed: int


@dataclass
class _Curves:
    """What is known so far: accuracies of finished trainings [seeds, n], and of those that are under way [n]."""

    asked: TraceLabels
    finished: dict[str, Floats]
    running: dict[str, Floats]

    @classmethod
    def empty(cls, asked: TraceLabels) -> _Curves:
        """Nothing is known."""
        n = len(asked.labels)
        finished = {kind: np.full((asked.seeds, n), np.nan, np.float32) for kind in KINDS}
        return cls(asked, finished, {kind: np.full(n, np.nan, np.float32) for kind in KINDS})

    def frame(self) -> Frame:
        """As it is now: means over the seeds that are finished, else where the training stands."""
        accuracy, error = {}, {}
        for kind in KINDS:
            found = [column[np.isfinite(column)] for column in self.finished[kind].T]
            now = zip(found, self.running[kind], strict=True)
            accuracy[kind] = np.array([v.mean() if len(v) else other for v, other in now], np.float32)
            spread = [v.std(ddof=1) / math.sqrt(len(v)) if len(v) > 1 else math.nan for v in found]
            error[kind] = np.array(spread, np.float32)
        return Frame(
            "labels",
            {
                "labels": np.array(self.asked.labels),
                "accuracy": accuracy,
                "error": error,
                "finished": {kind: np.isfinite(values).sum(0) for kind, values in self.finished.items()},
                "system": SYSTEM,
                "classifier": GUESS,
                "steps": self.asked.steps,
                "seeds": self.asked.seeds,
            },
        )


@answers(TraceLabels, grad=True)
def trace_labels(bench: Workbench, asked: TraceLabels) -> Iterator[Update]:
    """Few labels first; of each number M2, then the classifier alone."""
    _check(asked)
    dataset = yield from bench.dataset(split_name(asked.data)[0])
    for count in asked.labels:
        _kept(dataset, count, asked.seed)  # says now, not half an hour later, that there are not so many
    curves, work = _Curves.empty(asked), 2 * asked.seeds * len(asked.labels) * asked.steps
    yield curves.frame()
    done = 0
    for repeat in range(asked.seeds):
        for at, count in enumerate(asked.labels):
            for task in _tasks(dataset, count, asked, repeat):
                words = f"{task.kind.capitalize()}, {f'{count} labels a class' if count else 'all labels'}"
                for step, accuracy in _training(task, dataset, bench.device):
                    if accuracy is not None:
                        curves.running[task.kind][at] = accuracy
                        yield curves.frame()
                    yield Progress(done + step, work, words)
                curves.finished[task.kind][repeat, at] = curves.running[task.kind][at]
                done += asked.steps
                yield curves.frame()


def _check(asked: TraceLabels) -> None:
    for what, most in MOST.items():
        value = getattr(asked, what)
        if not 1 <= value <= most:
            raise Problem(f"{value} {what} cannot be traced.", f"Ask for 1 to {most:,}.")
    if not asked.labels or min(asked.labels) < 0 or len(set(asked.labels)) < len(asked.labels):
        raise Problem("Numbers of labels are wanted, each once.", "Write 1, 5, 10, 50 for example; 0 takes all.")


def _tasks(dataset: Dataset, count: int, asked: TraceLabels, repeat: int) -> Iterator[_Task]:
    """Both models for one number of labels, with the same first weights of the classifier."""
    seed = derived_seed(asked.seed + repeat, "labels")
    model: Any = registry.build(SYSTEM, CONFIG, dataset.card.modalities, seed)
    picture, label = model.modalities
    alone = Supervised(copy.deepcopy(model.classifier), picture.name, label.name)
    part = _kept(dataset, count, asked.seed + repeat).split("train")
    model.count(part.others)
    yield _Task("generative", model, part, asked.steps, seed)
    yield _Task("supervised", alone, labelled(part, label), asked.steps, seed)


def plain_classifier(
    dataset: Dataset, picture: Modality, label: Modality, steps: int, device: torch.device
) -> Generator[int, None, Supervised]:
    """The classifier of M2 by supervision alone, as it comes: on all known labels, no picture changed in training.

    Yields:
        Steps done.

    Returns:
        The averaged weights.
    """
    network: Any = registry.build(SYSTEM, CONFIG, (picture, label), 0)
    part = labelled(dataset.split("train"), label)
    alone = Supervised(network.classifier, picture.name, label.name)
    working = Optimising(
        alone.to(device),
        part,
        TrainingConfig(steps=steps, **TRAINING),
        Order(len(part), 0),
        Randomness(alone, device, 0),
    )
    while working.step < steps:
        yield working.step
        figures = yield from _steps_of(working.advance(), working)
        if not figures.finite():
            raise Problem(f"The loss was not finite at step {working.step + 1}.")
    return cast(Supervised, working.average)


def _kept(dataset: Dataset, count: int, repeat: int) -> Dataset:
    """So many labels of each class; repeat 0 keeps those of the data's own name ("mnist5k~digit=10")."""
    label = modalities_for(dataset.card.modalities)[1]
    return keep(dataset, (Kept(label.name, count),), KEPT_SEED + repeat) if count else dataset


def labelled(part: Part, label: Modality) -> Part:
    """The rows of a part whose label is known."""
    rows = (part.others[label.name] >= 0).nonzero().squeeze(1)

    def at(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: each[rows] for name, each in values.items()}

    return replace(
        part,
        x=part.x[rows],
        indices=part.indices[rows],
        factors=at(part.factors),
        texts=[part.texts[int(row)] for row in rows] if part.texts else [],
        others=at(part.others),
        erased=at(part.erased),
    )


def _training(task: _Task, dataset: Dataset, device: torch.device) -> Generator[tuple[int, float | None], None, None]:
    """Train; yields (steps done, accuracy on the test pictures every tenth of the way, else None)."""
    config = TrainingConfig(steps=task.steps, **TRAINING)
    order = Order(len(task.part), derived_seed(task.seed, "order"))
    model = task.model.to(device)
    working = Optimising(model, task.part, config, order, Randomness(model, device, task.seed))
    size = yield from _without_accuracy(_steps_of(measure_micro_batch(working), working))
    working.config = replace(config, micro_batch=size)
    for step in range(1, task.steps + 1):
        figures = yield from _without_accuracy(_steps_of(working.advance(), working))
        if not figures.finite():
            raise Problem(f"The loss was not finite at step {step}.", "Ask for another seed.")
        accuracy = None
        if step == task.steps or step % max(1, task.steps // LOOKS) == 0:
            accuracy = yield from _accuracy(working, dataset)
        yield step, accuracy


def _steps_of(work: Generator[None, None, Any], working: Optimising) -> Generator[int, None, Any]:
    """Do some work of a step, yielding the steps done wherever it yields."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value
        yield working.step


def _without_accuracy(work: Generator[int, None, Any]) -> Generator[tuple[int, None], None, Any]:
    """The same with nothing to show."""
    while True:
        try:
            step = next(work)
        except StopIteration as finished:
            return finished.value
        yield step, None


def _accuracy(working: Optimising, dataset: Dataset) -> Generator[tuple[int, None], None, float]:
    """The share of test pictures that the averaged weights read right."""
    model, part = cast(Any, working.average), dataset.split("test")
    picture, label = _names(working.model)
    modality = next(m for m in dataset.card.modalities if m.name == label)
    rows = torch.arange(min(TEST_COUNT, len(part)))
    truth = truths_of(part, modality, rows)
    right = 0
    for some in torch.split(rows[truth >= 0], TEST_SLICE):
        with torch.no_grad():
            guess = model.guess(part.views(some)[picture].to(working.device)).argmax(1).cpu()
        right += int((guess == truth[some]).sum())
        yield working.step, None
    return right / max(1, int((truth >= 0).sum()))


def _names(model: Any) -> tuple[str, str]:
    """Of the picture and of the label."""
    if isinstance(model, Supervised):
        return model.picture, model.label
    return model.modality.name, model.label.name
