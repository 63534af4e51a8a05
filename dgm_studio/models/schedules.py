"""Noise schedules of discrete diffusion and the tables that follow from them, all in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_studio.core.updates import Problem

SCHEDULES = ("linear", "cosine", "scaled-linear", "own")
LINEAR = (1e-4, 0.02)  # beta_1 and beta_T of Ho et al. 2020, section 4, for T = 1000
SCALED_LINEAR = (0.00085, 0.012)  # ends of the square-root-linear schedule of Rombach et al. 2022, for T = 1000
REFERENCE_STEPS = 1000  # what those ends are meant for; with other T they are scaled so that the ends of lambda agree
COSINE_SHIFT = 0.008  # s of Nichol and Dhariwal 2021, equation 17
LARGEST_BETA = 0.999  # as there
BAD_TERMINAL = 1e-3  # alpha of the last step above which the mean of a picture leaks into the start (Lin et al. 2024)

Knots = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tables:
    """What a schedule of T steps amounts to; index t is t + 1 steps of noise, float64 [T] each.

    Args:
        betas: Variance added by every step.
        alpha_bar: Product of 1 - beta (Ho et al. 2020, equation 4).
        posterior_variance: Of q(x_{t-1} | x_t, x_0) (equation 7); 0 at t = 0.
        posterior_log_variance: Its logarithm; at t = 0 that of t = 1, as Ho et al. do, since there it is -infinity.
        large_log_variance: log beta; at t = 0 likewise.
        clean_factor: Of x_0 in the mean of that posterior.
        noisy_factor: Of x_t in it.
    """

    betas: Tensor
    alpha_bar: Tensor
    posterior_variance: Tensor
    posterior_log_variance: Tensor
    large_log_variance: Tensor
    clean_factor: Tensor
    noisy_factor: Tensor

    def __len__(self) -> int:
        """T."""
        return len(self.betas)


def tables(alpha_bar: Tensor) -> Tables:
    """All tables of a falling alpha-bar [T], float64.

    Raises:
        Problem: It does not fall from below 1 to 0 or above.
    """
    before = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
    if not bool(((alpha_bar < before) & (alpha_bar >= 0.0)).all()):
        raise Problem("This schedule adds no noise at some step.", "Let the signal-to-noise ratio fall everywhere.")
    betas = 1.0 - alpha_bar / before
    variance = betas * (1.0 - before) / (1.0 - alpha_bar)
    first = variance[1:2] if len(variance) > 1 else betas
    return Tables(
        betas,
        alpha_bar,
        variance,
        torch.cat([first, variance[1:]]).log(),
        torch.cat([first, betas[1:]]).log(),
        betas * before.sqrt() / (1.0 - alpha_bar),
        (1.0 - before) * (1.0 - betas).sqrt() / (1.0 - alpha_bar),
    )


def alpha_bar(schedule: str, steps: int, knots: Knots = (), zero_terminal: bool = False) -> Tensor:
    """The share of the data's variance that is left after every step.

    Args:
        schedule: One of `SCHEDULES`.
        steps: T.
        knots: For "own"; see `through`.
        zero_terminal: Moved and stretched so that the last is 0 and the first as it was (Lin et al. 2024, algorithm 1).

    Returns:
        [T], float64.

    Raises:
        Problem: The knots are no schedule.
    """
    if schedule == "own":
        found = through(knots, steps)
    elif schedule == "cosine":
        found = _cosine(steps)
    else:
        scale = REFERENCE_STEPS / steps
        if schedule == "linear":
            betas = torch.linspace(*LINEAR, steps, dtype=torch.float64)
        else:
            low, high = SCALED_LINEAR
            betas = torch.linspace(math.sqrt(low), math.sqrt(high), steps, dtype=torch.float64).square()
        found = (1.0 - (betas * scale).clamp(max=LARGEST_BETA)).cumprod(0)
    return without_terminal(found) if zero_terminal else found


def _cosine(steps: int) -> Tensor:
    """Nichol and Dhariwal 2021, equation 17, with beta capped."""
    share = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = ((share + COSINE_SHIFT) / (1.0 + COSINE_SHIFT) * (math.pi / 2.0)).cos().square()
    betas = (1.0 - kept[1:] / kept[:-1]).clamp(max=LARGEST_BETA)
    return (1.0 - betas).cumprod(0)


def without_terminal(found: Tensor) -> Tensor:
    """A schedule whose last step leaves nothing of the data: alpha-bar [T], the last 0 (Lin et al. 2024)."""
    if len(found) < 2:
        return torch.zeros_like(found)
    root = found.sqrt()
    moved = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))).square()
    return torch.cat([moved[:-1], moved.new_zeros(1)])


def through(knots: Knots, steps: int) -> Tensor:
    """alpha-bar [T] whose half-log-SNR runs through knots as a monotone cubic (Fritsch and Carlson 1980).

    Args:
        knots: Pairs of share of the time, from 0 (the first step) rising to 1 (the last), and half-log-SNR, falling.
        steps: T.

    Raises:
        Problem: There are fewer than two, or they do not rise and fall so.
    """
    pairs = itertools.pairwise(knots)
    ordered = len(knots) > 1 and all(a[0] < b[0] and a[1] > b[1] for a, b in pairs)
    if not ordered or knots[0][0] != 0.0 or knots[-1][0] != 1.0 or not all(map(math.isfinite, sum(knots, ()))):
        raise Problem(
            "These knots are no schedule.",
            "Give at least two of share:log-SNR, from share 0 to share 1, with falling log-SNR: 0:5, 0.5:0, 1:-5.",
        )
    share = torch.arange(steps, dtype=torch.float64) / max(1, steps - 1)
    points = torch.tensor(list(knots), dtype=torch.float64)
    return torch.sigmoid(2.0 * monotone_cubic(points[:, 0], points[:, 1], share))


def monotone_cubic(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
    """A cubic through (x, y) [K] each, x rising, that is monotone wherever y is, at points of any shape within x.

    Slopes are weighted harmonic means of those of the neighbouring chords (Fritsch and Butland 1984).
    """
    width, chord = x.diff(), y.diff() / x.diff()
    slope = torch.cat([chord[:1], y.new_zeros(len(x) - 2), chord[-1:]])
    if len(x) > 2:
        left, right = 2.0 * width[1:] + width[:-1], width[1:] + 2.0 * width[:-1]
        mean = (left + right) / (left / chord[:-1] + right / chord[1:])
        slope[1:-1] = torch.where(chord[:-1] * chord[1:] > 0.0, mean, torch.zeros_like(mean))
    i = (torch.searchsorted(x.contiguous(), at.contiguous(), right=True) - 1).clamp(0, len(x) - 2)
    h = width[i]
    u = (at - x[i]) / h
    start = (1.0 + 2.0 * u) * (1.0 - u).square() * y[i] + u * (1.0 - u).square() * h * slope[i]
    return start + u.square() * (3.0 - 2.0 * u) * y[i + 1] + u.square() * (u - 1.0) * h * slope[i + 1]


def knots_of(text: str) -> tuple[tuple[float, float], ...]:
    """Knots as settings write them.

    >>> knots_of("0:5, 0.5:0, 1:-5")
    ((0.0, 5.0), (0.5, 0.0), (1.0, -5.0))

    Raises:
        Problem: It is not written so.
    """
    try:
        pairs = [tuple(map(float, part.split(":"))) for part in text.split(",") if part.strip()]
    except ValueError:
        pairs = [()]
    if any(len(pair) != 2 for pair in pairs):
        raise Problem(f"{text!r} are no knots.", "Write them as share:log-SNR, ... like 0:5, 0.5:0, 1:-5.")
    return tuple((pair[0], pair[1]) for pair in pairs)


def text_of(knots: Knots) -> str:
    """The inverse of `knots_of`.

    >>> text_of(((0.0, 5.0), (1.0, -5.0)))
    '0:5, 1:-5'
    """
    return ", ".join(f"{share:.10g}:{level:.10g}" for share, level in knots)
