"""Which parts of a datum a multimodal objective looks at: subsets of modalities for every example."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dgm_studio.models.fusion import subsets


@dataclass(frozen=True)
class Parts:
    """S terms of an objective for N data of M modalities.

    Args:
        given: [S, N, M], what the posterior of a term sees.
        scored: [S, N, M], what it rebuilds.
        weight: [S, N], of the term in what is minimised.
        report: [S, N], of the term in the bound on everything that is known.
        may: For every term, the modalities it can rebuild, whatever the data: the others need no decoding.
    """

    given: Bool[Tensor, "s n m"]
    scored: Bool[Tensor, "s n m"]
    weight: Float[Tensor, "s n"]
    report: Float[Tensor, "s n"]
    may: tuple[frozenset[int], ...]


def joint_and_parts(
    present: Bool[Tensor, "n m"],
    generator: torch.Generator,
    *,
    alone: bool,
    count: int,
    size_first: bool,
    cross: bool = False,
) -> Parts:
    """Everything known; then, in complete rows, each modality alone and random subsets (Wu and Goodman 2018, eq. 5).

    With `cross` every term rebuilds all that is known, as in a mixture (Shi et al. 2019; Sutter et al. 2021): a bound
    on log p of the same datum by a posterior that sees less of it, which holds in incomplete rows as well.

    Args:
        present: What is known of each datum.
        generator: Of the subsets, drawn for every datum by itself.
        alone: Whether there is more than the first term.
        count: Random subsets, of 2 to M - 1 modalities.
        size_first: Draw the size first and then a subset of that size, as the paper does; else uniformly over all.
        cross: Whether a part rebuilds everything rather than itself.
    """
    n, m = present.shape
    everything, complete = frozenset(range(m)), present.all(1)
    given, may = [present], [everything]
    if alone and m > 1:
        own = torch.eye(m, dtype=torch.bool, device=present.device)
        given += [own[i].expand(n, m) & present for i in range(m)]
        may += [everything if cross else frozenset((i,)) for i in range(m)]
        if m > 2:
            given += [random_subsets(present, generator, size_first) & present for _ in range(count)]
            may += [everything] * count
    stacked = torch.stack(given)
    weight = (stacked.any(2) if cross else complete.expand(len(given), n)).float()
    weight[0] = 1.0
    report = torch.zeros_like(weight)
    report[0] = 1.0
    return Parts(stacked, present.expand_as(stacked) if cross else stacked, weight, report, tuple(may))


def every_part(present: Bool[Tensor, "n m"]) -> Parts:
    """Every subset of what is known rebuilds all that is known, of the same weight (Sutter et al. 2021, eq. 9)."""
    n, m = present.shape
    rows = subsets(tuple(str(i) for i in range(m)))
    table = torch.tensor([[str(i) in row for i in range(m)] for row in rows], device=present.device)
    fits = (table.unsqueeze(1) <= present.unsqueeze(0)).all(-1)
    weight = fits.float() / fits.sum(0).clamp(min=1)
    given = table.unsqueeze(1).expand(len(rows), n, m) & present
    return Parts(given, present.expand(len(rows), n, m), weight, weight, (frozenset(range(m)),) * len(rows))


def random_subsets(present: Bool[Tensor, "n m"], generator: torch.Generator, size_first: bool) -> Bool[Tensor, "n m"]:
    """One subset of 2 to M - 1 of the M > 2 modalities for every row."""
    n, m = present.shape
    ways = [1.0 if size_first else float(math.comb(m, size)) for size in range(2, m)]
    chances = torch.tensor(ways, device=present.device)
    size = 2 + torch.multinomial(chances, n, replacement=True, generator=generator).unsqueeze(1)
    rank = torch.rand(n, m, generator=generator, device=present.device).argsort(1).argsort(1)
    return rank < size
