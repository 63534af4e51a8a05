"""Training runs, from their first step to whatever ends them."""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dgm_studio.checkpoints import store
from dgm_studio.core.engine import Engine
from dgm_studio.core.history import read_history
from dgm_studio.core.manifest import list_runs, model_card
from dgm_studio.core.outbox import Outbox
from dgm_studio.core.requests import Train
from dgm_studio.core.runs import MOST_SNAPSHOTS, RunFolder
from dgm_studio.core.updates import Done, Failed, Frame, Metrics, Problem, Progress, Result, Update
from dgm_studio.data.registry import card as data_card
from dgm_studio.models import registry
from dgm_studio.training.loop import Session

SHORT = {
    "steps": 30,
    "batch": 32,
    "warmup": 5,
    "valid_every": 10,
    "save_every": 10,
    "valid_count": 64,
    "micro_batch": 32,
}
TIMED = ("examples_per_second",)


def request(folder: Path, **changes: Any) -> Train:
    asked: dict[str, Any] = dict(
        run=str(folder), system="vae", data="moons", config=registry.tiny("vae"), training=SHORT
    )
    return Train(**(asked | changes))


def run(asked: Train, steps: int | None = None) -> Session:
    """Train to the end, or close the generator once `steps` are done."""
    session = Session(asked)
    updates = session.updates()
    for _ in updates:
        if steps is not None and session.ready and session.step >= steps:
            updates.close()
            break
    return session


def figures(folder: Path) -> dict[str, dict[str, list[Any]]]:
    series = read_history(folder / "metrics.jsonl").series()
    return {k: {c: v[c].tolist() for c in ("step", "value")} for k, v in series.items() if k not in TIMED}


def assert_same_state(one: Path, other: Path) -> None:
    (a, first), (b, second) = (store.load(folder / "resume.safetensors") for folder in (one, other))
    assert (a.step, a.extra["position"]) == (b.step, b.extra["position"])
    assert first.keys() == second.keys()
    assert any(name.startswith("adam.exp_avg_sq.") for name in first)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def data_for(system: str) -> str:
    return "digits8" if "image" in registry.systems()[system].modality_kinds else "moons"


@pytest.mark.parametrize("system", registry.systems())
@pytest.mark.parametrize("micro_batch", [32, 12])
def test_a_run_that_was_stopped_in_an_epoch_equals_the_one_that_was_not(
    tmp_path: Path, system: str, micro_batch: int
) -> None:
    training = SHORT | {"micro_batch": micro_batch}
    asked = dict(system=system, data=data_for(system), config=registry.tiny(system), training=training)
    run(request(tmp_path / "whole", **asked))
    for stop in (7, 10, 17):
        run(request(tmp_path / "parts", **asked), steps=stop)
    run(request(tmp_path / "parts", **asked))
    assert_same_state(tmp_path / "whole", tmp_path / "parts")
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")
    names = [RunFolder(tmp_path / n).snapshots() for n in ("whole", "parts")]
    assert names[0] == names[1]


def test_a_run_that_was_killed_before_its_first_save_begins_anew(tmp_path: Path) -> None:
    session = Session(request(tmp_path / "run"))
    updates = session.updates()
    while not session.ready:
        next(updates)
    session._record.flush()
    shutil.copytree(tmp_path / "run", tmp_path / "killed")
    updates.close()
    run(request(tmp_path / "killed"))
    history = read_history(tmp_path / "killed" / "metrics.jsonl")
    assert [f["flag"] for f in history.flags] == ["start"]
    assert history.curves["train/loss"].step.tolist() == list(range(1, 31))


def test_dropout_is_resumed_too_and_leaves_the_default_generator_alone(tmp_path: Path) -> None:
    config = registry.tiny("vae") | {"dropout": 0.5}
    before = torch.get_rng_state()
    run(request(tmp_path / "whole", config=config))
    run(request(tmp_path / "parts", config=config), steps=13)
    torch.rand(5)
    after = torch.get_rng_state()
    run(request(tmp_path / "parts", config=config))
    assert torch.equal(after, torch.get_rng_state())
    assert not torch.equal(before, after)
    assert_same_state(tmp_path / "whole", tmp_path / "parts")


