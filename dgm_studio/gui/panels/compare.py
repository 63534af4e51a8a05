"""Two to eight models beside each other: the same seed asked of each, and their figures in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from dgm_studio.core.cards import Capability, ModelCard, split_key
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import Reconstruct, SamplePrior
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.spec import Ask, Panel
from dgm_studio.gui.shelf import figure, metric_name, short_title
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.pointcloud import PointCloud
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame

COLUMNS = 12
COUNT = 24
POINTS = 1000  # of planar data
Pictures = npt.NDArray[np.uint8]


class ModelRow(QWidget):
    """One model's pictures behind its name; it waits, fails and shows on its own."""

    def __init__(self, card: ModelCard, parent: QWidget) -> None:
        super().__init__(parent)
        self.card = card
        self.grid = PictureGrid(f"Pictures of {card.name}", self, columns=COLUMNS)
        self.cloud = PointCloud(f"Points of {card.name}", self)
        planar = card.image() is None
        self._many = QStackedWidget(self)
        self._many.addWidget(self.grid)
        self._many.addWidget(self.cloud)
        self._many.setCurrentIndex(int(planar))
        self.frame = StateFrame(self._many, self)
        row = QVBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[0])
        row.addWidget(ElidedLabel(f"{card.name} · {short_title(card)} · step {card.step:,}", "secondary", self))
        row.addWidget(self.frame, 1)
        self.setMinimumHeight(theme.current().px(260 if planar else 96))

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Pictures in a row, or points in the plane over the data they were made from."""
        if "pictures" in data:
            self.grid.set_pictures(_beside(data), columns=COLUMNS)
        else:
            self.cloud.set_points(data["points"], data.get("originals"))
        self._many.setCurrentWidget(self.grid if "pictures" in data else self.cloud)
        self.frame.show_ready()


class ComparePanel(Panel):
    """The models of the comparison set, and this one."""

    name = "compare"
    title = "Compare"
    icon = "compare"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SAMPLES, Capability.DECODES})
    summary = "The same seed or the same examples through two to eight models, and their figures"
    fast: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self._seed, self._kind = 0, 0
        self._rows: dict[str, ModelRow] = {}
        self._begun = False
        self._what = SegmentedControl(["Samples", "Reconstructions"], "What is compared", self)
        self._seed_words = label("", "figures", self)
        self._again = Button("New seed", self, icon="random")
        self._hint = label(
            "Only this model is here. Add others with Ctrl+D or from the library's menu.", "secondary", self, wrap=True
        )
        self._canvas = Card("Side by side", self)
        self._figures = Card("Figures", self)
        self._build()
        self._what.chosen.connect(self._choose_kind)
        self._again.clicked.connect(self._new_seed)

    def begin(self) -> None:
        """Ask every model."""
        self._begun = True
        self._show_models()

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """A model's pictures."""
        row = self._rows.get(topic)
        if row is None:
            return
        if isinstance(update, Frame):
            row.show_answer(update.data)
        elif isinstance(update, Failed):
            row.frame.show_error(update.sentence, "", update.details)

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot of this model beside the others."""
        super().set_card(card)
        if self._begun:
            self._show_models()

    def comparison_changed(self) -> None:
        """A row more or less."""
        if self._begun:
            self._show_models()

    def state(self) -> dict[str, Any]:
        """What is asked of every model."""
        return {"seed": self._seed, "kind": self._kind}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Ask the same again."""
        self._seed = int(state.get("seed", self._seed))
        self._kind = min(max(int(state.get("kind", self._kind)), 0), 1)
        self._ask_all()

    def shown(self) -> Any:
        """What this model was asked."""
        return self._request(self.card.key)

    def models(self) -> list[ModelCard]:
        """This model first, then those of the comparison set that can be shown so."""
        found = [self.card]
        if self.studio is not None:
            cards = [self.studio.cards[key] for key in self.studio.comparison if key in self.studio.cards]
            own, planar = split_key(self.card.key)[0], self.card.image() is None
            found += [c for c in cards if self._comparable(c, planar) and split_key(c.key)[0] != own]
        return [c for n, c in enumerate(found) if c.key not in {other.key for other in found[:n]}]

    def _comparable(self, card: ModelCard, planar: bool) -> bool:
        return self.needs <= card.capabilities and (card.image() is None) == planar

    def _request(self, key: str) -> SamplePrior | Reconstruct:
        count = COUNT if self.card.image() is not None else POINTS
        if self._kind:
            return Reconstruct(key, "test", count // 2, 0, self._seed * count // 2)
        return SamplePrior(key, count, self._seed)

    def _build(self) -> None:
        self._canvas.add_right(self._seed_words)
        self._canvas.add_right(self._again)
        self._canvas.add_right(self._what)
        self._column = QVBoxLayout()
        self._column.setSpacing(theme.SPACE[2])
        self._canvas.body.addLayout(self._column, 1)
        self._canvas.add(self._hint)
        self._table = QWidget(self._figures)
        self._figures.add(self._table)
        page = QWidget(self)
        page.setObjectName("scrolled")
        inner = QVBoxLayout(page)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(theme.SPACE[2])
        inner.addWidget(self._canvas, 1)
        inner.addWidget(self._figures)
        area = QScrollArea(self)
        area.setAccessibleName(self.title)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidgetResizable(True)
        area.setWidget(page)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)

    def _show_models(self) -> None:
        for row in self._rows.values():
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        models = self.models()
        self._rows = {str(n): ModelRow(card, self._canvas) for n, card in enumerate(models)}
        for row in self._rows.values():
            self._column.addWidget(row, 1)
        self._hint.setVisible(len(models) == 1)
        self._fill_table(models)
        self._ask_all()

    def _ask_all(self) -> None:
        self._what.set_index(self._kind)
        self._seed_words.setText(f"examples from {self._seed * COUNT // 2}" if self._kind else f"seed {self._seed}")
        self._again.setText("Next examples" if self._kind else "New seed")
        for topic, row in self._rows.items():
            row.frame.show_waiting()
            self.ask(topic, self._request(row.card.key))

    def _fill_table(self, models: list[ModelCard]) -> None:
        table = QWidget(self._figures)
        grid = QGridLayout(table)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.SPACE[3])
        names = list(dict.fromkeys(name for card in models for name in card.metrics))
        for column, words in enumerate(["Model", "Data", "Latents", "Parameters", "Step", *map(metric_name, names)]):
            grid.addWidget(label(words, "section", table), 0, column)
        for number, card in enumerate(models, 1):
            plain = [card.name, card.data, str(card.latent or ""), f"{card.parameters:,}", f"{card.step:,}"]
            for column, words in enumerate(plain):
                grid.addWidget(label(words, "figures" if column > 1 else "", table), number, column)
            for column, name in enumerate(names, len(plain)):
                metric = card.metrics.get(name)
                shown = label(f"{figure(metric)} {metric.unit}" if metric else "", "figures", table)
                shown.setToolTip(f"{metric.estimator or 'exact'} on {metric.split or 'unknown data'}" if metric else "")
                grid.addWidget(shown, number, column)
        grid.setColumnStretch(grid.columnCount(), 1)
        self._figures.body.replaceWidget(self._table, table)
        self._table.deleteLater()
        self._table = table

    def _choose_kind(self, index: int) -> None:
        self._kind = index
        self._ask_all()
        self.committed.emit("Compare " + ("reconstructions" if index else "samples"))

    def _new_seed(self) -> None:
        self._seed += 1
        self._ask_all()
        self.committed.emit(f"Compare with {'examples' if self._kind else 'seed'} {self._seed}")


def _beside(data: Mapping[str, Any]) -> Pictures:
    """Samples as they are; each original beside its reconstruction."""
    if "originals" not in data:
        return np.asarray(data["pictures"], np.uint8)
    pairs = np.stack([data["originals"], data["pictures"]], 1)
    return np.asarray(pairs.reshape(-1, *pairs.shape[2:]), np.uint8)
