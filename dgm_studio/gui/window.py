"""The window: library at the left, panels in the middle, what the machine does at the bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QPoint, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStatusBar, QWidget

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.engine import Job
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import Export, OpenModel, Train
from dgm_studio.core.studio import Journal, Studio
from dgm_studio.core.updates import Done, Failed, Frame, Metrics, Problem, Result, Update
from dgm_studio.gui import actions, drops, menus, newrun, places, session, theme, trash, wishes
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.centre import Centre
from dgm_studio.gui.docks import Docks
from dgm_studio.gui.following import Following
from dgm_studio.gui.host import Host
from dgm_studio.gui.inspector import Inspector
from dgm_studio.gui.library import Entry, Library
from dgm_studio.gui.palette import Palette
from dgm_studio.gui.queue import QueuePopup
from dgm_studio.gui.shelf import Shelf
from dgm_studio.gui.start import FIRST_MODEL, StartPage, flight, walk
from dgm_studio.gui.statusbar import LIVE_STATES, StatusBar
from dgm_studio.gui.thumbs import Thumbnails
from dgm_studio.gui.topbar import TopBar
from dgm_studio.gui.widgets.toast import Toast

SIZE = (1440, 900)
TICK_MS = 500
NARROW = 860  # below, the library is folded away


class StudioWindow(QMainWindow):
    """See the module.

    Args:
        studio: What is open.
        bridge: To the worker and back.
        shelf: What there is to open.
        journal: Where the session is kept.
        pictures: Folder for thumbnails.

    Signals:
        first_painted(): The window is on the screen; heavy work may begin.
        closing(): The window is about to go.
    """

    first_painted = Signal()
    closing = Signal()

    def __init__(self, studio: Studio, bridge: Bridge, shelf: Shelf, journal: Journal, pictures: Path) -> None:
        super().__init__()
        self.setObjectName("window")
        self.setWindowTitle("DGM Studio")
        self.setAcceptDrops(True)
        self.resize(*SIZE)
        self.studio, self.bridge, self.shelf, self.journal = studio, bridge, shelf, journal
        self.runs: tuple[ModelCard, ...] = ()
        self.last_session: dict[str, Any] = {}
        self.speeds: dict[str, float] = {}
        self.library_wanted, self._narrow = True, False
        self._painted = False
        self._library_stale = False
        self._dropped: list[str] = []
        self._toast_act: Callable[[], object] | None = None
        self._opening: dict[int, tuple[str, str, dict[str, Any]]] = {}
        self.thumbnails = Thumbnails(pictures, bridge, self)
        self.top = TopBar(self)
        self.library = Library(self.thumbnails, self)
        self.start = StartPage(self)
        self.centre = Centre(studio, bridge, self.start, self)
        self.inspector = Inspector(shelf, self)
        self.status = StatusBar(bridge, self)
        self.docks = Docks(self)
        self._asker = bridge.asker("window", self)
        self._lay_out()
        self.toast = Toast(self.middle)
        self.actions_by_name = actions.add_to(self)
        self.palette_list = Palette(self.top.search, self._commands, self)
        self.queue = QueuePopup(bridge.engine, self)
        self._connect()
        self.following = Following(self)
        self._take_off = QTimer(self, interval=100)
        self._take_off.timeout.connect(self._play_soon)
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        self.centre.show_start()
        self.refresh_library()
        self.library.view.setFocus()

    # -- opening -----------------------------------------------------------------------------------------------------

    def open(self, key: str, panel: str = "", state: Mapping[str, Any] | None = None) -> None:
        """Look at a model.

        Args:
            key: Model key, with "@STEP" for a snapshot, or the path of a checkpoint or run folder.
            panel: Name of the panel to bring to the front; "" for the one of last time.
            state: The panel's state; {} leaves it.
        """
        base, step = split_key(key)
        card = self.studio.cards.get(base)
        if card is None:
            try:
                card = self.shelf.read(base)
            except Problem:
                # Not one of ours, or broken: the worker looks at it in a safe place and says what it is.
                self._open_in_worker(base, panel, dict(state or {}))
                return
            self.studio.add(card)
        if step is not None:
            self.centre.steps[split_key(card.key)[0]] = step
        self._look_at(card, panel, dict(state or {}))

    def _open_in_worker(self, key: str, panel: str, state: dict[str, Any]) -> None:
        ticket = self._asker.job(OpenModel(key), f"Open {Path(key).name}")
        self._opening[ticket.id] = (key, panel, state)

    def _look_at(self, card: ModelCard, panel: str, state: dict[str, Any]) -> None:
        base, _ = split_key(card.key)
        if card.source == "file":
            self.studio.remember(card.path or base)
        if self.studio.selection != base:
            self.studio.select(base)
        self.centre.show_model(self.studio.cards[base], panel)
        if state:
            self.centre.show_state(panel or self.studio.tabs.get(base, ""), state)
        self.inspector.show_card(card)
        self.refresh_library()

    def home(self) -> None:
        """The start page."""
        self.studio.select("")
        self.centre.show_start()
        self.inspector.show_card(None)
        self.library.mark("")

    def fly(self) -> None:
        """One click to a moving picture."""
        self.open(FIRST_MODEL, "latent")
        card = self.studio.card
        if card is not None and card.key == FIRST_MODEL:
            self.centre.show_state("latent", flight(card))
            self._take_off.start()

    def _play_soon(self) -> None:
        panel = self.centre.current()
        if panel is None or panel.name != "latent" or panel.play():
            self._take_off.stop()

    def start_run(self, request: Train, card: ModelCard) -> None:
        """Train; `card` stands for the run until the worker has made it."""
        self._asker.job(request, request.name or Path(request.run).name)
        self.studio.add(card)
        self.open(card.key, "training")

    def new_run(self, **values: Any) -> None:
        """The form of a new run, prefilled."""
        newrun.open_form(self, values)

    # -- answers -----------------------------------------------------------------------------------------------------

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Answers to the window's own questions: opened files."""
        if topic == "walk" and isinstance(update, Frame):
            self.start.wanderer.set_pictures(list(update.data["pictures"]))
        opening = self._opening.get(ticket.id)
        if opening is None:
            return
        if isinstance(update, Done):
            self.bridge.engine.forget(ticket)
        elif isinstance(update, Result) and isinstance(update.value, ModelCard):
            self.studio.add(update.value)
            self._look_at(update.value, opening[1], opening[2])
        elif isinstance(update, Failed):
            self.bridge.engine.forget(ticket)
            self.say(f"{update.sentence} {update.action}".strip())

    def settle(self) -> None:
        """Nothing to gather."""

    def hears(self, ticket: Ticket) -> bool:
        """Only its own."""
        return False

    def worker_ready(self) -> None:
        """The worker is warm: the shelf knows systems and device."""
        self.thumbnails.start()
        self.inspector.show_card(self.studio.card)
        self._show_device()
        first = next((card for card in self.shelf.box() if card.key == FIRST_MODEL), None)
        self.start.set_flight(first is not None)
        if first is not None and not self.studio.selection:
            self._asker("walk", walk(first))

    def _job_updated(self, ticket: Ticket, update: Update) -> None:
        if isinstance(update, Result) and isinstance(update.value, ModelCard) and isinstance(ticket.request, Train):
            self.studio.add(update.value)
            self.centre.refresh(update.value)
            self.inspector.refresh(update.value)
        elif isinstance(update, Metrics) and self.studio.selection == f"run:{update.run}":
            self.inspector.take_live(update.values)
        elif isinstance(update, Failed) and not isinstance(ticket.request, OpenModel):
            self.say(f"{ticket.name}: {update.sentence}", "Show jobs", self.show_queue)
        if not isinstance(update, Frame | Metrics):
            self._library_stale = True
        if isinstance(update, Done) and isinstance(ticket.request, Export):
            self.exported(Path(ticket.request.path))

    def exported(self, path: Path) -> None:
        """Say that a file is written."""
        self.say(f"{path.name} is written.", "Open its folder", partial(menus.show_folder, path.parent))

    # -- what is there -----------------------------------------------------------------------------------------------

    def refresh_library(self) -> None:
        """Show the rows as they are now."""
        self._library_stale = False
        opened = self.studio.cards
        jobs = {
            f"run:{j.ticket.request.run}": j for j in self.bridge.engine.jobs() if isinstance(j.ticket.request, Train)
        }
        runs = {card.key: card for card in self.runs}
        runs = {key: card for key, card in opened.items() if card.source == "run" and key not in runs} | runs
        sections = [
            ("In the box", [self._entry(opened.get(c.key, c), None) for c in self.shelf.box()]),
            ("Runs", [self._entry(opened.get(key, card), jobs.get(key)) for key, card in runs.items()]),
            ("Opened", [self._entry(card, None) for card in opened.values() if card.source == "file"]),
        ]
        self.library.show_entries(sections, self.studio.selection)

    def reread_runs(self) -> None:
        """Read the list of runs from disk again."""
        self.runs = tuple(self.shelf.runs())
        self.refresh_library()
        trash.show(self)

    def _entry(self, card: ModelCard, job: Job | None) -> Entry:
        share = None
        if job is not None and job.state in LIVE_STATES:
            progress = job.progress
            share = progress.done / progress.total if progress is not None and progress.total else 0.0
            card = replace(card, step=int(progress.done)) if progress is not None else card
        paused = job is not None and job.state == "paused"
        return Entry(card.name, card, share, paused, split_key(card.key)[0] in self.studio.comparison)

    def _commands(self) -> list[Any]:
        return menus.commands(self)

    # -- saying ------------------------------------------------------------------------------------------------------

    def say(self, words: str, action: str = "", act: Callable[[], object] | None = None) -> None:
        """A notice that goes away by itself, with one thing to do about it."""
        self._toast_act = act
        self.toast.say(words, action)

    def _act(self) -> None:
        if self._toast_act is not None:
            self._toast_act()

    def show_queue(self) -> None:
        """The list of jobs, above its button."""
        corner = self.status.queue.mapToGlobal(QPoint(0, 0))
        self.queue.open_above(corner)

    def _show_device(self) -> None:
        words, ready = (self.shelf.device, True) if self.shelf.device else ("starting …", False)
        memory = session.memory_words()
        hint = (
            f"The worker computes on: {words}. The program holds {memory} of memory." if ready else "torch is starting."
        )
        self.top.show_device(f"{words} · {memory}" if ready and memory else words, ready=ready, hint=hint)

    # -- undo and redo -----------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take the last gesture back, wherever it was made."""
        step = self.studio.undo()
        if step is not None:
            self.open(step.key, step.panel, step.before)

    def redo(self) -> None:
        """Do it again."""
        step = self.studio.redo()
        if step is not None:
            self.open(step.key, step.panel, step.after)

    # -- layout ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.middle = middle = QWidget(self)
        middle.setObjectName("centre")
        row = QHBoxLayout(middle)
        row.setContentsMargins(theme.SPACE[2], theme.SPACE[2], theme.SPACE[2], theme.SPACE[2])
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self.library)
        row.addWidget(self.centre, 1)
        row.addWidget(self.inspector)
        self.inspector.hide()
        self.setMenuWidget(self.top)
        self.setCentralWidget(middle)
        bar = QStatusBar(self)
        bar.setSizeGripEnabled(False)
        bar.setContentsMargins(0, 0, 0, 0)
        bar.setStyleSheet("QStatusBar { border: none; } QStatusBar::item { border: none; }")
        bar.addPermanentWidget(self.status, 1)
        self.setStatusBar(bar)

    def _connect(self) -> None:
        self.studio.grant = wishes.Granter(self).grant
        self.studio.listen(self._studio_changed)
        self.bridge.job_updated.connect(self._job_updated)
        self.library.chosen.connect(self._open_card)
        self.library.menu_wanted.connect(partial(menus.show, self))
        self.library.renamed.connect(partial(menus.rename, self))
        self.library.deleted.connect(partial(menus.delete, self))
        self.library.trash_wanted.connect(partial(trash.open_menu, self))
        self.library.open_wanted.connect(self.choose_file)
        self.library.collapse_wanted.connect(self.toggle_library)
        self.top.library_wanted.connect(self.toggle_library)
        self.top.inspector_wanted.connect(self.toggle_inspector)
        self.top.new_run_wanted.connect(self.new_run)
        self.top.bookmarks_wanted.connect(partial(places.show_bookmarks, self))
        self.top.theme_wanted.connect(self.toggle_theme)
        self.top.start_wanted.connect(self.home)
        self.top.chip_clicked.connect(self._open_comparison)
        self.top.chip_closed.connect(self.studio.compare_toggle)
        self.start.fly_wanted.connect(self.fly)
        self.start.new_run_wanted.connect(self.new_run)
        self.start.open_wanted.connect(self.choose_file)
        self.start.session_wanted.connect(self.continue_session)
        self.start.key_wanted.connect(self._open_recent)
        self.centre.tear_off_wanted.connect(self.tear_off)
        self.centre.put_back_wanted.connect(self.put_back)
        self.centre.hosts.closing.connect(self.docks.let_go)
        self.centre.time_machine.fork_wanted.connect(self._fork)
        self.status.queue_wanted.connect(self.show_queue)
        self.status.job_clicked.connect(self._look_at_job)
        self.status.speed_known.connect(self._note_speed)
        self.toast.acted.connect(self._act)
        theme.changed.connect(self._make_room)

    def _studio_changed(self, what: str) -> None:
        if what in ("cards", "comparison"):
            self._library_stale = True
        if what == "comparison":
            self._show_comparison()
        if what == "recent":
            self.start.show_recent(self.studio.recent)

    def _show_comparison(self) -> None:
        known = {c.key: c for c in (*self.shelf.box(), *self.runs, *self.studio.cards.values())}
        for key in [k for k in self.studio.comparison if k in known and k not in self.studio.cards]:
            self.studio.add(known[key])
        self.top.show_comparison([(k, known[k].name) for k in self.studio.comparison if k in known])
        for host in self.centre.hosts.all():
            host.panel.comparison_changed()

    def _tick(self) -> None:
        if self._library_stale or any(job.state in LIVE_STATES for job in self.bridge.engine.jobs()):
            self.refresh_library()
        self._show_device()
        if self.journal.due():
            session.write(self)

    # -- slots -------------------------------------------------------------------------------------------------------

    def _open_card(self, card: ModelCard) -> None:
        if split_key(card.key)[0] not in self.studio.cards:
            self.studio.add(card)
        self.open(card.key)

    def _open_recent(self, path: str) -> None:
        drops.open_paths(self, [path])

    def choose_file(self) -> None:
        """A dialog, then open."""
        drops.choose(self)

    def _open_dropped(self) -> None:
        drops.open_paths(self, self._dropped)

    def _open_comparison(self, key: str) -> None:
        self.open(key, "compare")

    def _look_at_job(self, job: Job) -> None:
        if isinstance(job.ticket.request, Train):
            self.open(f"run:{job.ticket.request.run}", "training")
        else:
            self.show_queue()

    def _note_speed(self, job: Job, speed: float) -> None:
        if isinstance(job.ticket.request, Train) and job.ticket.request.system:
            self.speeds[job.ticket.request.system] = speed

    def _fork(self, step: int) -> None:
        if self.studio.card is not None:
            self.studio.fork(self.studio.card, step)

    def tear_off(self, host: Host) -> None:
        """Put a panel into a dock of its own."""
        self.docks.tear_off(host, f"{host.panel.card.name} · {host.kind.title}").put_back_wanted.connect(self.put_back)

    def put_back(self, host: Host) -> None:
        """Put a torn-off panel back among the tabs."""
        self.docks.let_go(host)
        self.centre.restore_panel(host)

    def toggle_library(self) -> None:
        """Show or hide the left column."""
        shown = self.library.isHidden()
        self._narrow = False  # asked for by hand: it stays, however narrow the window
        self.show_library(shown)

    def show_library(self, shown: bool) -> None:
        """Show or hide the left column."""
        self.library_wanted = shown
        self._place_library()

    def _place_library(self) -> None:
        shown = self.library_wanted and not self._narrow
        self.library.setVisible(shown)
        self.top.library.setVisible(not shown)

    def toggle_inspector(self) -> None:
        """Show or hide what is known of the model."""
        shown = self.inspector.isHidden()
        self.inspector.setVisible(shown)
        self.top.inspector.setChecked(shown)

    def toggle_theme(self) -> None:
        """Light or dark."""
        theme.use("light" if theme.current().dark else "dark")

    def continue_session(self) -> None:
        """Open what was open last time."""
        session.restore(self, self.last_session)

    # -- life --------------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The library gives way where there is no room for it, and comes back where there is."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        narrow = self.width() < theme.current().px(NARROW)
        if narrow != self._narrow:
            self._narrow = narrow
            self._place_library()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The first paint tells that heavy work may begin."""
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(0, self.first_painted.emit)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped anywhere."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open them."""
        self._dropped = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        QTimer.singleShot(0, self._open_dropped)  # after the drag: a dialog inside it would hold the other program

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep the session; the worker saves what trains."""
        session.write(self, clean=True)
        self._timer.stop()
        self.closing.emit()
        self.centre.hosts.close_all()
        super().closeEvent(event)

    def stop_all(self, seconds: float = 0.9) -> bool:
        """Close the worker; whether it has ended in time."""
        self.bridge.close()
        until = time.monotonic() + seconds
        return self.bridge.engine.close(max(0.0, until - time.monotonic()))
