"""Which noise levels matter: loss, share of the bound, change of the estimate; and log-likelihoods along the ODE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import FollowLikelihood, MeasureLevels
from dgm_studio.core.updates import Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_jobs import JobCard, JobPage
from dgm_studio.gui.panels.denoise_curve import signed
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.scaleplot import ScalePlot, Trace
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

SECTION = "schedule"
KINDS = {"loss": "Loss", "clean": "Loss of the estimate", "bound": "Bound", "change": "Change"}
TITLES = {
    "loss": "Mean square error of the noise estimate, per number",
    "clean": "Mean square error of the clean estimate, per number",
    "bound": "Share of the variational bound, bits/dim",
    "change": "Change of the clean estimate along trajectories (root mean square)",
}
PLACE = "Half log-SNR: noise at the left, data at the right"
MOST_ROWS = 12  # of the table before it scrolls
HALF = 0.5
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class LevelsPart(JobPage):
    """How well every level is denoised.

    Args:
        stage: What the parts of the panel share.
        parent: Owner.
        rail: Owner of the card with the settings until it is laid out.
    """

    asks = MeasureLevels
    bench: Stage

    def __init__(self, stage: Stage, parent: QWidget, rail: QWidget) -> None:
        about = (
            "Loss of every noise level on validation examples, its share of the bound, and where pictures are decided."
        )
        card = JobCard("Levels that matter", "Measure levels", about, rail, primary=False)
        card.add_slider("bins", ValueSlider("Levels", 5, 60, 20, card, whole=True))
        card.add_slider("count", ValueSlider("Examples", 32, 2048, 256, card, log=True, whole=True))
        content = QWidget()
        self.kind = SegmentedControl(list(KINDS.values()), "What is shown of each level", content)
        self.plot = ScalePlot("Levels that matter", content, x_title=PLACE, y_title=TITLES["loss"])
        self.words = WrappedLabel("", content)
        head = QHBoxLayout()
        head.addWidget(label("Levels that matter", "heading", content))
        head.addStretch(1)
        head.addWidget(self.kind)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addLayout(head)
        column.addWidget(self.plot, 1)
        column.addWidget(self.words)
        empty = "Which noise levels the model finds hard, which carry the bound, and where a picture is decided."
        super().__init__(stage, card, content, empty, parent)
        self._data: Mapping[str, Any] = {}
        self.kind.chosen.connect(self._on_kind)
        theme.changed.connect(self._draw)

    def request(self) -> MeasureLevels:
        """What the settings ask for."""
        card = self.settings
        return MeasureLevels(
            self.bench.card.key, "valid", card.value("bins"), card.value("count"), self.bench.take.seed
        )

    def name(self) -> str:
        """Of the job."""
        return f"Levels of {self.bench.card.name}"

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Figures of every level, growing."""
        self._data = data
        self._draw()

    def show_state(self) -> None:
        """Which figure is shown."""
        if self._data:
            self._draw()

    def kinds(self) -> list[str]:
        """Those that are known."""
        known = [name for name in KINDS if np.isfinite(_row(self._data, name)).any()]
        return known or ["loss"]

    def chosen(self) -> str:
        """One of `kinds`."""
        kept = str(self.bench.page(SECTION).get("levels", "loss"))
        return kept if kept in self.kinds() else self.kinds()[0]

    def _on_kind(self, place: int) -> None:
        name = self.kinds()[place]
        self.bench.set_page(SECTION, f"Levels by {KINDS[name].lower()}", levels=name)

    def _draw(self) -> None:
        data = self._data
        if not data:
            return
        kind = self.chosen()
        self.kind.set_words([KINDS[name] for name in self.kinds()])
        self.kind.set_index(self.kinds().index(kind))
        at, heights = _row(data, "log_snr"), _row(data, kind)
        order = np.argsort(at)
        error = _row(data, "error")[order] if kind == "loss" and len(_row(data, "error")) else None
        bars = kind in ("bound", "change")
        colour = theme.CATEGORIES[1]
        traces = [Trace("Model", at[order], heights[order], colour, error, bars=bars)]
        exact = _row(data, "exact")
        if kind == "loss" and np.isfinite(exact).any():
            traces.append(Trace("Exact denoiser", at[order], exact[order], theme.CATEGORIES[0]))
        self.plot.set_titles(PLACE, TITLES[kind])
        self.plot.set_traces(traces)
        self.words.setText(levels_words(data, kind))


