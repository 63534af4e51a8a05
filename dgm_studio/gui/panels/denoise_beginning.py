"""Where a trajectory begins: noise, a picture, the noise behind a picture; and which part of a picture is kept."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ShowSchedule, Source
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross_editors import ErasableCanvas
from dgm_studio.gui.panels.denoise_controls import NAME
from dgm_studio.gui.panels.denoise_state import Stage, as_rows
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

SOURCE = "beginning/source"
KINDS = {"noise": "Noise", "picture": "Picture", "inverted": "Inverted", "between": "Between"}
OF_POINTS = {**KINDS, "picture": "Example"}
ABOUT = {
    "noise": "",
    "picture": "Noised to this depth, then denoised (SDEdit, Meng et al. 2022).",
    "inverted": "The noise from which DDIM leads back to this example (Song et al. 2021).",
    "between": "Noise on the arc between this seed and another.",
}
BRANCHED = "A branch begins where it leaves its parent; only what is kept can be another."
PAINT = "Brush over what is to be made anew; the rest is kept. The right button brings back."
STAMP = 136
WITH_SOURCE = ("picture", "inverted")


class SourcePart(QWidget):
    """An example, or a picture of one's own, and a brush for what is to be made anew.

    Signals:
        index_chosen(int): Another example.
        pictured(object): An own picture, uint8 [H, W] or [H, W, 3].
        masked(object): What is to be made anew, bool [H, W].
        wanted(): Take the enlarged sample.
    """

    index_chosen = Signal(int)
    pictured = Signal(object)
    masked = Signal(object)
    wanted = Signal()

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage = stage
        self.number = QSpinBox(self)
        self.number.setAccessibleName("Number of the example")
        self.number.setKeyboardTracking(False)
        self.number.setToolTip("An example of the test part")
        self.previous = IconButton("chevron-left", "Previous example", self)
        self.next = IconButton("chevron-right", "Next example", self)
        self.random = IconButton("random", "A random example", self)
        self.word = label("", "secondary", self)
        shape = stage.shape
        colour = len(shape) == 3
        high, wide = shape[:2] if stage.pictures else (8, 8)
        self.canvas = ErasableCanvas("What is made anew", high, wide, self, colour=colour)
        self.canvas.set_hiding(True)
        self.canvas.set_brush(max(1.0, wide / 10))
        self.undo = IconButton("undo", "Take the last stroke back", self)
        self.reset = IconButton("reset", "Keep every pixel", self)
        self.own = IconButton("image", "Take the enlarged sample as the picture", self)
        self._dice = random.Random(0)  # which example is looked at next: no draw of the model's
        self._showing = False
        self._shown: npt.NDArray[Any] | None = None
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[0])
        row.addWidget(label("Example", "secondary", self))
        row.addWidget(self.word)
        row.addStretch(1)
        for widget in (self.previous, self.number, self.next, self.random):
            row.addWidget(widget)
        tools = QVBoxLayout()
        tools.setSpacing(theme.SPACE[0])
        for tool in (self.undo, self.reset, self.own):
            tools.addWidget(tool)
        tools.addStretch(1)
        self.paper = QWidget(self)
        stamp = QHBoxLayout(self.paper)
        stamp.setContentsMargins(0, 0, 0, 0)
        stamp.setSpacing(theme.SPACE[1])
        stamp.addWidget(self.canvas)
        stamp.addLayout(tools)
        stamp.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addLayout(row)
        column.addWidget(self.paper)
        self.paper.setVisible(self.stage.pictures)
        theme.changed.connect(self._fit)
        self._fit()

    def _connect(self) -> None:
        self.number.valueChanged.connect(self._on_number)
        self.previous.clicked.connect(self._on_previous)
        self.next.clicked.connect(self._on_next)
        self.random.clicked.connect(self._on_random)
        self.undo.clicked.connect(self.canvas.undo)
        self.reset.clicked.connect(self._on_reset)
        self.own.clicked.connect(self.wanted)
        self.canvas.finished.connect(self._on_finished)

    def count(self) -> int:
        """How many examples there are."""
        return max(1, len(self.stage.about.get("labels") or ()) or 500)

    def show_state(self, *, paints: bool, usable: bool) -> None:
        """The example's number, its word, and whether the brush does anything."""
        source = self.stage.take.beginning.source
        labels = self.stage.about.get("labels") or ()
        self._showing = True
        self.number.setRange(0, max(self.count() - 1, source.index))
        self.number.setValue(source.index)
        self._showing = False
        known = labels[source.index] if source.index < len(labels) else ""
        self.word.setText("(your own)" if source.picture else f"({known})" if known else "")
        self.canvas.setEnabled(paints)
        self.undo.setVisible(paints)
        self.reset.setVisible(paints)
        self.own.setEnabled(usable)

    def show_picture(self, picture: npt.NDArray[Any], anew: npt.NDArray[np.bool_]) -> None:
        """The source, hatched where it is made anew."""
        self._shown = np.asarray(picture, np.uint8)
        value = self._shown.astype(np.int16)
        if anew.shape == value.shape[:2]:
            value[anew] = -1
        self.canvas.show_value(value)

    def show_known(self) -> None:
        """The source without a hatch."""
        if self._shown is not None:
            self.show_picture(self._shown, np.zeros(self._shown.shape[:2], bool))

    def load(self, path: str) -> None:
        """Take a picture file."""
        self.canvas.load(path)

    def _fit(self) -> None:
        side = theme.current().px(STAMP)
        self.canvas.setFixedSize(side, side)

    def _on_finished(self) -> None:
        picture = self.canvas.picture()
        if self._shown is not None and np.array_equal(picture, self._shown):
            self.masked.emit(self.canvas.erased())
        else:
            self._shown = picture
            self.pictured.emit(picture)

    def _on_reset(self) -> None:
        self.masked.emit(np.zeros(self.stage.shape[:2], bool))

    def _on_number(self, index: int) -> None:
        if not self._showing:
            self.index_chosen.emit(index)

    def _on_previous(self) -> None:
        self.index_chosen.emit((self.stage.take.beginning.source.index - 1) % self.count())

    def _on_next(self) -> None:
        self.index_chosen.emit((self.stage.take.beginning.source.index + 1) % self.count())

    def _on_random(self) -> None:
        self.index_chosen.emit(self._dice.randrange(self.count()))


