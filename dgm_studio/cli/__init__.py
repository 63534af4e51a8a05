"""The command line: argparse only, every command imports what it needs when it runs.

`dgm-studio --help` thus answers at once, and a server without Qt can train.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dgm_studio import __version__
from dgm_studio.cli import bench, crossing, denoising, figures, lists, pictures, training, window
from dgm_studio.cli.talk import EXIT_STATUS, complain

__all__ = ["main", "parser", "refuse_known_bad"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 the work failed, 2 wrong usage."""
    arguments = parser().parse_args(argv)
    from dgm_studio.core.updates import Problem

    try:
        if arguments.command is not lists.doctor:  # the doctor is the one to ask when nothing may start
            refuse_known_bad()
        status: int = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except Problem as problem:
        return complain(" ".join(filter(None, (problem.sentence, problem.action))))
    except BrokenPipeError:  # `dgm-studio data | head` has read enough
        sys.stderr.close()  # nor does the interpreter complain about it at exit
        return 0
    except OSError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        return complain("Stopped.")


def parser() -> argparse.ArgumentParser:
    """Every command with its options; building it imports nothing of the program."""
    whole = argparse.ArgumentParser(
        prog="dgm-studio",
        description="Train, look inside, steer and compare deep generative models. Without a command: the window.",
        epilog=EXIT_STATUS,
    )
    whole.add_argument("--version", action="version", version=f"dgm-studio {__version__}")
    whole.set_defaults(command=window.open_window, files=[], device="auto")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND")
    for group in (window, training, figures, pictures, crossing, denoising, lists, bench):
        group.add(commands)
    return whole


def refuse_known_bad() -> None:
    """Stop before a combination of versions is started that is known to crash or to be unsafe.

    Raises:
        Problem: This is one; the sentence says why.
    """
    from dgm_studio.core.updates import Problem
    from dgm_studio.doctor import known_bad

    reasons = known_bad()
    if reasons:
        raise Problem(" ".join(reasons))
