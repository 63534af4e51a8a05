"""The race, the schedule editor and the guidance sheet with answers made by hand: what is asked, shown and kept."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.core.cards import as_json
from dgm_studio.core.requests import (
    FollowLikelihood,
    MeasureLevels,
    MeasureOrders,
    RaceSamplers,
    SheetGuidance,
    ShowSchedule,
)
from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise import DenoisingPanel
from dgm_studio.gui.panels.denoise_guidance import GuidancePage
from dgm_studio.gui.panels.denoise_race import RacePage, race_words
from dgm_studio.gui.panels.denoise_schedule import SchedulePage
from dgm_studio.gui.widgets.stateframe import CanvasState
from tests.gui import denoise_toy
from tests.gui.denoise_toy import DIGIT, IMAGE, POINTS, SIDE
from tests.gui.hand import drag

T = 200
FAILED = Failed("The weights could not be read.", "Try again", "Traceback")
OWN = {"config": {"noise_schedule": "cosine", "knots": "0:5, 1:-6", "width": 32}, "training": {"steps": 100}}
ORDERS = {"ddim": 1.0, "dpmpp-2m": 2.0, "heun": 2.0}


def ring(phase: float, tone: float = 1.0) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    shape = np.hypot(x * (1 + 0.4 * math.sin(phase)), y * (1 + 0.3 * math.cos(3 * phase)))
    return np.asarray(255 * tone * np.exp(-18 * (shape - 0.55) ** 2), np.uint8)


def log_snr_of(share: np.ndarray, kind: str) -> np.ndarray:
    """Half-log-SNR of the schedules by name: cosine of Nichol and Dhariwal (2021), linear betas of Ho et al. (2020)."""
    if kind in ("model", "cosine"):
        power = np.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2
    else:
        power = np.exp(-(0.1 * share + 9.95 * share**2)) * (1 - 1e-4)
    power = np.clip(power, 1e-8, 1 - 1e-5)
    return 0.5 * np.log(power / (1 - power))


class Toy(denoise_toy.Toy):
    """The panel's toy, which also races, orders, measures and guides."""

    @property
    def planar(self) -> bool:
        return self.shape == (2,)

    def _DescribeDenoiser(self, asked: Any) -> list[Update]:
        (frame,) = super()._DescribeDenoiser(asked)
        assert isinstance(frame, Frame)
        return [Frame("denoiser", {**frame.data, "exact": self.planar, "truth": "rings" if self.planar else ""})]

    def results(self, count: int, blur: float) -> np.ndarray:
        if self.planar:
            angle = np.arange(count) * 2.4
            points = np.stack([np.cos(angle), np.sin(angle)], 1) * (1 + (np.arange(count) % 2))[:, None]
            return np.asarray(points + blur * np.random.default_rng(1).standard_normal((count, 2)), np.float32)
        return np.stack([ring(k + blur, 1 - 0.4 * min(blur, 1)) for k in range(count)])

    def _RaceSamplers(self, asked: RaceSamplers) -> list[Update]:
        reference = self.results(asked.count, 0.0)
        lanes: list[dict[str, Any]] = []
        frames: list[Update] = [Progress(0, len(asked.samplings), "Following the reference", 3.0)]
        for place, sampling in enumerate(asked.samplings):
            steps = asked.evaluations // (2 if sampling.sampler == "heun" else 1) or sampling.steps
            order = ORDERS.get(sampling.sampler, 1.0)
            error = math.nan if sampling.sampler == "ddpm" or sampling.eta else (4.0 / steps) ** order
            found = self.results(asked.count, 0.7 if math.isnan(error) else error)
            if self.planar:
                far: np.ndarray = np.linalg.norm(found - reference, axis=1).astype(np.float32)
            else:
                far = np.abs(found.astype(int) - reference.astype(int)).astype(np.uint8)
            lane = {
                "sampling": as_json(Sampling(**{**sampling.__dict__, "steps": steps})),
                "name": {"ddim": "DDIM", "dpmpp-2m": "DPM-Solver++ 2M", "heun": "Heun (EDM)"}.get(
                    sampling.sampler, "DDPM ancestral"
                ),
                "evaluations": steps * (2 if sampling.sampler == "heun" else 1),
                "seconds": 0.31 + 0.1 * place,
                ("points" if self.planar else "pictures"): found,
                "difference": far,
                "error": error,
                "judged": [] if self.planar else [str(k % 10) for k in range(asked.count)],
                "done": True,
            }
            lanes.append(lane)
            if asked.with_exact:
                lanes.append({**lane, "name": f"{lane['name']} exact", "error": error / 3})
        key = "points" if self.planar else "pictures"
        data = {"lanes": lanes, "reference": {"name": "Heun, 512 steps", key: reference}, "equal": "evaluations"}
        return [*frames, Frame("race", {**data, "lanes": lanes[:1]}), Frame("race", data)]

    def _MeasureOrders(self, asked: MeasureOrders) -> list[Update]:
        steps = np.array(asked.steps)
        curves = []
        for sampler in asked.samplers:
            twice = 2 if sampler == "heun" else 1
            error = 1.5 * (2.0 / steps) ** ORDERS.get(sampler, 1.0)
            curves.append(
                {
                    "sampler": sampler,
                    "name": sampler,
                    "exact": asked.truth != "model",
                    "evaluations": steps * twice,
                    "error": error,
                    "slope": ORDERS.get(sampler, 1.0) + 0.02,
                    "steps": steps,
                }
            )
        truth = "" if asked.truth == "model" else "rings"
        gap = 0.02 if asked.truth == "model" else math.nan
        return [Frame("orders", {"curves": curves, "reference": "Heun, 512 steps", "truth": truth, "gap": gap})]

    def _ShowSchedule(self, asked: ShowSchedule) -> list[Update]:
        share = np.linspace(0, 1, T)
        log_snr = log_snr_of(share, asked.schedule)
        if asked.schedule == "own":
            log_snr = np.interp(share, *zip(*asked.knots, strict=True))
        power = 1 / (1 + np.exp(-2 * log_snr))
        at = np.interp(asked.shown, share, log_snr)
        alpha = np.sqrt(1 / (1 + np.exp(-2 * at)))
        noise = np.random.default_rng(asked.seed)
        if self.planar:
            cloud = self.results(200, 0.05)
            pictures = np.stack([a * cloud + math.sqrt(1 - a * a) * noise.standard_normal((200, 2)) for a in alpha])
            pictures = pictures.astype(np.float32)
        else:
            clean, eps = ring(asked.source.index) / 127.5 - 1, noise.standard_normal((SIDE, SIDE))
            noised = [a * clean + math.sqrt(1 - a * a) * eps for a in alpha]
            pictures = np.clip((np.array(noised) + 1) * 127.5, 0, 255).astype(np.uint8)
        last = float(power[-1])
        data = {
            "times": share * (T - 1),
            "log_snr": log_snr,
            "alpha": np.sqrt(power),
            "sigma": np.sqrt(1 - power),
            "beta": np.zeros(0) if self.planar else np.clip(1 - power / np.append(1.0, power[:-1]), 0, 0.999),
            "terminal": {"alpha": math.sqrt(last), "log_snr": float(log_snr[-1]), "bad": last > 1e-5},
            "warnings": [f"The noisiest level still holds {math.sqrt(last):.1%} of the data."] if last > 1e-5 else [],
            "pictures": pictures if len(asked.shown) else np.zeros((0, SIDE, SIDE), np.uint8),
            "shown_log_snr": at,
            "config": {"schedule": asked.schedule, "knots": ", ".join(f"{x:g}:{y:g}" for x, y in asked.knots)},
            "of": T,
        }
        return [Frame("schedule", data)]

    def _MeasureLevels(self, asked: MeasureLevels) -> list[Update]:
        log_snr = np.linspace(-5, 5, asked.bins)
        loss = 0.05 + 0.9 / (1 + np.exp(-1.4 * log_snr))
        bell = np.exp(-0.3 * (log_snr - 1) ** 2)
        data = {
            "times": np.linspace(0, 1, asked.bins),
            "log_snr": log_snr,
            "loss": loss.astype(np.float32),
            "error": np.full(asked.bins, 0.02, np.float32),
            "clean": (0.3 / (1 + np.exp(1.2 * log_snr))).astype(np.float32),
            "bound": 0.4 * bell if not self.planar else np.full(asked.bins, np.nan),
            "change": 0.2 * bell,
            "exact": np.full(asked.bins, np.nan) if not self.planar else loss - 0.03 * bell,
            "total": 3.91,
            "count": asked.count,
            "done": True,
        }
        return [Frame("levels", data)]

    def _FollowLikelihood(self, asked: FollowLikelihood) -> list[Update]:
        found = -80 + 6 * np.random.default_rng(2).standard_normal(asked.count)
        data = {
            "log_prob": found,
            "bits": -found / 64 / math.log(2),
            "exact": found + 0.4 if self.planar else np.full(asked.count, np.nan),
            "labels": [str(k % 10) for k in range(asked.count)],
            "estimator": f"Heun, {asked.steps} steps, exact divergence",
            "error": 1.4,
        }
        return [Frame("likelihood", data)]

    def _SheetGuidance(self, asked: SheetGuidance) -> list[Update]:
        rows, columns = len(asked.guidance), len(asked.steps)
        pictures = np.zeros((rows, columns, SIDE, SIDE), np.uint8)
        agrees = np.full((rows, columns), np.nan, np.float32)
        frames: list[Update] = []
        for index in range(rows * columns):
            column, row = divmod(index, rows)  # few steps first
            pictures[row, column] = ring(row + 0.3 * column, 1 - 0.5 / (1 + column))
            agrees[row, column] = min(1.0, 0.4 + 0.15 * row + 0.1 * column) - 0.2 * (row == rows - 1)
            if index in (rows, rows * columns - 1):
                judged = [["cap, beard"] * columns] * rows
                frames.append(
                    Frame(
                        "sheet",
                        {
                            "guidance": asked.guidance,
                            "steps": asked.steps,
                            "pictures": pictures.copy(),
                            "done_cells": index + 1,
                            "judged": judged,
                            "agrees": agrees.copy(),
                        },
                    )
                )
        return frames


