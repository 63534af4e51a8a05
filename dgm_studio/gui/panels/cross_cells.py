"""How a value of each kind of modality is painted into a cell of the matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetrics, QImage, QPainter, QPen, QPolygonF

from dgm_studio.core.cards import Modality
from dgm_studio.gui import icons, theme
from dgm_studio.gui.panels.cross_state import likeliest, number_of, number_range
from dgm_studio.gui.panels.cross_values import ICONS, LINE, MOST_BARS, Cell, agreement, said_of, short
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, fitted, plain_rounded

LISTED = 4  # of more categories than that
CHIP = 22
_CENTRE = Qt.AlignmentFlag.AlignCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


def paint(painter: QPainter, rect: QRectF, cell: Cell, ratio: float) -> bool:
    """Paint a cell's value; returns whether some words did not fit.

    Args:
        painter: Antialiasing is on.
        rect: Where, without the cell's frame.
        cell: What.
        ratio: Device pixels per logical pixel.
    """
    if not len(cell.values):
        missing(painter, rect, "missing")
        return False
    kind = cell.modality.kind
    if kind == "image":
        _paint_image(painter, rect, cell, ratio)
        return False
    painters: dict[str, Callable[[QPainter, QRectF, Cell], bool]] = {
        "label": _paint_label,
        "categorical": _paint_label,
        "attributes": _paint_attributes,
        "real": _paint_number,
        "positive": _paint_number,
        "vector": _paint_vector,
    }
    return painters.get(kind, _paint_text)(painter, rect, cell)


def missing(painter: QPainter, rect: QRectF, said: str) -> None:
    """Hatched: nobody knows."""
    look = theme.current()
    hatch(painter, rect)
    if said:
        font = look.font("caption")
        wide = QFontMetrics(font).horizontalAdvance(said) + 12
        box = QRectF(0, 0, min(wide, rect.width()), look.px(LINE) + 2)
        box.moveCenter(rect.center())
        plain_rounded(painter, box, look.colour("bg1"), 4)
        draw_text(painter, box, said, font, look.colour("text2"), _CENTRE)


def hatch(painter: QPainter, rect: QRectF) -> None:
    """Thin slanted lines over `rect`."""
    look = theme.current()
    plain_rounded(painter, rect, look.colour("bg2"), 3)
    brush = QBrush(look.colour("text2", 0.35), Qt.BrushStyle.BDiagPattern)
    painter.setBrushOrigin(QPointF(0, 0))
    painter.fillRect(rect, brush)


def mark(painter: QPainter, at: QPointF, agrees: bool) -> None:
    """A tick or a cross, 10 pixels wide, centred at a point: a shape besides the colour."""
    look = theme.current()
    painter.setPen(QPen(look.colour("good" if agrees else "bad"), 1.75))
    r = look.px(3.5)
    if agrees:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF([at + QPointF(-r, 0), at + QPointF(-r / 4, r * 0.8), at + QPointF(r, -r)]))
    else:
        painter.drawLine(at + QPointF(-r, -r), at + QPointF(r, r))
        painter.drawLine(at + QPointF(-r, r), at + QPointF(r, -r))


# -- pictures ----------------------------------------------------------------------------------------------------------


def paint_picture(
    painter: QPainter, space: QRectF, image: QImage, erased: np.ndarray[Any, Any] | None, ratio: float
) -> QRectF:
    """One picture as large as it fits, what is erased of it hatched; returns where it was drawn."""
    scale = min(space.width() / image.width(), space.height() / image.height()) * ratio
    target = fitted(image.size(), space, ratio, whole=scale >= 3)  # below, whole pixels would cost too much size
    draw_picture(painter, target, image, smooth=image.width() > 12)
    if erased is not None:
        hatch_pixels(painter, target, erased)
    return target


def hatch_pixels(painter: QPainter, target: QRectF, erased: np.ndarray[Any, Any]) -> None:
    """Hatch the pixels [H, W] that are true of a picture drawn into `target`; in two calls, not one a pixel."""
    step = target.width() / erased.shape[1]
    padded = np.pad(erased.astype(np.int8), ((0, 0), (1, 1)))
    rows, places = np.nonzero(np.diff(padded, axis=1))
    lefts, rights = places[::2], places[1::2]  # a row's edges come in pairs
    runs = [
        QRectF(target.left() + left * step, target.top() + row * step, (right - left) * step, step + 0.5)
        for row, left, right in zip(rows[::2].tolist(), lefts.tolist(), rights.tolist(), strict=True)
    ]
    look = theme.current()
    painter.save()
    painter.setClipRect(target)
    painter.setPen(Qt.PenStyle.NoPen)
    for brush in (QBrush(look.colour("bg3")), QBrush(look.colour("text2", 0.8), Qt.BrushStyle.BDiagPattern)):
        painter.setBrush(brush)
        painter.drawRects(runs)
    painter.restore()


def _paint_image(painter: QPainter, rect: QRectF, cell: Cell, ratio: float) -> None:
    look = theme.current()
    line = look.px(LINE) if cell.judged.get("word") else 0
    room = rect.adjusted(0, 0, 0, -line)
    images = cell.images()
    columns = _columns(len(images), room, images[0][0].size())
    rows = math.ceil(len(images) / columns)
    wide, high = room.width() / columns, room.height() / rows
    lowest = room.top()
    for place, (image, erased) in enumerate(images):
        row, column = divmod(place, columns)
        space = QRectF(room.left() + column * wide, room.top() + row * high, wide, high).adjusted(1, 1, -1, -1)
        lowest = paint_picture(painter, space, image, erased, ratio).bottom()
    if line:
        _paint_judged(painter, QRectF(rect.left(), lowest + 1, rect.width(), line), cell)


def _columns(count: int, room: QRectF, size: QSize) -> int:
    """How many pictures stand beside each other, so that they are largest."""

    def scale(columns: int) -> float:
        rows = math.ceil(count / columns)
        return min(room.width() / columns / size.width(), room.height() / rows / size.height())

    return max(range(1, count + 1), key=scale)


def _paint_judged(painter: QPainter, rect: QRectF, cell: Cell) -> None:
    look = theme.current()
    font = look.font("caption")
    word, agrees = str(cell.judged["word"]), agreement(cell)
    right = cell.judged.get("right")
    if "," in word and right is not None:  # of many things, how many
        word, agrees = f"{float(right):.0%} right".replace("%", " %"), agrees or None
    side = look.px(14) if agrees is not None else 0
    wide = QFontMetrics(font).horizontalAdvance(word)
    if wide > rect.width() - side and word.endswith(" % right"):  # the figure is what counts
        word = word.removesuffix(" right")
        wide = QFontMetrics(font).horizontalAdvance(word)
    left = max(rect.left(), rect.center().x() - (wide + side) / 2)
    draw_text(
        painter,
        QRectF(left, rect.top(), min(wide + 2, rect.width() - side), rect.height()),
        word,
        font,
        look.colour("text2"),
    )
    if agrees is not None:
        mark(painter, QPointF(min(left + wide + side * 0.6, rect.right() - 5), rect.center().y()), agrees)


# -- categories --------------------------------------------------------------------------------------------------------


def _paint_label(painter: QPainter, rect: QRectF, cell: Cell) -> bool:
    look = theme.current()
    line = look.px(LINE)
    shares = np.ravel(np.asarray(cell.values[0], float))
    if len(shares) <= LISTED:
        return _paint_list(painter, rect, cell, shares, whole=True)
    best, agrees = likeliest(shares), agreement(cell)
    head = QRectF(rect.left(), rect.top(), rect.width(), line)
    said = "unknown" if best < 0 else cell.modality.categories[best]
    font, figures = look.font("secondary", strong=True), look.figures("caption")
    figure = f"{shares[best]:.0%}".replace("%", " %") if best >= 0 else ""
    room = QFontMetrics(figures).horizontalAdvance(figure) + look.px(16 if agrees is not None else 4)
    cut = draw_text(painter, head.adjusted(0, 0, -room, 0), said, font, look.colour("text"))
    wide = min(QFontMetrics(font).horizontalAdvance(said), head.width() - room)
    draw_text(painter, head.adjusted(wide + 6, 0, 0, 0), figure, figures, look.colour("text2"))
    if agrees is not None:
        after = head.left() + wide + QFontMetrics(figures).horizontalAdvance(figure) + look.px(18)
        mark(painter, QPointF(min(after, head.right() - look.px(6)), head.center().y()), agrees)
    below = rect.adjusted(0, line + 2, 0, 0)
    if len(cell.values) > 1 and below.height() > 3 * line:
        others = " ".join(cell.modality.categories[max(likeliest(v), 0)] for v in cell.values[1:])
        under = QRectF(below.left(), below.bottom() - line, below.width(), line)
        draw_text(painter, under, f"draws {others}", look.font("caption"), look.colour("text2"))
        below.setBottom(under.top())
    if len(shares) <= MOST_BARS:
        return _paint_bars(painter, below, cell, shares, best) or cut
    return _paint_list(painter, below, cell, shares, whole=False) or cut


def _paint_bars(painter: QPainter, rect: QRectF, cell: Cell, shares: np.ndarray[Any, Any], best: int) -> bool:
    look = theme.current()
    font = look.font("caption")
    step = min(rect.width() / len(shares), look.px(40))
    names = cell.modality.categories
    named = max(QFontMetrics(font).horizontalAdvance(name) for name in names) <= step
    truth = -1 if cell.truth is None else likeliest(cell.truth)
    foot = look.px(14) if named else look.px(6)
    ground = rect.bottom() - foot
    high = max(4.0, ground - rect.top())
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # upright bars need none, and it is slow
    groove, strong, pale = look.colour("bg3", 0.5), look.colour("accent"), look.colour("text2")
    for place, share in enumerate(shares):
        left = rect.left() + place * step
        painter.fillRect(QRectF(left + 1, rect.top(), step - 2, high), groove)
        bar = QRectF(left + 1, ground - max(1.0, float(share) * high), step - 2, max(1.0, float(share) * high))
        painter.fillRect(bar, strong if place == best else pale)
        if named:
            ink = look.colour("text" if place in (truth, best) else "text2")
            under = QRectF(left, ground + 1, step, foot - 1)
            draw_text(painter, under, names[place], look.font("caption", strong=place == truth), ink, _CENTRE)
        if place == truth:
            painter.fillRect(QRectF(left + 1, ground + 0.5, step - 2, 2), look.colour("text"))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    return not named


def _paint_list(painter: QPainter, rect: QRectF, cell: Cell, shares: np.ndarray[Any, Any], *, whole: bool) -> bool:
    """Categories in lines: all of a few in their order (`whole`), else the likeliest first."""
    look = theme.current()
    line = min(look.px(LINE + 4), rect.height() / len(shares)) if whole else look.px(LINE)
    order = np.arange(len(shares)) if whole else np.argsort(-shares)[: max(1, min(LISTED, int(rect.height() // line)))]
    truth, best, agrees = -1 if cell.truth is None else likeliest(cell.truth), likeliest(shares), agreement(cell)
    top = rect.top() + (rect.height() - line * len(order)) / 2
    figures, cut = look.px(38), False
    for row, place in enumerate(order.tolist()):
        box = QRectF(rect.left(), top + row * line, rect.width(), line - 2)
        share, won = float(shares[place]), place == best
        plain_rounded(painter, box, look.colour("bg3", 0.4), 3)
        if share > 0.02:
            filled = QRectF(box.left(), box.top(), box.width() * share, box.height())
            plain_rounded(painter, filled, look.colour("accent", 0.4), 3)
        if place == truth:
            painter.fillRect(QRectF(box.left(), box.top(), 2, box.height()), look.colour("text"))
        side = look.px(14) if won and whole and agrees is not None else 0
        word = cell.modality.categories[place]
        room = box.adjusted(5, 0, -figures - side, 0)
        cut = draw_text(painter, room, word, look.font("caption", strong=won), look.colour("text")) or cut
        figure = f"{share:.0%}".replace("%", " %")
        draw_text(painter, box.adjusted(0, 0, -3, 0), figure, look.figures("caption"), look.colour("text2"), _RIGHT)
        if side:
            mark(painter, QPointF(box.right() - figures - side / 2, box.center().y()), bool(agrees))
    return cut or not whole


def _paint_attributes(painter: QPainter, rect: QRectF, cell: Cell) -> bool:
    look = theme.current()
    said = said_of(cell.modality, cell.values[0])
    line = look.px(LINE)
    fit = max(1, int(rect.height() // line))
    columns = min(3, max(1, math.ceil(len(said) / fit)))
    rows = min(fit, math.ceil(len(said) / columns))
    high, wide = min(rect.height() / rows, line * 1.3), rect.width() / columns
    font, cut = look.font("caption"), rows * columns < len(said)
    for place, (word, share) in enumerate(said[: rows * columns]):
        column, row = divmod(place, rows)
        box = QRectF(rect.left() + column * wide, rect.top() + row * high, wide - 3, high - 2)
        plain_rounded(painter, box, look.colour("accent", 0.30 * max(0.0, share) ** 2), 3)
        right = wrong_attribute(cell, place)
        inner = box.adjusted(5, 0, -look.px(14) if right is not None else -2, 0)
        ink = look.colour("text" if share >= 0.5 else "text2")
        cut = draw_text(painter, inner, word, font, ink) or cut
        if right:
            mark(painter, QPointF(box.right() - look.px(7), box.center().y()), False)
    return cut


def wrong_attribute(cell: Cell, place: int) -> bool | None:
    """Whether an attribute differs from the datum's; None when the datum does not tell."""
    if cell.truth is None or place >= len(cell.truth):
        return None
    truth = likeliest(cell.truth[place])
    return None if truth < 0 else likeliest(cell.values[0][place]) != truth


