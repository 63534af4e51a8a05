"""The film's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from PySide6.QtWidgets import QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Update
from dgm_studio.gui.panels.denoise_film import TOPIC as FILM
from dgm_studio.gui.panels.denoise_film import Reel
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.stateframe import StateFrame

__all__ = ["FILM", "FilmPage"]


class FilmPage(QWidget):
    """See the module."""

    common: ClassVar[frozenset[str]] = frozenset({"sampling", "draws", "condition", "beginning"})

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage = stage
        self.reel = Reel(stage, self)
        self.cards: Sequence[QWidget] = ()
        self.grid = PictureGrid("Film", self)
        self.frame = StateFrame(self.grid, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.frame, 1)
        self._begun = False
        self._studio: Studio | None = None
        self.reel.grown.connect(self._on_grown)

    def set_studio(self, studio: Studio | None) -> None:
        """The window's state, None in tests."""
        self._studio = studio

    def begin(self) -> None:
        """Record the first film."""
        self._begun = True
        self.frame.show_waiting()
        self.reel.update()

    def forget(self) -> None:
        """Other weights."""

    def show_state(self) -> None:
        """Record what has changed."""
        if self._begun:
            self.reel.update()

    def show_failed(self, failed: Failed) -> None:
        """The model cannot be asked."""
        self.frame.show_error(failed.sentence, failed.action and "Try again", failed.details)

    def recording(self) -> bool:
        """Whether frames are on their way."""
        return bool(self.reel.recording())

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """A frame."""
        if topic == FILM:
            self.reel.receive(update, ticket)

    def play(self) -> bool:
        """Play."""
        return False

    def shown(self) -> Any:
        """The film's question."""
        return self.stage.request()

    def _on_grown(self, key: str) -> None:
        self.frame.show_ready()
        self.grid.set_pictures(self.reel.picture(self.stage.state.selected, self.reel.shown(), "x"))