def test_a_run_that_was_killed_goes_on_from_its_last_save_as_if_nothing_had_been(tmp_path: Path) -> None:
    run(request(tmp_path / "whole"))
    session = Session(request(tmp_path / "killed"))
    updates = session.updates()
    while not (session.ready and session.step >= 17):
        next(updates)
    # What a kill leaves: the files as they are now, and a line that was torn in the middle.
    killed = tmp_path / "left behind"
    session._record.flush()
    shutil.copytree(tmp_path / "killed", killed)
    updates.close()
    with (killed / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 18, "time": 0.1, "train/lo')
    (killed / "checkpoints" / ".step-00000020.safetensors.1.tmp").write_bytes(b"half")
    run(request(killed, system="", data="", config={}, training={}))
    assert_same_state(tmp_path / "whole", killed)
    assert figures(tmp_path / "whole") == figures(killed)
    assert not list(killed.rglob("*.tmp"))
    assert read_history(killed / "metrics.jsonl").damaged == 1


def test_a_run_trains_through_the_engine_shows_itself_and_is_saved_as_a_card(studio_home: Path) -> None:
    folder = studio_home / "runs" / "digits"
    asked = request(folder, data="digits8", training=SHORT | {"steps": 60})
    engine = Engine(lambda: lambda r: Session(r).updates(), Outbox(), threaded=False)
    engine.submit(asked, "Train")
    engine.pump()
    updates = [envelope.update for envelope in engine.outbox.drain()]
    assert updates[-1] == Done()
    metrics = [u for u in updates if isinstance(u, Metrics) and "train/loss" in u.values]
    assert [m.step for m in metrics] == list(range(1, 61))
    wanted = {"train/loss", "train/elbo", "train/reconstruction", "train/kl", "gradient_norm", "learning_rate", "beta"}
    assert wanted <= metrics[0].values.keys()
    assert np.mean([m.values["train/loss"] for m in metrics[-5:]]) < 0.9 * metrics[0].values["train/loss"]
    frames = {u.topic: u.data for u in updates if isinstance(u, Frame)}
    assert frames["kl"]["kl"].shape == (3,)
    assert frames["samples"]["pictures"].dtype == frames["reconstructions"]["originals"].dtype == np.uint8
    assert frames["samples"]["pictures"].shape[1:] == frames["reconstructions"]["pictures"].shape[1:] == (8, 8)
    assert {"good", "warn", "bad"} >= {line["level"] for line in frames["health"]["lines"]}
    last = [u.value for u in updates if isinstance(u, Result)][-1]
    card = model_card(f"run:{folder}")
    assert (card.step, card.headline, card.metrics["nelbo"].split) == (60, "nelbo", "valid")
    assert (last.metrics, last.snapshots, last.live) == (card.metrics, card.snapshots, True)
    assert [c.key for c in list_runs()] == [f"run:{folder}"]
    module, loaded = store.load_model(f"run:{folder}")
    assert loaded == card
    assert module.decode(torch.zeros(2, 3)).mean.shape == (2, 1, 8, 8)


def test_the_live_model_is_the_averaged_one_and_is_what_is_saved(tmp_path: Path) -> None:
    session = run(request(tmp_path / "run"), steps=21)
    saved, _ = store.load_model(f"run:{tmp_path / 'run'}")
    assert not session.model.training
    for (name, live), (_, kept) in zip(session.model.state_dict().items(), saved.state_dict().items(), strict=True):
        assert torch.equal(live, kept), name


def test_snapshots_are_at_most_64_on_a_doubling_stride_and_every_one_can_be_opened(tmp_path: Path) -> None:
    training = SHORT | {"steps": 150, "snapshot_every": 1, "valid_every": 1000}
    run(request(tmp_path / "run", training=training))
    steps = RunFolder(tmp_path / "run").snapshots()
    assert steps == tuple(range(0, 150 + 1, 4))
    assert len(steps) <= MOST_SNAPSHOTS
    old, card = store.load_model(f"run:{tmp_path / 'run'}@100")
    assert (card.step, card.snapshots) == (100, steps)
    assert next(old.parameters()).dtype == torch.float32
    with pytest.raises(Problem, match=r"kept nothing from step 101\. The nearest one is from step 100"):
        store.load_model(f"run:{tmp_path / 'run'}@101")


def test_edits_take_force_at_the_next_step_and_stay_in_the_run_as_flags(tmp_path: Path) -> None:
    session = Session(request(tmp_path / "run", training=SHORT | {"schedule": "constant", "warmup": 0}))
    seen: list[Metrics] = []
    for update in session.updates():
        if isinstance(update, Metrics) and "train/loss" in update.values:
            seen.append(update)
            if update.step == 12:
                assert session.edit({"learning_rate": 5e-4, "beta": 4}) == {"learning_rate": 5e-4, "beta": 4.0}
    rates = [m.values["learning_rate"] for m in seen]
    assert rates == [1e-3] * 12 + [5e-4] * 18
    assert [m.values["beta"] for m in seen] == [1.0] * 12 + [4.0] * 18
    after = seen[-1].values
    assert after["train/loss"] == pytest.approx(4 * after["train/kl"] - after["train/reconstruction"], rel=1e-4)
    flags = read_history(tmp_path / "run" / "metrics.jsonl").flags
    assert [(f["flag"], f["step"]) for f in flags] == [("start", 0), ("edit", 12)]
    assert flags[1]["changes"] == {"learning_rate": 5e-4, "beta": 4.0}
    card = model_card(f"run:{tmp_path / 'run'}")
    assert (card.config["beta"], card.training["learning_rate"]) == (4.0, 5e-4)
    with pytest.raises(Problem, match="Did you mean learning_rate"):
        session.edit({"learning_rat": 1.0})
    for fixed in ({"latent": 4}, {"batch": 64}):
        with pytest.raises(Problem, match="cannot be changed"):
            session.edit(fixed)


def test_a_run_goes_on_with_changed_settings_but_stays_the_run_it_is(tmp_path: Path) -> None:
    run(request(tmp_path / "run"))
    again = run(request(tmp_path / "run"))
    assert again.step == 30
    run(Train(run=str(tmp_path / "run"), training={"steps": 40, "learning_rate": 1e-4}))
    flags = read_history(tmp_path / "run" / "metrics.jsonl").flags
    assert [f["flag"] for f in flags] == ["start", "resume", "resume", "edit"]
    assert flags[-1]["changes"] == {"steps": 40, "learning_rate": 1e-4}
    assert model_card(f"run:{tmp_path / 'run'}").step == 40
    for changed in ({"config": {"latent": 7}}, {"data": "pinwheel"}, {"training": {"batch": 8}}):
        with pytest.raises(Problem, match=r"another (run|one)"):
            run(request(tmp_path / "run", **changed))


def test_a_fork_of_the_newest_step_goes_on_exactly_and_of_a_snapshot_from_its_weights(tmp_path: Path) -> None:
    run(request(tmp_path / "parent"), steps=20)
    key = f"run:{tmp_path / 'parent'}@20"
    run(Train(run=str(tmp_path / "exact"), parent=key.removesuffix("@20")))
    assert RunFolder(tmp_path / "exact").read()["parent"] == key, "the newest step, whichever that was then"
    run(request(tmp_path / "parent"))
    assert_same_state(tmp_path / "parent", tmp_path / "exact")
    snapshot = f"run:{tmp_path / 'parent'}@11"
    child = Session(Train(run=str(tmp_path / "child"), parent=snapshot, config={"beta": 3.0}, training={"steps": 25}))
    updates = child.updates()
    while not child.ready:
        next(updates)
    halved, _ = store.load_model(snapshot)
    for name, tensor in child.model.state_dict().items():
        assert torch.equal(tensor, halved.state_dict()[name])
    list(updates)
    card = model_card(f"run:{tmp_path / 'child'}")
    assert (card.parent, card.step, card.steps, card.config["beta"]) == (snapshot, 25, 25, 3.0)
    history = read_history(tmp_path / "child" / "metrics.jsonl")
    assert history.curves["train/loss"].step.tolist() == list(range(12, 26))
    assert history.flags[0]["flag"] == "fork"
    assert history.flags[0]["changes"] == {"beta": 3.0, "steps": 25}
    assert "half precision" in history.flags[0]["sentence"]
    with pytest.raises(Problem, match=r"do not fit this model: .* has shape"):
        run(Train(run=str(tmp_path / "other"), parent=snapshot, config={"latent": 5}))


def spoil(session: Session, at: int, how: str) -> Iterator[Update]:
    spoilt = False
    for update in session.updates():
        yield update
        if session.ready and session.step == at and not spoilt:  # once: a step may yield half way
            spoilt = True
            model = session._at_work.model
            with torch.no_grad():
                next(p for n, p in model.named_parameters() if n == how).fill_(math.inf)


def test_a_loss_that_is_not_finite_stops_at_once_and_says_step_term_and_layer(tmp_path: Path) -> None:
    session = Session(request(tmp_path / "run"))
    name = next(
        n
        for n, _ in registry.build("vae", registry.tiny("vae"), data_card("moons").modalities).named_parameters()
        if "decoder" in n
    )
    seen: list[Update] = []
    with pytest.raises(Problem) as caught:
        for update in spoil(session, 14, name):
            seen.append(update)
    sentence, action = caught.value.sentence, caught.value.action
    assert "stopped at step 15" in sentence
    assert "term reconstruction" in sentence
    assert f"layer {name.rpartition('.')[0]}" in sentence
    assert "Go back to step 10" in action
    trouble = next(u.data for u in seen if isinstance(u, Frame) and u.topic == "trouble")
    assert trouble["remedy"] == {"learning_rate": 5e-4}
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["state"], about["failure"]["remedy"]) == ("failed", {"learning_rate": 5e-4})
    store.load(tmp_path / "run" / "resume.safetensors")
    run(Train(run=str(tmp_path / "run"), training=trouble["remedy"]))
    history = read_history(tmp_path / "run" / "metrics.jsonl")
    assert [(f["flag"], f["step"]) for f in history.flags] == [("start", 0), ("resume", 10), ("edit", 10)]
    assert history.curves["train/loss"].step.tolist() == list(range(1, 31))
    assert np.isfinite(history.values("train/loss")).all()


