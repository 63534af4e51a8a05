"""The training panel with a worker that is faked: what it asks, what it shows, what it says when things go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from dgm_studio.core.cards import Capability, Modality, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import EditRun, ReadFamily, ReadRun, Reconstruct, SamplePrior, Train
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Metrics, Progress, Result
from dgm_studio.gui.panels.spec import JOB
from dgm_studio.gui.panels.training import TrainingPanel
from dgm_studio.gui.panels.training_pictures import paired
from dgm_studio.gui.panels.training_record import Record, sign, words
from dgm_studio.gui.widgets.stateframe import CanvasState

RUN = "/runs/one"
CARD = ModelCard(
    key=f"run:{RUN}",
    name="one",
    system="vae",
    title="VAE",
    capabilities=frozenset({Capability.ENCODES, Capability.DECODES, Capability.SAMPLES}),
    modalities=(Modality("image", "image", (1, 8, 8)),),
    latent=3,
    data="digits8",
    step=20,
    steps=100,
    training={"batch": 32, "learning_rate": 1e-3},
    config={"beta": 1.0},
    snapshots=(0, 8, 16),
)


class Asked:
    """An `ask` that keeps the questions."""

    def __init__(self) -> None:
        self.questions: list[Ticket] = []
        self.jobs: list[Any] = []

    def __call__(self, topic: str, request: Any) -> Ticket:
        ticket = Ticket(len(self.questions) + 1, f"training/{topic}", request, "", "interactive", 0.0)
        self.questions.append(ticket)
        return ticket

    def job(self, request: Any, name: str) -> Ticket:
        self.jobs.append(request)
        return Ticket(1000 + len(self.jobs), "job/1", request, name, "batch", 0.0)

    def cancel(self, topic: str) -> None:
        self.questions = [q for q in self.questions if q.slot != f"training/{topic}"]

    def last(self, kind: type[Any]) -> Ticket:
        return next(q for q in reversed(self.questions) if isinstance(q.request, kind))


def series(steps: list[int], values: list[float]) -> dict[str, Any]:
    return {"step": np.array(steps), "value": np.array(values), "time": np.array(steps) * 0.1}


def history() -> dict[str, Any]:
    return {
        "run": {},
        "series": {
            "train/elbo": series([1, 2, 3], [-300.0, -200.0, -150.0]),
            "valid/elbo": series([2], [-210.0]),
            "train/kl": series([1, 2, 3], [1.0, 2.0, 3.0]),
            "gradient_norm": series([1, 2, 3], [5.0, 4.0, 3.0]),
        },
        "flags": [{"flag": "start", "step": 0}, {"flag": "edit", "step": 2, "changes": {"beta": 4.0}}],
        "kl": {"step": np.array([2]), "rows": np.array([[0.5, 0.0, 2.0]], np.float32)},
    }


@pytest.fixture
def panel(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> TrainingPanel:
    made = TrainingPanel(CARD, Asked(), Studio())
    adopt(made)
    made.resize(1110, 700)
    made.show()
    made.begin()
    return made


def asked(panel: TrainingPanel) -> Asked:
    assert isinstance(panel.ask, Asked)
    return panel.ask


def answer(panel: TrainingPanel, kind: type[Any], update: Any) -> None:
    ticket = asked(panel).last(kind)
    panel.receive(ticket.slot.split("/", 1)[1], update, ticket)
    panel.settle()


def train(panel: TrainingPanel, *updates: Any) -> None:
    ticket = Ticket(500, "job/500", Train(RUN), "one", "batch", 0.0)
    assert panel.hears(ticket)
    for update in updates:
        panel.receive(JOB, update, ticket)
    panel.settle()


def curve(panel: TrainingPanel, name: str) -> list[float]:
    known = panel._curves.objective.series() + panel._curves.terms.series()
    return next(s.y.tolist() for s in known if s.name == name)


def test_it_asks_for_the_history_the_family_and_pictures_with_a_fixed_seed(panel: TrainingPanel) -> None:
    kinds = {type(q.request) for q in asked(panel).questions}
    assert {ReadRun, ReadFamily, SamplePrior, Reconstruct} <= kinds
    assert panel._frame.state is CanvasState.WAITING


def test_the_history_is_drawn_with_lower_is_better_and_changed_settings_as_flags(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Result(history()))
    assert curve(panel, words("train/elbo")) == [300.0, 200.0, 150.0]
    assert curve(panel, words("valid/elbo")) == [210.0]
    assert panel._record.flags == [(2.0, "beta 4")]
    assert panel._kl_card.title().endswith("2 of 3 active")
    assert panel._frame.state is CanvasState.READY


def test_figures_that_come_while_the_history_is_read_are_drawn_once_and_in_order(panel: TrainingPanel) -> None:
    train(panel, Metrics("one", 3, {"train/elbo": -150.0}), Metrics("one", 4, {"train/elbo": -140.0}))
    answer(panel, ReadRun, Result(history()))
    train(panel, Metrics("one", 5, {"train/elbo": -130.0}))
    assert curve(panel, words("train/elbo")) == [300.0, 200.0, 150.0, 140.0, 130.0]


def test_the_run_s_own_frames_are_shown_and_another_run_s_job_is_not_heard(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Result(history()))
    pictures = np.zeros((6, 8, 8), np.uint8)
    train(panel, Frame("samples", {"pictures": pictures, "step": 30}), Frame("kl", {"step": 30, "kl": np.ones(3)}))
    assert panel._pictures._step.text() == "step 30" and panel._pictures._grids["samples"].count() == 6
    assert panel._kl_card.title().endswith("3 of 3 active")
    assert not panel.hears(Ticket(1, "job/1", Train("/runs/other"), "", "batch", 0.0))


def test_a_dragged_setting_is_sent_once_at_the_end_of_the_gesture(panel: TrainingPanel) -> None:
    panel._run.edited.emit("learning_rate", 5e-4)
    assert asked(panel).last(EditRun).request == EditRun(RUN, {"learning_rate": 5e-4})


def test_the_time_machine_moves_cursor_and_pictures_and_keeps_the_curves(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Result(history()))
    panel.set_card(dataclasses.replace(CARD, key=f"run:{RUN}@8", step=8))
    assert panel._curves.objective.cursor() == 8.0
    assert asked(panel).last(SamplePrior).request.model == f"run:{RUN}@8"
    assert curve(panel, words("train/elbo")) == [300.0, 200.0, 150.0]
    before = panel._pictures._step.text()
    train(panel, Frame("samples", {"pictures": np.zeros((6, 8, 8), np.uint8), "step": 99}))
    assert panel._pictures._step.text() == before  # pictures of the newest step do not replace those of the snapshot


def test_dragging_the_cursor_takes_the_whole_window_to_the_nearest_snapshot(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Result(history()))
    panel._curves.step_chosen.emit(9.0)
    assert panel.studio is not None
    wish = panel.studio.wishes[-1]
    assert wish.kind == "open" and wish.values["key"] == f"run:{RUN}@8"


def test_a_failed_run_says_why_in_its_health_card(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Result(history()))
    train(
        panel,
        Progress(5, 100, "Training"),
        Failed("The loss is NaN at step 7, term kl.", "Train on with half the rate."),
    )
    texts = " ".join(w.text() for w in panel._health.findChildren(QWidget) if hasattr(w, "text"))
    assert "NaN at step 7" in texts and "half the rate" in texts
    train(panel, Cancelled())
    assert panel._run._state.text() == "Stopped"


def test_an_unreadable_history_is_an_error_where_the_curves_would_be(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Failed("There is no run in /runs/one.", "Choose another folder.", "Traceback"))
    assert panel._frame.state is CanvasState.ERROR


def test_a_checkpoint_without_history_offers_to_train_it_again(qapp: QApplication, adopt: Any) -> None:
    card = dataclasses.replace(CARD, key="zoo:one", source="zoo")
    panel = TrainingPanel(card, Asked(), Studio())
    adopt(panel)
    panel.begin()
    answer(panel, ReadRun, Failed("This checkpoint carries no curves.", "Train it again."))
    assert panel._frame.state is CanvasState.EMPTY
    panel._frame.filled.emit()
    assert panel.studio is not None
    assert panel.studio.wishes[-1].kind == "new run" and panel.studio.wishes[-1].values["data"] == "digits8"


def test_a_checkpoint_with_curves_beside_it_shows_them_and_offers_no_fork(qapp: QApplication, adopt: Any) -> None:
    card = dataclasses.replace(CARD, key="zoo:one", source="zoo", snapshots=())
    panel = TrainingPanel(card, Asked(), Studio())
    adopt(panel)
    panel.begin()
    answer(panel, ReadRun, Result(history()))
    panel.settle()
    assert panel._frame.state is CanvasState.READY
    words = [button.text() for button in panel.findChildren(QPushButton) if not button.isHidden()]
    assert "Train it again" in words and "Fork here" not in words


def test_its_state_comes_back(panel: TrainingPanel) -> None:
    answer(panel, ReadRun, Result(history()))
    panel.restore({"page": 1, "axis": "examples", "smoothing": 0.5, "log": True, "pictures": 1})
    state = panel.state()
    assert (state["page"], state["axis"], state["log"], state["pictures"]) == (1, "examples", True, 1)
    assert state["smoothing"] == pytest.approx(0.5, abs=1e-3)
    assert isinstance(panel.shown(), Reconstruct)


def test_a_model_that_rebuilds_nothing_is_not_asked_to(qapp: QApplication, adopt: Any) -> None:
    ask = Asked()
    denoiser = dataclasses.replace(CARD, capabilities=frozenset({Capability.DENOISES}), latent=0)
    panel = TrainingPanel(denoiser, ask)
    adopt(panel)
    panel.begin()
    assert not [q for q in ask.questions if isinstance(q.request, Reconstruct)]
    panel.restore({"pictures": 1})
    assert panel.state()["pictures"] == 0 and panel._pictures._choice.isHidden()


def test_originals_stand_above_their_reconstructions() -> None:
    originals = np.arange(12, dtype=np.uint8)[:, None, None]
    rows = paired(originals, originals + 100, row=6).reshape(4, 6).tolist()
    assert rows == [[*range(6)], [*range(100, 106)], [*range(6, 12)], [*range(106, 112)]]
    assert paired(originals[:4], originals[:4] + 100, row=6).ravel().tolist() == [0, 1, 2, 3, 100, 101, 102, 103]


def test_steps_become_seconds_and_examples_and_back() -> None:
    record = Record(batch=32)
    record.load(history())
    assert record.x_at("time", 2) == pytest.approx(0.2) and record.step_at("time", 0.25) == pytest.approx(2.5)
    assert record.step_at("examples", record.x_at("examples", 7)) == 7
    assert sign("valid/elbo") == -1.0 and sign("train/kl") == 1.0
