"""The latent panel with a toy that answers by hand: what is asked, what is shown, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QAbstractSlider, QApplication, QComboBox, QLineEdit, QSpinBox, QWidget

from dgm_studio.core import requests
from dgm_studio.core.cards import Capability
from dgm_studio.core.requests import DecodeLatent, DrawMap, FollowPath, TraverseLatents
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Failed
from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent import LatentPanel
from dgm_studio.gui.widgets.stateframe import CanvasState
from tests.gui import latent_toy
from tests.gui.latent_toy import Toy

FAILED = Failed("The decoder broke.", "Try again", "Traceback")
Made = tuple[LatentPanel, Toy]


@pytest.fixture
def make(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> Iterator[Callable[..., Made]]:
    """`make(card, at_once)`: a shown panel that has begun, and its toy."""

    def build(card: object = None, *, at_once: bool = True, studio: Studio | None = None) -> Made:
        toy = Toy(at_once=at_once)
        panel = LatentPanel(card or latent_toy.card(), toy, studio)  # type: ignore[arg-type]
        toy.panel = panel
        adopt(panel)
        panel.resize(1120, 720)
        panel.show()
        panel.begin()
        if at_once:
            settle()
        return panel, toy

    yield build


def settle(milliseconds: int = 180) -> None:
    """Let the short pauses before tiles and contours pass."""
    QTest.qWait(milliseconds)


def shown_picture(panel: LatentPanel) -> np.ndarray:
    """The large picture's bytes."""
    image = panel.scene.decoded.view.image()
    assert image is not None
    assert image.format() == QImage.Format.Format_Indexed8
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : image.width()]


def test_begins_with_a_picture_then_the_space_then_tiles_for_what_is_in_sight(make: Callable[..., Made]) -> None:
    panel, toy = make()
    topics = [ticket.slot.removeprefix("latent/") for ticket in toy.asked]
    assert topics.index("decoded") < topics.index("latents") < topics.index("tiles")
    asked = toy.requests("tiles")[-1]
    cells = 2.0**-asked.level
    left, right, bottom, top = panel.scene.map.seen()
    wanted = {(i, j) for request in toy.requests("tiles") for i, j in request.tiles if request.level == asked.level}
    assert min(i for i, _ in wanted) * cells <= left
    assert (max(i for i, _ in wanted) + 1) * cells >= right
    assert min(j for _, j in wanted) * cells <= bottom
    assert (max(j for _, j in wanted) + 1) * cells >= top
    assert panel.scene.map.frame.state is CanvasState.READY


def test_a_slider_asks_at_every_move_and_the_last_value_is_shown(make: Callable[..., Made]) -> None:
    panel, toy = make()
    row = panel.scene.sliders.rows()["latent:3"]
    before = len(toy.requests("decoded"))
    for value in (0.5, 1.0, 1.5):
        row.moved.emit(value)
    asked = toy.requests("decoded")[before:]
    assert [request.z[3] for request in asked] == [0.5, 1.0, 1.5]
    np.testing.assert_array_equal(shown_picture(panel), latent_toy.decode(panel.scene.state.z)[0])


def test_latents_are_sorted_by_kl_and_show_it(make: Callable[..., Made]) -> None:
    panel, _ = make()
    assert list(panel.scene.sliders.rows()) == ["latent:1", "latent:2", "latent:0", "latent:3", "latent:4"]
    assert panel.scene.sliders.summary.text() == "5 · 4 active"


def test_nothing_waits_on_the_way_out_and_a_late_answer_is_not_shown_over_a_path_frame(
    make: Callable[..., Made],
) -> None:
    panel, toy = make()
    toy.at_once = False
    panel.scene.sliders.rows()["latent:0"].moved.emit(2.0)
    panel.scene.bar.strip.scrubbed.emit(5)
    toy.answer("decoded")
    frame = panel.travel._data
    assert frame is not None
    np.testing.assert_array_equal(shown_picture(panel), frame["pictures"][5])


def test_the_first_picture_waits_dimmed_and_a_failure_stands_where_it_would_be(make: Callable[..., Made]) -> None:
    panel, toy = make(at_once=False)
    assert panel.scene.decoded.frame.state is CanvasState.WAITING
    assert panel.scene.map.frame.state is CanvasState.WAITING
    toy.failing["decoded"] = FAILED
    toy.answer("decoded")
    assert panel.scene.decoded.frame.state is CanvasState.ERROR
    toy.failing.clear()
    panel.scene.decoded.frame.acted.emit()
    toy.answer("decoded")
    assert panel.scene.decoded.frame.state is CanvasState.READY


