"""Runs and their forks as a picture: time to the right, one lane for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme, plain_rounded


@dataclass(frozen=True, slots=True)
class RunNode:
    """One run.

    Args:
        key: Names it in signals.
        name: Words for people.
        parent: Key of the run it was forked from, or "".
        start: Step at which it begins (0, or the fork).
        end: Step it has reached.
        state: "live", "done", "paused" or "failed".
        figure: Its headline metric in words, with the unit.
        change: What the fork changed ("beta 1 → 4").
    """

    key: str
    name: str
    parent: str = ""
    start: float = 0.0
    end: float = 0.0
    state: str = "done"
    figure: str = ""
    change: str = ""


_TOKENS = {"live": "live", "done": "good", "paused": "text2", "failed": "bad"}


class RunTree(QWidget):
    """Lanes with forks; a click or the arrows choose a run.

    Signals:
        chosen(str): Key of the run.
    """

    chosen = Signal(str)

    def __init__(self, name: str = "Run tree", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._nodes: tuple[RunNode, ...] = ()
        self._key = ""
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        follow_theme(self)

    def set_nodes(self, nodes: Sequence[RunNode]) -> None:
        """Show these runs; children are put under their parents."""
        self._nodes = _ordered(nodes)
        self.updateGeometry()
        self.update()

    def nodes(self) -> tuple[RunNode, ...]:
        """The runs from top to bottom."""
        return self._nodes

    def key(self) -> str:
        """The chosen run."""
        return self._key

    def set_key(self, key: str) -> None:
        """Choose without a signal."""
        self._key = key
        self.update()

    def sizeHint(self) -> QSize:
        """A lane for each run."""
        return QSize(280, max(1, len(self._nodes)) * self._lane() + 4)

    def minimumSizeHint(self) -> QSize:
        """Narrow, but no lane less."""
        return QSize(140, self.sizeHint().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the lane under the mouse."""
        row = int(event.position().y() // self._lane())
        if 0 <= row < len(self._nodes):
            self._choose(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down choose."""
        steps = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        step = steps.get(Qt.Key(event.key()))
        if step is None or not self._nodes:
            super().keyPressEvent(event)
            return
        row = next((i for i, n in enumerate(self._nodes) if n.key == self._key), -step)
        self._choose(min(max(row + step, 0), len(self._nodes) - 1))

    def event(self, event: QEvent) -> bool:
        """The tooltip tells a lane in full."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = event.pos().y() // self._lane()
            words = _words(self._nodes[row]) if 0 <= row < len(self._nodes) else ""
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Lanes, forks, names."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rows = {node.key: row for row, node in enumerate(self._nodes)}
        for row, node in enumerate(self._nodes):
            self._paint_lane(painter, row, node, rows)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()))

    def _paint_lane(self, painter: QPainter, row: int, node: RunNode, rows: dict[str, int]) -> None:
        look = theme.current()
        lane = QRectF(1, row * self._lane() + 1, self.width() - 2, self._lane() - 2)
        if node.key == self._key:
            plain_rounded(painter, lane, look.colour("accentbg"), theme.RADIUS_CONTROL)
        y = lane.bottom() - look.px(9)
        ink = look.colour(_TOKENS.get(node.state, "text2"))
        start, end = QPointF(self._x(node.start), y), QPointF(self._x(node.end), y)
        if node.parent in rows:
            self._paint_fork(painter, start, rows[node.parent])
        painter.setPen(QPen(ink, 2))
        painter.drawLine(start, end)
        self._paint_end(painter, end, node.state)
        text = lane.adjusted(8, 2, -8, -look.px(16))
        figure_width = self._paint_figure(painter, text, node.figure)
        words = f"{node.name} · {node.change}" if node.change else node.name
        room = text.adjusted(0, 0, -figure_width - 8, 0)
        painter.setFont(look.font("secondary"))
        width = min(room.width(), painter.fontMetrics().horizontalAdvance(words) + 4.0)
        # a fork's dotted line passes under the words, not through them
        behind = QRectF(room.left() - 2, room.top() + 2, width + 2, room.height() - 4)
        plain_rounded(painter, behind, look.colour("accentbg" if node.key == self._key else "bg1"), 3)
        draw_text(painter, room, words, look.font("secondary"), look.colour("text"))

    def _paint_figure(self, painter: QPainter, box: QRectF, figure: str) -> float:
        look = theme.current()
        painter.setFont(look.figures("caption"))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        width = min(float(painter.fontMetrics().horizontalAdvance(figure)), box.width() / 2)
        draw_text(
            painter,
            QRectF(box.right() - width, box.top(), width, box.height()),
            figure,
            painter.font(),
            look.colour("text2"),
            right,
        )
        return width

    def _paint_fork(self, painter: QPainter, start: QPointF, parent_row: int) -> None:
        look = theme.current()
        top = QPointF(start.x(), (parent_row + 1) * self._lane() - 1 - look.px(9))
        path = QPainterPath(top)
        path.lineTo(start)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.colour("text2", 0.6), 1.5, Qt.PenStyle.DotLine))
        painter.drawPath(path)
        plain_rounded(painter, QRectF(top.x() - 3, top.y() - 3, 6, 6), look.colour("text2"), 3)

    def _paint_end(self, painter: QPainter, end: QPointF, state: str) -> None:
        """A shape for each state, so that colour is never alone."""
        look = theme.current()
        ink = look.colour(_TOKENS.get(state, "text2"))
        size = look.px(4)
        painter.setPen(QPen(ink, 2))
        painter.setBrush(ink if state in ("live", "done") else look.colour("bg1"))
        if state == "failed":
            painter.drawLine(end + QPointF(-size, -size), end + QPointF(size, size))
            painter.drawLine(end + QPointF(-size, size), end + QPointF(size, -size))
        elif state == "live":
            painter.drawEllipse(end, size, size)
        else:
            painter.drawRect(QRectF(end.x() - size + 1, end.y() - size + 1, 2 * size - 2, 2 * size - 2))

    def _x(self, step: float) -> float:
        last = max((n.end for n in self._nodes), default=1.0) or 1.0
        return 12 + (self.width() - 28) * min(max(step / last, 0.0), 1.0)

    def _lane(self) -> int:
        return theme.current().px(40)

    def _choose(self, row: int) -> None:
        node = self._nodes[row]
        if node.key != self._key:
            self.set_key(node.key)
            self.setAccessibleDescription(_words(node))
            self.chosen.emit(node.key)


def _words(node: RunNode) -> str:
    parts = (node.name, node.change, f"step {node.start:,.0f} to {node.end:,.0f}", node.state, node.figure)
    return " · ".join(part for part in parts if part)


def _ordered(nodes: Sequence[RunNode]) -> tuple[RunNode, ...]:
    """Parents before their children, depth first; a child of an unknown parent stands alone."""
    keys = {node.key for node in nodes}
    children: dict[str, list[RunNode]] = {}
    for node in nodes:
        children.setdefault(node.parent if node.parent in keys and node.parent != node.key else "", []).append(node)
    ordered: list[RunNode] = []
    waiting = list(reversed(children.get("", [])))
    while waiting:
        node = waiting.pop()
        ordered.append(node)
        waiting += reversed(children.pop(node.key, []))
    return tuple(ordered)
