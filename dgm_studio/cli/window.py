"""Commands that need Qt: the window, and a panel as a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from dgm_studio.cli.talk import Commands, add_command, print_json

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
    picture = add_command(commands, "shot", shot)
    picture.add_argument("panel", metavar="PANEL", help="latent, training, samples ...")
    picture.add_argument("--checkpoint", required=True, metavar="FILE", help="a model's key or file")
    picture.add_argument("--out", required=True, metavar="PNG")
    picture.add_argument("--theme", default="dark", choices=("dark", "light"))
    picture.add_argument("--scale", type=float, default=1.0, help="device pixels for each logical pixel (1)")
    picture.add_argument("--size", default="1440x900", metavar="WxH", help="in logical pixels (1440x900)")
    picture.add_argument("--window", action="store_true", help="the whole window rather than the panel alone")
    picture.add_argument("--state", metavar="FILE", help="a panel's state as JSON, or an exported file with a recipe")
    picture.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def open_window(arguments: argparse.Namespace) -> int:
    """Show the window, with files in it (the default)."""
    from dgm_studio.core.updates import Problem
    from dgm_studio.doctor import has_display

    if not has_display():
        raise Problem(NO_DISPLAY)
    from dgm_studio import app

    return app.main(arguments.files, arguments.device)


def shot(arguments: argparse.Namespace) -> int:
    """Write a panel, or the whole window, as a picture; needs no screen."""
    size = _size(arguments.size)
    state = _state(arguments.state) if arguments.state else None
    from dgm_studio import app

    app.shot(
        arguments.panel,
        arguments.checkpoint,
        Path(arguments.out),
        look=arguments.theme,
        scale=arguments.scale,
        size=size,
        state=state,
        whole=arguments.window,
        device=arguments.device,
    )
    if arguments.json:
        return print_json({"path": arguments.out})
    print(arguments.out)
    return 0


def _size(words: str) -> tuple[int, int]:
    """Width and height.

    Raises:
        Problem: It is something else.
    """
    from dgm_studio.core.updates import Problem

    wide, _, high = words.lower().partition("x")
    if not (wide.isdigit() and high.isdigit() and 0 < int(wide) <= 10_000 and 0 < int(high) <= 10_000):
        raise Problem(f"{words} is not a size.", "Write for example --size 1440x900.")
    return int(wide), int(high)


def _state(path: str) -> dict[str, Any]:
    """The state of a panel, from JSON or from the recipe of an exported file.

    Raises:
        Problem: There is none in it.
    """
    from dgm_studio.core.recipes import read_recipe
    from dgm_studio.core.updates import Problem

    if not path.endswith(".json"):
        recipe = read_recipe(path)
        if recipe is None or not recipe.state:
            raise Problem(f"{path} carries no panel's state.", "Choose a file that a panel has exported, or JSON.")
        return recipe.state
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise Problem(f"{path} is not JSON ({error}).") from error
    if not isinstance(found, dict):
        raise Problem(f"{path} holds no panel's state.", "It is a JSON object.")
    return found
