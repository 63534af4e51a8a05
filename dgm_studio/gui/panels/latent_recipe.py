"""From a request that somebody else has made to the state in which the latent panel shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dgm_studio.core import requests
from dgm_studio.core.requests import DecodeLatent, DrawMap, EncodePicture, FollowPath, TraverseLatents
from dgm_studio.gui.panels.latent_state import TABS


def state_of(request: Any) -> dict[str, Any] | None:
    """The state, None for requests that the panel never makes. Entries that the request leaves open are left out."""
    known: dict[type[Any], Callable[[Any], dict[str, Any]]] = {
        DecodeLatent: _picture,
        FollowPath: _path,
        EncodePicture: _encoded,
        TraverseLatents: _strips,
        DrawMap: _map,
    }
    make = known.get(type(request))
    return make(request) if make is not None else None


def _picture(asked: DecodeLatent) -> dict[str, Any]:
    return {"z": list(asked.z), "frame": -1, "strips": False}


def _path(asked: FollowPath) -> dict[str, Any]:
    anchors = [*asked.anchors, asked.anchors[0]] if asked.closed else asked.anchors
    listed = [{"z": list(z), "words": ""} for z in anchors]
    return {"anchors": listed, "kind": asked.kind, "frame": 0, "strips": False}


def _encoded(asked: EncodePicture) -> dict[str, Any]:
    return {"encoded": requests.to_json(asked), "frame": -1, "strips": False}


def _strips(asked: TraverseLatents) -> dict[str, Any]:
    plain = all(_axis(direction) for direction in asked.directions)
    tab = TABS[0] if plain else TABS[2] if any(":" in name for name in asked.names) else TABS[1]
    return {"z": list(asked.z), "frame": -1, "strips": True, "tab": tab}


def _map(asked: DrawMap) -> dict[str, Any]:
    """On the plane itself where it lies along two latents; along other directions the panel's own axes stay."""
    state: dict[str, Any] = {"z": list(asked.origin), "frame": -1, "strips": False}
    axes = [_axis(asked.u), _axis(asked.v)]
    if all(axes):
        state |= {"mode": "own", "axes": axes, "view": [asked.left, asked.right, asked.bottom, asked.top]}
    return state


def _axis(direction: Sequence[float]) -> str:
    """The key of the latent that a direction runs along, "" when it runs along none."""
    places = np.flatnonzero(np.asarray(direction, float))
    return f"latent:{places[0]}" if len(places) == 1 else ""
