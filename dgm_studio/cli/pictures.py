"""Commands that write what a model shows: samples, reconstructions, traversals, paths; and read it back from a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dgm_studio.cli.talk import MODEL_HELP, Command, Commands, add_command, print_json, print_pairs

if TYPE_CHECKING:
    from dgm_studio.cli.desk import Desk

OUT_HELP = ".png, .gif, .webp, .mp4 (extra `video`) or .npz; the recipe is inside"
MOST_ROWS = 12  # latents of a traversal when none are named


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    sampling = _picture_command(commands, sample)
    sampling.add_argument("--count", type=int, default=64, help="how many (64)")
    sampling.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    sampling.add_argument("--truncation", type=float, default=1.0, help="scale of the prior's spread (1)")
    rebuilding = _picture_command(commands, reconstruct)
    rebuilding.add_argument("--count", type=int, default=32, help="how many (32)")
    rebuilding.add_argument("--start", type=int, default=0, help="the first example (0)")
    rebuilding.add_argument("--split", default="test", help="train, valid or test")
    traversing = _picture_command(commands, traverse)
    traversing.add_argument("--latents", default="", metavar="I,J", help=f"which (the {MOST_ROWS} with the largest KL)")
    traversing.add_argument("--reach", type=float, default=3.0, help="from -reach to +reach (3)")
    traversing.add_argument("--count", type=int, default=9, help="pictures in a row, odd (9)")
    traversing.add_argument("--seed", type=int, help="start at a draw from the prior rather than at zero")
    between = _picture_command(commands, interpolate)
    anchors = between.add_mutually_exclusive_group()
    anchors.add_argument("--seeds", default="", metavar="A,B", help="2 to 8 draws from the prior (0,1)")
    anchors.add_argument("--examples", default="", metavar="I,J", help="2 to 8 encoded examples of --split")
    between.add_argument("--split", default="test", help="train, valid or test")
    between.add_argument("--kind", default="linear", choices=("linear", "spherical", "geodesic"))
    between.add_argument("--count", type=int, default=24, help="pictures (24)")
    between.add_argument("--closed", action="store_true", help="return to the first one")
    reading = add_command(commands, "recipe", recipe)
    reading.add_argument("file", metavar="FILE", help="a picture, film or array that DGM Studio has written")
    reading.add_argument("--python", action="store_true", help="print a script that makes it again")


def _picture_command(commands: Commands, function: Command) -> argparse.ArgumentParser:
    command = add_command(commands, function.__name__, function)
    command.add_argument("model", metavar="FILE", help=MODEL_HELP)
    command.add_argument("--out", required=True, help=OUT_HELP)
    command.add_argument("--scale", type=int, default=2, help="enlargement of each picture (2)")
    command.add_argument("--theme", default="light", choices=("light", "dark"), help="paper of grey pictures")
    command.add_argument("--loop", type=float, default=3.0, metavar="SECONDS", help="length of a film's loop (3)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return command


def sample(arguments: argparse.Namespace) -> int:
    """Draw from a model's prior and write the pictures."""
    from dgm_studio.core.requests import SamplePrior

    asked = SamplePrior(arguments.model, arguments.count, arguments.seed, arguments.truncation)
    return _export(_desk(arguments), asked, arguments)


def reconstruct(arguments: argparse.Namespace) -> int:
    """Write examples and, below them, what is rebuilt from their latents."""
    from dgm_studio.core.requests import Reconstruct

    asked = Reconstruct(arguments.model, arguments.split, arguments.count, start=arguments.start)
    return _export(_desk(arguments), asked, arguments)


def traverse(arguments: argparse.Namespace) -> int:
    """Write film strips: one latent from low to high in each row."""
    from dgm_studio.core.requests import TraverseLatents

    desk = _desk(arguments)
    card = desk.card(arguments.model)
    latents = _numbers(arguments.latents, "--latents") or _largest(desk, arguments.model)
    _refuse_outside(latents, card.latent)
    start = (0.0,) * card.latent
    if arguments.seed is not None:
        start = _draw(desk, arguments.model, arguments.seed)
    directions = tuple(tuple(float(i == latent) for i in range(card.latent)) for latent in latents)
    names = tuple(f"z{latent:02d}" for latent in latents)
    asked = TraverseLatents(arguments.model, start, directions, names, arguments.reach, arguments.count)
    return _export(desk, asked, arguments)


