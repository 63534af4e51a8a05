"""What a question is answered with: a stream of updates, ended by exactly one ending.

*State* (`Frame`, `Progress`) is newest-wins: an older one that was not shown yet is worthless.
*Events* (`Metrics`, `Result` and the endings) are never lost and keep their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Problem(Exception):
    """An expected failure, in words for the user: one sentence that says what happened, one that says what to do.

    Raise it in any room; the engine turns it into `Failed` with exactly these words.

    Args:
        sentence: What happened.
        action: What the user can do about it, or "".
    """

    def __init__(self, sentence: str, action: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.action = action

    def __str__(self) -> str:
        return f"{self.sentence} {self.action}".strip()


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture or another state to show now. Newest wins per (slot, topic).

    Args:
        topic: What it is a state of, within its slot ("decoded", "map/3/1/2").
        data: numpy arrays that own their memory, and plain values. Never a tensor.
    """

    topic: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an answer is.

    Args:
        done: Units of work done.
        total: Units in all; 0 when not known.
        text: What is being done, for people.
        seconds_left: Estimated seconds to the end, or None while unknown.
    """

    done: float
    total: float
    text: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one training step. An event: each one reaches the curves.

    Args:
        run: The run's name.
        step: Optimizer steps taken.
        values: Figures by name ("train/elbo", "valid/kl", "gradient_norm", ...).
    """

    run: str
    step: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """A finished value (a card, a table, a path)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer was stopped or replaced; what came before it stands."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer could not be given.

    Args:
        sentence: What happened, in one line.
        action: What to do about it, or "".
        details: The traceback, shown on demand.
    """

    sentence: str
    action: str = ""
    details: str = ""

    def told(self) -> str:
        """What happened and what to do about it, where both have one place.

        >>> Failed("The disk is full.", "Make room.").told()
        'The disk is full. Make room.'
        """
        return f"{self.sentence} {self.action}".strip()


Ending = Done | Cancelled | Failed
State = Frame | Progress
Event = Metrics | Result | Done | Cancelled | Failed
Update = Frame | Progress | Metrics | Result | Done | Cancelled | Failed
