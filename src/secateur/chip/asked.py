"""What a run has asked of its cells: a function of its commands alone, the same on every way."""

import torch
from torch import Tensor

from secateur.chip.command import Command, Outcome
from secateur.chip.journal import Journal


class Asked:
    """SET and RESET pulses of each cell that a run's commands have asked for, up to where it is.

    Whatever is uncertain about what was given. Counted on from command to command, and worked out
    by the journal where that is not known.

    Args:
        journal: of the run.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._counts: Tensor | None = None

    @property
    def known(self) -> bool:
        """Whether the journal need not be asked."""
        return self._counts is not None

    def forget(self) -> None:
        """The run has gone elsewhere, or nobody knows yet what has become of a command."""
        self._counts = None

    def add(self, command: Command) -> None:
        """One more command; a rest was asked for with its command."""
        if command.kind in ("place", "write_verify"):
            # The chip has other cells than before, or knows alone how many pulses it took.
            self.forget()
        elif self._counts is not None:
            _add(self._counts, command, None)

    def counts(self, position: int, *, cells: int) -> Tensor:
        """Those of the commands before a position, int32 (cells,)."""
        if self._counts is None:
            self._counts = _before(self._journal, position, cells=cells)
        return self._counts


def _before(journal: Journal, position: int, *, cells: int) -> Tensor:
    found = torch.zeros(cells, dtype=torch.int32)
    for entry in journal.entries():
        run, _, number = entry.identity.rpartition(":")
        # The rest of a command was asked for with it, but a write's pulses only the chip knows.
        again = number.endswith("+") and entry.command.each_once() is not None
        if run == journal.run and not again and int(number.rstrip("+")) < position:
            _add(found, entry.command, entry.outcome)
    return found


def _add(found: Tensor, command: Command, outcome: Outcome | None) -> None:
    """Adds the SET and RESET pulses of one command, unless it was not given."""
    if outcome is not None and outcome.how in ("refused", "not given"):
        return
    once = command.each_once()
    if once is not None:
        found[command.cells] += once[1:].sum(dim=0, dtype=torch.int32)
    elif outcome is not None:
        # Only the chip knows how many pulses a write has taken.
        given = outcome.counts if outcome.possible is None else outcome.counts + outcome.possible
        found[outcome.cells] += given[1:].sum(dim=0, dtype=torch.int32)
