"""One small picture per model: asked from the worker once, kept on disk."""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ShowThumbnail
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Update
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.widgets.painting import Picture, print_in_theme, to_image

RARELY = 4  # a run that trains is asked again when it has made so many times as many steps: a draw costs as much as 100
EARLY = 64  # steps at least


class Thumbnails(QObject):
    """Pictures by model; asks for the missing ones one at a time, so that a panel's question never waits behind them.

    Args:
        folder: Where pictures are kept between starts.
        bridge: Brings the answers.
        parent: Owner.
    """

    came = Signal(str)
    """A picture has come for this key."""

    def __init__(self, folder: Path, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._pictures: dict[str, QImage] = {}
        self._wanted: deque[ModelCard] = deque()
        self._asked: ModelCard | None = None
        self._refused: set[str] = set()
        self._training: dict[str, ModelCard] = {}  # by key: the state of a run that was asked last while it trained
        self._held = True
        self._asker = bridge.asker("thumbnails", self)

    def picture(self, card: ModelCard) -> QImage | None:
        """The picture in the theme's ink; None while there is none (it is asked for)."""
        card = self._seldom(card) if card.live else card
        name = _name(card)
        image = self._pictures.get(name)
        if image is None and name not in self._refused:
            image = self._from_disk(name)
            if image is None and card not in self._wanted and card is not self._asked:
                self._wanted.append(card)
                self._next()
        return None if image is None else print_in_theme(image)

    def _seldom(self, card: ModelCard) -> ModelCard:
        """A run that trains as it was when it was asked last, as long as that is not long ago."""
        last = self._training.get(card.key)
        if last is None or card.step < last.step:
            self._training[card.key] = card
        elif card.step >= max(EARLY, RARELY * last.step) and _name(last) in self._pictures:
            self._training[card.key] = card
            self._pictures[_name(card)] = self._pictures[_name(last)]  # stays until the newer one has come
            self._wanted.append(card)
            self._next()
        return self._training[card.key]

    def start(self) -> None:
        """From now on the worker may be asked."""
        self._held = False
        self._next()

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Keep a picture; go on with the next."""
        card = self._asked
        if card is None:
            return
        if isinstance(update, Frame) and "picture" in update.data:
            picture = np.ascontiguousarray(update.data["picture"], np.uint8)
            self._pictures[_name(card)] = to_image(picture)
            _amounts(picture).save(str(self._folder / f"{_name(card)}.png"))
            self.came.emit(split_key(card.key)[0])
        elif isinstance(update, Done | Failed | Cancelled):
            if _name(card) not in self._pictures:
                self._refused.add(_name(card))
            self._asked = None
            self._next()

    def settle(self) -> None:
        """Nothing to gather."""

    def hears(self, ticket: Ticket) -> bool:
        """No jobs."""
        return False

    def _next(self) -> None:
        if not self._held and self._asked is None and self._wanted:
            self._asked = self._wanted.popleft()
            self._asker("thumbnail", ShowThumbnail(self._asked.key))

    def _from_disk(self, name: str) -> QImage | None:
        image = QImage(str(self._folder / f"{name}.png"))
        if image.isNull():
            return None
        if image.format() == QImage.Format.Format_Grayscale8:
            rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
            image = to_image(rows[:, : image.width()])
        self._pictures[name] = image
        return image


def _amounts(picture: Picture) -> QImage:
    """A picture as it is kept: grey means amounts of ink, whatever the theme."""
    kind = QImage.Format.Format_Grayscale8 if picture.ndim == 2 else QImage.Format.Format_RGB888
    return QImage(picture.data, picture.shape[1], picture.shape[0], picture.strides[0], kind).copy()


def _name(card: ModelCard) -> str:
    """A file name for the state of a model: its content where that is known."""
    words = card.sha256 or f"{card.key} {card.step}"
    return hashlib.sha256(words.encode()).hexdigest()[:24]
