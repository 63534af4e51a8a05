"""One column for each class: how probable every classifier finds it, and under it the class in several styles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_state import JUDGE, percent
from dgm_studio.gui.panels.cross_cells import mark
from dgm_studio.gui.widgets.painting import (
    draw_picture,
    draw_text,
    fitted,
    focus_ring,
    follow_theme,
    plain_rounded,
    print_in_theme,
    to_image,
)

NAMES = 124  # pixels for the words before the first column
HEAD = 22
ROW = 82
WIDEST_BAR = 34
_CENTRE = Qt.AlignmentFlag.AlignCenter
Shares = Mapping[str, np.ndarray[Any, Any]]


class Columns(QWidget):
    """A table whose columns are the classes; every table of the same width has them at the same place."""

    def __init__(self, name: str, categories: Sequence[str], parent: QWidget) -> None:
        super().__init__(parent)
        self.categories = tuple(categories)
        self.truth = -1
        self.setAccessibleName(name)
        follow_theme(self)

    def set_truth(self, truth: int) -> None:
        """Which column is right; -1 when nobody knows."""
        self.truth = truth
        self.update()

    def left(self) -> float:
        """Where the first column begins."""
        return float(min(theme.current().px(NAMES), self.width() * 0.3))

    def pitch(self) -> float:
        """The width of a column."""
        return (self.width() - self.left()) / max(1, len(self.categories))

    def column_at(self, x: float) -> int:
        """Which column is at a place, -1 for none."""
        place = math.floor((x - self.left()) / self.pitch())
        return place if x >= self.left() and place < len(self.categories) else -1

    def paint_truth(self, painter: QPainter, *, first: bool, last: bool) -> None:
        """A band behind the right column, through every table."""
        if 0 <= self.truth < len(self.categories):
            band = QRectF(self.left() + self.truth * self.pitch(), 0, self.pitch(), self.height())
            band.adjust(0, 0 if first else -8, 0, 0 if last else 8)
            painter.save()
            painter.setClipRect(self.rect())
            plain_rounded(painter, band, theme.current().colour("bg2"), 6)
            painter.restore()


class ClassBars(Columns):
    """p(y | x) of every classifier, a row each, the judge last; the truth's column has a band and a tick."""

    def __init__(self, categories: Sequence[str], parent: QWidget) -> None:
        super().__init__("Probability of each class by every classifier", categories, parent)
        self._shares: dict[str, np.ndarray[Any, Any]] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_shares(self, shares: Shares, truth: int) -> None:
        """Show p(y | x) by classifier."""
        grown = len(shares) != len(self._shares)
        self._shares = {name: np.asarray(each, float) for name, each in shares.items()}
        said = [f"{name}: {self.words(name)}" for name in self._shares]
        known = f"truth {self.categories[truth]}" if truth >= 0 else "truth unknown"
        self.setAccessibleDescription("; ".join([*said, known]))
        self.set_truth(truth)
        if grown:
            self.updateGeometry()

    def words(self, name: str) -> str:
        """What a classifier reads."""
        best = int(self._shares[name].argmax())
        return f"{self.categories[best]} ({percent(float(self._shares[name][best]))})"

    def sizeHint(self) -> QSize:
        """A row each under the names of the classes."""
        look = theme.current()
        return QSize(520, look.px(HEAD) + max(1, len(self._shares)) * look.px(ROW))

    def minimumSizeHint(self) -> QSize:
        """As high."""
        return QSize(260, self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """The tooltip tells every probability of a column."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            column = self.column_at(event.pos().x())
            said = [f"{name}: {percent(float(each[column]))}" for name, each in self._shares.items()]
            words = "\n".join([f"p({self.categories[column]} | x)", *said]) if column >= 0 else ""
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The names of the classes, then the rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_truth(painter, first=True, last=False)
        look, pitch = theme.current(), self.pitch()
        head = look.px(HEAD)
        if self.truth >= 0:
            draw_text(painter, QRectF(0, 0, self.left(), head), "Class", look.font("caption"), look.colour("text2"))
        for place, name in enumerate(self.categories):
            box = QRectF(self.left() + place * pitch, 0, pitch, head)
            right = place == self.truth
            ink = look.colour("text" if right else "text2")
            draw_text(painter, box, name, look.font("secondary", strong=right), ink, _CENTRE)
        for row, name in enumerate(self._shares):
            self._paint_row(painter, name, head + row * look.px(ROW), look.px(ROW))

    def _paint_row(self, painter: QPainter, name: str, top: float, high: float) -> None:
        look, shares = theme.current(), self._shares[name]
        best = int(shares.argmax())
        line = look.px(16)
        middle = top + high / 2
        box = QRectF(0, middle - line - 2, self.left() - 20, line)
        draw_text(painter, box, shown_name(name), look.font("secondary", strong=True), look.colour("text"))
        draw_text(painter, box.translated(0, line), self.words(name), look.figures("caption"), look.colour("text2"))
        if self.truth >= 0:
            mark(painter, QPointF(self.left() - look.px(14), middle - line / 2), best == self.truth)
        ground, roof = top + high - look.px(10), top + look.px(20)
        wide = min(self.pitch() * 0.6, look.px(WIDEST_BAR))
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QPointF(self.left(), ground + 0.5), QPointF(self.width(), ground + 0.5))
        for place, share in enumerate(shares):
            x = self.left() + (place + 0.5) * self.pitch()
            tall = max(1.0, float(share) * (ground - roof))
            bar = QRectF(x - wide / 2, ground - tall, wide, tall)
            plain_rounded(painter, bar, look.colour("accent" if place == best else "text2"), 2)
            if share >= 0.005 and self.pitch() >= look.px(30):
                over = QRectF(x - self.pitch() / 2, bar.top() - line, self.pitch(), line)
                ink = look.colour("text" if place == best else "text2")
                draw_text(painter, over, f"{100 * share:.0f} %", look.figures("caption"), ink, _CENTRE)


def shown_name(name: str) -> str:
    """A classifier as it is called on the page."""
    return "Judge" if name == JUDGE else name


class StyleGrid(Columns):
    """Every class in several styles. A click takes a picture as one's own.

    Signals:
        taken(int, int): Row and class of a picture that was clicked.
    """

    taken = Signal(int, int)

    def __init__(self, categories: Sequence[str], parent: QWidget) -> None:
        super().__init__("Styles by classes", categories, parent)
        self._pictures: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        self._sheets: list[QImage] = []
        self._mark, self._hover = (0, 0), (-1, -1)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.changed.connect(self._print)

    def set_pictures(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Show pictures uint8 [rows, C, H, W(, 3)], the own style first."""
        self._pictures = pictures
        shape = pictures.shape
        self._sheets = [to_image(row.reshape(shape[1] * shape[2], *shape[3:])) for row in pictures]
        self._mark = (min(self._mark[0], len(pictures) - 1), self._mark[1])
        self._describe()
        self.update()

    def picture(self, row: int, column: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """One of them.

        Raises:
            IndexError: There is none yet, or no such row.
        """
        if self._pictures is None:
            raise IndexError(row)
        found: np.ndarray[Any, np.dtype[np.uint8]] = self._pictures[row, column]
        return found

    def cell(self, row: int, column: int) -> QRectF:
        """Where a picture may be."""
        high = self.height() / max(1, len(self._sheets))
        return QRectF(self.left() + column * self.pitch(), row * high, self.pitch(), high).adjusted(2, 2, -2, -2)

    def sizeHint(self) -> QSize:
        """Large."""
        return QSize(520, 360)

    def minimumSizeHint(self) -> QSize:
        """Still recognisable."""
        return QSize(260, theme.current().px(120))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show what a click would take."""
        self._hover = self._at(event.position())
        self.setCursor(Qt.CursorShape.PointingHandCursor if self._hover[0] >= 0 else Qt.CursorShape.ArrowCursor)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._hover = (-1, -1)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a picture."""
        row, column = self._at(event.position())
        if row >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self._mark = (row, column)
            self.taken.emit(row, column)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the mark, Return takes the picture."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        step = steps.get(Qt.Key(event.key()))
        if step is not None and self._sheets:
            row, column = self._mark[0] + step[0], self._mark[1] + step[1]
            self._mark = (min(max(row, 0), len(self._sheets) - 1), min(max(column, 0), len(self.categories) - 1))
            self._describe()
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._sheets:
            self.taken.emit(*self._mark)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The band, the styles' names, the pictures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_truth(painter, first=False, last=True)
        look = theme.current()
        for row, sheet in enumerate(self._sheets):
            side = sheet.height() // max(1, len(self.categories))
            box = self.cell(row, 0)
            words = QRectF(0, box.top(), self.left() - 12, box.height())
            ink, name = ("text", "Its own style") if row == 0 else ("text2", f"Style {row}")
            draw_text(painter, words, name, look.font("secondary", strong=row == 0), look.colour(ink))
            for column in range(len(self.categories)):
                target = self._target(row, column, QSize(sheet.width(), side))
                source = QRectF(0, column * side, sheet.width(), side).toRect()
                draw_picture(painter, target, sheet, source, smooth=side > 12)
                marked = self.hasFocus() and (row, column) == self._mark
                if marked or (row, column) == self._hover:
                    focus_ring(painter, target.adjusted(-2, -2, 2, 2), 4)

    def _target(self, row: int, column: int, size: QSize) -> QRectF:
        return fitted(size, self.cell(row, column), self.devicePixelRatioF(), whole=False)

    def _at(self, point: QPointF) -> tuple[int, int]:
        column = self.column_at(point.x())
        row = math.floor(point.y() / max(1.0, self.height() / max(1, len(self._sheets))))
        return (row, column) if column >= 0 and 0 <= row < len(self._sheets) else (-1, -1)

    def _print(self) -> None:
        for sheet in self._sheets:
            print_in_theme(sheet)
        self.update()

    def _describe(self) -> None:
        row, column = self._mark
        style = "its own style" if row == 0 else f"style {row}"
        self.setAccessibleDescription(f"{self.categories[column]} in {style}; Return takes it")


class ScoreGauge(QWidget):
    """log p(x) of a picture, or of several, on an axis around the bound below which pictures are turned away."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._scores: dict[str, float] = {}
        self._threshold = math.nan
        self._reach = (30.0, 30.0)  # of the axis, nats below and above the threshold
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_scores(self, scores: Mapping[str, float], threshold: float) -> None:
        """Show bounds in nats by what they belong to; NaN is an unknown threshold."""
        self._scores, self._threshold = dict(scores), threshold
        if math.isfinite(threshold):
            self._reach = reaches([v - threshold for v in scores.values() if math.isfinite(v)])
        said = "; ".join(f"{name} {value:.1f} nats" for name, value in scores.items())
        self.setAccessibleDescription(f"{said}; turned away below {threshold:.1f} nats")
        self.update()

    def sizeHint(self) -> QSize:
        """Words, a bar, figures."""
        return QSize(420, theme.current().px(58))

    def minimumSizeHint(self) -> QSize:
        """As high."""
        return QSize(220, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """The axis, what is turned away, a stamp for every score."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        bar = QRectF(look.px(8), look.px(24), self.width() - 2.0 * look.px(8), look.px(10))
        plain_rounded(painter, bar, look.colour("bg3"), bar.height() / 2)
        if not math.isfinite(self._threshold):
            under = QRectF(0, bar.bottom() + 4, self.width(), look.px(16))
            words = "The usual bounds are worked out from the validation pictures"
            draw_text(painter, under, words, look.font("caption"), look.colour("text2"), _CENTRE)
            return
        middle = self._x_of(bar, self._threshold)
        painter.save()
        painter.setClipRect(QRectF(bar.left(), bar.top(), middle - bar.left(), bar.height()))
        plain_rounded(painter, bar, look.colour("bad", 0.45), bar.height() / 2)
        painter.restore()
        painter.fillRect(QRectF(middle - 1, bar.top() - 4, 2, bar.height() + 8), look.colour("text"))
        self._paint_words(painter, bar, middle)
        for place, (name, value) in enumerate(self._scores.items()):
            if math.isfinite(value):
                self._paint_score(painter, bar, name, value, place)

    def _x_of(self, bar: QRectF, value: float) -> float:
        below, above = self._reach
        share = (value - self._threshold + below) / (below + above)
        return bar.left() + min(max(share, 0.0), 1.0) * bar.width()

    def _paint_words(self, painter: QPainter, bar: QRectF, x: float) -> None:
        look = theme.current()
        under = QRectF(bar.left(), bar.bottom() + 5, bar.width(), look.px(16))
        font, ink = look.figures("caption"), look.colour("text2")
        middle = f"reject below {self._threshold:.1f}".replace("-", "\N{MINUS SIGN}")
        values = (self._threshold - self._reach[0], self._threshold + self._reach[1])
        ends = [f"{value:.0f}".replace("-", "\N{MINUS SIGN}") for value in values]
        wide = QFontMetrics(look.font("caption")).horizontalAdvance(middle) + 4
        box = QRectF(min(max(x - wide / 2, 0.0), self.width() - wide), under.top(), wide, under.height())
        draw_text(painter, box, middle, look.font("caption"), look.colour("text"), _CENTRE)
        draw_text(painter, under, ends[0], font, ink)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        draw_text(painter, under, f"{ends[1]} nats", font, ink, right)

    def _paint_score(self, painter: QPainter, bar: QRectF, name: str, value: float, place: int) -> None:
        look = theme.current()
        x = self._x_of(bar, value)
        colour = look.colour("accent") if len(self._scores) == 1 else stamp_colour(place)
        painter.setPen(QPen(look.colour("bg1"), 1.5))
        painter.setBrush(colour)
        r = look.px(6)
        at = QPointF(min(max(x, bar.left() + r), bar.right() - r), bar.center().y())
        if place == 0:
            painter.drawEllipse(at, r, r)
        else:
            painter.drawRect(QRectF(at.x() - r + 1, at.y() - r + 1, 2.0 * r - 2, 2.0 * r - 2))
        font = look.font("caption")
        wide = QFontMetrics(font).horizontalAdvance(name) + 4
        box = QRectF(min(max(at.x() - wide / 2, 0.0), self.width() - wide), 2, wide, look.px(16))
        if len(self._scores) == 1 or place == 0:
            draw_text(painter, box, name, font, look.colour("text"), _CENTRE)


def stamp_colour(place: int) -> Any:
    """The colour of the n-th score: that of the text for the original, categories for the others."""
    return theme.current().colour("text") if place == 0 else theme.line_colour(theme.CATEGORIES[place])


def reaches(distances: Sequence[float]) -> tuple[float, float]:
    """How far an axis goes below and above the threshold, so that its words have room at either side of it.

    >>> reaches([-220.0, 30.0]), reaches([8.0]), reaches([])
    ((500.0, 125.0), (10.0, 10.0), (10.0, 10.0))
    """
    below = nice(1.15 * max([0.0, *(-d for d in distances)]))
    above = nice(1.15 * max([0.0, *distances]))
    return max(below, above / 4), max(above, below / 4)


def nice(value: float) -> float:
    """The next larger of 10, 20, 50, 100 ...

    >>> nice(3), nice(12), nice(51), nice(230)
    (10.0, 20.0, 100.0, 500.0)
    """
    power = 10.0 ** max(1, math.floor(math.log10(max(value, 1e-9))))
    return next(power * step for step in (1.0, 2.0, 5.0, 10.0) if power * step >= value)
