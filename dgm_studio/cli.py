"""The command line: argparse only, every command imports what it needs when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dgm_studio import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 the work failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="dgm-studio")
    parser.add_argument("--version", action="version", version=f"dgm-studio {__version__}")
    parser.parse_args(argv)
    return 0
