"""The window's state: undo, comparison, bookmarks and a journal that survives."""

import json
import os
from pathlib import Path

import pytest

from dgm_studio.core.cards import Capability, ModelCard
from dgm_studio.core.studio import JOURNAL_SECONDS, Bookmark, Journal, Studio, Wish


def card(key: str) -> ModelCard:
    return ModelCard(key, key, "vae", "VAE", frozenset({Capability.DECODES}), ())


def test_undo_and_redo_walk_the_states_of_every_panel_in_the_order_of_the_gestures() -> None:
    studio = Studio()
    studio.keep("a", "latent", {"z": 0})
    studio.keep("b@64", "samples", {"seed": 0})
    studio.commit("a", "latent", "Move z00", {"z": 1})
    studio.commit("b", "samples", "New seed", {"seed": 9})
    studio.commit("a", "latent", "Move z00", {"z": 2})
    walked = [studio.undo() for _ in range(4)]
    assert [(s.key, s.before) for s in walked if s] == [("a", {"z": 1}), ("b", {"seed": 0}), ("a", {"z": 0})]
    assert walked[3] is None
    assert studio.kept("a", "latent") == {"z": 0} and studio.history.redo_name == "Move z00"
    assert studio.redo() is not None and studio.kept("a", "latent") == {"z": 1}
    studio.commit("a", "latent", "Move z00", {"z": 7})
    assert studio.redo() is None, "a new gesture ends what could be done again"


def test_a_gesture_that_changed_nothing_leaves_no_undo_step() -> None:
    studio = Studio()
    studio.keep("a", "latent", {"z": 1})
    studio.commit("a", "latent", "Move z00", {"z": 1})
    assert studio.history.undo_name == "" and studio.undo() is None


def test_the_comparison_set_holds_eight_and_forgets_models_that_are_removed() -> None:
    studio = Studio()
    heard: list[str] = []
    studio.listen(heard.append)
    for n in range(9):
        studio.add(card(f"m{n}"))
        assert studio.compare_toggle(f"m{n}@3")
    assert studio.comparison == [f"m{n}" for n in range(1, 9)]
    studio.select("m5@12")
    studio.remove("m5")
    assert "m5" not in studio.comparison and studio.selection == "" and studio.card is None
    assert not studio.compare_toggle("m1")
    assert {"cards", "comparison", "selection"} <= set(heard)


def test_wishes_reach_whoever_grants_them_and_wait_where_nobody_does() -> None:
    granted: list[Wish] = []
    Studio(granted.append).fork(card("m"), 64, {"beta": 4.0})
    assert granted[0].kind == "fork" and granted[0].values["step"] == 64
    alone = Studio()
    alone.tell("Saved")
    assert alone.wishes[0].values["sentence"] == "Saved"


def test_a_session_comes_back_with_its_states_and_bookmarks(tmp_path: Path) -> None:
    studio = Studio()
    studio.add(card("m"))
    studio.commit("m", "latent", "Move", {"z": [0.5, -1.0]})
    studio.add_bookmark(Bookmark("a seven", "m@64", "latent", {"z": [1.0]}, b"\x89PNG"))
    studio.remember("/models/x.safetensors")
    journal = Journal(tmp_path / "session.json")
    assert journal.write({"studio": studio.to_json()})
    data = Journal(tmp_path / "session.json").read()
    again = Studio()
    again.restore(data["studio"])
    assert data["clean"] is False, "not closed in order: the next start takes it for a crash"
    assert again.to_json() == {**studio.to_json(), "keys": [], "selection": ""}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[1]",
        b'{"version": 99}',
        b'{"version": 1, "studio": {"bookmarks": [{"name": 1}]}}',
        b'{"version": 1, "studio": {"states": [1]}}',
        b'{"version": 1, "studio": 5}',
        b"[" * 100_000,
    ],
)
def test_a_broken_journal_starts_fresh_and_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "session.json"
    path.write_bytes(content)
    journal = Journal(path)
    assert journal.read() == {}
    assert journal.kept_aside is not None and journal.kept_aside.read_bytes() == content
    assert not path.exists() and Journal(path).read() == {}


def test_the_journal_is_written_when_ten_seconds_have_passed_and_only_when_something_changed(tmp_path: Path) -> None:
    now = [0.0]
    journal = Journal(tmp_path / "session.json", clock=lambda: now[0])
    assert journal.due()
    assert journal.write({"n": 1})
    now[0] = JOURNAL_SECONDS - 0.1
    assert not journal.due()
    now[0] = JOURNAL_SECONDS
    assert journal.due() and not journal.write({"n": 1})
    assert journal.write({"n": 2})


def test_a_journal_that_cannot_be_written_leaves_the_last_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "session.json")
    journal.write({"n": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.write({"n": 2})
    assert json.loads((tmp_path / "session.json").read_text())["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["session.json"]
