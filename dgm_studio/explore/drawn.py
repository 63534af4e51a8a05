"""Distributions that the user draws, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dgm_studio.core.requests import KeepDrawing
from dgm_studio.core.updates import Problem, Result, Update
from dgm_studio.data.drawn import keep_drawing
from dgm_studio.explore.answers import answers

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench


@answers(KeepDrawing)
def keep(bench: Workbench, asked: KeepDrawing) -> Iterator[Update]:
    """Write the points; a few milliseconds."""
    try:
        ink = np.asarray(asked.rows, np.float64)
    except (TypeError, ValueError) as error:
        raise Problem("The drawing is not a square of numbers.", "Draw it again.") from error
    yield Result(keep_drawing(ink, asked.title, asked.seed))
