"""The driver of docs/driver.md against a fake instrument: the contract, and what goes wrong."""

import itertools
import shutil
import threading
from pathlib import Path

import pages
import pytest
import torch
from fake_instrument import FakeInstrument
from torch import nn

import secateur as st
from secateur.chip import Chip, Command, FixedVoltage, Journal, VoltageRamp
from secateur.chip.remembering import Remembering
from secateur.errors import ChipError, SettingError
from secateur.network import pruned_weights
from secateur.testing import ChipContract

_PAGE = pages.run("docs/driver.md")
_BenchChip, _Line = _PAGE["BenchChip"], _PAGE["Line"]


def bench(**how) -> tuple[Chip, FakeInstrument]:
    fake = FakeInstrument(**how)
    return _BenchChip(_Line(fake.stream)), fake


class TestTheDriverOfThePage(ChipContract):
    repeatable = False
    writes_values = False

    def chip(self) -> Chip:
        return bench()[0]


def test_its_counts_are_those_of_the_instruments_own_cells():
    """Cell by cell, where the page's driver says that they lie."""
    chip, fake = bench()
    region = chip.place("weight", (7, 5))
    cells = torch.arange(70)
    chip.reset(cells[::2])
    chip.set(cells[::4])
    _, rows, columns = chip.where(cells).T
    inside = rows * 64 + columns
    for kind in ("form", "set", "reset"):
        own = getattr(fake.chip.ledger, kind)
        assert torch.equal(own[inside], getattr(chip.ledger, kind)[cells])
        assert int(own.sum()) == int(getattr(chip.ledger, kind).sum())
    status = fake.chip.status(fake.region).view(-1)[inside]
    assert torch.equal(chip.status(region).view(-1), status)


def test_a_pulse_that_the_instrument_refuses_is_refused_and_stays_counted():
    chip, fake = bench()
    chip.place("weight", (3, 3))
    fake.broken = True
    with pytest.raises(ChipError, match="Undefined header"):
        chip.reset(torch.arange(4))
    assert int(chip.ledger.reset.sum()) == 4
    assert int(fake.chip.ledger.reset.sum()) == 0


def test_an_instrument_that_goes_silent_is_reported():
    chip, fake = bench()
    chip.place("weight", (3, 3))
    fake.left = 0
    with pytest.raises(ChipError, match="does not answer"):
        chip.set(torch.arange(4))


def test_a_model_learns_on_it_and_the_journal_has_every_pulse(tmp_path):
    chip, fake = bench()
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 2, bias=False))
    _PAGE["prune_on_board"](model, chip, tmp_path / "journal")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(3):
        optimizer.zero_grad()
        inputs = torch.rand(4, 6, generator=torch.Generator().manual_seed(step))
        model(inputs).square().sum().backward()
        optimizer.step()
    st.settle_(model)
    for weight in pruned_weights(model).values():
        high = chip.status(weight.region) == Chip.HIGH
        formed = chip.status(weight.region) != Chip.PRISTINE
        assert torch.equal(high, weight.mask.unsqueeze(-1) & formed)
    journaled = next(iter(pruned_weights(model).values())).chip
    journaled.flush()
    counts = journaled.journal.counts(80)
    assert torch.equal(counts.reset, chip.ledger.reset)
    assert int(counts.reset.sum()) == int(fake.chip.ledger.reset.sum()) > 0
    journaled.journal.close()


def test_its_serial_number_is_its_identity(tmp_path):
    chip, _ = bench()
    assert chip.identity()["serial"] == "secateur,fake bench,0042,1.0"
    with Journal(tmp_path / "journal") as journal:
        _PAGE["JournaledChip"](chip, journal)
        other, _ = bench()
        other.serial = "another"
        with pytest.raises(SettingError, match="serial is 'another' here"):
            _PAGE["JournaledChip"](other, journal)


def test_cells_that_were_formed_before_are_known_again_and_not_formed_anew():
    """A driver's process ends, the cells stay."""
    chip, fake = bench()
    region = chip.place("weight", (6, 4))
    chip.reset(torch.arange(10))
    status, forms = chip.status(region), int(fake.chip.ledger.form.sum())
    again = _BenchChip(_Line(fake.stream))
    assert torch.equal(again.status(again.place("weight", (6, 4))), status)
    assert int(fake.chip.ledger.form.sum()) == forms


# --- A new process -----------------------------------------------------------------------------


class DeadError(BaseException):
    """The driver's process is gone, at a line to its instrument."""


class MortalLine(_Line):
    """Dies at its n-th line, before the instrument gets it or after it has done it."""

    def __init__(self, stream, fatal: int, when: str) -> None:
        super().__init__(stream)
        self.left, self.when = fatal, when

    def ask(self, words: str) -> str:
        self.left -= 1
        if self.left < 0:
            if self.when == "after":
                super().ask(words)
            raise DeadError
        return super().ask(words)


WEIGHTS = {"first": (11, 8), "second": (5, 4)}
CELLS, SOME = torch.arange(176), torch.arange(216)[::3]
UP = torch.arange(72) % 2 == 1


def in_process(chip: Chip, journal: Path) -> Chip:
    """A program that a driver is pulsed by; the journal stays as a killed process leaves it."""
    board = _PAGE["JournaledChip"](chip, Journal(journal, synchronous="normal"))
    regions = [board.place("first", WEIGHTS["first"])]
    board.reset(CELLS)
    regions.append(board.place("second", WEIGHTS["second"]))
    board.switch(SOME, UP)
    assert [region.name for region in regions] == list(WEIGHTS)
    return board


