"""Guidance: a slider over samples that follow it, and a contact sheet of guidance against steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import PlayDenoising, SheetGuidance
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_jobs import JobCard, JobPage
from dgm_studio.gui.panels.denoise_controls import MOST_GUIDANCE, NAME
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.panels.spec import JOB
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.contactsheet import ContactSheet
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.railed import bare_scroll
from dgm_studio.gui.widgets.running import RunningStrip
from dgm_studio.gui.widgets.stateframe import CanvasState, StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

SECTION = "guidance"
LIVE, PLAIN = "guidance/live", "guidance/plain"
WEIGHTS = (0.0, 1.0, 2.0, 4.0, 7.0)
STEPS = (5, 10, 20, 50)
ENDS = 10**6  # every so many steps of a film: its first and its last
QUICK = 12  # steps of the live samples
EMPTY = "Give the model something first: guidance pulls the samples towards what they are asked for."


class GuidanceCard(Card):
    """How strongly, with how many steps the live samples are made, how many."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Guidance", parent)
        self.stage = stage
        self.words = WrappedLabel("secondary", self)
        self.weight = ValueSlider("Guidance", 0.0, MOST_GUIDANCE, 1.0, self)
        self.weight.setToolTip("0 is free, 1 is what was given; more exaggerates it (Ho and Salimans 2022)")
        self.steps = ValueSlider("Steps", 2, 100, QUICK, self, log=True, whole=True)
        self.steps.setToolTip("Of the live samples; the film keeps its own")
        self.count = ValueSlider("Samples", 2, 12, 8, self, whole=True)
        for slider in (self.weight, self.steps, self.count):
            slider.set_name_width(NAME)
            self.add(slider)
        self.add(self.words)
        self.weight.moved.connect(self._on_weight)
        self.weight.released.connect(self._on_weighed)
        self.steps.moved.connect(lambda value: stage.set_page(SECTION, "", steps=round(value)))
        self.count.moved.connect(lambda value: stage.set_page(SECTION, "", count=round(value)))
        self.steps.released.connect(lambda: stage.committed.emit("Steps of the live samples"))
        self.count.released.connect(lambda: stage.committed.emit("Number of live samples"))

    def show_state(self) -> None:
        """The settings; without a condition there is nothing to guide."""
        page, given = self.stage.page(SECTION), bool(self.stage.take.condition)
        self.weight.set_value(self.stage.take.sampling.guidance)
        self.steps.set_value(_kept(page, "steps", QUICK, 100))
        self.count.set_value(_kept(page, "count", 8, 12))
        self.weight.setEnabled(given)
        self.words.setText(weight_words(self.stage.take.sampling.guidance) if given else EMPTY)

    def _on_weight(self, value: float) -> None:
        self.stage.change(sampling={"guidance": round(value, 2)})

    def _on_weighed(self) -> None:
        self.stage.committed.emit(f"Guidance {self.stage.take.sampling.guidance:g}")


