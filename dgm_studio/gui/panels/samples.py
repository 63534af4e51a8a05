"""Two grids: what the model dreams up, and what it keeps of pictures it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from dgm_studio.core.cards import Capability, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import FindNeighbours, OpenData, Reconstruct, SamplePrior
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.spec import Ask, Panel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.flow import PlainBox
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.pictureview import PictureView
from dgm_studio.gui.widgets.pointcloud import PointCloud
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

RAIL = 330
NARROW = 800
COUNTS = (16, 36, 64, 144)
MANY = (256, 1024, 4096, 16_384)  # of planar data, where a point takes no room
PLANAR = "Grey: originals. Blue: their reconstructions, joined by a line."
IN_FILM = "The nearest training examples are shown beside the film of a denoising."
SHORT_LABEL = 10  # letters; a sentence is told beside the large pair
PARTS = {"train": "training", "valid": "validation", "test": "test"}


class GridPanel(Panel):
    """A large grid with a rail: the frame of both panels."""

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self.grid = PictureGrid(self.title, self)
        self.cloud = PointCloud(self.title, self)
        self.pictures: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        self._content = QStackedWidget(self)
        self._content.addWidget(self.grid)
        self._content.addWidget(self.cloud)
        self.frame = StateFrame(self._content, self)
        self.frame.acted.connect(self.ask_again)
        self.frame.filled.connect(self.ask_again)
        self.chosen = -1
        self._canvas = Card(self.title, self)
        self._canvas.add(self.frame, 1)
        self._rail = QWidget(self)
        self.rail = QVBoxLayout(self._rail)
        self.rail.setContentsMargins(0, 0, 0, 0)
        self.rail.setSpacing(theme.SPACE[2])
        page = QWidget(self)
        page.setObjectName("scrolled")
        area = QScrollArea(self)
        area.setAccessibleName(self.title)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)
        self._row = PlainBox(QBoxLayout.Direction.LeftToRight, page)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(theme.SPACE[2])
        self._row.addWidget(self._canvas, 1)
        self._row.addWidget(self._rail)
        self.grid.clicked.connect(self._choose)
        theme.changed.connect(self._fit)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow panel has its rail under the canvas."""
        super().resizeEvent(event)
        narrow = self.width() < theme.current().px(NARROW)
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        if self._row.direction() != direction:
            self._row.setDirection(direction)
            self._fit()

    def begin(self) -> None:
        """Ask for the first grid."""
        self.ask_again()

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot: the same question of other weights."""
        super().set_card(card)
        self.ask_again()

    def ask_again(self) -> None:
        """Ask for what the settings say."""
        request = self.shown()
        if request is not None:
            self.frame.show_waiting()
            self.busy.emit(True)
            self.ask("grid", request)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Show the grid, or why there is none."""
        if topic == "grid" and isinstance(update, Frame):
            self.show_grid(update.data)
            self.frame.show_ready()
            self.busy.emit(False)
        elif topic == "grid" and isinstance(update, Failed):
            self.frame.show_error(update.sentence, update.action and "Try again", update.details)
            self.busy.emit(False)
        else:
            self.receive_more(topic, update)

    def show_grid(self, data: Mapping[str, Any]) -> None:
        """Put an answer into the grid."""
        raise TypeError(f"{type(self).__name__} shows nothing")

    def show_items(self, data: Mapping[str, Any], captions: Sequence[str] = ()) -> None:
        """Pictures into the grid, or points into the plane."""
        self.pictures = data.get("pictures")
        if self.pictures is not None:
            self.grid.set_pictures(self.pictures, captions)
            self._content.setCurrentWidget(self.grid)
        elif "points" in data:
            self.cloud.set_points(data["points"], data.get("originals"), lines="originals" in data)
            self._content.setCurrentWidget(self.cloud)

    def receive_more(self, topic: str, update: Update) -> None:
        """Answers to the questions of the rail."""

    def choose(self, index: int) -> None:
        """A picture of the grid was picked; -1 for none."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape lets the picked one go."""
        if event.key() == Qt.Key.Key_Escape and self.chosen >= 0:
            self._choose(-1)
        else:
            super().keyPressEvent(event)

    def _choose(self, index: int) -> None:
        self.chosen = index
        self.choose(index)

    def _fit(self) -> None:
        narrow = self._row.direction() == QBoxLayout.Direction.TopToBottom
        width = theme.current().px(RAIL)
        self._canvas.setMinimumHeight(theme.current().px(320))
        self._rail.setMinimumWidth(0 if narrow else width)
        self._rail.setMaximumWidth(16_777_215 if narrow else width)


