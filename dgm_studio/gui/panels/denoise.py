"""Denoising as a film: played, scrubbed, branched; races of samplers, schedules and guidance beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol, cast

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dgm_studio.core.cards import Capability, ModelCard, as_json
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import DescribeDenoiser, PlayDenoising
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Cancelled, Failed, Frame, Update
from dgm_studio.gui.panels.denoise_beginning import BeginningCard
from dgm_studio.gui.panels.denoise_controls import ConditionCard, DrawsCard, SamplingCard
from dgm_studio.gui.panels.denoise_guidance import GuidancePage
from dgm_studio.gui.panels.denoise_plane import PlanePage
from dgm_studio.gui.panels.denoise_playback import FILM, FilmPage
from dgm_studio.gui.panels.denoise_race import RacePage
from dgm_studio.gui.panels.denoise_schedule import SchedulePage
from dgm_studio.gui.panels.denoise_state import END, SECTIONS, Stage, takes_of
from dgm_studio.gui.panels.spec import JOB, Ask, Panel
from dgm_studio.gui.widgets.railed import Railed

ABOUT = "about"


class CommonCard(Protocol):
    """A card of the rail that several sections use."""

    def show_state(self) -> None:
        """Show the stage."""
        ...

    def useful(self) -> bool:
        """Whether this model has any use for it."""
        ...


class Page(Protocol):
    """What every page has; see `denoise_state`."""

    cards: Sequence[QWidget]
    common: frozenset[str]

    def begin(self) -> None:
        """Ask what the page opens with."""
        ...

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Take an update to a question of the page's."""
        ...

    def show_state(self) -> None:
        """Show the stage."""
        ...

    def forget(self) -> None:
        """Other weights."""
        ...


# Every section and its page; a page says itself which of the panel's cards it wants in the rail.
PAGES: dict[str, Callable[[Stage, QWidget], QWidget]] = {
    "film": FilmPage,
    "race": RacePage,
    "schedule": SchedulePage,
    "plane": PlanePage,
    "guidance": GuidancePage,
}


def sections_of(card: ModelCard) -> tuple[str, ...]:
    """The sections that make sense for a model: the plane for planar data only, guidance for conditional models."""
    planar = card.image() is None
    conditional = len(card.modalities) > 1
    hidden = {"plane": not planar, "guidance": not conditional or planar}
    return tuple(name for name in SECTIONS if name in PAGES and not hidden.get(name, False))


