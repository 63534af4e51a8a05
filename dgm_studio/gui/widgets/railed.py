"""One large card whose pages are chosen by a row of sections, and a column of settings beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.segmented import SegmentedControl

RAIL = 330
NARROW = 830  # a panel's share of a window of 1,100 pixels
WIDEST = 16_777_215  # what Qt takes for no limit


class Pages(QStackedWidget):
    """Pages of which only the one in sight asks for room."""

    def minimumSizeHint(self) -> QSize:
        """Of the page that is shown."""
        page = self.currentWidget()
        return page.minimumSizeHint() if page is not None else super().minimumSizeHint()


class Railed(QWidget):
    """The canvas with its sections, and the rail, which goes under the canvas where there is little room.

    Args:
        sections: Words of the sections by name, in order.
        titles: Of the canvas, by section.
        name: Of the choice of sections, for screen readers.
        rail_name: Of the rail likewise.
        parent: Owner.

    Signals:
        chosen(str): The hand chose this section.
    """

    chosen = Signal(str)

    def __init__(
        self, sections: Mapping[str, str], titles: Mapping[str, str], name: str, rail_name: str, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._names, self._titles = tuple(sections), dict(titles)
        self._section = self._names[0]
        self._corners: dict[str, str] = {}
        self._cards: dict[QWidget, frozenset[str]] = {}
        self._content = QWidget()
        self._content.setObjectName("scrolled")
        self.canvas = Card("", self._content)
        self.corner = label("", "figures2", self.canvas)
        self.sections = SegmentedControl(list(sections.values()), name, self.canvas)
        self.pages = Pages(self.canvas)
        self.rail = QWidget(self._content)
        self.rail.setObjectName("scrolled")
        self._column = QVBoxLayout(self.rail)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.SPACE[2])
        self._column.addStretch(1)
        self._rail_area = bare_scroll(self.rail, self._content, rail_name)
        self._lay_out(name)
        self.sections.chosen.connect(self._on_chosen)
        theme.changed.connect(self.arrange)

    def _lay_out(self, name: str) -> None:
        self.canvas.add_right(self.corner)
        self.canvas.add_right(self.sections)
        self.canvas.add(self.pages, 1)
        self._rail_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._halves = QBoxLayout(QBoxLayout.Direction.LeftToRight, self._content)
        self._halves.setContentsMargins(0, 0, 0, 0)
        self._halves.setSpacing(theme.SPACE[2])
        self._halves.addWidget(self.canvas, 1)
        self._halves.addWidget(self._rail_area)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(bare_scroll(self._content, self, name))

    # -- filling -------------------------------------------------------------------------------------------------------

    def add_pages(self, pages: Mapping[str, QWidget]) -> None:
        """A page for each section, by its name."""
        for name in self._names:
            self.pages.addWidget(pages[name])
        self._by_name = dict(pages)

    def add_cards(self, cards: Mapping[QWidget, Collection[str]]) -> None:
        """Cards of the rail from top to bottom, each with the sections that it belongs to."""
        for card, sections in cards.items():
            self._cards[card] = frozenset(sections)
            self._column.insertWidget(self._column.count() - 1, card)

    def put_before(self, card: QWidget, other: QWidget) -> None:
        """Move a card of the rail to the place before another."""
        if self._column.indexOf(card) > self._column.indexOf(other):
            self._column.removeWidget(card)
            self._column.insertWidget(self._column.indexOf(other), card)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_section(self, section: str) -> None:
        """Bring a page into sight with its title, its corner and its cards."""
        self._section = section
        self.sections.set_index(self._names.index(section))
        self.pages.setCurrentWidget(self._by_name[section])
        self.canvas.set_title(self._titles[section])
        self.corner.setText(self._corners.get(section, ""))
        for card, sections in self._cards.items():
            card.setVisible(section in sections)
        self._rail_area.setVisible(any(section in sections for sections in self._cards.values()))

    def tell(self, section: str, words: str) -> None:
        """What stands in the corner while a section is in sight."""
        self._corners[section] = words
        if section == self._section:
            self.corner.setText(words)

    def under(self) -> bool:
        """Whether the rail lies under the canvas."""
        return self._halves.direction() == QBoxLayout.Direction.TopToBottom

    def arrange(self) -> None:
        """The rail beside the canvas, or under it where there is little room."""
        look = theme.current()
        needed = self.canvas.minimumSizeHint().width() + look.px(RAIL) + theme.SPACE[2]
        beside = self.width() >= max(look.px(NARROW), needed)
        directions = QBoxLayout.Direction
        self._halves.setDirection(directions.LeftToRight if beside else directions.TopToBottom)
        least = self.canvas.minimumSizeHint().height()
        high = max(least, look.px(300), min(look.px(520), self.height() - look.px(24)))
        self.canvas.setMinimumHeight(0 if beside else high)
        if beside:
            self._rail_area.setFixedWidth(look.px(RAIL))
            self._rail_area.setMinimumHeight(0)
            return
        self._rail_area.setMinimumWidth(0)
        self._rail_area.setMaximumWidth(WIDEST)
        self._column.activate()
        wide = self.width() - 2 * theme.SPACE[2]
        whole = max(self._column.totalHeightForWidth(wide), self._column.totalSizeHint().height())
        self._rail_area.setMinimumHeight(whole + 4)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out anew."""
        super().resizeEvent(event)
        self.arrange()

    def _on_chosen(self, place: int) -> None:
        self.chosen.emit(self._names[place])


def bare_scroll(inner: QWidget, parent: QWidget, name: str) -> QScrollArea:
    """Scrolls only when there is too little room."""
    area = QScrollArea(parent)
    area.setAccessibleName(name)
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area
