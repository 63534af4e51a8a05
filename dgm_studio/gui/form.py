"""From field descriptions to a form of widgets, and back to checked values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from dgm_studio.core.forms import Field, FormError, check
from dgm_studio.gui import theme
from dgm_studio.gui.panels.latent_room import WrappedLabel
from dgm_studio.gui.widgets.fold import Fold
from dgm_studio.gui.widgets.labels import ElidedLabel, label

FOLDED = ("more", "advanced")


class Form(QWidget):
    """One row for each field, under the headings of their groups; rare groups ("More", "Advanced") are folded.

    A refused value stays in its field and says under it why it is refused; `values` then raises.

    Signals:
        changed(): A value was changed by hand.
    """

    changed = Signal()

    def __init__(self, fields: Iterable[Field], parent: QWidget | None = None, *, under: str = "") -> None:
        """Build the rows; `under` is the heading that stands above the form and need not be said again."""
        super().__init__(parent)
        self._under = under
        self._rows: dict[str, FieldRow] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[1])
        for group, members in _grouped(fields).items():
            self._add_group(column, group, members)

    def _add_group(self, column: QVBoxLayout, group: str, members: list[Field]) -> None:
        if group.lower() in FOLDED:
            fold = Fold(group, self)
            fold.body.addWidget(self._grid(members))
            column.addWidget(fold)
            return
        if group and group not in (self._under, *(field.label for field in members)):
            column.addWidget(label(group, "section", self))
        column.addWidget(self._grid(members))

    def _grid(self, members: list[Field]) -> QWidget:
        inner = QWidget(self)
        grid = QGridLayout(inner)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.SPACE[2])
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 3)
        grid.setColumnStretch(1, 2)
        for place, field in enumerate(members):
            row = FieldRow(field, inner)
            row.changed.connect(self.changed)
            self._rows[field.name] = row
            top = Qt.AlignmentFlag.AlignTop
            grid.addWidget(row.words, 3 * place, 0)
            grid.addWidget(row.editor, 3 * place, 1, 2, 1, top)
            grid.addWidget(row.help, 3 * place + 1, 0, top)
            grid.addWidget(row.refusal, 3 * place + 2, 0, 1, 2)
        return inner

    def names(self) -> list[str]:
        """The fields, in order."""
        return list(self._rows)

    def editor(self, name: str) -> QWidget:
        """The widget of a field.

        Raises:
            KeyError: There is no such field.
        """
        return self._rows[name].editor

    def values(self) -> dict[str, Any]:
        """Every field's value, checked.

        Raises:
            FormError: A value is refused; the first such.
        """
        return {name: row.value() for name, row in self._rows.items()}

    def changed_values(self) -> dict[str, Any]:
        """Only what differs from the defaults, as a recipe wants it.

        Raises:
            FormError: A value is refused.
        """
        return {name: value for name, value in self.values().items() if value != self._rows[name].field.default}

    def refusals(self) -> dict[str, str]:
        """What is refused, by field, and why."""
        return {name: row.refusal.text() for name, row in self._rows.items() if not row.refusal.isHidden()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values without a signal.

        Raises:
            KeyError: There is no such field.
            FormError: A value is refused.
        """
        for name, value in values.items():
            self._rows[name].set_value(value)

    def reset(self) -> None:
        """Show the defaults; a signal follows."""
        for row in self._rows.values():
            row.set_value(row.field.default)
        self.changed.emit()


