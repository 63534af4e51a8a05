"""Everything the denoising panel holds, as plain values, and the one object its pages share.

**How a page plugs in.** A page is a `QWidget` built as `XPage(stage, parent)`, entered in the dictionary `PAGES` at the
top of `denoise.py` (one line), with

* `begin()`: the page is seen for the first time: ask what it opens with;
* `receive(topic, update, ticket)`: an update to a question asked with `stage.ask("SECTION/...", request)`. A page's
  topics begin with its section's name and "/"; jobs (`stage.ask.job`) come to every page with the topic `spec.JOB`,
  compare the ticket;
* `show_state()`: the stage has changed (whose film, sampling, condition, what is known of the model; not the playhead
  alone): show it. It may be called while the page is hidden. A page that follows settings of the stage asks again here,
  where they differ from those it asked with last and `stage.state.section` is its own;
* `forget()`: other weights: whatever was asked is old (`show_state` follows);
* `cards`: a sequence of rail cards of its own, built with the page, shown while its section is;
* `common`: names of the panel's cards that it wants in the rail too, out of `COMMON`;
* optionally `told = Signal(str)`: words for the canvas's corner; `shown()`: the request on its canvas, for export and
  recipes; `plot()`: the widget that is written as .svg; `take_key(key) -> bool`; `settle()`: a batch of updates is
  over; and the static `state_of(request) -> dict | None`: the page state that shows a request of somebody else's.

What a page itself has to keep (for undo, sessions, bookmarks) are plain values under its section's name:
`stage.page("race")` reads them, `stage.set_page("race", "Words for undo", evaluations=20)` writes them; without words
it is in the middle of a gesture, and `stage.committed.emit("Words")` ends it. Every write brings `show_state()`.

What all share: `stage.card`, `stage.about` (data of `DescribeDenoiser`, {} until it has come), `stage.take` (the film
that is selected: sampling, seed, count, condition, beginning), `stage.change(...)` which edits that film, and
`stage.pictures` (else the data are points).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from dgm_studio.core import cards
from dgm_studio.core.cards import Factor, Modality, ModelCard, as_json
from dgm_studio.core.requests import Beginning, PlayDenoising, Sampling
from dgm_studio.gui.panels.spec import Ask

SECTIONS = {
    "film": "Film",
    "race": "Race",
    "schedule": "Schedule",
    "plane": "Plane",
    "guidance": "Guidance",
}
COMMON = ("sampling", "draws", "condition", "beginning")
KINDS = {"x": "x at this level", "clean": "Clean estimate", "noise": "Noise estimate", "difference": "Guidance"}
SPEEDS = (0.25, 0.5, 1.0, 2.0)
MOST_SAMPLES, MOST_STEPS, MOST_TAKES, MOST_PINS = 64, 1000, 24, 16
MOST_POINTS, FIRST_POINTS = 512, 256
ROOT = "0"
END = -1
LARGEST_FILM = 512 * 2**20  # bytes of one film; more than that, and only every second, third ... step is kept
LARGEST_TREE = 1024 * 2**20  # of all films together


@dataclass(frozen=True)
class Take:
    """One film of the tree.

    Args:
        key: Names it; `ROOT` for the first.
        sampling: How it is made.
        seed: Of its noise.
        condition: What it is given, {} for nothing.
        beginning: Where the first begins; of a branch the mask alone counts.
        parent: Key of the film it branches from, "" for the first.
        at: Step of that film at which it does.
        name: What is different, in words.
    """

    key: str = ROOT
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    condition: Mapping[str, Any] = field(default_factory=dict)
    beginning: Beginning = field(default_factory=Beginning)
    parent: str = ""
    at: int = 0
    name: str = ""


@dataclass(frozen=True)
class Pin:
    """A frame that stays to be compared with.

    Args:
        take: Key of its film.
        step: Of that film.
        kind: One of `KINDS`.
        sample: Which one, -1 for all.
    """

    take: str = ROOT
    step: int = END
    kind: str = "clean"
    sample: int = -1


@dataclass(frozen=True)
class StageState:
    """The panel's state.

    Args:
        section: One of `SECTIONS`.
        takes: The films, the first one first, parents before their branches.
        selected: Key of the film that is played and edited.
        count: Samples of every film.
        step: Where the playhead is, `END` for the data.
        left: What the left picture shows, one of `KINDS`.
        right: Likewise.
        sample: The sample that is enlarged, -1 for all of them.
        beside: A third picture: "" for none, "take:KEY" for another film, "model:KEY" for another checkpoint.
        speed: Of playing, one of `SPEEDS`.
        loops: Whether it plays round and round.
        pins: Frames that stay.
        own: Whether sampling was changed by hand: until then the model's own settings are taken.
        pages: What the other pages keep, by section.
    """

    section: str = "film"
    takes: tuple[Take, ...] = (Take(),)
    selected: str = ROOT
    count: int = 16
    step: int = END
    left: str = "x"
    right: str = "clean"
    sample: int = -1
    beside: str = ""
    speed: float = 1.0
    loops: bool = False
    pins: tuple[Pin, ...] = ()
    own: bool = False
    pages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = as_json(asdict(self))
        return data

    def taking(self, data: Mapping[str, Any]) -> StageState:
        """This state with the entries of a stored one; entries that mean nothing here keep their value."""
        known = {f.name for f in fields(self)}
        found = {name: _revived(name, value) for name, value in data.items() if name in known}
        taken = replace(self, **{name: value for name, value in found.items() if value is not None})
        keys = {take.key for take in taken.takes}
        pins = tuple(pin for pin in taken.pins if pin.take in keys)
        return replace(taken, pins=pins, selected=taken.selected if taken.selected in keys else ROOT)

    def take(self, key: str) -> Take:
        """A film by its key.

        Raises:
            KeyError: There is none.
        """
        found = next((take for take in self.takes if take.key == key), None)
        if found is None:
            raise KeyError(key)
        return found

    def children(self, key: str) -> tuple[Take, ...]:
        """The films that branch from one, and those that branch from them."""
        keys = {key}
        for take in self.takes:
            if take.parent in keys:
                keys.add(take.key)
        return tuple(take for take in self.takes if take.key in keys - {key})


class Stage(QObject):
    """What the parts of the panel share: the state, what is known of the model, how to ask.

    Signals:
        changed(str): Entries of the state are others now, by their names with blanks between ("takes", "section" ...).
        committed(str): A gesture is over.
    """

    changed = Signal(str)
    committed = Signal(str)

    def __init__(self, card: ModelCard, ask: Ask, parent: QObject) -> None:
        super().__init__(parent)
        self.card, self.ask = card, ask
        self.state = StageState() if self.pictures else StageState(count=FIRST_POINTS)
        self.about: Mapping[str, Any] = {}

    # -- what is known of the model ------------------------------------------------------------------------------------

    @property
    def pictures(self) -> bool:
        """Whether the data are pictures; else points in the plane."""
        return self.card.image() is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture, (H, W) or (H, W, 3); (2,) for points."""
        image = self.card.image()
        if image is None:
            return (2,)
        channels, height, width = image.shape
        return (height, width, 3) if channels == 3 else (height, width)

    def conditions(self) -> tuple[Modality, ...]:
        """What the model can be given."""
        return tuple(
            Modality(
                str(told["name"]),
                str(told["kind"]),
                (len(told.get("columns") or ()),) if told["kind"] == "attributes" else (),
                tuple(told.get("categories") or ()),
                columns=tuple(Factor(str(c["name"]), tuple(c["categories"])) for c in told.get("columns") or ()),
            )
            for told in self.about.get("conditions") or ()
        )

    def set_about(self, about: Mapping[str, Any]) -> None:
        """What `DescribeDenoiser` has told; the model's own sampling where none was chosen by hand."""
        self.about = about
        if not self.state.own and about.get("sampling"):
            own = cards.from_json(Sampling, dict(about["sampling"]))
            root = replace(self.state.takes[0], sampling=own)
            self.state = replace(self.state, takes=(root, *self.state.takes[1:]))

    def take_own(self) -> None:
        """Back to the model's own sampling."""
        if self.about.get("sampling"):
            own = cards.from_json(Sampling, dict(self.about["sampling"]))
            takes = tuple(replace(t, sampling=own) if t.key == self.take.key else t for t in self.state.takes)
            self.set("The model's own settings", takes=takes, own=False)

    # -- the state -----------------------------------------------------------------------------------------------------

    def set(self, name: str = "", **changes: Any) -> None:
        """Change the state, tell everybody; with a name it is a whole gesture."""
        before, self.state = self.state, replace(self.state, **changes)
        different = [key for key in changes if getattr(before, key) != getattr(self.state, key)]
        if different:
            self.changed.emit(" ".join(different))
        if name:
            self.committed.emit(name)

    @property
    def take(self) -> Take:
        """The film that is played and edited."""
        return self.state.take(self.state.selected)

    def change(self, name: str = "", *, sampling: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Edit the selected film; with a name it is a whole gesture.

        Args:
            name: For undo.
            sampling: Entries of its `Sampling`.
            changes: Other entries of `Take` (seed, condition, beginning).
        """
        take = replace(self.take, **changes)
        if sampling:
            chosen = replace(take.sampling, **sampling)
            if chosen.spacing == "own" and chosen.levels:  # then every level is a step
                chosen = replace(chosen, steps=len(chosen.levels))
            take = replace(take, sampling=chosen)
        takes = tuple(take if t.key == take.key else t for t in self.state.takes)
        self.set(name, takes=takes, own=self.state.own or bool(sampling))

    def page(self, section: str) -> Mapping[str, Any]:
        """What a page keeps."""
        return self.state.pages.get(section, {})

    def set_page(self, section: str, name: str = "", **values: Any) -> None:
        """Keep values of a page; with a name it is a whole gesture."""
        own = {**self.page(section), **values}
        self.set(name, pages={**self.state.pages, section: own})

    # -- films ---------------------------------------------------------------------------------------------------------

    def request(self, key: str = "", model: str = "") -> PlayDenoising:
        """The question whose answer is a film.

        Args:
            key: Of the film; the selected one by default.
            model: Another model from the same noise.
        """
        take = self.state.take(key or self.state.selected)
        return PlayDenoising(
            model or self.card.key,
            take.sampling,
            self.state.count,
            take.seed,
            dict(take.condition),
            take.beginning,
            self.request(take.parent, model) if take.parent else None,
            self.branches_at(take),
            self.half(take),
        )

    def branches_at(self, take: Take) -> int:
        """The step at which a film branches off, also where its parent has fewer steps now."""
        if not take.parent:
            return 0
        parent = self.state.take(take.parent)
        return take.at if parent.parent else min(take.at, self.steps_made(parent) - 1)

    def steps_made(self, take: Take) -> int:
        """How many steps of its own a film has: fewer than are asked for where it begins with a picture or branches."""
        steps = take.sampling.steps
        if take.parent:
            parent = self.state.take(take.parent)
            left = 1.0 if parent.parent else 1.0 - self.branches_at(take) / self.steps_made(parent)
            return max(1, round(left * steps))
        deep = take.beginning.depth if take.beginning.kind in ("picture", "inverted") else 1.0
        return max(1, int(deep * steps + 1e-9))

    def half(self, take: Take) -> int:
        """Every which step is kept, so that the film stays within `LARGEST_FILM` and all of them in `LARGEST_TREE`."""
        most = min(LARGEST_FILM, LARGEST_TREE // len(self.state.takes))
        return max(1, -(-self.film_bytes(take) // most))

    def film_bytes(self, take: Take) -> int:
        """What a film takes in memory with all of its steps."""
        numbers = 4 if self.shape == (2,) else 1
        for side in self.shape:
            numbers *= side
        kinds = 4 if take.condition and take.sampling.guidance not in (0.0, 1.0) else 3
        return (self.steps_made(take) + 1) * self.state.count * (numbers * kinds + 4 * 5)

    def free_key(self) -> str:
        """A key that no film has."""
        return str(1 + max(int(take.key) for take in self.state.takes))


# -- what was stored ---------------------------------------------------------------------------------------------------


def takes_of(request: PlayDenoising) -> tuple[Take, ...]:
    """The films that lead to a request of somebody else's, the last of them its own."""
    chain: list[PlayDenoising] = []
    step: PlayDenoising | None = request
    while step is not None:
        chain.append(step)
        step = step.parent
    return tuple(
        Take(
            str(n),
            film.sampling,
            film.seed,
            dict(film.condition),
            film.beginning,
            str(n - 1) if n else "",
            film.at if n else 0,
            f"Branch {n}" if n else "",
        )
        for n, film in enumerate(reversed(chain))
    )


def _revived(name: str, value: Any) -> Any:
    try:
        return _READERS[name](value)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError):
        return None  # an entry of another version: what is here stays


