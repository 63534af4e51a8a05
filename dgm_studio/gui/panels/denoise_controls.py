"""The side column of the denoising panel: sampler, draws and what the model is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests.denoising import CLIPS, SAMPLERS, SPACINGS
from dgm_studio.gui import theme
from dgm_studio.gui.form import QuietCombo
from dgm_studio.gui.panels.cross_editors import editor_of
from dgm_studio.gui.panels.cross_state import in_frame
from dgm_studio.gui.panels.denoise_state import MOST_POINTS, MOST_SAMPLES, MOST_STEPS, Stage
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.fold import Fold
from dgm_studio.gui.widgets.iconbutton import Button, IconButton
from dgm_studio.gui.widgets.labels import ElidedLabel, label
from dgm_studio.gui.widgets.valueslider import ValueSlider

MOST_SEED = 9999
MOST_GUIDANCE = 10.0
NAME = 72
SUITED = "What suits the sampler"
VARIANCES = {"model": "As the model", "small": "Small", "large": "Large", "learnt": "Learnt"}
FREE = "Free"
STEPS_OWN = "Own levels say how many steps there are; choose another spacing to set them"
NO_LEVELS = "There are no levels of your own yet: draw them in the schedule's section."


class Choice(QWidget):
    """A named list of which some entries may be refused, with the reason in their tooltip.

    Args:
        name: Before the list, and for screen readers.
        words: What there is, by key.
        named: Whether the name is shown.

    Signals:
        chosen(str): The hand chose this key.
    """

    chosen = Signal(str)

    def __init__(self, name: str, words: Mapping[str, str], parent: QWidget, *, named: bool = True) -> None:
        super().__init__(parent)
        self._keys = list(words)
        self.list = QuietCombo(self)
        self.list.setAccessibleName(name)
        self.list.addItems(list(words.values()))
        self.list.setMinimumWidth(40)
        self._name = ElidedLabel(name, "secondary", self)
        self._name.setVisible(named)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self._name)
        row.addWidget(self.list, 1)
        self.list.activated.connect(self._on_activated)
        theme.changed.connect(self._fit)
        self._fit()

    def key(self) -> str:
        """What is chosen."""
        return self._keys[self.list.currentIndex()]

    def set_key(self, key: str) -> None:
        """Choose without a signal; a key that is unknown changes nothing."""
        if key in self._keys:
            self.list.setCurrentIndex(self._keys.index(key))

    def set_words(self, words: Mapping[str, str]) -> None:
        """Offer other entries; the first is chosen where the old one is gone."""
        if list(words.items()) != [(key, self.list.itemText(n)) for n, key in enumerate(self._keys)]:
            before = self.key()
            self._keys = list(words)
            self.list.clear()
            self.list.addItems(list(words.values()))
            self.set_key(before)

    def set_refusals(self, why: Mapping[str, str]) -> None:
        """Disable entries and say why; "" is allowed."""
        model = self.list.model()
        for place, key in enumerate(self._keys):
            reason = why.get(key, "")
            self.list.setItemData(place, reason or None, Qt.ItemDataRole.ToolTipRole)
            if isinstance(model, QStandardItemModel):
                model.item(place).setEnabled(not reason)
        self.list.setToolTip(why.get(self.key(), ""))

    def refused(self) -> dict[str, str]:
        """The entries that cannot be chosen, and why."""
        told = {key: self.list.itemData(n, Qt.ItemDataRole.ToolTipRole) for n, key in enumerate(self._keys)}
        return {key: str(why) for key, why in told.items() if why}

    def _fit(self) -> None:
        self._name.setFixedWidth(theme.current().px(NAME))

    def _on_activated(self, place: int) -> None:
        self.chosen.emit(self._keys[place])


class SamplingCard(Card):
    """Sampler, steps, guidance; the rest behind *More*."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Sampling", parent)
        self.stage = stage
        self.sampler = Choice("Sampler", SAMPLERS, self)
        self.steps = ValueSlider("Steps", 1, MOST_STEPS, 50, self, log=True, whole=True)
        self.guidance = ValueSlider("Guidance", 0.0, MOST_GUIDANCE, 1.0, self)
        self.spacing = Choice("Spacing", {"": SUITED, **SPACINGS}, self)
        self.eta = ValueSlider("Noise, eta", 0.0, 1.0, 0.0, self)
        self.churn = ValueSlider("Churn", 0.0, 80.0, 0.0, self)
        self.variance = Choice("Variance", VARIANCES, self)
        self.clip = Choice("Clipping", CLIPS, self)
        self.percentile = ValueSlider("Percentile", 0.9, 1.0, 0.995, self)
        self.more = Fold("More", self)
        self.own = IconButton("reset", "The model's own settings", self, bare=True)
        self._lay_out()
        self._connect()
        self.show_state()

    def _lay_out(self) -> None:
        self.add_right(self.own)
        for slider in (self.steps, self.guidance, self.eta, self.churn, self.percentile):
            slider.set_name_width(NAME)
        for widget in (self.sampler, self.steps, self.guidance):
            self.add(widget)
        for widget in (self.spacing, self.eta, self.churn, self.variance, self.clip, self.percentile):
            self.more.body.addWidget(widget)
        self.add(self.more)
        self.eta.setToolTip("0 follows the ODE, 1 draws as much noise as DDPM (Song et al. 2021, equation 16)")
        self.churn.setToolTip("Noise added and taken away again (Karras et al. 2022, algorithm 2)")
        self.percentile.setToolTip("Of dynamic thresholding (Saharia et al. 2022)")

    def _connect(self) -> None:
        for name in ("sampler", "spacing", "variance", "clip"):
            choice: Choice = getattr(self, name)
            choice.chosen.connect(lambda key, name=name: self._on_chosen(name, key))
        for name in ("steps", "guidance", "eta", "churn", "percentile"):
            slider: ValueSlider = getattr(self, name)
            slider.moved.connect(lambda value, name=name: self._on_moved(name, value))
            slider.released.connect(lambda name=name: self._on_released(name))
        self.own.clicked.connect(self._on_own)

    def useful(self) -> bool:
        """Always."""
        return True

    def show_state(self) -> None:
        """The settings of the selected film, and which of them mean anything."""
        stage, sampling = self.stage, self.stage.take.sampling
        for name in ("sampler", "spacing", "variance", "clip"):
            getattr(self, name).set_key(getattr(sampling, name))
        for name in ("steps", "guidance", "eta", "churn", "percentile"):
            getattr(self, name).set_value(getattr(sampling, name))
        self.sampler.set_refusals(stage.about.get("samplers") or {})
        own = sampling.spacing == "own"
        self.steps.setEnabled(not own)
        self.steps.setToolTip(STEPS_OWN if own else "")
        self.spacing.set_refusals({} if sampling.levels else {"own": NO_LEVELS})
        known = {"model", *(stage.about.get("variances") or VARIANCES)}
        self.variance.set_refusals({k: "The model has not learnt it." for k in VARIANCES if k not in known})
        conditional = bool(stage.conditions())
        self.guidance.setVisible(conditional)
        self.guidance.setEnabled(bool(stage.take.condition))
        self.guidance.setToolTip(
            "0 is free, 1 is what was given; more exaggerates it (Ho and Salimans 2022)"
            if stage.take.condition
            else "Give the model something first: guidance pulls towards it"
        )
        self.eta.setVisible(sampling.sampler == "ddim")
        self.churn.setVisible(sampling.sampler == "heun")
        self.variance.setVisible(sampling.sampler == "ddpm")
        self.percentile.setVisible(sampling.clip == "dynamic")
        self.own.setVisible(stage.state.own)

    def _on_chosen(self, name: str, key: str) -> None:
        words = getattr(self, name).list.currentText()
        self.stage.change(f"{_WORDS[name]}: {words}", sampling={name: key})

    def _on_moved(self, name: str, value: float) -> None:
        self.stage.change(sampling={name: round(value) if name == "steps" else round(value, 4)})

    def _on_released(self, name: str) -> None:
        value = getattr(self.stage.take.sampling, name)
        self.stage.committed.emit(f"{_WORDS[name]} {value:g}")

    def _on_own(self) -> None:
        self.stage.take_own()