def spoil_gradients(session: Session, after: int, stop_at: int | None = None) -> None:
    """Train with every gradient of one weight NaN from the step after `after` on; close once `stop_at` are done."""
    updates, spoilt = session.updates(), False
    for _ in updates:
        if session.ready and session.step == after and not spoilt:
            spoilt = True
            weight = next(p for n, p in session._at_work.model.named_parameters() if n.endswith("weight"))
            weight.register_hook(lambda grad: grad * math.nan)
        if session.ready and session.step == stop_at:
            updates.close()
            break


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights_where_every_gradient_is_measured(
    tmp_path: Path,
) -> None:
    session = Session(request(tmp_path / "run", training={**SHORT, "clip": 100.0}))
    with pytest.raises(Problem, match=r"stopped at step 4: the gradient is not finite, first in the layer .*weight"):
        spoil_gradients(session, 3)
    assert all(bool(torch.isfinite(p).all()) for p in session._at_work.model.parameters())


def test_a_spoilt_gradient_that_was_not_measured_is_seen_at_the_next_loss_and_its_weights_are_never_saved(
    tmp_path: Path,
) -> None:
    with pytest.raises(Problem, match=r"stopped at step 5: the term reconstruction is not finite"):
        spoil_gradients(Session(request(tmp_path / "run")), 3)
    spoil_gradients(Session(request(tmp_path / "stopped")), 3, stop_at=4)
    with pytest.raises(Problem, match=r"stopped at step 30: the gradient is not finite"):  # no next loss to tell
        spoil_gradients(Session(request(tmp_path / "last")), 29)
    for name, step in (("run", 0), ("stopped", 0), ("last", 20)):
        assert store.load(tmp_path / name / "resume.safetensors")[0].step == step
        for path in (tmp_path / name).rglob("*.safetensors"):
            assert all(bool(torch.isfinite(t).all()) for t in store.load(path)[1].values() if t.is_floating_point())


