"""The large card of the training panel: every term, the optimiser, and the rate-distortion plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QStackedWidget, QVBoxLayout, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.training_record import Record, estimator, sign, split_name, unit, words
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.curveaxis import ThemedAxis, number
from dgm_studio.gui.widgets.curvecontrols import CurveControls
from dgm_studio.gui.widgets.curves import Curves
from dgm_studio.gui.widgets.segmented import SegmentedControl

PAGES = ("Objective", "Terms", "Optimiser", "Rate–distortion")
_OBJECTIVES = ("elbo", "loss")
_HIDDEN_TERMS = frozenset({"loss"})


class RateDistortion(QWidget):
    """The way of a run through the plane of rate (KL) and distortion (-log p(x | z)).

    Along a diagonal rate + distortion = -ELBO is the same (Alemi et al. 2018, figure 1); the best runs end at the lower
    left.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes = (ThemedAxis("bottom"), ThemedAxis("left"))
        axes = {"bottom": self._axes[0], "left": self._axes[1]}
        self._plot = pg.PlotWidget(enableMenu=False, axisItems=axes, parent=self)
        menu = self._plot.getPlotItem().ctrlMenu  # pyqtgraph leaves it without a parent
        menu.setParent(self, menu.windowFlags())
        for inner in (self._plot, self._plot.viewport(), menu, *menu.findChildren(QWidget)):
            inner.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._plot.setFrameShape(pg.PlotWidget.Shape.NoFrame)
        self._plot.hideButtons()
        self._plot.setAccessibleName("Rate–distortion, plot")
        self._runs: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], str]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._plot)
        theme.changed.connect(self._draw)
        self._draw()

    def set_run(self, name: str, rate: npt.ArrayLike, distortion: npt.ArrayLike, colour: str) -> None:
        """Show a run's validation points in order, [N] each, nats."""
        self._runs[name] = (np.asarray(rate, np.float64), np.asarray(distortion, np.float64), colour)
        if self.isVisible():
            self._draw()

    def keep(self, names: Sequence[str]) -> None:
        """Forget the runs that are not named."""
        self._runs = {name: run for name, run in self._runs.items() if name in names}

    def showEvent(self, event: object) -> None:
        """What came while hidden is drawn now."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._draw()

    def _draw(self) -> None:
        look = theme.current()
        self._plot.setBackground(look.colour("bg1"))
        self._plot.showGrid(x=True, y=True, alpha=0.12)
        self._axes[0].name("Rate: KL, nats")
        self._axes[1].name("Distortion: \N{MINUS SIGN}log p(x | z), nats")
        self._plot.clear()
        for place, (name, (rate, distortion, colour)) in enumerate(self._runs.items()):
            skip = len(rate) // 10 if len(rate) > 20 else 0  # the first steps are far away and would squash the rest
            x, y, ink = rate[skip:], distortion[skip:], theme.line_colour(colour)
            self._plot.plot(x, y, pen=pg.mkPen(ink, width=1), antialias=True, name=name)
            self._plot.plot(x, y, pen=None, symbol="o", symbolSize=4, symbolBrush=ink, symbolPen=None)
            if len(x):
                self._plot.plot(x[-1:], y[-1:], pen=None, symbol="o", symbolSize=10, symbolBrush=ink, symbolPen=None)
                self._diagonal(float(x[-1] + y[-1]), name, place)
        self._plot.autoRange(padding=0.08)

    def _diagonal(self, total: float, name: str, place: int) -> None:
        look = theme.current()
        pen = pg.mkPen(look.colour("text2"), width=1, style=Qt.PenStyle.DotLine)
        words = f"{name}: \N{MINUS SIGN}ELBO {number(round(total, 2))} nats"
        at = {"position": 0.25 + 0.2 * (place % 3), "fill": look.colour("bg1"), "anchors": [(0.5, 1.2), (0.5, 1.2)]}
        line = pg.InfiniteLine((0, total), angle=-45, pen=pen, label=words, labelOpts=at)
        line.label.setColor(look.colour("text2"))
        line.label.setFont(look.font("caption"))
        self._plot.addItem(line, ignoreBounds=True)


class CurvesCard(Card):
    """Curves of one run and of those laid over it.

    Signals:
        step_chosen(float): The cursor was dragged to this step.
        changed(): Page, axis, smoothing or scale were changed by hand.
    """

    step_chosen = Signal(float)
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Curves", parent)
        self._pages = QStackedWidget(self)
        self._choice = SegmentedControl(PAGES, "What the curves show", self)
        self.objective = Curves("Objective", self, y_label="nats")
        self.terms = Curves("Terms of the objective", self, y_label="nats")
        self._optimiser = QWidget(self)
        self._optimiser_grid = QGridLayout(self._optimiser)
        self._optimiser_grid.setContentsMargins(0, 0, 0, 0)
        self._optimiser_grid.setSpacing(theme.SPACE[2])
        self.optimiser: dict[str, Curves] = {}
        self.plane = RateDistortion(self)
        self._controls = CurveControls(self.objective, self.terms, parent=self)
        self._record = Record()
        self._cursor_step: float | None = None
        self._flags: tuple[tuple[float, str], ...] = ()
        for page in (self.objective, self.terms, self._optimiser, self.plane):
            self._pages.addWidget(page)
        self.add_right(self._choice)
        self.add(self._controls)
        self.add(self._pages, 1)
        self._choice.chosen.connect(self._on_page)
        self._controls.changed.connect(self._on_settings)
        for curves in (self.objective, self.terms):
            curves.cursor_moved.connect(self._on_cursor)

    def set_record(self, record: Record) -> None:
        """Whose steps the cursor means."""
        self._record = record

    def plot(self) -> QWidget:
        """The page that is shown."""
        pages: tuple[QWidget, ...] = (self.objective, self.terms, self._optimiser, self.plane)
        return pages[self.page()]

    def page(self) -> int:
        """Number of the page that is shown."""
        return self._choice.index()

    def set_page(self, index: int) -> None:
        """Show a page."""
        self._choice.set_index(index)
        self._pages.setCurrentIndex(index)
        self._controls.setVisible(index < 2)

    def settings(self) -> dict[str, Any]:
        """Page, axis, smoothing and scale, JSON-able."""
        return {"page": self.page(), **self._controls.settings()}

    def set_settings(self, page: int, axis: str, smoothing: float, log: bool) -> None:
        """Take on settings without a signal.

        Raises:
            ValueError: An axis that does not exist.
        """
        self._controls.set_settings(axis, smoothing, log)
        self.set_page(min(max(page, 0), len(PAGES) - 1))
        self._mark()

    def clear(self) -> None:
        """Take everything away."""
        for curves in self._all():
            curves.clear()
        self.plane.keep(())

    def draw(self, run: str, record: Record, colour: str, *, only: bool) -> None:
        """Add what is new in a record.

        Args:
            run: Name of the run, said in the legend when several are shown.
            record: Its figures.
            colour: Its colour on the objective's page.
            only: No other run is shown.
        """
        fresh = record.fresh()
        objective = next((o for o in _OBJECTIVES if any(split_name(n)[1] == o for n in record.last)), "")
        for name, (steps, values, seconds) in fresh.items():
            part, term = split_name(name)
            title = words(name) if only else f"{words(name)} \N{MIDDLE DOT} {run}"
            if not part:
                curves, shade = self._optimiser_curves(name), colour
            elif term == objective:
                curves, shade = self.objective, theme.CATEGORIES[4] if only and part == "valid" else colour
            elif term in _HIDDEN_TERMS:
                continue
            else:
                curves, shade = self.terms, _term_colour(term, part) if only else ""
            dashed = part == "valid" and not only
            curves.add_series(title, unit(name), shade, dashed=dashed, quiet=part == "train", hint=estimator(name))
            curves.append(title, steps, sign(name) * np.asarray(values), seconds, np.asarray(steps) * record.batch)
        if fresh:
            for curves in (self.objective, self.terms):  # of a bound; a square error has no unit
                curves.set_y_label("nats" if objective == "elbo" else "")
            self._draw_plane(run, record, colour)

    def fit(self) -> None:
        """The curves as wide as they are: no points are to come for which room had been kept."""
        for curves in self._all():
            curves.fit()

    def set_flags(self, flags: Sequence[tuple[float, str]]) -> None:
        """Changed settings as marks on the curves, at their steps."""
        self._flags = tuple(flags)
        for curves in (self.objective, self.terms):
            curves.set_flags([(self._record.x_at(self._axis(curves), step), text) for step, text in flags])

    def set_step(self, step: float | None) -> None:
        """Put the cursor of every curve at a step, or take it away."""
        self._cursor_step = step
        for curves in self._all():
            curves.set_cursor(None if step is None else self._record.x_at(self._axis(curves), step))

    def _draw_plane(self, run: str, record: Record, colour: str) -> None:
        pair = self._columns(record, "valid") or self._columns(record, "train")
        if pair is not None:
            self.plane.set_run(run, pair[0], -pair[1], colour)

    def _columns(self, record: Record, part: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        found = record.columns(f"{part}/kl"), record.columns(f"{part}/reconstruction")
        if found[0] is None or found[1] is None or len(found[0]) < 2:
            return None
        count = min(len(found[0]), len(found[1]))
        return found[0][:count], found[1][:count]

    def _optimiser_curves(self, name: str) -> Curves:
        if name not in self.optimiser:
            curves = Curves(words(name), self._optimiser, y_label=unit(name))
            curves.cursor_moved.connect(self._on_cursor)
            self._optimiser_grid.addWidget(curves, *divmod(len(self.optimiser), 2))
            self.optimiser[name] = curves
        return self.optimiser[name]

    def _all(self) -> tuple[Curves, ...]:
        return (self.objective, self.terms, *self.optimiser.values())

    def _axis(self, curves: Curves) -> str:
        return self._controls.axis() if curves in (self.objective, self.terms) else "step"

    def _on_page(self, index: int) -> None:
        self.set_page(index)
        self.changed.emit()

    def _on_settings(self) -> None:
        self._mark()
        self.changed.emit()

    def _mark(self) -> None:
        """Cursor and flags stand at steps: on another axis they stand elsewhere."""
        self.set_flags(self._flags)
        self.set_step(self._cursor_step)

    def _on_cursor(self, x: float) -> None:
        sender = self.sender()
        axis = self._axis(sender) if isinstance(sender, Curves) else "step"
        self.step_chosen.emit(self._record.step_at(axis, x))


def _term_colour(term: str, part: str) -> str:
    """The same term has the same colour in every run and every session."""
    known: Mapping[tuple[str, str], int] = {
        ("reconstruction", "train"): 2,
        ("reconstruction", "valid"): 4,
        ("kl", "train"): 0,
        ("kl", "valid"): 3,
    }
    return theme.CATEGORIES[known.get((term, part), sum(f"{term}{part}".encode()) % 10)]
