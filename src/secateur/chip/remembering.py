"""A memory of commands for a chip that has none: what serves a lab's own board."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from secateur.chip import doubt
from secateur.chip.board import Done
from secateur.chip.chip import Chip
from secateur.chip.command import (
    Command,
    FormedApart,
    Outcome,
    UnansweredError,
    carry_out,
    given_so_far,
)
from secateur.chip.journal import Entry, Journal
from secateur.chip.recalling import check_owner, recall_counts, recall_places
from secateur.errors import ChipError, SecateurError


class Remembering:
    """Carries commands out, each id once, and keeps the ids in a journal at the chip's side.

    A process that dies between a pulse and its note leaves that command in doubt: on opening the
    cells are read, and what stays uncertain is counted as possibly given (`secateur.chip.doubt`).
    A driver that begins anew is told where its weights lie, and a weight that was not formed to its
    end is formed on opening: before anybody is told that it is there.

    Args:
        chip: any; it must know its placement, or be formed apart as a `DrivenChip` is.
        journal: of this chip, written by nobody else.

    Raises:
        SettingError: for the journal of another chip; the difference is named.
        ChipError: where the chip fails at what is still to be given.
    """

    def __init__(self, chip: Chip, journal: Journal) -> None:
        self.chip, self.journal = chip, journal
        #: What has become of commands that were in doubt, a sentence each.
        self.notes: list[str] = []
        # Whether the last weight may lack some of its forming pulses.
        self._unformed = True
        check_owner(chip, journal)
        known = chip.placement.cells
        recall_places(chip, journal)
        self.notes += doubt.resolve(chip, journal)
        recall_counts(chip, journal, first=known)
        self._finish_forming()

    def issue(self, identity: str, command: Command) -> Done:
        """See `RemembersCommands.issue`; of a command that was read back, the rest is given.

        Raises:
            UnansweredError: where it has failed and may have given pulses: its cells are read
                before anything else is done.
        """
        # Failed half way, in this very process: before another hides what the cells tell.
        self.notes += doubt.resolve(self.chip, self.journal)
        self._finish_forming()
        found = self._issue(identity, command)
        if command.kind != "place":
            return found
        self._finish_forming()
        return Done(self._with_forming(identity, found.outcome), again=found.again)

    def outcome_of(self, identity: str) -> Outcome | None:
        """See `RemembersCommands.outcome_of`; with what was missed where a rest is to be given.

        Of a weight, once it is formed to its end: who asks need not give its `place` again.

        Raises:
            ChipError: where the chip fails at that.
        """
        self.notes += doubt.resolve(self.chip, self.journal)
        entry = self.journal.entry(identity)
        if entry is None or entry.outcome is None or entry.outcome.how == "not given":
            return None if entry is None else entry.outcome
        if entry.command.kind == "place":
            self._finish_forming()
            return self._with_forming(identity, entry.outcome)
        outcomes, rest = self._so_far(identity, entry.command)
        return doubt.joined(outcomes) if rest is None else outcomes[0]

    # --- Inside ------------------------------------------------------------------------------

    def _issue(self, identity: str, command: Command) -> Done:
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
        self._unformed |= command.kind == "place"
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
        try:
            self.journal.end(identity, outcome)
        except SecateurError as error:
            # Its pulses were given: a refusal would say that they were not.
            raise UnansweredError(
                f"A {command.kind} of {len(command.cells)} cells was given, and could not be "
                f"written down: {error}",
                remedy="See to it and resume; its cells are read before anything else is given",
            ) from error
        return outcome

    def _finish_forming(self) -> None:
        """Forms the last weight, or what of it was not reached before a failure."""
        if self._unformed and isinstance(self.chip, FormedApart):
            for entry in self._placed()[-1:]:
                assert entry.outcome is not None
                cells = entry.outcome.cells
                begun = self.journal.entry(_forming(entry.identity, 0)) is not None
                if begun or not bool(self.chip.conducting(cells).any()):
                    # What was given of it is known by its id.
                    self.chip.forming.run(_Formed(self, entry.identity), cells)
        self._unformed = False

    def _placed(self) -> list[Entry]:
        entries = self.journal.entries(kind="place")
        return [e for e in entries if e.outcome is not None and len(e.outcome.cells)]

    def _with_forming(self, identity: str, outcome: Outcome) -> Outcome:
        """What has become of a `place`, with the pulses of its forming."""
        found, first = outcome, 0 if not len(outcome.cells) else int(outcome.cells[0])
        counts, possible = outcome.counts.clone(), torch.zeros_like(outcome.counts)
        for own in self.journal.entries(within=identity):
            if own.outcome is None:
                continue
            places = own.outcome.cells - first
            counts[:, places] += own.outcome.counts
            if own.outcome.possible is not None:
                possible[:, places] += own.outcome.possible
        if bool(possible.any()):
            found = replace(found, possible=possible)
        return replace(found, counts=counts)


class _Formed:
    """Takes a forming procedure's pulses as commands of their own, with ids within the weight's."""

    def __init__(self, memory: Remembering, place: str) -> None:
        self._memory, self._place, self._count = memory, place, 0
        self.technology = memory.chip.technology

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        how = {"voltage": voltage, "width": width, "compliance": compliance}
        self._give(Command("form", cells, parameters=how))

    def ramp(
        self, cells: Tensor, *, voltages: Sequence[float], width: float, compliance: float
    ) -> None:
        """See `Chip.ramp`."""
        how = {"voltages": list(voltages), "width": width, "compliance": compliance}
        self._give(Command("ramp", cells, parameters=how))

    def _give(self, command: Command) -> None:
        self._memory._issue(_forming(self._place, self._count), command)
        self._count += 1


def _forming(place: str, number: int) -> str:
    return f"{place}/form {number}"
