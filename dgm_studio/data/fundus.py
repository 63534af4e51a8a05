"""Invented patients, and how well anyone could read them off an invented fundus. numpy only.

The story: a patient has an age a, a sex, a smoking habit, a systolic pressure and a glycated haemoglobin (HbA1c). With
A = (a - 57) / 10, P and H the standardised logarithms of pressure and HbA1c,

    a ~ N(57, 11) cut to [35, 80];  sex fair;  smoking | sex;  P, H | a, sex, smoking Gaussian;  H | P linear
    t = W (A, P, male, former, current, H) + e,   e ~ N(0, diag(noise^2)),   picture = draw(t, scene)

with the scene (course of the vessels, light, pigment, side) independent of the patient. A picture therefore tells about
the patient through its traits t alone, and p(record | t) is at least as good as p(record | picture): by data processing
no reader of one picture can err less, on average, than the posterior given its exact traits, which is what `optimum`
reports. Given age, sex and smoking all is jointly Gaussian; age is summed over a grid, sex and smoking exactly.

What the eye tells in reality is in Poplin et al. (2018), Nature Biomedical Engineering 2:158; the strengths below are
invented after its findings: much of age and sex, some of pressure and smoking, next to nothing of HbA1c.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgm_studio.core.resources import resource
from dgm_studio.data.fundus_drawing import TRAITS, Scene, draw

Floats = NDArray[np.float64]
Records = dict[str, NDArray[Any]]

SEED = 48_600
SEXES = ("female", "male")
SMOKING = ("never", "former", "current")
AGE_GROUPS = ("35 to 44", "45 to 54", "55 to 64", "65 to 80")
AGE_BOUNDS = (45.0, 55.0, 65.0)
YOUNGEST, OLDEST, MIDDLE, AGE_SPREAD = 35.0, 80.0, 57.0, 11.0
HABITS = np.array([[0.58, 0.27, 0.15], [0.44, 0.34, 0.22]])  # smoking given sex
PRESSURE, PRESSURE_SPREAD = 132.0, 0.13  # mmHg; of its logarithm
GLYCATED, GLYCATED_SPREAD = 5.7, 0.13  # %; of its logarithm

# columns: age in decades from 57, P, male, former, current, H; and the noise
STORY: dict[str, tuple[float, float, float, float, float, float, float]] = {
    "lens": (0.80, 0.00, 0.0, 0.05, 0.15, 0.05, 0.76),
    "sheen": (-0.78, -0.05, 0.0, 0.00, 0.00, 0.00, 0.78),
    "cup": (0.30, 0.00, 0.2, 0.00, 0.00, 0.00, 0.95),
    "disc": (0.00, 0.00, 0.8, 0.00, 0.00, 0.00, 0.90),
    "calibre": (-0.20, -0.50, 0.0, 0.20, 0.55, 0.05, 0.80),
    "ratio": (-0.10, -0.55, 0.0, 0.00, 0.00, 0.00, 0.82),
    "tortuosity": (0.30, 0.40, 0.0, 0.00, 0.00, 0.05, 0.85),
    "density": (-0.28, -0.10, 0.0, 0.00, -0.20, 0.00, 0.85),
    "halo": (0.42, 0.00, 0.0, 0.00, 0.10, 0.00, 0.80),
    "haze": (0.62, 0.00, 0.0, 0.10, 0.35, 0.05, 0.85),
    "tessellation": (0.50, 0.00, -0.2, 0.00, 0.00, 0.00, 0.82),
    "arcade": (0.00, 0.00, 1.4, 0.00, 0.00, 0.00, 0.72),
    "macula": (-0.15, 0.00, 0.7, -0.15, -0.45, 0.00, 0.85),
    "lesions": (0.10, 0.10, 0.0, 0.00, 0.00, 0.22, 0.95),
}
# an indicator's trait is centred, so that traits lie around 0
CENTRES = np.array([0.0, 0.0, 0.5, 0.3, 0.185, 0.0])
LOADINGS = np.array([STORY[name][:-1] for name in TRAITS])
NOISE = np.array([STORY[name][-1] for name in TRAITS])
SHARED = 0.6  # of a trait's noise, the variance that both eyes of a patient have in common

GRID = np.arange(YOUNGEST + 0.125, OLDEST, 0.25)
SEX, HABIT = (grid.ravel() for grid in np.meshgrid([0, 1], [0, 1, 2], indexing="ij"))


def _expected(age: Any, male: Any, former: Any, current: Any) -> tuple[Floats, Floats]:
    """Means of P and of H, the latter where P is at its own mean."""
    decades = (age - MIDDLE) / 10.0
    pressure = 0.36 * decades + 0.30 * (male - 0.5) + 0.20 * (current - 0.185)
    glycated = 0.22 * decades + 0.20 * (former - 0.3) + 0.45 * (current - 0.185) + CARRIED * pressure
    return pressure, glycated


CARRIED = 0.25  # how much of P goes on into H
PRESSURE_LEFT, GLYCATED_LEFT = 0.88, 0.88  # standard deviations of P and H that nothing else explains
LEFT = np.array(
    [
        [PRESSURE_LEFT**2, CARRIED * PRESSURE_LEFT**2],
        [CARRIED * PRESSURE_LEFT**2, CARRIED**2 * PRESSURE_LEFT**2 + GLYCATED_LEFT**2],
    ]
)


def sample_records(count: int, rng: np.random.Generator) -> Records:
    """Patients as the story has them: "age" in years, "sbp" in mmHg, "hba1c" in %, "sex" and "smoking" as indices."""
    age = np.empty(0)
    while len(age) < count:
        drawn = MIDDLE + AGE_SPREAD * rng.standard_normal(2 * count)
        age = np.concatenate([age, drawn[(drawn >= YOUNGEST) & (drawn <= OLDEST)]])[:count]
    sex = rng.integers(0, 2, count)
    smoking = (rng.random(count)[:, None] > HABITS[sex].cumsum(1)[:, :2]).sum(1)
    pressure, glycated = _expected(age, sex == 1, smoking == 1, smoking == 2)
    own = PRESSURE_LEFT * rng.standard_normal(count)
    glycated = glycated + CARRIED * own + GLYCATED_LEFT * rng.standard_normal(count)
    sbp = PRESSURE * np.exp(PRESSURE_SPREAD * (pressure + own))
    hba1c = GLYCATED * np.exp(GLYCATED_SPREAD * glycated)
    return {"age": age, "sbp": sbp, "hba1c": hba1c, "sex": sex, "smoking": smoking}


def expected_traits(records: Records) -> Floats:
    """Traits without noise, [N, T]."""
    smoking = np.asarray(records["smoking"])
    causes = np.stack(
        [
            (np.asarray(records["age"]) - MIDDLE) / 10.0,
            np.log(np.asarray(records["sbp"]) / PRESSURE) / PRESSURE_SPREAD,
            np.asarray(records["sex"]) == 1,
            smoking == 1,
            smoking == 2,
            np.log(np.asarray(records["hba1c"]) / GLYCATED) / GLYCATED_SPREAD,
        ],
        axis=1,
    )
    return np.asarray((causes - CENTRES) @ LOADINGS.T)


def sample_traits(records: Records, rng: np.random.Generator) -> Floats:
    """Traits of both eyes of each patient, [N, 2, T]."""
    count = len(records["age"])
    shared = np.sqrt(SHARED) * rng.standard_normal((count, 1, len(TRAITS)))
    own = np.sqrt(1.0 - SHARED) * rng.standard_normal((count, 2, len(TRAITS)))
    return expected_traits(records)[:, None] + NOISE * (shared + own)


@dataclass(frozen=True)
class Reading:
    """p(record | the traits of one picture), N pictures.

    Args:
        age: Posterior over `GRID`, [N, G].
        age_median: Years, [N]; it has the least expected absolute error.
        age_mean: Years, [N].
        sbp_median: mmHg, [N].
        sbp_mean: mmHg, [N].
        male: Probability, [N].
        smoking: Probabilities, [N, 3].
        hba1c_median: %, [N], from the picture alone.
    """

    age: Floats
    age_median: Floats
    age_mean: Floats
    sbp_median: Floats
    sbp_mean: Floats
    male: Floats
    smoking: Floats
    hba1c_median: Floats


def read(traits: Floats, step: int = 100) -> Reading:
    """The exact posterior of a record given the traits of one picture, by the story above.

    Args:
        traits: [N, T].
        step: Pictures at a time.
    """
    pieces = [_read(traits[start : start + step]) for start in range(0, len(traits), step)]
    return Reading(*(np.concatenate([getattr(p, name) for p in pieces]) for name in Reading.__dataclass_fields__))


def _components() -> tuple[Floats, Floats, Floats]:
    """Each age on the grid with each sex and habit: log prior [K], means of (P, H) [K, 2] and of the traits [K, T]."""
    age = np.repeat(GRID, len(SEX))
    sex, habit = np.tile(SEX, len(GRID)), np.tile(HABIT, len(GRID))
    log_prior = -0.5 * ((age - MIDDLE) / AGE_SPREAD) ** 2 + np.log(HABITS[sex, habit])
    hidden = np.stack(_expected(age, sex == 1, habit == 1, habit == 2), 1)
    causes = np.stack([(age - MIDDLE) / 10.0, hidden[:, 0], sex == 1, habit == 1, habit == 2, hidden[:, 1]], 1)
    return log_prior, hidden, (causes - CENTRES) @ LOADINGS.T


def _read(traits: Floats) -> Reading:
    log_prior, hidden, means = _components()
    through = LOADINGS[:, [1, 5]]
    covariance = through @ LEFT @ through.T + np.diag(NOISE**2)
    gain = LEFT @ through.T @ np.linalg.inv(covariance)
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    x, m = traits @ white.T, means @ white.T
    log_weight = log_prior + x @ m.T - 0.5 * (m * m).sum(1)
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    cube = weight.reshape(len(traits), len(GRID), 2, 3)
    left = LEFT - gain @ through @ LEFT
    # the mean of (P, H) of a component is linear in the traits
    centres = (traits @ gain.T)[:, None] + (hidden - means @ gain.T)[None]
    found = [_medians(weight, centres[..., k], float(np.sqrt(left[k, k]))) for k in range(2)]
    age = cube.sum((2, 3))
    pressure = np.exp(PRESSURE_SPREAD * centres[..., 0] + 0.5 * PRESSURE_SPREAD**2 * left[0, 0])
    return Reading(
        age=age,
        age_median=_grid_median(age, GRID),
        age_mean=age @ GRID,
        sbp_median=PRESSURE * np.exp(PRESSURE_SPREAD * found[0]),
        sbp_mean=PRESSURE * (weight * pressure).sum(1),
        male=cube[:, :, 1].sum((1, 2)),
        smoking=cube.sum((1, 2)),
        hba1c_median=GLYCATED * np.exp(GLYCATED_SPREAD * found[1]),
    )


def _grid_median(mass: Floats, grid: Floats) -> Floats:
    """Medians of distributions [N, G] that are uniform within each step of a grid, [N]."""
    total = np.concatenate([np.zeros((len(mass), 1)), mass.cumsum(1)], 1)
    half = 0.5 * total[:, -1]
    cell = np.minimum((total[:, 1:] < half[:, None]).sum(1), len(grid) - 1)
    rows, step = np.arange(len(mass)), grid[1] - grid[0]
    within = (half - total[rows, cell]) / np.maximum(mass[rows, cell], 1e-300)
    return np.asarray(grid[cell] + step * (within - 0.5))


def _medians(weight: Floats, centre: Floats, spread: float) -> Floats:
    """Medians of mixtures of N Gaussians with one spread: weights and centres [N, K]. Centres are binned first."""
    grid = np.arange(-5.0, 5.0, 0.02)
    cell = np.clip(np.rint((centre - grid[0]) / 0.02).astype(np.int64), 0, len(grid) - 1)
    rows = np.arange(len(weight))[:, None] * len(grid)
    mass = np.bincount((rows + cell).ravel(), weight.ravel(), len(weight) * len(grid)).reshape(len(weight), -1)
    kernel = np.exp(-0.5 * ((grid[:, None] - grid) / spread) ** 2)
    return _grid_median(np.asarray(mass @ kernel, np.float64), grid)


def read_hba1c(records: Records, traits: Floats | None) -> Floats:
    """Posterior median of HbA1c, %, [N], given the rest of the record and, unless it is None, a picture's traits."""
    smoking = np.asarray(records["smoking"])
    age = np.asarray(records["age"], np.float64)
    pressure, glycated = _expected(age, records["sex"] == 1, smoking == 1, smoking == 2)
    own = np.log(np.asarray(records["sbp"]) / PRESSURE) / PRESSURE_SPREAD
    prior = glycated + CARRIED * (own - pressure)
    if traits is None:
        return np.asarray(GLYCATED * np.exp(GLYCATED_SPREAD * prior))
    rest = traits - expected_traits(records | {"hba1c": GLYCATED * np.exp(GLYCATED_SPREAD * prior)})
    slope = LOADINGS[:, 5]
    precision = 1.0 / GLYCATED_LEFT**2 + (slope**2 / NOISE**2).sum()
    return np.asarray(GLYCATED * np.exp(GLYCATED_SPREAD * (prior + rest @ (slope / NOISE**2) / precision)))


