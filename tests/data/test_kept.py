"""What is kept of a modality: exact counts, the same by seed, and nothing else touched."""

from __future__ import annotations

import pytest
import torch

from dgm_studio.core.updates import Problem
from dgm_studio.data.kept import keep, split_name
from dgm_studio.data.registry import card, cards, load


def test_ten_labels_a_class_are_exactly_ten_and_everything_else_is_as_it_was() -> None:
    whole, kept = load("mnist5k"), load("mnist5k~digit=10")
    labels = kept.split("train").others["digit"]
    assert torch.bincount(labels[labels >= 0], minlength=10).tolist() == [10] * 10 and int((labels == -1).sum()) == 3900
    known = labels >= 0
    assert torch.equal(labels[known], whole.split("train").factors["digit"][known])
    assert torch.equal(kept.split("train").factors["digit"], whole.split("train").factors["digit"])
    assert torch.equal(kept.split("train").x, whole.split("train").x)
    for split in ("valid", "test"):
        assert torch.equal(kept.split(split).others["digit"], whole.split(split).factors["digit"])


def test_the_card_says_so_and_is_known_without_loading() -> None:
    kept = card("mnist5k~digit=10")
    assert kept.title == "MNIST digits, 5,000: 10 labels a class" and kept.name == "mnist5k~digit=10"
    assert "10 labels a class" in kept.summary and "seed" in kept.changes
    sums = {card(f"mnist5k{ending}").sha256 for ending in ("", "~digit=10", "~digit=11", "~digit=10%")}
    assert len(sums) == 4
    assert load("mnist5k~digit=10").card == kept == load("mnist5k~digit=010").card
    assert "mnist5k~digit=10" not in cards()


def test_the_ten_of_a_class_are_among_the_twenty_of_it() -> None:
    ten, twenty = (load(f"mnist5k~digit={n}").split("train").others["digit"] for n in (10, 20))
    assert bool((twenty[ten >= 0] == ten[ten >= 0]).all()) and not torch.equal(ten, twenty)


def test_a_share_holds_the_classes_in_proportion() -> None:
    labels = load("mnist5k~digit=2.5%").split("train").others["digit"]
    assert int((labels >= 0).sum()) == 100
    assert torch.bincount(labels[labels >= 0], minlength=10).tolist() == [10] * 10


def test_pictures_attributes_and_sentences_can_be_missing_too() -> None:
    part = load("pixelfaces~attributes=300,sentence=20%").split("train")
    views = part.views(torch.arange(len(part)))
    assert int((views["attributes"] != -1).all(1).sum()) == 300 and int(
        (views["attributes"] == -1).all(1).sum()
    ) + 300 == len(part)
    assert int((views["sentence"][:, 0] != -1).sum()) == round(0.2 * len(part))
    pairs = load("mnist-digits8~digits8=1000").split("train")
    views = pairs.views(torch.arange(len(pairs)))
    assert int(views["digits8"].isnan().flatten(1).all(1).sum()) == 3000 and not bool(views["mnist"].isnan().any())
    first = load("mnist-digits8~mnist=25%").split("train")
    assert int(first.erased["mnist"].sum()) == 3000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist5k~colour=10", "no modality called 'colour'. It has image, digit"),
        ("mnist5k~digit=401", "There are not 401 labels a class in the training part. Choose at most 400"),
        ("mnist5k~digit=101%", "101 % of digit cannot be kept"),
        ("mnist5k~digit=ten", "not understood"),
        ("mnist5k~digit=-1", "not understood"),
        ("mnist5k~digit=1,digit=2", "named twice"),
        ("mnist5k~digit=1,image=2", "at least one complete"),
        ("moons~points=5", "cannot be missing"),
        ("mnist-5k~digit=10", "Did you mean mnist5k"),
    ],
)
def test_what_cannot_be_is_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(Problem, match=words):
        load(name)


def test_a_class_with_too_few_is_named() -> None:
    with pytest.raises(Problem, match=r"not 129 labels a class for digit \d in the training part.*at most 12\d"):
        load("digits8~digit=129")


def test_a_tilde_in_a_path_is_a_path() -> None:
    for name in ("folder:~/cats=2", "file:/home/a~b/x=1.npz", "folder:~cats", "mnist5k"):
        assert split_name(name) == (name, ())


def test_no_label_at_all_is_a_choice_and_all_is_the_whole_set() -> None:
    assert bool((load("mnist5k~digit=0").split("train").others["digit"] == -1).all())
    whole = load("mnist5k~digit=100%").split("train")
    assert torch.equal(whole.others["digit"], whole.factors["digit"])


def test_a_model_of_one_modality_is_given_only_the_rows_that_have_it() -> None:
    whole = load("mnist5k~image=10")
    train, seen = whole.split("train"), whole.seen().split("train")
    rows = torch.nonzero(~train.erased["image"]).flatten()
    assert len(seen) == 10 and torch.equal(seen.indices, train.indices[rows]) and torch.equal(seen.x, train.x[rows])
    assert torch.equal(seen.others["digit"], train.others["digit"][rows]) and not seen.erased
    assert whole.seen().split("test") is whole.split("test")
    with pytest.raises(Problem, match="No image is left"):
        load("mnist5k~image=0").seen()


def test_another_seed_keeps_others_and_says_so() -> None:
    whole, asked = load("mnist5k"), split_name("mnist5k~digit=10")[1]
    one, other = keep(whole, asked), keep(whole, asked, seed=2)
    labels = [each.split("train").others["digit"] for each in (one, other)]
    assert torch.equal(labels[0], load("mnist5k~digit=10").split("train").others["digit"])
    assert not torch.equal(*labels) and torch.bincount(labels[1] + 1).tolist() == [3900, *[10] * 10]
    assert one.sha256 != other.sha256 and "seed 2" in other.card.changes
