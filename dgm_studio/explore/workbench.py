"""The worker's bench: models, data and runs that are in hand, and the way from a request to its answer."""

from __future__ import annotations

import gc
import os
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dgm_studio.core import runs
from dgm_studio.core.cards import ModelCard, split_key
from dgm_studio.core.updates import Problem, Progress, Update
from dgm_studio.explore import answers
from dgm_studio.explore.denoising_shelf import Shelf
from dgm_studio.explore.loaded import LoadedModel, stamp_of
from dgm_studio.training.trouble import free_memory, is_out_of_memory

if TYPE_CHECKING:
    from dgm_studio.data.dataset import Dataset
    from dgm_studio.explore.neighbours import NeighbourIndex
    from dgm_studio.training.loop import Session

MODELS_KEPT = 8
DATA_KEPT = 4


class Workbench:
    """Answers requests; lives on the worker's thread and is used from there only.

    Args:
        device: Where models live.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.live: dict[Path, Session] = {}
        self.indices: OrderedDict[str, NeighbourIndex] = OrderedDict()
        self.films = Shelf()
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        self._adopted: dict[str, LoadedModel] = {}
        self._data: OrderedDict[str, Dataset] = OrderedDict()
        self._stamps: dict[str, tuple[int, int]] = {}
        self._loading: dict[str, Generator[tuple[int, int, str], None, Dataset]] = {}

    # -- answering -----------------------------------------------------------------------------------------------------

    def answer(self, request: Any) -> Iterator[Update]:
        """The updates that answer a request.

        Raises:
            Problem: Nothing answers this kind of request.
        """
        return self._drive(answers.entry_for(request), request)

    def _drive(self, entry: answers.Entry, request: Any) -> Iterator[Update]:
        """Step an answer, each step in its own grad mode: the mode is the thread's, and answers take turns on it."""
        steps = entry.function(self, request)
        short = False
        try:
            while not short:
                try:
                    with torch.inference_mode(not entry.grad), torch.set_grad_enabled(entry.grad):
                        update = next(steps)
                except StopIteration:
                    return
                except (RuntimeError, MemoryError) as error:
                    short = is_out_of_memory(error)
                    if not short:
                        raise
                else:
                    yield update
        finally:
            close = getattr(steps, "close", None)
            if close is not None:
                close()
        self.free()
        raise Problem(
            "There was not enough memory for this.", "Ask for less at once, or close other models and programs."
        )

    def free(self) -> None:
        """Give back what can be loaded again."""
        self._models.clear()
        self._data.clear()
        self.indices.clear()
        self.films.clear()
        free_memory(self.device)

    # -- models --------------------------------------------------------------------------------------------------------

    def model(self, key: str) -> LoadedModel:
        """The model a key names, loaded once and again only when its file has changed.

        Raises:
            Problem: No such model, or one that cannot be read.
        """
        base, step = split_key(key)
        adopted = self._adopted.get(key)
        if adopted is not None:
            return adopted
        session = self._session(base) if step is None and self.live else None
        found = self._models.get(key)
        if found is not None and (found.module is session.model if session else bool(found.stamps) and found.fresh()):
            self._models.move_to_end(key)
            return found
        # Weights made in inference mode could never take part in a gradient, as a geodesic needs.
        with torch.inference_mode(False):
            loaded = _live_model(session) if session else self._opened(key)
        self._models[key] = loaded
        while len(self._models) > MODELS_KEPT:
            self._models.popitem(last=False)
        return loaded

    def card(self, key: str) -> ModelCard:
        """The card of a model as it is now; loads it when it is not in hand.

        Raises:
            Problem: As for `model`.
        """
        base, step = split_key(key)
        session = self._session(base) if step is None and self.live else None
        return session.card() if session else self.model(key).card

    def adopt(self, module: nn.Module, card: ModelCard) -> None:
        """Take a module made in this process under the key of its card (notebooks, tests)."""
        self._adopted[card.key] = LoadedModel(module.eval().to(self.device), card)

    def _opened(self, key: str) -> LoadedModel:
        from dgm_studio.checkpoints.store import load_model

        module, card = load_model(key, self.device)
        path = Path(card.path)
        newest = card.source == "run" and split_key(key)[1] is None
        # A run's folder of checkpoints changes when a newer one comes.
        stamps = tuple((p, stamp_of(p)) for p in ([path, path.parent] if newest else [path]))
        return LoadedModel(module, card, stamps)

    def _session(self, base: str) -> Session | None:
        kind, _, folder = base.partition(":")
        found = self.live.get(run_folder(folder)) if kind == "run" else None
        # Until it is built, a run that goes on is shown as its last checkpoint.
        return found if found is not None and found.ready else None

    # -- data ----------------------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Generator[Progress, None, Dataset]:
        """A data set, read once; Progress while it is read.

        Raises:
            Problem: No such data, or nothing readable in it.
        """
        self._forget_changed(name)
        while name not in self._data:
            update = self._load(name)
            if update is not None:
                yield update
        self._data.move_to_end(name)
        while len(self._data) > DATA_KEPT:
            self._data.popitem(last=False)
        return self._data[name]

    def _forget_changed(self, name: str) -> None:
        """Drop data of the user's whose file is another one by now, and all that was worked out from them."""
        from dgm_studio.data.registry import own_path

        path = own_path(name)
        stamp = stamp_of(path) if path is not None else (0, 0)
        if self._stamps.setdefault(name, stamp) != stamp:
            self._stamps[name] = stamp
            self._data.pop(name, None)
            self.indices.clear()
            self._models.clear()

    def _load(self, name: str) -> Progress | None:
        """One step of reading a data set; None when it is read.

        The reading belongs to the bench: a question that is replaced half way leaves it to the next one.
        """
        from dgm_studio.data.registry import loading

        steps = self._loading.setdefault(name, loading(name))
        try:
            # Data read in inference mode could not be trained on.
            with torch.inference_mode(False):
                return Progress(*next(steps))
        except StopIteration as finished:
            self._data[name] = finished.value
        except BaseException:
            del self._loading[name]
            raise
        del self._loading[name]
        return None


