"""What is rendered: functions of space whose zero is a surface, negative inside."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

BATCH = 8_192
"""Points in one call. Always so many, the last ones repeated: a matrix product rounds by the shape of its batch, and a
surface that is extracted sparsely shall be the dense one to the last bit."""


class Field(Protocol):
    """f: R^3 -> R, negative inside."""

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
    """

    lipschitz: float
    certified: bool


EXACT = Certainty(1.0, True)
"""Of a signed distance, and of whatever is made from such by minimum, maximum and rigid moves."""


@torch.no_grad()
def values(field: Field, x: Float[Tensor, "n 3"], tick: Callable[[], None] | None = None) -> Float[Tensor, " n"]:
    """A field at any number of points, in batches of one size; see `BATCH`.

    Args:
        field: What is asked.
        x: Points [N, 3].
        tick: Called after every batch.
    """
    found = torch.empty(len(x), dtype=torch.float32)
    for start in range(0, len(x), BATCH):
        some = x[start : start + BATCH]
        short = BATCH - len(some)
        padded = torch.cat([some, some[-1:].expand(short, 3)]) if short else some
        found[start : start + len(some)] = field(padded)[: len(some)].to("cpu", torch.float32)
        if tick is not None:
            tick()
    return found


def sampled_lipschitz(
    field: Field, low: float, high: float, generator: torch.Generator, count: int = 16_384, margin: float = 1.25
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
    x = (low + (high - low) * torch.rand(count, 3, generator=generator)).requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(field(x).sum(), x)
    largest = float(gradient.norm(dim=1).max())
    return Certainty(margin * largest if math.isfinite(largest) and largest > 0 else 1.0, False)
