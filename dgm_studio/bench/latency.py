"""From a hand that drags a slider to the picture that answers it, in the real window.

A mouse moves 30 times a second along the track of the first latent. Each of its moves has a time at which it was due,
and is answered at the end of the paint that shows a picture asked for at or after it. The time between the two is the
figure: what the window's thread is late with counts as much as what the worker takes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import Any, Protocol

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.bench.figures import Figure, Options, document, quantile
from dgm_studio.bench.rig import FIRST_MODEL, Rig
from dgm_studio.checkpoints.store import load_model
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.pictures import to_uint8
from dgm_studio.core.requests import DecodeLatent
from dgm_studio.core.updates import Frame, Update
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.widgets.latentslider import LatentSlider
from dgm_studio.gui.widgets.slidertrack import SliderTrack

SECONDS = 10.0
RATE = 30.0  # moves a second
SWING = 2.0  # s from one end of the track to the other
MARGIN = 0.1  # of the track at either end that the hand leaves alone
AFTERWARDS = 1.0  # s for the last picture
ROUNDING = 1  # grey level by which two decoders of the same latent may differ


class Watch(QObject):
    """Notes what a panel asks, what it is shown, and when that is painted.

    Args:
        rig: The window.
        panel: Whose pictures count.
        kind: The questions that count.
    """

    def __init__(self, rig: Rig, panel: Panel, kind: type[Any]) -> None:
        super().__init__()
        self._kind = kind
        self.asked: list[tuple[float, int]] = []  # time, ticket
        self.painted: list[tuple[float, int]] = []
        self.shown: list[int] = []
        self.latest: dict[str, Any] = {}
        self._panel = panel
        self._unpainted: list[int] = []
        self._paints: list[list[int]] = []
        self._after_paint = QTimer(self, interval=0, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._after_paint.timeout.connect(self._paint_ended)
        self._ask, self._receive = rig.engine.ask, panel.receive
        rig.engine.ask = self._note_ask  # type: ignore[method-assign]
        panel.receive = self._note_receive  # type: ignore[method-assign]
        panel.window().installEventFilter(self)

    def _note_ask(self, slot: str, request: Any) -> Ticket:
        ticket = self._ask(slot, request)
        if isinstance(request, self._kind):
            self.asked.append((time.perf_counter(), ticket.id))
        return ticket

    def _note_receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        self._receive(topic, update, ticket)
        if isinstance(update, Frame) and isinstance(ticket.request, self._kind):
            self.shown.append(ticket.id)
            self._unpainted.append(ticket.id)
            self.latest = dict(update.data)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window is about to paint what it was shown so far."""
        if event.type() == QEvent.Type.UpdateRequest and self._unpainted:
            self._paints.append(self._unpainted)
            self._unpainted = []
            self._after_paint.start()
        return False

    def _paint_ended(self) -> None:
        now = time.perf_counter()
        self.painted += [(now, ticket) for tickets in self._paints for ticket in tickets]
        self._paints = []


class Hand(QObject):
    """Drags over a slider's track, or anything else that is dragged over, from end to end and back.

    Args:
        track: Held from the first move on.
        seconds: How long.
        down: Also go slowly from the top to the bottom, so that a brush is never where it was.
    """

    def __init__(self, track: QWidget, seconds: float, *, down: bool = False) -> None:
        super().__init__()
        self.due: list[float] = []
        self._down, self._seconds = down, seconds
        self._track, self._moves = track, round(seconds * RATE)
        self._begun = 0.0
        self._timer = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._move)

    def start(self) -> None:
        """Press and begin."""
        self._begun = time.perf_counter()
        self._send(QEvent.Type.MouseButtonPress, 0.0)
        self._move()

    def _move(self) -> None:
        now = time.perf_counter()
        number = len(self.due)
        if number >= self._moves:
            self._send(QEvent.Type.MouseButtonRelease, self._moves / RATE)
            return
        self.due.append(self._begun + number / RATE)
        self._send(QEvent.Type.MouseMove, number / RATE)
        self._timer.start(max(0, round(1000 * (self._begun + (number + 1) / RATE - now))))

    def _send(self, kind: QEvent.Type, seconds: float) -> None:
        phase = (seconds / SWING) % 2.0
        share = MARGIN + (1 - 2 * MARGIN) * (phase if phase < 1 else 2 - phase)
        level = MARGIN + (1 - 2 * MARGIN) * seconds / self._seconds if self._down else 0.5
        place = QPointF(share * self._track.width(), level * self._track.height())
        held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else Qt.MouseButton.LeftButton
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
        event = QMouseEvent(kind, place, self._track.mapToGlobal(place), button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._track, event)


