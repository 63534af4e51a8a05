"""The command line: argparse only, every command imports what it needs when it runs.

`dgm-studio --help` thus answers at once, and a server without Qt can train.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dgm_studio import __version__

if TYPE_CHECKING:
    from dgm_studio.core.cards import Metric, ModelCard

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
    for function in (systems, data, zoo, info, doctor):
        about = (function.__doc__ or "").splitlines()[0]
        command = commands.add_parser(function.__name__, help=about, description=about, epilog=EXIT_STATUS)
        command.add_argument("--json", action="store_true", help="print one JSON document instead of text")
        command.set_defaults(command=function)
        if function is info:
            command.add_argument(
                "model", metavar="FILE", help="a checkpoint, a run folder, run:FOLDER@STEP or zoo:NAME"
            )
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


def zoo(arguments: argparse.Namespace) -> int:
    """List the trained checkpoints in the box."""
    from dgm_studio.core.manifest import ZOO, model_card, zoo_names

    cards = [model_card(ZOO + name) for name in zoo_names()]
    if arguments.json:
        return _print_json([card.to_json() for card in cards])
    rows = (
        (card.key, card.title, card.data, str(card.latent), str(card.parameters), _headline(card)) for card in cards
    )
    return _print_table(("name", "system", "data", "latents", "numbers", "test figure"), rows)


def info(arguments: argparse.Namespace) -> int:
    """Say what a checkpoint or a run is: system, data, settings, figures, what it can be asked."""
    from dgm_studio.core.manifest import model_card

    card = model_card(arguments.model)
    if arguments.json:
        return _print_json(card.to_json())
    lines = [
        ("name", card.name),
        ("system", f"{card.system} ({card.title})"),
        ("data", card.data),
        ("sees", ", ".join(f"{each.kind} {' x '.join(map(str, each.shape))}" for each in card.modalities)),
        ("can be asked", ", ".join(sorted(card.capabilities))),
        ("latents", str(card.latent)),
        ("numbers learnt", f"{card.parameters:,}"),
        ("step", f"{card.step:,} of {card.steps:,}"),
        ("seed", str(card.seed)),
        ("forked from", card.parent),
        ("snapshots", ", ".join(map(str, card.snapshots))),
        ("file", card.path),
        *((f"set {name}", str(value)) for name, value in {**card.config, **card.training}.items()),
        *((name, _figure(metric)) for name, metric in card.metrics.items()),
    ]
    width = max(len(name) for name, _ in lines) + 2
    print("\n".join(f"{name:<{width}}{value}" for name, value in lines if value))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Say what this machine has and lacks: Qt, GL, system libraries, torch, devices, known-bad versions."""
    from dgm_studio.doctor import as_text, report

    found = report()
    if arguments.json:
        _print_json(found)
    else:
        print(as_text(found))
    return 1 if found["problems"] else 0


def _headline(card: ModelCard) -> str:
    metric = card.metrics.get(card.headline)
    return f"{card.headline} {_figure(metric)}" if metric else ""


def _figure(metric: Metric) -> str:
    error = f" ± {metric.error:.2g}" if metric.error else ""
    about = ", ".join(filter(None, (metric.estimator, metric.split)))
    return f"{metric.value:.5g}{error} {metric.unit}".rstrip() + (f" ({about})" if about else "")


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
