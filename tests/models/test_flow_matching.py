"""Flow matching: what a velocity says of data and noise, and which times are practised."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dgm_studio.core.cards import Modality
from dgm_studio.models import registry
from tests.models.test_ddpm import seeded, woken

POINTS = Modality("points", "points", (2,))
PICTURE = Modality("image", "image", (1, 8, 8))


def flow(modality: Modality, **config: Any) -> Any:
    return registry.build("flow-matching", registry.tiny("flow-matching") | config, (modality,))


@pytest.mark.parametrize("modality", [POINTS, PICTURE])
def test_an_estimate_is_where_the_line_along_the_velocity_begins_and_ends(modality: Modality) -> None:
    model = woken(flow(modality))
    x = torch.randn(4, *modality.shape, generator=seeded(), dtype=torch.float64)
    t = torch.tensor([0.0, 0.001, 0.5, 1.0], dtype=torch.float64)
    u, found = model.velocity(x, t), model.estimate(x, t)
    wide = t.view(4, *[1] * (x.ndim - 1))
    torch.testing.assert_close(found.noise - found.clean, u, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x - wide * u, found.clean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x + (1 - wide) * u, found.noise, rtol=1e-12, atol=1e-12)
    assert u.abs().max() > 0 and not flow(modality).velocity(x, t).any()


@pytest.mark.parametrize("modality", [POINTS, PICTURE])
def test_the_terms_are_the_errors_of_the_estimate(modality: Modality) -> None:
    model = woken(flow(modality))
    x = torch.rand(5, *modality.shape, generator=seeded(1))
    terms = model.loss(x, seeded(4))
    again = seeded(4)
    t = torch.rand(5, generator=again)
    eps = torch.randn(x.shape, generator=again)
    clean, wide = model.into(x), t.view(5, *[1] * (x.ndim - 1))
    noisy = (1 - wide) * clean + wide * eps
    found, u = model.estimate(noisy, t.double()), model.velocity(noisy, t.double())
    errors = {"loss": u - (eps - clean), "mse": found.noise - eps, "clean": found.clean - clean}
    for name, error in errors.items():
        torch.testing.assert_close(terms[name], error.square().flatten(1).mean(1), rtol=1e-3, atol=1e-5)


def test_an_untrained_model_misses_the_whole_velocity() -> None:
    x = torch.randn(20_000, 2, generator=seeded())
    loss = flow(POINTS).loss(x, seeded(1))["loss"].detach()
    assert float(loss.mean()) == pytest.approx(2.0, abs=5 * float(loss.std()) / 20_000**0.5)


@pytest.mark.parametrize(
    "config, middle, share", [({}, 0.5, 0.5), ({"times": "logit-normal", "time_mean": 1.0}, 0.731, 0.96)]
)
def test_times_are_drawn_as_the_settings_say(config: dict[str, Any], middle: float, share: float) -> None:
    terms = flow(POINTS, **config).loss(torch.randn(20_000, 2, generator=seeded()), seeded(1))
    t = 1.0 / (1.0 + (terms["mse"] / terms["clean"]).sqrt())
    assert float(t.median()) == pytest.approx(middle, abs=0.015)
    within = ((t > 0.25) & (t < 0.75 + (0.2 if config else 0.0))).double().mean()
    assert float(within) == pytest.approx(share, abs=0.025)
