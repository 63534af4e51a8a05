"""What must be known of a run before anything else: that it failed and how to go on, or that it trains elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder, run_path
from dgm_studio.core.updates import Problem
from dgm_studio.gui import menus, theme
from dgm_studio.gui.widgets.chip import Mark
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

RUN = "run:"
READ_ONLY = "Read-only"


@dataclass(frozen=True)
class Notice:
    """One line above the panels.

    Args:
        level: "bad" or "warn".
        name: In a word.
        sentence: What happened.
        action: Words of the button, "" for none.
        training: The loop's settings that the button trains on with.
    """

    level: str
    name: str
    sentence: str
    action: str = ""
    training: dict[str, Any] = field(default_factory=dict)


def notice_of(card: ModelCard, *, trains_here: bool, unsaved: str = "") -> Notice | None:
    """What is to be said of a model, None when nothing is.

    Args:
        card: The model.
        trains_here: Whether a job of this window trains it.
        unsaved: Why what it trains cannot be saved, "" when it can.
    """
    base, _ = split_key(card.key)
    if unsaved:
        words = f"{unsaved} Make room before it is stopped: until then all that is new is in memory only."
        return Notice("bad", "Not saved", words)
    if not base.startswith(RUN) or trains_here:
        return None
    folder = RunFolder(run_path(base.removeprefix(RUN)))
    try:
        about = folder.read()
    except Problem:  # not begun yet, or gone: whoever asks for pictures says so
        return None
    if folder.locked():
        sentence = f"{card.name} is being trained by another process. Here it can be looked at and forked, not changed."
        return Notice("warn", READ_ONLY, sentence)
    failure = about.get("failure")
    if about.get("state") != "failed" or not isinstance(failure, dict):
        return None
    remedy = dict(failure.get("remedy") or {})
    words = f"{failure.get('sentence', 'The run failed.')} {failure.get('action', '')}".strip()
    return Notice("bad", "Stopped", words, _remedy_words(remedy), remedy)


def _remedy_words(remedy: dict[str, Any]) -> str:
    if "learning_rate" in remedy:
        return f"Go back with the rate {remedy['learning_rate']:.3g}"
    if "micro_batch" in remedy:
        return f"Go on with {remedy['micro_batch']} examples at once"
    return "Train on" if remedy else ""


class RunNotice(QFrame):
    """The line; hidden while there is nothing to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "card")
        self.setAccessibleName("Notice about the run")
        self._act: Callable[[], object] | None = None
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(theme.SPACE[3], theme.SPACE[1], theme.SPACE[2], theme.SPACE[1])
        self._row.setSpacing(theme.SPACE[2])
        self._mark: Mark | None = None
        self.words = label("", "", self, wrap=True)
        self.button = Button("", self)
        self._row.addWidget(self.words, 1)
        self._row.addWidget(self.button)
        self.button.clicked.connect(self._on_act)
        self.hide()

    def show_notice(self, notice: Notice | None, act: Callable[[], object] | None = None) -> None:
        """Say it, None for nothing.

        Args:
            notice: What to say.
            act: Done by the button.
        """
        self.setVisible(notice is not None)
        self._act = act
        if self._mark is not None:
            self._row.removeWidget(self._mark)
            self._mark.deleteLater()
            self._mark = None
        if notice is None:
            return
        mild = "lock" if notice.name == READ_ONLY else "warning"
        icon, token = ("error", "bad") if notice.level == "bad" else (mild, "live")
        self._mark = Mark(notice.name, icon, self, token=token)
        self._row.insertWidget(0, self._mark, 0, Qt.AlignmentFlag.AlignVCenter)
        self.words.setText(notice.sentence)
        self.setAccessibleDescription(notice.sentence)
        self.button.setText(notice.action)
        self.button.setVisible(bool(notice.action))

    def _on_act(self) -> None:
        if self._act is not None:
            self._act()


def show_for(window: StudioWindow) -> None:
    """Say above the panels what is to be known of the model that is looked at."""
    card = window.studio.card
    here = card is not None and menus.trains(window, card)
    notice = window.following.own_data.notice(None if here else card)
    if card is not None:
        notice = notice_of(card, trains_here=here, unsaved=window.following.unsaved(card.key)) or notice
    act = partial(_go_on, window, card, notice.training) if card is not None and notice is not None else None
    window.centre.notice.show_notice(notice, act)


def _go_on(window: StudioWindow, card: ModelCard, training: dict[str, Any]) -> None:
    """Train on from the last good state with other settings."""
    for job in window.bridge.engine.jobs():  # the failed attempt: trying it again would fail again
        asked = job.ticket.request
        if isinstance(asked, Train) and f"{RUN}{asked.run}" == split_key(card.key)[0] and job.state == "failed":
            window.bridge.engine.forget(job.ticket)
    base, _ = split_key(card.key)
    window.start_run(Train(base.removeprefix(RUN), training=training, name=card.name), card)
    show_for(window)
