"""Everything the cross-modal bench holds, as plain values: what undo, sessions, recipes and bookmarks keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from dgm_studio.core.cards import Modality, ModelCard, as_json
from dgm_studio.core.packed import drawn, pack
from dgm_studio.core.requests import CrossDatum, Fusing, Given
from dgm_studio.gui.panels.spec import Ask

SECTIONS = {
    "matrix": "Matrix",
    "experts": "Experts",
    "conflict": "Conflict",
    "numbers": "Numbers",
    "scores": "Scoreboard",
    "lessons": "Lessons",
}
SPLITS = {"test": "Test", "valid": "Validation", "train": "Training"}
RULES = {"poe": "Product", "moe": "Mixture", "mopoe": "Mixture of products"}
WRONG = ("no prior expert", "no sub-sampling", "hook on a copy", "label drowned")
MOST_SAMPLES, MOST_PINS = 8, 12
MOST_PRECISION = 1000.0  # as far as conflicts are weighed: one label against a picture needs it
NUMBERS = ("real", "positive")


@dataclass(frozen=True)
class CrossState:
    """The panel's state.

    Args:
        section: One of `SECTIONS`.
        index: Of the example.
        split: It is from.
        values: Own values by modality, as `Given` wants them.
        missing: Modalities that nobody knows.
        rows: Subsets to condition on, () for the usual ones.
        samples: Values a cell.
        seed: Of the draws.
        noise: Whether images and numbers are drawn rather than averaged.
        rule: Of fusion, "" for the one the model was trained with.
        precision: Factor on an expert's precision, by modality.
        prior_expert: Whether the prior takes part in a product.
        on: Experts that take part in the plane, () for all.
        axes: Latent dimensions of the plane, (-1, -1) for those in which the experts differ most.
        reach: Half of the plane's side.
        centre: Of the plane.
        conflict: The modality whose precision moves, "" for the last.
        pins: Frozen cells: {"row": names, "column": name, "asked": the question as plain data}.
        wrong: The known mistake that is shown.
        number: The one that is predicted on the page of numbers, "" for the first.
        sources: What it is predicted from, () for the picture.
        count: Of how many examples.
        otherwise: What each number is changed to for the eye that is drawn again.
    """

    section: str = "matrix"
    index: int = 0
    split: str = "test"
    values: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    samples: int = 1
    seed: int = 0
    noise: bool = False
    rule: str = ""
    precision: Mapping[str, float] = field(default_factory=dict)
    prior_expert: bool = True
    on: tuple[str, ...] = ()
    axes: tuple[int, int] = (-1, -1)
    reach: float = 4.0
    centre: tuple[float, float] = (0.0, 0.0)
    conflict: str = ""
    pins: tuple[Mapping[str, Any], ...] = ()
    wrong: str = ""
    number: str = ""
    sources: tuple[str, ...] = ()
    count: int = 300
    otherwise: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = as_json(asdict(self))
        return data

    def taking(self, data: Mapping[str, Any], modalities: Sequence[Modality]) -> CrossState:
        """This state with the entries of a stored one; entries that mean nothing here keep their value."""
        known = {f.name for f in fields(self)}
        data = {**data, "values": readable(data["values"], modalities)} if "values" in data else data
        found = {name: _revived(name, value, modalities) for name, value in data.items() if name in known}
        return replace(self, **{name: value for name, value in found.items() if value is not None})

    def given(self) -> Given:
        """The datum."""
        return Given(self.index, self.split, dict(self.values), self.missing)

    def fusing(self) -> Fusing:
        """How experts become one; factors of 1 are left out."""
        factors = {name: factor for name, factor in self.precision.items() if factor != 1.0}
        return Fusing(self.rule, factors, self.prior_expert)

    def question(self, model: str) -> CrossDatum:
        """What the matrix shows."""
        return CrossDatum(model, self.given(), self.rows, self.samples, self.seed, self.fusing(), self.noise)


class Bench(QObject):
    """What the parts of the panel share: the state, what is known of the model, how to ask.

    Signals:
        changed(str): Entries of the state are others now, by their names with blanks between.
        committed(str): A gesture is over.
    """

    changed = Signal(str)
    committed = Signal(str)

    def __init__(self, card: ModelCard, ask: Ask, parent: QObject) -> None:
        super().__init__(parent)
        self.card, self.ask = card, ask
        self.state = CrossState()
        self.about: Mapping[str, Any] = {}
        self.example: dict[str, Any] = {}

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Of the model, in order."""
        return self.card.modalities

    def modality(self, name: str) -> Modality:
        """One of them by name.

        Raises:
            KeyError: There is none of that name.
        """
        found = next((m for m in self.modalities if m.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def set(self, name: str = "", **changes: Any) -> None:
        """Change the state, tell everybody; with a name it is a whole gesture."""
        before, self.state = self.state, replace(self.state, **changes)
        different = [key for key in changes if getattr(before, key) != getattr(self.state, key)]
        if different:
            self.changed.emit(" ".join(different))
        if name:
            self.committed.emit(name)

    def set_value(self, modality: str, value: Any) -> None:
        """Give a modality a value of one's own; None goes back to the example's."""
        values = {name: kept for name, kept in self.state.values.items() if name != modality}
        if value is not None:
            values[modality] = value
        self.set(values=values, missing=tuple(m for m in self.state.missing if m != modality))

    def set_missing(self, modality: str, missing: bool) -> None:
        """Mark a modality as unknown, or known again."""
        others = {*self.state.missing} - {modality} | ({modality} if missing else set())
        self.set(
            f"{'Forget' if missing else 'Know'} {modality}",
            missing=tuple(m.name for m in self.modalities if m.name in others),
        )

    def judges_words(self) -> str:
        """Who judges, and how often that judge is right on real examples; "" where nobody does."""
        judges = self.about.get("judges") or {}
        told = [f"{name} judged by {j['name']}, {float(j['accuracy']):.1%} right" for name, j in judges.items()]
        return "; ".join(told).replace("%", "\N{NO-BREAK SPACE}%") + ("." if told else "")

    def count(self) -> int:
        """How many examples the split has."""
        counts = self.about.get("counts") or {}
        return max(1, int(counts.get(self.state.split, len(self.about.get("labels") or ()) or 500)))

    def shown(self, modality: str) -> Any:
        """The value of a modality as a Frame has it: the user's own, else the example's; None when nobody knows it."""
        if modality in self.state.missing:
            return None
        if modality in self.state.values:
            return in_frame(self.modality(modality), self.state.values[modality])
        return self.example.get(modality)


# -- values ------------------------------------------------------------------------------------------------------------


def sections_of(modalities: Sequence[Modality]) -> dict[str, str]:
    """The sections that mean something for a model: numbers need one to be predicted."""
    return {
        name: words
        for name, words in SECTIONS.items()
        if name != "numbers" or any(m.kind in NUMBERS for m in modalities)
    }


def in_frame(modality: Modality, value: Any) -> Any:
    """A value of a request in the form in which Frames carry it; erased pixels stay -1 (int16).

    Attributes that are stored for fewer columns than there are now, or more, are unknown or left out.
    """
    if modality.kind == "image":
        return drawn(value)
    if modality.kind in ("label", "categorical"):
        return one_hot(int(value), len(modality.categories))
    if modality.kind == "attributes":
        known = [*value, *(-1 for _ in modality.columns)]
        return [one_hot(int(v), len(c.categories)) for v, c in zip(known, modality.columns, strict=False)]
    if modality.kind in NUMBERS:
        return {"mean": float(value), "low": float(value), "high": float(value)}
    if modality.kind == "vector":
        row = np.asarray(value, float)
        return {"mean": row, "low": row, "high": row}
    return value


def in_request(modality: Modality, value: Any) -> Any:
    """The inverse of `in_frame`: plain data, the likeliest category, the mean of a number."""
    if modality.kind == "image":
        return pack(np.asarray(value))
    if modality.kind in ("label", "categorical"):
        return likeliest(value)
    if modality.kind == "attributes":
        return tuple(likeliest(column) for column in value)
    if modality.kind in NUMBERS:
        return float(np.ravel(number_of(value)[0])[0])
    if modality.kind == "vector":
        return tuple(float(v) for v in np.ravel(number_of(value)[0]))
    return str(value)


def one_hot(index: int, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Certainty; all zero for -1, missing."""
    row = np.zeros(count, np.float32)
    if 0 <= index < count:
        row[index] = 1.0
    return row


def likeliest(probabilities: Any) -> int:
    """The index of the largest probability, -1 when all are zero."""
    row = np.ravel(np.asarray(probabilities, float))
    return int(row.argmax()) if row.size and row.max() > 0 else -1


def number_of(value: Any) -> tuple[Any, Any, Any]:
    """Mean, low and high of a number, also where only the number itself is there."""
    if isinstance(value, Mapping):
        return value["mean"], value.get("low", value["mean"]), value.get("high", value["mean"])
    return value, value, value


def number_range(modality: Modality, spreads: float = 3.0) -> tuple[float, float]:
    """From where to where a real or positive number is worth showing, in its own unit."""
    centre = modality.centre[0] if modality.centre else 0.0
    spread = (modality.spread[0] if modality.spread else 1.0) or 1.0
    low, high = centre - spreads * spread, centre + spreads * spread
    return (math.exp(low), math.exp(high)) if modality.kind == "positive" else (low, high)


def attribute_words(name: str, word: str) -> str:
    """A category together with its variable, as one says it.

    >>> attribute_words("glasses", "no"), attribute_words("hair colour", "brown"), attribute_words("hat", "yes")
    ('no glasses', 'brown hair', 'hat')
    """
    noun = name.removesuffix(" colour").removesuffix(" color")
    return noun if word == "yes" else f"{word} {noun}"


def subset_words(names: Sequence[str]) -> str:
    """A row in words.

    >>> subset_words(("image", "digit")), subset_words(())
    ('image + digit', 'nothing')
    """
    return " + ".join(names) or "nothing"


# -- what was stored ---------------------------------------------------------------------------------------------------


def _revived(name: str, value: Any, modalities: Sequence[Modality]) -> Any:
    try:
        return _READERS[name](value, tuple(m.name for m in modalities))
    except (TypeError, ValueError, AttributeError, KeyError, IndexError):
        return None  # an entry of another version or another model: what is here stays


def _names(value: Any, known: Sequence[str]) -> tuple[str, ...]:
    wanted = {str(v) for v in value}
    return tuple(name for name in known if name in wanted)


def _rows(value: Any, known: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    rows = [_names(row, known) for row in value]
    return tuple(dict.fromkeys(row for row in rows if row))


def as_rows(picture: np.ndarray[Any, Any]) -> Any:
    """An array as tuples of plain numbers, so that two equal pictures make equal requests."""
    return _tuples(picture.tolist())


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def readable(values: Any, modalities: Sequence[Modality]) -> Any:
    """Stored values without pictures that cannot be read, or are of another size."""
    if not isinstance(values, Mapping):
        return values
    sizes = {m.name: (*m.shape[1:], *(m.shape[:1] if m.shape[0] > 1 else ())) for m in modalities if m.kind == "image"}
    return {name: own for name, own in values.items() if name not in sizes or _is_picture(own, sizes[name])}


def _is_picture(value: Any, size: tuple[int, ...]) -> bool:
    try:
        return drawn(value).shape == size
    except (ValueError, TypeError, OverflowError):
        return False


def _values(value: Any, known: Sequence[str]) -> dict[str, Any]:
    return {str(name): _tuples(own) for name, own in value.items() if name in known}


def _finite(value: Any, known: Sequence[str]) -> dict[str, float]:
    return {str(n): float(v) for n, v in value.items() if n in known and math.isfinite(float(v))}


def _precision(value: Any, known: Sequence[str]) -> dict[str, float]:
    factors = {str(n): float(f) for n, f in value.items() if n in known or n == "prior"}
    return {n: min(max(f, 1 / MOST_PRECISION), MOST_PRECISION) for n, f in factors.items() if math.isfinite(f)}


def _pins(value: Any, known: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    kept = [{"row": _names(p["row"], known), "column": str(p["column"]), "asked": dict(p["asked"])} for p in value]
    return tuple(p for p in kept if p["row"] and p["column"] in known)[:MOST_PINS]


def _pair(value: Any, kind: Callable[[Any], Any]) -> tuple[Any, Any]:
    first, second = (kind(v) for v in value)
    if not (math.isfinite(first) and math.isfinite(second)):
        raise ValueError("a pair of finite numbers")
    return first, second


def _one_of(value: Any, choices: Sequence[str]) -> str | None:
    return str(value) if value in choices else None


_READERS: dict[str, Callable[[Any, Sequence[str]], Any]] = {
    "section": lambda v, _: _one_of(v, tuple(SECTIONS)),
    "index": lambda v, _: max(0, int(v)),
    "split": lambda v, _: _one_of(v, tuple(SPLITS)),
    "values": _values,
    "missing": _names,
    "rows": _rows,
    "samples": lambda v, _: min(max(int(v), 1), MOST_SAMPLES),
    "seed": lambda v, _: int(v),
    "noise": lambda v, _: bool(v),
    "rule": lambda v, _: _one_of(v, ("", *RULES)),
    "precision": _precision,
    "prior_expert": lambda v, _: bool(v),
    "on": _names,
    "axes": lambda v, _: _pair(v, int),
    "reach": lambda v, _: min(max(float(v), 0.05), 1e3),
    "centre": lambda v, _: _pair(v, float),
    "conflict": lambda v, known: _one_of(v, ("", *known)),
    "pins": _pins,
    "wrong": lambda v, _: _one_of(v, ("", *WRONG)),
    "number": lambda v, known: _one_of(v, ("", *known)),
    "sources": _names,
    "count": lambda v, _: min(max(int(v), 20), 1000),
    "otherwise": _finite,
}
