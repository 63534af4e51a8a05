"""A run among its relatives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgm_studio.core.cards import from_json, split_key
from dgm_studio.core.manifest import RUN, Manifest
from dgm_studio.core.requests import ReadFamily
from dgm_studio.core.runs import RunFolder, run_folders, run_path
from dgm_studio.core.updates import Problem, Progress, Result, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.workbench import run_folder

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

_STATES = {"training": "paused", "stopped": "paused", "finished": "done", "failed": "failed"}


@answers(ReadFamily)
def read_family(bench: Workbench, asked: ReadFamily) -> Iterator[Update]:
    """The run's oldest ancestor that is still there, and everything that was forked from it."""
    yield Progress(0, 1, "Looking for forks")
    found: dict[Path, dict[str, Any]] = {}
    for folder in {f.path.resolve(): f for f in (*run_folders(), RunFolder(run_folder(asked.run)))}.values():
        try:
            found[folder.path.resolve()] = folder.read()
        except Problem:  # a folder that cannot be read is nobody's relative
            continue
    path = run_folder(asked.run).resolve()
    while (parent := _parent(found.get(path, {}))) is not None and parent in found:
        path = parent
    family = {path}
    while True:
        more = {p for p, about in found.items() if p not in family and _parent(about) in family}
        if not more:
            break
        family |= more
    live = {p.resolve() for p in bench.live}
    yield Result(tuple(_member(p, found[p], found, live=p in live) for p in sorted(family & set(found))))


def _parent(about: dict[str, Any]) -> Path | None:
    base, _ = split_key(str(about.get("parent", "")))
    return run_path(base.removeprefix(RUN)) if base.startswith(RUN) else None


def _member(path: Path, about: dict[str, Any], found: dict[Path, dict[str, Any]], *, live: bool) -> dict[str, Any]:
    manifest = from_json(Manifest, about)
    parent, start = _parent(about), split_key(str(about.get("parent", "")))[1]
    metric = manifest.metrics.get(manifest.headline)
    return {
        "key": f"{RUN}{path}",
        "name": manifest.name or path.name,
        "parent": f"{RUN}{parent}" if parent in found else "",
        "start": start or 0,
        "end": manifest.step,
        "state": "live" if live else _STATES.get(str(about.get("state")), "done"),
        "figure": f"{metric.value:.4g} {metric.unit}".strip() if metric is not None else "",
        "change": _change(manifest, found.get(parent) if parent is not None else None),
    }


def _change(manifest: Manifest, before: dict[str, Any] | None) -> str:
    """What a fork set otherwise than its parent, in words."""
    if before is None:
        return ""
    old = {**before.get("training", {}), **before.get("config", {})}
    new = {**manifest.training, **manifest.config}
    changed = [name for name in new if name in old and new[name] != old[name]][:3]
    told = [f"{name.replace('_', ' ')} {_plain(old[name])} → {_plain(new[name])}" for name in changed]
    return ", ".join(told)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
