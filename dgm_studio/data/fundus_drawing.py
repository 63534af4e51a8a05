"""Draws a fundus-like picture from traits that can be seen and a scene that means nothing. numpy only.

Coordinates are those of a left eye: u to the right, v down, the field of view is the unit disc, the optic disc lies on
the left. A right eye is the mirror image. Everything is drawn with the blur of a pixel of the size asked for, so that
32 x 32 and 512 x 512 show the same eye. Colours are those of one photograph (Häggström 2014, CC0): medians of its
ground, disc, rim, macula and vessels. How far eyes differ from one another is invented; one photograph cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# what each trait does between its ends, which the standardised traits approach like a logistic curve
RANGES: dict[str, tuple[float, float]] = {
    "lens": (0.0, 1.8),  # yellowing: optical density of the lens for blue light
    "sheen": (0.0, 1.0),  # reflexes of the nerve fibres and the fovea
    "cup": (0.2, 0.85),  # diameter of the cup over that of the disc
    "disc": (0.14, 0.27),  # radius of the disc
    "calibre": (0.03, 0.115),  # width of a main vein
    "ratio": (0.2, 1.1),  # width of an artery over that of its vein
    "tortuosity": (0.0, 0.11),  # how far vessels swing from their course
    "density": (0.0, 1.0),  # share of the branches that can be seen
    "halo": (0.0, 1.0),  # pale ring around the disc
    "haze": (0.0, 0.5),  # veil of an opaque lens
    "tessellation": (0.0, 0.32),  # contrast of the choroid's vessels behind the ground
    "arcade": (0.36, 0.86),  # how far the arcades open
    "macula": (0.3, 1.7),  # optical density of the macula, in that of the photograph
    "lesions": (-0.3, 0.6),  # share of the pale spots that can be seen; none below 0
}
TRAITS = tuple(RANGES)

GROUND = np.array([0.885, 0.355, 0.246])
RIM = np.array([0.99, 0.60, 0.42])
CUP = np.array([0.995, 0.85, 0.66])
VEIL = np.array([0.64, 0.49, 0.36])
MACULA = np.array([0.19, 0.72, 1.10])  # natural logarithm of ground over macula
VEIN = np.array([0.30, 1.25, 0.85])
ARTERY = np.array([0.16, 0.95, 0.80])
FIELD = 0.97
SAMPLES = 40  # points a vessel


@dataclass(frozen=True)
class Scene:
    """What differs between eyes and says nothing about the patient.

    Args:
        seed: Of the vessels' courses and of where light, spots and texture fall.
        right: Whether it is a right eye.
        pigment: Darkness and redness of the ground, standard normal; the same in both eyes of a patient.
    """

    seed: int
    right: bool
    pigment: tuple[float, float]


@dataclass(frozen=True)
class Vessel:
    """A course [S, 2], the full width along it [S], how much of it is seen, and its optical density [3]."""

    course: Floats
    width: Floats
    seen: float
    colour: Floats


def parameters(traits: Floats) -> dict[str, float]:
    """Standardised traits [T] as the quantities that are drawn; one to one, so that either tells as much."""
    share = 1.0 / (1.0 + np.exp(-1.2 * traits))
    return {name: lo + (hi - lo) * float(s) for (name, (lo, hi)), s in zip(RANGES.items(), share, strict=True)}


def draw(traits: Floats, scene: Scene, size: int = 32) -> NDArray[np.uint8]:
    """A picture.

    Args:
        traits: Standardised, in the order of `TRAITS`, [T].
        scene: Everything else.
        size: Of its sides, in pixels.

    Returns:
        RGB, [size, size, 3].
    """
    p, rng = parameters(traits), np.random.default_rng(scene.seed)
    axis = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    u, v = (grid.ravel() for grid in np.meshgrid(axis, axis))
    blur = 0.9 / size
    centre = np.array([-0.56, 0.0]) + 0.05 * _spread(rng, 2)
    fovea = centre + np.array([0.66, 0.05]) + 0.035 * _spread(rng, 2)
    picture = _ground(p, scene, rng, u, v)
    to_fovea = np.hypot(u - fovea[0], v - fovea[1])
    picture *= np.exp(-p["macula"] * np.outer(_bell(to_fovea, 0.10 + 0.035 * p["macula"]), MACULA))
    picture = _disc(picture, p, centre, u, v, blur)
    picture *= np.exp(-_vessels(p, centre, fovea, rng, u, v, blur))
    picture = _reflexes(picture, p, to_fovea, centre, rng, u, v, blur)
    picture *= np.exp(-p["lens"] * np.array([0.03, 0.09, 0.62]))
    picture += p["haze"] * (VEIL - picture)
    picture = _lit(picture, rng, u, v) * _edge((FIELD - np.hypot(u, v)) / blur)[:, None]
    image = np.rint(255.0 * np.clip(picture, 0.0, 1.0)).astype(np.uint8).reshape(size, size, 3)
    return np.ascontiguousarray(image[:, ::-1]) if scene.right else image


def _spread(rng: np.random.Generator, count: int) -> Floats:
    """Draws between -1 and 1, most of them near 0."""
    return rng.random((3, count)).sum(0) / 1.5 - 1.0


def _bell(distance: Floats, width: float) -> Floats:
    return np.exp(-0.5 * (distance / width) ** 2)


def _edge(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(2.0 * x, -30.0, 30.0)))


def _ground(p: Mapping[str, float], scene: Scene, rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """The ground with its fall towards the rim and the choroid's texture, [P, 3]."""
    dark, red = scene.pigment
    shade = np.exp(-0.09 * dark * np.array([0.8, 1.5, 1.3]) + 0.05 * red * np.array([0.5, -1.3, -0.9]))
    picture = np.outer(1.0 - 0.21 * (u * u + v * v), GROUND * shade)
    texture = np.zeros_like(u)
    for wave in range(5):
        # ribs of the choroid fan out from the disc's side, so the waves run mostly across u
        angle, phase = 0.5 * math.pi * rng.random() - 0.25 * math.pi, 2.0 * math.pi * rng.random()
        pace = 9.0 + 1.5 * wave
        bend = 0.5 * np.sin(2.5 * v + phase)
        texture += np.sin(pace * (u * math.cos(angle) + v * math.sin(angle)) + 2.0 * bend + phase)
    fans = np.clip(texture / 1.6, -1.4, 1.4) * np.clip(np.hypot(u - 0.1, v) * 1.6 - 0.15, 0.0, 1.0)
    lighter = p["tessellation"] * np.outer(fans, np.array([0.35, 1.0, 0.8]))
    return np.asarray(picture * np.exp(lighter))


