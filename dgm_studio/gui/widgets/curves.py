"""Long curves with a cursor, flags, smoothing and a read-out; a million points stay smooth."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPen, QShowEvent
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.chip import Chip
from dgm_studio.gui.widgets.curveaxis import ThemedAxis, duration, number
from dgm_studio.gui.widgets.flow import FlowLayout
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.series import MOST_POINTS, Numbers, Series

AXES = {"step": "Step", "time": "Time", "examples": "Examples seen"}
_REDRAW_MS = 33  # after a move of the hand
_GROWTH_MS = 250  # after new points; each drawing costs the window's thread some 5 ms
_ROOM = 0.15  # of the width: room for points to come, so that the axes need not be drawn anew for each
_LEAST_FILL = 0.6  # of the room that is used before it is cut down
_CALM = 600
_FEW = 200  # points of a line that may be two pixels wide
_EARLY = 0.15
_NONE: Numbers = np.zeros(0)


class Curves(QWidget):
    """Named curves over one x axis.

    The wheel zooms along x, dragging moves, double-click shows everything; y follows what is in sight. The dashed
    cursor can be dragged, or moved with the arrows. A chip for each curve shows and hides it.

    Signals:
        cursor_moved(float): The cursor was moved by hand to this x.
    """

    cursor_moved = Signal(float)

    def __init__(self, name: str, parent: QWidget | None = None, *, y_label: str = "") -> None:
        super().__init__(parent)
        self._lines: dict[str, _Line] = {}
        self._axis, self._log, self._beta = "step", False, 0.0
        self._y_label = y_label
        self._follows, self._fitting, self._pending, self._exact = True, False, True, True
        self._flags: list[pg.InfiniteLine] = []
        self._bottom, self._left = ThemedAxis("bottom"), ThemedAxis("left")
        self._plot = pg.PlotWidget(
            enableMenu=False, axisItems={"bottom": self._bottom, "left": self._left}, parent=self
        )
        self._cursor = pg.InfiniteLine(angle=90, movable=True)
        self._readout = label("", "figures", self._plot)
        self._timer = QTimer(self, singleShot=True, interval=_REDRAW_MS)
        self._legend = QWidget(self)
        self._legend_row = FlowLayout(self._legend)
        self._build(name)
        self._dress()

    def _build(self, name: str) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self._legend)
        column.addWidget(self._plot, 1)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._plot.setAccessibleName(f"{name}, plot")
        self._plot.setFrameShape(pg.PlotWidget.Shape.NoFrame)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        # pyqtgraph leaves its menu without a parent; given one, it goes when the plot goes
        menu = self._plot.getPlotItem().ctrlMenu
        menu.setParent(self, menu.windowFlags())
        for inner in (self._plot, self._plot.viewport(), menu, *menu.findChildren(QWidget)):
            inner.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._box.setMouseEnabled(x=True, y=False)
        self._box.disableAutoRange()
        self._cursor.hide()
        self._plot.addItem(self._cursor, ignoreBounds=True)
        self._readout.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._readout.hide()
        self._timer.timeout.connect(self._draw)
        self._box.sigXRangeChanged.connect(self._on_range)
        self._box.sigRangeChangedManually.connect(self._on_hand)
        self._cursor.sigPositionChanged.connect(self._on_cursor)
        self._plot.scene().sigMouseMoved.connect(self._on_mouse)
        self._plot.scene().sigMouseClicked.connect(self._on_click)
        theme.changed.connect(self._dress)

    @property
    def _box(self) -> pg.ViewBox:
        return self._plot.getViewBox()

    # data

    def add_series(
        self, name: str, unit: str = "", colour: str = "", *, dashed: bool = False, quiet: bool = False, hint: str = ""
    ) -> None:
        """Start a curve.

        Args:
            name: In the legend.
            unit: Of its values.
            colour: The next of the categories unless one is given.
            dashed: Draw it dashed.
            quiet: It lies beneath the others and stands back.
            hint: Tooltip of the legend: what was averaged over what.
        """
        if name in self._lines:
            return
        line = _Line(Series(name, unit), colour or theme.CATEGORIES[len(self._lines) % 10], dashed, quiet)
        line.series.set_smoothing(self._beta)
        self._lines[name] = line
        for item in (line.faint, line.strong):
            item.setZValue(0 if quiet else 1)
            self._plot.addItem(item, ignoreBounds=True)
        chip = Chip(name, self._legend, dot=line.colour)
        chip.setToolTip("\n".join(part for part in (name, hint, "Click to show or hide it.") if part))
        chip.clicked.connect(line.toggle)
        chip.clicked.connect(self._redraw_later)
        line.chip = chip
        self._legend_row.addWidget(chip)
        self._redraw_later()

    def remove_series(self, name: str) -> None:
        """Take a curve away.

        Raises:
            KeyError: There is none of this name.
        """
        line = self._lines.pop(name)
        for item in (line.faint, line.strong):
            self._plot.removeItem(item)
        if line.chip is not None:
            self._legend_row.removeWidget(line.chip)
            line.chip.deleteLater()
        self._redraw_later()

    def set_y_label(self, words: str) -> None:
        """What the values are measured in; "" where they have no unit."""
        if words != self._y_label:
            self._y_label = words
            self._left.name(words)

    def clear(self) -> None:
        """Take all curves and flags away."""
        for name in list(self._lines):
            self.remove_series(name)
        self.set_flags(())

    def append(
        self,
        name: str,
        steps: npt.ArrayLike,
        values: npt.ArrayLike,
        seconds: npt.ArrayLike | None = None,
        examples: npt.ArrayLike | None = None,
    ) -> None:
        """Add points to a curve; one that does not exist yet is started.

        Raises:
            ValueError: Columns of different lengths.
        """
        self.add_series(name)
        self._lines[name].series.append(steps, values, seconds, examples)
        self._redraw_later(_GROWTH_MS)

    def series(self) -> list[Series]:
        """The curves, with all their numbers, for exports."""
        return [line.series for line in self._lines.values()]

    def visible_series(self) -> list[str]:
        """Names of the curves that are switched on."""
        return [name for name, line in self._lines.items() if line.on]

    # settings

    def set_axis(self, axis: str) -> None:
        """Choose x: "step", "time" or "examples".

        Raises:
            KeyError: Another word.
        """
        self._bottom.name(AXES[axis], time=axis == "time")
        self._axis, self._follows, self._exact = axis, True, True
        self._redraw_later()

    def set_log(self, log: bool) -> None:
        """Draw the logarithm of y; what is not positive is left out."""
        self._log = log
        self._left.setLogMode(y=log)
        self._redraw_later()

    def set_smoothing(self, beta: float) -> None:
        """Draw a moving average strongly and the values faintly; 0 draws the values alone.

        Raises:
            ValueError: Outside [0, 1).
        """
        for line in self._lines.values():
            line.series.set_smoothing(beta)
        self._beta = beta
        self._redraw_later()

    def set_cursor(self, x: float | None) -> None:
        """Put the cursor somewhere without a signal, or take it away."""
        self._cursor.blockSignals(True)
        self._cursor.setVisible(x is not None)
        if x is not None:
            self._cursor.setValue(x)
        self._cursor.blockSignals(False)

    def cursor(self) -> float | None:  # type: ignore[override]  # the plot's cursor, not the mouse's shape
        """Where the cursor is."""
        return float(self._cursor.value()) if self._cursor.isVisible() else None

    def set_flags(self, flags: Sequence[tuple[float, str]]) -> None:
        """Annotated vertical marks: (x, words) each, for changed settings and forks."""
        for old in self._flags:
            self._plot.removeItem(old)
        self._flags = [pg.InfiniteLine(x, angle=90, label=words, labelOpts=_FLAG) for x, words in flags]
        for flag in self._flags:
            self._plot.addItem(flag, ignoreBounds=True)
        self._dress_flags()

    def fit(self) -> None:
        """Show everything and go on following new points."""
        self._follows, self._exact = True, True
        self._redraw_later()

    # exports

    def to_csv(self, path: Path) -> None:
        """Write every curve: name, unit, step, seconds, examples, value.

        Raises:
            OSError: The file cannot be written.
        """
        with path.open("w", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream)
            out.writerow(("series", "unit", "step", "time", "examples", "value"))
            for series in self.series():
                columns = [series.x(axis).tolist() for axis in AXES]
                for row in zip(*columns, series.y.tolist(), strict=True):
                    out.writerow((series.name, series.unit, *row))

    def to_svg(self, path: Path) -> None:
        """Write what is seen as a vector drawing.

        Raises:
            OSError: The file cannot be written.
        """
        self._draw()
        out = QSvgGenerator()
        out.setFileName(str(path))
        out.setSize(self._plot.size())
        out.setViewBox(self._plot.rect())
        out.setTitle(self.accessibleName())
        painter = QPainter(out)
        if not painter.isActive():
            raise OSError(f"cannot write {path}")
        self._plot.render(painter)
        painter.end()

    # by hand

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the cursor, plus and minus zoom, 0 shows everything."""
        low, high = self._box.viewRange()[0]
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            fine = 0.002 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 0.02
            step = (high - low) * fine * (1 if key == Qt.Key.Key_Right else -1)
            at = self._cursor.value() if self._cursor.isVisible() else (low + high) / 2
            self._cursor.show()
            self._cursor.setValue(at + step)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self._follows = False
            zoom = 1.25 if key == Qt.Key.Key_Minus else 0.8
            middle, half = (low + high) / 2, (high - low) / 2 * zoom
            self._box.setXRange(middle - half, middle + half, padding=0)
        elif key == Qt.Key.Key_0:
            self.fit()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """What was put off while hidden is drawn now."""
        super().showEvent(event)
        if self._pending:
            self._draw()

    # drawing

    def _redraw_later(self, delay: int = _REDRAW_MS) -> None:
        self._pending = True
        if self.isVisible() and not 0 <= self._timer.remainingTime() <= delay:
            self._timer.start(delay)

    def _draw(self) -> None:
        self._pending = False
        self._fitting = True
        if self._follows:
            self._follow()
        low, high = self._box.viewRange()[0]
        most = min(MOST_POINTS, max(64, 2 * round(self._box.width())))
        heights = [line.draw(self._axis, low, high, self._log, most) for line in self._lines.values()] or [
            (_NONE, _NONE)
        ]
        late = low + _EARLY * (high - low)
        every = np.concatenate([y for _, y in heights])
        later = np.concatenate([y[x >= late] for x, y in heights])
        span = _span(every, later)
        if self._exact or not self._follows or not _fits(span, self._box.viewRange()[1]):
            self._box.setYRange(*span, padding=0.06)
        self._fitting, self._exact = False, False

    def _follow(self) -> None:
        """Show all points; while they come, with room for more."""
        low, high = self._extent()
        if self._exact:
            self._box.setXRange(low, high, padding=0.02)
        elif not _fits((low, high), self._box.viewRange()[0]):
            self._box.setXRange(low, high + _ROOM * (high - low), padding=0.02)

    def _extent(self) -> tuple[float, float]:
        ends = [(s.x(self._axis)[0], s.x(self._axis)[-1]) for s in self.series() if len(s)]
        low, high = min((e[0] for e in ends), default=0.0), max((e[1] for e in ends), default=1.0)
        return (low, high) if high > low else (low, low + 1.0)

    def _dress(self) -> None:
        look = theme.current()
        self._plot.setBackground(look.colour("bg1"))
        self._plot.showGrid(x=False, y=True, alpha=0.25)
        self._bottom.name(AXES[self._axis], time=self._axis == "time")
        self._left.name(self._y_label)
        self._cursor.setPen(pg.mkPen(look.colour("accent"), width=1, style=Qt.PenStyle.DashLine))
        self._cursor.setHoverPen(pg.mkPen(look.colour("accent"), width=2))
        shade = look.palette
        self._readout.setStyleSheet(
            f"background: {shade.bg2}; border: 1px solid {shade.line}; border-radius: 4px; padding: 2px 6px;"
        )
        self._dress_flags()
        self._redraw_later()

    def _dress_flags(self) -> None:
        look = theme.current()
        for flag in self._flags:
            flag.setPen(pg.mkPen(look.colour("live"), width=1, style=Qt.PenStyle.DotLine))
            flag.label.setColor(look.colour("live"))
            flag.label.setFont(look.font("caption"))

    # signals

    def _on_range(self) -> None:
        if not self._fitting:
            self._redraw_later()

    def _on_hand(self) -> None:
        self._follows = False

    def _on_cursor(self) -> None:
        self.cursor_moved.emit(float(self._cursor.value()))

    def _on_click(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        if event.double():
            self.fit()
        self.setFocus()

    def _on_mouse(self, place: QPointF) -> None:
        found = self._nearest(place) if self._plot.sceneBoundingRect().contains(place) else None
        self._readout.setVisible(found is not None)
        if found is not None:
            self._readout.setText(found)
            self._readout.adjustSize()
            self._readout.move(max(0, self._plot.width() - self._readout.width() - 8), 4)

    def _nearest(self, place: QPointF) -> str | None:
        """Words about the curve nearest to the mouse in height, at its x."""
        here = self._box.mapSceneToView(place)
        best: tuple[float, str] | None = None
        for line in self._lines.values():
            point = line.series.at(self._axis, here.x(), smooth=self._beta > 0)
            if point is None or not line.on or (self._log and point[1] <= 0):
                continue
            height = float(np.log10(point[1])) if self._log else point[1]
            words = f"{line.series.name} {number(point[1])} {line.series.unit}".strip()
            at = duration(point[0]) if self._axis == "time" else f"{self._axis} {number(point[0])}"
            gap = abs(height - here.y())
            if best is None or gap < best[0]:
                best = (gap, f"{words} · {at}")
        return best[1] if best else None


class _Line:
    """A series with its two drawn curves and its chip."""

    def __init__(self, series: Series, colour: str, dashed: bool, quiet: bool) -> None:
        self.series, self.colour, self.dashed, self.quiet, self.on = series, colour, dashed, quiet, True
        self.chip: Chip | None = None
        self.faint = pg.PlotCurveItem(connect="finite", skipFiniteCheck=False)
        self.strong = pg.PlotCurveItem(connect="finite", skipFiniteCheck=False)

    def toggle(self) -> None:
        """Show or hide."""
        self.on = not self.on
        if self.chip is not None:
            self.chip.set_on(self.on)

    def draw(self, axis: str, low: float, high: float, log: bool, most: int) -> tuple[Numbers, Numbers]:
        """Hand the points in sight to the plot; returns those that were drawn strongly."""
        smooth = self.series.smoothed is not None
        self.strong.setVisible(self.on)
        self.faint.setVisible(self.on and smooth)
        if not self.on or not len(self.series):
            return _NONE, _NONE
        strong = min(most, _CALM) if smooth else most
        if smooth:
            self._set(self.faint, axis, low, high, log, most, smooth=False, alpha=0.2)
        # single noisy steps stand back behind the few figures of a validation
        alpha = 0.35 if self.quiet and not smooth and len(self.series) > _CALM // 4 else 1.0
        return self._set(self.strong, axis, low, high, log, strong, smooth=smooth, alpha=alpha)

    def _set(
        self,
        item: pg.PlotCurveItem,
        axis: str,
        low: float,
        high: float,
        log: bool,
        most: int,
        *,
        smooth: bool,
        alpha: float,
    ) -> tuple[Numbers, Numbers]:
        x, y = self.series.drawn(axis, low, high, smooth=smooth, most=most)
        if log:
            y = np.log10(np.where(y > 0, y, np.nan))
        ink = theme.line_colour(self.colour)
        ink.setAlphaF(alpha)
        view = item.getViewWidget()
        # cosmetic pens count device pixels, and wide ones cost ten times as much on noise: only calm curves get them
        calm = len(x) <= _CALM
        width = view.devicePixelRatioF() if view is not None and calm and alpha == 1 else 1.0
        width *= 2 if len(x) <= _FEW and alpha == 1 else 1
        pen = QPen(ink, width, Qt.PenStyle.DashLine if self.dashed else Qt.PenStyle.SolidLine)
        pen.setCosmetic(True)
        # smooth edges only where they are cheap
        item.setData(x, y, pen=pen, antialias=len(x) <= 2000)
        finite = np.isfinite(y)
        return x[finite], y[finite]


def _fits(span: tuple[float, float], shown: Sequence[float]) -> bool:
    """Whether all of a span is shown and fills enough of what is shown."""
    return shown[0] <= span[0] and span[1] <= shown[1] and span[1] - span[0] >= _LEAST_FILL * (shown[1] - shown[0])


def _span(every: Numbers, later: Numbers) -> tuple[float, float]:
    """Lowest and highest; the start of a run leaves the frame where it would flatten all the rest."""
    if not len(every):
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    if len(later) and high - low > 3 * float(np.ptp(later)) > 0:
        room = 0.25 * float(np.ptp(later))
        low, high = max(low, float(later.min()) - room), min(high, float(later.max()) + room)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


_FLAG = {"position": 0.93, "movable": False, "anchors": [(0, 0.5), (1, 0.5)]}