@pytest.mark.parametrize("topic", ["latents", "tiles", "density", "path", "neighbours", "posterior", "traversals"])
def test_every_failed_question_is_told_where_its_answer_belongs(make: Callable[..., Made], topic: str) -> None:
    panel, toy = make(at_once=False)
    toy.failing[topic] = FAILED
    toy.at_once = True
    toy.answer()
    settle(300)
    scene = panel.scene
    if topic == "posterior":
        scene.encode.example_wanted.emit(3)
    if topic == "traversals":
        scene.map.strips.click()
    told = {
        "latents": scene.map.notice.text,
        "density": scene.map.notice.text,
        "path": scene.bar.words.text,
        "neighbours": scene.decoded.figures.text,
        "posterior": scene.encode.error.text,
    }
    if topic in told:
        assert "The decoder broke." in told[topic]()
    else:
        frame = scene.map.frame if topic == "tiles" else scene.strips.frame
        assert frame.state is CanvasState.ERROR
    assert panel.isVisible()


def test_a_model_whose_data_are_gone_can_still_be_flown_through(make: Callable[..., Made]) -> None:
    panel, toy = make(at_once=False)
    toy.failing["latents"] = FAILED
    toy.at_once = True
    toy.answer()
    settle()
    assert toy.requests("tiles")
    assert panel.scene.map.frame.state is CanvasState.READY


def test_moving_on_the_map_keeps_the_plane_and_moves_the_sliders(make: Callable[..., Made]) -> None:
    panel, toy = make()
    plane, tiles = panel.scene.plane, len(toy.requests("tiles"))
    panel.scene.map.ring_moved.emit("z", 0.7, -0.4)
    settle()
    assert plane is panel.scene.plane
    assert len(toy.requests("tiles")) == tiles
    assert plane is not None
    np.testing.assert_allclose(panel.scene.state.z, plane.lift(0.7, -0.4), atol=1e-6)
    rows = panel.scene.sliders.rows()
    assert rows["latent:0"].value() == pytest.approx(panel.scene.state.z[0], abs=1e-6)


def test_leaving_the_plane_asks_for_its_tiles_once_the_hand_rests(make: Callable[..., Made]) -> None:
    panel, toy = make()
    before = len(toy.requests("tiles"))
    for value in np.linspace(0, 2, 10):
        panel.scene.sliders.rows()["latent:4"].moved.emit(float(value))
    assert len(toy.requests("tiles")) == before
    assert panel.scene.map.frame.stale()
    settle(250)
    assert len(toy.requests("tiles")) == before + 1
    assert not panel.scene.map.frame.stale()
    plane = panel.scene.plane
    assert plane is not None
    assert plane.distance(panel.scene.state.latent) < 1e-5


def test_going_back_to_a_plane_asks_for_nothing_that_was_kept(make: Callable[..., Made]) -> None:
    panel, toy = make()
    start = panel.scene.state.latent
    panel.scene.move_to(start + np.array([0, 0, 0, 1.0, 0]))
    settle(250)
    before = len(toy.requests("tiles"))
    panel.scene.move_to(start)
    settle(250)
    assert len(toy.requests("tiles")) == before
    assert not panel.scene.map.frame.stale()


def test_a_tile_that_did_come_is_not_asked_for_again(make: Callable[..., Made]) -> None:
    panel, toy = make()
    toy.at_once = False
    panel.scene.move_to(panel.scene.state.latent + np.array([0, 0, 0, 1.0, 0]))
    settle(250)
    ticket = toy.waiting["tiles"]
    first = toy.updates("tiles", ticket.request)[0]
    panel.receive("tiles", first, ticket)
    panel.scene.map.feed.ask_now()
    assert set(toy.requests("tiles")[-1].tiles) == set(ticket.request.tiles) - {ticket.request.tiles[0]}


