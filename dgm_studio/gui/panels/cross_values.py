"""What stands in a cell of the matrix, how much room it wants, and how it is said in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PySide6.QtGui import QImage

from dgm_studio.core.cards import Modality
from dgm_studio.gui.panels.cross_state import NUMBERS, attribute_words, likeliest, number_of
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import print_in_theme, to_image

ICONS = {
    "image": "image",
    "label": "tag",
    "categorical": "tag",
    "attributes": "list",
    "real": "number",
    "positive": "number",
    "vector": "curves",
    "text": "text",
}
MOST_BARS = 16  # categories that stand beside each other
LINE = 16
STEPS = 1000  # in which a share of 1 is seen: its figure is a whole number of hundredths


@dataclass
class Cell:
    """What stands in one cell.

    Args:
        modality: Of the value.
        values: Samples in the form in which Frames carry them; none while nothing is known.
        truth: The datum's own value, None when it is missing or this is it.
        judged: What a small classifier sees: "word", "agrees" (bool or None); empty where nobody judges.
    """

    modality: Modality
    values: Sequence[Any] = ()
    truth: Any = None
    judged: Mapping[str, Any] = field(default_factory=dict)
    _images: list[tuple[QImage, np.ndarray[Any, np.dtype[np.bool_]] | None]] = field(default_factory=list)
    _look: tuple[Any, ...] = ()

    def images(self) -> list[tuple[QImage, np.ndarray[Any, np.dtype[np.bool_]] | None]]:
        """The samples of an image, printed in the theme's ink, with what is erased of them."""
        if not self._images:
            self._images = [_image(np.asarray(value)) for value in self.values]
        for image, _ in self._images:
            print_in_theme(image)
        return self._images

    def look(self) -> tuple[Any, ...]:
        """What can be seen of the cell: two that are equal are painted alike, so one can stay for the other."""
        if not self._look:
            seen = tuple(_look(self.modality, value) for value in self.values)
            truth = () if self.truth is None or self.modality.kind == "image" else _look(self.modality, self.truth)
            self._look = (self.modality.name, seen, truth, *(self.judged.get(k) for k in ("word", "agrees", "right")))
        return self._look


def _look(modality: Modality, value: Any) -> Any:
    """What is seen of a value, as bytes, numbers or words; shares of 1 in steps that no eye can tell apart."""
    if modality.kind == "attributes":
        return np.rint(np.concatenate([np.ravel(v) for v in value]) * STEPS).astype(np.int16).tobytes()
    if modality.kind in ("label", "categorical"):
        return np.rint(np.asarray(value) * STEPS).astype(np.int16).tobytes()
    if modality.kind == "image":
        picture = np.asarray(value)
        return picture.shape, picture.tobytes()
    if modality.kind in (*NUMBERS, "vector"):
        return tuple(np.asarray(v, float).tobytes() for v in number_of(value))
    return str(value)


def _image(value: np.ndarray[Any, Any]) -> tuple[QImage, np.ndarray[Any, np.dtype[np.bool_]] | None]:
    erased = value < 0 if value.dtype != np.uint8 else np.zeros(value.shape, bool)
    gone = np.asarray(erased.any(-1) if erased.ndim == 3 else erased, bool)
    image = to_image(np.clip(value, 0, 255).astype(np.uint8))
    return image, gone if gone.any() else None


def wanted_height(modality: Modality) -> int:
    """The height in which a value can be read, before scaling with the text."""
    if modality.kind == "attributes":
        return LINE * math.ceil(len(modality.columns) / 2) + 10
    return 48 if modality.kind in (*NUMBERS, "text") else 62


def wanted_width(modality: Modality, samples: int) -> int:
    """Likewise the width."""
    wide = {"image": 64 * min(samples, 2) + 16, "text": 130, "attributes": 110, "vector": 130}
    if modality.kind == "attributes" and len(modality.columns) > 4:
        return 2 * wide["attributes"]
    if modality.kind in ("label", "categorical"):
        count = len(modality.categories)
        if count <= 4:
            return 96
        return max(100, min(count, MOST_BARS) * 13 + 16) if count <= MOST_BARS else 150
    return wide.get(modality.kind, 94)


def words(cell: Cell) -> str:
    """A cell in words, for tooltips and screen readers."""
    if not len(cell.values):
        return "missing"
    told = "; ".join(dict.fromkeys(value_words(cell.modality, value) for value in cell.values))
    if cell.judged.get("word"):
        sign = {True: ", as it is", False: ", which it is not"}.get(cell.judged.get("agrees"), "")  # type: ignore[arg-type]
        told += f"; the judge sees {cell.judged['word']}{sign}"
    return told


def value_words(modality: Modality, value: Any) -> str:
    """One value in words."""
    kind = modality.kind
    if kind == "image":
        height, width = np.asarray(value).shape[:2]
        return f"a picture of {width} by {height}"
    if kind in ("label", "categorical"):
        best = likeliest(value)
        return "unknown" if best < 0 else f"{modality.categories[best]} {float(np.ravel(value)[best]):.0%}"
    if kind == "attributes":
        return ", ".join(said for said, _ in said_of(modality, value))
    if kind in NUMBERS:
        mean, low, high = (float(np.ravel(v)[0]) for v in number_of(value))
        span = f", 90 % within {number(short(low))} to {number(short(high))}" if high > low else ""
        return f"{number(short(mean))} {modality.unit}".strip() + span
    if kind == "vector":
        return ", ".join(number(short(float(v))) for v in np.ravel(number_of(value)[0])[:8])
    return str(value) or "nothing said"


def agreement(cell: Cell) -> bool | None:
    """Whether the first sample says what the datum says; None where nobody can tell."""
    if cell.judged:
        agrees = cell.judged.get("agrees")
        return None if agrees is None else bool(agrees)
    if cell.truth is None or not len(cell.values):
        return None
    if cell.modality.kind in ("label", "categorical"):
        truth = likeliest(cell.truth)
        return None if truth < 0 else likeliest(cell.values[0]) == truth
    return None


def said_of(modality: Modality, value: Any) -> list[tuple[str, float]]:
    """The likeliest category of every attribute in words, and its probability."""
    found = []
    for column, shares in zip(modality.columns, value, strict=True):
        best = likeliest(shares)
        said = f"{column.name} unknown" if best < 0 else attribute_words(column.name, column.categories[best])
        found.append((said, 0.0 if best < 0 else float(np.ravel(shares)[best])))
    return found


def short(value: float) -> float:
    """Three significant figures."""
    return float(f"{value:.3g}")
