"""The library: models in the box, runs and opened files as rows with a picture, searched by typing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetricsF, QHelpEvent, QImage, QKeyEvent, QPainter, QPainterPath
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.gui import theme
from dgm_studio.gui.shelf import data_words, digits, headline, metric_words, short_title
from dgm_studio.gui.thumbs import Thumbnails
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, plain_rounded
from dgm_studio.gui.widgets.searchfield import SearchField

WIDTH = 252
ROW = 52
THUMBNAIL = 40
ENTRY = Qt.ItemDataRole.UserRole
_Index = QModelIndex | QPersistentModelIndex
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a section's heading (no card) or a model.

    Args:
        title: Heading, or the model's name.
        card: The model.
        share: How far its training is in [0, 1]; None when it does not train.
        paused: Its training is held.
        compared: It is in the comparison set.
    """

    title: str
    card: ModelCard | None = None
    share: float | None = None
    paused: bool = False
    compared: bool = False

    @property
    def second(self) -> str:
        """The line under the name."""
        card = self.card
        if card is None:
            return ""
        if self.share is not None or card.live:
            return f"{short_title(card)} · step {card.step:,}"
        if card.parent:
            step = split_key(card.parent)[1]
            return f"{short_title(card)} · " + ("a fork" if step is None else f"fork at {step:,}")
        return " · ".join(part for part in (short_title(card), data_words(card.data)) if part)

    @property
    def right(self) -> str:
        """What stands at the right: progress, or the headline metric."""
        if self.share is not None:
            return f"{self.share:.0%}"
        known = headline(self.card) if self.card is not None else None
        return digits(known[1].value) if known is not None else ""

    @property
    def hint(self) -> str:
        """The tooltip: everything in full."""
        card = self.card
        if card is None:
            return ""
        known = headline(card)
        lines = [card.name, f"{card.title or card.system} on {card.data}" if card.data else card.title]
        lines += [f"step {card.step:,}" if card.step else "", metric_words(*known) if known is not None else ""]
        return "\n".join(line for line in [*lines, card.path] if line)


