"""A chip with a journal: passes the contract, gives nothing twice, says what it cannot know."""

import contextlib
import copy
from pathlib import Path

import pytest
import torch
from boards import (
    FalteringBoard,
    ForgetfulBoard,
    PowerCutError,
    RefusingBoard,
    RememberingBoard,
)

from secateur.chip import Chip, Command, FixedVoltage, Journal, JournaledChip, SimulatedChip
from secateur.chip import answers as answers_module
from secateur.chip.remembering import Remembering
from secateur.errors import ChipError, FileError, SettingError
from secateur.testing import ChipContract


class TestJournaledSimulation(ChipContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder, self.journals = tmp_path, 0

    def chip(self) -> Chip:
        self.journals += 1
        journal = Journal(self.folder / f"{self.journals}.sqlite", synchronous="normal")
        return JournaledChip(self.bare(), journal)

    def bare(self) -> Chip:
        return SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(fraction=0.5))


class TestJournaledBoard(TestJournaledSimulation):
    def bare(self) -> Chip:
        return ForgetfulBoard(seed=4)


class TestJournaledRememberingBoard(TestJournaledSimulation):
    def bare(self) -> Chip:
        return RememberingBoard(seed=4)


def journaled(chip, path, **options) -> JournaledChip:
    return JournaledChip(chip, Journal(path, synchronous="normal"), **options)


def crashed(path: Path) -> Path:
    """A journal as a killed process leaves it: what it had made durable, and no lock."""
    left = path.with_name("left.sqlite")
    for ending in ("", "-wal"):
        part = path.with_name(path.name + ending)
        if part.exists():
            left.with_name(left.name + ending).write_bytes(part.read_bytes())
    return left


def steps(chip: Chip, *, until: int = 99) -> list[torch.Tensor]:
    """A program that reads and pulses; what it does next depends on what it has read."""
    region = chip.place("weight", (6, 5))
    cells = torch.arange(60)
    reads = []
    for n in range(until):
        read = chip.read(region, key=n).view(-1)
        reads.append(read)
        worst = read.argsort()[: 5 + n]
        if n % 2:
            chip.switch(worst, chip.read_back(worst) < 3e-5)
        else:
            chip.reset(cells[read > read.median()])
        if n == 6:
            target = torch.full((60,), chip.technology.high_conductance)
            chip.write_verify(cells, target, tolerance=0.05, attempts=3)
        if n == 9:
            break
    return reads


@pytest.mark.parametrize("board", [ForgetfulBoard, RememberingBoard])
def test_going_through_a_run_again_gives_nothing_twice(tmp_path, board):
    """Whether it ended or not: the same commands, what was read answered as it was read then."""
    chip = board(seed=1)
    first = journaled(chip, tmp_path / "j.sqlite")
    reads = steps(first)
    first.journal.close()
    totals, pulses = chip.ledger.totals(), chip.true.ledger.totals()
    again = journaled(chip, tmp_path / "j.sqlite")
    assert all(map(torch.equal, steps(again), reads))
    assert chip.ledger.totals() == totals
    assert chip.true.ledger.totals() == pulses
    assert again.journal.counts(60).totals() == totals


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fatal", range(0, 12))
def test_a_chip_that_remembers_ids_is_asked(tmp_path, when, fatal):
    """Power goes at any command, before or after it has reached the cells."""
    expected = RememberingBoard(seed=1)
    reads = steps(journaled(expected, tmp_path / "undisturbed.sqlite"))
    chip = RememberingBoard(seed=1, fatal=fatal, when=when)
    with pytest.raises(PowerCutError):
        steps(journaled(chip, tmp_path / "j.sqlite"))
    again = journaled(chip, crashed(tmp_path / "j.sqlite"))
    assert len(again.notes) == 1
    assert ("had been given" in again.notes[0]) == (when == "after")
    assert all(map(torch.equal, steps(again), reads))
    again.flush()
    for kind in ("form", "set", "reset"):
        assert torch.equal(getattr(chip.true.ledger, kind), getattr(expected.true.ledger, kind))
        assert torch.equal(getattr(again.journal.counts(60), kind), getattr(chip.true.ledger, kind))
    assert again.journal.in_doubt() == []


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("fatal", range(0, 12))
def test_a_chip_that_forgets_is_read_and_what_is_uncertain_is_counted(tmp_path, when, fatal):
    """The true counts lie between those given for certain and those possibly given."""
    chip = ForgetfulBoard(seed=1, fatal=fatal, when=when)
    with pytest.raises(PowerCutError):
        steps(journaled(chip, tmp_path / "j.sqlite"))
    again = journaled(chip, crashed(tmp_path / "j.sqlite"))
    assert "possibly" in again.notes[0] or "given" in again.notes[0]
    steps(again)
    certain = again.journal.counts(60)
    possible = again.journal.counts(60, possible=True)
    for kind in ("form", "set", "reset"):
        true = getattr(chip.true.ledger, kind)
        least = getattr(certain, kind)
        assert bool((true >= least).all()), kind
        assert bool((true <= least + getattr(possible, kind)).all()), kind


