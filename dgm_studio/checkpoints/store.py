"""Save and load checkpoints: one safetensors file with its manifest in the header. No pickled class is ever read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from dgm_studio.core import atomic, tensorfile
from dgm_studio.core.cards import ModelCard
from dgm_studio.core.manifest import Manifest, card_of, locate, manifest_in, model_card
from dgm_studio.core.tensorfile import Header, TensorSpec
from dgm_studio.core.updates import Problem
from dgm_studio.models import registry

CHUNK = 2**20  # bytes written or hashed between two yields
LARGEST_HALF = 65504.0  # of float16
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def saving(
    path: Path, tensors: Mapping[str, Tensor], manifest: Manifest, *, durable: bool = True
) -> Generator[None, None, Manifest]:
    """Write a checkpoint in steps of a few milliseconds; the weights may change from the first yield on.

    Temporary file, write, flush, fsync, sha256, rename, fsync of the folder: at every moment `path` is the old file or
    the new one. A generator that is closed half way leaves the old one.

    Args:
        path: The file; its folder is made when missing.
        tensors: By name.
        manifest: What they are; its `tensors_sha256` is filled in.
        durable: Wait until the disk has it, and read it back. Without, a power cut may leave a file that
            `load` refuses.

    Returns:
        The manifest as written.

    Raises:
        OSError: The disk is full or not writable.
        Problem: A tensor is not finite, or what was read back is not what was written.
    """
    specs = tensorfile.lay_out({n: (NAMES[t.dtype], tuple(t.shape)) for n, t in tensors.items()})
    copies = [tensors[s.name].detach().to("cpu", copy=True).contiguous() for s in specs]
    _refuse_infinite({s.name: t for s, t in zip(specs, copies, strict=True)}, "These weights")
    yield
    digest = hashlib.sha256()
    for chunk, full in _chunks(copies):
        digest.update(chunk)
        if full:
            yield
    written = replace(manifest, tensors_sha256=digest.hexdigest())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = atomic.temporary_for(path)
    try:
        with temporary.open("wb") as file:
            file.write(tensorfile.header_bytes(specs, written.metadata()))
            for chunk, full in _chunks(copies):
                file.write(chunk)
                if full:
                    yield
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if durable:
            yield
            _read_back(temporary, written)
        atomic.settle(temporary, path, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def save(path: Path, tensors: Mapping[str, Tensor], manifest: Manifest, *, durable: bool = True) -> Manifest:
    """Write a checkpoint in one go. See `saving`."""
    steps = saving(path, tensors, manifest, durable=durable)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            written: Manifest = finished.value
            return written


def _chunks(tensors: list[Tensor]) -> Iterator[tuple[memoryview, bool]]:
    """The bytes in pieces, and whether another `CHUNK` of them is full."""
    since = 0
    for tensor in tensors:
        raw = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
        for start in range(0, len(raw), CHUNK):
            piece = raw[start : start + CHUNK]
            since += len(piece)
            yield piece, since >= CHUNK
            since %= CHUNK


def _read_back(path: Path, written: Manifest) -> None:
    header = tensorfile.read_header(path)
    if hashlib.sha256(_data(path, header)).hexdigest() != written.tensors_sha256:
        raise Problem(f"The disk did not keep {path.name} as it was written.", "Check the disk, or save elsewhere.")


def _data(path: Path, header: Header) -> bytearray:
    try:
        with path.open("rb") as file:
            file.seek(header.start)
            data = bytearray(header.size)
            got = file.readinto(data)
    except OSError as error:
        raise Problem(f"{path.name} cannot be read ({error.strerror or error}).", "Choose another one.") from error
    if got != header.size:
        raise Problem(f"{path.name} is damaged: it is cut off.", "Use another copy of the file.")
    return data


def load(path: Path | str) -> tuple[Manifest, dict[str, Tensor]]:
    """Read a checkpoint and verify it.

    Raises:
        Problem: No such file, a damaged one, one of a newer version, or one that holds NaN or infinity.
    """
    path = Path(path)
    header = tensorfile.read_header(path)
    manifest = manifest_in(path, header)
    data = _data(path, header)
    if hashlib.sha256(data).hexdigest() != manifest.tensors_sha256:
        raise Problem(
            f"{path.name} is damaged: its bytes are not those that were saved.",
            "Use another copy of the file, or an earlier checkpoint.",
        )
    tensors = {spec.name: _tensor(data, spec) for spec in header.tensors}
    _refuse_infinite(tensors, path.name)
    return manifest, tensors


def _tensor(data: bytearray, spec: TensorSpec) -> Tensor:
    dtype = DTYPES[spec.dtype]
    if spec.begin == spec.end:
        return torch.empty(spec.shape, dtype=dtype)
    count = (spec.end - spec.begin) // dtype.itemsize
    return torch.frombuffer(data, dtype=dtype, count=count, offset=spec.begin).reshape(spec.shape)


def _refuse_infinite(tensors: Mapping[str, Tensor], owner: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise Problem(f"{owner} hold a value that is not finite, in {name}.", "Use an earlier checkpoint.")


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors in half precision, out-of-range values at its ends."""
    return {
        name: t.detach().clamp(-LARGEST_HALF, LARGEST_HALF).half() if t.is_floating_point() else t
        for name, t in tensors.items()
    }


def fit(module: nn.Module, tensors: Mapping[str, Tensor], owner: str, *, halved: bool = False) -> None:
    """Put weights into a module, after a comparison of all names, shapes and types; all or nothing.

    Args:
        module: A fresh module.
        tensors: Its weights by name.
        owner: Whose weights they are, for the sentence.
        halved: They were stored in half precision.

    Raises:
        Problem: They do not fit; names the first difference.
    """
    wanted = module.state_dict()
    difference = next(_differences(wanted, tensors, halved), None)
    if difference is not None:
        raise Problem(f"{owner} do not fit this model: {difference}.", "Use the settings that they were trained with.")
    module.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})


def _differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], halved: bool) -> Iterator[str]:
    for name, tensor in wanted.items():
        if name not in given:
            yield f"{name} is missing"
            continue
        found, allowed = given[name], {tensor.dtype} | ({torch.float16} if halved else set())
        if found.shape != tensor.shape:
            yield f"{name} has shape {tuple(found.shape)} and {tuple(tensor.shape)} is needed"
        elif found.dtype not in allowed:
            yield f"{name} is {found.dtype} and {tensor.dtype} is needed".replace("torch.", "")
    for name in given:
        if name not in wanted:
            yield f"{name} has no place in it"


def load_model(key: str, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelCard]:
    """A trained model, ready to be asked.

    Args:
        key: "zoo:NAME", a file, "run:FOLDER" (its newest checkpoint) or "run:FOLDER@STEP".
        device: Where it shall live.

    Returns:
        The module in evaluation mode, its weights fixed, and its card.

    Raises:
        Problem: Nothing is there, it cannot be read, or it does not fit the system it names.
    """
    path = locate(key)
    manifest, tensors = load(path)
    if manifest.kind not in ("model", "snapshot"):
        raise Problem(f"{path.name} is not a model but the state of a training.", "Open the run's folder instead.")
    module = registry.build(manifest.system, manifest.config, manifest.modalities)
    fit(module, tensors, f"The weights in {path.name}", halved=manifest.kind == "snapshot")
    card = model_card(key)
    if card.sha256 != manifest.tensors_sha256:  # saved anew in between
        card = card_of(manifest, card.key, card.source, card.path, card.snapshots)
    return module.requires_grad_(False).eval().to(device), card
