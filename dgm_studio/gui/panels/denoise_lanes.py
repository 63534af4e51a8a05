"""The settings of a race: its lanes, what is equal in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from dgm_studio.core.cards import as_json
from dgm_studio.core.requests import RaceSamplers
from dgm_studio.core.requests.denoising import SAMPLERS, SPACINGS, Sampling
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_controls import NAME, NO_LEVELS, SUITED, Choice
from dgm_studio.gui.panels.denoise_state import MOST_STEPS, Stage
from dgm_studio.gui.panels.latent_room import FlowBox
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.chip import Chip
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

SECTION = "race"
EQUAL = {"evaluations": "Evaluations", "seconds": "Time", "own": "Own steps"}
FIRST = ("ddim", "dpmpp-2m", "heun", "euler-flow", "heun-flow", "euler", "ddpm")  # in a race, where they can be used
FIRST_LANES, MOST_LANES = 3, 8
PLANAR = 200  # points, which take no room
LANE = ("sampler", "steps", "spacing", "eta", "churn")  # of a lane's own; everything else is the film's
TWICE = ("heun", "heun-flow")  # evaluate twice a step
NOISY = ("ddpm",)  # draws on its way: its end is no solution of the ODE
SHORT = {
    "ddpm": "DDPM",
    "ddim": "DDIM",
    "dpmpp-2m": "DPM-Solver++ 2M",
    "heun": "Heun",
    "euler": "Euler",
    "euler-flow": "Euler, flow",
    "heun-flow": "Heun, flow",
}
COLOURS = (2, 0, 1, 4, 3, 0, 4)  # of the categories; samplers that never meet may share one


def sampler_name(sampler: str) -> str:
    """A sampler in a few letters."""
    return SHORT.get(sampler, SAMPLERS.get(sampler, sampler))


def sampler_colour(sampler: str) -> str:
    """The same in every lane and every plot."""
    names = list(SAMPLERS)
    return theme.CATEGORIES[COLOURS[names.index(sampler) % len(COLOURS)]] if sampler in names else ""


def thinned(levels: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Levels along the same curve, as many as asked for; the noisiest stays.

    >>> thinned((-4.0, -2.0, 0.0, 2.0), 2), thinned((-1.0, 1.0), 3), thinned((), 3)
    ((-4.0, 0.0), (-1.0, 0.333333, 1.666667), ())
    """
    if len(levels) < 2:
        return levels
    places = np.arange(count) * len(levels) / count
    row = np.interp(places, np.arange(len(levels)), levels)
    beyond = np.maximum(places - (len(levels) - 1), 0.0) * (levels[-1] - levels[-2])
    return tuple(float(v) for v in np.round(row + beyond, 6))


