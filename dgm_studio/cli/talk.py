"""How commands speak: one JSON document or a table on standard output, progress and complaints on standard error."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from dgm_studio.core.cards import Metric
    from dgm_studio.core.updates import Progress, Update

EXIT_STATUS = "exit status: 0 done, 1 the work failed (one line says why), 2 wrong usage"
MODEL_HELP = "a checkpoint, a run folder, run:FOLDER@STEP or zoo:NAME"
TERMINAL_EVERY = 0.1  # s between two states of the progress line on a terminal
FILE_EVERY = 10.0  # s between two lines where standard error is a file

Commands = Any  # argparse's own type of sub-parsers is private
Command = Callable[[argparse.Namespace], int]


def add_command(commands: Commands, name: str, function: Command, *, json: bool = True) -> argparse.ArgumentParser:
    """Add a command whose help is the first line of its function's docstring."""
    about = (function.__doc__ or "").splitlines()[0]
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about, epilog=EXIT_STATUS)
    if json:
        command.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    command.set_defaults(command=function)
    return command


def print_json(document: Any) -> int:
    """One document, and nothing else, on standard output; figures that are not finite become null."""
    print(json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False))
    return 0


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Columns as wide as their widest cell."""
    table = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def print_pairs(pairs: Iterable[tuple[str, str]]) -> int:
    """Names and values in two columns; pairs without a value are left out."""
    lines = [(name, value) for name, value in pairs if value]
    width = max(len(name) for name, _ in lines) + 2
    print("\n".join(f"{name:<{width}}{value}" for name, value in lines))
    return 0


def figure(metric: Metric) -> str:
    """A metric in words: "-81.2 ± 0.4 nats (IWAE-100, test)"."""
    error = f" ± {metric.error:.2g}" if metric.error else ""
    about = ", ".join(filter(None, (metric.estimator, metric.split)))
    return f"{metric.value:.5g}{error} {metric.unit}".rstrip() + (f" ({about})" if about else "")


def complain(sentence: str) -> int:
    """One line on standard error; the exit status of work that failed."""
    print(f"dgm-studio: {sentence}", file=sys.stderr)
    return 1


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(7.4), duration(75), duration(4000)
    ('7 s', '1:15', '1:06:40')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressLine:
    """How far the work is, with the time that is left, on standard error.

    A terminal sees one line that is written over; a file gets a line every `FILE_EVERY` seconds.

    Args:
        stream: Where to; standard error when not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._due = time.monotonic() + (0.0 if self._live else FILE_EVERY)
        self._width = 0

    def show(self, progress: Progress, more: str = "") -> None:
        """Show a state, unless one was shown a moment ago.

        Args:
            progress: How far.
            more: Figures that stand beside it.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (TERMINAL_EVERY if self._live else FILE_EVERY)
        left = f"{duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        share = f"{progress.done / progress.total:4.0%}" if progress.total else ""
        words = "  ".join(filter(None, (share, progress.text, more, left)))
        end = "" if self._live else "\n"
        start = "\r" if self._live else ""
        self._stream.write(f"{start}{words:<{self._width}}{end}")
        self._stream.flush()
        self._width = len(words) if self._live else 0

    def clear(self) -> None:
        """Take the line away, so that what is printed next stands alone."""
        if self._live and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def result_of(updates: Iterator[Update]) -> Any:
    """Work an answer off, with a progress line: the value of its last `Result`, or None."""
    from dgm_studio.core.updates import Progress, Result

    line, value = ProgressLine(), None
    try:
        for update in updates:
            if isinstance(update, Progress):
                line.show(update)
            elif isinstance(update, Result):
                value = update.value
    finally:
        line.clear()
    return value
