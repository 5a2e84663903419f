"""A memory of commands for a chip that has none: what serves a lab's own board."""

from secateur.chip import doubt
from secateur.chip.board import Done
from secateur.chip.chip import Chip
from secateur.chip.command import Command, Outcome, carry_out, given_so_far
from secateur.chip.journal import Entry, Journal
from secateur.errors import ChipError, SecateurError


class Remembering:
    """Carries commands out, each id once, and keeps the ids in a journal at the chip's side.

    A process that dies between a pulse and its note leaves that command in doubt: on opening the
    cells are read, and what stays uncertain is counted as possibly given (`secateur.chip.doubt`).

    Args:
        chip: any; it must know its placement, or leave formed cells alone when they are placed
            again.
        journal: of this chip, written by nobody else.
    """

    def __init__(self, chip: Chip, journal: Journal) -> None:
        self.chip, self.journal = chip, journal
        #: What has become of commands that were in doubt, a sentence each.
        self.notes: list[str] = []
        for entry in journal.in_doubt():
            self._resolve(entry)

    def issue(self, identity: str, command: Command) -> Done:
        """See `RemembersCommands.issue`; of a command that was read back, the rest is given."""
        for entry in self.journal.in_doubt():
            # Failed half way, in this very process: before another hides what the cells tell.
            self._resolve(entry)
        known = self.journal.entry(identity)
        if known is None or known.outcome is None or known.outcome.how == "not given":
            return Done(self._give(identity, command), again=False)
        if known.command.digest() != command.digest():
            raise ChipError(
                f"Command {identity} was another one when it was first given",
                cause="two runs use the same ids, or a resumed run has taken other steps",
                remedy="Begin a new run",
            )
        outcome = known.outcome
        rest = doubt.rest_of(command, outcome) if outcome.how == "read back" else None
        if rest is not None:
            return self.issue(identity + "+", rest)
        return Done(outcome, again=True)

    def outcome_of(self, identity: str) -> Outcome | None:
        """See `RemembersCommands.outcome_of`; None where a rest is still to be given."""
        entry = self.journal.entry(identity)
        outcome = None if entry is None else entry.outcome
        if outcome is None or outcome.how != "read back":
            return outcome
        return None if outcome.missed is not None and len(outcome.missed) else outcome

    def _give(self, identity: str, command: Command) -> Outcome:
        self.journal.begin(identity, command)
        before = given_so_far(self.chip)
        try:
            outcome = carry_out(self.chip, command)
        except SecateurError:
            if given_so_far(self.chip) == before:
                self.journal.end(identity, Outcome.without(command, "not given"))
            raise
        self.journal.end(identity, outcome)
        return outcome

    def _resolve(self, entry: Entry) -> None:
        """Reads the cells of a command in doubt, and writes what they tell."""
        earlier = [e for e in self.journal.entries() if e.identity != entry.identity]
        before = doubt.sides(earlier, entry.command.cells)
        outcome = doubt.read_back(self.chip, entry.command, before)
        self.notes.append(doubt.in_words(entry.command, outcome))
        self.journal.end(entry.identity, outcome)
