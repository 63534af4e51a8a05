"""Draws 12,000 faces with eight attributes and a sentence each.

Fetch first: `pip install --target FOLDER dicebear-core==10.7.0 dicebear-styles==10.6.0`; then
`python packaging/data/pixelfaces.py FOLDER`.
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from faces import ATTRIBUTES, draw, sentence
from numpy.typing import NDArray
from pack import pack

from dgm_studio.core.cards import DataCard, Factor, Modality
from dgm_studio.data.splits import permuted
from dgm_studio.data.texts import vocabulary

SEED = 12000
SIZES = (10000, 1000, 1000)
DRAWN, SCALE = 16, 2  # the style is drawn on a 16 x 16 board; each square becomes 2 x 2 pixels
PAPER = "#eef1f4"
NOTE = """
## Source

Style "Pixel Art" by DiceBear (https://www.figma.com/community/file/1198754108850888330), as distributed
in the Python package dicebear-styles 10.6.0 and assembled by dicebear-core 10.7.0 (MIT); rendered with Qt's SVG module.

## Licence

The style: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved. This set is
offered under the same terms.

## Changes

* Faces were drawn by chance with seed {seed}, each attribute on its own; a picture that repeated an earlier one was
  drawn again.
* Variants were grouped into the categories below by eye; those that could pass for two are not used
  (`packaging/data/faces.py`).
* The beards' masks were made opaque, so that a beard shows for every hair colour; the style's blond, which is
  the colour of tan skin, was made yellower; earrings are left out.
* The background is always {paper}. A hat hides the top of the hair; dark glasses hide the eyes.
* A 16 x 16 drawing, stored by its {colours} colours; every drawn square is 2 x 2 of the 32 x 32 pixels.
* A split was added: 10,000 / 1,000 / 1,000.

## Attributes

| attribute | categories (pictures) |
|---|---|
{table}

A sentence is made from the attributes, for example: "{example}".
"""


def style_with_opaque_beards(folder: Path) -> Any:
    """The style's definition; beards are masked by white instead of by the hair's own, mostly dark, colour."""
    definition = json.loads((folder / "dicebear_styles" / "pixel-art.json").read_text("utf-8"))
    definition = copy.deepcopy(definition)
    for variant in definition["components"]["beard"]["variants"].values():
        for element in variant["elements"]:
            if element["name"] == "mask":
                for child in element["children"]:
                    child["attributes"]["fill"] = "white"
    return definition


def renderer() -> Callable[[str], NDArray[np.uint8]]:
    """A function from SVG text to RGB [16, 16, 3]."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    application = QGuiApplication.instance() or QGuiApplication([])

    def render(svg: str) -> NDArray[np.uint8]:
        assert application is not None
        image = QImage(DRAWN, DRAWN, QImage.Format.Format_RGB888)
        image.fill(PAPER)
        painter = QPainter(image)
        QSvgRenderer(svg.encode()).render(painter)
        painter.end()
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(DRAWN, image.bytesPerLine())
        return rows[:, : DRAWN * 3].reshape(DRAWN, DRAWN, 3).copy()

    return render


def distinct_faces(folder: Path) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
    """Endless faces, no picture twice: RGB [16, 16, 3] and the categories."""
    sys.path.insert(0, str(folder))
    from dicebear import Avatar, Style

    style, render = Style(style_with_opaque_beards(folder)), renderer()
    rng, seen = np.random.default_rng(SEED), set()
    while True:
        categories, options = draw(rng)
        picture = render(Avatar(style, {"seed": "dgm-studio", **options}).to_string())
        if picture.tobytes() not in seen:
            seen.add(picture.tobytes())
            yield picture, categories


def build(folder: Path) -> None:
    """Draws the faces with the packages in `folder`, writes the set into the box."""
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions(path=[str(folder)])}
    if (found.get("dicebear-core"), found.get("dicebear-styles")) != ("10.7.0", "10.6.0"):
        raise SystemExit("needs dicebear-core 10.7.0 and dicebear-styles 10.6.0")
    drawn = [face for face, _ in zip(distinct_faces(folder), range(sum(SIZES)), strict=False)]
    rgb = np.stack([picture for picture, _ in drawn]).astype(np.uint32)
    codes, inverse = np.unique(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], return_inverse=True)
    palette = np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    categories = np.array([chosen for _, chosen in drawn], dtype=np.uint8)
    texts = [sentence(chosen) for _, chosen in drawn]
    arrays = {
        "pixels": inverse.reshape(rgb.shape[:3]).astype(np.uint16 if len(palette) > 256 else np.uint8),
        "palette": palette,
        "scale": np.array(SCALE, dtype=np.uint8),
        "texts": np.frombuffer("\n".join(texts).encode(), np.uint8),
    } | {f"factor_{a.name}": categories[:, i] for i, a in enumerate(ATTRIBUTES)}
    table = "\n".join(_row(i, categories[:, i]) for i in range(len(ATTRIBUTES)))
    note = NOTE.format(seed=SEED, paper=PAPER, colours=len(palette), table=table, example=texts[0])
    pack(_card(texts), arrays, permuted(sum(SIZES), SIZES, SEED), note)


def _card(texts: list[str]) -> DataCard:
    factors = tuple(Factor(a.name, tuple(a.groups)) for a in ATTRIBUTES)
    return DataCard(
        name="pixelfaces",
        title="Pixel faces",
        summary="12,000 drawn faces, 32 x 32 colour, with eight attributes and a sentence each.",
        modalities=(
            Modality("image", "image", (3, DRAWN * SCALE, DRAWN * SCALE)),
            Modality("attributes", "attributes", (len(ATTRIBUTES),), columns=factors),
            Modality("sentence", "text", (24,), categories=vocabulary(texts)),
        ),
        factors=factors,
        split_seed=SEED,
        licence="CC0 1.0",
        credit='"Pixel Art" by DiceBear',
        source="dicebear-styles 10.6.0, dicebear-core 10.7.0",
        changes="Drawn by chance, variants grouped into eight attributes, sentences and a split added.",
        synthetic=True,
    )


def _row(index: int, values: NDArray[np.uint8]) -> str:
    attribute = ATTRIBUTES[index]
    counts = np.bincount(values, minlength=len(attribute.groups))
    cells = ", ".join(f"{word} ({count:,})" for word, count in zip(attribute.groups, counts, strict=True))
    return f"| {attribute.name} | {cells} |"


if __name__ == "__main__":
    build(Path(sys.argv[1]))
