"""The large pictures of the film: two of them, and a third where another film or checkpoint stands beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_controls import Choice
from dgm_studio.gui.panels.denoise_state import KINDS
from dgm_studio.gui.panels.denoise_views import FilmView
from dgm_studio.gui.widgets.labels import ElidedLabel, label

UNGUIDED = "There is no guidance: give the model something, and choose a guidance other than 0 or 1."

HINTS = {
    "x": "Divided by the root of alpha\N{SUPERSCRIPT TWO} + sigma\N{SUPERSCRIPT TWO}, so that every level can be seen",
    "clean": "What the model takes the data to be, seen from this level",
    "noise": "What the model takes for noise: grey is 0, black and white are 3 standard deviations",
    "difference": "How far guidance moves the noise estimate, each sample scaled by its own maximum",
}


class Side(QWidget):
    """One picture: what it shows, a figure, the samples.

    Signals:
        kind_chosen(str): One of `KINDS`.
    """

    kind_chosen = Signal(str)

    def __init__(self, name: str, parent: QWidget, *, fixed: bool = False) -> None:
        super().__init__(parent)
        self.view = FilmView(name, self)
        self.choice = Choice(name, KINDS, self, named=False)
        self.title = ElidedLabel("", "heading", self)
        self.figure = label("", "figures2", self)
        self.figure.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.choice.setVisible(not fixed)
        self.title.setVisible(fixed)
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE[1])
        head.addWidget(self.title, 1)
        head.addWidget(self.choice)
        head.addWidget(self.figure, 0 if fixed else 1)
        self.title.setMinimumHeight(self.choice.sizeHint().height())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addLayout(head)
        column.addWidget(self.view, 1)
        self.choice.chosen.connect(self.kind_chosen)

    def show_frame(
        self, kind: str, values: npt.NDArray[Any] | None, norms: Mapping[str, Any], sample: int, note: str
    ) -> None:
        """One frame and the size of its numbers."""
        self.view.show_values(values, sample, note)
        row = norms.get(kind, ())
        words = ""
        if values is not None and len(row):
            size = float(row[sample]) if 0 <= sample < len(row) else float(sum(row) / len(row))
            words = f"RMS {size:.3f}" if size < 100 else f"RMS {size:,.0f}"
        self.figure.setText(words)


class Screen(QWidget):
    """The pictures beside each other.

    Signals:
        kind_chosen(str, str): The side ("left", "right") shows another kind.
        sample_chosen(int): Enlarge this sample, -1 for all.
    """

    kind_chosen = Signal(str, str)
    sample_chosen = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.left, self.right = Side("Left picture", self), Side("Right picture", self)
        self.other = Side("Picture beside", self, fixed=True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[3])
        for side in self.sides():
            row.addWidget(side, 1)
            side.view.chosen.connect(self.sample_chosen)
        self.left.kind_chosen.connect(self._on_left)
        self.right.kind_chosen.connect(self._on_right)
        self.other.hide()

    def sides(self) -> tuple[Side, Side, Side]:
        """All three."""
        return self.left, self.right, self.other

    def show_kinds(self, left: str, right: str, *, guided: bool) -> None:
        """What the two show, and whether there is a guidance difference."""
        for side, kind in ((self.left, left), (self.right, right)):
            side.choice.set_key(kind)
            side.choice.set_refusals({} if guided else {"difference": UNGUIDED})
            side.choice.list.setToolTip(HINTS.get(kind, ""))

    def set_captions(self, captions: Sequence[str]) -> None:
        """What is known of each sample."""
        self.left.view.set_captions(captions)
        self.right.view.set_captions(captions)

    def _on_left(self, kind: str) -> None:
        self.kind_chosen.emit("left", kind)

    def _on_right(self, kind: str) -> None:
        self.kind_chosen.emit("right", kind)
