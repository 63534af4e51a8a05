"""What a latent space is made of, and pictures of single points in it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgm_studio.core.cards import Capability
from dgm_studio.core.requests import DecodeLatent, DecodeMany, DescribeLatents, TraverseLatents
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore import directions
from dgm_studio.explore.answers import answers
from dgm_studio.explore.loaded import LoadedModel, as_bytes, as_floats

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

ACTIVE_VARIANCE = 0.01  # of a posterior mean over the data; Burda, Grosse and Salakhutdinov 2016, section 5.2
ACTIVE_NATS = 0.01
LARGEST_BATCH = 20_000  # pictures a single request may ask for


@dataclass(frozen=True)
class Encoded:
    """Posteriors of the first N items of a split.

    Args:
        mean: [N, Z].
        std: [N, Z].
        kl: Mean KL of q(z | x) from the prior in every dimension, [Z], nats.
        indices: Positions within the split, [N].
        factors: Annotations by name, [N] each.
    """

    mean: Tensor
    std: Tensor
    kl: Tensor
    indices: npt.NDArray[np.int64]
    factors: dict[str, npt.NDArray[np.int64]]


def encoded(bench: Workbench, model: LoadedModel, split: str, count: int) -> Generator[Progress, None, Encoded]:
    """The posteriors of a split's first `count` items, worked out once; Progress on the way.

    Raises:
        Problem: The model cannot encode, or its data or split are missing.
    """
    model.need(Capability.ENCODES)
    if count < 1:
        raise Problem("At least one example is needed.")
    known = model.note(("encoded", split, count))
    if known is not None:
        return known  # type: ignore[no-any-return]
    part = (yield from bench.dataset(model.card.data)).seen().split(split)
    n = min(count, len(part))
    # Kept while it grows: a question that is replaced by a newer one half way leaves what it has done to that one.
    parts: list[tuple[Tensor, Tensor, Tensor]] = model.noted(("encoding", split, count), list)
    while len(parts) * model.slice < n:
        rows = torch.arange(len(parts) * model.slice, min((len(parts) + 1) * model.slice, n))
        posterior = model.module.encode(part.batch(rows).to(model.device))
        parts.append((posterior.mean, posterior.std, model.kl_per_dim(posterior)))
        yield Progress(int(rows[-1]) + 1, n, "Encoding the data")
    mean, std, kl = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    factors = {name: np.array(values[:n].numpy(), np.int64) for name, values in part.factors.items()}
    found = Encoded(mean, std, kl.mean(0), np.arange(n), factors)
    model.write(("encoded", split, count), found)
    return found


@answers(DescribeLatents)
def describe_latents(bench: Workbench, asked: DescribeLatents) -> Iterator[Update]:
    """Active units, principal and attribute directions, and the posteriors themselves."""
    model = bench.model(asked.model)
    posteriors = yield from encoded(bench, model, asked.split, asked.count)
    dataset = (yield from bench.dataset(model.card.data)).seen()
    name = ("description", asked.split, asked.count)
    data = model.note(name)
    if data is None:
        categories = {factor.name: factor.categories for factor in dataset.card.factors}
        data = {**description(posteriors, categories), "split": asked.split}
        model.write(name, data)
    yield Frame("latents", dict(data))


def description(posteriors: Encoded, categories: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The data of the Frame "latents"; see `core.requests.DescribeLatents`."""
    mean, std = posteriors.mean.double(), posteriors.std.double()
    points = as_floats(posteriors.mean)
    kl = as_floats(posteriors.kl)
    means_variance = mean.var(0, correction=0)
    active = (means_variance > ACTIVE_VARIANCE) | (posteriors.kl > ACTIVE_NATS)
    aggregate = (means_variance + std.square().mean(0)).sqrt()
    found = directions.principal(points)
    attributes = directions.attributes(points, posteriors.factors, categories)
    return {
        "kl": kl,
        "order": np.argsort(-kl, kind="stable"),
        "active": int(active.sum()),
        "means_variance": as_floats(means_variance),
        "mean": as_floats(mean.mean(0)),
        "std": as_floats(aggregate),
        "components": found.components,
        "component_std": found.std,
        "explained": found.explained,
        "directions": {a.name: a.direction for a in attributes},
        "direction_std": {a.name: a.std for a in attributes},
        "separation": {a.name: a.auc for a in attributes},
        "points": points,
        "deviations": as_floats(posteriors.std),
        "indices": posteriors.indices,
        "factors": posteriors.factors,
    }


@answers(DecodeLatent)
def decode_latent(bench: Workbench, asked: DecodeLatent) -> Iterator[Update]:
    """The picture at one point: the way from a slider to the pixels, so nothing here that can wait."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    z = model.vectors((asked.z,), "The latent vector")
    started = time.perf_counter()
    x = model.decode(z)
    data: dict[str, Any] = {"picture": as_bytes(x)[0]} if model.pictures else {"point": as_floats(x)[0]}
    spent = time.perf_counter() - started
    log_prior = float(model.prior_log_prob(z)) if Capability.SAMPLES in model.card.capabilities else float("nan")
    yield Frame("decoded", {**data, "z": asked.z, "log_prior": log_prior, "milliseconds": 1e3 * spent})


@answers(DecodeMany)
def decode_many(bench: Workbench, asked: DecodeMany) -> Iterator[Update]:
    """Pictures at many points, all so far after every slice."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    z = model.vectors(asked.z)
    for shown, worth in model.growing(z):
        if worth:
            yield Frame("decoded", {**model.shown(shown), "z": as_floats(z[: len(shown)]), "of": len(z)})
        else:
            yield Progress(len(shown), len(z), "Decoding")


@answers(TraverseLatents)
def traverse_latents(bench: Workbench, asked: TraverseLatents) -> Iterator[Update]:
    """A film strip for every direction; rows that are not decoded yet are blank."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    model.need_pictures()
    z = model.vector(asked.z)
    steps = model.vectors(asked.directions, "A direction")
    if len(asked.names) != len(asked.directions):
        raise Problem(f"{len(asked.directions)} directions came with {len(asked.names)} names.")
    if asked.count < 2 or asked.count * len(steps) > LARGEST_BATCH:
        raise Problem(f"A strip of {asked.count} pictures cannot be shown.", "Ask for 2 to a few dozen.")
    values = torch.linspace(-asked.reach, asked.reach, asked.count, device=model.device)
    pictures: npt.NDArray[np.uint8] | None = None
    for row, step in enumerate(steps):
        strip = as_bytes(torch.cat(list(model.decoded(z + values[:, None] * step))))
        if pictures is None:
            pictures = np.zeros((len(steps), *strip.shape), np.uint8)
        pictures[row] = strip
        yield Frame(
            "traversals",
            {"pictures": pictures.copy(), "values": as_floats(values), "rows": asked.names, "ready": row + 1},
        )
