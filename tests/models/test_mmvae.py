"""The mixture-of-experts VAE against brute force, and what missing values must not do."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import mmvae, registry
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.mmvae import MMVAE

IMAGE = Modality("image", "image", (1, 4, 4))
LABEL = Modality("digit", "label", (), categories=("a", "b", "c"))
NUMBER = Modality("age", "real", (1,), centre=(50.0,), spread=(10.0,))
ALL = (IMAGE, LABEL, NUMBER)
TINY = {"latent": 2, "hidden": 12, "network": "mlp", "dropout": 0.0}


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _model(modalities: tuple[Modality, ...] = ALL, seed: int = 1, **config: object) -> MMVAE:
    model = registry.build("mmvae", TINY | config, modalities, seed)
    assert isinstance(model, MMVAE)
    return model


def _views(n: int = 5) -> dict[str, Tensor]:
    return {
        "image": torch.rand(n, 1, 4, 4, generator=_seeded(1)),
        "digit": torch.randint(0, 3, (n,), generator=_seeded(2)),
        "age": 50.0 + 10.0 * torch.randn(n, 1, generator=_seeded(3)),
    }


def _lively(model: MMVAE) -> MMVAE:
    """Weights that make z matter and the prior's scales differ."""
    with torch.no_grad():
        for parameter in model.decoders.parameters():
            parameter.mul_(2.0)
        if model.config.prior == "learnt":
            model.prior.logits.copy_(torch.tensor([0.5, -0.3]))
    return model


def _gradients(model: MMVAE, views: dict[str, Tensor]) -> list[Tensor]:
    model.zero_grad()
    model.loss(views, _seeded(4))["loss"].sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("posterior", ["laplace", "gaussian"])
def test_the_likelihood_estimate_is_the_integral_over_the_latents(posterior: str) -> None:
    model = _lively(_model(posterior=posterior, scaling=True).double())
    views = {name: x.double() if x.is_floating_point() else x for name, x in _views(2).items()}
    axis = torch.linspace(-14.0, 14.0, 561, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        inside = model.prior_log_prob(z).unsqueeze(1).expand(-1, 2).clone()
        pictures = inside.clone()
        for name, p in model.generate(z).items():
            logs = torch.stack([p.log_prob(x.expand(len(z), *x.shape)) for x in views[name]], 1)
            inside += logs
            pictures += logs if name == "image" else 0.0
        for data, log_joint in ((views, inside), (views["image"], pictures)):
            exact = torch.logsumexp(log_joint, 0) + 2.0 * math.log(float(axis[1] - axis[0]))
            repeats = [model.log_prob_bound(data, 250, _seeded(seed)) for seed in range(40)]
            ratio = torch.exp(torch.stack(repeats) - exact)
            error = ratio.std(0) / math.sqrt(len(ratio))
            assert ((ratio.mean(0) - 1.0).abs() < 4.0 * error + 2e-4).all()
            assert (error < 0.05).all()
            assert (torch.stack([model.elbo(data, _seeded(s), 50) for s in range(20)]).mean(0) < exact).all()


def test_scaling_is_in_the_loss_and_nowhere_else() -> None:
    scaled, plain = _model(scaling=True), _model(scaling=False)
    assert scaled.factors() == {"image": 1.0, "digit": 16.0, "age": 16.0}
    one, other = (model.loss(_views(), _seeded()) for model in (scaled, plain))
    assert not torch.allclose(one.pop("loss"), other["loss"])
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    # For one draw and no scaling the objective is the evidence lower bound by the same draws.
    torch.testing.assert_close(-other["loss"], other["elbo"], rtol=1e-5, atol=1e-4)
    parts = [other[f"reconstruction:{name}"] for name in _views()]
    torch.testing.assert_close(torch.stack(parts).sum(0), other["reconstruction"])
    torch.testing.assert_close(other["kl_per_dim"].sum(-1), other["kl"])


@pytest.mark.parametrize("gradient", ["iwae", "dreg", "dreg-mixture"])
def test_slices_over_the_draws_change_neither_loss_nor_gradient(gradient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(samples=7, gradient=gradient)
    whole, gradients = model.loss(_views(), _seeded(4))["loss"], _gradients(model, _views())
    monkeypatch.setattr(mmvae, "VALUES", 3 * 5 * 18 * 2)  # two draws at a time
    torch.testing.assert_close(model.loss(_views(), _seeded(4))["loss"], whole)
    for sliced, at_once in zip(_gradients(model, _views()), gradients, strict=True):
        torch.testing.assert_close(sliced, at_once, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gradient", ["iwae", "dreg", "dreg-mixture"])
@pytest.mark.parametrize("bound", ["looser", "tight"])
def test_what_stands_in_a_missing_place_leaves_loss_and_gradient_as_they_are_bit_for_bit(
    gradient: str, bound: str
) -> None:
    model = _model(samples=3, gradient=gradient, bound=bound)
    found = []
    for mark, class_mark in ((math.nan, -1), (math.inf, -7), (-math.inf, -1)):
        views = _views()
        views["image"][1] = mark
        views["image"][2, 0, 1:3] = mark
        views["age"][1:3] = mark
        views["digit"][1], views["digit"][4] = class_mark, class_mark
        views["unheard of"] = torch.full((5,), mark)
        loss = model.loss(views, _seeded(4))["loss"]
        assert torch.isfinite(loss).all()
        found.append([loss.detach(), *_gradients(model, views)])
        assert all(torch.isfinite(g).all() for g in found[-1])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_row_without_a_modality_is_a_row_of_a_model_that_was_not_given_it() -> None:
    model = _model(samples=3)
    views = _views()
    marked = views | {"age": torch.full((5, 1), math.nan)}
    without = {name: views[name] for name in ("image", "digit")}
    one, other = (model.loss(data, _seeded(4)) for data in (marked, without))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-5)
    assert (one["reconstruction:age"] == 0.0).all()
    weights = model.infer(marked).log_weights.exp()
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0]]).expand(5, 3))


