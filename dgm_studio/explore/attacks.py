"""White-box attacks on classifiers, generative ones among them, within a cube around the picture.

x' = argmax over |x' - x| <= epsilon, 0 <= x' <= 1 of what a classifier loses, by steps along the sign of the gradient:
one step of length epsilon (FGSM, Goodfellow et al. 2015), or several short ones from random starts, put back into the
cube after each (PGD, Madry et al. 2018). Where the classifier draws, the gradient is the mean over fresh draws
(expectation over transformation, Athalye et al. 2018): a noisy gradient would only pretend that a model is robust.

For the same reason what is climbed is the log-odds against the truth, log (1 - p(y | x)) / p(y | x). The cross-entropy
-log p(y | x) rises with it, so that on a classifier that draws nothing the sign of the gradient is the same; but where
log p(x | y) of two classes differ by a hundred nats, which generative classifiers do every day, the gradient of the
cross-entropy is 0 in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dgm_studio.core.requests import AttackPicture, ScoreAttacks
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.classifying import (
    JUDGE,
    Contest,
    check_samples,
    contest,
    picture_given,
    picture_of,
    pictures_at,
    threshold_of,
    truths_of,
    usual_known,
    usual_scores,
)
from dgm_studio.explore.loaded import Floats, as_floats
from dgm_studio.training.order import derived_seed

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

METHODS = ("fgsm", "pgd")
REACH = 2.5  # steps together could cross so many epsilons: from any start to any face of the cube, and along it
PREDICTED = 10  # K of the predictions and of the bound that are shown; the gradient has its own
BACKWARD = 0.34  # what is computed at once, against a pass without a gradient
BLOCK = 10  # pictures after which the curve of robustness is shown again

LossGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(pictures [m, *S], which of the attacked pictures each is [m]) -> (loss [m], its gradient [m, *S]): one draw each."""


@dataclass(frozen=True)
class Attack:
    """How far an attack on N pictures has come.

    Args:
        step: Steps taken.
        x: The picture of the restart that is worst for the classifier now, [N, *S].
        loss: Its loss after each step, [step + 1, N]; the first at the start.
    """

    step: int
    x: Tensor
    loss: Tensor


