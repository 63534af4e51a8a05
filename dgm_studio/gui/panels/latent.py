"""The latent explorer: fly through a latent space with sliders, on a decoded map, along paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QBoxLayout, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from dgm_studio.core.cards import Capability, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import DecodeLatent, DescribeLatents, SamplePrior
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels import latent_recipe
from dgm_studio.gui.panels.latent_hands import MapHands
from dgm_studio.gui.panels.latent_map import ARROWS, DENSITY, STEP_PIXELS
from dgm_studio.gui.panels.latent_plane import Space, title
from dgm_studio.gui.panels.latent_posterior import POSTERIOR, Encoding
from dgm_studio.gui.panels.latent_scene import DECODED, NEIGHBOURS, Scene
from dgm_studio.gui.panels.latent_sliders import MOST_SEED
from dgm_studio.gui.panels.latent_state import LatentState
from dgm_studio.gui.panels.latent_strips import TOPIC as STRIPS
from dgm_studio.gui.panels.latent_tiles import TOPIC as TILES
from dgm_studio.gui.panels.latent_travel import PATH, SAMPLE, Travel
from dgm_studio.gui.panels.spec import Ask, Panel

LATENTS, RANDOM = "latents", "random"
RAIL = 330
NARROW = 830  # the panel's share of a window of 1,100 pixels
SNAPSHOT_MS = 120  # the time machine passes many snapshots: describe the one it rests on


class LatentPanel(Panel):
    """The decoded map with its path, and the rail with picture, sliders and encoder."""

    name: ClassVar[str] = "latent"
    title: ClassVar[str] = "Latent space"
    icon: ClassVar[str] = "map"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DECODES})
    summary: ClassVar[str] = "Move through the latent space and watch the decoded picture"

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self._content = QWidget()
        self._content.setObjectName("scrolled")
        self.scene = Scene(card, ask, self._content)
        self.travel = Travel(self.scene)
        self.encoding = Encoding(self.scene)
        self.hands = MapHands(self.scene, self.travel, self.encoding, studio, self)
        self._described, self._restored = False, False
        self._random: tuple[float, ...] = ()
        self._describe_soon = QTimer(self, singleShot=True, interval=SNAPSHOT_MS)
        self._describe_soon.timeout.connect(self._describe)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._lay_out()
        self._connect()
        self._show_state()

    @classmethod
    def fits(cls, card: ModelCard) -> bool:
        """A decoder of pictures with at least two latents."""
        return super().fits(card) and card.latent >= 2 and card.image() is not None

    # -- building ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        scene = self.scene
        self._rail = QWidget(self._content)
        self._rail.setObjectName("scrolled")
        column = QVBoxLayout(self._rail)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        column.addWidget(scene.decoded, 3)
        column.addWidget(scene.sliders, 4)
        column.addWidget(scene.encode)
        column.addStretch(0)
        scene.encode.setVisible(scene.can(Capability.ENCODES))
        self._rail_area = _bare_scroll(self._rail, self._content)
        self._rail_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._halves = QBoxLayout(QBoxLayout.Direction.LeftToRight, self._content)
        self._halves.setContentsMargins(0, 0, 0, 0)
        self._halves.setSpacing(theme.SPACE[2])
        self._halves.addWidget(scene.map, 1)
        self._halves.addWidget(self._rail_area)
        self._area = _bare_scroll(self._content, self)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._area)
        theme.changed.connect(self._arrange)
        self._arrange()

    def _arrange(self) -> None:
        """The rail beside the canvas, or under it where there is little room."""
        look = theme.current()
        needed = self.scene.map.minimumSizeHint().width() + look.px(RAIL) + theme.SPACE[2]
        beside = self.width() >= max(look.px(NARROW), needed)
        directions = QBoxLayout.Direction
        self._halves.setDirection(directions.LeftToRight if beside else directions.TopToBottom)
        high = max(look.px(260), min(look.px(480), self.height() - look.px(24)))
        self.scene.map.setMinimumHeight(0 if beside else high)
        if beside:
            self._rail_area.setFixedWidth(look.px(RAIL))
            self._rail_area.setMinimumHeight(0)
        else:
            self._rail_area.setMinimumWidth(0)
            self._rail_area.setMaximumWidth(16_777_215)
            self._rail_area.setMinimumHeight(self._rail.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out anew."""
        super().resizeEvent(event)
        self._arrange()

    def _connect(self) -> None:
        scene = self.scene
        scene.committed.connect(self.committed)
        scene.changed.connect(self._show_state)
        scene.rested.connect(self._on_rested)
        sliders = scene.sliders
        sliders.moved.connect(self._on_slider)
        sliders.gesture_ended.connect(self._on_slider_done)
        sliders.lock_toggled.connect(self._on_lock)
        sliders.tab_chosen.connect(self.hands.choose_tab)
        sliders.reset_wanted.connect(self.reset)
        sliders.random_wanted.connect(self.randomise)
        sliders.bookmark_wanted.connect(self._on_bookmark)
        sliders.seed_chosen.connect(self._draw)
        sliders.truncation_moved.connect(self._on_truncation)
        sliders.truncation_settled.connect(self._on_truncation_settled)
        scene.decoded.neighbour_chosen.connect(self.encoding.take_training)
        scene.map.retried.connect(self._retry)

    # -- the panel's contract ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for the first picture, then for what the latent space is made of."""
        scene = self.scene
        scene.map.show_model(self.card.key, self.card.step, self._categories())
        scene.look()
        if scene.can(Capability.ENCODES):
            scene.map.frame.show_waiting()
            if self.card.latent == 2:  # the plane is the space itself: paint it at once
                scene.turn(force=True)
            self._describe()
        else:
            self._take_space(Space.unknown(self.card.latent))

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot: z, plane and path stay, every picture is asked anew."""
        before, self.card = self.card, card
        scene = self.scene
        scene.card = card
        if card.latent != before.latent:
            self._start_over(before)
            return
        scene.map.show_model(card.key, card.step, self._categories())
        if scene.state.frame < 0:
            scene.look()
        scene.turn(force=True)
        self.travel.ask()
        self.encoding.again()
        if scene.can(Capability.ENCODES):
            self._describe_soon.start()
        if scene.state.strips:
            self.hands.ask_strips()

    def follow(self, card: ModelCard) -> None:
        """The picture at z and the map of the newest weights; path, contours and axes wait for the next checkpoint."""
        self.card = self.scene.card = card
        scene = self.scene
        scene.map.show_model(card.key, card.step, self._categories())
        if not self._described:
            return
        if scene.state.frame < 0 and not scene.peeking():
            scene.look()
        scene.turn(force=True)

    def state(self) -> dict[str, Any]:
        """Everything that brings the panel back to here."""
        return self.scene.stored()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take on a state and ask again."""
        scene = self.scene
        before, self._restored = scene.state, True
        scene.quiet = True
        scene.bar.transport.stop()
        scene.quiet = False
        scene.state = scene.state.taking(state)
        scene.turn(force=True)
        if scene.state.view is not None:
            scene.map.show_view(scene.state.view)
        scene.map.overlays.show_anchors(scene.state.anchors)
        self._show_state()
        if (scene.state.anchors, scene.state.kind) != (before.anchors, before.kind):
            self.travel.ask()
        self.travel.refresh()
        scene.map.overlays.show_z(scene.state.latent)
        if scene.state.frame < 0:
            scene.look()
        if scene.state.encoded != before.encoded:
            self.encoding.again(follow="z" not in state)
        if scene.state.strips:
            self.hands.ask_strips()

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """Where such a request is shown: at its z, on its path, in its strips, on its plane, or encoded."""
        return latent_recipe.state_of(request)

    def plot(self) -> QWidget | None:
        """The figures along the path."""
        return self.scene.bar.plot if self.travel.request() is not None else None

    def take_file(self, path: str) -> bool:
        """Encode a picture file."""
        if not self.scene.can(Capability.ENCODES):
            return False
        self._restored = True  # z goes to the picture, not to the first example
        self.encoding.take_file(path)
        return True

    def shown(self) -> Any | None:
        """Film strips, the path while one of its pictures is shown, else the picture at z."""
        scene = self.scene
        if scene.state.strips and scene.strips.asked() is not None:
            return scene.strips.asked()
        return self.travel.shown() or DecodeLatent(self.card.key, scene.state.z)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Hand an update to the part that asked."""
        if isinstance(update, Cancelled):
            return
        scene = self.scene
        routes = {
            DECODED: scene.receive_decoded,
            NEIGHBOURS: scene.receive_neighbours,
            TILES: scene.map.receive_tile,
            DENSITY: scene.map.receive_density,
            PATH: self.travel.receive,
            SAMPLE: self.travel.receive_sample,
            POSTERIOR: self.encoding.receive,
            STRIPS: scene.strips.receive,
            LATENTS: self._receive_latents,
            RANDOM: self._receive_random,
        }
        if topic in routes:
            routes[topic](update, ticket)

    # -- what the space is made of -------------------------------------------------------------------------------------

    def _describe(self) -> None:
        self.busy.emit(True)
        self.ask(LATENTS, DescribeLatents(self.card.key))

    def _receive_latents(self, update: Update, ticket: Ticket) -> None:
        scene = self.scene
        if isinstance(update, Progress) and not self._described and update.total > 0:
            scene.map.frame.show_waiting(update.done / update.total)
        elif isinstance(update, Failed):
            self.busy.emit(False)
            scene.map.set_notice(f"No data points: {update.sentence} {update.action}".strip())
            if not self._described:
                self._take_space(Space.unknown(self.card.latent))
        elif isinstance(update, Frame) and ticket.request.model == self.card.key:
            self.busy.emit(False)
            scene.map.set_notice("")
            before = scene.space if scene.space.known else None
            self._take_space(Space.of(update.data, before))

    def _take_space(self, space: Space) -> None:
        scene, first = self.scene, not self._described
        self._described = True
        scene.show_space(space)
        if first:
            scene.map.show_view(scene.state.view)
            if not self._restored and len(space.points):
                scene.move_to(space.points[0])  # an example shows more than the blurred middle of the space
            if not scene.state.anchors and space.known:
                self.travel.first()
            elif scene.state.anchors:
                self.travel.ask()
        self._show_state()
        if scene.state.strips:
            self.hands.ask_strips()
        if first:
            self.ready()

    def _start_over(self, before: ModelCard) -> None:
        """A snapshot with another number of latents: nothing of the state can be kept."""
        scene = self.scene
        scene.state = LatentState.new(self.card.latent)
        scene.space, scene.plane, self._described = Space.unknown(self.card.latent), None, False
        scene.map.forget()
        self.travel.clear()
        self.encoding.again()
        scene.sliders.show_space(scene.space, samples=scene.can(Capability.SAMPLES))
        self._show_state()
        if self.studio is not None:
            words = f"This state has {self.card.latent} latents, not {before.latent}: the position starts at zero."
            self.studio.tell(words, "warn")
        self.begin()

    def _retry(self) -> None:
        self.scene.map.frame.show_waiting()
        if not self._described:
            self._describe()
        self.scene.map.feed.ask_now()

    def _categories(self) -> dict[str, tuple[str, ...]]:
        return {factor.name: factor.categories for factor in self.card.factors}

    def _show_state(self) -> None:
        scene = self.scene
        scene.sliders.show_state(scene.state)
        scene.map.show_controls(scene.state)
        scene.bar.show_controls(scene.state, self.travel.offers())
        scene.map.stack.setCurrentIndex(1 if scene.state.strips else 0)

    def _on_rested(self) -> None:
        scene = self.scene
        if scene.state.frame >= 0:
            self.travel.refresh()
        scene.ask_neighbours(self.travel.frame_z() or scene.state.z)
        if scene.state.strips:
            self.hands.ask_strips()

    # -- sliders -------------------------------------------------------------------------------------------------------

    def _on_slider(self, key: str, value: float) -> None:
        scene = self.scene
        scene.move_to(scene.space.moved(key, scene.state.latent, value, scene.locked), but=key)

    def _on_slider_done(self, key: str) -> None:
        self.scene.sliders.show_z(self.scene.state.latent)
        self.scene.commit(f"Move {title(key)}")

    def _on_lock(self, dimension: int, locked: bool) -> None:
        locks = set(self.scene.state.locks) - {dimension} | ({dimension} if locked else set())
        if self.scene.set(locks=tuple(sorted(locks))):
            self.scene.turn(force=True)
            self.scene.commit(f"{'Lock' if locked else 'Open'} z{dimension:02d}")

    def reset(self) -> None:
        """Bring every unlocked latent to zero."""
        self.scene.move_to(self.scene.keep_locks(np.zeros(self.card.latent)))
        self.scene.commit("Reset")

    def randomise(self) -> None:
        """Draw the next random latent."""
        if self.scene.can(Capability.SAMPLES):
            self._draw((self.scene.state.seed + 1) % (MOST_SEED + 1))

    def _draw(self, seed: int) -> None:
        self.scene.set(seed=seed)
        self._ask_random()

    def _ask_random(self) -> None:
        state = self.scene.state
        self.ask(RANDOM, SamplePrior(self.card.key, 1, state.seed, state.truncation))

    def _receive_random(self, update: Update, ticket: Ticket) -> None:
        scene, asked = self.scene, ticket.request
        if isinstance(update, Failed):
            scene.decoded.show_failed(update)
        elif isinstance(update, Frame) and asked.seed == scene.state.seed:
            redrawn = bool(self._random) and self._random == scene.state.z
            scene.move_to(scene.keep_locks(np.asarray(update.data["z"], float)[0]))
            self._random = scene.state.z
            if not (redrawn and scene.sliders.truncation.isAncestorOf(QApplication.focusWidget() or self)):
                scene.commit(f"Random {asked.seed}")

    def _on_truncation(self, value: float) -> None:
        scene = self.scene
        scene.state = replace(scene.state, truncation=value)
        if self._random == scene.state.z and self._random:
            self._ask_random()

    def _on_truncation_settled(self) -> None:
        self.scene.commit("Truncation")

    def _on_bookmark(self) -> None:
        if self.studio is not None:
            self.studio.bookmark()

    # -- keyboard ------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """R random, 0 reset, P play, E encode, plus and minus zoom, arrows move z, Space J K L as in a video player."""
        if event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier):
            super().keyPressEvent(event)
            return
        key, scene = Qt.Key(event.key()), self.scene
        actions = {
            Qt.Key.Key_R: self.randomise,
            Qt.Key.Key_0: self.reset,
            Qt.Key.Key_P: scene.bar.transport.toggle,
            Qt.Key.Key_E: scene.encode.open_drawing,
        }
        if key in actions:
            actions[key]()
        elif key in ARROWS:
            step = STEP_PIXELS / scene.map.view.window_shown().scale
            self.hands.step(ARROWS[key][0] * step, ARROWS[key][1] * step)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            scene.map.view.keyPressEvent(event)
        elif not scene.bar.take_key(event.key()):
            super().keyPressEvent(event)


def _bare_scroll(inner: QWidget, parent: QWidget) -> QScrollArea:
    """Scrolls only when there is too little room."""
    area = QScrollArea(parent)
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area
