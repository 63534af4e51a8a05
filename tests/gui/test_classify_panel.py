"""The classifier page with a toy that answers by hand: what is asked, what is shown, what is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from dgm_studio.core.cards import Capability, DataCard
from dgm_studio.core.packed import drawn
from dgm_studio.core.requests import (
    AttackPicture,
    ClassifyDatum,
    DrawClassGrid,
    ScoreAttacks,
    ScoreOutliers,
    TraceLabels,
    Train,
    from_json,
    to_json,
)
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Progress, Result, Update
from dgm_studio.gui.panels.classify import ClassifyPanel
from dgm_studio.gui.panels.classify_outliers import span_of
from dgm_studio.gui.panels.classify_state import SECTIONS
from dgm_studio.gui.widgets.stateframe import CanvasState
from dgm_studio.gui.window import StudioWindow
from dgm_studio.training.loop import Session
from tests.gui import cross_toy
from tests.gui.cross_toy import DIGIT, IMAGE, SIDE, TWO, ring
from tests.gui.flows import export_to, rest

FAILED = Failed("The weights could not be read.", "Try again", "Traceback")
BAYES, JUDGE = "Bayes' rule", "judge"
THRESHOLD = -90.0


def shares(of: int, certain: float = 0.9) -> np.ndarray:
    return np.asarray([certain if k == of else (1 - certain) / 9 for k in range(10)], np.float32)


class Toy(cross_toy.Toy):
    """Reads example n as class n + 3; an attack makes every classifier read the next class."""

    def truth(self, given: Any) -> int:
        own = given.values.get(DIGIT.name)
        return own if own is not None else -1 if IMAGE.name in given.values else (given.index + 3) % 10

    def picture(self, given: Any) -> np.ndarray:
        own = given.values.get(IMAGE.name)
        return ring(given.index + 3) if own is None else np.clip(drawn(own), 0, 255).astype(np.uint8)

    def _OpenData(self, asked: Any) -> list[Update]:
        counts = {"train": 4000, "valid": 500, "test": 40}
        return [Frame("examples", {}), Result(DataCard("toy", "Toy", "", TWO, counts=counts))]

    def _ClassifyDatum(self, asked: Any) -> list[Update]:
        truth = self.truth(asked.given)
        data = {
            "categories": list(DIGIT.categories),
            "probabilities": {BAYES: shares(max(truth, 0)), JUDGE: shares((truth + 1) % 10, 0.6)},
            "log_prob": -80.0 - asked.given.index,
            "picture": self.picture(asked.given),
            "truth": truth,
        }
        erased = IMAGE.name in asked.given.values and bool((drawn(asked.given.values[IMAGE.name]) < 0).any())
        unknown = {"percentile": math.nan, "threshold": math.nan}
        known = {"percentile": math.nan if erased else 0.63, "threshold": THRESHOLD}
        return [Frame("classes", data | unknown), Frame("classes", data | known)]

    def _DrawClassGrid(self, asked: Any) -> list[Update]:
        pictures = np.stack([[ring(c + 0.2 * r) for c in range(10)] for r in range(asked.rows)])
        data = {"pictures": pictures, "z": np.zeros((asked.rows, 4)), "categories": DIGIT.categories, "how": ""}
        return [Frame("class grid", data)]

    def _AttributeClass(self, asked: Any) -> list[Update]:
        truth = self.truth(asked.given)
        one = {"decided": truth, "class": truth if asked.target < 0 else asked.target, "odds": 3.0, "gap": 1.0}
        one |= {"attribution": np.eye(SIDE, dtype=np.float32) - 0.5, "baseline odds": -7.0}
        data = {"picture": self.picture(asked.given), "truth": truth, "steps": asked.steps}
        return [Frame("attribution", data | {"classifiers": {BAYES: one, JUDGE: one | {"gap": 0.01}}})]

    def _AttackPicture(self, asked: Any) -> list[Update]:
        truth, x = self.truth(asked.given), self.picture(asked.given)
        change = np.full((SIDE, SIDE), asked.epsilon, np.float32)
        both = (BAYES, JUDGE)
        frames: list[Update] = []
        for step in range(1, asked.steps + 1):
            data = {
                "original": x,
                "adversarial": dict.fromkeys(both, x),
                "difference": dict.fromkeys(both, change),
                "before": dict.fromkeys(both, shares(truth)),
                "after": dict.fromkeys(both, shares((truth + 1) % 10)),
                "crossed": dict.fromkeys(both, shares(truth, 0.7)),
                "log_prob": {"original": -80.0, BAYES: -95.0, JUDGE: -85.0},
                "threshold": THRESHOLD,
                "loss": {name: np.arange(step, dtype=np.float32) for name in both},
                "norm": dict.fromkeys(both, asked.epsilon),
                "step": step,
                "steps": asked.steps,
            }
            frames += [Progress(step, asked.steps, "Attacking"), Frame("attack", data)]
        return frames


Made = tuple[ClassifyPanel, Toy]


def card(**changes: Any) -> Any:
    return cross_toy.card(TWO, capabilities=frozenset({Capability.CLASSIFIES}), **changes)


@pytest.fixture
def make(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> Callable[..., Made]:
    """`make(studio, failing)`: a shown panel that has begun, and its toy."""

    def build(studio: Studio | None = None, failing: dict[str, Failed] | None = None, **changes: Any) -> Made:
        toy = Toy(TWO)
        toy.failing = dict(failing or {})
        panel = ClassifyPanel(card(**changes), toy, studio)
        toy.panel = panel
        adopt(panel)
        panel.resize(1120, 760)
        panel.show()
        panel.begin()
        return panel, toy

    return build


def go(panel: ClassifyPanel, section: str) -> None:
    panel.sections.chosen.emit(list(SECTIONS).index(section))


def test_a_card_without_a_label_has_no_such_page() -> None:
    assert ClassifyPanel.fits(card())
    assert not ClassifyPanel.fits(cross_toy.card((IMAGE,), capabilities=frozenset({Capability.CLASSIFIES})))
    assert not ClassifyPanel.fits(cross_toy.card(TWO))


def test_every_classifier_is_shown_with_the_truth_and_where_the_score_lies(make: Callable[..., Made]) -> None:
    panel, toy = make()
    page = panel.classify
    assert page.bars.words(BAYES) == "3 (90 %)"
    assert page.bars.words(JUDGE) == "4 (60 %)"
    assert (page.bars.truth, page.grid.truth) == (3, 3)
    assert "higher than 63 % of the validation pictures: accepted" in page.verdict.text()
    assert panel.picture.number.maximum() == 39
    panel.picture.number.setValue(12)
    assert toy.requests("classes")[-1].given.index == 12
    assert page.bars.truth == 5
    assert "rejected" in page.verdict.text()
    asked = len(toy.asked)
    panel.restore(panel.state())
    assert len(toy.asked) == asked  # nothing has changed: nothing is asked twice


def test_what_is_drawn_keeps_its_class_until_the_sheet_is_blank(make: Callable[..., Made]) -> None:
    panel, toy = make()
    canvas = panel.picture.canvas
    gestures: list[str] = []
    panel.committed.connect(gestures.append)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(30, 30))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(30, 30))
    given = toy.requests("classes")[-1].given
    assert drawn(given.values["image"]).shape == (SIDE, SIDE)
    assert given.values["digit"] == 3
    assert toy.requests("grid")[-1].given == given
    assert gestures == ["Draw image"]
    canvas.clear()
    assert "digit" not in toy.requests("classes")[-1].given.values
    assert panel.picture.truth is not None
    assert panel.picture.truth.currentText() == "unknown"
    panel.picture.truth.activated.emit(7)
    assert toy.requests("classes")[-1].given.values["digit"] == 7
    panel.picture.parts["image"].back.click()
    assert toy.requests("classes")[-1].given.values == {}


def test_what_is_known_of_a_part_of_the_pixels_is_not_held_against_whole_pictures(make: Callable[..., Made]) -> None:
    panel, _ = make()
    rows = ring(3).astype(int).tolist()
    rows[2][2] = -1
    panel.restore({"values": {"image": rows}})
    assert "known pixels alone" in panel.classify.verdict.text()
    assert "rejected" not in panel.classify.verdict.text()


def test_a_generated_picture_is_taken_with_its_class(make: Callable[..., Made]) -> None:
    panel, toy = make()
    grid = panel.classify.grid
    QTest.mouseClick(grid, Qt.MouseButton.LeftButton, pos=grid.cell(2, 6).center().toPoint())
    given = toy.requests("classes")[-1].given
    assert given.values["digit"] == 6
    assert np.array_equal(drawn(given.values["image"]), ring(6.4))
    grid.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Return):
        QTest.keyClick(grid, key)
    assert np.array_equal(drawn(toy.requests("classes")[-1].given.values["image"]), ring(7.2))


def test_a_model_without_styles_says_so_and_still_classifies(make: Callable[..., Made]) -> None:
    none = Failed("Toy does not tell style and class apart.", "Choose another model.")
    panel, _ = make(failing={"grid": none})
    assert panel.classify.styles.state is CanvasState.EMPTY
    assert panel.classify.frame.state is CanvasState.READY
    assert isinstance(panel.shown(), ClassifyDatum)


def test_a_failure_is_told_with_its_action_and_asked_again(make: Callable[..., Made]) -> None:
    panel, toy = make(failing={"classes": FAILED})
    assert panel.classify.frame.state is CanvasState.ERROR
    toy.failing = {}
    panel.classify.frame.acted.emit()
    assert panel.classify.frame.state is CanvasState.READY


def test_one_step_follows_the_slider_and_several_wait_for_the_button(make: Callable[..., Made]) -> None:
    panel, toy = make()
    go(panel, "attack")
    assert toy.requests("attack")[-1].method == "fgsm"
    panel.attacking.epsilon.moved.emit(0.25)
    assert toy.requests("attack")[-1].epsilon == 0.25
    table = panel.attack.table
    assert table.words(BAYES) == "3 (90 %) → 4 (90 %)"
    assert table.transfer(BAYES) == "Judge reads 3 (70 %)"
    assert table.transfer(JUDGE) == "Bayes' rule reads 3 (70 %)"
    asked = len(toy.requests("attack"))
    panel.attacking.method.chosen.emit(1)
    assert len(toy.requests("attack")) == asked
    assert panel.attack.frame.stale()
    toy.at_once = False
    panel.attacking.start.click()
    assert toy.requests("attack")[-1].method == "pgd"
    assert panel.attacking.stop.isEnabled()
    ticket = toy.waiting["attack"]
    for update in toy.updates("attack", ticket.request)[:6]:
        panel.receive("attack", update, ticket)
    assert not panel.attack.loss.isHidden()
    panel.attacking.stop.click()
    assert "attack" not in toy.waiting
    panel.receive("attack", Cancelled(), ticket)
    assert panel.attacking.start.isEnabled()
    assert panel.attack.frame.state is CanvasState.READY
    panel.attacking.start.click()
    assert "attack" in toy.waiting  # stopped half way: the same attack can be begun again


def test_reasons_are_asked_for_a_class_and_say_when_their_sum_is_off(make: Callable[..., Made]) -> None:
    panel, toy = make()
    assert not toy.requests("reasons")
    go(panel, "reasons")
    assert toy.requests("reasons")[-1].target == -1
    assert panel.reasons.table.names() == (BAYES, JUDGE)
    first, sure = panel.reasons.table.words(BAYES), panel.reasons.table.words(JUDGE)
    assert first[0] == "decides on 3"
    assert first[-1] == "sum off by +1 nats (10.0 %): take more points"
    assert "more points" not in sure[-1]
    panel.reasoning.target.setCurrentIndex(8)
    panel.reasoning.target.activated.emit(8)
    panel.reasoning.baseline.chosen.emit(1)
    asked = toy.requests("reasons")[-1]
    assert (asked.target, asked.baseline) == (7, 0.5)
    assert panel.reasons.table.words(BAYES)[0] == "decides on 3; asked about 7"
    assert panel.shown() == asked
    other, _ = make()
    other.restore(json.loads(json.dumps(ClassifyPanel.state_of(asked))))
    assert other.shown() == asked
    refused, _ = make(failing={"reasons": Failed("No gradient.", "Choose another model.")})
    go(refused, "reasons")
    assert refused.reasons.frame.state is CanvasState.ERROR


def test_an_attack_without_a_first_answer_can_be_stopped(make: Callable[..., Made]) -> None:
    panel, toy = make()
    panel.restore({"method": "pgd", "section": "attack"})
    assert panel.attack.frame.state is CanvasState.EMPTY
    toy.at_once = False
    panel.attack.frame.filled.emit()
    panel.attacking.stop.click()
    assert panel.attack.frame.state is CanvasState.EMPTY


def test_outliers_grow_a_kind_at_a_time_and_can_be_stopped(make: Callable[..., Made]) -> None:
    panel, toy = make()
    go(panel, "outliers")
    page = panel.outliers
    page.frame.filled.emit()
    ticket = toy.jobs[-1]
    assert isinstance(ticket.request, ScoreOutliers)
    usual, far = np.linspace(-95, -70, 40), np.full(40, -1e5)
    pictures = {"test": ring(0), "inverted": ring(1)}
    for kinds in (("test",), ("test", "inverted")):
        data = {
            "scores": {k: (usual if k == "test" else far) for k in kinds},
            "softmax": {k: np.ones(40) for k in kinds},
            "auroc": {k: {"log p(x)": 1.0, "complexity": 0.3} for k in kinds if k != "test"},
            "pictures": {k: pictures[k] for k in kinds},
            "threshold": THRESHOLD,
        }
        panel.receive("job", Progress(len(kinds), 5, "Scoring"), ticket)
        panel.receive("job", Frame("outliers", data), ticket)
    assert "inverted: log p(x) 1.00, complexity 0.30" in page.areas.accessibleDescription()
    assert "inverted 100% rejected" in page.histograms.accessibleDescription()
    page.settings.stop.click()
    assert toy.stopped == [ticket]
    panel.receive("job", Cancelled(), ticket)
    assert page.settings.words.text() == "Stopped; what is there stays."
    assert page.frame.state is CanvasState.READY
    page.start()
    panel.receive("job", FAILED, toy.jobs[-1])
    assert page.frame.state is CanvasState.ERROR


def test_a_few_hopeless_pictures_do_not_squeeze_the_others() -> None:
    low, high, cut = span_of({"test": np.array([-100.0, -80.0]), "shuffled": np.array([-1e6])})
    assert (low, high, cut) == (-180.0, -80.0, True)
    assert span_of({"test": np.array([-100.0, -80.0])}) == (-100.0, -80.0, False)


def test_labels_ask_for_no_more_than_there_are_and_draw_all_of_them_last(make: Callable[..., Made]) -> None:
    panel, toy = make(data="toy~digit=10")
    go(panel, "labels")
    panel.labels.set_count(200)  # 20 a class
    panel.labels.start()
    asked = toy.jobs[-1].request
    assert isinstance(asked, TraceLabels)
    assert (asked.data, asked.labels) == ("toy", (1, 2, 5, 10, 0))
    assert panel.hears(toy.jobs[-1])
    some, nothing = np.array([0.3, 0.4, 0.5, 0.6, 0.9]), np.full(5, math.nan)
    curves = {"generative": some, "supervised": some - 0.1}
    data = {"labels": np.array(asked.labels), "accuracy": curves, "error": dict.fromkeys(curves, nothing)}
    data |= {"system": "m2", "steps": 100, "seeds": 1}
    panel.receive("job", Frame("labels", data), toy.jobs[-1])
    plot = panel.labels.plot
    plot.setFocus()
    for _ in range(9):
        QTest.keyClick(plot, Qt.Key.Key_Right)
    assert plot.readout() == "20: M2, all pictures 90 %, labels alone 80 %"


def test_robustness_has_a_curve_for_every_classifier(make: Callable[..., Made]) -> None:
    panel, toy = make()
    go(panel, "robustness")
    panel.robustness.settings.sliders["count"].set_value(30)
    panel.robustness.start()
    asked = toy.jobs[-1].request
    assert isinstance(asked, ScoreAttacks)
    assert asked.count == 30
    falling = np.linspace(1, 0, len(asked.epsilons))
    curves = {BAYES: falling, JUDGE: falling**2}
    data = {"epsilon": np.array(asked.epsilons), "accuracy": curves, "detected": curves, "count": 10}
    panel.receive("job", Frame("robustness", data), toy.jobs[-1])
    QTest.keyClick(panel.robustness.accuracy, Qt.Key.Key_Right)
    assert panel.robustness.accuracy.readout() == "0: Bayes' rule 100 %, Judge 100 %"


def test_the_state_survives_a_file_and_hostile_entries_are_left_out(make: Callable[..., Made]) -> None:
    panel, _ = make()
    go(panel, "attack")
    panel.attacking.epsilon.moved.emit(0.2)
    panel.picture.number.setValue(5)
    panel.outliers.settings.sliders["count"]._track.put(77)
    panel.labels.settings.sliders["seeds"]._track.put(3)
    kept = json.loads(json.dumps(panel.state()))
    assert kept["jobs"]["outliers"]["count"] == 77
    other, _ = make()
    other.restore(kept)
    assert other.state() == kept
    assert other.outliers.request().count == 77 and other.labels.request().seeds == 3
    assert other.shown() == panel.shown()
    assert isinstance(other.shown(), AttackPicture)
    other.restore({"epsilon": float("nan"), "method": "magic", "samples": "many", "section": 3, "values": 7, "new": 1})
    assert other.state() == kept
    other.restore({"epsilon": 9.0, "styles": 400})
    assert (other.state()["epsilon"], other.state()["styles"]) == (0.3, 8)


@pytest.mark.parametrize("section", ["classify", "attack"])
def test_what_is_shown_can_be_shown_again_from_its_request_alone(make: Callable[..., Made], section: str) -> None:
    panel, _ = make()
    panel.restore({"index": 4, "seed": 3, "styles": 6, "epsilon": 0.07, "method": "pgd", "section": section})
    asked = panel.shown()
    assert isinstance(asked, AttackPicture if section == "attack" else DrawClassGrid)
    again = from_json(json.loads(json.dumps(to_json(asked))))
    other, _ = make()
    state = ClassifyPanel.state_of(again)
    assert state is not None
    other.restore(state)
    assert to_json(other.shown()) == to_json(asked)


def test_a_dropped_picture_is_classified_and_a_broken_one_is_refused(make: Callable[..., Made], tmp_path: Path) -> None:
    panel, toy = make()
    go(panel, "outliers")
    image = QImage(40, 40, QImage.Format.Format_Grayscale8)
    image.fill(200)
    image.setPixelColor(20, 20, Qt.GlobalColor.black)
    image.save(str(tmp_path / "own.png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert panel.take_file(str(tmp_path / "own.png"))
    assert panel.state()["section"] == "classify"
    assert "image" in toy.requests("classes")[-1].given.values
    assert panel.take_file(str(tmp_path / "broken.png"))
    assert "not a picture" in panel.picture.refusal.text()


def test_another_balance_is_a_wish_for_a_fork_where_the_model_weighs_its_label(make: Callable[..., Made]) -> None:
    studio, wishes = Studio(), []
    studio.grant = wishes.append  # type: ignore[method-assign]
    panel, _ = make(studio)
    assert panel.balance.isHidden()
    panel, _ = make(studio, config={"label_weight": 1.0})
    assert not panel.balance.isHidden()
    panel.balance.weight.set_value(50.0)
    panel.balance.fork.click()
    assert wishes[-1].kind == "fork"
    assert wishes[-1].values["changes"] == {"label_weight": 50.0}


def test_other_weights_are_asked_again_and_jobs_of_older_ones_are_marked(make: Callable[..., Made]) -> None:
    panel, toy = make()
    panel.robustness.start()
    data = {"epsilon": np.zeros(1), "accuracy": {BAYES: np.ones(1)}, "detected": {BAYES: np.ones(1)}, "count": 10}
    panel.receive("job", Frame("robustness", data), toy.jobs[-1])
    panel.set_card(card(key="zoo:cross@64"))
    assert toy.requests("classes")[-1].model == "zoo:cross@64"
    assert panel.robustness.frame.stale()


@pytest.mark.parametrize("section", SECTIONS)
def test_whatever_takes_the_focus_says_what_it_is_and_nothing_is_wider_than_a_small_window(
    make: Callable[..., Made], section: str
) -> None:
    panel, _ = make()
    go(panel, section)
    widgets = [w for w in panel.findChildren(QWidget) if w.isVisible() and w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    nameless = [w for w in widgets if not w.accessibleName() and not (isinstance(w, QAbstractButton) and w.text())]
    own = [w for w in nameless if type(w).__module__.startswith("dgm_studio")]
    assert widgets != []
    assert own == []
    assert panel.minimumSizeHint().width() <= 700
    keys = panel.picture.number.value()
    panel.setFocus()
    QTest.keyClick(panel, Qt.Key.Key_Right)
    assert panel.picture.number.value() == keys + 1


def test_the_mouse_over_a_style_is_met_by_a_hand(make: Callable[..., Made]) -> None:
    panel, _ = make()
    grid = panel.classify.grid
    QTest.mouseMove(grid, QPointF(grid.cell(1, 1).center()).toPoint())
    assert grid.cursor().shape() == Qt.CursorShape.PointingHandCursor


def test_on_the_real_worker_a_trained_model_classifies_is_attacked_and_undone(
    window: StudioWindow, studio_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = studio_home / "runs" / "classes"
    training = {"steps": 20, "batch": 32, "valid_every": 20, "save_every": 20, "snapshot_every": 0}
    for _ in Session(Train(str(folder), "class-vae", "digits8", {"hidden": 16}, training, name="classes")).updates():
        pass
    window.open(f"run:{folder}", "classify")
    rest(window)
    panel = window.centre.current()
    assert isinstance(panel, ClassifyPanel)
    truth = panel.classify.bars.truth
    assert truth >= 0
    assert panel.classify.styles.state is CanvasState.READY
    assert "of the validation pictures" in panel.classify.verdict.text()
    panel.picture.number.setValue(1)
    go(panel, "attack")
    rest(window)
    assert panel.attack.table.names() == (BAYES, JUDGE)
    export_to(window, monkeypatch, tmp_path / "attack.png")
    window.undo()
    rest(window)
    assert panel.state()["section"] == "classify"
