"""The invented fundus set: its story, its pictures, and what is attainable on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgm_studio.core.resources import resource
from dgm_studio.data import fundus
from dgm_studio.data.fundus_drawing import TRAITS, draw, parameters
from dgm_studio.data.registry import card, load
from dgm_studio.data.splits import SPLITS


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(resource("data", "fundus.npz"), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_the_set_says_that_it_is_synthetic_wherever_it_is_named() -> None:
    described = card("fundus")
    assert described.synthetic and "synthetic" in described.title.lower() and "Synthetic" in described.summary
    assert "SYNTHETIC" in resource("data", "fundus.md").read_text("utf-8")
    assert not card("fundus-photo").synthetic and "CC0" in card("fundus-photo").licence


def test_stored_pictures_are_drawn_again_byte_for_byte(stored: dict[str, np.ndarray]) -> None:
    palette = stored["palette"].astype(np.int64)
    for index in (0, 1, 2718, 5999):
        drawn = fundus.redraw(index).astype(np.int64)
        nearest = ((drawn[:, :, None] - palette) ** 2).sum(3)
        kept = np.take_along_axis(nearest, stored["pixels"][index].astype(np.int64)[..., None], 2)[..., 0]
        assert np.array_equal(kept, nearest.min(2))
        traits = stored["traits"][index].astype(np.float64)
        assert np.array_equal(draw(traits, fundus.scene(index, stored["pigment"][index])), drawn)


def test_the_stored_traits_and_truths_are_those_of_the_seed(stored: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(fundus.SEED)
    truth = fundus.sample_records(3000, rng)
    traits = fundus.sample_traits(truth, rng).reshape(-1, len(TRAITS))
    assert np.allclose(stored["traits"], traits, atol=4e-3)
    for name in ("age", "sbp", "hba1c"):
        assert np.allclose(stored[f"truth_{name}"][::2], truth[name], rtol=1e-6)


def test_both_eyes_of_a_patient_share_a_split_and_a_record(stored: dict[str, np.ndarray]) -> None:
    owners = [set(stored["patient"][stored[split]].tolist()) for split in SPLITS]
    assert [len(patients) for patients in owners] == [2400, 300, 300]
    assert len(set.union(*owners)) == 3000
    for name in ("value_age", "value_sbp", "value_hba1c", "factor_sex", "factor_smoking"):
        left, right = stored[name][::2], stored[name][1::2]
        assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f")


def test_numbers_come_as_views_with_gaps_in_hba1c_alone_and_the_card_knows_their_scale() -> None:
    data = load("fundus")
    part = data.split("train")
    views = part.views(torch.arange(len(part)))
    assert set(views) == {"image", "age", "sbp", "hba1c", "sex", "smoking"}
    missing = views["hba1c"].isnan()
    assert missing.shape == (4800, 1) and abs(float(missing.float().mean()) - 0.4) < 0.04
    for modality in data.card.modalities[1:4]:
        x = views[modality.name].double()
        assert x.shape == (4800, 1)
        known = x[~x.isnan()]
        assert len(known) == 4800 or modality.name == "hba1c"
        known = known.log() if modality.kind == "positive" else known
        assert abs(float(known.mean()) - modality.centre[0]) < 1e-3 and modality.unit
        assert abs(float(known.std(correction=0)) - modality.spread[0]) < 1e-3
    # completely at random: those without a value are no older than those with one
    age = views["age"]
    apart = age[missing].mean() - age[~missing].mean()
    assert abs(float(apart)) < 4.0 * float(age.std()) * (1 / 960 + 1 / 1440) ** 0.5


def test_the_posterior_agrees_with_weighing_many_invented_patients() -> None:
    """Monte Carlo with no formula in common: patients drawn from the story, weighed by how well they fit the traits."""
    rng = np.random.default_rng(3)
    patient = fundus.sample_records(4, rng)
    traits = fundus.sample_traits(patient, rng)[:, 0]
    # three traits that tell of everything a little, so that the weights stay even
    few = [TRAITS.index(name) for name in ("lens", "calibre", "macula", "arcade")]
    crowd = fundus.sample_records(400_000, rng)
    expected = fundus.expected_traits(crowd)[:, few]
    noise = fundus.NOISE.copy()
    noise[[i for i in range(len(TRAITS)) if i not in few]] = 1e6  # as good as unseen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fundus, "NOISE", noise)
        best = fundus.read(traits)
    for i in range(4):
        log_weight = -0.5 * (((traits[i, few] - expected) / noise[few]) ** 2).sum(1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        error = 5.0 / np.sqrt(1.0 / (weight**2).sum())  # five standard errors, in standard deviations
        assert error < 0.15
        for name, median in (("age", best.age_median), ("sbp", best.sbp_median), ("hba1c", best.hba1c_median)):
            below = weight[crowd[name] < median[i]].sum()
            assert abs(below - 0.5) < error / 2, name
        assert abs((weight * crowd["age"]).sum() - best.age_mean[i]) < error * 11.0
        assert abs((weight * crowd["sbp"]).sum() - best.sbp_mean[i]) < error * 17.0
        assert abs(weight[crowd["sex"] == 1].sum() - best.male[i]) < error / 2
        for habit in range(3):
            assert abs(weight[crowd["smoking"] == habit].sum() - best.smoking[i, habit]) < error / 2


def test_hba1c_given_the_rest_is_the_conditional_of_the_joint_gaussian() -> None:
    """What is left over is uncorrelated with everything that was given, as it must be for jointly Gaussian numbers."""
    rng = np.random.default_rng(4)
    people = fundus.sample_records(30_000, rng)
    traits = fundus.sample_traits(people, rng)[:, 0]
    truth = np.log(people["hba1c"])
    residual = truth - np.log(fundus.read_hba1c(people, traits))
    causes = np.stack([people["age"], np.log(people["sbp"]), people["sex"], people["smoking"] == 1], 1)
    for column in np.concatenate([traits, causes, (people["smoking"] == 2)[:, None]], 1).T:
        # nothing that is given tells anything about what is left over
        assert abs(np.corrcoef(column, residual)[0, 1]) < 4.5 / np.sqrt(len(people))
    alone = truth - np.log(fundus.read_hba1c(people, None))
    assert residual.std() < alone.std() < truth.std()


def test_what_is_attainable_is_what_the_stored_readings_reach(stored: dict[str, np.ndarray]) -> None:
    attainable, readings = fundus.optimum(), fundus.readings()
    assert set(attainable) == {"age", "sbp", "sex", "smoking", "hba1c", "hba1c | rest", "hba1c | record"}
    for name, found in attainable.items():
        truth = readings[f"{name.split(' | ')[0]} truth"]
        assert len(truth) == 600
        if found["measure"] == "mean absolute error":
            value = float(np.abs(readings[name] - truth).mean())
            assert found["value"] < found["baseline"]
        else:
            value = fundus.area(readings[name].astype(np.float64), truth > 0.5)
            assert found["value"] > found["baseline"] == 0.5
        assert value == pytest.approx(found["value"], abs=1e-4)
        assert abs(found["value"] - found["population"]) < 4.5 * found["error"]
    again = fundus.read(stored["traits"][stored["test"]].astype(np.float64))
    assert np.allclose(again.age_median, readings["age"], atol=1e-3)
    assert np.array_equal(readings["age truth"], stored["truth_age"][stored["test"]])


def test_no_other_guess_errs_less_than_the_posterior_median() -> None:
    rng = np.random.default_rng(5)
    people = fundus.sample_records(8000, rng)
    traits = fundus.sample_traits(people, rng)[:, 0]
    best = fundus.read(traits)
    least = np.abs(best.age_median - people["age"]).mean()
    design = np.concatenate([traits, traits**2, np.ones((8000, 1))], 1)
    fitted = design @ np.linalg.lstsq(design, people["age"], rcond=None)[0]
    assert least < np.abs(fitted - people["age"]).mean() + 0.02
    # what the posterior expects of its own error is what happens
    expected = (best.age * np.abs(fundus.GRID - best.age_median[:, None])).sum(1).mean()
    assert expected == pytest.approx(least, rel=0.03)


def test_the_area_under_the_curve_counts_pairs() -> None:
    score, positive = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True])
    assert fundus.area(score, positive) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_twenty_years_more_yellow_the_same_eye_and_leave_its_vessels_where_they_are() -> None:
    now, later = (fundus.redraw(12, {"age": age}).astype(float) for age in (45.0, 65.0))
    inside = now.sum(2) > 60
    # the disc, the bluest part, loses its blue behind an old lens
    blue = [np.sort(image[..., 2].ravel())[-12:].mean() for image in (now, later)]
    assert blue[1] < 0.9 * blue[0]
    same = np.corrcoef(now[..., 1][inside], later[..., 1][inside])[0, 1]
    other = np.corrcoef(now[..., 1][inside], fundus.redraw(40, {"age": 65.0}).astype(float)[..., 1][inside])[0, 1]
    assert same > 0.8 and same > other + 0.2


def test_a_trait_and_what_is_drawn_from_it_tell_the_same() -> None:
    steps = np.linspace(-4.0, 4.0, 9)
    for i, name in enumerate(TRAITS):
        values = [parameters(np.eye(len(TRAITS))[i] * step)[name] for step in steps]
        assert (np.diff(values) > 0).all()


def test_patches_of_different_splits_share_no_part_of_the_photograph() -> None:
    with np.load(resource("data", "fundus-photo.npz"), allow_pickle=False) as arrays:
        cells = [set(arrays["cell"][arrays[split]].tolist()) for split in SPLITS]
    assert all(cells) and not (cells[0] & cells[1] or cells[0] & cells[2] or cells[1] & cells[2])
    assert load("fundus-photo").split("test").views(torch.arange(3))["image"].shape == (3, 3, 32, 32)
