"""The window's state as plain values: open models, selection, comparison, undo, bookmarks, the session's journal."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgm_studio.core import atomic
from dgm_studio.core.cards import ModelCard, split_key

JOURNAL_VERSION = 1
JOURNAL_SECONDS = 10.0  # at most so much is lost in a crash
LARGEST_COMPARISON = 8
LONGEST_HISTORY = 200
LONGEST_RECENT = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One undoable gesture.

    Args:
        key: Model it was done on, without a snapshot.
        panel: The panel's name.
        name: What was done, for people ("Move z03").
        before: The panel's state before.
        after: The panel's state after.
    """

    key: str
    panel: str
    name: str
    before: dict[str, Any]
    after: dict[str, Any]


class History:
    """Undo and redo over the states of all panels."""

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    def push(self, step: Step) -> bool:
        """Take a step; False (and nothing kept) when it changed nothing. What was undone before is gone."""
        if step.before == step.after:
            return False
        self._done = [*self._done[-(LONGEST_HISTORY - 1) :], step]
        self._undone.clear()
        return True

    def undo(self) -> Step | None:
        """The step to take back: show its `before`."""
        if not self._done:
            return None
        step = self._done.pop()
        self._undone.append(step)
        return step

    def redo(self) -> Step | None:
        """The step to do again: show its `after`."""
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        return step

    @property
    def undo_name(self) -> str:
        """What undo would take back, "" when nothing."""
        return self._done[-1].name if self._done else ""

    @property
    def redo_name(self) -> str:
        """What redo would do again, "" when nothing."""
        return self._undone[-1].name if self._undone else ""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A place worth coming back to.

    Args:
        name: For people.
        key: Model key, with the snapshot's step when it was one.
        panel: The panel's name.
        state: The panel's state.
        picture: A small PNG.
    """

    name: str
    key: str
    panel: str
    state: dict[str, Any]
    picture: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Plain data; the picture in base 64."""
        picture = base64.b64encode(self.picture).decode("ascii")
        return {"name": self.name, "key": self.key, "panel": self.panel, "state": self.state, "picture": picture}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Bookmark:
        """The inverse of `to_json`.

        Raises:
            KeyError: An entry is missing.
            ValueError: The picture is not base 64.
        """
        picture = base64.b64decode(data.get("picture", ""), validate=True)
        return cls(str(data["name"]), str(data["key"]), str(data["panel"]), dict(data["state"]), picture)


@dataclass(frozen=True, slots=True)
class Wish:
    """Something a panel wants that only the window can do.

    Args:
        kind: "open", "new run", "fork", "compare", "export", "bookmark" or "tell".
        values: Its arguments, by name.
    """

    kind: str
    values: dict[str, Any]


