"""What is looked at now, kept: bookmarks, and the way back to them; a script that makes the same picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QPixmap
from PySide6.QtWidgets import QMenu

from dgm_studio.core import recipes, requests
from dgm_studio.core.cards import split_key
from dgm_studio.core.studio import Bookmark
from dgm_studio.gui import theme
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.writing import scale_of

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

BOOKMARK_SIDE = 128
THUMBNAIL = 48


def bookmark(window: StudioWindow, name: str = "") -> None:
    """Keep the panel in front as it is, with a small picture of it."""
    panel = window.centre.current()
    if panel is None:
        window.say("Open a model first; then its place can be kept.")
        return
    title = name or f"{panel.card.name} · {panel.title} {len(window.studio.bookmarks) + 1}"
    kept = Bookmark(title, panel.card.key, panel.name, panel.state(), png_of(panel, BOOKMARK_SIDE))
    window.studio.add_bookmark(kept)
    window.say(f"Kept as {title}.", "Undo", lambda: window.studio.drop_bookmark(kept))


def png_of(panel: Panel, side: int) -> bytes:
    """The panel as a small PNG, its longer side in pixels given."""
    picture = panel.grab().scaled(
        side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture.save(buffer, "PNG")
    buffer.close()
    return bytes(content.data())


def go(window: StudioWindow, kept: Bookmark) -> None:
    """Back to a kept place; one step of undo where it lies in the model and panel that are looked at."""
    go_to(window, kept.key, kept.panel, kept.state, f"Go to {kept.name}")


def go_to(window: StudioWindow, key: str, panel: str, state: dict[str, Any], gesture: str) -> None:
    """Look at exactly this: the snapshot that the key names, the newest weights where it names none."""
    base, step = split_key(key)
    host = window.centre.hosts.find(base, panel)
    before = host.panel.state() if host is not None and host.begun() else window.studio.kept(base, panel)
    if step is None:
        window.centre.steps.pop(base, None)
    window.open(key, panel, state)
    if base in window.studio.cards:
        window.studio.note(base, panel, gesture, before, {**before, **state})


def bookmark_menu(window: StudioWindow) -> QMenu:
    """The kept places, newest first."""
    menu = QMenu(window)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    side = theme.current().px(THUMBNAIL)
    menu.setStyleSheet(f"QMenu {{ icon-size: {side}px; }}")
    menu.addAction("Keep this place\tCtrl+S").triggered.connect(lambda: bookmark(window))
    if not window.studio.bookmarks:
        menu.addAction("No place is kept yet").setEnabled(False)
        return menu
    menu.addSeparator()
    forget = QMenu("Forget", menu)
    for kept in reversed(window.studio.bookmarks):
        picture = QPixmap()
        picture.loadFromData(kept.picture)
        entry = menu.addAction(QIcon(picture), kept.name)
        entry.triggered.connect(lambda _=False, b=kept: go(window, b))
        forget.addAction(kept.name).triggered.connect(lambda _=False, b=kept: _forget(window, b))
    menu.addSeparator()
    menu.addMenu(forget)
    return menu


def show_bookmarks(window: StudioWindow) -> None:
    """The menu of kept places under its button."""
    button = window.top.bookmarks
    bookmark_menu(window).popup(button.mapToGlobal(button.rect().bottomLeft()))


def _forget(window: StudioWindow, kept: Bookmark) -> None:
    window.studio.drop_bookmark(kept)
    window.say(f"{kept.name} is forgotten.", "Undo", lambda: window.studio.add_bookmark(kept))


def copy_python(window: StudioWindow) -> None:
    """Put a script that makes the picture in front on the clipboard."""
    panel = window.centre.current()
    shown = panel.shown() if panel is not None else None
    if panel is None or shown is None:
        window.say("There is no picture to write a script for yet.")
        return
    recipe = recipes.Recipe(
        request=requests.to_json(shown),
        model=panel.card.key,
        # a snapshot's weights have a sum of their own, which only the worker knows; live weights change
        sha256="" if split_key(panel.card.key)[1] is not None or panel.card.live else panel.card.sha256,
        step=panel.card.step,
        theme=theme.current().name,
        scale=scale_of(shown),
        panel=panel.name,
        state=panel.state(),
        versions=recipes.versions(),
    )
    QGuiApplication.clipboard().setText(recipes.as_python(recipe))
    window.say("The script is on the clipboard.")
