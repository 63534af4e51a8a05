"""Small words in a capsule: something chosen that can be taken away, or a mark."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import icons, theme
from dgm_studio.gui.widgets.painting import draw_text, focus_ring, follow_theme

_WIDEST = 220


class Chip(QWidget):
    """A capsule with words, an optional dot of colour and an optional cross.

    Args:
        words: Text; elided where there is no room, told in full by the tooltip.
        closable: Show the cross; Delete closes too.
        dot: Colour of a dot before the words, "" for none.

    Signals:
        clicked(): Anywhere but on the cross, Return or space.
        closed(): The cross, Delete or Backspace.
    """

    clicked = Signal()
    closed = Signal()

    def __init__(self, words: str, parent: QWidget | None = None, *, closable: bool = False, dot: str = "") -> None:
        super().__init__(parent)
        self._words, self._closable, self._dot, self._on = words, closable, dot, True
        self._hover_cross = False
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        follow_theme(self)
        self.set_words(words)

    def words(self) -> str:
        """The text in full."""
        return self._words

    def set_words(self, words: str) -> None:
        """Change the text."""
        self._words = words
        self.setToolTip(words)
        self.setAccessibleName(f"{words}, can be removed" if self._closable else words)
        self.updateGeometry()
        self.update()

    def set_on(self, on: bool) -> None:
        """Pale when off (a series that is hidden)."""
        self._on = on
        self.setAccessibleDescription("shown" if on else "hidden")
        self.update()

    def set_dot(self, colour: str) -> None:
        """Change the dot's colour, "" for none."""
        self._dot = colour
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All of the words, up to a limit."""
        look = theme.current()
        text = QFontMetrics(look.font("secondary")).horizontalAdvance(self._words)
        return QSize(min(text, look.px(_WIDEST)) + self._left() + self._right() + 2, look.px(26))

    def minimumSizeHint(self) -> QSize:
        """A few letters."""
        look = theme.current()
        return QSize(look.px(30) + self._left() + self._right(), look.px(26))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up the cross."""
        over = self._closable and self._cross().contains(event.position())
        if over != self._hover_cross:
            self._hover_cross = over
            self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """The cross goes dark."""
        self._hover_cross = False
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Close or click."""
        if event.button() != Qt.MouseButton.LeftButton or not QRectF(self.rect()).contains(event.position()):
            return
        if self._closable and self._cross().contains(event.position()):
            self.closed.emit()
        else:
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Return and space click, Delete closes."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        elif self._closable and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.closed.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Capsule, dot, words, cross."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        radius = frame.height() / 2
        painter.setPen(QPen(look.colour("line"), 1))
        painter.setBrush(look.colour("bg2"))
        painter.drawRoundedRect(frame, radius, radius)
        if self._dot:
            painter.setPen(QPen(theme.line_colour(self._dot), 1.5))
            painter.setBrush(theme.line_colour(self._dot) if self._on else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(look.px(14), frame.center().y()), look.px(4), look.px(4))
        text = QRectF(self._left(), 0, self.width() - self._left() - self._right(), self.height())
        draw_text(painter, text, self._words, look.font("secondary"), look.colour("text" if self._on else "text2"))
        if self._closable:
            self._paint_cross(painter)
        if self.hasFocus():
            focus_ring(painter, QRectF(self.rect()), radius)

    def _paint_cross(self, painter: QPainter) -> None:
        look = theme.current()
        painter.setPen(QPen(look.colour("text" if self._hover_cross else "text2"), 1.5))
        centre, arm = self._cross().center(), look.px(3.5)
        painter.drawLine(centre + QPointF(-arm, -arm), centre + QPointF(arm, arm))
        painter.drawLine(centre + QPointF(-arm, arm), centre + QPointF(arm, -arm))

    def _left(self) -> int:
        return theme.current().px(24 if self._dot else 12)

    def _right(self) -> int:
        return theme.current().px(28 if self._closable else 12)

    def _cross(self) -> QRectF:
        side = theme.current().px(24)
        return QRectF(self.width() - side - 2, (self.height() - side) / 2, side, side)


class Mark(QWidget):
    """A word with an icon that says something about what it lies on; cannot be clicked."""

    def __init__(self, words: str, icon: str, parent: QWidget | None = None, *, token: str = "live") -> None:
        super().__init__(parent)
        self._words, self._icon, self._token = words, icon, token
        self.setAccessibleName(words)
        follow_theme(self)

    def sizeHint(self) -> QSize:
        """Icon and words."""
        look = theme.current()
        return QSize(QFontMetrics(look.font("caption")).horizontalAdvance(self._words) + look.px(34), look.px(22))

    def paintEvent(self, event: QPaintEvent) -> None:
        """A capsule, the icon, the words."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(look.colour("line"), 1))
        painter.setBrush(look.colour("bg1"))
        painter.drawRoundedRect(frame, frame.height() / 2, frame.height() / 2)
        side, ratio = look.px(14), self.devicePixelRatioF()
        picture = icons.pixmap(self._icon, getattr(look.palette, self._token), round(side * ratio))
        at = QRectF(look.px(7), (self.height() - side) / 2, side, side)
        painter.drawPixmap(at, picture, QRectF(picture.rect()))
        text = QRectF(look.px(25), 0, self.width() - look.px(29), self.height())
        draw_text(painter, text, self._words, look.font("caption"), look.colour(self._token))
