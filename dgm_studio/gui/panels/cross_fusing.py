"""How the experts become one: the rule, the prior as an expert, the precision of each; matrix and plane share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QKeyEvent, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QCheckBox, QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.cross_state import MOST_PRECISION, RULES, Bench
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.painting import draw_text, follow_theme, plain_rounded
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.valueslider import ValueSlider

PRIOR = "prior"


def expert_colour(bench: Bench, name: str) -> QColor:
    """The colour of an expert, the same in every part of the panel; the prior's is grey."""
    names = [m.name for m in bench.modalities]
    if name not in names:
        return theme.current().colour("text2")
    return theme.line_colour(theme.category(names.index(name)).name())


class RuleChoice(SegmentedControl):
    """The rules of fusion; one that means nothing on these encoders cannot be chosen and says why."""

    def __init__(self, parent: QWidget) -> None:
        self._reasons: tuple[str, ...] = ("",) * len(RULES)
        self._stepping = False
        super().__init__(list(RULES.values()), "Rule of fusion", parent)

    def set_reasons(self, reasons: Mapping[str, str]) -> None:
        """By rule, why it means nothing here; "" where it does."""
        told = tuple(str(reasons.get(rule, "")) for rule in RULES)
        if told != self._reasons:
            self._reasons = told
            self._describe()
            self.update()

    def told(self) -> str:
        """What cannot be chosen, and why."""
        parts = zip(RULES.values(), self._reasons, strict=True)
        return " ".join(f"{name}: {reason}" for name, reason in parts if reason)

    def event(self, event: QEvent) -> bool:
        """The reason is the tooltip."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self._at(QPointF(event.pos()))
            if index >= 0 and self._reasons[index]:
                QToolTip.showText(event.globalPos(), self._reasons[index], self)
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows step over what cannot be chosen."""
        self._stepping = True
        super().keyPressEvent(event)
        self._stepping = False

    def _describe(self) -> None:
        super()._describe()
        self.setAccessibleDescription(f"{self.accessibleDescription()}. {self.told()}".strip())

    def _choose(self, index: int) -> None:
        if 0 <= index < len(self._reasons) and self._reasons[index]:
            beyond = index + (1 if index > self.index() else -1)
            if self._stepping and 0 <= beyond < len(self._reasons) and not self._reasons[beyond]:
                index = beyond
            else:
                return
        super()._choose(index)

    def _paint_cell(self, painter: QPainter, index: int, cell: QRectF, outline: QPainterPath) -> None:
        if self._reasons[index]:
            painter.setOpacity(0.4)
        super()._paint_cell(painter, index, cell, outline)
        painter.setOpacity(1.0)