def test_hovering_shows_what_is_there_and_leaving_shows_z_again(make: Callable[..., Made]) -> None:
    panel, _ = make()
    z = panel.scene.state.z
    plane = panel.scene.plane
    assert plane is not None
    panel.scene.map.hovered.emit(1.0, 1.0)
    np.testing.assert_array_equal(shown_picture(panel), latent_toy.decode(np.float32(plane.lift(1.0, 1.0)))[0])
    assert panel.scene.state.z == z
    panel.scene.map.left.emit()
    np.testing.assert_array_equal(shown_picture(panel), latent_toy.decode(z)[0])


def test_locked_latents_stay_whatever_moves(make: Callable[..., Made]) -> None:
    panel, _ = make()
    panel.scene.sliders.rows()["latent:0"].set_locked(True)
    kept = panel.scene.state.z[0]
    assert panel.scene.state.locks == (0,)
    panel.randomise()
    panel.scene.map.ring_moved.emit("z", 1.5, 1.5)
    panel.scene.sliders.tab_chosen.emit("principal")
    panel.scene.sliders.moved.emit("principal:0", 1.0)
    assert panel.scene.state.z[0] == pytest.approx(kept, abs=1e-6)
    assert panel.scene.space.value("principal:0", panel.scene.state.latent) == pytest.approx(1.0, abs=1e-5)
    panel.reset()
    assert panel.scene.state.z == pytest.approx((kept, 0, 0, 0, 0), abs=1e-6)


def test_random_draws_the_shown_seed_with_the_truncation(make: Callable[..., Made]) -> None:
    panel, toy = make()
    panel.scene.sliders.truncation_moved.emit(0.5)
    panel.randomise()
    asked = toy.requests("random")[-1]
    assert (asked.seed, asked.truncation) == (1, 0.5)
    assert panel.scene.sliders.seed.value() == 1
    expected = 0.5 * np.random.default_rng(1).standard_normal(latent_toy.LATENT)
    np.testing.assert_allclose(panel.scene.state.z, expected, atol=1e-6)


def test_every_gesture_is_one_undo_step_with_a_name_and_restores_exactly(make: Callable[..., Made]) -> None:
    studio = Studio()
    panel, _ = make(studio=studio)
    panel.committed.connect(lambda name: studio.commit(panel.card.key, panel.name, name, panel.state()))
    studio.keep(panel.card.key, panel.name, panel.state())
    first = json.loads(json.dumps(panel.state()))
    row = panel.scene.sliders.rows()["latent:2"]
    row.pressed.emit()
    for value in (0.2, 0.4, 0.8):
        row.moved.emit(value)
    row.released.emit()
    panel.scene.map.mode_chosen.emit("labels")
    panel.travel.add_from("here")
    assert [step.name for step in studio.history._done] == ["Move z02", "Choose axes", "Add anchor C"]
    last = json.loads(json.dumps(panel.state()))
    for _ in range(3):
        step = studio.undo()
        assert step is not None
        panel.restore(step.before)
    assert json.loads(json.dumps(panel.state())) == first
    for _ in range(3):
        step = studio.redo()
        assert step is not None
        panel.restore(step.after)
    assert json.loads(json.dumps(panel.state())) == last


def test_undo_while_a_path_plays_stops_it_and_leaves_redo_alone(make: Callable[..., Made]) -> None:
    panel, _ = make()
    before = panel.state()
    panel.scene.bar.transport.set_rate(200)
    panel.scene.bar.transport.toggle()
    QTest.qWait(40)
    gestures: list[str] = []
    panel.committed.connect(gestures.append)
    panel.restore(before)
    assert not panel.scene.bar.transport.playing()
    assert gestures == []
    assert panel.state() == before


def test_a_fresh_panel_takes_on_a_stored_state(make: Callable[..., Made]) -> None:
    panel, _ = make()
    panel.scene.encode.example_wanted.emit(7)
    panel.scene.map.axes_chosen.emit("latent:3", "attribute:digit:one")
    panel.scene.sliders.tab_chosen.emit("attribute")
    panel.travel.drop(-1)
    panel.travel.add_from("here")
    panel.travel.add_from("drawing")
    panel.scene.bar.kind_chosen.emit("spherical")
    stored = json.loads(json.dumps(panel.state()))
    other, toy = make(at_once=False)
    other.restore(stored)
    toy.at_once = True
    toy.answer()
    settle()
    assert json.loads(json.dumps(other.state())) == stored
    assert other.scene.plane is not None
    assert panel.scene.plane is not None
    assert other.scene.plane.name() == panel.scene.plane.name()
    assert toy.requests("posterior")[-1].index == 7


