"""What the figures of a run say about its health, in plain words. Each rule is a pure function."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

ACTIVE_KL = 0.01  # nats: a dimension below this tells the decoder nothing
COLLAPSED_KL = 0.1  # nats in all dimensions together
WINDOW = 50  # recorded steps that are looked at
DEAD_GRADIENT = 1e-7
RISING_VALIDATIONS = 3


@dataclass(frozen=True)
class Line:
    """One finding.

    Args:
        level: "good", "warn" or "bad".
        name: What was looked at.
        sentence: What was found.
    """

    level: str
    name: str
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def collapse(kl: Sequence[float], weight: float = 1.0) -> Line:
    """Posterior collapse: the latents say nothing of the datum (Bowman et al. 2016; Burda et al. 2016, section 5.2).

    Args:
        kl: KL of each latent dimension, nats.
        weight: Of the KL in the loss now; during a warm-up from 0 a large KL is no merit.
    """
    name, total = "posterior collapse", sum(kl)
    active = sum(v > ACTIVE_KL for v in kl)
    if total < COLLAPSED_KL:
        return Line("bad", name, f"The latents are ignored: the KL is {total:.2g} nats. Lower beta, or warm it up.")
    words = f"{active} of {len(kl)} latent dimensions are in use"
    if active <= max(1, len(kl) // 8) and len(kl) >= 4:
        return Line("warn", name, f"Only {words}. Lower beta, use free bits, or take fewer dimensions.")
    return Line("good", name, f"{words}, {total:.1f} nats together.")


def divergence(losses: Sequence[float]) -> Line:
    """The loss has left its best stretch for good.

    Args:
        losses: Training loss of the recorded steps, all of them or at least the last few hundred.
    """
    name = "divergence"
    if len(losses) < 2 * WINDOW:
        return Line("good", name, "The loss has not run long enough to judge.")
    blocks = [losses[i : i + WINDOW] for i in range(len(losses) % WINDOW, len(losses), WINDOW)]
    medians = [statistics.median(block) for block in blocks]
    best = min(medians[:-1])
    at = blocks[medians.index(best)]
    spread = statistics.median(abs(v - best) for v in at) * 1.4826  # the deviation of a Gaussian from its median's
    excess = medians[-1] - best
    if not math.isfinite(excess) or excess > 10 * spread + 0.1 * abs(best):
        return Line(
            "bad", name, f"The loss has risen from {_figure(best)} to {_figure(medians[-1])}. Halve the learning rate."
        )
    return Line("good", name, f"The loss is at {_figure(medians[-1])}; its best stretch was {_figure(best)}.")


def overfitting(train: Sequence[float], valid: Sequence[float]) -> Line:
    """The validation loss rises while the training loss falls.

    Args:
        train: Training loss around each validation.
        valid: Validation loss, as many.
    """
    name = "overfitting"
    if len(valid) <= RISING_VALIDATIONS:
        return Line("good", name, "There are too few validations to judge.")
    best = min(range(len(valid)), key=lambda i: valid[i])
    since = len(valid) - 1 - best
    risen, fallen = valid[-1] - valid[best], train[best] - train[-1]
    if since >= RISING_VALIDATIONS and risen > 0.002 * abs(valid[best]) and fallen > 0:
        words = f"The validation loss was best {since} validations ago and has risen by {_figure(risen)} since,"
        return Line(
            "warn", name, f"{words} while the training loss fell by {_figure(fallen)}. Stop, or take that checkpoint."
        )
    return Line("good", name, f"The validation loss is {_figure(valid[-1])}, the training loss {_figure(train[-1])}.")


def dead_gradients(lengths: Sequence[float], layers: dict[str, float]) -> Line:
    """Nothing is learnt any more, everywhere or in some layers.

    Args:
        lengths: Gradient norms of the recorded steps.
        layers: Gradient norm of each parameter at the last step.
    """
    name = "dead gradients"
    recent = lengths[-WINDOW:]
    if recent and statistics.median(recent) < DEAD_GRADIENT:
        return Line("bad", name, "The gradient is zero: nothing is learnt any more.")
    dead = [layer for layer, length in layers.items() if length < DEAD_GRADIENT]
    if dead:
        more = f" and {len(dead) - 1} more" if len(dead) > 1 else ""
        return Line("warn", name, f"No gradient reaches {dead[0]}{more}.")
    if not recent:
        return Line("good", name, "No step has been taken yet.")
    return Line(
        "good", name, f"Every layer learns; the gradient's length is about {_figure(statistics.median(recent))}."
    )


def disk(sentence: str) -> Line:
    """Whether saving works.

    Args:
        sentence: Why the last save failed, or "".
    """
    return Line("bad", "saving", sentence) if sentence else Line("good", "saving", "Every save succeeded.")


def _figure(value: float) -> str:
    """A number as people read it: four significant figures, thousands apart, a real minus."""
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "\N{MINUS SIGN}")
