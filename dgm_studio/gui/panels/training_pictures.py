"""Samples and reconstructions with a fixed seed, as they are at the newest step or at a snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from dgm_studio.core.requests import Reconstruct, SamplePrior
from dgm_studio.core.updates import Failed, Frame
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.pointcloud import PointCloud
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame

TOPICS = ("samples", "reconstructions")
ROW = 6  # originals in a row, their reconstructions in the next


class PicturesCard(Card):
    """Two pages, samples and reconstructions; pictures or points, whatever the model makes.

    Signals:
        changed(): Another page was chosen by hand.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Fixed seed", parent)
        self._choice = SegmentedControl(("Samples", "Reconstructions"), "Which pictures", self)
        self._step = label("", "figures", self)
        self._stack = QStackedWidget(self)
        self._grids = {
            "samples": PictureGrid("Samples", self, columns=6),
            "reconstructions": PictureGrid("Reconstructions", self),
        }
        self._clouds = {topic: PointCloud(topic.capitalize(), self) for topic in TOPICS}
        self._inner: dict[str, QStackedWidget] = {}
        self._frames: dict[str, StateFrame] = {}
        for topic in TOPICS:
            inner = QStackedWidget(self)
            inner.addWidget(self._grids[topic])
            inner.addWidget(self._clouds[topic])
            self._inner[topic] = inner
            self._frames[topic] = StateFrame(inner, self)
            self._frames[topic].set_empty("The first ones come with the first validation.", icon="grid")
            self._stack.addWidget(self._frames[topic])
        self.setMinimumHeight(230)
        self.add_right(self._step)
        self.add(self._choice)
        self.add(self._stack, 1)
        self._choice.chosen.connect(self._on_page)

    def page(self) -> int:
        """0 samples, 1 reconstructions."""
        return self._choice.index()

    def offer(self, *, reconstructions: bool) -> None:
        """Samples alone of models that rebuild nothing."""
        self._choice.setVisible(reconstructions)
        if not reconstructions:
            self.set_page(0)

    def set_page(self, index: int) -> None:
        """Show a page."""
        index = 0 if self._choice.isHidden() else index
        self._choice.set_index(index)
        self._stack.setCurrentIndex(index)

    def show_frame(self, frame: Frame) -> None:
        """Show Frame "samples" or "reconstructions"."""
        topic, data = frame.topic, frame.data
        if "pictures" in data:
            if topic == "samples":
                self._grids[topic].set_pictures(data["pictures"])
            else:
                pairs = paired(data["originals"], data["pictures"])
                self._grids[topic].set_pictures(pairs, columns=ROW)
            self._inner[topic].setCurrentWidget(self._grids[topic])
        elif "points" in data:
            self._clouds[topic].set_points(data["points"], data.get("originals"))
            self._inner[topic].setCurrentWidget(self._clouds[topic])
        self._frames[topic].show_ready()
        if "step" in data:
            self._step.setText(f"step {data['step']:,}")

    def show_error(self, topic: str, failed: Failed) -> None:
        """Say where the pictures would be why they are not there."""
        self._frames[topic].show_error(failed.sentence, details=failed.details)

    def shown(self, key: str) -> Any:
        """The request whose pictures are shown."""
        return SamplePrior(key, count=36) if self.page() == 0 else Reconstruct(key, "valid", 18)

    def _on_page(self, index: int) -> None:
        self._stack.setCurrentIndex(index)
        self.changed.emit()


def paired(originals: npt.NDArray[np.uint8], rebuilt: npt.NDArray[np.uint8], row: int = ROW) -> npt.NDArray[np.uint8]:
    """A row of originals, the row of their reconstructions, and so on.

    Args:
        originals: [N, ...].
        rebuilt: [N, ...].
        row: Pictures in a row; a last row that is not full is left out when there is a full one.

    Returns:
        [2 N', ...].
    """
    count = max(row, len(originals) // row * row)
    blocks = [block for at in range(0, count, row) for block in (originals[at : at + row], rebuilt[at : at + row])]
    return np.concatenate(blocks)