class SheetPart(JobPage):
    """Guidance against steps, from one noise.

    Args:
        stage: What the parts of the panel share.
        parent: Owner.
        rail: Owner of the card with the settings until it is laid out.
    """

    asks = SheetGuidance
    bench: Stage
    taken = Signal(float, int)
    """A cell was chosen: its guidance and its steps."""

    def __init__(self, stage: Stage, parent: QWidget, rail: QWidget) -> None:
        about = "The same noise under every guidance with every number of steps; a judge reads back what was asked for."
        card = JobCard("Contact sheet", "Make the sheet", about, rail)
        card.add_slider("count", ValueSlider("Judged", 1, 32, 4, card, whole=True))
        card.sliders["count"].setToolTip("Samples a cell that the judge reads; the first of them is shown")
        content = QWidget()
        self.sheet = ContactSheet("Guidance against steps", ("Steps", "Guidance"), content)
        self.words = WrappedLabel("", content)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(label("Contact sheet", "heading", content))
        column.addWidget(self.sheet, 1)
        column.addWidget(self.words)
        empty = "Where a picture is what was asked for, and where it burns out: one noise, guidance by steps."
        super().__init__(stage, card, content, empty, parent)
        self.frame.set_empty(empty, card.start.text(), "grid")
        self._data: Mapping[str, Any] = {}
        self.sheet.clicked.connect(self._on_cell)

    def request(self) -> SheetGuidance:
        """What the settings ask for."""
        take, count = self.bench.take, self.settings.value("count")
        return SheetGuidance(self.bench.card.key, take.sampling, WEIGHTS, STEPS, dict(take.condition), count, take.seed)

    def name(self) -> str:
        """Of the job."""
        return f"Guidance sheet of {self.bench.card.name}"

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Cells as they come."""
        self._data = data
        agrees, pictures = np.asarray(data["agrees"], float), np.asarray(data["pictures"], np.uint8)
        there = np.isfinite(agrees) | pictures.reshape(*agrees.shape, -1).any(2)  # what is not made yet is black
        best = best_cell(agrees)
        judged = [[f"the judge reads {word}" if word else "" for word in row] for row in data.get("judged") or ()]
        self.sheet.set_sheet(
            pictures.swapaxes(0, 1),
            [str(int(n)) for n in data["steps"]],
            [f"{float(w):g}" for w in data["guidance"]],
            done=there.T,
            captions=[_percent(v) for v in agrees.T.ravel()],
            hints=[words for row in zip(*judged, strict=False) for words in row],
            best=(best[1], best[0]) if best is not None else None,
        )
        self.words.setText(sheet_words(data, best) if int(data["done_cells"]) >= agrees.size else "")

    def _on_cell(self, row: int, column: int) -> None:
        if self._data:
            self.taken.emit(float(self._data["guidance"][column]), int(self._data["steps"][row]))


class GuidancePage(QWidget):
    """Live samples over the contact sheet."""

    told = Signal(str)
    common = frozenset({"condition"})

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage = stage
        self._begun = False
        self._asked: dict[str, PlayDenoising] = {}
        self._rows: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}
        self._judged: dict[str, tuple[str, ...]] = {}
        self._running: set[str] = set()
        self._said: list[str] = []
        inner = QWidget(self)
        inner.setObjectName("scrolled")
        content = QWidget(inner)
        self.strip = RunningStrip("samples under guidance", inner)
        self.grid = PictureGrid("Samples as given, and under guidance", content, smooth=math.prod(stage.shape) > 144)
        self.frame = StateFrame(content, inner)
        self.frame.set_empty(EMPTY, "Give an example", "tag")
        self.settings = GuidanceCard(stage, self)
        self.sheet = SheetPart(stage, inner, self)
        self.cards = (self.settings, self.sheet.settings)
        self._lay_out(inner, content)
        theme.changed.connect(self._fit)
        self._fit()
        self.frame.acted.connect(self.again)
        self.frame.filled.connect(self._give)
        self.strip.stopped.connect(self.stop)
        self.sheet.taken.connect(self._on_taken)
        self.grid.hovered.connect(self._on_hovered)

    def _lay_out(self, inner: QWidget, content: QWidget) -> None:
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[0])
        head = QHBoxLayout()
        head.addWidget(label("Samples", "heading", inner))
        head.addWidget(self.strip, 1)
        column.addWidget(self.grid, 1)
        whole = QVBoxLayout(inner)
        whole.setContentsMargins(0, 0, theme.SPACE[1], 0)
        whole.setSpacing(theme.SPACE[2])
        whole.addLayout(head)
        whole.addWidget(self.frame, 2)
        whole.addWidget(self.sheet, 4)
        area = bare_scroll(inner, self, "Guidance")
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(area)

    def _fit(self) -> None:
        self.grid.setMinimumHeight(theme.current().px(190))

    # -- the page's contract -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The samples."""
        self._begun = True
        self.ask()

    def show_state(self) -> None:
        """The settings; other samples where they ask for others."""
        self.settings.show_state()
        given = bool(self.stage.take.condition)
        self.sheet.setVisible(given)
        self.sheet.settings.start.setEnabled(given and not self.sheet.settings.stop.isEnabled())
        if self._begun and self.stage.state.section == SECTION:
            self.ask()

    def request(self, guidance: float | None = None) -> PlayDenoising:
        """The film's samples with few steps, of which only the last is sent."""
        stage, page = self.stage, self.stage.page(SECTION)
        take = stage.take
        weight = take.sampling.guidance if guidance is None else guidance
        steps = _kept(page, "steps", QUICK, 100)
        sampling = replace(take.sampling, guidance=weight, steps=steps)
        if sampling.spacing == "own":
            sampling = replace(sampling, spacing="", levels=())
        count = _kept(page, "count", 8, 12)
        return PlayDenoising(stage.card.key, sampling, count, take.seed, dict(take.condition), half=ENDS)

    def ask(self) -> None:
        """Samples at this guidance, and once those with 1 beside them."""
        if not self.stage.take.condition:
            self._asked.clear()
            self._rows.clear()
            self.frame.show_empty()
            return
        wanted = {LIVE: self.request(), PLAIN: self.request(1.0)}
        others = {topic: request for topic, request in wanted.items() if self._asked.get(topic) != request}
        if not others:
            return
        self._asked |= others
        self._running |= set(others)
        self.frame.show_waiting()
        self.strip.begin()
        for topic, request in others.items():
            self.stage.ask(topic, request)

    def again(self) -> None:
        """After a failure."""
        self._asked.clear()
        self.ask()

    def stop(self) -> None:
        """What is there stays."""
        for topic in (LIVE, PLAIN):
            self.stage.ask.cancel(topic)

    def forget(self) -> None:
        """Other weights."""
        self._asked.clear()
        self.sheet.forget()

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """The last step of a film; cells of the sheet."""
        if topic == JOB:
            if isinstance(ticket.request, SheetGuidance) and self.sheet.concerns(ticket.request):
                self.sheet.receive_job(update, ticket)
        elif topic in (LIVE, PLAIN) and ticket.request == self._asked.get(topic):
            self._receive(topic, update, ticket.request)

    def shown(self) -> Any:
        """The sheet, once there is one; else the samples."""
        return self.sheet.request() if self.sheet.frame.state is CanvasState.READY else self.request()

    def plot(self) -> QWidget | None:
        """The sheet."""
        return self.sheet.sheet if self.sheet.frame.state is CanvasState.READY else None

    @staticmethod
    def state_of(request: Any) -> dict[str, Any] | None:
        """The sheet's own settings are those of the film."""
        return {"count": request.count} if isinstance(request, SheetGuidance) else None

    # -- inside --------------------------------------------------------------------------------------------------------

    def _receive(self, topic: str, update: Update, asked: PlayDenoising) -> None:
        if isinstance(update, Progress):
            self.strip.progress(update)
        elif isinstance(update, Frame) and update.topic == "film":
            self._judged[topic] = tuple(str(word) for word in update.data.get("judged") or ())
            self._draw()
        elif isinstance(update, Frame) and int(update.data.get("index", 0)) >= asked.sampling.steps:
            self._rows[topic] = np.asarray(update.data["clean"], np.uint8)
            self._draw()
            if topic == LIVE or self.frame.state is not CanvasState.ERROR:
                self.frame.show_ready()
        elif isinstance(update, Failed):
            self._asked.pop(topic, None)
            self._end(topic, "")
            self.frame.show_error(update.sentence, update.action and "Try again", update.details)
        elif isinstance(update, Done | Cancelled):
            self._end(topic, "" if isinstance(update, Done) else "Stopped; the older samples stay.")

    def _end(self, topic: str, words: str) -> None:
        """Both films of samples are one thing to whoever waits."""
        self._running.discard(topic)
        if not self._running:
            self.strip.end(words)
        if self._rows and self.frame.state is CanvasState.WAITING:
            self.frame.show_ready()

    def _draw(self) -> None:
        rows = [topic for topic in (PLAIN, LIVE) if topic in self._rows]
        if not rows or len({len(self._rows[topic]) for topic in rows}) > 1:
            rows = rows[-1:]
        if not rows:
            return
        live = self._asked[LIVE].sampling.guidance if LIVE in self._asked else math.nan
        heads = {PLAIN: "As given, 1", LIVE: f"Guidance {live:g}"}
        count = len(self._rows[rows[0]])
        words = [self._judged.get(topic, ()) for topic in rows]
        known = all(len(each) == count for each in words)
        self._said = [word for each in words for word in each] if known else []
        captions = [self._caption(word) for word in self._said]
        pictures = np.concatenate([self._rows[topic] for topic in rows])
        self.grid.set_pictures(pictures, captions, [heads[topic] for topic in rows], columns=count)
        self.told.emit(f"{count} samples, {self.request().sampling.steps} steps")

    def _caption(self, judged: str) -> str:
        """What the judge sees, or how much of what was asked for, where that is a list."""
        asked = asked_words(self.stage)
        return f"{len(asked & set(judged.split(', ')))} of {len(asked)}" if len(asked) > 1 and judged else judged

    def _on_hovered(self, place: int) -> None:
        if not self.strip.running():
            said = self._said[place] if 0 <= place < len(self._said) else ""
            self.strip.end(f"The judge reads {said}" if said else "")

    def _give(self) -> None:
        """The first category of everything, so that there is something to guide."""
        modality = next((m for m in self.stage.conditions() if m.kind in ("label", "attributes")), None)
        if modality is None:
            return
        value: Any = tuple(0 for _ in modality.columns) if modality.kind == "attributes" else 0
        self.stage.change(f"Give {modality.name}", condition={modality.name: value})

    def _on_taken(self, guidance: float, steps: int) -> None:
        """A cell's settings go to the film."""
        self.stage.change(sampling={"guidance": guidance, "steps": steps, "spacing": "", "levels": ()})
        self.stage.set(f"Play guidance {guidance:g} with {steps} steps", section="film")


