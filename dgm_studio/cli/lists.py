"""Commands that tell what there is: systems, data, checkpoints, one model, this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dgm_studio.cli.talk import MODEL_HELP, Commands, add_command, figure, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from dgm_studio.core.cards import ModelCard


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    for function in (systems, data, zoo, doctor):
        add_command(commands, function.__name__, function)
    add_command(commands, "info", info).add_argument("model", metavar="FILE", help=MODEL_HELP)


def systems(arguments: argparse.Namespace) -> int:
    """List the systems: what can be trained, with its paper and what it can be asked."""
    from dgm_studio.models.registry import systems as known

    cards = list(known().values())
    if arguments.json:
        return print_json([card.to_json() for card in cards])
    rows = (
        (card.name, card.title, f"{card.paper.authors} {card.paper.year}", ", ".join(sorted(card.capabilities)))
        for card in cards
    )
    return print_table(("name", "title", "paper", "can be asked"), rows)


def data(arguments: argparse.Namespace) -> int:
    """List the data sets in the box; folder:PATH, file:PATH.npz and table:PATH.csv name your own."""
    from dgm_studio.data.registry import cards

    known = list(cards().values())
    if arguments.json:
        return print_json([card.to_json() for card in known])
    rows = (
        (card.name, " x ".join(map(str, card.modalities[0].shape)), str(sum(card.counts.values())), card.licence)
        for card in known
    )
    return print_table(("name", "shape", "examples", "licence"), rows)


def zoo(arguments: argparse.Namespace) -> int:
    """List the trained checkpoints in the box."""
    from dgm_studio.core.manifest import ZOO, model_card, zoo_names

    cards = [model_card(ZOO + name) for name in zoo_names()]
    if arguments.json:
        return print_json([card.to_json() for card in cards])
    rows = (
        (card.key, card.title, card.data, str(card.latent), str(card.parameters), _headline(card)) for card in cards
    )
    return print_table(("name", "system", "data", "latents", "numbers", "test figure"), rows)


def info(arguments: argparse.Namespace) -> int:
    """Say what a checkpoint or a run is: system, data, settings, figures, what it can be asked."""
    from dgm_studio.core.manifest import model_card

    card = model_card(arguments.model)
    return print_json(card.to_json()) if arguments.json else print_card(card)


def print_card(card: ModelCard) -> int:
    """All that a card says, in two columns."""
    return print_pairs(
        [
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
            *((name, figure(metric)) for name, metric in card.metrics.items()),
        ]
    )


def doctor(arguments: argparse.Namespace) -> int:
    """Say what this machine has and lacks: Qt, GL, system libraries, torch, devices, known-bad versions."""
    from dgm_studio.doctor import as_text, report

    found = report()
    if arguments.json:
        print_json(found)
    else:
        print(as_text(found))
    return 1 if found["problems"] else 0


def _headline(card: ModelCard) -> str:
    metric = card.metrics.get(card.headline)
    return f"{card.headline} {figure(metric)}" if metric else ""
