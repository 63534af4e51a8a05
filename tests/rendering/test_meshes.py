"""Meshes come in and go out as they are, broken ones are refused in words, and distances to them are the true ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from dgm_studio.core.updates import Problem
from dgm_studio.rendering import solids
from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.distances import Nearest, Winding, sampled, signed, solid_angles
from dgm_studio.rendering.extraction import dense
from dgm_studio.rendering.field import EXACT, Field, finished, values
from dgm_studio.rendering.meshes import FORMATS, Mesh, checked, normalised, read_mesh, report, write_mesh


def of(field: Field, cells: int = 48) -> Mesh:
    surface = dense(field, EXACT, Grid(cells))
    return checked("mesh", surface.vertices, surface.faces)


def cube(half: float = 0.5) -> Mesh:
    corners = half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return checked("cube", corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_mesh_goes_through_a_file_unchanged(kind: str, tmp_path: Path) -> None:
    torus = of(solids.torus(0.6, 0.2), 24)
    write_mesh(tmp_path / f"torus{kind}", torus.vertices, torus.faces)
    back = read_mesh(tmp_path / f"torus{kind}")
    assert len(back.vertices) == len(torus.vertices) and len(back.faces) == len(torus.faces)
    one, other = report(torus)[0], report(back)[0]
    assert other.closed and other.pieces == 1 and other.volume == pytest.approx(one.volume, rel=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == [f"torus{kind}"]


def glb(tree: dict[str, object]) -> bytes:
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    return b"glTF" + struct.pack("<II", 2, 20 + len(text)) + struct.pack("<I", len(text)) + b"JSON" + text


BROKEN = {
    "empty.obj": (b"", "empty"),
    "noise.stl": (bytes(range(256)) * 3, "broken"),
    "noise.glb": (b"glTF" + bytes(40), "broken"),
    "points.obj": (b"v 0 0 0\nv 1 0 0\n", "no triangles|broken"),
    "nan.obj": (b"v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", "nowhere|broken"),
    "beyond.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "broken"),
    "line.obj": (b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "without area"),
    "huge.ply": (b"ply\nformat ascii 1.0\nelement vertex 9\nelement face 99000000\nend_header\n", "too large"),
    "huge.glb": (glb({"asset": {"version": "2.0"}, "accessors": [{"count": 10**9}]}), "too large"),
    "mesh.fbx": (b"x", "no mesh that can be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_mesh_is_refused_in_words(name: str, tmp_path: Path) -> None:
    body, said = BROKEN[name]
    (tmp_path / name).write_bytes(body)
    with pytest.raises(Problem, match=said) as told:
        read_mesh(tmp_path / name)
    assert name in told.value.sentence and told.value.action


def test_a_glb_that_names_a_file_elsewhere_is_refused_and_not_followed(tmp_path: Path) -> None:
    tree = {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": "http://example.invalid/x.bin", "byteLength": 36}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
    }
    (tmp_path / "away.glb").write_bytes(glb(tree))
    with pytest.raises(Problem, match="broken"):
        read_mesh(tmp_path / "away.glb")


def test_faces_without_area_are_left_out_and_counted() -> None:
    box = cube()
    more = checked("m", box.vertices, np.concatenate([box.faces, [[0, 0, 1]]]))
    assert more.dropped == 1 and len(more.faces) == 12 and report(more)[0].volume == pytest.approx(1.0)


def test_a_report_says_what_is_open_and_what_looks_inwards() -> None:
    box = cube()
    assert report(box)[1] == "Closed, in one piece, faces outwards."
    assert "inwards" in report(Mesh(box.vertices, box.faces[:, ::-1]))[1]
    assert "3 edges with a hole" in report(Mesh(box.vertices, box.faces[1:]))[1]


def test_a_normalised_mesh_fills_the_sphere() -> None:
    mesh, centre, factor = normalised(Mesh(cube().vertices * 7 + (1, 2, 3), cube().faces))
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1 / 1.03)
    assert np.allclose(centre, (1, 2, 3)) and factor == pytest.approx(1 / 1.03 / (3.5 * 3**0.5))


def test_distances_to_a_cube_are_the_closed_form_ones() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
    told, times = finished(signed(cube(), x))
    inwards, _ = finished(signed(Mesh(cube().vertices, cube().faces[:, ::-1]), x))
    assert np.array_equal(told, inwards)
    truth = solids.box((0.5, 0.5, 0.5))(torch.from_numpy(x)).numpy()
    assert np.abs(told - truth).max() < 1e-12
    assert np.abs(times - (truth < 0)).max() < 0.1


@pytest.mark.parametrize("name", ["sphere", "torus"])
def test_distances_to_fine_meshes_differ_from_the_smooth_solids_by_the_meshes_own_error(name: str) -> None:
    field = {"sphere": solids.sphere(0.7), "torus": solids.torus(0.6, 0.2)}[name]
    x = np.random.default_rng(0).uniform(-1, 1, (3000, 3))
    x[0] = 0.0  # as far from everything as can be
    told, _ = finished(signed(of(field), x))
    truth = values(field, torch.from_numpy(x).float()).numpy()
    assert np.abs(told - truth).max() < 2.5e-3
    clear = np.abs(truth) > 2e-3
    assert (np.sign(told) == np.sign(truth))[clear].all()


def test_groups_of_far_triangles_wind_as_their_members_do() -> None:
    torus = of(solids.torus(0.6, 0.2), 24)
    x = np.random.default_rng(1).uniform(-1, 1, (300, 3))
    corners = torus.vertices[torus.faces]
    exact = [solid_angles(np.repeat(p[None], len(corners), 0), corners).sum() / (4 * np.pi) for p in x]
    assert np.abs(finished(Winding(torus).grown())(x) - exact).max() < 0.05


def test_a_mesh_with_holes_still_has_an_inside() -> None:
    ball = of(solids.sphere(0.7), 32)
    keep = np.random.default_rng(0).random(len(ball.faces)) > 0.1
    told = finished(sampled(Mesh(ball.vertices, ball.faces[keep]), 3000, np.random.default_rng(0)))
    truth = np.linalg.norm(told.points, axis=1) - 0.7
    clear = np.abs(truth) > 0.05
    assert (np.sign(told.distances) == np.sign(truth))[clear].mean() > 0.999
    assert told.unsure > 0


def test_samples_are_where_deep_sdf_wants_them() -> None:
    told = finished(sampled(cube(0.4), 5000, np.random.default_rng(0)))
    near = np.abs(told.distances[:4700])
    assert told.points.shape == (5000, 3) and 0.02 < near.mean() < 0.06
    assert (told.distances < 0).mean() > 0.3 and np.abs(told.points[4700:]).max() <= 1
    again = finished(sampled(cube(0.4), 5000, np.random.default_rng(0)))
    assert np.array_equal(told.points, again.points)


def test_the_nearest_of_many_pieces_is_found_for_slivers_too() -> None:
    sliver = Mesh(np.array([[-1.0, 0, 0], [1, 0, 0], [1, 0.001, 0], [0.3, 0.4, 0.5]]), np.array([[0, 1, 2], [0, 2, 3]]))
    x = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    share = np.clip((x[:, 0] + 1) / 2, 0, 1)
    edge = np.linalg.norm(x - np.stack([2 * share - 1, 0 * share, 0 * share], 1), axis=1)
    assert (Nearest(sliver)(x) <= edge + 1e-12).all()
