"""What a run has measured so far: on its way to the disk, and as far as its health depends on it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from bisect import bisect_right
from collections.abc import Container
from typing import Any

import numpy as np
import numpy.typing as npt

from dgm_studio.core.cards import Metric
from dgm_studio.core.history import History, Journal
from dgm_studio.training import health
from dgm_studio.training.looking import Sums

HEADLINE = "nelbo"


class Record:
    """Figures, flags and KL rows of one run.

    Args:
        journal: Where they are written.
    """

    def __init__(self, journal: Journal) -> None:
        self.flags: list[dict[str, Any]] = []
        self.validated = -1
        self.kl: npt.NDArray[np.float32] | None = None
        self._journal = journal
        self._losses: list[float] = []
        self._lengths: list[float] = []
        self._checks: list[tuple[float, float]] = []  # (training loss, validation loss) at each validation

    def recall(self, history: History) -> None:
        """Take over what the run had measured before it was stopped."""
        self.flags = list(history.flags)
        self._losses, self._lengths = history.values("train/loss"), history.values("gradient_norm")
        validated = history.curves.get("valid/loss")
        if validated is not None and validated.step:
            self.validated = validated.step[-1]
            valid = history.values("valid/loss")
            self._checks = [(_loss_before(history, s), v) for s, v in zip(validated.step, valid, strict=True)]
        if history.kl_rows:
            self.kl = np.asarray(history.kl_rows[-1], np.float32)

    def flag(self, flag: dict[str, Any], time: float) -> None:
        """Note what happened or was changed."""
        line = {**flag, "time": round(time, 3)}
        self.flags.append(line)
        self._journal.write(line)

    def step(self, step: int, time: float, values: dict[str, float]) -> None:
        """Note the figures of a training step."""
        self._losses.append(values["train/loss"])
        if "gradient_norm" in values:
            self._lengths.append(values["gradient_norm"])
        self._journal.write({"step": step, "time": round(time, 3), **values})

    def validation(self, step: int, time: float, sums: Sums) -> dict[str, float]:
        """Note the figures of a validation; returns them as the curves name them."""
        self.validated = step
        means = sums.means()
        values = {f"valid/{name}": value for name, value in means.items()}
        self._journal.write({"step": step, "time": round(time, 3), **values})
        recent = self._losses[-health.WINDOW :]
        self._checks.append((statistics.fmean(recent) if recent else math.inf, means["loss"]))
        if "kl_per_dim" in sums.first:
            self.kl = np.array(sums.mean("kl_per_dim").cpu().numpy(), np.float32)
            row = [round(v, 5) for v in self.kl.tolist()]
            self._journal.write({"step": step, "time": round(time, 3), "kl": row})
        return values

    def health(self, layers: dict[str, float]) -> list[health.Line]:
        """What all this says.

        Args:
            layers: Gradient norm of each parameter at the last step at which it was measured.
        """
        train, valid = ([check[i] for check in self._checks] for i in (0, 1))
        collapse = [health.collapse(self.kl.tolist())] if self.kl is not None and self._losses else []
        return [
            *collapse,
            health.divergence(self._losses),
            health.overfitting(train, valid),
            health.dead_gradients(self._lengths, layers),
        ]

    def flush(self) -> OSError | None:
        """Hand everything to the disk; the error when it does not take it (it is kept)."""
        return self._journal.flush()


def _loss_before(history: History, step: int) -> float:
    """Mean training loss of the stretch before a step."""
    curve = history.curves.get("train/loss")
    if curve is None:
        return math.inf
    end = bisect_right(curve.step, step)
    values = [v for v in curve.value[max(0, end - health.WINDOW) : end] if math.isfinite(v)]
    return statistics.fmean(values) if values else math.inf


def validation_metrics(sums: Sums) -> dict[str, Metric]:
    """Figures for the card: "nelbo" = -ELBO leads where there is one; the terms keep their signs."""
    found = {}
    means = sums.means()
    for name, value in means.items():
        good_when_high = name in ("elbo", "reconstruction")
        found[name] = Metric(value, unit_of(means), "one draw", sums.error(name), "valid", not good_when_high)
    headline = found.get("elbo")
    if headline is not None:
        found[HEADLINE] = dataclasses.replace(headline, value=-headline.value, lower_is_better=True)
    return found


def unit_of(terms: Container[str]) -> str:
    """Of the terms of a loss: nats where they make up a bound; a square error has none."""
    return "nats" if "elbo" in terms else ""


def headline_of(found: Container[str]) -> str:
    """The figure that stands for a model."""
    return HEADLINE if HEADLINE in found else "loss"
