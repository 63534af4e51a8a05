"""AdamW through torch's fused kernel, without the wrapper that takes as long as the kernel does for a small network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): torch's figures, bit for bit.

    `torch.optim.AdamW` sorts, checks and profiles its parameters anew at every step. Here the lists are made once;
    what is left is the kernel.

    Args:
        parameters: What is optimised; they stay where they are.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        self._plain = [p.detach() for p in parameters]  # the same memory, unknown to autograd
        self._mean = [torch.zeros_like(p) for p in self._plain]
        self._square = [torch.zeros_like(p) for p in self._plain]
        self._steps = [torch.zeros((), device=p.device) for p in self._plain]
        self._decaying = [i for i, p in enumerate(parameters) if p.ndim > 1]
        self._others = [i for i, p in enumerate(parameters) if p.ndim <= 1]

    def step(self, rate: float, weight_decay: float) -> None:
        """One step along the parameters' gradients; those without one stay.

        Args:
            rate: Learning rate.
            weight_decay: Of matrices and kernels; biases and scales do not decay.
        """
        for chosen, decay in ((self._decaying, weight_decay), (self._others, 0.0)):
            moved = [(i, grad) for i in chosen if (grad := self._parameters[i].grad) is not None]
            if moved:
                self._move(moved, rate, decay)

    def _move(self, moved: list[tuple[int, Tensor]], rate: float, decay: float) -> None:
        steps = [self._steps[i] for i, _ in moved]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [self._plain[i] for i, _ in moved],
            [grad for _, grad in moved],
            [self._mean[i] for i, _ in moved],
            [self._square[i] for i, _ in moved],
            [],
            steps,
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def forget_gradients(self) -> None:
        """Let go of all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def state(self, index: int) -> dict[str, Tensor]:
        """What is remembered of a parameter: "exp_avg", "exp_avg_sq" and "step", as torch calls them."""
        return {"exp_avg": self._mean[index], "exp_avg_sq": self._square[index], "step": self._steps[index]}

    def restore(self, index: int, state: dict[str, Tensor]) -> None:
        """Take over a parameter's `state`."""
        for name, tensor in self.state(index).items():
            tensor.copy_(state[name])
