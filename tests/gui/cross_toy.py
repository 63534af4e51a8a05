"""A model of several modalities worked out by hand, that answers the cross-modal panel's questions at once."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dgm_studio.core.cards import Capability, Factor, Modality, ModelCard
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.packed import drawn
from dgm_studio.core.updates import Done, Failed, Frame, Progress, Update

SIDE, LATENT = 14, 6
DIGITS = tuple("0123456789")
IMAGE = Modality("image", "image", (1, SIDE, SIDE), about="digit")
DIGIT = Modality("digit", "label", (), DIGITS, about="digit")
SENTENCE = Modality("sentence", "text", (8,), ("", "?", "a", *DIGITS))
AGE = Modality("age", "real", (1,), centre=(54.0,), spread=(11.0,), unit="years")
PRESSURE = Modality("pressure", "positive", (1,), centre=(4.85,), spread=(0.15,), unit="mmHg")
RECORD = Modality(
    "record",
    "attributes",
    (3,),
    columns=(Factor("glasses", ("no", "yes")), Factor("hair colour", ("black", "blond")), Factor("hat", ("no", "cap"))),
)
DOSE = Modality("dose", "vector", (3,), centre=(0.0, 0.0, 0.0), spread=(1.0, 1.0, 1.0))
TWO = (IMAGE, DIGIT)
THREE = (IMAGE, DIGIT, SENTENCE)
SIX = (IMAGE, DIGIT, AGE, PRESSURE, RECORD, SENTENCE)
PRODUCT_ONLY = {"poe": "", "moe": "The experts were never trained alone.", "mopoe": ""}


def card(modalities: tuple[Modality, ...] = THREE, **changes: Any) -> ModelCard:
    """The toy's card."""
    values: dict[str, Any] = {
        "key": "zoo:cross",
        "name": "cross",
        "system": "mvae",
        "title": "MVAE",
        "capabilities": frozenset({Capability.CROSSES}),
        "modalities": modalities,
        "latent": LATENT,
        "data": "toy",
        "step": 100,
    }
    return ModelCard(**{**values, **changes})


