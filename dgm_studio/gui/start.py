"""The first page: something that moves with one click, where one was last time, a new run, a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QMouseEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.cards import ModelCard
from dgm_studio.core.requests import FollowPath
from dgm_studio.gui import theme
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import draw_picture, follow_theme, to_image

FIRST_MODEL = "zoo:vae-digits"
_FRAME_MS = 40


def walk(card: ModelCard) -> FollowPath:
    """A closed path through a model's prior; the same one at every start."""
    dice = random.Random(7)
    anchors = [tuple(dice.gauss(0.0, 1.0) for _ in range(card.latent)) for _ in range(6)]
    return FollowPath(card.key, (*anchors, anchors[0]), "spherical", 61)


def flight(card: ModelCard) -> dict[str, Any]:
    """The same path as a state of the latent panel."""
    anchors = [{"z": list(z), "words": f"draw {n % 6 + 1}"} for n, z in enumerate(walk(card).anchors)]
    return {"anchors": anchors, "kind": "spherical", "loop": True, "frame": 0}


class Wanderer(QWidget):
    """A row of decoded pictures that slowly run through: what a latent space is, before any word of it.

    Signals:
        clicked(): The whole of it is a button.
    """

    clicked = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._pictures: list[npt.NDArray[np.uint8]] = []
        self._phase = 0.0
        self._timer = QTimer(self, interval=_FRAME_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._turn)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("A walk through the latent space of the digits; click to fly it yourself")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_pictures(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Show these, again and again."""
        self._pictures = list(pictures)
        self._run_or_rest()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(560, theme.current().px(112))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._run_or_rest()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        side = float(self.height())
        pitch = side + theme.SPACE[1]
        if not self._pictures:
            for place in range(int(self.width() // pitch) + 1):
                painter.fillRect(QRectF(place * pitch, 0, side, side), theme.current().colour("bg2"))
            return
        first = int(self._phase // pitch)
        x = -(self._phase % pitch)
        while x < self.width():
            picture = to_image(self._pictures[first % len(self._pictures)])
            draw_picture(painter, QRectF(x, 0, side, side), picture, smooth=True)
            first, x = first + 1, x + pitch

    def _run_or_rest(self) -> None:
        if self._pictures and self.isVisible():
            self._timer.start()
        else:
            self._timer.stop()

    def _turn(self) -> None:
        pitch = self.height() + theme.SPACE[1]
        self._phase = (self._phase + 1.2) % (pitch * len(self._pictures))
        self.update()


class StartPage(QScrollArea):
    """See the module.

    Signals:
        fly_wanted(): One click to a moving picture.
        new_run_wanted(), open_wanted(), session_wanted(): The other ways in.
        key_wanted(str): A recent file or a model.
    """

    fly_wanted = Signal()
    new_run_wanted = Signal()
    open_wanted = Signal()
    session_wanted = Signal()
    key_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Start")
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        page = QWidget(self)
        page.setObjectName("scrolled")
        page.setMaximumWidth(1000)
        self.wanderer = Wanderer(page)
        self._fly = Button("Fly through digits", page, icon="play", primary=True)
        self._session = Button("Continue", page)
        self._session_words = label("", "secondary", page, wrap=True)
        self._recent = QVBoxLayout()
        self._recent_buttons: list[Button] = []
        self._paths: list[str] = []
        self._build(page)
        self.setWidget(page)
        self.wanderer.clicked.connect(self.fly_wanted)
        self._fly.clicked.connect(self.fly_wanted)
        self._session.clicked.connect(self.session_wanted)

    def set_flight(self, possible: bool) -> None:
        """Whether the box has a model to fly through."""
        self._flight.setVisible(possible)

    def show_session(self, names: Sequence[str]) -> None:
        """Offer the last session; its models by name."""
        self._session_card.setVisible(bool(names))
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        self._session_words.setText(shown)

    def show_recent(self, paths: Sequence[str]) -> None:
        """Offer recently opened files."""
        for button in self._recent_buttons:
            self._recent.removeWidget(button)
            button.deleteLater()
        self._recent_buttons, self._paths = [], list(paths[:5])
        for path in self._paths:
            button = Button(path.rsplit("/", 1)[-1] or path, self, link=True)
            button.setToolTip(path)
            button.clicked.connect(self._open_recent)
            self._recent.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
            self._recent_buttons.append(button)
        self._recent_card.setVisible(bool(paths))

    def _build(self, page: QWidget) -> None:
        column = QVBoxLayout(page)
        column.setContentsMargins(theme.SPACE[4], theme.SPACE[4], theme.SPACE[4], theme.SPACE[4])
        column.setSpacing(theme.SPACE[3])
        column.addStretch(1)
        column.addWidget(label("Train, look inside and steer generative models", "title", page, wrap=True))
        column.addWidget(
            label(
                "Pick a model at the left, drop a file anywhere, or begin with one of these.",
                "secondary",
                page,
                wrap=True,
            )
        )
        self._flight = Card("", page)
        self._flight.add(self.wanderer)
        row = QHBoxLayout()
        row.addWidget(
            label("A trained VAE dreams up digits. Drag a slider and watch one become another.", "", page, wrap=True), 1
        )
        row.addWidget(self._fly)
        self._flight.body.addLayout(row)
        column.addWidget(self._flight)
        column.addLayout(self._ways(page))
        column.addStretch(2)

    def _ways(self, page: QWidget) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(theme.SPACE[2])
        train = self._way(page, "Train a model", "Digits, faces, toys or your own pictures; first results in a minute.")
        new = Button("New run", page, icon="plus")
        new.clicked.connect(self.new_run_wanted)
        train.body.addWidget(new, 0, Qt.AlignmentFlag.AlignLeft)
        look = self._way(page, "Open a file", "A checkpoint, a run folder, or a picture exported from here.")
        opener = Button("Choose a file", page, icon="open")
        opener.clicked.connect(self.open_wanted)
        look.body.addWidget(opener, 0, Qt.AlignmentFlag.AlignLeft)
        self._session_card = Card("Last session", page)
        self._session_card.add(self._session_words)
        self._session_card.body.addWidget(self._session, 0, Qt.AlignmentFlag.AlignLeft)
        self._session_card.body.addStretch()
        self._recent_card = recent = Card("Recent", page)
        recent.body.addLayout(self._recent)
        recent.body.addStretch()
        for place, card in enumerate((train, look, recent, self._session_card)):
            grid.addWidget(card, place // 2, place % 2)
        self._recent_card.hide()
        self._session_card.hide()
        return grid

    def _way(self, page: QWidget, title: str, words: str) -> Card:
        card = Card(title, page)
        card.add(label(words, "secondary", card, wrap=True))
        card.body.addStretch()
        return card

    def _open_recent(self) -> None:
        sender = self.sender()
        for button, path in zip(self._recent_buttons, self._paths, strict=True):
            if button is sender:
                self.key_wanted.emit(path)
