"""The training panel: curves, pictures with a fixed seed, KL of the latents over time, health, the run's relatives."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from dgm_studio.core.cards import Capability, ModelCard, SystemCard, split_key
from dgm_studio.core.forms import Field
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import (
    EditRun,
    ExportMetrics,
    ListSystems,
    ReadFamily,
    ReadRun,
    Reconstruct,
    SamplePrior,
    Train,
)
from dgm_studio.core.runs import run_path
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Metrics, Progress, Result, Update
from dgm_studio.gui import choosing, theme
from dgm_studio.gui.panels.spec import JOB, Ask, Panel
from dgm_studio.gui.panels.training_curves import CurvesCard
from dgm_studio.gui.panels.training_pictures import PicturesCard
from dgm_studio.gui.panels.training_record import Record
from dgm_studio.gui.panels.training_run import HealthCard, RunCard, TreeCard
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.flow import PlainBox
from dgm_studio.gui.widgets.heatmap import HeatMap
from dgm_studio.gui.widgets.stateframe import StateFrame

RUN = "run:"
NARROW = 1000  # px; below, the rail goes under the curves
RAIL = 330
CURVES, BELOW = 300, 210  # least heights; a panel that is lower scrolls
ACTIVE_KL = 0.01  # nats
LEARNING_RATE = Field("learning_rate", "float", 1e-3, 1e-7, 1.0, help="Highest learning rate", scale="log")
LIVE_GROUP = "Objective"


class TrainingPanel(Panel):
    """Watches a run while it trains and looks back at it afterwards."""

    name = "training"
    title = "Training"
    icon = "curves"
    fast = frozenset()
    summary = "Curves, samples and health of the run, and its forks"

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self._records: dict[str, Record] = {}
        self._asked: dict[int, str] = {}
        self._job: Ticket | None = None
        self._speed: list[tuple[float, float]] = []
        self._flags_stale = self._elsewhere = False
        self._curves = CurvesCard(self)
        self._pictures = PicturesCard(self)
        self._kl_card = Card("KL of every latent", self)
        self._kl = HeatMap("KL of every latent over the steps", self, unit="nats")
        self._health = HealthCard(self)
        self._run = RunCard(self)
        self._tree = TreeCard(self)
        self._frame = StateFrame(self._built(), self)
        self._frame.filled.connect(self._train_again)
        self._frame.acted.connect(self.begin)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._frame)
        self._connect()

    # -- asking ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Read the history and the relatives, and ask for pictures. A checkpoint may have its curves beside it."""
        self._records = {self._folder(): Record(int(self.card.training.get("batch", 1)))}
        self._curves.set_record(self._record)
        self._curves.clear()
        self._frame.show_waiting()
        self._read(self._folder())
        self._read_compared()
        self._run.offer(train_on=self._is_run(), again=not self._is_run())
        self._tree.hide()
        if self._is_run():
            self.ask("family", ReadFamily(self._folder()))
            self.ask("systems", ListSystems())
        self._show_settings()
        self._ask_pictures()

    def set_card(self, card: ModelCard) -> None:
        """The run has gone on, or the time machine moved: cursor and pictures follow."""
        before, self.card = self.card, card
        if not self._records:
            return
        _, step = split_key(card.key)
        self._curves.set_step(float(step) if step is not None else None)
        self._show_settings()
        if before.key != card.key or (before.step != card.step and not card.live and self._job is None):
            self._ask_pictures()
        if self._is_run() and (before.parent != card.parent or before.live != card.live):
            self.ask("family", ReadFamily(self._folder()))

    def follow(self, card: ModelCard) -> None:
        """Another process trains the run: read how far the curves are."""
        if self._records and self._job is None:
            self._read(self._folder())

    def hears(self, ticket: Ticket) -> bool:
        """Jobs that train this run."""
        request = ticket.request
        return isinstance(request, Train) and str(run_path(request.run)) == str(run_path(self._folder()))

    def _is_run(self) -> bool:
        return self.card.key.startswith(RUN)

    def _folder(self) -> str:
        return split_key(self.card.key)[0].removeprefix(RUN)

    @property
    def _record(self) -> Record:
        return self._records[self._folder()]

    def _read(self, run: str) -> None:
        ticket = self.ask(f"history {run}", ReadRun(run))
        self._asked[ticket.id] = run

    def _read_compared(self) -> None:
        keys = self.studio.comparison if self.studio is not None else []
        for run in [key.removeprefix(RUN) for key in keys if key.startswith(RUN)]:
            if run not in self._records:
                self._records[run] = Record()
                self._read(run)

    def _ask_pictures(self) -> None:
        planar = bool(self.card.modalities) and self.card.modalities[0].kind == "points"
        self.ask("samples", SamplePrior(self.card.key, count=500 if planar else 36))
        rebuilds = {Capability.ENCODES, Capability.DECODES} <= self.card.capabilities
        self._pictures.offer(reconstructions=rebuilds)
        if rebuilds:
            self.ask("reconstructions", Reconstruct(self.card.key, "valid", 100 if planar else 18))

    # -- answers ---------------------------------------------------------------------------------------------------

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Figures, frames and endings of the run's job, and answers to the panel's own questions."""
        if topic == JOB and isinstance(ticket.request, ExportMetrics):
            self._exported(update)
        elif topic == JOB:
            self._trained(update, ticket)
        elif isinstance(update, Failed):
            self._failed(topic, update)
        elif isinstance(update, Result):
            self._answered(topic, update.value, ticket)
        elif isinstance(update, Frame) and update.topic in ("samples", "reconstructions"):
            self._pictures.show_frame(update)

    def settle(self) -> None:
        """Draw what has gathered."""
        if not self._records:
            return
        only = len(self._records) == 1
        for number, (run, record) in enumerate(self._records.items()):
            name = self.card.name if run == self._folder() else Path(run).name
            self._curves.draw(name, record, theme.category(number).name(), only=only)
        if self._flags_stale:
            self._flags_stale = False
            self._curves.set_flags(self._record.flags)
        self._run.show_figures(self._record.last)

    def _answered(self, topic: str, value: Any, ticket: Ticket) -> None:
        if topic == "family":
            self._tree.show_runs(value, split_key(self.card.key)[0])
        elif topic == "systems":
            self._offer_settings(value)
        elif topic == "edit":
            self._run.show_settings(value)
        elif ticket.id in self._asked:
            self._show_history(self._asked.pop(ticket.id), value)

    def _show_history(self, run: str, history: Mapping[str, Any]) -> None:
        record = self._records.get(run)
        if record is None:
            return
        if record.overtaken(history.get("flags", ())):
            self.begin()
            return
        record.load(history)
        if run == self._folder():
            self._flags_stale = True
            self._elsewhere = bool(history.get("elsewhere"))
            self._show_settings()
            if not (self.card.live or self._job or self._elsewhere):
                self._curves.fit()
            self._draw_kl()
            self._health.show_lines(history.get("health", ()))
            self.ready()
            if record.last or self.card.live:
                self._frame.show_ready()
            else:
                self._frame.set_empty(
                    "Nothing was recorded yet. The first curves come with the first steps.", "Train on"
                )
                self._frame.show_empty()
        else:
            record.batch = int(history.get("run", {}).get("training", {}).get("batch", 1))

    def _trained(self, update: Update, ticket: Ticket) -> None:
        self._job = ticket
        if isinstance(update, Metrics) and self._records:
            self._record.add(update)
            self._frame.show_ready()
        elif isinstance(update, Progress):
            self._show_progress(update)
        elif isinstance(update, Frame):
            self._show_frame(update)
        elif isinstance(update, Done | Cancelled | Failed):
            self._job = None
            self._show_settings()
            self._curves.fit()
            if isinstance(update, Failed):
                self._health.show_lines(
                    ({"level": "bad", "name": "Stopped", "sentence": f"{update.sentence} {update.action}"},)
                )

    def _show_frame(self, frame: Frame) -> None:
        if frame.topic == "kl":
            self._record.add_kl(int(frame.data["step"]), frame.data["kl"])
            self._draw_kl()
        elif frame.topic == "health":
            self._health.show_lines(frame.data["lines"])
        elif frame.topic == "flags":
            if self._record.overtaken(frame.data.get("flags", ())):
                self.begin()
                return
            self._record.set_flags(frame.data.get("flags", ()))
            for flag in frame.data.get("flags", ()):
                self._run.show_settings(flag.get("changes") or {})
            self._flags_stale = True
        elif frame.topic in ("samples", "reconstructions") and split_key(self.card.key)[1] is None:
            self._pictures.show_frame(frame)

    def _show_progress(self, progress: Progress) -> None:
        speed = 0.0
        if progress.total > 1:
            self._speed = [*self._speed[-20:], (time.monotonic(), progress.done)]
            (t0, s0), (t1, s1) = self._speed[0], self._speed[-1]
            speed = (s1 - s0) / (t1 - t0) if t1 > t0 else 0.0
            self._run.show_progress(progress.done, progress.total, speed, progress.seconds_left)
        steps = not progress.text or progress.text.startswith("Step ")  # which the figures below say
        self._run.show_state("Training" if steps else progress.text, live=True, finished=False)

    def _draw_kl(self) -> None:
        matrix, steps = self._record.kl_matrix()
        self._kl_card.setVisible(bool(matrix.size))
        if not matrix.size:
            return
        order = np.argsort(-matrix[:, -1], kind="stable")
        active = int((matrix[:, -1] > ACTIVE_KL).sum())
        self._kl_card.set_title(f"KL of every latent \N{MIDDLE DOT} {active} of {len(matrix)} active")
        self._kl.set_numbers(matrix[order], [f"z{i:02d}" for i in order], steps, low=0.0)

    def _failed(self, topic: str, failed: Failed) -> None:
        if topic in ("samples", "reconstructions"):
            self._pictures.show_error(topic, failed)
        elif topic.startswith("history") and topic.endswith(self._folder()) and not self._is_run():
            self._frame.set_empty(f"{failed.sentence} {failed.action}".strip(), "Train it again", "curves")
            self._frame.show_empty()
            self.ready()
        elif topic.startswith("history") and topic.endswith(self._folder()) and self.card.live:
            self._record.load({})  # asked before the worker made the run: all there is comes live
        elif topic.startswith("history") and topic.endswith(self._folder()):
            self._frame.show_error(failed.sentence, "Try again", failed.details)
        elif self.studio is not None:
            self.studio.tell(f"{failed.sentence} {failed.action}".strip(), "bad")

    def _exported(self, update: Update) -> None:
        if self.studio is None:
            return
        if isinstance(update, Result):
            self.studio.tell(f"Wrote {update.value}.", "good")
        elif isinstance(update, Failed):
            self.studio.tell(f"{update.sentence} {update.action}".strip(), "bad")

    # -- the hand --------------------------------------------------------------------------------------------------

    def _edit(self, name: str, value: float) -> None:
        self.ask("edit", EditRun(self._folder(), {name: value}))

    def _fork(self) -> None:
        if self.studio is not None:
            self.studio.fork(self.card, split_key(self.card.key)[1])

    def _train_on(self) -> None:
        self.ask.job(Train(self._folder(), name=self.card.name), self.card.name)

    def _train_again(self) -> None:
        if self.card.key.startswith(RUN):
            self._train_on()
        elif self.studio is not None:
            card = self.card
            self.studio.new_run(
                system=card.system,
                data=card.data,
                config=card.config,
                training=card.training,
                seed=card.seed,
                name=card.name,
            )

    def _export(self, kind: str) -> None:
        run = self._folder()

        def write(path: str, _: str = "") -> None:
            self.ask.job(ExportMetrics(run, path, kind), f"Figures of {self.card.name}")

        if kind == "csv":
            choosing.save_file(self, "Export figures", f"{self.card.name}.csv", "CSV table (*.csv)", write)
        else:
            choosing.open_folder(self, "Folder for TensorBoard events", write)

    def _to_step(self, step: float) -> None:
        """The cursor was dragged: the whole window goes to the nearest snapshot."""
        if self.studio is None or not self.card.snapshots:
            return
        nearest = min(self.card.snapshots, key=lambda s: abs(s - step))
        if nearest != split_key(self.card.key)[1]:
            self.studio.open(f"{split_key(self.card.key)[0]}@{nearest}", self.name)

    def _chosen(self, key: str) -> None:
        if self.studio is not None and key != split_key(self.card.key)[0]:
            self.studio.open(key, self.name)

    def _show_settings(self) -> None:
        live = self.card.live or self._job is not None
        finished = bool(self.card.steps) and self.card.step >= self.card.steps
        words = "Training" if live else "Finished" if finished else "Stopped" if self._is_run() else "Checkpoint"
        elsewhere = self._elsewhere and not live
        self._run.show_state("Trains elsewhere" if elsewhere else words, live=live, finished=finished)
        self._run.offer(train_on=self._is_run(), again=not self._is_run(), elsewhere=elsewhere)
        if self._job is None:  # else its progress is newer
            reached = self._record.step if elsewhere and self._records else 0
            self._run.show_step(max(reached, self.card.step), self.card.steps)
        self._run.show_settings({**self.card.config, **self.card.training})

    def _offer_settings(self, systems: tuple[SystemCard, ...]) -> None:
        system = next((s for s in systems if s.name == self.card.system), None)
        fields = [f for f in system.fields if f.group == LIVE_GROUP and f.kind == "float"] if system is not None else []
        self._run.set_fields([LEARNING_RATE, *fields], {**self.card.config, **self.card.training})
        self._show_settings()

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Page, axis, smoothing, scale and which pictures."""
        return {**self._curves.settings(), "pictures": self._pictures.page()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take on a state."""
        now = {**self.state(), **state}
        self._pictures.set_page(int(now.pop("pictures")))
        self._curves.set_settings(**{name: now[name] for name in self._curves.settings()})

    def plot(self) -> QWidget | None:
        """The curves that are shown."""
        return self._curves.plot() if self._records else None

    def shown(self) -> Any | None:
        """The samples, or the reconstructions."""
        return self._pictures.shown(self.card.key)

    # -- layout ----------------------------------------------------------------------------------------------------

    def _built(self) -> QWidget:
        inside = QWidget(self)
        inside.setObjectName("scrolled")
        below = QHBoxLayout()
        below.setSpacing(theme.SPACE[2])
        self._kl_card.add(self._kl, 1)
        self._kl.set_titles("Latent", "Step")
        self._kl_card.hide()
        below.addWidget(self._kl_card, 3)
        below.addWidget(self._health, 2)
        left = QVBoxLayout()
        left.setSpacing(theme.SPACE[2])
        left.addWidget(self._curves, 3)
        left.addLayout(below, 2)
        self._rail_inside = QWidget(inside)
        rail = QVBoxLayout(self._rail_inside)
        rail.setContentsMargins(0, 0, 0, 0)
        rail.setSpacing(theme.SPACE[2])
        for card, stretch in ((self._pictures, 1), (self._run, 0), (self._tree, 0)):
            rail.addWidget(card, stretch)
        self._halves = PlainBox(QBoxLayout.Direction.LeftToRight, inside)
        self._halves.setContentsMargins(0, 0, 0, 0)
        self._halves.setSpacing(theme.SPACE[2])
        self._halves.addLayout(left, 1)
        self._halves.addWidget(self._rail_inside)
        area = QScrollArea(self)
        area.setAccessibleName("Training")
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        return area

    def _connect(self) -> None:
        self._curves.step_chosen.connect(self._to_step)
        self._curves.changed.connect(self._committed_view)
        self._pictures.changed.connect(self._committed_view)
        self._run.edited.connect(self._edit)
        self._run.forked.connect(self._fork)
        self._run.continued.connect(self._train_again)
        self._run.exported.connect(self._export)
        self._tree.chosen.connect(self._chosen)
        theme.changed.connect(self._lay_out)
        self._lay_out()

    def _committed_view(self) -> None:
        self.committed.emit("Change what the curves show")

    def minimumSizeHint(self) -> QSize:
        """Small enough for a window of 1100 pixels with the library."""
        return QSize(480, 420)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The rail goes under the curves where there is no room beside them."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        look = theme.current()
        rail = look.px(RAIL)
        narrow = self.width() < max(NARROW - 250, rail + look.px(420))
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        if self._halves.direction() != direction:
            self._halves.setDirection(direction)
        self._rail_inside.setMaximumWidth(16_777_215 if narrow else rail)
        self._rail_inside.setMinimumWidth(0 if narrow else rail)
        self._curves.setMinimumHeight(look.px(CURVES))
        for card in (self._kl_card, self._health):
            card.setMinimumHeight(look.px(BELOW))
