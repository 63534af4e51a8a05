"""Is this a copy? The training pictures nearest to a sample, and how near held-out pictures usually come."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtWidgets import QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import FindNearest
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_film import Reel
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.picturegrid import PictureGrid

NEAREST = "film/nearest"
NEIGHBOURS = 5
SIDE = 72
CHOOSE = "Looked for once the film is complete."


class NearestCard(Card):
    """Asks for the enlarged sample once its film is complete."""

    def __init__(self, stage: Stage, reel: Reel, parent: QWidget) -> None:
        super().__init__("Nearest training pictures", parent)
        self.stage, self.reel = stage, reel
        self.grid = PictureGrid("Nearest training pictures", self, columns=NEIGHBOURS)
        self.words = label(CHOOSE, "secondary", self, wrap=True)
        self.back = Button("Show all samples", self, icon="grid")
        self._asked: FindNearest | None = None
        self.add(self.grid)
        self.add(self.words)
        self.add(self.back)
        self.grid.hide()
        self.back.clicked.connect(self._on_back)
        theme.changed.connect(self._fit)
        self._fit()

    def forget(self) -> None:
        """Other weights."""
        self._asked = None

    def show_state(self) -> None:
        """Ask, where a sample is enlarged and its film is there."""
        stage, film = self.stage, self.reel.film()
        sample = stage.state.sample
        self.back.setVisible(sample >= 0)
        self.setVisible(stage.pictures and sample >= 0 and stage.state.section == "film")
        if not stage.pictures or sample < 0:
            self._asked = None
            self.grid.hide()
            self.words.setText(CHOOSE)
            return
        request = stage.request()
        wanted = FindNearest(request, sample, NEIGHBOURS)
        if film is None or not film.done or film.asked != request or wanted == self._asked:
            return
        self._asked = wanted
        stage.ask(NEAREST, wanted)

    def receive(self, update: Update, ticket: Ticket) -> None:
        """The pictures and their distances, or why there are none."""
        if ticket.request != self._asked:
            return
        if isinstance(update, Failed):
            self.grid.hide()
            self.words.setText(f"{update.sentence} {update.action}".strip())
        elif isinstance(update, Frame):
            data = update.data
            distances = np.asarray(data["distances"], float)
            self.grid.set_pictures(np.asarray(data["pictures"]), [f"{d:.2f}" for d in distances])
            self.grid.show()
            self.words.setText(nearness(float(distances[0]), data["typical"], _label(data)))

    def _fit(self) -> None:
        self.grid.setFixedHeight(theme.current().px(SIDE))

    def _on_back(self) -> None:
        self.stage.set("Show all samples", sample=-1)


def _label(data: Any) -> str:
    labels = list(data.get("labels") or ())
    return str(labels[0]) if len(labels) else ""


def nearness(distance: float, typical: Any, nearest: str = "") -> str:
    """How near a sample comes, against held-out pictures, in words.

    >>> nearness(0.05, {"middle": 0.14, "low": 0.08})
    '0.05 RMS from the nearest: nearer than 95\N{NO-BREAK SPACE}% of held-out pictures (0.08), perhaps a copy.'
    """
    middle, low = float(typical["middle"]), float(typical["low"])
    who = f" ({nearest})" if nearest else ""
    start = f"{distance:.2f} RMS from the nearest{who}: "
    if distance < low:
        return start + f"nearer than 95\N{NO-BREAK SPACE}% of held-out pictures ({low:.2f}), perhaps a copy."
    if distance <= 1.25 * middle:
        return start + f"as near as held-out pictures usually are ({middle:.2f}), no copy."
    return start + f"farther than held-out pictures usually are ({middle:.2f}), unlike the training data."
