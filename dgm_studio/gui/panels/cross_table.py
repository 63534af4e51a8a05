"""The conditioning matrix as a widget: rows of what was given, columns of what was generated, the datum on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QRegion,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QMenu, QSizePolicy, QToolTip, QWidget

from dgm_studio.core.cards import Modality
from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross_cells import CHIP, icon_at, paint, paint_given
from dgm_studio.gui.panels.cross_state import subset_words
from dgm_studio.gui.panels.cross_values import ICONS, Cell, wanted_height, wanted_width, words
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme, plain_rounded

HEAD, GAP = 26, 6
TALLEST = 168
Row = tuple[str, ...]
Place = tuple[int, int]  # row (-1 is the datum) and column
_CENTRE = Qt.AlignmentFlag.AlignCenter


@dataclass(frozen=True)
class Line:
    """One row of the matrix.

    Args:
        given: What was given.
        cells: One for each column.
        note: Under the names ("KL 12.3 nats").
    """

    given: Row
    cells: tuple[Cell, ...]
    note: str = ""


class CrossTable(QAbstractScrollArea):
    """Head and datum stay in sight while the rows scroll.

    Keys: left and right change the example, up and down move the ring from row to row, with Shift from column to
    column; Return freezes the cell in the ring, digits mark a modality as missing or known, Delete takes the row away.

    Signals:
        cell_clicked(object, str): A cell was clicked: what was given, and the column.
        stepped(int): To another example.
        toggled(int): A modality is to be marked missing, or known.
        row_removed(object): A row is not wanted.
    """

    cell_clicked = Signal(object, str)
    stepped = Signal(int)
    toggled = Signal(int)
    row_removed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: tuple[Modality, ...] = ()
        self._datum: tuple[Cell, ...] = ()
        self._lines: tuple[Line, ...] = ()
        self._pins: dict[tuple[Row, str], Cell] = {}
        self._own: frozenset[str] = frozenset()
        self._example, self._hint, self._samples = "", "", 1
        self._first, self._high, self._widths = 0.0, 0.0, list[float]()  # worked out once for each size
        self._ring: Place | None = None
        self._hover: Place | None = None
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Matrix of conditionings")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)  # else all cards under it are painted too
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._fit)
        theme.changed.connect(self.viewport().update)

    def set_columns(self, columns: Sequence[Modality]) -> None:
        """The modalities."""
        self._columns = tuple(columns)
        self._fit()

    def set_datum(self, cells: Sequence[Cell], example: str, own: Sequence[str] = ()) -> None:
        """The datum itself; `own` are the modalities with a value of the user's."""
        before = self._datum, self._example, self._own
        self._datum, self._example, self._own = tuple(cells), example, frozenset(own)
        if before[1:] != (self._example, self._own) or len(before[0]) != len(self._datum):
            self.viewport().update(QRectF(0, 0, self.viewport().width(), self._fixed()).toAlignedRect())
        else:
            self._repaint_changed(-1, before[0], self._datum)

    def set_lines(self, lines: Sequence[Line], samples: int = 1) -> None:
        """What follows from every part of it."""
        before = self._lines
        resized = [line.given for line in lines] != [line.given for line in before] or samples != self._samples
        self._lines, self._samples = tuple(lines), samples
        if resized:
            self._fit()
        else:
            for row, (old, new) in enumerate(zip(before, self._lines, strict=True)):
                self._repaint_changed(row, old.cells, new.cells)
                if old.note != new.note:
                    self.viewport().update(self._given_rect(row).toAlignedRect())
        self._describe()

    def _repaint_changed(self, row: int, old: Sequence[Cell], new: Sequence[Cell]) -> None:
        """Only cells that look otherwise than they are painted: a hand that moves changes few of them."""
        for column, (before, now) in enumerate(zip(old, new, strict=True)):
            if before.look() != now.look():
                self.viewport().update(self.cell_rect((row, column)).toAlignedRect())

    def set_pins(self, pins: Mapping[tuple[Row, str], Cell]) -> None:
        """The frozen cells."""
        if self._pins != dict(pins):
            self._pins = dict(pins)
            self.viewport().update()

    def set_hint(self, words: str) -> None:
        """What the tooltip of the head says: who judges."""
        self._hint = words

    def lines(self) -> tuple[Line, ...]:
        """The rows that are shown."""
        return self._lines

    def cell(self, given: Row, column: str) -> Cell | None:
        """The live cell of a row and a column."""
        line = next((line for line in self._lines if line.given == given), None)
        names = [m.name for m in self._columns]
        return line.cells[names.index(column)] if line is not None and column in names else None

    def cell_rect(self, place: Place) -> QRectF:
        """Where a cell is in the viewport."""
        row, column = place
        lefts, widths = self._across()
        height = self._row_height()
        fixed = self._fixed()
        top = theme.current().px(HEAD) if row < 0 else fixed + row * height - self.verticalScrollBar().value()
        return QRectF(lefts[column], top, widths[column], height)

    def _given_rect(self, row: int) -> QRectF:
        """Where a row says what was given."""
        first = self.cell_rect((row, 0))
        return QRectF(0, first.top(), first.left(), first.height())

    def sizeHint(self) -> QSize:
        """A large canvas."""
        return QSize(640, 520)

    def minimumSizeHint(self) -> QSize:
        """The datum and two rows."""
        return QSize(280, 240)

    # -- by hand -------------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up the cell under the mouse."""
        self._set_hover(self._at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._set_hover(None)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Freeze a cell, or let it go."""
        place = self._at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and place is not None:
            self._ring = place
            self._describe()
            self._press(place)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with a row."""
        row = self._row_at(QPointF(event.pos()))
        if row is None:
            return
        given = self._lines[row].given
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Remove this row").triggered.connect(lambda: self.row_removed.emit(given))
        menu.popup(event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """See the class."""
        key, shift = Qt.Key(event.key()), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        digit = event.key() - Qt.Key.Key_1
        if event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier):
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and not shift:
            self.stepped.emit(-1 if key == Qt.Key.Key_Left else 1)
        elif key in steps and self._lines and self._columns:
            self._move_ring(*steps[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._ring is not None:
            self._press(self._ring)
        elif key == Qt.Key.Key_Delete and self._ring is not None and 0 <= self._ring[0] < len(self._lines):
            self.row_removed.emit(self._lines[self._ring[0]].given)
        elif 0 <= digit < len(self._columns):
            self.toggled.emit(digit)
        else:
            event.ignore()

    def viewportEvent(self, event: QEvent) -> bool:
        """The tooltip says the cell in words."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place = self._at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.told(place) if place is not None else self._hint, self)
            return True
        return bool(super().viewportEvent(event))

    def told(self, place: Place | None) -> str:
        """A place in words."""
        if place is None:
            return ""
        row, column = place
        modality = self._columns[column]
        if row < 0:
            return f"The datum's {modality.name}: {words(self._datum[column])}" if self._datum else ""
        line = self._lines[row]
        known = "rebuilt from" if modality.name in line.given else "generated from"
        pin = self._pins.get((line.given, modality.name))
        frozen = f". Frozen: {words(pin)}" if pin is not None else ""
        return f"{modality.name} {known} {subset_words(line.given)}: {words(line.cells[column])}{frozen}"

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out anew."""
        super().resizeEvent(event)
        self._fit()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Painted by hand."""
        self.viewport().update()

    # -- painting ------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Rows in sight, then head and datum over them."""
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._columns:
            return
        fixed = self._fixed()
        dirty = event.region()
        painter.fillRect(event.rect(), theme.current().colour("bg1"))
        painter.save()
        painter.setClipRect(QRectF(0, fixed, self.viewport().width(), self.viewport().height()))
        height, scrolled = self._row_height(), self.verticalScrollBar().value()
        first = max(0, int(scrolled // height))
        last = min(len(self._lines), int((scrolled + self.viewport().height()) // height) + 1)
        for row in range(first, last):
            band = QRectF(0, self.cell_rect((row, 0)).top(), self.viewport().width(), height)
            if dirty.intersects(band.toAlignedRect()):
                self._paint_line(painter, row, dirty)
        painter.restore()
        if dirty.boundingRect().top() < fixed:
            self._paint_head(painter, dirty)
            self._paint_datum(painter, dirty)
        if self.hasFocus() and self._ring is None:
            focus_ring(painter, QRectF(self.viewport().rect()))

    def _paint_head(self, painter: QPainter, dirty: QRegion) -> None:
        if dirty.boundingRect().top() >= theme.current().px(HEAD):
            return
        look, ratio = theme.current(), self.devicePixelRatioF()
        lefts, widths = self._across()
        high = look.px(HEAD)
        side = look.px(14)
        shift = self.horizontalScrollBar().value()
        box = QRectF(GAP - shift, 0, self._left() - 2 * GAP, high)
        draw_text(painter, box, "Given", look.font("caption", strong=True), look.colour("text2"))
        for number, (modality, left, width) in enumerate(zip(self._columns, lefts, widths, strict=True), 1):
            square = QRectF(left + GAP, (high - side) / 2, side, side)
            icon_at(painter, square, ICONS.get(modality.kind, "grid"), look.colour("text2"), ratio)
            text = QRectF(square.right() + 5, 0, width - side - 2 * GAP - 20, high)
            draw_text(painter, text, modality.name, look.font("caption", strong=True), look.colour("text2"))
            key = QRectF(left + width - 22, 0, 16, high)
            draw_text(painter, key, str(number), look.figures("caption"), look.colour("text2", 0.6), _CENTRE)

    def _paint_datum(self, painter: QPainter, dirty: QRegion) -> None:
        look = theme.current()
        height = self._row_height()
        band = QRectF(0, look.px(HEAD), self.viewport().width(), height)
        plain_rounded(painter, band.adjusted(0, 0, 0, -3), look.colour("bg2"), theme.RADIUS_CONTROL)
        for column, cell in enumerate(self._datum):
            self._paint_cell(painter, (-1, column), cell, dirty)
        if not dirty.intersects(self._given_rect(-1).toAlignedRect()):
            return
        shift = self.horizontalScrollBar().value()
        head = QRectF(GAP + 2 - shift, band.top() + GAP, self._left() - 2 * GAP, look.px(18))
        draw_text(painter, head, "The datum", look.font("body", strong=True), look.colour("text"))
        head.translate(0, look.px(18))
        draw_text(painter, head, self._example, look.font("caption"), look.colour("text2"))
        if self._own:
            head.translate(0, look.px(16))
            draw_text(painter, head, "with own input", look.font("caption"), look.colour("live"))

    def _paint_line(self, painter: QPainter, row: int, dirty: QRegion) -> None:
        look = theme.current()
        line = self._lines[row]
        first = self.cell_rect((row, 0))
        shift = self.horizontalScrollBar().value()
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QPointF(0, first.bottom() - 0.5), QPointF(self.viewport().width(), first.bottom() - 0.5))
        if dirty.intersects(self._given_rect(row).toAlignedRect()):
            box = QRectF(GAP - shift, first.top() + GAP, self._left() - 2 * GAP, first.height())
            words = self._named(line.given), line.note
            paint_given(painter, box, self._columns, line.given, words, self.devicePixelRatioF())
        for column, cell in enumerate(line.cells):
            self._paint_cell(painter, (row, column), cell, dirty)

    def _paint_cell(self, painter: QPainter, place: Place, cell: Cell, dirty: QRegion) -> None:
        look, ratio = theme.current(), self.devicePixelRatioF()
        row, column = place
        rect = self.cell_rect(place)
        if not dirty.intersects(rect.toAlignedRect()):
            return
        inner = rect.adjusted(GAP, GAP - 1, -GAP, -GAP)
        given = row >= 0 and self._columns[column].name in self._lines[row].given
        if given:
            painter.fillRect(rect.adjusted(2, 2, -2, -3).toAlignedRect(), look.colour("accentbg", 0.45))
        pin = self._pins.get((self._lines[row].given, self._columns[column].name)) if row >= 0 else None
        if pin is not None:
            inner = self._paint_pin(painter, inner, pin)
        paint(painter, inner, cell, ratio)
        frame = rect.adjusted(1.5, 1.5, -1.5, -2.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if place == self._ring and (self.hasFocus() or pin is not None):
            painter.setPen(QPen(look.colour("accent"), 2))
            painter.drawRoundedRect(frame, 4, 4)
        elif place == self._hover and row >= 0:
            painter.setPen(QPen(look.colour("text2"), 1))
            painter.drawRoundedRect(frame, 4, 4)

    def _paint_pin(self, painter: QPainter, inner: QRectF, pin: Cell) -> QRectF:
        """The frozen cell beside or above the live one; returns the room that is left."""
        look, ratio = theme.current(), self.devicePixelRatioF()
        if pin.modality.kind in ("image", "label", "categorical", "vector"):
            half = inner.width() / 2
            frozen, live = inner.adjusted(0, 0, -half - 3, 0), inner.adjusted(half + 3, 0, 0, 0)
        else:
            half = inner.height() / 2
            frozen, live = inner.adjusted(0, 0, 0, -half - 2), inner.adjusted(0, half + 2, 0, 0)
        ground = frozen.adjusted(-3, -2, 2, 2)
        painter.setPen(QPen(look.colour("live"), 1))
        painter.setBrush(look.colour("live", 0.08))
        painter.drawRoundedRect(ground, 4, 4)
        paint(painter, frozen.adjusted(0, 0, -2, 0), pin, ratio)
        side = look.px(14)
        corner = QRectF(ground.right() - side - 1, ground.top() + 1, side, side)
        plain_rounded(painter, corner, look.colour("bg1", 0.85), 3)
        icon_at(painter, corner.adjusted(1, 1, -1, -1), "pin", look.colour("live"), ratio)
        return live

    # -- room ----------------------------------------------------------------------------------------------------------

    def _left(self) -> float:
        """Width of the first column."""
        if self._first:
            return self._first
        look = theme.current()
        metrics = QFontMetrics(look.font("caption"))
        named = max((metrics.horizontalAdvance(self._named(line.given)) for line in self._lines), default=0)
        chips = len(self._columns) * (look.px(CHIP) + 3)
        self._first = float(min(max(look.px(116), chips + 2 * GAP, named + 3 * GAP), look.px(176)))
        return self._first

    def _named(self, given: Row) -> str:
        """A row in few words."""
        absent = [m.name for m in self._columns if m.name not in given]
        if len(self._columns) > 3 and len(absent) < 2:
            return f"all but {absent[0]}" if absent else "everything"
        return subset_words(given)

    def _row_height(self) -> float:
        if self._high:
            return self._high
        look = theme.current()
        least = max((look.px(wanted_height(m)) for m in self._columns), default=look.px(60)) + 2 * GAP
        chips = look.px(CHIP + 34) + 2 * GAP
        room = (self.viewport().height() - look.px(HEAD)) / (len(self._lines) + 1)
        self._high = float(int(min(max(least, chips, room), max(least, look.px(TALLEST)))))
        return self._high

    def _fixed(self) -> float:
        """Height of what does not scroll."""
        return theme.current().px(HEAD) + self._row_height()

    def _across(self) -> tuple[list[float], list[float]]:
        """Left edges and widths of the columns, in the viewport."""
        shift = self.horizontalScrollBar().value()
        if not self._widths:
            self._widths = self._shared_out()
        lefts, x = [], self._left() - shift
        for width in self._widths:
            lefts.append(x)
            x += width
        return lefts, self._widths

    def _shared_out(self) -> list[float]:
        """The widths of the columns: what each needs, and its part of what is left."""
        look = theme.current()
        widths = [float(look.px(wanted_width(m, self._samples))) for m in self._columns]
        spare = self.viewport().width() - self._left() - sum(widths)
        pictures = [n for n, m in enumerate(self._columns) if m.kind == "image"]
        share = max(spare, 0.0) * (0.6 if len(pictures) < len(widths) else 1.0) / max(1, len(pictures))
        for n in pictures:  # a picture is as wide as it can be high
            wish = (self._row_height() - 2 * GAP) * min(self._samples, 4) - widths[n]
            more = min(share, max(0.0, wish))
            widths[n] += more
            spare -= more
        others = [n for n in range(len(widths)) if n not in pictures] or pictures
        for n in others:
            widths[n] += max(spare, 0.0) / len(others)
        return widths

    def _fit(self) -> None:
        self._first, self._high, self._widths = 0.0, 0.0, []
        high, wide = self.viewport().height(), self.viewport().width()
        rows = self._row_height() * len(self._lines)
        bar = self.verticalScrollBar()
        bar.setPageStep(max(1, int(high - self._fixed())))
        bar.setSingleStep(max(1, int(self._row_height() / 2)))
        bar.setRange(0, max(0, int(rows - (high - self._fixed()) + 0.5)))
        total = self._left() + sum(self._across()[1])
        self.horizontalScrollBar().setPageStep(wide)
        self.horizontalScrollBar().setRange(0, max(0, int(total - wide + 0.5)))
        self.viewport().update()

    def _at(self, point: QPointF) -> Place | None:
        lefts, widths = self._across() if self._columns else ([], [])
        column = next((n for n, (x, w) in enumerate(zip(lefts, widths, strict=True)) if x <= point.x() < x + w), None)
        if column is None or point.y() < theme.current().px(HEAD):
            return None
        if point.y() < self._fixed():
            return -1, column
        row = self._row_at(point)
        return None if row is None else (row, column)

    def _row_at(self, point: QPointF) -> int | None:
        if point.y() < self._fixed():
            return None
        row = int((point.y() - self._fixed() + self.verticalScrollBar().value()) // self._row_height())
        return row if 0 <= row < len(self._lines) else None

    def _set_hover(self, place: Place | None) -> None:
        if place != self._hover:
            for left in (self._hover, place):
                if left is not None:
                    self.viewport().update(self.cell_rect(left).toAlignedRect())
            self._hover = place
            self.viewport().setCursor(
                Qt.CursorShape.PointingHandCursor if place and place[0] >= 0 else Qt.CursorShape.ArrowCursor
            )

    def _press(self, place: Place) -> None:
        row, column = place
        if 0 <= row < len(self._lines):
            self.cell_clicked.emit(self._lines[row].given, self._columns[column].name)
        self.viewport().update()

    def _move_ring(self, down: int, across: int) -> None:
        row, column = self._ring if self._ring is not None else (-1, 0)
        if self._ring is not None or down:
            row, column = row + down, column + across
        row = min(max(row, -1), len(self._lines) - 1)
        self._ring = (row, min(max(column, 0), len(self._columns) - 1))
        if row >= 0:
            rect = self.cell_rect(self._ring)
            bar = self.verticalScrollBar()
            if rect.top() < self._fixed():
                bar.setValue(bar.value() - int(self._fixed() - rect.top()))
            elif rect.bottom() > self.viewport().height():
                bar.setValue(bar.value() + int(rect.bottom() - self.viewport().height()) + 1)
        self._describe()
        self.viewport().update()

    def _describe(self) -> None:
        if self._ring is not None and self._ring[0] >= len(self._lines):
            self._ring = None
        self.setAccessibleDescription(self.told(self._ring))

    def ring_point(self, place: Place) -> QPoint:
        """The middle of a cell in the viewport."""
        return self.cell_rect(place).center().toPoint()
