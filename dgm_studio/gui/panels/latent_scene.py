"""What the latent panel's parts share: the state, the space, the plane, the widgets; moving z and showing it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from dgm_studio.core.cards import Capability, Modality, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import DecodeLatent, FindNeighbours
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui.panels.latent_decoded import DecodedCard
from dgm_studio.gui.panels.latent_encode import EncodeCard
from dgm_studio.gui.panels.latent_map import MapCard
from dgm_studio.gui.panels.latent_path import PathBar
from dgm_studio.gui.panels.latent_plane import Doubles, Plane, Space, default_axes, plane_through
from dgm_studio.gui.panels.latent_sliders import SlidersCard
from dgm_studio.gui.panels.latent_state import LatentState, as_tuple
from dgm_studio.gui.panels.latent_strips import StripsView
from dgm_studio.gui.panels.spec import Ask

DECODED, NEIGHBOURS = "decoded", "neighbours"
REST_MS = 220  # z has come to rest: now what costs more than a picture may be asked
ON_PLANE = 1e-4  # distance from the plane that is rounding, not a move
NEIGHBOURS_SHOWN = 6


class Scene(QObject):
    """The shared part of a latent panel.

    Args:
        card: The model.
        ask: How to ask.
        parent: Owner of the widgets.

    Signals:
        committed(str): A gesture has ended.
        changed(): The state is another one; controls that show it follow.
        rested(): z, or the frame of the path that is shown, has come to rest.
    """

    committed = Signal(str)
    changed = Signal()
    rested = Signal()

    def __init__(self, card: ModelCard, ask: Ask, parent: QWidget) -> None:
        super().__init__(parent)
        self.card, self.ask = card, ask
        self.state = LatentState.new(card.latent)
        self.space = Space.unknown(card.latent)
        self.plane: Plane | None = None
        self._peeking, self.quiet = False, False
        self.map = MapCard(ask, parent)
        self.strips = StripsView(ask, self.map)
        self.bar = PathBar(self.map)
        self.decoded = DecodedCard(parent)
        self.sliders = SlidersCard(parent)
        self.encode = EncodeCard(card.image() or Modality("image", "image", (1, 28, 28)), parent)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._on_rest)
        self.map.stack.addWidget(self.strips)
        self.map.add(self.bar)
        self.decoded.retried.connect(self.look)

    # -- what the model can do -----------------------------------------------------------------------------------------

    def can(self, capability: Capability) -> bool:
        """Whether the model has a capability."""
        return capability in self.card.capabilities

    @property
    def locked(self) -> frozenset[int]:
        """Dimensions that nothing changes."""
        return frozenset(self.state.locks)

    # -- state ---------------------------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> bool:
        """Change entries of the state and show them; whether anything changed."""
        after = replace(self.state, **changes)
        if after == self.state:
            return False
        self.state = after
        self.changed.emit()
        return True

    def commit(self, name: str) -> None:
        """A gesture has ended; what a restored state sets off by itself is none."""
        if not self.quiet:
            self.committed.emit(name)

    def stored(self) -> dict[str, Any]:
        """The state as plain data, with what is in sight of the map and whether play loops."""
        seen = self.map.kept_view() if self.plane is not None else None
        return replace(self.state, view=seen, loop=self.bar.transport.loops()).to_json()

    # -- z -------------------------------------------------------------------------------------------------------------

    def move_to(self, z: Doubles, but: str = "") -> None:
        """Bring z somewhere: picture, sliders, map follow.

        Args:
            z: [Z]; locked dimensions are kept by the caller where they shall be.
            but: Axis key of the slider under the hand, which is left alone.
        """
        self._peeking = False
        left_path = self.state.frame >= 0
        self.bar.transport.stop()
        self.state = replace(self.state, z=as_tuple(z), frame=-1)
        self.sliders.show_z(z, but)
        self.turn()
        self.map.overlays.show_z(z)
        if left_path:
            self.bar.show_frame(-1)
            self.map.overlays.show_frame(-1)
        self.look()

    def keep_locks(self, z: Doubles) -> Doubles:
        """z with the locked dimensions as they are now."""
        kept = z.copy()
        for index in self.state.locks:
            kept[index] = self.state.z[index]
        return kept

    def look(self) -> None:
        """Ask for the picture at z."""
        self.decoded.show_whose("")
        self._ask_picture(self.state.z)
        self._rest.start()

    def peek(self, x: float, y: float) -> None:
        """Ask for the picture at a place of the plane, z stays."""
        if self.plane is None or self.bar.transport.playing():
            return
        self._peeking = True
        self.decoded.show_whose("under the cursor")
        self._ask_picture(as_tuple(self.plane.lift(x, y)))

    def stop_peeking(self) -> None:
        """The mouse has left the map: back to what was shown."""
        if self._peeking:
            self._peeking = False
            if self.state.frame < 0:
                self.look()
            else:
                self.rested.emit()

    def peeking(self) -> bool:
        """Whether the picture is the one under the cursor."""
        return self._peeking

    def _ask_picture(self, z: tuple[float, ...]) -> None:
        self.decoded.frame.show_waiting()
        self.decoded.dim_neighbours()
        self.ask(DECODED, DecodeLatent(self.card.key, z))

    def receive_decoded(self, update: Update, ticket: Ticket) -> None:
        """The picture at z or under the cursor; none of them once a frame of the path is shown."""
        if self.state.frame >= 0 and not self._peeking:
            return
        if isinstance(update, Failed):
            self.decoded.show_failed(update)
        elif isinstance(update, Frame):
            self.decoded.show_decoded(update.data)

    # -- neighbours ----------------------------------------------------------------------------------------------------

    def rest_soon(self) -> None:
        """Something was shown; when nothing else follows, ask what costs more."""
        self._rest.start()

    def _on_rest(self) -> None:
        if not self._peeking:
            self.rested.emit()

    def ask_neighbours(self, z: tuple[float, ...]) -> None:
        """The training examples nearest to a picture."""
        if self.card.data:
            self.ask(NEIGHBOURS, FindNeighbours(self.card.key, z, NEIGHBOURS_SHOWN))

    def receive_neighbours(self, update: Update, ticket: Ticket) -> None:
        """Training examples."""
        if isinstance(update, Failed):
            self.decoded.refuse_neighbours(update)
        elif isinstance(update, Frame):
            self.decoded.show_neighbours(update.data)

    # -- plane ---------------------------------------------------------------------------------------------------------

    def turn(self, *, force: bool = False) -> None:
        """Let the plane pass through z: another plane only when z has left it."""
        z = self.state.latent
        anchored = self.state.axes[0].startswith("anchors:")
        if not force and self.plane is not None and (anchored or self.plane.distance(z) < ON_PLANE):
            return
        anchors = [np.asarray(anchor.z) for anchor in self.state.anchors]
        self.plane = plane_through(self.space, self.state.axes, z, self.locked, anchors)
        self.map.show_plane(self.plane)

    def show_space(self, space: Space) -> None:
        """Another description of the latent space: axes that are gone are replaced, everything is shown anew."""
        self.space = space
        if self.state.mode != "own":
            self.state = replace(self.state, axes=self.axes_of(self.state.mode))
        self.map.show_space(space)
        self.sliders.show_space(space, samples=self.can(Capability.SAMPLES))
        self.encode.show_examples(len(space.points))
        self.changed.emit()
        self.turn(force=True)
        self.map.overlays.show_z(self.state.latent)

    def axes_of(self, mode: str) -> tuple[str, str]:
        """The axes of a mode; two latents are their own map."""
        if mode == "kl" and self.card.latent == 2:
            return ("latent:0", "latent:1")
        return default_axes(self.space, mode)
