"""What every registered system promises, checked for every kind of data and every choice of its settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Capability, Factor, Modality
from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import registry

EXAMPLES = {
    "image": ((1, 8, 8), (3, 9, 13)),
    "points": ((2,),),
}
N = 6
Given = tuple[Modality, ...]
LABEL = Modality("digit", "label", (), tuple("012"), about="digit")
SEVERAL: tuple[Given, ...] = (
    (Modality("points", "points", (2,)), LABEL),
    (Modality("image", "image", (1, 8, 8), about="digit"), LABEL),
    (Modality("image", "image", (1, 8, 8)), Modality("small", "image", (1, 4, 4))),
    (
        Modality("image", "image", (3, 9, 13)),
        LABEL,
        Modality(
            "attributes", "attributes", (2,), columns=(Factor("hat", ("no", "yes")), Factor("hair", ("a", "b", "c")))
        ),
        Modality("age", "real", (1,), centre=(50.0,), spread=(10.0,)),
        Modality("pressure", "positive", (1,), centre=(4.8,), spread=(0.2,)),
        Modality("lab", "vector", (3,)),
        Modality("sentence", "text", (4,), ("", "?", "a", "b")),
    ),
)


Case = tuple[str, Given, dict[str, object]]


def _cases() -> list[Case]:
    """Every system with its tiny settings, then with every other choice of one setting at a time."""
    cases = []
    for name, card in registry.systems().items():
        changes: list[dict[str, object]] = [{}]
        changes += [{f.name: c} for f in card.fields for c in f.choices if c != f.default]
        offered = _data_for(name)
        if not registry.system_class(name).takes_views:
            cases += [(name, given, change) for given in offered for change in changes]
            continue
        cases += [(name, given, {}) for given in offered[:-1]]
        for change in changes:  # one set of data each, the richest that will do
            fit = [(name, given, change) for given in offered if not _refused(name, given, change)]
            cases += fit[-1:]
    return [case for case in cases if not _refused(*case)]


def _data_for(name: str) -> list[Given]:
    kinds = registry.systems()[name].modality_kinds
    if registry.systems()[name].conditions:  # it picks what it can do with, and is handed all the same
        return [given for given in SEVERAL if registry.systems()[name].chosen(given)]
    if registry.system_class(name).takes_views:
        return [given for given in SEVERAL if {m.kind for m in given} <= set(kinds)]
    return [(Modality(kind, kind, shape),) for kind in kinds for shape in EXAMPLES[kind]]


def _refused(name: str, given: Given, change: dict[str, object]) -> bool:
    try:
        _build(name, given, change)
    except Problem:
        return True
    return False


def _build(name: str, given: Given, change: dict[str, object], seed: int = 0) -> nn.Module:
    model = registry.build(name, registry.tiny(name) | change, given, seed)
    return _woken(model, seed) if Capability.DENOISES in registry.systems()[name].capabilities else model


@torch.no_grad()
def _woken(model: nn.Module, seed: int) -> nn.Module:
    """Layers that start at zero hide at first whatever lies beneath them, time and conditions included."""
    for parameter in model.parameters():
        if not parameter.any():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=_seeded(seed)))
    return model


def _name(case: Case) -> str:
    name, given, change = case
    about = map(str, given[0].shape) if len(given) == 1 else [f"{len(given)}x{'x'.join(map(str, given[0].shape))}"]
    return "-".join([name, *about, *(f"{k}={v}" for k, v in change.items())])


def _values(modality: Modality, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if modality.kind == "image":
        return (torch.rand(n, *modality.shape, generator=generator) * 255).round() / 255
    if modality.kind in ("label", "categorical", "attributes", "text"):
        limits = [len(c.categories) for c in modality.columns] or [len(modality.categories)]
        drawn = torch.randint(0, 10**6, (n, *modality.shape), generator=generator)
        return drawn % torch.tensor(limits if modality.columns else limits[0])
    drawn = torch.randn(n, *modality.shape, generator=generator)
    numbers = drawn * torch.tensor(modality.spread or 1.0) + torch.tensor(modality.centre or 0.0)
    return numbers.exp() if modality.kind == "positive" else numbers


def _batch(case: Case, n: int = N) -> Any:
    """A tensor, or `Views` whose last row lacks everything but its first modality."""
    values = {m.name: _values(m, n) for m in case[1]}
    if not registry.system_class(case[0]).takes_views:
        return next(iter(values.values()))
    for name, found in values.items():
        if name != case[1][0].name:
            found[-1] = torch.nan if found.is_floating_point() else -1
    return values


def _changed(batch: Any) -> Any:
    """Other values in all rows but the first."""
    if isinstance(batch, dict):
        return {name: _changed(values) for name, values in batch.items()}
    other = batch.clone()
    if batch.is_floating_point():
        other[1:] = 1.0 - other[1:] if other.ndim == 4 else other[1:] * 1.1
    else:
        other[1:-1] = other[1:-1].flip(0)
    return other


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CASES = _cases()
each_case = pytest.mark.parametrize("case", CASES, ids=map(_name, CASES))


@each_case
def test_terms_are_finite_per_example_and_reach_every_parameter(case) -> None:
    model = _build(*case)
    terms = model.loss(_batch(case), _seeded(0), step=10)
    for key, value in terms.items():
        assert value.shape[0] == N and torch.isfinite(value).all(), key
        assert key.endswith("_per_dim") or value.shape == (N,), key
    terms["loss"].mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, f"{key} is never trained"


@each_case
def test_loss_falls_on_one_batch(case) -> None:
    model, batch = _build(*case), _batch(case)
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
    model, batch = _build(*case), _batch(case)
    other = _changed(batch)
    one, two = (model.loss(x, _seeded(5))["loss"] for x in (batch, other))
    torch.testing.assert_close(one[0], two[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(one[1:], two[1:])


@each_case
def test_a_seed_fixes_the_loss_and_the_weights(case) -> None:
    one, two, third = _build(*case, 1), _build(*case, 1), _build(*case, 2)
    batch = _batch(case)
    same = [m.loss(batch, _seeded(0))["loss"] for m in (one, two)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], third.loss(batch, _seeded(0))["loss"])
    assert not torch.equal(same[0], one.loss(batch, _seeded(1))["loss"])


@each_case
def test_what_is_saved_is_what_is_loaded(case) -> None:
    saved, loaded = _build(*case, 1), _build(*case, 2)
    loaded.load_state_dict({k: v.clone() for k, v in saved.state_dict().items()})
    batch = _batch(case)
    for key, value in saved.loss(batch, _seeded(0)).items():
        assert torch.equal(value, loaded.loss(batch, _seeded(0))[key]), key


@each_case
def test_evaluation_mode_still_samples(case) -> None:
    model, batch = _build(*case).eval(), _batch(case)
    losses = [model.loss(batch, _seeded(seed))["loss"] for seed in (0, 1)]
    assert not torch.equal(*losses)
    assert torch.equal(losses[0], model.train().loss(batch, _seeded(0))["loss"])


@each_case
def test_every_claimed_capability_works_on_the_claimed_shapes(case) -> None:
    model, batch = _build(*case), _batch(case)
    claimed = registry.systems()[case[0]].capabilities
    assert claimed
    with torch.no_grad():
        for capability in claimed:
            CHECKS[capability](model, batch)


def _picture(x: Any) -> Tensor:
    return next(iter(x.values())) if isinstance(x, dict) else x


def _encodes(model: nn.Module, batch: Any) -> None:
    x = _picture(batch)
    q = model.encode(x)
    assert q.mean.shape == q.std.shape == q.kl_per_dim().shape == (N, model.latent)
    assert (q.std > 0).all()
    z = q.sample(_seeded(0), 4)
    assert z.shape == (4, N, model.latent) and q.log_prob(z).shape == (4, N)
    assert torch.equal(z, q.sample(_seeded(0), 4)) and not torch.equal(z, q.sample(_seeded(1), 4))


def _decodes(model: nn.Module, batch: Any) -> None:
    x = _picture(batch)
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


def _samples(model: nn.Module, batch: Any) -> None:
    z = model.sample_latent(5, _seeded(0))
    assert z.shape == (5, model.latent) and model.prior_log_prob(z).shape == (5,)
    assert torch.equal(z, model.sample_latent(5, _seeded(0)))
    assert model.prior_log_prob(z.expand(3, 5, model.latent)).shape == (3, 5)
    assert model.prior_std().shape == (model.latent,) and (model.prior_std() > 0).all()
    wide, narrow = (model.sample_latent(2000, _seeded(1), temperature=t).std(0).mean() for t in (1.0, 0.1))
    assert narrow < wide


def _scores(model: nn.Module, batch: Any) -> None:
    for x in (batch, _picture(batch)) if isinstance(batch, dict) else (batch,):
        _scores_of(model, x)


def _scores_of(model: nn.Module, x: Any) -> None:
    assert model.elbo(x, _seeded(0)).shape == model.log_prob_bound(x, 3, _seeded(0)).shape == (N,)
    assert torch.equal(model.elbo(x, _seeded(0), 2), model.elbo(x, _seeded(0), 2))
    assert not torch.equal(model.log_prob_bound(x, 3, _seeded(0)), model.log_prob_bound(x, 3, _seeded(1)))


def _crosses(model: nn.Module, batch: dict[str, Tensor]) -> None:
    names = [m.name for m in model.modalities]
    experts = model.experts(batch)
    assert set(experts) == set(names) and all(e.mean.shape == (N, model.latent) for e in experts.values())
    for name, values in batch.items():
        gone = ~known_rows(values)
        assert torch.isinf(experts[name].std[gone]).all() and torch.isfinite(experts[name].std[~gone]).all()
    rules = model.rules()
    assert set(rules) == {"poe", "moe", "mopoe"} and "" in rules.values()
    for rule, why in rules.items():
        if why:
            with pytest.raises(Problem):
                model.infer(batch, Fusing(rule))
            continue
        q = model.infer(batch, Fusing(rule))
        assert q.log_weights.shape == (N, len(q.components)) and len(q.names) == len(q.components)
        torch.testing.assert_close(q.log_weights.exp().sum(1), torch.ones(N))
        z = q.sample(_seeded(0), 3)
        assert z.shape == (3, N, model.latent) and torch.isfinite(q.log_prob(z)).all() and torch.isfinite(q.mean).all()
    nothing = model.infer(
        {name: torch.full_like(v, torch.nan if v.is_floating_point() else -1) for name, v in batch.items()}
    )
    torch.testing.assert_close(nothing.log_prob(z), model.prior_log_prob(z))
    for name, p in model.generate(z[0]).items():
        assert p.log_prob(batch[name]).shape == (N,) and p.sample(_seeded(0)).shape == batch[name].shape
    assert torch.isfinite(model.log_prob_bound({names[0]: batch[names[0]]}, 2, _seeded(0))).all()


def known_rows(values: Tensor) -> Tensor:
    return (torch.isfinite(values) if values.is_floating_point() else values >= 0).reshape(len(values), -1).any(1)


def _denoises(model: nn.Module, batch: Any) -> None:
    path, x = model.noising(), torch.randn(_picture(batch).shape, generator=_seeded(0), dtype=torch.float64)
    assert model.modalities[1:] == model.conditions()
    for t in (path.cleanest, 0.5 * (path.cleanest + path.noisiest), path.noisiest):
        times = torch.full((N,), t, dtype=torch.float64)
        found = model.estimate(x, times, batch)
        assert found.clean.dtype == found.noise.dtype == x.dtype and found.clean.shape == x.shape
        alpha, sigma = (f.view(-1, *[1] * (x.ndim - 1)) for f in (path.alpha(times), path.sigma(times)))
        torch.testing.assert_close(alpha * found.clean + sigma * found.noise, x, rtol=1e-10, atol=1e-10)
        one = model.estimate(x[:1].float(), times[0], {name: values[:1] for name, values in batch.items()})
        assert one.noise.dtype == torch.float32
        torch.testing.assert_close(one.clean[0].double(), found.clean[0], rtol=1e-4, atol=1e-3)
    nothing = {m.name: _missing(batch[m.name]) for m in model.conditions()}
    assert torch.equal(model.estimate(x, times).clean, model.estimate(x, times, nothing).clean)


def _missing(values: Tensor) -> Tensor:
    return torch.full_like(values, torch.nan if values.is_floating_point() else -1)


def _classifies(model: nn.Module, batch: Any) -> None:
    label = next((m for m in model.modalities if m.kind == "label"), None)
    if label is None:
        with pytest.raises(Problem):
            model.class_log_probs(_picture(batch), _seeded(0), 2)
        return
    for logs in model.class_log_probs(_picture(batch), _seeded(0), 2).values():
        assert logs.shape == (N, len(label.categories))
        torch.testing.assert_close(torch.logsumexp(logs, 1), torch.zeros(N), atol=1e-5, rtol=0)


CHECKS = {
    Capability.CROSSES: _crosses,
    Capability.DENOISES: _denoises,
    Capability.CLASSIFIES: _classifies,
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
