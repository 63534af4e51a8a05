"""Commands that need Qt: the window."""

from __future__ import annotations

import argparse

from dgm_studio.cli.talk import Commands, add_command

NO_DISPLAY = (
    "There is no display, so no window can be shown. `dgm-studio shot` paints a panel into a file without one, and the"
    " tests run without one too: python packaging/bootstrap.py test"
)


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    opening = add_command(commands, "open", open_window, json=False)
    opening.add_argument(
        "files", nargs="*", metavar="FILE", help="checkpoints, run folders, exported pictures, zoo:NAME"
    )
    opening.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def open_window(arguments: argparse.Namespace) -> int:
    """Show the window, with files in it (the default)."""
    from dgm_studio.core.updates import Problem
    from dgm_studio.doctor import has_display

    if not has_display():
        raise Problem(NO_DISPLAY)
    from dgm_studio import app

    return app.main(arguments.files, arguments.device)
