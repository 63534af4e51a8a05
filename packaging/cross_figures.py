"""Measures what the cross-modal bench promises and writes packaging/cross.json, a section at a time.

    python packaging/cross_figures.py SECTION ...      exactness gradient mvae labels outliers sampling

Every section keeps what the others have written. Trained models are those of the box, or trained here from the recipe
of `mvae-digits` with other seeds and weights of the label.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dgm_studio.api import answer
from dgm_studio.core.requests import Evaluate, ProveExactness, ScoreOutliers, ShowWrong, TraceLabels
from dgm_studio.core.updates import Frame, Result
from dgm_studio.data import registry as data
from dgm_studio.models.mixture_toy import MixtureToy
from dgm_studio.training.figures import figures_of
from dgm_studio.training.loop import Session
from dgm_studio.training.recipes import read_recipe

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "packaging" / "cross.json"
SEEDS = (0, 1, 2)
EXACT_SEEDS = 20
REPEATS = 200_000


def frame(request: Any) -> dict[str, Any]:
    """The last Frame of an answer."""
    return [update.data for update in answer(request) if isinstance(update, Frame)][-1]


def exactness() -> dict[str, Any]:
    """Linear-Gaussian views: ELBO against the exact log-likelihood, and the stratified mixture against its marginal."""
    gaps, without, scores = [], [], []
    for seed in range(EXACT_SEEDS):
        for modalities in (2, 3):
            found = frame(ProveExactness(seed, modalities))
            gaps += [abs(row["gap"]) for row in found["rows"]]
            without += [abs(row["gap without the prior expert"]) for row in found["rows"]]
            mixture = found["mixture"]
            scores.append((mixture["estimate"] - mixture["exact"]) / mixture["error"])
    return {
        "greatest gap, nats": max(gaps),
        "median gap without the prior expert, nats": statistics.median(without),
        "greatest distance of the mixture's estimate, standard errors": max(map(abs, scores)),
        "cases": len(scores),
    }


def gradient() -> dict[str, Any]:
    """Doubly reparametrised gradients less that of the importance-weighted bound, in standard errors; means of many."""
    toy, found = MixtureToy(), {}
    for k, name, way, hook in (
        (1, "published, K = 1", "dreg", "same"),
        (5, "published, K = 5", "dreg", "same"),
        (5, "with responsibilities, K = 5", "dreg-mixture", "same"),
        (5, "hook on a copy, K = 5", "dreg", "copy"),
    ):
        ways = [("iwae", "same"), (way, hook)]
        draws = [
            toy.gradient_of(each, k, REPEATS, torch.Generator().manual_seed(n), hook=on)
            for n, (each, on) in enumerate(ways)
        ]
        means, errors = [d.mean(0) for d in draws], [d.std(0) / len(d) ** 0.5 for d in draws]
        error = (errors[0].square() + errors[1].square()).sqrt()
        found[name] = {
            "greatest distance, standard errors": float(((means[1] - means[0]) / error).abs().max()),
            "variance, of that of the plain gradient": float(draws[1].var(0).sum() / draws[0].var(0).sum()),
        }
    return found


def mvae() -> dict[str, Any]:
    """The product of experts with the label's lambda 1 and 5, three seeds."""
    recipe = read_recipe(ROOT / "packaging" / "zoo" / "mvae-digits.toml")
    rows = []
    for weight in (1, 5):
        for seed in SEEDS:
            asked = dataclasses.replace(recipe, seed=seed, config={**recipe.config, "label_weight": weight})
            with tempfile.TemporaryDirectory() as folder:
                begun = time.process_time()
                session = Session(asked.request(Path(folder) / "run"))
                for _ in session.updates():
                    pass
                request = Evaluate("", "test", 10, 0, seed)
                updates = list(figures_of(session.model, data.load(recipe.data), request))
                metrics = next(u.value for u in updates if isinstance(u, Result))
                seconds = time.process_time() - begun
            rows.append(
                {"label_weight": weight, "seed": seed, "seconds": seconds, **{k: m.value for k, m in metrics.items()}}
            )
            print(rows[-1], flush=True)
    return {"rows": rows}


def labels() -> dict[str, Any]:
    """M2 with ten labels a class against a supervised network with the same labels, three seeds."""
    found = frame(TraceLabels(labels=(10,), steps=3000, seeds=len(SEEDS)))
    plain = {name: {k: v.tolist() for k, v in found[name].items()} for name in ("accuracy", "error")}
    return {**plain, "steps": found["steps"], "seeds": found["seeds"]}


def outliers() -> dict[str, Any]:
    """log p(x) against confidences, on pictures that do not belong."""
    found = frame(ScoreOutliers("zoo:classifier-digits", count=500))
    return {"auroc": found["auroc"]}


def sampling() -> dict[str, Any]:
    """What sub-sampling is for: the bound on pictures alone with and without it."""
    found = frame(ShowWrong("zoo:mvae-digits", "no sub-sampling"))
    return {name: found[name] for name in ("right", "wrong", "errors", "unit", "symptom")}


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    each.__name__: each for each in (exactness, gradient, mvae, labels, outliers, sampling)
}


def main() -> None:
    """Measure the sections that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="+", choices=sorted(SECTIONS))
    torch.set_num_threads(1)
    for name in parser.parse_args().sections:
        found = SECTIONS[name]()
        kept = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        OUT.write_text(json.dumps(kept | {name: found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(name, json.dumps(found)[:2000], flush=True)


if __name__ == "__main__":
    main()