# -- numbers and words -------------------------------------------------------------------------------------------------


def _paint_number(painter: QPainter, rect: QRectF, cell: Cell) -> bool:
    look = theme.current()
    line = look.px(LINE)
    mean, low, high = (float(np.ravel(v)[0]) for v in number_of(cell.values[0]))
    head = QRectF(rect.left(), rect.top(), rect.width(), line + 2)
    figure = number(short(mean))
    draw_text(painter, head, figure, look.figures("body"), look.colour("text"))
    left = QFontMetrics(look.figures("body")).horizontalAdvance(figure) + 5
    draw_text(painter, head.adjusted(left, 0, 0, 0), cell.modality.unit, look.font("caption"), look.colour("text2"))
    start, end = number_range(cell.modality)
    y = min(head.bottom() + look.px(16), rect.bottom() - look.px(8))

    def x_of(value: float) -> float:
        share = (value - start) / ((end - start) or 1.0)
        return rect.left() + 3 + min(max(share, 0.0), 1.0) * (rect.width() - 6)

    plain_rounded(painter, QRectF(rect.left(), y - 1, rect.width(), 2), look.colour("bg3"), 1)
    if high > low:
        plain_rounded(
            painter, QRectF(x_of(low), y - 3, max(2.0, x_of(high) - x_of(low)), 6), look.colour("accent", 0.4), 3
        )
    if cell.truth is not None:
        at = x_of(float(np.ravel(number_of(cell.truth)[0])[0]))
        painter.fillRect(QRectF(at - 1, y - look.px(8), 2, look.px(16)), look.colour("text"))
    for value in cell.values:
        dot = QPointF(x_of(float(np.ravel(number_of(value)[0])[0])), y)
        painter.setPen(QPen(look.colour("bg1"), 1.5))
        painter.setBrush(look.colour("accent"))
        painter.drawEllipse(dot, look.px(3.5), look.px(3.5))
    return False


