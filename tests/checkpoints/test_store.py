"""Checkpoints: what is written is what is read, and nothing else is believed."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from dgm_studio.checkpoints import store
from dgm_studio.checkpoints.torture import torture
from dgm_studio.core import atomic
from dgm_studio.core.cards import Capability, Metric, Modality
from dgm_studio.core.manifest import MANIFEST_VERSION, Manifest, migrate, model_card, read_manifest
from dgm_studio.core.updates import Problem
from dgm_studio.models import registry

MODALITIES = (Modality("points", "points", (2,)),)


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 5, generator=generator),
        "b": torch.randn(7, generator=generator).half(),
        "c": torch.arange(3),
        "d": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "brain": torch.randn(3, generator=generator).bfloat16(),
    }


def manifest(**changes: Any) -> Manifest:
    about = dict(system="vae", modalities=MODALITIES, capabilities=frozenset({Capability.ENCODES}), step=12, latent=3)
    about |= dict(metrics={"nelbo": Metric(1.5, "nats", "ELBO", 0.1, "test")}, config={"hidden": (3, 4)}, name="x")
    return Manifest(**(about | changes))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    store.save(path, tensors(), manifest())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Problem) as caught:
        store.load(path)
    return str(caught.value)


def forge(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_what_is_saved_comes_back_and_the_safetensors_library_reads_the_same(saved: Path) -> None:
    found, loaded = store.load(saved)
    assert found == manifest(tensors_sha256=found.tensors_sha256)
    assert read_manifest(saved) == found
    elsewhere = safetensors.torch.load_file(saved)
    assert loaded.keys() == elsewhere.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
        assert torch.equal(elsewhere[name], tensor)


def test_a_file_of_the_safetensors_library_with_our_manifest_is_read(tmp_path: Path, saved: Path) -> None:
    found, loaded = store.load(saved)
    path = tmp_path / "theirs.safetensors"
    order_is_theirs = safetensors.torch.save({"w": loaded["a.weight"].clone()}, found.metadata())
    path.write_bytes(order_is_theirs)
    assert read_manifest(path).system == "vae"
    assert "not those that were saved" in refusal(path)


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 0.5, -1])
def test_a_truncated_file_is_refused(saved: Path, keep: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    assert "damaged" in refusal(saved)


@given(st.integers(0, 10**9), st.integers(0, 7))
def test_any_flipped_bit_is_noticed_or_harmless(tmp_path_factory: pytest.TempPathFactory, where: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "model.safetensors"
    store.save(path, tensors(), manifest(), durable=False)
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        _, loaded = store.load(path)
    except Problem:
        return
    # Only a letter of a name or of the manifest's words can have changed: every number is as it was.
    assert sorted(t.double().sum().item() for t in loaded.values()) == sorted(
        t.double().sum().item() for t in tensors().values()
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path: Path, saved: Path, value: float) -> None:
    with pytest.raises(Problem, match=r"not finite, in w\b"):
        store.save(tmp_path / "no.safetensors", {"w": torch.tensor([1.0, value])}, manifest())
    assert sorted(tmp_path.iterdir()) == [saved]
    path = tmp_path / "forged.safetensors"
    bad = torch.tensor([1.0, value])
    import hashlib

    digest = hashlib.sha256(bad.numpy().tobytes()).hexdigest()
    safetensors.torch.save_file({"w": bad}, path, manifest(tensors_sha256=digest).metadata())
    assert "not finite, in w" in refusal(path)


HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "huge shape": (
        {"w": {"dtype": "F32", "shape": [0, 2**60, 2**60], "data_offsets": [0, 4]}},
        b"0000",
        "does not fit",
    ),
    "absurd shape": ({"w": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}, b"", "makes no sense"),
    "negative": ({"w": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, b"0000", "makes no sense"),
    "truth": ({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, b"0000", "makes no sense"),
    "path": ({"../../etc/x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"0", "no name for a tensor"),
    "root": ({"/etc/x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"0", "no name for a tensor"),
    "drive": ({"C:\\x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"0", "no name for a tensor"),
    "overlap": (
        {
            "a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
            "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]},
        },
        b"000",
        "overlap",
    ),
    "gap": ({"a": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}}, b"000", "gap"),
    "short": ({"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}, b"000", "need 9 bytes"),
    "long": ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"000", "it has 3"),
    "type": ({"a": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 1]}}, b"0", "unknown type"),
    "twice": (b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{}}', b"0", "twice"),
    "list": ([1, 2], b"", "not a table"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", "not a table of texts"),
    "infinite": (b'{"__metadata__":{},"a":NaN}', b"", "holds NaN"),
    "deep": (b"[" * 100_000, b"", "cannot be read"),
    "text": (b"\xff\xfe", b"", "cannot be read"),
    "stranger": ({}, b"", "no DGM Studio manifest"),
    "no table": ({"__metadata__": {"dgm_studio": "[]"}}, b"", "not a table"),
    "step": ({"__metadata__": {"dgm_studio": '{"schema":1,"system":"v","modalities":[],"step":"1"}'}}, b"", "step is"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_words(tmp_path: Path, name: str) -> None:
    header, data, words = HOSTILE[name]
    assert words in refusal(forge(tmp_path / "hostile.safetensors", header, data))


def test_a_header_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.write((8 * 2**30).to_bytes(8, "little"))
        file.truncate(9 * 2**30)
    assert "its header claims" in refusal(path)


def test_a_full_disk_leaves_the_old_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(saved, {"w": torch.ones(3)}, manifest())
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_save_that_is_closed_half_way_leaves_the_old_checkpoint(saved: Path) -> None:
    before = saved.read_bytes()
    large = {"w": torch.ones(1_000_000)}
    whole = sum(1 for _ in store.saving(saved.with_name("other"), large, manifest()))
    assert whole >= 6
    for stop in range(1, whole):
        steps = store.saving(saved, large, manifest())
        for _ in range(stop):
            next(steps)
        steps.close()
        assert saved.read_bytes() == before


def test_a_process_killed_while_saving_never_leaves_an_unreadable_checkpoint(tmp_path: Path) -> None:
    outcome = torture(tmp_path, kills=15, seed=1)
    assert (outcome.kills, outcome.unreadable, outcome.lost) == (15, 0, 0)
    assert outcome.interrupted > 0, "no kill hit in the middle of a save: the test proves nothing"


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path, saved: Path) -> None:
    leftover = atomic.temporary_for(saved)
    leftover.write_bytes(b"half")
    assert atomic.sweep([tmp_path, tmp_path / "missing"]) == (leftover,)
    assert list(tmp_path.iterdir()) == [saved]


def test_weights_are_compared_before_any_of_them_is_touched() -> None:
    module = torch.nn.Linear(2, 3)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    good = {"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}
    cases = [
        (good | {"bias": torch.zeros(4)}, "bias has shape (4,) and (3,) is needed"),
        (good | {"bias": torch.zeros(3).double()}, "bias is float64 and float32 is needed"),
        (good | {"bias": torch.zeros(3).half()}, "bias is float16 and float32 is needed"),
        ({"weight": good["weight"]}, "bias is missing"),
        (good | {"extra": torch.zeros(1)}, "extra has no place in it"),
    ]
    for weights, words in cases:
        with pytest.raises(Problem) as caught:
            store.fit(module, weights, "The weights")
        assert words in str(caught.value)
        assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    store.fit(module, store.half(good), "The weights", halved=True)
    assert float(module.weight.detach().abs().sum()) == 0.0
    assert module.weight.dtype == torch.float32


def test_a_checkpoint_is_a_card_without_torch_and_a_model_with_it(tmp_path: Path) -> None:
    config = registry.tiny("vae")
    model = registry.build("vae", config, MODALITIES, seed=3).eval()
    path = tmp_path / "toy.safetensors"
    about = manifest(config=config, capabilities=registry.systems()["vae"].capabilities)
    store.save(path, model.state_dict(), about)
    loaded, card = store.load_model(str(path))
    assert card == model_card(str(path))
    assert (card.key, card.source, card.step, card.latent) == (str(path), "file", 12, 3)
    assert card.metrics["nelbo"] == Metric(1.5, "nats", "ELBO", 0.1, "test")
    assert not loaded.training
    z = torch.ones(4, 3)
    assert torch.equal(loaded.decode(z).mean, model.decode(z).mean)


def test_an_old_manifest_is_migrated_on_a_copy_and_a_newer_one_refused_naming_both(tmp_path: Path, saved: Path) -> None:
    old = {
        "model": "vae",
        "modality": {"name": "points", "kind": "points", "shape": [2]},
        "metrics": {"nelbo": 3},
        "step": 7,
    }
    before = json.dumps(old)
    now = migrate(old)
    assert json.dumps(old) == before
    assert (now["schema"], now["system"]) == (MANIFEST_VERSION, "vae")
    path = forge(tmp_path / "old.safetensors", {"__metadata__": {"dgm_studio": before}})
    content = path.read_bytes()
    found = read_manifest(path)
    assert (found.system, found.modalities, found.metrics["nelbo"].value, found.step) == ("vae", MODALITIES, 3.0, 7)
    assert path.read_bytes() == content
    newer = {"__metadata__": {"dgm_studio": json.dumps({"schema": MANIFEST_VERSION + 4, "system": "x"})}}
    with pytest.raises(Problem) as caught:
        read_manifest(forge(tmp_path / "new.safetensors", newer))
    assert f"version {MANIFEST_VERSION + 4}" in str(caught.value)
    assert f"up to version {MANIFEST_VERSION}" in str(caught.value)


def test_a_missing_file_a_missing_zoo_entry_and_a_missing_run_are_named() -> None:
    with pytest.raises(Problem, match="There is no file"):
        model_card("/nowhere/x.safetensors")
    with pytest.raises(Problem, match="zoo:nothing"):
        model_card("zoo:nothing")
    with pytest.raises(Problem, match=r"zoo:\.\./x"):
        model_card("zoo:../x")
    with pytest.raises(Problem, match=r"There is no run in .*never-trained"):
        model_card("run:never-trained")
