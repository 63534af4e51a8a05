"""Asking for a file, a folder, a line or a yes. Nothing waits in a loop of its own: the answer comes as a call.

A Python error inside a nested event loop (`QFileDialog.getOpenFileName` and its kind) ends the process, so dialogs are
opened and left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

Taken = Callable[[str], object]


def _nothing() -> None:
    """What happens when nothing is chosen."""


def open_file(parent: QWidget, title: str, kinds: str, then: Taken, otherwise: Callable[[], object] = _nothing) -> None:
    """Ask for a file that is there; `then(path)`."""
    dialog = QFileDialog(parent, title, str(Path.home()), kinds)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    _show(dialog, then, otherwise)


def open_folder(parent: QWidget, title: str, then: Taken, otherwise: Callable[[], object] = _nothing) -> None:
    """Ask for a folder; `then(path)`."""
    dialog = QFileDialog(parent, title, str(Path.home()))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    _show(dialog, then, otherwise)


def save_file(parent: QWidget, title: str, name: str, kinds: str, then: Callable[[str, str], object]) -> None:
    """Ask where to write, replacing included; `then(path, kind)` with the chosen one of `kinds` (parted by ";;")."""
    dialog = QFileDialog(parent, title, str(Path.home()), kinds)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.selectFile(name)
    _show(dialog, lambda path: then(path, dialog.selectedNameFilter()), _nothing)


def ask_line(parent: QWidget, title: str, words: str, text: str, then: Taken) -> None:
    """Ask for a line of text; `then(line)`."""
    dialog = QInputDialog(parent)
    dialog.setWindowTitle(title)
    dialog.setLabelText(words)
    dialog.setTextValue(text)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.textValueSelected.connect(then)
    dialog.open()


def ask_yes(parent: QWidget, title: str, question: str, then: Callable[[], object], verb: str = "") -> None:
    """Ask a question; `then()` on yes, which `verb` names where it cannot be taken back."""
    dialog = QMessageBox(QMessageBox.Icon.Question, title, question, parent=parent)
    dialog.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    if verb:
        dialog.button(QMessageBox.StandardButton.Yes).setText(verb)
        dialog.button(QMessageBox.StandardButton.No).setText("Cancel")
        dialog.setDefaultButton(QMessageBox.StandardButton.No)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.finished.connect(lambda answer: then() if answer == QMessageBox.StandardButton.Yes else None)
    dialog.open()


def _show(dialog: QFileDialog, then: Taken, otherwise: Callable[[], object]) -> None:
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(then)
    dialog.rejected.connect(otherwise)
    dialog.open()
