"""Numbers and choices predicted from other modalities, against a model of which all of it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from dgm_studio.core.cards import DataCard, Metric, Modality
from dgm_studio.core.requests import Evaluate, Fusing
from dgm_studio.core.updates import Result
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.models import fusion, registry
from dgm_studio.models.capabilities import Likelihood, Posterior
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.modal_likelihoods import Choice, Numbers
from dgm_studio.training import predictions
from dgm_studio.training.figures import figures_of

SEEN, DOSE, SIZE = 0.5, 0.4, 0.3  # noise of the scan, the dose and the logarithm of the size, about z
MODALITIES = (
    Modality("scan", "vector", (1,)),
    Modality("dose", "real", (1,), unit="mg"),
    Modality("size", "positive", (1,), unit="mm"),
    Modality("side", "categorical", (), ("left", "right")),
)
LAPLACE_OF_A_GAUSSIAN = math.sqrt(2.0 / math.pi)  # E|x| / std


class Known:
    """z ~ N(0, 1), scan ~ N(z, SEEN), dose = 10 + 3 N(z, DOSE), log size ~ N(z, SIZE), side right with sigmoid(4 z).

    Side tells its `infer` nothing, so that everything else is exact.
    """

    def infer(self, given: Mapping[str, Tensor], fusing: Fusing | None = None) -> Mixture:
        heard = {"scan": lambda x: x, "dose": lambda x: (x - 10.0) / 3.0, "size": lambda x: x.log()}
        noise = {"scan": SEEN, "dose": DOSE, "size": SIZE}
        experts = {}
        for name in set(given) - {"side"}:
            mean = heard[name](given[name])
            expert = Posterior(mean.nan_to_num(0.0), torch.full_like(mean, noise[name]))
            experts[name] = fusion.absent_where(expert, mean.isnan()[:, 0])
        return fusion.one(fusion.product(experts), tuple(experts))

    def generate(self, z: Tensor, names: tuple[str, ...] = ()) -> dict[str, Likelihood]:
        def log(noise: float) -> Tensor:
            return torch.full_like(z, math.log(noise))

        return {
            "dose": Numbers(torch.tensor([10.0]), torch.tensor([3.0]), z, log(DOSE)),
            "size": Numbers(torch.tensor([0.0]), torch.tensor([1.0]), z, log(SIZE), logarithmic=True),
            "side": Choice(torch.cat([torch.zeros_like(z), 4.0 * z], 1)),
        }


def patients(count: int, seed: int) -> Part:
    draw = torch.randn(4, count, 1, generator=torch.Generator().manual_seed(seed))
    z = draw[0]
    right = torch.rand(count, generator=torch.Generator().manual_seed(seed + 1)) < torch.sigmoid(4.0 * z[:, 0])
    others = {"dose": 10.0 + 3.0 * (z + DOSE * draw[2]), "size": (z + SIZE * draw[3]).exp(), "side": right.long()}
    return Part(z + SEEN * draw[1], torch.arange(count), name="scan", others=others)


def measured(part: Part, count: int = 100_000) -> dict[str, Metric]:
    parts = (part, patients(4_001, 10))
    steps = predictions.figures(Known(), MODALITIES, parts, "test", count, torch.device("cpu"))
    while True:
        try:
            assert 0.0 <= next(steps) <= 1.0
        except StopIteration as finished:
            found: dict[str, Metric] = finished.value
            return found


def test_the_errors_are_those_of_the_exact_posterior() -> None:
    found = measured(patients(800, 0))

    def expected(*precisions: float) -> float:
        return LAPLACE_OF_A_GAUSSIAN * 3.0 * math.sqrt(1.0 / (1.0 + sum(precisions)) + DOSE**2)

    answers = {
        "error scan → dose": expected(SEEN**-2),
        "error rest → dose": expected(SEEN**-2, SIZE**-2),
        "error nothing → dose": expected(),
    }
    for name, value in answers.items():
        assert abs(found[name].value - value) < 4.0 * found[name].error and 0.0 < found[name].error < 0.2
        assert found[name].unit == "mg" and found[name].lower_is_better
    assert answers["error rest → dose"] + 4.0 * found["error rest → dose"].error < found["error scan → dose"].value
    # of a log-normal number E|x - median| = median' exp(s^2 / 2) (2 Phi(s) - 1), here over the prior
    s = math.sqrt(1.0 + SIZE**2)
    nothing = found["error nothing → size"]
    assert abs(nothing.value - math.exp(s**2 / 2) * math.erf(s / math.sqrt(2.0))) < 4.0 * nothing.error


def test_what_is_unknown_is_neither_predicted_from_nor_counted() -> None:
    part = patients(60, 3)
    part.x[:20], part.others["dose"][30:50] = math.nan, math.nan
    steps = predictions.predicting(Known(), MODALITIES, part, 60, torch.device("cpu"))
    try:
        while True:
            next(steps)
    except StopIteration as finished:
        medians = finished.value.medians
    alone, rest = medians[("scan",), "dose"], medians[("scan", "size", "side"), "dose"]
    assert alone[:20].isnan().all() and alone[20:].isfinite().all() and rest.isfinite().all()
    truth = part.others["dose"][:, 0]
    off = (alone - truth).abs()[[*range(20, 30), *range(50, 60)]]
    found = measured(part)["error scan → dose"]
    assert found.value == pytest.approx(float(off.mean()), rel=1e-6)
    assert found.error == pytest.approx(float(off.std()) / math.sqrt(20), rel=1e-5)


def test_the_median_of_a_mixture_has_half_of_it_on_either_side() -> None:
    mean, std = torch.tensor([[-1.0], [0.0], [5.0]]), torch.tensor([[0.3], [2.0], [0.1]])
    p = Numbers(torch.tensor([2.0]), torch.tensor([0.5]), mean, std.log(), logarithmic=True)
    median = predictions.mixture_median(p, 3)
    assert median.shape == (1, 1)
    standard = (median.log().double() - 2.0) / 0.5
    assert float(torch.special.ndtr((standard - mean) / std).mean()) == pytest.approx(0.5, abs=1e-6)
    single = predictions.mixture_median(p, 1)  # of one component it is that component's
    torch.testing.assert_close(single, (2.0 + 0.5 * mean).exp())


def test_the_area_is_the_share_of_pairs_ranked_rightly() -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.randint(0, 6, (300,), generator=generator).float()
    positive = torch.rand(300, generator=generator) < 0.15 * (1.0 + score)
    pairs = score[positive][:, None] - score[~positive]
    right = (pairs > 0).double() + 0.5 * (pairs == 0)
    value, error = predictions.area(score, positive)
    assert value == pytest.approx(float(right.mean()), abs=1e-12)
    drawn = torch.randint(0, 300, (200, 300), generator=generator)
    spread = torch.tensor([predictions.area(score[rows], positive[rows])[0] for rows in drawn]).std()
    assert error == pytest.approx(float(spread), rel=0.15)
    assert math.isnan(predictions.area(score, torch.zeros(300, dtype=torch.bool))[0])
    part = patients(1_000, 6)
    found = measured(part)["area scan → side: right"]
    best, _ = predictions.area(part.x[:, 0], part.others["side"] == 1)  # what the scan ranks cannot be ranked better
    assert best - 0.01 < found.value < best + 0.005 and not found.lower_is_better


def test_a_checkpoint_of_a_model_of_numbers_holds_these_figures() -> None:
    card = DataCard("scans", "Scans", "", MODALITIES)
    dataset = Dataset(card, {"train": patients(40, 0), "test": patients(20, 5)})
    sizes = {"latent": 2, "hidden": 4, "encoder_layers": 1, "decoder_layers": 1}
    model = registry.build("mvae", sizes, MODALITIES).eval()
    *_, last = figures_of(model, dataset, Evaluate("", samples=2))
    assert isinstance(last, Result)
    pairs = [f"error {given} → {name}" for given in ("scan", "rest", "nothing") for name in ("dose", "size")]
    assert {*pairs, "area scan → side: right", "area rest → side: right", "iwae"} <= last.value.keys()
    assert last.value["error scan → size"].unit == "mm"
    assert not predictions.predicts((MODALITIES[0], MODALITIES[3])) and not predictions.predicts(MODALITIES[1:2])
