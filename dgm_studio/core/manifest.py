"""What a checkpoint says of itself, read with the standard library.

The manifest is JSON in the safetensors header under "dgm_studio". Its `schema` counts up when a reader of the version
before would misread it; older ones are migrated on a copy in memory, newer ones are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgm_studio.core import cards, runs, tensorfile
from dgm_studio.core.cards import Capability, Factor, Metric, Modality, ModelCard, split_key
from dgm_studio.core.resources import resource
from dgm_studio.core.updates import Problem

MANIFEST_VERSION = 1
METADATA_KEY = "dgm_studio"
ZOO = "zoo:"
RUN = "run:"


@dataclass(frozen=True)
class Manifest:
    """What the weights of one file are.

    Args:
        schema: Version of this table.
        kind: "model" (averaged weights), "snapshot" (the same in half precision) or "resume" (all that training needs).
        name: What people call it.
        system: Name of the system.
        title: Title of the system.
        config: The system's settings.
        training: The loop's settings in force.
        modalities: What a datum consists of.
        factors: Annotations of the data.
        capabilities: What the model can be asked.
        latent: Size of z.
        parameters: Numbers learnt.
        data: Name of the data.
        data_sha256: Of the data's content.
        seed: Of everything random.
        step: Optimizer steps behind these weights.
        steps: Steps that were planned.
        metrics: Figures by name.
        headline: Name of the figure that stands for it.
        parent: Key of the model it was forked from, or "".
        created: When, ISO 8601.
        versions: Of the program and of torch.
        tensors_sha256: Of the tensors' bytes in the file.
        extra: What only one kind of file needs.
    """

    system: str
    modalities: tuple[Modality, ...]
    schema: int = MANIFEST_VERSION
    kind: str = "model"
    name: str = ""
    title: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    factors: tuple[Factor, ...] = ()
    capabilities: frozenset[Capability] = frozenset()
    latent: int = 0
    parameters: int = 0
    data: str = ""
    data_sha256: str = ""
    seed: int = 0
    step: int = 0
    steps: int = 0
    metrics: dict[str, Metric] = field(default_factory=dict)
    headline: str = ""
    parent: str = ""
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    tensors_sha256: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plain: dict[str, Any] = cards.as_json(self)
        return plain

    def metadata(self) -> dict[str, str]:
        """As the safetensors header carries it."""
        return {"format": "pt", METADATA_KEY: json.dumps(self.to_json(), allow_nan=False, sort_keys=True)}


def read_manifest(path: Path | str) -> Manifest:
    """The manifest of a checkpoint; the tensors' bytes are not read and not verified.

    Raises:
        Problem: No such file, a damaged one, one without a manifest, or one of a newer version.
    """
    return manifest_in(Path(path), tensorfile.read_header(Path(path)))


def manifest_in(path: Path, header: tensorfile.Header) -> Manifest:
    """The manifest in a header that was read from `path`. Raises Problem like `read_manifest`."""
    text = header.metadata.get(METADATA_KEY)
    if text is None:
        raise Problem(f"{path.name} carries no DGM Studio manifest.", "Open a checkpoint that DGM Studio has written.")
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("not a table")
        manifest = cards.from_json(Manifest, _sane(migrate(data, path.name)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = str(error)[:160]
        raise Problem(
            f"The manifest of {path.name} cannot be read ({what}).", "Use another copy of the file."
        ) from None
    return manifest


def _sane(data: dict[str, Any]) -> dict[str, Any]:
    """Refuse values of the wrong kind, which a dataclass would take without a word."""
    kinds: dict[str, type] = {"system": str, "step": int, "steps": int, "seed": int, "latent": int, "config": dict}
    wrong = [name for name, kind in kinds.items() if name in data and type(data[name]) is not kind]
    if wrong:
        raise ValueError(f"{wrong[0]} is {str(data[wrong[0]])[:40]!r}")
    return data


def migrate(data: dict[str, Any], name: str = "This checkpoint") -> dict[str, Any]:
    """A manifest of any older schema as one of this version; the argument is left as it is.

    Raises:
        Problem: It is of a newer version than this program reads.
        ValueError: Its schema is not a number.
    """
    schema = data.get("schema", 0)
    if type(schema) is not int or schema < 0:
        raise ValueError("its schema is not a number")
    if schema > MANIFEST_VERSION:
        raise Problem(
            f"{name} has manifest version {schema}; this program reads up to version {MANIFEST_VERSION}.",
            "Update DGM Studio to open it.",
        )
    copy: dict[str, Any] = json.loads(json.dumps(data))
    while copy.get("schema", 0) < MANIFEST_VERSION:
        copy = _MIGRATIONS[copy.get("schema", 0)](copy)
    return copy


def _from_0(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 0, of the first experiments: `model` for `system`, one `modality`, figures without a unit."""
    data["schema"] = 1
    data["system"] = data.pop("model", "")
    if "modality" in data:
        data["modalities"] = [data.pop("modality")]
    data["metrics"] = {k: v if isinstance(v, dict) else {"value": v} for k, v in data.get("metrics", {}).items()}
    return data