def asked_words(stage: Stage) -> set[str]:
    """What is asked for, as a judge puts it: "long hair", or a class alone."""
    found: set[str] = set()
    for modality in stage.conditions():
        value = stage.take.condition.get(modality.name)
        if modality.kind == "attributes" and isinstance(value, list | tuple):
            pairs = zip(modality.columns, value, strict=False)
            found |= {f"{c.categories[int(v)]} {c.name}" for c, v in pairs if 0 <= int(v) < len(c.categories)}
        elif modality.kind == "label" and isinstance(value, int) and 0 <= value < len(modality.categories):
            found.add(modality.categories[value])
    return found


def weight_words(weight: float) -> str:
    """What a guidance means.

    >>> weight_words(1.0)
    'The model as it was trained, given what is asked for.'
    """
    if weight == 0:
        return "Free: what is asked for is ignored."
    if weight == 1:
        return "The model as it was trained, given what is asked for."
    if weight < 1:
        return "Between free and given."
    return f"What is asked for counts {weight:g} times: clearer, and less varied."


def best_cell(agrees: np.ndarray[Any, Any]) -> tuple[int, int] | None:
    """The cell with the best agreement, the earliest column among equals; None without a judge.

    >>> best_cell(np.array([[0.5, 0.9], [0.9, np.nan]]))
    (1, 0)
    """
    if not np.isfinite(agrees).any():
        return None
    rows, columns = np.nonzero(agrees == np.nanmax(agrees))
    first = int(np.argmin(columns))
    return int(rows[first]), int(columns[first])


def sheet_words(data: Mapping[str, Any], best: tuple[int, int] | None) -> str:
    """Where the judge agrees most."""
    if best is None:
        return "A click on a cell takes its settings to the film."
    row, column = best
    agrees = float(np.asarray(data["agrees"], float)[best])
    return (
        f"The judge reads back most of what was asked for ({_percent(agrees)}) at guidance "
        f"{float(data['guidance'][row]):g} with {int(data['steps'][column])} steps. A click on a cell takes its "
        "settings to the film."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%" if math.isfinite(share) else ""


def _kept(page: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = page.get(name, default)
    return min(max(int(value), 2), most) if isinstance(value, int | float) and math.isfinite(value) else default
