"""What a panel is: a widget that turns what the hand does into requests, and updates into pictures.

A panel is built from a card and a function that asks; it never touches a model, a thread or a file. So it can be tested
with a fake `ask`, undone, replayed from a recipe and shown twice side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from dgm_studio.core.cards import Capability, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.studio import Studio
from dgm_studio.core.updates import Update
from dgm_studio.gui.widgets.transport import Transport

JOB = "job"


class Ask(Protocol):
    """How a panel asks. The host puts the panel's own name before the topic, so two panels never share a slot."""

    def __call__(self, topic: str, request: Any) -> Ticket:
        """Ask in the interactive lane: a newer request of the same topic replaces a waiting one."""
        ...

    def job(self, request: Any, name: str) -> Ticket:
        """Append a job to the batch lane; its updates come back with the topic `JOB`."""
        ...

    def cancel(self, topic: str) -> None:
        """Drop the request of a topic; a running one is closed at its next yield."""
        ...

    def stop(self, ticket: Ticket) -> None:
        """Stop a job of one's own."""
        ...


class Panel(QWidget):
    """One way of looking at a model.

    A subclass names itself and what it needs, asks in reaction to its own widgets, and shows what `receive` brings.

    Args:
        card: The model shown.
        ask: How to ask the worker.
        studio: The window's state, for wishes that leave the panel (`studio.fork(...)`); None in tests.
        parent: Owner.
    """

    name: ClassVar[str]
    """Stable name, also in sessions, recipes and `dgm-studio shot` ("latent")."""
    title: ClassVar[str]
    """Name of the tab ("Latent space")."""
    icon: ClassVar[str] = "grid"
    """Name of an icon of `gui.icons`."""
    needs: ClassVar[frozenset[Capability]] = frozenset()
    """Capabilities without which the panel is not offered."""
    fast: ClassVar[frozenset[str]] = frozenset({"decoded"})
    """Topics asked while the hand moves; their time from input to pixel is measured."""
    summary: ClassVar[str] = ""
    """One sentence on what it shows, for the command palette and tooltips."""

    committed = Signal(str)
    """A gesture has ended ("Move z03"): the window pushes an undo step from the last state to this one."""
    busy = Signal(bool)
    """Whether something is waited for."""

    def __init__(self, card: ModelCard, ask: Ask, studio: Studio | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.card = card
        self.ask = ask
        self.studio = studio
        self.setObjectName(f"panel-{self.name}")
        self.setAccessibleName(self.title)

    @classmethod
    def fits(cls, card: ModelCard) -> bool:
        """Whether the panel can show this model: by capability; a subclass may look at sizes and modalities too."""
        return cls.needs <= card.capabilities

    def begin(self) -> None:
        """Ask the first questions. Called once, when the panel is first seen; then `restore`, if a state was kept."""

    def ready(self) -> None:
        """Call when the first answers are in and `state()` is complete: undo goes back to here at the earliest."""
        if self.studio is not None:
            self.studio.keep(self.card.key, self.name, self.state())

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Show an update to one of the panel's questions. On the GUI thread.

        Args:
            topic: The topic it was asked with; `JOB` for jobs.
            update: What has come.
            ticket: The question it answers.
        """

    def settle(self) -> None:
        """Called once after a batch of updates was received: the place to redraw what gathers many of them."""

    def hears(self, ticket: Ticket) -> bool:
        """Whether the updates of this job, which somebody else started, concern the panel too (topic `JOB`)."""
        return False

    def set_card(self, card: ModelCard) -> None:
        """Look at another snapshot or a newer step of the same model: keep the state, ask again."""
        self.card = card

    def follow(self, card: ModelCard) -> None:
        """The run trains on: look at its newest weights, if that is cheap; `set_card` comes at the next checkpoint.

        Called at a pace that leaves training its time; not called for panels that hear the run's job.
        """

    def play(self) -> bool:
        """Play what can be played; False while there is nothing yet."""
        transport = self.findChild(Transport)
        if transport is None or transport.count() < 2:
            return False
        if not transport.playing():
            transport.toggle()
        return True

    def comparison_changed(self) -> None:
        """The comparison set (`studio.comparison`) has changed."""

    def state(self) -> dict[str, Any]:
        """JSON-able: everything that undo, sessions, recipes and bookmarks need."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take on a state (of this or an older version: missing entries keep their value) and ask again."""

    @classmethod
    def state_of(cls, request: Any) -> dict[str, Any] | None:
        """The state in which the panel shows this request (a recipe without a panel); None when it never does."""
        return None

    def shown(self) -> Any | None:
        """The request whose answer is on the canvas, for export and *Copy as Python*; None when there is none."""
        return None

    def plot(self) -> QWidget | None:
        """The plot that is written as a drawing (.svg); None when the panel shows none."""
        return None

    def take_file(self, path: str) -> bool:
        """A picture file of the user's was dropped on the window; False when the panel has no use for it."""
        return False
