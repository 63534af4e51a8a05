"""Frames that are more than pictures in rows, drawn as a page with words: a cross-modal matrix, an attack."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dgm_studio.core import pictures
from dgm_studio.core.resources import resource
from dgm_studio.explore.samples import density_picture

Bytes = npt.NDArray[np.uint8]
Data = Mapping[str, Any]

POINTS = 13  # of words, in pixels, at scale 1; scales by half steps, as words need less than pixels do
PAD = 8
WIDEST_WORDS = 180  # pixels of a column of words at scale 1; longer ones wrap
PICTURE_SCALE = 2  # pictures are small; words are not
MUTED = 0.6  # of the way from paper to ink


def matrix(data: Data, theme: str, scale: int) -> Bytes:
    """Rows: what was given. Columns: what was generated. The first row shows the datum itself.

    Args:
        data: Of the Frame "matrix" (`core.requests.CrossDatum`).
        theme: "light" or "dark".
        scale: Enlargement.

    Returns:
        [H, W, 3].
    """
    columns = list(data["columns"])
    table = [[_Cell("", theme, scale), *(_Cell(name, theme, scale, muted=True) for name in columns)]]
    given = [_value(data["given"].get(name), data["words"].get(f"given/{name}", ""), theme, scale) for name in columns]
    table.append([_Cell("the datum", theme, scale, muted=True), *given])
    for row, names in enumerate(data["rows"]):
        cells = [_Cell(" + ".join(names), theme, scale, muted=True)]
        for name in columns:
            place = f"{row}/{name}"
            values = data["cells"].get(place, [])
            cells.append(_value(values if len(values) != 1 else values[0], data["words"].get(place, ""), theme, scale))
        table.append(cells)
    return _page(table, theme, scale)


def attack(data: Data, theme: str, scale: int) -> Bytes:
    """The picture, and for each classifier what fools it and how it was changed."""
    names = list(data["adversarial"])
    heads = ("", "picture", "adversarial", "difference", "before", "after", "log p(x)")
    table = [[_Cell(head, theme, scale, muted=True) for head in heads]]
    for name in names:
        change = np.asarray(data["difference"][name], np.float32)
        shown = np.rint(127.5 + 127.5 * change / max(1e-9, float(np.abs(change).max()))).astype(np.uint8)
        before, after = (int(np.argmax(data[when][name])) for when in ("before", "after"))
        figures = data["log_prob"]
        words = f"{figures['original']:.1f} → {figures[name]:.1f} nats"
        table.append(
            [
                _Cell(name, theme, scale, muted=True),
                _picture(data["original"], theme, scale),
                _picture(data["adversarial"][name], theme, scale),
                _picture(shown, theme, scale),
                _Cell(_class(data, before), theme, scale),
                _Cell(_class(data, after), theme, scale),
                _Cell(words, theme, scale),
            ]
        )
    return _page(table, theme, scale)


def _class(data: Data, index: int) -> str:
    categories = data.get("categories")
    return str(categories[index]) if categories else str(index)


def race(data: Data, theme: str, scale: int) -> Bytes:
    """Each sampler's results from the same noise, and how far they are from the reference."""
    heads = ("", "results", "difference", "evaluations", "error")
    table = [[_Cell(head, theme, scale, muted=True) for head in heads]]
    table.append([_Cell(data["reference"]["name"], theme, scale, muted=True), _strip(data["reference"], theme, scale)])
    for lane in data["lanes"]:
        known = lane["error"] == lane["error"]
        table.append(
            [
                _Cell(lane["name"], theme, scale, muted=True),
                _strip(lane, theme, scale),
                _strip({"pictures": lane["difference"]}, theme, scale)
                if "pictures" in lane
                else _Cell("", theme, scale),
                _Cell(str(lane["evaluations"]), theme, scale),
                _Cell(f"{lane['error']:.4f}" if known else "draws noise", theme, scale),
            ]
        )
    return _page([row + [_Cell("", theme, scale)] * (len(heads) - len(row)) for row in table], theme, scale)


def guidance(data: Data, theme: str, scale: int) -> Bytes:
    """Rows: weights of guidance. Columns: steps."""
    heads = ["", *(f"{steps} steps" for steps in data["steps"])]
    table = [[_Cell(head, theme, scale, muted=True) for head in heads]]
    for i, weight in enumerate(data["guidance"]):
        row = [_Cell(f"guidance {weight:g}", theme, scale, muted=True)]
        for j in range(len(data["steps"])):
            share = float(data["agrees"][i, j])
            words = f"{share:.0%} as asked" if share == share else ""
            row.append(_picture(data["pictures"][i, j], theme, scale, words))
        table.append(row)
    return _page(table, theme, scale)


