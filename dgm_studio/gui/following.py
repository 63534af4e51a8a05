"""Runs that train here: their panels follow the newest weights, and what goes wrong with them is said."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from dgm_studio.core.cards import split_key
from dgm_studio.core.engine import Job
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import Train
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Problem, Update
from dgm_studio.gui import choosing, runnotice
from dgm_studio.gui.host import Host
from dgm_studio.gui.outside import Outside
from dgm_studio.gui.owndata import OwnData
from dgm_studio.gui.pace import Pace

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

TICK_MS = 200


class Following(QObject):
    """Lets visible panels look at the newest weights of a run, at a calm pace.

    Args:
        window: Whose panels.
        clock: Seconds, rising.
    """

    def __init__(self, window: StudioWindow, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(window)
        self._window = window
        self._pace = Pace(clock)
        self._step = -1.0
        self._unsaved: dict[int, tuple[str, str, int]] = {}  # by ticket: key, why, step that stands
        self.outside = Outside(window, clock)
        self.own_data = OwnData(window)
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()
        window.bridge.job_updated.connect(self._job_updated)
        window.centre.shown_changed.connect(self._shown_changed)
        window.status.stop_wanted.connect(self.stop)
        window.queue.stop_wanted.connect(self.stop)

    def tick(self) -> None:
        """Look again, when the last look is over and long enough ago."""
        idle = self._window.bridge.engine.load().queue == 0
        due = self._pace.due(idle=idle)
        job = next((j for j in self._window.bridge.engine.jobs() if _trains(j)), None)
        if not due or job is None or job.progress is None or job.progress.done == self._step:
            return
        self._step = job.progress.done
        for host in self._window.centre.hosts.of_model(f"run:{job.ticket.request.run}"):
            if self._follows(host, job.ticket):
                host.panel.follow(replace(host.panel.card, step=int(job.progress.done), live=True))
                self._pace.asked()

    def stop(self, ticket: Ticket) -> None:
        """Stop a job; what the disk would not take is not given up without a question."""
        engine = self._window.bridge.engine
        lost = self._unsaved.get(ticket.id)
        if lost is None:
            engine.stop(ticket)
            self._window.status.refresh()
            return
        words = (
            f"{lost[1]}\n\nStopping {ticket.name} now loses everything after step {lost[2]:,}. Make room on the disk"
            " first, and it is saved."
        )
        choosing.ask_yes(self._window, "Not saved", words, partial(engine.stop, ticket), "Stop and lose it")

    def unsaved(self, key: str) -> str:
        """Why what a run trains cannot be saved, "" when it can."""
        base, _ = split_key(key)
        return next((why for run, why, _ in self._unsaved.values() if run == base), "")

    def _follows(self, host: Host, ticket: Ticket) -> bool:
        panel = host.panel
        newest = split_key(panel.card.key)[1] is None
        return newest and host.begun() and panel.isVisible() and not panel.hears(ticket)

    def _job_updated(self, ticket: Ticket, update: Update) -> None:
        if not isinstance(ticket.request, Train):
            return
        key = f"run:{ticket.request.run}"
        if isinstance(update, Frame) and update.topic == "saving":
            self._saving(ticket, key, str(update.data["sentence"]), int(update.data["saved"]))
        elif isinstance(update, Done | Cancelled | Failed):
            self._unsaved.pop(ticket.id, None)
            self._ended(key)

    def _saving(self, ticket: Ticket, key: str, sentence: str, saved: int) -> None:
        """Saving has failed, or works again: above its panels while it lasts, and once wherever one is looking."""
        first = ticket.id not in self._unsaved
        if sentence:
            self._unsaved[ticket.id] = (key, sentence, saved)
        else:
            self._unsaved.pop(ticket.id, None)
        runnotice.show_for(self._window)
        card = self._window.studio.card
        if first and sentence and (card is None or split_key(card.key)[0] != key):
            look = partial(self._window.open, key, "training")
            self._window.say(f"{ticket.name}: {sentence}", "Look at it", look)

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
