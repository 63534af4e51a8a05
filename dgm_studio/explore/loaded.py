"""A model that is ready to be asked, with what was worked out about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dgm_studio.core.cards import Capability, Modality, ModelCard
from dgm_studio.core.updates import Problem

ValueT = TypeVar("ValueT")
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

LARGEST_SLICE = 32  # data decoded or encoded between two yields
PATIENCE = 20  # what was worked out for a model in training holds for a twentieth of its steps
PATIENCE_SECONDS = 3.0  # and at least so long, or early in a run nothing would ever be finished
SLICE_PIXELS = 32 * 32 * 32  # the same for large pictures; fixed, never timed, so that a picture repeats bit for bit

GROWTH = 1.25
KL_DRAWS = 16  # for a KL that has no closed form

WANTED = {
    Capability.ENCODES: "cannot encode data",
    Capability.DECODES: "cannot decode latents",
    Capability.SAMPLES: "cannot be sampled",
    Capability.SCORES: "cannot score data",
    Capability.DENOISES: "takes no noise off data",
}


class LoadedModel:
    """A module in evaluation mode and its card.

    Args:
        module: The model; the methods of the capabilities its card names are called.
        card: What it is.
        stamps: Files it came from with the time and size they had; empty when it lives in memory only.
        version: The step of a model that still trains; what was worked out long before it is forgotten.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        stamps: tuple[tuple[Path, tuple[int, int]], ...] = (),
        version: Callable[[], int] | None = None,
    ) -> None:
        self.module: Any = module
        self.card = card
        self.stamps = stamps
        first = next(iter(module.parameters()), None)
        self.device = torch.device("cpu") if first is None else first.device
        self.modality = _shown_modality(card)
        self._version = version
        self._noted_at = version() if version else 0
        self._noted_when = time.monotonic()
        self._notes: dict[Hashable, Any] = {}
        self.lasting: dict[Hashable, Any] = {}  # what the data alone decide, which training does not change

    def fresh(self) -> bool:
        """Whether the files it came from are as they were."""
        return all(stamp_of(path) == stamp for path, stamp in self.stamps)

    def need(self, *capabilities: Capability) -> None:
        """Refuse what the model cannot do.

        Raises:
            Problem: A capability is missing.
        """
        for capability in capabilities:
            if capability not in self.card.capabilities:
                wording = WANTED.get(capability, f"lacks {capability.value}")
                raise Problem(f"{self.card.title} {wording}.", "Choose another model.")

    # -- what was worked out -----------------------------------------------------------------------------------------

    def noted(self, name: Hashable, make: Callable[[], ValueT]) -> ValueT:
        """A value that holds as long as the weights do: looked up, or made now."""
        self.forget_when_trained()
        if name not in self._notes:
            self._notes[name] = make()
        return cast(ValueT, self._notes[name])

    def note(self, name: Hashable) -> Any:
        """A value that was worked out before, or None."""
        self.forget_when_trained()
        return self._notes.get(name)

    def write(self, name: Hashable, value: Any) -> None:
        """Keep a value as long as the weights hold."""
        self._notes[name] = value

    def forget_when_trained(self) -> None:
        """Drop all notes when training has gone on for a while, in steps and in seconds."""
        if self._version is None:
            return
        version, now = self._version(), time.monotonic()
        if abs(version - self._noted_at) > self._noted_at // PATIENCE and now - self._noted_when > PATIENCE_SECONDS:
            self._notes.clear()
            self._noted_at, self._noted_when = version, now

    # -- latents -----------------------------------------------------------------------------------------------------

    @property
    def pictures(self) -> bool:
        """Whether the model makes pictures (else points in the plane)."""
        return self.modality.kind == "image"

    @property
    def slice(self) -> int:
        """How many data to decode between two yields."""
        return max(1, min(LARGEST_SLICE, SLICE_PIXELS // max(1, math.prod(self.modality.shape))))

    def need_pictures(self) -> None:
        """Refuse models of anything but pictures.

        Raises:
            Problem: The model makes points.
        """
        if not self.pictures:
            raise Problem(f"{self.card.title} makes points in the plane, not pictures.", "Look at its samples instead.")

    def vector(self, values: Sequence[float], what: str = "The latent vector") -> Tensor:
        """Numbers of a request as a latent vector [Z] on the model's device.

        Raises:
            Problem: Wrong length, or not finite.
        """
        return self.vectors((values,), what)[0]

    def vectors(self, rows: Sequence[Sequence[float]], what: str = "A latent vector") -> Tensor:
        """Numbers of a request as latent vectors [N, Z].

        Raises:
            Problem: No rows, wrong lengths, not numbers or not finite.
        """
        size = self.card.latent
        if not rows:
            raise Problem("No latent vector was given.")
        wrong = next((len(row) for row in rows if len(row) != size), None)
        if wrong is not None:
            raise Problem(
                f"{what} has {wrong} numbers, and {self.card.title} has {size} latent dimensions.",
                "The request was made for another model.",
            )
        try:
            found = torch.tensor(rows, dtype=torch.float32)
        except (TypeError, ValueError) as error:
            raise Problem(f"{what} holds something that is not a number.") from error
        if not bool(torch.isfinite(found).all()):
            raise Problem(f"{what} holds a value that is not finite.")
        return found if self.device.type == "cpu" else found.to(self.device)

    def generator(self, seed: int) -> torch.Generator:
        """A generator on the model's device."""
        return torch.Generator(self.device).manual_seed(seed % 2**63)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of z [N, Z]: [N], nats; a prior that is costly to make is made once."""
        make = getattr(self.module, "latent_prior", None)
        if make is None:
            return cast(Tensor, self.module.prior_log_prob(z))
        return cast(Tensor, self.noted("prior", make).log_prob(z))

    def kl_per_dim(self, posterior: Any) -> Tensor:
        """KL of each posterior from the prior, [N, Z] nats: the model's own where its prior is not the normal one."""
        own = getattr(self.module, "kl_per_dim", None)
        if own is None:
            return cast(Tensor, posterior.kl_per_dim())
        return cast(Tensor, own(posterior, self.generator(0), KL_DRAWS))

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's mean, [N, *S]."""
        return cast(Tensor, self.module.decode(z).mean)

    def decoded(self, z: Tensor) -> Iterator[Tensor]:
        """The decoder's mean in slices short enough to yield between."""
        for start in range(0, len(z), self.slice):
            yield self.decode(z[start : start + self.slice])

    def growing(self, z: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """All that is decoded so far after every slice, and whether it has grown enough to be shown again.

        Showing all of it every time would copy as much as the square of the number.
        """
        waiting: list[Tensor] = []
        count = shown = 0
        for x in self.decoded(z):
            waiting.append(x)
            count += len(x)
            worth = count >= GROWTH * shown or count == len(z)
            if worth:
                waiting, shown = [torch.cat(waiting)], count
            yield waiting[0], worth

    def shown(self, x: Tensor) -> dict[str, Any]:
        """Data [N, *S] as a Frame carries them: {"pictures": bytes} or {"points": float32 [N, 2], standardised}."""
        if self.pictures:
            return {"pictures": as_bytes(x)}
        return {"points": as_floats(x)}


def as_bytes(x: Tensor) -> Bytes:
    """Intensities [N, C, H, W] in [0, 1] as bytes [N, H, W] or [N, H, W, 3], rounded to the nearest; NaN becomes 0."""
    scaled = x.detach().nan_to_num(0.0).clamp(0.0, 1.0).mul_(255.0).add_(0.5).to(torch.uint8)
    arranged = scaled[:, 0] if x.shape[1] == 1 else scaled.permute(0, 2, 3, 1)
    return np.array(arranged.cpu().numpy(), order="C")


def as_floats(x: Tensor) -> Floats:
    """A tensor as float32 with memory of its own."""
    return np.array(x.detach().cpu().numpy(), np.float32, order="C")


def stamp_of(path: Path) -> tuple[int, int]:
    """Time and size of a file or folder, (0, 0) when it is gone."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _shown_modality(card: ModelCard) -> Modality:
    found = next((m for m in card.modalities if m.kind in ("image", "points")), None)
    if found is None and Capability.CROSSES in card.capabilities:
        return card.modalities[0]
    if found is None:
        raise Problem(f"{card.title} has neither pictures nor points to show.", "Update DGM Studio.")
    return found
