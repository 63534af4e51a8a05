"""M2: the paper's objective, term by term, and that few labels among many pictures weigh what they should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests import Train
from dgm_studio.models import registry
from dgm_studio.models.class_conditional import BAYES
from dgm_studio.models.m2 import GUESS, M2
from dgm_studio.training.loop import Session

PAIR = (Modality("image", "image", (1, 8, 8)), Modality("digit", "label", (), tuple("012")))
N, C = 8, 3
LABELS = torch.tensor([0, -1, -1, 2, -1, -1, 1, -1])


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _model(**change: Any) -> M2:
    model: Any = registry.build("m2", registry.tiny("m2") | change, PAIR, seed=1)
    with torch.no_grad():
        model.classifier.network.layers[-1].weight *= 8.0
    model.count({"digit": LABELS})
    return model.double().eval()


def _pictures() -> Tensor:
    return torch.rand(N, 1, 8, 8, generator=_seeded(2), dtype=torch.double)


def _given(model: M2, y: Tensor) -> dict[str, Tensor]:
    return model.loss({"image": _pictures(), "digit": y}, _seeded(7))


@torch.no_grad()
def test_without_a_label_every_class_counts_by_its_guess_and_the_entropy_is_kept() -> None:
    model = _model()
    each = torch.stack([_given(model, torch.full((N,), c))["elbo"] for c in range(C)], 1)  # -L(x, y), the same draws
    q = model.guess(_pictures()).exp()
    assert float(q.min()) > 0.0 and float(q.max()) > 0.5
    expected = (q * (each - q.log())).sum(1)
    found = _given(model, torch.full((N,), -1))
    torch.testing.assert_close(found["elbo"], expected)
    torch.testing.assert_close(found["loss"], -expected)
    torch.testing.assert_close(found["elbo"], found["reconstruction"] - found["kl"] + found["label"] + found["entropy"])


@torch.no_grad()
@pytest.mark.parametrize(("alpha_of", "counted"), [("all", 8), ("labelled", 3)])
def test_the_mean_loss_is_the_objective_of_the_paper_divided_by_the_examples(alpha_of: str, counted: int) -> None:
    model = _model(alpha=0.1, alpha_of=alpha_of)
    found, known = _given(model, LABELS), LABELS >= 0
    truth = LABELS[known].unsqueeze(1)
    cross_entropy = -model.guess(_pictures())[known].gather(1, truth).squeeze(1)
    paper = -found["elbo"].sum() + 0.1 * counted * cross_entropy.mean()
    torch.testing.assert_close(found["loss"].mean(), paper / N)
    torch.testing.assert_close(found["guess"][known], cross_entropy)
    assert not found["guess"][~known].any() and not found["entropy"][known].any()


def test_pictures_without_a_label_teach_the_classifier_too() -> None:
    model = _model()
    _given(model, torch.full((N,), -1))["loss"].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.classifier.parameters())


@torch.no_grad()
def test_its_two_classifiers_are_two() -> None:
    model = _model()
    found = model.class_log_probs(_pictures(), _seeded(0), 2)
    assert list(found) == [GUESS, BAYES] and not torch.allclose(found[GUESS], found[BAYES], atol=0.1)
    torch.testing.assert_close(found[GUESS], model.guess(_pictures()))


def test_what_is_missing_teaches_nothing() -> None:
    model = _model()
    gone = torch.full((2, 1, 8, 8), torch.nan, dtype=torch.double)
    terms = model.loss({"image": gone, "digit": torch.tensor([1, -1])}, _seeded(0))
    prior = model.pair.log_class_prior()
    torch.testing.assert_close(terms["elbo"], torch.stack([prior[1], prior.new_zeros(())]))
    terms["loss"].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_run_counts_its_labels_before_the_first_step_and_keeps_the_count(tmp_path) -> None:
    ask = Train(
        run=str(tmp_path / "run"),
        system="m2",
        data="digits8~digit=5",
        config=registry.tiny("m2") | {"alpha": 0.1},
        training={"steps": 2, "batch": 8, "micro_batch": 8},
    )
    session = Session(ask)
    for _ in session.updates():
        pass
    share = float(session.model.pair.labelled_share)
    assert share == pytest.approx(50 / 1297) and float(session.model.alpha_each()) == pytest.approx(0.1 * 1297 / 50)
    from dgm_studio.checkpoints.store import load_model

    loaded, _ = load_model(f"run:{tmp_path / 'run'}")
    assert float(loaded.pair.labelled_share) == share
