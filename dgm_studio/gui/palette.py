"""Ctrl+K: everything there is and everything one can do, found by typing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QFrame,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from dgm_studio.gui import icons, theme
from dgm_studio.gui.topbar import PaletteField
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import draw_text, plain_rounded

_COMMAND = Qt.ItemDataRole.UserRole
_MOST = 40
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class Command:
    """One line of the palette.

    Args:
        title: What it is or does.
        act: Does it.
        icon: Name in `resources/icons`.
        hint: At the right: what kind of thing, or its keys.
        words: More words it is found by.
    """

    title: str
    act: Callable[[], object]
    icon: str = "search"
    hint: str = ""
    words: str = ""


def rank(command: Command, typed: str) -> int | None:
    """How well a command fits what was typed: smaller is better, None not at all.

    >>> rank(Command("New run", print), "new"), rank(Command("A new run", print), "new")
    (0, 1)
    >>> rank(Command("New run", print), "xyz") is None
    True
    """
    title, parts = command.title.lower(), typed.lower().split()
    everything = f"{title} {command.hint} {command.words}".lower()
    if not all(part in everything for part in parts):
        return None
    if title.startswith(typed.lower()):
        return 0
    return 1 if all(part in title for part in parts) else 2


class _Line(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(200, theme.current().px(32))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        command = index.data(_COMMAND)
        look = theme.current()
        rect = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver):
            plain_rounded(painter, rect.adjusted(0, 1, 0, -1), look.colour("accentbg"), theme.RADIUS_CONTROL)
        if isinstance(command, Command):
            side, device = look.px(16), painter.device().devicePixelRatioF()
            picture = icons.pixmap(command.icon, look.palette.text2, round(side * device))
            box = QRectF(rect.left() + look.px(8), rect.center().y() - side / 2, side, side)
            painter.drawPixmap(box, picture, QRectF(picture.rect()))
            text = rect.adjusted(look.px(34), 0, -look.px(8), 0)
            left = QRectF(text.left(), text.top(), text.width() * 0.62, text.height())
            right = QRectF(left.right() + 8, text.top(), text.width() - left.width() - 8, text.height())
            draw_text(painter, left, command.title, look.font(), look.colour("text"))
            draw_text(painter, right, command.hint, look.font("caption"), look.colour("text2"), _RIGHT)
        painter.restore()


class Palette(QFrame):
    """The list under the search field.

    Args:
        field: Where one types.
        commands: Everything there is now; asked each time the list opens.
        window: Over which it lies.

    Signals:
        closed(): It went away; the focus should go back to where it was.
    """

    closed = Signal()

    def __init__(self, field: PaletteField, commands: Callable[[], Sequence[Command]], window: QWidget) -> None:
        super().__init__(window)
        self.setObjectName("palette")
        self.setProperty("surface", "card")
        self._field, self._gather = field, commands
        self._commands: Sequence[Command] = ()
        self._list = QListWidget(self)
        self._list.setAccessibleName("Found")
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setMouseTracking(True)
        self._list.setItemDelegate(_Line(self._list))
        self._list.setStyleSheet("QListWidget { background: transparent; border: none; }")
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._nothing = label("Nothing is called that.", "secondary", self)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.SPACE[1], theme.SPACE[1], theme.SPACE[1], theme.SPACE[1])
        column.addWidget(self._list)
        column.addWidget(self._nothing)
        field.entered.connect(self.open)
        field.textChanged.connect(self._find)
        field.moved.connect(self._move)
        field.taken.connect(self._take)
        field.left.connect(self.shut)
        self._list.itemClicked.connect(self._take_item)
        self.hide()

    def open(self) -> None:
        """Show everything; typing narrows it down."""
        if not self.isHidden():
            return
        self._commands = self._gather()
        self._find(self._field.text())
        self.raise_()
        self.show()

    def shut(self) -> None:
        """Go away and forget what was typed."""
        if self.isHidden():
            return
        self.hide()
        self._field.clear()
        self.closed.emit()

    def titles(self) -> list[str]:
        """What is listed now."""
        return [self._list.item(n).text() for n in range(self._list.count())]

    def _find(self, typed: str) -> None:
        ranked = [(rank(command, typed.strip()), n) for n, command in enumerate(self._commands)]
        fitting = sorted((r, n) for r, n in ranked if r is not None)[:_MOST]
        self._list.clear()
        for _, n in fitting:
            item = QListWidgetItem(self._commands[n].title, self._list)
            item.setData(_COMMAND, self._commands[n])
        self._list.setCurrentRow(0)
        self._nothing.setVisible(not fitting)
        self._list.setVisible(bool(fitting))
        self._place()

    def _place(self) -> None:
        look = theme.current()
        rows = min(self._list.count(), 11)
        height = max(1, rows) * look.px(32) + look.px(22)
        window = self.parentWidget()
        if window is not None:
            at = self._field.mapTo(window, QPoint(0, self._field.height() + 4))
            self.setGeometry(at.x(), at.y(), max(self._field.width(), look.px(460)), height)

    def _move(self, by: int) -> None:
        if self._list.count():
            self._list.setCurrentRow(min(max(self._list.currentRow() + by, 0), self._list.count() - 1))

    def _take(self) -> None:
        item = self._list.currentItem()
        if item is not None and not self.isHidden():
            self._take_item(item)

    def _take_item(self, item: QListWidgetItem) -> None:
        command = item.data(_COMMAND)
        self._field.clearFocus()
        self.shut()
        if isinstance(command, Command):
            command.act()