def _paint_vector(painter: QPainter, rect: QRectF, cell: Cell) -> bool:
    look = theme.current()
    mean, low, high = (np.ravel(np.asarray(v, float)) for v in number_of(cell.values[0]))
    truth = None if cell.truth is None else np.ravel(np.asarray(number_of(cell.truth)[0], float))
    centre = np.resize(np.asarray(cell.modality.centre or (0.0,)), mean.shape)
    spread = np.resize(np.asarray(cell.modality.spread or (1.0,)), mean.shape)
    step = rect.width() / len(mean)
    middle = rect.center().y()
    painter.fillRect(QRectF(rect.left(), middle, rect.width(), 1), look.colour("line"))

    def y_of(row: np.ndarray[Any, Any], place: int) -> float:
        share = (row[place] - centre[place]) / (3 * (spread[place] or 1.0))
        return middle - float(np.clip(share, -1, 1)) * rect.height() / 2

    for place in range(len(mean)):
        x, wide = rect.left() + place * step, max(1.0, step - 2)
        band = QRectF(x, y_of(high, place), wide, max(1.0, y_of(low, place) - y_of(high, place)))
        plain_rounded(painter, band, look.colour("accent", 0.35), 2)
        painter.fillRect(QRectF(x, y_of(mean, place) - 1, wide, 2), look.colour("accent"))
        if truth is not None:
            painter.fillRect(QRectF(x + wide / 4, y_of(truth, place) - 1, wide / 2, 2), look.colour("text"))
    return False


