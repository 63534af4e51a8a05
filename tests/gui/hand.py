"""A hand that does not depend on where the screen thinks the mouse is."""

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget


def move(widget: QWidget, point: QPoint, buttons: Qt.MouseButton = Qt.MouseButton.NoButton) -> None:
    """Move the mouse to a point of a widget, with these buttons held."""
    there = QPointF(widget.mapToGlobal(point))
    none, plain = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(QEvent.Type.MouseMove, QPointF(point), there, none, buttons, plain)
    QApplication.sendEvent(widget, event)


def drag(widget: QWidget, point: QPoint) -> None:
    """Move the mouse with the left button held."""
    move(widget, point, Qt.MouseButton.LeftButton)
