"""The page of numbers: predicted beside true ones, and an invented eye as it would look were its patient otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ChangeRecord, CompareNumbers
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.form import QuietCombo
from dgm_studio.gui.panels.cross_matrix import Toggle
from dgm_studio.gui.panels.cross_state import NUMBERS, SPLITS, Bench, number_range
from dgm_studio.gui.panels.cross_values import ICONS
from dgm_studio.gui.panels.latent_room import FlowBox, WrappedLabel
from dgm_studio.gui.widgets.agreementplot import AgreementPlot
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, fitted, follow_theme, to_image
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

COMPARED, OTHERWISE = "numbers", "otherwise"
MOST_COUNT = 1000
REDRAWN = "fundus"  # data of which every picture can be drawn again
HEADS = {"renderer": "Drawn again", "eye and record": "Model, eye and record", "record alone": "Model, record alone"}
COLUMNS = ("as it is", "otherwise", "change")
NARROWEST, LINE = 64, 17
_CENTRE = Qt.AlignmentFlag.AlignCenter


def numbers_of(bench: Bench) -> list[str]:
    """The numbers that a model can predict."""
    return [m.name for m in bench.modalities if m.kind in NUMBERS]


class ChangeTable(QWidget):
    """Side by side for the renderer and the model: the eye, the same otherwise, and what changed."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows: Mapping[str, Any] = {}
        self._images: dict[str, tuple[QImage, ...]] = {}
        self.setAccessibleName("The same eye, otherwise")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_change(self, data: Mapping[str, Any]) -> None:
        """Show a Frame "otherwise"."""
        self._rows = data["rows"]
        self._print()
        self.setAccessibleDescription("; ".join(f"{HEADS[name]}: {self.words(name)}" for name in self._rows))

    def words(self, name: str) -> str:
        """How like the renderer's a change is."""
        row = self._rows[name]
        if name == "renderer":
            return "the direct effect, all else held"
        cosine, share = float(row["cosine"]), float(row["share"])
        if not math.isfinite(cosine):
            return "nothing changes"
        return f"cosine {cosine:.2f}, {share:.0%} as strong".replace("%", " %").replace("-", "\N{MINUS SIGN}")

    def sizeHint(self) -> QSize:
        """A row of stamps that can be compared."""
        look = theme.current()
        return QSize(3 * 3 * look.px(90), look.px(90) + 3 * look.px(LINE))

    def minimumSizeHint(self) -> QSize:
        """Smaller ones."""
        look = theme.current()
        return QSize(look.px(420), look.px(NARROWEST) + 3 * look.px(LINE) + 6)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Three groups of three pictures."""
        if not self._rows:
            return
        painter = QPainter(self)
        look, line = theme.current(), theme.current().px(LINE)
        wide = self.width() / len(self._rows)
        side = min((wide - 3 * look.px(8)) / 3, self.height() - 3 * line - 6, look.px(150))
        for place, name in enumerate(self._rows):
            left = place * wide
            box = QRectF(left, 0, wide - look.px(8), line)
            draw_text(painter, box, HEADS[name], look.font("secondary", strong=True), look.colour("text"))
            box.translate(0, line)
            draw_text(painter, box, self.words(name), look.font("caption"), look.colour("text2"))
            for column, image in enumerate(self._images[name]):
                space = QRectF(left + column * (side + 4), 2 * line + 4, side, side)
                target = fitted(image.size(), space, self.devicePixelRatioF(), whole=False)
                draw_picture(painter, target, image, smooth=column < 2)
                painter.setPen(QPen(look.colour("line"), 1))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(target)
                under = QRectF(space.left(), space.bottom() + 1, side, line)
                draw_text(painter, under, COLUMNS[column], look.font("caption"), look.colour("text2"), _CENTRE)

    def _print(self) -> None:
        """Changes in colours of which the middle is nothing, all on the renderer's scale."""
        changes = {name: np.asarray(row["change"], float) for name, row in self._rows.items()}
        most = max((float(np.abs(change).max()) for change in changes.values()), default=0.0) or 1.0
        self._images = {}
        for name, row in self._rows.items():
            shades = theme.diverging()[np.rint(127.5 + 127.5 * changes[name] / most).astype(int)]
            self._images[name] = tuple(to_image(np.asarray(p)) for p in (row["before"], row["after"], shades))
        self.update()