def test_a_switch_in_doubt_is_not_given_again_where_the_cells_show_it(tmp_path):
    """All that was high and is low has had its RESET, for certain."""
    chip = ForgetfulBoard(seed=1, fatal=3, when="after")
    board = journaled(chip, tmp_path / "j.sqlite")
    board.place("weight", (5, 6))
    cells = torch.arange(60)
    board.set(cells)
    board.reset(cells)
    with pytest.raises(PowerCutError):
        board.switch(cells, torch.ones(60, dtype=torch.bool))
    again = journaled(chip, crashed(tmp_path / "j.sqlite"))
    entry = list(again.journal.entries())[-1]
    followed = chip.true.status(chip.placement.regions[0]).view(-1) == Chip.HIGH
    assert followed.sum() > 50
    assert torch.equal(entry.outcome.counts[1].bool(), followed)
    assert torch.equal(entry.outcome.missed, cells[~followed])


def test_the_journal_of_another_chip_is_refused(tmp_path):
    journaled(ForgetfulBoard(seed=1), tmp_path / "j.sqlite").journal.close()
    with pytest.raises(SettingError, match="journal of another chip"):
        journaled(SimulatedChip("ideal", seed=2), tmp_path / "j.sqlite")


def test_other_steps_on_the_way_again_are_refused(tmp_path):
    chip = RememberingBoard(seed=1)
    first = journaled(chip, tmp_path / "j.sqlite")
    first.place("weight", (6, 5))
    first.reset(torch.arange(3))
    first.journal.close()
    again = journaled(chip, tmp_path / "j.sqlite")
    again.place("weight", (6, 5))
    with pytest.raises(FileError, match="another one"):
        again.reset(torch.arange(4))
    assert chip.ledger.totals()["reset"] == 3


def test_a_refused_command_leaves_no_pulse_and_no_doubt(tmp_path):
    board = journaled(ForgetfulBoard(seed=1, macros=1), tmp_path / "j.sqlite")
    with pytest.raises(ChipError, match="No room"):
        board.place("large", (1000, 1000))
    (entry,) = board.journal.entries()
    assert entry.outcome.how == "refused"
    assert board.journal.counts(0).totals() == {"form": 0, "set": 0, "reset": 0}


def test_a_refusal_is_told_once_and_keeps_nothing_open(tmp_path):
    chip = RefusingBoard(seed=1)
    board = journaled(chip, tmp_path / "j.sqlite")
    board.place("weight", (5, 6))
    with pytest.raises(ChipError, match="cannot be written"):
        board.write_verify(torch.arange(4), torch.full((4,), 1e-5))
    board.reset(torch.arange(4))
    board.close()
    assert chip.closed
    with Journal(tmp_path / "j.sqlite") as journal:
        assert [e.outcome.how for e in journal.entries()] == ["done", "refused", "done"]


def test_what_cannot_be_written_at_the_end_keeps_nothing_open(tmp_path, monkeypatch):
    chip = RefusingBoard(seed=1)
    board = journaled(chip, tmp_path / "j.sqlite")
    board.place("weight", (5, 6))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "flush", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            board.close()
    assert chip.closed
    Journal(tmp_path / "j.sqlite").close()


