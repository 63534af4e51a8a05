"""The film's time: a large slider from noise to data, norms above it, steps and log-SNR under it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPaintEngine,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme, plain_rounded

LEFT, RIGHT = 72, 64  # beside the axis: words, and the thumbnails of the tree under it
BAND = 64  # of the norms
SETTLE_MS = 500
APART, DECADES = 8.0, 4.0  # x of an exploding process is far larger than all else: then the axis is logarithmic
CURVES = {"x": "x", "clean": "clean estimate", "noise": "noise estimate", "difference": "guidance", "change": "change"}
COLOURS = dict(zip(CURVES, (0, 1, 2, 3, 4), strict=True))
_CENTRE = Qt.AlignmentFlag.AlignCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
Curve = npt.NDArray[np.float64]


def figure(value: float) -> str:
    """Log-SNR with its sign, short.

    >>> figure(-3.25), figure(-0.01), figure(float("inf"))
    ('−3.2', '0.0', '∞')
    """
    if not math.isfinite(value):
        return "\N{INFINITY}" if value > 0 else "\N{MINUS SIGN}\N{INFINITY}"
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}") if abs(value) >= 0.05 else "0.0"


class TimeAxis(QWidget):
    """Scrubs a film.

    Signals:
        scrubbed(int): The hand moved to this step.
        pressed(), released(): Around a drag, or a run of wheel steps.
        key(int): A key for whoever plays.
    """

    scrubbed = Signal(int)
    pressed = Signal()
    released = Signal()
    key = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._last, self._index, self._reached, self._branched = 1, 0, 0, 0
        self._log_snr: Curve = np.zeros(0)
        self._curves: Mapping[str, Curve] = {}
        self._held, self._version = False, 0
        self._cache: QPixmap | None = None
        self._cache_key: tuple[object, ...] = ()
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self.released)
        self.setAccessibleName("Time, from noise to data")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_film(self, last: int, reached: int, branched: int, log_snr: Curve, curves: Mapping[str, Curve]) -> None:
        """Show another film, or more of it.

        Args:
            last: Index of the data.
            reached: Newest recorded step.
            branched: Step from which it is no longer its parent's.
            log_snr: Of every step, or empty.
            curves: Root mean squares over the steps, by name, NaN where nothing is recorded.
        """
        self._last, self._reached, self._branched = max(1, last), reached, branched
        self._log_snr, self._curves = log_snr, curves
        self._version += 1
        self._describe()
        self.update()

    def set_index(self, index: int) -> None:
        """Move the handle without a signal."""
        if index != self._index:
            self._index = index
            self._describe()
            self.update()

    def index(self) -> int:
        """Where the handle is."""
        return self._index

    def x_of(self, step: float) -> float:
        """Where a step is, in pixels."""
        left, right = self._ends()
        return left + (right - left) * step / self._last

    def step_at(self, x: float) -> int:
        """The step nearest to a position."""
        left, right = self._ends()
        return min(max(round((x - left) / max(1.0, right - left) * self._last), 0), self._last)

    def step_of(self, log_snr: float) -> float:
        """Where a level lies among the steps, between two of them if need be."""
        finite = np.where(np.isfinite(self._log_snr), self._log_snr, np.sign(self._log_snr) * 1e3)
        if len(finite) < 2 or not math.isfinite(log_snr):
            return float(self._last if log_snr > 0 else 0)
        return float(np.interp(log_snr, finite, np.arange(len(finite))))

    def sizeHint(self) -> QSize:
        """Norms, groove, figures."""
        look = theme.current()
        return QSize(480, look.px(BAND) + look.px(58))

    def minimumSizeHint(self) -> QSize:
        """Still draggable."""
        return QSize(theme.current().px(260), self.sizeHint().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the handle."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._held = True
            self.pressed.emit()
            self._go(self.step_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        if self._held:
            self._go(self.step_at(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._held:
            self._held = False
            self.released.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """One step for each notch."""
        turned = event.angleDelta().y() or event.angleDelta().x()
        if not self._settle.isActive():
            self.pressed.emit()
        self._settle.start()
        self._go(min(max(self._index + (1 if turned < 0 else -1), 0), self._last))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Everything goes to whoever plays, Tab excepted."""
        if event.key() in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab):
            super().keyPressEvent(event)
        else:
            self.key.emit(event.key())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Norms, groove, figures, playhead."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if painter.paintEngine().type() == QPaintEngine.Type.Raster:
            painter.drawPixmap(0, 0, self._ground())
        else:  # a drawing: lines stay lines
            self._paint_curves(painter)
            self._paint_figures(painter)
        self._paint_groove(painter)
        self._paint_head(painter)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    # -- painting ------------------------------------------------------------------------------------------------------

    def _ground(self) -> QPixmap:
        """What does not move with the handle, drawn once for each film, size and theme."""
        ratio = self.devicePixelRatioF()
        key = (self.width(), self.height(), ratio, theme.current(), self._version)
        if self._cache is None or key != self._cache_key:
            self._cache = QPixmap(math.ceil(self.width() * ratio), math.ceil(self.height() * ratio))
            self._cache.setDevicePixelRatio(ratio)
            self._cache.fill(Qt.GlobalColor.transparent)
            self._cache_key = key
            painter = QPainter(self._cache)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_curves(painter)
            self._paint_figures(painter)
            painter.end()
        return self._cache

    def _ends(self) -> tuple[float, float]:
        look = theme.current()
        return float(look.px(LEFT)), float(max(look.px(LEFT) + 1, self.width() - look.px(RIGHT)))

    def _groove(self) -> float:
        look = theme.current()
        return float(look.px(BAND) + look.px(14))

    def _paint_curves(self, painter: QPainter) -> None:
        look, (left, right) = theme.current(), self._ends()
        band = QRectF(left, look.px(4), right - left, look.px(BAND) - look.px(8))
        drawn = {name: c for name, c in self._curves.items() if np.isfinite(c).any()}
        tops = {name: float(np.nanmax(c)) for name, c in drawn.items()}
        top = max(tops.values(), default=1.0) or 1.0
        log = top > APART * max((t for name, t in tops.items() if name != "x"), default=top)
        heights = {name: _height(c, top, log=log) for name, c in drawn.items()}
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(band.bottomLeft(), band.bottomRight())
        box = QRectF(0, band.top() - look.px(3), left - 8, look.px(14))
        draw_text(painter, box, f"{top:.2g}", look.figures("caption"), look.colour("text2"), _RIGHT)
        under = box.translated(0, band.height() - look.px(8))
        draw_text(painter, under, "RMS, log" if log else "RMS", look.font("caption"), look.colour("text2"), _RIGHT)
        ends = []
        for name, curve in heights.items():
            colour = theme.line_colour(theme.CATEGORIES[COLOURS[name]])
            places = np.flatnonzero(np.isfinite(curve))
            points = [QPointF(self.x_of(float(k)), band.bottom() - band.height() * curve[k]) for k in places]
            painter.setPen(QPen(colour, 1.5))
            painter.drawPolyline(QPolygonF(points))
            ends.append((points[-1].y(), name, colour))
        self._paint_names(painter, ends, right)

    def _paint_names(self, painter: QPainter, ends: list[tuple[float, str, Any]], right: float) -> None:
        """Beside the ends of the curves, pushed apart where they would overlap."""
        look = theme.current()
        high, lowest = look.px(12), look.px(BAND) - look.px(2)
        y = -math.inf
        for place, (at, name, colour) in enumerate(sorted(ends, key=lambda end: end[0])):
            y = min(max(at - high / 2, y), lowest - (len(ends) - place) * high)
            box = QRectF(right + 8, y, self.width() - right - 8, high)
            draw_text(painter, box, _SHORT[name], look.font("caption"), theme.line_colour(colour.name(), 4.5))
            y += high

    def _paint_groove(self, painter: QPainter) -> None:
        look, (left, right) = theme.current(), self._ends()
        y, thick = self._groove(), look.px(6)
        plain_rounded(painter, QRectF(left, y - thick / 2, right - left, thick), look.colour("bg3"), thick / 2)
        if self._reached > 0:
            wide = self.x_of(min(self._reached, self._last)) - left
            body = QRectF(left, y - thick / 2, wide, thick)
            plain_rounded(painter, body, look.colour("text2", 0.45), thick / 2)
        done = QRectF(left, y - thick / 2, self.x_of(self._index) - left, thick)
        plain_rounded(painter, done, look.colour("accent"), thick / 2)
        if self._branched:
            x = self.x_of(self._branched)
            plain_rounded(painter, QRectF(x - 1, y - thick, 2, 2 * thick), look.colour("text"), 1)
        middle = QRectF(0, y - look.px(9), left - 12, look.px(18))
        draw_text(painter, middle, "Noise", look.font("secondary"), look.colour("text2"), _RIGHT)
        beside = QRectF(right + 12, y - look.px(9), self.width() - right - 12, look.px(18))
        draw_text(painter, beside, "Data", look.font("secondary"), look.colour("text2"))

    def _paint_figures(self, painter: QPainter) -> None:
        look, (left, _) = theme.current(), self._ends()
        font, ink = look.figures("caption"), look.colour("text2")
        top = self._groove() + look.px(10)
        metrics = QFontMetrics(font)
        high = look.px(14)
        for step in self._ticks():
            x = self.x_of(step)
            painter.fillRect(QRectF(x - 0.5, top - look.px(4), 1, look.px(4)), ink)
            rows = [f"{step}"]
            if step < len(self._log_snr):
                rows.append(figure(float(self._log_snr[step])))
            for row, words in enumerate(rows):
                wide = metrics.horizontalAdvance(words) + 8
                draw_text(painter, QRectF(x - wide / 2, top + row * high, wide, high), words, font, ink, _CENTRE)
        for row, words in enumerate(("Step", "log-SNR")[: 2 if len(self._log_snr) else 1]):
            box = QRectF(0, top + row * high, left - look.px(22), high)
            draw_text(painter, box, words, look.font("caption"), ink, _RIGHT)

    def _ticks(self) -> Sequence[int]:
        """Round steps that have room beside each other, and both ends."""
        left, right = self._ends()
        room = max(2, int((right - left) / theme.current().px(56)))
        pace = next(p for p in _PACES if self._last / p <= room)
        steps = [s for s in range(0, self._last, pace) if self._last - s >= 0.7 * pace]
        return [*steps, self._last]

    def _paint_head(self, painter: QPainter) -> None:
        look = theme.current()
        x, y = self.x_of(self._index), self._groove()
        painter.setPen(QPen(look.colour("accent"), 1))
        painter.drawLine(QPointF(x, look.px(2)), QPointF(x, y))
        half = QPointF(look.px(9), look.px(8))
        body = QRectF(QPointF(x, y) - half, QPointF(x, y) + half)
        plain_rounded(painter, body, look.colour("text"), half.y())
        painter.setPen(QPen(look.colour("bg1"), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(body, half.y(), half.y())

    def _describe(self) -> None:
        level = ""
        if self._index < len(self._log_snr):
            level = f", log-SNR {figure(float(self._log_snr[self._index]))}"
        self.setAccessibleDescription(f"step {self._index} of {self._last}{level}")

    def _go(self, index: int) -> None:
        if index != self._index:
            self.set_index(index)
            self.scrubbed.emit(index)


def _height(curve: Curve, top: float, *, log: bool) -> Curve:
    """A curve as shares of the band's height; on a logarithmic axis the band shows `DECADES`."""
    if not log:
        return curve / top
    with np.errstate(divide="ignore"):
        return np.clip(1.0 + np.log10(curve / top) / DECADES, 0.0, 1.0)


_SHORT = {"x": "x", "clean": "clean", "noise": "noise", "difference": "guidance", "change": "change"}
_PACES = [s * 10**p for p in range(7) for s in (1, 2, 5)]