class NumbersCard(Card):
    """Which number, from what, of how many; and to what it is changed."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Numbers", parent)
        self.bench = bench
        self.choice = QuietCombo(self)
        self.choice.setAccessibleName("Number that is predicted")
        self.choice.addItems(numbers_of(bench))
        self.chips = {m.name: Toggle(m.name, ICONS.get(m.kind, "grid"), self) for m in bench.modalities}
        self.count = ValueSlider("Examples", 20, MOST_COUNT, 300, self, whole=True, log=True)
        self.others = {name: self._slider(name) for name in numbers_of(bench)}
        self.words = WrappedLabel("secondary", self)
        row = QHBoxLayout()
        row.addWidget(ElidedLabel("Predict", "secondary", self))
        row.addWidget(self.choice, 1)
        self.body.addLayout(row)
        self.add(label("From", "secondary", self))
        flow = FlowBox(self, gap=theme.SPACE[1])
        for chip in self.chips.values():
            flow.add(chip)
        self.add(flow)
        self.add(self.count)
        for slider in self.others.values():
            self.add(slider)
        self.add(self.words)
        self._connect()
        self.show_state()

    def _slider(self, name: str) -> ValueSlider:
        modality = self.bench.modality(name)
        low, high = number_range(modality, 2.0)
        made = ValueSlider(f"{name.capitalize()} changed to", low, high, high, self, unit=modality.unit)
        made.setToolTip("What the number is changed to for the eye that is drawn again")
        return made

    def redraws(self) -> bool:
        """Whether the pictures of the data can be drawn again."""
        return self.bench.card.data.partition("~")[0] == REDRAWN

    def _connect(self) -> None:
        self.choice.activated.connect(self._on_choice)
        for name, chip in self.chips.items():
            chip.setAccessibleName(f"Predict from the {name}")
            chip.clicked.connect(self._on_chip)
        self.count.moved.connect(self._on_count)
        self.count.released.connect(self._on_released)
        for slider in self.others.values():
            slider.moved.connect(self._on_other)
            slider.released.connect(self._on_released)

    def show_state(self) -> None:
        """The settings; a number is not predicted from itself."""
        state, chosen = self.bench.state, self.chosen()
        self.choice.setCurrentIndex(max(0, self.choice.findText(chosen)))
        sources = self.sources()
        for name, chip in self.chips.items():
            chip.setChecked(name in sources)
            chip.setEnabled(name != chosen)
        self.count.set_value(state.count)
        for name, slider in self.others.items():
            slider.setVisible(name == chosen and self.redraws())
        self.others[chosen].set_value(self.value())

    def chosen(self) -> str:
        """The number that is predicted."""
        names = numbers_of(self.bench)
        return self.bench.state.number if self.bench.state.number in names else names[0]

    def sources(self) -> tuple[str, ...]:
        """What it is predicted from; the picture, unless something else was chosen."""
        names = [m.name for m in self.bench.modalities if m.name != self.chosen()]
        asked = tuple(n for n in self.bench.state.sources if n in names)
        pictures = tuple(m.name for m in self.bench.modalities if m.kind == "image")
        return asked or pictures or tuple(names)

    def value(self) -> float:
        """What it is changed to: as chosen, else a spread above the middle."""
        low, high = number_range(self.bench.modality(self.chosen()), 2.0)
        own = self.bench.state.otherwise.get(self.chosen(), low + 0.8 * (high - low))
        return min(max(float(own), low), high)

    def _on_choice(self, _: int) -> None:
        name = self.choice.currentText()
        self.bench.set(f"Predict {name}", number=name)

    def _on_chip(self) -> None:
        names = tuple(name for name, chip in self.chips.items() if chip.isChecked() and name != self.chosen())
        self.bench.set("Predict from " + (" + ".join(names) or "the picture"), sources=names)
        self.show_state()  # nothing chosen is the picture again

    def _on_count(self, count: float) -> None:
        self.bench.set(count=round(count))

    def _on_other(self, value: float) -> None:
        self.bench.set(otherwise={**self.bench.state.otherwise, self.chosen(): float(f"{value:.4g}")})

    def _on_released(self) -> None:
        self.bench.committed.emit("Change the numbers")


class NumbersPage(QWidget):
    """The plot, its figures, and the eye that is drawn again.

    Signals:
        told(str): What stands in the card's corner.
    """

    told = Signal(str)

    def __init__(self, bench: Bench, card: NumbersCard, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench, self.settings = bench, card
        self._asked: dict[str, Any] = {}
        inner = QWidget(self)
        self.plot = AgreementPlot("Predicted less true over their mean", inner)
        self.figures = WrappedLabel("secondary", inner)
        self.changes = ChangeTable(inner)
        self.eye = StateFrame(self.changes, inner)
        self.eye.set_empty("The same eye, were its patient otherwise.", icon="eye")
        self.frame = StateFrame(inner, self)
        self.frame.set_empty("Predicted numbers beside the true ones.", "Compare", "number")
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.plot, 1)
        column.addWidget(self.figures)
        self.head = label("The same eye, otherwise", "heading", inner)
        column.addWidget(self.head)
        column.addWidget(self.eye)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)
        for widget in (self.head, self.eye):
            widget.setVisible(card.redraws())
        self.plot.chosen.connect(self._on_chosen)
        self.frame.filled.connect(self.ask)
        self.frame.acted.connect(self.ask)

    def ask(self) -> None:
        """Ask for what has changed; what is shown stays until the answer is there."""
        bench, card = self.bench, self.settings
        key, chosen = bench.card.key, card.chosen()
        wanted: dict[str, Any] = {
            COMPARED: CompareNumbers(key, chosen, card.sources(), bench.state.split, bench.state.count)
        }
        if card.redraws():
            wanted[OTHERWISE] = ChangeRecord(key, bench.state.given(), chosen, card.value())
        for topic, request in wanted.items():
            if self._asked.get(topic) != request:
                self._asked[topic] = request
                (self.frame if topic == COMPARED else self.eye).show_waiting()
                bench.ask(topic, request)

    def forget(self) -> None:
        """Other weights: whatever was asked is old."""
        self._asked = {}

    def show_state(self) -> None:
        """The settings, and the example that is looked at."""
        self.settings.show_state()
        self.plot.set_marked(self.bench.state.index)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Figures as they grow, an eye, or why there is none."""
        frame = self.frame if topic == COMPARED else self.eye
        if isinstance(update, Failed):
            self._asked.pop(topic, None)
            frame.show_error(update.told(), "Try again" if topic == COMPARED else "", update.details)
        elif isinstance(update, Frame):
            (self._show if topic == COMPARED else self._show_change)(update.data)
            frame.show_ready()
        elif isinstance(update, Progress) and topic == COMPARED and update.total:
            self.settings.words.setText(f"{update.done:.0f} of {update.total:.0f} examples")
        elif isinstance(update, Done | Cancelled) and topic == COMPARED:
            self.settings.words.setText("")

    def _show(self, data: Mapping[str, Any]) -> None:
        unit = str(data["unit"])
        levels = tuple(
            (name, float(data[key]), float(data[error]))
            for name, key, error in (
                ("+1.96 SD", "high", "limit_error"),
                ("bias", "bias", "bias_error"),
                ("\N{MINUS SIGN}1.96 SD", "low", "limit_error"),
            )
        )
        self.plot.set_pairs(data["predicted"], data["truth"], levels, ("predicted", "true"), unit)
        self.plot.set_marked(self.bench.state.index)
        known = int(np.isfinite(np.asarray(data["predicted"]) + np.asarray(data["truth"])).sum())
        self.figures.setText(figures_in_words(data, known))
        self.told.emit(f"{known:,} examples, {SPLITS[self.bench.state.split].lower()}")

    def _show_change(self, data: Mapping[str, Any]) -> None:
        modality = self.bench.modality(str(data["modality"]))
        was, now = float(data["was"]), float(data["value"])
        before = number(float(f"{was:.3g}")) if math.isfinite(was) else "unknown"
        words = f"{modality.name} {before} \N{RIGHTWARDS ARROW} {number(float(f'{now:.3g}'))} {modality.unit}".strip()
        self.head.setText(f"The same eye, otherwise: {words}")
        self.changes.set_change(data)

    def _on_chosen(self, place: int) -> None:
        self.bench.set(f"Example {place}", index=place, values={})


def figures_in_words(data: Mapping[str, Any], known: int) -> str:
    """The agreement in a sentence or two, with its errors and its baselines."""
    unit = f" {data['unit']}" if data["unit"] else ""
    if known < 2:
        return "Of fewer than two examples both numbers are known."

    def short(key: str) -> str:
        return number(float(f"{float(data[key]):.{2 if key.endswith('error') else 3}g}"))

    told = (
        f"Mean absolute error {short('absolute')} \N{PLUS-MINUS SIGN} {short('absolute_error')}{unit}; "
        f"guessing the median {short('guess')}"
    )
    if math.isfinite(float(data["optimum"])):
        told += f"; the best that can be read from the picture {short('optimum')}"
    told += f". Bias {short('bias')} \N{PLUS-MINUS SIGN} {short('bias_error')}{unit}, "
    told += f"95 % of the differences from {short('low')} to {short('high')}."
    slope = float(data["slope"])
    if slope < -0.05:
        told += f" The slope of {slope:.2f} is shrinkage towards the mean.".replace("-", "\N{MINUS SIGN}")
    return told
