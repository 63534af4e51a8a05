"""Test ELBO of our VAE on mnist5k beside that of pythae (Chadebec, Vincent, Allassonniere 2022), on the same terms.

Three rows, each over the same seeds:
  pythae    its own `VAE`, loss and `BaseTrainer`, with our perceptron inside its encoder and decoder
  same      our loop with the same network, the same first weights, data, batch, number of steps and Adam at a
            constant rate: no decay, no average of weights, no clipping, no warm-up
  defaults  what `dgm-studio train vae --data mnist5k` gives, its number of steps too (half as many)
and below them the bound that knows nothing: every pixel on its own with its mean over the training pictures.

The data are binarised anew each time they are seen, in training and validation. All are scored by one estimator: test
ELBO, 100 draws of z, one seeded binarisation of the test pictures; pythae's weights are put back into our module for
that. Each row is scored at its last step and at its best validation: pythae keeps its best epoch by itself, our loop
its best checkpoint, here validated as often.

pythae is no dependency of the project:

    python -m venv --system-site-packages peer && peer/bin/pip install "pythae==0.1.2"
    PYTHONPATH=. peer/bin/python packaging/peers/vae_pythae.py --out packaging/peers/vae_pythae.json
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models import VAE as PeerVAE
from pythae.models import VAEConfig as PeerConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor

from dgm_studio.checkpoints import store
from dgm_studio.core.requests import Train
from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Part
from dgm_studio.models import bounds, registry
from dgm_studio.models.vae import LOG_STD_RANGE
from dgm_studio.training.config import TrainingConfig
from dgm_studio.training.loop import Session
from dgm_studio.training.recipes import chosen

DATA = "mnist5k"
BATCH = 100  # divides the 4000 training pictures, so that an epoch of pythae's has no shorter batch
RATE = 1e-3
CONFIG = {"network": "mlp", "hidden": 512, "depth": 1, "latent": 16, "likelihood": "bernoulli"}
PLAIN = {
    "batch": BATCH,
    "learning_rate": RATE,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "ema": 0.0,
    "micro_batch": BATCH,
    "snapshot_every": 10_000_000,
}
DRAWS = 100
logging.disable(logging.INFO)


class Pictures(BaseDataset):
    """A part of ours as pythae sees data: an item is binarised anew at every look."""

    def __init__(self, part: Part, seed: int) -> None:
        self.part = part
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> DatasetOutput:
        grey = self.part.batch(torch.tensor([index]))[0]
        return DatasetOutput(data=torch.bernoulli(grey, generator=self.generator))


class Encoder(BaseEncoder):
    """Our encoder's network in pythae's terms."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> ModelOutput:
        mean, log_std = self.network(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=2.0 * log_std.clamp(*LOG_STD_RANGE))


class Decoder(BaseDecoder):
    """Our decoder's network in pythae's terms: probabilities rather than logits."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


def train_peer(steps: int, seed: int, folder: Path) -> dict[str, Any]:
    """pythae's loop; the last and the best model's test ELBO and the seconds it took."""
    ours = registry.build("vae", CONFIG, data.card(DATA).modalities, seed)
    parts = data.load(DATA)
    sizes = {"input_dim": tuple(ours.shape), "latent_dim": ours.latent, "reconstruction_loss": "bce"}
    peer = PeerVAE(PeerConfig(**sizes), Encoder(copy.deepcopy(ours.encoder)), Decoder(copy.deepcopy(ours.decoder)))
    config = BaseTrainerConfig(
        output_dir=str(folder),
        learning_rate=RATE,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        num_epochs=math.ceil(steps * BATCH / len(parts.split("train"))),
        seed=seed,
        no_cuda=True,
    )
    train, valid = (Pictures(parts.split(name), seed) for name in ("train", "valid"))
    trainer = BaseTrainer(peer, train, valid, config)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    found: dict[str, Any] = {"seconds": seconds}
    for name, model in (("last", trainer.model), ("best", trainer._best_model)):
        ours.encoder.load_state_dict(model.encoder.network.state_dict())
        ours.decoder.load_state_dict(model.decoder.network.state_dict())
        found[name] = score(ours)
    return found


def train_ours(config: dict[str, Any], training: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Our loop; the same figures."""
    session = Session(Train(str(folder), "vae", DATA, config, training, seed))
    started = time.perf_counter()
    for _ in session.updates():
        pass
    found: dict[str, Any] = {"seconds": time.perf_counter() - started}
    for name in ("last", "best"):
        path = chosen(session.folder, name)
        manifest, tensors = store.load(path)
        model = registry.build("vae", manifest.config, manifest.modalities)
        store.fit(model, tensors, path.name)
        found[name] = score(model.eval())
        found[f"{name} step"] = manifest.step
    return found


def test_pictures() -> Tensor:
    """The test pictures, binarised once."""
    part = data.load(DATA).split("test")
    return torch.bernoulli(part.batch(torch.arange(len(part))), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def score(model: Any) -> float:
    """Test ELBO, nats."""
    generator = torch.Generator().manual_seed(1)
    model.eval()
    return float(torch.cat([bounds.elbo(model, x, generator, DRAWS) for x in test_pictures().split(50)]).mean())


def trivial() -> float:
    """log p of the test pictures under independent pixels with the training pictures' means, nats."""
    part = data.load(DATA).split("train")
    mean = part.batch(torch.arange(len(part))).mean(0).clamp(1e-4, 1 - 1e-4)
    x = test_pictures()
    return float((x * mean.log() + (1 - x) * (1 - mean).log()).flatten(1).sum(1).mean())


def one(name: str, steps: int, seed: int, folder: Path) -> dict[str, Any]:
    """One row's figures for one seed."""
    if name == "pythae":
        return train_peer(steps, seed, folder)
    if name == "defaults":
        return train_ours({}, {}, seed, folder)
    every = len(data.load(DATA).split("train")) // BATCH
    return train_ours(CONFIG, {**PLAIN, "steps": steps, "valid_every": every, "save_every": every}, seed, folder)


def report(steps: int, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """All figures with what makes them comparable."""
    means = {
        name: {take: statistics.fmean(run[take] for run in runs) for take in ("last", "best")}
        for name, runs in rows.items()
    }
    return {
        "what": f"test ELBO on {DATA}, nats, {DRAWS} draws of z; higher is better",
        "steps": steps,
        "network": CONFIG,
        "training": {name: value for name, value in PLAIN.items() if name != "snapshot_every"},
        "defaults": vars(TrainingConfig()),
        "rows": rows,
        "means": means,
        "trivial": trivial(),
        "versions": {name: version(name) for name in ("torch", "pythae")} | {"python": platform.python_version()},
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Run, print, and write the figures after every run, so that a stopped comparison leaves what it has."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="*", default=["pythae", "same", "defaults"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.rows:
            for seed in arguments.seeds:
                run = one(name, arguments.steps, seed, Path(folder) / f"{name}-{seed}")
                found.setdefault(name, []).append({"seed": seed, **run})
                print(name, *(f"{key} {value:.2f}" for key, value in found[name][-1].items()), sep="  ", flush=True)
                if arguments.out is not None:
                    figures = json.dumps(report(arguments.steps, found), indent=1)
                    arguments.out.write_text(figures + "\n", encoding="utf-8")
    for name, takes in report(arguments.steps, found)["means"].items():
        print(f"{name:<9} last {takes['last']:8.2f}   best {takes['best']:8.2f}")
    print(f"{'trivial':<9} {trivial():13.2f}")


if __name__ == "__main__":
    main()
