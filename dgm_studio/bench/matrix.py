"""From a hand on an expert's precision, or a brush on the picture, to the new matrix, in the real window."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QWidget

from dgm_studio.bench.figures import Figure, Options, document
from dgm_studio.bench.latency import drag
from dgm_studio.bench.rig import Rig
from dgm_studio.core.requests import CrossDatum
from dgm_studio.core.updates import Problem
from dgm_studio.gui.panels.spec import Panel
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.slidertrack import SliderTrack

MODEL = "zoo:mvae-faces"  # three modalities, seven rows
BAR = 60.0  # ms


def measure(options: Options) -> dict[str, Any]:
    """The slider and the brush, idle and while a run trains."""
    key = options.checkpoint or MODEL
    rig = Rig(options)
    panel = rig.look_at(key, "cross")
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for state in ("idle", "training"):
        if state == "training":
            rig.train(shown=False)
        panel.restore({"values": {}, "precision": {}})
        rig.settle()
        for name, place in (("slider", precision_track(panel)), ("brush", canvas(panel))):
            found = drag(rig, panel, options, place, CrossDatum, down=name == "brush")
            del found["latest"]
            details[f"{name}, {state}"] = found
            figures += [
                Figure(f"{name} to matrix p95, {state}", found["p95"], "ms", BAR),
                Figure(f"{name} to matrix p50, {state}", found["p50"], "ms"),
                Figure(f"last matrix is that of the last value, {name}, {state}", float(found["last"]), "", 1, True),
            ]
    rig.close()
    return document("matrix", figures, model=key, **details)


def precision_track(panel: Panel) -> QWidget:
    """The track of the first expert's precision.

    Raises:
        Problem: The panel shows none.
    """
    found = [t for t in panel.findChildren(SliderTrack) if t.isVisible() and "recision" in t.accessibleName()]
    if not found:
        names = ", ".join(t.accessibleName() for t in panel.findChildren(SliderTrack))
        raise Problem(f"The panel shows no precision to drag, but {names}.")
    return found[0]


def canvas(panel: Panel) -> QWidget:
    """What is drawn on.

    Raises:
        Problem: The panel shows none.
    """
    found = [c for c in panel.findChildren(DrawCanvas) if c.isVisible()]
    if not found:
        raise Problem("The panel shows no picture to draw on.")
    return found[0]
