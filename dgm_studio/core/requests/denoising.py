"""Questions to models that denoise: films, branches, races of samplers, schedules, particles in the plane.

Noise levels: x_t = alpha(t) x_0 + sigma(t) eps. Wherever a Frame names a level it gives "time" (the model's own: an
index 0 ... T - 1 of a discrete model, sigma of EDM, t in [0, 1] of a flow; the data lie at `Noising.clean`) and
"log_snr", half the logarithm of the signal-to-noise ratio, lambda = log(alpha / sigma), which means the same for all.

Pictures are uint8 [H, W] or [H, W, 3]; of planar data there are points float32 [2], in the coordinates models see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dgm_studio.core.requests.registry import request

SAMPLERS = {
    "ddpm": "DDPM ancestral",
    "ddim": "DDIM",
    "dpmpp-2m": "DPM-Solver++ 2M",
    "heun": "Heun (EDM)",
    "euler": "Euler (EDM)",
    "euler-flow": "Euler (flow)",
    "heun-flow": "Heun (flow)",
}
SPACINGS = {"time": "Uniform in time", "log-snr": "Uniform in log-SNR", "karras": "Karras", "own": "Own levels"}
CLIPS = {"model": "As the model", "none": "None", "static": "To the data's range", "dynamic": "Dynamic"}


@dataclass(frozen=True)
class Sampling:
    """How a trajectory is made; the same for every model that denoises.

    Args:
        sampler: One of `SAMPLERS`.
        steps: Steps from the noisiest level to the data.
        spacing: One of `SPACINGS`; "" takes what suits the sampler and the model.
        eta: Noise of DDIM, 0 to 1 (Song et al. 2021, equation 16).
        churn: S_churn of Heun (Karras et al. 2022, algorithm 2).
        variance: Of DDPM: "model", "small", "large" or "learnt".
        guidance: Weight w of eps_free + w (eps_given - eps_free): 0 is free, 1 is given (Ho and Salimans 2022 call
            w - 1 the guidance strength).
        clip: One of `CLIPS`; what is done to every clean estimate before the noise estimate is made anew from it.
        percentile: Of dynamic thresholding (Saharia et al. 2022).
        levels: For spacing "own": half-log-SNR of every level, rising, without the data.
    """

    sampler: str = "ddim"
    steps: int = 50
    spacing: str = ""
    eta: float = 0.0
    churn: float = 0.0
    variance: str = "model"
    guidance: float = 1.0
    clip: str = "model"
    percentile: float = 0.995
    levels: tuple[float, ...] = ()


@dataclass(frozen=True)
class Source:
    """A picture (or point) to start from: an example of a split, or the user's own.

    Args:
        index: Position within the split.
        split: "train", "valid" or "test".
        picture: Own rows of bytes, as `EncodePicture.picture`; () takes the example.
    """

    index: int = 0
    split: str = "test"
    picture: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Beginning:
    """Where a trajectory begins.

    Args:
        kind: "noise"; "picture": `source` noised to `depth` (Meng et al. 2022, SDEdit); "inverted": the noise that DDIM
            leads from `source` to, found backwards (Song et al. 2021, section 4.3) down to `depth`; "between": noise
            on the arc from `seed` to `other` at `weight` (Song et al. 2021, section 5.3).
        source: For "picture", "inverted" and inpainting.
        depth: Share of the steps that are made, in (0, 1].
        other: Seed of the other end.
        weight: 0 to 1.
        mask: Rows of 0 and 1: 1 is kept from `source`, noised anew at every level (Lugmayr et al. 2022); () keeps
            nothing.
        resample: Times that every step is repeated with the kept part (RePaint's U); 1 never repeats.
    """

    kind: str = "noise"
    source: Source = field(default_factory=Source)
    depth: float = 1.0
    other: int = 1
    weight: float = 0.5
    mask: tuple[tuple[int, ...], ...] = ()
    resample: int = 1


@request
@dataclass(frozen=True)
class DescribeDenoiser:
    """Frame "denoiser", once: what can be played.

    data: "kind" ("discrete", "variance-exploding" or "flow"), "last" (T of a discrete model, else 0), "times" float32
    [L], "log_snr" [L], "alpha" [L], "sigma" [L] over 200 levels from the noisiest to the cleanest, "beta" [T] or empty,
    "conditions": list of {"name", "kind", "categories", "columns": [{"name", "categories"}]} that it can be given,
    "samplers": {name: "" or why it cannot be used}, "sampling": the defaults as JSON of `Sampling`, "variances": those
    of DDPM it knows, "exact": whether the exact denoiser of its data is known, "truth": name of the toy or "",
    "terminal": {"alpha", "log_snr", "bad": bool}, "warnings": [sentences], "prediction", "pictures": bool, "shape",
    "labels": [str] of the first `count` test examples, "judge": {"name", "accuracy"} or None.
    """

    model: str
    count: int = 500


@request
@dataclass(frozen=True)
class PlayDenoising:
    """A film of `count` trajectories. Frames "film" (first, and again at the end), then "step/0" ... "step/S".

    "film" data: "times" float64 [S + 1] from the noisiest to the data, "log_snr" [S + 1], "count", "bytes": what the
    whole film takes in memory, "evaluations" so far (network evaluations of one sample), "seconds" of computing,
    "done": bool, "from": step of the parent at which it branches, 0 for a film of its own, "warnings": [sentences]
    (NaN, all black, too few steps, a terminal SNR that is not zero), "judged": [str] what the judge sees in each
    result, at the end ([] without a judge); "names": of the conditions in words, one text. It comes again when there
    is a new warning.
    "step/K" data: "index" K (counted along the whole trajectory, the parent's steps included), "time", "log_snr", "x",
    "clean", "noise", "difference" (uint8 [N, H, W(, 3)] each: x_t, estimate of x_0, of eps, and |given - free|, scaled
    by its own maximum; float32 [N, 2] each for points; "difference" is empty without guidance; the last step has the
    result as "x" and as "clean"), "norms": {"x", "clean", "noise", "difference", "change"} float32 [N] root mean
    squares; "change" is that of the clean estimate since the step before (NaN in a branch's first step).
    "x" is shown divided by sqrt(alpha^2 + sigma^2), or nothing would show where the variance explodes; grey in "noise"
    is 0, black and white are 3 standard deviations. The first "step/K" comes before the model was asked, marked
    "partial": its estimates are blank; the same topic follows whole. A branch sends its own steps, from `at` on. A
    beginning with `depth` has steps 0 to about depth S, those that are made.

    The noise of step K depends on the seed and K alone, so a branch with unchanged settings repeats its parent bit for
    bit. Films are kept by the worker within 256 MB: one that is asked for again is sent at once, and goes on where it
    was stopped. A branch takes those levels of its own `sampling` that are cleaner than where it starts; with the
    parent's spacing and steps these are the parent's own.

    Args:
        model: Model key.
        sampling: How.
        count: Samples at once; a branch of more samples than its parent repeats the parent's.
        seed: Of the first noise and of every step's.
        condition: {modality: value as in `requests.crossing`}; {} is free. One for all samples.
        beginning: Where it starts; only its mask counts for a branch.
        parent: The film it branches from, or None.
        at: Step of the parent whose x_t it starts from.
        half: Also record at half the pace: only every `half`-th step is sent (1 sends all). The first and the last are
            always sent.
    """

    model: str
    sampling: Sampling = field(default_factory=Sampling)
    count: int = 16
    seed: int = 0
    condition: dict[str, Any] = field(default_factory=dict)
    beginning: Beginning = field(default_factory=Beginning)
    parent: PlayDenoising | None = None
    at: int = 0
    half: int = 1


@request
@dataclass(frozen=True)
class FindNearest:
    """The training examples nearest to one result of a film. Frame "nearest".

    data: "pictures" [k, ...], "distances" [k] root mean square of the pixels, "indices" [k], "labels" [str], "typical":
    {"middle", "low"}: median and 5 % quantile of the distance of held-out examples to their nearest training example
    (NaN in a first Frame while they are measured), "picture": the result itself.
    """

    film: PlayDenoising
    index: int = 0
    k: int = 5

    @property
    def model(self) -> str:
        """Key of the model whose film it is."""
        return self.film.model


@request
@dataclass(frozen=True)
class RaceSamplers:
    """Several samplers from the same noise. Frame "race", growing; Progress.

    data: "lanes": list of {"sampling": JSON, "name", "evaluations", "seconds", "pictures" [N, ...] or "points" [N, 2],
    "difference" uint8 [N, H, W]: distance from the reference (for points: float32 [N]), "error": root mean square
    distance from the reference, mean over samples (NaN for a sampler that draws noise on its way), "judged": [str],
    "done": bool}, "reference": {"name", "pictures" or "points"} (the model's own ODE followed very finely), "equal".

    Args:
        samplings: The lanes; `steps` is set by `evaluations` where that is not 0.
        evaluations: Network evaluations each sampler may make; 0 keeps each one's own steps.
        seconds: Time each may take instead (steps are chosen by a measured pace); 0 does not.
        with_exact: For data whose exact denoiser is known: run every lane under it as well; lanes named "… exact".
    """

    model: str
    samplings: tuple[Sampling, ...] = ()
    evaluations: int = 20
    seconds: float = 0.0
    count: int = 8
    seed: int = 0
    condition: dict[str, Any] = field(default_factory=dict)
    with_exact: bool = False


@request
@dataclass(frozen=True)
class MeasureOrders:
    """Error against network evaluations. Frame "orders", growing; Progress.

    data: "curves": list of {"sampler", "name", "exact": bool, "evaluations" int [P], "error" float64 [P] root mean
    square distance of the end points from those of the same ODE solved to 1e-8 or so, "slope": fitted order over the
    points that lie between round-off and the first, "steps" [P]}, "reference": in words, "truth": "" or the name of the
    distribution whose exact score drives it, "gap": distance between the ends under the model and under the exact
    score (the model's own error), NaN when unknown.

    Args:
        truth: "model": the model's own score; "exact": that of its data; "gaussian": N(0, 1/4), where all is known.
    """

    model: str
    samplers: tuple[str, ...] = ("ddim", "dpmpp-2m", "heun")
    steps: tuple[int, ...] = (5, 8, 12, 18, 27, 40, 60)
    truth: str = "model"
    count: int = 64
    seed: int = 0
    condition: dict[str, Any] = field(default_factory=dict)


@request
@dataclass(frozen=True)
class ShowSchedule:
    """A schedule and what it does to a picture. Frame "schedule".

    data: "times" [L], "log_snr" [L], "alpha" [L], "sigma" [L], "beta" [L] (empty when not discrete), "terminal":
    {"alpha", "log_snr", "bad"}, "warnings": [sentences], "pictures" [P, ...] of the source at the `shown` shares of the
    time, noised with one noise (points [P, 200, 2]: a cloud), "shown_log_snr" [P], "config": {"noise_schedule": ...,
    "knots": ...}: what a new DDPM would be trained with, "of": how many steps.

    Args:
        model: Model key; its own schedule is the start, its data are noised.
        schedule: "model", "linear", "cosine", "scaled-linear" or "own".
        knots: For "own": (share of the time in [0, 1], half-log-SNR) pairs, times rising, log-SNR falling; between
            them it is monotone cubic.
        source: What is noised.
        shown: Shares of the time at which it is shown.
        seed: Of the noise.
    """

    model: str
    schedule: str = "model"
    knots: tuple[tuple[float, float], ...] = ()
    source: Source = field(default_factory=Source)
    shown: tuple[float, ...] = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
    seed: int = 0


@request
@dataclass(frozen=True)
class MeasureLevels:
    """How well each noise level is denoised, and which levels matter. Frame "levels", growing; Progress.

    data: "times" [B], "log_snr" [B], "loss" float32 [B] mean square error of the noise estimate per number, "error" [B]
    standard error, "clean" [B] the same of the clean estimate, "bound" [B]: this bin's share of the variational bound
    in bits/dim (NaN when the model is not discrete), "change" [B]: root mean square change of the clean estimate over
    the bin along the model's own trajectories, "exact" [B]: loss of the exact denoiser or NaN, "total": bits/dim or
    NaN, "count", "done".
    """

    model: str
    split: str = "valid"
    bins: int = 20
    count: int = 256
    seed: int = 0


@request
@dataclass(frozen=True)
class FlowParticles:
    """Many points in the plane under the learnt and the exact score. Frames "flow", then "particles/0" ... .

    "flow" data: "times" [S + 1], "log_snr" [S + 1], "truth": name or "", "reach": half side of the square, "exact":
    bool, "data" float32 [M, 2]: held-out points, "density" float32 [G, G] of the data, "within": share of the learnt
    results within 3 sigma of a mode (NaN when there are no modes), "within_exact", "energy": energy distance of the
    learnt results to held-out data, "energy_exact", "energy_data": between two halves of the data, "done".
    "particles/K" data: "index", "time", "log_snr", "learnt" float32 [N, 2], "exact" float32 [N, 2] (empty when not
    known), "density" float32 [G, G] exact density at this level or that of the learnt points where it is not known,
    "field" float32 [A, A, 2] direction dx/d(falling log sigma) of the learnt score, "field_exact" the same or empty.
    Row 0 of every grid is the largest y.

    Args:
        count: Particles.
        grid: G of the densities.
        arrows: A.
    """

    model: str
    sampling: Sampling = field(default_factory=lambda: Sampling("heun", 18))
    count: int = 20_000
    seed: int = 0
    grid: int = 96
    arrows: int = 17


@request
@dataclass(frozen=True)
class SheetGuidance:
    """Guidance against steps, from one noise. Frame "sheet", growing; Progress.

    data: "guidance" [G], "steps" [S], "pictures" [G, S, ...] (0 where not done yet), "done_cells" int, "judged": list
    of lists of str, "agrees" float32 [G, S]: share of the factors asked for that the judge reads back over `count`
    samples, NaN without a judge.
    """

    model: str
    sampling: Sampling = field(default_factory=Sampling)
    guidance: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 7.0)
    steps: tuple[int, ...] = (5, 10, 20, 50)
    condition: dict[str, Any] = field(default_factory=dict)
    count: int = 4
    seed: int = 0


@request
@dataclass(frozen=True)
class FollowLikelihood:
    """log p(x) of examples by the probability-flow ODE (Song et al. 2021, appendix D.2). Frame "likelihood", growing.

    data: "log_prob" float32 [N] nats in the model's space (NaN where still to come), "bits" [N] bits/dim (of 256 grey
    levels, or of a coordinate's density), "exact" [N] log p(x) where it is known else NaN, "labels",
    "estimator": in words ("Heun, 60 steps, exact divergence" or "... one Rademacher probe"), "error": standard error
    of the mean.
    """

    model: str
    split: str = "test"
    count: int = 16
    steps: int = 60
    probes: int = 1
    seed: int = 0


@request
@dataclass(frozen=True)
class KeepDrawing:
    """Make a distribution in the plane that was drawn into data to train on. Result: the name of the data.

    Args:
        rows: Rows of bytes, a square; ink is probability.
        title: What the data are called.
        seed: Of the points.
    """

    rows: tuple[tuple[int, ...], ...]
    title: str = ""
    seed: int = 0
