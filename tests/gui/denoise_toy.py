"""A model that denoises, worked out by hand: it answers the denoising panel's questions with numpy.

Pages that ask more subclass `Toy` and add a method named after the request, as `_PlayDenoising` here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from dgm_studio.core.cards import Capability, Modality, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import PlayDenoising, Sampling
from dgm_studio.core.updates import Done, Failed, Frame, Progress, Update

SIDE = 16
DIGITS = tuple("0123456789")
IMAGE = Modality("image", "image", (1, SIDE, SIDE), about="digit")
FACE = Modality("image", "image", (3, 32, 32))
DIGIT = Modality("digit", "label", (), DIGITS, about="digit")
HAIR = {"name": "hair colour", "categories": ("black", "blond")}
GLASSES = {"name": "glasses", "categories": ("no", "yes")}
POINTS = Modality("points", "points", (2,))
LABEL = {"name": "digit", "kind": "label", "categories": DIGITS, "columns": []}
RECORD = {"name": "attributes", "kind": "attributes", "categories": (), "columns": [HAIR, GLASSES]}
FEW = "3 steps are too few for this sampler: results are blurred. Take 10 or more."
REFUSED = "It follows the flow's own time: a DDPM has none."
SAMPLERS = {
    "ddpm": "",
    "ddim": "",
    "dpmpp-2m": "",
    "heun": "",
    "euler": "",
    "euler-flow": REFUSED,
    "heun-flow": REFUSED,
}


def card(modalities: tuple[Modality, ...] = (IMAGE, DIGIT), **changes: Any) -> ModelCard:
    """The toy's card."""
    values: dict[str, Any] = {
        "key": "zoo:ddpm",
        "name": "ddpm",
        "system": "ddpm",
        "title": "DDPM",
        "capabilities": frozenset({Capability.DENOISES, Capability.SAMPLES}),
        "modalities": modalities,
        "data": "toy",
        "step": 100,
    }
    return ModelCard(**{**values, **changes})


def ring(phase: float, shape: tuple[int, ...], share: float = 0.5) -> np.ndarray:
    """A ring whose shape says a class: floats in -1 ... 1."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    grey = 2 * np.exp(-20 * (np.hypot(x * (1 + 0.4 * np.sin(phase)), y + 0.2 * np.cos(phase)) - share) ** 2) - 1
    if len(shape) == 2:
        return grey
    tint = 0.5 + 0.5 * np.cos(phase + np.arange(3))
    return (grey[..., None] + 1) * tint - 1


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Floats in -1 ... 1 as grey values."""
    return np.asarray(np.clip((values + 1) * 127.5, 0, 255), np.uint8)


