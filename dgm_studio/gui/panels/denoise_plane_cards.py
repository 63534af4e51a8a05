"""The rail of the plane: how many particles and what is drawn, how good they are, and paper for one's own data."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.segmented import SegmentedControl

SECTION = "plane"
COUNTS = (2000, 20_000)
SHOWN = {"density": "Density", "arrows": "Field", "paths": "Ways of a few"}
SIDE = 64  # cells of the paper along a side
BRUSH = 2.4


class ParticlesCard(Card):
    """How many, from which noise, and what is drawn with them."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Particles", parent)
        self.stage = stage
        self.count = SegmentedControl([f"{n:,}" for n in COUNTS], "Number of particles", self)
        self.dice = IconButton("random", "Other noise", self)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.count, 1)
        row.addWidget(self.dice)
        self.body.addLayout(row)
        self.boxes = {name: QCheckBox(words, self) for name, words in SHOWN.items()}
        for name, box in self.boxes.items():
            box.setAccessibleName(SHOWN[name])
            box.clicked.connect(lambda on, name=name: stage.set_page(SECTION, f"Show {name}", **{name: on}))
            self.add(box)
        self.count.chosen.connect(lambda n: stage.set_page(SECTION, "Number of particles", count=COUNTS[n]))
        self.dice.clicked.connect(lambda: stage.set_page(SECTION, "Other noise", seed=secrets.randbelow(10_000)))

    def shows(self) -> tuple[str, ...]:
        """What is drawn with the particles."""
        kept = self.stage.page(SECTION)
        return tuple(name for name in SHOWN if kept.get(name, name != "paths"))

    def show_state(self) -> None:
        """What the page keeps."""
        count = self.stage.page(SECTION).get("count", COUNTS[-1])
        self.count.set_index(COUNTS.index(count) if count in COUNTS else len(COUNTS) - 1)
        for name, box in self.boxes.items():
            box.setChecked(name in self.shows())


class GoodnessCard(Card):
    """Figures of the learnt score beside those of the exact one and of the data themselves."""

    ROWS = (
        ("Within 3\N{GREEK SMALL LETTER SIGMA}", ("within", "within_exact", "")),
        ("Energy distance", ("energy", "energy_exact", "energy_data")),
    )

    def __init__(self, parent: QWidget) -> None:
        super().__init__("How good", parent)
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.SPACE[2])
        grid.setVerticalSpacing(theme.SPACE[0])
        grid.setColumnStretch(0, 1)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for column, words in enumerate(("Learnt", "Exact", "Data"), 1):
            grid.addWidget(label(words, "secondary", self), 0, column, right)
        self._cells = {}
        for row, (words, names) in enumerate(self.ROWS, 1):
            grid.addWidget(label(words, "secondary", self), row, 0)
            for column, name in enumerate(names, 1):
                cell = label("", "figures", self)
                grid.addWidget(cell, row, column, right)
                self._cells[row, name] = cell
        self.body.addLayout(grid)
        self.words = WrappedLabel("secondary", self)
        self.add(self.words)
        self.setToolTip(
            "Within 3\N{GREEK SMALL LETTER SIGMA}: results no further than three standard deviations from a mode."
            " Energy distance of the results to held-out points (Székely and Rizzo 2013), in standardised coordinates."
            " Under Data: between two halves of the data, which is as near as draws of the truth come."
        )

    def show_figures(self, about: Mapping[str, Any]) -> None:
        """Those of the results; a dash where one is not known (yet)."""
        for row, (_, names) in enumerate(self.ROWS, 1):
            for name in names:
                value = float(about.get(name, np.nan))
                words = f"{100 * value:.1f} %" if row == 1 else f"{value:.4f}".replace("-", "\N{MINUS SIGN}")
                self._cells[row, name].setText("" if not name else words if np.isfinite(value) else "\N{EN DASH}")
        exact = bool(about.get("exact"))
        self.words.setText(
            "Both run through the same levels from the same noise: what differs is the model's error, what both miss"
            " is the sampler's."
            if exact
            else "The exact score of these data is not known; the ground is the density of the particles themselves."
        )


class Paper(QFrame):
    """A sheet in the plane beside its button; ink is probability.

    Signals:
        finished(object, str): Rows of bytes, and what the data are to be called.
    """

    finished = Signal(object, str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("surface", "toast")
        self.setAccessibleName("Draw a distribution")
        self.canvas = DrawCanvas("A distribution in the plane", SIDE, SIDE, self)
        self.canvas.set_centring(False)
        self.canvas.set_brush(BRUSH)
        self.canvas.setFixedSize(theme.current().px(288), theme.current().px(288))
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("Name of the data")
        self.name.setAccessibleName("Name of the data")
        self.rub = IconButton("erase", "Rub out (right button)", self, on_icon="erase")
        self.back = IconButton("undo", "Take the last stroke back", self)
        self.train = Button("Train on it", self, primary=True)
        self.train.setEnabled(False)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        for widget in (self.rub, self.back):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.train)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.SPACE[2], theme.SPACE[2], theme.SPACE[2], theme.SPACE[2])
        column.addWidget(label("Ink is probability", "heading", self))
        column.addWidget(self.canvas)
        column.addWidget(self.name)
        column.addLayout(row)
        self.rub.toggled.connect(self.canvas.set_erasing)
        self.back.clicked.connect(self.canvas.undo)
        self.canvas.changed.connect(lambda: self.train.setEnabled(not self.canvas.empty()))
        self.train.clicked.connect(self._finish)

    def open_at(self, button: QWidget) -> None:
        """Beside a button, inside the screen."""
        self.adjustSize()
        corner = button.mapToGlobal(QPoint(button.width(), 0)) - QPoint(self.width(), self.height() + 6)
        room = button.screen().availableGeometry()
        self.move(max(corner.x(), room.left()), min(max(corner.y(), room.top()), room.bottom() - self.height()))
        self.show()
        self.canvas.setFocus()

    def _finish(self) -> None:
        rows = tuple(tuple(int(v) for v in row) for row in self.canvas.picture())
        self.close()
        self.finished.emit(rows, self.name.text().strip())


class OwnCard(Card):
    """A distribution of one's own to train on.

    Signals:
        wanted(object, str): See `Paper.finished`.
    """

    wanted = Signal(object, str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Your own distribution", parent)
        self._words = WrappedLabel("secondary", self)
        self.tell("Draw where points shall be. Its exact score is known, and a model of it trains in under a minute.")
        self.button = Button("Draw a distribution", self, icon="draw")
        self.paper = Paper(self)
        self.add(self._words)
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addStretch(1)
        self.body.addLayout(row)
        self.button.clicked.connect(lambda: self.paper.open_at(self.button))
        self.paper.finished.connect(self.wanted)

    def title(self) -> str:
        """What the drawing is called."""
        return self.paper.name.text().strip()

    def tell(self, words: str) -> None:
        """What it is for, or what went wrong."""
        self._words.setText(words)