class BeginningCard(Card):
    """Chooses the beginning of the selected film; of a branch, what is kept."""

    sampled = Signal()
    """The enlarged sample is wanted as the source."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Beginning", parent)
        self.stage = stage
        self._asked: ShowSchedule | None = None
        self._painting = False
        self._kinds = KINDS if stage.pictures else OF_POINTS
        self.kind = SegmentedControl(list(self._kinds.values()), "What the film begins with", self)
        self.words = label("", "secondary", self, wrap=True)
        self.deep = ValueSlider("Depth", 0.02, 1.0, 1.0, self)
        self.deep.setToolTip("Share of the steps that are made: less stays nearer to the picture")
        self.other = ValueSlider("Other seed", 0, 999, 1, self, whole=True)
        self.weight = ValueSlider("Weight", 0.0, 1.0, 0.5, self)
        self.inpaint = Button("Inpaint", self, icon="draw")
        self.inpaint.setCheckable(True)
        self.inpaint.setToolTip("Keep a part of a picture and make the rest anew (RePaint, Lugmayr et al. 2022)")
        self.source = SourcePart(stage, self)
        self.paint_words = label(PAINT, "secondary", self, wrap=True)
        self.repeats = ValueSlider("Repeats", 1, 10, 1, self, whole=True)
        self.repeats.setToolTip("Times that every step is repeated, so that both parts agree")
        self._lay_out()
        self._connect()
        self.show_state()

    def _lay_out(self) -> None:
        self.add_right(self.inpaint)
        for slider in (self.deep, self.other, self.weight, self.repeats):
            slider.set_name_width(NAME)
        for widget in (self.kind, self.words, self.deep, self.other, self.weight, self.source, self.paint_words):
            self.add(widget)
        self.add(self.repeats)

    def _connect(self) -> None:
        self.kind.chosen.connect(self._on_kind)
        for name, slider in self._sliders().items():
            slider.moved.connect(lambda value, name=name: self._on_moved(name, value))
            slider.released.connect(lambda name=name: self.stage.committed.emit(f"{name.capitalize()} of the start"))
        self.inpaint.clicked.connect(self._on_inpaint)
        self.source.index_chosen.connect(self._on_index)
        self.source.pictured.connect(self.take_picture)
        self.source.masked.connect(self._on_masked)
        self.source.wanted.connect(self.sampled)

    def _sliders(self) -> dict[str, ValueSlider]:
        return {"depth": self.deep, "other": self.other, "weight": self.weight, "resample": self.repeats}

    def useful(self) -> bool:
        """Always."""
        return True

    def show_state(self) -> None:
        """The beginning of the selected film."""
        beginning, branched = self.stage.take.beginning, bool(self.stage.take.parent)
        kind = beginning.kind if beginning.kind in KINDS and not branched else "noise"
        paints = self.painting()
        self.kind.set_index(list(KINDS).index(kind))
        self.kind.setVisible(not branched)
        self.words.setText(BRANCHED if branched else ABOUT[kind])
        self.words.setVisible(bool(self.words.text()))
        for slider, shown in (
            (self.deep, kind in WITH_SOURCE),
            (self.other, kind == "between"),
            (self.weight, kind == "between"),
            (self.repeats, paints and bool(beginning.mask)),
        ):
            slider.setVisible(shown)
        for name, slider in self._sliders().items():
            slider.set_value(getattr(beginning, name))
        self.inpaint.setVisible(self.stage.pictures)
        self.inpaint.setChecked(paints)
        self.paint_words.setVisible(paints)
        needed = paints or kind in WITH_SOURCE
        self.source.setVisible(needed)
        self.source.show_state(paints=paints, usable=self.stage.state.sample >= 0)
        if needed and self.stage.about and self.stage.pictures:
            self._ask()

    def painting(self) -> bool:
        """Whether a part of a picture is kept, or about to be."""
        return self.stage.pictures and (self._painting or bool(self.stage.take.beginning.mask))

    def load(self, path: str) -> bool:
        """Take a picture file; points have no use for one."""
        if not self.stage.pictures or self.stage.take.parent:
            return False
        self.source.load(path)
        return True

    def take_picture(self, picture: Any) -> None:
        """A picture of one's own becomes the source."""
        beginning = self.stage.take.beginning
        kind = beginning.kind if beginning.kind in WITH_SOURCE or self.painting() else "picture"
        depth = 0.6 if kind == "picture" and beginning.kind != "picture" else beginning.depth
        source = Source(picture=as_rows(np.asarray(picture)))
        self.stage.change("Begin with a picture", beginning=replace(beginning, kind=kind, depth=depth, source=source))

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """The picture it begins with."""
        if ticket.request != self._asked:
            return
        if isinstance(update, Frame):
            self._show_source(np.asarray(update.data["pictures"])[0])
        elif isinstance(update, Failed):
            self.paint_words.setText(f"{update.sentence} {update.action}".strip())

    def _ask(self) -> None:
        source = self.stage.take.beginning.source
        if source.picture:
            self._asked = None
            self._show_source(np.asarray(source.picture, np.uint8))
            return
        wanted = ShowSchedule(self.stage.card.key, source=source, shown=(0.0,))
        if wanted != self._asked:
            self._asked = wanted
            self.stage.ask(SOURCE, wanted)

    def _show_source(self, picture: npt.NDArray[Any]) -> None:
        mask = np.asarray(self.stage.take.beginning.mask)
        anew = mask == 0 if mask.size else np.zeros(picture.shape[:2], bool)
        self.source.show_picture(picture, anew)

    def _on_kind(self, place: int) -> None:
        kind = list(KINDS)[place]
        beginning = self.stage.take.beginning
        depth = 0.6 if kind == "picture" and beginning.depth == 1.0 else beginning.depth
        self.stage.change(
            f"Begin with {self._kinds[kind].lower()}", beginning=replace(beginning, kind=kind, depth=depth)
        )

    def _on_moved(self, name: str, value: float) -> None:
        changes: dict[str, Any] = {name: round(value) if name in ("other", "resample") else round(value, 3)}
        self.stage.change(beginning=replace(self.stage.take.beginning, **changes))

    def _on_index(self, index: int) -> None:
        beginning = replace(self.stage.take.beginning, source=Source(index))
        self.stage.change(f"Example {index}", beginning=beginning)

    def _on_inpaint(self, on: bool) -> None:
        self._painting = on
        if not on and self.stage.take.beginning.mask:
            self.stage.change("Keep nothing", beginning=replace(self.stage.take.beginning, mask=()))
        else:
            self.show_state()

    def _on_masked(self, anew: Any) -> None:
        kept = ~np.asarray(anew, bool)
        mask = () if kept.all() else as_rows(kept.astype(int))
        beginning = replace(self.stage.take.beginning, mask=mask)
        self.stage.change("Paint a mask" if mask else "Keep nothing", beginning=beginning)
        if not mask:
            self.source.show_known()
