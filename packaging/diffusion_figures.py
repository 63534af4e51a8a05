"""Measures the systems that denoise in the plane, trained anew for several seeds, into packaging/diffusion.json.

    python packaging/diffusion_figures.py [--seeds 0 1 2] [--out packaging/diffusion.json]

Trains `zoo:edm-rings` and `zoo:flow-rings` by their recipes, one thread, and tells processor seconds of training, the
share of 35 evaluations' results within 3 standard deviations of a mode, and the energy distance to held-out points,
beside the same sampler under the exact score. Figures of pictures stand in the manifests of the checkpoints in the box.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dgm_studio.checkpoints import store
from dgm_studio.core.requests import Evaluate
from dgm_studio.core.runs import RunFolder
from dgm_studio.core.updates import Result
from dgm_studio.data import registry as data
from dgm_studio.models import registry
from dgm_studio.training.figures import figures_of
from dgm_studio.training.loop import Session
from dgm_studio.training.recipes import TrainingRecipe, read_recipe

HERE = Path(__file__).resolve().parent
RECIPES = ("edm-rings", "flow-rings")


def trained(recipe: TrainingRecipe, folder: Path) -> float:
    """Processor seconds of a training into a folder."""
    begun = time.process_time()
    for _ in Session(recipe.request(folder)).updates():
        pass
    return time.process_time() - begun


def measured(recipe: TrainingRecipe) -> dict[str, Any]:
    """One seed of a recipe."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        seconds = trained(recipe, folder)
        manifest, tensors = store.load(RunFolder(folder).weights())
    model = registry.build(manifest.system, manifest.config, manifest.modalities)
    store.fit(model, tensors, recipe.name)
    *_, last = figures_of(model.eval(), data.load(manifest.data), Evaluate("", seed=recipe.seed, **recipe.evaluate))
    assert isinstance(last, Result)
    told = {name: [m.value, m.error] for name, m in last.value.items() if name.startswith(("within", "energy"))}
    return {"seed": recipe.seed, "processor seconds": round(seconds, 1), **told}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=HERE / "diffusion.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in RECIPES:
        recipe = read_recipe(HERE / "zoo" / f"{name}.toml")
        found[name] = [measured(replace(recipe, seed=seed)) for seed in asked.seeds]
        print(json.dumps({name: found[name]}), flush=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
