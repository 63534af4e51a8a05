"""The bar at the top: name, search, what is compared, the device, the theme, *New run*."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from dgm_studio.gui import icons, theme
from dgm_studio.gui.widgets.chip import Chip
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import label
from dgm_studio.gui.widgets.searchfield import SearchField

HEIGHT = 44
CHIPS_SHOWN = 3


class PaletteField(SearchField):
    """Where one types for the palette; arrows, Return and Escape go to the list under it."""

    moved = Signal(int)
    taken = Signal()
    left = Signal()
    entered = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Search checkpoints, runs, data …", parent, shortcut="Ctrl+K")
        self.textEdited.connect(self.entered)
        theme.changed.connect(self._fit)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys for the list go there, the rest is typing."""
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 6, Qt.Key.Key_PageUp: -6}
        key = Qt.Key(event.key())
        if key in steps:
            self.entered.emit()
            self.moved.emit(steps[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.taken.emit()
        elif key == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The list opens when one came here on purpose; passing through with Tab opens nothing."""
        super().focusInEvent(event)
        if event.reason() in (Qt.FocusReason.MouseFocusReason, Qt.FocusReason.ShortcutFocusReason):
            self.entered.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The list closes."""
        super().focusOutEvent(event)
        self.left.emit()

    def _fit(self) -> None:
        self.setFixedHeight(theme.current().px(28))
        self.setMinimumWidth(theme.current().px(150))
        self.setMaximumWidth(theme.current().px(330))


class TopBar(QFrame):
    """See the module.

    Signals:
        new_run_wanted(), theme_wanted(), library_wanted(), inspector_wanted(), bookmarks_wanted(), start_wanted().
        chip_clicked(str), chip_closed(str): A model's key in the comparison set.
        device_clicked(): The chip of the device.
    """

    new_run_wanted = Signal()
    theme_wanted = Signal()
    library_wanted = Signal()
    inspector_wanted = Signal()
    bookmarks_wanted = Signal()
    start_wanted = Signal()
    device_clicked = Signal()
    chip_clicked = Signal(str)
    chip_closed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("topbar")
        self.setAccessibleName("Top bar")
        self.search = PaletteField(self)
        self.library = IconButton("sidebar", "Show the library (Ctrl+B)", self, bare=True)
        self.inspector = IconButton("info", "About this model (Ctrl+I)", self, bare=True)
        self.inspector.setCheckable(True)
        self._logo = QLabel(self)
        self._name = Button("DGM Studio", self, link=True)
        self._name.setProperty("role", "wordmark")
        self._name.setToolTip("Start page")
        self._compare = label("Compare", "secondary", self)
        self._chips: list[Chip] = []
        self._keys: list[str] = []
        self._chip_row = QHBoxLayout()
        self._device = Chip("starting …", self, dot=theme.current().palette.live)
        self._device.setAccessibleName("Device")
        self.bookmarks = IconButton("bookmark", "Kept places", self, bare=True)
        self._theme = IconButton("theme", "Light or dark (Ctrl+T)", self)
        self._new = Button("New run", self, primary=True)
        self._new.setToolTip("Train a model (Ctrl+N)")
        self._build()
        self._connect()
        self._dress()

    def show_device(self, words: str, *, ready: bool, hint: str = "") -> None:
        """What the worker computes on."""
        palette = theme.current().palette
        self._device.set_words(words)
        self._device.set_dot(palette.good if ready else palette.live)
        self._device.setToolTip(hint or words)
        self._device.setAccessibleName(f"Device: {words}")

    def show_comparison(self, models: Sequence[tuple[str, str]]) -> None:
        """(key, name) of the models that are compared; more than fit are told by a number."""
        for chip in self._chips:
            self._chip_row.removeWidget(chip)
            chip.deleteLater()
        self._chips, self._keys = [], []
        for key, name in models[:CHIPS_SHOWN]:
            chip = Chip(name, self, closable=True)
            chip.clicked.connect(self._click)
            chip.closed.connect(self._close)
            self._add(chip, key)
        if len(models) > CHIPS_SHOWN:
            rest = Chip(f"+{len(models) - CHIPS_SHOWN}", self)
            rest.setToolTip(", ".join(name for _, name in models[CHIPS_SHOWN:]))
            self._add(rest, models[CHIPS_SHOWN][0])
            rest.clicked.connect(self._click)
        self._compare.setVisible(bool(models))

    def _add(self, chip: Chip, key: str) -> None:
        self._chips.append(chip)
        self._keys.append(key)
        self._chip_row.addWidget(chip)

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.SPACE[2], 0, theme.SPACE[2], 0)
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.library)
        row.addWidget(self._logo)
        row.addWidget(self._name)
        row.addSpacing(theme.SPACE[2])
        row.addWidget(self.search, 3)
        row.addStretch(2)
        row.addWidget(self._compare)
        self._chip_row.setSpacing(theme.SPACE[1])
        row.addLayout(self._chip_row)
        row.addSpacing(theme.SPACE[1])
        for part in (self._device, self.bookmarks, self.inspector, self._theme, self._new):
            row.addWidget(part)
        self._compare.hide()
        self.library.hide()

    def _connect(self) -> None:
        self._new.clicked.connect(self.new_run_wanted)
        self._theme.clicked.connect(self.theme_wanted)
        self._name.clicked.connect(self.start_wanted)
        self.library.clicked.connect(self.library_wanted)
        self.inspector.clicked.connect(self.inspector_wanted)
        self.bookmarks.clicked.connect(self.bookmarks_wanted)
        self._device.clicked.connect(self.device_clicked)
        theme.changed.connect(self._dress)

    def _dress(self) -> None:
        look = theme.current()
        side = look.px(18)
        ratio = self.devicePixelRatioF()
        picture = icons.pixmap("logo", look.palette.text, round(side * ratio))
        picture.setDevicePixelRatio(ratio)
        self._logo.setPixmap(picture)
        self.setFixedHeight(look.px(HEIGHT))
        paint, title = look.palette, look.px(theme.TYPE["title"])
        self.setStyleSheet(
            f"QFrame#topbar {{ background: {paint.bg1}; border: none; border-bottom: 1px solid {paint.line}; }}"
            f'QPushButton[role="wordmark"] {{ color: {paint.text}; font-size: {title}px; font-weight: 600; }}'
        )

    def _key_of(self, sender: QObject | None) -> str:
        return next((k for chip, k in zip(self._chips, self._keys, strict=True) if chip is sender), "")

    def _click(self) -> None:
        self.chip_clicked.emit(self._key_of(self.sender()))

    def _close(self) -> None:
        self.chip_closed.emit(self._key_of(self.sender()))
