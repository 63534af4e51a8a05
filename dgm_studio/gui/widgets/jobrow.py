"""One running job: name, progress, figures, pause and stop."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curveaxis import duration
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.progressline import ProgressLine


class JobRow(QWidget):
    """Shows how far a job is and lets it be paused, continued and stopped.

    Signals:
        paused(), resumed(), stopped(), retried(): What the hand wants.
    """

    paused = Signal()
    resumed = Signal()
    stopped = Signal()
    retried = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = "running"
        self._name = ElidedLabel(name, "secondary", self)
        self._line = ProgressLine(f"{name}, progress", self)
        self._figures = ElidedLabel("", "figures", self)
        self._pause = Button("Pause", self)
        self._stop = IconButton("stop", f"Stop {name}", self)
        self._line.setMinimumWidth(64)
        self._fit()
        theme.changed.connect(self._fit)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[2])
        row.addWidget(self._name)
        row.addWidget(self._line, 1, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self._figures, 2)
        row.addWidget(self._pause)
        row.addWidget(self._stop)
        self._pause.clicked.connect(self._on_pause)
        self._stop.clicked.connect(self.stopped)

    def set_progress(self, done: float, total: float, text: str = "", seconds_left: float | None = None) -> None:
        """Show how far it is.

        Args:
            done: Units done.
            total: Units in all, 0 when nobody knows.
            text: Speed and the like ("41 steps/s").
            seconds_left: Where that is known.
        """
        self._line.set_share(done / total if total > 0 else None)
        parts = [f"{done:,.0f} / {total:,.0f}" if total > 0 else "", text]
        parts.append(f"{duration(seconds_left)} left" if seconds_left is not None else "")
        self._figures.setText(" · ".join(part for part in parts if part))

    def state(self) -> str:
        """One of "running", "paused", "failed"."""
        return self._state

    def set_state(self, state: str, words: str = "") -> None:
        """Say that it is "running", "paused" or "failed" (`words` then say why)."""
        self._state = state
        self._pause.setText({"running": "Pause", "paused": "Continue", "failed": "Try again"}[state])
        self._line.set_token("bad" if state == "failed" else "live")
        if state != "running":
            self._line.set_share(self._line.share() or 0.0)
        if words:
            self._figures.setText(words)

    def _fit(self) -> None:
        self._line.setMaximumWidth(theme.current().px(160))
        self._name.setMaximumWidth(theme.current().px(180))

    def _on_pause(self) -> None:
        {"running": self.paused, "paused": self.resumed, "failed": self.retried}[self._state].emit()
