"""DGM Studio: train, look inside, steer and compare deep generative models.

Importing this package imports nothing heavy: neither torch nor Qt.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from dgm_studio.api import answer, draw, save

__all__ = ["__version__", "answer", "draw", "load", "save"]
__version__ = "0.1.0"


def load(key: str, device: str = "cpu") -> nn.Module:
    """A trained model, in evaluation mode, for a script of one's own.

    Args:
        key: "zoo:NAME", a checkpoint file, "run:FOLDER" or "run:FOLDER@STEP".
        device: Where its weights go.

    Returns:
        The module; its class says what it can do (`encode`, `decode`, ...).

    Raises:
        Problem: Nothing is there, or it is damaged.
    """
    # By name: an import statement would make torch a part of every room that asks this package for its version.
    store = importlib.import_module("dgm_studio.checkpoints.store")
    model: nn.Module = store.load_model(key, device)[0]
    return model


def __getattr__(name: str) -> Any:
    """`answer`, `draw` and `save` from `dgm_studio.api`, when they are asked for."""
    if name in ("answer", "draw", "save"):
        return getattr(importlib.import_module("dgm_studio.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
