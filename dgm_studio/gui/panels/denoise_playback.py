"""The film's page: recorded once, played while it comes, scrubbed both ways, branched, pinned, compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_axis import CURVES, TimeAxis, figure
from dgm_studio.gui.panels.denoise_beside import BESIDE, Beside, BesideCard
from dgm_studio.gui.panels.denoise_branching import branch, branch_step, finer
from dgm_studio.gui.panels.denoise_controls import in_bytes
from dgm_studio.gui.panels.denoise_film import TOPIC as FILM
from dgm_studio.gui.panels.denoise_film import Film, Reel
from dgm_studio.gui.panels.denoise_nearest import NEAREST, NearestCard
from dgm_studio.gui.panels.denoise_ribbon import Ribbon
from dgm_studio.gui.panels.denoise_screen import Screen
from dgm_studio.gui.panels.denoise_state import END, KINDS, MOST_PINS, MOST_TAKES, SPEEDS, Stage
from dgm_studio.gui.panels.denoise_tree import result_of
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import CanvasState, StateFrame
from dgm_studio.gui.widgets.transport import Transport

__all__ = ["FILM", "FilmPage"]

SLOWEST, FASTEST = 8.0, 60.0  # frames a second at normal speed
LENGTH = 4.0  # s; what a film of middling length takes
SPEED_WORDS = ("\N{VULGAR FRACTION ONE QUARTER}", "\N{VULGAR FRACTION ONE HALF}", "1", "2")
FEWER = re.compile(r"Take (\d+) or more")
NOTHING = "No frame yet"


class FilmPage(QWidget):
    """Pictures, transport, time, branches, pins.

    Signals:
        told(str): What the film is, for the canvas's corner.
        retried(): After a failure, where even the model's description has not come.
    """

    told = Signal(str)
    retried = Signal()
    common: ClassVar[frozenset[str]] = frozenset({"sampling", "draws", "condition", "beginning"})

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage = stage
        self.reel = Reel(stage, self)
        self.beside = Beside(stage, self.reel, self)
        self._begun, self._dirty, self._rate = False, False, 0.0
        self._studio: Studio | None = None
        self.nearest = NearestCard(stage, self.reel, self)
        self.compared = BesideCard(stage, self)
        self.cards: Sequence[QWidget] = (self.nearest,)
        self._make_parts()
        self._lay_out()
        self._connect()

    # -- building ------------------------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        self.pictures = Screen(self)
        self.frame = StateFrame(self.pictures, self)
        self.frame.set_empty("The way from noise to data, step by step.", icon="film")
        self.transport = Transport(self)
        self.speed = SegmentedControl(SPEED_WORDS, "Speed", self)
        self.speed.setToolTip("Speed of playing: a quarter, a half, normal, double")
        self.pin = IconButton("pin", "Pin this frame under the film (P)", self)
        self.branch = Button("Branch", self, icon="fork")
        self.finer = Button("Finer", self, icon="plus")
        self.where = ElidedLabel("", "figures", self)
        self.where.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter)
        self.axis = TimeAxis(self)
        self.ribbon = Ribbon(self.stage, self.reel, self.axis, self)
        self.notice = ElidedLabel("", "live", self)
        self.remedy = Button("", self, link=True)

    def _lay_out(self) -> None:
        controls = QHBoxLayout()
        controls.setSpacing(theme.SPACE[1])
        controls.addWidget(self.transport)
        controls.addWidget(self.speed)
        controls.addWidget(self.where, 1)
        for button in (self.pin, self.branch, self.finer):
            controls.addWidget(button)
        notice = QHBoxLayout()
        notice.setSpacing(theme.SPACE[1])
        notice.addWidget(self.notice, 1)
        notice.addWidget(self.remedy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.frame, 1)
        column.addLayout(notice)
        column.addLayout(controls)
        column.addWidget(self.axis)
        column.addWidget(self.ribbon)

    def _connect(self) -> None:
        self.reel.grown.connect(self._on_grown)
        self.beside.grown.connect(self._on_beside)
        self.frame.acted.connect(self._on_again)
        self.pictures.kind_chosen.connect(self._on_kind)
        self.pictures.sample_chosen.connect(self._on_sample)
        self.transport.index_changed.connect(self._on_index)
        self.transport.playing_changed.connect(self._on_playing)
        self.transport.loops_changed.connect(self._on_loops)
        self.speed.chosen.connect(self._on_speed)
        self.pin.clicked.connect(self.ribbon.pin_frame)
        self.branch.clicked.connect(self.branch_here)
        self.finer.clicked.connect(self.finer_here)
        self.axis.pressed.connect(self.transport.stop)
        self.axis.scrubbed.connect(self._on_index)
        self.axis.released.connect(self._on_scrubbed)
        self.axis.key.connect(self.take_key)
        self.ribbon.key.connect(self.take_key)
        self.remedy.clicked.connect(self._on_remedy)

    def set_studio(self, studio: Studio | None) -> None:
        """The window's state, None in tests."""
        self._studio = studio
        self.compared.studio = studio

    # -- the page's contract -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Record the first film."""
        self._begun = True
        self.show_state()

    def forget(self) -> None:
        """Other weights: every film is asked anew."""
        self.reel.outdate()
        self.nearest.forget()
        self.beside.forget()

    def show_state(self) -> None:
        """Record what has changed, show what there is."""
        state = self.stage.state
        if self._begun and not self.isHidden():  # another section asks the worker for its own
            self.reel.update()
            self.beside.update()
        self.speed.set_index(SPEEDS.index(state.speed))
        self.transport.set_loops(state.loops)
        self.compared.show_state()
        self.beside.names = self.compared.offers()
        self._show_film()
        self._show_waiting()

    def show_failed(self, failed: Failed) -> None:
        """The model cannot be asked."""
        self.frame.show_error(f"{failed.sentence} {failed.action}".strip(), "Try again", failed.details)

    def recording(self) -> bool:
        """Whether frames are on their way."""
        return bool(self.reel.recording())

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """A frame, the nearest pictures, or the film of another checkpoint."""
        if topic == FILM:
            self.reel.receive(update, ticket)
        elif topic == NEAREST:
            self.nearest.receive(update, ticket)
        elif topic == BESIDE:
            self.beside.receive(update, ticket)

    def settle(self) -> None:
        """A batch of frames has come: show the newest."""
        if self._dirty:
            self._show_film()

    def play(self) -> bool:
        """Play; False while there is nothing."""
        if self.transport.count() < 2:
            return False
        if not self.transport.playing():
            self.transport.toggle()
        return True

    def result(self) -> npt.NDArray[Any] | None:
        """The enlarged sample as it ends, None where there is none."""
        film, state = self.reel.film(), self.stage.state
        if film is None or not film.done or state.sample < 0:
            return None
        return result_of(self.reel.picture(state.selected, film.last(), "clean"), state.sample)

    def shown(self) -> Any | None:
        """The selected film."""
        return self.stage.request() if self.reel.film() is not None else None

    def plot(self) -> QWidget | None:
        """The norms over time."""
        return self.axis if self.reel.film() is not None else None

    def take_key(self, key: int) -> bool:
        """Keys of a video player; B branches, P pins, O loops, R draws other noise, Escape shows all samples."""
        actions = {
            Qt.Key.Key_B: self.branch_here,
            Qt.Key.Key_P: self.ribbon.pin_frame,
            Qt.Key.Key_O: self._toggle_loop,
            Qt.Key.Key_R: self._reroll,
            Qt.Key.Key_Escape: self._show_all,
        }
        action = actions.get(Qt.Key(key))
        if action is not None:
            action()
            return True
        return self.transport.take_key(key)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_frame(self) -> None:
        """The step under the playhead: what happens sixty times a second."""
        state, reel = self.stage.state, self.reel
        index = reel.shown()
        self._show_pictures(index)
        self.axis.set_index(index)
        if not self.transport.playing():
            self.transport.set_index(index)
        self.where.setText(self._where(index))
        self._show_branching(index)
        if state.beside:
            self._show_beside(index)

    def _show_pictures(self, index: int) -> None:
        state, reel = self.stage.state, self.reel
        step = reel.step(state.selected, index)
        norms: Mapping[str, Any] = {} if step is None else step["norms"]
        for side, kind in ((self.pictures.left, state.left), (self.pictures.right, state.right)):
            values = None if step is None else np.asarray(step[kind])
            some = values is not None and values.size > 0
            note = _NOTES.get(kind, "") if step is not None else NOTHING
            side.show_frame(kind, values if some else None, norms, state.sample, note)

    def _show_film(self) -> None:
        """Everything that depends on what is recorded."""
        self._dirty = False
        state, film = self.stage.state, self.reel.film()
        guided = bool(self.stage.take.condition) and self.stage.take.sampling.guidance not in (0.0, 1.0)
        self.pictures.show_kinds(state.left, state.right, guided=guided)
        if film is not None:
            curves = {name: self.reel.norms(state.selected, name, state.sample) for name in CURVES}
            self.axis.set_film(film.last(), film.reached(), film.begins(), film.log_snr(), curves)
            self.transport.set_count(film.last() + 1)
            rate = min(max(film.last() / LENGTH, SLOWEST), FASTEST)
            if rate * state.speed != self._rate:  # a timer that is set again and again never fires
                self._rate = rate * state.speed
                self.transport.set_rate(self._rate)
            self.pictures.set_captions([f"the judge sees {word}" for word in film.about.get("judged") or ()])
        self._tell(film)
        self.ribbon.show_state()
        self.pictures.other.setVisible(bool(state.beside))
        self.show_frame()
        self.nearest.show_state()

    def _show_waiting(self) -> None:
        """Dim what is old, until the first new frame comes."""
        film = self.reel.film()
        waits = self.reel.recording() == self.stage.state.selected
        if film is not None and film.failed is not None and not waits:
            failed = film.failed
            self.frame.show_error(f"{failed.sentence} {failed.action}".strip(), "Try again", failed.details)
        elif waits and (film is None or film.asked != self.stage.request()):
            self.frame.show_waiting()
        elif film is not None:
            self.frame.show_ready()

    def _tell(self, film: Film | None) -> None:
        if film is None or film.failed is not None:
            self.told.emit("")
            self.notice.hide()
            self.remedy.hide()
            return
        warnings = [str(w) for w in film.about.get("warnings") or ()]
        warnings += [] if film.done else [str(w) for w in self.stage.about.get("warnings") or ()]
        self.notice.setText(warnings[0] if warnings else "")
        self.notice.set_hint("\n".join(warnings))
        self.notice.setVisible(bool(warnings))
        found = FEWER.search(warnings[0]) if warnings else None
        self.remedy.setText(f"Take {found[1]} steps" if found else "")
        self.remedy.setVisible(found is not None)
        if film.done:
            seconds = float(film.about.get("seconds", 0.0))
            made = int(film.about.get("evaluations", 0))
            parts = [f"{made} evaluations", f"{seconds:.2g} s", in_bytes(film.memory())]
        else:
            parts = [f"recording, {max(film.reached(), 0)} of {film.last()}"]
        self.told.emit(" \N{MIDDLE DOT} ".join(parts))

    def _where(self, index: int) -> str:
        film = self.reel.film()
        if film is None:
            return ""
        levels, times = film.log_snr(), film.about.get("times", ())
        parts = [f"{index} of {film.last()}"]
        if index < len(levels):
            parts.append("data" if index == film.last() else f"log-SNR {figure(float(levels[index]))}")
        if index < min(len(times), film.last()):
            parts.append(f"t {float(times[index]):.3g}")
        return " \N{MIDDLE DOT} ".join(parts)

    def _show_branching(self, index: int) -> None:
        film = self.reel.film()
        last = film.last() if film is not None else 0
        at, full = branch_step(index, last), len(self.stage.state.takes) >= MOST_TAKES
        for button, hint in (
            (self.branch, f"Go on from step {at} with other noise, to be changed in the column (B)"),
            (self.finer, f"Go on from step {at} with twice as many steps"),
        ):
            button.setEnabled(film is not None and last > 1 and not full)
            button.setToolTip(f"There are {MOST_TAKES} films: throw one away first." if full else hint)
        self.pin.setEnabled(film is not None and len(self.stage.state.pins) < MOST_PINS)

    def _show_beside(self, index: int) -> None:
        state, other = self.stage.state, self.pictures.other
        title, values, norms = self.beside.look(index, state.right)
        other.title.setText(title)
        other.show_frame(state.right, values, norms, state.sample, self.beside.note())

    # -- what the hand does --------------------------------------------------------------------------------------------

    def branch_here(self) -> None:
        """Branch at the playhead."""
        film = self.reel.film()
        if film is not None and self.branch.isEnabled():
            branch(self.stage, branch_step(self.reel.shown(), film.last()))

    def finer_here(self) -> None:
        """Go on with more steps."""
        film = self.reel.film()
        if film is not None and self.finer.isEnabled():
            finer(self.stage, branch_step(self.reel.shown(), film.last()))

    def _on_grown(self, key: str) -> None:
        film = self.reel.film(key)
        ended = film is None or film.done or film.failed is not None
        if ended and self._begun:
            self.beside.update()
        if self.frame.state is not CanvasState.READY or ended:
            self._show_film()
            self._show_waiting()
        else:
            self._dirty = True

    def _on_beside(self) -> None:
        if self.stage.state.beside:
            self._show_beside(self.reel.shown())

    def _on_again(self) -> None:
        if not self.stage.about:
            self.frame.show_waiting()
            self.retried.emit()
            return
        self.reel.again()
        self._show_waiting()

    def _on_kind(self, side: str, kind: str) -> None:
        self.stage.set(f"Look at {KINDS[kind].lower()}", **{side: kind})

    def _on_sample(self, sample: int) -> None:
        self.stage.set("Show all samples" if sample < 0 else f"Enlarge sample {sample + 1}", sample=sample)

    def _on_index(self, index: int) -> None:
        film = self.reel.film()
        last = film.last() if film is not None else 0
        self.stage.set(step=END if index >= last else index)

    def _on_scrubbed(self) -> None:
        self.stage.committed.emit(f"Go to step {self.axis.index()}")

    def _on_playing(self, playing: bool) -> None:
        if not playing:
            self.show_frame()

    def _on_speed(self, place: int) -> None:
        self.stage.set(f"Play at {SPEED_WORDS[place]} of the speed", speed=SPEEDS[place])

    def _on_loops(self, loops: bool) -> None:
        self.stage.set("Play round and round" if loops else "Play once", loops=loops)

    def _toggle_loop(self) -> None:
        self._on_loops(not self.stage.state.loops)

    def _reroll(self) -> None:
        self.stage.change("Other noise", seed=self.stage.take.seed + 1)

    def _show_all(self) -> None:
        if self.stage.state.sample >= 0:
            self._on_sample(-1)

    def _on_remedy(self) -> None:
        found = FEWER.search(self.notice.text())
        if found is not None:
            self.stage.change(f"{found[1]} steps", sampling={"steps": int(found[1])})


_NOTES = {"difference": "There is no guidance here"}
