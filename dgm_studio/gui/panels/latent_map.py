"""The canvas of the latent panel: the decoded map with its axes, overlays and rarely used controls."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import DrawDensity
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_legend import Legend, Line
from dgm_studio.gui.panels.latent_overlays import MapOverlays
from dgm_studio.gui.panels.latent_plane import Plane, Rect, Space, home, title
from dgm_studio.gui.panels.latent_room import FlowBox
from dgm_studio.gui.panels.latent_state import MODES, TABS, LatentState, Overlays, as_tuple
from dgm_studio.gui.panels.latent_tiles import TileFeed, rect_of
from dgm_studio.gui.panels.spec import Ask
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.plane import PlaneView
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame

DENSITY = "density"
SETTLE_MS = 450  # after the last zoom or pan: one undo step for the whole movement
POINT_PIXELS = 6.0
STEP_PIXELS = 8.0
CONTOUR_MARGIN = 0.3  # contours reach beyond what is in sight by so much of it to each side
CONTOUR_COARSE = 1.6  # contours drawn for a view so many times wider look like polygons
CONTOUR_COLUMNS = 128
BY_HAND = (QEvent.Type.Wheel, QEvent.Type.MouseMove, QEvent.Type.KeyPress)
ARROWS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, 1), Qt.Key.Key_Down: (0, -1)}
SEGMENTS = ("KL-sorted", "PCA", "Labels")


class MapCard(Card):
    """The plane of decoded pictures.

    Signals:
        mode_chosen(str): "kl", "pca" or "labels".
        axes_chosen(str, str): Axis keys chosen under More.
        hovered(float, float), left(): The mouse over the plane, for a look at what is there.
        pointed(float, float, int): A click: plane coordinates and the data point there, -1 for none.
        ring_moved(str, float, float), ring_pressed(str), ring_released(str): "z" or an anchor's letter.
        stepped(float, float): Arrow keys: by how much of the plane z shall move.
        menu_wanted(float, float, int, QPoint): The context menu of a place; its data point or -1; where on the screen.
        view_settled(): A movement of the view by hand has ended.
        overlays_chosen(Overlays), colour_chosen(str), more_toggled(bool), strips_toggled(bool), export_wanted()
        retried(): The button of the error state.
    """

    mode_chosen = Signal(str)
    axes_chosen = Signal(str, str)
    hovered = Signal(float, float)
    left = Signal()
    pointed = Signal(float, float, int)
    ring_moved = Signal(str, float, float)
    ring_pressed = Signal(str)
    ring_released = Signal(str)
    stepped = Signal(float, float)
    menu_wanted = Signal(float, float, int, QPoint)
    view_settled = Signal()
    overlays_chosen = Signal(Overlays)
    colour_chosen = Signal(str)
    more_toggled = Signal(bool)
    strips_toggled = Signal(bool)
    export_wanted = Signal()
    retried = Signal()

    def __init__(self, ask: Ask, parent: QWidget | None = None) -> None:
        super().__init__("Decoded map", parent)
        self._ask = ask
        self.plane: Plane | None = None
        self._space: Space | None = None
        self._model, self._step = "", 0
        self._categories: dict[str, tuple[str, ...]] = {}
        self._by_hand = False
        self._asked_view: Rect | None = None
        self._contoured = QRectF()
        self.view = PlaneView("Decoded map", self)
        self.frame = StateFrame(self.view, self)
        self.feed = TileFeed(self.view, ask)
        self.overlays = MapOverlays(self.view)
        self.legend = Legend(self)
        self.notice = ElidedLabel("", "live", self)
        self._settled = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._density_soon = QTimer(self, singleShot=True, interval=160)
        self._show_again = QTimer(self, singleShot=True, interval=0)
        self._make_header()
        self._make_more()
        self._lay_out()
        self._connect()

    # -- building ------------------------------------------------------------------------------------------------------

    def _make_header(self) -> None:
        self.modes = SegmentedControl(SEGMENTS, "Axes of the map", self)
        self.modes.setToolTip(
            "KL-sorted: the two latents that carry most. PCA: principal directions of the data. Labels: two attributes."
        )
        self.strips = IconButton("film", "Film strips: a row of pictures for every direction", self, on_icon="film")
        self.more = IconButton("more", "More: axes, colours, what is shown", self, on_icon="more")
        for widget in (self.modes, self.strips, self.more):
            self.add_right(widget)

    def _make_more(self) -> None:
        self.across, self.up, self.colours = (QComboBox(self) for _ in range(3))
        for box, name in ((self.across, "Axis to the right"), (self.up, "Axis upwards"), (self.colours, "Colours by")):
            box.setAccessibleName(name)
            box.setToolTip(name)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            box.setMaxVisibleItems(16)
        words = {"points": "Data points", "prior": "Prior", "posterior": "Data density", "path": "Path"}
        hints = {
            "points": "Posterior means of the data, coloured by class",
            "prior": "Dashed lines that enclose 50 % and 90 % of the prior on this plane",
            "posterior": "Solid lines that enclose 50 % and 90 % of the aggregate posterior on this plane",
            "path": "The anchors and the path through them",
        }
        self.switches: dict[str, QCheckBox] = {}
        for key, name in words.items():
            switch = QCheckBox(name, self)
            switch.setAccessibleName(name)
            switch.setToolTip(hints[key])
            switch.setMinimumHeight(theme.current().px(28))
            self.switches[key] = switch
        self.fit = IconButton("fit", "Show all of the data", self)
        self.export = IconButton("export", "Export the part of the map that is in sight as a picture", self)

    def _lay_out(self) -> None:
        self.fold = FlowBox(self, gap=theme.SPACE[1])
        self.colour_pair = _pair("Colours", self.colours, self.fold)
        for pair in (_pair("Right", self.across, self.fold), _pair("Up", self.up, self.fold), self.colour_pair):
            self.fold.add(pair)
        for widget in (*self.switches.values(), self.fit, self.export):
            self.fold.add(widget)
        self.fold.hide()
        self._pages = QWidget(self)
        self.stack = QStackedLayout(self._pages)
        page = QWidget(self._pages)
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[0])
        column.addWidget(self.frame, 1)
        column.addWidget(self.legend)
        column.addWidget(self.notice)
        self.stack.addWidget(page)
        self.notice.hide()
        self.add(self.fold)
        self.add(self._pages, 1)

    def _connect(self) -> None:
        self.modes.chosen.connect(self._on_mode)
        self.across.activated.connect(self._on_axes)
        self.up.activated.connect(self._on_axes)
        self.colours.activated.connect(self._on_colours)
        for box in self.switches.values():
            box.toggled.connect(self._on_switch)
        self.strips.toggled.connect(self.strips_toggled)
        self.more.toggled.connect(self._on_more)
        self.fit.clicked.connect(self.show_all)
        self.export.clicked.connect(self.export_wanted)
        self.frame.acted.connect(self.retried)
        self.frame.filled.connect(self.retried)
        self.feed.came.connect(self.frame.show_ready)
        self._settled.timeout.connect(self.view_settled)
        self._density_soon.timeout.connect(self.ask_density)
        self._show_again.timeout.connect(self._show_asked_view)
        self._connect_view()

    def _connect_view(self) -> None:
        view = self.view
        view.view_changed.connect(self._on_view)
        view.cursor_at.connect(self.hovered)
        view.cursor_left.connect(self.left)
        view.clicked.connect(self._on_click)
        view.handle_moved.connect(self.ring_moved)
        view.handle_pressed.connect(self.ring_pressed)
        view.handle_released.connect(self.ring_released)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(self._on_menu)
        view.installEventFilter(self)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_model(self, model: str, step: int, categories: dict[str, tuple[str, ...]]) -> None:
        """Whose latent space it is from now on."""
        self._model, self._step, self._categories = model, step, categories

    def forget(self) -> None:
        """Another latent space: nothing of the old one is right any more."""
        self.plane, self._space = None, None
        self.feed.forget()
        self.overlays.forget()

    def show_space(self, space: Space) -> None:
        """What is known of the latent space: the axes on offer, the points."""
        self._space = space
        self._offer_axes(space)
        self.overlays.show_space(space)
        names = [name for name in space.factors if self._categories.get(name)]
        _fill(self.colours, [(name, name) for name in names], self.colours.currentData())
        self.colour_pair.setVisible(len(names) > 1)
        self._write_legend()

    def show_plane(self, plane: Plane) -> None:
        """Paint another plane."""
        changed = self.plane is None or plane.name() != self.plane.name()
        turned = self.plane is None or plane.axes != self.plane.axes
        self.plane = plane
        self.view.set_axes(title(plane.axes[0]), title(plane.axes[1]))
        if turned and self._space is not None:
            left, right, bottom, top = home(self._space, plane)
            self.view.set_home(QRectF(left, bottom, right - left, top - bottom))
        self.overlays.show_plane(plane)
        self.feed.show_plane(plane, self._model, self._step)
        if changed:
            self._density_soon.start()
        if changed and self.view.tile_count():
            self.frame.set_stale(True)

    def show_view(self, rect: Rect | None) -> None:
        """Look at a part of the plane, whatever the canvas's size becomes; None shows everything."""
        self._asked_view = rect
        if rect is None:
            self.view.fit()
        else:
            self._show_asked_view()

    def _show_asked_view(self) -> None:
        if self._asked_view is not None:
            left, right, bottom, top = self._asked_view
            self.view.show_rect(QRectF(left, bottom, right - left, top - bottom))

    def show_all(self) -> None:
        """Everything, as one movement by hand."""
        self._by_hand, self._asked_view = True, None
        self.view.fit()

    def show_controls(self, state: LatentState) -> None:
        """Set every control to a state, without signals."""
        named = state.strips or state.mode in MODES
        self.modes.set_words(SEGMENTS if named else (*SEGMENTS, "Own axes"))
        place = TABS.index(state.tab) if state.strips else MODES.index(state.mode) if named else len(MODES)
        self.modes.set_index(place)
        for box, key in ((self.across, state.axes[0]), (self.up, state.axes[1])):
            box.setCurrentIndex(max(0, box.findData(key)))
        for name, switch in self.switches.items():
            _quietly(switch, getattr(state.overlays, name))
        self.strips.setChecked(state.strips)
        self.more.setChecked(state.more)
        self.fold.setVisible(state.more)
        self.colours.setCurrentIndex(max(0, self.colours.findData(state.colour_by)))
        self.overlays.switch(state.overlays, state.colour_by)
        self.legend.setVisible(not state.strips)
        self.set_title("Film strips" if state.strips else "Decoded map")
        self._write_legend()

    def seen(self) -> Rect:
        """The part of the plane in sight."""
        return rect_of(self.view.shown())

    def kept_view(self) -> Rect:
        """The part of the plane that was asked for, or that the hand has brought in sight."""
        return self._asked_view or self.seen()

    def set_notice(self, words: str) -> None:
        """A line under the map, "" for none."""
        self.notice.setText(words)
        self.notice.setVisible(bool(words))

    # -- asking and receiving ------------------------------------------------------------------------------------------

    def ask_density(self) -> None:
        """Contours of the plane in hand."""
        if self.plane is None or self._space is None:
            return
        shown = self.view.shown()
        dx, dy = CONTOUR_MARGIN * shown.width(), CONTOUR_MARGIN * shown.height()
        self._contoured = shown.adjusted(-dx, -dy, dx, dy)
        plane = self.plane
        vectors = (as_tuple(plane.origin), as_tuple(plane.u), as_tuple(plane.v))
        corners = rect_of(self._contoured)
        self._ask(DENSITY, DrawDensity(self._model, *vectors, *corners, columns=CONTOUR_COLUMNS))

    def receive_tile(self, update: Update, ticket: Ticket) -> None:
        """A tile, or why there is none."""
        if isinstance(update, Frame):
            self.feed.receive(update, ticket)
        elif isinstance(update, Failed):
            self.frame.show_error(update.sentence, update.action or "Try again", update.details)

    def receive_density(self, update: Update, ticket: Ticket) -> None:
        """Contours, if they still belong to the plane in hand."""
        if isinstance(update, Failed):
            self.set_notice(f"No contours: {update.sentence}")
        elif isinstance(update, Frame) and self.plane is not None:
            asked = ticket.request
            if (tuple(asked.origin), tuple(asked.u)) == (as_tuple(self.plane.origin), as_tuple(self.plane.u)):
                self.overlays.show_density(update.data)
                self._write_legend()

    # -- by hand -------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrows move z rather than the ground; Ctrl with arrows moves the ground. Notes what the hand does."""
        if watched is self.view and event.type() in BY_HAND:
            self._by_hand = True
        if watched is self.view and event.type() == QEvent.Type.Resize:
            self._by_hand = False
            self._show_again.start()
        if watched is self.view and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            step = ARROWS.get(Qt.Key(event.key()))
            held = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
            if step is not None and not held:
                fine = 0.125 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1.0
                size = fine * STEP_PIXELS / self.view.window_shown().scale
                self.stepped.emit(step[0] * size, step[1] * size)
                return True
            # these belong to the whole panel: play, reset
            if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_0):
                event.ignore()
                return True
        return super().eventFilter(watched, event)

    def _on_mode(self, index: int) -> None:
        if index < len(MODES):
            self.mode_chosen.emit(MODES[index])

    def _on_axes(self) -> None:
        self.axes_chosen.emit(str(self.across.currentData()), str(self.up.currentData()))

    def _on_colours(self) -> None:
        self.colour_chosen.emit(str(self.colours.currentData() or ""))

    def _on_switch(self) -> None:
        self.overlays_chosen.emit(Overlays(**{name: switch.isChecked() for name, switch in self.switches.items()}))

    def _on_more(self, on: bool) -> None:
        self.fold.setVisible(on)
        self.more_toggled.emit(on)

    def _on_view(self) -> None:
        if self._by_hand:
            self._asked_view = None
            self._settled.start()
        self._by_hand = False
        shown = self.view.shown()
        coarse = self._contoured.width() > CONTOUR_COARSE * shown.width() * (1 + 2 * CONTOUR_MARGIN)
        if coarse or not self._contoured.contains(shown):
            self._density_soon.start()

    def _on_click(self, x: float, y: float) -> None:
        self.pointed.emit(x, y, self._point_at(x, y))

    def _on_menu(self, at: QPoint) -> None:
        x, y = self.view.window_shown().to_world(at.toPointF())
        self.menu_wanted.emit(x, y, self._point_at(x, y), self.view.mapToGlobal(at))

    def _point_at(self, x: float, y: float) -> int:
        return self.overlays.point_near(x, y, POINT_PIXELS / self.view.window_shown().scale)

    # -- words ---------------------------------------------------------------------------------------------------------

    def _offer_axes(self, space: Space) -> None:
        items = [(title(k), k) for kind in ("latent", "principal", "attribute") for k in space.keys(kind)]
        items += [(title(k), k) for k in ("anchors:1", "anchors:2")]
        for box in (self.across, self.up):
            _fill(box, items, box.currentData())

    def _write_legend(self) -> None:
        overlays = self.overlays
        classes: Sequence[str] = ()
        if overlays.switches.points and overlays.classes() is not None and self._space is not None:
            factors = self._space.factors
            factor = overlays.colour_by if overlays.colour_by in factors else next(iter(factors))
            classes = self._categories.get(factor, ())
        lines: list[Line] = []
        kinds = {contour["kind"] for contour in overlays.density.get("contours", ())}
        if overlays.switches.prior and "prior" in kinds:
            lines.append(("prior 50, 90 %", True))
        if overlays.switches.posterior and "posterior" in kinds:
            lines.append(("data 50, 90 %", False))
        self.legend.write(classes, lines)


def _pair(words: str, box: QComboBox, parent: QWidget) -> QWidget:
    pair = QWidget(parent)
    row = QHBoxLayout(pair)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(theme.SPACE[0])
    row.addWidget(label(words, "secondary", pair))
    row.addWidget(box)
    return pair


def _fill(box: QComboBox, items: Sequence[tuple[str, str]], chosen: object) -> None:
    """Offer other items; the chosen one stays where it is still there."""
    box.blockSignals(True)
    box.clear()
    for words, key in items:
        box.addItem(words, key)
    box.setCurrentIndex(max(0, box.findData(chosen)))
    box.blockSignals(False)


def _quietly(box: QCheckBox, on: bool) -> None:
    """Check without a signal: four boxes make one value, and half of a change is none."""
    box.blockSignals(True)
    box.setChecked(on)
    box.blockSignals(False)
