"""Figures of what is made from noise, on models whose answers are known: the truth, a copyist, one class alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Metric
from dgm_studio.core.requests import Evaluate
from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.core.updates import Frame, Progress, Result
from dgm_studio.data import registry as data
from dgm_studio.data import toys
from dgm_studio.data.dataset import Dataset
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Estimate, Views
from dgm_studio.models.noising import TableNoising, along
from dgm_studio.models.schedules import alpha_bar
from dgm_studio.training import generated
from dgm_studio.training.drawing import drawing
from dgm_studio.training.figures import figures_of
from dgm_studio.training.looking import reconstructing, sampling


class Knowing(nn.Module):
    """E[x_0 | x_t] where x_0 is one of some pictures, exactly: what the best network of a small set would answer."""

    def __init__(self, pictures: Tensor, labels: Tensor | None = None) -> None:
        super().__init__()
        self.pictures = nn.Parameter(2.0 * pictures.flatten(1).double() - 1.0, requires_grad=False)
        self.labels = labels
        self.shape = tuple(pictures.shape[1:])
        self.modality = data.card("digits8").modalities[0]
        self.path = TableNoising(alpha_bar("cosine", 100))

    def noising(self) -> TableNoising:
        return self.path

    def support(self) -> tuple[float, float]:
        return (-1.0, 1.0)

    def conditions(self) -> tuple[Any, ...]:
        return () if self.labels is None else data.card("digits8").modalities[1:]

    def estimate(self, x: Tensor, t: Tensor, given: Views | None = None) -> Estimate:
        alpha, sigma = along(self.path.alpha(t), x), along(self.path.sigma(t), x)
        flat = x.flatten(1).double()
        a, s = (v.reshape(-1, 1).double() for v in (alpha, sigma))
        middle = (a * (flat @ self.pictures.T) - 0.5 * a**2 * self.pictures.square().sum(1)) / s**2
        if given is not None and self.labels is not None:
            middle = middle.masked_fill(self.labels[None] != given["digit"][:, None], -math.inf)
        clean = (middle.softmax(1) @ self.pictures).reshape(x.shape).to(x)
        return Estimate(clean, (x - alpha * clean) / sigma)


def digits() -> Dataset:
    return data.load("digits8")


def measured(model: Any, dataset: Dataset, request: Evaluate) -> dict[str, Metric]:
    steps = generated.figures(model, dataset, request)
    while True:
        try:
            share = next(steps)
            assert 0.0 <= share <= 1.0
        except StopIteration as finished:
            found: dict[str, Metric] = finished.value
            return found


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """Fewer sets and pictures than are told of a checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated, "MOST_SETS", 2)
        patch.setattr(generated, "ASKED", 64)
        patch.setattr(generated, "GUIDANCE", (1.0, 3.0))
        yield


@pytest.fixture(scope="module")
def of_held_out(quickly: None) -> dict[str, Metric]:
    """A model that makes held-out pictures, of the class that is asked for: nobody can do better."""
    dataset = digits()
    parts = [dataset.split(name) for name in ("test", "valid")]
    x = torch.cat([part.batch(torch.arange(len(part))) for part in parts])
    labels = torch.cat([part.factors["digit"] for part in parts])
    return measured(Knowing(x, labels), dataset, Evaluate("m", count=120))


def test_held_out_pictures_made_anew_are_as_far_from_the_training_part_as_the_floor(
    of_held_out: dict[str, Metric],
) -> None:
    for name in ("DDPM-100", "DPM++2M-20"):
        assert 0.6 < of_held_out[f"frechet ratio {name}"].value < 1.5
        assert 0.9 < of_held_out[f"nearest {name}"].value < 1.1
        assert of_held_out[f"copied {name}"].value > 1.2  # for it makes these very held-out pictures
        assert abs(of_held_out[f"rarest {name}"].value - of_held_out["rarest held-out"].value) < 0.15
        assert of_held_out[f"precision {name}"].value > 0.85
    assert of_held_out["frechet noise"].value > 10 * of_held_out["frechet held-out"].value
    mine = of_held_out["frechet ratio DDPM-100"]
    assert mine.split == "test" and "120 against 1,297" in mine.estimator and "digits8" in mine.estimator
    assert mine.error > 0.0


def test_what_is_asked_for_is_read_back_and_without_a_condition_by_chance(of_held_out: dict[str, Metric]) -> None:
    truth = of_held_out["read back held-out"].value
    assert abs(of_held_out["read back 1"].value - truth) < 0.05 and truth > 0.98
    assert of_held_out["read back 0"].value < 0.3


def test_a_model_that_learnt_by_heart_is_found_out() -> None:
    dataset = digits()
    found = measured(Knowing(dataset.split("train").batch(torch.arange(1297))), dataset, Evaluate("m", count=200))
    assert found["nearest DDPM-100"].value < 0.15 and found["nearest training"].value == 0.0
    assert abs(found["copied DDPM-100"].value - (1 - 200 / 1297)) < 0.08 and found["copied training"].value < 0.01
    assert "read back 1" not in found and "frechet ratio DPM++2M-20 free" not in found


