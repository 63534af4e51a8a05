"""Draws 6,000 invented fundus pictures of 3,000 invented patients, with their clinical records. Needs numpy alone.

`python packaging/data/fundus.py`
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pack import pack
from palette import reduced

from dgm_studio.core.cards import DataCard, Factor, Modality
from dgm_studio.data import fundus
from dgm_studio.data.fundus import AGE_BOUNDS, AGE_GROUPS, SEED, SEXES, SMOKING, Records
from dgm_studio.data.fundus_drawing import TRAITS, draw
from dgm_studio.data.splits import permuted

PATIENTS = (2400, 300, 300)
SIZE, COLOURS = 32, 256
UNKNOWN = 0.4  # share of patients whose HbA1c nobody measured
EYES = ("left", "right")
UNITS = {"age": "years", "sbp": "mmHg", "hba1c": "%"}
NOTE = """
**SYNTHETIC. No picture shows an eye and no record belongs to a person. Nothing here may be used to judge a patient.**

## Source

Drawn by `dgm_studio/data/fundus_drawing.py` from the story in `dgm_studio/data/fundus.py`, seed {seed}. The colours of
ground, disc, macula and vessels are those of one photograph: Mikael Häggström (2014), "Medical gallery of Mikael
Häggström 2014", WikiJournal of Medicine 1 (2), CC0 1.0 (see `fundus-photo.md`). That age and sex can be read well off a
fundus, pressure and smoking partly and HbA1c hardly is taken from Poplin et al. (2018), Nature Biomedical Engineering
2:158; every strength is invented.

## Licence

CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.

## Changes

* Two pictures a patient, a left and a right eye; both eyes stand in the same split.
* HbA1c is missing for {missing:.1%} of the pictures, completely at random, for both eyes of a patient at once.
* Pictures were reduced to {colours} colours; the error of a channel is {error:.1f} of 255 (root mean square).

## What is attainable

A picture tells about its patient only through {traits} traits ({names}), and the best reading of the exact traits is
known: the posterior under the story, summed over age and integrated over the rest. No reader of one picture can err
less on average. The pictures show the traits only as far as 32 x 32 pixels can.

| what | given | measure | attainable on the test part | over 20,000 further pictures | predicting the mean |
|---|---|---|---|---|---|
{table}

Standard errors are over patients. Age is in years, pressure in mmHg, HbA1c in %. Smoking: current against the others.

## Arrays beside those of every set

`patient`, `pigment`, `traits` (standardised, in the order above), `truth_NAME` (unrounded numbers, known where the record
has none), `reading_NAME` (the best reading of each test picture), `optimum` (the table above as JSON).
"""


def build() -> None:
    """Draws everything and writes the set into the box."""
    rng = np.random.default_rng(SEED)
    truth = fundus.sample_records(sum(PATIENTS), rng)
    # what is stored is what is drawn, so that a picture can be drawn again
    traits = fundus.sample_traits(truth, rng).reshape(-1, len(TRAITS)).astype(np.float16)
    pigment = rng.standard_normal((sum(PATIENTS), 2)).astype(np.float16).repeat(2, 0)
    unknown = rng.random(sum(PATIENTS)) < UNKNOWN
    rgb = np.stack([draw(row.astype(np.float64), fundus.scene(i, pigment[i]), SIZE) for i, row in enumerate(traits)])
    pixels, palette, error = reduced(rgb, COLOURS, SEED)
    patients = permuted(sum(PATIENTS), PATIENTS, SEED)
    splits = {name: (2 * chosen[:, None] + np.arange(2)).ravel() for name, chosen in patients.items()}
    both = {name: values.repeat(2) for name, values in truth.items()}
    arrays: dict[str, NDArray[Any]] = {
        "pixels": pixels,
        "palette": palette,
        "scale": np.array(1, np.uint8),
        "patient": np.arange(len(traits)).astype(np.uint16) // 2,
        "traits": traits,
        "pigment": pigment,
    }
    arrays |= _columns(both, unknown.repeat(2)) | _readings(both, traits[splits["test"]], splits["test"])
    optimum = attainable(both, traits, splits)
    arrays["optimum"] = np.frombuffer(json.dumps(optimum, indent=1).encode(), np.uint8)
    note = NOTE.format(
        seed=SEED,
        missing=unknown.mean(),
        colours=COLOURS,
        error=error,
        traits=len(TRAITS),
        names=", ".join(TRAITS),
        table="\n".join(_row(name, found) for name, found in optimum.items()),
    )
    pack(_card(arrays, splits["train"]), arrays, splits, note)


def _columns(both: Records, unknown: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The records of all pictures: as a clinic rounds them, with gaps, and the truth."""
    rounded = {"age": np.round(both["age"], 1), "sbp": np.round(both["sbp"]), "hba1c": np.round(both["hba1c"], 1)}
    rounded["hba1c"][unknown] = np.nan
    found: dict[str, NDArray[Any]] = {f"value_{name}": v.astype(np.float32) for name, v in rounded.items()}
    found |= {f"truth_{name}": both[name].astype(np.float32) for name in UNITS}
    found["factor_age group"] = np.searchsorted(AGE_BOUNDS, rounded["age"], "right").astype(np.uint8)
    found |= {f"factor_{name}": both[name].astype(np.uint8) for name in ("sex", "smoking")}
    found["factor_eye"] = (np.arange(len(unknown)) % 2).astype(np.uint8)
    return found


