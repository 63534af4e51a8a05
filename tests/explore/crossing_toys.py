"""Small data of many modalities, and models of them of which the answers are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dgm_studio.core.cards import DataCard, Factor, Modality, ModelCard
from dgm_studio.core.requests import Fusing
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.data.texts import tokens, vocabulary
from dgm_studio.explore.workbench import Workbench
from dgm_studio.models import fusion, registry
from dgm_studio.models.capabilities import Posterior, Views, capabilities_of
from dgm_studio.models.fusion import Mixture
from dgm_studio.models.linear_gaussian import linear_gaussian
from dgm_studio.models.modal_likelihoods import Choice
from dgm_studio.models.priors import StandardNormal

SHAPE = Factor("shape", ("round", "square", "star"))
COLOUR = Factor("colour", ("no", "red", "blue"))
COUNT = 90


def _texts(shapes: Tensor, colours: Tensor) -> list[str]:
    return [
        f"a {SHAPE.categories[s]} shape" + (f" with {COLOUR.categories[c]} colour" if c else "")
        for s, c in zip(shapes.tolist(), colours.tolist(), strict=True)
    ]


def toy_data(name: str = "toy") -> Dataset:
    """Pictures, labels, attributes, two numbers and sentences, all told by two factors; every ninth age is unknown."""
    generator = torch.Generator().manual_seed(3)

    def part() -> Part:
        shapes = torch.arange(COUNT) % 3
        colours = torch.randint(0, 3, (COUNT,), generator=generator)
        picture = torch.randint(0, 80, (COUNT, 1, 8, 8), generator=generator)
        picture[torch.arange(COUNT), 0, shapes] += 150
        age = 40.0 + 10.0 * shapes.float()[:, None] + torch.randn(COUNT, 1, generator=generator)
        age[::9] = torch.nan
        others = {
            "label": shapes,
            "attributes": torch.stack([shapes, colours], 1),
            "age": age,
            "dose": torch.rand(COUNT, 1, generator=generator) + 0.1,
            "sentence": tokens(_texts(shapes, colours), WORDS, 8),
        }
        factors = {"shape": shapes, "colour": colours}
        return Part(picture.to(torch.uint8), torch.arange(COUNT), factors, _texts(shapes, colours), others=others)

    card = DataCard(name, "Toy", "Made for a test.", MODALITIES, (SHAPE, COLOUR), dict.fromkeys(SPLITS, COUNT))
    return Dataset(card, {split: part() for split in SPLITS})


SPLITS = ("train", "valid", "test")
WORDS = vocabulary(_texts(torch.arange(3).repeat(3), torch.arange(9) // 3))
MODALITIES = (
    Modality("image", "image", (1, 8, 8)),
    Modality("label", "label", (), SHAPE.categories, about="shape"),
    Modality("attributes", "attributes", (2,), columns=(SHAPE, COLOUR)),
    Modality("age", "real", (1,), centre=(50.0,), spread=(9.0,), unit="years"),
    Modality("dose", "positive", (1,), centre=(-0.5,), spread=(0.5,)),
    Modality("sentence", "text", (8,), WORDS),
)


def adopt(
    bench: Workbench, key: str, module: nn.Module, data: str, modalities: tuple[Modality, ...], system: str = "test"
) -> Any:
    """Give a model to a bench."""
    card = ModelCard(
        key=key,
        name=key,
        system=system,
        title=f"Model {key}",
        capabilities=capabilities_of(type(module)),
        modalities=modalities,
        factors=(SHAPE, COLOUR),
        latent=int(module.latent),  # type: ignore[arg-type]
        data=data,
        source="memory",
    )
    bench.adopt(module, card)
    return module


def build(bench: Workbench, key: str, system: str, names: tuple[str, ...], **config: Any) -> Any:
    """An untrained model of some of the toy's modalities, on a bench that has the toy."""
    bench._data.setdefault("toy", toy_data())
    modalities = tuple(m for m in MODALITIES if m.name in names)
    module = registry.build(system, {**registry.tiny(system), **config}, modalities, seed=2)
    return adopt(bench, key, module, "toy", modalities, system)


