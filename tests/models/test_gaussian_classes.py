"""Where the classes are Gaussian, Bayes' rule over bounds is discriminant analysis, exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dgm_studio.models.class_conditional import BAYES
from dgm_studio.models.gaussian_classes import GaussianClasses, fit_gaussian_classes

C, D = 3, 4


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _data(n: int = 240) -> tuple[Tensor, Tensor]:
    """Three clouds of unlike shapes and sizes in four dimensions."""
    generator = _seeded(0)
    y = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), n, replacement=True, generator=generator)
    shapes = torch.randn(C, D, D, generator=generator, dtype=torch.double)
    centres = 1.5 * torch.randn(C, D, generator=generator, dtype=torch.double)
    noise = torch.randn(n, D, generator=generator, dtype=torch.double)
    return centres[y] + torch.einsum("nd,ned->ne", noise, shapes[y]) + 0.1 * noise, y


def _densities(x: Tensor, y: Tensor, shared: bool) -> Tensor:
    """log p(x, y) of every class, from the text-book density of a Gaussian, written on its own: [N, C]."""
    found = []
    within = sum(len(x[y == c]) * torch.cov(x[y == c].T, correction=0) for c in range(C)) / len(x)
    for c in range(C):
        covariance = within if shared else torch.cov(x[y == c].T, correction=0)
        normal = torch.distributions.MultivariateNormal(x[y == c].mean(0), covariance)
        found.append(normal.log_prob(x) + (y == c).double().mean().log())
    return torch.stack(found, 1)


@pytest.mark.parametrize("shared", [True, False], ids=["linear", "quadratic"])
@pytest.mark.parametrize("samples", [1, 3])
def test_bayes_rule_over_bounds_is_discriminant_analysis(shared: bool, samples: int) -> None:
    x, y = _data()
    model = fit_gaussian_classes(x, y, C, shared=shared)
    joint = _densities(x, y, shared)
    ours = model.class_log_probs(x, _seeded(1), samples)[BAYES]
    torch.testing.assert_close(ours, joint.log_softmax(1), atol=1e-8, rtol=0)
    torch.testing.assert_close(model.log_prob_bound(x, samples, _seeded(2)), joint.logsumexp(1), atol=1e-8, rtol=0)


def test_a_shared_covariance_makes_the_log_odds_linear() -> None:
    x, y = _data()
    line = x[0] + torch.linspace(-5.0, 5.0, 11, dtype=torch.double).unsqueeze(1) * torch.ones(D, dtype=torch.double)
    bend = {}
    for shared in (True, False):
        logs = fit_gaussian_classes(x, y, C, shared=shared).class_log_probs(line, _seeded(0))[BAYES]
        bend[shared] = float((logs[:, 0] - logs[:, 1]).diff(n=2).abs().max())
    assert bend[True] < 1e-9 < 1e-2 < bend[False]


def test_a_singular_covariance_is_refused() -> None:
    flat = torch.zeros(2, D, D, dtype=torch.double)
    with pytest.raises(ValueError, match="singular"):
        GaussianClasses(torch.zeros(2, D, dtype=torch.double), flat, torch.tensor([0.5, 0.5], dtype=torch.double))
