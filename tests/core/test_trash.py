"""Deleted runs: where they are, how much they hold, back again or gone."""

from pathlib import Path

import pytest

from dgm_studio.core import trash
from dgm_studio.core.resources import runs_dir
from dgm_studio.core.updates import Problem


def run(name: str, size: int) -> Path:
    folder = runs_dir() / name
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "run.json").write_bytes(b"1" * 10)
    (folder / "checkpoints" / "step-00000001.safetensors").write_bytes(b"2" * (size - 10))
    return folder


def test_what_is_in_the_trash_is_measured_and_comes_back_beside_a_run_that_took_its_name(studio_home: Path) -> None:
    assert trash.contents() == ()
    first = trash.throw_away(run("digits 1.5", 1000))
    second = trash.throw_away(run("faces", 5000))
    (trash.trash_dir() / "notes.txt").write_text("not a run")
    assert trash.contents() == (second, first) and (first.name, first.size, second.size) == ("digits 1.5", 1000, 5000)
    taken = run("faces", 20)
    assert trash.bring_back(second) == runs_dir() / "faces-2"
    assert (runs_dir() / "faces-2" / "checkpoints").is_dir() and (taken / "run.json").stat().st_size == 10
    assert trash.bring_back(first, studio_home / "elsewhere" / "digits 1.5").is_dir()
    assert trash.contents() == ()


def test_what_was_deleted_for_good_cannot_come_back_and_says_so(studio_home: Path) -> None:
    found = trash.throw_away(run("digits", 1000))
    trash.delete_for_good(found)
    assert trash.contents() == () and not found.path.exists()
    trash.delete_for_good(found)
    with pytest.raises(Problem, match="digits is no longer in the trash"):
        trash.bring_back(found)
    assert not (runs_dir() / "digits").exists()
