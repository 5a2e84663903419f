"""A memory of commands for a chip that has none: what serves a lab's own board."""

from secateur.chip import doubt
from secateur.chip.board import Done
from secateur.chip.chip import Chip
from secateur.chip.command import Command, Outcome, UnansweredError, carry_out, given_so_far
from secateur.chip.journal import Journal
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
        self._resolve()

    def issue(self, identity: str, command: Command) -> Done:
        """See `RemembersCommands.issue`; of a command that was read back, the rest is given.

        Raises:
            UnansweredError: where it has failed and may have given pulses: its cells are read
                before anything else is done.
        """
        self._resolve()
        known = self.journal.entry(identity)
        if known is not None and known.command.digest() != command.digest():
            raise ChipError(
                f"Command {identity} was another one when it was first given",
                cause="two runs use the same ids, or a resumed run has taken other steps",
                remedy="Begin a new run",
            )
        outcomes, rest = self._so_far(identity, command)
        again = rest is None
        while rest is not None:
            self._give(identity + "+" * len(outcomes), rest)
            outcomes, rest = self._so_far(identity, command)
        return Done(doubt.joined(outcomes), again=again)

    def outcome_of(self, identity: str) -> Outcome | None:
        """See `RemembersCommands.outcome_of`; with what was missed where a rest is to be given."""
        self._resolve()
        entry = self.journal.entry(identity)
        if entry is None or entry.outcome is None or entry.outcome.how == "not given":
            return None if entry is None else entry.outcome
        outcomes, rest = self._so_far(identity, entry.command)
        return doubt.joined(outcomes) if rest is None else outcomes[0]

    def _so_far(self, identity: str, command: Command) -> tuple[list[Outcome], Command | None]:
        """What has become of a command and of its rests, and what of it is still to be given."""
        outcomes: list[Outcome] = []
        rest: Command | None = command
        while rest is not None:
            entry = self.journal.entry(identity + "+" * len(outcomes))
            outcome = None if entry is None else entry.outcome
            if outcome is None or outcome.how == "not given":
                break
            outcomes.append(outcome)
            rest = doubt.rest_of(rest, outcome) if outcome.how == "read back" else None
        return outcomes, rest

    def _give(self, identity: str, command: Command) -> Outcome:
        self.journal.begin(identity, command)
        before = given_so_far(self.chip)
        try:
            outcome = carry_out(self.chip, command)
        except Exception as error:
            if isinstance(error, SecateurError) and given_so_far(self.chip) == before:
                self.journal.end(identity, Outcome.without(command, "not given"))
                raise
            raise UnansweredError(
                f"A {command.kind} of {len(command.cells)} cells failed: {error}",
                cause="the instrument stopped after some of its pulses",
                remedy="See to it and resume; its cells are read before anything else is given",
            ) from error
        self.journal.end(identity, outcome)
        return outcome

    def _resolve(self) -> None:
        """Reads the cells of commands in doubt, and writes what they tell.

        On opening, and where one has failed half way: before another hides it.
        """
        for entry in self.journal.in_doubt():
            earlier = [e for e in self.journal.entries() if e.identity != entry.identity]
            before = doubt.sides(earlier, entry.command.cells)
            outcome = doubt.read_back(self.chip, entry.command, before)
            self.notes.append(doubt.in_words(entry.command, outcome))
            self.journal.end(entry.identity, outcome)
