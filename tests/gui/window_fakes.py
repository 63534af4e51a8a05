"""A worker that answers at once and a shelf with a few models: the window without torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dgm_studio.core import requests
from dgm_studio.core.cards import (
    Capability,
    DataCard,
    Factor,
    Metric,
    Modality,
    ModelCard,
    Paper,
    Symbol,
    SystemCard,
)
from dgm_studio.core.engine import Engine
from dgm_studio.core.forms import Field
from dgm_studio.core.outbox import Outbox
from dgm_studio.core.studio import Journal, Studio
from dgm_studio.core.updates import Frame, Problem, Progress, Result, Update
from dgm_studio.gui.bridge import Bridge
from dgm_studio.gui.shelf import Shelf
from dgm_studio.gui.window import StudioWindow

IMAGE = Modality("image", "image", (1, 28, 28))
CAPABLE = frozenset({Capability.ENCODES, Capability.DECODES, Capability.SAMPLES, Capability.SCORES})


def model(key: str, data: str = "mnist5k", value: float = 102.4, **values: Any) -> ModelCard:
    name = key.rpartition(":")[2].rpartition("/")[2]
    source = "run" if key.startswith("run:") else "zoo" if key.startswith("zoo:") else "file"
    about: dict[str, Any] = {
        "latent": 16,
        "parameters": 412_000,
        "step": 20_000,
        "steps": 20_000,
        "config": {"latent": 16, "beta": 1.0},
        "metrics": {"test/-elbo": Metric(value, "nats", "ELBO, 1 sample", 0.3, "test")},
        "headline": "test/-elbo",
        "sha256": key,
    }
    return ModelCard(key, name, "vae", "VAE", CAPABLE, (IMAGE,), (), data=data, source=source, **(about | values))


BOX = (
    model("zoo:vae-digits"),
    model("zoo:vae-digits-2d", value=131.0, latent=2),
    model("zoo:vae-faces", data="pixelfaces", value=2.31),
)
DATA = {
    "mnist5k": DataCard(
        "mnist5k",
        "MNIST, 5,000 digits",
        "Handwritten digits, 28 by 28.",
        (IMAGE,),
        (Factor("digit", tuple("0123456789")),),
        {"train": 4000, "valid": 500, "test": 500},
        licence="CC BY-SA 3.0",
        credit="Yann LeCun, Corinna Cortes, Christopher Burges",
    )
}
SYSTEM = SystemCard(
    "vae",
    "Variational autoencoder",
    "Learns an encoder and a decoder by maximising a bound on the evidence.",
    Paper("Kingma and Welling", 2014, "Auto-encoding variational Bayes", "ICLR"),
    "E<sub>q(z|x)</sub>[log p(x|z)] &minus; &beta; KL(q(z|x) &#8214; p(z))",
    (Symbol("&beta;", "Weight of the KL term", "config:beta"), Symbol("KL", "Nats spent on z", "metric:kl")),
    CAPABLE,
    ("image",),
    (
        Field("latent", "int", 16, 1, 512, help="Size of z"),
        Field("beta", "float", 1.0, 0.0, 100.0, help="Weight of the KL term"),
    ),
)
TRAINING = (Field("steps", "int", 2000, 1, 10_000_000, help="Optimizer steps"),)


def blob(n: int, phase: float = 0.0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """[n, 28, 28] rings that differ."""
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    rings = [np.exp(-40 * (np.hypot(x * (1 + 0.5 * np.sin(k + phase)), y) - 0.5) ** 2) for k in range(n)]
    return np.asarray(255 * np.asarray(rings), np.uint8)


def answer(asked: Any) -> Iterator[Update]:
    """What the worker would say, drawn with rings."""
    if isinstance(asked, requests.ShowThumbnail):
        yield Frame("thumbnail", {"picture": blob(1, len(asked.model))[0]})
    elif isinstance(asked, requests.SamplePrior):
        yield Frame(
            "samples", {"pictures": blob(asked.count, asked.seed), "z": np.zeros((asked.count, 16), np.float32)}
        )
    elif isinstance(asked, requests.Reconstruct):
        pictures, bound = blob(asked.count), np.linspace(-90, -120, asked.count)
        yield Frame(
            "reconstructions", {"originals": pictures, "pictures": pictures, "bound": bound, "labels": ["5"] * 24}
        )
    elif isinstance(asked, requests.OpenModel):
        raise Problem(f"{Path(asked.model).name} is not a checkpoint.", "Choose another file.")
    elif isinstance(asked, requests.OpenData):
        yield Progress(1, 2, "Reading")
        yield Result(DATA["mnist5k"])
    elif isinstance(asked, requests.Train):
        yield Result(model(f"run:{asked.run}", live=True, step=0, snapshots=(0,)))
        for step in range(1, 100_000):
            time.sleep(0.002)
            yield Progress(step, 100_000)


def studio_window(home: Path, *, threaded: bool = False, runs: tuple[ModelCard, ...] = ()) -> StudioWindow:
    """A window on the fakes; without a thread, call `window.bridge.engine.pump()`."""
    outbox = Outbox()
    engine = Engine(lambda: answer, outbox, threaded=threaded)
    everything = {card.key: card for card in (*BOX, *runs)}

    def read(key: str) -> ModelCard:
        if key not in everything:
            raise Problem(f"There is no {key}.")
        return everything[key]

    shelf = Shelf(read, lambda: BOX, lambda: runs, lambda: DATA, {"vae": SYSTEM}, TRAINING, "cpu · 1 thread")
    pictures = home / "thumbnails"
    pictures.mkdir(exist_ok=True)
    window = StudioWindow(Studio(), Bridge(engine, outbox), shelf, Journal(home / "session.json"), pictures)
    window.reread_runs()
    if threaded:
        engine.start()
    window.worker_ready()
    return window
