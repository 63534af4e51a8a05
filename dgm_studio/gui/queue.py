"""The list of jobs, above its button: order, pause, stop, again; and how the machine is shared."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from dgm_studio.core.engine import Engine, Job
from dgm_studio.gui import theme
from dgm_studio.gui.statusbar import LIVE_STATES, job_words
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.progressline import ProgressLine
from dgm_studio.gui.widgets.valueslider import ValueSlider

WORDS = {"done": "finished", "stopped": "stopped", "failed": "failed", "waiting": "waits"}
REFRESH_MS = 300


class JobLine(QFrame):
    """One job.

    Signals:
        stop_wanted(Ticket): Stop it.
    """

    stop_wanted = Signal(object)

    def __init__(self, engine: Engine, job: Job, parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("surface", "sunken")
        self._engine, self.job = engine, job
        name = ElidedLabel(job.ticket.name, "heading", self)
        self._words = ElidedLabel("", "figures2", self)
        self._line = ProgressLine(f"{job.ticket.name}, progress", self)
        self._up = IconButton("chevron-up", "Sooner", self, bare=True)
        self._pause = IconButton("pause", "Pause", self, bare=True)
        self._again = IconButton("reset", "Start again", self, bare=True)
        self._stop = IconButton("stop", "Stop", self, bare=True)
        self._forget = IconButton("close", "Take it off the list", self, bare=True)
        head = QHBoxLayout()
        head.setSpacing(0)
        head.addWidget(name, 1)
        for button in (self._up, self._pause, self._again, self._stop, self._forget):
            head.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.SPACE[2], theme.SPACE[1], theme.SPACE[1], theme.SPACE[1])
        column.setSpacing(theme.SPACE[0])
        column.addLayout(head)
        column.addWidget(self._line)
        column.addWidget(self._words)
        self._up.clicked.connect(partial(engine.move, job.ticket, 0))
        self._again.clicked.connect(self._start_again)
        self._stop.clicked.connect(partial(self.stop_wanted.emit, job.ticket))
        self._forget.clicked.connect(partial(engine.forget, job.ticket))
        self._pause.clicked.connect(self._pause_or_resume)
        self.show_job(job)

    def show_job(self, job: Job) -> None:
        """How it stands now."""
        self.job = job
        live, progress = job.state in LIVE_STATES, job.progress
        share = progress.done / progress.total if progress is not None and progress.total else 0.0
        self._line.set_share(1.0 if job.state == "done" else share)
        words = job.failure.sentence if job.failure is not None else WORDS.get(job.state) or job_words(job, None)
        self._words.setText(words)
        self._up.setVisible(job.state == "waiting")
        self._pause.setVisible(live)
        self._pause.set_icon(*(("play", "Continue") if job.state == "paused" else ("pause", "Pause")))
        self._stop.setVisible(live)
        self._again.setVisible(job.state in ("failed", "stopped"))
        self._forget.setVisible(not live)

    def _start_again(self) -> None:
        self._engine.retry(self.job.ticket)
        self._engine.forget(self.job.ticket)

    def _pause_or_resume(self) -> None:
        act = self._engine.resume if self.job.state == "paused" else self._engine.pause
        act(self.job.ticket)


class QueuePopup(QFrame):
    """See the module.

    Signals:
        stop_wanted(Ticket): Stop a job.
    """

    stop_wanted = Signal(object)

    def __init__(self, engine: Engine, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("surface", "card")
        self.setObjectName("queue")
        self.setAccessibleName("Jobs")
        self._engine = engine
        self._lines: dict[int, JobLine] = {}
        self._inner = QWidget(self)
        self._inner.setObjectName("scrolled")
        self._column = QVBoxLayout(self._inner)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.SPACE[1])
        self._none = label("No jobs. Training, evaluation and exports appear here.", "secondary", self, wrap=True)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setAccessibleName("List of jobs")
        area.setWidget(self._inner)
        self._share = ValueSlider("Training's share", 0.0, 0.95, engine.share, self)
        self._share.setToolTip("Part of the time that training keeps while pictures are asked for without a pause.")
        self._share.moved.connect(self._set_share)
        sweep = Button("Clear finished", self, link=True)
        sweep.clicked.connect(self._sweep)
        head = QHBoxLayout()
        head.addWidget(label("Jobs", "heading", self), 1)
        head.addWidget(sweep)
        column = QVBoxLayout(self)
        column.addLayout(head)
        column.addWidget(self._none)
        column.addWidget(area, 1)
        column.addWidget(self._share)
        column.addWidget(label("0 looks first, 0.95 trains first.", "caption", self))
        self._timer = QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self.refresh)

    def open_above(self, corner: QPoint) -> None:
        """Show the list with its lower left corner near a place of the screen."""
        self.refresh()
        self.resize(theme.current().px(400), theme.current().px(320))
        self.move(corner.x() - self.width() // 2, corner.y() - self.height() - theme.SPACE[1])
        self.show()

    def showEvent(self, event: QShowEvent) -> None:
        """Follow the jobs while somebody looks."""
        super().showEvent(event)
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Rest."""
        super().hideEvent(event)
        self._timer.stop()

    def refresh(self) -> None:
        """Show the jobs as they stand."""
        jobs = self._engine.jobs()
        known = {job.ticket.id for job in jobs}
        for number in [n for n in self._lines if n not in known]:
            line = self._lines.pop(number)
            self._column.removeWidget(line)
            line.deleteLater()
        while (stretch := self._column.itemAt(self._column.count() - 1)) is not None and stretch.widget() is None:
            self._column.takeAt(self._column.count() - 1)
        for place, job in enumerate(jobs):
            if job.ticket.id not in self._lines:
                self._lines[job.ticket.id] = JobLine(self._engine, job, self._inner)
                self._lines[job.ticket.id].stop_wanted.connect(self.stop_wanted)
            line = self._lines[job.ticket.id]
            line.show_job(job)
            if self._column.indexOf(line) != place:
                self._column.insertWidget(place, line)
        self._column.addStretch()
        self._none.setVisible(not jobs)

    def _set_share(self, share: float) -> None:
        self._engine.share = share

    def _sweep(self) -> None:
        for job in self._engine.jobs():
            self._engine.forget(job.ticket)
        self.refresh()
