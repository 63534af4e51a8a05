"""One datum of several modalities under every conditioning: what follows from which part of it."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests import CrossDatum, DescribeCross, Fusing, Given
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.crossing_values import generated_forms, given_form, in_words, modalities_of, rows_for, views_of
from dgm_studio.explore.loaded import LoadedModel, as_floats
from dgm_studio.explore.samples import labels_of, rows_of
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.fusion import Mixture, absent_where
from dgm_studio.models.modal import without
from dgm_studio.training.readings import ABSENT, PictureReader, Reader, likeliest, readers_for, reading, truths

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_VALUES = 4_000  # generated at once, over rows and samples
KL_DRAWS = 128  # of a mixture, whose divergence has no closed form
Row = tuple[str, ...]


@dataclass(frozen=True)
class Datum:
    """One datum with what the encoders say of it.

    Args:
        views: What is known, one row each.
        whole: The same for all modalities, marked as missing where nothing is known.
        experts: Unimodal posteriors of all modalities [1, Z], of infinite std where nothing is known.
    """

    views: dict[str, Tensor]
    whole: dict[str, Tensor]
    experts: dict[str, Posterior]

    @property
    def names(self) -> Row:
        """The modalities that are known."""
        return tuple(self.views)


def datum_of(bench: Workbench, model: LoadedModel, given: Given) -> Generator[Progress, None, Datum]:
    """Read and encode a datum; what is asked for again is not encoded again, be it all of it or one modality.

    Raises:
        Problem: It does not fit the model.
    """
    modalities = modalities_of(model)
    sources = {name: _source(given, name) for name in modalities}
    kept: tuple[dict[str, Any], Datum] | None = None if model.card.live else model.note("crossed datum")
    if kept is not None and kept[0] == sources:
        return kept[1]
    views = yield from views_of(bench, model, given)
    whole = {name: views.get(name, _blank(m, model)) for name, m in modalities.items()}
    old = {} if kept is None else {n: e for n, e in kept[1].experts.items() if kept[0].get(n) == sources[n]}
    fresh = model.module.experts({name: value for name, value in whole.items() if name not in old})
    found = Datum(views, whole, {name: (old | fresh)[name] for name in modalities})  # in order: mixtures count on it
    model.write("crossed datum", (sources, found))
    return found


def _source(given: Given, name: str) -> Any:
    """What makes a modality of a datum the value that it is."""
    if name in given.missing:
        return None
    return given.values.get(name, (given.split, given.index))


def _blank(modality: Modality, model: LoadedModel) -> Tensor:
    """A row of which nothing is known."""
    kind = torch.float32 if modality.kind in ("image", "real", "positive", "vector") else torch.int64
    like = torch.zeros(1, *modality.shape, dtype=kind, device=model.device)
    return without(modality, like, torch.ones(1, dtype=torch.bool, device=model.device))


def joints(model: LoadedModel, datum: Datum, rows: Sequence[Row], fusing: Fusing | None = None) -> Mixture:
    """The posteriors of one datum given each of R subsets of its modalities, [R, Z].

    An expert whose precision is 0 is out, whatever the rule.

    Raises:
        Problem: The rule means nothing on these encoders, or a precision is no number of at least 0.
    """
    factors = fusing.precision if fusing else {}
    if not all(math.isfinite(f) and f >= 0 for f in factors.values()):
        raise Problem("A precision is multiplied by a number from 0 upwards.", "Choose 1 to leave it as it is.")
    gone = {
        name: torch.tensor([name not in row or factors.get(name) == 0 for row in rows], device=model.device)
        for name in datum.whole
    }
    combine = getattr(model.module, "combine", None)
    if combine is None:
        modalities = modalities_of(model)
        repeated = {name: value.expand(len(rows), *value.shape[1:]) for name, value in datum.whole.items()}
        views = {name: without(modalities[name], value, gone[name]) for name, value in repeated.items()}
        return as_mixture(model.module.infer(views, fusing))
    size = (len(rows), -1)
    spread = {n: replace(e, mean=e.mean.expand(size), std=e.std.expand(size)) for n, e in datum.experts.items()}
    return as_mixture(combine({name: absent_where(e, gone[name]) for name, e in spread.items()}, fusing))


def as_mixture(joint: Any) -> Mixture:
    """Any joint posterior with the methods of a mixture."""
    return joint if isinstance(joint, Mixture) else Mixture(joint.components, joint.log_weights, joint.names)


def row_of(joint: Mixture, row: int) -> Mixture:
    """One row of it, [1, Z]."""
    only = slice(row, row + 1)
    components = tuple(replace(c, mean=c.mean[only], std=c.std[only]) for c in joint.components)
    return Mixture(components, joint.log_weights[only], joint.names)


def draws_of(model: LoadedModel, joint: Mixture, count: int, seed: int) -> Tensor:
    """Draws of every row [R, count, Z], from the same noise in all, so that rows differ by what was given alone."""
    size = joint.log_weights.shape[0]
    return torch.stack([row_of(joint, row).sample(model.generator(seed), count)[:, 0] for row in range(size)])


def divergences(model: LoadedModel, joint: Mixture) -> Tensor:
    """KL(q(z | given) || p(z)) of every row, [R] nats; by draws for a mixture."""
    if len(joint.components) == 1:
        return model.kl_per_dim(joint.components[0]).sum(-1)
    z = joint.sample(model.generator(0), KL_DRAWS)
    return (joint.log_prob(z) - model.prior_log_prob(z)).mean(0)


def rule_of(model: LoadedModel, joint: Mixture) -> str:
    """The rule that a joint of all modalities was made by."""
    own = getattr(model.module, "rule", "")
    if isinstance(own, str) and own:
        return own
    return "poe" if len(joint.components) == 1 else "mopoe" if max(map(len, joint.names)) > 1 else "moe"


def readers_of(bench: Workbench, model: LoadedModel) -> Generator[Progress, None, dict[str, Reader]]:
    """Who reads which modality of a model, found once."""
    known = model.note("readers")
    if known is None:
        dataset = yield from bench.dataset(model.card.data)
        modalities = tuple(modalities_of(model).values())
        known = readers_for(dataset.card, modalities, dataset.split("train"), str(model.device))
        model.write("readers", known)
    return known  # type: ignore[no-any-return]


@answers(DescribeCross)
def describe_cross(bench: Workbench, asked: DescribeCross) -> Iterator[Update]:
    """What the bench can show of a model."""
    model = bench.model(asked.model)
    modalities = modalities_of(model)
    dataset = yield from bench.dataset(model.card.data)
    part = dataset.split("test")
    readers = yield from readers_of(bench, model)
    datum = yield from datum_of(bench, model, Given())
    judges = {
        name: {"name": r.name, "accuracy": r.accuracy, "factor": r.judge.factor}
        for name, r in readers.items()
        if isinstance(r, PictureReader)
    }
    yield Frame(
        "cross",
        {
            "modalities": tuple(modalities),
            "rules": dict(model.module.rules()),
            "rule": rule_of(model, joints(model, datum, (tuple(modalities),))),
            "posterior": posterior_kind(datum.experts),
            "judges": judges,
            "shared": shared_factor(modalities.values()),
            "labels": labels_of(dataset.card, part, rows_of(part, 0, max(1, asked.count), "test")),
            "synthetic": dataset.card.synthetic,
            "counts": {name: len(p) for name, p in dataset.parts.items()},
        },
    )


def posterior_kind(experts: Mapping[str, Posterior]) -> str:
    """Of the encoders: "gaussian" or "laplace"."""
    return "gaussian" if all(type(e) is Posterior for e in experts.values()) else "laplace"


def shared_factor(modalities: Any) -> str:
    """The one factor that every modality tells, or ""."""
    told = {modality.about for modality in modalities}
    return told.pop() if len(told) == 1 else ""


@answers(CrossDatum)
def cross_datum(bench: Workbench, asked: CrossDatum) -> Iterator[Update]:
    """The whole matrix: one encoding of the datum, one fusion of all rows, one generation of all cells."""
    model = bench.model(asked.model)
    known_rows(modalities_of(model), asked.rows)
    readers = yield from readers_of(bench, model)
    started = time.perf_counter()
    datum = yield from datum_of(bench, model, asked.given)
    rows = rows_for(datum.names, asked.rows)
    if not 1 <= asked.samples <= MOST_VALUES // len(rows):
        raise Problem(f"{asked.samples} samples a cell cannot be shown.", f"Ask for 1 to {MOST_VALUES // len(rows)}.")
    joint = joints(model, datum, rows, asked.fusing)
    generated = generate(model, joint, asked)
    seen, claims = read(model, generated, asked, readers, datum)
    truth = yield from truth_of(bench, model, asked.given, readers, claims)
    verdicts = {
        f"{row}/{name}": verdict(readers[name], some, row, truth)
        for name, some in seen.items()
        for row in range(len(rows))
    }
    data = {**matrix(model, generated, asked, verdicts), **about(model, joint, rows, datum)}
    for name, value in data["given"].items():
        words = ""
        if name in readers:
            words = told(readers[name], truth or claims.get(name) or claims_of(readers[name], datum.views[name]))
        data["words"][f"given/{name}"] = in_words(modalities_of(model)[name], value, words, sure=True)
    yield Frame("matrix", {**data, "milliseconds": 1e3 * (time.perf_counter() - started)})


def generate(model: LoadedModel, joint: Mixture, asked: CrossDatum) -> dict[str, Any]:
    """p(x | z) by modality, of the mean of each of R posteriors and of draws from it, row by row."""
    z = joint.mean.unsqueeze(1)
    if asked.samples > 1:
        z = torch.cat([z, draws_of(model, joint, asked.samples - 1, asked.seed)], 1)
    found: dict[str, Any] = model.module.generate(z.flatten(0, 1))
    return found


def read(
    model: LoadedModel,
    generated: Mapping[str, Any],
    asked: CrossDatum,
    readers: Mapping[str, Reader],
    datum: Datum,
) -> tuple[dict[str, dict[str, list[int]]], dict[str, dict[str, int]]]:
    """What is read from the first sample of every row, and from values of the user's own: both in one look.

    Returns:
        By modality and factor a category for each row; by modality and factor what an own value says.
    """
    seen: dict[str, dict[str, list[int]]] = {}
    claims: dict[str, dict[str, int]] = {}
    for name, reader in readers.items():
        values = likeliest(generated[name], modalities_of(model)[name])[:: asked.samples]
        own = name in asked.given.values and name in datum.views
        looked = reading(reader, torch.cat([values, datum.views[name]]) if own else values)
        seen[name] = {factor: some.tolist() for factor, some in looked.items()}
        if own:
            claims[name] = {factor: some.pop() for factor, some in seen[name].items()}
    return seen, claims


def matrix(
    model: LoadedModel, generated: Mapping[str, Any], asked: CrossDatum, judged: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Cells of R posteriors with their verdicts."""
    size = asked.samples
    noise = model.generator(asked.seed + 1) if asked.noise else None
    cells: dict[str, list[Any]] = {}
    for name, modality in modalities_of(model).items():
        values = generated_forms(modality, generated[name], noise)
        cells |= {f"{row}/{name}": values[row * size : (row + 1) * size] for row in range(len(values) // size)}
    return {"cells": cells, "judged": judged, "words": words_of(model, cells, judged)}


def words_of(
    model: LoadedModel, cells: Mapping[str, list[Any]], judged: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The first sample of every cell in words."""
    modalities = modalities_of(model)
    return {
        key: in_words(modalities[key.partition("/")[2]], values[0], judged.get(key, {}).get("word", ""))
        for key, values in cells.items()
    }


def about(model: LoadedModel, joint: Mixture, rows: Sequence[Row], datum: Datum) -> dict[str, Any]:
    """What the matrix is of, and its posteriors."""
    modalities = modalities_of(model)
    return {
        "rows": list(rows),
        "columns": tuple(modalities),
        "given": {name: given_form(modalities[name], value) for name, value in datum.views.items()},
        "mean": as_floats(joint.mean),
        "std": as_floats(joint.std),
        "kl": as_floats(divergences(model, joint)),
    }


def known_rows(modalities: Mapping[str, Modality], rows: Sequence[Sequence[str]]) -> None:
    """Refuse rows with names that no modality has.

    Raises:
        Problem: There is one.
    """
    strange = sorted({name for row in rows for name in row} - set(modalities))
    if strange:
        raise Problem(f"There is no modality called {strange[0]!r}.", f"Choose from {', '.join(modalities)}.")


def truth_of(
    bench: Workbench,
    model: LoadedModel,
    given: Given,
    readers: Mapping[str, Reader],
    read: Mapping[str, Mapping[str, int]] | None = None,
) -> Generator[Progress, None, dict[str, int]]:
    """What is true of a datum, by factor; a factor about which its modalities contradict one another is left out.

    A modality that is as it was in the data tells what the annotation says; one that the user changed tells what is
    read from it; one that is missing tells nothing.

    Args:
        bench: The worker's.
        model: Whose data they are.
        given: The datum.
        readers: Who reads.
        read: What was read from values of the user's own, where somebody has looked already.
    """
    part = (yield from bench.dataset(model.card.data)).split(given.split)
    if not given.values and not given.missing:
        key = ("truth", given.split, given.index)
        known = model.note(key)
        if known is None:
            known = _annotated(part, readers, given)
            model.write(key, known)
        return dict(known)
    annotated = _annotated(part, readers, given)
    views = yield from views_of(bench, model, given)
    claims: dict[str, set[int]] = {}
    for name, reader in readers.items():
        if name in views:
            own = annotated
            if name in given.values:
                own = dict((read or {}).get(name) or claims_of(reader, views[name]))
            for factor in reader.factors:
                claims.setdefault(factor.name, set()).add(own.get(factor.name, -1))
    agreed = {name: some - {-1} for name, some in claims.items()}
    return {name: some.pop() for name, some in agreed.items() if len(some) == 1}


def _annotated(part: Any, readers: Mapping[str, Reader], given: Given) -> dict[str, int]:
    found = truths(part, readers, rows_of(part, given.index, 1, given.split))
    return {name: int(value) for name, value in found.items() if int(value) >= 0}


def claims_of(reader: Reader, value: Tensor) -> dict[str, int]:
    """What is read from one value [1, *S], by factor."""
    return {name: int(read) for name, read in reading(reader, value).items()}


def verdict(reader: Reader, seen: Mapping[str, Sequence[int]], row: int, truth: Mapping[str, int]) -> dict[str, Any]:
    """What is read from one row in words, and whether all of it is true.

    Returns:
        "word", "agrees": bool, or None when nothing is known to be true; "right": share of the factors that are.
    """
    read = {factor.name: seen[factor.name][row] for factor in reader.factors}
    right = [read[name] == truth[name] for name in read if name in truth]
    share = sum(right) / len(right) if right else None
    return {"word": told(reader, read), "agrees": all(right) if right else None, "right": share}


def told(reader: Reader, read: Mapping[str, int]) -> str:
    """Categories by factor in words; of several factors each with its name, and those that are absent go unsaid."""
    known = [(f.name, f.categories[read[f.name]]) for f in reader.factors if read.get(f.name, -1) >= 0]
    if len(reader.factors) == 1:
        return "".join(category for _, category in known)
    return ", ".join(f"{category} {name}" for name, category in known if category not in ABSENT)