def test_an_evaluation_takes_no_more_memory_the_longer_it_is(tmp_path, monkeypatch):
    """And a run that goes the same way again reads the same, though the cells have changed."""
    monkeypatch.setattr(answers_module, "MOST", 5000)
    chip, reads = ForgetfulBoard(seed=1), []
    for _ in range(2):
        board = journaled(chip, tmp_path / "j.sqlite")
        region = board.place("weight", (6, 5))
        for key in range(60):
            reads.append(board.read(region, key=key))
            assert sum(t.nbytes for *_, t in board._answers.held()) <= 5000
        board.reset(torch.arange(60))
        board.journal.close()
        chip.true.set(torch.arange(60))
    assert all(map(torch.equal, reads[:60], reads[60:]))


def test_a_state_to_go_on_from_needs_its_journal(tmp_path):
    chip = ForgetfulBoard(seed=1)
    board = journaled(chip, tmp_path / "j.sqlite")
    steps(board, until=3)
    state = board.state()
    assert list(state.tensors) == ["commands"]
    board.journal.close()
    again = journaled(chip, tmp_path / "j.sqlite")
    again.restore(state)
    assert again.position == int(state.tensors["commands"]) == 4
    with pytest.raises(ChipError, match="knows 0"):
        journaled(chip, tmp_path / "other.sqlite").restore(state)


def test_what_was_read_up_to_a_saved_state_outlives_two_kills(tmp_path):
    """One before the next command, one after it: the way there is the same a third time."""
    chip, cells, reads = ForgetfulBoard(seed=1), torch.arange(60), []
    for _ in range(3):
        board = journaled(chip, tmp_path / "j.sqlite")
        board.place("weight", (5, 6))
        board.reset(cells)
        reads.append(board.read_back(cells))
        if len(reads) == 1:
            state = board.state()
        else:
            board.restore(state)
            board.set(cells)
        board.journal.close()
    assert all(torch.equal(read, reads[0]) for read in reads)


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_what_was_asked_for_up_to_a_point_is_the_same_whenever_one_comes_there(tmp_path, when):
    """Though the cells are ahead, and some of their pulses only possibly given."""
    cells, found, path = torch.arange(60), [], tmp_path / "j.sqlite"
    chip = ForgetfulBoard(seed=1, fatal=4, when=when)
    board = journaled(chip, path)
    board.place("weight", (5, 6))
    board.reset(cells[:40])
    state = board.state()
    for number in range(3):
        for up in (True, False, True):
            found.append(board.spent().clone())
            if number == 0 and len(found) == 3:
                with pytest.raises(PowerCutError):
                    board.switch(cells[::2], torch.full((30,), up))
            else:
                board.switch(cells[::2], torch.full((30,), up))
        path = crashed(path) if number == 0 else path
        board.journal.close()
        board = journaled(chip, path)
        board.restore(state)
    for number in (1, 2):
        assert all(map(torch.equal, found[:3], found[3 * number :]))
    assert found[2].max() == 3
    assert torch.equal(board.spent(), found[0])


def test_a_simulated_chip_and_its_journal_go_back_together(tmp_path):
    board = journaled(SimulatedChip(seed=1), tmp_path / "j.sqlite")
    region = board.place("weight", (6, 5))
    board.reset(torch.arange(9))
    state, read = board.state(), board.read(region, key=1)
    board.set(torch.arange(20))
    board.restore(state)
    assert torch.equal(board.read(region, key=1), read)
    assert len(board.journal) == 2
    board.set(torch.arange(4))
    assert board.journal.counts(60).totals() == board.ledger.totals()


def test_a_copy_is_of_the_simulated_chip_and_a_real_one_is_shared(tmp_path):
    board = journaled(SimulatedChip(seed=1), tmp_path / "a.sqlite")
    board.place("weight", (6, 5))
    twin = copy.deepcopy(board)
    assert isinstance(twin, SimulatedChip)
    twin.reset(torch.arange(60))
    assert board.ledger.totals()["reset"] == 0
    real = journaled(ForgetfulBoard(seed=1), tmp_path / "b.sqlite")
    assert copy.deepcopy(real) is real


