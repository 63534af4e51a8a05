"""How far a question is that takes a while: a line, words with the time left, a button that stops it."""

from __future__ import annotations

import time

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from dgm_studio.core.updates import Progress
from dgm_studio.gui import theme
from dgm_studio.gui.widgets.curveaxis import duration
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.progressline import ProgressLine

SHOWN_AFTER_MS = 500  # what is quicker needs no words


class RunningStrip(QWidget):
    """Keeps its room, and is empty unless something has run for half a second.

    Signals:
        stopped(): The button.
    """

    stopped = Signal()

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._since = 0.0
        self.line = ProgressLine(f"Progress: {name}", self)
        self.words = ElidedLabel("", "secondary", self)
        self.stop = Button("Stop", self, icon="stop")
        self.stop.setAccessibleName(f"Stop: {name}")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.words, 2)
        row.addWidget(self.line, 1)
        row.addWidget(self.stop)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._wait = QTimer(self, singleShot=True, interval=SHOWN_AFTER_MS)
        self._wait.timeout.connect(self._appear)
        self.stop.clicked.connect(self.stopped)
        theme.changed.connect(self._fit)
        self._fit()
        self.end()

    def running(self) -> bool:
        """Whether something runs, shown or not."""
        return self._since > 0

    def begin(self) -> None:
        """Something has begun; what was said before stays until there is something to say."""
        if not self.running():
            self._wait.start()
        self._since = time.monotonic()
        self.line.set_share(None)

    def progress(self, update: Progress) -> None:
        """How far it is; the time left by its own estimate, else from the time it took so far."""
        share = update.done / update.total if update.total else None
        left = update.seconds_left
        if left is None and share and 0.05 < share < 1.0 and self._since:
            left = (time.monotonic() - self._since) * (1.0 - share) / share
        self.line.set_share(share)
        said = [update.text, f"{duration(max(1.0, round(left)))} left" if left else ""]
        self.words.setText(" · ".join(part for part in said if part))

    def end(self, words: str = "") -> None:
        """It is over."""
        self._since = 0.0
        self._wait.stop()
        self.words.setText(words)
        for part in (self.line, self.stop):
            part.hide()

    def _appear(self) -> None:
        for part in (self.line, self.stop):
            part.show()

    def _fit(self) -> None:
        self.setMinimumHeight(theme.current().px(28))
