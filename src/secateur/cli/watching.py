"""Progress of a run on stderr: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from secateur.cli.quantities import count, percent

SECONDS_BETWEEN_LINES = 5.0

Line = dict[str, Any]


class Display(Protocol):
    """What can be told about a run: the experiment's `Watch`, without importing it."""

    def begin(self, total_epochs: int) -> None:
        """The epochs of all trials together."""

    def epoch(self, line: Line) -> None:
        """An epoch has ended, with these metrics."""

    def trial(self, result: Line) -> None:
        """A trial has ended, with this result."""

    def notice(self, words: str) -> None:
        """Something holds the run up, or no longer does."""

    def end(self) -> None:
        """Nothing more comes."""


@contextmanager
def display() -> Iterator[Display]:
    """The display that suits stderr; it is ended in any case."""
    # Not Rich's `is_terminal`: FORCE_COLOR would draw bars into log files.
    chosen: Display = Bar(Console(stderr=True)) if sys.stderr.isatty() else Lines(sys.stderr)
    try:
        yield chosen
    finally:
        chosen.end()


class Epochs:
    """Counts epochs done, those of an earlier session of a resumed run included."""

    def __init__(self) -> None:
        self._of_trial: dict[tuple[Any, ...], int] = {}

    @property
    def done(self) -> int:
        """Epochs over all trials."""
        return sum(self._of_trial.values())

    def note(self, line: Line) -> None:
        """A trial stands at the epoch of this line of metrics."""
        self._of_trial[_key(line)] = line["epoch"]

    def note_trial(self, result: Line) -> None:
        """A trial has all its epochs behind it."""
        # A sweep's trial may have none: it failed, or was abandoned.
        self._of_trial[_key(result)] = len(result.get("history", ()))


class Bar:
    """A progress bar over the epochs of all trials, the latest metrics beneath it."""

    def __init__(self, console: Console) -> None:
        self._epochs, self._latest = Epochs(), Text(no_wrap=True, overflow="ellipsis")
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("epochs,"), TimeElapsedColumn(),
            TextColumn("gone,"), TimeRemainingColumn(), TextColumn("left"),
            console=console,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None)
        shown = Group(self._progress, self._latest)
        self._live = Live(shown, console=console, refresh_per_second=4)

    def begin(self, total_epochs: int) -> None:
        """Draws the bar."""
        self._progress.update(self._task, total=total_epochs)
        self._live.start()

    def epoch(self, line: Line) -> None:
        """Moves the bar on."""
        self._epochs.note(line)
        self._progress.update(self._task, completed=self._epochs.done)
        self._latest.plain = metrics(line)

    def trial(self, result: Line) -> None:
        """Leaves a line above the bar."""
        self._epochs.note_trial(result)
        self._progress.update(self._task, completed=self._epochs.done)
        self._live.console.print(outcome(result), markup=False, highlight=False)

    def notice(self, words: str) -> None:
        """Leaves the words above the bar."""
        self._live.console.print(words, markup=False, highlight=False)

    def end(self) -> None:
        """Leaves the bar as it stands."""
        self._live.stop()


class Lines:
    """A line for every finished trial, and for an epoch every few seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._last = stream, clock, clock()
        self._epochs, self._total = Epochs(), 0

    def begin(self, total_epochs: int) -> None:
        """Says how much there is to do."""
        self._total = total_epochs
        self._say(f"{total_epochs} {'epoch' if total_epochs == 1 else 'epochs'} in all")

    def epoch(self, line: Line) -> None:
        """Says how it stands, if nothing was said for a while."""
        self._epochs.note(line)
        if self._clock() - self._last >= SECONDS_BETWEEN_LINES:
            self._say(f"[{self._epochs.done}/{self._total}] {metrics(line)}")

    def trial(self, result: Line) -> None:
        """Says how the trial came out."""
        self._epochs.note_trial(result)
        self._say(f"[{self._epochs.done}/{self._total}] {outcome(result)}")

    def notice(self, words: str) -> None:
        """Says it at once."""
        self._say(words)

    def end(self) -> None:
        """Leaves everything as it stands."""

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
        self._last = self._clock()


def metrics(line: Mapping[str, Any]) -> str:
    """One epoch in words."""
    flips = f", {count(line['flips'])} flips" if line.get("flips") is not None else ""
    return (
        f"{_name(line)}, epoch {line['epoch']}/{line['epochs']}: loss {line['train_loss']:.3f}, "
        f"training accuracy {percent(line['train_accuracy'])}{flips}"
    )


def outcome(result: Mapping[str, Any]) -> str:
    """One trial's result in words."""
    if "figures" not in result:
        after = f" after epoch {result['epochs']}" if "epochs" in result else ""
        why = f": {result['error']}" if "error" in result else ""
        return f"{_name(result)}: {result['state']}{after}{why}"
    # A task's first metric leads its figures.
    metric, value = next(iter(result["figures"].items()))
    return f"{_name(result)}: {_part(result)} {metric.replace('_', ' ')} {percent(value)}"


def _name(line: Mapping[str, Any]) -> str:
    variant = f", {line['variant']}" if line["variant"] else ""
    return f"{line['arm']}{variant}, chip {line['chip']}"


def _part(line: Mapping[str, Any]) -> str:
    """Lines of metrics call it split, results part."""
    return str(line.get("part") or line.get("split"))


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["arm"], line["variant"], line["chip"], _part(line)
