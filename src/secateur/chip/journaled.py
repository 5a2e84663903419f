"""A chip with a journal: nothing is lost, nothing is done twice."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secateur.chip import doubt, recalling
from secateur.chip.answers import Answers
from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import CellStatistics, Chip, PairStatistics, WriteReport
from secateur.chip.command import (
    Answer,
    Command,
    FormedApart,
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

    On opening, a driver that begins anew is told where its weights lie (`secateur.chip.recalling`),
    and commands in doubt are resolved (`secateur.chip.doubt`); `notes` says how. So are those that
    fail later. A simulated chip in memory dies with its process and is brought back by `restore`:
    its commands after that are given anew.

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
        self._answers = Answers(journal)
        # Positions whose answers are not needed since the state was saved, and whether it was.
        self._past, self._saved = (0, 0), False
        self._sent: list[tuple[str, Answer]] = []
        # SET and RESET pulses of each cell that were asked for up to the position; None: not known.
        self._asked: Tensor | None = None
        # Whether a command has failed, and nobody knows after how many of its pulses.
        self._failed = False
        recalling.check_owner(chip, journal)
        known = self.placement.cells
        if not (chip.saves or isinstance(chip, RemembersCommands)):
            recalling.recall_places(chip, journal)
        self.notes += doubt.resolve(chip, journal, gone=chip.saves)
        recalling.recall_counts(chip, journal, first=known)
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

    def go_on_at(self, position: int) -> None:
        """Goes on with the run's command of that number; those before are not gone through again.

        Raises:
            ChipError: where the journal has not that many commands.
        """
        if not self.saves and position > self._given:
            raise ChipError(
                f"The saved run has given {position} commands, its journal knows {self._given}",
                where=str(self._journal.path), cause="the journal of another run, or an old copy",
                remedy="Put the run's own journal back",
            )  # fmt: skip
        if position != self._position:
            # Otherwise what was read to come here is read again by whoever comes here again.
            self._answers.clear()
        self._position, self._asked = position, None

    # --- Programming -------------------------------------------------------------------------

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`; where the chip is formed apart, by commands of the journal's own."""
        asked = {"name": name, "shape": list(shape), "inputs_first": inputs_first}
        region = region_of(self.chip, self._give(Command("place", parameters=asked)))
        if isinstance(self.chip, FormedApart):
            cells = torch.arange(region.cells.start, region.cells.stop)
            if not bool(self.conducting(cells).any()):
                self.chip.forming.run(self, cells)
        return region

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

    def spent(self) -> Tensor:
        """See `Chip.spent`."""
        if self.saves:
            return self.chip.spent()
        if self._asked is None:
            self._note_outcomes(wait=True)
            cells = self.placement.cells
            self._asked = recalling.asked_before(self._journal, self._position, cells=cells)
        return self._asked

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
        self.go_on_at(position)
        self._saved = True

    def flush(self) -> None:
        """Waits for commands that are under way, and writes what has become of them."""
        self._note_outcomes(wait=True)
        self._journal.flush()

    def close(self) -> None:
        """Waits for what is under way and closes journal and chip, whatever has failed by then."""
        try:
            self.flush()
        finally:
            try:
                self._journal.close()
            finally:
                self.chip.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Chip:
        if not self.saves:
            return self
        return copy.deepcopy(self.chip, memo)

    # --- Inside ------------------------------------------------------------------------------

    def _send(self, command: Command) -> None:
        if len(command.cells):
            self._issue(command)

    def _give(self, command: Command) -> Outcome:
        answer = self._issue(command)
        # Nobody else is to be told of a refusal.
        return answer if isinstance(answer, Outcome) else self._outcome(*self._sent.pop())

    def _issue(self, command: Command, ending: str = "") -> Outcome | Answer:
        """Gives a command, unless it was given already: an outcome where it is known."""
        identity = self._journal.identity(self._position) + ending
        known = self._journal.entry(identity) if self._ahead() else None
        if known is not None and known.command.digest() == command.digest():
            outcome = known.outcome
            if outcome is not None and outcome.how in ("done", "read back"):
                rest = doubt.rest_of(command, outcome) if outcome.how == "read back" else None
                self._count(command, ending)
                if rest is None:
                    self._position += 1
                    return outcome
                return self._issue(rest, ending + "+")
        if self._failed:
            # Before another command hides what the cells tell of it.
            self._note_outcomes(wait=True)
            self.notes += doubt.resolve(self.chip, self._journal)
            self._failed = False
        self._note_outcomes(wait=False)
        self._journal.begin(
            identity, command, reason=self.reason, answers=self._answers.held(), forget=self._past
        )
        self._answers.clear()
        self._past = (0, 0)
        self._position += 1
        asked = isinstance(self.chip, RemembersCommands)
        # A chip in memory dies with its process, and what it was given in part with it.
        before = None if asked or self.saves else given_so_far(self.chip)
        try:
            if isinstance(self.chip, RemembersCommands):
                answer = self.chip.issue(identity, command)
                self._sent.append((identity, answer))
                self._count(command, ending)
                return answer
            outcome = carry_out(self.chip, command)
        except BaseException as error:
            # In doubt, until the chip is asked or the cells are read: what has no answer, what has
            # failed after its first pulses, and what has failed in a way that no driver means.
            self._failed, self._asked = not self.saves, None
            if isinstance(error, SecateurError) and not isinstance(error, UnansweredError):
                self._failed = before is not None and given_so_far(self.chip) != before
                if not self._failed:
                    self._journal.end(identity, Outcome.without(command, "refused"))
            raise
        self._journal.end(identity, outcome, at_once=not self.saves)
        self._count(command, ending)
        return outcome

    def _count(self, command: Command, ending: str) -> None:
        if command.kind in ("place", "write_verify"):
            self._asked = None
        elif self._asked is not None and not ending:
            # The rest of a command was asked for with it.
            recalling.add_asked(self._asked, command, None)

    def _ahead(self) -> bool:
        """Whether an earlier process has been here."""
        return self._position < self._given

    def _outcome(self, identity: str, answer: Answer) -> Outcome:
        try:
            outcome = answer.result()
        except BaseException as error:
            # In doubt where there is no answer, be it for Ctrl-C.
            if isinstance(error, UnansweredError) or not isinstance(error, SecateurError):
                self._failed = True
            elif (entry := self._journal.entry(identity)) is not None:
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
        return self._answers.ask(self._position, question, read, known=self._ahead())

    def _checked(self, cells: Tensor) -> Tensor:
        cells, total = cells.cpu().long(), self.placement.cells
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells
