"""Pictures, states and grids: exact pixels in both themes and on every kind of screen."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPixmap
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import fitted, to_image
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.pictureview import PictureView
from dgm_studio.gui.widgets.stateframe import CanvasState, StateFrame
from tests.gui.hand import move

Adopt = Callable[[QWidget], QWidget]


@pytest.fixture(autouse=True)
def desk(qapp: QApplication) -> Iterator[None]:
    theme.use("dark", 1.0)
    yield
    theme.use("dark", 1.0)


def drawn_at(widget: QWidget, ratio: float) -> QImage:
    """The widget as a screen with that many device pixels per pixel shows it."""
    picture = QPixmap(QSize(round(widget.width() * ratio), round(widget.height() * ratio)))
    picture.setDevicePixelRatio(ratio)
    picture.fill(theme.current().colour("bg1"))
    widget.render(picture, QPoint(), widget.rect(), QWidget.RenderFlag.DrawChildren)
    return picture.toImage().convertToFormat(QImage.Format.Format_RGB888)


def pixels(image: QImage) -> npt.NDArray[np.uint8]:
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def rgb(shade: str) -> list[int]:
    colour = QColor(shade)
    return [colour.red(), colour.green(), colour.blue()]


@pytest.mark.parametrize("name", ["dark", "light"])
def test_grey_is_printed_from_paper_to_ink_exactly(name: str, adopt: Adopt) -> None:
    theme.use(name)
    view = PictureView("Decoded")
    adopt(view)
    view.resize(80, 80)
    view.set_picture(np.array([[0, 255], [128, 64]], np.uint8))
    seen = pixels(drawn_at(view, 1.0))
    palette = theme.PALETTES[name]
    paper, ink = np.array(rgb(palette.paper)), np.array(rgb(palette.ink))
    assert seen[20, 20].tolist() == paper.tolist() and seen[20, 60].tolist() == ink.tolist()
    for level, place in ((128, (60, 20)), (64, (60, 60))):
        assert seen[place].tolist() == np.rint(paper + (ink - paper) * level / 255).astype(int).tolist()


def test_a_theme_switch_reprints_without_being_given_the_picture_again(adopt: Adopt) -> None:
    view = PictureView("Decoded")
    adopt(view)
    view.resize(20, 20)
    view.set_picture(np.full((2, 2), 255, np.uint8))
    theme.use("light")
    assert pixels(drawn_at(view, 1.0))[10, 10].tolist() == rgb(theme.LIGHT.ink)


def test_colour_pictures_keep_their_own_colours_in_both_themes(adopt: Adopt) -> None:
    view = PictureView("Face")
    adopt(view)
    view.resize(40, 40)
    view.set_picture(np.full((4, 4, 3), (200, 30, 90), np.uint8))
    for name in ("dark", "light"):
        theme.use(name)
        assert pixels(drawn_at(view, 1.0))[20, 20].tolist() == [200, 30, 90]


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_every_picture_pixel_is_a_whole_number_of_device_pixels(ratio: float, adopt: Adopt) -> None:
    view = PictureView("Checkers")
    adopt(view)
    view.resize(101, 77)
    board = ((np.indices((28, 28)).sum(axis=0) % 2) * 255).astype(np.uint8)
    view.set_picture(board)
    target = fitted(QSize(28, 28), QRectF(view.rect()), ratio, whole=True)
    side = target.width() * ratio
    assert side == pytest.approx(round(side)) and round(side) % 28 == 0
    assert target.left() * ratio == pytest.approx(round(target.left() * ratio))
    canvas = pixels(drawn_at(view, ratio))
    # the bitmap has whole pixels, so every colour on it is paper, ink or the card: nothing in between
    allowed = {tuple(rgb(c)) for c in (theme.DARK.paper, theme.DARK.ink, theme.DARK.bg1)}
    assert {tuple(p) for p in canvas.reshape(-1, 3).tolist()} <= allowed


def test_the_array_may_die_after_it_was_shown_and_wrong_arrays_are_refused() -> None:
    array = np.full((5, 7), 9, np.uint8)
    image = to_image(array[:, ::-1])
    array[:] = 200
    assert image.pixelIndex(3, 3) == 9 and image.size() == QSize(7, 5)
    for wrong in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ValueError):
            to_image(wrong)  # type: ignore[arg-type]


def test_waiting_keeps_the_picture_and_dims_it_only_after_a_while(adopt: Adopt) -> None:
    view = PictureView("Decoded")
    frame = StateFrame(view)
    adopt(frame)
    frame.resize(100, 100)
    frame.show()
    assert frame.state is CanvasState.EMPTY
    view.set_picture(np.full((2, 2), 255, np.uint8))
    frame.show_ready()
    bright = int(pixels(drawn_at(frame, 1.0))[50, 50].sum())
    frame.show_waiting()
    assert int(pixels(drawn_at(frame, 1.0))[50, 50].sum()) == bright
    QTest.qWait(theme.WAITING_AFTER_MS + 100)
    assert 0.3 * bright < int(pixels(drawn_at(frame, 1.0))[50, 50].sum()) < 0.8 * bright
    frame.show_ready()
    assert int(pixels(drawn_at(frame, 1.0))[50, 50].sum()) == bright


def test_a_quick_answer_never_dims_the_picture(adopt: Adopt) -> None:
    view = PictureView("Decoded")
    frame = StateFrame(view)
    adopt(frame)
    frame.show()
    for _ in range(10):
        frame.show_waiting()
        QTest.qWait(20)
        frame.show_ready()
    QTest.qWait(200)
    assert frame.state is CanvasState.READY and not frame._veil.isVisible()


def test_an_error_says_one_sentence_offers_one_action_and_folds_the_rest(adopt: Adopt) -> None:
    frame = StateFrame(PictureView("Decoded"))
    adopt(frame)
    frame.resize(300, 300)
    frame.show()
    acted: list[None] = []
    frame.acted.connect(lambda: acted.append(None))
    frame.show_error("The decoder ran out of memory.", "Try a smaller batch", "Traceback ...")
    page = frame._error
    assert page.isVisible() and not page._details.isVisible()
    QTest.mouseClick(page._button, Qt.MouseButton.LeftButton)
    QTest.mouseClick(page._more, Qt.MouseButton.LeftButton)
    assert len(acted) == 1 and page._details.isVisible() and page._details.toPlainText() == "Traceback ..."
    frame.show_ready()
    frame.set_stale(True)
    assert frame.stale() and not page.isVisible()
    frame.show_ready()
    assert not frame.stale()


def grid_of(adopt: Adopt, count: int, width: int, height: int, **more: Any) -> PictureGrid:
    grid = PictureGrid("Samples", **more)
    adopt(grid)
    grid.resize(width, height)
    grid.set_pictures(np.stack([np.full((8, 8), 5 * i, np.uint8) for i in range(count)]))
    grid.show()
    return grid


@pytest.mark.parametrize(("count", "width", "height"), [(1, 100, 100), (16, 300, 300), (17, 500, 200), (50, 200, 600)])
def test_a_grid_fits_inside_without_overlaps_and_each_picture_is_in_its_place(
    count: int, width: int, height: int, adopt: Adopt
) -> None:
    grid = grid_of(adopt, count, width, height)
    cells = [grid.cell_rect(i) for i in range(count)]
    space = QRectF(grid.rect())
    assert all(space.contains(cell) for cell in cells)
    assert not any(a.intersects(b) for i, a in enumerate(cells) for b in cells[:i])
    seen = pixels(drawn_at(grid, 1.0))
    table = theme.current().ink_table()
    for index, cell in enumerate(cells):
        middle = cell.center().toPoint()
        assert seen[middle.y(), middle.x()].tolist() == rgb(QColor(table[5 * index]).name())
        assert grid.index_at(cell.center()) == index


def test_a_grid_answers_to_the_mouse_and_the_arrows(adopt: Adopt) -> None:
    grid = grid_of(adopt, 12, 400, 300, columns=4)
    clicked: list[int] = []
    hovered: list[int] = []
    grid.clicked.connect(clicked.append)
    grid.hovered.connect(hovered.append)
    move(grid, grid.cell_rect(5).center().toPoint())
    QTest.mouseClick(grid, Qt.MouseButton.LeftButton, pos=grid.cell_rect(5).center().toPoint())
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Return):
        QTest.keyClick(grid, key)
    assert clicked == [5, 10] and hovered[0] == 5
    grid.set_pictures(np.zeros((3, 8, 8), np.uint8))
    assert grid.selection() == 2, "a smaller batch never leaves a selection outside"
    grid.set_pictures(None)
    assert grid.count() == 0 and grid.index_at(grid.rect().center().toPointF()) == -1


def test_moving_the_mouse_over_a_grid_does_not_compose_it_again(adopt: Adopt) -> None:
    grid = grid_of(adopt, 16, 300, 300)
    drawn_at(grid, grid.devicePixelRatioF())
    before = grid._composed().cacheKey()
    move(grid, grid.cell_rect(3).center().toPoint())
    drawn_at(grid, grid.devicePixelRatioF())
    assert grid._composed().cacheKey() == before
    theme.use("light")
    assert grid._composed().cacheKey() != before
