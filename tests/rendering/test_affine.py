"""Enclosures hold every value, and networks that can be enclosed are extracted with certainty."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_studio.rendering.affine import ACTIVATIONS, Layer, LayeredField
from dgm_studio.rendering.culling import Grid
from dgm_studio.rendering.extraction import dense
from dgm_studio.rendering.field import Bounds, sampled_lipschitz
from tests.rendering.test_extraction import assert_same, extracted

SMOOTH = [name for name in ACTIVATIONS if name != "none"]


def network(activation: str, seed: int, width: int = 24, gain: float = 1.5, skip: bool = True) -> LayeredField:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * (gain / shape[-1] ** 0.5)

    return LayeredField(
        [
            Layer(draw(width, 3) * 2, draw(width), activation),
            Layer(draw(width, width), draw(width), activation, draw(width, 3) if skip else None),
            Layer(draw(1, width), draw(1), "none"),
        ]
    )


@pytest.mark.parametrize("activation", SMOOTH)
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), size=st.floats(1e-3, 1.0))
def test_an_enclosure_holds_every_value_in_its_box(activation: str, seed: int, size: float) -> None:
    field = network(activation, seed)
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(8, 3, generator=generator) * 2 - 1
    low, high = field.bounds(centre, torch.full((8,), size))
    inside = centre[:, None] + size * (torch.rand(8, 400, 3, generator=generator) * 2 - 1)
    values = field(inside.reshape(-1, 3)).reshape(8, 400)
    assert (values.amin(1) >= low).all() and (values.amax(1) <= high).all()


@pytest.mark.parametrize("activation", SMOOTH)
def test_enclosures_become_tight_as_boxes_become_small(activation: str) -> None:
    field = network(activation, 1)
    centre = torch.rand(64, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    widths = []
    for size in (0.01, 0.002):
        low, high = field.bounds(centre, torch.full((64,), size))
        x = centre.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(field(x).sum(), x)
        widths.append(float(((high - low) / (2 * size * gradient.abs().sum(1) + 1e-3)).median()))
    assert widths[1] < 1.3, "a small box is enclosed by little more than the gradient says"
    assert widths[1] <= widths[0] + 1e-3


@pytest.mark.parametrize("activation", ["relu", "softplus", "tanh"])
def test_the_surface_of_an_enclosed_network_is_certified_and_dense(activation: str) -> None:
    field = network(activation, 3, gain=1.8)
    assert isinstance(field, Bounds)
    shift = float(field(torch.zeros(1, 3)))
    last = field.layers[-1]
    field = LayeredField([*field.layers[:-1], Layer(last.weight, last.bias - shift, "none")])
    certainty = replace(sampled_lipschitz(field, -1, 1, torch.Generator().manual_seed(0)), enclose=True)
    surface = extracted(field, certainty, Grid(64))
    assert surface.certified and surface.boxes > 0 and len(surface.faces) > 500
    assert_same(surface, dense(field, certainty, Grid(64)))
