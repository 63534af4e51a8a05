"""The cross-modal panel with a toy that answers by hand: what is asked, what is shown, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.core.packed import drawn, pack
from dgm_studio.core.requests import (
    CrossDatum,
    ProveExactness,
    ScoreCross,
    ShowExperts,
    ShowWrong,
    WeighConflict,
    WeighSamples,
    from_json,
    to_json,
)
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed
from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross import CrossPanel
from dgm_studio.gui.panels.cross_editors import UNSEEN
from dgm_studio.gui.panels.cross_state import RULES
from dgm_studio.gui.panels.cross_values import Cell, agreement, words
from dgm_studio.gui.widgets.stateframe import CanvasState
from tests.gui import cross_toy
from tests.gui.cross_toy import SIDE, SIX, THREE, TWO, Toy
from tests.gui.hand import drag

FAILED = Failed("The weights could not be read.", "Try again", "Traceback")
Made = tuple[CrossPanel, Toy]
Make = Callable[..., Made]


@pytest.fixture
def make(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> Make:
    """`make(modalities, at_once)`: a shown panel that has begun, and its toy."""
    theme.use("dark", 1.0)

    def build(
        modalities: tuple[Any, ...] = THREE,
        *,
        at_once: bool = True,
        studio: Studio | None = None,
        data: str = "",
        **state: Any,
    ) -> Made:
        toy = Toy(modalities, at_once=at_once)
        panel = CrossPanel(cross_toy.card(modalities, **({"data": data} if data else {})), toy, studio)
        toy.panel = panel
        adopt(panel)
        panel.resize(1120, 720)
        panel.show()
        panel.begin()
        if state:
            panel.restore(state)
        return panel, toy

    return build


def last(toy: Toy, topic: str = "matrix") -> Any:
    return toy.requests(topic)[-1]


def commits(panel: CrossPanel) -> list[str]:
    names: list[str] = []
    panel.committed.connect(names.append)
    return names


# -- the matrix --------------------------------------------------------------------------------------------------------


def test_begins_with_the_datum_under_all_its_conditionings(make: Make) -> None:
    panel, toy = make()
    assert [t.slot for t in toy.asked][:2] == ["cross/matrix", "cross/about"]
    lines = panel.matrix.table.lines()
    assert len(lines) == 7
    assert lines[0].given == ("image", "digit", "sentence")
    assert [len(line.cells) for line in lines] == [3] * 7
    assert panel.matrix.frame.state is CanvasState.READY
    assert panel.given.number.maximum() == 499
    table = panel.matrix.table
    assert table.told((-1, 1)) == "The datum's digit: 3 100%"
    assert "digit generated from image: 3" in table.told((4, 1))
    assert "the judge sees 4, which it is not" in table.told((5, 0))


GESTURES: dict[str, tuple[Callable[[CrossPanel], object], Callable[[CrossDatum], bool]]] = {
    "next example": (lambda p: p.given.next.click(), lambda q: q.given.index == 1),
    "previous example": (lambda p: p.given.previous.click(), lambda q: q.given.index == 499),
    "typed example": (lambda p: p.given.number.setValue(41), lambda q: q.given.index == 41),
    "another split": (lambda p: p.given.split.chosen.emit(1), lambda q: q.given.split == "valid"),
    "a label": (
        lambda p: p.given.parts["digit"].editor.segments.chosen.emit(8),  # type: ignore[attr-defined]
        lambda q: q.given.values == {"digit": 8},
    ),
    "a missing modality": (
        lambda p: p.given.parts["sentence"].unknown.click(),
        lambda q: q.given.missing == ("sentence",),
    ),
    "more samples": (lambda p: p.draws.samples._track.put(5), lambda q: q.samples == 5),
    "another seed": (lambda p: p.draws.again.click(), lambda q: q.seed == 1),
    "draws": (lambda p: p.draws.noise.chosen.emit(1), lambda q: q.noise),
    "another rule": (lambda p: p.fusing.rule._choose(2), lambda q: q.fusing.rule == "mopoe"),
    "no prior expert": (lambda p: p.fusing.prior.click(), lambda q: not q.fusing.prior_expert),
    "a precision": (
        lambda p: p.fusing.sliders["digit"]._track.put(4.0),
        lambda q: q.fusing.precision == {"digit": 4.0},
    ),
}


@pytest.mark.parametrize("gesture", GESTURES)
def test_every_gesture_asks_for_the_matrix_anew_and_is_one_step_of_undo(make: Make, gesture: str) -> None:
    act, asks = GESTURES[gesture]
    panel, toy = make()
    before, named = len(toy.requests("matrix")), commits(panel)
    assert not asks(last(toy))
    act(panel)
    assert len(toy.requests("matrix")) == before + 1
    assert asks(last(toy))
    assert last(toy) == panel.shown()
    assert len(named) == 1
    assert named[0]


def test_a_sentence_is_asked_at_every_letter_and_committed_once(make: Make) -> None:
    panel, toy = make()
    named, before = commits(panel), len(toy.requests("matrix"))
    line = panel.given.parts["sentence"].editor.line  # type: ignore[attr-defined]
    line.selectAll()
    QTest.keyClicks(line, "a 7")
    assert [q.given.values["sentence"] for q in toy.requests("matrix")[before:]] == ["a", "a ", "a 7"]
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert named == ["Type sentence"]
    assert panel.matrix.table.told((-1, 2)) == "The datum's sentence: a 7"


def test_pixels_made_unknown_are_asked_as_minus_one_and_come_back(make: Make) -> None:
    panel, toy = make()
    editor = panel.given.parts["image"].editor
    editor.brush.chosen.emit(UNSEEN)  # type: ignore[attr-defined]
    canvas = editor.canvas  # type: ignore[attr-defined]
    original = np.asarray(panel.bench.example["image"])
    target = canvas._target()
    inside = QPointF(target.left() + target.width() / 4, target.center().y()).toPoint()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, inside)
    drag(canvas, inside + QPoint(25, 0))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton)
    sent = drawn(last(toy).given.values["image"])
    gone = sent < 0
    assert sent.shape == (SIDE, SIDE)
    assert 4 < gone.sum() < SIDE * SIDE / 2
    np.testing.assert_array_equal(gone, canvas.erased())
    np.testing.assert_array_equal(sent[~gone], original[~gone])
    told = panel.matrix.table._datum[0].images()[0][1]
    np.testing.assert_array_equal(told, gone)  # hatched in the matrix too
    QTest.mousePress(canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, inside)
    QTest.mouseRelease(canvas, Qt.MouseButton.RightButton)
    assert (drawn(last(toy).given.values["image"]) < 0).sum() < gone.sum()
    panel.given.parts["image"].back.click()
    assert last(toy).given.values == {}
    np.testing.assert_array_equal(canvas.value(), original)


def test_ink_drawn_by_hand_becomes_the_users_own_value_and_a_new_example_lets_it_go(make: Make) -> None:
    panel, toy = make()
    canvas = panel.given.parts["image"].editor.canvas  # type: ignore[attr-defined]
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, canvas.rect().center())
    sent = drawn(last(toy).given.values["image"])
    assert sent[SIDE // 2, SIDE // 2] > np.asarray(panel.bench.example["image"])[SIDE // 2, SIDE // 2]
    assert from_json(json.loads(json.dumps(to_json(last(toy))))) == last(toy)
    assert not panel.given.parts["image"]._own.isHidden()
    panel.given.next.click()
    assert last(toy).given.values == {}
    assert panel.given.parts["image"]._own.isHidden()


def test_pictures_of_older_sessions_are_rows_of_numbers_and_one_that_is_damaged_is_let_go(make: Make) -> None:
    rows = [[-1 if (x, y) == (2, 3) else 9 * x for x in range(SIDE)] for y in range(SIDE)]
    panel, toy = make(values={"image": rows})
    np.testing.assert_array_equal(drawn(last(toy).given.values["image"]), rows)
    editor = panel.given.parts["image"].editor
    np.testing.assert_array_equal(editor.canvas.value(), rows)  # type: ignore[attr-defined]
    packed = pack(np.asarray(rows))
    for damaged in (packed[:-9] + "=====", packed.replace("14x14", "15x14"), "hello"):
        panel, toy = make(values={"image": damaged, "digit": 4})
        assert last(toy).given.values == {"digit": 4}


def test_only_what_looks_otherwise_is_painted_anew(make: Make) -> None:
    panel, _ = make(values={"digit": 5})
    table, painted = panel.matrix.table, []
    QApplication.processEvents()
    before = {(r, c): cell.look() for r, line in enumerate(table.lines()) for c, cell in enumerate(line.cells)}
    original = table._paint_cell

    def paint_cell(painter: Any, place: Any, cell: Cell, dirty: Any) -> None:
        if dirty.intersects(table.cell_rect(place).toAlignedRect()):
            painted.append(place)
        original(painter, place, cell, dirty)

    table._paint_cell = paint_cell  # type: ignore[method-assign]
    panel.given.parts["digit"].editor.segments.chosen.emit(8)  # type: ignore[attr-defined]
    QApplication.processEvents()
    changed = {p for p, look in before.items() if table.lines()[p[0]].cells[p[1]].look() != look}
    assert changed and len(changed) < len(before)
    assert changed <= set(painted)
    assert (-1, 0) not in painted, "the datum is as it was"


def test_a_dropped_picture_file_becomes_the_first_image(make: Make, tmp_path: Path) -> None:
    panel, toy = make()
    image = QImage(SIDE, SIDE, QImage.Format.Format_Grayscale8)
    image.fill(0)
    image.setPixelColor(3, 2, Qt.GlobalColor.white)
    path = tmp_path / "dot.png"
    assert image.save(str(path))
    assert panel.take_file(str(path))
    sent = drawn(last(toy).given.values["image"])
    assert list(map(tuple, np.argwhere(sent > 0))) == [(2, 3)]
    assert not make((cross_toy.DIGIT, cross_toy.AGE))[0].take_file(str(path))


def test_a_rule_that_means_nothing_says_why_and_cannot_be_chosen(make: Make) -> None:
    panel, toy = make()
    rule, asked = panel.fusing.rule, len(toy.asked)
    reason = cross_toy.PRODUCT_ONLY["moe"]
    cell = rule._cells()[list(RULES).index("moe")]
    QTest.mouseClick(rule, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, cell.center().toPoint())
    assert len(toy.asked) == asked
    assert rule.text() == RULES["poe"]
    assert reason in panel.fusing.why.text()
    assert reason in rule.accessibleDescription()
    rule.setFocus()
    QTest.keyClick(rule, Qt.Key.Key_Right)  # the keyboard steps over it
    assert last(toy).fusing.rule == "mopoe"


def test_a_frozen_cell_stays_while_the_datum_moves(make: Make) -> None:
    panel, _ = make()
    table, named = panel.matrix.table, commits(panel)
    place = (4, 1)
    assert table.lines()[4].given == ("image",)
    QTest.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, table.ring_point(place)
    )
    panel.given.go_to(4)
    frozen = panel.matrix.pinned()[("image",), "digit"]
    assert words(frozen).startswith("3 ")
    assert words(table.lines()[4].cells[1]).startswith("7 ")
    assert "Frozen: 3" in table.told(place)
    assert named == ["Freeze digit from image", "Example 4"]
    QTest.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, table.ring_point(place)
    )
    assert panel.matrix.pinned() == {}


def test_frozen_cells_are_generated_again_when_a_session_comes_back(make: Make) -> None:
    panel, _ = make()
    panel.matrix.toggle_pin(("digit",), "image")
    panel.given.go_to(4)
    kept = json.loads(json.dumps(panel.state()))
    other, toy = make()
    other.restore(kept)
    asked = [t.request for t in toy.asked if "pin" in t.slot]
    assert [(q.given.index, q.rows) for q in asked] == [(0, (("digit",),))]
    np.testing.assert_array_equal(
        other.matrix.pinned()[("digit",), "image"].values[0], panel.matrix.pinned()[("digit",), "image"].values[0]
    )
    assert last(toy).given.index == 4


def test_rows_of_ones_own_are_added_by_chips_and_taken_away(make: Make) -> None:
    panel, toy = make(SIX)
    rows = [line.given for line in panel.matrix.table.lines()]
    assert len(rows) == 1 + 6 + 6
    assert not panel.matrix.add.isEnabled()
    for name in ("age", "digit"):
        panel.matrix.chips[name].click()
    assert panel.matrix.add.isEnabled()
    panel.matrix.add.click()
    assert last(toy).rows == (*rows, ("digit", "age"))
    assert panel.matrix.table.lines()[-1].given == ("digit", "age")
    panel.matrix.table.row_removed.emit(("digit", "age"))
    assert last(toy).rows == tuple(rows)
    panel.matrix.usual.click()
    assert last(toy).rows == ()


def test_the_keyboard_moves_the_example_the_ring_and_what_is_given(make: Make) -> None:
    panel, toy = make()
    table = panel.matrix.table
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_Right)
    assert last(toy).given.index == 1
    QTest.keyClick(table, Qt.Key.Key_2)
    assert last(toy).given.missing == ("digit",)
    QTest.keyClick(table, Qt.Key.Key_2)
    assert last(toy).given.missing == ()
    QTest.keyClick(panel, Qt.Key.Key_R)
    assert last(toy).seed == 1
    for _ in range(2):
        QTest.keyClick(table, Qt.Key.Key_Down)
    QTest.keyClick(table, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    row, column = table._ring or (-9, -9)
    assert table.accessibleDescription() == table.told((row, column))
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert list(panel.matrix.pinned()) == [(table.lines()[row].given, "digit")]


def test_names_of_experts_cover_neither_one_another_nor_small_ellipses(make: Make) -> None:
    panel, _ = make(section="experts")
    plane = panel.experts.plane
    tiny, looks = np.eye(2) * 1e-6, (theme.current().colour("text"), False, 1.0)
    plane.set_gaussians(tuple((name, np.array([0.5, 0.2]), tiny, *looks) for name in ("image", "joint", "sentence")))
    boxes = [box for _, box in plane.name_boxes(plane.fontMetrics())]
    assert len(boxes) == 3
    centre = plane.window_shown().to_pixels(0.5, 0.2)
    for place, box in enumerate(boxes):
        assert not box.contains(centre)
        assert not any(box.intersects(other) for other in boxes[:place])


def test_numbers_are_compared_where_there_are_some_and_a_point_leads_to_its_example(make: Make) -> None:
    assert make()[0].numbers is None
    eye = replace(cross_toy.IMAGE, name="eye", shape=(3, SIDE, SIDE))
    panel, toy = make((eye, cross_toy.AGE, cross_toy.DOSE), section="numbers")
    page, asked = panel.numbers, toy.requests("numbers")[-1]
    assert page is not None and (asked.modality, asked.sources, asked.count) == ("age", ("eye",), 300)
    assert not toy.requests("otherwise") and page.eye.isHidden(), "only invented eyes can be drawn again"
    assert page.frame.state is CanvasState.READY
    assert page.figures.text().startswith("Mean absolute error 2 ± 0.16 years; guessing the median 10. Bias 1 ± 0.3")
    QApplication.processEvents()
    QTest.mouseClick(page.plot, Qt.MouseButton.LeftButton, pos=page.plot.place_of(5).toPoint())
    assert panel.bench.state.index == 5 and page.plot.readout().startswith("Example 5: predicted")
    page.plot.set_marked(7)
    assert page.plot.readout() == "", "of the seventh the truth is unknown"
    chips = panel.numbering.chips
    assert not chips["age"].isEnabled()
    chips["dose"].click()
    assert toy.requests("numbers")[-1].sources == ("eye", "dose")
    chips["dose"].click()
    chips["eye"].click()
    assert toy.requests("numbers")[-1].sources == ("eye",) and chips["eye"].isChecked(), "nothing is the picture again"
    kept = json.loads(json.dumps(panel.state()))
    other, _ = make((eye, cross_toy.AGE, cross_toy.DOSE))
    other.restore(kept)
    assert other.state() == kept
    toy.failing["numbers"] = FAILED
    panel.numbering.count._track.put(100)
    assert toy.requests("numbers")[-1].count == 100
    assert page.frame.state is CanvasState.ERROR


def test_an_invented_eye_is_drawn_again_as_the_slider_says(make: Make) -> None:
    eye = replace(cross_toy.IMAGE, name="eye", shape=(3, SIDE, SIDE))
    panel, toy = make((eye, cross_toy.AGE), section="numbers", data="fundus")
    page = panel.numbers
    assert page is not None and not page.eye.isHidden()
    panel.numbering.others["age"]._track.put(70.0)
    asked = toy.requests("otherwise")[-1]
    assert (asked.modality, asked.value, asked.given.index) == ("age", 70.0, 0)
    assert page.head.text() == "The same eye, otherwise: age 51 \N{RIGHTWARDS ARROW} 70 years"
    assert page.changes.words("record alone") == "cosine 0.50, 25 % as strong"


def test_it_waits_dimmed_and_a_failure_stands_where_the_matrix_would_be(make: Make) -> None:
    panel, toy = make(at_once=False)
    frame = panel.matrix.frame
    assert frame.state is CanvasState.WAITING
    toy.failing["matrix"] = FAILED
    toy.answer("matrix")
    assert frame.state is CanvasState.ERROR
    toy.failing.clear()
    frame.acted.emit()
    toy.answer("matrix")
    assert frame.state is CanvasState.READY


def test_nothing_is_asked_twice_and_another_snapshot_asks_again(make: Make) -> None:
    panel, toy = make()
    before = len(toy.requests("matrix"))
    panel.bench.set(seed=panel.bench.state.seed)
    assert len(toy.requests("matrix")) == before
    panel.set_card(cross_toy.card(key="zoo:cross@50", step=50))
    assert [q.model for q in toy.requests("matrix")[before:]] == ["zoo:cross@50"]


def test_every_kind_of_modality_has_an_editor_whose_values_are_asked(make: Make) -> None:
    panel, toy = make((*SIX, cross_toy.DOSE))
    parts = panel.given.parts
    parts["age"].editor.slider._track.put(70.0)  # type: ignore[attr-defined]
    assert last(toy).given.values["age"] == pytest.approx(70.0)
    box = parts["record"].editor.lists[1]  # type: ignore[attr-defined]
    box.setCurrentIndex(box.count() - 1)
    box.activated.emit(box.count() - 1)
    assert last(toy).given.values["record"][1] == -1
    parts["dose"].editor.sliders[2]._track.put(0.5)  # type: ignore[attr-defined]
    assert last(toy).given.values["dose"][2] == pytest.approx(0.5)
    assert from_json(to_json(last(toy))) == last(toy)


def test_agreement_is_the_judges_word_else_the_datums(qapp: QApplication) -> None:
    sure = cross_toy.value(cross_toy.DIGIT, 3)
    assert agreement(Cell(cross_toy.DIGIT, (sure,), cross_toy.value(cross_toy.DIGIT, 3))) is True
    assert agreement(Cell(cross_toy.DIGIT, (sure,), cross_toy.value(cross_toy.DIGIT, 4))) is False
    assert agreement(Cell(cross_toy.DIGIT, (sure,))) is None
    assert agreement(Cell(cross_toy.IMAGE, (cross_toy.ring(0),), None, {"word": "3", "agrees": None})) is None


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_the_whole_state_survives_plain_data(make: Make) -> None:
    panel, _ = make()
    panel.bench.set_value("digit", 8)
    panel.matrix.toggle_pin(("digit",), "image")
    panel.fusing.sliders["image"]._track.put(2.0)
    panel.bench.set(
        samples=4, seed=3, noise=True, prior_expert=False, rows=(("image",), ("digit",)), wrong="hook on a copy"
    )
    panel.bench.set(section="experts", axes=(1, 2), reach=2.5, centre=(0.5, -1.0), on=("image",), conflict="image")
    kept = panel.state()
    other, toy = make()
    other.restore(json.loads(json.dumps(kept)))
    assert other.state() == kept
    assert other.shown() == panel.shown()
    assert isinstance(last(toy, "experts"), ShowExperts)


def test_a_recipe_of_the_matrix_opens_here(make: Make) -> None:
    panel, _ = make(index=7, samples=3, missing=["sentence"], values={"digit": 2}, precision={"digit": 2.0})
    found = CrossPanel.state_of(panel.shown())
    assert found is not None
    other, toy = make()
    other.restore(found)
    assert last(toy) == panel.shown()
    assert CrossPanel.state_of(ProveExactness()) is None


def test_entries_of_another_model_are_left_out(make: Make) -> None:
    panel, _ = make(values={"gait": 3}, missing=["gait"], rows=[["gait"], ["image"]], samples=99, section="nowhere")
    state = panel.bench.state
    assert (state.values, state.missing, state.rows) == ({}, (), (("image",),))
    assert (state.samples, state.section) == (8, "matrix")


def test_undo_goes_back_through_the_studio(make: Make) -> None:
    studio = Studio()
    panel, toy = make(studio=studio)
    panel.committed.connect(lambda name: studio.commit(panel.card.key, panel.name, name, panel.state()))
    panel.given.go_to(5)
    panel.draws.again.click()
    step = studio.undo()
    assert step is not None
    panel.restore(step.before)
    assert (last(toy).given.index, last(toy).seed) == (5, 0)


# -- experts -----------------------------------------------------------------------------------------------------------


def test_experts_are_drawn_with_prior_and_joint_and_share_the_fusion(make: Make) -> None:
    panel, toy = make(section="experts")
    assert panel.experts.plane.gaussians() == ("prior", "image", "digit", "sentence", "joint")
    assert "image 25 %" in panel.shares.shares.accessibleDescription()
    panel.fusing.sliders["digit"]._track.put(8.0)
    assert last(toy, "experts").fusing.precision == {"digit": 8.0}
    panel.experts.chips["sentence"].clicked.emit()
    assert last(toy, "experts").on == ("image", "digit")
    panel.experts.across.setCurrentIndex(4)
    panel.experts.across.activated.emit(4)
    assert last(toy, "experts").axes == (3, 4)
    panel.sections.chosen.emit(0)
    assert last(toy).fusing.precision == {"digit": 8.0}


def test_the_plane_follows_the_hand_and_a_window_of_another_size_is_no_gesture(make: Make) -> None:
    panel, toy = make(section="experts")
    named = commits(panel)
    panel.resize(900, 600)
    panel.experts._on_reask()
    assert panel.bench.state.reach == 4.0
    assert named == []
    panel.experts.plane.show_rect(QRectF(0.0, -1.0, 2.0, 2.0))
    panel.experts._on_settled()
    assert panel.bench.state.reach == pytest.approx(1.0)
    assert panel.bench.state.centre == pytest.approx((1.0, 0.0))
    assert last(toy, "experts").centre == panel.bench.state.centre
    assert last(toy, "experts").reach >= 1.0
    assert named == ["Move the plane"]


# -- conflict ----------------------------------------------------------------------------------------------------------


def test_one_click_makes_a_conflict_and_a_point_of_it_sets_the_precision(make: Make) -> None:
    panel, toy = make(TWO, section="conflict")
    assert panel.conflict.frame.state is CanvasState.EMPTY
    panel.conflict.frame.filled.emit()
    asked = last(toy, "conflict")
    assert isinstance(asked, WeighConflict)
    assert (asked.given.values, asked.modality) == ({"digit": 7}, "digit")
    assert panel.conflict.frame.state is CanvasState.READY
    assert panel.conflict.strip.count() == asked.points
    assert panel.conflict.plot.readout() == ""
    panel.conflict.plot.clicked.emit(asked.points - 1)
    assert panel.bench.state.precision == {"digit": pytest.approx(16.0)}
    panel.argument.moved.chosen.emit(0)
    assert last(toy, "conflict").modality == "image"
    panel.argument.end.click()
    assert panel.conflict.frame.state is CanvasState.EMPTY
    assert panel.bench.state.values == {}


def test_where_there_is_no_label_the_other_claim_is_another_examples_value(make: Make) -> None:
    pair = (cross_toy.IMAGE, cross_toy.AGE)
    panel, toy = make(pair, section="conflict")
    panel.argument.make.click()
    other = last(toy, "other")
    assert (other.given.index, other.rows) == (1, (("age",),))
    assert last(toy, "conflict").given.values["age"] != panel.bench.example["age"]["mean"]


# -- scoreboard and lessons --------------------------------------------------------------------------------------------


def test_the_scoreboard_is_a_job_that_can_be_stopped_and_shows_its_figures(make: Make) -> None:
    panel, toy = make(section="scores")
    panel.scoring.start.click()
    assert isinstance(toy.jobs[-1].request, ScoreCross)
    assert not panel.scoring.start.isEnabled()
    panel.scoring.stop.click()
    assert toy.stopped == toy.jobs
    panel.receive("job", Cancelled(), toy.jobs[-1])
    assert panel.scoring.start.isEnabled()
    panel.scoring.start.click()
    toy.work()
    assert panel.scores.tiles() == 5
    assert "image to digit" in panel.scores.coherence.accessibleDescription()
    assert "image judged by small CNN, 98.0\N{NO-BREAK SPACE}% right" in panel.bench.judges_words()
    assert panel.scores.frame.state is CanvasState.READY
    panel.weighing.weigh.click()
    assert isinstance(last(toy, "weights"), WeighSamples)
    assert "effective samples" in panel.weighing.words.text()


def test_lessons_show_the_exact_bound_and_each_known_mistake(make: Make) -> None:
    panel, toy = make(section="lessons")
    panel.lessons.exact.prove.click()
    assert isinstance(last(toy, "exactness"), ProveExactness)
    assert "0.9 standard errors apart" in panel.lessons.exact.words_shown()
    for place, kind in ((1, "no sub-sampling"), (3, "label drowned")):
        panel.lessons.wrong.choice._choose(place)
        asked = last(toy, "wrong")
        assert isinstance(asked, ShowWrong)
        assert asked.kind == kind
    assert "right -98.2, wrong -131.5 nats" in panel.lessons.wrong.bars.accessibleDescription()
    assert panel.state()["wrong"] == "label drowned"
