"""The objective of the MVAE term by term, against the bounds service and brute force."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Factor, Modality
from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models import cross_bounds, registry
from dgm_studio.models.fusion import subsets
from dgm_studio.models.mvae import MVAE
from dgm_studio.models.subsets import joint_and_parts, random_subsets

PICTURE = Modality("image", "image", (1, 4, 4))
DIGIT = Modality("digit", "label", (), tuple("012"))
AGE = Modality("age", "real", (1,), centre=(50.0,), spread=(10.0,))
LOOKS = Modality("keys", "attributes", (2,), columns=(Factor("hat", ("no", "yes")), Factor("hair", ("a", "b", "c"))))
ALL = (PICTURE, DIGIT, AGE, LOOKS)
N, REPEATS = 5, 1500


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _model(modalities: tuple[Modality, ...] = ALL[:3], **config: Any) -> MVAE:
    model = registry.build("mvae", registry.tiny("mvae") | config, modalities, seed=1)
    assert isinstance(model, MVAE)
    return model


def _views(n: int = N) -> dict[str, Tensor]:
    g = _seeded(3)
    return {
        "image": torch.rand(n, 1, 4, 4, generator=g),
        "digit": torch.randint(0, 3, (n,), generator=g),
        "age": 50.0 + 10.0 * torch.randn(n, 1, generator=g),
        "keys": torch.randint(0, 2, (n, 2), generator=g),
    }


@torch.no_grad()
def _expected(model: MVAE, views: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Means of the loss's terms over many draws, and the standard error of "loss": all repeats at once, as rows."""
    many = {n: v.repeat(REPEATS, *[1] * (v.ndim - 1)) for n, v in views.items()}
    rows = len(next(iter(views.values())))
    terms = {k: v.unflatten(0, (REPEATS, rows)) for k, v in model.loss(many, _seeded(0), 10**6).items()}
    return {k: v.mean(0) for k, v in terms.items()}, terms["loss"].std(0) / math.sqrt(REPEATS)


@torch.no_grad()
def _elbo(model: MVAE, views: dict[str, Tensor], names: tuple[str, ...], scored: tuple[str, ...] = ()) -> Tensor:
    return cross_bounds.elbo(model, views, _seeded(7), names, scored, REPEATS)


