"""Commands about runs: train."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from dgm_studio.cli.lists import print_card
from dgm_studio.cli.talk import Commands, ProgressLine, add_command, complain, print_json

if TYPE_CHECKING:
    from dgm_studio.core.cards import ModelCard
    from dgm_studio.core.requests import Train
    from dgm_studio.core.updates import Update
    from dgm_studio.training.loop import Session

SHOWN = ("valid/elbo", "train/elbo", "valid/loss", "train/loss")  # the first two of these that there are


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    training = add_command(commands, "train", train)
    training.add_argument("system", nargs="?", default="", metavar="SYSTEM", help="see `dgm-studio systems`")
    training.add_argument("--recipe", metavar="FILE", help="a recipe (packaging/zoo/*.toml) instead of SYSTEM and D")
    training.add_argument(
        "--data", default="", metavar="D", help="see `dgm-studio data`; or folder:PATH, file:PATH, table:PATH.csv"
    )
    training.add_argument("--steps", type=int, metavar="N", help="optimiser steps in all")
    training.add_argument("--seed", type=int, metavar="S", help="of everything random (0)")
    training.add_argument("--out", default="", metavar="RUN", help="the run's folder; a bare name is below your runs")
    training.add_argument("--name", default="", help="what people call the run")
    training.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the system or of training; may be given again and again",
    )
    training.add_argument("--resume", action="store_true", help="go on with the run in --out where it stopped")
    training.add_argument("--fork", default="", metavar="RUN@STEP", help="begin at a snapshot of another run")
    training.add_argument("--publish", metavar="NAME", help="evaluate the result and put it in the box as zoo:NAME")
    training.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def train(arguments: argparse.Namespace) -> int:
    """Train a run, or go on with one; Ctrl-C stops and saves."""
    from dgm_studio.core.manifest import model_card
    from dgm_studio.explore.workbench import pick_device
    from dgm_studio.training.loop import Session

    request = train_request(arguments)
    session = Session(request, pick_device(arguments.device))
    stopped = run_session(session)
    published = _publish(session, arguments) if arguments.publish and not stopped else ""
    card = model_card(published) if published else _kept(session)
    if arguments.json and card is not None:
        print_json(card.to_json())
    elif card is not None:
        print_card(card)
    if stopped and card is None:
        return complain("Stopped before the first step; nothing was saved.")
    if stopped:
        return complain(f"Stopped at step {session.step:,} and saved. Go on with: {_resume_line(request)}")
    return 0


def _kept(session: Session) -> ModelCard | None:
    """The card of what is on the disk."""
    from dgm_studio.core.manifest import model_card

    return model_card(f"run:{session.folder.path}") if session.ready else None


def _publish(session: Session, arguments: argparse.Namespace) -> str:
    """Put the run's chosen checkpoint in the box; its key."""
    from dgm_studio.cli.talk import result_of
    from dgm_studio.core.manifest import ZOO
    from dgm_studio.training.recipes import TrainingRecipe, publishing, read_recipe

    if arguments.recipe:
        recipe = dataclasses.replace(read_recipe(arguments.recipe), name=arguments.publish)
    else:
        card = session.card()
        recipe = TrainingRecipe(arguments.publish, card.system, card.data, card.seed)
    result_of(publishing(session.folder.path, recipe))
    return ZOO + str(arguments.publish)


def _resume_line(request: Train) -> str:
    return f"dgm-studio train --resume --out {request.run}"


def run_session(session: Session) -> bool:
    """Train to the end or until a signal asks to stop; whether it was stopped. In both cases it has saved."""
    from dgm_studio.core.updates import Metrics, Progress

    line, figures = ProgressLine(), dict[str, float]()
    updates: Any = session.updates()
    progress = Progress(0, 0)
    with Stopping() as stopping:
        try:
            for update in updates:
                if isinstance(update, Metrics):
                    figures |= update.values
                progress = update if isinstance(update, Progress) else _step_of(session, update, progress)
                line.show(progress, _words(figures))
                if stopping.asked:
                    break
        finally:
            line.clear()
            updates.close()
    return stopping.asked


def _step_of(session: Session, update: Update, before: Any) -> Any:
    """Steps report figures rather than progress; the clock of the last progress still tells the speed."""
    from dgm_studio.core.updates import Metrics, Progress

    if not isinstance(update, Metrics):
        return before
    total = session.card().steps
    speed = update.values.get("examples_per_second", 0.0) / max(1, int(session.card().training.get("batch", 1)))
    left = (total - update.step) / speed if speed > 0 else before.seconds_left
    return Progress(update.step, total, f"Step {update.step:,} of {total:,}", left)


def _words(figures: dict[str, float]) -> str:
    there = [name for name in SHOWN if name in figures][:2]
    return "  ".join(f"{name} {figures[name]:.2f}" for name in there)


