"""The user's own folders and files: read where they can be, named where they cannot, never a crash."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dgm_studio.core.updates import Problem
from dgm_studio.data.dataset import Dataset
from dgm_studio.data.registry import load, loading
from dgm_studio.data.splits import SPLITS

RNG = np.random.default_rng(0)


def picture(height: int, width: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def fill(folder: Path, count: int = 12, side: int = 12) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(side, side, i).save(folder / f"{i:03d}.png")


def everything(dataset: Dataset) -> torch.Tensor:
    return torch.cat([dataset.split(split).x for split in SPLITS])


def bomb() -> bytes:
    """A PNG that declares 40,000 x 40,000 pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_a_folder_with_bad_files_gives_the_good_ones_and_names_the_bad(tmp_path: Path) -> None:
    root = tmp_path / "set" / "of pets"
    fill(root / "cats", 12)
    fill(root / "dogs", 8)
    for i in range(8):
        picture(12, 12, 100 + i).save(root / "dogs" / f"{i:03d}.png")
    whole = (root / "cats" / "000.png").read_bytes()
    (root / "cats" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    picture(64, 64, 7).save(root / "dogs" / "full.jpg")
    jpeg = (root / "dogs" / "full.jpg").read_bytes()
    (root / "dogs" / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (root / "cats" / "empty.gif").write_bytes(b"")
    (root / "cats" / "words.bmp").write_text("not a picture")
    (root / "dogs" / "bomb.png").write_bytes(bomb())
    (root / "dogs" / "notes.txt").write_text("ignored without a word")
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "dogs" / "pipe.png")
        os.symlink(tmp_path, root / "cats" / "circle")
    dataset = load(f"folder:{tmp_path}")
    assert sum(dataset.card.counts.values()) == 21
    assert everything(dataset).shape[1:] == (3, 12, 12)
    report = "\n".join(dataset.report)
    for name in ("truncated.png", "truncated.jpg", "empty.gif", "words.bmp", "bomb.png"):
        assert name in report
    assert "million pixels" in report and "notes.txt" not in report
    assert dataset.card.factors[0].categories == ("cats", "dogs")
    assert dataset.card.name.endswith("@12")


def test_pictures_keep_their_pixels_when_nothing_must_be_resized(tmp_path: Path) -> None:
    fill(tmp_path, 10, side=16)
    read = {x.numpy().tobytes() for x in everything(load(f"folder:{tmp_path}"))}
    assert read == {np.asarray(picture(16, 16, i)).transpose(2, 0, 1).tobytes() for i in range(10)}


def test_a_large_picture_is_its_middle_square_averaged_over_areas(tmp_path: Path) -> None:
    blocks = RNG.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    for i, block in enumerate(blocks):
        wide = np.zeros((32, 52, 3), np.uint8)
        wide[:, 10:42] = block.repeat(4, axis=0).repeat(4, axis=1)
        Image.fromarray(wide).save(tmp_path / f"{i}.bmp")
    dataset = load(f"folder:{tmp_path}@8")
    read = {x.numpy().tobytes() for x in everything(dataset)}
    assert read == {block.transpose(2, 0, 1).tobytes() for block in blocks}
    assert any("10 cut" in line for line in dataset.report)


def test_grey_transparent_palette_and_sixteen_bit_pictures_mean_what_they_show(tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    for i in range(8):
        Image.fromarray(np.roll(ramp, i)).save(tmp_path / f"grey{i}.png")
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(ramp).convert("P").save(tmp_path / "palette.gif")
    x = everything(load(f"folder:{tmp_path}"))
    assert x.shape == (11, 1, 8, 8)  # all are grey, so there is one channel
    values = {tuple(one.unique().tolist()) for one in x if len(one.unique()) == 1}
    assert values == {(128,), (255,)}


def test_copies_stand_in_one_split_and_an_item_does_not_depend_on_its_name(tmp_path: Path) -> None:
    fill(tmp_path / "a", 40)
    for i in range(40):
        picture(12, 12, i % 20).save(tmp_path / "a" / f"copy{i}.png")
    dataset = load(f"folder:{tmp_path}")
    pixels = [{x.numpy().tobytes() for x in dataset.split(split).x} for split in SPLITS]
    assert all(pixels) and sum(map(len, pixels)) == 40 == len(set.union(*pixels))
    assert any("40 are exact copies" in line for line in dataset.report)
    for i, path in enumerate(sorted((tmp_path / "a").iterdir())):
        path.rename(path.with_name(f"{97 * i % 80:02d}-renamed.png"))
    again = load(f"folder:{tmp_path}")
    assert [{x.numpy().tobytes() for x in again.split(split).x} for split in SPLITS] == pixels


def test_too_few_pictures_and_no_folder_are_refused_with_a_sentence(tmp_path: Path) -> None:
    fill(tmp_path, 9)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(Problem, match=r"9 different items.*at least 10.*broken\.png"):
        load(f"folder:{tmp_path}")
    with pytest.raises(Problem, match="no folder"):
        load(f"folder:{tmp_path}/nowhere")
    with pytest.raises(Problem, match="3 x 3"):
        load(f"folder:{tmp_path}@3")


def test_a_long_load_reports_progress_between_pictures(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    steps = list(loading(f"folder:{tmp_path}"))
    assert [done for done, total, text in steps if text == "Reading pictures"] == list(range(15))
    assert all(0 <= done <= max(total, done) and text for done, total, text in steps)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (RNG.integers(0, 256, (20, 8, 8), dtype=np.uint8), (1, 8, 8)),
        (RNG.integers(0, 256, (20, 8, 10, 3), dtype=np.uint8), (3, 8, 10)),
        (RNG.integers(0, 256, (20, 3, 8, 10), dtype=np.uint8), (3, 8, 10)),
        (RNG.integers(0, 256, (20, 64), dtype=np.uint8), (1, 8, 8)),
        (RNG.random((20, 1, 8, 8)), (1, 8, 8)),
        (RNG.random((20, 8, 8)).astype(np.float16) * 255, (1, 8, 8)),
        (RNG.random((20, 8, 8)) > 0.5, (1, 8, 8)),
        (np.asfortranarray(RNG.integers(0, 256, (20, 8, 8)).astype(">i4")), (1, 8, 8)),
    ],
)
def test_every_stated_layout_and_type_is_read_as_the_same_pictures(
    array: np.ndarray, shape: tuple[int, ...], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", array)
    dataset = load(f"file:{tmp_path / 'x.npy'}")
    assert dataset.card.modalities[0].shape == shape
    full = array.astype(np.float64) * (255 if array.max() <= 1 else 1)
    channels_last = array.ndim == 4 and array.shape[3] == 3
    expected = np.rint(full.transpose(0, 3, 1, 2) if channels_last else full.reshape(20, *shape)).astype(np.uint8)
    for split in SPLITS:
        part = dataset.split(split)
        assert np.array_equal(part.x.numpy(), expected[part.indices.numpy()])


def test_labels_follow_their_items_when_rows_with_nan_are_dropped(tmp_path: Path) -> None:
    x = RNG.random((30, 8, 8))
    y = np.arange(30) % 3 + 5
    x[4, 0, 0], x[17, 3, 3] = np.nan, np.inf
    np.savez(tmp_path / "set.npz", images=x, labels=y, extra=np.arange(3))
    dataset = load(f"file:{tmp_path / 'set.npz'}")
    assert sum(dataset.card.counts.values()) == 28
    assert "2 skipped: NaN or Inf (row 4, row 17)" in dataset.report
    assert dataset.card.factors[0].categories == ("5", "6", "7")
    by_pixels = {np.rint(row * 255).astype(np.uint8).tobytes(): label for row, label in zip(x[:4], y[:4], strict=True)}
    seen = 0
    for split in SPLITS:
        part = dataset.split(split)
        for pixels, label in zip(part.x, part.factors["label"], strict=True):
            known = by_pixels.get(pixels.numpy().tobytes())
            if known is not None:
                assert label + 5 == known
                seen += 1
    assert seen == 4


def test_points_in_the_plane_are_standardised_by_the_training_part(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.concatenate([RNG.normal((5, -3), (2, 0.1), (300, 2)), [[np.nan, 0], [1e300, 0]]]))
    dataset = load(f"file:{tmp_path / 'p.npy'}")
    train = dataset.split("train")
    batch = train.batch(torch.arange(len(train)))
    assert dataset.card.modalities[0].kind == "points" and sum(dataset.card.counts.values()) == 300
    assert batch.mean(0).abs().max() < 1e-4 and (batch.std(0) - 1).abs().max() < 0.01
    with pytest.raises(Problem, match="points"):
        train.picture(torch.arange(3))


def npy_header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy_header("(1152921504606846976, 28, 28)"), "GiB"),
        (npy_header("(1000, 28, 28)") + bytes(100), "truncated"),
        (npy_header("(-1, 28, 28)") + bytes(6272), "damaged"),
        (npy_header("(10, 28, 28)", "'|O'") + bytes(6272), "Python objects"),
        (npy_header("(10, 3)") + bytes(240), "no square"),
        (npy_header("(0, 28, 28)"), "0 different"),
        (npy_header("(10, 0)"), "cannot be used"),
        (npy_header("(20, 5, 5)", "'<c16'") + bytes(8000), "type complex128"),
        (b"hello", "neither"),
        (b"", "neither"),
        (b"PK\x03\x04garbage", "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_allocated(
    data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.npy"
    path.write_bytes(data)
    with pytest.raises(Problem, match=words):
        load(f"file:{path}")


def test_a_pickle_inside_an_npz_is_never_opened(tmp_path: Path) -> None:
    marker = tmp_path / "opened"

    class Opens:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(marker),)

    np.savez(tmp_path / "p.npz", x=np.array([Opens()] * 12, dtype=object))
    with pytest.raises(Problem, match="Python objects"):
        load(f"file:{tmp_path / 'p.npz'}")
    assert not marker.exists()


def good_file(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, np.arange(12 * 25, dtype=np.float32).reshape(12, 5, 5))
    elif kind == "npz":
        np.savez_compressed(buffer, x=np.arange(300, dtype=np.uint8).reshape(12, 5, 5), y=np.arange(12) % 2)
    else:
        picture(9, 9, 1).save(buffer, kind)
    return buffer.getvalue()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(["npy", "npz"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=4),
    tail=st.binary(max_size=20),
)
def test_a_mangled_array_file_is_read_or_refused(
    kind: str, cut: float, flips: list[tuple[float, int]], tail: bytes, tmp_path: Path
) -> None:
    data = bytearray(good_file(kind))
    for where, value in flips:
        data[int(where * len(data))] ^= value
    path = tmp_path / f"mangled.{kind}"
    path.write_bytes(bytes(data[: int(cut * len(data))] if cut < 0.8 else data) + tail)
    try:
        assert sum(load(f"file:{path}").card.counts.values()) >= 10
    except Problem as problem:
        assert problem.sentence


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(["png", "jpeg", "bmp", "gif", "webp", "tiff"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=4),
)
def test_a_mangled_picture_never_stops_the_folder(
    kind: str, cut: float, flips: list[tuple[float, int]], tmp_path: Path
) -> None:
    if not (tmp_path / "000.png").exists():
        fill(tmp_path, 10, side=8)
    data = bytearray(good_file(kind))
    for where, value in flips:
        data[int(where * len(data))] ^= value
    (tmp_path / f"mangled.{kind}").write_bytes(bytes(data[: int(cut * len(data))] if cut < 0.8 else data))
    dataset = load(f"folder:{tmp_path}@8")
    assert 10 <= sum(dataset.card.counts.values()) <= 16


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(npy_header("(10, 20000, 20000)"))
        file.write(bytes(1000))
    with pytest.raises(Problem, match="GiB"):
        load(f"file:{path}")