def test_a_state_of_another_size_or_with_nonsense_is_taken_as_far_as_it_makes_sense(make: Callable[..., Made]) -> None:
    panel, _ = make()
    before = panel.scene.state
    panel.restore({"z": [1, 2], "mode": "sideways", "seed": "x", "anchors": [{"z": [0]}], "view": [0, 1], "later": 3})
    after = panel.scene.state
    assert (after.z, after.mode, after.seed) == (before.z, before.mode, before.seed)
    assert after.anchors == ()


def test_another_snapshot_keeps_z_and_asks_everything_again(make: Callable[..., Made]) -> None:
    panel, toy = make()
    panel.scene.sliders.rows()["latent:3"].moved.emit(1.25)
    z, anchors = panel.scene.state.z, panel.scene.state.anchors
    toy.asked.clear()
    panel.set_card(replace(panel.card, key="zoo:toy@50", step=50))
    settle(400)
    assert panel.scene.state.z == z
    assert panel.scene.state.anchors == anchors
    asked = {ticket.slot.removeprefix("latent/") for ticket in toy.asked}
    assert {"decoded", "tiles", "latents", "path", "density", "neighbours"} <= asked
    assert all(ticket.request.model == "zoo:toy@50" for ticket in toy.asked)


def test_a_snapshot_with_another_number_of_latents_starts_over_and_says_so(make: Callable[..., Made]) -> None:
    studio = Studio()
    panel, toy = make(studio=studio)
    panel.set_card(latent_toy.card(2, key="zoo:small"))
    settle()
    assert len(panel.scene.state.z) == 2
    assert toy.requests("decoded")[-1].model == "zoo:small"
    assert [wish.kind for wish in studio.wishes] == ["tell"]


def test_a_path_plays_in_the_large_picture_and_is_what_is_exported(make: Callable[..., Made]) -> None:
    panel, toy = make()
    assert isinstance(panel.shown(), DecodeLatent)
    z = panel.scene.state.z
    panel.scene.bar.transport.set_rate(200)
    QTest.keyClick(panel, Qt.Key.Key_P)
    QTest.qWait(80)
    QTest.keyClick(panel, Qt.Key.Key_K)
    assert panel.scene.state.frame > 0
    assert isinstance(panel.shown(), FollowPath)
    assert panel.scene.state.z == z
    panel.scene.map.ring_moved.emit("z", 0.1, 0.1)
    assert isinstance(panel.shown(), DecodeLatent)
    assert len(toy.requests("path")) == 1


def test_anchors_come_from_everywhere_up_to_eight_and_can_be_dragged_and_dropped(make: Callable[..., Made]) -> None:
    panel, toy = make()
    assert len(panel.scene.state.anchors) == 2
    panel.scene.encode.example_wanted.emit(4)
    for source in ("here", "example", "sample", "drawing", "here", "here", "here"):
        panel.travel.add_from(source)
    anchors = panel.scene.state.anchors
    assert len(anchors) == 8
    np.testing.assert_allclose(anchors[5].z, latent_toy.points()[0][4], atol=1e-6)
    panel.scene.map.ring_moved.emit("B", 1.0, 0.5)
    panel.scene.map.ring_released.emit("B")
    assert panel.scene.plane is not None
    np.testing.assert_allclose(toy.requests("path")[-1].anchors[1], panel.scene.plane.lift(1.0, 0.5), atol=1e-6)
    panel.travel.drop(-1)
    assert panel.scene.state.anchors == ()
    assert panel.scene.bar.start.isVisible()


def test_an_encoded_picture_shows_its_ellipse_and_holds_the_ring_inside(make: Callable[..., Made]) -> None:
    panel, _ = make()
    panel.scene.encode.drawn.emit(np.full((latent_toy.SIDE, latent_toy.SIDE), 9, np.uint8), True)
    ring = panel.scene.map.view.handles()["z"]
    assert ring.limit is not None
    assert (ring.limit.rx, ring.limit.ry) == pytest.approx((0.5, 0.5), abs=1e-6)  # two standard deviations of 0.25
    np.testing.assert_allclose(panel.scene.state.z, (0.5, -0.5, 0.2, 0.1, 0.0), atol=1e-6)
    view = panel.scene.map.view
    window = view.window_shown()
    start = window.to_pixels(ring.x, ring.y).toPoint()
    far = window.to_pixels(ring.x + 2.0, ring.y).toPoint()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(view, far)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=far)
    assert panel.scene.plane is not None
    x, y = panel.scene.plane.project(panel.scene.state.latent)
    assert np.hypot(x - ring.x, y - ring.y) == pytest.approx(0.5, abs=0.02)
    assert "50.0 nats" in panel.scene.encode.figures.text()