class Stopping:
    """While it is entered, the first SIGINT or SIGTERM is noted and the second one interrupts as usual.

    A signal in the middle of an optimiser step would leave half of it done: the loop looks between two updates.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            handler: Callable[[int, FrameType | None], None] = self._note
            self._before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def train_request(arguments: argparse.Namespace) -> Train:
    """The command line as a request.

    Raises:
        Problem: Something is missing, or a run is there already.
        FormError: A setting is unknown or out of range; the nearest valid name stands beside it.
    """
    from dgm_studio.core.requests import Train
    from dgm_studio.core.runs import RunFolder, run_path
    from dgm_studio.core.updates import Problem

    parent = _parent(arguments.fork)
    run = arguments.out or _new_run(arguments)
    folder = RunFolder(run_path(run))
    begun = _from_recipe(arguments, str(folder.path)) if arguments.recipe else None
    system = arguments.system or (begun.system if begun is not None else _system_of(arguments, parent))
    steps = [] if arguments.steps is None else [f"steps={arguments.steps}"]
    config, training = split_settings(system, [*arguments.settings, *steps])
    if folder.exists() and not arguments.resume:
        raise Problem(f"There is a run in {folder.path} already.", "Add --resume to go on with it.")
    if arguments.resume and not folder.exists():
        raise Problem(f"There is no run in {folder.path} to go on with.", "Leave out --resume to start one.")
    if arguments.resume:
        return _resumed(folder.path, arguments, config, training)
    if begun is None:
        begun = Train(str(folder.path), arguments.system, arguments.data, parent=parent)
    return dataclasses.replace(
        begun,
        data=arguments.data or begun.data,
        config={**begun.config, **config},
        training={**begun.training, **training},
        seed=begun.seed if arguments.seed is None else arguments.seed,
        name=arguments.name or begun.name,
    )


def _from_recipe(arguments: argparse.Namespace, run: str) -> Train:
    """The training that a recipe describes.

    Raises:
        Problem: The recipe cannot be read, or something else is named beside it.
    """
    from dgm_studio.core.updates import Problem
    from dgm_studio.training.recipes import read_recipe

    if arguments.system or arguments.fork:
        raise Problem("A recipe says which system to train.", "Leave out SYSTEM and --fork, or --recipe.")
    return read_recipe(arguments.recipe).request(run)


def split_settings(system: str, settings: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Words "key=value" as settings of the system and settings of training.

    Raises:
        FormError: An unknown key, with the nearest valid one, or a refused value.
        Problem: There is no such system.
    """
    from dgm_studio.core import forms
    from dgm_studio.models.registry import config_class
    from dgm_studio.training.config import TrainingConfig

    own, common = forms.fields_of(config_class(system)), forms.fields_of(TrainingConfig)
    values = forms.parse([*own, *common], settings)
    names = {field.name for field in own}
    config = {name: value for name, value in values.items() if name in names}
    return config, {name: value for name, value in values.items() if name not in names}


def _resumed(path: Path, arguments: argparse.Namespace, config: dict[str, Any], training: dict[str, Any]) -> Train:
    """The request that made the run, with what was said anew."""
    from dgm_studio.core.requests import Train, from_json
    from dgm_studio.core.runs import RunFolder
    from dgm_studio.core.updates import Problem

    asked = from_json(RunFolder(path).read()["asked"])
    assert isinstance(asked, Train)
    for name, said, given in (("seed", arguments.seed, asked.seed), ("data", arguments.data or None, asked.data)):
        if said is not None and said != given:
            raise Problem(f"The run in {path} has {name} {given}, which cannot change.", "Start another run.")
    if not (config or training):
        return asked
    return Train(
        str(path), asked.system, asked.data, {**asked.config, **config}, {**asked.training, **training}, asked.seed
    )


def _parent(fork: str) -> str:
    """A key for what is forked: a folder's bare path is a run's."""
    from dgm_studio.core.manifest import RUN, ZOO

    if not fork or fork.startswith((RUN, ZOO)) or Path(fork).is_file():
        return fork
    return RUN + fork


def _system_of(arguments: argparse.Namespace, parent: str) -> str:
    """The system of the run that is gone on with or forked.

    Raises:
        Problem: None is named anywhere.
    """
    from dgm_studio.core.manifest import locate, read_manifest
    from dgm_studio.core.runs import RunFolder, run_path
    from dgm_studio.core.updates import Problem

    if arguments.resume and arguments.out:
        return str(RunFolder(run_path(arguments.out)).read()["system"])
    if parent:
        return read_manifest(locate(parent)).system
    raise Problem("Say which system to train.", "For example: dgm-studio train vae --data mnist5k --out my-run")


def _new_run(arguments: argparse.Namespace) -> str:
    from dgm_studio.core.runs import new_run_folder
    from dgm_studio.core.updates import Problem

    if arguments.resume:
        raise Problem("Say which run to go on with.", "Add --out RUN.")
    made = Path(arguments.recipe).stem if arguments.recipe else f"{arguments.system or 'fork'} {arguments.data}"
    return str(new_run_folder(arguments.name or made))
