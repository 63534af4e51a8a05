"""Where a trajectory may begin: in noise, in a noisy picture, in the noise behind a picture, between two noises."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.requests.denoising import Beginning, Sampling
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Denoises, Noising, Views
from dgm_studio.models.sampler_guiding import Guide
from dgm_studio.models.sampler_levels import Level, level_at, levels_of
from dgm_studio.models.sampling import Noise, start_of, state_type

KINDS = ("noise", "picture", "inverted", "between")
CORRECTIONS = 3  # rounds of every step backwards; see `inverted`


@dataclass(frozen=True)
class Start:
    """Where `sample` begins.

    Args:
        x: [N, *S].
        index: Its step, the `first_index` of `sample`.
        evaluations: Network evaluations of one example that were spent on it.
    """

    x: Tensor
    index: int
    evaluations: int = 0


def begin(
    model: Denoises,
    beginning: Beginning,
    sampling: Sampling,
    times: Float[Tensor, " s"],
    noise: Noise,
    source: Float[Tensor, "*s"] | None = None,
    given: Views | None = None,
    rows: int = 0,
) -> Generator[None, None, Start]:
    """Any beginning; its mask is the business of `sample`.

    Args:
        model: What denoises.
        beginning: Which; `source` and `mask` in it are not looked at.
        sampling: For "inverted".
        times: [S + 1].
        noise: Its `start` is the noise, or one end of the arc.
        source: Picture or point in the model's space, [*S] or [N, *S].
        given: Conditions for "inverted", N rows each.
        rows: Most examples in one call of the network; 0 takes all.

    Yields:
        None between two calls of the network.

    Returns:
        x and the step that it stands at.

    Raises:
        Problem: No such beginning, no source, or a depth of nothing.
    """
    noising = model.noising()
    if beginning.kind == "between":
        other = Noise(beginning.other, noise.shape, noise.device)
        return Start(start_of(noising, times, between(noise.start(), other.start(), beginning.weight)), 0)
    if beginning.kind == "noise":
        return Start(start_of(noising, times, noise.start()), 0)
    if beginning.kind not in KINDS:
        raise Problem(f"There is no beginning called {beginning.kind}.", f"Choose one of {', '.join(KINDS)}.")
    if source is None:
        raise Problem("There is no picture to begin with.", "Choose one.")
    index = index_at(times, beginning.depth)
    start = source.to(noise.device, state_type(noise.device)).expand(noise.shape)
    if beginning.kind == "picture":
        return Start(noised(noising, start, float(times[index]), noise.start()), index)
    return (yield from inverted(model, start, sampling, times, given, index, rows))


def index_at(times: Float[Tensor, " s"], depth: float) -> int:
    """The step at which that share of the steps is still to be made; one is made at least.

    Raises:
        Problem: The depth is not in (0, 1].
    """
    if not 0.0 < depth <= 1.0:
        raise Problem(f"A depth of {depth:g} means nothing.", "Choose a share of the steps above 0 and up to 1.")
    steps = len(times) - 1
    return steps - max(1, round(depth * steps))


def noised(noising: Noising, x: Tensor, time: float, noise: Tensor) -> Tensor:
    """Data [N, *S] with noise up to a level (Meng et al. 2022, algorithm 1)."""
    level = level_at(noising, time)
    return level.alpha * x + level.sigma * noise


def between(one: Float[Tensor, "n *s"], two: Float[Tensor, "n *s"], weight: float) -> Float[Tensor, "n *s"]:
    """Noise on the arc from one to two, example by example (Song et al. 2021, equation 67 in appendix D.5).

    On the straight line between them the noise would be too short by up to a factor of sqrt(2): no typical noise.
    """
    if weight in (0.0, 1.0):
        return two if weight else one
    first, second = one.flatten(1), two.flatten(1)
    cosine = (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))
    angle = cosine.clamp(-1.0, 1.0).acos()
    shares = torch.stack([torch.sin((1.0 - weight) * angle), torch.sin(weight * angle)])
    # the same noise twice, or its opposite: no arc is defined, the line is
    straight = torch.tensor([1.0 - weight, weight], dtype=one.dtype, device=one.device)[:, None].expand_as(shares)
    shares = torch.where(angle.sin() < 1e-6, straight, shares / angle.sin())
    return (shares[0, :, None] * first + shares[1, :, None] * second).reshape(one.shape)


def inverted(
    model: Denoises,
    x: Tensor,
    sampling: Sampling,
    times: Float[Tensor, " s"],
    given: Views | None = None,
    index: int = 0,
    rows: int = 0,
    corrections: int = CORRECTIONS,
) -> Generator[None, None, Start]:
    """The noisy data that DDIM without noise leads to x, found backwards (Song et al. 2021, section 4.3).

    A step of DDIM is x' = alpha' clean(x) + sigma' eps(x). Backwards, x = (alpha / alpha') x' + (sigma - alpha sigma' /
    alpha') eps(x), which has x on both sides. The usual inversion puts eps(x') there. Here x is first guessed with the
    noise estimate of the step before, at no cost, then solved for by repetition. There and back in 50 steps on a ring
    of Gaussians (discrete path) points miss by 0.017 in the usual way, by 0.006 with one round and by 0.002 with
    three, as root mean square; half of them by less than 0.0007.

    Args:
        model: What denoises.
        x: Data, [N, *S].
        sampling: Guidance and clipping count; the inverse is well posed with guidance 0 or 1 (Mokady et al. 2023).
        times: [S + 1].
        given: Conditions, N rows each.
        index: Where to stop.
        rows: Most examples in one call of the network; 0 takes all.
        corrections: Rounds of every step.

    Yields:
        None between two calls of the network.

    Returns:
        The noisy data at `times[index]`.
    """
    guide = Guide(model, sampling, given, rows)
    levels = levels_of(model.noising(), times)
    noise: Tensor | None = None
    for k in reversed(range(index, len(levels) - 1)):
        here, there = levels[k], levels[k + 1]
        arrived = x
        if noise is not None:
            x = _back(arrived, noise, here, there)
        for _ in range(max(corrections, 1)):
            noise = (yield from guide.ask(x, here)).noise
            x = _back(arrived, noise, here, there)
            yield None
    return Start(x, index, guide.evaluations)


def _back(x: Tensor, noise: Tensor, here: Level, there: Level) -> Tensor:
    factor = here.alpha / there.alpha
    return factor * x + (here.sigma - factor * there.sigma) * noise
