"""One editor for each kind of modality: what the user knows, where the example says something else."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.cards import Modality
from dgm_studio.core.packed import ERASED, pack
from dgm_studio.gui import theme
from dgm_studio.gui.form import QuietCombo
from dgm_studio.gui.panels.cross_cells import hatch_pixels
from dgm_studio.gui.panels.cross_state import NUMBERS, likeliest, number_of, number_range
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.drawing import main_colours
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.swatches import Swatches
from dgm_studio.gui.widgets.valueslider import ValueSlider

CANVAS = 150
SEGMENTS = 12  # categories that stand beside each other
MOST_SLIDERS = 12  # numbers of a vector that have one each
UNKNOWN = "unknown"
INK, PAPER, UNSEEN = range(3)  # what the brush writes
OFFERED = 6  # colours of the picture to draw with
APART = 60  # levels, the three channels together, from black and from white, which are offered anyway


class ErasableCanvas(DrawCanvas):
    """Paper of which parts can be made unknown: the brush then writes -1 in place of ink.

    With `hiding` on, the left button makes pixels unknown and the right one brings them back.
    """

    def __init__(self, name: str, height: int, width: int, parent: QWidget, *, colour: bool) -> None:
        self._erased: np.ndarray[Any, np.dtype[np.bool_]] = np.zeros((height, width), bool)
        self._masks: list[np.ndarray[Any, np.dtype[np.bool_]]] = []
        self._hides = False
        self._hiding: bool | None = None
        super().__init__(name, height, width, parent, colour=colour)
        self.set_centring(False)  # what is erased must stay where it was erased

    def set_hiding(self, hides: bool) -> None:
        """Whether the brush makes pixels unknown."""
        self._hides = hides

    def hides(self) -> bool:
        """Whether the brush makes pixels unknown."""
        return self._hides

    def erased(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The unknown pixels, [H, W]."""
        return self._erased.copy()

    def value(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """int16 [H, W] or [H, W, 3], -1 where nobody knows."""
        found = self.picture().astype(np.int16)
        found[self._erased] = ERASED
        return found

    def drawing(self) -> bool:
        """Whether a stroke is under way."""
        return self._last is not None or self._hiding is not None

    def show_value(self, value: np.ndarray[Any, Any]) -> None:
        """Show a picture without a signal; -1 is unknown."""
        if self.drawing():  # the hand knows better
            return
        gone = np.asarray((value < 0).any(-1) if value.ndim == 3 else value < 0, bool)
        shown = np.clip(value, 0, 255).astype(np.uint8)
        if np.array_equal(gone, self._erased) and np.array_equal(shown[~gone], self.picture()[~gone]):
            return
        self.blockSignals(True)
        self.set_picture(shown)
        self.blockSignals(False)
        self._erased = gone.copy()
        self.update()

    def load(self, path: str) -> None:
        """Take a picture from a file; all of it is known."""
        self._erased = np.zeros_like(self._erased)
        super().load(path)

    def clear(self) -> None:
        """A fresh sheet on which everything is known."""
        self._remember()
        self._erased[:] = False
        self._sheet.fill(0)
        self._file = None
        self._tell()

    def undo(self) -> None:
        """Take the last stroke back, of ink or of the unknown."""
        if self._past and self._masks:
            self._erased = self._masks.pop()
        super().undo()

    def sizeHint(self) -> QSize:
        """A stamp that can be drawn on."""
        side = theme.current().px(CANVAS)
        return QSize(side, side)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to hide or to show, else to draw."""
        left = event.button() == Qt.MouseButton.LeftButton
        if not self._hides or event.button() not in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton):
            super().mousePressEvent(event)
            return
        self._remember()
        self._hiding = left
        self._hide_at(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on."""
        if self._hiding is None:
            super().mouseMoveEvent(event)
            return
        self._hover = event.position()
        self._hide_at(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """The stroke is over."""
        if self._hiding is None:
            super().mouseReleaseEvent(event)
            return
        self._hiding = None
        self.finished.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The sheet, and hatching where nobody knows."""
        super().paintEvent(event)
        if self._erased.any():
            painter = QPainter(self)
            hatch_pixels(painter, self._target(), self._erased)

    def _hide_at(self, point: QPointF) -> None:
        target = self._target()
        scale = self._shape[1] / target.width()
        x, y = (point.x() - target.left()) * scale, (point.y() - target.top()) * scale
        rows, columns = np.mgrid[0 : self._shape[0], 0 : self._shape[1]]
        near = np.hypot(columns + 0.5 - x, rows + 0.5 - y) <= max(self._brush, 0.71)
        if (self._erased[near] != self._hiding).any():
            self._erased[near] = bool(self._hiding)
            self.update()
            self.changed.emit()

    def _remember(self) -> None:
        super()._remember()
        self._masks = [*self._masks[-49:], self._erased.copy()]


class Editor(QWidget):
    """What all editors have.

    Signals:
        edited(object): A value in the form of a request, on every move of the hand.
        settled(): The gesture is over.
    """

    edited = Signal(object)
    settled = Signal()

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(parent)
        self.modality = modality
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(theme.SPACE[0])

    def show_value(self, value: Any) -> None:
        """Show a value of a Frame without a signal."""
        raise TypeError(f"{type(self).__name__} shows nothing")

    def settle(self, value: Any) -> None:
        """A whole gesture at once."""
        self.edited.emit(value)
        self.settled.emit()


class ImageEditor(Editor):
    """Draw, rub out, or make parts unknown."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        channels, height, width = modality.shape
        self.canvas = ErasableCanvas(f"Draw the {modality.name}", height, width, self, colour=channels == 3)
        self.canvas.set_brush(max(0.8, 1.6 * width / 28))
        words = ["Ink", "Paper" if channels == 1 else "Rub out", "Unknown"]
        self.brush = SegmentedControl(words, f"What the brush writes on the {modality.name}", self)
        self.brush.setToolTip("Unknown takes pixels away from what is given; the right button brings them back")
        self.back = IconButton("undo", "Take the last stroke back", self)
        self.blank = IconButton("trash", "A blank sheet", self)
        self.known = IconButton("reset", "Make every pixel known", self)
        tools = QVBoxLayout()
        tools.setSpacing(theme.SPACE[0])
        for tool in (self.back, self.known, self.blank):
            tools.addWidget(tool)
        tools.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.canvas)
        row.addLayout(tools)
        row.addStretch(1)
        self.column.addLayout(row)
        self.swatches = Swatches(f"Ink for the {modality.name}", self)
        self.swatches.setVisible(channels == 3)
        self._palette_of: bytes = b""
        if channels == 3:
            self.brush.set_index(UNSEEN)
            self.canvas.set_hiding(True)
        self.column.addWidget(self.brush)
        self.column.addWidget(self.swatches)
        self.brush.chosen.connect(self._on_brush)
        self.back.clicked.connect(self.canvas.undo)
        self.blank.clicked.connect(self.canvas.clear)
        self.known.clicked.connect(self._on_known)
        self.canvas.changed.connect(self._on_changed)
        self.canvas.finished.connect(self.settled)
        self.canvas.picked.connect(self.swatches.choose)
        self.swatches.taken.connect(self._on_taken)
        theme.changed.connect(self._fit)
        self._fit()

    def show_value(self, value: Any) -> None:
        """Another picture."""
        shown = np.asarray(value)
        self.canvas.show_value(shown)
        if shown.ndim == 3 and not self.canvas.drawing():
            self._offer(np.clip(shown, 0, 255).astype(np.uint8))

    def _offer(self, picture: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Ink in the colours of the picture, and black and white."""
        if picture.tobytes() != self._palette_of:
            self._palette_of = picture.tobytes()
            common = [rgb for rgb in main_colours(picture, OFFERED) if APART < sum(rgb) < 3 * 255 - APART]
            self.swatches.offer([QColor("black"), QColor("white"), *(QColor(*rgb) for rgb in common)])

    def _fit(self) -> None:
        side = theme.current().px(CANVAS)
        self.canvas.setFixedSize(side, side)

    def _on_changed(self) -> None:
        self.edited.emit(pack(self.canvas.value()))

    def _on_brush(self, place: int) -> None:
        self.canvas.set_erasing(place == PAPER)
        self.canvas.set_hiding(place == UNSEEN)

    def _on_taken(self, colour: QColor) -> None:
        """Whoever takes a colour wants to draw with it."""
        self.canvas.set_ink(colour)
        self.brush.set_index(INK)
        self._on_brush(INK)

    def _on_known(self) -> None:
        value = self.canvas.value()
        value[self.canvas.erased()] = 0
        self.canvas.show_value(value)
        self.settle(pack(value))


class LabelEditor(Editor):
    """One category out of those there are."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        names = modality.categories
        self.segments = SegmentedControl(names, f"Choose the {modality.name}", self)
        self.list = QuietCombo(self)
        self.list.setAccessibleName(f"Choose the {modality.name}")
        self.list.addItems(list(names))
        self.segments.setMinimumWidth(120)  # of ten digits each needs less than three letters
        few = len(names) <= SEGMENTS and max(map(len, names), default=0) <= 8
        self.segments.setVisible(few)
        self.list.setVisible(not few)
        self.column.addWidget(self.segments if few else self.list)
        self.segments.chosen.connect(self.settle)
        self.list.activated.connect(self.settle)

    def show_value(self, value: Any) -> None:
        """Another category."""
        best = likeliest(value)
        if best >= 0:
            self.segments.set_index(best)
            self.list.setCurrentIndex(best)


class AttributesEditor(Editor):
    """A list for every variable; each can be unknown."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.SPACE[1])
        grid.setVerticalSpacing(theme.SPACE[0])
        self.lists: list[QComboBox] = []
        for place, column in enumerate(modality.columns):
            box = QuietCombo(self)
            box.setAccessibleName(f"{modality.name}, {column.name}")
            box.setToolTip(column.name)
            box.setMinimumWidth(40)
            box.addItems([*column.categories, UNKNOWN])
            box.activated.connect(self._on_activated)
            self.lists.append(box)
            row, side = divmod(place, 2)
            grid.addWidget(ElidedLabel(column.name, "caption", self), 2 * row, side)
            grid.addWidget(box, 2 * row + 1, side)
        self.column.addLayout(grid)

    def show_value(self, value: Any) -> None:
        """Other categories."""
        for box, shares in zip(self.lists, value, strict=True):
            best = likeliest(shares)
            box.setCurrentIndex(best if best >= 0 else box.count() - 1)

    def _on_activated(self) -> None:
        self.settle(tuple(i if i < box.count() - 1 else -1 for box in self.lists for i in [box.currentIndex()]))


class NumberEditor(Editor):
    """A number in its own unit."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        low, high = number_range(modality)
        middle = (low * high) ** 0.5 if modality.kind == "positive" else (low + high) / 2
        self.slider = ValueSlider(
            modality.name, low, high, middle, self, unit=modality.unit, log=modality.kind == "positive"
        )
        self.slider.set_name_width(0)
        self.column.addWidget(self.slider)
        self.slider.moved.connect(self._on_moved)
        self.slider.released.connect(self.settled)

    def _on_moved(self, value: float) -> None:
        self.edited.emit(value)

    def show_value(self, value: Any) -> None:
        """Another number."""
        mean = float(np.ravel(number_of(value)[0])[0])
        if abs(mean - self.slider.value()) > 1e-9 * max(1.0, abs(mean)):
            self.slider.set_value(mean)


class VectorEditor(Editor):
    """A slider for every number of a short vector; a long one is only known or missing."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        size = int(np.prod(modality.shape)) if modality.shape else 1
        self.sliders: list[ValueSlider] = []
        self._values = np.zeros(size)
        for place in range(size if size <= MOST_SLIDERS else 0):
            centre = modality.centre[place] if place < len(modality.centre) else 0.0
            spread = (modality.spread[place] if place < len(modality.spread) else 1.0) or 1.0
            name = modality.columns[place].name if place < len(modality.columns) else f"{modality.name} {place + 1}"
            slider = ValueSlider(name, centre - 3 * spread, centre + 3 * spread, centre, self, unit=modality.unit)
            slider.moved.connect(self._on_moved)
            slider.released.connect(self.settled)
            self.sliders.append(slider)
            self.column.addWidget(slider)
        if not self.sliders:
            self.column.addWidget(label(f"{size} numbers of the example", "secondary", self))

    def show_value(self, value: Any) -> None:
        """Other numbers."""
        self._values = np.ravel(np.asarray(number_of(value)[0], float)).copy()
        for slider, number in zip(self.sliders, self._values, strict=False):
            slider.set_value(float(number))

    def _on_moved(self, _: float) -> None:
        self.edited.emit(tuple(slider.value() for slider in self.sliders))


class TextEditor(Editor):
    """A sentence."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        self.line = QLineEdit(self)
        self.line.setAccessibleName(f"Type the {modality.name}")
        self.line.setPlaceholderText("Type a sentence")
        self.column.addWidget(self.line)
        self._typed = False
        self.line.textEdited.connect(self._on_typed)
        self.line.editingFinished.connect(self._on_finished)
        self.line.textChanged.connect(self.line.setToolTip)

    def show_value(self, value: Any) -> None:
        """Another sentence; what is being typed is left alone."""
        if not (self.line.hasFocus() and self._typed) and self.line.text() != str(value):
            self.line.setText(str(value))
            self.line.setCursorPosition(0)

    def _on_typed(self, text: str) -> None:
        self._typed = True
        self.edited.emit(text)

    def _on_finished(self) -> None:
        if self._typed:
            self._typed = False
            self.settled.emit()


class NoEditor(Editor):
    """A kind that can only be taken from examples."""

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(modality, parent)
        self.column.addWidget(label("Taken from the example", "secondary", self))

    def show_value(self, value: Any) -> None:
        """Nothing to show."""


def editor_of(modality: Modality, parent: QWidget) -> Editor:
    """The editor of a modality's kind."""
    kinds: dict[str, type[Editor]] = {
        "image": ImageEditor,
        "label": LabelEditor,
        "categorical": LabelEditor,
        "attributes": AttributesEditor,
        "vector": VectorEditor,
        "text": TextEditor,
        **dict.fromkeys(NUMBERS, NumberEditor),
    }
    made = kinds.get(modality.kind, NoEditor)(modality, parent)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made