def area(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of pairs that are ranked rightly, ties counting half."""
    above, below = score[positive], np.sort(score[~positive])
    ranks = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(ranks.sum() / (2.0 * len(above) * len(below)))


@cache
def _stored() -> dict[str, NDArray[Any]]:
    with np.load(resource("data", "fundus.npz"), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def optimum() -> dict[str, dict[str, Any]]:
    """What is attainable on the test part of "fundus", computed when the set was built.

    Keys: "age", "sbp", "sex", "smoking", "hba1c" (each from one picture alone), "hba1c | rest" (from picture, age,
    pressure, sex and smoking) and "hba1c | record" (the same without the picture). Each holds "measure" ("mean absolute
    error" or "area under the curve"; sex: male against female; smoking: current against the others), "unit", "given",
    "value" on the test part, "error" (its standard error, over patients), "population" (the same over 20,000 further
    pictures), "baseline" and "baseline name" (predicting the training part's mean, on the test part). HbA1c is scored
    on all test pictures, those whose record lacks it too.
    """
    found: dict[str, dict[str, Any]] = json.loads(bytes(_stored()["optimum"]).decode())
    return found


def readings() -> dict[str, NDArray[np.float32]]:
    """The posterior of each picture of the test part given its exact traits, in the order of the part, float32 [N].

    "age", "sbp", "hba1c", "hba1c | rest", "hba1c | record": posterior medians in natural units; "age mean", "sbp mean";
    "sex": p(male); "smoking": p(current). The truth beside them: "age truth", "sbp truth", "hba1c truth" (also where
    the record has none), "sex truth", "smoking truth" (1 for current).
    """
    return {k.removeprefix("reading_"): v for k, v in _stored().items() if k.startswith("reading_")}


def redraw(index: int, changed: Mapping[str, float] | None = None, size: int = 32) -> NDArray[np.uint8]:
    """The eye of picture `index` of the whole set (`Part.indices`) as it would look were its patient otherwise.

    Everything that is not named stays: the course of the vessels, the light, and the trait noise of this very eye. Only
    the direct effect is shown: twenty years more do not raise the pressure unless "sbp" is changed too.

    Args:
        index: Position in the whole set.
        changed: New values of "age", "sbp", "hba1c" (natural units), "sex", "smoking" (indices).
        size: Of the picture's sides.

    Returns:
        RGB [size, size, 3]; with size 32 and nothing changed the stored picture before it was reduced to a palette.
    """
    stored = _stored()
    record: Records = {name: stored[f"truth_{name}"][index : index + 1] for name in ("age", "sbp", "hba1c")}
    record |= {name: stored[f"factor_{name}"][index : index + 1].astype(np.int64) for name in ("sex", "smoking")}
    other = record | {name: np.array([value]) for name, value in (changed or {}).items()}
    traits = stored["traits"][index].astype(np.float64) + (expected_traits(other) - expected_traits(record))[0]
    return draw(traits, scene(index, stored["pigment"][index]), size)


def scene(index: int, pigment: NDArray[np.floating]) -> Scene:
    """The scene of a picture of the set: even pictures are left eyes, and the next one is the same patient's right."""
    return Scene(SEED + index, bool(index % 2), (float(pigment[0]), float(pigment[1])))
