"""Packs 1,797 digits of 8 x 8.

Fetch first: `pip download --no-deps -d FOLDER scikit-learn==1.9.1`; then `python packaging/data/digits8.py FOLDER`.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from pack import find_wheel, member, pack, sha256

from dgm_studio.core.cards import DataCard, Factor, Modality
from dgm_studio.data.splits import stratified

SEED = 1797
NOTE = """
## Source

`sklearn/datasets/data/digits.csv.gz` of the Python package scikit-learn 1.9.1 (wheel SHA-256 `{wheel}`): the test part
of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49.

## Licence

The UCI repository offers the data under Creative Commons Attribution 4.0 (https://creativecommons.org/licenses/by/4.0/).
The package that carried it:

```
{licence}
```

## Changes

Grey levels 0 to 16 became bytes, round(255 / 16 x level), 0 paper and 255 ink, [1797, 8, 8]. A split was
added: 1,297 / 250 / 250, stratified by digit.
"""


def build(folder: Path) -> None:
    """Reads the wheel in `folder`, writes the set into the box."""
    wheel = find_wheel(folder, "scikit_learn-1.9.1-*.whl")
    lines = gzip.decompress(member(wheel, "sklearn/datasets/data/digits.csv.gz")).decode("ascii")
    table = np.loadtxt(lines.splitlines(), delimiter=",")
    pixels = np.rint(table[:, :-1] * 255.0 / 16.0).astype(np.uint8).reshape(-1, 8, 8)
    digit = table[:, -1].astype(np.uint8)
    card = DataCard(
        name="digits8",
        title="Tiny digits, 8 x 8",
        summary="1,797 handwritten digits by 13 writers, 8 x 8 grey: small enough to train on in seconds.",
        modalities=(
            Modality("image", "image", (1, 8, 8), about="digit"),
            Modality("digit", "label", (), categories=tuple("0123456789"), about="digit"),
        ),
        factors=(Factor("digit", tuple("0123456789")),),
        split_seed=SEED,
        licence="CC BY 4.0 (data); BSD 3-Clause (package)",
        credit="E. Alpaydin and C. Kaynak, UCI Machine Learning Repository (1998); scikit-learn developers",
        source="scikit-learn 1.9.1",
        changes="Grey levels 0 to 16 scaled to bytes; stratified split 1,297 / 250 / 250 added.",
    )
    licence = member(wheel, "dist-info/licenses/COPYING").decode().split("\n----")[0].strip()
    note = NOTE.format(wheel=sha256(wheel.read_bytes()), licence=licence)
    pack(card, {"pixels": pixels, "factor_digit": digit}, stratified(digit, (1297, 250, 250), SEED), note)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
