"""Signed distances to meshes, also to such with holes: what models of functions are trained on.

Distance is exact: triangles are cut into small pieces, a tree finds the pieces that may be nearest, and the distance to
each of their triangles is worked out. The sign is that of the generalised winding number (Jacobson, Kavan and
Sorkine-Hornung 2013), which is 1 inside, 0 outside and in between near a hole; far groups of triangles count by their
dipole (Barill et al. 2018, equation 10).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from dgm_studio.rendering.measures import Floats, Ints, drawn
from dgm_studio.rendering.meshes import Mesh

PIECES = 20_000  # that a coarse mesh is cut into, about
FIRST, MOST = 8, 512  # pieces looked at for each point
CHUNK = 96  # points at once: 50 ms beside a million triangles
LEAF_FACES = 8
FAR = 2.5  # radii away from which a group is one dipole
NEAR_SPREADS = (0.005**0.5, 0.0005**0.5)  # standard deviations, of variances 0.005 and a tenth of it (Park et al. 2019)
NEAR_SHARE = 0.94  # 47 of 50


class Nearest:
    """Distances to a mesh.

    Args:
        mesh: The triangles.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._corners = mesh.vertices[mesh.faces]
        pieces, owner = _cut(self._corners)
        centres = pieces.mean(1)
        self._reach = float(np.linalg.norm(pieces - centres[:, None], axis=2).max())
        self._owner = owner
        self._tree = cKDTree(centres)

    def __call__(self, x: Floats) -> Floats:
        """Unsigned distances, [N].

        Exact where the tree could prove it, which is everywhere but for points about as far from over `MOST` pieces;
        there off by less than the size of a piece.
        """
        best = np.full(len(x), np.inf)
        rows, k = np.arange(len(x)), min(FIRST, self._tree.n)
        while len(rows):
            far, piece = self._tree.query(x[rows], k=k)
            far, piece = far.reshape(len(rows), -1), piece.reshape(len(rows), -1)
            corners = self._corners[self._owner[piece]]
            found = to_triangles(np.repeat(x[rows], k, 0), corners.reshape(-1, 3, 3)).reshape(len(rows), k)
            best[rows] = found.min(1)
            if k >= min(MOST, self._tree.n):
                break
            rows = rows[best[rows] + self._reach > far[:, -1]]
            k = min(4 * k, self._tree.n, MOST)
        return best


def _cut(corners: Floats) -> tuple[Floats, Ints]:
    """Triangles halved at their longest side until they are small: pieces [P, 3, 3] and whose they are [P]."""
    owner = np.arange(len(corners))
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    longest = max(2.0 * (area / PIECES) ** 0.5, 1e-12)
    done, owners = [], []
    for _ in range(24):
        sides = np.linalg.norm(np.roll(corners, -1, 1) - corners, axis=2)
        big = sides.max(1) > longest
        if not big.any() or len(corners) > 20 * PIECES:
            break
        done.append(corners[~big])
        owners.append(owner[~big])
        corners, owner, begin = corners[big], owner[big], sides[big].argmax(1)
        a, b, c = (corners[np.arange(len(corners)), (begin + k) % 3] for k in range(3))
        middle = 0.5 * (a + b)
        corners = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        owner = np.concatenate([owner, owner])
    return np.concatenate([*done, corners]), np.concatenate([*owners, owner])


def to_triangles(x: Floats, corners: Floats) -> Floats:
    """Distance from each point [N, 3] to its own triangle [N, 3, 3]."""
    best = np.full(len(x), np.inf)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inside = np.ones(len(x), bool)
    for k in range(3):
        a, along = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
        away = x - a
        share = np.einsum("ij,ij->i", away, along) / np.maximum(np.einsum("ij,ij->i", along, along), 1e-300)
        rest = away - np.clip(share, 0, 1)[:, None] * along
        best = np.minimum(best, np.einsum("ij,ij->i", rest, rest))
        inside &= np.einsum("ij,ij->i", np.cross(along, away), normal) >= 0
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-300)
    height = np.abs(np.einsum("ij,ij->i", x - corners[:, 0], normal)) / length
    return np.where(inside, np.minimum(height, best**0.5), best**0.5)