Made = tuple[DenoisingPanel, Toy]
Make = Callable[..., Made]


@pytest.fixture
def make(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> Make:
    """`make(section, ...)`: a shown panel that has begun, in a section, and its toy."""
    theme.use("dark", 1.0)

    def build(
        section: str, *, planar: bool = False, studio: Studio | None = None, given: bool = False, **page: Any
    ) -> Made:
        modalities = (POINTS,) if planar else (IMAGE, DIGIT)
        toy = Toy(modalities)
        panel = DenoisingPanel(denoise_toy.card(modalities, **({} if planar else OWN)), toy, studio)
        toy.panel = panel
        adopt(panel)
        panel.resize(1240, 860)
        panel.show()
        panel.begin()
        if given:
            panel.stage.change(condition={"digit": 3}, sampling={"guidance": 2.0})
        panel.stage.set(section=section, pages={section: page})
        return panel, toy

    return build


def commits(panel: DenoisingPanel) -> list[str]:
    names: list[str] = []
    panel.committed.connect(names.append)
    return names


def race_of(panel: DenoisingPanel) -> RacePage:
    page = panel.page("race")
    assert isinstance(page, RacePage)
    return page


def schedule_of(panel: DenoisingPanel) -> SchedulePage:
    page = panel.page("schedule")
    assert isinstance(page, SchedulePage)
    return page


def guidance_of(panel: DenoisingPanel) -> GuidancePage:
    page = panel.page("guidance")
    assert isinstance(page, GuidancePage)
    return page


# -- the race ----------------------------------------------------------------------------------------------------------


def test_a_race_opens_with_solvers_that_the_model_can_use_from_the_films_noise(make: Make) -> None:
    panel, toy = make("race", given=True)
    (asked,) = toy.requests("race/lanes")
    assert [lane.sampler for lane in asked.samplings] == ["ddim", "dpmpp-2m", "heun"]
    assert (asked.evaluations, asked.count, asked.seed) == (20, 8, panel.stage.take.seed)
    assert asked.condition == {"digit": 3}
    assert {lane.guidance for lane in asked.samplings} == {2.0}
    table = race_of(panel).table
    assert [(lane.name, lane.evaluations) for lane in table.lanes()] == [
        ("Reference", 0),
        ("DDIM", 20),
        ("DPM-Solver++ 2M", 20),
        ("Heun", 20),
    ]
    assert [lane.best for lane in table.lanes()] == [False, False, True, False]
    assert race_of(panel).said.text() == "DPM-Solver++ 2M ends closest to the reference, 5 times closer than DDIM."


GESTURES: dict[str, tuple[Callable[[RacePage], object], Callable[[RaceSamplers], bool]]] = {
    "one more sampler": (
        lambda p: p.lanes.chips["ddpm"].clicked.emit(),
        lambda q: [s.sampler for s in q.samplings] == ["ddim", "dpmpp-2m", "heun", "ddpm"],
    ),
    "one less": (
        lambda p: p.lanes.chips["heun"].clicked.emit(),
        lambda q: [s.sampler for s in q.samplings] == ["ddim", "dpmpp-2m"],
    ),
    "the film's own settings": (
        lambda p: p.lanes.film.click(),
        lambda q: len(q.samplings) == 4 and q.samplings[3].steps == 20,
    ),
    "more evaluations": (lambda p: p.budget.evaluations._track.put(40.0), lambda q: q.evaluations == 40),
    "equal time": (
        lambda p: p.budget.equal.chosen.emit(1),
        lambda q: (q.evaluations, q.seconds) == (0, 1.0),
    ),
    "own steps": (lambda p: p.budget.equal.chosen.emit(2), lambda q: (q.evaluations, q.seconds) == (0, 0.0)),
    "noise of DDIM": (lambda p: p.lanes.eta._track.put(0.5), lambda q: q.samplings[0].eta == 0.5),
    "other noise": (lambda p: p.budget.noise.click(), lambda q: q.seed == 1),
    "fewer samples": (lambda p: p.budget.count._track.put(3.0), lambda q: q.count == 3),
    "Delete on a lane": (
        lambda p: (p.table.set_selected(1), QTest.keyClick(p.table, Qt.Key.Key_Delete)),
        lambda q: [s.sampler for s in q.samplings] == ["dpmpp-2m", "heun"],
    ),
}


@pytest.mark.parametrize("gesture", GESTURES)
def test_every_gesture_races_anew_and_is_one_step_of_undo(make: Make, gesture: str) -> None:
    act, asks = GESTURES[gesture]
    panel, toy = make("race")
    named = commits(panel)
    assert not asks(toy.requests("race/lanes")[-1])
    act(race_of(panel))
    assert len(toy.requests("race/lanes")) == 2
    assert asks(toy.requests("race/lanes")[-1])
    assert panel.shown() == toy.requests("race/lanes")[-1]
    assert len(named) == 1


def test_a_race_comes_back_with_a_session_and_from_a_recipe(make: Make) -> None:
    panel, toy = make("race")
    race_of(panel).lanes.chips["ddpm"].clicked.emit()
    race_of(panel).budget.equal.chosen.emit(1)
    kept = json.loads(json.dumps(panel.state()))
    other, again = make("race")
    other.restore(kept)
    assert again.requests("race/lanes")[-1] == toy.requests("race/lanes")[-1]
    from_recipe = DenoisingPanel.state_of(toy.requests("race/lanes")[-1])
    assert from_recipe is not None
    third, last = make("race")
    third.restore(json.loads(json.dumps(as_json(from_recipe))))
    assert last.requests("race/lanes")[-1] == toy.requests("race/lanes")[-1]


def test_nonsense_in_a_stored_state_is_not_taken(make: Make) -> None:
    wrong = {"lanes": [{"sampler": "magic"}, 3, {"sampler": "ddim", "steps": "many"}], "equal": 7, "evaluations": "x"}
    panel, toy = make("race", **wrong)
    asked = toy.requests("race/lanes")[-1]
    assert [lane.sampler for lane in asked.samplings] == ["ddim", "dpmpp-2m", "heun"]
    assert asked.evaluations == 20
    panel.stage.set(section="schedule", pages={"schedule": {"schedule": "own", "knots": [[0, 1], [0.5, 4]]}})
    assert toy.requests("schedule/curve")[-1].schedule == "model"


def test_a_sampler_that_draws_noise_has_no_error_and_a_sentence_says_so(make: Make) -> None:
    panel, _ = make("race", lanes=[{"sampler": "ddpm"}, {"sampler": "heun"}])
    lane = race_of(panel).table.lanes()[1]
    assert (math.isnan(lane.error), lane.why) == (True, "draws noise")
    assert "DDPM draws noise on the way" in race_of(panel).said.text()


def test_a_lane_with_levels_of_its_own_keeps_the_budget_and_is_told_apart(make: Make) -> None:
    panel, toy = make("race", lanes=[{"sampler": "heun"}])
    panel.stage.change(sampling={"sampler": "heun", "spacing": "own", "levels": tuple(range(-5, 7)), "steps": 12})
    race_of(panel).lanes.film.click()
    asked = toy.requests("race/lanes")[-1]
    assert [len(lane.levels) for lane in asked.samplings] == [0, 10]  # two evaluations a step
    assert asked.samplings[1].levels[0] == -5.0
    assert race_of(panel).table.lanes()[2].note == "10 steps, own levels"
    alike = [
        {"name": "Heun (EDM)", "error": error, "sampling": as_json(asked.samplings[n])}
        for n, error in ((0, 0.1), (1, 0.4))
    ]
    assert race_words(alike) == (
        "Heun (20 steps) ends closest to the reference, 4 times closer than Heun (10 steps, own levels)."
    )


def test_differences_take_room_under_every_lane_and_none_under_the_reference(make: Make) -> None:
    panel, toy = make("race")
    page = race_of(panel)
    before = [page.table.row(n).height() for n in range(4)]
    page.differences.click()
    after = [page.table.row(n).height() for n in range(4)]
    assert after[0] == before[0]
    assert all(b > a + 20 for a, b in zip(before[1:], after[1:], strict=True))
    assert len(toy.requests("race/lanes")) == 1  # nothing is computed for it


def test_a_long_race_can_be_stopped_and_what_has_arrived_stays(make: Make) -> None:
    panel, toy = make("race")
    page = race_of(panel)
    toy.at_once = False
    page.budget.evaluations._track.put(64.0)
    waiting = toy.waiting["race/lanes"]
    panel.receive("race/lanes", Progress(2, 8, "Racing", 4.0), waiting)
    assert "4 s left" in page.strip.words.text()
    page.strip.stop.click()
    assert toy.cancelled == ["race/lanes"]
    panel.receive("race/lanes", Cancelled(), waiting)
    assert not page.strip.running()
    assert "stay" in page.strip.words.text()
    assert len(page.table.lanes()) == 4


def test_the_end_of_an_older_race_does_not_end_the_newer_one(make: Make) -> None:
    panel, toy = make("race")
    page = race_of(panel)
    toy.at_once = False
    page.budget.evaluations._track.put(64.0)
    older = toy.waiting["race/lanes"]
    page.budget.evaluations._track.put(80.0)
    panel.receive("race/lanes", Cancelled(), older)
    assert page.strip.running()
    toy.answer("race/lanes")
    assert page.table.lanes()[1].evaluations == 80
    assert not page.strip.running()


def test_a_race_that_fails_says_why_and_can_be_run_again(make: Make) -> None:
    panel, toy = make("race")
    page = race_of(panel)
    toy.failing["race/lanes"] = FAILED
    page.budget.noise.click()
    assert page.frame.state is CanvasState.ERROR
    toy.failing.clear()
    page.frame.acted.emit()
    assert page.frame.state is CanvasState.READY


def test_points_race_too_also_under_the_exact_score(make: Make) -> None:
    panel, toy = make("race", planar=True)
    page = race_of(panel)
    page.budget.exact.click()
    asked = toy.requests("race/lanes")[-1]
    assert (asked.with_exact, asked.count) == (True, 200)
    notes = [lane.note for lane in page.table.lanes()[1:]]
    assert [note.startswith("exact score") for note in notes] == [False, True] * 3
    page.table.clicked.emit(4)  # an exact lane shows the settings of its sampler
    assert page.lanes.own.text() == "Lane 2: DPM-Solver++ 2M"


def test_orders_are_a_job_whose_curves_carry_slopes_and_the_models_own_error(make: Make) -> None:
    panel, toy = make("race")
    orders = race_of(panel).orders
    assert orders.frame.state is CanvasState.EMPTY
    orders.settings.start.click()
    asked = toy.jobs[-1].request
    assert isinstance(asked, MeasureOrders)
    assert (asked.samplers, asked.truth, max(asked.steps)) == (("ddim", "dpmpp-2m", "heun"), "model", 60)
    toy.work()
    assert [trace.note for trace in orders.plot.traces()] == ["order 1.02", "order 2.02", "order 2.02"]
    assert "The model itself errs by 0.02: from 18 evaluations on DPM-Solver++ 2M" in orders.words.text()
    assert panel.plot() is orders.plot
    orders.truth.chosen.emit(1)  # Gaussian: nothing is known of it yet
    assert orders.frame.state is CanvasState.EMPTY
    orders.settings.start.click()
    toy.work()
    assert toy.jobs[-1].request.truth == "gaussian"
    assert "errs by" not in orders.words.text()
    orders.truth.chosen.emit(0)
    assert "errs by" in orders.words.text()


def test_the_orders_plot_is_logarithmic_both_ways_and_read_by_the_keyboard(make: Make) -> None:
    panel, toy = make("race")
    orders = race_of(panel).orders
    orders.settings.start.click()
    toy.work()
    plot = orders.plot
    first, last = plot.point(1, 0), plot.point(1, 6)
    slope = (last.y() - first.y()) / plot.area().height() / ((last.x() - first.x()) / plot.area().width())
    spans = [math.log(high / low) for low, high in (plot._x_span, plot._y_span)]
    assert slope * spans[1] / spans[0] == pytest.approx(2.0, abs=1e-6)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Right):
        QTest.keyClick(plot, key)
    assert plot.readout().startswith("DPM-Solver++ 2M at 8:")


