"""How a run went, as columns: what `ReadRun` brought and what came since."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dgm_studio.core.updates import Metrics
from dgm_studio.gui.widgets.series import Growing

Columns = tuple[list[float], list[float], list[float]]
_WORDS = {
    "examples_per_second": "Throughput",
    "elbo": "\N{MINUS SIGN}ELBO",
    "kl": "KL",
    "iwae": "\N{MINUS SIGN}IWAE bound",
    "loss": "Loss",
    "mse": "Noise, square error",
    "clean": "Clean data, square error",
}
_RISING = frozenset({"elbo", "iwae", "reconstruction"})  # drawn with the other sign, so that lower is better everywhere
_UNITS = {"elbo": "nats", "kl": "nats", "iwae": "nats", "reconstruction": "nats"}
_UNITS |= {"examples_per_second": "examples/s", "beta": "weight of the KL"}
_HOW = {
    "elbo": "Negative evidence lower bound, nats per example; one draw of z for each.",
    "loss": "What is minimised.",
    "mse": "Mean square error of the estimate of the noise, per number, over all noise levels.",
    "clean": "Mean square error of the estimate of the clean data, per number, over all noise levels.",
    "reconstruction": "Negative log p(x | z), nats per example; one draw of z for each.",
    "kl": "KL from the posterior to the prior, nats per example.",
    "iwae": "Negative importance-weighted bound, nats per example.",
    "gradient_norm": "Length of the gradient of all parameters, before clipping.",
    "examples_per_second": "Examples trained on in a second of wall-clock time.",
}
_MEASURED = {
    "train": "Mean over the batch of one step.",
    "valid": "Mean over validation examples, with the averaged weights.",
}
_FLAGS = {"disk": "not saved", "resume": "resumed", "trouble": "stopped"}
_PARTS = {"train": "train", "valid": "validation", "test": "test"}


def split_name(name: str) -> tuple[str, str]:
    """Part and term of a figure's name: "valid/kl" -> ("valid", "kl"); the part is "" for the optimiser's."""
    part, slash, term = name.partition("/")
    return (part, term) if slash else ("", part)


def words(name: str) -> str:
    """A figure's name for people, with the sign it is drawn with.

    >>> words("valid/kl"), words("gradient_norm")
    ('KL, validation', 'Gradient norm')
    """
    part, term = split_name(name)
    text = _WORDS.get(term, term.replace("_", " ").capitalize())
    return f"{text}, {_PARTS.get(part, part)}" if part else text


def sign(name: str) -> float:
    """-1 for figures that are maximised: they are drawn upside down, which also lets them have a logarithmic axis."""
    return -1.0 if split_name(name)[1] in _RISING else 1.0


def unit(name: str) -> str:
    """The unit of a figure, "" when it has none."""
    return _UNITS.get(split_name(name)[1], "")


def estimator(name: str) -> str:
    """How a figure was measured, in words; "" when there is nothing to say."""
    part, term = split_name(name)
    return " ".join(words for words in (_HOW.get(term, ""), _MEASURED.get(part, "")) if words)


class Record:
    """The figures of one run, and those that were not drawn yet.

    Args:
        batch: Examples a step, for the axis of examples seen.
    """

    def __init__(self, batch: int = 1) -> None:
        self.batch = max(1, batch)
        self.flags: list[tuple[float, str]] = []
        self.kl_steps: list[int] = []
        self.kl_rows: list[npt.NDArray[np.float32]] = []
        self.last: dict[str, float] = {}
        self.step = 0
        self._fresh: dict[str, Columns] = {}
        self._values: dict[str, Growing] = {}
        self._reached: dict[str, int] = {}
        self._times: tuple[list[float], list[float]] = ([], [])
        self._began = time.monotonic()
        self._waiting: list[Metrics] | None = []
        self._told = self._resumed = 0

    def load(self, history: Mapping[str, Any]) -> None:
        """Take in what `ReadRun` brought, what is known of it already left out."""
        for name, columns in history.get("series", {}).items():
            steps, values, seconds = ([float(v) for v in columns[c]] for c in ("step", "value", "time"))
            new = bisect_right(steps, self._reached.get(name, -1))
            self._add(name, steps[new:], values[new:], seconds[new:])
        kl = history.get("kl") or {}
        if len(kl.get("step", ())) >= len(self.kl_steps):  # else what came live is ahead of what was on disk
            self.kl_steps = [int(s) for s in kl.get("step", ())]
            self.kl_rows = [np.asarray(row, np.float32) for row in kl.get("rows", ())]
        if len(history.get("flags", ())) >= self._told:
            self.set_flags(history.get("flags", ()))
        self._began = time.monotonic() - (self._times[1][-1] if self._times[1] else 0.0)
        waiting, self._waiting = self._waiting or [], None
        for metrics in waiting:
            self.add(metrics)

    def add(self, metrics: Metrics) -> None:
        """Take in the figures of one step; what is known is passed over, what comes before the history waits."""
        if self._waiting is not None:
            self._waiting.append(metrics)
            return
        seconds = metrics.values.get("seconds", time.monotonic() - self._began)
        for name, value in metrics.values.items():
            if name != "seconds" and metrics.step > self._reached.get(name, -1):
                self._add(name, [metrics.step], [value], [seconds])

    def set_flags(self, flags: Iterable[Mapping[str, Any]]) -> None:
        """Take in what was changed and what happened; that a run has begun is no news."""
        flags = tuple(flags)
        self._told, self._resumed = len(flags), sum(flag.get("flag") == "resume" for flag in flags)
        self.flags = [(float(flag["step"]), flag_words(flag)) for flag in flags if flag.get("flag") != "start"]

    def overtaken(self, flags: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the run has gone on from an earlier step since: what was drawn beyond that was lost."""
        resumed = [int(flag["step"]) for flag in flags if flag.get("flag") == "resume"]
        return len(resumed) > self._resumed and resumed[-1] < self.step

    def add_kl(self, step: int, row: npt.NDArray[np.floating]) -> None:
        """Take in the KL of every latent at a step."""
        if not self.kl_steps or step > self.kl_steps[-1]:
            self.kl_steps.append(step)
            self.kl_rows.append(np.asarray(row, np.float32))

    def fresh(self) -> dict[str, Columns]:
        """What came since the last call: steps, values and seconds by name."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def columns(self, name: str) -> npt.NDArray[np.float64] | None:
        """All values of a figure in order, None when there is none of that name."""
        found = self._values.get(name)
        return None if found is None else found.values

    def seconds_at(self, step: float) -> float:
        """Seconds of training at a step."""
        steps, seconds = self._times
        return float(np.interp(step, steps, seconds)) if steps else float(step)

    def step_at(self, axis: str, x: float) -> float:
        """The step at a place of an axis ("step", "time" or "examples")."""
        if axis == "time" and self._times[0]:
            return float(np.interp(x, self._times[1], self._times[0]))
        return x / self.batch if axis == "examples" else x

    def x_at(self, axis: str, step: float) -> float:
        """The place of a step on an axis."""
        if axis == "time":
            return self.seconds_at(step)
        return step * self.batch if axis == "examples" else step

    def kl_matrix(self, most: int = 400) -> tuple[npt.NDArray[np.float32], list[int]]:
        """KL of every latent over the steps, [Z, M], and the steps [M]; thinned to at most `most` columns."""
        sizes = {len(row) for row in self.kl_rows}
        if len(sizes) != 1:
            return np.zeros((0, 0), np.float32), []
        kept = np.unique(np.linspace(0, len(self.kl_rows) - 1, min(most, len(self.kl_rows))).astype(int))
        return np.stack([self.kl_rows[i] for i in kept], axis=1), [self.kl_steps[i] for i in kept]

    def _add(self, name: str, steps: list[float], values: Iterable[float], seconds: list[float]) -> None:
        columns = self._fresh.setdefault(name, ([], [], []))
        numbers = [float("nan") if v is None else float(v) for v in values]
        columns[0].extend(steps)
        columns[1].extend(numbers)
        columns[2].extend(seconds)
        self._values.setdefault(name, Growing()).append(np.asarray(numbers))
        if steps:
            self.last[name] = numbers[-1]
            self._reached[name] = int(steps[-1])
            self.step = max(self.step, int(steps[-1]))
            if not self._times[0] or steps[-1] > self._times[0][-1]:
                self._times[0].extend(s for s in steps if not self._times[0] or s > self._times[0][-1])
                self._times[1].extend(seconds[len(seconds) - (len(self._times[0]) - len(self._times[1])) :])


def flag_words(flag: Mapping[str, Any]) -> str:
    """What a flag on the curves says: changed settings as "beta 4"."""
    changes: Mapping[str, Any] = flag.get("changes") or {}
    told = [f"{name.replace('_', ' ')} {v:g}" if isinstance(v, float) else f"{name} {v}" for name, v in changes.items()]
    return ", ".join(told) or _FLAGS.get(str(flag.get("flag")), str(flag.get("flag", "")))
