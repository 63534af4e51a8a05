"""The samples panel on a model that has no latents, but takes noise off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtWidgets import QWidget

from dgm_studio.core.cards import Capability, Modality
from dgm_studio.core.requests import SamplePrior
from dgm_studio.core.updates import Frame
from dgm_studio.gui.panels import fitting
from dgm_studio.gui.panels.samples import SamplesPanel

from .denoise_toy import DIGIT, IMAGE, POINTS, Toy, card


@pytest.mark.parametrize("modalities", [(IMAGE, DIGIT), (POINTS,)])
def test_it_is_offered_draws_at_once_and_has_nothing_to_truncate(
    adopt: Callable[[QWidget], QWidget], modalities: tuple[Modality, ...]
) -> None:
    shown = card(modalities, capabilities=frozenset({Capability.DENOISES}))
    assert SamplesPanel in fitting(shown)
    toy = Toy(modalities, at_once=False)
    panel = SamplesPanel(shown, toy)
    adopt(panel)
    panel.show()
    panel.begin()
    (asked,) = [request for request in toy.requests("grid") if isinstance(request, SamplePrior)]
    assert asked.truncation == 1.0 and not panel._scale.isVisible()
    pictures = len(modalities) > 1
    made = np.zeros((9, 16, 16), np.uint8) if pictures else np.zeros((9, 2), np.float32)
    data = {"pictures" if pictures else "points": made, "z": np.zeros((9, 0), np.float32), "of": 9}
    ticket = toy.waiting["grid"]
    panel.receive("grid", Frame("samples", data), ticket)
    panel.choose(3)
    assert not toy.requests("neighbours")  # which are asked by latents


def test_a_model_with_latents_is_still_truncated(adopt: Callable[[QWidget], QWidget]) -> None:
    shown = card(capabilities=frozenset({Capability.SAMPLES, Capability.DECODES}))
    panel = SamplesPanel(shown, Toy(at_once=False))
    adopt(panel)
    panel.show()
    assert panel._scale.isVisible()
