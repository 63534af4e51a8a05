"""What the keyboard does, as one table: the shortcuts, their sheet (F1) and the palette read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from dgm_studio.gui import places, theme, writing
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

SCALES = (1.0, 1.5, 2.0, 3.0)
ZOOMS = {1.0: "100 %", 1.5: "150 %", 2.0: "200 %", 3.0: "lecture"}

IN_PANELS = (
    ("Play or pause", "Space"),
    ("Step back and on", "← →"),
    ("Play back, stop, play on", "J  K  L"),
    ("A slider by a fine step", "Shift+← →"),
    ("A slider back to its middle", "Double click"),
    ("Tear a panel off", "Double click on its tab"),
)


@dataclass(frozen=True)
class Act:
    """One thing the window does.

    Args:
        name: Verb first.
        keys: Shortcut, "" for none.
        icon: Name in `resources/icons`.
        run: Does it.
        group: Heading on the sheet.
    """

    name: str
    keys: str
    icon: str
    run: Callable[[StudioWindow], object]
    group: str = "Window"


def _rescale(window: StudioWindow, by: int) -> None:
    now = min(range(len(SCALES)), key=lambda n: abs(SCALES[n] - theme.current().scale))
    scale = SCALES[min(max(now + by, 0), len(SCALES) - 1)]
    theme.use(scale=scale)
    window.say(f"Text size {ZOOMS[scale]}.")


def _full_screen(window: StudioWindow) -> None:
    if window.isFullScreen():
        window.showNormal()
    else:
        window.showFullScreen()


def _compare(window: StudioWindow) -> None:
    if window.studio.card is not None:
        window.studio.compare_toggle(window.studio.card.key)


ACTS = (
    Act("New run", "Ctrl+N", "plus", lambda w: w.new_run(), "Models"),
    Act("Open a file", "Ctrl+O", "open", lambda w: w.choose_file(), "Models"),
    Act("Compare this model", "Ctrl+D", "compare", _compare, "Models"),
    Act("Go to the start page", "Alt+Home", "logo", lambda w: w.home(), "Models"),
    Act("Undo", "Ctrl+Z", "undo", lambda w: w.undo(), "Places"),
    Act("Redo", "Ctrl+Shift+Z", "redo", lambda w: w.redo(), "Places"),
    Act("Keep this place", "Ctrl+S", "bookmark", places.bookmark, "Places"),
    Act("Go to a kept place", "Ctrl+Shift+S", "bookmark", places.show_bookmarks, "Places"),
    Act("Export the picture", "Ctrl+E", "export", writing.export_current, "Places"),
    Act("Copy as Python", "Ctrl+Shift+C", "copy", places.copy_python, "Places"),
    Act("Show or hide the library", "Ctrl+B", "sidebar", lambda w: w.toggle_library()),
    Act("Show or hide what is known of the model", "Ctrl+I", "info", lambda w: w.toggle_inspector()),
    Act("Show the jobs", "Ctrl+J", "clock", lambda w: w.show_queue()),
    Act("Light or dark", "Ctrl+T", "theme", lambda w: w.toggle_theme()),
    Act("Larger text", "Ctrl+=", "zoom-in", lambda w: _rescale(w, 1)),
    Act("Smaller text", "Ctrl+-", "zoom-out", lambda w: _rescale(w, -1)),
    Act("Full screen", "F11", "fit", _full_screen),
    Act("Show the keys", "F1", "help", lambda w: KeySheet(w).open()),
    Act("Quit", "Ctrl+Q", "close", lambda w: w.close()),
)


def add_to(window: StudioWindow) -> dict[str, QAction]:
    """Give the window its shortcuts; the actions by name."""
    made: dict[str, QAction] = {}
    for act in ACTS:
        made[act.name] = _add(window, act.name, act.keys, partial(_run, act, window))
    made["Larger text"].setShortcuts([QKeySequence("Ctrl+="), QKeySequence("Ctrl++")])
    for number in range(1, 10):
        _add(window, f"Panel {number}", f"Ctrl+{number}", partial(window.centre.go_to, number - 1))
    return made


def _run(act: Act, window: StudioWindow) -> None:
    act.run(window)


def _add(window: StudioWindow, name: str, keys: str, run: Callable[[], object]) -> QAction:
    action = QAction(name, window)
    action.setShortcut(QKeySequence(keys))
    # Also from panels that float in windows of their own.
    action.setShortcutContext(Qt.ShortcutContext.ApplicationShortcut)
    action.triggered.connect(run)
    window.addAction(action)
    return action


class KeySheet(QDialog):
    """Every shortcut on one page."""

    def __init__(self, window: StudioWindow) -> None:
        super().__init__(window)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        page = QWidget(self)
        page.setObjectName("scrolled")
        grid = QGridLayout(page)
        grid.setHorizontalSpacing(theme.SPACE[4])
        grid.setVerticalSpacing(theme.SPACE[1])
        groups: dict[str, list[tuple[str, str]]] = {}
        for act in ACTS:
            groups.setdefault(act.group, []).append((act.name, act.keys))
        groups["Window"].append(("Go to a panel", "Ctrl+1 … 9"))
        groups["Models"].append(("Search everything", "Ctrl+K"))
        groups["In a panel"] = list(IN_PANELS)
        for column, names in enumerate((("Models", "Places"), ("Window", "In a panel"))):
            row = 0
            for name in names:
                row = _add_group(grid, page, 2 * column, row, name, groups[name])
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setAccessibleName("Shortcuts")
        area.setWidget(page)
        close = Button("Close", self)
        close.clicked.connect(self.accept)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(*4 * (theme.SPACE[4],))
        whole.addWidget(label("Keys", "title", self))
        whole.addWidget(area, 1)
        whole.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        wide, high = page.sizeHint().width() + 80, page.sizeHint().height() + 140
        self.resize(min(wide, window.width() - 40), min(high, window.height() - 40))


def _add_group(grid: QGridLayout, page: QWidget, column: int, row: int, name: str, lines: list[tuple[str, str]]) -> int:
    grid.addWidget(label(name, "section", page), row, column)
    for words, keys in lines:
        row += 1
        grid.addWidget(label(words, "", page), row, column)
        grid.addWidget(label(keys, "figures2", page), row, column + 1)
    return row + 1
