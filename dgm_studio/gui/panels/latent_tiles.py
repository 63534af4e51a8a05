"""Feeds a plane view with decoded tiles: asks for what is missing in sight, keeps what has come."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from PySide6.QtCore import QObject, QRectF, Qt, QTimer, Signal

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import DecodeTiles
from dgm_studio.core.updates import Frame
from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_plane import Plane, Rect, tiles_in
from dgm_studio.gui.panels.latent_state import as_tuple
from dgm_studio.gui.panels.spec import Ask
from dgm_studio.gui.widgets.painting import Picture
from dgm_studio.gui.widgets.plane import PlaneView

TOPIC = "tiles"
VIEW_PAUSE_MS = 25  # while the view moves: a question every other frame
PLANE_PAUSE_MS = 110  # while the plane itself moves (a slider is dragged): the hand rests a moment first
KEPT_BYTES = 64_000_000
PLACED_PIXELS = 10_000_000  # more on the view than this, and what is out of sight is taken off

Name = tuple[Any, ...]  # of a plane: model, step, origin, u, v
Key = tuple[Name, int, int, int]  # of a tile: plane, level, i, j


def rect_of(shown: QRectF) -> Rect:
    """Left, right, bottom, top of a rectangle whose `top` is the smaller y."""
    return (shown.left(), shown.right(), shown.top(), shown.bottom())


class TileFeed(QObject):
    """Keeps a plane painted.

    Tiles are asked for by the level that fits the view; coarser ones stay beneath until finer ones have come, finer
    ones on top until the coarser ones are complete. Pictures of another plane stay until those of the new one come.

    Args:
        view: What is painted on.
        ask: How to ask.

    Signals:
        asked(): Tiles are on their way.
        came(): A tile of the plane in hand was painted.
    """

    asked = Signal()
    came = Signal()

    def __init__(self, view: PlaneView, ask: Ask) -> None:
        super().__init__(view)
        self._view, self._ask = view, ask
        self._plane: Plane | None = None
        self._model, self._step = "", 0
        self._kept: OrderedDict[Key, Picture] = OrderedDict()
        self._bytes = 0
        self._placed: dict[Key, int] = {}
        self._wanted: tuple[Key, ...] = ()
        self._soon = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._soon.timeout.connect(self.ask_now)
        view.view_changed.connect(self._on_view)
        theme.changed.connect(self._on_view)

    def show_plane(self, plane: Plane, model: str, step: int) -> None:
        """Paint another plane, or the same one of other weights."""
        before = self._name()
        self._plane, self._model, self._step = plane, model, step
        if self._name() != before:
            self._soon.start(PLANE_PAUSE_MS if before else 0)

    def forget(self) -> None:
        """Another model: nothing that is kept is right any more."""
        self._kept.clear()
        self._placed.clear()
        self._bytes, self._plane, self._wanted = 0, None, ()
        self._soon.stop()
        self._view.clear_tiles()

    def missing(self) -> tuple[tuple[int, int], ...]:
        """The tiles in sight that are not there yet."""
        return tuple((key[2], key[3]) for key in self._wanted if key not in self._kept)

    def ask_now(self) -> None:
        """Put what is kept on the view, ask for the rest."""
        if self._plane is None or self._view.width() < 2:
            return
        name = self._name()
        # in a lecture hall the cells grow with the text
        pixels_per_unit = self._view.window_shown().scale / theme.current().scale
        level, tiles = tiles_in(rect_of(self._view.shown()), pixels_per_unit)
        self._wanted = tuple((name, level, i, j) for i, j in tiles)
        for key in self._wanted:
            if key in self._kept and key not in self._placed:
                self._place(key)
        missing = self.missing()
        if missing:
            self.asked.emit()
            self._ask(TOPIC, self.request(level, missing))
        else:
            self._tidy()
            self.came.emit()

    def request(self, level: int, tiles: tuple[tuple[int, int], ...]) -> DecodeTiles:
        """The question for some tiles."""
        _, _, origin, u, v = self._name()
        return DecodeTiles(self._model, origin, u, v, level, tiles)

    def receive(self, frame: Frame, ticket: Ticket) -> None:
        """Take a tile; one of a plane that was left is kept for the way back."""
        asked, data = ticket.request, frame.data
        name: Name = (asked.model, self._step, tuple(asked.origin), tuple(asked.u), tuple(asked.v))
        key: Key = (name, int(data["level"]), int(data["i"]), int(data["j"]))
        self._keep(key, data["picture"])
        if name == self._name():
            self._place(key)
            self.came.emit()
            if key in self._wanted and not self.missing():
                self._tidy()

    def _name(self) -> Name:
        if self._plane is None:
            return ()
        plane = self._plane
        return self._model, self._step, as_tuple(plane.origin), as_tuple(plane.u), as_tuple(plane.v)

    def _on_view(self) -> None:
        if not self._soon.isActive():
            self._soon.start(VIEW_PAUSE_MS)

    def _keep(self, key: Key, picture: Picture) -> None:
        before = self._kept.pop(key, None)
        self._bytes += picture.nbytes - (before.nbytes if before is not None else 0)
        self._kept[key] = picture
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            oldest, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
            self._placed.pop(oldest, None)

    def _place(self, key: Key) -> None:
        if any(placed[0] != key[0] for placed in self._placed):
            self._leave_plane(key)
        self._paint(key, self._kept[key])

    def _paint(self, key: Key, picture: Picture) -> None:
        _, level, i, j = key
        side = 2.0**-level
        self._view.add_tile(QRectF(i * side, j * side, side, side), picture)
        self._placed[key] = picture.shape[0] * picture.shape[1]

    def _leave_plane(self, first: Key) -> None:
        """The first tile of a new plane has come: of the old ones only those stay that will be replaced one by one."""
        stay = [key for key in self._placed if key[1] == first[1] and key in self._kept and key[0] != first[0]]
        self._view.clear_tiles()
        self._placed.clear()
        for key in stay:
            self._paint(key, self._kept[key])
        for key in stay:
            del self._placed[key]

    def _tidy(self) -> None:
        """Everything in sight is there: take off finer tiles, tiles of other planes, and too many out of sight."""
        if not self._wanted:
            return
        name, level = self._wanted[0][0], self._wanted[0][1]
        finer = any(key[1] > level for key in self._placed)
        if finer or sum(self._placed.values()) > PLACED_PIXELS or self._view.tile_count() > len(self._placed):
            self._relay(name, level)

    def _relay(self, name: Name, level: int) -> None:
        shown = self._view.shown()
        self._view.clear_tiles()
        self._placed.clear()
        near = shown.adjusted(-shown.width(), -shown.height(), shown.width(), shown.height())
        for key in [k for k in self._kept if k[0] == name and k[1] <= level]:
            side = 2.0 ** -key[1]
            if near.intersects(QRectF(key[2] * side, key[3] * side, side, side)):
                self._kept.move_to_end(key)
                self._paint(key, self._kept[key])
