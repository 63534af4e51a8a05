"""EDM: the preconditioning against what it is derived from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dgm_studio.core.cards import Modality
from dgm_studio.core.updates import Problem
from dgm_studio.data import registry as data
from dgm_studio.models import registry
from tests.models.test_ddpm import seeded, woken

POINTS = Modality("points", "points", (2,))
PICTURE = Modality("image", "image", (1, 8, 8))


def edm(modality: Modality, **config: Any) -> Any:
    return registry.build("edm", registry.tiny("edm") | config, (modality,))


def test_inputs_and_targets_have_unit_size_and_every_level_the_same_weight() -> None:
    model = edm(PICTURE)
    sigma = torch.logspace(-2, 2, 30, dtype=torch.float64)
    skip, out, into, weight = model.preconditioning(sigma)
    variance, ones = 0.25, torch.ones(30, dtype=torch.float64)
    torch.testing.assert_close(into**2 * (variance + sigma**2), ones)  # equation 114: Var(c_in x) = 1
    target = ((1 - skip) ** 2 * variance + skip**2 * sigma**2) / out**2
    torch.testing.assert_close(target, ones)  # Var((x_0 - c_skip x) / c_out) = 1
    torch.testing.assert_close(weight * out**2, ones)
    nudged = (1 - skip - 1e-3) ** 2 * variance + (skip + 1e-3) ** 2 * sigma**2
    assert (nudged > out**2).all()  # c_skip makes c_out as small as it can be


@pytest.mark.parametrize("modality, std", [(PICTURE, 0.5), (POINTS, 1.0)])
def test_an_untrained_model_is_the_exact_denoiser_of_gaussian_data(modality: Modality, std: float) -> None:
    model = edm(modality)
    x = torch.randn(3, *modality.shape, generator=seeded(), dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.7, 30.0], dtype=torch.float64)
    found = model.estimate(x, sigma)
    wide = sigma.view(3, *[1] * (x.ndim - 1))
    torch.testing.assert_close(found.clean, std**2 / (std**2 + wide**2) * x)
    torch.testing.assert_close(found.noise, wide / (std**2 + wide**2) * x)


def test_its_loss_begins_at_one_where_the_data_have_the_size_it_expects() -> None:
    x = torch.randn(20_000, 2, generator=seeded())
    loss = edm(POINTS).loss(x, seeded(1))["loss"].detach()
    assert float(loss.mean()) == pytest.approx(1.0, abs=5 * float(loss.std()) / 20_000**0.5)


@pytest.mark.parametrize("modality", [POINTS, PICTURE])
def test_the_terms_are_the_errors_of_the_estimate(modality: Modality) -> None:
    model = woken(edm(modality))
    x = torch.rand(5, *modality.shape, generator=seeded(1))
    terms = model.loss(x, seeded(4))
    again = seeded(4)
    sigma = (-1.2 + 1.2 * torch.randn(5, generator=again)).exp()
    eps = torch.randn(x.shape, generator=again)
    clean, wide = model.into(x), sigma.view(5, *[1] * (x.ndim - 1))
    found = model.estimate(clean + wide * eps, sigma.double())
    error = (found.clean - clean).square().flatten(1).mean(1)
    torch.testing.assert_close(terms["clean"], error, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(terms["mse"], (found.noise - eps).square().flatten(1).mean(1), rtol=1e-3, atol=1e-4)
    std = model.data_std
    torch.testing.assert_close(terms["loss"], (sigma**2 + std**2) / (sigma * std) ** 2 * error, rtol=1e-3, atol=1e-4)


def test_levels_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(Problem):
        edm(POINTS, sigma_min=1.0, sigma_max=1.0)


def test_points_of_a_toy_come_as_views_by_their_name() -> None:
    toy = data.load("moons")
    model = registry.build("edm", registry.tiny("edm"), toy.card.modalities)
    assert model.conditions() == () and model.support() is None and model.clip() == "none"
    batch = toy.split("train").views(torch.arange(8))
    assert torch.equal(model.loss(batch, seeded())["loss"], model.loss(batch["points"], seeded())["loss"])
