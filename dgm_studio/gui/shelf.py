"""Where the window's lists come from: models in the box, runs, data, systems. Filled by `app`, faked by tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dgm_studio.core.cards import DataCard, Metric, ModelCard, SystemCard
from dgm_studio.core.forms import Field


def _no_models() -> Sequence[ModelCard]:
    return ()


def _no_data() -> Mapping[str, DataCard]:
    return {}


@dataclass
class Shelf:
    """What there is to look at.

    Args:
        read: The card of a key or path, from its manifest, without torch. Raises `Problem`.
        box: Trained models that ship with the program.
        runs: The user's runs, newest first.
        data: Data sets by name.
        systems: Systems by name; empty until the worker is warm.
        training: Settings of the training loop; empty until the worker is warm.
        device: What the worker computes on, in words; "" until it is warm.
    """

    read: Callable[[str], ModelCard]
    box: Callable[[], Sequence[ModelCard]] = _no_models
    runs: Callable[[], Sequence[ModelCard]] = _no_models
    data: Callable[[], Mapping[str, DataCard]] = _no_data
    systems: dict[str, SystemCard] = field(default_factory=dict)
    training: tuple[Field, ...] = ()
    device: str = ""


def figure(metric: Metric) -> str:
    """A metric as people write it: four significant figures, its error with two.

    >>> figure(Metric(-102.437, "nats", error=0.312))
    '−102.4 ± 0.31'
    """
    text = digits(metric.value)
    return f"{text} ± {metric.error:.2g}" if metric.error else text


def digits(value: float) -> str:
    """A number with about four significant figures, a real minus and thousands apart.

    >>> digits(20000.0), digits(-0.5), digits(2.3149)
    ('20,000', '−0.5', '2.315')
    """
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1000 else f"{size:.4g}"
    return f"−{text}" if value < 0 else text


def headline(card: ModelCard) -> tuple[str, Metric] | None:
    """The metric a model is known by, and its name."""
    metric = card.metrics.get(card.headline)
    return None if metric is None else (card.headline, metric)


_NAMES = {"elbo": "ELBO", "nelbo": "−ELBO", "-elbo": "−ELBO", "kl": "KL", "iwae": "IWAE", "mse": "MSE", "fid": "FID"}


def metric_name(name: str) -> str:
    """The name of a metric in words.

    >>> metric_name("test/nelbo")
    'test −ELBO'
    """
    return " ".join(_NAMES.get(part, part) for part in name.replace("/", " ").replace("_", " ").split())


def short_title(card: ModelCard) -> str:
    """The system in a word or two: its abbreviation where it has one."""
    return card.system.upper() if 0 < len(card.system) <= 6 else card.title or card.system


def data_words(name: str) -> str:
    """Data by the name that people know: of the user's own, the file's or the folder's.

    >>> data_words("mnist5k"), data_words("file:/home/me/cats.npz@32"), data_words("folder:/home/me/cats/")
    ('mnist5k', 'cats.npz@32', 'cats')
    """
    kind, colon, path = name.partition(":")
    own = bool(colon) and kind in ("file", "folder", "table")
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2] if own else name


def metric_words(name: str, metric: Metric) -> str:
    """A metric in full, for tooltips: name, figure, unit, split, estimator."""
    how = f", {metric.estimator}" if metric.estimator else ""
    where = f" on {metric.split}" if metric.split and metric.split not in name else ""
    good = "lower is better" if metric.lower_is_better else "higher is better"
    return f"{metric_name(name)} {figure(metric)} {metric.unit}{where}{how} ({good})".replace("  ", " ")


def identity(card: ModelCard) -> str:
    """A model in one line: system, size, step, headline metric with its uncertainty."""
    parts = [short_title(card)]
    if card.latent:
        parts.append(f"{card.latent} latents" if card.latent > 1 else "1 latent")
    if card.step:
        parts.append(f"step {card.step:,}")
    known = headline(card)
    if known is not None:
        name, metric = known
        parts.append(f"{metric_name(name)} {figure(metric)} {metric.unit}".strip())
    return " · ".join(parts)
