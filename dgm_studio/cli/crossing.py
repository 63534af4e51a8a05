"""Commands for models of several modalities: what follows from which part of a datum, which class it is, attacks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgm_studio.cli.pictures import OUT_HELP
from dgm_studio.cli.talk import (
    MODEL_HELP,
    Command,
    Commands,
    add_command,
    figure,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    from dgm_studio.cli.desk import Desk
    from dgm_studio.core.cards import Modality, ModelCard
    from dgm_studio.core.requests import Given


def add(commands: Commands) -> None:
    """Add this file's commands to the parser."""
    crossing = _datum_command(commands, cross)
    crossing.add_argument("--missing", default="", metavar="NAMES", help="modalities that nobody knows, with commas")
    crossing.add_argument("--given", action="append", default=[], metavar="NAMES", help="a row: what it is given; all")
    crossing.add_argument("--samples", type=int, default=1, help="values a cell: the mean's, then draws (1)")
    crossing.add_argument("--rule", default="", choices=("", "poe", "moe", "mopoe"), help="how experts are combined")
    crossing.add_argument("--precision", action="append", default=[], metavar="NAME=F", help="factor on one expert's")
    crossing.add_argument("--noise", action="store_true", help="draw from p(x | z) rather than show its mean")
    crossing.add_argument("--score", action="store_true", help="the four criteria and coherence over the test part")
    crossing.add_argument("--count", type=int, default=500, help="examples of --score (500)")
    _writing(crossing)
    classifying = _datum_command(commands, classify)
    classifying.add_argument("--samples", type=int, default=10, help="K of the bound behind Bayes' rule (10)")
    classifying.add_argument("--evaluate", action="store_true", help="accuracy over --split instead of one picture")
    classifying.add_argument("--count", type=int, default=0, help="examples of --evaluate (all)")
    attacking = _datum_command(commands, attack)
    attacking.add_argument("--epsilon", type=float, default=0.1, help="greatest change of a pixel (0.1)")
    attacking.add_argument("--method", default="pgd", choices=("fgsm", "pgd"))
    attacking.add_argument("--steps", type=int, default=10, help="of PGD (10)")
    attacking.add_argument("--restarts", type=int, default=2, help="random starts of PGD (2)")
    attacking.add_argument("--draws", type=int, default=4, help="draws of z a gradient is averaged over (4)")
    attacking.add_argument("--score", action="store_true", help="accuracy against epsilon over test pictures")
    attacking.add_argument("--count", type=int, default=100, help="pictures of --score (100)")
    _writing(attacking)


def _datum_command(commands: Commands, function: Command) -> argparse.ArgumentParser:
    command = add_command(commands, function.__name__, function)
    command.add_argument("model", metavar="FILE", help=MODEL_HELP)
    command.add_argument("--index", type=int, default=0, help="which example (0)")
    command.add_argument("--split", default="test", help="train, valid or test")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an own value; a file for an image"
    )
    command.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return command


