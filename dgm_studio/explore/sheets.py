"""From Frames to what a file holds: a sheet of pictures, the pictures of a film, or plain arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dgm_studio.core import pictures as arrange
from dgm_studio.core.updates import Problem
from dgm_studio.explore.pages import PAGES
from dgm_studio.explore.samples import density_picture

Bytes = npt.NDArray[np.uint8]
Frames = Mapping[str, Mapping[str, Any]]  # data by topic

GAP = 2  # pixels of paper between pictures, before they are enlarged
STRIP = 12  # pictures in a row of a film strip
FILM_ROWS = 8  # samples of a denoising on its contact sheet
HELD = 0.25  # share of a denoising's loop for which its result stands still
PAIRS = 8  # originals in a row, their reconstructions below them
LARGEST_SHEET = 64_000_000  # pixels


def still(frames: Frames, theme: str, scale: int) -> Bytes:
    """What the Frames show as one picture, [H, W, 3].

    Raises:
        Problem: They show no picture, or it would be too large.
    """
    topic, data = _first(frames)
    if topic in PAGES:
        return PAGES[topic](data, theme, scale)
    layout = _TILES if topic.startswith("tile/") else _LAYOUTS.get(topic)
    if layout is None:
        raise Problem(f"What {topic!r} shows is no picture.", "Export it as .npz.")
    cells, columns, gap = layout(frames if topic.startswith("tile/") or topic in _STEPS else data)
    _bounded(cells.shape[0] * cells.shape[1] * cells.shape[2], scale)
    return sheet(arrange.on_paper(arrange.enlarge(cells, scale), theme), columns, gap * scale, arrange.PAPER[theme])


def film(frames: Frames, theme: str, scale: int) -> Bytes:
    """What the Frames show as the pictures of one loop, [T, H, W, 3]; open paths run there and back.

    Raises:
        Problem: They show no picture, or the film would be too large.
    """
    topic, data = _first(frames)
    if topic == "traversals":
        by_time = np.swapaxes(data["pictures"], 0, 1)
        columns = arrange_columns(by_time.shape[1])
        shots = [sheet_of(cells, theme, scale, columns, GAP) for cells in by_time]
        return there_and_back(np.stack(shots))
    if topic in _STEPS:
        return _denoising(frames, topic, theme, scale)
    if "pictures" not in data or topic == "reconstructions":
        return still(frames, theme, scale)[None]
    pictures = data["pictures"]
    _bounded(pictures.shape[0] * pictures.shape[1] * pictures.shape[2], scale)
    shots_of = arrange.on_paper(arrange.enlarge(pictures, scale), theme)
    if topic != "path":
        return shots_of
    closed = bool(np.allclose(data["z"][0], data["z"][-1]))
    return shots_of[:-1] if closed and len(shots_of) > 1 else there_and_back(shots_of)


def _denoising(frames: Frames, topic: str, theme: str, scale: int) -> Bytes:
    """A denoising step by step, the noisy on the left and the clean estimate on the right; the result is held."""
    steps = [_two(data, topic) for data in _in_order(frames, topic)]
    cells = steps[0][0]
    _bounded(2 * len(steps) * cells.shape[0] * cells.shape[1] * cells.shape[2], scale)
    shots = []
    for both in steps:
        left, right = (sheet_of(half, theme, scale, arrange_columns(len(half)), GAP) for half in both)
        paper = np.full((left.shape[0], 3 * GAP * scale, 3), arrange.PAPER[theme], np.uint8)
        shots.append(np.concatenate([left, paper, right], axis=1))
    held = max(1, round(len(shots) * HELD / (1.0 - HELD)))
    return np.stack([*shots, *[shots[-1]] * held])


def there_and_back(shots: Bytes) -> Bytes:
    """A loop without a jump: 0 1 2 3 2 1."""
    return np.concatenate([shots, shots[-2:0:-1]])


def arrays(frames: Frames) -> dict[str, npt.NDArray[Any]]:
    """Every array of the Frames under a path-like name; what is not an array goes into "plain" as JSON."""
    found: dict[str, npt.NDArray[Any]] = {}
    plain: dict[str, Any] = {}
    for topic, data in frames.items():
        prefix = f"{topic}/" if len(frames) > 1 else ""
        for name, value in data.items():
            _collect(f"{prefix}{name}", value, found, plain)
    found["plain"] = np.bytes_(json.dumps(plain, default=str))  # type: ignore[assignment]
    return found


def _collect(name: str, value: Any, found: dict[str, npt.NDArray[Any]], plain: dict[str, Any]) -> None:
    if isinstance(value, np.ndarray):
        found[name] = value
    elif isinstance(value, dict):
        for key, inner in value.items():
            _collect(f"{name}/{key}", inner, found, plain)
    elif isinstance(value, list | tuple) and any(isinstance(v, np.ndarray | dict) for v in value):
        for index, inner in enumerate(value):
            _collect(f"{name}/{index}", inner, found, plain)
    else:
        plain[name] = value


def sheet_of(cells: Bytes, theme: str, scale: int, columns: int, gap: int) -> Bytes:
    """Cells [N, h, w(, 3)] laid out on paper, [H, W, 3]."""
    return sheet(arrange.on_paper(arrange.enlarge(cells, scale), theme), columns, gap * scale, arrange.PAPER[theme])


def sheet(cells: Bytes, columns: int, gap: int, paper: tuple[int, int, int]) -> Bytes:
    """Colour pictures [N, h, w, 3] in rows, the gaps and empty places in the colour of paper: [H, W, 3]."""
    n, h, w = cells.shape[:3]
    columns = columns or arrange_columns(n)
    rows = -(-n // columns)
    found = np.empty((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), np.uint8)
    found[:] = paper
    for index, cell in enumerate(cells):
        top, left = (index // columns) * (h + gap), (index % columns) * (w + gap)
        found[top : top + h, left : left + w] = cell
    return found


def arrange_columns(count: int) -> int:
    """Columns that make a sheet about square."""
    return max(1, int(np.ceil(np.sqrt(count))))


def _first(frames: Frames) -> tuple[str, Mapping[str, Any]]:
    if not frames:
        raise Problem("There is nothing to export: the request shows nothing.", "Export a picture of a model.")
    return next(iter(frames.items()))


def _bounded(pixels: int, scale: int) -> None:
    if pixels * scale * scale > LARGEST_SHEET:
        raise Problem("The exported picture would be too large.", "Choose a smaller scale, or fewer pictures.")


# -- one layout a topic: (cells [N, h, w(, 3)], columns or 0 for about square, gap) ------------------------------------

Layout = tuple[Bytes, int, int]


def _one(data: Mapping[str, Any]) -> Layout:
    if "picture" in data:
        return data["picture"][None], 1, 0
    if "point" in data:
        return density_picture(np.asarray(data["point"])[None])[None], 1, 0
    return _many(data)


def _many(data: Mapping[str, Any]) -> Layout:
    if "points" in data:
        return density_picture(data["points"])[None], 1, 0
    return data["pictures"], 0, GAP


def _strip(data: Mapping[str, Any]) -> Layout:
    cells, _, gap = _many(data)
    return cells, min(len(cells), STRIP), gap


def _pairs(data: Mapping[str, Any]) -> Layout:
    if "points" in data:
        return np.stack([density_picture(data["originals"]), density_picture(data["points"])]), 2, GAP
    n, columns = len(data["pictures"]), min(len(data["pictures"]), PAIRS)
    blank = np.zeros_like(data["pictures"][:1])
    rows = []
    for start in range(0, n, columns):
        for kind in ("originals", "pictures"):
            row = data[kind][start : start + columns]
            rows.append(np.concatenate([row, *[blank] * (columns - len(row))]))
    return np.concatenate(rows), columns, GAP


def _rows(data: Mapping[str, Any]) -> Layout:
    cells = data["pictures"]
    return cells.reshape(-1, *cells.shape[2:]), cells.shape[1], GAP


def _posterior(data: Mapping[str, Any]) -> Layout:
    both = [data[name] for name in ("picture", "reconstruction") if name in data]
    if both[0].ndim == 1:
        return np.stack([density_picture(point[None]) for point in both]), len(both), GAP
    return np.stack(both), len(both), GAP


def _tiles(frames: Frames) -> Layout:
    """Tiles where they belong on their plane, j rising upwards; missing ones are paper."""
    tiles = {(data["i"], data["j"]): data["picture"] for data in frames.values()}
    left, right = min(i for i, _ in tiles), max(i for i, _ in tiles)
    bottom, top = min(j for _, j in tiles), max(j for _, j in tiles)
    blank = np.zeros_like(next(iter(tiles.values())))
    _bounded((right - left + 1) * (top - bottom + 1) * blank.shape[0] * blank.shape[1], 1)
    cells = [tiles.get((i, j), blank) for j in range(top, bottom - 1, -1) for i in range(left, right + 1)]
    return np.stack(cells), right - left + 1, 0


def _in_order(frames: Frames, topic: str) -> list[Mapping[str, Any]]:
    """The data of every step of a film.

    Raises:
        Problem: None was made.
    """
    prefix = _STEPS[topic][0]
    found = {int(name.removeprefix(prefix)): data for name, data in frames.items() if name.startswith(prefix)}
    if not found:
        raise Problem("The film has no steps.", "Ask for at least one.")
    return [found[index] for index in sorted(found)]


def _two(data: Mapping[str, Any], topic: str) -> list[Bytes]:
    """The two halves of a step as pictures; points as their density."""
    halves = [data[name] for name in _STEPS[topic][1] if len(data[name])]
    return [density_picture(half)[None] if half.dtype != np.uint8 else half for half in halves]


def _film(frames: Frames) -> Layout:
    """A contact sheet: for each sample x_t above the clean estimate, from noise to data."""
    topic, _ = _first(frames)
    steps = _in_order(frames, topic)
    chosen = [steps[k] for k in np.unique(np.linspace(0, len(steps) - 1, STRIP).round().astype(int))]
    columns = [_two(data, topic) for data in chosen]
    rows = min(FILM_ROWS, len(columns[0][0]))
    cells = [column[half][row] for row in range(rows) for half in range(len(columns[0])) for column in columns]
    return np.stack(cells), len(columns), GAP


def _nearest(data: Mapping[str, Any]) -> Layout:
    """A result, then the training examples nearest to it."""
    if "points" in data:
        return density_picture(np.concatenate([data["point"][None], data["points"]]))[None], 1, 0
    return np.concatenate([data["picture"][None], data["pictures"]]), 0, GAP


def _schedule(data: Mapping[str, Any]) -> Layout:
    """A picture (a cloud) under more and more noise."""
    if "points" in data:
        return np.stack([density_picture(cloud) for cloud in data["points"]]), len(data["points"]), GAP
    return data["pictures"], len(data["pictures"]), GAP


# Films of many Frames: what the topics of their steps begin with, and what stands side by side.
_STEPS = {"film": ("step/", ("x", "clean")), "flow": ("particles/", ("learnt", "exact"))}
_TILES: Callable[[Any], Layout] = _tiles
_LAYOUTS: dict[str, Callable[[Any], Layout]] = {
    "decoded": _one,
    "thumbnail": _one,
    "map": _one,
    "samples": _many,
    "examples": _many,
    "neighbours": _strip,
    "path": _strip,
    "reconstructions": _pairs,
    "traversals": _rows,
    "posterior": _posterior,
    "class grid": _rows,
    "film": _film,
    "flow": _film,
    "nearest": _nearest,
    "schedule": _schedule,
}