class DenoisingPanel(Panel):
    """Sections on one canvas; how the trajectories are made in the side column."""

    name = "denoise"
    title = "Denoising"
    icon = "film"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DENOISES})
    fast: ClassVar[frozenset[str]] = frozenset({FILM})
    summary = "Play, scrub and branch the way from noise to data; race samplers; edit schedules"

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(card, ask, studio, parent)
        self.stage = Stage(card, ask, self)
        self._begun: set[str] = set()
        self._started = False
        self._names = sections_of(card)
        sections = {name: SECTIONS[name] for name in self._names}
        self.railed = Railed(sections, _TITLES, self.title, "Settings of the trajectories", self)
        self._make_parts()
        self._lay_out()
        self._connect()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._show_state()

    # -- building ------------------------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        stage, rail = self.stage, self.railed.rail
        self.sampling, self.draws = SamplingCard(stage, rail), DrawsCard(stage, rail)
        self.condition, self.beginning = ConditionCard(stage, rail), BeginningCard(stage, rail)
        self._common: dict[str, CommonCard] = {
            "condition": self.condition,
            "sampling": self.sampling,
            "draws": self.draws,
            "beginning": self.beginning,
        }
        self._pages = {name: PAGES[name](stage, self.railed.canvas) for name in self._names}
        self.film = cast(FilmPage, self._pages["film"])
        for page in self._pages.values():
            if hasattr(page, "set_studio"):
                page.set_studio(self.studio)

    def page(self, section: str) -> Page:
        """A section's page."""
        return cast(Page, self._pages[section])

    def _lay_out(self) -> None:
        cards: dict[QWidget, frozenset[str]] = {}
        for name in self._names:
            cards |= dict.fromkeys(self.page(name).cards, frozenset({name}))
        for kind, card in self._common.items():
            wanting = frozenset(name for name in self._names if kind in self.page(name).common)
            cards[cast(QWidget, card)] = wanting
        cards[self.film.compared] = frozenset({"film"})
        self.railed.add_pages(self._pages)
        self.railed.add_cards(cards)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.railed)

    def _connect(self) -> None:
        self.stage.changed.connect(self._on_changed)
        self.stage.committed.connect(self.committed)
        self.railed.chosen.connect(self._on_section)
        self.beginning.sampled.connect(self._on_sampled)
        self.film.retried.connect(self._describe)
        for name, page in self._pages.items():
            if hasattr(page, "told"):
                page.told.connect(partial(self.railed.tell, name))

    # -- the panel's contract ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask what the model can be asked, and open the section in sight."""
        self._started = True
        self._describe()

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot: the same noise and settings through other weights.

        A run that trains gets a new card with every snapshot that it saves; its newest weights are what `follow` shows,
        at a pace at which films and particles can be completed.
        """
        same = card.live and self.card.live and card.key == self.card.key
        super().set_card(card)
        self.stage.card = card
        if same:
            return
        for name in self._names:
            self.page(name).forget()
        if self._started:
            self._describe()
        if self.stage.about:
            self._show_state()

    def follow(self, card: ModelCard) -> None:
        """The newest weights: only what is in sight, and only when the last film is complete."""
        if not self.film.recording():
            self.card = self.stage.card = card
            self.page(self.section()).forget()
            self._show_state()

    def comparison_changed(self) -> None:
        """Other checkpoints can stand beside this one."""
        self.film.show_state()

    def state(self) -> dict[str, Any]:
        """Everything that brings the panel back to here."""
        return self.stage.state.to_json()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take on a state and ask again."""
        taken = self.stage.state.taking(state)
        self.stage.set(**{name: getattr(taken, name) for name in taken.__dataclass_fields__})

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """A film is shown here, and what the other pages ask."""
        if isinstance(request, PlayDenoising):
            takes = takes_of(request)
            return {
                "section": "film",
                "takes": as_json(takes),
                "selected": takes[-1].key,
                "count": request.count,
                "step": END,
                "own": True,
            }
        for name, page in PAGES.items():
            found = page.state_of(request) if hasattr(page, "state_of") else None
            if found is not None:
                return {"section": name, "pages": {name: found}}
        return None

    def shown(self) -> Any | None:
        """What the section in sight shows."""
        page = self._pages[self.section()]
        return page.shown() if hasattr(page, "shown") else None

    def plot(self) -> QWidget | None:
        """The section's plot."""
        page = self._pages[self.section()]
        return page.plot() if hasattr(page, "plot") else None

    def play(self) -> bool:
        """Play the film."""
        return self.film.play()

    def take_file(self, path: str) -> bool:
        """A picture file becomes what the trajectory begins with."""
        return self.beginning.load(path)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Hand an update to the part that asked."""
        if topic == JOB:
            for name in self._names:
                self.page(name).receive(topic, update, ticket)
            return
        if topic == ABOUT:
            self._receive_about(update, ticket)
            return
        owner = topic.partition("/")[0]
        if owner in self._common:
            self.beginning.receive(topic, update, ticket)
        elif owner in self._pages:
            self.page(owner).receive(topic, update, ticket)
            if owner == "film" and not isinstance(update, Cancelled):
                self.busy.emit(self.film.recording())

    def settle(self) -> None:
        """A batch of updates is over."""
        for page in self._pages.values():
            if hasattr(page, "settle"):
                page.settle()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        self.busy.emit(True)
        self.ask(ABOUT, DescribeDenoiser(self.card.key))

    def section(self) -> str:
        """The section in sight; one that this model has none of is the film."""
        return self.stage.state.section if self.stage.state.section in self._names else "film"

    def _receive_about(self, update: Update, ticket: Ticket) -> None:
        if isinstance(update, Failed):
            self.busy.emit(False)
            self.film.show_failed(update)
        elif isinstance(update, Frame) and ticket.request.model == self.card.key:
            first = not self.stage.about
            self.stage.set_about(update.data)
            self._show_state()
            if first:
                self.ready()

    def _on_changed(self, names: str) -> None:
        if names == "step":  # sixty times a second
            self.film.show_frame()
        else:
            self._show_state()

    def _on_sampled(self) -> None:
        """The enlarged sample becomes the picture that the next film begins with."""
        picture = self.film.result()
        if picture is not None:
            self.beginning.take_picture(picture)

    def _on_section(self, name: str) -> None:
        self.stage.set(f"Show {SECTIONS[name].lower()}", section=name)

    def _show_state(self) -> None:
        section = self.section()
        self.railed.show_section(section)
        for common in self._common.values():
            common.show_state()
            if not common.useful():
                cast(QWidget, common).hide()
        for name in self._names:
            self.page(name).show_state()
        if self.stage.about and section not in self._begun:
            self._begun.add(section)
            self.page(section).begin()
        if self.railed.under():
            self.railed.arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The section's keys; those of a video player for the film."""
        page = self._pages[self.section()]
        plain = not event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        if not (plain and hasattr(page, "take_key") and page.take_key(event.key())):
            super().keyPressEvent(event)


_TITLES = {
    "film": "From noise to data",
    "race": "Race of samplers",
    "schedule": "Noise schedule",
    "plane": "Particles in the plane",
    "guidance": "Guidance and steps",
}