def _writing(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", default="", help=OUT_HELP)
    command.add_argument("--scale", type=int, default=2, help="enlargement of each picture (2)")
    command.add_argument("--theme", default="light", choices=("light", "dark"), help="paper of grey pictures")


def cross(arguments: argparse.Namespace) -> int:
    """Generate every modality from every part of a datum; or score a model over many."""
    from dgm_studio.core.requests import CrossDatum, Fusing, ScoreCross

    desk = _desk(arguments)
    precision = {name: float(value) for name, value in pairs_in(arguments.precision, "--precision")}
    fusing = Fusing(arguments.rule, precision)
    if arguments.score:
        return _scores(
            desk, ScoreCross(arguments.model, arguments.split, arguments.count, 10, arguments.seed, fusing), arguments
        )
    rows = tuple(tuple(names_in(row)) for row in arguments.given)
    asked = CrossDatum(
        arguments.model, _given(desk, arguments), rows, arguments.samples, arguments.seed, fusing, arguments.noise
    )
    if arguments.out:
        return _export(desk, asked, arguments)
    data = desk.frame(asked)
    if arguments.json:
        return print_json(
            {"rows": data["rows"], "columns": data["columns"], "words": data["words"], "kl": data["kl"].tolist()}
        )
    heads = ("given", *data["columns"])
    table = [
        ("+".join(row), *(data["words"].get(f"{number}/{column}", "") for column in data["columns"]))
        for number, row in enumerate(data["rows"])
    ]
    return print_table(heads, table)


def _scores(desk: Desk, asked: Any, arguments: argparse.Namespace) -> int:
    data = desk.frame(asked)
    if arguments.json:
        return print_json({name: data[name] for name in ("coherence", "diversity", "criteria", "count")})
    rows = [
        (
            c["name"],
            c["what"],
            f"{c['value']:.3f} ± {c['error']:.3f} {c['unit']}".rstrip(),
            f"{c['baseline']:.3f}",
            c["baseline name"],
        )
        for c in data["criteria"]
    ]
    print_table(("criterion", "of", "value", "baseline", "which is"), rows)
    print()
    return print_table(("cell", "coherence"), [(cell, f"{value:.3f}") for cell, value in data["coherence"].items()])


def classify(arguments: argparse.Namespace) -> int:
    """Say which class a picture belongs to by every classifier of a model; or how often each is right."""
    from dgm_studio.core.requests import ClassifyDatum, EvaluateClassifier

    desk = _desk(arguments)
    if arguments.evaluate:
        asked = EvaluateClassifier(arguments.model, arguments.split, arguments.count, arguments.samples, arguments.seed)
        metrics = desk.result(asked)
        if arguments.json:
            from dgm_studio.core.cards import as_json

            return print_json({name: as_json(metric) for name, metric in metrics.items()})
        return print_pairs([(name, figure(metric)) for name, metric in metrics.items()])
    data = desk.frame(ClassifyDatum(arguments.model, _given(desk, arguments), arguments.samples, arguments.seed))
    document = {
        "probabilities": {
            name: dict(zip(data["categories"], map(float, values), strict=True))
            for name, values in data["probabilities"].items()
        },
        **{name: float(data[name]) for name in ("log_prob", "percentile", "threshold")},
        "truth": int(data["truth"]),
    }
    if arguments.json:
        return print_json(document)
    found = []
    for name, values in data["probabilities"].items():
        best = sorted(range(len(values)), key=lambda c: -values[c])[:3]
        found.append((name, ", ".join(f"{data['categories'][c]} {values[c]:.1%}" for c in best)))
    truth = data["categories"][data["truth"]] if data["truth"] >= 0 else "unknown"
    unusual = " (unusual: rejected)" if data["log_prob"] < data["threshold"] else ""
    return print_pairs([*found, ("truth", truth), ("log p(x)", f"{data['log_prob']:.1f} nats{unusual}")])


def attack(arguments: argparse.Namespace) -> int:
    """Change a picture as little as fools the classifier; or score a model under such attacks."""
    from dgm_studio.core.requests import AttackPicture, ScoreAttacks

    desk = _desk(arguments)
    if arguments.score:
        scoring = ScoreAttacks(
            arguments.model,
            count=arguments.count,
            steps=arguments.steps,
            restarts=arguments.restarts,
            draws=arguments.draws,
            seed=arguments.seed,
        )
        data = desk.frame(scoring)
        if arguments.json:
            return print_json(
                {k: {n: v.tolist() for n, v in data[k].items()} for k in ("accuracy", "detected")}
                | {"epsilon": list(map(float, data["epsilon"]))}
            )
        names = list(data["accuracy"])
        rows = [(f"{e:g}", *(f"{data['accuracy'][n][i]:.1%}" for n in names)) for i, e in enumerate(data["epsilon"])]
        return print_table(("epsilon", *names), rows)
    asked = AttackPicture(
        arguments.model,
        _given(desk, arguments),
        arguments.epsilon,
        arguments.method,
        arguments.steps,
        arguments.restarts,
        arguments.draws,
        seed=arguments.seed,
    )
    if arguments.out:
        return _export(desk, asked, arguments)
    data = desk.frame(asked)
    if arguments.json:
        plain = {k: {n: v.tolist() for n, v in data[k].items()} for k in ("before", "after")}
        return print_json({**plain, "norm": data["norm"], "log_prob": data["log_prob"], "threshold": data["threshold"]})
    rows = [
        (n, str(int(data["before"][n].argmax())), str(int(data["after"][n].argmax())), f"{data['norm'][n]:.4f}")
        for n in data["after"]
    ]
    return print_table(("classifier", "before", "after", "greatest change"), rows)


# -- one datum ---------------------------------------------------------------------------------------------------------


def _given(desk: Desk, arguments: argparse.Namespace) -> Given:
    from dgm_studio.core.requests import Given

    card = desk.card(arguments.model)
    values = {name: value_of(card, name, value) for name, value in pairs_in(arguments.set, "--set")}
    return Given(arguments.index, arguments.split, values, tuple(names_in(getattr(arguments, "missing", ""))))


def value_of(card: ModelCard, name: str, value: str) -> Any:
    """A value as `core.requests.crossing` wants it.

    Raises:
        Problem: No such modality, or not a value of its kind.
    """
    from dgm_studio.core.updates import Problem

    modality = next((m for m in card.modalities if m.name == name), None)
    if modality is None:
        raise Problem(f"{card.title} has no modality {name}.", f"It has {', '.join(m.name for m in card.modalities)}.")
    if modality.kind == "image":
        return _picture(Path(value).expanduser(), modality)
    if modality.kind in ("label", "categorical"):
        return _place(value, modality.categories, name)
    if modality.kind == "attributes":
        said = dict(pairs_in(value.split(","), f"--set {name}"))
        columns = [c.name for c in modality.columns]
        wrong = next((n for n in said if n not in columns), None)
        if wrong is not None:
            raise Problem(f"{name} has no {wrong}.", f"It has {', '.join(columns)}.")
        return [_place(said[c.name], c.categories, c.name) if c.name in said else -1 for c in modality.columns]
    if modality.kind == "text":
        return value
    try:
        numbers = [float(word) for word in value.split(",")]
    except ValueError:
        raise Problem(f"{value} is no number for {name}.", f"Write for example --set {name}=1.5.") from None
    return numbers if modality.kind == "vector" else numbers[0]


def _place(word: str, categories: tuple[str, ...], name: str) -> int:
    from dgm_studio.core.updates import Problem

    if word in categories:
        return categories.index(word)
    raise Problem(f"{name} cannot be {word}.", f"Choose {', '.join(categories)}.")


def _picture(path: Path, modality: Modality) -> list[Any]:
    from dgm_studio.explore.loaded import as_bytes
    from dgm_studio.explore.samples import picture_from_file

    rows: list[Any] = as_bytes(picture_from_file(path, modality.shape))[0].tolist()
    return rows


def names_in(words: str) -> list[str]:
    """Names with commas between them."""
    return [word.strip() for word in words.split(",") if word.strip()]


def pairs_in(words: list[str], option: str) -> list[tuple[str, str]]:
    """Names and values of NAME=VALUE.

    Raises:
        Problem: A word has no value.
    """
    from dgm_studio.core.updates import Problem

    found = []
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise Problem(f"{option} {word} names no value.", f"Write {option} NAME=VALUE.")
        found.append((name.strip(), value.strip()))
    return found


def _desk(arguments: argparse.Namespace) -> Desk:
    from dgm_studio.cli.desk import Desk

    return Desk(arguments.device)


def _export(desk: Desk, asked: Any, arguments: argparse.Namespace) -> int:
    from dgm_studio.core.requests import Export, to_json

    path = desk.result(Export(to_json(asked), arguments.out, arguments.scale, arguments.theme))
    if arguments.json:
        return print_json({"path": path, "request": to_json(asked)})
    print(path)
    return 0
