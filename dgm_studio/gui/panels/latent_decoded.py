"""The large picture of the rail: what z decodes to, what it costs, how near the data it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.core.updates import Failed
from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import Picture
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.pictureview import PictureView
from dgm_studio.gui.widgets.stateframe import StateFrame

COPY_SHARE = 0.5  # of the usual distance: nearer than that looks like a memory of one training example


class DecodedCard(Card):
    """A picture with its figures, and the training examples nearest to it.

    Signals:
        neighbour_chosen(int): This training example, by its index in the split.
        retried(): The button of the error state.
        export_wanted(): The picture as a file.
    """

    neighbour_chosen = Signal(int)
    retried = Signal()
    export_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Decoded", parent)
        self._indices: tuple[int, ...] = ()
        self._prior, self._near, self._whose = "", "", ""
        self.milliseconds = label("", "figures", self)
        self.milliseconds.setToolTip("Time the decoder took, without drawing")
        self.export = IconButton("export", "Export this picture", self, bare=True)
        self.view = PictureView("Decoded picture", self, smooth=True)
        self.frame = StateFrame(self.view, self)
        self.figures = WrappedLabel("secondary", self, lines=2)
        self.neighbours = _Strip("Nearest training examples", self)
        self.add_right(self.milliseconds)
        self.add_right(self.export)
        self.add(self.frame, 1)
        for widget in (self.figures, self.neighbours):
            self.add(widget)
        self.show_neighbours(None)
        self.frame.acted.connect(self.retried)
        self.export.clicked.connect(self.export_wanted)
        self.neighbours.clicked.connect(self._on_neighbour)
        theme.changed.connect(self._fit)
        self._fit()

    def show_decoded(self, data: Mapping[str, Any]) -> None:
        """Show a Frame "decoded"."""
        if "picture" in data:
            self.view.set_picture(data["picture"])
        self.frame.show_ready()
        self.milliseconds.setText(f"{float(data['milliseconds']):.1f} ms")
        self._prior = _nats("log p(z)", float(data.get("log_prior", np.nan)))
        self._write()

    def show_frame(self, picture: Picture, log_prior: float) -> None:
        """Show a picture of the path."""
        self.view.set_picture(picture)
        self.frame.show_ready()
        self.milliseconds.setText("")
        self._prior = _nats("log p(z)", log_prior)
        self._write()

    def show_whose(self, words: str) -> None:
        """Where the picture comes from when it is not the one at z ("under the cursor")."""
        if words == self._whose:
            return
        self._whose = words
        self.set_title(f"Decoded · {words}" if words else "Decoded")

    def show_neighbours(self, data: Mapping[str, Any] | None) -> None:
        """Show a Frame "neighbours", None while there is none."""
        there = data is not None
        self.neighbours.setVisible(there)
        self._near = ""
        if data is not None:
            self._take_neighbours(data)
        self._write()

    def dim_neighbours(self) -> None:
        """The neighbours belong to another picture by now."""
        self.neighbours.setEnabled(False)

    def refuse_neighbours(self, failed: Failed) -> None:
        """Say why there are none."""
        self.neighbours.hide()
        self._near = f"No neighbours: {failed.sentence}"
        self._write()

    def show_failed(self, failed: Failed) -> None:
        """Say what happened where the picture would be."""
        self.frame.show_error(failed.sentence, failed.action or "Try again", failed.details)
        self.milliseconds.setText("")

    def _take_neighbours(self, data: Mapping[str, Any]) -> None:
        distances = np.asarray(data["distances"], float)
        self._indices = tuple(int(i) for i in data["indices"])
        labels = tuple(str(words) for words in data["labels"])
        captions = [f"{d:.3f}" for d in distances]
        self.neighbours.set_pictures(data["pictures"], captions, columns=max(1, len(distances)))
        self.neighbours.setEnabled(True)
        baseline = float(data.get("baseline", np.nan))
        self._near = f"nearest training example {distances[0]:.3f} away" if len(distances) else ""
        hint = "Root mean square of the pixel differences, pixels from 0 to 1."
        if np.isfinite(baseline) and len(distances):
            copied = distances[0] < COPY_SHARE * baseline
            self._near += ", a near copy" if copied else f", test pictures {baseline:.3f}"
            hint += f" Half of the test pictures lie within {baseline:.3f} of a training picture."
        named = [f"{i}: {words}" if words else str(i) for i, words in zip(self._indices, labels, strict=False)]
        self.figures.setToolTip(hint)
        self.neighbours.setToolTip("\n".join(["Training examples, nearest first; click encodes one", *named]))

    def _write(self) -> None:
        self.figures.setText(" · ".join(part for part in (self._near, self._prior) if part))
        self.view.setAccessibleDescription(self.figures.text())

    def _on_neighbour(self, place: int) -> None:
        if 0 <= place < len(self._indices):
            self.neighbour_chosen.emit(self._indices[place])

    def _fit(self) -> None:
        self.frame.setMinimumHeight(theme.current().px(170))
        self.frame.setMaximumHeight(theme.current().px(300))


class _Strip(PictureGrid):
    """A grid of one row."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(name, parent, columns=6, gap=4, smooth=True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """One row of thumbnails and their captions."""
        return QSize(240, theme.current().px(60))

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(120, theme.current().px(60))


def _nats(words: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    return f"{words} {value:.1f} nats".replace("-", "\N{MINUS SIGN}")
