"""What is looked at now, kept: bookmarks, exports, a script that makes the same picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QPixmap
from PySide6.QtWidgets import QFileDialog, QMenu

from dgm_studio.core import recipes, requests
from dgm_studio.core.requests import Export
from dgm_studio.core.studio import Bookmark
from dgm_studio.gui import theme
from dgm_studio.gui.panels.spec import Panel

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

BOOKMARK_SIDE = 128
KINDS = "Picture (*.png);;Loop (*.gif);;Loop (*.webp);;Film (*.mp4);;Arrays (*.npz);;Drawing (*.svg)"


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


def bookmark_menu(window: StudioWindow) -> QMenu:
    """The kept places, newest first."""
    menu = QMenu(window)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.addAction("Keep this place\tCtrl+S").triggered.connect(lambda: bookmark(window))
    if window.studio.bookmarks:
        menu.addSeparator()
    for kept in reversed(window.studio.bookmarks):
        picture = QPixmap()
        picture.loadFromData(kept.picture)
        entry = menu.addAction(QIcon(picture), kept.name)
        entry.triggered.connect(lambda _=False, b=kept: window.open(b.key, b.panel, b.state))
    if window.studio.bookmarks:
        menu.addSeparator()
        menu.addAction("Forget the newest").triggered.connect(
            lambda: window.studio.drop_bookmark(window.studio.bookmarks[-1])
        )
    return menu


def export_current(window: StudioWindow) -> None:
    """Write what the panel in front shows to a file."""
    panel = window.centre.current()
    shown = panel.shown() if panel is not None else None
    if panel is None or shown is None:
        window.say("There is no picture to export yet.")
        return
    export(window, shown, f"{panel.card.name}-{panel.name}", panel.state())


def export(window: StudioWindow, request: Any, name: str, state: dict[str, Any]) -> None:
    """Ask for a file name, then let the worker write the picture with its recipe inside."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-") or "picture"
    path, _ = QFileDialog.getSaveFileName(window, "Export", str(Path.home() / f"{plain}.png"), KINDS)
    if path:
        submit_export(window, request, path, state)


def submit_export(window: StudioWindow, request: Any, path: str, state: dict[str, Any]) -> None:
    """Hand an export to the worker."""
    panel = window.centre.current()
    name = panel.name if panel is not None else ""
    asked = Export(requests.to_json(request), path, theme=theme.current().name, panel=name, state=state)
    window.bridge.engine.submit(asked, f"Export {Path(path).name}")


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
        sha256=panel.card.sha256,
        step=panel.card.step,
        theme=theme.current().name,
        panel=panel.name,
        state=panel.state(),
        versions=recipes.versions(),
    )
    QGuiApplication.clipboard().setText(recipes.as_python(recipe))
    window.say("The script is on the clipboard.")