def _strip(data: Data, theme: str, scale: int) -> _Cell:
    """Pictures side by side; points as their density."""
    shown = list(data["pictures"]) if "pictures" in data else [density_picture(data["points"])]
    return _value(shown, "", theme, scale)


class _Cell:
    """Words, wrapped, or a picture with words below it."""

    def __init__(
        self, words: str, theme: str, scale: int, *, muted: bool = False, picture: Bytes | None = None
    ) -> None:
        self.lines, self.picture, self.muted = _wrapped(words, scale), picture, muted
        self.theme, self.scale = theme, scale
        font = _font(scale)
        widths = [round(font.getlength(line)) for line in self.lines]
        self.words_height = len(self.lines) * _line_height(scale)
        shape = (0, 0) if picture is None else picture.shape[:2]
        self.width = max([shape[1], *widths, 0])
        self.height = shape[0] + self.words_height

    def draw(self, page: Image.Image, left: int, top: int) -> None:
        if self.picture is not None:
            page.paste(Image.fromarray(self.picture), (left, top))
            top += self.picture.shape[0]
        draw, font = ImageDraw.Draw(page), _font(self.scale)
        for line in self.lines:
            draw.text((left, top), line, fill=_ink(self.theme, MUTED if self.muted else 1.0), font=font)
            top += _line_height(self.scale)


def _value(value: Any, words: str, theme: str, scale: int) -> _Cell:
    """Pictures as pictures, side by side; everything else in words."""
    many = value if isinstance(value, list) and value and _is_picture(value[0]) else [value]
    if many and _is_picture(many[0]):
        gap = np.full((many[0].shape[0], 2), 0, np.uint8)
        if many[0].ndim == 3:
            gap = np.full((many[0].shape[0], 2, 3), pictures.PAPER[theme], np.uint8)
        strip = np.concatenate([part for one in many for part in (one, gap)][:-1], axis=1)
        return _picture(strip, theme, scale, words)
    return _Cell(words or ("" if value is None else _plain(value)), theme, scale)


def _is_picture(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3)


def _picture(picture: Bytes, theme: str, scale: int, words: str = "") -> _Cell:
    coloured = pictures.on_paper(pictures.enlarge(picture[None], PICTURE_SCALE * scale), theme)[0]
    return _Cell(words, theme, scale, picture=coloured)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{float(value['mean']):.4g}" if "mean" in value else ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, np.ndarray):
        best = int(np.argmax(value))
        return f"{best} ({float(value.flat[best]):.0%})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _page(table: list[list[_Cell]], theme: str, scale: int) -> Bytes:
    pad = round(PAD * _word_scale(scale))
    widths = [max(row[i].width for row in table) for i in range(len(table[0]))]
    heights = [max(max(cell.height for cell in row), _line_height(scale)) for row in table]
    size = (sum(widths) + pad * (len(widths) + 1), sum(heights) + pad * (len(heights) + 1))
    page = Image.new("RGB", size, pictures.PAPER[theme])
    top = pad
    for row, height in zip(table, heights, strict=True):
        left = pad
        for cell, width in zip(row, widths, strict=True):
            cell.draw(page, left, top)
            left += width + pad
        top += height + pad
    return np.asarray(page, np.uint8)


def _wrapped(words: str, scale: int) -> list[str]:
    font, widest = _font(scale), WIDEST_WORDS * _word_scale(scale)
    lines: list[str] = []
    for word in words.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= widest:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _word_scale(scale: int) -> float:
    return (scale + 1) / 2


def _line_height(scale: int) -> int:
    return round(1.35 * POINTS * _word_scale(scale))


def _ink(theme: str, amount: float) -> tuple[int, int, int]:
    paper, ink = pictures.PAPER[theme], pictures.INK[theme]
    red, green, blue = (round(p + amount * (i - p)) for p, i in zip(paper, ink, strict=True))
    return red, green, blue


@cache
def _font(scale: int) -> ImageFont.FreeTypeFont:
    path = resource("styles", "fonts", "Inter-Regular.otf")
    return ImageFont.truetype(str(path), round(POINTS * _word_scale(scale)))


PAGES = {"matrix": matrix, "attack": attack, "race": race, "sheet": guidance}