_WORDS = {
    "sampler": "Sampler",
    "spacing": "Spacing",
    "variance": "Variance",
    "clip": "Clipping",
    "steps": "Steps",
    "guidance": "Guidance",
    "eta": "Eta",
    "churn": "Churn",
    "percentile": "Percentile",
}


class DrawsCard(Card):
    """How many samples, of which noise, and what their film takes in memory."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Draws", parent)
        self.stage = stage
        self.count = ValueSlider(
            "Samples", 1, MOST_SAMPLES if stage.pictures else MOST_POINTS, 16, self, log=True, whole=True
        )
        self.count.set_name_width(NAME)
        self.seed = label("", "figures", self)
        self.again = Button("New seed", self, icon="random")
        self.again.setToolTip("Other noise (R)")
        self.first = Button("Seed 0", self)
        self.memory = label("", "secondary", self, wrap=True)
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE[1])
        row.addWidget(self.again)
        row.addWidget(self.first)
        row.addStretch(1)
        self.add_right(self.seed)
        self.add(self.count)
        self.body.addLayout(row)
        self.add(self.memory)
        self.count.moved.connect(self._on_count)
        self.count.released.connect(self._on_released)
        self.again.clicked.connect(self.reroll)
        self.first.clicked.connect(self._on_first)
        self.show_state()

    def useful(self) -> bool:
        """Always."""
        return True

    def show_state(self) -> None:
        """The settings, and the memory that a film of them takes."""
        state, take = self.stage.state, self.stage.take
        self.count.set_value(state.count)
        self.seed.setText(f"seed {take.seed}")
        self.first.setEnabled(take.seed != 0)
        self.memory.setText(self.memory_words())

    def memory_words(self) -> str:
        """What the selected film takes, said before it is recorded."""
        stage = self.stage
        take, half = stage.take, stage.half(stage.take)
        size = stage.film_bytes(take)
        frames = stage.steps_made(take) // half + 1
        kept = "" if half == 1 else f" Every step would take {in_bytes(size)}: one in {half} is kept."
        return f"Film of {frames:,} frames: {in_bytes(size / half)} of memory.{kept}"

    def reroll(self) -> None:
        """Other noise."""
        seed = (self.stage.take.seed + 1) % (MOST_SEED + 1)
        self.stage.change(f"Seed {seed}", seed=seed)

    def _on_first(self) -> None:
        self.stage.change("Seed 0", seed=0)

    def _on_count(self, count: float) -> None:
        self.stage.set(count=round(count), sample=min(self.stage.state.sample, round(count) - 1))

    def _on_released(self) -> None:
        self.stage.committed.emit(f"{self.stage.state.count} samples")


def in_bytes(size: float) -> str:
    """Bytes in words.

    >>> in_bytes(26_400_000), in_bytes(5200)
    ('26 MB', '0.01 MB')
    """
    megabytes = size / 1e6
    return f"{megabytes:,.0f} MB" if megabytes >= 10 else f"{max(megabytes, 0.01):.2g} MB"


class GivenPart(QWidget):
    """One thing the model can be given, or nothing of it: a label has a first segment for that, attributes are unknown.

    Signals:
        edited(str, object): A value, on every move; None for nothing.
        settled(str): The gesture is over.
    """

    edited = Signal(str, object)
    settled = Signal(str)

    def __init__(self, modality: Modality, parent: QWidget) -> None:
        super().__init__(parent)
        self.modality = modality
        self._listed = modality.kind in ("label", "categorical")
        offered = replace(modality, categories=(FREE, *modality.categories)) if self._listed else modality
        self.editor = editor_of(offered, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE[0])
        column.addWidget(ElidedLabel(modality.name, "secondary", self))
        column.addWidget(self.editor)
        self.editor.edited.connect(self._on_edited)
        self.editor.settled.connect(self._on_settled)

    def show_value(self, value: Any) -> None:
        """Show what is given, None for nothing."""
        modality = self.editor.modality
        if self._listed:
            self.editor.show_value(in_frame(modality, 0 if value is None else int(value) + 1))
        elif modality.kind == "attributes":
            self.editor.show_value(in_frame(modality, value or (-1,) * len(modality.columns)))
        else:
            self.editor.show_value(value or "")

    def _on_edited(self, value: Any) -> None:
        if self._listed:
            value = None if value == 0 else value - 1
        elif self.modality.kind == "attributes" and all(v < 0 for v in value):
            value = None
        self.edited.emit(self.modality.name, value or None if isinstance(value, str) else value)

    def _on_settled(self) -> None:
        self.settled.emit(self.modality.name)


class ConditionCard(Card):
    """What all samples of the film are given."""

    def __init__(self, stage: Stage, parent: QWidget) -> None:
        super().__init__("Given", parent)
        self.stage = stage
        self.parts: dict[str, GivenPart] = {}
        self.show_state()

    def useful(self) -> bool:
        """For conditional models only."""
        return bool(self.stage.conditions())

    def show_state(self) -> None:
        """The condition of the selected film."""
        for modality in self.stage.conditions():
            if modality.name not in self.parts:
                part = GivenPart(modality, self)
                part.edited.connect(self._on_edited)
                part.settled.connect(self._on_settled)
                self.parts[modality.name] = part
                self.add(part)
        for name, part in self.parts.items():
            part.show_value(self.stage.take.condition.get(name))

    def _on_edited(self, name: str, value: Any) -> None:
        given = {n: v for n, v in self.stage.take.condition.items() if n != name}
        if value is not None:
            given[name] = value
        self.stage.change(condition=given)

    def _on_settled(self, name: str) -> None:
        self.stage.committed.emit(f"Give {name}" if name in self.stage.take.condition else f"Free {name}")
