"""What panels wish for and only the window can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dgm_studio.core.cards import split_key
from dgm_studio.core.studio import Wish
from dgm_studio.gui import places, writing

if TYPE_CHECKING:
    from dgm_studio.gui.window import StudioWindow


class Granter:
    """Grants wishes in one window."""

    def __init__(self, window: StudioWindow) -> None:
        self._window = window

    def grant(self, wish: Wish) -> None:
        """Do what a wish asks for.

        Raises:
            KeyError: There is no such kind of wish.
        """
        granted: dict[str, Callable[..., None]] = {
            "open": self._open,
            "new run": self._new_run,
            "fork": self._fork,
            "compare": self._compare,
            "export": self._export,
            "bookmark": self._bookmark,
            "tell": self._tell,
        }
        granted[wish.kind](**wish.values)

    def _open(self, key: str, panel: str, state: dict[str, Any]) -> None:
        self._window.open(key, panel, state)

    def _new_run(self, **values: Any) -> None:
        self._window.new_run(**values)

    def _fork(self, card: Any, step: int | None, changes: dict[str, Any]) -> None:
        base, at = split_key(card.key)
        step = step if step is not None else at
        key = base if step is None else f"{base}@{step}"
        config = card.config | {k: v for k, v in changes.items() if k in card.config}
        training = card.training | {k: v for k, v in changes.items() if k not in card.config}
        steps, start = int(training.get("steps", 0) or 0), int(step if step is not None else card.step)
        if steps and start >= steps:  # a fork of the end of a run has as many steps before it as the run had
            training["steps"] = start + steps
        self._window.new_run(
            system=card.system, data=card.data, config=config, training=training, parent=key, name=f"{card.name} fork"
        )

    def _compare(self, card: Any) -> None:
        self._window.studio.compare_toggle(card.key)

    def _export(self, request: Any, name: str, state: dict[str, Any], panel: str) -> None:
        writing.export(self._window, writing.Shown(request, name, panel, state))

    def _bookmark(self, name: str) -> None:
        places.bookmark(self._window, name)

    def _tell(self, sentence: str, level: str, action: str) -> None:
        self._window.say(f"{sentence} {action}".strip())