def _paint_text(painter: QPainter, rect: QRectF, cell: Cell) -> bool:
    look = theme.current()
    font = look.font("secondary")
    painter.setFont(font)
    painter.setPen(look.colour("text"))
    each = rect.height() / len(cell.values)
    line = QFontMetrics(font).lineSpacing()
    if each < line:
        each = float(line)
    cut = False
    for place, value in enumerate(cell.values):
        box = QRectF(rect.left(), rect.top() + place * each, rect.width(), each)
        if box.bottom() > rect.bottom() + 1:
            return True
        cut = _wrapped(painter, box, str(value) or "…", line) or cut
    return cut


def _wrapped(painter: QPainter, box: QRectF, said: str, line: int) -> bool:
    """Words in as many lines as there is room for; whether that was too few."""
    metrics = painter.fontMetrics()
    left = said.split()
    lines: list[str] = []
    most = max(1, int(box.height() // line))
    while left and len(lines) < most:
        taken = [left.pop(0)]
        while left and metrics.horizontalAdvance(" ".join([*taken, left[0]])) <= box.width():
            taken.append(left.pop(0))
        lines.append(" ".join(taken))
    if left:
        lines[-1] += " …"
    top = box.top() + max(0.0, (box.height() - len(lines) * line) / 2)
    for row, words_of_line in enumerate(lines):
        shown = metrics.elidedText(words_of_line, Qt.TextElideMode.ElideRight, int(box.width()))
        painter.drawText(QRectF(box.left(), top + row * line, box.width(), line), int(_LEFT), shown)
    return bool(left)


def paint_given(
    painter: QPainter,
    rect: QRectF,
    columns: Sequence[Modality],
    given: Sequence[str],
    words: tuple[str, str],
    ratio: float,
) -> None:
    """The head of a row: a chip for every modality, those that were given lit, and two lines of words."""
    look = theme.current()
    side, icon = look.px(CHIP), look.px(14)
    step = min(side + 3, (rect.width() + 3) / len(columns))
    for place, modality in enumerate(columns):
        on = modality.name in given
        chip = QRectF(rect.left() + place * step, rect.top(), min(side, step - 2), side)
        painter.setPen(QPen(look.colour("accent" if on else "line"), 1))
        painter.setBrush(look.colour("accentbg") if on else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(chip.adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        square = QRectF(0, 0, icon, icon)
        square.moveCenter(chip.center())
        painter.setOpacity(1.0 if on else 0.45)
        icon_at(painter, square, ICONS.get(modality.kind, "grid"), look.colour("accent" if on else "text2"), ratio)
        painter.setOpacity(1.0)
    text = QRectF(rect.left(), rect.top() + side + 3, rect.width(), look.px(15))
    draw_text(painter, text, words[0], look.font("caption"), look.colour("text"))
    if words[1]:
        text.translate(0, look.px(15))
        draw_text(painter, text, words[1], look.figures("caption"), look.colour("text2"))


_icon = lru_cache(maxsize=128)(icons.pixmap)


def icon_at(painter: QPainter, rect: QRectF, name: str, colour: QColor, ratio: float) -> None:
    """An icon in a square."""
    picture = _icon(name, colour.name(), round(rect.width() * ratio))
    painter.drawPixmap(rect, picture, QRectF(picture.rect()))
