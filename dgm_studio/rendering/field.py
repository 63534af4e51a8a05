"""What is rendered: functions of space whose zero is a surface, negative inside."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

BATCH = 1_024
"""Points in one call. Always so many, the last ones repeated: a matrix product rounds by the shape of its batch, and a
surface that is extracted sparsely shall be the dense one to the last bit. So few because what passes between the layers
then stays in the cache: 2.4 million points a second through 8 layers of 64, and 0.7 million with 8,192."""
PACE = 0.012
"""Seconds of work after which a generator yields."""

T = TypeVar("T")


class Field(Protocol):
    """f: R^3 -> R, negative inside. One too slow for `BATCH` points in 50 ms says its own in an attribute `batch`."""

    def __call__(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Values at points [N, 3] float32: [N] float32. A point's value does not depend on the other points."""


@runtime_checkable
class Bounds(Protocol):
    """A field that can enclose its values on a box."""

    def bounds(self, centre: Float[Tensor, "b 3"], half: Float[Tensor, " b"]) -> tuple[Tensor, Tensor]:
        """Lowest and highest value on cubes with these centres and half sides, [B] each; enclosures, never less."""


@dataclass(frozen=True)
class Certainty:
    """Why a region may be left out.

    Args:
        lipschitz: |f(x) - f(y)| <= lipschitz |x - y|, everywhere or as far as it was sampled.
        certified: Whether that is proved; else regions left out are audited by sampling.
        enclose: Have the field's own enclosures (`Bounds`) decide what the constant only proposes. Certain, and dear
            for deep networks, whose enclosures are wide.
    """

    lipschitz: float
    certified: bool
    enclose: bool = False

    @property
    def proved(self) -> bool:
        """Whether what is left out is left out with proof."""
        return self.certified or self.enclose


EXACT = Certainty(1.0, True)
"""Of a signed distance, and of whatever is made from such by minimum, maximum and rigid moves."""


@torch.no_grad()
def _batches(field: Field, x: Tensor, found: Tensor, start: int, seconds: float) -> int:
    """Ask batches from `start` on for so many seconds; where it stopped."""
    size = getattr(field, "batch", BATCH)
    end = time.perf_counter() + seconds
    x = x.contiguous()  # the order in memory decides how a norm is summed
    while start < len(x):
        some = x[start : start + size]
        short = size - len(some)
        padded = torch.cat([some, some[-1:].expand(short, 3)]) if short else some
        found[start : start + len(some)] = field(padded)[: len(some)].to("cpu", torch.float32)
        start += size
        if time.perf_counter() > end:
            break
    return start


def asked(field: Field, x: Float[Tensor, "n 3"]) -> Generator[None, None, Float[Tensor, " n"]]:
    """A field at any number of points, in batches of one size (see `BATCH`), with a yield every `PACE` seconds."""
    found = torch.empty(len(x), dtype=torch.float32)
    start = 0
    while start < len(x):
        start = _batches(field, x, found, start, PACE)
        yield
    return found


def values(field: Field, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """The same in one go."""
    found = torch.empty(len(x), dtype=torch.float32)
    _batches(field, x, found, 0, math.inf)
    return found


def finished(steps: Generator[object, None, T]) -> T:
    """What a generator returns, its yields passed over."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


def sampled_lipschitz(
    field: Field, low: float, high: float, generator: torch.Generator, count: int = 4_096, margin: float = 1.25
) -> Certainty:
    """A Lipschitz constant from gradients at random points, times a margin: a guess, to be audited.

    Args:
        field: Differentiable.
        low: Of the cube's coordinates.
        high: Likewise.
        generator: Of the points.
        count: How many.
        margin: Factor on the largest gradient that was met.
    """
    x = low + (high - low) * torch.rand(count, 3, generator=generator)
    largest = 0.0
    for some in x.split(getattr(field, "batch", BATCH)):
        with torch.enable_grad():
            points = some.requires_grad_(True)
            (gradient,) = torch.autograd.grad(field(points).sum(), points)
        largest = max(largest, float(gradient.norm(dim=1).nan_to_num(math.inf).max()))
    return Certainty(margin * largest if math.isfinite(largest) and largest > 0 else 1.0, False)
