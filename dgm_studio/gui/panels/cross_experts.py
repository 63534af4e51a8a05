"""The expert view: what every modality believes about z, the prior, and the joint they make, in a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import ShowExperts
from dgm_studio.core.updates import Failed, Frame, Update
from dgm_studio.gui import theme
from dgm_studio.gui.form import QuietCombo
from dgm_studio.gui.panels.cross_fusing import PRIOR, ShareBars, expert_colour
from dgm_studio.gui.panels.cross_state import RULES, Bench, subset_words
from dgm_studio.gui.panels.latent_room import FlowBox, WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.chip import Chip
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.plane import PlaneView
from dgm_studio.gui.widgets.planeparts import Curve
from dgm_studio.gui.widgets.stateframe import StateFrame

TOPIC = "experts"
SETTLE_MS = 350  # after the last move of the plane
REASK_MS = 90  # while it moves
JOINT = "joint"
CLEAR = 16.0  # pixels from a centre to the middle of its name, however small the ellipse
Square = npt.NDArray[np.float64]


class ExpertPlane(PlaneView):
    """A plane with the experts' ellipses over the joint's density."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Experts in the latent plane", parent, home=4.0)
        self._gaussians: tuple[tuple[str, Square, Square, QColor, bool, float], ...] = ()
        self._density: tuple[QRectF, Square] | None = None
        self.resizing = False
        theme.changed.connect(self._tint)

    def set_gaussians(self, gaussians: tuple[tuple[str, Square, Square, QColor, bool, float], ...]) -> None:
        """Name, mean [2], covariance [2, 2], colour, dashed, width of the line of each."""
        self._gaussians = gaussians
        self.update()

    def gaussians(self) -> tuple[str, ...]:
        """The names of those that are shown."""
        return tuple(name for name, *_ in self._gaussians)

    def set_density(self, x: Square, y: Square, density: Square) -> None:
        """The joint's density, [B, A] at y [B] and x [A]."""
        step_x, step_y = (x[-1] - x[0]) / max(len(x) - 1, 1), (y[-1] - y[0]) / max(len(y) - 1, 1)
        place = QRectF(x[0] - step_x / 2, y[0] - step_y / 2, step_x * len(x), step_y * len(y))
        self._density = (place, density / (float(density.max()) or 1.0))
        self._tint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """More or less of the plane is in sight, and no hand has moved it."""
        self.resizing = True
        super().resizeEvent(event)
        self.resizing = False

    def paintEvent(self, event: QPaintEvent) -> None:
        """One and two standard deviations of each, and over them the names, none of which covers another."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for _, mean, covariance, colour, dashed, width in self._gaussians:
            self._paint_gaussian(painter, mean, covariance, colour, dashed=dashed, width=width)
        painter.setFont(theme.current().font("caption"))
        for name, box in self.name_boxes(painter.fontMetrics()):
            self._write(painter, box.topLeft(), name)

    def name_boxes(self, metrics: QFontMetrics) -> list[tuple[str, QRectF]]:
        """Where the names stand: over their ellipses, moved up while another name is there."""
        window, high = self.window_shown(), float(theme.current().px(18))
        found: list[tuple[str, QRectF]] = []
        for name, mean, covariance, *_ in self._gaussians:
            centre = window.to_pixels(float(mean[0]), float(mean[1]))
            if not name or not QRectF(self.rect()).contains(centre):
                continue
            reach = max(2 * math.sqrt(max(float(covariance[1, 1]), 0.0)) * window.scale, CLEAR)
            box = QRectF(centre.x() - 12, centre.y() - reach - high / 2, metrics.horizontalAdvance(name) + 9, high)
            box.moveTop(max(box.top(), 0.0))
            while box.top() > 0 and any(box.intersects(other) for _, other in found):
                box.moveTop(max(0.0, box.top() - 4.0))
            found.append((name, box))
        return found

    def _paint_gaussian(
        self,
        painter: QPainter,
        mean: Square,
        covariance: Square,
        colour: QColor,
        *,
        dashed: bool,
        width: float,
    ) -> None:
        values, vectors = np.linalg.eigh(covariance)
        angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
        window = self.window_shown()
        centre = window.to_pixels(float(mean[0]), float(mean[1]))
        radii = np.sqrt(np.maximum(values, 0.0)) * window.scale
        painter.save()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.translate(centre)
        painter.rotate(-angle)
        for sigmas, strength in ((1.0, 1.0), (2.0, 0.55)):
            shade = QColor(colour)
            shade.setAlphaF(strength)
            pen = QPen(shade, width)
            if dashed:
                pen.setDashPattern([4, 3])
            painter.setPen(pen)
            painter.drawEllipse(QPointF(0, 0), float(radii[1]) * sigmas, float(radii[0]) * sigmas)
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(0, 0), 2.5, 2.5)
        painter.restore()

    def _tint(self) -> None:
        """The density in the accent's colour on paper; printed anew when the theme changes."""
        if self._density is None:
            return
        place, density = self._density
        look = theme.current()
        paper, ink = _rgb(look.colour("paper")), _rgb(look.colour("accent"))
        share = (0.6 * np.sqrt(density))[::-1, :, None]  # the first row of a tile lies at the larger y
        picture = np.rint(paper + (ink - paper) * share).astype(np.uint8)
        self.clear_tiles()
        self.add_tile(place, np.ascontiguousarray(picture))


