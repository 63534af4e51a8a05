"""The settings of training, and the learning rate they mean at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgm_studio.core.forms import option

SCHEDULES = ("constant", "cosine", "linear")
LIVE = ("learning_rate", "steps", "clip", "weight_decay", "valid_every", "save_every")  # may change while a run trains


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained: AdamW (Loshchilov and Hutter 2019) with an average of the weights."""

    steps: int = option(
        5000, "Optimiser steps in all.", low=1, high=10_000_000, group="Length", log=True, title="Steps"
    )
    batch: int = option(64, "Examples in one step.", low=1, high=65_536, group="Length", log=True, title="Batch size")
    learning_rate: float = option(1e-3, "Highest learning rate.", low=1e-7, high=1.0, group="Optimiser", log=True)
    schedule: str = option("cosine", "How the rate falls after the warm-up.", choices=SCHEDULES, group="Optimiser")
    warmup: int = option(
        100, "Steps over which the rate rises from 0.", low=0, high=1_000_000, group="More", title="Warm-up"
    )
    weight_decay: float = option(
        0.01, "Decay of weight matrices; biases and scales do not decay.", low=0.0, high=10.0, group="More"
    )
    clip: float = option(
        0.0,
        "Longest gradient; longer ones are shortened. 0 never shortens.",
        low=0.0,
        high=1e9,
        group="More",
        title="Longest gradient",
    )
    ema: float = option(
        0.999,
        "Decay of the averaged weights, which are shown and saved.",
        low=0.0,
        high=0.99999,
        group="More",
        title="Weight averaging (EMA)",
    )
    valid_every: int = option(
        250, "Steps between validations.", low=1, high=10_000_000, group="More", title="Validate every"
    )
    valid_count: int = option(
        1000, "Examples looked at in a validation.", low=1, high=1_000_000, group="More", title="Validation examples"
    )
    save_every: int = option(
        1000, "Steps between checkpoints.", low=1, high=10_000_000, group="More", title="Save every"
    )
    keep: int = option(
        2, "Newest checkpoints kept, besides the best.", low=1, high=1000, group="More", title="Checkpoints kept"
    )
    snapshot_every: int = option(
        0,
        "Steps between the first snapshots of the time machine; 0 fits it to the number of steps.",
        low=0,
        high=10_000_000,
        group="More",
        title="First snapshots every",
    )
    micro_batch: int = option(
        0,
        "Examples computed at once; 0 measures what takes 36 ms.",
        low=0,
        high=65_536,
        group="More",
        title="Micro-batch",
    )


def learning_rate(config: TrainingConfig, step: int, start: int = 0) -> float:
    """The rate of the step after `step` steps.

    Args:
        config: The settings in force.
        step: Steps done.
        start: Step at which the optimiser began: 0, or where the run was forked.

    >>> config = TrainingConfig(steps=101, warmup=10, learning_rate=1.0)
    >>> [round(learning_rate(config, step), 2) for step in (0, 9, 50, 100)]
    [0.1, 1.0, 0.51, 0.0]
    """
    warm = min(1.0, (step - start + 1) / config.warmup) if config.warmup else 1.0
    done = min(1.0, (step - start) / max(1, config.steps - start))
    fall = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return config.learning_rate * warm * fall[config.schedule]


def first_stride(config: TrainingConfig) -> int:
    """Steps between the first snapshots: as set, else the power of two at or above a 128th of the run."""
    return config.snapshot_every or 2 ** math.ceil(math.log2(max(1.0, config.steps / 128)))


def metrics_stride(step: int) -> int:
    """Figures of step s are recorded when s is a multiple of this: every step at first, then about 8,000 an octave.

    It depends on the step only, so that a run that was stopped records the same as one that was not.

    >>> [metrics_stride(s) for s in (1, 16384, 16385, 40000)]
    [1, 1, 2, 4]
    """
    return 2 ** max(0, math.ceil(math.log2(max(1, step) / 16384)))