def test_cells_that_do_not_follow_are_pulsed_so_often_and_marked(tmp_path):
    law = SimulatedChip().technology.with_values(stuck_low_fraction=0.2, stuck_high_fraction=0.2)
    board = journaled(SimulatedChip(law, seed=1), tmp_path / "j.sqlite", attempts=3)
    region = board.place("weight", (6, 5))
    cells = torch.arange(60)
    formed = cells[board.conducting(cells)]
    high = board.status(region).view(-1)[formed] == Chip.HIGH
    down = board.switch_verify(formed, torch.zeros_like(formed, dtype=torch.bool))
    stuck_high = formed[board.status(region).view(-1)[formed] == Chip.HIGH]
    assert torch.equal(down, stuck_high)
    assert 0 < len(down) < 30
    assert int(board.ledger.reset[down].min()) == int(board.ledger.reset[down].max()) == 3
    followed = ~torch.isin(formed, down)
    assert int(board.ledger.reset[formed[followed & high]].max()) == 1
    assert torch.equal(board.journal.stuck(), stuck_high)


@pytest.mark.parametrize("error", [ChipError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("resumed", [True, False])
def test_a_command_that_fails_after_some_pulses_is_read_back_and_not_refused(
    tmp_path, resumed, error
):
    """Before the next command, whatever the failure was called."""
    chip = FalteringBoard(seed=1)
    chip.error = error
    board = journaled(chip, tmp_path / "j.sqlite")
    board.place("weight", (5, 6))
    cells = torch.arange(60)
    board.reset(cells)
    with pytest.raises(error, match="does not answer"):
        board.set(cells)
    if resumed:
        board = journaled(chip, crashed(tmp_path / "j.sqlite"))
        board.place("weight", (5, 6))
        board.reset(cells)
    board.set(cells)
    entries = {e.identity: e.outcome for e in board.journal.entries()}
    outcome = entries[board.journal.identity(2)]
    assert outcome.how == "read back"
    # The first part is high, for certain; it gets no second pulse where the run goes on.
    assert outcome.counts[1][:20].sum() > 15
    assert outcome.counts[1][20:].sum() == 0
    if resumed:
        followed = outcome.counts[1].bool()
        assert torch.equal(chip.ledger.set[followed], torch.ones(int(followed.sum())).int())
    least, most = (board.journal.counts(60, possible=p).set for p in (False, True))
    assert bool((chip.ledger.set >= least).all() & (chip.ledger.set <= least + most).all())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_board_that_remembers_is_asked_before_the_next_command_too(tmp_path, when):
    chip = RememberingBoard(seed=1, fatal=1, when=when)
    board = journaled(chip, tmp_path / "j.sqlite")
    board.place("weight", (5, 6))
    with pytest.raises(PowerCutError):
        board.reset(torch.arange(30))
    board.reset(torch.arange(20, 60))
    assert board.journal.in_doubt() == []
    assert len(board.notes) == 1
    assert torch.equal(board.journal.counts(60).reset, chip.true.ledger.reset)
    assert int(chip.true.ledger.reset[:20].sum()) == (20 if when == "after" else 0)


def test_a_served_command_that_fails_after_some_pulses_is_not_given_again(tmp_path):
    chip = FalteringBoard(seed=1)
    board = Remembering(chip, Journal(tmp_path / "j.sqlite", synchronous="normal"))
    chip.place("weight", (5, 6))
    cells = torch.arange(60)
    board.issue("a", Command("reset", cells))
    for _ in range(2):
        with contextlib.suppress(ChipError):
            board.issue("b", Command("set", cells))
    followed = board.journal.entry("b").outcome.counts[1].bool()
    assert followed[:20].sum() > 15
    assert torch.equal(chip.ledger.set[followed], torch.ones(int(followed.sum())).int())


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_the_rest_of_a_command_is_spent_once(tmp_path, when):
    """Whatever was uncertain about a command, it and its rest were asked for together."""
    cells = torch.arange(60)

    def spent(board):
        board.place("w", (5, 6))
        for number in range(4):
            board.switch(cells, torch.full((60,), bool(number % 2)))
        return board.spent().clone()

    calm = spent(journaled(ForgetfulBoard(seed=1), tmp_path / "calm"))
    chip, path = ForgetfulBoard(seed=1, fatal=2, when=when), tmp_path / "journal"
    with pytest.raises(PowerCutError):
        spent(journaled(chip, path))
    assert torch.equal(spent(journaled(chip, crashed(path))), calm)
