"""Runs and their forks."""

from __future__ import annotations

from dgm_studio.core.engine import Engine
from dgm_studio.core.outbox import Outbox
from dgm_studio.core.requests import ReadFamily, Train
from dgm_studio.core.resources import runs_dir
from dgm_studio.core.updates import Failed, Result
from dgm_studio.explore.workbench import Workbench, open_workbench
from dgm_studio.models import registry

SMALL = {"steps": 4, "batch": 16, "valid_every": 2, "valid_count": 20, "snapshot_every": 2, "micro_batch": 16}


def answered(bench: Workbench, request: object) -> list[object]:
    engine = Engine(lambda: bench.answer, Outbox(), threaded=False)
    engine.submit(request, "job")
    engine.pump()
    updates = [e.update for e in engine.outbox.drain()]
    assert not any(isinstance(u, Failed) for u in updates), updates
    return [u.value for u in updates if isinstance(u, Result)]


def test_a_family_is_the_oldest_ancestor_and_all_that_was_forked_from_it() -> None:
    bench = open_workbench("cpu")
    one, two, three, other = (str(runs_dir() / name) for name in ("one", "two", "three", "other"))
    for run in (one, other):
        answered(bench, Train(run, "vae", "digits8", registry.tiny("vae"), SMALL, name=run))
    answered(bench, Train(two, config={"beta": 4.0}, parent=f"run:{one}@2", training={"steps": 8}, name="two"))
    answered(bench, Train(three, parent=f"run:{two}@4", training={"steps": 10}, name="three"))
    for asked in (one, two, three):
        (family,) = answered(bench, ReadFamily(asked))
        assert isinstance(family, tuple)
        by_key = {member["key"]: member for member in family}
        assert set(by_key) == {f"run:{run}" for run in (one, two, three)}
        assert by_key[f"run:{two}"]["parent"] == f"run:{one}" and by_key[f"run:{two}"]["start"] == 2
        assert "beta 1 → 4" in by_key[f"run:{two}"]["change"]
        assert by_key[f"run:{three}"]["parent"] == f"run:{two}" and by_key[f"run:{one}"]["parent"] == ""
        assert by_key[f"run:{one}"]["state"] == "done" and by_key[f"run:{one}"]["end"] == 4
