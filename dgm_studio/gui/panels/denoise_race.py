"""The race: several samplers from the same noise, at equal evaluations, equal time or with the steps of each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import MeasureOrders, RaceSamplers
from dgm_studio.core.requests.denoising import SPACINGS
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_lanes import (
    LANE,
    SECTION,
    BudgetCard,
    LanesCard,
    RaceState,
    sampler_colour,
    sampler_name,
)
from dgm_studio.gui.panels.denoise_orders import OrdersPart
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.panels.spec import JOB
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.lanetable import Lane, LaneTable
from dgm_studio.gui.widgets.railed import bare_scroll
from dgm_studio.gui.widgets.running import RunningStrip
from dgm_studio.gui.widgets.stateframe import CanvasState, StateFrame

TOPIC = "race/lanes"
CLOSE = 1.15  # errors whose ratio is less are called equal


class RacePage(QWidget):
    """Lanes over orders."""

    told = Signal(str)
    common = frozenset({"condition"})

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage, self.state = stage, RaceState(stage)
        self._begun, self._asked = False, None  # type: bool, RaceSamplers | None
        self._data: Mapping[str, Any] = {}
        inner = QWidget(self)
        inner.setObjectName("scrolled")
        content = QWidget(inner)
        self.strip = RunningStrip("race of samplers", inner)
        self.said = WrappedLabel("", content, lines=1)
        self.differences = QCheckBox("Differences", inner)
        self.differences.setToolTip("Under each picture, how far every pixel is from the reference")
        self.table = LaneTable("Lanes of the race", content)
        self.frame = StateFrame(content, inner)
        self.frame.set_empty("Several samplers start from the same noise; their results stand side by side.", "Race")
        self.lanes, self.budget = LanesCard(self.state, self), BudgetCard(self.state, self)
        self.orders = OrdersPart(stage, inner, self)
        self.cards = (self.budget, self.lanes, self.orders.settings)
        self._lay_out(inner, content)
        self._connect()

    def _lay_out(self, inner: QWidget, content: QWidget) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE[2])
        head.addWidget(label("Lanes", "heading", inner))
        head.addWidget(self.strip, 1)
        head.addWidget(self.differences)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.table)
        column.addWidget(self.said)
        whole = QVBoxLayout(inner)
        whole.setContentsMargins(0, 0, theme.SPACE[1], 0)
        whole.setSpacing(theme.SPACE[1])
        whole.addLayout(head)
        whole.addWidget(self.frame)
        whole.addWidget(self.orders, 1)
        area = bare_scroll(inner, self, "Race of samplers")
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(area)

    def _connect(self) -> None:
        self.frame.filled.connect(self.again)
        self.frame.acted.connect(self.again)
        self.strip.stopped.connect(self.stop)
        self.table.clicked.connect(self._on_lane)
        self.table.removed.connect(self._on_removed)
        self.differences.clicked.connect(self._on_differences)
        theme.changed.connect(self._draw)

    # -- the page's contract -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Race."""
        self._begun = True
        self.ask()

    def show_state(self) -> None:
        """The settings; another race where they ask for another."""
        for card in (self.lanes, self.budget, self.orders):
            card.show_state()
        on = bool(self.state.get("differences", False)) and self.stage.pictures
        self.differences.setVisible(self.stage.pictures)
        self.differences.setChecked(on)
        self.table.set_differences(on)
        if self._begun and self.stage.state.section == SECTION:
            self.ask()

    def ask(self) -> None:
        """Race with the settings, unless that was asked last."""
        request = self.state.request()
        if request == self._asked or not request.samplings:
            return
        self._asked = request
        self.frame.show_waiting()
        self.strip.begin()
        self.stage.ask(TOPIC, request)

    def again(self) -> None:
        """After a failure, or when it was stopped."""
        self._asked = None
        self.ask()

    def stop(self) -> None:
        """What has arrived stays."""
        self.stage.ask.cancel(TOPIC)

    def forget(self) -> None:
        """Other weights."""
        self._asked = None
        self.orders.forget()

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Lanes as they arrive; orders."""
        if topic == JOB:
            if isinstance(ticket.request, MeasureOrders) and self.orders.concerns(ticket.request):
                self.orders.receive_job(update, ticket)
        elif topic == TOPIC and ticket.request == self._asked:
            self._receive(update)

    def shown(self) -> RaceSamplers:
        """The race."""
        return self.state.request()

    def plot(self) -> QWidget:
        """The orders, once they were measured; the lanes before."""
        return self.orders.plot if self.orders.frame.state is CanvasState.READY else self.table

    @staticmethod
    def state_of(request: Any) -> dict[str, Any] | None:
        """A race of somebody else's."""
        if not isinstance(request, RaceSamplers):
            return None
        equal = "evaluations" if request.evaluations else "seconds" if request.seconds else "own"
        lanes = [{key: value for key, value in asdict(s).items() if key in LANE} for s in request.samplings]
        budget = {"evaluations": request.evaluations or 20, "seconds": request.seconds or 1.0}
        return {"lanes": lanes, "equal": equal, "count": request.count, "exact": request.with_exact, **budget}

    # -- inside --------------------------------------------------------------------------------------------------------

    def _receive(self, update: Update) -> None:
        if isinstance(update, Progress):
            self.strip.progress(update)
        elif isinstance(update, Frame):
            self._data = update.data
            self._draw()
            self.frame.show_ready()
        elif isinstance(update, Failed):
            self._asked = None
            self.strip.end()
            self.frame.show_error(update.sentence, update.action and "Try again", update.details)
        elif isinstance(update, Done | Cancelled):
            self.strip.end("" if isinstance(update, Done) else "Stopped; the lanes that have arrived stay.")
            if not self._data:
                self.frame.show_empty()

    def _draw(self) -> None:
        data = self._data
        if not data:
            return
        reference = data.get("reference") or {}
        results = results_of(reference)
        name = str(reference.get("name", "")).removeprefix("the same ODE in ")
        first = Lane("Reference", name, results=results, reference=True)
        shown = [lane_of(entry) for entry in data["lanes"]]
        plain = [not is_exact(str(entry["name"])) for entry in data["lanes"]]
        errors = [lane.error for lane, own in zip(shown, plain, strict=True) if own and math.isfinite(lane.error)]
        least = min(errors) if len(errors) > 1 else math.nan
        shown = [replace(lane, best=own and lane.error == least) for lane, own in zip(shown, plain, strict=True)]
        self.table.set_lanes([first, *shown])
        done = [entry for entry in data["lanes"] if entry.get("done")]
        self.said.setText(race_words(done) if len(done) == len(data["lanes"]) else "")
        self.told.emit(f"{len(results) if results is not None else self.state.request().count} samples")

    def _on_lane(self, row: int) -> None:
        place = self._place(row)
        if place >= 0:
            self.lanes.select(place)

    def _on_removed(self, row: int) -> None:
        self.lanes.drop(self._place(row))

    def _place(self, row: int) -> int:
        """Which of the settings' lanes a row of the table is; -1 for the reference."""
        names = [str(entry["name"]) for entry in self._data.get("lanes") or ()]
        if not 1 <= row <= len(names):
            return -1
        alike = [n for n, name in enumerate(names) if is_exact(name) == is_exact(names[row - 1])]
        return alike.index(row - 1)

    def _on_differences(self, on: bool) -> None:
        self.stage.set_page(SECTION, "Show differences" if on else "Hide differences", differences=on)


