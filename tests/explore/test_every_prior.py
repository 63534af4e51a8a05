"""Every question about latents, answered for every prior, likelihood and network that a VAE can have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.core.cards import ModelCard
from dgm_studio.core.requests import (
    DecodeLatent,
    DecodeTiles,
    DescribeLatents,
    DrawDensity,
    EncodePicture,
    FindNeighbours,
    FollowPath,
    Reconstruct,
    SamplePrior,
    TraverseLatents,
)
from dgm_studio.core.updates import Problem
from dgm_studio.data import registry as data
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models import registry

from .conftest import frame

CHOICES = {f.name: f.choices for f in registry.systems()["vae"].fields}
ORIGIN, U, V = (0.1, 0.2, -0.3), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
KEY = "run:/tmp/none/every"


def _cases() -> Iterator[tuple[str, dict[str, str]]]:
    for prior, likelihood, network in itertools.product(CHOICES["prior"], CHOICES["likelihood"], CHOICES["network"]):
        for name in ("digits8", "moons"):
            config = {"prior": prior, "likelihood": likelihood, "network": network}
            try:
                registry.build("vae", registry.tiny("vae") | config, data.card(name).modalities)
            except Problem:  # a combination that is refused in words
                continue
            yield name, config


CASES = list(_cases())


def _adopted(name: str, config: dict[str, str]) -> tuple[Workbench, Any]:
    card, settings = data.card(name), registry.tiny("vae") | config
    model = registry.build("vae", settings, card.modalities, seed=4)
    with torch.no_grad():  # a prior that is no longer where it began
        for parameter in model.prior.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)))
    bench = Workbench(torch.device("cpu"))
    system = registry.systems()["vae"]
    bench.adopt(
        model,
        ModelCard(
            KEY,
            "every",
            "vae",
            "Every",
            system.capabilities,
            system.chosen(card.modalities),
            card.factors,
            3,
            data=name,
        ),
    )
    return bench, model


@pytest.mark.parametrize(("name", "config"), CASES, ids=["-".join([n, *c.values()]) for n, c in CASES])
def test_every_question_about_latents_is_answered_with_finite_figures(name: str, config: dict[str, str]) -> None:
    bench, model = _adopted(name, config)
    pictures = name == "digits8"
    shown = "pictures" if pictures else "points"
    described = frame(bench.answer(DescribeLatents(KEY, "valid", 24)), "latents")
    assert np.isfinite(described["kl"]).all() and described["points"].shape == (24, 3)
    decoded = frame(bench.answer(DecodeLatent(KEY, ORIGIN)), "decoded")
    assert decoded["log_prior"] == pytest.approx(model.prior_log_prob(torch.tensor([ORIGIN])).item(), abs=1e-4)
    density = frame(bench.answer(DrawDensity(KEY, ORIGIN, U, V, -6.0, 6.0, -6.0, 6.0, 24, "valid", 24)), "density")
    at = density["prior"][-1, 0]  # upper left corner of the grid
    corner = torch.tensor(ORIGIN) + density["x"][0] * torch.tensor(U) + density["y"][-1] * torch.tensor(V)
    assert at == pytest.approx(model.prior_log_prob(corner[None].float()).item(), abs=1e-3)
    assert np.isfinite(density["posterior"]).all()
    assert {c["kind"] for c in density["contours"]} == {"prior", "posterior"}
    for kind in ("linear", "spherical", "geodesic"):
        path = frame(bench.answer(FollowPath(KEY, (ORIGIN, (1.0, -1.0, 0.5)), kind, 6)), "path")
        assert np.isfinite(path["length"]).all() and np.isfinite(path["log_prior"]).all()
        assert np.allclose(path["z"][[0, -1]], [ORIGIN, (1.0, -1.0, 0.5)], atol=1e-5)
    samples = frame(bench.answer(SamplePrior(KEY, 5, 1, 0.7)), "samples")
    assert samples[shown].shape[0] == 5 and np.isfinite(samples["z"]).all()
    rebuilt = frame(bench.answer(Reconstruct(KEY, "test", 3)), "reconstructions")
    assert np.isfinite(rebuilt["bound"]).all()
    near = frame(bench.answer(FindNeighbours(KEY, ORIGIN, 3)), "neighbours")
    assert (np.diff(near["distances"]) >= 0).all()
    if pictures:
        encoded = frame(bench.answer(EncodePicture(KEY, index=3)), "posterior")
        assert encoded["kl"] == pytest.approx(float(np.sum(encoded["kl_per_dim"])), abs=1e-3)
        tiles = [
            u for u in bench.answer(DecodeTiles(KEY, ORIGIN, U, V, 0, ((0, 0), (-1, 1)), 2)) if hasattr(u, "topic")
        ]
        assert {u.topic for u in tiles} == {"tile/0/0/0", "tile/0/-1/1"}
        strips = frame(bench.answer(TraverseLatents(KEY, ORIGIN, (U,), ("z00",), 2.0, 5)), "traversals")
        assert strips["pictures"].shape == (1, 5, 8, 8)


@pytest.mark.parametrize("prior", CHOICES["prior"])
def test_truncation_scales_the_spread_of_every_prior_and_at_full_size_it_is_the_prior_itself(prior: str) -> None:
    bench, model = _adopted("moons", {"prior": prior, "network": "mlp", "likelihood": "gaussian"})
    std = model.prior_std().detach().numpy()

    def spread(truncation: float) -> Any:
        return frame(bench.answer(SamplePrior(KEY, 4000, 2, truncation)), "samples")["z"].std(0)

    assert np.allclose(spread(1.0), std, rtol=0.06)
    assert (spread(0.5) < spread(1.0)).all() and (spread(0.0) <= spread(0.5)).all()
    exact = model.latent_prior().std().detach().numpy()
    assert np.allclose(std, exact)
