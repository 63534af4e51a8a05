"""A model that denoises as the panels see it: its space, its path, and values on their way to it and back."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Capability, Modality
from dgm_studio.core.requests import Source
from dgm_studio.core.updates import Problem, Progress
from dgm_studio.explore.crossing import told
from dgm_studio.explore.crossing_values import given_form, in_words, tensor_of
from dgm_studio.explore.loaded import LoadedModel, as_bytes, as_floats
from dgm_studio.explore.samples import picture_from_rows, rows_of
from dgm_studio.models.capabilities import Noising, Views
from dgm_studio.training.readings import PictureReader, Reader, reading

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

Values = npt.NDArray[Any]

MOST_SAMPLES = 1024  # of a film
MOST_STEPS = 2000
SECONDS_A_SLICE = 0.025  # between two yields
PACE = {"cpu": 1.6e10, "cuda": 2e12, "mps": 2e11}  # multiplications a second, half of what was measured
NOISE_REACH = 3.0  # standard deviations of noise between black and white
# Share of the data that may be left at the noisiest level: its mean then moves a datum's by a third of the standard
# error that noise of so many numbers gives it anyway. Stable Diffusion's 0.068 on large pictures is known to fail (Lin
# et al. 2024, table 1); the linear schedule's 0.006 does no harm to small ones.
MOST_LEFT, MOST_SHIFT = 0.03, 0.3


class Denoiser:
    """A loaded model that denoises, its space and its path.

    Args:
        model: Of which the card says that it denoises.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.module = model.module
        self.path: Noising = self.module.noising()
        self.support: tuple[float, float] | None = self.module.support()
        self.conditions: tuple[Modality, ...] = tuple(self.module.conditions())

    @property
    def pictures(self) -> bool:
        """Whether it makes pictures (else points in the plane)."""
        return self.model.pictures

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one datum."""
        return tuple(self.model.modality.shape)

    # -- the model's space ---------------------------------------------------------------------------------------------

    def into(self, x: Tensor) -> Tensor:
        """Data as everything else has them, [N, *S], in the model's space and in float64."""
        if self.support is None:
            return x.double()
        low, high = self.support
        return low + (high - low) * x.double()

    def out(self, x: Tensor) -> Tensor:
        """The inverse: pictures in [0, 1] (not clipped), points as they are; float32."""
        if self.support is None:
            return x.float()
        low, high = self.support
        return ((x - low) / (high - low)).float()

    def shown(self, x: Tensor) -> Values:
        """Clean data of the model's space as a Frame carries them: bytes, or float32 points."""
        return as_bytes(self.out(x)) if self.pictures else as_floats(x)

    def shown_noisy(self, x: Tensor, t: float) -> Values:
        """x_t as a Frame carries it, brought to one scale: divided by sqrt(alpha^2 + sigma^2).

        That is 1 where the variance is preserved and at the data. Where it explodes, nothing else would show.
        """
        alpha, sigma = self.level(t)
        return self.shown(x / math.hypot(alpha, sigma))

    def shown_noise(self, noise: Tensor) -> Values:
        """Noise as a Frame carries it: grey is 0, black and white are 3 standard deviations."""
        if not self.pictures:
            return as_floats(noise)
        return as_bytes(0.5 + noise.float() / (2.0 * NOISE_REACH))

    def shown_size(self, difference: Tensor) -> Values:
        """The size of a difference, each example scaled by its own maximum; points as they are."""
        if not self.pictures:
            return as_floats(difference)
        size = difference.abs().float()
        top = size.flatten(1).amax(1).clamp(min=1e-12)
        return as_bytes(size / top.view(-1, *[1] * (size.ndim - 1)))

    # -- the path ------------------------------------------------------------------------------------------------------

    def level(self, t: float) -> tuple[float, float]:
        """alpha and sigma at a time; 1 and 0 at that of the data."""
        if t == self.path.clean:
            return 1.0, 0.0
        at = torch.tensor(t, dtype=torch.float64)
        return float(self.path.alpha(at)), float(self.path.sigma(at))

    def log_snrs(self, times: Sequence[float]) -> list[float]:
        """Half-log-SNR of each time; infinite at that of the data."""
        t = torch.tensor(times, dtype=torch.float64)
        found: list[float] = torch.where(t == self.path.clean, math.inf, self.path.log_snr(t)).tolist()
        return found

    def time_of(self, log_snr: float) -> float:
        """The time of a half-log-SNR."""
        return float(self.path.time(_double(log_snr)))

    def terminal(self) -> dict[str, Any]:
        """What is left of the data at the noisiest level; see `terminal`."""
        return terminal(self.path, math.prod(self.shape))

    def levels(self, count: int) -> list[float]:
        """Times evenly spaced in half-log-SNR from the noisiest to the cleanest."""
        ends = self.log_snrs((self.path.noisiest, self.path.cleanest))
        low, high = max(ends[0], -30.0), min(ends[1], 30.0)
        found = [self.time_of(float(v)) for v in np.linspace(low, high, count)]
        return [self.path.noisiest, *found[1:-1], self.path.cleanest]

    # -- how much at once ----------------------------------------------------------------------------------------------

    def at_once(self, evaluations: int = 1) -> int:
        """Examples for which a step of so many evaluations takes no longer than one may work between two yields.

        Counted in multiplications, never timed: sums over another number of rows may differ in the last bit.
        """
        cost = self.model.noted("denoiser's cost", self._cost)
        pace = PACE.get(self.model.device.type, PACE["cpu"])
        return max(1, min(MOST_SAMPLES, int(SECONDS_A_SLICE * pace / max(1, evaluations * cost))))

    def _cost(self) -> int:
        """Multiplications of one evaluation for one example, of convolutions and matrices."""
        spent = [0]

        def count(module: nn.Module, _: Any, made: Any) -> None:
            weight = cast(Tensor, module.weight)
            spent[0] += made.numel() // made.shape[1 if weight.ndim == 4 else -1] * weight.numel()

        kinds = (nn.Conv2d, nn.Linear)
        hooks = [m.register_forward_hook(count) for m in self.module.modules() if isinstance(m, kinds)]
        try:
            x = torch.zeros(1, *self.shape, device=self.model.device)
            self.module.estimate(x, torch.tensor(self.path.cleanest, dtype=torch.float64, device=self.model.device))
        finally:
            for hook in hooks:
                hook.remove()
        return max(1, spent[0])

    # -- conditions ----------------------------------------------------------------------------------------------------

    def given(self, condition: Mapping[str, Any], count: int) -> Views | None:
        """A condition of a request for `count` examples; None when nothing is given.

        Raises:
            Problem: The model cannot be given this, or the value does not fit.
        """
        found = {name: tensor_of(self._condition(name), value) for name, value in condition.items()}
        known = {name: value for name, value in found.items() if not _unknown(value)}
        if not known:
            return None
        return {name: v.to(self.model.device).expand(count, *v.shape[1:]) for name, v in known.items()}

    def _condition(self, name: str) -> Modality:
        found = next((m for m in self.conditions if m.name == name), None)
        if found is None:
            names = ", ".join(m.name for m in self.conditions)
            action = f"It takes {names}." if names else "It is not conditional."
            raise Problem(f"{self.model.card.title} cannot be given {name!r}.", action)
        return found

    def condition_in_words(self, condition: Mapping[str, Any]) -> list[str]:
        """Each condition that is known, in words."""
        found = []
        for name, value in condition.items():
            modality = self._condition(name)
            rows = tensor_of(modality, value)
            if not _unknown(rows):
                found.append(f"{name}: {in_words(modality, given_form(modality, rows), sure=True)}")
        return found


