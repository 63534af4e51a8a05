"""A thin line that says how far something is, or that something is going on."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from dgm_studio.gui import theme
from dgm_studio.gui.widgets.painting import follow_theme, plain_rounded

_FRAME_MS = 33
_TURN = 1200


class ProgressLine(QWidget):
    """A line of a few pixels; without a share a light runs along it."""

    def __init__(
        self, name: str = "Progress", parent: QWidget | None = None, *, token: str = "live", height: int = 6
    ) -> None:
        super().__init__(parent)
        self._share: float | None = None
        self._phase, self._token, self._height = 0, token, height
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._timer = QTimer(self, interval=_FRAME_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._turn)
        follow_theme(self)

    def share(self) -> float | None:
        """How much is done in [0, 1], None when nobody knows."""
        return self._share

    def set_share(self, share: float | None) -> None:
        """Show how much is done in [0, 1], or None for a running light."""
        self._share = None if share is None else min(max(share, 0.0), 1.0)
        self.setAccessibleDescription("" if self._share is None else f"{self._share:.0%}")
        self._run_or_rest()
        self.update()

    def set_token(self, token: str) -> None:
        """Colour of the filled part, by its use."""
        self._token = token
        self.update()

    def sizeHint(self) -> QSize:
        """Thin."""
        return QSize(120, self._height)

    def showEvent(self, event: QShowEvent) -> None:
        """The light runs only while somebody can see it."""
        super().showEvent(event)
        self._run_or_rest()

    def hideEvent(self, event: QHideEvent) -> None:
        """No timers behind the curtain."""
        super().hideEvent(event)
        self._timer.stop()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Groove and filled part."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect())
        radius = rect.height() / 2
        plain_rounded(painter, rect, look.colour("bg3"), radius)
        width, left = rect.width() * (self._share or 0.0), 0.0
        if self._share is None:
            width = rect.width() * 0.25
            left = (rect.width() + width) * self._phase / _TURN - width
        painter.setClipRect(rect)
        plain_rounded(painter, QRectF(left, 0, width, rect.height()), look.colour(self._token), radius)

    def _run_or_rest(self) -> None:
        if self._share is None and self.isVisible():
            self._timer.start()
        else:
            self._timer.stop()

    def _turn(self) -> None:
        self._phase = (self._phase + _FRAME_MS) % _TURN
        self.update()
