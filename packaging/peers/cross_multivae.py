"""Our MVAE and MMVAE beside those of MultiVae (Senellart, Chadebec, Allassonniere 2025): same numbers, then trained.

Same numbers, on shared weights and shared draws (`multivae_numbers.py`):
  product    `fusion.product` beside its product of experts, which needs the prior handed in
  mvae       the bound of every subset beside its own, the training objective, and the gradient of that
  mmvae      log w beside its own, and the gradient of the looser bound by DReG, K = 1 and 5
  training   with the same batches and draws: what whole trainings differ by is orders and draws

Trained side by side, from the same first weights, with our networks inside its encoders and decoders, the same data,
batch, epochs and Adam at a constant rate; orders and draws are each side's own:
  mvae       pictures and labels of mnist5k, lambda = beta = 1, each modality alone and both
  mmvae      mnist-digits8, K = 1, looser bound, Laplace, likelihoods scaled by size, no dropout
  mvae, slower   the first at a rate of 3e-4: at 1e-3 and without warm-up the pictures' posterior collapses in some
             trainings, by chance and on both sides (theirs too with the batches and draws of ours that did: seed 1)

An epoch of ours is followed by an epoch of its own in one process with one thread; a step's time is that of the
training loops alone, without first look, validation, copies of the best model, or files. Processor time is what
counts: it does not see what else the machine does. Its distributions do not check their arguments here, which makes it
faster and is needed besides: its Bernoulli refuses grey pixels. Its weights are scored in our module by our judges.

MultiVae is no dependency of the project. It imports torchvision for grids of pictures, which are not drawn here:

    python -m venv --system-site-packages peer && peer/bin/pip install "multivae==1.0.3"
    PYTHONPATH=. peer/bin/python packaging/peers/cross_multivae.py --out packaging/peers/cross_multivae.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import logging
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from multivae_numbers import BATCH, CASES, NEVER, PLAIN, built, everything, peer_data, peer_of, same_numbers

from dgm_studio.core.requests import Train
from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Dataset
from dgm_studio.models import cross_bounds
from dgm_studio.models.laplace import PICTURE_SCALE
from dgm_studio.training import coherence
from dgm_studio.training.loop import Session

DRAWS = 10  # of z for each test example
PRIOR_DRAWS = 1000
MOST_TIME = 0.8  # of theirs


# -- trained -----------------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """Seconds of a training loop, epoch by epoch."""

    steps: int = 0
    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], Any], steps: int) -> Any:
        """Time some steps."""
        processor, wall = time.process_time(), time.perf_counter()
        found = work()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)
        self.steps += steps
        return found

    def figures(self, steps_an_epoch: int) -> dict[str, float]:
        """Means for an epoch."""
        scale = steps_an_epoch / self.steps
        return {
            "processor seconds an epoch": sum(self.processor) * scale,
            "wall seconds an epoch": sum(self.wall) * scale,
        }


class Ours:
    """Our loop, an epoch at a time."""

    def __init__(self, name: str, epochs: int, every: int, seed: int, folder: Path) -> None:
        case = CASES[name]
        training = {**PLAIN, "learning_rate": case.rate, "steps": epochs * every}
        self.session = Session(Train(str(folder), case.system, case.data, case.config, training, seed))
        self.updates = self.session.updates()
        self.every, self.clock = every, Clock()
        self._until(1)  # loading, the first look and the first files are no part of the loop

    def _until(self, step: int) -> None:
        while not self.session.ready or self.session.step < step:
            next(self.updates)

    def epoch(self, number: int) -> None:
        """Train to the end of epoch `number`, from 1."""
        target = number * self.every
        self.clock.run(lambda: self._until(target), target - self.session.step)

    def finish(self) -> Any:
        """The trained model."""
        for _ in self.updates:
            pass
        return self.session.model


class Trainer(BaseTrainer):
    """MultiVae's loop; before each of its epochs ours trains one."""

    ours: Ours
    clock: Clock

    def train_step(self, epoch: int) -> Any:
        self.ours.epoch(epoch)
        found: Any = self.clock.run(lambda: super(Trainer, self).train_step(epoch), len(self.train_loader))
        return found


