"""Experts and the joint they make, in a plane through the latent space; and who wins when they contradict."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.cards import Factor
from dgm_studio.core.requests import Fusing, ShowExperts, WeighConflict
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.crossing import (
    Datum,
    as_mixture,
    claims_of,
    datum_of,
    draws_of,
    joints,
    known_rows,
    readers_of,
    row_of,
    rule_of,
    truth_of,
)
from dgm_studio.explore.crossing_values import generated_forms, modalities_of
from dgm_studio.explore.loaded import LoadedModel, as_floats
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.fusion import Mixture
from dgm_studio.training.readings import PictureReader, Reader, likeliest, reading

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

GROUND = 500  # posterior means of the split that lie beneath the plane
GRID = 72  # places along each axis of the density
KL_DRAWS = 2_000  # where the divergence has no closed form
SMALLEST, LARGEST = 1e-3, 1e3  # factors on a precision: at the ends one side is all but alone
MOST_POINTS, MOST_DRAWS = 100, 256


@answers(ShowExperts)
def show_experts(bench: Workbench, asked: ShowExperts) -> Iterator[Update]:
    """Everything as it is in the plane; the ground comes from the split and is worked out once."""
    model = bench.model(asked.model)
    datum = yield from datum_of(bench, model, asked.given)
    known_rows(modalities_of(model), (asked.on,))
    on = tuple(n for n in datum.names if (not asked.on or n in asked.on) and asked.fusing.precision.get(n, 1.0) > 0)
    fusing, why = allowed(model, asked.fusing)
    joint = joints(model, datum, (on,), fusing)
    rule = fusing.rule or rule_of(model, joints(model, datum, (tuple(datum.whole),)))
    prior_std = model.module.prior_std()
    axes = axes_for(model, asked.axes, [datum.experts[n] for n in on or datum.names], prior_std)
    ground = yield from ground_of(bench, model, asked.given.split)
    x, y = (torch.linspace(c - asked.reach, c + asked.reach, GRID, device=model.device) for c in asked.centre)
    tempered = {n: temper(datum.experts[n], fusing.precision.get(n, 1.0), rule) for n in datum.names}
    yield Frame(
        "experts",
        {
            "experts": {n: {**in_plane(e, axes), "on": n in on} for n, e in tempered.items()},
            "prior": {
                **in_plane(Posterior(torch.zeros_like(prior_std)[None], prior_std[None]), axes),
                "on": rule != "moe" and fusing.prior_expert,
            },
            "joint": components_of(joint, axes, on),
            "density": as_floats(density(joint, axes, x, y)),
            "x": as_floats(x),
            "y": as_floats(y),
            "axes": tuple(f"z{axis:02d}" for axis in axes),
            "shares": shares_of(joint, datum, fusing, rule, on),
            "kl": {n: divergence(model, joint, datum.experts[n]) for n in on},
            "points": as_floats(ground[:, list(axes)]),
            "rule": rule,
            "why": why,
        },
    )


def allowed(model: LoadedModel, fusing: Fusing) -> tuple[Fusing, str]:
    """A fusing that means something on these encoders, and why it is not the one that was asked for, or ""."""
    if not fusing.rule:
        return fusing, ""
    why = model.module.rules().get(fusing.rule, f"There is no rule of fusion called {fusing.rule}.")
    return (replace(fusing, rule=""), why) if why else (fusing, "")


def temper(expert: Posterior, factor: float, rule: str) -> Posterior:
    """An expert of a product with its precision times a factor; one of a mixture, or one that is off, as it is."""
    if rule == "moe" or factor <= 0:
        return expert
    return replace(expert, std=expert.std * factor**-0.5)


def axes_for(
    model: LoadedModel, asked: tuple[int, int], experts: list[Posterior], prior_std: Tensor
) -> tuple[int, int]:
    """Two latent dimensions: as asked, else those in which the experts differ most, in units of their own width.

    Raises:
        Problem: There are no such dimensions.
    """
    size = len(prior_std)
    if asked != (-1, -1):
        if not all(0 <= axis < size for axis in asked):
            raise Problem(f"{model.card.title} has the latent dimensions 0 to {size - 1}.", "Choose two of those.")
        return asked
    others = experts if len(experts) > 1 else [*experts, Posterior(torch.zeros_like(prior_std)[None], prior_std[None])]
    apart = torch.zeros(size, device=prior_std.device)
    for a, b in combinations(others, 2):
        apart += ((a.mean - b.mean).square() / (a.std.square() + b.std.square()))[0]
    order = apart.sort(descending=True, stable=True).indices.tolist()
    return (min(order[:2]), max(order[:2])) if size > 1 else (0, 0)


def in_plane(posterior: Posterior, axes: tuple[int, int]) -> dict[str, Any]:
    """Mean [2] and covariance [2, 2] of a posterior [1, Z]."""
    pick = list(axes)
    return {
        "mean": as_floats(posterior.mean[0, pick]),
        "covariance": as_floats(torch.diag(posterior.std[0, pick].square())),
    }


def components_of(joint: Mixture, axes: tuple[int, int], on: tuple[str, ...]) -> list[dict[str, Any]]:
    """What takes part in a joint of one datum."""
    weights = joint.log_weights[0].exp().tolist()
    return [
        {"weight": weight, **in_plane(component, axes), "of": tuple(n for n in names if n in on)}
        for component, weight, names in zip(joint.components, weights, joint.names, strict=True)
        if weight > 0 and (not on or any(n in on for n in names))
    ]


def density(joint: Mixture, axes: tuple[int, int], x: Tensor, y: Tensor) -> Tensor:
    """The joint's density over two dimensions, the others integrated out: [B, A] for x [A] and y [B]."""
    found = torch.zeros(len(y), len(x), device=x.device)
    for component, weight in zip(joint.components, joint.log_weights[0].exp().tolist(), strict=True):
        if weight > 0:
            along_x, along_y = (_marginal(component, axis, at) for axis, at in zip(axes, (x, y), strict=True))
            found += weight * along_y[:, None] * along_x
    return found


