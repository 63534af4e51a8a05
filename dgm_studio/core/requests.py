"""The questions panels ask: frozen plain data, so that undo, sessions, recipes and tests are replays.

Randomness is a seed inside the request. A model is named by its key (see `core.cards.split_key`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from dgm_studio.core import cards
from dgm_studio.core.updates import Problem

RequestT = TypeVar("RequestT")
_KINDS: dict[str, type[Any]] = {}


def request(cls: type[RequestT]) -> type[RequestT]:
    """Register a request class under its name; the name is what files and sessions hold."""
    _KINDS[cls.__name__] = cls
    return cls


def kinds() -> tuple[type[Any], ...]:
    """Every kind of request."""
    return tuple(_KINDS.values())


def to_json(asked: Any) -> dict[str, Any]:
    """A request as JSON-able data: {"ask": class name, ...fields}."""
    return {"ask": type(asked).__name__, **cards.as_json(asked)}


def from_json(data: dict[str, Any]) -> Any:
    """The inverse of `to_json`.

    Raises:
        Problem: A request this version does not know, or one that lacks a field.
    """
    kind = _KINDS.get(str(data.get("ask")))
    if kind is None:
        raise Problem(f"This version does not know the request {data.get('ask')}.", "Update DGM Studio to open it.")
    try:
        return cards.from_json(kind, {k: v for k, v in data.items() if k != "ask"})
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Problem(f"The request {data.get('ask')} is incomplete: {error}.") from error


# -- opening and knowing --------------------------------------------------------------------------------


@request
@dataclass(frozen=True)
class OpenModel:
    """Result: a `ModelCard`. Also opens a run folder or a foreign file."""

    model: str


@request
@dataclass(frozen=True)
class ListSystems:
    """Result: a tuple of `SystemCard`."""


@request
@dataclass(frozen=True)
class ShowThumbnail:
    """Frame "thumbnail": {"picture": uint8 [H, W] or [H, W, 3]}: one fixed sample of the model."""

    model: str


@request
@dataclass(frozen=True)
class OpenData:
    """Result: a `DataCard`; Frame "examples": {"pictures", "labels"} when it has pictures; Progress before."""

    data: str
    count: int = 64


# -- latents --------------------------------------------------------------------------------------------


@request
@dataclass(frozen=True)
class DescribeLatents:
    """Frame "latents", in stages (Progress between): what the explorer needs to know of a latent space.

    data: "kl" float32 [Z] nats, "order" int [Z] by falling KL, "active" int (units with KL > 0.01 nat or posterior-mean
    variance > 0.01), "mean" [Z] and "std" [Z] of the aggregate posterior, "components" [K, Z] and "explained" [K]
    principal directions of the posterior means (unit length, K = min(Z, 32)), "directions": {factor:category: [Z]},
    "separation": {factor:category: AUC}, "points" float32 [N, Z] posterior means, "deviations" float32 [N, Z] posterior
    standard deviations, "indices" int [N] into the split, "factors": {name: int [N]}, "split".
    """

    model: str
    split: str = "valid"
    count: int = 1000


@request
@dataclass(frozen=True)
class DecodeLatent:
    """Frame "decoded": {"picture", "z", "log_prior" nats, "milliseconds"}.

    Args:
        model: Model key.
        z: Latent vector, [Z].
    """

    model: str
    z: tuple[float, ...]


@request
@dataclass(frozen=True)
class DecodeMany:
    """Frame "decoded": {"pictures" [N, H, W(, 3)], "z" [N, Z]}; in slices, each as a Frame with all pictures so far."""

    model: str
    z: tuple[tuple[float, ...], ...]


@request
@dataclass(frozen=True)
class DecodeTiles:
    """A plane of the latent space painted with decoded pictures.

    Frame "tile/LEVEL/I/J" for each tile, nearest to the centre first: {"picture": one picture of `per_tile` x
    `per_tile` decoded cells, "level", "i", "j"}. Tile (i, j) of a level covers the square [i s, (i + 1) s) x
    [j s, (j + 1) s) in plane coordinates with s = 2 ** -level, column index i along `u`, row index j along `v` (j rises
    upward: v is up).

    Args:
        model: Model key.
        origin: Point of the latent space at plane coordinates (0, 0), [Z].
        u: Latent step per unit of the horizontal axis, [Z].
        v: Latent step per unit of the vertical axis, [Z].
        level: Zoom level; one tile is 2 ** -level units wide.
        tiles: Wanted (i, j).
        per_tile: Decoded cells along one side of a tile.
    """

    model: str
    origin: tuple[float, ...]
    u: tuple[float, ...]
    v: tuple[float, ...]
    level: int
    tiles: tuple[tuple[int, int], ...]
    per_tile: int = 2


@request
@dataclass(frozen=True)
class DrawDensity:
    """Frame "density": contours' ground in a plane through the latent space.

    data: "x" [A], "y" [B] plane coordinates, "prior" [B, A] log density of the prior restricted to the plane,
    "posterior" [B, A] log density of the aggregate posterior (mean of the points' posteriors) restricted to the plane.
    """

    model: str
    origin: tuple[float, ...]
    u: tuple[float, ...]
    v: tuple[float, ...]
    left: float
    right: float
    bottom: float
    top: float
    columns: int = 64
    split: str = "valid"
    count: int = 1000


@request
@dataclass(frozen=True)
class EncodePicture:
    """The posterior of one picture.

    Frame "posterior": {"mean" [Z], "std" [Z], "kl" nats, "bound" log p(x) bound in nats, "picture": what was seen,
    "reconstruction"}.

    Args:
        model: Model key.
        picture: Nested rows of bytes [H][W] (ink = 255) or [H][W][3]; or empty to use `index` of `split`.
        index: An example of the split.
        split: "train", "valid" or "test".
        file: A picture file of the user's, read and resized as the data room does; "" for none.
    """

    model: str
    picture: tuple[Any, ...] = ()
    index: int = -1
    split: str = "valid"
    file: str = ""


@request
@dataclass(frozen=True)
class FindNeighbours:
    """Training examples nearest to decode(z).

    Frame "neighbours": {"pictures" [k, ...], "distances" [k] root mean square in [0, 1], "indices" [k], "labels":
    [str], "baseline": median distance of a test picture to its nearest training picture}.
    """

    model: str
    z: tuple[float, ...]
    k: int = 6


@request
@dataclass(frozen=True)
class FollowPath:
    """A path through anchors. Frame "path" (again and again while a geodesic relaxes, Progress between).

    data: "z" [N, Z], "pictures" [N, ...], "length" cumulated decoder-space arc length [N] (root mean square pixel
    change), "latent_length" [N], "log_prior" [N] nats, "log_posterior" [N] aggregate-posterior log density, "energy"
    float, "kind".

    Args:
        model: Model key.
        anchors: 2 to 8 latent vectors.
        kind: "linear", "spherical" or "geodesic" (under the decoder's pull-back metric).
        count: Points on the path, ends included.
        closed: Return to the first anchor.
    """

    model: str
    anchors: tuple[tuple[float, ...], ...]
    kind: str = "linear"
    count: int = 24
    closed: bool = False


@request
@dataclass(frozen=True)
class TraverseLatents:
    """Frame "traversals": {"pictures" [R, C, H, W(, 3)], "values" [C], "rows": names}: one row a direction.

    Args:
        model: Model key.
        z: Where from, [Z].
        directions: [R, Z] latent steps per unit.
        names: [R].
        reach: Values run from -reach to +reach.
        count: Pictures in a row, odd.
    """

    model: str
    z: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    names: tuple[str, ...]
    reach: float = 3.0
    count: int = 9


@request
@dataclass(frozen=True)
class SamplePrior:
    """Frame "samples": {"pictures" [N, ...], "z" [N, Z]}; "points" [N, 2] instead of pictures for planar data.

    Args:
        model: Model key.
        count: How many.
        seed: Of the generator.
        truncation: Scale of the prior's spread, 1 = the prior itself.
    """

    model: str
    count: int = 64
    seed: int = 0
    truncation: float = 1.0


@request
@dataclass(frozen=True)
class Reconstruct:
    """Originals and their reconstructions.

    Frame "reconstructions": {"originals" [N, ...], "pictures" [N, ...], "bound" [N] nats, "labels": [str], "indices"
    [N]}.
    """

    model: str
    split: str = "test"
    count: int = 32
    seed: int = 0
    start: int = 0


# -- work (batch lane) ----------------------------------------------------------------------------------


@request
@dataclass(frozen=True)
class Train:
    """Train a run from its beginning, or on from where it stopped. See `training.loop` for what it yields.

    Args:
        run: The run's folder; made when it does not exist.
        system: Name of the system, "" to go on with an existing run.
        data: Name of the data.
        config: The system's settings.
        training: The loop's settings (`training.config.TrainingConfig`).
        seed: Of everything random.
        parent: "KEY@STEP" of the snapshot this run is forked from, or "".
        name: What people call it.
    """

    run: str
    system: str = ""
    data: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    parent: str = ""
    name: str = ""


@request
@dataclass(frozen=True)
class EditRun:
    """Change a setting of a run while it trains; recorded in its metrics as a flag. Result: the values now in force."""

    run: str
    changes: dict[str, Any]


@request
@dataclass(frozen=True)
class ReadRun:
    """Result: {"run": run.json, "series": {name: {"step": [..], "value": [..], "time": [..]}}, "flags": [...]}."""

    run: str


@request
@dataclass(frozen=True)
class Evaluate:
    """Result: {name: Metric}; Progress on the way.

    Args:
        model: Model key.
        split: Which part.
        samples: K of the IWAE bound.
        count: Examples, 0 for all.
        seed: Of the estimator.
    """

    model: str
    split: str = "test"
    samples: int = 100
    count: int = 0
    seed: int = 0


@request
@dataclass(frozen=True)
class Export:
    """Write what a request shows to a file, with its recipe inside. Result: the path; Progress on the way.

    Args:
        ask: `to_json` of the request whose Frame is written.
        path: .png, .gif, .webp, .mp4 (extra `video`) or .npz.
        scale: Whole-number enlargement of each picture.
        theme: "dark" or "light": ink on paper of grey pictures.
        seconds: Length of one loop of a film.
    """

    ask: dict[str, Any]
    path: str
    scale: int = 1
    theme: str = "light"
    seconds: float = 3.0
