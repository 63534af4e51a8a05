"""Likelihood heads are probability distributions, and their means and samples are those of the density they score."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, distributions

from dgm_studio.models.blocks import inverse_softened_floor
from dgm_studio.models.distributions import (
    LEAST_LOG_STD,
    Bernoulli,
    Gaussian,
    GaussianHead,
    LogisticMixture,
    LogisticMixtureHead,
)


def _mixture(seed: int, channels: int, levels: int, spread: float = 1.0, components: int = 3) -> LogisticMixture:
    """One pixel with random parameters in double precision."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(1, components, *shape, 1, 1, generator=g, dtype=torch.float64)

    coupling = torch.tanh(draw(channels * (channels - 1) // 2))
    return LogisticMixture(draw().flatten(1, 1), spread * draw(channels), draw(channels) - 2.0, coupling, levels)


def _repeat(p: LogisticMixture, n: int) -> LogisticMixture:
    parts = (t.expand(n, *t.shape[1:]) for t in (p.logits, p.loc, p.log_scale, p.coupling))
    return LogisticMixture(*parts, p.levels)


def _grid(channels: int, levels: int) -> Tensor:
    """Every pixel there can be, [levels^C, C, 1, 1] in [0, 1]."""
    values = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    return torch.cartesian_prod(*[values] * channels).reshape(-1, channels, 1, 1)


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])  # 4: locations far outside, so that the tails hold much of the mass
def test_the_256_levels_of_one_channel_sum_to_one(spread) -> None:
    for seed in range(5):
        p, x = _mixture(seed, 1, 256, spread), _grid(1, 256)
        assert float(_repeat(p, 256).log_prob(x).exp().sum()) == pytest.approx(1.0, abs=1e-6)


def test_three_coupled_channels_sum_to_one_over_every_pixel_there_can_be() -> None:
    for seed in range(5):
        p, x = _mixture(seed, 3, 7), _grid(3, 7)
        assert float(_repeat(p, len(x)).log_prob(x).exp().sum()) == pytest.approx(1.0, abs=1e-6)


def test_each_of_256_levels_sums_to_one_given_the_channels_before_it() -> None:
    """sum over b of p(r, g, b) must not depend on the number of levels of b, nor be anything but p(r, g)."""
    p = _mixture(1, 3, 256)
    two = LogisticMixture(p.logits, p.loc[:, :, :2], p.log_scale[:, :, :2], p.coupling[:, :, :1], 256)
    one = LogisticMixture(p.logits, p.loc[:, :, :1], p.log_scale[:, :, :1], p.coupling[:, :, :0], 256)
    last = _grid(1, 256)
    for r, g in ((0.0, 1.0), (128 / 255, 3 / 255), (1.0, 1.0)):
        before = torch.tensor([r, g], dtype=torch.float64).view(1, 2, 1, 1)
        x = torch.cat([before.expand(256, 2, 1, 1), last], 1)
        summed = float(_repeat(p, 256).log_prob(x).exp().sum())
        assert summed == pytest.approx(float(two.log_prob(before).exp()), rel=1e-6)
        x = torch.cat([before[:, :1].expand(256, 1, 1, 1), last], 1)
        summed = float(_repeat(two, 256).log_prob(x).exp().sum())
        assert summed == pytest.approx(float(one.log_prob(before[:, :1]).exp()), rel=1e-6)


def test_a_bin_is_a_difference_of_two_logistic_distribution_functions() -> None:
    p = _mixture(2, 1, 256, components=1)
    base = distributions.TransformedDistribution(
        distributions.Uniform(torch.tensor(0.0).double(), 1.0), [distributions.SigmoidTransform().inv]
    )
    loc, scale = p.loc.flatten(), p.log_scale.flatten().exp()

    def cdf(y: Tensor) -> Tensor:
        return base.cdf((y - loc) / scale)

    level = torch.tensor([100.0, 127.0, 140.0], dtype=torch.float64)
    exact = cdf((level + 0.5) / 127.5 - 1.0) - cdf((level - 0.5) / 127.5 - 1.0)
    found = _repeat(p, 3).log_prob((level / 255).view(3, 1, 1, 1)).exp()
    torch.testing.assert_close(found, exact, rtol=1e-8, atol=0.0)
    ends = _repeat(p, 2).log_prob(torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1)).exp()
    low, high = cdf(torch.tensor([0.5 / 127.5 - 1.0, 254.5 / 127.5 - 1.0]).double())
    torch.testing.assert_close(ends, torch.stack([low, 1.0 - high]), rtol=1e-8, atol=1e-12)


