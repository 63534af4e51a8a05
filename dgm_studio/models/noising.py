"""Paths from data to noise, x_t = alpha(t) x_0 + sigma(t) eps, and what networks predict on them. In float64."""

from __future__ import annotations

import torch
from torch import Tensor

PREDICTIONS = ("eps", "x0", "v")


class TableNoising:
    """A discrete path, from a table of alpha-bar: t = 0 ... T - 1, the data at -1.

    Between two indices half the log-SNR is linear in t. Between the data and the first index, and before a last one
    without any signal, where one end is infinite, the ratio itself is: lambda(t) = lambda(0) - log(1 + t).

    Args:
        alpha_bar: [T], falling, float64; the last may be 0.
    """

    kind = "discrete"
    clean = -1.0
    cleanest = 0.0

    def __init__(self, alpha_bar: Tensor) -> None:
        self.alpha_bar = alpha_bar.double()
        self.noisiest = float(len(alpha_bar) - 1)
        self._levels = 0.5 * (self.alpha_bar.log() - torch.log1p(-self.alpha_bar))
        self._ends_in_noise = not bool(torch.isfinite(self._levels[-1]))

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(alpha-bar)."""
        return torch.sigmoid(2.0 * self.log_snr(t)).sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha-bar)."""
        return torch.sigmoid(-2.0 * self.log_snr(t)).sqrt()

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha / sigma): infinite at -1."""
        t = t.double()
        levels = self._levels.to(t.device)
        low = t.floor().clamp(0, len(levels) - 1)
        share = (t - low).clamp(0.0, 1.0)
        here, there = levels[low.long()], levels[(low.long() + 1).clamp(max=len(levels) - 1)]
        line = torch.where(share > 0.0, here + share * (there - here), here)
        if self._ends_in_noise:
            to_nothing = here + torch.log1p(-share)
            line = torch.where((low == self.noisiest - 1.0) & (share > 0.0), to_nothing, line)
        return torch.where(t < 0.0, levels[0] - torch.log1p(t.clamp(-1.0, 0.0)), line)

    def time(self, log_snr: Tensor) -> Tensor:
        """The fractional index, clamped to [0, T - 1]."""
        level = log_snr.double()
        levels = self._levels.to(level.device)
        if len(levels) < 2:
            return torch.zeros_like(level)
        right = torch.searchsorted(-levels, -level.contiguous()).clamp(1, len(levels) - 1)
        high, low = levels[right - 1], levels[right]
        share = torch.where(torch.isfinite(low), (high - level) / (high - low), 1.0 - (level - high).exp())
        return right - 1 + share.clamp(0.0, 1.0)


class VarianceExploding:
    """alpha = 1 and sigma = t, the path of Karras et al. 2022 (table 1, last column).

    Args:
        cleanest: sigma_min.
        noisiest: sigma_max.
    """

    kind = "variance-exploding"
    clean = 0.0

    def __init__(self, cleanest: float = 0.002, noisiest: float = 80.0) -> None:
        self.cleanest, self.noisiest = cleanest, noisiest

    def alpha(self, t: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(t, dtype=torch.float64)

    def sigma(self, t: Tensor) -> Tensor:
        """The time itself."""
        return t.double()

    def log_snr(self, t: Tensor) -> Tensor:
        """-log sigma."""
        return -t.double().log()

    def time(self, log_snr: Tensor) -> Tensor:
        """exp(-lambda)."""
        return (-log_snr.double()).exp().clamp(self.cleanest, self.noisiest)


class FlowNoising:
    """alpha = 1 - t and sigma = t: a straight line from the data at t = 0 to the noise at t = 1.

    Lipman et al. 2023 have it the other way round, with the noise at 0 and the data at 1 (their equation 20 with
    sigma_min = 0); here time rises with the noise, as everywhere else in this program.

    Args:
        cleanest: The smallest time at which the model is asked.
    """

    kind = "flow"
    clean = 0.0
    noisiest = 1.0

    def __init__(self, cleanest: float = 1e-3) -> None:
        self.cleanest = cleanest

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1.0 - t.double()

    def sigma(self, t: Tensor) -> Tensor:
        """The time itself."""
        return t.double()

    def log_snr(self, t: Tensor) -> Tensor:
        """log((1 - t) / t): infinite at 0, minus infinite at 1."""
        return torch.log1p(-t.double()) - t.double().log()

    def time(self, log_snr: Tensor) -> Tensor:
        """sigmoid(-lambda)."""
        return torch.sigmoid(-log_snr.double()).clamp(self.cleanest, self.noisiest)


def along(factor: Tensor, x: Tensor) -> Tensor:
    """A factor, 0-d or [N], in the type and place of x [N, *S], ready to be multiplied with it."""
    factor = factor.to(device=x.device, dtype=x.dtype)
    return factor.view(-1, *[1] * (x.ndim - 1)) if factor.ndim else factor


def predicted(prediction: str, clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What a network is to predict: eps; x0; v = alpha eps - sigma x0 (Salimans and Ho 2022); flow = eps - x0.

    Args:
        prediction: "eps", "x0", "v" or "flow".
        clean: x_0, [N, *S].
        noise: eps, likewise.
        alpha: 0-d or [N].
        sigma: Likewise.
    """
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return clean
    if prediction == "flow":
        return noise - clean
    return along(alpha, clean) * noise - along(sigma, clean) * clean


def parted(prediction: str, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Clean data and noise behind x = alpha clean + sigma noise, from what was predicted: the inverse of `predicted`.

    Args:
        prediction: "eps", "x0", "v" or "flow".
        output: The prediction, [N, *S].
        x: Noisy data, likewise.
        alpha: 0-d or [N]; not 0 for "eps".
        sigma: Likewise; not 0 for "x0".
    """
    a, s = along(alpha, x), along(sigma, x)
    if prediction == "eps":
        return (x - s * output) / a, output
    if prediction == "x0":
        return output, (x - a * output) / s
    if prediction == "flow":
        return (x - s * output) / (a + s), (x + a * output) / (a + s)
    length = a.square() + s.square()
    a, s = a / length, s / length
    return (a * x).sub_(s * output), (s * x).add_(a * output)  # in place: x may be large, and fresh memory is slow
