"""The side column's first card: which datum, what of it is one's own, what is missing."""

from __future__ import annotations

import random
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from dgm_studio.core.cards import Modality
from dgm_studio.gui import icons, theme
from dgm_studio.gui.panels.cross_editors import editor_of
from dgm_studio.gui.panels.cross_state import MOST_SAMPLES, SPLITS, Bench
from dgm_studio.gui.panels.cross_values import ICONS
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

MOST_SEED = 9999


class Part(QFrame):
    """One modality: its name, whether it is known, its editor.

    Signals:
        edited(str, object): A value of the user's, on every move.
        settled(str): The gesture is over.
        back_wanted(str): Back to the example's value.
        missing_wanted(str, bool): Nobody knows it, or somebody does.
    """

    edited = Signal(str, object)
    settled = Signal(str)
    back_wanted = Signal(str)
    missing_wanted = Signal(str, bool)

    def __init__(self, modality: Modality, number: int, parent: QWidget) -> None:
        super().__init__(parent)
        self.modality = modality
        self.editor = editor_of(modality, self)
        self._icon = QLabel(self)
        self._name = ElidedLabel(modality.name, "heading", self)
        self._own = label("own", "live", self)
        self._own.setToolTip("Your own value, not the example's")
        self.back = IconButton("reset", f"Take the {modality.name} of the example", self, bare=True)
        self.unknown = Button("Missing", self)
        self.unknown.setCheckable(True)
        self.unknown.setAccessibleName(f"{modality.name} is missing")
        self.unknown.setToolTip(f"Nobody knows the {modality.name} ({number})")
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE[1])
        head.addWidget(self._icon)
        head.addWidget(self._name, 1)
        head.addWidget(self._own)
        head.addWidget(self.back)
        head.addWidget(self.unknown)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.SPACE[1], 0, 0)
        column.setSpacing(theme.SPACE[0])
        column.addLayout(head)
        column.addWidget(self.editor)
        self.editor.edited.connect(self._on_edited)
        self.editor.settled.connect(self._on_settled)
        self.back.clicked.connect(self._on_back)
        self.unknown.clicked.connect(self._on_missing)
        theme.changed.connect(self._tint)
        self._tint()

    def show_state(self, value: Any, *, own: bool, missing: bool) -> None:
        """Show a value in the form of a Frame, whose it is, or that nobody knows it."""
        self._own.setVisible(own and not missing)
        self.back.setVisible(own)
        self.unknown.setChecked(missing)
        self.editor.setEnabled(not missing)
        self.editor.setVisible(not missing)
        if value is not None:
            self.editor.show_value(value)

    def _on_edited(self, value: Any) -> None:
        self.edited.emit(self.modality.name, value)

    def _on_settled(self) -> None:
        self.settled.emit(self.modality.name)

    def _on_back(self) -> None:
        self.back_wanted.emit(self.modality.name)

    def _on_missing(self, missing: bool) -> None:
        self.missing_wanted.emit(self.modality.name, missing)

    def _tint(self) -> None:
        look, ratio = theme.current(), self.devicePixelRatioF()
        side = look.px(16)
        picture = icons.pixmap(ICONS.get(self.modality.kind, "grid"), look.palette.text2, round(side * ratio))
        picture.setDevicePixelRatio(ratio)
        self._icon.setPixmap(picture)


