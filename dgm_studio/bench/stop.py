"""How long it takes until training has stopped and saved, until it rests, until a question is dropped."""

from __future__ import annotations

import random
import time
from typing import Any

from dgm_studio.bench.figures import Figure, Options, document, quantile
from dgm_studio.bench.worker import Worker, endless, is_step
from dgm_studio.core.outbox import Envelope, Ticket
from dgm_studio.core.requests import SamplePrior
from dgm_studio.core.updates import Cancelled, Frame

TRIES = 40
LONGEST_WAIT = 0.25  # s before each try: it may hit any moment of a step
RESTING = 0.3  # s without an update after a pause
BAR = 100.0  # ms
MANY = 100_000  # samples: a question that would take minutes


def measure(options: Options) -> dict[str, Any]:
    """Stop, pause and cancel, each many times while a run trains."""
    tries, moments = options.count or TRIES, random.Random(options.seed)
    worker = Worker(options)
    request = endless("bench", options, options.config)
    ticket = worker.train(request)
    pauses, cancels, stops = [], [], []
    for _ in range(tries):
        worker.watch(moments.random() * LONGEST_WAIT)
        pauses.append(_pause(worker, ticket))
    for _ in range(tries):
        worker.watch(moments.random() * LONGEST_WAIT)
        cancels.append(_cancel(worker, f"run:{request.run}"))
    for _ in range(tries):
        worker.watch(moments.random() * LONGEST_WAIT)
        stops.append(_stop(worker, ticket))
        ticket = worker.train(request)
    worker.close()
    figures = []
    for name, times in (("stop, saving included", stops), ("pause", pauses), ("cancel", cancels)):
        figures.append(Figure(f"{name}, p95", 1000 * quantile(times, 0.95), "ms", BAR))
        figures.append(Figure(f"{name}, longest", 1000 * max(times), "ms"))
    return document("stop", figures, tries=tries)


def _stop(worker: Worker, ticket: Ticket) -> float:
    asked = time.perf_counter()
    worker.engine.stop(ticket)
    return worker.until(lambda each: each.ticket.id == ticket.id and isinstance(each.update, Cancelled)).at - asked


def _pause(worker: Worker, ticket: Ticket) -> float:
    """Until the last update that comes after the pause."""
    worker.take()
    asked = time.perf_counter()
    worker.engine.pause(ticket)
    late = [envelope.at - asked for envelope in worker.watch(RESTING) if envelope.ticket.id == ticket.id]
    worker.engine.resume(ticket)
    worker.until(is_step)
    return max([0.0, *late])


def _cancel(worker: Worker, model: str) -> float:
    ticket = worker.engine.ask("bench/samples", SamplePrior(model, MANY))

    def mine(envelope: Envelope, kind: type) -> bool:
        return envelope.ticket.id == ticket.id and isinstance(envelope.update, kind)

    worker.until(lambda each: mine(each, Frame))
    asked = time.perf_counter()
    worker.engine.cancel(ticket.slot)
    return worker.until(lambda each: mine(each, Cancelled)).at - asked
