"""How often to look at what changes all the time, so that whatever changes it keeps its time."""

from __future__ import annotations

from collections.abc import Callable

CALM_SECONDS = 2.0  # between two looks
PATIENCE = 12.0  # so many times as long as the last look took: training keeps more than nine tenths of its time


class Pace:
    """Says when the next look is due.

    Args:
        clock: Seconds, rising.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._next = 0.0

    def asked(self) -> None:
        """A look has begun."""
        self._asked_at = self._clock()

    def due(self, *, idle: bool) -> bool:
        """Whether the last look is over and long enough ago.

        Args:
            idle: Nobody waits for the worker.
        """
        now = self._clock()
        if self._asked_at is None:
            return idle and now >= self._next
        if idle:
            self._next = now + max(CALM_SECONDS, PATIENCE * (now - self._asked_at))
            self._asked_at = None
        return False
