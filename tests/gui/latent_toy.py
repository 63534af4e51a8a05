"""A latent space of five dimensions worked out by hand, that answers the latent panel's questions at once."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from dgm_studio.core.cards import Capability, Factor, Modality, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.updates import Done, Failed, Frame, Update

SIDE = 12
LATENT = 5
COUNT = 60


def card(latent: int = LATENT, **changes: Any) -> ModelCard:
    """The toy's card."""
    every = frozenset({Capability.ENCODES, Capability.DECODES, Capability.SAMPLES, Capability.SCORES})
    values: dict[str, Any] = {
        "key": "zoo:toy",
        "name": "toy",
        "system": "vae",
        "title": "VAE",
        "capabilities": every,
        "modalities": (Modality("image", "image", (1, SIDE, SIDE)),),
        "factors": (Factor("digit", ("zero", "one", "two")),),
        "latent": latent,
        "data": "toy",
        "step": 100,
    }
    return ModelCard(**{**values, **changes})


def decode(z: Any) -> np.ndarray:
    """A blob whose place is (z0, z1) and whose ink is the sum of the rest: [N, Z] to uint8 [N, SIDE, SIDE]."""
    z = np.atleast_2d(np.asarray(z, float))
    grid = (np.arange(SIDE) - (SIDE - 1) / 2) / 2
    x, y = z[:, 0, None, None], z[:, 1, None, None]
    ink = 1 / (1 + np.exp(-1 - z[:, 2:].sum(1)))[:, None, None]
    blob = ink * np.exp(-0.5 * ((grid[None, None] - x) ** 2 + (-grid[None, :, None] - y) ** 2))
    return np.rint(255 * blob).astype(np.uint8)