def served(chip: Chip, journal: Path) -> Remembering:
    """The same by a server's memory."""
    board = Remembering(chip, Journal(journal, synchronous="normal"))

    def place(identity: str, name: str) -> None:
        asked = {"name": name, "shape": list(WEIGHTS[name]), "inputs_first": False}
        outcome = board.issue(identity, Command("place", parameters=asked)).outcome
        given = outcome.counts if outcome.possible is None else outcome.counts + outcome.possible
        assert bool((given[0] > 0).all())
        assert torch.equal(board.outcome_of(identity).counts, outcome.counts)

    place("run:0", "first")
    board.issue("run:1", Command("reset", CELLS))
    place("run:2", "second")
    board.issue("run:3", Command("switch", SOME, UP))
    return board


def left(journal: Path, number: int) -> Path:
    """What a killed process leaves of its journal: all that it made durable, and no lock."""
    copied = journal.with_name(f"left {number}")
    for ending in ("", "-wal"):
        if (part := journal.with_name(journal.name + ending)).exists():
            shutil.copy(part, copied.with_name(copied.name + ending))
    return copied


@pytest.mark.parametrize("program", [in_process, served])
@pytest.mark.parametrize("forming", [FixedVoltage(), FixedVoltage(0.5), VoltageRamp(step=0.3)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_new_process_takes_up_what_the_old_one_left(tmp_path, program, forming, when):
    """Dead at any line: weights lie where they lay, all are formed and switched, all is counted."""
    for fatal in itertools.count(1, 2):
        fake, journal = FakeInstrument(seed=4), tmp_path / f"journal {fatal}"
        chip, died = _BenchChip(MortalLine(fake.stream, fatal, when)), False
        chip.forming = forming
        try:
            board = program(chip, journal)
        except DeadError:
            died = True
            chip = _BenchChip(_Line(fake.stream))
            chip.forming = forming
            board = program(chip, left(journal, fatal))
        chip.line.left = 1 << 30
        check_all_is_done_and_counted(board.journal, chip, fake)
        if not died:
            return


def check_all_is_done_and_counted(journal: Journal, chip: Chip, fake: FakeInstrument) -> None:
    _, rows, columns = chip.where(torch.arange(216)).T
    inside = rows * 64 + columns
    assert len(inside.unique()) == 216
    status = fake.chip.status(fake.region).view(-1)[inside]
    assert journal.in_doubt() == []
    certain, possible = (journal.counts(216, possible=p) for p in (False, True))
    for kind in ("form", "set", "reset"):
        own, true = getattr(chip.ledger, kind), getattr(fake.chip.ledger, kind)
        least, more = getattr(certain, kind), getattr(possible, kind)
        assert int(true.sum()) == int(true[inside].sum())
        assert bool((least <= true[inside]).all()), kind
        assert bool((true[inside] <= least + more).all()), kind
        assert torch.equal(own, least + more), kind
    formed = status != Chip.PRISTINE
    pairs = formed.view(-1, 2)
    if isinstance(chip.forming, VoltageRamp):
        assert bool(pairs.any(dim=1).all())
    else:
        assert formed.float().mean() > (0.98 if chip.forming.fraction > 0.9 else 0.35)
    asked = torch.full((216,), Chip.HIGH)
    asked[CELLS] = Chip.LOW
    asked[SOME] = torch.where(UP, Chip.HIGH, Chip.LOW)
    known = torch.cat([chip.status(region).view(-1) for region in chip.placement.regions])
    # But for cells that are stuck from birth.
    assert int((formed & (status != asked)).sum()) <= 4
    assert int((known != status).sum()) <= 2


def test_a_place_that_had_no_room_is_refused_by_a_new_process_too(tmp_path):
    for _ in range(2):
        chip, _ = bench()
        board = _PAGE["JournaledChip"](chip, Journal(tmp_path / "journal"))
        with pytest.raises(ChipError, match="No room"):
            board.place("large", (1000, 1000))
        board.journal.close()


def test_a_driver_with_weights_that_its_journal_does_not_know_is_not_confused(tmp_path):
    chip, fake = bench()
    chip.place("before", (3, 2))
    board = _PAGE["JournaledChip"](chip, Journal(tmp_path / "journal"))
    board.place("first", (6, 4))
    board.journal.close()
    with Journal(tmp_path / "journal") as journal:
        again = _BenchChip(_Line(fake.stream))
        with pytest.raises(ChipError, match="goes on at 12"):
            _PAGE["JournaledChip"](again, journal)
        again.place("before", (3, 2))
        board = _PAGE["JournaledChip"](again, journal)
        assert board.place("first", (6, 4)).first_cell == 12
    assert torch.equal(again.ledger.form[12:], chip.ledger.form[12:])


def test_a_served_driver_is_a_board(tmp_path):
    pytest.importorskip("zmq")
    from secateur.chip.remote import RemoteChip

    chip, fake = bench()
    said, stop, address = [], threading.Event(), "tcp://127.0.0.1:57583"
    _PAGE["print"] = said.append
    serving = threading.Thread(
        target=_PAGE["serve"], args=(chip, tmp_path / "journal", stop, address), daemon=True
    )
    serving.start()
    remote = RemoteChip(address)
    region = remote.place("weight", (3, 2))
    remote.reset(torch.arange(6))
    assert int(remote.ledger.reset.sum()) == int(fake.chip.ledger.reset.sum()) == 6
    assert remote.read(region, key=1).shape == (3, 2, 2)
    remote.close()
    stop.set()
    serving.join()
    assert said == [f"Serving {chip.serial} at {address}"]