def test_the_objective_is_the_joint_bound_and_that_of_every_modality_alone() -> None:
    model = _model(ALL[:2])
    views = {n: v for n, v in _views().items() if n in ("image", "digit")}
    found, error = _expected(model, views)
    parts = [_elbo(model, views, names) for names in subsets(("image", "digit"))]
    assert ((found["loss"] + sum(parts)).abs() < 6 * error).all()
    assert ((found["elbo"] - parts[-1]).abs() < 6 * error).all()
    torch.testing.assert_close(found["elbo"], found["reconstruction"] - found["kl"])
    torch.testing.assert_close(
        found["reconstruction"], found["reconstruction:image"] + found["reconstruction:digit"], rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(found["kl_per_dim"].sum(-1), found["kl"])


def test_a_random_subset_adds_its_own_bound() -> None:
    """With three modalities it has two of them: the mean over the three pairs."""
    model, views = _model(ALL[:3]), _views()
    found, error = _expected(model, views)
    names = ("image", "digit", "age")
    bounds = {part: _elbo(model, views, part) for part in subsets(names)}
    pairs = torch.stack([bounds[part] for part in bounds if len(part) == 2]).mean(0)
    wanted = bounds[names] + sum(bounds[(n,)] for n in names) + pairs
    assert ((found["loss"] + wanted).abs() < 6 * error).all()
    model.config = dataclasses.replace(model.config, subsets=0)
    assert ((_expected(model, views)[0]["loss"] + wanted - pairs).abs() < 6 * error).all()


def test_an_incomplete_row_trains_what_it_has_by_one_bound_and_without_sub_sampling_so_does_every_row() -> None:
    model, views = _model(ALL[:3]), _views()
    views["digit"][:2] = -1
    found, error = _expected(model, views)
    assert ((found["loss"] + _elbo(model, views, ("image", "age")))[:2].abs() < 6 * error[:2]).all()
    assert torch.equal(found["reconstruction:digit"][:2], torch.zeros(2))
    assert (found["loss"][2:] > -_elbo(model, views, ())[2:]).all()
    model.config = dataclasses.replace(model.config, subsampling=False)
    found, error = _expected(model, views)
    assert ((found["loss"] + _elbo(model, views, ())).abs() < 6 * error).all()


def test_a_mixture_of_products_trains_the_mean_over_the_subsets_of_what_is_known_each_rebuilding_it_all() -> None:
    model, views = _model(ALL[:3], fusion="mopoe"), _views()
    views["age"][0] = math.nan
    found, error = _expected(model, views)
    for row, known in ((0, ("image", "digit")), (1, ("image", "digit", "age"))):
        one = {n: v[row : row + 1] for n, v in views.items()}
        parts = [
            cross_bounds.elbo(model, one, _seeded(7), part, known, REPEATS, Fusing("poe")) for part in subsets(known)
        ]
        assert abs(float(found["loss"][row] + torch.stack(parts).detach().mean())) < 8 * error[row]
    # the KL of the mixture is at most the mean KL of its components
    assert (found["elbo"] <= _elbo(model, views, ()) + 6 * error).all()


@pytest.mark.parametrize("fusion", ["poe", "mopoe"])
@pytest.mark.parametrize("balance", ["fixed", "learnt"])
def test_what_stands_in_missing_cells_never_reaches_loss_or_gradient(fusion: str, balance: str) -> None:
    model = _model(ALL, fusion=fusion, balance=balance)
    results = []
    for number, index in ((math.nan, -1), (math.inf, -9), (-math.inf, -(10**6))):
        views = _views()
        views["image"][0], views["image"][1, 0, 2:] = number, number
        views["digit"][1], views["age"][2], views["keys"][3, 0], views["keys"][4] = index, number, index, index
        terms = model.loss(views, _seeded(0), 10**6)
        gradients = torch.autograd.grad(terms["loss"].sum(), list(model.parameters()))
        assert all(torch.isfinite(t).all() for t in (*terms.values(), *gradients))
        results.append([*terms.values(), *gradients])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_modality_that_is_left_out_is_one_that_is_missing_everywhere() -> None:
    model, views = _model(ALL), _views()
    views["age"] = torch.full_like(views["age"], math.nan)
    left_out = {n: v for n, v in views.items() if n != "age"}
    for key, value in model.loss(views, _seeded(0)).items():
        torch.testing.assert_close(value, model.loss(left_out, _seeded(0))[key], rtol=1e-5, atol=1e-5)


def test_weights_reach_the_training_loss_and_no_bound() -> None:
    plain, weighted = _model(ALL[:2], subsampling=False), _model(ALL[:2], subsampling=False, label_weight=5.0, beta=2.0)
    views = _views()
    one, two = (m.loss(views, _seeded(0), 10**6) for m in (plain, weighted))
    for name in ("elbo", "reconstruction", "kl"):
        assert torch.equal(one[name], two[name])
    wanted = one["loss"] - 4.0 * one["reconstruction:digit"] + one["kl"]
    torch.testing.assert_close(two["loss"], wanted)
    assert torch.equal(plain.elbo(views, _seeded(1)), weighted.elbo(views, _seeded(1)))
    named = _model(ALL, weights="keys=0.5, digit = 7", number_weight=3.0)
    assert named.lambdas().tolist() == [1.0, 7.0, 3.0, 0.5]
    assert _model(ALL, balance="sizes", label_weight=2.0).lambdas().tolist() == [1.0, 32.0, 16.0, 16.0]


def test_learnt_weights_settle_where_all_modalities_cost_alike() -> None:
    model, views = _model(ALL[:2], balance="learnt"), _views()
    assert model.log_noise is not None
    optimiser = torch.optim.Adam([model.log_noise], 0.03)
    for step in range(150):
        optimiser.zero_grad()
        model.loss(views, _seeded(step))["loss"].mean().backward()
        optimiser.step()
    terms = _expected(model, views)[0]
    image, digit = (float(-terms[f"reconstruction:{n}"].mean()) for n in ("image", "digit"))
    assert model.lambdas()[0] == 1.0 and float(model.lambdas()[1]) == pytest.approx(image / digit, rel=0.15)


def test_random_subsets_have_every_size_or_every_subset_alike() -> None:
    present = torch.ones(40_000, 5, dtype=torch.bool)
    for size_first, weigh in ((True, lambda size: 1.0 / (3 * math.comb(5, size))), (False, lambda size: 1.0 / 25)):
        rows = random_subsets(present, _seeded(0), size_first)
        counts = Counter(tuple(row) for row in rows.tolist())
        assert len(counts) == 25  # of 2, 3 and 4 out of 5
        for row, count in counts.items():
            assert count / len(rows) == pytest.approx(weigh(sum(row)), rel=0.2)
    parts = joint_and_parts(present[:, :2], _seeded(0), alone=True, count=3, size_first=True)
    assert parts.weight.shape[0] == 3  # two modalities have no subset in between


def test_parts_that_rebuild_everything_see_themselves_only_and_take_incomplete_rows_along() -> None:
    present = torch.tensor([[True, True, True], [True, False, True]])
    about = {"alone": True, "count": 2, "size_first": True}
    own, cross = (joint_and_parts(present, _seeded(0), cross=c, **about) for c in (False, True))
    assert torch.equal(own.given, cross.given) and torch.equal(cross.scored, present.expand(6, 2, 3))
    assert own.weight[:, 1].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert cross.weight[:4].tolist() == [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    assert torch.equal(cross.report, own.report) and all(may == {0, 1, 2} for may in cross.may)
    model = _model(ALL[:2], rebuild="all")
    views = {n: v for n, v in _views().items() if n in ("image", "digit")}
    found, error = _expected(model, views)
    bounds = [_elbo(model, views, names, ("image", "digit")) for names in subsets(("image", "digit"))]
    assert ((found["loss"] + sum(bounds)).abs() < 6 * error).all()
    assert ((found["elbo"] - bounds[-1]).abs() < 6 * error).all()


def test_a_picture_is_classified_by_the_label_decoder_averaged_over_draws_of_z() -> None:
    model, x = _model(), _views()["image"]
    found = model.class_log_probs(x, _seeded(0), 20)["p(y|z)"]
    z = model.encode(x).sample(_seeded(0), 20)
    wanted = torch.stack([model.generate(some)["digit"].mean for some in z]).mean(0).log()
    torch.testing.assert_close(found, wanted)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model.class_log_probs(x, _seeded(0), 2)["p(y|z)"][:, 0].sum(), x)
    assert (gradient != 0).any()


def test_bits_are_drawn_anew_where_asked_and_missing_pixels_stay_missing() -> None:
    model, views = _model(ALL[:2], binarise=True), _views()
    views["image"][0, 0, 0] = math.nan
    found = model.prepare(views, _seeded(0))["image"]
    assert set(found[1:].unique().tolist()) == {0.0, 1.0} and torch.isnan(found[0, 0, 0]).all()
    assert torch.equal(model.prepare({"image": found}, _seeded(1))["image"][1:], found[1:])
    grey = _model(ALL[:2])
    assert grey.prepare(views, _seeded(0)) is views


def test_modalities_are_chosen_by_name_and_what_cannot_be_is_refused_in_words() -> None:
    assert [m.name for m in _model(ALL, use="image + keys").modalities] == ["image", "keys"]
    for config, words in (
        ({"use": "image+digt"}, "digit"),
        ({"use": "digit+age"}, "image"),
        ({"weights": "nobody=2"}, "nobody"),
        ({"weights": "digit"}, "digit"),
        ({"weights": "digit=-1"}, "digit"),
    ):
        with pytest.raises(Problem) as caught:
            _model(ALL, **config)
        assert words in f"{caught.value.sentence} {caught.value.action}"
    with pytest.raises(Problem):
        registry.build("mvae", {}, (Modality("points", "points", (2,)),))
    with pytest.raises(Problem, match="label"):
        _model((PICTURE, AGE)).class_log_probs(_views()["image"], _seeded(0))
