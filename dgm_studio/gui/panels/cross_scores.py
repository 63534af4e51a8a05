"""The scoreboard: the four criteria of Shi et al. (2019), coherence and diversity a cell, importance weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ScoreCross, WeighSamples
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross_state import Bench
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.lineplot import LinePlot, PlotLine
from dgm_studio.gui.widgets.painting import draw_text, follow_theme, plain_rounded
from dgm_studio.gui.widgets.progressline import ProgressLine
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

WEIGHTS = "weights"
DEFINITIONS = {
    "latent factorisation": "A linear classifier reads the shared factor from z.",
    "joint generation": "Modalities drawn together from the prior tell the same.",
    "cross generation": "What is generated from one modality tells what that one tells.",
    "synergy": "Knowing more modalities at once says no less than knowing one.",
}
COHERENT = "Share of the generated values that the judge reads as the truth"
TILE = 236
SHARES = ("", "share", "%")  # units of what lies between 0 and 1
_CENTRE = Qt.AlignmentFlag.AlignCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class NumberTable(QWidget):
    """A small matrix of shares: the figure in every cell, its colour behind it."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows: tuple[str, ...] = ()
        self._columns: tuple[str, ...] = ()
        self._values: dict[tuple[str, str], float] = {}
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_values(self, values: Mapping[str, float], columns: Sequence[str]) -> None:
        """Values by "ROW/COLUMN"; cells that nobody judges stay empty."""
        self._values = {(k.rpartition("/")[0], k.rpartition("/")[2]): float(v) for k, v in values.items()}
        self._rows = tuple(dict.fromkeys(row for row, _ in self._values))
        self._columns = tuple(c for c in columns if any(column == c for _, column in self._values))
        said = "; ".join(f"{row} to {column} {value:.2f}" for (row, column), value in self._values.items())
        self.setAccessibleDescription(said)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """A line each."""
        return QSize(280, (len(self._rows) + 1) * theme.current().px(26))

    def minimumSizeHint(self) -> QSize:
        """Likewise."""
        return QSize(160, self.sizeHint().height())

    def event(self, event: Any) -> bool:
        """The tooltip tells a row and a column in full."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._told(QPointF(event.pos())), self)
            return True
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Names, then the cells."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        table = theme.sequential("viridis")
        for column, name in enumerate(self._columns):
            box = self._cell(-1, column)
            draw_text(painter, box, name, look.font("caption"), look.colour("text2"), _CENTRE)
        for row, name in enumerate(self._rows):
            box = QRectF(0, self._cell(row, 0).top(), self._named() - 8, self._cell(row, 0).height())
            draw_text(painter, box, name, look.font("caption"), look.colour("text2"), _RIGHT)
            for column, other in enumerate(self._columns):
                value = self._values.get((name, other))
                cell = self._cell(row, column).adjusted(1, 1, -1, -1)
                if value is None:
                    plain_rounded(painter, cell, look.colour("bg2"), 3)
                    continue
                shade = QColor(*(int(v) for v in table[round(255 * min(max(value, 0.0), 1.0))]))
                plain_rounded(painter, cell, shade, 3)
                black = theme.luminance(shade.name()) > 0.18
                ink = QColor("#101318" if black else "#FFFFFF")
                draw_text(painter, cell, f"{value:.2f}", look.figures("caption"), ink, _CENTRE)

    def _named(self) -> float:
        metrics = QFontMetrics(theme.current().font("caption"))
        wide = max((metrics.horizontalAdvance(name) for name in self._rows), default=0) + 12
        return float(min(wide, self.width() * 0.45))

    def _cell(self, row: int, column: int) -> QRectF:
        line, left = theme.current().px(26), self._named()
        wide = (self.width() - left) / max(1, len(self._columns))
        return QRectF(left + column * wide, (row + 1) * line, wide, line)

    def _told(self, point: QPointF) -> str:
        for row, name in enumerate(self._rows):
            for column, other in enumerate(self._columns):
                if self._cell(row, column).contains(point) and (name, other) in self._values:
                    return f"{name} to {other}: {self._values[name, other]:.3f}"
        return ""


class Tile(QFrame):
    """One criterion: its value with the error, the trivial baseline on the same scale, what it means."""

    def __init__(self, entry: Mapping[str, Any], parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("surface", "sunken")
        name, what = str(entry["name"]), str(entry.get("what", ""))
        value, error, unit = float(entry["value"]), float(entry.get("error", 0.0)), str(entry.get("unit", ""))
        baseline = float(entry.get("baseline", 0.0))
        head = ElidedLabel(name.capitalize(), "section", self)
        about = ElidedLabel(what, "secondary", self)
        figure = label(_figure(value, unit), "title", self)
        spread = label(f"± {_figure(error, unit)}" if error else "", "figures2", self)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(figure)
        row.addWidget(spread)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.SPACE[2], theme.SPACE[1], theme.SPACE[2], theme.SPACE[1])
        column.setSpacing(2)
        column.addWidget(head)
        column.addWidget(about)
        column.addLayout(row)
        column.addWidget(_Against(value, baseline, unit, self, slack=error))
        trivial = WrappedLabel("secondary", self)
        trivial.setText(f"{entry.get('baseline name') or 'trivial baseline'}: {_figure(baseline, unit)}")
        column.addWidget(trivial)
        definition = WrappedLabel("caption", self)
        definition.setText(str(entry.get("definition") or DEFINITIONS.get(name, "")))
        column.addWidget(definition)
        column.addStretch(1)


class _Against(QWidget):
    """A share as a bar with the baseline as a tick; other figures as a dot beside the tick."""

    def __init__(self, value: float, baseline: float, unit: str, parent: QWidget, *, slack: float = 0.0) -> None:
        super().__init__(parent)
        self._value, self._baseline, self._slack = value, baseline, slack
        self._share = unit in SHARES
        room = 0.25 * (abs(value - baseline) or abs(value) or 1.0)
        self._low = 0.0 if self._share else min(value, baseline) - room
        self._high = 1.0 if self._share else max(value, baseline) + room
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Thin."""
        return QSize(120, theme.current().px(14))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Groove, bar or dot, tick."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = self.height() / 2
        plain_rounded(painter, QRectF(0, middle - 3, self.width(), 6), look.colour("bg3"), 3)
        colour = look.colour("accent" if self._value + self._slack >= self._baseline else "bad")
        x = self._x_of(self._value)
        if self._share:
            plain_rounded(painter, QRectF(0, middle - 3, max(2.0, x), 6), colour, 3)
        tick = min(max(self._x_of(self._baseline) - 1, 0.0), self.width() - 2.0)
        painter.fillRect(QRectF(tick, 1, 2, self.height() - 2.0), look.colour("text"))
        if not self._share:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(x, middle), 4, 4)

    def _x_of(self, value: float) -> float:
        return min(max((value - self._low) / (self._high - self._low), 0.0), 1.0) * self.width()


