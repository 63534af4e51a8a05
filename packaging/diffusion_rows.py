"""The rows of README's tables that tell of models which denoise; used by `results.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgm_studio.core.cards import Capability, Metric
from dgm_studio.core.manifest import Manifest, read_manifest, zoo_names, zoo_path

MEASURED = Path(__file__).resolve().parent / "diffusion.json"
SAMPLERS = ("DDPM-100", "DPM++2M-20")
SHOWN = (
    "frechet ratio",
    "precision",
    "recall",
    "rarest",
    "nearest",
    "copied",
    "read back",
    "within",
    "energy",
    "bits/dim",
)
PICTURES = (("ddpm-digits8", "digits 8 x 8", 1.2, 1.5), ("ddpm-digits16", "MNIST 16 x 16", 2.0, 2.5))
Rows = list[list[str]]


def denoises(manifest: Manifest) -> bool:
    """Whether a checkpoint belongs into this table."""
    return Capability.DENOISES in manifest.capabilities


def boxed() -> Rows:
    """A row for each checkpoint in the box that denoises."""
    rows = []
    for name in zoo_names():
        manifest = read_manifest(zoo_path(name))
        if denoises(manifest):
            figures = "<br>".join(_told(n, m) for n, m in manifest.metrics.items() if n.startswith(SHOWN))
            about = [f"`zoo:{name}`", manifest.title, manifest.data, f"{manifest.parameters:,}", f"{manifest.step:,}"]
            rows.append([*about, figures])
    return rows


def _told(name: str, metric: Metric) -> str:
    return f"{name} {metric.value:.3f} ± {metric.error:.3f}"


def promised() -> list[tuple[str, str, str | None, bool | None]]:
    """What was promised, how much, what was measured, whether it was kept."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    rows = [_rings(name, found.get(name, [])) for name in ("edm-rings", "flow-rings")]
    for name, about, long, short in PICTURES:
        rows += _pictures(about, long, short, _metrics(name))
    return [*rows, _faces(_metrics("ddpm-faces"))]


def _metrics(name: str) -> Mapping[str, Metric]:
    return read_manifest(zoo_path(name)).metrics if name in zoo_names() else {}


def _rings(name: str, runs: list[dict[str, Any]]) -> tuple[str, str, str | None, bool | None]:
    what = f"{name.partition('-')[0]}, ring of eight Gaussians, 35 evaluations: within 3 sigma of a mode"
    if not runs:
        return what, "at least 0.97", None, None
    shares = [run["within Heun-18"][0] for run in runs]
    exact = [run["within Heun-18 exact"][0] for run in runs]
    seconds = max(run["processor seconds"] for run in runs)
    words = f"{_spread(shares)}; exact score {_spread(exact)}; {len(runs)} seeds, {seconds:.0f} CPU-s of training"
    return what, "at least 0.97", words, min(shares) >= 0.97


def _spread(values: list[float]) -> str:
    return f"{sum(values) / len(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _pictures(
    about: str, long: float, short: float, metrics: Mapping[str, Metric]
) -> list[tuple[str, str, str | None, bool | None]]:
    what = f"DDPM, {about}, conditions of held-out pictures given: Frechet distance over the floor, 100 / 20 steps"
    bar = f"at most {long} / {short}"
    if not metrics:
        return [(what, bar, None, None)]
    ratios = [metrics[f"frechet ratio {name}"] for name in SAMPLERS]
    free = metrics.get(f"frechet ratio {SAMPLERS[1]} free")
    words = " / ".join(f"{m.value:.2f} ± {m.error:.2f}" for m in ratios)
    words += f" (nothing given, 20 steps: {free.value:.2f} ± {free.error:.2f})" if free is not None else ""
    rarest = [metrics[f"rarest {name}"].value for name in SAMPLERS]
    unsteered = metrics.get(f"rarest {SAMPLERS[1]} free")
    shares = _both(rarest)
    shares += f" (nothing given: {unsteered.value:.3f})" if unsteered is not None else ""
    near, copied = ([metrics[f"{of} {name}"].value for name in SAMPLERS] for of in ("nearest", "copied"))
    return [
        (what, bar, words, ratios[0].value <= long and ratios[1].value <= short),
        (f"{about}: rarest class, of its due", "at least 0.85", shares, min(rarest) >= 0.85),
        (
            f"{about}: distance to the nearest training picture, of held-out ones'",
            "at least 0.95",
            f"{_both(near)}; of as many training as held-out ones {_both(copied)}",
            min(near) >= 0.95,
        ),
    ]


def _both(values: list[float]) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


def _faces(metrics: Mapping[str, Metric]) -> tuple[str, str, str | None, bool | None]:
    what, bar = "faces: attributes asked for that a judge reads back, best guidance", "at least 0.90"
    weights = {n: m for n, m in metrics.items() if n.startswith("read back ") and n.rpartition(" ")[2] != "held-out"}
    if not weights:
        return what, bar, None, None
    best = max(weights, key=lambda name: weights[name].value)
    value, guidance = weights[best], best.rpartition(" ")[2]
    ceiling, chance = metrics["read back held-out"].value, metrics["read back 0"].value
    words = (
        f"{value.value:.3f} ± {value.error:.3f} at {guidance}; real pictures {ceiling:.3f}, nothing asked {chance:.3f}"
    )
    return what, bar, words, value.value >= 0.90
