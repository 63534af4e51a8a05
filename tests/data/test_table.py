"""The user's own pairs: a table beside pictures. What leaks, what is missing and what is refused, in words."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset
from dgm_studio.data.registry import load, loading
from dgm_studio.data.splits import SPLITS, in_clusters
from dgm_studio.data.table_columns import number

WORDS = ("a red eye", "a pale eye, calm", "the left one", "the right one and a disc")


def draw(folder: Path, count: int, side: int = 12) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def write(path: Path, header: list[str], rows: list[list[Any]], delimiter: str = ",") -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream, delimiter=delimiter)
        out.writerows([header, *rows])
    return f"table:{path}"


def eyes(tmp_path: Path, count: int = 120) -> tuple[str, list[list[Any]]]:
    """Two pictures of each patient and a record."""
    draw(tmp_path / "eyes", count)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        age, pressure = 40 + 30 * rng.random(), np.exp(4.8 + 0.3 * rng.normal())
        rows.append([f"eyes/{i}.png", f"{age:.3f}", f"{pressure:.3f}", "fm"[i // 2 % 2], WORDS[i % 4], f"p{i // 2}"])
    header = ["file", "age:real:years", "sbp:positive:mmHg", "sex", "note:text", "patient"]
    return write(tmp_path / "eyes.csv", header, rows), rows


def table(tmp_path: Path, rows: list[list[Any]], header: list[str], pictures: int = 20) -> str:
    draw(tmp_path, pictures)
    return write(tmp_path / "t.csv", header, rows)


def everything(dataset: Dataset) -> dict[str, torch.Tensor]:
    """All views in the order of the rows of the file."""
    parts = [dataset.split(split) for split in SPLITS]
    order = torch.cat([part.indices for part in parts]).argsort()
    views = [part.views(torch.arange(len(part))) for part in parts]
    return {name: torch.cat([view[name] for view in views])[order] for name in views[0]}


def test_every_cell_arrives_beside_its_picture_in_its_own_kind(tmp_path: Path) -> None:
    name, rows = eyes(tmp_path)
    dataset = load(name)
    kinds = {m.name: (m.kind, m.shape, m.unit) for m in dataset.card.modalities}
    assert kinds == {
        "file": ("image", (3, 12, 12), ""),
        "age": ("real", (1,), "years"),
        "sbp": ("positive", (1,), "mmHg"),
        "sex": ("label", (), ""),
        "note": ("text", (6,), ""),
    }
    views = everything(dataset)
    for i, (file, age, pressure, sex, note, _) in enumerate(rows):
        pixels = np.asarray(Image.open(tmp_path / file)).transpose(2, 0, 1)
        assert np.array_equal(np.rint(views["file"][i].numpy() * 255), pixels)
        assert views["age"][i].item() == pytest.approx(float(age)) and views["sbp"][i].item() == pytest.approx(
            float(pressure)
        )
        assert "fm"[int(views["sex"][i])] == sex
        words = next(m for m in dataset.card.modalities if m.name == "note").categories
        assert " ".join(words[t] for t in views["note"][i] if t > 0) == note.replace(",", " ,")
    assert views["age"].dtype == torch.float32 and views["sex"].dtype == views["note"].dtype == torch.int64


def test_no_patient_stands_in_two_parts_and_the_cut_hangs_on_neither_order_nor_chance(tmp_path: Path) -> None:
    name, rows = eyes(tmp_path)
    dataset = load(name)

    def patients(found: Dataset, told: list[list[Any]]) -> list[set[str]]:
        return [{told[i][5] for i in found.split(split).indices.tolist()} for split in SPLITS]

    parts = patients(dataset, rows)
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert [len(part) for part in parts] == [48, 6, 6]
    assert any("60 groups by patient, none of them in two parts" in line for line in dataset.report)
    header = ["file", "age:real", "sbp:positive", "sex", "note:text", "patient"]
    other = write(tmp_path / "turned.csv", header, rows[::-1])
    assert patients(load(other), rows[::-1]) == parts


def test_copies_of_a_picture_join_the_groups_they_belong_to(tmp_path: Path) -> None:
    draw(tmp_path, 60)
    for i in range(0, 58, 2):  # the first picture of each patient is the second of the one before
        (tmp_path / f"{i + 2}.png").write_bytes((tmp_path / f"{i + 1}.png").read_bytes())
    rows = [[f"{i}.png", i % 7 + 0.5, f"p{i // 2}"] for i in range(60)]
    with pytest.raises(Problem, match=r"share a patient or a picture hang together, which leaves 1 .*one is in 2 rows"):
        load(write(tmp_path / "t.csv", ["file", "age", "patient"], rows))


def test_without_a_group_the_label_is_held_in_proportion(tmp_path: Path) -> None:
    draw(tmp_path, 200, side=8)
    rows = [[f"{i}.png", "cat" if i % 4 else "dog"] for i in range(200)]
    dataset = load(write(tmp_path / "t.csv", ["picture", "animal"], rows))
    assert [m.kind for m in dataset.card.modalities] == ["image", "label"]
    for split, size in (("train", 160), ("valid", 20), ("test", 20)):
        counts = torch.bincount(dataset.split(split).factors["animal"], minlength=2)
        assert int(counts.sum()) == size and abs(int(counts[1]) - size // 4) <= 1


def test_a_giant_group_is_trained_on_and_no_part_is_empty() -> None:
    clusters = np.array([0] * 90 + [1] * 5 + [2] * 5)
    found = in_clusters(clusters, [b"a", b"b", b"c"], np.zeros(3, int), "seed")
    assert len(found["train"]) == 90 and all(len(found[split]) for split in SPLITS)
    with pytest.raises(ValueError, match="2 clusters"):
        in_clusters(clusters[:95], [b"a", b"b"], np.zeros(2, int), "seed")


def test_missing_cells_are_missing_and_a_row_without_its_picture_stays(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[f"{i}.png", 3 * i + 0.5, "xy"[i % 2], WORDS[i % 4]] for i in range(20)]
    rows[3][1], rows[4][1], rows[5][1] = "", "NA", "abc"
    rows[6][2], rows[7][2] = "?", "nan"
    rows[8][3] = ""
    rows[9][0], rows[10][0] = "", "gone.png"
    rows[11] = ["", "", "", ""]
    rows[12] = ["gone too.png", "", "?", "NA"]
    dataset = load(table(tmp_path, rows, ["file", "dose:real", "arm:categorical", "note:text"]))
    views = everything(dataset)  # the empty line 13 and line 14, of which nothing is known, are gone
    assert len(views["dose"]) == 18
    assert views["dose"][:, 0].isnan().nonzero().flatten().tolist() == [3, 4, 5]
    assert (views["arm"] == -1).nonzero().flatten().tolist() == [6, 7]
    assert (views["note"] == -1).all(1).nonzero().flatten().tolist() == [8]
    assert views["file"].isnan().flatten(1).all(1).nonzero().flatten().tolist() == [9, 10]
    assert dataset.card.factors[0].categories == ("x", "y", "not recorded")
    report = "\n".join(dataset.report)
    assert "2 skipped: no such picture (line 12: gone.png, line 14: gone too.png)" in report
    assert "1 of dose missing: not a number (line 7: abc)" in report
    assert "file is missing in 2 of 18 rows" in report and "nothing of the row can be used (line 14)" in report


def test_figures_and_words_come_from_the_training_part_alone(tmp_path: Path) -> None:
    parts = ["train"] * 14 + ["valid"] * 3 + ["test"] * 3
    rows = [
        [f"{i}.png", i + 1.5 if i < 14 else 9e9, f"word{'new' if i > 13 else ''} again", part]
        for i, part in enumerate(parts)
    ]
    dataset = load(table(tmp_path, rows, ["file", "dose:positive", "note:text", "split"]))
    dose, note = dataset.card.modalities[1:]
    logs = np.log(np.arange(14) + 1.5)
    assert dose.centre == pytest.approx((logs.mean(),)) and dose.spread == pytest.approx((logs.std(),))
    assert note.categories == ("", "?", "again", "word")
    assert dataset.card.counts == {"train": 14, "valid": 3, "test": 3}
    assert dataset.split("test").views(torch.arange(1))["note"].tolist() == [[1, 2]]


def test_two_picture_columns_are_two_modalities(tmp_path: Path) -> None:
    rows = [[f"{i}.png", f"{19 - i}.png", i % 2] for i in range(20)]
    dataset = load(table(tmp_path, rows, ["left", "right", "side"]))
    views = everything(dataset)
    assert torch.equal(views["left"], views["right"].flip(0))
    # Every right picture is a left one elsewhere: row i and row 19 - i must not part.
    for split in SPLITS:
        held = set(dataset.split(split).indices.tolist())
        assert {19 - i for i in held} == held


def test_a_leak_in_the_users_own_split_is_said(tmp_path: Path) -> None:
    rows = [
        [f"{i}.png", i + 0.5, f"p{i // 2}", "train" if i < 15 else "valid" if i < 18 else "test"] for i in range(20)
    ]
    report = load(table(tmp_path, rows, ["file", "x", "patient", "split"])).report
    assert any("a leak: 1 groups of patient" in line for line in report)


def test_kinds_are_guessed_from_the_cells(tmp_path: Path) -> None:
    header = ["", "id", "path", "stage", "dose", "shift", "grade", "site", "remark", "code", "same"]
    rows = [
        [
            i,
            i + 1,
            f"{i}.png",
            i % 3,
            2.5 ** (i % 9),
            (-1.5) ** (i % 9),
            i % 5,
            "ab"[i % 2],
            WORDS[i % 4] + f" {i}",
            f"x{i}",
            1,
        ]
        for i in range(20)
    ]
    dataset = load(table(tmp_path, rows, header))
    kinds = {m.name: m.kind for m in dataset.card.modalities}
    assert kinds == {
        "path": "image",
        "stage": "categorical",
        "dose": "positive",
        "shift": "real",
        "grade": "categorical",
        "site": "categorical",
        "remark": "text",
    }
    report = "\n".join(dataset.report)
    for words in (
        "column 1 has no name",
        "column id is left out: its cells only number",
        "column code is left out",
        "same",
    ):
        assert words in report


def test_semicolons_with_decimal_commas_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    draw(tmp_path, 12)
    text = "\ufefffile;dose:real\r\n" + "".join(f"{i}.png;{i},5\r\n" for i in range(12))
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert everything(load(f"table:{tmp_path / 't.csv'}"))["dose"][:, 0].tolist() == [i + 0.5 for i in range(12)]
    assert number("1,5") is None and number("nan") is None and number("１") is None


def test_the_sum_changes_with_a_cell_and_with_a_pixel_and_with_nothing_else(tmp_path: Path) -> None:
    name, rows = eyes(tmp_path, 40)
    first = load(name).sha256
    assert load(name).sha256 == first == load(f"{name}@12").sha256
    rows[7][1] = "55.5"
    header = ["file", "age:real:years", "sbp:positive:mmHg", "sex", "note:text", "patient"]
    second = load(write(tmp_path / "eyes.csv", header, rows)).sha256
    pixels = np.array(Image.open(tmp_path / "eyes" / "9.png"))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(tmp_path / "eyes" / "9.png")
    assert len({first, second, load(name).sha256}) == 3


def test_labels_of_a_table_can_be_kept_in_part(tmp_path: Path) -> None:
    name, _ = eyes(tmp_path)
    kept = load(f"{name}@8~sex=5,age=50%")
    views = kept.split("train").views(torch.arange(96))
    assert torch.bincount(views["sex"] + 1, minlength=3).tolist() == [86, 5, 5]
    assert int(views["age"].isnan().sum()) == 48
    assert kept.card.name.endswith("@8~age=50%,sex=5") and "5 labels a class" in kept.card.title


HOSTILE = {
    "latin": ("file,name\n1.png,café\n".encode("latin-1"), "not text in UTF-8"),
    "sixteen": ("file,name\n1.png,a\n".encode("utf-16"), "not text in UTF-8"),
    "zero": (b"file,na\0me\n1.png,a\n", "bytes that are no text"),
    "empty": (b"", "is empty"),
    "blank": (b"\n\n  \n", "is empty"),
    "header": (b"file,age\n", "no row that can be used"),
    "quote": (b'file,age\n"1.png,3\n' + b"2.png,4\n" * 20000, "cannot be read"),
    "stray": (b'file,age\n"1"x.png,3\n', "Line 2 .*cannot be read"),
    "long": (b"file,age\n" + b"x" * (3 << 20), "Line 2 .* longer than a million"),
    "ragged": (b"file,age\n" + b"1.png\n" * 30, "no row that can be used"),
    "wide": (b",".join([b"c"] * 500) + b"\n" + b",".join([b"1"] * 500), "500 columns"),
    "twice": (b"file,age,age\n" + b"1.png,3.5,4.5\n2.png,5.5,6.5\n", "Two columns are called age"),
    "kind": (b"file,age:reel\n1.png,3\n", "age:reel is of no known kind"),
    "none": (b"age,dose\n3.5,1\n2.5,4\n", "No column holds names of picture files"),
    "gone": (b"file,age\n" + b"".join(b"no%d.png,%d.5\n" % (i, i) for i in range(20)), "None of the pictures"),
    "few": (b"file,age\n0.png,1.5\n1.png,2.5\n", "2 rows that can be used; at least 10"),
    "classes": (b"file,age:label\n" + b"".join(b"0.png,%d\n" % i for i in range(300)), "300 different values"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_table_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    draw(tmp_path, 3)
    content, words = HOSTILE[case]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(Problem, match=words) as caught:
        load(f"table:{tmp_path / 't.csv'}")
    assert "\n" not in caught.value.sentence and len(caught.value.sentence) < 300 + len(str(tmp_path))


def test_a_line_of_two_hundred_megabytes_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("wb") as stream:
        stream.write(b"file,age\n")
        stream.truncate(200 << 20)
    started = time.perf_counter()
    with pytest.raises(Problem, match="Line 2 of"):
        load(f"table:{tmp_path / 't.csv'}")
    assert time.perf_counter() - started < 20


def test_ragged_rows_are_left_out_and_named(tmp_path: Path) -> None:
    draw(tmp_path, 20)
    lines = [f"{i}.png,{i}.5" for i in range(20)]
    lines[4], lines[9], lines[11] = "4.png", "9.png,9.5,x", "11.png,11.5,,"
    (tmp_path / "t.csv").write_text("file,age\n" + "\n".join(lines), "utf-8")
    dataset = load(f"table:{tmp_path / 't.csv'}")
    assert sum(dataset.card.counts.values()) == 18
    assert any("2 skipped: the header has 2 cells" in line and "line 6, line 11" in line for line in dataset.report)


def test_a_table_that_names_strange_files_opens_no_pipe_and_no_text(tmp_path: Path) -> None:
    draw(tmp_path, 15)
    (tmp_path / "words.png").write_text("no picture")
    rows = [[f"{i}.png", i + 0.5] for i in range(15)] + [
        ["words.png", 1.5],
        ["../../../../etc/hostname", 2.5],
        [".", 3.5],
    ]
    dataset = load(write(tmp_path / "t.csv", ["file", "x"], rows))
    report = "\n".join(dataset.report)
    assert "words.png" in report and "not a regular file" in report
    assert int(everything(dataset)["file"].isnan().flatten(1).all(1).sum()) == 3


def test_reading_a_large_table_says_how_far_it_is(tmp_path: Path) -> None:
    draw(tmp_path, 12, side=8)
    rows = [[f"{i % 12}.png", i / 7, f"{WORDS[i % 4]} {i % 97}", f"g{i % 50}"] for i in range(20_000)]
    told = list(loading(write(tmp_path / "t.csv", ["file", "x", "note", "site"], rows)))
    assert len(told) > 200 and all(0 <= done <= max(done, total) and text for done, total, text in told)
    assert {"Looking for groups and copies", "Reading column x", "Adding up"} <= {text for _, _, text in told}
