"""Opening models, and the work of runs: training, editing, reading, evaluating. Thin: the rooms below do it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgm_studio.core.events import write_csv, write_events
from dgm_studio.core.history import History, Journal, read_history
from dgm_studio.core.manifest import ZOO, locate, read_manifest
from dgm_studio.core.requests import EditRun, Evaluate, ExportMetrics, ListSystems, OpenModel, ReadRun, Train
from dgm_studio.core.runs import RunFolder, curves_file
from dgm_studio.core.updates import Problem, Progress, Result, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.workbench import run_folder
from dgm_studio.models import registry
from dgm_studio.training.figures import figures_of
from dgm_studio.training.loop import Session
from dgm_studio.training.record import Record

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench


@answers(OpenModel)
def open_model(bench: Workbench, asked: OpenModel) -> Iterator[Update]:
    """Load the weights, so that whatever is wrong with them is said now, and hand over the card."""
    yield Progress(0, 1, "Opening the model")
    yield Result(bench.card(asked.model))


@answers(ListSystems)
def list_systems(bench: Workbench, asked: ListSystems) -> Iterator[Update]:
    """The card of every system."""
    yield Result(tuple(registry.systems().values()))


@answers(Train, grad=True)
def train(bench: Workbench, asked: Train) -> Iterator[Update]:
    """Train; as long as it lasts, "run:FOLDER" is answered with the live weights."""
    session = Session(asked, bench.device)
    folder = session.folder.path
    bench.live.setdefault(folder, session)
    try:
        yield from session.updates()
    finally:
        # A second job on the same folder is refused by the run's lock and must not take the first one's place away.
        if bench.live.get(folder) is session:
            del bench.live[folder]


@answers(EditRun)
def edit_run(bench: Workbench, asked: EditRun) -> Iterator[Update]:
    """Hand changed settings to the run that trains."""
    folder = run_folder(asked.run)
    session = bench.live.get(folder)
    if session is None or not session.ready:
        raise Problem(f"The run {folder.name} does not train now.", "Train on, then change its settings.")
    yield Result(session.edit(asked.changes))


@answers(ReadRun)
def read_run(bench: Workbench, asked: ReadRun) -> Iterator[Update]:
    """What a run's folder says of it, or the curves that lie beside a checkpoint."""
    path = _checkpoint(asked.run)
    folder = RunFolder(run_folder(asked.run))
    about = folder.read() if path is None else read_manifest(path).to_json()
    metrics = folder.metrics_file if path is None else curves_file(path)
    if not metrics.is_file() and path is not None:
        raise Problem("This checkpoint carries no curves.", "Train it again with the same settings to watch it learn.")
    yield Progress(0, 1, "Reading the curves")
    history = read_history(metrics)
    yield Result(
        {
            "run": about,
            "series": history.series(),
            "flags": history.flags,
            "kl": history.kl(),
            "snapshots": folder.snapshots() if path is None else (),
            "damaged": history.damaged,
            "health": _health(metrics, history),
            "live": folder.path in bench.live,
            "elsewhere": path is None and folder.path not in bench.live and folder.locked(),
        }
    )


def _checkpoint(run: str) -> Path | None:
    """The checkpoint that a key names, None when it names a run."""
    if run.startswith(ZOO) or run.endswith(".safetensors"):
        return locate(run)
    return None


@answers(ExportMetrics)
def export_metrics(bench: Workbench, asked: ExportMetrics) -> Iterator[Update]:
    """Write a run's curves for other tools."""
    folder = RunFolder(run_folder(asked.run))
    about = folder.read()
    yield Progress(0, 2, "Reading the curves")
    history = read_history(folder.metrics_file)
    yield Progress(1, 2, "Writing them")
    path = Path(asked.path).expanduser()
    try:
        if asked.kind == "csv":
            path.parent.mkdir(parents=True, exist_ok=True)
            write_csv(path, history)
        elif asked.kind == "events":
            created = _seconds(str(about.get("created", "")))
            path.mkdir(parents=True, exist_ok=True)
            path = path / f"events.out.tfevents.{created:.0f}.{folder.path.name}"
            write_events(path, history, created)
        else:
            raise Problem(f"Curves cannot be written as {asked.kind!r}.", "Choose csv or events.")
    except OSError as error:
        raise Problem(f"{path} cannot be written ({error.strerror or error}).", "Choose another place.") from error
    yield Result(str(path))


def _seconds(created: str) -> float:
    """Seconds since the epoch of an ISO 8601 time, 0 when it is none."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0


@answers(Evaluate)
def evaluate_model(bench: Workbench, asked: Evaluate) -> Iterator[Update]:
    """Figures of a model on a part of its data."""
    model = bench.model(asked.model)
    dataset = yield from bench.dataset(model.card.data)
    yield from figures_of(model.module, dataset, asked)


def _health(metrics: Path, history: History) -> list[dict[str, Any]]:
    """What the recorded figures say, as when they were recorded; of single layers nothing is kept."""
    record = Record(Journal(metrics))
    record.recall(history)
    return [line.to_json() for line in record.health({})] if history.curves else []