class RaceState:
    """What the page keeps, read from the stage and written there.

    Args:
        stage: Keeps it.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def get(self, name: str, default: Any) -> Any:
        """An entry; what is of another type than its default is from somewhere else and not taken."""
        found = self.stage.page(SECTION).get(name, default)
        number = isinstance(default, float) and isinstance(found, int | float) and not isinstance(found, bool)
        return found if number or isinstance(found, type(default)) else default

    @property
    def equal(self) -> str:
        """One of `EQUAL`."""
        return str(found) if (found := self.get("equal", "evaluations")) in EQUAL else "evaluations"

    def lanes(self) -> tuple[Sampling, ...]:
        """What runs: every lane's own settings over those of the film."""
        made = [self._lane(entry) for entry in self.get("lanes", [])]
        return tuple(lane for lane in made if lane is not None)[:MOST_LANES] or self._first()

    def _lane(self, entry: Any) -> Sampling | None:
        own = {name: entry[name] for name in LANE if name in entry} if isinstance(entry, Mapping) else {}
        if own.get("sampler") not in SAMPLERS or own.get("spacing", "") not in ("", *SPACINGS):
            return None
        try:
            steps = min(max(int(own.get("steps", 20)), 1), MOST_STEPS)
            rest = {name: float(own.get(name, 0.0)) for name in ("eta", "churn")}
        except (TypeError, ValueError):
            return None
        lane = replace(self.stage.take.sampling, **{"spacing": "", **own, "steps": steps, **rest})
        return lane if lane.spacing == "own" else replace(lane, levels=())

    def _first(self) -> tuple[Sampling, ...]:
        why = self.stage.about.get("samplers") or {}
        usable = [name for name in FIRST if not why.get(name, "" if why else None)]
        return tuple(self.plain(name) for name in usable[:FIRST_LANES])

    def plain(self, sampler: str) -> Sampling:
        """A sampler with nothing of its own, and the film's guidance and clipping."""
        film = self.stage.take.sampling
        return replace(film, sampler=sampler, spacing="", eta=0.0, churn=0.0, levels=())

    def _within(self, lane: Sampling, evaluations: int) -> Sampling:
        """A lane with levels of its own at as many of them as it may evaluate; the others are thinned by the worker."""
        if lane.spacing != "own" or not evaluations:
            return lane
        guided = bool(self.stage.take.condition) and lane.guidance not in (0.0, 1.0)
        asks = evaluations // (2 if guided else 1)
        return replace(lane, levels=thinned(lane.levels, max(1, (asks + 1) // 2 if lane.sampler in TWICE else asks)))

    def write(self, name: str, lanes: Sequence[Sampling]) -> None:
        """Keep lanes; with a name it is a whole gesture."""
        told = [{key: value for key, value in asdict(lane).items() if key in LANE} for lane in lanes[:MOST_LANES]]
        self.stage.set_page(SECTION, name, lanes=as_json(told))

    def request(self) -> RaceSamplers:
        """The question."""
        stage, equal = self.stage, self.equal
        evaluations = int(self.get("evaluations", 20)) if equal == "evaluations" else 0
        return RaceSamplers(
            stage.card.key,
            tuple(self._within(lane, evaluations) for lane in self.lanes()),
            evaluations,
            float(self.get("seconds", 1.0)) if equal == "seconds" else 0.0,
            int(self.get("count", 8)) if stage.pictures else PLANAR,
            stage.take.seed,
            dict(stage.take.condition),
            bool(stage.about.get("exact")) and bool(self.get("exact", False)),
        )


class LanesCard(Card):
    """Which samplers run, and the settings of the lane that is selected."""

    def __init__(self, state: RaceState, parent: QWidget) -> None:
        super().__init__("Lanes", parent)
        self.state, self.stage = state, state.stage
        self.lane = 0
        self.box = FlowBox(self, gap=theme.SPACE[0])
        self.chips: dict[str, Chip] = {}
        for sampler in SAMPLERS:
            chip = Chip(sampler_name(sampler), self, dot=sampler_colour(sampler))
            chip.clicked.connect(lambda sampler=sampler: self.toggle(sampler))
            self.chips[sampler] = chip
            self.box.add(chip)
        self.own = label("", "section", self)
        self.steps = ValueSlider("Steps", 1, 500, 20, self, log=True, whole=True)
        self.spacing = Choice("Spacing", {"": SUITED, **SPACINGS}, self)
        self.eta = ValueSlider("Noise, eta", 0.0, 1.0, 0.0, self)
        self.churn = ValueSlider("Churn", 0.0, 80.0, 0.0, self)
        self.film = Button("Add the film's settings", self, icon="plus")
        self.film.setToolTip("A lane with the sampler, steps and spacing of the film")
        self.remove = Button("Remove", self, icon="minus")
        self.remove.setToolTip("Take the selected lane out of the race")
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        for slider in (self.steps, self.eta, self.churn):
            slider.set_name_width(NAME)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.film)
        row.addWidget(self.remove)
        row.addStretch(1)
        for widget in (self.box, self.own, self.steps, self.spacing, self.eta, self.churn):
            self.add(widget)
        self.body.addLayout(row)

    def _connect(self) -> None:
        for name in ("steps", "eta", "churn"):
            slider: ValueSlider = getattr(self, name)
            slider.moved.connect(lambda value, name=name: self._change("", name, value))
            slider.released.connect(lambda name=name: self.stage.committed.emit(f"Change the {name} of a lane"))
        self.spacing.chosen.connect(lambda key: self._change("Spacing of a lane", "spacing", key))
        self.film.clicked.connect(self._add_film)
        self.remove.clicked.connect(lambda: self.drop(self.lane))

    def show_state(self) -> None:
        """Which samplers run; the selected lane's settings."""
        lanes, why = self.state.lanes(), self.stage.about.get("samplers") or {}
        running = {lane.sampler for lane in lanes}
        for sampler, chip in self.chips.items():
            refused = why.get(sampler, "")
            chip.set_on(sampler in running)
            chip.setEnabled(not refused)
            chip.setVisible(not refused)
            chip.setToolTip(refused or ("Take it out of the race" if sampler in running else "Let it run too"))
        self.lane = min(self.lane, len(lanes) - 1)
        known = self.lane >= 0
        for widget in (self.own, self.steps, self.spacing, self.eta, self.churn, self.remove):
            widget.setVisible(known)
        if known:
            self._show_lane(lanes[self.lane])
        self.remove.setEnabled(len(lanes) > 1)
        self.film.setEnabled(len(lanes) < MOST_LANES)

    def _show_lane(self, lane: Sampling) -> None:
        own = self.state.equal == "own"
        self.own.setText(f"Lane {self.lane + 1}: {sampler_name(lane.sampler)}")
        self.steps.set_value(lane.steps)
        self.steps.setVisible(own)  # else the budget sets them
        self.spacing.set_key(lane.spacing)
        self.spacing.set_refusals({} if self.stage.take.sampling.levels else {"own": NO_LEVELS})
        self.eta.set_value(lane.eta)
        self.churn.set_value(lane.churn)
        self.eta.setVisible(lane.sampler == "ddim")
        self.churn.setVisible(lane.sampler == "heun")

    def select(self, lane: int) -> None:
        """Show another lane's settings."""
        self.lane = lane
        self.show_state()

    def toggle(self, sampler: str) -> None:
        """Let a sampler run, or take all of its lanes out; one lane stays."""
        lanes = self.state.lanes()
        rest = [lane for lane in lanes if lane.sampler != sampler]
        if len(rest) == len(lanes):
            self.state.write(f"Add {sampler_name(sampler)} to the race", [*lanes, self.state.plain(sampler)])
        elif rest:
            self.state.write(f"Take {sampler_name(sampler)} out of the race", rest)

    def drop(self, place: int) -> None:
        """Take one lane out; one lane stays."""
        lanes = self.state.lanes()
        if len(lanes) > 1 and 0 <= place < len(lanes):
            name = sampler_name(lanes[place].sampler)
            self.state.write(f"Take {name} out of the race", [n for k, n in enumerate(lanes) if k != place])

    def _add_film(self) -> None:
        self.state.write("Race the film's settings", [*self.state.lanes(), self.stage.take.sampling])

    def _change(self, name: str, entry: str, value: Any) -> None:
        lanes = list(self.state.lanes())
        if 0 <= self.lane < len(lanes):
            value = round(value) if entry == "steps" else value
            lanes[self.lane] = replace(lanes[self.lane], **{entry: value})
            self.state.write(name, lanes)


class BudgetCard(Card):
    """What is equal in all lanes."""

    def __init__(self, state: RaceState, parent: QWidget) -> None:
        super().__init__("Equal in all lanes", parent)
        self.state, self.stage = state, state.stage
        self.equal = SegmentedControl(list(EQUAL.values()), "What is equal in all lanes", self)
        self.evaluations = ValueSlider("Evaluations", 2, 200, 20, self, log=True, whole=True)
        self.evaluations.setToolTip("Network evaluations each sampler may make for one sample")
        self.seconds = ValueSlider("Seconds", 0.05, 10.0, 1.0, self, log=True, unit="s")
        self.seconds.setToolTip("Steps are chosen by a measured pace so that every lane takes this long")
        self.count = ValueSlider("Samples", 1, 16, 8, self, whole=True)
        self.exact = QCheckBox("Also with the exact score", self)
        self.exact.setToolTip("Solver error and model error apart: the same solvers driven by the truth")
        self.noise = Button("Other noise", self, icon="random")
        self.noise.setToolTip("The next seed, of the film too")
        row = QHBoxLayout()
        row.addWidget(self.noise)
        row.addStretch(1)
        for widget in (self.equal, self.evaluations, self.seconds, self.count, self.exact):
            self.add(widget)
        self.body.addLayout(row)
        self.equal.chosen.connect(self._on_equal)
        for name in ("evaluations", "seconds", "count"):
            slider: ValueSlider = getattr(self, name)
            slider.set_name_width(NAME)
            slider.moved.connect(lambda value, name=name: self._on_moved(name, value))
            slider.released.connect(lambda name=name: self.stage.committed.emit(f"Race with other {name}"))
        self.exact.clicked.connect(self._on_exact)
        self.noise.clicked.connect(self._on_noise)

    def show_state(self) -> None:
        """The budget."""
        state = self.state
        self.equal.set_index(list(EQUAL).index(state.equal))
        self.evaluations.set_value(int(state.get("evaluations", 20)))
        self.seconds.set_value(float(state.get("seconds", 1.0)))
        self.count.set_value(int(state.get("count", 8)))
        self.evaluations.setVisible(state.equal == "evaluations")
        self.seconds.setVisible(state.equal == "seconds")
        self.count.setVisible(self.stage.pictures)
        self.exact.setChecked(bool(state.get("exact", False)))
        self.exact.setVisible(bool(self.stage.about.get("exact")))

    def _on_equal(self, place: int) -> None:
        name = list(EQUAL)[place]
        self.stage.set_page(SECTION, f"Race at equal {EQUAL[name].lower()}", equal=name)

    def _on_moved(self, name: str, value: float) -> None:
        self.stage.set_page(SECTION, "", **{name: value if name == "seconds" else round(value)})

    def _on_exact(self, on: bool) -> None:
        self.stage.set_page(SECTION, "Race with the exact score" if on else "Race without the exact score", exact=on)

    def _on_noise(self) -> None:
        seed = self.stage.take.seed + 1
        self.stage.change(f"Draw with seed {seed}", seed=seed)
