"""The real worker with a run that trains, without a window: what `training` and `stop` measure on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dgm_studio.bench.figures import Options
from dgm_studio.core.engine import Engine
from dgm_studio.core.outbox import Envelope, Outbox, Ticket
from dgm_studio.core.requests import Train
from dgm_studio.core.resources import runs_dir
from dgm_studio.core.updates import Failed, Metrics, Problem
from dgm_studio.explore.workbench import open_workbench

ENDLESS = 10_000_000  # steps
PATIENCE = 300.0  # s for anything that is waited for
POLL = 0.02  # s
# Nothing but steps: the loop that is compared with does nothing else either.
BARE_STEPS = {"steps": ENDLESS, "valid_every": ENDLESS, "save_every": ENDLESS, "snapshot_every": ENDLESS}


def endless(run: str, options: Options, config: dict[str, Any], **training: Any) -> Train:
    """A run that goes on until it is stopped."""
    return Train(str(runs_dir() / run), "vae", options.data, config, {"steps": ENDLESS, **training}, options.seed)


class Worker:
    """An engine with the real workbench, and what it has said so far.

    Args:
        options: The device.
    """

    def __init__(self, options: Options) -> None:
        self.outbox = Outbox()
        self._left: list[Envelope] = []
        self.engine = Engine(lambda: open_workbench(options.device).answer, self.outbox)
        self.engine.start()
        if not self.engine.warm.wait(PATIENCE):
            raise Problem("The worker did not start.")

    def take(self) -> list[Envelope]:
        """What has come since the last time.

        Raises:
            Problem: The worker could not do something.
        """
        fresh = self.outbox.drain()
        envelopes, self._left = [*self._left, *fresh], []
        for envelope in fresh:
            if isinstance(envelope.update, Failed):
                raise Problem(envelope.update.sentence, envelope.update.action)
        return envelopes

    def watch(self, seconds: float, each: Callable[[], object] | None = None, every: float = POLL) -> list[Envelope]:
        """What comes in the next seconds.

        Args:
            seconds: How long.
            each: Called again and again.
            every: Seconds between two calls, counted from the beginning so that delays do not add up.
        """
        seen, begun, calls = [], time.perf_counter(), 0
        while (now := time.perf_counter()) - begun < seconds:
            if each is not None and now >= begun + calls * every:
                each()
                calls += 1
            seen += self.take()
            time.sleep(POLL)
        return seen

    def until(self, wanted: Callable[[Envelope], bool]) -> Envelope:
        """Wait for an update; what came after it, perhaps in the same batch, is there for the next call.

        Raises:
            Problem: It does not come.
        """
        end = time.perf_counter() + PATIENCE
        while time.perf_counter() < end:
            envelopes = self.take()
            place = next((n for n, envelope in enumerate(envelopes) if wanted(envelope)), None)
            if place is not None:
                self._left = envelopes[place + 1 :]
                return envelopes[place]
            time.sleep(POLL)
        raise Problem("The worker did not answer.")

    def train(self, request: Train, steps: int = 3) -> Ticket:
        """Start a run and wait until it has taken some steps."""
        ticket = self.engine.submit(request, Path(request.run).name)
        for _ in range(steps):
            self.until(lambda envelope: envelope.ticket.id == ticket.id and is_step(envelope))
        return ticket

    def close(self) -> None:
        """End the worker; what trains is saved."""
        self.engine.close(PATIENCE)


def is_step(envelope: Envelope) -> bool:
    """Whether it tells of a training step."""
    return isinstance(envelope.update, Metrics) and "train/loss" in envelope.update.values


def steps_per_second(envelopes: list[Envelope]) -> float:
    """The speed between the first and the last step among them."""
    steps = [(envelope.update.step, envelope.at) for envelope in envelopes if is_step(envelope)]  # type: ignore[union-attr]
    (first, begun), (last, ended) = steps[0], steps[-1]
    return (last - first) / (ended - begun)
