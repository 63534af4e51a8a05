"""The schedule editor: a curve with knots, what it does to a picture, and training or sampling by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ShowSchedule
from dgm_studio.core.requests.denoising import Source
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_curve import (
    LARGEST,
    LEAST_KNOTS,
    MOST_KNOTS,
    NEAR_TIME,
    Knots,
    Shape,
    checked_knots,
    held,
    levels_of,
    log_snr_of,
    plain_knots,
    power_of,
    settings_of,
    span_of,
    whole,
)
from dgm_studio.gui.panels.denoise_forward import SECTION, ForwardStrip, ScheduleCard, SchedulePicture
from dgm_studio.gui.panels.denoise_levels import LevelsPart, LikelihoodPart
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.spec import JOB
from dgm_studio.gui.widgets.knotplot import KnotPlot
from dgm_studio.gui.widgets.railed import bare_scroll
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame

TOPIC, REFERENCE = "schedule/curve", "schedule/reference"
PRESETS = {"model": "This model's", "linear": "Linear", "cosine": "Cosine", "scaled-linear": "Scaled linear"}
OWN = "own"
VIEWS = {"log-snr": "log-SNR", "alpha-bar": "Alpha-bar", "beta": "Beta"}
TITLES = {
    "log-snr": "Half log-SNR, log(alpha / sigma)",
    "alpha-bar": "Share of the picture in the power (alpha-bar)",
    "beta": "Beta, noise added in one step",
}
PLACES = (0.0, 0.02, 0.12, 0.3, 0.5, 0.7, 0.88, 0.98, 1.0)  # of the knots that a preset is bent by
SHOWN = tuple(round(k / 8, 4) for k in range(9))


class SchedulePage(QWidget):
    """The curve over the forward process; the levels' losses and log-likelihoods under them."""

    told = Signal(str)
    common: frozenset[str] = frozenset()

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage = stage
        self.studio: Studio | None = None
        self._begun, self._asked = False, None  # type: bool, ShowSchedule | None
        self._data: Mapping[str, Any] = {}
        self._shape: Shape | None = None
        self._own: Shape | None = None
        self._span = (-1.0, 1.0)
        inner = QWidget(self)
        inner.setObjectName("scrolled")
        content = QWidget(inner)
        self.presets = SegmentedControl([*PRESETS.values(), "Own"], "Schedule", inner)
        self.view = SegmentedControl(list(VIEWS.values()), "What is drawn of the schedule", inner)
        self.curve = KnotPlot("Noise schedule", content, ends=("data", "noise"))
        self.strip = ForwardStrip(self.curve, content)
        self.frame = StateFrame(content, inner)
        self.frame.set_empty("How the noise grows, and what it does to a picture.", "Show the schedule", "curves")
        self.settings, self.picture = ScheduleCard(stage, self), SchedulePicture(stage, self)
        self.levels, self.likelihood = LevelsPart(stage, inner, self), LikelihoodPart(stage, inner, self)
        self.cards = (self.settings, self.picture, self.levels.settings, self.likelihood.settings)
        self._lay_out(inner, content)
        self._connect()

    def set_studio(self, studio: Studio | None) -> None:
        """Who can open the form of a new run."""
        self.studio = studio
        self.settings.train.setVisible(studio is not None)

    def _lay_out(self, inner: QWidget, content: QWidget) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE[2])
        head.addWidget(self.presets)
        head.addStretch(1)
        head.addWidget(self.view)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.curve, 1)
        column.addWidget(self.strip)
        whole = QVBoxLayout(inner)
        whole.setContentsMargins(0, 0, theme.SPACE[1], 0)
        whole.setSpacing(theme.SPACE[1])
        whole.addLayout(head)
        whole.addWidget(self.frame, 3)
        whole.addSpacing(theme.SPACE[1])
        whole.addWidget(self.levels, 2)
        whole.addWidget(self.likelihood)
        area = bare_scroll(inner, self, "Noise schedule")
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(area)

    def _connect(self) -> None:
        self.presets.chosen.connect(self._on_preset)
        self.view.chosen.connect(self._on_view)
        self.curve.moved.connect(self._on_moved)
        self.curve.added.connect(self._on_added)
        self.curve.removed.connect(self._on_removed)
        self.curve.released.connect(self._on_released)
        self.frame.filled.connect(self.again)
        self.frame.acted.connect(self.again)
        self.settings.levels.clicked.connect(self.use_levels)
        self.settings.train.clicked.connect(self.train)
        self.settings.reset.clicked.connect(self.reset)
        theme.changed.connect(self._draw)

    # -- the page's contract -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The model's own schedule, and the one that is edited."""
        self._begun = True
        self.ask()

    def show_state(self) -> None:
        """The knots move at once; the curve follows with the answer."""
        self.picture.show_state()
        self.levels.show_state()
        names = [*PRESETS, OWN]
        self.presets.set_index(names.index(self.schedule()))
        self.settings.reset.setEnabled(self.schedule() != "model")
        self._show_knots()
        if self._begun and self.stage.state.section == SECTION:
            self.ask()

    def ask(self) -> None:
        """Show the schedule, unless that was asked last."""
        request = self.request()
        if request == self._asked:
            return
        if self._own is None and request.schedule != "model":
            self.stage.ask(REFERENCE, ShowSchedule(self.stage.card.key, shown=(0.0,)))
        self._asked = request
        self.frame.show_waiting()
        self.stage.ask(TOPIC, request)

    def again(self) -> None:
        """After a failure."""
        self._asked = None
        self.ask()

    def forget(self) -> None:
        """Other weights of the same schedule; the losses are other ones."""
        self._asked = None
        self.levels.forget()
        self.likelihood.forget()

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Curves; jobs."""
        if topic == JOB:
            for part in (self.levels, self.likelihood):
                if isinstance(ticket.request, part.asks) and part.concerns(ticket.request):
                    part.receive_job(update, ticket)
        elif topic == REFERENCE and isinstance(update, Frame):
            self._own = Shape.of(update.data)
            self._draw()
        elif topic == TOPIC and ticket.request == self._asked:
            self._receive(update)

    def shown(self) -> ShowSchedule:
        """The schedule."""
        return self.request()

    def plot(self) -> QWidget:
        """The curve."""
        return self.curve

    @staticmethod
    def state_of(request: Any) -> dict[str, Any] | None:
        """A schedule of somebody else's."""
        if not isinstance(request, ShowSchedule):
            return None
        knots = [list(knot) for knot in request.knots]
        return {"schedule": request.schedule, "knots": knots, "index": request.source.index, "seed": request.seed}

    # -- the state -----------------------------------------------------------------------------------------------------

    def schedule(self) -> str:
        """One of `PRESETS`, or "own"."""
        kept = str(self.stage.page(SECTION).get("schedule", "model"))
        return OWN if kept == OWN and len(self.knots()) >= LEAST_KNOTS else kept if kept in PRESETS else "model"

    def knots(self) -> Knots:
        """Those that were moved by hand."""
        return checked_knots(self.stage.page(SECTION).get("knots", ()))

    def request(self) -> ShowSchedule:
        """The question."""
        page, schedule = self.stage.page(SECTION), self.schedule()
        knots = self.knots() if schedule == OWN else ()
        source = Source(self.picture.index())
        return ShowSchedule(self.stage.card.key, schedule, knots, source, SHOWN, whole(page.get("seed", 0)))

    def _view(self) -> str:
        kept = str(self.stage.page(SECTION).get("view", "log-snr"))
        known = self._views()
        return kept if kept in known else known[0]

    def _views(self) -> list[str]:
        bends = self._shape is None or bool(len(self._shape.beta))
        return [name for name in VIEWS if name != "beta" or bends]

    def handles(self) -> Knots:
        """The knots under the hand: one's own, or on a preset's curve, where a first drag makes them one's own."""
        if self.schedule() == OWN:
            return self.knots()
        shape = self._shape
        if shape is None:
            return ()
        return tuple((place, shape.at(place)) for place in PLACES)

    # -- by hand -------------------------------------------------------------------------------------------------------

    def _on_preset(self, place: int) -> None:
        name = [*PRESETS, OWN][place]
        if name != OWN:
            self.stage.set_page(SECTION, f"{PRESETS[name]} schedule", schedule=name)
            return
        knots = self.knots() or self.handles()
        self.stage.set_page(SECTION, "Own schedule", schedule=OWN, knots=plain_knots(knots))

    def _on_view(self, place: int) -> None:
        name = self._views()[place]
        self.stage.set_page(SECTION, f"Show {VIEWS[name]}", view=name)
        self._draw()

    def _on_moved(self, place: int, x: float, y: float) -> None:
        knots = list(self.handles())
        if not 0 <= place < len(knots):
            return
        knots[place] = (x, log_snr_of(y) if self._view() == "alpha-bar" else y)
        self.stage.set_page(SECTION, "", schedule=OWN, knots=plain_knots(held(knots, place)))

    def _on_released(self) -> None:
        self.stage.committed.emit("Bend the schedule")
        self._draw()

    def _on_added(self, x: float, y: float) -> None:
        knots = [*self.handles()]
        far = min((abs(x - time) for time, _ in knots), default=0.0)
        if len(knots) >= MOST_KNOTS or far < 2 * NEAR_TIME:
            return
        knots.append((x, log_snr_of(y) if self._view() == "alpha-bar" else y))
        knots.sort(key=lambda knot: knot[0])
        place = [time for time, _ in knots].index(x)
        self.stage.set_page(SECTION, "Add a knot", schedule=OWN, knots=plain_knots(held(knots, place)))

    def _on_removed(self, place: int) -> None:
        knots = list(self.handles())
        if 0 < place < len(knots) - 1:  # the ends say where the schedule begins and ends
            del knots[place]
            self.stage.set_page(SECTION, "Remove a knot", schedule=OWN, knots=plain_knots(knots))

    def reset(self) -> None:
        """Back to the model's own."""
        self.stage.set_page(SECTION, "Reset the schedule", schedule="model", knots=[])

    def use_levels(self) -> None:
        """Sample by this curve: the film's steps, evenly over its time."""
        if self._shape is None:
            return
        stage = self.stage
        levels = levels_of(self._shape, stage.take.sampling.steps, self._trained())
        stage.change("Sample by the schedule", sampling={"spacing": OWN, "levels": levels, "steps": len(levels)})
        self.told.emit(f"{len(levels)} own levels")

    def train(self) -> None:
        """The form of a new run with this schedule."""
        card, found = self.stage.card, self._settings()
        if self.studio is None or not found:
            return
        name = f"{card.name} {'own' if self.schedule() == OWN else self.schedule()} schedule"
        config = {**card.config, **found}
        self.studio.new_run(system=card.system, data=card.data, config=config, training=dict(card.training), name=name)

    def _settings(self) -> dict[str, Any]:
        return settings_of(self._data.get("config") or {}, self.stage.card.config)

    def _trained(self) -> tuple[float, float]:
        """Lowest and highest half-log-SNR that the model has seen."""
        known = np.asarray(self.stage.about.get("log_snr", ()), float)
        known = known[np.isfinite(known)]
        return (float(known.min()), float(known.max())) if known.size else (-LARGEST, LARGEST)

    # -- showing -------------------------------------------------------------------------------------------------------

    def _receive(self, update: Update) -> None:
        if isinstance(update, Failed):
            self._asked = None
            self.frame.show_error(update.sentence, update.action and "Try again", update.details)
        elif isinstance(update, Frame):
            self._data = update.data
            self._shape = Shape.of(update.data)
            if self.schedule() == "model":
                self._own = self._shape
            self._draw()
            self.frame.show_ready()

    def _draw(self) -> None:
        shape, data = self._shape, self._data
        if shape is None:
            return
        view = self._view()
        self.view.set_words([VIEWS[name] for name in self._views()])
        self.view.set_index(self._views().index(view))
        own = self._own if self.schedule() != "model" and self._own is not None else None
        if not self.curve.dragging():
            self._span = span_of(view, shape, own)
        self.curve.set_axis(*self._span, "Share of the time", TITLES[view])
        self.curve.set_ground(0.0 if view == "log-snr" else None, "as much noise as data")
        self.curve.set_curve(shape.share, shape.seen(view))
        other = own if own is not None and len(own.seen(view)) else None
        names = ("This schedule", "This model's") if other is not None else ("", "")
        self.curve.set_other(
            other.share if other is not None else None, other.seen(view) if other is not None else None, names
        )
        self.curve.set_reader(self._read)
        self._show_knots()
        shown = data["pictures"] if "pictures" in data else data["points"]
        self.strip.set_frames(shown, SHOWN, np.asarray(data["shown_log_snr"], float).tolist())
        self.settings.show_end(data.get("terminal") or {}, list(data.get("warnings") or ()))
        trainable = bool(self._settings())
        self.settings.train.setEnabled(trainable)
        why = f"{self.stage.card.title} has no schedule that is a setting of training."
        self.settings.train.setToolTip("A new run of the same system and data" if trainable else why)
        steps = data.get("of")
        self.told.emit(f"T = {int(steps):,}" if steps else "")

    def _show_knots(self) -> None:
        view = self._view()
        knots = self.handles() if view != "beta" else ()
        self.curve.set_knots([(x, float(power_of(np.array(y)))) if view == "alpha-bar" else (x, y) for x, y in knots])
        hint = "Beta follows from the curve: bend it in log-SNR." if view == "beta" else ""
        self.curve.setToolTip(hint)

    def _read(self, share: float) -> str:
        shape = self._shape
        if shape is None:
            return ""
        log_snr, alpha, sigma = (
            float(np.interp(share, shape.share, row)) for row in (shape.log_snr, shape.alpha, shape.sigma)
        )
        said = f"time {share:.2f}: half-log-SNR {log_snr:+.2f}, alpha {alpha:.3g}, sigma {sigma:.3g}"
        return said.replace("-", "\N{MINUS SIGN}").replace("half\N{MINUS SIGN}log\N{MINUS SIGN}SNR", "half-log-SNR")
