"""From a hand on a precision, on a switch, or a brush on the picture, to the new matrix, in the real window."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QCheckBox, QWidget

from dgm_studio.bench.figures import Figure, Options, document
from dgm_studio.bench.latency import SECONDS, drag, follow
from dgm_studio.bench.rig import Rig
from dgm_studio.core.requests import CrossDatum
from dgm_studio.core.updates import Problem
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.slidertrack import SliderTrack

MODEL = "zoo:mvae-faces"  # three modalities, seven rows
BAR = 60.0  # ms
TAPS = 4.0  # a second


class Tapper(QObject):
    """Clicks one switch again and again.

    Args:
        switch: What is clicked.
        seconds: How long.
    """

    def __init__(self, switch: QAbstractButton, seconds: float) -> None:
        super().__init__()
        self.due: list[float] = []
        self._switch, self._taps, self._begun = switch, round(seconds * TAPS), 0.0
        self._timer = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tap)

    def start(self) -> None:
        """The first click."""
        self._begun = time.perf_counter()
        self._tap()

    def _tap(self) -> None:
        if len(self.due) >= self._taps:
            return
        self.due.append(self._begun + len(self.due) / TAPS)
        for kind, held in (
            (QEvent.Type.MouseButtonPress, Qt.MouseButton.LeftButton),
            (QEvent.Type.MouseButtonRelease, Qt.MouseButton.NoButton),
        ):
            place = QPointF(8.0, self._switch.height() / 2)  # a check box is its box and its words
            left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
            QApplication.sendEvent(
                self._switch, QMouseEvent(kind, place, self._switch.mapToGlobal(place), left, held, none)
            )
        late = self._begun + len(self.due) / TAPS - time.perf_counter()
        self._timer.start(max(0, round(1000 * late)))


def measure(options: Options) -> dict[str, Any]:
    """Slider, switch and brush, idle and while a run trains."""
    key = options.checkpoint or MODEL
    rig = Rig(options)
    panel = rig.look_at(key, "cross")
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for state in ("idle", "training"):
        if state == "training":
            rig.train(shown=False)
        panel.restore({"values": {}, "precision": {}})
        rig.settle()
        for name, measured in gestures(rig, panel, options).items():
            found = measured()
            del found["latest"]
            details[f"{name}, {state}"] = found
            figures += [
                Figure(f"{name} to matrix p95, {state}", found["p95"], "ms", BAR),
                Figure(f"{name} to matrix p50, {state}", found["p50"], "ms"),
                Figure(f"processor of the window a move, {name}, {state}", found["window's processor ms a move"], "ms"),
                Figure(f"last matrix is that of the last value, {name}, {state}", float(found["last"]), "", 1, True),
            ]
    rig.close()
    return document("matrix", figures, model=key, **details)


def gestures(rig: Rig, panel: Panel, options: Options) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is done by hand, by its name, each to be begun by a call."""
    seconds = options.seconds or SECONDS
    return {
        "slider": lambda: drag(rig, panel, options, precision_track(panel), CrossDatum),
        "toggle": lambda: follow(rig, panel, Tapper(switch(panel), seconds), seconds, CrossDatum),
        "brush": lambda: drag(rig, panel, options, canvas(panel), CrossDatum, down=True),
    }


def switch(panel: Panel) -> QAbstractButton:
    """Whether the prior is an expert.

    Raises:
        Problem: The panel shows no such switch.
    """
    found = [box for box in panel.findChildren(QCheckBox) if box.isVisible() and "prior" in box.accessibleName()]
    if not found:
        raise Problem("The panel shows no prior expert to switch.")
    return found[0]


def precision_track(panel: Panel) -> QWidget:
    """The track of the first expert's precision.

    Raises:
        Problem: The panel shows none.
    """
    found = [t for t in panel.findChildren(SliderTrack) if t.isVisible() and "recision" in t.accessibleName()]
    if not found:
        names = ", ".join(t.accessibleName() for t in panel.findChildren(SliderTrack))
        raise Problem(f"The panel shows no precision to drag, but {names}.")
    return found[0]


def canvas(panel: Panel) -> QWidget:
    """What is drawn on.

    Raises:
        Problem: The panel shows none.
    """
    found = [c for c in panel.findChildren(DrawCanvas) if c.isVisible()]
    if not found:
        raise Problem("The panel shows no picture to draw on.")
    return found[0]
