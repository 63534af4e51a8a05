"""What is exactly right, and known mistakes with their symptoms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests import Fusing, Given, ProveExactness, ShowWrong
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.crossing import datum_of, joints, readers_of, rule_of
from dgm_studio.explore.crossing_values import modalities_of
from dgm_studio.explore.loaded import LoadedModel
from dgm_studio.models import cross_bounds, linear_gaussian
from dgm_studio.models.mixture_toy import MixtureToy
from dgm_studio.training import coherence, criteria
from dgm_studio.training.coherence import Setting, Table, Tally

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

WITH, WITHOUT = "zoo:mvae-digits", "zoo:mvae-digits-joint-only"
BOUND_EXAMPLES = 250
K, REPEATS, ROUNDS = 10, 250, 60  # of the gradients: draws, estimates at once, and how often
FACTORS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # on the precision of the label's expert
DROWNED_EXAMPLES = 60


@answers(ProveExactness)
def prove_exactness(bench: Workbench, asked: ProveExactness) -> Iterator[Update]:
    """Bounds that equal what they bound, at every draw; no model is asked."""
    rows = []
    for row in linear_gaussian.exact_rows(asked.seed, asked.modalities, asked.latent):
        rows.append(row)
        yield Progress(len(rows), 2**asked.modalities, "Comparing with the exact log-likelihood")
    mixture = linear_gaussian.mixture_estimate(asked.seed, asked.modalities, asked.latent)
    data = {"rows": rows, "mixture": mixture, "modalities": asked.modalities, "seed": asked.seed}
    yield Frame("exactness", data)


@answers(ShowWrong)
def show_wrong(bench: Workbench, asked: ShowWrong) -> Iterator[Update]:
    """One known mistake beside the right way."""
    if asked.kind not in KINDS:
        raise Problem(f"There is no known mistake called {asked.kind!r}.", f"Choose one of {', '.join(KINDS)}.")
    for data in KINDS[asked.kind](bench, asked):
        if isinstance(data, Progress):
            yield data
        else:
            yield Frame("wrong", {"name": asked.kind, "errors": {}, "more": {}, "done": False, **data})


Lesson = Iterator[Progress | dict[str, Any]]


# -- no prior expert -------------------------------------------------------------------------------------------------


def no_prior_expert(bench: Workbench, asked: ShowWrong) -> Lesson:
    """The gap between log p and the bound where it should be 0."""
    right: dict[str, float] = {}
    wrong: dict[str, float] = {}
    size = 2
    for row in linear_gaussian.exact_rows(asked.seed, size):
        name = " + ".join(row["given"])
        right[name], wrong[name] = row["gap"], row["gap without the prior expert"]
        yield {
            "sentence": "The prior is left out of the product of experts.",
            "symptom": "The bound stays below log p, although the weights are exact.",
            "unit": "nats below log p",
            "right": dict(right),
            "wrong": dict(wrong),
            "more": {"model": "linear-Gaussian, two modalities"},
            "done": len(right) == 2**size - 1,
        }


# -- no sub-sampling -------------------------------------------------------------------------------------------------


def no_sub_sampling(bench: Workbench, asked: ShowWrong) -> Lesson:
    """-ELBO of single modalities by a model that was trained on them and by one that never was."""
    with_key, without_key = pair_of(bench, asked.model)
    models = {key: bench.model(key) for key in (with_key, without_key)}
    known = modalities_of(models[with_key])
    if set(known) != set(modalities_of(models[without_key])):
        raise Problem("The two models do not have the same modalities.", "Look at zoo:mvae-digits instead.")
    dataset = yield from bench.dataset(models[with_key].card.data)
    part = dataset.split("test")
    rows = torch.arange(min(BOUND_EXAMPLES, len(part)))
    parts = {**{name: (name,) for name in known}, " + ".join(known): tuple(known)}
    tallies = {key: {name: Tally() for name in parts} for key in models}
    setting = Setting(models[with_key].module, known, {}, seed=asked.seed)
    blocks = torch.split(rows, setting.slice)
    for number, block in enumerate(blocks):
        for key, model in models.items():
            own = replace(setting, model=model.module)
            views = criteria.prepared(own, own.views(part, block), own.generator("prepared", number))
            for name, given in parts.items():
                found = cross_bounds.elbo(model.module, views, own.generator(name, number), given)
                tallies[key][name].add(-found)
        yield {
            "sentence": "Trained on whole data only, never on a single modality (no sub-sampling of the ELBO).",
            "symptom": "Everything given, it looks as good; one modality alone, its posterior was never trained.",
            "unit": "nats, -ELBO, lower is better",
            "right": {name: tally.mean for name, tally in tallies[with_key].items()},
            "wrong": {name: tally.mean for name, tally in tallies[without_key].items()},
            "errors": {
                name: math.hypot(tally.error, tallies[without_key][name].error)
                for name, tally in tallies[with_key].items()
            },
            "more": {"right model": with_key, "wrong model": without_key, "count": int(block[-1]) + 1},
            "done": number + 1 == len(blocks),
        }


def pair_of(bench: Workbench, key: str) -> tuple[str, str]:
    """A model trained with sub-sampling and one of the same data trained without.

    Raises:
        Problem: One of the two is not in the box.
    """
    right = key if key and _has_sub_sampling(bench.model(key)) else WITH
    try:
        if right != WITH and bench.model(right).card.data != bench.model(WITHOUT).card.data:
            right = WITH
        bench.model(right)
        bench.model(WITHOUT)
    except Problem as problem:
        raise Problem(
            f"This compares with {WITHOUT}, which cannot be opened: {problem.sentence}",
            "Install DGM Studio again, or train an MVAE with sub-sampling switched off.",
        ) from problem
    return right, WITHOUT


def _has_sub_sampling(model: LoadedModel) -> bool:
    return model.card.system == "mvae" and bool(getattr(model.module.config, "subsampling", False))


# -- hook on a copy --------------------------------------------------------------------------------------------------


def hook_on_a_copy(bench: Workbench, asked: ShowWrong) -> Lesson:
    """Mean gradients of the looser bound of two experts, whose expectation plain IWAE gradients show."""
    toy = MixtureToy()
    names = [f"{what} {k + 1}" for what in ("mean", "log std") for k in range(len(toy.mean))]
    ways = {"right": ("dreg-mixture", "same"), "wrong": ("dreg", "copy"), "published": ("dreg", "same")}
    ways["plain"] = ("iwae", "same")
    generators = {way: torch.Generator().manual_seed(asked.seed + 1 + k) for k, way in enumerate(ways)}
    sums = {way: torch.zeros(2, len(names), dtype=torch.float64) for way in ways}
    for number in range(ROUNDS):
        for way, (gradient, hook) in ways.items():
            # No yield in here: grad mode belongs to the thread, and answers take turns on it.
            with torch.inference_mode(False), torch.enable_grad():
                found = toy.gradient_of(gradient, K, REPEATS, generators[way], hook=hook).detach()
            sums[way] += torch.stack([found.sum(0), found.square().sum(0)])
        count = (number + 1) * REPEATS
        means = {way: dict(zip(names, (s[0] / count).tolist(), strict=True)) for way, s in sums.items()}
        errors = {way: _errors(names, s, count) for way, s in sums.items()}
        yield {
            "sentence": "The hook of the doubly reparametrised gradient is on a copy of z that the bound never sees.",
            "symptom": "It never runs: the gradients are too large and point elsewhere, while the loss looks the same.",
            "unit": "nats per unit of the parameter",
            "right": means["right"],
            "wrong": means["wrong"],
            "errors": {n: math.hypot(errors["right"][n], errors["wrong"][n]) for n in names},
            "more": {
                "plain": means["plain"],
                "plain errors": errors["plain"],
                "published": means["published"],
                "published errors": errors["published"],
                "k": K,
                "count": count,
            },
            "done": number + 1 == ROUNDS,
        }


def _errors(names: list[str], sums: torch.Tensor, count: int) -> dict[str, float]:
    variance = (sums[1] / count - (sums[0] / count).square()).clamp(min=0.0)
    return dict(zip(names, (variance / count).sqrt().tolist(), strict=True))


# -- label drowned ---------------------------------------------------------------------------------------------------


def label_drowned(bench: Workbench, asked: ShowWrong) -> Lesson:
    """What is generated from the label alone, and from everything, as its expert is made to speak louder."""
    model = bench.model(asked.model)
    known = modalities_of(model)
    readers = yield from readers_of(bench, model)
    label = next((m for m in known.values() if m.kind in ("label", "categorical", "attributes")), None)
    image = next((m for m in known.values() if m.kind == "image" and m.name in readers), None)
    if label is None or image is None:
        raise Problem("This needs a picture that a judge reads, and a label.", "Choose zoo:mvae-digits.")
    if rule_of(model, joints(model, (yield from datum_of(bench, model, Given())), (tuple(known),))) == "moe":
        raise Problem("A mixture gives each expert its own say, so none is drowned.", "Choose zoo:mvae-digits.")
    part = (yield from bench.dataset(model.card.data)).split("test")
    to_image, to_label = f"{label.name}{criteria.ARROW}{image.name}", f"{image.name}{criteria.ARROW}{label.name}"
    scores: dict[str, list[Tally]] = {to_image: [], to_label: []}
    terms = _terms(model, asked, known, part)
    for place, factor in enumerate(FACTORS):
        fusing = Fusing(precision={label.name: factor, image.name: factor})
        setting = Setting(model.module, known, readers, 1, asked.seed, fusing)
        table = Table()
        rows = [(label.name,), (image.name,)]
        for done in coherence.measuring(setting, part, DROWNED_EXAMPLES, table, rows):
            yield Progress(place + done, len(FACTORS), "Listening to the label")
        scores[to_image].append(table.coherence[(label.name,), image.name])
        scores[to_label].append(table.coherence[(image.name,), label.name])
        yield _drowned(scores, to_image, terms, place + 1 == len(FACTORS))


def _drowned(scores: dict[str, list[Tally]], to_image: str, terms: dict[str, float], done: bool) -> dict[str, Any]:
    best = max(range(len(scores[to_image])), key=lambda k: scores[to_image][k].mean)
    tried = FACTORS[: len(scores[to_image])]
    return {
        "sentence": "log p(image | z) adds up hundreds of pixels, log p(label | z) is a single term: training at equal "
        "weights hardly hears the label.",
        "symptom": "From the label alone the wrong class is drawn. Raising the precision of the experts brings back "
        f"what they know (here times {tried[best]:g}); a larger lambda in training would have taught them.",
        "unit": "share read as the truth",
        "wrong": {name: tallies[0].mean for name, tallies in scores.items()},
        "right": {name: tallies[best].mean for name, tallies in scores.items()},
        "errors": {name: math.hypot(t[0].error, t[best].error) for name, t in scores.items()},
        "more": {
            "factors": np.array(tried, np.float32),
            **{name: np.array([t.mean for t in tallies], np.float32) for name, tallies in scores.items()},
            "terms": terms,
            "best": tried[best],
        },
        "done": done,
    }


def _terms(model: LoadedModel, asked: ShowWrong, known: dict[str, Modality], part: Any) -> dict[str, float]:
    """Mean log p(x_m | z) of each modality, nats, everything given: what stands beside what in the objective."""
    setting = Setting(model.module, known, {}, seed=asked.seed)
    views = setting.views(part, torch.arange(min(setting.slice, len(part))))
    generator = setting.generator("terms")
    views = criteria.prepared(setting, views, generator)
    z = model.module.infer(views, None).sample(generator)
    found = cross_bounds.log_likelihoods(model.module, views, z)
    return {name: float(values.mean()) for name, values in found.items()}


KINDS: dict[str, Callable[[Any, ShowWrong], Lesson]] = {
    "no prior expert": no_prior_expert,
    "no sub-sampling": no_sub_sampling,
    "hook on a copy": hook_on_a_copy,
    "label drowned": label_drowned,
}
