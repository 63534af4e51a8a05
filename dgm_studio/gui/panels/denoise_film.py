"""Recorded trajectories: every step's pictures as the worker sent them, by film of the tree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import PlayDenoising
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Update
from dgm_studio.gui.panels.denoise_state import KINDS, Stage

TOPIC = "film/play"
PATIENCE = 2.0  # s; a question that has brought nothing for so long is given up for a newer one
NORMS = ("x", "clean", "noise", "difference", "change")


class Film:
    """One recorded trajectory of all samples; a branch holds its own steps alone.

    Args:
        asked: The question it answers.
    """

    def __init__(self, asked: PlayDenoising) -> None:
        self.asked = asked
        self.about: Mapping[str, Any] = {}
        self.steps: dict[int, Mapping[str, Any]] = {}
        self.done = False
        self.failed: Failed | None = None
        self._sizes: dict[str, npt.NDArray[np.float32]] = {}

    def take(self, frame: Frame) -> None:
        """One update: the film's own line, or a step."""
        if frame.topic == "film":
            self.about = frame.data
        elif frame.topic.startswith("step/"):
            self.steps[int(frame.data["index"])] = frame.data
            self._note(frame.data)

    def _note(self, step: Mapping[str, Any]) -> None:
        """Keep a step's norms where curves are read from, so that a long film is not gone through at every step."""
        index = int(step["index"])
        for name in NORMS:
            row = np.asarray(step["norms"].get(name, ()), np.float32)
            known = self._sizes.get(name, np.zeros((0, row.size), np.float32))
            if row.size and (index >= len(known) or known.shape[1] != row.size):
                grown = np.full((max(self.last(), index) + 1, row.size), np.nan, np.float32)
                if known.shape[1] == row.size:
                    grown[: len(known)] = known
                known = self._sizes[name] = grown
            if row.size:
                known[index] = row

    def sizes(self, name: str, sample: int = -1) -> npt.NDArray[np.float64]:
        """Root mean squares over its own steps, [S + 1], NaN where nothing is recorded; the mean over samples."""
        values = np.full(self.last() + 1, np.nan)
        known = self._sizes.get(name)
        if known is not None:
            rows = known.mean(1) if sample < 0 else known[:, min(sample, known.shape[1] - 1)]
            values[: len(rows)] = rows[: len(values)]
        return values

    def last(self) -> int:
        """Index of the data: how many steps it has, its parent's included."""
        times = self.about.get("times")
        if times is not None and len(times):
            return len(times) - 1
        before = self.asked.at if self.asked.parent is not None else 0
        return max([before + self.asked.sampling.steps, *self.steps])

    def begins(self) -> int:
        """Its first own step: where it branches off."""
        return int(self.about.get("from", 0)) if self.about else self.asked.at if self.asked.parent else 0

    def reached(self) -> int:
        """The newest step that is recorded, -1 while there is none."""
        return max(self.steps, default=-1)

    def share(self) -> float:
        """How much of it is recorded, 0 to 1."""
        if self.done:
            return 1.0
        first = self.begins()
        return min(max((self.reached() - first) / max(1, self.last() - first), 0.0), 1.0)

    def log_snr(self) -> npt.NDArray[np.float64]:
        """Half-log-SNR of every step, [S + 1]; empty while nothing is known."""
        return np.asarray(self.about.get("log_snr", ()), float)

    def memory(self) -> int:
        """Bytes that its steps take."""
        return sum(array.nbytes for step in self.steps.values() for array in step.values() if hasattr(array, "nbytes"))


