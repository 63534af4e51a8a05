"""The row of a slider: in one line where there is room, else the track goes under the words."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QWidget

from dgm_studio.gui import theme

_GAP = 6
_SHORTEST = 64


class SliderRow(QLayout):
    """Name, track, figures; the first widget stands before the track, the others after it."""

    def __init__(self, parent: QWidget, track: QWidget) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(0, 0, 0, 0)
        self.add(track)

    def add(self, widget: QWidget) -> None:
        """Add a widget; the track is there already."""
        self.addWidget(widget)

    def addItem(self, item: QLayoutItem) -> None:
        """Add at the end."""
        self._items.append(item)

    def count(self) -> int:
        """How many widgets there are."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """One of them, None past the end."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """Remove one."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        """As wide as it may be."""
        return Qt.Orientation.Horizontal

    def hasHeightForWidth(self) -> bool:
        """Two lines when it is narrow."""
        return True

    def heightForWidth(self, width: int) -> int:
        """One line or two."""
        line = self._line()
        return line if self._fits(width) else line + self._track().sizeHint().height()

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(self._words() + 120, self._line())

    def minimumSize(self) -> QSize:
        """The words without the track, over it."""
        return QSize(self._words() - _GAP, self._line())

    def setGeometry(self, rect: QRect) -> None:
        """Lay out."""
        super().setGeometry(rect)
        one_line = self._fits(rect.width())
        words = self._shown()
        height = self._line()
        left, right = rect.left(), rect.right() + 1
        for place, item in enumerate(reversed(words)):
            width = item.sizeHint().width()
            if place == len(words) - 1:  # the name
                item.setGeometry(_centred(QRect(left, rect.top(), min(width, right - left), height), item))
                left += width + _GAP
            else:
                right -= width
                item.setGeometry(_centred(QRect(right, rect.top(), width, height), item))
                right -= _GAP
        track = self._track()
        if one_line:
            track.setGeometry(_centred(QRect(left, rect.top(), right - left, height), track))
        else:
            track.setGeometry(QRect(rect.left(), rect.top() + height, rect.width(), track.sizeHint().height()))

    def _track(self) -> QLayoutItem:
        return self._items[0]

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items[1:] if not item.isEmpty()]

    def _words(self) -> int:
        return sum(item.sizeHint().width() + _GAP for item in self._shown())

    def _line(self) -> int:
        return max((item.sizeHint().height() for item in self._items if not item.isEmpty()), default=0)

    def _fits(self, width: int) -> bool:
        return width >= self._words() + theme.current().px(_SHORTEST)


def _centred(room: QRect, item: QLayoutItem) -> QRect:
    height = min(item.sizeHint().height(), room.height())
    return QRect(room.left(), room.top() + (room.height() - height) // 2, room.width(), height)