def test_running_out_of_memory_saves_and_offers_a_smaller_micro_batch_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(request(tmp_path / "run"))
    with pytest.raises(Problem, match="not enough memory for step 13 with 32 examples") as caught:
        for _ in session.updates():
            if session.ready and session.step == 12:

                def too_large(*_: Any) -> Any:
                    torch.rand(1, generator=session._at_work.randomness.noise)
                    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

                monkeypatch.setattr(session._at_work.model, "loss", too_large)
    assert "micro_batch=16" in caught.value.action
    assert store.load(tmp_path / "run" / "resume.safetensors")[0].step == 12
    about = RunFolder(tmp_path / "run").read()
    assert (about["state"], about["failure"]["remedy"]) == ("failed", {"micro_batch": 16})
    run(Train(run=str(tmp_path / "run"), training={"micro_batch": 16}))
    about = RunFolder(tmp_path / "run").read()
    assert (about["state"], about["failure"]) == ("finished", None)
    run(request(tmp_path / "whole"))
    # Up to the order of adding up: the draws differ between the halves, the data and the schedule do not.
    one, other = (figures(tmp_path / n)["train/loss"] for n in ("run", "whole"))
    assert one["step"] == other["step"]
    assert one["value"][:12] == other["value"][:12]


def test_a_full_disk_keeps_the_old_checkpoint_and_training_goes_on_and_saves_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(request(tmp_path / "run"))
    real, lines, cards = store.os.fsync, [], []

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for update in session.updates():
        if isinstance(update, Metrics) and update.step == 15:
            monkeypatch.setattr("os.fsync", full)
        if isinstance(update, Metrics) and update.step == 21:
            assert RunFolder(tmp_path / "run").checkpoints()[-1] == 10
            assert store.load(tmp_path / "run" / "resume.safetensors")[0].step == 10
            monkeypatch.setattr("os.fsync", real)
        if isinstance(update, Frame) and update.topic == "health":
            lines += [line["sentence"] for line in update.data["lines"] if line["level"] == "bad"]
        if isinstance(update, Result):
            cards.append(update.value.step)
    assert any("the disk is full. The checkpoint of step 10 stays" in line for line in lines)
    assert RunFolder(tmp_path / "run").checkpoints()[-1] == 30
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_second_instance_cannot_train_the_same_run_and_can_look_at_it(tmp_path: Path) -> None:
    first = Session(request(tmp_path / "run"))
    updates = first.updates()
    while not (first.ready and first.step >= 12):
        next(updates)
    assert RunFolder(tmp_path / "run").locked()
    with pytest.raises(Problem, match="being trained elsewhere; here it can only be looked at"):
        run(request(tmp_path / "run"))
    assert model_card(f"run:{tmp_path / 'run'}").step == 10
    updates.close()
    assert not RunFolder(tmp_path / "run").locked()


