"""Networks that look through noise: a U-Net for pictures and a perceptron for points in the plane.

Both are told the noise as a level -lambda / 4, where lambda is half the log-SNR: c_noise of Karras et al. 2022
(ln(sigma) / 4) on their path, and a number of the same size on every other. A sinusoid made for indices up to 1000 sees
no difference between any two such levels; the loss looks fine then and the samples are not (measured: 15 % of samples
within 3 sigma of a mode, against 98 %). The wavelengths here are those of this range.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.core.updates import Problem
from dgm_studio.models.blocks import Upsample, group_norm, mlp

LEVEL_RANGE = 3.0  # |lambda| up to 12: an SNR of 10^10, beyond what single precision tells from data or noise
WAVES = 16
WAVELENGTHS = (0.25, 16.0)  # of the level, shortest and longest
LEAST_SIDE = 8  # pixels
COARSEST = 4  # pixels along the longer side at which halving stops
GRIDS_WITHOUT_PATCHES = 12  # pixels along the longer side up to which a picture is taken as it is
LARGEST_GRID = 20  # places along the longer side that the finest grid may have
HEAD = 32  # channels of one head of attention
PLANE_FREQUENCIES = 32
PLANE_BANDWIDTH = 2.0  # standard deviation of the angular frequencies of standardised points


def noise_level(log_snr: Tensor) -> Tensor:
    """What networks are told of the noise, for half-log-SNRs of any shape; infinite ones are brought into range."""
    return (-0.25 * log_snr).clamp(-LEVEL_RANGE, LEVEL_RANGE)


def patch_size(height: int, width: int) -> int:
    """Side of the squares that are folded into channels before the first convolution.

    >>> [patch_size(n, n) for n in (8, 16, 28, 32, 64)]
    [1, 2, 2, 2, 4]
    """
    side = max(height, width)
    patch = 1 if side <= GRIDS_WITHOUT_PATCHES else 2
    while math.ceil(side / patch) > LARGEST_GRID:
        patch *= 2
    return patch


def grids(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from the finest grid to the coarsest, each halved and rounded up; at least two.

    >>> grids(8, 8), grids(14, 14)
    ([(8, 8), (4, 4)], [(14, 14), (7, 7), (4, 4)])
    """
    sizes = [(height, width)]
    while len(sizes) < 2 or max(sizes[-1]) > COARSEST:
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    return sizes


