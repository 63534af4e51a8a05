"""The panels, in the order of their tabs. Their modules are imported when the first model is looked at."""

from __future__ import annotations

import importlib
import importlib.util

from dgm_studio.core.cards import ModelCard
from dgm_studio.gui.panels.spec import Panel

_TABLE = (
    ("training", "TrainingPanel"),
    ("cross", "CrossPanel"),
    ("classify", "ClassifyPanel"),
    ("latent", "LatentPanel"),
    ("denoise", "DenoisingPanel"),
    ("samples", "ReconstructPanel"),
    ("samples", "SamplesPanel"),
    ("compare", "ComparePanel"),
)


def panels() -> tuple[type[Panel], ...]:
    """Every panel there is."""
    found = []
    for module, name in _TABLE:
        where = f"{__name__}.{module}"
        if importlib.util.find_spec(where) is not None:
            found.append(getattr(importlib.import_module(where), name))
    return tuple(found)


def fitting(card: ModelCard) -> tuple[type[Panel], ...]:
    """The panels that can show a model, in the order of their tabs."""
    return tuple(panel for panel in panels() if panel.fits(card))


def named(name: str) -> type[Panel]:
    """A panel by its stable name.

    Raises:
        KeyError: There is none of that name; the message lists those there are.
    """
    by_name = {panel.name: panel for panel in panels()}
    if name not in by_name:
        raise KeyError(f"there is no panel {name}; there are: {', '.join(by_name)}")
    return by_name[name]
