"""Our MVAE and MMVAE beside those of MultiVae (Senellart, Chadebec, Allassonniere 2025): same numbers, then trained.

Same numbers, on shared weights and shared draws, without training:
  product    `fusion.product` beside its product of experts, which needs the prior handed in
  mvae       the bound of every subset beside its own, the training objective, and the gradient of that
  mmvae      log w beside its own, and the gradient of the looser bound by DReG, K = 1 and 5

Trained side by side, from the same first weights, with our networks inside its encoders and decoders, the same data,
batch, epochs and Adam at a constant rate; orders and draws are each side's own:
  mvae       pictures and labels of mnist5k, lambda = beta = 1, each modality alone and both
  mmvae      mnist-digits8, K = 1, looser bound, Laplace, likelihoods scaled by size, no dropout

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import torch
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MMVAE as PeerMMVAE
from multivae.models import MVAE as PeerMVAE
from multivae.models import MMVAEConfig as PeerMMVAEConfig
from multivae.models import MVAEConfig as PeerMVAEConfig
from multivae.models.base.base_utils import stable_poe
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.core.requests import Train
from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.models import cross_bounds, fusion, registry, strata
from dgm_studio.models.capabilities import Posterior, draw_normal
from dgm_studio.models.laplace import MEAN_MARGIN, PICTURE_SCALE, draw_laplace
from dgm_studio.models.mvae import LOG_STD_RANGE
from dgm_studio.training import coherence
from dgm_studio.training.loop import Session

BATCH = 100  # divides the 4000 training examples
RATE = 1e-3
NEVER = 10_000_000
PLAIN = {
    "batch": BATCH,
    "micro_batch": BATCH,
    "learning_rate": RATE,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "ema": 0.0,
    "valid_every": NEVER,
    "save_every": NEVER,
    "snapshot_every": NEVER,
}
DRAWS = 10  # of z for each test example
PRIOR_DRAWS = 1000
PEER_FLOOR = 1e-6  # of the scales of its prior
MOST_TIME = 0.8  # of theirs
Views = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One comparison of two trainings."""

    data: str
    epochs: int
    config: dict[str, Any] = field(default_factory=dict)


CASES = {
    "mvae": Case("mnist5k", 60),
    "mmvae": Case("mnist-digits8", 40, {"dropout": 0.0}),
}


# -- our networks in their terms ---------------------------------------------------------------------------------------


class Encoder(BaseEncoder):
    """The network of one of our encoders; classes come one-hot, as it sees them itself."""

    def __init__(self, network: nn.Module, system: str) -> None:
        super().__init__()
        self.network, self.system = network, system

    def forward(self, x: Tensor) -> ModelOutput:
        mean, raw = self.network.network(x).chunk(2, 1)
        return ModelOutput(
            embedding=mean, log_covariance=2.0 * raw.clamp(*LOG_STD_RANGE) if self.system == "mvae" else raw
        )


class Decoder(BaseDecoder):
    """The network of one of our decoders: logits, or means of Laplace pixels."""

    def __init__(self, network: nn.Module, system: str) -> None:
        super().__init__()
        self.network, self.system = network, system

    def forward(self, z: Tensor) -> ModelOutput:
        raw = self.network.network(z)
        if self.system == "mmvae":
            raw = torch.sigmoid(raw).clamp(MEAN_MARGIN, 1.0 - MEAN_MARGIN)
        return ModelOutput(reconstruction=raw)


def peer_of(system: str, ours: Any) -> Any:
    """MultiVae's model around the very networks of ours."""
    encoders = {n: Encoder(ours.encoders[ours.keys[n]], system) for n in ours.named}
    decoders = {n: Decoder(ours.decoders[ours.keys[n]], system) for n in ours.named}
    about: dict[str, Any] = {"n_modalities": len(ours.named), "latent_dim": ours.latent}
    if system == "mvae":
        kinds = {n: "bernoulli" if m.kind == "image" else "categorical" for n, m in ours.named.items()}
        return PeerMVAE(PeerMVAEConfig(**about, decoders_dist=kinds, warmup=0), encoders, decoders)
    about["input_dims"] = {n: tuple(m.shape) for n, m in ours.named.items()}
    about["decoders_dist"] = dict.fromkeys(ours.named, "laplace")
    about["decoder_dist_params"] = {n: {"scale": PICTURE_SCALE} for n in ours.named}
    config = PeerMMVAEConfig(**about, uses_likelihood_rescaling=True, K=1, loss="dreg_looser")
    return PeerMMVAE(config, encoders, decoders)


def peer_data(ours: Any, views: Views) -> MultimodalBaseDataset:
    """Examples as MultiVae takes them: classes one-hot."""
    like = next(ours.parameters()).dtype
    hot = {
        n: F.one_hot(x, len(ours.named[n].categories)) if ours.named[n].kind == "label" else x for n, x in views.items()
    }
    return MultimodalBaseDataset({n: x.to(like) for n, x in hot.items()})


