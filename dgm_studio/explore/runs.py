"""Opening models, and the work of runs: training, editing, reading, evaluating. Thin: the rooms below do it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dgm_studio.core.requests import ListSystems, OpenModel
from dgm_studio.core.updates import Progress, Result, Update
from dgm_studio.explore.answers import answers
from dgm_studio.models import registry

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench


@answers(OpenModel)
def open_model(bench: Workbench, asked: OpenModel) -> Iterator[Update]:
    """Load the weights, so that whatever is wrong with them is said now, and hand over the card."""
    yield Progress(0, 1, "Opening the model")
    yield Result(bench.card(asked.model))


@answers(ListSystems)
def list_systems(bench: Workbench, asked: ListSystems) -> Iterator[Update]:
    """The card of every system."""
    yield Result(tuple(registry.systems().values()))
