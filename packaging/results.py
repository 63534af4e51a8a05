"""Writes every figure of README.md from files that programs made, so that none is typed by hand.

    python packaging/results.py            rewrite the parts of README.md between "begin" and "end" marks
    python packaging/results.py --check    status 1 when they are not what this script would write

It reads
  packaging/results.json            what `dgm-studio bench --json` printed
  packaging/peers/vae_pythae.json   what packaging/peers/vae_pythae.py wrote
  packaging/cross.json              what packaging/cross_figures.py measured
  packaging/diffusion.json          what packaging/diffusion_figures.py measured
  packaging/peers/*.json            what the other peers' scripts wrote
  resources/zoo/*.safetensors       the manifests of the checkpoints in the box
and computes beside the checkpoints what a model without latents reaches. What has no file yet is "not measured yet".
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusion_rows
import torch
from torch import Tensor

from dgm_studio.cli import parser as command_line
from dgm_studio.core.cards import Metric
from dgm_studio.core.manifest import Manifest, read_manifest, zoo_names, zoo_path
from dgm_studio.data import fundus
from dgm_studio.data import registry as data
from dgm_studio.models.distributions import LEAST_LOG_STD
from dgm_studio.models.registry import systems

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BENCH = ROOT / "packaging" / "results.json"
PEER = ROOT / "packaging" / "peers" / "vae_pythae.json"
MISSING = "not measured yet"
SEEDS = 3  # of the comparison with pythae; one that was stopped before its last seed says nothing yet


@dataclass(frozen=True)
class Row:
    """A line of the table of promises.

    Args:
        what: What is promised.
        bar: How much.
        bench: The measurement that tells.
        figures: Names of its figures.
    """

    what: str
    bar: str
    bench: str
    figures: tuple[str, ...]


ROWS = (
    Row("window shown", "at most 1.0 s", "startup", ("window shown",)),
    Row("worker warm", "at most 5 s", "startup", ("worker warm",)),
    Row("slider to pixels p95, zoo:vae-digits, idle", "at most 33 ms", "latency", ("slider to pixels p95, idle",)),
    Row("the same while a run trains", "at most 60 ms", "latency", ("slider to pixels p95, training",)),
    Row("stale pictures, idle / training", "0", "latency", ("stale pictures, idle", "stale pictures, training")),
    Row(
        "moves without a picture, idle / training",
        "0",
        "latency",
        ("moves without a picture, idle", "moves without a picture, training"),
    ),
    Row(
        "last value always shown (1 = yes), idle / training",
        "1",
        "latency",
        ("last picture is that of the last value, idle", "last picture is that of the last value, training"),
    ),
    Row(
        "lateness of the GUI's heartbeat p99 / max while training, 60 s",
        "at most 4 / 33 ms",
        "heartbeat",
        ("lateness p99 while training", "lateness max while training"),
    ),
    Row(
        "training steps/s against a bare PyTorch loop with the same network, conv / mlp",
        "at least 0.97",
        "training",
        ("conv, against a bare loop", "mlp, against a bare loop"),
    ),
    Row(
        "the same while 20 pictures/s are asked for, conv / mlp",
        "at least 0.80",
        "training",
        ("conv, with 20 pictures a second", "mlp, with 20 pictures a second"),
    ),
    Row(
        "stop (with saving) / pause / cancel p95",
        "at most 100 ms",
        "stop",
        ("stop, saving included, p95", "pause, p95", "cancel, p95"),
    ),
    Row(
        "slider to picture p95 while a film of 64 samples is computed",
        "at most 60 ms",
        "film",
        ("slider to picture p95 while sampling",),
    ),
    Row("stop a film p95", "at most 100 ms", "film", ("stop p95",)),
    Row("unreadable checkpoints after kill -9 during save, 200 times", "0", "saves", ("unreadable checkpoints",)),
    Row(
        "10,000 seeded random GUI events with training on: crashes / unhandled exceptions",
        "0 / 0",
        "events",
        ("crashes and hangs", "unhandled exceptions"),
    ),
)


def results() -> str:
    """The table of promises with what was measured."""
    found = json.loads(BENCH.read_text(encoding="utf-8")) if BENCH.exists() else {"measurements": []}
    measured = {each["bench"]: each["figures"] for each in found["measurements"]}
    lines = [[row.what, row.bar, *_measured(row, measured)] for row in ROWS]
    told = _table(("what", "promised", "measured", "kept"), [*lines, *_peer_rows()])
    return f"{told}\n\n{_machine(found['machine'])}" if "machine" in found else told


def _measured(row: Row, measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, str]:
    """What the figures of a row are, and whether all of them are as promised."""
    if row.bench not in measured:
        return MISSING, ""
    by_name = {figure["what"]: figure for figure in measured[row.bench]}
    absent = [name for name in row.figures if name not in by_name]
    if absent:
        raise SystemExit(f"{BENCH.name}: {row.bench} has no figure {absent[0]!r}, but {', '.join(map(repr, by_name))}")
    figures = [by_name[name] for name in row.figures]
    words = [f"{_short(figure['value'])} {figure['unit']}".strip() for figure in figures]
    units = {figure["unit"] for figure in figures}
    if len(units) == 1:  # "1.2 / 3.4 ms" rather than "1.2 ms / 3.4 ms"
        words = [_short(figure["value"]) for figure in figures]
        words[-1] = f"{words[-1]} {figures[0]['unit']}".strip()
    return " / ".join(words), "yes" if all(figure["good"] is not False for figure in figures) else "**no**"


def _peer_rows() -> list[list[str]]:
    """Our test ELBO less that of pythae's VAE, at the best validation of each, mean over the seeds."""
    lines = []
    found = json.loads(PEER.read_text(encoding="utf-8")) if PEER.exists() else {"rows": {}, "means": {}}
    means = {name: found["means"][name] for name, runs in found["rows"].items() if len(runs) == SEEDS}
    for name, what, bar, least in (
        (
            "same",
            "test ELBO on mnist5k less pythae's, same network, data, steps, seeds 0 to 2",
            "at least -0.5 nat",
            -0.5,
        ),
        ("defaults", "the same with the defaults offered here, half the steps", "above 0 nat", 0.0),
    ):
        if name in means and "pythae" in means:
            ours, theirs = means[name]["best"], means["pythae"]["best"]
            kept = "yes" if ours - theirs >= least else "**no**"
            lines.append([what, bar, f"{ours - theirs:+.2f} nats ({ours:.2f} against {theirs:.2f})", kept])
        else:
            lines.append([what, bar, MISSING, ""])
    return lines


