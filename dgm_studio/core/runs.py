"""Run folders: what training writes and everybody reads, with the standard library.

FOLDER/run.json                        what the run is and where it stands (replaced as a whole)
FOLDER/metrics.jsonl                   figures, flags and KL rows, one JSON object a line (only ever appended to)
FOLDER/checkpoints/step-XXXXXXXX.safetensors
FOLDER/snapshots/step-XXXXXXXX.safetensors      averaged weights in half precision: the time machine
FOLDER/resume.safetensors, resume.json          all that is needed to go on
FOLDER/lock                            held by the one process that trains it
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dgm_studio.core import atomic
from dgm_studio.core.resources import runs_dir
from dgm_studio.core.updates import Problem

RUN_VERSION = 1
MOST_SNAPSHOTS = 64
LOCK_TRIES = 5  # whoever looks whether a run is held holds it for a moment
LONGEST_NAME = 60  # letters of a folder's name; with four bytes each it still fits every file system
_STEP = re.compile(r"step-(\d{8,})\.safetensors")


def run_path(name: str) -> Path:
    """A run's folder from its path, or from its bare name below the user's runs."""
    path = Path(name).expanduser()
    if not path.is_absolute() and path.parent == Path(".") and not path.is_dir():
        path = runs_dir() / path
    return path.resolve()  # one spelling, or a run would be looked for under another name than it trains under


def curves_file(checkpoint: Path) -> Path:
    """Where the curves of a checkpoint are that left its run's folder: NAME.metrics.jsonl beside NAME.safetensors."""
    return checkpoint.with_suffix(".metrics.jsonl")


def new_run_folder(name: str) -> Path:
    """A folder that does not exist yet, below the user's runs: the name, with a number when it is taken."""
    plain = re.sub(r"[^\w.-]+", "-", name)[:LONGEST_NAME].strip("-.") or "run"
    folder, number = runs_dir() / plain, 2
    while folder.exists():
        folder, number = runs_dir() / f"{plain}-{number}", number + 1
    return folder


def described_runs() -> dict[Path, float]:
    """When each run in the user's folder was last described, by folder; cheap enough to be asked every second."""
    found = {path.parent: RunFolder(path.parent).described_at() for path in runs_dir().glob("*/run.json")}
    return {path: at for path, at in found.items() if at}


def run_folders() -> tuple[RunFolder, ...]:
    """All runs in the user's folder, newest first."""
    found = [RunFolder(path.parent) for path in runs_dir().glob("*/run.json")]
    return tuple(sorted(found, key=lambda run: run.described_at(), reverse=True))


def snapshot_stride(steps: int, first: int) -> int:
    """The distance between snapshots that keeps at most `MOST_SNAPSHOTS` of them after `steps` steps.

    Snapshots are kept at the multiples of a stride, 0 included. When there would be more than `MOST_SNAPSHOTS`, the
    stride doubles and every second one is dropped. So it depends on the number of steps only, never on how often the
    run was stopped.

    >>> snapshot_stride(630, 10), snapshot_stride(640, 10)
    (10, 20)
    """
    stride = max(1, first)
    while steps // stride + 1 > MOST_SNAPSHOTS:
        stride *= 2
    return stride


