"""The plane: particles of an answer as it comes, between its steps, and a drawing that becomes data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from dgm_studio.core.cards import Capability, Modality, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import FlowParticles, KeepDrawing
from dgm_studio.core.studio import Studio, Wish
from dgm_studio.core.updates import Failed, Frame, Result
from dgm_studio.gui.panels.denoise_plane import BETWEEN, DRAWING, FLOW, PlanePage
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.widgets.stateframe import CanvasState

CARD = ModelCard(
    "zoo:twin", "twin", "edm", "Twin", frozenset({Capability.DENOISES}), (Modality("points", "points", (2,)),)
)
STEPS = 4


class Asked:
    """Remembers the questions."""

    def __init__(self) -> None:
        self.all: list[Ticket] = []

    def __call__(self, topic: str, request: Any) -> Ticket:
        self.all.append(Ticket(len(self.all), topic, request, "", "interactive", 0.0))
        return self.all[-1]

    def job(self, request: Any, name: str) -> Ticket:
        raise AssertionError("nothing here is a job")

    def cancel(self, topic: str) -> None: ...

    def stop(self, ticket: Ticket) -> None: ...


def answer(page: PlanePage, ticket: Ticket, steps: int = STEPS, exact: bool = True) -> None:
    """Particles that move along x, a unit a step."""
    about = {"times": np.arange(STEPS + 1.0), "reach": 5.0, "exact": exact, "within": 0.979, "energy": 0.0024}
    page.receive(FLOW, Frame("flow", about), ticket)
    for k in range(steps + 1):
        points = np.full((50, 2), float(k), np.float32)
        empty = np.zeros((0, 2), np.float32)
        field = np.ones((5, 5, 2), np.float32)
        step = {"index": k, "log_snr": float(k), "learnt": points, "exact": points if exact else empty}
        step |= {"density": np.ones((8, 8), np.float32), "field": field, "field_exact": field if exact else empty}
        page.receive(FLOW, Frame(f"particles/{k}", step), ticket)


@pytest.fixture
def page(adopt: Any) -> PlanePage:
    """In sight, with its first question asked."""
    from PySide6.QtWidgets import QHBoxLayout, QWidget

    window = adopt(QWidget())
    stage = Stage(CARD, Asked(), window)
    stage.about = {"kind": "variance-exploding"}
    stage.state = replace(stage.state, section="plane")
    made = PlanePage(stage, window)
    stage.changed.connect(lambda names: made.show_state())
    row = QHBoxLayout(window)
    row.addWidget(made)
    for card in made.cards:
        row.addWidget(card)
    window.resize(900, 500)
    window.show()
    made.begin()
    return made


def asked(page: PlanePage) -> list[Ticket]:
    return page.stage.ask.all  # type: ignore[attr-defined,no-any-return]


def test_the_newest_step_is_shown_while_the_particles_still_run(page: PlanePage) -> None:
    assert isinstance(asked(page)[0].request, FlowParticles)
    answer(page, asked(page)[0], steps=2)
    assert page.frame.state is CanvasState.READY
    assert np.all(page.learnt.view.points() == 2.0)
    assert page.words.text().startswith(f"step 2 of {STEPS}")


def test_between_two_steps_particles_are_on_the_straight_line(page: PlanePage) -> None:
    answer(page, asked(page)[0])
    page.player.set_index(0)
    page.player.step_forward()
    assert np.allclose(page.learnt.view.points(), 1 / BETWEEN)
    page.time.moved.emit(2.5)
    page.time.gesture_ended.emit()
    assert np.allclose(page.exact.view.points(), 2.5)
    assert page.stage.page("plane")["step"] == 2.5
    assert len(asked(page)) == 1, "moving in time asks nothing"


def test_where_the_exact_score_is_not_known_one_square_is_left(page: PlanePage) -> None:
    answer(page, asked(page)[0], exact=False)
    assert page.exact.isHidden() and not page.learnt.isHidden()
    assert "not known" in page.goodness.words.text()


def test_other_noise_asks_again_and_an_old_answer_is_not_shown(page: PlanePage) -> None:
    answer(page, asked(page)[0])
    page.particles.dice.click()
    assert len(asked(page)) == 2 and asked(page)[1].request != asked(page)[0].request
    old = np.array(page.learnt.view.points())
    late = {"index": 0, "learnt": old - 9}
    page.receive(FLOW, Frame("particles/0", late), asked(page)[0])
    assert np.array_equal(page.learnt.view.points(), old)


def test_other_particles_are_shown_where_the_old_ones_were_looked_at(page: PlanePage) -> None:
    answer(page, asked(page)[0])
    page.stage.set_page("plane", "Other noise", seed=5)
    answer(page, asked(page)[1], steps=0)
    assert np.all(page.learnt.view.points() == 0.0)
    answer(page, asked(page)[1])
    assert np.all(page.learnt.view.points() == STEPS)


def test_through_newer_weights_the_old_particles_stay_until_the_new_ones_are_as_far(page: PlanePage) -> None:
    answer(page, asked(page)[0])
    page.forget()
    page.show_state()
    assert asked(page)[1].request == asked(page)[0].request
    answer(page, asked(page)[1], steps=STEPS - 1)
    assert np.all(page.learnt.view.points() == STEPS)
    answer(page, asked(page)[1])
    assert page._flow is page._coming


def test_a_failure_stands_where_the_particles_would_be_and_can_be_tried_again(page: PlanePage) -> None:
    page.receive(FLOW, Failed("It broke.", "Do this."), asked(page)[0])
    assert page.frame.state is CanvasState.ERROR
    page.frame.acted.emit()
    assert len(asked(page)) == 2 and page.frame.state is CanvasState.WAITING


def test_a_drawing_becomes_data_and_opens_the_form_of_a_new_run(page: PlanePage) -> None:
    wishes: list[Wish] = []
    page.set_studio(Studio(grant=wishes.append))
    paper = page.own.paper
    paper.open_at(page.own.button)
    assert not paper.train.isEnabled()
    QTest.mousePress(paper.canvas, Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    QTest.mouseMove(paper.canvas, QPoint(120, 60))
    QTest.mouseRelease(paper.canvas, Qt.MouseButton.LeftButton, pos=QPoint(160, 60))
    assert paper.train.isEnabled()
    paper.name.setText("bar")
    paper.train.click()
    request = asked(page)[-1].request
    assert isinstance(request, KeepDrawing) and request.title == "bar"
    ink = np.array(request.rows)
    assert ink.shape == (64, 64) and ink.max() > 200
    assert ink[:32].sum() == ink.sum(), "what was drawn in the upper half stays there"
    page.receive(DRAWING, Result("file:/somewhere/bar.npz"), asked(page)[-1])
    assert wishes[0].kind == "new run" and wishes[0].values["data"] == "file:/somewhere/bar.npz"
    assert wishes[0].values["system"] == "edm"
