"""Films: every step, every beginning, branches that repeat their parents, what is kept, what is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dgm_studio.core.requests import Beginning, PlayDenoising, Sampling, Source, from_json, to_json
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.explore.denoising_shelf import Shelf
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models.capabilities import Estimate

from .conftest import frame
from .denoisers import PICTURES, POINTS, card_of, denoising_bench

EIGHT = Sampling("ddim", 8)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return denoising_bench()


def steps_of(updates: Any) -> dict[int, dict[str, Any]]:
    """The last Frame of every step."""
    return {u.data["index"]: u.data for u in updates if isinstance(u, Frame) and u.topic.startswith("step/")}


def xs_of(bench: Workbench, asked: PlayDenoising) -> dict[int, Tensor]:
    """Every x_t that the worker keeps of a film, after playing it."""
    list(bench.answer(asked))
    film = bench.films.get(bench.model(asked.model), asked)
    assert film is not None
    return {index: film.x_at(index) for index in range(film.first, film.reached + 1)}


@pytest.mark.parametrize("key", [*PICTURES, *POINTS])
def test_a_film_has_every_step_from_the_noise_to_the_data_and_ends_with_its_own_clean_estimate(
    bench: Workbench, key: str
) -> None:
    updates = list(bench.answer(PlayDenoising(key, EIGHT, count=3, seed=1)))
    about, steps = frame(updates, "film"), steps_of(updates)
    assert sorted(steps) == list(range(9)) and about["done"] and about["from"] == 0
    assert np.all(np.diff(about["times"]) < 0) and np.all(np.diff(about["log_snr"]) > 0)
    assert (
        about["log_snr"][-1] == math.inf
        and about["evaluations"] == 8
        and len(about["judged"]) == (3 if key in PICTURES else 0)
    )
    assert np.array_equal(steps[8]["x"], steps[8]["clean"]) and not steps[8].get("partial")
    shape = (3, 8, 8) if key in PICTURES else (3, 2)
    kind = np.uint8 if key in PICTURES else np.float32
    for step in steps.values():
        assert all(step[name].shape == shape and step[name].dtype == kind for name in ("x", "clean", "noise"))
        assert not len(step["difference"]) and all(len(v) in (0, 3) for v in step["norms"].values())


def test_the_first_picture_comes_before_the_model_was_asked(bench: Workbench) -> None:
    updates = iter(bench.answer(PlayDenoising("ddpm-pictures", EIGHT, seed=99)))
    first = next(u for u in updates if isinstance(u, Frame) and u.topic == "step/0")
    assert first.data["partial"] and first.data["x"].std() > 50 and first.data["clean"].std() == 0


@pytest.mark.parametrize("key", [*PICTURES, *POINTS])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp-2m", "heun"])
def test_a_branch_with_nothing_changed_repeats_its_parent_bit_for_bit(bench: Workbench, key: str, sampler: str) -> None:
    sampling = Sampling(sampler, 7, eta=0.5 if sampler == "ddim" else 0.0, churn=4.0 if sampler == "heun" else 0.0)
    parent = PlayDenoising(key, sampling, count=3, seed=5)
    branch = PlayDenoising(key, sampling, count=3, seed=5, parent=parent, at=4)
    told, grown = xs_of(bench, parent), xs_of(bench, branch)
    assert sorted(grown) == [4, 5, 6, 7]
    assert all(torch.equal(told[index], x) for index, x in grown.items())
    other = xs_of(bench, replace(branch, seed=6))
    assert torch.equal(other[4], told[4])
    assert torch.equal(other[7], told[7]) == (sampler == "dpmpp-2m")  # the only one of them that draws nothing


def test_a_parent_that_is_not_kept_is_followed_again_to_the_same_branch(bench: Workbench) -> None:
    root = PlayDenoising("ddpm-pictures", Sampling("dpmpp-2m", 8), count=2, seed=3)
    child = PlayDenoising("ddpm-pictures", Sampling("ddim", 12), count=2, seed=4, parent=root, at=3)
    leaf = PlayDenoising("ddpm-pictures", Sampling("dpmpp-2m", 6), count=2, seed=9, parent=child, at=5)
    list(bench.answer(root))
    known = xs_of(bench, leaf)
    assert sorted(known)[0] == 5
    bench.films.clear()
    again = xs_of(bench, leaf)
    assert sorted(again) == sorted(known) and all(torch.equal(known[i], again[i]) for i in known)
    early = replace(leaf, at=2)  # before the child's own steps: it grows from the root there
    assert torch.equal(xs_of(bench, early)[2], xs_of(bench, root)[2])


def test_a_branch_takes_the_cleaner_levels_of_its_own_sampling_and_other_settings_from_there(bench: Workbench) -> None:
    root = PlayDenoising("ddpm-pictures", EIGHT, count=2, seed=3)
    updates = list(bench.answer(replace(root, sampling=Sampling("ddim", 16), parent=root, at=4)))
    times = frame(updates, "film")["times"]
    assert np.array_equal(times[:5], frame(bench.answer(root), "film")["times"][:5])
    assert len(times) - 1 > 8 and frame(updates, "film")["from"] == 4
    given = replace(root, condition={"digit": 7}, sampling=replace(EIGHT, guidance=3.0), parent=root, at=4)
    last = steps_of(bench.answer(given))
    assert min(last) == 4 and last[5]["difference"].shape == (2, 8, 8) and last[5]["difference"].max() == 255
    assert frame(bench.answer(given), "film")["names"] == "digit: 7"


def test_samples_do_not_hang_on_how_many_are_followed_together(bench: Workbench) -> None:
    many = xs_of(bench, PlayDenoising("edm-pictures", Sampling("heun", 5, churn=2.0), count=5, seed=8))
    one = xs_of(bench, PlayDenoising("edm-pictures", Sampling("heun", 5, churn=2.0), count=1, seed=8))
    assert all(torch.allclose(many[i][:1], one[i], atol=1e-5) for i in one)


def test_closing_a_film_at_any_yield_leaves_it_ready_to_go_on(bench: Workbench) -> None:
    asked = PlayDenoising("flow-matching-pictures", Sampling("heun", 5), count=2, seed=11)
    whole = xs_of(bench, asked)
    count = len(list(bench.answer(replace(asked, seed=12))))
    assert count > 10
    for stop in range(1, count):
        bench.films.clear()
        updates = bench.answer(asked)
        for _ in range(stop):
            next(updates, None)
        assert isinstance(updates, Iterator)
        updates.close()  # type: ignore[attr-defined]
        again = xs_of(bench, asked)
        assert sorted(again) == sorted(whole) and all(torch.equal(whole[i], again[i]) for i in whole)
        assert sorted(steps_of(bench.answer(asked))) == [0, 1, 2, 3, 4, 5]


def test_two_questions_that_follow_one_film_at_once_both_see_all_of_it(bench: Workbench) -> None:
    asked = PlayDenoising("ddpm-points", Sampling("dpmpp-2m", 6), count=4, seed=21)
    whole = xs_of(bench, asked)
    bench.films.clear()
    first, second, seen = bench.answer(asked), bench.answer(asked), ([], [])
    running = [(first, seen[0]), (second, seen[1])]
    while running:
        for updates, found in list(running):
            for _ in range(2 + (updates is second)):
                update = next(updates, None)
                if update is None:
                    running.remove((updates, found))
                    break
                found.append(update)
    assert sorted(steps_of(seen[0])) == sorted(steps_of(seen[1])) == list(range(7))
    assert np.array_equal(steps_of(seen[0])[6]["x"], whole[6].float().numpy())


def test_a_film_at_half_the_pace_sends_every_second_step_and_the_ends(bench: Workbench) -> None:
    asked = PlayDenoising("ddpm-points", Sampling("ddim", 7), count=2, half=2)
    assert sorted(steps_of(bench.answer(asked))) == [0, 2, 4, 6, 7]
    small, all_of_it = (frame(bench.answer(replace(asked, half=h)), "film")["bytes"] for h in (2, 1))
    assert small < all_of_it


def test_a_whole_film_takes_the_memory_that_was_stated_before_it_was_recorded(bench: Workbench) -> None:
    asked = PlayDenoising("ddpm-pictures", replace(EIGHT, guidance=2.0), count=4, condition={"digit": 2})
    updates = list(bench.answer(asked))
    stated = next(u for u in updates if isinstance(u, Frame) and u.topic == "film").data["bytes"]
    film = bench.films.get(bench.model(asked.model), asked)
    assert film is not None and film.bytes == stated


def test_the_shelf_lets_go_of_what_was_used_longest_ago_and_never_takes_what_is_too_large(bench: Workbench) -> None:
    model = bench.model("ddpm-points")
    asked = [PlayDenoising("ddpm-points", Sampling("ddim", 6), count=3, seed=seed) for seed in range(4)]
    films = []
    for one in asked:
        list(bench.answer(one))
        films.append(bench.films.get(model, one))
    size = films[0].bytes
    shelf = Shelf(3 * size)
    for film in films[:3]:
        shelf.put(model, film)
    assert shelf.get(model, asked[0]) is films[0] and len(shelf) == 3
    shelf.put(model, films[3])
    assert shelf.get(model, asked[1]) is None and shelf.get(model, asked[0]) is films[0] and shelf.bytes <= 3 * size
    small = Shelf(size - 1)
    small.put(model, films[0])
    assert len(small) == 0


# -- beginnings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PICTURES)
def test_what_is_kept_of_a_picture_is_there_at_the_end_and_elsewhere_the_samples_differ(
    bench: Workbench, key: str
) -> None:
    mask = tuple(tuple(int(j < 4) for j in range(8)) for _ in range(8))
    beginning = Beginning(source=Source(index=5), mask=mask, resample=2)
    asked = PlayDenoising(key, Sampling("ddpm", 6), count=3, beginning=beginning)
    x = xs_of(bench, asked)[6]
    known = bench.model(key)
    source = 2.0 * next(iter(_examples(bench, known.card.data, 5))) - 1.0
    assert torch.allclose(x[:, :, :, :4].float(), source[:, :, :4].expand(3, -1, -1, -1))
    assert float((x[0] - x[1]).abs().max()) > 0.01
    branch = replace(asked, parent=asked, at=3)
    assert torch.equal(xs_of(bench, branch)[6], x)
    looking_back = replace(asked, sampling=Sampling("dpmpp-2m", 6))
    whole = xs_of(bench, looking_back)
    again = xs_of(bench, replace(looking_back, parent=looking_back, at=0))
    assert torch.equal(whole[6], again[6])


def _examples(bench: Workbench, name: str, index: int) -> Tensor:
    from dgm_studio.data import registry as data

    return data.load(name).split("test").batch(torch.tensor([index]))


@pytest.mark.parametrize("key", [*PICTURES, *POINTS])
def test_a_shallow_beginning_makes_few_steps_and_stays_near_its_source(bench: Workbench, key: str) -> None:
    far = []
    for depth in (0.2, 1.0):
        asked = PlayDenoising(key, Sampling("ddim", 10), count=4, beginning=Beginning("picture", depth=depth))
        found = xs_of(bench, asked)
        assert len(found) == (3 if depth == 0.2 else 11)
        source = _examples(bench, bench.model(key).card.data, 0)
        source = 2.0 * source - 1.0 if key in PICTURES else source
        far.append(float((found[len(found) - 1] - source).square().mean().sqrt()))
    assert far[0] < far[1]


def test_a_picture_comes_back_from_the_noise_that_is_found_behind_it(bench: Workbench) -> None:
    asked = PlayDenoising("edm-points", Sampling("ddim", 40), count=1, beginning=Beginning("inverted"))
    x = xs_of(bench, asked)[40]
    assert torch.allclose(x.float(), _examples(bench, "eight-gaussians", 0), atol=2e-3)


def test_between_two_seeds_the_ends_are_the_films_of_those_seeds(bench: Workbench) -> None:
    def ends(seed: int, beginning: Beginning) -> Tensor:
        return xs_of(bench, PlayDenoising("ddpm-pictures", EIGHT, 2, seed, beginning=beginning))[8]

    for weight, seed in ((0.0, 3), (1.0, 4)):
        there = ends(3, Beginning("between", other=4, weight=weight))
        assert torch.equal(there, ends(seed, Beginning()))


# -- troubles ----------------------------------------------------------------------------------------------------------


class Broken(nn.Module):
    """A model whose clean estimate is always the same number."""

    def __init__(self, like: Any, value: float) -> None:
        super().__init__()
        self.like, self.value = like, value

    def noising(self) -> Any:
        return self.like.noising()

    def support(self) -> Any:
        return self.like.support()

    def conditions(self) -> Any:
        return ()

    def estimate(self, x: Tensor, t: Tensor, given: Any = None) -> Estimate:
        clean = torch.full_like(x, self.value)
        sigma = self.noising().sigma(t).to(x)
        return Estimate(clean, (x - self.noising().alpha(t).to(x) * clean) / sigma)


@pytest.mark.parametrize(
    ("value", "said"),
    [(math.nan, "not finite"), (-1.0, "are black"), (1.0, "are white"), (0.2, "are the same"), (60.0, "Far outside")],
)
def test_what_went_wrong_is_said_in_words(bench: Workbench, value: float, said: str) -> None:
    module = Broken(bench.model("edm-pictures").module, value)
    bench.adopt(module, card_of(module, "broken", "digits8"))
    sampling = Sampling("ddim", 12, clip="none")
    about = frame(bench.answer(PlayDenoising("broken", sampling, count=4)), "film")
    assert any(said in sentence for sentence in about["warnings"]), about["warnings"]


def test_too_few_steps_and_guidance_without_a_condition_are_said_before_anything_is_made(bench: Workbench) -> None:
    asked = PlayDenoising("ddpm-pictures", Sampling("ddim", 3, guidance=4.0), count=2, seed=77)
    first = next(u for u in bench.answer(asked) if isinstance(u, Frame))
    assert any("3 steps are too few" in s for s in first.data["warnings"])
    assert any("Guidance has nothing to follow" in s for s in first.data["warnings"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"count": 0}, "samples"),
        ({"count": 10**7}, "samples"),
        ({"sampling": Sampling("ddim", 0)}, "steps"),
        ({"sampling": Sampling("ddim", 10**6)}, "steps"),
        ({"sampling": Sampling("euler-flow", 5)}, "cannot be used"),
        ({"sampling": Sampling("nothing", 5)}, "no sampler"),
        ({"condition": {"hair": 1}}, "cannot be given"),
        ({"condition": {"digit": 10}}, "does not fit"),
        ({"half": 0}, "sent"),
        ({"beginning": Beginning(mask=((1, 0),))}, "mask"),
        ({"beginning": Beginning("picture", Source(index=10**6))}, "examples"),
        ({"beginning": Beginning("picture", depth=0.0)}, "depth"),
        ({"beginning": Beginning("elsewhere")}, "beginning"),
        ({"beginning": Beginning("between", weight=2.0)}, "weights"),
        ({"parent": PlayDenoising("ddpm-pictures", EIGHT), "at": 8}, "branch at 8"),
        ({"parent": PlayDenoising("edm-pictures", EIGHT), "at": 2}, "same model"),
    ],
)
def test_what_cannot_be_played_is_refused_in_words(bench: Workbench, changes: dict[str, Any], said: str) -> None:
    asked = replace(PlayDenoising("ddpm-pictures", EIGHT, count=2), **changes)
    with pytest.raises(Problem) as refused:
        list(bench.answer(asked))
    assert said in str(refused.value)


def test_a_tree_of_films_survives_being_written_as_json() -> None:
    root = PlayDenoising(
        "m", EIGHT, beginning=Beginning(mask=((1, 0), (0, 1)), source=Source(picture=((1, 2), (3, 4))))
    )
    leaf = PlayDenoising("m", Sampling("heun", 4, levels=(-1.0, 2.0)), condition={"digit": 3}, parent=root, at=2)
    assert from_json(to_json(leaf)) == leaf