def interpolate(arguments: argparse.Namespace) -> int:
    """Write the pictures on a path between draws or examples: straight, spherical or geodesic."""
    from dgm_studio.core.requests import FollowPath

    desk = _desk(arguments)
    if arguments.examples:
        places = _numbers(arguments.examples, "--examples")
        anchors = tuple(_encode(desk, arguments.model, arguments.split, index) for index in places)
    else:
        anchors = tuple(_draw(desk, arguments.model, seed) for seed in _numbers(arguments.seeds or "0,1", "--seeds"))
    asked = FollowPath(arguments.model, anchors, arguments.kind, arguments.count, arguments.closed)
    return _export(desk, asked, arguments)


def recipe(arguments: argparse.Namespace) -> int:
    """Say what an exported file was made from, or print the script that makes it again."""
    from dgm_studio.core.cards import as_json
    from dgm_studio.core.recipes import as_python, read_recipe
    from dgm_studio.core.updates import Problem

    found = read_recipe(arguments.file)
    if found is None:
        raise Problem(f"{arguments.file} carries no recipe.", "Choose a file that DGM Studio has exported.")
    if arguments.python:
        print(as_python(found), end="")
        return 0
    if arguments.json:
        return print_json(as_json(found))
    request = {name: str(value) for name, value in found.request.items() if name != "model"}
    return print_pairs(
        [
            ("model", f"{found.model}, step {found.step:,}"),
            ("weights", found.sha256),
            *request.items(),
            ("theme", found.theme),
            ("panel", found.panel),
            ("made with", ", ".join(f"{name} {version}" for name, version in found.versions.items())),
        ]
    )


def _desk(arguments: argparse.Namespace) -> Desk:
    from dgm_studio.cli.desk import Desk

    return Desk(arguments.device)


def _export(desk: Desk, asked: Any, arguments: argparse.Namespace) -> int:
    from dgm_studio.core.requests import Export, to_json

    request = Export(to_json(asked), arguments.out, arguments.scale, arguments.theme, arguments.loop)
    path = desk.result(request)
    if arguments.json:
        return print_json({"path": path, "request": to_json(asked)})
    print(path)
    return 0


def _numbers(words: str, option: str) -> tuple[int, ...]:
    """Whole numbers with commas between them.

    Raises:
        Problem: It is something else.
    """
    from dgm_studio.core.updates import Problem

    try:
        return tuple(int(word) for word in words.split(",") if word.strip())
    except ValueError:
        raise Problem(f"{option} {words} is not a list of whole numbers.", f"Write for example {option} 0,3.") from None


def _refuse_outside(latents: tuple[int, ...], size: int) -> None:
    from dgm_studio.core.updates import Problem

    if any(not 0 <= latent < size for latent in latents):
        raise Problem(f"This model has the latents 0 to {size - 1}.", "Choose among those.")


def _largest(desk: Desk, model: str) -> tuple[int, ...]:
    """The latents that the model uses most, those with the largest KL first."""
    from dgm_studio.core.cards import Capability
    from dgm_studio.core.requests import DescribeLatents

    card = desk.card(model)
    if Capability.ENCODES not in card.capabilities:
        return tuple(range(min(MOST_ROWS, card.latent)))
    order = desk.frame(DescribeLatents(model))["order"]
    return tuple(int(latent) for latent in order[:MOST_ROWS])


def _draw(desk: Desk, model: str, seed: int) -> tuple[float, ...]:
    from dgm_studio.core.requests import SamplePrior

    return tuple(float(value) for value in desk.frame(SamplePrior(model, 1, seed))["z"][0])


def _encode(desk: Desk, model: str, split: str, index: int) -> tuple[float, ...]:
    from dgm_studio.core.requests import EncodePicture

    return tuple(float(value) for value in desk.frame(EncodePicture(model, index=index, split=split))["mean"])
