"""Pictures in rows and columns that mean something: heads at two sides, a figure under each, one to be chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import (
    Picture,
    draw_picture,
    draw_text,
    fitted,
    focus_ring,
    follow_theme,
    plain_rounded,
    print_in_theme,
    to_image,
)

HEAD, SIDE, LINE, GAP = 38, 92, 17, 6
_CENTRE = Qt.AlignmentFlag.AlignCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ContactSheet(QWidget):
    """See the module.

    Args:
        name: What is shown.
        titles: What the rows and the columns are.

    Signals:
        clicked(int, int): Row and column of a picture that was clicked, or chosen with Return.
    """

    clicked = Signal(int, int)

    def __init__(self, name: str, titles: tuple[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._titles = titles
        self._rows: tuple[str, ...] = ()
        self._columns: tuple[str, ...] = ()
        self._sheet: QImage | None = None
        self._size = QSize(1, 1)
        self._done = np.zeros((0, 0), bool)
        self._captions: tuple[str, ...] = ()
        self._hints: tuple[str, ...] = ()
        self._best: tuple[int, int] | None = None
        self._mark, self._hover = (0, 0), (-1, -1)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_sheet(
        self,
        pictures: Picture,
        rows: Sequence[str],
        columns: Sequence[str],
        *,
        done: npt.NDArray[np.bool_],
        captions: Sequence[str] = (),
        hints: Sequence[str] = (),
        best: tuple[int, int] | None = None,
    ) -> None:
        """Show a sheet.

        Args:
            pictures: uint8 [R, C, H, W(, 3)].
            rows: A head for each row.
            columns: A head for each column.
            done: Which cells are there, [R, C].
            captions: Under each cell, row by row, or nothing.
            hints: Told of each cell when the mouse rests on it.
            best: A cell that is to be found at once.
        """
        self._rows, self._columns, self._done = tuple(rows), tuple(columns), done
        self._captions, self._hints, self._best = tuple(captions), tuple(hints), best
        flat = np.ascontiguousarray(pictures).reshape(-1, *pictures.shape[3:])
        self._sheet = to_image(flat) if len(flat) else None
        self._size = QSize(pictures.shape[3], pictures.shape[2])
        self._mark = (min(self._mark[0], len(rows) - 1), min(self._mark[1], len(columns) - 1))
        self._describe()
        self.update()

    def mark(self) -> tuple[int, int]:
        """Where the keyboard is."""
        return self._mark

    def cell(self, row: int, column: int) -> QRectF:
        """Where a picture may be, without its caption."""
        look = theme.current()
        left, top = look.px(SIDE), look.px(HEAD)
        wide = (self.width() - left) / max(1, len(self._columns))
        high = (self.height() - top) / max(1, len(self._rows))
        side = min(wide - GAP, high - GAP - self._caption_height())
        wide = min(wide, side + look.px(36))  # columns stay together where there is more room than pictures fill
        return QRectF(left + column * wide, top + row * high, wide - GAP, max(8.0, side))

    def cell_at(self, point: QPointF) -> tuple[int, int]:
        """Row and column under a point, (-1, -1) for none that is done."""
        done = ((int(row), int(column)) for row, column in np.argwhere(self._done))
        return next((place for place in done if self.cell(*place).contains(point)), (-1, -1))

    def sizeHint(self) -> QSize:
        """Large."""
        return QSize(560, 420)

    def minimumSizeHint(self) -> QSize:
        """Still recognisable."""
        look = theme.current()
        rows, columns = max(2, len(self._rows)), max(2, len(self._columns))
        return QSize(look.px(SIDE) + columns * look.px(40), look.px(HEAD) + rows * look.px(72))

    # -- by hand -------------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show what a click would choose."""
        self._hover = self.cell_at(event.position())
        self.setCursor(Qt.CursorShape.PointingHandCursor if self._hover[0] >= 0 else Qt.CursorShape.ArrowCursor)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._hover = (-1, -1)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose a picture."""
        found = self.cell_at(event.position())
        if found[0] >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self._mark = found
            self._describe()
            self.clicked.emit(*found)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the mark, Return chooses."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        if key in steps and self._rows:
            row, column = self._mark[0] + steps[key][0], self._mark[1] + steps[key][1]
            self._mark = (min(max(row, 0), len(self._rows) - 1), min(max(column, 0), len(self._columns) - 1))
            self._describe()
            self.update()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._is_done(*self._mark):
            self.clicked.emit(*self._mark)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """The tooltip tells a cell in full."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row, column = self.cell_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.told(row, column) if row >= 0 else "", self)
            return True
        return super().event(event)

    def told(self, row: int, column: int) -> str:
        """A cell in words."""
        index = row * len(self._columns) + column
        parts = [f"{self._titles[0]} {self._rows[row]}", f"{self._titles[1].lower()} {self._columns[column]}"]
        for words in (self._captions, self._hints):
            if index < len(words) and words[index]:
                parts.append(words[index])
        return ", ".join(parts)

    # -- painting ------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Heads, pictures, captions."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._rows or not self._columns:
            return
        self._paint_heads(painter)
        for index in range(len(self._rows) * len(self._columns)):
            self._paint_cell(painter, index)

    def _paint_heads(self, painter: QPainter) -> None:
        look = theme.current()
        caption, ink = look.font("caption"), look.colour("text2")
        first, last = self.cell(0, 0), self.cell(0, len(self._columns) - 1)
        title = QRectF(first.left(), 0, last.right() - first.left(), look.px(18))
        draw_text(painter, title, self._titles[1], caption, ink, _CENTRE)
        draw_text(painter, QRectF(0, 0, first.left() - 12, look.px(HEAD)), self._titles[0], caption, ink, _RIGHT)
        for column, words in enumerate(self._columns):
            cell = self.cell(0, column)
            box = QRectF(cell.left(), look.px(18), cell.width(), look.px(18))
            on = self._hover[1] == column or (self.hasFocus() and self._mark[1] == column)
            draw_text(painter, box, words, look.figures(), look.colour("accent" if on else "text"), _CENTRE)
        for row, words in enumerate(self._rows):
            cell = self.cell(row, 0)
            box = QRectF(0, cell.top(), cell.left() - 12, cell.height())
            on = self._hover[0] == row or (self.hasFocus() and self._mark[0] == row)
            draw_text(painter, box, words, look.figures(), look.colour("accent" if on else "text"), _RIGHT)

    def _paint_cell(self, painter: QPainter, index: int) -> None:
        look = theme.current()
        row, column = divmod(index, len(self._columns))
        cell = self.cell(row, column)
        target = fitted(self._size, cell, self.devicePixelRatioF(), whole=False)
        if not self._done[row, column] or self._sheet is None:
            plain_rounded(painter, target, look.colour("bg2"), 3)
            return
        source = QRect(0, index * self._size.height(), self._size.width(), self._size.height())
        draw_picture(painter, target, self._sheet, source, smooth=self._size.width() > 12)
        marked = (row, column) in (self._hover, self._mark if self.hasFocus() else None)
        if marked:
            focus_ring(painter, target.adjusted(-3, -3, 3, 3), 4)
        if index < len(self._captions) and self._captions[index]:
            best = (row, column) == self._best
            box = QRectF(cell.left(), target.bottom() + 1, cell.width(), look.px(LINE))
            words = self._captions[index]
            if best:
                painter.setPen(QPen(look.colour("good"), 1.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(target.adjusted(-1.5, -1.5, 1.5, 1.5))
            draw_text(painter, box, words, look.figures("caption"), look.colour("good" if best else "text2"), _CENTRE)

    def _caption_height(self) -> int:
        return theme.current().px(LINE) if any(self._captions) else 0

    def _is_done(self, row: int, column: int) -> bool:
        return bool(self._done.size) and bool(self._done[row, column])

    def _print(self) -> None:
        if self._sheet is not None:
            print_in_theme(self._sheet)
        self.update()

    def _describe(self) -> None:
        if self._rows and self._columns:
            self.setAccessibleDescription(f"{self.told(*self._mark)}; Return takes its settings")