def test_a_refused_request_leaves_no_folder(tmp_path: Path) -> None:
    for wrong in ({"system": "vea"}, {"config": {"laten": 2}}, {"training": {"steps": 0}}, {"data": "mnist5"}):
        with pytest.raises(Problem):
            run(request(tmp_path / "run", **wrong))
    assert not (tmp_path / "run").exists()


def test_how_much_to_compute_at_once_is_measured_once_and_kept(tmp_path: Path) -> None:
    asked = request(tmp_path / "run", data="digits8", training=SHORT | {"micro_batch": 0})
    measured = run(asked, steps=12).card().training["micro_batch"]
    assert measured in (32, 16, 8)
    again = Session(asked)
    texts = {u.text for u in again.updates() if isinstance(u, Progress)}
    assert not any("Measuring" in text for text in texts)
    assert again.card().training["micro_batch"] == measured


def test_measuring_leaves_no_trace(tmp_path: Path) -> None:
    config = registry.tiny("vae") | {"dropout": 0.5}
    session = run(request(tmp_path / "measured", config=config, training=SHORT | {"micro_batch": 0}))
    found = session.card().training["micro_batch"]
    run(request(tmp_path / "given", config=config, training=SHORT | {"micro_batch": found}))
    assert_same_state(tmp_path / "measured", tmp_path / "given")


def test_failures_reach_the_asker_through_the_engine_in_the_same_words(tmp_path: Path) -> None:
    engine = Engine(lambda: lambda r: Session(r).updates(), Outbox(), threaded=False)
    engine.submit(Train(run=str(tmp_path / "nothing")), "Train")
    engine.pump()
    ending = engine.outbox.drain()[-1].update
    assert isinstance(ending, Failed)
    assert ending.action == "Give a system and data to start one."
    assert not isinstance(ending, Progress)
