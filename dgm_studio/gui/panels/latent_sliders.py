"""The sliders of the rail: latents, principal directions, attributes; reset, random, bookmark."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_plane import Doubles, Space, title, unlocked
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.panels.latent_state import TABS, LatentState
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.latentslider import LatentSlider
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

WORDS = ("Latents", "Principal", "Attributes")
MOST_SEED = 999_999
EMPTY = {
    "principal": "Principal directions come with the data's encodings.",
    "attribute": "These data carry no labels.",
}


class SlidersCard(Card):
    """Moves z along named directions.

    Signals:
        moved(str, float): An axis key and its value, on every mouse move.
        gesture_began(str), gesture_ended(str): Around it.
        lock_toggled(int, bool): A dimension was locked or opened.
        tab_chosen(str): "latent", "principal" or "attribute".
        reset_wanted(), random_wanted(), bookmark_wanted()
        seed_chosen(int): Draw this random latent.
        truncation_moved(float), truncation_settled(): The prior's spread for random latents.
    """

    moved = Signal(str, float)
    gesture_began = Signal(str)
    gesture_ended = Signal(str)
    lock_toggled = Signal(int, bool)
    tab_chosen = Signal(str)
    reset_wanted = Signal()
    random_wanted = Signal()
    bookmark_wanted = Signal()
    seed_chosen = Signal(int)
    truncation_moved = Signal(float)
    truncation_settled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Latents", parent)
        self._rows: dict[str, LatentSlider] = {}
        self._space = Space.unknown(0)
        self._tab, self._busy = "", False
        self.summary = label("", "secondary", self)
        self.add_right(self.summary)
        self.tabs = SegmentedControl(WORDS, "Directions of the sliders", self)
        self.empty = WrappedLabel("secondary", self)
        self._list = QWidget(self)
        self._list.setObjectName("scrolled")
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, theme.SPACE[0], 0)
        self._column.setSpacing(0)
        self.area = _Rows(self)
        self.area.setWidget(self._list)
        self.reset = Button("Reset", self)
        self.random = Button("Random", self)
        self.bookmark = Button("Bookmark", self)
        self.reset.setToolTip("Bring every unlocked latent to zero (0)")
        self.random.setToolTip("Draw the unlocked latents from the prior (R)")
        self.bookmark.setToolTip("Keep this place with its picture")
        self._make_more()
        self._lay_out()
        self._connect()

    def _make_more(self) -> None:
        self.unfold = IconButton("more", "More: truncation and seed of random latents", self, on_icon="more", bare=True)
        self.add_right(self.unfold)
        self.more = QWidget(self)
        self.more.hide()
        inner = QVBoxLayout(self.more)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(theme.SPACE[0])
        self.truncation = ValueSlider("Truncation", 0.0, 2.0, 1.0, self.more)
        self.truncation.setToolTip("Scale of the prior's spread for random latents; 1 is the prior itself")
        self.seed = QSpinBox(self.more)
        self.seed.setRange(0, MOST_SEED)
        self.seed.setAccessibleName("Seed of the random latent")
        self.seed.setKeyboardTracking(False)
        seeds = QWidget(self.more)
        row = QHBoxLayout(seeds)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[1])
        row.addWidget(label("Seed", "secondary", seeds))
        row.addWidget(self.seed)
        row.addStretch(1)
        inner.addWidget(self.truncation)
        inner.addWidget(seeds)

    def _lay_out(self) -> None:
        buttons = QWidget(self)
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[1])
        for button in (self.reset, self.random, self.bookmark):
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            row.addWidget(button)
        self.add(self.tabs)
        self.add(self.area, 1)
        self.add(self.empty)
        self.add(buttons)
        self.add(self.more)

    def _connect(self) -> None:
        self.tabs.chosen.connect(self._on_tab)
        self.unfold.toggled.connect(self.more.setVisible)
        self.reset.clicked.connect(self.reset_wanted)
        self.random.clicked.connect(self.random_wanted)
        self.bookmark.clicked.connect(self.bookmark_wanted)
        self.seed.valueChanged.connect(self._on_seed)
        self.truncation.moved.connect(self.truncation_moved)
        self.truncation.released.connect(self.truncation_settled)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_space(self, space: Space, *, samples: bool) -> None:
        """What directions there are, and whether the model has a prior to draw from."""
        same = space.latent == self._space.latent and self._keys(space) == self._keys(self._space)
        self._space = space
        active = f"{space.latent} · {space.active} active" if space.known else f"{space.latent}"
        self.summary.setText(active)
        self.summary.setToolTip("Latents, and those the model uses (KL or variance of the means above 0.01)")
        self.random.setVisible(samples)
        self.unfold.setVisible(samples)
        self.tabs.setVisible(space.known)
        if not same:
            self._tab, self._rows = "", {}
        self._write_bars()

    def show_state(self, state: LatentState) -> None:
        """Set every slider and control to a state, without signals."""
        if state.tab != self._tab:
            self._build(state.tab)
        self._busy = True
        locked = frozenset(state.locks)
        z = state.latent
        for key, row in self._rows.items():
            self._show_row(key, row, z, locked)
        self.tabs.set_index(TABS.index(state.tab))
        self.seed.setValue(state.seed)
        self.truncation.set_value(state.truncation)
        self.random.setText("Random")
        self._busy = False

    def show_z(self, z: Doubles, but: str = "") -> None:
        """Move the handles; the row under the hand stays where the hand is."""
        for key, row in self._rows.items():
            if key != but:
                self._reach(key, row, self._space.value(key, z))

    def rows(self) -> dict[str, LatentSlider]:
        """The rows in sight, by axis key."""
        return dict(self._rows)

    def _show_row(self, key: str, row: LatentSlider, z: Doubles, locked: frozenset[int]) -> None:
        self._reach(key, row, self._space.value(key, z))
        if key.startswith("latent:"):
            row.set_locked(int(key.partition(":")[2]) in locked)
            return
        direction = self._space.direction(key)
        free = direction is not None and float((unlocked(direction, locked) ** 2).sum()) > 1e-6
        row.setEnabled(free)

    def _reach(self, key: str, row: LatentSlider, value: float) -> None:
        """Widen the track when the value lies outside, so that what is shown is always the value itself."""
        wanted = max(self._space.reach(key), float(math.ceil(abs(value) - 1e-9)))
        if wanted != row.property("reach"):
            row.set_range(-wanted, wanted)
            row.setProperty("reach", wanted)
        row.set_value(value)

    # -- building ------------------------------------------------------------------------------------------------------

    def _keys(self, space: Space) -> tuple[str, ...]:
        return tuple(key for tab in TABS for key in space.keys(tab))

    def _build(self, tab: str) -> None:
        while self._column.count():
            item = self._column.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._tab = tab
        self._rows = {key: self._row(key) for key in self._space.keys(tab)}
        for row in self._rows.values():
            self._column.addWidget(row)
        self._column.addStretch(1)
        self.empty.setText(EMPTY.get(tab, "") if not self._rows else "")
        self.empty.setVisible(not self._rows)
        self.area.setVisible(bool(self._rows))
        self._write_bars()
        self.area.updateGeometry()

    def _row(self, key: str) -> LatentSlider:
        name = self._words(key)
        reach = self._space.reach(key)
        row = LatentSlider(name, self._list, reach=reach)
        row.setProperty("reach", reach)
        if key.startswith("latent:"):
            row.lock_toggled.connect(partial(self._on_lock, int(key.partition(":")[2])))
        else:
            row.set_lockable(False)
            row.set_name(name, self._name_width())
            row.setToolTip(title(key))
        row.moved.connect(partial(self.moved.emit, key))
        row.pressed.connect(self._telling(self.gesture_began, key))
        row.released.connect(self._telling(self.gesture_ended, key))
        return row

    def _name_width(self) -> int:
        """Room for the longest name, in logical pixels before scaling, within reason."""
        longest = max((len(self._words(key)) for key in self._space.keys(self._tab)), default=3)
        return min(max(34, 8 * longest + 6), 118)

    def _words(self, key: str) -> str:
        """A row's name; with its factor where there are several ("no" what?)."""
        factors = {name.partition(":")[0] for name in self._space.directions}
        return title(key, short=len(factors) < 2)

    def _telling(self, signal: object, key: str) -> Callable[[], None]:
        return partial(signal.emit, key)  # type: ignore[attr-defined]

    def _write_bars(self) -> None:
        space = self._space
        largest = float(space.kl.max()) if space.known and len(space.kl) else 0.0
        for key, row in self._rows.items():
            kind, _, rest = key.partition(":")
            if kind == "latent":
                nats = float(space.kl[int(rest)])
                row.set_kl(nats / largest if largest > 0 else 0.0, nats)
            elif kind == "principal":
                share = float(space.explained[int(rest)])
                row.set_share(share, f"Explains {share:.0%} of the posterior means' variance")
            else:
                area = space.separation.get(rest, 0.5)
                row.set_share(2 * area - 1, f"Told apart along this direction with an AUC of {area:.2f}")

    # -- by hand -------------------------------------------------------------------------------------------------------

    def _on_tab(self, index: int) -> None:
        self.tab_chosen.emit(TABS[index])

    def _on_lock(self, dimension: int, locked: bool) -> None:
        if not self._busy:
            self.lock_toggled.emit(dimension, locked)

    def _on_seed(self, seed: int) -> None:
        if not self._busy:
            self.seed_chosen.emit(seed)


class _Rows(QScrollArea):
    """As high as its rows when there is room, else it scrolls."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Sliders")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)

    def sizeHint(self) -> QSize:
        """All rows."""
        inner = self.widget()
        return QSize(240, inner.sizeHint().height() + 2 if inner is not None else 100)

    def minimumSizeHint(self) -> QSize:
        """Three rows."""
        rows = theme.current().px(24) * 3
        return QSize(160, min(rows, self.sizeHint().height()))
