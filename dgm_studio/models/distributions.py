"""Likelihood heads: modules that turn a decoder's output into p(x | z), a value with mean, log_prob and sample.

All log probabilities are in nats and summed over the whole datum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.models.blocks import softened_floor
from dgm_studio.models.capabilities import Likelihood, draw_normal, gaussian_log_prob

# Least log standard deviation of a Gaussian on data in [0, 1]: e^-6 is about 0.6/255, below the spacing of 8-bit grey
# levels. Without a floor the density of quantised data grows without bound.
LEAST_LOG_STD = -6.0
# Of a logistic on [-1, 1]: the least as in Salimans et al. 2017; at the greatest all levels are alike within 0.01 %.
LEAST_LOG_SCALE, GREATEST_LOG_SCALE = -7.0, 5.0


def uniforms(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform draws inside (0, 1), safe under the logit."""
    u = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
    return u.clamp(1e-6, 1.0 - 1e-6)


@dataclass(frozen=True)
class Bernoulli:
    """Independent bits. A grey x in [0, 1] is scored by the cross-entropy, which is the mean over its binarisations.

    Args:
        logits: [N, *S].
    """

    logits: Float[Tensor, "n *shape"]

    @property
    def mean(self) -> Float[Tensor, "n *shape"]:
        """Probability of ink."""
        return torch.sigmoid(self.logits)

    def log_prob(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """x log p + (1 - x) log(1 - p), summed."""
        return (x * self.logits - F.softplus(self.logits)).flatten(1).sum(1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "n *shape"]:
        """Bits."""
        return torch.bernoulli(self.mean, generator=generator)


class BernoulliHead(nn.Module):
    """One logit for every value of the datum."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = self.raw_shape = shape

    def forward(self, raw: Float[Tensor, "n *raw"]) -> Likelihood:
        """Logits [N, *S] to a distribution."""
        return Bernoulli(raw)


@dataclass(frozen=True)
class Gaussian:
    """Independent Gaussians.

    Args:
        mean: [N, *S].
        log_std: [N, *S] or anything that broadcasts to it.
    """

    mean: Float[Tensor, "n *shape"]
    log_std: Tensor

    def log_prob(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """Log density, summed."""
        return gaussian_log_prob(x, self.mean, self.log_std).flatten(1).sum(1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "n *shape"]:
        """The mean with noise."""
        return self.mean + self.log_std.exp() * draw_normal(tuple(self.mean.shape), self.mean, generator)


class GaussianHead(nn.Module):
    """A Gaussian whose standard deviation is learnt: one number for all values, or one for each.

    The learnt number is a log standard deviation with a softened floor (Rybkin et al. 2021, "Simple and effective
    VAE training with calibrated decoders").

    Args:
        shape: Shape of a datum.
        squash: Send the mean through a sigmoid, for pictures in [0, 1].
        each: A standard deviation for every value, given by the decoder, rather than one in all.
    """

    def __init__(self, shape: tuple[int, ...], *, squash: bool, each: bool) -> None:
        super().__init__()
        self.squash, self.each = squash, each
        self.shape = shape
        self.raw_shape = (2 * shape[0], *shape[1:]) if each else shape
        self.raw_log_std = None if each else nn.Parameter(torch.tensor(-1.0))

    def forward(self, raw: Float[Tensor, "n *raw"]) -> Likelihood:
        """Means (and log standard deviations behind them in the first axis) to a distribution."""
        mean, log_std = raw.chunk(2, dim=1) if self.raw_log_std is None else (raw, self.raw_log_std)
        return Gaussian(torch.sigmoid(mean) if self.squash else mean, softened_floor(log_std, LEAST_LOG_STD))


@dataclass(frozen=True)
class LogisticMixture:
    """Mixture of discretised logistics over `levels` equally spaced values (Salimans et al. 2017, equations 1 to 3).

    Values live on [-1, 1] inside and on [0, 1] outside. In every pixel all channels share one mixture indicator, and
    the location of a channel moves linearly with the values of the channels before it:
    loc_c + sum over b < c of coupling[c, b] x_b. The lowest and the highest level take the tails.

    Args:
        logits: [N, M, H, W], unnormalised weights.
        loc: [N, M, C, H, W].
        log_scale: [N, M, C, H, W].
        coupling: [N, M, C (C - 1) / 2, H, W], in (-1, 1), by rows of the lower triangle.
        levels: Number of values a channel can take.
    """

    logits: Float[Tensor, "n m h w"]
    loc: Float[Tensor, "n m c h w"]
    log_scale: Float[Tensor, "n m c h w"]
    coupling: Float[Tensor, "n m b h w"]
    levels: int = 256

    @property
    def half(self) -> float:
        """Half the distance of two levels on [-1, 1]."""
        return 1.0 / (self.levels - 1)

    def _location(self, channel: int, before: list[Tensor]) -> Tensor:
        """Locations [N, M, H, W] of a channel given the values of those before it."""
        first = channel * (channel - 1) // 2
        loc = self.loc[:, :, channel]
        for i, value in enumerate(before):
            loc = loc + self.coupling[:, :, first + i] * value
        return loc

    @property
    def mean(self) -> Float[Tensor, "n c h w"]:
        """E[x | z] in [0, 1].

        Within a component the expectation of a logistic cut to [-1, 1] is used, -1 + s (softplus((loc + 1) / s) -
        softplus((loc - 1) / s)), of which the discretised sum is the midpoint rule; couplings act on expectations,
        which is exact unless a channel is cut.
        """
        weights = torch.softmax(self.logits, dim=1)
        before: list[Tensor] = []
        for channel in range(self.loc.shape[2]):
            loc, scale = self._location(channel, before), self.log_scale[:, :, channel].exp()
            before.append(scale * (F.softplus((loc + 1.0) / scale) - F.softplus((loc - 1.0) / scale)) - 1.0)
        inside = torch.stack([(weights * value).sum(1) for value in before], dim=1)
        return ((inside + 1.0) / 2.0).clamp(0.0, 1.0)

    def log_prob(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Log probability of the nearest levels, summed over pixels; the chain rule over channels is exact."""
        y = (x * (self.levels - 1)).round() * (2.0 * self.half) - 1.0
        values = list(y.unsqueeze(1).unbind(2))
        parts = [
            _log_bin(value, self._location(c, values[:c]), self.log_scale[:, :, c], self.half)
            for c, value in enumerate(values)
        ]
        total = torch.log_softmax(self.logits, dim=1) + torch.stack(parts).sum(0)
        return torch.logsumexp(total, dim=1).flatten(1).sum(1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "n c h w"]:
        """Levels in [0, 1]: the indicator first, then channel by channel."""
        noise = uniforms(tuple(self.logits.shape), self.logits, generator)
        chosen = (self.logits - (-noise.log()).log()).argmax(1, keepdim=True)
        before: list[Tensor] = []
        for channel in range(self.loc.shape[2]):
            loc = self._location(channel, before).gather(1, chosen)
            scale = self.log_scale[:, :, channel].gather(1, chosen).exp()
            drawn = loc + scale * torch.logit(uniforms(tuple(loc.shape), loc, generator))
            level = ((drawn + 1.0) / (2.0 * self.half)).round().clamp(0, self.levels - 1)
            before.append(level * (2.0 * self.half) - 1.0)
        return (torch.cat(before, dim=1) + 1.0) / 2.0


def _log_bin(y: Tensor, loc: Tensor, log_scale: Tensor, half: float) -> Tensor:
    """Log mass of a logistic on the bin around level y, without subtracting two nearly equal numbers.

    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), and a - b = 2 half / scale is always positive.
    """
    inverse = torch.exp(-log_scale)
    top, bottom = y > 1.0 - half, y < half - 1.0  # these bins reach to infinity
    offset = y - loc
    below = F.logsigmoid((offset + half) * inverse).masked_fill(top, 0.0)
    above = F.logsigmoid((half - offset) * inverse).masked_fill(bottom, 0.0)
    gap = torch.log(-torch.expm1(-2.0 * half * inverse)).masked_fill(top | bottom, 0.0)
    return below + above + gap


class LogisticMixtureHead(nn.Module):
    """Weights, locations, scales and couplings of `LogisticMixture` from the decoder's channels.

    Args:
        shape: (C, H, W).
        components: Number M of logistics.
        levels: Number of values a channel can take.
    """

    def __init__(self, shape: tuple[int, ...], components: int, levels: int = 256) -> None:
        super().__init__()
        self.shape, self.levels = shape, levels
        channels = shape[0]
        self.counts = (1, channels, channels, channels * (channels - 1) // 2)
        self.raw_shape = (components * sum(self.counts), *shape[1:])
        # Spread locations at the start, or all components stay alike.
        start = torch.linspace(-0.5, 0.5, components) if components > 1 else torch.zeros(1)
        self.register_buffer("start", start.view(1, components, 1, 1, 1), persistent=False)
        self.start: Tensor

    def forward(self, raw: Float[Tensor, "n *raw"]) -> Likelihood:
        """[N, M (1 + 2 C + C (C - 1) / 2), H, W] to a distribution."""
        logits, loc, log_scale, coupling = raw.unflatten(1, (-1, sum(self.counts))).split(self.counts, dim=2)
        log_scale = softened_floor(log_scale - 1.5, LEAST_LOG_SCALE).clamp(max=GREATEST_LOG_SCALE)
        return LogisticMixture(logits.squeeze(2), loc + self.start, log_scale, torch.tanh(coupling), self.levels)


def likelihood_head(kind: str, shape: tuple[int, ...], *, components: int, each: bool, squash: bool) -> nn.Module:
    """The head of a kind.

    Args:
        kind: "bernoulli", "gaussian" or "logistic-mixture".
        shape: Shape of a datum.
        components: Logistics in a mixture.
        each: Gaussian only: a standard deviation for every value.
        squash: Gaussian only: means through a sigmoid.
    """
    if kind == "bernoulli":
        return BernoulliHead(shape)
    if kind == "gaussian":
        return GaussianHead(shape, squash=squash, each=each)
    if kind == "logistic-mixture":
        return LogisticMixtureHead(shape, components)
    raise ValueError(f"no likelihood is called {kind}")