class Telling(nn.Module):
    """Two labels of the same thing; z is the one-hot class, and the second label is the class moved on by `shift`.

    Args:
        shift: 0 generates what is true, 1 always the next class.
        deaf: Generates class 0 whatever z is.
    """

    latent = 3

    def __init__(self, shift: int = 0, deaf: bool = False) -> None:
        super().__init__()
        self.shift, self.deaf = shift, deaf
        self.unused = nn.Parameter(torch.zeros(1))
        self.modalities = (
            Modality("label", "label", (), SHAPE.categories, about="shape"),
            Modality("other", "label", (), SHAPE.categories, about="shape"),
        )

    def experts(self, given: Views) -> dict[str, Posterior]:
        found = {}
        for name, x in given.items():
            mean = 4.0 * torch.nn.functional.one_hot(x.clamp(min=0), 3).float()
            found[name] = fusion.absent_where(Posterior(mean, torch.full_like(mean, 0.05)), x < 0)
        return found

    def infer(self, given: Views, fusing: Fusing | None = None) -> Mixture:
        return fusion.fuse(self.experts(given), fusing, "moe")

    def rules(self) -> dict[str, str]:
        return fusion.rules("gaussian", "moe")

    def generate(self, z: Tensor, names: tuple[str, ...] = ()) -> dict[str, Any]:
        logits = 9.0 * z
        if self.deaf:
            logits = torch.tensor([9.0, 0.0, 0.0]).expand_as(z)
        return {"label": Choice(logits), "other": Choice(logits.roll(self.shift, 1))}

    def latent_prior(self) -> Any:
        return StandardNormal(torch.zeros(3))

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        return 4.0 * torch.nn.functional.one_hot(torch.randint(0, 3, (n,), generator=generator), 3).float()

    def prior_log_prob(self, z: Tensor) -> Tensor:
        return StandardNormal(torch.zeros(3)).log_prob(z)

    def prior_std(self) -> Tensor:
        return torch.ones(3)


class Exact(nn.Module):
    """The linear-Gaussian model of two views: its product of experts with the prior is the posterior."""

    latent = 2

    def __init__(self) -> None:
        super().__init__()
        self.toy = linear_gaussian(0)
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.modalities = tuple(Modality(name, "vector", (4,)) for name in self.toy.weight)

    def experts(self, given: Views) -> dict[str, Posterior]:
        found = self.toy.experts({n: v.double().nan_to_num(0.0) for n, v in given.items()})
        return {n: fusion.absent_where(e, given[n].isnan().all(1)) for n, e in found.items()}

    def infer(self, given: Views, fusing: Fusing | None = None) -> Mixture:
        return fusion.fuse(self.experts(given), fusing, "poe")

    def rules(self) -> dict[str, str]:
        return fusion.rules("gaussian", "poe")

    def generate(self, z: Tensor, names: tuple[str, ...] = ()) -> dict[str, Any]:
        return self.toy.generate(z, names)

    def latent_prior(self) -> Any:
        return self.toy.latent_prior()

    def sample_latent(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        return temperature * self.latent_prior().sample(n, generator)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        return self.toy.latent_prior().log_prob(z)

    def prior_std(self) -> Tensor:
        return torch.ones(2, dtype=torch.float64)


def exact_data(model: Exact) -> Dataset:
    """Draws of the linear-Gaussian model; the first modality is a picture that nobody asks for."""
    views = model.toy.sample(COUNT, torch.Generator().manual_seed(5))
    part = Part(torch.zeros(COUNT, 1, 8, 8, dtype=torch.uint8), torch.arange(COUNT), others=dict(views))
    card = DataCard("exact", "Exact", "Made for a test.", model.modalities, (), dict.fromkeys(SPLITS, COUNT))
    return Dataset(card, dict.fromkeys(SPLITS, part))
