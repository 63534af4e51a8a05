"""The program with a window: the one file that sees both torch and Qt.

Nothing slow happens before the window is on the screen: torch is imported by the worker's thread after the first paint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, QSocketNotifier, Qt, QThread, QTimer, Signal
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QApplication

from dgm_studio import __version__, doctor
from dgm_studio.core import manifest, resources
from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.engine import Answer, Engine
from dgm_studio.core.outbox import Outbox
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.studio import Journal, Studio
from dgm_studio.core.updates import Problem, Update
from dgm_studio.gui import drops, icons, session, theme
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.shelf import Shelf
from dgm_studio.gui.tidying import Tidying
from dgm_studio.gui.window import StudioWindow

CLOSE_SECONDS = 0.9  # for the worker; the process ends within a second of the window's closing
log = logging.getLogger("dgm_studio")


def main(files: Sequence[str] = (), device: str = "auto") -> int:
    """Show the window and run until it is closed.

    Args:
        files: Checkpoints, run folders or exported pictures to open; model keys too.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        Exit status: 0, or 1 when this machine cannot run it.
    """
    wrong = doctor.known_bad()
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    application = make_application()
    keep_log(resources.session_dir() / "dgm-studio.log")
    program = Program(device)
    with _signals(program.window.close):
        program.show(files)
        application.exec()
    return program.end()


def make_application() -> QApplication:
    """The QApplication with what must be set before it exists."""
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    QCoreApplication.setApplicationName("DGM Studio")
    QCoreApplication.setApplicationVersion(__version__)
    running = QApplication.instance()
    return running if isinstance(running, QApplication) else QApplication(["dgm-studio"])


class Program(QObject):
    """Engine, bridge and window, in the order in which they come up and go down.

    Args:
        device: Where the worker computes.
        make_answer: The worker's function from request to updates; None opens the real workbench.
        folder: Where the session is kept; None is the user's.
    """

    failed = Signal(str)

    def __init__(
        self, device: str = "auto", make_answer: Callable[[], Answer] | None = None, folder: Path | None = None
    ) -> None:
        super().__init__()
        self._journal = Journal((folder or resources.session_dir()) / "session.json")
        self._last = self._journal.read()
        session.dress(self._last)
        if not self._last:
            theme.use()
        self.shelf = make_shelf()
        outbox = Outbox()
        self.engine = Engine(make_answer or open_worker(device, self.shelf), outbox)
        self.tidying = Tidying(self.engine, self)
        self.bridge = Bridge(self.engine, outbox, self)
        pictures = resources.home() / "thumbnails"
        pictures.mkdir(parents=True, exist_ok=True)
        self.window = StudioWindow(Studio(), self.bridge, self.shelf, self._journal, pictures)
        self.window.setWindowIcon(_window_icon())
        self._files: Sequence[str] = ()
        self._closed: bool | None = None
        self._warm = QTimer(self, interval=50)
        self._warm.timeout.connect(self._look_whether_warm)
        self.failed.connect(self._say_failed)
        self.window.first_painted.connect(self._begin)
        self.window.closing.connect(self._close_worker)
        sys.excepthook = self._on_error

    def show(self, files: Sequence[str] = ()) -> None:
        """Show the window; files are opened when it is on the screen."""
        self._files = files
        session.place(self.window, self._last)
        self.window.show()

    def end(self) -> int:
        """After the event loop: the exit status. When the worker is inside one long native call, the process ends here.

        Python would wait for the thread's call to return; the journal and every checkpoint are on disk by now.
        """
        sys.excepthook = sys.__excepthook__
        if self._closed is False:
            log.warning("the worker did not end in time")
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        return 0

    def _begin(self) -> None:
        self.engine.start()
        self._warm.start()
        self.window.reread_runs()
        self.window.last_session = dict(self._last)
        studio = self._last.get("studio", {})
        self.window.studio.restore({**studio, "comparison": studio.get("comparison", [])})
        if self._journal.kept_aside is not None:
            self.window.say(f"The last session could not be read; it is kept as {self._journal.kept_aside.name}.")
        keys = [str(key) for key in studio.get("keys", [])]
        self.window.start.show_session([Path(split_key(k)[0].removeprefix("zoo:")).name for k in keys])
        if self._files:
            open_all(self.window, self._files)
        elif keys and not self._last.get("clean", True):
            self.window.continue_session()
            self.window.say("The program had ended unexpectedly; this is where you were.")

    def _look_whether_warm(self) -> None:
        if self.engine.warm.is_set():
            self._warm.stop()
            self.window.worker_ready()

    def _close_worker(self) -> None:
        self._warm.stop()
        if self._closed is None:
            self._closed = self.window.stop_all(CLOSE_SECONDS)
            if self._closed:
                self.tidying.close()
            QCoreApplication.quit()

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Any unforeseen error: to the log, and as a notice; the program goes on."""
        if issubclass(kind, KeyboardInterrupt):
            self.window.close()
            return
        log.error("unhandled error", exc_info=(kind, error, trace))
        traceback.print_exception(kind, error, trace)
        words = f"{kind.__name__}: {str(error).splitlines()[0] if str(error) else 'no further words'}"
        if QThread.currentThread() is self.thread():
            self._say_failed(words)
        else:
            self.failed.emit(words)

    def _say_failed(self, words: str) -> None:
        self.window.say(f"Something went wrong. {words}", "Open the log's folder", _show_log)


