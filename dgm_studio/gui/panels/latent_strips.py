"""Film strips: for every direction a row of pictures, from here to both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import TraverseLatents
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_plane import Doubles, Space, title, unlocked
from dgm_studio.gui.panels.latent_state import as_tuple
from dgm_studio.gui.panels.spec import Ask
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.stateframe import StateFrame

TOPIC = "traversals"
MOST_ROWS = 64
COUNT = 11
REACH = 3.0


class StripsView(QWidget):
    """The rows; a click brings z there.

    Signals:
        picked(str, float): An axis key and how far along it from where z is.
    """

    picked = Signal(str, float)

    def __init__(self, ask: Ask, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ask = ask
        self._keys: tuple[str, ...] = ()
        self._values: Doubles = np.zeros(0)
        self._asked: TraverseLatents | None = None
        self.grid = _Rows("Film strips", self)
        self.grid.setObjectName("scrolled")
        self._area = QScrollArea(self)
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setWidget(self.grid)
        self.frame = StateFrame(self._area, self)
        self.frame.set_empty("Film strips show what every direction does.", icon="film")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.frame)
        self.grid.clicked.connect(self._on_click)
        self.frame.acted.connect(self.again)

    def ask(self, model: str, space: Space, tab: str, z: Doubles, locked: frozenset[int]) -> None:
        """Ask for the rows of a kind of direction; locked dimensions do not change in them."""
        keys = [key for key in space.keys(tab) if _free(space, key, locked) is not None][:MOST_ROWS]
        if not keys:
            self.frame.show_error("There is no unlocked direction of this kind.", "")
            return
        self._keys = tuple(keys)
        directions = tuple(as_tuple(_free(space, key, locked)) for key in keys)  # type: ignore[arg-type]
        names = tuple(title(key) for key in keys)
        self._asked = TraverseLatents(model, as_tuple(z), directions, names, REACH, COUNT)
        self.again()

    def again(self) -> None:
        """Ask the last question once more."""
        if self._asked is not None:
            self.frame.show_waiting()
            self._ask(TOPIC, self._asked)

    def asked(self) -> TraverseLatents | None:
        """The request whose answer is shown."""
        return self._asked

    def receive(self, update: Update, ticket: Ticket) -> None:
        """Rows, or why there are none."""
        if isinstance(update, Failed):
            self.frame.show_error(update.sentence, update.action or "Try again", update.details)
        elif isinstance(update, Frame) and self._asked is not None and ticket.request == self._asked:
            self._show(update.data)

    def _show(self, data: Mapping[str, Any]) -> None:
        pictures = np.asarray(data["pictures"])
        self._values = np.asarray(data["values"], float)
        rows, columns = pictures.shape[:2]
        names: Sequence[str] = [str(name) for name in data["rows"]]
        self.grid.show_rows(pictures.reshape(rows * columns, *pictures.shape[2:]), names, columns)
        if int(data.get("ready", rows)) >= rows:
            self.frame.show_ready()
        else:
            self.frame.show_waiting(int(data["ready"]) / rows)

    def _on_click(self, index: int) -> None:
        row, column = divmod(index, max(1, len(self._values)))
        if row < len(self._keys) and column < len(self._values):
            self.picked.emit(self._keys[row], float(self._values[column]))


class _Rows(PictureGrid):
    """A grid that is as high as its rows are at this width."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(name, parent, gap=4, smooth=True)
        self._rows, self._across = 0, 1

    def show_rows(self, pictures: Any, names: Sequence[str], columns: int) -> None:
        """Show rows of pictures with their names."""
        self._rows, self._across = len(names), columns
        self.set_pictures(pictures, headings=names, columns=columns)
        self._grow()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wider pictures are higher pictures."""
        super().resizeEvent(event)
        self._grow()

    def minimumSizeHint(self) -> QSize:
        """Any width; the height follows."""
        return QSize(200, 60)

    def _grow(self) -> None:
        look = theme.current()
        side = (self.width() - look.px(92)) / self._across
        side = min(max(side, look.px(24)), look.px(72))
        self.setMinimumHeight(round(self._rows * side) if self._rows else 0)


def _free(space: Space, key: str, locked: frozenset[int]) -> Doubles | None:
    """The unlocked part of a direction, None when nothing is left of it."""
    direction = space.direction(key)
    if direction is None:
        return None
    free = unlocked(direction, locked)
    return free if float(free @ free) > 1e-6 else None
