"""Numbers in rows and columns as colours, with axes, a scale and a read-out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme

_BAR = 10


class HeatMap(QWidget):
    """A matrix as colours.

    Args:
        name: What the matrix is ("KL per dimension").
        unit: Of the numbers.
        table: "viridis" or "cividis", or "diverging" for numbers around zero.

    Signals:
        hovered(int, int): Row and column under the mouse or the keyboard's cell, -1 for none.
        clicked(int, int): A click or Return on a cell.
    """

    hovered = Signal(int, int)
    clicked = Signal(int, int)

    def __init__(self, name: str, parent: QWidget | None = None, *, unit: str = "", table: str = "viridis") -> None:
        super().__init__(parent)
        self._unit, self._table = unit, table
        self._numbers: npt.NDArray[np.float64] = np.zeros((0, 0))
        self._image: QImage | None = None
        self._low, self._high = 0.0, 1.0
        self._rows: tuple[str, ...] = ()
        self._columns: npt.NDArray[np.float64] = np.zeros(0)
        self._row_title, self._column_title = "", ""
        self._cell: tuple[int, int] | None = None
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._colour)

    def set_numbers(
        self,
        numbers: npt.NDArray[np.floating],
        rows: Sequence[str] = (),
        columns: npt.ArrayLike = (),
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Show a matrix.

        Args:
            numbers: [R, C]; NaN stays empty.
            rows: A name for each row.
            columns: A number for each column (the step), [C].
            low: Number of the first colour; the smallest by default.
            high: Number of the last colour; the largest by default.
        """
        self._numbers = np.asarray(numbers, dtype=np.float64)
        self._rows = tuple(rows)
        self._columns = np.asarray(columns, dtype=np.float64)
        finite = self._numbers[np.isfinite(self._numbers)]
        self._low = float(finite.min()) if low is None and finite.size else (low or 0.0)
        self._high = float(finite.max()) if high is None and finite.size else (1.0 if high is None else high)
        if self._table == "diverging":
            self._high = max(abs(self._low), abs(self._high))
            self._low = -self._high
        self._colour()

    def set_titles(self, rows: str, columns: str) -> None:
        """What the two directions are."""
        self._row_title, self._column_title = rows, columns
        self.update()

    def area(self) -> QRectF:
        """Where the cells are."""
        look = theme.current()
        left = self._label_width() + 6
        right = look.px(56)
        bottom = look.px(18) + (look.px(16) if self._column_title else 0)
        top = look.px(18) if self._row_title else 2
        return QRectF(left, top, max(1, self.width() - left - right), max(1, self.height() - top - bottom))

    def cell_at(self, point: QPointF) -> tuple[int, int] | None:
        """Row and column under a point."""
        area = self.area()
        if not area.contains(point) or not self._numbers.size:
            return None
        rows, columns = self._numbers.shape
        row = int((point.y() - area.top()) / area.height() * rows)
        column = int((point.x() - area.left()) / area.width() * columns)
        return min(row, rows - 1), min(column, columns - 1)

    def readout(self) -> str:
        """Words about the cell under the mouse."""
        if self._cell is None:
            return ""
        row, column = self._cell
        name = self._rows[row] if row < len(self._rows) else f"row {row}"
        at = f" · {self._column_title.lower()} {number(self._columns[column])}" if column < len(self._columns) else ""
        value = self._numbers[row, column]
        words = f"{number(float(value))} {self._unit}".strip() if np.isfinite(value) else "no value"
        return f"{name}{at} · {words}"

    def sizeHint(self) -> QSize:
        """A flat band."""
        return QSize(420, 180)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(180, 90)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Read out."""
        self._point(self.cell_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Click a cell."""
        cell = self.cell_at(event.position())
        if cell is not None:
            self.clicked.emit(*cell)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing to read out."""
        self._point(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the cell, Return clicks it."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        rows, columns = self._numbers.shape
        if key in steps and self._numbers.size:
            row, column = self._cell or (0, 0)
            down, right = steps[key] if self._cell else (0, 0)
            self._point((min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1)))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._cell is not None:
            self.clicked.emit(*self._cell)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Cells, names, scale, read-out."""
        painter = QPainter(self)
        area = self.area()
        if self._image is not None:
            painter.drawImage(area, self._image, QRectF(self._image.rect()))
            self._paint_rows(painter, area)
            self._paint_columns(painter, area)
            self._paint_scale(painter, area)
        self._paint_cell(painter, area)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_rows(self, painter: QPainter, area: QRectF) -> None:
        look = theme.current()
        if self._row_title:
            box = QRectF(0, 0, area.right(), area.top())
            draw_text(painter, box, self._row_title, look.font("caption"), look.colour("text2"))
        if not self._rows:
            return
        height = area.height() / len(self._rows)
        every = max(1, -(-look.px(13) // max(1, int(height))))
        for row in range(0, len(self._rows), every):
            box = QRectF(0, area.top() + row * height, area.left() - 6, max(height, look.px(13)))
            box.moveTop(area.top() + (row + 0.5) * height - box.height() / 2)
            draw_text(painter, box, self._rows[row], look.figures("caption"), look.colour("text2"), _RIGHT)

    def _paint_columns(self, painter: QPainter, area: QRectF) -> None:
        look = theme.current()
        font, ink = look.figures("caption"), look.colour("text2")
        count = len(self._columns)
        ends = {0: _LEFT, count // 2: _CENTRE, count - 1: _RIGHT} if count > 2 else {}
        for column, side in ends.items():
            box = QRectF(area.left(), area.bottom() + 2, area.width(), look.px(16))
            draw_text(painter, box, number(float(self._columns[column])), font, ink, side)
        if self._column_title:
            box = QRectF(area.left(), area.bottom() + look.px(17), area.width(), look.px(16))
            draw_text(painter, box, self._column_title, look.font("caption"), ink, _CENTRE)

    def _paint_scale(self, painter: QPainter, area: QRectF) -> None:
        look = theme.current()
        ramp = QImage(np.arange(255, -1, -1, dtype=np.uint8).tobytes(), 1, 256, 1, QImage.Format.Format_Indexed8)
        ramp.setColorTable(self._colours())
        bar = QRectF(area.right() + 8, area.top(), _BAR, area.height())
        painter.drawImage(bar, ramp, QRectF(ramp.rect()))
        text = QRectF(bar.right() + 4, bar.top() - 1, self.width() - bar.right() - 4, look.px(14))
        draw_text(painter, text, number(float(f"{self._high:.3g}")), look.figures("caption"), look.colour("text2"))
        text.moveBottom(bar.bottom() + 1)
        draw_text(painter, text, number(float(f"{self._low:.3g}")), look.figures("caption"), look.colour("text2"))
        text.moveTop(bar.center().y() - look.px(7))
        draw_text(painter, text, self._unit, look.font("caption"), look.colour("text2"))

    def _paint_cell(self, painter: QPainter, area: QRectF) -> None:
        if self._cell is None:
            return
        look = theme.current()
        rows, columns = self._numbers.shape
        wide, high = area.width() / columns, area.height() / rows
        row, column = self._cell
        painter.setPen(QPen(look.colour("text"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(QRectF(area.left() + column * wide, area.top() + row * high, wide, high))
        font = look.figures("caption")
        words = self.readout()
        box = QRectF(0, 0, QFontMetrics(font).horizontalAdvance(words) + 12, look.px(20))
        box.moveTopRight(QPointF(area.right() - 4, area.top() + 4))
        box.setLeft(max(box.left(), 0.0))
        painter.setPen(QPen(look.colour("line"), 1))
        painter.setBrush(look.colour("bg2"))
        painter.drawRoundedRect(box, 4, 4)
        draw_text(painter, box.adjusted(6, 0, -4, 0), words, font, look.colour("text"))

    def _colours(self) -> list[int]:
        table = theme.diverging() if self._table == "diverging" else theme.sequential(self._table)
        return theme.colour_table(table)

    def _colour(self) -> None:
        """Numbers to bytes once; the theme only changes the table."""
        self._image = None
        if self._numbers.size:
            span = (self._high - self._low) or 1.0
            share = np.clip((self._numbers - self._low) / span, 0, 1)
            levels = np.ascontiguousarray(np.rint(np.nan_to_num(share) * 255).astype(np.uint8))
            rows, columns = levels.shape
            image = QImage(levels.data, columns, rows, columns, QImage.Format.Format_Indexed8).copy()
            image.setColorTable(self._colours())
            self._image = image
        self.update()

    def _point(self, cell: tuple[int, int] | None) -> None:
        if cell != self._cell:
            self._cell = cell
            self.setAccessibleDescription(self.readout())
            self.update()
            self.hovered.emit(*(cell or (-1, -1)))

    def _label_width(self) -> int:
        metrics = QFontMetrics(theme.current().figures("caption"))
        return max((metrics.horizontalAdvance(name) for name in self._rows), default=-2) + 2


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter
