"""The forward process under its schedule, and the two cards of the schedule's rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.panels.denoise_curve import end_words, signed, whole
from dgm_studio.gui.panels.denoise_state import Stage
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.knotplot import KnotPlot
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.painting import (
    draw_picture,
    draw_text,
    fitted,
    follow_theme,
    plain_rounded,
    print_in_theme,
    to_image,
)

SECTION = "schedule"
STRIP = 84
_CENTRE = Qt.AlignmentFlag.AlignCenter


class ForwardStrip(QWidget):
    """The picture at some shares of the time, each under its place on a plot; points as clouds."""

    def __init__(self, plot: KnotPlot, parent: QWidget) -> None:
        super().__init__(parent)
        self._plot = plot
        self._images: list[QImage] = []
        self._clouds: npt.NDArray[np.float32] = np.zeros((0, 0, 2), np.float32)
        self._shares: tuple[float, ...] = ()
        self._words: tuple[str, ...] = ()
        self.setAccessibleName("The forward process")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_frames(self, pictures: npt.NDArray[Any], shares: Sequence[float], log_snr: Sequence[float]) -> None:
        """Show uint8 [P, H, W(, 3)] or points float32 [P, N, 2], and the half-log-SNR under each."""
        self._shares = tuple(shares)
        planar = pictures.dtype != np.uint8
        self._images = [] if planar else [to_image(np.asarray(p, np.uint8)) for p in pictures]
        self._clouds = np.asarray(pictures, np.float32) if planar else np.zeros((0, 0, 2), np.float32)
        self._words = tuple(signed(value) for value in log_snr)
        told = ", ".join(f"{share:g}: {words}" for share, words in zip(self._shares, self._words, strict=False))
        self.setAccessibleDescription(f"Half-log-SNR at shares of the time {told}")
        self.update()

    def count(self) -> int:
        """How many there are."""
        return len(self._images) or len(self._clouds)

    def sizeHint(self) -> QSize:
        """A row of stamps with a line under it."""
        return QSize(560, round(self._side()) + theme.current().px(22))

    def minimumSizeHint(self) -> QSize:
        """As high."""
        return QSize(280, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Narrower stamps are lower."""
        super().resizeEvent(event)
        self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Each under its place."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for place in range(self.count()):
            box = self._cell(place)
            if self._images:
                image = self._images[place]
                box = fitted(image.size(), box, self.devicePixelRatioF(), whole=False)
                draw_picture(painter, box, image, smooth=image.width() > 12)
            else:
                self._paint_cloud(painter, box, self._clouds[place])
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawRect(box.adjusted(-0.5, -0.5, 0.5, 0.5))
            if place < len(self._words):
                first = place == 0 and box.width() >= look.px(70)
                words = f"log-SNR {self._words[0]}" if first else self._words[place]
                half = look.px(48 if first else 30)
                under = QRectF(box.center().x() - half, self.height() - look.px(16), 2 * half, look.px(16))
                draw_text(painter, under, words, look.figures("caption"), look.colour("text2"), _CENTRE)

    def _paint_cloud(self, painter: QPainter, box: QRectF, points: npt.NDArray[np.float32]) -> None:
        look = theme.current()
        plain_rounded(painter, box, look.colour("bg2"), 2)
        reach = 1.05 * max(float(np.abs(self._clouds[0]).max()), 1e-6) * 1.3
        painter.save()
        painter.setClipRect(box)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("accent", 0.75))
        for x, y in points:
            at = QPointF(float(x) / reach * box.width() / 2, -float(y) / reach * box.height() / 2)
            painter.drawEllipse(box.center() + at, 1.2, 1.2)
        painter.restore()

    def _side(self) -> float:
        pitch = self._plot.area().width() / max(1, self.count() - 1)
        return max(8.0, min(pitch - 5, theme.current().px(STRIP) - 4.0))

    def _cell(self, place: int) -> QRectF:
        side, centre = self._side(), self._plot.x_of(self._shares[place])
        left = min(max(centre - side / 2, 1.0), self.width() - side - 1)
        return QRectF(left, 2, side, side)

    def _print(self) -> None:
        for image in self._images:
            print_in_theme(image)
        self.update()


class SchedulePicture(Card):
    """What is noised."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Picture" if stage.pictures else "Points", parent)
        self.stage = stage
        self.previous = IconButton("arrow-left", "Previous picture", self)
        self.next = IconButton("arrow-right", "Next picture", self)
        self.other = IconButton("random", "Any picture", self)
        self.words = ElidedLabel("", "secondary", self)
        self.noise = Button("Other noise", self, icon="random")
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        for widget in (self.previous, self.next, self.other):
            row.addWidget(widget)
            widget.setVisible(stage.pictures)
        row.addStretch(1)
        row.addWidget(self.noise)
        self.add_right(self.words)  # its name needs more room than the buttons leave
        self.body.addLayout(row)
        self.previous.clicked.connect(lambda: self.step(-1))
        self.next.clicked.connect(lambda: self.step(1))
        self.other.clicked.connect(lambda: self.step(37))
        self.noise.clicked.connect(self._on_noise)

    def count(self) -> int:
        """How many test examples are known."""
        return max(1, len(self.stage.about.get("labels") or ()) or 100)

    def index(self) -> int:
        """Which one."""
        return whole(self.stage.page(SECTION).get("index", 0)) % self.count()

    def show_state(self) -> None:
        """Which one, and what it is."""
        labels = list(self.stage.about.get("labels") or ())
        name = f": {labels[self.index()]}" if self.index() < len(labels) and labels[self.index()] else ""
        self.words.setText(f"Test {self.index()}{name}" if self.stage.pictures else "Test points")

    def step(self, by: int) -> None:
        """Another one."""
        index = (self.index() + by) % self.count()
        self.stage.set_page(SECTION, f"Noise picture {index}", index=index)

    def _on_noise(self) -> None:
        seed = whole(self.stage.page(SECTION).get("seed", 0)) + 1
        self.stage.set_page(SECTION, f"Noise with seed {seed}", seed=seed)


class ScheduleCard(Card):
    """What the schedule means at its end, and what can be done with it."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Schedule", parent)
        self.stage = stage
        self.terminal = WrappedLabel("secondary", self)
        self.hint = WrappedLabel("caption", self)
        self.hint.setText("Drag a knot; double-click adds or removes one. Arrows move it, Shift finely.")
        self.levels = Button("Use as levels when sampling", self, icon="play", primary=True)
        self.train = Button("Train with this schedule\N{HORIZONTAL ELLIPSIS}", self, icon="fork")
        self.reset = Button("Reset", self, icon="reset")
        self.reset.setToolTip("Back to this model's own schedule")
        for widget in (self.terminal, self.hint):
            self.add(widget)
        for row in ((self.levels,), (self.train, self.reset)):
            line = QHBoxLayout()
            line.setSpacing(theme.SPACE[1])
            for button in row:
                line.addWidget(button)
            line.addStretch(1)
            self.body.addLayout(line)

    def show_end(self, terminal: Mapping[str, Any], warnings: Sequence[str]) -> None:
        """The terminal signal-to-noise ratio in words; the colour goes with a word."""
        self.terminal.setProperty("role", "live" if warnings else "good")
        self.terminal.style().unpolish(self.terminal)
        self.terminal.style().polish(self.terminal)
        self.terminal.setText(end_words(terminal, warnings))
