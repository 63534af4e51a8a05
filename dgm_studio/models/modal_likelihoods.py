"""p(x | z) of every kind of modality, as values. Missing elements add nothing to a log probability, exactly.

Values are those of `capabilities.Views`; densities are in the natural units of the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from dgm_studio.core.cards import Modality
from dgm_studio.models.capabilities import draw_normal, gaussian_log_prob
from dgm_studio.models.distributions import Bernoulli, Gaussian
from dgm_studio.models.laplace import Laplace


def known_numbers(x: Tensor) -> tuple[Tensor, Tensor]:
    """Which elements are known, and the values with zeros for those that are not."""
    known = torch.isfinite(x)
    return known, torch.where(known, x, torch.zeros((), dtype=x.dtype, device=x.device))


def _summed(each: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, each, torch.zeros((), dtype=each.dtype, device=each.device)).flatten(1).sum(1)


@dataclass(frozen=True)
class BitPicture(Bernoulli):
    """Independent pixels; a grey one is scored by the cross-entropy."""

    def log_prob(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """x log p + (1 - x) log(1 - p), summed over the known pixels."""
        known, values = known_numbers(x)
        return _summed(values * self.logits - F.softplus(self.logits), known)


@dataclass(frozen=True)
class ColourPicture(Gaussian):
    """Independent Gaussian channels in [0, 1]."""

    def log_prob(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """Log density, summed over the known values."""
        known, values = known_numbers(x)
        return _summed(gaussian_log_prob(values, self.mean, self.log_std).expand(x.shape), known)


@dataclass(frozen=True)
class LaplacePicture(Laplace):
    """Independent Laplace pixels with one fixed scale (Shi et al. 2019, section 4.1)."""

    def log_prob(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """Log density, summed over the known values."""
        known, values = known_numbers(x)
        return _summed(-(values - self.mean).abs() / self.scale - math.log(2.0 * self.scale), known)


@dataclass(frozen=True)
class Choice:
    """One of C classes.

    Args:
        logits: [N, C].
    """

    logits: Float[Tensor, "n c"]

    @property
    def mean(self) -> Float[Tensor, "n c"]:
        """Probability of every class."""
        return torch.softmax(self.logits, -1)

    def log_prob(self, x: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Log probability of classes [N]; 0 where it is -1."""
        found = torch.log_softmax(self.logits, -1).gather(1, x.clamp(min=0).unsqueeze(1)).squeeze(1)
        return torch.where(x >= 0, found, torch.zeros_like(found))

    def sample(self, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """One class for each."""
        return torch.multinomial(self.mean, 1, generator=generator).squeeze(1)


@dataclass(frozen=True)
class Choices:
    """Several independent choices at once.

    Args:
        each: One for every column.
    """

    each: tuple[Choice, ...]

    @property
    def probabilities(self) -> tuple[Float[Tensor, "n c"], ...]:
        """Of every class of every column."""
        return tuple(c.mean for c in self.each)

    @property
    def mean(self) -> Float[Tensor, "n total"]:
        """The probabilities, side by side."""
        return torch.cat(self.probabilities, 1)

    def log_prob(self, x: Int64[Tensor, "n a"]) -> Float[Tensor, " n"]:
        """Log probability of the columns that are known."""
        return torch.stack([c.log_prob(x[:, i]) for i, c in enumerate(self.each)]).sum(0)

    def sample(self, generator: torch.Generator) -> Int64[Tensor, "n a"]:
        """One class for each column."""
        return torch.stack([c.sample(generator) for c in self.each], 1)


@dataclass(frozen=True)
class Numbers:
    """Independent numbers: Gaussian after standardising, or log-normal with the logarithm standardised.

    Args:
        centre: [D], of the data (of their logarithm).
        spread: [D], likewise.
        raw_mean: [N, D] of the standardised value.
        log_std: [N, D] likewise.
        logarithmic: Whether the numbers are positive, and their logarithm Gaussian.
    """

    centre: Float[Tensor, " d"]
    spread: Float[Tensor, " d"]
    raw_mean: Float[Tensor, "n d"]
    log_std: Float[Tensor, "n d"]
    logarithmic: bool = False

    @property
    def location(self) -> Float[Tensor, "n d"]:
        """Mean of the number or of its logarithm."""
        return self.centre + self.spread * self.raw_mean

    @property
    def scale(self) -> Float[Tensor, "n d"]:
        """Standard deviation of the number or of its logarithm."""
        return self.spread * self.log_std.exp()

    @property
    def mean(self) -> Float[Tensor, "n d"]:
        """Expectation in natural units."""
        if self.logarithmic:
            return torch.exp(self.location + 0.5 * self.scale.square())
        return self.location

    def interval(self, level: float = 0.9) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """The ends of the middle part of the distribution, in natural units.

        Args:
            level: Its probability.
        """
        reach = math.sqrt(2.0) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))
        ends = (self.location - reach * self.scale, self.location + reach * self.scale)
        return (ends[0].exp(), ends[1].exp()) if self.logarithmic else ends

    def log_prob(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Log density in natural units, summed over the known numbers; minus infinity where none can be."""
        known, values = known_numbers(x)
        change = self.spread.log()
        if self.logarithmic:
            possible = values > 0
            logs = torch.where(possible, values, torch.ones_like(values)).log()
            each = gaussian_log_prob((logs - self.centre) / self.spread, self.raw_mean, self.log_std) - change - logs
            return _summed(torch.where(possible, each, torch.full_like(each, -math.inf)), known)
        return _summed(
            gaussian_log_prob((values - self.centre) / self.spread, self.raw_mean, self.log_std) - change, known
        )

    def sample(self, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Numbers in natural units."""
        drawn = self.location + self.scale * draw_normal(tuple(self.location.shape), self.location, generator)
        return drawn.exp() if self.logarithmic else drawn


@dataclass(frozen=True)
class Tokens:
    """A text of independent tokens, up to and including the one that ends it; what follows has probability 1.

    So the probabilities of all texts of at most L tokens sum to 1. A bag of words has the same distribution at every
    position: then the order of the tokens does not count.

    Args:
        logits: [N, L, V]; token 0 ends the text.
    """

    logits: Float[Tensor, "n l v"]

    @property
    def mean(self) -> Float[Tensor, "n l v"]:
        """Probability of every token at every position, had the text not ended before."""
        return torch.softmax(self.logits, -1)

    def log_prob(self, x: Int64[Tensor, "n l"]) -> Float[Tensor, " n"]:
        """Log probability of rows of tokens; 0 for a row of -1."""
        found = torch.log_softmax(self.logits, -1).gather(2, x.clamp(min=0).unsqueeze(2)).squeeze(2)
        counts = (before_the_end(x) | _first_end(x)) & (x[:, :1] >= 0)
        return torch.where(counts, found, torch.zeros_like(found)).sum(1)

    def sample(self, generator: torch.Generator) -> Int64[Tensor, "n l"]:
        """A row of tokens for each, zeros after its end."""
        n, length, _ = self.logits.shape
        drawn = torch.multinomial(self.mean.flatten(0, 1), 1, generator=generator).view(n, length)
        return drawn.masked_fill(~before_the_end(drawn), 0)


def before_the_end(x: Int64[Tensor, "n l"]) -> Tensor:
    """Positions [N, L] that stand before the first end."""
    return (x > 0).long().cumprod(1).bool()


def _first_end(x: Tensor) -> Tensor:
    inside = before_the_end(x)
    started = F.pad(inside[:, :-1], (1, 0), value=True)
    return started & ~inside


def dimensions(modality: Modality) -> int:
    """How many values a datum of this modality has: D of the scaling by sizes (Shi et al. 2019, appendix C)."""
    return max(1, math.prod(modality.shape))
