"""Loss under our PGD beside foolbox's `LinfPGD` (Rauber, Brendel, Bethge 2017; 2020) on the same networks and pictures.

Three rows for each network and epsilon, over the same seeds:
  foolbox   its `LinfPGD`: cross-entropy, uniform start, its default step size of epsilon / 30, 40 steps
  same      ours with that step size, that many steps and one start
  ours      ours with its own step size (2.5 epsilon / steps) and two restarts
and FGSM of both. What is compared is the mean cross-entropy of the true class at the end, nats, higher is the stronger
attack; accuracy and the greatest change of a pixel stand beside it. Networks: the judge in the box, and a perceptron
784-512-10 trained here on the labels alone.

foolbox is no dependency of the project:

    python -m venv --system-site-packages peer
    peer/bin/pip install --no-deps "foolbox==3.3.4" "eagerpy==0.30.0" GitPython gitdb smmap requests urllib3 scipy
    PYTHONPATH=. peer/bin/python packaging/peers/pgd_foolbox.py --out packaging/peers/pgd_foolbox.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import eagerpy
import foolbox
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.data import registry as data
from dgm_studio.explore.attacks import log_odds, pgd
from dgm_studio.explore.labels import Supervised
from dgm_studio.models.judge import judge_for
from dgm_studio.training.config import TrainingConfig
from dgm_studio.training.optimising import Optimising
from dgm_studio.training.order import Order
from dgm_studio.training.randomness import Randomness

DATA, FACTOR = "mnist5k", "digit"
EPSILONS = (0.05, 0.1, 0.2)
STEPS = 40
PEER_STEP = 0.01 / 0.3  # foolbox's default, relative to epsilon
OUR_STEP = 2.5 / STEPS


class Logits(nn.Module):
    """The judge as foolbox wants a network."""

    def __init__(self, judge: Any) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, x: Tensor) -> Tensor:
        """Of pictures [N, 1, 28, 28]: [N, 10]."""
        found: Tensor = self.judge.logits(x)[FACTOR]
        return found


def perceptron(steps: int, seed: int) -> nn.Module:
    """784-512-10, trained on all labels."""
    part = data.load(DATA).split("train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.SiLU(), nn.Linear(512, 10))
    config = TrainingConfig(steps=steps, batch=64, micro_batch=64)
    model = Supervised(network, "image", FACTOR)
    working = Optimising(model, part, config, Order(len(part), seed), Randomness(model, torch.device("cpu"), seed))
    for _ in range(steps):
        for _ in working.advance():
            pass
    return working.average.classifier.eval()


def ours(network: nn.Module, x: Tensor, y: Tensor, epsilon: float, plan: dict[str, Any], seed: int) -> Tensor:
    """Pictures at the end of our attack."""

    def climb(now: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        now = now.detach().requires_grad_(True)
        odds = log_odds(network(now).log_softmax(1), y[rows])
        (gradient,) = torch.autograd.grad(odds.sum(), now)
        return odds.detach(), gradient

    attack = pgd(climb, x, epsilon, generator=torch.Generator().manual_seed(seed), **plan)
    while True:
        try:
            next(attack)
        except StopIteration as finished:
            found: Tensor = finished.value.x
            return found


def peer(network: nn.Module, x: Tensor, y: Tensor, epsilon: float, method: str, seed: int) -> Tensor:
    """Pictures at the end of foolbox's attack."""
    torch.manual_seed(seed)  # foolbox draws from torch's default generator
    model = foolbox.PyTorchModel(network, bounds=(0.0, 1.0), device="cpu")
    attack = foolbox.attacks.FGSM() if method == "fgsm" else foolbox.attacks.LinfPGD(steps=STEPS)
    criterion = foolbox.criteria.Misclassification(eagerpy.astensor(y))
    found: Tensor = attack.run(model, eagerpy.astensor(x), criterion, epsilon=epsilon).raw
    return found


