"""Every data set by name. Reading cards needs no torch; loading does, and can be drained step by step.

Names: a set in the box ("mnist5k"), a toy in the plane ("moons"), "folder:/path", "file:/path.npz" or
"table:/path.csv". A name of the user's own may end in "@48" to ask for pictures of 48 x 48; loading writes the size
that was chosen back into the card's name, so that a run that is resumed asks for the same. Any name may end in
"~digit=10": see `kept`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dgm_studio.core.cards import DataCard, from_json
from dgm_studio.core.resources import resource
from dgm_studio.core.updates import Problem
from dgm_studio.data.kept import keep, kept_card, split_name
from dgm_studio.data.toy_cards import toy_cards

if TYPE_CHECKING:
    from dgm_studio.data.dataset import Dataset

Loading = Generator[tuple[int, int, str], None, "Dataset"]


@cache
def cards() -> dict[str, DataCard]:
    """The cards of everything that needs no file of the user's, by name; sets in the box first."""
    paths = sorted(resource("data").glob("*.json"))
    boxed = [from_json(DataCard, json.loads(path.read_text("utf-8"))) for path in paths]
    return {card.name: card for card in [*boxed, *toy_cards()]}


def card(name: str) -> DataCard:
    """The card of a set in the box or a toy. For the user's own files ask `load(name).card`: they must be read first.

    Raises:
        Problem: There is no such set, or not so much of it.
    """
    known, (base, asked) = cards(), split_name(name)
    if asked:
        return kept_card(card(base), asked)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = (
        f"Did you mean {near[0]}?"
        if near
        else f"Choose one of {', '.join(known)}, folder:PATH, file:PATH or table:PATH."
    )
    raise Problem(f"There is no data set called {name!r}.", hint)


def loading(name: str) -> Loading:
    """Loads a data set in steps of at most about 50 ms.

    Yields:
        (done, total, what is being done); total is 0 while it is not known.

    Returns:
        The data set.

    Raises:
        Problem: There is no such set, or the user's files hold too little to learn from.
    """
    base, asked = split_name(name)
    if asked:
        return keep((yield from loading(base)), asked)
    if name.startswith("folder:"):
        from dgm_studio.data.folder import open_folder

        path, size = _with_size(name.removeprefix("folder:"))
        return (yield from open_folder(path, size))
    if name.startswith("file:"):
        from dgm_studio.data.array_file import open_file

        path, size = _with_size(name.removeprefix("file:"))
        return (yield from open_file(path, size))
    if name.startswith("table:"):
        from dgm_studio.data.table import open_table

        path, size = _with_size(name.removeprefix("table:"))
        return (yield from open_table(path, size))
    described = card(name)
    yield 0, 1, f"Reading {described.title}"
    if described.modalities[0].kind == "points":
        from dgm_studio.data.toys import load_toy

        return load_toy(described)
    if "from" in described.made:
        from dgm_studio.data.averaged import load_averaged

        return (yield from load_averaged(described, (yield from loading(described.made["from"]))))
    if described.made:
        return (yield from _pairing(described))
    from dgm_studio.data.packed import load_packed

    return (yield from load_packed(described, resource("data", f"{name}.npz")))


def _pairing(described: DataCard) -> Loading:
    from dgm_studio.data.pairs import load_pairs

    first = yield from loading(described.made["first"])
    second = yield from loading(described.made["second"])
    return (yield from load_pairs(described, first, second))


def load(name: str) -> Dataset:
    """Loads a data set in one go. See `loading`."""
    steps = loading(name)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            dataset: Dataset = finished.value
            return dataset


def own_path(name: str) -> Path | None:
    """The file or folder of the user's that a name means; None for what is in the box.

    >>> own_path("file:/data/cats.npz@32~image=50%").name, own_path("mnist5k")
    ('cats.npz', None)
    """
    kind, _, rest = split_name(name)[0].partition(":")
    return Path(_with_size(rest)[0]).expanduser() if rest and kind in ("folder", "file", "table") else None


def _with_size(path: str) -> tuple[str, int | None]:
    before, at, size = path.rpartition("@")
    # a folder may really be called "cats@2"
    asks = bool(at) and size.isdecimal() and len(size) <= 4 and not Path(path).expanduser().exists()
    return (before, int(size)) if asks else (path, None)
