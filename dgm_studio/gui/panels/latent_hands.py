"""What the hand does on the map and the film strips: z, anchors, axes, view, overlays, export."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.core.requests import DecodeLatent, DrawMap, EncodePicture
from dgm_studio.core.studio import Studio
from dgm_studio.gui.panels.latent_overlays import HERE
from dgm_studio.gui.panels.latent_path import place_menu
from dgm_studio.gui.panels.latent_plane import title
from dgm_studio.gui.panels.latent_posterior import Encoding
from dgm_studio.gui.panels.latent_scene import Scene
from dgm_studio.gui.panels.latent_state import MODES, TABS, Anchor, Overlays, as_tuple
from dgm_studio.gui.panels.latent_travel import Travel

MAP_COLUMNS = 15


class MapHands(QObject):
    """Turns gestures on the canvas into moves of z, the path and the plane.

    Args:
        scene: The panel's shared part.
        travel: The path.
        encoding: The encoded picture.
        studio: For exports; None in tests.
        owner: The panel.
    """

    def __init__(self, scene: Scene, travel: Travel, encoding: Encoding, studio: Studio | None, owner: QWidget) -> None:
        super().__init__(owner)
        self.scene, self.travel, self.encoding, self.studio, self._owner = scene, travel, encoding, studio, owner
        canvas = scene.map
        canvas.mode_chosen.connect(self._on_mode)
        canvas.axes_chosen.connect(self._on_axes)
        canvas.hovered.connect(scene.peek)
        canvas.left.connect(scene.stop_peeking)
        canvas.pointed.connect(self._on_point)
        canvas.ring_moved.connect(self._on_ring)
        canvas.ring_released.connect(self._on_ring_released)
        canvas.stepped.connect(self.step)
        canvas.menu_wanted.connect(self._on_menu)
        canvas.view_settled.connect(self._on_view)
        canvas.overlays_chosen.connect(self._on_overlays)
        canvas.colour_chosen.connect(self._on_colours)
        canvas.more_toggled.connect(self._on_more)
        canvas.strips_toggled.connect(self._on_strips)
        canvas.export_wanted.connect(self._export_map)
        scene.strips.picked.connect(self._on_strip)
        scene.decoded.export_wanted.connect(self._export_picture)

    # -- map -----------------------------------------------------------------------------------------------------------

    def _on_mode(self, mode: str) -> None:
        scene = self.scene
        if scene.state.strips:
            self.choose_tab(TABS[MODES.index(mode)])
        elif scene.set(mode=mode, axes=scene.axes_of(mode)):
            self._turn_to("Choose axes")

    def _on_axes(self, across: str, up: str) -> None:
        before = self.scene.state.axes
        if across.startswith("anchors:") or up.startswith("anchors:"):
            across, up = "anchors:1", "anchors:2"
            if len(self.scene.state.anchors) < 3:
                self.scene.map.set_notice("The plane through anchors needs three of them: add one under Anchors.")
                self.scene.changed.emit()
                return
        if across == up:  # the axis that was there moves to the other side
            across, up = (across, before[0]) if across != before[0] else (before[1], up)
        if self.scene.set(mode="own", axes=(across, up)):
            self._turn_to("Choose axes")

    def _turn_to(self, gesture: str) -> None:
        """Other axes: look at all of the new plane."""
        scene = self.scene
        scene.map.set_notice("")
        scene.turn(force=True)
        scene.map.show_view(None)
        scene.map.overlays.show_z(scene.state.latent)
        scene.commit(gesture)

    def _on_point(self, x: float, y: float, point: int) -> None:
        if QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._add_anchor_at(x, y, point)
        else:
            self._go_to(x, y, point)

    def _go_to(self, x: float, y: float, point: int) -> None:
        scene = self.scene
        if scene.plane is None:
            return
        z = scene.space.points[point] if point >= 0 else scene.plane.lift(x, y)
        scene.move_to(scene.keep_locks(z))
        scene.commit("Go to an example" if point >= 0 else "Move on the map")

    def _add_anchor_at(self, x: float, y: float, point: int) -> None:
        if self.scene.plane is not None:
            place = Anchor(as_tuple(self.scene.plane.lift(x, y)), "a place")
            self.travel.add(self.travel.example(point) if point >= 0 else place)

    def _on_ring(self, name: str, x: float, y: float) -> None:
        scene = self.scene
        if scene.plane is None:
            return
        z = scene.plane.lift(x, y)
        if name == HERE:
            scene.move_to(scene.keep_locks(z))
        else:
            self.travel.move(name, z)

    def _on_ring_released(self, name: str) -> None:
        if name != HERE:
            self.travel.ask()
        self.scene.commit("Move on the map" if name == HERE else f"Move anchor {name}")

    def step(self, dx: float, dy: float) -> None:
        """Move z by so much of the plane."""
        scene = self.scene
        if scene.plane is not None:
            x, y = scene.plane.project(scene.state.latent)
            scene.move_to(scene.keep_locks(scene.plane.lift(float(x) + dx, float(y) + dy)))
            scene.commit("Move on the map")

    def _on_menu(self, x: float, y: float, point: int, at: QPoint) -> None:
        entries: list[tuple[str, Any]] = [
            ("Go here", lambda: self._go_to(x, y, -1)),
            ("Add an anchor here", lambda: self._add_anchor_at(x, y, -1)),
        ]
        if point >= 0:
            space = self.scene.space
            words = self.travel.example(point).words
            request = EncodePicture(self.scene.card.key, index=int(space.indices[point]), split=space.split)
            entries += [
                ("", None),
                (f"Encode {words}", lambda: self.encoding.encode(request, f"Encode {words}")),
                (f"Add {words} as an anchor", lambda: self._add_anchor_at(x, y, point)),
            ]
        place_menu(self._owner, [*entries, ("", None), ("Export the map", self._export_map)], at)

    def _on_view(self) -> None:
        if self.scene.state.view != self.scene.map.seen():
            self.scene.state = replace(self.scene.state, view=self.scene.map.seen())
            self.scene.commit("Move the view")

    def _on_overlays(self, overlays: Overlays) -> None:
        if self.scene.set(overlays=overlays):
            self.scene.commit("Show and hide")

    def _on_colours(self, factor: str) -> None:
        if self.scene.set(colour_by=factor):
            self.scene.commit("Choose colours")

    def _on_more(self, on: bool) -> None:
        self.scene.set(more=on)

    def choose_tab(self, tab: str) -> None:
        """Show the sliders, and the film strips, of a kind of direction."""
        if self.scene.set(tab=tab):
            if self.scene.state.strips:
                self.ask_strips()
            self.scene.commit("Choose sliders")

    # -- film strips, export -------------------------------------------------------------------------------------------

    def _on_strips(self, on: bool) -> None:
        if self.scene.set(strips=on):
            if on:
                self.ask_strips()
            self.scene.commit("Film strips" if on else "Map")

    def ask_strips(self) -> None:
        scene = self.scene
        scene.strips.ask(self.scene.card.key, scene.space, scene.state.tab, scene.state.latent, scene.locked)

    def _on_strip(self, key: str, value: float) -> None:
        scene = self.scene
        z = scene.state.latent
        scene.move_to(scene.space.moved(key, z, scene.space.value(key, z) + value, scene.locked))
        scene.commit(f"Move {title(key)}")

    def map_request(self) -> DrawMap | None:
        """What is in sight of the map as a request for one picture; None before there is a plane."""
        plane, view = self.scene.plane, self.scene.map.view
        if plane is None:
            return None
        vectors = (as_tuple(plane.origin), as_tuple(plane.u), as_tuple(plane.v))
        columns = max(MAP_COLUMNS, round(view.width() / 40))
        return DrawMap(self.scene.card.key, *vectors, *self.scene.map.seen(), columns=columns)

    def _export_map(self) -> None:
        request = self.map_request()
        if self.studio is not None and request is not None:
            self.studio.export(request, "Decoded map", self.scene.stored(), "latent")

    def _export_picture(self) -> None:
        if self.studio is not None:
            request = self.travel.shown() or DecodeLatent(self.scene.card.key, self.scene.state.z)
            self.studio.export(request, "Decoded picture", self.scene.stored(), "latent")
