"""Commands about figures: eval, export-metrics."""

from __future__ import annotations

import argparse
from typing import Any

from dgm_studio.cli.talk import MODEL_HELP, Commands, add_command, figure, print_json, print_table


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    evaluating = add_command(commands, "eval", evaluate)
    evaluating.add_argument("model", metavar="FILE", help=MODEL_HELP)
    evaluating.add_argument("--split", help="train, valid or test")
    evaluating.add_argument("--samples", type=int, help="draws of the importance-weighted bound")
    evaluating.add_argument("--count", type=int, help="examples, 0 for all")
    evaluating.add_argument("--seed", type=int, help="of the estimators")
    evaluating.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    exporting = add_command(commands, "export-metrics", export_metrics)
    exporting.add_argument("run", metavar="RUN", help="a run folder, or the bare name of one of your runs")
    exporting.add_argument("--out", required=True, help="a .csv file, or a folder for TensorBoard event files")


def evaluate(arguments: argparse.Namespace) -> int:
    """Compute a model's figures on held-out data, beside those that are stored in it.

    What is not said is as it was for the stored figures: a checkpoint in the box is evaluated as it was published.
    """
    from dgm_studio.cli.desk import Desk
    from dgm_studio.core.cards import as_json
    from dgm_studio.core.manifest import locate, read_manifest
    from dgm_studio.core.requests import Evaluate

    manifest = read_manifest(locate(arguments.model))
    asked: dict[str, Any] = dict(manifest.extra.get("evaluate", {}))
    said = {name: getattr(arguments, name) for name in ("split", "samples", "count", "seed")}
    asked |= {name: value for name, value in said.items() if value is not None}
    request = Evaluate(**{**asked, "model": arguments.model})
    found = Desk(arguments.device).result(request)
    stored = {name: metric for name, metric in manifest.metrics.items() if name in found}
    if arguments.json:
        return print_json({"request": as_json(request), "metrics": as_json(found), "stored": as_json(stored)})
    rows = ((name, figure(metric), figure(stored[name]) if name in stored else "") for name, metric in found.items())
    return print_table(("figure", "computed", "stored"), rows)


def export_metrics(arguments: argparse.Namespace) -> int:
    """Write a run's curves as CSV or for TensorBoard."""
    from dgm_studio.cli.desk import Desk
    from dgm_studio.core.requests import ExportMetrics

    kind = "csv" if arguments.out.lower().endswith(".csv") else "events"
    path = Desk("cpu").result(ExportMetrics(arguments.run.removeprefix("run:"), arguments.out, kind))
    if arguments.json:
        return print_json({"path": path})
    print(path)
    return 0
