"""Runs measurements one after the other, each in a process of its own with a home of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from dgm_studio.bench.figures import Options, machine
from dgm_studio.bench.screen import screen
from dgm_studio.core.updates import Problem

NAMES = ("startup", "latency", "matrix", "heartbeat", "training", "stop", "saves", "film", "events")
WITH_WINDOW = frozenset({"startup", "latency", "matrix", "heartbeat", "events"})
LAST_LINES = 6  # of what a measurement that failed has said


def run(names: Sequence[str], options: Options, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure; the documents of all measurements with the machine's.

    Args:
        names: Of `NAMES`.
        options: How much.
        say: Told what is measured next.

    Raises:
        Problem: A measurement could not be made.
    """
    on, documents = machine(), []
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(screen()) if WITH_WINDOW & set(names) else {}
        for name in names:
            say(f"Measuring {name} …")
            documents.append(measure(name, options, shown))
    return {"machine": on, "measurements": documents}


def measure(name: str, options: Options, environment: dict[str, str]) -> dict[str, Any]:
    """One measurement in a child process.

    Raises:
        Problem: It ended without figures.
    """
    with tempfile.TemporaryDirectory(prefix="dgm-studio-bench-") as home:
        settings = {**os.environ, **environment, "DGM_STUDIO_HOME": home, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "dgm_studio.bench", name, json.dumps(dataclasses.asdict(options))]
        ran = subprocess.run(command, env=settings, capture_output=True, text=True)
    if ran.returncode:
        words = " ".join(ran.stderr.strip().splitlines()[-LAST_LINES:])
        raise Problem(f"The measurement {name} ended with status {ran.returncode}: {words or 'it said nothing'}.")
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found
