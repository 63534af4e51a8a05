"""Questions of the interactive lane: opening, latents, samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dgm_studio.core.requests.registry import request


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
    """Frame "thumbnail": {"picture": uint8 [H, W] or [H, W, 3]}: one fixed sample.

    Of planar data it is the density of many.
    """

    model: str


@request
@dataclass(frozen=True)
class OpenData:
    """Result: a `DataCard`; Progress before.

    Frame "examples": {"pictures", "labels": [str], "factors": {name: int [N]}, "report": lines on what was skipped in
    the user's own files}.
    """

    data: str
    count: int = 64


# -- latents --------------------------------------------------------------------------------------------


@request
@dataclass(frozen=True)
class DescribeLatents:
    """Frame "latents", once, after Progress: what the explorer needs to know of a latent space.

    data: "kl" float32 [Z] nats, "order" int [Z] by falling KL, "active" int (units with KL > 0.01 nat or posterior-mean
    variance > 0.01), "means_variance" [Z] of the posterior means, "mean" [Z] and "std" [Z] of the aggregate posterior,
    "components" [K, Z] principal directions of the posterior means (unit length, K = min(Z, 32)), "component_std" [K]
    of the posterior means along each, "explained" [K] part of the variance, "directions": {factor:category: [Z]} (unit
    length, from the mean of all others to the mean of the category), "direction_std": {factor:category: float} of the
    posterior means along each, "separation": {factor:category: held-out AUC of a linear discriminant},
    "points" float32 [N, Z] posterior means, "deviations" float32 [N, Z] posterior
    standard deviations, "indices" int [N] into the split, "factors": {name: int [N]}, "split".
    """

    model: str
    split: str = "valid"
    count: int = 1000


@request
@dataclass(frozen=True)
class DecodeLatent:
    """Frame "decoded": {"picture", "z", "log_prior" nats, "milliseconds" that the decoder took}.

    Args:
        model: Model key.
        z: Latent vector, [Z].
    """

    model: str
    z: tuple[float, ...]


@request
@dataclass(frozen=True)
class DecodeMany:
    """Frame "decoded": {"pictures" [n, H, W(, 3)], "z" [n, Z], "of": N}; in slices, each Frame with all n so far."""

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
    "posterior" [B, A] log density of the aggregate posterior (mean of the points' posteriors) restricted to the plane;
    "contours": a list of {"kind": "prior" or "posterior", "fraction": of the mass on the whole plane that it encloses
    (0.5, 0.9), "level": its log density, "lines": [float32 [n, 2] in plane coordinates]}. The Frame comes first with
    the prior alone; "prior" or "posterior" is absent when the model has none.
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
class DrawMap:
    """A plane of the latent space as one picture, for export.

    Frame "map": {"picture": uint8 [rows h, columns w(, 3)], "rows": int, "columns": int}, cells of decoded pictures
    at the middles of an even grid over the rectangle; rows follow from the rectangle's shape. In slices, each with what
    is decoded so far (undecoded cells are blank), from the top row down.

    Args:
        model: Model key.
        origin: Point of the latent space at plane coordinates (0, 0), [Z].
        u: Latent step per unit of the horizontal axis, [Z].
        v: Latent step per unit of the vertical axis, [Z].
        left: Of the rectangle, in plane coordinates.
        right: Likewise.
        bottom: Likewise.
        top: Likewise.
        columns: Decoded cells across.
    """

    model: str
    origin: tuple[float, ...]
    u: tuple[float, ...]
    v: tuple[float, ...]
    left: float
    right: float
    bottom: float
    top: float
    columns: int = 15


@request
@dataclass(frozen=True)
class EncodePicture:
    """The posterior of one picture.

    Frame "posterior": {"mean" [Z], "std" [Z], "kl" nats, "kl_per_dim" [Z], "bound" on log p(x) in nats, "picture": what
    was seen, "reconstruction"}.

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
    [str], "baseline": median distance of a test picture to its nearest training picture, NaN while not yet known}.
    """

    model: str
    z: tuple[float, ...]
    k: int = 6


@request
@dataclass(frozen=True)
class FollowPath:
    """A path through anchors. Frame "path" (again and again while a geodesic relaxes, Progress between).

    data: "z" [N, Z], "pictures" [N, ...], "length" cumulated decoder-space arc length [N] (root mean square pixel
    change), "latent_length" [N], "log_prior" [N] nats, "log_posterior" [N] aggregate-posterior log density (NaN when
    the model does not encode), "energy" float, "anchors" int (where they stand among the N), "kind", "settled" (False
    while it still relaxes).

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
    """Frame "traversals": {"pictures" [R, C, H, W(, 3)], "values" [C], "rows": names, "ready"}: one row a direction.

    "ready" rows are decoded so far, the others are blank.

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
    """Frame "samples": {"pictures" [n, ...], "z" [n, Z], "of": count}; in slices, each Frame with all n so far.

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
    [N]}. It comes twice: the bounds, which take longer, are NaN at first, and stay so when the model does not score.
    """

    model: str
    split: str = "test"
    count: int = 32
    seed: int = 0
    start: int = 0
