"""Runs that train: their panels follow the newest weights, and what went wrong with them is said."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from dgm_studio.core.cards import split_key
from dgm_studio.core.engine import Job
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import Train
from dgm_studio.core.updates import Cancelled, Done, Failed, Problem, Update
from dgm_studio.gui import runnotice
from dgm_studio.gui.host import Host

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

TICK_MS = 200
CALM_SECONDS = 2.0  # between two looks at weights that change
PATIENCE = 12.0  # so many times as long as the last look took: training keeps more than nine tenths of its time


class Following(QObject):
    """Lets visible panels look at the newest weights of a run, at a calm pace.

    Args:
        window: Whose panels.
        clock: Seconds, rising.
    """

    def __init__(self, window: StudioWindow, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(window)
        self._window, self._clock = window, clock
        self._asked_at: float | None = None
        self._next = 0.0
        self._step = -1.0
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()
        window.bridge.job_updated.connect(self._job_updated)
        window.centre.shown_changed.connect(self._shown_changed)

    def tick(self) -> None:
        """Look again, when the last look is over and long enough ago."""
        now, idle = self._clock(), self._window.bridge.engine.load().queue == 0
        if self._asked_at is not None:
            if idle:
                self._next = now + max(CALM_SECONDS, PATIENCE * (now - self._asked_at))
                self._asked_at = None
            return
        job = next((j for j in self._window.bridge.engine.jobs() if _trains(j)), None)
        if job is None or job.progress is None or not idle or now < self._next or job.progress.done == self._step:
            return
        self._step = job.progress.done
        for host in self._window.centre.hosts.of_model(f"run:{job.ticket.request.run}"):
            if self._follows(host, job.ticket):
                host.panel.follow(replace(host.panel.card, step=int(job.progress.done), live=True))
                self._asked_at = now

    def _follows(self, host: Host, ticket: Ticket) -> bool:
        panel = host.panel
        newest = split_key(panel.card.key)[1] is None
        return newest and host.begun() and panel.isVisible() and not panel.hears(ticket)

    def _job_updated(self, ticket: Ticket, update: Update) -> None:
        if isinstance(ticket.request, Train) and isinstance(update, Done | Cancelled | Failed):
            self._ended(f"run:{ticket.request.run}")

    def _ended(self, key: str) -> None:
        """What is on disk now is what the panels look at from here on."""
        window = self._window
        if key in window.studio.cards:
            try:
                card = window.shelf.read(key)
            except Problem:  # stopped before its first save: there is nothing to look at
                card = replace(window.studio.cards[key], live=False)
            window.studio.add(card)
            window.centre.refresh(card)
        runnotice.show_for(window)

    def _shown_changed(self) -> None:
        runnotice.show_for(self._window)


def _trains(job: Job) -> bool:
    return isinstance(job.ticket.request, Train) and job.state == "running"
