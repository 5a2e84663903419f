"""A program that goes on after a failure: gone through again, it is told the same and pulses none.

What was left of the failed command would come after its successors.
"""

import contextlib
import sqlite3
import threading

import pytest
import torch
from boards import FaultyBoard, ForgetfulBoard, PowerCutError
from served import serving_driven

from secateur.chip import Chip, Journal, JournaledChip
from secateur.chip.command import UnansweredError
from secateur.chip.remote import RemoteChip
from secateur.errors import ChipError, SettingError

CELLS = torch.arange(60)
FIRST, SECOND, THIRD = CELLS.chunk(3)


def begun(chip: Chip, path) -> JournaledChip:
    """A process begins: the same journal, the cells as they are."""
    board = JournaledChip(chip, Journal(path, synchronous="normal"))
    board.place("weight", (5, 6))
    board.reset(CELLS)
    return board


def persistent(board: Chip, *, flushing: bool = False) -> list[str]:
    """SETs part by part; resets a part that failed, and goes on. Returns what it was told."""
    told = []
    for part in (FIRST, SECOND, THIRD):
        try:
            board.set(part)
            if flushing:
                board.flush()
        except (ChipError, SettingError) as error:
            told.append(f"{type(error).__name__}: {error}")
            board.reset(part)
    board.reset(CELLS[::4])
    return told


def pulses(chip: ForgetfulBoard) -> list[list[int]]:
    return [getattr(chip.true.ledger, kind).tolist() for kind in ("form", "set", "reset")]


@pytest.mark.parametrize("fault", ["refused", "half", "all"])
@pytest.mark.parametrize(
    "error",
    [
        ChipError("The instrument does not answer", where="bench", cause="off", remedy="Turn it"),
        UnansweredError("The board has not answered for 60 s"),
        SettingError("There is no such cell"),
    ],
)
def test_a_failure_that_was_gone_on_after_is_told_again_and_nothing_is_given(
    tmp_path, fault, error
):
    chip = FaultyBoard(None, fault)
    chip.error = error
    board = begun(chip, tmp_path / "j")
    told = persistent(board)
    position, given, states = board.position, pulses(chip), chip.true.status
    before = states(chip.placement.regions[0])
    spent = board.spent().clone()
    board.close()
    assert told == [f"{type(error).__name__}: {error}"]
    for _ in range(2):
        again = begun(chip, tmp_path / "j")
        assert persistent(again) == told
        assert again.position == position
        assert torch.equal(again.spent(), spent)
        assert any("went on after it had failed" in note for note in again.notes)
        again.close()
        assert pulses(chip) == given
        assert torch.equal(states(chip.placement.regions[0]), before)


@pytest.mark.parametrize(
    "error", [OSError(5, "the line is unplugged"), TimeoutError("no answer"), KeyboardInterrupt()]
)
def test_an_error_that_is_none_of_ours_is_told_again_as_what_it_was(tmp_path, error):
    chip = FaultyBoard("half")
    chip.error = error
    board = begun(chip, tmp_path / "j")
    with pytest.raises(type(error)):
        board.set(FIRST)
    board.set(SECOND)
    board.close()
    given = pulses(chip)
    again = begun(chip, tmp_path / "j")
    with pytest.raises(type(error)) as told:
        again.set(FIRST)
    assert (type(told.value), str(told.value)) == (type(error), str(error))
    again.set(SECOND)
    again.close()
    assert pulses(chip) == given


@pytest.mark.parametrize("fault", ["refused", "half"])
@pytest.mark.parametrize("caught", [True, False])
def test_what_was_not_gone_on_after_is_given_to_its_end(tmp_path, fault, caught):
    """Whether the program died of it or caught it: nothing has come later."""
    chip = FaultyBoard(None, fault)
    board = begun(chip, tmp_path / "j")
    board.set(FIRST)
    with contextlib.suppress(ChipError) if caught else pytest.raises(ChipError):
        board.set(SECOND)
    board.close()
    again = begun(chip, tmp_path / "j")
    assert persistent(again) == []
    again.close()
    low = chip.true.status(chip.placement.regions[0]).view(-1) == Chip.LOW
    assert set(low.nonzero().view(-1).tolist()) == set(CELLS[::4].tolist())
    assert int(chip.true.ledger.set.max()) <= 2


def test_the_rest_of_a_rest_that_failed_is_not_given_after_its_successors(tmp_path):
    """The first process dies of a failure; the second gives the rest, fails, and goes on."""
    chip = FaultyBoard("half", "half")
    board = begun(chip, tmp_path / "j")
    with pytest.raises(ChipError):
        board.set(FIRST)
    board.close()
    second = begun(chip, tmp_path / "j")
    told = persistent(second)
    assert len(told) == 1
    second.close()
    kinds = [(e.command.kind, e.identity.count("+")) for e in second_entries(tmp_path)]
    assert ("set", 1) in kinds
    given = pulses(chip)
    third = begun(chip, tmp_path / "j")
    assert persistent(third) == told
    third.close()
    assert pulses(chip) == given


def second_entries(folder):
    with Journal(folder / "j") as book:
        return list(book.entries())