def _marginal(component: Posterior, axis: int, at: Tensor) -> Tensor:
    """Density of one dimension at places [A]."""
    only = replace(component, mean=component.mean[:, axis : axis + 1], std=component.std[:, axis : axis + 1])
    return only.log_prob_per_dim(at[:, None, None])[:, 0, 0].exp()


def shares_of(joint: Mixture, datum: Datum, fusing: Fusing, rule: str, on: tuple[str, ...]) -> dict[str, float]:
    """Share of the joint's precision that comes from each modality, mean over dimensions and components by weight.

    What no modality contributes is the prior's; a component that is one modality's whole posterior is all its own.
    """
    found = dict.fromkeys((*on, "prior"), 0.0)
    weights = joint.log_weights[0].exp().tolist()
    for component, weight, names in zip(joint.components, weights, joint.names, strict=True):
        if weight <= 0:
            continue
        left = 1.0
        for name in (n for n in names if n in on):
            factor = 1.0 if rule == "moe" else fusing.precision.get(name, 1.0)
            ratio = factor * (component.std[0] / datum.experts[name].std[0]).square()
            share = min(left, float(ratio.mean()))
            found[name] += weight * share
            left -= share
        found["prior"] += weight * left
    return found


def divergence(model: LoadedModel, joint: Mixture, expert: Posterior) -> float:
    """KL(joint || expert) in nats: in closed form for two Gaussians, else by draws."""
    if len(joint.components) == 1 and type(expert) is Posterior and type(joint.components[0]) is Posterior:
        q = joint.components[0]
        ratio = (q.std / expert.std).square()
        away = ((q.mean - expert.mean) / expert.std).square()
        return float(0.5 * (ratio + away - 1.0 - ratio.log()).sum())
    z = joint.sample(model.generator(0), KL_DRAWS)
    return float((joint.log_prob(z) - expert.log_prob(z)).mean())


def ground_of(bench: Workbench, model: LoadedModel, split: str) -> Generator[Progress, None, Tensor]:
    """Posterior means of a split's first examples given all of them, [N, Z], worked out once."""
    part = (yield from bench.dataset(model.card.data)).split(split)
    parts: list[Tensor] = model.noted(("crossed ground", split), list)
    known = modalities_of(model)
    total, size = min(GROUND, len(part)), model.slice
    while len(parts) * size < total:
        rows = torch.arange(len(parts) * size, min((len(parts) + 1) * size, total))
        views = {n: v.to(model.device) for n, v in part.views(rows).items() if n in known}
        parts.append(as_mixture(model.module.infer(views, None)).mean)
        yield Progress(int(rows[-1]) + 1, total, "Encoding the data")
    return torch.cat(parts)


# -- conflict --------------------------------------------------------------------------------------------------------


