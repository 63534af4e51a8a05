"""All systems by name: a decorator on the class, one file for each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import nn

import dgm_studio.models
from dgm_studio.core import forms
from dgm_studio.core.cards import Modality, Paper, Symbol, SystemCard
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Trains, capabilities_of

__all__ = [
    "build",
    "capabilities_of",
    "config_class",
    "modalities_of",
    "parameters_of",
    "system",
    "system_class",
    "systems",
    "takes_views",
    "tiny",
]

ModuleT = TypeVar("ModuleT", bound=type[nn.Module])


@dataclass(frozen=True)
class _Entry:
    module: type[nn.Module]
    card: SystemCard
    config: type[Any]
    tiny: Mapping[str, Any]
    views: bool


_entries: dict[str, _Entry] = {}


def system(
    *,
    name: str,
    title: str,
    summary: str,
    paper: Paper,
    config: type[Any],
    tiny: Mapping[str, Any],
    objective: str,
    symbols: tuple[Symbol, ...],
    modality_kinds: tuple[str, ...],
    views: bool = False,
    requires: tuple[str, ...] = (),
    least: int = 1,
    conditions: tuple[str, ...] = (),
) -> Callable[[ModuleT], ModuleT]:
    """Register a module class under a name.

    Args:
        name: What `--set`, recipes and checkpoints call it; never changes once published.
        title: What the window calls it.
        summary: One or two sentences.
        paper: Where it comes from.
        config: Frozen dataclass of `core.forms.option` fields.
        tiny: Settings that make it small enough for a test.
        objective: What is maximised or minimised, as rich text.
        symbols: Every letter of the objective.
        modality_kinds: Kinds of data it can be built for.
        requires: Kinds of modality without which it cannot be built ("image", "label").
        least: How many modalities it needs.
        conditions: Kinds of modality that it can be steered by, beside the one it models; all that the data have.
        views: Whether its `loss` and scores take `Views`; else the first modality as a tensor.

    Raises:
        TypeError: The class has no `loss`.
        ValueError: The name is taken by another class.
    """

    def register(cls: ModuleT) -> ModuleT:
        _check(name, cls)
        card = SystemCard(
            name=name,
            title=title,
            summary=summary,
            paper=paper,
            objective=objective,
            symbols=symbols,
            capabilities=capabilities_of(cls),
            modality_kinds=modality_kinds,
            fields=forms.fields_of(config),
            requires=requires,
            least=least,
            conditions=conditions,
        )
        _entries[name] = _Entry(cls, card, config, dict(tiny), views)
        cls.takes_views = views  # type: ignore[attr-defined]
        return cls

    return register


def _check(name: str, cls: type[nn.Module]) -> None:
    if not issubclass(cls, Trains):
        raise TypeError(f"{cls.__name__} has no loss(batch, generator, step)")
    known = _entries.get(name)
    if known is not None and _place(known.module) != _place(cls):
        raise ValueError(f"the name {name} belongs to {known.module.__qualname__}")


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


@cache
def _import_all() -> None:
    """Import every module of the package once, so that a new system is one new file."""
    for found in pkgutil.iter_modules(dgm_studio.models.__path__):
        importlib.import_module(f"{dgm_studio.models.__name__}.{found.name}")


def systems() -> dict[str, SystemCard]:
    """Every system's card by name, in alphabetical order."""
    _import_all()
    return {name: _entries[name].card for name in sorted(_entries)}


def _entry(name: str) -> _Entry:
    _import_all()
    if name not in _entries:
        near = forms.nearest(name, _entries)
        action = f"Did you mean {near}?" if near else f"Systems: {', '.join(sorted(_entries))}."
        raise Problem(f"There is no system called {name}.", action)
    return _entries[name]


def system_class(name: str) -> type[nn.Module]:
    """The module class of a system.

    Raises:
        Problem: There is no such system.
    """
    return _entry(name).module


def config_class(name: str) -> type[Any]:
    """The config dataclass of a system.

    Raises:
        Problem: There is no such system.
    """
    return _entry(name).config


def tiny(name: str) -> dict[str, Any]:
    """Settings that make the system small enough for a test.

    Raises:
        Problem: There is no such system.
    """
    return dict(_entry(name).tiny)


def build(name: str, config: Mapping[str, Any], modalities: tuple[Modality, ...], seed: int = 0) -> nn.Module:
    """A fresh module with weights drawn from `seed`; the process's random state is left as it was.

    Raises:
        Problem: There is no such system, or it cannot be built for these data.
        FormError: A setting is unknown or out of range.
    """
    entry = _entry(name)
    values = forms.build(entry.config, config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return entry.module(values, modalities)


def takes_views(module: nn.Module) -> bool:
    """Whether a model is trained on `Views`."""
    return bool(getattr(module, "takes_views", False))


def modalities_of(module: nn.Module, offered: tuple[Modality, ...]) -> tuple[Modality, ...]:
    """Those of the data's modalities that a model has to do with."""
    own = getattr(module, "modalities", None) or getattr(module, "modality", None)
    return offered if own is None else own if isinstance(own, tuple) else (own,)


def parameters_of(module: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(p.numel() for p in module.parameters())