def _predictions(both: Records, traits: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The best reading of pictures, and their truth."""
    seen = traits.astype(np.float64)
    best = fundus.read(seen)
    found = {"age": best.age_median, "sbp": best.sbp_median, "hba1c": best.hba1c_median}
    found |= {"age mean": best.age_mean, "sbp mean": best.sbp_mean, "sex": best.male, "smoking": best.smoking[:, 2]}
    found["hba1c | rest"] = fundus.read_hba1c(both, seen)
    found["hba1c | record"] = fundus.read_hba1c(both, None)
    found |= {f"{name} truth": both[name] for name in UNITS}
    return found | {"sex truth": both["sex"] == 1, "smoking truth": both["smoking"] == 2}


def _readings(both: Records, traits: NDArray[Any], chosen: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    found = _predictions({name: values[chosen] for name, values in both.items()}, traits)
    return {f"reading_{name}": values.astype(np.float32) for name, values in found.items()}


def attainable(both: Records, traits: NDArray[Any], splits: dict[str, NDArray[np.int64]]) -> dict[str, dict[str, Any]]:
    """What `fundus.optimum` hands out."""
    test = splits["test"]
    here = _predictions({name: values[test] for name, values in both.items()}, traits[test])
    rng = np.random.default_rng(SEED + 1)
    more = fundus.sample_records(20_000, rng)
    there = _predictions(more, fundus.sample_traits(more, rng)[:, 0])
    found = {}
    for name, given in (
        ("age", "image"),
        ("sbp", "image"),
        ("sex", "image"),
        ("smoking", "image"),
        ("hba1c", "image"),
        ("hba1c | rest", "image, age, sbp, sex, smoking"),
        ("hba1c | record", "age, sbp, sex, smoking"),
    ):
        column = name.split(" | ")[0]
        numeric = column in UNITS
        mean = both[column][splits["train"]].mean()
        truth = here[f"{column} truth"]
        found[name] = {
            "measure": "mean absolute error" if numeric else "area under the curve",
            "unit": UNITS.get(column, ""),
            "given": given,
            "value": _score(here[name], truth, numeric),
            "error": _error(here[name], truth, numeric),
            "population": _score(there[name], there[f"{column} truth"], numeric),
            "baseline": float(np.abs(truth - mean).mean()) if numeric else 0.5,
            "baseline name": "the training part's mean" if numeric else "chance",
        }
    return found


def _score(read: NDArray[Any], truth: NDArray[Any], numeric: bool) -> float:
    return float(np.abs(read - truth).mean()) if numeric else fundus.area(read, truth)


def _error(read: NDArray[Any], truth: NDArray[Any], numeric: bool) -> float:
    """Standard error by 400 bootstrap draws of patients, whose two pictures stand side by side."""
    rng, count = np.random.default_rng(SEED + 2), len(read) // 2
    draws = (2 * rng.integers(0, count, (400, count, 1)) + np.arange(2)).reshape(400, -1)
    return float(np.std([_score(read[rows], truth[rows], numeric) for rows in draws]))


def _card(arrays: dict[str, NDArray[Any]], train: NDArray[np.int64]) -> DataCard:
    def number(name: str, kind: str) -> Modality:
        values = arrays[f"value_{name}"][train].astype(np.float64)
        values = values[np.isfinite(values)]
        values = np.log(values) if kind == "positive" else values
        centre, spread = (round(float(figure), 4) for figure in (values.mean(), values.std()))
        return Modality(name, kind, (1,), centre=(centre,), spread=(spread,), unit=UNITS[name])

    words = {"age group": AGE_GROUPS, "sex": SEXES, "smoking": SMOKING, "eye": EYES}
    return DataCard(
        name="fundus",
        title="Fundus pictures and records (synthetic)",
        summary=f"{2 * sum(PATIENTS):,} invented fundus pictures, {SIZE} x {SIZE} colour, of {sum(PATIENTS):,} invented "
        "patients with age, blood pressure, HbA1c (often missing), sex and smoking. Synthetic: no real eye, no real person.",
        modalities=(
            Modality("image", "image", (3, SIZE, SIZE)),
            number("age", "real"),
            number("sbp", "positive"),
            number("hba1c", "positive"),
            Modality("sex", "categorical", (), categories=SEXES, about="sex"),
            Modality("smoking", "categorical", (), categories=SMOKING, about="smoking"),
        ),
        factors=tuple(Factor(name, categories) for name, categories in words.items()),
        split_seed=SEED,
        licence="CC0 1.0",
        credit="DGM Studio; colours after a photograph by Mikael Häggström (CC0)",
        source=f"drawn from seed {SEED}",
        changes="Invented throughout; split by patient; HbA1c removed at random for two patients in five.",
        synthetic=True,
    )


def _row(name: str, found: dict[str, Any]) -> str:
    given, measure = found["given"], found["measure"]
    value = f"{found['value']:.3f} ± {found['error']:.3f}"
    return f"| {name.split(' | ')[0]} | {given} | {measure} | {value} | {found['population']:.3f} | {found['baseline']:.3f} |"


if __name__ == "__main__":
    build()