class Winding:
    """How often a mesh goes round a point.

    Args:
        mesh: The triangles; holes are allowed. Its tree is `grown` before anything is asked.
    """

    def __init__(self, mesh: Mesh) -> None:
        corners = mesh.vertices[mesh.faces]
        self.levels = max(0, int(np.ceil(np.log2(max(1, len(corners) / LEAF_FACES)))))
        many = LEAF_FACES << self.levels
        flat = np.repeat(corners[-1:, :1], 3, 1)  # without area: counts for nothing
        corners = np.concatenate([corners, np.repeat(flat, many - len(corners), 0)])
        self.corners = corners
        self.nodes: list[tuple[Floats, Floats, Floats]] = []

    def grown(self) -> Generator[None, None, Winding]:
        """This with its tree, a yield for each of its levels."""
        order = yield from _sorted(self.corners.mean(1), self.levels)
        self.corners = self.corners[order]
        for level in range(self.levels + 1):
            self.nodes.append(self._nodes(1 << level))
            yield
        return self

    def _nodes(self, count: int) -> tuple[Floats, Floats, Floats]:
        """Centres [C, 3], radii [C] and sums of areas times normals [C, 3] of one level."""
        corners = self.corners.reshape(count, -1, 3, 3)
        normal = 0.5 * np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        area = np.linalg.norm(normal, axis=2)
        weight = area + 1e-300
        centre = np.einsum("cf,cfk->ck", weight, corners.mean(2)) / weight.sum(1)[:, None]
        away = np.linalg.norm(corners - centre[:, None, None], axis=3) * (area > 0)[:, :, None]
        return centre, away.max((1, 2)), normal.sum(1)

    def __call__(self, x: Floats) -> Floats:
        """Winding numbers, [N]."""
        total = np.zeros(len(x))
        point, node = np.arange(len(x)), np.zeros(len(x), np.int64)
        for level, (centre, radius, normal) in enumerate(self.nodes):
            away = centre[node] - x[point]
            length = np.linalg.norm(away, axis=1)
            far = length > FAR * radius[node]
            dipole = np.einsum("ij,ij->i", away[far], normal[node[far]]) / np.maximum(length[far] ** 3, 1e-300)
            np.add.at(total, point[far], dipole)
            point, node = point[~far], node[~far]
            if level < self.levels:
                point, node = np.repeat(point, 2), np.stack([2 * node, 2 * node + 1], 1).reshape(-1)
        faces = (node[:, None] * LEAF_FACES + np.arange(LEAF_FACES)).reshape(-1)
        angle = solid_angles(np.repeat(x[point], LEAF_FACES, 0), self.corners[faces])
        np.add.at(total, np.repeat(point, LEAF_FACES), angle)
        return total / (4 * np.pi)


def _sorted(centres: Floats, levels: int) -> Generator[None, None, Ints]:
    """An order in which every power of two of groups is one of neighbours: halved again and again at the median."""
    order = np.arange(len(centres))
    for level in range(levels):
        groups = order.reshape(1 << level, -1)
        here = centres[groups]
        widest = np.ptp(here, axis=1).argmax(1)
        along = here[np.arange(len(groups)), :, widest] if len(groups) else here[:, :, 0]
        order = np.take_along_axis(groups, along.argsort(1, kind="stable"), 1).reshape(-1)
        yield
    return order


def solid_angles(x: Floats, corners: Floats) -> Floats:
    """Signed solid angle of each triangle [N, 3, 3] seen from its point [N, 3] (Van Oosterom and Strackee 1983)."""
    a, b, c = (corners[:, k] - x for k in range(3))
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c))
    ab, bc, ca = (np.einsum("ij,ij->i", p, q) for p, q in ((a, b), (b, c), (c, a)))
    return 2 * np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)


@dataclass(frozen=True)
class Samples:
    """Points and their distances to a mesh.

    Args:
        points: [N, 3] float32.
        distances: [N] float32, negative inside.
        unsure: Share of the points whose winding number is far from 0 and 1: beside holes.
    """

    points: np.ndarray
    distances: np.ndarray
    unsure: float


def _volume(corners: Floats) -> float:
    """Of the cones from the origin over triangles [F, 3, 3]."""
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def signed(mesh: Mesh, x: Floats) -> Generator[float, None, tuple[Floats, Floats]]:
    """Signed distances [N] and winding numbers [N] of points [N, 3], chunk by chunk; yields the share that is done.

    A mesh that looks inwards on the whole is taken as if it looked outwards.
    """
    outwards = 1.0 if _volume(mesh.vertices[mesh.faces] - mesh.vertices.mean(0)) >= 0 else -1.0
    nearest = Nearest(mesh)
    yield 0.0
    growing = Winding(mesh).grown()
    while True:
        try:
            next(growing)
        except StopIteration as end:
            winding: Winding = end.value
            break
        yield 0.0
    distance, times = np.empty(len(x)), np.empty(len(x))
    for start in range(0, len(x), CHUNK):
        some = slice(start, start + CHUNK)
        distance[some] = nearest(x[some])
        yield (start + 0.5 * CHUNK) / (len(x) + CHUNK)
        times[some] = outwards * winding(x[some])
        yield (start + CHUNK) / (len(x) + CHUNK)
    return np.where(times > 0.5, -distance, distance), times


def sampled(mesh: Mesh, count: int, rng: np.random.Generator) -> Generator[float, None, Samples]:
    """Points as Park et al. (2019, supplement A) draw them: most near the surface, the others all over the cube.

    Args:
        mesh: Within the unit sphere, see `meshes.normalised`.
        count: How many points.
        rng: Of the points.

    Yields:
        The share that is done.
    """
    near = int(NEAR_SHARE * count)
    on = drawn(mesh.vertices, mesh.faces, near, rng)
    spread = np.where(np.arange(near) % 2, *NEAR_SPREADS)[:, None]
    points = np.concatenate([on + spread * rng.standard_normal((near, 3)), rng.uniform(-1, 1, (count - near, 3))])
    points = points.astype(np.float32).astype(np.float64)
    distances, times = yield from signed(mesh, points)
    unsure = float(np.mean(np.abs(times - np.rint(times)) > 0.25))
    return Samples(points.astype(np.float32), distances.astype(np.float32), unsure)
