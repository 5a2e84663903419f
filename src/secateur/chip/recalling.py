"""A driver that begins anew takes up what its journal knows: where weights lie, and all pulses.

What a driver keeps of its cells ends with its process; the cells do not.
"""

import json

from secateur.chip.chip import Chip
from secateur.chip.command import PULSES, FormedApart
from secateur.chip.journal import Journal
from secateur.chip.state import first_difference
from secateur.errors import ChipError, SettingError


def check_owner(chip: Chip, journal: Journal) -> None:
    """Refuses the journal of another chip, and writes in a new one whose it is.

    Raises:
        SettingError: naming the difference.
    """
    own = {k: v for k, v in chip.identity().items() if k != "regions"}
    written = journal.note("chip")
    if written is None:
        journal.set_note("chip", json.dumps(own))
    elif found := first_difference(own, json.loads(written)):
        raise SettingError(
            f"This is the journal of another chip: {found}", where=str(journal.path),
            remedy="Give the chip that it was begun with, or a new file",
        )  # fmt: skip


def cells_per_command(chip: Chip, journal: Journal) -> int | None:
    """Cells that a command of the run may name: what its first process has found to be possible.

    So that a command that goes in parts goes in the same ones whenever the run comes to it again.
    """
    written = journal.note("cells per command")
    if written is None and chip.cells_per_command is not None and not len(journal):
        # One with commands was begun when they went whole.
        journal.set_note("cells per command", written := str(chip.cells_per_command))
    return None if written is None else int(written)


def recall_places(chip: Chip, journal: Journal) -> None:
    """Allots the weights that a journal has placed and the chip does not know, without a pulse.

    Only a chip that is formed apart can be told; any other is taken to know its weights itself.

    Raises:
        ChipError: where the journal's first weight for it does not follow those it has.
    """
    if not isinstance(chip, FormedApart):
        return
    for entry in journal.entries(kind="place"):
        outcome, asked = entry.outcome, entry.command.parameters
        if outcome is None or not len(outcome.cells):
            continue
        first = int(outcome.cells[0])
        if first > chip.placement.cells:
            raise ChipError(
                f"The chip has {chip.placement.cells} cells in use, its journal goes on at {first}",
                where=str(journal.path), cause="weights were placed on it without this journal",
                remedy="Place these again before the journal is put around the chip",
            )  # fmt: skip
        if first == chip.placement.cells:
            chip.allot(asked["name"], tuple(asked["shape"]), inputs_first=asked["inputs_first"])


def recall_counts(chip: Chip, journal: Journal, *, first: int) -> None:
    """Counts the journal's pulses of cells from `first` on in the chip's ledger.

    Those that were possibly given as well: a driver counts a pulse before it is sent.
    """
    total = chip.placement.cells
    if total <= first:
        return
    for possible in (False, True):
        counts = journal.counts(total, possible=possible)
        for name in PULSES:
            getattr(chip.ledger, name)[first:] += getattr(counts, name)[first:]