class EntryModel(QAbstractListModel):
    """The rows, filtered by words."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._sections: list[tuple[str, list[Entry]]] = []
        self._rows: list[Entry] = []
        self._filter = ""

    def show(self, sections: Sequence[tuple[str, Sequence[Entry]]]) -> None:
        """Show other rows; keeps the view where it is when only their content changed."""
        self._sections = [(title, list(entries)) for title, entries in sections]
        rows = self._filtered()
        if [_identity(r) for r in rows] == [_identity(r) for r in self._rows]:
            self._rows = rows
            self.dataChanged.emit(self.index(0), self.index(max(0, len(rows) - 1)))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def filter(self, words: str) -> None:
        """Show only rows that have all of these words in name, system, data or path."""
        self._filter = words
        self.beginResetModel()
        self._rows = self._filtered()
        self.endResetModel()

    def row_of(self, key: str) -> int:
        """The row of a model, -1 when it is not shown."""
        return next((n for n, row in enumerate(self._rows) if row.card is not None and row.card.key == key), -1)

    def entry(self, index: _Index) -> Entry | None:
        """The row at an index."""
        return self._rows[index.row()] if 0 <= index.row() < len(self._rows) else None

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        entry = self.entry(index)
        if entry is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(part for part in (entry.title, entry.second, entry.right) if part)
        return entry if role == ENTRY else None

    def flags(self, index: _Index) -> Qt.ItemFlag:
        entry = self.entry(index)
        if entry is None or entry.card is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def _filtered(self) -> list[Entry]:
        rows: list[Entry] = []
        for title, entries in self._sections:
            fitting = [entry for entry in entries if _matches(entry, self._filter)]
            rows += [Entry(title), *fitting] if fitting else []
        return rows


class EntryPainter(QStyledItemDelegate):
    """Draws a row: picture, name, system and data, metric."""

    def __init__(self, thumbnails: Thumbnails, parent: QWidget) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        entry = index.data(ENTRY)
        height = ROW if isinstance(entry, Entry) and entry.card is not None else 28
        return QSize(100, theme.current().px(height))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        entry = index.data(ENTRY)
        if not isinstance(entry, Entry):
            return
        look = theme.current()
        rect = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if entry.card is None:
            words = rect.adjusted(look.px(12), look.px(6), -look.px(12), 0)
            draw_text(painter, words, entry.title, look.font("secondary"), look.colour("text2"))
        else:
            self._paint_background(painter, rect, option.state)
            self._paint_entry(painter, rect.adjusted(look.px(12), 0, -look.px(12), 0), entry, entry.card)
        painter.restore()

    def _paint_background(self, painter: QPainter, rect: QRectF, state: QStyle.StateFlag) -> None:
        look = theme.current()
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            inner = rect.adjusted(look.px(6), 1, -look.px(6), -1)
            plain_rounded(painter, inner, look.colour("accentbg" if selected else "bg2"), theme.RADIUS_CONTROL)

    def _paint_entry(self, painter: QPainter, rect: QRectF, entry: Entry, card: ModelCard) -> None:
        look = theme.current()
        side = look.px(THUMBNAIL)
        box = QRectF(rect.left(), rect.center().y() - side / 2, side, side)
        _paint_thumbnail(painter, box, self._thumbnails.picture(card), card)
        figures = look.figures("secondary")
        wide = QFontMetricsF(figures).horizontalAdvance(entry.right) + 2 if entry.right else 0
        text = QRectF(box.right() + look.px(8), rect.top(), 0, rect.height())
        text.setRight(rect.right() - (wide + look.px(8) if wide else 0))
        dot = look.px(12) if entry.share is not None else 0
        upper = text.adjusted(0, look.px(7), -dot, -rect.height() / 2)
        lower = text.adjusted(0, rect.height() / 2, -dot, -look.px(7))
        draw_text(painter, upper, entry.title, look.font("body", strong=True), look.colour("text"))
        draw_text(painter, lower, entry.second, look.font("secondary"), look.colour("text2"))
        token = "text" if entry.share is None else "text2" if entry.paused else "live"
        if entry.right:
            draw_text(painter, rect, entry.right, figures, look.colour(token), _RIGHT)
        if dot:
            radius = look.px(3)
            spot = QRectF(rect.right() - wide - look.px(12), rect.center().y() - radius, 2 * radius, 2 * radius)
            plain_rounded(painter, spot, look.colour(token), radius)


class EntryView(QListView):
    """The list; Return opens, Delete and F2 are for runs."""

    chosen = Signal(object)
    renamed = Signal(object)
    deleted = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("Library")
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setStyleSheet("QListView { background: transparent; border: none; }")
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.clicked.connect(self._choose)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        entry = self.currentIndex().data(ENTRY)
        card = entry.card if isinstance(entry, Entry) else None
        signals = {
            Qt.Key.Key_Return: self.chosen,
            Qt.Key.Key_Enter: self.chosen,
            Qt.Key.Key_F2: self.renamed,
            Qt.Key.Key_Delete: self.deleted,
        }
        signal = signals.get(Qt.Key(event.key()))
        if card is None or signal is None:
            super().keyPressEvent(event)
        else:
            signal.emit(card)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            entry = self.indexAt(event.pos()).data(ENTRY)
            QToolTip.showText(event.globalPos(), entry.hint if isinstance(entry, Entry) else "", self)
            return True
        return super().viewportEvent(event)

    def _choose(self, index: QModelIndex) -> None:
        entry = index.data(ENTRY)
        if isinstance(entry, Entry) and entry.card is not None:
            self.chosen.emit(entry.card)


class Library(Card):
    """The left column.

    Signals:
        chosen(ModelCard): Look at it.
        menu_wanted(ModelCard, QPoint): Its menu, at a place on the screen.
        renamed(ModelCard), deleted(ModelCard): F2 and Delete.
        trash_wanted(QPoint): What can be done with deleted runs, at a place on the screen.
        open_wanted(): Choose a file.
        collapse_wanted(): Take the column away.
    """

    chosen = Signal(object)
    menu_wanted = Signal(object, QPoint)
    renamed = Signal(object)
    deleted = Signal(object)
    trash_wanted = Signal(QPoint)
    open_wanted = Signal()
    collapse_wanted = Signal()

    def __init__(self, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.setObjectName("library")
        self.model = EntryModel(self)
        self.view = EntryView(self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(EntryPainter(thumbnails, self))
        self.search = SearchField("Filter the library", self)
        self.search.hide()
        self._build()
        self.view.chosen.connect(self.chosen)
        self.view.renamed.connect(self.renamed)
        self.view.deleted.connect(self.deleted)
        self.view.customContextMenuRequested.connect(self._menu)
        self.search.searched.connect(self.model.filter)
        thumbnails.came.connect(self._repaint)
        theme.changed.connect(self._fit)
        self._fit()

    def show_entries(self, sections: Sequence[tuple[str, Sequence[Entry]]], selected: str) -> None:
        """Show these rows and mark the selected model."""
        self.model.show(sections)
        self.mark(selected)

    def mark(self, key: str) -> None:
        """Mark the model that is looked at."""
        row = self.model.row_of(key)
        if row >= 0:
            self.view.setCurrentIndex(self.model.index(row))
        else:
            self.view.clearSelection()
            self.view.setCurrentIndex(QModelIndex())

    def show_trash(self, words: str) -> None:
        """Say what is in the trash; "" hides the line."""
        self.trash.setText(words)
        self.trash.setVisible(bool(words))

    def _want_trash(self) -> None:
        self.trash_wanted.emit(self.trash.mapToGlobal(QPoint(0, 0)))

    def _build(self) -> None:
        whole = self.layout()
        if whole is not None:
            whole.setContentsMargins(0, theme.SPACE[2], 0, theme.SPACE[2])
        header = QHBoxLayout()
        header.setContentsMargins(theme.SPACE[2], 0, theme.SPACE[1], 0)
        header.setSpacing(0)
        header.addWidget(label("LIBRARY", "section", self), 1)
        self._filter_button = IconButton("search", "Filter the library", self, bare=True)
        self._filter_button.clicked.connect(self._toggle_filter)
        opener = IconButton("open", "Open a file or a run folder (Ctrl+O)", self, bare=True)
        opener.clicked.connect(self.open_wanted)
        folder = IconButton("sidebar", "Hide the library (Ctrl+B)", self, bare=True)
        folder.clicked.connect(self.collapse_wanted)
        for button in (self._filter_button, opener, folder):
            header.addWidget(button)
        self.body.addLayout(header)
        filter_row = QHBoxLayout()
        filter_row.setContentsMargins(theme.SPACE[2], 0, theme.SPACE[2], 0)
        filter_row.addWidget(self.search)
        self.body.addLayout(filter_row)
        self.body.addWidget(self.view, 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(theme.SPACE[2], 0, theme.SPACE[2], 0)
        foot.setSpacing(theme.SPACE[0])
        self.trash = Button("", self, icon="trash", link=True)
        self.trash.setStyleSheet("QPushButton { padding: 2px 0; }")  # in line with the words below
        self.trash.hide()
        self.trash.clicked.connect(self._want_trash)
        foot.addWidget(self.trash, 0, Qt.AlignmentFlag.AlignLeft)
        foot.addWidget(label("Drop a file here to open it safely", "secondary", self, wrap=True))
        self.body.addLayout(foot)

    def _toggle_filter(self) -> None:
        self.search.setVisible(not self.search.isVisible())
        if self.search.isVisible():
            self.search.setFocus()
        else:
            self.search.clear()

    def _menu(self, at: QPoint) -> None:
        entry = self.view.indexAt(at).data(ENTRY)
        if isinstance(entry, Entry) and entry.card is not None:
            self.menu_wanted.emit(entry.card, self.view.viewport().mapToGlobal(at))

    def _repaint(self, key: str) -> None:
        self.view.viewport().update()

    def _fit(self) -> None:
        self.setFixedWidth(theme.current().px(WIDTH))
        self.view.doItemsLayout()


def _paint_thumbnail(painter: QPainter, box: QRectF, image: QImage | None, card: ModelCard) -> None:
    look = theme.current()
    clip = QPainterPath()
    clip.addRoundedRect(box, 4, 4)
    painter.save()
    painter.setClipPath(clip)
    painter.fillRect(box, look.colour("paper"))
    if image is not None:
        draw_picture(painter, box, image, smooth=True)
    else:
        initials = (card.title or card.system or card.name)[:1].upper()
        painter.fillRect(box, look.colour("bg3"))
        draw_text(painter, box, initials, look.font("title"), look.colour("text2"), Qt.AlignmentFlag.AlignCenter)
    painter.restore()


def _identity(entry: Entry) -> tuple[str, str]:
    return entry.title, entry.card.key if entry.card is not None else ""


def _matches(entry: Entry, words: str) -> bool:
    card = entry.card
    where = f"{entry.title} {card.system} {card.title} {card.data} {card.path}".lower() if card is not None else ""
    return all(word in where for word in words.lower().split())
