"""The page of reasons: which pixels speak for a class and which against it, by every classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QImage, QLinearGradient, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import AttributeClass
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.form import QuietCombo
from dgm_studio.gui.panels.classify_state import MOST, ClassBench
from dgm_studio.gui.panels.classify_table import shown_name, stamp_colour
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.painting import (
    draw_picture,
    draw_text,
    fitted,
    follow_theme,
    plain_rounded,
    print_in_theme,
    to_image,
)
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

REASONS = "reasons"
BASELINES = {"Paper": 0.0, "Grey": 0.5, "Ink": 1.0}
LINE, GAP, MOST_SIDE, LEAST_SIDE = 18, 10, 230, 72
SURE = 0.05  # share of the difference by which the sum may be off before that is said aloud
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ReasonTable(QWidget):
    """A row for each classifier: the picture, what speaks for and against, and the sum in figures."""

    def __init__(self, categories: tuple[str, ...], parent: QWidget) -> None:
        super().__init__(parent)
        self.categories = categories
        self._data: Mapping[str, Any] = {}
        self._images: dict[str, tuple[QImage, QImage]] = {}
        self.setAccessibleName("Reasons of the classifiers")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_reasons(self, data: Mapping[str, Any]) -> None:
        """Show a Frame "attribution"."""
        self._data = data
        self._print()
        self.setAccessibleDescription("; ".join(f"{shown_name(n)}: {' '.join(self.words(n))}" for n in self.names()))
        self.updateGeometry()

    def names(self) -> tuple[str, ...]:
        """The classifiers that have told their reasons."""
        return tuple(self._data.get("classifiers") or ())

    def words(self, name: str) -> tuple[str, ...]:
        """The reasons of a classifier in figures, line by line."""
        one = self._data["classifiers"][name]
        here, there, gap = (float(one[key]) for key in ("odds", "baseline odds", "gap"))
        attribution = np.asarray(one["attribution"], float)
        off = abs(gap) / (abs(here - there) or 1.0)
        word = self.categories[int(one["class"])]
        asked = "decides on" if one["class"] == one["decided"] else f"decides on {self._decided(one)}; asked about"
        return (
            f"{asked} {word}",
            f"log-odds of {word}: {_signed(here)} nats",
            f"of the baseline: {_signed(there)} nats",
            f"for it {_signed(attribution.clip(min=0).sum())}, against {_signed(attribution.clip(max=0).sum())} nats",
            f"sum off by {gap:+.2g} nats ({off:.1%})".replace("-", "\N{MINUS SIGN}").replace("%", " %")
            + (": take more points" if off > SURE else ""),
        )

    def sizeHint(self) -> QSize:
        """Rows that can be seen well."""
        look = theme.current()
        return QSize(620, max(1, len(self.names())) * look.px(200))

    def minimumSizeHint(self) -> QSize:
        """Lower rows."""
        look = theme.current()
        return QSize(look.px(440), max(1, len(self.names())) * look.px(LEAST_SIDE + LINE + 2 * GAP + 34) + look.px(30))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows, and what the colours mean under them."""
        names = self.names()
        if not names:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        foot = look.px(30)
        pitch = (self.height() - foot) / len(names)
        side = max(look.px(LEAST_SIDE), min(pitch - look.px(LINE) - 2 * GAP, look.px(MOST_SIDE), self.width() * 0.3))
        pitch = min(pitch, side + look.px(LINE) + 3 * GAP)
        for row, name in enumerate(names):
            self._paint_row(painter, name, row, row * pitch, side)
        self._paint_legend(painter, QRectF(0, len(names) * pitch, 2 * side + GAP, foot))

    def _paint_row(self, painter: QPainter, name: str, row: int, top: float, side: float) -> None:
        look = theme.current()
        line = look.px(LINE)
        plain_rounded(painter, QRectF(0, top + line / 2 - 5, 10, 10), stamp_colour(row + 1), 2)
        head = QRectF(16, top, self.width() - 16, line)
        draw_text(painter, head, shown_name(name), look.font("secondary", strong=True), look.colour("text"))
        top += line + 4
        for place, image in enumerate(self._images[name]):
            space = QRectF(place * (side + GAP), top, side, side)
            target = fitted(print_in_theme(image).size(), space, self.devicePixelRatioF(), whole=False)
            draw_picture(painter, target, image, smooth=place == 0 and image.width() > 12)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(target)
        left = 2 * (side + GAP) + GAP
        for place, said in enumerate(self.words(name)):
            box = QRectF(left, top + place * look.px(20), self.width() - left, look.px(20))
            font = look.font("body", strong=True) if not place else look.font("secondary")
            draw_text(painter, box, said, font, look.colour("text" if not place else "text2"))

    def _paint_legend(self, painter: QPainter, box: QRectF) -> None:
        """From against to for, in the colours of the maps."""
        look = theme.current()
        font = look.font("caption")
        wide = QFontMetrics(font).horizontalAdvance("against") + 8
        bar = QRectF(box.center().x() - look.px(45), box.center().y() - 4, look.px(90), 8)
        ramp = QLinearGradient(bar.topLeft(), QPointF(bar.right(), bar.top()))
        shades = theme.diverging()
        for share in np.linspace(0, 1, 9):
            red, green, blue = shades[round(255 * float(share))].tolist()
            colour = look.colour("text")
            colour.setRgb(red, green, blue)
            ramp.setColorAt(float(share), colour)
        painter.fillRect(bar, ramp)
        for word, x, side in (("against", bar.left() - wide - 6, _RIGHT), ("for", bar.right() + 6, _LEFT)):
            draw_text(painter, QRectF(x, box.top(), wide, box.height()), word, font, look.colour("text2"), side)

    def _decided(self, one: Mapping[str, Any]) -> str:
        return self.categories[int(one["decided"])]

    def _print(self) -> None:
        """The picture in the theme's ink, the reasons in colours of which the middle is nothing."""
        self._images = {}
        for name in self.names():
            values = np.asarray(self._data["classifiers"][name]["attribution"], float)
            most = max(float(np.abs(values).max()), 1e-9)
            shades = theme.diverging()[np.rint(127.5 + 127.5 * values / most).astype(int)]
            self._images[name] = (to_image(np.asarray(self._data["picture"])), to_image(shades))
        self.update()


