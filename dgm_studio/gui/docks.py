"""Panels torn off: docks that can be moved, floated, put back and found again at the next start."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QMainWindow, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.host import Host
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel


class PanelDock(QDockWidget):
    """One panel in a dock.

    Signals:
        put_back_wanted(Host): Its close button: the panel goes back among the tabs, it is never lost.
    """

    put_back_wanted = Signal(object)

    def __init__(self, host: Host, title: str, window: QMainWindow) -> None:
        super().__init__(title, window)
        self.host = host
        self.setObjectName(f"dock {host.key} {host.kind.name}")
        self.setAllowedAreas(Qt.DockWidgetArea.AllDockWidgetAreas)
        bar = QWidget(self)
        bar.setAccessibleName(title)
        row = QHBoxLayout(bar)
        row.setContentsMargins(theme.SPACE[2], theme.SPACE[0], theme.SPACE[1], theme.SPACE[0])
        row.addWidget(ElidedLabel(title, "heading", bar), 1)
        self._float = IconButton("detach", "Float, or dock again", bar, bare=True)
        back = IconButton("close", "Put it back among the tabs", bar, bare=True)
        row.addWidget(self._float)
        row.addWidget(back)
        self.setTitleBarWidget(bar)
        self.setWidget(host.panel)
        self._float.clicked.connect(self._toggle_floating)
        back.clicked.connect(self._put_back)
        host.panel.show()
        host.begin()

    def closeEvent(self, event: QCloseEvent) -> None:
        """The window manager's cross puts it back too."""
        event.ignore()
        self._put_back()

    def _toggle_floating(self) -> None:
        self.setFloating(not self.isFloating())

    def _put_back(self) -> None:
        self.put_back_wanted.emit(self.host)


class Docks:
    """All torn-off panels of a window.

    Args:
        window: Where they dock.
    """

    def __init__(self, window: QMainWindow) -> None:
        self._window = window
        self._docks: dict[tuple[str, str], PanelDock] = {}
        window.setDockNestingEnabled(True)

    def tear_off(self, host: Host, title: str, *, floating: bool = True) -> PanelDock:
        """Put a panel into a dock of its own, floating beside the window at first."""
        dock = PanelDock(host, title, self._window)
        self._docks[host.place] = dock
        self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        if floating:
            centre = self._window.geometry().center()
            dock.setFloating(True)
            dock.resize(round(self._window.width() * 0.6), round(self._window.height() * 0.7))
            dock.move(centre.x() - dock.width() // 2, centre.y() - dock.height() // 2)
        dock.show()
        return dock

    def let_go(self, host: Host) -> None:
        """Take the dock away and leave the panel alone."""
        dock = self._docks.pop(host.place, None)
        if dock is not None:
            host.panel.setParent(None)
            self._window.removeDockWidget(dock)
            dock.deleteLater()

    def all(self) -> list[PanelDock]:
        """Every dock."""
        return list(self._docks.values())

    def layout(self) -> str:
        """Where everything is, as text for the session."""
        return bytes(self._window.saveState().toBase64().data()).decode("ascii")

    def restore(self, layout: str) -> bool:
        """Put the docks that exist where they were; whether the text could be read."""
        return self._window.restoreState(QByteArray.fromBase64(layout.encode("ascii", "ignore")))
