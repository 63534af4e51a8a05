"""Rays end on the surface, and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dgm_studio.rendering import solids
from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.field import EXACT, Certainty, Field
from dgm_studio.rendering.measures import chamfer, drawn, measured
from dgm_studio.rendering.tracing import Camera, Hits, normals, trace
from tests.rendering.test_extraction import CARVED, extracted


def traced(field: Field, camera: Camera, side: int = 96, certainty: Certainty = EXACT, **options: float) -> Hits:
    steps = trace(field, certainty, *camera.rays(side, side), **options)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            hits: Hits = finished.value
            return hits


@pytest.mark.parametrize("camera", [Camera(), Camera(azimuth=2.0, elevation=-0.6), Camera(view=0.0)])
def test_depths_on_a_sphere_are_the_analytic_ones_and_no_silhouette_pixel_is_wrong(camera: Camera) -> None:
    radius, side = 0.7, 160
    origins, directions = camera.rays(side, side)
    hits = traced(solids.sphere(radius), camera, side)
    along = -(origins * directions).sum(1)
    nearest = (origins + along[:, None] * directions).norm(dim=1)
    truth = along - (radius**2 - nearest**2).clamp(min=0).sqrt()
    edge = (nearest - radius).abs() < 1e-3
    assert torch.equal(hits.hit[~edge], (nearest < radius)[~edge])
    both = hits.hit & (nearest < radius)
    slant = (directions * (origins + truth[:, None] * directions)).sum(1).abs() / radius
    error = (hits.depth - truth).abs()[both & (slant > 0.1)]
    assert float(error.max()) < 1e-5 and hits.evaluations < 30 * side**2


def test_a_steep_field_and_a_saturated_one_are_traced_too() -> None:
    sphere = solids.sphere(0.6)
    reference = traced(sphere, Camera())
    steep = traced(lambda x: 3 * sphere(x), Camera(), certainty=Certainty(3.0, True))
    clamped = traced(lambda x: sphere(x).clamp(-0.1, 0.1), Camera(), longest=0.1)
    for other in (steep, clamped):
        assert torch.equal(other.hit, reference.hit)
        assert float((other.depth - reference.depth)[reference.hit].abs().max()) < 2e-3


def test_hits_lie_on_the_mesh_of_the_same_field() -> None:
    camera = Camera()
    origins, directions = camera.rays(80, 80)
    hits = traced(CARVED, camera, 80)
    points = (origins + hits.depth[:, None] * directions)[hits.hit].numpy()
    surface = extracted(CARVED, EXACT, Grid(128))
    cloud = drawn(surface.vertices, surface.faces, 200_000, np.random.default_rng(0))
    from scipy.spatial import cKDTree

    distances, _ = cKDTree(cloud).query(points)
    assert distances.max() < 2 * Grid(128).step


def test_normals_point_outwards() -> None:
    x = torch.nn.functional.normalize(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), dim=1) * 0.7
    assert torch.allclose(normals(solids.sphere(0.7), x), x / 0.7, atol=1e-5)


def test_closed_and_open_surfaces_are_told_apart() -> None:
    ball = extracted(solids.torus(0.6, 0.2), EXACT, Grid(64))
    shape = measured(ball.vertices, ball.faces)
    assert shape.closed and shape.pieces == 1 and shape.open_edges == 0
    assert shape.volume == pytest.approx(2 * math.pi**2 * 0.6 * 0.2**2, rel=0.01)
    assert shape.area == pytest.approx(4 * math.pi**2 * 0.6 * 0.2, rel=0.01)
    torn = measured(ball.vertices, ball.faces[1:])
    assert not torn.closed and torn.open_edges == 3 and math.isnan(torn.volume)
    two = extracted(solids.union(solids.sphere(0.2, (0.5, 0, 0)), solids.sphere(0.2, (-0.5, 0, 0))), EXACT, Grid(32))
    assert measured(two.vertices, two.faces).pieces == 2


def test_two_samplings_of_one_surface_are_as_far_apart_as_chance_says() -> None:
    ball = extracted(solids.sphere(0.7), EXACT, Grid(64))
    rng = np.random.default_rng(0)
    count = 20_000
    floor = chamfer(drawn(ball.vertices, ball.faces, count, rng), drawn(ball.vertices, ball.faces, count, rng))
    # of a Poisson process of density rho in the plane the mean squared distance to the nearest is 1 / (pi rho)
    expected = 2 / (math.pi * count / (4 * math.pi * 0.49))
    assert floor == pytest.approx(expected, rel=0.05)