def rows_for(network: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> dict[str, Callable[[int], Tensor]]:
    """Every attack as a function of the seed."""
    same = {"step_size": PEER_STEP * epsilon, "steps": STEPS, "restarts": 1}
    own = {"step_size": OUR_STEP * epsilon, "steps": STEPS, "restarts": 2}
    single = {"step_size": epsilon, "steps": 1, "restarts": 1, "random_start": False}
    return {
        "foolbox": lambda seed: peer(network, x, y, epsilon, "pgd", seed),
        "same": lambda seed: ours(network, x, y, epsilon, same, seed),
        "ours": lambda seed: ours(network, x, y, epsilon, own, seed),
        "fgsm foolbox": lambda seed: peer(network, x, y, epsilon, "fgsm", seed),
        "fgsm ours": lambda seed: ours(network, x, y, epsilon, single, seed),
    }


def measured(network: nn.Module, x: Tensor, y: Tensor, end: Tensor, seconds: float) -> dict[str, float]:
    """The figures of one attack."""
    with torch.no_grad():
        log_probs = network(end).log_softmax(1)
    return {
        "loss": float(F.nll_loss(log_probs, y)),
        "accuracy": float((log_probs.argmax(1) == y).double().mean()),
        "greatest change": float((end.double() - x.double()).abs().max()),
        "seconds": seconds,
    }


def compare(networks: dict[str, nn.Module], count: int, seeds: list[int]) -> list[dict[str, Any]]:
    """All runs."""
    part = data.load(DATA).split("test")
    chosen = torch.arange(min(count, len(part)))
    x, y = part.batch(chosen), part.factors[FACTOR][chosen]
    runs = []
    for name, network in networks.items():
        for epsilon in EPSILONS:
            for row, attack in rows_for(network, x, y, epsilon).items():
                for seed in seeds:
                    begun = time.perf_counter()
                    end = attack(seed)
                    found = measured(network, x, y, end, time.perf_counter() - begun)
                    runs.append({"network": name, "epsilon": epsilon, "row": row, "seed": seed, **found})
                print(name, epsilon, row, *(f"{k} {v:.4f}" for k, v in found.items()), sep="  ", flush=True)
    return runs


def report(runs: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures with what makes them comparable."""
    summary = []
    for name, epsilon in dict.fromkeys((run["network"], run["epsilon"]) for run in runs):
        here = [run for run in runs if (run["network"], run["epsilon"]) == (name, epsilon)]
        means = {
            row: statistics.fmean(run["loss"] for run in here if run["row"] == row)
            for row in dict.fromkeys(run["row"] for run in here)
        }
        ratios = {"same": means["same"] / means["foolbox"], "ours": means["ours"] / means["foolbox"]}
        ratios["fgsm"] = means["fgsm ours"] / means["fgsm foolbox"]
        summary.append({"network": name, "epsilon": epsilon, "loss": means, "ratio to foolbox": ratios})
    return {
        "what": f"mean cross-entropy on {DATA} test pictures after the attack, nats; higher is the stronger attack",
        "count": arguments.count,
        "steps": STEPS,
        "summary": summary,
        "least ratio": min(r for each in summary for r in each["ratio to foolbox"].values()),
        "runs": runs,
        "versions": {name: version(name) for name in ("torch", "foolbox", "eagerpy")}
        | {"python": platform.python_version()},
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Run, print and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--training", type=int, default=2000, help="steps of the perceptron's training")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    judge = judge_for(data.card(DATA), "image")
    networks = {"judge": Logits(judge).eval(), "perceptron": perceptron(arguments.training, 0)}
    found = report(compare(networks, arguments.count, arguments.seeds), arguments)
    for each in found["summary"]:
        print(each["network"], each["epsilon"], {k: round(v, 4) for k, v in each["ratio to foolbox"].items()})
    print("least ratio", found["least ratio"])
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
