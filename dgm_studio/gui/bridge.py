"""From the worker to the window: updates in batches, one wake-up per batch, each to whoever asked."""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QWidget

from dgm_studio.core.engine import Engine
from dgm_studio.core.outbox import Envelope, Outbox, Ticket
from dgm_studio.core.updates import Frame, Update
from dgm_studio.gui.panels.spec import JOB

BATCH_SECONDS = 0.008  # then the event loop gets its turn: half a frame at 60 Hz
REMEMBERED = 200  # input-to-pixel times kept for the heads-up display


class Receiver(Protocol):
    """Whoever gets updates: a panel, the library, the window itself."""

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Take one update to a question of one's own."""
        ...

    def settle(self) -> None:
        """The batch is over."""
        ...

    def hears(self, ticket: Ticket) -> bool:
        """Whether this job's updates are wanted though somebody else started it."""
        ...


class Latency:
    """Times from an input to the pixels that answer it, in seconds; the last `REMEMBERED` of them."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """Note one."""
        self._times.append(seconds)

    def __len__(self) -> int:
        return len(self._times)

    def quantile(self, share: float) -> float:
        """The time below which this share of them lies, in seconds; 0 when there is none."""
        times = sorted(self._times)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


class Asker:
    """How one receiver asks (see `panels.spec.Ask`); closed together with it.

    Args:
        bridge: The way back.
        name: Unique name of the receiver, without "/".
        receiver: Who gets the answers; may be set a little later, before the event loop runs again.
        fast: Topics whose time from input to pixel is measured.
    """

    def __init__(
        self, bridge: Bridge, name: str, receiver: Receiver | None = None, fast: frozenset[str] = frozenset()
    ) -> None:
        self.name = name
        self.receiver = receiver
        self.fast = fast
        self._bridge = bridge
        self._topics: set[str] = set()
        self.closed = False

    def __call__(self, topic: str, request: Any) -> Ticket:
        """Ask in the interactive lane."""
        self._topics.add(topic)
        ticket = self._bridge.engine.ask(f"{self.name}/{topic}", request)
        if topic in self.fast and not self._bridge.engine.warm.is_set():
            self._bridge.cold.add(ticket.id)
        return ticket

    def job(self, request: Any, name: str) -> Ticket:
        """Append a job; its updates come back with the topic `JOB`."""
        ticket = self._bridge.engine.submit(request, name)
        self._bridge.owners[ticket.id] = self.name
        return ticket

    def cancel(self, topic: str) -> None:
        """Drop the request of a topic."""
        self._bridge.engine.cancel(f"{self.name}/{topic}")

    def stop(self, ticket: Ticket) -> None:
        """Stop a job of one's own."""
        self._bridge.engine.stop(ticket)

    def close(self) -> None:
        """Nothing more is delivered; what waits or runs for this receiver is dropped. Jobs go on."""
        self.closed = True
        self._bridge.forget(self.name)
        for topic in self._topics:
            self.cancel(topic)


