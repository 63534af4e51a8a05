"""Which examples come when: seeded permutations, with an exact position."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor


def derived_seed(seed: int, purpose: str, number: int = 0) -> int:
    """A seed of its own for each purpose, spread over 63 bits (Steele et al. 2014, the mixing of SplitMix64)."""
    state = seed & (2**64 - 1)
    for word in (*purpose.encode(), number):
        state = (state + 0x9E3779B97F4A7C15 + word) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1


class Order:
    """All examples in a new permutation every epoch; batches run on across the end of an epoch.

    The permutation of an epoch depends on the seed and the epoch only: the position is all there is to remember.

    Args:
        count: Examples in all, at least 1.
        seed: Of the permutations.
        position: Examples taken so far.
    """

    def __init__(self, count: int, seed: int, position: int = 0) -> None:
        self.count = count
        self.seed = seed
        self.position = position
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def peek(self, size: int) -> Int64[Tensor, " size"]:
        """The next `size` indices; the position stays."""
        parts, at, left = [], self.position, size
        while left > 0:
            epoch, offset = divmod(at, self.count)
            part = self._of(epoch)[offset : offset + left]
            parts.append(part)
            at, left = at + len(part), left - len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def advance(self, size: int) -> None:
        """Step over `size` examples."""
        self.position += size

    def _of(self, epoch: int) -> Int64[Tensor, " n"]:
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "order", epoch))
            self._permutation = torch.randperm(self.count, generator=generator)
            self._epoch = epoch
        return self._permutation
