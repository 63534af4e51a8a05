"""Distributions in the plane whose density is known, so that a model's error can be measured and not only looked at.

Each is a mixture of parts that can be drawn from and evaluated: Gaussians; Gaussians twisted by a rotation that depends
on the radius alone (it keeps areas, so the density needs no Jacobian); uniform squares; and curves blurred by a
Gaussian (their density is a one-dimensional integral, summed over 1,024 midpoints far closer together than the
blur).
Models see points standardised by the exact mean and standard deviation; `log_density` takes the same points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dgm_studio.core.cards import DataCard
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.splits import permuted
from dgm_studio.data.toy_cards import TOY_SEED, TOY_SIZES

Points = NDArray[np.float64]
Labels = NDArray[np.int64]
CURVE_NODES = 1024
CELLS = np.array([(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0])  # of the checkerboard


@dataclass(frozen=True)
class Toy:
    """A distribution in the plane, in its own coordinates.

    Args:
        draw: From a numpy generator and a count to points [n, 2] and the part that each came from [n].
        log_density: From float64 points [n, 2] to log p [n].
        mean: [2], exact.
        std: [2], exact.
        centres: Of equal round Gaussians that it is a mixture of, [K, 2]; None where it is none.
        blur: Standard deviation of every one of them.
        modes: Whether the centres are modes of their own, far apart, and not the nodes of a curve.
    """

    draw: Callable[[np.random.Generator, int], tuple[Points, Labels]]
    log_density: Callable[[Tensor], Tensor]
    mean: tuple[float, float]
    std: tuple[float, float]
    centres: Points | None = None
    blur: float = 0.0
    modes: bool = False


@dataclass(frozen=True)
class Mixture:
    """An equal mixture of Gaussians with one diagonal covariance, in the coordinates that models see.

    Args:
        centres: float64 [K, 2].
        std: float64 [2], of every one of them.
        modes: Whether the centres are modes of their own, far apart, and not the nodes of a curve.
    """

    centres: Tensor
    std: Tensor
    modes: bool

    def within(self, x: Float[Tensor, "n 2"], sigmas: float = 3.0) -> Tensor:
        """Which points [n] lie within so many standard deviations of a centre, bool."""
        away = (x.double()[:, None] - self.centres) / self.std
        return (away.square().sum(-1) <= sigmas**2).any(1)


def load_toy(card: DataCard) -> Dataset:
    """The points of a toy, drawn from its card's seed."""
    toy, count = toys()[card.name], sum(TOY_SIZES.values())
    points, labels = toy.draw(np.random.default_rng(TOY_SEED), count)
    x = points.astype(np.float32)
    splits = permuted(count, tuple(TOY_SIZES.values()), TOY_SEED)
    mean, std = torch.tensor(toy.mean), torch.tensor(toy.std)
    parts = {}
    for name, indices in splits.items():
        factors = {"part": torch.from_numpy(labels[indices])}
        parts[name] = Part(torch.from_numpy(x[indices]), torch.from_numpy(indices), factors, [], mean, std)
    return Dataset(card, parts)


def log_density(name: str, x: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """Exact log density, in nats, of standardised points (as `Part.batch` returns them).

    Args:
        name: Of the toy.
        x: Points [n, 2].

    Returns:
        log p(x) [n], computed in float64 and returned in the type of x; -inf outside the support.
    """
    toy = toys()[name]
    mean, std = (x.new_tensor(v, dtype=torch.float64) for v in (toy.mean, toy.std))
    return (toy.log_density(x.double() * std + mean) + std.log().sum()).to(x.dtype)


def mixture(name: str) -> Mixture | None:
    """The Gaussians that a toy is a mixture of, standardised as `Part.batch` does it; None where it is none."""
    toy = toys()[name]
    if toy.centres is None:
        return None
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in (toy.mean, toy.std))
    return Mixture((torch.from_numpy(toy.centres) - mean) / std, toy.blur / std, toy.modes)


def boxes(name: str) -> tuple[Tensor, Tensor] | None:
    """The equal uniform boxes that a toy is a mixture of, standardised: lower and upper corners, float64 [K, 2] each.

    None where it is none. Of the pinwheel neither this nor `mixture` is known: its arms are twisted.
    """
    if name != "checkerboard":
        return None
    std = torch.tensor(toys()[name].std, dtype=torch.float64)
    low = torch.from_numpy(CELLS - 2.0)
    return low / std, (low + 1.0) / std


@cache
def toys() -> dict[str, Toy]:
    """All of them by name."""
    return {
        "moons": _moons(),
        "pinwheel": _pinwheel(),
        "eight-gaussians": _eight_gaussians(),
        "checkerboard": _checkerboard(),
        "swiss-roll": _swiss_roll(),
    }


def _mixture_log_density(x: Tensor, means: Tensor, std: float) -> Tensor:
    """Of an equal mixture of round Gaussians with centres [k, 2] at points [n, 2], in blocks that bound the memory."""
    constant = math.log(len(means)) + math.log(2.0 * math.pi * std**2)
    centres = means.to(x)
    lengths = centres.square().sum(1)
    # |x - m|^2 as |m|^2 - 2 x m + |x|^2: one product of matrices; float64 keeps twelve digits of it
    blocks = [(lengths - 2.0 * b @ centres.T).add_(b.square().sum(1, keepdim=True)) for b in x.split(4096)]
    return torch.cat([torch.logsumexp(d.mul_(-0.5 / std**2), dim=1) - constant for d in blocks])


