"""A row of colours to draw with, of which one is taken."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import focus_ring, follow_theme

SIDE, GAP = 18, 4


class Swatches(QWidget):
    """Small squares of colour; a click or the arrows take one.

    Signals:
        taken(object): The hand took this colour, a QColor.
    """

    taken = Signal(object)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colours: tuple[QColor, ...] = ()
        self._chosen = QColor("white")
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setToolTip("The colour of the ink. Alt and a click on the picture take up the colour there.")
        follow_theme(self)
        self._describe()

    def colours(self) -> tuple[QColor, ...]:
        """What is offered."""
        return self._colours

    def chosen(self) -> QColor:
        """The colour that is taken."""
        return QColor(self._chosen)

    def offer(self, colours: Sequence[QColor]) -> None:
        """Offer other colours; the one that is taken stays taken."""
        if tuple(colours) != self._colours:
            self._colours = tuple(QColor(c) for c in colours)
            self.updateGeometry()
            self.update()

    def choose(self, colour: QColor) -> None:
        """Take a colour without a signal, be it offered or not."""
        self._chosen = QColor(colour)
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        """The colour in use, and all that are offered."""
        side = theme.current().px(SIDE)
        return QSize((len(self._colours) + 1) * (side + GAP) + 2 * GAP, side + 4)

    def minimumSizeHint(self) -> QSize:
        """As large: a colour that is cut off cannot be taken."""
        return self.sizeHint()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take what is under the mouse."""
        place = next((n for n in range(len(self._colours)) if self._square(n).contains(event.position())), -1)
        if place >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self._take(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go from colour to colour."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if not step or not self._colours:
            super().keyPressEvent(event)
            return
        here = self._colours.index(self._chosen) if self._chosen in self._colours else (-1 if step > 0 else 0)
        self._take((here + step) % len(self._colours))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The colour in use at the left, larger; the taken square is framed."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_square(painter, self._in_use(), self._chosen, framed=False)
        for place, colour in enumerate(self._colours):
            self._paint_square(painter, self._square(place), colour, framed=colour == self._chosen)
        x = self._in_use().right() + GAP + 1
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QPointF(x, 3), QPointF(x, self.height() - 3))
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_square(self, painter: QPainter, square: QRectF, colour: QColor, *, framed: bool) -> None:
        look = theme.current()
        painter.setBrush(colour)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawRoundedRect(square.adjusted(1, 1, -1, -1), 3, 3)
        if framed:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(look.colour("accent"), 2))
            painter.drawRoundedRect(square, 4, 4)

    def _in_use(self) -> QRectF:
        side = theme.current().px(SIDE)
        return QRectF(1, (self.height() - side) / 2, side, side)

    def _square(self, place: int) -> QRectF:
        side = theme.current().px(SIDE)
        return QRectF(self._in_use().right() + 3 * GAP + place * (side + GAP), (self.height() - side) / 2, side, side)

    def _take(self, place: int) -> None:
        self.choose(self._colours[place])
        self.taken.emit(self.chosen())

    def _describe(self) -> None:
        self.setAccessibleDescription(f"{self._chosen.name()} is taken")
