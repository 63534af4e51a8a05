"""The real window with the real worker in this process, and a run that trains: what is measured with a screen."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEventLoop, QTimer

from dgm_studio import app
from dgm_studio.bench.figures import Options
from dgm_studio.bench.worker import PATIENCE, endless
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import Train
from dgm_studio.core.updates import Metrics, Problem, Update
from dgm_studio.gui.newrun import provisional_card
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.shots import idle, pass_time, wait_until

FIRST_MODEL = "zoo:vae-digits"
WARMING_STEPS = 5  # until a run counts as training


class Rig:
    """The program, shown and warm.

    Args:
        options: The device.
        files: Opened at once.
    """

    def __init__(self, options: Options, files: tuple[str, ...] = ()) -> None:
        self.options = options
        self.application = app.make_application()
        self.program = app.Program(options.device)
        self.window = self.program.window
        self.engine = self.program.engine
        self.run: Train | None = None
        self.speeds: list[tuple[int, float]] = []
        self.program.bridge.job_updated.connect(self._note)
        self.program.show(files)
        self.settle()

    def settle(self) -> None:
        """Until the worker is warm and nothing is asked any more.

        Raises:
            Problem: It never comes to rest.
        """
        if not wait_until(lambda: idle(self.window), PATIENCE):
            raise Problem("The window did not come to rest.")

    def look_at(self, key: str, panel: str) -> Panel:
        """Open a model in a panel; once it is complete.

        Raises:
            Problem: The panel does not show it.
        """
        self.window.open(key, panel)
        self.settle()
        shown = self.window.centre.current()
        if shown is None or shown.name != panel:
            raise Problem(f"The panel {panel} does not show {key}.")
        return shown

    def train(self, *, shown: bool) -> None:
        """Start a run that goes on until the end, and wait until it is well under way.

        Args:
            shown: Look at it while it trains; otherwise what was looked at stays.

        Raises:
            Problem: It does not begin.
        """
        self.run = endless("bench", self.options, self.options.config)
        if shown:
            system, cards = self.window.shelf.systems["vae"], self.window.shelf.data()
            card = provisional_card(self.run, system, cards[self.run.data], self.run.training["steps"])
            self.window.start_run(self.run, card)
        else:
            self.engine.submit(self.run, "bench")
        if not wait_until(lambda: len(self.speeds) >= WARMING_STEPS, PATIENCE, quiet=0.0):
            raise Problem("Training did not begin.")

    def go(self, seconds: float, then: Callable[[], object] | None = None) -> None:
        """Let the event loop run, undisturbed.

        Args:
            seconds: How long.
            then: Called at the end, inside the loop.
        """
        loop = QEventLoop()
        QTimer.singleShot(round(1000 * seconds), loop.quit)
        loop.exec()
        if then is not None:
            then()

    def close(self) -> None:
        """Close the window, and with it the worker."""
        self.window.close()
        pass_time(50)
        self.program.end()

    def _note(self, ticket: Ticket, update: Update) -> None:
        if isinstance(update, Metrics) and "train/loss" in update.values:
            self.speeds.append((update.step, update.values["examples_per_second"]))
