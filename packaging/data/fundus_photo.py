"""Cuts one real fundus photograph (CC0) into pictures of 32 x 32.

Fetch first: `pip download scikit-image==0.26.0 --no-deps -d FOLDER`; then `python packaging/data/fundus_photo.py FOLDER`.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pack import find_wheel, member, pack, sha256
from palette import reduced
from PIL import Image

from dgm_studio.core.cards import DataCard, Modality
from dgm_studio.data.splits import SHARES, permuted

SEED = 1411
PHOTOGRAPH = "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"
WINDOW, STRIDE, CELL = 64, 16, 176  # pixels of the photograph
FIELD = 0.96  # of the radius: windows lie wholly inside it
COLOURS = 256
NOTE = """
## Source

"Fundus photograph of normal left eye" by Mikael Häggström (2014), "Medical gallery of Mikael Häggström 2014",
WikiJournal of Medicine 1 (2), DOI 10.15347/wjm/2014.008; `skimage/data/retina.jpg` (SHA-256 `{digest}`) of the
Python package scikit-image 0.26.0, 1411 x 1411 pixels. It is one eye of one person: nothing can be learnt from it about
how eyes differ.

## Licence

CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved; this set is offered under the same terms.

## Changes

* Windows of {window} x {window} pixels, {stride} apart, were halved to 32 x 32 by the mean of each 2 x 2 pixels.
* The photograph was cut into cells of {cell} x {cell} pixels; each cell belongs to one split and every window lies
  within its cell, so no pixel of the photograph stands in two splits ({cells}). Windows of one split overlap.
* Windows that reach beyond {field:.0%} of the field's radius were left out.
* Reduced to {colours} colours; the error of a channel is {error:.1f} of 255 (root mean square).
"""


def windows(photograph: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All windows inside the field, [N, 32, 32, 3], and the cell each lies in, [N]."""
    side = len(photograph)
    found, cells = [], []
    per_row = side // CELL
    for cell in range(per_row * per_row):
        top, left = (CELL * index for index in divmod(cell, per_row))
        for y in range(top, top + CELL - WINDOW + 1, STRIDE):
            for x in range(left, left + CELL - WINDOW + 1, STRIDE):
                corners = np.array([(a, b) for a in (y, y + WINDOW) for b in (x, x + WINDOW)]) - side / 2
                if np.hypot(*corners.T).max() < FIELD * side / 2:
                    piece = photograph[y : y + WINDOW, x : x + WINDOW].astype(np.float64)
                    halved = piece.reshape(WINDOW // 2, 2, WINDOW // 2, 2, 3).mean((1, 3))
                    found.append(np.rint(halved).astype(np.uint8))
                    cells.append(cell)
    return np.stack(found), np.array(cells)


def build(folder: Path) -> None:
    """Reads the wheel in `folder`, writes the set into the box."""
    content = member(find_wheel(folder, "scikit_image-0.26.0-*.whl"), "skimage/data/retina.jpg")
    if sha256(content) != PHOTOGRAPH:
        raise SystemExit("this is another photograph")
    rgb, cells = windows(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    used = np.unique(cells)
    few = [round(share * len(used)) for share in SHARES[1:]]
    chosen = permuted(len(used), (len(used) - sum(few), *few), SEED)
    splits = {name: np.flatnonzero(np.isin(cells, used[part])) for name, part in chosen.items()}
    pixels, palette, error = reduced(rgb, COLOURS, SEED)
    arrays = {"pixels": pixels, "palette": palette, "scale": np.array(1, np.uint8), "cell": cells.astype(np.uint16)}
    note = NOTE.format(
        digest=PHOTOGRAPH,
        window=WINDOW,
        stride=STRIDE,
        cell=CELL,
        cells=", ".join(f"{len(part)} cells {name}" for name, part in chosen.items()),
        field=FIELD,
        colours=COLOURS,
        error=error,
    )
    pack(_card(len(rgb)), arrays, splits, note)


def _card(count: int) -> DataCard:
    return DataCard(
        name="fundus-photo",
        title="Patches of a fundus photograph",
        summary=f"{count:,} patches, 32 x 32 colour, of one real photograph of one healthy left eye.",
        modalities=(Modality("image", "image", (3, WINDOW // 2, WINDOW // 2)),),
        split_seed=SEED,
        licence="CC0 1.0",
        credit="Mikael Häggström (2014)",
        source="scikit-image 0.26.0, skimage/data/retina.jpg",
        changes="Cut into overlapping windows, halved, split by region, reduced to 256 colours.",
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]))