_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}


# -- cards -----------------------------------------------------------------------------------------------------------


def card_of(
    manifest: Manifest, key: str, source: str, path: str, snapshots: tuple[int, ...] = (), live: bool = False
) -> ModelCard:
    """The card of a model from its manifest."""
    return ModelCard(
        key=key,
        name=manifest.name,
        system=manifest.system,
        title=manifest.title or manifest.system,
        capabilities=manifest.capabilities,
        modalities=manifest.modalities,
        factors=manifest.factors,
        latent=manifest.latent,
        parameters=manifest.parameters,
        data=manifest.data,
        step=manifest.step,
        steps=manifest.steps,
        config=manifest.config,
        training=manifest.training,
        metrics=manifest.metrics,
        headline=manifest.headline,
        seed=manifest.seed,
        parent=manifest.parent,
        created=manifest.created,
        source=source,
        path=path,
        sha256=manifest.tensors_sha256,
        snapshots=snapshots,
        live=live,
    )


def locate(key: str) -> Path:
    """The file that holds a model's weights.

    Args:
        key: "zoo:NAME", "run:FOLDER", "run:FOLDER@STEP", a run folder or a file.

    Raises:
        Problem: Nothing is there.
    """
    base, step = split_key(key)
    if base.startswith(ZOO):
        return zoo_path(base.removeprefix(ZOO))
    if base.startswith(RUN) or Path(base).is_dir():
        return runs.RunFolder(runs.run_path(base.removeprefix(RUN))).weights(step)
    if step is not None and not Path(key).is_file():
        raise Problem(f"{base} has no steps to choose from.", "Only runs have snapshots.")
    return Path(key).expanduser()


def zoo_path(name: str) -> Path:
    """The file of a checkpoint in the box.

    Raises:
        Problem: There is none of that name.
    """
    path = resource("zoo", f"{name}.safetensors")
    if not name or Path(name).name != name or not path.is_file():
        known = ", ".join(ZOO + known for known in zoo_names()) or "none"
        raise Problem(f"There is no checkpoint {ZOO}{name} in the box.", f"In the box: {known}.")
    return path


def zoo_names() -> tuple[str, ...]:
    """The checkpoints in the box, by name."""
    return tuple(sorted(path.stem for path in resource("zoo").glob("*.safetensors")))


def model_card(key: str) -> ModelCard:
    """The card of a model, without torch and without reading its weights.

    Args:
        key: A model key (see `core.cards.split_key`).

    Raises:
        Problem: Nothing is there, or it cannot be read.
    """
    path = locate(key)
    base, _ = split_key(key)
    if base.startswith(ZOO):
        return card_of(read_manifest(path), key, "zoo", str(path))
    if base.startswith(RUN) or Path(base).is_dir():
        folder = runs.RunFolder(runs.run_path(base.removeprefix(RUN)))
        named = key if base.startswith(RUN) else RUN + key
        return card_of(read_manifest(path), named, "run", str(path), folder.snapshots())
    return card_of(read_manifest(path), key, "file", str(path))


def list_runs() -> tuple[ModelCard, ...]:
    """The cards of all runs in the user's folder that hold weights, newest first."""
    found = []
    for folder in runs.run_folders():
        try:
            found.append(model_card(f"{RUN}{folder.path}"))
        except Problem:  # a run that was stopped before its first save has nothing to show
            continue
    return tuple(found)
