"""Buttons: an icon alone, or words with an icon, re-tinted when the theme changes."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QPushButton, QStyle, QStyleOptionButton, QStylePainter, QToolButton, QWidget

from dgm_studio.gui import icons, theme
from dgm_studio.gui.widgets.painting import name


class IconButton(QToolButton):
    """A square button with an icon and no words; its name is the tooltip.

    Args:
        icon: Name in `resources/icons`.
        words: What it does ("Play").
        on_icon: Icon while it is switched on; makes the button checkable.
        bare: No frame until the mouse is over it.
    """

    def __init__(
        self, icon: str, words: str, parent: QWidget | None = None, *, on_icon: str = "", bare: bool = False
    ) -> None:
        super().__init__(parent)
        self._icon, self._on_icon = icon, on_icon
        self.setCheckable(bool(on_icon))
        self.setProperty("bare", bare)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        name(self, words)
        theme.changed.connect(self._tint)
        self.toggled.connect(self._tint)
        self._tint()

    def set_icon(self, icon: str, words: str = "") -> None:
        """Change the icon, and the name where the meaning changes with it."""
        self._icon = icon
        if words:
            name(self, words)
        self._tint()

    def _tint(self) -> None:
        shown = self._on_icon if self.isChecked() and self._on_icon else self._icon
        token = "accent" if self.isChecked() else "text2" if self.property("bare") else "text"
        self.setIcon(icons.icon(shown, token))
        self.setIconSize(icons.size())


class Button(QPushButton):
    """A button with a verb on it.

    Args:
        words: The verb ("Fork here").
        icon: Name in `resources/icons`, or none.
        primary: The one main action of its surroundings.
        link: Looks like a link.
    """

    def __init__(
        self, words: str, parent: QWidget | None = None, *, icon: str = "", primary: bool = False, link: bool = False
    ) -> None:
        super().__init__(words, parent)
        self._icon, self._primary = icon, primary
        self.setProperty("primary", primary)
        self.setProperty("link", link)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(words)
        theme.changed.connect(self._tint)
        self._tint()

    def setText(self, text: str) -> None:
        """Change the words, and the name with them."""
        super().setText(text)
        self.setAccessibleName(text)

    def set_icon(self, icon: str) -> None:
        """Change the icon before the words."""
        self._icon = icon
        self._tint()

    def minimumSizeHint(self) -> QSize:
        """A few letters: words elide before the layout breaks."""
        full = self.sizeHint()
        letters = self.fontMetrics().averageCharWidth() * 6 + (self.iconSize().width() if self._icon else 0)
        return QSize(min(full.width(), letters + 2 * theme.SPACE[2]), full.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Elide what does not fit; the tooltip tells the rest."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        spare = self.width() - self.sizeHint().width()
        if spare < 0:
            room = max(0, self.fontMetrics().horizontalAdvance(self.text()) + spare)
            option.text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room)
        QStylePainter(self).drawControl(QStyle.ControlElement.CE_PushButton, option)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The tooltip carries the words only while they are elided."""
        super().resizeEvent(event)
        if self.toolTip() in ("", self.text()):
            self.setToolTip(self.text() if self.width() < self.sizeHint().width() else "")

    def _tint(self) -> None:
        if self._icon:
            self.setIcon(
                icons.icon(self._icon, "onaccent" if self._primary else "accent" if self.property("link") else "text")
            )
            self.setIconSize(icons.size())