class PrecisionSlider(ValueSlider):
    """A factor from a thousandth to a thousand, filled from 1; double-click gives 1."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(name, 1 / MOST_PRECISION, MOST_PRECISION, 1.0, parent, log=True)
        self._track.configure(1 / MOST_PRECISION, MOST_PRECISION, origin=1.0, reset=1.0)
        self.set_value(1.0)
        self._track.setAccessibleName(f"Precision of {name}")
        self.setToolTip("Factor on this expert's precision; the weight of its component in a mixture")

    def reset(self) -> None:
        """Back to 1."""
        self._track.reset()


class FusingCard(Card):
    """See the module.

    Signals:
        precision_moved(str): This expert's slider was moved.
    """

    precision_moved = Signal(str)

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Fusion", parent)
        self.bench = bench
        self.rule = RuleChoice(self)
        self.why = WrappedLabel("secondary", self)
        self.prior = QCheckBox("The prior is an expert", self)
        self.prior.setAccessibleName("The prior is an expert")
        self.prior.setToolTip("Wu and Goodman (2018): the product of experts holds the prior for every subset.")
        self.sliders: dict[str, PrecisionSlider] = {}
        self.add(self.rule)
        self.add(self.why)
        self.add(self.prior)
        self.add(label("Precision", "section", self))
        for modality in bench.modalities:
            slider = PrecisionSlider(modality.name, self)
            slider.setProperty("expert", modality.name)
            slider.moved.connect(self._on_moved)
            slider.released.connect(self._on_released)
            self.sliders[modality.name] = slider
            self.add(slider)
        self.rule.chosen.connect(self._on_rule)
        self.prior.clicked.connect(self._on_prior)
        self.show_state()

    def show_state(self) -> None:
        """Rule, prior, factors, and what cannot be chosen."""
        state, about = self.bench.state, self.bench.about
        trained = str(about.get("rule", "") or "poe")
        rule = state.rule or trained
        reasons = about.get("rules") or {}
        self.rule.set_reasons(reasons)
        if rule in RULES:
            self.rule.set_index(list(RULES).index(rule))
        self.why.setText(self._words(rule, trained, reasons))
        self.prior.setChecked(state.prior_expert)
        self.prior.setVisible(rule != "moe")  # a mixture asks each expert alone
        for name, slider in self.sliders.items():
            slider.set_value(state.precision.get(name, 1.0))
            slider.setEnabled(name not in state.missing)

    def _words(self, rule: str, trained: str, reasons: Mapping[str, Any]) -> str:
        told = "As it was trained." if rule == trained else f"Trained as {RULES.get(trained, trained).lower()}."
        refused = [f"{RULES[name]}: {why}" for name, why in reasons.items() if why and name in RULES]
        return "\n".join([told, *refused])

    def _on_rule(self, place: int) -> None:
        rule = list(RULES)[place]
        trained = str(self.bench.about.get("rule", "") or "poe")
        self.bench.set(f"Fuse by {RULES[rule].lower()}", rule="" if rule == trained else rule)

    def _on_prior(self, on: bool) -> None:
        self.bench.set("Prior as an expert" if on else "No prior expert", prior_expert=on)

    def _on_moved(self, factor: float) -> None:
        name = str(self.sender().property("expert"))
        near = round(float(factor), 6)
        self.bench.set(precision={**self.bench.state.precision, name: near})
        self.precision_moved.emit(name)

    def _on_released(self) -> None:
        self.bench.committed.emit(f"Precision of {self.sender().property('expert')}")


class ShareBars(QWidget):
    """A bar with its figure for each expert."""

    def __init__(self, name: str, unit: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows: tuple[tuple[str, float, QColor], ...] = ()
        self._unit, self._most = unit, 1.0
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def show_rows(self, rows: Mapping[str, float], colours: Mapping[str, QColor], most: float = 0.0) -> None:
        """Show figures by expert; the longest bar stands for `most`, the largest figure by default."""
        self._rows = tuple((name, float(value), colours[name]) for name, value in rows.items())
        self._most = most or max((value for _, value, _ in self._rows), default=1.0) or 1.0
        said = ", ".join(f"{name} {self._figure(value)}" for name, value, _ in self._rows)
        self.setAccessibleDescription(said)
        self.setToolTip(said)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """A line each."""
        return QSize(200, max(1, len(self._rows)) * theme.current().px(20))

    def minimumSizeHint(self) -> QSize:
        """A line each."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Name, bar, figure."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetrics(look.figures("caption"))
        widest = max((metrics.horizontalAdvance(self._figure(value)) for _, value, _ in self._rows), default=0)
        line, named, figures = look.px(20), look.px(96), max(look.px(62), widest + 2)
        for row, (name, value, colour) in enumerate(self._rows):
            top = row * line
            dot = QPointF(look.px(5), top + line / 2)
            painter.setPen(colour)
            painter.setBrush(colour)
            painter.drawEllipse(dot, look.px(4), look.px(4))
            text = QRectF(look.px(14), top, named - look.px(14), line)
            draw_text(painter, text, name, look.font("secondary"), look.colour("text2"))
            groove = QRectF(named + 4, top + line / 2 - 3, max(10.0, self.width() - named - figures - 8), 6)
            plain_rounded(painter, groove, look.colour("bg3"), 3)
            share = min(max(value / self._most, 0.0), 1.0)
            plain_rounded(painter, QRectF(groove.left(), groove.top(), max(2.0, groove.width() * share), 6), colour, 3)
            figure = QRectF(self.width() - figures, top, figures, line)
            draw_text(painter, figure, self._figure(value), look.figures("caption"), look.colour("text"), _RIGHT)

    def _figure(self, value: float) -> str:
        if self._unit == "%":
            return f"{value:.0%}".replace("%", " %")
        return f"{value:.1f} {self._unit}" if value < 100 else f"{value:,.0f} {self._unit}"


_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
