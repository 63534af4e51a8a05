"""The path: where its anchors come from, asking for it, playing it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, QTimer

from dgm_studio.core.cards import Capability
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import FollowPath, SamplePrior
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui.panels.latent_plane import Doubles, Space
from dgm_studio.gui.panels.latent_scene import Scene
from dgm_studio.gui.panels.latent_state import LETTERS, MOST_ANCHORS, Anchor, as_tuple

PATH, SAMPLE = "path", "anchor"
FRAMES = 24
PIECE = 12  # frames from one anchor to the next, where there are several


def far_pair(space: Space) -> tuple[int, int] | None:
    """Two typical data points of different classes that lie far apart; of any two without classes, None without data.

    Typical: the points nearest to the means of their classes. Far: of all pairs of classes, the one with the largest
    distance between the means.
    """
    if len(space.points) < 2:
        return None
    classes = next(iter(space.factors.values()), np.zeros(0, np.int64))
    kinds = np.unique(classes)
    if len(kinds) < 2:
        first = int(np.linalg.norm(space.points - space.mean, axis=1).argmax())
        return first, int(np.linalg.norm(space.points - space.points[first], axis=1).argmax())
    means = np.stack([space.points[classes == kind].mean(0) for kind in kinds])
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    pair = np.unravel_index(int(apart.argmax()), apart.shape)
    found = [int(np.linalg.norm(space.points - means[k], axis=1).argmin()) for k in pair]
    return found[0], found[1]


class Travel(QObject):
    """Keeps the path in step with its anchors.

    Args:
        scene: The panel's shared part.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._scene = scene
        self._data: dict[str, Any] | None = None
        self._asked: FollowPath | None = None
        self._letter = ""
        self._again = QTimer(self, singleShot=True, interval=30)
        self._again.timeout.connect(self.ask)
        bar = scene.bar
        bar.kind_chosen.connect(self._on_kind)
        bar.frame_shown.connect(self.show_frame)
        bar.rested.connect(self._on_rested)
        bar.anchor_wanted.connect(self.add_from)
        bar.anchor_dropped.connect(self.drop)
        bar.anchor_visited.connect(self._on_visit)
        bar.figures_toggled.connect(self._on_figures)

    # -- asking --------------------------------------------------------------------------------------------------------

    def request(self) -> FollowPath | None:
        """The question for the path as it is, None without one."""
        state = self._scene.state
        count = len(state.anchors)
        if count < 2:
            return None
        frames = max(FRAMES, PIECE * (count - 1) + 1)
        return FollowPath(self._scene.card.key, tuple(a.z for a in state.anchors), state.kind, frames)

    def ask(self) -> None:
        """Ask for the path."""
        self._asked = self.request()
        if self._asked is None:
            self.clear()
            return
        self._scene.bar.show_waiting()
        self._scene.ask(PATH, self._asked)

    def clear(self) -> None:
        """There is no path."""
        self._data, self._asked = None, None
        self._scene.bar.show_path(None)
        self._scene.map.overlays.show_path(None, -1)

    def receive(self, update: Update, ticket: Ticket) -> None:
        """The path, or why there is none."""
        if isinstance(update, Failed):
            self._data = None
            self._scene.bar.show_message(f"{update.sentence} {update.action}".strip())
            self._scene.map.overlays.show_path(None, -1)
        elif isinstance(update, Frame) and ticket.request == self._asked:
            self._data = update.data
            self._scene.bar.show_path(update.data)
            self._show(self._scene.state.frame)

    def receive_sample(self, update: Update, ticket: Ticket) -> None:
        """An anchor drawn from the prior."""
        if isinstance(update, Frame):
            self.add(Anchor(as_tuple(np.asarray(update.data["z"])[0]), f"sample {ticket.request.seed}"))
        elif isinstance(update, Failed):
            self._scene.bar.show_message(update.sentence)

    # -- playing -------------------------------------------------------------------------------------------------------

    def shown(self) -> FollowPath | None:
        """The question whose frame is in the large picture, None when another picture is."""
        return self._asked if self._data is not None and self._scene.state.frame >= 0 else None

    def frame_z(self) -> tuple[float, ...] | None:
        """Where the frame that is shown lies."""
        frame = self._scene.state.frame
        if self._data is None or not 0 <= frame < len(self._data["z"]):
            return None
        return as_tuple(self._data["z"][frame])

    def show_frame(self, frame: int) -> None:
        """Show a picture of the path in place of the one at z."""
        scene = self._scene
        scene.state = replace(scene.state, frame=frame)
        self._show(frame)
        if not scene.bar.transport.playing():
            scene.rest_soon()

    def _show(self, frame: int) -> None:
        scene, data = self._scene, self._data
        if data is None:
            return
        frame = min(frame, len(data["z"]) - 1)
        scene.map.overlays.show_path(np.asarray(data["z"], float), frame)
        scene.bar.show_frame(frame)
        if frame >= 0 and not scene.peeking():
            scene.decoded.show_whose(f"path, {frame + 1} of {len(data['z'])}")
            scene.decoded.dim_neighbours()
            if "pictures" in data:
                scene.decoded.show_frame(data["pictures"][frame], float(data["log_prior"][frame]))

    def refresh(self) -> None:
        """Show the frame again (the mouse has left the map)."""
        self._show(self._scene.state.frame)

    # -- anchors -------------------------------------------------------------------------------------------------------

    def first(self) -> None:
        """A path between two typical examples, so that there is something to play."""
        pair = far_pair(self._scene.space)
        if pair is not None:
            self._put(tuple(self.example(index) for index in pair))

    def example(self, place: int) -> Anchor:
        """A data point as an anchor.

        Args:
            place: Its row among the points.
        """
        space = self._scene.space
        words = [f"{space.split} {space.indices[place]}"]
        categories = {factor.name: factor.categories for factor in self._scene.card.factors}
        for name, values in list(space.factors.items())[:1]:
            if int(values[place]) < len(categories.get(name, ())):
                words.append(f"{name} {categories[name][int(values[place])]}")
        return Anchor(as_tuple(space.points[place]), ", ".join(words))

    def add(self, anchor: Anchor) -> None:
        """One more at the end."""
        anchors = self._scene.state.anchors
        if len(anchors) < MOST_ANCHORS:
            self._put((*anchors, anchor))
            self._scene.commit(f"Add anchor {LETTERS[len(anchors)]}")

    def add_from(self, source: str) -> None:
        """One more from "here", "example", "sample" or "drawing"; "pair": a first path."""
        scene = self._scene
        count = len(scene.state.anchors)
        if source == "pair":
            self._pair()
        elif source == "here":
            self.add(Anchor(self.frame_z() or scene.state.z, "a place"))
        elif source == "example" and len(scene.space.points):
            choice = np.random.default_rng([scene.state.seed, count]).integers(len(scene.space.points))
            self.add(self.example(int(choice)))
        elif source == "sample":
            scene.ask(SAMPLE, SamplePrior(scene.card.key, 1, scene.state.seed + count, scene.state.truncation))
        elif source == "drawing":
            mean = scene.map.overlays.posterior_mean()
            if mean is not None:
                self.add(Anchor(as_tuple(mean), "the encoded picture"))

    def drop(self, index: int) -> None:
        """Remove an anchor; -1 removes all."""
        anchors = self._scene.state.anchors
        self._put(() if index < 0 else (*anchors[:index], *anchors[index + 1 :]))
        self._scene.commit("Remove all anchors" if index < 0 else f"Remove anchor {LETTERS[index]}")

    def move(self, letter: str, z: Doubles) -> None:
        """An anchor is dragged: the path follows, a little later than the hand."""
        index = LETTERS.index(letter)
        anchors = list(self._scene.state.anchors)
        if index < len(anchors):
            anchors[index] = Anchor(as_tuple(z), "a place")
            self._scene.state = replace(self._scene.state, anchors=tuple(anchors))
            self._scene.map.overlays.show_anchors(anchors)
            if not self._again.isActive():
                self._again.start()

    def offers(self) -> dict[str, bool]:
        """Where anchors can come from now."""
        scene = self._scene
        return {
            "example": len(scene.space.points) > 0,
            "sample": scene.can(Capability.SAMPLES),
            "drawing": scene.map.overlays.posterior_mean() is not None,
        }

    def _put(self, anchors: tuple[Anchor, ...]) -> None:
        self._scene.set(anchors=anchors, frame=min(self._scene.state.frame, FRAMES - 1) if len(anchors) > 1 else -1)
        self._scene.map.overlays.show_anchors(anchors)
        self.ask()
        if self._scene.state.axes[0].startswith("anchors:"):
            self._scene.turn(force=True)

    def _pair(self) -> None:
        scene = self._scene
        if far_pair(scene.space) is not None:
            self.first()
        else:
            far = scene.state.latent.copy()
            far[0] += 2.0
            self._put((Anchor(scene.state.z, "a place"), Anchor(as_tuple(far), "two steps away")))
        scene.commit("Join two examples")

    # -- by hand -------------------------------------------------------------------------------------------------------

    def _on_kind(self, kind: str) -> None:
        if self._scene.set(kind=kind):
            self.ask()
            self._scene.commit(f"Path: {kind}")

    def _on_figures(self, on: bool) -> None:
        if self._scene.set(figures=on):
            self._scene.commit("Figures of the path")

    def _on_visit(self, index: int) -> None:
        self._scene.move_to(self._scene.keep_locks(np.asarray(self._scene.state.anchors[index].z)))
        self._scene.commit(f"Go to anchor {LETTERS[index]}")

    def _on_rested(self) -> None:
        self._scene.rest_soon()
        self._scene.commit("Play the path")
