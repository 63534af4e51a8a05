"""Pictures that do not belong: how log p(x), a softmax and the size of a file tell them from the test pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QHelpEvent, QImage, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QVBoxLayout, QWidget

from dgm_studio.core.requests import ScoreOutliers
from dgm_studio.gui import theme
from dgm_studio.gui.panels.classify_jobs import JobCard, JobPage
from dgm_studio.gui.panels.classify_state import ClassBench
from dgm_studio.gui.widgets.curveaxis import number
from dgm_studio.gui.widgets.painting import (
    draw_picture,
    draw_text,
    fitted,
    follow_theme,
    plain_rounded,
    print_in_theme,
    to_image,
)
from dgm_studio.gui.widgets.valueslider import ValueSlider

TEST = "test"
BINS = 48
REACH = 4.0  # spreads of the test pictures to the left of them; what lies further is collected at the edge
MEANS = {
    "log p(x)": "The model's bound on log p(x), low is strange",
    "softmax": "The judge's greatest probability, low is strange (Hendrycks and Gimpel 2017)",
    "complexity": "Bytes of the picture as PNG, many are strange; a baseline that knows no model (Serra et al. 2020)",
}
_CENTRE = Qt.AlignmentFlag.AlignCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def kind_colour(place: int) -> Any:
    """Test pictures in the text's grey, the kinds in the colours of categories."""
    return theme.current().colour("text2") if place == 0 else theme.line_colour(theme.CATEGORIES[place - 1])