class ScoreCard(Card):
    """How much is scored; start and stop."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Scoreboard", parent)
        self.bench = bench
        self.count = ValueSlider("Examples", 50, 2000, 500, self, whole=True)
        self.samples = ValueSlider("Samples a cell", 2, 50, 10, self, whole=True)
        self.start = Button("Score", self, icon="play", primary=True)
        self.stop = Button("Stop", self, icon="stop")
        self.line = ProgressLine("Progress of the score", self)
        self.words = WrappedLabel("secondary", self)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        for widget in (self.start, self.stop):
            row.addWidget(widget)
        row.addStretch(1)
        for setting in (self.count, self.samples):
            self.add(setting)
        self.body.addLayout(row)
        self.add(self.line)
        self.add(self.words)
        self.show_running(False)

    def show_running(self, running: bool) -> None:
        """Whether the job is at work."""
        self.start.setEnabled(not running)
        self.stop.setEnabled(running)
        self.line.setVisible(running)
        if running:
            self.line.set_share(None)


class WeightCard(Card):
    """How many importance samples."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Importance weights", parent)
        self.k = ValueSlider("Samples K", 10, 5000, 1000, self, whole=True, log=True)
        self.weigh = Button("Weigh this datum", self)
        self.words = WrappedLabel("secondary", self)
        row = QHBoxLayout()
        row.addWidget(self.weigh)
        row.addStretch(1)
        self.add(self.k)
        self.body.addLayout(row)
        self.add(self.words)


