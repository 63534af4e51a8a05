"""Cycles are collected on the window's thread while the worker stands still, and at no other time."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PySide6.QtWidgets import QApplication, QLabel

from dgm_studio.core.engine import Engine
from dgm_studio.core.outbox import Outbox
from dgm_studio.core.updates import Progress, Update
from dgm_studio.gui.shots import wait_until
from dgm_studio.gui.tidying import YOUNG, Tidying

inside = threading.Event()
deaths: list[tuple[str, bool]] = []


class Knot:
    """A cycle with a widget and a tensor that hangs on a graph."""

    def __init__(self) -> None:
        self.itself = self
        self.label = QLabel("in a knot")
        self.tensor = (torch.ones(4, requires_grad=True) * 2).sum()
        weakref.finalize(self, lambda: deaths.append((threading.current_thread().name, inside.is_set())))


def train(request: Any) -> Iterator[Update]:
    for i in range(1_000_000):
        inside.set()
        knots = [[None] for _ in range(2000)]  # enough for Python to have collected by itself many times over
        for knot in knots:
            knot[0] = knot  # type: ignore[call-overload]
        time.sleep(0.0005)
        inside.clear()
        yield Progress(i, 1_000_000)


@pytest.fixture
def tidying(qapp: QApplication) -> Iterator[tuple[Engine, Tidying]]:
    deaths.clear()
    engine = Engine(lambda: train, Outbox())
    made = Tidying(engine)
    engine.start()
    engine.submit(None, "training")
    yield engine, made
    engine.close(5)
    made.close()
    made.deleteLater()
    gc.collect()


def test_a_cycle_dies_on_the_windows_thread_while_the_worker_stands(tidying: tuple[Engine, Tidying]) -> None:
    _, tidy = tidying
    for _ in range(20):
        Knot()
    assert wait_until(lambda: len(deaths) == 20, 20, quiet=0.0), f"{len(deaths)} of 20 freed"
    assert set(deaths) == {("MainThread", False)}
    assert tidy.collections > 0


def test_python_does_not_collect_by_itself_until_the_window_has_closed(tidying: tuple[Engine, Tidying]) -> None:
    engine, tidy = tidying
    tidy._timer.stop()
    Knot()
    for _ in range(3 * YOUNG):
        itself: list[Any] = []
        itself.append(itself)
    time.sleep(0.2)  # the worker makes cycles too
    assert deaths == []
    assert engine.close(5)
    tidy.close()
    assert gc.isenabled()
    for _ in range(3 * YOUNG):
        itself = []
        itself.append(itself)
    assert len(deaths) == 1
