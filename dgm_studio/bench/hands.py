"""Seeded random events on the widgets of the real window: clicks, drags, keys, wheel, sizes, themes, tabs.

What is left out: closing the window, and dialogs that look at the disk (a random hand could delete files in them);
these are closed as soon as they open. Nothing of the program is changed for it.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

import shiboken6
from PySide6.QtCore import (
    QEvent,
    QEventLoop,
    QMessageLogContext,
    QObject,
    QPoint,
    QPointF,
    Qt,
    QTimer,
    QtMsgType,
    QUrl,
    Slot,
)
from PySide6.QtCore import qInstallMessageHandler as install_message_handler
from PySide6.QtGui import QContextMenuEvent, QDesktopServices, QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QTabBar, QWidget

from dgm_studio.bench.figures import Options
from dgm_studio.bench.rig import FIRST_MODEL, Rig
from dgm_studio.core.updates import Metrics

KINDS = {
    "click": 30,
    "double click": 5,
    "menu": 4,
    "drag": 20,
    "wheel": 14,
    "key": 14,
    "shortcut": 4,
    "hover": 5,
    "resize": 2,
    "theme": 1,
    "tab": 3,
    "escape": 3,
}
KEYS = (
    *(Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End),
    *(Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Tab),
    *(Qt.Key.Key_Delete, Qt.Key.Key_Backspace, Qt.Key.Key_F2, Qt.Key.Key_0, Qt.Key.Key_1, Qt.Key.Key_7),
    *(Qt.Key.Key_A, Qt.Key.Key_J, Qt.Key.Key_K, Qt.Key.Key_L, Qt.Key.Key_R, Qt.Key.Key_Minus, Qt.Key.Key_Period),
)
SHORTCUTS = "NDZSEBIJTKC123456789=-"  # with Ctrl; not O, which opens a dialog, and not Q
BUTTONS = (Qt.MouseButton.LeftButton,) * 6 + (Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton)
MODIFIERS = (Qt.KeyboardModifier.NoModifier,) * 5 + (
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)
SMALLEST, LARGEST = (700, 500), (1800, 1150)
DRAG_STEPS = 6
LIVELY = 0.6  # of the events go to widgets that can be used, the others to any that is seen
RESTART_EVERY = 250  # events: a run that a hand has stopped is started again, a model is opened
PAUSE = 20  # ms after a dialog was closed
REST = 2.0  # s after the last event, for what is still on its way


class Witness(QObject):
    """Counts what nobody handles: exceptions on every thread, and what Qt calls critical. Keeps the window open."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.critical: list[str] = []
        self._before = sys.excepthook
        sys.excepthook = self._exception
        threading.excepthook = lambda found: self._exception(found.exc_type, found.exc_value, found.exc_traceback)
        sys.unraisablehook = lambda found: self._exception(found.exc_type, found.exc_value, found.exc_traceback)
        install_message_handler(self._message)
        QDesktopServices.setUrlHandler("file", self, "swallow")  # type: ignore[arg-type]  # the stubs want bytes, the call refuses them
        rig.window.installEventFilter(self)
        self.closing = False

    def _exception(self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        self.errors.append("".join(traceback.format_exception(kind, error, trace))[-2000:])
        if error is not None:
            self._before(kind, error, trace)

    def _message(self, kind: QtMsgType, context: QMessageLogContext, words: str) -> None:
        if kind in (QtMsgType.QtCriticalMsg, QtMsgType.QtFatalMsg):
            self.critical.append(words)
        print(words, file=sys.stderr, flush=True)

    @Slot(QUrl)
    def swallow(self, url: QUrl) -> None:
        """The desktop's own programs are not tested here."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Refuse to close until all is over."""
        if event.type() == QEvent.Type.Close and not self.closing:
            event.ignore()
            return True
        return False


class Hands(QObject):
    """Sends events, one at each turn of whatever event loop runs (dialogs have loops of their own).

    Args:
        rig: The window.
        options: Seed and number.
        record: Every event is written here before it is sent.
        ended: Called after the last one.
    """

    def __init__(self, rig: Rig, options: Options, record: TextIO, ended: Callable[[], object]) -> None:
        super().__init__()
        self.rig, self.sent, self.kinds = rig, 0, Counter[str]()
        self.widgets: Counter[str] = Counter()
        self._count, self._record, self._ended = options.count, record, ended
        self._random = random.Random(options.seed)
        self._model = options.checkpoint or FIRST_MODEL

    def turn(self) -> None:
        """One event; the next one is planned first, for this one may open a loop of its own."""
        if self.sent >= self._count:
            self._ended()
            return
        if self._close_file_dialogs():
            # A hand cannot act before a dialog's own loop has ended; without the pause it would act inside it.
            QTimer.singleShot(PAUSE, self, self.turn)
            return
        QTimer.singleShot(0, self, self.turn)
        self.sent += 1
        if self.sent % RESTART_EVERY == 0:
            self._keep_busy()
        kind = self._random.choices(list(KINDS), list(KINDS.values()))[0]
        seen = (
            self._in_sight()
        )  # held until this turn is over: with a wrapper, those of its children lose their validity
        widget = self._pick(kind, seen)
        if widget is None:
            return
        self.kinds[kind] += 1
        self.widgets[type(widget).__name__] += 1
        what = {"event": self.sent, "kind": kind, "widget": type(widget).__name__, "name": widget.accessibleName()}
        self._record.write(json.dumps(what) + "\n")
        self._record.flush()
        getattr(self, "_" + kind.replace(" ", "_"))(widget)

    # -- where -------------------------------------------------------------------------------------------------------

    def _in_sight(self) -> list[QWidget]:
        """Every widget that a hand could hit now."""
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        top = application.activePopupWidget() or application.activeModalWidget()
        tops = [top] if top is not None else [each for each in application.topLevelWidgets() if each.isVisible()]
        return [widget for each in tops for widget in (each, *each.findChildren(QWidget)) if _can_be_hit(widget)]

    def _pick(self, kind: str, seen: list[QWidget]) -> QWidget | None:
        found = [widget for widget in seen if isinstance(widget, QTabBar)] if kind == "tab" else seen
        lively = [widget for widget in found if widget.focusPolicy() != Qt.FocusPolicy.NoFocus]
        if lively and self._random.random() < LIVELY:
            found = lively
        return self._random.choice(found) if found else None

    def _place(self, widget: QWidget) -> QPointF:
        seen = widget.visibleRegion().boundingRect()
        x = seen.left() + self._random.random() * max(1, seen.width() - 1)
        return QPointF(x, seen.top() + self._random.random() * max(1, seen.height() - 1))

    def _close_file_dialogs(self) -> bool:
        found = [each for each in QApplication.topLevelWidgets() if isinstance(each, QFileDialog) and each.isVisible()]
        for each in found:
            each.reject()
        return bool(found)

    def _keep_busy(self) -> None:
        """A run that trains, and a model to look at: hands stop the one and leave the other."""
        run = self.rig.run
        jobs = self.rig.engine.jobs()
        if run is not None and not any(job.state in ("running", "waiting") for job in jobs):
            self.rig.engine.submit(run, "bench")
        if self._random.random() < 0.5:
            self.rig.window.open(self._model, self._random.choice(("latent", "samples", "training", "")))
        elif run is not None and self.rig.window.shelf.systems:
            self.rig.window.open(f"run:{run.run}", self._random.choice(("training", "latent", "")))

    # -- what --------------------------------------------------------------------------------------------------------

    def _mouse(self, widget: QWidget, kind: QEvent.Type, place: QPointF, button: Qt.MouseButton, held: bool) -> None:
        if not shiboken6.isValid(widget):  # the event before has closed what it belonged to
            return
        down = button if held else Qt.MouseButton.NoButton
        at = QPointF(widget.mapToGlobal(place))
        event = QMouseEvent(kind, place, at, button, down, self._modifier)
        QApplication.sendEvent(widget, event)

    @property
    def _modifier(self) -> Qt.KeyboardModifier:
        return self._random.choice(MODIFIERS)

    def _press(self, widget: QWidget, place: QPointF, button: Qt.MouseButton, kind: QEvent.Type) -> None:
        self._mouse(widget, kind, place, button, True)
        self._mouse(widget, QEvent.Type.MouseButtonRelease, place, button, False)

    def _click(self, widget: QWidget) -> None:
        self._press(widget, self._place(widget), self._random.choice(BUTTONS), QEvent.Type.MouseButtonPress)

    def _double_click(self, widget: QWidget) -> None:
        place, left = self._place(widget), Qt.MouseButton.LeftButton
        self._press(widget, place, left, QEvent.Type.MouseButtonPress)
        self._press(widget, place, left, QEvent.Type.MouseButtonDblClick)

    def _menu(self, widget: QWidget) -> None:
        place = self._place(widget).toPoint()
        event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, widget.mapToGlobal(place))
        QApplication.sendEvent(widget, event)

    def _drag(self, widget: QWidget) -> None:
        start, end, button = self._place(widget), self._place(widget), self._random.choice(BUTTONS)
        self._mouse(widget, QEvent.Type.MouseButtonPress, start, button, True)
        for step in range(1, DRAG_STEPS + 1):
            place = start + (end - start) * (step / DRAG_STEPS)
            if shiboken6.isValid(widget):
                at = QPointF(widget.mapToGlobal(place))
                none, kept = Qt.MouseButton.NoButton, self._modifier
                event = QMouseEvent(QEvent.Type.MouseMove, place, at, none, button, kept)
                QApplication.sendEvent(widget, event)
        self._mouse(widget, QEvent.Type.MouseButtonRelease, end, button, False)

    def _hover(self, widget: QWidget) -> None:
        place = self._place(widget)
        self._mouse(widget, QEvent.Type.MouseMove, place, Qt.MouseButton.NoButton, False)

    def _wheel(self, widget: QWidget) -> None:
        place = self._place(widget)
        turns = QPoint(0, self._random.choice((-360, -120, -40, 40, 120, 360)))
        none, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
        at = QPointF(widget.mapToGlobal(place))
        event = QWheelEvent(place, at, QPoint(), turns, none, self._modifier, phase, False)
        QApplication.sendEvent(widget, event)

    def _key_to(self, widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier) -> None:
        QTest.keyClick(widget, key, modifier)

    def _key(self, widget: QWidget) -> None:
        target = QApplication.focusWidget() or widget
        shift = self._random.choice((Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier))
        self._key_to(target, self._random.choice(KEYS), shift)

    def _shortcut(self, widget: QWidget) -> None:
        control = Qt.KeyboardModifier.ControlModifier
        if self._random.random() < 0.2:
            control |= Qt.KeyboardModifier.ShiftModifier
        self._key_to(widget, Qt.Key(ord(self._random.choice(SHORTCUTS))), control)

    def _escape(self, widget: QWidget) -> None:
        target = QApplication.activePopupWidget() or QApplication.activeModalWidget() or widget
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(target, event)

    def _resize(self, widget: QWidget) -> None:
        wide, high = (self._random.randint(low, high) for low, high in zip(SMALLEST, LARGEST, strict=True))
        self.rig.window.resize(wide, high)

    def _theme(self, widget: QWidget) -> None:
        self.rig.window.toggle_theme()

    def _tab(self, widget: QWidget) -> None:
        if isinstance(widget, QTabBar) and widget.count():
            self._press(
                widget,
                QPointF(widget.tabRect(self._random.randrange(widget.count())).center()),
                Qt.MouseButton.LeftButton,
                QEvent.Type.MouseButtonPress,
            )


