"""What every source hands over: a card and three parts that share no sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from dgm_studio.core.cards import DataCard
from dgm_studio.core.updates import Problem
from dgm_studio.data.splits import SPLITS


@dataclass(frozen=True)
class Part:
    """The items of one split.

    Args:
        x: Images, uint8 [N, C, H, W], or points in the plane as they were drawn, float32 [N, 2].
        indices: Where each item stands in the whole set, int64 [N].
        factors: Annotations by name, int64 [N] each, indices into the card's categories.
        texts: A sentence per item, or empty.
        mean: Points only, [2]: subtracted by `batch`.
        std: Points only, [2]: divided by in `batch`.
        name: What the data call `x`: "image" or "points" where nothing is said.
        others: Further modalities by name: images as bytes, everything else as `models.capabilities.Views` has it.
        erased: Images by name of which some rows are missing: bool [N], true where there is none.
    """

    x: Tensor
    indices: Tensor
    factors: dict[str, Tensor] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    mean: Tensor | None = None
    std: Tensor | None = None
    name: str = ""
    others: dict[str, Tensor] = field(default_factory=dict)
    erased: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A part without a name of its own is called after its kind."""
        if not self.name:
            object.__setattr__(self, "name", "image" if self.pictures else "points")

    def __len__(self) -> int:
        """Number of items."""
        return len(self.x)

    @property
    def pictures(self) -> bool:
        """Whether the items are images (else points)."""
        return self.x.dtype == torch.uint8

    def batch(self, indices: Int64[Tensor, " n"]) -> Float[Tensor, "n ..."]:
        """Items as a model sees them: images float32 in [0, 1], points standardised.

        Args:
            indices: Positions within this part, [n].

        Returns:
            [n, C, H, W] or [n, 2].
        """
        x = self.x[indices]
        if self.pictures:
            return x.float().div_(255.0)
        if self.mean is None or self.std is None:
            return x.float()
        return (x - self.mean) / self.std

    def views(self, indices: Int64[Tensor, " n"]) -> dict[str, Tensor]:
        """All modalities of some items, as a model of several sees them (`models.capabilities.Views`).

        Args:
            indices: Positions within this part, [n].
        """
        found = {self.name: self.batch(indices)}
        for name, values in self.others.items():
            some = values[indices]
            found[name] = some.float().div_(255.0) if some.dtype == torch.uint8 else some
        for name, gone in self.erased.items():
            found[name][gone[indices]] = torch.nan
        return found

    def seen(self) -> Part:
        """The rows whose first modality is there: all that a model of one modality can be given."""
        gone = self.erased.get(self.name)
        if gone is None or not bool(gone.any()):
            return self
        rows = torch.nonzero(~gone).flatten()
        tables = (self.factors, self.others, {k: v for k, v in self.erased.items() if k != self.name})
        factors, others, erased = ({name: values[rows] for name, values in table.items()} for table in tables)
        texts = [self.texts[i] for i in rows.tolist()] if self.texts else []
        x, indices = self.x[rows], self.indices[rows]
        return replace(self, x=x, indices=indices, factors=factors, texts=texts, others=others, erased=erased)

    def picture(self, indices: Int64[Tensor, " n"]) -> NDArray[np.uint8]:
        """Items as the window shows them.

        Args:
            indices: Positions within this part, [n].

        Returns:
            uint8 [n, H, W] for grey images (0 paper, 255 ink) or [n, H, W, 3] for colour, in memory of its own.

        Raises:
            Problem: The items are points.
        """
        if not self.pictures:
            raise Problem("This data is points in the plane, not pictures.", "Look at it as a scatter plot.")
        x = self.x[indices].numpy()
        return np.array(x[:, 0] if x.shape[1] == 1 else x.transpose(0, 2, 3, 1), order="C")


@dataclass(frozen=True)
class Dataset:
    """A card and its three parts.

    Args:
        card: What it is, how many, whose.
        parts: By split name.
        report: For the user's own files: one line for each kind of thing that was skipped or changed, and why.
    """

    card: DataCard
    parts: dict[str, Part]
    report: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the content: items, annotations and splits."""
        return self.card.sha256

    def seen(self) -> Dataset:
        """For a model of one modality: without the rows whose first modality is missing.

        Raises:
            Problem: Nothing is left of a part.
        """
        parts = {name: part.seen() for name, part in self.parts.items()}
        if not all(len(part) for part in parts.values()):
            name = self.card.modalities[0].name
            raise Problem(
                f"No {name} is left in a part of {self.card.title}.", "Choose a system of several modalities."
            )
        return replace(self, parts=parts)

    def split(self, name: str) -> Part:
        """The part called "train", "valid" or "test".

        Raises:
            Problem: There is no such part.
        """
        if name not in self.parts:
            raise Problem(f"There is no split {name!r}.", f"Choose one of {', '.join(SPLITS)}.")
        return self.parts[name]