class FieldRow(QWidget):
    """The label, the editor and the refusal of one field; the form lays them out.

    Signals:
        changed(): The value was changed by hand.
    """

    changed = Signal()

    def __init__(self, field: Field, parent: QWidget) -> None:
        super().__init__(parent)
        self.hide()
        self.field = field
        self.words = ElidedLabel(field.label, "", parent)
        self.words.set_hint(field.help)
        self.help = WrappedLabel("caption", parent)
        self.help.setText(field.help)
        self.help.setContentsMargins(0, 0, 0, theme.SPACE[1])
        self.refusal = QLabel("", parent)
        self.refusal.setProperty("role", "bad")
        self.refusal.setWordWrap(True)
        self.refusal.hide()
        self.editor = self._make(parent)
        self.editor.setAccessibleName(field.label)
        self.editor.setAccessibleDescription(field.help)
        self.editor.setToolTip("\n".join(part for part in (field.help, range_words(field)) if part))
        self.words.setBuddy(self.editor)
        self.set_value(field.default)

    def value(self) -> Any:
        """The value as the field's type.

        Raises:
            FormError: It is refused.
        """
        if isinstance(self.editor, QCheckBox):
            return self.editor.isChecked()
        if isinstance(self.editor, QComboBox):
            return check(self.field, self.editor.currentData())
        assert isinstance(self.editor, QLineEdit)
        return check(self.field, self.editor.text())

    def set_value(self, value: Any) -> None:
        """Show a value without a signal.

        Raises:
            FormError: It is refused.
        """
        taken = check(self.field, value)
        self.editor.blockSignals(True)
        if isinstance(self.editor, QCheckBox):
            self.editor.setChecked(taken)
        elif isinstance(self.editor, QComboBox):
            self.editor.setCurrentIndex(self.editor.findData(taken))
        elif isinstance(self.editor, QLineEdit):
            self.editor.setText(value_words(self.field, taken))
            self.editor.setCursorPosition(0)
        self.editor.blockSignals(False)
        self._judge()

    def _make(self, parent: QWidget) -> QWidget:
        if self.field.kind == "bool":
            box = QCheckBox(parent)
            box.toggled.connect(self._on_edit)
            return box
        if self.field.kind == "choice":
            combo = QuietCombo(parent)
            for choice in self.field.choices:
                combo.addItem(choice_words(choice), choice)
            combo.view().setAccessibleName(f"{self.field.label}, choices")
            combo.currentTextChanged.connect(self._on_edit)
            return combo
        line = QLineEdit(parent)
        line.setProperty("figures", self.field.kind != "text")
        line.setPlaceholderText(range_words(self.field))
        line.textEdited.connect(self._on_edit)
        return line

    def _on_edit(self) -> None:
        self._judge()
        self.changed.emit()

    def _judge(self) -> None:
        """Say under the field why a value is refused, or nothing."""
        reason = ""
        try:
            self.value()
        except FormError as error:
            reason = f"{error.sentence} {error.action}".strip()
        self.refusal.setText(reason)
        self.refusal.setVisible(bool(reason))
        self.editor.setProperty("refused", bool(reason))
        self.editor.style().polish(self.editor)


class QuietCombo(QComboBox):
    """A list that a passing wheel does not change."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turn only what has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


def value_words(field: Field, value: Any) -> str:
    """A value as it stands in its field; read back it is the same value.

    >>> value_words(Field("sizes", "ints", (1,)), (64, 128))
    '64, 128'
    """
    if field.kind == "ints":
        return ", ".join(str(v) for v in value)
    if field.kind == "float":
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def choice_words(choice: str) -> str:
    """A choice as people read it.

    >>> choice_words("logistic-mixture"), choice_words("mlp")
    ('Logistic mixture', 'MLP')
    """
    text = choice.replace("-", " ").replace("_", " ")
    return text.upper() if text == "mlp" else text[:1].upper() + text[1:]


def range_words(field: Field) -> str:
    """The allowed range in words, "" where there is none.

    >>> range_words(Field("latent", "int", 16, low=1, high=512))
    'from 1 to 512'
    """
    low = None if field.low is None else f"{field.low:g}"
    high = None if field.high is None else f"{field.high:g}"
    if low and high:
        return f"from {low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def _grouped(fields: Iterable[Field]) -> dict[str, list[Field]]:
    """Fields by group in order of appearance; those without a group first, the folded groups last."""
    groups: dict[str, list[Field]] = {}
    for field in fields:
        groups.setdefault(field.group, []).append(field)
    return dict(sorted(groups.items(), key=lambda entry: (entry[0].lower() in FOLDED, entry[0] != "")))