class GivenCard(Card):
    """The example, and an editor for each of its modalities."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Given", parent)
        self.bench = bench
        self.split = SegmentedControl(list(SPLITS.values()), "Part of the data", self)
        self.number = QSpinBox(self)
        self.number.setAccessibleName("Number of the example")
        self.number.setKeyboardTracking(False)
        self.previous = IconButton("chevron-left", "Previous example", self)
        self.next = IconButton("chevron-right", "Next example", self)
        self.random = IconButton("random", "A random example", self)
        self.parts = {m.name: Part(m, n, self) for n, m in enumerate(bench.modalities, 1)}
        self._dice = random.Random(0)  # which example is looked at next: no draw of the model's
        self._showing = False
        self._lay_out()
        self._connect()
        self.show_state()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[0])
        row.addWidget(label("Example", "secondary", self))
        row.addStretch(1)
        for widget in (self.previous, self.number, self.next, self.random):
            row.addWidget(widget)
        self.add(self.split)
        self.body.addLayout(row)
        for part in self.parts.values():
            self.add(part)

    def _connect(self) -> None:
        self.split.chosen.connect(self._on_split)
        self.number.valueChanged.connect(self._on_number)
        self.previous.clicked.connect(self._on_previous)
        self.next.clicked.connect(self._on_next)
        self.random.clicked.connect(self._on_random)
        for part in self.parts.values():
            part.edited.connect(self.bench.set_value)
            part.settled.connect(self._on_settled)
            part.back_wanted.connect(self._on_back)
            part.missing_wanted.connect(self.bench.set_missing)

    def show_state(self) -> None:
        """The example, every value, what is missing."""
        bench, state = self.bench, self.bench.state
        self._showing = True
        self.split.set_index(list(SPLITS).index(state.split))
        self.number.setRange(0, max(bench.count() - 1, state.index))
        self.number.setValue(state.index)
        for name, part in self.parts.items():
            part.show_state(bench.shown(name), own=name in state.values, missing=name in state.missing)
        self._showing = False

    def step(self, by: int) -> None:
        """Another example, round at the ends."""
        self.go_to((self.bench.state.index + by) % self.bench.count())

    def go_to(self, index: int) -> None:
        """An example as it is: values of one's own are let go."""
        self.bench.set(f"Example {index}", index=index, values={})

    def _on_split(self, place: int) -> None:
        split = list(SPLITS)[place]
        self.bench.set(f"Look at the {SPLITS[split].lower()} part", split=split, index=0, values={})

    def _on_number(self, index: int) -> None:
        if not self._showing:
            self.go_to(index)

    def _on_previous(self) -> None:
        self.step(-1)

    def _on_next(self) -> None:
        self.step(1)

    def _on_random(self) -> None:
        self.go_to(self._dice.randrange(self.bench.count()))

    def _on_settled(self, name: str) -> None:
        verb = {"image": "Draw", "text": "Type"}.get(self.bench.modality(name).kind, "Set")
        self.bench.committed.emit(f"{verb} {name}")

    def _on_back(self, name: str) -> None:
        self.bench.set_value(name, None)
        self.bench.committed.emit(f"{name.capitalize()} of the example")


class DrawsCard(Card):
    """How many values a cell, of which seed, drawn or averaged."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Draws", parent)
        self.bench = bench
        self.samples = ValueSlider("Samples a cell", 1, MOST_SAMPLES, 1, self, whole=True)
        self.samples.setToolTip("The first is generated from the posterior's mean, the others from draws of it.")
        self.noise = SegmentedControl(["Mean of p(x | z)", "Drawn from it"], "What a picture shows", self)
        self.seed = label("", "figures", self)
        self.again = Button("New seed", self, icon="random")
        self.first = Button("Seed 0", self)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        for widget in (self.again, self.first):
            row.addWidget(widget)
        row.addStretch(1)
        self.add_right(self.seed)
        self.add(self.samples)
        self.add(self.noise)
        self.body.addLayout(row)
        self.samples.moved.connect(self._on_samples)
        self.samples.released.connect(self._on_released)
        self.noise.chosen.connect(self._on_noise)
        self.again.clicked.connect(self.reroll)
        self.first.clicked.connect(self._on_first)
        self.seed.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.show_state()

    def show_state(self) -> None:
        """The settings."""
        state = self.bench.state
        self.samples.set_value(state.samples)
        self.noise.set_index(int(state.noise))
        self.seed.setText(f"seed {state.seed}")
        self.first.setEnabled(state.seed != 0)

    def reroll(self) -> None:
        """Other draws."""
        seed = (self.bench.state.seed + 1) % (MOST_SEED + 1)
        self.bench.set(f"Draw with seed {seed}", seed=seed)

    def _on_first(self) -> None:
        self.bench.set("Draw with seed 0", seed=0)

    def _on_samples(self, count: float) -> None:
        self.bench.set(samples=round(count))

    def _on_released(self) -> None:
        self.bench.committed.emit(f"{self.bench.state.samples} samples a cell")

    def _on_noise(self, place: int) -> None:
        self.bench.set("Draw from p(x | z)" if place else "Show the mean of p(x | z)", noise=bool(place))
