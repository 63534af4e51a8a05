"""Denoising as a film: how fast it comes, how soon it is seen, and what else can be done meanwhile.

The real worker without a window: a slider of another model is moved 30 times a second while a film is computed.
"""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace
from typing import Any

from dgm_studio.bench.figures import Figure, Options, document, quantile
from dgm_studio.bench.worker import Worker
from dgm_studio.core.cards import from_json
from dgm_studio.core.manifest import ZOO, zoo_names
from dgm_studio.core.outbox import Envelope, Ticket
from dgm_studio.core.requests import DecodeLatent, DescribeDenoiser, PlayDenoising, Sampling
from dgm_studio.core.updates import Cancelled, Done, Frame, Problem

PREFERRED = ("ddpm-digits16", "ddpm-digits", "ddpm-faces")
SLIDER_MODEL = "zoo:vae-digits"
COUNT, STEPS = 64, 20
LONG = 1000  # steps of a film that does not end while something else is measured
TRIES = 40
LONGEST_WAIT = 0.25  # s before each try: it may hit any moment of a step
MOVES_A_SECOND = 30.0
SECONDS = 8.0
SLIDER_BAR, STOP_BAR = 60.0, 100.0  # ms


def measure(options: Options) -> dict[str, Any]:
    """Speed, the first picture, branches, the slider, stopping, memory."""
    key = options.checkpoint or _model()
    worker = Worker(options)
    told = _frame(worker, DescribeDenoiser(key))
    own = from_json(Sampling, told["sampling"])
    quick = Sampling("dpmpp-2m", STEPS)
    figures, details = _speed(worker, PlayDenoising(key, quick, COUNT, options.seed))
    figures += _branch(worker, PlayDenoising(key, quick, COUNT, options.seed))
    long = PlayDenoising(key, replace(own, sampler="heun", spacing="log-snr", steps=LONG), COUNT, options.seed, half=10)
    figures += _slider(worker, long, options)
    figures += _stop(worker, long, options)
    worker.close()
    return document("film", figures, model=key, **details)


def _model() -> str:
    names = zoo_names()
    found = next((name for name in PREFERRED if name in names), "")
    if not found:
        raise Problem("No checkpoint in the box denoises pictures.", "Name one with --checkpoint.")
    return ZOO + found


def _speed(worker: Worker, asked: PlayDenoising) -> tuple[list[Figure], dict[str, Any]]:
    """One film from the question to its end; a smaller one before it warms everything up."""
    _all(worker, replace(asked, count=2, seed=asked.seed + 1))
    begun = time.perf_counter()
    envelopes = _all(worker, asked)
    steps = [each for each in envelopes if isinstance(each.update, Frame) and each.update.topic.startswith("step/")]
    films = [each.update.data for each in envelopes if isinstance(each.update, Frame) and each.update.topic == "film"]
    whole = next(each.at for each in steps if not each.update.data.get("partial"))  # type: ignore[union-attr]
    spent = envelopes[-1].at - begun
    kept = sum(v.nbytes for each in steps for v in each.update.data.values() if hasattr(v, "nbytes"))  # type: ignore[union-attr]
    return [
        Figure(f"samples/s, {asked.count} at once, {STEPS} steps of DPM-Solver++", asked.count / spent, "/s"),
        Figure("to the first picture", 1e3 * (steps[0].at - begun), "ms"),
        Figure("to the first whole step", 1e3 * (whole - begun), "ms"),
        Figure("stated before recording", films[0]["bytes"] / 2**20, "MiB"),
    ], {"evaluations": films[-1]["evaluations"], "shown": kept, "seconds": spent}


