"""What a denoiser is given beside noisy data: labels, attributes, texts, any part of them or nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgm_studio.core.cards import Modality
from dgm_studio.models import modal
from dgm_studio.models.capabilities import Views

CONDITIONS = ("label", "attributes", "text", "categorical")


class Conditioning(nn.Module):
    """Conditions to the sum of their features; a learnt null stands for each that is missing.

    Args:
        modalities: Of the conditions.
        size: Features.
    """

    def __init__(self, modalities: tuple[Modality, ...], size: int) -> None:
        super().__init__()
        self.modalities = modalities
        sizes = modal.Sizes(hidden=size, encoder_layers=1)
        self.encoders = nn.ModuleList(modal.encoder_for(m, size, sizes) for m in modalities)
        self.missing = nn.Parameter(torch.zeros(len(modalities), size))

    def forward(self, given: Views | None, n: int) -> Float[Tensor, "n e"]:
        """Features of n rows; bit for bit the same whether a condition is left out or marked as missing."""
        total = self.missing.new_zeros(n, self.missing.shape[1])
        for modality, encoder, missing in zip(self.modalities, self.encoders, self.missing, strict=True):
            if given is None or modality.name not in given:
                total = total + missing
                continue
            values = given[modality.name].to(self.missing.device)
            there = modal.present(modality, values).unsqueeze(1)
            total = total + torch.where(there, encoder(values), missing)
        return total


def dropped(
    modalities: tuple[Modality, ...], given: Views, share: float, parts: float, generator: torch.Generator, n: int
) -> dict[str, Tensor]:
    """The conditions with some taken away, row by row, as classifier-free guidance needs (Ho and Salimans 2022).

    Args:
        modalities: Of the conditions.
        given: Their values; those that the data lack may be absent.
        share: Probability that a row loses all of them.
        parts: Probability that a row that keeps them loses each attribute, and each condition where there are several,
            by the toss of a coin; so that any part of them can be asked for.
        generator: Of the draws, whose number depends on n and the modalities only.
        n: Rows.
    """
    widths = [len(m.columns) if m.kind == "attributes" else 1 for m in modalities]
    device = generator.device
    drawn = torch.rand(n, 2 + sum(widths), generator=generator, device=device)
    everything, some = drawn[:, :1] < share, (drawn[:, 1:2] < parts) & (sum(widths) > 1)
    gone = everything | (some & (drawn[:, 2:] < 0.5))
    found = {}
    for modality, lost in zip(modalities, gone.split(widths, 1), strict=True):
        if modality.name not in given:
            continue
        values = given[modality.name]
        if modality.kind == "attributes":
            found[modality.name] = values.masked_fill(lost.to(values.device), -1)
        else:
            found[modality.name] = modal.without(modality, values, lost[:, 0].to(values.device))
    return found