def _live_model(session: Session) -> LoadedModel:
    return LoadedModel(session.model, session.card(), version=lambda: session.step)


def run_folder(folder: str) -> Path:
    """The folder of a run as one spelling, from its path, its name or its key."""
    return runs.run_path(folder.removeprefix("run:"))


def open_workbench(device: str = "auto") -> Workbench:
    """Make the worker ready; call it on the worker's thread.

    Sets the number of threads (a setting of the calling thread), takes one optimizer step and one convolution so that
    nothing is imported or planned at the first question, and moves all objects so far out of the collector's sight:
    a full collection over torch's objects stops every thread for more than a tenth of a second.

    Args:
        device: "auto" (CUDA, else MPS, else the CPU) or a device's name.

    Raises:
        Problem: The named device is not there.
    """
    chosen = pick_device(device)
    if chosen.type == "cpu":
        torch.set_num_threads(worker_threads())
    answers.import_all()
    _warm_up(chosen)
    if gc.isenabled():  # else the window collects, and what is garbage now may be its widgets
        gc.collect()
    gc.freeze()
    return Workbench(chosen)


def worker_threads() -> int:
    """One core is left to the window; `OMP_NUM_THREADS` goes first."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


def pick_device(name: str) -> torch.device:
    """A device by name.

    Raises:
        Problem: It is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Problem(f"The device {name!r} cannot be used here.", "Choose auto or cpu.") from error
    return device


def _warm_up(device: torch.device) -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Flatten(), nn.Linear(512, 4))
    net.to(device)
    optimizer = torch.optim.AdamW(net.parameters())
    picture = torch.zeros(2, 1, 8, 8, device=device)
    until = time.perf_counter() + 1.0
    for _ in range(2):
        net(picture).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if time.perf_counter() > until:
            break
    with torch.inference_mode():
        net(picture).cpu()
