"""A panel, or the whole window, as a picture: the real widgets, the real worker, no screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEventLoop, QMessageLogContext, QSize, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtWidgets import QWidget

from dgm_studio.core.updates import Problem
from dgm_studio.gui import panels, theme
from dgm_studio.gui.window import StudioWindow

QUIET_SECONDS = 0.6  # nothing asked and nothing answered for so long: the panel is idle
POLL_MS = 20
NOISE = "This plugin does not support propagateSizeHints()"  # Qt without a screen, of every window that is shown


@contextmanager
def without_noise() -> Iterator[None]:
    """Keep one message of Qt's, which means nothing, from standard error; all others are written as ever."""
    before = qInstallMessageHandler(_without_noise)
    try:
        yield
    finally:
        qInstallMessageHandler(before)


def _without_noise(kind: QtMsgType, context: QMessageLogContext, words: str) -> None:
    if words != NOISE:
        print(words, file=sys.stderr, flush=True)


def pass_time(milliseconds: int) -> None:
    """Let the event loop run; `QTest.qWait` would hold the interpreter's lock and with it the worker."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_until(idle: Callable[[], bool], seconds: float, quiet: float = QUIET_SECONDS) -> bool:
    """Run the event loop until `idle` has been true for `quiet` seconds; False when time is up."""
    end, since = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        pass_time(POLL_MS)
        if not idle():
            since = time.monotonic()
        elif time.monotonic() - since >= quiet:
            return True
    return False


def idle(window: StudioWindow) -> bool:
    """Whether the worker is warm and nothing is asked or on its way."""
    engine = window.bridge.engine
    return engine.warm.is_set() and engine.load().queue == 0 and window.bridge.empty()


def take(
    window: StudioWindow,
    panel: str,
    key: str,
    path: Path,
    *,
    size: tuple[int, int],
    state: Mapping[str, Any] | None = None,
    whole: bool = False,
    seconds: float = 120.0,
) -> None:
    """Open a model in a panel, wait until it is idle, write what it looks like.

    Args:
        window: Shown already.
        panel: The panel's stable name.
        key: Model key or path.
        path: The picture, .png.
        size: Of the panel, or of the whole window, in logical pixels.
        state: The panel's state.
        whole: The whole window instead of the panel alone.
        seconds: At most so long.

    Raises:
        Problem: No such panel or model, it does not fit, it takes too long, or the file cannot be written.
    """
    try:
        panels.named(panel)
    except KeyError as error:
        raise Problem(str(error.args[0]) + ".") from error
    if not wait_until(lambda: idle(window), seconds, quiet=0.0):
        raise Problem("The worker did not start in time.")
    card = window.shelf.read(key)
    window.show_library(whole)
    window.resize(*size)
    window.open(card.key, panel, state)
    shown = window.centre.current()
    if shown is None or shown.name != panel:
        raise Problem(f"The panel {panel} cannot show {card.name}.", "Choose another panel or model.")
    margin = 0 if whole else theme.SPACE[2]
    if not whole:
        window.resize(window.size() + QSize(*size) - QSize(2 * margin, 2 * margin) - shown.size())
    if not wait_until(lambda: idle(window), seconds):
        raise Problem(f"The panel was still busy after {seconds:g} s.", "Try again on a quieter machine.")
    focused = window.focusWidget()
    if focused is not None:
        focused.clearFocus()  # a picture for a page shows no ring
    target: QWidget = window if whole else shown
    if not _framed(target, margin).save(str(path)):
        raise Problem(f"{path} could not be written.", "Choose a .png in a folder that can be written to.")


def _framed(target: QWidget, margin: int) -> QPixmap:
    """A widget on the window's ground, with a margin around it."""
    picture = target.grab()
    ratio = picture.devicePixelRatio()
    wide, high = target.width() + 2 * margin, target.height() + 2 * margin
    framed = QPixmap(round(wide * ratio), round(high * ratio))
    framed.setDevicePixelRatio(ratio)
    framed.fill(theme.current().colour("bg0"))
    painter = QPainter(framed)
    painter.drawPixmap(margin, margin, picture)
    painter.end()
    return framed
