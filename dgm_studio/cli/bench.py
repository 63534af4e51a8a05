"""`dgm-studio bench`: what the program promises, measured on this machine."""

from __future__ import annotations

import argparse
import sys

from dgm_studio.cli.talk import Commands, add_command, print_json, print_table

# The names of `bench.running.NAMES`, written out so that --help imports nothing.
NAMES = ("startup", "latency", "matrix", "heartbeat", "training", "stop", "saves", "film", "events")


def add(commands: Commands) -> None:
    """Add this file's command to the parser."""
    command = add_command(commands, "bench", bench)
    command.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of: {', '.join(NAMES)}")
    command.add_argument("--seconds", type=float, default=0.0, help="length of one measurement")
    command.add_argument("--count", type=int, default=0, help="repetitions, kills or events")
    command.add_argument("--seed", type=int, default=0, help="of everything random")
    command.add_argument("--checkpoint", default="", metavar="FILE", help="the model to look at (zoo:vae-digits)")
    command.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")


def bench(arguments: argparse.Namespace) -> int:
    """Measure this machine: start, latency, training, stopping, saving, random events; bars beside the figures.

    Status 1 when a bar is not reached.
    """
    from dgm_studio.bench.figures import Options, rows
    from dgm_studio.bench.running import run
    from dgm_studio.core import forms
    from dgm_studio.core.updates import Problem

    wanted = NAMES if not arguments.names or "all" in arguments.names else tuple(arguments.names)
    for name in wanted:
        if name not in NAMES:
            near = forms.nearest(name, NAMES)
            raise Problem(f"There is no measurement {name}.", f"Did you mean {near}?" if near else ", ".join(NAMES))
    options = Options(arguments.seconds, arguments.count, arguments.seed, arguments.checkpoint, device=arguments.device)
    found = run(wanted, options, lambda words: print(words, file=sys.stderr, flush=True))
    if arguments.json:
        print_json(found)
    else:
        on = found["machine"]
        print(f"{on['processor']}, {on['cores']} cores, torch {on['versions']['torch']}, load {on['load']}\n")
        print_table(("what", "measured", "bar", "kept"), rows(found["measurements"]))
    figures = [figure for each in found["measurements"] for figure in each["figures"]]
    return 1 if any(figure["good"] is False for figure in figures) else 0