def test_the_mean_of_a_logistic_mixture_is_its_expectation() -> None:
    for seed in range(4):
        p, x = _mixture(seed, 1, 256), _grid(1, 256)
        exact = (_repeat(p, 256).log_prob(x).exp() * x.flatten()).sum()
        assert float(p.mean) == pytest.approx(float(exact), abs=1e-4)
    p = _mixture(3, 3, 11, spread=0.1)  # well inside, where couplings act on expectations exactly up to rounding
    p = LogisticMixture(p.logits, p.loc, p.log_scale - 1.0, 0.3 * p.coupling, 11)
    x = _grid(3, 11)
    exact = (_repeat(p, len(x)).log_prob(x).exp().view(-1, 1) * x.flatten(1)).sum(0)
    torch.testing.assert_close(p.mean.flatten(), exact, rtol=0.0, atol=5e-3)


def test_samples_of_a_logistic_mixture_come_as_often_as_they_are_scored() -> None:
    levels, n = 4, 40_000
    p, x = _mixture(5, 3, levels), _grid(3, levels)
    expected = _repeat(p, len(x)).log_prob(x).exp()
    drawn = _repeat(p, n).sample(torch.Generator().manual_seed(0)).flatten(1)
    index = ((drawn * (levels - 1)).round() @ torch.tensor([16.0, 4.0, 1.0], dtype=torch.float64)).long()
    found = torch.bincount(index, minlength=levels**3) / n
    error = (expected * (1 - expected) / n).sqrt()
    assert (
        (found - expected).abs() <= 4.5 * error + 1e-4
    ).all()  # 64 cells: 4.5 s.e. keeps the chance of a miss below 1e-3


def test_a_logistic_mixture_stays_finite_at_the_ends_of_its_parameters() -> None:
    head = LogisticMixtureHead((3, 1, 1), 2)
    x = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 1.0]]).view(2, 3, 1, 1)
    for size in (1e-3, 50.0, -50.0, 1e4):
        raw = torch.full((2, *head.raw_shape), size, requires_grad=True)
        value = head(raw).log_prob(x)
        value.sum().backward()
        assert torch.isfinite(value).all() and torch.isfinite(raw.grad).all(), size
        assert torch.isfinite(head(raw).mean).all() and (value <= 1e-6).all()


def test_bernoulli_sums_to_one_over_all_pictures_and_scores_grey_by_the_mean_over_binarisations() -> None:
    logits = torch.tensor([[1.3, -0.2, 4.0, -7.0]], dtype=torch.float64)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    scores = Bernoulli(logits.expand(16, 4)).log_prob(every)
    assert float(scores.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    grey = torch.tensor([[0.1, 0.5, 0.9, 0.3]], dtype=torch.float64)
    chance = (every * grey + (1 - every) * (1 - grey)).prod(1)
    torch.testing.assert_close(Bernoulli(logits).log_prob(grey)[0], (chance * scores).sum())


def test_a_gaussian_integrates_to_one_and_its_samples_have_its_moments() -> None:
    p = Gaussian(torch.tensor([[0.3]], dtype=torch.float64), torch.tensor(-1.7, dtype=torch.float64))
    x = torch.linspace(-4.0, 5.0, 20_001, dtype=torch.float64).unsqueeze(1)
    density = Gaussian(p.mean.expand(len(x), 1), p.log_std).log_prob(x).exp()
    assert float(torch.trapezoid(density, x.squeeze(1))) == pytest.approx(1.0, abs=1e-9)
    drawn = Gaussian(p.mean.expand(20_000, 1), p.log_std).sample(torch.Generator().manual_seed(1))
    std = float(p.log_std.exp())
    assert float(drawn.mean()) == pytest.approx(0.3, abs=4 * std / 20_000**0.5)
    assert float(drawn.std()) == pytest.approx(std, rel=4 / 40_000**0.5)


@pytest.mark.parametrize("each", [False, True])
def test_a_gaussian_head_equals_torch_and_never_goes_below_its_floor(each) -> None:
    head = GaussianHead((2, 1, 3), squash=False, each=each).double()
    raw = torch.randn(4, *head.raw_shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    p = head(raw)
    x = torch.rand(4, 2, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    exact = distributions.Normal(p.mean, p.log_std.exp().expand_as(p.mean)).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(p.log_prob(x), exact, rtol=1e-12, atol=1e-12)
    if head.raw_log_std is not None:
        head.raw_log_std.data.fill_(-1e6)
    assert head(torch.full_like(raw, -1e6)).log_std.min() >= LEAST_LOG_STD


def test_the_learnt_variance_can_be_set_to_a_value() -> None:
    head = GaussianHead((2,), squash=False, each=False).double()
    with torch.no_grad():
        head.raw_log_std.fill_(inverse_softened_floor(-1.25, LEAST_LOG_STD))
    assert float(head(torch.zeros(1, 2).double()).log_std.detach()) == pytest.approx(-1.25, abs=1e-12)
