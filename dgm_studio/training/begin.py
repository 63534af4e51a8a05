"""Where a run begins: anew, where it stopped, or at a snapshot of another one."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

import dgm_studio
from dgm_studio.checkpoints import store
from dgm_studio.core import forms
from dgm_studio.core.cards import split_key
from dgm_studio.core.manifest import RUN, Manifest, locate
from dgm_studio.core.requests import Train, to_json
from dgm_studio.core.runs import RunFolder, run_path
from dgm_studio.core.updates import Problem
from dgm_studio.models import registry
from dgm_studio.training.config import TrainingConfig

LIVE_GROUP = "Objective"  # settings of a system in this group may change while it trains
FIXED = ("batch", "ema")  # settings of training that belong to a run from its first step


@dataclass
class Beginning:
    """All that a session needs to begin.

    Args:
        manifest: What the run is; step and settings as they are in force.
        start: Step at which its optimiser began.
        state: Tensors of a resume file, or None.
        weights: Weights to start from, or None.
        halved: The weights were stored in half precision.
        flags: What is to be recorded: the kind of beginning and changed settings.
        asked: The request that made the run, as plain data.
        time: Seconds trained so far.
    """

    manifest: Manifest
    start: int = 0
    state: dict[str, Tensor] | None = None
    weights: dict[str, Tensor] | None = None
    halved: bool = False
    flags: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    time: float = 0.0

    @property
    def config(self) -> Any:
        """The system's settings as its dataclass."""
        return forms.build(registry.config_class(self.manifest.system), self.manifest.config)

    @property
    def training(self) -> TrainingConfig:
        """The loop's settings."""
        return forms.build(TrainingConfig, self.manifest.training)


def begin(request: Train, folder: RunFolder) -> Beginning:
    """Find out where to begin; reads, and writes nothing.

    Raises:
        Problem: The request asks for something that is not there, or for a change that a run cannot take.
        FormError: A setting is unknown or out of range.
    """
    if folder.exists():
        return _resumed(request, folder)
    return _forked(request) if request.parent else _new(request)


def _new(request: Train) -> Beginning:
    if not request.system or not request.data:
        raise Problem(f"There is no run in {request.run}.", "Give a system and data to start one.")
    card = _system(request.system)
    manifest = Manifest(
        system=card.name,
        modalities=(),
        title=card.title,
        name=request.name or run_path(request.run).name,
        config=_settings(registry.config_class(card.name), request.config),
        training=_settings(TrainingConfig, request.training),
        capabilities=card.capabilities,
        data=request.data,
        seed=request.seed,
        created=now(),
        versions=versions(),
    )
    flag = {"flag": "start", "step": 0, "changes": {}, "sentence": f"{card.title} on {request.data}."}
    return Beginning(manifest, flags=[flag], asked=to_json(request))


def _resumed(request: Train, folder: RunFolder) -> Beginning:
    about = folder.read()
    manifest, state = store.load(folder.resume_file)
    if manifest.kind != "resume":
        raise Problem(f"resume.safetensors in {folder.path} is not the state of a run.", "Fork one of its snapshots.")
    # a run may have been renamed while nothing trained it
    manifest = dataclasses.replace(manifest, name=str(about.get("name") or manifest.name))
    flags = [{"flag": "resume", "step": manifest.step, "changes": {}, "sentence": f"On from step {manifest.step}."}]
    if to_json(request) != about.get("asked"):
        manifest, changes = _changed(request, manifest)
        flags += [edit_flag(manifest.step, changes)] if changes else []
    return Beginning(
        manifest,
        start=int(manifest.extra["start"]),
        state=state,
        flags=flags,
        asked=about.get("asked", {}),
        time=float(manifest.extra["time"]),
    )


def _changed(request: Train, manifest: Manifest) -> tuple[Manifest, dict[str, Any]]:
    """The manifest with the settings that a request to go on brings along."""
    for name in ("system", "data"):
        asked, given = getattr(request, name), getattr(manifest, name)
        if asked and asked != given:
            raise Problem(f"This run has the {name} {given}, not {asked}.", "Start another run in another folder.")
    config = _only_changes(registry.config_class(manifest.system), request.config, manifest.config)
    training = _only_changes(TrainingConfig, request.training, manifest.training)
    refuse_fixed(registry.config_class(manifest.system), config, training)
    changed = dataclasses.replace(
        manifest,
        config={**manifest.config, **config},
        training={**manifest.training, **training},
        steps=int(training.get("steps", manifest.steps)),
    )
    return changed, {**config, **training}