def is_exact(name: str) -> bool:
    """Whether a lane ran under the exact score."""
    return name.endswith(" exact")


def results_of(entry: Mapping[str, Any]) -> Any | None:
    """Pictures or points; None while there are none."""
    found = entry.get("pictures") if entry.get("pictures") is not None else entry.get("points")
    return found if found is not None and len(found) else None


def lane_of(entry: Mapping[str, Any]) -> Lane:
    """A lane of a Frame "race" as a row."""
    sampling = dict(entry.get("sampling") or {})
    results = results_of(entry)
    error = float(entry.get("error", math.nan))
    arrived = results is not None
    noisy = arrived and bool(entry.get("done")) and not math.isfinite(error)
    steps = len(sampling.get("levels") or ()) or int(sampling.get("steps", 0))
    spacing = SPACINGS.get(str(sampling.get("spacing", "")), "").lower()
    noise = [f"{name} {sampling[name]:g}" for name in ("eta", "churn") if sampling.get(name)]
    name = str(entry["name"])
    note = ["exact score"] * is_exact(name) + [f"{steps} steps"] * (steps > 0) + [spacing] * bool(spacing) + noise
    return Lane(
        short_name(entry),
        ", ".join(note),
        int(entry.get("evaluations", 0)),
        float(entry.get("seconds", math.nan)) if arrived else math.nan,
        error,
        "draws noise" if noisy else "",
        results,
        entry.get("difference"),
        tuple(str(word) for word in entry.get("judged") or ()),
        sampler_colour(str(sampling.get("sampler", ""))),
        bool(entry.get("done")),
    )


def short_name(entry: Mapping[str, Any]) -> str:
    """A lane's sampler in a few letters."""
    return sampler_name(str((entry.get("sampling") or {}).get("sampler") or entry["name"]))


def race_words(lanes: Sequence[Mapping[str, Any]]) -> str:
    """Who is closest to the reference, and by how much.

    >>> race_words([{"name": "DDIM", "error": 0.2}, {"name": "Heun", "error": 0.05}])
    'Heun ends closest to the reference, 4 times closer than DDIM.'
    """
    plain = [lane for lane in lanes if not is_exact(str(lane["name"]))]
    alike = Counter(short_name(lane) for lane in plain)
    names = [short_name(n) + (f" ({lane_of(n).note})" if alike[short_name(n)] > 1 else "") for n in plain]
    errors = [float(lane["error"]) for lane in plain]
    known = sorted((error, name) for error, name in zip(errors, names, strict=True) if math.isfinite(error))
    said = []
    if len(known) > 1:
        (best, first), (worst, last) = known[0], known[-1]
        ratio = worst / best if best > 0 else math.inf
        if ratio < CLOSE:
            said.append("All that follow the ODE end equally close to the reference.")
        else:
            times = f"{float(f'{ratio:.2g}'):g}" if math.isfinite(ratio) else "infinitely many"
            said.append(f"{first} ends closest to the reference, {times} times closer than {last}.")
    noisy = [name for error, name in zip(errors, names, strict=True) if not math.isfinite(error)]
    if noisy:
        verb = "draw" if len(noisy) > 1 else "draws"
        said.append(f"{' and '.join(noisy)} {verb} noise on the way and may end elsewhere: no error is told.")
    return " ".join(said)
