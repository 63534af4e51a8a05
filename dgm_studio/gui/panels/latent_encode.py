"""Encode your own: draw, drop or pick a picture, and see what the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from dgm_studio.core.cards import Modality
from dgm_studio.gui import choosing, theme
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.painting import Picture
from dgm_studio.gui.widgets.pictureview import PictureView

PICTURES = "Pictures (*.png *.jpg *.jpeg *.bmp *.gif *.webp *.tif *.tiff)"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class DrawPopover(QFrame):
    """Paper beside the button; closes when something else is clicked.

    Signals:
        drawn(object, bool): The picture so far, uint8 [H, W] or [H, W, 3], and whether the stroke is over.
        refused(str): A dropped file cannot be used.
    """

    drawn = Signal(object, bool)
    refused = Signal(str)

    def __init__(self, shape: tuple[int, ...], parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("surface", "toast")
        self.setAccessibleName("Draw a picture")
        channels, height, width = shape
        self.canvas = DrawCanvas("A picture of your own", height, width, self, colour=channels == 3)
        self.canvas.setFixedSize(theme.current().px(232), theme.current().px(232))
        self.centre = QCheckBox("Centre the ink", self)
        self.centre.setAccessibleName("Centre the ink")
        self.centre.setToolTip("Scale and centre the drawing as the digits of MNIST are")
        self.centre.setChecked(channels == 1)
        self.rub = IconButton("erase", "Rub out (right button)", self, on_icon="erase")
        self.back = IconButton("undo", "Take the last stroke back", self)
        self.clear = Button("Clear", self)
        row = QHBoxLayout()
        for widget in (self.centre, self.rub, self.back, self.clear):
            row.addWidget(widget)
        row.insertStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.SPACE[2], theme.SPACE[2], theme.SPACE[2], theme.SPACE[2])
        column.addWidget(self.canvas)
        column.addLayout(row)
        self.canvas.changed.connect(self._on_changed)
        self.canvas.finished.connect(self._on_finished)
        self.canvas.refused.connect(self.refused)
        self.centre.toggled.connect(self.canvas.set_centring)
        self.rub.toggled.connect(self.canvas.set_erasing)
        self.back.clicked.connect(self.canvas.undo)
        self.clear.clicked.connect(self.canvas.clear)

    def open_at(self, button: QWidget) -> None:
        """Show it above or below a button, inside the screen."""
        self.adjustSize()
        corner = button.mapToGlobal(QPoint(0, button.height() + 4))
        room = button.screen().availableGeometry()
        x = min(max(corner.x(), room.left()), room.right() - self.width())
        fits = corner.y() + self.height() <= room.bottom()
        y = corner.y() if fits else corner.y() - self.height() - button.height() - 8
        self.move(x, max(room.top(), y))
        self.show()
        self.canvas.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape and Return close."""
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.close()
        else:
            super().keyPressEvent(event)

    def _on_changed(self) -> None:
        if not self.canvas.empty():
            self.drawn.emit(self.canvas.picture(), False)

    def _on_finished(self) -> None:
        if not self.canvas.empty():
            self.drawn.emit(self.canvas.picture(), True)


