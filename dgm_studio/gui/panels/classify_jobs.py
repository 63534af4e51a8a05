"""Questions that take a while: accuracy against labels, accuracy under attack. Jobs with a start, a stop, a curve."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.cards import ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ScoreAttacks, TraceLabels
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_state import ClassBench
from dgm_studio.gui.panels.classify_table import shown_name
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.panels.spec import Ask
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.curveaxis import duration
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.lineplot import LinePlot, PlotLine
from dgm_studio.gui.widgets.progressline import ProgressLine
from dgm_studio.gui.widgets.stateframe import CanvasState, StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

LABELS = (1, 2, 5, 10, 20, 50)
EPSILONS = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3)


class JobCard(Card):
    """Settings of a job, its buttons, how far it is.

    Args:
        title: Of the card.
        verb: On the button that starts it.
        about: What it does, in a sentence.
        parent: Owner.
        primary: Whether starting it is the main action of its surroundings.
    """

    def __init__(self, title: str, verb: str, about: str, parent: QWidget, *, primary: bool = True) -> None:
        super().__init__(title, parent)
        self.sliders: dict[str, ValueSlider] = {}
        self.about = WrappedLabel("secondary", self)
        self.about.setText(about)
        self.start = Button(verb, self, icon="play", primary=primary)
        self.stop = Button("Stop", self, icon="stop")
        self.line = ProgressLine(f"Progress: {title}", self)
        self.words = WrappedLabel("secondary", self)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.start)
        row.addWidget(self.stop)
        row.addStretch(1)
        self._settings = QVBoxLayout()
        self._settings.setSpacing(theme.SPACE[1])
        self.add(self.about)
        self.body.addLayout(self._settings)
        self.body.addLayout(row)
        self.add(self.line)
        self.add(self.words)
        self.show_running(False)

    def add_slider(self, name: str, slider: ValueSlider) -> None:
        """One more setting."""
        self.sliders[name] = slider
        self._settings.addWidget(slider)

    def value(self, name: str) -> int:
        """A setting."""
        return round(self.sliders[name].value())

    def show_running(self, running: bool) -> None:
        """Whether the job is at work."""
        self.start.setEnabled(not running)
        self.stop.setEnabled(running)
        self.line.setVisible(running)
        if running:
            self.line.set_share(None)


class Asking(Protocol):
    """What the parts of a panel share, as far as a job needs it."""

    card: ModelCard
    ask: Ask


class JobPage(QWidget):
    """What a job has found so far.

    Args:
        bench: What the parts share.
        card: Its settings.
        content: Where the answer is shown.
        empty: What the page will show.
        parent: Owner.

    Signals:
        told(str): What stands in the card's corner.
    """

    told = Signal(str)
    asks: type[Any]
    """The question."""
    bench: Asking

    def __init__(self, bench: Asking, card: JobCard, content: QWidget, empty: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench, self.settings = bench, card
        self._job: Ticket | None = None
        self._since = 0.0
        self.frame = StateFrame(content, self)
        self.frame.set_empty(empty, card.start.text(), "curves")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)
        self.frame.filled.connect(self.start)
        self.frame.acted.connect(self.start)
        card.start.clicked.connect(self.start)
        card.stop.clicked.connect(self.stop)

    def request(self) -> Any:
        """What the settings ask for."""
        raise TypeError(f"{type(self).__name__} asks nothing")

    def name(self) -> str:
        """Of the job, for people."""
        raise TypeError(f"{type(self).__name__} asks nothing")

    def concerns(self, asked: Any) -> bool:
        """Whether a question of this kind, which somebody asked before, is about the same model."""
        return bool(asked.model == self.bench.card.key)

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Show a Frame."""
        raise TypeError(f"{type(self).__name__} shows nothing")

    def start(self) -> None:
        """Begin."""
        if self._job is None:
            self._job = self.bench.ask.job(self.request(), self.name())
            self._since = 0.0
            self.settings.words.setText("Waiting for its turn.")
            self.settings.show_running(True)

    def stop(self) -> None:
        """Stop; what came so far stays."""
        if self._job is not None:
            self.bench.ask.stop(self._job)

    def forget(self) -> None:
        """Other weights: what is shown belongs to the older ones."""
        self.frame.set_stale(self.frame.state is CanvasState.READY)

    def receive_job(self, update: Update, ticket: Ticket) -> None:
        """Progress, figures, the end."""
        if self._job is None and not isinstance(update, Done | Cancelled | Failed):
            self._job = ticket  # begun before the panel was closed and opened again
            self.settings.show_running(True)
        if isinstance(update, Progress):
            self._since = self._since or time.monotonic()
            self.settings.line.set_share(update.done / update.total if update.total else None)
            self.settings.words.setText(f"{update.text}{self._left(update)}")
        elif isinstance(update, Frame):
            self.show_answer(update.data)
            self.frame.show_ready()
        elif isinstance(update, Done | Cancelled | Failed):
            self._job = None
            self.settings.show_running(False)
            self.settings.words.setText("Stopped; what is there stays." if isinstance(update, Cancelled) else "")
            if isinstance(update, Failed):
                self.frame.show_error(update.told(), update.action and "Try again", update.details)

    def _left(self, update: Progress) -> str:
        """How long it will take, once a twentieth is done; by the worker's estimate where it has one."""
        share = update.done / update.total if update.total else 0.0
        seconds = update.seconds_left
        if seconds is None and share > 0.05 and self._since:
            seconds = (time.monotonic() - self._since) * (1.0 - share) / share
        return f"\n{duration(max(1.0, round(seconds)))} left" if seconds else ""


