"""log p(x) of pictures that do not belong to the data, beside what a softmax and a file's size know of that.

Of softmaxes there are two: that of the judge, a convolutional network which saw its pictures turned, moved and blurred
and is the better for it, and that of a plain perceptron, trained here for a few seconds on the labels alone.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from dgm_studio.core.requests import ScoreOutliers
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.data import registry as data
from dgm_studio.explore.answers import answers
from dgm_studio.explore.classifying import (
    Contest,
    check_samples,
    contest,
    picture_of,
    pictures_at,
    scoring,
    threshold_of,
    usual_scores,
)
from dgm_studio.explore.labels import Supervised, plain_classifier
from dgm_studio.explore.loaded import Floats, as_bytes, as_floats
from dgm_studio.explore.samples import fitted

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_OTHER = 2  # other sets of data that are looked at
PERMUTATION_SEED = 0
PLAIN_STEPS = 1000  # of the perceptron's training; it reads 0.92 of mnist5k then, as after 1,500
MEASURES = {"scores": "log p(x)", "softmax": "softmax", "plain": "plain softmax"}
PICTURES_AT_ONCE = 100  # compressed or judged between two yields


def auroc(usual: npt.ArrayLike, strange: npt.ArrayLike) -> float:
    """The probability that a usual datum has a greater score than a strange one, ties counting half; exact.

    The area under the curve of hits against false alarms (Hanley and McNeil 1982), from ranks: with U the sum over the
    usual ones of how many strange ones lie below, it is U / (n m). Scores are of use when it is near 1, and say nothing
    at 1/2.

    >>> auroc([3.0, 2.0], [1.0, 2.0])
    0.875
    """
    above, below = np.asarray(usual, np.float64), np.sort(np.asarray(strange, np.float64))
    fewer = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(fewer.sum() / (2.0 * len(above) * len(below)))


def complexity(pictures: npt.NDArray[np.uint8]) -> Floats:
    """Bytes of each picture [N, H, W(, 3)] as PNG: what a lossless coder needs (as Serra et al. 2020 measure it)."""
    return np.array([_bytes(picture) for picture in pictures], np.float32)


def _bytes(picture: npt.NDArray[np.uint8]) -> int:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", optimize=True)
    return file.tell()


def strange(x: Tensor) -> dict[str, Tensor]:
    """Pictures [N, C, H, W] made into such that do not belong: the same values, or their opposites, at other places.

    "rotated": by 90 degrees; "inverted": 1 - x; "shuffled": all with one permutation of the pixels. Pictures that are
    not square cannot be rotated within their shape.
    """
    order = torch.randperm(x[0, 0].numel(), generator=torch.Generator().manual_seed(PERMUTATION_SEED)).to(x.device)
    found = {"rotated": x.rot90(1, (2, 3))} if x.shape[2] == x.shape[3] else {}
    found["inverted"] = 1.0 - x
    found["shuffled"] = x.flatten(2)[:, :, order].reshape(x.shape)
    return found


def others(name: str, shape: tuple[int, ...]) -> list[str]:
    """At most two sets of pictures in the box that are not the data `name`; those most like in colour and size."""
    base = name.partition("~")[0]
    found = []
    for card in data.cards().values():
        first = card.modalities[0]
        if first.kind == "image" and not card.made and card.name != base:
            found.append((first.shape[0] != shape[0], abs(first.shape[1] - shape[1]), card.name))
    return [other for *_, other in sorted(found)[:MOST_OTHER]]


def _other(bench: Workbench, name: str, count: int, shape: tuple[int, ...]) -> Generator[Progress, None, Tensor]:
    """Test pictures of another set, in the shape of a model's."""
    part = (yield from bench.dataset(name)).split("test")
    rows = torch.arange(min(count, len(part)))
    values = part.batch(rows).nan_to_num(0.0)
    return torch.cat([fitted(one[0] if len(one) == 1 else one.permute(1, 2, 0), shape) for one in values])


