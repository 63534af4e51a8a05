"""What lies on the decoded map: data points, contours, the path, the posterior's ellipse, rings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgm_studio.gui.panels.latent_plane import Doubles, Plane, Space
from dgm_studio.gui.panels.latent_state import LETTERS, Anchor, Overlays
from dgm_studio.gui.widgets.plane import PlaneView
from dgm_studio.gui.widgets.planeparts import Curve, Ellipse, Handle

HERE = "z"
FRAME = "frame"
SPREADS = 2.0  # the ellipse holds the posterior up to two standard deviations


def ellipse_of(mean: Doubles, covariance: Doubles, spreads: float = SPREADS) -> Ellipse:
    """The ellipse at some standard deviations of a Gaussian in the plane.

    Args:
        mean: [2].
        covariance: [2, 2].
        spreads: Standard deviations.
    """
    values, vectors = np.linalg.eigh(covariance)
    radii = spreads * np.sqrt(np.maximum(values, 1e-12))
    angle = math.atan2(vectors[1, 1], vectors[0, 1])
    return Ellipse(float(mean[0]), float(mean[1]), float(radii[1]), float(radii[0]), angle, dashed=False)


def contour_curves(density: Mapping[str, Any], overlays: Overlays) -> list[Curve]:
    """The contours of a Frame "density" that are wanted: the prior dashed, the data solid."""
    curves = []
    for contour in density.get("contours", ()):
        prior = contour["kind"] == "prior"
        if overlays.prior if prior else overlays.posterior:
            for line in contour["lines"]:
                token = "accent" if prior else "text2"
                curves.append(Curve(np.asarray(line, float), token, dashed=prior, width=1.25 if prior else 1.0))
    return curves


class MapOverlays:
    """Keeps what lies on a plane view in step with what is known.

    Args:
        view: What it lies on.
    """

    def __init__(self, view: PlaneView) -> None:
        self._view = view
        self._plane: Plane | None = None
        self._space: Space | None = None
        self.density: Mapping[str, Any] = {}
        self._path: Doubles | None = None
        self._frame = -1
        self._anchors: tuple[Anchor, ...] = ()
        self._posterior: tuple[Doubles, Doubles] | None = None
        self._z: Doubles | None = None
        self._dots: tuple[Doubles, Doubles] | None = None
        self.switches = Overlays()
        self.colour_by = ""

    def forget(self) -> None:
        """Another latent space: nothing of the old one can be projected."""
        self._plane, self._space, self._path, self._posterior, self._z = None, None, None, None, None
        self._anchors, self._frame, self.density, self._dots = (), -1, {}, None
        self._view.set_handles({})
        self._view.set_curves(())
        self._view.set_ellipses(())
        self._view.set_points(np.zeros((0, 2)))

    def show_plane(self, plane: Plane) -> None:
        """Everything is seen on another plane; contours belong to the old one and go."""
        if self._plane is None or plane.name() != self._plane.name():
            self.density = {}
        self._plane = plane
        self._draw_points()
        self.draw()

    def show_space(self, space: Space) -> None:
        """Other data points."""
        self._space = space
        self._draw_points()

    def switch(self, switches: Overlays, colour_by: str) -> None:
        """Show and hide."""
        if switches.points != self.switches.points:
            self._view.show_points(switches.points)
        self.switches, self.colour_by = switches, colour_by
        self._draw_points()
        self.draw()

    def show_density(self, density: Mapping[str, Any]) -> None:
        """Contours of the plane in hand."""
        self.density = density
        self.draw()

    def show_z(self, z: Doubles) -> None:
        """Where the decoded picture is."""
        self._z = z
        self.draw_handles()

    def show_anchors(self, anchors: Sequence[Anchor]) -> None:
        """The rings with letters."""
        self._anchors = tuple(anchors)
        self.draw_handles()

    def show_path(self, path: Doubles | None, frame: int) -> None:
        """The line through the anchors, [N, Z], and the place on it that is played."""
        self._path, self._frame = path, frame
        self.draw()

    def show_frame(self, frame: int) -> None:
        """The place on the path that is played, -1 for none."""
        self._frame = frame
        self.draw_handles()

    def show_posterior(self, mean: Doubles | None, std: Doubles | None) -> None:
        """The posterior of an encoded picture, None for none."""
        self._posterior = None if mean is None or std is None else (mean, std)
        self.draw()

    def posterior_mean(self) -> Doubles | None:
        """The mean of the encoded picture's posterior, None without one."""
        return None if self._posterior is None else self._posterior[0]

    def point_near(self, x: float, y: float, reach: float) -> int:
        """The data point nearest to a place within `reach`, -1 for none or when they are hidden."""
        if self._plane is None or self._space is None or not self.switches.points or not len(self._space.points):
            return -1
        away = np.linalg.norm(self._plane.project(self._space.points) - (x, y), axis=1)
        best = int(away.argmin())
        return best if away[best] <= reach else -1

    def classes(self) -> np.ndarray[Any, Any] | None:
        """The class of every data point that colours it."""
        if self._space is None or not self._space.factors:
            return None
        return self._space.factors.get(self.colour_by, next(iter(self._space.factors.values())))

    def ellipse(self) -> Ellipse | None:
        """The encoded picture's posterior on the plane."""
        if self._plane is None or self._posterior is None:
            return None
        mean, std = self._posterior
        return ellipse_of(self._plane.project(mean), self._plane.spread(std))

    def draw(self) -> None:
        """Lines and ellipses."""
        if self._plane is None:
            return
        curves = contour_curves(self.density, self.switches)
        if self.switches.path and self._path is not None and len(self._path) > 1:
            line = self._plane.project(self._path)
            curves += [Curve(line, "paper", width=5.0), Curve(line, "accent", width=2.5)]
        self._view.set_curves(curves)
        ellipse = self.ellipse()
        self._view.set_ellipses(() if ellipse is None else (ellipse,))
        self.draw_handles()

    def draw_handles(self) -> None:
        """The rings."""
        plane = self._plane
        if plane is None:
            return
        handles: dict[str, Handle] = {}
        if self.switches.path:
            for letter, anchor in zip(LETTERS, self._anchors, strict=False):
                x, y = plane.project(np.asarray(anchor.z))
                handles[letter] = Handle(float(x), float(y), letter)
            if self._path is not None and 0 <= self._frame < len(self._path):
                x, y = plane.project(self._path[self._frame])
                handles[FRAME] = Handle(float(x), float(y), str(self._frame + 1), movable=False)
        if self._z is not None:
            x, y = plane.project(self._z)
            ellipse = self.ellipse()
            inside = ellipse is not None and np.allclose(ellipse.clamp(float(x), float(y)), (x, y), atol=1e-6)
            handles[HERE] = Handle(float(x), float(y), "z", limit=ellipse if inside else None)
        self._view.set_handles(handles)

    def _draw_points(self) -> None:
        if self._plane is None or self._space is None or not len(self._space.points):
            self._view.set_points(np.zeros((0, 2)))
            self._dots = None
            return
        # Data points keep their places while z leaves the plane: stamping a thousand of them anew costs a whole frame.
        places, classes = self._plane.project(self._space.points), self.classes()
        dots = (places, np.zeros(0) if classes is None else classes)
        if self._dots is None or not all(_same(a, b) for a, b in zip(dots, self._dots, strict=True)):
            self._dots = dots
            self._view.set_points(places, classes, radius=3.0)


def _same(one: Doubles, other: Doubles) -> bool:
    """Whether two arrays are the same to a thousandth of a unit."""
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=0.0, atol=1e-3))