class EncodeCard(Card):
    """Ways to give the model a picture, and its posterior in figures.

    Signals:
        drawn(object, bool): A picture under the pen, and whether the stroke is over.
        example_wanted(int): An example of the validation data, -1 for a random one.
        file_wanted(str): A picture file.
        back_wanted(): Bring z to the posterior's mean again.
        clear_wanted(): Forget the picture.
    """

    drawn = Signal(object, bool)
    example_wanted = Signal(int)
    file_wanted = Signal(str)
    back_wanted = Signal()
    clear_wanted = Signal()

    def __init__(self, modality: Modality, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self._shape = modality.shape
        self._popover: DrawPopover | None = None
        self.setAcceptDrops(True)
        self.draw = Button("Encode a drawing", self, icon="draw")
        self.draw.setToolTip("Draw on a canvas, or drop a picture file on this card (E)")
        self.random = IconButton("random", "Encode a random example", self)
        self.number = QSpinBox(self)
        self.number.setRange(0, 0)
        self.number.setAccessibleName("Number of the validation example to encode")
        self.number.setToolTip("Encode this example of the validation data")
        self.number.setKeyboardTracking(False)
        self.number.setMinimumWidth(theme.current().px(56))
        self.open = IconButton("open", "Encode a picture file", self)
        self.original = PictureView("Encoded picture", self, smooth=True)
        self.rebuilt = PictureView("Its reconstruction", self, smooth=True)
        self.figures = WrappedLabel("secondary", self, lines=2)
        self.whose = ElidedLabel("", "secondary", self)
        self.back = Button("Go to its mean", self)
        self.clear = Button("Forget it", self)
        self._busy = False
        self._lay_out()
        self._connect()
        self.show_posterior(None)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        self.draw.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for widget in (self.draw, self.random, self.open):
            row.addWidget(widget)
        self.body.addLayout(row)
        self._shown = QWidget(self)
        shown = QHBoxLayout(self._shown)
        shown.setContentsMargins(0, 0, 0, 0)
        shown.setSpacing(theme.SPACE[1])
        side = theme.current().px(56)
        for view, hint in ((self.original, "What was encoded"), (self.rebuilt, "Decoded from the posterior's mean")):
            view.setFixedSize(side, side)
            view.setToolTip(hint)
            shown.addWidget(view)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.whose)
        words.addWidget(self.figures, 1)
        shown.addLayout(words, 1)
        self._actions = QWidget(self)
        actions = QHBoxLayout(self._actions)
        actions.setContentsMargins(0, 0, 0, 0)
        actions.setSpacing(theme.SPACE[1])
        actions.addWidget(self.back)
        actions.addWidget(self.clear)
        actions.addStretch(1)
        actions.addWidget(self.number)
        self.add(self._shown)
        self.add(self._actions)
        self.error = WrappedLabel("bad", self)
        self.error.hide()
        self.add(self.error)

    def _connect(self) -> None:
        self.draw.clicked.connect(self.open_drawing)
        self.random.clicked.connect(self._on_random)
        self.number.valueChanged.connect(self._on_number)
        self.open.clicked.connect(self._on_open)
        self.back.clicked.connect(self.back_wanted)
        self.clear.clicked.connect(self.clear_wanted)

    # -- showing -------------------------------------------------------------------------------------------------------

    def show_examples(self, count: int) -> None:
        """How many validation examples there are to choose from."""
        for widget in (self.number, self.random):
            widget.setVisible(count > 0)
        self._busy = True
        self.number.setMaximum(max(0, count - 1))
        self._busy = False

    def show_posterior(self, data: Mapping[str, Any] | None, words: str = "") -> None:
        """Show a Frame "posterior", None for none.

        Args:
            data: See `core.requests.EncodePicture`.
            words: What the picture is ("valid 12").
        """
        for widget in (self._shown, self._actions, self.clear):
            widget.setVisible(data is not None)
        self.error.hide()
        if data is None:
            return
        self.original.set_picture(data.get("picture"))
        self.rebuilt.set_picture(data.get("reconstruction"))
        self.whose.setText(words)
        parts = [f"KL {float(data['kl']):.1f} nats"]
        bound = float(data.get("bound", np.nan))
        if np.isfinite(bound):
            parts.append(f"log p(x) ≥ {bound:.1f} nats".replace("-", "\N{MINUS SIGN}"))
        self.figures.setText("\n".join(parts))
        self.figures.setToolTip("KL of the posterior from the prior; importance-weighted bound on the log likelihood")

    def show_number(self, index: int) -> None:
        """The example that is encoded, without a signal."""
        self._busy = True
        if 0 <= index <= self.number.maximum():
            self.number.setValue(index)
        self._busy = False

    def show_error(self, words: str) -> None:
        """Why it could not be encoded."""
        self.error.setText(words)
        self.error.show()

    # -- by hand -------------------------------------------------------------------------------------------------------

    def open_drawing(self) -> None:
        """The paper."""
        if self._popover is None:
            self._popover = DrawPopover(self._shape, self)
            self._popover.drawn.connect(self._on_drawn)
            self._popover.refused.connect(self.show_error)
        self._popover.open_at(self.draw)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Pictures are welcome."""
        if any(url.isLocalFile() and url.toLocalFile().lower().endswith(SUFFIXES) for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Encode the first of them."""
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        found = [path for path in files if path.lower().endswith(SUFFIXES)]
        if found:
            event.acceptProposedAction()
            self.file_wanted.emit(found[0])

    def _on_drawn(self, picture: Picture, done: bool) -> None:
        self.drawn.emit(picture, done)

    def _on_random(self) -> None:
        self.example_wanted.emit(-1)

    def _on_number(self, index: int) -> None:
        if not self._busy:
            self.example_wanted.emit(index)

    def _on_open(self) -> None:
        choosing.open_file(self, "Encode a picture", PICTURES, self.file_wanted.emit)