class LabelsPage(JobPage):
    """Accuracy against the number of labels, by a generative model and by its classifier alone."""

    asks = TraceLabels
    bench: ClassBench

    def __init__(self, bench: ClassBench, parent: QWidget, rail: QWidget) -> None:
        about = (
            "Trains M2 (Kingma et al. 2014), which sees all pictures and a few labels, and beside it the same "
            "classifier on the labelled pictures alone. Training stays in memory; nothing is kept."
        )
        card = JobCard("Labels", "Trace labels", about, rail)
        card.add_slider("steps", ValueSlider("Steps each", 100, 5000, 1500, card, whole=True, log=True))
        card.add_slider("seeds", ValueSlider("Seeds", 1, 5, 1, card, whole=True))
        card.sliders["seeds"].setToolTip("Repeats with other labels; two or more give error bars")
        self.plot = LinePlot(
            "Accuracy against labels", None, x_title="Labels a class", y_title="Test accuracy", log=True
        )
        empty = "How many labels a generative classifier needs, and the same classifier without the generative part."
        super().__init__(bench, card, self.plot, empty, parent)
        self.count = 0  # training examples of the data, once they are known
        self.note = WrappedLabel("secondary", card)
        card.body.insertWidget(2, self.note)
        for slider in card.sliders.values():
            slider.moved.connect(self._tell_work)
        self._tell_work()

    def set_count(self, count: int) -> None:
        """How many training examples the data have."""
        self.count = count
        self._tell_work()

    def forget(self) -> None:
        """Other weights make no difference: the models are trained anew."""

    def _tell_work(self) -> None:
        asked = self.request()
        every = f" All are {self.all_labels():,.0f} a class." if self.count else ""
        trainings = 2 * len(asked.labels) * asked.seeds
        self.note.setText(f"{trainings} trainings of {asked.steps:,} steps, one after the other.{every}")

    def request(self) -> TraceLabels:
        """What the settings ask for."""
        data = self.bench.card.data.partition("~")[0]
        card = self.settings
        most = self.all_labels()
        few = tuple(n for n in LABELS if n < most)
        return TraceLabels(data, (*few, 0), card.value("steps"), card.value("seeds"), self.bench.state.seed)

    def all_labels(self) -> float:
        """Labels a class when all are there; more than any when nobody knows."""
        return self.count / len(self.bench.categories) if self.count else float("inf")

    def concerns(self, asked: Any) -> bool:
        """It is about the data."""
        return bool(asked.data == self.bench.card.data.partition("~")[0])

    def name(self) -> str:
        """Of the job."""
        return f"Trace labels, {self.bench.card.data.partition('~')[0]}"

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Two curves, growing."""
        labels = [int(n) for n in data["labels"]]
        most = self.all_labels() if self.count else 2.0 * max([*labels, 1])
        x = np.array([n or most for n in labels], float)
        order = np.argsort(x)
        names = {
            "generative": f"{str(data.get('system', 'generative')).upper()}, all pictures",
            "supervised": "labels alone",
        }
        lines = [
            PlotLine(
                names[kind],
                np.asarray(data["accuracy"][kind], float)[order],
                theme.CATEGORIES[place],
                np.asarray(data["error"][kind], float)[order],
            )
            for place, kind in enumerate(names, 1)
        ]
        self.plot.set_lines(x[order], lines, 0.0, 1.0, percent=True)
        seeds = int(data["seeds"])
        self.told.emit(f"{int(data['steps']):,} steps, {seeds} seed{'s' if seeds > 1 else ''}")


class RobustnessPage(JobPage):
    """Accuracy against epsilon, and how many of the attacks that succeed are noticed."""

    asks = ScoreAttacks
    bench: ClassBench

    def __init__(self, bench: ClassBench, parent: QWidget, rail: QWidget) -> None:
        about = (
            "Attacks test pictures by PGD at every epsilon. A picture counts when it is read right before and after; "
            "an attack that succeeds is noticed when log p(x) falls below the threshold."
        )
        card = JobCard("Robustness", "Score attacks", about, rail)
        card.add_slider("count", ValueSlider("Pictures", 10, 500, 50, card, whole=True, log=True))
        card.add_slider("steps", ValueSlider("Steps", 1, 50, 10, card, whole=True, log=True))
        card.add_slider("restarts", ValueSlider("Restarts", 1, 5, 1, card, whole=True))
        card.add_slider("draws", ValueSlider("Draws", 1, 16, 4, card, whole=True))
        content = QWidget()
        self.accuracy = LinePlot(
            "Accuracy under attack", content, x_title="Epsilon", y_title="Read right before and after the attack"
        )
        self.detected = LinePlot(
            "Attacks that are noticed",
            content,
            x_title="Epsilon",
            y_title="Successful attacks with log p(x) below the threshold",
        )
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        column.addWidget(self.accuracy, 1)
        column.addWidget(self.detected, 1)
        empty = (
            "Accuracy against the size of an attack, for every classifier, and how many attacks log p(x) gives away."
        )
        super().__init__(bench, card, content, empty, parent)

    def request(self) -> ScoreAttacks:
        """What the settings ask for."""
        values = {name: self.settings.value(name) for name in self.settings.sliders}
        return ScoreAttacks(self.bench.card.key, EPSILONS, **values, seed=self.bench.state.seed)

    def name(self) -> str:
        """Of the job."""
        return f"Attack {self.bench.card.name}"

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """A curve for each classifier."""
        epsilon = np.asarray(data["epsilon"], float)
        self.accuracy.set_lines(epsilon, _lines(data["accuracy"]), 0.0, 1.0, percent=True)
        self.detected.set_lines(epsilon, _lines(data["detected"]), 0.0, 1.0, percent=True)
        self.told.emit(f"{int(data['count']):,} pictures")


def _lines(shares: Mapping[str, Sequence[float]]) -> list[PlotLine]:
    """In the colours that the classifiers have on the attack page."""
    return [
        PlotLine(shown_name(name), np.asarray(each, float), theme.CATEGORIES[place])
        for place, (name, each) in enumerate(shares.items(), 1)
    ]
