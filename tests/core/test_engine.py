"""The worker's rules, most of them without a thread so that every interleaving is repeatable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dgm_studio.core.engine import LONGEST_STAND, Engine
from dgm_studio.core.outbox import Envelope, Outbox
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Metrics, Problem, Progress, Result, Update

Steps = Callable[[Any], Iterator[Update]]


def engine_for(answer: Steps, **options: Any) -> Engine:
    return Engine(lambda: answer, Outbox(), threaded=False, **options)


def updates(envelopes: list[Envelope], slot: str) -> list[Update]:
    return [e.update for e in envelopes if e.ticket.slot == slot]


def count_to(request: int) -> Iterator[Update]:
    for i in range(request):
        yield Result(i)


def test_a_newer_request_replaces_the_one_that_waits_in_its_slot() -> None:
    engine = engine_for(count_to)
    engine.ask("a", 1)
    engine.ask("b", 2)
    engine.ask("a", 3)
    engine.pump()
    seen = engine.outbox.drain()
    assert updates(seen, "a") == [Cancelled(), Result(0), Result(1), Result(2), Done()]
    assert updates(seen, "b") == [Result(0), Result(1), Done()]


def test_what_a_replaced_request_had_finished_is_still_shown() -> None:
    engine = engine_for(count_to)
    engine.ask("a", 100)
    engine.pump(1)
    engine.ask("a", 1)
    engine.pump()
    seen = updates(engine.outbox.drain(), "a")
    assert seen == [Result(0), Cancelled(), Result(0), Done()]


def test_a_steady_drag_shows_a_picture_for_every_turn_of_the_worker() -> None:
    def slow(request: int) -> Iterator[Update]:
        engine.ask("a", request + 1) if request < 20 else None  # the hand moves while this one is being made
        yield Frame("picture", {"value": request})

    engine = engine_for(slow)
    engine.ask("a", 0)
    shown = []
    while engine.pump(1):
        shown += [u.data["value"] for u in updates(engine.outbox.drain(), "a") if isinstance(u, Frame)]
    assert shown == list(range(21))


def test_slots_take_turns_and_a_fresh_question_goes_first() -> None:
    order: list[tuple[str, int]] = []

    def answer(request: str) -> Iterator[Update]:
        for i in range(3):
            order.append((request, i))
            yield Progress(i, 3)

    engine = engine_for(answer)
    engine.ask("long", "long")
    engine.pump(2)
    engine.ask("other", "other")
    engine.pump()
    assert order == [("long", 0), ("long", 1), ("other", 0), ("long", 2), ("other", 1), ("other", 2)]


def test_a_job_runs_between_interactive_steps_and_keeps_its_share() -> None:
    def answer(request: str) -> Iterator[Update]:
        while True:
            time.sleep(0.002)
            yield Progress(0, 0)

    for share in (0.2, 0.8):
        engine = engine_for(answer, share=share)
        engine.submit("train", "training")
        engine.ask("a", "forever")
        engine.pump(150)
        load = engine.load()
        assert load.batch / (load.batch + load.interactive) == pytest.approx(share, abs=0.1)


def test_jobs_run_one_after_the_other_in_an_order_that_can_be_changed() -> None:
    order: list[str] = []

    def answer(request: str) -> Iterator[Update]:
        order.append(request)
        yield Progress(1, 1)

    engine = engine_for(answer)
    tickets = [engine.submit(name, name) for name in ("one", "two", "three")]
    engine.move(tickets[2], 0)
    engine.pump()
    assert order == ["three", "one", "two"]
    assert [job.state for job in engine.jobs()] == ["done"] * 3


def test_a_paused_job_lets_the_next_one_run_and_goes_on_where_it_was() -> None:
    engine = engine_for(count_to)
    first, second = engine.submit(3, "first"), engine.submit(1, "second")
    engine.pump(1)
    engine.pause(first)
    engine.pump()
    seen = engine.outbox.drain()
    assert updates(seen, first.slot) == [Result(0)]
    assert updates(seen, second.slot) == [Result(0), Done()]
    engine.resume(first)
    engine.pump()
    assert updates(engine.outbox.drain(), first.slot) == [Result(1), Result(2), Done()]


def test_stopping_a_job_closes_its_generator_so_that_it_saves() -> None:
    saved = []

    def answer(request: str) -> Iterator[Update]:
        try:
            while True:
                yield Progress(0, 0)
        finally:
            saved.append(request)

    engine = engine_for(answer)
    ticket = engine.submit("run", "run")
    engine.pump(3)
    engine.stop(ticket)
    engine.pump(3)
    assert saved == ["run"]
    assert engine.jobs()[0].state == "stopped"
    assert isinstance(updates(engine.outbox.drain(), ticket.slot)[-1], Cancelled)


def test_a_failure_is_reported_where_the_answer_would_have_been_and_the_worker_goes_on() -> None:
    def answer(request: str) -> Iterator[Update]:
        if request == "problem":
            raise Problem("The file is empty.", "Choose another one.")
        yield Result(1)
        raise ValueError("shape mismatch\nsecond line")

    engine = engine_for(answer)
    engine.ask("a", "problem")
    engine.ask("b", "bug")
    job = engine.submit("problem", "job")
    engine.pump()
    seen = engine.outbox.drain()
    told = updates(seen, "a")[0]
    assert isinstance(told, Failed) and (told.sentence, told.action) == ("The file is empty.", "Choose another one.")
    bug = updates(seen, "b")[-1]
    assert isinstance(bug, Failed) and bug.sentence == "ValueError: shape mismatch" and "second line" in bug.details
    assert engine.jobs()[0].state == "failed"
    again = engine.retry(job)
    engine.pump()
    assert again.id != job.id and engine.jobs()[-1].state == "failed"


def test_a_worker_that_cannot_start_says_so_to_everybody_who_asks() -> None:
    def broken() -> Steps:
        raise Problem("torch is not installed.", "Run the bootstrap again.")

    engine = Engine(broken, Outbox(), threaded=False)
    engine.ask("a", 1)
    engine.submit(1, "job")
    engine.pump()
    told = [e.update for e in engine.outbox.drain()]
    assert [u.sentence for u in told if isinstance(u, Failed)] == ["torch is not installed."] * 2


def test_cancel_drops_what_waits_and_closes_what_runs() -> None:
    closed = []

    def answer(request: int) -> Iterator[Update]:
        try:
            yield Result(request)
            yield Result(request)
        finally:
            closed.append(request)

    engine = engine_for(answer)
    engine.ask("a", 1)
    engine.pump(1)
    engine.cancel("a")
    engine.ask("b", 2)
    engine.cancel("b")
    engine.pump()
    seen = engine.outbox.drain()
    assert updates(seen, "a") == [Result(1), Cancelled()] and closed == [1]
    assert updates(seen, "b") == [Cancelled()]


def test_a_request_counts_as_asked_and_can_be_cancelled_while_its_answer_is_opened() -> None:
    queues = []

    def answer(request: int) -> Iterator[Update]:
        queues.append(engine.load().queue)  # opening a model takes long: an onlooker must not think all is done
        engine.cancel("a")
        return count_to(request)

    engine = engine_for(answer)
    engine.ask("a", 100)
    engine.pump()
    assert queues == [1] and engine.load().queue == 0
    assert updates(engine.outbox.drain(), "a") == [Result(0), Cancelled()]


def test_who_sees_an_empty_queue_finds_every_ending_in_the_outbox() -> None:
    queues = []

    class Watched(Outbox):
        def put(self, ticket: Any, update: Update) -> None:
            queues.append(engine.load().queue)
            super().put(ticket, update)

    def fails(request: int) -> Iterator[Update]:
        if request == 0:
            raise Problem("No.", "")
        return count_to(request)

    engine = Engine(lambda: fails, Watched(), threaded=False)
    engine.ask("a", 1)
    engine.ask("b", 0)
    engine.pump()
    assert len(queues) == 3 and min(queues) >= 1  # a result, its ending, a failure


def test_state_is_newest_wins_and_events_are_never_lost() -> None:
    outbox, woken = Outbox(), []
    outbox.wake = lambda: woken.append(1)
    engine = Engine(lambda: count_to, outbox, threaded=False)
    ticket = engine.ask("a", 0)
    for i in range(5000):
        outbox.put(ticket, Frame("x", {"i": i}))
        outbox.put(ticket, Progress(i, 5000))
        outbox.put(ticket, Metrics("r", i, {}))
    waiting = outbox.drain()
    assert len(woken) == 1
    assert [e.update.data for e in waiting if isinstance(e.update, Frame)] == [{"i": 4999}]
    assert [e.update.step for e in waiting if isinstance(e.update, Metrics)] == list(range(5000))
    assert [e.order for e in waiting] == sorted(e.order for e in waiting)
    assert outbox.drain() == []
    outbox.put(ticket, Progress(1, 1))
    assert len(woken) == 2


def test_closing_while_a_job_runs_saves_and_ends_the_thread_at_once() -> None:
    saved = threading.Event()

    def answer(request: str) -> Iterator[Update]:
        try:
            while True:
                time.sleep(0.01)
                yield Progress(0, 0)
        finally:
            saved.set()

    engine = Engine(lambda: answer, Outbox())
    engine.start()
    engine.submit("run", "run")
    assert engine.warm.wait(5)
    time.sleep(0.1)
    assert engine.close(5.0)
    assert saved.is_set()


def test_an_idle_worker_sleeps_and_answers_when_asked() -> None:
    engine = Engine(lambda: count_to, Outbox())
    engine.start()
    try:
        assert engine.warm.wait(5)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.15
        arrived = threading.Event()
        engine.outbox.wake = arrived.set
        engine.ask("a", 1)
        assert arrived.wait(5)
    finally:
        engine.close(5.0)


def test_a_worker_that_is_asked_stands_between_two_steps_until_it_is_let_go() -> None:
    inside, steps = threading.Event(), []

    def busy(request: int) -> Iterator[Update]:
        for i in range(request):
            inside.set()
            time.sleep(0.001)
            inside.clear()
            steps.append(i)
            yield Progress(i, request)

    engine = Engine(lambda: busy, Outbox())
    engine.start()
    engine.submit(100_000, "training")
    try:
        stood = 0
        for _ in range(20):
            standing = threading.Event()
            engine.stand_still(standing.set)
            assert standing.wait(5)
            with engine.standing_still() as still:
                if still:  # a loaded machine may wake this thread after the worker's patience has ended
                    before = len(steps)
                    time.sleep(0.01)
                    assert not inside.is_set()
                    assert len(steps) == before
                    stood += 1
        assert stood > 0
        before = len(steps)
        deadline = time.monotonic() + 5
        while len(steps) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(steps) > before, "it does not go on"
    finally:
        assert engine.close(5)


def test_a_standing_worker_whose_asker_never_comes_goes_on_and_can_be_closed() -> None:
    engine = Engine(lambda: count_to, Outbox())
    engine.start()
    standing = threading.Event()
    engine.stand_still(standing.set)
    assert standing.wait(5)
    time.sleep(3 * LONGEST_STAND)
    with engine.standing_still() as still:
        assert not still
    assert engine.close(5)
    with engine.standing_still() as still:
        assert still, "a worker that has ended stands"