def _branch(worker: Worker, parent: PlayDenoising) -> list[Figure]:
    """From a question for a branch of a film that is kept to its first whole step."""
    times = []
    for number in range(5):
        begun = time.perf_counter()
        branch = replace(parent, seed=parent.seed + 10 + number, parent=parent, at=STEPS - 3)
        ticket = worker.engine.ask("bench/branch", branch)
        times.append(worker.until(lambda each, mine=ticket.id: _whole_step(each, mine)).at - begun)  # type: ignore[misc]
        worker.until(lambda each, mine=ticket.id: each.ticket.id == mine and isinstance(each.update, Done))  # type: ignore[misc]
    return [Figure("branch to its first step, p95", 1e3 * quantile(times, 0.95), "ms")]


def _whole_step(envelope: Envelope, ticket: int) -> bool:
    update = envelope.update
    mine = envelope.ticket.id == ticket and isinstance(update, Frame) and update.topic.startswith("step/")
    return mine and not update.data.get("partial")  # type: ignore[union-attr]


def _slider(worker: Worker, film: PlayDenoising, options: Options) -> list[Figure]:
    """A slider's moves and their pictures while a film is computed."""
    size = len(_frame(worker, DecodeLatent(SLIDER_MODEL, (0.0,) * _latents()))["z"])
    ticket = worker.engine.ask("bench/film", film)
    worker.until(lambda each: each.ticket.id == ticket.id and isinstance(each.update, Frame))
    asked: dict[int, float] = {}
    places = itertools.cycle([k / 50.0 - 1.0 for k in range(100)])

    def move() -> None:
        z = (next(places), *[0.0] * (size - 1))
        question: Ticket = worker.engine.ask("bench/slider", DecodeLatent(SLIDER_MODEL, z))
        asked[question.id] = time.perf_counter()

    seen = worker.watch(options.seconds or SECONDS, move, 1.0 / MOVES_A_SECOND)
    late = [
        1e3 * (each.at - asked[each.ticket.id])
        for each in seen
        if each.ticket.id in asked and isinstance(each.update, Frame)
    ]
    made = sum(each.ticket.id == ticket.id and isinstance(each.update, Frame) for each in seen)
    worker.engine.cancel(ticket.slot)
    worker.until(lambda each: each.ticket.id == ticket.id and isinstance(each.update, Cancelled | Done))
    return [
        Figure("slider to picture p95 while sampling", quantile(late, 0.95), "ms", SLIDER_BAR),
        Figure("slider to picture p50 while sampling", quantile(late, 0.5), "ms"),
        Figure("steps sent meanwhile", float(made), ""),
    ]


def _latents() -> int:
    from dgm_studio.core.manifest import model_card

    return model_card(SLIDER_MODEL).latent


def _stop(worker: Worker, film: PlayDenoising, options: Options) -> list[Figure]:
    """From a cancelled question to its end, at any moment of a film."""
    moments, times = random.Random(options.seed), []
    for number in range(options.count or TRIES):
        ticket = worker.engine.ask("bench/film", replace(film, seed=film.seed + 100 + number))
        worker.until(lambda each, mine=ticket.id: each.ticket.id == mine and isinstance(each.update, Frame))  # type: ignore[misc]
        worker.watch(moments.random() * LONGEST_WAIT)
        begun = time.perf_counter()
        worker.engine.cancel(ticket.slot)
        ended = worker.until(lambda each, mine=ticket.id: each.ticket.id == mine and isinstance(each.update, Cancelled))  # type: ignore[misc]
        times.append(1e3 * (ended.at - begun))
    return [
        Figure("stop p95", quantile(times, 0.95), "ms", STOP_BAR),
        Figure("stop, longest", max(times), "ms"),
    ]


def _all(worker: Worker, request: Any) -> list[Envelope]:
    """Everything that answers a question, up to its end."""
    found: list[Envelope] = []
    ticket = worker.engine.ask("bench/whole", request)
    while not found or not isinstance(found[-1].update, Done):
        found += [each for each in worker.take() if each.ticket.id == ticket.id]
        time.sleep(0.001)
    return found


def _frame(worker: Worker, request: Any) -> dict[str, Any]:
    return next(each.update.data for each in reversed(_all(worker, request)) if isinstance(each.update, Frame))
