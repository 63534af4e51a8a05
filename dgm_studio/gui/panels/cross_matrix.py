"""The matrix page: the same datum under every conditioning, live, with frozen cells and rows of one's own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import CrossDatum, from_json, to_json
from dgm_studio.core.updates import Failed, Frame, Problem, Update
from dgm_studio.gui import icons, theme
from dgm_studio.gui.panels.cross_state import MOST_PINS, SPLITS, Bench, subset_words
from dgm_studio.gui.panels.cross_table import CrossTable, Line, Row
from dgm_studio.gui.panels.cross_values import ICONS, Cell
from dgm_studio.gui.panels.latent_room import FlowBox
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.stateframe import StateFrame

TOPIC, PIN = "matrix", "pin "
READABLE = 0.25  # s; a figure that changes faster cannot be read, and every change lays the head of the card out anew


class Toggle(QPushButton):
    """A word with an icon that is on or off."""

    def __init__(self, words: str, icon: str, parent: QWidget) -> None:
        super().__init__(words, parent)
        self._icon = icon
        self.setCheckable(True)
        self.setAccessibleName(words)
        self.toggled.connect(self._tint)
        theme.changed.connect(self._tint)
        self._tint()

    def _tint(self) -> None:
        self.setIcon(icons.icon(self._icon, "accent" if self.isChecked() else "text2"))
        self.setIconSize(icons.size())


class MatrixPage(QWidget):
    """See the module.

    Args:
        bench: What the parts share.

    Signals:
        example_known(): The datum's own values have come.
        told(str): What stands in the card's corner.
    """

    example_known = Signal()
    told = Signal(str)

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench = bench
        self.table = CrossTable(self)
        self.table.set_columns(bench.modalities)
        self.frame = StateFrame(self.table, self)
        self.frame.set_empty("The same datum under every conditioning.", "Show it", "grid")
        self._pinned: dict[tuple[Row, str], Cell] = {}
        self._known: tuple[Any, ...] = ()
        self._told_at = -READABLE
        self._asked: CrossDatum | None = None
        self._answered: CrossDatum | None = None
        self.chips = {m.name: Toggle(m.name, ICONS.get(m.kind, "grid"), self) for m in bench.modalities}
        self.add = Button("Add row", self, icon="plus")
        self.usual = Button("Usual rows", self)
        self.thaw = Button("Let all cells go", self, icon="pin")
        self._lay_out()
        self.table.cell_clicked.connect(self.toggle_pin)
        self.table.row_removed.connect(self.remove_row)
        self.add.clicked.connect(self.add_row)
        self.usual.clicked.connect(self._usual_rows)
        self.thaw.clicked.connect(self._let_go)
        self.frame.filled.connect(self.ask)
        self.frame.acted.connect(self.ask)
        for chip in self.chips.values():
            chip.toggled.connect(self._chips_changed)
        self._chips_changed()

    def _lay_out(self) -> None:
        self._foot = FlowBox(self, gap=theme.SPACE[1])
        self._foot.add(label("Condition on", "secondary", self))
        for widget in (*self.chips.values(), self.add, self.usual, self.thaw):
            self._foot.add(widget)
        self.add.setToolTip("Add a row for these modalities to the matrix")
        self.usual.setToolTip("Every subset up to four modalities; else singles, all but one, and all")
        self.thaw.setToolTip("Frozen cells become live again")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.frame, 1)
        column.addWidget(self._foot)

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask for what the state says; the last matrix stays until the new one is there."""
        self._asked = self.bench.state.question(self.bench.card.key)
        self.frame.show_waiting()
        self.bench.ask(TOPIC, self._asked)

    def current(self) -> bool:
        """Whether the matrix that is shown or on its way belongs to the state."""
        return self._asked == self.bench.state.question(self.bench.card.key)

    def forget(self) -> None:
        """Other weights: whatever was asked is old."""
        self._asked = None

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """A matrix, a frozen cell, or why there is none."""
        if topic.startswith(PIN):
            self._receive_pin(update, ticket)
        elif isinstance(update, Failed):
            self.frame.show_error(update.told(), update.action and "Try again", update.details)
        elif isinstance(update, Frame) and update.topic == TOPIC:
            self._answered = ticket.request
            self._show(update.data, ticket.request)
            self.frame.show_ready()

    def _show(self, data: Mapping[str, Any], asked: CrossDatum) -> None:
        bench = self.bench
        if (asked.given.index, asked.given.split) == (bench.state.index, bench.state.split):
            self._learn(data["given"], asked)
        kl = data.get("kl")
        notes = ["" if kl is None else f"KL {float(v):.1f} nats" for v in (kl if kl is not None else data["rows"])]
        truth = {m.name: data["given"].get(m.name) for m in bench.modalities}
        lines = [Line(tuple(row), self._cells(data, f"{n}", truth), notes[n]) for n, row in enumerate(data["rows"])]
        self.table.set_lines(lines, asked.samples)
        if time.monotonic() - self._told_at > READABLE:
            self._told_at = time.monotonic()
            self.told.emit(f"{float(data.get('milliseconds', 0.0)):.1f} ms")
        self.table.set_hint(self.bench.judges_words())

    def _learn(self, given: Mapping[str, Any], asked: CrossDatum) -> None:
        """The example's own values, of which the parts are told once and not at every answer."""
        example = self.bench.example
        own = {name: value for name, value in given.items() if name not in asked.given.values}
        known = (asked.given.split, asked.given.index, *sorted({*example, *own}))
        example.update(own)
        if known != self._known:
            self._known = known
            self.example_known.emit()
            self.show_state()

    def _cells(self, data: Mapping[str, Any], row: str, truth: Mapping[str, Any]) -> tuple[Cell, ...]:
        judged = data.get("judged") or {}
        return tuple(
            Cell(m, data["cells"].get(f"{row}/{m.name}", ()), truth.get(m.name), judged.get(f"{row}/{m.name}") or {})
            for m in self.bench.modalities
        )

    def show_state(self) -> None:
        """The datum, the frozen cells, what the buttons can do."""
        bench, state = self.bench, self.bench.state
        values = [bench.shown(m.name) for m in bench.modalities]
        cells = [Cell(m, () if value is None else (value,)) for m, value in zip(bench.modalities, values, strict=True)]
        self.table.set_datum(cells, f"{SPLITS[state.split]} {state.index}", tuple(state.values))
        self.usual.setVisible(bool(state.rows))
        self.thaw.setVisible(bool(state.pins))
        self._show_pins()

    # -- frozen cells --------------------------------------------------------------------------------------------------

    def toggle_pin(self, row: Row, column: str) -> None:
        """Freeze a cell as it is, or let it go."""
        bench = self.bench
        pins = [p for p in bench.state.pins if (tuple(p["row"]), p["column"]) != (row, column)]
        words = f"{column} from {subset_words(row)}"
        live = self.table.cell(row, column)
        if len(pins) < len(bench.state.pins):
            bench.set(f"Let go {words}", pins=tuple(pins))
        elif live is not None and self._answered is not None and len(pins) < MOST_PINS:
            self._pinned[row, column] = live
            asked = to_json(replace(self._answered, rows=(row,)))
            bench.set(f"Freeze {words}", pins=(*pins, {"row": row, "column": column, "asked": asked}))

    def pinned(self) -> dict[tuple[Row, str], Cell]:
        """The frozen cells."""
        return dict(self._pinned)

    def _show_pins(self) -> None:
        """Cells that the state knows and the page does not, after undo or a session, are asked for again."""
        wanted = {(tuple(p["row"]), str(p["column"])): p for p in self.bench.state.pins}
        self._pinned = {key: cell for key, cell in self._pinned.items() if key in wanted}
        for key, pin in wanted.items():
            if key not in self._pinned:
                self._ask_pin(key, pin)
        self.table.set_pins(self._pinned)

    def _ask_pin(self, key: tuple[Row, str], pin: Mapping[str, Any]) -> None:
        self._pinned[key] = Cell(self.bench.modality(key[1]))  # hatched until it comes
        try:
            asked = from_json(dict(pin["asked"]))
        except Problem:  # of another version: it stays hatched
            return
        self.bench.ask(f"{PIN}{'+'.join(key[0])}/{key[1]}", asked)

    def _receive_pin(self, update: Update, ticket: Ticket) -> None:
        if not isinstance(update, Frame):
            return
        row = tuple(update.data["rows"][0])
        for modality, cell in zip(
            self.bench.modalities, self._cells(update.data, "0", update.data["given"]), strict=True
        ):
            if (row, modality.name) in self._pinned:
                self._pinned[row, modality.name] = cell
        self.table.set_pins(self._pinned)

    def _let_go(self) -> None:
        self.bench.set("Let all cells go", pins=())

    # -- rows ----------------------------------------------------------------------------------------------------------

    def chosen(self) -> Row:
        """The modalities whose chips are on."""
        return tuple(name for name, chip in self.chips.items() if chip.isChecked())

    def add_row(self) -> None:
        """A row for the chips that are on."""
        row, rows = self.chosen(), self._shown_rows()
        if row and row not in rows:
            self.bench.set(f"Condition on {subset_words(row)}", rows=(*rows, row))
        self._chips_changed()

    def remove_row(self, row: Row) -> None:
        """Take a row away; the last one stays."""
        rows = [kept for kept in self._shown_rows() if kept != row]
        if rows:
            self.bench.set(f"Remove the row {subset_words(row)}", rows=tuple(rows))
        self._chips_changed()

    def _shown_rows(self) -> list[Row]:
        return list(self.bench.state.rows) or [line.given for line in self.table.lines()]

    def _usual_rows(self) -> None:
        self.bench.set("Show the usual rows", rows=())

    def _chips_changed(self) -> None:
        row = self.chosen()
        self.add.setEnabled(bool(row) and row not in self._shown_rows())