def _eight_gaussians(radius: float = 2.0, blur: float = 0.2) -> Toy:
    angles = np.arange(8) * math.pi / 4.0
    centres = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def draw(rng: np.random.Generator, count: int) -> tuple[Points, Labels]:
        labels = rng.integers(8, size=count)
        return centres[labels] + blur * rng.standard_normal((count, 2)), labels

    means = torch.from_numpy(centres)
    std = math.sqrt(radius**2 / 2.0 + blur**2)
    return Toy(draw, lambda x: _mixture_log_density(x, means, blur), (0.0, 0.0), (std, std), centres, blur, True)


def _blurred_curve(
    curve: Callable[[NDArray[np.float64]], tuple[Points, Labels]],
    blur: float,
) -> Toy:
    """A curve over u uniform in [0, 1), every point of it blurred by a Gaussian."""
    nodes, _ = curve((np.arange(CURVE_NODES) + 0.5) / CURVE_NODES)

    def draw(rng: np.random.Generator, count: int) -> tuple[Points, Labels]:
        points, labels = curve(rng.random(count))
        return points + blur * rng.standard_normal((count, 2)), labels

    means, mean = torch.from_numpy(nodes), nodes.mean(0).tolist()
    std = np.sqrt(nodes.var(0) + blur**2).tolist()
    centre, spread = (mean[0], mean[1]), (std[0], std[1])
    return Toy(draw, lambda x: _mixture_log_density(x, means, blur), centre, spread, nodes, blur)


def _moons(blur: float = 0.1) -> Toy:
    def curve(u: NDArray[np.float64]) -> tuple[Points, Labels]:
        lower = u >= 0.5
        angle = math.pi * np.where(lower, 2.0 * u - 1.0, 2.0 * u)
        across = np.where(lower, 1.0 - np.cos(angle), np.cos(angle))
        up = np.where(lower, 0.5 - np.sin(angle), np.sin(angle))
        return np.stack([across, up], axis=1), lower.astype(np.int64)

    return _blurred_curve(curve, blur)


def _swiss_roll(blur: float = 0.35) -> Toy:
    def curve(u: NDArray[np.float64]) -> tuple[Points, Labels]:
        angle = 1.5 * math.pi * (1.0 + 2.0 * u)
        points = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1)
        return points, np.minimum((3.0 * u).astype(np.int64), 2)

    return _blurred_curve(curve, blur)


def _checkerboard() -> Toy:
    """Squares of side 1 on [-2, 2] x [-2, 2]; each coordinate alone is uniform, so its variance is 16 / 12."""
    cells = CELLS

    def draw(rng: np.random.Generator, count: int) -> tuple[Points, Labels]:
        labels = rng.integers(8, size=count)
        return cells[labels] + rng.random((count, 2)) - 2.0, labels

    def density(x: Tensor) -> Tensor:
        cell = torch.floor(x + 2.0)
        inside = ((cell >= 0) & (cell <= 3)).all(1) & (cell.sum(1) % 2 == 0)
        return torch.where(inside, -math.log(8.0), -math.inf).to(x)

    std = math.sqrt(16.0 / 12.0)
    return Toy(draw, density, (0.0, 0.0), (std, std))


def _pinwheel(arms: int = 5, reach: float = 1.0, along: float = 0.3, across: float = 0.1, twist: float = 1.2) -> Toy:
    """Arms N((reach, 0), diag(along^2, across^2)), each turned by its share of a circle and `twist` times the radius.

    The twist keeps the radius and the arms stand in symmetry, so the covariance is round: E[r^2] / 2 each.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[Points, Labels]:
        labels = rng.integers(arms, size=count)
        local = rng.standard_normal((count, 2)) * (along, across) + (reach, 0.0)
        angle = 2.0 * math.pi * labels / arms + twist * np.hypot(local[:, 0], local[:, 1])
        cos, sin = np.cos(angle), np.sin(angle)
        turned = (cos * local[:, 0] - sin * local[:, 1], sin * local[:, 0] + cos * local[:, 1])
        return np.stack(turned, axis=1), labels

    def density(x: Tensor) -> Tensor:
        turns = torch.arange(arms, dtype=x.dtype, device=x.device) * (2.0 * math.pi / arms)
        angle = -(turns + twist * x.norm(dim=1, keepdim=True))
        first = angle.cos() * x[:, :1] - angle.sin() * x[:, 1:]
        second = angle.sin() * x[:, :1] + angle.cos() * x[:, 1:]
        squares = ((first - reach) / along).square() + (second / across).square()
        return torch.logsumexp(-squares / 2.0, dim=1) - math.log(arms * 2.0 * math.pi * along * across)

    std = math.sqrt((reach**2 + along**2 + across**2) / 2.0)
    return Toy(draw, density, (0.0, 0.0), (std, std))
