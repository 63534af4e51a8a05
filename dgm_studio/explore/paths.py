"""Paths through anchors in a latent space: straight, on a sphere, or the shortest in the eyes of the decoder."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.cards import Capability
from dgm_studio.core.requests import FollowPath
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore import geodesic
from dgm_studio.explore.answers import answers
from dgm_studio.explore.latents import Encoded, encoded
from dgm_studio.explore.loaded import LoadedModel, as_floats

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

KINDS = ("linear", "spherical", "geodesic")
FEWEST_ANCHORS, MOST_ANCHORS = 2, 8
MOST_POINTS = 400
SMALLEST_SINE = 1e-3  # below it two vectors count as parallel and the great circle through them as undefined
FINE = 4  # times as many points measure a straight path's speed as a geodesic begins with
DENSITY_SPLIT, DENSITY_COUNT = "valid", 1000


@answers(FollowPath, grad=True)
def follow_path(bench: Workbench, asked: FollowPath) -> Iterator[Update]:
    """The path with its pictures and figures; a geodesic again and again while it relaxes."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    anchors = _anchors(model, asked)
    posteriors: Encoded | None = None
    if Capability.ENCODES in model.card.capabilities and model.card.data:
        posteriors = yield from _without_gradients(encoded(bench, model, DENSITY_SPLIT, DENSITY_COUNT))
    figures = Figures(model, posteriors, asked.kind)
    if asked.kind == "geodesic":
        yield from _geodesic(model, anchors, asked.count, figures)
        return
    at = even_positions(len(anchors), asked.count)
    z = torch.cat([piece[1 if k else 0 :] for k, piece in enumerate(_pieces(asked.kind, anchors, at))])
    x = yield from _decoded(model, z)
    yield Frame("path", figures.of(z, x, at, settled=True))


def _anchors(model: LoadedModel, asked: FollowPath) -> Tensor:
    if asked.kind not in KINDS:
        raise Problem(f"There is no path of the kind {asked.kind!r}.", f"Choose one of {', '.join(KINDS)}.")
    if not FEWEST_ANCHORS <= len(asked.anchors) <= MOST_ANCHORS:
        raise Problem(f"A path has {FEWEST_ANCHORS} to {MOST_ANCHORS} anchors, not {len(asked.anchors)}.")
    anchors = model.vectors(asked.anchors, "An anchor")
    if asked.closed:
        anchors = torch.cat([anchors, anchors[:1]])
    if not len(anchors) <= asked.count <= MOST_POINTS:
        raise Problem(f"A path of {asked.count} points cannot be drawn.", f"Ask for {len(anchors)} to {MOST_POINTS}.")
    return anchors


def even_positions(anchors: int, count: int) -> tuple[int, ...]:
    """Where the anchors stand among `count` points when every piece has as many.

    >>> even_positions(3, 9)
    (0, 4, 8)
    """
    return tuple(round(k * (count - 1) / (anchors - 1)) for k in range(anchors))


def _pieces(kind: str, anchors: Tensor, at: tuple[int, ...]) -> Iterator[Tensor]:
    join = spherical if kind == "spherical" else linear
    for k in range(len(anchors) - 1):
        t = torch.linspace(0.0, 1.0, at[k + 1] - at[k] + 1, device=anchors.device)
        yield join(anchors[k], anchors[k + 1], t)


def linear(a: Float[Tensor, " z"], b: Float[Tensor, " z"], t: Float[Tensor, " n"]) -> Float[Tensor, "n z"]:
    """a + t (b - a), exact at both ends."""
    return (1.0 - t[:, None]) * a + t[:, None] * b


def spherical(a: Float[Tensor, " z"], b: Float[Tensor, " z"], t: Float[Tensor, " n"]) -> Float[Tensor, "n z"]:
    """Along the great circle (Shoemake 1985), as White 2016 uses it between latents of any length.

    Straight when the vectors are parallel, opposite or zero: the circle is then not defined.
    """
    lengths = float(a.norm() * b.norm())
    cosine = float(a @ b) / lengths if lengths > 1e-12 else 1.0
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if math.sin(angle) < SMALLEST_SINE:
        return linear(a, b, t)
    towards_a, towards_b = torch.sin((1.0 - t) * angle), torch.sin(t * angle)
    return (towards_a[:, None] * a + towards_b[:, None] * b) / math.sin(angle)


def _decoded(model: LoadedModel, z: Tensor) -> Generator[Progress, None, Tensor]:
    parts = []
    for start in range(0, len(z), model.slice):
        with torch.no_grad():
            parts.append(model.decode(z[start : start + model.slice]))
        yield Progress(min(start + model.slice, len(z)), len(z), "Decoding the path")
    return torch.cat(parts)


def _without_gradients(steps: Generator[Progress, None, Encoded]) -> Generator[Progress, None, Encoded]:
    """Step a generator with gradients off: what it keeps must not hold a graph."""
    while True:
        try:
            with torch.no_grad():
                update = next(steps)
        except StopIteration as finished:
            return finished.value  # type: ignore[no-any-return]
        yield update


