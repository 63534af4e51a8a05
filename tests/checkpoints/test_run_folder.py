"""Run folders: what is appended is read back, whoever was killed in between; and other tools can read it."""

from __future__ import annotations

import csv
import errno
import json
import math
import multiprocessing
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_studio.core import events
from dgm_studio.core import history as history_module
from dgm_studio.core.history import Journal, read_history
from dgm_studio.core.runs import MOST_SNAPSHOTS, RunFolder, new_run_folder, run_path, snapshot_stride
from dgm_studio.core.updates import Problem


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    journal = Journal(path)
    for line in lines:
        journal.write(line)
    assert journal.flush() is None


def figures(*steps: int) -> list[dict[str, Any]]:
    return [{"step": s, "time": s / 10, "train/loss": 1.0 / s, "rate": 0.5} for s in steps]


def test_figures_flags_and_kl_rows_come_back_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [*figures(1, 2), {"step": 2, "time": 0.2, "valid/loss": math.nan}])
    write(
        path,
        [{"step": 2, "time": 0.2, "kl": [0.5, 1.5]}, {"step": 2, "time": 0.2, "flag": "edit", "changes": {"a": 1}}],
    )
    write(path, [{"step": 3, "time": 0.3, "train/loss": math.inf, "rate": 0.5}])
    history = read_history(path)
    series = history.series()
    assert series["rate"]["step"].tolist() == [1, 2, 3]
    assert series["train/loss"]["value"][:2].tolist() == [1.0, 0.5]
    assert np.isnan(series["train/loss"]["value"][2])
    assert np.isnan(series["valid/loss"]["value"]).all()
    assert history.flags == [{"step": 2, "time": 0.2, "flag": "edit", "changes": {"a": 1}}]
    assert history.kl()["rows"].tolist() == [[0.5, 1.5]]
    assert (history.damaged, history.last_time()) == (0, 0.3)
    for line in path.read_text().splitlines():  # strict JSON, for any other reader
        json.loads(line, parse_constant=pytest.fail)


@given(st.integers(1, 400))
def test_a_line_torn_anywhere_costs_that_line_and_no_other(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "metrics.jsonl"
    write(path, figures(*range(1, 9)))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = path.read_bytes().count(b"\n")
    write(path, figures(100))
    history = read_history(path)
    steps = history.series()["rate"]["step"].tolist()
    assert steps in ([*range(1, kept + 1), 100], [*range(1, kept + 2), 100])
    assert history.damaged <= 1


def test_a_resume_takes_back_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [*figures(1, 2, 3, 4), {"step": 4, "time": 0.4, "kl": [1.0]}, {"step": 4, "time": 0.4, "flag": "edit"}])
    write(path, [{"step": 2, "time": 0.2, "flag": "resume"}, *figures(3)])
    history = read_history(path)
    assert history.series()["rate"]["step"].tolist() == [1, 2, 3]
    assert [f["flag"] for f in history.flags] == ["resume"]
    assert history.kl()["rows"].shape == (0, 0)


def test_lines_wait_for_a_full_disk_and_come_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, figures(1))
    journal, real = Journal(path), Path.open

    def full(self: Path, *args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    journal.write(figures(2)[0])
    assert journal.flush() is not None
    monkeypatch.setattr(Path, "open", real)
    journal.write(figures(3)[0])
    assert journal.flush() is None
    assert read_history(path).series()["rate"]["step"].tolist() == [1, 2, 3]


def test_a_file_longer_than_a_chunk_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, figures(*range(1, 2001)))
    whole = read_history(path)
    for size in (1, 64, 999):
        monkeypatch.setattr(history_module, "CHUNK", size)
        assert read_history(path) == whole
    assert whole.curves["rate"].step.tolist() == list(range(1, 2001))


@given(st.integers(0, 100_000), st.integers(1, 300))
def test_there_are_never_more_than_64_snapshots_and_thinning_only_ever_drops(steps: int, first: int) -> None:
    stride = snapshot_stride(steps, first)
    assert steps // stride + 1 <= MOST_SNAPSHOTS
    assert stride == first or steps // (stride // 2) + 1 > MOST_SNAPSHOTS
    assert snapshot_stride(steps + 1, first) in (stride, 2 * stride)


