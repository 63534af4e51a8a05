"""Recipes of the checkpoints in the box: TOML files that `dgm-studio train` can repeat.

system = "vae"
data = "mnist5k"
seed = 0
title = "Digits, 16 latents"
take = "best"                 # the checkpoint with the best validation, or "last"
[config]                      # the system's settings
[training]                    # the loop's settings; give micro_batch, so that every machine adds up in the same order
[evaluate]                    # split, samples, count, seed of the figures in the manifest
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgm_studio.checkpoints import store
from dgm_studio.core import atomic, cards
from dgm_studio.core.cards import Metric
from dgm_studio.core.manifest import Manifest, read_manifest
from dgm_studio.core.requests import Evaluate, Train
from dgm_studio.core.resources import resource
from dgm_studio.core.runs import RunFolder, curves_file
from dgm_studio.core.updates import Problem, Progress, Result, Update
from dgm_studio.data import registry as data
from dgm_studio.models import registry
from dgm_studio.training.figures import figures_of
from dgm_studio.training.generated import headline_in
from dgm_studio.training.loop import Session
from dgm_studio.training.record import headline_of

LARGEST = 4_000_000  # bytes of a checkpoint in the box
TAKES = ("best", "last")


@dataclass(frozen=True)
class TrainingRecipe:
    """How a checkpoint in the box is made.

    Args:
        name: Of the file, without its ending.
        system: Name of the system.
        data: Name of the data.
        seed: Of everything random.
        title: What people call the result.
        take: "best" or "last" checkpoint.
        config: The system's settings.
        training: The loop's settings.
        evaluate: Fields of `core.requests.Evaluate` besides the model.
    """

    name: str
    system: str
    data: str
    seed: int = 0
    title: str = ""
    take: str = "best"
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)

    def request(self, run: Path | str) -> Train:
        """The training that it describes."""
        config, training = dict(self.config), dict(self.training)
        return Train(str(run), self.system, self.data, config, training, self.seed, name=self.title or self.name)


def read_recipe(path: Path | str) -> TrainingRecipe:
    """Read a recipe.

    Raises:
        Problem: It cannot be read, lacks a system or data, or has an unknown key.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Problem(f"The recipe {path.name} cannot be read: {error}.") from error
    known = {f.name for f in dataclasses.fields(TrainingRecipe)} - {"name"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise Problem(f"The recipe {path.name} has the unknown key {unknown[0]}.", f"Keys: {', '.join(sorted(known))}.")
    if not {"system", "data"} <= table.keys():
        raise Problem(f"The recipe {path.name} lacks a system or data.", "Give both.")
    if table.get("take", "best") not in TAKES:
        raise Problem(f"The recipe {path.name} takes {table['take']!r}.", "Take the best or the last checkpoint.")
    return TrainingRecipe(path.stem, **table)


def train_recipe(path: Path | str, out: Path | str) -> Iterator[Update]:
    """Train what a recipe describes into the run folder `out`, or go on with it; yields what `Session.updates` does."""
    return Session(read_recipe(path).request(out)).updates()


def publishing(run: Path | str, recipe: TrainingRecipe, folder: Path | None = None) -> Iterator[Update]:
    """Evaluate a run's checkpoint on the test split and put it in the box as NAME.safetensors; Result: its path.

    Args:
        run: The run's folder.
        recipe: It was trained by.
        folder: Where to put it; the box when None.

    Raises:
        Problem: Nothing was trained, or the file is too large for the box.
    """
    source = chosen(RunFolder(Path(run)), recipe.take)
    manifest, tensors = store.load(source)
    model = registry.build(manifest.system, manifest.config, manifest.modalities)
    store.fit(model, tensors, f"The weights in {source.name}")
    request = Evaluate(str(source), **recipe.evaluate)
    found: dict[str, Metric] = {}
    for update in figures_of(model.eval(), data.load(manifest.data), request):
        if isinstance(update, Result):
            found = update.value
        elif isinstance(update, Progress):
            yield update
    about = {"evaluate": cards.as_json(dataclasses.replace(request, model="")), "recipe": recipe.name}
    done = dataclasses.replace(
        manifest,
        metrics=found,
        headline=headline_in(found) or headline_of(found),
        name=recipe.title or recipe.name,
        parent="",
        extra=about,
    )
    path = (folder or resource("zoo")) / f"{recipe.name}.safetensors"
    store.save(path, tensors, done)
    if path.stat().st_size > LARGEST:
        size = path.stat().st_size / 1e6
        path.unlink()
        raise Problem(f"{recipe.name} has {size:.1f} MB; the box takes 4 MB.", "Make the network smaller.")
    keep_curves(RunFolder(Path(run)).metrics_file, path)
    yield Result(str(path))


def keep_curves(metrics: Path, checkpoint: Path) -> None:
    """Put the curves of a run beside its checkpoint, thinned: the first steps and then every tenth, all validations."""
    kept = []
    for line in metrics.read_text("utf-8").splitlines():
        row = json.loads(line)
        if "train/loss" not in row or row["step"] <= 50 or row["step"] % 10 == 0:
            kept.append(json.dumps({k: _short(v) for k, v in row.items()}, separators=(",", ":")))
    atomic.write_atomic(curves_file(checkpoint), ("\n".join(kept) + "\n").encode())


def _short(value: Any) -> Any:
    """Five significant figures are finer than any screen."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return [_short(v) for v in value] if isinstance(value, list) else value


def publish(run: Path | str, recipe: TrainingRecipe, folder: Path | None = None) -> Path:
    """`publishing` in one go."""
    *_, last = publishing(run, recipe, folder)
    assert isinstance(last, Result)
    return Path(last.value)


def chosen(folder: RunFolder, take: str) -> Path:
    """The checkpoint with the best validation among those kept, or the last one.

    Raises:
        Problem: There is none.
    """
    last = folder.weights()
    if take == "last":
        return last
    scored = {path: _score(read_manifest(path)) for path in map(folder.checkpoint, folder.checkpoints())}
    return min(scored, key=lambda path: (scored[path], path))


def _score(manifest: Manifest) -> float:
    headline = manifest.metrics.get(manifest.headline)
    validated = manifest.extra.get("validated") == manifest.step
    return headline.value if headline is not None and validated else float("inf")
