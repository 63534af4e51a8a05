"""A screen to measure on where there is none: Xvfb, started for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from dgm_studio.core.updates import Problem
from dgm_studio.doctor import has_display

SIZE = "1920x1200x24"
NO_XVFB = "There is no display, and no Xvfb to stand in for one."


@contextlib.contextmanager
def screen() -> Iterator[dict[str, str]]:
    """The environment in which windows can be shown: as it is, or with the display of an Xvfb of our own.

    Raises:
        Problem: There is neither.
    """
    if has_display():
        yield {}
        return
    program = shutil.which("Xvfb")
    if program is None:
        raise Problem(NO_XVFB, "Install xvfb, or run this where there is a display.")
    reader, writer = os.pipe()
    command = [program, "-displayfd", str(writer), "-screen", "0", SIZE, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(writer,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        with os.fdopen(reader) as said:
            number = said.readline().strip()
        if not number:
            raise Problem("Xvfb did not start.", "Run this where there is a display.")
        yield {"DISPLAY": f":{number}"}
    finally:
        server.terminate()
        server.wait()