def everything(part: Part) -> Views:
    """All examples of a part."""
    return part.views(torch.arange(len(part)))


def built(system: str, seed: int) -> Any:
    """Our model with its first weights."""
    case = CASES[system]
    return registry.build(system, case.config, data.card(case.data).modalities, seed)


# -- the same numbers --------------------------------------------------------------------------------------------------


def greatest(one: Tensor, other: Tensor, relative: bool = False) -> float:
    """The greatest difference, absolute or over the greater of 1 and the size of the other."""
    apart = (one.double() - other.double()).abs()
    return float((apart / other.double().abs().clamp(min=1.0) if relative else apart).max())


def product_numbers(rows: int = 10_000, latent: int = 16, most: int = 4) -> list[dict[str, Any]]:
    """Products of 1 to 4 experts and the prior with log-variances in [-20, 20]; a line for each precision."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(most, rows, latent, generator=generator)
    stds = (20.0 * torch.rand(most, rows, latent, generator=generator) - 10.0).exp()
    found = []
    for kind in (torch.float32, torch.float64):
        worst: dict[str, float] = {}
        for count in range(1, most + 1):
            mean, std = means[:count].to(kind), stds[:count].to(kind)
            q = fusion.product({str(i): Posterior(mean[i], std[i]) for i in range(count)})
            own, theirs = (q.mean, 2.0 * q.std.log()), their_product(mean, std)
            truth = their_product(means[:count].double(), stds[:count].double())
            exact = {"": (own, theirs), ", ours from float64": (own, truth), ", theirs from float64": (theirs, truth)}
            for which, (one, other) in exact.items():
                each = {f"mean{which}": greatest(one[0], other[0])}
                each[f"log variance, relative{which}"] = greatest(one[1], other[1], relative=True)
                worst |= {name: max(value, worst.get(name, 0.0)) for name, value in each.items()}
        found.append({"precision": str(kind).removeprefix("torch."), **worst})
    return found


def their_product(means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of experts [E, N, Z] and the prior, which is handed in as one more."""
    mean, log_var = (torch.cat([t, torch.zeros_like(t[:1])]) for t in (means, 2.0 * stds.log()))
    found: tuple[Tensor, Tensor] = stable_poe(mean, log_var)
    return found


def mvae_numbers() -> dict[str, float]:
    """Bounds of all subsets, the objective and its gradient, float32."""
    ours = built("mvae", 0)
    peer = peer_of("mvae", ours)
    views = data.load(CASES["mvae"].data).split("test").views(torch.arange(BATCH))
    inputs, shape = peer_data(ours, views), (1, BATCH, ours.latent)
    found: dict[str, float] = {}
    for subset in fusion.subsets(tuple(ours.named)):
        noise = draw_normal(shape, torch.zeros(()), torch.Generator().manual_seed(1))
        with torch.no_grad(), fed([noise[0]]):
            theirs = -peer._compute_elbo_subset(inputs, list(subset), 1.0)[0]
            own = cross_bounds.elbo(ours, views, torch.Generator().manual_seed(1), subset, subset).mean()
        found[f"bound of {' + '.join(subset)}, relative"] = greatest(own, theirs, relative=True)
    # Our objective draws all its parts at once: everything, then each alone, as theirs takes them one by one.
    noise = draw_normal((3 * BATCH, ours.latent), torch.zeros(()), torch.Generator().manual_seed(2))
    weights = [p for p in ours.parameters() if p.requires_grad]
    with fed(list(noise.split(BATCH))):
        theirs = peer(inputs).loss
    own = ours.loss(views, torch.Generator().manual_seed(2))["loss"].mean()
    found["objective, relative"] = greatest(own.detach(), theirs.detach(), relative=True)
    found["gradient, relative to its greatest"] = gradients_apart(own, theirs, weights, weights)
    return found


@contextlib.contextmanager
def fed(noises: list[Tensor]) -> Iterator[None]:
    """MultiVae's MVAE draws these, one after the other."""

    def sample(mean: Tensor, log_var: Tensor, **_: Any) -> Tensor:
        return mean + (0.5 * log_var).exp() * noises.pop(0)

    with mock.patch("multivae.models.mvae.mvae_model.rsample_from_gaussian", sample):
        yield


class FedLaplace(torch.distributions.Laplace):
    """Draws what it is given."""

    noises: ClassVar[list[Tensor]] = []

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc + self.scale * FedLaplace.noises.pop(0)


