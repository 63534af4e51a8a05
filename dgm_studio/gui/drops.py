"""What to do with a file that is opened or dropped: look, restore, train on, encode, or say what it is not."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QFileDialog

from dgm_studio.core import recipes
from dgm_studio.core.recipes import Recipe
from dgm_studio.core.updates import Problem

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
ARRAYS = (".npz", ".npy")
EXPORTS = (".png", ".gif", ".webp", ".mp4", ".npz", ".svg")
FILTER = f"Everything that opens (*{' *'.join(dict.fromkeys((*WEIGHTS, *EXPORTS, *PICTURES, *ARRAYS)))});;All files (*)"


class Kind(StrEnum):
    """What a file or folder is good for."""

    RUN = "run"
    MODEL = "model"
    RECIPE = "recipe"
    PICTURE = "picture"
    DATA = "data"
    UNKNOWN = "unknown"
    MISSING = "missing"


def kind_of(path: Path) -> Kind:
    """Look at a name, and into the file only where an export may carry its recipe."""
    if not path.exists():
        return Kind.MISSING
    if path.is_dir():
        if (path / "run.json").is_file():
            return Kind.RUN
        holds = any(child.suffix.lower() in PICTURES for child in path.iterdir())
        return Kind.DATA if holds or any(child.is_dir() for child in path.iterdir()) else Kind.UNKNOWN
    ending = path.suffix.lower()
    if ending in WEIGHTS:
        return Kind.MODEL
    if ending in EXPORTS and recipe_in(path) is not None:
        return Kind.RECIPE
    if ending in ARRAYS:
        return Kind.DATA
    return Kind.PICTURE if ending in PICTURES else Kind.UNKNOWN


def recipe_in(path: Path) -> Recipe | None:
    """The recipe an exported file carries, None when it carries none."""
    try:
        return recipes.read_recipe(path)
    except Problem:  # no recipe inside is no fault: it is a picture, or data
        return None


def choose(window: StudioWindow) -> None:
    """Ask for a file and open it."""
    path, _ = QFileDialog.getOpenFileName(window, "Open", str(Path.home()), FILTER)
    if path:
        open_paths(window, [path])


def open_paths(window: StudioWindow, paths: Sequence[str]) -> None:
    """Open each; several pictures at once are data."""
    for name in paths:
        try:
            _open(window, Path(name))
        except (Problem, OSError) as error:
            window.say(f"{Path(name).name}: {error}")


def _open(window: StudioWindow, path: Path) -> None:
    kind = kind_of(path)
    if kind is Kind.RUN:
        window.studio.remember(str(path))
        window.open(f"run:{path.absolute()}")
    elif kind is Kind.MODEL:
        window.open(str(path.absolute()))
    elif kind is Kind.RECIPE:
        _restore(window, path)
    elif kind is Kind.DATA:
        where = f"folder:{path.absolute()}" if path.is_dir() else f"file:{path.absolute()}"
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
    window.say(f"{path.name} is a picture: open a model that encodes, then drop it on its latent space.")


def _restore(window: StudioWindow, path: Path) -> None:
    """Go back to exactly what an exported file shows."""
    recipe = recipe_in(path)
    if recipe is None:
        raise Problem(f"{path.name} carries no recipe.")
    key = str(recipe.request.get("model") or recipe.model)
    window.studio.remember(str(path))
    panel, state = recipe.panel, recipe.state
    if not panel:
        panel, state = _panel_for(recipe)
    window.open(key, panel, state)
    card = window.studio.card
    if card is not None and recipe.sha256 and card.sha256 and recipe.sha256 != card.sha256:
        window.say(f"{card.name} has other weights now than when {path.name} was made; the picture may differ.")


def _panel_for(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Exported without a window: the panel that shows such a request, and the state in which it does."""
    from dgm_studio.gui import panels

    asked = recipe.asked()
    for kind in panels.panels():
        state = kind.state_of(asked)
        if state is not None:
            return kind.name, state
    return "", {}
