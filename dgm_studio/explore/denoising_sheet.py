"""One noise under several weights of guidance and several numbers of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dgm_studio.core.requests import SheetGuidance
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.denoising_race import course_of
from dgm_studio.explore.denoising_values import MOST_STEPS, Denoiser, agreement, denoiser_of, judged

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_CELLS, MOST_SAMPLES_A_CELL = 100, 64


@answers(SheetGuidance)
def sheet_guidance(bench: Workbench, asked: SheetGuidance) -> Iterator[Update]:
    """The cells with few steps first, so that every weight is soon to be seen."""
    denoiser = denoiser_of(bench, asked.model)
    denoiser.model.need_pictures()
    _check(denoiser, asked)
    course = course_of(denoiser, asked.seed, asked.count, asked.condition)
    size = (len(asked.guidance), len(asked.steps))
    blank = denoiser.shown(course.noise.start()[:1])[0] * 0
    pictures = np.zeros((*size, *blank.shape), np.uint8)
    agrees = np.full(size, math.nan, np.float32)
    words = [[""] * size[1] for _ in range(size[0])]
    order = sorted((steps, j, i) for j, steps in enumerate(asked.steps) for i in range(size[0]))
    for done, (steps, j, i) in enumerate(order):
        plan = replace(asked.sampling, guidance=asked.guidance[i], steps=steps)
        last = yield from course.end(plan, f"Guidance {asked.guidance[i]:g}, {steps} steps")
        pictures[i, j] = denoiser.shown(last.x[:1])[0]
        yield Progress(done, len(order), "Judging the results")
        words[i][j] = "".join(judged(denoiser, last.x[:1]))
        agrees[i, j] = agreement(denoiser, last.x, asked.condition)
        yield Frame("sheet", _sheet(asked, pictures, agrees, words, done + 1))


def _sheet(asked: SheetGuidance, pictures: Any, agrees: Any, words: list[list[str]], done: int) -> dict[str, Any]:
    return {
        "guidance": np.array(asked.guidance, np.float32),
        "steps": np.array(asked.steps, np.int64),
        "pictures": pictures.copy(),
        "done_cells": done,
        "judged": [list(row) for row in words],
        "agrees": agrees.copy(),
    }


def _check(denoiser: Denoiser, asked: SheetGuidance) -> None:
    if not 1 <= len(asked.guidance) * len(asked.steps) <= MOST_CELLS:
        raise Problem(f"A sheet has 1 to {MOST_CELLS} cells.", "Choose fewer weights or numbers of steps.")
    if not 1 <= asked.count <= MOST_SAMPLES_A_CELL:
        raise Problem(f"{asked.count} samples a cell cannot be made.", f"Ask for 1 to {MOST_SAMPLES_A_CELL}.")
    if min(asked.steps) < 1 or max(asked.steps) > MOST_STEPS:
        raise Problem("A trajectory has 1 step at least.", f"Choose 1 to {MOST_STEPS:,}.")
    if not all(math.isfinite(weight) for weight in asked.guidance):
        raise Problem("A weight of guidance is a finite number.", "Choose 0 to 10.")
    if denoiser.given(asked.condition, 1) is None:
        raise Problem("Guidance needs something to follow.", "Choose a condition first.")