def mmvae_numbers(k: int, floor: bool) -> dict[str, float]:
    """log w and the gradient of the looser bound by DReG, float64, with a prior that is not uniform.

    Args:
        k: Draws of every expert.
        floor: Whether theirs keeps the 1e-6 that it adds to the prior's scales and ours does not.
    """
    ours = built("mmvae", 0).double()
    with torch.no_grad():
        ours.prior.logits.normal_(generator=torch.Generator().manual_seed(3))
    peer = peer_of("mmvae", ours).double()
    peer.prior_log_var.data.copy_(ours.prior.logits.data.unsqueeze(0))
    peer.post_dist = FedLaplace
    peer.prior_dist = lambda mean, scale: torch.distributions.Laplace(mean, scale - (0.0 if floor else PEER_FLOOR))
    views = data.load(CASES["mmvae"].data).split("test").views(torch.arange(BATCH))
    views = {name: x.double() for name, x in views.items()}
    inputs, like = peer_data(ours, views), torch.zeros((), dtype=torch.float64)

    def draws() -> list[Tensor]:
        generator = torch.Generator().manual_seed(4)
        return [draw_laplace((k, BATCH, ours.latent), like, generator) for _ in views]

    FedLaplace.noises = draws()
    out = peer(inputs, K=k, compute_loss=False, detailed_output=True)
    theirs, _ = peer.compute_k_lws(out.qz_xs_detach, out.zss, out.recon, inputs)
    q, factors = ours.infer(views), ours.factors()
    z = q.stratified(torch.Generator().manual_seed(4), k)
    logs = cross_bounds.log_likelihoods(ours, views, z)
    scaled = torch.stack([factors[name] * log for name, log in logs.items()]).sum(0)
    lw = ours.latent_prior().log_prob(z) + scaled - strata.log_density(q, z, "dreg")
    FedLaplace.noises = draws()
    loss = ours.loss(views, torch.Generator().manual_seed(4))["loss"].sum() if k == 1 else _looser(q, z, lw)
    networks = [*ours.encoders.parameters(), *ours.decoders.parameters()]
    pair = ([*networks, ours.prior.logits], [*networks, peer.prior_log_var])
    return {
        "log w": greatest(lw.detach(), torch.stack(list(theirs.values())).detach()),
        "gradient, relative to its greatest": gradients_apart(loss, peer(inputs, K=k).loss, *pair),
    }


def _looser(q: Any, z: Tensor, lw: Tensor) -> Tensor:
    """What `MMVAE.loss` minimises, for a K other than the model's own."""
    return -strata.objective(q, z, z, lw, "looser", "dreg").sum()


def gradients_apart(one: Tensor, other: Tensor, of_one: list[Tensor], of_other: list[Tensor]) -> float:
    """The greatest difference over all weights, over the greatest entry of the second gradient."""
    first, second = torch.autograd.grad(one, of_one), torch.autograd.grad(other, of_other)
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (first, second))
    return float((a - b).abs().max() / b.abs().max())


def same_numbers() -> dict[str, Any]:
    """All of them, with the bars they are held to."""
    return {
        "product": product_numbers(),
        "mvae": mvae_numbers(),
        "mmvae": [
            {"K": k, "its floor of the prior's scales": floor, **mmvae_numbers(k, floor)}
            for k, floor in itertools.product((1, 5), (True, False))
        ],
        "bars": {"product": 1e-6, "bounds": 1e-4, "log w": 1e-4, "gradient": 1e-5},
    }


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

    def __init__(self, system: str, epochs: int, every: int, seed: int, folder: Path) -> None:
        case = CASES[system]
        training = {**PLAIN, "steps": epochs * every}
        self.session = Session(Train(str(folder), system, case.data, case.config, training, seed))
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


def trained(system: str, epochs: int, seed: int, folder: Path) -> dict[str, Any]:
    """Both sides trained in turns from the same weights; their figures."""
    dataset = data.load(CASES[system].data)
    train = dataset.split("train")
    every = len(train) // BATCH
    scored = built(system, seed)
    config = BaseTrainerConfig(
        output_dir=str(folder / "theirs"),
        learning_rate=RATE,
        per_device_train_batch_size=BATCH,
        num_epochs=epochs,
        seed=seed,
        no_cuda=True,
    )
    trainer = Trainer(peer_of(system, scored), peer_data(scored, everything(train)), None, config)
    trainer.ours, trainer.clock = Ours(system, epochs, every, seed, folder / "ours"), Clock()
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
                rows[name] = {**means, "ours / theirs": ratio, "reached": ratio <= MOST_TIME}
                continue
            error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else None
            difference = statistics.fmean(apart)
            rows[name] = {**means, "difference": difference, "error": error, "reached": difference >= 0.0}
        found[system] = {"seeds": [run["seed"] for run in some], **rows}
    return found


def report(epochs: dict[str, int], numbers: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All figures with what makes them comparable."""
    return {
        "what": "MVAE and MMVAE of DGM Studio beside MultiVae's: greatest differences on shared weights; coherence "
        f"(judges, drawn z, {DRAWS} an example), bound on log p of both modalities (nats, {DRAWS} draws of z) on test "
        "examples, and seconds of the training loops, epochs in turns",
        "bars": f"coherence and bound not below theirs; processor seconds at most {MOST_TIME} of theirs",
        "same numbers": numbers,
        "training": {"epochs": epochs, **{n: v for n, v in PLAIN.items() if v != NEVER}},
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
    parser.add_argument("--epochs", type=int, help="instead of 60 and 40")
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
