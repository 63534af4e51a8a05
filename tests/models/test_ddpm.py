"""DDPM: the bound of a perfect denoiser, the terms of the loss, the start at zero, conditions that may be missing."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Factor, Modality
from dgm_studio.core.updates import Problem
from dgm_studio.models import diffusion_bound, registry, schedules
from dgm_studio.models.capabilities import Estimate, Views
from dgm_studio.models.conditioning import dropped
from dgm_studio.models.denoisers import LevelEmbedding, noise_level
from dgm_studio.models.noising import TableNoising

POINTS = Modality("points", "points", (2,))
PICTURE = Modality("image", "image", (1, 8, 8))
LABEL = Modality("digit", "label", (), tuple("012"))
LOOKS = Modality("looks", "attributes", (2,), columns=(Factor("hat", ("no", "yes")), Factor("hair", ("a", "b", "c"))))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ddpm(*modalities: Modality, **config: Any) -> Any:
    return registry.build("ddpm", registry.tiny("ddpm") | config, modalities)


@torch.no_grad()
def woken(model: Any) -> Any:
    for parameter in model.parameters():
        if not parameter.any():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=seeded(9)))
    return model


class Perfect:
    """The exact denoiser of independent N(0, std^2), as a model of T steps."""

    def __init__(self, std: float, steps: int) -> None:
        table = schedules.alpha_bar("linear", steps)
        self.variance, self.tables, self.path = std**2, schedules.tables(table), TableNoising(table)

    def noising(self) -> TableNoising:
        return self.path

    def support(self) -> None:
        return None

    def clip(self) -> str:
        return "none"

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        alpha, sigma = self.path.alpha(t)[:, None], self.path.sigma(t)[:, None]
        clean = alpha * self.variance / (alpha**2 * self.variance + sigma**2) * x
        return Estimate(clean, (x - alpha * clean) / sigma)

    def log_variance(self, t: Tensor, like: Tensor, fraction: Tensor | None = None) -> Tensor:
        return self.tables.posterior_log_variance[t][:, None]


def whole_bound(model: Any, x: Tensor, seed: int = 0) -> diffusion_bound.Bound:
    steps = diffusion_bound.bounding(model, x, seeded(seed))
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def test_the_bound_of_a_perfect_denoiser_is_its_closed_form_term_by_term() -> None:
    std, steps, n = 0.5, 20, 20_000
    model = Perfect(std, steps)
    x = std * torch.randn(n, 1, generator=seeded(1), dtype=torch.float64)
    bound = whole_bound(model, x)
    kept, variance = model.tables.alpha_bar, std**2
    left = variance * (1 - kept) / (kept * variance + 1 - kept)  # Var(x_0 | x_t)
    expected = 0.5 * model.tables.clean_factor**2 * left / model.tables.posterior_log_variance.exp()
    first = 0.5 * (math.log(2 * math.pi) + float(model.tables.posterior_log_variance[0]))
    expected[0] = first + 0.5 * float(left[0] / model.tables.posterior_log_variance[0].exp())
    last = 0.5 * (kept[-1] * variance - kept[-1] - torch.log1p(-kept[-1]))
    expected = torch.cat([expected, last[None]])
    error = bound.terms.std(0) / math.sqrt(n)
    assert ((bound.terms.mean(0) - expected).abs() < 4.5 * error + 1e-9).all()
    entropy = 0.5 * math.log(2 * math.pi * math.e * variance)
    assert float(bound.nats().mean()) > entropy  # a bound from above on what no model can go below
    assert torch.equal(bound.bits(), bound.nats() / math.log(2.0))


def test_the_bound_of_many_steps_is_tight_for_a_perfect_denoiser() -> None:
    x = 0.5 * torch.randn(400, 1, generator=seeded(1), dtype=torch.float64)
    exact = 0.5 * (x[:, 0] / 0.5) ** 2 + 0.5 * math.log(2 * math.pi * 0.25)
    gaps = [float((whole_bound(Perfect(0.5, steps), x).nats() - exact).mean()) for steps in (30, 300)]
    assert 0.0 < gaps[1] < 0.4 * gaps[0]


def test_the_probabilities_of_all_grey_levels_add_up_to_one() -> None:
    levels = torch.linspace(-1.0, 1.0, 256, dtype=torch.float64)[:, None]
    mean = torch.tensor([[-1.3, -0.4, 0.0, 0.73, 2.0]], dtype=torch.float64)
    for log_std in (-7.0, -4.0, -1.0, 1.0):
        spread = torch.full((256, 5), log_std, dtype=torch.float64)
        found = diffusion_bound.bin_log_prob(levels.expand(256, 5), mean.expand(256, 5), spread)
        torch.testing.assert_close(found.logsumexp(0), torch.zeros(5).double(), atol=1e-9, rtol=0)
        assert not torch.isnan(found).any()


def test_a_bound_is_worked_out_for_pictures_and_rows_do_not_matter_to_one_another() -> None:
    model = woken(ddpm(PICTURE, variance="learnt")).eval()
    x = torch.randint(256, (3, 1, 8, 8), generator=seeded(2)) / 127.5 - 1.0
    bound = whole_bound(model, x)
    assert bound.terms.shape == (3, 21) and torch.isfinite(bound.terms).all() and (bound.terms[:, 1:] >= 0).all()
    noise = torch.randn(3, 1, 8, 8, generator=seeded(3), dtype=torch.float64)
    t = torch.tensor([0, 7, 19])
    together = diffusion_bound.terms_at(model, x.double(), t, noise)
    alone = [diffusion_bound.terms_at(model, x[i : i + 1].double(), t[i : i + 1], noise[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("modality", [POINTS, PICTURE])
def test_the_terms_are_the_errors_of_the_estimate(prediction: str, modality: Modality) -> None:
    model = woken(ddpm(modality, prediction=prediction))
    x = torch.rand(5, *modality.shape, generator=seeded(1))
    terms = model.loss(x, seeded(4))
    again = seeded(4)
    t = torch.randint(20, (5,), generator=again)
    eps = torch.randn(x.shape, generator=again)
    clean = model.into(x)
    alpha, sigma = (
        f.float().view(5, *[1] * (x.ndim - 1)) for f in (model.noising().alpha(t), model.noising().sigma(t))
    )
    found = model.estimate(alpha * clean + sigma * eps, t.double())
    torch.testing.assert_close(terms["mse"], (found.noise - eps).square().flatten(1).mean(1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(terms["clean"], (found.clean - clean).square().flatten(1).mean(1), rtol=1e-3, atol=1e-4)
    assert prediction != "eps" or torch.equal(terms["loss"], terms["mse"])
    assert prediction != "x0" or torch.equal(terms["loss"], terms["clean"])


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_min_snr_weighs_the_clean_error_by_the_snr_up_to_gamma(prediction: str) -> None:
    model = woken(ddpm(POINTS, prediction=prediction, weighting="min-snr", gamma=2.0))
    terms = model.loss(torch.randn(200, 2, generator=seeded(1)), seeded(0))
    snr = terms["mse"] / terms["clean"]
    assert (snr > 2.0).any() and (snr < 2.0).any()
    torch.testing.assert_close(terms["loss"], snr.clamp(max=2.0) * terms["clean"], rtol=1e-4, atol=1e-6)


def test_a_learnt_variance_lies_between_small_and_large_and_its_bound_leaves_the_mean_alone() -> None:
    model = woken(ddpm(PICTURE, variance="learnt"))
    like, t = torch.zeros(2, 1, 8, 8), torch.tensor([3, 9])
    small, large = (model.log_variance(t, like, torch.full_like(like, f)) for f in (0.0, 1.0))
    torch.testing.assert_close(small[:, 0, 0, 0], model.tables.posterior_log_variance[t].float())
    torch.testing.assert_close(large[:, 0, 0, 0], model.tables.large_log_variance[t].float())
    fraction = model.estimate(torch.randn(2, 1, 8, 8, generator=seeded()), t.double()).fraction
    assert ((fraction > 0) & (fraction < 1)).all()
    terms = model.loss(torch.rand(4, 1, 8, 8, generator=seeded(1)), seeded(2))
    terms["bound"].sum().backward()
    gradient = model.network.last.bias.grad
    assert gradient[0] == 0.0 and gradient[1] != 0.0
    fixed = [ddpm(PICTURE, variance=v).log_variance(t, like) for v in ("small", "large")]
    torch.testing.assert_close(fixed[0], small[:, :, :1, :1])
    torch.testing.assert_close(fixed[1], large[:, :, :1, :1])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 16, 16), (1, 28, 28), (3, 17, 30), (3, 45, 64)])
def test_a_network_starts_at_zero_and_takes_any_size(shape: tuple[int, ...]) -> None:
    model = ddpm(Modality("image", "image", shape), prediction="eps")
    x = torch.randn(2, *shape, generator=seeded())
    found = model.estimate(x, torch.tensor(3.0, dtype=torch.float64))
    assert found.noise.shape == x.shape and not found.noise.any()
    assert ddpm(POINTS, prediction="eps").estimate(torch.randn(3, 2), torch.tensor(0.0)).noise.abs().max() == 0.0


def test_every_second_convolution_and_every_projection_starts_at_zero() -> None:
    network = ddpm(PICTURE).network
    silent = {name for name, p in network.named_parameters() if name.endswith("weight") and not p.any()}
    expected = {f"{n}.conv2.weight" for n, m in network.named_modules() if hasattr(m, "conv2")}
    assert silent == expected | {"attention.project.weight", "last.weight"}


def test_levels_of_every_path_are_told_apart() -> None:
    embedding = LevelEmbedding(8)
    features: list[Tensor] = []
    embedding.network.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    log_snr = torch.linspace(-9.0, 6.0, 151)  # of EDM, a flow and the cosine schedule; 0.1 apart
    embedding(noise_level(log_snr))
    apart = torch.cdist(features[0], features[0])
    assert float((apart + 9 * torch.eye(151)).min()) > 0.3
    assert noise_level(torch.tensor([math.inf, -math.inf])).isfinite().all()


def test_the_null_condition_is_the_unconditional_path_bit_for_bit() -> None:
    model = woken(ddpm(PICTURE, LABEL, LOOKS)).eval()
    x, t = torch.randn(4, 1, 8, 8, generator=seeded()), torch.tensor(5.0, dtype=torch.float64)
    nothing = {"digit": torch.full((4,), -1), "looks": torch.full((4, 2), -1)}
    free = model.estimate(x, t).clean
    for given in ({}, nothing, {"digit": nothing["digit"]}, {"looks": nothing["looks"]}):
        assert torch.equal(free, model.estimate(x, t, given).clean)
    part = nothing | {"looks": torch.tensor([[1, -1], [-1, -1], [-1, 2], [0, 1]])}
    same = (model.estimate(x, t, part).clean == free).flatten(1).all(1)
    assert same.tolist() == [False, True, False, False]


def test_a_model_without_conditions_sees_none() -> None:
    model = ddpm(PICTURE, LABEL, conditional="none")
    assert model.conditions() == () and model.modalities == (PICTURE,) and model.conditioning is None
    batch = {"image": torch.rand(3, 1, 8, 8, generator=seeded()), "digit": torch.tensor([0, 1, 2])}
    assert torch.equal(model.loss(batch, seeded())["loss"], model.loss(batch["image"], seeded())["loss"])


def test_conditions_are_dropped_row_by_row_as_often_as_asked() -> None:
    given = {"digit": torch.ones(20_000, dtype=torch.int64), "looks": torch.ones(20_000, 2, dtype=torch.int64)}
    kept = dropped((LABEL, LOOKS), given, 0.2, 0.0, seeded(), 20_000)
    gone = torch.cat([kept["digit"][:, None], kept["looks"]], 1) < 0
    assert torch.equal(gone.any(1), gone.all(1))
    assert float(gone[:, 0].double().mean()) == pytest.approx(0.2, abs=0.012)
    kept = dropped((LABEL, LOOKS), given, 0.0, 0.5, seeded(), 20_000)
    gone = torch.cat([kept["digit"][:, None], kept["looks"]], 1) < 0
    assert gone.double().mean(0).tolist() == pytest.approx([0.25] * 3, abs=0.012)
    assert (given["digit"] == 1).all()


@pytest.mark.parametrize("drop, matters", [(1.0, False), (0.0, True)])
def test_what_is_dropped_does_not_reach_the_loss(drop: float, matters: bool) -> None:
    model = woken(ddpm(PICTURE, LABEL, drop=drop, parts=0.0))
    x = torch.rand(6, 1, 8, 8, generator=seeded())
    losses = [model.loss({"image": x, "digit": torch.full((6,), c)}, seeded())["loss"] for c in (0, 1)]
    assert torch.equal(*losses) != matters
    model.config = dataclasses.replace(model.config, drop=1.0 - drop)  # live, as of group "Objective"
    losses = [model.loss({"image": x, "digit": torch.full((6,), c)}, seeded())["loss"] for c in (0, 1)]
    assert torch.equal(*losses) == matters


def test_unknown_pixels_count_for_nothing() -> None:
    model = woken(ddpm(PICTURE))
    x = torch.rand(3, 1, 8, 8, generator=seeded())
    x[0, 0, 2:4], x[1] = torch.nan, torch.nan
    terms = model.loss({"image": x}, seeded())
    assert torch.isfinite(terms["loss"]).all() and terms["loss"][1] == 0.0 and (terms["loss"][[0, 2]] > 0).all()


def test_what_cannot_be_built_is_refused_in_words() -> None:
    with pytest.raises(Problem, match="8 by 8"):
        ddpm(Modality("image", "image", (1, 7, 9)))
    with pytest.raises(Problem, match="noise says nothing"):
        ddpm(PICTURE, prediction="eps", zero_terminal=True)
    with pytest.raises(Problem, match="pictures or points"):
        ddpm(LABEL)
    model = woken(ddpm(PICTURE, zero_terminal=True))
    last = model.estimate(torch.randn(2, 1, 8, 8, generator=seeded()), torch.tensor(19.0, dtype=torch.float64))
    assert torch.isfinite(last.clean).all() and isinstance(model, nn.Module)
