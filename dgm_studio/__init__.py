"""DGM Studio: train, look inside, steer and compare deep generative models.

Importing this package imports nothing heavy: neither torch nor Qt.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["__version__", "load"]
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
