"""The background worker: one thread that owns the device, two lanes.

*Interactive*: one slot per (panel, subject). A newer request replaces the waiting one; a running one is closed at its
next yield, and what it has shown by then stands. *Batch*: jobs, one at a time in an order that can be changed; their
generators yield at least every 50 ms, and interactive requests run between the yields.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dgm_studio.core.outbox import Outbox, Ticket
from dgm_studio.core.updates import Cancelled, Done, Failed, Problem, Progress, Update

Answer = Callable[[Any], Iterator[Update]]

SWITCH_INTERVAL = 0.001  # s; Python's default of 5 ms lets a busy worker delay every paint by as much
SHORT_STEPS = 0.008  # s; so long a job goes on in one turn while nobody asks for anything: turns cost small models 2 %
LARGEST_DEBT = 0.05  # s; the longest a waiting picture stands back for training
LOAD_WINDOW = 2.0  # s; over which the load figures are averaged
LONGEST_STAND = 0.05  # s; the worker stands still for whoever asked it to, and then goes on unasked


@dataclass(slots=True)
class Job:
    """A batch request and where it stands: "waiting", "running", "paused", "failed", "stopped" or "done"."""

    ticket: Ticket
    state: str = "waiting"
    progress: Progress | None = None
    failure: Failed | None = None
    steps: Iterator[Update] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Load:
    """What the worker did lately: fractions of the last seconds spent in each lane, and requests that wait."""

    interactive: float
    batch: float
    queue: int


class Engine:
    """Runs requests on one background thread.

    Args:
        make_answer: Called once on the worker's thread; returns the function from a request to its updates. Heavy
            imports belong in there.
        outbox: Where the updates go.
        threaded: False runs nothing by itself; call `pump` (tests, a spawned process).
        share: Part of the time that training keeps while requests come without a pause, in [0, 0.95].
    """

    def __init__(
        self, make_answer: Callable[[], Answer], outbox: Outbox, *, threaded: bool = True, share: float = 0.5
    ) -> None:
        self.outbox = outbox
        self.share = share
        self.warm = threading.Event()
        self._make_answer = make_answer
        self._answer: Answer | None = None
        self._failure: Failed | None = None
        self._threaded = threaded
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._waiting: dict[str, Ticket] = {}
        self._running: dict[str, tuple[Ticket, Iterator[Update]]] = {}
        self._beginning: Ticket | None = None  # taken from what waits, its answer not opened yet: that can be long
        self._cancelled: set[int] = set()
        self._jobs: list[Job] = []
        self._ids = itertools.count(1)
        self._closing = False
        self._owed = 0.0
        self._spent: collections.deque[tuple[float, str, float]] = collections.deque()
        self._stand_asked: Callable[[], None] | None = None
        self._stands = False
        self._held = False

    # -- asking (any thread) --------------------------------------------------------------------------------

    def ask(self, slot: str, request: Any) -> Ticket:
        """Ask in the interactive lane; a request of the same slot that still waits is replaced."""
        with self._changed:
            ticket = Ticket(next(self._ids), slot, request, "", "interactive", time.perf_counter())
            replaced = self._waiting.get(slot)
            self._waiting[slot] = ticket  # keeps its place, or a slot that is asked often never has its turn
            self._changed.notify_all()
        if replaced is not None:
            self.outbox.put(replaced, Cancelled())
        return ticket

    def submit(self, request: Any, name: str) -> Ticket:
        """Append a job to the batch lane."""
        with self._changed:
            number = next(self._ids)
            ticket = Ticket(number, f"job/{number}", request, name, "batch", time.perf_counter())
            self._jobs.append(Job(ticket))
            self._changed.notify_all()
        return ticket

    def cancel(self, slot: str) -> None:
        """Drop what waits in a slot and close what runs in it at its next yield."""
        with self._changed:
            waiting = self._waiting.pop(slot, None)
            running = self._running.get(slot)
            if running is not None:
                self._cancelled.add(running[0].id)
            if self._beginning is not None and self._beginning.slot == slot:
                self._cancelled.add(self._beginning.id)
            self._changed.notify_all()
        if waiting is not None:
            self.outbox.put(waiting, Cancelled())

    def pause(self, ticket: Ticket) -> None:
        """Hold a job at its next yield; the model stays explorable and the next job runs."""
        self._set_state(ticket, ("waiting", "running"), "paused")

    def resume(self, ticket: Ticket) -> None:
        """Let a paused job go on."""
        self._set_state(ticket, ("paused",), "waiting")

    def stop(self, ticket: Ticket) -> None:
        """Close a job at its next yield; its `finally` saves. Ends with `Cancelled`."""
        self._set_state(ticket, ("waiting", "running", "paused"), "stopping")

    def retry(self, ticket: Ticket) -> Ticket:
        """Start a job that failed or was stopped again, as a new job with the same request."""
        return self.submit(ticket.request, ticket.name)

    def forget(self, ticket: Ticket) -> None:
        """Take an ended job off the list."""
        with self._changed:
            ended = ("failed", "stopped", "done")
            self._jobs = [j for j in self._jobs if j.ticket.id != ticket.id or j.state not in ended]

    def move(self, ticket: Ticket, index: int) -> None:
        """Give a job another place in the order; the first one that is not paused runs."""
        with self._changed:
            job = next((j for j in self._jobs if j.ticket.id == ticket.id), None)
            if job is not None:
                self._jobs.remove(job)
                self._jobs.insert(index, job)
            self._changed.notify_all()

    def jobs(self) -> list[Job]:
        """The jobs as they stand now, in order (copies without their generators)."""
        with self._changed:
            return [Job(j.ticket, j.state, j.progress, j.failure) for j in self._jobs]

    def load(self) -> Load:
        """What the worker did over the last two seconds."""
        now = time.perf_counter()
        with self._changed:
            recent = [(lane, spent) for at, lane, spent in self._spent if now - at < LOAD_WINDOW]
            queue = len(self._waiting) + len(self._running) + (self._beginning is not None)
        total = {lane: sum(s for name, s in recent if name == lane) / LOAD_WINDOW for lane in ("interactive", "batch")}
        return Load(min(1.0, total["interactive"]), min(1.0, total["batch"]), queue)

    # -- standing still (any other thread) ------------------------------------------------------------------

    def stand_still(self, standing: Callable[[], None]) -> None:
        """Ask the worker to stand still between two turns, for at most `LONGEST_STAND` seconds.

        Args:
            standing: Called once on the worker's thread as soon as it stands; has to pass the word on (a queued
                signal) and return. Whoever hears it enters `standing_still`.
        """
        with self._changed:
            self._stand_asked = standing
            self._changed.notify_all()
        if self._thread is None:
            standing()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[bool]:
        """Hold the worker where it stands; it goes on at the end of the block.

        Yields:
            Whether it stands; False when it has already gone on. A worker that has not started or has ended stands.
        """
        with self._changed:
            alive = self._thread is not None and self._thread.is_alive()
            self._held = held = self._stands
        try:
            yield held or not alive
        finally:
            with self._changed:
                self._held = self._stands = False
                self._changed.notify_all()

    # -- life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker's thread."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 0.9) -> bool:
        """Close every generator at its next yield (training saves) and end the thread.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether the worker has ended. When not, it is inside one long native call.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            self._close_all()
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def pump(self, turns: int = 1_000_000) -> int:
        """Without a thread: work until nothing is left to do; returns how many turns were worked."""
        self._prepare()
        worked = 0
        while worked < turns and self._turn():
            worked += 1
        return worked

    def _work(self) -> None:
        self._prepare()
        while True:
            with self._changed:
                if self._closing:
                    break
                standing, self._stand_asked = self._stand_asked, None
            if standing is not None:
                self._stand(standing)
            if not self._turn():
                with self._changed:
                    if not self._closing and self._stand_asked is None and not self._anything():
                        self._changed.wait()
        self._close_all()

    def _stand(self, standing: Callable[[], None]) -> None:
        with self._changed:
            self._stands = True
        standing()
        with self._changed:
            self._changed.wait_for(lambda: self._held or not self._stands or self._closing, LONGEST_STAND)
            self._changed.wait_for(lambda: not self._held)
            self._stands = False

    def _prepare(self) -> None:
        if self._answer is None and self._failure is None:
            try:
                self._answer = self._make_answer()
            except Exception as error:
                self._failure = _failure(error)
        self.warm.set()

    def _close_all(self) -> None:
        for ticket, steps in [*self._running.values()]:
            self._end(ticket, steps, Cancelled())
        for job in self._jobs:
            if job.steps is not None:
                job.state = "stopped"
                self._end(job.ticket, job.steps, Cancelled())
                job.steps = None
        self._running.clear()

    # -- working (the worker's thread) ----------------------------------------------------------------------

    def _anything(self) -> bool:
        return bool(self._waiting or self._running or self._next_job() or self._stopping())

    def _next_job(self) -> Job | None:
        return next((j for j in self._jobs if j.state in ("waiting", "running")), None)

    def _stopping(self) -> list[Job]:
        return [j for j in self._jobs if j.state == "stopping"]

    def _turn(self) -> bool:
        """One step of one request. Fresh questions first, then training's due, then questions that go on."""
        with self._changed:
            stopping = self._stopping()
            job = self._next_job()
            owed = self._owed > 0 and job is not None
            slot = next(iter(self._waiting), None) if not owed else None
            self._beginning = ticket = self._waiting.pop(slot) if slot is not None else None
            ongoing = next(iter(self._running), None) if not owed and ticket is None else None
        for stopped in stopping:
            self._stop_job(stopped)
        if ticket is not None:
            self._begin(ticket)
        elif ongoing is not None:
            self._go_on(ongoing)
        elif job is not None:
            self._work_on(job)
        else:
            return bool(stopping)
        return True

    def _begin(self, ticket: Ticket) -> None:
        older = self._running.pop(ticket.slot, None)
        if older is not None:
            self._end(older[0], older[1], Cancelled())
        if self._failure is not None or self._answer is None:
            self._end_beginning(ticket, self._failure or Failed("The worker is not ready."))
            return
        started = time.perf_counter()
        try:
            steps = self._answer(ticket.request)
        except Exception as error:
            self._end_beginning(ticket, _failure(error))
            return
        with self._changed:
            self._beginning = None
            self._running[ticket.slot] = (ticket, steps)
        self._step(ticket, steps, started)

    def _end_beginning(self, ticket: Ticket, ending: Failed) -> None:
        self.outbox.put(ticket, ending)  # first: whoever sees an empty queue finds every answer in the outbox
        with self._changed:
            self._beginning = None

    def _go_on(self, slot: str) -> None:
        with self._changed:
            ticket, steps = self._running.pop(slot)
            self._running[slot] = (ticket, steps)  # to the end: slots take turns
            cancelled = ticket.id in self._cancelled
            self._cancelled.discard(ticket.id)
        if cancelled:
            self._finish(ticket, steps, Cancelled())
        else:
            self._step(ticket, steps, time.perf_counter())

    def _step(self, ticket: Ticket, steps: Iterator[Update], started: float) -> None:
        ending = self._advance(ticket, steps)
        spent = time.perf_counter() - started
        share = min(max(self.share, 0.0), 0.95)
        with self._changed:
            newer = ticket.slot in self._waiting
            self._note("interactive", spent)
            self._owed = min(LARGEST_DEBT, self._owed + spent * share / (1 - share))
        if ending is not None:
            self._finish(ticket, None, ending)
        elif newer:
            self._finish(ticket, steps, Cancelled())

    def _work_on(self, job: Job) -> None:
        started = time.perf_counter()
        self._mark_running(job)
        if job.steps is None and not self._open_job(job):
            return
        assert job.steps is not None
        ending = self._advance(job.ticket, job.steps, job)
        while ending is None and self._threaded and time.perf_counter() - started < SHORT_STEPS and self._alone(job):
            ending = self._advance(job.ticket, job.steps, job)
        spent = time.perf_counter() - started
        with self._changed:
            self._note("batch", spent)
            self._owed = max(-LARGEST_DEBT, self._owed - spent)
        if ending is not None:
            self._end_job(job, ending)

    def _alone(self, job: Job) -> bool:
        """Whether nobody wants anything but this job's next step. Read without the lock: late by one step at most."""
        return (
            not (self._waiting or self._running or self._closing or self._stand_asked)
            and job.state == "running"
            and not self._stopping()
        )

    def _mark_running(self, job: Job) -> None:
        if job.state == "waiting":
            with self._changed:
                for other in self._jobs:
                    if other.state == "running":
                        other.state = "waiting"
                job.state = "running" if job.state == "waiting" else job.state

    def _open_job(self, job: Job) -> bool:
        if self._failure is not None or self._answer is None:
            self._end_job(job, self._failure or Failed("The worker is not ready."))
            return False
        try:
            job.steps = self._answer(job.ticket.request)
        except Exception as error:
            self._end_job(job, _failure(error))
            return False
        return True

    def _stop_job(self, job: Job) -> None:
        ending: Cancelled | Failed = Cancelled()
        if job.steps is not None:
            try:
                _close(job.steps)
            except Exception as error:
                ending = _failure(error)
        self._end_job(job, ending)

    def _end_job(self, job: Job, ending: Done | Cancelled | Failed) -> None:
        with self._changed:
            job.steps = None
            job.state = {Done: "done", Cancelled: "stopped", Failed: "failed"}[type(ending)]
            job.failure = ending if isinstance(ending, Failed) else None
        self.outbox.put(job.ticket, ending)

    def _advance(self, ticket: Ticket, steps: Iterator[Update], job: Job | None = None) -> Done | Failed | None:
        """Run to the next yield and pass it on; the ending when there is none."""
        try:
            update = next(steps)
        except StopIteration:
            return Done()
        except Exception as error:
            return _failure(error)
        if job is not None and isinstance(update, Progress):
            job.progress = update
        self.outbox.put(ticket, update)
        return None

    def _finish(self, ticket: Ticket, steps: Iterator[Update] | None, ending: Done | Cancelled | Failed) -> None:
        self._end(ticket, steps, ending)  # before it leaves the queue, as above
        with self._changed:
            self._running.pop(ticket.slot, None)

    def _end(self, ticket: Ticket, steps: Iterator[Update] | None, ending: Done | Cancelled | Failed) -> None:
        if steps is not None:
            try:
                _close(steps)
            except Exception as error:
                ending = _failure(error)
        self.outbox.put(ticket, ending)

    def _set_state(self, ticket: Ticket, allowed: tuple[str, ...], state: str) -> None:
        with self._changed:
            for job in self._jobs:
                if job.ticket.id == ticket.id and job.state in allowed:
                    job.state = state
            self._changed.notify_all()

    def _note(self, lane: str, spent: float) -> None:
        now = time.perf_counter()
        self._spent.append((now, lane, spent))
        while self._spent and now - self._spent[0][0] > LOAD_WINDOW:
            self._spent.popleft()


def _close(steps: Iterator[Update]) -> None:
    close = getattr(steps, "close", None)
    if close is not None:
        close()


def _failure(error: Exception) -> Failed:
    """The error in words. The frames are cleared so that what they held is freed with the answer."""
    details = "".join(traceback.format_exception(error))
    if error.__traceback__ is not None:
        traceback.clear_frames(error.__traceback__)
    if isinstance(error, Problem):
        return Failed(error.sentence, error.action, details)
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else "no further words"
    return Failed(f"{type(error).__name__}: {first}", "Try again; the details say where it happened.", details)
