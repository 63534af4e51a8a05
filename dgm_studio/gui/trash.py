"""The trash in the window: how much is in it, bringing back, and emptying it, which nothing can undo."""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Qt, QTimer
from PySide6.QtWidgets import QMenu

from dgm_studio.core import trash
from dgm_studio.core.trash import Discarded, size_words
from dgm_studio.core.updates import Problem
from dgm_studio.gui import choosing
from dgm_studio.gui.palette import Command

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

MOST_SHOWN = 8  # deleted runs that are offered to be brought back one by one


def words(found: tuple[Discarded, ...]) -> str:
    """What is in it: "3 deleted runs, 41.2 MB"; "" when nothing is.

    >>> words((Discarded(Path("a.1"), "a", 2_000_000),))
    '1 deleted run, 2.0 MB'
    """
    if not found:
        return ""
    count = "1 deleted run" if len(found) == 1 else f"{len(found):,} deleted runs"
    return f"{count}, {size_words(sum(run.size for run in found))}"


def show(window: StudioWindow) -> None:
    """Say in the library what is in the trash."""
    window.library.show_trash(words(trash.contents()))


def bring_back(window: StudioWindow, run: Discarded, folder: Path | None = None) -> None:
    """Put a deleted run back to where it was, `folder`, or among the user's runs."""
    try:
        back = trash.bring_back(run, folder)
    except Problem as problem:
        window.say(str(problem))
        show(window)
        return
    window.reread_runs()
    window.say(f"{back.name} is back.", "Open", partial(window.open, f"run:{back}"))


def open_menu(window: StudioWindow, at: QPoint) -> None:
    """What can be done with the trash, at a place of the screen."""
    menu = QMenu(window)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    found = trash.contents()
    for run in found[:MOST_SHOWN]:
        act = menu.addAction(f"Bring back {run.name}\t{size_words(run.size)}")
        act.triggered.connect(partial(bring_back, window, run))
    menu.addSeparator()
    menu.addAction("Empty the trash\N{HORIZONTAL ELLIPSIS}").triggered.connect(partial(ask_to_empty, window))
    menu.popup(at)


def commands(window: StudioWindow) -> list[Command]:
    """The same for the palette."""
    found = trash.contents()
    lines = []
    for run in found[:MOST_SHOWN]:
        hint = f"deleted · {size_words(run.size)}"
        lines.append(Command(f"Bring back {run.name}", partial(bring_back, window, run), "trash", hint))
    if found:
        lines.append(Command("Empty the trash", partial(ask_to_empty, window), "trash", words(found)))
    return lines


def ask_to_empty(window: StudioWindow) -> None:
    """Ask, then delete for good."""
    found = trash.contents()
    if not found:
        window.say("The trash is empty.")
        return
    held = words(found).replace("deleted ", "").replace(" MB", "\N{NO-BREAK SPACE}MB")
    question = f"Delete {held}, for good? Checkpoints, curves and snapshots cannot be brought back after that."
    choosing.ask_yes(window, "Empty the trash", question, partial(_empty, window, found), "Delete for good")


def _empty(window: StudioWindow, found: tuple[Discarded, ...]) -> None:
    Emptying(window, found).start()


class Emptying(QObject):
    """Deletes one run at each turn of the event loop, so that the window goes on."""

    def __init__(self, window: StudioWindow, found: tuple[Discarded, ...]) -> None:
        super().__init__(window)
        self._window = window
        self._left = deque(found)
        self._freed = 0
        self._timer = QTimer(self, interval=0)
        self._timer.timeout.connect(self._one)

    def start(self) -> None:
        """Begin."""
        self._timer.start()

    def _one(self) -> None:
        if not self._left:
            self._end(f"The trash is empty: {size_words(self._freed)} are free again.")
            return
        run = self._left.popleft()
        try:
            trash.delete_for_good(run)
        except Problem as problem:
            self._end(str(problem))
            return
        self._freed += run.size

    def _end(self, sentence: str) -> None:
        self._timer.stop()
        show(self._window)
        self._window.say(sentence)
        self.deleteLater()