class SharesCard(Card):
    """Who decides, and how far the joint is from each."""

    def __init__(self, bench: Bench, parent: QWidget) -> None:
        super().__init__("Who decides", parent)
        self.bench = bench
        self.shares = ShareBars("Share of the joint's precision", "%", self)
        self.kl = ShareBars("KL of the joint from each expert", "nats", self)
        self.shares_words = label("Share of the joint's precision", "secondary", self)
        self.add(self.shares_words)
        self.add(self.shares)
        self.add(label("KL(joint \N{DOUBLE VERTICAL LINE} expert)", "secondary", self))
        self.add(self.kl)

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """Show a Frame "experts"."""
        shares, kl = data.get("shares") or {}, data.get("kl") or {}
        self.shares.show_rows(shares, {name: expert_colour(self.bench, name) for name in shares}, most=1.0)
        self.kl.show_rows(kl, {name: expert_colour(self.bench, name) for name in kl})


class ExpertsPage(QWidget):
    """The plane, its axes and the switches of the experts."""

    told = Signal(str)

    def __init__(self, bench: Bench, shares: SharesCard, parent: QWidget) -> None:
        super().__init__(parent)
        self.bench, self.shares = bench, shares
        self.plane = ExpertPlane(self)
        self.frame = StateFrame(self.plane, self)
        self.frame.set_empty("What every modality believes about z.", "Show the experts", "target")
        self.across, self.up = QuietCombo(self), QuietCombo(self)
        self.fit = IconButton("fit", "Show the whole plane", self)
        self.chips = {m.name: Chip(m.name, self, dot=theme.category(0).name()) for m in bench.modalities}
        self.why = WrappedLabel("secondary", self)
        self._asked: ShowExperts | None = None
        self._data: Mapping[str, Any] = {}
        self._showing = False
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._reask = QTimer(self, singleShot=True, interval=REASK_MS)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        names = [f"z{n:02d}" for n in range(self.bench.card.latent)]
        for box, words in ((self.across, "Latent across"), (self.up, "Latent upwards")):
            box.addItems(["auto", *names])
            box.setAccessibleName(words)
            box.setToolTip(f"{words}; auto takes the two in which the experts differ most")
            box.setMinimumWidth(64)
        head = FlowBox(self, gap=theme.SPACE[1])
        for place, (name, chip) in enumerate(self.chips.items()):
            chip.set_dot(theme.category(place).name())
            chip.setToolTip(f"Whether {name} takes part")
            head.add(chip)
        for widget in (label("Axes", "secondary", self), self.across, self.up, self.fit):
            head.add(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        column.addWidget(head)
        column.addWidget(self.frame, 1)
        foot = QHBoxLayout()
        foot.addWidget(self.why, 1)
        column.addLayout(foot)

    def _connect(self) -> None:
        for name, chip in self.chips.items():
            chip.setProperty("expert", name)
            chip.clicked.connect(self._on_chip)
        self.across.activated.connect(self._on_axes)
        self.up.activated.connect(self._on_axes)
        self.fit.clicked.connect(self.plane.fit)
        self.plane.view_changed.connect(self._on_view)
        self._settle.timeout.connect(self._on_settled)
        self._reask.timeout.connect(self._on_reask)
        self.frame.filled.connect(self.ask)
        self.frame.acted.connect(self.ask)
        theme.changed.connect(self._draw)

    # -- asking --------------------------------------------------------------------------------------------------------

    def request(self) -> ShowExperts:
        """What the plane shows."""
        state, given = self.bench.state, self.bench.state.given()
        on = tuple(name for name in state.on if name not in state.missing)
        shown = self.plane.shown()
        longer, shorter = max(shown.width(), shown.height()), min(shown.width(), shown.height()) or 1.0
        reach = round(state.reach * longer / shorter, 4)  # the density fills the canvas, whatever its shape
        return ShowExperts(self.bench.card.key, given, on, state.fusing(), state.axes, reach, state.centre)

    def ask(self) -> None:
        """Ask for what the state says, unless that is what was asked last."""
        request = self.request()
        if request != self._asked:
            self._asked = request
            self.frame.show_waiting()
            self.bench.ask(TOPIC, request)

    def forget(self) -> None:
        """Other weights: whatever was asked is old."""
        self._asked = None

    def receive(self, topic: str, update: Update, ticket: Ticket) -> None:
        """The experts, or why there are none."""
        if isinstance(update, Failed):
            self._asked = None
            self.frame.show_error(update.told(), update.action and "Try again", update.details)
        elif isinstance(update, Frame):
            self._data = update.data
            self._draw()
            self.shares.show_answer(update.data)
            self.frame.show_ready()

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_state(self) -> None:
        """Axes, switches, the part of the plane."""
        state = self.bench.state
        self._showing = True
        for box, axis in zip((self.across, self.up), state.axes, strict=True):
            box.setCurrentIndex(axis + 1 if -1 <= axis < box.count() - 1 else 0)
        taking = self._taking()
        for name, chip in self.chips.items():
            chip.setEnabled(name not in state.missing)
            chip.set_on(name in taking)
        reach, (x, y) = state.reach, state.centre
        shown = self.plane.shown()
        middle = shown.center()
        same = abs(min(shown.width(), shown.height()) / 2 - reach) < 0.02 * reach
        near = math.hypot(middle.x() - x, middle.y() - y) < 0.02 * reach
        if not (same and near) and not self._settle.isActive():
            self.plane.show_rect(QRectF(x - reach, y - reach, 2 * reach, 2 * reach))
        self._showing = False

    def _taking(self) -> tuple[str, ...]:
        state = self.bench.state
        known = [m.name for m in self.bench.modalities if m.name not in state.missing]
        return tuple(name for name in known if name in state.on) if state.on else tuple(known)

    def _draw(self) -> None:
        if not self._data:
            return
        data, bench = self._data, self.bench
        look = theme.current()
        several, shapes = len(data["joint"]) > 1, []
        if several:  # under the experts, with which the parts of a mixture may coincide
            shapes += [
                ("", *_gaussian(p), look.colour("text"), False, 1 + 4 * float(p["weight"])) for p in data["joint"]
            ]
        if data.get("prior"):
            shapes.append((PRIOR, *_gaussian(data["prior"]), look.colour("text2"), True, 1.25))
        for name, expert in data["experts"].items():
            colour = expert_colour(bench, name)
            if not expert.get("on", True):
                colour.setAlphaF(0.35)
            shapes.append((name, *_gaussian(expert), colour, not expert.get("on", True), 1.75))
        if not several:
            shapes.append((JOINT, *_gaussian(data["joint"][0]), look.colour("text"), False, 2.75))
        self.plane.set_gaussians(tuple(shapes))
        points = data.get("points")
        self.plane.set_points(np.asarray(points if points is not None else np.zeros((0, 2))), radius=1.5)
        self.plane.set_axes(*data["axes"])
        self.plane.set_density(*(np.asarray(data[k], float) for k in ("x", "y", "density")))
        self.plane.set_curves(_cross_hair(self.plane.shown()))
        self.why.setText(self._words())
        self.told.emit(f"{data['axes'][0]} and {data['axes'][1]} of {bench.card.latent}")

    def _words(self) -> str:
        data = self._data
        if data.get("why"):
            return str(data["why"])
        rule = RULES.get(str(data.get("rule", "")), "")
        parts = data["joint"]
        if len(parts) > 1:
            told = ", ".join(f"{subset_words(p['of'])} {float(p['weight']):.0%}".replace("%", " %") for p in parts[:6])
            return f"{rule} of {len(parts)} components: {told}{' …' if len(parts) > 6 else '.'}"
        return f"{rule}: one joint. Ellipses are one and two standard deviations, the shade is the joint's density."

    # -- by hand -------------------------------------------------------------------------------------------------------

    def _on_chip(self) -> None:
        name = str(self.sender().property("expert"))
        taking = set(self._taking()) ^ {name}
        on = tuple(m.name for m in self.bench.modalities if m.name in taking)
        if on:
            everything = len(on) == len(self.bench.modalities) - len(self.bench.state.missing)
            verb = "With" if name in taking else "Without"
            self.bench.set(f"{verb} the expert {name}", on=() if everything else on)

    def _on_axes(self) -> None:
        across, up = self.across.currentIndex() - 1, self.up.currentIndex() - 1
        if across == up and across >= 0:
            self.show_state()
            return
        if (across < 0) != (up < 0):  # one chosen axis needs another
            shown = [int(str(axis).lstrip("z")) for axis in self._data.get("axes", ("z00", "z01"))]
            across, up = (across if across >= 0 else shown[0]), (up if up >= 0 else shown[1])
            up = up if up != across else shown[0]
        self.bench.set("Choose the plane", axes=(across, up))

    def _on_view(self) -> None:
        if self._showing:
            return
        if not self.plane.resizing:
            self._settle.start()
        if self.isVisible() and not self._reask.isActive():
            self._reask.start()

    def _on_reask(self) -> None:
        if self._settle.isActive():  # the hand has moved it
            shown = self.plane.shown()
            middle = shown.center()
            reach = round(min(shown.width(), shown.height()) / 2, 4)
            self.bench.set(reach=reach, centre=(round(middle.x(), 4), round(middle.y(), 4)))
        else:
            self.ask()
        self.plane.set_curves(_cross_hair(self.plane.shown()))

    def _on_settled(self) -> None:
        self._settle.start()
        self._on_reask()
        self._settle.stop()
        self.bench.committed.emit("Move the plane")


def _rgb(colour: QColor) -> Square:
    return np.array([colour.red(), colour.green(), colour.blue()], np.float64)


def _gaussian(entry: Mapping[str, Any]) -> tuple[Square, Square]:
    return np.asarray(entry["mean"], float), np.asarray(entry["covariance"], float)


def _cross_hair(shown: QRectF) -> tuple[Curve, ...]:
    """The axes through zero."""
    across = np.array([[shown.left(), 0.0], [shown.right(), 0.0]])
    upwards = np.array([[0.0, shown.top()], [0.0, shown.bottom()]])
    return Curve(across, token="line"), Curve(upwards, token="line")
