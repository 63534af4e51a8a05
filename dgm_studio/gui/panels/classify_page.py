"""The first page: which class it is by every classifier, how probable the picture is, styles by classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.packed import pack
from dgm_studio.core.requests import ClassifyDatum, DrawClassGrid
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.form import QuietCombo
from dgm_studio.gui.panels.classify_state import MOST, MOST_STYLES, ClassBench, nats
from dgm_studio.gui.panels.classify_table import ClassBars, ScoreGauge, StyleGrid
from dgm_studio.gui.panels.cross_editors import ImageEditor
from dgm_studio.gui.panels.cross_input import MOST_SEED, GivenCard
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

CLASSES, GRID = "classes", "grid"
UNKNOWN = "unknown"
WEIGHT = "label_weight"  # a setting of models that weigh their modalities


class PictureCard(GivenCard):
    """Which picture, what is drawn on it or rubbed out, and its class as far as somebody knows it."""

    def __init__(self, bench: ClassBench, parent: QWidget) -> None:
        self.truth: QuietCombo | None = None  # the parent shows the state before it is there
        self._classes = bench
        super().__init__(bench, parent)
        self.set_title("Picture")
        for part in self.parts.values():
            part.unknown.hide()  # without a picture there is nothing to classify
        self.truth = QuietCombo(self)
        self.truth.setAccessibleName(f"True {bench.label.name} of the picture")
        self.truth.addItems([*bench.categories, UNKNOWN])
        self.truth.activated.connect(self._on_truth)
        self.truth.setToolTip("What an attack leads away from, and what the ticks are drawn against")
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(ElidedLabel(f"True {bench.label.name}", "secondary", self))
        row.addWidget(self.truth, 1)
        self.body.addLayout(row)
        self.refusal = WrappedLabel("secondary", self)
        self.refusal.hide()
        self.add(self.refusal)
        editor = self.parts[bench.image.name].editor
        assert isinstance(editor, ImageEditor)
        self.canvas = editor.canvas
        self.canvas.refused.connect(self._on_refused)
        self.canvas.changed.connect(self.refusal.hide)
        self.show_state()

    def show_state(self) -> None:
        """The example, the picture, its class."""
        super().show_state()
        if self.truth is not None:
            truth = self._classes.truth()
            self.truth.setCurrentIndex(truth if truth >= 0 else self.truth.count() - 1)

    def take_file(self, path: str) -> None:
        """Classify a picture of the user's."""
        self.refusal.hide()
        self.canvas.load(path)

    def _on_refused(self, why: str) -> None:
        self.refusal.setText(why)
        self.refusal.show()

    def _on_truth(self, place: int) -> None:
        bench = self._classes
        known = place < len(bench.categories)
        values = dict(bench.state.values) | {bench.label.name: place if known else -1}
        bench.set(f"It is {bench.categories[place]}" if known else "Its class is unknown", values=values)


class ReadingCard(Card):
    """K, how many styles, of which seed."""

    def __init__(self, bench: ClassBench, parent: QWidget) -> None:
        super().__init__("Reading", parent)
        self.bench = bench
        self.samples = ValueSlider("Samples K", 1, MOST["samples"], 10, self, whole=True, log=True)
        self.samples.setToolTip("Importance samples of the bound behind Bayes' rule and of log p(x)")
        self.styles = ValueSlider("Styles", 1, MOST_STYLES, 5, self, whole=True)
        self.styles.setToolTip("Rows of the grid; the first has the style of the picture, the others are drawn")
        self.seed = label("", "figures", self)
        self.again = Button("New seed", self, icon="random")
        self.add_right(self.seed)
        row = QHBoxLayout()
        row.addWidget(self.again)
        row.addStretch(1)
        for slider in (self.samples, self.styles):
            self.add(slider)
            slider.released.connect(self._on_released)
        self.body.addLayout(row)
        self.samples.moved.connect(self._on_samples)
        self.styles.moved.connect(self._on_styles)
        self.again.clicked.connect(self.reroll)
        self.show_state()

    def show_state(self) -> None:
        """The settings."""
        state = self.bench.state
        self.samples.set_value(state.samples)
        self.styles.set_value(state.styles)
        self.seed.setText(f"seed {state.seed}")

    def reroll(self) -> None:
        """Other draws."""
        seed = (self.bench.state.seed + 1) % (MOST_SEED + 1)
        self.bench.set(f"Draw with seed {seed}", seed=seed)

    def _on_samples(self, count: float) -> None:
        self.bench.set(samples=round(count))

    def _on_styles(self, count: float) -> None:
        self.bench.set(styles=round(count))

    def _on_released(self) -> None:
        self.bench.committed.emit("Change the reading")


class BalanceCard(Card):
    """The weight of the label in training, as a wish for a run that branches off this one."""

    def __init__(self, bench: ClassBench, studio: Studio | None, parent: QWidget) -> None:
        super().__init__("Balance", parent)
        self.bench, self.studio = bench, studio
        now = float(bench.card.config.get(WEIGHT, 1.0))
        self.words = WrappedLabel("secondary", self)
        self.words.setText(f"Trained with {now:g} on log p({bench.label.name} | z). It is a setting of training.")
        self.weight = ValueSlider("Label weight", 0.1, 1000.0, min(max(now, 0.1), 1000.0), self, log=True)
        self.fork = Button("Fork with this balance", self, icon="fork")
        row = QHBoxLayout()
        row.addWidget(self.fork)
        row.addStretch(1)
        self.add(self.words)
        self.add(self.weight)
        self.body.addLayout(row)
        self.fork.clicked.connect(self._on_fork)

    def fits(self) -> bool:
        """Whether the model has such a weight, and somebody grants the wish."""
        return WEIGHT in self.bench.card.config and self.studio is not None

    def _on_fork(self) -> None:
        if self.studio is not None:
            self.studio.fork(self.bench.card, None, {WEIGHT: float(f"{self.weight.value():.3g}")})


