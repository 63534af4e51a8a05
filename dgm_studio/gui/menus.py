"""The library's menu, and the palette's list of everything."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QMenu

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.trash import throw_away
from dgm_studio.core.updates import Problem
from dgm_studio.gui import actions, choosing, places, trash
from dgm_studio.gui.palette import Command
from dgm_studio.gui.statusbar import LIVE_STATES

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow


def folder_of(card: ModelCard) -> Path:
    """Where a model is: a run's folder, else the folder of its file."""
    base, _ = split_key(card.key)
    return Path(base.removeprefix("run:")) if base.startswith("run:") else Path(card.path or base).parent


def trains(window: StudioWindow, card: ModelCard) -> bool:
    """Whether a job of this window trains the run."""
    base, _ = split_key(card.key)
    jobs = window.bridge.engine.jobs()
    return any(
        isinstance(j.ticket.request, Train) and j.state in LIVE_STATES and f"run:{j.ticket.request.run}" == base
        for j in jobs
    )


def show(window: StudioWindow, card: ModelCard, at: QPoint) -> None:
    """The menu of a model at a place of the screen."""
    library_menu(window, card).popup(at)


def library_menu(window: StudioWindow, card: ModelCard) -> QMenu:
    """What can be done with a model."""
    base, _ = split_key(card.key)
    menu = QMenu(window)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.addAction("Open").triggered.connect(partial(window.open, base))
    compared = base in window.studio.comparison
    menu.addAction("Leave the comparison" if compared else "Compare").triggered.connect(
        partial(window.studio.compare_toggle, base)
    )
    menu.addAction("New run like this").triggered.connect(partial(run_like, window, card))
    if card.source == "run" and not trains(window, card):
        menu.addAction("Train on").triggered.connect(partial(train_on, window, card))
    menu.addSeparator()
    menu.addAction("Open its folder").triggered.connect(partial(open_folder, card))
    menu.addAction("Copy its key").triggered.connect(partial(QGuiApplication.clipboard().setText, base))
    if card.source == "run":
        menu.addAction("Rename\tF2").triggered.connect(partial(rename, window, card))
        menu.addAction("Delete\tDel").triggered.connect(partial(delete, window, card))
    elif card.source == "file":
        menu.addAction("Close").triggered.connect(partial(close, window, card))
    return menu


def run_like(window: StudioWindow, card: ModelCard) -> None:
    """The form of a new run with this model's settings."""
    window.new_run(
        system=card.system,
        data=card.data,
        config=card.config,
        training=card.training,
        seed=card.seed,
        name=f"{card.name} again",
    )


def train_on(window: StudioWindow, card: ModelCard) -> None:
    """Go on with a run from where it stopped."""
    base, _ = split_key(card.key)
    window.start_run(Train(base.removeprefix("run:"), name=card.name), card)


def open_folder(card: ModelCard) -> None:
    """Show the files in the desktop's own program."""
    show_folder(folder_of(card))


def show_folder(folder: Path) -> None:
    """Show a folder in the desktop's own program."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))


def close(window: StudioWindow, card: ModelCard) -> None:
    """Take an opened file out of the library."""
    window.centre.hosts.close_model(card.key)
    was_shown = window.studio.card is not None and window.studio.card.key == card.key
    window.studio.remove(card.key)
    if was_shown:
        window.home()
    window.refresh_library()


def rename(window: StudioWindow, card: ModelCard) -> None:
    """Ask for another name for a run."""
    if card.source != "run":
        window.say("Only runs can be renamed.")
        return
    if trains(window, card):
        window.say(f"{card.name} is training. Rename it when it has stopped.")
        return

    def given(name: str) -> None:
        if name.strip():
            set_name(window, card, name.strip())

    choosing.ask_line(window, "Rename", "Name of the run", card.name, given)


def set_name(window: StudioWindow, card: ModelCard, name: str) -> None:
    """Give a run another name; its folder stays."""
    folder = RunFolder(folder_of(card))
    try:
        folder.write({**folder.read(), "name": name})
    except (Problem, OSError) as error:
        window.say(f"The run could not be renamed: {error}.")
        return
    opened = window.studio.cards.get(split_key(card.key)[0])
    if opened is not None:
        window.studio.add(replace(opened, name=name))
        window.centre.refresh(window.studio.cards[split_key(card.key)[0]])
    window.reread_runs()


def delete(window: StudioWindow, card: ModelCard) -> None:
    """Move a run to the trash; *Undo* brings it back."""
    if card.source != "run":
        window.say("Only runs can be deleted; what is in the box stays.")
        return
    if trains(window, card):
        window.say(f"{card.name} is training. Stop it first.")
        return
    folder = folder_of(card)
    if RunFolder(folder).locked():
        window.say(f"{card.name} is being trained by another process. Stop it there first.")
        return
    try:
        run = throw_away(folder)
    except OSError as error:
        window.say(f"The run could not be deleted: {error.strerror or error}.")
        return
    close(window, card)
    window.reread_runs()
    window.say(f"{card.name} is in the trash.", "Undo", partial(trash.bring_back, window, run, folder))


def commands(window: StudioWindow) -> list[Command]:
    """Everything that the palette offers: models, panels, bookmarks, data, actions."""
    found = [
        Command(card.name, partial(window.open, card.key), "image", f"{card.title} · {card.data}", card.path)
        for card in _models(window)
    ]
    for index in range(window.centre.tabs.count()):
        title = window.centre.tabs.tabText(index)
        found.append(Command(title, partial(window.centre.go_to, index), "grid", f"panel · Ctrl+{index + 1}"))
    for kept in window.studio.bookmarks:
        found.append(Command(kept.name, partial(places.go, window, kept), "bookmark", "bookmark"))
    for data in window.shelf.data().values():
        act = partial(window.new_run, data=data.name)
        found.append(Command(f"Train on {data.title}", act, "curves", f"data · {data.name}", data.summary))
    found += trash.commands(window)
    for act_ in actions.ACTS:
        found.append(Command(act_.name, partial(act_.run, window), act_.icon, act_.keys))
    return found


def _models(window: StudioWindow) -> list[ModelCard]:
    known = {split_key(c.key)[0]: c for c in (*window.shelf.box(), *window.runs, *window.studio.cards.values())}
    return list(known.values())
