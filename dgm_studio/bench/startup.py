"""From the start of the process to the window on the screen, and to a worker that answers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from dgm_studio.bench.figures import Figure, Options, document
from dgm_studio.core.updates import Problem

STARTS = 5


def measure(options: Options) -> dict[str, Any]:
    """Medians over several starts; each one has the files in the system's cache, as a second start of the day has."""
    starts = [_start(options) for _ in range(1 + (options.count or STARTS))][1:]  # the first one fills that cache
    shown, warm = ([each[name] for each in starts] for name in ("shown", "warm"))
    figures = [
        Figure("window shown", statistics.median(shown), "s", 1.0),
        Figure("worker warm", statistics.median(warm), "s", 5.0),
    ]
    return document("startup", figures, shown=shown, warm=warm)


def _start(options: Options) -> dict[str, float]:
    """Seconds from exec, with an empty home.

    Raises:
        Problem: The program ended before its worker was warm.
    """
    with tempfile.TemporaryDirectory() as home:
        begun = time.time()
        ran = subprocess.run(
            [sys.executable, "-m", "dgm_studio.bench.started", options.device],
            env={**os.environ, "DGM_STUDIO_HOME": home},
            capture_output=True,
            text=True,
        )
    if ran.returncode:
        raise Problem(f"The program ended with status {ran.returncode}: {ran.stderr.strip()[-300:]}.")
    return {name: at - begun for name, at in json.loads(ran.stdout.splitlines()[-1]).items()}
