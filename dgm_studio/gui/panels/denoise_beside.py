"""Another film or another checkpoint beside the one that is played, in step with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from dgm_studio.core.cards import Capability, ModelCard, split_key
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import PlayDenoising
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Done, Failed, Frame, Update
from dgm_studio.gui.panels.denoise_branching import film_words
from dgm_studio.gui.panels.denoise_controls import Choice
from dgm_studio.gui.panels.denoise_film import Film, Reel
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.labels import label

BESIDE = "film/beside"
TAKE, MODEL = "take:", "model:"
HINT = "Add checkpoints to the comparison (Ctrl+D in the library) to follow the same noise through them."


class Beside(QObject):
    """Finds the frame that stands beside, and records it where it is another checkpoint's.

    Signals:
        grown(): There is more to see.
    """

    grown = Signal()

    def __init__(self, stage: Stage, reel: Reel, parent: QObject) -> None:
        super().__init__(parent)
        self.stage, self.reel = stage, reel
        self.film: Film | None = None
        self.names: Mapping[str, str] = {}
        self._asked: PlayDenoising | None = None

    def forget(self) -> None:
        """Other weights beside which it stands; the other checkpoint's own film stays true."""

    def update(self) -> None:
        """Record the same film of the other checkpoint; after this one's, which goes first."""
        beside = self.stage.state.beside
        if not beside.startswith(MODEL):
            self.film = self._asked = None
            return
        own = self.reel.film()
        wanted = self.stage.request(model=beside.removeprefix(MODEL))
        if wanted != self._asked and own is not None and own.done and own.asked == self.stage.request():
            self._asked = wanted
            self.stage.ask(BESIDE, wanted)

    def receive(self, update: Update, ticket: Ticket) -> None:
        """A frame of the other checkpoint's film."""
        if self._asked is None or ticket.request != self._asked:
            return
        if self.film is None or self.film.asked != self._asked:
            self.film = Film(self._asked)
        if isinstance(update, Frame):
            self.film.take(update)
        elif isinstance(update, Failed):
            self.film.failed = update
        elif isinstance(update, Done):
            self.film.done = True
        self.grown.emit()

    def look(self, index: int, kind: str) -> tuple[str, npt.NDArray[Any] | None, Mapping[str, Any]]:
        """Title, samples and norms of the frame that stands beside a step of the selected film: at the same level."""
        beside, state = self.stage.state.beside, self.stage.state
        own = self.reel.film()
        levels = own.log_snr() if own is not None else np.zeros(0)
        if beside.startswith(TAKE):
            key = beside.removeprefix(TAKE)
            if key not in {take.key for take in state.takes}:
                return "", None, {}
            other = self.reel.film(key)
            step = self.reel.step(key, _at_level(other, levels, index)) if other is not None else None
            title = film_words(self.stage, state.take(key))
        else:
            key = beside.removeprefix(MODEL)
            found = [i for i in self.film.steps if i <= _at_level(self.film, levels, index)] if self.film else []
            step = self.film.steps[max(found)] if self.film is not None and found else None
            title = self.names.get(beside, split_key(key)[0])
        values = None if step is None else np.asarray(step[kind])
        some = values is not None and values.size > 0
        return title, values if some else None, {} if step is None else step["norms"]

    def note(self) -> str:
        """Why nothing is shown."""
        if self.film is not None and self.film.failed is not None:
            return f"{self.film.failed.sentence} {self.film.failed.action}".strip()
        return "No frame yet"


def _at_level(film: Film | None, levels: npt.NDArray[np.float64], index: int) -> int:
    """The last step of a film that is not cleaner than a step of another."""
    if film is None:
        return 0
    own = film.log_snr()
    if index >= len(levels) - 1 or not len(own):
        return film.last()
    return max(int(np.searchsorted(own, levels[index] + 1e-6, side="right")) - 1, 0)


class BesideCard(Card):
    """Chooses what stands beside."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Compare", parent)
        self.stage = stage
        self.studio: Studio | None = None
        self.choice = Choice("Beside", {"": "Nothing"}, self)
        self.hint = label(HINT, "secondary", self, wrap=True)
        self.add(self.choice)
        self.add(self.hint)
        self.choice.chosen.connect(self._on_chosen)

    def offers(self) -> dict[str, str]:
        """What can stand beside, in words."""
        stage, state = self.stage, self.stage.state
        found = {"": "Nothing"}
        found |= {f"{TAKE}{t.key}": film_words(stage, t) for t in state.takes if t.key != state.selected}
        return found | {f"{MODEL}{card.key}": f"{card.name}, step {card.step:,}" for card in self.others()}

    def others(self) -> list[ModelCard]:
        """Checkpoints of the comparison set whose films can be laid beside this one's."""
        if self.studio is None:
            return []
        own, cards = self.stage.card, self.studio.cards
        found = [cards[key] for key in self.studio.comparison if key in cards]
        return [
            card
            for card in found
            if Capability.DENOISES in card.capabilities
            and split_key(card.key)[0] != split_key(own.key)[0]
            and card.modalities[:1] == own.modalities[:1]
        ]

    def show_state(self) -> None:
        """What there is, and what is chosen."""
        offers = self.offers()
        beside = self.stage.state.beside
        if beside and beside not in offers:
            offers[beside] = beside.partition(":")[2]
        self.choice.set_words(offers)
        self.choice.set_key(beside)
        self.hint.setVisible(not self.others())

    def _on_chosen(self, key: str) -> None:
        self.stage.set(f"Beside: {self.choice.list.currentText()}" if key else "Nothing beside", beside=key)