def points(latent: int = LATENT) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means in three clusters, and their classes."""
    generator = np.random.default_rng(0)
    classes = np.arange(COUNT) % 3
    centres = np.zeros((3, latent))
    centres[:, 0], centres[:, 1] = (-2, 0, 2), (-1, 2, -1)
    spread = np.array([0.3, 0.3, *[0.1] * (latent - 2)])
    return centres[classes] + spread * generator.standard_normal((COUNT, latent)), classes


class Toy:
    """Stands where the host's `ask` stands: answers at once, or when it is told to.

    Args:
        at_once: Else answers wait for `answer`.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.asked: list[Ticket] = []
        self.waiting: dict[str, Ticket] = {}
        self.failing: dict[str, Failed] = {}
        self.panel: Any = None
        self.at_once = at_once
        self._ids = itertools.count(1)

    def __call__(self, topic: str, request: Any) -> Ticket:
        ticket = Ticket(next(self._ids), f"latent/{topic}", request, "", "interactive", 0.0)
        self.asked.append(ticket)
        self.waiting[topic] = ticket
        if self.at_once:
            self.answer(topic)
        return ticket

    def job(self, request: Any, name: str) -> Ticket:
        raise AssertionError("the latent panel starts no jobs")

    def cancel(self, topic: str) -> None:
        self.waiting.pop(topic, None)

    def requests(self, topic: str) -> list[Any]:
        """Everything asked under a topic, in order."""
        return [ticket.request for ticket in self.asked if ticket.slot == f"latent/{topic}"]

    def answer(self, *topics: str) -> None:
        """Answer what waits under these topics, under all of them when none is named."""
        for topic in topics or tuple(self.waiting):
            ticket = self.waiting.pop(topic, None)
            if ticket is None:
                continue
            for update in self.updates(topic, ticket.request):
                self.panel.receive(topic, update, ticket)

    def updates(self, topic: str, request: Any) -> list[Update]:
        """The answer to a question."""
        if topic in self.failing:
            return [self.failing[topic]]
        return [*getattr(self, "_" + type(request).__name__)(request), Done()]

    def _DecodeLatent(self, asked: Any) -> list[Update]:
        log_prior = -0.5 * float(np.square(asked.z).sum())
        data = {"picture": decode(asked.z)[0], "z": asked.z, "log_prior": log_prior, "milliseconds": 1.0}
        return [Frame("decoded", data)]

    def _DescribeLatents(self, asked: Any) -> list[Update]:
        latent = 5 if asked.model.startswith("zoo:toy") else 2
        means, classes = points(latent)
        centred = means - means.mean(0)
        values, vectors = np.linalg.eigh(centred.T @ centred / len(means))
        kl = np.array([1.0, 3.0, 2.0, 0.5, 0.0][:latent])
        towards = {f"digit:{name}": means[classes == k].mean(0) for k, name in enumerate(("zero", "one", "two"))}
        data = {
            "kl": kl,
            "order": np.argsort(-kl),
            "active": latent - 1,
            "mean": means.mean(0),
            "std": means.std(0),
            "components": vectors.T[::-1],
            "explained": values[::-1] / values.sum(),
            "directions": {name: value / np.linalg.norm(value) for name, value in towards.items()},
            "separation": dict(zip(towards, (0.9, 0.99, 0.8), strict=True)),
            "points": means,
            "deviations": np.full_like(means, 0.1),
            "indices": np.arange(len(means)),
            "factors": {"digit": classes},
            "split": "valid",
        }
        return [Frame("latents", data)]

    def _DecodeTiles(self, asked: Any) -> list[Update]:
        frames: list[Update] = []
        for i, j in asked.tiles:
            middle = (np.array([i, j]) + 0.5) * 2.0**-asked.level
            z = np.asarray(asked.origin) + middle[0] * np.asarray(asked.u) + middle[1] * np.asarray(asked.v)
            data = {"picture": decode(z)[0], "level": asked.level, "i": i, "j": j}
            frames.append(Frame(f"tile/{asked.level}/{i}/{j}", data))
        return frames

    def _DrawDensity(self, asked: Any) -> list[Update]:
        angle = np.linspace(0, 2 * np.pi, 40)
        circle = np.stack([np.cos(angle), np.sin(angle)], 1)
        contours = [{"kind": kind, "fraction": 0.5, "level": 0.0, "lines": [circle]} for kind in ("prior", "posterior")]
        return [Frame("density", {"contours": contours})]

    def _FindNeighbours(self, asked: Any) -> list[Update]:
        means, classes = points()
        pictures = decode(means)
        distances = np.sqrt(np.square((pictures - decode(asked.z)[0].astype(float)) / 255).mean((1, 2)))
        order = distances.argsort()[: asked.k]
        data = {
            "pictures": pictures[order],
            "distances": distances[order],
            "indices": order,
            "labels": [str(c) for c in classes[order]],
            "baseline": 0.1,
        }
        return [Frame("neighbours", data)]

    def _FollowPath(self, asked: Any) -> list[Update]:
        anchors = np.asarray(asked.anchors)
        at = np.linspace(0, len(anchors) - 1, asked.count)
        z = np.stack([np.interp(at, np.arange(len(anchors)), column) for column in anchors.T], 1)
        log = -0.5 * np.square(z).sum(1)
        data = {
            "z": z,
            "pictures": decode(z),
            "length": np.linspace(0, 1, asked.count),
            "latent_length": np.linspace(0, 1, asked.count),
            "log_prior": log,
            "log_posterior": log,
            "energy": 1.0,
            "anchors": np.rint(np.linspace(0, asked.count - 1, len(anchors))).astype(int),
            "kind": asked.kind,
            "settled": True,
        }
        return [Frame("path", data)]

    def _SamplePrior(self, asked: Any) -> list[Update]:
        z = asked.truncation * np.random.default_rng(asked.seed).standard_normal((asked.count, LATENT))
        return [Frame("samples", {"pictures": decode(z), "z": z})]

    def _EncodePicture(self, asked: Any) -> list[Update]:
        mean = np.array([0.5, -0.5, 0.2, 0.1, 0.0]) if asked.picture else points()[0][asked.index]
        picture = np.asarray(asked.picture, np.uint8) if asked.picture else decode(mean)[0]
        std = np.full(LATENT, 0.25)
        data = {"mean": mean, "std": std, "kl": 3.0, "bound": -50.0, "picture": picture}
        return [Frame("posterior", {**data, "reconstruction": decode(mean)[0]})]

    def _TraverseLatents(self, asked: Any) -> list[Update]:
        values = np.linspace(-asked.reach, asked.reach, asked.count)
        steps = np.asarray(asked.directions)[:, None] * values[None, :, None]
        pictures = np.stack([decode(np.asarray(asked.z) + row) for row in steps])
        return [Frame("traversals", {"pictures": pictures, "values": values, "rows": asked.names})]
