"""The twin in the plane: thousands of particles under the learnt and the exact score, side by side, at every level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import FlowParticles, KeepDrawing
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Frame, Progress, Result, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_plane_cards import COUNTS, GoodnessCard, OwnCard, ParticlesCard
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.particles import Particles
from dgm_studio.gui.widgets.slidertrack import SliderTrack
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.transport import Transport

SECTION = "plane"
FLOW, DRAWING = f"{SECTION}/flow", f"{SECTION}/drawing"
BETWEEN = 6  # frames drawn from one step to the next
RATE = 30.0  # of them in a second
LIVE_COUNT = 1500  # particles while the model trains: the sooner they are there, the more of the training is seen
FOLLOWED = 16  # particles whose way is drawn
Floats = npt.NDArray[np.floating]


class Square(QWidget):
    """One score: its name, its figure, its particles."""

    def __init__(self, words: str, token: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.view = Particles(words, self, token=token)
        self.title = label(words, "heading", self)
        self.figure = ElidedLabel("", "figures2", self)
        self.figure.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE[1])
        head.addWidget(self.title)
        head.addWidget(self.figure, 1)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.SPACE[0])
        self._column.addLayout(head)
        self._column.addWidget(self.view, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Name and square stay together in the middle of a high room."""
        super().resizeEvent(event)
        spare = self.height() - self.width() - self.title.sizeHint().height() - theme.SPACE[0]
        self._column.setContentsMargins(0, max(0, spare // 2), 0, max(0, spare - spare // 2))


class Flow:
    """What has come of one answer.

    Args:
        request: The question.
    """

    def __init__(self, request: FlowParticles) -> None:
        self.request = request
        self.about: Mapping[str, Any] = {}
        self.steps: list[Mapping[str, Any]] = []

    def take(self, frame: Frame) -> None:
        """A frame of the answer; steps come in order."""
        if frame.topic == "flow":
            self.about = frame.data
        elif frame.topic.startswith("particles/"):
            index = int(frame.data["index"])
            self.steps = [*self.steps[:index], frame.data]

    def places(self, which: str, at: float) -> Floats:
        """The particles [N, 2] between two steps, on straight lines; "learnt" or "exact"."""
        index = min(int(at), len(self.steps) - 1)
        here = np.asarray(self.steps[index][which])
        share = at - index
        if share <= 0 or index + 1 >= len(self.steps) or not here.size:
            return here
        return np.asarray(here + np.float32(share) * (np.asarray(self.steps[index + 1][which]) - here))

    def ways(self, which: str, at: float) -> Floats | None:
        """The ways so far of some particles, [P, K, 2]."""
        index = min(int(at), len(self.steps) - 1)
        if not np.asarray(self.steps[0][which]).size:
            return None
        taken = [np.asarray(step[which])[:FOLLOWED] for step in self.steps[: index + 1]]
        return np.stack([*taken, self.places(which, at)[:FOLLOWED]], axis=1)


class PlanePage(QWidget):
    """See the module; plugs into the panel as `denoise_state` says.

    Signals:
        told(str): Words for the canvas's corner.
    """

    told = Signal(str)

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage = stage
        self.studio: Studio | None = None
        self.particles, self.goodness = ParticlesCard(stage, self), GoodnessCard(self)
        self.own = OwnCard(self)
        self.cards = (self.particles, self.goodness, self.own)
        self.common = frozenset({"sampling"})
        self.learnt = Square("Learnt score", "accent", self)
        self.exact = Square("Exact score", theme.CATEGORIES[0], self)
        self.time = SliderTrack("Time, from noise to data", 0.0, 1.0, self)
        self.player = Transport(self, rate=RATE)
        self.words = label("", "figures", self)
        self._flow: Flow | None = None
        self._coming: Flow | None = None
        self._asked: FlowParticles | None = None
        self._drawn = (-1, "")
        self._lay_out()
        self.time.moved.connect(self._on_time)
        self.time.gesture_ended.connect(self._keep_place)
        self.player.index_changed.connect(self._on_played)
        self.player.playing_changed.connect(lambda plays: None if plays else self._keep_place())
        self.frame.acted.connect(self._again)
        self.own.wanted.connect(self._keep_drawing)

    def _lay_out(self) -> None:
        inner = QWidget(self)
        squares = QHBoxLayout()
        squares.setSpacing(theme.SPACE[2])
        squares.addWidget(self.learnt, 1)
        squares.addWidget(self.exact, 1)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self.player)
        row.addWidget(self.time, 1)
        row.addWidget(self.words)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addLayout(squares, 1)
        column.addLayout(row)
        self.frame = StateFrame(inner, self)
        self.frame.set_empty("Particles start as noise and follow the score to the data.", icon="target")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)

    def set_studio(self, studio: Studio | None) -> None:
        """Who opens the form of a new run."""
        self.studio = studio
        self.own.setVisible(studio is not None)

    # -- the page's contract -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The particles run at once."""
        self._ask()

    def show_state(self) -> None:
        """What is drawn, and other particles where the settings are others."""
        self.particles.show_state()
        if self.stage.about and self.stage.state.section == SECTION:
            self._ask()
        self._draw(fresh=True)

    def forget(self) -> None:
        """Other weights: the same particles run again, the old ones are shown until the new have come."""
        self._asked = None

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """A step of the particles, the end, or why there is none."""
        if topic == DRAWING:
            self._receive_drawing(update)
        elif topic == FLOW and ticket.request == self._asked:
            self._receive_flow(update)

    def shown(self) -> FlowParticles | None:
        """The request behind the picture."""
        return self._flow.request if self._flow is not None else None

    def take_key(self, key: int) -> bool:
        """The keys of a video player."""
        return self.player.take_key(key)

    @staticmethod
    def state_of(request: Any) -> dict[str, Any] | None:
        """The page state that shows a request."""
        return {"count": request.count, "seed": request.seed} if isinstance(request, FlowParticles) else None

    # -- asking --------------------------------------------------------------------------------------------------------

    def question(self) -> FlowParticles:
        """What the settings ask for."""
        kept = self.stage.page(SECTION)
        count = min(max(int(kept.get("count", COUNTS[-1])), 1), COUNTS[-1])
        if self.stage.card.live:
            count = min(count, LIVE_COUNT)
        return FlowParticles(self.stage.card.key, self.stage.take.sampling, count, int(kept.get("seed", 0)))

    def _ask(self) -> None:
        request = self.question()
        if request == self._asked:
            return
        self._asked, self._coming = request, Flow(request)
        self.frame.show_waiting()
        self.stage.ask(FLOW, request)

    def _again(self) -> None:
        self.forget()
        self._ask()

    def _receive_flow(self, update: Update) -> None:
        if isinstance(update, Failed):
            self._asked = None
            self.frame.show_error(update.sentence, "Try again", update.details or update.action)
        elif isinstance(update, Progress) and update.total:
            self.frame.show_waiting(update.done / update.total)
        elif isinstance(update, Frame) and self._coming is not None:
            self._coming.take(update)
            if self._coming.steps and not self._behind(self._coming):
                self._flow = self._coming
                self.frame.show_ready()
                self._count_frames()
                self._draw()

    def _behind(self, coming: Flow) -> bool:
        """Whether the same particles through newer weights have not come as far as those in sight: they stay."""
        flow = self._flow
        newer = flow is not None and flow is not coming and flow.request == coming.request
        return newer and len(coming.steps) - 1 < self.at()

    # -- time ----------------------------------------------------------------------------------------------------------

    def _steps(self) -> int:
        """Of the whole way; what has come may be less."""
        if self._flow is None:
            return 1
        return max(1, len(self._flow.about.get("times", ())) - 1, len(self._flow.steps) - 1)

    def _count_frames(self) -> None:
        steps = self._steps()
        if self.time.bounds() != (0.0, float(steps)):
            self.time.configure(0.0, float(steps), step=1.0)
        count = (len(self._flow.steps) - 1) * BETWEEN + 1 if self._flow is not None else 0
        self.player.set_index(min(self.player.index(), count - 1))  # without a signal: no hand has moved it
        self.player.set_count(count)

    def at(self) -> float:
        """Where the playhead is, in steps; the end until it is moved, and what has come of it."""
        come = 0.0 if self._flow is None else float(len(self._flow.steps) - 1)
        place = float(self.stage.page(SECTION).get("step", -1.0))
        if self.player.playing() or self._moving:
            place = self._place
        return come if place < 0 else min(place, come)

    _place, _moving = -1.0, False

    def _on_time(self, place: float) -> None:
        self.player.stop()
        self._place, self._moving = place, True
        self._draw()

    def _on_played(self, index: int) -> None:
        self._place, self._moving = index / BETWEEN, True
        self._draw()

    def _keep_place(self) -> None:
        """A gesture is over, or the film has stopped."""
        if self._moving and not self.player.playing():
            place, self._moving = self._place, False
            ends = place >= self._steps()
            self.stage.set_page(SECTION, "Move in time", step=-1.0 if ends else round(place, 3))

    # -- showing -------------------------------------------------------------------------------------------------------

    def _draw(self, *, fresh: bool = False) -> None:
        flow = self._flow
        if flow is None or not flow.steps:
            return
        at, about = self.at(), flow.about
        step = flow.steps[min(int(at), len(flow.steps) - 1)]
        reach = float(about.get("reach", 3.0))
        known = bool(np.asarray(step["exact"]).size)
        self.exact.setVisible(known)
        shows = self.particles.shows()
        mark = (int(step["index"]), f"{shows} {known} {id(flow)}")
        for which, square in (("learnt", self.learnt), ("exact", self.exact)):
            square.view.set_points(flow.places(which, at), reach)
            if mark != self._drawn or fresh:
                square.view.set_density(step["density"] if "density" in shows else None)
                field = step["field" if which == "learnt" else "field_exact"]
                square.view.set_field(field if "arrows" in shows and np.asarray(field).size else None)
            square.view.set_paths(flow.ways(which, at) if "paths" in shows else None)
        self._drawn = mark
        self.time.set_value(at)
        self.player.set_index(round(at * BETWEEN))
        self._tell(step, about)

    def _tell(self, step: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        snr = float(step["log_snr"])
        level = (
            f"\N{GREEK SMALL LETTER LAMDA} {snr:+.2f}".replace("-", "\N{MINUS SIGN}") if np.isfinite(snr) else "data"
        )
        self.words.setText(f"step {step['index']} of {self._steps()} · {level}")
        self.learnt.figure.setText(share_words(about.get("within")))
        self.exact.figure.setText(share_words(about.get("within_exact")))
        self.goodness.show_figures(about)
        truth = str(about.get("truth") or "")
        self.told.emit(truth)

    # -- one's own distribution ----------------------------------------------------------------------------------------

    def _keep_drawing(self, rows: Any, title: str) -> None:
        self.stage.ask(DRAWING, KeepDrawing(rows, title))

    def _receive_drawing(self, update: Update) -> None:
        if isinstance(update, Failed):
            self.own.tell(f"{update.sentence} {update.action}".strip())
        elif isinstance(update, Result) and self.studio is not None:
            card = self.stage.card
            self.studio.new_run(
                system=card.system,
                data=str(update.value),
                config=dict(card.config),
                training=dict(card.training),
                name=self.own.title() or "drawing",
            )


def share_words(value: Any) -> str:
    """A share within three standard deviations, in words; "" while it is not known."""
    known = value is not None and np.isfinite(float(value))
    return f"{float(value):.1%} within 3\N{GREEK SMALL LETTER SIGMA}".replace("%", " %") if known else ""
