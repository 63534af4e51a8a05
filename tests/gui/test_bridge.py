"""From the worker to the window: the right receiver, in batches, without holding up the hand."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from dgm_studio.core.engine import Engine
from dgm_studio.core.outbox import Outbox, Ticket
from dgm_studio.core.updates import Done, Frame, Metrics, Update
from dgm_studio.gui.bridge import Bridge


@pytest.fixture
def application() -> QApplication:
    running = QApplication.instance()
    return running if isinstance(running, QApplication) else QApplication([])


class Listener(QLabel):
    def __init__(self, hears: bool = False) -> None:
        super().__init__("nothing yet")
        self.got: list[tuple[str, Update]] = []
        self.settled = 0
        self._hears = hears

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        self.got.append((topic, update))
        if isinstance(update, Frame):
            self.setText(str(update.data.get("n")))

    def settle(self) -> None:
        self.settled += 1

    def hears(self, ticket: Ticket) -> bool:
        return self._hears


def answer(request: Any) -> Iterator[Update]:
    yield Frame("decoded", {"n": request})
    yield Metrics("run", 1, {"loss": 0.0})


def unthreaded() -> tuple[Engine, Bridge]:
    outbox = Outbox()
    engine = Engine(lambda: answer, outbox, threaded=False)
    return engine, Bridge(engine, outbox)


def test_answers_reach_whoever_asked_and_nobody_else(application: QApplication) -> None:
    engine, bridge = unthreaded()
    one, other = Listener(), Listener()
    ask_one, ask_other = bridge.asker("latent", one), bridge.asker("latent", other)
    ask_one("decoded", 1)
    ask_other("map/3", 2)
    engine.pump()
    QTest.qWait(1)
    assert [type(u) for _, u in one.got] == [Frame, Metrics, Done]
    assert {t for t, _ in other.got} == {"map/3"} and other.text() == "2"
    assert one.settled == 1, "settled once per batch, not once per update"


def test_a_closed_receiver_hears_nothing_more_and_its_questions_are_dropped(application: QApplication) -> None:
    engine, bridge = unthreaded()
    listener = Listener()
    ask = bridge.asker("latent", listener)
    ask("decoded", 1)
    ask.close()
    assert engine.pump() == 0, "the waiting question is gone"
    ask_later = bridge.asker("latent", listener)
    ask_later("decoded", 2)
    engine.pump()
    ask_later.close()
    QTest.qWait(1)
    assert listener.got == []


def test_a_job_is_heard_by_its_owner_by_those_who_listen_and_by_the_window(application: QApplication) -> None:
    engine, bridge = unthreaded()
    owner, follower, stranger = Listener(), Listener(hears=True), Listener()
    ask = bridge.asker("training", owner)
    bridge.asker("training", follower)
    bridge.asker("latent", stranger)
    seen: list[Update] = []
    bridge.job_updated.connect(lambda ticket, update: seen.append(update))
    ask.job("train", "run 1")
    engine.pump()
    QTest.qWait(1)
    assert [t for t, _ in owner.got] == ["job"] * 3 and len(follower.got) == 3 and stranger.got == []
    assert isinstance(seen[-1], Done)


def test_one_receiver_that_raises_does_not_cost_the_others_their_answer(
    application: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Listener):
        def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
            raise RuntimeError("broken panel")

    reported: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: reported.append(error))
    engine, bridge = unthreaded()
    broken, whole = Broken(), Listener()
    bridge.asker("a", broken)("decoded", 1)
    bridge.asker("b", whole)("decoded", 2)
    engine.pump()
    QTest.qWait(1)
    assert whole.text() == "2" and len(reported) == 3


def test_five_thousand_updates_do_not_delay_a_click(application: QApplication) -> None:
    """Queued one by one they cost three seconds; here the event loop gets its turn every few milliseconds."""

    class Slow(Listener):
        def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
            until = time.perf_counter() + 0.0002  # as much as a cheap curve costs
            while time.perf_counter() < until:
                pass
            self.got.append((topic, update))

    outbox = Outbox()
    bridge = Bridge(Engine(lambda: answer, outbox, threaded=False), outbox)
    listener, button = Slow(), QPushButton("Click")
    name = bridge.asker("training", listener).name
    ticket = Ticket(1, f"{name}/curves", None, "", "interactive", time.perf_counter())
    button.show()
    at: list[int] = []
    button.clicked.connect(lambda: at.append(len(listener.got)))
    for step in range(5000):
        outbox.put(ticket, Metrics("run", step, {}))
    QTimer.singleShot(0, button.click)
    while len(listener.got) < 5000:
        QCoreApplication.processEvents()
    assert at and at[0] < 1000, f"the click was seen after {at} of 5000 updates"
    assert [u.step for _, u in listener.got if isinstance(u, Metrics)] == list(range(5000)), "none lost, in order"


def test_the_time_from_input_to_pixel_ends_after_the_paint(application: QApplication) -> None:
    engine, bridge = unthreaded()
    listener = Listener()
    listener.resize(200, 100)
    listener.show()
    QTest.qWait(50)
    ask = bridge.asker("latent", listener, fast=frozenset({"decoded"}))
    for number in range(4):
        ask("decoded", number)
        QTest.qWait(30)
        engine.pump()
        QTest.qWait(50)
    assert len(bridge.latency) == 3, "the first one waited for the worker's start, not for its answer"
    assert 0.03 <= bridge.latency.quantile(0.5) < 1.0
    hidden = Listener()
    bridge.asker("latent", hidden, fast=frozenset({"decoded"}))("decoded", 1)
    engine.pump()
    QTest.qWait(20)
    assert len(bridge.latency) == 3, "what nobody saw is not measured"


def test_a_worker_thread_wakes_the_window_and_the_bridge_can_be_closed_while_it_works(
    application: QApplication,
) -> None:
    outbox = Outbox()
    engine = Engine(lambda: answer, outbox)
    bridge = Bridge(engine, outbox)
    listener = Listener()
    ask = bridge.asker("latent", listener)
    engine.start()
    ask("decoded", 5)
    deadline = time.monotonic() + 5
    while listener.text() != "5" and time.monotonic() < deadline:
        QTest.qWait(5)
    assert listener.text() == "5"
    ask("decoded", 6)
    bridge.close()
    assert engine.close(2.0)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.MetaCall)
    assert listener.text() == "5", "a closed bridge delivers nothing more"
