"""Exports: which file, and what goes into it. Pictures and films are made by the worker, drawings of plots here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QPoint, QSize
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from dgm_studio.core import atomic, recipes, requests
from dgm_studio.core.cards import ModelCard
from dgm_studio.core.requests import DecodeLatent, DrawMap, Export, FollowPath
from dgm_studio.gui import choosing, theme

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

FORMATS = {
    ".png": "Picture (*.png)",
    ".gif": "Loop (*.gif)",
    ".webp": "Loop (*.webp)",
    ".mp4": "Film (*.mp4)",
    ".npz": "Arrays (*.npz)",
}
DRAWING = "Drawing of the plot (*.svg)"
LARGE, SMALL = 8, 4  # screen pixels for each of the model's: alone, among others


@dataclass(frozen=True)
class Shown:
    """What can be written.

    Args:
        request: Whose answer is shown; None where only a plot is.
        name: For the file.
        panel: Name of the panel, for the recipe.
        state: The panel's state, for the recipe.
    """

    request: Any | None
    name: str
    panel: str = ""
    state: dict[str, Any] = field(default_factory=dict)


def scale_of(request: Any) -> int:
    """Enlargement of each picture: a model's 28 pixels alone are too small for any page."""
    if isinstance(request, DecodeLatent | FollowPath):
        return LARGE
    return 2 if isinstance(request, DrawMap) else SMALL


def export_current(window: StudioWindow) -> None:
    """Write what the panel in front shows to a file."""
    panel = window.centre.current()
    if panel is None or (panel.shown() is None and panel.plot() is None):
        window.say("There is no picture to export yet.")
        return
    export(window, Shown(panel.shown(), f"{panel.card.name}-{panel.name}", panel.name, panel.state()))


def export(window: StudioWindow, shown: Shown) -> None:
    """Ask for a file name, then write the picture with its recipe inside."""
    plain = re.sub(r"[^\w.-]+", "-", shown.name).strip("-") or "picture"
    formats = {**FORMATS} if shown.request is not None else {}
    if _plot(window, shown) is not None:
        formats[".svg"] = DRAWING
    first = next(iter(formats))

    def chosen(name: str, kind: str) -> None:
        _with_ending(window, name, kind, formats, lambda path: write(window, shown, path))

    choosing.save_file(window, "Export", f"{plain}{first}", ";;".join(formats.values()), chosen)


def write(window: StudioWindow, shown: Shown, path: Path) -> None:
    """Write to a file that was chosen; an existing one is replaced as a whole, or stays as it is."""
    if path.suffix.lower() == ".svg":
        _write_drawing(window, shown, path)
        return
    asked = Export(
        requests.to_json(shown.request),
        str(path),
        scale=scale_of(shown.request),
        theme=theme.current().name,
        panel=shown.panel,
        state=shown.state,
    )
    window.bridge.engine.submit(asked, f"Export {path.name}")


def _with_ending(
    window: StudioWindow, chosen: str, kind: str, formats: dict[str, str], then: Callable[[Path], object]
) -> None:
    """Go on with a path whose ending says the format; not when an existing file shall stay."""
    path = Path(chosen)
    if path.suffix.lower() in formats:
        then(path)
        return
    ending = next((e for e, words in formats.items() if words == kind), next(iter(formats)))
    path = path.with_name(path.name + ending)
    if path.exists():  # the dialog asked about the name without its ending
        choosing.ask_yes(window, "Export", f"{path.name} is there already. Replace it?", lambda: then(path))
    else:
        then(path)


# -- drawings ----------------------------------------------------------------------------------------------------------


def _plot(window: StudioWindow, shown: Shown) -> QWidget | None:
    host = window.centre.hosts.find(window.studio.selection, shown.panel)
    return host.panel.plot() if host is not None else None


def _write_drawing(window: StudioWindow, shown: Shown, path: Path) -> None:
    plot, host = _plot(window, shown), window.centre.hosts.find(window.studio.selection, shown.panel)
    if plot is None or host is None:
        window.say("Only plots are written as .svg: choose .png for pictures.")
        return
    try:
        recipe = plot_recipe(host.panel.card, shown)
        atomic.write_atomic(path, recipes.embed(drawing_of(plot), ".svg", recipe))
    except OSError as error:
        window.say(f"{path} cannot be written ({error.strerror or error}). Choose another place.")
        return
    window.exported(path)


def plot_recipe(card: ModelCard, shown: Shown) -> recipes.Recipe:
    """A plot is the panel in a state."""
    return recipes.Recipe(
        model=card.key,
        sha256=card.sha256,
        step=card.step,
        theme=theme.current().name,
        panel=shown.panel,
        state=shown.state,
        versions=recipes.versions(),
    )


def drawing_of(plot: QWidget) -> bytes:
    """A widget as SVG: lines stay lines, letters stay letters."""
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    size = plot.size() if plot.width() > 1 and plot.isVisible() else plot.sizeHint().expandedTo(QSize(640, 160))
    if not plot.isVisible():
        plot.resize(size)
    drawing = QSvgGenerator()
    drawing.setOutputDevice(buffer)
    drawing.setSize(size)
    drawing.setViewBox(plot.rect())
    drawing.setTitle(plot.accessibleName())
    plot.render(drawing, QPoint())
    del drawing  # writes the end
    buffer.close()
    return bytes(content.data())
