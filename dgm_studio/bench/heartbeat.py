"""How late a timer of 5 ms is in the window's thread while a run trains and is looked at."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer

from dgm_studio.bench.figures import Figure, Options, document, quantile
from dgm_studio.bench.rig import Rig

SECONDS = 60.0
BEAT = 5  # ms
SETTLING = 2.0  # s after the first steps: the panel's first pictures are there


class Heartbeat(QObject):
    """Counts the milliseconds by which each beat comes later than `BEAT` after the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        self._last = 0.0
        self._timer = QTimer(self, interval=BEAT, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Begin."""
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> None:
        """End."""
        self._timer.stop()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, 1000 * (now - self._last) - BEAT))
        self._last = now


def measure(options: Options) -> dict[str, Any]:
    """The real window with the panel of a run that trains."""
    seconds = options.seconds or SECONDS
    rig = Rig(options)
    rig.train(shown=True)
    rig.go(SETTLING)
    steps, heart = len(rig.speeds), Heartbeat()
    heart.start()
    rig.go(seconds, heart.stop)
    steps = len(rig.speeds) - steps
    panel = rig.window.centre.current()
    rig.close()
    figures = [
        Figure("lateness p99 while training", quantile(heart.late, 0.99), "ms", 4),
        Figure("lateness max while training", max(heart.late), "ms", 33),
        Figure("lateness p50 while training", quantile(heart.late, 0.5), "ms"),
    ]
    shown = panel.name if panel is not None else ""
    return document("heartbeat", figures, beats=len(heart.late), steps=steps, seconds=seconds, panel=shown)
