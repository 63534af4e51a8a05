"""Every question about classifiers, on every system that classifies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dgm_studio.core.cards import Capability, ModelCard
from dgm_studio.core.requests import (
    AttackPicture,
    ClassifyDatum,
    DrawClassGrid,
    EvaluateClassifier,
    Given,
    ScoreAttacks,
    ScoreOutliers,
)
from dgm_studio.core.updates import Problem
from dgm_studio.data import registry as data
from dgm_studio.explore import outliers
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models import registry
from dgm_studio.models.capabilities import capabilities_of

from .conftest import frame, result

DATA = "digits8"
NAMES = {"class-vae": {"Bayes' rule"}, "m2": {"Bayes' rule", "q(y|x)"}, "mvae": {"p(y|z)"}}


def adopted(bench: Workbench, system: str) -> str:
    """An untrained tiny model of a system on digits8."""
    card = data.card(DATA)
    module = registry.build(system, registry.tiny(system), card.modalities, seed=1)
    bench.adopt(
        module,
        ModelCard(
            key=system,
            name=system,
            system=system,
            title=f"Tiny {system}",
            capabilities=capabilities_of(type(module)),
            modalities=registry.modalities_of(module, card.modalities),
            factors=card.factors,
            latent=registry.tiny(system)["latent"],
            data=DATA,
            source="memory",
        ),
    )
    return system


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    found = Workbench(torch.device("cpu"))
    for system in NAMES:
        adopted(found, system)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outliers, "PLAIN_STEPS", 5)
        yield found


def test_every_system_that_classifies_is_looked_at_here() -> None:
    claim = {name for name, card in registry.systems().items() if Capability.CLASSIFIES in card.capabilities}
    assert claim == set(NAMES)


@pytest.mark.parametrize("system", list(NAMES))
def test_every_classifier_says_probabilities(bench: Workbench, system: str) -> None:
    rows = np.full((8, 8), 200)
    rows[:, :4] = -1
    for given in (Given(3), Given(values={"image": rows.tolist()})):
        shown = frame(bench.answer(ClassifyDatum(system, given, samples=3)), "classes")
        assert set(shown["probabilities"]) == NAMES[system] | {"judge"}
        for values in shown["probabilities"].values():
            assert values.shape == (10,) and values.sum() == pytest.approx(1.0, abs=1e-5)
        assert np.isfinite(shown["log_prob"]) and np.isfinite(shown["threshold"])


@pytest.mark.parametrize("system", list(NAMES))
def test_every_system_draws_styles_by_classes(bench: Workbench, system: str) -> None:
    shown = frame(bench.answer(DrawClassGrid(system, 3, given=Given(1), own=True)), "class grid")
    assert shown["pictures"].shape == (3, 10, 8, 8) and np.isfinite(shown["z"]).all()
    assert bool(shown["how"]) == (system == "mvae")


@pytest.mark.parametrize("system", list(NAMES))
def test_every_classifier_can_be_attacked_scored_and_evaluated(bench: Workbench, system: str) -> None:
    attacked = frame(bench.answer(AttackPicture(system, Given(3), steps=2, restarts=2, draws=2)), "attack")
    assert set(attacked["adversarial"]) == NAMES[system] | {"judge"}
    assert max(attacked["norm"].values()) <= 0.1
    curve = frame(bench.answer(ScoreAttacks(system, (0.0, 0.1), 10, 2, 1, 2)), "robustness")
    assert all(v.shape == (2,) and (np.diff(v) <= 0).all() for v in curve["accuracy"].values())
    histogram = frame(bench.answer(ScoreOutliers(system, 10, 2)), "outliers")
    assert all(np.isfinite(v).all() for v in histogram["scores"].values())
    figures = result(bench.answer(EvaluateClassifier(system, count=20, samples=2)))
    assert set(figures) == NAMES[system] and all(0.0 <= m.value <= 1.0 for m in figures.values())


def test_a_model_without_classes_says_so(bench: Workbench) -> None:
    module = registry.build("vae", registry.tiny("vae"), data.card(DATA).modalities, seed=3)
    card = ModelCard("vae", "vae", "vae", "Tiny", capabilities_of(type(module)), (module.modality,), data=DATA)
    bench.adopt(module, card)
    for kind in (ClassifyDatum, DrawClassGrid, AttackPicture, ScoreAttacks, ScoreOutliers, EvaluateClassifier):
        with pytest.raises(Problem, match="does not classify"):
            list(bench.answer(kind("vae")))
