"""The classifier page: which class by which classifier, attacks, outliers, how many labels it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dgm_studio.core.cards import Capability, DataCard, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import AttackPicture, AttributeClass, ClassifyDatum, DrawClassGrid, OpenData
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Result, Update
from dgm_studio.gui.panels.classify_attack import ATTACK, AttackCard, AttackPage
from dgm_studio.gui.panels.classify_jobs import JobPage, LabelsPage, RobustnessPage
from dgm_studio.gui.panels.classify_outliers import OutliersPage
from dgm_studio.gui.panels.classify_page import CLASSES, GRID, BalanceCard, ClassifyPage, PictureCard, ReadingCard
from dgm_studio.gui.panels.classify_reasons import REASONS, ReasonCard, ReasonsPage
from dgm_studio.gui.panels.classify_state import SECTIONS, ClassBench, picture_and_label
from dgm_studio.gui.panels.spec import JOB, Ask, Panel
from dgm_studio.gui.widgets.railed import Railed

DATA = "data"
TITLES = {
    "classify": "Which class it is",
    "reasons": "Why it is that",
    "attack": "What fools it",
    "outliers": "What does not belong",
    "labels": "How many labels it takes",
    "robustness": "Accuracy under attack",
}
READ = frozenset({"index", "split", "values", "samples", "seed", "styles"})
ATTACKED = frozenset({"index", "split", "values", "seed", "epsilon", "method", "steps", "restarts", "draws"})


class ClassifyPanel(Panel):
    """Sections on one canvas; the picture and the settings in the side column."""

    name = "classify"
    title = "Classify"
    icon = "tag"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CLASSIFIES})
    fast: ClassVar[frozenset[str]] = frozenset({CLASSES, ATTACK})
    summary = "Which class a picture belongs to by every classifier, what fools them, and what does not belong"

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self.bench = ClassBench(card, ask, self)
        self._begun, self._ready = False, False
        self.frame = Railed(SECTIONS, TITLES, "Section of the page", "Settings of the page", self)
        self.sections = self.frame.sections
        self._make_parts()
        self.bench.state = replace(self.bench.state, jobs=self._job_settings())
        self._lay_out()
        self._connect()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._show_state()

    @classmethod
    def fits(cls, card: ModelCard) -> bool:
        """Pictures and a label."""
        return super().fits(card) and None not in picture_and_label(card)

    # -- building ------------------------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        bench, rail, canvas = self.bench, self.frame.rail, self.frame.canvas
        self.picture, self.reading = PictureCard(bench, rail), ReadingCard(bench, rail)
        self.attacking = AttackCard(bench, rail)
        self.balance = BalanceCard(bench, self.studio, rail)
        self.classify = ClassifyPage(bench, canvas)
        self.reasoning = ReasonCard(bench, rail)
        self.reasons = ReasonsPage(bench, canvas)
        self.attack = AttackPage(bench, self.attacking, canvas)
        self.outliers = OutliersPage(bench, canvas, rail)
        self.labels = LabelsPage(bench, canvas, rail)
        self.robustness = RobustnessPage(bench, canvas, rail)
        self._pages: dict[str, ClassifyPage | ReasonsPage | AttackPage | JobPage] = {
            "classify": self.classify,
            "reasons": self.reasons,
            "attack": self.attack,
            "outliers": self.outliers,
            "labels": self.labels,
            "robustness": self.robustness,
        }
        self._jobs: tuple[JobPage, ...] = (self.outliers, self.labels, self.robustness)
        self._cards: dict[QWidget, frozenset[str]] = {
            self.attacking: frozenset({"attack"}),
            self.picture: frozenset({"classify", "reasons", "attack"}),
            self.reasoning: frozenset({"reasons"}),
            self.reading: frozenset({"classify"}),
            **{page.settings: frozenset({name}) for name, page in self._pages.items() if isinstance(page, JobPage)},
            self.balance: frozenset({"classify", "labels"}) if self.balance.fits() else frozenset(),
        }

    def _lay_out(self) -> None:
        self.frame.add_pages(self._pages)
        self.frame.add_cards(self._cards)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)

    def _connect(self) -> None:
        self.bench.changed.connect(self._on_changed)
        self.bench.committed.connect(self.committed)
        self.frame.chosen.connect(self._on_section)
        self.classify.example_known.connect(self._on_example)
        for name, page in self._pages.items():
            page.told.connect(lambda words, name=name: self.frame.tell(name, words))
        for page in self._jobs:
            for slider in page.settings.sliders.values():
                slider.moved.connect(self._on_job_moved)
                slider.released.connect(self._on_job_set)

    # -- the panel's contract ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Classify the first picture, and ask how many there are."""
        self._begun = True
        self._ask_section()
        if self.card.data:
            self.ask(DATA, OpenData(self.card.data, count=1))

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot: the same questions of other weights."""
        super().set_card(card)
        self.bench.card = card
        for page in self._pages.values():
            page.forget()
        if self._begun:
            self._ask_section()

    def follow(self, card: ModelCard) -> None:
        """The newest weights: only what is in sight."""
        self.set_card(card)

    def state(self) -> dict[str, Any]:
        """Everything that brings the panel back to here."""
        return self.bench.state.to_json()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take on a state and ask again."""
        bench = self.bench
        taken = bench.state.taking(state, (bench.image, bench.label))
        bench.set(**{name: getattr(taken, name) for name in taken.__dataclass_fields__})
        self._show_state()
        if self._begun:
            self._ask_section()

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """A datum that is classified or attacked is shown here, and styles by classes."""
        if not isinstance(request, ClassifyDatum | DrawClassGrid | AttackPicture | AttributeClass):
            return None
        given = request.given
        found = {"section": "classify", "index": given.index, "split": given.split, "values": given.values}
        found["seed"] = request.seed
        if isinstance(request, DrawClassGrid):
            return found | {"styles": request.rows}
        if isinstance(request, AttributeClass):
            reasons = {"target": request.target, "points": request.steps, "baseline": request.baseline}
            return found | {"section": "reasons", "samples": request.samples} | reasons
        if isinstance(request, ClassifyDatum):
            return found | {"samples": request.samples}
        names = ("epsilon", "method", "steps", "restarts", "draws")
        return found | {"section": "attack"} | {name: getattr(request, name) for name in names}

    def shown(self) -> ClassifyDatum | DrawClassGrid | AttackPicture | AttributeClass:
        """The attack, the reasons; else the grid, which a picture file can hold; where there is none, the classes."""
        state, key = self.bench.state, self.card.key
        if state.section == "attack":
            return state.attack(key)
        if state.section == "reasons":
            return state.reasons(key)
        return state.grid(key) if self.classify.grid_shown else state.classes(key)

    def hears(self, ticket: Ticket) -> bool:
        """Scores of this model that were begun before the panel was closed and opened again."""
        asked = ticket.request
        return any(isinstance(asked, page.asks) and page.concerns(asked) for page in self._jobs)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Hand an update to the part that asked."""
        if topic == JOB:
            for page in self._jobs:
                if isinstance(ticket.request, page.asks):
                    page.receive_job(update, ticket)
        elif topic == ATTACK:
            self.attack.receive(topic, update, ticket)
        elif isinstance(update, Cancelled):
            return
        elif topic == REASONS:
            self.reasons.receive(topic, update, ticket)
        elif topic in (CLASSES, GRID):
            self.classify.receive(topic, update, ticket)
            if topic == CLASSES and isinstance(update, Frame | Failed):
                self.busy.emit(False)
        elif topic == DATA and isinstance(update, Result) and isinstance(update.value, DataCard):
            counts = update.value.counts
            self.bench.about = {"counts": counts}
            self.labels.set_count(int(counts.get("train", 0)))
            self.picture.show_state()

    def take_file(self, path: str) -> bool:
        """A picture of the user's is classified, or attacked where the attack is in sight."""
        if self.bench.state.section not in ("classify", "reasons", "attack"):
            self.bench.set("Show classify", section="classify")
        self.picture.take_file(path)
        return True

    # -- inside --------------------------------------------------------------------------------------------------------

    def _on_example(self) -> None:
        self.picture.show_state()
        self.attack.show_truth()
        if not self._ready:
            self._ready = True
            self.ready()

    def _job_settings(self) -> dict[str, dict[str, int]]:
        """Of every job, by section and name."""
        pages = [(name, page) for name, page in self._pages.items() if isinstance(page, JobPage)]
        return {name: {key: page.settings.value(key) for key in page.settings.sliders} for name, page in pages}

    def _on_job_moved(self, _: float) -> None:
        self.bench.set(jobs=self._job_settings())

    def _on_job_set(self) -> None:
        self.bench.committed.emit(f"Set {SECTIONS[self.bench.state.section].lower()}")

    def _show_job_settings(self) -> None:
        for name, values in self.bench.state.jobs.items():
            page = self._pages.get(name)
            if isinstance(page, JobPage):
                for key, value in values.items():
                    if key in page.settings.sliders:
                        page.settings.sliders[key].set_value(value)
        self.labels.set_count(self.labels.count)

    def _on_changed(self, names: str) -> None:
        self._show_state()
        if self._begun:
            self._ask_section(set(names.split()))

    def _ask_section(self, changed: set[str] | None = None) -> None:
        """Ask what the section in sight shows; the attack needs the example's class, which the first page knows."""
        section = self.bench.state.section
        example = changed is None or bool(changed & {"index", "split"})
        datum = section in ("attack", "reasons")
        if section == "classify" or (datum and (example or not self.bench.example)):
            self.busy.emit(True)
            self.classify.ask()
        if section == "attack" and (changed is None or changed & (ATTACKED | {"section"})):
            self.attack.ask()
        if section == "reasons":
            self.reasons.ask()

    def _on_section(self, name: str) -> None:
        self.bench.set(f"Show {SECTIONS[name].lower()}", section=name)

    def _show_state(self) -> None:
        self.frame.show_section(self.bench.state.section)
        for part in (self.picture, self.reading, self.reasoning, self.attacking):
            part.show_state()
        if self.bench.state.jobs != self._job_settings():
            self._show_job_settings()
        if self.frame.under():
            self.frame.arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right change the example, R draws anew."""
        key = Qt.Key(event.key())
        if event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier):
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.picture.step(1 if key == Qt.Key.Key_Right else -1)
        elif key == Qt.Key.Key_R:
            self.reading.reroll()
        else:
            super().keyPressEvent(event)