class Reel(QObject):
    """All films of the panel, and the one that is being recorded.

    Films are asked one at a time: the selected one first, then those that have fallen behind their settings. What was
    recorded last is kept until the first step of a new recording comes.

    Signals:
        grown(str): The film of this key has another step, or ended.
    """

    grown = Signal(str)

    def __init__(self, stage: Stage, parent: QObject) -> None:
        super().__init__(parent)
        self.stage = stage
        self.films: dict[str, Film] = {}
        self._asked: tuple[str, PlayDenoising] | None = None
        self._coming: Film | None = None
        self._old: set[str] = set()
        self._since = 0.0

    # -- asking --------------------------------------------------------------------------------------------------------

    def update(self) -> None:
        """Record what is missing or has other settings now."""
        state = self.stage.state
        keys = [take.key for take in state.takes]
        for key in set(self.films) - set(keys):
            del self.films[key]
        for key in sorted(keys, key=lambda k: k != state.selected):
            wanted = self.stage.request(key)
            film = self.films.get(key)
            if film is not None and film.asked == wanted and (film.done or film.failed) and key not in self._old:
                continue
            if self._asked != (key, wanted) and not self._waits():
                self._asked, self._coming, self._since = (key, wanted), None, time.monotonic()
                self._old.discard(key)
                self.stage.ask(TOPIC, wanted)
            return
        if self._asked is not None:
            self._asked = self._coming = None
            self.stage.ask.cancel(TOPIC)

    def _waits(self) -> bool:
        """Whether a newer question waits for the first step of the one before.

        A hand that moves faster than the network answers would see nothing until it rests.
        """
        started = self._coming is not None and bool(self._coming.steps)
        return self._asked is not None and not started and time.monotonic() - self._since < PATIENCE

    def outdate(self) -> None:
        """Other weights: record every film anew; until its first frame comes, the old one is seen."""
        self._old = set(self.films)
        self._asked = self._coming = None

    def again(self) -> None:
        """After a failure."""
        self.films = {key: film for key, film in self.films.items() if film.failed is None}
        self._asked = None
        self.update()

    def recording(self) -> str:
        """Key of the film that is being recorded, "" for none."""
        return self._asked[0] if self._asked is not None else ""

    def receive(self, update: Update, ticket: Ticket) -> None:
        """One update of the film that is being recorded."""
        if self._asked is None or ticket.request != self._asked[1] or isinstance(update, Cancelled):
            return
        key, wanted = self._asked
        if isinstance(update, Frame):
            if update.data.get("partial") and key in self.films:
                return  # noise without an estimate yet: what was recorded last says more
            coming = self._coming = self._coming or Film(wanted)
            coming.take(update)
            first = key not in self.films or self.films[key] is not coming
            if coming.steps:
                self.films[key] = coming
                if first:
                    self.grown.emit(key)
                    self.update()  # what the hand has done meanwhile
                    return
        elif isinstance(update, Failed):
            film = self.films.get(key)
            failed = self._coming or Film(wanted)
            failed.steps = failed.steps or (film.steps if film is not None else {})
            failed.about = failed.about or (film.about if film is not None else {})
            failed.failed = update
            self.films[key], self._asked, self._coming = failed, None, None
        elif isinstance(update, Done):
            film = self._coming or Film(wanted)
            film.done = True
            self.films[key], self._asked, self._coming = film, None, None
        self.grown.emit(key)
        if self._asked is None:
            self.update()

    # -- looking -------------------------------------------------------------------------------------------------------

    def film(self, key: str = "") -> Film | None:
        """A film, the selected one by default; None while nothing of it was recorded."""
        return self.films.get(key or self.stage.state.selected)

    def step(self, key: str, index: int) -> Mapping[str, Any] | None:
        """The recorded step at or just before an index, along the film and those it branches from."""
        film, take = self.films.get(key), self.stage.state.take(key)
        first = take.at if take.parent else 0
        if film is not None and (index >= first or not take.parent):
            found = [i for i in film.steps if i <= index]
            if found:
                return film.steps[max(found)]
        return self.step(take.parent, min(index, take.at)) if take.parent else None

    def picture(self, key: str, index: int, kind: str) -> npt.NDArray[Any] | None:
        """One kind of picture of all samples at a step; None where there is none."""
        if kind not in KINDS:
            raise KeyError(kind)
        step = self.step(key, index)
        found = None if step is None else np.asarray(step[kind])
        return found if found is not None and found.size else None

    def shown(self) -> int:
        """The step that is shown: the playhead's, or as far as the recording is."""
        film, state = self.film(), self.stage.state
        if film is None:
            return 0
        last = film.last()
        wanted = last if state.step < 0 else min(state.step, last)
        return max(min(wanted, film.reached()), min(wanted, film.begins())) if film.steps else min(wanted, last)

    def norms(self, key: str, name: str, sample: int = -1) -> npt.NDArray[np.float64]:
        """Root mean squares over a film's steps, [S + 1], NaN where nothing was recorded; the mean over samples."""
        film, take = self.films.get(key), self.stage.state.take(key)
        if film is None:
            return np.zeros(0)
        values = film.sizes(name, sample)
        if take.parent:
            before = self.norms(take.parent, name, sample)
            first = min(film.begins(), len(before), len(values))
            values[:first] = before[:first]
        return values
