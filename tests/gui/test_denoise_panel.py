"""The denoising panel with a toy that answers by hand: what is asked, what is shown, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.core.requests import FindNearest, PlayDenoising, from_json, to_json
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame
from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise import DenoisingPanel, sections_of
from dgm_studio.gui.panels.denoise_branching import film_words
from dgm_studio.gui.panels.denoise_film import TOPIC
from dgm_studio.gui.panels.denoise_nearest import NEAREST
from dgm_studio.gui.panels.denoise_state import END, LARGEST_FILM, StageState
from dgm_studio.gui.panels.denoise_views import tiled
from dgm_studio.gui.widgets.stateframe import CanvasState
from dgm_studio.gui.writing import drawing_of
from tests.gui import denoise_toy
from tests.gui.denoise_toy import DIGIT, FACE, IMAGE, POINTS, SIDE, Toy
from tests.gui.hand import drag

FAILED = Failed("The weights could not be read.", "Choose another.", "Traceback")
RECORD = denoise_toy.Modality("attributes", "attributes", (2,))
Made = tuple[DenoisingPanel, Toy]
Make = Callable[..., Made]


@pytest.fixture
def make(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> Make:
    """`make(modalities, at_once)`: a shown panel that has begun, and its toy."""
    theme.use("dark", 1.0)

    def build(
        modalities: tuple[Any, ...] = (IMAGE, DIGIT),
        *,
        at_once: bool = True,
        studio: Studio | None = None,
        **state: Any,
    ) -> Made:
        toy = Toy(modalities, at_once=at_once)
        panel = DenoisingPanel(denoise_toy.card(modalities), toy, studio)
        toy.panel = panel
        adopt(panel)
        panel.resize(1120, 760)
        panel.show()
        panel.begin()
        if state:
            panel.restore(state)
        return panel, toy

    return build


def last(toy: Toy, topic: str = TOPIC) -> Any:
    return toy.requests(topic)[-1]


def commits(panel: DenoisingPanel) -> list[str]:
    names: list[str] = []
    panel.committed.connect(names.append)
    return names


def seen(panel: DenoisingPanel) -> tuple[Any, Any]:
    """What the two pictures show."""
    return panel.film.pictures.left.view._values, panel.film.pictures.right.view._values


# -- recording and playing ---------------------------------------------------------------------------------------------


def test_begins_with_a_film_of_the_models_own_settings_at_its_result(make: Make) -> None:
    panel, toy = make()
    asked = last(toy)
    assert (asked.sampling.steps, asked.count, asked.seed, asked.condition) == (20, 16, 0, {})
    film = panel.film.reel.film()
    assert film is not None
    assert film.done
    assert sorted(film.steps) == list(range(21))
    assert panel.film.frame.state is CanvasState.READY
    x, clean = seen(panel)
    np.testing.assert_array_equal(x, film.steps[20]["x"])
    np.testing.assert_array_equal(clean, film.steps[20]["clean"])
    assert "20 of 20" in panel.film.where.text()
    assert panel.film.axis.accessibleDescription() == "step 20 of 20, log-SNR +5.0"


def test_the_film_plays_while_it_is_being_computed(make: Make) -> None:
    panel, toy = make(at_once=False)
    toy.answer("about")
    assert panel.film.frame.state is CanvasState.WAITING
    rest = toy.send(TOPIC, 1 + 7)
    panel.settle()
    assert panel.film.frame.state is CanvasState.READY
    assert panel.film.where.text().startswith("6 of 20")
    ticket = toy.waiting[TOPIC]
    for update in rest:
        panel.receive(TOPIC, update, ticket)
    assert "20 of 20" in panel.film.where.text()


def test_scrubbing_shows_any_step_both_ways_and_is_one_gesture(make: Make) -> None:
    panel, toy = make()
    film, named, asked = panel.film.reel.film(), commits(panel), len(toy.asked)
    assert film is not None
    axis = panel.film.axis
    for step in (3, 11, 5):
        here = QPoint(round(axis.x_of(step)), 60)
        if step == 3:
            QTest.mousePress(axis, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, here)
        else:
            drag(axis, here)
        x, clean = seen(panel)
        np.testing.assert_array_equal(x, film.steps[step]["x"])
        np.testing.assert_array_equal(clean, film.steps[step]["clean"])
    QTest.mouseRelease(axis, Qt.MouseButton.LeftButton)
    assert named == ["Go to step 5"]
    assert panel.state()["step"] == 5
    assert len(toy.asked) == asked


def test_the_norms_are_written_as_a_drawing_of_lines(make: Make) -> None:
    panel, _ = make()
    plot = panel.plot()
    assert plot is not None
    drawing = drawing_of(plot).decode()
    assert drawing.count("<polyline") >= 4
    assert "<image" not in drawing
    assert "log-SNR" in drawing


def test_the_keys_of_a_video_player_move_the_film(make: Make) -> None:
    panel, _ = make()
    for key, step in ((Qt.Key.Key_Home, 0), (Qt.Key.Key_Right, 1), (Qt.Key.Key_End, END), (Qt.Key.Key_Left, 19)):
        QTest.keyClick(panel, key)
        assert panel.stage.state.step == step
    QTest.keyClick(panel, Qt.Key.Key_O)
    assert panel.film.transport.loops()
    panel.film.transport._loop.click()
    assert not panel.stage.state.loops
    panel.film.transport._loop.click()
    QTest.keyClick(panel, Qt.Key.Key_Space)
    assert panel.film.transport.playing()
    panel.film.transport._tick()
    panel.film.transport._tick()
    assert panel.film.axis.index() == 0  # past the end it begins again
    QTest.keyClick(panel, Qt.Key.Key_Space)
    assert not panel.film.transport.playing()


def test_a_moved_control_records_anew_and_the_old_film_stays_until_the_first_frame(make: Make) -> None:
    panel, toy = make()
    before = seen(panel)[0]
    toy.at_once = False
    panel.draws.again.click()
    assert last(toy).seed == 1
    np.testing.assert_array_equal(seen(panel)[0], before)
    toy.send(TOPIC, 2)
    panel.settle()
    first = panel.film.reel.film()
    assert first is not None
    assert first.asked.seed == 1
    np.testing.assert_array_equal(seen(panel)[0], first.steps[0]["x"])


def test_a_hand_faster_than_the_network_sees_one_frame_of_every_film_and_the_newest_whole(make: Make) -> None:
    panel, toy = make()
    toy.at_once = False
    values = []
    panel.film.reel.grown.connect(lambda key: values.append(panel.film.reel.films[key].asked.sampling.eta))
    for eta in (0.1, 0.2, 0.3):
        panel.sampling.eta._track.put(eta)
    assert last(toy).sampling.eta == 0.1  # the others wait for its first step
    stale = toy.waiting[TOPIC]
    rest = toy.send(TOPIC, 2)
    assert last(toy).sampling.eta == 0.3
    for update in rest:
        panel.receive(TOPIC, update, stale)  # what was replaced is not shown
    toy.answer(TOPIC)
    assert set(values) == {0.0, 0.1, 0.3}  # the old film until the first frame, then one of the second, then the last
    film = panel.film.reel.film()
    assert film is not None
    assert film.done
    assert film.asked.sampling.eta == 0.3


def test_noise_without_an_estimate_does_not_take_the_place_of_a_film(make: Make) -> None:
    panel, toy = make(at_once=False)
    toy.answer("about")
    blank = next(u for u in toy.updates(TOPIC, last(toy)) if isinstance(u, Frame) and u.topic == "step/0")
    blank = Frame("step/0", {**blank.data, "partial": True})
    panel.receive(TOPIC, blank, toy.waiting[TOPIC])
    assert panel.film.frame.state is CanvasState.READY  # the first film: better than nothing
    toy.answer(TOPIC)
    before = seen(panel)[1]
    panel.draws.again.click()
    panel.receive(TOPIC, blank, toy.waiting[TOPIC])
    np.testing.assert_array_equal(seen(panel)[1], before)


GESTURES: dict[str, tuple[Callable[[DenoisingPanel], object], Callable[[PlayDenoising], bool]]] = {
    "another sampler": (lambda p: p.sampling.sampler._on_activated(2), lambda q: q.sampling.sampler == "dpmpp-2m"),
    "more steps": (lambda p: p.sampling.steps._track.put(50), lambda q: q.sampling.steps == 50),
    "eta": (lambda p: p.sampling.eta._track.put(0.5), lambda q: q.sampling.eta == 0.5),
    "clipping": (lambda p: p.sampling.clip._on_activated(1), lambda q: q.sampling.clip == "none"),
    "spacing": (lambda p: p.sampling.spacing._on_activated(2), lambda q: q.sampling.spacing == "log-snr"),
    "samples": (lambda p: p.draws.count._track.put(9), lambda q: q.count == 9),
    "a class": (
        lambda p: p.condition.parts["digit"].editor.segments._choose(8),  # type: ignore[attr-defined]
        lambda q: q.condition == {"digit": 7},
    ),
    "a noised picture": (
        lambda p: p.beginning.kind._choose(1),
        lambda q: (q.beginning.kind, q.beginning.depth) == ("picture", 0.6),
    ),
    "noise between seeds": (lambda p: p.beginning.kind._choose(3), lambda q: q.beginning.kind == "between"),
}


@pytest.mark.parametrize("gesture", GESTURES)
def test_every_control_asks_for_what_it_says_and_can_be_undone(make: Make, gesture: str) -> None:
    studio = Studio()
    panel, toy = make(studio=studio)
    panel.committed.connect(lambda name: studio.commit(panel.card.key, panel.name, name, panel.state()))
    first = last(toy)
    act, asked_right = GESTURES[gesture]
    act(panel)
    assert asked_right(last(toy))
    assert from_json(json.loads(json.dumps(to_json(last(toy))))) == last(toy)
    step = studio.undo()
    assert step is not None
    panel.restore(step.before)
    assert last(toy) == first


def test_samplers_that_the_model_refuses_say_why_and_cannot_be_chosen(make: Make) -> None:
    panel, _ = make()
    sampler = panel.sampling.sampler
    assert sampler.refused() == {"euler-flow": denoise_toy.REFUSED, "heun-flow": denoise_toy.REFUSED}
    place = list(sampler._keys).index("euler-flow")
    assert not sampler.list.model().flags(sampler.list.model().index(place, 0)) & Qt.ItemFlag.ItemIsEnabled
    assert "levels of your own" in panel.sampling.spacing.refused()["own"]


def test_the_memory_of_a_film_is_said_before_it_is_recorded_and_what_it_takes_is_that(make: Make) -> None:
    panel, _ = make((FACE,))
    film = panel.film.reel.film()
    assert film is not None
    said = panel.stage.film_bytes(panel.stage.take)
    assert said == pytest.approx(film.memory(), rel=0.05)
    panel.stage.set(count=64)
    panel.stage.change(sampling={"steps": 1000})
    asked = panel.stage.request()
    assert asked.half == 2
    assert "one in 2 is kept" in panel.draws.memory_words()
    assert panel.stage.film_bytes(panel.stage.take) / asked.half <= LARGEST_FILM


def test_sixty_four_samples_become_one_image_with_every_pixel_in_its_place() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    colour = np.random.default_rng(1).integers(0, 256, (64, 32, 32, 3), np.uint8)
    ink = theme.current().ink_table()
    sheet = tiled(grey, 3)
    for index in range(7):
        row, column = divmod(index, 3)
        assert sheet[row * 6 + 2, column * 5 + 1] == ink[grey[index, 2, 1]]
    assert sheet[5, 0] == 0  # nothing between them
    sheet = tiled(colour, 8)
    image = QImage(sheet.data, sheet.shape[1], sheet.shape[0], QImage.Format.Format_ARGB32_Premultiplied)
    row, column = divmod(42, 8)
    pixel = QColor(image.pixel(column * 34 + 3, row * 34 + 30))
    assert (pixel.red(), pixel.green(), pixel.blue()) == tuple(colour[42, 30, 3])


# -- samples -----------------------------------------------------------------------------------------------------------


def test_a_click_enlarges_a_sample_and_finds_its_nearest_training_pictures(make: Make) -> None:
    panel, toy = make()
    view = panel.film.pictures.right.view
    cell = view._cell(6)
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, cell.center().toPoint())
    assert panel.stage.state.sample == 6
    image = view.image()
    assert image is not None
    assert (image.width(), image.height()) == (SIDE, SIDE)
    asked = last(toy, NEAREST)
    assert isinstance(asked, FindNearest)
    assert (asked.index, asked.film) == (6, panel.stage.request())
    assert panel.film.nearest.isVisibleTo(panel)
    assert "as near as held-out pictures usually are" in panel.film.nearest.words.text()
    assert view.told(6) == "Sample 7: the judge sees 6"
    QTest.keyClick(panel, Qt.Key.Key_Escape)
    assert panel.stage.state.sample == -1
    assert not panel.film.nearest.isVisibleTo(panel)


def test_guidance_difference_is_offered_only_where_there_is_guidance(make: Make) -> None:
    panel, _ = make()
    choice = panel.film.pictures.right.choice
    assert "no guidance" in choice.refused()["difference"]
    panel.stage.change(condition={"digit": 3}, sampling={"guidance": 3.0})
    assert choice.refused() == {}
    choice._on_activated(3)
    film = panel.film.reel.film()
    assert film is not None
    np.testing.assert_array_equal(seen(panel)[1], film.steps[20]["difference"])


def test_attributes_are_given_one_by_one_and_all_unknown_is_free(make: Make) -> None:
    panel, toy = make((FACE, RECORD))
    lists = panel.condition.parts["attributes"].editor.lists  # type: ignore[attr-defined]
    lists[0].setCurrentIndex(1)
    lists[0].activated.emit(1)
    assert last(toy).condition == {"attributes": (1, -1)}
    lists[0].setCurrentIndex(2)
    lists[0].activated.emit(2)
    assert last(toy).condition == {}


# -- branches ----------------------------------------------------------------------------------------------------------


def test_a_branch_leaves_at_the_playhead_with_other_noise_and_repeats_its_parent_before(make: Make) -> None:
    panel, toy = make()
    parent = last(toy)
    panel.film.axis._go(8)
    QTest.keyClick(panel, Qt.Key.Key_B)
    asked = last(toy)
    assert (asked.parent, asked.at, asked.seed, asked.sampling.eta) == (parent, 8, 1, 1.0)
    assert panel.stage.state.selected == "1"
    lanes = panel.film.ribbon.tree.lanes()
    assert [(lane.key, lane.parent, lane.words) for lane in lanes] == [
        ("0", "", "Original \N{MIDDLE DOT} DDIM, 20 steps"),
        ("1", "0", "eta 1, seed 1"),
    ]
    assert lanes[1].start == pytest.approx(8.0)
    root = panel.film.reel.film("0")
    assert root is not None
    panel.film.axis._go(4)
    np.testing.assert_array_equal(seen(panel)[0], root.steps[4]["x"])


def test_a_branch_can_be_finer_and_its_lane_hangs_at_the_same_level(make: Make) -> None:
    panel, toy = make()
    panel.film.axis._go(10)
    panel.film.finer.click()
    assert (last(toy).at, last(toy).sampling.steps, last(toy).seed) == (10, 40, 0)
    film = panel.film.reel.film()
    assert film is not None
    assert film.last() == 10 + 20
    root, branch = panel.film.ribbon.tree.lanes()
    assert branch.start == pytest.approx(10.0)
    assert root.reached == pytest.approx(30.0)


def test_a_branch_is_told_by_what_means_something_to_its_sampler(make: Make) -> None:
    panel, _ = make()
    panel.film.axis._go(9)
    panel.film.branch_here()
    assert film_words(panel.stage, panel.stage.take) == "eta 1, seed 1"
    panel.stage.change(sampling={"sampler": "ddpm"})
    assert film_words(panel.stage, panel.stage.take) == "DDPM ancestral, seed 1"


def test_branches_are_kept_thrown_away_and_brought_back(make: Make) -> None:
    studio = Studio()
    panel, _ = make(studio=studio)
    panel.committed.connect(lambda name: studio.commit(panel.card.key, panel.name, name, panel.state()))
    for step in (12, 6):
        panel.film.axis._go(step)
        panel.film.branch_here()
    panel.film.ribbon.pin_frame()
    assert [(t.key, t.parent) for t in panel.stage.state.takes] == [("0", ""), ("1", "0"), ("2", "0")]
    panel.film.ribbon.keep.click()
    assert [t.key for t in panel.stage.state.takes] == ["0", "2"]
    panel.film.ribbon.throw.click()
    assert [t.key for t in panel.stage.state.takes] == ["0"]
    assert panel.stage.state.pins == ()
    for count in (2, 3):
        step_back = studio.undo()
        assert step_back is not None
        panel.restore(step_back.before)
        assert len(panel.stage.state.takes) == count
    assert set(panel.film.reel.films) == {"0", "1", "2"}


def test_a_branch_is_edited_alone_and_follows_its_parents_changes(make: Make) -> None:
    panel, toy = make()
    panel.film.axis._go(15)
    panel.film.branch_here()
    panel.stage.change(condition={"digit": 5})
    assert last(toy).condition == {"digit": 5}
    assert last(toy).parent.condition == {}
    panel.film.ribbon.tree.chosen.emit("0")
    panel.sampling.steps._track.put(10)
    first, second = toy.requests(TOPIC)[-2:]
    assert (first.parent, first.sampling.steps) == (None, 10)
    assert (second.parent, second.at) == (first, 9)  # the parent has no fifteenth step now
    film = panel.film.reel.film("1")
    assert film is not None
    assert film.asked == second


# -- pins and what stands beside ---------------------------------------------------------------------------------------


def test_pinned_frames_stay_and_lead_back(make: Make) -> None:
    panel, _ = make()
    panel.film.axis._go(4)
    QTest.keyClick(panel, Qt.Key.Key_P)
    panel.film.axis._go(17)
    panel.film.pin.click()
    strip = panel.film.ribbon.pins
    assert [pin.words for pin in strip._pins] == ["4 clean", "17 clean"]
    film = panel.film.reel.film()
    assert film is not None
    np.testing.assert_array_equal(strip._pins[0].values, film.steps[4]["clean"])
    centre = strip._box(0).center().toPoint()
    QTest.mouseClick(strip, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, centre)
    assert panel.film.axis.index() == 4
    strip.removed.emit(0)
    assert [pin.step for pin in panel.stage.state.pins] == [17]


def test_another_checkpoint_of_the_comparison_follows_from_the_same_noise_in_step(make: Make) -> None:
    studio = Studio()
    other = denoise_toy.card(key="zoo:edm", name="edm")
    studio.cards[other.key] = other
    panel, toy = make(studio=studio)
    studio.compare_toggle(other.key)
    panel.comparison_changed()
    choice = panel.film.compared.choice
    assert choice._keys == ["", "model:zoo:edm"]
    choice._on_activated(1)
    assert last(toy, "film/beside") == replace(panel.stage.request(), model="zoo:edm")
    side = panel.film.pictures.other
    assert side.isVisibleTo(panel)
    assert side.title.text() == "edm, step 100"
    panel.film.axis._go(5)
    film = panel.film.beside.film
    assert film is not None
    np.testing.assert_array_equal(side.view._values, film.steps[5]["clean"])
    panel.draws.again.click()
    assert last(toy, "film/beside").seed == 1


def test_another_film_of_the_tree_stands_beside_at_the_same_level(make: Make) -> None:
    panel, _ = make()
    panel.film.axis._go(10)
    panel.film.finer_here()
    panel.stage.set(beside="take:0")
    panel.film.axis._go(20)  # of a branch with twice the steps from 10 on: level of the original's step 15
    root = panel.film.reel.film("0")
    assert root is not None
    np.testing.assert_array_equal(panel.film.pictures.other.view._values, root.steps[15]["clean"])


# -- beginning and inpainting ------------------------------------------------------------------------------------------


def test_a_painted_mask_keeps_the_rest_of_the_picture(make: Make) -> None:
    panel, toy = make()
    panel.beginning.inpaint.click()
    canvas = panel.beginning.source.canvas
    np.testing.assert_array_equal(canvas.picture(), denoise_toy.as_bytes(denoise_toy.ring(0, (SIDE, SIDE))))
    target = canvas._target()
    start = QPointF(target.left() + target.width() / 4, target.center().y()).toPoint()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    drag(canvas, start + QPoint(20, 0))
    asked = len(toy.requests(TOPIC))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton)
    assert len(toy.requests(TOPIC)) == asked + 1
    mask = np.asarray(last(toy).beginning.mask)
    np.testing.assert_array_equal(mask == 0, canvas.erased())
    assert 4 < (mask == 0).sum() < SIDE * SIDE / 2
    assert last(toy).beginning.source.picture == ()
    panel.beginning.source.reset.click()
    assert last(toy).beginning.mask == ()
    assert not canvas.erased().any()


def test_the_enlarged_sample_becomes_the_picture_to_begin_with(make: Make) -> None:
    panel, toy = make()
    panel.stage.set(sample=2)
    film = panel.film.reel.film()
    assert film is not None
    result = np.asarray(film.steps[20]["clean"])[2]
    panel.beginning.kind._choose(1)
    panel.beginning.source.own.click()
    np.testing.assert_array_equal(np.asarray(last(toy).beginning.source.picture), result)
    panel.beginning.source.next.click()
    assert last(toy).beginning.source.picture == ()


# -- states and what is kept -------------------------------------------------------------------------------------------


def test_a_failure_stands_where_the_film_would_be_and_its_button_tries_again(make: Make) -> None:
    panel, toy = make(at_once=False)
    toy.failing["about"] = FAILED
    toy.answer("about")
    assert panel.film.frame.state is CanvasState.ERROR
    toy.failing.clear()
    panel.film.frame.acted.emit()
    toy.answer("about")
    toy.failing[TOPIC] = FAILED
    toy.answer(TOPIC)
    assert panel.film.frame.state is CanvasState.ERROR
    assert TOPIC not in toy.waiting  # what failed is not asked again by itself
    toy.failing.clear()
    panel.film.frame.acted.emit()
    toy.answer(TOPIC)
    assert panel.film.frame.state is CanvasState.READY


def test_a_warning_is_one_line_with_its_remedy(make: Make) -> None:
    panel, toy = make()
    assert not panel.film.notice.isVisibleTo(panel)
    panel.stage.change(sampling={"steps": 3})
    assert panel.film.notice.text() == denoise_toy.FEW
    panel.film.remedy.click()
    assert last(toy).sampling.steps == 10
    assert not panel.film.notice.isVisibleTo(panel)


def test_another_snapshot_records_every_film_anew_and_newer_weights_of_a_run_as_well(make: Make) -> None:
    panel, toy = make()
    panel.film.axis._go(9)
    panel.film.branch_here()
    before = len(toy.requests(TOPIC))
    panel.set_card(denoise_toy.card(key="zoo:ddpm@50", step=50))
    assert [(q.model, bool(q.parent)) for q in toy.requests(TOPIC)[before:]] == [
        ("zoo:ddpm@50", True),
        ("zoo:ddpm@50", False),
    ]
    panel.follow(denoise_toy.card(key="zoo:ddpm@50", step=60))
    assert len(toy.requests(TOPIC)) == before + 4


def test_snapshots_that_a_training_run_saves_interrupt_nothing_that_is_on_its_way(make: Make) -> None:
    panel, toy = make()
    panel.set_card(replace(panel.card, live=True))
    before = len(toy.asked)
    panel.set_card(replace(panel.card, step=128, snapshots=(0, 128)))
    assert len(toy.asked) == before and panel.stage.card.step == 128
    panel.set_card(replace(panel.card, step=200, live=False))
    assert len(toy.asked) > before


def test_the_whole_state_survives_plain_data(make: Make) -> None:
    panel, _ = make()
    panel.stage.change(condition={"digit": 4}, sampling={"guidance": 2.5})
    panel.film.axis._go(7)
    panel.film.branch_here()
    panel.film.ribbon.pin_frame()
    panel.stage.set(sample=1, right="noise", beside="take:0", speed=0.5, loops=True)
    kept = json.loads(json.dumps(panel.state()))
    other, _ = make()
    other.restore(kept)
    assert other.state() == panel.state()
    assert other.shown() == panel.shown()
    found = DenoisingPanel.state_of(panel.shown())
    assert found is not None
    third, _ = make()
    third.restore(json.loads(json.dumps(found)))
    assert third.shown() == panel.shown()


def test_entries_of_another_version_are_left_out() -> None:
    state = StageState().taking(
        {
            "section": "nowhere",
            "count": 10_000,
            "takes": [{"key": "1", "parent": "9"}, {"key": "0", "sampling": {"steps": 7}}, {"key": "2", "parent": "0"}],
            "selected": "1",
            "pins": [{"take": "1"}, {"take": "2", "kind": "odd"}, {"take": "2"}],
            "speed": 3,
            "left": None,
        }
    )
    assert [take.key for take in state.takes] == ["0", "2"]
    assert state.takes[0].sampling.steps == 7
    assert (state.section, state.selected, state.speed, state.left) == ("film", "0", 1.0, "x")
    assert [pin.take for pin in state.pins] == ["2"]


def test_attributes_that_are_stored_for_other_columns_are_shown_as_far_as_they_go(make: Make) -> None:
    panel, _ = make((FACE, RECORD))
    lists = panel.condition.parts["attributes"].editor.lists  # type: ignore[attr-defined]
    for stored, shown in (((1,), ["blond", "unknown"]), ((0, 1, 1), ["black", "yes"])):
        panel.stage.change("Other columns", condition={"attributes": stored})
        assert [each.currentText() for each in lists] == shown


def test_points_are_played_as_points_and_each_model_has_the_sections_that_fit(make: Make) -> None:
    panel, toy = make((POINTS,))
    assert last(toy).count == 256
    assert seen(panel)[0].shape == (256, 2)
    assert panel.film.pictures.left.view.image() is None
    assert not panel.film.nearest.isVisibleTo(panel)
    panel.beginning.kind.set_index(1)
    assert panel.beginning.kind.text() == "Example"
    assert "plane" in sections_of(denoise_toy.card((POINTS,)))
    assert "plane" not in sections_of(denoise_toy.card())
    assert "guidance" in sections_of(denoise_toy.card())
    assert "guidance" not in sections_of(denoise_toy.card((IMAGE,)))


def test_no_film_is_recorded_while_another_section_is_in_sight(make: Make) -> None:
    panel, toy = make()
    panel.railed.chosen.emit("schedule")
    before = len(toy.requests(TOPIC))
    panel.stage.change(seed=4)
    assert len(toy.requests(TOPIC)) == before
    panel.railed.chosen.emit("film")
    assert last(toy).seed == 4


def test_an_answer_that_was_cancelled_changes_nothing(make: Make) -> None:
    panel, toy = make(at_once=False)
    toy.answer("about")
    ticket = toy.waiting[TOPIC]
    panel.receive(TOPIC, Cancelled(), ticket)
    panel.receive(TOPIC, Frame("film", {}), replace(ticket, request=replace(ticket.request, seed=9)))
    assert panel.film.reel.films == {}
    toy.answer(TOPIC)
    assert panel.film.frame.state is CanvasState.READY
