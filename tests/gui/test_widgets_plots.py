"""Curves that keep every extreme, planes that lead back, heat maps that read out what they were given."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curves import Curves
from dgm_studio.gui.widgets.heatmap import HeatMap
from dgm_studio.gui.widgets.plane import PlaneView
from dgm_studio.gui.widgets.planeparts import Ellipse, Handle, Tiles, stamp_points
from dgm_studio.gui.widgets.planeview import PlaneWindow
from dgm_studio.gui.widgets.series import MOST_POINTS, Average, Pyramid, Series
from tests.gui.hand import move

Adopt = Callable[[QWidget], QWidget]


@pytest.fixture(autouse=True)
def desk(qapp: QApplication) -> Iterator[None]:
    theme.use("dark", 1.0)
    yield
    theme.use("dark", 1.0)


@settings(max_examples=40)
@given(
    parts=some.lists(some.integers(1, 9000), min_size=1, max_size=8),
    start=some.floats(0, 0.9),
    length=some.floats(0.05, 1),
    most=some.sampled_from([8, 64, 1000, MOST_POINTS]),
    seed=some.integers(0, 99),
)
def test_an_outline_keeps_the_extremes_of_every_stretch_and_never_exceeds_its_size(
    parts: list[int], start: float, length: float, most: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    pyramid = Pyramid()
    for size in parts:
        pyramid.append(random.normal(size=size))
    count = len(pyramid)
    low = int(start * count)
    high = max(low + 1, min(count, low + int(length * count)))
    rows, heights = pyramid.outline(low, high, most)
    assert len(rows) == len(heights) <= most
    assert np.all(np.diff(rows) >= 0) and low <= rows[0] and rows[-1] == high - 1
    if high - low <= most:
        assert np.array_equal(heights, pyramid.values[low:high])
        return
    for (first, last), pair in zip(rows.reshape(-1, 2), heights.reshape(-1, 2), strict=True):
        stretch = pyramid.values[first : last + 1]
        assert pair.min() <= stretch.min() and pair.max() >= stretch.max()
    inside = pyramid.values[low:high]
    assert heights.min() <= inside.min() and heights.max() >= inside.max()


def test_one_spike_in_a_million_points_is_drawn() -> None:
    pyramid = Pyramid()
    values = np.zeros(1_000_000)
    values[654_321] = 7.0
    for chunk in np.array_split(values, 137):
        pyramid.append(chunk)
    rows, heights = pyramid.outline(0, 1_000_000)
    assert len(rows) <= MOST_POINTS and heights.max() == 7.0
    at = int(np.argmax(heights))
    assert abs(int(rows[at]) - 654_321) < 2_000


def test_gaps_in_a_curve_do_not_swallow_their_neighbours() -> None:
    pyramid = Pyramid()
    values = np.full(100_000, np.nan)
    values[::1000] = 3.0
    pyramid.append(values)
    heights = pyramid.outline(0, 100_000)[1]
    assert np.nanmax(heights) == 3.0 == np.nanmin(heights)


@given(beta=some.floats(0, 0.999), chunks=some.lists(some.integers(1, 200), min_size=1, max_size=6))
def test_the_moving_average_is_the_weighted_mean_of_what_was_seen(beta: float, chunks: list[int]) -> None:
    random = np.random.default_rng(1)
    values = random.normal(10, 1, sum(chunks))
    values[random.random(len(values)) < 0.2] = np.nan
    average = Average(beta)
    smooth = np.concatenate([average.push(part) for part in np.split(values, np.cumsum(chunks)[:-1])])
    for t in (0, len(values) // 2, len(values) - 1):
        weights = beta ** np.arange(t, -1, -1.0) * np.isfinite(values[: t + 1])
        if weights.sum() > 1e-200:
            assert smooth[t] == pytest.approx(np.nansum(weights * np.nan_to_num(values[: t + 1])) / weights.sum())


def test_a_series_answers_on_every_axis_and_refuses_uneven_columns() -> None:
    series = Series("train ELBO", "nats")
    series.append([0, 10, 20], [3.0, 2.0, 1.0], seconds=[0.0, 5.0, 9.0], examples=[0, 640, 1280])
    assert series.at("time", 5.4) == (5.0, 2.0) and series.at("examples", 1e9) == (1280.0, 1.0)
    with pytest.raises(ValueError):
        series.append([1, 2], [1.0])


def plot(adopt: Adopt) -> Curves:
    curves = Curves("Loss", y_label="nats")
    adopt(curves)
    curves.resize(500, 300)
    return curves


def test_hidden_curves_are_not_drawn_until_they_are_shown(adopt: Adopt) -> None:
    curves = plot(adopt)
    curves.append("loss", np.arange(1000), np.linspace(2, 1, 1000))
    QTest.qWait(60)
    item = curves._lines["loss"].strong
    assert item.getData()[0] is None or len(item.getData()[0]) == 0
    curves.show()
    QTest.qWait(60)
    assert len(item.getData()[0]) > 0


def test_a_million_points_reach_the_screen_as_few_and_the_view_follows(adopt: Adopt) -> None:
    curves = plot(adopt)
    curves.show()
    for start in range(0, 1_000_000, 100_000):
        steps = np.arange(start, start + 100_000)
        curves.append("loss", steps, 1 + np.exp(-steps / 1e5))
        QTest.qWait(5)
    QTest.qWait(350)  # growth is drawn four times a second
    x, _ = curves._lines["loss"].strong.getData()
    assert 100 < len(x) <= MOST_POINTS and x[-1] == 999_999
    low, high = curves._box.viewRange()[0]
    assert low <= 0 and high >= 999_999


def test_the_cursor_is_moved_by_keys_and_set_without_an_echo(adopt: Adopt) -> None:
    curves = plot(adopt)
    curves.append("loss", [0, 100], [1.0, 0.0])
    curves.show()
    QTest.qWait(60)
    told: list[float] = []
    curves.cursor_moved.connect(told.append)
    curves.set_cursor(50)
    assert told == [] and curves.cursor() == 50
    QTest.keyClick(curves, Qt.Key.Key_Right)
    assert len(told) == 1 and told[0] > 50
    curves.set_cursor(None)
    assert curves.cursor() is None and len(told) == 1


def test_a_chip_hides_its_curve_and_a_log_axis_leaves_out_what_is_not_positive(adopt: Adopt) -> None:
    curves = plot(adopt)
    curves.append("kl", np.arange(4), [100.0, 10.0, 0.0, 1.0])
    curves.append("loss", np.arange(4), [5.0, 4.0, 3.0, 2.0])
    curves.show()
    curves.set_log(True)
    QTest.qWait(80)
    heights = curves._lines["kl"].strong.getData()[1]
    assert np.allclose(heights[[0, 1, 3]], [2, 1, 0]) and math.isnan(heights[2])
    chip = curves._lines["kl"].chip
    assert chip is not None
    QTest.mouseClick(chip, Qt.MouseButton.LeftButton)
    QTest.qWait(80)
    assert curves.visible_series() == ["loss"] and not curves._lines["kl"].strong.isVisible()


def test_exports_hold_every_number_and_a_drawing(adopt: Adopt, tmp_path: Path) -> None:
    curves = plot(adopt)
    curves.add_series("loss", "nats")
    curves.append("loss", [0, 1], [0.1, 1 / 3], seconds=[0.0, 2.5], examples=[0, 64])
    curves.set_flags([(1.0, "beta 1 → 4")])
    curves.show()
    QTest.qWait(60)
    curves.to_csv(tmp_path / "c.csv")
    lines = (tmp_path / "c.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "series,unit,step,time,examples,value" and float(lines[2].split(",")[-1]) == 1 / 3
    curves.to_svg(tmp_path / "c.svg")
    assert "<svg" in (tmp_path / "c.svg").read_text(encoding="utf-8")


PLACES = some.floats(-50, 50)


@given(x=PLACES, y=PLACES, scale=some.floats(0.5, 5000), px=some.floats(0, 800), py=some.floats(0, 600))
def test_the_plane_leads_back_and_zooming_holds_what_is_under_the_mouse(
    x: float, y: float, scale: float, px: float, py: float
) -> None:
    window = PlaneWindow(x, y, scale, 800, 600)
    there = window.to_world(QPointF(px, py))
    back = window.to_pixels(*there)
    assert back.x() == pytest.approx(px, abs=1e-6) and back.y() == pytest.approx(py, abs=1e-6)
    mapped = window.transform().map(QPointF(*there))
    assert mapped.x() == pytest.approx(px, abs=1e-4) and mapped.y() == pytest.approx(py, abs=1e-4)
    for factor in (0.3, 1.25, 8.0):
        closer = window.zoomed(factor, QPointF(px, py))
        held = closer.to_pixels(*there)
        assert held.x() == pytest.approx(px, abs=1e-4) and held.y() == pytest.approx(py, abs=1e-4)
    rect = QRectF(x - 3, y - 1, 6, 2)
    assert window.fitted(rect).shown().adjusted(-1e-6, -1e-6, 1e-6, 1e-6).contains(rect)


def plane(adopt: Adopt, side: int = 400) -> PlaneView:
    view = PlaneView("Decoded map")
    adopt(view)
    view.resize(side, side)
    view.show()
    return view


def test_upwards_in_the_world_is_upwards_on_the_screen_and_finer_tiles_lie_on_top(adopt: Adopt) -> None:
    view = plane(adopt)
    view.show_rect(QRectF(-1, -1, 2, 2))
    coarse = np.zeros((16, 16, 3), np.uint8)
    coarse[:8] = (255, 0, 0)
    fine = np.full((16, 16, 3), (0, 0, 255), np.uint8)
    view.add_tile(QRectF(0, -1, 1, 1), fine)
    view.add_tile(QRectF(-1, -1, 2, 2), coarse)
    image = view.grab().toImage()
    ratio = image.width() / view.width()

    def at(x: float, y: float) -> tuple[int, int, int]:
        place = view.window_shown().to_pixels(x, y) * ratio
        colour = image.pixelColor(int(place.x()), int(place.y()))
        return colour.red(), colour.green(), colour.blue()

    assert at(-0.5, 0.5) == (255, 0, 0) and at(0.5, 0.5) == (255, 0, 0)
    assert at(-0.5, -0.4) == (0, 0, 0) and at(0.5, -0.4) == (0, 0, 255)


def test_tiles_are_forgotten_when_far_but_never_the_coarsest() -> None:
    tiles = Tiles()
    big = np.zeros((1000, 1000), np.uint8)
    tiles.add(QRectF(-50, -50, 100, 100), big)
    for i in range(30):
        tiles.add(QRectF(i, 0, 1, 1), big)
    tiles.forget_far(QRectF(0, 0, 3, 1))
    assert 10 <= len(tiles) <= 17
    tiles.add(QRectF(-50, -50, 100, 100), big)
    assert len(tiles) <= 17, "the same rectangle is replaced, not piled up"
    with pytest.raises(ValueError):
        tiles.add(QRectF(0, 0, 0, 1), big)


def test_dragging_the_ground_moves_it_and_a_click_is_no_drag(adopt: Adopt) -> None:
    view = plane(adopt)
    moved: list[QRectF] = []
    clicked: list[tuple[float, float]] = []
    view.view_changed.connect(moved.append)
    view.clicked.connect(lambda x, y: clicked.append((x, y)))
    before = view.window_shown().to_world(QPointF(100, 100))
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    for step in range(1, 51):
        move(view, QPoint(100 + step, 100 + step))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(150, 150))
    after = view.window_shown().to_world(QPointF(150, 150))
    assert moved and not clicked
    assert after == pytest.approx(before, abs=5 / view.window_shown().scale)
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(200, 100))
    assert clicked == [pytest.approx(view.window_shown().to_world(QPointF(200, 100)))]


def test_a_ring_is_dragged_stays_in_its_ellipse_and_answers_to_keys(adopt: Adopt) -> None:
    view = plane(adopt)
    limit = Ellipse(0, 0, 1.0, 0.5)
    view.set_handles({"z": Handle(0, 0, "z", limit=limit), "A": Handle(2, 2, "A")})
    story: list[tuple[str, float, float]] = []
    marks: list[str] = []
    view.handle_moved.connect(lambda name, x, y: story.append((name, x, y)))
    view.handle_pressed.connect(lambda name: marks.append(f"+{name}"))
    view.handle_released.connect(lambda name: marks.append(f"-{name}"))
    start = view.window_shown().to_pixels(0, 0).toPoint()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=start)
    move(view, start + QPoint(20, 0))
    move(view, start + QPoint(190, 0))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=start + QPoint(190, 0))
    assert marks == ["+z", "-z"] and 0 < story[0][1] < 1
    assert story[-1] == ("z", pytest.approx(1.0), pytest.approx(0.0))
    QTest.keyClick(view, Qt.Key.Key_Escape)
    QTest.keyClick(view, Qt.Key.Key_Space)
    QTest.keyClick(view, Qt.Key.Key_Space)
    QTest.keyClick(view, Qt.Key.Key_Up)
    assert story[-1][0] == "A" and view.handles()["A"].y > 2 and view.handles()["A"].x == 2


def test_an_ellipse_holds_points_back_along_their_ray() -> None:
    ellipse = Ellipse(1, -2, 2, 0.5, angle=0.7)
    assert ellipse.clamp(1.1, -2.05) == (1.1, -2.05)
    x, y = ellipse.clamp(9, 4)
    cos, sin = math.cos(0.7), math.sin(0.7)
    u, v = cos * (x - 1) + sin * (y + 2), -sin * (x - 1) + cos * (y + 2)
    assert (u / 2) ** 2 + (v / 0.5) ** 2 == pytest.approx(1)
    assert (x - 1) / (y + 2) == pytest.approx(8 / 6)


def test_stamped_points_are_discs_in_their_colours_and_those_outside_cost_nothing() -> None:
    places = np.array([[20.0, 10.0], [-500.0, 3.0], [1e9, 1e9], [0.0, 0.0]])
    inks = np.array([0xD65801, 0x846DFB, 0x0B9F70, 0x0B9F70], np.uint32)
    image = stamp_points((40, 20), places, inks, 3.0, theme.current().colour("paper"))
    assert image.pixelColor(20, 10).name() == "#d65801" and image.pixelColor(0, 0).name() == "#0b9f70"
    covered = [(x, y) for x in range(40) for y in range(20) if image.pixelColor(x, y).alpha() > 0]
    far = max(min(math.hypot(x - 20, y - 10), math.hypot(x, y)) for x, y in covered)
    assert far <= 4.5 and image.pixelColor(30, 10).alpha() == 0


def test_a_heat_map_reads_out_what_lies_under_the_mouse(adopt: Adopt) -> None:
    heat = HeatMap("KL", unit="nats")
    adopt(heat)
    heat.resize(400, 200)
    numbers = np.arange(12.0).reshape(3, 4)
    heat.set_numbers(numbers, ["z00", "z01", "z02"], [0, 100, 200, 300])
    heat.set_titles("", "Step")
    heat.show()
    area = heat.area()
    for row in range(3):
        for column in range(4):
            place = QPointF(
                area.left() + (column + 0.5) * area.width() / 4, area.top() + (row + 0.5) * area.height() / 3
            )
            assert heat.cell_at(place) == (row, column)
    move(heat, QPointF(area.left() + 0.6 * area.width(), area.center().y()).toPoint())
    assert heat.readout() == "z01 · step 200 · 6 nats"
    image = heat.grab().toImage()
    ratio = image.width() / heat.width()
    for row, column, level in ((0, 0, 0), (2, 3, 255)):
        place = QPointF(area.left() + (column + 0.2) * area.width() / 4, area.top() + (row + 0.8) * area.height() / 3)
        colour = image.pixelColor(int(place.x() * ratio), int(place.y() * ratio))
        assert [colour.red(), colour.green(), colour.blue()] == theme.sequential("viridis")[level].tolist()


def test_the_first_spike_of_a_run_does_not_flatten_the_rest_but_zooming_there_shows_it(adopt: Adopt) -> None:
    curves = plot(adopt)
    steps = np.arange(10_000)
    curves.append("loss", steps, 100 + 5 * np.exp(-steps / 5000) + 500 * np.exp(-steps / 100))
    curves.show()
    QTest.qWait(80)
    low, high = curves._box.viewRange()[1]
    assert low < 101 and 103.7 < high < 120
    curves._follows = False
    curves._box.setXRange(0, 300, padding=0)
    QTest.qWait(80)
    assert curves._box.viewRange()[1][1] > 500


def test_an_axis_that_was_zoomed_out_beyond_all_numbers_still_has_ticks(adopt: Adopt) -> None:
    curves = plot(adopt)
    curves.set_log(True)
    assert curves._left.tickStrings([-1e300, -400.0, 2.0, 400.0, math.inf], 1.0, 1.0) == ["", "", "100", "", ""]
    curves.set_axis("time")
    assert curves._bottom.tickStrings([math.inf, -math.inf, 75.0], 1.0, 1.0) == ["", "", "1 min 15 s"]
