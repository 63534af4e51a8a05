"""Distances between clouds against what is known of Gaussians, and against every pair counted by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dgm_studio.training.frechet import among, energy_distance, frechet, precision_recall, rarest_share


def cloud(n: int, seed: int, dims: int = 3) -> Tensor:
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(x: Tensor) -> Tensor:
    """The same cloud with mean exactly 0 and covariance exactly 1."""
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    return x @ (vectors / values.sqrt()) @ vectors.T


def test_the_frechet_distance_of_gaussians_in_general_position_is_the_closed_form() -> None:
    # With a = diag(s), b = diag(r), both turned alike, it is |mean|^2 + sum (s - r)^2.
    turn, _ = torch.linalg.qr(cloud(3, 9))
    s, r, mean = torch.tensor([0.5, 1.0, 3.0]), torch.tensor([2.0, 1.0, 0.1]), torch.tensor([1.0, -2.0, 0.5])
    a, b = whitened(cloud(200, 0)) * s @ turn, whitened(cloud(90, 1)) * r @ turn + mean
    expected = float((s - r).square().sum() + mean.square().sum())
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6) == frechet(b, a)
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-6)


def test_the_frechet_distance_of_covariances_that_do_not_commute_is_that_of_a_general_square_root() -> None:
    a, b = cloud(300, 2) @ cloud(3, 3), cloud(300, 4) @ cloud(3, 5)
    first, second = torch.cov(a.T), torch.cov(b.T)
    product = torch.linalg.eigvals(first @ second)  # the trace of a root is the sum of the roots of the eigenvalues
    expected = (a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * product.sqrt().sum().real
    assert frechet(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_fewer_examples_than_features_still_give_a_distance() -> None:
    assert math.isfinite(frechet(cloud(5, 0, 16), cloud(5, 1, 16)))


def test_precision_and_recall_are_what_counting_gives() -> None:
    real, made = cloud(40, 0, 2), 1.5 * cloud(40, 1, 2) + 0.5

    def counted(points: Tensor, other: Tensor, k: int) -> float:
        inside = 0
        for p in points:
            for q in other:
                radius = sorted(float((q - o).norm()) for o in other)[k]
                if float((p - q).norm()) <= radius:
                    inside += 1
                    break
        return inside / len(points)

    assert precision_recall(real, made, 3) == (counted(made, real, 3), counted(real, made, 3))


def test_one_mode_has_precision_without_recall_and_a_cloud_far_away_neither() -> None:
    real = torch.cat([cloud(100, 0, 2), cloud(100, 1, 2) + 50.0])
    precision, recall = precision_recall(real, cloud(200, 2, 2))
    assert precision > 0.9 and 0.3 < recall < 0.55
    assert precision_recall(real, cloud(200, 2, 2) + 1000.0) == (0.0, 0.0)
    assert among(real, real).all()


def test_the_energy_distance_vanishes_between_equals_and_is_the_known_one_between_points() -> None:
    same = energy_distance(cloud(800, 0, 2), cloud(800, 1, 2))
    assert abs(same) < 0.01 < energy_distance(cloud(800, 0, 2), cloud(800, 1, 2) + 0.5)
    left, right = torch.zeros(4, 1), torch.full((5, 1), 3.0)
    assert energy_distance(left, right) == pytest.approx(6.0)


def test_the_rarest_class_is_measured_against_its_due() -> None:
    due = torch.tensor([0] * 50 + [1] * 40 + [2] * 10)
    read = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    assert rarest_share(read, due, 4) == pytest.approx((0.75, math.sqrt(0.3 * 0.7 / 10) / 0.4))
    assert rarest_share(torch.zeros(10, dtype=torch.int64), due, 3) == (0.0, 0.0)