class Histograms(QWidget):
    """Overlaid histograms over one axis, with the bound below which pictures are turned away."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._shares: dict[str, np.ndarray[Any, Any]] = {}
        self._range, self._threshold, self._cut = (0.0, 1.0), 0.0, False
        self.setAccessibleName("Histograms of log p(x)")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        follow_theme(self)

    def set_scores(self, scores: Mapping[str, np.ndarray[Any, Any]], threshold: float) -> None:
        """Show bounds in nats by kind; the first are the test pictures."""
        self._threshold = threshold
        low, high, self._cut = span_of(scores)
        self._range = (low, high)
        edges = np.linspace(low, high, BINS + 1)
        self._shares = {
            name: np.histogram(np.clip(each, low, high), edges)[0] / max(1, len(each)) for name, each in scores.items()
        }
        below = {name: float((np.asarray(each) < threshold).mean()) for name, each in scores.items() if len(each)}
        self.setAccessibleDescription("; ".join(f"{name} {share:.0%} rejected" for name, share in below.items()))
        self.update()

    def sizeHint(self) -> QSize:
        """Wide."""
        return QSize(560, 280)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(260, theme.current().px(130))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axis, threshold, one shape for each kind."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        area = QRectF(self.rect()).adjusted(4, look.px(20), -4, -look.px(36))
        inside = slice(1 if self._cut else 0, None)  # what is collected at the edge would make all else flat
        most = max((float(each[inside].max()) for each in self._shares.values()), default=1.0) or 1.0
        x = self._x_of(area, self._threshold)
        painter.fillRect(
            QRectF(area.left(), area.top(), max(0.0, x - area.left()), area.height()), look.colour("bad", 0.07)
        )
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        for place, each in enumerate(self._shares.values()):
            self._paint_shape(painter, area, np.minimum(each / most, 1.04), place)
        pen = QPen(look.colour("text"), 1)
        pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        said = f"reject below {number(float(f'{self._threshold:.4g}'))}"
        wide = look.px(180)
        box = QRectF(min(max(x - wide / 2, 0.0), self.width() - wide), 0, wide, look.px(18))
        draw_text(painter, box, said, look.font("caption"), look.colour("text"), _CENTRE)
        self._paint_axis(painter, area)

    def _paint_shape(self, painter: QPainter, area: QRectF, heights: np.ndarray[Any, Any], place: int) -> None:
        step = area.width() / BINS
        corners = [area.bottomLeft()]
        for i, share in enumerate(heights):
            y = area.bottom() - float(share) * area.height()
            corners += [QPointF(area.left() + i * step, y), QPointF(area.left() + (i + 1) * step, y)]
        corners.append(area.bottomRight())
        colour = kind_colour(place)
        fill = kind_colour(place)
        fill.setAlphaF(0.28 if place == 0 else 0.13)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawPolygon(QPolygonF(corners))
        painter.setPen(QPen(colour, 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for i in range(BINS):  # only where there is something: many lines on the ground would be one
            if heights[i] > 0:
                painter.drawLine(corners[2 * i + 1], corners[2 * i + 2])
            if i and max(heights[i - 1], heights[i]) > 0:
                painter.drawLine(corners[2 * i], corners[2 * i + 1])

    def _paint_axis(self, painter: QPainter, area: QRectF) -> None:
        look = theme.current()
        font, ink = look.figures("caption"), look.colour("text2")
        for share, flags in ((0.0, Qt.AlignmentFlag.AlignLeft), (0.5, _CENTRE), (1.0, Qt.AlignmentFlag.AlignRight)):
            value = self._range[0] + share * (self._range[1] - self._range[0])
            words = number(float(f"{value:.3g}"))
            words = f"\N{LESS-THAN OR EQUAL TO} {words}" if share == 0.0 and self._cut else words
            box = QRectF(area.left(), area.bottom() + 3, area.width(), look.px(15))
            draw_text(painter, box, words, font, ink, flags)
        under = QRectF(area.left(), area.bottom() + look.px(18), area.width(), look.px(16))
        draw_text(
            painter, under, "log p(x), nats; height: share of the kind's pictures", look.font("caption"), ink, _CENTRE
        )

    def _x_of(self, area: QRectF, value: float) -> float:
        low, high = self._range
        return area.left() + min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0) * area.width()


def span_of(scores: Mapping[str, np.ndarray[Any, Any]]) -> tuple[float, float, bool]:
    """From where to where the axis goes, and whether something lies below it.

    >>> span_of({"test": np.arange(100.0), "far": np.full(10, -1e6)})
    (-396.0, 99.0, True)
    """
    usual = np.asarray(next(iter(scores.values()), np.zeros(1)), float)
    every = np.concatenate([np.asarray(each, float) for each in scores.values()]) if scores else usual
    high = float(every.max())
    spread = float(usual.max() - usual.min()) or 1.0
    low = max(float(every.min()), float(usual.min()) - REACH * spread)
    return low, high if high > low else low + 1.0, bool(every.min() < low)


class AreaTable(QWidget):
    """A row for each kind: an example, its colour, the area under the curve by every score."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._areas: dict[str, Mapping[str, float]] = {}
        self._images: dict[str, QImage] = {}
        self.setAccessibleName("Area under the ROC curve of each score")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        theme.changed.connect(self._print)

    def set_areas(self, areas: Mapping[str, Mapping[str, float]], pictures: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Show AUROC by kind and score, with an example of every kind, the test pictures first."""
        self._areas = {name: areas.get(name, {}) for name in pictures}
        self._images = {name: to_image(np.asarray(picture)) for name, picture in pictures.items()}
        told = (
            f"{name}: " + ", ".join(f"{by} {v:.2f}" for by, v in each.items()) for name, each in self._areas.items()
        )
        self.setAccessibleDescription("; ".join(told))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """A row each."""
        look = theme.current()
        return QSize(520, look.px(24) + max(1, len(self._areas)) * look.px(44))

    def minimumSizeHint(self) -> QSize:
        """As high."""
        return QSize(300, self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """What a column means."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            left, wide = self._columns()
            place = int((event.pos().x() - left) // wide) if event.pos().x() >= left else -1
            QToolTip.showText(event.globalPos(), list(MEANS.values())[place] if 0 <= place < len(MEANS) else "", self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Heads, then the rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        left, wide = self._columns()
        head, high = look.px(24), look.px(44)
        draw_text(painter, QRectF(0, 0, left, head), "Kind", look.font("caption"), look.colour("text2"))
        for place, by in enumerate(MEANS):
            box = QRectF(left + place * wide, 0, wide - 16, head)
            draw_text(painter, box, f"AUROC, {by}", look.font("caption"), look.colour("text2"))
        for row, (name, areas) in enumerate(self._areas.items()):
            box = QRectF(0, head + row * high, self.width(), high)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.drawLine(box.topLeft(), box.topRight())
            side = high - 8
            image = self._images[name]
            target = fitted(image.size(), QRectF(0, box.top() + 4, side, side), self.devicePixelRatioF(), whole=False)
            draw_picture(painter, target, image, smooth=image.width() > 12)
            plain_rounded(painter, QRectF(side + 12, box.center().y() - 5, 10, 10), kind_colour(row), 2)
            said = QRectF(side + 30, box.top(), left - side - 36, high)
            words = "test pictures" if name == TEST else name
            draw_text(painter, said, words, look.font("secondary", strong=row == 0), look.colour("text"))
            best = max(areas.values(), default=0.0)
            for place, by in enumerate(MEANS):
                cell = QRectF(left + place * wide, box.top(), wide - 16, high)
                self._paint_area(painter, cell, areas.get(by), name == TEST, best)

    def _paint_area(self, painter: QPainter, box: QRectF, value: float | None, usual: bool, best: float) -> None:
        look = theme.current()
        if value is None:
            words = "reference" if usual else "no judge"
            draw_text(painter, box, words, look.font("caption"), look.colour("text2"))
            return
        figure = QRectF(box.left(), box.top(), look.px(40), box.height())
        strong = value >= best
        draw_text(
            painter, figure, f"{value:.2f}", look.figures("secondary"), look.colour("text" if strong else "text2")
        )
        groove = QRectF(figure.right() + 4, box.center().y() - 3, max(10.0, box.right() - figure.right() - 4), 6)
        plain_rounded(painter, groove, look.colour("bg3"), 3)
        bar = QRectF(groove.left(), groove.top(), max(2.0, groove.width() * value), 6)
        plain_rounded(painter, bar, look.colour("accent" if strong else "text2"), 3)
        middle = groove.center().x()  # half is what guessing has
        painter.fillRect(QRectF(middle - 0.5, groove.top() - 3, 1, 12), look.colour("text2"))

    def _columns(self) -> tuple[float, float]:
        left = min(theme.current().px(190), self.width() * 0.36)
        return left, (self.width() - left) / len(MEANS)

    def _print(self) -> None:
        for image in self._images.values():
            print_in_theme(image)
        self.update()


class OutliersPage(JobPage):
    """Histograms over the table."""

    asks = ScoreOutliers
    bench: ClassBench

    def __init__(self, bench: ClassBench, parent: QWidget, rail: QWidget) -> None:
        about = (
            "Scores test pictures, the same rotated, inverted and shuffled, and pictures of other data. The AUROC is "
            "the chance that a test picture scores above a strange one; a half is guessing."
        )
        card = JobCard("Outliers", "Score outliers", about, rail)
        card.add_slider("count", ValueSlider("Pictures each", 20, 1000, 200, card, whole=True, log=True))
        card.add_slider("samples", ValueSlider("Samples K", 1, 100, 10, card, whole=True, log=True))
        content = QWidget()
        self.histograms = Histograms(content)
        self.areas = AreaTable(content)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.histograms, 1)
        column.addWidget(self.areas)
        empty = "How probable the model finds pictures that do not belong to its data, against those that do."
        super().__init__(bench, card, content, empty, parent)

    def request(self) -> ScoreOutliers:
        """What the settings ask for."""
        card = self.settings
        return ScoreOutliers(self.bench.card.key, card.value("count"), card.value("samples"), self.bench.state.seed)

    def name(self) -> str:
        """Of the job."""
        return f"Score outliers of {self.bench.card.name}"

    def show_answer(self, data: Mapping[str, Any]) -> None:
        """One kind more."""
        scores = {str(name): np.asarray(each, float) for name, each in data["scores"].items()}
        self.histograms.set_scores(scores, float(data["threshold"]))
        self.areas.set_areas(data["auroc"], data["pictures"])
        self.told.emit(f"{len(scores.get(TEST, ())):,} pictures each")
