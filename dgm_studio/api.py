"""DGM Studio in a script or a notebook: the same requests as in the window, answered in this process.

>>> from dgm_studio import answer, draw, load, save                               # doctest: +SKIP
>>> from dgm_studio.core.requests import SamplePrior                              # doctest: +SKIP
>>> save(SamplePrior("zoo:vae-digits", count=64, seed=1), "digits.png", scale=2)  # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dgm_studio import load
from dgm_studio.core.requests import Export, to_json
from dgm_studio.core.updates import Frame, Result, Update
from dgm_studio.explore import sheets
from dgm_studio.explore.workbench import Workbench, pick_device, worker_threads

__all__ = ["answer", "draw", "load", "save"]


@cache
def _bench(device: str) -> Workbench:
    chosen = pick_device(device)
    if chosen.type == "cpu":
        # As many threads as the window's worker has: sums in another order would move a pixel now and then.
        torch.set_num_threads(worker_threads())
    return Workbench(chosen)


def answer(request: Any, device: str = "cpu") -> list[Update]:
    """All updates that answer a request (see `core.requests`); the last Frame of a topic is its final state.

    Raises:
        Problem: The request cannot be answered; says why.
    """
    return list(_bench(device).answer(request))


def draw(request: Any, *, theme: str = "light", scale: int = 1, device: str = "cpu") -> npt.NDArray[np.uint8]:
    """What a request shows as one picture, [H, W, 3].

    Args:
        request: Any that has pictures in its Frames.
        theme: "light" or "dark": ink on paper of grey pictures.
        scale: Enlargement of each picture.
        device: Where to compute.

    Raises:
        Problem: It cannot be answered, or shows no picture.
    """
    frames = {u.topic: u.data for u in answer(request, device) if isinstance(u, Frame)}
    return sheets.still(frames, theme, scale)


def save(
    request: Any,
    path: str | Path,
    *,
    theme: str = "light",
    scale: int = 1,
    seconds: float = 3.0,
    sha256: str = "",
    device: str = "cpu",
) -> Path:
    """Write what a request shows to a file, with its recipe inside.

    Args:
        request: Any that shows something.
        path: .png, .gif, .webp, .mp4 or .npz.
        theme: "light" or "dark": ink on paper of grey pictures.
        scale: Enlargement of each picture.
        seconds: Length of one loop of a film.
        sha256: Of the weights the file is expected to come from; a warning when they are others, "" does not ask.
        device: Where to compute.

    Raises:
        Problem: It cannot be answered or written.
    """
    bench = _bench(device)
    key = getattr(request, "model", "")
    if sha256 and key and bench.card(key).sha256 != sha256:
        warnings.warn(f"the weights of {key} are not those that the picture was made with", stacklevel=2)
    asked = Export(to_json(request), str(path), scale, theme, seconds)
    (written,) = [u.value for u in bench.answer(asked) if isinstance(u, Result)]
    return Path(written)
