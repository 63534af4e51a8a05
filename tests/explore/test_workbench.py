"""The worker's bench: models in hand, files that change, memory that runs out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.checkpoints import store
from dgm_studio.core import requests
from dgm_studio.core.cards import Modality
from dgm_studio.core.engine import Engine
from dgm_studio.core.manifest import Manifest
from dgm_studio.core.outbox import Outbox
from dgm_studio.core.requests import DecodeLatent, DecodeMany, FollowPath, ListSystems, OpenModel, SamplePrior
from dgm_studio.core.updates import Done, Failed, Frame, Problem, Update
from dgm_studio.explore import answers
from dgm_studio.explore.workbench import Workbench, open_workbench, pick_device
from dgm_studio.models import registry

from .conftest import SHAPE, frame, result


def save_tiny(path: Path, seed: int = 0, **config: Any) -> Path:
    """An untrained VAE on digits8 as a checkpoint."""
    modalities = (Modality("image", "image", SHAPE),)
    settings = {**registry.tiny("vae"), **config}
    module = registry.build("vae", settings, modalities, seed=seed)
    manifest = Manifest(
        system="vae",
        title="Tiny",
        config=settings,
        modalities=modalities,
        capabilities=registry.capabilities_of(type(module)),
        latent=settings["latent"],
        data="digits8",
    )
    store.save(path, module.state_dict(), manifest)
    return path


def test_every_request_has_an_answer() -> None:
    assert set(requests.kinds()) <= answers.answered()


def test_a_saved_model_opens_with_its_card_and_decodes(bench: Workbench, tmp_path: Path) -> None:
    key = str(save_tiny(tmp_path / "tiny.safetensors"))
    card = result(bench.answer(OpenModel(key)))
    assert (card.title, card.latent, card.data) == ("Tiny", 3, "digits8")
    first = frame(bench.answer(DecodeLatent(key, (0.0, 1.0, 0.0))), "decoded")["picture"]
    module, _ = store.load_model(key)
    with torch.no_grad():
        wanted = module.decode(torch.tensor([[0.0, 1.0, 0.0]])).mean[0, 0]
    assert np.array_equal(first, np.floor(wanted.numpy() * 255 + 0.5).astype(np.uint8))


def test_a_file_that_changed_is_read_again(bench: Workbench, tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "tiny.safetensors")
    asked = SamplePrior(str(path), 4)
    before = frame(bench.answer(asked), "samples")["pictures"]
    assert bench.model(str(path)) is bench.model(str(path))
    save_tiny(path, seed=9)
    os.utime(path, ns=(1, 1))
    assert not np.array_equal(before, frame(bench.answer(asked), "samples")["pictures"])


def test_a_model_first_opened_in_inference_mode_still_has_geodesics(bench: Workbench, tmp_path: Path) -> None:
    key = str(save_tiny(tmp_path / "tiny.safetensors", prior="vamp"))
    frame(bench.answer(DecodeLatent(key, (0.0, 0.0, 0.0))), "decoded")
    path = frame(bench.answer(FollowPath(key, ((2.0, 0.0, 0.0), (0.0, 2.0, 0.0)), "geodesic", 12)), "path")
    assert path["settled"] and np.isfinite(path["log_prior"]).all()


@pytest.mark.parametrize("key", ["zoo:no-such-model", "/no/such/file.safetensors", "run:/no/such/run", ""])
def test_a_model_that_is_not_there_is_a_problem_with_an_action(bench: Workbench, key: str) -> None:
    with pytest.raises(Problem) as caught:
        list(bench.answer(OpenModel(key)))
    assert caught.value.sentence.endswith(".") and "Traceback" not in caught.value.sentence


def test_memory_that_runs_out_is_said_in_words_and_given_back(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(save_tiny(tmp_path / "tiny.safetensors"))
    held = bench.model(key)

    def hungry(bench: Workbench, asked: DecodeMany) -> Iterator[Update]:
        bench.model(asked.model)
        yield Frame("decoded", {"x": torch.empty(2**50, dtype=torch.uint8)})

    monkeypatch.setitem(answers._entries, DecodeMany, answers.Entry(hungry, False))
    with pytest.raises(Problem, match="not enough memory"):
        list(bench.answer(DecodeMany(key, ((0.0, 0.0, 0.0),))))
    monkeypatch.undo()
    assert bench.model(key) is not held
    assert frame(bench.answer(DecodeMany(key, ((0.0, 0.0, 0.0),))), "decoded")["pictures"].shape == (1, 8, 8)


def test_an_answer_that_is_given_up_closes_its_generator(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def long(bench: Workbench, asked: SamplePrior) -> Iterator[Update]:
        try:
            while True:
                yield Frame("samples", {})
        finally:
            closed.append(torch.is_grad_enabled())

    answers.import_all()
    monkeypatch.setitem(answers._entries, SamplePrior, answers.Entry(long, False))
    steps = bench.answer(SamplePrior("linear"))
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_the_worker_opens_a_bench_on_its_own_thread_and_answers(tmp_path: Path) -> None:
    key = str(save_tiny(tmp_path / "tiny.safetensors"))
    outbox = Outbox()
    engine = Engine(lambda: open_workbench("cpu").answer, outbox, threaded=False)
    engine.ask("latent/decoded", DecodeLatent(key, (0.0, 0.0, 0.0)))
    engine.ask("latent/wrong", DecodeLatent(key, (0.0,)))
    engine.pump()
    updates = [(e.ticket.slot, e.update) for e in outbox.drain()]
    assert any(slot == "latent/decoded" and isinstance(u, Done) for slot, u in updates)
    (failed,) = [u for _, u in updates if isinstance(u, Failed)]
    assert "latent" in failed.sentence and failed.action


def test_systems_are_listed_as_cards(bench: Workbench) -> None:
    assert "vae" in {card.name for card in result(bench.answer(ListSystems()))}


def test_a_device_that_is_not_there_is_a_problem() -> None:
    with pytest.raises(Problem, match="cannot be used"):
        pick_device("cuda:99")
    assert pick_device("cpu").type == "cpu"