def shot(
    panel: str,
    key: str,
    path: Path,
    *,
    look: str = "dark",
    scale: float = 1.0,
    size: tuple[int, int] = (1440, 900),
    state: Mapping[str, Any] | None = None,
    whole: bool = False,
    device: str = "auto",
) -> None:
    """Write a panel, or the whole window, as a picture; needs no screen and leaves the user's session alone.

    Args:
        panel: The panel's stable name ("latent").
        key: Model key or path.
        path: The picture, .png.
        look: "dark" or "light".
        scale: Device pixels for each logical pixel.
        size: Of the panel, or of the window when `whole`, in logical pixels.
        state: The panel's state.
        whole: The whole window.
        device: Where the worker computes.

    Raises:
        Problem: No such panel or model, or the picture cannot be made or written.
    """
    from dgm_studio.gui import shots

    if QApplication.instance() is None:
        os.environ["QT_SCALE_FACTOR"] = f"{scale:g}"
        os.environ["QT_QPA_PLATFORM"] = "offscreen"  # nothing flashes up on a screen, and the picture has any size
    make_application()
    with shots.without_noise(), tempfile.TemporaryDirectory(prefix="dgm-studio-shot-") as folder:
        program = Program(device, folder=Path(folder))
        try:
            theme.use(look)
            program.show()
            shots.take(program.window, panel, key, path, size=size, state=state, whole=whole)
        finally:
            program.window.close()
            program.end()


def open_all(window: StudioWindow, files: Sequence[str]) -> None:
    """Open keys, files and folders from the command line."""
    for name in files:
        if name.startswith(("zoo:", "run:")):
            window.open(name)
        else:
            drops.open_paths(window, [name])


def make_shelf() -> Shelf:
    """What there is to open, read without torch."""
    from dgm_studio.data import registry

    return Shelf(read=read_card, box=_box, runs=_runs, data=registry.cards)


def read_card(key: str) -> ModelCard:
    """The card of a key, with the name its run was given.

    Raises:
        Problem: Nothing is there, or it is not one of ours.
    """
    card = manifest.model_card(key)
    return _named(card) if card.source == "run" else card


def _box() -> list[ModelCard]:
    found = []
    for name in manifest.zoo_names():
        try:
            found.append(_boxed(name, manifest.zoo_path(name).stat().st_mtime_ns))
        except Problem as problem:  # one broken file must not keep the window from opening
            log.warning("zoo:%s is left out: %s", name, problem)
    return found


@lru_cache(maxsize=256)
def _boxed(name: str, changed: int) -> ModelCard:
    """A card in the box, read again when its file has changed: the library asks twice a second while a run trains."""
    return manifest.model_card(f"zoo:{name}")


def _runs() -> list[ModelCard]:
    return [_named(card) for card in manifest.list_runs()]


def _named(card: ModelCard) -> ModelCard:
    base, _ = split_key(card.key)
    try:
        name = RunFolder(Path(base.removeprefix("run:"))).read().get("name")
    except Problem:
        return card
    return replace(card, name=str(name)) if name else card


def open_worker(device: str, shelf: Shelf) -> Callable[[], Answer]:
    """What the worker's thread runs first: torch is imported here and nowhere before."""

    def make_answer() -> Answer:
        from dgm_studio.core.forms import fields_of
        from dgm_studio.explore.workbench import open_workbench, worker_threads
        from dgm_studio.models.registry import systems
        from dgm_studio.training.config import TrainingConfig

        workbench = open_workbench(device)
        shelf.training = fields_of(TrainingConfig)
        shelf.systems = dict(systems())
        threads = worker_threads()
        count = f" · {threads} thread{'s' if threads > 1 else ''}" if workbench.device.type == "cpu" else ""
        shelf.device = f"{workbench.device}{count}"
        answer: Callable[[Any], Iterator[Update]] = workbench.answer
        return answer

    return make_answer


def keep_log(path: Path) -> None:
    """Write warnings and errors to a file that is never larger than a megabyte."""
    handler = RotatingFileHandler(path, maxBytes=500_000, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)


def _show_log() -> None:
    from dgm_studio.gui.menus import show_folder

    show_folder(resources.session_dir())


def _window_icon() -> QIcon:
    icon = QIcon()
    for side in (16, 32, 64, 128):
        icon.addPixmap(QPixmap(icons.pixmap("logo", theme.PALETTES["light"].accent, side)))
    return icon


@contextlib.contextmanager
def _signals(close: Callable[[], object]) -> Iterator[None]:
    """SIGINT and SIGTERM close the window: Python sees them only between bytecodes, so Qt is woken through a socket."""
    if not hasattr(signal, "set_wakeup_fd") or os.name == "nt":
        yield
        return
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    notifier = QSocketNotifier(reader, QSocketNotifier.Type.Read)
    notifier.activated.connect(lambda: (os.read(reader, 64), close()))
    before = signal.set_wakeup_fd(writer)
    kept = {number: signal.signal(number, _noted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        notifier.setEnabled(False)
        signal.set_wakeup_fd(before)
        for number, handler in kept.items():
            signal.signal(number, handler)
        for end in (reader, writer):
            os.close(end)


def _noted(number: int, frame: FrameType | None) -> None:
    """The pipe wakes Qt; nothing is to be done here."""
