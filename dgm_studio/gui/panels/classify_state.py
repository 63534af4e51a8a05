"""Everything the classifier page holds, as plain values: what undo, sessions, recipes and bookmarks keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from PySide6.QtCore import QObject

from dgm_studio.core.cards import Modality, ModelCard, as_json
from dgm_studio.core.packed import drawn
from dgm_studio.core.requests import AttackPicture, AttributeClass, ClassifyDatum, DrawClassGrid, Given
from dgm_studio.gui.panels.cross_state import SPLITS, Bench, CrossState, likeliest, one_hot, readable
from dgm_studio.gui.panels.spec import Ask

SECTIONS = {
    "classify": "Classify",
    "reasons": "Reasons",
    "attack": "Attack",
    "outliers": "Outliers",
    "labels": "Labels",
    "robustness": "Robustness",
}
JUDGE = "judge"
METHODS = {"fgsm": "FGSM", "pgd": "PGD"}
MOST_EPSILON = 0.3
MOST_STYLES = 8
MOST = {"samples": 100, "styles": MOST_STYLES, "steps": 100, "restarts": 10, "draws": 16, "points": 300}
DATUM = ("section", "index", "split", "values", "seed")
KEPT = (*DATUM, *MOST, "epsilon", "method", "target", "baseline", "jobs")


@dataclass(frozen=True)
class ClassState(CrossState):
    """The panel's state: the datum as on the cross-modal bench, and what is asked of it here.

    Args:
        section: One of `SECTIONS`.
        samples: K of the bound behind Bayes' rule.
        styles: Rows of the grid, the picture's own style among them.
        epsilon: Greatest change of a pixel.
        method: "fgsm" or "pgd".
        steps: Of PGD.
        restarts: Of PGD.
        draws: Draws a gradient is averaged over.
        points: On the line along which reasons are gathered.
        target: The class that reasons are asked for, -1 for what each classifier decides.
        baseline: Brightness of the picture that says nothing.
        jobs: Settings of what takes a while, by section and name.
    """

    section: str = "classify"
    samples: int = 10
    styles: int = 5
    epsilon: float = 0.1
    method: str = "fgsm"
    steps: int = 10
    restarts: int = 2
    draws: int = 4
    points: int = 32
    target: int = -1
    baseline: float = 0.0
    jobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = as_json({name: value for name, value in asdict(self).items() if name in KEPT})
        return data

    def taking(self, data: Mapping[str, Any], modalities: Sequence[Modality]) -> ClassState:
        """This state with the entries of a stored one; entries that mean nothing here keep their value."""
        names = tuple(m.name for m in modalities)
        data = {**data, "values": readable(data["values"], modalities)} if "values" in data else data
        found = {name: _revived(name, data[name], names) for name in KEPT if name in data}
        return replace(self, **{name: value for name, value in found.items() if value is not None})

    def classes(self, model: str) -> ClassifyDatum:
        """Which class it is."""
        return ClassifyDatum(model, self.given(), self.samples, self.seed)

    def grid(self, model: str) -> DrawClassGrid:
        """Styles by classes, the datum's own style first."""
        return DrawClassGrid(model, self.styles, self.seed, self.given(), own=True)

    def attack(self, model: str) -> AttackPicture:
        """What fools the classifiers."""
        steps, restarts = (self.steps, self.restarts) if self.method == "pgd" else (1, 1)
        given = self.given()
        return AttackPicture(model, given, self.epsilon, self.method, steps, restarts, self.draws, seed=self.seed)

    def reasons(self, model: str) -> AttributeClass:
        """Which pixels speak for a class."""
        target, steps = self.target, self.points
        return AttributeClass(model, self.given(), target, steps, self.baseline, self.samples, self.seed)