def _machine(on: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    load = f" Load average when the measurements began: {on['load']}." if on.get("load") is not None else ""
    return (
        f"Measured on {on['processor']}, {on['cores']} cores, {on['system']}, Python {on['python']}, {versions}.{load}"
    )


def _short(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def zoo() -> str:
    """The checkpoints in the box with the figures of their manifests."""
    lines = []
    for name in zoo_names():
        manifest = read_manifest(zoo_path(name))
        config = manifest.config
        if systems()[manifest.system].least > 1 or diffusion_rows.denoises(manifest):
            continue
        lines.append(
            [
                f"`zoo:{name}`",
                f"{manifest.title}, {manifest.latent} latents, {config.get('prior', 'normal')} prior",
                manifest.data,
                f"{manifest.parameters:,}",
                f"{manifest.step:,} of {manifest.steps:,}",
                _figure(manifest.metrics.get("nelbo")),
                _figure(manifest.metrics.get("iwae")),
                trivial(manifest),
            ]
        )
    heads = ("name", "system", "data", "numbers learnt", "steps", "-ELBO", "importance-weighted", "without latents")
    return _table(heads, lines) if lines else "No checkpoint is in the box yet."


def several() -> str:
    """The checkpoints of several modalities."""
    lines = []
    for name in zoo_names():
        manifest = read_manifest(zoo_path(name))
        if systems()[manifest.system].least > 1:
            told = [(n, m) for n, m in sorted(manifest.metrics.items()) if n.split()[0] in SHOWN]
            figures = "<br>".join(f"{n} {m.value:.3f} ± {m.error:.3f} {m.unit}".rstrip() for n, m in told).replace(
                "|", "\\|"
            )
            about = f"{manifest.title}, {manifest.latent} latents"
            bounds = "<br>".join(_figure(manifest.metrics.get(n)) for n in ("nelbo", "iwae"))
            lines.append([f"`zoo:{name}`", about, manifest.data, f"{manifest.parameters:,}", bounds, figures])
    heads = ("name", "system", "data", "numbers learnt", "-ELBO and importance-weighted", "test figures")
    return _table(heads, lines)


SHOWN = ("coherence", "accuracy", "probe", "error")  # first words of the figures that tell models of several modalities


def _figure(metric: Metric | None) -> str:
    if metric is None:
        return MISSING
    return f"{metric.value:.2f} ± {metric.error:.2f} ({metric.estimator})"


def trivial(manifest: Manifest) -> str:
    """What a model of independent pixels reaches on the test pictures: its parameters are the training pictures'.

    Grey pictures: one Bernoulli a pixel, the mean over all binarisations. Colour: one Gaussian a value, with its own
    variance, and with one variance in all as the decoders have it.
    """
    parts = data.load(manifest.data)
    train, test = (_pictures(parts.split(name)) for name in ("train", "test"))
    if manifest.modalities[0].shape[0] == 1:
        return _scored(_bernoulli(train, test), "Bernoulli pixels")
    each = train.var(0, keepdim=True)
    found = {"Gaussian pixels": each, "one variance": each.mean()}
    return "; ".join(_scored(_gaussian(train.mean(0), variance, test), name) for name, variance in found.items())


def _pictures(part: Any) -> Tensor:
    return part.batch(torch.arange(len(part))).flatten(1).double()


def _bernoulli(train: Tensor, test: Tensor) -> Tensor:
    mean = train.mean(0).clamp(1e-4, 1 - 1e-4)
    return -(test * mean.log() + (1 - test) * (1 - mean).log()).sum(1)


def _gaussian(mean: Tensor, variance: Tensor, test: Tensor) -> Tensor:
    """Minus log density; the least standard deviation is the one that the models' Gaussians have."""
    variance = variance.clamp(min=math.exp(2 * LEAST_LOG_STD)).expand_as(test)
    return 0.5 * ((test - mean).square() / variance + variance.log() + math.log(2 * math.pi)).sum(1)


def _scored(nats: Tensor, name: str) -> str:
    return f"{float(nats.mean()):.2f} ± {float(nats.std() / math.sqrt(len(nats))):.2f} ({name})"


def crossing() -> str:
    """What the cross-modal bench promises, with what was measured."""
    cross = _read(ROOT / "packaging" / "cross.json")
    rows = [
        *_exact_rows(cross),
        *_mvae_rows(cross),
        *_zoo_rows(),
        *_label_rows(cross),
        *_fundus_rows(),
        *_peer_figures(),
        *_matrix_rows(),
    ]
    return _table(("what", "promised", "measured", "kept"), rows)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _line(what: str, bar: str, measured: str | None, kept: bool | None = None) -> list[str]:
    return [what, bar, measured or MISSING, "" if measured is None or kept is None else "yes" if kept else "**no**"]


def _exact_rows(cross: Mapping[str, Any]) -> list[list[str]]:
    found, gradient, sampling = (cross.get(name) for name in ("exactness", "gradient", "sampling"))
    rows = []
    if found:
        gap, far = found["greatest gap, nats"], found["greatest distance of the mixture's estimate, standard errors"]
        rows += [
            _line("linear-Gaussian: ELBO less log p, every subset", "at most 1e-10 nats", f"{gap:.1e}", gap < 1e-10),
            _line(
                f"stratified mixture less exact marginal, {found['cases']} cases", "4 s.e.", f"{far:.2f} s.e.", far < 4
            ),
        ]
    for name, about in (gradient or {}).items():
        far, share = about["greatest distance, standard errors"], about["variance, of that of the plain gradient"]
        promised = "copy" not in name
        words = f"{far:.2f} s.e., {share:.2f} of its variance"
        rows.append(
            _line(
                f"DReG less IWAE gradient, {name}", "4 s.e." if promised else "", words, far < 4 if promised else None
            )
        )
    if sampling:
        worse = sampling["wrong"]["image"] - sampling["right"]["image"]
        words = f"{worse:.1f} nats"
        rows.append(_line("image-only -ELBO without sub-sampling is worse by", "at least 20 nats", words, worse >= 20))
    return rows


def _mvae_rows(cross: Mapping[str, Any]) -> list[list[str]]:
    """Means and ranges over the seeds."""
    runs = cross.get("mvae", {}).get("rows", [])
    rows = []
    for weight, figure, what, bar in (
        (1, "accuracy p(y|z)", "image to label", 0.88),
        (1, "coherence joint", "joint coherence", 0.70),
        (5, "coherence digit → image", "label to image", 0.65),
    ):
        values = [run[figure] for run in runs if run["label_weight"] == weight]
        mean = sum(values) / len(values) if values else 0.0
        words = f"{mean:.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)" if values else None
        rows.append(_line(f"MVAE, lambda {weight}, 60 epochs: {what}", f"at least {bar:.2f}", words, mean >= bar))
    return rows


def _zoo_rows() -> list[list[str]]:
    rows = []
    for name, figures, what, bars in (
        (
            "mmvae-digits",
            (
                "coherence mnist → digits8",
                "coherence digits8 → mnist",
                "coherence joint",
                "probe mnist",
                "probe digits8",
            ),
            "MMVAE, 40 epochs: cross both ways / joint / probes",
            (0.90, 0.80, 0.60, 0.90, 0.90),
        ),
        ("classifier-digits", ("accuracy Bayes' rule",), "generative classifier: accuracy of Bayes' rule", (0.89,)),
    ):
        metrics = read_manifest(zoo_path(name)).metrics if name in zoo_names() else {}
        values = [metrics[f].value for f in figures] if metrics else []
        kept = all(value >= bar for value, bar in zip(values, bars, strict=False))
        words = " / ".join(f"{value:.3f}" for value in values) or None
        rows.append(_line(what, "at least " + " / ".join(f"{b:.2f}" for b in bars), words, kept))
    return rows


def _fundus_rows() -> list[list[str]]:
    if "fundus" not in zoo_names():
        return []
    metrics, best = read_manifest(zoo_path("fundus")).metrics, fundus.optimum()["age"]["value"]
    ratio = metrics["error image → age"].value / best
    ours, plain = (metrics[f"error {given} → hba1c"].value for given in ("rest", "nothing"))
    return [
        _line(
            "fundus (synthetic): age error from the image over the Bayes optimum",
            "at most 1.25",
            f"{ratio:.3f} ({best * ratio:.2f} over {best:.2f} years)",
            ratio <= 1.25,
        ),
        _line(
            "missing HbA1c from all else, against guessing", "better", f"{ours:.3f} against {plain:.3f} %", ours < plain
        ),
    ]


def _label_rows(cross: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    outliers, labels = cross.get("outliers"), cross.get("labels")
    if outliers:
        scores = outliers["auroc"]["rotated"]
        value, others = scores["log p(x)"], {k: v for k, v in scores.items() if k != "log p(x)"}
        told = ", ".join(f"{name} {other:.3f}" for name, other in others.items())
        rows.append(_line("rotated by 90 degrees: AUROC of log p(x)", "at least 0.88", f"{value:.3f}", value >= 0.88))
        plain = min(v for k, v in others.items() if k != "complexity")
        best = max(v for k, v in others.items() if k != "complexity")
        words = f"{value - plain:+.3f} over the weaker, {value - best:+.3f} over the stronger ({told})"
        rows.append(_line("the same above a classifier's softmax by", "at least 0.12", words, value - best >= 0.12))
    if labels:
        ours, theirs = (100 * labels["accuracy"][name][0] for name in ("generative", "supervised"))
        words = f"{ours - theirs:+.1f} ({ours:.1f} against {theirs:.1f} %, {labels['seeds']} seeds)"
        rows.append(_line("M2 with 100 labels above supervised, points", "at least 8", words, ours - theirs >= 8))
    return rows


def _peer_figures() -> list[list[str]]:
    peers = ROOT / "packaging" / "peers"
    lda, pgd, multi = (_read(peers / f"{name}.json") for name in ("lda_qda", "pgd_foolbox", "cross_multivae"))
    rows = []
    if lda:
        gap = max(row["greatest difference"] for row in lda["rows"])
        rows.append(
            _line("Gaussian special case less scikit-learn's LDA and QDA", "at most 1e-6", f"{gap:.0e}", gap < 1e-6)
        )
    if pgd:
        least = min(row["ratio to foolbox"]["same"] for row in pgd["summary"])
        rows.append(_line("loss under PGD, of foolbox's", "at least 0.99", f"{least:.3f} at least", least >= 0.99))
    if multi:
        rows += _multivae_rows(multi)
    return rows


def _multivae_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Same weights, same numbers; then trained side by side, means over the seeds."""
    same = found["same numbers"]
    product = max(row["log variance, relative"] for row in same["product"])
    means = max(row["mean"] for row in same["product"])
    bound = max(value for name, value in same["mvae"].items() if name.startswith("bound"))
    plain = [row for row in same["mmvae"] if not row["its floor of the prior's scales"]]
    weights, slope = (max(row[k] for row in plain) for k in ("log w", "gradient, relative to its greatest"))
    rows = [
        _line(
            "shared weights: product less multivae's, log variance / mean, float32",
            "at most 1e-6",
            f"{product:.0e} / {means:.0e}",
            max(product, means) < 1e-6,
        ),
        _line("shared weights: ELBO of every subset, relative", "at most 1e-4", f"{bound:.0e}", bound < 1e-4),
        _line(
            "shared weights: MMVAE's log weights / gradient",
            "at most 1e-4",
            f"{weights:.0e} / {slope:.0e}",
            weights < 1e-4,
        ),
    ]
    for system, about in found["summary"].items():
        seeds = len(about["seeds"])
        names = [name for name, each in about.items() if isinstance(each, dict) and "difference" in each]
        words = "; ".join(
            f"{name} {about[name]['ours']:.3f} against {about[name]['theirs']:.3f}"
            if abs(about[name]["ours"]) < 2
            else f"{name} {about[name]['ours']:.1f} against {about[name]['theirs']:.1f}"
            for name in names
        )
        reached = all(about[name]["reached"] for name in names)
        rows.append(_line(f"{system} trained beside multivae's, {seeds} seeds", "not below", words, reached))
        time = about["processor seconds an epoch"]["ours / theirs"]
        rows.append(
            _line(f"{system}: processor time an epoch, of multivae's", "at most 0.8", f"{time:.2f}", time <= 0.8)
        )
    return rows


def _matrix_rows() -> list[list[str]]:
    found = _read(BENCH).get("measurements", [])
    measured = {each["bench"]: each["figures"] for each in found}
    names = tuple(f"{hand} to matrix p95, {state}" for state in ("idle", "training") for hand in ("slider", "brush"))
    row = Row(
        "slider / brush to the new matrix p95, 3 modalities, 7 rows, idle and training",
        "at most 60 ms",
        "matrix",
        names,
    )
    return [[row.what, row.bar, *_measured(row, measured)]]


def denoising() -> str:
    """The checkpoints that make data out of noise."""
    heads = ("name", "system", "data", "numbers learnt", "steps", "figures")
    rows = diffusion_rows.boxed()
    return _table(heads, rows) if rows else "No checkpoint that denoises is in the box yet."


def diffusion() -> str:
    """What diffusion promises, with what was measured."""
    return _table(("what", "promised", "measured", "kept"), [_line(*row) for row in diffusion_rows.promised()])


def commands() -> str:
    """The command line, as the program itself tells it."""
    (choices,) = (a for a in command_line()._actions if isinstance(a, argparse._SubParsersAction))
    told = {action.dest: action.help or "" for action in choices._choices_actions}
    return _table(("command", "what it does"), [[f"`dgm-studio {name}`", told[name]] for name in told])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


PARTS = {
    "commands": commands,
    "results": results,
    "zoo": zoo,
    "several": several,
    "denoising": denoising,
    "crossing": crossing,
    "diffusion": diffusion,
}


def filled(text: str) -> str:
    """README's text with every generated part as it is now."""
    for name, make in PARTS.items():
        marks = re.compile(rf"(<!-- begin {name}\b[^>]*-->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if len(marks.findall(text)) != 1:
            raise SystemExit(f"{README.name} needs one pair of marks for {name}")
        told = make()
        text = marks.sub(lambda found, told=told: f"{found[1]}{told}\n{found[2]}", text)  # type: ignore[misc]
    return text


def main() -> int:
    """Write, or check."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; status 1 when something is old")
    check = arguments.parse_args().check
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if check:
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