def terminal(path: Noising, numbers: int) -> dict[str, Any]:
    """What is left of the data at the noisiest level: "alpha", "log_snr" and whether that is too much ("bad").

    Args:
        path: Where samples of a discrete model begin in pure noise; other paths account for what is left.
        numbers: Of one datum.
    """
    at = torch.tensor(path.noisiest, dtype=torch.float64)
    log_snr = float(path.log_snr(at))
    most = min(MOST_LEFT, MOST_SHIFT / math.sqrt(numbers))
    bad = path.kind == "discrete" and log_snr > math.log(most)
    return {"alpha": float(path.alpha(at)), "log_snr": log_snr, "bad": bad}


def time_at(path: Noising, share: float) -> float:
    """A share of the way from the cleanest to the noisiest time; in log-SNR where times grow by factors."""
    if path.kind == "variance-exploding":
        return path.cleanest * math.exp(share * math.log(path.noisiest / path.cleanest))
    return path.cleanest + share * (path.noisiest - path.cleanest)


def _double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _unknown(value: Tensor) -> bool:
    return bool(value.isnan().all()) if value.is_floating_point() else bool((value < 0).all())


def denoiser_of(bench: Workbench, key: str) -> Denoiser:
    """The model of a request.

    Raises:
        Problem: It does not denoise, or there is none.
    """
    model = bench.model(key)
    model.need(Capability.DENOISES)
    return model.noted("denoiser", lambda: Denoiser(model))


