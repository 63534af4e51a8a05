"""What every registered system promises, checked for every kind of data and every choice of its settings."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Capability, Modality
from dgm_studio.core.updates import Problem
from dgm_studio.models import registry

EXAMPLES = {
    "image": ((1, 8, 8), (3, 9, 13)),
    "points": ((2,),),
}
N = 6


def _cases() -> list[tuple[str, Modality, dict[str, object]]]:
    """Every system with its tiny settings, then with every other choice of one setting at a time."""
    cases = []
    for name, card in registry.systems().items():
        changes: list[dict[str, object]] = [{}]
        changes += [{f.name: c} for f in card.fields for c in f.choices if c != f.default]
        for kind in card.modality_kinds:
            for shape in EXAMPLES[kind]:
                cases += [(name, Modality(kind, kind, shape), change) for change in changes]
    return [case for case in cases if not _refused(*case)]


def _refused(name: str, modality: Modality, change: dict[str, object]) -> bool:
    try:
        _build(name, modality, change)
    except Problem:
        return True
    return False


def _build(name: str, modality: Modality, change: dict[str, object], seed: int = 0) -> nn.Module:
    return registry.build(name, registry.tiny(name) | change, (modality,), seed)


def _name(case: tuple[str, Modality, dict[str, object]]) -> str:
    name, modality, change = case
    return "-".join([name, *map(str, modality.shape), *(f"{k}={v}" for k, v in change.items())])


def _batch(modality: Modality, n: int = N) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if modality.kind == "points":
        return torch.randn(n, *modality.shape, generator=generator)
    return (torch.rand(n, *modality.shape, generator=generator) * 255).round() / 255


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CASES = _cases()
each_case = pytest.mark.parametrize("case", CASES, ids=map(_name, CASES))


@each_case
def test_terms_are_finite_per_example_and_reach_every_parameter(case) -> None:
    model = _build(*case)
    terms = model.loss(_batch(case[1]), _seeded(0), step=10)
    for key, value in terms.items():
        assert value.shape[0] == N and torch.isfinite(value).all(), key
        assert key.endswith("_per_dim") or value.shape == (N,), key
    terms["loss"].mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, f"{key} is never trained"


@each_case
def test_loss_falls_on_one_batch(case) -> None:
    model, batch = _build(*case), _batch(case[1])
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)

    def mean_loss() -> float:
        with torch.no_grad():
            return float(
                torch.stack([model.loss(batch, _seeded(s), step=10**6)["loss"].mean() for s in range(20)]).mean()
            )

    before = mean_loss()
    for step in range(40):
        optimiser.zero_grad()
        model.loss(batch, _seeded(step), step=10**6)["loss"].mean().backward()
        optimiser.step()
    assert mean_loss() < before - 0.02 * abs(before)


@each_case
def test_examples_do_not_influence_one_another(case) -> None:
    model, batch = _build(*case), _batch(case[1])
    other = batch.clone()
    other[1:] = 1.0 - other[1:]
    one, two = (model.loss(x, _seeded(5))["loss"] for x in (batch, other))
    torch.testing.assert_close(one[0], two[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(one[1:], two[1:])


@each_case
def test_a_seed_fixes_the_loss_and_the_weights(case) -> None:
    one, two, third = _build(*case, 1), _build(*case, 1), _build(*case, 2)
    batch = _batch(case[1])
    same = [m.loss(batch, _seeded(0))["loss"] for m in (one, two)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], third.loss(batch, _seeded(0))["loss"])
    assert not torch.equal(same[0], one.loss(batch, _seeded(1))["loss"])


@each_case
def test_what_is_saved_is_what_is_loaded(case) -> None:
    saved, loaded = _build(*case, 1), _build(*case, 2)
    loaded.load_state_dict({k: v.clone() for k, v in saved.state_dict().items()})
    batch = _batch(case[1])
    for key, value in saved.loss(batch, _seeded(0)).items():
        assert torch.equal(value, loaded.loss(batch, _seeded(0))[key]), key


@each_case
def test_evaluation_mode_still_samples(case) -> None:
    model, batch = _build(*case).eval(), _batch(case[1])
    losses = [model.loss(batch, _seeded(seed))["loss"] for seed in (0, 1)]
    assert not torch.equal(*losses)
    assert torch.equal(losses[0], model.train().loss(batch, _seeded(0))["loss"])


@each_case
def test_every_claimed_capability_works_on_the_claimed_shapes(case) -> None:
    model, batch = _build(*case), _batch(case[1])
    claimed = registry.systems()[case[0]].capabilities
    assert claimed
    with torch.no_grad():
        for capability in claimed:
            CHECKS[capability](model, batch)


def _encodes(model: nn.Module, x: Tensor) -> None:
    q = model.encode(x)
    assert q.mean.shape == q.std.shape == q.kl_per_dim().shape == (N, model.latent)
    assert (q.std > 0).all()
    z = q.sample(_seeded(0), 4)
    assert z.shape == (4, N, model.latent) and q.log_prob(z).shape == (4, N)
    assert torch.equal(z, q.sample(_seeded(0), 4)) and not torch.equal(z, q.sample(_seeded(1), 4))


def _decodes(model: nn.Module, x: Tensor) -> None:
    z = torch.randn(N, model.latent, generator=_seeded(1))
    p = model.decode(z)
    assert p.mean.shape == x.shape and p.log_prob(x).shape == (N,)
    bounded = len(x.shape) == 4 and getattr(model.config, "network", "linear") != "linear"  # a linear map has no bounds
    assert not bounded or ((p.mean >= 0).all() and (p.mean <= 1).all())
    drawn = p.sample(_seeded(0))
    assert drawn.shape == x.shape
    assert torch.equal(drawn, p.sample(_seeded(0))) and not torch.equal(drawn, p.sample(_seeded(1)))
    assert torch.isfinite(p.log_prob(drawn)).all()
    alone = model.decode(z[:1]).mean
    torch.testing.assert_close(alone, p.mean[:1], rtol=1e-4, atol=1e-5)


def _samples(model: nn.Module, x: Tensor) -> None:
    z = model.sample_latent(5, _seeded(0))
    assert z.shape == (5, model.latent) and model.prior_log_prob(z).shape == (5,)
    assert torch.equal(z, model.sample_latent(5, _seeded(0)))
    assert model.prior_log_prob(z.expand(3, 5, model.latent)).shape == (3, 5)
    assert model.prior_std().shape == (model.latent,) and (model.prior_std() > 0).all()
    wide, narrow = (model.sample_latent(2000, _seeded(1), temperature=t).std(0).mean() for t in (1.0, 0.1))
    assert narrow < wide


def _scores(model: nn.Module, x: Tensor) -> None:
    assert model.elbo(x, _seeded(0)).shape == model.log_prob_bound(x, 3, _seeded(0)).shape == (N,)
    assert torch.equal(model.elbo(x, _seeded(0), 2), model.elbo(x, _seeded(0), 2))
    assert not torch.equal(model.log_prob_bound(x, 3, _seeded(0)), model.log_prob_bound(x, 3, _seeded(1)))


CHECKS = {
    Capability.ENCODES: _encodes,
    Capability.DECODES: _decodes,
    Capability.SAMPLES: _samples,
    Capability.SCORES: _scores,
}


def test_cases_cover_every_choice_a_system_offers() -> None:
    for name, card in registry.systems().items():
        for field in card.fields:
            for choice in field.choices:
                assert any(n == name and c.get(field.name, field.default) == choice for n, _, c in CASES), (
                    name,
                    choice,
                )
