"""A linear classifier of several factors at once, fitted to its optimum: what a straight line can read from numbers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

MEMORY = 10  # pairs of steps and gradients that L-BFGS remembers
STEPS = 60
TOLERANCE = 1e-4  # largest entry of the gradient at which it is done
RIDGE = 1e-3  # of the squared weights of standardised numbers, for a unique optimum
PRODUCTS = 4_000_000  # multiplications between two yields
SUFFICIENT = 1e-4  # share of the promised fall that a step must give (Armijo)

Step = Generator[None, None, None]
Evaluation = Generator[None, None, tuple[float, Tensor]]


@dataclass(frozen=True)
class Linear:
    """The fitted classifier.

    Args:
        mean: [D] of the numbers it was fitted to.
        std: [D] likewise.
        weight: [D + 1, C], the last row for the constant; the factors' categories side by side.
        sizes: Categories of every factor.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    sizes: dict[str, int]

    def read(self, x: Float[Tensor, "n d"]) -> dict[str, Tensor]:
        """The category of every row, by factor."""
        parts = (_padded((x - self.mean) / self.std) @ self.weight).split(list(self.sizes.values()), 1)
        return {name: part.argmax(1) for name, part in zip(self.sizes, parts, strict=True)}


def _padded(x: Tensor) -> Tensor:
    return F.pad(x, (0, 1), value=1.0)


def fitting(
    x: Float[Tensor, "n d"], labels: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> Generator[None, None, Linear]:
    """Multinomial logistic regression with a small ridge, the factors' cross-entropies added up.

    Args:
        x: Numbers, one row an example.
        labels: Category of every row by factor, [N]; rows of -1 do not count for that factor.
        sizes: Categories of every factor.

    Returns:
        The classifier at the optimum.
    """
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    rows = _padded((x - mean) / std)
    widths = {name: sizes[name] for name in labels}
    step = max(1, PRODUCTS // (rows.shape[1] * sum(widths.values())))

    def evaluate(weight: Tensor) -> Evaluation:
        value, gradient = 0.5 * RIDGE * float(weight[:-1].square().sum()), RIDGE * weight
        gradient[-1] = 0.0
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            loss, slope = _cross_entropies(some @ weight, labels, widths, slice(start, start + step))
            value += loss / len(rows)
            gradient = gradient + some.T @ slope / len(rows)
            yield
        return value, gradient

    start = rows.new_zeros(rows.shape[1], sum(widths.values()))
    weight = yield from minimising(evaluate, start)
    return Linear(mean, std, weight, widths)


def _cross_entropies(
    logits: Tensor, labels: Mapping[str, Tensor], widths: Mapping[str, int], rows: slice
) -> tuple[float, Tensor]:
    """Their sum over rows and factors, and its derivative by the logits."""
    total, slopes = 0.0, []
    for (name, size), part in zip(widths.items(), logits.split(list(widths.values()), 1), strict=True):
        wanted = labels[name][rows]
        known = (wanted >= 0).to(part.dtype)
        hot = F.one_hot(wanted.clamp(min=0), size).to(part.dtype)
        logs = part.log_softmax(1)
        total -= float(((hot * logs).sum(1) * known).sum())
        slopes.append((logs.exp() - hot) * known.unsqueeze(1))
    return total, torch.cat(slopes, 1)


def minimising(evaluate: Callable[[Tensor], Evaluation], start: Tensor) -> Generator[None, None, Tensor]:
    """The minimum of a smooth convex function by L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with backtracking.

    Args:
        evaluate: Value and gradient at a point, in short slices.
        start: Where to begin.
    """
    point = start
    value, gradient = yield from evaluate(point)
    pairs: list[tuple[Tensor, Tensor]] = []
    for _ in range(STEPS):
        if float(gradient.abs().max()) < TOLERANCE:
            break
        direction = -_times_inverse(pairs, gradient)
        slope, length = float((direction * gradient).sum()), 1.0 if pairs else 1.0 / max(1.0, float(gradient.norm()))
        while True:
            moved = point + length * direction
            reached, turned = yield from evaluate(moved)
            if reached <= value + SUFFICIENT * length * slope or length < 1e-6:
                break
            length *= 0.5
        pair = (moved - point, turned - gradient)
        if float((pair[0] * pair[1]).sum()) > 1e-12:
            pairs = [*pairs[-MEMORY + 1 :], pair]
        point, value, gradient = moved, reached, turned
    return point


def _times_inverse(pairs: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """The gradient times the remembered inverse Hessian (Nocedal and Wright 2006, algorithm 7.4)."""
    q, kept = gradient, []
    for moved, turned in reversed(pairs):
        inverse = 1.0 / (moved * turned).sum()
        share = inverse * (moved * q).sum()
        q = q - share * turned
        kept.append((inverse, share))
    if pairs:
        moved, turned = pairs[-1]
        q = q * ((moved * turned).sum() / turned.square().sum())
    for (moved, turned), (inverse, share) in zip(pairs, reversed(kept), strict=True):
        q = q + (share - inverse * (turned * q).sum()) * moved
    return q
