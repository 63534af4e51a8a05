"""Commands for models that denoise: a film of the denoising, and a race of samplers."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from dgm_studio.cli.crossing import names_in, pairs_in, value_of
from dgm_studio.cli.pictures import OUT_HELP
from dgm_studio.cli.talk import MODEL_HELP, Command, Commands, add_command, print_json, print_table

if TYPE_CHECKING:
    from dgm_studio.cli.desk import Desk
    from dgm_studio.core.requests import Beginning, Sampling

# The names of `core.requests.denoising.SAMPLERS`, written out so that --help imports nothing.
SAMPLERS = ("ddpm", "ddim", "dpmpp-2m", "heun", "euler", "euler-flow", "heun-flow")
SPACINGS = ("time", "log-snr", "karras")
CLIPS = ("model", "none", "static", "dynamic")
PICTURES, POINTS = 8, 256  # samples where none are asked for
NOISED = 0.6  # depth of a picture: at 1 nothing would be left of it


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    playing = _command(commands, denoise)
    playing.add_argument("--out", required=True, help=f"{OUT_HELP}; a film, or a contact sheet as .png")
    playing.add_argument("--sampler", default="", choices=("", *SAMPLERS), help="what suits the model when not named")
    playing.add_argument("--steps", type=int, default=0, help="from noise to data (what suits the model)")
    playing.add_argument("--spacing", default="", choices=("", *SPACINGS), help="of the levels")
    playing.add_argument("--eta", type=float, default=0.0, help="noise of DDIM, 0 to 1 (0)")
    playing.add_argument("--churn", type=float, default=0.0, help="S_churn of Heun (0)")
    playing.add_argument("--clip", default="model", choices=CLIPS, help="what is done to clean estimates")
    playing.add_argument("--from", dest="start", default="noise", choices=("noise", "picture", "inverted", "between"))
    playing.add_argument("--index", type=int, default=0, help="example of --split to start from (0)")
    playing.add_argument("--split", default="test", help="train, valid or test")
    playing.add_argument(
        "--depth", type=float, default=0.0, help="share of the steps that are made from it (0.6 of a picture, else 1)"
    )
    playing.add_argument("--keep", default="", choices=("", *_SIDES), help="inpaint: the part of the example to keep")
    playing.add_argument("--other", type=int, default=1, metavar="SEED", help="other end of --from between (1)")
    playing.add_argument("--weight", type=float, default=0.5, help="between the two ends, 0 to 1 (0.5)")
    playing.add_argument("--scale", type=int, default=2, help="enlargement of each picture (2)")
    playing.add_argument("--theme", default="light", choices=("light", "dark"), help="paper of grey pictures")
    playing.add_argument("--loop", type=float, default=3.0, metavar="SECONDS", help="length of the film's loop (3)")
    racing = _command(commands, race)
    racing.add_argument("--samplers", default="", metavar="A,B", help="the lanes (all that this model can use)")
    racing.add_argument("--evaluations", type=int, default=20, help="network evaluations each may make (20)")
    racing.add_argument("--seconds", type=float, default=0.0, help="time each may take instead")
    racing.add_argument("--exact", action="store_true", help="also under the exact denoiser, where it is known")
    racing.add_argument("--orders", action="store_true", help="error against evaluations, with the measured orders")
    racing.add_argument("--truth", default="model", choices=("model", "exact", "gaussian"), help="score of --orders")


def _command(commands: Commands, function: Command) -> argparse.ArgumentParser:
    command = add_command(commands, function.__name__, function)
    command.add_argument("model", metavar="FILE", help=MODEL_HELP)
    command.add_argument("--count", type=int, default=0, help="samples at once (8; of points 256)")
    command.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a condition")
    command.add_argument("--guidance", type=float, default=1.0, help="weight of the condition; 1 is given, 0 free (1)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return command


def denoise(arguments: argparse.Namespace) -> int:
    """Write the film of a denoising, from noise, a noised picture or a kept part of one."""
    from dgm_studio.core.requests import Export, PlayDenoising, to_json

    desk = _desk(arguments)
    asked = PlayDenoising(
        arguments.model,
        _sampling(desk, arguments),
        _count(desk, arguments),
        arguments.seed,
        _condition(desk, arguments),
        _beginning(desk, arguments),
    )
    written = Export(to_json(asked), arguments.out, arguments.scale, arguments.theme, arguments.loop)
    path = desk.result(written)
    if arguments.json:
        return print_json({"path": path, "request": to_json(asked)})
    print(path)
    return 0


def _sampling(desk: Desk, arguments: argparse.Namespace) -> Sampling:
    """As asked for; the model's own defaults where nothing is."""
    from dataclasses import replace

    own = _defaults(desk, arguments.model)
    sampler = arguments.sampler or own.sampler
    return replace(
        own,
        sampler=sampler,
        steps=arguments.steps or own.steps,
        spacing=arguments.spacing or (own.spacing if sampler == own.sampler else ""),
        eta=arguments.eta,
        churn=arguments.churn,
        guidance=arguments.guidance,
        clip=arguments.clip,
    )


