"""How near a model of the invented patients comes to the best that is possible.

    python packaging/zoo/fundus_figures.py [CHECKPOINT]

The optimum is the posterior given each picture's exact traits (`dgm_studio.data.fundus.optimum`), on the test part.
HbA1c counts on all of its pictures, as for the optimum; "missing" counts only those whose record lacks it. Standard
errors are over patients, of whom each has two pictures. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dgm_studio import load
from dgm_studio.data import fundus, registry
from dgm_studio.models.registry import modalities_of
from dgm_studio.training import predictions

BARS = {"age over the optimum": 1.25}


def predicted(name: str, draws: int, seed: int) -> predictions.Predictions:
    """What a model says of the test part."""
    model, part = load(name), registry.load("fundus").split("test")
    steps = predictions.predicting(
        model, modalities_of(model, ()), part, len(part), next(model.parameters()).device, seed, draws
    )
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            found: predictions.Predictions = finished.value
            return found


def off(values: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
    """Mean absolute error and its standard error over patients, whose two pictures stand side by side."""
    patients = np.abs(values - truth).reshape(-1, 2).mean(1)
    return {"value": float(patients.mean()), "error": float(patients.std(ddof=1) / math.sqrt(len(patients)))}


def figures(found: predictions.Predictions) -> dict[str, Any]:
    """By what is predicted: the model's error, the optimum's and that of the training part's median."""
    told, best = fundus.readings(), fundus.optimum()
    data = registry.load("fundus")
    part, train = data.split("test").others, data.split("train").others
    table: dict[str, Any] = {}
    for (given, name), medians in found.medians.items():
        truth = told[f"{name} truth"].astype(np.float64)
        rest = len(given) > 1
        row = {"model": off(medians.double().numpy(), truth)}
        guess = float(train[name][:, 0].nanmedian())
        row["median"] = off(np.full(len(truth), guess), truth)
        exact = best.get(f"{name} | rest" if rest else name)
        if exact is not None:
            row["optimum"] = exact["value"]
            row["over the optimum"] = row["model"]["value"] / exact["value"]
            row["mean"] = exact["baseline"]
        gone = part[name][:, 0].isnan().numpy()
        if gone.any():
            row["missing"] = {"model": off(medians.double().numpy()[gone], truth[gone])}
            row["missing"] |= {"median": off(np.full(int(gone.sum()), guess), truth[gone])}
        table[f"{predictions.spoken(given)} → {name}"] = row
    for (given, name), chances in found.chances.items():
        if len(given) == 1:
            positive = torch.from_numpy(told[f"{name} truth"] == 1)
            value, error = predictions.area(chances[:, -1], positive)
            table[f"{given[0]} → {name}, area"] = {
                "model": {"value": value, "error": error},
                "optimum": best[name]["value"],
            }
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="zoo:fundus", help="a checkpoint")
    parser.add_argument("--draws", type=int, default=predictions.DRAWS, help="of z for each picture")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    table = figures(predicted(asked.model, asked.draws, asked.seed))
    table["bar: age over the optimum"] = BARS["age over the optimum"]
    print(json.dumps(table, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
