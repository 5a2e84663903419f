"""A chip with a journal: nothing is lost, nothing is done twice."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secateur.chip import doubt, failures, recalling
from secateur.chip.answers import Answers
from secateur.chip.asked import Asked
from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import CellStatistics, Chip, PairStatistics, WriteReport
from secateur.chip.command import (
    Command,
    FormedApart,
    Outcome,
    RemembersCommands,
    carry_out,
    given_so_far,
    parted,
    raw,
    region_of,
)
from secateur.chip.journal import Journal
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Region
from secateur.chip.state import ChipState, first_difference
from secateur.chip.under_way import UnderWay
from secateur.chip.window import Window
from secateur.errors import ChipError, SettingError

_POSITION = "commands"


class JournaledChip(Chip):
    """Any chip, with every programming command written down before and after it is given.

    The commands of a run are numbered; the number and the journal make the durable id. A program
    that was killed and takes the same steps again, from its beginning or from a state that
    `restore` was given, gives the same ids: what has been given is not given again. What it read
    before a command is answered from the journal where the chip is ahead already.

    On opening, a driver that begins anew is told where its weights lie (`secateur.chip.recalling`),
    and commands in doubt are resolved (`secateur.chip.doubt`); `notes` says how. So are those that
    fail later; where the program caught the failure and went on, it is told the same again
    (`secateur.chip.failures`). A simulated chip in memory dies with its process and is brought back
    by `restore`: its commands after that are given anew.

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
        self.forming = getattr(chip, "forming", None)
        #: Why commands are given, for the journal.
        self.reason = ""
        #: What has become of commands that were in doubt, a sentence each.
        self.notes: list[str] = []
        self._position = 0
        self._answers = Answers(journal)
        # Positions whose answers are not needed since the state was saved, and whether it was.
        self._past, self._saved = (0, 0), False
        self._asked = Asked(journal)
        self._under_way = UnderWay(chip, journal, self._asked, self.notes)
        recalling.check_owner(chip, journal)
        self._per_command = recalling.cells_per_command(chip, journal)
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
        self._under_way.note(wait=True, at=self._position)
        return self._journal

    @property
    def position(self) -> int:
        """How many commands this run has given by now."""
        return self._position

    def go_on_at(self, position: int) -> None:
        """Goes on with the run's command of that number; those before are not gone through again.

        Raises:
            ChipError: where the journal has not that many, or this process has given more.
        """
        if not self.saves and position < self._position > self._given:
            raise ChipError(
                f"This process has given {self._position} commands, and would go to {position}",
                where=str(self._journal.path), cause="a state that was restored without a restart",
                remedy="Close the chip, open it and its journal anew, and restore there",
            )  # fmt: skip
        if not self.saves and position > self._given:
            raise ChipError(
                f"The saved run has given {position} commands, its journal knows {self._given}",
                where=str(self._journal.path), cause="the journal of another run, or an old copy",
                remedy="Put the run's own journal back",
            )  # fmt: skip
        if position != self._position:
            # Otherwise what was read to come here is read again by whoever comes here again.
            self._answers.clear()
        self._position = position
        self._asked.forget()
        self._under_way.forget_again()

    # --- Programming -------------------------------------------------------------------------

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`; where the chip is formed apart, by commands of the journal's own."""
        asked = {"name": name, "shape": list(shape), "inputs_first": inputs_first}
        (placed,) = self._give(Command("place", parameters=asked))
        region = region_of(self.chip, placed)
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
        """See `Chip.switch`: one command in the journal, or as few as it takes."""
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
        """See `Chip.write_verify`: one command in the journal, or as few as it takes."""
        how = {"tolerance": tolerance, "attempts": attempts}
        command = Command("write_verify", self._checked(cells), targets.detach().float().cpu(), how)
        return WriteReport.joined([outcome.report() for outcome in self._give(command)])

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
        if not self._asked.known:
            self._under_way.settle(at=self._position)
        return self._asked.counts(self._position, cells=self.placement.cells)

    def to(self, device: torch.device) -> None:
        """See `Chip.to`."""
        self.chip.to(device)

    # --- Saving ------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """See `Chip.identity`: the chip's own."""
        return self.chip.identity()

    def state(self) -> ChipState:
        """How many commands were given, beside the cells' state where the chip has one to give.

        Who keeps it need not go through again what was before: waits for what is under way.
        """
        if not self.saves:
            self._under_way.leave(at=self._position)
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
        self._under_way.note(wait=True, at=self._position)
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
        for part in parted(command, self._per_command):
            if len(part.cells):
                self._issue(part)

    def _give(self, command: Command) -> list[Outcome]:
        """Of each part, in their order."""
        parts = parted(command, self._per_command)
        return [self._issue(part) or self._under_way.last(at=self._position) for part in parts]

    def _issue(self, command: Command, ending: str = "") -> Outcome | None:
        """Gives a command, unless it was given already: an outcome where it is known."""
        # What an earlier one has failed of, the program is told before it gives another.
        self._under_way.note(wait=False, at=self._position)
        identity = self._journal.identity(self._position) + ending
        known = self._journal.entry(identity) if self._ahead() else None
        same = known is not None and known.command.digest() == command.digest()
        if known is not None and same:
            if (told := failures.told(self._journal, identity)) is not None:
                self._fail_again(told, command, ending)
                return None
            outcome = known.outcome
            if outcome is not None and outcome.how in ("done", "read back"):
                rest = doubt.rest_of(command, outcome) if outcome.how == "read back" else None
                self._count(command, ending)
                if rest is None:
                    self._position += 1
                    return outcome
                return self._issue(rest, ending + "+")
        if (same or known is None) and self._ahead():
            failures.refuse_late(self._journal, self._position, command)
        self._under_way.go_on(at=self._position)
        self._journal.begin(
            identity, command, reason=self.reason, answers=self._answers.held(), forget=self._past,
            failures=self._under_way.told,
        )  # fmt: skip
        self._under_way.told.clear()
        self._answers.clear()
        self._past = (0, 0)
        self._position += 1
        remembers = isinstance(self.chip, RemembersCommands)
        before = None if remembers or self.saves else given_so_far(self.chip)
        try:
            given = self._carry_out(identity, command)
            if given is not None:
                self._journal.end(identity, given, at_once=not self.saves)
        except BaseException as error:
            pulsed = before is not None and given_so_far(self.chip) != before
            self._under_way.fail(identity, error, pulsed=pulsed, at=self._position - 1)
            raise
        self._count(command, ending)
        return given

    def _carry_out(self, identity: str, command: Command) -> Outcome | None:
        if not isinstance(self.chip, RemembersCommands):
            return carry_out(self.chip, command)
        self._under_way.add(identity, self.chip.issue(identity, command))
        return None

    def _fail_again(self, told: failures.Told, command: Command, ending: str) -> None:
        """Leaves the cells alone, and tells the program what it was told, where it was."""
        at_once = told.at == self._position
        self._position += 1
        self.notes.append(f"Not given, since the run went on after it had failed: {told.error}")
        self._under_way.add_again(told)
        if at_once:
            self._under_way.last(at=told.at)
        self._count(command, ending)

    def _count(self, command: Command, ending: str) -> None:
        if not ending:
            # The rest of a command was asked for with it.
            self._asked.add(command)

    def _ahead(self) -> bool:
        """Whether an earlier process has been here."""
        return self._position < self._given

    def _answer(self, question: bytes, read: Callable[[], Tensor]) -> Tensor:
        if self.saves:
            return read()
        return self._answers.ask(self._position, question, read, known=self._ahead())

    def _checked(self, cells: Tensor) -> Tensor:
        cells, total = cells.cpu().long(), self.placement.cells
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells
