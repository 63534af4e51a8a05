"""The path under the map: anchors, the film strip from A on, kind, transport, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QMenu, QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_pathplot import PathPlot
from dgm_studio.gui.panels.latent_state import KINDS, LETTERS, MOST_ANCHORS, Anchor, LatentState
from dgm_studio.gui.widgets.filmstrip import FilmStrip
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.progressline import ProgressLine
from dgm_studio.gui.widgets.transport import Transport

NARROWEST_STRIP = 500  # logical pixels before scaling; with less, the strip gets a line of its own
HINTS = {
    "linear": "Straight in the latent space",
    "spherical": "Along great circles: keeps the distance from the origin that the prior expects",
    "geodesic": "Shortest in the eyes of the decoder (pull-back metric): the picture changes evenly",
}


class PathBar(QWidget):
    """Shows a path and plays it.

    Signals:
        kind_chosen(str): "linear", "spherical" or "geodesic".
        frame_shown(int): By hand or by playing.
        rested(): Scrubbing or playing has ended.
        anchor_wanted(str): From "here", "example", "sample" or "drawing"; "pair" for a first path.
        anchor_dropped(int): Remove one; -1 removes all.
        anchor_visited(int): Bring z there.
        figures_toggled(bool): Under the strip.
    """

    kind_chosen = Signal(str)
    frame_shown = Signal(int)
    rested = Signal()
    anchor_wanted = Signal(str)
    anchor_dropped = Signal(int)
    anchor_visited = Signal(int)
    figures_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._anchors: tuple[Anchor, ...] = ()
        self._offers: dict[str, bool] = {}
        self.strip = FilmStrip("Path", self)
        self.transport = Transport(self)
        self.kind = Button("Geodesic", self)
        self.anchors = Button("Anchors", self)
        self.figures = IconButton("curves", "Figures along the path: length and log densities", self, on_icon="curves")
        self.plot = PathPlot(self)
        self.words = ElidedLabel("", "secondary", self)
        self.told = ElidedLabel("", "secondary", self)
        self.start = Button("Join two examples", self, icon="film")
        self.line = ProgressLine("Path", self, token="accent", height=2)
        self._make_menus()
        self._lay_out()
        self._connect()
        self.show_message("")

    # -- building ------------------------------------------------------------------------------------------------------

    def _make_menus(self) -> None:
        kinds = QMenu(self.kind)
        kinds.setToolTipsVisible(True)
        for kind in KINDS:
            action = kinds.addAction(kind.capitalize())
            action.setData(kind)
            action.setToolTip(HINTS[kind])
        kinds.triggered.connect(self._on_kind)
        self.kind.setMenu(kinds)
        self.kind.setProperty("menu", True)
        self._anchor_menu = QMenu(self.anchors)
        self._anchor_menu.aboutToShow.connect(self._fill_anchor_menu)
        self.anchors.setMenu(self._anchor_menu)
        self.anchors.setProperty("menu", True)

    def _lay_out(self) -> None:
        self._room = QWidget(self)
        self._room.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._pages = QStackedLayout(self._room)
        self._pages.addWidget(self.strip)
        empty = QWidget(self._room)
        inner = QHBoxLayout(empty)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.words, 1)
        inner.addWidget(self.start)
        self._pages.addWidget(empty)
        self._controls = QWidget(self)
        controls = QHBoxLayout(self._controls)
        controls.setContentsMargins(0, 0, 0, 0)
        controls.setSpacing(theme.SPACE[1])
        for widget in (self.transport, self.anchors, self.kind, self.figures):
            controls.addWidget(widget)
        controls.insertWidget(1, self.told, 1)
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(theme.SPACE[1])
        self._row.addWidget(self._room, 1)
        self._row.addWidget(self._controls, 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[0])
        column.addWidget(self.line)
        column.addLayout(self._row)
        column.addWidget(self.plot)
        self.plot.hide()
        _keep_room(self.line)

    def _connect(self) -> None:
        self.strip.scrubbed.connect(self._on_scrub)
        self.strip.released.connect(self.rested)
        self.strip.key.connect(self._on_key)
        self.plot.scrubbed.connect(self._on_scrub)
        self.transport.index_changed.connect(self._on_index)
        self.transport.playing_changed.connect(self._on_playing)
        self.start.clicked.connect(self._on_start)
        self.figures.toggled.connect(self._on_figures)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room the controls go under the strip."""
        super().resizeEvent(event)
        needed = sum(w.sizeHint().width() for w in (self.anchors, self.kind, self.transport, self.figures))
        beside = self.width() >= needed + 4 * theme.SPACE[1] + theme.current().px(NARROWEST_STRIP)
        self.told.setVisible(not beside)
        directions = QBoxLayout.Direction
        self._row.setDirection(directions.LeftToRight if beside else directions.TopToBottom)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_controls(self, state: LatentState, offers: Mapping[str, bool]) -> None:
        """Set every control to a state, without signals.

        Args:
            state: The panel's.
            offers: Where anchors can come from: "example", "sample", "drawing".
        """
        self._anchors, self._offers = state.anchors, dict(offers)
        count = len(state.anchors)
        self.kind.setText(state.kind.capitalize())
        self.kind.setToolTip(HINTS[state.kind])
        self.anchors.setText(f"{count} anchors" if count else "Anchors")
        self.strip.set_ends(LETTERS[0], LETTERS[max(1, count - 1)])
        self.transport.set_loops(state.loop)
        self.figures.setChecked(state.figures)
        self.plot.setVisible(state.figures)
        self.start.setVisible(count < 2)
        if count < 2:
            self.show_path(None)
            self.show_message("A path joins 2 to 8 pictures.")

    def show_path(self, data: Mapping[str, Any] | None) -> None:
        """Show the frames and figures of a Frame "path", None for none."""
        frames = None if data is None else data.get("pictures")
        self.strip.set_frames(frames)
        self.transport.set_count(0 if frames is None else len(frames))
        self.transport.setEnabled(frames is not None)
        self.plot.set_path(data)
        self.told.setText(self.plot.summary())
        if data is not None:
            self._pages.setCurrentIndex(0)
        if data is None or data.get("settled", True):
            self.line.hide()

    def show_frame(self, frame: int) -> None:
        """Put the mark on a frame; -1 takes it off the plot."""
        self.strip.set_index(max(0, frame))
        self.transport.set_index(max(0, frame))
        self.plot.set_frame(frame)

    def show_waiting(self) -> None:
        """A path is being worked out."""
        if not self.strip.count():
            self.show_message("Working out the path")
        self.line.set_share(None)
        self.line.show()

    def show_message(self, words: str, action: str = "") -> None:
        """Words where the strip would be."""
        self.line.hide()
        self.words.setText(words)
        self._pages.setCurrentIndex(1)
        if action:
            self.start.setText(action)
            self.start.show()

    # -- by hand -------------------------------------------------------------------------------------------------------

    def take_key(self, key: int) -> bool:
        """The keys of a video player; whether it was one of them and there is something to play."""
        return self.strip.count() > 0 and self.transport.take_key(key)

    def _on_key(self, key: int) -> None:
        self.take_key(key)

    def _on_scrub(self, frame: int) -> None:
        self.transport.stop()
        self.transport.set_index(frame)
        self._on_index(frame)

    def _on_index(self, frame: int) -> None:
        self.strip.set_index(frame)
        self.plot.set_frame(frame)
        self.frame_shown.emit(frame)

    def _on_playing(self, playing: bool) -> None:
        if playing:
            self.frame_shown.emit(self.transport.index())
        else:
            self.rested.emit()

    def _on_kind(self, action: QAction) -> None:
        self.kind_chosen.emit(str(action.data()))

    def _on_start(self) -> None:
        self.anchor_wanted.emit("pair")

    def _on_figures(self, on: bool) -> None:
        self.plot.setVisible(on)
        self.figures_toggled.emit(on)

    def _fill_anchor_menu(self) -> None:
        menu = self._anchor_menu
        menu.clear()
        full = len(self._anchors) >= MOST_ANCHORS
        offers = (("here", "Add this picture"), ("example", "Add a random example"), ("sample", "Add a sample"))
        for source, words in (*offers, ("drawing", "Add the encoded picture")):
            action = menu.addAction(words, self._adder(source))
            action.setEnabled(not full and self._offers.get(source, True))
        menu.addSeparator()
        for index, anchor in enumerate(self._anchors):
            entry = menu.addMenu(f"{LETTERS[index]}  {anchor.words}".strip())
            entry.addAction("Go there", self._visitor(index))
            entry.addAction("Remove", self._dropper(index))
        if self._anchors:
            menu.addSeparator()
            menu.addAction("Remove all", self._dropper(-1))

    def _adder(self, source: str) -> Any:
        return lambda: self.anchor_wanted.emit(source)

    def _visitor(self, index: int) -> Any:
        return lambda: self.anchor_visited.emit(index)

    def _dropper(self, index: int) -> Any:
        return lambda: self.anchor_dropped.emit(index)


def place_menu(parent: QWidget, entries: Sequence[tuple[str, Any]], at: QPoint) -> QMenu:
    """The context menu of a place on the map, shown; deleted when it closes."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for words, action in entries:
        if words:
            menu.addAction(words, action)
        else:
            menu.addSeparator()
    menu.popup(at)
    return menu


def _keep_room(widget: QWidget) -> None:
    """Nothing jumps when the widget comes and goes."""
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    widget.setSizePolicy(policy)
