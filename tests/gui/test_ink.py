"""Ink on colour pictures: where none lies the picture stays byte for byte, and the colours come from the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.gui.panels.cross_editors import INK, ImageEditor
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.drawing import main_colours, resample, shrunk
from tests.gui import cross_toy

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def canvas(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> DrawCanvas:
    made = DrawCanvas("A colour picture", 32, 32, colour=True)
    adopt(made)
    made.setFixedSize(160, 160)
    made.show()
    return made


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)


def test_ink_changes_what_lies_under_it_and_nothing_else_and_can_be_rubbed_out(canvas: DrawCanvas) -> None:
    before = noise()
    canvas.set_picture(before)
    np.testing.assert_array_equal(canvas.picture(), before)
    canvas.set_ink(QColor(255, 0, 0))
    QTest.mouseClick(canvas, LEFT, NONE, QPoint(80, 80))
    drawn = canvas.picture()
    touched = (drawn != before).any(-1)
    assert 4 <= touched.sum() <= 40 and touched[13:19, 13:19].sum() == touched.sum()
    assert drawn[16, 16, 0] > 235 and drawn[16, 16, 1] < 20
    canvas.set_erasing(True)
    canvas.set_brush(4.0)
    for _ in range(3):
        QTest.mouseClick(canvas, LEFT, NONE, QPoint(80, 80))
    np.testing.assert_array_equal(canvas.picture(), before)
    for _ in range(4):
        canvas.undo()
    np.testing.assert_array_equal(canvas.picture(), before)


def test_alt_and_a_click_take_up_the_colour_of_the_picture(canvas: DrawCanvas) -> None:
    before = noise()
    canvas.set_picture(before)
    taken: list[QColor] = []
    canvas.picked.connect(taken.append)
    QTest.mouseClick(canvas, LEFT, Qt.KeyboardModifier.AltModifier, QPoint(80, 80))
    assert len(taken) == 1 and taken[0] == canvas.ink()
    assert [taken[0].red(), taken[0].green(), taken[0].blue()] in before[15:18, 15:18].reshape(-1, 3).tolist()
    np.testing.assert_array_equal(canvas.picture(), before)


def test_whoever_takes_a_swatch_draws_with_it_and_the_swatches_are_the_pictures_colours(
    qapp: QApplication, adopt: Callable[[QWidget], QWidget]
) -> None:

    owner = adopt(QWidget())
    editor = ImageEditor(replace(cross_toy.IMAGE, shape=(3, 32, 32)), owner)
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = (200, 40, 40), (40, 60, 200)
    editor.show_value(picture)
    colours = [(c.red(), c.green(), c.blue()) for c in editor.swatches.colours()]
    assert colours == [(0, 0, 0), (255, 255, 255), (200, 40, 40), (40, 60, 200)]
    QTest.keyClick(editor.swatches, Qt.Key.Key_Right)
    QTest.keyClick(editor.swatches, Qt.Key.Key_Right)
    assert editor.canvas.ink() == QColor(40, 60, 200) or editor.canvas.ink() == QColor(200, 40, 40)
    assert editor.brush.index() == INK and not editor.canvas.hides()


def test_means_of_squares_are_area_averages_and_main_colours_come_commonest_first() -> None:
    sheet = np.random.default_rng(1).integers(0, 256, (60, 40, 3)).astype(np.uint8)
    np.testing.assert_allclose(shrunk(sheet, 10), resample(sheet, 6, 4))
    assert main_colours(np.uint8([[[9, 9, 9]] * 3 + [[250, 0, 0]]]), 5) == [(9, 9, 9), (250, 0, 0)]
