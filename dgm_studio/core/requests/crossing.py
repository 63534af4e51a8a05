"""Questions to models of several modalities: what follows from which part of a datum, and how well.

Values of a modality inside a request and a Frame, by kind:

image         uint8 [H][W] (255 = ink) or [H][W][3]; inside a request also as text (`core.packed`), and -1 marks an
              erased pixel
label,        one index into `categories`; -1 is missing. In a Frame: probabilities float32 [C]
categorical
attributes    one index for each of the modality's `columns`; -1 is missing. In a Frame: a list of float32 [C_a]
real,         one number in natural units; None is missing. In a Frame: {"mean", "low", "high"} (the middle 90 %)
positive
vector        a list of numbers; None is missing
text          a string; "" is missing
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dgm_studio.core.requests.registry import request


@dataclass(frozen=True)
class Given:
    """One datum: an example of a split, with what the user has changed.

    Args:
        index: Position within the split.
        split: "train", "valid" or "test".
        values: Own values by modality, in the form above; they replace the example's.
        missing: Modalities that nobody knows.
    """

    index: int = 0
    split: str = "test"
    values: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fusing:
    """How unimodal posteriors become one.

    Args:
        rule: "poe", "moe", "mopoe", or "" for the rule the model was trained with.
        precision: Factor on the precision of an expert, by modality; 1 where it is not named. For a mixture it is the
            weight of the component, relative to the others.
        prior_expert: Whether the prior is one of the experts of a product.
    """

    rule: str = ""
    precision: dict[str, float] = field(default_factory=dict)
    prior_expert: bool = True


@request
@dataclass(frozen=True)
class DescribeCross:
    """Frame "cross": what the bench can show of a model.

    data: "modalities": names in order, "rules": {rule: "" or why it means nothing on these encoders}, "rule": the one
    it was trained with, "posterior": "gaussian" or "laplace", "judges": {modality: {"name", "accuracy", "factor"}} of
    the small classifiers that judge what is generated, "shared": the factor that all modalities have in common or "",
    "labels": [str] of the first `count` test examples, "synthetic": bool, "counts": {split: number of examples}.
    """

    model: str
    count: int = 500


@request
@dataclass(frozen=True)
class CrossDatum:
    """Everything generated from every part of a datum. Frame "matrix", once.

    data: "rows": list of tuples of names (what was given; the first of all rows is everything that is not missing),
    "columns": names of the modalities, "cells": {(row, column): list of `samples` values in Frame form}, keyed by
    "ROW/COLUMN" as text ("0/image"), "given": {name: value in Frame form, missing ones left out}, "judged": {"ROW/
    COLUMN": {"word": what the judge sees in the first sample (in its mean where there is noise), "agrees": bool or None
    when there is no truth, "right": share of the factors that are right, or None}}, "mean"
    [R, Z] and "std" [R, Z] of each row's posterior, "kl" [R] nats (by draws for a mixture), "milliseconds", "words":
    {"ROW/COLUMN": the cell's first sample in words ("7 (98 %)", "62 years"; what the judge sees in a picture, or "")}
    and "given/COLUMN" likewise.

    Args:
        model: Model key.
        given: The datum.
        rows: Subsets of modalities to condition on; () takes all 2^M - 1, up to 4 modalities, else singles, all but
            one, and all.
        samples: Values a cell. The first is generated from the posterior's mean, the others from draws.
        seed: Of the draws.
        fusing: How the experts are combined.
        noise: Whether images and numbers are drawn from p(x | z) rather than its mean.
    """

    model: str
    given: Given = field(default_factory=Given)
    rows: tuple[tuple[str, ...], ...] = ()
    samples: int = 1
    seed: int = 0
    fusing: Fusing = field(default_factory=Fusing)
    noise: bool = False


@request
@dataclass(frozen=True)
class ShowExperts:
    """Experts, prior and the joint they make, in a plane through the latent space. Frame "experts".

    data: "experts": {modality: {"mean" [2], "covariance" [2, 2], "on": bool}}, "prior": the same, "joint": a list of
    {"weight", "mean" [2], "covariance" [2, 2], "of": tuple of the modalities behind this component}, "density" float32
    [B, A] of the joint, other dimensions integrated out, "x" [A], "y" [B], "axes": two names ("z03"), "shares":
    {modality or "prior": share of the joint's precision, mean over the latent dimensions}, "kl": {modality: KL(joint
    || expert) in nats}, "points": float32 [N, 2] posterior means of the split for the ground, "rule", "why": "" or why
    the rule means nothing here.

    Args:
        model: Model key.
        given: The datum.
        on: Modalities that take part; () all that are not missing.
        fusing: How they are combined.
        axes: Two latent dimensions; (-1, -1) takes the two in which the experts differ most.
        reach: The plane shows -reach to +reach.
        centre: Middle of the plane.
    """

    model: str
    given: Given = field(default_factory=Given)
    on: tuple[str, ...] = ()
    fusing: Fusing = field(default_factory=Fusing)
    axes: tuple[int, int] = (-1, -1)
    reach: float = 4.0
    centre: tuple[float, float] = (0.0, 0.0)


@request
@dataclass(frozen=True)
class WeighConflict:
    """Two modalities that contradict each other: who wins as one expert's precision moves. Frame "conflict", growing.

    data: "modality": whose precision moves, "factors" float32 [P] of its precision (1/1000 to 1000), "pictures" (or the
    first column that a judge reads) [P, ...] what is generated, from the mean of the heaviest component, "first",
    "second": the two claims in words, that of `modality` first, "wins": float32 [P, 3] how much the judge sees of the
    first, of the second and of neither, "label": float32 [P, C] p(label | joint) or empty, "column": which is judged,
    "factor": what is contradicted.

    Args:
        model: Model key.
        given: The datum, with the contradicting values in `values`.
        modality: Whose precision moves.
        draws: Draws a point.
        seed: Of the draws.
    """

    model: str
    given: Given = field(default_factory=Given)
    modality: str = ""
    points: int = 13
    draws: int = 16
    seed: int = 0
    rule: str = ""


@request
@dataclass(frozen=True)
class WeighSamples:
    """Importance weights of one datum. Frame "weights", growing with K.

    data: "k" int [n] (1, 2, 5 ... `k`; draws in all, so a multiple of the number of components of a mixture), "bound"
    float32 [n] nats, "error" [n] standard error over repeats, "effective" [n] effective sample size, "log_weights"
    float32 [k] normalised to maximum 0 at the largest K, "strata": {modality: [..] of them} for a mixture, else empty.
    """

    model: str
    given: Given = field(default_factory=Given)
    on: tuple[str, ...] = ()
    k: int = 1000
    repeats: int = 8
    seed: int = 0


@request
@dataclass(frozen=True)
class ScoreCross:
    """The four criteria of Shi et al. (2019) and coherence and diversity a cell. Frame "criteria", growing; Progress.

    data: "coherence": {"ROW/COLUMN": share of the generated values that the judge reads as the truth}, rows named by
    modalities joined with "+"; "diversity": {the same: mean distance of two samples of a cell in the judge's features,
    over the same distance of two test examples of that class}, "criteria": a list of {"name": one of "latent
    factorisation", "joint generation", "cross generation", "synergy", "what": modality or pair, "value", "error",
    "unit", "baseline": value of the trivial baseline, "baseline name", "definition",
    "difference error": standard error of value - baseline where both come from the same examples, else NaN}, "count".
    "errors": {"ROW/COLUMN": standard error of the coherence}, "readers": {column: {"name", "accuracy"}}, "done": bool.

    Args:
        model: Model key.
        split: Part of the data.
        count: Examples, and draws of the prior.
        samples: Draws an example and row.
        seed: Of all draws.
        fusing: How the experts are combined.
        k: Draws of the bounds that show synergy.
    """

    model: str
    split: str = "test"
    count: int = 500
    samples: int = 10
    seed: int = 0
    fusing: Fusing = field(default_factory=Fusing)
    k: int = 100


@request
@dataclass(frozen=True)
class CompareNumbers:
    """Predicted numbers beside the true ones (Bland and Altman 1986). Frame "numbers", growing; Progress.

    data: "predicted", "truth" float32 [n so far] in natural units, NaN where unknown, in order of the split; "bias",
    "low", "high": mean difference and limits of agreement, "bias_error", "limit_error": their standard errors, "slope"
    of the difference over the mean, "absolute", "absolute_error": mean absolute error; "guess": the same of the
    training part's median, "optimum": of the best possible reading of the picture alone where that is known and asked,
    else NaN; "modality", "unit", "sources".

    Args:
        model: Model key.
        modality: The number.
        sources: What it is predicted from; () is everything else.
        split: Part of the data.
        count: Examples, from the first on.
        draws: Of z, for the median of the predictive distribution.
        seed: Of the draws.
    """

    model: str
    modality: str
    sources: tuple[str, ...] = ()
    split: str = "test"
    count: int = 300
    draws: int = 20
    seed: int = 0


@request
@dataclass(frozen=True)
class ChangeRecord:
    """One invented eye as it would look were its patient otherwise. Frame "otherwise".

    data: "rows": {"renderer", "eye and record", "record alone": {"before", "after": uint8 [H, W, 3], "change": float32
    [H, W] after less before, mean of the colours in [-1, 1], "cosine" with the renderer's change, "share": its length
    over that of the renderer's}}, "modality", "value", "was": the value before. The renderer shows the direct effect
    with all else held; a model was never told what causes what, and is shown beside it.

    Args:
        model: A model of the synthetic fundus data.
        given: The datum.
        modality: What changes.
        value: To what, in natural units, or an index.
    """

    model: str
    given: Given = field(default_factory=Given)
    modality: str = "age"
    value: float = 70.0


@request
@dataclass(frozen=True)
class ProveExactness:
    """Linear-Gaussian weights, where all is known. Frame "exactness".

    data: "rows": [{"given": (names), "elbo", "exact": log p of the subset, nats, "gap", "gap without the prior expert",
    "elbo without the prior expert"}], "mixture": {"estimate", "exact", "error": standard error} of the stratified
    estimator, "modalities", "seed". Needs no model.
    """

    seed: int = 0
    modalities: int = 2
    latent: int = 2


@request
@dataclass(frozen=True)
class ShowWrong:
    """A known mistake and its symptom. Frame "wrong", growing.

    data: "name", "sentence": what is wrong, "symptom": what shows it, "right": {"name": value}, "wrong": {the same
    names: value}, "unit", "errors": {name: standard error} (may be empty), "more": details for a plot, "done": bool.

    Args:
        model: Model key; where a second model is needed it is taken from the box and named in the Frame.
        kind: "no prior expert", "no sub-sampling", "hook on a copy" or "label drowned".
    """

    model: str
    kind: str = "no prior expert"
    seed: int = 0
