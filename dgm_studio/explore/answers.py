"""Which function answers which request: a dictionary filled by a decorator."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from dgm_studio.core.updates import Problem, Update

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

RequestT = TypeVar("RequestT")
Function = Callable[["Workbench", Any], Iterator[Update]]

THEMES = (
    "attacks",
    "attributions",
    "classifying",
    "crossing",
    "crossing_experts",
    "crossing_numbers",
    "crossing_scores",
    "crossing_wrong",
    "denoising",
    "denoising_films",
    "denoising_levels",
    "denoising_likelihood",
    "denoising_plane",
    "denoising_race",
    "denoising_sheet",
    "drawn",
    "exports",
    "figures",
    "labels",
    "latents",
    "maps",
    "neighbours",
    "outliers",
    "paths",
    "runs",
    "samples",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A function that answers.

    Args:
        function: (workbench, request) -> updates.
        grad: Whether it needs gradients; without, every step runs in inference mode.
    """

    function: Function
    grad: bool


_entries: dict[type[Any], Entry] = {}


def answers(
    kind: type[RequestT], *, grad: bool = False
) -> Callable[[Callable[[Workbench, RequestT], Iterator[Update]]], Callable[[Workbench, RequestT], Iterator[Update]]]:
    """Register a generator function as the answer to one kind of request."""

    def register(
        function: Callable[[Workbench, RequestT], Iterator[Update]],
    ) -> Callable[[Workbench, RequestT], Iterator[Update]]:
        _entries[kind] = Entry(function, grad)
        return function

    return register


@cache
def import_all() -> None:
    """Import every theme once, so that its answers are known."""
    for theme in THEMES:
        importlib.import_module(f"dgm_studio.explore.{theme}")


def entry_for(request: Any) -> Entry:
    """The function that answers a request.

    Raises:
        Problem: Nothing answers this kind of request.
    """
    import_all()
    found = _entries.get(type(request))
    if found is None:
        raise Problem(f"Nothing here answers {type(request).__name__}.", "Update DGM Studio.")
    return found


def answered() -> frozenset[type[Any]]:
    """Every kind of request that has an answer."""
    import_all()
    return frozenset(_entries)