def _takes(value: Any) -> tuple[Take, ...] | None:
    found: dict[str, Take] = {}
    for data in value:
        take = cards.from_json(Take, dict(data))
        if not take.key.isdigit() or take.key in found or (take.parent not in found) != (take.key == ROOT):
            continue
        if take.sampling.steps < 1:
            continue
        found[take.key] = replace(take, condition={str(n): _tuples(v) for n, v in take.condition.items()})
    return tuple(found.values())[:MOST_TAKES] if ROOT in found else None


def as_rows(picture: npt.NDArray[Any]) -> Any:
    """An array as tuples of plain numbers, so that two equal pictures make equal requests."""
    return _tuples(picture.tolist())


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def _pins(value: Any) -> tuple[Pin, ...]:
    pins = [cards.from_json(Pin, dict(data)) for data in value]
    return tuple(pin for pin in pins if pin.kind in KINDS)[:MOST_PINS]


def _one_of(value: Any, choices: Sequence[Any]) -> Any:
    return value if value in choices else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "section": lambda v: _one_of(v, tuple(SECTIONS)),
    "takes": _takes,
    "selected": str,
    "count": lambda v: min(max(int(v), 1), MOST_POINTS),
    "step": lambda v: max(int(v), END),
    "left": lambda v: _one_of(v, tuple(KINDS)),
    "right": lambda v: _one_of(v, tuple(KINDS)),
    "sample": lambda v: max(int(v), -1),
    "beside": str,
    "speed": lambda v: _one_of(float(v), SPEEDS),
    "loops": bool,
    "pins": _pins,
    "own": bool,
    "pages": lambda v: {str(n): dict(own) for n, own in v.items()},
}
