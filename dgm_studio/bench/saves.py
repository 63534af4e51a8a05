"""A process that saves is killed again and again; every checkpoint it leaves must load."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dgm_studio.bench.figures import Figure, Options, document
from dgm_studio.checkpoints.torture import torture

KILLS = 200


def measure(options: Options) -> dict[str, Any]:
    """Kill -9 in the middle of saving."""
    kills = options.count or KILLS
    with tempfile.TemporaryDirectory() as folder:
        found = torture(Path(folder), kills, options.seed)
    figures = [
        Figure("unreadable checkpoints", found.unreadable, f"of {kills} kills", 0),
        Figure("saves that were reported and lost", found.lost, f"of {kills} kills", 0),
        Figure("kills that hit a save half done", found.interrupted, f"of {kills} kills"),
    ]
    return document("saves", figures)