@answers(ScoreOutliers, grad=True)
def score_outliers(bench: Workbench, asked: ScoreOutliers) -> Iterator[Update]:
    """One kind after the other; the histogram grows by a kind each time."""
    found = contest(bench.model(asked.model))
    k = check_samples(asked.samples)
    card = found.model.card
    part = (yield from bench.dataset(card.data)).split("test")
    if asked.count < 1 or not len(part):
        raise Problem("There is nothing to score.", "Ask for at least one picture.")
    usual = pictures_at(part, found.model, torch.arange(min(asked.count, len(part)))).nan_to_num(0.0)
    kinds = {"test": usual, **strange(usual)}
    names = others(card.data, found.model.modality.shape)
    total = len(kinds) + len(names) + 2
    threshold = threshold_of((yield from usual_scores(bench, found, k)))
    plain = yield from _plain(bench, found, total)
    shown: dict[str, Any] = {"scores": {}, "softmax": {}, "plain": {}, "auroc": {}, "pictures": {}}
    shown["threshold"] = threshold
    sizes: dict[str, Floats] = {}
    for done, name in enumerate((*kinds, *names), 2):
        x = kinds.get(name)
        if x is None:
            x = (yield from _other(bench, name, asked.count, found.model.modality.shape)).to(found.model.device)
        parts: list[Floats] = []
        for scored in scoring(found, x, k, asked.seed, parts):
            yield Progress(done + scored / len(x), total, f"Scoring: {name}")
        without = yield from _without_model(found, plain, x)
        sizes[name] = without.pop("sizes")
        shown = _with_kind(shown, name, {"scores": np.concatenate(parts), **without}, sizes, picture_of(x[:1]))
        yield Frame("outliers", shown)


def _plain(bench: Workbench, found: Contest, total: int) -> Generator[Progress, None, Supervised]:
    """The perceptron, trained once."""
    known = found.model.note("plain classifier")
    if known is not None:
        return cast(Supervised, known)
    dataset = yield from bench.dataset(found.model.card.data)
    training = plain_classifier(dataset, found.model.modality, found.label, PLAIN_STEPS, found.model.device)
    while True:
        try:
            step = next(training)
        except StopIteration as finished:
            found.model.write("plain classifier", finished.value)
            return cast(Supervised, finished.value)
        yield Progress(1 + step / PLAIN_STEPS, total, "Training a plain classifier")


def _without_model(found: Contest, plain: Supervised, x: Tensor) -> Generator[Progress, None, dict[str, Floats]]:
    """Of each picture the greatest probability of the judge, if any, and of the perceptron, and its compressed size."""
    parts: list[dict[str, Floats]] = []
    for some in torch.split(x, PICTURES_AT_ONCE):
        with torch.no_grad():
            here = {"plain": as_floats(plain.guess(some).exp().amax(1))}
            if found.judge is not None:
                here["softmax"] = as_floats(found.judged(some).exp().amax(1))
        parts.append({**here, "sizes": complexity(as_bytes(some))})
        yield Progress(len(parts) * PICTURES_AT_ONCE, len(x), "Judging")
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _with_kind(
    shown: dict[str, Any],
    name: str,
    measured: dict[str, Floats],
    sizes: dict[str, Floats],
    picture: npt.NDArray[np.uint8],
) -> dict[str, Any]:
    """The Frame's data with one kind more."""
    grown = {**shown, "pictures": {**shown["pictures"], name: picture}}
    for key, values in measured.items():
        grown[key] = {**shown[key], name: values}
    if name != "test":
        areas = {MEASURES[key]: auroc(grown[key]["test"], values) for key, values in measured.items()}
        # What takes more bytes is taken for strange: log p(x) alone would say the same (Serra et al. 2020).
        areas["complexity"] = auroc(-sizes["test"], -sizes[name])
        grown["auroc"] = {**shown["auroc"], name: areas}
    return grown
