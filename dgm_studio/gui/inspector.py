"""What is known of the model: card, objective in mathematics, metrics, settings, data, paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QScrollArea, QVBoxLayout, QWidget

from dgm_studio.core.cards import DataCard, Metric, ModelCard, SystemCard
from dgm_studio.core.forms import Field
from dgm_studio.gui import theme
from dgm_studio.gui.shelf import Shelf, digits, figure, metric_name
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.mathview import MathView

WIDTH = 320
Row = tuple[str, str, str]


class Inspector(QScrollArea):
    """The right column.

    Args:
        shelf: For the system's and the data's card.
        parent: Owner.
    """

    def __init__(self, shelf: Shelf, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("About this model")
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._shelf = shelf
        self._card: ModelCard | None = None
        self._live: dict[str, float] = {}
        self._math: MathView | None = None
        theme.changed.connect(self._fit)
        self._fit()
        self.show_card(None)

    def show_card(self, card: ModelCard | None) -> None:
        """Show another model; None shows what the column is for."""
        self._live = {}
        self._card = card
        self._build()

    def refresh(self, card: ModelCard) -> None:
        """A newer state of the model that is shown."""
        if self._card is not None and card.key == self._card.key:
            self._card = card
            self._build()

    def take_live(self, values: Mapping[str, float]) -> None:
        """Figures of the running training: the symbols of the objective carry their values."""
        self._live.update(values)
        self._fill()

    def _fit(self) -> None:
        self.setFixedWidth(theme.current().px(WIDTH))

    def _build(self) -> None:
        page = QWidget(self)
        page.setObjectName("scrolled")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        self._math = None
        if self._card is None:
            empty = Card("About", page)
            empty.add(
                label(
                    "Choose a model: its objective, figures, data and paper stand here.", "secondary", empty, wrap=True
                )
            )
            column.addWidget(empty)
        else:
            for part in self._parts(self._card, page):
                column.addWidget(part)
        column.addStretch()
        self.setWidget(page)
        self._fill()

    def _parts(self, card: ModelCard, page: QWidget) -> Iterable[Card]:
        system = self._shelf.systems.get(card.system)
        data = self._shelf.data().get(card.data)
        yield _table("About", _about(card), page)
        if system is not None:
            yield self._objective(system, page)
        if card.metrics:
            yield _table("Metrics", [_metric_row(n, m) for n, m in card.metrics.items()], page)
        if card.config:
            yield _table("Model settings", _settings(card.config, system.fields if system is not None else ()), page)
        if card.training:
            yield _table("Training settings", _settings(card.training, self._shelf.training), page)
        if data is not None:
            yield _data_card(data, page)
        if system is not None:
            yield _paper(system, page)

    def _objective(self, system: SystemCard, page: QWidget) -> Card:
        card = Card("Objective", page)
        self._math = MathView(card)
        self._math.set_objective(system.objective, system.symbols)
        card.add(self._math)
        return card

    def _fill(self) -> None:
        card, math = self._card, self._math
        if card is None or math is None:
            return
        values = {f"config:{name}": _plain(value) for name, value in {**card.training, **card.config}.items()}
        for name, metric in card.metrics.items():
            values[f"metric:{name}"] = values[f"metric:{name.rpartition('/')[2]}"] = f"{figure(metric)} {metric.unit}"
        for name in sorted(self._live):  # "train/..." before "valid/...": the latter stays
            words = digits(self._live[name])
            values[f"metric:{name}"] = values[f"metric:{name.rpartition('/')[2]}"] = words
        math.set_values(values)


def _table(title: str, rows: Iterable[Row], page: QWidget) -> Card:
    card = Card(title, page)
    grid = QGridLayout()
    grid.setHorizontalSpacing(theme.SPACE[2])
    grid.setVerticalSpacing(theme.SPACE[0])
    grid.setColumnStretch(1, 1)
    for number, (words, value, hint) in enumerate(rows):
        name = label(words, "secondary", card)
        shown = label(value, "figures", card, wrap=True)
        shown.setAlignment(Qt.AlignmentFlag.AlignRight)
        shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        shown.setAccessibleName(f"{words}: {value}")
        for part in (name, shown):
            part.setToolTip(hint)
        grid.addWidget(name, number, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(shown, number, 1)
    card.body.addLayout(grid)
    return card


def _about(card: ModelCard) -> list[Row]:
    rows = [
        ("Name", card.name, card.key),
        ("System", card.title or card.system, card.system),
        ("Data", card.data, ""),
        ("Latents", str(card.latent) if card.latent else "", "Size of z"),
        ("Parameters", f"{card.parameters:,}" if card.parameters else "", "Numbers learnt"),
        ("Step", f"{card.step:,} of {card.steps:,}" if card.steps else f"{card.step:,}", "Optimizer steps"),
        ("Seed", str(card.seed), "Of everything random in its training"),
        ("Forked from", card.parent, ""),
        ("Made", card.created[:16].replace("T", " "), card.created),
        ("Weights", card.sha256[:12], f"sha256 {card.sha256}"),
        ("File", _breakable(card.path), card.path),
    ]
    return [row for row in rows if row[1]]


def _metric_row(name: str, metric: Metric) -> Row:
    how = f"{metric.estimator or 'exact'}; {'lower' if metric.lower_is_better else 'higher'} is better"
    return metric_name(name), f"{figure(metric)} {metric.unit}".strip(), how


def _settings(values: Mapping[str, Any], fields: Iterable[Field]) -> list[Row]:
    known = {field.name: field for field in fields}
    return [
        (known[name].label if name in known else name, _plain(value), known[name].help if name in known else "")
        for name, value in values.items()
    ]


def _data_card(data: DataCard, page: QWidget) -> Card:
    card = _table(
        "Data",
        [
            ("Name", data.title, data.name),
            *((f"{split} examples", f"{count:,}", "") for split, count in data.counts.items()),
            ("Licence", data.licence, data.source),
            ("Split seed", str(data.split_seed), ""),
        ],
        page,
    )
    for words in (data.summary, data.credit, data.changes, "Synthetic data." if data.synthetic else ""):
        if words:
            card.add(label(words, "caption", card, wrap=True))
    return card


def _paper(system: SystemCard, page: QWidget) -> Card:
    card = Card("Paper", page)
    paper = system.paper
    card.add(label(paper.title, "", card, wrap=True))
    card.add(
        label(", ".join(str(p) for p in (paper.authors, paper.year, paper.venue) if p), "secondary", card, wrap=True)
    )
    return card


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return digits(value)
    return ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _breakable(path: str) -> str:
    """A path that may wrap after each part."""
    return path.replace("/", "/\u200b")
