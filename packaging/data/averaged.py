"""Writes the cards of sets whose pictures are area averages of those of another set in the box.

`python packaging/data/averaged.py`, after the sets that they are made from.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pack import BOX

from dgm_studio.core.cards import DataCard, as_json
from dgm_studio.data.averaged import content, load_averaged
from dgm_studio.data.dataset import Dataset
from dgm_studio.data.registry import load
from dgm_studio.data.splits import SPLITS

WHAT = {
    ("mnist16", "mnist5k", 16): (
        "MNIST digits, 16 x 16",
        "5,000 handwritten digits, 16 x 16 grey: MNIST small enough for diffusion on a CPU.",
        "Every pixel the mean of the 1.75 x 1.75 pixels that it covers, rounded.",
    ),
    ("pixelfaces16", "pixelfaces", 16): (
        "Pixel faces, 16 x 16",
        "12,000 drawn faces, 16 x 16 colour, with eight attributes and a sentence each.",
        "As they were drawn: every pixel the mean of 2 x 2 equal ones.",
    ),
}
NOTE = """# {card.title}

{card.summary}

| split | items |
|---|---|
{rows}

The splits are those of `{base.name}`.

## Source

The set `{base.name}` of this folder. There are no new arrays: the pictures are made when the set is loaded
(`dgm_studio/data/averaged.py`), in integers.

## Licence

{base.licence}, see `{base.name}.md`. Credit: {base.credit}.

## Changes

{card.changes}

## Files

* none beside the card; content (pictures, splits and annotations), as in `{card.name}.json`: SHA-256 `{card.sha256}`
* written by `packaging/data/averaged.py`
"""


def build(name: str, base: Dataset, side: int, title: str, summary: str, how: str) -> None:
    """Writes card and note into the box."""
    first, *others = base.card.modalities
    card: DataCard = replace(
        base.card,
        name=name,
        title=title,
        summary=summary,
        modalities=(replace(first, shape=(first.shape[0], side, side)), *others),
        changes=f"{base.card.changes} {how}",
        made={"from": base.card.name, "side": str(side)},
    )
    making = load_averaged(card, base)
    while True:
        try:
            next(making)
        except StopIteration as finished:
            card = replace(card, sha256=content(finished.value))
            break
    (BOX / f"{name}.json").write_text(json.dumps(as_json(card), indent=1, ensure_ascii=False) + "\n", "utf-8")
    rows = "\n".join(f"| {split} | {card.counts[split]:,} |" for split in SPLITS)
    (BOX / f"{name}.md").write_text(NOTE.format(card=card, base=base.card, rows=rows), "utf-8")
    print(f"{name}: sha256 {card.sha256}, {card.counts}")


if __name__ == "__main__":
    for (made, origin, pixels), words in WHAT.items():
        build(made, load(origin), pixels, *words)