class Studio:
    """What is open and looked at. Knows no widget; the window listens and draws.

    Args:
        grant: Does what a wish asks for; without one, wishes are kept in `wishes`.
    """

    def __init__(self, grant: Callable[[Wish], None] | None = None) -> None:
        self.cards: dict[str, ModelCard] = {}
        self.selection = ""
        self.comparison: list[str] = []
        self.states: dict[str, dict[str, dict[str, Any]]] = {}
        self.tabs: dict[str, str] = {}
        self.history = History()
        self.bookmarks: list[Bookmark] = []
        self.recent: list[str] = []
        self.wishes: list[Wish] = []
        self.grant: Callable[[Wish], None] = grant or self.wishes.append
        self._listeners: list[Callable[[str], None]] = []

    # -- listening -----------------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener(what)` after a change.

        what: "cards", "selection", "comparison", "history", "bookmarks" or "recent".
        """
        self._listeners.append(listener)

    def _tell(self, what: str) -> None:
        for listener in tuple(self._listeners):
            listener(what)

    # -- models --------------------------------------------------------------------------------------------------------

    @property
    def card(self) -> ModelCard | None:
        """The selected model, None at the start."""
        return self.cards.get(self.selection)

    def add(self, card: ModelCard) -> None:
        """Take a model in, or a newer state of one (by its key without the snapshot)."""
        base, _ = split_key(card.key)
        self.cards[base] = card
        self._tell("cards")

    def remove(self, key: str) -> None:
        """Take a model out everywhere."""
        base, _ = split_key(key)
        self.cards.pop(base, None)
        if base in self.comparison:
            self.comparison.remove(base)
            self._tell("comparison")
        if self.selection == base:
            self.select("")
        self._tell("cards")

    def select(self, key: str) -> None:
        """Look at a model that was added; "" goes back to the start page.

        Raises:
            KeyError: It was not added.
        """
        base, _ = split_key(key)
        if base and base not in self.cards:
            raise KeyError(base)
        if base != self.selection:
            self.selection = base
            self._tell("selection")

    def compare_toggle(self, key: str) -> bool:
        """Put a model into the comparison set, or take it out; whether it is in now. A full set drops its first."""
        base, _ = split_key(key)
        if base in self.comparison:
            self.comparison.remove(base)
        else:
            self.comparison = [*self.comparison[-(LARGEST_COMPARISON - 1) :], base]
        self._tell("comparison")
        return base in self.comparison

    def remember(self, path: str) -> None:
        """Note an opened file or folder as the most recent one."""
        self.recent = [path, *(p for p in self.recent if p != path)][:LONGEST_RECENT]
        self._tell("recent")

    # -- states --------------------------------------------------------------------------------------------------------

    def keep(self, key: str, panel: str, state: Mapping[str, Any]) -> None:
        """Keep a panel's state for the session and for the next time the model is looked at."""
        base, _ = split_key(key)
        self.states.setdefault(base, {})[panel] = dict(state)

    def kept(self, key: str, panel: str) -> dict[str, Any]:
        """The state kept for a panel of a model, {} when none."""
        base, _ = split_key(key)
        return self.states.get(base, {}).get(panel, {})

    def commit(self, key: str, panel: str, name: str, after: Mapping[str, Any]) -> None:
        """A gesture ended: an undo step from the kept state to this one."""
        base, _ = split_key(key)
        before = self.kept(base, panel)
        self.keep(base, panel, after)
        if before and self.history.push(Step(base, panel, name, before, dict(after))):
            self._tell("history")

    def note(self, key: str, panel: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """A panel was given another state as a whole (a bookmark, a dropped file): an undo step."""
        base, _ = split_key(key)
        if before and self.history.push(Step(base, panel, name, dict(before), dict(after))):
            self._tell("history")

    def undo(self) -> Step | None:
        """Take the last gesture back; the window shows the step's `before`."""
        return self._replay(self.history.undo(), back=True)

    def redo(self) -> Step | None:
        """Do the last undone gesture again; the window shows the step's `after`."""
        return self._replay(self.history.redo(), back=False)

    def _replay(self, step: Step | None, *, back: bool) -> Step | None:
        if step is not None:
            self.keep(step.key, step.panel, step.before if back else step.after)
            self._tell("history")
        return step

    def add_bookmark(self, bookmark: Bookmark) -> None:
        """Keep a place."""
        self.bookmarks.append(bookmark)
        self._tell("bookmarks")

    def drop_bookmark(self, bookmark: Bookmark) -> None:
        """Forget a place."""
        self.bookmarks = [b for b in self.bookmarks if b is not bookmark]
        self._tell("bookmarks")

    # -- wishes of panels ----------------------------------------------------------------------------------------------

    def open(self, key: str, panel: str = "", state: Mapping[str, Any] | None = None) -> None:
        """Wish: look at a model (a key or a path), in a panel, in a state."""
        self.grant(Wish("open", {"key": key, "panel": panel, "state": dict(state or {})}))

    def new_run(self, **values: Any) -> None:
        """Wish: the form of a new run, prefilled (system, data, config, training, seed, parent, name)."""
        self.grant(Wish("new run", values))

    def fork(self, card: ModelCard, step: int | None = None, changes: Mapping[str, Any] | None = None) -> None:
        """Wish: the form of a run that branches off a snapshot of this one."""
        self.grant(Wish("fork", {"card": card, "step": step, "changes": dict(changes or {})}))

    def compare(self, card: ModelCard) -> None:
        """Wish: this model in the comparison set, or out of it."""
        self.grant(Wish("compare", {"card": card}))

    def export(self, request: Any, name: str, state: Mapping[str, Any] | None = None, panel: str = "") -> None:
        """Wish: write what a request shows to a file that the user chooses; `panel` in `state` is what it restores."""
        self.grant(Wish("export", {"request": request, "name": name, "state": dict(state or {}), "panel": panel}))

    def bookmark(self, name: str = "") -> None:
        """Wish: a bookmark of what is looked at now."""
        self.grant(Wish("bookmark", {"name": name}))

    def tell(self, sentence: str, level: str = "info", action: str = "") -> None:
        """Wish: a short message. level: "info", "good", "warn" or "bad"."""
        self.grant(Wish("tell", {"sentence": sentence, "level": level, "action": action}))

    # -- session -------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """What a session keeps of this."""
        return {
            "keys": list(self.cards),
            "selection": self.selection,
            "comparison": self.comparison,
            "states": self.states,
            "tabs": self.tabs,
            "bookmarks": [b.to_json() for b in self.bookmarks],
            "recent": self.recent,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take on what does not need models to be opened: states, tabs, bookmarks, recent files, comparison.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: The data are not those of a session.
        """
        bookmarks = [Bookmark.of(b) for b in data.get("bookmarks", [])]
        states = {str(k): {str(p): dict(s) for p, s in v.items()} for k, v in data.get("states", {}).items()}
        self.bookmarks, self.states = bookmarks, states
        self.tabs = {str(k): str(v) for k, v in data.get("tabs", {}).items()}
        self.recent = [str(p) for p in data.get("recent", [])][:LONGEST_RECENT]
        self.comparison = [str(k) for k in data.get("comparison", [])][:LARGEST_COMPARISON]
        for what in ("bookmarks", "recent", "comparison"):
            self._tell(what)


@dataclass(slots=True)
class Journal:
    """The session on disk: written whole and atomically, at most `JOURNAL_SECONDS` old.

    Args:
        path: The file.
        clock: Seconds, rising.
    """

    path: Path
    clock: Callable[[], float] = time.monotonic
    kept_aside: Path | None = None
    _written: str = field(default="", repr=False)
    _at: float = field(default=float("-inf"), repr=False)

    def read(self) -> dict[str, Any]:
        """The last session, {} when there is none. A file that is no session is moved aside (`kept_aside`)."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError):
            self._set_aside()
            return {}
        try:
            data = json.loads(text)
            if not isinstance(data, dict) or data.get("version") != JOURNAL_VERSION:
                raise ValueError("no session of this version")
            Studio().restore(data.get("studio", {}))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._set_aside()
            return {}
        return data

    def _set_aside(self) -> None:
        for number in range(1, 1000):
            aside = self.path.with_name(f"{self.path.stem}.bad-{number}{self.path.suffix}")
            if not aside.exists():
                os.replace(self.path, aside)
                self.kept_aside = aside
                return

    def due(self) -> bool:
        """Whether it is time to write again."""
        return self.clock() - self._at >= JOURNAL_SECONDS

    def write(self, data: Mapping[str, Any], *, clean: bool = False) -> bool:
        """Write the session, unless nothing changed since the last time; whether it was written.

        Args:
            data: JSON-able.
            clean: The program closes in an orderly way; else the next start takes it for a crash and restores.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        self._at = self.clock()
        text = json.dumps({**data, "version": JOURNAL_VERSION, "clean": clean})
        if text == self._written:
            return False
        atomic.write_atomic(self.path, text.encode())
        self._written = text
        return True
