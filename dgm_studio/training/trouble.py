"""When training cannot go on: what happened, where, and what to do about it."""

from __future__ import annotations

import errno
import gc
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from dgm_studio.core.updates import Problem
from dgm_studio.training.looking import fetch_for, loss_terms
from dgm_studio.training.optimising import Figures, Optimising

MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu")


@dataclass(frozen=True)
class Trouble:
    """Why a run stopped.

    Args:
        sentence: What happened.
        action: What to do.
        remedy: The `training` settings of a `Train` request that does it.
    """

    sentence: str
    action: str
    remedy: dict[str, Any]

    def problem(self) -> Problem:
        """To be raised."""
        return Problem(self.sentence, self.action)

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"sentence": self.sentence, "action": self.action, "remedy": self.remedy}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: an own class on accelerators, a plain RuntimeError on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY_WORDS)


def free_memory(device: torch.device) -> None:
    """Give back what nobody holds. Call it outside the `except` block: the error holds the frames with the tensors.

    Cycles are left alone where automatic collection is off: there the window collects, on its own thread.
    """
    if gc.isenabled():
        gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def out_of_memory(step: int, micro_batch: int) -> Trouble:
    """What to say when memory ran out."""
    sentence = f"There was not enough memory for step {step + 1} with {micro_batch} examples at once."
    if micro_batch <= 1:
        return Trouble(sentence, "Choose a smaller model, or close other programs.", {})
    smaller = (micro_batch + 1) // 2
    return Trouble(sentence, f"Continue with micro_batch={smaller}: the result is the same.", {"micro_batch": smaller})


def not_finite(optimising: Optimising, figures: Figures, saved: int) -> Trouble:
    """What to say when a loss or a gradient is NaN or infinite; looks for the term and the layer.

    Args:
        optimising: As it stands after the failed step, its gradients still there.
        figures: Of that step; without terms when the weights were found spoilt after it.
        saved: Step of the last save.
    """
    step = optimising.step + (1 if figures.terms else 0)
    rate = figures.learning_rate if figures.learning_rate > 0 else optimising.config.learning_rate
    halved = optimising.config.learning_rate / 2
    term = guilty_term(figures)
    layer = guilty_gradient(optimising.model) if term is None else guilty_layer(optimising)
    what = "the gradient" if term is None else f"the term {term}"
    where = f", first in the layer {layer}" if layer else ""
    sentence = f"Training stopped at step {step}: {what} is not finite{where} (learning rate {rate:.3g})."
    action = f"Go back to step {saved} and continue with half the rate, learning_rate={halved:.6g}."
    return Trouble(sentence, action, {"learning_rate": halved})


def guilty_term(figures: Figures) -> str | None:
    """The first term that is not finite; a part of the loss rather than the loss, which it spoils."""
    spoilt = [name for name, value in figures.terms.items() if not math.isfinite(value)]
    parts = [name for name in spoilt if name not in ("loss", "elbo")]
    return next(iter([*parts, *spoilt]), None)


def guilty_gradient(model: nn.Module) -> str:
    """The parameter nearest to the loss whose gradient is not finite, "" when all are."""
    named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    return next((name for name, grad in reversed(named) if not bool(torch.isfinite(grad).all())), "")


def guilty_layer(optimising: Optimising) -> str:
    """The first layer in the order of computing whose result is not finite, or "the data", or ""."""
    config = optimising.config
    indices: Int64[Tensor, " n"] = optimising.order.peek(config.batch)
    batch = fetch_for(optimising.model, optimising.part, indices, optimising.device)
    # In views NaN only says that a value is missing.
    if isinstance(batch, Tensor) and not bool(torch.isfinite(batch).all()):
        return "the data"
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not found and not bool(torch.isfinite(output).all()):
                found.append(name)

        return hook

    leaves = [(n, m) for n, m in optimising.model.named_modules() if n and not list(m.children())]
    handles = [module.register_forward_hook(look(name)) for name, module in leaves]
    optimising.undo()
    try:
        with torch.no_grad(), optimising.randomness.aside():
            loss_terms(optimising.model, batch, optimising.randomness.noise, optimising.step)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ""


def not_saved(error: OSError, step: int, last: int | None) -> str:
    """What to say when a save failed; training goes on."""
    kept = f"The checkpoint of step {last:,} stays" if last is not None else "There is no checkpoint yet"
    return f"Step {step:,} could not be saved: {why(error)}. {kept}; the next save will be tried."


def lost(error: OSError | None, step: int, last: int | None) -> Problem:
    """What to say when a run has ended and its last save failed."""
    reason = why(error) if error is not None else "the disk did not take it"
    stands = f"the run stands at step {last:,}" if last is not None else "nothing of the run is kept"
    again = "Make room on the disk and train on." if last is not None else "Make room on the disk and start again."
    return Problem(f"Step {step:,} could not be saved: {reason}; {stands}.", again)


def why(error: OSError) -> str:
    """Why the disk did not take something, in a few words."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else (error.strerror or str(error))
