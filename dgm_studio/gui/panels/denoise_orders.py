"""Error against evaluations on log-log axes: the order of every solver, and where the model's own error takes over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dgm_studio.core.requests import MeasureOrders
from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_jobs import JobCard, JobPage
from dgm_studio.gui.panels.denoise_lanes import NOISY, SHORT, RaceState, sampler_colour, sampler_name
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.scaleplot import Level, ScalePlot, Trace
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

TRUTHS = {"model": "Model's score", "exact": "Exact score", "gaussian": "Gaussian"}
STEPS = (5, 8, 12, 18, 27, 40, 60, 90, 135, 200)


class OrdersPart(JobPage):
    """See the module.

    Args:
        stage: What the parts of the panel share.
        parent: Owner.
        rail: Owner of the card with the settings until it is laid out.
    """

    asks = MeasureOrders
    bench: Stage

    def __init__(self, stage: Stage, parent: QWidget, rail: QWidget) -> None:
        about = (
            "Follows the ODE with ever more steps and measures how far the ends are from those of the same ODE solved "
            "finely. On log-log axes the slope is the order of the solver."
        )
        card = JobCard("Orders", "Measure orders", about, rail)
        self.truth = SegmentedControl(list(TRUTHS.values()), "Whose score drives the solvers", card)
        card.body.insertWidget(1, self.truth)
        card.add_slider("steps", ValueSlider("Most steps", 12, 200, 60, card, log=True, whole=True))
        card.add_slider("count", ValueSlider("Samples", 8, 256, 32, card, log=True, whole=True))
        content = QWidget()
        self.plot = ScalePlot(
            "Error against evaluations",
            content,
            x_title="Network evaluations of one sample",
            y_title="Distance of the ends from the fine solution (root mean square)",
            log_x=True,
            log_y=True,
            guides=(1, 2),
        )
        self.words = WrappedLabel("", content)
        self.reference = WrappedLabel("caption", content)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[0])
        column.addWidget(label("Orders", "heading", content))
        column.addWidget(self.plot, 1)
        column.addWidget(self.words)
        column.addWidget(self.reference)
        empty = (
            "Error against evaluations on log-log axes: how fast each solver converges, and what the model itself errs."
        )
        super().__init__(stage, card, content, empty, parent)
        self._answers: dict[str, Mapping[str, Any]] = {}
        self.truth.chosen.connect(self._on_truth)
        theme.changed.connect(self._draw)

    def chosen(self) -> str:
        """One of `TRUTHS`."""
        kept = str(self.bench.page("race").get("truth", "model"))
        return kept if kept in self._truths() else "model"

    def show_state(self) -> None:
        """Whose score it is; only a known one can be exact."""
        self.truth.set_words([TRUTHS[name] for name in self._truths()])
        self.truth.set_index(self._truths().index(self.chosen()))

    def request(self) -> MeasureOrders:
        """What the settings ask for."""
        stage, most = self.bench, self.settings.value("steps")
        steps = tuple(n for n in STEPS if n <= most)
        count, take = self.settings.value("count"), stage.take
        return MeasureOrders(
            stage.card.key, tuple(self._samplers()), steps, self.chosen(), count, take.seed, dict(take.condition)
        )

    def name(self) -> str:
        """Of the job."""
        return f"Orders of {self.bench.card.name}"

    def forget(self) -> None:
        """Other weights; a Gaussian's orders are not of the model."""
        super().forget()
        self._answers = {name: data for name, data in self._answers.items() if name == "gaussian"}

    def receive_job(self, update: Any, ticket: Any) -> None:
        """Keep every score's answer under its name."""
        self._answering = str(ticket.request.truth)
        super().receive_job(update, ticket)

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Curves, growing."""
        self._answers[self._answering] = data
        self._draw()

    def _samplers(self) -> list[str]:
        """The samplers of the lanes that follow an ODE."""
        lanes = [lane.sampler for lane in RaceState(self.bench).lanes() if not lane.eta]
        return [name for name in dict.fromkeys(lanes) if name not in NOISY]

    def _truths(self) -> list[str]:
        return [name for name in TRUTHS if name != "exact" or self.bench.about.get("exact")]

    def _on_truth(self, place: int) -> None:
        name = self._truths()[place]
        self.bench.set_page("race", f"Orders under the {TRUTHS[name].lower()}", truth=name)
        if name in self._answers:
            self._draw()
            self.frame.show_ready()
        elif self._answers:
            self.frame.show_empty()

    def _draw(self) -> None:
        data = self._answers.get(self.chosen())
        if not data:
            return
        gap = float(data.get("gap", math.nan))
        self.plot.set_traces([trace_of(curve) for curve in data["curves"]], [Level("Model's own error", gap)])
        self.words.setText(orders_words(data["curves"], gap))
        whose = f", under the exact score of {data['truth']}" if data.get("truth") else ""
        reference = str(data.get("reference") or "the same ODE solved finely")
        self.reference.setText(f"Reference: {reference}{whose}. Dotted: slopes 1 and 2.")


def trace_of(curve: Mapping[str, Any]) -> Trace:
    """A curve of a Frame "orders"."""
    slope = float(curve.get("slope", math.nan))
    note = f"order {slope:.2f}" if math.isfinite(slope) else "order not known yet"
    sampler = str(curve["sampler"])
    return Trace(
        sampler_name(sampler) + (" exact" if curve.get("exact") and sampler in SHORT else ""),
        np.asarray(curve["evaluations"], float),
        np.asarray(curve["error"], float),
        sampler_colour(sampler) or theme.CATEGORIES[1],
        note=note,
    )


def orders_words(curves: Sequence[Mapping[str, Any]], gap: float) -> str:
    """What is seen: the orders, the best at the most evaluations, and from where the model's own error rules.

    >>> curve = {"sampler": "ddim", "evaluations": [5, 10], "error": [0.2, 0.1], "slope": 1.0}
    >>> orders_words([curve], 0.15)[:72]
    'Measured order: DDIM 1.0. The model itself errs by 0.15: from 10 evaluat'
    """
    known = [(sampler_name(str(c["sampler"])), float(c.get("slope", math.nan))) for c in curves]
    orders = [f"{name} {slope:.1f}" for name, slope in known if math.isfinite(slope)]
    said = [f"Measured order{'s' if len(orders) > 1 else ''}: {', '.join(orders)}."] if orders else []
    if math.isfinite(gap) and gap > 0:
        said.append(_gap_words(curves, gap))
    return " ".join(said)


def _gap_words(curves: Sequence[Mapping[str, Any]], gap: float) -> str:
    below = []
    for curve in curves:
        under = np.flatnonzero(np.asarray(curve["error"], float) < gap)
        if under.size:
            below.append((int(curve["evaluations"][int(under[0])]), sampler_name(str(curve["sampler"]))))
    if not below:
        return f"The model itself errs by {gap:.2g}; every solver here still errs more, so steps are what limits."
    first, name = min(below)
    return (
        f"The model itself errs by {gap:.2g}: from {first} evaluations on {name} errs less than that, and more steps "
        "improve nothing."
    )