def test_a_model_of_one_class_lacks_the_rarest_and_has_precision_without_recall() -> None:
    dataset = digits()
    part = dataset.split("valid")
    ones = part.batch(torch.arange(len(part)))[part.factors["digit"] == 1]
    found = measured(Knowing(ones), dataset, Evaluate("m", count=80))
    assert found["rarest DDPM-100"].value < 0.05
    assert found["recall DDPM-100"].value < 0.5 < found["precision DDPM-100"].value
    assert found["frechet ratio DDPM-100"].value > 3.0


def test_the_bound_of_a_ddpm_and_the_histogram_beside_it_come_in_bits_a_number() -> None:
    dataset = digits()
    model = registry.build("ddpm", registry.tiny("ddpm"), dataset.card.modalities).eval()
    *steps, last = figures_of(model, dataset, Evaluate("m", count=16))
    assert all(isinstance(step, Progress) and step.done <= step.total for step in steps)
    assert isinstance(last, Result)
    found = last.value
    assert found["bits/dim"].unit == "bits/dim" and found["bits/dim"].value > found["bits/dim histogram"].value
    train, held = dataset.split("train"), dataset.split("test")
    counts = torch.nn.functional.one_hot(train.x[:, 0, 3, 4].long(), 256).sum(0) + generated.SMOOTHING
    one = generated._histogram_bits(
        dataclasses.replace(train, x=train.x[:, :, 3:4, 4:5]), held.batch(torch.arange(5))[:, :, 3:4, 4:5]
    )
    levels = held.x[:5, 0, 3, 4].long()
    torch.testing.assert_close(one, -(counts[levels] / counts.sum()).double().log2(), rtol=1e-5, atol=1e-6)


def test_points_under_the_exact_score_lie_where_the_truth_would_have_them() -> None:
    dataset = data.load("eight-gaussians")
    model = registry.build("edm", registry.tiny("edm"), dataset.card.modalities).eval()
    found = measured(model, dataset, Evaluate("m"))
    truth = 1.0 - math.exp(-4.5)
    assert abs(found["within training"].value - truth) < 0.01
    assert found["within Heun-18 exact"].value > 0.97 > 0.5 > found["within noise"].value
    assert abs(found["energy Heun-18 exact"].value) < 0.01 < found["energy noise"].value
    assert found["within Heun-18"].value < 0.9  # it has not been trained


def test_the_same_seed_makes_the_same_and_progress_never_falls() -> None:
    part = digits().split("valid")
    model = Knowing(part.batch(torch.arange(50)))

    def run(seed: int) -> Tensor:
        steps, shares = drawing(model, Sampling("ddpm", 5), 40, seed), []
        while True:
            try:
                shares.append(next(steps))
            except StopIteration as finished:
                assert shares == sorted(shares) and shares[-1] <= 1.0
                x: Tensor = finished.value
                return x

    first = run(3)
    assert first.shape == (40, 1, 8, 8) and float(first.min()) >= 0.0 and float(first.max()) <= 1.0
    assert torch.equal(first, run(3)) and not torch.equal(first, run(4))
    assert len({one.numpy().tobytes() for one in first}) > 20


def last_frame(frames: Any) -> Frame:
    *slices, frame = frames
    assert all(each is None for each in slices) and isinstance(frame, Frame)
    return frame


def test_a_model_that_denoises_is_looked_at_by_few_steps_and_by_what_it_sees_behind_noise() -> None:
    part = digits().split("valid")
    model = Knowing(part.batch(torch.arange(len(part))))
    made = last_frame(sampling(model, 0, 7)).data
    assert made["step"] == 7 and made["pictures"].shape == (36, 8, 8)
    again = last_frame(sampling(model, 0, 8)).data["pictures"]
    assert (made["pictures"] == again).all()
    seen = last_frame(reconstructing(model, part, 7)).data
    assert seen["originals"].shape == seen["pictures"].shape == (18, 8, 8)
    off = abs(seen["originals"].astype(float) - seen["pictures"]).reshape(3, 6, -1).mean((1, 2))
    assert off[0] < 5.0 and off[0] <= off[1] <= off[2]  # more noise, more error


def test_points_are_looked_at_too() -> None:
    dataset = data.load("eight-gaussians")
    model = registry.build("flow-matching", registry.tiny("flow-matching"), dataset.card.modalities).eval()
    assert last_frame(sampling(model, 0, 1)).data["points"].shape == (1000, 2)
    seen = last_frame(reconstructing(model, dataset.split("valid"), 1)).data
    assert seen["originals"].shape == seen["points"].shape == (500, 2)
    assert toys.mixture("eight-gaussians") is not None
