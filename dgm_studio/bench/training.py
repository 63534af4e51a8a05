"""Training through the worker beside a loop in bare PyTorch: same network, batch, optimiser and number of threads.

The two take turns, so that a machine that slows down slows both. The figures are medians over the turns.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import torch

from dgm_studio.bench.figures import Figure, Options, document
from dgm_studio.bench.worker import BARE_STEPS, Worker, endless, steps_per_second
from dgm_studio.core.outbox import Ticket
from dgm_studio.core.requests import DecodeLatent
from dgm_studio.data import registry as data
from dgm_studio.explore.workbench import pick_device, worker_threads
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Trains
from dgm_studio.training.config import TrainingConfig

TURNS = 7
SECONDS = 4.0  # of one turn
PICTURES = 20.0  # a second
SETTLING = 0.3  # s after a pause: what was under way is over
NETWORKS = ({"network": "conv"}, {"network": "mlp"})


def measure(options: Options) -> dict[str, Any]:
    """Steps a second of ours and of the bare loop, alone and while pictures are asked for."""
    figures, details = [], {}
    for network in [options.config] if options.config else NETWORKS:
        found = compare(options, dict(network))
        name = str(network.get("network", "auto"))
        details[name] = found
        figures += [
            Figure(f"{name}, against a bare loop", found["alone / fused"], "", 0.97, at_least=True),
            Figure(f"{name}, against a bare loop with plain AdamW", found["alone / plain"]),
            Figure(f"{name}, with {PICTURES:g} pictures a second", found["asked / fused"], "", 0.80, at_least=True),
            Figure(f"{name}, ours", found["alone"], "steps/s"),
            Figure(f"{name}, bare", found["fused"], "steps/s"),
        ]
    return document("training", figures, turns=details)


def compare(options: Options, config: dict[str, Any]) -> dict[str, Any]:
    """Medians of the speeds and of their ratios within a turn."""
    seconds, turns = options.seconds or SECONDS, options.count or TURNS
    worker = Worker(options)
    request = endless(f"bench {config.get('network', '')}".strip(), options, config, **BARE_STEPS)
    ticket = worker.train(request)
    bare = {kind: Bare(options, config, fused=kind == "fused") for kind in ("fused", "plain")}
    speeds: dict[str, list[float]] = {"alone": [], "asked": [], "fused": [], "plain": []}
    size = int(config.get("latent", registry.config_class("vae")().latent))
    asking = _asking(worker, request.run, size, options.seed)
    for turn in range(turns):
        order = ["alone", "fused", "asked", "plain"]
        for name in order if turn % 2 == 0 else reversed(order):
            if name in bare:
                speeds[name].append(bare[name].speed(seconds))
            else:
                each = asking if name == "asked" else None
                speeds[name].append(_ours(worker, ticket, seconds, each))
    worker.close()
    ratios = [("alone", "fused"), ("alone", "plain"), ("asked", "fused")]
    medians: dict[str, Any] = {name: statistics.median(values) for name, values in speeds.items()}
    for ours, theirs in ratios:
        pairs = zip(speeds[ours], speeds[theirs], strict=True)
        medians[f"{ours} / {theirs}"] = statistics.median(a / b for a, b in pairs)
    return {**medians, "speeds": speeds}


def _ours(worker: Worker, ticket: Ticket, seconds: float, each: Callable[[], object] | None) -> float:
    worker.engine.resume(ticket)
    worker.watch(SETTLING, each, 1 / PICTURES)
    speed = steps_per_second(worker.watch(seconds, each, 1 / PICTURES))
    worker.engine.pause(ticket)
    worker.watch(SETTLING)
    return speed


def _asking(worker: Worker, run: str, size: int, seed: int) -> Callable[[], object]:
    """A hand that drags: another latent at every call, of the model that trains."""
    generator = torch.Generator().manual_seed(seed)

    def ask() -> None:
        z = tuple(torch.randn(size, generator=generator).tolist())
        worker.engine.ask("bench/decoded", DecodeLatent(f"run:{run}", z))

    return ask


class Bare:
    """The loop that everybody writes: a batch, the loss, backward, a step of AdamW. No average, no clipping, no record.

    Args:
        options: Data and device.
        config: The VAE's settings.
        fused: With the fused kernel that we use, or as torch has it by default.
    """

    def __init__(self, options: Options, config: dict[str, Any], *, fused: bool) -> None:
        self.device = pick_device(options.device)
        part = data.load(options.data).split("train")
        training = TrainingConfig()
        self.x = part.batch(torch.arange(len(part))).to(self.device)
        self.batch = training.batch
        modalities = data.card(options.data).modalities
        self.model = registry.build("vae", config, modalities, options.seed).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=fused or None
        )
        self.generator = torch.Generator(self.device).manual_seed(options.seed)

    def step(self) -> None:
        """One step."""
        rows = torch.randint(len(self.x), (self.batch,), generator=self.generator, device=self.device)
        loss = cast(Trains, self.model).loss(self.x[rows], self.generator)["loss"].mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def speed(self, seconds: float) -> float:
        """Steps a second, on a thread of its own as the worker is one."""
        found: list[float] = []
        thread = threading.Thread(target=lambda: found.append(self._run(seconds)))
        thread.start()
        thread.join()
        return found[0]

    def _run(self, seconds: float) -> float:
        if self.device.type == "cpu":
            torch.set_num_threads(worker_threads())  # a setting of the thread
        self.step()
        begun, steps = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            self.step()
            steps += 1
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return steps / (time.perf_counter() - begun)
