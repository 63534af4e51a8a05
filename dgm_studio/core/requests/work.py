"""Work of the batch lane: training, runs, figures, files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dgm_studio.core.requests.registry import request


@request
@dataclass(frozen=True)
class Train:
    """Train a run from its beginning, or on from where it stopped. See `training.loop` for what it yields.

    Args:
        run: The run's folder; made when it does not exist.
        system: Name of the system, "" to go on with an existing run.
        data: Name of the data.
        config: The system's settings.
        training: The loop's settings (`training.config.TrainingConfig`).
        seed: Of everything random.
        parent: "KEY@STEP" of the snapshot this run is forked from, or "".
        name: What people call it.
    """

    run: str
    system: str = ""
    data: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    parent: str = ""
    name: str = ""


@request
@dataclass(frozen=True)
class EditRun:
    """Change a setting of a run while it trains; recorded in its metrics as a flag. Result: the values now in force."""

    run: str
    changes: dict[str, Any]


@request
@dataclass(frozen=True)
class ReadRun:
    """What is known of a run, or of the training of a checkpoint that has its curves beside it (a model key).

    Result: {"run": run.json, "series": {name: {"step": [..], "value": [..], "time": [..]}}, "flags": [...],
    "live": it trains in this process, "elsewhere": in another one}.
    """

    run: str


@request
@dataclass(frozen=True)
class ReadFamily:
    """Result: the run, its ancestors and their forks, as a tuple of dicts.

    Each {"key", "name", "parent": key or "", "start": step it begins at, "end": step it reached, "state": "live" |
    "done" | "paused" | "failed", "figure": headline in words, "change": what its fork changed}.
    """

    run: str


@request
@dataclass(frozen=True)
class ExportMetrics:
    """Write a run's curves. Result: the path; Progress on the way.

    Args:
        run: The run's folder.
        path: A .csv file, or a folder for TensorBoard event files.
        kind: "csv" or "events".
    """

    run: str
    path: str
    kind: str = "csv"


@request
@dataclass(frozen=True)
class Evaluate:
    """Result: {name: Metric}; Progress on the way.

    Args:
        model: Model key.
        split: Which part.
        samples: K of the IWAE bound.
        count: Examples, 0 for all.
        seed: Of the estimator.
    """

    model: str
    split: str = "test"
    samples: int = 100
    count: int = 0
    seed: int = 0


@request
@dataclass(frozen=True)
class Export:
    """Write what a request shows to a file, with its recipe inside. Result: the path; Progress on the way.

    Args:
        ask: `to_json` of the request whose Frame is written.
        path: .png, .gif, .webp, .mp4 (extra `video`) or .npz.
        scale: Whole-number enlargement of each picture.
        theme: "dark" or "light": ink on paper of grey pictures.
        seconds: Length of one loop of a film.
        panel: Name of the panel whose canvas it is, for the recipe.
        state: The panel's state, for the recipe: dropping the file on the window restores it.
    """

    ask: dict[str, Any]
    path: str
    scale: int = 1
    theme: str = "light"
    seconds: float = 3.0
    panel: str = ""
    state: dict[str, Any] = field(default_factory=dict)
