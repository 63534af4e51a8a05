"""Random hands on the real window while a run trains: nothing may crash, nothing may go unhandled.

The window lives in a child process, so that a crash is a figure. Every event is written to a file before it is sent;
the last ones stand in the document when something happened.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dgm_studio.bench.figures import Figure, Options, document

EVENTS = 10_000
SECONDS_AN_EVENT = 0.5  # of patience, on the average
SECONDS_AT_LEAST = 300.0
LAST = 20  # events told when something went wrong
SAID = 4000  # characters of what the program said


def measure(options: Options) -> dict[str, Any]:
    """Send the events to a window in a child process and count what goes wrong."""
    count = options.count or EVENTS
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        record = Path(home) / "events.jsonl"
        hands = dataclasses.replace(options, count=count)
        command = [sys.executable, "-X", "faulthandler", "-m", "dgm_studio.bench.hands", str(record)]
        settings = {**os.environ, "DGM_STUDIO_HOME": home}
        patience = SECONDS_AT_LEAST + SECONDS_AN_EVENT * count
        try:
            ran = subprocess.run(
                [*command, json.dumps(dataclasses.asdict(hands))],
                env=settings,
                capture_output=True,
                text=True,
                timeout=patience,
            )
            status, said, told = ran.returncode, ran.stderr, ran.stdout
        except subprocess.TimeoutExpired as late:
            status, said, told = -1, _text(late.stderr) + f"\nnothing for {patience:.0f} s", ""
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    found: dict[str, Any] = json.loads(told.splitlines()[-1]) if told.strip() else {}
    sent = found.get("sent", len(lines))
    errors = found.get("errors", [])
    figures = [
        Figure("crashes and hangs", int(status != 0 or not found), f"in {sent} events", 0),
        Figure("unhandled exceptions", len(errors), f"in {sent} events", 0),
        Figure("Qt's warnings of the critical kind", len(found.get("critical", [])), f"in {sent} events", 0),
        Figure("events sent", sent, "", count, at_least=True),
        Figure("time", time.perf_counter() - begun, "s"),
    ]
    details = {key: value for key, value in found.items() if key not in ("errors", "critical")}
    wrong = bool(status or errors or found.get("critical"))
    more = {"last events": lines[-LAST:], "said": said[-SAID:]} if wrong else {}
    return document(
        "events", figures, status=status, errors=errors, critical=found.get("critical", []), **details, **more
    )


def _text(said: bytes | str | None) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""
