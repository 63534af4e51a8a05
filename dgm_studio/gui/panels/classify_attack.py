"""The attack page: a small change that fools each classifier, what it reads before and after, whether it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import AttackPicture
from dgm_studio.core.updates import Cancelled, Done, Failed, Frame, Progress, Update
from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_state import JUDGE, METHODS, MOST, MOST_EPSILON, ClassBench, nats, percent
from dgm_studio.gui.panels.classify_table import ScoreGauge, shown_name, stamp_colour
from dgm_studio.gui.panels.cross_cells import mark
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.fold import Fold
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.lineplot import LinePlot, PlotLine
from dgm_studio.gui.widgets.painting import draw_picture, draw_text, fitted, follow_theme, plain_rounded, to_image
from dgm_studio.gui.widgets.progressline import ProgressLine
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.valueslider import ValueSlider

ATTACK = "attack"
HEAD, LINE, GAP, LEAST_ROW, MOST_PICTURE = 22, 18, 8, 126, 230
HEADS = ("Original", "Change", "Adversarial")
_CENTRE = Qt.AlignmentFlag.AlignCenter


class AttackTable(QWidget):
    """A row for each classifier that was attacked: three pictures, p(y | x) before and after."""

    def __init__(self, categories: tuple[str, ...], parent: QWidget) -> None:
        super().__init__(parent)
        self.categories = categories
        self._data: Mapping[str, Any] = {}
        self._truth = -1
        self._images: dict[str, tuple[QImage, ...]] = {}
        self.setAccessibleName("Attacked classifiers")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_attack(self, data: Mapping[str, Any], truth: int) -> None:
        """Show a Frame "attack"."""
        self._data, self._truth = data, truth
        self._print()
        self.setAccessibleDescription("; ".join(f"{name}: {self.words(name)}" for name in self.names()))
        self.updateGeometry()

    def set_truth(self, truth: int) -> None:
        """The class that is right; -1 when nobody knows."""
        self._truth = truth
        self.update()

    def names(self) -> tuple[str, ...]:
        """The classifiers that were attacked."""
        return tuple(self._data.get("adversarial") or ())

    def words(self, name: str) -> str:
        """What a classifier read before and reads now."""
        before, after = (np.asarray(self._data[when][name]) for when in ("before", "after"))
        return f"{self._read(before)} \N{RIGHTWARDS ARROW} {self._read(after)}"

    def transfer(self, name: str) -> str:
        """What another classifier reads on this one's adversarial picture."""
        crossed = (self._data.get("crossed") or {}).get(name)
        if crossed is None:
            return ""
        other = "Judge" if name != JUDGE else shown_name(next(iter(self._data["before"])))
        return f"{other} reads {self._read(np.asarray(crossed))}"

    def sizeHint(self) -> QSize:
        """Rows that can be read."""
        look = theme.current()
        return QSize(620, look.px(HEAD) + max(2, len(self.names())) * look.px(180))

    def minimumSizeHint(self) -> QSize:
        """Lower rows."""
        look = theme.current()
        return QSize(look.px(420), look.px(HEAD) + max(1, len(self.names())) * look.px(LEAST_ROW))

    def paintEvent(self, event: QPaintEvent) -> None:
        """What the columns are, then the rows."""
        names = self.names()
        if not names:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        head, high = look.px(HEAD), (self.height() - look.px(HEAD)) / len(names)
        side = self._side(high)
        for place, word in enumerate(HEADS):
            box = QRectF(place * (side + GAP), 0, side, head)
            draw_text(painter, box, word, look.font("caption"), look.colour("text2"))
        self._paint_legend(painter, QRectF(self._right(side), 0, self.width() - self._right(side), head))
        line = look.px(LINE)
        pitch = min(high, side + line + look.px(28))
        for row, name in enumerate(names):
            top = head + row * pitch
            self._paint_head(painter, name, row, QRectF(0, top, self.width(), line))
            top += line + 4
            self._paint_pictures(painter, name, top, side)
            self._paint_bars(painter, name, QRectF(self._right(side), top, self.width() - self._right(side), side))

    def _paint_legend(self, painter: QPainter, box: QRectF) -> None:
        look, left = theme.current(), box.left()
        font, ink = look.font("caption"), look.colour("text2")
        for word, token in (("p(y | x) before", "text2"), ("after", "accent")):
            plain_rounded(painter, QRectF(left, box.center().y() - 4, 8, 8), look.colour(token), 2)
            wide = QFontMetrics(font).horizontalAdvance(word) + 4
            draw_text(painter, QRectF(left + 13, box.top(), wide, box.height()), word, font, ink)
            left += wide + 28

    def _paint_head(self, painter: QPainter, name: str, row: int, box: QRectF) -> None:
        """Who was attacked, how far the picture is from the original, how probable it is now."""
        look = theme.current()
        plain_rounded(painter, QRectF(0, box.center().y() - 5, 10, 10), stamp_colour(row + 1), 2)
        strong = look.font("secondary", strong=True)
        wide = QFontMetrics(strong).horizontalAdvance(shown_name(name)) + 4
        draw_text(painter, box.adjusted(16, 0, 0, 0), shown_name(name), strong, look.colour("text"))
        moved = float((self._data.get("norm") or {}).get(name, 0.0))
        score = nats(float(self._data["log_prob"][name]))
        said = f"changed by up to {moved:.3f}, log p(x) {score}"
        draw_text(painter, box.adjusted(wide + 26, 0, 0, 0), said, look.font("caption"), look.colour("text2"))

    def _paint_pictures(self, painter: QPainter, name: str, top: float, side: float) -> None:
        for place, image in enumerate(self._images[name]):
            space = QRectF(place * (side + GAP), top, side, side)
            target = fitted(image.size(), space, self.devicePixelRatioF(), whole=False)
            draw_picture(painter, target, image, smooth=place != 1 and image.width() > 12)
            painter.setPen(QPen(theme.current().colour("line"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(target)

    def _paint_bars(self, painter: QPainter, name: str, box: QRectF) -> None:
        look, line = theme.current(), theme.current().px(LINE)
        before, after = (np.asarray(self._data[when][name], float) for when in ("before", "after"))
        head = QRectF(box.left(), box.top(), box.width() - look.px(18), line)
        draw_text(painter, head, self.words(name), look.figures("caption"), look.colour("text"))
        truth = self._truth if self._truth >= 0 else int(before.argmax())
        mark(painter, QPointF(box.right() - look.px(8), head.center().y()), int(after.argmax()) == truth)
        foot = QRectF(box.left(), box.bottom() - line, box.width(), line)
        draw_text(painter, foot, self.transfer(name), look.font("caption"), look.colour("text2"))
        area = box.adjusted(0, line + 6, 0, -(line + look.px(20)))
        step = area.width() / len(self.categories)
        wide = max(2.0, min(step * 0.36, look.px(14)))
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QPointF(area.left(), area.bottom() + 0.5), QPointF(area.right(), area.bottom() + 0.5))
        for place, word in enumerate(self.categories):
            x = area.left() + (place + 0.5) * step
            for share, left, token in ((before[place], x - wide, "text2"), (after[place], x + 1, "accent")):
                tall = max(1.0, float(share) * area.height())
                plain_rounded(painter, QRectF(left, area.bottom() - tall, wide, tall), look.colour(token), 2)
            right = place == self._truth
            under = QRectF(x - step / 2, area.bottom() + 3, step, look.px(14))
            ink = look.colour("text" if right else "text2")
            draw_text(painter, under, word, look.font("caption", strong=right), ink, _CENTRE)

    def _side(self, high: float) -> float:
        look = theme.current()
        return max(24.0, min(high - look.px(LINE) - 16, self.width() * 0.6 / 3 - GAP, look.px(MOST_PICTURE)))

    def _right(self, side: float) -> float:
        return 3 * (side + GAP) + theme.current().px(12)

    def _read(self, shares: np.ndarray[Any, Any]) -> str:
        best = int(shares.argmax())
        return f"{self.categories[best]} ({percent(float(shares[best]))})"

    def _print(self) -> None:
        """Pictures in the theme's ink; the change in colours of which the middle is nothing."""
        self._images = {}
        for name in self.names():
            change = np.asarray(self._data["difference"][name], float)
            most = max(float(np.abs(change).max()), 1e-9)
            grey = change.mean(-1) if change.ndim == 3 else change
            shades = theme.diverging()[np.rint(127.5 + 127.5 * grey / most).astype(int)]
            pictures = (np.asarray(self._data["original"]), shades, np.asarray(self._data["adversarial"][name]))
            self._images[name] = tuple(to_image(picture) for picture in pictures)
        self.update()


class AttackCard(Card):
    """How far, by which method, start and stop."""

    def __init__(self, bench: ClassBench, parent: QWidget) -> None:
        super().__init__("Attack", parent)
        self.bench = bench
        self.epsilon = ValueSlider("Epsilon", 0.0, MOST_EPSILON, 0.1, self)
        self.epsilon.setToolTip("Greatest change of a pixel; ink is 1")
        self.method = SegmentedControl(list(METHODS.values()), "Method of the attack", self)
        self.method.setToolTip("One step (Goodfellow et al. 2015), or several from random starts (Madry et al. 2018)")
        self.sliders = {
            "steps": ValueSlider("Steps", 1, MOST["steps"], 10, self, whole=True, log=True),
            "restarts": ValueSlider("Restarts", 1, MOST["restarts"], 2, self, whole=True),
            "draws": ValueSlider("Draws", 1, MOST["draws"], 4, self, whole=True),
        }
        self.sliders["draws"].setToolTip("Draws of z that every gradient is averaged over (Athalye et al. 2018)")
        self.start = Button("Attack", self, icon="play", primary=True)
        self.stop = Button("Stop", self, icon="stop")
        self.line = ProgressLine("Progress of the attack", self)
        self.words = WrappedLabel("secondary", self)
        self._more = Fold("More", self)
        self._lay_out()
        self.epsilon.moved.connect(self._on_epsilon)
        self.method.chosen.connect(self._on_method)
        for slider in (self.epsilon, *self.sliders.values()):
            slider.released.connect(self._on_released)
        for slider in self.sliders.values():
            slider.moved.connect(self._on_moved)
        self.show_running(False)
        self.say("")
        self.show_state()

    def _lay_out(self) -> None:
        self.add(self.epsilon)
        self.add(self.method)
        self.add(self.sliders["steps"])
        self.add(self.sliders["restarts"])
        self._more.body.addWidget(self.sliders["draws"])
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.start)
        row.addWidget(self.stop)
        row.addStretch(1)
        self.body.addLayout(row)
        self.add(self.line)
        self.add(self.words)
        self.add(self._more)

    def show_state(self) -> None:
        """The settings; one step needs no button."""
        state = self.bench.state
        single = state.method == "fgsm"
        self.epsilon.set_value(state.epsilon)
        self.method.set_index(list(METHODS).index(state.method))
        for name, slider in self.sliders.items():
            slider.set_value(getattr(state, name))
            slider.setVisible(name == "draws" or not single)
        self.start.setVisible(not single)
        self.stop.setVisible(not single)

    def show_running(self, running: bool) -> None:
        """Whether an attack of several steps is under way."""
        self.start.setEnabled(not running)
        self.stop.setEnabled(running)
        self.line.setVisible(running)
        if running:
            self.line.set_share(None)

    def say(self, words: str) -> None:
        """How it ended."""
        self.words.setText(words)
        self.words.setVisible(bool(words))

    def _on_epsilon(self, value: float) -> None:
        self.bench.set(epsilon=round(value, 4))

    def _on_method(self, place: int) -> None:
        method = list(METHODS)[place]
        self.bench.set(f"Attack by {METHODS[method]}", method=method)

    def _on_moved(self, _: float) -> None:
        settings: dict[str, Any] = {name: round(slider.value()) for name, slider in self.sliders.items()}
        self.bench.set(**settings)

    def _on_released(self) -> None:
        self.bench.committed.emit("Change the attack")


class AttackPage(QWidget):
    """The table, the gauge before and after, the loss over the steps."""

    told = Signal(str)

    def __init__(self, bench: ClassBench, card: AttackCard, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench, self.settings = bench, card
        self.asked: AttackPicture | None = None
        self._shown: AttackPicture | None = None
        self._ticket: Ticket | None = None
        inner = QWidget(self)
        self.table = AttackTable(bench.categories, inner)
        self.gauge = ScoreGauge("log p(x) before and after", inner)
        self.loss = LinePlot("Loss over the steps", inner, x_title="Step", y_title="Cross-entropy, nats")
        self.frame = StateFrame(inner, self)
        self.frame.set_empty(
            "A change too small to matter to the eye, found by the classifier's own gradient.", "Attack"
        )
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(self.table, 3)
        head = label("log p(x) before and after", "heading", inner)
        column.addWidget(head)
        column.addWidget(self.gauge)
        column.addWidget(self.loss, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.frame)
        self.loss.hide()
        theme.changed.connect(self._fit)
        self._fit()
        self.frame.filled.connect(self.start)
        self.frame.acted.connect(self.start)
        card.start.clicked.connect(self.start)
        card.stop.clicked.connect(self.stop)

    def _fit(self) -> None:
        self.loss.setMinimumHeight(theme.current().px(140))

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """One step is taken at once; several wait for the button, and what is shown gets a mark."""
        wanted = self.bench.state.attack(self.bench.card.key)
        if wanted.method != "fgsm":
            self.show_stale()
        elif wanted != self._shown:
            self._send(wanted)

    def show_stale(self) -> None:
        """Whether what is shown belongs to older settings."""
        wanted = self.bench.state.attack(self.bench.card.key)
        self.frame.set_stale(self._shown is not None and self._shown != wanted)

    def show_truth(self) -> None:
        """The example's class has come."""
        if self._shown is not None:
            self.table.set_truth(self.bench.truth())

    def start(self) -> None:
        """Attack now."""
        self._send(self.bench.state.attack(self.bench.card.key))

    def stop(self) -> None:
        """Stop; what came so far stays."""
        self.bench.ask.cancel(ATTACK)
        self._end("Stopped; the last step stays." if self._shown else "Stopped.")
        if self._shown is None:
            self.frame.show_empty()
        else:
            self.frame.show_ready()
            self.show_stale()

    def forget(self) -> None:
        """Other weights."""
        self.asked, self._shown = None, None

    def _send(self, wanted: AttackPicture) -> None:
        if wanted == self.asked:
            return
        self.asked = wanted
        self.frame.show_waiting()
        self.settings.say("")
        self.settings.show_running(wanted.method != "fgsm")
        self._ticket = self.bench.ask(ATTACK, wanted)

    # -- answers -------------------------------------------------------------------------------------------------------

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """Steps of the attack, or why there is none."""
        newest = self.asked is not None and ticket.request == self.asked
        if isinstance(update, Frame):
            self._show(update.data, ticket.request)
        elif isinstance(update, Progress) and newest:
            self.settings.line.set_share(update.done / update.total if update.total else None)
        elif isinstance(update, Failed):
            self._end("")
            self.frame.show_error(update.told(), update.action and "Try again", update.details)
        elif isinstance(update, Done | Cancelled) and newest:
            self._end(self.settings.words.text())

    def _end(self, words: str) -> None:
        self.asked = None
        self.settings.show_running(False)
        self.settings.say(words)

    def _show(self, data: Mapping[str, Any], asked: AttackPicture) -> None:
        bench = self.bench
        bench.threshold = float(data["threshold"]) if math.isfinite(float(data["threshold"])) else bench.threshold
        self.table.set_attack(data, bench.truth())
        scores = {str(k): float(v) for k, v in data["log_prob"].items()}
        self.gauge.set_scores({"original": scores.pop("original"), **scores}, bench.threshold)
        loss = {name: np.asarray(each, float) for name, each in (data.get("loss") or {}).items()}
        longest = max((len(each) for each in loss.values()), default=0)
        self.loss.setVisible(asked.method != "fgsm")
        lines = [
            PlotLine(shown_name(name), _padded(each, longest), theme.CATEGORIES[place])
            for place, (name, each) in enumerate(loss.items(), 1)
        ]
        most = max((float(np.nanmax(each)) for each in loss.values() if len(each)), default=1.0)
        self.loss.set_lines(np.arange(1, longest + 1), lines if longest else (), 0.0, rounded_up(most))
        self._shown = asked
        self.frame.show_ready()
        self.show_stale()
        several = int(data["steps"]) > 1
        self.told.emit(f"step {data['step']} of {data['steps']}" if several else "one step")


def _padded(values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    return np.concatenate([values, np.full(count - len(values), math.nan)])


def rounded_up(value: float) -> float:
    """The next even number of the leading figure, so that an axis and its middle are plain numbers.

    >>> rounded_up(14.4), rounded_up(0.031), rounded_up(0.0)
    (20.0, 0.04, 1.0)
    """
    if not value > 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{next(power * step for step in (1.0, 2.0, 4.0, 6.0, 8.0, 10.0) if power * step >= value):.6g}")