class SamplesPanel(GridPanel):
    """Draws from the model's prior with a seed, and the training examples nearest to any of them."""

    name = "samples"
    title = "Samples"
    icon = "grid"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SAMPLES, Capability.DECODES})
    or_needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DENOISES})
    summary = "Draws from the prior with a seed; nearest training examples on demand"

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self._planar = bool(card.modalities) and card.modalities[0].kind == "points"
        self._latents = self.needs <= card.capabilities
        self._choices = MANY if self._planar else COUNTS
        self._count, self._seed, self._truncation = (1024 if self._planar else 64), 0, 1.0
        self._z: np.ndarray[Any, np.dtype[np.float32]] | None = None
        self.frame.set_empty("Pictures drawn from the model's prior.", "Draw samples", "grid")
        self._seed_words = label("", "figures", self)
        self._canvas.add_right(self._seed_words)
        self._counts = SegmentedControl([f"{n:,}" for n in self._choices], "Number of samples", self)
        self._counts.set_index(self._choices.index(self._count))
        self._scale = ValueSlider("Truncation", 0.0, 2.0, 1.0, self)
        self._scale.setToolTip("Spread of the draws against the prior's; 1 is the prior itself.")
        self._near = PictureGrid("Nearest training examples", self, columns=3)
        self._near_frame = StateFrame(self._near, self)
        self._near_frame.set_empty("Click a sample: the training examples nearest to it appear here.", icon="search")
        self._near_words = label("", "secondary", self, wrap=True)
        self._picked = PictureView("Picked sample", self)
        self._build_rail()
        self._show_settings()
        theme.changed.connect(self._make_room)
        self._make_room()

    @classmethod
    def fits(cls, card: ModelCard) -> bool:
        """A model is sampled through its prior, or by taking noise off."""
        return super().fits(card) or cls.or_needs <= card.capabilities

    def begin(self) -> None:
        """Ask for the first grid; planar draws lie over the data."""
        super().begin()
        if self._planar and self.card.data:
            self.ask("data", OpenData(self.card.data, count=2000))

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """Draws are shown here."""
        if not isinstance(request, SamplePrior):
            return None
        return {"count": request.count, "seed": request.seed, "truncation": request.truncation}

    def shown(self) -> SamplePrior:
        """The draw on the canvas."""
        return SamplePrior(self.card.key, self._count, self._seed, self._truncation)

    def state(self) -> dict[str, Any]:
        """Count, seed, truncation."""
        return {"count": self._count, "seed": self._seed, "truncation": self._truncation}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Draw again as it was."""
        self._count = int(state.get("count", self._count))
        self._seed = int(state.get("seed", self._seed))
        self._truncation = float(state.get("truncation", self._truncation))
        self._show_settings()
        self.ask_again()

    def show_grid(self, data: Mapping[str, Any]) -> None:
        """Pictures, or points in the plane."""
        self._z = data.get("z")
        self.show_items(data)
        self.choose(-1)

    def choose(self, index: int) -> None:
        """Ask for the training examples nearest to a sample."""
        self.chosen = index if self._z is not None and 0 <= index < len(self._z) else -1
        if self._planar or not self._latents:
            return
        if self.chosen < 0 or self._z is None:
            self._near_frame.show_empty()
            self._near_words.setText("")
            self._picked.set_picture(None)
            return
        self._picked.set_picture(self.pictures[self.chosen] if self.pictures is not None else None)
        self._near_frame.show_waiting()
        self.ask("neighbours", FindNeighbours(self.card.key, tuple(float(v) for v in self._z[self.chosen])))

    def receive_more(self, topic: str, update: Update) -> None:
        """The nearest training examples; the data beneath planar draws."""
        if topic == "data" and isinstance(update, Frame) and "points" in update.data:
            self.cloud.set_beneath(update.data["points"])
            self._near_words.setText("Grey: training data. Blue: draws from the model.")
        if topic != "neighbours" or self.chosen < 0:
            return
        if isinstance(update, Frame):
            distances = [float(d) for d in update.data["distances"]]
            self._near.set_pictures(update.data["pictures"], [f"{d:.3f}" for d in distances])
            usual = float(update.data.get("baseline", 0.0))
            near = distances[0] if distances else 0.0
            verdict = "closer than test pictures usually are" if near < usual else "as far as test pictures usually are"
            self._near_words.setText(f"Nearest {near:.3f} away (root mean square, 0 to 1), {verdict} ({usual:.3f}).")
            self._near_frame.show_ready()
        elif isinstance(update, Failed):
            self._near_frame.show_error(update.sentence, "", update.details)

    def _build_rail(self) -> None:
        settings = Card("Draw", self)
        settings.add(self._counts)
        settings.add(self._scale)
        row = QHBoxLayout()
        again = Button("New seed", settings, icon="random")
        first = Button("Seed 0", settings)
        row.addWidget(again)
        row.addWidget(first)
        settings.body.addLayout(row)
        self.rail.addWidget(settings)
        self._scale.setVisible(self._latents)
        if self._planar or not self._latents:  # among points in the plane the eye sees the neighbours
            for unused in (self._picked, self._near_frame):
                unused.hide()
            settings.add(self._near_words)
            self._near_words.setText("" if self._planar else IN_FILM)
            self.rail.addStretch(1)
        else:
            near = Card("Nearest training examples", self)
            self._picked.setMaximumHeight(110)
            near.add(self._picked)
            near.add(self._near_frame, 1)
            near.add(self._near_words)
            self.rail.addWidget(near, 1)
        again.clicked.connect(self._new_seed)
        first.clicked.connect(self._first_seed)
        self._counts.chosen.connect(self._set_count)
        self._scale.moved.connect(self._set_truncation)
        self._scale.released.connect(self._truncated)

    def _show_settings(self) -> None:
        self._seed_words.setText(f"seed {self._seed}")
        self._scale.set_value(self._truncation)
        if self._count in self._choices:
            self._counts.set_index(self._choices.index(self._count))

    def _make_room(self) -> None:
        self._near_frame.setMinimumHeight(theme.current().px(170))

    def _new_seed(self) -> None:
        self._go(seed=self._seed + 1, name=f"Draw with seed {self._seed + 1}")

    def _first_seed(self) -> None:
        self._go(seed=0, name="Draw with seed 0")

    def _set_count(self, index: int) -> None:
        self._count = self._choices[index]
        self._go(seed=self._seed, name=f"Draw {self._count}")

    def _set_truncation(self, value: float) -> None:
        self._truncation = value
        self.ask_again()

    def _truncated(self) -> None:
        self.committed.emit(f"Truncate to {self._truncation:.2f}")

    def _go(self, *, seed: int, name: str) -> None:
        self._seed = seed
        self._show_settings()
        self.ask_again()
        self.committed.emit(name)


class ReconstructPanel(GridPanel):
    """Originals beside what the model makes of them, with the bound of each."""

    name = "reconstruct"
    title = "Reconstruct"
    icon = "image"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.ENCODES, Capability.DECODES})
    summary = "Held-out examples beside their reconstructions, with the bound of each"
    splits = ("test", "valid", "train")

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self._planar = bool(card.modalities) and card.modalities[0].kind == "points"
        self._split, self._start, self._count = "test", 0, (200 if self._planar else 24)
        self._data: Mapping[str, Any] = {}
        self.frame.set_empty("Held-out examples and what the model makes of them.", "Reconstruct", "image")
        self._where = label("", "figures", self)
        self._canvas.add_right(self._where)
        self._split_choice = SegmentedControl([PARTS[s].capitalize() for s in self.splits], "Part of the data", self)
        self._pair = PictureGrid("Original, reconstruction, difference", self)
        self._words = label("Click a pair to see it large.", "secondary", self, wrap=True)
        self._mean = label("", "figures", self)
        self._build_rail()
        self._show_settings()

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """Reconstructions are shown here."""
        return {"split": request.split, "start": request.start} if isinstance(request, Reconstruct) else None

    def shown(self) -> Reconstruct:
        """What is on the canvas."""
        return Reconstruct(self.card.key, self._split, self._count, 0, self._start)

    def state(self) -> dict[str, Any]:
        """Split and first example."""
        return {"split": self._split, "start": self._start}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Show the same examples again."""
        split = str(state.get("split", self._split))
        self._split = split if split in self.splits else self._split
        self._start = int(state.get("start", self._start))
        self._show_settings()
        self.ask_again()

    def show_grid(self, data: Mapping[str, Any]) -> None:
        """Each original with its reconstruction to the right."""
        self._data = data
        if "pictures" in data:
            pairs = np.concatenate([data["originals"], data["pictures"]], axis=2)  # side by side, never torn apart
            captions = _pair_captions(data.get("labels", ()), data.get("bound"), len(pairs))
            self.show_items({"pictures": pairs}, captions)
        else:
            self.show_items(data)
        bound = data.get("bound")
        self._mean.setText(
            f"Mean bound {float(np.mean(bound)):,.1f} nats".replace("-", "−")
            if bound is not None and len(bound)
            else ""
        )
        self.choose(0)

    def choose(self, index: int) -> None:
        """Show a pair large, with their difference."""
        pair = index
        if index < 0 or "pictures" not in self._data or pair >= len(self._data["pictures"]):
            self._pair.set_pictures(None)
            self._words.setText(PLANAR if self._planar else "Click a pair to see it large.")
            return
        original, made = self._data["originals"][pair], self._data["pictures"][pair]
        apart = np.abs(original.astype(np.int16) - made.astype(np.int16)).astype(np.uint8)
        self._pair.set_pictures(np.stack([original, made, apart]), ("original", "reconstruction", "difference"))
        distance = float(np.sqrt(np.mean((apart / 255.0) ** 2)))
        known = self._data.get("labels") or ()
        name = f"{known[pair]}. " if pair < len(known) and known[pair] else ""
        bound = self._data.get("bound")
        nats = f", log p(x) ≥ {float(bound[pair]):,.1f} nats" if bound is not None else ""
        self._words.setText(f"{name}Root mean square error {distance:.3f}{nats}.".replace("-", "−"))

    def _build_rail(self) -> None:
        settings = Card("Examples", self)
        settings.add(self._split_choice)
        row = QHBoxLayout()
        back = Button("Previous", settings, icon="chevron-left")
        on = Button("Next", settings, icon="chevron-right")
        row.addWidget(back)
        row.addWidget(on)
        settings.body.addLayout(row)
        settings.add(self._mean)
        self.rail.addWidget(settings)
        if self._planar:
            self._pair.hide()
            settings.add(self._words)
            self.rail.addStretch(1)
        else:
            pair = Card("Pair", self)
            pair.add(self._pair, 1)
            pair.add(self._words)
            self.rail.addWidget(pair, 1)
        self._split_choice.chosen.connect(self._set_split)
        back.clicked.connect(self._back)
        on.clicked.connect(self._on)

    def _show_settings(self) -> None:
        self._split_choice.set_index(self.splits.index(self._split))
        self._where.setText(f"{PARTS[self._split]} {self._start + 1:,} to {self._start + self._count:,}")

    def _set_split(self, index: int) -> None:
        self._split, self._start = self.splits[index], 0
        self._go(f"Look at the {self._split} part")

    def _back(self) -> None:
        self._start = max(0, self._start - self._count)
        self._go("Previous examples")

    def _on(self) -> None:
        self._start += self._count
        self._go("Next examples")

    def _go(self, name: str) -> None:
        self._show_settings()
        self.ask_again()
        self.committed.emit(name)


def _pair_captions(labels: Any, bounds: Any, count: int) -> list[str]:
    """What stands under each pair: its label where that is short, and its bound."""
    captions: list[str] = []
    for n in range(count):
        known = str(labels[n]) if n < len(labels) else ""
        bound = f"{float(bounds[n]):,.0f} nats".replace("-", "−") if bounds is not None else ""
        captions.append(" · ".join(part for part in (known if len(known) <= SHORT_LABEL else "", bound) if part))
    return captions