class LikelihoodPart(JobPage):
    """log p(x) of examples, a row each."""

    asks = FollowLikelihood
    bench: Stage

    def __init__(self, stage: Stage, parent: QWidget, rail: QWidget) -> None:
        about = "log p(x) of test examples along the probability-flow ODE (Song et al. 2021)."
        card = JobCard("Likelihood", "Follow likelihoods", about, rail, primary=False)
        card.add_slider("count", ValueSlider("Examples", 1, 128, 16, card, log=True, whole=True))
        card.add_slider("steps", ValueSlider("Steps", 10, 400, 60, card, log=True, whole=True))
        content = QWidget()
        self.table = QTableWidget(0, 5, content)
        self.table.setAccessibleName("Log-likelihoods")
        self.words = WrappedLabel("", content)
        self.estimator = WrappedLabel("caption", content)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(label("Log-likelihoods", "heading", content))
        for widget in (self.words, self.table, self.estimator):
            column.addWidget(widget)
        self._dress()
        empty = "How probable the model finds test examples, each by following it into noise."
        super().__init__(stage, card, content, empty, parent)
        self.hide()  # until somebody wants to know

    def _dress(self) -> None:
        table = self.table
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        table.setTabKeyNavigation(False)
        table.setShowGrid(False)
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column, words in enumerate(("Example", "log p(x), nats", "bits/dim", "Exact, nats", "Difference")):
            head = QTableWidgetItem(words)
            head.setTextAlignment(_RIGHT if column else _LEFT)
            table.setHorizontalHeaderItem(column, head)

    def request(self) -> FollowLikelihood:
        """What the settings ask for."""
        card, take = self.settings, self.bench.take
        return FollowLikelihood(self.bench.card.key, "test", card.value("count"), card.value("steps"), 1, take.seed)

    def receive_job(self, update: Update, ticket: Ticket) -> None:
        """From the first word on there is something to see."""
        self.show()
        super().receive_job(update, ticket)

    def name(self) -> str:
        """Of the job."""
        return f"Likelihoods under {self.bench.card.name}"

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """A row for each example."""
        found, exact = _row(data, "log_prob"), _row(data, "exact")
        bits, labels = _row(data, "bits"), list(data.get("labels") or ())
        known = len(exact) == len(found) and np.isfinite(exact).any()
        self.table.setRowCount(len(found))
        for column in (3, 4):
            self.table.setColumnHidden(column, not known)
        for row, value in enumerate(found):
            name = f"{row}: {labels[row]}" if row < len(labels) and labels[row] else f"{row}"
            cells = [name, _figure(value), _figure(bits[row]) if row < len(bits) else ""]
            cells += [_figure(exact[row]), _figure(value - exact[row])] if known else ["", ""]
            for column, words in enumerate(cells):
                item = QTableWidgetItem(words)
                item.setTextAlignment(_RIGHT if column else _LEFT)
                self.table.setItem(row, column, item)
        high = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(high * min(MOST_ROWS, max(1, len(found))) + high + 6)
        self.words.setText(likelihood_words(data))
        self.estimator.setText(f"Estimator: {data['estimator']}." if data.get("estimator") else "")


def levels_words(data: Mapping[str, Any], kind: str) -> str:
    """What is seen at a glance, in a sentence."""
    at, heights = _row(data, "log_snr"), _row(data, kind)
    good = np.isfinite(heights) & np.isfinite(at)
    if good.sum() < 2:
        return ""
    order = np.argsort(at[good])
    x, y = at[good][order], heights[good][order]
    if kind in ("bound", "change"):
        low, high = middle_half(x, np.maximum(y, 0.0))
        what = "of the bound" if kind == "bound" else "of the change"
        total = float(data.get("total", math.nan))
        whole = f" The bound is {total:.3g} bits/dim." if kind == "bound" and math.isfinite(total) else ""
        return f"Half {what} lies between half-log-SNR {signed(low)} and {signed(high)}.{whole}"
    exact = _row(data, "exact")
    if kind == "loss" and np.isfinite(exact).any():
        rest = _row(data, "loss") - exact
        worst = int(np.nanargmax(rest))
        spare = f"{rest[worst]:.2g}"
        return f"Most can still be learnt at half-log-SNR {signed(at[worst])}: {spare} above the exact denoiser."
    worst = int(np.argmax(y))
    return f"The hardest level is half-log-SNR {signed(x[worst])}, with a mean square error of {y[worst]:.2g}."


def middle_half(x: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Between which places the middle half of a weight lies.

    >>> low, high = middle_half(np.arange(5.0), np.array([0.0, 1.0, 2.0, 1.0, 0.0]))
    >>> low, high
    (1.0, 2.0)
    """
    total = float(weight.sum())
    if total <= 0:
        return float(x[0]), float(x[-1])
    run = np.cumsum(weight) / total
    edges = [int(np.searchsorted(run, share - 1e-12)) for share in ((1 - HALF) / 2, (1 + HALF) / 2)]
    low, high = (min(edge, len(x) - 1) for edge in edges)
    return float(x[low]), float(x[high])


def likelihood_words(data: Mapping[str, Any]) -> str:
    """The mean with its error, beside the truth where it is known."""
    found, exact = _row(data, "log_prob"), _row(data, "exact")
    if not len(found):
        return ""
    error = float(data.get("error", math.nan))
    spread = f" ± {number(float(f'{error:.2g}'))}" if math.isfinite(error) else ""
    bits = _row(data, "bits")
    said = f"Mean log p(x) {_figure(float(found.mean()))}{spread} nats"
    if len(bits) and np.isfinite(bits).all():
        said += f", {float(bits.mean()):.3g} bits/dim"
    if len(exact) == len(found) and np.isfinite(exact).any():
        said += f"; the truth is {_figure(float(np.nanmean(exact)))} nats"
    return said + "."


def _row(data: Mapping[str, Any], name: str) -> npt.NDArray[np.float64]:
    return np.asarray(data.get(name, ()), float)


def _figure(value: float) -> str:
    return number(float(f"{value:.4g}")) if math.isfinite(value) else "unknown"
