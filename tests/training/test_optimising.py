"""The optimiser beside torch's, and the pieces that a batch is cut into."""

from __future__ import annotations

import copy

import torch
from torch import nn

from dgm_studio.training import optimising
from dgm_studio.training.adamw import AdamW


def test_its_adamw_is_torchs_bit_for_bit_also_when_a_parameter_has_no_gradient_at_times() -> None:
    ours = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(288, 33))
    theirs = copy.deepcopy(ours)
    named = [(p for p in theirs.parameters() if p.ndim > 1), (p for p in theirs.parameters() if p.ndim <= 1)]
    groups = [{"params": list(some), "weight_decay": decay} for some, decay in zip(named, (0.05, 0.0), strict=True)]
    reference, adam = torch.optim.AdamW(groups, fused=True), AdamW(list(ours.parameters()))
    generator = torch.Generator().manual_seed(0)
    for step in range(12):
        rate = 1e-2 / (1 + step)
        x = torch.randn(4, 1, 8, 8, generator=generator)
        for model in (ours, theirs):
            model(x).square().mean().backward()
            if step % 3 == 1:
                model[1].bias.grad = None
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        reference.zero_grad()
        adam.step(rate, 0.05)
        adam.forget_gradients()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)), step


def test_a_batch_is_cut_into_few_pieces_of_nearly_the_same_size() -> None:
    assert optimising.sizes_of(128) == [8, 16, 32, 43, 64, 128]
    for batch in range(1, 300):
        sizes = optimising.sizes_of(batch)
        assert sizes == sorted(set(sizes)) and sizes[-1] == batch and 1 <= sizes[0] <= optimising.SMALLEST
