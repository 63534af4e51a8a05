"""Pictures show what a field is like, and come band by band."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgm_studio.rendering import solids
from dgm_studio.rendering.families import FAMILIES
from dgm_studio.rendering.field import EXACT, Certainty, Field, finished
from dgm_studio.rendering.shading import LOOKS, Look, Picture, curvature, gradients, lit, openness, pictured
from dgm_studio.rendering.tracing import Camera

ABOVE = Camera(elevation=1.2, view=0.0)


def picture(field: Field, look: Look, certainty: Certainty = EXACT, side: int = 64) -> np.ndarray:
    return finished(pictured(field, certainty, ABOVE, side, side, look)).pixels


@pytest.mark.parametrize("kind", LOOKS)
def test_every_look_shows_the_shape_on_its_background(kind: str) -> None:
    seen = picture(solids.sphere(0.6), Look(kind, background=(10, 20, 30)))
    assert (seen[0, 0] == (10, 20, 30)).all() and seen[32, 32].astype(int).sum() > 150
    shown = (seen != (10, 20, 30)).any(2).sum()
    half = ABOVE.distance * np.tan(0.36)  # of the picture, in space
    assert shown == pytest.approx(np.pi * (0.6 / (2 * half) * 64) ** 2, rel=0.08)


def test_curvature_of_balls_and_of_what_is_no_distance_is_the_closed_form_one() -> None:
    x = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for radius, steep in ((0.5, 1.0), (0.8, 3.0)):
        ball = solids.sphere(radius)
        field = lambda y, b=ball, s=steep: s * b(y)  # noqa: E731
        points = radius * x
        told = finished(curvature(field, points, finished(gradients(field, points))))
        assert torch.allclose(told, torch.full((500,), 1 / radius), rtol=0.05)


def test_eikonal_error_is_grey_where_there_is_none_and_red_where_a_field_is_too_steep() -> None:
    true = picture(solids.sphere(0.6), Look("eikonal", full=1.0))[32, 32].astype(int)
    steep = picture(lambda x: 2 * solids.sphere(0.6)(x), Look("eikonal", full=1.0), Certainty(2.0, True))[32, 32]
    assert np.ptp(true) < 6 and int(steep[0]) > 1.5 * int(steep[2])


def test_a_shadow_falls_where_the_lamp_is_hidden_and_softly_at_its_edge() -> None:
    both = solids.union(solids.box((0.9, 0.9, 0.05)), solids.sphere(0.25, (0.0, 0.0, 0.6)))
    x = torch.stack([torch.linspace(-0.85, 0.85, 200), torch.zeros(200), torch.full((200,), 0.05)], 1)
    up = torch.tensor([0.0, 0.0, 1.0])
    told = finished(lit(both, EXACT, x, up.expand(200, 3), up, 0.0))
    assert told[x[:, 0].abs() < 0.2].max() < 0.02 and told[x[:, 0].abs() > 0.6].min() > 0.98
    assert ((told > 0.1) & (told < 0.9)).any()


def test_a_hollow_sees_less_of_the_sky_than_a_plain() -> None:
    corner = solids.union(solids.box((0.9, 0.9, 0.05)), solids.box((0.05, 0.9, 0.4), (0.0, 0.0, 0.4)))
    x = torch.tensor([[0.06, 0.0, 0.05], [0.7, 0.0, 0.05]])
    near, far = finished(openness(corner, EXACT, x, torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3), 0.0)).tolist()
    assert near < 0.75 and far > 0.99


def test_normals_of_a_turned_solid_are_no_noise() -> None:
    family = FAMILIES["rocket"]
    seen = picture(family.solid([0.5 * (p.low + p.high) for p in family.parameters]), Look("normals")).astype(int)
    body = seen[28:36, 30:34]
    assert np.abs(np.diff(body, axis=0)).max() < 40


def test_a_picture_grows_from_the_top_and_ends_as_it_was_shown() -> None:
    steps = pictured(solids.torus(0.6, 0.2), EXACT, ABOVE, 96, 96)
    told = [some for some in steps if isinstance(some, Picture)]
    rows = [some.rows for some in told]
    assert len(rows) >= 3 and rows == sorted(rows) and rows[-1] == 96
    assert np.array_equal(told[-1].pixels, finished(pictured(solids.torus(0.6, 0.2), EXACT, ABOVE, 96, 96)).pixels)
    assert (told[0].pixels[rows[0] :] == 255).all()


def test_a_look_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="plastic"):
        finished(pictured(solids.sphere(0.5), EXACT, ABOVE, 8, 8, Look("plastic")))
