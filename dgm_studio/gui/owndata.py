"""The user's own data may change or vanish after a model was trained on them: said above the panels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from dgm_studio.core.cards import DataCard, ModelCard, split_key
from dgm_studio.core.manifest import read_manifest
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import OpenData
from dgm_studio.core.updates import Failed, Problem, Result, Update
from dgm_studio.gui import runnotice
from dgm_studio.gui.shelf import data_words

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow


class OwnData(QObject):
    """Compares the data with those that a model was trained on, whenever another model is looked at.

    Args:
        window: Whose models.
    """

    def __init__(self, window: StudioWindow) -> None:
        super().__init__(window)
        self._window = window
        self._asker = window.bridge.asker("own data", self)
        self._asked: tuple[str, int] = ("", 0)
        self._known: dict[str, runnotice.Notice | None] = {}

    def notice(self, card: ModelCard | None) -> runnotice.Notice | None:
        """What is to be said of a model's data, as far as it is known; asks once each time it comes to the front."""
        if card is None or data_words(card.data) == card.data:  # in the box: never another one
            self._asked = ("", 0)
            return None
        base, _ = split_key(card.key)
        if self._asked[0] != base:
            self._asked = (base, self._asker("data", OpenData(card.data, 1)).id)
        return self._known.get(base)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """The data as they are now, or why they cannot be read."""
        base, number = self._asked
        card = self._window.studio.card
        if ticket.id != number or card is None or split_key(card.key)[0] != base:
            return
        if isinstance(update, Failed):
            without = "Without its data this model can be sampled and steered, not trained on or held against them."
            self._say(base, f"{update.sentence} {without}")
        elif isinstance(update, Result) and isinstance(update.value, DataCard):
            changed = update.value.sha256 != (_trained_on(card) or update.value.sha256)
            words = f"{data_words(card.data)} has changed since this model was trained on it: examples, neighbours and"
            self._say(base, f"{words} bounds are of the data as they are now." if changed else "")

    def settle(self) -> None:
        """Nothing to gather."""

    def hears(self, ticket: Ticket) -> bool:
        """No jobs."""
        return False

    def _say(self, base: str, words: str) -> None:
        self._known[base] = runnotice.Notice("warn", "Other data", words) if words else None
        runnotice.show_for(self._window)


def _trained_on(card: ModelCard) -> str:
    """The fingerprint of the data that a model was trained on, "" when it is not known."""
    try:
        return read_manifest(Path(card.path)).data_sha256
    except Problem:
        return ""