class Toy:
    """Stands where the host's `ask` stands: answers at once, or when it is told to.

    Args:
        modalities: Of the model.
        at_once: Else answers wait for `answer`.
    """

    def __init__(self, modalities: tuple[Modality, ...] = (IMAGE, DIGIT), *, at_once: bool = True) -> None:
        self.modalities = modalities
        self.asked: list[Ticket] = []
        self.jobs: list[Ticket] = []
        self.stopped: list[Ticket] = []
        self.cancelled: list[str] = []
        self.waiting: dict[str, Ticket] = {}
        self.failing: dict[str, Failed] = {}
        self.panel: Any = None
        self.at_once = at_once
        self._ids = itertools.count(1)

    def __call__(self, topic: str, request: Any) -> Ticket:
        ticket = Ticket(next(self._ids), f"denoise/{topic}", request, "", "interactive", 0.0)
        self.asked.append(ticket)
        self.waiting[topic] = ticket
        if self.at_once:
            self.answer(topic)
        return ticket

    def job(self, request: Any, name: str) -> Ticket:
        self.jobs.append(Ticket(next(self._ids), "denoise/job", request, name, "batch", 0.0))
        return self.jobs[-1]

    def cancel(self, topic: str) -> None:
        self.cancelled.append(topic)
        self.waiting.pop(topic, None)

    def stop(self, ticket: Ticket) -> None:
        self.stopped.append(ticket)

    def requests(self, topic: str) -> list[Any]:
        """Everything asked under a topic, in order."""
        return [ticket.request for ticket in self.asked if ticket.slot == f"denoise/{topic}"]

    def answer(self, *topics: str) -> None:
        """Answer what waits under these topics, under all of them when none is named."""
        for topic in topics or tuple(self.waiting):
            ticket = self.waiting.pop(topic, None)
            if ticket is not None:
                for update in self.updates(topic, ticket.request):
                    self.panel.receive(topic, update, ticket)

    def send(self, topic: str, count: int) -> Iterator[Update]:
        """Answer a part: the first `count` updates of what waits; the rest is returned, to be sent later."""
        ticket = self.waiting[topic]
        updates = iter(self.updates(topic, ticket.request))
        for update in itertools.islice(updates, count):
            self.panel.receive(topic, update, ticket)
        return updates

    def work(self) -> None:
        """Do the last job."""
        ticket = self.jobs[-1]
        for update in (Progress(1, 2, "Working"), *getattr(self, "_" + type(ticket.request).__name__)(ticket.request)):
            self.panel.receive("job", update, ticket)
        self.panel.receive("job", Done(), ticket)

    def updates(self, topic: str, request: Any) -> list[Update]:
        """The answer to a question."""
        if topic in self.failing:
            return [self.failing[topic]]
        return [*getattr(self, "_" + type(request).__name__)(request), Done()]

    # -- answers -------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture or point."""
        data = self.modalities[0]
        if data.kind == "points":
            return (2,)
        channels, height, width = data.shape
        return (height, width, 3) if channels == 3 else (height, width)

    def _DescribeDenoiser(self, asked: Any) -> list[Update]:
        log_snr = np.linspace(-5, 5, 200).astype(np.float32)
        alpha = (1 / np.sqrt(1 + np.exp(-2 * log_snr))).astype(np.float32)
        given = {"label": LABEL, "attributes": RECORD}
        data = {
            "kind": "discrete",
            "last": 1000,
            "times": np.linspace(999, 0, 200).astype(np.float32),
            "log_snr": log_snr,
            "alpha": alpha,
            "sigma": np.sqrt(1 - alpha**2),
            "beta": np.linspace(1e-4, 0.02, 1000).astype(np.float32),
            "conditions": [given[m.kind] for m in self.modalities[1:]],
            "samplers": SAMPLERS,
            "sampling": asdict(Sampling("ddim", 20)),
            "variances": ["model", "small", "large"],
            "exact": False,
            "truth": "",
            "terminal": {"alpha": 0.006, "log_snr": -5.0, "bad": False},
            "warnings": [],
            "prediction": "eps",
            "pictures": self.shape != (2,),
            "shape": self.shape,
            "labels": [DIGITS[n % 10] for n in range(500)],
            "judge": {"name": "small CNN", "accuracy": 0.98},
        }
        return [Frame("denoiser", data)]

    def result(self, asked: PlayDenoising, sample: int) -> np.ndarray:
        """Where a sample ends: a ring of the class that was given, else of one that the seed says."""
        digit = asked.condition.get("digit")
        phase = float(digit) if digit is not None else (asked.seed * 3 + sample) % 10
        if self.shape == (2,):
            angle = 2 * np.pi * (sample / asked.count + 0.1 * asked.seed)
            return np.array([np.cos(angle), np.sin(angle)])
        return ring(phase + 0.05 * sample, self.shape, 0.5 + 0.02 * asked.sampling.guidance)

    def levels(self, asked: PlayDenoising) -> np.ndarray:
        """Half-log-SNR of every step, [S + 1], the parent's up to the branch."""
        own = np.linspace(-5.0, 5.0, asked.sampling.steps + 1)
        if asked.parent is None:
            return own
        before = self.levels(asked.parent)[: asked.at + 1]
        return np.concatenate([before, own[own > before[-1] + 1e-9]])

    def _PlayDenoising(self, asked: PlayDenoising) -> Iterator[Update]:
        log_snr = self.levels(asked)
        first = asked.at if asked.parent is not None else 0
        ends = np.stack([self.result(asked, n) for n in range(asked.count)])
        starts = np.random.default_rng(asked.seed).standard_normal(ends.shape)
        about = {
            "times": np.linspace(999, 0, len(log_snr)),
            "log_snr": log_snr,
            "count": asked.count,
            "bytes": ends.size * 3 * len(log_snr),
            "evaluations": 0,
            "seconds": 0.0,
            "done": False,
            "from": first,
            "warnings": [],
            "judged": [],
            "names": "",
        }
        yield Frame("film", about)
        for index in range(first, len(log_snr)):
            if (index - first) % asked.half == 0 or index == len(log_snr) - 1:
                yield Frame(f"step/{index}", self.step(asked, index, log_snr, starts, ends))
        steps = len(log_snr) - 1 - first
        words = [FEW] if steps < 4 else []
        judged = [DIGITS[n % 10] for n in range(asked.count)]
        yield Frame("film", {**about, "done": True, "evaluations": steps, "warnings": words, "judged": judged})

    def step(
        self, asked: PlayDenoising, index: int, log_snr: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> dict[str, Any]:
        """One frame: noise and picture mixed as the level says."""
        last = index == len(log_snr) - 1
        alpha = 1.0 if last else 1 / np.sqrt(1 + np.exp(-2 * log_snr[index]))
        sure = index / (len(log_snr) - 1)
        blurred = ends.mean(0) * (1 - sure) + ends * sure
        x = alpha * ends + np.sqrt(max(0.0, 1 - alpha**2)) * starts
        guided = bool(asked.condition) and asked.sampling.guidance not in (0.0, 1.0)
        kinds = {
            "x": x,
            "clean": ends if last else blurred,
            "noise": starts * 0.4,
            "difference": np.abs(ends - blurred),
        }
        norms = {
            name: np.sqrt((v.reshape(asked.count, -1) ** 2).mean(1)).astype(np.float32) for name, v in kinds.items()
        }
        norms["change"] = np.full(asked.count, 0.1 * (1 - sure), np.float32)
        flat = self.shape == (2,)
        shown = {name: v.astype(np.float32) if flat else as_bytes(v) for name, v in kinds.items()}
        if not guided:
            shown["difference"] = shown["difference"][:0]
            norms["difference"] = norms["difference"][:0]
        return {"index": index, "time": 999 - index, "log_snr": log_snr[index], "norms": norms, **shown}

    def _FindNearest(self, asked: Any) -> list[Update]:
        result = self.result(asked.film, asked.index)
        near = np.stack([ring(n * 0.7, self.shape) for n in range(asked.k)])
        data = {
            "pictures": as_bytes(near),
            "distances": np.linspace(0.1, 0.2, asked.k),
            "indices": np.arange(asked.k) * 7,
            "labels": [DIGITS[n] for n in range(asked.k)],
            "typical": {"middle": 0.14, "low": 0.08},
            "picture": as_bytes(result),
        }
        return [Frame("nearest", data)]

    def _ShowSchedule(self, asked: Any) -> list[Update]:
        own = np.asarray(asked.source.picture, np.uint8)
        picture = own if own.size else as_bytes(ring(asked.source.index, self.shape))
        log_snr = np.linspace(5, -5, 50).astype(np.float32)
        alpha = 1 / np.sqrt(1 + np.exp(-2 * log_snr))
        data = {
            "times": np.linspace(0, 1, 50),
            "log_snr": log_snr,
            "alpha": alpha,
            "sigma": np.sqrt(1 - alpha**2),
            "beta": np.linspace(1e-4, 0.02, 50),
            "terminal": {"alpha": 0.006, "log_snr": -5.0, "bad": False},
            "warnings": [],
            "pictures": np.stack([picture] * len(asked.shown)),
            "shown_log_snr": np.linspace(5, -5, len(asked.shown)),
            "config": {"schedule": "linear", "knots": ()},
            "of": 1000,
        }
        return [Frame("schedule", data)]