def ring(phase: float, tone: float = 1.0) -> np.ndarray:
    """A ring whose shape says a class: uint8 [SIDE, SIDE]."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return np.asarray(255 * tone * np.exp(-20 * (np.hypot(x * (1 + 0.4 * math.sin(phase)), y) - 0.55) ** 2), np.uint8)


def value(modality: Modality, of: int, certain: float = 0.9, jitter: float = 0.0) -> Any:
    """What a modality says of class `of`, in the form of a Frame."""
    if modality.kind == "image":
        shape = ring(of + jitter, 0.4 + 0.6 * certain)
        return np.repeat(shape[:, :, None], 3, 2) if modality.shape[0] == 3 else shape
    if modality.kind == "label":
        rest = (1 - certain) / (len(modality.categories) - 1)
        return np.asarray([certain if k == of else rest for k in range(len(modality.categories))], np.float32)
    if modality.kind == "attributes":
        return [
            np.asarray(
                [certain if k == (of + n) % len(c.categories) else (1 - certain) for k in range(len(c.categories))]
            )
            for n, c in enumerate(modality.columns)
        ]
    if modality.kind in ("real", "positive"):
        mean = modality.centre[0] + modality.spread[0] * (of - 5) / 4 * certain + 0.1 * jitter
        half = modality.spread[0] * (1.2 - certain)
        low, middle, high = mean - half, mean, mean + half
        if modality.kind == "positive":
            low, middle, high = math.exp(low), math.exp(middle), math.exp(high)
        return {"mean": middle, "low": low, "high": high}
    if modality.kind == "vector":
        mean = np.linspace(-1, 1, 3) * certain
        return {"mean": mean, "low": mean - 0.5, "high": mean + 0.5}
    return f"a {of} drawn with a thin pen"


@dataclass
class _Datum:
    """What class each modality claims, None where it is missing."""

    claims: dict[str, int]


class Toy:
    """Stands where the host's `ask` stands: answers at once, or when it is told to.

    Args:
        modalities: Of the model.
        at_once: Else answers wait for `answer`.
    """

    def __init__(self, modalities: tuple[Modality, ...] = THREE, *, at_once: bool = True) -> None:
        self.modalities = modalities
        self.asked: list[Ticket] = []
        self.jobs: list[Ticket] = []
        self.stopped: list[Ticket] = []
        self.waiting: dict[str, Ticket] = {}
        self.failing: dict[str, Failed] = {}
        self.panel: Any = None
        self.at_once = at_once
        self._ids = itertools.count(1)

    def __call__(self, topic: str, request: Any) -> Ticket:
        ticket = Ticket(next(self._ids), f"cross/{topic}", request, "", "interactive", 0.0)
        self.asked.append(ticket)
        self.waiting[topic] = ticket
        if self.at_once:
            self.answer(topic)
        return ticket

    def job(self, request: Any, name: str) -> Ticket:
        self.jobs.append(Ticket(next(self._ids), "cross/job", request, name, "batch", 0.0))
        return self.jobs[-1]

    def cancel(self, topic: str) -> None:
        self.waiting.pop(topic, None)

    def stop(self, ticket: Ticket) -> None:
        self.stopped.append(ticket)

    def requests(self, topic: str) -> list[Any]:
        """Everything asked under a topic, in order."""
        return [ticket.request for ticket in self.asked if ticket.slot == f"cross/{topic}"]

    def answer(self, *topics: str) -> None:
        """Answer what waits under these topics, under all of them when none is named."""
        for topic in topics or tuple(self.waiting):
            ticket = self.waiting.pop(topic, None)
            if ticket is None:
                continue
            for update in self.updates(topic, ticket.request):
                self.panel.receive(topic, update, ticket)

    def work(self) -> None:
        """Do the last job."""
        for update in (Progress(1, 2, "Scoring"), *self._ScoreCross(self.jobs[-1].request), Done()):
            self.panel.receive("job", update, self.jobs[-1])

    def updates(self, topic: str, request: Any) -> list[Update]:
        """The answer to a question."""
        if topic in self.failing:
            return [self.failing[topic]]
        return [*getattr(self, "_" + type(request).__name__)(request), Done()]

    # -- answers -------------------------------------------------------------------------------------------------------

    def claims(self, given: Any) -> dict[str, int]:
        """The class that every known modality speaks of."""
        found = {m.name: (given.index + 3) % 10 for m in self.modalities if m.name not in given.missing}
        for name, own in given.values.items():
            if name in found and isinstance(own, int):
                found[name] = own
        return found

    def _CompareNumbers(self, asked: Any) -> list[Update]:
        truth = np.linspace(30, 70, 40)
        truth[7] = np.nan
        data = {"predicted": truth + np.where(np.arange(40) % 2, 3.0, -1.0), "truth": truth, "unit": "years"}
        data |= {"bias": 1.0, "low": -3.0, "high": 5.0, "bias_error": 0.3, "limit_error": 0.5, "slope": -0.2}
        data |= {
            "absolute": 2.0,
            "absolute_error": 0.16,
            "guess": 10.0,
            "optimum": math.nan,
            "modality": asked.modality,
        }
        return [Progress(20, 40, "Predicting"), Frame("numbers", data | {"sources": asked.sources})]

    def _ChangeRecord(self, asked: Any) -> list[Update]:
        eye, change = np.full((SIDE, SIDE, 3), 90, np.uint8), np.linspace(-1, 1, SIDE * SIDE).reshape(SIDE, SIDE)
        row = {"before": eye, "after": eye, "change": change, "cosine": 0.5, "share": 0.25}
        rows = dict.fromkeys(("renderer", "eye and record", "record alone"), row)
        return [Frame("otherwise", {"rows": rows, "modality": asked.modality, "value": asked.value, "was": 51.0})]

    def _DescribeCross(self, asked: Any) -> list[Update]:
        data = {
            "modalities": [m.name for m in self.modalities],
            "rules": PRODUCT_ONLY,
            "rule": "poe",
            "posterior": "gaussian",
            "judges": {"image": {"name": "small CNN", "accuracy": 0.98, "factor": "digit"}},
            "shared": "digit",
            "labels": [str((n + 3) % 10) for n in range(500)],
            "synthetic": False,
            "counts": {"train": 4000, "valid": 500, "test": 500},
        }
        return [Frame("cross", data)]

    def rows(self, asked: Any, known: list[str]) -> list[tuple[str, ...]]:
        """As the worker chooses them."""
        if asked.rows:
            return [row for row in (tuple(n for n in r if n in known) for r in asked.rows) if row]
        sizes = range(len(known), 0, -1)
        every = [row for size in sizes for row in itertools.combinations(known, size)]
        keep = (1, len(known) - 1, len(known))
        return every if len(known) <= 4 else [row for row in every if len(row) in keep]

    def _CrossDatum(self, asked: Any) -> list[Update]:
        claims = self.claims(asked.given)
        rows = self.rows(asked, list(claims))
        given = {}
        for m in self.modalities:
            own = asked.given.values.get(m.name)
            if m.name in claims:
                given[m.name] = drawn(own) if own and m.kind == "image" else value(m, claims[m.name], 1.0)
                given[m.name] = own if own and m.kind == "text" else given[m.name]
        cells, judged = {}, {}
        for n, row in enumerate(rows):
            weights = {name: asked.fusing.precision.get(name, 1.0) for name in row}
            winner = claims[max(weights, key=weights.__getitem__)]
            sure = 0.55 + 0.4 * len(row) / len(self.modalities)
            for m in self.modalities:
                key = f"{n}/{m.name}"
                wrong = m.kind == "label" and len(row) == 1 and row[0] == "sentence"
                says = (winner + 2) % 10 if wrong else winner
                cells[key] = [value(m, says, sure, 0.2 * (k + asked.seed)) for k in range(asked.samples)]
                if m.kind == "image":
                    word = DIGITS[(winner + (len(row) == 1 and row[0] == "digit")) % 10]
                    judged[key] = {"word": word, "agrees": word == DIGITS[winner]}
        mean = np.zeros((len(rows), LATENT), np.float32)
        data = {
            "rows": rows,
            "columns": [m.name for m in self.modalities],
            "cells": cells,
            "given": given,
            "judged": judged,
            "mean": mean,
            "std": mean + 1,
            "kl": np.linspace(14.2, 3.1, len(rows)),
            "milliseconds": 8.4,
        }
        return [Frame("matrix", data)]

    def _ShowExperts(self, asked: Any) -> list[Update]:
        names = [m.name for m in self.modalities if m.name not in asked.given.missing]
        experts, total, weighted = {}, np.eye(2) * float(asked.fusing.prior_expert), np.zeros(2)
        for place, name in enumerate(names):
            angle = 0.7 * place
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            covariance = turn @ np.diag([0.9, 0.25]) @ turn.T / asked.fusing.precision.get(name, 1.0)
            mean = np.array([1.6 - 1.1 * place, 0.4 + 0.9 * math.cos(2 * place)])
            on = not asked.on or name in asked.on
            experts[name] = {"mean": mean, "covariance": covariance, "on": on}
            if on:
                total = total + np.linalg.inv(covariance)
                weighted = weighted + np.linalg.inv(covariance) @ mean
        joint = {"weight": 1.0, "covariance": np.linalg.inv(total), "of": tuple(names)}
        joint["mean"] = joint["covariance"] @ weighted
        x = np.linspace(asked.centre[0] - asked.reach, asked.centre[0] + asked.reach, 65)
        y = np.linspace(asked.centre[1] - asked.reach, asked.centre[1] + asked.reach, 65)
        grid = np.stack(np.meshgrid(x, y), -1) - joint["mean"]
        density = np.exp(-0.5 * np.einsum("bai,ij,baj->ba", grid, total, grid))
        shares = {name: 1 / (len(names) + 1) for name in [*names, "prior"]}
        generator = np.random.default_rng(0)
        data = {
            "experts": experts,
            "prior": {"mean": np.zeros(2), "covariance": np.eye(2), "on": asked.fusing.prior_expert},
            "joint": [joint],
            "density": density.astype(np.float32),
            "x": x,
            "y": y,
            "axes": ("z01", "z04") if asked.axes[0] < 0 else tuple(f"z{a:02d}" for a in asked.axes),
            "shares": shares,
            "kl": {name: 2.5 + place for place, name in enumerate(names)},
            "points": generator.standard_normal((200, 2)).astype(np.float32),
            "rule": asked.fusing.rule or "poe",
            "why": "",
        }
        return [Frame("experts", data)]

    def _WeighConflict(self, asked: Any) -> list[Update]:
        factors = np.geomspace(1 / 16, 16, asked.points)
        share = 1 / (1 + (1 / factors) ** 1.5)
        wins = np.stack([0.92 * (1 - share), 0.92 * share, np.full(asked.points, 0.08)], 1)
        label = np.zeros((asked.points, 10), np.float32)
        label[:, 3], label[:, 7] = 1 - share, share
        pictures = np.stack([ring(3 + 4 * s) for s in share])
        frames: list[Update] = []
        for reached in (asked.points // 2, asked.points):
            data = {"modality": asked.modality, "factors": factors, "pictures": pictures[:reached]}
            data |= {"first": "3", "second": "7", "wins": wins[:reached], "label": label[:reached]}
            frames.append(Frame("conflict", data))
        return frames

    def _WeighSamples(self, asked: Any) -> list[Update]:
        k = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
        bound = -95 + 12 * (1 - np.exp(-np.log(k) / 3))
        return [
            Frame("weights", {"k": k, "bound": bound, "error": 1 / np.sqrt(k), "effective": k**0.6, "log_weights": k})
        ]

    def _ScoreCross(self, asked: Any) -> list[Update]:
        names = [m.name for m in self.modalities]
        rows = ["+".join(row) for row in self.rows(type("_", (), {"rows": ()}), names)]
        told = {f"{row}/{name}": 0.98 - 0.11 * n for n, row in enumerate(rows) for name in names[:2]}
        criteria = [
            {"name": "latent factorisation", "what": "all modalities", "value": 0.941, "error": 0.011, "unit": ""},
            {"name": "joint generation", "what": "image, digit", "value": 0.724, "error": 0.02, "unit": ""},
            {"name": "cross generation", "what": "image to digit", "value": 0.883, "error": 0.014, "unit": ""},
            {"name": "cross generation", "what": "digit to image", "value": 0.671, "error": 0.021, "unit": ""},
            {"name": "synergy", "what": "both against image alone", "value": 0.972, "error": 0.007, "unit": ""},
        ]
        for entry in criteria:
            entry |= {"baseline": 0.112, "baseline name": "always the commonest class", "definition": ""}
        return [Frame("criteria", {"coherence": told, "diversity": told, "criteria": criteria, "count": asked.count})]

    def _ProveExactness(self, asked: Any) -> list[Update]:
        rows = [
            {
                "given": row,
                "elbo": -3.21 - n,
                "exact": -3.21 - n,
                "gap": 4.4e-16 * (n + 1),
                "elbo without the prior expert": -4.5 - n,
                "gap without the prior expert": 1.29,
            }
            for n, row in enumerate([("a",), ("b",), ("a", "b")])
        ]
        mixture = {"estimate": -5.2012, "exact": -5.2031, "error": 0.0021}
        return [Frame("exactness", {"rows": rows, "mixture": mixture, "modalities": 2, "seed": asked.seed})]

    def _ShowWrong(self, asked: Any) -> list[Update]:
        data = {
            "name": asked.kind,
            "sentence": "The product leaves the prior out.",
            "symptom": "The posterior of a single modality is as wide as its expert; the bound of a subset falls.",
            "right": {"ELBO of the image alone": -98.2, "ELBO of both": -97.1},
            "wrong": {"ELBO of the image alone": -131.5, "ELBO of both": -101.3},
            "unit": "nats",
            "errors": {"ELBO of the image alone": 1.2},
            "done": True,
        }
        return [Frame("wrong", data)]
