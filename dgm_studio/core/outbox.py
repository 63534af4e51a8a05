"""The way back from the worker: newest-wins for state, nothing lost for events, one wake-up per batch."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dgm_studio.core.updates import Frame, Progress, Update


@dataclass(frozen=True, slots=True)
class Ticket:
    """A question that was asked.

    Args:
        id: Unique within the process, rising.
        slot: Who asked about what ("latent/decoded", "job/7"); newest wins within it.
        request: The question.
        name: A job's name for people, "" for an interactive question.
        lane: "interactive" or "batch".
        at: `time.perf_counter()` when it was asked, in seconds.
    """

    id: int
    slot: str
    request: Any
    name: str
    lane: str
    at: float


@dataclass(frozen=True, slots=True)
class Envelope:
    """An update on its way to whoever asked."""

    ticket: Ticket
    update: Update
    at: float
    order: int


def _asleep() -> None:
    """Stands in until somebody wants to be woken."""


class Outbox:
    """Collects updates from the worker thread until the asking side drains them.

    `Frame` and `Progress` are kept once per (slot, topic); events are kept all, in order. `wake` is called from the
    worker's thread once after a drain, however many updates follow, so that a slow reader is never flooded.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], None] = _asleep
        self._lock = threading.Lock()
        self._state: dict[tuple[str, str], Envelope] = {}
        self._events: list[Envelope] = []
        self._orders = itertools.count()
        self._woken = False

    def put(self, ticket: Ticket, update: Update) -> None:
        """Take one update; never blocks for longer than a dictionary write."""
        with self._lock:
            envelope = Envelope(ticket, update, time.perf_counter(), next(self._orders))
            if isinstance(update, Frame):
                self._state[ticket.slot, "frame/" + update.topic] = envelope
            elif isinstance(update, Progress):
                self._state[ticket.slot, "progress"] = envelope
            else:
                self._events.append(envelope)
            wake, self._woken = not self._woken, True
        if wake:
            self.wake()

    def waiting(self) -> int:
        """How many updates wait."""
        with self._lock:
            return len(self._state) + len(self._events)

    def drain(self) -> list[Envelope]:
        """Everything that waits, in the order in which it was put."""
        with self._lock:
            waiting = [*self._state.values(), *self._events]
            self._state.clear()
            self._events = []
            self._woken = False
        waiting.sort(key=lambda envelope: envelope.order)
        return waiting