class ReasonCard(Card):
    """Of which class, from which baseline, at how many points."""

    def __init__(self, bench: ClassBench, parent: QWidget) -> None:
        super().__init__("Reasons", parent)
        self.bench = bench
        self.about = WrappedLabel("secondary", self)
        self.about.setText(
            "Integrated gradients (Sundararajan, Taly and Yan 2017) of the log-odds of a class. What speaks for it and "
            "against it adds up to the difference between the picture and a baseline that says nothing."
        )
        self.target = QuietCombo(self)
        self.target.setAccessibleName("Class that reasons are asked for")
        self.target.addItems(["What each decides", *bench.categories])
        self.baseline = SegmentedControl(list(BASELINES), "Baseline", self)
        self.baseline.setToolTip("The picture that says nothing; pixels that are like it get no credit")
        self.points = ValueSlider("Points", 1, MOST["points"], 32, self, whole=True, log=True)
        self.points.setToolTip("On the line from the baseline to the picture; more bring the sum nearer")
        row = QHBoxLayout()
        row.addWidget(ElidedLabel("Class", "secondary", self))
        row.addWidget(self.target, 1)
        self.add(self.about)
        self.body.addLayout(row)
        self.add(self.baseline)
        self.add(self.points)
        self.target.activated.connect(self._on_target)
        self.baseline.chosen.connect(self._on_baseline)
        self.points.moved.connect(self._on_points)
        self.points.released.connect(self._on_released)
        self.show_state()

    def show_state(self) -> None:
        """The settings."""
        state = self.bench.state
        self.target.setCurrentIndex(min(state.target + 1, self.target.count() - 1))
        near = min(range(len(BASELINES)), key=lambda n: abs(list(BASELINES.values())[n] - state.baseline))
        self.baseline.set_index(near)
        self.points.set_value(state.points)

    def _on_target(self, place: int) -> None:
        word = self.target.itemText(place)
        self.bench.set(f"Reasons for {word}" if place else "Reasons for what each decides", target=place - 1)

    def _on_baseline(self, place: int) -> None:
        name = list(BASELINES)[place]
        self.bench.set(f"Compare with {name.lower()}", baseline=BASELINES[name])

    def _on_points(self, count: float) -> None:
        self.bench.set(points=round(count))

    def _on_released(self) -> None:
        self.bench.committed.emit(f"{self.bench.state.points} points")


class ReasonsPage(QWidget):
    """The table in its state.

    Signals:
        told(str): What stands in the card's corner.
    """

    told = Signal(str)

    def __init__(self, bench: ClassBench, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench = bench
        self._asked: AttributeClass | None = None
        self.table = ReasonTable(bench.categories, self)
        self.frame = StateFrame(self.table, self)
        self.frame.set_empty("Which pixels speak for a class and which against it.", "Show the reasons", "target")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)
        self.frame.filled.connect(self.ask)
        self.frame.acted.connect(self.ask)

    def ask(self) -> None:
        """Ask for what the state says; what is shown stays until the answer is there."""
        wanted = self.bench.state.reasons(self.bench.card.key)
        if wanted != self._asked:
            self._asked = wanted
            self.frame.show_waiting()
            self.bench.ask(REASONS, wanted)

    def forget(self) -> None:
        """Other weights."""
        self._asked = None

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Reasons, or why there are none."""
        if isinstance(update, Failed):
            self._asked = None
            self.frame.show_error(update.told(), update.action and "Try again", update.details)
        elif isinstance(update, Frame):
            self.table.set_reasons(update.data)
            self.frame.show_ready()
            self.told.emit(f"{int(update.data['steps'])} points")


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