class ClassifyPage(QWidget):
    """Bars, grid, gauge.

    Signals:
        told(str): What stands in the card's corner.
        example_known(): The datum itself has come.
    """

    told = Signal(str)
    example_known = Signal()

    def __init__(self, bench: ClassBench, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench = bench
        self.asked: ClassifyDatum | None = None
        self.grid_asked: DrawClassGrid | None = None
        self.grid_shown = False
        inner = QWidget(self)
        self.bars = ClassBars(bench.categories, inner)
        self.grid = StyleGrid(bench.categories, inner)
        self.gauge = ScoreGauge("log p(x) of the picture", inner)
        self.verdict = ElidedLabel("", "secondary", inner)
        self.how = WrappedLabel("caption", inner)
        self.styles = StateFrame(self.grid, inner)
        self.styles.set_empty("The picture's own style in every class, and styles drawn from the prior.", icon="grid")
        self.frame = StateFrame(inner, self)
        self.frame.set_empty("Which class a picture belongs to, by every classifier.", "Classify", "tag")
        self._lay_out(inner)
        self.frame.filled.connect(self.ask)
        self.frame.acted.connect(self.ask)
        self.grid.taken.connect(self._on_taken)

    def _lay_out(self, inner: QWidget) -> None:
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        joined = QVBoxLayout()  # the band of the right class runs through both
        joined.setSpacing(0)
        joined.addWidget(self.bars)
        joined.addWidget(self.styles, 1)
        column.addLayout(joined, 1)
        column.addWidget(self.how)
        column.addWidget(self.verdict)
        column.addWidget(self.gauge)
        self.how.hide()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask for what the state says, once; what is shown stays until the new answer is there."""
        model = self.bench.card.key
        classes, grid = self.bench.state.classes(model), self.bench.state.grid(model)
        if classes != self.asked:
            self.asked = classes
            self.frame.show_waiting()
            self.bench.ask(CLASSES, classes)
        if grid != self.grid_asked:
            self.grid_asked = grid
            self.styles.show_waiting()
            self.bench.ask(GRID, grid)

    def forget(self) -> None:
        """Other weights: whatever was asked is old."""
        self.asked, self.grid_asked = None, None

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Classes or a grid, or why there are none."""
        if topic == GRID:
            self._receive_grid(update)
        elif isinstance(update, Failed):
            self.asked = None
            self.frame.show_error(update.told(), update.action and "Try again", update.details)
        elif isinstance(update, Frame):
            self._show(update.data, ticket.request)
            self.frame.show_ready()

    def _receive_grid(self, update: Update) -> None:
        if isinstance(update, Frame):
            self.grid.set_pictures(update.data["pictures"])
            self.how.setText(str(update.data.get("how", "")))
            self.how.setVisible(bool(self.how.text()))
            self.grid_shown = True
            self.styles.show_ready()
        elif isinstance(update, Failed) and update.details:
            self.grid_asked, self.grid_shown = None, False
            self.styles.show_error(update.sentence, "", update.details)
        elif isinstance(update, Failed):  # no mistake: this model has no styles by classes
            self.grid_shown = False
            self.styles.set_empty(update.told(), icon="grid")
            self.styles.show_empty()

    def _show(self, data: Mapping[str, Any], asked: ClassifyDatum) -> None:
        bench, truth = self.bench, int(data["truth"])
        bench.show_example(asked.given, np.asarray(data["picture"]), truth)
        self.bars.set_shares(data["probabilities"], truth)
        self.grid.set_truth(truth)
        score, threshold = float(data["log_prob"]), float(data["threshold"])
        percentile = float(data["percentile"])
        comparable = math.isfinite(percentile) or not math.isfinite(threshold)
        self.gauge.set_scores({nats(score): score} if comparable else {}, threshold)
        self.verdict.setText(verdict(score, threshold, percentile))
        self.verdict.set_hint(f"Importance-weighted bound with K = {asked.samples} (Burda et al. 2016)")
        self.told.emit(f"K = {asked.samples}")
        self.example_known.emit()

    def show_state(self) -> None:
        """Nothing here is set by hand."""

    def _on_taken(self, row: int, column: int) -> None:
        bench = self.bench
        picture = pack(self.grid.picture(row, column))
        bench.set(
            f"Take a generated {bench.categories[column]}", values={bench.image.name: picture, bench.label.name: column}
        )


def verdict(score: float, threshold: float, percentile: float) -> str:
    """log p(x) beside what is usual, in words."""
    words = f"log p(x) \N{GREATER-THAN OR EQUAL TO} {nats(score)}"
    if not math.isfinite(threshold):
        return words
    if not math.isfinite(percentile):  # of fewer pixels log p is higher, and says nothing beside whole pictures
        return f"{words}, of the known pixels alone: the threshold is for whole pictures"
    words += f", higher than {percentile:.0%}".replace("%", " %") + " of the validation pictures"
    turned = "rejected, as the lowest 5 % of them are" if score < threshold else "accepted"
    return f"{words}: {turned}"