def source_of(bench: Workbench, denoiser: Denoiser, source: Source) -> Generator[Progress, None, Tensor]:
    """What a trajectory starts from, [1, *S] in the model's space.

    Raises:
        Problem: No such example, or a picture that is none.
    """
    model = denoiser.model
    if source.picture:
        if denoiser.pictures:
            return denoiser.into(picture_from_rows(source.picture, denoiser.shape).to(model.device))
        return denoiser.into(_point(source.picture).to(model.device))
    part = (yield from bench.dataset(model.card.data)).seen().split(source.split)
    x = part.batch(rows_of(part, source.index, 1, source.split))
    if tuple(x.shape[1:]) != denoiser.shape:
        raise Problem("The data have another shape than what the model makes.", "They were changed since training.")
    return denoiser.into(x.to(model.device))


def _point(values: Sequence[Any]) -> Tensor:
    flat = values[0] if len(values) == 1 else values
    try:
        found = torch.tensor([[float(v) for v in flat]])
    except (TypeError, ValueError):
        found = torch.empty(0)
    if found.shape != (1, 2) or not bool(found.isfinite().all()):
        raise Problem("A point in the plane has two finite coordinates.")
    return found


# -- what a judge sees -------------------------------------------------------------------------------------------------


def reader_of(denoiser: Denoiser) -> Reader | None:
    """Who reads what the model makes, or None."""
    from dgm_studio.models.judge import judge_for

    model = denoiser.model
    if not denoiser.pictures:
        return None

    def make() -> list[Reader]:
        judge = judge_for(model.card, model.modality.name, str(model.device))
        return [] if judge is None else [PictureReader(judge)]

    found: list[Reader] = model.noted("denoiser's judge", make)
    return found[0] if found else None


def judged(denoiser: Denoiser, x: Tensor) -> list[str]:
    """What the judge sees in each result [N, *S] of the model's space; nothing without a judge."""
    reader = reader_of(denoiser)
    if reader is None:
        return []
    read = reading(reader, denoiser.out(x).clamp(0.0, 1.0).nan_to_num(0.0))
    rows = [{name: int(values[i]) for name, values in read.items()} for i in range(len(x))]
    return [told(reader, row) for row in rows]


def agreement(denoiser: Denoiser, x: Tensor, condition: Mapping[str, Any]) -> float:
    """Share of the factors asked for that the judge reads back from [N, *S]; NaN when there is nothing to read."""
    reader, wanted = reader_of(denoiser), factors_of(denoiser, condition)
    if reader is None:
        return math.nan
    read = reading(reader, denoiser.out(x).clamp(0.0, 1.0).nan_to_num(0.0))
    shares = [float((read[name] == value).double().mean()) for name, value in wanted.items() if name in read]
    return sum(shares) / len(shares) if shares else math.nan


def factors_of(denoiser: Denoiser, condition: Mapping[str, Any]) -> dict[str, int]:
    """What a condition says of the factors that pictures tell, as indices into their categories."""
    from dgm_studio.training.readings import readers_for

    card = denoiser.model.card
    offered = [replace(m) for m in denoiser.conditions if m.name in condition]
    found: dict[str, int] = {}
    for name, reader in readers_for(card, offered).items():
        value = tensor_of(denoiser._condition(name), condition[name])
        found |= {factor: int(read) for factor, read in reading(reader, value).items() if int(read) >= 0}
    return found