class ClassBench(Bench):
    """What the parts of the page share. Only the picture has an editor; its class is told beside it."""

    state: ClassState

    def __init__(self, card: ModelCard, ask: Ask, parent: QObject) -> None:
        super().__init__(card, ask, parent)
        self.state = ClassState()
        image, label = picture_and_label(card)
        assert image is not None
        assert label is not None
        self.image, self.label = image, label
        self.threshold = math.nan  # of attacks, nats; the first answer may not know it

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those with an editor."""
        return (self.image,)

    @property
    def categories(self) -> tuple[str, ...]:
        """The classes."""
        return self.label.categories

    def truth(self) -> int:
        """The class as far as somebody knows it, else -1."""
        own = self.state.values.get(self.label.name)
        if own is not None:
            return int(own)
        return -1 if self.image.name in self.state.values else likeliest(self.example.get(self.label.name, ()))

    def set_value(self, modality: str, value: Any) -> None:
        """Another picture keeps its class, until the sheet is blank: what is drawn then is anything."""
        if modality != self.image.name:
            super().set_value(modality, value)
        elif value is None:
            self.set(values={})
        else:
            blank = int(np.max(drawn(value))) <= 0
            truth = -1 if blank else self.truth()
            self.set(values={modality: value, **({self.label.name: truth} if truth >= 0 else {})})

    def show_example(self, asked: Given, picture: np.ndarray[Any, Any], truth: int) -> None:
        """What an answer tells of the example itself."""
        state = self.state
        if (asked.index, asked.split) != (state.index, state.split) or asked.values:
            return
        self.example = {self.image.name: picture, self.label.name: one_hot(truth, len(self.categories))}


def picture_and_label(card: ModelCard) -> tuple[Modality | None, Modality | None]:
    """What is classified, and by what words."""
    kinds = ("label", "categorical")
    labels = [m for kind in kinds for m in card.modalities if m.kind == kind and m.categories]
    return card.image(), labels[0] if labels else None


def percent(share: float) -> str:
    """A share in words, never certain when it is not.

    >>> percent(0.9996), percent(1.0), percent(0.0004), percent(0.125)
    ('> 99.9 %', '100 %', '< 0.1 %', '12.5 %')
    """
    if 0.999 < share < 1.0:
        return "> 99.9 %"
    if 0.0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.3g} %"


def nats(value: float) -> str:
    """A log-probability with its unit.

    >>> nats(-93.24), nats(float("nan"))
    ('−93.2 nats', 'unknown')
    """
    return f"{value:,.1f} nats".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "unknown"


def _revived(name: str, value: Any, known: Sequence[str]) -> Any:
    try:
        return _READERS[name](value, known)
    except (TypeError, ValueError, AttributeError, KeyError):
        return None  # an entry of another version or another model: what is here stays


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def _whole(name: str) -> Callable[[Any, Sequence[str]], int]:
    return lambda value, _: min(max(int(value), 1), MOST[name])


def _epsilon(value: Any, _: Sequence[str]) -> float:
    found = float(value)
    if not math.isfinite(found):
        raise ValueError("a finite number")
    return min(max(found, 0.0), MOST_EPSILON)


_READERS: dict[str, Callable[[Any, Sequence[str]], Any]] = {
    "section": lambda v, _: v if v in SECTIONS else None,
    "index": lambda v, _: max(0, int(v)),
    "split": lambda v, _: v if v in SPLITS else None,
    "values": lambda v, known: {str(n): _tuples(own) for n, own in v.items() if n in known},
    "seed": lambda v, _: int(v),
    "epsilon": _epsilon,
    "target": lambda v, _: max(-1, int(v)),
    "baseline": lambda v, _: min(max(float(v), 0.0), 1.0) if math.isfinite(float(v)) else None,
    "method": lambda v, _: v if v in METHODS else None,
    "jobs": lambda v, _: {str(s): {str(n): int(x) for n, x in own.items()} for s, own in v.items() if s in SECTIONS},
    **{name: _whole(name) for name in MOST},
}
