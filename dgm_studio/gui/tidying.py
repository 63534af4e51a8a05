"""Collects reference cycles where nobody can be hurt: on the window's thread, while the worker stands still.

A cycle may hold widgets, which die only on the thread that made them, and tensors, whose end may wait for a lock of
torch that the worker holds while it waits for the interpreter: left to Python, a collection in the middle of making a
label stood still for good. So automatic collection is off, and the worker is asked to stand between two of its turns.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from dgm_studio.core.engine import Engine

LOOK_MS = 1000
YOUNG = 3000  # objects made and not yet freed since the last time; Python itself would have looked four times
FULL_EVERY = 8  # of so many collections one looks at the old objects too, which takes 16 ms
FULL_IN_TRAINING = 64  # the same while a job runs: curves and sliders move then


class Tidying(QObject):
    """From its making to `close`, the only one who collects.

    Args:
        engine: Whose worker is asked to stand.
        parent: Owner.
    """

    stands = Signal()

    def __init__(self, engine: Engine, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.collections = 0
        self._engine = engine
        self._asked = False
        self._automatic = gc.isenabled()
        gc.disable()
        self.stands.connect(self._collect, Qt.ConnectionType.QueuedConnection)
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Ask the worker to stand when there may be something to collect."""
        if not self._asked and gc.get_count()[0] > YOUNG:
            self.ask()

    def ask(self) -> None:
        """Collect as soon as the worker stands."""
        self._asked = True
        self._engine.stand_still(self.stands.emit)

    def close(self) -> None:
        """Leave it to Python again, as it was before."""
        self._timer.stop()
        if self._automatic:
            gc.enable()

    def _collect(self) -> None:
        self._asked = False
        with self._engine.standing_still() as still:
            if still:
                self.collections += 1
                runs = any(job.state == "running" for job in self._engine.jobs())
                every = FULL_IN_TRAINING if runs else FULL_EVERY
                gc.collect(2 if self.collections % every == 0 else 1)
