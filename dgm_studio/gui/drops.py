"""What to do with a file that is opened or dropped: look, restore, train on, encode, or say what it is not."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgm_studio.core import recipes
from dgm_studio.core.cards import Capability, ModelCard, split_key
from dgm_studio.core.recipes import Recipe
from dgm_studio.core.updates import Problem
from dgm_studio.gui import choosing, places

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

WEIGHTS = (".safetensors",)
FOREIGN = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".onnx", ".h5")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
ARRAYS = (".npz", ".npy")
TABLES = (".csv",)
LOOKED_AT = 500  # entries of a folder
EXPORTS = (".png", ".gif", ".webp", ".mp4", ".npz", ".svg")
OPENED = dict.fromkeys((*WEIGHTS, *EXPORTS, *PICTURES, *ARRAYS, *TABLES))
FILTER = f"Everything that opens (*{' *'.join(OPENED)});;All files (*)"


class Kind(StrEnum):
    """What a file or folder is good for."""

    RUN = "run"
    MODEL = "model"
    FOREIGN = "foreign"
    RECIPE = "recipe"
    PICTURE = "picture"
    DATA = "data"
    UNKNOWN = "unknown"
    MISSING = "missing"


def kind_of(path: Path) -> Kind:
    """Look at a name, and into the file only where an export may carry its recipe.

    Raises:
        Problem: Its recipe is damaged or of a newer version.
        OSError: The folder cannot be read.
    """
    if not path.exists():
        return Kind.MISSING
    if path.is_dir():
        if (path / "run.json").is_file():
            return Kind.RUN
        return Kind.DATA if _holds_pictures(path) else Kind.UNKNOWN
    ending = path.suffix.lower()
    if ending in WEIGHTS:
        return Kind.MODEL
    if ending in FOREIGN:
        return Kind.FOREIGN
    if ending in EXPORTS and recipe_in(path) is not None:
        return Kind.RECIPE
    if ending in (*ARRAYS, *TABLES):
        return Kind.DATA
    return Kind.PICTURE if ending in PICTURES else Kind.UNKNOWN


def _holds_pictures(folder: Path, depth: int = 2) -> bool:
    """Whether there are pictures in a folder or in those inside it (classes); huge ones are looked at in part."""
    children = list(islice(folder.iterdir(), LOOKED_AT))
    if any(child.suffix.lower() in PICTURES for child in children):
        return True
    return depth > 1 and any(_holds_pictures(child, depth - 1) for child in children if child.is_dir())


def recipe_in(path: Path) -> Recipe | None:
    """The recipe an exported file carries, None when it carries none.

    Raises:
        Problem: It carries one that is damaged or of a newer version, or cannot be read.
    """
    return recipes.read_recipe(path) if path.stat().st_size <= recipes.LARGEST_FILE else None


def choose(window: StudioWindow) -> None:
    """Ask for a file and open it."""
    choosing.open_file(window, "Open", FILTER, lambda path: open_paths(window, [path]))


def open_paths(window: StudioWindow, paths: Sequence[str]) -> None:
    """Open each; of several pictures the first is encoded, and how to train on them is said."""
    plain = [name for name in paths if len(paths) > 1 and _is_plain_picture(Path(name))]
    if len(plain) > 1:
        paths = [name for name in paths if name not in plain[1:]]
    for name in paths:
        try:
            _open(window, Path(name))
        except (Problem, OSError) as error:
            window.say(f"{Path(name).name}: {_words(error)}")
    if len(plain) > 1:
        folder = Path(plain[0]).absolute().parent
        act = partial(window.new_run, data=f"folder:{folder}")
        window.say(f"Of {len(plain)} pictures {Path(plain[0]).name} is encoded.", f"Train on {folder.name}", act)


def _is_plain_picture(path: Path) -> bool:
    try:
        return kind_of(path) is Kind.PICTURE
    except (Problem, OSError):  # said when its turn comes
        return False


def _words(error: Problem | OSError) -> str:
    if isinstance(error, Problem):
        return f"{error.sentence} {error.action}".strip()
    return f"It cannot be read ({error.strerror or error})."


def _open(window: StudioWindow, path: Path) -> None:
    kind = kind_of(path)
    if kind is Kind.RUN:
        window.studio.remember(str(path))
        window.open(f"run:{path.absolute()}")
    elif kind is Kind.FOREIGN:
        window.say(f"{path.name}: checkpoints of this kind are not opened yet, only .safetensors from DGM Studio.")
    elif kind is Kind.MODEL:
        window.open(str(path.absolute()))
    elif kind is Kind.RECIPE:
        _restore(window, path)
    elif kind is Kind.DATA:
        source = "folder" if path.is_dir() else "table" if path.suffix.lower() in TABLES else "file"
        where = f"{source}:{path.absolute()}"
        window.say(f"{path.name} can be trained on.", "New run with it", partial(window.new_run, data=where))
    elif kind is Kind.PICTURE:
        _encode(window, path)
    elif kind is Kind.MISSING:
        window.say(f"{path.name} is not there any more.")
    else:
        window.say(f"{path.name} is neither a model, a run, an export nor data that DGM Studio reads.")


def _encode(window: StudioWindow, path: Path) -> None:
    panel = window.centre.current()
    if panel is not None and panel.take_file(str(path.absolute())):
        return
    card = window.studio.card
    if card is None or not _encodes(card):
        first = next((c for c in window.shelf.box() if _encodes(c)), None)
        if first is None:
            window.say(f"{path.name} is a picture: open a model that encodes, then drop it on its latent space.")
        else:
            act = partial(_encode_with, window, path, first)
            window.say(f"{path.name} is a picture and carries no recipe.", f"Encode it with {first.name}", act)
        return
    _encode_with(window, path, card)


def _encodes(card: ModelCard) -> bool:
    return {Capability.ENCODES, Capability.DECODES} <= card.capabilities and card.image() is not None


def _encode_with(window: StudioWindow, path: Path, card: ModelCard) -> None:
    window.open(card.key, "latent")
    panel = window.centre.current()
    if panel is None or not panel.take_file(str(path.absolute())):
        window.say(f"{path.name} could not be encoded with {card.name}.")


def _restore(window: StudioWindow, path: Path) -> None:
    """Go back to exactly what an exported file shows."""
    recipe = recipe_in(path)
    if recipe is None:
        raise Problem(f"{path.name} carries no recipe.")
    key = _key_in(window, recipe)
    window.studio.remember(str(path))
    panel, state = recipe.panel, recipe.state
    if not panel:
        panel, state = _panel_for(recipe)
    if not panel:
        window.say(f"{path.name} holds what no panel shows; its model is opened.")
    places.go_to(window, key, panel, state, f"Open {path.name}")
    card = window.studio.card
    newest = split_key(key)[1] is None
    if newest and card is not None and recipe.sha256 and card.sha256 and recipe.sha256 != card.sha256:
        window.say(f"{card.name} has other weights now than when {path.name} was made; the picture may differ.")


def _key_in(window: StudioWindow, recipe: Recipe) -> str:
    """The model that a recipe names, at the step it had: a run may have gone on since."""
    key = str(recipe.request.get("model") or recipe.model)
    base, step = split_key(key)
    if step is None and base.startswith("run:"):
        card = window.studio.cards.get(base) or window.shelf.read(base)
        if card.step != recipe.step and recipe.step in card.snapshots:
            return f"{base}@{recipe.step}"
    return key


def _panel_for(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Exported without a window: the panel that shows such a request, and the state in which it does."""
    from dgm_studio.gui import panels

    asked = recipe.asked()
    for kind in panels.panels():
        state = kind.state_of(asked)
        if state is not None:
            return kind.name, state
    return "", {}
