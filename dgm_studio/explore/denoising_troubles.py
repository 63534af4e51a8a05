"""What can be wrong with a trajectory or a schedule, recognised and said in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgm_studio.core.requests import Sampling
from dgm_studio.explore.denoising_values import Denoiser

FEW_STEPS = {
    "ddpm": (25, "grainy"),
    "ddim": (10, "blurred"),
    "dpmpp-2m": (6, "smeared"),
    "heun": (8, "wrong"),
    "euler": (10, "blurred"),
    "euler-flow": (8, "blurred"),
    "heun-flow": (4, "blurred"),
}
BLANK = 0.02  # a picture whose mean is so near to black or white, and whose pixels differ so little, is blank
SAME = 1e-4  # standard deviation between samples of pictures that are all the same
MOST_BLANK = 0.9  # share of the samples
FAR = 10.0  # times the support: numbers that no data have


def about_schedule(ends: Mapping[str, Any]) -> list[str]:
    """Sentences on a schedule.

    Args:
        ends: As `denoising_values.terminal` has it.
    """
    if not ends["bad"]:
        return []
    share = math.exp(ends["log_snr"])
    return [
        f"The noisiest level still holds {share:.1%} of the data's size (terminal SNR is not zero): samples start from "
        "pure noise, which was never seen in training, and cannot become very dark or very bright. Choose the cosine "
        "schedule, or lower the curve at its end."
    ]


def about_sampling(sampling: Sampling) -> list[str]:
    """Sentences on how a trajectory is asked for."""
    least, look = FEW_STEPS.get(sampling.sampler, (1, ""))
    if sampling.steps >= least:
        return []
    steps = "1 step is" if sampling.steps == 1 else f"{sampling.steps} steps are"
    return [f"{steps} too few for this sampler: results are {look}. Take {least} or more."]


def about_step(denoiser: Denoiser, x: Tensor, index: int) -> list[str]:
    """Sentences on x_t of one step, [N, *S]."""
    finite = torch.isfinite(x).flatten(1).all(1)
    if bool(finite.all()):
        return []
    gone = int((~finite).sum())
    return [
        f"From step {index} on there are numbers that are not finite (NaN) in {_share(gone, len(x))}: the training has "
        "diverged, or guidance is too strong. Choose an earlier snapshot, or lower the guidance."
    ]


def about_results(denoiser: Denoiser, x: Tensor) -> list[str]:
    """Sentences on finished samples, [N, *S] of the model's space."""
    x = x[torch.isfinite(x).flatten(1).all(1)]
    if not len(x):
        return []
    found = _far(denoiser, x)
    if not denoiser.pictures:
        return found
    seen = denoiser.out(x).clamp(0.0, 1.0).flatten(1)
    mean, spread = seen.mean(1), seen.std(1)
    for blank, colour in ((mean < BLANK, "black"), (mean > 1.0 - BLANK, "white")):
        if float((blank & (spread < BLANK)).double().mean()) >= MOST_BLANK:
            found.append(
                f"All samples are {colour}. The model has not learnt yet, or it diverged: look at its training, or "
                "choose another snapshot."
            )
            return found
    if len(seen) > 1 and float(seen.std(0).max()) < SAME:
        found.append("All samples are the same. They share one source, or the model ignores the noise.")
    return found


def _far(denoiser: Denoiser, x: Tensor) -> list[str]:
    low, high = denoiser.support or (-3.0, 3.0)
    far = (x.abs().flatten(1).amax(1) > FAR * max(abs(low), abs(high))).sum()
    if not int(far):
        return []
    return [
        f"Far outside the data: {_share(int(far), len(x))}. Take more steps, less guidance, or clip the clean estimate "
        "to the data's range."
    ]


def _share(some: int, count: int) -> str:
    return "every sample" if some == count else f"{some} of {count} samples"
