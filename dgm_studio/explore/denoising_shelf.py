"""Trajectories as far as they have been followed, and the shelf on which those used last stay."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from dgm_studio.core.cards import as_json
from dgm_studio.core.requests import PlayDenoising
from dgm_studio.explore.loaded import LoadedModel
from dgm_studio.models.sampling import Keep, Step

KEPT_BYTES = 256 * 2**20  # of all films together


@dataclass
class Film:
    """A trajectory as far as it has been followed.

    Args:
        asked: The question it answers, every step of it.
        times: [S + 1], the noisiest first.
        first: Its first own step; those before belong to the parent.
        keep: What inpainting holds on to.
        before: The step before the first one, for a sampler that looks back.
        xs: x_t of the steps from `first` on, [N, *S] each, on the CPU, as the sampler had them.
        steps: Data of the Frames of the steps so far, by index.
        clean: Clean estimate of the newest step, for the norm of its change; None where not known.
        evaluations: Network evaluations of one sample.
        seconds: That it took to compute.
        warnings: Sentences.
        judged: What the judge sees in each result.
        key: Under which the shelf has it: of the weights that it was begun with.
    """

    asked: PlayDenoising
    times: Tensor
    first: int
    keep: Keep | None = None
    before: Step | None = None
    xs: list[Tensor] = field(default_factory=list)
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    clean: Tensor | None = None
    evaluations: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    key: tuple[object, str] | None = None

    @property
    def last(self) -> int:
        """S."""
        return len(self.times) - 1

    @property
    def reached(self) -> int:
        """The newest step whose x is there."""
        return self.first + len(self.xs) - 1

    @property
    def done(self) -> bool:
        """Whether it was followed to the data."""
        return self.reached == self.last

    @property
    def looks_back(self) -> bool:
        """Whether a step needs what the model saw at the one before."""
        return self.asked.sampling.sampler == "dpmpp-2m"

    @property
    def bytes(self) -> int:
        """What is kept of it."""
        frames = sum(v.nbytes for data in self.steps.values() for v in data.values() if isinstance(v, np.ndarray))
        return frames + sum(x.nbytes for x in self.xs)

    def x_at(self, index: int) -> Tensor:
        """x_t of a step that was reached."""
        return self.xs[index - self.first]

    def warn(self, sentences: list[str]) -> bool:
        """Add what is new; whether anything was."""
        fresh = [sentence for sentence in sentences if sentence not in self.warnings]
        self.warnings += fresh
        return bool(fresh)


class Shelf:
    """The films that are kept, within a budget; the ones used last.

    Args:
        budget: Bytes of all together.
    """

    def __init__(self, budget: int = KEPT_BYTES) -> None:
        self.budget = budget
        self._films: OrderedDict[tuple[object, str], Film] = OrderedDict()

    def get(self, model: LoadedModel, asked: PlayDenoising) -> Film | None:
        """The film that answers a question of a model with the weights that it has now."""
        key = _key(model, asked)
        found = self._films.get(key)
        if found is not None:
            self._films.move_to_end(key)
        return found

    def put(self, model: LoadedModel, film: Film) -> None:
        """Keep a film, and let older ones go where room is needed; one larger than the whole shelf is not kept."""
        key = film.key = film.key or _key(model, film.asked)
        self._films.pop(key, None)
        if film.bytes > self.budget:
            return
        self._films[key] = film
        while self.bytes > self.budget:
            self._films.popitem(last=False)

    def clear(self) -> None:
        """Let all films go."""
        self._films.clear()

    @property
    def bytes(self) -> int:
        """Of all that are kept."""
        return sum(film.bytes for film in self._films.values())

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._films)


def whole(asked: PlayDenoising) -> PlayDenoising:
    """The question with all of its steps, which is what a film holds."""
    parent = None if asked.parent is None else whole(asked.parent)
    return replace(asked, half=1, parent=parent)


def _key(model: LoadedModel, asked: PlayDenoising) -> tuple[object, str]:
    # The object stands for the weights: when they have become other ones, the model forgets it.
    return model.noted("weights of films", object), json.dumps(as_json(whole(asked)), sort_keys=True)
