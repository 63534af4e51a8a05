"""The strip under the panel: one handle that moves every panel of the model to any snapshot of its training."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.scrubber import Scrubber


class TimeMachine(QFrame):
    """See the module.

    Signals:
        scrubbed(int): Look at the snapshot of this step; -1 is the newest state, live while the run trains.
        fork_wanted(int): Start a run that branches off here (a step).
    """

    scrubbed = Signal(int)
    fork_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "card")
        self.setAccessibleName("Time machine")
        self.scrubber = Scrubber("Time machine", self)
        self._snapshots: tuple[int, ...] = ()
        self._last = 0
        self._newest = Button("Newest", self)
        self._newest.setToolTip("Back to the newest state of the run")
        self._fork = Button("Fork here", self)
        self._fork.setToolTip("Start a run from this snapshot with changed settings")
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.SPACE[2], theme.SPACE[1], theme.SPACE[2], theme.SPACE[1])
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self.scrubber, 1)
        row.addWidget(self._newest)
        row.addWidget(self._fork)
        self.scrubber.step_changed.connect(self._moved)
        self._newest.clicked.connect(self._to_newest)
        self._fork.clicked.connect(self._on_fork)

    def show_snapshots(self, snapshots: Sequence[int], newest: int, chosen: int | None) -> None:
        """Show a run's snapshots; hidden when it has none.

        Args:
            snapshots: Their steps.
            newest: Step of the newest state.
            chosen: The snapshot that is looked at; None for the newest state.
        """
        self.setVisible(bool(snapshots))
        if not snapshots:
            return
        self._snapshots = tuple(snapshots)
        self._last = max(newest, snapshots[-1])
        self.scrubber.set_steps(sorted({*snapshots, self._last}), self._last)
        self.scrubber.set_step(self._last if chosen is None else chosen)
        self._newest.setEnabled(chosen is not None)

    def _moved(self, step: int) -> None:
        newest = step == self._last
        self._newest.setEnabled(not newest)
        self.scrubbed.emit(-1 if newest else step)

    def _to_newest(self) -> None:
        self.scrubber.set_step(self._last)
        self._newest.setEnabled(False)
        self.scrubbed.emit(-1)

    def _on_fork(self) -> None:
        step = self.scrubber.step()
        if step is not None:  # of the newest step there may be no snapshot yet
            self.fork_wanted.emit(max((s for s in self._snapshots if s <= step), default=step))
