"""One optimiser step in micro-batches, and the average of the weights. No Python more than is needed."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from dgm_studio.data.dataset import Part
from dgm_studio.models import registry
from dgm_studio.training.adamw import AdamW
from dgm_studio.training.config import TrainingConfig, learning_rate
from dgm_studio.training.looking import fetch_for, loss_terms
from dgm_studio.training.order import Order
from dgm_studio.training.randomness import Randomness

AVERAGE_STRIDE = 16  # steps between updates of the average; the decay is taken to this power, so the result is alike
NORM_STRIDE = 8  # steps between two measured gradients where none is shortened: reading it costs a small network 3 %
LONGEST_MICRO_BATCH = 0.036  # s; with what a step does besides, below the 50 ms after which a stop would be felt
WORTH_A_YIELD = 0.004  # s
PROMISING = 1.25  # a size is tried when the one before lets expect at most so many times what is wanted
PIECES = (1, 2, 3, 4)  # and on by doubling
MEASUREMENTS = 3
SMALLEST = 8  # examples; measuring starts at a piece of at most this size
LARGEST_IN_MEMORY = 16 * 2**20  # values of the data, four bytes each


@dataclass(frozen=True)
class Figures:
    """What one step measured, as plain numbers.

    Args:
        terms: Means over the batch by name.
        gradient_norm: Length of the whole gradient before clipping; None when it was not measured at this step.
        learning_rate: The rate that was used.
    """

    terms: dict[str, float]
    gradient_norm: float | None
    learning_rate: float

    def finite(self) -> bool:
        """Whether the loss and the gradient, as far as it was measured, are."""
        return math.isfinite(self.terms["loss"]) and (self.gradient_norm is None or math.isfinite(self.gradient_norm))


class Optimising:
    """A model, its optimiser and the average of its weights.

    Args:
        model: In training mode, on its device.
        part: The training data.
        config: Settings in force; may be replaced between steps.
        order: Which examples come when.
        randomness: Everything random.
        start: Step at which the optimiser began.
    """

    def __init__(
        self,
        model: nn.Module,
        part: Part,
        config: TrainingConfig,
        order: Order,
        randomness: Randomness,
        start: int = 0,
    ) -> None:
        self.model = model.train()
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.config = config
        self.order = order
        self.randomness = randomness
        self.start = start
        self.step = start
        self.device = next(model.parameters()).device
        self.part = on_device(part, self.device)
        self.gradient_norms: list[Tensor] = []
        self._parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self._averaged: list[Tensor] = [
            a for a, p in zip(self.average.parameters(), model.parameters(), strict=True) if p.requires_grad
        ]
        self._adam = AdamW(self._parameters)
        self._values = None if registry.takes_views(model) else values_in_memory(self.part)
        self._mark: dict[str, Tensor] | None = None  # where the draws stood before the step that is under way

    # -- one step ----------------------------------------------------------------------------------------------------

    def advance(self) -> Generator[None, None, Figures]:
        """Take one step; yields between micro-batches.

        When the loss or the gradient is not finite the weights stay as they are; `undo` puts back the rest.

        Returns:
            The figures of the step.
        """
        config = self.config
        indices = self.order.peek(config.batch)
        size = min(config.micro_batch or config.batch, config.batch)
        self._mark = self.randomness.state()
        totals: Tensor | None = None
        for start in range(0, config.batch, size):
            if start:
                yield
            found = yield from self._accumulate(indices[start : start + size])
            totals = found if totals is None else totals.add_(found)
        assert totals is not None
        return self._apply(totals)

    def _accumulate(self, indices: Int64[Tensor, " n"]) -> Generator[None, None, Tensor]:
        """Add the gradient of some examples' share of the mean; yields between forward and back when it takes long.

        Returns:
            The sums of their terms [T], ordered as `names`.
        """
        begun = time.perf_counter()
        batch = self._batch(indices.to(self.device))
        with torch.enable_grad(), self.randomness.borrowed():
            terms = loss_terms(self.model, batch, self.randomness.noise, self.step)
            loss = terms["loss"].sum() * (1.0 / self.config.batch)
        if time.perf_counter() - begun > WORTH_A_YIELD:
            yield
        loss.backward()
        self.names = [name for name, term in terms.items() if term.ndim == 1]
        return torch.stack([terms[name].detach() for name in self.names]).sum(1)

    def _batch(self, indices: Int64[Tensor, " n"]) -> Any:
        if self._values is None:
            return fetch_for(self.model, self.part, indices, self.device)
        return self._values.index_select(0, indices)

    def _apply(self, totals: Tensor) -> Figures:
        config = self.config
        rate, length = learning_rate(config, self.step, self.start), None
        if config.clip or (self.step + 1) % NORM_STRIDE == 0 or self.step == self.start:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            self.gradient_norms = list(torch._foreach_norm(gradients))
            norm = torch.linalg.vector_norm(torch.stack(self.gradient_norms))
            # The only wait for the device in a step: all figures come over at once.
            *means, length = torch.cat([totals / config.batch, norm.to(totals.dtype).unsqueeze(0)]).tolist()
            if config.clip and config.clip < length < math.inf:
                torch._foreach_mul_(gradients, config.clip / length)
        else:
            means = (totals / config.batch).tolist()
        figures = Figures(dict(zip(self.names, means, strict=True)), length, rate)
        if figures.finite():
            self._update(rate)
        return figures

    def sound(self) -> bool:
        """Whether every weight is finite; a gradient that was not measured may have spoilt them."""
        return bool(torch.isfinite(torch.stack(torch._foreach_norm(self._parameters))).all())

    def _update(self, rate: float) -> None:
        self._adam.step(rate, self.config.weight_decay)
        self._adam.forget_gradients()
        self.order.advance(self.config.batch)
        self.step += 1
        self._mark = None
        if self.step % AVERAGE_STRIDE == 0 or self.step == self.config.steps:
            self._take_average()

    @torch.no_grad()
    def _take_average(self) -> None:
        done = self.step - self.start
        stride = min(done, self.step % AVERAGE_STRIDE or AVERAGE_STRIDE)  # steps since the last time
        # At first the average is short, or it would remember the random start for a thousand steps.
        decay = min(self.config.ema, (1.0 + done) / (10.0 + done)) ** stride
        torch._foreach_lerp_(self._averaged, self._parameters, 1.0 - decay)
        for ours, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            ours.copy_(theirs)

    def undo(self) -> None:
        """Forget a step that was begun and not finished: the draws it took and the gradients it left."""
        self._adam.forget_gradients()
        if self._mark is not None:
            self.randomness.restore(self._mark)
            self._mark = None

    # -- state -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """All tensors that going on needs."""
        found = {f"weights.{n}": t for n, t in self.model.state_dict().items()}
        found |= {f"average.{n}": t for n, t in self.average.state_dict().items()}
        for index, name in enumerate(self._names()):
            found |= {f"adam.{kind}.{name}": tensor for kind, tensor in self._adam.state(index).items()}
        return found | {f"random.{n}": t for n, t in self.randomness.state().items()}

    def restore_optimiser(self, tensors: dict[str, Tensor]) -> None:
        """Take over the optimiser's and the generators' part of a `state`; weights are fitted by their owner."""
        for index, name in enumerate(self._names()):
            about = {kind: tensors.get(f"adam.{kind}.{name}") for kind in self._adam.state(index)}
            found = {kind: tensor for kind, tensor in about.items() if tensor is not None}
            if len(found) == len(about):  # a state from before the first step has none
                self._adam.restore(index, found)
        self.randomness.restore({k: tensors[f"random.{k}"] for k in ("noise", "default")})

    def _names(self) -> list[str]:
        return [name for name, p in self.model.named_parameters() if p.requires_grad]


def values_in_memory(part: Part) -> Tensor | None:
    """Small pictures as a model sees them: what `Part.batch` works out at every step, worked out once."""
    if not part.pictures or part.x.numel() > LARGEST_IN_MEMORY:
        return None
    return part.x.float().div_(255.0)


def on_device(part: Part, device: torch.device) -> Part:
    """The data where the model is, so that no batch has to travel."""
    if device.type == "cpu":
        return part
    mean, std = (None if t is None else t.to(device) for t in (part.mean, part.std))
    others, erased = ({n: t.to(device) for n, t in kept.items()} for kept in (part.others, part.erased))
    return replace(part, x=part.x.to(device), mean=mean, std=std, others=others, erased=erased)


def measure_micro_batch(optimising: Optimising, wanted: float = LONGEST_MICRO_BATCH) -> Generator[None, None, int]:
    """The batch, or the largest part of it by `PIECES` (rounded up), that takes `wanted` s forward and back each.

    Measured from small to large on copies of the model and the generators, so that nothing of the run is touched.
    The largest is taken because a pass costs something however small it is: eighths of a batch of small pictures
    measured a quarter slower than the whole.
    """
    sizes = sizes_of(optimising.config.batch)
    model = copy.deepcopy(optimising.model)
    chosen = sizes[0]
    longest = 0.0
    for size in sizes:
        if longest * size / chosen > PROMISING * wanted:  # trying it out would itself hold up the window
            break
        shortest = [math.inf, math.inf]
        for _ in range(MEASUREMENTS):
            found = yield from _seconds(optimising, model, size)
            shortest = [min(pair) for pair in zip(shortest, found, strict=True)]
            yield
        longest = max(shortest)
        if longest > wanted:
            break
        chosen = size
    return chosen


def sizes_of(batch: int) -> list[int]:
    """Sizes of a piece, rising.

    >>> sizes_of(128)
    [8, 16, 32, 43, 64, 128]
    """
    pieces = [*PIECES]
    while batch / pieces[-1] > SMALLEST:
        pieces.append(2 * pieces[-1])
    return sorted({math.ceil(batch / n) for n in pieces if n <= 2 or batch / n >= SMALLEST / 2})


def _seconds(optimising: Optimising, model: nn.Module, size: int) -> Generator[None, None, tuple[float, float]]:
    """Seconds forward and seconds back."""
    generator = torch.Generator(optimising.device).manual_seed(0)
    indices = torch.arange(size) % len(optimising.part)
    # Time of this thread where the work is done on it: what else the machine does now shall not shrink the pieces.
    clock = time.thread_time if optimising.device.type == "cpu" and os.name != "nt" else time.perf_counter
    begun = clock()
    with torch.enable_grad(), optimising.randomness.aside():
        batch = fetch_for(optimising.model, optimising.part, indices, optimising.device)
        loss = loss_terms(model, batch, generator, 0)["loss"].sum()
    _wait(optimising.device)
    forward = clock() - begun
    yield
    begun = clock()
    loss.backward()
    _wait(optimising.device)
    model.zero_grad(set_to_none=True)
    return forward, clock() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