def trained(name: str, epochs: int, seed: int, folder: Path) -> dict[str, Any]:
    """Both sides trained in turns from the same weights; their figures."""
    case = CASES[name]
    dataset, system = data.load(case.data), case.system
    train = dataset.split("train")
    every = len(train) // BATCH
    scored = built(name, seed)
    config = BaseTrainerConfig(
        output_dir=str(folder / "theirs"),
        learning_rate=case.rate,
        per_device_train_batch_size=BATCH,
        num_epochs=epochs,
        seed=seed,
        no_cuda=True,
    )
    trainer = Trainer(peer_of(system, scored), peer_data(scored, everything(train)), None, config)
    trainer.ours, trainer.clock = Ours(name, epochs, every, seed, folder / "ours"), Clock()
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        trainer.train()
    if system == "mmvae":
        scored.prior.logits.data.copy_(trainer.model.prior_log_var.data[0])
    model = trainer.ours.finish()
    return {
        "ours": {**trainer.ours.clock.figures(every), **score(model, dataset)},
        "theirs": {**trainer.clock.figures(every), **score(scored.eval(), dataset)},
        "baselines": baselines(system, scored, dataset),
    }


@torch.no_grad()
def score(model: Any, dataset: Dataset) -> dict[str, float]:
    """Coherence of each modality from the other and of draws of the prior; the bound on log p of both, nats."""
    part = dataset.split("test")
    setting = coherence.setting_for(model, dataset.card, dataset.split("train"), DRAWS)
    table, draws = coherence.Table(), coherence.JointDraws()
    for _ in coherence.measuring(setting, part, len(part), table, [(name,) for name in setting.modalities]):
        pass
    for _ in coherence.drawing(setting, PRIOR_DRAWS, draws):
        pass
    cells = {f"{row[0]} -> {column}": cell.mean for (row, column), cell in table.coherence.items() if row[0] != column}
    views = everything(part)
    rows = torch.arange(len(part)).split(BATCH)
    generator = torch.Generator().manual_seed(0)
    bounds = [cross_bounds.elbo(model, {n: x[r] for n, x in views.items()}, generator, samples=DRAWS) for r in rows]
    return {**cells, "joint": draws.figures()[0].mean, "bound": float(torch.cat(bounds).mean())}