@dataclass(frozen=True)
class RunFolder:
    """One run on disk.

    Args:
        path: Its folder.
    """

    path: Path

    @property
    def run_file(self) -> Path:
        """What the run is."""
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        """How it went."""
        return self.path / "metrics.jsonl"

    @property
    def resume_file(self) -> Path:
        """All that is needed to go on."""
        return self.path / "resume.safetensors"

    def make(self) -> None:
        """Make the folder and those in it.

        Raises:
            Problem: The disk is full or not writable.
        """
        with self._writable():
            for folder in ("checkpoints", "snapshots"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            sentence = f"Nothing can be written into {self.path}: {error.strerror or error}."
            raise Problem(sentence, "Make room there, or choose another folder.") from error

    def exists(self) -> bool:
        """Whether a run is described here."""
        return self.run_file.is_file()

    def described_at(self) -> float:
        """When run.json was last written, seconds since the epoch; 0 when it is gone."""
        try:
            return self.run_file.stat().st_mtime
        except OSError:
            return 0.0

    def stamp(self) -> tuple[float, int]:
        """When run.json was last written, and the size of the curves: changes whenever the run goes on."""
        try:
            size = self.metrics_file.stat().st_size
        except OSError:
            size = 0
        return self.described_at(), size

    def read(self) -> dict[str, Any]:
        """run.json.

        Raises:
            Problem: There is no run here, or it cannot be read, or it is of a newer version.
        """
        try:
            about = json.loads(self.run_file.read_text("utf-8"))
        except FileNotFoundError:
            raise Problem(f"There is no run in {self.path}.", "Choose another folder.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise Problem(
                f"run.json in {self.path} cannot be read ({error}).", "Open its checkpoints instead."
            ) from error
        version = about.get("version", 0) if isinstance(about, dict) else None
        if type(version) is not int:
            raise Problem(f"run.json in {self.path} is not a run's.", "Open its checkpoints instead.")
        if version > RUN_VERSION:
            sentence = f"The run in {self.path} has version {version}; this program reads up to version {RUN_VERSION}."
            raise Problem(sentence, "Update DGM Studio to open it.")
        return dict(about)

    def write(self, about: dict[str, Any]) -> None:
        """Replace run.json. Raises OSError when the disk is full; the old one then stands."""
        text = json.dumps({"version": RUN_VERSION, **about}, indent=1, allow_nan=False)
        atomic.write_atomic(self.run_file, text.encode())

    # -- weights -----------------------------------------------------------------------------------------------------

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.path / "checkpoints" / f"step-{step:08d}.safetensors"

    def snapshot(self, step: int) -> Path:
        """Where the snapshot of a step is."""
        return self.path / "snapshots" / f"step-{step:08d}.safetensors"

    def checkpoints(self) -> tuple[int, ...]:
        """Steps of which there is a checkpoint, rising."""
        return _steps_in(self.path / "checkpoints")

    def snapshots(self) -> tuple[int, ...]:
        """Steps of which there is a snapshot, rising."""
        return _steps_in(self.path / "snapshots")

    def weights(self, step: int | None = None) -> Path:
        """The file with the weights of a step: its checkpoint, else its snapshot; None is the newest checkpoint.

        Raises:
            Problem: There is none.
        """
        if not self.path.is_dir():
            raise Problem(f"There is no run in {self.path}.", "It was moved or deleted.")
        kept = self.checkpoints()
        if step is None and kept:
            return self.checkpoint(kept[-1])
        if step is not None and step in kept:
            return self.checkpoint(step)
        if step is not None and step in self.snapshots():
            return self.snapshot(step)
        if step is None:
            raise Problem(f"The run in {self.path} has no checkpoint yet.", "Train it first.")
        near = min([*kept, *self.snapshots()], key=lambda s: abs(s - step), default=None)
        hint = f"The nearest one is from step {near}." if near is not None else "It has none yet."
        raise Problem(f"The run in {self.path} kept nothing from step {step}.", hint)

    # -- one at a time -----------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for training. The operating system lets go when the process ends, however it ends.

        Raises:
            Problem: Another process, or another job of this one, trains it; or nothing can be written there.
        """
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            opened = (self.path / "lock").open("a+b")
        with opened as file:
            tries = iter(range(LOCK_TRIES))
            while not (held := _hold(file)) and next(tries, None) is not None:
                time.sleep(0.02)
            if not held:
                sentence = f"The run {self.path.name} is being trained elsewhere; here it can only be looked at."
                raise Problem(sentence, "Stop it there first, or start another run.")
            try:
                yield
            finally:
                _let_go(file)

    def locked(self) -> bool:
        """Whether somebody trains it now; then it is to be opened for looking only."""
        if not (self.path / "lock").exists():
            return False
        try:
            with (self.path / "lock").open("a+b") as file:
                if not _hold(file):
                    return True
                _let_go(file)
        except OSError:  # a folder that cannot be written to cannot be trained either
            return True
        return False

    def sweep(self) -> tuple[Path, ...]:
        """Delete temporaries of processes that were killed. Only while holding the lock."""
        return atomic.sweep((self.path, self.path / "checkpoints", self.path / "snapshots"))


def _steps_in(folder: Path) -> tuple[int, ...]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return ()
    return tuple(sorted(int(m.group(1)) for m in map(_STEP.fullmatch, names) if m))


if os.name == "nt":
    import msvcrt

    def _hold(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _let_go(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _hold(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _let_go(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
