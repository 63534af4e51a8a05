"""A folder of somebody's own fundus photographs with a table of records: read, cut by patient, trained, looked at."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_studio import cli
from dgm_studio.core.requests import CompareNumbers, CrossDatum
from dgm_studio.core.updates import Frame
from dgm_studio.data import fundus
from dgm_studio.data.registry import load
from dgm_studio.explore.workbench import Workbench

PATIENTS = 30


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both eyes of some patients as photographs of 120 by 90 pixels, and a table with gaps."""
    folder = tmp_path_factory.mktemp("eyes")
    rng = np.random.default_rng(0)
    told = fundus.sample_records(PATIENTS, rng)
    with (folder / "records.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient_id", "age:real", "systolic:positive", "hba1c:positive", "sex", "smoking"])
        for patient in range(PATIENTS):
            for eye in range(2):
                name = f"p{patient:03d}_{'lr'[eye]}.jpg"
                photo = np.zeros((90, 120, 3), np.uint8)
                photo[:, 15:105] = fundus.redraw(2 * patient + eye, size=90)
                Image.fromarray(photo).save(folder / name, quality=92)
                age, sbp, hba1c = (float(told[key][patient]) for key in ("age", "sbp", "hba1c"))
                sex, smoking = fundus.SEXES[told["sex"][patient]], fundus.SMOKING[told["smoking"][patient]]
                table.writerow(
                    [name, patient, f"{age:.0f}", f"{sbp:.0f}", f"{hba1c:.1f}" * (patient % 3 > 0), sex, smoking]
                )
    return folder / "records.csv"


def test_no_patient_is_trained_on_and_tested_on_and_gaps_stay_gaps(records: Path) -> None:
    data = load(f"table:{records}@32")
    kinds = {m.name: m.kind for m in data.card.modalities}
    assert kinds["age"] == "real" and kinds["systolic"] == kinds["hba1c"] == "positive"
    assert kinds["sex"] in ("label", "categorical") and "patient_id" not in kinds
    patients = [{int(i) // 2 for i in data.split(split).indices} for split in ("train", "valid", "test")]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert sum(map(len, patients)) == PATIENTS
    part = data.split("train")
    gone = part.others["hba1c"][:, 0].isnan()
    assert torch.equal(gone, (part.indices // 2) % 3 == 0)


def test_it_is_trained_on_from_the_command_line_and_the_run_is_crossed_and_compared(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = ["--set", "latent=4", "--set", "hidden=32", "--set", "width=4", "--set", "dense=16"]
    asked = ["train", "mvae", "--data", f"table:{records}@32", "--steps", "6", "--seed", "0", "--out", str(run)]
    assert cli.main([*asked, *small, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["key"]
    bench = Workbench(torch.device("cpu"))
    matrix = [u for u in bench.answer(CrossDatum(key)) if isinstance(u, Frame)][-1].data
    assert {"age", "systolic", "hba1c", "sex", "smoking"} < set(matrix["columns"])
    image = matrix["columns"][0]
    found = [u for u in bench.answer(CompareNumbers(key, "age", (image,)))][-1]
    assert isinstance(found, Frame) and len(found.data["truth"]) == len(load(f"table:{records}@32").split("test"))
    assert np.isfinite(found.data["predicted"]).all() and np.isfinite(found.data["bias"])
    assert np.isnan(found.data["optimum"]), "of somebody's own eyes nobody knows the best"
