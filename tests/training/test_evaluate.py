"""Figures of a trained model, and the recipes that make the checkpoints in the box."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dgm_studio.checkpoints import store
from dgm_studio.core.cards import Metric
from dgm_studio.core.manifest import read_manifest
from dgm_studio.core.requests import Evaluate
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.updates import Problem, Progress, Result
from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Part
from dgm_studio.models import registry
from dgm_studio.training import recipes, record
from dgm_studio.training.config import TrainingConfig, learning_rate
from dgm_studio.training.evaluate import evaluate
from dgm_studio.training.looking import Sums
from dgm_studio.training.order import Order, derived_seed

RECIPE = """
system = "vae"
data = "moons"
seed = 3
title = "Moons, tiny"
[config]
latent = 2
hidden = 16
[training]
steps = 40
batch = 64
valid_every = 10
save_every = 10
micro_batch = 64
[evaluate]
samples = 20
count = 100
"""


class Scripted(nn.Module):
    """log p(x) = x[0] exactly, and latents of which the first varies with the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.asked: list[int] = []

    def loss(self, batch: Tensor, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
        return {"loss": -batch[:, 0], "elbo": batch[:, 0] - 1.0, "kl": torch.ones(len(batch))}

    def elbo(self, x: Tensor, generator: torch.Generator, samples: int = 1) -> Tensor:
        return x[:, 0] - 1.0

    def log_prob_bound(self, x: Tensor, k: int, generator: torch.Generator) -> Tensor:
        self.asked.append(k)
        return x[:, 0]


def figures(model: nn.Module, part: Part, request: Evaluate) -> dict[str, Metric]:
    *steps, last = evaluate(model, part, request)
    assert all(isinstance(step, Progress) and 0 < step.done <= step.total for step in steps)
    assert steps[-1].done == steps[-1].total
    assert isinstance(last, Result)
    return last.value


def test_a_known_evidence_comes_out_with_its_standard_error_however_the_draws_are_sliced() -> None:
    x = torch.randn(21, 2, generator=torch.Generator().manual_seed(0))
    part, model = Part(x, torch.arange(21)), Scripted()
    found = figures(model, part, Evaluate("m", samples=13))
    assert sum(model.asked) == 3 * 13
    assert found["iwae"].value == pytest.approx(-float(x[:, 0].mean()), abs=1e-6)
    assert found["iwae"].error == pytest.approx(float(x[:, 0].std()) / math.sqrt(21), rel=1e-6)
    assert (found["iwae"].estimator, found["iwae"].unit, found["iwae"].split) == ("IWAE-13", "nats", "test")
    assert found["nelbo"].value == pytest.approx(1.0 - float(x[:, 0].mean()), abs=1e-6)
    assert (found["nelbo"].lower_is_better, found["elbo"].lower_is_better) == (True, False)
    assert found["kl"] == Metric(1.0, "nats", "one draw", 0.0, "test")


def test_figures_repeat_with_their_seed_and_the_bound_tightens_with_its_draws() -> None:
    model = registry.build("vae", registry.tiny("vae"), data.card("moons").modalities, seed=1).eval()
    part = data.load("moons").split("test")
    first, again, other, loose = (
        figures(model, part, Evaluate("m", samples=k, count=200, seed=s))
        for k, s in ((64, 0), (64, 0), (64, 1), (1, 0))
    )
    assert first == again
    assert first["iwae"] != other["iwae"]
    assert first["iwae"].value == pytest.approx(other["iwae"].value, rel=0.03)
    assert first["iwae"].value < loose["iwae"].value
    assert 0 <= first["active"].value <= 3
    with pytest.raises(Problem, match="at least one"):
        list(evaluate(model, part, Evaluate("m", samples=0)))


def test_a_recipe_is_trained_published_and_its_figures_are_reproduced(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    list(recipes.train_recipe(path, tmp_path / "run"))
    recipe = recipes.read_recipe(path)
    best = recipes.chosen(RunFolder(tmp_path / "run"), "best")
    scores = {step: read_manifest(RunFolder(tmp_path / "run").checkpoint(step)).metrics["nelbo"].value for step in
              RunFolder(tmp_path / "run").checkpoints()}  # fmt: skip
    assert best == RunFolder(tmp_path / "run").checkpoint(min(scores, key=scores.__getitem__))
    published = recipes.publish(tmp_path / "run", recipe, tmp_path)
    model, card = store.load_model(str(published))
    assert (published.name, card.name, card.headline, card.seed) == ("toy.safetensors", "Moons, tiny", "nelbo", 3)
    about = read_manifest(published).extra["evaluate"]
    assert (about["samples"], about["count"]) == (20, 100)
    found = figures(model, data.load("moons").split("test"), Evaluate(str(published), samples=20, count=100))
    assert found == card.metrics
    assert next(model.parameters()).dtype == torch.float32
    list(recipes.train_recipe(path, tmp_path / "again"))
    assert store.load(recipes.publish(tmp_path / "again", recipe, tmp_path))[0].tensors_sha256 == card.sha256


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("system = 'vae'", "lacks a system or data"),
        ("system = 'vae'\ndata = 'moons'\nsteps = 3", "unknown key steps"),
        ("system = 'vae'\ndata = 'moons'\ntake = 'any'", "takes 'any'"),
        ("system =", "cannot be read"),
    ],
)
def test_a_wrong_recipe_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(Problem) as caught:
        recipes.read_recipe(path)
    assert words in str(caught.value)


