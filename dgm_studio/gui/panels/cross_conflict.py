"""The conflict page: two modalities that contradict each other, and who wins as one expert's precision moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.cards import Modality
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import CrossDatum, Given, WeighConflict
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross_state import MOST_PRECISION, Bench, in_request, likeliest
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.heatmap import HeatMap
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.lineplot import LinePlot, PlotLine
from dgm_studio.gui.widgets.painting import draw_picture, fitted, follow_theme, print_in_theme, to_image
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame

TOPIC, OTHER = "conflict", "other"
AGREE = "The modalities agree. Let one of them claim something else, here or under Given."
APART = 4  # categories between the truth and the claim against it


class PictureStrip(QWidget):
    """Pictures over the places of a plot.

    Signals:
        clicked(int): A picture was clicked.
    """

    clicked = Signal(int)

    def __init__(self, plot: LinePlot, parent: QWidget) -> None:
        super().__init__(parent)
        self._plot = plot
        self._images: list[QImage] = []
        self._x = np.zeros(0)
        self._place = -1
        self.setAccessibleName("What is generated at each precision")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_pictures(self, x: Any, pictures: Any) -> None:
        """Show a picture at each x."""
        self._x = np.asarray(x, float)
        self._images = [to_image(np.asarray(picture, np.uint8)) for picture in pictures]
        self.setVisible(bool(self._images))
        self.update()

    def set_place(self, place: int) -> None:
        """Frame a picture; -1 for none."""
        self._place = place
        self.update()

    def count(self) -> int:
        """How many pictures there are."""
        return len(self._images)

    def sizeHint(self) -> QSize:
        """A row of stamps."""
        return QSize(420, theme.current().px(76))

    def minimumSizeHint(self) -> QSize:
        """A low one."""
        return QSize(200, theme.current().px(76))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Click what is under the mouse."""
        place = next((n for n in range(len(self._images)) if self._cell(n).contains(event.position())), -1)
        if place >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(place)

    def leaveEvent(self, event: QEvent) -> None:
        """No frame."""
        self.set_place(-1)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Each over its place."""
        look = theme.current()
        painter = QPainter(self)
        for place, image in enumerate(self._images):
            cell = self._cell(place)
            target = fitted(print_in_theme(image).size(), cell, self.devicePixelRatioF(), whole=False)
            draw_picture(painter, target, image, smooth=True)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(look.colour("accent" if place == self._place else "line"), 1.5))
            painter.drawRect(target.adjusted(-0.5, -0.5, 0.5, 0.5))

    def _cell(self, place: int) -> QRectF:
        area = self._plot.area()
        offset = self._plot.mapTo(self.window(), self._plot.rect().topLeft()).x()
        left = offset - self.mapTo(self.window(), self.rect().topLeft()).x()
        pitch = area.width() / max(1, len(self._images) - 1)
        side = min(pitch - 3, self.height() - 4.0)
        box = QRectF(0, 0, max(4.0, side), max(4.0, side))
        box.moveCenter(QPointF(left + self._plot.x_of(float(self._x[place])), self.height() / 2))
        return box


class ConflictCard(Card):
    """The settings of a conflict."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Conflict", parent)
        self.bench = bench
        self.words = WrappedLabel("secondary", self)
        self.make = Button("Make a conflict", self, icon="compare", primary=True)
        self.make.setToolTip("Give one modality a value that contradicts another's")
        self.end = Button("End it", self)
        self.moved = SegmentedControl([m.name for m in bench.modalities], "Whose precision moves", self)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.make)
        row.addWidget(self.end)
        row.addStretch(1)
        self.add(self.words)
        self.body.addLayout(row)
        self.add(label("Whose precision moves", "section", self))
        self.add(self.moved)