def baselines(system: str, model: Any, dataset: Dataset) -> dict[str, float]:
    """The commonest class; two modalities that guess it without knowing of each other; no latents at all."""
    test, train = dataset.split("test"), dataset.split("train")
    classes = len(dataset.card.factors[0].categories)
    labels = torch.bincount(train.factors[dataset.card.factors[0].name], minlength=classes).double() / len(train)
    tested = test.factors[dataset.card.factors[0].name]
    total = torch.zeros(len(test), dtype=torch.float64)
    for name, modality in model.named.items():
        x, seen = everything(test)[name], everything(train)[name]
        if modality.kind == "label":
            total += labels.log()[x]
        elif system == "mvae":
            p = seen.double().mean(0).clamp(1e-4, 1 - 1e-4)
            total += (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
        else:
            each = -(x.double() - seen.double().median(0).values).abs() / PICTURE_SCALE - math.log(2 * PICTURE_SCALE)
            total += each.flatten(1).sum(1)
    return {
        "crossing, the commonest class": float((tested == labels.argmax()).double().mean()),
        "joint, independent modalities": float(labels.square().sum()),
        "bound, independent values": float(total.mean()),
    }


# -- the report --------------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What it ran on."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    busy = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "processor": names[0] if names else platform.processor(),
        "processors": os.cpu_count(),
        "threads used": torch.get_num_threads(),
        "load when written": busy,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "multivae", "pythae")},
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, differences ours - theirs with the standard error over the seeds, ratios of time."""
    found: dict[str, Any] = {}
    for system in dict.fromkeys(run["system"] for run in runs):
        some = [run for run in runs if run["system"] == system]
        rows: dict[str, Any] = {}
        for name in some[0]["ours"]:
            pairs = [(run["ours"][name], run["theirs"][name]) for run in some]
            apart = [a - b for a, b in pairs]
            means = {"ours": statistics.fmean(a for a, _ in pairs), "theirs": statistics.fmean(b for _, b in pairs)}
            if "seconds" in name:
                ratio = sum(a for a, _ in pairs) / sum(b for _, b in pairs)
                bar = {"reached": ratio <= MOST_TIME} if name.startswith("processor") else {}
                rows[name] = {**means, "ours / theirs": ratio, **bar}
                continue
            error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else None
            difference = statistics.fmean(apart)
            rows[name] = {**means, "difference": difference, "error": error, "reached": difference >= 0.0}
        collapsed = {side: sum(lost(run, side) for run in some) for side in ("ours", "theirs")}
        found[system] = {"seeds": [run["seed"] for run in some], "collapsed trainings": collapsed, **rows}
    return found


def lost(run: dict[str, Any], side: str) -> bool:
    """Whether one of a training's modalities tells no more of the other than twice the commonest class."""
    cells = [value for name, value in run[side].items() if "->" in name]
    return bool(min(cells) < 2.0 * run["baselines"]["crossing, the commonest class"])


def report(epochs: dict[str, int], numbers: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All figures with what makes them comparable."""
    return {
        "what": "MVAE and MMVAE of DGM Studio beside MultiVae's: greatest differences on shared weights; coherence "
        f"(judges, drawn z, {DRAWS} an example), bound on log p of both modalities (nats, {DRAWS} draws of z) on test "
        "examples, and seconds of the training loops, epochs in turns",
        "wall": "holds whatever else the machine did, which stood still for minutes in seed 0 of the slower mvae",
        "bars": f"coherence and bound not below theirs; processor seconds at most {MOST_TIME} of theirs",
        "same numbers": numbers,
        "training": {"epochs": epochs, **{n: v for n, v in PLAIN.items() if v != NEVER and n != "learning_rate"}},
        "rates": {name: case.rate for name, case in CASES.items()},
        "networks": {name: case.config or "defaults" for name, case in CASES.items()},
        "summary": summary(runs),
        "runs": runs,
        "machine": machine(),
    }


def main() -> None:
    """Run, print, and write the figures after every run, so that a stopped comparison leaves what it has."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--systems", nargs="*", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--epochs", type=int, help="instead of 60, 40 and 20")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true", help="go on with the runs that the file has")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    torch.distributions.Distribution.set_default_validate_args(False)
    epochs = {name: arguments.epochs or case.epochs for name, case in CASES.items()}
    numbers = same_numbers()
    print(json.dumps(numbers, indent=1), flush=True)
    kept = arguments.keep and arguments.out is not None and arguments.out.exists()
    runs: list[dict[str, Any]] = json.loads(arguments.out.read_text("utf-8"))["runs"] if kept else []
    with tempfile.TemporaryDirectory() as folder:
        for seed, system in itertools.product(arguments.seeds, arguments.systems):
            place = Path(folder) / f"{system}-{seed}"
            if (system, seed) not in [(run["system"], run["seed"]) for run in runs]:
                runs.append({"system": system, "seed": seed, **trained(system, epochs[system], seed, place)})
                print(json.dumps(runs[-1]), flush=True)
            if arguments.out is not None:
                found = json.dumps(report(epochs, numbers, runs), indent=1)
                arguments.out.write_text(found + "\n", encoding="utf-8")
    print(json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    main()