def test_every_recipe_for_the_box_can_be_read_and_names_settings_that_exist() -> None:
    folder = Path(__file__).parents[2] / "packaging" / "zoo"
    for path in folder.glob("*.toml"):
        recipe = recipes.read_recipe(path)
        from dgm_studio.core import forms

        forms.build(registry.config_class(recipe.system), recipe.config)
        assert forms.build(TrainingConfig, recipe.training).micro_batch, f"{path.name} must fix micro_batch"
        data.card(recipe.data)


def test_every_example_comes_once_in_an_epoch_in_an_order_of_its_own() -> None:
    order, taken = Order(10, seed=5), []
    for _ in range(10):
        taken.append(order.peek(4))
        order.advance(4)
    stream = torch.cat(taken).tolist()
    epochs = [stream[i : i + 10] for i in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert Order(10, seed=5, position=17).peek(25).tolist()[:23] == stream[17:]
    assert Order(10, seed=6).peek(10).tolist() != epochs[0]


def test_seeds_of_different_purposes_and_numbers_differ_and_never_change() -> None:
    seeds = {derived_seed(s, p, n) for s in range(5) for p in ("order", "noise") for n in range(100)}
    assert len(seeds) == 1000
    assert derived_seed(0, "order", 0) == derived_seed(0, "order")
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_rates_begin_anew_where_a_run_was_forked() -> None:
    config = TrainingConfig(steps=200, warmup=10, learning_rate=1.0, schedule="linear")
    assert learning_rate(config, 100, start=100) == pytest.approx(0.1)
    assert learning_rate(config, 110, start=100) == pytest.approx(0.9)
    assert learning_rate(TrainingConfig(schedule="constant", warmup=0), 10**6) == 1e-3


def test_a_model_without_a_bound_is_known_by_its_loss_which_has_no_unit() -> None:
    sums = Sums()
    sums.add({"loss": torch.tensor([1.0, 3.0]), "mse": torch.tensor([0.5, 0.5])})
    found = record.validation_metrics(sums)
    assert set(found) == {"loss", "mse"} and record.headline_of(found) == "loss"
    assert found["loss"].value == 2.0 and found["loss"].unit == "" and found["loss"].lower_is_better
    sums.add({"elbo": torch.tensor([-7.0, -9.0])})
    bound = record.validation_metrics(sums)
    assert record.headline_of(bound) == "nelbo" and bound["nelbo"].unit == "nats" and bound["nelbo"].value > 0
