"""The picture that is encoded: asking for its posterior, bringing z into it, forgetting it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QObject

from dgm_studio.core import requests
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import EncodePicture
from dgm_studio.core.updates import Failed, Frame, Problem, Update
from dgm_studio.gui.panels.latent_scene import Scene
from dgm_studio.gui.widgets.painting import Picture

POSTERIOR = "posterior"


class Encoding(QObject):
    """Keeps the encoded picture and its posterior.

    Args:
        scene: The panel's shared part.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._scene = scene
        self._asked: EncodePicture | None = None
        self._follow = False
        self._gesture = ""
        card = scene.encode
        card.drawn.connect(self._on_drawn)
        card.example_wanted.connect(self._on_example)
        card.file_wanted.connect(self.take_file)
        card.back_wanted.connect(self._on_back)
        card.clear_wanted.connect(self._on_clear)

    def encode(self, request: EncodePicture, gesture: str) -> None:
        """Encode a picture and bring z to its posterior's mean.

        Args:
            request: The question.
            gesture: Name of the undo step when the answer is there; "" while the gesture goes on.
        """
        self._asked, self._follow, self._gesture = request, True, gesture
        self._scene.set(encoded=requests.to_json(request))
        self._scene.ask(POSTERIOR, request)

    def again(self, *, follow: bool = False) -> None:
        """Ask for what the state says is encoded; z stays (undo, another snapshot) unless it shall `follow`."""
        self._asked, self._follow, self._gesture = None, follow, ""
        stored = dict(self._scene.state.encoded)
        if stored:
            stored["model"] = self._scene.card.key
            try:
                self._asked = requests.from_json(stored)
            except Problem:
                self._scene.set(encoded={})  # a session of another version: its picture cannot be read any more
        if self._asked is None:
            self._scene.encode.show_posterior(None)
            self._scene.map.overlays.show_posterior(None, None)
        else:
            self._scene.ask(POSTERIOR, self._asked)

    def receive(self, update: Update, ticket: Ticket) -> None:
        """The posterior, or why there is none."""
        if ticket.request != self._asked:
            return
        if isinstance(update, Failed):
            self._scene.encode.show_error(f"{update.sentence} {update.action}".strip())
        elif isinstance(update, Frame):
            self._show(update.data, ticket.request)

    def _show(self, data: dict[str, Any], request: EncodePicture) -> None:
        scene = self._scene
        mean, std = np.asarray(data["mean"], float), np.asarray(data["std"], float)
        scene.encode.show_posterior(data, words_of(request))
        if request.split == "valid" and request.index >= 0:
            scene.encode.show_number(request.index)
        scene.map.overlays.show_posterior(mean, std)
        if self._follow:
            scene.move_to(scene.keep_locks(mean))
        if self._gesture:
            scene.commit(self._gesture)
            self._gesture = ""
        scene.changed.emit()

    # -- by hand -------------------------------------------------------------------------------------------------------

    def _on_drawn(self, picture: Picture, done: bool) -> None:
        rows = tuple(tuple(row) for row in picture.tolist())
        self.encode(EncodePicture(self._scene.card.key, picture=_frozen(rows)), "Encode a drawing" if done else "")

    def _on_example(self, index: int) -> None:
        scene = self._scene
        if index < 0:
            count = max(1, len(scene.space.points))
            before = int(scene.state.encoded.get("index", -1))
            # another one each time, yet the same row of examples in every session
            index = int(np.random.default_rng([before + 1, scene.state.seed]).integers(count))
        self.encode(EncodePicture(scene.card.key, index=index, split=scene.space.split), f"Encode example {index}")

    def take_training(self, index: int) -> None:
        """Encode a training example."""
        request = EncodePicture(self._scene.card.key, index=index, split="train")
        self.encode(request, f"Encode training example {index}")

    def take_file(self, path: str) -> None:
        """Encode a picture file."""
        self.encode(EncodePicture(self._scene.card.key, file=path), "Encode a picture")

    def _on_back(self) -> None:
        mean = self._scene.map.overlays.posterior_mean()
        if mean is not None:
            self._scene.move_to(self._scene.keep_locks(mean))
            self._scene.commit("Go to the encoded picture")

    def _on_clear(self) -> None:
        self._scene.set(encoded={})
        self.again()
        self._scene.commit("Forget the encoded picture")


def words_of(request: EncodePicture) -> str:
    """What was encoded."""
    if request.file:
        return request.file.replace("\\", "/").rpartition("/")[2]
    if request.picture:
        return "a drawing"
    return f"{request.split} example {request.index}"


def _frozen(rows: Any) -> tuple[Any, ...]:
    return tuple(_frozen(row) if isinstance(row, list | tuple) else row for row in rows)
