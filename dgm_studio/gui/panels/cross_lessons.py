"""The lessons: where all is known and the bound is exact, and what known mistakes look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ProveExactness, ShowWrong
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross_state import WRONG, Bench, subset_words
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import draw_text, follow_theme, plain_rounded
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame

EXACT, MISTAKE = "exactness", "wrong"
COLUMNS = ("Given", "ELBO", "log p, exact", "Gap", "Without the prior expert", "Gap then")
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class RightWrongBars(QWidget):
    """Two bars for each figure: as it should be, and with the mistake."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows: tuple[tuple[str, float, float, float], ...] = ()
        self._unit = ""
        self.setAccessibleName("Right against wrong")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def show_figures(
        self, right: Mapping[str, float], wrong: Mapping[str, float], errors: Mapping[str, float], unit: str
    ) -> None:
        """Figures of the same names."""
        self._rows = tuple(
            (name, float(value), float(wrong.get(name, math.nan)), float(errors.get(name, 0.0)))
            for name, value in right.items()
        )
        self._unit = unit
        said = "; ".join(f"{n}: right {r:.4g}, wrong {w:.4g} {unit}" for n, r, w, _ in self._rows)
        self.setAccessibleDescription(said)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """A heading and two bars each."""
        return QSize(320, max(1, len(self._rows)) * theme.current().px(66))

    def minimumSizeHint(self) -> QSize:
        """Likewise."""
        return QSize(220, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Bars from zero, in words which is which."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        each, line = look.px(66), look.px(20)
        named, figures = look.px(48), look.px(110)
        for place, (name, right, wrong, error) in enumerate(self._rows):
            top = place * each
            head = QRectF(0, top, self.width(), line)
            font = look.font("secondary", strong=True)
            draw_text(painter, head, name, font, look.colour("text"))
            beside = head.adjusted(QFontMetrics(font).horizontalAdvance(name) + 8, 0, 0, 0)
            draw_text(painter, beside, self._unit, look.font("caption"), look.colour("text2"))
            most = max((abs(v) + error for v in (right, wrong) if math.isfinite(v)), default=1.0) or 1.0
            groove = max(20.0, self.width() - named - figures)
            for row, (word, value, token) in enumerate((("right", right, "good"), ("wrong", wrong, "bad"))):
                y = top + line + row * line
                draw_text(painter, QRectF(0, y, named, line), word, look.font("caption"), look.colour(token))
                box = QRectF(named, y + 5, groove, line - 10)
                plain_rounded(painter, box, look.colour("bg3", 0.6), 3)
                if math.isfinite(value):
                    share = abs(value) / most
                    bar = QRectF(box.left(), box.top(), max(2.0, share * groove), box.height())
                    plain_rounded(painter, bar, look.colour(token, 0.8), 3)
                    if error:
                        painter.setPen(QPen(look.colour("text"), 1.5))
                        half = error / most * groove
                        middle = box.center().y()
                        painter.drawLine(
                            QRectF(bar.right() - half, middle, 2 * half, 0).topLeft(),
                            QRectF(bar.right() - half, middle, 2 * half, 0).topRight(),
                        )
                said = number(float(f"{value:.4g}")) if math.isfinite(value) else "…"
                at = QRectF(self.width() - figures, y, figures, line)
                draw_text(painter, at, said, look.figures("caption"), look.colour("text"), _RIGHT)


class ExactCard(Card):
    """A linear-Gaussian model: the bound of every subset is the log-likelihood, and the estimator finds it."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Exactness", parent)
        self.bench = bench
        self.seed = 0
        self.words = WrappedLabel("secondary", self)
        self.words.setText(
            "Linear-Gaussian weights with the true posterior: the ELBO of every subset is the exact log-likelihood, as"
            " long as the prior is one of the experts."
        )
        self.prove = Button("Prove it", self, primary=True)
        self.others = Button("Other weights", self, icon="random")
        self._inner = QWidget(self)
        self._column = QVBoxLayout(self._inner)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._table = QWidget(self._inner)
        self._mixture = WrappedLabel("secondary", self._inner)
        self._column.addWidget(self._table)
        self._column.addWidget(self._mixture)
        self.frame = StateFrame(self._inner, self)
        self.frame.set_empty("ELBO and exact log-likelihood of every subset, side by side.", icon="check")
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.prove)
        row.addWidget(self.others)
        row.addStretch(1)
        self.add(self.words)
        self.body.addLayout(row)
        self.add(self.frame, 1)
        self.prove.clicked.connect(self.ask)
        self.others.clicked.connect(self._other)

    def ask(self) -> None:
        """Work it out."""
        self.frame.show_waiting()
        self.bench.ask(EXACT, ProveExactness(self.seed, max(2, min(3, len(self.bench.modalities)))))

    def _other(self) -> None:
        self.seed += 1
        self.ask()

    def receive(self, update: Update) -> None:
        """The table, or why there is none."""
        if isinstance(update, Failed):
            self.frame.show_error(update.sentence, "", update.details)
        elif isinstance(update, Frame):
            self._show(update.data)
            self.frame.show_ready()

    def _show(self, data: Mapping[str, Any]) -> None:
        table = QWidget(self._inner)
        grid = QGridLayout(table)
        grid.setContentsMargins(0, theme.SPACE[1], 0, 0)
        grid.setHorizontalSpacing(theme.SPACE[3])
        for column, words in enumerate(COLUMNS):
            grid.addWidget(_cell(words, "section", table, right=column > 0), 0, column)
        for row, entry in enumerate(data["rows"], 1):
            good = abs(float(entry["gap"])) < 1e-9
            figures = (
                (subset_words(tuple(entry["given"])), ""),
                (_nats(entry["elbo"]), "figures"),
                (_nats(entry["exact"]), "figures"),
                (_tiny(entry["gap"]), "good" if good else "bad"),
                (_nats(entry["elbo without the prior expert"]), "figures"),
                (_tiny(entry["gap without the prior expert"]), "bad"),
            )
            for column, (words, role) in enumerate(figures):
                grid.addWidget(_cell(words, role, table, right=column > 0), row, column)
        grid.setColumnStretch(len(COLUMNS), 1)
        self._column.replaceWidget(self._table, table)
        self._table.deleteLater()
        self._table = table
        mixture = data.get("mixture") or {}
        if mixture:
            apart = abs(float(mixture["estimate"]) - float(mixture["exact"])) / (float(mixture["error"]) or math.inf)
            self._mixture.setText(
                f"Stratified mixture estimator: {_nats(mixture['estimate'])} ± {float(mixture['error']):.2g}, exact"
                f" {_nats(mixture['exact'])} nats, {apart:.1f} standard errors apart. All figures in nats, seed"
                f" {data.get('seed', self.seed)}."
            )

    def words_shown(self) -> str:
        """The sentence under the table."""
        return self._mixture.text()


class WrongCard(Card):
    """The menu of known mistakes."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Known wrong", parent)
        self.bench = bench
        self.choice = SegmentedControl([kind.capitalize() for kind in WRONG], "Known mistake", self)
        self.show_it = Button("Show the symptom", self, primary=True)
        inner = QWidget(self)
        self.sentence = WrappedLabel("heading", inner)
        self.bars = RightWrongBars(inner)
        self.symptom = WrappedLabel("secondary", inner)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, theme.SPACE[1], 0, 0)
        column.setSpacing(theme.SPACE[2])
        for widget in (self.sentence, self.bars, self.symptom):
            column.addWidget(widget)
        column.addStretch(1)
        self.frame = StateFrame(inner, self)
        self.frame.set_empty("Mistakes that train without complaint, each beside the right way.", icon="warning")
        row = QHBoxLayout()
        row.addWidget(self.show_it)
        row.addStretch(1)
        self.add(self.choice)
        self.body.addLayout(row)
        self.add(self.frame, 1)
        self.choice.chosen.connect(self._on_chosen)
        self.show_it.clicked.connect(self._on_show)

    def show_state(self) -> None:
        """The kind that is chosen."""
        if self.bench.state.wrong:
            self.choice.set_index(WRONG.index(self.bench.state.wrong))

    def ask(self) -> None:
        """Show the mistake that is chosen."""
        self.frame.show_waiting()
        self.bench.ask(MISTAKE, ShowWrong(self.bench.card.key, WRONG[self.choice.index()], self.bench.state.seed))

    def receive(self, update: Update) -> None:
        """A growing answer, or why there is none."""
        if isinstance(update, Failed):
            self.frame.show_error(update.sentence, "", update.details)
        elif isinstance(update, Frame):
            data = update.data
            self.sentence.setText(str(data["sentence"]))
            self.symptom.setText(str(data["symptom"]))
            self.bars.show_figures(data["right"], data["wrong"], data.get("errors") or {}, str(data.get("unit", "")))
            self.frame.show_ready()

    def _on_chosen(self, place: int) -> None:
        self.bench.set(f"Show {WRONG[place]}", wrong=WRONG[place])
        self.ask()

    def _on_show(self) -> None:
        self._on_chosen(self.choice.index())


class LessonsPage(QWidget):
    """Exactness over the known mistakes."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__(parent)
        inner = QWidget(self)
        inner.setObjectName("scrolled")
        self.exact, self.wrong = ExactCard(bench, inner), WrongCard(bench, inner)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[2])
        column.addWidget(self.exact, 1)
        column.addWidget(self.wrong, 1)
        area = QScrollArea(self)
        area.setAccessibleName("Lessons")
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setWidget(inner)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """To the card that asked."""
        (self.exact if topic == EXACT else self.wrong).receive(update)


def _cell(words: str, role: str, parent: QWidget, *, right: bool) -> QWidget:
    made = label(words, role, parent)
    if right:
        made.setAlignment(_RIGHT)
    return made


def _nats(value: Any) -> str:
    return f"{float(value):.4f}".replace("-", "\N{MINUS SIGN}")


def _tiny(value: Any) -> str:
    small = abs(float(value)) < 1e-3
    return (f"{float(value):.1e}" if small else f"{float(value):.4f}").replace("-", "\N{MINUS SIGN}") if value else "0"
