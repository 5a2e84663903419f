"""A failure is told again where it was told: at that command, in that wait, or not at all."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from boards import FaultyBoard
from served import serving_driven

from secateur.chip import Chip, Journal, JournaledChip, journal
from secateur.chip.remote import RemoteChip
from secateur.errors import ChipError, FileError

CELLS = torch.arange(60)
FIRST, SECOND, THIRD = CELLS.chunk(3)


def opened(chip: Chip, path) -> JournaledChip:
    """A process begins: the same journal, the cells as they are."""
    return JournaledChip(chip, Journal(path, synchronous="normal"))


def remote(server) -> RemoteChip:
    return RemoteChip(server.address, token="of this run and no other")


def pulses(chip: FaultyBoard) -> list[list[int]]:
    return [getattr(chip.true.ledger, kind).tolist() for kind in ("form", "set", "reset")]


@contextlib.contextmanager
def bench(tmp_path, *faults: str | None) -> Iterator[tuple[FaultyBoard, Callable, Callable]]:
    """A board behind a wire that fails only once `let` has said that all is sent.

    `chip.sent.clear()` has it wait again, until `chip.sent.set()`.
    """
    chip = FaultyBoard(*faults)
    chip.sent = sent = threading.Event()
    give = chip.set

    def when_all_are_sent(cells):
        assert sent.wait(60.0)
        give(cells)

    chip.set = when_all_are_sent
    with serving_driven(chip, tmp_path / "server") as server:

        def let(board: JournaledChip) -> None:
            sent.set()
            # Answered in its turn: by then the answers to all before it are there.
            board.read(board.placement.regions[0], key=1)

        yield chip, lambda: opened(remote(server), tmp_path / "j"), let


def attempt(told: list[tuple[int, str]], board: JournaledChip, give: Callable, *what) -> bool:
    try:
        give(*what)
        return True
    except ChipError as error:
        told.append((board.position, str(error)))
        return False


def test_a_failure_is_told_at_the_command_at_which_it_was_told(tmp_path):
    """The second command is tried in the moment in which the failure of the first is known."""

    def program(board: JournaledChip, let) -> list[tuple[int, str]]:
        told = []
        board.place("weight", (5, 6))
        board.reset(CELLS)
        board.flush()
        board.set(FIRST)
        board.set(SECOND)
        let(board)
        while not attempt(told, board, board.set, THIRD):
            pass
        board.flush()
        board.reset(CELLS[::4])
        board.flush()
        return told

    with bench(tmp_path, "half") as (chip, begin, let):
        board = begin()
        told = program(board, let)
        assert [position for position, _ in told] == [4, 4]
        board.close()
        given = pulses(chip)
        again = begin()
        assert program(again, let) == told
        again.close()
        assert pulses(chip) == given


def test_what_is_sent_behind_one_that_failed_and_is_not_known_yet_fails_in_its_own_place(tmp_path):
    """Both fail; of the one the program is told at the next command, of the other when it waits."""

    def program(board: JournaledChip, let, sent: threading.Event) -> list[tuple[int, str]]:
        told = []
        board.place("weight", (5, 6))
        board.reset(CELLS)
        board.flush()
        board.set(FIRST)
        let(board)
        sent.clear()
        attempt(told, board, board.set, SECOND) or board.set(SECOND[:5])
        board.set(THIRD)
        sent.set()
        attempt(told, board, board.flush)
        attempt(told, board, board.flush)
        board.reset(CELLS[::4])
        board.flush()
        return told

    with bench(tmp_path, "refused", "half") as (chip, begin, let):
        board = begin()
        told = program(board, let, chip.sent)
        board.close()
        given = pulses(chip)
        for _ in range(2):
            again = begin()
            assert program(again, let, chip.sent) == told
            again.close()
            assert pulses(chip) == given


class KilledError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("writes", range(8))
def test_whoever_is_killed_while_failures_are_written_can_be_resumed(tmp_path, monkeypatch, writes):
    """They are written with the command before which they were told, or not at all."""

    def program(board: JournaledChip, let) -> list[str]:
        told = []
        board.place("weight", (5, 6))
        board.reset(CELLS)
        board.flush()
        for part in (FIRST, SECOND, THIRD):
            board.set(part)
        let(board)
        while not attempt(told, board, board.reset, FIRST):
            if len(told) == 3:
                killed_soon()
        board.flush()
        return told

    def killed_soon() -> None:
        begun, left = journal.begun, [writes]

        @contextlib.contextmanager
        def dying(base):
            if base is board._journal._base:
                if not left[0]:
                    raise KilledError
                left[0] -= 1
            with begun(base):
                yield

        monkeypatch.setattr(journal, "begun", dying)

    with bench(tmp_path, "half") as (_chip, begin, let):
        board = begin()
        with contextlib.suppress(KilledError):
            program(board, let)
        monkeypatch.undo()
        board._journal._base.close()
        board.chip.close()
        again = begin()
        assert len(program(again, let)) in (0, 3)
        again.close()


def test_what_was_told_before_a_checkpoint_is_not_told_behind_it(tmp_path):
    """A run is built anew, which goes through its first commands, and then goes to where it was."""

    def build(board: JournaledChip, let) -> None:
        board.place("weight", (5, 6))
        board.reset(CELLS)
        board.set(FIRST)
        let(board)

    with bench(tmp_path, "half") as (chip, begin, let):
        board = begin()
        build(board, let)
        with pytest.raises(ChipError):
            board.flush()
        board.reset(SECOND)
        state = board.state()
        board.set(THIRD)
        board.close()
        given = pulses(chip)
        again = begin()
        build(again, let)
        again.restore(state)
        again.set(THIRD)
        again.close()
        assert pulses(chip) == given


def test_a_refusal_that_could_not_be_written_is_told_again(tmp_path):
    """The disk is full in the moment in which the chip refuses."""
    chip = FaultyBoard(None, "refused")
    full = [False]

    def program() -> list[str]:
        board, told = opened(chip, tmp_path / "j"), []
        write = board._journal._write_ends

        def failing() -> int:
            if full[0] and board._journal._ends:
                full[0] = False
                raise FileError("The disk is full")
            return write()

        board._journal._write_ends = failing
        board.place("weight", (5, 6))
        board.reset(CELLS)
        for part in (FIRST, SECOND, THIRD):
            full[0] = first and part is SECOND
            try:
                board.set(part)
            except (ChipError, FileError) as error:
                told.append(f"{type(error).__name__}: {error}")
                board.reset(part)
        board.close()
        return told

    first = True
    told = program()
    assert len(told) == 1
    assert told[0].startswith("ChipError: The instrument")
    first, given = False, pulses(chip)
    assert program() == told
    assert pulses(chip) == given


def test_a_journal_of_an_earlier_version_takes_failures_up(tmp_path):
    opened(FaultyBoard(), tmp_path / "j").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as base:
        base.execute("DROP TABLE failures")
    with Journal(tmp_path / "j") as book:
        assert book.failure(book.identity(0)) is None


def test_a_state_is_not_given_while_a_command_is_under_way_that_fails(tmp_path):
    """Who went on from it would not come by that command again."""
    with bench(tmp_path, "half") as (chip, begin, let):
        board = begin()
        board.place("weight", (5, 6))
        board.reset(CELLS)
        board.set(FIRST)
        let(board)
        with pytest.raises(ChipError, match="does not answer"):
            board.state()
        board.close()
        again = begin()
        again.place("weight", (5, 6))
        again.reset(CELLS)
        again.set(FIRST)
        again.close()
        assert int(chip.true.ledger.set[FIRST].min()) == 1


def test_who_saves_a_state_after_a_failure_has_gone_on_after_it(tmp_path):
    """From the state and from the beginning the run goes the same way."""
    chip, path = FaultyBoard("half"), tmp_path / "j"

    def build(board: JournaledChip) -> None:
        board.place("weight", (5, 6))
        board.reset(CELLS)
        with pytest.raises(ChipError, match="does not answer"):
            board.set(FIRST)

    board = opened(chip, path)
    build(board)
    state = board.state()
    board.close()
    behind = opened(chip, path)
    behind.restore(state)
    behind.set(SECOND)
    behind.close()
    given = pulses(chip)
    again = opened(chip, path)
    build(again)
    again.set(SECOND)
    again.close()
    assert pulses(chip) == given


@pytest.mark.parametrize("fault", ["refused", "half"])
def test_what_was_asked_of_the_cells_is_the_same_on_every_way(tmp_path, fault):
    """A failure that is told late, and one that was held back behind it."""

    def program(board: JournaledChip, let) -> list[list[int]]:
        asked = []
        board.place("weight", (5, 6))
        board.reset(CELLS)
        asked.append(board.spent().tolist())
        board.set(FIRST)
        board.set(SECOND)
        asked.append(board.spent().tolist())
        let(board)
        for _ in range(2):
            with pytest.raises(ChipError):
                board.flush()
        asked.append(board.spent().tolist())
        board.reset(THIRD)
        board.flush()
        asked.append(board.spent().tolist())
        return asked

    with bench(tmp_path, fault) as (_chip, begin, let):
        board = begin()
        asked = program(board, let)
        board.close()
        again = begin()
        assert program(again, let) == asked
        again.close()


def test_pulses_that_could_not_be_written_down_are_a_failure_of_their_command(tmp_path):
    """The disk is full right after them: told again, and given no second time."""
    chip = FaultyBoard()

    def program(*, full: bool) -> list[str]:
        board, told = opened(chip, tmp_path / "j"), []
        board.place("weight", (5, 6))
        board.reset(CELLS)
        write = board._journal._write_ends

        def failing() -> int:
            if board._journal._ends:
                board._journal._write_ends = write
                raise FileError("The disk is full")
            return write()

        if full:
            board._journal._write_ends = failing
        try:
            board.set(FIRST)
        except FileError as error:
            told.append(str(error))
            board.reset(FIRST)
        board.set(SECOND)
        board.close()
        return told

    told = program(full=True)
    given = pulses(chip)
    assert told == ["The disk is full."]
    assert program(full=False) == told
    assert pulses(chip) == given
