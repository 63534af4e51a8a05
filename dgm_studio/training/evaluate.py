"""Figures of a trained model on a split, each with what makes it comparable: unit, estimator, standard error.

"nelbo"            -ELBO with one draw, nats; lower is better. The headline.
"loss"             what is minimised, where it is no bound: a mean square error, without a unit. Then the headline.
"elbo"             its opposite, as the objective is written.
"iwae"             minus the importance-weighted bound with K draws, nats (Burda et al. 2016); lower is better.
"reconstruction"   log p(x | z), one draw, nats; higher is better.
"kl"               KL(q(z | x) || p(z)), nats.
"active"           latent dimensions whose posterior mean varies: variance over the data > 0.01 (Burda et al. 2016,
                   section 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Metric
from dgm_studio.core.requests import Evaluate
from dgm_studio.core.updates import Problem, Progress, Result, Update
from dgm_studio.data.dataset import Part
from dgm_studio.models.capabilities import Encodes, Scores
from dgm_studio.training.looking import Sums, fetch, fetch_for, loss_terms
from dgm_studio.training.order import derived_seed
from dgm_studio.training.record import unit_of

EXAMPLES = 8  # at once; with DRAWS of each they are one slice of at most 50 ms. Fixed, never timed: figures repeat
DRAWS = 8
ACTIVE_VARIANCE = 0.01
RISING = ("elbo", "reconstruction")  # good when high


def evaluate(model: nn.Module, part: Part, request: Evaluate) -> Iterator[Update]:
    """Progress on the way, then Result: {name: Metric}.

    Every block of examples has generators of its own, so the figures depend on the seed and the count only.

    Args:
        model: In evaluation mode.
        part: The split that the request names.
        request: How many examples, how many draws, which seed.

    Raises:
        Problem: Fewer than one example or draw is asked for.
    """
    if request.samples < 1 or request.count < 0 or not len(part):
        raise Problem("There is nothing to evaluate on.", "Ask for at least one example and one sample.")
    count = min(request.count or len(part), len(part))
    indices = torch.arange(count)
    slices = math.ceil(request.samples / DRAWS) if isinstance(model, Scores) else 0
    blocks = math.ceil(count / EXAMPLES)
    total, done = blocks * (1 + slices), 0
    terms, bounds, means = Sums(), Sums(), Sums()
    device = next(model.parameters()).device
    for number, block in enumerate(indices.split(EXAMPLES)):
        x = fetch_for(model, part, block, device)
        _look(model, x, _generator(device, request.seed, "terms", number), terms)
        if isinstance(model, Encodes):
            with torch.no_grad():
                means.add({"mean": model.encode(fetch(part, block, device)).mean})
        done += 1
        yield Progress(done, total, "Evaluating")
        if isinstance(model, Scores):
            bounding = _bounding(model, x, request.samples, _generator(device, request.seed, "bound", number))
            while True:
                try:
                    next(bounding)
                except StopIteration as finished:
                    bounds.add({"bound": finished.value})
                    break
                done += 1
                yield Progress(done, total, "Evaluating")
    yield Result(_figures(terms, bounds, means, request))


def _generator(device: torch.device, seed: int, purpose: str, block: int) -> torch.Generator:
    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, block))


@torch.no_grad()
def _look(model: nn.Module, x: Any, generator: torch.Generator, terms: Sums) -> None:
    found = loss_terms(model, x, generator, 0)
    terms.add({name: term for name, term in found.items() if name != "loss" or "elbo" not in found})


def _bounding(model: Scores, x: Any, samples: int, generator: torch.Generator) -> Generator[None, None, Tensor]:
    """The bound with all draws from bounds with some: log-mean-exp of log-mean-exps, weighted by their draws.

    All slices see the same data: what is random in preparing them is drawn once.
    """
    x = _prepared(model, x, generator)
    parts, left = [], samples
    while left > 0:
        k = min(DRAWS, left)
        with torch.no_grad():
            parts.append(model.log_prob_bound(x, k, generator) + math.log(k))
        left -= k
        yield
    return torch.logsumexp(torch.stack(parts), 0) - math.log(samples)


def _prepared(model: object, x: Any, generator: torch.Generator) -> Any:
    """The data as the likelihood sees them; binarised data stay as they are when they are binarised again."""
    prepare = getattr(model, "prepare", None)
    return x if prepare is None else prepare(x, generator)


def _figures(terms: Sums, bounds: Sums, means: Sums, request: Evaluate) -> dict[str, Metric]:
    averages = terms.means()
    found = {
        name: Metric(
            value,
            unit_of(averages),
            "one draw",
            terms.error(name),
            request.split,
            name not in ("elbo", "reconstruction"),
        )
        for name, value in averages.items()
    }
    if "elbo" in found:
        found["nelbo"] = replace(found["elbo"], value=-found["elbo"].value, lower_is_better=True)
    if bounds.count:
        value, error = -float(bounds.mean("bound")), bounds.error("bound")
        found["iwae"] = Metric(value, "nats", f"IWAE-{request.samples}", error, request.split)
    if means.count > 1:
        variance = means.second["mean"] / means.count - means.mean("mean").square()
        active = int((variance * means.count / (means.count - 1) > ACTIVE_VARIANCE).sum())
        found["active"] = Metric(active, f"of {len(variance)}", "variance of means", 0.0, request.split, False)
    return found