def measure(options: Options) -> dict[str, Any]:
    """Idle, then while a run trains."""
    key = options.checkpoint or FIRST_MODEL
    rig = Rig(options)
    panel = rig.look_at(key, "latent")
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for name, bar in (("idle", 33.0), ("training", 60.0)):
        if name == "training":
            rig.train(shown=False)
        found = drag(rig, panel, options, first_track(panel), DecodeLatent)
        found["last"] = found["last"] and is_right(panel, found.pop("latest"))
        details[name] = found
        figures += [
            Figure(f"slider to pixels p95, {name}", found["p95"], "ms", bar),
            Figure(f"slider to pixels p50, {name}", found["p50"], "ms"),
            Figure(f"stale pictures, {name}", found["stale"], f"of {found['shown']}", 0),
            Figure(f"moves without a picture, {name}", found["unanswered"], f"of {found['moves']}", 0),
            Figure(f"last picture is that of the last value, {name}", float(found["last"]), "", 1, at_least=True),
        ]
    rig.close()
    return document("latency", figures, model=key, **details)


class Moves(Protocol):
    """A hand that does something again and again: when each was due, and how it begins."""

    due: list[float]

    def start(self) -> None:
        """Begin."""


def drag(
    rig: Rig, panel: Panel, options: Options, track: QWidget, kind: type[Any], *, down: bool = False
) -> dict[str, Any]:
    """Drag and say when the answers to questions of a kind were painted, and what the last of them holds."""
    seconds = options.seconds or SECONDS
    return follow(rig, panel, Hand(track, seconds, down=down), seconds, kind)


def follow(rig: Rig, panel: Panel, hand: Moves, seconds: float, kind: type[Any]) -> dict[str, Any]:
    """When the answers to what a hand asks were painted, what the last of them holds, and what it cost.

    Processor time is the window's thread's and the whole program's over the gesture, in ms for each move: a figure that
    a busy machine changes little.
    """
    watch = Watch(rig, panel, kind)
    own, whole = time.thread_time(), time.process_time()
    hand.start()
    rig.go(seconds + AFTERWARDS)
    own, whole = time.thread_time() - own, time.process_time() - whole
    del rig.engine.ask, panel.receive
    times = answer_times(hand.due, watch.asked, watch.painted)
    answered = [1000 * each for each in times if each is not None]
    steps = zip(watch.shown, watch.shown[1:], strict=False)
    return {
        "p50": quantile(answered, 0.5),
        "p95": quantile(answered, 0.95),
        "max": max(answered, default=float("nan")),
        "moves": len(hand.due),
        "unanswered": times.count(None),
        "shown": len(watch.shown),
        "stale": sum(later < earlier for earlier, later in steps),
        "last": bool(watch.asked) and bool(watch.painted) and watch.painted[-1][1] == watch.asked[-1][1],
        "latest": watch.latest,
        "head-up p95": 1000 * rig.program.bridge.latency.quantile(0.95),
        "window's processor ms a move": 1000 * own / max(1, len(hand.due)),
        "processor ms a move": 1000 * whole / max(1, len(hand.due)),
    }


def first_track(panel: QWidget) -> SliderTrack:
    """The track of the first slider that is seen."""
    sliders = [each for each in panel.findChildren(LatentSlider) if each.isVisible() and not each.locked()]
    first = min(sliders, key=lambda each: each.mapToGlobal(QPointF(0, 0)).y())
    found = first.findChild(SliderTrack)
    assert isinstance(found, SliderTrack)
    return found


def answer_times(
    due: list[float], asked: list[tuple[float, int]], painted: list[tuple[float, int]]
) -> list[float | None]:
    """Seconds from each move to the end of the first paint of a picture that was asked for at or after it.

    >>> answer_times([0.0, 1.0, 2.0], [(0.1, 7), (1.1, 8)], [(0.5, 7), (1.4, 8)])
    [0.5, 0.3999999999999999, None]
    """
    found: list[float | None] = []
    for moment in due:
        place = bisect_left(asked, (moment, 0))
        wanted = asked[place][1] if place < len(asked) else None
        ends = [at for at, ticket in painted if wanted is not None and ticket >= wanted]
        found.append(min(ends) - moment if ends else None)
    return found


def is_right(panel: Panel, latest: dict[str, Any]) -> bool:
    """Whether the picture is what the decoder makes of the latent that the panel stands at."""
    asked = panel.shown()
    if not isinstance(asked, DecodeLatent):
        return False
    import torch

    model = load_model(asked.model)[0]
    with torch.inference_mode():
        mean = model.decode(torch.tensor([asked.z])).mean.numpy()  # type: ignore[operator]
    difference = to_uint8(mean)[0].astype(int) - latest["picture"].astype(int)
    return bool(np.abs(difference).max() <= ROUNDING)
