"""Questions to models that classify by generating. Values are written as in `crossing`."""

from __future__ import annotations

from dataclasses import dataclass, field

from dgm_studio.core.requests.crossing import Given
from dgm_studio.core.requests.registry import request


@request
@dataclass(frozen=True)
class ClassifyDatum:
    """Frame "classes"; twice where the validation pictures were not scored before.

    Percentile and threshold are NaN in the first then. Erased pixels are integrated out by the model, and paper to the
    judge; log p(x) is then that of the pixels that are left, and the percentile NaN.

    data: "categories": [str], "probabilities": {name of the classifier: float32 [C]} (those of the model, and "judge":
    the small supervised network of the data set), "log_prob": log p(x) bound in nats, "percentile": share of the
    validation pictures with a lower bound, "threshold": bound below which 5 % of the validation pictures lie,
    "picture", "truth": index or -1.

    Args:
        model: Model key.
        given: The datum.
        samples: K of the bound behind Bayes' rule.
        seed: Of its draws.
    """

    model: str
    given: Given = field(default_factory=Given)
    samples: int = 10
    seed: int = 0


@request
@dataclass(frozen=True)
class DrawClassGrid:
    """Styles by classes. Frame "class grid": {"pictures" [rows, C, H, W(, 3)], "z" [rows, Z], "categories", "how"}.

    "how" is "", or a sentence that says what a style is in a model that does not tell it from the class. The first row
    has the style of the given datum when `own` is set.
    """

    model: str
    rows: int = 6
    seed: int = 0
    given: Given = field(default_factory=Given)
    own: bool = False


@request
@dataclass(frozen=True)
class AttackPicture:
    """A white-box attack on the generative classifier and on the judge. Frame "attack", growing with the steps.

    data: "original", "adversarial": {classifier: picture}, "difference": {classifier: float32 [H, W(, C)] in [-1, 1]},
    "before" and "after": {classifier: float32 [C]} (all classifiers on their own adversarial picture), "crossed":
    {classifier that was attacked: float32 [C] of another one on its adversarial picture: the judge, and for the judge's
    the model's first}, "log_prob": {"original": nats, classifier: nats}, "threshold" nats (NaN until the validation
    pictures are scored, after the last step), "loss": {classifier: float32 [steps so far] cross-entropy of the best
    restart, nats}, "norm": {classifier: greatest change}, "step", "steps". Classifiers are those of the model by name,
    and "judge". Predictions and log p(x) have K = 10.

    Args:
        model: Model key.
        given: The datum.
        epsilon: Greatest change of a pixel, 0 to 1.
        method: "fgsm" (Goodfellow et al. 2015) or "pgd" (Madry et al. 2018).
        steps: Of PGD.
        restarts: Random starts of PGD; the worst for the model counts.
        draws: Draws of z that every gradient is averaged over (expectation over transformation, Athalye et al. 2018).
        samples: K of the bound behind Bayes' rule.
        seed: Of starts and draws.
    """

    model: str
    given: Given = field(default_factory=Given)
    epsilon: float = 0.1
    method: str = "pgd"
    steps: int = 10
    restarts: int = 2
    draws: int = 4
    samples: int = 1
    seed: int = 0


@request
@dataclass(frozen=True)
class AttributeClass:
    """Which pixels speak for a class (Sundararajan, Taly and Yan 2017). Frame "attribution", growing; Progress.

    data: "picture", "truth": index or -1, "steps", "classifiers": {name (those of the model, and "judge"):
    {"attribution": float32 [H, W] in nats of log-odds, colours added up, "class": whose log-odds, "decided": the class
    that this classifier takes, "odds": of the picture and "baseline odds": of the baseline, nats, "gap": the sum of the
    attributions less the difference of the two}}.

    Args:
        model: Model key.
        given: The datum.
        target: The class that is asked about; -1 takes what each classifier decides.
        steps: Points on the line from the baseline to the picture.
        baseline: Brightness of the picture that says nothing: 0 is paper.
        samples: K of the bound behind Bayes' rule.
        seed: Of its draws, the same at every point.
    """

    model: str
    given: Given = field(default_factory=Given)
    target: int = -1
    steps: int = 32
    baseline: float = 0.0
    samples: int = 10
    seed: int = 0


@request
@dataclass(frozen=True)
class ScoreAttacks:
    """Accuracy under attack against epsilon. Frame "robustness", growing; Progress.

    data: "epsilon" [E], "accuracy": {classifier: float32 [E] share that is read right before and after the attack},
    "detected": {classifier: share of successful attacks with log p(x) below the threshold [E], NaN where none is},
    "count": pictures so far.
    """

    model: str
    epsilons: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    count: int = 100
    steps: int = 10
    restarts: int = 2
    draws: int = 4
    seed: int = 0


@request
@dataclass(frozen=True)
class ScoreOutliers:
    """log p(x) of pictures that do not belong here. Frame "outliers", growing; Progress.

    data: "scores": {"test" and each kind ("rotated", "inverted", "shuffled", other data's name): float32 [n] bound in
    nats}, "softmax": {the same: float32 [n] greatest probability of the judge; empty without one}, "plain": {the same:
    of a perceptron trained on the labels alone, the pictures as they are: the judge saw them turned and moved, and is
    the better for it}, "auroc": {kind: {"log p(x)": v, "softmax": v where there is a judge, "plain softmax": v,
    "complexity": v of the compressed size alone, what is larger taken for strange}}, "pictures": {kind: one example},
    "threshold" nats.
    """

    model: str
    count: int = 200
    samples: int = 10
    seed: int = 0


@request
@dataclass(frozen=True)
class EvaluateClassifier:
    """Accuracy of every classifier the model has. Result: {name: Metric}; Progress on the way."""

    model: str
    split: str = "test"
    count: int = 0
    samples: int = 10
    seed: int = 0


@request
@dataclass(frozen=True)
class TraceLabels:
    """Accuracy against the number of labels, trained while one looks. Frame "labels", growing; Progress.

    data: "labels" int [n] a class (0 = all), "accuracy": {"generative", "supervised": float32 [n], NaN while not
    known}, "error": {the same: standard error over seeds}, "system", "steps", "seeds".

    Args:
        data: Data with a label.
        labels: Labels a class; 0 takes all.
        steps: Optimiser steps of each model.
        seeds: Repeats with other labels.
    """

    data: str = "mnist5k"
    labels: tuple[int, ...] = (1, 5, 10, 50, 0)
    steps: int = 1500
    seeds: int = 1
    seed: int = 0
