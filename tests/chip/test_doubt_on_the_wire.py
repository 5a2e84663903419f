"""A served board that remembers nothing: what is uncertain is known at both ends of the wire."""

import threading
import time

import pytest
import torch
from boards import FalteringBoard, ForgetfulBoard
from served import serving_driven

from secateur.chip import Chip, Command, Journal, JournaledChip
from secateur.chip.command import Outcome, UnansweredError
from secateur.chip.doubt import is_high, sides
from secateur.chip.journal import Entry
from secateur.chip.remote import RemoteChip
from secateur.errors import ChipError, FileError

KINDS = ("form", "set", "reset")
CELLS = torch.arange(60)


def program(chip: JournaledChip) -> None:
    """A RESET of all, a SET that fails in its second third, and what comes after."""
    chip.place("weight", (5, 6))
    chip.reset(CELLS)
    chip.set(CELLS)
    chip.reset(CELLS[::4])
    chip.flush()


def opened(server, path) -> JournaledChip:
    remote = RemoteChip(server.address, token="of this run and no other")
    return JournaledChip(remote, Journal(path))


def agree(client: Journal, server: Journal, chip: Chip) -> None:
    """The same counts on both sides, and the truth in between."""
    for possible in (False, True):
        here, there = (j.counts(60, possible=possible) for j in (client, server))
        for kind in KINDS:
            assert torch.equal(getattr(here, kind), getattr(there, kind)), (kind, possible)
    least, most = (client.counts(60, possible=possible) for possible in (False, True))
    assert int(most.set.sum()) > 0
    for kind in KINDS:
        true = getattr(chip.true.ledger, kind)
        assert bool((true >= getattr(least, kind)).all()), kind
        assert bool((true <= getattr(least, kind) + getattr(most, kind)).all()), kind


@pytest.mark.parametrize("failure", [ChipError, OSError])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_possibly_given_is_counted_and_said_by_its_user(tmp_path, failure, restarted):
    chip = FalteringBoard(seed=1)
    chip.error = failure
    with serving_driven(chip, tmp_path / "s.sqlite") as server:
        first = opened(server, tmp_path / "c.sqlite")
        with pytest.raises(ChipError, match="failed: The instrument does not answer"):
            program(first)
        assert len(first._journal.in_doubt()) >= 1
        first._journal.close()
        if not restarted:
            again = opened(server, tmp_path / "c.sqlite")
            program(again)
            agree(again.journal, server.memory.journal, chip)
    if restarted:
        with serving_driven(chip, tmp_path / "s.sqlite") as server:
            again = opened(server, tmp_path / "c.sqlite")
            program(again)
            agree(again.journal, server.memory.journal, chip)
    assert any("possibly did" in note for note in again.notes)
    assert again.journal.in_doubt() == []


def test_an_answer_tells_of_all_parts_of_its_command(tmp_path):
    """Asked again after it has failed: what was found by reading, and the rest, in one."""
    chip = FalteringBoard(seed=1)
    with serving_driven(chip, tmp_path / "s.sqlite") as server:
        remote = RemoteChip(server.address)
        remote.place("weight", (5, 6))
        remote.reset(CELLS)
        assert remote.ledger.totals()["set"] == 0
        command = Command("set", CELLS.flip(0))
        with pytest.raises(ChipError, match="failed"):
            remote.issue("b", command).result()
        # The board's own counts, also of the part that was given.
        assert int(remote.ledger.set.sum()) == int(chip.ledger.set.sum()) == 20
        outcome = remote.issue("b", command).result()
        assert remote.ledger.set.tolist() == chip.ledger.set.tolist()
        assert remote.issue("b", command).result().how == outcome.how == "done"
        there = server.memory.outcome_of("b")
        told = remote.outcome_of("b")
        for one in (there, told):
            assert torch.equal(one.cells, command.cells)
            assert torch.equal(one.counts, outcome.counts)
            assert torch.equal(one.possible, outcome.possible)
        certain, possible = outcome.counts[1], outcome.possible[1]
        true = chip.true.ledger.set[command.cells]
        assert bool((certain <= true).all() & (true <= certain + possible).all())
        # The first third, which is high by reading, has not got a second pulse.
        assert int(certain[:20].sum()) > 15
        remote.close()


