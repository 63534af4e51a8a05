"""Trains the judges that ship with the data and writes them to resources/judges (see `dgm_studio.models.judge`).

    python packaging/judges.py [NAME...]

Trained on the training part alone, for a fixed number of steps; nothing is chosen by the test part, on which each is
looked at once. Pictures are turned, scaled, moved, blurred and given noise as they are seen: what a judge will read
later is generated, softer and less well placed than what was scanned. One thread; the same seed gives the same bytes on
the same machine.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dgm_studio import __version__
from dgm_studio.checkpoints import store
from dgm_studio.core.cards import Metric
from dgm_studio.core.manifest import Manifest
from dgm_studio.core.resources import resource
from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Dataset, Part
from dgm_studio.models.judge import KIND, Judge
from dgm_studio.models.registry import parameters_of


@dataclass(frozen=True)
class Recipe:
    """How a judge is trained.

    Args:
        steps: Optimiser steps.
        width: Channels of its first stage.
        degrees: Greatest turn.
        scale: Greatest change of size, as a share.
        shear: Greatest shear.
        move: Greatest shift in pixels.
        blur: Share of the pictures that are blurred.
        noise: Greatest standard deviation of the noise.
    """

    steps: int
    width: int
    degrees: float
    scale: float
    shear: float
    move: float
    blur: float = 0.3
    noise: float = 0.1
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    seed: int = 0


RECIPES = {
    "mnist5k": Recipe(steps=4000, width=12, degrees=15.0, scale=0.15, shear=0.2, move=2.0),
    "digits8": Recipe(steps=4000, width=24, degrees=12.0, scale=0.1, shear=0.1, move=0.7, blur=0.1),
    "pixelfaces": Recipe(steps=2500, width=12, degrees=3.0, scale=0.05, shear=0.0, move=1.5),
    "mnist16": Recipe(steps=4000, width=16, degrees=15.0, scale=0.12, shear=0.2, move=1.2, blur=0.2),
    "pixelfaces16": Recipe(steps=4000, width=16, degrees=0.0, scale=0.0, shear=0.0, move=0.5, blur=0.1),
}


def augmented(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Pictures [N, C, H, W] changed by chance, each in its own way."""

    def spread(reach: float) -> Tensor:
        return (2.0 * torch.rand(len(x), generator=generator) - 1.0) * reach

    turn, size = spread(math.radians(recipe.degrees)), 1.0 + spread(recipe.scale)
    shear = spread(recipe.shear)
    right, down = spread(2.0 * recipe.move / x.shape[3]), spread(2.0 * recipe.move / x.shape[2])
    rows = [
        torch.stack([turn.cos() * size, (shear - turn.sin()) * size, right], 1),
        torch.stack([turn.sin() * size, turn.cos() * size, down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = (torch.rand(len(x), generator=generator) < recipe.blur) * torch.rand(len(x), generator=generator)
    x = torch.lerp(x, soft, share.view(-1, 1, 1, 1))
    level = torch.rand(len(x), 1, 1, 1, generator=generator) * recipe.noise
    return (x + level * torch.randn(x.shape, generator=generator)).clamp(0.0, 1.0)


def train(judge: Judge, part: Part, recipe: Recipe) -> None:
    """Minimise the sum of the factors' cross-entropies with AdamW and a one-cycle rate."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(judge.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, recipe.steps)
    waiting = torch.empty(0, dtype=torch.int64)
    for _ in range(recipe.steps):
        if len(waiting) < recipe.batch:
            waiting = torch.randperm(len(part), generator=generator)
        chosen, waiting = waiting[: recipe.batch], waiting[recipe.batch :]
        logits = judge.logits(augmented(part.batch(chosen), recipe, generator))
        loss = torch.stack([F.cross_entropy(v, part.factors[n][chosen]) for n, v in logits.items()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def accuracies(judge: Judge, part: Part, split: str) -> dict[str, Metric]:
    """Share of pictures read right, by factor, with its binomial standard error."""
    found = {}
    chunks = [judge.logits(part.batch(some)) for some in torch.arange(len(part)).split(250)]
    for factor in judge.factors:
        guesses = torch.cat([chunk[factor.name] for chunk in chunks]).argmax(1)
        right = float((guesses == part.factors[factor.name]).double().mean())
        error = math.sqrt(right * (1.0 - right) / len(part))
        found[factor.name] = Metric(right, "", "exact", error, split, lower_is_better=False)
    return found


def written(name: str, dataset: Dataset, judge: Judge, recipe: Recipe) -> Manifest:
    """Round the weights to half precision, look at the test part with those, and write."""
    halved = store.half(judge.state_dict())
    store.fit(judge, halved, name, halved=True)
    found = accuracies(judge.eval(), dataset.split("test"), "test")
    manifest = Manifest(
        system="",
        kind=KIND,
        name=name,
        title="Judge",
        modalities=(judge.modality,),
        factors=judge.factors,
        config={"width": recipe.width},
        training=asdict(recipe),
        parameters=parameters_of(judge),
        data=dataset.card.name,
        data_sha256=dataset.sha256,
        seed=recipe.seed,
        step=recipe.steps,
        steps=recipe.steps,
        metrics={f"accuracy/{factor}": metric for factor, metric in found.items()},
        versions={"dgm-studio": __version__, "torch": torch.__version__},
        extra={"recipe": "packaging/judges.py"},
    )
    return store.save(resource("judges", f"{name}.safetensors"), halved, manifest)


def build(data_name: str) -> None:
    """Train the judge of a set's pictures, write it and say how good it is."""
    dataset, recipe, begun = data.load(data_name), RECIPES[data_name], time.perf_counter()
    modality = next(m for m in dataset.card.modalities if m.kind == "image")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # of the weights and of dropout
        judge = Judge(modality, dataset.card.factors, recipe.width, recipe.dropout)
        train(judge.train(), dataset.split("train"), recipe)
    manifest = written(f"{data_name}.{modality.name}", dataset, judge, recipe)
    seconds = time.perf_counter() - begun
    figures = ", ".join(f"{n.partition('/')[2]} {m.value:.3f}" for n, m in manifest.metrics.items())
    print(f"{manifest.name}: {manifest.parameters:,} numbers, {seconds:.0f} s; test: {figures}", flush=True)


def main() -> None:
    """Build those that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    torch.set_num_threads(1)
    for name in parser.parse_args().names or RECIPES:
        build(name)


if __name__ == "__main__":
    main()
