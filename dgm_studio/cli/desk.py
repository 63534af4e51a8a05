"""Asks the workbench from a terminal: the same requests as in the window, answered in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dgm_studio.cli.talk import ProgressLine

if TYPE_CHECKING:
    from dgm_studio.core.cards import ModelCard
    from dgm_studio.core.updates import Update


class Desk:
    """A workbench with somebody who waits for whole answers, a progress line before him.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
    """

    def __init__(self, device: str = "auto") -> None:
        from dgm_studio.explore.workbench import open_workbench

        self._bench = open_workbench(device)

    def card(self, key: str) -> ModelCard:
        """The card of a model.

        Raises:
            Problem: There is none.
        """
        return self._bench.card(key)

    def result(self, request: Any) -> Any:
        """The value of an answer's last Result.

        Raises:
            Problem: It cannot be answered.
        """
        from dgm_studio.core.updates import Result

        values = [update.value for update in self._updates(request) if isinstance(update, Result)]
        return values[-1] if values else None

    def frame(self, request: Any) -> dict[str, Any]:
        """The data of an answer's last Frame.

        Raises:
            Problem: It cannot be answered.
        """
        from dgm_studio.core.updates import Frame

        return [update.data for update in self._updates(request) if isinstance(update, Frame)][-1]

    def _updates(self, request: Any) -> Iterator[Update]:
        from dgm_studio.core.updates import Progress

        line = ProgressLine()
        try:
            for update in self._bench.answer(request):
                if isinstance(update, Progress):
                    line.show(update)
                yield update
        finally:
            line.clear()
