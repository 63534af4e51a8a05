"""The nearest items of a part, by brute force: what was memorised shows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dgm_studio.data.dataset import Part

BLOCK = 2048


def nearest(part: Part, x: Float[Tensor, "n ..."], k: int) -> tuple[Float[Tensor, "n k"], Int64[Tensor, "n k"]]:
    """The k items of a part nearest to each given one, in Euclidean distance between what `Part.batch` returns.

    Distances are ranked by |a|^2 - 2 ab + |b|^2, one product of matrices per block, and then computed anew from
    differences for those chosen, so that an exact copy has distance 0 and not the rounding error of two large sums.

    Args:
        part: Where to look.
        x: Items [n, C, H, W] in [0, 1], or standardised points [n, 2].
        k: How many; at most as many as the part has are returned.

    Returns:
        Distances [n, k], nearest first, and positions in the part [n, k].

    Raises:
        ValueError: The shape of x is not that of the part's items, or k is less than 1.
    """
    if x.shape[1:] != part.x.shape[1:] or k < 1:
        raise ValueError(f"nearest() got items {tuple(x.shape[1:])} for {tuple(part.x.shape[1:])} and k = {k}")
    queries = x.detach().cpu().float().flatten(1)
    k = min(k, len(part))
    best = torch.full((len(queries), 0), torch.inf)
    chosen = torch.zeros((len(queries), 0), dtype=torch.int64)
    for start in range(0, len(part), BLOCK):
        indices = torch.arange(start, min(start + BLOCK, len(part)))
        items = part.batch(indices).flatten(1)
        squares = items.square().sum(1) - 2.0 * queries @ items.T
        candidates = torch.cat([chosen, indices.expand(len(queries), -1)], dim=1)
        best, rows = torch.cat([best, squares], dim=1).topk(min(k, candidates.shape[1]), largest=False)
        chosen = candidates.gather(1, rows)
    found = part.batch(chosen.flatten()).flatten(1).unflatten(0, chosen.shape)
    distances, order = (found - queries[:, None]).square().sum(-1).sqrt().sort(dim=1, stable=True)
    return distances, chosen.gather(1, order)
