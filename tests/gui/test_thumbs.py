"""Small pictures of models: how often the worker is asked for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from dgm_studio.core.cards import ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.updates import Done, Frame
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.thumbs import Thumbnails
from tests.gui.denoise_toy import card as made


class Host:
    """Stands for the bridge: notes what is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def asker(self, name: str, listener: Any) -> Any:
        return lambda topic, request: self.asked.append(request.model)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def small(qapp: QApplication, host: Host, tmp_path: Path) -> Any:
    owner = QObject()
    found = Thumbnails(tmp_path, cast(Bridge, host), owner)
    found.start()
    yield found
    owner.deleteLater()


def come(small: Thumbnails, ink: int) -> None:
    ticket = Ticket(1, "thumbnails/thumbnail", None, "", "interactive", 0.0)
    small.receive("thumbnail", Frame("thumbnail", {"picture": np.full((4, 4), ink, np.uint8)}), ticket)
    small.receive("thumbnail", Done(), ticket)


def test_a_run_that_trains_is_seldom_drawn_from_and_keeps_its_picture_meanwhile(small: Thumbnails, host: Host) -> None:
    run: ModelCard = replace(made(), key="run:/one", live=True, step=0)
    assert small.picture(run) is None and len(host.asked) == 1
    come(small, 9)
    for step in range(1, 3001):
        assert small.picture(replace(run, step=step)) is not None
        if len(host.asked) > 1 and small._asked is not None:
            come(small, step % 200)
    assert len(host.asked) == 4  # at 0, 64, 256 and 1,024 steps
    small.picture(replace(run, step=3000, live=False, sha256="abc"))
    assert len(host.asked) == 5
