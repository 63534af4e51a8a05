"""What the window knows of data sets, systems and models: plain values, no tensors."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from dgm_studio.core.forms import Field

CardT = TypeVar("CardT")


class Capability(StrEnum):
    """What a model can be asked to do. The torch side has one Protocol for each."""

    ENCODES = "encodes"
    DECODES = "decodes"
    SAMPLES = "samples"
    SCORES = "scores"
    DENOISES = "denoises"
    CROSSES = "crosses"
    ROLLS = "rolls"
    CLASSIFIES = "classifies"
    IMPUTES = "imputes"
    INVERTS = "inverts"
    EVALUATES_FIELD = "evaluates_field"


@dataclass(frozen=True, slots=True)
class Factor:
    """An annotation that comes with the data and that a model need not see."""

    name: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Modality:
    """One thing a datum consists of.

    Args:
        name: Its name in the data ("image").
        kind: "image", "points", "label", "categorical", "attributes" (several categoricals at once), "real",
            "positive", "vector" or "text".
        shape: Shape of one item without the batch: (C, H, W) for an image, (2,) for points in the plane, () for a label
            or a categorical, (A,) for attributes, (1,) for a real or positive number, (D,) for a vector, (L,) for a
            text of at most L tokens.
        categories: The words of a label or categorical; the tokens of a text, the first of them the empty one.
        columns: The variables of attributes.
        centre: Mean over the training part of each number of a real, positive (of its logarithm) or vector.
        spread: Standard deviation likewise.
        unit: Of a number ("mmHg").
        about: The factor that its content tells ("digit"), which a judge can read; "" when there is none.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    categories: tuple[str, ...] = ()
    columns: tuple[Factor, ...] = ()
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    unit: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class DataCard:
    """A data set: what, how many, whose. `made` says how one without arrays of its own is built from others."""

    name: str
    title: str
    summary: str
    modalities: tuple[Modality, ...]
    factors: tuple[Factor, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    split_seed: int = 0
    licence: str = ""
    credit: str = ""
    source: str = ""
    changes: str = ""
    sha256: str = ""
    synthetic: bool = False
    made: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a system comes from."""

    authors: str
    year: int
    title: str
    venue: str = ""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A letter of the objective, named.

    Args:
        html: The letter as rich text.
        meaning: What it stands for.
        source: Where its live value is read: "metric:NAME", "config:NAME" or "".
    """

    html: str
    meaning: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class SystemCard:
    """A generative model from the literature, as the window knows it.

    `requires` are kinds of modality that must be there, `least` is how many modalities it needs; a system that needs
    neither takes the first that fits. `conditions` are kinds that it takes beside that one, to be steered by.
    """

    name: str
    title: str
    summary: str
    paper: Paper
    objective: str
    symbols: tuple[Symbol, ...]
    capabilities: frozenset[Capability]
    modality_kinds: tuple[str, ...]
    fields: tuple[Field, ...]
    requires: tuple[str, ...] = ()
    least: int = 1
    conditions: tuple[str, ...] = ()

    def chosen(self, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        """Those of the data's modalities that the system models; () when it cannot be built for these data."""
        found = tuple(m for m in modalities if m.kind in self.modality_kinds)
        if len(found) < self.least or any(kind not in {m.kind for m in found} for kind in self.requires):
            return ()
        if self.least > 1 or self.requires:
            return found
        return found[:1] + tuple(m for m in modalities if found and m.kind in self.conditions and m != found[0])

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with what makes it comparable.

    Args:
        value: The figure.
        unit: "nats", "bits/dim", ...
        estimator: How it was computed ("IWAE-100", "exact").
        error: Its standard error, 0 when exact or unknown.
        split: The part of the data it was computed on.
        lower_is_better: Which direction is good.
    """

    value: float
    unit: str = ""
    estimator: str = ""
    error: float = 0.0
    split: str = ""
    lower_is_better: bool = True


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A trained model, as the window knows it."""

    key: str
    name: str
    system: str
    title: str
    capabilities: frozenset[Capability]
    modalities: tuple[Modality, ...]
    factors: tuple[Factor, ...] = ()
    latent: int = 0
    parameters: int = 0
    data: str = ""
    step: int = 0
    steps: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    headline: str = ""
    seed: int = 0
    parent: str = ""
    created: str = ""
    source: str = "file"
    path: str = ""
    sha256: str = ""
    snapshots: tuple[int, ...] = ()
    live: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return _plain(self)

    def image(self) -> Modality | None:
        """The first modality that is an image, if there is one."""
        return next((m for m in self.modalities if m.kind == "image"), None)


def split_key(key: str) -> tuple[str, int | None]:
    """A model key without its snapshot, and the snapshot's step.

    >>> split_key("run:/tmp/run 14@4096")
    ('run:/tmp/run 14', 4096)
    >>> split_key("zoo:vae-digits")
    ('zoo:vae-digits', None)
    """
    base, at, step = key.rpartition("@")
    if at and step.isdigit():
        return base, int(step)
    return key, None


def _plain(value: Any) -> dict[str, Any]:
    return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}


def as_json(value: Any) -> Any:
    """A card (or anything made of dataclasses, tuples, sets and plain values) as JSON-able data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(value)
    if isinstance(value, dict):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(as_json(v) for v in value)
    if isinstance(value, list | tuple):
        return [as_json(v) for v in value]
    if isinstance(value, StrEnum):
        return value.value
    return value


def from_json(cls: type[CardT], data: Any) -> CardT:
    """The inverse of `as_json` for a dataclass; unknown keys are ignored (a newer minor version may add some).

    Raises:
        TypeError: A required field is missing.
    """
    return typing.cast(CardT, _revive(cls, data))


def _revive(hint: Any, data: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and type(None) in args:  # what may be absent
        return None if data is None else _revive(next(a for a in args if a is not type(None)), data)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return hint(**{k: _revive(hints[k], v) for k, v in data.items() if k in hints})
    if origin is tuple:
        inner = args[0] if len(args) == 2 and args[1] is Ellipsis else None
        return tuple(_revive(inner or args[i], v) for i, v in enumerate(data))
    if origin is frozenset:
        return frozenset(_revive(args[0], v) for v in data)
    if origin is dict:
        return {k: _revive(args[1], v) for k, v in data.items()}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(data)
    if hint is float and isinstance(data, int):
        return float(data)
    if isinstance(data, list):
        return tuple(_revive(Any, v) for v in data)
    return data