def _only_changes(config_class: type[Any], asked: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    checked = forms.check_all(forms.fields_of(config_class), asked)
    return {name: value for name, value in checked.items() if value != current.get(name)}


def refuse_fixed(config_class: type[Any], config: dict[str, Any], training: dict[str, Any]) -> None:
    """Refuse changes that would make it another run.

    Raises:
        Problem: There is one.
    """
    groups = {f.name: f.group for f in forms.fields_of(config_class)}
    fixed = [n for n in config if groups[n] != LIVE_GROUP] + [n for n in training if n in FIXED]
    if fixed:
        raise Problem(f"{fixed[0]} cannot be changed within a run.", "Fork the run, or start another one.")


def edit_flag(step: int, changes: dict[str, Any]) -> dict[str, Any]:
    """The line that records changed settings."""
    words = ", ".join(f"{name} = {value}" for name, value in changes.items())
    return {"flag": "edit", "step": step, "changes": changes, "sentence": f"Changed: {words}."}


def _forked(request: Train) -> Beginning:
    """Begin at a snapshot: with all of its run's state when it is the newest one, else with its weights only."""
    base, step = split_key(request.parent)
    path = locate(request.parent)
    resume = RunFolder(run_path(base.removeprefix(RUN))).resume_file if base.startswith(RUN) else None
    exact = None
    if resume is not None and resume.is_file():
        manifest, tensors = store.load(resume)
        exact = (manifest, tensors) if step in (None, manifest.step) else None
    parent, tensors = exact or store.load(path)
    if request.system and request.system != parent.system:
        raise Problem(f"{request.parent} is a {parent.system}, not a {request.system}.", "Leave the system out.")
    config = _settings(registry.config_class(parent.system), {**parent.config, **request.config})
    steps = parent.steps if parent.steps > parent.step else parent.step + max(1, parent.steps)
    training = _settings(TrainingConfig, {**parent.training, "steps": steps, **request.training})
    changes = _differences(parent, config, training)
    manifest = dataclasses.replace(
        parent,
        name=request.name or run_path(request.run).name,
        config=config,
        training=training,
        data=request.data or parent.data,
        data_sha256="" if request.data and request.data != parent.data else parent.data_sha256,
        seed=request.seed,
        metrics={},
        parent=f"{base}@{parent.step}" if base.startswith(RUN) else request.parent,
        created=now(),
        versions=versions(),
    )
    kind = _precision(exact is not None, parent.kind)
    sentence = f"Forked from {request.parent}, {kind}."
    flag = {"flag": "fork", "step": parent.step, "changes": changes, "sentence": sentence}
    begun = Beginning(
        manifest, start=parent.step, flags=[flag], asked=to_json(request), halved=parent.kind == "snapshot"
    )
    if exact is not None and not _reshaped(changes, parent.system) and "batch" not in changes:
        begun.state, begun.start = tensors, int(parent.extra["start"])
    else:
        begun.weights = _averaged(tensors)
    return begun


def _precision(exact: bool, kind: str) -> str:
    if exact:
        return "with the state of its optimiser"
    return "from weights in half precision" if kind == "snapshot" else "from its averaged weights"


def _reshaped(changes: dict[str, Any], system: str) -> bool:
    groups = {f.name: f.group for f in forms.fields_of(registry.config_class(system))}
    return any(groups.get(name, LIVE_GROUP) != LIVE_GROUP for name in changes)


def _averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The averaged weights, from a resume file's tensors or a model's."""
    prefix = "average."
    found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return found or tensors


def _differences(parent: Manifest, config: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    old = {**parent.training, **parent.config}
    return {name: value for name, value in {**training, **config}.items() if old.get(name) != value}


def _system(name: str) -> Any:
    registry.config_class(name)  # names the nearest one when there is none
    return registry.systems()[name]


def _settings(config_class: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    return dataclasses.asdict(forms.build(config_class, values))


def now() -> str:
    """The time in words that sort."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """What the weights were made with."""
    return {"dgm_studio": dgm_studio.__version__, "torch": torch.__version__, "python": platform.python_version()}