@answers(WeighConflict)
def weigh_conflict(bench: Workbench, asked: WeighConflict) -> Iterator[Update]:
    """What is generated from all modalities while one expert's precision runs from next to nothing to all."""
    model = bench.model(asked.model)
    if not 2 <= asked.points <= MOST_POINTS or not 1 <= asked.draws <= MOST_DRAWS:
        raise Problem(f"{asked.points} points of {asked.draws} draws cannot be weighed.", "Ask for fewer.")
    known = modalities_of(model)
    readers = yield from readers_of(bench, model)
    datum = yield from datum_of(bench, model, asked.given)
    moving = asked.modality or next((n for n in datum.names if known[n].kind == "label"), (datum.names or ("",))[-1])
    if len(datum.names) < 2 or moving not in datum.names:
        raise Problem("A conflict needs two modalities that are known.", "Fill in another one, or choose another.")
    column, factor, claims = yield from contradiction(bench, model, asked, readers, datum, moving)
    label = next((n for n, m in known.items() if m.kind == "label"), "")
    factors = np.geomspace(SMALLEST, LARGEST, asked.points)
    pictures: list[Any] = []
    wins: list[Tensor] = []
    labels: list[Tensor] = []
    for value in factors.tolist():
        fusing = Fusing(asked.rule, {moving: value}, True)
        joint = joints(model, datum, (datum.names,), fusing)
        z = torch.cat([heaviest(joint), draws_of(model, joint, asked.draws, asked.seed)[0]])
        generated = model.module.generate(z)
        pictures.append(generated_forms(known[column], generated[column])[0])
        drawn = likeliest(generated[column], known[column])[1:]
        wins.append(winners(readers[column].shares(drawn)[factor.name], claims))
        if label:
            labels.append(generated[label].mean[1:].mean(0))
        yield Frame(
            "conflict",
            {
                "modality": moving,
                "factors": np.array(factors[: len(wins)], np.float32),
                "pictures": pictures[:] if isinstance(pictures[0], str | list) else np.stack(pictures),
                "first": factor.categories[claims[0]],
                "second": factor.categories[claims[1]],
                "wins": as_floats(torch.stack(wins)),
                "label": as_floats(torch.stack(labels)) if labels else np.zeros((len(wins), 0), np.float32),
                "column": column,
                "factor": factor.name,
            },
        )


def heaviest(joint: Mixture) -> Tensor:
    """The mean of the component with the largest weight, [1, Z]: between two components nothing may live."""
    return row_of(joint, 0).components[int(joint.log_weights[0].argmax())].mean


def winners(shares: Tensor, claims: tuple[int, int]) -> Tensor:
    """How much is seen of the first claim, of the second where it is another, and of neither: [3] from [N, C]."""
    mean = shares.mean(0)
    first = mean[claims[0]]
    second = mean[claims[1]] if claims[1] != claims[0] else torch.zeros_like(first)
    return torch.stack([first, second, (1.0 - first - second).clamp(min=0.0)])


def contradiction(
    bench: Workbench, model: LoadedModel, asked: WeighConflict, readers: Mapping[str, Reader], datum: Datum, moving: str
) -> Generator[Progress, None, tuple[str, Factor, tuple[int, int]]]:
    """In which column and factor two modalities can be told apart, and what they claim: the moving one's first.

    A modality claims what is read from it; one that nobody can read claims what the model makes of it alone.

    Raises:
        Problem: Nothing that is generated can be read.
    """
    annotated = yield from truth_of(bench, model, replace(asked.given, values={}, missing=()), readers)
    pictures = [n for n, r in readers.items() if isinstance(r, PictureReader)]
    agreed: tuple[str, Factor, tuple[int, int]] | None = None
    for column in [*pictures, *(n for n in readers if n not in pictures)]:
        alone = _claims_alone(model, readers[column], datum, column)
        for factor in readers[column].factors:
            claims = {
                name: _claim(asked, annotated, readers.get(name), datum, name, factor.name, alone)
                for name in datum.names
            }
            first = claims.pop(moving)
            for second in claims.values():
                if first >= 0 and second >= 0 and first != second:
                    return column, factor, (first, second)
                if agreed is None and first >= 0 and second >= 0:
                    agreed = column, factor, (first, second)
    if agreed is None:
        raise Problem("Nothing that this model generates can be read by a judge.", "Choose data with a label.")
    return agreed


def _claims_alone(model: LoadedModel, reader: Reader, datum: Datum, column: str) -> dict[str, dict[str, int]]:
    """What the model makes of every known modality alone, by modality and factor."""
    joint = joints(model, datum, [(name,) for name in datum.names])
    values = likeliest(model.module.generate(joint.mean)[column], modalities_of(model)[column])
    read = reading(reader, values)
    return {name: {f: int(v[row]) for f, v in read.items()} for row, name in enumerate(datum.names)}


def _claim(
    asked: WeighConflict,
    annotated: Mapping[str, int],
    reader: Reader | None,
    datum: Datum,
    name: str,
    factor: str,
    alone: Mapping[str, Mapping[str, int]],
) -> int:
    if reader is not None and any(f.name == factor for f in reader.factors):
        if name not in asked.given.values and factor in annotated:
            return annotated[factor]
        return claims_of(reader, datum.views[name])[factor]
    return alone[name].get(factor, -1)