def test_nothing_given_is_the_prior() -> None:
    model = _lively(_model())
    nothing = {"image": torch.full((3, 1, 4, 4), math.nan), "digit": torch.full((3,), -1)}
    for q in (model.infer(nothing), model.infer({})):
        assert isinstance(q, Mixture)
        z = torch.randn(len(q.log_weights), 2, generator=_seeded())
        torch.testing.assert_close(q.log_prob(z), model.prior_log_prob(z))
        assert model.kl_per_dim(q, _seeded()).abs().max() < 1e-5


def test_the_kl_of_a_mixture_by_draws_sums_to_the_whole_and_of_one_expert_is_exact() -> None:
    model = _lively(_model())
    q = model.infer(_views())
    estimate = model.kl_per_dim(q, _seeded(), 20_000).sum(-1)
    z = q.sample(_seeded(1), 20_000)
    terms = q.log_prob(z) - model.prior_log_prob(z)
    assert ((estimate - terms.mean(0)).abs() < 6.0 * terms.std(0) / math.sqrt(20_000)).all()
    alone = model.experts(_views())["image"]
    draws = alone.sample(_seeded(2), 20_000)
    terms = alone.log_prob(draws) - model.prior_log_prob(draws)
    exact = model.kl_per_dim(alone, _seeded()).sum(-1)
    assert ((exact - terms.mean(0)).abs() < 4.0 * terms.std(0) / math.sqrt(20_000)).all()


@pytest.mark.parametrize("posterior", ["laplace", "gaussian"])
def test_products_of_whole_posteriors_are_refused_in_words(posterior: str) -> None:
    model = _model(posterior=posterior)
    assert [rule for rule, why in model.rules().items() if not why] == ["moe"]
    with pytest.raises(Problem):
        model.infer(_views(), Fusing("poe"))
    heavier = model.infer(_views(), Fusing(precision={"digit": 3.0})).log_weights.exp()
    torch.testing.assert_close(heavier[0], torch.tensor([0.2, 0.6, 0.2]))


def test_training_follows_what_is_edited_while_it_runs() -> None:
    model = _model()
    before = model.loss(_views(), _seeded())["loss"]
    model.config = dataclasses.replace(model.config, scaling=False)
    after = model.loss(_views(), _seeded())["loss"]
    assert not torch.allclose(before, after)


def test_a_few_steps_learn_to_cross_from_the_picture_to_the_label_and_back() -> None:
    generator = _seeded()
    pictures = torch.zeros(3, 1, 4, 4)
    for i in range(3):
        pictures[i, 0, i] = 1.0
    model = _model((IMAGE, LABEL), latent=2, hidden=32, scaling=True, scale=0.2)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(200):
        label = torch.randint(0, 3, (32,), generator=generator)
        noisy = (pictures[label] + 0.05 * torch.randn(32, 1, 4, 4, generator=generator)).clamp(0, 1)
        optimiser.zero_grad()
        model.loss({"image": noisy, "digit": label}, generator)["loss"].mean().backward()
        optimiser.step()
    with torch.no_grad():
        given = torch.arange(3).repeat(50)
        to_label = model.generate(model.infer({"image": pictures[given]}).sample(generator)[0])["digit"].mean
        drawn = model.generate(model.infer({"digit": given}).sample(generator)[0])["image"].mean
    assert (to_label.argmax(1) == given).float().mean() > 0.9
    nearest = torch.cdist(drawn.flatten(1), pictures.flatten(1)).argmin(1)
    assert (nearest == given).float().mean() > 0.9
