"""Meshes in files: OBJ, PLY, STL and GLB, read without trust and written whole or not at all.

The formats are trimesh's. It is handed an open file and no way to find others, so that nothing is fetched; what a file
claims to hold is looked at before it is believed.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dgm_studio.core.atomic import write_atomic
from dgm_studio.core.updates import Problem
from dgm_studio.rendering.measures import Floats, Ints, Shape, measured

FORMATS = (".obj", ".ply", ".stl", ".glb")
MOST_FACES = 2_000_000
MOST_BYTES = 500_000_000
NAMES = "OBJ, PLY, STL and GLB"


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Args:
        vertices: [V, 3] float64, no two of them equal.
        faces: [F, 3] int64.
        dropped: Faces without area that were left out.
    """

    vertices: Floats
    faces: Ints
    dropped: int = 0


def read_mesh(path: Path) -> Mesh:
    """The triangles in a file, of all its parts together.

    Raises:
        Problem: No such file, of no known kind, too large, broken, or without a triangle.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise Problem(f"{path.name} is no mesh that can be read.", f"Choose a file of one of the kinds {NAMES}.")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _too_large(path, f"{size / 1e6:,.0f} MB")
        if size == 0:
            raise Problem(f"{path.name} is empty.", "Export it again from where it was made.")
        with open(path, "rb") as file:
            _looked_at(path, kind, file.read(1 << 20), size)
    except OSError as error:
        raise Problem(f"{path.name} cannot be read: {error.strerror or error}.", "Choose another file.") from error
    return checked(path.name, *_loaded(path, kind))


def _loaded(path: Path, kind: str) -> tuple[Floats, Ints]:
    import trimesh  # half a second

    try:
        with open(path, "rb") as file:
            options: dict[str, Any] = {"maintain_order": True} if kind == ".obj" else {}
            told = trimesh.load_mesh(file, file_type=kind[1:], process=False, skip_materials=True, **options)
        return np.asarray(told.vertices, np.float64), np.asarray(told.faces, np.int64).reshape(-1, 3)
    except Exception as error:  # a parser of somebody else's, at a file of anybody's: any error means the same
        raise Problem(
            f"{path.name} is broken, or no {kind[1:].upper()} file.", "Export it again from where it was made."
        ) from error


def checked(name: str, vertices: Floats, faces: Ints) -> Mesh:
    """A mesh without repeated vertices and faces without area.

    Raises:
        Problem: Too large, no triangle, numbers that are none, or faces with vertices that are not there.
    """
    if len(faces) > MOST_FACES:
        raise _too_large(Path(name), f"{len(faces):,} triangles")
    if not len(faces):
        raise Problem(f"{name} has no triangles.", "A cloud of points or a drawing of lines is no surface.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise Problem(f"{name} is broken: faces name vertices that are not there.", "Export it again.")
    used = vertices[faces.reshape(-1)]
    if not np.isfinite(used).all() or np.abs(used).max() > 1e30:
        raise Problem(f"{name} has vertices that are nowhere (not a number, or infinite).", "Export it again.")
    merged, place = np.unique(used + 0.0, axis=0, return_inverse=True)
    corners = place.reshape(-1, 3)
    a, b, c = (merged[corners[:, k]] for k in range(3))
    flat = np.linalg.norm(np.cross(b - a, c - a), axis=1) <= 1e-14 * np.square(np.ptp(merged, axis=0)).sum()
    if flat.all():
        raise Problem(f"{name} has no surface: all its triangles are without area.", "Export it again.")
    return Mesh(merged, corners[~flat].astype(np.int64), int(flat.sum()))


def _too_large(path: Path, what: str) -> Problem:
    limit = f"{MOST_FACES / 1e6:.0f} million triangles or {MOST_BYTES / 1e6:.0f} MB"
    return Problem(f"{path.name} is too large: {what}; at most {limit} are read.", "Decimate it first.")


def _looked_at(path: Path, kind: str, head: bytes, size: int) -> None:
    """What a file says of its own size, before memory is given for it."""
    if kind == ".ply":
        for line in head.split(b"end_header")[0].splitlines():
            words = line.split()
            if words[:1] == [b"element"] and len(words) == 3 and words[2].isdigit():
                limit = MOST_FACES if words[1] == b"face" else 3 * MOST_FACES
                if int(words[2]) > limit:
                    raise _too_large(path, f"{int(words[2]):,} of {words[1].decode('ascii', 'replace')}")
    if kind == ".stl" and len(head) >= 84 and size == 84 + 50 * struct.unpack("<I", head[80:84])[0]:
        faces = struct.unpack("<I", head[80:84])[0]
        if faces > MOST_FACES:
            raise _too_large(path, f"{faces:,} triangles")
    if kind == ".glb":
        _looked_at_glb(path)


def _looked_at_glb(path: Path) -> None:
    """Numbers are counted through the places they are used in: one small file can draw one mesh a million times."""
    with open(path, "rb") as file:
        start = file.read(20)
        text = file.read(min(struct.unpack("<I", start[12:16])[0], 32_000_000)) if len(start) == 20 else b""
    try:
        tree = json.loads(text)
        counts = [int(a.get("count", 0)) for a in tree.get("accessors", [])]
        of_mesh = [
            sum(
                counts[p["indices"]] if "indices" in p else counts[p["attributes"]["POSITION"]] for p in m["primitives"]
            )
            for m in tree.get("meshes", [])
        ]
        drawn = sum(of_mesh[node["mesh"]] for node in tree.get("nodes", []) if "mesh" in node)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Problem(f"{path.name} is broken, or no GLB file.", "Export it again from where it was made.") from error
    most = max([drawn, *counts], default=0)
    if most > 3 * MOST_FACES:
        raise _too_large(path, f"{most:,} corners")


def write_mesh(path: Path, vertices: Floats, faces: Ints) -> None:
    """A mesh file of the kind its name says; the old one stays until the new one is whole.

    Raises:
        Problem: No such kind, or the disk refuses.
    """
    import trimesh

    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise Problem(f"No mesh can be written as {path.name}.", f"End its name in one of {', '.join(FORMATS)}.")
    told = trimesh.Trimesh(vertices, faces, process=False).export(file_type=kind[1:])
    try:
        write_atomic(path, told.encode() if isinstance(told, str) else told)
    except OSError as error:
        raise Problem(
            f"The mesh could not be written to {path.name}: {error.strerror or error}.", "Choose another folder."
        ) from error


def normalised(mesh: Mesh, radius: float = 1 / 1.03) -> tuple[Mesh, Floats, float]:
    """Moved and scaled into a sphere: Park et al. (2019) leave 3 % between the surface and the unit sphere.

    Returns:
        The mesh, and the centre [3] and factor with which x -> (x - centre) * factor.
    """
    centre = 0.5 * (mesh.vertices.min(0) + mesh.vertices.max(0))
    factor = float(radius / np.linalg.norm(mesh.vertices - centre, axis=1).max())
    return Mesh((mesh.vertices - centre) * factor, mesh.faces, mesh.dropped), centre, factor


def report(mesh: Mesh) -> tuple[Shape, str]:
    """What is true of a mesh, and one sentence about what that means for its inside."""
    shape = measured(mesh.vertices, mesh.faces)
    parts = "in one piece" if shape.pieces == 1 else f"in {shape.pieces:,} pieces"
    if not shape.closed:
        holes = f"{shape.open_edges:,} edge{'s' * (shape.open_edges != 1)}"
        told = f"Open, {parts}: {holes} with a hole beside or faces that disagree; inside is where it winds round."
    elif shape.volume < 0:
        told = f"Closed, {parts}, but its faces look inwards: inside and outside are taken the other way round."
    else:
        told = f"Closed, {parts}, faces outwards."
    return shape, told