def _disc(picture: Floats, p: Mapping[str, float], centre: Floats, u: Floats, v: Floats, blur: float) -> Floats:
    """Halo, rim and cup laid over the ground."""
    radius, soft = p["disc"], max(blur, 0.012)
    away = np.hypot(u - centre[0], (v - centre[1]) * 0.92)
    ring = _bell(np.maximum(away - radius, 0.0), 0.11)
    picture = picture + 0.75 * p["halo"] * ring[:, None] * (RIM - picture)
    picture = picture + _edge((radius - away) / soft)[:, None] * (RIM - picture)
    inner = np.hypot(u - centre[0] - 0.1 * radius, (v - centre[1]) * 0.92)
    return np.asarray(picture + _edge((p["cup"] * radius - inner) / soft)[:, None] * (CUP - picture))


def _reflexes(
    picture: Floats,
    p: Mapping[str, float],
    to_fovea: Floats,
    centre: Floats,
    rng: np.random.Generator,
    u: Floats,
    v: Floats,
    blur: float,
) -> Floats:
    """Sheen of a young retina (a ring around the macula, fibres along the arcades, a point in the fovea), and spots."""
    turn = np.arctan2(v - centre[1], u - centre[0])
    away = np.hypot(u - centre[0], v - centre[1])
    streaks = 1.0 + 0.3 * np.sin(38.0 * turn + 6.0 * rng.random())
    fibres = _bell(np.abs(np.abs(turn) - 0.95), 0.33) * _bell(away - 0.42, 0.2) * streaks
    ring, point = _bell(to_fovea - 0.31, 0.06), _bell(to_fovea, max(1.1 * blur, 0.018))
    strength = p["sheen"] * np.clip(0.75 * fibres + 0.5 * ring + 0.85 * point, 0.0, 1.0)
    picture = picture + 0.75 * strength[:, None] * (np.array([1.0, 0.78, 0.70]) - picture)
    places = np.stack([0.25 + 0.55 * _spread(rng, 10), 0.6 * _spread(rng, 10)], 1)
    order, sizes = (np.arange(10) + 0.5) / 10, 0.016 + 0.016 * rng.random(10)
    for place, threshold, width in zip(places, order, sizes, strict=True):
        seen = float(_edge(np.array((p["lesions"] - threshold) / 0.12)))
        dot = _bell(np.hypot(u - place[0], v - place[1]), math.hypot(width, blur))
        share = 0.75 * seen * width * width / (width * width + blur * blur) * dot
        picture = picture + share[:, None] * (np.array([0.98, 0.85, 0.52]) - picture)
    return np.asarray(picture)