class ConflictPage(QWidget):
    """Pictures over precision, and under them how much of each claim a judge sees."""

    told = Signal(str)

    def __init__(self, bench: Bench, card: ConflictCard, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench, self.settings = bench, card
        inner = QWidget(self)
        self.plot = LinePlot(
            "Who wins",
            inner,
            x_title="Factor on the precision",
            y_title="Share of the draws the judge reads as",
            log=True,
        )
        self.strip = PictureStrip(self.plot, inner)
        self.labels = HeatMap("Probability of each category", inner)
        self.labels_words = label("", "secondary", inner)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.strip)
        column.addWidget(self.plot, 3)
        column.addWidget(self.labels_words)
        column.addWidget(self.labels, 2)
        self.frame = StateFrame(inner, self)
        self.frame.set_empty(
            "The modalities agree. Let one of them claim something else.", "Make a conflict", "compare"
        )
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)
        self._asked: WeighConflict | None = None
        self._factors = np.zeros(0)
        self._wanted = ""
        self._data: Mapping[str, Any] = {}
        self.frame.filled.connect(self.make)
        self.frame.acted.connect(self.again)
        card.make.clicked.connect(self.make)
        card.end.clicked.connect(self.end)
        card.moved.chosen.connect(self._on_moved)
        self.plot.pointed.connect(self.strip.set_place)
        self.plot.clicked.connect(self._on_clicked)
        self.strip.clicked.connect(self._on_clicked)
        theme.changed.connect(self._draw)

    # -- who contradicts whom ------------------------------------------------------------------------------------------

    def claimant(self) -> Modality:
        """The modality that is made to contradict: a label where there is one, else the last."""
        labels = [m for m in self.bench.modalities if m.kind in ("label", "categorical")]
        return (labels or list(self.bench.modalities))[-1]

    def conflicting(self) -> bool:
        """Whether some modality has a value that is not the example's."""
        return bool(self.bench.state.values)

    def make(self) -> None:
        """Let one modality claim something else: another category at once, else another example's value."""
        bench, claimant = self.bench, self.claimant()
        self._wanted = ""
        if claimant.kind in ("label", "categorical"):
            here = max(likeliest(bench.example.get(claimant.name, (1.0,))), 0)
            self._claim(claimant.name, (here + APART) % len(claimant.categories))
            return
        self._wanted = claimant.name
        given = Given(self._other_index(), bench.state.split)
        bench.ask(OTHER, CrossDatum(bench.card.key, given, ((claimant.name,),)))

    def _claim(self, name: str, value: Any) -> None:
        self.bench.set(
            "Make a conflict",
            values={**self.bench.state.values, name: value},
            missing=tuple(m for m in self.bench.state.missing if m != name),
            conflict=self.moving(),
        )

    def _other_index(self) -> int:
        """An example of another class where classes are known, else the one half way round."""
        state, classes = self.bench.state, list(self.bench.about.get("labels") or ())
        if state.split == "test" and state.index < len(classes):
            rest = [*range(state.index + 1, len(classes)), *range(state.index)]
            return next((n for n in rest if classes[n] != classes[state.index]), state.index)
        return (state.index + self.bench.count() // 2) % self.bench.count()

    def end(self) -> None:
        """Back to the example."""
        self.bench.set("End the conflict", values={})

    def moving(self) -> str:
        """Whose precision moves."""
        return self.bench.state.conflict or self.claimant().name

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Weigh the conflict there is, unless that was asked last."""
        state = self.bench.state
        if not self.conflicting():
            self._asked = None
            self.frame.show_empty()
            self.told.emit("")
            return
        request = WeighConflict(self.bench.card.key, state.given(), self.moving(), seed=state.seed, rule=state.rule)
        if request != self._asked:
            self._asked = request
            self.frame.show_waiting()
            self.bench.ask(TOPIC, request)

    def again(self) -> None:
        """After a failure."""
        self.forget()
        self.ask()

    def forget(self) -> None:
        """Other weights: whatever was asked is old."""
        self._asked = None

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """A growing answer, or why there is none; or the other example's value."""
        if topic == OTHER:
            self._receive_other(update)
        elif isinstance(update, Failed):
            self._asked = None
            self.frame.show_error(update.told(), update.action and "Try again", update.details)
        elif isinstance(update, Frame) and self.conflicting():
            self._data = update.data
            self._draw()
            self.frame.show_ready()

    def _receive_other(self, update: Update) -> None:
        if isinstance(update, Frame) and self._wanted in update.data["given"]:
            name, self._wanted = self._wanted, ""
            self._claim(name, in_request(self.bench.modality(name), update.data["given"][name]))
        elif isinstance(update, Failed):
            self.frame.show_error(update.told(), update.action and "Try again", update.details)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_state(self) -> None:
        """Whose precision moves, and what is claimed."""
        names = [m.name for m in self.bench.modalities]
        self.settings.moved.set_index(names.index(self.moving()))
        on = self.conflicting()
        self.settings.end.setEnabled(on)
        own = ", ".join(self.bench.state.values)
        self.settings.words.setText(
            f"Your {own} against the rest of the example. Click a point to fuse with that precision everywhere."
            if on
            else AGREE
        )
        factor = self.bench.state.precision.get(self.moving(), 1.0)
        self.plot.set_mark(factor if 1 / MOST_PRECISION <= factor <= MOST_PRECISION else None)

    def _draw(self) -> None:
        data = self._data
        if not data:
            return
        self._factors = np.asarray(data["factors"], float)
        wins = np.asarray(data["wins"], float).reshape(-1, 3)
        reached = min(len(wins), len(self._factors))
        names = (str(data["first"]), str(data["second"]), "neither")
        colours = (theme.CATEGORIES[1], theme.CATEGORIES[0], theme.current().palette.text2)
        lines = [PlotLine(names[k], _padded(wins[:reached, k], len(self._factors)), colours[k]) for k in range(3)]
        self.plot.set_lines(self._factors, lines, 0.0, 1.0, percent=True)
        pictures = data.get("pictures")
        self.strip.set_pictures(self._factors[:reached], pictures[:reached] if pictures is not None else ())
        self._draw_labels(np.asarray(data.get("label", ()), float))
        self.told.emit(f"{data['first']} against {data['second']}")

    def _draw_labels(self, shares: np.ndarray[Any, Any]) -> None:
        modality = next((m for m in self.bench.modalities if m.kind in ("label", "categorical")), None)
        known = modality is not None and shares.ndim == 2 and shares.size > 0
        for widget in (self.labels, self.labels_words):
            widget.setVisible(known)
        if modality is not None and known:
            self.labels_words.setText(f"p({modality.name} | both) over the precision")
            self.labels.set_numbers(shares.T, modality.categories, self._factors[: len(shares)], 0.0, 1.0)

    def _on_moved(self, place: int) -> None:
        name = self.bench.modalities[place].name
        self.bench.set(f"Move the precision of {name}", conflict=name)

    def _on_clicked(self, place: int) -> None:
        if 0 <= place < len(self._factors):
            factor = float(self._factors[place])
            near = min(max(factor, 1 / MOST_PRECISION), MOST_PRECISION)
            name = self.moving()
            self.bench.set(f"Precision of {name}", precision={**self.bench.state.precision, name: round(near, 6)})


def _padded(row: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """What has not come yet is a gap."""
    return np.concatenate([row, np.full(max(0, size - len(row)), np.nan)])
