"""What can be played, what is nearest, schedules, levels, guidance, likelihoods, samples: on tiny models."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from dgm_studio.core.recipes import read_recipe
from dgm_studio.core.requests import (
    DescribeDenoiser,
    Export,
    FindNearest,
    FollowLikelihood,
    MeasureLevels,
    PlayDenoising,
    RaceSamplers,
    SamplePrior,
    Sampling,
    SheetGuidance,
    ShowSchedule,
    ShowThumbnail,
    Source,
    to_json,
)
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry as data
from dgm_studio.data import toys
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models.diffusion_bound import bounding

from .conftest import frame, result
from .denoisers import PICTURES, POINTS, Known, card_of, denoising_bench

EVERY = [*PICTURES, *POINTS]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return denoising_bench()


@pytest.mark.parametrize("key", EVERY)
def test_what_can_be_played_is_told_and_can_be_played(bench: Workbench, key: str) -> None:
    told = frame(bench.answer(DescribeDenoiser(key, count=7)), "denoiser")
    assert told["kind"] == bench.model(key).module.noising().kind and told["pictures"] == (key in PICTURES)
    assert all(told[name].shape == (200,) for name in ("times", "log_snr", "alpha", "sigma"))
    assert np.all(np.diff(told["log_snr"]) > 0) and len(told["labels"]) == 7
    assert told["last"] == len(told["beta"]) == (20 if told["kind"] == "discrete" else 0)
    assert told["exact"] == (key in POINTS) and told["truth"] == ("eight-gaussians" if key in POINTS else "")
    assert [c["name"] for c in told["conditions"]] == (["digit"] if key in PICTURES else [])
    assert (told["judge"] is None) == (key in POINTS)
    for sampler, why in told["samplers"].items():
        asked = PlayDenoising(key, Sampling(sampler, 3), count=1)
        if why:
            with pytest.raises(Problem, match="cannot be used"):
                list(bench.answer(asked))
        else:
            assert frame(bench.answer(asked), "film")["done"]


def test_the_alpha_of_every_beta_is_the_models_own(bench: Workbench) -> None:
    told = frame(bench.answer(DescribeDenoiser("ddpm-pictures")), "denoiser")
    kept = bench.model("ddpm-pictures").module.tables.alpha_bar
    assert np.allclose(np.cumprod(1.0 - told["beta"].astype(float)), kept.numpy(), rtol=1e-4)


# -- nearest -----------------------------------------------------------------------------------------------------------


class Memory(torch.nn.Module):
    """Knows one training picture by heart and answers it whatever it sees."""

    def __init__(self, like: torch.nn.Module, picture: Tensor) -> None:
        super().__init__()
        self.like, self.picture = like, picture

    def noising(self):  # type: ignore[no-untyped-def]
        return self.like.noising()

    def support(self):  # type: ignore[no-untyped-def]
        return self.like.support()

    def conditions(self):  # type: ignore[no-untyped-def]
        return ()

    def estimate(self, x, t, given=None):  # type: ignore[no-untyped-def]
        from dgm_studio.models.capabilities import Estimate
        from dgm_studio.models.noising import along

        path = self.noising()
        clean = self.picture.to(x).expand_as(x)
        return Estimate(clean, (x - along(path.alpha(t), x) * clean) / along(path.sigma(t), x))


def test_a_picture_that_was_learnt_by_heart_is_found(bench: Workbench) -> None:
    part = data.load("digits8").split("train")
    module = Memory(bench.model("edm-pictures").module, 2.0 * part.batch(torch.tensor([17]))[0] - 1.0)
    bench.adopt(module, card_of(module, "memory", "digits8"))
    found = frame(bench.answer(FindNearest(PlayDenoising("memory", Sampling("ddim", 4), count=2), 1, 3)), "nearest")
    assert found["indices"][0] == 17 and found["distances"][0] < 1e-6 < found["typical"]["low"]
    assert found["typical"]["low"] < found["typical"]["middle"] and len(found["labels"]) == 3
    assert np.array_equal(found["picture"], found["pictures"][0])


@pytest.mark.parametrize("key", EVERY)
def test_the_nearest_examples_are_the_nearest_of_all(bench: Workbench, key: str) -> None:
    film = PlayDenoising(key, Sampling("ddim", 4), count=3, seed=2)
    found = frame(bench.answer(FindNearest(film, 2, 4)), "nearest")
    kept = bench.films.get(bench.model(key), film)
    assert kept is not None
    x = kept.x_at(4)[2:3].float()
    part = data.load(bench.model(key).card.data).split("train")
    mine = (x / 2 + 0.5).clamp(0, 1) if key in PICTURES else x
    apart = (part.batch(torch.arange(len(part))) - mine).flatten(1).square().mean(1).sqrt()
    assert np.allclose(found["distances"], apart.sort().values[:4].numpy(), atol=1e-5)
    with pytest.raises(Problem, match="samples 0 to 2"):
        list(bench.answer(FindNearest(film, 3)))


# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", EVERY)
def test_a_schedule_shows_the_source_under_more_and_more_noise(bench: Workbench, key: str) -> None:
    asked = ShowSchedule(key, source=Source(index=3), shown=(0.0, 0.5, 1.0))
    told = frame(bench.answer(asked), "schedule")
    shown = told["pictures"] if key in PICTURES else told["points"]
    clean = data.load(bench.model(key).card.data).split("test").batch(torch.arange(3, 4 if key in PICTURES else 203))
    clean = np.asarray(255.0 * clean[:, 0] if key in PICTURES else clean)
    away = [float(np.abs(shown[i].astype(float) - clean).mean()) for i in range(3)]
    assert away[0] < away[1] < away[2] and np.all(np.diff(told["shown_log_snr"]) < 0)
    assert not told["warnings"] and not told["terminal"]["bad"]


def test_knots_make_a_schedule_and_one_that_leaves_too_much_of_the_data_is_warned_of(bench: Workbench) -> None:
    bad = ShowSchedule("ddpm-pictures", "own", ((0.0, 4.0), (0.5, 1.0), (1.0, -1.0)))
    told = frame(bench.answer(bad), "schedule")
    assert told["terminal"]["bad"] and "terminal SNR is not zero" in told["warnings"][0]
    assert told["of"] == 20 and told["config"] == {"noise_schedule": "own", "knots": "0:4, 0.5:1, 1:-1"}
    assert np.isclose(told["log_snr"][0], 4.0) and np.isclose(told["log_snr"][-1], -1.0)
    assert np.isclose(told["terminal"]["alpha"], 1 / math.sqrt(1 + math.exp(2.0)))
    for name, expected in (("cosine", False), ("linear", False), ("scaled-linear", True)):
        found = frame(bench.answer(ShowSchedule("edm-points", name)), "schedule")
        assert found["of"] == 1000 and found["terminal"]["bad"] is expected, name
    for asked in (ShowSchedule("ddpm-pictures", "own"), ShowSchedule("ddpm-pictures", "square")):
        with pytest.raises(Problem):
            list(bench.answer(asked))


# -- levels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", EVERY)
def test_every_level_is_measured(bench: Workbench, key: str) -> None:
    updates = list(bench.answer(MeasureLevels(key, bins=4, count=24)))
    told = frame(updates, "levels")
    assert sum(isinstance(u, Frame) for u in updates) == 5 and told["done"] and told["count"] == 24
    assert all(told[name].shape == (4,) for name in ("times", "log_snr", "loss", "error", "clean", "bound", "change"))
    assert np.all(told["loss"] > 0) and np.all(np.diff(told["log_snr"]) < 0) and np.all(told["change"] > 0)
    assert np.isfinite(told["bound"]).all() == np.isfinite(told["total"]) == key.startswith("ddpm")
    assert np.isfinite(told["exact"]).all() == (key in POINTS)


def test_the_bins_of_the_bound_add_up_to_the_whole_bound(bench: Workbench) -> None:
    model = bench.model("ddpm-pictures")
    x = 2.0 * data.load("digits8").split("valid").batch(torch.arange(200)) - 1.0
    with torch.no_grad():
        steps = bounding(model.module, x.double(), torch.Generator().manual_seed(0))
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                exact = float(finished.value.bits().mean())
                break
    told = frame(bench.answer(MeasureLevels("ddpm-pictures", bins=20, count=200)), "levels")
    assert told["total"] == pytest.approx(exact, rel=0.03)


def test_a_perfect_model_has_the_loss_of_the_exact_denoiser_at_every_level(bench: Workbench) -> None:
    from dgm_studio.explore.denoising_truth import _toy

    truth = _toy("eight-gaussians")
    assert truth is not None
    module = Known(bench.model("flow-matching-points").module.noising(), truth.mixture)  # type: ignore[arg-type]
    bench.adopt(module, card_of(module, "perfect", "eight-gaussians"))
    told = frame(bench.answer(MeasureLevels("perfect", bins=3, count=50)), "levels")
    assert np.array_equal(told["loss"], told["exact"])


# -- likelihood --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["edm", "flow-matching"])
def test_the_likelihood_under_the_exact_score_is_the_exact_one(bench: Workbench, system: str) -> None:
    from dgm_studio.explore.denoising_truth import _toy

    truth = _toy("eight-gaussians")
    assert truth is not None
    module = Known(bench.model(f"{system}-points").module.noising(), truth.mixture)  # type: ignore[arg-type]
    bench.adopt(module, card_of(module, "known", "eight-gaussians"))
    told = frame(bench.answer(FollowLikelihood("known", count=40, steps=60)), "likelihood")
    assert np.abs(told["log_prob"] - told["exact"]).max() < 0.05
    x = data.load("eight-gaussians").split("test").batch(torch.arange(40))
    assert np.allclose(told["exact"], toys.log_density("eight-gaussians", x).numpy(), atol=1e-4)
    assert np.allclose(told["bits"], -told["log_prob"] / (2 * math.log(2)), atol=1e-5)
    assert told["error"] == pytest.approx(float(np.std(told["log_prob"], ddof=1)) / math.sqrt(40), rel=1e-4)


@pytest.mark.parametrize("key", EVERY)
def test_every_model_has_a_likelihood_that_repeats(bench: Workbench, key: str) -> None:
    first, again = (frame(bench.answer(FollowLikelihood(key, count=5, steps=6)), "likelihood") for _ in range(2))
    assert np.isfinite(first["log_prob"]).all() and np.array_equal(first["log_prob"], again["log_prob"])
    assert ("exact divergence" in first["estimator"]) == (key in POINTS)
    if key in PICTURES:  # an untrained model is worse than 8 bits, which every picture can be told in
        assert 7.0 < first["bits"].mean() < 14.0 and np.isnan(first["exact"]).all()


# -- guidance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PICTURES)
def test_a_sheet_has_the_results_of_the_films_of_its_cells(bench: Workbench, key: str) -> None:
    asked = SheetGuidance(
        key, guidance=(0.0, 3.0), steps=(3, 5), condition={"digit": 4}, count=2, sampling=Sampling("heun")
    )
    told = frame(bench.answer(asked), "sheet")
    assert told["pictures"].shape == (2, 2, 8, 8) and told["done_cells"] == 4
    assert told["agrees"].shape == (2, 2) and np.isin(told["agrees"], (0.0, 0.5, 1.0)).all()
    film = PlayDenoising(key, Sampling("heun", 5, guidance=3.0), count=2, condition={"digit": 4})
    last = frame(bench.answer(film), "step/5")
    assert np.array_equal(told["pictures"][1, 1], last["x"][0])
    free = frame(bench.answer(PlayDenoising(key, Sampling("heun", 3), count=2)), "step/3")
    assert np.array_equal(told["pictures"][0, 0], free["x"][0])
    with pytest.raises(Problem, match="something to follow"):
        list(bench.answer(SheetGuidance(key)))


# -- samples and files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", EVERY)
def test_samples_and_a_thumbnail_come_without_latents(bench: Workbench, key: str) -> None:
    many, few = (frame(bench.answer(SamplePrior(key, n, seed=3)), "samples") for n in (40, 5))
    name = "pictures" if key in PICTURES else "points"
    assert len(many[name]) == 40 and many["z"].shape == (40, 0)
    difference = np.abs(many[name][:5].astype(float) - few[name].astype(float)).max()
    assert difference <= (1 if key in PICTURES else 1e-5)  # round-off of another batch
    assert frame(bench.answer(ShowThumbnail(key)), "thumbnail")["picture"].ndim == 2
    with pytest.raises(Problem, match="truncate"):
        list(bench.answer(SamplePrior(key, 4, truncation=0.5)))


@pytest.mark.parametrize(
    ("asked", "ending", "size"),
    [
        (PlayDenoising("ddpm-pictures", Sampling("ddim", 6), count=4), ".gif", (2 * 18 + 6, 18)),
        (PlayDenoising("ddpm-pictures", Sampling("ddim", 6), count=4), ".png", (7 * 10 - 2, 8 * 10 - 2)),
        (PlayDenoising("edm-points", Sampling("heun", 6), count=50), ".gif", (2 * 64 + 6, 64)),
        (FindNearest(PlayDenoising("ddpm-pictures", Sampling("ddim", 6), count=4), 1, 3), ".png", (2 * 10 - 2, 18)),
        (ShowSchedule("ddpm-pictures"), ".png", (9 * 10 - 2, 8)),
    ],
)
def test_films_and_pages_are_written_with_their_recipe(
    bench: Workbench, tmp_path: Path, asked: object, ending: str, size: tuple[int, int]
) -> None:
    path = Path(result(bench.answer(Export(to_json(asked), str(tmp_path / f"file{ending}")))))
    with Image.open(path) as picture:
        assert picture.size == size
        if ending != ".png":  # equal pictures become one that is shown for longer
            durations = [shot.info["duration"] for shot in ImageSequence.Iterator(picture)]
            assert len(durations) >= 5 and sum(durations) == pytest.approx(3000, rel=0.1)
            assert durations[-1] >= 600  # the result is held
    recipe = read_recipe(path)
    assert recipe is not None and recipe.asked() == asked and recipe.model


def test_races_and_sheets_are_written_as_pages(bench: Workbench, tmp_path: Path) -> None:
    lanes = (Sampling("ddpm"), Sampling("ddim"))
    for asked in (
        RaceSamplers("ddpm-pictures", lanes, 4, count=3),
        RaceSamplers("edm-points", lanes, 4, count=30, with_exact=True),
        SheetGuidance("ddpm-pictures", guidance=(1.0, 2.0), steps=(2, 3), condition={"digit": 1}),
    ):
        path = Path(result(bench.answer(Export(to_json(asked), str(tmp_path / "page.png")))))
        with Image.open(path) as picture:
            assert min(picture.size) > 60
