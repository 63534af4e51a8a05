"""Dialogs that are opened and left alone: the answer comes as a call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication, QDialog, QInputDialog, QMessageBox, QWidget

from dgm_studio.gui import choosing


@pytest.fixture
def parent(qapp: QApplication, adopt: Callable[[QWidget], QWidget]) -> QWidget:
    widget = QWidget()
    adopt(widget)
    widget.show()
    return widget


def the_dialog(parent: QWidget) -> QDialog:
    (dialog,) = [d for d in parent.findChildren(QDialog) if d.isVisible()]
    return dialog


def gone(parent: QWidget) -> bool:
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return not parent.findChildren(QDialog)


def test_a_chosen_file_is_handed_on_once_and_the_dialog_goes(parent: QWidget, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    taken: list[str] = []
    choosing.open_file(parent, "Open", "Pictures (*.png)", taken.append)
    dialog = the_dialog(parent)
    dialog.fileSelected.emit(str(tmp_path / "a.png"))  # type: ignore[attr-defined]
    dialog.close()
    assert taken == [str(tmp_path / "a.png")] and gone(parent)


def test_nothing_chosen_calls_the_other_way(parent: QWidget) -> None:
    told: list[str] = []
    choosing.open_folder(parent, "Folder", told.append, lambda: told.append("nothing"))
    the_dialog(parent).reject()
    assert told == ["nothing"] and gone(parent)


def test_a_file_to_write_comes_with_the_kind_that_was_chosen(parent: QWidget, tmp_path: Path) -> None:
    taken: list[tuple[str, str]] = []
    choosing.save_file(parent, "Export", "a.png", "PNG (*.png);;GIF (*.gif)", lambda *both: taken.append(both))
    dialog = the_dialog(parent)
    dialog.selectNameFilter("GIF (*.gif)")  # type: ignore[attr-defined]
    dialog.fileSelected.emit(str(tmp_path / "a"))  # type: ignore[attr-defined]
    dialog.close()
    assert taken == [(str(tmp_path / "a"), "GIF (*.gif)")] and gone(parent)


def test_a_line_and_a_yes_are_handed_on_and_a_no_is_not(parent: QWidget) -> None:
    told: list[str] = []
    choosing.ask_line(parent, "Rename", "Name", "old", told.append)
    line = the_dialog(parent)
    assert isinstance(line, QInputDialog) and line.textValue() == "old"
    line.setTextValue("new")
    line.accept()
    assert gone(parent)
    for answer in (QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes):
        choosing.ask_yes(parent, "Export", "Replace it?", lambda: told.append("yes"))
        question = the_dialog(parent)
        assert isinstance(question, QMessageBox)
        question.button(answer).click()
        assert gone(parent)
    assert told == ["new", "yes"]