# -- the schedule ------------------------------------------------------------------------------------------------------


def grip(page: SchedulePage, place: int) -> QPoint:
    x, y = page.curve.knots()[place]
    return QPoint(round(page.curve.x_of(x)), round(page.curve.y_of(y)))


def test_dragging_a_knot_of_the_models_schedule_makes_it_ones_own_live_and_undoes_as_one_step(make: Make) -> None:
    panel, toy = make("schedule")
    page, named = schedule_of(panel), commits(panel)
    assert toy.requests("schedule/curve")[-1].schedule == "model"
    at = grip(page, 4)
    QTest.mousePress(page.curve, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    before = len(toy.requests("schedule/curve"))
    for step in (2, 4, 6):
        drag(page.curve, at + QPoint(0, -step))
    QTest.mouseRelease(page.curve, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    asked = toy.requests("schedule/curve")
    assert len(asked) == before + 3  # the picture follows while the hand moves
    assert [q.schedule for q in asked[before:]] == ["own"] * 3
    heights = [q.knots[4][1] for q in asked[before:]]
    assert heights == sorted(heights)
    assert heights[0] > 0.0
    assert named == ["Bend the schedule"]
    assert page.presets.text() == "Own"
    page.settings.reset.click()
    assert toy.requests("schedule/curve")[-1].schedule == "model"


def test_a_knot_cannot_pass_its_neighbours(make: Make) -> None:
    panel, toy = make("schedule")
    page = schedule_of(panel)
    page.curve.moved.emit(3, 0.95, -30.0)
    knots = toy.requests("schedule/curve")[-1].knots
    assert [x for x, _ in knots] == sorted({x for x, _ in knots})
    assert all(a > b for (_, a), (_, b) in itertools.pairwise(knots))
    page.curve.moved.emit(0, 0.5, 3.0)
    assert toy.requests("schedule/curve")[-1].knots[0][0] == 0.0


def test_knots_are_moved_selected_added_and_removed_by_the_keyboard(make: Make) -> None:
    panel, toy = make("schedule")
    page = schedule_of(panel)
    count = len(page.curve.knots())
    page.curve.setFocus()
    QTest.keyClick(page.curve, Qt.Key.Key_PageDown)
    QTest.keyClick(page.curve, Qt.Key.Key_PageDown)
    before = page.curve.knots()[2]
    QTest.keyClick(page.curve, Qt.Key.Key_Down)
    assert page.curve.knots()[2][1] < before[1]
    assert toy.requests("schedule/curve")[-1].schedule == "own"
    QTest.keyClick(page.curve, Qt.Key.Key_Insert)
    assert len(page.curve.knots()) == count + 1
    QTest.keyClick(page.curve, Qt.Key.Key_Delete)
    assert len(page.curve.knots()) == count
    assert "Page Up and Down select" in page.curve.accessibleDescription()


def test_alpha_bar_is_bent_as_log_snr_is_and_beta_only_shown(make: Make) -> None:
    panel, toy = make("schedule")
    page = schedule_of(panel)
    page.view.chosen.emit(1)
    page.curve.moved.emit(4, 0.5, 0.6)
    assert toy.requests("schedule/curve")[-1].knots[4][1] == pytest.approx(0.5 * math.log(0.6 / 0.4), abs=1e-6)
    assert page.curve.knots()[4][1] == pytest.approx(0.6, abs=1e-6)
    page.view.chosen.emit(2)
    assert page.curve.knots() == []


def test_a_schedule_that_is_refused_says_why_and_another_can_be_chosen(make: Make) -> None:
    panel, toy = make("schedule")
    page = schedule_of(panel)
    toy.failing["schedule/curve"] = FAILED
    page.curve.moved.emit(4, 0.5, 0.1)
    assert page.frame.state is CanvasState.ERROR
    assert page.presets.isVisible()
    assert page.settings.reset.isEnabled()
    toy.failing.clear()
    page.presets.chosen.emit(2)
    assert toy.requests("schedule/curve")[-1].schedule == "cosine"
    assert page.frame.state is CanvasState.READY


def test_a_terminal_snr_that_is_not_zero_is_said_in_words(make: Make) -> None:
    panel, toy = make("schedule")
    page = schedule_of(panel)
    assert page.settings.terminal.text().startswith("Good:")
    page.curve.moved.emit(len(page.curve.knots()) - 1, 1.0, -2.0)
    said = page.settings.terminal.text()
    left = 1 / math.sqrt(1 + math.exp(-2 * toy.requests("schedule/curve")[-1].knots[-1][1]))
    assert said == f"Warning: The noisiest level still holds {left:.1%} of the data."


def test_the_schedule_becomes_the_films_levels(make: Make) -> None:
    panel, _ = make("schedule")
    named = commits(panel)
    schedule_of(panel).settings.levels.click()
    sampling = panel.stage.take.sampling
    assert (sampling.spacing, sampling.steps, len(sampling.levels)) == ("own", 20, 20)
    assert list(sampling.levels) == sorted(sampling.levels)
    known = panel.stage.about["log_snr"]
    assert min(known) <= sampling.levels[0] < sampling.levels[-1] <= max(known)
    assert named == ["Sample by the schedule"]
    assert not panel.sampling.steps.isEnabled()
    panel.stage.change(sampling={"steps": 50})
    assert panel.stage.take.sampling.steps == 20
    panel.railed.chosen.emit("film")
    panel.film.transport.set_index(3)
    panel.film.finer_here()
    finer = panel.stage.take.sampling
    assert finer.steps == len(finer.levels) == 39 and list(finer.levels) == sorted(finer.levels)
    panel.stage.change(sampling={"spacing": "time", "steps": 50})
    assert panel.sampling.steps.isEnabled() and panel.stage.take.sampling.steps == 50


def test_training_with_the_schedule_opens_a_new_run_with_its_knots(make: Make) -> None:
    studio = Studio()
    panel, toy = make("schedule", studio=studio)
    page = schedule_of(panel)
    page.curve.moved.emit(2, 0.1, 2.0)
    page.settings.train.click()
    (wish,) = studio.wishes
    assert wish.kind == "new run"
    assert wish.values["config"]["noise_schedule"] == "own"
    assert wish.values["config"]["width"] == 32
    x, y = toy.requests("schedule/curve")[-1].knots[2]
    assert f", {x:g}:{y:g}, " in wish.values["config"]["knots"]
    other, _ = make("schedule", planar=True, studio=studio)
    assert not schedule_of(other).settings.train.isEnabled()
    assert "has no schedule" in schedule_of(other).settings.train.toolTip()


def test_the_forward_process_stands_under_its_times_and_follows_another_picture(make: Make) -> None:
    panel, toy = make("schedule")
    page = schedule_of(panel)
    assert page.strip.count() == 9
    assert [page.strip._cell(n).center().x() for n in range(1, 8)] == pytest.approx(
        [page.curve.x_of(n / 8) for n in range(1, 8)], abs=1.0
    )
    page.picture.next.click()
    assert toy.requests("schedule/curve")[-1].source.index == 1
    words = page.picture.words
    assert "1" in words.text() and words.fontMetrics().horizontalAdvance(words.text()) <= words.width()


def test_levels_show_losses_the_bound_and_what_the_exact_denoiser_leaves(make: Make) -> None:
    panel, toy = make("schedule")
    levels = schedule_of(panel).levels
    levels.settings.start.click()
    assert isinstance(toy.jobs[-1].request, MeasureLevels)
    toy.work()
    assert levels.words.text().startswith("The hardest level is half-log-SNR +5.0")
    levels.kind.chosen.emit(levels.kinds().index("bound"))
    assert levels.plot.traces()[0].bars
    assert (
        levels.words.text() == "Half of the bound lies between half-log-SNR +0.3 and +1.8. The bound is 3.91 bits/dim."
    )
    planar, points = make("schedule", planar=True)
    exact = schedule_of(planar).levels
    exact.settings.start.click()
    points.work()
    assert "bound" not in exact.kinds()
    assert [trace.name for trace in exact.plot.traces()] == ["Model", "Exact denoiser"]
    assert "above the exact denoiser" in exact.words.text()


def test_likelihoods_are_a_table_with_their_estimator_in_words(make: Make) -> None:
    panel, toy = make("schedule")
    part = schedule_of(panel).likelihood
    assert part.isHidden()
    part.settings.start.click()
    assert isinstance(toy.jobs[-1].request, FollowLikelihood)
    toy.work()
    assert not part.isHidden()
    assert part.table.rowCount() == 16
    assert part.table.isColumnHidden(3)  # the truth is not known
    assert part.estimator.text() == "Estimator: Heun, 60 steps, exact divergence."
    assert "± 1.4 nats" in part.words.text()
    planar, points = make("schedule", planar=True)
    exact = schedule_of(planar).likelihood
    exact.settings.start.click()
    points.work()
    assert not exact.table.isColumnHidden(3)
    difference = exact.table.item(0, 4)
    assert difference is not None
    assert difference.text() == "−0.4"


# -- guidance ----------------------------------------------------------------------------------------------------------


def test_without_a_condition_there_is_nothing_to_guide(make: Make) -> None:
    panel, toy = make("guidance")
    page = guidance_of(panel)
    assert page.frame.state is CanvasState.EMPTY
    assert toy.requests("guidance/live") == []
    assert not page.sheet.settings.start.isEnabled()
    assert page.sheet.isHidden()
    page.frame.filled.emit()
    assert toy.requests("guidance/live")[-1].condition == {"digit": 0}
    assert not page.sheet.isHidden()
    assert page.sheet.settings.start.isEnabled()


def test_the_samples_follow_the_guidance_live_beside_those_as_given(make: Make) -> None:
    panel, toy = make("guidance", given=True)
    page, named = guidance_of(panel), commits(panel)
    first = toy.requests("guidance/live")[-1]
    assert (first.sampling.guidance, first.sampling.steps, first.count) == (2.0, 12, 8)
    assert [q.sampling.guidance for q in toy.requests("guidance/plain")] == [1.0]
    page.settings.weight._track.put(6.0)
    assert toy.requests("guidance/live")[-1].sampling.guidance == 6.0
    assert len(toy.requests("guidance/plain")) == 1  # those do not depend on it
    assert panel.stage.take.sampling.guidance == 6.0  # of the film too
    assert panel.stage.take.sampling.steps == 20  # which keeps its steps
    assert page.grid.count() == 16
    assert named == ["Guidance 6"]


def test_a_cell_of_the_contact_sheet_takes_its_settings_to_the_film(make: Make) -> None:
    panel, toy = make("guidance", given=True)
    page = guidance_of(panel)
    page.sheet.settings.start.click()
    asked = toy.jobs[-1].request
    assert isinstance(asked, SheetGuidance)
    assert asked.condition == {"digit": 3}
    toy.work()
    sheet = page.sheet.sheet
    assert "guidance 4 with 20 steps" in page.sheet.words.text()
    assert sheet.told(2, 3) == "Steps 20, guidance 4, 100\N{NO-BREAK SPACE}%, the judge reads cap, beard"
    named = commits(panel)
    point = sheet.cell(2, 3).center().toPoint()
    QTest.mouseClick(sheet, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    sampling = panel.stage.take.sampling
    assert (sampling.guidance, sampling.steps) == (4.0, 20)
    assert panel.stage.state.section == "film"
    assert named == ["Play guidance 4 with 20 steps"]


def test_the_contact_sheet_grows_and_only_what_is_there_can_be_chosen(make: Make) -> None:
    panel, toy = make("guidance", given=True)
    page = guidance_of(panel)
    page.sheet.settings.start.click()
    growing = toy._SheetGuidance(toy.jobs[-1].request)[0]
    panel.receive("job", growing, toy.jobs[-1])
    sheet = page.sheet.sheet
    done = [[sheet.cell_at(sheet.cell(r, c).center()) == (r, c) for c in range(5)] for r in range(4)]
    assert done == [[True] * 5, [True, *[False] * 4], [False] * 5, [False] * 5]
    point = sheet.cell(2, 2).center().toPoint()
    QTest.mouseClick(sheet, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    assert panel.stage.state.section == "guidance"


def test_samples_that_fail_say_so_whatever_comes_after(make: Make) -> None:
    panel, toy = make("guidance", given=True)
    page = guidance_of(panel)
    toy.failing["guidance/live"] = FAILED
    panel.stage.change(condition={"digit": 5})  # asks for both rows anew; those as given arrive
    assert page.frame.state is CanvasState.ERROR
    assert not page.strip.running()
    toy.failing.clear()
    page.frame.acted.emit()
    assert page.frame.state is CanvasState.READY


def test_every_widget_that_takes_the_focus_has_a_name(make: Make) -> None:
    for section in ("race", "schedule", "guidance"):
        panel, _ = make(section, given=True)
        page = panel.page(section)
        widgets = [*page.cards, *panel.findChildren(QWidget)]
        nameless = [
            type(w).__name__
            for w in widgets
            if w.focusPolicy() & Qt.FocusPolicy.TabFocus
            and w.isVisible()
            and not w.accessibleName()
            and not getattr(w, "text", str)()
        ]
        assert nameless == []
