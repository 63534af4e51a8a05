"""Distributions in the plane that somebody drew: ink as probability, blurred by a Gaussian, so that all is known.

A drawing becomes a file of points like any other of the user's ("file:PATH.npz"), with the mixture they were drawn from
beside them: a model trains on the points, and its score can be held against the exact one.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgm_studio.core import atomic
from dgm_studio.core.resources import home
from dgm_studio.core.updates import Problem
from dgm_studio.data.npy import read_arrays

COUNT = 10_000
SPAN = 2.0  # the sheet shows -SPAN to SPAN
BLUR = 0.75  # of a Gaussian, in cells of the sheet: what lies between two inked cells has probability too
LEAST_INK = 0.02  # of the darkest cell; less is a smear
FOLDER = "drawings"
PARTS = ("centres", "weights", "std")


@dataclass(frozen=True)
class Drawn:
    """A mixture of round Gaussians, in the drawing's own coordinates.

    Args:
        centres: [K, 2].
        weights: [K], summing to 1.
        std: Of every Gaussian.
    """

    centres: NDArray[np.float64]
    weights: NDArray[np.float64]
    std: float


def mixture_of(ink: NDArray[np.floating]) -> Drawn:
    """The distribution of a drawing [H, W], H = W, 0 for paper; row 0 is at the top.

    Raises:
        Problem: Nothing is drawn, or the sheet is no square.
    """
    ink = np.asarray(ink, np.float64)
    if ink.ndim != 2 or ink.shape[0] != ink.shape[1] or not ink.size:
        raise Problem("A distribution is drawn on a square sheet.", "Draw it again.")
    if not np.isfinite(ink).all() or ink.max() <= 0:
        raise Problem("Nothing is drawn yet.", "Draw where the points shall be.")
    rows, columns = np.nonzero(ink >= LEAST_INK * ink.max())
    cell = 2 * SPAN / len(ink)
    centres = np.stack([(columns + 0.5) * cell - SPAN, SPAN - (rows + 0.5) * cell], axis=1)
    weights = ink[rows, columns]
    return Drawn(centres, weights / weights.sum(), BLUR * cell)


def draw(mixture: Drawn, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Points [count, 2] of a mixture."""
    which = rng.choice(len(mixture.weights), count, p=mixture.weights)
    points = mixture.centres[which] + mixture.std * rng.standard_normal((count, 2))
    return np.asarray(points, np.float32)


def keep_drawing(ink: NDArray[np.floating], title: str, seed: int = 0) -> str:
    """Write a drawing's points into the user's folder.

    Args:
        ink: [H, H].
        title: What it is called; "drawing" when empty. An older drawing of that name is kept: this one gets a number.
        seed: Of the points.

    Returns:
        Name of the data ("file:PATH").

    Raises:
        Problem: Nothing is drawn, or the file cannot be written.
    """
    mixture = mixture_of(ink)
    points = draw(mixture, COUNT, np.random.default_rng(seed))
    written = io.BytesIO()
    np.savez(written, points=points, centres=mixture.centres, weights=mixture.weights, std=np.array([mixture.std]))
    path = _free(re.sub(r"[^\w -]+", "", title).strip()[:60] or "drawing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_atomic(path, written.getvalue())
    except OSError as error:
        raise Problem(f"{path} cannot be written ({error.strerror or error}).", "Make room on the disk.") from error
    return f"file:{path}"


def drawn_mixture(name: str) -> Drawn | None:
    """The distribution behind data that were drawn; None for other data.

    Raises:
        Problem: The file is damaged.
    """
    path = Path(name.removeprefix("file:"))
    if not name.startswith("file:") or path.suffix != ".npz" or not path.is_file():
        return None
    arrays = _read(path)
    if any(arrays.get(key) is None for key in PARTS):
        return None
    found = [np.asarray(arrays[key], np.float64) for key in PARTS]
    centres, weights, std = found
    fits = centres.ndim == 2 and centres.shape[1] == 2 and weights.shape == centres.shape[:1] and std.size == 1
    if not fits or not all(np.isfinite(array).all() for array in found) or weights.min() < 0 or float(std.item()) <= 0:
        return None
    total = float(weights.sum())
    return Drawn(centres, weights / total, float(std.item())) if total > 0 else None


def _read(path: Path) -> dict[str, NDArray[np.generic] | None]:
    reading = read_arrays(path)
    while True:
        try:
            next(reading)
        except StopIteration as finished:
            return {key: stored.array for key, stored in finished.value.items()}


def _free(title: str) -> Path:
    folder, number = home() / FOLDER, 1
    path = folder / f"{title}.npz"
    while path.exists():
        number += 1
        path = folder / f"{title} {number}.npz"
    return path