# -- geodesics ---------------------------------------------------------------------------------------------------------


def _geodesic(model: LoadedModel, anchors: Tensor, count: int, figures: Figures) -> Iterator[Update]:
    start, at = yield from constant_speed(model, anchors, count)
    for step, curve in enumerate(geodesic.relax(model.decode, start, at, model.slice)):
        if curve is None:
            yield Progress(step, 0, "Relaxing the path")
            continue
        x = curve.x.reshape(-1, *model.modality.shape)
        yield Frame("path", figures.of(curve.z, x, at, settled=curve.settled))


def constant_speed(
    model: LoadedModel, anchors: Tensor, count: int
) -> Generator[Progress, None, tuple[Tensor, tuple[int, ...]]]:
    """The straight path through the anchors at an even pace in decoder space, and where the anchors stand on it.

    Each piece gets points in proportion to its decoder length, so that the pace is even across anchors too.
    """
    pieces = len(anchors) - 1
    fine = max(8, FINE * count // pieces)
    t = torch.linspace(0.0, 1.0, fine + 1, device=anchors.device)
    z = torch.cat([linear(anchors[k], anchors[k + 1], t) for k in range(pieces)])
    x = yield from _decoded(model, z)
    travelled = [arc_length(part) for part in x.reshape(pieces, fine + 1, -1)]
    shares = shared_out(count - 1, [float(part[-1]) for part in travelled])
    path = [anchors[:1]]
    for k, steps in enumerate(shares):
        wanted = np.linspace(0.0, float(travelled[k][-1]), steps + 1)[1:]
        pace = np.interp(wanted, travelled[k].cpu().numpy(), t.cpu().numpy()) if wanted[-1] > 0 else None
        where = t.new_tensor(np.linspace(0.0, 1.0, steps + 1)[1:] if pace is None else pace)
        where[-1] = 1.0
        path.append(linear(anchors[k], anchors[k + 1], where))
    positions = (0, *np.cumsum(shares).tolist())
    return torch.cat(path), positions


def shared_out(total: int, weights: list[float]) -> list[int]:
    """Whole numbers of at least 1 that add up to a total, in proportion to weights (largest remainders).

    >>> shared_out(10, [3.0, 1.0, 0.0])
    [6, 3, 1]
    """
    spare = total - len(weights)
    whole = sum(weights) or 1.0
    ideal = [spare * w / whole if sum(weights) else spare / len(weights) for w in weights]
    shares = [int(v) for v in ideal]
    by_remainder = sorted(range(len(weights)), key=lambda k: shares[k] - ideal[k])
    for k in by_remainder[: spare - sum(shares)]:
        shares[k] += 1
    return [share + 1 for share in shares]


# -- figures -----------------------------------------------------------------------------------------------------------


def arc_length(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Cumulated length of the polygon through x, as root mean squares over the D values."""
    steps = x.diff(dim=0).square().mean(1).sqrt()
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


@dataclass(frozen=True)
class Figures:
    """What is plotted along a path.

    Args:
        model: Whose prior.
        posteriors: Of the data, None when the model does not encode.
        kind: Of the path.
    """

    model: LoadedModel
    posteriors: Encoded | None
    kind: str

    def of(self, z: Tensor, x: Tensor, at: tuple[int, ...], *, settled: bool) -> dict[str, Any]:
        """The data of the Frame "path"; z: [N, Z], x: [N, *S]."""
        with torch.no_grad():
            return {
                **self.model.shown(x),
                "z": as_floats(z),
                "length": as_floats(arc_length(x.flatten(1))),
                "latent_length": as_floats(torch.cat([z.new_zeros(1), z.diff(dim=0).norm(dim=1).cumsum(0)])),
                "log_prior": as_floats(self._log_prior(z)),
                "log_posterior": as_floats(self._log_posterior(z)),
                "energy": geodesic.energy_of(x.flatten(1)),
                "anchors": np.array(at),
                "kind": self.kind,
                "settled": settled,
            }

    def _log_prior(self, z: Tensor) -> Tensor:
        if Capability.SAMPLES not in self.model.card.capabilities:
            return z.new_full((len(z),), math.nan)
        return self.model.prior_log_prob(z)

    def _log_posterior(self, z: Tensor) -> Tensor:
        if self.posteriors is None:
            return z.new_full((len(z),), math.nan)
        return log_aggregate(z, self.posteriors)


def log_aggregate(z: Float[Tensor, "n z"], posteriors: Encoded) -> Float[Tensor, " n"]:
    """log (1/M) sum_m q(z | x_m), nats."""
    mean, std = posteriors.mean, posteriors.std
    constant = -std.log().sum(1) - 0.5 * mean.shape[1] * math.log(2.0 * math.pi) - math.log(len(mean))
    exponents = [-0.5 * ((one - mean) / std).square().sum(1) + constant for one in z]
    return torch.stack(exponents).logsumexp(1)