def test_a_program_that_was_killed_after_it_had_gone_on_takes_the_same_path(tmp_path):
    """At the very next command, which is in doubt; the failure is told again before it."""
    chip = FaultyBoard("half", "power")
    board = begun(chip, tmp_path / "j")
    with pytest.raises(ChipError):
        board.set(FIRST)
    with pytest.raises(PowerCutError):
        board.set(SECOND)
    board.journal.close()
    given = chip.true.ledger.set[FIRST].tolist()
    again = begun(chip, tmp_path / "j")
    assert persistent_but_for_the_first(again) == 1
    again.close()
    assert chip.true.ledger.set[FIRST].tolist() == given
    assert chip.true.ledger.set[SECOND].tolist() == [1] * 20


def persistent_but_for_the_first(board: Chip) -> int:
    failed = 0
    for part in (FIRST, SECOND):
        try:
            board.set(part)
        except ChipError:
            failed += 1
    return failed


def test_a_retry_that_failed_is_told_again_where_it_failed(tmp_path):
    """`switch_verify` pulses again what does not follow: its second pulse fails."""
    chip = FaultyBoard(None, "half")
    chip.place("weight", (5, 6))
    chip.true._stuck[:8] = True
    chip.true._conductance[:8] = chip.technology.low_conductance
    up = torch.ones(60, dtype=torch.bool)

    def program(board: JournaledChip) -> list[str]:
        board.place("more", (2, 2))
        told = []
        try:
            board.switch_verify(CELLS, up)
        except ChipError as error:
            told.append(str(error))
        board.switch_verify(CELLS, ~up)
        return told

    board = JournaledChip(chip, Journal(tmp_path / "j"))
    told = program(board)
    assert len(told) == 1
    board.close()
    given = pulses(chip)
    again = JournaledChip(chip, Journal(tmp_path / "j"))
    assert program(again) == told
    again.close()
    assert pulses(chip) == given


@pytest.mark.parametrize("fault", ["refused", "half"])
def test_where_nobody_knows_what_was_told_nothing_is_given_too_late(tmp_path, fault):
    """A journal of an earlier version: it holds later commands, and no words."""
    chip = FaultyBoard(None, fault)
    board = begun(chip, tmp_path / "j")
    persistent(board)
    board.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as base:
        assert base.execute("DELETE FROM failures").rowcount == 1
    given = pulses(chip)
    again = begun(chip, tmp_path / "j")
    again.set(FIRST)
    for _ in range(2):
        with pytest.raises(ChipError, match="not given to its end, and later commands were"):
            again.set(SECOND)
    again.close()
    assert pulses(chip) == given


# --- Behind a wire -----------------------------------------------------------------------------


def opened(server, path) -> JournaledChip:
    return begun(RemoteChip(server.address, token="of this run and no other"), path)


@pytest.mark.parametrize("fault", ["refused", "half", "all"])
def test_a_failure_behind_a_wire_is_told_again_where_the_program_waits(tmp_path, fault):
    chip = FaultyBoard(None, fault)
    with serving_driven(chip, tmp_path / "server") as server:
        board = opened(server, tmp_path / "j")
        told = persistent(board, flushing=True)
        assert len(told) == 1
        board.close()
        given, known = pulses(chip), len(server.memory.journal)
        again = opened(server, tmp_path / "j")
        assert persistent(again, flushing=True) == told
        again.close()
        assert pulses(chip) == given
        assert len(server.memory.journal) == known


def stubborn(board: JournaledChip, wait: str, sent: threading.Event) -> list[str]:
    """Sends all parts, and then flushes or gives one more until that goes through."""
    told = []
    for part in (FIRST, SECOND, THIRD):
        board.set(part)
    sent.set()
    # Answered in its turn: by then the answers to all before it are there.
    board.read(board.placement.regions[0], key=1)
    while True:
        try:
            board.flush() if wait == "flush" else board.reset(FIRST)
            break
        except ChipError as error:
            told.append(str(error))
    board.reset(CELLS[::4])
    return told


@pytest.mark.parametrize("wait", ["flush", "next"])
def test_failures_that_are_told_late_are_told_late_again(tmp_path, monkeypatch, wait):
    """Commands that were sent since have been held back: each is told of in its turn."""
    chip, sent = FaultyBoard("half"), threading.Event()
    give = chip.set

    def when_all_are_sent(cells):
        assert sent.wait(10.0)
        give(cells)

    monkeypatch.setattr(chip, "set", when_all_are_sent)
    with serving_driven(chip, tmp_path / "server") as server:
        board = opened(server, tmp_path / "j")
        board.flush()
        told, position = stubborn(board, wait, sent), board.position
        assert len(told) == 3
        assert "sent before it has failed" in told[1] == told[2]
        board.close()
        given = pulses(chip)
        again = opened(server, tmp_path / "j")
        assert stubborn(again, wait, sent) == told
        assert again.position == position
        again.close()
        assert pulses(chip) == given


# --- Going back --------------------------------------------------------------------------------


def test_a_process_does_not_go_back_behind_its_own_commands(tmp_path):
    """They would be given again; a process that opens the journal anew knows them."""
    chip, path = ForgetfulBoard(seed=1), tmp_path / "j"
    board = begun(chip, path)
    state = board.state()
    board.close()
    board = begun(chip, path)
    board.set(FIRST)
    with pytest.raises(ChipError, match="has given 3 commands, and would go to 2"):
        board.restore(state)
    board.close()
    again = JournaledChip(chip, Journal(path, synchronous="normal"))
    again.restore(state)
    again.set(FIRST)
    again.close()
    assert int(chip.true.ledger.set.max()) == 1
