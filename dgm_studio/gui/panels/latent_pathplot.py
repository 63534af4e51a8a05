"""The figures along a path: densities over the distance that the decoded picture travels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_plane import Doubles
from dgm_studio.gui.widgets.painting import draw_text, follow_theme

LEFT, RIGHT = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
MIDDLE = Qt.AlignmentFlag.AlignVCenter


class PathPlot(QWidget):
    """Log density of prior (dashed) and data (solid) against decoder-space length, with the frame's mark.

    Signals:
        scrubbed(int): The hand moved to this frame.
    """

    scrubbed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._length: Doubles = np.zeros(0)
        self._rows: list[tuple[str, bool, Doubles]] = []
        self._anchors: tuple[int, ...] = ()
        self._frame = -1
        self.setAccessibleName("Figures along the path")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_path(self, data: Mapping[str, Any] | None) -> None:
        """Show the figures of a Frame "path", None for none."""
        self._rows = []
        self._length = np.zeros(0) if data is None else np.asarray(data["length"], float)
        self._anchors = tuple(int(i) for i in data.get("anchors", ())) if data is not None else ()
        for key, words, dashed in (("log_prior", "log p(z)", True), ("log_posterior", "log q(z)", False)):
            values = np.asarray(data[key], float) if data is not None else np.zeros(0)
            if len(values) == len(self._length) and len(values) > 1 and np.isfinite(values).all():
                self._rows.append((words, dashed, values))
        self.setAccessibleDescription(self.summary())
        self.update()

    def set_frame(self, frame: int) -> None:
        """Move the mark; -1 takes it away."""
        self._frame = frame
        self.update()

    def summary(self) -> str:
        """The figures in words."""
        if len(self._length) < 2:
            return ""
        parts = [f"length {self._length[-1]:.3g} RMS"]
        parts += [f"{words} {low(v)} to {high(v)} nats" for words, _, v in self._rows]
        return " · ".join(parts)

    def sizeHint(self) -> QSize:
        """Low and wide."""
        return QSize(480, theme.current().px(92))

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(200, theme.current().px(92))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        self._scrub(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._scrub(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes' ends, curves, anchors, the mark."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._rows or self._length[-1] <= 0:
            words = "The path has no figures: its picture does not change." if len(self._length) else "No path yet."
            draw_text(painter, QRectF(self.rect()), words, look.font("caption"), look.colour("text2"))
            return
        area = self._area()
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        for index in self._anchors:
            x = self._x(index, area)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        for row, (words, dashed, values) in enumerate(self._rows):
            self._paint_row(painter, area, row, words, dashed, values)
        caption = QRectF(area.left(), area.bottom() + 2, area.width(), look.px(16))
        draw_text(painter, caption, "0", look.figures("caption"), look.colour("text2"))
        words = f"decoder length {self._length[-1]:.3g} RMS"
        draw_text(painter, caption, words, look.font("caption"), look.colour("text2"), RIGHT | MIDDLE)
        if 0 <= self._frame < len(self._length):
            painter.setPen(QPen(look.colour("accent"), 2))
            x = self._x(self._frame, area)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _paint_row(self, painter: QPainter, area: QRectF, row: int, words: str, dashed: bool, values: Doubles) -> None:
        look = theme.current()
        token = "accent" if dashed else "text"
        pen = QPen(look.colour(token), 1.5)
        if dashed:
            pen.setDashPattern([4, 3])
        bottom, top = self._range()
        line = QPolygonF()
        for index, value in enumerate(values):
            share = (value - bottom) / (top - bottom)
            line.append(QPointF(self._x(index, area), area.bottom() - 3 - share * (area.height() - 6)))
        painter.setPen(pen)
        painter.drawPolyline(line)
        height = look.px(16)
        name = QRectF(0, area.top() + row * 2 * height, area.left() - 8, height)
        draw_text(painter, name, words, look.font("caption"), look.colour(token), RIGHT | MIDDLE)
        figures = f"{low(values)} … {high(values)}"
        under = name.translated(0, height)
        draw_text(painter, under, figures, look.figures("caption"), look.colour("text2"), RIGHT | MIDDLE)

    def _range(self) -> tuple[float, float]:
        every = np.concatenate([values for _, _, values in self._rows])
        return float(every.min()), float(max(every.max(), every.min() + 1e-6))

    def _area(self) -> QRectF:
        look = theme.current()
        return QRectF(look.px(110), 4, max(20, self.width() - look.px(118)), self.height() - look.px(18) - 6)

    def _x(self, index: int, area: QRectF) -> float:
        return area.left() + area.width() * float(self._length[index] / self._length[-1])

    def _scrub(self, event: QMouseEvent) -> None:
        if len(self._length) > 1 and self._length[-1] > 0:
            area = self._area()
            wanted = (event.position().x() - area.left()) / area.width() * self._length[-1]
            self.scrubbed.emit(int(np.abs(self._length - wanted).argmin()))


def low(values: Doubles) -> str:
    """The smallest in one decimal, minus as a minus."""
    return f"{values.min():.1f}".replace("-", "\N{MINUS SIGN}")


def high(values: Doubles) -> str:
    """The largest in one decimal, minus as a minus."""
    return f"{values.max():.1f}".replace("-", "\N{MINUS SIGN}")