def entry(kind: str, cells: torch.Tensor, number: int) -> Entry:
    command = Command(kind, cells)
    outcome = Outcome("done", cells, command.each_once())
    return Entry(str(number), command, "", 0.0, 0.0, outcome)


def test_nobody_knows_the_side_of_a_cell_that_does_not_follow():
    """Known to be stuck, or given the same pulse twice, which nobody does to one that followed."""
    cells = torch.arange(8)
    done = [entry("reset", cells, 0), entry("set", cells[2:6], 1), entry("set", cells[4:5], 2)]
    found = sides(done, cells, stuck=torch.tensor([1, 3, 99]))
    assert found.tolist() == [0, -1, 1, -1, -1, 1, 0, 0]
    assert sides([*done, entry("reset", cells, 3)], cells).tolist() == [-1, -1, 0, 0, 0, 0, -1, -1]


def test_a_stuck_cells_last_pulse_is_possible_and_never_certain(tmp_path):
    """High for good: a RESET that is done has not moved it, so reading proves no SET."""
    chip = FalteringBoard(seed=1)
    chip.place("weight", (5, 6))
    chip.true._stuck[:6] = True
    chip.true._conductance[:6] = chip.technology.high_conductance
    board = JournaledChip(chip, Journal(tmp_path / "j.sqlite"), attempts=1)
    board.place("more", (2, 2))
    lost = board.switch_verify(CELLS, torch.zeros(60, dtype=torch.bool))
    assert set(range(6)) <= set(lost.tolist())
    with pytest.raises(ChipError, match="does not answer"):
        board.set(CELLS)
    board.reset(CELLS[50:51])
    (outcome,) = (e.outcome for e in board.journal.entries() if e.outcome.how == "read back")
    assert int(outcome.counts[1][:6].sum()) == 0
    assert outcome.possible[1][:6].tolist() == [1] * 6
    assert int(outcome.counts[1][6:20].sum()) > 10


def test_what_was_sent_before_a_failure_was_known_is_held_back(tmp_path):
    """Otherwise the rest of the failed command would be given after it."""
    board, begun = FalteringBoard(seed=1), threading.Event()
    reset = board.reset

    def slow(cells):
        if not begun.is_set():
            begun.set()
            time.sleep(0.5)
        reset(cells)

    board.reset = slow
    with serving_driven(board, tmp_path / "server") as server:
        chip = opened(server, tmp_path / "client")
        with pytest.raises(ChipError, match="does not answer"):
            program(chip)
        with pytest.raises(UnansweredError, match="one that was sent before it has failed"):
            chip.flush()
        known = [(e.command.kind, e.outcome is None) for e in server.memory.journal.entries()]
        assert known == [("place", False), ("reset", False), ("set", True)]
        chip.journal.close()
        again = opened(server, tmp_path / "client")
        program(again)
        low = ~is_high(board.technology, again.read_back(CELLS))
        assert torch.equal(low.nonzero().view(-1), CELLS[::4])
        again.close()


def test_pulses_that_the_server_could_not_write_down_are_not_said_to_be_refused(
    tmp_path, monkeypatch
):
    board = ForgetfulBoard(seed=1)
    with serving_driven(board, tmp_path / "server") as server:
        chip, book = opened(server, tmp_path / "client"), server.memory.journal
        chip.place("weight", (5, 6))
        chip.reset(CELLS)
        chip.flush()

        def full(identity, outcome, **how):
            raise FileError("This journal cannot be used: the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(book, "end", full)
            chip.set(CELLS)
            with pytest.raises(UnansweredError, match="could not be written down"):
                chip.flush()
        chip.reset(CELLS[:10])
        chip.flush()
        given = book.counts(60, possible=True).set + book.counts(60).set
        assert torch.equal(given, board.true.ledger.set)
        assert chip.journal.counts(60).totals() == book.counts(60).totals()
        chip.close()


def test_an_error_of_the_driver_is_told_as_such(tmp_path, monkeypatch):
    board = ForgetfulBoard(seed=1)
    with serving_driven(board, tmp_path / "server") as server:
        chip = RemoteChip(server.address)
        region = chip.place("weight", (5, 6))

        def unplugged(*_, **__):
            raise OSError("the serial line is unplugged")

        monkeypatch.setattr(board, "read", unplugged)
        with pytest.raises(ChipError, match=r"failed at read: the serial line is unplugged"):
            chip.read(region, key=1)
        chip.close()
