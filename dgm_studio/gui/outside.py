"""Runs that other processes train: the library shows them as they come, and their panels follow what is on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from dgm_studio.core.cards import ModelCard
from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder, described_runs, run_path
from dgm_studio.core.updates import Problem
from dgm_studio.gui import runnotice
from dgm_studio.gui.pace import Pace
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.statusbar import LIVE_STATES

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

TICK_MS = 200  # the pace is set by how long a look takes, to within as much
LIBRARY_TICKS = 5
RUN = "run:"
_Seen = tuple[float, int, bool]  # when run.json was written, size of the curves, whether somebody trains it


class Outside(QObject):
    """Looks at the disk: once a second at the times of all runs, at a calm pace at the curves of those looked at.

    Args:
        window: Whose library and panels.
        clock: Seconds, rising.
    """

    def __init__(self, window: StudioWindow, clock: Callable[[], float]) -> None:
        super().__init__(window)
        self._window = window
        self._pace = Pace(clock)
        self._ticks = 0
        self._described: dict[Path, float] | None = None
        self._seen: dict[str, _Seen] = {}
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Show what has changed since the last time, but for what this window trains itself."""
        due = self._pace.due(idle=self._window.bridge.engine.load().queue == 0)
        own = self._own()
        self._ticks += 1
        if self._ticks % LIBRARY_TICKS == 0:
            self._look_at_library(own)
        if due:
            self._look_at_panels(own)

    def _own(self) -> set[str]:
        jobs = self._window.bridge.engine.jobs()
        trained = [j.ticket.request for j in jobs if j.state in LIVE_STATES]
        return {f"{RUN}{asked.run}" for asked in trained if isinstance(asked, Train)}

    def _look_at_library(self, own: set[str]) -> None:
        before, found = self._described, described_runs()
        self._described = found
        if before is None:
            return
        changed = [path for path, at in found.items() if before.get(path) != at and f"{RUN}{path}" not in own]
        gone = [path for path in before if path not in found]
        cards = {card.key: card for card in self._window.runs}
        for path in gone:
            cards.pop(f"{RUN}{path}", None)
        for path in changed:
            card = self._read(f"{RUN}{path}")
            if card is not None:
                cards[card.key] = card
        if changed or gone:
            newest = {f"{RUN}{path}": at for path, at in found.items()}
            self._window.runs = tuple(sorted(cards.values(), key=lambda c: -newest.get(c.key, 0.0)))
            self._window.refresh_library()

    def _look_at_panels(self, own: set[str]) -> None:
        hosts = [h for h in self._window.centre.hosts.all() if h.begun() and h.panel.isVisible()]
        shown = {host.key for host in hosts if host.key.startswith(RUN)}
        self._seen = {key: seen for key, seen in self._seen.items() if key in shown - own}
        for key in shown - own:
            folder = RunFolder(run_path(key.removeprefix(RUN)))
            now = (*folder.stamp(), folder.locked())
            before = self._seen.setdefault(key, now)
            if before != now:
                self._seen[key] = now
                self._follow(key, before, now)

    def _follow(self, key: str, before: _Seen, now: _Seen) -> None:
        card = self._window.studio.cards.get(key)
        if before[0] != now[0]:
            card = self._read(key) or card
        if before[2] != now[2]:
            runnotice.show_for(self._window)
        for host in self._window.centre.hosts.of_model(key):
            watches = type(host.panel).hears is not Panel.hears
            if card is not None and watches and host.begun():
                host.panel.follow(card)
                self._pace.asked()

    def _read(self, key: str) -> ModelCard | None:
        """The card as it is on disk now; panels of it get the newer weights."""
        window = self._window
        try:
            card = window.shelf.read(key)
        except Problem:  # not saved yet, or half deleted: nothing to look at
            return None
        if key in window.studio.cards and window.studio.cards[key] != card:
            window.studio.add(card)
            window.centre.refresh(card)
        return card
