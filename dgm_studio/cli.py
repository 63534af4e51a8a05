"""The command line: argparse only, every command imports what it needs when it runs.

`dgm-studio --help` thus answers at once, and a server without Qt can train.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from dgm_studio import __version__

EXIT_STATUS = "exit status: 0 done, 1 the work failed (one line says why), 2 wrong usage"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 the work failed, 2 wrong usage."""
    arguments = parser().parse_args(argv)
    from dgm_studio.core.updates import Problem

    try:
        if arguments.command is not doctor:  # the doctor is the one to ask when nothing may start
            refuse_known_bad()
        status: int = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except Problem as problem:
        return _complain(" ".join(filter(None, (problem.sentence, problem.action))))
    except BrokenPipeError:  # `dgm-studio data | head` has read enough
        sys.stderr.close()  # nor does the interpreter complain about it at exit
        return 0
    except OSError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain("Stopped.")


def parser() -> argparse.ArgumentParser:
    """Every command with its options; building it imports nothing of the program."""
    whole = argparse.ArgumentParser(
        prog="dgm-studio",
        description="Train, look inside, steer and compare deep generative models.",
        epilog=EXIT_STATUS,
    )
    whole.add_argument("--version", action="version", version=f"dgm-studio {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for function in (systems, data, doctor):
        about = (function.__doc__ or "").splitlines()[0]
        command = commands.add_parser(function.__name__, help=about, description=about, epilog=EXIT_STATUS)
        command.add_argument("--json", action="store_true", help="print one JSON document instead of text")
        command.set_defaults(command=function)
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


def systems(arguments: argparse.Namespace) -> int:
    """List the systems: what can be trained, with its paper and what it can be asked."""
    from dgm_studio.models.registry import systems as known

    cards = list(known().values())
    if arguments.json:
        return _print_json([card.to_json() for card in cards])
    rows = (
        (card.name, card.title, f"{card.paper.authors} {card.paper.year}", ", ".join(sorted(card.capabilities)))
        for card in cards
    )
    return _print_table(("name", "title", "paper", "can be asked"), rows)


def data(arguments: argparse.Namespace) -> int:
    """List the data sets in the box; folder:PATH and file:PATH.npz name your own."""
    from dgm_studio.data.registry import cards

    known = list(cards().values())
    if arguments.json:
        return _print_json([card.to_json() for card in known])
    rows = (
        (card.name, " x ".join(map(str, card.modalities[0].shape)), str(sum(card.counts.values())), card.licence)
        for card in known
    )
    return _print_table(("name", "shape", "examples", "licence"), rows)


def doctor(arguments: argparse.Namespace) -> int:
    """Say what this machine has and lacks: Qt, GL, system libraries, torch, devices, known-bad versions."""
    from dgm_studio.doctor import as_text, report

    found = report()
    if arguments.json:
        _print_json(found)
    else:
        print(as_text(found))
    return 1 if found["problems"] else 0


def _print_json(document: Any) -> int:
    print(json.dumps(document, indent=2, ensure_ascii=False))
    return 0


def _print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    table = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _complain(sentence: str) -> int:
    print(f"dgm-studio: {sentence}", file=sys.stderr)
    return 1
