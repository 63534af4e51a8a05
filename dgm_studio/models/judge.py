"""Small supervised classifiers that ship with the data: they judge what is generated, and are what softmax can do.

A judge reads the factors that a picture tells (its digit; mouth, hair, hat of a face). The figure that is reported of
generated pictures is how often the judge agrees, so its own accuracy stands beside it wherever it is used. Built by
`packaging/judges.py` from the training part alone; its accuracy is that on the test part.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.checkpoints import store
from dgm_studio.core.cards import DataCard, Factor, Metric, Modality, ModelCard
from dgm_studio.core.manifest import Manifest, read_manifest
from dgm_studio.core.resources import resource
from dgm_studio.data.kept import split_name
from dgm_studio.models.blocks import ConvEncoder

KIND = "judge"  # of the manifest: no system, so it is not opened as a model
FEATURES = 64
OWN_FILES = ("folder:", "file:")  # names of data of the user's own, of which no judge can know anything


class Judge(nn.Module):
    """p(factor | picture) for each of the factors, over features that they share; deterministic and differentiable.

    Args:
        modality: The picture, of 8 by 8 pixels or more.
        factors: What is read from it.
        width: Channels of the first stage.
        dropout: In training only.
    """

    def __init__(self, modality: Modality, factors: tuple[Factor, ...], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.modality, self.factors = modality, factors
        self.shape: tuple[int, ...] = tuple(modality.shape)
        self.name = ""
        self.accuracies: dict[str, Metric] = {}
        self.encoder = ConvEncoder(self.shape, FEATURES, width, 1, 0, dropout)
        self.heads = nn.Linear(FEATURES, sum(len(f.categories) for f in factors))

    def features(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n f"]:
        """What the heads see of pictures in [0, 1]: the place to measure distances between pictures."""
        return F.silu(self.encoder(x))

    def logits(self, x: Float[Tensor, "n *shape"]) -> dict[str, Tensor]:
        """Unnormalised log probabilities [N, C] of every factor, by its name."""
        parts = self.heads(self.features(x)).split([len(f.categories) for f in self.factors], 1)
        return dict(zip((f.name for f in self.factors), parts, strict=True))

    @property
    def accuracy(self) -> float:
        """Share of test pictures that are read right, mean over the factors."""
        return sum(m.value for m in self.accuracies.values()) / max(1, len(self.accuracies))

    @property
    def factor(self) -> str:
        """The one factor that is read, or "" of a judge of several."""
        return self.factors[0].name if len(self.factors) == 1 else ""


def judge_for(card: DataCard | ModelCard, modality: str, device: str = "cpu") -> Judge | None:
    """The judge of a modality of some data, in evaluation mode, its weights fixed; None when there is none.

    It is the one trained on these pictures; else one for pictures of the same shape that tell the same factor
    (`Modality.about`) in the same categories, so that the halves of a set of pairs have the judges of their sources.

    Args:
        card: Of the data, or of a model trained on them.
        modality: Name of one of its modalities.
        device: Where the judge shall live.

    Raises:
        Problem: The file of the judge is damaged.
    """
    data, _ = split_name(card.name if isinstance(card, DataCard) else card.data)
    found = next((m for m in card.modalities if m.name == modality and m.kind == "image"), None)
    if found is None or data.startswith(OWN_FILES):
        return None
    fitting = [(path, m) for path, m in _shipped() if m.modalities[0].shape == tuple(found.shape)]
    for path, manifest in fitting:
        if manifest.data == data and manifest.modalities[0].name == modality:
            return _loaded(path, device)
    wanted = next((f for f in card.factors if f.name == found.about), None)
    for path, manifest in fitting:
        if wanted is not None and manifest.factors == (wanted,):
            return _loaded(path, device)
    return None


@cache
def _shipped() -> tuple[tuple[Path, Manifest], ...]:
    """The judges in the box; their weights are not read."""
    paths = sorted(resource("judges").glob("*.safetensors"))
    return tuple((path, read_manifest(path)) for path in paths)


@cache
@torch.inference_mode(False)  # weights made in inference mode could never take part in a gradient, as attacks need
def _loaded(path: Path, device: str) -> Judge:
    manifest, tensors = store.load(path)
    judge = Judge(manifest.modalities[0], manifest.factors, int(manifest.config["width"]))
    store.fit(judge, tensors, f"The weights in {path.name}", halved=True)
    judge.name = path.stem
    judge.accuracies = {f.name: manifest.metrics[f"accuracy/{f.name}"] for f in manifest.factors}
    return judge.requires_grad_(False).eval().to(torch.device(device))
