"""Everything random in training comes from here and can be put back to where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dgm_studio.training.order import derived_seed


class Randomness:
    """The generator that losses draw from, and a private stretch of torch's default generator.

    torch's dropout draws from the process's default generator and takes no other. A model with dropout therefore runs
    inside `borrowed`, which lends the default generator to this run for the moment and puts it back as it was.

    Args:
        model: Looked through for dropout.
        device: Where the model is.
        seed: Of the run.
        step: Where the run begins.
    """

    def __init__(self, model: nn.Module, device: torch.device, seed: int, step: int = 0) -> None:
        self.noise = torch.Generator(device).manual_seed(derived_seed(seed, "noise", step))
        drops = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in model.modules())
        self._default: torch.Generator | None = _default_of(device) if drops else None
        own = torch.Generator(device).manual_seed(derived_seed(seed, "dropout", step))
        self._lent = own.get_state()

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """The default generator is this run's, until the end of the block."""
        if self._default is None:
            yield
            return
        before = self._default.get_state()
        self._default.set_state(self._lent)
        try:
            yield
        finally:
            self._lent = self._default.get_state()
            self._default.set_state(before)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Whatever draws inside the block leaves no trace."""
        before = self._lent.clone()
        with self.borrowed():
            yield
        self._lent = before

    def state(self) -> dict[str, Tensor]:
        """Where everything is, uint8."""
        return {"noise": self.noise.get_state(), "default": self._lent.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put everything back. States of another kind of device are left aside: the run then goes on with new draws."""
        if state["noise"].shape == self.noise.get_state().shape:
            self.noise.set_state(state["noise"].clone())
            self._lent = state["default"].clone()


def _default_of(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[device.index or 0]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator
