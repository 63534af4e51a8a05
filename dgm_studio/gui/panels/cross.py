"""The cross-modal bench: a datum under every conditioning, the experts behind it, and what happens when they argue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dgm_studio.core.cards import Capability, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import CrossDatum, DescribeCross, ScoreCross
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Update
from dgm_studio.gui.panels.cross_conflict import OTHER, ConflictCard, ConflictPage
from dgm_studio.gui.panels.cross_conflict import TOPIC as CONFLICT
from dgm_studio.gui.panels.cross_editors import ImageEditor
from dgm_studio.gui.panels.cross_experts import TOPIC as EXPERTS
from dgm_studio.gui.panels.cross_experts import ExpertsPage, SharesCard
from dgm_studio.gui.panels.cross_fusing import FusingCard
from dgm_studio.gui.panels.cross_input import DrawsCard, GivenCard
from dgm_studio.gui.panels.cross_lessons import EXACT, MISTAKE, LessonsPage
from dgm_studio.gui.panels.cross_matrix import PIN, MatrixPage
from dgm_studio.gui.panels.cross_matrix import TOPIC as MATRIX
from dgm_studio.gui.panels.cross_numbers import COMPARED, OTHERWISE, NumbersCard, NumbersPage
from dgm_studio.gui.panels.cross_scores import WEIGHTS, ScoreCard, ScoresPage, WeightCard
from dgm_studio.gui.panels.cross_state import SECTIONS, Bench, sections_of
from dgm_studio.gui.panels.spec import JOB, Ask, Panel
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.railed import Pages as Pages
from dgm_studio.gui.widgets.railed import Railed
from dgm_studio.gui.widgets.railed import bare_scroll as bare_scroll

ABOUT = "about"
TITLES = {
    "matrix": "Conditionings",
    "experts": "Experts and joint",
    "conflict": "Who wins",
    "numbers": "Predicted and true",
    "scores": "Four criteria",
    "lessons": "Where the answer is known",
}
GIVEN = frozenset({"index", "split", "values", "missing"})
DRAWN = frozenset({"samples", "seed", "noise"})
FUSED = frozenset({"rule", "precision", "prior_expert"})
NUMBERED = frozenset({"number", "sources", "count", "otherwise"})
MOVING = frozenset(
    {"values", "precision", "samples", "otherwise", "count"}
)  # what a hand drags: nothing is laid out anew for it


class StatePart(Protocol):
    """A part of the panel that shows some of its state."""

    def show_state(self) -> None:
        """Show it as it is now."""


class CrossPanel(Panel):
    """Sections on one canvas; what is given and how it is fused in the side column."""

    name = "cross"
    title = "Cross-modal"
    icon = "link"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CROSSES})
    fast: ClassVar[frozenset[str]] = frozenset({MATRIX})
    summary = "One datum under every conditioning, the experts behind it, and who wins when they disagree"

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self.bench = Bench(card, ask, self)
        self._begun, self._kept = False, False
        self._sections = sections_of(card.modalities)
        self.frame = Railed(self._sections, TITLES, "Section of the bench", "Settings of the bench", self)
        self.sections = self.frame.sections
        self._synthetic = label("Synthetic", "live", self.frame.canvas)
        self._make_parts()
        self._lay_out()
        self._connect()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._show_state()

    @classmethod
    def fits(cls, card: ModelCard) -> bool:
        """At least two modalities."""
        return super().fits(card) and len(card.modalities) >= 2

    # -- building ------------------------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        bench, rail, canvas = self.bench, self.frame.rail, self.frame.canvas
        self.given, self.draws, self.fusing = GivenCard(bench, rail), DrawsCard(bench, rail), FusingCard(bench, rail)
        self.shares, self.argument = SharesCard(bench, rail), ConflictCard(bench, rail)
        self.scoring, self.weighing = ScoreCard(bench, rail), WeightCard(rail)
        self.matrix = MatrixPage(bench, canvas)
        self.experts = ExpertsPage(bench, self.shares, canvas)
        self.conflict = ConflictPage(bench, self.argument, canvas)
        self.scores = ScoresPage(bench, self.scoring, self.weighing, canvas)
        self.lessons = LessonsPage(bench, canvas)
        self.numbers: NumbersPage | None = None
        if "numbers" in self._sections:
            self.numbering = NumbersCard(bench, rail)
            self.numbers = NumbersPage(bench, self.numbering, canvas)
        self._pages: dict[str, QWidget] = {
            "matrix": self.matrix,
            "experts": self.experts,
            "conflict": self.conflict,
            "scores": self.scores,
            "lessons": self.lessons,
        }
        self._cards: dict[QWidget, frozenset[str]] = {
            self.argument: frozenset({"conflict"}),
            self.scoring: frozenset({"scores"}),
            self.weighing: frozenset({"scores"}),
            self.shares: frozenset({"experts"}),
            **({} if self.numbers is None else {self.numbering: frozenset({"numbers"})}),
            self.given: frozenset({"matrix", "experts", "conflict", "numbers", "scores"}),
            self.fusing: frozenset({"matrix", "experts", "scores"}),
            self.draws: frozenset({"matrix"}),
        }
        if self.numbers is not None:
            self._pages["numbers"] = self.numbers

    def _lay_out(self) -> None:
        self.frame.canvas.add_left(self._synthetic)
        self._synthetic.hide()
        self.frame.add_pages(self._pages)
        self.frame.add_cards(self._cards)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)

    def _connect(self) -> None:
        bench = self.bench
        bench.changed.connect(self._on_changed)
        bench.committed.connect(self.committed)
        self.frame.chosen.connect(self._on_section)
        self.matrix.example_known.connect(self._on_example)
        for name, page in self._pages.items():
            if hasattr(page, "told"):
                page.told.connect(lambda words, name=name: self.frame.tell(name, words))
        if self.studio is not None:
            for part in self.given.parts.values():
                if isinstance(part.editor, ImageEditor):
                    part.editor.canvas.refused.connect(self.studio.tell)
        table = self.matrix.table
        table.stepped.connect(self.given.step)
        table.toggled.connect(self._toggle_missing)

    # -- the panel's contract ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for the matrix, and for what the bench can show of this model."""
        self._begun = True
        self._ask_section()
        self.ask(ABOUT, DescribeCross(self.card.key))

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot: the same questions of other weights."""
        super().set_card(card)
        self.bench.card = card
        for page in (self.matrix, self.experts, self.conflict, self.numbers):
            if page is not None:
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
        taken = bench.state.taking(state, bench.modalities)
        bench.set(**{name: getattr(taken, name) for name in taken.__dataclass_fields__})
        self._show_state()
        if self._begun:
            self._ask_section()

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """The matrix of a datum is shown here."""
        if not isinstance(request, CrossDatum):
            return None
        given, fusing = request.given, request.fusing
        return {
            "section": "matrix",
            "index": given.index,
            "split": given.split,
            "values": given.values,
            "missing": given.missing,
            "rows": request.rows,
            "samples": request.samples,
            "seed": request.seed,
            "noise": request.noise,
            "rule": fusing.rule,
            "precision": fusing.precision,
            "prior_expert": fusing.prior_expert,
        }

    def shown(self) -> CrossDatum:
        """The matrix of the datum."""
        return self.bench.state.question(self.card.key)

    def take_file(self, path: str) -> bool:
        """A picture file becomes the value of the first image."""
        editors = [part.editor for part in self.given.parts.values()]
        canvas = next((editor.canvas for editor in editors if isinstance(editor, ImageEditor)), None)
        if canvas is None:
            return False
        canvas.load(path)
        return True

    def hears(self, ticket: Ticket) -> bool:
        """Scores of this model that were begun before the panel was closed and opened again."""
        return isinstance(ticket.request, ScoreCross) and ticket.request.model == self.card.key

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Hand an update to the part that asked."""
        if topic == JOB:
            self.scores.receive_job(update, ticket)
            return
        if topic == MATRIX and isinstance(update, Frame | Failed):
            self.busy.emit(False)
        if isinstance(update, Cancelled) and topic != COMPARED:
            return
        if topic == ABOUT:
            self._receive_about(update)
        elif topic == MATRIX or topic.startswith(PIN):
            self.matrix.receive(topic, update, ticket)
        elif topic == EXPERTS:
            self.experts.receive(topic, update, ticket)
        elif topic in (CONFLICT, OTHER):
            self.conflict.receive(topic, update, ticket)
        elif topic in (COMPARED, OTHERWISE) and self.numbers is not None:
            self.numbers.receive(topic, update, ticket)
        elif topic == WEIGHTS:
            self.scores.receive(topic, update, ticket)
        elif topic in (EXACT, MISTAKE):
            self.lessons.receive(topic, update, ticket)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _receive_about(self, update: Update) -> None:
        if isinstance(update, Frame):
            self.bench.about = update.data
            self._synthetic.setVisible(bool(update.data.get("synthetic")))
            self._show_state()
            self.ready()
        elif isinstance(update, Failed):
            self.given.setToolTip(update.told())

    def _on_example(self) -> None:
        self.given.show_state()
        if self.bench.state.section == "conflict":
            self.conflict.show_state()

    def _on_changed(self, names: str) -> None:
        changed = set(names.split())
        self._show_state(changed)
        if not self._begun:
            return
        if changed & GIVEN and self.bench.state.section != "matrix":
            self._ask_matrix()  # the editors show its values
        if changed - {"pins", "wrong"}:
            self._ask_section()

    def _ask_section(self) -> None:
        section = self._section()
        if section == "experts":
            self.experts.ask()
        elif section == "conflict":
            self.conflict.ask()
        elif section == "numbers" and self.numbers is not None:
            self.numbers.ask()
        if section == "matrix" or not self.bench.example:
            self._ask_matrix()

    def _ask_matrix(self) -> None:
        if not self.matrix.current():
            self.busy.emit(True)
            self.matrix.ask()

    def _on_section(self, name: str) -> None:
        self.bench.set(f"Show {SECTIONS[name].lower()}", section=name)

    def _show_state(self, changed: set[str] | None = None) -> None:
        """Show what has changed of the state, all of it by default: a hand that drags waits for nothing else."""
        section = self._section()
        whole = changed is None or "section" in changed
        if whole:
            self._show_section(section)
        parts: list[tuple[StatePart, frozenset[str]]] = [
            (self.given, GIVEN),
            (self.draws, DRAWN),
            (self.fusing, FUSED | {"missing"}),
            (self.matrix, GIVEN | {"rows", "pins"}),
            (self.lessons.wrong, frozenset({"wrong"})),
        ]
        for part, shows in parts:
            if changed is None or whole or changed & shows:
                part.show_state()
        if self.numbers is not None and (whole or changed is None or changed & (NUMBERED | {"index", "split"})):
            self.numbers.show_state()
        for name, page in (("experts", self.experts), ("conflict", self.conflict)):
            if whole or section == name:
                page.show_state()
        if self.frame.under() and not (changed and changed <= MOVING):
            self.frame.arrange()

    def _section(self) -> str:
        """What is in sight: of a stored section that this model lacks, the first."""
        return self.bench.state.section if self.bench.state.section in self._sections else "matrix"

    def _show_section(self, section: str) -> None:
        """The page, and the cards that belong to it."""
        self.frame.show_section(section)
        above = section == "experts"  # where the hand is at the sliders
        self.frame.put_before(*((self.fusing, self.given) if above else (self.given, self.fusing)))

    def _toggle_missing(self, place: int) -> None:
        if 0 <= place < len(self.bench.modalities):
            name = self.bench.modalities[place].name
            self.bench.set_missing(name, name not in self.bench.state.missing)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right change the example, digits mark a modality as missing, R draws anew."""
        key = Qt.Key(event.key())
        digit = event.key() - Qt.Key.Key_1
        if event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier):
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.given.step(1 if key == Qt.Key.Key_Right else -1)
        elif 0 <= digit < len(self.bench.modalities):
            self._toggle_missing(digit)
        elif key == Qt.Key.Key_R:
            self.draws.reroll()
        else:
            super().keyPressEvent(event)
