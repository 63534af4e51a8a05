"""A mesh on disk is the mesh in memory, and what it costs is known before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dgm_studio.core.updates import Problem
from dgm_studio.rendering import solids
from dgm_studio.rendering.costs import predicted, probed
from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.field import EXACT, Certainty, Field, finished, sampled_lipschitz
from dgm_studio.rendering.measures import measured
from dgm_studio.rendering.streaming import FACE, ply_bytes, stream
from tests.rendering.test_affine import network
from tests.rendering.test_extraction import CARVED, extracted


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    head, body = path.read_bytes().split(b"end_header\n", 1)
    counts = [int(line.split()[2]) for line in head.decode().splitlines() if line.startswith("element")]
    vertices = np.frombuffer(body, "<f4", 3 * counts[0]).reshape(-1, 3)
    faces = np.frombuffer(body, FACE, counts[1], offset=12 * counts[0])
    assert len(body) == ply_bytes(*counts) and (faces["count"] == 3).all()
    return vertices, faces["corners"].astype(np.int64)


def test_bricks_on_disk_are_the_surface_in_memory(tmp_path: Path) -> None:
    told = finished(stream(CARVED, EXACT, Grid(160), tmp_path / "carved.ply"))
    vertices, faces = read(told.path)
    surface = extracted(CARVED, EXACT, Grid(160))
    assert np.array_equal(vertices, surface.vertices.astype(np.float32)) and np.array_equal(faces, surface.faces)
    assert told.bytes == told.path.stat().st_size and told.certified
    assert measured(vertices, faces).closed and list(tmp_path.iterdir()) == [told.path]


def test_stopping_leaves_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "old.ply"
    path.write_text("old")
    steps = stream(CARVED, EXACT, Grid(128), path)
    for done, _ in steps:
        if done >= 2:
            break
    assert len(list(tmp_path.iterdir())) == 2, "it grows beside"
    steps.close()
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


def test_a_failed_audit_begins_the_file_again(tmp_path: Path) -> None:
    hidden = solids.union(solids.sphere(0.3, (-0.5, -0.5, -0.5)), solids.sphere(0.25, (0.5, 0.5, 0.5)))
    steep = lambda x: 4 * hidden(x)  # noqa: E731
    vertices, faces = read(finished(stream(steep, Certainty(1.0, False), Grid(64), tmp_path / "a.ply")).path)
    assert measured(vertices, faces).pieces == 2 and measured(vertices, faces).closed


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"could not be written to a\.ply"):
        finished(stream(CARVED, EXACT, Grid(16), tmp_path / "missing" / "a.ply"))


FIELDS: dict[str, Field] = {
    "carved": CARVED,
    "torus": solids.torus(0.6, 0.2),
    "thin": solids.union(solids.box((0.7, 0.7, 0.04)), solids.sphere(0.05, (0.6, 0.6, 0.6))),
    "network": network("tanh", 3, gain=1.8),
}


@pytest.mark.parametrize("name", FIELDS)
def test_points_faces_and_bytes_are_known_before(name: str, tmp_path: Path) -> None:
    field = FIELDS[name]
    certainty = EXACT
    if name == "network":
        certainty = sampled_lipschitz(field, -1, 1, torch.Generator().manual_seed(0))
    half, full, rate = finished(probed(field, certainty, Grid(16)))
    for cells in (128, 256):
        said = predicted(half, full, rate, cells)
        real = finished(stream(field, certainty, Grid(cells), tmp_path / "x.ply"))
        assert said.evaluations == pytest.approx(real.evaluations, rel=0.3)
        assert said.faces == pytest.approx(real.faces, rel=0.15)
        assert said.disk == pytest.approx(real.bytes, rel=0.15)
        assert said.seconds > rate.point * said.evaluations > 0
