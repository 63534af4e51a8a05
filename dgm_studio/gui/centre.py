"""The middle of the window: the panels that fit the model as tabs, its identity in one line, the time machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.studio import Studio
from dgm_studio.gui import theme
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.host import Host, Hosts
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.runnotice import RunNotice
from dgm_studio.gui.shelf import identity
from dgm_studio.gui.timemachine import TimeMachine
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel, label


class PanelTabs(QTabBar):
    """The tabs; a double click or the menu tears a panel off."""

    tear_off_wanted = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("Panels")
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setElideMode(Qt.TextElideMode.ElideRight)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.tabAt(event.position().toPoint())
        if index >= 0:
            self.tear_off_wanted.emit(index)

    def _menu(self, at: QPoint) -> None:
        index = self.tabAt(at)
        if index >= 0:
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.addAction("Open in a window of its own").triggered.connect(lambda: self.tear_off_wanted.emit(index))
            menu.popup(self.mapToGlobal(at))


class Elsewhere(QWidget):
    """Stands where a panel was that is in a window of its own."""

    put_back_wanted = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._words = label("", "secondary", self)
        self._words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        back = Button("Put it back", self)
        back.clicked.connect(self.put_back_wanted)
        column = QVBoxLayout(self)
        column.addStretch()
        column.addWidget(self._words)
        column.addWidget(back, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch()

    def name(self, title: str) -> None:
        """Say which panel it is."""
        self._words.setText(f"{title} is in a window of its own.")


class Centre(QWidget):
    """See the module.

    Args:
        studio: What is open.
        bridge: For the panels' questions.
        start: The page shown while no model is selected.

    Signals:
        tear_off_wanted(Host): Put this panel into a dock.
        put_back_wanted(Host): Take it back.
        shown_changed(): Another panel, or none, is in front.
    """

    tear_off_wanted = Signal(object)
    put_back_wanted = Signal(object)
    shown_changed = Signal()

    def __init__(self, studio: Studio, bridge: Bridge, start: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("centre")
        self._studio = studio
        self._start = start
        self._card: ModelCard | None = None
        self._kinds: tuple[type[Panel], ...] = ()
        self.host: Host | None = None
        self._nursery = QWidget(self)
        self._nursery.hide()
        self.hosts = Hosts(studio, bridge, self._nursery)
        self.hosts.closing.connect(self._let_go)
        self.steps: dict[str, int] = {}
        self.tabs = PanelTabs(self)
        self._detach = IconButton("detach", "Open this panel in a window of its own", self, bare=True)
        self.identity = ElidedLabel("", "secondary", self)
        self.identity.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._stack = QStackedWidget(self)
        self._elsewhere = Elsewhere(self)
        self.time_machine = TimeMachine(self)
        self.notice = RunNotice(self)
        self._build()
        self.tabs.currentChanged.connect(self._tab_changed)
        self.tabs.tear_off_wanted.connect(self._tear_off)
        self._detach.clicked.connect(self._tear_off_current)
        self._elsewhere.put_back_wanted.connect(self._put_back)
        self.time_machine.scrubbed.connect(self._scrub)
        theme.changed.connect(self._fit)
        self._fit()

    # -- what is shown -----------------------------------------------------------------------------------------------

    def show_start(self) -> None:
        """No model: the start page."""
        self._card, self.host = None, None
        self._head.hide()
        self.time_machine.hide()
        self._stack.setCurrentWidget(self._start)
        self.shown_changed.emit()

    def show_model(self, card: ModelCard, panel: str = "") -> None:
        """Show the panels of a model, in front the named one, else the one that was there last time."""
        from dgm_studio.gui import panels  # their modules are slow to import and not needed for the first paint

        base, step = split_key(card.key)
        if step is not None:
            self.steps[base] = step
        self._card = card
        self._kinds = panels.fitting(card)
        names = [kind.name for kind in self._kinds]
        wanted = panel or self._studio.tabs.get(base, "") or self._favourite(card, names)
        index = names.index(wanted) if wanted in names else 0
        self._show_tabs(index)
        self._head.show()
        self.refresh(card)
        self._show(index)

    def refresh(self, card: ModelCard) -> None:
        """The model has a newer state: identity, time machine, panels that do not look at a snapshot."""
        base, _ = split_key(card.key)
        if self._card is not None and split_key(self._card.key)[0] == base:
            self._card = card
            self.identity.setText(identity(self._at_step(card)))
            self.time_machine.show_snapshots(card.snapshots, card.step, self.steps.get(base))
        for host in self.hosts.of_model(base):
            host.refresh(self._at_step(card))

    def current(self) -> Panel | None:
        """The panel in front, also when it is torn off."""
        return self.host.panel if self.host is not None else None

    def go_to(self, index: int) -> None:
        """Show the panel of a tab."""
        if 0 <= index < self.tabs.count():
            self.tabs.setCurrentIndex(index)

    def show_state(self, panel: str, state: dict[str, Any]) -> None:
        """Give a panel of the model a state (undo, bookmark, recipe) and bring it to the front."""
        names = [kind.name for kind in self._kinds]
        if panel in names:
            self.tabs.setCurrentIndex(names.index(panel))
            if self.host is not None:
                self.host.show_state(state)

    def restore_panel(self, host: Host) -> None:
        """A torn-off panel is put back: show it here when its tab is in front."""
        host.torn_off = False
        self._stack.addWidget(host.panel)
        if host is self.host:
            self._bring(host)
        else:
            host.panel.hide()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._head = QWidget(self)
        row = QHBoxLayout(self._head)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.tabs)
        row.addWidget(self._detach)
        row.addWidget(self.identity, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        column.addWidget(self._head)
        column.addWidget(self.notice)
        column.addWidget(self._stack, 1)
        column.addWidget(self.time_machine)
        self._stack.addWidget(self._start)
        self._stack.addWidget(self._elsewhere)
        self._head.hide()
        self.time_machine.hide()

    def _fit(self) -> None:
        self._head.setFixedHeight(theme.current().px(34))

    def _favourite(self, card: ModelCard, names: list[str]) -> str:
        own = ("cross", "latent")  # a model of several modalities is first looked at as one
        liked = ("training", *own) if card.live or (card.steps and card.step < card.steps) else own
        return next((name for name in liked if name in names), names[0] if names else "")

    def _show_tabs(self, index: int) -> None:
        self.tabs.blockSignals(True)
        while self.tabs.count():
            self.tabs.removeTab(0)
        for kind in self._kinds:
            tab = self.tabs.addTab(kind.title)
            self.tabs.setTabToolTip(tab, f"{kind.summary or kind.title} (Ctrl+{tab + 1})")
        self.tabs.setCurrentIndex(index)
        self.tabs.blockSignals(False)
        self._detach.setEnabled(bool(self._kinds))

    def _tab_changed(self, index: int) -> None:
        if self._card is not None and 0 <= index < len(self._kinds):
            self._show(index)

    def _show(self, index: int) -> None:
        if self._card is None or not self._kinds:
            self.host = None
            self._stack.setCurrentWidget(self._start)
            return
        self.host = self.hosts.of(self._kinds[index], self._at_step(self._card))
        self._studio.tabs[self.host.key] = self.host.kind.name
        self._bring(self.host)
        self.shown_changed.emit()

    def _bring(self, host: Host) -> None:
        self._detach.setEnabled(not host.torn_off)
        if host.torn_off:
            self._elsewhere.name(host.kind.title)
            self._stack.setCurrentWidget(self._elsewhere)
            return
        if self._stack.indexOf(host.panel) < 0:
            self._stack.addWidget(host.panel)
        self._stack.setCurrentWidget(host.panel)
        host.begin()

    def _let_go(self, host: Host) -> None:
        self._stack.removeWidget(host.panel)
        if host is self.host:
            self.host = None

    def _at_step(self, card: ModelCard) -> ModelCard:
        base, _ = split_key(card.key)
        step = self.steps.get(base)
        return replace(card, key=base) if step is None else replace(card, key=f"{base}@{step}", step=step)

    def _scrub(self, step: int) -> None:
        """Look at a snapshot with every panel; -1 is the newest state."""
        if self._card is None:
            return
        base, _ = split_key(self._card.key)
        if step < 0:
            self.steps.pop(base, None)
        else:
            self.steps[base] = step
        self.identity.setText(identity(self._at_step(self._card)))
        for host in self.hosts.of_model(base):
            host.set_card(self._at_step(self._card))

    def _tear_off(self, index: int) -> None:
        self.go_to(index)
        self._tear_off_current()

    def _tear_off_current(self) -> None:
        host = self.host
        if host is not None and not host.torn_off:
            self._stack.removeWidget(host.panel)
            host.torn_off = True
            self.tear_off_wanted.emit(host)
            self._bring(host)

    def _put_back(self) -> None:
        if self.host is not None:
            self.put_back_wanted.emit(self.host)