def _defaults(desk: Desk, model: str) -> Sampling:
    from dgm_studio.core.cards import from_json
    from dgm_studio.core.requests import DescribeDenoiser, Sampling

    return from_json(Sampling, desk.frame(DescribeDenoiser(model))["sampling"])


def _count(desk: Desk, arguments: argparse.Namespace) -> int:
    """As many as asked for; where nothing is, enough points to show a distribution."""
    return int(arguments.count) or (PICTURES if desk.card(arguments.model).image() is not None else POINTS)


_SIDES = ("left", "right", "top", "bottom")


def _beginning(desk: Desk, arguments: argparse.Namespace) -> Beginning:
    from dgm_studio.core.requests import Beginning, Source

    return Beginning(
        arguments.start,
        Source(arguments.index, arguments.split),
        arguments.depth or (NOISED if arguments.start == "picture" else 1.0),
        arguments.other,
        arguments.weight,
        _mask(desk, arguments),
    )


def _mask(desk: Desk, arguments: argparse.Namespace) -> tuple[tuple[int, ...], ...]:
    """1 on the half that is kept.

    Raises:
        Problem: The model makes no pictures.
    """
    from dgm_studio.core.updates import Problem

    if not arguments.keep:
        return ()
    image = desk.card(arguments.model).image()
    if image is None:
        raise Problem("Only of a picture can a part be kept.", "Leave out --keep.")
    _, height, width = image.shape
    low, wide = height // 2, width // 2
    rows = {"top": range(low), "bottom": range(low, height)}.get(arguments.keep, range(height))
    columns = {"left": range(wide), "right": range(wide, width)}.get(arguments.keep, range(width))
    return tuple(tuple(int(i in rows and j in columns) for j in range(width)) for i in range(height))


def race(arguments: argparse.Namespace) -> int:
    """Run several samplers from the same noise at equal cost, and say how far each ends from the exact way."""
    from dgm_studio.core.requests import MeasureOrders, RaceSamplers, Sampling

    desk = _desk(arguments)
    lanes = tuple(names_in(arguments.samplers)) or _usable(desk, arguments.model)
    condition = _condition(desk, arguments)
    if arguments.orders:
        lanes = tuple(lane for lane in lanes if lane != "ddpm")  # it draws noise on its way: no order
        asked: Any = MeasureOrders(
            arguments.model,
            lanes,
            truth=arguments.truth,
            count=_count(desk, arguments),
            seed=arguments.seed,
            condition=condition,
        )
        return _print_orders(desk.frame(asked), arguments)
    asked = RaceSamplers(
        arguments.model,
        tuple(Sampling(lane, guidance=arguments.guidance) for lane in lanes),
        arguments.evaluations,
        arguments.seconds,
        _count(desk, arguments),
        arguments.seed,
        condition,
        arguments.exact,
    )
    return _print_race(desk.frame(asked), arguments)


def _usable(desk: Desk, model: str) -> tuple[str, ...]:
    from dgm_studio.core.requests import DescribeDenoiser

    found = desk.frame(DescribeDenoiser(model))["samplers"]
    return tuple(name for name in SAMPLERS if not found.get(name, "unknown"))


def _print_race(data: dict[str, Any], arguments: argparse.Namespace) -> int:
    lanes = [
        {
            "name": lane["name"],
            "sampling": lane["sampling"],
            "evaluations": int(lane["evaluations"]),
            "seconds": float(lane["seconds"]),
            "error": float(lane["error"]),
        }
        for lane in data["lanes"]
    ]
    if arguments.json:
        return print_json({"lanes": lanes, "reference": data["reference"]["name"]})
    print_table(
        ("sampler", "steps", "evaluations", "seconds", "error"),
        [
            (
                lane["name"],
                str(lane["sampling"]["steps"]),
                str(lane["evaluations"]),
                f"{lane['seconds']:.2f}",
                "draws noise" if math.isnan(lane["error"]) else f"{lane['error']:.5f}",
            )
            for lane in lanes
        ],
    )
    print(f"\nerror: root mean square distance from {data['reference']['name']}")
    return 0


def _print_orders(data: dict[str, Any], arguments: argparse.Namespace) -> int:
    curves = [
        {
            "name": curve["name"],
            "sampler": curve["sampler"],
            "order": float(curve["slope"]),
            "evaluations": [int(v) for v in curve["evaluations"]],
            "error": [float(v) for v in curve["error"]],
        }
        for curve in data["curves"]
    ]
    if arguments.json:
        return print_json({"curves": curves, "truth": data["truth"], "reference": data["reference"]})
    for curve in curves:
        print(f"{curve['name']}: order {curve['order']:.2f}")
        print_table(
            ("evaluations", "error"),
            [(str(n), f"{e:.3g}") for n, e in zip(curve["evaluations"], curve["error"], strict=True)],
        )
        print()
    print(f"error: root mean square distance from {data['reference']}")
    return 0


def _condition(desk: Desk, arguments: argparse.Namespace) -> dict[str, Any]:
    card = desk.card(arguments.model)
    return {name: value_of(card, name, value) for name, value in pairs_in(arguments.set, "--set")}


def _desk(arguments: argparse.Namespace) -> Desk:
    from dgm_studio.cli.desk import Desk

    return Desk(arguments.device)