def _lit(picture: Floats, rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """Exposure and a light that comes from one side."""
    exposure, tilt, angle = *_spread(rng, 2), 2.0 * math.pi * rng.random()
    slope = 0.09 * abs(tilt) * (u * math.cos(angle) + v * math.sin(angle))
    return np.asarray(picture * np.exp(0.07 * exposure + slope)[:, None])


def _vessels(
    p: Mapping[str, float], centre: Floats, fovea: Floats, rng: np.random.Generator, u: Floats, v: Floats, blur: float
) -> Floats:
    """Optical density of all vessels, [P, 3]."""
    density = np.zeros((len(u), 3))
    for vessel in tree(p, centre, fovea, rng):
        if vessel.seen < 0.01:
            continue
        margin = 3.0 * math.hypot(blur, 0.42 * float(vessel.width.max()))
        low, high = vessel.course.min(0) - margin, vessel.course.max(0) + margin
        near = np.flatnonzero((u > low[0]) & (u < high[0]) & (v > low[1]) & (v < high[1]))
        away, width = _distance(vessel, u[near], v[near])
        depth = vessel.seen * width / (width + 1.2 * blur)
        profile = depth * np.exp(-0.5 * away**2 / (blur**2 + (0.42 * width) ** 2))
        # where vessels cross, the paler one cannot be told from the other
        density[near] = np.maximum(density[near], np.outer(profile, vessel.colour))
    return density


def _distance(vessel: Vessel, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """How far points are from a vessel's middle line, and how wide it is there, [P] each."""
    course, ends = vessel.course, len(vessel.course) - 1
    nearest = ((u[:, None] - course[:, 0]) ** 2 + (v[:, None] - course[:, 1]) ** 2).argmin(1)
    point, best = np.stack([u, v], 1), np.full(len(u), np.inf)
    for first in (np.maximum(nearest - 1, 0), np.minimum(nearest, ends - 1)):
        along = course[first + 1] - course[first]
        share = np.clip(((point - course[first]) * along).sum(1) / (along * along).sum(1), 0.0, 1.0)
        best = np.minimum(best, np.hypot(*(point - course[first] - share[:, None] * along).T))
    return best, vessel.width[nearest]


def tree(p: Mapping[str, float], centre: Floats, fovea: Floats, rng: np.random.Generator) -> list[Vessel]:
    """Four pairs of main vessels and their branches; every draw is made whatever the traits are."""
    found: list[Vessel] = []
    thresholds = (rng.permutation(24) + 0.5) / 24
    branch = iter(thresholds)
    for up in (-1.0, 1.0):
        for temporal in (True, False):
            for artery in (False, True):
                control = _control(p, centre, fovea, up, temporal, artery, rng)
                course = _wavy(_bezier(control), p["tortuosity"], rng)
                width = p["calibre"] * (p["ratio"] if artery else 1.0) * (1.0 if temporal else 0.72)
                widths = width * np.linspace(1.0, 0.5, SAMPLES) * np.minimum(1.0, 0.5 + np.linspace(0.0, 5.0, SAMPLES))
                colour = ARTERY if artery else VEIN
                found.append(Vessel(course, widths, 1.0, colour))
                for k in range(4 if temporal else 2):
                    seen = float(_edge(np.array((p["density"] - next(branch)) / 0.06)))
                    found.append(_branch(course, widths, k, up, temporal, seen, colour, p["tortuosity"], rng))
    return found


def _control(
    p: Mapping[str, float],
    centre: Floats,
    fovea: Floats,
    up: float,
    temporal: bool,
    artery: bool,
    rng: np.random.Generator,
) -> Floats:
    """Control points [4, 2] of a main vessel's Bézier curve."""
    jitter = 0.06 * _spread(rng, 6).reshape(3, 2)
    inside = 0.11 if artery else 0.0  # arteries run inside their veins
    start = centre + np.array([0.0, 0.02 * up])
    if temporal:
        open_ = p["arcade"] - inside
        points = [
            centre + np.array([0.08 + inside, 0.75 * open_ * up]),
            np.array([fovea[0] - 0.15, fovea[1] + 1.22 * open_ * up]),
            np.array([1.02, fovea[1] + 0.62 * open_ * up]),
        ]
    else:
        points = [
            centre + np.array([-0.05, (0.22 + inside) * up]),
            centre + np.array([-0.22, (0.45 + 2.0 * inside) * up]),
            centre + np.array([-0.42, (0.62 + 2.5 * inside) * up]),
        ]
    return np.stack([start, *(point + shift for point, shift in zip(points, jitter, strict=True))])


def _bezier(control: Floats) -> Floats:
    """A cubic (or, from three points, a quadratic) Bézier curve, [S, 2]."""
    t, degree = np.linspace(0.0, 1.0, SAMPLES)[:, None], len(control) - 1
    terms = (math.comb(degree, k) * t**k * (1.0 - t) ** (degree - k) * control[k] for k in range(degree + 1))
    return np.asarray(sum(terms))


def _wavy(course: Floats, swing: float, rng: np.random.Generator) -> Floats:
    """The course swung to either side, least at its start."""
    along = np.gradient(course, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    length = np.hypot(*np.diff(course, axis=0).T).sum()
    t, phases = np.linspace(0.0, 1.0, SAMPLES), 2.0 * math.pi * rng.random(2)
    wave = np.sin(2.0 * math.pi * 2.1 * length * t + phases[0]) + 0.5 * np.sin(
        2.0 * math.pi * 3.7 * length * t + phases[1]
    )
    return np.asarray(course + (swing * np.minimum(1.0, 4.0 * t) * wave)[:, None] * across)


def _branch(
    course: Floats,
    widths: Floats,
    k: int,
    up: float,
    temporal: bool,
    seen: float,
    colour: Floats,
    swing: float,
    rng: np.random.Generator,
) -> Vessel:
    """A side branch; they leave to alternate sides."""
    chance = rng.random(4)
    at = int(SAMPLES * (0.2 + 0.6 * (k + 0.6 * chance[0]) / (4 if temporal else 2)))
    ahead = course[min(at + 2, SAMPLES - 1)] - course[at - 1]
    heading = math.atan2(ahead[1], ahead[0]) + (-1.0) ** k * up * (0.45 + 0.5 * chance[1])
    reach = (0.4 + 0.35 * chance[2]) * (1.0 if temporal else 0.7)
    bend = heading - (-1.0) ** k * up * 0.5 * chance[3]
    middle = course[at] + 0.5 * reach * np.array([math.cos(heading), math.sin(heading)])
    end = middle + 0.5 * reach * np.array([math.cos(bend), math.sin(bend)])
    path = _wavy(_bezier(np.stack([course[at], middle, end])), 0.6 * swing, rng)
    return Vessel(path, 0.85 * widths[at] * np.linspace(1.0, 0.5, SAMPLES), seen, colour)