def silenced(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, starting at zero (Ho et al. 2020, appendix B, start the last layer of every residual branch so)."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class LevelEmbedding(nn.Module):
    """Noise level to features: sinusoids of fixed wavelengths and the level itself, through a perceptron.

    Args:
        size: Features.
    """

    waves: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        short, long = WAVELENGTHS
        steps = torch.linspace(math.log(long), math.log(short), WAVES, dtype=torch.float64)
        self.register_buffer("waves", (2.0 * math.pi / steps.exp()).float(), persistent=False)
        self.network = mlp((2 * WAVES + 1, size, size))

    def forward(self, level: Float[Tensor, " n"]) -> Float[Tensor, "n e"]:
        """Features of every level."""
        angle = level.unsqueeze(1) * self.waves
        y: Tensor = self.network(torch.cat([level.unsqueeze(1), angle.sin(), angle.cos()], 1))
        return y


class LevelBlock(nn.Module):
    """A residual block whose second normalisation is scaled and shifted by an embedding (Dhariwal and Nichol 2021).

    Args:
        before: Channels in.
        after: Channels out.
        embedding: Features of the embedding.
        dropout: Before the second convolution.
    """

    def __init__(self, before: int, after: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(before), group_norm(after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * after)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = silenced(nn.Conv2d(after, after, 3, padding=1))
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(
        self, x: Float[Tensor, "n before h w"], embedding: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n after h w"]:
        """The skipped input plus a change; at the start no change."""
        scale, shift = self.modulate(embedding)[..., None, None].chunk(2, 1)
        y = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1.0 + scale) + shift
        changed: Tensor = self.skip(x) + self.conv2(self.dropout(F.silu(y)))
        return changed


class Attention(nn.Module):
    """Every place of a small grid looks at every other one, several heads (Vaswani et al. 2017), residual.

    Args:
        channels: In and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = next(h for h in range(max(1, channels // HEAD), 0, -1) if channels % h == 0)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = silenced(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Same shape out as in."""
        parts = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(-1, -2)
        q, k, v = parts.unbind(1)
        seen = F.scaled_dot_product_attention(q, k, v)  # [N, heads, places, channels of a head]
        changed: Tensor = x + self.project(seen.transpose(-1, -2).reshape(x.shape))
        return changed


class PictureDenoiser(nn.Module):
    """A U-Net (Ronneberger et al. 2015) after Ho et al. 2020, on a picture whose pixels are folded into channels.

    Large pictures are folded first (pixel-unshuffle, Shi et al. 2016) so that a CPU can train it: on 16 x 16 digits a
    step then cost half as much. Sides that do not divide are padded.

    Args:
        shape: (C, H, W), H and W at least 8.
        out: Channels out.
        width: Channels of the finest grid; coarser ones have twice as many.
        depth: Residual blocks a grid, down and up.
        dropout: Inside them.
        patch: Side of the folded squares; 0 chooses.

    Raises:
        Problem: The picture is too small.
    """

    def __init__(
        self, shape: tuple[int, ...], out: int, width: int, depth: int, dropout: float, patch: int = 0
    ) -> None:
        super().__init__()
        channels, height, across = shape
        if min(height, across) < LEAST_SIDE:
            raise Problem("The network needs pictures of at least 8 by 8 pixels.", "Choose larger pictures.")
        self.size, self.patch = (height, across), patch or patch_size(height, across)
        sizes = grids(math.ceil(height / self.patch), math.ceil(across / self.patch))
        widths = [width * min(2, 2**i) for i in range(len(sizes))]
        self.embedding = 3 * width
        self.level = LevelEmbedding(self.embedding)
        self.stem = nn.Conv2d(channels * self.patch**2, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(width, *sizes[0]))  # pictures are centred: where counts
        self.padding = (sizes[0][1] * self.patch - across, sizes[0][0] * self.patch - height)
        block = (self.embedding, dropout)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for i, c in enumerate(widths):
            self.down.append(nn.ModuleList(LevelBlock(c, c, *block) for _ in range(depth)))
            self.up.append(nn.ModuleList(LevelBlock(2 * c, c, *block) for _ in range(depth)))
            if i:
                self.shrink.append(nn.Conv2d(widths[i - 1], c, 3, stride=2, padding=1))
                self.grow.append(Upsample(c, widths[i - 1], sizes[i - 1]))
        self.middle = nn.ModuleList(LevelBlock(widths[-1], widths[-1], *block) for _ in range(2))
        self.attention = Attention(widths[-1])
        self.norm = group_norm(width)
        self.last = silenced(nn.Conv2d(width, out * self.patch**2, 3, padding=1))

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        level: Float[Tensor, " n"],
        condition: Float[Tensor, "n e"] | None = None,
    ) -> Float[Tensor, "n out h w"]:
        """What it predicts; zero at the start of training.

        Args:
            x: Noisy pictures, of about unit variance.
            level: See `noise_level`.
            condition: Features of what is given beside x, to be added to those of the level.
        """
        about = self.level(level)
        about = F.silu(about if condition is None else about + condition)
        padded = F.pad(x, (0, self.padding[0], 0, self.padding[1]), mode="replicate") if any(self.padding) else x
        y = self.stem(F.pixel_unshuffle(padded, self.patch)) + self.place
        kept: list[Tensor] = []
        for i, blocks in enumerate(self.down):
            y = self.shrink[i - 1](y) if i else y
            for block in blocks:  # type: ignore[attr-defined]
                y = block(y, about)
                kept.append(y)
        y = self.middle[1](self.attention(self.middle[0](y, about)), about)
        for i in reversed(range(len(self.up))):
            for block in self.up[i]:  # type: ignore[attr-defined]
                y = block(torch.cat([y, kept.pop()], 1), about)
            y = self.grow[i - 1](y) if i else y
        y = F.pixel_shuffle(self.last(F.silu(self.norm(y))), self.patch)
        return y[..., : self.size[0], : self.size[1]]


class PointDenoiser(nn.Module):
    """A residual perceptron on points and sinusoids of them (Tancik et al. 2020), modulated by the level.

    Args:
        size: Coordinates of a point.
        out: Numbers out.
        hidden: Units of every layer.
        layers: Residual layers.
        dropout: Inside them.
    """

    frequencies: Tensor

    def __init__(self, size: int, out: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = max(8, hidden // 2)
        self.level = LevelEmbedding(self.embedding)
        self.register_buffer("frequencies", PLANE_BANDWIDTH * torch.randn(size, PLANE_FREQUENCIES))
        self.first = nn.Linear(size + 2 * PLANE_FREQUENCIES, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, elementwise_affine=False) for _ in range(layers))
        self.modulate = nn.Linear(self.embedding, 2 * hidden * layers)  # of all layers at once: few large products
        self.layers = nn.ModuleList(mlp((hidden, hidden, hidden), dropout) for _ in range(layers))
        self.last = nn.Linear(hidden, out)
        for layer in (*(each[-1] for each in self.layers), self.last):  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "n d"], level: Float[Tensor, " n"], condition: Float[Tensor, "n e"] | None = None
    ) -> Float[Tensor, "n out"]:
        """What it predicts; zero at the start of training. Arguments as of `PictureDenoiser`."""
        about = self.level(level)
        about = F.silu(about if condition is None else about + condition)
        angle = x @ self.frequencies
        y = self.first(torch.cat([x, angle.sin(), angle.cos()], 1))
        parts = self.modulate(about).chunk(2 * len(self.layers), 1)
        for norm, layer, scale, shift in zip(self.norms, self.layers, parts[::2], parts[1::2], strict=True):
            y = y + layer(norm(y) * (1.0 + scale) + shift)
        found: Tensor = self.last(F.silu(y))
        return found
