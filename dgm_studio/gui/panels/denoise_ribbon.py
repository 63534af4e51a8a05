"""What lies under the time axis: the tree of films, and the frames that were pinned."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_axis import TimeAxis
from dgm_studio.gui.panels.denoise_branching import film_words, keep_only, throw
from dgm_studio.gui.panels.denoise_film import Reel
from dgm_studio.gui.panels.denoise_pins import Pinned, PinStrip
from dgm_studio.gui.panels.denoise_state import END, MOST_PINS, ROOT, Pin, Stage
from dgm_studio.gui.panels.denoise_tree import LANE, BranchTree, Lane, result_of
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.railed import bare_scroll

LANES = 4  # of the tree that are seen without scrolling
_SHORT = {"x": "x", "clean": "clean", "noise": "noise", "difference": "guidance"}


class Ribbon(QWidget):
    """Branches and pins; nothing of it is seen until there are any.

    Signals:
        key(int): A key for whoever plays.
    """

    key = Signal(int)

    def __init__(self, stage: Stage, reel: Reel, axis: TimeAxis, parent: QWidget) -> None:
        super().__init__(parent)
        self.stage, self.reel, self.axis = stage, reel, axis
        self.tree, self.pins = BranchTree(self), PinStrip(self)
        self.keep = Button("Keep only this", self, icon="check")
        self.keep.setToolTip("Throw every other branch away; the films that this one comes from stay")
        self.throw = Button("Throw away", self, icon="trash")
        self.throw.setToolTip("Throw this branch away, with all that branch from it (Delete)")
        self._lay_out()
        self.tree.key.connect(self.key)
        self.tree.chosen.connect(self._on_take)
        self.tree.thrown.connect(self._on_thrown)
        self.keep.clicked.connect(self._on_keep)
        self.throw.clicked.connect(self._on_throw)
        self.pins.chosen.connect(self._on_pin)
        self.pins.removed.connect(self._on_unpin)
        theme.changed.connect(self._fit)

    def _lay_out(self) -> None:
        self._heading = QWidget(self)
        heading = QHBoxLayout(self._heading)
        heading.setContentsMargins(0, 0, 0, 0)
        heading.setSpacing(theme.SPACE[1])
        heading.addWidget(label("Branches", "heading", self._heading), 1)
        heading.addWidget(self.keep)
        heading.addWidget(self.throw)
        for strip in (self.tree, self.pins):
            strip.setObjectName("scrolled")
        self._tree_area = bare_scroll(self.tree, self, "Branches")
        self._pins_area = bare_scroll(self.pins, self, "Pinned frames")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        for part in (self._heading, self._tree_area, self._pins_area):
            column.addWidget(part)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_state(self) -> None:
        """The films as lanes, the pins with what was recorded of them."""
        state = self.stage.state
        several = len(state.takes) > 1
        self._heading.setVisible(several)
        self._tree_area.setVisible(several)
        self._pins_area.setVisible(bool(state.pins))
        self.setVisible(several or bool(state.pins))
        self.keep.setVisible(len(state.takes) > 2 and state.selected != ROOT)
        self.throw.setVisible(state.selected != ROOT)
        if several:
            film = self.reel.film()
            lanes = [self._lane(take.key) for take in state.takes]
            self.tree.set_lanes(lanes, state.selected, self.axis.x_of, film.last() if film is not None else 1)
        self.pins.set_pins([self._pinned(pin) for pin in state.pins])
        self._fit()

    def _lane(self, key: str) -> Lane:
        reel, take = self.reel, self.stage.state.take(key)
        film, words = reel.film(key), film_words(self.stage, take)
        start = self._axis_step(take.parent, self.stage.branches_at(take)) if take.parent else 0.0
        if film is None:
            return Lane(key, take.parent, words, start, start)
        thumb = result_of(reel.picture(key, film.last(), "clean"), self.stage.state.sample)
        reached = self._axis_step(key, max(film.reached(), film.begins()))
        return Lane(key, take.parent, words, start, reached, thumb)

    def _axis_step(self, key: str, step: int) -> float:
        """Where a step of any film lies on the axis of the selected one: at the same level."""
        film = self.reel.film(key)
        levels = film.log_snr() if film is not None else np.zeros(0)
        return self.axis.step_of(float(levels[step])) if step < len(levels) else float(step)

    def _pinned(self, pin: Pin) -> Pinned:
        film = self.reel.film(pin.take)
        last = film.last() if film is not None else 0
        step = last if pin.step == END else min(pin.step, last)
        values = self.reel.picture(pin.take, step, pin.kind) if film is not None else None
        if values is not None and 0 <= pin.sample < len(values):
            values = values[pin.sample : pin.sample + 1]
        name = "" if pin.take == ROOT else f" \N{MIDDLE DOT} {film_words(self.stage, self.stage.state.take(pin.take))}"
        return Pinned(f"{step} {_SHORT[pin.kind]}{name}", values)

    def _fit(self) -> None:
        look = theme.current()
        lanes = min(LANES, len(self.stage.state.takes))
        self._tree_area.setFixedHeight(lanes * look.px(LANE) + 2)
        self._pins_area.setFixedHeight(self.pins.sizeHint().height() + 2)

    # -- what the hand does --------------------------------------------------------------------------------------------

    def pin_frame(self) -> None:
        """Keep the frame under the playhead."""
        state = self.stage.state
        index, film = self.reel.shown(), self.reel.film()
        pin = Pin(state.selected, index, state.right, state.sample)
        if film is not None and len(state.pins) < MOST_PINS and pin not in state.pins:
            self.stage.set(f"Pin step {index}", pins=(*state.pins, pin))

    def _on_take(self, key: str) -> None:
        if key != self.stage.state.selected:
            self.stage.set(f"Play {film_words(self.stage, self.stage.state.take(key))}", selected=key)

    def _on_keep(self) -> None:
        keep_only(self.stage, self.stage.state.selected)

    def _on_throw(self) -> None:
        throw(self.stage, self.stage.state.selected)

    def _on_thrown(self, key: str) -> None:
        throw(self.stage, key)

    def _on_pin(self, place: int) -> None:
        pin = self.stage.state.pins[place]
        self.stage.set(f"Go to step {pin.step}", selected=pin.take, step=pin.step, right=pin.kind, sample=pin.sample)

    def _on_unpin(self, place: int) -> None:
        pins = self.stage.state.pins
        self.stage.set("Take a pin away", pins=pins[:place] + pins[place + 1 :])