class ScoresPage(QWidget):
    """Tiles, two matrices, two plots."""

    told = Signal(str)

    def __init__(self, bench: Bench, card: ScoreCard, weights: WeightCard, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench, self.settings, self.weights = bench, card, weights
        self._job: Ticket | None = None
        self._tiles: list[Tile] = []
        inner = QWidget(self)
        inner.setObjectName("scrolled")
        self.grid = QGridLayout()
        self.grid.setSpacing(theme.SPACE[1])
        self.coherence = NumberTable("Coherence of each conditioning", inner)
        self.diversity = NumberTable("Diversity of each conditioning", inner)
        self.bound = LinePlot("Bound against samples", inner, x_title="K", y_title="Bound on log p, nats", log=True)
        self.effective = LinePlot(
            "Effective samples", inner, x_title="K", y_title="Effective share of the samples", log=True
        )
        self._lay_out(inner)
        area = QScrollArea(self)
        area.setAccessibleName("Scoreboard")
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inner)
        self.frame = StateFrame(area, self)
        self.frame.set_empty(
            "Four criteria, each beside a trivial baseline; coherence and diversity of every conditioning.",
            "Score",
            "target",
        )
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)
        self.frame.filled.connect(self.start)
        self.frame.acted.connect(self.start)
        card.start.clicked.connect(self.start)
        card.stop.clicked.connect(self.stop)
        weights.weigh.clicked.connect(self.weigh)
        self._plots.hide()

    def _lay_out(self, inner: QWidget) -> None:
        self._hints: list[WrappedLabel] = []
        tables = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        tables.setSpacing(theme.SPACE[3])
        for words, hint, table in (
            ("Coherence", COHERENT, self.coherence),
            ("Diversity", "Mean distance of two samples of a cell, 1 is that of two test examples", self.diversity),
        ):
            side = QVBoxLayout()
            side.setSpacing(2)
            head = label(words, "heading", inner)
            head.setToolTip(hint)
            under = WrappedLabel("caption", inner)
            under.setText(hint + ".")
            self._hints.append(under)
            side.addWidget(head)
            side.addWidget(under)
            side.addWidget(table)
            side.addStretch(1)
            tables.addLayout(side, 1)
        self._scores = QWidget(inner)
        scores = QVBoxLayout(self._scores)
        scores.setContentsMargins(0, 0, 0, 0)
        scores.setSpacing(theme.SPACE[2])
        scores.addLayout(self.grid)
        scores.addLayout(tables)
        self._plots = QWidget(inner)
        plots = QHBoxLayout(self._plots)
        plots.setContentsMargins(0, 0, 0, 0)
        for plot in (self.bound, self.effective):
            plot.setMinimumHeight(190)
            plots.addWidget(plot, 1)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, theme.SPACE[1], 0)
        column.setSpacing(theme.SPACE[3])
        column.addWidget(self._scores)
        column.addWidget(self._plots)
        column.addStretch(1)

    # -- asking --------------------------------------------------------------------------------------------------------

    def request(self) -> ScoreCross:
        """What the settings ask for."""
        count, samples = round(self.settings.count.value()), round(self.settings.samples.value())
        state = self.bench.state
        return ScoreCross(self.bench.card.key, "test", count, samples, state.seed, state.fusing())

    def start(self) -> None:
        """Score as a job."""
        if self._job is None:
            self._job = self.bench.ask.job(self.request(), f"Score {self.bench.card.name}")
            self.settings.words.setText("Waiting for its turn.")
            self.settings.show_running(True)

    def stop(self) -> None:
        """Stop the job; what came so far stays."""
        if self._job is not None:
            self.bench.ask.stop(self._job)

    def weigh(self) -> None:
        """Importance weights of the datum that is given."""
        state = self.bench.state
        request = WeighSamples(self.bench.card.key, state.given(), (), round(self.weights.k.value()), seed=state.seed)
        self.weights.words.setText("Drawing.")
        self.bench.ask(WEIGHTS, request)

    # -- answers -------------------------------------------------------------------------------------------------------

    def receive_job(self, update: Update, ticket: Ticket) -> None:
        """Progress, figures, the end."""
        if isinstance(update, Progress):
            self.settings.line.set_share(update.done / update.total if update.total else None)
            self.settings.words.setText(update.text or f"{update.done:,.0f} of {update.total:,.0f}")
        elif isinstance(update, Frame):
            self.show_scores(update.data)
        elif isinstance(update, Done | Cancelled | Failed):
            self._job = None
            self.settings.show_running(False)
            stopped = isinstance(update, Cancelled)
            self.settings.words.setText("Stopped; the figures so far stay." if stopped else "")
            if isinstance(update, Failed):
                self.frame.show_error(update.told(), update.action and "Try again", update.details)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Importance weights."""
        if isinstance(update, Failed):
            self.weights.words.setText(update.told())
        elif isinstance(update, Frame):
            self._show_weights(update.data)

    def show_scores(self, data: Mapping[str, Any]) -> None:
        """Show a Frame "criteria"."""
        for tile in self._tiles:
            self.grid.removeWidget(tile)
            tile.hide()
            tile.deleteLater()
        self._tiles = [Tile(entry, self._scores) for entry in data.get("criteria") or ()]
        self._place_tiles()
        names = [m.name for m in self.bench.modalities]
        self.coherence.set_values(data.get("coherence") or {}, names)
        self.diversity.set_values(data.get("diversity") or {}, names)
        judged = self.bench.judges_words()
        self._hints[0].setText(f"{COHERENT}. {judged}".strip())
        self._scores.show()
        self.frame.show_ready()
        self.told.emit(f"{int(data.get('count', 0)):,} examples")

    def tiles(self) -> int:
        """How many criteria are shown."""
        return len(self._tiles)

    def resizeEvent(self, event: Any) -> None:
        """As many tiles beside each other as there is room for."""
        super().resizeEvent(event)
        self._place_tiles()

    def _place_tiles(self) -> None:
        columns = max(1, self.width() // theme.current().px(TILE))
        for place, tile in enumerate(self._tiles):
            self.grid.addWidget(tile, place // columns, place % columns)
            tile.show()

    def _show_weights(self, data: Mapping[str, Any]) -> None:
        k = np.asarray(data["k"], float)
        bound, effective = np.asarray(data["bound"], float), np.asarray(data["effective"], float)
        error = np.asarray(data.get("error", np.zeros(len(k))), float)
        accent = theme.CATEGORIES[1]
        self.bound.set_lines(k, [PlotLine("bound", bound, accent, error)])
        self.effective.set_lines(k, [PlotLine("effective / K", effective / k, accent)], 0.0, 1.0, percent=True)
        last = (
            f"{number(float(f'{bound[-1]:.6g}'))} nats with K = {int(k[-1]):,}, {effective[-1]:,.1f} effective samples."
        )
        self.weights.words.setText(last)
        self._plots.show()
        self._scores.setVisible(bool(self._tiles))
        self.frame.show_ready()


def _figure(value: float, unit: str) -> str:
    if unit in SHARES:
        return f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%").replace("-", "\N{MINUS SIGN}")
    return f"{value:.3g} {unit}".replace("-", "\N{MINUS SIGN}")
