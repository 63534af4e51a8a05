"""What a measurement says: figures beside their bars, and the machine they were taken on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dgm_studio import __version__
from dgm_studio.doctor import installed


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        what: What was measured.
        value: The number.
        unit: "ms", "s", "of the bare loop", "".
        bar: What was promised; None for a figure that stands beside the others.
        at_least: The bar is a floor rather than a ceiling.
    """

    what: str
    value: float
    unit: str = ""
    bar: float | None = None
    at_least: bool = False

    @property
    def good(self) -> bool | None:
        """Whether the promise is kept; None when nothing was promised."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rule = None if self.bar is None else "at least" if self.at_least else "at most"
        return {**asdict(self), "rule": rule, "good": self.good}


@dataclass(frozen=True)
class Options:
    """How much is measured; what is left out has its full size.

    Args:
        seconds: Length of one measurement.
        count: Repetitions, kills or events.
        seed: Of everything random.
        checkpoint: Key of the model that is looked at; "" takes `zoo:vae-digits`.
        data: What is trained on.
        config: Settings of the VAE that is trained.
        device: Where the worker computes.
    """

    seconds: float = 0.0
    count: int = 0
    seed: int = 0
    checkpoint: str = ""
    data: str = "mnist5k"
    config: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; NaN of nothing.

    >>> quantile([3, 1, 2, 4], 0.5), quantile([3, 1, 2, 4], 0.95)
    (2, 4)
    """
    ordered = sorted(values)
    place = -int(-share * len(ordered) // 1)
    return ordered[max(0, place - 1)] if ordered else float("nan")


def document(name: str, figures: Sequence[Figure], **details: Any) -> dict[str, Any]:
    """One measurement as plain data."""
    return {"bench": name, "figures": [figure.to_json() for figure in figures], "details": details}


def machine() -> dict[str, Any]:
    """What was measured on, and how busy it was when that began."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    versions = {name: installed(name) for name in ("torch", "PySide6-Essentials", "numpy")}
    return {
        "processor": _processor(),
        "cores": cores,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {"dgm-studio": __version__, **versions},
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "load": None if load is None else round(load, 2),
    }


def _processor() -> str:
    if sys.platform.startswith("linux"):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(named, platform.machine())
    return platform.processor() or platform.machine()


def rows(documents: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Every figure as a line of a table: what, measured, bar, whether it is kept."""
    table = []
    for each in documents:
        for figure in each["figures"]:
            bar = f"{figure['rule']} {figure['bar']:g}" if figure["bar"] is not None else ""
            kept = {True: "yes", False: "NO", None: ""}[figure["good"]]
            measured = f"{_short(figure['value'])} {figure['unit']}".strip()
            table.append((f"{each['bench']}: {figure['what']}", measured, bar, kept))
    return table


def _short(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
