"""Data of which a model sees only a part: "mnist5k~digit=10" keeps 10 labels of each class for training.

A name may end in "~MODALITY=COUNT" or "~MODALITY=SHARE%", several separated by commas. In the training part the other
rows of that modality are then missing, as `models.capabilities.Views` marks it. A count is of each class where the
modality is one label, else of rows. Validation and test stay complete, and so do the factors, which no model sees.

Which rows are kept hangs on a seed and on each item alone, so that the 10 of a class are among the 20 of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dgm_studio.core.cards import DataCard, Modality
from dgm_studio.core.updates import Problem
from dgm_studio.data.splits import hashed_order

if TYPE_CHECKING:
    from torch import Tensor

    from dgm_studio.data.dataset import Dataset, Part

KEPT_SEED = 1
MARK = "~"
ONE = re.compile(r"([^=,~]+)=(\d{1,9}|\d{1,3}(?:\.\d{1,6})?%)")
CLASSES = ("label", "categorical")  # one class a row


@dataclass(frozen=True)
class Kept:
    """What is kept of one modality.

    Args:
        modality: Its name.
        count: Rows, or rows of each class.
        share: Of the rows that are there, 0 to 1; None when a count was asked for.
    """

    modality: str
    count: int = 0
    share: float | None = None

    def __str__(self) -> str:
        """As in a name."""
        return f"{self.modality}={self.count if self.share is None else f'{self.share * 100:g}%'}"

    def words(self, modality: Modality) -> str:
        """For people.

        >>> Kept("digit", 10).words(Modality("digit", "label", ()))
        '10 labels a class'
        """
        what = "labels" if modality.kind == "label" else modality.name
        if self.share is not None:
            return f"{self.share * 100:g} % of {'the labels' if modality.kind == 'label' else what}"
        return f"{self.count:,} {what}{' a class' if modality.kind in CLASSES else ''}"


def split_name(name: str) -> tuple[str, tuple[Kept, ...]]:
    """A data name without its ending, and what the ending says; nothing where it has none.

    A name that only looks a little like it ("folder:~/pictures") has none.

    >>> split_name("mnist5k~digit=10,image=2.5%")
    ('mnist5k', (Kept(modality='digit', count=10, share=None), Kept(modality='image', count=0, share=0.025)))
    >>> split_name("folder:~/cats=2")
    ('folder:~/cats=2', ())
    """
    base, _, ending = name.rpartition(MARK)
    if not base or base.endswith(":") or "=" not in ending or "/" in ending or "\\" in ending:
        return name, ()
    if ":" in name and Path(name.partition(":")[2]).expanduser().exists():
        return name, ()
    found = [ONE.fullmatch(one) for one in ending.split(",")]
    asked = tuple(_kept(match[1].strip(), match[2]) for match in found if match is not None)
    if len(asked) < len(found):
        raise Problem(f"What is to be kept is not understood: {ending}.", "Write ~digit=10 or ~digit=20%,sentence=500.")
    if len({each.modality for each in asked}) < len(asked):
        raise Problem(f"One modality is named twice in {ending}.", "Name each once.")
    return base, asked


def _kept(modality: str, amount: str) -> Kept:
    if amount.endswith("%"):
        return Kept(modality, share=float(amount[:-1]) / 100.0)
    return Kept(modality, int(amount))


def kept_card(card: DataCard, asked: tuple[Kept, ...], seed: int = KEPT_SEED) -> DataCard:
    """The card of a set of which only so much is kept.

    Raises:
        Problem: No such modality, more than there is, or nothing that stays complete.
    """
    named = {modality.name: modality for modality in card.modalities}
    for one in asked:
        _require(one, card, named)
    asked = tuple(sorted(asked, key=lambda one: list(named).index(one.modality)))
    if len(asked) == len(named):
        raise Problem(f"Every modality of {card.name} is cut down.", "Leave at least one complete.")
    words = ", ".join(one.words(named[one.modality]) for one in asked)
    ending = ",".join(map(str, asked))
    note = f"for training {words} kept, chosen by seed {seed}; the others are missing"
    return replace(
        card,
        name=f"{card.name}{MARK}{ending}",
        title=f"{card.title}: {words}",
        summary=f"{card.summary} For training only {words}; validation and test are complete.",
        changes=f"{card.changes.rstrip('. ')}; {note}." if card.changes else f"{note.capitalize()}.",
        sha256=hashlib.sha256(f"{card.sha256} {ending} seed {seed}".encode()).hexdigest(),
    )


def _require(one: Kept, card: DataCard, named: dict[str, Modality]) -> None:
    if one.modality not in named:
        raise Problem(f"{card.name} has no modality called {one.modality!r}.", f"It has {', '.join(named)}.")
    modality, rows = named[one.modality], card.counts["train"]
    if modality.kind == "points":
        raise Problem("Points in the plane cannot be missing.", "Choose another modality.")
    most = rows // max(1, len(modality.categories)) if modality.kind in CLASSES else rows
    if one.share is None and one.count > most:
        raise _too_many(one.words(modality), most)
    if one.share is not None and one.share > 1.0:
        raise Problem(f"{one.share * 100:g} % of {modality.name} cannot be kept.", "Choose a share up to 100%.")


def _too_many(words: str, most: int) -> Problem:
    return Problem(f"There are not {words} in the training part.", f"Choose at most {most:,}, or a share as 20%.")


def keep(dataset: Dataset, asked: tuple[Kept, ...], seed: int = KEPT_SEED) -> Dataset:
    """The data set with everything else of those modalities missing in its training part.

    Args:
        dataset: Complete.
        asked: What to keep.
        seed: Of the choice; a name stands for that by `KEPT_SEED`, others are for repeats in memory.

    Raises:
        Problem: As `kept_card`; or a class has fewer rows than are to be kept of it.
    """
    card = kept_card(dataset.card, asked, seed)
    train = dataset.split("train")
    for one in asked:
        train = _keep_rows(train, one, next(m for m in card.modalities if m.name == one.modality), seed)
    return replace(dataset, card=card, parts={**dataset.parts, "train": train})


def _keep_rows(part: Part, one: Kept, modality: Modality, seed: int) -> Part:
    import torch

    values = part.x if modality.name == part.name else part.others[modality.name]
    there = _there(values, part.erased.get(modality.name))
    classes = values.numpy() if modality.kind in CLASSES else np.zeros(len(part), np.int64)
    chosen = torch.from_numpy(_chosen(part.indices.numpy(), np.where(there, classes, -1), one, modality, seed))
    if modality.kind == "image":
        return replace(part, erased={**part.erased, modality.name: ~chosen})
    kept = values.clone()
    kept[~chosen] = torch.nan if values.is_floating_point() else -1
    return replace(part, others={**part.others, modality.name: kept})


def _there(values: Tensor, gone: Tensor | None) -> NDArray[np.bool_]:
    """Rows of which anything is known, bool [N]."""
    if gone is not None:
        return np.asarray(~gone.numpy())
    rows = values.reshape(len(values), -1)
    known = ~rows.isnan() if rows.is_floating_point() else rows.int() != -1
    return np.asarray(known.any(1).numpy())


def _chosen(
    items: NDArray[np.int64], classes: NDArray[np.int64], one: Kept, modality: Modality, seed: int
) -> NDArray[np.bool_]:
    """Which rows are kept, bool [N]: by counts exactly, by shares with the classes in proportion.

    Args:
        items: Where each row stands in the whole set, [N].
        classes: Of each row, -1 where it is missing anyway, [N].
        one: What is asked for.
        modality: Of which.
        seed: Of the order.
    """
    chosen = np.zeros(len(items), bool)
    place = np.full(len(items), np.inf)
    numbers = range(max(1, len(modality.categories))) if modality.kind in CLASSES else range(1)
    for number in numbers:
        rows = np.flatnonzero(classes == number)
        rows = rows[hashed_order(items[rows], f"{seed} {modality.name}")]
        if one.share is None and len(rows) < one.count:
            name = f" for {modality.name} {modality.categories[number]}" if modality.kind in CLASSES else ""
            raise _too_many(f"{one.words(modality)}{name}", len(rows))
        chosen[rows[: one.count]] = True
        # Interleaved: any stretch of the order has each class in proportion. The shift is another for each class.
        place[rows] = (np.arange(len(rows)) + (number + 0.5) / len(numbers)) / max(1, len(rows))
    if one.share is not None:
        count = round(one.share * int((classes >= 0).sum()))
        chosen[np.argsort(place, kind="stable")[:count]] = True
    return chosen
