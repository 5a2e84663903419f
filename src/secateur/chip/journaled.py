"""A chip with a journal: nothing is lost, nothing is done twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secateur.chip import doubt
from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import CellStatistics, Chip, PairStatistics, WriteReport
from secateur.chip.command import (
    Answer,
    Command,
    Outcome,
    RemembersCommands,
    UnansweredError,
    carry_out,
    given_so_far,
    raw,
    region_of,
)
from secateur.chip.journal import Journal
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Region
from secateur.chip.state import ChipState, first_difference
from secateur.chip.window import Window
from secateur.errors import ChipError, SecateurError, SettingError

_POSITION = "commands"


class JournaledChip(Chip):
    """Any chip, with every programming command written down before and after it is given.

    The commands of a run are numbered; the number and the journal make the durable id. A program
    that was killed and takes the same steps again, from its beginning or from a state that
    `restore` was given, gives the same ids: what has been given is not given again. What it read
    before a command is answered from the journal where the chip is ahead already.

    On opening, commands in doubt are resolved (see `secateur.chip.doubt`); `notes` says how. A
    simulated chip in memory dies with its process and is brought back by `restore`, so that its
    commands after that are given anew.

    Args:
        chip: any. A deep copy is one of it, without the journal; a real chip is shared.
        journal: of this chip; nobody else writes to it meanwhile.
        attempts: pulses that `switch_verify` gives a cell that does not follow, in all.

    Raises:
        SettingError: for the journal of another chip; the difference is named.
    """

    def __init__(self, chip: Chip, journal: Journal, *, attempts: int = 3) -> None:
        if attempts < 1:
            raise SettingError(f"attempts is {attempts}", remedy="Give 1 pulse or more")
        self.chip, self._journal, self.attempts = chip, journal, attempts
        self.technology, self.placement = chip.technology, chip.placement
        self.seed, self.saves = chip.seed, chip.saves
        #: Why commands are given, for the journal.
        self.reason = ""
        #: What has become of commands that were in doubt, a sentence each.
        self.notes: list[str] = []
        self._position = 0
        self._read: dict[tuple[int, bytes], Tensor] = {}
        # Positions whose answers are not needed since the state was saved, and whether it was.
        self._past, self._saved = (0, 0), False
        self._sent: list[tuple[str, Answer]] = []
        # Whether the last command failed after some of its pulses.
        self._failed = False
        self._check_chip()
        self._resolve()
        # Commands that an earlier process has begun.
        self._given = 0 if chip.saves else journal.position()

    @property
    def ledger(self) -> Ledger:  # type: ignore[override]
        """The chip's own."""
        return self.chip.ledger

    @property
    def journal(self) -> Journal:
        """The journal, complete: waits for commands that are under way."""
        self._note_outcomes(wait=True)
        return self._journal

    @property
    def position(self) -> int:
        """How many commands this run has given by now."""
        return self._position

    # --- Programming -------------------------------------------------------------------------

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`."""
        asked = {"name": name, "shape": list(shape), "inputs_first": inputs_first}
        return region_of(self.chip, self._give(Command("place", parameters=asked)))

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        how = {"voltage": voltage, "width": width, "compliance": compliance}
        self._send(Command("form", self._checked(cells), parameters=how))

    def ramp(
        self, cells: Tensor, *, voltages: Sequence[float], width: float, compliance: float
    ) -> None:
        """See `Chip.ramp`."""
        how = {"voltages": list(voltages), "width": width, "compliance": compliance}
        self._give(Command("ramp", self._checked(cells), parameters=how))

    def set(self, cells: Tensor) -> None:
        """See `Chip.set`."""
        self._send(Command("set", self._checked(cells)))

    def reset(self, cells: Tensor) -> None:
        """See `Chip.reset`."""
        self._send(Command("reset", self._checked(cells)))

    def switch(self, cells: Tensor, up: Tensor) -> None:
        """See `Chip.switch`: one command in the journal."""
        self._send(Command("switch", self._checked(cells), up.cpu()))

    def switch_verify(self, cells: Tensor, up: Tensor) -> Tensor:
        """See `Chip.switch_verify`: read back, and pulsed again, up to `attempts` pulses in all.

        Those that do not follow are marked in the journal as stuck.
        """
        asked, (left, raised) = self.position, (cells, up)
        for attempt in range(self.attempts):
            self.switch(left, raised)
            astray = doubt.is_high(self.technology, self.read_back(left)) != raised
            left, raised = left[astray], raised[astray]
            if not len(left):
                return left
            if attempt == self.attempts - 1:
                self._journal.mark_stuck(left.cpu(), identity=self._journal.identity(asked))
        return left

    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """See `Chip.write_verify`: one command in the journal."""
        how = {"tolerance": tolerance, "attempts": attempts}
        command = Command("write_verify", self._checked(cells), targets.detach().float().cpu(), how)
        return self._give(command).report()

    # --- Reading -----------------------------------------------------------------------------

    def read(self, region: Region, *, key: int) -> Tensor:
        """See `Chip.read`."""
        if self._saved:
            # Too large to be kept for every step; who saves states goes on from one.
            return self.chip.read(region, key=key)
        question = f"read {region.first_cell} {key}".encode()
        return self._answer(question, lambda: self.chip.read(region, key=key))

    def read_back(self, cells: Tensor) -> Tensor:
        """See `Chip.read_back`."""
        return self._answer(b"back" + raw(cells), lambda: self.chip.read_back(cells))

    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """See `Chip.multiply`."""
        return self.chip.multiply(region, voltages, key=key)

    def begin_multiply(self, region: Region, voltages: Tensor, *, key: int) -> Callable[[], Tensor]:
        """See `Chip.begin_multiply`."""
        return self.chip.begin_multiply(region, voltages, key=key)

    def begin_convolve(
        self, region: Region, maps: Tensor, window: Window, *, key: int
    ) -> Callable[[], Tensor]:
        """See `Chip.begin_convolve`."""
        return self.chip.begin_convolve(region, maps, window, key=key)

    def status(self, region: Region) -> Tensor:
        """See `Chip.status`."""
        question = f"status {region.first_cell}".encode()
        return self._answer(question, lambda: self.chip.status(region))

    def conducting(self, cells: Tensor) -> Tensor:
        """See `Chip.conducting`."""
        return self._answer(b"formed" + raw(cells), lambda: self.chip.conducting(cells))

    def statistics(self, region: Region) -> PairStatistics | None:
        """See `Chip.statistics`."""
        return self.chip.statistics(region)

    def mark(self) -> tuple[object, int] | None:
        """See `Chip.mark`."""
        return self.chip.mark()

    def cell_statistics(self, cells: Tensor) -> CellStatistics | None:
        """See `Chip.cell_statistics`."""
        return self.chip.cell_statistics(cells)

    def to(self, device: torch.device) -> None:
        """See `Chip.to`."""
        self.chip.to(device)

    # --- Saving ------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """See `Chip.identity`: the chip's own."""
        return self.chip.identity()

    def state(self) -> ChipState:
        """How many commands were given, beside the cells' state where the chip has one to give.

        Who keeps it need not go through again what was before.
        """
        if not self.saves:
            if (built := self._journal.note("built")) is None:
                # What a program reads until it first saves, it reads again whenever it starts.
                built = str(self._position)
                self._journal.set_note("built", built)
            self._past, self._saved = (int(built) + 1, self._position), True
        inner = self.chip.state()
        tensors = {} if inner is None else inner.tensors
        return ChipState({**tensors, _POSITION: torch.tensor(self._position)}, self.identity())

    def restore(self, state: ChipState) -> None:
        """See `Chip.restore`; a real chip stays as it is, and the run's commands go on from there.

        Raises:
            ChipError: where the journal has not that many commands.
        """
        position = int(state.tensors.get(_POSITION, torch.tensor(0)))
        if self.saves:
            self.chip.restore(state)
            self._journal.rewind(position)
        elif found := first_difference(self.identity(), state.identity):
            raise SettingError(
                f"The saved state belongs to another chip: {found}",
                remedy="Go on with the chip that the run was begun with",
            )
        elif position > self._given:
            raise ChipError(
                f"The saved run has given {position} commands, its journal knows {self._given}",
                where=str(self._journal.path), cause="the journal of another run, or an old copy",
                remedy="Put the run's own journal back",
            )  # fmt: skip
        self._position, self._saved = position, True
        self._read.clear()

    def flush(self) -> None:
        """Waits for commands that are under way, and writes what has become of them."""
        self._note_outcomes(wait=True)
        self._journal.flush()

    def close(self) -> None:
        """Waits for what is under way and closes journal and chip."""
        self.flush()
        self._journal.close()
        self.chip.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Chip:
        if not self.saves:
            return self
        import copy

        return copy.deepcopy(self.chip, memo)

    # --- Inside ------------------------------------------------------------------------------

    def _send(self, command: Command) -> None:
        if len(command.cells):
            self._issue(command)

    def _give(self, command: Command) -> Outcome:
        answer = self._issue(command)
        if isinstance(answer, Outcome):
            return answer
        outcome = self._outcome(*self._sent[-1])
        self._sent.pop()
        return outcome

    def _issue(self, command: Command, ending: str = "") -> Outcome | Answer:
        """Gives a command, unless it was given already: an outcome where it is known."""
        identity = self._journal.identity(self._position) + ending
        known = self._journal.entry(identity) if self._ahead() else None
        if known is not None and known.command.digest() == command.digest():
            outcome = known.outcome
            if outcome is not None and outcome.how in ("done", "read back"):
                rest = doubt.rest_of(command, outcome) if outcome.how == "read back" else None
                if rest is None:
                    self._step()
                    return outcome
                return self._issue(rest, ending + "+")
        if self._failed:
            # Before another command hides what the cells tell of it.
            self._resolve()
            self._failed = False
        self._note_outcomes(wait=False)
        answers = [(*where, found) for where, found in self._read.items()]
        self._journal.begin(
            identity, command, reason=self.reason, answers=answers, forget=self._past
        )
        self._read.clear()
        self._past = (0, 0)
        self._step()
        asked = isinstance(self.chip, RemembersCommands)
        # A chip in memory dies with its process, and what it was given in part with it.
        before = None if asked or self.saves else given_so_far(self.chip)
        try:
            if isinstance(self.chip, RemembersCommands):
                answer = self.chip.issue(identity, command)
                self._sent.append((identity, answer))
                return answer
            outcome = carry_out(self.chip, command)
        except UnansweredError:
            # It may have been given: in doubt, until the chip can be asked.
            raise
        except SecateurError:
            # What has failed after its first pulses is in doubt, until the cells are read.
            self._failed = before is not None and given_so_far(self.chip) != before
            if not self._failed:
                self._journal.end(identity, Outcome.without(command, "refused"))
            raise
        self._journal.end(identity, outcome, at_once=not self.saves)
        return outcome

    def _step(self) -> None:
        self._position += 1

    def _ahead(self) -> bool:
        """Whether an earlier process has been here."""
        return self._position < self._given

    def _outcome(self, identity: str, answer: Answer) -> Outcome:
        try:
            outcome = answer.result()
        except UnansweredError:
            raise
        except SecateurError:
            entry = self._journal.entry(identity)
            assert entry is not None
            self._journal.end(identity, Outcome.without(entry.command, "refused"))
            raise
        self._journal.end(identity, outcome, at_once=False)
        if outcome.possible is not None and (entry := self._journal.entry(identity)) is not None:
            # It was in doubt over there, and nobody has told that yet.
            self.notes.append(doubt.in_words(entry.command, outcome))
        return outcome

    def _note_outcomes(self, *, wait: bool) -> None:
        while self._sent and (wait or self._sent[0][1].done()):
            self._outcome(*self._sent.pop(0))

    def _answer(self, question: bytes, read: Callable[[], Tensor]) -> Tensor:
        if self.saves:
            return read()
        where = (self._position, hashlib.blake2b(question, digest_size=16).digest())
        found = self._journal.answer(*where) if self._ahead() else None
        if found is None:
            found = read()
            self._read[where] = found.detach().cpu().clone()
        return found

    def _checked(self, cells: Tensor) -> Tensor:
        cells = cells.cpu().long()
        total = self.placement.cells
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells

    def _check_chip(self) -> None:
        own = {k: v for k, v in self.identity().items() if k != "regions"}
        written = self._journal.note("chip")
        if written is None:
            self._journal.set_note("chip", json.dumps(own))
        elif found := first_difference(own, json.loads(written)):
            raise SettingError(
                f"This is the journal of another chip: {found}", where=str(self._journal.path),
                remedy="Give the chip that it was begun with, or a new file",
            )  # fmt: skip

    def _resolve(self) -> None:
        for entry in self._journal.in_doubt():
            command = entry.command
            if isinstance(self.chip, RemembersCommands):
                outcome = self.chip.outcome_of(entry.identity)
            elif self.saves:
                outcome = None
            else:
                earlier = [e for e in self._journal.entries() if e.identity != entry.identity]
                before = doubt.sides(earlier, command.cells, stuck=self._journal.stuck())
                outcome = doubt.read_back(self.chip, command, before)
            outcome = outcome or Outcome.without(command, "not given")
            self.notes.append(doubt.in_words(command, outcome))
            self._journal.end(entry.identity, outcome)