class Bridge(QObject):
    """Delivers updates on the GUI thread.

    Args:
        engine: Who answers.
        outbox: Where the answers wait.
        parent: Owner.
    """

    job_updated = Signal(object, object)
    """(Ticket, Update) of every job, for the status bar and the library."""
    measured = Signal()
    """The input-to-pixel times have changed."""
    woken = Signal()

    def __init__(self, engine: Engine, outbox: Outbox, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.engine = engine
        self.outbox = outbox
        self.latency = Latency()
        self.owners: dict[int, str] = {}
        self.cold: set[int] = set()
        """Tickets asked before the worker was warm: the time they wait is the start's, not an answer's."""
        self._answered = 0
        self._askers: dict[str, Asker] = {}
        self._numbers = itertools.count(1)
        self._left: deque[Envelope] = deque()
        self._received: dict[str, Asker] = {}
        self._unpainted: dict[QWidget, float] = {}
        self._again = QTimer(self, interval=0, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._again.timeout.connect(self.deliver)
        self._painting: list[float] = []
        self._after_paint = QTimer(self, interval=0, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._after_paint.timeout.connect(self._painted)
        self.woken.connect(self.deliver, Qt.ConnectionType.QueuedConnection)
        outbox.wake = self.woken.emit

    def asker(self, kind: str, receiver: Receiver | None = None, fast: frozenset[str] = frozenset()) -> Asker:
        """A way to ask for a new receiver; its name is `kind#number`."""
        asker = Asker(self, f"{kind}#{next(self._numbers)}", receiver, fast)
        self._askers[asker.name] = asker
        return asker

    def forget(self, name: str) -> None:
        """Drop what still comes for a receiver that is gone."""
        self._askers.pop(name, None)

    def close(self) -> None:
        """Deliver nothing from now on."""
        self.outbox.wake = _nobody
        self._askers.clear()
        self._left.clear()
        self._again.stop()
        self._after_paint.stop()
        self._unpainted.clear()

    def empty(self) -> bool:
        """Whether everything that came was handed out (what the worker just put is seen at the next turn)."""
        return not self._left and not self.outbox.waiting()

    def deliver(self) -> None:
        """Hand out what waits, for at most `BATCH_SECONDS`; the rest after the event loop had its turn."""
        self._left.extend(self.outbox.drain())
        end = time.perf_counter() + BATCH_SECONDS
        while self._left and time.perf_counter() < end:
            self._hand_out(self._left.popleft())
        received, self._received = self._received, {}
        for asker in received.values():
            if not asker.closed and asker.receiver is not None:
                _guarded(asker.receiver.settle)
        if self._left:
            # A zero timer, not another queued call: posted events are all worked off before the next click is seen.
            self._again.start()

    def _hand_out(self, envelope: Envelope) -> None:
        ticket, update = envelope.ticket, envelope.update
        if ticket.lane == "batch":
            self._hand_out_job(ticket, update)
            return
        name, _, topic = ticket.slot.partition("/")
        asker = self._askers.get(name)
        if asker is not None:
            self._give(asker, topic, update, ticket)
            fresh = ticket.id not in self.cold and ticket.id != self._answered
            if isinstance(update, Frame) and topic in asker.fast and fresh:
                self._answered = ticket.id  # a film goes on for seconds: its first picture is what the hand waits for
                self._measure(asker.receiver, ticket)

    def _hand_out_job(self, ticket: Ticket, update: Update) -> None:
        owner = self.owners.get(ticket.id)
        for asker in tuple(self._askers.values()):
            if asker.name == owner or (asker.receiver is not None and asker.receiver.hears(ticket)):
                self._give(asker, JOB, update, ticket)
        _guarded(self.job_updated.emit, ticket, update)

    def _give(self, asker: Asker, topic: str, update: Update, ticket: Ticket) -> None:
        if asker.receiver is None:
            return
        self._received[asker.name] = asker
        _guarded(asker.receiver.receive, topic, update, ticket)

    # -- input to pixel ----------------------------------------------------------------------------------------------

    def _measure(self, receiver: Receiver | None, ticket: Ticket) -> None:
        """Note that the next paint of the receiver's window ends this input's wait."""
        if not isinstance(receiver, QWidget) or not receiver.isVisible():
            return
        window = receiver.window()
        window.installEventFilter(self)  # once, however often it is called
        self._unpainted[window] = ticket.at

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A window is about to paint: when it has, the answer is on the screen."""
        if event.type() == QEvent.Type.UpdateRequest and isinstance(watched, QWidget):
            asked = self._unpainted.pop(watched, None)
            if asked is not None:
                self._painting.append(asked)
                self._after_paint.start()
        return False

    def _painted(self) -> None:
        """The paints that began are over: their answers are on the screen."""
        now = time.perf_counter()
        for asked in self._painting:
            self.latency.add(now - asked)
        self._painting.clear()
        self.measured.emit()


def _guarded(call: Callable[..., object], *arguments: Any) -> None:
    """Call; an error is reported where all unforeseen errors are, and the other receivers still get their updates."""
    try:
        call(*arguments)
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)


def _nobody() -> None:
    """Nobody is left to be woken."""