def _can_be_hit(widget: QWidget) -> bool:
    return widget.isVisible() and widget.isEnabled() and not widget.visibleRegion().isEmpty()


def main(record: str, options: str) -> None:
    """Show the window, train, send the events, tell what came of it."""
    asked = Options(**json.loads(options))
    rig = Rig(asked)
    witness = Witness(rig)
    rig.look_at(asked.checkpoint or FIRST_MODEL, "latent")
    rig.train(shown=False)
    steps: Counter[str] = Counter()
    rig.program.bridge.job_updated.connect(lambda _, update: steps.update(["steps"] * isinstance(update, Metrics)))
    with Path(record).open("w", encoding="utf-8") as file:
        loop = QEventLoop()
        hands = Hands(rig, asked, file, loop.quit)
        QTimer.singleShot(0, hands, hands.turn)
        loop.exec()
        rig.go(REST)
    witness.closing = True
    alive = rig.engine.warm.is_set() and rig.window.isVisible()
    found = {
        "sent": hands.sent,
        "kinds": dict(hands.kinds),
        "widgets": dict(hands.widgets),
        "steps": steps["steps"],
        "alive": alive,
        "errors": witness.errors,
        "critical": witness.critical,
    }
    rig.window.close()
    print(json.dumps(found), flush=True)
    sys.exit(rig.program.end())


if __name__ == "__main__":
    main(*sys.argv[1:])
