"""Everything the latent panel holds, as plain values: what undo, sessions, recipes and bookmarks keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from dgm_studio.gui.panels.latent_plane import Doubles, Rect

LETTERS = "ABCDEFGH"
MOST_ANCHORS = len(LETTERS)
MODES = ("kl", "pca", "labels")
TABS = ("latent", "principal", "attribute")
KINDS = ("linear", "spherical", "geodesic")


@dataclass(frozen=True)
class Anchor:
    """A point the path goes through.

    Args:
        z: [Z].
        words: Where it comes from ("valid 12, digit: 3", "a drawing").
    """

    z: tuple[float, ...]
    words: str = ""


@dataclass(frozen=True)
class Overlays:
    """What lies on the map, each can be switched off."""

    points: bool = True
    prior: bool = True
    posterior: bool = True
    path: bool = True


@dataclass(frozen=True)
class LatentState:
    """The panel's state.

    Args:
        z: Where in the latent space, [Z].
        mode: What the axes are: "kl", "pca", "labels" or "own".
        axes: Their keys (see `latent_plane`).
        view: Part of the plane in sight, None until there is one.
        anchors: Of the path, at most 8.
        kind: Of the path.
        loop: Whether play goes on at the other end.
        frame: Picture of the path that is shown, -1 while the picture at z is.
        overlays: What lies on the map.
        colour_by: The factor whose classes colour the points, "" for the first.
        locks: Dimensions that nothing changes.
        tab: Which sliders are shown.
        seed: Of the random latent.
        truncation: Scale of the prior's spread for it.
        encoded: The `EncodePicture` request of the picture whose posterior is shown, {} for none.
        strips: Whether the film strips of all directions are shown in place of the map.
        figures: Whether the path's figures are unfolded.
        more: Whether the map's rarely used controls are unfolded.
    """

    z: tuple[float, ...] = ()
    mode: str = "pca"
    axes: tuple[str, str] = ("latent:0", "latent:1")
    view: Rect | None = None
    anchors: tuple[Anchor, ...] = ()
    kind: str = "geodesic"
    loop: bool = True
    frame: int = -1
    overlays: Overlays = field(default_factory=Overlays)
    colour_by: str = ""
    locks: tuple[int, ...] = ()
    tab: str = "latent"
    seed: int = 0
    truncation: float = 1.0
    encoded: Mapping[str, Any] = field(default_factory=dict)
    strips: bool = False
    figures: bool = False
    more: bool = False

    @classmethod
    def new(cls, latent: int) -> LatentState:
        """The middle of a latent space of this size; two latents are their own map."""
        return cls(z=(0.0,) * latent, mode="kl" if latent == 2 else "pca")

    @property
    def latent(self) -> Doubles:
        """z as an array."""
        return np.asarray(self.z, float)

    def at(self, z: Doubles) -> LatentState:
        """The same with another z."""
        return replace(self, z=as_tuple(z))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        data = asdict(self)
        data["encoded"] = dict(self.encoded)
        return data

    def taking(self, data: Mapping[str, Any]) -> LatentState:
        """This state with the entries of a stored one; entries of another size or kind keep their value here."""
        kept = {f.name: data[f.name] for f in fields(self) if f.name in data}
        changes: dict[str, Any] = {}
        for name, value in kept.items():
            revived = _revived(name, value, len(self.z))
            if revived is not None:
                changes[name] = revived
        if data.get("view", ()) is None:
            changes["view"] = None
        return replace(self, **changes)


def as_tuple(z: Doubles) -> tuple[float, ...]:
    """A vector as plain numbers of single precision, as the worker will use them."""
    return tuple(np.asarray(z, np.float32).astype(float).tolist())


def _revived(name: str, value: Any, latent: int) -> Any:
    """A stored entry as what the state holds, None when it cannot be."""
    if name == "z":
        return _vector(value, latent)
    if name == "anchors":
        found = [(_vector(a.get("z"), latent), str(a.get("words", ""))) for a in value if isinstance(a, Mapping)]
        return tuple(Anchor(z, words) for z, words in found[:MOST_ANCHORS] if z is not None)
    if name == "view":
        return _vector(value, 4)
    if name == "axes":
        return tuple(str(a) for a in value) if len(value) == 2 else None
    if name == "overlays":
        names = {f.name for f in fields(Overlays)}
        return Overlays(**{k: bool(v) for k, v in value.items() if k in names})
    if name == "locks":
        return tuple(sorted({int(i) for i in value if 0 <= int(i) < latent}))
    if name == "encoded":
        return dict(value) if isinstance(value, Mapping) else None
    return _plain(name, value)


_CHOICES = {"mode": (*MODES, "own"), "tab": TABS, "kind": KINDS}
_PLAIN: dict[str, type] = {
    "mode": str,
    "kind": str,
    "colour_by": str,
    "tab": str,
    "loop": bool,
    "strips": bool,
    "figures": bool,
    "more": bool,
    "frame": int,
    "seed": int,
    "truncation": float,
}


def _plain(name: str, value: Any) -> Any:
    try:
        made = _PLAIN[name](value)
    except (TypeError, ValueError):
        return None
    return made if made in _CHOICES.get(name, (made,)) else None


def _vector(value: Any, length: int) -> tuple[float, ...] | None:
    """Finite numbers in a row of the right length, else None."""
    try:
        row = tuple(float(x) for x in value)
    except (TypeError, ValueError):
        return None
    return row if len(row) == length and bool(np.isfinite(row).all()) else None
