"""The session: what is written every ten seconds, and what is found again at the next start."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray

from dgm_studio.core.updates import Problem
from dgm_studio.gui import theme

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow


def write(window: StudioWindow, *, clean: bool = False) -> None:
    """Write the journal; a disk that is full is told once and tried again."""
    try:
        window.journal.write(gather(window), clean=clean)
    except OSError as error:
        if not window.property("journal failed"):
            window.setProperty("journal failed", True)
            window.say(f"The session cannot be kept: {error.strerror or error}.")


def gather(window: StudioWindow) -> dict[str, Any]:
    """Everything the next start needs."""
    studio = window.studio.to_json()
    states = {key: dict(panels) for key, panels in studio["states"].items()}
    for host in window.centre.hosts.all():
        if host.begun():
            states.setdefault(host.key, {})[host.kind.name] = host.panel.state()
    return {
        "studio": {**studio, "states": states},
        "theme": theme.current().name,
        "scale": theme.current().scale,
        "geometry": bytes(window.saveGeometry().toBase64().data()).decode("ascii"),
        "docks": [[dock.host.key, dock.host.kind.name] for dock in window.docks.all()],
        "layout": window.docks.layout(),
        "library": window.library_wanted,
        "inspector": not window.inspector.isHidden(),
        "steps": dict(window.centre.steps),
    }


def dress(data: Mapping[str, Any]) -> None:
    """Take on the theme and size of the last session."""
    name, scale = data.get("theme", "dark"), data.get("scale", 1.0)
    if name in theme.PALETTES and isinstance(scale, int | float) and 0.75 <= scale <= 4:
        theme.use(str(name), float(scale))


def place(window: StudioWindow, data: Mapping[str, Any]) -> None:
    """Put the window where it was, with its columns."""
    if isinstance(data.get("geometry"), str):
        window.restoreGeometry(QByteArray.fromBase64(data["geometry"].encode("ascii", "ignore")))
    window.show_library(bool(data.get("library", True)))
    if data.get("inspector"):
        window.toggle_inspector()


def restore(window: StudioWindow, data: Mapping[str, Any]) -> None:
    """Open the models of a session, its panels and docks; what is gone is named once."""
    from dgm_studio.gui import panels

    studio = data.get("studio", {})
    missing = []
    for key in studio.get("keys", []):
        try:
            window.studio.add(window.shelf.read(key))
        except Problem:
            missing.append(Path(str(key)).name)
    steps = {k: int(v) for k, v in dict(data.get("steps", {})).items() if k in window.studio.cards}
    window.centre.steps.update(steps)
    selection = studio.get("selection", "")
    if selection in window.studio.cards:
        window.open(selection)
    for place_ in data.get("docks", []):
        key, name = place_
        kinds = {kind.name: kind for kind in panels.panels()}
        if key in window.studio.cards and name in kinds:
            host = window.centre.hosts.of(kinds[name], window.studio.cards[key])
            host.torn_off = True
            window.tear_off(host)
    if isinstance(data.get("layout"), str):
        window.docks.restore(data["layout"])
    if selection in window.studio.cards:
        window.centre.show_model(window.studio.cards[selection])
    if missing:
        window.say(f"No longer there: {', '.join(missing)}.")
    window.refresh_library()


def memory_words() -> str:
    """Memory the program holds: "0.6 GB"; "" where the system does not say."""
    if sys.platform.startswith("linux"):
        import os

        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return ""
        return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GB"
    if sys.platform == "win32":
        return ""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GB"
