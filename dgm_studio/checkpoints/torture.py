"""Kill a process in the middle of saving, many times, and look at what is on the disk."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from dgm_studio.checkpoints import store
from dgm_studio.core import atomic
from dgm_studio.core.manifest import Manifest
from dgm_studio.core.updates import Problem

FILE = "step-00000000.safetensors"
VALUES = 400_000  # 1.6 MB: long enough in the writing to be hit there
LATEST_KILL = 0.05  # s after a save was finished


@dataclass(frozen=True)
class Torture:
    """What came of it.

    Args:
        kills: Processes killed.
        unreadable: Checkpoints that could not be loaded afterwards.
        lost: Saves that had been reported as done and were not there.
        interrupted: Kills that hit in the middle of a save (a temporary was left behind).
    """

    kills: int
    unreadable: int
    lost: int
    interrupted: int


def torture(folder: Path, kills: int = 200, seed: int = 0) -> Torture:
    """Kill a saving process at seeded random moments, each time loading what it left.

    Args:
        folder: An empty folder to save in.
        kills: How often.
        seed: Of the moments.
    """
    moments = random.Random(seed)
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once, not for every victim
    path, done, unreadable, lost, interrupted = folder / FILE, 0, 0, 0, 0
    for _ in range(kills):
        done = _kill_one(context, folder, done, moments.random() * LATEST_KILL)
        interrupted += bool(atomic.sweep([folder]))
        try:
            manifest, tensors = store.load(path)
        except Problem:
            unreadable += 1
            continue
        lost += manifest.step < done or bool((tensors["weight"] != manifest.step).any())
        done = manifest.step
    return Torture(kills, unreadable, lost, interrupted)


def _kill_one(context: multiprocessing.context.BaseContext, folder: Path, done: int, delay: float) -> int:
    """Start a saver, wait for its first save and a moment more, kill it; the last step that it reported."""
    ours, theirs = context.Pipe(duplex=False)
    victim = context.Process(target=save_forever, args=(folder, done, theirs), daemon=True)  # type: ignore[attr-defined]
    victim.start()
    theirs.close()
    done = ours.recv()
    time.sleep(delay)
    victim.kill()
    victim.join()
    while ours.poll():
        try:
            done = ours.recv()
        except EOFError:
            break
    ours.close()
    return done


def save_forever(folder: Path, step: int, reports: Connection) -> None:
    """Save step after step, weights that equal the step, and report each one once it is saved."""
    while True:
        step += 1
        manifest = Manifest(system="torture", modalities=(), step=step)
        store.save(folder / FILE, {"weight": torch.full((VALUES,), float(step))}, manifest)
        reports.send(step)
