"""Our Bayes' rule over Gaussian classes beside scikit-learn's linear and quadratic discriminant analysis.

On the two halves of each set: fitted on the training part, p(y | x) compared on the test part, in double precision.
Pictures are standardised and cut to their first principal directions, so that no covariance is singular.

scikit-learn is no dependency of the project:

    python -m venv --system-site-packages peer && peer/bin/pip install "scikit-learn==1.9.1"
    PYTHONPATH=. peer/bin/python packaging/peers/lda_qda.py --out packaging/peers/lda_qda.json
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from torch import Tensor

from dgm_studio.data import registry as data
from dgm_studio.models.class_conditional import BAYES
from dgm_studio.models.gaussian_classes import fit_gaussian_classes

CASES = (("digits8", 20), ("mnist5k", 30))  # data and principal directions
BAR = 1e-6


def split_of(name: str, directions: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test vectors [N, D] in double precision, and their classes."""
    dataset = data.load(name)
    train, test = dataset.split("train"), dataset.split("test")
    one, two = (part.batch(torch.arange(len(part))).flatten(1).double() for part in (train, test))
    centre = one.mean(0)
    axes = torch.linalg.svd(one - centre, full_matrices=False).Vh[:directions].T
    return (one - centre) @ axes, train.factors["digit"], (two - centre) @ axes, test.factors["digit"]


def compared(name: str, directions: int, shared: bool) -> dict[str, Any]:
    """One row: how far apart the two are, and how often each is right."""
    x, y, x_test, y_test = split_of(name, directions)
    peer = LinearDiscriminantAnalysis() if shared else QuadraticDiscriminantAnalysis()
    theirs = peer.fit(x.numpy(), y.numpy()).predict_proba(x_test.numpy())
    ours = fit_gaussian_classes(x, y, 10, shared=shared).class_log_probs(x_test, torch.Generator(), 1)[BAYES].exp()
    return {
        "data": name,
        "dimensions": directions,
        "method": "LDA" if shared else "QDA",
        "greatest difference": float(np.abs(ours.numpy() - theirs).max()),
        "bar": BAR,
        "accuracy": float((ours.argmax(1) == y_test).double().mean()),
        "accuracy of scikit-learn": float((theirs.argmax(1) == y_test.numpy()).mean()),
    }


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = [compared(name, directions, shared) for name, directions in CASES for shared in (True, False)]
    versions = {name: version(name) for name in ("scikit-learn", "torch", "numpy")}
    report = {"versions": versions, "python": platform.python_version(), "rows": rows}
    print(json.dumps(report, indent=1))
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    worst = max(row["greatest difference"] for row in rows)
    if worst > BAR:
        raise SystemExit(f"they differ by {worst:.2g}, more than {BAR:g}")


if __name__ == "__main__":
    main()
