"""Where a trajectory begins: noise, a picture, the noise behind a picture; and which part of a picture is kept."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.updates import Update
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.widgets.card import Card


class BeginningCard(Card):
    """See the module."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Beginning", parent)
        self.stage = stage

    def useful(self) -> bool:
        """Always."""
        return True

    def show_state(self) -> None:
        """The beginning of the selected film."""

    def load(self, path: str) -> bool:
        """Take a picture file."""
        return False

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """The picture it begins with."""