def hold(folder: Path, ready: Any) -> None:
    with RunFolder(folder).lock():
        ready.send("held")
        time.sleep(60)


def test_the_lock_is_seen_by_another_process_and_ends_with_it_even_by_kill(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    holder = context.Process(target=hold, args=(tmp_path, theirs), daemon=True)
    holder.start()
    assert ours.recv() == "held"
    assert RunFolder(tmp_path).locked()
    with pytest.raises(Problem, match="trained elsewhere"), RunFolder(tmp_path).lock():
        pass
    holder.kill()
    holder.join()
    assert not RunFolder(tmp_path).locked()
    with RunFolder(tmp_path).lock():
        assert RunFolder(tmp_path).locked()


def test_names_become_folders_that_are_not_taken(studio_home: Path) -> None:
    first = new_run_folder("My run: β = 4 / ../x")
    assert first.parent == studio_home / "runs"
    first.mkdir()
    assert new_run_folder("My run: β = 4 / ../x").name == first.name + "-2"
    RunFolder(new_run_folder("日" * 5000)).make()
    assert new_run_folder("日" * 5000).name == "日" * 60 + "-2"
    assert run_path(first.name) == first
    assert run_path("/tmp/elsewhere") == Path("/tmp/elsewhere").resolve()


def test_a_damaged_or_newer_run_json_is_refused_in_words(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for text, words in (('{"version": 9}', "version 9; this program reads up to version 1"), ("{", "cannot be read")):
        run.run_file.write_text(text)
        with pytest.raises(Problem) as caught:
            run.read()
        assert words in str(caught.value)
    run.write({"name": "x"})
    assert run.read()["name"] == "x"


# -- other tools ------------------------------------------------------------------------------------------------------


def crc32c(data: bytes) -> int:
    """Bit by bit, as in RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def unmask(masked: int) -> int:
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def message(data: bytes) -> dict[int, Any]:
    at, found = 0, {}
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            size, code = (8, "<d") if kind == 1 else (4, "<f")
            value, at = struct.unpack(code, data[at : at + size])[0], at + size
        found[key >> 3] = value
    return found


def records(data: bytes) -> list[dict[int, Any]]:
    at, found = 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        body = data[at + 12 : at + 12 + length]
        assert crc32c(data[at : at + 8]) == unmask(*struct.unpack_from("<I", data, at + 8))
        assert crc32c(body) == unmask(*struct.unpack_from("<I", data, at + 12 + length))
        found.append(message(body))
        at += 16 + length
    return found


def test_the_check_sum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    row = np.frombuffer(b"123456789", np.uint8)[None]
    assert unmask(int(events.masked_crc32c(row)[0])) == 0xE3069283


def test_tensorboard_files_hold_every_point_in_the_documented_format(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    steps = [1, 127, 128, 16383, 16384, 5_000_000]
    write(path, figures(*steps))
    out = tmp_path / "events.out.tfevents.1"
    events.write_events(out, read_history(path), created=1e9)
    first, *rest = records(out.read_bytes())
    assert (first[3], first[1]) == (b"brain.Event:2", 1e9)
    found: dict[str, list[tuple[int, float, float]]] = {}
    for event in rest:
        value = message(message(event[5])[1])
        found.setdefault(value[1].decode(), []).append((event[2], value[2], event[1]))
    assert found.keys() == {"train/loss", "rate"}
    assert [s for s, _, _ in found["train/loss"]] == steps
    assert [v for _, v, _ in found["train/loss"]] == pytest.approx([1.0 / s for s in steps])
    assert [t - 1e9 for _, _, t in found["rate"]] == pytest.approx([s / 10 for s in steps], abs=1e-5)


def test_the_table_has_a_row_for_each_step_and_gaps_where_nothing_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [*figures(1, 2), {"step": 2, "time": 0.2, "valid/loss": 7.0}])
    events.write_csv(tmp_path / "curves.csv", read_history(path))
    rows = list(csv.reader((tmp_path / "curves.csv").open(newline="")))
    assert rows == [
        ["step", "seconds", "rate", "train/loss", "valid/loss"],
        ["1", "0.1", "0.5", "1.0", ""],
        ["2", "0.2", "0.5", "0.5", "7.0"],
    ]