def test_film_strips_go_where_a_picture_is_clicked(make: Callable[..., Made]) -> None:
    panel, _ = make()
    panel.scene.map.strips.click()
    assert isinstance(panel.shown(), TraverseLatents)
    before = panel.scene.state.z
    panel.scene.strips.grid.clicked.emit(0)  # first row is z01, first column three steps down
    assert panel.scene.state.z[1] == pytest.approx(before[1] - 3.0, abs=1e-5)


def test_the_keys_do_what_the_tooltips_say(make: Callable[..., Made]) -> None:
    panel, _ = make()
    view = panel.scene.map.view
    view.setFocus()
    assert panel.scene.plane is not None
    x, _ = panel.scene.plane.project(panel.scene.state.latent)
    QTest.keyClick(view, Qt.Key.Key_Right)
    assert panel.scene.plane.project(panel.scene.state.latent)[0] > x
    scale = view.window_shown().scale
    QTest.keyClick(view, Qt.Key.Key_Plus)
    assert view.window_shown().scale > scale
    QTest.keyClick(view, Qt.Key.Key_R)
    assert panel.scene.state.seed == 1
    QTest.keyClick(view, Qt.Key.Key_0)
    assert panel.scene.state.z == (0.0,) * latent_toy.LATENT


def test_what_is_in_sight_of_the_map_is_a_request_that_survives_json(make: Callable[..., Made]) -> None:
    panel, _ = make()
    request = panel.hands.map_request()
    assert isinstance(request, DrawMap)
    assert requests.from_json(json.loads(json.dumps(requests.to_json(request)))) == request
    assert (request.left, request.right) == panel.scene.map.seen()[:2]


def test_a_decoder_without_encoder_and_prior_has_no_empty_parts(make: Callable[..., Made]) -> None:
    panel, toy = make(latent_toy.card(capabilities=frozenset({Capability.DECODES})))
    assert not toy.requests("latents")
    assert toy.requests("tiles")
    assert not panel.scene.encode.isVisible()
    assert not panel.scene.sliders.random.isVisible()


@pytest.mark.parametrize(("width", "scale"), [(1120, 1.0), (760, 1.0), (1500, 3.0)])
def test_the_rail_gives_way_and_no_control_is_cut_off(make: Callable[..., Made], width: int, scale: float) -> None:
    panel, _ = make()
    try:
        theme.use(scale=scale)
        panel.resize(width, 720)
        settle(50)
        rail, canvas = panel.scene.decoded, panel.scene.map
        beside = rail.mapTo(panel, QPoint(0, 0)).x() > canvas.mapTo(panel, QPoint(0, 0)).x()
        assert beside == (width == 1120)
        for button in panel.findChildren(QAbstractButton):
            if button.isVisible():
                assert button.width() >= button.minimumSizeHint().width(), button.accessibleName()
                assert button.parentWidget().rect().contains(button.geometry()), button.accessibleName()
    finally:
        theme.use(scale=1.0)


def test_every_focusable_widget_has_a_name(make: Callable[..., Made]) -> None:
    panel, _ = make()
    panel.scene.map.more.click()
    kinds = (QAbstractButton, QAbstractSlider, QComboBox, QLineEdit, QSpinBox)
    for widget in panel.findChildren(QWidget):
        inner = isinstance(widget.parentWidget(), QSpinBox | QComboBox)
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus and isinstance(widget, kinds) and not inner:
            assert widget.accessibleName() or getattr(widget, "text", str)(), widget


def test_points_near_the_mouse_are_found_in_pixels(make: Callable[..., Made]) -> None:
    panel, _ = make()
    plane, view = panel.scene.plane, panel.scene.map.view
    assert plane is not None
    place = plane.project(latent_toy.points()[0][5])
    at = view.window_shown().to_pixels(*place) + QPointF(1, 1)
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=at.toPoint())
    np.testing.assert_allclose(panel.scene.state.z, latent_toy.points()[0][5], atol=1e-5)
