"""A panel at work: how it asks, when it begins, what of it is kept."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.studio import Studio
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.panels.spec import Panel

CALM_SECONDS = 10.0  # between two whole looks at a run that trains
MOST_ALIVE = 10  # panels kept alive behind the one that is seen, so that going back is instant


class Host(QObject):
    """Holds one panel of one model.

    Args:
        kind: The panel's class.
        card: The model; with a snapshot's step when one is looked at.
        studio: Takes the panel's gestures and states.
        bridge: Brings the answers.
        parent: Owner of the host and, until it is laid out, of the panel.
    """

    def __init__(self, kind: type[Panel], card: ModelCard, studio: Studio, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.key, _ = split_key(card.key)
        self.kind = kind
        self.torn_off = False
        self._studio = studio
        self._begun = False
        self._set_at = time.monotonic()
        self.asker = bridge.asker(kind.name, fast=kind.fast)
        self.panel = kind(card, self.asker, studio, parent)
        self.asker.receiver = self.panel
        self.panel.committed.connect(self._commit)

    @property
    def place(self) -> tuple[str, str]:
        """The model's key and the panel's name: at most one host has both."""
        return self.key, self.kind.name

    def begin(self) -> None:
        """The panel is seen: the first time, let it ask and give it back its state."""
        if self._begun:
            return
        self._begun = True
        kept = self._studio.kept(self.key, self.kind.name)
        self.panel.begin()
        if kept:
            self.panel.restore(kept)
        else:
            self._studio.keep(self.key, self.kind.name, self.panel.state())

    def begun(self) -> bool:
        """Whether the panel was ever seen."""
        return self._begun

    def show_state(self, state: dict[str, Any]) -> None:
        """Take on a state from undo, a bookmark or a recipe."""
        self._studio.keep(self.key, self.kind.name, state)
        if self._begun:
            self.panel.restore(state)

    def set_card(self, card: ModelCard) -> None:
        """Another snapshot or a newer step of the same model."""
        if card != self.panel.card:
            self._set_at = time.monotonic()
            self.panel.set_card(card)

    def refresh(self, card: ModelCard) -> None:
        """The model has newer weights. While it trains they come often, and looking at all of them would slow it down.

        A panel that nobody sees takes them when it is shown; one that hears the job sees them anyway.
        """
        hears = type(self.panel).hears is not Panel.hears
        early = time.monotonic() - self._set_at < CALM_SECONDS or not self.panel.isVisible()
        if hears or not card.live or not early:
            self.set_card(card)

    def close(self) -> None:
        """Keep the state, stop asking, take the panel away."""
        self.asker.close()
        if self._begun:
            self._studio.keep(self.key, self.kind.name, self.panel.state())
        self.panel.setParent(None)
        self.panel.deleteLater()
        self.deleteLater()

    def _commit(self, name: str) -> None:
        self._studio.commit(self.key, self.kind.name, name, self.panel.state())


class Hosts(QObject):
    """All panels alive, by model and name; those looked at longest ago are closed when there are too many."""

    closing = Signal(object)
    """A host is about to be closed; whoever shows its panel lets go."""

    def __init__(self, studio: Studio, bridge: Bridge, nursery: QWidget) -> None:
        super().__init__(nursery)
        self._studio, self._bridge, self._nursery = studio, bridge, nursery
        self._hosts: dict[tuple[str, str], Host] = {}

    def of(self, kind: type[Panel], card: ModelCard) -> Host:
        """The host of a panel of a model, made when there is none yet."""
        key, _ = split_key(card.key)
        host = self._hosts.pop((key, kind.name), None) or Host(kind, card, self._studio, self._bridge, self._nursery)
        self._hosts[host.place] = host  # to the end: looked at last
        host.set_card(card)
        QTimer.singleShot(0, self._trim)
        return host

    def find(self, key: str, name: str) -> Host | None:
        """The host, if it is alive."""
        return self._hosts.get((split_key(key)[0], name))

    def of_model(self, key: str) -> list[Host]:
        """Every host of a model."""
        base, _ = split_key(key)
        return [host for host in self._hosts.values() if host.key == base]

    def all(self) -> list[Host]:
        """Every host, the one looked at last at the end."""
        return list(self._hosts.values())

    def close_model(self, key: str) -> None:
        """Close every panel of a model."""
        for host in self.of_model(key):
            self._close(host)

    def close_all(self) -> None:
        """Close everything."""
        for host in self.all():
            self._close(host)

    def _trim(self) -> None:
        spare = [host for host in self._hosts.values() if not host.torn_off and not host.panel.isVisible()]
        for host in spare[: max(0, len(self._hosts) - MOST_ALIVE)]:
            self._close(host)

    def _close(self, host: Host) -> None:
        self._hosts.pop(host.place, None)
        self.closing.emit(host)
        host.close()
