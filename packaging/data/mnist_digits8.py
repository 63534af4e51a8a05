"""Writes the card of the pairs MNIST 28 x 28 with 8 x 8 digits of the same class; the pictures are in the box already.

`python packaging/data/mnist_digits8.py`, after `mnist5k.py` and `digits8.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pack import BOX

from dgm_studio.core.cards import DataCard, Modality, as_json
from dgm_studio.data.pairs import content, pairing
from dgm_studio.data.registry import load
from dgm_studio.data.splits import SPLITS

SEED = 2019
NOTE = """# {card.title}

{card.summary}

| split | pairs | MNIST pictures | 8 x 8 pictures |
|---|---|---|---|
{rows}

No picture of either set stands in two splits. Pairing seed {card.split_seed}.

## Source

The sets `mnist5k` and `digits8` of this folder; their splits are kept. There are no new arrays: the pairs are made when
the set is loaded (`dgm_studio/data/pairs.py`). Pairing within a class as in Y. Shi, N. Siddharth, B. Paige and
P. H. S. Torr, "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models", 2019: indices of
each class are shuffled and matched, again and again. Here every MNIST picture is matched once, every 8 x 8 picture about
as often as the others of its class.

## Licence

Of the MNIST pictures: {first.licence}, see `mnist5k.md`. Credit: {first.credit}.

Of the 8 x 8 pictures: {second.licence}, see `digits8.md`. Credit: {second.credit}.

## Changes

{card.changes}

## Files

* none beside the card; content (both sets and the pairs), as in `{card.name}.json`: SHA-256 `{card.sha256}`
* written by `packaging/data/mnist_digits8.py`
"""


def build() -> None:
    """Writes card and note into the box."""
    first, second = load("mnist5k"), load("digits8")
    card = DataCard(
        name="mnist-digits8",
        title="MNIST with tiny digits",
        summary="5,000 pairs of the same class: an MNIST picture, 28 x 28 grey, and a tiny digit, 8 x 8 grey.",
        modalities=(
            Modality("mnist", "image", (1, 28, 28), about="digit"),
            Modality("digits8", "image", (1, 8, 8), about="digit"),
        ),
        factors=first.card.factors,
        counts=first.card.counts,
        split_seed=SEED,
        licence="CC BY-SA 3.0 (MNIST); CC BY 4.0 (tiny digits)",
        credit=f"{first.card.credit}. Tiny digits: {second.card.credit}",
        source=f"{first.card.source}; {second.card.source}",
        changes="Paired by class within each split; every MNIST picture once, the tiny digits as often as needed.",
        made={"first": "mnist5k", "second": "digits8", "factor": "digit"},
    )
    pairs = {split: pairing(card, split, first.split(split), second.split(split)) for split in SPLITS}
    card = replace(card, sha256=content(first, second, pairs))
    (BOX / f"{card.name}.json").write_text(json.dumps(as_json(card), indent=1, ensure_ascii=False) + "\n", "utf-8")
    rows = "\n".join(
        f"| {split} | {len(at):,} | {len(first.split(split)):,} | {len(second.split(split)):,} |"
        for split, at in pairs.items()
    )
    note = NOTE.format(card=card, rows=rows, first=first.card, second=second.card)
    (BOX / f"{card.name}.md").write_text(note, "utf-8")
    print(f"{card.name}: sha256 {card.sha256}, {card.counts}")


if __name__ == "__main__":
    build()
