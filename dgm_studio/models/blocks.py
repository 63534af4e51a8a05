"""Networks shared by the systems: perceptrons, and residual convolutions for pictures of any size from 8 pixels up.

Activations are SiLU throughout, so that decoders can be differentiated twice (geodesics need it).
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WIDEST = 4  # channels stop doubling at this multiple of the first stage's
COARSEST = 4  # pixels along the longer side at which halving stops


def mlp(sizes: tuple[int, ...], dropout: float = 0.0) -> nn.Sequential:
    """A perceptron: linear layers with SiLU (and dropout) between them, none after the last.

    Args:
        sizes: Widths of the layers, input and output included.
        dropout: Probability of dropping a hidden unit.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        if i:
            layers += [nn.SiLU()] + ([nn.Dropout(dropout)] if dropout else [])
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


def grid_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Heights and widths from the picture down to the coarsest grid; each halved and rounded up, at least twice.

    >>> grid_sizes(28, 28)
    [(28, 28), (14, 14), (7, 7), (4, 4)]
    """
    sizes = [(height, width)]
    while len(sizes) < 3 or max(sizes[-1]) > COARSEST:
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    return sizes


def stage_channels(width: int, stages: int) -> list[int]:
    """Channels of every stage: doubling up to `WIDEST` times the first."""
    return [width * min(2**i, WIDEST) for i in range(stages)]


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with about eight channels a group (Wu and He 2018): each example is normalised alone."""
    groups = next(g for g in range(max(1, channels // 8), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class ResidualBlock(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x)))))): pre-activation residual block (He et al. 2016)."""

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Same shape out as in."""
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(self.dropout(F.silu(self.norm2(y))))


class ConvEncoder(nn.Module):
    """Picture to features; the stem halves the picture at once, so nothing runs at full resolution.

    Args:
        shape: (C, H, W) with H, W >= 8.
        out: Number of features.
        width: Channels of the first stage.
        depth: Residual blocks a stage.
        dense: Width of a dense layer before the output; 0 for none.
        dropout: Inside residual blocks and before the output.
    """

    def __init__(self, shape: tuple[int, ...], out: int, width: int, depth: int, dense: int, dropout: float) -> None:
        super().__init__()
        grids = grid_sizes(shape[1], shape[2])[1:]
        channels = stage_channels(width, len(grids))
        layers: list[nn.Module] = [nn.Conv2d(shape[0], channels[0], 3, stride=2, padding=1)]
        for i, c in enumerate(channels):
            layers += [ResidualBlock(c, dropout) for _ in range(depth)]
            if i + 1 < len(channels):
                layers.append(nn.Conv2d(c, channels[i + 1], 3, stride=2, padding=1))
        layers += [group_norm(channels[-1]), nn.SiLU(), nn.Flatten(), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        flat = channels[-1] * grids[-1][0] * grids[-1][1]
        self.out = mlp((flat, dense, out) if dense else (flat, out), dropout)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n out"]:
        """Features of every picture; values in [0, 1] are moved to [-1, 1] first."""
        y: Tensor = self.out(self.features(2.0 * x - 1.0))
        return y


class Upsample(nn.Module):
    """Nearest-neighbour enlargement to an exact size, then a convolution (Odena et al. 2016: no checkerboard)."""

    def __init__(self, before: int, after: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x: Float[Tensor, "n before h w"]) -> Float[Tensor, "n after h2 w2"]:
        """Twice as large, cut to the size asked for (odd sides lose one row)."""
        x = x.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
        y: Tensor = self.conv(x[..., : self.size[0], : self.size[1]])
        return y


class ConvDecoder(nn.Module):
    """Features to a picture's parameters; the mirror of `ConvEncoder`, ending in a pixel shuffle (Shi et al. 2016).

    Args:
        latent: Number of features in.
        shape: (channels of the likelihood's parameters, H, W).
        width: Channels of the finest stage.
        depth: Residual blocks a stage.
        dense: Width of a dense layer after the input; 0 for none.
        dropout: Inside residual blocks and after the dense layer.
    """

    def __init__(self, latent: int, shape: tuple[int, ...], width: int, depth: int, dense: int, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        grids = grid_sizes(shape[1], shape[2])[1:]
        channels = stage_channels(width, len(grids))
        self.coarse = (channels[-1], *grids[-1])
        flat = math.prod(self.coarse)
        self.expand = mlp((latent, dense, flat) if dense else (latent, flat), dropout)
        layers: list[nn.Module] = []
        for i in reversed(range(len(channels))):
            layers += [ResidualBlock(channels[i], dropout) for _ in range(depth)]
            if i:
                layers.append(Upsample(channels[i], channels[i - 1], grids[i - 1]))
        layers += [
            group_norm(channels[0]),
            nn.SiLU(),
            nn.Conv2d(channels[0], 4 * shape[0], 3, padding=1),
            nn.PixelShuffle(2),
        ]
        self.features = nn.Sequential(*layers)
        # What every picture has at a place (a background, a centred face) costs the convolutions nothing.
        self.place = nn.Parameter(torch.zeros(shape))

    def forward(self, z: Float[Tensor, "n z"]) -> Float[Tensor, "n c h w"]:
        """Parameters for every pixel."""
        y: Tensor = self.features(self.expand(z).unflatten(1, self.coarse))
        return y[..., : self.shape[1], : self.shape[2]] + self.place


class FlatEncoder(nn.Module):
    """Any datum, flattened, through a perceptron. Hidden sizes () make it linear."""

    def __init__(self, shape: tuple[int, ...], out: int, hidden: tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = mlp((math.prod(shape), *hidden, out), dropout)

    def forward(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n out"]:
        """Features of every datum."""
        y: Tensor = self.layers(x.flatten(1))
        return y


class FlatDecoder(nn.Module):
    """A perceptron whose output is unflattened. Hidden sizes () make it linear."""

    def __init__(self, latent: int, shape: tuple[int, ...], hidden: tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.layers = mlp((latent, *hidden, math.prod(shape)), dropout)

    def forward(self, z: Float[Tensor, "n z"]) -> Float[Tensor, "n *shape"]:
        """Parameters of every datum."""
        y: Tensor = self.layers(z)
        return y.unflatten(1, self.shape)


def softened_floor(raw: Tensor, low: float) -> Tensor:
    """low + softplus(raw - low): nearly `raw` above, never below `low`, and its gradient never dies."""
    return low + F.softplus(raw - low)


def inverse_softened_floor(value: float, low: float) -> float:
    """The raw value whose `softened_floor` is `value`."""
    return low + math.log(math.expm1(value - low))