def cube(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The least and the greatest value of every pixel, such that no rounding carries a pixel further than epsilon.

    >>> low, high = cube(torch.tensor([0.05, 0.3]), 0.1)
    >>> bool((torch.tensor([0.05, 0.3]) - low).double().max() <= 0.1)
    True
    """
    wide = x.detach().cpu().double()
    low, high = ((wide + change).to(x.dtype) for change in (-epsilon, epsilon))
    for _ in range(2):  # rounding to the nearest, and that of the sum itself
        low = torch.where(wide - low.double() > epsilon, torch.nextafter(low, low.new_ones(())), low)
        high = torch.where(high.double() - wide > epsilon, torch.nextafter(high, high.new_zeros(())), high)
    return low.clamp(min=0.0).to(x.device), high.clamp(max=1.0).to(x.device)


def pgd(
    loss_gradient: LossGradient,
    x: Tensor,
    epsilon: float,
    step_size: float,
    steps: int,
    restarts: int,
    generator: torch.Generator,
    *,
    draws: int = 1,
    random_start: bool = True,
    at_once: int = 0,
) -> Generator[Attack | None, None, Attack]:
    """Climb a classifier's loss within the cube, from several starts at once.

    Args:
        loss_gradient: One draw of the loss and its gradient.
        x: Pictures in [0, 1], [N, *S]; they never influence one another.
        epsilon: Greatest change of a pixel.
        step_size: Change of every pixel in one step.
        steps: How many.
        restarts: Random starts; the one that ends worst for the classifier counts, picture by picture.
        generator: Of the starts.
        draws: Calls of `loss_gradient` that are averaged for every gradient and loss.
        random_start: Uniform in the cube (Madry et al. 2018); else the pictures themselves.
        at_once: Most pictures in one call; 0 takes all.

    Yields:
        None between calls; the state at the start and after every step.

    Returns:
        The state after the last step.
    """
    low, high = cube(x, epsilon)
    now = x.expand(restarts, *x.shape).clone()
    if random_start:
        share = torch.rand(now.shape, generator=generator, dtype=x.dtype, device=x.device)
        now = torch.clamp(low + share * (high - low), low, high)
    trace: list[Tensor] = []
    for step in range(steps + 1):
        loss, gradient = yield from _averaged(loss_gradient, now, draws, at_once)
        trace.append(loss)
        state = _worst(now, trace)
        if step == steps:
            break
        yield state
        now = torch.clamp(now + step_size * gradient.nan_to_num(0.0).sign(), low, high)
    yield state
    return state


def _averaged(
    loss_gradient: LossGradient, x: Tensor, draws: int, at_once: int
) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """Loss [R, N] and gradient [R, N, *S] at x [R, N, *S], mean over the draws, some pictures at a time."""
    restarts, n = x.shape[:2]
    flat = x.flatten(0, 1)
    every = torch.arange(restarts * n, device=x.device).repeat(draws)
    loss, gradient = torch.zeros(len(flat), dtype=x.dtype, device=x.device), torch.zeros_like(flat)
    for some in torch.split(every, at_once or len(every)):
        one, slope = loss_gradient(flat[some], some % n)
        loss.index_add_(0, some, one.to(loss.dtype), alpha=1.0 / draws)
        gradient.index_add_(0, some, slope.to(gradient.dtype), alpha=1.0 / draws)
        yield
    return loss.view(restarts, n), gradient.view(x.shape)


def _worst(x: Tensor, trace: list[Tensor]) -> Attack:
    """Picture by picture the restart whose newest loss is greatest."""
    best = trace[-1].argmax(0)
    here = torch.arange(x.shape[1], device=x.device)
    return Attack(len(trace) - 1, x[best, here], torch.stack([loss[best, here] for loss in trace]))


def log_odds(log_probs: Tensor, truth: Tensor) -> Tensor:
    """log (1 - p(y | x)) / p(y | x) of log p(y | x) [N, C], not rounded off where p is next to 0 or 1: [N], nats."""
    right = F.one_hot(truth, log_probs.shape[1]).bool()
    return log_probs.masked_fill(right, -torch.inf).logsumexp(1) - log_probs[right]


def cross_entropy(odds: Tensor) -> Tensor:
    """-log p(y | x) of the log-odds against y: log (1 + exp(odds)), nats."""
    return F.softplus(odds)


# -- the attacks on a model's classifiers and on the judge ---------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How to attack.

    Args:
        epsilon: Greatest change of a pixel.
        method: "fgsm" or "pgd".
        steps: Of PGD.
        restarts: Of PGD.
        draws: Averaged for every gradient.
        samples: K of the bound within the gradient.
        seed: Of starts and draws.
    """

    epsilon: float
    method: str
    steps: int
    restarts: int
    draws: int
    samples: int
    seed: int

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise Problem(f"There is no attack called {self.method!r}.", "Choose fgsm or pgd.")
        if not 0.0 <= self.epsilon <= 1.0:
            raise Problem(f"A pixel cannot change by {self.epsilon:g}.", "Choose 0 to 1.")
        check_samples(self.samples)
        for what, value, most in (
            ("steps", self.steps, 1000),
            ("restarts", self.restarts, 100),
            ("draws", self.draws, 1000),
        ):
            if not 1 <= value <= most:
                raise Problem(f"An attack with {value} {what} cannot be made.", f"Ask for 1 to {most}.")

    @property
    def length(self) -> int:
        """Steps that are taken."""
        return 1 if self.method == "fgsm" else self.steps


def attacking(
    found: Contest, name: str, x: Tensor, truth: Tensor, plan: Plan, number: int = 0
) -> Generator[Attack | None, None, Attack]:
    """The attack on one classifier.

    Args:
        found: The classifiers.
        name: Which of them.
        x: Pictures [N, *S].
        truth: Their classes [N].
        plan: How.
        number: Which block of pictures this is; each has draws of its own.
    """
    draws = 1 if name == JUDGE else plan.draws
    single = plan.method == "fgsm"
    return pgd(
        _climbing(found, name, truth, plan, number),
        x,
        plan.epsilon,
        plan.epsilon if single else min(plan.epsilon, REACH * plan.epsilon / plan.steps),
        plan.length,
        1 if single else plan.restarts,
        found.model.generator(derived_seed(plan.seed, f"starts {name}", number)),
        draws=draws,
        random_start=not single,
        at_once=found.at_once(1 if name == JUDGE else plan.samples, BACKWARD),
    )


def _climbing(found: Contest, name: str, truth: Tensor, plan: Plan, number: int) -> LossGradient:
    """One draw of the log-odds against the truth, and its gradient in the picture."""
    generator = found.model.generator(derived_seed(plan.seed, f"draws {name}", number))

    def climb(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            log_probs = found.log_probs_of(name, x, generator, plan.samples)
            odds = log_odds(log_probs, truth[rows])
            (gradient,) = torch.autograd.grad(odds.sum(), x)
        return odds.detach(), gradient

    return climb


@dataclass
class _Shown:
    """The Frame "attack" as it grows."""

    found: Contest
    original: Tensor
    seed: int
    data: dict[str, Any] = field(default_factory=dict)

    def begin(self, threshold: float, steps: int) -> None:
        """What is known before the first step."""
        log_probs = self._predicted(self.original)
        self.data = {
            "original": picture_of(self.original),
            "before": {name: as_floats(values[0].exp()) for name, values in log_probs.items()},
            "log_prob": {"original": self._score(self.original)},
            "threshold": threshold,
            "step": 0,
            "steps": steps,
            **{key: {} for key in ("adversarial", "difference", "after", "crossed", "loss", "norm")},
        }

    def take(self, name: str, state: Attack) -> None:
        """The newest state of one attack."""
        log_probs = self._predicted(state.x)
        difference = state.x[0].cpu().double() - self.original[0].cpu().double()
        shown = difference[0] if len(difference) == 1 else difference.permute(1, 2, 0)
        new: dict[str, Any] = {
            "adversarial": picture_of(state.x),
            "difference": as_floats(shown),
            "after": as_floats(log_probs[name][0].exp()),
            "log_prob": self._score(state.x),
            "loss": as_floats(cross_entropy(state.loss[1:, 0])),
            "norm": float(difference.abs().max()),
        }
        other = other_than(name, log_probs)
        if other:
            new["crossed"] = as_floats(log_probs[other][0].exp())
        for key, value in new.items():
            self.data[key] = {**self.data[key], name: value}
        self.data["step"] = state.step

    def frame(self) -> Frame:
        """As it is now."""
        return Frame("attack", dict(self.data))

    @torch.no_grad()
    def _predicted(self, x: Tensor) -> dict[str, Tensor]:
        generator = self.found.model.generator(derived_seed(self.seed, "predicting"))
        return self.found.log_probs(x, generator, PREDICTED)

    @torch.no_grad()
    def _score(self, x: Tensor) -> float:
        generator = self.found.model.generator(derived_seed(self.seed, "bound"))
        return float(self.found.log_prob(x, PREDICTED, generator)[0])


def other_than(name: str, classifiers: dict[str, Any]) -> str:
    """The classifier that a picture made against `name` is also shown to; "" when there is no other."""
    others = [each for each in classifiers if each != name]
    return JUDGE if JUDGE in others else next(iter(others), "")


@answers(AttackPicture, grad=True)
def attack_picture(bench: Workbench, asked: AttackPicture) -> Iterator[Update]:
    """All classifiers are attacked side by side, one step of each between two Frames."""
    found = contest(bench.model(asked.model))
    plan = Plan(asked.epsilon, asked.method, asked.steps, asked.restarts, asked.draws, asked.samples, asked.seed)
    x, truth = yield from picture_given(bench, found, asked.given)
    x = x.nan_to_num(0.0)  # erased pixels are paper here, which an attack may ink
    usual = usual_known(found, PREDICTED)
    shown = _Shown(found, x, asked.seed)
    shown.begin(math.nan if usual is None else threshold_of(usual), plan.length)
    names = list(shown.data["before"])
    # Of a picture whose class nobody knows, each classifier's own opinion is attacked.
    classes = {name: truth if truth >= 0 else int(shown.data["before"][name].argmax()) for name in names}
    running = {name: attacking(found, name, x, torch.tensor([classes[name]], device=x.device), plan) for name in names}
    for step in range(plan.length + 1):
        for done, name in enumerate(names):
            state = None
            while state is None:
                state = next(running[name])
                yield Progress(step + done / len(names), plan.length + 1, "Attacking")
            shown.take(name, state)
        yield shown.frame()
    if usual is None:
        shown.data["threshold"] = threshold_of((yield from usual_scores(bench, found, PREDICTED)))
        yield shown.frame()


@answers(ScoreAttacks, grad=True)
def score_attacks(bench: Workbench, asked: ScoreAttacks) -> Iterator[Update]:
    """The same pictures at every epsilon, block by block, so that the whole curve is there soon and settles."""
    found = contest(bench.model(asked.model))
    plans = [Plan(e, "pgd", asked.steps, asked.restarts, asked.draws, 1, asked.seed) for e in asked.epsilons]
    part = (yield from bench.dataset(found.model.card.data)).split("test")
    rows = torch.arange(min(asked.count, len(part)))
    rows = rows[truths_of(part, found.label, rows) >= 0]
    if not len(rows) or not plans:
        raise Problem("There is nothing to attack.", "Ask for at least one picture and one epsilon.")
    threshold = threshold_of((yield from usual_scores(bench, found, PREDICTED)))
    tally: dict[str, list[list[_Outcome]]] = {}
    blocks = torch.split(rows, BLOCK)
    for number, block in enumerate(blocks):
        x = pictures_at(part, found.model, block).nan_to_num(0.0)
        truth = truths_of(part, found.label, block).to(x.device)
        share = 0.0
        for done in _one_block(found, x, truth, plans, number, threshold, tally):
            share = share if done is None else done
            yield Progress(number + share, len(blocks), "Attacking")
        yield Frame("robustness", _robustness(asked.epsilons, tally, min(len(rows), (number + 1) * BLOCK)))


@dataclass(frozen=True)
class _Outcome:
    """Of one block of pictures under one attack: how many, how many stayed right, were misled, and were noticed."""

    count: int
    right: int
    misled: int
    noticed: int


def _one_block(
    found: Contest,
    x: Tensor,
    truth: Tensor,
    plans: list[Plan],
    number: int,
    threshold: float,
    tally: dict[str, list[list[_Outcome]]],
) -> Generator[float | None, None, None]:
    """Attack some pictures with every epsilon; yields the share that is done. Only what was read right is attacked."""
    before = yield from _read(found, x, plans[0].seed, number)
    work = len(before) * len(plans)
    for done, (name, guesses) in enumerate(before.items()):
        right = guesses == truth
        outcomes = tally.setdefault(name, [[] for _ in plans])
        for at, plan in enumerate(plans):
            if plan.epsilon == 0.0 or not right.any():
                outcomes[at].append(_Outcome(len(x), int(right.sum()), 0, 0))
                continue
            attack = attacking(found, name, x[right], truth[right], plan, number)
            state: Attack | None = None
            for each in attack:
                state = each or state
                yield (done * len(plans) + at) / work
            assert state is not None
            after = (yield from _read(found, state.x, plan.seed, number))[name]
            misled = after != truth[right]
            score = yield from _scored(found, state.x[misled], plan.seed, number)
            noticed = int((score < threshold).sum())
            outcomes[at].append(_Outcome(len(x), int((~misled).sum()), int(misled.sum()), noticed))


@torch.no_grad()
def _guesses(found: Contest, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    return {name: values.argmax(1) for name, values in found.log_probs(x, generator, PREDICTED).items()}


def _read(found: Contest, x: Tensor, seed: int, number: int) -> Generator[None, None, dict[str, Tensor]]:
    """What every classifier reads, [N] each, with the same draws every time."""
    generator = found.model.generator(derived_seed(seed, "predicting", number))
    parts = []
    for some in torch.split(x, found.at_once(PREDICTED)):
        parts.append(_guesses(found, some, generator))
        yield None
    return {name: torch.cat([each[name] for each in parts]) for name in parts[0]}


def _scored(found: Contest, x: Tensor, seed: int, number: int) -> Generator[None, None, Floats]:
    """The bound of pictures, [N] nats."""
    generator = found.model.generator(derived_seed(seed, "bound", number))
    parts = [np.zeros(0, np.float32)]
    for some in torch.split(x, found.at_once(PREDICTED)) if len(x) else ():
        with torch.no_grad():
            parts.append(as_floats(found.log_prob(some, PREDICTED, generator)))
        yield None
    return np.concatenate(parts)


def _robustness(epsilons: tuple[float, ...], tally: dict[str, list[list[_Outcome]]], count: int) -> dict[str, Any]:
    def share(outcomes: list[list[_Outcome]], part: str, whole: str) -> Floats:
        sums = [(sum(getattr(o, part) for o in each), sum(getattr(o, whole) for o in each)) for each in outcomes]
        return np.array([a / b if b else math.nan for a, b in sums], np.float32)

    return {
        "epsilon": np.array(epsilons, np.float32),
        "accuracy": {name: share(outcomes, "right", "count") for name, outcomes in tally.items()},
        "detected": {name: share(outcomes, "noticed", "misled") for name, outcomes in tally.items()},
        "count": count,
    }
