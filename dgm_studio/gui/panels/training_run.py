"""The rail of the training panel: how the run stands, what can be changed while it trains, its relatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QMenu, QScrollArea, QVBoxLayout, QWidget

from dgm_studio.core.forms import Field
from dgm_studio.gui import theme
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.chip import Mark
from dgm_studio.gui.widgets.curveaxis import duration, number
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.runtree import RunNode, RunTree
from dgm_studio.gui.widgets.valueslider import ValueSlider

_FIGURES = ("Step", "Speed", "Time left", "Learning rate", "Gradient norm")
_LIVE_ONLY = ("Speed", "Time left")
_MARKS = {"good": ("check", "good"), "warn": ("warning", "live"), "bad": ("error", "bad")}


class RunCard(Card):
    """Where the run stands, and what can be done with it.

    Signals:
        edited(str, float): A setting was changed by hand; sent at the end of the gesture.
        forked(): Branch off here.
        continued(): Train on.
        exported(str): Write the figures as "csv" or "events".
    """

    edited = Signal(str, float)
    forked = Signal()
    continued = Signal()
    exported = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Run", parent)
        self._state = label("", "secondary", self)
        self.add_right(self._state)
        self._figures: dict[str, ElidedLabel] = {}
        self._names: dict[str, QLabel] = {}
        self._again = False
        self._sliders: dict[str, ValueSlider] = {}
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(theme.SPACE[2])
        self._grid.setVerticalSpacing(theme.SPACE[0])
        self._grid.setColumnStretch(1, 1)
        for row, name in enumerate(_FIGURES):
            figure = ElidedLabel("\N{EN DASH}", "figures", self)
            figure.setAlignment(Qt.AlignmentFlag.AlignRight)
            self._figures[name] = figure
            self._names[name] = label(name, "secondary", self)
            self._grid.addWidget(self._names[name], row, 0)
            self._grid.addWidget(figure, row, 1)
        self.body.addLayout(self._grid)
        self._heading = label("Change while it trains", "caption", self)
        self._heading.hide()
        self.add(self._heading)
        self._build_buttons()

    def _build_buttons(self) -> None:
        self._fork = Button("Fork here", self, icon="fork")
        self._on = Button("Train on", self, icon="play")
        self._export = Button("Export figures", self, icon="export")
        menu = QMenu(self._export)
        for words, kind in (
            ("CSV table\N{HORIZONTAL ELLIPSIS}", "csv"),
            ("TensorBoard events\N{HORIZONTAL ELLIPSIS}", "events"),
        ):
            menu.addAction(words).setData(kind)
        menu.triggered.connect(self._on_export)
        self._export.setMenu(menu)
        self._fork.clicked.connect(self.forked)
        self._on.clicked.connect(self.continued)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self._fork)
        first.addWidget(self._export)
        second.addWidget(self._on)
        self.body.addLayout(first)
        self.body.addLayout(second)

    def offer(self, *, train_on: bool, again: bool, elsewhere: bool = False) -> None:
        """What can be done: a run is forked and trained on, unless another process does, a checkpoint trained again."""
        self._fork.setVisible(train_on)
        if elsewhere:
            self._on.setEnabled(False)
            self._on.setToolTip("Another process trains this run.")
        self._again = again
        self._on.setText("Train it again" if again else "Train on")

    def show_state(self, words: str, *, live: bool, finished: bool) -> None:
        """Say how it stands; sliders only while it trains, *Train on* only when it does not."""
        self._state.setText(words)
        for name in _LIVE_ONLY:
            self._figures[name].setVisible(live)
            self._names[name].setVisible(live)
        self._on.setVisible(not live)
        done = finished and not self._again
        self._on.setEnabled(not done)
        self._on.setToolTip("All steps are done; fork the run to train on with more." if done else "")
        self._heading.setVisible(live and bool(self._sliders))
        for slider in self._sliders.values():
            slider.setVisible(live)

    def show_step(self, step: float, steps: float) -> None:
        """Steps done and steps in all."""
        self._figures["Step"].setText(f"{number(step)} of {number(steps)}" if steps else number(step))

    def show_progress(self, step: float, steps: float, speed: float, seconds_left: float | None) -> None:
        """Steps done and to come, steps a second, seconds to the end; what is not known keeps what was shown last."""
        self.show_step(step, steps)
        left = seconds_left if seconds_left is not None or not speed else (steps - step) / speed
        if speed:
            self._figures["Speed"].setText(f"{speed:,.0f} steps/s" if speed >= 10 else f"{speed:.2g} steps/s")
        if left is not None:
            self._figures["Time left"].setText(duration(round(left)))

    def show_figures(self, last: Mapping[str, float]) -> None:
        """The newest learning rate and gradient norm."""
        for name, key in (("Learning rate", "learning_rate"), ("Gradient norm", "gradient_norm")):
            if key in last:
                self._figures[name].setText(number(last[key]))

    def set_fields(self, fields: Sequence[Field], values: Mapping[str, Any]) -> None:
        """Offer these numbers to be changed while the run trains."""
        for field in fields:
            value = values.get(field.name, field.default)
            if field.name in self._sliders or field.low is None or field.high is None:
                continue
            low, high = field.low, field.high
            log = field.scale == "log" and low > 0
            if log:
                low, high = max(low, float(value) / 100), min(high, float(value) * 100)
            else:
                high = min(high, max(10.0, 4 * float(value)))
            slider = ValueSlider(field.label, low, high, float(value), self, log=log)
            slider.setProperty("setting", field.name)
            slider.setToolTip(field.help)
            slider.released.connect(self._on_released)
            slider.hide()
            self._sliders[field.name] = slider
            self.body.insertWidget(self.body.indexOf(self._heading) + len(self._sliders), slider)

    def show_settings(self, values: Mapping[str, Any]) -> None:
        """The values that are in force."""
        for name, value in values.items():
            if name in self._sliders and isinstance(value, int | float):
                self._sliders[name].set_value(float(value))

    def _on_released(self) -> None:
        slider = self.sender()
        if isinstance(slider, ValueSlider):
            self.edited.emit(str(slider.property("setting")), slider.value())

    def _on_export(self, action: Any) -> None:
        self.exported.emit(str(action.data()))


class HealthCard(Card):
    """What the figures mean, in plain words; a shape and a word beside every colour. Scrolls where it is low."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Health", parent)
        self._lines: list[QWidget] = []
        page = QWidget(self)
        page.setObjectName("scrolled")
        self._column = QVBoxLayout(page)
        self._column.setContentsMargins(0, 0, theme.SPACE[1], 0)
        self._column.setSpacing(theme.SPACE[2])
        self._column.addStretch()
        area = QScrollArea(self)
        area.setAccessibleName("Health of the run")
        area.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # the arrows scroll it
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        self.add(area, 1)
        self.show_lines(())

    def show_lines(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Show these, what is wrong first: {"level": "good" | "warn" | "bad", "name", "sentence"} each."""
        for old in self._lines:
            old.hide()
            self._column.removeWidget(old)
            old.deleteLater()
        order = list(_MARKS)[::-1]
        sorted_lines = sorted(lines, key=lambda line: order.index(_level(line)))
        rows: list[QWidget] = [_HealthRow(line, self) for line in sorted_lines]
        self._lines = rows or [label("Nothing to say yet.", "secondary", self, wrap=True)]
        for place, row in enumerate(self._lines):
            self._column.insertWidget(place, row)


class _HealthRow(QWidget):
    """One judgement: its mark, and under it the sentence as wide as the card."""

    def __init__(self, line: Mapping[str, Any], parent: QWidget) -> None:
        super().__init__(parent)
        icon, token = _MARKS[_level(line)]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        mark = Mark(str(line.get("name", "")).capitalize(), icon, self, token=token)
        column.addWidget(mark, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(label(str(line.get("sentence", "")), "secondary", self, wrap=True))


def _level(line: Mapping[str, Any]) -> str:
    level = str(line.get("level"))
    return level if level in _MARKS else "good"


class TreeCard(Card):
    """The run's forks as a picture.

    Signals:
        chosen(str): Key of a run.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Run tree", parent)
        self.tree = RunTree("Run tree", self)
        self.tree.chosen.connect(self.chosen)
        self.add(self.tree)

    def show_runs(self, runs: Sequence[Mapping[str, Any]], key: str) -> None:
        """Show a family: {"key", "name", "parent", "start", "end", "state", "figure", "change"} each."""
        self.tree.set_nodes([RunNode(**{k: v for k, v in run.items() if k in RunNode.__slots__}) for run in runs])
        self.tree.set_key(key)
        self.setVisible(len(runs) > 1)  # a run without relatives is no tree
