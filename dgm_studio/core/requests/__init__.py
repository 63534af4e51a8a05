"""The questions panels ask: frozen plain data, so that undo, sessions, recipes and tests are replays.

Randomness is a seed inside the request. A model is named by its key (see `core.cards.split_key`).

Where a Frame carries pictures ("picture", "pictures", "originals", "reconstruction": uint8, [H, W] or [H, W, 3] each),
a model of planar data gives points in their place ("point" for "picture", "points" for "pictures"; float32 [2] each),
in the standardised coordinates that models see; so does `OpenData`, and samples and data can be laid over one another.
"""

from dgm_studio.core.requests.looking import (
    DecodeLatent,
    DecodeMany,
    DecodeTiles,
    DescribeLatents,
    DrawDensity,
    DrawMap,
    EncodePicture,
    FindNeighbours,
    FollowPath,
    ListSystems,
    OpenData,
    OpenModel,
    Reconstruct,
    SamplePrior,
    ShowThumbnail,
    TraverseLatents,
)
from dgm_studio.core.requests.registry import from_json, kinds, request, to_json
from dgm_studio.core.requests.work import (
    EditRun,
    Evaluate,
    Export,
    ExportMetrics,
    ReadFamily,
    ReadRun,
    Train,
)

__all__ = [
    "DecodeLatent",
    "DecodeMany",
    "DecodeTiles",
    "DescribeLatents",
    "DrawDensity",
    "DrawMap",
    "EditRun",
    "EncodePicture",
    "Evaluate",
    "Export",
    "ExportMetrics",
    "FindNeighbours",
    "FollowPath",
    "ListSystems",
    "OpenData",
    "OpenModel",
    "ReadFamily",
    "ReadRun",
    "Reconstruct",
    "SamplePrior",
    "ShowThumbnail",
    "Train",
    "TraverseLatents",
    "from_json",
    "kinds",
    "request",
    "to_json",
]
