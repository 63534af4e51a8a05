"""Shortest paths under a decoder's pull-back metric.

A path z_0 ... z_N is as long as the curve g(z_0) ... g(z_N) that the decoder makes of it (Arvanitidis, Hansen and
Hauberg 2018; Shao, Kumar and Fletcher 2018, algorithm 1). Minimising the discrete energy
E = N sum_i |g(z_i+1) - g(z_i)|^2 / D over the inner points gives a shortest path of constant speed; sqrt(E) is its
length as a root mean square over the D values of a datum.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Decode = Callable[[Tensor], Tensor]

HISTORY = 12  # pairs that the quasi-Newton step remembers (Nocedal 1980)
ARMIJO = 1e-4
SMALLEST_STEP = 1e-4
MOST_ITERATIONS = 200
PATIENCE = 4  # iterations of almost no gain before it counts as arrived
GAIN = 1e-5  # relative, of the energy


@dataclass(frozen=True)
class Curve:
    """A path and what the decoder makes of it.

    Args:
        z: [N, Z].
        x: [N, D].
        energy: N sum |dx|^2 / D.
        settled: Whether this is where the search ended; the path may still be on its way otherwise.
    """

    z: Tensor
    x: Tensor
    energy: float
    settled: bool = False


@dataclass(frozen=True)
class _Slope:
    curve: Curve
    gradient: Tensor


def energy_of(x: Float[Tensor, "n d"]) -> float:
    """N sum_i |x_i+1 - x_i|^2 / D of N + 1 decoded points."""
    return float((len(x) - 1) * x.diff(dim=0).square().sum() / x.shape[1])


def relax(
    decode: Decode, path: Float[Tensor, "n z"], fixed: tuple[int, ...], slice_size: int
) -> Iterator[Curve | None]:
    """Let a path relax to a geodesic between its fixed points.

    Quasi-Newton descent (L-BFGS with backtracking). Its first guess of the inverse Hessian is that of a flat space, the
    inverse of the chain's second differences: a path in a flat decoder is straight after one step, whatever its length.

    Args:
        decode: [n, Z] -> [n, *S], differentiable.
        path: Where to begin; its ends must be fixed.
        fixed: Positions that do not move, rising, with 0 and the last.
        slice_size: Points that are decoded between two yields.

    Yields:
        The curve at first and after every iteration, None where the work is merely interrupted; the last is `settled`.
    """
    flat = _flat_inverse(len(path), fixed)
    at = yield from _slope(decode, path, slice_size)
    yield at.curve
    memory: list[tuple[Tensor, Tensor]] = []
    quiet = 0
    for _ in range(MOST_ITERATIONS):
        direction = _direction(at.gradient, memory, flat)
        found = yield from _search(decode, at, direction, slice_size)
        if found is None and memory:
            memory = []  # a stale curvature misled: once more from the flat guess
            continue
        if found is None:
            break
        moved, turned = (found.curve.z - at.curve.z), (found.gradient - at.gradient)
        if float((moved * turned).sum()) > 1e-10 * float(moved.norm() * turned.norm()):
            memory = [*memory[-(HISTORY - 1) :], (moved, turned)]
        small = at.curve.energy - found.curve.energy < GAIN * max(found.curve.energy, 1e-12)
        quiet = quiet + 1 if small else 0
        at = found
        yield at.curve
        if quiet >= PATIENCE:
            break
    yield Curve(at.curve.z, at.curve.x, at.curve.energy, settled=True)


def _flat_inverse(count: int, fixed: tuple[int, ...]) -> Tensor:
    """Inverse of the second differences of a chain whose fixed points stand still, [N, N], zero at those."""
    chain = 2.0 * torch.eye(count, dtype=torch.float64)
    chain -= torch.diag(torch.ones(count - 1, dtype=torch.float64), 1)
    chain -= torch.diag(torch.ones(count - 1, dtype=torch.float64), -1)
    free = torch.ones(count, dtype=torch.bool)
    free[list(fixed)] = False
    inverse = torch.zeros(count, count, dtype=torch.float64)
    rows = free.nonzero()[:, 0]
    if len(rows):
        inverse[rows[:, None], rows] = torch.linalg.inv(chain[rows[:, None], rows])
    return inverse.float()


def _slope(decode: Decode, z: Tensor, slice_size: int) -> Generator[None, None, _Slope]:
    """The curve and the energy's gradient at z.

    All points are decoded once to know the differences; each slice is then decoded again and differentiated at once,
    so that no graph is open across a yield (the weights of a model in training may move there).
    """
    curve = yield from _decoded(decode, z, slice_size)
    x = curve.x
    pull = torch.zeros_like(x)
    pull[:-1] += x[:-1] - x[1:]
    pull[1:] += x[1:] - x[:-1]
    pull *= 2.0 * (len(x) - 1) / x.shape[1]
    gradients = []
    for start in range(0, len(z), slice_size):
        points = z[start : start + slice_size].detach().clone().requires_grad_()
        made = decode(points).flatten(1)
        gradients.append(torch.autograd.grad(made, points, pull[start : start + slice_size])[0])
        yield None
    return _Slope(curve, torch.cat(gradients))


def _decoded(decode: Decode, z: Tensor, slice_size: int) -> Generator[None, None, Curve]:
    parts = []
    for start in range(0, len(z), slice_size):
        with torch.no_grad():
            parts.append(decode(z[start : start + slice_size]).flatten(1))
        if len(z) > slice_size:
            yield None
    x = torch.cat(parts)
    return Curve(z.detach(), x, energy_of(x))


def _search(decode: Decode, at: _Slope, direction: Tensor, slice_size: int) -> Generator[None, None, _Slope | None]:
    """Halve the step until the energy falls enough (Armijo 1966); None when it never does."""
    fall = float((at.gradient * direction).sum())
    step = 1.0
    while fall < 0 and step > SMALLEST_STEP:
        tried = yield from _decoded(decode, at.curve.z + step * direction, slice_size)
        if tried.energy <= at.curve.energy + ARMIJO * step * fall:
            return (yield from _slope(decode, tried.z, slice_size))
        step *= 0.5
        yield None
    return None


def _direction(gradient: Tensor, memory: list[tuple[Tensor, Tensor]], flat: Tensor) -> Tensor:
    """Minus the inverse Hessian's estimate times the gradient: the two loops of Nocedal 1980."""
    flat = flat.to(gradient)
    q = gradient.clone()
    weights = []
    for moved, turned in reversed(memory):
        weight = (moved * q).sum() / (moved * turned).sum()
        q -= weight * turned
        weights.append(weight)
    direction = flat @ q * _scale(memory, flat, gradient)
    for (moved, turned), weight in zip(memory, reversed(weights), strict=True):
        direction += moved * (weight - (turned * direction).sum() / (moved * turned).sum())
    return -direction


def _scale(memory: list[tuple[Tensor, Tensor]], flat: Tensor, gradient: Tensor) -> Tensor | float:
    """How much the flat guess is to be stretched: by the newest measured curvature, at first to a move of unit size."""
    if memory:
        moved, turned = memory[-1]
        return (moved * turned).sum() / (turned * (flat @ turned)).sum().clamp_min(1e-20)
    return 1.0 / float((flat @ gradient).norm().clamp_min(1e-12))
