"""The bar at the bottom: what runs, how fast, how long, pause and stop; at the right the heads-up display."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from dgm_studio.core.engine import Job, Load
from dgm_studio.core.updates import Progress
from dgm_studio.gui import theme
from dgm_studio.gui.bridge import Bridge, Latency
from dgm_studio.gui.widgets.headsup import HeadsUp
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.progressline import ProgressLine

HEIGHT = 36
SPEED_SECONDS = 3.0
REFRESH_MS = 200
LIVE_STATES = ("waiting", "running", "paused", "stopping")


def duration(seconds: float) -> str:
    """Seconds in the largest two fitting units.

    >>> duration(127), duration(5), duration(7800)
    ('2 min 07 s', '5 s', '2 h 10 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Speed:
    """Units per second over the last seconds of a job."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._job = -1
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, job: int, done: float) -> float | None:
        """Take a job's progress; its speed, None until it is known."""
        now = self._clock()
        if job != self._job or (self._seen and done < self._seen[-1][1]):
            self._job = job
            self._seen.clear()
        self._seen.append((now, done))
        while now - self._seen[0][0] > SPEED_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        elapsed = now - self._seen[0][0]
        return (done - self._seen[0][1]) / elapsed if elapsed > 0.5 else None


def current_job(jobs: list[Job]) -> Job | None:
    """The job that the bar shows: the running one, else the first that waits or is paused."""
    for state in ("running", "stopping", "paused", "waiting"):
        for job in jobs:
            if job.state == state:
                return job
    return None


def job_words(job: Job, speed: float | None) -> str:
    """How far a job is: "8,200 / 13,400 · 41 steps/s · 2 min 07 s left"."""
    if job.state == "paused":
        return "paused" + (f" at {job.progress.done:,.0f}" if job.progress else "")
    if job.state in ("waiting", "stopping") or job.progress is None:
        return {"waiting": "waits", "stopping": "saving and stopping"}.get(job.state, "starting")
    shown = job.progress
    train = type(job.ticket.request).__name__ == "Train"
    parts = [f"{shown.done:,.0f} / {shown.total:,.0f}" if shown.total else f"{shown.done:,.0f}"]
    if shown.text and not train:
        parts.insert(0, shown.text)
    if speed:
        parts.append(f"{speed:,.0f} {'steps' if train else 'items'}/s" if speed >= 10 else f"{speed:.1f}/s")
    left = shown.seconds_left
    if left is None and speed and shown.total:
        left = (shown.total - shown.done) / speed
    if left is not None:
        parts.append(f"{duration(left)} left")
    return " · ".join(parts)


HINTS = {
    "input → pixel": "from an input to the end of the paint that shows its answer, median and 95th percentile of 200",
    "training": "how much slower it is because pictures are asked for, over the last 2 s",
    "queue": "questions that wait for the worker",
}


def figures(load: Load, latency: Latency, *, training: bool) -> dict[str, str]:
    """What the heads-up display shows, in words with units."""
    shown = {}
    if len(latency):
        median, late = (1000 * latency.quantile(share) for share in (0.5, 0.95))
        shown["input → pixel"] = f"{median:.0f} ms · p95 {late:.0f} ms"
    if training:
        busy = load.interactive / max(load.interactive + load.batch, 1e-9)
        slower = round(100 * busy)
        shown["training"] = f"−{slower} %" if slower else "0 %"
    return shown | {"queue": str(load.queue)}


class StatusBar(QFrame):
    """See the module.

    Signals:
        queue_wanted(): Show the list of jobs above the button.
        job_clicked(Job): Look at what the job makes.
        stop_wanted(Ticket): Stop a job.
        speed_known(Job, float): Units per second of the running job, again and again.
    """

    queue_wanted = Signal()
    job_clicked = Signal(object)
    stop_wanted = Signal(object)
    speed_known = Signal(object, float)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statusbar")
        self.setAccessibleName("Status bar")
        self._engine = bridge.engine
        self._job: Job | None = None
        self._speed = Speed()
        self._name = Button("", self, link=True)
        self._name.setToolTip("Look at it")
        self._line = ProgressLine("Progress of the running job", self)
        self._words = ElidedLabel("", "figures", self)
        self._pause = Button("Pause", self)
        self._stop = Button("Stop", self)
        self.queue = IconButton("more", "Jobs and the share of training", self, bare=True)
        self._idle = ElidedLabel("Nothing runs", "secondary", self)
        self._latency = bridge.latency
        self.heads_up = HeadsUp(self)
        self._build()
        self._pause.clicked.connect(self._pause_or_resume)
        self._stop.clicked.connect(self._stop_job)
        self._name.clicked.connect(self._look)
        self.queue.clicked.connect(self.queue_wanted)
        bridge.measured.connect(self._measured)
        theme.changed.connect(self._dress)
        self._timer = QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self._timer.start()
        self._dress()
        self.refresh()

    def say(self, words: str) -> None:
        """What stands there while nothing runs."""
        self._idle.setText(words)

    def refresh(self) -> None:
        """Show how the jobs stand."""
        jobs = self._engine.jobs()
        job = current_job(jobs)
        self._job = job
        for part in (self._name, self._line, self._words, self._pause, self._stop):
            part.setVisible(job is not None)
        self._idle.setVisible(job is None)
        self._measured()
        if job is not None:
            self._show(job)

    def _show(self, job: Job) -> None:
        progress = job.progress or Progress(0, 0)
        speed = self._speed.note(job.ticket.id, progress.done) if job.state == "running" else None
        if speed:
            self.speed_known.emit(job, speed)
        if self._name.text() != job.ticket.name:
            self._name.setText(job.ticket.name)
        unknown = None if job.state == "running" else 0.0
        self._line.set_share(progress.done / progress.total if progress.total else unknown)
        self._words.setText(job_words(job, speed))
        verb = "Continue" if job.state == "paused" else "Pause"
        if self._pause.text() != verb:
            self._pause.setText(verb)
        self._pause.setEnabled(job.state != "stopping")
        self._stop.setEnabled(job.state != "stopping")

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.SPACE[3], 0, theme.SPACE[3], 0)
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self._name)
        row.addWidget(self._line)
        row.addWidget(self._words)
        row.addWidget(self._pause)
        row.addWidget(self._stop)
        row.addWidget(self._idle)
        row.addWidget(self.queue)
        row.addStretch(1)
        row.addWidget(self.heads_up)

    def _dress(self) -> None:
        look, paint = theme.current(), theme.current().palette
        self.setFixedHeight(look.px(HEIGHT))
        self._line.setFixedWidth(look.px(160))
        self.setStyleSheet(
            f"QFrame#statusbar {{ background: {paint.bg1}; border: none; border-top: 1px solid {paint.line}; }}"
            "QFrame#statusbar QPushButton { padding: 2px 12px; }"
            'QFrame#statusbar QPushButton[link="true"] { padding: 2px 2px; }'
        )

    def _measured(self) -> None:
        training = self._job is not None and self._job.state == "running"
        self.heads_up.set_figures(figures(self._engine.load(), self._latency, training=training), HINTS)

    def _pause_or_resume(self) -> None:
        if self._job is not None:
            act = self._engine.resume if self._job.state == "paused" else self._engine.pause
            act(self._job.ticket)
            self.refresh()

    def _stop_job(self) -> None:
        if self._job is not None:
            self.stop_wanted.emit(self._job.ticket)
            self.refresh()

    def _look(self) -> None:
        if self._job is not None:
            self.job_clicked.emit(self._job)
