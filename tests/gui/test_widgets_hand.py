"""Sliders, choices, players and drawings under a real mouse and keyboard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.drawing import area_weights, centred, resample
from dgm_studio.gui.widgets.filmstrip import FilmStrip
from dgm_studio.gui.widgets.latentslider import LatentSlider
from dgm_studio.gui.widgets.runtree import RunNode, RunTree
from dgm_studio.gui.widgets.scrubber import Scrubber
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.slidertrack import SliderTrack
from dgm_studio.gui.widgets.transport import Transport
from dgm_studio.gui.widgets.valueslider import ValueSlider
from tests.gui.hand import drag

Adopt = Callable[[QWidget], QWidget]
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def show(adopt: Adopt) -> Callable[[QWidget, int, int], Any]:
    def shown(widget: QWidget, width: int, height: int) -> Any:
        adopt(widget)
        widget.resize(width, height)
        widget.show()
        QTest.qWaitForWindowExposed(widget)
        return widget

    return shown


def turn(widget: QWidget, notches: int, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        QPointF(widget.mapToGlobal(place.toPoint())),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        modifiers,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def wait_for(true: Callable[[], bool]) -> bool:
    """Let the window live until something is true, at most five seconds."""
    for _ in range(500):
        if true():
            return True
        QTest.qWait(10)
    return true()


def heard(*signals: Any) -> list[tuple[str, object]]:
    """Everything the signals say, in one list."""
    story: list[tuple[str, object]] = []
    for name, signal in signals:
        signal.connect(lambda *values, name=name: story.append((name, values[0] if values else None)))
    return story


def test_dragging_a_latent_moves_on_every_mouse_move_inside_one_gesture(show: Any) -> None:
    slider = show(LatentSlider("z00"), 330, 28)
    track = slider.findChild(SliderTrack)
    story = heard(("pressed", slider.pressed), ("moved", slider.moved), ("released", slider.released))
    middle = track.rect().center()
    QTest.mousePress(track, LEFT, pos=middle)
    for step in range(1, 21):
        drag(track, middle + QPoint(step, 0))
    QTest.mouseRelease(track, LEFT, pos=middle + QPoint(20, 0))
    kinds = [kind for kind, _ in story]
    values = [value for kind, value in story if kind == "moved"]
    assert kinds[0] == "pressed" and kinds[-1] == "released" and kinds.count("pressed") == kinds.count("released") == 1
    assert len(values) >= 20 and values == sorted(values) and values[-1] == slider.value() > 0


def test_arrows_wheel_and_shift_step_and_a_pause_ends_the_gesture(show: Any) -> None:
    slider = show(LatentSlider("z00", step=0.1), 330, 28)
    track = slider.findChild(SliderTrack)
    story = heard(("pressed", slider.pressed), ("released", slider.released))
    QTest.keyClick(track, Qt.Key.Key_Right)
    assert slider.value() == pytest.approx(0.1)
    QTest.keyClick(track, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert slider.value() == pytest.approx(0.11)
    turn(track, 2)
    assert slider.value() == pytest.approx(0.31)
    turn(track, -1, Qt.KeyboardModifier.ShiftModifier)
    assert slider.value() == pytest.approx(0.30)
    assert story == [("pressed", None)]
    QTest.qWait(700)
    assert story == [("pressed", None), ("released", None)]


def test_double_click_resets_and_a_locked_latent_does_not_move(show: Any) -> None:
    slider = show(LatentSlider("z00"), 330, 28)
    track = slider.findChild(SliderTrack)
    slider.set_value(2.25)
    assert slider.value() == 2.25
    QTest.mouseDClick(track, LEFT, pos=QPoint(5, track.height() // 2))
    assert slider.value() == 0.0
    slider.set_locked(True)
    QTest.keyClick(track, Qt.Key.Key_Right)
    QTest.mouseClick(track, LEFT, pos=QPoint(5, track.height() // 2))
    assert slider.value() == 0.0 and slider.locked()


def test_showing_a_value_says_nothing_and_keeps_it_exactly(show: Any) -> None:
    slider = show(LatentSlider("z00"), 330, 28)
    story = heard(("moved", slider.moved), ("pressed", slider.pressed))
    slider.set_value(0.123456789)
    assert slider.value() == 0.123456789 and story == []


def test_a_typed_value_is_taken_whole_and_nonsense_is_put_back(show: Any) -> None:
    slider = show(LatentSlider("z00"), 330, 28)
    field = slider._value
    story = heard(("pressed", slider.pressed), ("moved", slider.moved), ("released", slider.released))
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "-1.5")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert slider.value() == -1.5 and [kind for kind, _ in story] == ["pressed", "moved", "released"]
    field.selectAll()
    QTest.keyClicks(field, "nan")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert slider.value() == -1.5 and field.text() == "\N{MINUS SIGN}1.50"


def test_a_logarithmic_slider_is_even_in_factors_and_its_ends_are_exact(show: Any) -> None:
    slider = show(ValueSlider("Learning rate", 1e-5, 1e-1, 1e-3, log=True), 330, 28)
    track = slider.findChild(SliderTrack)
    assert track.share(1e-3) == pytest.approx(0.5)
    for share in (0.0, 0.25, 0.5, 1.0):
        assert track.share(track.at_share(share)) == pytest.approx(share)
    QTest.keyClick(track, Qt.Key.Key_Home)
    assert slider.value() == 1e-5
    QTest.keyClick(track, Qt.Key.Key_End)
    assert slider.value() == 1e-1
    with pytest.raises(ValueError):
        ValueSlider("Rate", 0.0, 1.0, 0.5, show(QWidget(), 10, 10), log=True)


def test_a_whole_number_slider_gives_only_whole_numbers(show: Any) -> None:
    slider = show(ValueSlider("Samples", 1, 64, 16, whole=True), 330, 28)
    values: list[float] = []
    slider.moved.connect(values.append)
    track = slider.findChild(SliderTrack)
    QTest.mousePress(track, LEFT, pos=track.rect().center())
    for step in range(30):
        drag(track, track.rect().center() + QPoint(step, 0))
    QTest.mouseRelease(track, LEFT)
    assert len(set(values)) > 3 and all(value == round(value) for value in values)


def test_segments_answer_to_clicks_and_arrows_and_only_changes_are_told(show: Any) -> None:
    control = show(SegmentedControl(("KL-sorted", "PCA", "Labels"), "Axes"), 240, 26)
    told: list[int] = []
    control.chosen.connect(told.append)
    QTest.mouseClick(control, LEFT, pos=QPoint(control.width() - 10, 10))
    QTest.mouseClick(control, LEFT, pos=QPoint(control.width() - 10, 10))
    QTest.keyClick(control, Qt.Key.Key_Left)
    QTest.keyClick(control, Qt.Key.Key_Home)
    QTest.keyClick(control, Qt.Key.Key_Left)
    assert told == [2, 1, 0] and control.text() == "KL-sorted"
    with pytest.raises(IndexError):
        control.set_index(3)


def test_the_transport_plays_loops_reverses_and_stops_as_a_video_player_does(show: Any) -> None:
    player = show(Transport(rate=200), 200, 30)
    player.set_count(5)
    seen: list[int] = []
    player.index_changed.connect(seen.append)
    QTest.keyClick(player, Qt.Key.Key_Space)
    assert wait_for(lambda: not player.playing())
    assert seen == [1, 2, 3, 4]
    player.set_loops(True)
    QTest.keyClick(player, Qt.Key.Key_L)
    assert wait_for(lambda: 0 in seen[4:]) and player.playing()
    QTest.keyClick(player, Qt.Key.Key_K)
    assert not player.playing()
    player.set_index(2)
    seen.clear()
    QTest.keyClick(player, Qt.Key.Key_J)
    assert wait_for(lambda: len(seen) >= 2) and seen[:2] == [1, 0]
    QTest.keyClick(player, Qt.Key.Key_Left)
    assert not player.playing()
    player.toggle()
    player.hide()
    assert not player.playing(), "nothing plays while it is hidden"
    player.show()
    player.toggle()
    player.set_count(0)
    assert not player.playing() and player.index() == 0, "nothing plays when the frames are taken away"


def test_scrubbing_a_strip_tells_every_frame_once(show: Any) -> None:
    strip = show(FilmStrip("Interpolation"), 400, 48)
    strip.set_frames(np.zeros((40, 8, 8), np.uint8))
    story = heard(("pressed", strip.pressed), ("at", strip.scrubbed), ("released", strip.released))
    QTest.mousePress(strip, LEFT, pos=QPoint(25, 20))
    for x in range(25, 376):
        drag(strip, QPoint(x, 20))
    QTest.mouseRelease(strip, LEFT, pos=QPoint(375, 20))
    frames = [value for kind, value in story if kind == "at"]
    assert frames == sorted(set(frames)) and strip.index() == 39 and len(frames) >= 38
    assert story[0][0] == "pressed" and story[-1][0] == "released"
    assert strip.shown()[0] == 0 and strip.shown()[-1] == 39 and len(strip.shown()) < 40


def test_the_time_machine_snaps_to_snapshots_and_follows_the_newest(show: Any) -> None:
    strip = show(Scrubber(), 600, 30)
    assert strip.step() is None
    strip.set_steps([0, 512, 1024, 4096], total=8192)
    assert strip.step() == 4096
    told: list[int] = []
    strip.step_changed.connect(told.append)
    ticks = strip.focusProxy()
    QTest.keyClick(ticks, Qt.Key.Key_Left)
    QTest.keyClick(ticks, Qt.Key.Key_Home)
    QTest.mouseClick(ticks, LEFT, pos=QPoint(ticks.width() // 7, 10))
    assert told == [1024, 0, 1024]
    strip.set_steps([0, 512, 1024, 4096, 8192], total=8192)
    assert strip.step() == 1024, "a snapshot that was chosen stays chosen while training goes on"
    strip.set_step(9000)
    strip.set_steps([0, 512, 1024, 4096, 8192, 16384])
    assert strip.step() == 16384, "whoever looks at the newest goes on looking at the newest"


def test_drawing_leaves_ink_erasing_takes_it_and_undo_brings_it_back(show: Any) -> None:
    canvas = show(DrawCanvas("A digit"), 288, 288)
    assert canvas.empty() and not canvas.picture().any()
    ended: list[None] = []
    canvas.finished.connect(lambda: ended.append(None))
    QTest.mousePress(canvas, LEFT, pos=QPoint(100, 60))
    for y in range(60, 220, 4):
        drag(canvas, QPoint(100, y))
    QTest.mouseRelease(canvas, LEFT, pos=QPoint(100, 220))
    drawn = canvas.picture()
    assert drawn.shape == (28, 28) and drawn.dtype == np.uint8 and drawn.max() > 200 and len(ended) == 1
    rows = np.flatnonzero(drawn.max(axis=1))
    assert 18 <= rows[-1] - rows[0] + 1 <= 21, "a digit is scaled into 20 of 28 pixels"
    centre = (drawn.sum(axis=0) @ (np.arange(28) + 0.5)) / drawn.sum()
    assert abs(centre - 14) <= 0.75
    canvas.clear()
    assert canvas.empty()
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(canvas.picture(), drawn)


def test_area_averages_keep_the_mean_and_centring_is_where_the_mass_is() -> None:
    random = np.random.default_rng(0)
    for before, after in ((280, 28), (100, 28), (17, 28), (5, 5)):
        weights = area_weights(before, after)
        assert np.allclose(weights.sum(axis=1), 1) and np.allclose(weights.sum(axis=0), after / before)
        picture = random.uniform(0, 255, (before, before))
        assert resample(picture, after, after).mean() == pytest.approx(picture.mean())
    exact = random.uniform(0, 255, (6, 4))
    assert np.allclose(resample(np.kron(exact, np.ones((10, 10))), 6, 4), exact)
    ink = np.zeros((100, 100))
    ink[5:45, 60:70] = 255
    page = centred(ink, 28, 28)
    down = (page.sum(axis=1) @ (np.arange(28) + 0.5)) / page.sum()
    assert abs(down - 14) <= 0.5 and not centred(np.zeros((9, 9)), 28, 28).any()


def test_a_dark_drawing_on_white_paper_is_read_as_ink_and_a_broken_file_is_refused(show: Any, tmp_path: Path) -> None:
    canvas = show(DrawCanvas("A digit"), 200, 200)
    image = QImage(60, 60, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    for y in range(15, 45):
        for x in range(27, 33):
            image.setPixelColor(x, y, Qt.GlobalColor.black)
    image.save(str(tmp_path / "one.png"))
    canvas.load(str(tmp_path / "one.png"))
    picture = canvas.picture()
    assert picture[14, 14] > 200 and picture[0, 0] == 0
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    said: list[str] = []
    canvas.refused.connect(said.append)
    canvas.load(str(tmp_path / "broken.png"))
    assert len(said) == 1 and np.array_equal(canvas.picture(), picture)


def test_forks_stand_under_their_parents_and_clicks_and_arrows_choose(show: Any) -> None:
    tree = RunTree()
    nodes = [
        RunNode("c", "grandchild", "b", 5, 8),
        RunNode("a", "root", "", 0, 10),
        RunNode("d", "orphan", "gone", 0, 3),
        RunNode("b", "child", "a", 4, 9),
    ]
    tree.set_nodes(nodes)
    show(tree, 300, tree.sizeHint().height())
    assert [node.key for node in tree.nodes()] == ["a", "b", "c", "d"]
    told: list[str] = []
    tree.chosen.connect(told.append)
    QTest.mouseClick(tree, LEFT, pos=QPoint(50, tree.height() * 3 // 8))
    QTest.keyClick(tree, Qt.Key.Key_Down)
    assert told == ["b", "c"]
