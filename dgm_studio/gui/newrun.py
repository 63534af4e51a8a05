"""The form of a new run: a system, data, settings from their descriptions, seed and name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from dgm_studio.core import runs
from dgm_studio.core.cards import DataCard, ModelCard, SystemCard
from dgm_studio.core.forms import FormError
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import OpenData, Train
from dgm_studio.core.updates import Failed, Frame, Progress, Result, Update
from dgm_studio.gui import choosing, theme
from dgm_studio.gui.form import Form
from dgm_studio.gui.statusbar import duration
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.progressline import ProgressLine

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

FOLDER, FILE, TABLE = "choose folder", "choose file", "choose table"
ARRAY_FILES = "Arrays (*.npz *.npy)"
FIRST_SYSTEM = "vae"  # the plainest
TABLE_FILES = "Tables (*.csv)"
LONGEST_NAME = 120  # letters
KEPT = "~"  # between the name of data and what is kept of them
POLL_MS = 150
MOST_REPORTED = 4  # lines on what was skipped of one's own files
FIRST_DATA = "mnist5k"  # real pictures that train in minutes


def open_form(window: StudioWindow, values: Mapping[str, Any]) -> NewRun:
    """Show the form, prefilled."""
    form = NewRun(window, values)
    form.open()
    return form


def provisional_card(request: Train, system: SystemCard, data: DataCard | None, steps: int) -> ModelCard:
    """What the window knows of a run before the worker has made it."""
    return ModelCard(
        key=f"run:{request.run}",
        name=request.name,
        system=system.name,
        title=system.title,
        capabilities=system.capabilities,
        modalities=system.chosen(data.modalities) if data is not None else (),
        factors=data.factors if data is not None else (),
        latent=int(request.config.get("latent", 0) or 0),
        data=request.data,
        steps=steps,
        config=dict(request.config),
        training=dict(request.training),
        seed=request.seed,
        parent=request.parent,
        source="run",
        path=request.run,
        live=True,
    )


class NewRun(QDialog):
    """See the module. Waits for the worker where that is still starting.

    Args:
        window: Over which it lies; starts the run.
        values: system, data, config, training, seed, parent, name; what is left out has its default.
    """

    def __init__(self, window: StudioWindow, values: Mapping[str, Any]) -> None:
        super().__init__(window)
        self.setWindowTitle("Fork a run" if values.get("parent") else "New run")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._window, self._wanted = window, dict(values)
        self._systems: dict[str, SystemCard] = {}
        self._data: dict[str, DataCard] = dict(window.shelf.data())
        self._reports: dict[str, tuple[str, ...]] = {}
        self._model: Form | None = None
        self._training: Form | None = None
        self._asker = window.bridge.asker("newrun", self)
        self._build()
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self._fill)
        self._poll.start()
        self._fill()

    # -- answers -----------------------------------------------------------------------------------------------------

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """The user's own data: how far they are read, what they are, or why they cannot be."""
        if isinstance(update, Progress):
            self._line.show()
            self._line.set_share(update.done / update.total if update.total else None)
            self._data_words.setText(update.text or "Reading …")
        elif isinstance(update, Frame):
            self._reports[topic] = tuple(str(line) for line in update.data.get("report", ()))
            self._show_data()
        elif isinstance(update, Result) and isinstance(update.value, DataCard):
            self._line.hide()
            self._data[topic] = update.value
            self._show_data()
        elif isinstance(update, Failed):
            self._line.hide()
            self._data.pop(topic, None)
            self._refuse(f"{update.sentence} {update.action}".strip())
            self._start.setEnabled(False)

    def settle(self) -> None:
        """Nothing to gather."""

    def hears(self, ticket: Ticket) -> bool:
        """No jobs."""
        return False

    def done(self, result: int) -> None:
        """Stop listening."""
        self._poll.stop()
        self._asker.close()
        super().done(result)

    def closeEvent(self, event: QCloseEvent) -> None:
        """The window manager's cross cancels."""
        self._asker.close()
        super().closeEvent(event)

    # -- layout ------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._system = QComboBox(self)
        self._system.setAccessibleName("System")
        self._system_words = label("The worker is starting …", "secondary", self, wrap=True)
        self._source = QComboBox(self)
        self._source.setAccessibleName("Data")
        self._data_words = label("", "secondary", self, wrap=True)
        self._report = label("", "live", self, wrap=True)
        self._report.hide()
        self._kept = QLineEdit(self)
        self._kept.setAccessibleName("Kept for training")
        self._kept.hide()
        self._line = ProgressLine("Reading the data", self)
        self._line.hide()
        self._name = QLineEdit(self)
        self._name.setAccessibleName("Name of the run")
        self._name.setMaxLength(LONGEST_NAME)
        self._seed = QSpinBox(self)
        self._seed.setRange(0, 2**31 - 1)
        self._seed.setAccessibleName("Seed")
        self._seed.setToolTip("Of everything random: first weights, order of the examples, draws.")
        self._seed.lineEdit().setTextMargins(theme.SPACE[1], 0, 0, 0)  # the style sheet's padding stops at its frame
        self._refusal = label("", "bad", self, wrap=True)
        self._time = label("", "secondary", self, wrap=True)
        self._start = Button("Start training", self, primary=True)
        cancel = Button("Cancel", self)
        self._scroll = QScrollArea(self)
        self._scroll.setWidgetResizable(True)
        self._scroll.setAccessibleName("Settings")
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        foot = QHBoxLayout()
        foot.addWidget(self._time, 1)
        foot.addWidget(cancel)
        foot.addWidget(self._start)
        column = QVBoxLayout(self)
        column.setContentsMargins(*4 * (theme.SPACE[4],))
        column.setSpacing(theme.SPACE[2])
        column.addWidget(label(self.windowTitle(), "title", self))
        column.addLayout(self._choices())
        column.addWidget(self._line)
        column.addWidget(self._scroll, 1)
        column.addWidget(self._refusal)
        column.addLayout(foot)
        look = theme.current()
        self.resize(
            min(look.px(680), self._window.width() - 40), min(look.px(760), max(420, self._window.height() - 60))
        )
        self._system.currentIndexChanged.connect(self._system_chosen)
        self._source.activated.connect(self._data_chosen)
        self._kept.editingFinished.connect(self._kept_changed)
        self._start.clicked.connect(self._go)
        cancel.clicked.connect(self.reject)

    def _choices(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.SPACE[3])
        grid.setVerticalSpacing(theme.SPACE[0])
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        pairs = ((0, 0, "System", self._system), (0, 1, "Data", self._source))
        for row, column, words, editor in (*pairs, (3, 0, "Name", self._name), (3, 1, "Seed", self._seed)):
            grid.addWidget(label(words, "section", self), row, column)
            grid.addWidget(editor, row + 1, column)
        grid.addWidget(self._system_words, 2, 0, Qt.AlignmentFlag.AlignTop)
        beneath = QVBoxLayout()
        beneath.addWidget(self._data_words)
        beneath.addWidget(self._kept)
        beneath.addWidget(self._report)
        beneath.addStretch()
        grid.addLayout(beneath, 2, 1)
        return grid

    # -- filling -----------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Once the worker has said which systems there are."""
        shelf = self._window.shelf
        self._start.setEnabled(bool(shelf.systems))
        if not shelf.systems:
            return
        self._poll.stop()
        self._systems = dict(shelf.systems)
        self._system.blockSignals(True)
        for name, card in self._systems.items():
            self._system.addItem(card.title, name)
        self._system.setCurrentIndex(max(0, self._system.findData(self._first_system())))
        self._system.blockSignals(False)
        self._name.setText(str(self._wanted.get("name", "")))
        self._seed.setValue(int(self._wanted.get("seed", 0) or 0))
        self._system_chosen()

    def _first_system(self) -> str:
        """The one that is asked for, else one that can take the data, of one modality or of several."""
        if self._wanted.get("system"):
            return str(self._wanted["system"])
        several = str(self._wanted.get("data", "")).startswith("table:")
        takes_all = (name for name, card in self._systems.items() if card.least > 1 and not card.requires)
        return next(takes_all, FIRST_SYSTEM) if several else FIRST_SYSTEM

    def _system_chosen(self) -> None:
        card = self._systems.get(str(self._system.currentData()))
        if card is None:
            return
        self._system_words.setText(card.summary)
        self._list_data(card)
        self._show_forms(card)
        if not self._wanted.get("name"):
            self._name.setPlaceholderText(f"{card.name} {len(self._window.runs) + 1}")

    def _list_data(self, card: SystemCard) -> None:
        wanted = str(self._source.currentData() or self._wanted.get("data", ""))
        base, mark, kept = wanted.rpartition(KEPT)
        if mark and base in self._data:
            wanted = base
            self._kept.setText(kept)
        self._source.clear()
        for name, data in self._data.items():
            if card.chosen(data.modalities):
                self._source.addItem(data.title, name)
        if "image" in card.modality_kinds:
            self._source.addItem("A folder of pictures …", FOLDER)
        self._source.addItem("An npz or npy file …", FILE)
        if card.least > 1 or card.requires:
            self._source.addItem("A table with pictures (CSV) …", TABLE)
        if wanted.startswith(("folder:", "file:", "table:")) and wanted not in self._data:
            self._read(wanted)
        place = self._source.findData(wanted)
        self._source.setCurrentIndex(place if place >= 0 else max(0, self._source.findData(FIRST_DATA)))
        self._show_data()
        if self._data_name() not in self._data and self._data_name() != wanted:
            self._kept_changed()

    def _show_forms(self, card: SystemCard) -> None:
        page = QWidget(self._scroll)
        page.setObjectName("scrolled")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, theme.SPACE[2], 0)
        self._model = Form(card.fields, page, under="Model")
        self._training = Form(self._window.shelf.training, page)
        for title, form, values in (("Model", self._model, "config"), ("Training", self._training, "training")):
            column.addWidget(label(title, "heading", page))
            column.addWidget(form)
            column.addSpacing(theme.SPACE[2])
            known = {k: v for k, v in dict(self._wanted.get(values, {})).items() if k in form.names()}
            # Settings of one system may share names with another's and mean something else there.
            if values == "config" and self._wanted.get("system", card.name) != card.name:
                known = {}
            if known:
                form.set_values(known)
            form.changed.connect(self._judge)
        column.addStretch()
        self._scroll.setWidget(page)
        self._judge()

    def _data_chosen(self) -> None:
        chosen = str(self._source.currentData())
        if chosen == FOLDER:
            choosing.open_folder(self, "A folder of pictures", self._take_folder, self._take_none)
        elif chosen == FILE:
            choosing.open_file(self, "Arrays", ARRAY_FILES, self._take_file, self._take_none)
        elif chosen == TABLE:
            choosing.open_file(self, "A table with pictures", TABLE_FILES, self._take_table, self._take_none)
        else:
            self._show_data()

    def _take_folder(self, path: str) -> None:
        self._take(f"folder:{path}")

    def _take_file(self, path: str) -> None:
        self._take(f"file:{path}")

    def _take_table(self, path: str) -> None:
        self._take(f"table:{path}")

    def _take_none(self) -> None:
        self._take("")

    def _take(self, name: str) -> None:
        if name:
            self._read(name)
            self._source.setCurrentIndex(self._source.findData(name))
        else:
            self._source.setCurrentIndex(0)
        self._show_data()

    def _read(self, name: str) -> None:
        if self._source.findData(name) < 0:
            self._source.insertItem(0, Path(name.partition(":")[2]).name, name)
        self._data_words.setText("Reading …")
        self._asker(name, OpenData(name, count=1))

    def _data_name(self) -> str:
        """The data that are chosen, with what is kept of them."""
        base, kept = str(self._source.currentData()), self._kept.text().strip()
        return f"{base}{KEPT}{kept}" if kept and not self._kept.isHidden() else base

    def _kept_changed(self) -> None:
        name = self._data_name()
        if name not in self._data:
            self._data_words.setText("Reading …")
            self._start.setEnabled(False)
            self._asker(name, OpenData(name, count=1))
        else:
            self._show_data()

    def _offer_kept(self) -> None:
        """Several modalities may be incomplete: how much is kept of each can be said."""
        system = self._systems.get(str(self._system.currentData()))
        base = self._data.get(str(self._source.currentData()))
        several = system.chosen(base.modalities) if system is not None and base is not None else ()
        self._kept.setVisible(len(several) > 1)
        if len(several) > 1:
            label_of = next((m.name for m in several if m.kind == "label"), several[-1].name)
            self._kept.setPlaceholderText(f"All is kept for training; or for example {label_of}=10 or {label_of}=20%")
            self._kept.setToolTip(
                "What is kept of a modality for training: a number (of each class, for a label) or a share. The rest"
                f" is missing.\nModalities: {', '.join(m.name for m in several)}; several with commas between them."
            )

    def _show_data(self) -> None:
        self._offer_kept()
        data = self._data.get(self._data_name())
        if data is not None:
            names = {"train": "train", "valid": "validation", "test": "test"}
            parts = [f"{count:,} {names.get(split, split)}" for split, count in data.counts.items()]
            self._data_words.setText(" ".join(part for part in (data.summary, " · ".join(parts)) if part))
            self._data_words.setToolTip("\n".join(part for part in (data.changes, data.credit, data.licence) if part))
        report = self._reports.get(self._data_name(), ())
        more = f"\n… and {len(report) - MOST_REPORTED} more" if len(report) > MOST_REPORTED else ""
        self._report.setText("\n".join(report[:MOST_REPORTED]) + more)
        self._report.setVisible(bool(report))
        self._judge()

    def _judge(self) -> None:
        """Say what is refused, and how long it would take."""
        forms = [form for form in (self._model, self._training) if form is not None]
        refused = {name: why for form in forms for name, why in form.refusals().items()}
        known = self._data_name() in self._data
        self._refuse(next(iter(refused.values()), ""))
        self._start.setEnabled(bool(self._systems) and known and not refused)
        self._time.setText("" if refused else self._time_words())

    def _time_words(self) -> str:
        steps = self._steps()
        speed = self._window.speeds.get(str(self._system.currentData()))
        if not steps:
            return ""
        if speed is None:
            return "How long it takes is known after the first steps."
        return f"About {duration(steps / speed)} at the {speed:,.0f} steps/s of the last run of this system."

    def _steps(self) -> int:
        if self._training is None or self._training.refusals():
            return 0
        return int(self._training.values().get("steps", 0) or 0)

    def _refuse(self, words: str) -> None:
        self._refusal.setText(words)
        self._refusal.setVisible(bool(words))

    def _go(self) -> None:
        system = self._systems[str(self._system.currentData())]
        if self._model is None or self._training is None:
            return
        try:
            config, training = self._model.values(), self._training.values()
        except FormError as error:
            self._refuse(str(error))
            return
        name = self._name.text().strip() or self._name.placeholderText()
        data = self._data_name()
        request = Train(
            run=str(runs.new_run_folder(name)),
            system=system.name,
            data=data,
            config=config,
            training=training,
            seed=self._seed.value(),
            parent=str(self._wanted.get("parent", "")),
            name=name,
        )
        card = provisional_card(request, system, self._data.get(data), self._steps())
        self.accept()
        self._window.start_run(request, card)
