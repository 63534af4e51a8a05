"""Which pixels speak for a class: integrated gradients of every classifier's decision.

With F(x) = log p(y | x) / (1 - p(y | x)), the log-odds of a class in nats, and a baseline x', the attribution of pixel
i is (x_i - x'_i) times the mean of dF / dx_i along the straight line from x' to x (Sundararajan, Taly and Yan 2017,
equation 1). All of them add up to F(x) - F(x') (their proposition 1, completeness), and how far the sum by the midpoint
rule is from it is told beside them. A classifier that draws is read with the same draws at every point of the line, so
that F is one function; the log-odds are taken for the reason that attacks take them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgm_studio.core.requests import AttributeClass
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.attacks import log_odds
from dgm_studio.explore.classifying import Contest, check_samples, contest, picture_given, picture_of
from dgm_studio.explore.loaded import as_floats
from dgm_studio.training.order import derived_seed

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

MOST_STEPS = 1000

Function = Callable[[Tensor], Tensor]


def integrated_gradients(
    function: Function, x: Tensor, baseline: Tensor, steps: int
) -> Generator[int, None, tuple[Tensor, float, float]]:
    """Attributions of one picture, by the midpoint rule.

    Args:
        function: From pictures [1, *S] to [1], differentiable.
        x: The picture [1, *S]; NaN where nobody knows, which is attributed nothing.
        baseline: What it is compared with, [1, *S].
        steps: Points on the line.

    Yields:
        How many points are done.

    Returns:
        Attributions [1, *S], and the function at the picture and at the baseline.
    """
    total = torch.zeros_like(x)
    for step in range(steps):
        with torch.enable_grad():
            point = (baseline + (step + 0.5) / steps * (x - baseline)).detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(function(point).sum(), point)
        total += slope.nan_to_num(0.0)
        yield step + 1
    with torch.no_grad():
        ends = float(function(x)[0]), float(function(baseline)[0])
    return ((x - baseline) * total / steps).nan_to_num(0.0), *ends


def odds_of(found: Contest, name: str, target: int, samples: int, seed: int) -> Function:
    """Log-odds of a class by one classifier, with the same draws whenever it is called."""

    def odds(x: Tensor) -> Tensor:
        generator = found.model.generator(derived_seed(seed, f"attributing {name}"))
        log_probs = found.log_probs_of(name, x, generator, samples)
        return -log_odds(log_probs, torch.full((len(x),), target, device=x.device))

    return odds


@answers(AttributeClass, grad=True)
def attribute_class(bench: Workbench, asked: AttributeClass) -> Iterator[Update]:
    """One classifier after the other; each is shown when it is done."""
    found = contest(bench.model(asked.model))
    samples = check_samples(asked.samples)
    if not 1 <= asked.steps <= MOST_STEPS:
        raise Problem(f"A line of {asked.steps} points cannot be followed.", f"Ask for 1 to {MOST_STEPS:,}.")
    if not -1 <= asked.target < found.classes:
        raise Problem(f"There is no class number {asked.target}.", f"Choose 0 to {found.classes - 1}, or -1.")
    if not 0.0 <= asked.baseline <= 1.0:
        raise Problem(f"No picture has the brightness {asked.baseline:g}.", "Choose 0 (paper) to 1 (ink).")
    x, truth = yield from picture_given(bench, found, asked.given)
    baseline = torch.where(x.isnan(), x, torch.full_like(x, asked.baseline))
    with torch.no_grad():
        generator = found.model.generator(derived_seed(asked.seed, "deciding"))
        decided = {name: int(v[0].argmax()) for name, v in found.log_probs(x, generator, samples).items()}
    data: dict[str, Any] = {"picture": picture_of(x), "truth": truth, "steps": asked.steps, "classifiers": {}}
    for number, (name, own) in enumerate(decided.items()):
        target = own if asked.target < 0 else asked.target
        walk = integrated_gradients(odds_of(found, name, target, samples, asked.seed), x, baseline, asked.steps)
        result = None
        while result is None:
            try:
                done = next(walk)
                yield Progress(number * asked.steps + done, len(decided) * asked.steps, "Following the line")
            except StopIteration as end:
                result = end.value
        attributed, here, there = result
        one = {
            "attribution": as_floats(attributed[0].sum(0)),
            "class": target,
            "decided": own,
            "odds": here,
            "baseline odds": there,
            "gap": float(attributed.double().sum()) - (here - there),
        }
        data["classifiers"] = {**data["classifiers"], name: one}
        yield Frame("attribution", dict(data))
